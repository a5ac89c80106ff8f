/* When a snapshot that is being made hurries. */
#include "proxy/snapshot/hurry.h"
#include "tests/lib/unit.h"

static const uint64_t MB = 1000000;
#define SECOND UINT64_C(1000000000)

/* Of 500 MB: the limit is at 625 MB, and at these rates it takes 516 s. */
static const struct hurry_settings settings = {.log_percent = 125,
                                               .log_min_bytes = 128 << 20,
                                               .rate_max_bytes = 62500000,
                                               .store_rate_max_bytes = 4000000};

static struct hurry_view view(uint64_t log_mb, uint64_t begun_mb, uint64_t seconds)
{
    return (struct hurry_view){.size_bytes = 500 * MB,
                               .log_bytes = log_mb * MB,
                               .begun_log_bytes = begun_mb * MB,
                               .spent_ns = seconds * SECOND,
                               .nodes = 3};
}

/* Past the limit, whatever came when; never, if it is told so. */
START_TEST(past_the_limit)
{
    struct hurry_settings never = settings;
    struct hurry_view v = view(625, 250, 400);

    ck_assert(!hurry_is_due(&settings, &v));
    v.log_bytes++;
    ck_assert(hurry_is_due(&settings, &v));
    never.log_percent = 0;
    ck_assert(!hurry_is_due(&never, &v));
    v = view(127, 0, 1000);
    v.size_bytes = 10 * MB; /* small ones have a limit of their own */
    ck_assert(!hurry_is_due(&settings, &v));
    v.log_bytes = 135 * MB;
    ck_assert(hurry_is_due(&settings, &v));
}
END_TEST

/* What comes at a megabyte a second is no reason, as it would be within bounds by the end; what
 * comes at ten is, before the limit is reached, but not from its first seconds: a burst of some is
 * no reason while 516 are to come. One that is soon made decides soon. */
START_TEST(comes_fast)
{
    struct hurry_settings fast = settings;
    struct hurry_view v = view(290, 250, 40);

    ck_assert(!hurry_is_due(&settings, &v));
    v = view(580, 250, 33);
    ck_assert(hurry_is_due(&settings, &v));
    v = view(580, 250, 32);
    ck_assert(!hurry_is_due(&settings, &v));
    v = view(350, 250, 4);
    ck_assert(!hurry_is_due(&settings, &v));
    v = view(375, 250, 40); /* 250 + 3.125 × 516 is just below 3 × 625 */
    ck_assert(!hurry_is_due(&settings, &v));
    v = view(376, 250, 40);
    ck_assert(hurry_is_due(&settings, &v));
    fast.store_rate_max_bytes = 100 * MB; /* 36 s */
    v = view(450, 250, 3);
    ck_assert(hurry_is_due(&fast, &v));
    v.spent_ns -= SECOND;
    ck_assert(!hurry_is_due(&fast, &v));
}
END_TEST

/* One that is made as fast as it goes anyway has nothing to gain. */
START_TEST(without_rates)
{
    struct hurry_settings s = settings;
    struct hurry_view v = view(600, 250, 4);

    s.rate_max_bytes = s.store_rate_max_bytes = 0;
    ck_assert(!hurry_is_due(&s, &v));
    v.spent_ns = 200000000 * SECOND; /* however long it takes */
    ck_assert(!hurry_is_due(&s, &v));
    v = view(250, 250, 40);
    ck_assert(!hurry_is_due(&settings, &v));
    v.log_bytes -= 50 * MB; /* some was forgotten meanwhile */
    ck_assert(!hurry_is_due(&settings, &v));
}
END_TEST

int main(void)
{
    return UNIT_RUN("hurry", NULL, NULL, past_the_limit, comes_fast, without_rates);
}
