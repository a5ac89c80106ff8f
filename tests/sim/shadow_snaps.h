/* The snapshots of one node, as its disk must hold them: a part of shadow.h. What was stored,
 * marked or deleted is so after any crash; what a crash interrupts is so, or as before. */
#ifndef TESTS_SIM_SHADOW_SNAPS_H
#define TESTS_SIM_SHADOW_SNAPS_H

#include "logsvc/storage.h"

struct shadow;

enum shadow_snap_step {
    SHADOW_SNAP_NONE,
    SHADOW_SNAP_STORES,
    SHADOW_SNAP_MARKS,
    SHADOW_SNAP_DELETES
};

struct shadow_snaps {
    struct snapshot_info held[SNAPINFO_LIST_MAX + 1]; /* durable */
    unsigned count;
    enum shadow_snap_step step; /* under way, or interrupted by a crash, … */
    struct snapshot_info what;  /* … with this one */
    struct snapshot_info begun; /* is being received */
    uint64_t taken;             /* pieces and ends of uploads that it has taken */
};

int shadow_snap_begin(struct storage *base, const struct snapshot_info *info);
int shadow_snap_write(struct storage *base, uint64_t at, const void *bytes, size_t size);
int shadow_snap_commit(struct storage *base);
int shadow_snap_drop(struct storage *base);
int shadow_snap_latest(struct storage *base, uint64_t limit, struct snapshot_info *out);
int shadow_snap_read(struct storage *base, uint64_t offset, uint64_t at, size_t size,
                     struct buf *out);
int shadow_snap_verified(struct storage *base, uint64_t offset, uint64_t verified_ms);
int shadow_snap_delete(struct storage *base, uint64_t offset);

/* The one at that offset; NULL: there is none. */
const struct snapshot_info *shadow_snap(const struct shadow *s, uint64_t offset);
/* After a restart: what is there is what must be. */
void shadow_compare_snaps(struct shadow *s);

#endif
