/* What the parts of the store share: store.c (the running log), store_cut.c (cutting it),
 * store_trim.c (its begin), store_segment.c (making files), store_open.c and store_recover.c
 * (opening), store_check.c and store_mend.c (rot), store_pack.c (density). */
#ifndef LOGSVC_STORE_IMPL_H
#define LOGSVC_STORE_IMPL_H

#include "logsvc/packer.h"
#include "logsvc/segment_writer.h"
#include "logsvc/slots.h"
#include "logsvc/snapfile.h"
#include "logsvc/spare.h"
#include "logsvc/store.h"
#include "logsvc/survey.h"

enum { STORE_COPY_BYTES = 256 * 1024 };

/* What a segment holds, as far as is known.
 *
 *   SOUND ◀──────── a survey finds nothing ────────┐
 *     │                                            │
 *     ├── a read fails, the footer is odd ──▶ SUSPECT (is surveyed next)
 *     │                                            │
 *     └── a survey finds something ──▶ DAMAGED ◀───┘      DAMAGED ── mended ──▶ SOUND */
enum store_health { STORE_SOUND, STORE_SUSPECT, STORE_DAMAGED };

struct store_segment {
    struct segment_header header; /* of the file; header.begin is right even if it is bad */
    bool bad;                     /* the header is corrupt, or there is no file */
    bool missing;                 /* there is no file */
    enum store_health health;
    uint64_t hole_from, hole_to; /* DAMAGED; equal: only header, footer or markers have rotted */
    bool resumed;                /* good records follow the hole, … */
    struct segment_mark resume;  /* … from here on */
    bool first_known;            /* bad, but the first record is good: */
    struct segment_mark first;
    bool summed; /* at the end, as the last survey found: */
    uint64_t end_unit_off, end_commit;
    struct log_term end_term;
    struct segment_index index; /* as far as anyone has read */

    /* Whether it is worth packing (store_pack.c). */
    bool dense;            /* it isn't: it is packed, or its batches are large */
    bool counted;          /* what its records take without their batches: */
    uint64_t record_bytes; /* each with its header, rounded up to 8 */
    unsigned packs_failed; /* since the log was opened, because of what it holds */
};

/* Looking after what is on the disk (store_check.c): what is being looked at. */
enum store_check_phase { STORE_CHECK_SEGMENTS, STORE_CHECK_SNAPSHOTS, STORE_CHECK_SMALL };

struct store_check {
    enum store_check_phase phase; /* of the round */
    uint64_t from;                /* segments below, or snapshots up to it, were looked at … */
    bool any;                     /* … if there were any */
    bool active;                  /* a survey is under way, of the segment that begins here: */
    uint64_t begin;
    struct disk_file *file;
    struct survey survey;
    bool snap_active;
    uint64_t snap_offset, snap_at;
    uint32_t snap_crc;
    uint64_t found;
};

/* Writing a segment anew from its good records and what others send (store_mend.c). */
enum store_mend_phase { STORE_MEND_NONE, STORE_MEND_BELOW, STORE_MEND_FEED, STORE_MEND_ABOVE };

struct store_mend {
    enum store_mend_phase phase;
    uint64_t begin, until;           /* of the segment */
    struct segment_header header;    /* of the new file */
    struct disk_file *source, *file; /* source NULL: there is nothing to copy */
    struct segment_cursor cursor;    /* in the source */
    struct segment_writer writer;
    uint64_t offset;    /* what comes next */
    uint32_t chain_crc; /* at offset */
    bool chain_known;   /* false: it is told by the first record */
    bool lower_bad;     /* what was fed does not continue what is below */
    struct log_term term;
    uint64_t fed_bytes;
    uint64_t mended_bytes; /* since the log was opened */
};

/* Writing a closed segment anew so that it takes less of the disk (store_pack.c). */
struct store_pack {
    struct packer *packer; /* NULL: nothing is packed */
    uint64_t begin, epoch; /* of the segment that it is at */
    bool complained;       /* that it failed, since it succeeded last */
};

/* Where the log begins. */
struct store_begin {
    uint64_t offset;
    uint64_t epoch;     /* 0: nothing is told */
    uint32_t chain_crc; /* at offset, if it is known */
    bool chain_known;
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
    uint32_t chain_crc;   /* at write_off … */
    uint32_t flush_chain; /* … and at flush_off, while something is queued behind that */
    struct log_term term;

    struct segment_cursor reader; /* for read; its window is kept between calls */

    struct store_check check;
    struct store_mend mend;
    struct store_pack pack;
    struct storage_holes holes; /* as the segments say; store_holes_update */
    struct store_begin told;    /* as `ident` says; see store_set_begun */
    bool ident_bad;             /* at start: it is corrupt */
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

/* The file of that name in the log's folder, which is whole and durable, takes the place of the
 * segment that begins there. Any error is final. */
int store_segment_replace(struct store *s, const char *name, uint64_t begin) MUST_CHECK;

/* The last segment becomes the open one, with this file and content. */
void store_segment_enter(struct store *s, struct disk_file *file, const struct segment_scan *scan);

/* Notes durably that the log has a begin, and which: segments from there on must be there.
 * ERR_NO_SPACE: nothing changed. */
int store_set_begun(struct store *s, const struct store_begin *begin) MUST_CHECK;
/* Whether the file `ident` is as it should be. */
int store_ident_check(struct store *s) MUST_CHECK;

/* Where the segment ends: at the next one, or at what was flushed. */
static inline uint64_t store_segment_end(const struct store *s, size_t i)
{
    return i + 1 < s->segment_count ? s->segments[i + 1].header.begin : s->flush_off;
}

/* store.c */
/* Goes on in a new segment. ERR_NO_SPACE, ERR_TOO_BIG: nothing changed. */
int store_roll(struct store *s) MUST_CHECK;
int store_flush(struct storage *base) MUST_CHECK;
/* The segment that holds the byte at offset; an offset at the end belongs to the last one. */
size_t store_find_segment(const struct store *s, uint64_t offset);
/* The footer at the end of a file of that size. */
int store_write_footer(struct disk_file *file, uint64_t file_bytes,
                       const struct segment_footer *footer) MUST_CHECK;

/* store_cut.c */
uint64_t store_cuttable(struct storage *base, uint64_t offset);
int store_truncate(struct storage *base, uint64_t offset) MUST_CHECK;
int store_reset(struct storage *base, uint64_t offset, uint32_t chain_crc) MUST_CHECK;

/* store_trim.c */
int store_trim(struct storage *base, uint64_t offset, uint64_t *begin) MUST_CHECK;
/* Opening: removes the segments below where `ident` says that the log begins. */
int store_finish_trim(struct store *s) MUST_CHECK;
/* Removes a segment's file, durably; it may be gone already. */
int store_remove_segment(struct store *s, uint64_t begin) MUST_CHECK;

/* store_recover.c */
/* The newest segment after a start: what is good of it, and where the log ends. */
int store_recover_last(struct store *s) MUST_CHECK;

/* store_check.c */
int store_check(struct storage *base, size_t max_bytes, struct storage_check *out) MUST_CHECK;
/* Gives up what is under way, because the segments change. */
void store_check_stop(struct store *s);
/* Something is odd about segment i: it is to be looked at. */
void store_suspect(struct store *s, size_t i);
/* Puts what a survey of segment i has found into its entry. */
void store_surveyed(struct store *s, size_t i, const struct survey *v);
/* Opens the file of segment i for reading past the cache, and tells where its data end. What can't
 * be opened is gone. */
int store_open_file(struct store *s, size_t i, struct disk_file **out,
                    uint64_t *data_end) MUST_CHECK;
/* Surveys segment i up to `until` at once. v is the caller's. False: its file is gone. */
bool store_survey_now(struct store *s, size_t i, uint64_t until, struct survey *v);
void store_holes_update(struct store *s);
/* Another file takes the place of segment i, looked at as a whole just now: nothing that is known
 * of the old one's places counts any more. */
void store_check_replaced(struct store *s, size_t i);

/* store_mend.c */
/* The highest damaged segment is written anew as far as that goes now; false: nothing to do.
 * Errors are final. */
int store_mend_step(struct store *s, size_t max_bytes, struct storage_check *out,
                    bool *busy) MUST_CHECK;
int store_mend(struct storage *base, const void *records, size_t size) MUST_CHECK;
void store_mend_stop(struct store *s);

/* store_pack.c */
int store_pack_open(struct store *s) MUST_CHECK;
void store_pack_close(struct store *s);
int store_pack(struct storage *base, size_t max_bytes, struct storage_pack *out) MUST_CHECK;
/* Gives up what is under way, because the segments change, or that one goes. */
void store_pack_drop(struct store *s);

#endif
