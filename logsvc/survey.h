/* A walk over a whole segment that goes on behind what has rotted, in steps.
 *
 *   header ── good records ── [from: rotten or gone :to] ── good records ── until
 *
 * Behind a bad place it looks for the next block that begins with a good record and goes on there;
 * that record's own chain checksum tells the one in front of it. All bad places together count as
 * one hole: what is between them is fetched again with them.
 *
 * A closed segment ends at `until`, where the next one begins: whatever is missing in front of that
 * belongs to the hole. How far the newest segment reached is not known from elsewhere. There a
 * place is a hole only if a later record proves that it had been complete (segment.h); else the
 * log ends in front of it, and scan.tail says how sure that is. */
#ifndef LOGSVC_SURVEY_H
#define LOGSVC_SURVEY_H

#include "logsvc/segment.h"

struct survey {
    struct segment_cursor cursor;
    uint64_t begin;
    uint64_t until; /* UINT64_MAX: the newest segment */
    bool exact; /* set behind survey_begin: records go on up to data_end, markers at the end too */
    bool seeking; /* cursor.pos and .offset are those of the bad place */
    uint64_t seek_pos;
    uint64_t
        lost_to; /* the newest: how far bytes without a good record are proven to have reached */
    bool chain_known; /* at cursor */
    bool begin_known; /* there was a good header … */
    bool first_known; /* … or at least a good first record: */
    struct segment_mark first;

    /* What was found. */
    bool damaged; /* [from, to); may be empty, if it was an idle record that has rotted */
    uint64_t from, to;
    bool resumed; /* good records follow the hole: from here on */
    struct segment_mark resume;
    bool unit_known; /* scan.unit_off is right; else the last whole unit's end may be in the hole */
    struct segment_scan scan;
};

/* NULL header: it is bad; then the segment begins at offset `begin`, and nothing is known there but
 * that its last whole unit did not end below unit_off_min. file: read only; the caller's. */
void survey_begin(struct survey *v, struct disk_file *file, uint64_t data_end,
                  const struct segment_header *header, uint64_t begin, uint64_t unit_off_min,
                  uint64_t until);
/* Releases memory; v may be begun again, and may be zero. */
void survey_end(struct survey *v);

/* Goes on for about max_bytes of the file; *used are counted. ERR_MORE: not at the end yet. ERR_OK:
 * done. There is no other result: what can't be read is rotten. */
int survey_step(struct survey *v, size_t max_bytes, size_t *used) MUST_CHECK;

/* Whether a closed segment is whole: nothing missing up to `until`, from a good header on. */
static inline bool survey_is_whole(const struct survey *v)
{
    return v->begin_known && !v->damaged && v->scan.end == v->until;
}

#endif
