/* The newest stretch of the log as the leader keeps it in memory: whole encoded records, cut once
 * and sent to every node as they are, so that all nodes have the same record boundaries (a
 * truncation then always falls on one).
 *
 *     begin            sealed_end       end
 *       |─ record ─ record ─|─ open ─────|
 *
 * Bytes are appended to the open record; it is sealed when a node can take it, so that records grow
 * while all links are busy. It is cut behind its last whole unit; a unit that is larger than one
 * record is cut into parts. Records lie in chunks of memory and never cross one; what a node is
 * sent is a piece of one chunk. */
#ifndef LOGSVC_CLIENT_WINDOW_H
#define LOGSVC_CLIENT_WINDOW_H

#include "logsvc/record.h"

#include <stddef.h>

struct window_chunk;

struct window {
    size_t record_max_bytes; /* payload of one record */
    size_t retain_max_bytes; /* memory that trim may leave, if what is beyond is committed */
    struct log_term term;
    uint64_t origin; /* where the window (and the term) began */
    uint64_t commit; /* written into the records that are sealed from now on */

    struct window_chunk *first, *last; /* oldest … the one that is written */
    struct window_chunk *spare;
    size_t memory_bytes;

    uint64_t sealed_end;
    size_t open_bytes; /* payload of the open record, behind sealed_end */
    size_t open_units; /* how many of them end with a whole unit */
    uint64_t open_wall_ms;
    bool chain_known;
    uint32_t chain_crc; /* at sealed_end */
};

/* An empty window of a term that begins at origin. */
void window_init(struct window *w, struct log_term term, uint64_t origin, size_t record_max_bytes,
                 size_t retain_max_bytes);
void window_fini(struct window *w);

/* The log's chain checksum at origin. Until it is known nothing can be sent. Said once. */
void window_set_chain(struct window *w, uint32_t chain_crc);

/* The next bytes; unit_end: the last one ends a unit. */
void window_append(struct window *w, const void *bytes, size_t size, bool unit_end,
                   uint64_t wall_ms);

/* Seals the open record's whole units; true if there were any. */
bool window_seal(struct window *w);

/* Whole encoded records from offset `from` on, which is the boundary of a record at or behind
 * window_begin: at least one if there is any, and not more than max_bytes otherwise. Returns their
 * size (0: from is sealed_end, or the chain is not known) and the offset behind them. They stay
 * where they are until the next trim. */
size_t window_slice(const struct window *w, uint64_t from, size_t max_bytes, const uint8_t **bytes,
                    uint64_t *end);

/* Whether a record begins (or the sealed ones end) exactly there. */
bool window_is_boundary(const struct window *w, uint64_t offset);

/* Forgets what lies wholly below keep_from, and below commit if more than retain_max_bytes are
 * held. */
void window_trim(struct window *w, uint64_t keep_from);

/* The first offset that can still be sliced. */
uint64_t window_begin(const struct window *w);

static inline uint64_t window_end(const struct window *w)
{
    return w->sealed_end + w->open_bytes;
}

#endif
