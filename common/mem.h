/* Memory that is there or the process ends: like Redis, running out of memory is not survivable in
 * the middle of a batch, so no caller checks for NULL. Bounds on queues and buffers are what keeps
 * us away from that end. */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>

/* Memory of size bytes (zeroed by mem_calloc); the caller owns it and frees it with free(). Never
 * NULL. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));

/* Once, at the beginning of a program with an event loop: pieces from MEM_LARGE_BYTES on go back to
 * the system one by one as they are freed. Left to itself, malloc comes to keep them all in its
 * heap, and gives back hundreds of megabytes in one call, which takes a tenth of a second. */
enum { MEM_LARGE_BYTES = 1 << 20 };
void mem_give_back_large(void);

/* What must never be: stays on in release builds. Never for input, never with side effects. */
#define MUST(cond) ((cond) ? (void)0 : mem_must_failed(#cond, __FILE__, __LINE__))
void mem_must_failed(const char *what, const char *file, int line) __attribute__((noreturn, cold));

#endif
