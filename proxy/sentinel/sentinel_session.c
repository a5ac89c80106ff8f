/* The way of a request at the Sentinel port, and the commands about the connection itself. Order of
 * checks and texts are those of Redis 7.0 (processCommand; networking.c, acl.c, server.c). */
#include "common/clock.h"
#include "common/mem.h"
#include "proxy/sentinel/sentinel_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- composing ---- */

void sentinel_put_head(struct buf *b, char type, size_t count)
{
    buf_printf(b, "%c%zu\r\n", type, count);
}

void sentinel_put_map(struct sentinel_client *c, size_t pairs)
{
    sentinel_put_head(&c->out, c->resp == 3 ? '%' : '*', c->resp == 3 ? pairs : 2 * pairs);
}

void sentinel_put_text(struct buf *b, const char *text)
{
    resp_put_bulk(b, text, strlen(text));
}

void sentinel_put_error(struct sentinel_client *c, const char *text)
{
    resp_put_error(&c->out, text);
}

void sentinel_put_ok(struct sentinel_client *c)
{
    resp_put_simple(&c->out, "OK");
}

/* ---- connections ---- */

void sentinel_client_add(struct sentinel *s, struct sentinel_client *c)
{
    c->id = s->next_id++;
    c->resp = 2;
    c->authenticated = s->config.password[0] == '\0';
    c->created_ns = c->used_ns = s->now_ns;
    c->last_command = "NULL";
    c->next = s->clients;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    s->clients = c;
    s->client_count++;
}

void sentinel_client_remove(struct sentinel *s, struct sentinel_client *c)
{
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        s->clients = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    s->client_count--;
    sentinel_forget_subscriptions(c);
    free(c->name);
    buf_release(&c->out);
}

void sentinel_client_error(struct sentinel_client *c, const char *text)
{
    sentinel_put_error(c, text);
    c->close_when_sent = true;
}

/* ---- the way of a request ---- */

static const struct sentinel_command *sentinel_find_command(const char *name)
{
    for (size_t i = 0; i < sentinel_command_count; i++) {
        if (strcmp(sentinel_commands[i].name, name) == 0) {
            return &sentinel_commands[i];
        }
    }
    return NULL;
}

/* What a RESP2 connection that listens may say besides. */
static bool sentinel_while_subscribed(const char *name)
{
    static const char *const names[] = {"ping",        "subscribe",    "psubscribe",
                                        "unsubscribe", "punsubscribe", "quit"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void sentinel_request(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    const struct command *found;
    struct buf text = BUF_INIT;

    c->used_ns = s->now_ns;
    if (command_check(s->table, argv, argc, &found, &text) != ERR_OK) {
        buf_append(&text, "", 1);
        sentinel_put_error(c, (const char *)buf_head(&text));
        buf_release(&text);
        return;
    }
    const struct sentinel_command *command = sentinel_find_command(found->name);
    MUST(command != NULL && command->handler != NULL);
    c->last_command = command->name;
    if (!c->authenticated && (found->flags & COMMAND_FLAG_NO_AUTH) == 0) {
        sentinel_put_error(c, "NOAUTH Authentication required.");
    } else if (c->resp == 2 && c->subscription_count > 0 &&
               !sentinel_while_subscribed(command->name)) {
        char refused[192];
        (void)snprintf(refused, sizeof refused,
                       "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                       "QUIT / RESET are allowed in this context",
                       command->name);
        sentinel_put_error(c, refused);
    } else {
        command->handler(s, c, argv, argc);
    }
}

/* ---- AUTH, HELLO ---- */

/* A wrong guess takes as long as the right one. Nothing is no secret. */
static bool sentinel_same_secret(const struct resp_arg *given, const char *secret)
{
    size_t len = strlen(secret);
    unsigned char differs = given->len != len || len == 0;

    for (size_t i = 0; len > 0 && i < given->len; i++) {
        differs |= (unsigned char)(given->bytes[i] ^ (unsigned char)secret[i % len]);
    }
    return differs == 0;
}

/* Without a password any will do. */
static bool sentinel_password_ok(const struct sentinel *s, const struct resp_arg *given)
{
    return s->config.password[0] == '\0' || sentinel_same_secret(given, s->config.password);
}

/* A connection has shown, or not, that its owner might as well command the leader. */
static bool sentinel_trust(const struct sentinel *s, struct sentinel_client *c,
                           const struct resp_arg *given)
{
    c->trusted = sentinel_same_secret(given, s->config.data_password);
    return c->trusted;
}

bool sentinel_may_command(const struct sentinel *s, struct sentinel_client *c)
{
    if (s->config.password[0] != '\0' || s->config.data_password[0] == '\0' || c->trusted) {
        return true;
    }
    sentinel_put_error(c, "NOAUTH this needs AUTH with the password of the clients' port, or "
                          "sentinel.password to be set");
    return false;
}

static bool sentinel_user_ok(const struct resp_arg *user)
{
    return user->len == 7 && memcmp(user->bytes, "default", 7) == 0;
}

static const char sentinel_wrongpass[] =
    "WRONGPASS invalid username-password pair or user is disabled.";
static const char sentinel_bad_name[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

void sentinel_do_auth(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    if (argc > 3) {
        sentinel_put_error(c, "ERR syntax error");
    } else if (argc == 2 && s->config.password[0] == '\0' && !sentinel_trust(s, c, &argv[1])) {
        sentinel_put_error(c, "ERR AUTH <password> called without any password configured for the "
                              "default user. Are you sure your configuration is correct?");
    } else if (sentinel_password_ok(s, &argv[argc - 1]) &&
               (argc == 2 || sentinel_user_ok(&argv[1]))) {
        (void)sentinel_trust(s, c, &argv[argc - 1]);
        c->authenticated = true;
        sentinel_put_ok(c);
    } else {
        sentinel_put_error(c, sentinel_wrongpass);
    }
}

static bool sentinel_name_ok(const struct resp_arg *name)
{
    for (size_t i = 0; i < name->len; i++) {
        if (name->bytes[i] < '!' || name->bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

static void sentinel_set_name(struct sentinel_client *c, const struct resp_arg *name)
{
    free(c->name);
    c->name = NULL;
    if (name->len > 0) {
        c->name = mem_alloc(name->len + 1);
        memcpy(c->name, name->bytes, name->len);
        c->name[name->len] = '\0';
    }
}

/* The options of HELLO, each done before the next is looked at. False: an error was answered. */
static bool sentinel_hello_options(struct sentinel *s, struct sentinel_client *c,
                                   const struct resp_arg *argv, size_t argc)
{
    char text[160];

    for (size_t i = 2; i < argc; i++) {
        size_t more = argc - 1 - i;
        if (resp_arg_is(&argv[i], "auth") && more >= 2) {
            if (!sentinel_password_ok(s, &argv[i + 2]) || !sentinel_user_ok(&argv[i + 1])) {
                sentinel_put_error(c, sentinel_wrongpass);
                return false;
            }
            (void)sentinel_trust(s, c, &argv[i + 2]);
            c->authenticated = true;
            i += 2;
        } else if (resp_arg_is(&argv[i], "setname") && more >= 1) {
            if (!sentinel_name_ok(&argv[++i])) {
                sentinel_put_error(c, sentinel_bad_name);
                return false;
            }
            sentinel_set_name(c, &argv[i]);
        } else {
            (void)snprintf(text, sizeof text, "ERR Syntax error in HELLO option '%.*s'",
                           (int)(argv[i].len < 100 ? argv[i].len : 100),
                           (const char *)argv[i].bytes);
            sentinel_put_error(c, text);
            return false;
        }
    }
    return true;
}

void sentinel_do_hello(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                       size_t argc)
{
    long long version = c->resp;

    if (argc >= 2 && !resp_arg_integer(&argv[1], &version)) {
        sentinel_put_error(c, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version < 2 || version > 3) {
        sentinel_put_error(c, "NOPROTO unsupported protocol version");
        return;
    }
    if (!sentinel_hello_options(s, c, argv, argc)) {
        return;
    }
    if (!c->authenticated) {
        sentinel_put_error(c, "NOAUTH HELLO must be called with the client already authenticated, "
                              "otherwise the HELLO AUTH <user> <pass> option can be used to "
                              "authenticate the client and select the RESP protocol version at "
                              "the same time");
        return;
    }
    c->resp = (unsigned)version;
    sentinel_put_map(c, 6);
    sentinel_put_text(&c->out, "server");
    sentinel_put_text(&c->out, "redis");
    sentinel_put_text(&c->out, "version");
    sentinel_put_text(&c->out, s->version);
    sentinel_put_text(&c->out, "proto");
    resp_put_integer(&c->out, c->resp);
    sentinel_put_text(&c->out, "id");
    resp_put_integer(&c->out, (long long)c->id);
    sentinel_put_text(&c->out, "mode");
    sentinel_put_text(&c->out, "sentinel");
    sentinel_put_text(&c->out, "modules");
    resp_put_array(&c->out, 0);
}

/* ---- PING, QUIT, ROLE, ACL ---- */

void sentinel_do_ping(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    (void)s;
    if (argc > 2) {
        sentinel_put_error(c, "ERR wrong number of arguments for 'ping' command");
    } else if (c->resp == 2 && c->subscription_count > 0) {
        resp_put_array(&c->out, 2);
        sentinel_put_text(&c->out, "pong");
        resp_put_bulk(&c->out, argv[argc - 1].bytes, argc == 2 ? argv[1].len : 0);
    } else if (argc == 2) {
        resp_put_bulk(&c->out, argv[1].bytes, argv[1].len);
    } else {
        resp_put_simple(&c->out, "PONG");
    }
}

/* Redis 7.0's Sentinel does not know it, those before and after do. */
void sentinel_do_quit(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    sentinel_put_ok(c);
    c->close_when_sent = true;
}

void sentinel_do_role(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    (void)argv;
    (void)argc;
    resp_put_array(&c->out, 2);
    sentinel_put_text(&c->out, "sentinel");
    resp_put_array(&c->out, 1);
    sentinel_put_text(&c->out, s->config.master_name);
}

void sentinel_do_acl_whoami(struct sentinel *s, struct sentinel_client *c,
                            const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    sentinel_put_text(&c->out, "default");
}

void sentinel_do_shutdown(struct sentinel *s, struct sentinel_client *c,
                          const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    sentinel_put_error(c, "ERR SHUTDOWN is disabled by the proxy");
}

/* ---- CLIENT ---- */

void sentinel_do_client_id(struct sentinel *s, struct sentinel_client *c,
                           const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    resp_put_integer(&c->out, (long long)c->id);
}

void sentinel_do_client_setname(struct sentinel *s, struct sentinel_client *c,
                                const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argc;
    if (!sentinel_name_ok(&argv[2])) {
        sentinel_put_error(c, sentinel_bad_name);
        return;
    }
    sentinel_set_name(c, &argv[2]);
    sentinel_put_ok(c);
}

void sentinel_do_client_getname(struct sentinel *s, struct sentinel_client *c,
                                const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    if (c->name != NULL) {
        sentinel_put_text(&c->out, c->name);
    } else {
        resp_put_null(&c->out, (int)c->resp);
    }
}

/* Redis has it from 7.2 on, and clients try it whatever they talk to. */
void sentinel_do_client_setinfo(struct sentinel *s, struct sentinel_client *c,
                                const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    sentinel_put_ok(c);
}

void sentinel_do_client_no_evict(struct sentinel *s, struct sentinel_client *c,
                                 const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argc;
    if (resp_arg_is(&argv[2], "on") || resp_arg_is(&argv[2], "off")) {
        sentinel_put_ok(c);
    } else {
        sentinel_put_error(c, "ERR syntax error");
    }
}

static void sentinel_describe_client(const struct sentinel *s, const struct sentinel_client *c,
                                     struct buf *b)
{
    size_t patterns = 0;

    for (size_t i = 0; i < c->subscription_count; i++) {
        patterns += c->subscriptions[i].pattern;
    }
    buf_printf(b,
               "id=%llu addr=%s laddr=%s fd=-1 name=%s age=%llu idle=%llu flags=%s db=0 sub=%zu "
               "psub=%zu ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 "
               "obl=0 oll=0 omem=%zu tot-mem=%zu events=r cmd=%s user=default redir=-1 resp=%u\n",
               (unsigned long long)c->id, c->peer, c->own, c->name != NULL ? c->name : "",
               (unsigned long long)((s->now_ns - c->created_ns) / CLOCK_NS_PER_S),
               (unsigned long long)((s->now_ns - c->used_ns) / CLOCK_NS_PER_S),
               c->subscription_count > 0 ? "P" : "N", c->subscription_count - patterns, patterns,
               c->out.cap, sizeof *c + c->out.cap, c->last_command, c->resp);
}

static void sentinel_put_verbatim(struct sentinel_client *c, const struct buf *text)
{
    if (c->resp == 3) {
        buf_printf(&c->out, "=%zu\r\ntxt:", text->len + 4);
        buf_append(&c->out, buf_head(text), text->len);
        buf_append_str(&c->out, "\r\n");
    } else {
        resp_put_bulk(&c->out, buf_head(text), text->len);
    }
}

void sentinel_do_client_info(struct sentinel *s, struct sentinel_client *c,
                             const struct resp_arg *argv, size_t argc)
{
    struct buf text = BUF_INIT;

    (void)argv;
    (void)argc;
    sentinel_describe_client(s, c, &text);
    sentinel_put_verbatim(c, &text);
    buf_release(&text);
}

void sentinel_do_client_list(struct sentinel *s, struct sentinel_client *c,
                             const struct resp_arg *argv, size_t argc)
{
    struct buf text = BUF_INIT;

    (void)argv;
    if (argc > 2) {
        sentinel_put_error(c, "ERR syntax error");
        return;
    }
    for (const struct sentinel_client *each = s->clients; each != NULL; each = each->next) {
        sentinel_describe_client(s, each, &text);
    }
    sentinel_put_verbatim(c, &text);
    buf_release(&text);
}

/* ---- INFO ---- */

static bool sentinel_wants(const struct resp_arg *argv, size_t argc, const char *section)
{
    bool wanted = argc == 1;

    for (size_t i = 1; i < argc; i++) {
        wanted = wanted || resp_arg_is(&argv[i], section) || resp_arg_is(&argv[i], "default") ||
                 resp_arg_is(&argv[i], "all") || resp_arg_is(&argv[i], "everything");
    }
    return wanted;
}

void sentinel_do_info(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc)
{
    struct buf text = BUF_INIT;
    uint64_t up_s = (s->now_ns - s->started_ns) / CLOCK_NS_PER_S;

    if (sentinel_wants(argv, argc, "server")) {
        buf_printf(&text,
                   "# Server\r\nredis_version:%s\r\nredis_mode:sentinel\r\nrun_id:%s\r\n"
                   "tcp_port:%d\r\nuptime_in_seconds:%llu\r\nuptime_in_days:%llu\r\n",
                   s->version, s->self->id, s->config.port, (unsigned long long)up_s,
                   (unsigned long long)(up_s / 86400));
    }
    if (sentinel_wants(argv, argc, "clients")) {
        buf_printf(&text, "%s# Clients\r\nconnected_clients:%zu\r\n", text.len > 0 ? "\r\n" : "",
                   s->client_count);
    }
    if (sentinel_wants(argv, argc, "sentinel")) {
        buf_append_str(&text, text.len > 0 ? "\r\n" : "");
        sentinel_put_info(s, &text);
    }
    resp_put_bulk(&c->out, buf_head(&text), text.len);
    buf_release(&text);
}
