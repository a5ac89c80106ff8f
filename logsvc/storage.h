/* The seam between an acceptor (pure) and the disk: what one log of one node needs to be durable.
 * store.c is the real one; tests and the simulator have theirs. All calls are synchronous.
 *
 * Error rule (docs/log-format.md, 7): ERR_NO_SPACE from append or snap_* means "refused cleanly,
 * nothing changed, try later". Any other error of a writing call is final: the owner of the storage
 * stops acknowledging and ends the process; nothing is ever retried. */
#ifndef LOGSVC_STORAGE_H
#define LOGSVC_STORAGE_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/record.h"
#include "logsvc/snapinfo.h"
#include "logsvc/term.h"

/* What of the log is damaged below flush_off: such places do not lower flush_off. A hole is a range
 * of bytes that nothing here can give back; the leader sends them, read from another node. Damage
 * without a hole (a header, a footer) the storage mends by itself. */
struct storage_holes {
    uint32_t count;        /* damaged places that are known, with holes or without */
    uint64_t from, to;     /* the hole that is to be mended now, at boundaries of records; equal:
                              none (damage that is still looked into has none yet) */
    uint64_t next;         /* in [from, to]: what is missing next of it */
    uint64_t end;          /* everything from here on is sound; 0: everything is */
    uint64_t found;        /* damaged places found since the storage was opened */
    uint64_t mended_bytes; /* of the log, fetched from others since then */
};

struct storage_state {
    bool empty;             /* no byte and no begin offset yet: storage_reset gives it one */
    uint64_t begin;         /* offset of the first byte that is kept */
    uint64_t write_off;     /* end of what was appended */
    uint64_t flush_off;     /* end of what fdatasync has returned for */
    uint64_t unit_off;      /* end of the last whole unit at or below flush_off */
    uint64_t uncertain_to;  /* > flush_off: a bad record at the end may have been acknowledged */
    uint64_t commit;        /* highest commit offset recorded in the log; at most flush_off */
    uint32_t chain_crc;     /* checksum of all payload bytes up to write_off … */
    uint32_t flush_chain;   /* … up to flush_off … */
    uint32_t begin_chain;   /* … and at begin: of what was there in front of it, … */
    bool begin_chain_known; /* … unless what told it has rotted */
    struct storage_holes holes;
};

/* What a step of checking did. */
struct storage_check {
    size_t bytes;     /* read and written */
    bool round_ended; /* everything was looked at once since the last time */
    bool urgent;      /* damage is being looked into or mended: go on at once */
};

/* What a step of packing did. */
struct storage_pack {
    size_t bytes; /* read and written by the caller's thread */
    bool idle;    /* there is nothing to pack */
    bool failed;  /* it did not work (no space, a bad disk); not to be tried again soon */
    bool packed;  /* something takes less of the disk now */
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
     * when it returns. Also clears uncertain_to. ERR_CORRUPT: it is not known what ends there,
     * because of a hole, which is known from now on (cuttable); nothing was cut. */
    int (*truncate)(struct storage *s, uint64_t offset);
    /* The highest offset up to `offset` to which the log can be cut, as far as is known: offset
     * itself, or the begin of the hole that it lies in. NULL: always offset itself. */
    uint64_t (*cuttable)(struct storage *s, uint64_t offset);
    /* Throws all records away (not the snapshots) and makes an empty log that begins at offset,
     * with that chain_crc there; durable when it returns. */
    int (*reset)(struct storage *s, uint64_t offset, uint32_t chain_crc);
    /* Appends whole encoded records (header and payload) to out, from the record that contains
     * byte `from` on, until at least one and at most about max_bytes are there, never past
     * flush_off. ERR_NOT_FOUND: from is below begin or at the end. ERR_CORRUPT: rotten there. */
    int (*read)(struct storage *s, uint64_t from, size_t max_bytes, struct buf *out);

    /* One step of checking what lies on the disk, and of mending it, of about max_bytes; called now
     * and then, for ever. Each round reads everything once, past the page cache where possible.
     * Errors are final; what is found rotten is none. NULL: this storage does not rot. */
    int (*check)(struct storage *s, size_t max_bytes, struct storage_check *out);
    /* Whole encoded records for the hole, the first one beginning at holes.next; the caller has
     * checked them on their own. They count when the hole is gone: after the last of them, and if
     * they fit to what surrounds them, it disappears in one of the next steps of check, durably.
     * ERR_INVALID: not what is missing next, or not fitting; the hole stays, and may be larger.
     * A single record that lies across holes.next or holes.to is such a one: what surrounds the
     * hole is of another log then, and becomes part of it.
     * ERR_NO_SPACE. Any other error is final. NULL as check. */
    int (*mend)(struct storage *s, const void *records, size_t size);

    /* One step of giving back what the log takes of the disk beyond its bytes, of about max_bytes
     * (more may be done meanwhile); called now and then, for ever. What the log holds stays as it
     * is; what goes wrong leaves all as it was, but errors are final. NULL: there is nothing to
     * give back. */
    int (*pack)(struct storage *s, size_t max_bytes, struct storage_pack *out);

    /* The acceptor's own durable state as opaque bytes (meta.c encodes it), kept in two slots.
     * load: ERR_NOT_FOUND if never saved, ERR_CORRUPT if both slots are bad. */
    int (*meta_load)(struct storage *s, struct buf *out);
    int (*meta_save)(struct storage *s, const void *bytes, size_t size);

    /* Receiving a snapshot: begin (drops an unfinished one), write in order, then commit: checks
     * size and checksum, fsyncs and publishes. ERR_CORRUPT from commit: thrown away. */
    int (*snap_begin)(struct storage *s, const struct snapshot_info *info);
    int (*snap_write)(struct storage *s, uint64_t at, const void *bytes, size_t size);
    int (*snap_commit)(struct storage *s);
    /* Gives up the one that is being received, and the room that it takes. */
    int (*snap_drop)(struct storage *s);
    /* The newest published snapshot with offset <= limit; ERR_NOT_FOUND: there is none. */
    int (*snap_latest)(struct storage *s, uint64_t limit, struct snapshot_info *out);
    /* Appends up to size bytes of the snapshot at that offset, from position at on. ERR_CORRUPT:
     * they have rotted. */
    int (*snap_read)(struct storage *s, uint64_t offset, uint64_t at, size_t size, struct buf *out);
    /* Notes durably when the snapshot at that offset was verified. ERR_NOT_FOUND, ERR_NO_SPACE:
     * nothing changed. */
    int (*snap_verified)(struct storage *s, uint64_t offset, uint64_t verified_ms);
    /* Removes it, durably. ERR_NOT_FOUND. */
    int (*snap_delete)(struct storage *s, uint64_t offset);

    /* Forgets what is below offset, as far as that goes in one piece: *begin is where the log
     * begins now, at a record's begin, durably; at most offset, and below flush_off unless that is
     * where it began. ERR_NO_SPACE: nothing changed. Any other error is final. NULL: nothing is
     * ever forgotten. */
    int (*trim)(struct storage *s, uint64_t offset, uint64_t *begin);
};

#endif
