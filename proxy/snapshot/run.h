/* One run of the snapshotter: a snapshot is taken, tried and stored; or one that is stored is tried
 * again.
 *
 *   take:    LOOK ─▶ MAKE (a sandbox is brought to what is committed; its dataset is taken out; it
 *            goes on to what is committed by then) ─▶ TRY (a fresh sandbox is made from that file
 *            and goes to the same place; both must hold the same, and the log's running checksum
 *            must meet) ─▶ STORE (on one log node after the other, marked as verified) ─▶ done
 *   verify:  LOOK ─▶ MAKE (from an older snapshot to the place of this one and on) ─▶ TRY (from
 * this one to the same place) ─▶ MARK ─▶ done
 *
 * When the log behind the newest one grows faster than this one is made, it hurries: without rates
 * and without giving way, and it is stored on all log nodes at once.
 *
 * Whatever fails before STORE leaves nothing; a half-stored snapshot does not count at the log
 * nodes. */
#ifndef PROXY_SNAPSHOT_RUN_H
#define PROXY_SNAPSHOT_RUN_H

#include "proxy/snapshot/hurry.h"
#include "proxy/snapshot/leg.h"

struct run;

struct run_config {
    struct leg_config leg;
    const char *folder;            /* where the RDB's file, which has no name, is made */
    uint32_t look_ms;              /* how long the log nodes are waited for */
    uint64_t reach;                /* take: a place that is committed, which it is to reach: nodes
                                      hear of commits with what comes next only; 0: none */
    uint32_t store_ms;             /* how long storing on one of them may stand still */
    uint64_t store_rate_max_bytes; /* sent to one in a second at most; 0: as fast as it goes */
    uint64_t memory_reserve_bytes; /* see room_is_enough */
    struct hurry_settings hurry;
};

struct run_result {
    bool taken; /* false: the newest snapshot is of this very place already */
    struct snapshot_info info;
    uint64_t expires, memory_bytes;     /* keys: info.keys */
    uint64_t tried_to;                  /* the place that the rehearsal went to */
    uint64_t rdb_ms, log_ms, log_bytes; /* of the rehearsal: loading, and replaying behind it */
};

struct run_events {
    /* One of them, once, from the event loop; run_destroy may not be called from them. */
    void (*done)(void *ctx, const struct run_result *result);
    void (*failed)(void *ctx, const char *why);
    void (*progress)(void *ctx, const char *phase, const char *what, uint64_t done_bytes,
                     uint64_t total_bytes);
};

struct run *run_create(const struct run_config *config, const struct run_events *events, void *ctx);
void run_destroy(struct run *r);

void run_take(struct run *r);
/* The snapshot of exactly that offset. */
void run_verify(struct run *r, uint64_t offset);

#endif
