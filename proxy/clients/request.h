/* A request on its way: from the client's framer to the engine and, as a withheld reply, through
 * the tracker back to the client. It stands in three queues at most: its client's (replies leave in
 * order), its batch's (replies arrive in order) and, by its waiter, the tracker's.
 *
 *   SENT ──reply and fence are here──▶ ANSWERED ──tracker, lease──▶ RELEASED ──▶ freed
 *
 * A request whose client has gone lives on, without a client, until the engine has answered it. */
#ifndef PROXY_CLIENTS_REQUEST_H
#define PROXY_CLIENTS_REQUEST_H

#include "common/buf.h"
#include "common/chain.h"
#include "proxy/clients/tracker.h"

struct client;
struct pubsub_op;
struct slowlog_who;

enum request_stage {
    REQUEST_SENT,     /* at the engine, or gathered for it; the engine's until it is fenced */
    REQUEST_ANSWERED, /* reply is here; withheld */
    REQUEST_RELEASED, /* may leave when everything before it has left */
};

enum {
    REQUEST_SILENT = 1u << 0,  /* CLIENT REPLY OFF or SKIP: its reply is thrown away at the edge */
    REQUEST_CLOSE = 1u << 1,   /* the connection closes behind its reply (QUIT) */
    REQUEST_INFO = 1u << 2,    /* INFO: what Redis says of its replication is put right */
    REQUEST_BARRIER = 1u << 3, /* its client's later requests wait for the reply */
    REQUEST_PATIENT = 1u << 5, /* a write: its reply will wait for a commit anyway */
    REQUEST_WAIT = 1u << 4,    /* WAIT: the reply is made when it leaves; note: struct wait */
    REQUEST_ACK = 1u << 7,     /* messages of its client do not overtake its reply */
    REQUEST_PUBLISH = 1u << 8, /* its reply's number is made the clients' truth (see note) */
    REQUEST_AUTH = 1u << 16,   /* asks Redis for a user (acl.h) */
    REQUEST_GATE = 1u << 17,   /* asks Redis whether a user may (acl.h) */
    REQUEST_LATE = 1u << 20,   /* with REQUEST_GATE: what is asked about may block (acl.h) */
    REQUEST_UNBOUNDED = 1u << 15, /* a push that waits for a fence (proxy_private.c) */
    REQUEST_PONG = 1u << 6,       /* answered by the first reply that is no error (a PING's) */
    REQUEST_INFO_OURS = 1u << 12, /* and the holdfast section goes behind it */
    REQUEST_RETRY = 1u << 9,      /* a pure read: may be sent again if its answer was lost */
    REQUEST_ASYNC = 1u << 18,     /* HOLDFAST SYNC OFF: its reply waits for no commit */
    REQUEST_BIG = 1u << 19,       /* it went over a link of its own since its reply may be large */
    REQUEST_BLOCK = 1u << 10,     /* MULTI … EXEC in one piece */
    REQUEST_SCRIPT = 1u << 14,    /* it may take as long as it likes */
    REQUEST_TEACHES = 1u << 13, /* another proxy's to carry out, never ours (router_knows_where) */
    REQUEST_SELECTS = 1u << 11, /* with a SELECT in it: it may leave another database behind */
};

enum { REQUEST_INLINE_BYTES = 144, REQUEST_INLINE_KEYS = 4, REQUEST_ERROR_BYTES = 256 };

struct request {
    struct tracker_waiter waiter;
    struct client *client; /* NULL: has gone */
    struct request *next_of_client, *prev_of_client;
    struct request *next_in_batch;
    enum request_stage stage;
    uint32_t flags;
    uint32_t replies_of_link; /* engine replies to SELECT and HELLO put in front; none may fail */
    uint32_t replies_to_skip; /* then those before the one that counts (QUEUED …) */
    uint32_t inline_len;
    /* Its command, in the bytes of whom it waits at (engine or outbox), and how it is meant. */
    uint64_t command_at;
    size_t command_len;
    uint32_t block_skips; /* replies_to_skip when nothing has been answered yet */
    unsigned db, resp;
    uint64_t queued_ns; /* when it began to wait in a outbox */
    uint64_t big_key;   /* by which it is remembered if its reply is large (bigs.h); 0: it isn't */
    struct pubsub_op *op; /* what it changes of its client's subscriptions; not its own */
    void *note;           /* what its owner needs when it is answered; freed with it */
    /* Puts the whole reply right before it is let out; it may be an error of ours. NULL: as it is.
     * The client is there. */
    void (*amend)(struct request *r);
    /* In place of amend when the client has gone: what the proxy itself has to know of the reply,
     * which is kept whole for that. NULL: nothing, and it isn't. */
    void (*learn)(struct request *r);
    struct slowlog_who *who; /* whose it was, if that one has gone and may be asked for; or NULL */
    struct chain reply;      /* used once the reply outgrows inline_reply */
    uint64_t inline_hashes[REQUEST_INLINE_KEYS];
    uint8_t inline_reply[REQUEST_INLINE_BYTES];
};

/* Requests are recycled: a pool keeps some thousands of them. */
struct request_pool {
    struct request *free;
    size_t free_count;
    size_t live_count;
};

struct request *request_take(struct request_pool *pool);
/* The request is in no queue and not in the tracker. */
void request_give(struct request_pool *pool, struct request *r);
void request_pool_release(struct request_pool *pool);

/* Copies the hashes of the keys that the reply may reveal. */
void request_set_keys(struct request *r, const uint64_t *hashes, uint32_t count);

/* Adds bytes to the reply. */
void request_add_reply(struct request *r, const void *bytes, size_t size);
size_t request_reply_bytes(const struct request *r);
/* Moves the reply to the end of out. */
void request_move_reply(struct request *r, struct buf *out);
void request_send_reply(struct request *r, struct chain *out);
/* The reply's first byte tells its type; 0 if there is none. */
uint8_t request_reply_type(const struct request *r);
/* Whether it begins with that, a few characters. */
bool request_reply_begins(const struct request *r, const char *with);
/* Takes away what stands behind its first line (an error). */
void request_cut_reply(struct request *r);
/* Its client has gone: calls learn, if it has one. */
static inline void request_learn(struct request *r)
{
    if (r->learn != NULL) {
        r->learn(r);
    }
}

/* Calls amend, if it has one, before the request counts as answered. False: its client is gone
 * since.
 */
static inline bool request_amend(struct request *r)
{
    if (r->amend != NULL) {
        r->amend(r);
    }
    return r->client != NULL;
}

/* REQUEST_BLOCK: a reply that is passed over is an error. The first one's line goes to the note
 * (ended by '\0', cut at REQUEST_ERROR_BYTES). */
void request_note_error(struct request *r, const void *bytes, size_t size);
/* It is to be sent again: nothing was said yet, in it or of it. */
void request_unanswer(struct request *r);
/* Whether Redis lacked memory for it, or for what stands inside MULTI; before amend. */
bool request_lacked_memory(const struct request *r);
/* Replaces what was collected so far. */
void request_set_reply(struct request *r, const void *bytes, size_t size);
/* The same with all of a buffer, which is empty then and owns no memory. */
void request_take_reply(struct request *r, struct buf *reply);

#endif
