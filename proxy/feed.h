/* The feed: plays PSYNC master to our own Redis (REPLICAOF <us>), so that it can be rebuilt from
 * snapshot and log and can follow the log (DESIGN §5). One replica at a time; a newer connection
 * replaces an older one. It decides nothing: its owner answers a PSYNC and supplies the bytes. */
#ifndef PROXY_FEED_H
#define PROXY_FEED_H

#include "common/err.h"
#include "logsvc/term.h"

#include <stddef.h>

struct event_base;
struct feed;

struct feed_config {
    const char *bind_host;  /* loopback */
    int port;               /* 0: any free one, see feed_port */
    const char *secret;     /* a replica must AUTH with it (Redis: masterauth); never logged */
    uint32_t timeout_ms;    /* handshake, and silence of the replica while streaming */
    uint32_t ping_ms;       /* keep-alive: "\n" before and during the RDB; nothing in the stream */
    size_t queue_max_bytes; /* feed_room tells how much may be written now */
};

struct feed_events {
    /* The replica asks: replid is NULL for "?". The owner answers, now or later, with
     * feed_full_resync or feed_continue, or ends it with feed_drop. */
    void (*psync)(void *ctx, const struct replid *replid, uint64_t offset);
    /* The replica has applied the stream up to here (REPLCONF ACK). */
    void (*acked)(void *ctx, uint64_t offset);
    /* There is room again; the owner may write more. */
    void (*room)(void *ctx);
    void (*closed)(void *ctx, const char *reason);
};

struct feed *feed_create(struct event_base *base, const struct feed_config *config,
                         const struct feed_events *events, void *ctx, int *err);
void feed_destroy(struct feed *f);
int feed_port(const struct feed *f);

/* "+FULLRESYNC replid offset", then exactly rdb_size_bytes by feed_write, then stream bytes. */
void feed_full_resync(struct feed *f, const struct replid *replid, uint64_t offset,
                      uint64_t rdb_size_bytes);
/* "+CONTINUE replid", then stream bytes. */
void feed_continue(struct feed *f, const struct replid *replid);

/* Bytes that may be written now (0: wait for room). feed_write queues all of what it is given. */
size_t feed_room(const struct feed *f);
void feed_write(struct feed *f, const void *bytes, size_t size);

void feed_drop(struct feed *f, const char *reason);
bool feed_connected(const struct feed *f);

#endif
