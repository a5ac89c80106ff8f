/* The pace at which a disk is looked after: bounded, endless, and quicker when something is wrong.
 */
#include "logsvc/scrub.h"

#include "common/clock.h"
#include "tests/lib/unit.h"

#include <stdlib.h>

#define MS CLOCK_NS_PER_MS

/* How many bytes are checked in that time, if each step does step_bytes. */
static uint64_t run(struct scrub *s, uint64_t *now, uint64_t ms, bool damaged,
                    struct storage_check what)
{
    uint64_t bytes = 0, end = *now + ms * MS;

    while (*now < end) {
        uint64_t next = scrub_next_ns(s, damaged);
        if (next >= end) {
            *now = end;
            break;
        }
        *now = next > *now ? next : *now;
        scrub_done(s, *now, &what);
        bytes += what.bytes;
        ck_assert_uint_gt(bytes + 1, 0);
    }
    return bytes;
}

/* A round never goes faster than was configured, and not much slower. */
START_TEST(rate)
{
    struct scrub_config config = {.bytes_per_s = 1000000, .round_ms = 1000};
    uint64_t now = 77 * MS;
    struct scrub s;

    scrub_init(&s, &config, now);
    uint64_t bytes = run(&s, &now, 11000, false, (struct storage_check){.bytes = 100000});
    ck_assert_uint_ge(bytes, 9500000);
    ck_assert_uint_le(bytes, 10100000);
}
END_TEST

/* Nothing is checked at rate 0, unless something is damaged; then it goes on without end, but not
 * in a busy loop while it waits for others. */
START_TEST(off)
{
    struct scrub_config config = {.bytes_per_s = 0, .round_ms = 1000};
    uint64_t now = 77 * MS;
    struct scrub s;

    scrub_init(&s, &config, now);
    ck_assert_uint_eq(scrub_next_ns(&s, false), UINT64_MAX);
    ck_assert_uint_le(scrub_next_ns(&s, true), now);
    ck_assert_uint_ge(
        run(&s, &now, 1000, true, (struct storage_check){.bytes = 100000, .urgent = true}),
        10000000);
    ck_assert_uint_le(run(&s, &now, 1000, true, (struct storage_check){.bytes = 1}), 30);
    ck_assert_uint_eq(scrub_next_ns(&s, false), UINT64_MAX);
}
END_TEST

/* A small log is not read again and again: rounds begin a while apart. */
START_TEST(rest)
{
    struct scrub_config config = {.bytes_per_s = 1000000, .round_ms = 5000};
    struct storage_check round = {.bytes = 10, .round_ended = true};
    uint64_t now = 0;
    struct scrub s;

    scrub_init(&s, &config, now);
    uint64_t bytes = run(&s, &now, 60000, false, round);
    ck_assert_uint_ge(bytes, 110);
    ck_assert_uint_le(bytes, 120);
}
END_TEST

/* Rounds that damage has hurried along don't put off the ones after it. */
START_TEST(rest_after_damage)
{
    struct scrub_config config = {.bytes_per_s = 1000000, .round_ms = 5000};
    struct storage_check round = {.bytes = 10, .round_ended = true};
    uint64_t now = 0;
    struct scrub s;

    scrub_init(&s, &config, now);
    (void)run(&s, &now, 2000, true, round); /* many rounds, waiting for others to mend something */
    ck_assert_uint_le(scrub_next_ns(&s, false), now + 5000 * MS);
    uint64_t bytes = run(&s, &now, 60000, false, round);
    ck_assert_uint_ge(bytes, 110);
}
END_TEST

int main(void)
{
    return UNIT_RUN("scrub", NULL, NULL, rate, off, rest, rest_after_damage);
}
