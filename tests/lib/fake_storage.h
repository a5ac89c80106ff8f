/* A storage (logsvc/storage.h) in memory for tests and simulations. It remembers what is durable
 * and what is not, can lose the rest, can fail at any writing call, and keeps a trace of the order
 * of calls. */
#ifndef TESTS_LIB_FAKE_STORAGE_H
#define TESTS_LIB_FAKE_STORAGE_H

#include "logsvc/storage.h"

struct fake_record {
    struct record r;
    uint8_t *payload;
};

enum { FAKE_SNAPSHOTS_MAX = 8 };

struct fake_snapshot {
    struct snapshot_info info;
    struct buf bytes;
};

struct fake_storage {
    struct storage base;

    struct fake_record *records;
    size_t count, cap;
    size_t flushed; /* records that are durable */
    bool has_begin;
    uint64_t begin;
    uint32_t begin_chain;
    uint64_t uncertain_to; /* set it to play a rotten tail */

    struct storage_holes holes; /* set it to play a hole; read then fails inside of it */
    struct buf mended;          /* what mend was given for it */

    struct buf meta;
    bool has_meta, meta_rotten;

    struct fake_snapshot snaps[FAKE_SNAPSHOTS_MAX];
    unsigned snap_count;
    struct fake_snapshot receiving;

    /* Faults: the fail_at-th writing call from now on (1: the next) returns fail_with; fail_after:
     * it takes effect before it fails, as when the machine dies right behind it. 0: never. */
    unsigned fail_at;
    int fail_with;
    bool fail_after;
    bool read_rotten;  /* reads return ERR_CORRUPT */
    bool begin_rotten; /* so does a cut at the log's begin */
    bool chain_lost;   /* the chain checksum there is not known, until a reset */

    unsigned misuse_count; /* ERR_INVALID: what an honest leader never asks for */
    unsigned flush_count;
    unsigned call_count; /* writing calls */
    struct buf trace;    /* "append flush meta truncate …", each followed by a space */
};

void fake_storage_init(struct fake_storage *f);
void fake_storage_fini(struct fake_storage *f);

/* The process dies: what was not flushed is gone; pending faults are forgotten. */
void fake_storage_crash(struct fake_storage *f);
/* The bytes of the log from `from` on, to its durable end. */
void fake_storage_bytes(const struct fake_storage *f, uint64_t from, struct buf *out);
const char *fake_storage_trace(struct fake_storage *f); /* and clears it */

#endif
