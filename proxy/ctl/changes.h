/* The effects of a stretch of the log with their arguments, for those who want to see them
 * (engine/effects tells only which keys they changed, and holds no values). What is no change of
 * data by itself is left out: SELECT, PING, REPLCONF, and the MULTI and EXEC around a transaction.
 * Pure. */
#ifndef PROXY_CTL_CHANGES_H
#define PROXY_CTL_CHANGES_H

#include "proxy/protocol/resp.h"

struct change {
    uint64_t offset;  /* of the log behind it: going on from here shows what comes next */
    uint64_t wall_ms; /* of the record that holds its end */
    long db;          /* -1: not known */
    bool in_transaction;
    uint64_t transaction;        /* in_transaction: the offset at which it began */
    bool more;                   /* another change of the same transaction follows, and is told */
    const struct resp_arg *argv; /* valid during the call; at least one */
    size_t argc;
};

struct changes_events {
    /* Both are called from changes_feed only; they must not feed, start or destroy it. */
    void (*change)(void *ctx, const struct change *c);
    /* Whether one is to be told at all, before it is known whether more follow: `more` counts only
     * those that are. NULL: all. */
    bool (*wants)(void *ctx, const struct change *c);
    /* A unit ended here (a command alone, or a transaction). May be NULL. */
    void (*unit)(void *ctx, uint64_t offset);
};

struct changes;

struct changes *changes_create(const struct changes_events *events, void *ctx);
void changes_destroy(struct changes *c);

/* Starts at the end of a unit; db: the stream's database there, or -1. */
void changes_start(struct changes *c, uint64_t offset, long db);

/* The next bytes, of a record of that wall time. Holds one command at most, or two of a
 * transaction. ERR_PROTOCOL: they are not what Redis sends; feed it nothing more. */
int changes_feed(struct changes *c, const uint8_t *bytes, size_t size, uint64_t wall_ms) MUST_CHECK;

/* The stream's database now; -1: not known. */
long changes_db(const struct changes *c);

#endif
