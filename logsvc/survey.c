#include "logsvc/survey.h"

#include "common/crc32c.h"
#include "logsvc/mutant.h"

enum { SURVEY_AHEAD_BYTES = 256 * 1024 };

void survey_begin(struct survey *v, struct disk_file *file, uint64_t data_end,
                  const struct segment_header *header, uint64_t begin, uint64_t unit_off_min,
                  uint64_t until)
{
    survey_end(v);
    *v = (struct survey){.begin = begin, .until = until};
    segment_cursor_init(&v->cursor, file, data_end, SURVEY_AHEAD_BYTES);
    if (header != NULL) {
        segment_cursor_begin(&v->cursor, header);
        v->begin_known = v->chain_known = true;
        v->unit_known = !segment_begins_in_doubt(header);
        v->scan.unit_off = header->unit_off;
        v->scan.commit = header->commit;
    } else {
        v->cursor.pos = v->seek_pos = SEGMENT_BLOCK_BYTES;
        v->cursor.offset = begin;
        v->seeking = true;
        v->scan.unit_off = unit_off_min;
        v->from = begin;
    }
    v->scan.end_pos = SEGMENT_BLOCK_BYTES;
}

void survey_end(struct survey *v)
{
    segment_cursor_fini(&v->cursor);
}

static void survey_bad(struct survey *v)
{
    if (!v->damaged && v->until != UINT64_MAX) {
        v->damaged = true;
        v->from = v->cursor.offset;
    }
    v->seeking = true;
    v->seek_pos = segment_block_up(v->cursor.pos + 1);
}

/* --- walking --- */

static void survey_took(struct survey *v, const struct segment_item *item)
{
    const struct record *r = &item->record;
    struct segment_scan *s = &v->scan;

    s->last = *r;
    s->last_pos = item->pos;
    s->end_pos = item->pos + RECORD_HEADER_BYTES + r->len_bytes;
    if (r->flags & RECORD_UNIT_END) {
        s->unit_off = record_end(r);
        v->unit_known = true;
    }
    s->commit = r->commit > s->commit ? r->commit : s->commit;
}

/* Takes the next record. False: there is none here, or a bad one. */
static bool survey_walk(struct survey *v)
{
    struct segment_cursor *c = &v->cursor;
    struct segment_cursor before = *c;
    struct segment_item item;

    int rc = segment_cursor_next(c, &item);
    if (rc == ERR_OK && c->offset > v->until) {
        /* Reaches into the next segment: nobody wrote that. */
        c->pos = before.pos;
        c->offset = before.offset;
        c->chain_crc = before.chain_crc;
        c->term = before.term;
        rc = ERR_CORRUPT;
    }
    if (rc == ERR_OK) {
        survey_took(v, &item);
    }
    return rc == ERR_OK;
}

/* --- looking for the next good record --- */

/* Whether a record with a good header at pos may be what comes behind the bad place. */
static bool survey_may_resume(const struct survey *v, const struct record *r, uint64_t pos)
{
    const struct segment_cursor *c = &v->cursor;

    return r->begin >= c->offset && r->begin - c->offset <= pos - c->pos &&
           r->term.n >= c->term.n && r->begin <= UINT64_MAX - r->len_bytes &&
           record_end(r) <= v->until && pos <= c->data_end - RECORD_HEADER_BYTES &&
           r->len_bytes <= c->data_end - pos - RECORD_HEADER_BYTES &&
           (r->len_bytes == 0) == ((r->flags & RECORD_IDLE) != 0);
}

static void survey_resume(struct survey *v, const struct record *r, uint64_t pos, uint32_t chain)
{
    struct segment_cursor *c = &v->cursor;

    if (r->begin > v->begin || v->begin_known) {
        if (!v->damaged) {
            v->damaged = true;
            v->from = c->offset;
        }
        v->unit_known = v->unit_known && r->begin == c->offset;
    } else {
        v->first = (struct segment_mark){.offset = r->begin, .pos = pos, .chain_crc = chain};
        v->first_known = true;
    }
    v->to = r->begin;
    v->resumed = true;
    v->resume = (struct segment_mark){
        .offset = r->begin, .pos = pos, .term = c->term.n, .chain_crc = chain};
    segment_cursor_seek(c, &v->resume);
    v->chain_known = true;
    v->seeking = false;
}

/* Looks at the block at seek_pos. */
static void survey_seek(struct survey *v)
{
    struct segment_cursor *c = &v->cursor;
    uint64_t pos = v->seek_pos;
    const uint8_t *bytes;
    struct record r;

    v->seek_pos += SEGMENT_BLOCK_BYTES;
    if (MUTANT(CUT_ANY_BAD) && v->until == UINT64_MAX) {
        return;
    }
    if (segment_cursor_bytes(&v->cursor, pos, SEGMENT_BLOCK_BYTES, &bytes) != ERR_OK ||
        record_decode_header(bytes, RECORD_HEADER_BYTES, &r) != ERR_OK ||
        !survey_may_resume(v, &r, pos)) {
        return;
    }
    struct record evidence;
    bool newest = v->until == UINT64_MAX;
    bool proves = !newest || r.begin == c->offset || segment_is_evidence(c, bytes, &evidence);
    if (!proves) {
        return; /* may be of the same batch as the bad place */
    }
    if (segment_cursor_bytes(&v->cursor, pos, RECORD_HEADER_BYTES + r.len_bytes, &bytes) !=
            ERR_OK ||
        !record_payload_ok(&r, bytes + RECORD_HEADER_BYTES)) {
        if (newest) {
            v->lost_to = record_end(&r) > v->lost_to ? record_end(&r) : v->lost_to;
        }
        return;
    }
    uint32_t chain = crc32c_rewind(r.chain_crc, bytes + RECORD_HEADER_BYTES, r.len_bytes);
    if (r.begin == c->offset && v->chain_known && chain != c->chain_crc) {
        return;
    }
    survey_resume(v, &r, pos, chain);
}

/* --- the end --- */

static void survey_finish(struct survey *v)
{
    struct segment_cursor *c = &v->cursor;
    struct segment_scan *s = &v->scan;

    s->end = c->offset;
    s->chain_crc = c->chain_crc;
    s->term = c->term;
    s->bad_pos = c->pos;
    if (v->until != UINT64_MAX) {
        if (c->offset < v->until || v->seeking) {
            v->damaged = true; /* survey_bad has said from where on */
            v->to = v->until;
            v->resumed = false;
        }
        return;
    }
    v->seeking = false;
    int rc = segment_judge_tail(c, s);
    if (rc != ERR_OK) {
        /* A record that is not of this place, one that proves that more had been here, or what
         * can't be read at all. How far the log reached is anybody's guess. */
        s->tail = SEGMENT_TAIL_UNCERTAIN;
        s->uncertain_to = c->offset + (c->data_end - c->pos);
    }
    if (v->lost_to > c->offset) {
        s->tail = SEGMENT_TAIL_UNCERTAIN;
        s->uncertain_to = v->lost_to > s->uncertain_to ? v->lost_to : s->uncertain_to;
    }
    if (MUTANT(CUT_ANY_BAD) && s->tail == SEGMENT_TAIL_UNCERTAIN) {
        s->tail = SEGMENT_TAIL_TORN;
        s->uncertain_to = 0;
    }
}

int survey_step(struct survey *v, size_t max_bytes, size_t *used)
{
    struct segment_cursor *c = &v->cursor;
    size_t done = 0;

    while (done < max_bytes) {
        if (v->seeking) {
            if (v->seek_pos + SEGMENT_BLOCK_BYTES > c->data_end) {
                survey_finish(v);
                *used += done;
                return ERR_OK;
            }
            survey_seek(v);
            done += SEGMENT_BLOCK_BYTES;
            continue;
        }
        if (v->exact ? c->pos >= c->data_end : c->offset >= v->until) {
            survey_finish(v);
            *used += done;
            return ERR_OK;
        }
        uint64_t pos = c->pos;
        if (!survey_walk(v)) {
            survey_bad(v);
        }
        done += (size_t)(c->pos - pos) + 1;
    }
    *used += done;
    return ERR_MORE;
}
