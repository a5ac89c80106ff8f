/* The frame of a system test: a test case with a cluster of its own, made before the test is forked
 * off and cleaned up whatever becomes of it (see cluster.h). A program defines `system_options`
 * with what its clusters need, and adds its tests with SYSTEM_CASE. */
#ifndef TESTS_LIB_SYSTEM_H
#define TESTS_LIB_SYSTEM_H

#include "tests/lib/cluster.h"
#include "tests/lib/unit.h"

#include <signal.h>

extern const struct cluster_options system_options;

static struct cluster *cluster;

static inline void system_create_with(const struct cluster_options *options)
{
    signal(SIGPIPE, SIG_IGN);
    cluster = cluster_create(options);
}

static inline void system_serve_with(const struct cluster_options *options)
{
    system_create_with(options);
    cluster_start(cluster);
}

static inline void system_create(void)
{
    system_create_with(&system_options);
}

static inline void system_serve(void)
{
    system_serve_with(&system_options);
}

static void system_destroy(void)
{
    cluster_destroy(cluster);
    cluster = NULL;
}

static void system_begins(void)
{
    cluster_test_begins(cluster);
}

static void system_passed(void)
{
    cluster_test_passed(cluster);
}

/* A test case whose tests, in this order, share a cluster that serves (system_serve), or one of
 * which nothing has been started yet (system_create). */
static inline TCase *system_case(Suite *suite, const char *name, void (*setup)(void), int timeout_s,
                                 const TTest *const *tests)
{
    TCase *tc = tcase_create(name);
    tcase_add_unchecked_fixture(tc, setup, system_destroy);
    tcase_add_checked_fixture(tc, system_begins, system_passed);
    tcase_set_timeout(tc, timeout_s);
    unit_add(tc, tests);
    suite_add_tcase(suite, tc);
    return tc;
}
#define SYSTEM_CASE(suite, name, setup, timeout_s, ...)                                            \
    system_case(suite, name, setup, timeout_s, UNIT_TESTS(__VA_ARGS__))

#endif
