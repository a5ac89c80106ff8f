/* A proxy that leads, to which another one forwards: what its link is told, and believed. The other
 * side: test_forward.c. */
#include "proxy/forward/forward.h"

#include "proxy/clients/credentials.h"
#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <check.h>
#include <string.h>

#define NONCE "0123456789abcdef"

/* A link says whose it is: of our cluster and log, and authenticated. */
START_TEST(test_link)
{
    static const struct exchange exchanges[] = {
        {"HOLDFAST LINK c2 7 p2 " NONCE, "-ERR this proxy belongs to another cluster or log\r\n"},
        {"HOLDFAST LINK c1 8 p2 " NONCE, "-ERR this proxy belongs to another cluster or log\r\n"},
        {"HOLDFAST LINK c1 7 p2 short",
         "-ERR HOLDFAST LINK needs a cluster, a log, a name and a nonce\r\n"},
        {"HOLDFAST LINK c1 7 p2 " NONCE, "+OK\r\n"},
        {"CLIENT GETNAME", "$2\r\np2\r\n"},
    };

    world.router.service = SERVICE_FULL;
    world_expect_all(exchanges, sizeof exchanges / sizeof *exchanges);
    world.router.config.password = "sesame";
    world.all.auth_required = true;
    world_join(1);
    world_say(1, "HOLDFAST LINK c1 7 p2 " NONCE);
    world_expect(1, "-NOAUTH Authentication required.\r\n");
}
END_TEST

/* Another proxy knows the configured password only: with that one may say LINK, but nothing else
 * until then. Where none is configured, LINK alone will do. */
START_TEST(test_link_knows_what_is_configured)
{
    struct resp_arg set = {(const uint8_t *)"new", 3};

    world.router.service = SERVICE_FULL;
    for (int i = 0; i < 2; i++) {
        credentials_set(world_credentials(i == 0 ? "old" : ""), &set);
        world.all.auth_required = true;
        world_join(1 + i);
        if (i == 0) {
            world_say(1, "HOLDFAST LINK c1 7 p2 " NONCE);
            world_expect(1, "-NOAUTH Authentication required.\r\n");
            world_say(1, "CLIENT ID");
            world_expect(1, "-NOAUTH Authentication required.\r\n");
            world_say(1, "AUTH old");
            world_expect(1, "+OK\r\n");
            world_say(1, "RESET"); /* which takes it back */
            world_expect(1, "+RESET\r\n");
            world_say(1, "HOLDFAST LINK c1 7 p2 " NONCE);
            world_expect(1, "-NOAUTH Authentication required.\r\n");
            world_say(1, "AUTH old");
            world_expect(1, "+OK\r\n");
        }
        world_say(1 + i, "GET a");
        world_expect(1 + i, "-NOAUTH Authentication required.\r\n");
        world_say(1 + i, "CLIENT ID");
        world_expect(1 + i, i == 0 ? ":2\r\n" : ":3\r\n");
        world_say(1 + i, "HOLDFAST LINK c2 7 p2 " NONCE);
        world_expect(1 + i, "-ERR this proxy belongs to another cluster or log\r\n");
        world_say(1 + i, "GET a");
        world_expect(1 + i, "-NOAUTH Authentication required.\r\n");
        world_say(1 + i, "HOLDFAST LINK c1 7 p2 " NONCE);
        world_expect(1 + i, "+OK\r\n");
        world_say(1 + i, "GET a");
        world_expect_sent("GET a");
        world_redis("$1\r\nx\r\n");
        world_expect(1 + i, "$1\r\nx\r\n");
    }
}
END_TEST

/* Where none is needed any more, others go on with the configured one. */
START_TEST(test_link_without_password)
{
    struct resp_arg none = {(const uint8_t *)"", 0};

    world.router.service = SERVICE_FULL;
    credentials_set(world_credentials("old"), &none);
    world_join(1);
    world_say(1, "AUTH bad");
    world_expect(1, "-ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?\r\n");
    world_say(1, "AUTH old");
    world_expect(1, "+OK\r\n");
    world_say(1, "HOLDFAST LINK c1 7 p2 " NONCE);
    world_expect(1, "+OK\r\n");
}
END_TEST

/* What comes over it is executed, or answered with "moved" where we don't serve; from then on
 * nothing of it is executed, even if we serve again. Never is it forwarded. */
START_TEST(test_link_moved)
{
    world.router.service = SERVICE_FULL;
    world_say(0, "HOLDFAST LINK c1 7 p2 " NONCE);
    world_expect(0, "+OK\r\n");
    world_asks(0, "SET a 1", "+OK\r\n");
    world.router.service = SERVICE_NO_QUORUM;
    world_say(0, "SELECT 1");
    world_expect(0, "-HOLDFASTMOVED " NONCE " 0 -\r\n");
    world.router.service = SERVICE_FULL;
    world_say(0, "SET a 2");
    world_expect(0, "-HOLDFASTMOVED " NONCE " 0 -\r\n");
    world_expect_nothing_sent();
    ck_assert_uint_eq(forward_total(world.forward), 0);
}
END_TEST

/* While a script keeps Redis busy its clients are told so, and the other proxy goes on: it may
 * connect, and the SELECT that it has put in front of them is carried out. */
START_TEST(test_link_busy)
{
    world.router.service = SERVICE_FULL;
    world_say(0, "HOLDFAST LINK c1 7 p2 " NONCE);
    world_expect(0, "+OK\r\n");
    strcpy(world.router.busy, "BUSY it is");
    world_join(1);
    world_say_raw(1, "CLIENT ID\r\nHOLDFAST LINK c1 7 p2 " NONCE "\r\n");
    world_expect(1, ":2\r\n+OK\r\n");
    world_say_raw(0, "SELECT 1\r\nGET a\r\nHELLO 3\r\n");
    static const char begin[] = "+OK\r\n-BUSY it is\r\n%7\r\n";
    ck_assert(strncmp(world_hear(0), begin, sizeof begin - 1) == 0);
    world_say_raw(0, "HELLO 2\r\nMULTI\r\nSELECT 2\r\nEXEC\r\n");
    (void)world_hear(0);
    ck_assert_uint_eq(world.clients[0]->db, 1);
    world.router.busy[0] = '\0';
    world_say(0, "GET a");
    world_expect_sent("SELECT 1|GET a");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward_link");
    TCase *tc = tcase_create("forward_link");

    tcase_add_checked_fixture(tc, world_setup_other_leads, world_teardown);
    tcase_add_test(tc, test_link);
    tcase_add_test(tc, test_link_knows_what_is_configured);
    tcase_add_test(tc, test_link_without_password);
    tcase_add_test(tc, test_link_moved);
    tcase_add_test(tc, test_link_busy);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
