#include "common/chain.h"

#include "common/mem.h"

#include <stdlib.h>

/* A piece grows to about this; a buffer smaller than that is cheaper to copy. */
enum { CHAIN_PIECE_BYTES = 64 * 1024, CHAIN_COPY_BYTES = 16 * 1024 };

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

/* Where bytes are to be appended. */
static struct buf *chain_tail(struct chain *c)
{
    struct buf *tail = c->last != NULL ? &c->last->bytes : &c->first;

    return tail->len < CHAIN_PIECE_BYTES ? tail : chain_add_piece(c);
}

void chain_append(struct chain *c, const void *bytes, size_t size)
{
    if (size > 0) { /* no piece is ever empty but the first */
        buf_append(chain_tail(c), bytes, size);
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
        buf_append(chain_tail(c), buf_head(b), b->len);
    } else {
        buf_swap(chain_add_piece(c), b);
    }
    buf_release(b);
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

void chain_consume(struct chain *c, size_t size)
{
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
