#include "common/file.h"

#include <errno.h>
#include <unistd.h>

int file_read(int fd, uint64_t at, size_t size, struct buf *out)
{
    uint8_t *to = buf_reserve(out, size);
    size_t got = 0;

    while (got < size) {
        ssize_t n = pread(fd, to + got, size - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : ENODATA;
        }
        got += (size_t)n;
    }
    buf_commit(out, size);
    return 0;
}

int file_write(int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno != EINTR) {
            return errno;
        }
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}
