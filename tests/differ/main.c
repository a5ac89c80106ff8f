/* make differ: the differential tester, for as long as one likes. */
#include "tests/differ/differ.h"
#include "tests/lib/system.h"

#include "common/random.h"

#include <stdio.h>
#include <string.h>

static struct differ_options options = {.differences = 10, .verbose = true};

START_TEST(differ)
{
    ck_assert_uint_eq(differ_run(cluster, &options), 0);
}
END_TEST

static void setup(void)
{
    system_serve_with(options.through != STAGE_LEADER ? &differ_cluster_of_two : &differ_cluster);
}

static int usage(void)
{
    fputs("usage: differ [--seed N] [--resp 2|3] [--commands N] [--seconds N] [--differences N]\n"
          "              [--through leader|follower|replica] [--tally 1] [--program N]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    options.seed = random_seed() % 1000000000;
    for (int i = 1; i + 1 < argc; i += 2) {
        unsigned long long value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0) {
            options.seed = value;
        } else if (strcmp(argv[i], "--program") == 0) {
            options.program = value;
        } else if (strcmp(argv[i], "--resp") == 0) {
            options.resp = (int)value;
        } else if (strcmp(argv[i], "--commands") == 0) {
            options.commands = value;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            options.seconds = (unsigned)value;
        } else if (strcmp(argv[i], "--differences") == 0) {
            options.differences = (unsigned)value;
        } else if (strcmp(argv[i], "--through") == 0 && strcmp(argv[i + 1], "follower") == 0) {
            options.through = STAGE_FOLLOWER;
        } else if (strcmp(argv[i], "--through") == 0 && strcmp(argv[i + 1], "replica") == 0) {
            options.through = STAGE_REPLICA;
        } else if (strcmp(argv[i], "--through") == 0 && strcmp(argv[i + 1], "leader") == 0) {
            options.through = STAGE_LEADER;
        } else if (strcmp(argv[i], "--tally") == 0) {
            options.tally = value != 0;
        } else {
            return usage();
        }
    }
    if (argc % 2 == 0) {
        return usage();
    }
    Suite *suite = suite_create("differ");
    SYSTEM_CASE(suite, "differ", setup, 0, differ);
    return unit_main_as(suite, CK_NOFORK, CK_NORMAL); /* nothing between us and the processes */
}
