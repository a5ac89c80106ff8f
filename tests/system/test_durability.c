/* kill -9 of everything at once, in the middle of a load, again and again: what was acknowledged is
 * there, and what was visible stays (see load.h for what is checked). Redis has no persistence of
 * its own here, so all of it comes from the log. */
#include "tests/lib/system.h"
#include "tests/system/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct cluster_options system_options = {.log_nodes = 3};

START_TEST(kill_all_under_load)
{
    enum { ROUNDS = 20 };
    const char *seed_text = getenv("SEED");
    unsigned seed = seed_text ? (unsigned)strtoul(seed_text, NULL, 10) : (unsigned)getpid();
    struct load *load =
        load_create(&(struct load_options){.port = cluster_port(cluster, "proxy1"), .seed = seed});

    fprintf(stderr, "SEED=%u\n", seed);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t load_ms = 20 + (uint64_t)rand_r(&seed) % 400;
        load_run(load, load_ms, NULL, NULL);
        cluster_kill_all(cluster);
        load_hang_up(load);
        cluster_start(cluster);
        load_check(load);
    }
    struct load_counts counts = load_counts(load);
    fprintf(stderr, "%llu writes acknowledged, %llu reads\n",
            (unsigned long long)counts.writes_acked, (unsigned long long)counts.reads_done);
    ck_assert_uint_gt(counts.writes_acked, ROUNDS * 10);
    ck_assert_uint_gt(counts.reads_done, ROUNDS * 10);
    ck_assert_uint_eq(counts.refused, 0);
    ck_assert_uint_eq(counts.loading, 0);
    load_destroy(load);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("durability");

    SYSTEM_CASE(suite, "durability", system_serve, 300, kill_all_under_load);
    return unit_main(suite);
}
