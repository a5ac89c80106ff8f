/* The replay: brings an empty Redis to one exact offset of the log, from a snapshot and the log
 * behind it, and keeps it there. The Redis becomes a replica of a feed of ours; nobody else writes
 * to it. Bytes are checked on their way: the snapshot's checksum, and the running checksum of the
 * log from the snapshot's place on.
 *
 *   IDLE ─start▶ CALL ─PSYNC▶ FIND ─▶ SNAPSHOT ─▶ STREAM ─▶ APPLY ─▶ STANDING ─replay_on▶ STREAM …
 *                  └───────────────┴──────┴──────────┴────────┴─▶ FAILED
 *
 * One attempt: a Redis that has got something wrong, or has left, is no base for another, so the
 * owner begins anew with a fresh one. */
#ifndef PROXY_SNAPSHOT_REPLAY_H
#define PROXY_SNAPSHOT_REPLAY_H

#include "logsvc/storage.h"
#include "proxy/snapshot/lognodes.h"

struct control;
struct event_base;
struct replay;

struct replay_config {
    struct event_base *base;
    struct lognodes *nodes;
    struct control *control; /* of the Redis: up at replay_start, and destroyed (or its last answer
                                had) before the replay is */
    const char *feed_host;   /* an address of ours where that Redis reaches us; NULL: 127.0.0.1 */
    const char *secret;      /* what Redis must show at our port, its masterauth; NULL: random */
    uint64_t rate_max_bytes; /* fed in a second at most; 0: as fast as it goes */
    size_t queue_max_bytes;  /* waiting for Redis; 0: 8 MiB */
};

/* Where a replay begins. */
struct replay_base {
    int fd;                    /* an RDB in a file, read with pread, kept by reference; -1: the log
                                  nodes' newest at or below `limit` */
    struct snapshot_info info; /* of the file */
    uint64_t limit;            /* UINT64_MAX: the offset that the replay goes to */
};

/* A place in the log where Redis stands. */
struct replay_point {
    uint64_t offset;
    uint32_t chain_crc;        /* the log's running checksum there */
    struct log_term term;      /* of the last byte below it */
    struct replid replid;      /* of that term */
    uint64_t wall_ms;          /* when the record that reaches it was appended */
    struct snapshot_info base; /* the snapshot that it began with */
    uint64_t log_bytes;        /* replayed behind it, since replay_start */
    uint64_t rdb_ms, log_ms;   /* how long these two took */
};

enum replay_step {
    REPLAY_IDLE,
    REPLAY_CALL,     /* Redis is told to replicate from us */
    REPLAY_FIND,     /* it has asked; a snapshot is looked for */
    REPLAY_SNAPSHOT, /* which goes through … */
    REPLAY_STREAM,   /* … and behind it the log */
    REPLAY_APPLY,    /* all is sent; waits until Redis has applied it */
    REPLAY_STANDING,
    REPLAY_FAILED,
};

/* Called from the event loop; all of these may call replay_on and replay_stop, none replay_destroy.
 * progress may be NULL. */
struct replay_events {
    /* Something has moved, at most ten times a second: bytes of snapshot and log together. total 0:
     * not known yet. */
    void (*progress)(void *ctx, enum replay_step step, uint64_t done_bytes, uint64_t total_bytes);
    void (*reached)(void *ctx, const struct replay_point *point);
    /* again: another attempt, with a fresh Redis, may do better (a snapshot that turned out rotten
     * is not asked for again through the same `nodes`). */
    void (*failed)(void *ctx, const char *why, bool again);
};

/* The configuration is copied. NULL: the feed's address can't be had; *err as feed_create. */
struct replay *replay_create(const struct replay_config *config, const struct replay_events *events,
                             void *ctx, int *err);
void replay_destroy(struct replay *r);

/* To `to`, which is committed and the end of a unit (any commit offset, any record's end with
 * RECORD_UNIT_END). Takes the nodes over (lognodes_use), whose view must be known. base NULL: the
 * log nodes' newest snapshot at or below `to`. */
void replay_start(struct replay *r, uint64_t to, const struct replay_base *base);
/* On from where it stands; the same place is reached at once (but not within this call). */
void replay_on(struct replay *r, uint64_t to);
/* Lets go: nothing is fed any more and no event comes. Redis stays a replica of nobody that
 * answers. */
void replay_stop(struct replay *r);
/* From now on it is fed as fast as it goes. */
void replay_hurry(struct replay *r);

enum replay_step replay_step(const struct replay *r);
const char *replay_step_name(enum replay_step step);

#endif
