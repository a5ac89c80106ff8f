#include "proxy/clients/transaction.h"

#include "common/mem.h"
#include "proxy/clients/transaction_local.h"
#include "proxy/clients/transaction_session.h"

#include <stdlib.h>
#include <string.h>

/* More keys than this are tracked as "the keyspace": waiting longer is safe, growing is not. And so
 * many are shipped for one CONFIG SET: each takes a link. */
enum { TRANSACTION_KEYS_MAX = 4096, TRANSACTION_SHIPS_MAX = 64 };

struct transaction {
    struct chain taken;  /* MULTI and what was queued, as RESP, up to the last large command … */
    struct buf commands; /* … and behind it */
    struct buf hashes;   /* of the keys that they name */
    struct buf locals;   /* what of it is ours to answer; transaction_local.h */
    size_t bytes;        /* of both, as accounted for */
    uint32_t count;
    /* What Redis has queued already (transaction_ship): so many bytes of commands, 0: nothing; so
     * many of the count. While its answer is awaited: the request. */
    size_t shipped_bytes;
    uint32_t shipped_count;
    const struct request *ship;
    unsigned db; /* of the next command: SELECT may be among them */
    bool selects;
    bool own; /* something in it changes the connection itself: it needs one */
    bool spoiled;
    bool teaches; /* transaction_session_teaches */
    bool writes;
    bool may_change; /* it may add to the stream (router_may_change) */
    bool stops;      /* router_reads_unsaid of something */
    bool keyspace;
    bool harmless;
    bool may_follow; /* all of it: a replica's answer would do */
    bool may_repeat; /* all of it changes nothing */
    enum pubsub_behind behind;
    bool alone;       /* something of it, or of its answer, is large: see router_alone */
    uint64_t big_key; /* of all its commands */
};

void transaction_put_abort(struct buf *reply, const char *error)
{
    struct buf text = BUF_INIT;

    buf_append_str(&text, "EXECABORT Transaction discarded because of: ");
    buf_append_str(&text, strncmp(error, "ERR ", 4) == 0 ? error + 4 : error);
    buf_append(&text, "", 1);
    resp_put_error(reply, (const char *)buf_head(&text));
    buf_release(&text);
}

void transaction_answer_abort(struct client *c, const char *error)
{
    struct buf reply = BUF_INIT;

    transaction_put_abort(&reply, error);
    client_answer(c, buf_head(&reply), reply.len, 0);
    buf_release(&reply);
}

void transaction_refuse(struct request *r, const char *error)
{
    struct buf reply = BUF_INIT;

    if ((r->flags & REQUEST_BLOCK) != 0) {
        transaction_put_abort(&reply, error);
    } else {
        resp_put_error(&reply, error);
    }
    request_take_reply(r, &reply);
}

int transaction_length(const struct client *c)
{
    if (c->all->capture_for != NULL && c->all->capture_for->client == c) {
        return c->all->capture_length;
    }
    return c->transaction != NULL ? (int)c->transaction->count : -1;
}

enum pubsub_behind transaction_behind(const struct client *c)
{
    return c->transaction != NULL ? c->transaction->behind : PUBSUB_BEHIND_NOTHING;
}

size_t transaction_bytes(const struct client *c)
{
    return c->transaction != NULL ? c->transaction->bytes : 0;
}

bool transaction_may_change(const struct client *c)
{
    return c->transaction != NULL && c->transaction->may_change;
}

/* What it holds counts among the unfinished requests of all clients. */
static void transaction_account(struct client *c)
{
    struct transaction *t = c->transaction;
    size_t bytes = t->taken.len + t->commands.len + t->hashes.len + t->locals.len;

    c->all->query_bytes += bytes;
    c->all->query_bytes -= t->bytes;
    t->bytes = bytes;
}

/* It will never run: what it holds is needed no more. */
static void transaction_empty(struct client *c)
{
    chain_release(&c->transaction->taken);
    buf_release(&c->transaction->commands);
    buf_release(&c->transaction->hashes);
    buf_release(&c->transaction->locals);
    transaction_account(c);
}

bool transaction_is_sound(const struct client *c)
{
    return c->transaction != NULL && !c->transaction->spoiled;
}

void transaction_spoil(struct client *c)
{
    if (c->transaction != NULL) {
        c->transaction->spoiled = true;
        transaction_empty(c);
    }
}

/* Who waits for those that are shipped looks again. */
static void transaction_ships_settled(struct clients *all)
{
    for (struct client *c = all->list; c != NULL; c = c->next) {
        if (c->waits_for_ships && c->postponed) {
            client_resume(c);
        }
    }
}

/* Redis forgets what it has queued. The link is nobody else's afterwards. */
static void transaction_call_back(struct client *c)
{
    if (c->transaction->shipped_bytes > 0) {
        c->transaction->shipped_bytes = c->transaction->shipped_count = 0;
        private_tell(c->link, "DISCARD");
        private_unkeep(c->link, PRIVATE_MULTI);
    }
}

void transaction_discard(struct client *c)
{
    if (c->transaction != NULL) {
        bool awaited = c->transaction->ship != NULL;
        transaction_call_back(c);
        transaction_empty(c);
        free(c->transaction);
        c->transaction = NULL;
        if (awaited) {
            transaction_ships_settled(c->all);
        }
    }
}

void transaction_watch_ends(struct client *c)
{
    c->watches = c->watches_many = false;
    buf_release(&c->watched);
    private_unkeep(c->link, PRIVATE_WATCH);
}

void transaction_unwatch(struct client *c)
{
    if (c->watches) {
        private_tell(c->link, "UNWATCH");
        transaction_watch_ends(c);
    }
}

static void transaction_begin(struct client *c)
{
    c->transaction = mem_calloc(1, sizeof *c->transaction);
    c->transaction->db = c->db;
    c->transaction->harmless = true;
    c->transaction->may_follow = c->readonly || c->replica_port;
    c->transaction->may_repeat = true;
    buf_append_str(&c->transaction->commands, "*1\r\n$5\r\nMULTI\r\n");
    router_answer_ok(c);
}

/* Redis takes it nowhere inside MULTI, or what it does could not be told from its answer. */
static bool transaction_refuses(const struct command *command, const struct resp_arg *argv,
                                size_t argc)
{
    size_t logins = 0;

    for (size_t i = 2; strcmp(command->name, "hello") == 0 && i < argc; i++) {
        logins += resp_arg_is(&argv[i], "auth");
    }
    return (command->flags & COMMAND_FLAG_NO_MULTI) != 0 || logins > 1;
}

static void transaction_scope(struct router *router, struct transaction *t,
                              const struct command *command, const struct resp_arg *argv,
                              size_t argc)
{
    bool harmless = false;

    if (!router_scope(router, t->db, command, argv, argc, &harmless)) {
        t->keyspace = true;
    }
    if (harmless) {
        return;
    }
    t->harmless = false;
    buf_append(&t->hashes, buf_head(&router->hashes), router->hashes.len);
    if (t->hashes.len > TRANSACTION_KEYS_MAX * sizeof(uint64_t)) {
        t->keyspace = true;
        buf_release(&t->hashes);
    }
}

/* A bad index fails inside EXEC, as in Redis; the database is then what it was. */
static void transaction_select(const struct router *router, struct transaction *t,
                               const struct resp_arg *argv)
{
    long long db;

    if (resp_arg_integer(&argv[1], &db) && db >= 0 && db < (long long)router->config.databases) {
        t->db = (unsigned)db;
    }
    t->selects = true;
}

/* What reveals no data, and is not for any other server. */
static bool transaction_note(struct transaction *t, const struct command *command, uint32_t index,
                             const struct resp_arg *argv, size_t argc)
{
    enum transaction_kind kind = transaction_kind(command);

    if (kind != TRANSACTION_HERE && kind != TRANSACTION_OWN &&
        strncmp(command->name, "wait", 4) != 0) {
        return false;
    }
    transaction_put_local(&t->locals, t->commands.len, index, argv, argc);
    t->own = t->own || kind == TRANSACTION_OWN;
    t->may_follow = t->may_repeat = false;
    return true;
}

/* Out of memory, Redis queues nothing more, and only it knows when it is. So while there is little
 * it is asked first, with a command that needs memory and changes nothing; its word comes as that
 * for users does (acl.h). True: it is waited for. */
static bool transaction_asks_for_memory(struct router *router, struct client *c)
{
    static const char probe[] = "*4\r\n$8\r\nSETRANGE\r\n$0\r\n\r\n$1\r\n0\r\n$0\r\n\r\n";
    enum route route = router_route(router, c, true, false, false);

    /* While it pauses Redis refuses nothing for that (isSafeToPerformEvictions). */
    enum client_gate gate = c->gate; /* another ACL user's right to this is granted already */
    if (!router->memory_tight || router->redis_paused || gate == CLIENT_GATE_ROOM ||
        (route != ROUTE_ENGINE && route != ROUTE_FORWARD)) {
        return false;
    }
    if (c->unanswered == 0) {
        struct request *r = client_queue_ours(c, router_probe_flags(route));
        r->waiter.harmless = true;
        router_send_bytes(router, route, r, probe, sizeof probe - 1, 0);
        if (c->gate != gate) {
            return false; /* turned down at once: EXEC will say why */
        }
    }
    client_postpone(c);
    return true;
}

/* Whether it would go alone outside (the hashes are those that transaction_scope found). */
static void transaction_weigh(struct router *router, struct client *c,
                              const struct command *command, const struct resp_arg *argv,
                              size_t argc)
{
    struct transaction *t = c->transaction;
    uint64_t key = router->hashes.len > 0 ? *(uint64_t *)(void *)buf_head(&router->hashes) : 0;
    uint32_t flags = 0;

    t->alone = router_goes_alone(router, c, command, argv, argc, key, &flags) || t->alone;
    t->big_key = t->big_key * 3 + router_big_key(command, key);
}

/* A large command is not copied (but locals tell their places by bytes of commands). */
static void transaction_put(struct client *c, const struct resp_arg *argv, size_t argc)
{
    struct transaction *t = c->transaction;

    bool large = c->all->whole_bytes >= BIGS_BYTES && t->locals.len == 0 && t->shipped_bytes == 0;

    if (large) {
        chain_take(&t->taken, &t->commands);
    }
    if (!large || !client_take_input(c, argv, &t->taken)) {
        resp_put_request(&t->commands, argv, argc);
    }
}

static void transaction_queue(struct router *router, struct client *c,
                              const struct command *command, const struct resp_arg *argv,
                              size_t argc)
{
    struct transaction *t = c->transaction;
    bool writes = router_writes(command);
    bool may_follow = t->may_follow && route_may_follow(command, c->replica_port);
    const char *refusal = router_refusal(router, c, writes, may_follow);

    if (refusal == NULL && transaction_refuses(command, argv, argc)) {
        refusal = "ERR Command not allowed inside a transaction";
    }
    if (refusal == NULL && t->bytes > router->config.transaction_max_bytes) {
        refusal = "ERR the transaction is larger than limits.transaction_max_bytes";
    }
    if (refusal == NULL && !clients_evict_query(c->all, c)) {
        refusal = "ERR unfinished requests are over limits.query_total_max_bytes";
    }
    if (refusal != NULL) {
        transaction_spoil(c);
        client_answer_error(c, refusal);
        return;
    }
    if (transaction_asks_for_memory(router, c)) {
        return;
    }
    if (t->spoiled) {
        client_answer(c, "+QUEUED\r\n", 9, 0);
        return;
    }
    uint32_t index = t->count++;
    t->behind = pubsub_behind(command) > t->behind ? pubsub_behind(command) : t->behind;
    if (transaction_note(t, command, index, argv, argc)) {
        transaction_account(c);
        client_answer(c, "+QUEUED\r\n", 9, 0);
        return;
    }
    if (strcmp(command->name, "select") == 0) {
        transaction_select(router, t, argv);
    }
    transaction_scope(router, t, command, argv, argc);
    transaction_weigh(router, c, command, argv, argc);
    t->writes = t->writes || writes;
    t->may_change = t->may_change || router_may_change(command, argv, argc);
    t->stops = t->stops || router_reads_unsaid(c, command, argv, argc);
    t->may_follow = may_follow;
    t->may_repeat = t->may_repeat && route_may_repeat(command);
    t->teaches = t->teaches || transaction_session_teaches(command);
    if (transaction_kind(command) == TRANSACTION_PLAIN) {
        transaction_put(c, argv, argc);
    } else {
        transaction_put_local(&t->locals, t->commands.len, index, argv, argc);
    }
    transaction_account(c);
    client_answer(c, "+QUEUED\r\n", 9, 0);
}

/* ---- what is queued goes ahead of EXEC ---- */

static void transaction_shipped(struct request *r)
{
    struct client *c = r->client;
    const char *error = r->note;

    if (c->transaction == NULL || c->transaction->ship != r) {
        return;
    }
    c->transaction->ship = NULL;
    if (request_reply_type(r) == '-' || error[0] != '\0') {
        transaction_call_back(c);
    }
    transaction_ships_settled(c->all);
}

/* Only what Redis can judge as it stands, of who needs no link for anything else; not while it
 * pauses, when it would let that wait, and lacks no memory. */
static bool transaction_can_ship(const struct router *router, const struct client *c)
{
    const struct transaction *t = c->transaction;

    return t != NULL && t->count > 0 && !t->spoiled && t->shipped_bytes == 0 && t->ship == NULL &&
           t->locals.len == 0 && t->taken.len == 0 && !t->alone && c->link == NULL &&
           c->unanswered == 0 && !c->closing && c->nonce[0] == '\0' && !router->redis_paused &&
           router_route(router, c, t->writes, t->may_follow, false) == ROUTE_ENGINE;
}

static bool transaction_ship(struct router *router, struct client *c)
{
    struct transaction *t = c->transaction;

    if (!private_lend(router->privates, c)) {
        return false;
    }
    c->lane = CLIENT_LANE_PRIVATE;
    private_keep(c->link, PRIVATE_MULTI);
    private_spoil(c->link);
    private_unfence(c->link); /* ROLE would be queued */
    struct request *r = client_queue_ours(c, REQUEST_SILENT);
    r->waiter.harmless = true;
    r->note = mem_calloc(1, REQUEST_ERROR_BYTES);
    r->amend = transaction_shipped;
    t->ship = r;
    t->shipped_bytes = t->commands.len;
    t->shipped_count = t->count;
    private_add_block(c->link, r, &t->commands, t->count + 1, false);
    return true;
}

bool transaction_ship_all(struct router *router, bool more)
{
    bool awaited = false;
    unsigned count = 0;

    for (struct client *c = router->clients->list; c != NULL; c = c->next) {
        if (more && count < TRANSACTION_SHIPS_MAX && transaction_can_ship(router, c)) {
            more = transaction_ship(router, c);
            count++;
        }
        awaited = awaited || (c->transaction != NULL && c->transaction->ship != NULL);
    }
    return awaited;
}

void transaction_unship(struct client *c)
{
    struct transaction *t = c->transaction;

    if (t != NULL) {
        t->shipped_bytes = t->shipped_count = 0;
        t->ship = NULL;
        transaction_ships_settled(c->all);
    }
}

/* ---- EXEC ---- */

static void transaction_send(struct router *router, struct client *c, struct request *r,
                             enum route route)
{
    struct transaction *t = c->transaction;
    bool shipped = t->shipped_bytes > 0;
    uint32_t before = shipped ? t->count - t->shipped_count : t->count + 1;

    buf_consume(&t->commands, t->shipped_bytes);
    t->shipped_bytes = t->shipped_count = 0;
    size_t size = t->taken.len + t->commands.len;

    if (c->lane == CLIENT_LANE_PRIVATE && t->own) {
        private_spoil(c->link); /* nobody else is to have what is set there */
        private_unfence(c->link);
    }
    if (size >= BIGS_BYTES && c->lane == CLIENT_LANE_PRIVATE && private_is_quiet(c->link)) {
        chain_take(&t->taken, &t->commands);
        client_holds(c, size);
        private_add_taken(c->link, r, &t->taken, before);
    } else if (t->taken.len > 0) {
        chain_take(&t->taken, &t->commands);
        chain_move_to(&t->taken, &t->commands);
    }
    if (t->commands.len == 0) {
        /* it is on its way */
    } else if (c->lane == CLIENT_LANE_PRIVATE) {
        private_add_block(c->link, r, &t->commands, before + 1, t->selects || t->own);
    } else {
        router_send_bytes(router, route, r, buf_head(&t->commands), t->commands.len, before);
    }
    if (shipped) {
        private_unkeep(c->link, PRIVATE_MULTI);
    }
    if (c->watches) {
        transaction_watch_ends(c); /* by EXEC, whatever comes of it */
    }
}

static uint32_t transaction_flags(const struct transaction *t, enum route route)
{
    uint32_t flags = REQUEST_BLOCK;

    flags |= t->selects || t->own ? REQUEST_BARRIER | REQUEST_SELECTS : 0u;
    flags |= t->locals.len > 0 ? REQUEST_BARRIER : 0u; /* they may change what comes behind */
    flags |= t->writes ? REQUEST_PATIENT : 0u;
    flags |= t->teaches && route == ROUTE_FORWARD ? REQUEST_TEACHES : 0u;
    if ((route == ROUTE_REPLICA && !t->writes) || (route == ROUTE_FORWARD && t->may_repeat)) {
        flags |= REQUEST_RETRY;
    }
    return flags;
}

/* Its words are whole then. */
static bool transaction_complete(struct router *router, struct client *c, enum route route)
{
    struct transaction *t = c->transaction;
    struct buf whole = BUF_INIT;

    if (t->locals.len == 0) {
        return true;
    }
    bool ready = transaction_compose(router, c, route, &t->locals, &t->commands, &whole);
    if (ready) {
        buf_swap(&t->commands, &whole);
        transaction_account(c);
    }
    buf_release(&whole);
    return ready;
}

static void transaction_exec(struct router *router, struct client *c)
{
    struct transaction *t = c->transaction;
    const char *refusal = router_refusal(router, c, t->writes, t->may_follow);
    enum route route = router_route(router, c, t->writes, t->may_follow, false);
    bool large = t->alone || t->taken.len + t->commands.len >= BIGS_BYTES ||
                 bigs_has(&c->all->bigs, t->big_key);

    if (!t->spoiled && refusal == NULL) {
        bool stops = t->stops && router->redis_paused && route == ROUTE_ENGINE;
        bool alone = (large || stops) && router_can_go_alone(router, c, route);
        if ((t->teaches && !router_knows_where(router, c, route)) ||
            !router_choose_lane(router, c, t->own || alone, route) ||
            !transaction_complete(router, c, route)) {
            if (c->link != NULL) {
                private_unkeep(c->link, 0); /* lent just now, for nothing; not that of a WATCH */
            }
            if (!c->postponed) { /* it has had its answer */
                transaction_unwatch(c);
                transaction_discard(c);
            }
            return;
        }
    }
    if (t->spoiled) {
        client_answer_error(c, "EXECABORT Transaction discarded because of previous errors.");
    } else if (refusal != NULL) {
        transaction_answer_abort(c, refusal);
    } else {
        struct request *r = client_queue(c, transaction_flags(t, route));
        buf_append_str(&t->commands, "*1\r\n$4\r\nEXEC\r\n");
        buf_append(&t->hashes, buf_head(&c->watched), c->watched.len);
        t->keyspace = t->keyspace || c->watches_many;
        r->waiter.keyspace = t->keyspace;
        r->waiter.harmless = t->harmless && !t->keyspace && !c->watches;
        request_set_keys(r, (const uint64_t *)(const void *)buf_head(&t->hashes),
                         t->keyspace ? 0 : (uint32_t)(t->hashes.len / sizeof(uint64_t)));
        r->big_key = t->big_key;
        r->flags |= large ? REQUEST_BIG : 0u;
        transaction_attach(router, r, route, &t->locals, t->teaches);
        transaction_send(router, c, r, route);
    }
    transaction_unwatch(c);
    transaction_discard(c);
}

bool transaction_handle(struct router *router, struct client *c, const struct command *command,
                        const struct resp_arg *argv, size_t argc)
{
    const char *name = command->name;
    bool inside = c->transaction != NULL;

    if (strcmp(name, "multi") == 0) {
        if (inside) {
            client_answer_error(c, "ERR MULTI calls can not be nested");
        } else {
            transaction_begin(c);
        }
        return true;
    }
    if (strcmp(name, "exec") == 0 || strcmp(name, "discard") == 0) {
        if (!inside) {
            client_answer_error(c, *name == 'e' ? "ERR EXEC without MULTI"
                                                : "ERR DISCARD without MULTI");
        } else if (*name == 'e') {
            transaction_exec(router, c);
        } else {
            transaction_unwatch(c);
            transaction_discard(c);
            router_answer_ok(c);
        }
        return true;
    }
    if (!inside || strcmp(name, "quit") == 0 || strcmp(name, "reset") == 0) {
        return false;
    }
    if (strcmp(name, "watch") == 0) {
        client_answer_error(c, "ERR WATCH inside MULTI is not allowed");
        return true;
    }
    transaction_queue(router, c, command, argv, argc);
    return true;
}
