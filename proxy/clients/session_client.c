/* CLIENT: about the proxy's clients, not about the links to Redis. Texts and the order of checks
 * are those of clientCommand in networking.c. */
#include "proxy/clients/session_impl.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/transaction.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SESSION_PAUSE_MAX_MS = INT_MAX };

static void session_wrong_arguments(struct client *c, const struct resp_arg *argv)
{
    char text[192];

    (void)snprintf(
        text, sizeof text,
        "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT HELP.",
        (int)(argv[1].len < 64 ? argv[1].len : 64), (const char *)argv[1].bytes);
    client_answer_error(c, text);
}

/* ---- names, REPLY ---- */

static void session_client_reply(struct client *c, const struct resp_arg *mode)
{
    if (resp_arg_is(mode, "on")) {
        c->reply_mode = CLIENT_REPLY_ON;
        router_answer_ok(c);
    } else if (resp_arg_is(mode, "off")) {
        c->reply_mode = CLIENT_REPLY_OFF;
    } else if (resp_arg_is(mode, "skip")) {
        if (c->reply_mode == CLIENT_REPLY_ON) {
            c->reply_mode = CLIENT_REPLY_SKIP;
        }
    } else {
        client_answer_error(c, "ERR syntax error");
    }
}

static void session_client_setname(struct client *c, const struct resp_arg *name)
{
    if (!session_name_ok(name)) {
        client_answer_error(c, session_bad_name);
        return;
    }
    session_set_name(c, name);
    router_answer_ok(c);
}

static void session_client_getname(struct router *router, struct client *c)
{
    buf_clear(&router->text);
    if (c->name != NULL) {
        resp_put_bulk(&router->text, c->name, strlen(c->name));
    } else {
        resp_put_null(&router->text, (int)c->resp);
    }
    router_answer(router, c, 0);
}

/* ---- CLIENT UNBLOCK ---- */

bool session_unblock_words(const struct client *c, enum route route, struct resp_arg *words,
                           size_t argc, char text[32])
{
    long long id;

    if (argc < 3 || argc > 4 || !resp_arg_integer(&words[2], &id)) {
        return false;
    }
    const struct client *blocked = clients_find(c->all, (uint64_t)id);
    if (blocked == NULL || blocked->link == NULL || private_id(blocked->link) == 0 ||
        private_is_forward(blocked->link) != (route == ROUTE_FORWARD)) {
        return false;
    }
    private_spoil(blocked->link);
    int len = snprintf(text, 32, "%llu", (unsigned long long)private_id(blocked->link));
    words[2] = (struct resp_arg){(const uint8_t *)text, (size_t)len};
    return true;
}

/* CLIENT UNBLOCK id [TIMEOUT|ERROR]: Redis does it, or the proxy that leads, by the name that it
 * has for the private link. A link that was told so is not lent to others: it may come too late,
 * when another client blocks. */
static void session_client_unblock(struct router *router, struct client *c,
                                   const struct resp_arg *argv, size_t argc)
{
    struct resp_arg words[4];
    char text[32];
    long long id;

    if (argc > 4) {
        session_wrong_arguments(c, argv);
        return;
    }
    if (argc == 4 && !resp_arg_is(&argv[3], "timeout") && !resp_arg_is(&argv[3], "error")) {
        client_answer_error(c, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (!resp_arg_integer(&argv[2], &id)) {
        client_answer_error(c, "ERR value is not an integer or out of range");
        return;
    }
    const struct client *blocked = clients_find(c->all, (uint64_t)id);
    if (blocked != NULL && session_wait_unblock(router, (struct client *)(uintptr_t)blocked,
                                                argc == 4 && resp_arg_is(&argv[3], "error"))) {
        client_answer(c, ":1\r\n", 4, 0);
        return;
    }
    enum route route = blocked != NULL && blocked->link != NULL && private_is_forward(blocked->link)
                           ? ROUTE_FORWARD
                           : ROUTE_ENGINE;
    memcpy(words, argv, argc * sizeof *argv);
    if (c->all->capture != NULL || (route == ROUTE_ENGINE && !engine_is_up(router->engine)) ||
        !session_unblock_words(c, route, words, argc, text)) {
        client_answer(c, ":0\r\n", 4, 0);
        return;
    }
    if (!router_choose_lane(router, c, false, route)) {
        return;
    }
    buf_clear(&router->hashes);
    router_send(router, c, route, 0, false, true, words, argc);
}

/* ---- CLIENT PAUSE ---- */

/* Requests wait unread until then (client_postpone); what is here already goes on. */
static void session_client_pause(struct router *router, struct client *c,
                                 const struct resp_arg *argv, size_t argc)
{
    struct clients *all = c->all;
    bool writes_only = argc == 4 && resp_arg_is(&argv[3], "write");
    long long timeout_ms;

    if (argc > 4) {
        session_wrong_arguments(c, argv);
    } else if (argc == 4 && !writes_only && !resp_arg_is(&argv[3], "all")) {
        client_answer_error(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    } else if (!resp_arg_integer(&argv[2], &timeout_ms)) {
        client_answer_error(c, "ERR timeout is not an integer or out of range");
    } else if (timeout_ms < 0) {
        client_answer_error(c, "ERR timeout is negative");
    } else if ((uint64_t)timeout_ms > SESSION_PAUSE_MAX_MS) {
        client_answer_error(c, "ERR timeout is out of range");
    } else {
        uint64_t until_ns = all->now_ns + (uint64_t)timeout_ms * CLOCK_NS_PER_MS;
        all->pause_writes_only =
            writes_only && (all->pause_until_ns == 0 || all->pause_writes_only);
        all->pause_until_ns = until_ns > all->pause_until_ns ? until_ns : all->pause_until_ns;
        readers_begin(&all->readers);
        router->pause_again_ns = 0;
        router_pause(router);
        router_answer_ok(c);
    }
}

/* ---- CLIENT TRACKING ---- */

/* What CLIENT TRACKING ON asks for; the note of its request. */
struct session_tracking {
    bool on, off, bcast, noloop;
    uint64_t redirect; /* the client's id; 0: nobody */
};

/* The place of the id behind REDIRECT; 0: none. */
static size_t session_tracking_options(const struct resp_arg *argv, size_t argc,
                                       struct session_tracking *t)
{
    size_t at = 0;

    *t = (struct session_tracking){.on = resp_arg_is(&argv[2], "on"),
                                   .off = resp_arg_is(&argv[2], "off")};
    for (size_t i = 3; i < argc; i++) {
        bool more = i + 1 < argc;
        if (resp_arg_is(&argv[i], "redirect") && more) {
            at = ++i;
        } else if (resp_arg_is(&argv[i], "prefix") && more) {
            i++;
        } else if (resp_arg_is(&argv[i], "bcast")) {
            t->bcast = true;
        } else if (resp_arg_is(&argv[i], "noloop")) {
            t->noloop = true;
        }
    }
    return at;
}

/* The id of a client becomes that of the link on which its invalidations come. False: answered, or
 * postponed until there is one. */
static bool session_tracking_redirect(struct router *router, struct client *c, enum route route,
                                      struct session_tracking *t, struct resp_arg *word,
                                      char text[32])
{
    static const struct resp_arg nobody = {(const uint8_t *)"9223372036854775807", 19};
    static const struct resp_arg harmless = {(const uint8_t *)"NOLOOP", 6};
    bool waited = c->waits_for_link;
    long long id;

    c->waits_for_link = false;
    if (!resp_arg_integer(word, &id)) {
        return true; /* Redis says what is wrong */
    }
    struct client *target = id > 0 ? clients_find(c->all, (uint64_t)id) : NULL;
    if (target != NULL && !t->on) { /* Redis looks only whether there is such a client */
        word[-1] = word[0] = harmless;
        return true;
    }
    if (target == NULL) {
        *word = nobody; /* for Redis, too; which may have a connection of that number */
        return true;
    }
    struct private_pool *pool = route == ROUTE_ENGINE ? router->privates : router->forward_privates;
    if (!private_is_started(pool)) {
        router_wait(router, c);
        return false;
    }
    if ((waited && target->redirect == NULL) || !private_redirect(pool, target)) {
        router_answer_error(c, "ERR max number of private connections reached, see "
                               "limits.private_max");
        return false;
    }
    if (private_id(target->redirect) == 0) {
        c->waits_for_link = true;
        client_postpone(c);
        return false;
    }
    t->redirect = target->id;
    int len = snprintf(text, 32, "%llu", (unsigned long long)private_id(target->redirect));
    *word = (struct resp_arg){(const uint8_t *)text, (size_t)len};
    return true;
}

void session_link_settled(struct clients *all)
{
    for (struct client *c = all->list; c != NULL; c = c->next) {
        if (c->waits_for_link && c->postponed) {
            client_resume(c);
        }
    }
}

static void session_set_tracking(struct client *c, const struct session_tracking *t)
{
    c->tracking = t->on;
    c->tracks_bcast = t->on && t->bcast;
    c->redirects_to = t->on ? t->redirect : 0;
}

bool session_tracking_words(struct router *router, struct client *c, enum route route,
                            struct resp_arg *words, size_t argc, char text[32])
{
    struct session_tracking t;
    size_t redirect = session_tracking_options(words, argc, &t);

    return redirect == 0 || session_tracking_redirect(router, c, route, &t, &words[redirect], text);
}

void session_tracking_done(struct client *c, const struct resp_arg *argv, size_t argc)
{
    struct session_tracking t;
    long long id = 0;
    size_t redirect = session_tracking_options(argv, argc, &t);

    if (redirect != 0 && resp_arg_integer(&argv[redirect], &id) && id > 0) {
        t.redirect = (uint64_t)id;
    }
    session_set_tracking(c, &t);
    if (c->link != NULL && t.on) {
        private_keep(c->link, PRIVATE_TRACKING);
    } else if (c->link != NULL) {
        private_unkeep(c->link, PRIVATE_TRACKING);
    }
}

static void session_tracked(struct request *r)
{
    struct client *c = r->client;

    if (request_reply_type(r) != '-') {
        session_set_tracking(c, r->note);
    }
    if (!c->tracking && c->link != NULL) {
        private_unkeep(c->link, PRIVATE_TRACKING);
    }
}

/* Redis tells the connection that read: all that the client says goes over a link of its own. */
static void session_client_tracking(struct router *router, struct client *c,
                                    const struct resp_arg *argv, size_t argc)
{
    struct session_tracking t;
    char text[32];

    if (c->unanswered > 0) {
        client_postpone(c); /* the end of another TRACKING would be taken for that of this one */
        return;
    }
    size_t redirect = session_tracking_options(argv, argc, &t);
    bool needs_link = t.on || (c->link != NULL && (private_kept(c->link) & PRIVATE_TRACKING) != 0);
    enum route route = router_route(router, c, false, false, false);
    struct resp_arg *words = mem_alloc(argc * sizeof *words);

    memcpy(words, argv, argc * sizeof *words);
    if ((redirect != 0 &&
         !session_tracking_redirect(router, c, route, &t, &words[redirect], text)) ||
        !router_choose_lane(router, c, needs_link, route)) {
        free(words);
        return;
    }
    if (needs_link) {
        private_keep(c->link, PRIVATE_TRACKING);
    }
    /* What Redis drops from a full table while it runs a command of the link is the client's own
     * doing to it, and with NOLOOP not told (trackingInvalidateKeyRaw). A fence would be such a
     * command, right behind the reads that have filled the table. */
    if (t.on && t.noloop) {
        private_unfence(c->link);
    }
    if (!c->tracking) {
        c->caching = CLIENT_CACHING_UNSAID; /* it was refused */
    }
    buf_clear(&router->hashes);
    struct request *r = router_send(router, c, route, 0, false, true, words, argc);
    if (r != NULL && (t.on || t.off)) {
        r->note = mem_alloc(sizeof t);
        memcpy(r->note, &t, sizeof t);
        r->amend = session_tracked;
    }
    free(words);
}

void session_put_redirect(const struct client *c, struct buf *reply)
{
    static const char key[] = "$8\r\nredirect\r\n:";
    struct buf before = BUF_INIT;

    if (c->redirects_to == 0) {
        return;
    }
    buf_swap(&before, reply);
    buf_append(&before, "", 1);
    before.len--;
    const char *text = (const char *)buf_head(&before);
    const char *at = text[0] == ':' ? text : strstr(text, key);
    at = at != NULL && text[0] != ':' ? at + sizeof key - 2 : at;
    if (at != NULL && at[1] > '0' && at[1] <= '9') {
        buf_append(reply, text, (size_t)(at + 1 - text));
        buf_printf(reply, "%llu", (unsigned long long)c->redirects_to);
        buf_append_str(reply, strchr(at, '\r'));
    } else {
        buf_append(reply, text, before.len);
    }
    buf_release(&before);
}

static void session_amend_redirect(struct request *r)
{
    struct buf reply = BUF_INIT;

    request_move_reply(r, &reply);
    session_put_redirect(r->client, &reply);
    request_take_reply(r, &reply);
}

/* What Redis knows of the connection: of the private link, if that is what tracks. */
static void session_client_ask(struct router *router, struct client *c, const struct resp_arg *argv,
                               size_t argc)
{
    enum route route = router_route(router, c, false, false, false);

    if (!router_choose_lane(router, c, false, route)) {
        return;
    }
    buf_clear(&router->hashes);
    struct request *r = router_send(router, c, route, 0, false, true, argv, argc);
    if (r != NULL && resp_arg_is(&argv[1], "trackinginfo")) {
        r->amend = session_amend_redirect; /* a REDIRECT may be among what is not answered yet */
    }
    if (c->lane == CLIENT_LANE_PRIVATE && resp_arg_is(&argv[1], "caching")) {
        c->caching = resp_arg_is(&argv[2], "yes")  ? CLIENT_CACHING_YES
                     : resp_arg_is(&argv[2], "no") ? CLIENT_CACHING_NO
                                                   : c->caching; /* an error changes nothing */
    }
}

/* ---- CLIENT NO-TOUCH ---- */

struct session_no_touch {
    bool on, was;
};

static void session_no_touched(struct request *r)
{
    const struct session_no_touch *t = r->note;
    bool is = request_reply_type(r) == '-' ? t->was : t->on;

    if (!is && r->client->link != NULL) {
        private_unkeep(r->client->link, PRIVATE_NO_TOUCH);
    }
}

void session_no_touch_done(struct client *c, bool on)
{
    if (c->link != NULL && on) {
        private_keep(c->link, PRIVATE_NO_TOUCH);
    } else if (c->link != NULL) {
        private_unkeep(c->link, PRIVATE_NO_TOUCH);
    }
}

/* Redis 7.2 and later: what this client reads does not make keys look used. Of that Redis judges by
 * the connection, so the client has its own. */
static void session_client_no_touch(struct router *router, struct client *c,
                                    const struct resp_arg *argv, size_t argc)
{
    struct session_no_touch t = {
        .on = argc > 2 && resp_arg_is(&argv[2], "on"),
        .was = c->link != NULL && (private_kept(c->link) & PRIVATE_NO_TOUCH) != 0,
    };
    enum route route = router_route(router, c, false, false, false);

    if (!router_choose_lane(router, c, t.on || t.was, route)) {
        return;
    }
    if (t.on || t.was) {
        private_keep(c->link, PRIVATE_NO_TOUCH);
    }
    buf_clear(&router->hashes);
    struct request *r = router_send(router, c, route, 0, false, true, argv, argc);
    if (r != NULL && (t.on || t.was)) {
        r->note = mem_alloc(sizeof t);
        memcpy(r->note, &t, sizeof t);
        r->amend = session_no_touched;
    }
}

/* ---- all of it ---- */

static void session_client_no_evict(struct client *c, const struct resp_arg *argv)
{
    if (resp_arg_is(&argv[2], "on") || resp_arg_is(&argv[2], "off")) {
        c->no_evict = resp_arg_is(&argv[2], "on"); /* clients are never evicted by Redis anyway */
        router_answer_ok(c);
    } else {
        client_answer_error(c, "ERR syntax error");
    }
}

static void session_client_unknown(struct client *c, const struct resp_arg *argv)
{
    char text[128];

    (void)snprintf(text, sizeof text, "ERR unknown subcommand '%.*s'. Try CLIENT HELP.",
                   (int)(argv[1].len < 64 ? argv[1].len : 64), (const char *)argv[1].bytes);
    client_answer_error(c, text);
}

bool session_client(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc)
{
    const char *sub = command->name + 7; /* behind "client|" */

    if (strcmp(sub, "id") == 0) {
        buf_clear(&router->text);
        resp_put_integer(&router->text, (long long)c->id);
        router_answer(router, c, 0);
    } else if (strcmp(sub, "setname") == 0) {
        session_client_setname(c, &argv[2]);
    } else if (strcmp(sub, "getname") == 0) {
        session_client_getname(router, c);
    } else if (strcmp(sub, "reply") == 0) {
        session_client_reply(c, &argv[2]);
    } else if ((strcmp(sub, "info") == 0 || strcmp(sub, "list") == 0 ||
                strcmp(sub, "getredir") == 0) &&
               c->link != NULL && c->unanswered > 0 && c->all->capture == NULL) {
        client_postpone(c); /* TRACKING may be among what is not answered yet */
    } else if (strcmp(sub, "info") == 0) {
        session_client_info(router, c);
    } else if (strcmp(sub, "list") == 0) {
        session_client_list(router, c, argv, argc);
    } else if (strcmp(sub, "kill") == 0 && c->unanswered > 0 && c->all->capture == NULL) {
        client_postpone(c); /* what this client said before may be about the same one */
    } else if (strcmp(sub, "kill") == 0) {
        session_client_kill(router, c, argv, argc);
    } else if (strcmp(sub, "no-evict") == 0) {
        session_client_no_evict(c, argv);
    } else if (strcmp(sub, "unblock") == 0) {
        session_client_unblock(router, c, argv, argc);
    } else if (strcmp(sub, "pause") == 0 && c->unanswered > 0 && c->all->capture == NULL) {
        client_postpone(c); /* what it wrote over a link of its own comes before, and would wait */
    } else if (strcmp(sub, "pause") == 0) {
        session_client_pause(router, c, argv, argc);
    } else if (strcmp(sub, "unpause") == 0) {
        router_end_pause(router);
        router_answer_ok(c);
    } else if (strcmp(sub, "tracking") == 0) {
        session_client_tracking(router, c, argv, argc);
    } else if (strcmp(sub, "getredir") == 0) {
        buf_clear(&router->text);
        resp_put_integer(&router->text, c->tracking ? (long long)c->redirects_to : -1);
        router_answer(router, c, 0);
    } else if (strcmp(sub, "caching") == 0 || strcmp(sub, "trackinginfo") == 0) {
        session_client_ask(router, c, argv, argc);
    } else if (strcmp(sub, "no-touch") == 0) {
        session_client_no_touch(router, c, argv, argc);
    } else if (strcmp(sub, "setinfo") == 0) {
        router_answer_ok(c);
    } else if (strcmp(sub, "help") == 0) {
        return false; /* the engine tells it */
    } else {
        session_client_unknown(c, argv);
    }
    return true;
}
