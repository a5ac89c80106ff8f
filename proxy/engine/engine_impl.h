/* What the files of the engine share: engine.c (the link: its life, what comes in, what goes out),
 * engine_setup.c (the first commands of a link, and whether it is the right Redis),
 * engine_gather.c (requests on their way into the next batch). Nobody else includes it. */
#ifndef PROXY_ENGINE_ENGINE_IMPL_H
#define PROXY_ENGINE_ENGINE_IMPL_H

#include "common/err.h"
#include "proxy/engine/engine.h"
#include "proxy/engine/outlet.h"
#include "proxy/forward/outbox.h"

enum { ENGINE_BATCHES_MAX = OUTLET_BATCHES_MAX, ENGINE_FENCE_BYTES = 512 };

#define ENGINE_FENCE "*1\r\n$4\r\nROLE\r\n"

enum engine_state { ENGINE_DOWN, ENGINE_CONNECTING, ENGINE_SETUP, ENGINE_UP };

struct engine_batch {
    struct request *first, *last; /* by next_in_batch */
    struct request *waiting; /* the first one without its whole reply; NULL: the fence is next */
    bool bare;               /* there is no fence behind it: nothing in it tells of data, or the
                                link has none (engine_set_fenced) */
    uint64_t sent_ns;
};

struct engine {
    struct event_base *base;
    struct engine_config config;
    const struct engine_events *events;
    void *ctx;

    enum engine_state state;
    int fd;
    struct event *readable, *writable;
    uint64_t progress_ns; /* when something last came in, or the link was idle */

    struct buf gathered; /* commands of the next batch */
    struct buf unsent;   /* what was gathered when the link ended; during events.down */
    struct engine_batch next;
    bool urgent; /* some of them are not REQUEST_PATIENT */
    int link_db; /* of the gathered stream; -1: not known */
    int link_resp;
    bool link_async;    /* ENGINE_FORWARD: what the proxy there was told of HOLDFAST SYNC */
    const char *prefix; /* of the next request; NULL: none */
    char *name;         /* to be set before the next request; NULL: it has its name */

    char address[64];     /* of our end */
    struct outlet outlet; /* what the socket has not taken, and what it has */
    struct engine_batch flight[ENGINE_BATCHES_MAX]; /* ring, oldest at flight_head */
    unsigned flight_head, flight_count;

    struct resp_reply_framer framer;
    struct buf push;                /* a push, as far as it has come */
    uint64_t id;                    /* what Redis calls the connection; 0: not known */
    unsigned setup_left;            /* replies of the set-up still to come */
    struct replid replid;           /* the Redis that we want */
    struct buf identity;            /* its INFO replication, as it comes */
    char fence[ENGINE_FENCE_BYTES]; /* head of the fence's reply; ENGINE_FORWARD: of an error */
    size_t fence_len;
    bool unfenced;                    /* see engine_set_fenced */
    bool fence_due;                   /* the oldest batch has no fence: Redis was too busy for it */
    char nonce[OUTBOX_NONCE_LEN + 1]; /* ENGINE_FORWARD: of this connection */
    bool moved;                       /* the proxy there executed nothing of what is unanswered */
    uint64_t batch_count;
    uint64_t fences_sent, fences_back;
    uint8_t *scratch;
};

/* Appends the requests of a batch to a list by next_in_batch, and empties the batch. Returns the
 * list's head. */
struct request *engine_join_batch(struct request *head, struct engine_batch *b);
/* How much memory of what it sends the link keeps while it is idle. */
size_t engine_keep_bytes(const struct engine *e);
/* Whether it goes to the Redis whose stream we read, and to no other. */
bool engine_is_master_link(const struct engine *e);
/* Ends the link since that Redis is not the one, and tells events.stranger why. */
void engine_stranger(struct engine *e, const char *reason);
/* Writes what the socket takes of outlet, and waits for more room where it does not take all. */
void engine_write(struct engine *e);

/* Connected: the set-up is sent, or, where there is none, the link is up. */
void engine_setup(struct engine *e);
/* One piece of a reply to the set-up, whose end it is if done. Returns false if the link ended. */
bool engine_setup_piece(struct engine *e, const uint8_t *bytes, size_t size, bool done) MUST_CHECK;

#endif
