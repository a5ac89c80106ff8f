/* The differential tester for as long as make check can wait; make differ for longer. */
#include "tests/differ/differ.h"
#include "tests/lib/system.h"

START_TEST(random_programs_make_no_difference)
{
    const struct differ_options options = {.seed = 20, .seconds = 20, .differences = 3};

    ck_assert_uint_eq(differ_run(cluster, &options), 0);
}
END_TEST

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    cluster = cluster_create(&differ_cluster);
    cluster_start(cluster);
}

int main(void)
{
    Suite *suite = suite_create("differ");
    TCase *tc = system_case(suite, "differ", setup, 0);

    tcase_add_test(tc, random_programs_make_no_difference);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* the tester starts servers anew after a crash */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
