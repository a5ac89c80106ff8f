/* So many bytes in a second, whatever they come in. */
#include "proxy/snapshot/rate.h"
#include "tests/lib/unit.h"

#define SECOND UINT64_C(1000000000)

/* Nothing at first; then what time has brought, up to a burst. */
START_TEST(fills_up_to_a_burst)
{
    struct rate r;

    rate_init(&r, 1000, 100, 5 * SECOND);
    ck_assert_uint_eq(rate_room(&r), 0);
    rate_tick(&r, 5 * SECOND + SECOND / 20);
    ck_assert_uint_eq(rate_room(&r), 50);
    rate_take(&r, 20);
    ck_assert_uint_eq(rate_room(&r), 30);
    rate_tick(&r, UINT64_MAX);
    ck_assert_uint_eq(rate_room(&r), 100);
}
END_TEST

/* What goes beyond it is made up for before anything else goes. */
START_TEST(may_be_overdrawn)
{
    struct rate r;

    rate_init(&r, 1000, 0, 0);
    ck_assert_uint_eq(rate_debt_ns(&r), 0);
    rate_take(&r, 250);
    ck_assert_uint_eq(rate_room(&r), 0);
    ck_assert_uint_eq(rate_debt_ns(&r), SECOND / 4);
    rate_tick(&r, SECOND / 10);
    ck_assert_uint_eq(rate_debt_ns(&r), SECOND * 3 / 20);
    rate_tick(&r, SECOND);
    ck_assert_uint_eq(rate_debt_ns(&r), 0);
    ck_assert_uint_eq(rate_room(&r), 0); /* no burst */
    rate_take(&r, 1);
    ck_assert_uint_eq(rate_debt_ns(&r), SECOND / 1000);
}
END_TEST

/* However often it is looked at: of parts of a byte nothing is lost. */
START_TEST(looks_cost_nothing)
{
    struct rate r;

    rate_init(&r, 10, 1000, 0);
    for (uint64_t at = 0; at <= 20 * SECOND; at += SECOND / 128) {
        rate_tick(&r, at);
    }
    ck_assert_uint_ge(rate_room(&r), 195);
    ck_assert_uint_le(rate_room(&r), 200);
}
END_TEST

/* Without a rate everything goes, and leaves no debt. */
START_TEST(no_rate)
{
    struct rate r;

    rate_init(&r, 0, 0, 0);
    rate_take(&r, 1000);
    ck_assert_uint_eq(rate_room(&r), SIZE_MAX);
    ck_assert_uint_eq(rate_debt_ns(&r), 0);
    rate_init(&r, 10, 0, 0);
    rate_take(&r, 1000);
    r.per_s = 0; /* it hurries from now on */
    rate_tick(&r, SECOND);
    ck_assert_uint_eq(rate_room(&r), SIZE_MAX);
    ck_assert_uint_eq(rate_debt_ns(&r), 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("rate", NULL, NULL, fills_up_to_a_burst, may_be_overdrawn, looks_cost_nothing,
                    no_rate);
}
