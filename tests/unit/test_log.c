/* The program's messages: levels by name, and one whole line on standard error for each message. */
#include "common/log.h"

#include "tests/lib/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(level_names)
{
    enum log_level level = LOG_LEVEL_INFO;

    ck_assert_int_eq(log_level_parse("debug", &level), ERR_OK);
    ck_assert_int_eq(level, LOG_LEVEL_DEBUG);
    ck_assert_int_eq(log_level_parse("error", &level), ERR_OK);
    ck_assert_int_eq(level, LOG_LEVEL_ERROR);
    ck_assert_int_eq(log_level_parse("warn", &level), ERR_OK);
    ck_assert_int_eq(level, LOG_LEVEL_WARN);
    ck_assert_int_eq(log_level_parse("info", &level), ERR_OK);
    ck_assert_int_eq(level, LOG_LEVEL_INFO);
    ck_assert_int_eq(log_level_parse("", &level), ERR_NOT_FOUND);
    ck_assert_int_eq(log_level_parse("INFO", &level), ERR_NOT_FOUND);
    ck_assert_int_eq(log_level_parse("information", &level), ERR_NOT_FOUND);
    ck_assert_int_eq(level, LOG_LEVEL_INFO);
}
END_TEST

/* Below the lowest level nothing is written; a text that is too long is cut, and its line still
 * ends. The test runs in a process of its own, so standard error may be bent to a pipe. */
START_TEST(lines)
{
    static char text[4096], longer[3000];
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    log_init("prog", LOG_LEVEL_WARN);
    log_debug("not seen");
    log_info("not seen");
    log_warn("%s %d", "number", 5);
    memset(longer, 'x', sizeof longer - 1);
    log_error("%s", longer);
    ssize_t got = read(ends[0], text, sizeof text - 1);
    ck_assert_int_gt(got, 0);
    char *second = strchr(text, '\n');
    ck_assert_ptr_nonnull(second);
    *second++ = '\0';
    ck_assert_int_eq(text[strlen("2024-01-01T00:00:00.000")], 'Z');
    ck_assert_str_eq(text + strlen("2024-01-01T00:00:00.000Z"), " warn prog: number 5");
    ck_assert_uint_eq(strlen(second), 1024);
    ck_assert_ptr_nonnull(strstr(second, " error prog: xxx"));
    ck_assert_ptr_eq(strchr(second, '\n'), second + 1023);
}
END_TEST

int main(void)
{
    return UNIT_RUN("log", NULL, NULL, level_names, lines);
}
