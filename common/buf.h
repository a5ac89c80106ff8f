/* A growing byte buffer: bytes are appended at its end and consumed from its front.
 *
 *     data                start               start+len             cap
 *      |-- consumed --------|------ unread -----|------ room --------|
 *
 * An empty buffer owns no memory once buf_release or buf_trim was called on it, so that thousands
 * of idle connections cost nothing. */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t start;
    size_t len; /* unread bytes */
    size_t cap;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0, 0                                                                              \
    }

/* First unread byte (NULL if the buffer owns no memory); valid until the next call that changes the
 * buffer. */
static inline uint8_t *buf_head(const struct buf *b)
{
    /* Counted in integers: for an empty buffer data is NULL, to which C doesn't even add 0. */
    return (uint8_t *)((uintptr_t)b->data + b->start);
}

/* Makes room for size more bytes behind the unread ones and returns where they go. */
uint8_t *buf_reserve(struct buf *b, size_t size);

/* Takes over size bytes that the caller wrote where buf_reserve said. */
void buf_commit(struct buf *b, size_t size);

void buf_append(struct buf *b, const void *bytes, size_t size);
void buf_append_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Drops size bytes from the front; size is at most b->len. */
void buf_consume(struct buf *b, size_t size);

/* Drops the unread bytes behind the first len; len is at most b->len. */
void buf_truncate(struct buf *b, size_t len);

/* Forgets all bytes, keeps the memory. */
void buf_clear(struct buf *b);

/* Gives back the memory if the buffer is empty and holds more than keep bytes of it. */
void buf_trim(struct buf *b, size_t keep);

void buf_swap(struct buf *a, struct buf *b);

/* Frees the memory; the buffer is empty and may be used again. */
void buf_release(struct buf *b);

#endif
