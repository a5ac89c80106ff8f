#include "proxy/clients/session_impl.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/clients/acl.h"
#include "proxy/clients/credentials.h"
#include "proxy/clients/monitor.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/transaction.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char session_wrongpass[] =
    "WRONGPASS invalid username-password pair or user is disabled.";
const char session_bad_name[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

bool session_before_auth(const struct router *router, const struct client *c,
                         const struct command *command)
{
    return (command->flags & COMMAND_FLAG_NO_AUTH) != 0 ||
           (session_may_link(router, c) && strcmp(command->name, "client|id") == 0);
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

bool session_same_text(const struct resp_arg *given, const char *text)
{
    return given->len == strlen(text) && memcmp(given->bytes, text, given->len) == 0;
}

static bool session_has_password(const struct router *router)
{
    return router->config.password != NULL && router->config.password[0] != '\0';
}

const char *session_own_user(const struct router *router)
{
    return router->config.user != NULL && router->config.user[0] != '\0' ? router->config.user
                                                                         : "default";
}

bool session_needs_auth(const struct router *router)
{
    const struct credentials *own = router->config.credentials;

    return session_has_password(router) || (own != NULL && own->configured[0] != '\0' &&
                                            strcmp(session_own_user(router), "default") != 0);
}

/* The engine's link is one user; so that user's name and password is what clients come in with. */
static bool session_user_ok(const struct router *router, const struct resp_arg *user)
{
    return session_same_text(user, session_own_user(router));
}

/* Without a password of ours any will do ("nopass"). */
static bool session_password_ok(const struct router *router, const struct resp_arg *password)
{
    return !session_has_password(router) || session_same_secret(password, router->config.password);
}

static bool session_is_configured(const struct router *router, const struct resp_arg *password)
{
    const struct credentials *own = router->config.credentials;

    return own != NULL && own->configured[0] != '\0' &&
           session_same_secret(password, own->configured);
}

bool session_may_link(const struct router *router, const struct client *c)
{
    const struct credentials *own = router->config.credentials;

    return own != NULL && (c->may_link || own->configured[0] == '\0');
}

static void session_new_password(struct router *router, const struct resp_arg *password)
{
    credentials_set(router->config.credentials, password);
    router->clients->auth_required = session_needs_auth(router);
}

void session_config_credentials(struct router *router, const struct resp_arg *argv, size_t argc)
{
    struct resp_arg password;

    if (router->config.credentials != NULL && strcmp(session_own_user(router), "default") == 0 &&
        credentials_in_config(argv, argc, &password)) {
        session_new_password(router, &password);
    }
}

void session_acl_credentials(struct router *router, const struct resp_arg *argv, size_t argc)
{
    struct resp_arg password;

    if (router->config.credentials != NULL && argc > 2 && session_user_ok(router, &argv[2]) &&
        credentials_in_acl(argv, argc, &password)) {
        session_new_password(router, &password);
    }
}

/* Back to the user that the shared link is, nothing of the session being kept. False: postponed. */
static bool session_forget_user(struct client *c)
{
    if (c->user != NULL && c->unanswered > 0) {
        client_postpone(c);
        return false;
    }
    if (c->user != NULL) {
        acl_logout(c);
    }
    return true;
}

static void session_auth(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc)
{
    if (argc > 3) {
        client_answer_error(c, "ERR syntax error");
    } else if (argc == 2 && !session_has_password(router) &&
               !session_is_configured(router, &argv[1])) { /* other proxies say that one */
        client_answer_error(c, "ERR AUTH <password> called without any password configured for the "
                               "default user. Are you sure your configuration is correct?");
    } else if (argc == 3 && !session_user_ok(router, &argv[1])) {
        if (!acl_login(router, c, &argv[0], &argv[1], &argv[2])) {
            router_answer_ok(c);
        }
    } else if (session_password_ok(router, &argv[argc - 1])) {
        if (acl_login_own(c)) {
            return;
        }
        c->authenticated = true;
        router_answer_ok(c);
    } else if (!c->authenticated && session_is_configured(router, &argv[argc - 1])) {
        c->may_link = true; /* and nothing else */
        router_answer_ok(c);
    } else {
        client_answer_error(c, session_wrongpass);
    }
}

/* The characters that Redis takes in a client's name: printable and no blank. */
bool session_name_ok(const struct resp_arg *name)
{
    for (size_t i = 0; i < name->len; i++) {
        if (name->bytes[i] < '!' || name->bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

void session_set_name(struct client *c, const struct resp_arg *name)
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

bool session_is_own_name(const struct router *router, const struct resp_arg *user)
{
    static const struct resp_arg normal = {(const uint8_t *)"default", 7};
    return session_user_ok(router, user != NULL ? user : &normal);
}

bool session_is_own(const struct router *router, const struct resp_arg *user,
                    const struct resp_arg *password)
{
    if (user == NULL && !session_has_password(router)) {
        return false;
    }
    return (user == NULL || session_user_ok(router, user)) && session_password_ok(router, password);
}

bool session_is_own_refused(const struct router *router, const struct resp_arg *user,
                            const struct resp_arg *password)
{
    return session_is_own_name(router, user) && !session_password_ok(router, password);
}

static void session_put_hello(const struct router *router, const struct client *c, struct buf *b)
{
    buf_append_str(b, c->resp == 3 ? "%7\r\n" : "*14\r\n");
    session_put_pair(b, "server", router->hello_server);
    session_put_pair(b, "version",
                     router->hello_version[0] != '\0' ? router->hello_version
                                                      : router->engine_version);
    resp_put_bulk(b, "proto", 5);
    resp_put_integer(b, c->resp);
    resp_put_bulk(b, "id", 2);
    resp_put_integer(b, (long long)c->id);
    session_put_pair(b, "mode", router->hello_mode);
    session_put_pair(b, "role",
                     router->leader == NULL || leader_info(router->leader)->self ||
                             router_serves(router)
                         ? "master"
                         : "replica");
    resp_put_bulk(b, "modules", 7);
    resp_put_array(b, 0);
}

void session_hello_reply(struct router *router, struct client *c)
{
    buf_clear(&router->text);
    session_put_hello(router, c, &router->text);
    router_answer(router, c, 0);
}

/* The note of a HELLO that the client's link gets as well. */
struct session_hello_note {
    size_t len;
    uint8_t reply[];
};

static void session_hello_answered(struct request *r)
{
    const struct session_hello_note *note = r->note;
    request_set_reply(r, note->reply, note->len);
}

/* Whoever tracks in RESP3 is told from here on: so Redis must know of it before the client does.
 * HELLO goes before whatever is sent next. */
static void session_hello_there(struct router *router, struct client *c)
{
    static const struct resp_arg ping = {(const uint8_t *)"PING", 4};
    struct buf reply = BUF_INIT;
    enum route route = router_route(router, c, false, false, false);

    buf_clear(&router->hashes);
    struct request *r = router_send(router, c, route, 0, false, true, &ping, 1);
    if (r != NULL) {
        session_put_hello(router, c, &reply);
        struct session_hello_note *note = mem_alloc(sizeof *note + reply.len);
        note->len = reply.len;
        memcpy(note->reply, buf_head(&reply), reply.len);
        r->note = note;
        r->amend = session_hello_answered;
        buf_release(&reply);
    }
}

/* False: answered, or postponed. */
static bool session_hello_auth(struct router *router, struct client *c, const struct resp_arg *said,
                               const struct resp_arg *argv)
{
    if (!session_user_ok(router, &argv[0])) {
        return !acl_login(router, c, said, &argv[0], &argv[1]);
    }
    if (!session_password_ok(router, &argv[1])) {
        client_answer_error(c, session_wrongpass);
        return false;
    }
    if (acl_login_own(c)) {
        return false;
    }
    c->authenticated = true;
    return true;
}

/* HELLO [2|3 [AUTH user password] [SETNAME name]], as helloCommand in networking.c: what an option
 * says is done before the next one is looked at. */
static void session_hello(struct router *router, struct client *c, const struct resp_arg *argv,
                          size_t argc)
{
    long long version = c->resp;
    char text[160];

    if (c->all->capture == NULL && pubsub_has(c) && client_lane_busy(c, CLIENT_LANE_PUBSUB)) {
        return; /* RESP2 may make it a connection for messages alone */
    }
    if (c->all->capture == NULL && c->tracking && client_lane_busy(c, CLIENT_LANE_PRIVATE)) {
        return;
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
            if (!session_hello_auth(router, c, &argv[0], &argv[i + 1])) {
                return;
            }
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
    if (!client_may_ask(c)) {
        client_answer_error(c, "NOAUTH HELLO must be called with the client already authenticated, "
                               "otherwise the HELLO AUTH <user> <pass> option can be used to "
                               "authenticate the client and select the RESP protocol version at "
                               "the same time");
        return;
    }
    bool changes = argc >= 2 && c->resp != (unsigned)version;
    c->resp = (unsigned)version;
    if (changes && c->tracking && c->all->capture == NULL) {
        session_hello_there(router, c);
    } else {
        session_hello_reply(router, c);
    }
}

/* ---- SELECT, RESET ---- */

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
        if (c->user != NULL && c->link != NULL) {
            private_tell(c->link, "HELLO"); /* there, too, while its user has the right to it */
        }
        router_answer_ok(c);
    }
}

/* Redis refuses it where there is no cluster; here it is about other proxies, if there are any. */
static void session_readonly(const struct router *router, struct client *c, bool on)
{
    if (!router->had_others && !c->replica_port) {
        client_answer_error(c, "ERR This instance has cluster support disabled");
        return;
    }
    c->readonly = on;
    router_answer_ok(c);
}

static void session_reset(struct router *router, struct client *c)
{
    if (pubsub_has(c) && client_lane_busy(c, CLIENT_LANE_PUBSUB)) {
        return;
    }
    if (!session_forget_user(c)) {
        return;
    }
    transaction_unwatch(c);
    transaction_discard(c);
    c->db = 0;
    c->resp = 2;
    if (c->reply_mode == CLIENT_REPLY_OFF) { /* a SKIP is for the answer to this */
        c->reply_mode = CLIENT_REPLY_ON;
    }
    c->readonly = false;
    c->async = c->all->async_default && c->nonce[0] == '\0';
    c->authenticated = !session_needs_auth(router);
    c->may_link = false;
    free(c->name);
    c->name = NULL;
    monitor_leave(c);
    c->tracking = c->tracks_bcast = false;
    if (c->link != NULL && (private_kept(c->link) & (PRIVATE_TRACKING | PRIVATE_NO_TOUCH)) != 0) {
        private_spoil(c->link); /* what else was set there goes with it */
        private_unkeep(c->link, PRIVATE_TRACKING | PRIVATE_NO_TOUCH);
    }
    if (!pubsub_reset(router->pubsub, c, "+RESET\r\n")) {
        client_answer(c, "+RESET\r\n", 8, 0);
    }
}

static bool session_do(struct router *router, struct client *c, const struct command *command,
                       const struct resp_arg *argv, size_t argc)
{
    const char *name = command->name;

    if (strncmp(name, "client|", 7) == 0) {
        return session_client(router, c, command, argv, argc);
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
    } else if (strcmp(name, "wait") == 0 || strcmp(name, "waitaof") == 0) {
        session_wait(router, c, argv, argc);
    } else if (strcmp(name, "readonly") == 0 || strcmp(name, "readwrite") == 0) {
        session_readonly(router, c, name[4] == 'o');
    } else {
        return false;
    }
    return true;
}

/* SELECT, HELLO and AUTH Redis hears from the links. queued: by this command, or NULL. */
static bool session_counts(const struct client *c, const struct command *command,
                           const struct request *queued)
{
    bool sent = queued != NULL && queued->stage == REQUEST_SENT;

    return !sent && !c->postponed && !c->closing && strcmp(command->name, "select") != 0 &&
           strcmp(command->name, "hello") != 0 && strcmp(command->name, "auth") != 0;
}

bool session_handle(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc)
{
    uint64_t before_ns = clock_now_ns();
    const struct request *last = c->last;

    if (!session_do(router, c, command, argv, argc)) {
        return false;
    }
    const struct request *queued = c->last != last && c->all->capture == NULL ? c->last : NULL;
    if (session_counts(c, command, queued)) {
        bool failed = queued != NULL && request_reply_type(queued) == '-';
        tally_add(&c->all->tally, command->name, clock_now_ns() - before_ns, failed);
    }
    return true;
}
