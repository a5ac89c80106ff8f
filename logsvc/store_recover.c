/* The newest segment after a start: how far the log reaches, and how sure that is.
 *
 * Nothing that is found is believed before it was synced: after a failed fdatasync the page cache
 * shows bytes that the disk does not have. So the segment is synced, read past the cache, and what
 * is good of it is written again: into a new file (where a full disk leaves no room for one: over
 * itself). If something in it has rotted, the file stays as it is (written over itself, too), and
 * the log goes on in a new segment behind it. */
#include "common/log.h"
#include "logsvc/store_impl.h"

#include <stdlib.h>
#include <string.h>

/* How far a log may have reached whose end is gone without a trace. Only a bound: the next leader
 * knows better (logsvc/acceptor.h). */
enum { STORE_BEYOND_SEGMENTS = 16 };

static void store_say_tail(const struct store *s, const struct segment_scan *scan)
{
    if (scan->tail == SEGMENT_TAIL_TORN) {
        log_warn("%s: the log ends at %llu; a torn write behind it is cut", s->folder,
                 (unsigned long long)scan->end);
    } else if (scan->tail == SEGMENT_TAIL_UNCERTAIN) {
        log_error("%s: the last record, behind offset %llu, is damaged and may have been "
                  "acknowledged; this node does not count as complete until it has been sent "
                  "that part again",
                  s->folder, (unsigned long long)scan->end);
    }
}

/* The ordinary case: a new file with the good records takes the place of the old one. */
static int store_recover_sound(struct store *s, struct disk_file *old, struct segment_scan *scan)
{
    struct store_segment *g = store_open_segment(s);
    struct segment_header h = g->header;
    struct disk_file *file = NULL;

    if (scan->tail == SEGMENT_TAIL_UNCERTAIN && scan->uncertain_to > h.uncertain_to) {
        h.uncertain_to = scan->uncertain_to;
    }
    if (h.uncertain_to <= scan->end) {
        /* That a unit's end was not known where it begins matters when it is cut again. */
        h.uncertain_to = segment_begins_in_doubt(&h) ? h.begin + 1 : 0;
    }
    h.file_bytes = store_segment_size(s, g->header.file_bytes, scan);
    int rc = spare_take(s->spare, true);
    if (rc == ERR_OK) {
        rc = store_segment_make(s, &h, old, scan, &file);
        disk_close(old);
    } else if (rc == ERR_NO_SPACE) {
        h.file_bytes = g->header.file_bytes;
        rc = store_segment_rewrite(s, &h, old, scan);
        file = old;
    } else {
        disk_close(old);
    }
    if (rc == ERR_OK) {
        g->header = h;
        store_segment_enter(s, file, scan);
    }
    return rc;
}

/* Writes every byte of a file over itself: what is vouched for is then on the disk. What can't be
 * read is left alone. */
static int store_rewrite_all(struct disk_file *f, uint64_t size)
{
    uint8_t *piece = disk_memory(STORE_COPY_BYTES);
    int rc = ERR_OK;

    for (uint64_t at = 0; at < size && rc == ERR_OK; at += STORE_COPY_BYTES) {
        size_t want = size - at < STORE_COPY_BYTES ? (size_t)(size - at) : STORE_COPY_BYTES;
        size_t got = 0;
        want = (size_t)segment_block_up(want);
        if (disk_read(f, piece, want, at, &got) == ERR_OK) {
            got = got / SEGMENT_BLOCK_BYTES * SEGMENT_BLOCK_BYTES;
            rc = got > 0 ? disk_write(f, piece, got, at) : ERR_OK;
        }
    }
    free(piece);
    return rc == ERR_OK ? disk_sync(f) : rc;
}

/* Where nothing of the newest segment is left: the log ends with the one in front of it. */
static int store_recover_before(struct store *s, struct survey *v)
{
    size_t i = s->segment_count - 1;
    uint64_t begin = s->segments[i].header.begin;

    survey_end(v);
    *v = (struct survey){0};
    bool there = i > 0 && !s->segments[i - 1].missing && store_survey_now(s, i - 1, begin, v);
    if (!there || v->scan.end != begin || !v->chain_known) {
        log_error(
            "%s: nothing is left of the newest segment, and the end of the one in front of it "
            "is damaged too",
            s->folder);
        return ERR_CORRUPT;
    }
    v->scan.tail = SEGMENT_TAIL_UNCERTAIN;
    v->scan.uncertain_to = begin + 1;
    return ERR_OK;
}

/* The damaged segment becomes a closed one, and an empty one begins at the end of the log. */
static int store_recover_behind(struct store *s, const struct survey *v, uint64_t uncertain_to)
{
    struct segment_scan scan = v->scan;
    struct store_segment *g = store_open_segment(s);
    struct segment_header h = store_header(s, scan.end, g->header.epoch);
    bool in_place = scan.end == g->header.begin;
    struct disk_file *file = NULL;

    h.unit_off = scan.unit_off;
    h.commit = scan.commit;
    h.term = scan.term;
    h.chain_crc = scan.chain_crc;
    h.uncertain_to = uncertain_to > scan.end ? uncertain_to : 0;
    scan.end_pos = SEGMENT_BLOCK_BYTES;
    scan.last_pos = 0;
    int rc = spare_take(s->spare, true);
    if (rc == ERR_OK) {
        rc = store_segment_make(s, &h, NULL, &scan, &file);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    if (in_place) {
        g->header = h;
        g->bad = false;
        g->health = STORE_SOUND;
    } else {
        store_segment_add(s, &h, false);
    }
    store_segment_enter(s, file, &scan);
    if (!in_place) {
        store_surveyed(s, s->segment_count - 2, v);
        store_suspect(s, s->segment_count - 2); /* if it is sound: header, length and footer */
    }
    return ERR_OK;
}

static int store_sealed(struct store *s, struct disk_file *f, bool *sealed)
{
    struct store_segment *g = store_open_segment(s);
    uint8_t *block = disk_memory(SEGMENT_BLOCK_BYTES);
    struct segment_footer footer;
    size_t got = 0;

    int rc = disk_read(f, block, SEGMENT_BLOCK_BYTES, segment_data_end(g->header.file_bytes), &got);
    *sealed = rc == ERR_OK && got == SEGMENT_BLOCK_BYTES &&
              segment_decode_footer(block, &footer) == ERR_OK;
    free(block);
    return rc == ERR_IO ? ERR_OK : rc;
}

/* What was found is not a clean or torn end of a sound segment. */
static int store_recover_damaged(struct store *s, struct disk_file *old, struct survey *v,
                                 bool sealed)
{
    struct store_segment *g = store_open_segment(s);
    uint64_t size = 0, uncertain_to = g->bad ? 0 : g->header.uncertain_to;

    int rc = disk_size(old, &size);
    if (rc == ERR_OK) {
        rc = store_rewrite_all(old, size);
    }
    disk_close(old);
    v->until = v->scan.end; /* from here on it is a closed one */
    if (rc == ERR_OK && !v->chain_known) {
        rc = store_recover_before(s, v);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    uint64_t end = v->scan.end;
    if (v->scan.tail == SEGMENT_TAIL_UNCERTAIN && v->scan.uncertain_to > uncertain_to) {
        uncertain_to = v->scan.uncertain_to;
    }
    if (g->bad || sealed) {
        /* The header may have said "uncertain"; a sealed segment had a next one. */
        uint64_t beyond = end + STORE_BEYOND_SEGMENTS * s->config.segment_bytes;
        uncertain_to = beyond > uncertain_to ? beyond : uncertain_to;
        log_error("%s: %s; this node does not count as complete until it has been sent what comes "
                  "behind %llu again",
                  s->folder,
                  sealed ? "the newest segment is gone" : "the newest segment's header has rotted",
                  (unsigned long long)end);
        s->check.found++;
    }
    if (!v->unit_known && uncertain_to <= end) {
        uncertain_to = end + 1;
    }
    return store_recover_behind(s, v, uncertain_to);
}

int store_recover_last(struct store *s)
{
    struct store_segment *g = store_open_segment(s);
    char path[DISK_PATH_BYTES];
    struct survey v = {0};
    struct disk_file *old;
    bool sealed = false;
    uint64_t size = 0;

    int rc = store_segment_path(s, g->header.begin, path);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, DISK_WRITE | DISK_DIRECT, &old);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    rc = disk_sync(old);
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->sync_folder(store_disk(s), s->folder);
    }
    if (rc == ERR_OK) {
        rc = disk_size(old, &size);
    }
    if (rc == ERR_OK && !g->bad) {
        rc = store_sealed(s, old, &sealed);
    }
    if (rc != ERR_OK) {
        disk_close(old);
        return rc;
    }
    bool there = store_survey_now(s, s->segment_count - 1, UINT64_MAX, &v);
    bool whole = there && !g->bad && !v.damaged && !sealed;
    if (there) {
        store_say_tail(s, &v.scan);
    }
    if (whole && size >= g->header.file_bytes) {
        struct segment_scan scan = v.scan;
        rc = store_recover_sound(s, old, &scan);
    } else {
        if (!there) {
            v.scan.end = g->header.begin; /* not even a header's length is left of it */
        }
        rc = store_recover_damaged(s, old, &v, sealed);
    }
    survey_end(&v);
    return rc;
}
