/* Mending a segment: its good records and those that were fetched go into a new file, which then
 * takes the old one's name. Nothing is changed in place, and nothing counts before the rename.
 *
 *   NONE ─▶ BELOW: what is good in front of the hole is copied
 *             ─▶ FEED: what others send for the hole is added (at once, if the hole is empty)
 *               ─▶ ABOVE: what is good behind it is copied ─▶ rename ─▶ NONE
 *
 * The highest segment first: the checksum at its end is then known from a sound one. The new file
 * is as large as it must be; it will never be appended to. A crash leaves mend.tmp, which is
 * removed at the next start. */
#include "common/crc32c.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/store_impl.h"

#define STORE_MEND_NAME "mend.tmp"

void store_mend_stop(struct store *s)
{
    struct store_mend *m = &s->mend;
    uint64_t mended = m->mended_bytes;

    segment_cursor_fini(&m->cursor);
    disk_close(m->source);
    segment_writer_fini(&m->writer);
    disk_close(m->file);
    *m = (struct store_mend){.mended_bytes = mended};
}

/* --- the new file --- */

/* Adds a record, which was found to be the next one. */
static int store_mend_add(struct store *s, const struct record *r, const uint8_t *payload)
{
    struct store_mend *m = &s->mend;

    m->offset = record_end(r);
    m->chain_crc = r->chain_crc;
    m->chain_known = true;
    m->term = r->term;
    return segment_writer_add(&m->writer, r, payload);
}

static int store_mend_finish_file(struct store *s)
{
    struct store_mend *m = &s->mend;
    struct segment_footer end = {.end = m->offset, .chain_crc = m->chain_crc};

    int rc = segment_writer_finish(&m->writer, &m->header, &end);
    return rc == ERR_OK ? store_segment_replace(s, STORE_MEND_NAME, m->begin) : rc;
}

static int store_mend_finish(struct store *s, size_t i)
{
    struct store_mend *m = &s->mend;
    struct store_segment *g = &s->segments[i];
    bool header_was_bad = g->bad;

    int rc = store_mend_finish_file(s);
    if (rc != ERR_OK) {
        return rc;
    }
    log_info(
        "%s: the segment that begins at %llu is mended; %llu bytes of it came from other nodes",
        s->folder, (unsigned long long)m->begin, (unsigned long long)m->fed_bytes);
    g->header = m->header;
    g->bad = g->missing = false;
    g->health = STORE_SOUND;
    g->summed = false;
    g->dense = true;
    segment_index_release(&g->index);
    m->mended_bytes += m->fed_bytes;
    store_mend_stop(s);
    if (header_was_bad && i > 0) {
        store_suspect(s, i - 1); /* its end has not been compared with a good header yet */
    }
    store_holes_update(s);
    return ERR_OK;
}

/* --- beginning --- */

/* What the header of a segment without a good one must say. The checksum comes with the first
 * record. */
static void store_mend_header(struct store *s, size_t i, struct segment_header *h)
{
    *h = store_header(s, s->segments[i].header.begin, store_open_segment(s)->header.epoch);
    h->unit_off = s->segments[0].header.begin;
    if (i == 0) {
        h->unit_off = h->begin;
        return;
    }
    h->uncertain_to = h->begin + 1; /* in doubt */
    struct store_segment *before = &s->segments[i - 1];
    if (before->health == STORE_SOUND && !before->summed) {
        struct survey v = {0};
        bool there = store_survey_now(s, i - 1, h->begin, &v);
        store_surveyed(s, i - 1, there ? &v : NULL);
        survey_end(&v);
    }
    if (before->health == STORE_SOUND && before->summed) {
        h->uncertain_to = 0;
        h->unit_off = before->end_unit_off;
        h->commit = before->end_commit;
        h->term = before->end_term;
    } else if (!before->bad) {
        h->unit_off = before->header.unit_off; /* not above the truth */
    }
}

static int store_mend_begin(struct store *s, size_t i)
{
    struct store_mend *m = &s->mend;
    struct store_segment *g = &s->segments[i];
    char path[DISK_PATH_BYTES];
    uint64_t space, data_end = 0, until = store_segment_end(s, i);

    int rc = store_disk(s)->ops->free_space(store_disk(s), s->folder, &space);
    if (rc != ERR_OK) {
        return rc;
    }
    if (space < s->config.segment_bytes + (until - g->header.begin) ||
        space - s->config.segment_bytes - (until - g->header.begin) < s->config.reserve_bytes) {
        return ERR_NO_SPACE;
    }
    store_mend_stop(s);
    m->begin = g->header.begin;
    m->until = until;
    m->header = g->header;
    if (g->bad) {
        store_mend_header(s, i, &m->header);
    }
    if (g->bad && g->first_known) {
        m->header.chain_crc = g->first.chain_crc;
    }
    m->chain_known = !g->bad || g->first_known;
    m->chain_crc = m->header.chain_crc;
    m->term = m->header.term;
    m->offset = m->begin;
    if (!g->missing && store_open_file(s, i, &m->source, &data_end) != ERR_OK) {
        g->missing = g->bad = true;
        m->source = NULL;
        store_surveyed(s, i, NULL);
        return ERR_CORRUPT;
    }
    rc = disk_path(path, s->folder, STORE_MEND_NAME);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, DISK_WRITE | DISK_CREATE | DISK_DIRECT, &m->file);
    }
    if (rc == ERR_OK) {
        segment_writer_init(&m->writer, m->file);
        if (m->source != NULL) {
            segment_cursor_init(&m->cursor, m->source, data_end, STORE_COPY_BYTES);
            if (!g->bad) {
                segment_cursor_begin(&m->cursor, &g->header);
            } else if (g->first_known) {
                segment_cursor_seek(&m->cursor, &g->first);
            }
        }
        m->phase = STORE_MEND_BELOW;
    }
    return rc;
}

/* --- copying, feeding --- */

/* Copies records of the source up to offset `to`. ERR_MORE: not all yet. ERR_CORRUPT: it has rotted
 * more than was known. */
static int store_mend_copy(struct store *s, uint64_t to, size_t max_bytes, size_t *used)
{
    struct store_mend *m = &s->mend;
    struct segment_item item;
    size_t done = 0;

    while (m->offset < to) {
        if (done >= max_bytes) {
            *used += done;
            return ERR_MORE;
        }
        int rc = segment_cursor_next(&m->cursor, &item);
        if (rc != ERR_OK || record_end(&item.record) > to) {
            return ERR_CORRUPT;
        }
        done += RECORD_HEADER_BYTES + item.record.len_bytes;
        if (item.record.len_bytes == 0) {
            continue;
        }
        rc = store_mend_add(s, &item.record, item.bytes + RECORD_HEADER_BYTES);
        if (rc != ERR_OK) {
            return rc == ERR_CORRUPT ? ERR_IO : rc;
        }
    }
    *used += done;
    return ERR_OK;
}

/* The checksum that the log must have at the end of the hole; false: nobody knows. */
static bool store_mend_goal(const struct store *s, size_t i, uint32_t *chain)
{
    const struct store_segment *g = &s->segments[i];
    const struct store_segment *next = &s->segments[i + 1];

    *chain = g->resumed ? g->resume.chain_crc : next->header.chain_crc;
    return g->resumed || !next->bad;
}

/* What is around the hole of segment i is not of this log: all of it is a hole. */
static void store_mend_give_up(struct store *s, size_t i)
{
    struct store_segment *g = &s->segments[i];

    store_mend_stop(s);
    g->bad = true;
    g->resumed = g->first_known = false;
    g->hole_from = g->header.begin;
    g->hole_to = store_segment_end(s, i);
    log_error("%s: the whole segment that begins at %llu is not of this log", s->folder,
              (unsigned long long)g->header.begin);
    store_holes_update(s);
}

/* The hole is filled, or there was none: goes on with what is behind it. */
static int store_mend_filled(struct store *s, size_t i)
{
    struct store_mend *m = &s->mend;
    struct store_segment *g = &s->segments[i];
    bool first = !m->chain_known; /* not a record yet: there is no good header and no hole */
    uint32_t goal;

    if (!store_mend_goal(s, i, &goal)) {
        if (first) {
            return ERR_CORRUPT;
        }
    } else {
        bool meets = first || m->chain_crc == goal;
        if (!meets || m->lower_bad) {
            store_mend_stop(s);
            if (meets) {
                store_mend_give_up(s, i); /* what follows is right, so what is in front is not */
            }
            store_holes_update(s);
            return ERR_INVALID;
        }
        m->chain_crc = goal;
    }
    if (first) {
        m->header.chain_crc = m->chain_crc;
    }
    if (g->resumed) {
        segment_cursor_seek(&m->cursor, &g->resume);
    }
    m->chain_known = true;
    m->phase = STORE_MEND_ABOVE;
    return ERR_OK;
}

/* The copying phases of segment i. */
static int store_mend_work(struct store *s, size_t i, size_t max_bytes, struct storage_check *out)
{
    struct store_mend *m = &s->mend;
    struct store_segment *g = &s->segments[i];
    int rc = ERR_OK;

    if (m->phase == STORE_MEND_BELOW) {
        rc = store_mend_copy(s, g->hole_from, max_bytes, &out->bytes);
        if (rc == ERR_OK && g->hole_from < g->hole_to) {
            m->phase = STORE_MEND_FEED;
            store_holes_update(s);
            return ERR_OK;
        }
        rc = rc == ERR_OK ? store_mend_filled(s, i) : rc;
    }
    if (rc == ERR_OK && m->phase == STORE_MEND_ABOVE) {
        rc = g->resumed ? store_mend_copy(s, m->until, max_bytes, &out->bytes) : ERR_OK;
        rc = rc == ERR_OK ? store_mend_finish(s, i) : rc;
    }
    return rc;
}

int store_mend_step(struct store *s, size_t max_bytes, struct storage_check *out, bool *busy)
{
    size_t i = s->segment_count - 1;
    int rc = ERR_OK;

    while (i > 0 && s->segments[i - 1].health != STORE_DAMAGED) {
        i--;
    }
    *busy = false;
    if (i == 0) {
        return ERR_OK;
    }
    i--;
    struct store_segment *g = &s->segments[i];
    if (s->mend.phase != STORE_MEND_NONE && s->mend.begin != g->header.begin) {
        store_mend_stop(s);
    }
    if (s->mend.phase == STORE_MEND_FEED) {
        return ERR_OK;
    }
    *busy = true;
    if (s->mend.phase == STORE_MEND_NONE) {
        rc = store_mend_begin(s, i);
    } else {
        rc = store_mend_work(s, i, max_bytes, out);
    }
    if (rc == ERR_CORRUPT || rc == ERR_INVALID) {
        store_mend_stop(s);
        g->health = g->missing ? g->health : STORE_SUSPECT;
        rc = ERR_OK;
    } else if (rc == ERR_NO_SPACE) {
        store_mend_stop(s); /* the file for it is emptied by the next try, or removed at start */
        *busy = false;
        rc = ERR_OK;
    }
    store_holes_update(s);
    return rc == ERR_OK || rc == ERR_MORE ? ERR_OK : store_fail(s, rc);
}

/* Whether the records continue each other, and the first one what was there; says in *lower_bad
 * whether it is only the beginning of the hole where they do not. */
static bool store_mend_fits(const struct store *s, const uint8_t *bytes, size_t size,
                            bool *lower_bad)
{
    const struct store_mend *m = &s->mend;
    uint64_t at = m->offset, end = s->holes.to;
    uint32_t chain = m->chain_crc;
    bool known = m->chain_known;
    struct record r;

    *lower_bad = m->lower_bad;
    for (size_t done = 0; done < size; done += RECORD_HEADER_BYTES + r.len_bytes) {
        const uint8_t *payload = bytes + done + RECORD_HEADER_BYTES;
        if (record_decode_header(bytes + done, size - done, &r) != ERR_OK ||
            r.len_bytes > size - done - RECORD_HEADER_BYTES || r.len_bytes == 0 || r.begin != at ||
            r.len_bytes > end - at || (r.flags & RECORD_IDLE) != 0 ||
            !record_payload_ok(&r, payload)) {
            return false;
        }
        if (known && crc32c_extend(chain, payload, r.len_bytes) != r.chain_crc) {
            if (at != s->holes.from) {
                return false;
            }
            *lower_bad = true;
        }
        known = true;
        chain = r.chain_crc;
        at = record_end(&r);
    }
    return size > 0;
}

/* Whether the log has a record across an end of the hole, where the segment has records that end or
 * begin there. */
static bool store_mend_crosses(const struct store *s, const uint8_t *bytes, size_t size)
{
    struct record r;

    return record_decode_header(bytes, size, &r) == ERR_OK && r.len_bytes > 0 &&
           r.len_bytes == size - RECORD_HEADER_BYTES &&
           record_payload_ok(&r, bytes + RECORD_HEADER_BYTES) &&
           record_crosses(&r, s->holes.next, s->holes.to);
}

int store_mend(struct storage *base, const void *records, size_t size)
{
    struct store *s = (struct store *)base;
    struct store_mend *m = &s->mend;
    const uint8_t *bytes = records;
    struct record r;
    bool lower_bad;

    if (s->errored) {
        return ERR_IO;
    }
    if (m->phase == STORE_MEND_FEED && store_mend_crosses(s, bytes, size)) {
        store_mend_give_up(s, store_find_segment(s, m->begin));
        return ERR_INVALID;
    }
    if (m->phase != STORE_MEND_FEED || !store_mend_fits(s, bytes, size, &lower_bad)) {
        return ERR_INVALID;
    }
    m->lower_bad = lower_bad;
    for (size_t done = 0; done < size; done += RECORD_HEADER_BYTES + r.len_bytes) {
        const uint8_t *payload = bytes + done + RECORD_HEADER_BYTES;
        int rc = record_decode_header(bytes + done, size - done, &r);
        MUST(rc == ERR_OK);
        if (!m->chain_known) {
            m->header.chain_crc = crc32c_rewind(r.chain_crc, payload, r.len_bytes);
        }
        rc = store_mend_add(s, &r, payload);
        if (rc == ERR_NO_SPACE) {
            store_mend_stop(s);
            store_holes_update(s);
            return rc;
        }
        if (rc != ERR_OK) {
            return store_fail(s, rc);
        }
        m->fed_bytes += r.len_bytes;
    }
    size_t i = store_find_segment(s, m->begin);
    int rc = m->offset == s->segments[i].hole_to ? store_mend_filled(s, i) : ERR_OK;
    store_holes_update(s);
    return rc;
}
