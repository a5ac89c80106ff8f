/* Moments as people write them. The zone of the tests is New York's, which has clocks that are
 * changed. */
#include "proxy/ctl/moment.h"
#include "tests/lib/unit.h"

#include <time.h>

/* 2026-11-22T14:02:00Z */
#define NOW_MS UINT64_C(1795356120000)

static const struct {
    const char *text;
    bool is_offset, local;
    uint64_t value;
} good[] = {
    {"0", true, false, 0},
    {"18446744073709551", true, false, 18446744073709551u},
    {"1970-01-01T00:00:00Z", false, false, 0},
    {"2026-11-22T14:02:00Z", false, false, NOW_MS},
    {"2026-11-22t14:02:00z", false, false, NOW_MS},
    {"2026-11-22 14:02 UTC", false, false, NOW_MS},
    {"2026-11-22T15:02:00+01:00", false, false, NOW_MS},
    {"2026-11-22 10:32:00 -0330", false, false, NOW_MS},
    {"2026-11-22T14:02:00.25Z", false, false, NOW_MS + 250},
    {"2026-11-22T14:02:00.0019999Z", false, false, NOW_MS + 1},
    {"2024-02-29T00:00:00Z", false, false, UINT64_C(1709164800000)},
    {"2000-03-01T00:00:00Z", false, false, UINT64_C(951868800000)},
    {"2016-12-31T23:59:60Z", false, false, UINT64_C(1483228800000)},
    {"@1795356120", false, false, NOW_MS},
    {"@1795356120.5", false, false, NOW_MS + 500},
    {"now", false, false, NOW_MS},
    {"5 minutes ago", false, false, NOW_MS - 300000},
    {"90s ago", false, false, NOW_MS - 90000},
    {"5m ago", false, false, NOW_MS - 300000},
    {"1 hour ago", false, false, NOW_MS - 3600000},
    {"2 Days ago", false, false, NOW_MS - 172800000},
    {"2026-11-22T09:02:00", false, true, NOW_MS},
    {"09:02", false, true, NOW_MS},
    {"today 09:02:01", false, true, NOW_MS + 1000},
    {"yesterday 09:02", false, true, NOW_MS - 86400000},
    {"09:02Z", false, false, NOW_MS - 5 * 3600000},
};

START_TEST(reads_what_is_meant)
{
    struct moment m;
    const char *why;

    ck_assert_msg(moment_parse(good[_i].text, NOW_MS, &m, &why) == ERR_OK, "%s", good[_i].text);
    ck_assert_msg(m.is_offset == good[_i].is_offset && m.local == good[_i].local, "%s",
                  good[_i].text);
    ck_assert_msg((m.is_offset ? m.offset : m.wall_ms) == good[_i].value, "%s: %llu", good[_i].text,
                  (unsigned long long)(m.is_offset ? m.offset : m.wall_ms));
}
END_TEST

static const char *const bad[] = {
    "",
    "-1",
    "soon",
    "123x",
    "99999999999999999999",
    "2026-11-22",
    "2026-11-22T",
    "2026-11-22T14",
    "2026-11-22T24:00:00Z",
    "2026-11-22T14:60:00Z",
    "2026-11-22T14:02:00+1",
    "2026-11-22T14:02:00+24:00",
    "2026-11-22T14:02:00X",
    "2026-11-22T14:02:00Zx",
    "2026-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00+01:00",
    "2026-11-22T14:02:00.Z",
    "@",
    "@x",
    "@99999999999999999999",
    "5 parsecs ago",
    "5 minutes",
    "99999999999 weeks ago",
    "2026-03-08T02:30:00", /* the hour that New York's clocks left out */
    "tomorrow 14:02",
};

START_TEST(refuses_the_rest)
{
    struct moment m;
    const char *why = NULL;

    ck_assert_msg(moment_parse(bad[_i], NOW_MS, &m, &why) == ERR_INVALID, "%s", bad[_i]);
    ck_assert_ptr_nonnull(why);
}
END_TEST

/* What is printed is read as the same. */
START_TEST(prints_what_it_reads)
{
    static const uint64_t times[] = {0, 1, NOW_MS, NOW_MS + 999, 951782400000, 253402300799999};
    char text[MOMENT_TEXT_BYTES];
    struct moment m;
    const char *why;

    ck_assert_str_eq(moment_print(NOW_MS + 7, text), "2026-11-22T14:02:00.007Z");
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        ck_assert_int_eq(moment_parse(moment_print(times[i], text), 0, &m, &why), ERR_OK);
        ck_assert_uint_eq(m.wall_ms, times[i]);
    }
    ck_assert_str_eq(moment_print(UINT64_MAX, text), "@18446744073709551.615");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("moment");
    TCase *tc = tcase_create("moment");

    setenv("TZ", "America/New_York", 1);
    tzset();
    tcase_add_loop_test(tc, reads_what_is_meant, 0, sizeof good / sizeof *good);
    tcase_add_loop_test(tc, refuses_the_rest, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tc, prints_what_it_reads);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
