#include "proxy/session.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/net.h"
#include "proxy/pubsub.h"
#include "proxy/transaction.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char session_wrongpass[] =
    "WRONGPASS invalid username-password pair or user is disabled.";
static const char session_bad_name[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

bool session_before_auth(const struct command *command)
{
    return (command->flags & COMMAND_FLAG_NO_AUTH) != 0;
}

/* ---- AUTH, HELLO ---- */

/* Takes as long for a wrong guess as for the right one. */
static bool session_same_secret(const struct resp_arg *given, const char *secret)
{
    size_t len = strlen(secret);
    unsigned char differs = given->len != len;

    for (size_t i = 0; i < given->len; i++) {
        differs |= (unsigned char)(given->bytes[i] ^ (unsigned char)secret[len > 0 ? i % len : 0]);
    }
    return differs == 0;
}

static bool session_same_text(const struct resp_arg *given, const char *text)
{
    return given->len == strlen(text) && memcmp(given->bytes, text, given->len) == 0;
}

static bool session_has_password(const struct router *router)
{
    return router->config.password != NULL && router->config.password[0] != '\0';
}

/* The engine's link is one user; so that user's name and password is what clients come in with. */
static bool session_user_ok(const struct router *router, const struct resp_arg *user)
{
    const char *own = router->config.user != NULL && router->config.user[0] != '\0'
                          ? router->config.user
                          : "default";
    return session_same_text(user, own);
}

/* Without a password of ours any will do ("nopass"). */
static bool session_password_ok(const struct router *router, const struct resp_arg *password)
{
    return !session_has_password(router) || session_same_secret(password, router->config.password);
}

static void session_auth(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc)
{
    if (argc > 3) {
        client_answer_error(c, "ERR syntax error");
    } else if (argc == 2 && !session_has_password(router)) {
        client_answer_error(c, "ERR AUTH <password> called without any password configured for the "
                               "default user. Are you sure your configuration is correct?");
    } else if (session_password_ok(router, &argv[argc - 1]) &&
               (argc == 2 || session_user_ok(router, &argv[1]))) {
        c->authenticated = true;
        router_answer_ok(c);
    } else {
        client_answer_error(c, session_wrongpass);
    }
}

/* The characters that Redis takes in a client's name: printable and no blank. */
static bool session_name_ok(const struct resp_arg *name)
{
    for (size_t i = 0; i < name->len; i++) {
        if (name->bytes[i] < '!' || name->bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

static void session_set_name(struct client *c, const struct resp_arg *name)
{
    free(c->name);
    c->name = NULL;
    if (name->len > 0) {
        c->name = mem_alloc(name->len + 1);
        memcpy(c->name, name->bytes, name->len);
        c->name[name->len] = '\0';
    }
}

void session_name_link(struct client *c, const struct resp_arg *proxy)
{
    if (session_name_ok(proxy)) {
        session_set_name(c, proxy);
    }
}

static void session_put_pair(struct buf *b, const char *key, const char *value)
{
    resp_put_bulk(b, key, strlen(key));
    resp_put_bulk(b, value, strlen(value));
}

static void session_hello_reply(struct router *router, struct client *c)
{
    struct buf *b = &router->text;

    buf_clear(b);
    buf_append_str(b, c->resp == 3 ? "%7\r\n" : "*14\r\n");
    session_put_pair(b, "server", "redis");
    session_put_pair(b, "version", router->engine_version);
    resp_put_bulk(b, "proto", 5);
    resp_put_integer(b, c->resp);
    resp_put_bulk(b, "id", 2);
    resp_put_integer(b, (long long)c->id);
    session_put_pair(b, "mode", "standalone");
    session_put_pair(b, "role",
                     router->leader == NULL || leader_info(router->leader)->self ||
                             router_serves(router)
                         ? "master"
                         : "replica");
    resp_put_bulk(b, "modules", 7);
    resp_put_array(b, 0);
    router_answer(router, c, 0);
}

/* HELLO [2|3 [AUTH user password] [SETNAME name]], as helloCommand in networking.c: what an option
 * says is done before the next one is looked at. */
static void session_hello(struct router *router, struct client *c, const struct resp_arg *argv,
                          size_t argc)
{
    long long version = c->resp;
    char text[160];

    if (pubsub_has(c) && client_lane_busy(c, CLIENT_LANE_PUBSUB)) {
        return; /* RESP2 may make it a connection for messages alone */
    }
    if (argc >= 2 && !resp_arg_integer(&argv[1], &version)) {
        client_answer_error(c, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version < 2 || version > 3) {
        client_answer_error(c, "NOPROTO unsupported protocol version");
        return;
    }
    for (size_t i = 2; i < argc; i++) {
        size_t more = argc - 1 - i;
        if (resp_arg_is(&argv[i], "auth") && more >= 2) {
            if (!session_password_ok(router, &argv[i + 2]) ||
                !session_user_ok(router, &argv[i + 1])) {
                client_answer_error(c, session_wrongpass);
                return;
            }
            c->authenticated = true;
            i += 2;
        } else if (resp_arg_is(&argv[i], "setname") && more >= 1) {
            if (!session_name_ok(&argv[++i])) {
                client_answer_error(c, session_bad_name);
                return;
            }
            session_set_name(c, &argv[i]);
        } else {
            (void)snprintf(text, sizeof text, "ERR Syntax error in HELLO option '%.*s'",
                           (int)(argv[i].len < 100 ? argv[i].len : 100),
                           (const char *)argv[i].bytes);
            client_answer_error(c, text);
            return;
        }
    }
    if (!c->authenticated) {
        client_answer_error(c, "NOAUTH HELLO must be called with the client already authenticated, "
                               "otherwise the HELLO AUTH <user> <pass> option can be used to "
                               "authenticate the client and select the RESP protocol version at "
                               "the same time");
        return;
    }
    if (argc >= 2) {
        c->resp = (unsigned)version;
    }
    session_hello_reply(router, c);
}

/* ---- SELECT, RESET, WAIT ---- */

static void session_select(struct router *router, struct client *c, const struct resp_arg *argv)
{
    long long db;

    if (!resp_arg_integer(&argv[1], &db)) {
        client_answer_error(c, "ERR value is not an integer or out of range");
    } else if (db < INT_MIN || db > INT_MAX) {
        client_answer_error(c, "ERR value is out of range, value must between -2147483648 and "
                               "2147483647");
    } else if (db < 0 || db >= (long long)router->config.databases) {
        client_answer_error(c, "ERR DB index is out of range");
    } else {
        c->db = (unsigned)db;
        router_answer_ok(c);
    }
}

static void session_reset(struct router *router, struct client *c)
{
    if (pubsub_has(c) && client_lane_busy(c, CLIENT_LANE_PUBSUB)) {
        return;
    }
    transaction_unwatch(c);
    transaction_discard(c);
    c->db = 0;
    c->resp = 2;
    c->reply_mode = CLIENT_REPLY_ON;
    c->readonly = false;
    c->authenticated = !session_has_password(router);
    free(c->name);
    c->name = NULL;
    if (!pubsub_reset(router->pubsub, c, "+RESET\r\n")) {
        client_answer(c, "+RESET\r\n", 8, 0);
    }
}

static void session_wait(struct client *c, const struct resp_arg *argv)
{
    long long replicas, timeout;

    if (!resp_arg_integer(&argv[1], &replicas)) {
        client_answer_error(c, "ERR value is not an integer or out of range");
    } else if (!resp_arg_integer(&argv[2], &timeout)) {
        client_answer_error(c, "ERR timeout is not an integer or out of range");
    } else if (timeout < 0) {
        client_answer_error(c, "ERR timeout is negative");
    } else {
        /* The count is made when the reply leaves: everything this client wrote is committed then.
         */
        client_answer(c, "", 0, REQUEST_WAIT);
    }
}

/* ---- CLIENT ---- */

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
    if (c->lane == CLIENT_LANE_PRIVATE && c->unanswered > 0) {
        flags[n++] = 'b';
    }
    if (n == 0) {
        flags[n++] = 'N';
    }
    flags[n] = '\0';
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
               "obl=0 oll=0 omem=%zu tot-mem=%zu events=r cmd=%s user=default redir=-1 resp=%u\n",
               (unsigned long long)c->id, peer, own, c->fd, c->name != NULL ? c->name : "",
               (unsigned long long)((now_ns - c->created_ns) / CLOCK_NS_PER_S),
               (unsigned long long)((now_ns - c->used_ns) / CLOCK_NS_PER_S), flags, c->db, subs[0],
               subs[1], subs[2], transaction_length(c), c->in.len, chain_capacity(&c->out),
               sizeof *c + c->in.cap + chain_capacity(&c->out), c->last_command, c->resp);
}

static void session_client_list(struct router *router, struct client *c, bool all)
{
    struct buf list = BUF_INIT;

    if (all) {
        for (struct client *each = c->all->list; each != NULL; each = each->next) {
            session_describe(each, &list);
        }
    } else {
        session_describe(c, &list);
    }
    buf_clear(&router->text);
    if (c->resp == 3) {
        buf_printf(&router->text, "=%zu\r\ntxt:", list.len + 4);
        buf_append(&router->text, buf_head(&list), list.len);
        buf_append_str(&router->text, "\r\n");
    } else {
        resp_put_bulk(&router->text, buf_head(&list), list.len);
    }
    buf_release(&list);
    router_answer(router, c, 0);
}

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

/* CLIENT KILL ID n and CLIENT KILL addr:port / ADDR addr:port; other filters come with all of
 * CLIENT. With a filter, a client does not kill itself (SKIPME yes is the default). */
static void session_client_kill(struct client *c, const struct resp_arg *argv, size_t argc)
{
    const struct resp_arg *value = &argv[argc - 1];
    bool by_id = argc == 4 && resp_arg_is(&argv[2], "id");
    long long id = 0, killed = 0;
    char peer[64], reply[32];

    if (argc > 4 || (argc == 4 && !by_id && !resp_arg_is(&argv[2], "addr"))) {
        client_answer_error(c, "ERR syntax error");
        return;
    }
    if (by_id && (!resp_arg_integer(value, &id) || id < 1)) {
        client_answer_error(c, "ERR client-id should be greater than 0");
        return;
    }
    for (struct client *each = c->all->list, *next; each != NULL; each = next) {
        next = each->next;
        net_peer_name(each->fd, peer, sizeof peer);
        if (by_id ? each->id != (uint64_t)id : !session_same_text(value, peer)) {
            continue;
        }
        if (each != c) {
            client_close(each, "CLIENT KILL");
        } else if (argc == 3) {
            c->close_when_sent = true;
        } else {
            continue;
        }
        killed++;
    }
    if (argc == 3) {
        if (killed > 0) {
            router_answer_ok(c);
        } else {
            client_answer_error(c, "ERR No such client");
        }
        return;
    }
    int len = snprintf(reply, sizeof reply, ":%lld\r\n", killed);
    client_answer(c, reply, (size_t)len, 0);
}

static struct client *session_find(struct client *c, long long id)
{
    for (struct client *each = c->all->list; each != NULL; each = each->next) {
        if (each->id == (uint64_t)id) {
            return each;
        }
    }
    return NULL;
}

/* CLIENT UNBLOCK id [TIMEOUT|ERROR]: Redis does it, by the name that it has for the private link. A
 * link that was told so is not lent to others: it may come too late, when another client blocks. */
static void session_client_unblock(struct router *router, struct client *c,
                                   const struct resp_arg *argv, size_t argc)
{
    struct resp_arg words[4];
    char text[32], wrong[192];
    long long id;

    if (argc > 4) {
        (void)snprintf(wrong, sizeof wrong,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try CLIENT "
                       "HELP.",
                       (int)(argv[1].len < 64 ? argv[1].len : 64), (const char *)argv[1].bytes);
        client_answer_error(c, wrong);
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
    if (blocked == NULL || blocked->link == NULL || private_id(blocked->link) == 0 ||
        !engine_is_up(router->engine)) {
        client_answer(c, ":0\r\n", 4, 0);
        return;
    }
    private_spoil(blocked->link);
    if (!router_choose_lane(router, c, false, ROUTE_ENGINE)) {
        return;
    }
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)private_id(blocked->link));
    memcpy(words, argv, argc * sizeof *argv);
    words[2] = (struct resp_arg){(const uint8_t *)text, (size_t)len};
    buf_clear(&router->hashes);
    router_send(router, c, ROUTE_ENGINE, 0, false, true, words, argc);
}

static bool session_client(struct router *router, struct client *c, const char *sub,
                           const struct resp_arg *argv, size_t argc)
{
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
        session_client_list(router, c, false);
    } else if (strcmp(sub, "list") == 0 && argc == 2) {
        session_client_list(router, c, true);
    } else if (strcmp(sub, "kill") == 0) {
        session_client_kill(c, argv, argc);
    } else if (strcmp(sub, "no-evict") == 0) {
        if (resp_arg_is(&argv[2], "on") || resp_arg_is(&argv[2], "off")) {
            router_answer_ok(c); /* the proxy's clients are never evicted by Redis */
        } else {
            client_answer_error(c, "ERR syntax error");
        }
    } else if (strcmp(sub, "getredir") == 0) {
        client_answer(c, ":-1\r\n", 5, 0);
    } else if (strcmp(sub, "unblock") == 0) {
        session_client_unblock(router, c, argv, argc);
    } else if (strcmp(sub, "setinfo") == 0) {
        router_answer_ok(c);
    } else if (strcmp(sub, "help") == 0) {
        return false; /* the engine tells it */
    } else {
        char text[128];
        (void)snprintf(text, sizeof text, "ERR unknown subcommand '%.*s'. Try CLIENT HELP.",
                       (int)(argv[1].len < 64 ? argv[1].len : 64), (const char *)argv[1].bytes);
        client_answer_error(c, text);
    }
    return true;
}

bool session_handle(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc)
{
    const char *name = command->name;

    if (strncmp(name, "client|", 7) == 0) {
        return session_client(router, c, name + 7, argv, argc);
    }
    if (strcmp(name, "select") == 0) {
        session_select(router, c, argv);
    } else if (strcmp(name, "hello") == 0) {
        session_hello(router, c, argv, argc);
    } else if (strcmp(name, "auth") == 0) {
        session_auth(router, c, argv, argc);
    } else if (strcmp(name, "reset") == 0) {
        session_reset(router, c);
    } else if (strcmp(name, "quit") == 0) {
        client_answer(c, "+OK\r\n", 5, REQUEST_CLOSE);
    } else if (strcmp(name, "wait") == 0 &&
               router_route(router, c, false, false, true) == ROUTE_ENGINE) {
        session_wait(c, argv);
    } else if (strcmp(name, "readonly") == 0 || strcmp(name, "readwrite") == 0) {
        c->readonly = name[4] == 'o';
        router_answer_ok(c);
    } else {
        return false;
    }
    return true;
}
