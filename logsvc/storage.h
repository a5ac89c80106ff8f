/* The seam between an acceptor (pure) and the disk: what one log of one node needs to be durable.
 * store.c is the real one; tests and the simulator have theirs. All calls are synchronous.
 *
 * Error rule (DESIGN §6): ERR_NO_SPACE from append or snap_* means "refused cleanly, nothing
 * changed, try later". Any other error of a writing call is final: the owner of the storage stops
 * acknowledging and ends the process; nothing is ever retried. */
#ifndef LOGSVC_STORAGE_H
#define LOGSVC_STORAGE_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/record.h"
#include "logsvc/term.h"

struct storage_state {
    bool empty;            /* no byte and no begin offset yet: storage_reset gives it one */
    uint64_t begin;        /* offset of the first byte that is kept */
    uint64_t write_off;    /* end of what was appended */
    uint64_t flush_off;    /* end of what fdatasync has returned for */
    uint64_t unit_off;     /* end of the last whole unit at or below flush_off */
    uint64_t uncertain_to; /* > flush_off: a bad record at the end may have been acknowledged */
    uint64_t commit;       /* highest commit offset recorded in the log; at most flush_off */
    uint32_t chain_crc;    /* checksum of all payload bytes up to write_off */
};

/* A snapshot of the dataset at an exact offset, as a node keeps it. */
struct snapshot_info {
    uint64_t offset;
    struct log_term term; /* of the log at offset */
    struct replid replid; /* of the log at offset */
    uint64_t size_bytes;
    uint32_t crc;       /* CRC-32C of the RDB */
    uint32_t chain_crc; /* the log's chain_crc at offset; 0 where the log begins */
    uint64_t wall_ms;
    char engine_version[32]; /* NUL-terminated, "7.0.15" */
};

struct storage {
    const struct storage_ops *ops;
};

struct storage_ops {
    void (*state)(struct storage *s, struct storage_state *out);

    /* Queues a record behind write_off (record->begin == write_off, whole header made by the
     * caller but for `flushed`, which the storage fills in). Durable after flush. The caller has
     * checked it: a record that may not come next, or whose payload or chain checksum is wrong, is
     * ERR_INVALID; one that no segment takes, ERR_TOO_BIG. An idle record that does not fit into
     * the open segment is refused with ERR_NO_SPACE; the log does not need it there. */
    int (*append)(struct storage *s, const struct record *r, const void *payload);
    /* One write, one fdatasync for all queued records; moves flush_off to write_off. */
    int (*flush)(struct storage *s);
    /* Cuts the log to end at offset, which is the end of a record or the begin of the log; durable
     * when it returns. Also clears uncertain_to. */
    int (*truncate)(struct storage *s, uint64_t offset);
    /* Throws all records away (not the snapshots) and makes an empty log that begins at offset,
     * with that chain_crc there; durable when it returns. */
    int (*reset)(struct storage *s, uint64_t offset, uint32_t chain_crc);
    /* Appends whole encoded records (header and payload) to out, from the record that contains
     * byte `from` on, until at least one and at most about max_bytes are there, never past
     * flush_off. ERR_NOT_FOUND: from is below begin or at the end. ERR_CORRUPT: rotten there. */
    int (*read)(struct storage *s, uint64_t from, size_t max_bytes, struct buf *out);

    /* The acceptor's own durable state as opaque bytes (meta.c encodes it), kept in two slots.
     * load: ERR_NOT_FOUND if never saved, ERR_CORRUPT if both slots are bad. */
    int (*meta_load)(struct storage *s, struct buf *out);
    int (*meta_save)(struct storage *s, const void *bytes, size_t size);

    /* Receiving a snapshot: begin (drops an unfinished one), write in order, then commit: checks
     * size and checksum, fsyncs and publishes. ERR_CORRUPT from commit: thrown away. */
    int (*snap_begin)(struct storage *s, const struct snapshot_info *info);
    int (*snap_write)(struct storage *s, uint64_t at, const void *bytes, size_t size);
    int (*snap_commit)(struct storage *s);
    /* The newest published snapshot with offset <= limit; ERR_NOT_FOUND: there is none. */
    int (*snap_latest)(struct storage *s, uint64_t limit, struct snapshot_info *out);
    /* Appends up to size bytes of the snapshot at that offset, from position at on. */
    int (*snap_read)(struct storage *s, uint64_t offset, uint64_t at, size_t size, struct buf *out);
};

#endif
