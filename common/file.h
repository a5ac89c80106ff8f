/* Files read and written in whole pieces, however often the kernel breaks off. */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include "common/buf.h"
#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

/* Appends the size bytes at `at` of the file to out. 0, or an errno (ENODATA: the file ends before
 * that): out is as it was then. */
int file_read(int fd, uint64_t at, size_t size, struct buf *out) MUST_CHECK;

/* Writes all of it where the file stands. 0, or an errno: some of it may be written then. */
int file_write(int fd, const void *bytes, size_t size) MUST_CHECK;

#endif
