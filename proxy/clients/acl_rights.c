/* Who has subscribed to a channel and loses the right to it is closed (ACLKillPubsubClientsIfNeeded
 * in acl.c). Redis can't do that: what clients subscribe to is subscribed to there by our link. So
 * right behind what changes rights it is asked about each client that may be meant. */
#include "proxy/clients/acl.h"

#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session.h"
#include "proxy/clients/topics.h"

#include <stdlib.h>
#include <string.h>

static const char *const rights_words[TOPIC_KINDS] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"};

static const char *rights_user(const struct router *router, const struct client *c)
{
    return c->user != NULL ? c->user : session_own_user(router);
}

static void rights_answered(struct request *r)
{
    static const char channel[] = "' channel";
    struct buf said = BUF_INIT;

    if (request_reply_type(r) == '$') {
        request_move_reply(r, &said);
        if (memmem(buf_head(&said), said.len, channel, sizeof channel - 1) != NULL) {
            client_close(r->client, "its user has lost the right to a channel");
        }
        buf_release(&said);
    }
}

static void rights_ask(struct router *router, struct client *c, enum topic_kind kind)
{
    size_t count = 0, room = c->subscriber->wanted[kind] + 4;
    struct resp_arg *words = mem_alloc(room * sizeof *words);
    const char *head[] = {"ACL", "DRYRUN", rights_user(router, c), rights_words[kind]};
    struct buf bytes = BUF_INIT;

    for (; count < sizeof head / sizeof *head; count++) {
        words[count] = (struct resp_arg){(const uint8_t *)head[count], strlen(head[count])};
    }
    for (struct subscription *s = c->subscriber->subscriptions; s != NULL && count < room;
         s = s->next_of_subscriber) {
        if (s->wanted && s->topic->kind == kind) {
            words[count++] = (struct resp_arg){s->topic->name, s->topic->len};
        }
    }
    resp_put_request(&bytes, words, count);
    struct request *r = client_queue_ours(c, REQUEST_SILENT);
    r->waiter.harmless = true;
    r->amend = rights_answered;
    router_send_bytes(router, ROUTE_ENGINE, r, buf_head(&bytes), bytes.len, 0);
    buf_release(&bytes);
    free(words);
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
        for (int kind = 0; kind < TOPIC_KINDS; kind++) {
            if (c->subscriber->wanted[kind] > 0) {
                rights_ask(router, c, (enum topic_kind)kind);
            }
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
