#include "common/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_check(void *p, size_t size)
{
    if (p == NULL) {
        fprintf(stderr, "out of memory: %zu bytes were asked for\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return mem_check(malloc(size > 0 ? size : 1), size);
}

void *mem_calloc(size_t count, size_t size)
{
    return mem_check(calloc(count > 0 ? count : 1, size > 0 ? size : 1), count * size);
}

void *mem_realloc(void *p, size_t size)
{
    return mem_check(realloc(p, size > 0 ? size : 1), size);
}

char *mem_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(mem_alloc(size), s, size);
}

void mem_give_back_large(void)
{
    enum { TRIM_BYTES = 8 << 20 };

    /* Should it fail, all goes on as it would otherwise. */
    (void)mallopt(M_MMAP_THRESHOLD, MEM_LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
}

void mem_must_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: this must hold and does not: %s\n", file, line, what);
    abort();
}
