/* The durable store of one log of one node: a folder with segments, votes and snapshots, behind
 * struct storage_ops (logsvc/storage.h). docs/log-format.md describes the files.
 *
 * append copies a record into the batch; flush writes the batch with one write and one fdatasync.
 * A record that does not fit into the open segment first brings what is queued to disk and goes on
 * in the next segment.
 *
 * One thread uses a store. Errors: ERR_NO_SPACE, ERR_INVALID (not the record or offset that may
 * come next), ERR_TOO_BIG (a record larger than a segment less 4 blocks) and ERR_STATE (the log is
 * empty) mean "refused, nothing changed"; ERR_CORRUPT of truncate says the same, and
 * that there is a hole. ERR_IO is final, and every later call fails with it. Snapshots: see
 * snapfile.h. */
#ifndef LOGSVC_STORE_H
#define LOGSVC_STORE_H

#include "logsvc/disk.h"
#include "logsvc/segment.h"
#include "logsvc/storage.h"

struct store_config {
    struct disk *disk;
    const char *folder; /* of this log; made if it is not there */
    uint8_t cluster_id[16];
    const char *node_id; /* shorter than SEGMENT_NODE_ID_BYTES */
    uint64_t log_id;
    uint64_t segment_bytes; /* a multiple of 64 KiB */
    uint64_t reserve_bytes; /* free space that new segments and snapshots leave alone */
    bool spare_thread;      /* makes the next segment in the background; see spare.h */
    /* A closed segment is packed if it then has at most that many hundredths of its size; 0: none
     * is. On the caller's time (storage_ops.pack), or in the background, at a pace. */
    unsigned pack_percent;
    bool pack_thread;
    uint64_t pack_bytes_per_s; /* of the thread, read and written; above 0 */
};

struct store;

/* Opens the log, or makes an empty one. Reads the newest segment in full and writes what is good
 * of it again; the older ones are checked when they are read, and by storage_ops.check. What has
 * rotted becomes a hole, if it is known how far the log reached (docs/log-format.md). ERR_EXISTS:
 * another process has it open. ERR_REFUSED: it belongs to another cluster, node or log.
 * ERR_CORRUPT: too much is damaged or missing; nothing was cut. ERR_IO, ERR_NO_SPACE. Each is
 * logged by name. */
int store_open(const struct store_config *config, struct store **out) MUST_CHECK;
/* What was not flushed is lost. NULL is allowed. */
void store_close(struct store *s);

/* The storage that an acceptor works on; lives as long as the store. */
struct storage *store_storage(struct store *s);

/* Whether a final error has happened. */
bool store_errored(const struct store *s);

#endif
