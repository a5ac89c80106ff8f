#include "proxy/clients/router.h"

#include "common/mem.h"
#include "proxy/clients/monitor.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session_impl.h"
#include "proxy/clients/transaction.h"
#include "proxy/engine/acl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More keys than this, watched by one client, are "the keyspace": waiting longer is safe. */
enum { ROUTER_WATCHED_MAX_BYTES = 4096 * sizeof(uint64_t) };

void router_init(struct router *router, const struct router_config *config)
{
    memset(router, 0, sizeof *router);
    router->config = *config;
    router->service = SERVICE_LOADING;
    router->lease_end_ns = UINT64_MAX;
    (void)snprintf(router->engine_version, sizeof router->engine_version, "7.0.0");
    (void)snprintf(router->hello_server, sizeof router->hello_server, "redis");
    (void)snprintf(router->hello_mode, sizeof router->hello_mode, "standalone");
    waits_init(&router->waits);
}

void router_fini(struct router *router)
{
    buf_release(&router->keys);
    buf_release(&router->hashes);
    buf_release(&router->text);
}

void router_answer(struct router *router, struct client *c, uint32_t request_flags)
{
    client_answer(c, buf_head(&router->text), router->text.len, request_flags);
    buf_clear(&router->text);
    buf_trim(&router->text, 1 << 20);
}

void router_answer_ok(struct client *c)
{
    client_answer(c, "+OK\r\n", 5, 0);
}

/* ---- what a request touches ---- */

static void router_add_hash(struct router *router, unsigned db, const struct resp_arg *key)
{
    uint64_t hash = tracker_hash(router->tracker, db, key->bytes, key->len);
    buf_append(&router->hashes, &hash, sizeof hash);
}

bool router_scope(struct router *router, unsigned db, const struct command *command,
                  const struct resp_arg *argv, size_t argc, bool *harmless)
{
    buf_clear(&router->keys);
    buf_clear(&router->hashes);
    *harmless = false;
    switch (command_reach(command, argv, argc, &router->keys)) {
    case COMMAND_REACH_NONE:
        *harmless = true;
        return true;
    case COMMAND_REACH_KEYSPACE:
        return false;
    case COMMAND_REACH_KEYS:
        break;
    }
    long second_db = command_second_db(command, argv, argc);
    const struct command_key *keys = (const void *)buf_head(&router->keys);
    for (size_t i = 0; i < router->keys.len / sizeof *keys; i++) {
        router_add_hash(router, db, &argv[keys[i].index]);
        if (second_db >= 0) {
            router_add_hash(router, (unsigned)second_db, &argv[keys[i].index]);
        }
    }
    return true;
}

bool router_writes(const struct command *command)
{
    return (command->flags & COMMAND_FLAG_WRITE) != 0 ||
           ((command->categories & COMMAND_CAT_SCRIPTING) != 0 &&
            (command->flags & COMMAND_FLAG_READONLY) == 0 && command->spec_count > 0);
}

/* The role looks at the lease once a turn; a request that was read later is judged by its own time.
 */
static enum service router_service(const struct router *router)
{
    bool over = router->service == SERVICE_FULL && router->clients != NULL &&
                router->clients->now_ns >= router->lease_end_ns;
    return over ? SERVICE_NO_QUORUM : router->service;
}

bool router_serves(const struct router *router)
{
    return router_service(router) == SERVICE_FULL && engine_is_up(router->engine);
}

enum route router_route(const struct router *router, const struct client *c, bool writes,
                        bool may_follow, bool harmless)
{
    struct route_ask ask = {
        .serves = router_serves(router),
        .others = router->others,
        .link = c->nonce[0] != '\0',
        .replica_port = c->replica_port,
        .readonly = c->readonly,
        .forwarded = c->forwarded > 0,
        .writes = writes,
        .may_follow = may_follow,
        .bare =
            harmless && router_service(router) == SERVICE_NO_QUORUM && engine_is_up(router->engine),
    };
    return route_decide(&ask);
}

static const char router_no_replicas[] = "NOREPLICAS Not enough good replicas to write.";
static const char router_master_down[] =
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
static const char router_loading[] = "LOADING Redis is loading the dataset in memory";
static const char router_late[] =
    "NOREPLICAS The log is behind by more than limits.async_max_age_ms; this was not executed.";
static const char router_read_only[] = "READONLY You can't write against a read only replica.";

/* Why a write can't be taken, though it would be executed here; or NULL. */
static const char *router_refuses_write(const struct router *router, const struct client *c)
{
    if (client_config_replicas_lack(&c->all->config)) {
        return router_no_replicas;
    }
    return c->async && router->log_late ? router_late : NULL;
}

const char *router_refusal(const struct router *router, const struct client *c, bool writes,
                           bool may_follow)
{
    switch (router_route(router, c, writes, may_follow, false)) {
    case ROUTE_ENGINE:
        return writes ? router_refuses_write(router, c) : NULL;
    case ROUTE_FORWARD:
    case ROUTE_REPLICA:
    case ROUTE_MOVED:
        return NULL;
    case ROUTE_READ_ONLY:
        return router_read_only;
    case ROUTE_REFUSE:
        break;
    }
    if (router_service(router) != SERVICE_NO_QUORUM) {
        return router_loading;
    }
    return writes ? router_no_replicas : router_master_down;
}

const char *router_gave_up(const struct request *r, bool replica)
{
    if (replica) {
        return router_loading;
    }
    return (r->flags & REQUEST_PATIENT) != 0 ? router_no_replicas : router_master_down;
}

/* Whether the route leads nowhere; then it has been answered. */
static bool router_turns_away(struct router *router, struct client *c, enum route route,
                              bool writes, bool may_follow)
{
    if (route == ROUTE_MOVED) {
        router_answer_moved(router, c);
    } else if (route == ROUTE_READ_ONLY || route == ROUTE_REFUSE) {
        client_answer_error(c, router_refusal(router, c, writes, may_follow));
    } else if (route == ROUTE_ENGINE && writes && router_refuses_write(router, c) != NULL) {
        client_answer_error(c, router_refuses_write(router, c));
    } else {
        return false;
    }
    return true;
}

/* ---- sending ---- */

/* Too much waits for a leader already. */
static void router_turn_down(struct request *r, bool replica)
{
    struct buf reply = BUF_INIT;

    resp_put_error(&reply, router_gave_up(r, replica));
    request_set_reply(r, buf_head(&reply), reply.len);
    buf_release(&reply);
    r->stage = REQUEST_ANSWERED;
    if ((r->flags & (REQUEST_AUTH | REQUEST_GATE)) != 0) {
        acl_answered(r);
    }
    client_answered(r);
    client_release(r);
}

struct request *router_send(struct router *router, struct client *c, enum route route,
                            uint32_t flags, bool keyspace, bool harmless,
                            const struct resp_arg *argv, size_t argc)
{
    struct request *r = client_queue(c, flags);
    struct forward *f = route == ROUTE_REPLICA ? router->replica : router->forward;

    r->waiter.keyspace = keyspace;
    r->waiter.harmless = harmless;
    request_set_keys(r, (const uint64_t *)(const void *)buf_head(&router->hashes),
                     keyspace ? 0 : (uint32_t)(router->hashes.len / sizeof(uint64_t)));
    struct chain taken = {.len = 0};

    if (c->lane == CLIENT_LANE_PRIVATE && c->all->whole_bytes >= BIGS_BYTES &&
        private_is_quiet(c->link) && client_take_input(c, argv, &taken)) {
        private_add_taken(c->link, r, &taken, 0);
    } else if (c->lane == CLIENT_LANE_PRIVATE) {
        private_add(c->link, r, argv, argc);
    } else if (route == ROUTE_ENGINE) {
        engine_add(router->engine, r, c->db, c->resp, argv, argc);
    } else if (!forward_add(f, r, c->db, c->resp, argv, argc, router->clients->now_ns)) {
        router_turn_down(r, route == ROUTE_REPLICA);
        return NULL;
    }
    return r;
}

void router_send_bytes(struct router *router, enum route route, struct request *r,
                       const void *bytes, size_t size, uint32_t skips)
{
    struct client *c = r->client;
    struct forward *f = route == ROUTE_REPLICA ? router->replica : router->forward;

    if (route == ROUTE_ENGINE) {
        engine_add_bytes(router->engine, r, c->db, c->resp, bytes, size, skips);
    } else if (!forward_add_bytes(f, r, c->db, c->resp, bytes, size, skips,
                                  router->clients->now_ns)) {
        router_turn_down(r, route == ROUTE_REPLICA);
    }
}

/* ---- links of other proxies ---- */

static void router_put_moved(const struct router *router, const struct client *c, struct buf *out)
{
    const struct leader_info *info = router->leader != NULL ? leader_info(router->leader) : NULL;

    buf_printf(out, "-HOLDFASTMOVED %s %" PRIu64 " ", c->nonce,
               info != NULL ? info->term.n : (uint64_t)0);
    if (info != NULL && info->known && !info->self) {
        buf_printf(out, "%s:%d\r\n", info->address.host, info->address.port);
    } else {
        buf_append_str(out, "-\r\n");
    }
}

void router_answer_moved(struct router *router, struct client *c)
{
    c->moved = true;
    buf_clear(&router->text);
    router_put_moved(router, c, &router->text);
    router_answer(router, c, 0);
}

void router_set_moved(struct router *router, struct request *r)
{
    r->client->moved = true;
    buf_clear(&router->text);
    router_put_moved(router, r->client, &router->text);
    request_set_reply(r, buf_head(&router->text), router->text.len);
    buf_clear(&router->text);
}

/* HOLDFAST LINK cluster log name nonce: the client is another proxy from now on. */
static void router_link(struct router *router, struct client *c, const struct resp_arg *argv,
                        size_t argc)
{
    const char *own = router->config.cluster_id;
    long long log_id = 0;

    if (!client_may_ask(c) && !session_may_link(router, c)) {
        client_answer_error(c, "NOAUTH Authentication required.");
    } else if (argc != 6 || argv[5].len != sizeof c->nonce - 1) {
        client_answer_error(c, "ERR HOLDFAST LINK needs a cluster, a log, a name and a nonce");
    } else if (own == NULL || argv[2].len != strlen(own) || !resp_arg_is(&argv[2], own) ||
               !resp_arg_integer(&argv[3], &log_id) || (uint64_t)log_id != router->config.log_id) {
        client_answer_error(c, "ERR this proxy belongs to another cluster or log");
    } else {
        memcpy(c->nonce, argv[5].bytes, sizeof c->nonce - 1);
        c->authenticated = true;
        c->async = false; /* whoever comes over it says what he wants */
        session_name_link(c, &argv[4]);
        router_answer_ok(c);
    }
}

/* Redis knows no rights to HOLDFAST. A user other than the link's own needs the right to say
 * REPLICAOF, which on a plain Redis does as much. True: to be asked for, or refused. */
static bool router_own_gate(struct router *router, struct client *c)
{
    static const struct resp_arg words[] = {
        {(const uint8_t *)"REPLICAOF", 9}, {(const uint8_t *)"NO", 2}, {(const uint8_t *)"ONE", 3}};
    const struct command *command;

    if (c->user == NULL) {
        return false;
    }
    command = command_find(router->table, words, 3, NULL);
    if (command == NULL) { /* it was renamed */
        client_answer_error(c, "NOPERM this user has no permissions to run the 'holdfast' command");
        return true;
    }
    bool waits = acl_gate(router, c, command, words, 3);
    if (!c->postponed) {
        c->gate = CLIENT_GATE_NONE;
    }
    return waits;
}

/* WAITAOF, where the engine is older than that command. Who may WAIT may do this. */
static bool router_wait_aof(struct router *router, struct client *c, const struct resp_arg *argv,
                            size_t argc)
{
    static const struct resp_arg words[] = {
        {(const uint8_t *)"WAIT", 4}, {(const uint8_t *)"0", 1}, {(const uint8_t *)"0", 1}};
    const struct command *wait = command_find(router->table, words, 3, NULL);

    if (argc != 4 || !client_may_ask(c) || wait == NULL) {
        return false;
    }
    if (!acl_gate(router, c, wait, words, 3) &&
        (c->transaction == NULL || !transaction_handle(router, c, session_waitaof(), argv, argc))) {
        session_wait(router, c, argv, argc);
    }
    if (!c->postponed) {
        c->gate = CLIENT_GATE_NONE;
    }
    return true;
}

/* HOLDFAST …: a command of our own, which Redis does not know. False: nor do we. */
static bool router_own(struct router *router, struct client *c, const struct resp_arg *argv,
                       size_t argc)
{
    if (router->table != NULL && resp_arg_is(&argv[0], "waitaof")) {
        return router_wait_aof(router, c, argv, argc);
    }
    if (argc < 2 || !resp_arg_is(&argv[0], "holdfast")) {
        return false;
    }
    if (resp_arg_is(&argv[1], "link") && c->user == NULL) {
        router_link(router, c, argv, argc);
        return true;
    }
    if (!client_may_ask(c) || c->transaction != NULL) {
        return false; /* refused like anything that is not known */
    }
    if (resp_arg_is(&argv[1], "sync")) {
        session_sync(c, argv, argc); /* it is about this connection alone */
        return true;
    }
    if (router->admin == NULL) {
        return false;
    }
    if (router_own_gate(router, c)) {
        return true;
    }
    struct buf reply = BUF_INIT; /* router->text holds Redis' error, for what is not known either */
    bool known = router->admin(router->info_ctx, argv, argc, &reply);
    if (known) {
        client_answer(c, buf_head(&reply), reply.len, 0);
    }
    buf_release(&reply);
    return known;
}

/* ---- what is not passed on ---- */

struct router_rule {
    const char *name;  /* "x|" stands for all subcommands of x */
    const char *error; /* NULL: as if Redis did not know it */
};

/* docs/COMPATIBILITY.md gives the reason for each. */
static const struct router_rule router_rules[] = {
    {"shutdown", "ERR SHUTDOWN is disabled by the proxy"},
    {"replicaof", "ERR REPLICAOF is disabled by the proxy"},
    {"slaveof", "ERR SLAVEOF is disabled by the proxy"},
    {"failover", "ERR FAILOVER is disabled by the proxy"},
    {"psync", "ERR PSYNC is disabled by the proxy"},
    {"sync", "ERR SYNC is disabled by the proxy"},
    {"replconf", "ERR REPLCONF is disabled by the proxy"},
    {"migrate", "ERR MIGRATE is disabled by the proxy"},
    {"script|debug", "ERR SCRIPT DEBUG is disabled by the proxy"},
};

static const struct router_rule *router_rule_of(const char *name)
{
    for (size_t i = 0; i < sizeof router_rules / sizeof *router_rules; i++) {
        if (strcmp(router_rules[i].name, name) == 0) {
            return &router_rules[i];
        }
    }
    return NULL;
}

bool router_never_passes(const char *name)
{
    return router_rule_of(name) != NULL || strcmp(name, "debug") == 0;
}

/* XREAD and XREADGROUP block only if they say so. Read as Redis reads them (xreadCommand in
 * t_stream.c): a group may be called "streams" or "block". A blocked link would be everybody's. */
bool router_would_block(const struct command *command, const struct resp_arg *argv, size_t argc)
{
    if ((command->flags & COMMAND_FLAG_BLOCKING) == 0) {
        return false;
    }
    if (strncmp(command->name, "xread", 5) != 0) {
        return true;
    }
    for (size_t i = 1; i < argc && !resp_arg_is(&argv[i], "streams"); i++) {
        if (resp_arg_is(&argv[i], "block")) {
            return true;
        }
        i += resp_arg_is(&argv[i], "group") ? 2 : resp_arg_is(&argv[i], "count") ? 1 : 0;
    }
    return false;
}

/* As if Redis did not have the command. */
static void router_answer_unknown(struct router *router, struct client *c,
                                  const struct command *command, const struct resp_arg *argv,
                                  size_t argc)
{
    buf_clear(&router->text);
    command_unknown_text(command, argv, argc, &router->text);
    buf_append(&router->text, "", 1);
    client_answer_error(c, (const char *)buf_head(&router->text));
    buf_clear(&router->text);
}

/* REPLICAOF NO ONE where that is so. (Arity was checked.) */
static bool router_is_master_already(const struct router *router, const struct client *c,
                                     const struct command *command, const struct resp_arg *argv)
{
    bool replicaof =
        strcmp(command->name, "replicaof") == 0 || strcmp(command->name, "slaveof") == 0;

    return replicaof && resp_arg_is(&argv[1], "no") && resp_arg_is(&argv[2], "one") &&
           router_serves(router) && c->transaction == NULL;
}

static bool router_refuse(struct router *router, struct client *c, const struct command *command,
                          const struct resp_arg *argv, size_t argc)
{
    const struct router_rule *rule = router_rule_of(command->name);

    if (router_debug_is_harmful(command, argv, argc) ||
        (c->transaction != NULL && router_would_push(command, c, argv, argc))) {
        client_answer_error(c, "ERR this DEBUG subcommand is disabled by the proxy");
        transaction_spoil(c);
        return true;
    }
    if (rule == NULL || (c->transaction != NULL && (command->flags & COMMAND_FLAG_NO_MULTI) != 0)) {
        return false; /* such as SHUTDOWN, which no transaction takes */
    }
    if (router_is_master_already(router, c, command, argv)) {
        router_answer_ok(c);
        return true;
    }
    if (rule->error != NULL) {
        client_answer_error(c, rule->error);
    } else {
        router_answer_unknown(router, c, command, argv, argc);
    }
    transaction_spoil(c);
    return true;
}

/* ---- INFO and ROLE ---- */

/* Whether our Redis can be asked, as the one that serves or as a replica. */
static bool router_has_redis(const struct router *router)
{
    return (router->service == SERVICE_FULL && engine_is_up(router->engine)) ||
           (router->replica != NULL && forward_links_up(router->replica) > 0);
}

static bool router_info_local(struct router *router, struct client *c, const struct resp_arg *argv,
                              size_t argc)
{
    bool only_ours = argc == 2 && resp_arg_is(&argv[1], "holdfast");
    bool only_replication = argc == 2 && resp_arg_is(&argv[1], "replication");
    struct buf text = BUF_INIT;

    if (!only_ours && (c->transaction != NULL || (!only_replication && router_has_redis(router)))) {
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

/* ---- the way of one request ---- */

static bool router_is_kill(const struct command *command)
{
    return strcmp(command->name, "script|kill") == 0 || strcmp(command->name, "function|kill") == 0;
}

bool router_is_plain(const struct command *command)
{
    static const char *const special[] = {"multi",       "exec",       "discard",
                                          "unwatch",     "watch",      "select",
                                          "hello",       "auth",       "reset",
                                          "quit",        "wait",       "waitaof",
                                          "info",        "debug",      "role",
                                          "readonly",    "readwrite",  "monitor",
                                          "config|set",  "config|get", "config|resetstat",
                                          "acl|setuser", "acl|load",   "slowlog|get",
                                          "slowlog|len"};

    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (strcmp(command->name, special[i]) == 0) {
            return false;
        }
    }
    if ((command->flags & COMMAND_FLAG_PUBSUB) != 0) {
        return false;
    }
    return router_rule_of(command->name) == NULL && !router_is_kill(command) &&
           (command->flags & COMMAND_FLAG_BLOCKING) == 0 &&
           strncmp(command->name, "client|", 7) != 0 &&
           strcmp(command->name, "latency|histogram") != 0 &&
           strcmp(command->name, "script|load") != 0;
}

static bool router_is_publish(const struct command *command)
{
    return strcmp(command->name, "publish") == 0 || strcmp(command->name, "spublish") == 0;
}

void router_wait(struct router *router, struct client *c)
{
    uint64_t now_ns = router->clients->now_ns;

    if (c->waits_since_ns == 0) {
        c->waits_since_ns = now_ns;
    }
    if (now_ns - c->waits_since_ns > router->wait_ns) {
        client_answer_error(c, router_master_down);
        return;
    }
    router->waiting++;
    client_postpone(c);
}

void router_wake(struct router *router)
{
    if (router->waiting == 0) {
        return;
    }
    router->waiting = 0;
    for (struct client *c = router->clients->list; c != NULL; c = c->next) {
        if (c->postponed && c->waits_since_ns != 0) {
            client_resume(c);
        }
    }
}

bool router_choose_lane(struct router *router, struct client *c, bool needs_private,
                        enum route route)
{
    struct private_pool *pool = route == ROUTE_ENGINE ? router->privates : router->forward_privates;

    if (c->blocks && c->unanswered > 0) {
        client_postpone(c);
        return false;
    }
    c->blocks = false;
    if (c->link != NULL && private_kept(c->link) != 0) {
        needs_private = true;
    }
    if (client_lane_busy(c, needs_private ? CLIENT_LANE_PRIVATE : CLIENT_LANE_SHARED)) {
        return false;
    }
    if (needs_private && route != ROUTE_ENGINE && c->link == NULL && !private_is_started(pool)) {
        router_wait(router, c);
        return false;
    }
    if (needs_private && !private_lend(pool, c)) {
        client_answer_error(c, "ERR max number of private connections reached, see "
                               "limits.private_max");
        return false;
    }
    return true;
}

static uint32_t router_flags(const struct command *command, enum route route, bool writes,
                             const struct resp_arg *argv, size_t argc)
{
    uint32_t flags = writes ? REQUEST_PATIENT : 0u;

    /* A replica changes nothing, but what could write (a script) may reach it as it is promoted. */
    if ((route == ROUTE_REPLICA && !writes) ||
        (route != ROUTE_REPLICA && !writes && route_may_repeat(command))) {
        flags |= REQUEST_RETRY;
    }
    if (!command->plain && strcmp(command->name, "info") == 0) {
        flags |= REQUEST_INFO | (router_info_wants_ours(argv, argc) ? REQUEST_INFO_OURS : 0u);
    }
    return flags;
}

/* INFO is about this proxy's Redis, wherever other requests go. */
static enum route router_route_info(const struct router *router, enum route route)
{
    bool here = router->replica != NULL && forward_links_up(router->replica) > 0;
    return route == ROUTE_FORWARD && here ? ROUTE_REPLICA : route;
}

static void router_script_loaded(struct request *r)
{
    struct buf reply = BUF_INIT;
    struct resp_arg sha;
    size_t at = 0;

    request_move_reply(r, &reply);
    if (resp_read_bulk(buf_head(&reply), reply.len, &at, &sha)) {
        readers_add_script(&r->client->all->readers, sha.bytes, sha.len);
    }
    request_set_reply(r, buf_head(&reply), reply.len);
    buf_release(&reply);
}

static void router_pass(struct router *router, struct client *c, const struct command *command,
                        const struct resp_arg *argv, size_t argc)
{
    bool harmless = false;
    bool known = router_scope(router, c->db, command, argv, argc, &harmless);
    bool writes = router_writes(command);
    bool may_follow =
        (c->readonly || c->replica_port) && route_may_follow(command, c->replica_port);
    enum route route = router_route(router, c, writes, may_follow, harmless);
    bool blocks =
        !command->plain && c->transaction == NULL && router_would_block(command, argv, argc);
    bool own = blocks || (!command->plain && router_would_push(command, c, argv, argc));
    uint64_t key =
        known && router->hashes.len > 0 ? *(uint64_t *)(void *)buf_head(&router->hashes) : 0;
    uint32_t flags = 0;

    if (!command->plain && strcmp(command->name, "info") == 0) {
        route = router_route_info(router, route);
    }
    bool reads = route == ROUTE_ENGINE && router_runs_as_reader(c, command);
    if (router_turns_away(router, c, route, writes && !reads, may_follow)) {
        return;
    }
    if (blocks && c->unanswered > 0) {
        client_postpone(c); /* replies before it must not wait for the fence behind it */
        return;
    }
    own = own || (router_goes_alone(router, c, command, argv, argc, key, &flags) &&
                  router_can_go_alone(router, c, route));
    if ((own || c->lane != CLIENT_LANE_SHARED) && !router_choose_lane(router, c, own, route)) {
        return;
    }
    c->blocks = blocks;
    flags = (own ? flags : 0) | router_flags(command, route, writes, argv, argc);
    struct resp_arg *words = router_reader_words(c, command, reads, argv, argc);
    struct request *r =
        router_send(router, c, route, flags, !known, harmless, words != NULL ? words : argv, argc);
    free(words);
    if (r != NULL) {
        r->big_key = router_big_key(command, key);
        r->amend = reads ? router_reader_wrote : NULL;
    }
    if (r != NULL && !command->plain && strcmp(command->name, "script|load") == 0 &&
        readers_says_so(&argv[2])) {
        r->amend = router_script_loaded;
    }
    if (r != NULL && !command->plain && route == ROUTE_ENGINE && router_is_publish(command)) {
        pubsub_publish(router->pubsub, r, argv, command);
    }
    if (r != NULL && !command->plain && route == ROUTE_ENGINE && acl_changes_rights(command)) {
        acl_rights_change(router, r, argv, argc);
    }
}

/* ---- WATCH ---- */

/* What EXEC reveals besides its own commands' keys: whether these were changed. */
static void router_watch(struct router *router, struct client *c, const struct command *command,
                         const struct resp_arg *argv, size_t argc)
{
    bool harmless = false;
    enum route route = router_route(router, c, false, false, false);

    if (router_turns_away(router, c, route, false, false) ||
        !router_choose_lane(router, c, true, route)) {
        return;
    }
    private_keep(c->link, PRIVATE_WATCH);
    c->watches = true;
    if (!router_scope(router, c->db, command, argv, argc, &harmless) ||
        c->watched.len + router->hashes.len > ROUTER_WATCHED_MAX_BYTES) {
        c->watches_many = true;
    } else {
        buf_append(&c->watched, buf_head(&router->hashes), router->hashes.len);
    }
    buf_clear(&router->hashes);
    router_send(router, c, route, 0, false, true, argv, argc);
}

static void router_unwatch(struct router *router, struct client *c, const struct resp_arg *argv)
{
    enum route route = router_route(router, c, false, false, false);

    if (!c->watches) {
        router_answer_ok(c);
        return;
    }
    if (!router_choose_lane(router, c, true, route)) {
        return;
    }
    buf_clear(&router->hashes);
    router_send(router, c, route, 0, false, true, argv, 1);
    transaction_watch_ends(c);
}

/* Before the engine was ever asked what it knows, only the session itself can be served. */
static void router_request_early(struct router *router, struct client *c,
                                 const struct resp_arg *argv, size_t argc)
{
    if (resp_arg_is(&argv[0], "info") && client_may_ask(c) &&
        router_info_local(router, c, argv, argc)) {
        return;
    }
    if (router_own(router, c, argv, argc)) {
        return;
    }
    if (resp_arg_is(&argv[0], "quit")) {
        client_answer(c, "+OK\r\n", 5, REQUEST_CLOSE);
        return;
    }
    client_answer_error(c, "LOADING Redis is loading the dataset in memory");
}

/* A request that is not even looked at spoils the transaction that it is in; an EXEC ends it. */
static void router_reject(struct client *c, const struct command *command, const char *error)
{
    if (command == NULL || strcmp(command->name, "exec") != 0) {
        transaction_spoil(c);
        client_answer_error(c, error);
        return;
    }
    transaction_unwatch(c);
    transaction_discard(c);
    transaction_answer_abort(c, error);
}

/* What Redis answers while a script takes too long, and our own section of INFO. */
static bool router_may_be_busy(const struct client *c, const struct command *command,
                               const struct resp_arg *argv, size_t argc)
{
    if (strcmp(command->name, "watch") == 0 && c->link == NULL) {
        return false; /* none can be set up now */
    }
    return (command->flags & COMMAND_FLAG_ALLOW_BUSY) != 0 ||
           (strcmp(command->name, "info") == 0 && argc == 2 && resp_arg_is(&argv[1], "holdfast"));
}

/* At once: what this client asked before may wait for the script, too. Also when the links to Redis
 * were given up because of it: nobody else could end it. */
static void router_kill(struct router *router, struct client *c, const struct command *command,
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
}

/* Who monitors already gets no answer, as in Redis. What scripts do Redis tells us, once it was
 * asked to; if it can't be, that is not shown. */
static void router_monitor(const struct router *router, struct client *c)
{
    bool waited = c->waits_for_link;

    c->waits_for_link = false;
    if (!waited && !c->monitors && !router->monitors_scripts && router_serves(router) &&
        router->scripts_can_be_monitored) {
        c->all->monitor_wanted = c->waits_for_link = true;
        monitor_join_early(c);
        client_postpone(c);
        return;
    }
    if (waited || !c->monitors) {
        client_answer(c, "+OK\r\n", 5, REQUEST_ACK);
        monitor_join(c);
    }
}

/* What is not simply passed on, or not by everybody. */
static void router_special(struct router *router, struct client *c, const struct command *command,
                           const struct resp_arg *argv, size_t argc)
{
    argv = router_debug_argv(command, argv, &argc);
    if (acl_gate(router, c, command, argv, argc)) {
        return;
    }
    router->cron_paused = router->cron_paused || router_debug_pauses_cron(command, argv, argc);
    if (strcmp(command->name, "config|set") == 0) { /* maybe maxmemory */
        router->memory_tight = true;
        router->memory_asked_ns = router->clients->now_ns;
    }
    if (router_refuse(router, c, command, argv, argc) ||
        pubsub_handle(router, c, command, argv, argc) ||
        transaction_handle(router, c, command, argv, argc) ||
        session_handle(router, c, command, argv, argc)) {
        return;
    }
    if (strncmp(command->name, "config|", 7) == 0 &&
        session_config(router, c, command, argv, argc)) {
        return;
    }
    if ((strcmp(command->name, "slowlog|get") == 0 || strcmp(command->name, "slowlog|len") == 0) &&
        session_slowlog(router, c, command, argv, argc)) {
        return;
    }
    if (strcmp(command->name, "latency|histogram") == 0 &&
        session_latency(router, c, command, argv, argc)) {
        return;
    }
    if (strcmp(command->name, "info") == 0 && router_info_local(router, c, argv, argc)) {
        return;
    }
    if (strcmp(command->name, "watch") == 0) {
        router_watch(router, c, command, argv, argc);
        return;
    }
    if (strcmp(command->name, "role") == 0) {
        router_role(router, c);
        return;
    }
    if (router_is_kill(command)) {
        router_kill(router, c, command, argv, argc);
        return;
    }
    if (strcmp(command->name, "monitor") == 0) {
        router_monitor(router, c);
        return;
    }
    if (strcmp(command->name, "unwatch") == 0) {
        router_unwatch(router, c, argv);
        return;
    }
    router_pass(router, c, command, argv, argc);
}

static void router_take(struct router *router, struct client *c, const struct resp_arg *argv,
                        size_t argc)
{
    const struct command *command = NULL;

    router->commands++;
    c->held = false;
    if (c->nonce[0] != '\0' && (c->moved || !router_serves(router))) {
        router_answer_moved(router, c);
        return;
    }
    if (router->table == NULL) {
        router_request_early(router, c, argv, argc);
        return;
    }
    buf_clear(&router->text);
    if (command_check(router->table, argv, argc, &command, &router->text) != ERR_OK) {
        if (router_own(router, c, argv, argc)) {
            return;
        }
        c->last_command = command != NULL ? command->name : "NULL";
        buf_append(&router->text, "", 1);
        router_reject(c, command, (const char *)buf_head(&router->text));
        buf_clear(&router->text);
        return;
    }
    if (command->plain || !pubsub_changes(command)) {
        c->last_command = command->name;
    }
    if (!client_may_ask(c) && !session_before_auth(router, c, command)) {
        router_reject(c, command, "NOAUTH Authentication required.");
        return;
    }
    if (router->busy[0] != '\0' && strcmp(command->name, "function|stats") == 0 &&
        c->transaction == NULL) {
        router_kill(router, c, command, argv, argc);
        return;
    }
    if (router->busy[0] != '\0' && !router_may_be_busy(c, command, argv, argc) &&
        engine_runs_for(router->engine) != c) {
        if (c->gate != CLIENT_GATE_DENIED) { /* else it has had its answer */
            router_reject(c, command, router->busy);
        }
        c->gate = CLIENT_GATE_NONE;
        return;
    }
    if (c->monitors && (router_writes(command) || router_may_replicate(command) ||
                        (command->flags & COMMAND_FLAG_READONLY) != 0)) {
        router_reject(c, command, "ERR Replica can't interact with the keyspace");
        return;
    }
    if ((c->all->pause_until_ns != 0 || router->log_full) &&
        router_is_paused(router, c, command, argv, argc)) {
        c->held = true;
        client_postpone(c);
        return;
    }
    if (c->transaction == NULL && pubsub_holds(router->pubsub, c, command)) {
        return;
    }
    if (command->plain && c->transaction == NULL && c->lane == CLIENT_LANE_SHARED) {
        router_pass(router, c, command, argv, argc);
    } else {
        router_special(router, c, command, argv, argc);
    }
    if (c->gate != CLIENT_GATE_NONE && !c->postponed) {
        c->gate = CLIENT_GATE_NONE;
    }
    if (c->all->monitors != NULL && !c->postponed && !c->closing) { /* argv went with it */
        monitor_feed(c, command, argv, argc,
                     router->monitors_scripts && c->transaction == NULL && router_serves(router));
    }
}

void router_request(struct router *router, struct client *c, const struct resp_arg *argv,
                    size_t argc)
{
    router_take(router, c, argv, argc);
    if (c->early != NULL && !c->postponed) { /* its MONITOR has waited, and was refused */
        monitor_leave(c);
        c->waits_for_link = false;
    }
    if (c->logs_in && !c->postponed) {
        acl_request_done(c);
    }
}
