/* Bytes on their way out, in pieces: what is appended is gathered, and a large buffer is taken over
 * as it is, so that the length of what waits never makes adding to it slow.
 *
 *     first ─▶ piece ─▶ piece …      taken from the front of first, added behind the last */
#ifndef COMMON_CHAIN_H
#define COMMON_CHAIN_H

#include "common/buf.h"

struct chain_piece;

/* Zeroed, it is empty and owns no memory. */
struct chain {
    struct buf first;
    struct chain_piece *second, *last; /* by next; NULL: only first */
    size_t len;                        /* of all */
};

void chain_append(struct chain *c, const void *bytes, size_t size);
/* Moves all of the buffer to the end; it is empty then, and owns no memory. */
void chain_take(struct chain *c, struct buf *b);
/* The same with all of another chain; and of all of this one to the end of a buffer. */
void chain_move(struct chain *c, struct chain *from);
void chain_move_to(struct chain *c, struct buf *b);

/* The first bytes, *size of them; 0: it is empty. */
const uint8_t *chain_head(const struct chain *c, size_t *size);
/* Drops size bytes from the front: at most as many as chain_head has told. */
void chain_consume(struct chain *c, size_t size);

/* As buf_trim and buf_release. */
void chain_trim(struct chain *c, size_t keep);
void chain_release(struct chain *c);

/* Memory that it holds, in bytes. */
size_t chain_capacity(const struct chain *c);

#endif
