/* The pace at which a log is packed: bounded, and ever slower where it does not work. */
#include "logsvc/pack_pace.h"

#include "common/clock.h"
#include "tests/lib/unit.h"

#include <stdlib.h>

#define MS CLOCK_NS_PER_MS

/* How many steps there are in that time, if each of them ends so. */
static unsigned run(struct pack_pace *p, uint64_t *now, uint64_t ms, struct storage_pack what)
{
    uint64_t end = *now + ms * MS;
    unsigned steps = 0;

    while (pack_pace_next_ns(p) < end) {
        *now = pack_pace_next_ns(p) > *now ? pack_pace_next_ns(p) : *now;
        pack_pace_done(p, *now, &what);
        steps++;
    }
    *now = end;
    return steps;
}

/* As many bytes as were configured, and no busy loop where steps are small, or another's. */
START_TEST(rate)
{
    struct pack_pace p;
    uint64_t now = 77 * MS;

    pack_pace_init(&p, 1000000, now);
    unsigned steps = run(&p, &now, 11000, (struct storage_pack){.bytes = 100000});
    ck_assert_uint_ge(steps, 98);
    ck_assert_uint_le(steps, 101);
    ck_assert_uint_le(run(&p, &now, 1000, (struct storage_pack){.bytes = 1}), 1001);
    ck_assert_uint_le(run(&p, &now, 1000, (struct storage_pack){.bytes = 0}), 21);
    ck_assert_uint_le(run(&p, &now, 10000, (struct storage_pack){.idle = true}), 11);
}
END_TEST

/* Nothing at rate 0. */
START_TEST(off)
{
    struct pack_pace p;

    pack_pace_init(&p, 0, 77 * MS);
    ck_assert_uint_eq(pack_pace_next_ns(&p), UINT64_MAX);
    pack_pace_done(&p, 78 * MS, &(struct storage_pack){.bytes = 1});
    ck_assert_uint_eq(pack_pace_next_ns(&p), UINT64_MAX);
}
END_TEST

/* What fails is tried again, less and less often, but for ever; what it does between two failures
 * does not count, only that something was packed does. */
START_TEST(failures)
{
    struct pack_pace p;
    uint64_t now = 0;

    pack_pace_init(&p, 1000000, now);
    unsigned first = run(&p, &now, 60000, (struct storage_pack){.failed = true});
    ck_assert_uint_ge(first, 5);
    ck_assert_uint_le(first, 8);
    for (int i = 0; i < 10; i++) {
        now = pack_pace_next_ns(&p);
        pack_pace_done(&p, now, &(struct storage_pack){.bytes = 1});
        pack_pace_done(&p, now, &(struct storage_pack){.failed = true});
    }
    ck_assert_uint_eq(pack_pace_next_ns(&p), now + 512000 * MS);
    (void)run(&p, &now, 3600000, (struct storage_pack){.failed = true});
    ck_assert_uint_le(pack_pace_next_ns(&p), now + 512000 * MS);
    pack_pace_done(&p, now, &(struct storage_pack){.packed = true});
    pack_pace_done(&p, now, &(struct storage_pack){.failed = true});
    ck_assert_uint_eq(pack_pace_next_ns(&p), now + 1000 * MS);
}
END_TEST

int main(void)
{
    return UNIT_RUN("pack_pace", NULL, NULL, rate, off, failures);
}
