/* The history of a log: in which term each stretch of it was begun, at which offset, and under
 * which Redis replication id.
 *
 * Entries are in order: terms rise strictly, begin offsets never fall (a leader that wrote nothing
 * leaves an entry at the same offset as the next). Two logs in which the same term occurs are equal
 * up to there, and that term begins at the same offset in both (log matching); this is what
 * history_common stands on.
 *
 * Bounded: when it is full, appending forgets the oldest term in which nothing was written (but the
 * first one), which changes neither the term of any byte or position nor a common point; if there
 * is none, the oldest entry. Whoever lags so far that no common entry is left is told "no common
 * point" and needs a snapshot; nothing is ever guessed. */
#ifndef LOGSVC_HISTORY_H
#define LOGSVC_HISTORY_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/term.h"

#include <stddef.h>

enum { HISTORY_ENTRIES_MAX = 256 };

struct history_entry {
    struct log_term term;
    uint64_t begin; /* the first byte of this term is at begin + 1 in Redis' counting */
    struct replid replid;
};

/* A plain value: {0} is the empty history, assignment copies it. About 14 KiB. */
struct history {
    unsigned count;
    struct history_entry entries[HISTORY_ENTRIES_MAX];
};

/* Bytes of an encoded history: u16 count, then for each entry u64 term, u64 begin, 40 bytes. */
enum {
    HISTORY_ENTRY_BYTES = 8 + 8 + 40,
    HISTORY_BYTES_MAX = 2 + HISTORY_ENTRIES_MAX * HISTORY_ENTRY_BYTES
};

/* Begins a term. ERR_INVALID, nothing changed: term 0, not higher than the last one, or begin
 * below the last one's. Full: an entry is forgotten. */
int history_append(struct history *h, struct log_term term, uint64_t begin,
                   const struct replid *replid) MUST_CHECK;

/* As if there were room for so few entries (at least 1) only: makes room for one more, that of a
 * term that begins at `begin`. */
void history_make_room(struct history *h, unsigned max, uint64_t begin);

/* The entry to which the position `offset` belongs: the last one with begin <= offset (so a term
 * that begins exactly at the end of a log counts as that log's last). NULL: there is none. */
const struct history_entry *history_at(const struct history *h, uint64_t offset);

/* The entry that holds the bytes behind offset, and where they end (*end; UINT64_MAX: open). The
 * same as history_at but for the end. */
const struct history_entry *history_stretch(const struct history *h, uint64_t offset,
                                            uint64_t *end);

/* The entry of that term, or NULL. */
const struct history_entry *history_find(const struct history *h, struct log_term term);

/* The last log term of a log that ends at flush_off; {0} if no entry reaches it. */
struct log_term history_last_term(const struct history *h, uint64_t flush_off);

/* Forgets the entries that begin behind offset. */
void history_cut(struct history *h, uint64_t offset);

/* The highest offset up to which both logs hold the same bytes. `log_end` is the end of the
 * acceptor's log; the proposer's is open.
 *   - last common term = the highest that occurs in both;
 *   - it ends where the next entry begins, on each side; the result is the least of both and
 *     log_end.
 * ERR_NOT_FOUND: no common term. ERR_CORRUPT: the common term begins at different offsets, which
 * cannot be (log matching is broken). */
int history_common(const struct history *proposer, const struct history *acceptor, uint64_t log_end,
                   uint64_t *common) MUST_CHECK;

void history_encode(const struct history *h, struct buf *out);

/* Reads exactly size bytes. ERR_CORRUPT: lengths, order or terms are wrong; h is then undefined. */
int history_decode(const uint8_t *bytes, size_t size, struct history *h) MUST_CHECK;

bool history_equal(const struct history *a, const struct history *b);

#endif
