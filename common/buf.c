#include "common/buf.h"

#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_CAP_MIN = 256 };

uint8_t *buf_reserve(struct buf *b, size_t size)
{
    size_t end = b->start + b->len;

    if (b->cap - end >= size) {
        return (uint8_t *)((uintptr_t)b->data + end); /* see buf_head */
    }
    MUST(size <= SIZE_MAX / 4 && b->len <= SIZE_MAX / 4);
    if (b->start > 0 && b->cap - b->len >= size && b->start >= b->len) {
        /* Moving costs no more than what was consumed already: amortised O(1). */
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
        return b->data + b->len;
    }
    size_t cap = b->cap > 0 ? b->cap : BUF_CAP_MIN;
    while (cap < b->len + size) {
        cap += cap < (1u << 26) ? cap : cap / 4;
    }
    if (b->start == 0) {
        b->data = mem_realloc(b->data, cap); /* the kernel moves pages of large ones, not bytes */
        b->cap = cap;
        return b->data + b->len;
    }
    uint8_t *data = mem_alloc(cap);
    if (b->len > 0) {
        memcpy(data, b->data + b->start, b->len);
    }
    free(b->data);
    b->data = data;
    b->start = 0;
    b->cap = cap;
    return b->data + b->len;
}

void buf_commit(struct buf *b, size_t size)
{
    MUST(b->cap - b->start - b->len >= size);
    b->len += size;
}

void buf_append(struct buf *b, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(buf_reserve(b, size), bytes, size);
        b->len += size;
    }
}

void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, fmt, args);
    MUST(size >= 0);
    vsnprintf((char *)buf_reserve(b, (size_t)size + 1), (size_t)size + 1, fmt, again);
    b->len += (size_t)size;
    va_end(again);
    va_end(args);
}

void buf_consume(struct buf *b, size_t size)
{
    MUST(size <= b->len);
    b->start += size;
    b->len -= size;
    if (b->len == 0) {
        b->start = 0;
    }
}

void buf_truncate(struct buf *b, size_t len)
{
    MUST(len <= b->len);
    b->len = len;
    if (len == 0) {
        b->start = 0;
    }
}

void buf_clear(struct buf *b)
{
    b->start = 0;
    b->len = 0;
}

void buf_trim(struct buf *b, size_t keep)
{
    if (b->len == 0 && b->cap > keep) {
        buf_release(b);
    }
}

void buf_swap(struct buf *a, struct buf *b)
{
    struct buf t = *a;
    *a = *b;
    *b = t;
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf)BUF_INIT;
}
