/* The differential tester for as long as make check can wait; make differ for longer. */
#include "tests/differ/differ.h"
#include "tests/lib/system.h"

START_TEST(random_programs_make_no_difference)
{
    const struct differ_options options = {.seed = 20, .seconds = 20, .differences = 3};

    ck_assert_uint_eq(differ_run(cluster, &options), 0);
}
END_TEST

START_TEST(nor_do_they_through_a_proxy_that_does_not_lead)
{
    const struct differ_options options = {
        .seed = 21, .seconds = 15, .differences = 3, .through = STAGE_FOLLOWER};

    ck_assert_uint_eq(differ_run(cluster, &options), 0);
}
END_TEST

static void setup(void)
{
    system_serve_with(&differ_cluster);
}

static void setup_two(void)
{
    system_serve_with(&differ_cluster_of_two);
}

int main(void)
{
    Suite *suite = suite_create("differ");

    SYSTEM_CASE(suite, "differ", setup, 0, random_programs_make_no_difference);
    SYSTEM_CASE(suite, "follower", setup_two, 0, nor_do_they_through_a_proxy_that_does_not_lead);
    /* the tester starts servers anew after a crash */
    return unit_main_as(suite, CK_NOFORK, CK_ENV);
}
