/* The simulator in short: some seeds with every fault, that nothing happens without faults, and
 * that a seed always gives the same run. make sim runs as many as one likes. */
#include "tests/lib/unit.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <string.h>

/* As many at least; and more until everything has happened, up to as many. */
enum { SEEDS = 150, SEEDS_MOST = 600 };

/* What did not happen; WORLD_COUNTS: all did. A simulation in which nothing happens would prove
 * nothing. */
static enum world_count never_happened(const struct world_result *total)
{
    for (unsigned c = 0; c < WORLD_COUNTS; c++) {
        if (c != COUNT_UNDECIDED && c != COUNT_UNCERTAIN && c != COUNT_BIRTHS_FORGOTTEN &&
            total->counts[c] == 0) {
            return (enum world_count)c;
        }
    }
    return WORLD_COUNTS;
}

/* Clusters through all faults: no invariant breaks, and they heal. */
START_TEST(all_faults)
{
    struct world_result r, total = {0};
    uint64_t seeds = 0;

    while (seeds < SEEDS || (seeds < SEEDS_MOST && never_happened(&total) < WORLD_COUNTS)) {
        struct world_options options = {.seed = ++seeds};
        world_run(&options, &r);
        ck_assert_msg(r.violation[0] == '\0', "SEED=%" PRIu64 " violates %s: %s", seeds,
                      truth_invariant_text(r.broken), r.violation);
        for (unsigned c = 0; c < WORLD_COUNTS; c++) {
            total.counts[c] += r.counts[c];
        }
    }
    enum world_count never = never_happened(&total);
    ck_assert_msg(never == WORLD_COUNTS, "no %s",
                  never < WORLD_COUNTS ? world_count_name(never) : "");
    ck_assert_uint_gt(total.counts[COUNT_OPERATIONS], 100 * seeds);
    ck_assert_uint_lt(50 * total.counts[COUNT_UNDECIDED], total.counts[COUNT_HISTORIES]);
}
END_TEST

/* Without faults one proxy is elected once and every client is answered. */
START_TEST(quiet)
{
    /* One in which clients are only let in when the leader may serve: they don't wait for a lease.
     */
    struct world_options options = {.seed = 4, .fault_ms = UINT64_MAX};
    struct world_result r;

    world_run(&options, &r);
    ck_assert_str_eq(r.violation, "");
    ck_assert_uint_eq(r.counts[COUNT_ELECTIONS], 1);
    ck_assert_uint_eq(r.counts[COUNT_UNKNOWN], 0);
    ck_assert_uint_gt(r.counts[COUNT_OPERATIONS], 50);
}
END_TEST

/* The same seed gives the same run, event for event. */
START_TEST(deterministic)
{
    struct world_result a, b;

    for (uint64_t seed = 1000; seed < 1005; seed++) {
        struct world_options options = {.seed = seed};
        world_run(&options, &a);
        world_run(&options, &b);
        ck_assert_uint_eq(a.digest, b.digest);
        ck_assert_mem_eq(&a.counts, &b.counts, sizeof a.counts);
        options.seed++;
        world_run(&options, &b);
        ck_assert_uint_ne(a.digest, b.digest);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim");
    TCase *tc = tcase_create("sim");

    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, all_faults);
    tcase_add_test(tc, quiet);
    tcase_add_test(tc, deterministic);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
