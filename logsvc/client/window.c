#include "logsvc/client/window.h"

#include "common/crc32c.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_CHUNK_BYTES = 256 << 10 };

/* Where a sealed record lies. */
struct window_mark {
    uint64_t begin;
    size_t at;
};

struct window_chunk {
    struct window_chunk *next;
    struct window_mark *marks;
    size_t mark_count, mark_cap;
    size_t cap;    /* of bytes */
    size_t sealed; /* bytes of sealed records; the open record's header goes here */
    uint64_t end;  /* offset behind the last sealed record */
    uint8_t bytes[];
};

static struct window_chunk *window_chunk_create(struct window *w)
{
    struct window_chunk *c = w->spare;

    if (c != NULL) {
        w->spare = NULL;
        c->next = NULL;
        c->mark_count = 0;
        c->sealed = 0;
    } else {
        size_t cap = RECORD_HEADER_BYTES + w->record_max_bytes;
        cap = cap > WINDOW_CHUNK_BYTES ? cap : WINDOW_CHUNK_BYTES;
        c = mem_alloc(sizeof *c + cap);
        *c = (struct window_chunk){.cap = cap};
    }
    c->end = w->sealed_end;
    w->memory_bytes += c->cap;
    return c;
}

static void window_chunk_destroy(struct window_chunk *c)
{
    if (c != NULL) {
        free(c->marks);
        free(c);
    }
}

void window_init(struct window *w, struct log_term term, uint64_t origin, size_t record_max_bytes,
                 size_t retain_max_bytes)
{
    MUST(record_max_bytes > 0 && record_max_bytes <= UINT32_MAX);
    *w = (struct window){.record_max_bytes = record_max_bytes,
                         .retain_max_bytes = retain_max_bytes,
                         .term = term,
                         .origin = origin,
                         .sealed_end = origin};
    w->first = w->last = window_chunk_create(w);
}

void window_fini(struct window *w)
{
    while (w->first != NULL) {
        struct window_chunk *c = w->first;
        w->first = c->next;
        window_chunk_destroy(c);
    }
    window_chunk_destroy(w->spare);
    *w = (struct window){0};
}

static uint8_t *window_open_payload(const struct window *w)
{
    return w->last->bytes + w->last->sealed + RECORD_HEADER_BYTES;
}

/* Payload bytes that the open record can have where it lies. */
static size_t window_open_cap(const struct window *w)
{
    size_t used = w->last->sealed + RECORD_HEADER_BYTES;
    size_t there = w->last->cap > used ? w->last->cap - used : 0;

    return there < w->record_max_bytes ? there : w->record_max_bytes;
}

/* Moves the open record into a fresh chunk. */
static void window_move_on(struct window *w)
{
    struct window_chunk *c = window_chunk_create(w);

    if (w->open_bytes > 0) {
        memcpy(c->bytes + RECORD_HEADER_BYTES, window_open_payload(w), w->open_bytes);
    }
    w->last->next = c;
    w->last = c;
}

static void window_mark(struct window_chunk *c, uint64_t begin)
{
    if (c->mark_count == c->mark_cap) {
        c->mark_cap = c->mark_cap > 0 ? 2 * c->mark_cap : 16;
        c->marks = mem_realloc(c->marks, c->mark_cap * sizeof *c->marks);
    }
    c->marks[c->mark_count++] = (struct window_mark){.begin = begin, .at = c->sealed};
}

/* Makes a record of the first size bytes of the open one; the rest is the new open one. */
static void window_cut(struct window *w, size_t size)
{
    struct window_chunk *c = w->last;
    uint8_t *payload = window_open_payload(w);
    struct record r = {
        .term = w->term,
        .begin = w->sealed_end,
        .len_bytes = (uint32_t)size,
        .flags = size == w->open_units ? RECORD_UNIT_END : 0,
        .payload_crc = crc32c_extend(0, payload, size),
        .commit = w->commit,
        .wall_ms = w->open_wall_ms,
    };
    if (w->chain_known) {
        w->chain_crc = crc32c_extend(w->chain_crc, payload, size);
        r.chain_crc = w->chain_crc;
    }
    size_t rest = w->open_bytes - size;
    window_mark(c, r.begin);
    c->sealed += RECORD_HEADER_BYTES + size;
    c->end = w->sealed_end = record_end(&r);
    w->open_units = w->open_units > size ? w->open_units - size : 0;
    w->open_bytes = 0;
    if (window_open_cap(w) < rest) {
        window_move_on(w);
    }
    if (rest > 0) {
        memmove(window_open_payload(w), payload + size, rest);
    }
    w->open_bytes = rest;
    record_encode_header(&r, payload - RECORD_HEADER_BYTES);
}

bool window_seal(struct window *w)
{
    if (w->open_units == 0) {
        return false;
    }
    window_cut(w, w->open_units);
    return true;
}

/* Makes room for some of `size` more bytes in the open record and returns for how many. Units that
 * are whole are sealed rather than torn; only a unit that is larger than a record is. */
static size_t window_room(struct window *w, size_t size)
{
    for (;;) {
        size_t room = window_open_cap(w) > w->open_bytes ? window_open_cap(w) - w->open_bytes : 0;
        if (room >= size) {
            return size;
        }
        if (w->open_units > 0) {
            (void)window_seal(w);
        } else if (window_open_cap(w) < w->record_max_bytes) {
            window_move_on(w);
        } else if (room > 0) {
            return room;
        } else {
            window_cut(w, w->open_bytes);
        }
    }
}

void window_append(struct window *w, const void *bytes, size_t size, bool unit_end,
                   uint64_t wall_ms)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        size_t step = window_room(w, size);
        memcpy(window_open_payload(w) + w->open_bytes, at, step);
        w->open_bytes += step;
        w->open_wall_ms = wall_ms;
        at += step;
        size -= step;
    }
    if (unit_end) {
        w->open_units = w->open_bytes;
    }
}

void window_set_chain(struct window *w, uint32_t chain_crc)
{
    struct record r;

    MUST(!w->chain_known);
    w->chain_known = true;
    for (struct window_chunk *c = w->first; c != NULL; c = c->next) {
        for (size_t i = 0; i < c->mark_count; i++) {
            uint8_t *header = c->bytes + c->marks[i].at;
            int err = record_decode_header(header, RECORD_HEADER_BYTES, &r);
            MUST(err == ERR_OK);
            chain_crc = crc32c_extend(chain_crc, header + RECORD_HEADER_BYTES, r.len_bytes);
            r.chain_crc = chain_crc;
            record_encode_header(&r, header);
        }
    }
    w->chain_crc = chain_crc;
}

uint64_t window_begin(const struct window *w)
{
    return w->first->mark_count > 0 ? w->first->marks[0].begin : w->first->end;
}

/* The chunk that has the sealed record which begins at `from`, and which one it is. */
static const struct window_chunk *window_find(const struct window *w, uint64_t from, size_t *index)
{
    const struct window_chunk *c = w->first;

    if (from < window_begin(w) || from >= w->sealed_end) {
        return NULL;
    }
    while (c->end <= from) {
        c = c->next;
    }
    size_t low = 0, high = c->mark_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->marks[mid].begin < from) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *index = low;
    return low < c->mark_count && c->marks[low].begin == from ? c : NULL;
}

bool window_is_boundary(const struct window *w, uint64_t offset)
{
    size_t index;

    return offset == w->sealed_end || window_find(w, offset, &index) != NULL;
}

size_t window_slice(const struct window *w, uint64_t from, size_t max_bytes, const uint8_t **bytes,
                    uint64_t *end)
{
    size_t first;
    const struct window_chunk *c = w->chain_known ? window_find(w, from, &first) : NULL;

    if (c == NULL) {
        return 0;
    }
    size_t next = first + 1;
    size_t start = c->marks[first].at;
    while (next < c->mark_count) {
        size_t behind = next + 1 < c->mark_count ? c->marks[next + 1].at : c->sealed;
        if (behind - start > max_bytes) {
            break;
        }
        next++;
    }
    *bytes = c->bytes + start;
    *end = next < c->mark_count ? c->marks[next].begin : c->end;
    return (next < c->mark_count ? c->marks[next].at : c->sealed) - start;
}

void window_trim(struct window *w, uint64_t keep_from)
{
    while (w->first != w->last) {
        struct window_chunk *c = w->first;
        bool over = w->memory_bytes > w->retain_max_bytes && c->end <= w->commit;
        if (c->end > keep_from && !over) {
            return;
        }
        w->first = c->next;
        w->memory_bytes -= c->cap;
        if (w->spare == NULL) {
            w->spare = c;
        } else {
            window_chunk_destroy(c);
        }
    }
}
