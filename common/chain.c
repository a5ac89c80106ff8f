#include "common/chain.h"

#include "common/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A piece grows to about this; a buffer smaller than that is cheaper to copy. Where much has come,
 * more will: such pieces are made large at once. */
enum { CHAIN_PIECE_BYTES = 64 * 1024, CHAIN_COPY_BYTES = 16 * 1024 };
/* Pages are this large, or a part of that. */
enum { CHAIN_PAGE_BYTES = 64 * 1024, CHAIN_VAST_BYTES = 8 << 20 };
enum { CHAIN_MUCH_BYTES = 256 * 1024, CHAIN_LARGE_PIECE_BYTES = 1 << 20 };

struct chain_piece {
    struct chain_piece *next;
    struct buf bytes;
};

static struct buf *chain_add_piece(struct chain *c)
{
    struct chain_piece *piece = mem_calloc(1, sizeof *piece);

    if (c->last != NULL) {
        c->last->next = piece;
    } else {
        c->second = piece;
    }
    c->last = piece;
    return &piece->bytes;
}

/* Where so many bytes are to be appended. */
static struct buf *chain_tail(struct chain *c, size_t size)
{
    struct buf *tail = c->last != NULL ? &c->last->bytes : &c->first;

    if (tail->len < CHAIN_PIECE_BYTES || tail->start + tail->len + size <= tail->cap) {
        return tail;
    }
    tail = chain_add_piece(c);
    if (c->len >= CHAIN_MUCH_BYTES && size < CHAIN_LARGE_PIECE_BYTES) {
        (void)buf_reserve(tail, CHAIN_LARGE_PIECE_BYTES);
    }
    return tail;
}

void chain_append(struct chain *c, const void *bytes, size_t size)
{
    if (size > 0) { /* no piece is ever empty but the first */
        buf_append(chain_tail(c, size), bytes, size);
        c->len += size;
    }
}

void chain_take(struct chain *c, struct buf *b)
{
    c->len += b->len;
    if (c->len == b->len) {
        buf_swap(&c->first, b); /* it was empty, and so was b if both are still */
    } else if (b->len == 0) {
        /* nothing */
    } else if (b->len < CHAIN_COPY_BYTES) {
        buf_append(chain_tail(c, b->len), buf_head(b), b->len);
    } else {
        buf_swap(chain_add_piece(c), b);
    }
    buf_release(b);
}

void chain_move(struct chain *c, struct chain *from)
{
    struct chain_piece *second = from->second, *last = from->last;
    size_t rest = from->len - from->first.len;

    chain_take(c, &from->first);
    if (second != NULL) {
        *(c->last != NULL ? &c->last->next : &c->second) = second;
        c->last = last;
        c->len += rest;
    }
    *from = (struct chain){.len = 0};
}

void chain_move_to(struct chain *c, struct buf *b)
{
    if (b->len == 0 && c->second == NULL) {
        buf_swap(b, &c->first);
    } else {
        buf_append(b, buf_head(&c->first), c->first.len);
        for (const struct chain_piece *p = c->second; p != NULL; p = p->next) {
            buf_append(b, buf_head(&p->bytes), p->bytes.len);
        }
    }
    chain_release(c);
}

const uint8_t *chain_head(const struct chain *c, size_t *size)
{
    *size = c->first.len;
    return buf_head(&c->first);
}

/* The second piece becomes the first; there is one. */
static void chain_shift(struct chain *c)
{
    struct chain_piece *piece = c->second, *next = piece->next;

    buf_release(&c->first);
    buf_swap(&c->first, &piece->bytes);
    free(piece);
    c->second = next;
    if (next == NULL) {
        c->last = NULL;
    }
}

/* Of what is very large the kernel takes back each part as it is done with: all of it at the end
 * would stop the caller for as long as it takes to unmap it (some 100 ms for 500 MB). */
static void chain_give_back(struct buf *b, size_t size)
{
    uintptr_t from = (uintptr_t)b->data + b->start, to = from + size;

    from = (from + CHAIN_PAGE_BYTES - 1) & ~(uintptr_t)(CHAIN_PAGE_BYTES - 1);
    to &= ~(uintptr_t)(CHAIN_PAGE_BYTES - 1);
    if (b->cap >= CHAIN_VAST_BYTES && from < to) {
        /* Should it fail, the memory stays for a while longer. */
        (void)madvise(b->data + (from - (uintptr_t)b->data), to - from, MADV_DONTNEED);
    }
}

void chain_consume(struct chain *c, size_t size)
{
    chain_give_back(&c->first, size);
    buf_consume(&c->first, size);
    c->len -= size;
    if (c->first.len == 0 && c->second != NULL) {
        chain_shift(c);
    }
}

void chain_trim(struct chain *c, size_t keep)
{
    buf_trim(&c->first, keep);
}

void chain_release(struct chain *c)
{
    while (c->second != NULL) {
        chain_shift(c);
    }
    buf_release(&c->first);
    c->len = 0;
}

size_t chain_capacity(const struct chain *c)
{
    size_t capacity = c->first.cap;

    for (const struct chain_piece *piece = c->second; piece != NULL; piece = piece->next) {
        capacity += piece->bytes.cap;
    }
    return capacity;
}
