/* Requests that are not simply passed on: who looks at them is told by one table, by the command's
 * name. What stands in no row, and is not about pub/sub or blocking, is plain. */
#include "proxy/clients/router_impl.h"

#include "proxy/clients/acl.h"
#include "proxy/clients/monitor.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session.h"
#include "proxy/clients/transaction.h"

#include <string.h>

/* More keys than this, watched by one client, are "the keyspace": waiting longer is safe. */
enum { SPECIAL_WATCHED_MAX_BYTES = 4096 * sizeof(uint64_t) };

/* True: answered, or it will be; false: it is passed on. Never inside MULTI, but RESET and QUIT. */
typedef bool special_fn(struct router *router, struct client *c, const struct command *command,
                        const struct resp_arg *argv, size_t argc);

struct special {
    const char *name;    /* "x|" stands for all subcommands of x */
    special_fn *handle;  /* NULL: it is looked at on its way */
    const char *refusal; /* NULL: it is not refused */
};

/* ---- WATCH ---- */

/* What EXEC reveals besides its own commands' keys: whether these were changed. */
static bool special_watch(struct router *router, struct client *c, const struct command *command,
                          const struct resp_arg *argv, size_t argc)
{
    bool harmless = false;
    enum route route = router_route(router, c, false, false, false);

    if (router_turns_away(router, c, route, false, false) ||
        !router_choose_lane(router, c, true, route)) {
        return true;
    }
    private_keep(c->link, PRIVATE_WATCH);
    c->watches = true;
    if (!router_scope(router, c->db, command, argv, argc, &harmless) ||
        c->watched.len + router->hashes.len > SPECIAL_WATCHED_MAX_BYTES) {
        c->watches_many = true;
    } else {
        buf_append(&c->watched, buf_head(&router->hashes), router->hashes.len);
    }
    buf_clear(&router->hashes);
    router_send(router, c, route, 0, false, true, argv, argc);
    return true;
}

static bool special_unwatch(struct router *router, struct client *c, const struct command *command,
                            const struct resp_arg *argv, size_t argc)
{
    enum route route = router_route(router, c, false, false, false);

    (void)command;
    if (!c->watches) {
        router_answer_ok(c);
    } else if (router_choose_lane(router, c, true, route)) {
        buf_clear(&router->hashes);
        router_send(router, c, route, 0, false, true, argv, argc);
        transaction_watch_ends(c);
    }
    return true;
}

/* ---- INFO and ROLE ---- */

/* Whether our Redis can be asked, as the one that serves or as a replica. */
static bool special_has_redis(const struct router *router)
{
    return (router->service == SERVICE_FULL && engine_is_up(router->engine)) ||
           (router->replica != NULL && forward_links_up(router->replica) > 0);
}

bool router_info(struct router *router, struct client *c, const struct command *command,
                 const struct resp_arg *argv, size_t argc)
{
    bool only_ours = argc == 2 && resp_arg_is(&argv[1], "holdfast");
    bool only_replication = argc == 2 && resp_arg_is(&argv[1], "replication");
    struct buf text = BUF_INIT;

    (void)command;
    if (!only_ours &&
        (c->transaction != NULL || (!only_replication && special_has_redis(router)))) {
        return false;
    }
    if (!only_ours && !only_replication) {
        /* What clients look for while they wait for a server (their ready checks). */
        buf_printf(&text, "# Persistence\r\nloading:%d\r\n\r\n", !router->others);
    }
    if (!only_ours) {
        router->replication_text(router->info_ctx, &text);
    }
    if (only_replication) {
        buf_truncate(&text, text.len - 2); /* the empty line stands between sections */
    } else {
        router->info_text(router->info_ctx, &text);
    }
    buf_clear(&router->text);
    if (c->resp == 3) {
        buf_printf(&router->text, "=%zu\r\ntxt:", text.len + 4);
        buf_append(&router->text, buf_head(&text), text.len);
        buf_append_str(&router->text, "\r\n");
    } else {
        resp_put_bulk(&router->text, buf_head(&text), text.len);
    }
    buf_release(&text);
    router_answer(router, c, 0);
    return true;
}

void router_role(struct router *router, struct client *c)
{
    buf_clear(&router->text);
    router->role_reply(router->info_ctx, &router->text);
    router_answer(router, c, 0);
}

bool router_info_wants_ours(const struct resp_arg *argv, size_t argc)
{
    for (size_t i = 1; i < argc; i++) {
        if (resp_arg_is(&argv[i], "all") || resp_arg_is(&argv[i], "everything") ||
            resp_arg_is(&argv[i], "holdfast")) {
            return true;
        }
    }
    return false;
}

static bool special_role(struct router *router, struct client *c, const struct command *command,
                         const struct resp_arg *argv, size_t argc)
{
    (void)command;
    (void)argv;
    (void)argc;
    router_role(router, c);
    return true;
}

/* ---- scripts that are ended, and shown ---- */

bool router_kill(struct router *router, struct client *c, const struct command *command,
                 const struct resp_arg *argv, size_t argc)
{
    enum route route = router_route(router, c, false, false, true);

    if (route == ROUTE_ENGINE || router->busy[0] != '\0') {
        router->kill(router->info_ctx, client_queue(c, 0), command->name);
    } else if (!router_turns_away(router, c, route, false, false) &&
               router_choose_lane(router, c, true, route)) {
        buf_clear(&router->hashes);
        (void)router_send(router, c, route, 0, false, true, argv, argc);
    }
    return true;
}

/* Who monitors already gets no answer, as in Redis. What scripts do Redis tells us, once it was
 * asked to; if it can't be, that is not shown. */
static bool special_monitor(struct router *router, struct client *c, const struct command *command,
                            const struct resp_arg *argv, size_t argc)
{
    bool waited = c->waits_for_link;
    /* It may come back earlier, when what it asked before is answered. */
    bool waits = waited ? c->all->monitor_wanted && monitor_may_wait(c)
                        : !c->monitors && router->scripts_can_be_monitored;

    (void)command;
    (void)argv;
    (void)argc;
    c->waits_for_link = waits && !router->monitors_scripts && router_serves(router);
    if (c->waits_for_link) {
        c->all->monitor_wanted = true;
        monitor_join_early(c);
        client_postpone(c);
    } else if (waited || !c->monitors) {
        client_answer(c, "+OK\r\n", 5, REQUEST_ACK);
        monitor_join(c);
    }
    return true;
}

/* ---- all of them ---- */

/* docs/COMPATIBILITY.md gives the reason for each refusal. */
static const struct special specials[] = {
    /* transaction.c */
    {"multi", NULL, NULL},
    {"exec", NULL, NULL},
    {"discard", NULL, NULL},

    {"watch", special_watch, NULL},
    {"unwatch", special_unwatch, NULL},
    {"info", router_info, NULL},
    {"role", special_role, NULL},
    {"monitor", special_monitor, NULL},
    {"script|kill", router_kill, NULL},
    {"function|kill", router_kill, NULL},

    {"client|", session_handle, NULL},
    {"select", session_handle, NULL},
    {"hello", session_handle, NULL},
    {"auth", session_handle, NULL},
    {"reset", session_handle, NULL},
    {"quit", session_handle, NULL},
    {"wait", session_handle, NULL},
    {"waitaof", session_handle, NULL},
    {"readonly", session_handle, NULL},
    {"readwrite", session_handle, NULL},
    {"config|set", session_config, NULL},
    {"config|get", session_config, NULL},
    {"config|resetstat", session_config, NULL},
    {"config|rewrite", session_config, NULL},
    {"slowlog|get", session_slowlog, NULL},
    {"slowlog|len", session_slowlog, NULL},
    {"slowlog|reset", session_slowlog, NULL},
    {"latency|histogram", session_latency, NULL},

    /* Passed on, but what they do is heeded, or what they say put right. */
    {"debug", NULL, NULL},
    {"script|load", NULL, NULL},
    {"acl|setuser", NULL, NULL},
    {"acl|load", NULL, NULL},

    {"shutdown", NULL, "ERR SHUTDOWN is disabled by the proxy"},
    {"replicaof", NULL, "ERR REPLICAOF is disabled by the proxy"},
    {"slaveof", NULL, "ERR SLAVEOF is disabled by the proxy"},
    {"failover", NULL, "ERR FAILOVER is disabled by the proxy"},
    {"psync", NULL, "ERR PSYNC is disabled by the proxy"},
    {"sync", NULL, "ERR SYNC is disabled by the proxy"},
    {"replconf", NULL, "ERR REPLCONF is disabled by the proxy"},
    {"migrate", NULL, "ERR MIGRATE is disabled by the proxy"},
    {"script|debug", NULL, "ERR SCRIPT DEBUG is disabled by the proxy"},
};

static const struct special *special_of(const char *name)
{
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        size_t len = strlen(specials[i].name);
        if (specials[i].name[len - 1] == '|' ? strncmp(name, specials[i].name, len) == 0
                                             : strcmp(name, specials[i].name) == 0) {
            return &specials[i];
        }
    }
    return NULL;
}

bool router_is_plain(const struct command *command)
{
    return (command->flags & (COMMAND_FLAG_PUBSUB | COMMAND_FLAG_BLOCKING)) == 0 &&
           special_of(command->name) == NULL;
}

bool router_never_passes(const char *name)
{
    const struct special *special = special_of(name);
    return (special != NULL && special->refusal != NULL) || strcmp(name, "debug") == 0;
}

/* REPLICAOF NO ONE where that is so. (Arity was checked.) */
static bool special_is_master_already(const struct router *router, const struct client *c,
                                      const struct command *command, const struct resp_arg *argv)
{
    bool replicaof =
        strcmp(command->name, "replicaof") == 0 || strcmp(command->name, "slaveof") == 0;

    return replicaof && resp_arg_is(&argv[1], "no") && resp_arg_is(&argv[2], "one") &&
           router_serves(router) && c->transaction == NULL;
}

static bool special_refuse(struct router *router, struct client *c, const struct special *special,
                           const struct command *command, const struct resp_arg *argv, size_t argc)
{
    if (router_debug_is_harmful(command, argv, argc) ||
        (c->transaction != NULL && router_would_push(command, c, argv, argc))) {
        client_answer_error(c, "ERR this DEBUG subcommand is disabled by the proxy");
        transaction_spoil(c);
        return true;
    }
    if (special == NULL || special->refusal == NULL ||
        (c->transaction != NULL && (command->flags & COMMAND_FLAG_NO_MULTI) != 0)) {
        return false; /* such as SHUTDOWN, which no transaction takes */
    }
    if (special_is_master_already(router, c, command, argv)) {
        router_answer_ok(c);
        return true;
    }
    client_answer_error(c, special->refusal);
    transaction_spoil(c);
    return true;
}

/* What is to be known before Redis has it. */
static void special_heed(struct router *router, const struct command *command,
                         const struct resp_arg *argv, size_t argc)
{
    router->cron_paused = router->cron_paused || router_debug_pauses_cron(command, argv, argc);
    if (strcmp(command->name, "config|set") == 0) {
        session_config_seen(router, argv, argc);
    }
}

void router_special(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc)
{
    const struct special *special = command->plain ? NULL : special_of(command->name);

    if (router_debug_populates(command, argv, argc) && !pubsub_confines(c)) {
        router_populate(router, c, command, argv, argc);
        return;
    }
    argv = router_debug_argv(command, argv, &argc);
    if (acl_gate(router, c, command, argv, argc)) {
        return;
    }
    special_heed(router, command, argv, argc);
    if (special_refuse(router, c, special, command, argv, argc) ||
        pubsub_handle(router, c, command, argv, argc) ||
        transaction_handle(router, c, command, argv, argc)) {
        return;
    }
    if (special == NULL || special->handle == NULL ||
        !special->handle(router, c, command, argv, argc)) {
        router_pass(router, c, command, argv, argc);
    }
}
