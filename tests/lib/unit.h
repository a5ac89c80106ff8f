/* The main function of a unit test: one suite, run with CK_RUN_CASE and friends as check has them;
 * and what most of them say of a buffer. */
#ifndef TESTS_LIB_UNIT_H
#define TESTS_LIB_UNIT_H

#include "common/buf.h"
#include "common/log.h"

#include <check.h>
#include <stdlib.h>

static inline int unit_main_as(Suite *suite, enum fork_status forks, enum print_output output)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, forks);
    srunner_run_all(runner, output);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static inline int unit_main(Suite *suite)
{
    return unit_main_as(suite, CK_FORK_GETENV, CK_ENV);
}

/* The buffer holds exactly this text; it is released. */
#define UNIT_TEXT_IS(b, text)                                                                      \
    do {                                                                                           \
        buf_append((b), "", 1);                                                                    \
        ck_assert_str_eq((const char *)buf_head(b), (text));                                       \
        buf_release(b);                                                                            \
    } while (0)

/* Tests by name, as START_TEST has them; NULL: none. */
#define UNIT_TESTS(...) ((const TTest *const[]){__VA_ARGS__, NULL})

static inline void unit_add(TCase *tc, const TTest *const *tests)
{
    for (; *tests != NULL; tests++) {
        tcase_add_test(tc, *tests);
    }
}

/* All there is to say for most: one case, its tests in this order, each between setup and teardown
 * (or NULL). timeout_s: of each test; 0: check's own. */
static inline int unit_run(const char *name, void (*setup)(void), void (*teardown)(void),
                           int timeout_s, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);

    if (timeout_s > 0) {
        tcase_set_timeout(tc, timeout_s);
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    unit_add(tc, tests);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
#define UNIT_RUN_FOR(name, setup, teardown, timeout_s, ...)                                        \
    unit_run(name, setup, teardown, timeout_s, UNIT_TESTS(__VA_ARGS__))
#define UNIT_RUN(name, setup, teardown, ...) UNIT_RUN_FOR(name, setup, teardown, 0, __VA_ARGS__)

/* For tests that do damage: what is logged of it would only hide other messages. VERBOSE in the
 * environment shows it. */
static inline void unit_hush(void)
{
    log_init("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1);
}

#endif
