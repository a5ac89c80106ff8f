#include "logsvc/history.h"

#include "common/le.h"

#include <string.h>

static bool history_may_follow(const struct history *h, struct log_term term, uint64_t begin)
{
    if (term.n == 0) {
        return false;
    }
    if (h->count == 0) {
        return true;
    }
    const struct history_entry *last = &h->entries[h->count - 1];
    return term.n > last->term.n && begin >= last->begin;
}

/* Which entry a full history forgets, when the next one begins at `begin`: the oldest term in which
 * nothing was written, since that takes no byte's term away; the first one stays as long as it can,
 * since the log's beginning and its snapshot are known by it. */
static unsigned history_least(const struct history *h, uint64_t begin)
{
    for (unsigned i = 1; i < h->count; i++) {
        uint64_t end = i + 1 < h->count ? h->entries[i + 1].begin : begin;
        if (h->entries[i].begin == end) {
            return i;
        }
    }
    return 0;
}

void history_make_room(struct history *h, unsigned max, uint64_t begin)
{
    while (h->count > 0 && h->count >= max) {
        unsigned least = history_least(h, begin);
        h->count--;
        memmove(&h->entries[least], &h->entries[least + 1],
                (h->count - least) * sizeof h->entries[0]);
    }
}

int history_append(struct history *h, struct log_term term, uint64_t begin,
                   const struct replid *replid)
{
    if (!history_may_follow(h, term, begin)) {
        return ERR_INVALID;
    }
    history_make_room(h, HISTORY_ENTRIES_MAX, begin);
    h->entries[h->count++] =
        (struct history_entry){.term = term, .begin = begin, .replid = *replid};
    return ERR_OK;
}

const struct history_entry *history_at(const struct history *h, uint64_t offset)
{
    uint64_t end;

    return history_stretch(h, offset, &end);
}

const struct history_entry *history_stretch(const struct history *h, uint64_t offset, uint64_t *end)
{
    *end = UINT64_MAX;
    for (unsigned i = h->count; i > 0; i--) {
        if (h->entries[i - 1].begin <= offset) {
            return &h->entries[i - 1];
        }
        *end = h->entries[i - 1].begin;
    }
    return NULL;
}

const struct history_entry *history_find(const struct history *h, struct log_term term)
{
    for (unsigned i = h->count; i > 0; i--) {
        if (h->entries[i - 1].term.n == term.n) {
            return &h->entries[i - 1];
        }
    }
    return NULL;
}

struct log_term history_last_term(const struct history *h, uint64_t flush_off)
{
    const struct history_entry *e = history_at(h, flush_off);
    return e != NULL ? e->term : (struct log_term){0};
}

void history_cut(struct history *h, uint64_t offset)
{
    while (h->count > 0 && h->entries[h->count - 1].begin > offset) {
        h->count--;
    }
}

/* Where the entry's stretch ends in its history. */
static uint64_t history_end(const struct history *h, unsigned i)
{
    return i + 1 < h->count ? h->entries[i + 1].begin : UINT64_MAX;
}

int history_common(const struct history *proposer, const struct history *acceptor, uint64_t log_end,
                   uint64_t *common)
{
    unsigned p = proposer->count, a = acceptor->count;

    while (p > 0 && a > 0) {
        const struct history_entry *pe = &proposer->entries[p - 1];
        const struct history_entry *ae = &acceptor->entries[a - 1];
        if (pe->term.n > ae->term.n) {
            p--;
        } else if (pe->term.n < ae->term.n) {
            a--;
        } else if (pe->begin != ae->begin) {
            return ERR_CORRUPT;
        } else {
            uint64_t end = history_end(proposer, p - 1);
            uint64_t acceptor_end = history_end(acceptor, a - 1);
            end = end < acceptor_end ? end : acceptor_end;
            *common = end < log_end ? end : log_end;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

void history_encode(const struct history *h, struct buf *out)
{
    uint8_t bytes[HISTORY_ENTRY_BYTES];

    le_put16(bytes, (uint16_t)h->count);
    buf_append(out, bytes, 2);
    for (unsigned i = 0; i < h->count; i++) {
        le_put64(bytes, h->entries[i].term.n);
        le_put64(bytes + 8, h->entries[i].begin);
        memcpy(bytes + 16, h->entries[i].replid.hex, sizeof h->entries[i].replid.hex);
        buf_append(out, bytes, sizeof bytes);
    }
}

int history_decode(const uint8_t *bytes, size_t size, struct history *h)
{
    h->count = 0;
    if (size < 2) {
        return ERR_CORRUPT;
    }
    unsigned count = le_get16(bytes);
    if (count > HISTORY_ENTRIES_MAX || size != 2 + (size_t)count * HISTORY_ENTRY_BYTES) {
        return ERR_CORRUPT;
    }
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *at = bytes + 2 + (size_t)i * HISTORY_ENTRY_BYTES;
        struct replid replid;
        memcpy(replid.hex, at + 16, sizeof replid.hex);
        struct log_term term = {le_get64(at)};
        if (history_append(h, term, le_get64(at + 8), &replid) != ERR_OK) {
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

bool history_equal(const struct history *a, const struct history *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (unsigned i = 0; i < a->count; i++) {
        const struct history_entry *x = &a->entries[i], *y = &b->entries[i];
        if (x->term.n != y->term.n || x->begin != y->begin ||
            memcmp(x->replid.hex, y->replid.hex, sizeof x->replid.hex) != 0) {
            return false;
        }
    }
    return true;
}
