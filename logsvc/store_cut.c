/* Cutting the log, and beginning it anew.
 *
 * A cut keeps the records of its segment in front of it. If that is little, they go into a new file
 * in place of the old one. If it is much, or if something in front has rotted, the old file stays,
 * is sealed there, and an empty segment begins at the cut: what the old file holds behind it means
 * nothing any more. */
#include "common/log.h"
#include "logsvc/store_impl.h"

#include <stdlib.h>
#include <string.h>

/* Whether it is not known what ends there, inside of the segment: it is in a hole or in front of
 * one. What is in front may be of another log (an old copy of the file); only a segment's end tells
 * that its records are the right ones. */
static bool store_cut_is_lost(const struct store_segment *g, uint64_t offset)
{
    return g->health == STORE_DAMAGED && g->header.begin < offset && g->hole_from < g->hole_to &&
           (offset < g->hole_to || (offset == g->hole_to && !g->resumed));
}

uint64_t store_cuttable(struct storage *base, uint64_t offset)
{
    const struct store *s = (struct store *)base;
    size_t i = s->segment_count;

    while (i > 0) {
        const struct store_segment *g = &s->segments[--i];
        offset = store_cut_is_lost(g, offset) ? g->header.begin : offset;
        if (offset > g->header.begin || (offset == g->header.begin && !g->bad)) {
            break; /* else what ends there is told by the segment in front of it */
        }
    }
    return offset;
}

/* The part of a segment that is copied at most. */
enum { STORE_CUT_COPY_PART = 8 };

/* Opens a segment's file to write its footer. ERR_NOT_FOUND: there is no file. */
static int store_open_footer(struct store *s, size_t i, struct disk_file **out,
                             uint64_t *file_bytes)
{
    const struct store_segment *g = &s->segments[i];
    char path[DISK_PATH_BYTES];

    int rc = store_segment_path(s, g->header.begin, path);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, DISK_WRITE | DISK_DIRECT, out);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    *file_bytes = g->header.file_bytes;
    if (g->bad) {
        rc = disk_size(*out, file_bytes);
        if (rc == ERR_OK && *file_bytes < SEGMENT_BYTES_MIN) {
            rc = ERR_NOT_FOUND;
        }
    }
    if (rc != ERR_OK) {
        disk_close(*out);
    }
    return rc;
}

/* Zeros in place of the footer of segment i, which is about to be the last one: it does not end
 * where the footer says. */
static int store_unseal(struct store *s, size_t i)
{
    uint8_t *block;
    struct disk_file *f;
    uint64_t file_bytes;

    int rc = store_open_footer(s, i, &f, &file_bytes);
    if (rc != ERR_OK) {
        return rc == ERR_NOT_FOUND ? ERR_OK : rc;
    }
    block = disk_memory(SEGMENT_BLOCK_BYTES);
    memset(block, 0, SEGMENT_BLOCK_BYTES);
    rc = disk_write(f, block, SEGMENT_BLOCK_BYTES, segment_data_end(file_bytes));
    if (rc == ERR_OK) {
        rc = disk_sync(f);
    }
    free(block);
    disk_close(f);
    return rc;
}

/* Removes the segments behind i, the last one first, so that what is left at any moment is a log
 * without holes. */
static int store_cut_behind(struct store *s, size_t i)
{
    while (s->segment_count > i + 1) {
        struct store_segment *last = store_open_segment(s);
        int rc = store_unseal(s, s->segment_count - 2);
        if (rc == ERR_OK) {
            rc = store_remove_segment(s, last->header.begin);
        }
        if (rc != ERR_OK) {
            return rc;
        }
        segment_index_release(&last->index);
        s->segment_count--;
    }
    return ERR_OK;
}

/* A new file for segment i, with its records up to scan->end. */
static int store_cut_copy(struct store *s, size_t i, const struct survey *v)
{
    struct segment_scan scan = v->scan;
    struct disk_file *file = NULL, *source = NULL;
    uint64_t data_end;

    int rc = store_open_file(s, i, &source, &data_end);
    if (rc != ERR_OK) {
        return store_fail(s, rc);
    }
    rc = store_cut_behind(s, i);
    if (rc != ERR_OK) {
        disk_close(source);
        return store_fail(s, rc);
    }
    struct store_segment *g = store_open_segment(s);
    bool doubt = segment_begins_in_doubt(&g->header); /* it matters when it is cut there again */
    g->header.uncertain_to = !v->unit_known ? scan.end + 1 : doubt ? g->header.begin + 1 : 0;
    g->header.file_bytes = store_segment_size(s, g->header.file_bytes, &scan);
    rc = store_segment_make(s, &g->header, source, &scan, &file);
    disk_close(source);
    if (rc == ERR_OK) {
        g->health = STORE_SOUND;
        g->summed = false;
        segment_index_release(&g->index);
        store_segment_enter(s, file, &scan);
    }
    return rc;
}

/* A new segment behind the records of segment i that stay. */
static int store_cut_behind_new(struct store *s, size_t i, const struct survey *v)
{
    const struct segment_scan *kept = &v->scan;
    struct segment_header h = store_header(s, kept->end, store_open_segment(s)->header.epoch);
    struct segment_footer footer = {kept->end, segment_block_up(kept->end_pos), kept->chain_crc};
    struct segment_scan scan = *kept;
    struct disk_file *file = NULL, *old = NULL;
    uint64_t file_bytes;

    h.unit_off = kept->unit_off;
    h.commit = kept->commit;
    h.term = kept->term;
    h.chain_crc = kept->chain_crc;
    h.uncertain_to = v->unit_known ? 0 : kept->end + 1;
    scan.end_pos = SEGMENT_BLOCK_BYTES;
    scan.last_pos = 0;
    int rc = store_cut_behind(s, i);
    if (rc != ERR_OK) {
        return store_fail(s, rc);
    }
    rc = store_segment_make(s, &h, NULL, &scan, &file);
    if (rc != ERR_OK) {
        return rc;
    }
    rc = store_open_footer(s, i, &old, &file_bytes);
    if (rc == ERR_OK) {
        rc = store_write_footer(old, file_bytes, &footer);
        disk_close(old);
    }
    if (rc != ERR_OK && rc != ERR_NOT_FOUND) {
        disk_close(file);
        return store_fail(s, rc);
    }
    struct store_segment *g = &s->segments[i];
    if (g->health != STORE_DAMAGED || !v->damaged) {
        g->health = v->damaged || g->bad ? STORE_SUSPECT : STORE_SOUND;
    }
    g->summed = false;
    g->dense = g->counted = false;
    segment_index_release(&g->index);
    store_segment_add(s, &h, false);
    store_segment_enter(s, file, &scan);
    return ERR_OK;
}

/* What is good of segment i in front of the offset. ERR_INVALID: no record ends there. ERR_CORRUPT:
 * there is a hole. */
static int store_cut_look(struct store *s, size_t i, uint64_t offset, struct survey *v)
{
    struct store_segment *g = &s->segments[i];

    if (!store_survey_now(s, i, offset, v)) {
        return ERR_CORRUPT;
    }
    if (v->scan.end == offset && v->chain_known &&
        (!v->damaged || v->resumed || offset == v->from)) {
        return ERR_OK;
    }
    if (v->damaged) {
        /* Is it the record at v->from that goes past the offset, or has it rotted? */
        struct survey whole = {0};
        bool there = store_survey_now(s, i, store_segment_end(s, i), &whole);
        bool sound = there && (!whole.damaged || v->from < whole.from || v->from >= whole.to);
        bool known = there && whole.damaged && whole.resumed && whole.to == offset;
        if (known) {
            /* The hole ends there; the record behind it tells what the checksum is. */
            v->scan.end = offset;
            v->scan.end_pos = whole.resume.pos;
            v->scan.chain_crc = whole.resume.chain_crc;
            v->unit_known = false;
        }
        survey_end(&whole);
        if (known) {
            return ERR_OK;
        }
        if (sound && v->begin_known && g->health != STORE_DAMAGED) {
            return ERR_INVALID;
        }
    }
    return ERR_CORRUPT;
}

/* A closed segment that is to be cut is looked at as a whole, unless it has rotted for all we know:
 * see store_cut_is_lost. */
static void store_cut_survey(struct store *s, size_t i, uint64_t offset)
{
    const struct store_segment *g = &s->segments[i];
    struct survey v = {0};

    if (i + 1 < s->segment_count && g->health != STORE_DAMAGED && g->header.begin < offset) {
        bool there = store_survey_now(s, i, store_segment_end(s, i), &v);
        store_surveyed(s, i, there ? &v : NULL);
        survey_end(&v);
    }
}

/* The offset lies in a hole of segment i: makes that known. */
static int store_cut_refuse(struct store *s, size_t i, uint64_t offset)
{
    struct survey v = {0};

    if (i == s->segment_count - 1) {
        int rc = store_roll(s);
        if (rc != ERR_OK) {
            return rc == ERR_TOO_BIG ? ERR_CORRUPT : rc;
        }
    }
    bool there = store_survey_now(s, i, store_segment_end(s, i), &v);
    store_surveyed(s, i, there ? &v : NULL);
    survey_end(&v);
    return s->base.ops->cuttable(&s->base, offset) < offset ? ERR_CORRUPT : ERR_INVALID;
}

int store_truncate(struct storage *base, uint64_t offset)
{
    struct store *s = (struct store *)base;
    struct survey v = {0};

    int rc = store_flush(base);
    if (rc != ERR_OK) {
        return rc;
    }
    if (s->segment_count == 0) {
        return ERR_STATE;
    }
    if (offset > s->flush_off || offset < s->segments[0].header.begin) {
        return ERR_INVALID;
    }
    store_check_stop(s);
    store_pack_drop(s);
    size_t i = store_find_segment(s, offset);
    if (i > 0 && s->segments[i].bad && offset == s->segments[i].header.begin) {
        i--; /* what is known of that offset is at the end of the one before */
    }
    store_cut_survey(s, i, offset);
    rc =
        store_cut_is_lost(&s->segments[i], offset) ? ERR_CORRUPT : store_cut_look(s, i, offset, &v);
    if (rc == ERR_OK) {
        rc = spare_take(s->spare, true);
        rc = rc == ERR_OK || rc == ERR_NO_SPACE ? rc : store_fail(s, rc); /* nothing is cut yet */
    } else if (rc == ERR_CORRUPT) {
        rc = store_cut_refuse(s, i, offset);
    }
    if (rc == ERR_OK) {
        const struct store_segment *g = &s->segments[i];
        bool little = v.scan.end_pos <= g->header.file_bytes / STORE_CUT_COPY_PART;
        bool copy = survey_is_whole(&v) && (little || offset == g->header.begin);
        rc = copy ? store_cut_copy(s, i, &v) : store_cut_behind_new(s, i, &v);
    }
    survey_end(&v);
    store_holes_update(s);
    return rc;
}

int store_reset(struct storage *base, uint64_t offset, uint32_t chain_crc)
{
    struct store *s = (struct store *)base;
    uint64_t epoch = s->segment_count > 0 ? store_open_segment(s)->header.epoch + 1 : 1;
    struct disk_file *file;

    if (s->errored) {
        return ERR_IO;
    }
    store_check_stop(s);
    store_pack_drop(s);
    int rc = spare_take(s->spare, true);
    if (rc != ERR_OK) {
        return rc == ERR_NO_SPACE ? rc : store_fail(s, rc);
    }
    struct segment_header h = store_header(s, offset, epoch);
    struct segment_scan scan = {
        .end = offset, .end_pos = SEGMENT_BLOCK_BYTES, .unit_off = offset, .chain_crc = chain_crc};
    h.unit_off = offset;
    h.chain_crc = chain_crc;
    rc = store_segment_make(s, &h, NULL, &scan, &file);
    if (rc != ERR_OK) {
        return rc;
    }
    /* From here on the new epoch is the log; a crash leaves the rest to store_open. `ident` says so
     * before anything is removed: rot of the new header must not bring the old epoch back. */
    struct store_begin begin = {
        .offset = offset, .epoch = epoch, .chain_crc = chain_crc, .chain_known = true};
    int told = store_set_begun(s, &begin);
    rc = told == ERR_NO_SPACE ? ERR_OK : told;
    for (size_t i = 0; i < s->segment_count && rc == ERR_OK; i++) {
        uint64_t at = s->segments[i].header.begin;
        rc = at == offset ? ERR_OK : store_remove_segment(s, at);
    }
    if (rc == ERR_OK && told == ERR_NO_SPACE) {
        rc = store_set_begun(s, &begin); /* now there is room */
    }
    if (rc != ERR_OK) {
        disk_close(file);
        return store_fail(s, rc);
    }
    store_segments_clear(s);
    store_segment_add(s, &h, false);
    store_segment_enter(s, file, &scan);
    store_holes_update(s);
    return ERR_OK;
}
