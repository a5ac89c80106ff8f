/* Snapshots in the simulator: the bytes of one, all that were ever made, and what is true of them.
 * Who makes one (an adoption, a snapshotter) says so here; whatever a node holds, hands out or says
 * of snapshots is compared with it, and so is what a Redis is brought up from. */
#ifndef TESTS_SIM_SNAPS_H
#define TESTS_SIM_SNAPS_H

#include "common/buf.h"
#include "logsvc/snapinfo.h"
#include "logsvc/wire.h"
#include "tests/sim/kv.h"
#include "tests/sim/sim.h"

struct snaps_made {
    struct snapshot_info info; /* but for verified_ms */
    bool wrong;                /* on purpose: its maker's Redis was broken */
    struct buf bytes;
};

struct snaps {
    struct snaps_made *made;
    size_t count, cap;
    uint64_t stored_at; /* when one was stored on a quorum last */
    uint64_t stored_to; /* … its offset */
};

void snaps_fini(struct snaps *s);

/* The wall time of all machines. */
uint64_t snaps_wall_ms(const struct world *w);

/* A dataset at an offset as bytes, with some padding behind it. */
void snaps_encode(const struct kv *kv, uint64_t offset, size_t pad_bytes, struct buf *out);
/* False: these are not the bytes of one. */
bool snaps_decode(const uint8_t *bytes, size_t size, uint64_t *offset, struct kv *kv);

/* One was made; fills in size and checksum of info. */
void snaps_add(struct world *w, struct snapshot_info *info, const struct buf *bytes, bool wrong);

/* Somebody is going to bring up a Redis from these bytes, which he was given as this snapshot. */
void snaps_check_use(struct world *w, const char *who, const struct snapshot_info *info,
                     const uint8_t *bytes, size_t size);
/* A node holds it, and these are its bytes; NULL: not looked at. */
void snaps_check_held(struct world *w, unsigned node, const struct snapshot_info *info,
                      const struct buf *bytes);
/* A node answers a question about snapshots; damaged ones may hold less than they did. */
void snaps_check_reply(struct world *w, unsigned node, const struct wire_msg *msg);

/* I15: whoever has a quorum of the disks can restore what is committed. Called when something was
 * forgotten, or the members have changed. */
void snaps_check_restorable(struct world *w, const char *when);

#endif
