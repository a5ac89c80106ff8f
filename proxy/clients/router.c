#include "proxy/clients/router_impl.h"

#include "common/mem.h"
#include "proxy/clients/acl.h"
#include "proxy/clients/monitor.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session.h"
#include "proxy/clients/transaction.h"
#include "proxy/clients/transaction_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void router_answer_error(struct client *c, const char *error)
{
    if (c->transaction != NULL) {
        transaction_answer_abort(c, error);
    } else {
        client_answer_error(c, error);
    }
}

void router_answer_ok(struct client *c)
{
    client_answer(c, "+OK\r\n", 5, 0);
}

struct router_words *router_words_create(struct router *router, const struct resp_arg *argv,
                                         size_t argc)
{
    size_t size = 0;

    for (size_t i = 0; i < argc; i++) {
        size += argv[i].len;
    }
    struct router_words *words = mem_alloc(sizeof *words + argc * sizeof *argv + size);
    *words = (struct router_words){.router = router, .argc = argc};
    uint8_t *to = (uint8_t *)&words->argv[argc];
    for (size_t i = 0; i < argc; i++) {
        memcpy(to, argv[i].bytes, argv[i].len);
        words->argv[i] = (struct resp_arg){to, argv[i].len};
        to += argv[i].len;
    }
    return words;
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

/* Whether it is refused whatever is paused: Redis looks at the pause last (processCommand). */
static bool router_refuses_anyway(const struct router *router, const struct client *c,
                                  const struct command *command)
{
    if ((command->flags & COMMAND_FLAG_WRITE) == 0) {
        return false;
    }
    enum route route = router_route(router, c, true, false, false);
    return route == ROUTE_READ_ONLY ||
           (route == ROUTE_ENGINE && client_config_replicas_lack(&c->all->config));
}

const char *router_gave_up(const struct request *r, bool replica)
{
    if (replica) {
        return router_loading;
    }
    return (r->flags & REQUEST_PATIENT) != 0 ? router_no_replicas : router_master_down;
}

bool router_turns_away(struct router *router, struct client *c, enum route route, bool writes,
                       bool may_follow)
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
    transaction_refuse(r, router_gave_up(r, replica));
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

/* ---- the way of one request ---- */

void router_wait(struct router *router, struct client *c)
{
    uint64_t now_ns = router->clients->now_ns;

    if (c->waits_since_ns == 0) {
        c->waits_since_ns = now_ns;
    }
    if (now_ns - c->waits_since_ns > router->wait_ns) {
        router_answer_error(c, router_master_down);
        return;
    }
    router->waiting++;
    client_postpone(c);
}

bool router_knows_where(struct router *router, struct client *c, enum route route)
{
    if (route == ROUTE_FORWARD && !forward_sends(router->forward, c)) {
        router_wait(router, c);
        return false;
    }
    return true;
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
        router_answer_error(c, "ERR max number of private connections reached, see "
                               "limits.private_max");
        return false;
    }
    return true;
}

static uint32_t router_flags(const struct command *command, enum route route, bool writes,
                             const struct resp_arg *argv, size_t argc)
{
    uint32_t flags = writes ? REQUEST_PATIENT : 0u;

    if ((command->categories & COMMAND_CAT_SCRIPTING) != 0 && command->spec_count > 0) {
        flags |= REQUEST_SCRIPT;
    }

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
    request_take_reply(r, &reply);
}

void router_pass(struct router *router, struct client *c, const struct command *command,
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
    bool teaches = !command->plain && transaction_session_teaches(command);
    if (teaches && !router_knows_where(router, c, route)) {
        return;
    }
    bool stops = router->redis_paused && route == ROUTE_ENGINE &&
                 router_reads_unsaid(c, command, argv, argc);
    if ((blocks || stops) && c->unanswered > 0) {
        client_postpone(c); /* replies before it must not wait for the fence behind it */
        return;
    }
    own = own || ((router_goes_alone(router, c, command, argv, argc, key, &flags) || stops) &&
                  router_can_go_alone(router, c, route));
    if ((own || c->lane != CLIENT_LANE_SHARED) && !router_choose_lane(router, c, own, route)) {
        return;
    }
    c->blocks = blocks || (own && stops);
    flags = (own ? flags : 0) | router_flags(command, route, writes, argv, argc) |
            (teaches && route == ROUTE_FORWARD ? REQUEST_TEACHES : 0u);
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
    if (r != NULL && !command->plain) {
        router_debug_buffers(router, r, command, argv, argc);
    }
    if (r != NULL && route != ROUTE_REPLICA && pubsub_behind(command) == PUBSUB_BEHIND_SUBSCRIBES) {
        pubsub_publish(router->pubsub, r, route == ROUTE_FORWARD, argv, command);
    }
    if (r != NULL && !command->plain && route == ROUTE_ENGINE && acl_changes_rights(command)) {
        acl_rights_change(router, r, argv, argc);
    }
}

/* ---- what comes in ---- */

/* Before the engine was ever asked what it knows, only the session itself can be served. */
static void router_request_early(struct router *router, struct client *c,
                                 const struct resp_arg *argv, size_t argc)
{
    if (resp_arg_is(&argv[0], "info") && client_may_ask(c) &&
        router_info(router, c, NULL, argv, argc)) {
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

/* What Redis answers while a script takes too long, and our own section of INFO; and what another
 * proxy says on its own account, which nobody is told: CLIENT ID as it connects, and SELECT in
 * front of what its clients ask. */
static bool router_may_be_busy(const struct client *c, const struct command *command,
                               const struct resp_arg *argv, size_t argc)
{
    if (strcmp(command->name, "watch") == 0 && c->link == NULL) {
        return false; /* none can be set up now */
    }
    if (c->transaction == NULL && (strcmp(command->name, "client|id") == 0 ||
                                   (c->nonce[0] != '\0' && strcmp(command->name, "select") == 0))) {
        return true;
    }
    return (command->flags & COMMAND_FLAG_ALLOW_BUSY) != 0 ||
           (strcmp(command->name, "info") == 0 && argc == 2 && resp_arg_is(&argv[1], "holdfast"));
}

/* While a script takes too long; true: it has its answer. */
static bool router_says_busy(struct router *router, struct client *c, const struct command *command,
                             const struct resp_arg *argv, size_t argc)
{
    if (router->busy[0] == '\0') {
        return false;
    }
    if (strcmp(command->name, "function|stats") == 0 && c->transaction == NULL) {
        (void)router_kill(router, c, command, argv, argc);
        return true;
    }
    if (router_may_be_busy(c, command, argv, argc) || engine_runs_for(router->engine) == c) {
        return false;
    }
    if (c->gate != CLIENT_GATE_DENIED) { /* else it has had its answer */
        router_reject(c, command, router->busy);
    }
    c->gate = CLIENT_GATE_NONE;
    return true;
}

/* What this carries out: inside MULTI, nothing before EXEC. */
static enum pubsub_behind router_behind(const struct client *c, const struct command *command)
{
    if (c->transaction == NULL) {
        return pubsub_behind(command);
    }
    return strcmp(command->name, "exec") == 0 ? transaction_behind(c) : PUBSUB_BEHIND_NOTHING;
}

/* A MONITOR has come before it, and what it does can be shown only in a moment. */
static bool router_waits_to_be_shown(const struct router *router, struct client *c,
                                     const struct command *command)
{
    if ((!c->all->monitor_wanted && !c->waits_for_link) || !monitor_runs_script(command)) {
        return false;
    }
    c->waits_for_link = c->all->monitor_wanted && c->transaction == NULL && router_serves(router);
    if (c->waits_for_link) {
        client_postpone(c);
    }
    return c->waits_for_link;
}

/* For CLIENT PAUSE, or since the log is full; true: it waits, or was refused. What a user may not
 * do is refused at once, so Redis is asked. Its consent does not outlast that: rights change. */
static bool router_holds(struct router *router, struct client *c, bool was_held,
                         const struct command *command, const struct resp_arg *argv, size_t argc)
{
    if ((c->all->pause_until_ns == 0 && !router->log_full) || pubsub_denies(c, command) ||
        router_refuses_anyway(router, c, command) ||
        !router_is_paused(router, c, command, argv, argc)) {
        return false;
    }
    if (was_held || !acl_gate_held(router, c, command, argv, argc)) {
        c->held = true;
        client_postpone(c);
    }
    if (c->held || !c->postponed) {
        c->gate = CLIENT_GATE_NONE;
    }
    return true;
}

static void router_take(struct router *router, struct client *c, const struct resp_arg *argv,
                        size_t argc)
{
    const struct command *command = NULL;
    bool was_held = c->held;

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
    if (router_says_busy(router, c, command, argv, argc)) {
        return;
    }
    if (c->monitors && (router_writes(command) || router_may_replicate(command) ||
                        (command->flags & COMMAND_FLAG_READONLY) != 0)) {
        router_reject(c, command, "ERR Replica can't interact with the keyspace");
        return;
    }
    if (router_holds(router, c, was_held, command, argv, argc)) {
        return;
    }
    if (router_waits_to_be_shown(router, c, command)) {
        return;
    }
    if (pubsub_holds(router->pubsub, c, router_behind(c, command))) {
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

/* What CLIENT CACHING has said holds for the next command that is not about the client (resetClient
 * in networking.c), and for all of a transaction. A fence of ours, or the answer to such a command,
 * would end it on the link: so it is said again in front of each. */
static void router_take_cached(struct router *router, struct client *c, const struct resp_arg *argv,
                               size_t argc)
{
    static const char *const prefixes[] = {
        [CLIENT_CACHING_YES] = "*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nyes\r\n",
        [CLIENT_CACHING_NO] = "*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$2\r\nno\r\n"};
    bool about_client = argc > 0 && resp_arg_is(&argv[0], "client");

    if (c->link != NULL) {
        private_prefix(c->link, prefixes[c->caching]);
    }
    router_take(router, c, argv, argc);
    if (!c->postponed && !about_client && c->transaction == NULL) {
        c->caching = CLIENT_CACHING_UNSAID;
    }
    if (c->link != NULL) {
        private_prefix(c->link, NULL);
    }
}

void router_request(struct router *router, struct client *c, const struct resp_arg *argv,
                    size_t argc)
{
    if (c->blocks && c->unanswered > 0) {
        client_postpone(c); /* also what is answered here: Redis does not look at it either */
        return;
    }
    if (c->caching != CLIENT_CACHING_UNSAID) {
        router_take_cached(router, c, argv, argc);
    } else {
        router_take(router, c, argv, argc);
    }
    if (c->early != NULL && !c->postponed) { /* its MONITOR has waited, and was refused */
        monitor_leave(c);
    }
    if (!c->postponed) {
        c->waits_for_link = false;
    }
    if (c->logs_in && !c->postponed) {
        acl_request_done(c);
    }
}
