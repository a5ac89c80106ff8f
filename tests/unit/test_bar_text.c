/* What progress bars say. */
#include "proxy/ctl/bar_text.h"
#include "tests/lib/unit.h"

#define EXPECT_BAR(text, ...)                                                                      \
    ck_assert_str_eq(bar_text_print(&(struct bar_text){__VA_ARGS__}, out), text)

static char out[BAR_TEXT_BYTES];

/* How far it is, with and without the bar of characters, to the end and a little beyond. */
START_TEST(says_how_far)
{
    EXPECT_BAR("log        [######..................]  25 %  256 B of 1.0 KiB", .what = "log",
               .done_bytes = 256, .total_bytes = 1024, .cells = true);
    EXPECT_BAR("log         25 %  256 B of 1.0 KiB", .what = "log", .done_bytes = 256,
               .total_bytes = 1024);
    EXPECT_BAR("log        [########################] 100 %  2.0 KiB of 1.0 KiB", .what = "log",
               .done_bytes = 2048, .total_bytes = 1024, .cells = true);
    EXPECT_BAR("finding    3 B", .what = "finding", .done_bytes = 3);
}
END_TEST

/* How fast it is since it was begun, and how long it will take at that rate; not before a second,
 * and nothing that can't be told. */
START_TEST(says_how_fast)
{
    enum { MIB = 1 << 20 };

    EXPECT_BAR("log         50 %  50.0 MiB of 100.0 MiB, 10.0 MiB/s, 5 s left", .what = "log",
               .done_bytes = 50 * MIB, .total_bytes = 100 * MIB, .first_bytes = 30 * MIB,
               .spent_ms = 2000);
    EXPECT_BAR("log         50 %  50.0 MiB of 100.0 MiB", .what = "log", .done_bytes = 50 * MIB,
               .total_bytes = 100 * MIB, .spent_ms = 999);
    EXPECT_BAR("log         50 %  50.0 MiB of 100.0 MiB", .what = "log", .done_bytes = 50 * MIB,
               .total_bytes = 100 * MIB, .first_bytes = 50 * MIB, .spent_ms = 5000);
    EXPECT_BAR("log         10 %  10.0 MiB of 100.0 MiB, 1.0 MiB/s, 1 min 30 s left", .what = "log",
               .done_bytes = 10 * MIB, .total_bytes = 100 * MIB, .spent_ms = 10000);
    EXPECT_BAR("log          0 %  10.0 MiB of 10.0 GiB, 1.0 MiB/s, 2 h 50 min left", .what = "log",
               .done_bytes = 10 * MIB, .total_bytes = 10240ULL * MIB, .spent_ms = 10000);
    EXPECT_BAR("log          0 %  1 B of 16777216.0 TiB, 0 B/s", .what = "log", .done_bytes = 1,
               .total_bytes = UINT64_MAX, .spent_ms = 10000);
    EXPECT_BAR("finding    2.0 MiB, 1.0 MiB/s", .what = "finding", .done_bytes = 2 * MIB,
               .spent_ms = 2000);
    EXPECT_BAR("log        100 %  2.0 MiB of 2.0 MiB, 1.0 MiB/s", .what = "log",
               .done_bytes = 2 * MIB, .total_bytes = 2 * MIB, .spent_ms = 2000);
}
END_TEST

int main(void)
{
    return UNIT_RUN("bar_text", NULL, NULL, says_how_far, says_how_fast);
}
