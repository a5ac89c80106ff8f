/* The commands of the Sentinel port, as COMMAND lists them. The command table with which requests
 * are judged (arity, unknown subcommands and their texts) is read from that very list. */
#include "proxy/sentinel/sentinel_impl.h"

#include <string.h>

#define ADMIN   "@admin @slow @dangerous"
#define CONNECT "@fast @connection"
#define SLOW    "@slow @connection"
#define PUBSUB  "@pubsub @slow"

/* A container stands before its subcommands. */
const struct sentinel_command sentinel_commands[] = {
    {"acl", -2, "", "@slow", NULL},
    {"acl|whoami", 2, "noscript loading stale", "@slow", sentinel_do_acl_whoami},
    {"auth", -2, "noscript loading stale fast no_auth allow_busy", CONNECT, sentinel_do_auth},
    {"client", -2, "", "@slow", NULL},
    {"client|getname", 2, "noscript loading stale", SLOW, sentinel_do_client_getname},
    {"client|id", 2, "noscript loading stale", SLOW, sentinel_do_client_id},
    {"client|info", 2, "noscript loading stale", SLOW, sentinel_do_client_info},
    {"client|list", -2, "admin noscript loading stale", ADMIN, sentinel_do_client_list},
    {"client|no-evict", 3, "admin noscript loading stale", ADMIN, sentinel_do_client_no_evict},
    {"client|setinfo", 4, "noscript loading stale", SLOW, sentinel_do_client_setinfo},
    {"client|setname", 3, "noscript loading stale", SLOW, sentinel_do_client_setname},
    {"command", -1, "loading stale", SLOW, sentinel_do_command},
    {"command|count", 2, "loading stale", SLOW, sentinel_do_command_count},
    {"command|docs", -2, "loading stale", SLOW, sentinel_do_command_docs},
    {"command|info", -2, "loading stale", SLOW, sentinel_do_command_info},
    {"command|list", -2, "loading stale", SLOW, sentinel_do_command_list},
    {"hello", -1, "noscript loading stale fast no_auth allow_busy", CONNECT, sentinel_do_hello},
    {"info", -1, "loading stale", "@slow @dangerous", sentinel_do_info},
    {"ping", -1, "fast", CONNECT, sentinel_do_ping},
    {"psubscribe", -2, "pubsub noscript loading stale", PUBSUB, sentinel_do_subscribe},
    {"publish", 3, "pubsub loading stale fast", "@pubsub @fast", sentinel_do_publish},
    {"punsubscribe", -1, "pubsub noscript loading stale", PUBSUB, sentinel_do_unsubscribe},
    {"quit", -1, "noscript loading stale fast no_auth allow_busy", CONNECT, sentinel_do_quit},
    {"role", 1, "noscript loading stale fast", "@admin @fast @dangerous", sentinel_do_role},
    {"sentinel", -2, "admin", ADMIN, NULL},
    {"sentinel|ckquorum", 3, "admin", ADMIN, sentinel_do_ckquorum},
    {"sentinel|config", -3, "admin", ADMIN, sentinel_do_config},
    {"sentinel|debug", -2, "admin", ADMIN, sentinel_do_disabled},
    {"sentinel|failover", 3, "admin", ADMIN, sentinel_do_failover},
    {"sentinel|flushconfig", 2, "admin", ADMIN, sentinel_do_flushconfig},
    {"sentinel|get-master-addr-by-name", 3, "admin", ADMIN, sentinel_do_get_master_addr},
    {"sentinel|help", 2, "admin", ADMIN, sentinel_do_help},
    {"sentinel|info-cache", -3, "admin", ADMIN, sentinel_do_info_cache},
    {"sentinel|is-master-down-by-addr", 6, "admin", ADMIN, sentinel_do_is_master_down},
    {"sentinel|master", 3, "admin", ADMIN, sentinel_do_master},
    {"sentinel|masters", 2, "admin", ADMIN, sentinel_do_masters},
    {"sentinel|monitor", 6, "admin", ADMIN, sentinel_do_disabled},
    {"sentinel|myid", 2, "admin", ADMIN, sentinel_do_myid},
    {"sentinel|pending-scripts", 2, "admin", ADMIN, sentinel_do_pending_scripts},
    {"sentinel|remove", 3, "admin", ADMIN, sentinel_do_disabled},
    {"sentinel|replicas", 3, "admin", ADMIN, sentinel_do_replicas},
    {"sentinel|reset", 3, "admin", ADMIN, sentinel_do_reset},
    {"sentinel|sentinels", 3, "admin", ADMIN, sentinel_do_sentinels},
    {"sentinel|set", -5, "admin", ADMIN, sentinel_do_disabled},
    {"sentinel|simulate-failure", -3, "admin", ADMIN, sentinel_do_disabled},
    {"sentinel|slaves", 3, "admin", ADMIN, sentinel_do_replicas},
    {"shutdown", -1, "admin noscript loading stale no_multi allow_busy", ADMIN,
     sentinel_do_shutdown},
    {"subscribe", -2, "pubsub noscript loading stale", PUBSUB, sentinel_do_subscribe},
    {"unsubscribe", -1, "pubsub noscript loading stale", PUBSUB, sentinel_do_unsubscribe},
};

const size_t sentinel_command_count = sizeof sentinel_commands / sizeof *sentinel_commands;

/* How many rows behind this one are its subcommands. */
static size_t sentinel_subcommands(size_t row)
{
    size_t len = strlen(sentinel_commands[row].name), count = 0;

    for (size_t i = row + 1; i < sentinel_command_count; i++, count++) {
        const char *name = sentinel_commands[i].name;
        if (strncmp(name, sentinel_commands[row].name, len) != 0 || name[len] != '|') {
            break;
        }
    }
    return count;
}

/* Words as a set of simple strings. */
static void sentinel_put_words(struct buf *b, const char *words, unsigned resp)
{
    size_t count = words[0] != '\0';

    for (const char *p = words; *p != '\0'; p++) {
        count += *p == ' ';
    }
    sentinel_put_head(b, resp == 3 ? '~' : '*', count);
    while (count-- > 0) {
        size_t len = strcspn(words, " ");
        buf_append_str(b, "+");
        buf_append(b, words, len);
        buf_append_str(b, "\r\n");
        words += len + (words[len] == ' ');
    }
}

static void sentinel_put_command(struct buf *b, size_t row, unsigned resp)
{
    const struct sentinel_command *command = &sentinel_commands[row];
    char set = resp == 3 ? '~' : '*';
    bool is_sub = strchr(command->name, '|') != NULL;
    size_t subs = is_sub ? 0 : sentinel_subcommands(row);

    resp_put_array(b, 10);
    sentinel_put_text(b, command->name);
    resp_put_integer(b, command->arity);
    sentinel_put_words(b, command->flags, resp);
    for (int i = 0; i < 3; i++) {
        resp_put_integer(b, 0); /* first key, last key, step */
    }
    sentinel_put_words(b, command->categories, resp);
    sentinel_put_head(b, set, 0); /* tips */
    sentinel_put_head(b, set, 0); /* key specs */
    sentinel_put_head(b, subs > 0 ? '*' : set, subs);
    for (size_t i = 0; i < subs; i++) {
        /* One level deep: a subcommand has none. */
        sentinel_put_command(b, row + 1 + i, resp); // NOLINT(misc-no-recursion)
    }
}

/* Rows that are no subcommands. */
static size_t sentinel_command_heads(void)
{
    size_t count = 0;

    for (size_t i = 0; i < sentinel_command_count; i++) {
        count += strchr(sentinel_commands[i].name, '|') == NULL;
    }
    return count;
}

void sentinel_put_commands(struct buf *b, unsigned resp)
{
    resp_put_array(b, sentinel_command_heads());
    for (size_t i = 0; i < sentinel_command_count; i++) {
        if (strchr(sentinel_commands[i].name, '|') == NULL) {
            sentinel_put_command(b, i, resp);
        }
    }
}

/* ---- COMMAND ---- */

void sentinel_do_command(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                         size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    sentinel_put_commands(&c->out, c->resp);
}

void sentinel_do_command_count(struct sentinel *s, struct sentinel_client *c,
                               const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    resp_put_integer(&c->out, (long long)sentinel_command_heads());
}

/* redis-cli asks for the documents of all commands; none are kept here. */
void sentinel_do_command_docs(struct sentinel *s, struct sentinel_client *c,
                              const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    (void)argc;
    sentinel_put_map(c, 0);
}

void sentinel_do_command_info(struct sentinel *s, struct sentinel_client *c,
                              const struct resp_arg *argv, size_t argc)
{
    if (argc == 2) {
        sentinel_do_command(s, c, argv, argc);
        return;
    }
    resp_put_array(&c->out, argc - 2);
    for (size_t i = 2; i < argc; i++) {
        size_t row = 0;
        while (row < sentinel_command_count &&
               !resp_arg_is(&argv[i], sentinel_commands[row].name)) {
            row++;
        }
        if (row < sentinel_command_count) {
            sentinel_put_command(&c->out, row, c->resp);
        } else {
            resp_put_null(&c->out, (int)c->resp);
        }
        if (c->out.len > s->config.out_max_bytes) {
            c->overflowed = true; /* a few bytes ask for kilobytes */
            return;
        }
    }
}

void sentinel_do_command_list(struct sentinel *s, struct sentinel_client *c,
                              const struct resp_arg *argv, size_t argc)
{
    (void)s;
    (void)argv;
    if (argc > 2) {
        sentinel_put_error(c, "ERR syntax error");
        return;
    }
    resp_put_array(&c->out, sentinel_command_count);
    for (size_t i = 0; i < sentinel_command_count; i++) {
        sentinel_put_text(&c->out, sentinel_commands[i].name);
    }
}
