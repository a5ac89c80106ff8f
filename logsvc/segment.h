/* One segment file: its header, its footer, walking its records, and the judgement of what is
 * behind the last good one. docs/log-format.md is the normative description.
 *
 *   block 0        header                                   (made before the file has its name)
 *   blocks 1 …     batches of records; each batch begins a block, its last record says BATCH_END
 *   then           zeros, as far as nothing was written (the file is zero-filled when it is made)
 *   last block     footer, once the segment is sealed
 *
 * Every record carries the offset up to which the log was synced before its batch was written. So a
 * record proves that everything below its `flushed` had been complete, and may have been
 * acknowledged; this is what tells a torn write from rot (segment_judge_tail). */
#ifndef LOGSVC_SEGMENT_H
#define LOGSVC_SEGMENT_H

#include "logsvc/disk.h"
#include "logsvc/record.h"

enum { SEGMENT_BLOCK_BYTES = DISK_BLOCK_BYTES };
enum { SEGMENT_BYTES_MIN = 16 * SEGMENT_BLOCK_BYTES };
enum { SEGMENT_MAGIC = 0x31534648 };        /* "HFS1" */
enum { SEGMENT_FOOTER_MAGIC = 0x31454648 }; /* "HFE1" */
enum { SEGMENT_VERSION = 1 };
enum { SEGMENT_NODE_ID_BYTES = 64 };
enum { SEGMENT_NAME_BYTES = 32 };

struct segment_header {
    uint8_t cluster_id[16];
    char node_id[SEGMENT_NODE_ID_BYTES]; /* NUL-terminated */
    uint64_t log_id;
    uint64_t begin;        /* offset of the log at its first record */
    uint64_t epoch;        /* counts the resets of the log; the highest one is the log */
    uint64_t file_bytes;   /* size of the file */
    uint64_t uncertain_to; /* as in struct storage_state; 0: nothing is uncertain */
    uint64_t unit_off;     /* at begin: end of the last whole unit */
    uint64_t commit;       /* at begin: highest commit offset recorded */
    struct log_term term;  /* at begin: of the last record before */
    uint32_t chain_crc;    /* at begin */
};

struct segment_footer {
    uint64_t end; /* offset behind the last record */
    uint64_t end_pos;
    uint32_t chain_crc;
};

void segment_encode_header(const struct segment_header *h, uint8_t out[SEGMENT_BLOCK_BYTES]);
/* ERR_CORRUPT: checksum, magic or version; the values are not judged beyond that. */
int segment_decode_header(const uint8_t bytes[SEGMENT_BLOCK_BYTES],
                          struct segment_header *h) MUST_CHECK;
void segment_encode_footer(const struct segment_footer *f, uint8_t out[SEGMENT_BLOCK_BYTES]);
int segment_decode_footer(const uint8_t bytes[SEGMENT_BLOCK_BYTES],
                          struct segment_footer *f) MUST_CHECK;

/* Whether it is not known that a unit ends where the segment begins, nor that none does: what was
 * before had rotted when it was begun (store_cut.c, store_recover.c). Its unit_off says too little
 * until a unit ends in it. */
static inline bool segment_begins_in_doubt(const struct segment_header *h)
{
    return h->unit_off != h->begin && h->uncertain_to > h->begin;
}

/* "seg-<20 digits>.log" */
void segment_name(uint64_t begin, char out[SEGMENT_NAME_BYTES]);
/* ERR_NOT_FOUND: not the name of a segment. */
int segment_name_parse(const char *name, uint64_t *begin) MUST_CHECK;

static inline uint64_t segment_data_end(uint64_t file_bytes)
{
    return file_bytes - SEGMENT_BLOCK_BYTES;
}

static inline uint64_t segment_block_up(uint64_t pos)
{
    return (pos + SEGMENT_BLOCK_BYTES - 1) & ~(uint64_t)(SEGMENT_BLOCK_BYTES - 1);
}

/* Where in the file some records begin: every 64 KiB or so. */
struct segment_mark {
    uint64_t offset;
    uint64_t pos;
    uint64_t term;      /* of the record before */
    uint32_t chain_crc; /* of the log at offset */
};

struct segment_index {
    struct segment_mark *marks;
    size_t count;
    size_t cap;
};

/* Marks a record if it is far enough behind the last mark. */
void segment_index_add(struct segment_index *x, const struct segment_mark *mark);
/* The last mark at or below offset; NULL: there is none. */
const struct segment_mark *segment_index_find(const struct segment_index *x, uint64_t offset);
void segment_index_release(struct segment_index *x);

/* A walk over the records of a segment, each checked in full: header, payload, chain, offset, term.
 */
struct segment_cursor {
    struct disk_file *file;
    uint64_t data_end; /* file position behind the last byte that may belong to a record */
    size_t ahead;      /* bytes read at once; a multiple of the block */
    uint64_t pos;      /* of the next record, with what must hold there: */
    uint64_t offset;
    uint32_t chain_crc;
    struct log_term term;
    uint8_t *window; /* file bytes [window_at, window_at + window_len) */
    size_t window_cap;
    size_t window_len;
    uint64_t window_at;
};

void segment_cursor_init(struct segment_cursor *c, struct disk_file *file, uint64_t data_end,
                         size_t ahead_bytes);
void segment_cursor_fini(struct segment_cursor *c);
void segment_cursor_begin(struct segment_cursor *c, const struct segment_header *h);
void segment_cursor_seek(struct segment_cursor *c, const struct segment_mark *mark);

struct segment_item {
    struct record record;
    uint64_t pos;         /* in the file */
    const uint8_t *bytes; /* header and payload; valid until the next call */
};

/* The next record. ERR_NOT_FOUND: zeros where a batch would begin, or no room for one: the end, as
 * far as this place tells. ERR_CORRUPT: not a good record at c->pos. Both leave c where it is. */
int segment_cursor_next(struct segment_cursor *c, struct segment_item *item) MUST_CHECK;

/* The file's bytes [pos, pos + size), valid until the next call on c. ERR_CORRUPT: the file, or
 * what may belong to records, ends before. */
int segment_cursor_bytes(struct segment_cursor *c, uint64_t pos, size_t size,
                         const uint8_t **out) MUST_CHECK;

enum segment_tail {
    SEGMENT_TAIL_CLEAN,     /* only zeros behind the last record */
    SEGMENT_TAIL_TORN,      /* a write that was cut short; never acknowledged */
    SEGMENT_TAIL_UNCERTAIN, /* a bad record that no torn write explains; acknowledged or not */
};

struct segment_scan {
    uint64_t end;      /* offset behind the last good record */
    uint64_t end_pos;  /* file position behind it; the header's end if there is none */
    uint64_t last_pos; /* of the last good record; 0: there is none */
    struct record last;
    uint64_t unit_off;
    uint64_t commit; /* highest one recorded, not bounded by end */
    uint32_t chain_crc;
    struct log_term term;
    enum segment_tail tail;
    uint64_t uncertain_to; /* SEGMENT_TAIL_UNCERTAIN: the bad record ends here or earlier */
    uint64_t bad_pos;      /* where the tail's judgement was made */
};

/* Judges what is behind the last good record, where c stands: tail, uncertain_to and bad_pos of
 * out. ERR_CORRUPT: a later record proves that what stands there was complete once. */
int segment_judge_tail(struct segment_cursor *c, struct segment_scan *out) MUST_CHECK;

/* Whether the block, which lies behind the bad place where c stands, begins with a record that was
 * written after that place had been synced. */
bool segment_is_evidence(const struct segment_cursor *c, const uint8_t *block, struct record *r);

#endif
