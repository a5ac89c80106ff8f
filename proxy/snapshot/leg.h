/* One leg of making or trying a snapshot: a fresh sandbox is brought to a place in the log; there
 * its dataset may be taken out; it goes on to a second place; and at the end it says what it holds
 * (DEBUG DIGEST). What fails for a reason that another attempt may not meet again is tried anew
 * with another sandbox, a few times. */
#ifndef PROXY_SNAPSHOT_LEG_H
#define PROXY_SNAPSHOT_LEG_H

#include "proxy/snapshot/extract.h"
#include "proxy/snapshot/replay.h"

enum { LEG_DIGEST_CHARS = 40, LEG_ATTEMPTS = 3, LEG_WHY_MAX = 300 };

struct event_base;
struct leg;

struct leg_config {
    struct event_base *base;
    struct lognodes *nodes;
    const char *redis_server; /* see sandbox_config */
    uint32_t engine; /* the log's, as WIRE_ENGINE; 0: not known. The sandbox has to be of the
                        same major and minor version */
    uint64_t rate_max_bytes;      /* see replay_config */
    uint64_t disk_rate_max_bytes; /* see extract_config */
};

struct leg_plan {
    struct replay_base base; /* fd -1: from the log nodes */
    uint64_t to;             /* the first place … */
    int extract_fd;          /* … where the dataset is written into this file; -1: not */
    bool on;                 /* on from there, to … */
    uint64_t on_to;          /* … the second place; 0: what is committed when it gets there */
};

struct leg_result {
    struct replay_point first, last; /* the same without `on` */
    struct extract_result rdb;
    uint64_t keys, expires;            /* at the first place, if it was extracted */
    char digest[LEG_DIGEST_CHARS + 1]; /* at the last */
    char engine_version[32];
    uint64_t memory_bytes; /* used by the sandbox at the last place */
};

/* Called from the event loop; the first two once, and they may call leg_start again, or
 * leg_destroy. */
struct leg_events {
    void (*done)(void *ctx, const struct leg_result *result);
    void (*failed)(void *ctx, const char *why);
    /* what: "snapshot", "replay", "extract", "digest" …; total 0: not known. */
    void (*progress)(void *ctx, const char *what, uint64_t done_bytes, uint64_t total_bytes);
};

/* The configuration is copied. */
struct leg *leg_create(const struct leg_config *config, const struct leg_events *events, void *ctx);
void leg_destroy(struct leg *l); /* NULL is allowed */

void leg_start(struct leg *l, const struct leg_plan *plan);

/* From now on it takes what it can get: no rate, no giving way; the first place, if it is to be
 * extracted, is moved on to what is committed when it is reached, so that less log is behind it;
 * and the second one, if it was not said, is what was committed when the first was reached. */
void leg_hurry(struct leg *l);

#endif
