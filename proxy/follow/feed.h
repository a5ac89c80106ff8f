/* The feed: plays PSYNC master to our own Redis (REPLICAOF <us>), so that it can be rebuilt from
 * snapshot and log and can follow the log. One replica at a time; a newer connection
 * replaces an older one. It decides nothing: its owner answers a PSYNC and supplies the bytes. */
#ifndef PROXY_FOLLOW_FEED_H
#define PROXY_FOLLOW_FEED_H

#include "common/err.h"
#include "logsvc/term.h"

#include <stddef.h>

struct event_base;
struct feed;

struct feed_config {
    const char *bind_host; /* an IP address of loopback */
    int port;              /* 0: any free one, see feed_port */
    const char *secret;    /* a replica must AUTH with it (Redis: masterauth); never logged.
                              NULL or "": none is asked for */
    uint32_t timeout_ms;   /* of the handshake as a whole, and of the replica's silence while it
                              streams; FEED_LOADING_FACTOR times as much while it takes an RDB */
    uint32_t ping_ms;      /* keep-alive: "\n" until the first byte of the RDB or stream is written;
                              behind that a "\n" would be data */
    size_t queue_max_bytes; /* feed_room tells how much may be written now */
};

/* A replica that loads an RDB reads nothing and says little for long. */
enum { FEED_LOADING_FACTOR = 10 };

/* Called from the event loop only, never from within the functions below. Each of these may be
 * called from an event, feed_destroy may not. */
struct feed_events {
    /* A replica asks for the stream behind offset of replid's; replid is NULL for "?". A Redis that
     * was no replica before, an empty one too, asks with a replid of its own making. The owner
     * answers, now or later, with feed_full_resync or feed_continue, or ends it with feed_drop.
     * If another replica is there, its closed comes first. */
    void (*psync)(void *ctx, const struct replid *replid, uint64_t offset);
    /* The replica has applied the stream up to here (REPLCONF ACK): once a second, and when a
     * REPLCONF GETACK in the stream asks for it. For more, ask Redis: ROLE. */
    void (*acked)(void *ctx, uint64_t offset);
    /* The queue has fallen to half of queue_max_bytes or less, after it had been above that. */
    void (*room)(void *ctx);
    /* The replica that had asked has gone, by itself or dropped by an error or a timeout. */
    void (*closed)(void *ctx, const char *reason);
};

/* Listens, or returns NULL and sets *err (ERR_INVALID: bind_host is no IP address; ERR_IO: the
 * address can't be had). The configuration is copied. */
struct feed *feed_create(struct event_base *base, const struct feed_config *config,
                         const struct feed_events *events, void *ctx, int *err);
void feed_destroy(struct feed *f);
int feed_port(const struct feed *f);

/* The answers to psync; with no replica waiting for one (it has gone meanwhile), nothing happens.
 * "+FULLRESYNC replid offset", then exactly rdb_size_bytes by feed_write, then stream bytes. Once
 * the RDB has begun, it must not pause for repl-timeout of the replica (60 s by default). Check it
 * before: a Redis that is fed a damaged RDB exits. */
void feed_full_resync(struct feed *f, const struct replid *replid, uint64_t offset,
                      uint64_t rdb_size_bytes);
/* "+CONTINUE replid", then stream bytes. */
void feed_continue(struct feed *f, const struct replid *replid);

/* Bytes that may be written now (0: wait for room, or no replica has been answered). feed_write
 * queues all of what it is given; without a replica that has been answered it drops them. */
size_t feed_room(const struct feed *f);
void feed_write(struct feed *f, const void *bytes, size_t size);

/* Ends the connection of the replica that has asked; reason is logged. No closed event. Redis comes
 * back by itself at once, as long as it is REPLICAOF us. */
void feed_drop(struct feed *f, const char *reason);

/* Whether a replica has asked and is still there (it may wait for its answer). */
bool feed_connected(const struct feed *f);

#endif
