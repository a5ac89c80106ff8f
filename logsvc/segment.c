#include "logsvc/segment.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT_MARK_BYTES = 64 * 1024 }; /* file distance between two marks of an index */

/* --- header, footer, name --- */

static void segment_seal_block(uint8_t out[SEGMENT_BLOCK_BYTES], uint32_t magic)
{
    le_put32(out, magic);
    le_put32(out + 4, crc32c_extend(0, out + 8, SEGMENT_BLOCK_BYTES - 8));
}

static bool segment_block_ok(const uint8_t bytes[SEGMENT_BLOCK_BYTES], uint32_t magic)
{
    return le_get32(bytes) == magic &&
           le_get32(bytes + 4) == crc32c_extend(0, bytes + 8, SEGMENT_BLOCK_BYTES - 8) &&
           le_get32(bytes + 8) == SEGMENT_VERSION && le_get32(bytes + 12) == SEGMENT_BLOCK_BYTES;
}

void segment_encode_header(const struct segment_header *h, uint8_t out[SEGMENT_BLOCK_BYTES])
{
    memset(out, 0, SEGMENT_BLOCK_BYTES);
    le_put32(out + 8, SEGMENT_VERSION);
    le_put32(out + 12, SEGMENT_BLOCK_BYTES);
    memcpy(out + 16, h->cluster_id, 16);
    le_put64(out + 32, h->log_id);
    le_put64(out + 40, h->begin);
    le_put64(out + 48, h->epoch);
    le_put64(out + 56, h->file_bytes);
    le_put64(out + 64, h->uncertain_to);
    le_put64(out + 72, h->unit_off);
    le_put64(out + 80, h->commit);
    le_put64(out + 88, h->term.n);
    le_put32(out + 96, h->chain_crc);
    memcpy(out + 128, h->node_id, strnlen(h->node_id, SEGMENT_NODE_ID_BYTES - 1));
    segment_seal_block(out, SEGMENT_MAGIC);
}

int segment_decode_header(const uint8_t bytes[SEGMENT_BLOCK_BYTES], struct segment_header *h)
{
    if (!segment_block_ok(bytes, SEGMENT_MAGIC)) {
        return ERR_CORRUPT;
    }
    *h = (struct segment_header){
        .log_id = le_get64(bytes + 32),
        .begin = le_get64(bytes + 40),
        .epoch = le_get64(bytes + 48),
        .file_bytes = le_get64(bytes + 56),
        .uncertain_to = le_get64(bytes + 64),
        .unit_off = le_get64(bytes + 72),
        .commit = le_get64(bytes + 80),
        .term = {le_get64(bytes + 88)},
        .chain_crc = le_get32(bytes + 96),
    };
    memcpy(h->cluster_id, bytes + 16, 16);
    memcpy(h->node_id, bytes + 128, SEGMENT_NODE_ID_BYTES - 1);
    return ERR_OK;
}

void segment_encode_footer(const struct segment_footer *f, uint8_t out[SEGMENT_BLOCK_BYTES])
{
    memset(out, 0, SEGMENT_BLOCK_BYTES);
    le_put32(out + 8, SEGMENT_VERSION);
    le_put32(out + 12, SEGMENT_BLOCK_BYTES);
    le_put64(out + 16, f->end);
    le_put64(out + 24, f->end_pos);
    le_put32(out + 32, f->chain_crc);
    segment_seal_block(out, SEGMENT_FOOTER_MAGIC);
}

int segment_decode_footer(const uint8_t bytes[SEGMENT_BLOCK_BYTES], struct segment_footer *f)
{
    if (!segment_block_ok(bytes, SEGMENT_FOOTER_MAGIC)) {
        return ERR_CORRUPT;
    }
    *f = (struct segment_footer){
        .end = le_get64(bytes + 16),
        .end_pos = le_get64(bytes + 24),
        .chain_crc = le_get32(bytes + 32),
    };
    return ERR_OK;
}

void segment_name(uint64_t begin, char out[SEGMENT_NAME_BYTES])
{
    (void)snprintf(out, SEGMENT_NAME_BYTES, "seg-%020llu.log", (unsigned long long)begin);
}

int segment_name_parse(const char *name, uint64_t *begin)
{
    char again[SEGMENT_NAME_BYTES];
    unsigned long long value = 0;

    if (strlen(name) != 28 || strncmp(name, "seg-", 4) != 0) {
        return ERR_NOT_FOUND;
    }
    for (int i = 4; i < 24; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return ERR_NOT_FOUND;
        }
        value = value * 10 + (unsigned)(name[i] - '0');
    }
    segment_name(value, again); /* also refuses a number past 64 bits */
    *begin = value;
    return strcmp(name, again) == 0 ? ERR_OK : ERR_NOT_FOUND;
}

/* --- index --- */

void segment_index_add(struct segment_index *x, const struct segment_mark *mark)
{
    if (x->count > 0 && mark->pos < x->marks[x->count - 1].pos + SEGMENT_MARK_BYTES) {
        return;
    }
    if (x->count == x->cap) {
        x->cap = x->cap > 0 ? x->cap * 2 : 16;
        x->marks = mem_realloc(x->marks, x->cap * sizeof *x->marks);
    }
    x->marks[x->count++] = *mark;
}

const struct segment_mark *segment_index_find(const struct segment_index *x, uint64_t offset)
{
    size_t low = 0, high = x->count; /* the answer is in front of high */

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (x->marks[mid].offset <= offset) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low > 0 ? &x->marks[low - 1] : NULL;
}

void segment_index_release(struct segment_index *x)
{
    free(x->marks);
    *x = (struct segment_index){0};
}

/* --- cursor --- */

void segment_cursor_init(struct segment_cursor *c, struct disk_file *file, uint64_t data_end,
                         size_t ahead_bytes)
{
    *c = (struct segment_cursor){.file = file, .data_end = data_end, .ahead = ahead_bytes};
    MUST(ahead_bytes > 0 && ahead_bytes % SEGMENT_BLOCK_BYTES == 0);
}

void segment_cursor_fini(struct segment_cursor *c)
{
    free(c->window);
    c->window = NULL;
}

void segment_cursor_begin(struct segment_cursor *c, const struct segment_header *h)
{
    c->pos = SEGMENT_BLOCK_BYTES;
    c->offset = h->begin;
    c->chain_crc = h->chain_crc;
    c->term = h->term;
}

void segment_cursor_seek(struct segment_cursor *c, const struct segment_mark *mark)
{
    c->pos = mark->pos;
    c->offset = mark->offset;
    c->chain_crc = mark->chain_crc;
    c->term.n = mark->term;
}

/* Hands out file bytes [pos, pos + size), which lie below data_end; valid until the next call.
 * ERR_CORRUPT: the file is shorter than its header says. */
int segment_cursor_bytes(struct segment_cursor *c, uint64_t pos, size_t size, const uint8_t **out)
{
    if (pos >= c->window_at && pos + size <= c->window_at + c->window_len) {
        *out = c->window + (pos - c->window_at);
        return ERR_OK;
    }
    uint64_t from = pos & ~(uint64_t)(SEGMENT_BLOCK_BYTES - 1);
    size_t least = (size_t)segment_block_up(pos + size) - from, want = least;
    size_t room = (size_t)(segment_block_up(c->data_end) - from);
    want = want > c->ahead ? want : c->ahead;
    want = want < room ? want : room;
    if (want > c->window_cap) {
        free(c->window);
        c->window = disk_memory(want);
        c->window_cap = want;
    }
    c->window_len = 0;
    int rc = disk_read(c->file, c->window, want, from, &c->window_len);
    if (rc == ERR_IO && want > least) {
        c->ahead = SEGMENT_BLOCK_BYTES; /* what can't be read may be only what lies ahead */
        rc = disk_read(c->file, c->window, least, from, &c->window_len);
    }
    if (rc != ERR_OK) {
        c->window_len = 0;
        return rc == ERR_NO_SPACE ? ERR_IO : rc;
    }
    c->window_at = from;
    if (pos + size > from + c->window_len) {
        return ERR_CORRUPT;
    }
    *out = c->window + (pos - from);
    return ERR_OK;
}

/* Whether a record with a good header can stand where the cursor is. */
static bool segment_record_fits(const struct segment_cursor *c, const struct record *r)
{
    return r->begin == c->offset && r->term.n >= c->term.n &&
           r->len_bytes <= c->data_end - c->pos - RECORD_HEADER_BYTES &&
           r->begin <= UINT64_MAX - r->len_bytes &&
           (r->len_bytes == 0) == ((r->flags & RECORD_IDLE) != 0);
}

int segment_cursor_next(struct segment_cursor *c, struct segment_item *item)
{
    const uint8_t *bytes;

    if (c->data_end < RECORD_HEADER_BYTES || c->pos > c->data_end - RECORD_HEADER_BYTES) {
        return ERR_NOT_FOUND;
    }
    int rc = segment_cursor_bytes(c, c->pos, RECORD_HEADER_BYTES, &bytes);
    if (rc != ERR_OK) {
        return rc;
    }
    if (le_get32(bytes) == 0 && c->pos % SEGMENT_BLOCK_BYTES == 0) {
        return ERR_NOT_FOUND;
    }
    struct record *r = &item->record;
    rc = record_decode_header(bytes, RECORD_HEADER_BYTES, r);
    if (rc != ERR_OK || !segment_record_fits(c, r)) {
        return ERR_CORRUPT;
    }
    rc = segment_cursor_bytes(c, c->pos, RECORD_HEADER_BYTES + r->len_bytes, &bytes);
    if (rc != ERR_OK) {
        return rc;
    }
    uint32_t chain = crc32c_extend(c->chain_crc, bytes + RECORD_HEADER_BYTES, r->len_bytes);
    if (!record_payload_ok(r, bytes + RECORD_HEADER_BYTES) || chain != r->chain_crc) {
        return ERR_CORRUPT;
    }
    item->pos = c->pos;
    item->bytes = bytes;
    uint64_t end = c->pos + RECORD_HEADER_BYTES + r->len_bytes;
    c->pos = r->flags & RECORD_BATCH_END ? segment_block_up(end) : (end + 7) & ~7ull;
    c->offset = record_end(r);
    c->chain_crc = chain;
    c->term = r->term;
    return ERR_OK;
}

/* --- the tail ---
 *
 * Behind the last good record (file position P, offset E) is something else. On a zero-filled file
 * a write that was cut short leaves each of its sectors either new or zero. Hence, in this order:
 *
 *   1. A later batch begins with a good record whose `flushed` is past E: what stands at P was
 *      complete once, and may have been acknowledged. CORRUPT.
 *   2. Zeros only: CLEAN.
 *   3. The header at P is good but does not belong there (offset, term, length, chain): nobody
 * wrote that in this place. CORRUPT.
 *   4. More sectors under the record at P are zero than the record says (none, if its header is
 *      bad): a write cut short explains it. TORN.
 *   5. Otherwise all of its sectors had reached the disk and have changed since. It may have been
 *      acknowledged, or not: UNCERTAIN.
 *
 * The search in 1 looks at block starts only, because batches begin there; it does not need P's
 * length. The records of one batch all carry the `flushed` from before it, so the later records of
 * a torn batch are no evidence against its earlier ones. */

static bool segment_is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* How many of the sectors that [pos, pos + size) touches hold nothing but zeros. */
static int segment_zero_sectors(struct segment_cursor *c, uint64_t pos, uint64_t size,
                                uint64_t *count)
{
    const uint8_t *bytes;
    uint64_t at = pos & ~(uint64_t)(DISK_SECTOR_BYTES - 1);

    *count = 0;
    for (; at < pos + size && at + DISK_SECTOR_BYTES <= c->data_end; at += DISK_SECTOR_BYTES) {
        int rc = segment_cursor_bytes(c, at, DISK_SECTOR_BYTES, &bytes);
        if (rc != ERR_OK) {
            return rc;
        }
        *count += segment_is_zero(bytes, DISK_SECTOR_BYTES);
    }
    return ERR_OK;
}

bool segment_is_evidence(const struct segment_cursor *c, const uint8_t *block, struct record *r)
{
    return record_decode_header(block, RECORD_HEADER_BYTES, r) == ERR_OK &&
           r->flushed > c->offset && r->begin >= r->flushed &&
           r->begin - c->offset <= c->data_end - c->pos;
}

/* Reads on to the end of the file: *used_to is the position behind the last byte that is not zero
 * (0: all are zero). ERR_CORRUPT: there is evidence. */
static int segment_search_tail(struct segment_cursor *c, uint64_t *used_to)
{
    const uint8_t *bytes;
    struct record r;
    uint64_t first = c->pos & ~(uint64_t)(SEGMENT_BLOCK_BYTES - 1);
    uint64_t skip = c->pos - first; /* of the first block: good records */

    *used_to = 0;
    for (uint64_t at = first; at < c->data_end; at += SEGMENT_BLOCK_BYTES) {
        int rc = segment_cursor_bytes(c, at, SEGMENT_BLOCK_BYTES, &bytes);
        if (rc != ERR_OK) {
            return rc;
        }
        if (!segment_is_zero(bytes + skip, SEGMENT_BLOCK_BYTES - skip)) {
            size_t used = SEGMENT_BLOCK_BYTES;
            while (bytes[used - 1] == 0) {
                used--;
            }
            *used_to = at + used;
            if (at != first && segment_is_evidence(c, bytes, &r)) {
                return ERR_CORRUPT;
            }
        }
        skip = 0;
    }
    return ERR_OK;
}

int segment_judge_tail(struct segment_cursor *c, struct segment_scan *out)
{
    const uint8_t *bytes;
    struct record r;
    uint64_t used_to, size = RECORD_HEADER_BYTES;
    uint64_t zeros;
    bool torn, good = false;

    int rc = segment_search_tail(c, &used_to);
    out->tail = SEGMENT_TAIL_CLEAN;
    if (rc != ERR_OK || used_to == 0) {
        return rc;
    }
    if (c->pos > c->data_end - RECORD_HEADER_BYTES) {
        out->tail = SEGMENT_TAIL_TORN; /* no record has ever fitted here */
        return ERR_OK;
    }
    rc = segment_zero_sectors(c, c->pos, size, &zeros);
    torn = zeros > 0; /* a header is in none */
    if (rc == ERR_OK && !torn) {
        rc = segment_cursor_bytes(c, c->pos, RECORD_HEADER_BYTES, &bytes);
        good = rc == ERR_OK && record_decode_header(bytes, RECORD_HEADER_BYTES, &r) == ERR_OK;
    }
    if (rc == ERR_OK && good) {
        if (!segment_record_fits(c, &r)) {
            return ERR_CORRUPT;
        }
        size += r.len_bytes;
        rc = segment_zero_sectors(c, c->pos, size, &zeros);
        torn = zeros > record_zeros(&r);
        if (rc == ERR_OK) {
            rc = segment_cursor_bytes(c, c->pos, (size_t)size, &bytes);
        }
        if (rc == ERR_OK && record_payload_ok(&r, bytes + RECORD_HEADER_BYTES)) {
            return ERR_CORRUPT; /* whole, but its chain is another log's */
        }
    }
    if (rc != ERR_OK) {
        return rc;
    }
    out->tail = torn ? SEGMENT_TAIL_TORN : SEGMENT_TAIL_UNCERTAIN;
    if (!torn) {
        /* Records behind it in the same batch are lost with it, and were acknowledged with it. */
        uint64_t used = used_to - c->pos;
        uint64_t most = used > RECORD_HEADER_BYTES ? used - RECORD_HEADER_BYTES : 1;
        out->uncertain_to = c->offset + (good && r.len_bytes > most ? r.len_bytes : most);
    }
    return ERR_OK;
}
