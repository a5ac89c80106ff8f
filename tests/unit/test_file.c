/* Whole pieces of files: what was written is read back, to the byte, or not at all. */
#include "common/file.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int fd;

static void setup(void)
{
    fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
}

static void teardown(void)
{
    (void)close(fd);
}

/* Pieces are written one behind the other, and any piece of that can be read, behind what the
 * buffer holds already. */
START_TEST(test_pieces)
{
    struct buf out = BUF_INIT;

    ck_assert_int_eq(file_write(fd, "abc", 3), 0);
    ck_assert_int_eq(file_write(fd, "", 0), 0);
    ck_assert_int_eq(file_write(fd, "defg", 4), 0);
    ck_assert_int_eq(file_read(fd, 2, 4, &out), 0);
    ck_assert_int_eq(file_read(fd, 0, 7, &out), 0);
    ck_assert_int_eq(file_read(fd, 7, 0, &out), 0);
    ck_assert_uint_eq(out.len, 11);
    ck_assert_mem_eq(buf_head(&out), "cdefabcdefg", 11);
    buf_release(&out);
}
END_TEST

/* What is not all there is not read in part; and an error is told by its number. */
START_TEST(test_not_there)
{
    struct buf out = BUF_INIT;

    ck_assert_int_eq(file_write(fd, "abc", 3), 0);
    ck_assert_int_eq(file_read(fd, 1, 3, &out), ENODATA);
    ck_assert_int_eq(file_read(fd, 9, 1, &out), ENODATA);
    ck_assert_int_eq(file_read(-1, 0, 1, &out), EBADF);
    ck_assert_int_eq(file_write(-1, "a", 1), EBADF);
    ck_assert_uint_eq(out.len, 0);
    buf_release(&out);
}
END_TEST

int main(void)
{
    return UNIT_RUN("file", setup, teardown, test_pieces, test_not_there);
}
