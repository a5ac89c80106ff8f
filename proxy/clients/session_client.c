/* CLIENT: about the proxy's clients, not about the links to Redis. Texts and the order of checks
 * are those of clientCommand in networking.c. */
#include "proxy/clients/session.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/transaction.h"
#include "proxy/node/net.h"

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

/* ---- CLIENT LIST, CLIENT INFO ---- */

/* As getClientInfoString has them; what is of no client of ours is left out. */
static void session_flags(const struct client *c, char flags[8])
{
    size_t n = 0;

    if (pubsub_has(c)) {
        flags[n++] = 'P';
    }
    if (c->transaction != NULL) {
        flags[n++] = 'x';
    }
    if (client_is_blocked(c)) {
        flags[n++] = 'b';
    }
    if (n == 0) {
        flags[n++] = 'N';
    }
    flags[n] = '\0';
}

static const char *session_user(const struct client *c)
{
    return c->user != NULL ? c->user : "default";
}

static void session_describe(const struct client *c, struct buf *b)
{
    char peer[64], own[64];
    uint64_t now_ns = c->all->now_ns;
    static const size_t none[TOPIC_KINDS];
    const size_t *subs = c->subscriber != NULL ? c->subscriber->wanted : none;
    char flags[8];

    session_flags(c, flags);
    net_peer_name(c->fd, peer, sizeof peer);
    net_local_name(c->fd, own, sizeof own);
    buf_printf(b,
               "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s db=%u sub=%zu "
               "psub=%zu ssub=%zu multi=%d qbuf=%zu qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 "
               "obl=0 oll=0 omem=%zu tot-mem=%zu events=r cmd=%s user=%s redir=-1 resp=%u\n",
               (unsigned long long)c->id, peer, own, c->fd, c->name != NULL ? c->name : "",
               (unsigned long long)((now_ns - c->created_ns) / CLOCK_NS_PER_S),
               (unsigned long long)((now_ns - c->used_ns) / CLOCK_NS_PER_S), flags, c->db, subs[0],
               subs[1], subs[2], transaction_length(c), c->in.len, chain_capacity(&c->out),
               sizeof *c + c->in.cap + chain_capacity(&c->out), c->last_command, session_user(c),
               c->resp);
}

static void session_answer_text(struct router *router, struct client *c, const struct buf *text)
{
    buf_clear(&router->text);
    if (c->resp == 3) {
        buf_printf(&router->text, "=%zu\r\ntxt:", text->len + 4);
        buf_append(&router->text, buf_head(text), text->len);
        buf_append_str(&router->text, "\r\n");
    } else {
        resp_put_bulk(&router->text, buf_head(text), text->len);
    }
    router_answer(router, c, 0);
}

enum session_type { SESSION_ANY, SESSION_NORMAL, SESSION_PUBSUB, SESSION_NONE };

/* What getClientTypeByName knows; among the proxy's clients are neither replicas nor masters. */
static bool session_type_of(struct client *c, const struct resp_arg *name, enum session_type *type)
{
    char text[128];

    if (resp_arg_is(name, "normal")) {
        *type = SESSION_NORMAL;
    } else if (resp_arg_is(name, "pubsub")) {
        *type = SESSION_PUBSUB;
    } else if (resp_arg_is(name, "slave") || resp_arg_is(name, "replica") ||
               resp_arg_is(name, "master")) {
        *type = SESSION_NONE;
    } else {
        (void)snprintf(text, sizeof text, "ERR Unknown client type '%.*s'",
                       (int)(name->len < 64 ? name->len : 64), (const char *)name->bytes);
        client_answer_error(c, text);
        return false;
    }
    return true;
}

static bool session_has_type(const struct client *c, enum session_type type)
{
    return type == SESSION_ANY || type == (pubsub_has(c) ? SESSION_PUBSUB : SESSION_NORMAL);
}

static struct client *session_find(const struct client *c, long long id)
{
    for (struct client *each = c->all->list; each != NULL; each = each->next) {
        if (each->id == (uint64_t)id) {
            return each;
        }
    }
    return NULL;
}

/* The oldest first, as Redis lists them. */
static void session_list_type(struct router *router, struct client *c, enum session_type type)
{
    struct buf text = BUF_INIT;
    struct client *each = c->all->list;

    while (each->next != NULL) {
        each = each->next;
    }
    for (; each != NULL; each = each->prev) {
        if (session_has_type(each, type)) {
            session_describe(each, &text);
        }
    }
    session_answer_text(router, c, &text);
    buf_release(&text);
}

static void session_list_ids(struct router *router, struct client *c, const struct resp_arg *argv,
                             size_t argc)
{
    struct buf text = BUF_INIT;
    long long id;

    for (size_t i = 3; i < argc; i++) {
        if (!resp_arg_integer(&argv[i], &id)) {
            client_answer_error(c, "ERR Invalid client ID");
            buf_release(&text);
            return;
        }
        const struct client *found = session_find(c, id);
        if (found != NULL) {
            session_describe(found, &text);
        }
    }
    session_answer_text(router, c, &text);
    buf_release(&text);
}

static void session_client_list(struct router *router, struct client *c,
                                const struct resp_arg *argv, size_t argc)
{
    enum session_type type = SESSION_ANY;

    if (argc == 4 && resp_arg_is(&argv[2], "type")) {
        if (session_type_of(c, &argv[3], &type)) {
            session_list_type(router, c, type);
        }
    } else if (argc > 3 && resp_arg_is(&argv[2], "id")) {
        session_list_ids(router, c, argv, argc);
    } else if (argc != 2) {
        client_answer_error(c, "ERR syntax error");
    } else {
        session_list_type(router, c, SESSION_ANY);
    }
}

static void session_client_info(struct router *router, struct client *c)
{
    struct buf text = BUF_INIT;

    session_describe(c, &text);
    session_answer_text(router, c, &text);
    buf_release(&text);
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

/* ---- CLIENT KILL, CLIENT UNBLOCK ---- */

struct session_filter {
    const struct resp_arg *addr, *laddr, *user; /* NULL: any */
    long long id;                               /* 0: any */
    enum session_type type;
    bool skips_self;
};

static bool session_filter_fits(const struct session_filter *f, const struct client *each)
{
    char peer[64], own[64];

    if ((f->id != 0 && each->id != (uint64_t)f->id) || !session_has_type(each, f->type) ||
        (f->user != NULL && !session_same_text(f->user, session_user(each)))) {
        return false;
    }
    net_peer_name(each->fd, peer, sizeof peer);
    net_local_name(each->fd, own, sizeof own);
    return (f->addr == NULL || session_same_text(f->addr, peer)) &&
           (f->laddr == NULL || session_same_text(f->laddr, own));
}

/* One pair of words; false: answered with an error. */
static bool session_filter_take(struct session_filter *f, struct client *c,
                                const struct resp_arg *word, const struct resp_arg *value)
{
    if (resp_arg_is(word, "id")) {
        if (!resp_arg_integer(value, &f->id) || f->id < 1) {
            client_answer_error(c, "ERR client-id should be greater than 0");
            return false;
        }
    } else if (resp_arg_is(word, "type")) {
        return session_type_of(c, value, &f->type);
    } else if (resp_arg_is(word, "addr")) {
        f->addr = value;
    } else if (resp_arg_is(word, "laddr")) {
        f->laddr = value;
    } else if (resp_arg_is(word, "user")) {
        f->user = value;
    } else if (resp_arg_is(word, "skipme") &&
               (resp_arg_is(value, "yes") || resp_arg_is(value, "no"))) {
        f->skips_self = resp_arg_is(value, "yes");
    } else {
        client_answer_error(c, "ERR syntax error");
        return false;
    }
    return true;
}

static long long session_kill(const struct session_filter *f, struct client *c, bool *self)
{
    long long killed = 0;

    for (struct client *each = c->all->list, *next; each != NULL; each = next) {
        next = each->next;
        if (!session_filter_fits(f, each) || (each == c && f->skips_self)) {
            continue;
        }
        if (each == c) {
            *self = true;
        } else {
            client_close(each, "CLIENT KILL");
        }
        killed++;
    }
    return killed;
}

/* CLIENT KILL addr:port, or pairs of a filter's name and a value. */
static void session_client_kill(struct client *c, const struct resp_arg *argv, size_t argc)
{
    struct session_filter filter = {.skips_self = argc > 3};
    bool self = false;
    char reply[32];

    if (argc == 3) {
        filter.addr = &argv[2];
    }
    for (size_t i = 2; argc > 3 && i < argc; i += 2) {
        if (i + 1 >= argc) {
            client_answer_error(c, "ERR syntax error");
            return;
        }
        if (!session_filter_take(&filter, c, &argv[i], &argv[i + 1])) {
            return;
        }
    }
    long long killed = session_kill(&filter, c, &self);
    if (argc == 3 && killed == 0) {
        client_answer_error(c, "ERR No such client");
    } else if (argc == 3) {
        router_answer_ok(c);
    } else {
        int len = snprintf(reply, sizeof reply, ":%lld\r\n", killed);
        client_answer(c, reply, (size_t)len, 0);
    }
    c->close_when_sent = c->close_when_sent || self;
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
    const struct client *blocked = session_find(c, id);
    if (blocked != NULL && session_wait_unblock(router, (struct client *)(uintptr_t)blocked,
                                                argc == 4 && resp_arg_is(&argv[3], "error"))) {
        client_answer(c, ":1\r\n", 4, 0);
        return;
    }
    bool known = blocked != NULL && blocked->link != NULL && private_id(blocked->link) != 0;
    enum route route = known && private_is_forward(blocked->link) ? ROUTE_FORWARD : ROUTE_ENGINE;
    if (!known || (route == ROUTE_ENGINE && !engine_is_up(router->engine))) {
        client_answer(c, ":0\r\n", 4, 0);
        return;
    }
    private_spoil(blocked->link);
    if (!router_choose_lane(router, c, false, route)) {
        return;
    }
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)private_id(blocked->link));
    memcpy(words, argv, argc * sizeof *argv);
    words[2] = (struct resp_arg){(const uint8_t *)text, (size_t)len};
    buf_clear(&router->hashes);
    router_send(router, c, route, 0, false, true, words, argc);
}

/* ---- CLIENT PAUSE ---- */

/* Requests wait unread until then (client_postpone); what is here already goes on. */
static void session_client_pause(struct client *c, const struct resp_arg *argv, size_t argc)
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
        router_answer_ok(c);
    }
}

/* ---- CLIENT TRACKING ---- */

/* Redis tells the connection that read: all that the client says goes over a link of its own. */
static void session_client_tracking(struct router *router, struct client *c,
                                    const struct resp_arg *argv, size_t argc)
{
    bool on = resp_arg_is(&argv[2], "on"), off = resp_arg_is(&argv[2], "off");

    for (size_t i = 3; i < argc; i++) {
        if (resp_arg_is(&argv[i], "redirect")) {
            client_answer_error(c, "ERR CLIENT TRACKING with REDIRECT is disabled by the proxy");
            return;
        }
    }
    bool needs_link = on || (c->link != NULL && (private_kept(c->link) & PRIVATE_TRACKING) != 0);
    enum route route = router_route(router, c, false, false, false);
    if (!router_choose_lane(router, c, needs_link, route)) {
        return;
    }
    if (needs_link) {
        private_keep(c->link, PRIVATE_TRACKING);
    }
    buf_clear(&router->hashes);
    (void)router_send(router, c, route,
                      on    ? REQUEST_TRACKS
                      : off ? REQUEST_UNTRACKS
                            : 0,
                      false, true, argv, argc);
}

/* What Redis knows of the connection: of the private link, if that is what tracks. */
static void session_client_ask(struct router *router, struct client *c, const struct resp_arg *argv,
                               size_t argc)
{
    static const char caching_yes[] = "*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nyes\r\n";
    static const char caching_no[] = "*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$2\r\nno\r\n";
    enum route route = router_route(router, c, false, false, false);

    if (!router_choose_lane(router, c, false, route)) {
        return;
    }
    buf_clear(&router->hashes);
    (void)router_send(router, c, route, 0, false, true, argv, argc);
    /* CACHING is for the next command, and a fence may come before that: it is said again then. */
    if (c->lane == CLIENT_LANE_PRIVATE && resp_arg_is(&argv[1], "caching")) {
        private_prefix(c->link, resp_arg_is(&argv[2], "yes")  ? caching_yes
                                : resp_arg_is(&argv[2], "no") ? caching_no
                                                              : NULL);
    }
}

void session_tracked(struct request *r)
{
    struct client *c = r->client;

    if (request_reply_type(r) != '-') {
        c->tracking = (r->flags & REQUEST_TRACKS) != 0;
    }
    if (!c->tracking && c->link != NULL) {
        private_unkeep(c->link, PRIVATE_TRACKING);
    }
}

/* ---- all of it ---- */

static void session_client_no_evict(struct client *c, const struct resp_arg *argv)
{
    if (resp_arg_is(&argv[2], "on") || resp_arg_is(&argv[2], "off")) {
        router_answer_ok(c); /* the proxy's clients are never evicted by Redis */
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
    } else if (strcmp(sub, "info") == 0) {
        session_client_info(router, c);
    } else if (strcmp(sub, "list") == 0) {
        session_client_list(router, c, argv, argc);
    } else if (strcmp(sub, "kill") == 0) {
        session_client_kill(c, argv, argc);
    } else if (strcmp(sub, "no-evict") == 0) {
        session_client_no_evict(c, argv);
    } else if (strcmp(sub, "unblock") == 0) {
        session_client_unblock(router, c, argv, argc);
    } else if (strcmp(sub, "pause") == 0) {
        session_client_pause(c, argv, argc);
    } else if (strcmp(sub, "unpause") == 0) {
        clients_end_pause(c->all);
        router_answer_ok(c);
    } else if (strcmp(sub, "tracking") == 0) {
        session_client_tracking(router, c, argv, argc);
    } else if (strcmp(sub, "getredir") == 0 && c->link == NULL) {
        client_answer(c, ":-1\r\n", 5, 0);
    } else if (strcmp(sub, "caching") == 0 || strcmp(sub, "trackinginfo") == 0 ||
               strcmp(sub, "getredir") == 0) {
        session_client_ask(router, c, argv, argc);
    } else if (strcmp(sub, "setinfo") == 0) {
        router_answer_ok(c);
    } else if (strcmp(sub, "help") == 0) {
        return false; /* the engine tells it */
    } else {
        session_client_unknown(c, argv);
    }
    return true;
}
