/* The log protocol as a whole: clusters of the real acceptors and proposers through some seconds of
 * faults each, many seeds. SEED=n replays one (and tells what happens), SEEDS=n runs that many. */
#include "tests/lib/log_sim.h"
#include "tests/lib/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct log_sim_result total;

static void run(uint64_t seed, unsigned acceptors, uint32_t fault_ms)
{
    struct log_sim_options options = {.seed = seed,
                                      .acceptors = acceptors,
                                      .fault_ms = fault_ms,
                                      .trace = getenv("SEED") != NULL};
    struct log_sim_result r;

    log_sim_run(&options, &r);
    ck_assert_msg(r.violation[0] == '\0', "SEED=%" PRIu64 " (%u nodes): %s", seed, acceptors,
                  r.violation);
    ck_assert_uint_gt(r.committed_bytes, 0);
    total.virtual_ms += r.virtual_ms;
    total.events += r.events;
    total.messages += r.messages;
    total.lost += r.lost;
    total.crashes += r.crashes;
    total.pauses += r.pauses;
    total.rots += r.rots;
    total.elections += r.elections;
    total.committed_bytes += r.committed_bytes;
    total.catchups += r.catchups;
    total.releases += r.releases;
}

static void run_seeds(uint64_t first, uint64_t count, unsigned acceptors)
{
    const char *seed = getenv("SEED"), *seeds = getenv("SEEDS");

    total = (struct log_sim_result){0};
    if (seed != NULL) {
        run(strtoull(seed, NULL, 10), acceptors, 12000);
        return;
    }
    count = seeds != NULL ? strtoull(seeds, NULL, 10) : count;
    for (uint64_t i = 0; i < count; i++) {
        run(first + i, acceptors, 12000);
    }
    printf("%" PRIu64 " seeds, %u nodes, %.1f virtual minutes: %" PRIu64 " events, %" PRIu64
           " messages (%" PRIu64 " lost), %" PRIu64 " crashes, %" PRIu64 " pauses, %" PRIu64
           " rotten tails, %" PRIu64 " elections, %" PRIu64 " releases, %" PRIu64
           " catch-up reads, %" PRIu64 " bytes committed\n",
           count, acceptors, (double)total.virtual_ms / 60000, total.events, total.messages,
           total.lost, total.crashes, total.pauses, total.rots, total.elections, total.releases,
           total.catchups, total.committed_bytes);
    /* A simulation in which nothing happens would prove nothing. */
    ck_assert_uint_gt(total.crashes, count);
    ck_assert_uint_gt(total.pauses, count);
    ck_assert_uint_gt(total.elections, count);
    ck_assert_uint_gt(total.catchups, count);
    ck_assert_uint_gt(total.releases + total.rots, 0);
}

/* Three nodes, one to three proposers, every fault: no invariant breaks, and it heals. */
START_TEST(three_nodes)
{
    run_seeds(1, 150, 3);
}
END_TEST

/* The same with five nodes. */
START_TEST(five_nodes)
{
    run_seeds(100001, 40, 5);
}
END_TEST

/* Without faults one proposer is elected once and stays. */
START_TEST(quiet)
{
    struct log_sim_options options = {.seed = 1, .proposers = 1, .fault_ms = 0};
    struct log_sim_result r;

    log_sim_run(&options, &r);
    ck_assert_str_eq(r.violation, "");
    ck_assert_uint_eq(r.elections, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("logproto");
    TCase *tc = tcase_create("logproto");
    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, quiet);
    tcase_add_test(tc, three_nodes);
    tcase_add_test(tc, five_nodes);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
