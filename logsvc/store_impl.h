/* What store.c (the running log) and store_open.c (opening and making it) share. */
#ifndef LOGSVC_STORE_IMPL_H
#define LOGSVC_STORE_IMPL_H

#include "logsvc/slots.h"
#include "logsvc/snapfile.h"
#include "logsvc/spare.h"
#include "logsvc/store.h"

enum { STORE_COPY_BYTES = 256 * 1024 };

struct store_segment {
    struct segment_header header; /* of the file; header.begin is right even if it is bad */
    bool bad;                     /* the header is corrupt: a hole in the log */
    struct segment_index index;   /* as far as anyone has read */
};

struct store {
    struct storage base; /* first */
    struct store_config config;
    char folder[DISK_PATH_BYTES];
    char node_id[SEGMENT_NODE_ID_BYTES];
    struct disk_file *lock;
    bool errored;
    bool begun; /* the log has had a begin offset once; so segments there must be */

    struct spare *spare;
    struct slots slots;
    struct snapfile snaps;

    /* By rising begin; the last one is open and takes the appends. None: the log is empty. */
    struct store_segment *segments;
    size_t segment_count;
    size_t segment_cap;

    /* The open segment. */
    struct disk_file *file;
    uint64_t data_end;
    uint64_t write_pos; /* where the next batch goes: the begin of a block */

    uint8_t *batch; /* queued records as they go to disk */
    size_t batch_len;
    size_t batch_cap;
    size_t batch_last; /* position of the last record's header */
    struct record batch_last_record;

    uint64_t write_off;
    uint64_t flush_off;
    uint64_t unit_off;       /* at flush_off */
    uint64_t unit_off_write; /* at write_off */
    uint64_t uncertain_to;
    uint64_t commit_seen; /* highest one in a flushed record */
    uint64_t commit_seen_write;
    uint64_t last_wall_ms;
    uint32_t chain_crc; /* at write_off */
    struct log_term term;

    struct segment_cursor reader; /* for read; its window is kept between calls */
};

static inline struct store_segment *store_open_segment(struct store *s)
{
    return &s->segments[s->segment_count - 1];
}

static inline struct disk *store_disk(const struct store *s)
{
    return s->config.disk;
}

/* Notes that an error is final, and returns it. */
int store_fail(struct store *s, int rc);

/* The bytes that durable state of this log is recognised by. */
struct segment_header store_header(const struct store *s, uint64_t begin, uint64_t epoch);

int store_segment_path(const struct store *s, uint64_t begin, char out[DISK_PATH_BYTES]) MUST_CHECK;

/* Puts a segment behind the others. */
void store_segment_add(struct store *s, const struct segment_header *header, bool bad);
void store_segments_clear(struct store *s);

/* Makes the spare file, which the caller has taken, the segment `header`, durably, in place of one
 * of that name. Its first records are the good ones of `source` as scan found them (NULL: none);
 * scan is brought to where the new file ends. *out is the open file. Errors are final. */
int store_segment_make(struct store *s, const struct segment_header *header,
                       struct disk_file *source, struct segment_scan *scan,
                       struct disk_file **out) MUST_CHECK;

/* The size of the file that takes these records: the configured one, unless they need the one that
 * the configuration had before. */
uint64_t store_segment_size(const struct store *s, uint64_t old_bytes,
                            const struct segment_scan *scan);

/* Writes header and good records over themselves and zeros behind them: what is vouched for is
 * then on the disk, without a new file. */
int store_segment_rewrite(struct store *s, const struct segment_header *header,
                          struct disk_file *file, struct segment_scan *scan) MUST_CHECK;

/* The last segment becomes the open one, with this file and content. */
void store_segment_enter(struct store *s, struct disk_file *file, const struct segment_scan *scan);

/* Notes durably that the log has a begin. */
int store_set_begun(struct store *s) MUST_CHECK;

#endif
