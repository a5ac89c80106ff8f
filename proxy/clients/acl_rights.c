/* Who has subscribed to a channel and loses the right to it is closed (ACLKillPubsubClientsIfNeeded
 * in acl.c). Redis can't do that: what clients subscribe to is subscribed to there by our link. So
 * right behind what changes rights it is asked what each client that may be meant is allowed now.
 * As there, channels count, and not whether the user may still SUBSCRIBE. */
#include "proxy/clients/acl.h"

#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session.h"
#include "proxy/clients/topics.h"
#include "proxy/protocol/glob.h"

#include <stdlib.h>
#include <string.h>

static const char *rights_user(const struct router *router, const struct client *c)
{
    return c->user != NULL ? c->user : session_own_user(router);
}

/* ---- what Redis says ---- */

/* patterns: as in "&news.* &ch1" (ACLCheckChannelAgainstList in acl.c). */
static bool rights_match(const struct resp_arg *patterns, const struct topic *topic)
{
    const char *at = (const char *)patterns->bytes, *end = at + patterns->len;
    bool match = false;

    while (at < end && !match) {
        const char *next = memchr(at, ' ', (size_t)(end - at));
        next = next != NULL ? next : end;
        const char *pattern = at + (*at == '&');
        size_t len = (size_t)(next - pattern);
        if (topic->kind == TOPIC_PATTERN) { /* the very same */
            match = len == topic->len && memcmp(pattern, topic->name, len) == 0;
        } else {
            match = glob_match(pattern, len, (const char *)topic->name, topic->len);
        }
        match = match || (len == 1 && *pattern == '*'); /* allchannels, also "" */
        at = next + (next < end);
    }
    return match;
}

/* Whether the user whose ACL GETUSER stands at `at`, or one of its selectors, has a right to this.
 * What is not understood takes no right from anybody. */
static bool rights_allow(const uint8_t *bytes, size_t size, size_t *at, const struct topic *topic)
{
    size_t fields, selectors;
    struct resp_arg name, patterns;
    bool allowed = false;

    if (resp_read_number(bytes, size, at, '*', &fields)) {
        fields /= 2;
    } else if (!resp_read_number(bytes, size, at, '%', &fields)) {
        return true;
    }
    for (; fields > 0; fields--) {
        if (!resp_read_bulk(bytes, size, at, &name)) {
            return true;
        }
        if (resp_arg_is(&name, "channels") && resp_read_bulk(bytes, size, at, &patterns)) {
            allowed = rights_match(&patterns, topic) || allowed;
        } else if (resp_arg_is(&name, "selectors") &&
                   resp_read_number(bytes, size, at, '*', &selectors)) {
            for (; selectors > 0; selectors--) {
                allowed = rights_allow(bytes, size, at, topic) || allowed;
            }
        } else if (!resp_read_reply(bytes, size, at)) {
            return true;
        }
    }
    return allowed;
}

static void rights_answered(struct request *r)
{
    const struct subscriber *subscriber = r->client->subscriber;
    struct buf said = BUF_INIT;
    bool allowed = true;

    if (request_reply_type(r) != '*' && request_reply_type(r) != '%') {
        return; /* the user is gone, and so will be its clients */
    }
    request_move_reply(r, &said);
    for (const struct subscription *s = subscriber != NULL ? subscriber->subscriptions : NULL;
         s != NULL && allowed; s = s->next_of_subscriber) {
        size_t at = 0;
        allowed = !s->wanted || rights_allow(buf_head(&said), said.len, &at, s->topic);
    }
    buf_release(&said);
    if (!allowed) {
        client_close(r->client, "its user has lost the right to a channel");
    }
}

/* ---- when it is asked ---- */

static void rights_ask(struct router *router, struct client *c)
{
    const char *words[] = {"ACL", "GETUSER", rights_user(router, c)};
    struct resp_arg argv[sizeof words / sizeof *words];
    struct buf bytes = BUF_INIT;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        argv[i] = (struct resp_arg){(const uint8_t *)words[i], strlen(words[i])};
    }
    resp_put_request(&bytes, argv, sizeof words / sizeof *words);
    struct request *r = client_queue_ours(c, REQUEST_SILENT);
    r->waiter.harmless = true;
    r->amend = rights_answered;
    router_send_bytes(router, ROUTE_ENGINE, r, buf_head(&bytes), bytes.len, 0);
    buf_release(&bytes);
}

/* argv[2]: whose rights; without it everybody's. */
static void rights_ask_all(struct router *router, const struct resp_arg *argv, size_t argc)
{
    const char *user = argc > 2 ? (const char *)argv[2].bytes : "";
    size_t len = argc > 2 ? argv[2].len : 0;

    for (struct client *c = router->clients->list; c != NULL; c = c->next) {
        const char *its = rights_user(router, c);
        if (c->closing || c->subscriber == NULL ||
            (len > 0 && (strlen(its) != len || memcmp(its, user, len) != 0))) {
            continue;
        }
        if (topics_total(c->subscriber, TOPIC_CHANNEL) > 0 ||
            topics_total(c->subscriber, TOPIC_SHARD) > 0) {
            rights_ask(router, c);
        }
    }
}

/* Also if its client has gone. */
static void rights_learn(struct request *r)
{
    const struct router_words *words = r->note;

    if (request_reply_type(r) == '+') {
        session_acl_credentials(words->router, words->argv, words->argc);
    }
}

/* Who has subscribed was not asked about behind it. */
static void rights_changed(struct request *r)
{
    const struct router_words *words = r->note;

    if (request_reply_type(r) == '+') {
        acl_rights_changed(words->router, words->argv, words->argc);
    }
}

void acl_rights_changed(struct router *router, const struct resp_arg *argv, size_t argc)
{
    session_acl_credentials(router, argv, argc);
    if (router_serves(router)) {
        rights_ask_all(router, argv, argc);
    }
}

bool acl_changes_rights(const struct command *command)
{
    return strcmp(command->name, "acl|setuser") == 0 || strcmp(command->name, "acl|load") == 0;
}

void acl_rights_change(struct router *router, struct request *r, const struct resp_arg *argv,
                       size_t argc)
{
    bool shared = r->client->lane == CLIENT_LANE_SHARED;

    r->note = router_words_create(router, argv, argc);
    r->amend = shared ? rights_learn : rights_changed;
    r->learn = rights_learn;
    if (shared) { /* right behind it, on the same link */
        rights_ask_all(router, argv, argc);
    }
}
