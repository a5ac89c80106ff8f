/* The log record: what one append puts into a segment, and what a read hands back. The format is
 * written here once; disk and wire carry the same bytes (little endian).
 *
 *   0 magic u32   4 header_crc u32 (of bytes 8..63)   8 payload_crc u32   12 chain_crc u32
 *  16 term u64   24 begin u64   32 len u32   36 flags u32   40 flushed u64   48 commit u64
 *  56 wall_ms u64   64 payload[len]
 *
 * payload_crc is made where the bytes leave Redis and is never recomputed on the way. chain_crc is
 * the CRC-32C of all payload bytes of the log up to and including this record's, so it does not
 * depend on how the stream was cut into records. */
#ifndef LOGSVC_RECORD_H
#define LOGSVC_RECORD_H

#include "common/err.h"
#include "logsvc/term.h"

#include <stddef.h>

enum { RECORD_HEADER_BYTES = 64 };
enum { RECORD_MAGIC = 0x31524648 }; /* "HFR1" */

/* The payload's last byte ends a unit (a whole command or transaction). A record without it is a
 * part of a larger unit and does not count in elections or commits until the last part is there. */
enum { RECORD_UNIT_END = 1u << 0 };
/* No payload: marks that everything up to `flushed` was synced (written when a log falls idle). */
enum { RECORD_IDLE = 1u << 1 };
/* The last record of what one write put on disk: only padding follows in its block. Set by the
 * storage alone, which ignores it in what it is handed; means nothing on the wire. */
enum { RECORD_BATCH_END = 1u << 2 };

/* From this bit on: how many of the sectors that it touches on the disk hold nothing but zeros. So
 * sectors that a torn write left zero are told from those that are meant to be. Set by the storage
 * alone, as RECORD_BATCH_END. */
enum { RECORD_ZEROS_SHIFT = 8, RECORD_ZEROS_MAX = (1 << 24) - 1 };
#define RECORD_OWN_FLAGS (RECORD_BATCH_END | (uint32_t)RECORD_ZEROS_MAX << RECORD_ZEROS_SHIFT)

struct record {
    struct log_term term; /* the term whose leader first appended these bytes */
    uint64_t begin;       /* offset of the log before this record */
    uint32_t len_bytes;   /* of the payload */
    uint32_t flags;       /* RECORD_… */
    uint32_t payload_crc;
    uint32_t chain_crc;
    uint64_t flushed; /* the node's flushed offset when this record was written */
    uint64_t commit;  /* the commit offset known then */
    uint64_t wall_ms; /* when the leader appended it; for point-in-time recovery */
};

static inline uint64_t record_end(const struct record *r)
{
    return r->begin + r->len_bytes;
}

/* Whether offset a or b lies inside of the record, not at one of its ends. */
static inline bool record_crosses(const struct record *r, uint64_t a, uint64_t b)
{
    return (r->begin < a && a < record_end(r)) || (r->begin < b && b < record_end(r));
}

void record_encode_header(const struct record *r, uint8_t out[RECORD_HEADER_BYTES]);

/* Marks the records of a batch, which lies in memory as it will on the disk and begins with a
 * block, with the zero sectors that they touch. */
void record_mark_zeros(uint8_t *batch, size_t size);

static inline uint32_t record_zeros(const struct record *r)
{
    return r->flags >> RECORD_ZEROS_SHIFT;
}

/* Reads a header. ERR_MORE: fewer than 64 bytes; ERR_CORRUPT: magic, checksum or flags are wrong.
 * The payload is not looked at. */
int record_decode_header(const uint8_t *bytes, size_t size, struct record *r) MUST_CHECK;

/* Whether the payload is the one that the header was made for. */
bool record_payload_ok(const struct record *r, const void *payload);

#endif
