/* Looking after what is on the disk: rot is found before it is needed.
 *
 * One step at a time, in this order: a survey that is under way; a segment that is suspected; a
 * damaged one that can be mended (store_mend.c); and then the round, which goes over all segments,
 * all snapshots, and the small files again and again. Everything is opened by its name and read
 * past the page cache, so that it is the disk which is looked at, and a file that is gone is
 * missed.
 *
 * The open segment is surveyed up to what was flushed. If it has rotted, the log goes on in a new
 * one, so that it can be mended like any other. */
#include "common/crc32c.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/store_impl.h"

#include <stdlib.h>
#include <string.h>

static size_t store_last(const struct store *s)
{
    return s->segment_count - 1;
}

/* --- what is known --- */

void store_holes_update(struct store *s)
{
    struct storage_holes h = {.found = s->check.found, .mended_bytes = s->mend.mended_bytes};

    for (size_t i = 0; i < s->segment_count; i++) {
        const struct store_segment *g = &s->segments[i];
        bool damaged = g->health == STORE_DAMAGED, lost = damaged && g->hole_from < g->hole_to;
        if (g->health == STORE_SOUND) {
            continue;
        }
        h.count++;
        if (!damaged || lost) {
            h.end = damaged ? g->hole_to : store_segment_end(s, i);
        }
        if (lost) {
            bool fed = s->mend.phase == STORE_MEND_FEED && s->mend.begin == g->header.begin;
            h.from = g->hole_from;
            h.to = g->hole_to;
            h.next = fed ? s->mend.offset : g->hole_to;
        }
    }
    s->holes = h;
}

void store_suspect(struct store *s, size_t i)
{
    if (s->segments[i].health == STORE_SOUND) {
        s->segments[i].health = STORE_SUSPECT;
        segment_index_release(&s->segments[i].index); /* it may be another file, and whole */
        store_holes_update(s);
    }
}

void store_check_stop(struct store *s)
{
    struct store_check *c = &s->check;

    survey_end(&c->survey);
    disk_close(c->file);
    c->file = NULL;
    c->active = c->snap_active = false;
    store_mend_stop(s);
}

void store_check_replaced(struct store *s, size_t i)
{
    struct store_check *c = &s->check;

    segment_index_release(&s->segments[i].index);
    if (c->active && c->begin == s->segments[i].header.begin) {
        survey_end(&c->survey);
        disk_close(c->file);
        c->file = NULL;
        c->active = false;
    }
}

/* --- surveys --- */

int store_open_file(struct store *s, size_t i, struct disk_file **out, uint64_t *data_end)
{
    const struct store_segment *g = &s->segments[i];
    char path[DISK_PATH_BYTES];
    uint64_t size = g->header.file_bytes;

    int rc = store_segment_path(s, g->header.begin, path);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, DISK_DIRECT, out);
    }
    if (rc != ERR_OK) {
        return ERR_NOT_FOUND;
    }
    if (g->bad) {
        rc = disk_size(*out, &size);
    }
    size = size / SEGMENT_BLOCK_BYTES * SEGMENT_BLOCK_BYTES;
    if (rc != ERR_OK || size < 2 * (uint64_t)SEGMENT_BLOCK_BYTES) {
        disk_close(*out);
        return ERR_NOT_FOUND;
    }
    *data_end = s->file != NULL && i == store_last(s) ? s->write_pos : segment_data_end(size);
    return ERR_OK;
}

static void store_survey_begin(struct store *s, size_t i, uint64_t until, struct disk_file *file,
                               uint64_t data_end, struct survey *v)
{
    const struct store_segment *g = &s->segments[i];
    uint64_t least = s->segments[0].header.begin;

    if (i > 0 && g[-1].summed) {
        least = g[-1].end_unit_off;
    } else if (i > 0 && !g[-1].bad) {
        least = g[-1].header.unit_off;
    }
    survey_begin(v, file, data_end, g->bad ? NULL : &g->header, g->header.begin, least, until);
}

bool store_survey_now(struct store *s, size_t i, uint64_t until, struct survey *v)
{
    struct disk_file *file;
    uint64_t data_end;
    size_t used = 0;

    if (store_open_file(s, i, &file, &data_end) != ERR_OK) {
        return false;
    }
    store_survey_begin(s, i, until, file, data_end, v);
    while (survey_step(v, SIZE_MAX, &used) == ERR_MORE) {
    }
    disk_close(file);
    return true;
}

static void store_damage(struct store *s, size_t i, uint64_t from, uint64_t to)
{
    struct store_segment *g = &s->segments[i];
    bool news = g->health != STORE_DAMAGED || g->hole_from != from || g->hole_to != to;

    g->health = STORE_DAMAGED;
    g->hole_from = from;
    g->hole_to = to;
    g->resumed = g->first_known = false;
    g->summed = false;
    segment_index_release(&g->index);
    if (!news) {
        return;
    }
    s->check.found++;
    if (from < to) {
        log_error("%s: the segment that begins at %llu has rotted%s: the log from %llu to %llu is "
                  "lost here, and will be fetched from the other nodes",
                  s->folder, (unsigned long long)g->header.begin,
                  g->missing ? " away, its file is gone" : "", (unsigned long long)from,
                  (unsigned long long)to);
    } else {
        log_error("%s: the segment that begins at %llu has rotted, but none of its data; it is "
                  "written anew",
                  s->folder, (unsigned long long)g->header.begin);
    }
}

void store_surveyed(struct store *s, size_t i, const struct survey *v)
{
    struct store_segment *g = &s->segments[i];
    const struct store_segment *next = &s->segments[i + 1];
    uint64_t until = store_segment_end(s, i);

    MUST(i + 1 < s->segment_count);
    if (v == NULL) {
        g->bad = g->missing = true;
        store_damage(s, i, g->header.begin, until);
    } else if (v->scan.end == until && v->chain_known && !next->bad &&
               v->scan.chain_crc != next->header.chain_crc) {
        /* All fits together but not to what follows: an old copy, or bytes of another log. */
        store_damage(s, i, g->header.begin, until);
    } else if (v->damaged || !v->begin_known) {
        store_damage(s, i, v->damaged ? v->from : g->header.begin,
                     v->damaged ? v->to : g->header.begin);
        g->resumed = v->resumed;
        g->resume = v->resume;
        g->first_known = v->first_known;
        g->first = v->first;
    } else {
        g->health = STORE_SOUND;
        g->summed = v->unit_known;
        g->end_unit_off = v->scan.unit_off;
        g->end_commit = v->scan.commit;
        g->end_term = v->scan.term;
    }
    store_holes_update(s);
}

/* Whether header and size of the file are those that we know. */
static bool store_header_stands(struct store *s, const struct store_segment *g,
                                struct disk_file *file)
{
    uint8_t *block = disk_memory(SEGMENT_BLOCK_BYTES);
    struct segment_header h;
    uint64_t size = 0;
    size_t got = 0;

    (void)s;
    bool ok = disk_read(file, block, SEGMENT_BLOCK_BYTES, 0, &got) == ERR_OK &&
              got == SEGMENT_BLOCK_BYTES && segment_decode_header(block, &h) == ERR_OK &&
              h.begin == g->header.begin && h.epoch == g->header.epoch &&
              h.chain_crc == g->header.chain_crc && h.log_id == g->header.log_id &&
              disk_size(file, &size) == ERR_OK && size >= g->header.file_bytes;
    free(block);
    return ok;
}

/* A sound segment without the right footer gets one; nobody's data stand there. */
static int store_check_footer(struct store *s, size_t i, const struct survey *v)
{
    const struct store_segment *g = &s->segments[i];
    uint8_t *block = disk_memory(SEGMENT_BLOCK_BYTES);
    char path[DISK_PATH_BYTES];
    struct segment_footer f;
    struct disk_file *file = NULL;
    size_t got = 0;

    int rc = disk_read(s->check.file, block, SEGMENT_BLOCK_BYTES,
                       segment_data_end(g->header.file_bytes), &got);
    bool right = rc == ERR_OK && got == SEGMENT_BLOCK_BYTES &&
                 segment_decode_footer(block, &f) == ERR_OK && f.end == v->scan.end &&
                 f.chain_crc == v->scan.chain_crc;
    free(block);
    if (right) {
        return ERR_OK;
    }
    log_warn("%s: the segment that begins at %llu gets its footer anew", s->folder,
             (unsigned long long)g->header.begin);
    rc = store_segment_path(s, g->header.begin, path);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, DISK_WRITE | DISK_DIRECT, &file);
    }
    if (rc == ERR_OK) {
        f = (struct segment_footer){v->scan.end, segment_block_up(v->scan.end_pos),
                                    v->scan.chain_crc};
        rc = store_write_footer(file, g->header.file_bytes, &f);
        disk_close(file);
    }
    return rc == ERR_NOT_FOUND ? ERR_OK : rc; /* gone: the next look at it will find out */
}

/* The open segment has rotted: goes on in another one. v NULL: its file is gone. */
static int store_leave_open(struct store *s)
{
    struct store_segment *g = store_open_segment(s);
    struct disk_file *file = NULL;

    log_error("%s: the open segment, which begins at %llu, has rotted; the log goes on in another "
              "one",
              s->folder, (unsigned long long)g->header.begin);
    int rc = store_roll(s);
    if (rc == ERR_NO_SPACE) {
        g->health = STORE_SOUND; /* in the next round, perhaps */
        return ERR_OK;
    }
    if (rc != ERR_TOO_BIG) {
        if (rc == ERR_OK) {
            store_suspect(s, store_last(s) - 1);
        }
        return rc;
    }
    /* It is empty: the same one anew. */
    rc = spare_take(s->spare, false);
    if (rc != ERR_OK) {
        return rc == ERR_NO_SPACE ? ERR_OK : store_fail(s, rc);
    }
    struct segment_scan scan = {.end = s->flush_off,
                                .end_pos = SEGMENT_BLOCK_BYTES,
                                .last = {.wall_ms = s->last_wall_ms},
                                .unit_off = s->unit_off,
                                .commit = s->commit_seen,
                                .chain_crc = s->chain_crc,
                                .term = s->term};
    g->header.file_bytes = s->config.segment_bytes;
    rc = store_segment_make(s, &g->header, NULL, &scan, &file);
    if (rc == ERR_OK) {
        g->health = STORE_SOUND;
        s->check.found++;
        segment_index_release(&g->index);
        store_segment_enter(s, file, &scan);
        store_holes_update(s);
    }
    return rc;
}

static int store_survey_done(struct store *s, size_t i)
{
    struct store_check *c = &s->check;
    struct store_segment *g = &s->segments[i];
    const struct survey *v = &c->survey;
    bool stands = g->bad || store_header_stands(s, g, c->file);
    int rc = ERR_OK;

    if (i == store_last(s)) {
        bool whole = survey_is_whole(v) && stands;
        g->health = whole ? STORE_SOUND : g->health;
        rc = whole ? ERR_OK : store_leave_open(s);
    } else if (v->until != store_segment_end(s, i)) {
        g->health = v->damaged || !stands ? STORE_SUSPECT : g->health; /* it was the open one */
    } else {
        store_surveyed(s, i, v);
        if (g->health == STORE_SOUND && !stands) {
            store_damage(s, i, v->until, v->until); /* the header, or the length of the file */
        } else if (g->health == STORE_SOUND) {
            rc = store_check_footer(s, i, v);
        }
    }
    disk_close(c->file);
    c->file = NULL;
    c->active = false;
    survey_end(&c->survey);
    store_holes_update(s);
    return rc == ERR_OK ? ERR_OK : store_fail(s, rc);
}

/* Begins to survey segment i; a file that is gone is done at once. */
static int store_survey_start(struct store *s, size_t i)
{
    struct store_check *c = &s->check;
    uint64_t data_end;

    c->begin = s->segments[i].header.begin;
    if (store_open_file(s, i, &c->file, &data_end) == ERR_OK) {
        store_survey_begin(s, i, store_segment_end(s, i), c->file, data_end, &c->survey);
        c->survey.exact = i == store_last(s);
        c->active = true;
        return ERR_OK;
    }
    c->file = NULL;
    if (i == store_last(s)) {
        return store_leave_open(s);
    }
    store_surveyed(s, i, NULL);
    return ERR_OK;
}

static int store_survey_go_on(struct store *s, size_t max_bytes, struct storage_check *out)
{
    struct store_check *c = &s->check;
    size_t i = store_find_segment(s, c->begin);

    if (survey_step(&c->survey, max_bytes, &out->bytes) == ERR_MORE) {
        return ERR_OK;
    }
    return store_survey_done(s, i);
}

/* --- the round --- */

static int store_check_snapshot(struct store *s, size_t max_bytes, struct storage_check *out)
{
    struct store_check *c = &s->check;

    if (!c->snap_active) {
        size_t i = 0;
        while (i < s->snaps.count && c->any && s->snaps.all[i].info.offset <= c->from) {
            i++;
        }
        if (i == s->snaps.count) {
            c->phase = STORE_CHECK_SMALL;
            return ERR_OK;
        }
        c->snap_active = true;
        c->snap_offset = c->from = s->snaps.all[i].info.offset;
        c->any = true;
        c->snap_at = 0;
        c->snap_crc = 0;
    }
    bool done = false;
    int rc = snapfile_check(&s->snaps, c->snap_offset, max_bytes, &c->snap_at, &c->snap_crc, &done);
    out->bytes += max_bytes;
    if (rc == ERR_CORRUPT) {
        c->found++;
        store_holes_update(s);
        rc = ERR_OK;
        done = true;
    }
    c->snap_active = !done;
    return rc == ERR_OK ? ERR_OK : store_fail(s, rc);
}

/* Once for each round; but not for those that damage has hurried along. */
static void store_say_size(const struct store *s)
{
    uint64_t size = 0;

    for (size_t i = 0; i < s->segment_count; i++) {
        size += s->segments[i].header.file_bytes;
    }
    if (size > 0 && s->holes.count == 0) {
        log_info("%s: the log from %llu to %llu takes %llu bytes of the disk", s->folder,
                 (unsigned long long)s->segments[0].header.begin, (unsigned long long)s->flush_off,
                 (unsigned long long)size);
    }
}

static int store_check_small(struct store *s, struct storage_check *out)
{
    unsigned mended = 0;

    int rc = slots_check(&s->slots, store_disk(s), s->folder, &mended);
    if (rc == ERR_OK) {
        rc = store_ident_check(s);
    }
    s->check.found += mended;
    s->check.phase = STORE_CHECK_SEGMENTS;
    s->check.any = false;
    out->round_ended = true;
    store_holes_update(s);
    store_say_size(s);
    return rc == ERR_OK ? ERR_OK : store_fail(s, rc);
}

static int store_check_round(struct store *s, size_t max_bytes, struct storage_check *out)
{
    struct store_check *c = &s->check;

    if (c->phase == STORE_CHECK_SNAPSHOTS) {
        return store_check_snapshot(s, max_bytes, out);
    }
    if (c->phase == STORE_CHECK_SMALL) {
        return store_check_small(s, out);
    }
    for (size_t i = 0; i < s->segment_count; i++) {
        const struct store_segment *g = &s->segments[i];
        bool seen = c->any && g->header.begin <= c->from;
        if (!seen && g->health != STORE_DAMAGED) {
            c->any = true;
            c->from = g->header.begin;
            return store_survey_start(s, i);
        }
    }
    c->phase = STORE_CHECK_SNAPSHOTS;
    c->any = false;
    return ERR_OK;
}

int store_check(struct storage *base, size_t max_bytes, struct storage_check *out)
{
    struct store *s = (struct store *)base;
    bool busy = false;
    int rc = ERR_OK;

    *out = (struct storage_check){0};
    if (s->errored) {
        return ERR_IO;
    }
    if (s->segment_count == 0) {
        return store_check_small(s, out);
    }
    size_t suspect = s->segment_count;
    while (suspect > 0 && s->segments[suspect - 1].health != STORE_SUSPECT) {
        suspect--;
    }
    if (s->check.active) {
        out->urgent = suspect > 0;
        return store_survey_go_on(s, max_bytes, out);
    }
    if (suspect > 0) {
        out->urgent = true;
        return store_survey_start(s, suspect - 1);
    }
    rc = store_mend_step(s, max_bytes, out, &busy);
    if (rc != ERR_OK || busy) {
        out->urgent = busy;
        return rc;
    }
    return store_check_round(s, max_bytes, out);
}
