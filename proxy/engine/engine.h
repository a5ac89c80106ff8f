/* The engine: the one shared connection to our Redis. Requests of all clients are gathered and sent
 * as one batch with a fence (ROLE) behind them; while Redis works on it the next batch grows
 * (docs/ARCHITECTURE.md, "The life of one SET"). The fence's offset bounds every reply of its
 * batch.
 *
 *   DOWN ──engine_start──▶ CONNECTING ──▶ SETUP (AUTH, CLIENT …, INFO) ──▶ UP ──any fault──▶ DOWN
 *
 * Databases and protocols of different clients share the stream: SELECT and HELLO are put before a
 * request where they differ from what the link has, and their replies are skipped.
 *
 * The same machine drives links that are not shared (enum engine_kind; proxy/engine/private.h). */
#ifndef PROXY_ENGINE_ENGINE_H
#define PROXY_ENGINE_ENGINE_H

#include "logsvc/term.h"
#include "proxy/clients/request.h"
#include "proxy/protocol/resp.h"

struct chain;
struct event_base;
struct engine;

enum { ENGINE_READ_BYTES = 256 * 1024 };

/* The bound of a reply that no fence stands behind. (Zero is a bound: of a fence in a stream that
 * has not begun.) */
#define ENGINE_UNFENCED UINT64_MAX

/* Whose link it is, and to what. */
enum engine_kind {
    ENGINE_SHARED,  /* all clients', to our Redis */
    ENGINE_PRIVATE, /* one client's, to our Redis: fenced likewise; may wait for ever, gets pushes
                     */
    ENGINE_REPLICA, /* to our Redis while it is a replica, which holds committed data only: no
                       fence, each request is told as fenced with its reply, ENGINE_UNFENCED */
    ENGINE_FORWARD, /* one client's, to the leading proxy: that one withholds, so there is neither
                       fence nor identity to check; likewise */
};

struct engine_config {
    enum engine_kind kind;
    uint8_t *scratch; /* ENGINE_READ_BYTES that several links may share; NULL: its own */
    const char *host;
    int port;
    const char *user;
    const char *password;
    const char *name;       /* CLIENT SETNAME; of ENGINE_FORWARD in HOLDFAST LINK (uplink.h) */
    const char *cluster_id; /* ENGINE_FORWARD: in hex */
    uint64_t log_id;        /* and the log */
    int master_port; /* ENGINE_REPLICA: our feed's, on 127.0.0.1, whose replica Redis must be */
    uint32_t connect_timeout_ms;
    uint32_t stall_ms; /* a batch without any reply for this long: the link is given up */
    unsigned batches_in_flight;
    const uint64_t *slow_ns; /* from how long on events.slow is told of; NULL: never */
};

struct engine_events {
    void (*up)(void *ctx);
    /* The whole batch is answered: its requests, linked by next_in_batch, have their replies and
     * are bounded by this offset of the stream. The list is the owner's now. A batch of which
     * nothing tells of data (waiter.harmless) has no fence: ENGINE_UNFENCED, one by one. */
    void (*fenced)(void *ctx, struct request *first, uint64_t bound);
    /* The link has ended. The list holds every request that was sent and not fenced: what became of
     * them is unknown (unless a proxy said that it executed none of them: they are unsent then).
     * Gathered ones that were never sent are in unsent. Both lists are the owner's. Called from the
     * event loop, and from within engine_start, engine_stop, engine_tick and engine_destroy. */
    void (*down)(void *ctx, struct request *unknown, struct request *unsent, const char *reason);
    /* Behind down: it ended since it is not the master whose stream we read (restarted, or made a
     * replica of somebody). May be NULL. */
    void (*stranger)(void *ctx, const char *reason);
    /* A whole push, or a line of MONITOR, which came before the reply to `before` (NULL: nobody
     * waits for a reply). It is bounded by the next fenced that is told. NULL: pushes end the link.
     */
    void (*push)(void *ctx, const uint8_t *bytes, size_t size, struct request *before);
    /* A request's reply is whole, its batch not yet fenced: where it stands among the pushes. May
     * be NULL. */
    void (*answered)(void *ctx, struct request *r);
    /* The same, before it: the reply has come config.slow_ns or more after its batch was sent.
     * bytes: what was sent of it, or how that began; NULL, if that isn't there any more. address:
     * the link's own end.
     */
    void (*slow)(void *ctx, const struct request *r, const char *address, const uint8_t *bytes,
                 size_t size, uint64_t took_ns);
};

struct engine *engine_create(struct event_base *base, const struct engine_config *config,
                             const struct engine_events *events, void *ctx);
void engine_destroy(struct engine *e);

/* Connects, and checks that it is the Redis whose stream we read: the one with this replication id
 * (else a Redis that was restarted empty could be served from before its old self is missed). No-op
 * unless DOWN. A failure is told by events.down. */
void engine_start(struct engine *e, const struct replid *replid, uint64_t now_ns);
/* Ends the link; the requests in it are handed to events.down. */
void engine_stop(struct engine *e, const char *reason);
bool engine_is_up(const struct engine *e);
/* Neither up nor on the way there. */
bool engine_is_down(const struct engine *e);
/* How Redis calls the connection (CLIENT ID), of an ENGINE_PRIVATE that is up; else 0. */
uint64_t engine_id(const struct engine *e);

/* The name (CLIENT SETNAME) that an ENGINE_PRIVATE is to have from the next request on; "": none.
 * Copied. */
void engine_set_name(struct engine *e, const char *name);

/* The database that it is in, behind a block that selects (engine_add_block); nothing is gathered.
 */
void engine_set_db(struct engine *e, unsigned db);

/* Without fences each request is told of with its reply, bound ENGINE_UNFENCED; for what is not
 * sent yet. */
void engine_set_fenced(struct engine *e, bool fenced);

/* A command (RESP, static) that is put directly before the next request, in the same piece; what
 * Redis says to it is passed over. */
void engine_set_prefix(struct engine *e, const char *prefix);

/* Gathers a request for the next batch. A shared link must be up, others may be on the way. */
void engine_add(struct engine *e, struct request *r, unsigned db, unsigned resp,
                const struct resp_arg *argv, size_t argc);
/* The same with the bytes of a whole command, or of a block (as engine_add_bytes), that are taken
 * over, not copied: not of a shared link, and only while nothing is under way. */
void engine_add_taken(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      struct chain *commands, uint32_t skips);
/* Gathers a block of several commands as one request; only the last one's reply counts. */
void engine_add_block(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      const struct buf *commands, uint32_t command_count, bool selects);
/* The same with the bytes of a whole command or block: skips replies come before the one that
 * counts, and REQUEST_SELECTS tells that there is a SELECT in it. */
void engine_add_bytes(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      const void *bytes, size_t size, uint32_t skips);
/* Within events.down, of an unsent request: its r->command_len bytes, as they were added. */
const uint8_t *engine_command(const struct engine *e, const struct request *r);

/* Sends the gathered batch if the link is free. Once per turn of the loop. */
void engine_flush(struct engine *e, uint64_t now_ns);
/* Sends a fence alone, if nothing is under way whose fence would do as well. */
void engine_fence(struct engine *e, uint64_t now_ns);
/* Time-outs, and a fence now and then while nothing goes on: Redis closes idle connections if its
 * `timeout` says so, and one that is no longer a master is noticed. A few times a second. */
void engine_tick(struct engine *e, uint64_t now_ns);

/* A fence, if the link is up and nothing has gone on there for so long; where there are none,
 * though it goes to our Redis, a HELLO that changes nothing. Either is told as fenced, without a
 * request. */
void engine_keep_alive(struct engine *e, uint64_t now_ns, uint64_t after_ns);

/* Whether something is gathered that could be sent now, and whether some of it is in a hurry (not
 * REQUEST_PATIENT). */
bool engine_may_flush(const struct engine *e);
bool engine_is_urgent(const struct engine *e);
/* Nothing is gathered and nothing is under way. */
bool engine_is_idle(const struct engine *e);
uint64_t engine_batches(const struct engine *e);
/* For how long nothing has come though something is under way; 0: nothing is. */
uint64_t engine_stalled_ns(const struct engine *e, uint64_t now_ns);
/* Takes back what is gathered and not sent, by next_in_batch; but what this client asked stays. */
struct request *engine_take_unsent(struct engine *e, const struct client *keep);
/* Whose request Redis is at, as far as replies tell: a script of this client keeps it busy. NULL:
 * nobody's. */
const struct client *engine_runs_for(const struct engine *e);
/* Calls fn for each request that waits for that one: it was sent behind it, or just in front of it,
 * and its reply or its fence comes behind. */
void engine_each_held_up(const struct engine *e, void (*fn)(void *ctx, struct request *r),
                         void *ctx);
/* Fences that were ever sent, and those that are back (or lost). What was received when n had been
 * sent is bounded by the one that makes the latter more than n. */
uint64_t engine_fences_sent(const struct engine *e);
uint64_t engine_fences_back(const struct engine *e);
size_t engine_gathered_bytes(const struct engine *e);

#endif
