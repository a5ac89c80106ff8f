/* Clients of a proxy that doesn't lead, for what its own Redis answers: reads after READONLY or on
 * the replica port, and INFO. */
#include "proxy/forward/forward.h"

#include "common/clock.h"
#include "tests/lib/router_world.h"
#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <check.h>
#include <string.h>

#define READONLY "-READONLY You can't write against a read only replica.\r\n"

/* After READONLY, reads are our Redis' to answer; writes go to the leader, as before, and so does
 * all after READWRITE. */
START_TEST(test_readonly)
{
    world_other_joins(true);
    int leader = world.other;
    world.other = -1;
    world_other_joins(false);
    int replica = world.other;
    world_say(0, "READONLY");
    world_expect(0, "+OK\r\n");
    world_say(0, "GET a");
    world_say(0, "PING");
    world_say(0, "EVAL_RO x 0");
    world_expect_other("GET a|PING|EVAL_RO x 0");
    world_other("$1\r\n1\r\n+PONG\r\n:1\r\n");
    world_expect(0, "$1\r\n1\r\n+PONG\r\n:1\r\n");
    world_say(0, "MULTI");
    world_say(0, "GET a");
    world_say(0, "EXEC");
    world_expect_other("MULTI|GET a|EXEC");
    world_other("+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
    world_say(0, "SET a 1");
    world_say(0, "EVAL x 0");
    world_say(0, "READWRITE");
    world_say(0, "GET a");
    world_expect_other("");
    world.other = leader;
    world_expect_other("SET a 1|EVAL x 0|GET a");
    world_other("+OK\r\n:1\r\n$1\r\n1\r\n");
    world_expect(0, "+OK\r\n:1\r\n+OK\r\n$1\r\n1\r\n");
    (void)close(replica);
}
END_TEST

/* The leader takes READONLY, and answers everything as before. */
START_TEST(test_readonly_leader)
{
    world.router.service = SERVICE_FULL;
    world_say(0, "READONLY");
    world_expect(0, "+OK\r\n");
    world_asks(0, "GET a", "$-1\r\n");
}
END_TEST

/* At the port for reads, writes are refused as a replica does it. */
START_TEST(test_replica_port)
{
    world_other_joins(false);
    world.clients[0]->replica_port = true;
    world_say(0, "SET a 1");
    world_expect(0, READONLY);
    world_say(0, "MULTI");
    world_say(0, "INCR a");
    world_say(0, "EXEC");
    world_expect(0, "+OK\r\n" READONLY
                    "-EXECABORT Transaction discarded because of previous errors.\r\n");
    world_say(0, "GET a");
    world_say(0, "EVAL x 0"); /* the Redis there refuses what would write */
    world_expect_other("GET a|EVAL x 0");
    world_other("$1\r\n1\r\n:1\r\n");
    world_expect(0, "$1\r\n1\r\n:1\r\n");
    world.router.service = SERVICE_FULL; /* it leads now */
    world_say(0, "SET a 1");
    world_expect(0, READONLY);
    world_say(0, "EVAL x 0");
    world_expect(0, READONLY);
    world_asks(0, "GET a", "$-1\r\n");
}
END_TEST

/* A script may reach our Redis as it is promoted, and write: it is not sent again. */
START_TEST(test_replica_script_cut)
{
    static const char *const once[] = {"EVAL x 0", "MULTI|EVAL x 0|EXEC"};

    for (size_t i = 0; i < 2; i++) {
        world_other_joins(false);
        world_join(0);
        world.clients[0]->replica_port = true;
        if (i == 1) {
            world_say(0, "MULTI");
        }
        world_say(0, "EVAL x 0");
        if (i == 1) {
            world_say(0, "EXEC");
            world_expect(0, "+OK\r\n+QUEUED\r\n");
        }
        world_expect_other(once[i]);
        forward_aim(world.replica, FORWARD_NOWHERE, NULL, 0, clock_now_ns());
        forward_cut(world.replica, "it leads");
        world_expect_closed(0);
        world_turn();
        ck_assert_uint_eq(forward_count(world.replica), 0);
        (void)close(world.other);
        world.other = -1;
    }
}
END_TEST

/* Our Redis can't be read any more while reads are under way: their answers, if some still came,
 * could show what may be taken back; they are asked again, of whom may answer then. */
START_TEST(test_replica_cut)
{
    world_other_joins(false);
    world_say(0, "READONLY");
    world_expect(0, "+OK\r\n");
    world_say(0, "GET a");
    world_expect_other("GET a");
    world_other("$1\r\n"); /* half of it */
    forward_aim(world.replica, FORWARD_NOWHERE, NULL, 0, clock_now_ns());
    forward_cut(world.replica, "it leads");
    world.router.service = SERVICE_FULL;
    forward_aim(world.replica, FORWARD_US, NULL, 0, clock_now_ns());
    world_expect_sent("GET a");
    world_redis("$1\r\n2\r\n");
    world_expect(0, "$1\r\n2\r\n");
}
END_TEST

/* A Redis that was restarted is no replica, and somebody else's replica has other data: they are
 * not read. */
START_TEST(test_replica_stranger)
{
    static const char *const roles[] = {
        "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n",
        "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7778\r\n$9\r\nconnected\r\n:1\r\n",
        "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.2\r\n:7777\r\n$9\r\nconnected\r\n:1\r\n",
        "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7777\r\n$10\r\nconnecting\r\n:1\r\n",
    };

    forward_aim(world.replica, FORWARD_THERE, "127.0.0.1", world.other_port, clock_now_ns());
    world_other_accept();
    world_other("+OK\r\n+OK\r\n+OK\r\n");
    world_other(roles[_i]);
    for (int i = 0; i < 20; i++) {
        world_turn();
        sockets_wait(-1, 0, 1);
    }
    ck_assert_uint_eq(forward_links_up(world.replica), 0);
}
END_TEST

/* Without a Redis that can be read, INFO is told from what the proxy knows itself. */
START_TEST(test_info)
{
    world_say(0, "INFO");
    world_expect(0, "$70\r\n# Persistence\r\nloading:0\r\n\r\n# Replication\r\nrole:x\r\n\r\n"
                    "# Holdfast\r\nx:1\r\n\r\n");
    world_other_joins(false);
    world_say(0, "INFO");
    world_expect_other("INFO");
    world_other("$0\r\n\r\n");
    world_expect(0, "$0\r\n\r\n");
}
END_TEST

static bool told_here;

static void correct_info(void *ctx, const struct resp_arg *argv, size_t argc, bool here,
                         struct buf *reply)
{
    (void)ctx;
    (void)argv;
    (void)argc;
    (void)reply;
    told_here = here;
}

/* INFO inside MULTI is the leader's, which has put its own counts in: ours must not take their
 * places. */
START_TEST(test_info_inside)
{
    told_here = true;
    world.router.correct_info = correct_info;
    world_other_joins(true);
    world_say_raw(0, "MULTI\r\nINFO\r\nEXEC\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n");
    world_expect_other("MULTI|INFO|EXEC");
    world_other("+OK\r\n+QUEUED\r\n*1\r\n$1\r\nx\r\n");
    world_expect(0, "*1\r\n$1\r\nx\r\n");
    ck_assert(!told_here);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward_replica");
    TCase *tc = tcase_create("forward_replica");

    tcase_add_checked_fixture(tc, world_setup_other_leads, world_teardown);
    tcase_add_test(tc, test_readonly);
    tcase_add_test(tc, test_readonly_leader);
    tcase_add_test(tc, test_replica_port);
    tcase_add_test(tc, test_replica_script_cut);
    tcase_add_test(tc, test_replica_cut);
    tcase_add_loop_test(tc, test_replica_stranger, 0, 4);
    tcase_add_test(tc, test_info);
    tcase_add_test(tc, test_info_inside);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
