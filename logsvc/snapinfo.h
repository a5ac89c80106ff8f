/* What is known about a snapshot: a dataset at an exact offset of the log, as an RDB. One layout of
 * bytes for messages and lists (docs/log-protocol.md §4.2), one JSON object for files and people
 * (docs/log-format.md §6). Pure. */
#ifndef LOGSVC_SNAPINFO_H
#define LOGSVC_SNAPINFO_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/term.h"

#include <stdbool.h>
#include <stdint.h>

enum { SNAPINFO_ENGINE_BYTES = 32 };

struct snapshot_info {
    uint64_t offset;
    struct log_term term; /* of the log at offset */
    struct replid replid; /* of the log at offset */
    uint64_t size_bytes;
    uint32_t crc;         /* CRC-32C of the RDB */
    uint32_t chain_crc;   /* the log's chain checksum at offset; 0 where a log was begun */
    uint64_t wall_ms;     /* of the last record at or below offset; where a log was begun: taken */
    uint64_t keys;        /* in all databases; 0: not counted */
    uint64_t taken_ms;    /* when it was made; 0: not told */
    uint64_t verified_ms; /* when a rehearsal has shown that it is what it says; 0: never */
    char engine_version[SNAPINFO_ENGINE_BYTES]; /* NUL-terminated, "7.0.15" */
};

/* Bytes of an encoded one: u64 offset, u64 log term, 40 bytes replid, u64 size_bytes, u32 crc,
 * u32 chain_crc, u64 wall_ms, u64 keys, u64 taken_ms, u64 verified_ms, 32 bytes engine. */
enum { SNAPINFO_BYTES = 8 + 8 + 40 + 8 + 4 + 4 + 4 * 8 + SNAPINFO_ENGINE_BYTES };

void snapinfo_put(const struct snapshot_info *info, uint8_t out[SNAPINFO_BYTES]);
/* ERR_CORRUPT: the engine's text does not end, or has something behind its end. */
int snapinfo_get(const uint8_t bytes[SNAPINFO_BYTES], struct snapshot_info *info) MUST_CHECK;

/* Whether two descriptions are of the same bytes at the same place. */
bool snapinfo_same(const struct snapshot_info *a, const struct snapshot_info *b);

/* Appends one JSON object, without a line's end: offset, term, replid, bytes, rdb_crc32c,
 * chain_crc32c (both as 8 hexadecimal digits), wall_ms, keys, taken_ms, verified_ms (null: never),
 * engine; in this order. */
void snapinfo_to_json(const struct snapshot_info *info, struct buf *out);
/* Reads what snapinfo_to_json makes, to the byte. ERR_CORRUPT. */
int snapinfo_from_json(const char *text, size_t size, struct snapshot_info *info) MUST_CHECK;

/* --- lists ---------------------------------------------------------------------------------- */

/* One that a node has stored. */
struct snapinfo_stored {
    struct snapshot_info info;
    bool counts; /* a Redis may be brought up from it: docs/log-protocol.md §5.8 */
};

/* Stored on a node at most; the oldest may be left out of a list. */
enum { SNAPINFO_LIST_MAX = 64 };

/* Encoded: u16 count, then for each SNAPINFO_BYTES and u8 counts. By falling offset. */
void snapinfo_list_begin(struct buf *out);
/* Appends one behind the others; false: the list is full. */
bool snapinfo_list_add(struct buf *out, const struct snapinfo_stored *stored);
unsigned snapinfo_list_count(const uint8_t *bytes, size_t size);
/* ERR_CORRUPT: not a list, or it is not in order. */
int snapinfo_list_check(const uint8_t *bytes, size_t size) MUST_CHECK;
/* Entry i of a list that was checked. */
void snapinfo_list_get(const uint8_t *bytes, size_t size, unsigned i, struct snapinfo_stored *out);

#endif
