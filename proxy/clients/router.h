/* The router: for each request, where it goes: to the engine, answered here, or refused. It keeps
 * Redis' order of checks (processCommand in server.c): existence and arity, authentication,
 * transaction queueing, then whether the service can take it; if not, whether another proxy can.
 *
 * Another proxy's link begins with HOLDFAST LINK (uplink.h). What comes over it is executed here or
 * not at all: once we do not serve, it is answered with "moved", and so is all that comes behind on
 * that connection, even if we serve again. That is what lets the other side send it elsewhere. */
#ifndef PROXY_CLIENTS_ROUTER_H
#define PROXY_CLIENTS_ROUTER_H

#include "proxy/clients/client.h"
#include "proxy/clients/tracker.h"
#include "proxy/clients/waits.h"
#include "proxy/engine/engine.h"
#include "proxy/engine/private.h"
#include "proxy/forward/forward.h"
#include "proxy/forward/leader.h"
#include "proxy/forward/route.h"
#include "proxy/protocol/command.h"

/* What the proxy can do right now; the role sets it. */
enum service {
    SERVICE_FULL,
    SERVICE_NO_QUORUM, /* no lease: writes and reads are refused before they reach Redis */
    SERVICE_LOADING,   /* no engine: being rebuilt, or not there */
};

struct router_config {
    const char *password;            /* what clients must AUTH with; NULL or "": nothing */
    struct credentials *credentials; /* the same, where it may change at run time; or NULL */
    const char *user;                /* its user name besides "default"; NULL or "" */
    unsigned databases;
    size_t transaction_max_bytes;
    const char *cluster_id; /* in hex: whose links we take; NULL: nobody's */
    uint64_t log_id;
};

struct credentials;
struct pubsub;

struct router {
    struct waits waits;  /* clients in WAIT */
    uint64_t last_bound; /* covers all that any client has written, as far as answered */
    bool log_full;       /* too much is not committed yet: no writes are taken */
    bool log_late;       /* writes wait too long for the log: clients that do not are refused */
    struct router_config config;
    struct clients *clients;
    struct engine *engine;
    struct private_pool *privates;
    struct pubsub *pubsub;
    struct private_pool *forward_privates; /* links to the proxy that leads */
    struct tracker *tracker;
    struct forward *forward;     /* to the proxy that leads; NULL: there is no other */
    struct forward *replica;     /* to our Redis while it is a replica; NULL: never */
    const struct leader *leader; /* who that is; NULL: nobody else can */
    size_t waiting;              /* clients that wait, unread, for a link to whoever leads next */
    uint64_t wait_ns;            /* for how long */
    bool others;                 /* there are other proxies, so a leader will be found */
    bool had_others;             /* or were since this one began */
    const struct command_table *table; /* NULL until the engine was asked */
    char engine_version[32];
    /* What the engine says in HELLO; hello_version: "" while it is not known. */
    char hello_server[32], hello_version[32], hello_mode[32];
    enum service service;
    uint64_t
        lease_end_ns;  /* behind it SERVICE_FULL means SERVICE_NO_QUORUM; UINT64_MAX: not known */
    struct buf keys;   /* scratch: struct command_key */
    struct buf hashes; /* scratch: uint64_t */
    struct buf text;   /* scratch: an answer */
    uint64_t commands;
    bool scripts_can_be_monitored; /* there is somebody who does that */
    bool monitors_scripts; /* what scripts do is told to those who monitor (proxy_monitor.c) */
    /* Redis may be out of memory soon, or is: it is asked before MULTI queues what needs some. */
    bool memory_tight;
    uint64_t config_set_ns;  /* CONFIG SET was seen then: what was known before is void */
    bool cron_paused;        /* DEBUG PAUSE-CRON may be; until Redis has said that it isn't */
    bool redis_paused;       /* it was told of a CLIENT PAUSE, and not yet of its end … */
    uint64_t pause_again_ns; /* … which it is told again then; 0: now */
    char busy[160]; /* a script keeps Redis from answering anybody: its words; "": it does not */
    /* SCRIPT KILL, FUNCTION KILL ("script|kill"), which must not wait behind what they are to end.
     * r is queued, and answered later. */
    void (*kill)(void *ctx, struct request *r, const char *name);
    /* The texts of INFO holdfast and INFO replication and the reply to ROLE, appended to out. */
    void (*info_text)(void *ctx, struct buf *out);
    /* Answers HOLDFAST … for those who run the cluster; false: it is not known, out is as it was.
     * May be NULL. */
    bool (*admin)(void *ctx, const struct resp_arg *argv, size_t argc, struct buf *out);
    /* What the log nodes have. */
    void (*log_state)(void *ctx, struct waits_log *log);
    /* Redis' whole reply to INFO is put right; here: it is our own that said it, not the leader's.
     * May be NULL. */
    void (*correct_info)(void *ctx, const struct resp_arg *argv, size_t argc, bool here,
                         struct buf *reply);
    /* How many clients the system lets connect, so many being wanted. May be NULL: all of them. */
    size_t (*clients_room)(void *ctx, size_t wanted);
    /* CONFIG REWRITE: Redis has kept what is its own, now for what is clients'. 0 or an errno. May
     * be NULL. */
    int (*config_rewritten)(void *ctx);
    void (*replication_text)(void *ctx, struct buf *out);
    void (*role_reply)(void *ctx, struct buf *out);
    void *info_ctx;
};

void router_init(struct router *router, const struct router_config *config);
void router_fini(struct router *router);

/* Whether a request for the command can be forwarded without a further look, outside of MULTI; for
 * command_table_mark. */
bool router_is_plain(const struct command *command);

/* client_events.request */
void router_request(struct router *router, struct client *c, const struct resp_arg *argv,
                    size_t argc);

/* The rest is for session.c and transaction.c. */

/* Collects what a request touches into router->hashes; false: the keyspace. *harmless: no data. */
bool router_scope(struct router *router, unsigned db, const struct command *command,
                  const struct resp_arg *argv, size_t argc, bool *harmless);

/* Whether Redis never gets the command, or not always (DEBUG). */
bool router_never_passes(const char *name);

/* Whether Redis may let the client wait for as long as nothing happens. */
bool router_would_block(const struct command *command, const struct resp_arg *argv, size_t argc);

/* Whether the command may change data; scripts may. */
bool router_writes(const struct command *command);

/* Whether the request may add to the stream: it writes, or is one of those that reach replicas
 * nevertheless (is_may_replicate_command in server.c). */
bool router_may_change(const struct command *command, const struct resp_arg *argv, size_t argc);

/* What is no write and yet may reach replicas (is_may_replicate_command), besides scripts. */
bool router_may_replicate(const struct command *command);
/* While the log is full, of what would add to the stream now; CLIENT PAUSE: of all, or of what may
 * ever add to it, even if it is only queued (processCommand in server.c). */
bool router_is_paused(const struct router *router, const struct client *c,
                      const struct command *command, const struct resp_arg *argv, size_t argc);
/* Whether Redis, which holds back what does not say that it only reads (getCommandFlags in
 * server.c), may let this script wait while it pauses, though it can't write: EVAL_RO and the like.
 */
bool router_reads_unsaid(const struct client *c, const struct command *command,
                         const struct resp_arg *argv, size_t argc);
/* While a CLIENT PAUSE lasts Redis pauses along, where it is ours to tell: when that begins, and in
 * each turn. */
void router_pause(struct router *router);
/* It is over, for clients and Redis: in this order nothing that writes gets to a Redis that pauses.
 */
void router_end_pause(struct router *router);
/* Whether it is a script that has to do without writing, since there are too few replicas. */
bool router_runs_as_reader(const struct client *c, const struct command *command);
/* The words (free them) that go to Redis in place of a script that can't write then: one like that
 * (`reads`), or one that is let through such a pause, since it is known not to write: Redis must
 * not find otherwise, and hold up the link that all share. NULL: as they are. */
struct resp_arg *router_reader_words(const struct client *c, const struct command *command,
                                     bool reads, const struct resp_arg *argv, size_t argc);
/* For `amend`, where replicas lack: that a script wrote is told as Redis tells it then. */
void router_reader_wrote(struct request *r);

/* Whether requests are executed here now: we lead, hold the lease, and Redis is there. */
bool router_serves(const struct router *router);

/* Where a request of this client goes. may_follow: a replica's answer would do. harmless: it
 * reveals no data. */
enum route router_route(const struct router *router, const struct client *c, bool writes,
                        bool may_follow, bool harmless);

/* NULL, or the error with which a request is refused now. */
const char *router_refusal(const struct router *router, const struct client *c, bool writes,
                           bool may_follow);

/* The error for a request that was never executed, and never will be: nobody leads (replica: our
 * Redis can't be read). */
const char *router_gave_up(const struct request *r, bool replica);

/* The client's request can't be taken now: nobody leads, or no link that it needs can be had. It
 * waits for that, and nothing more of the client is read; not for too long, then it is refused. */
void router_wait(struct router *router, struct client *c);
/* What sets up the proxy of its Redis, too (transaction_session_teaches), is not gathered for
 * whoever leads next: that may be this proxy, which has to see to it. False: it waits for somebody
 * to lead, or was refused. True, and a link ends that was there: REQUEST_TEACHES keeps it from our
 * own Redis. */
bool router_knows_where(struct router *router, struct client *c, enum route route);
/* Clients that wait so are read again: somebody does, or it is time to
 * look at how long they wait. Once in a while, and when the leader changes. */
void router_wake(struct router *router);

/* The other proxy whose link this is can do with its request what it likes. */
void router_answer_moved(struct router *router, struct client *c);
/* The same as the reply of a request that was never executed; nothing behind it will be. */
void router_set_moved(struct router *router, struct request *r);

/* Before a request is queued that is executed: whether on a link of its own (c->lane), which may
 * have to be lent (c->link). False: it was postponed or refused, and nothing is left to be done. */
bool router_choose_lane(struct router *router, struct client *c, bool needs_private,
                        enum route route);
/* What DEBUG can do that others would suffer from: data that change behind the stream's back (they
 * would be acknowledged, and not be in the log), the engine's end. */
bool router_debug_is_harmful(const struct command *command, const struct resp_arg *argv,
                             size_t argc);
/* DEBUG PROTOCOL PUSH: a push on the shared link would be nobody's. */
bool router_would_push(const struct command *command, const struct client *c,
                       const struct resp_arg *argv, size_t argc);
/* What Redis gets in place of a DEBUG request (*argc words); everything else stays as it is.
 * LOADAOF and RELOAD NOSAVE ask whether the data survive where they are durable, and that is not in
 * Redis' files: without an AOF, or with an old RDB, Redis would lose data. So they become a RELOAD
 * that saves. NOFLUSH without MERGE fails at the first function that is there, and ends Redis at
 * the first key: it gets the answer of the first case. */
const struct resp_arg *router_debug_argv(const struct command *command, const struct resp_arg *argv,
                                         size_t *argc);
/* DEBUG PAUSE-CRON: Redis does nothing of its own accord any more, such as to connect to a master.
 */
bool router_debug_pauses_cron(const struct command *command, const struct resp_arg *argv,
                              size_t argc);
/* DEBUG REPLYBUFFER: what Redis has taken of it is true of CLIENT LIST, too. Before r is sent. */
void router_debug_buffers(struct router *router, struct request *r, const struct command *command,
                          const struct resp_arg *argv, size_t argc);
/* DEBUG POPULATE that makes keys. Redis tells no replica of them, so it is carried out as a script,
 * which writes as any other does: in one unit, of at most transaction_max_bytes. */
bool router_debug_populates(const struct command *command, const struct resp_arg *argv,
                            size_t argc);
void router_populate(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc);

/* Whether the request or its reply is so large that others would have to wait for it on a link that
 * is shared, as far as can be guessed (bigs.h): by what it is, by how it was answered last, or
 * since a large value was written there. key: the hash of its first one, or 0. May add to its
 * flags. */
bool router_goes_alone(struct router *router, struct client *c, const struct command *command,
                       const struct resp_arg *argv, size_t argc, uint64_t key, uint32_t *flags);
/* A key and what is done with it; the keyspace is one key. */
uint64_t router_big_key(const struct command *command, uint64_t key);
/* Whether such a request can have a link of its own. */
bool router_can_go_alone(const struct router *router, const struct client *c, enum route route);
/* Then: queues the request and sends it where the route says: ROUTE_ENGINE, _FORWARD or _REPLICA.
 * What it touches stands in router->hashes, if not the keyspace. NULL: turned down, and answered.
 */
struct request *router_send(struct router *router, struct client *c, enum route route,
                            uint32_t flags, bool keyspace, bool harmless,
                            const struct resp_arg *argv, size_t argc);
/* The flags of what asks Redis in front of a request (acl.h), and changes nothing: if whoever leads
 * is lost, the next one is asked. */
static inline uint32_t router_probe_flags(enum route route)
{
    return REQUEST_GATE | (route == ROUTE_FORWARD ? REQUEST_RETRY : 0u);
}
/* Bytes (a block, with skips replies before the one that counts) of a request that is queued and
 * whose waiter is filled in; not over a private link. */
void router_send_bytes(struct router *router, enum route route, struct request *r,
                       const void *bytes, size_t size, uint32_t skips);

/* Whether INFO with these words has the holdfast section. */
bool router_info_wants_ours(const struct resp_arg *argv, size_t argc);
/* ROLE; answered. */
void router_role(struct router *router, struct client *c);

/* The note of a request whose words are needed when it is answered, in one piece. */
struct router_words {
    struct router *router;
    size_t argc;
    struct resp_arg argv[]; /* their bytes stand behind them */
};
struct router_words *router_words_create(struct router *router, const struct resp_arg *argv,
                                         size_t argc);

/* Answers that session.c and transaction.c give. router_answer sends router->text. */
void router_answer(struct router *router, struct client *c, uint32_t request_flags);
void router_answer_ok(struct client *c);
/* What is not queued by MULTI, but EXEC, finds no way: the error, or EXEC's. */
void router_answer_error(struct client *c, const char *error);

#endif
