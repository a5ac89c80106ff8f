/* The simulator in short: some seeds with every fault, that nothing happens without faults, and
 * that a seed always gives the same run. make sim runs as many as one likes. */
#include "tests/lib/unit.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <string.h>

enum { SEEDS = 150 };

/* Clusters through all faults: no invariant breaks, and they heal. */
START_TEST(all_faults)
{
    struct world_result r, total = {0};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world_options options = {.seed = seed};
        world_run(&options, &r);
        ck_assert_msg(r.violation[0] == '\0', "SEED=%" PRIu64 " violates %s: %s", seed,
                      truth_invariant_text(r.broken), r.violation);
        for (unsigned c = 0; c < WORLD_COUNTS; c++) {
            total.counts[c] += r.counts[c];
        }
    }
    /* A simulation in which nothing happens would prove nothing. */
    for (unsigned c = 0; c < WORLD_COUNTS; c++) {
        if (c != COUNT_UNDECIDED && c != COUNT_UNCERTAIN && c != COUNT_BIRTHS_FORGOTTEN) {
            ck_assert_msg(total.counts[c] > 0, "no %s", world_count_name((enum world_count)c));
        }
    }
    ck_assert_uint_gt(total.counts[COUNT_OPERATIONS], 100 * SEEDS);
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
