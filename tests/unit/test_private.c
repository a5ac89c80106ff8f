/* Private links: who gets one, what goes over it, when it is given back, and what its end means.
 * The Redis at the other end is played here (tests/lib/router_world.h). */
#include "proxy/engine/private.h"

#include "proxy/clients/session.h"

#include "common/clock.h"
#include "proxy/clients/client.h"
#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define BLPOP_REPLY "*2\r\n$1\r\na\r\n$1\r\n1\r\n"

/* A blocking command goes over a link of its own, with a fence; the link is kept for the next one,
 * which may be another client's, in another database. */
START_TEST(test_lent_and_returned)
{
    world_join(1);
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_expect_nothing_sent();
    ck_assert_str_eq(world_scope(0), "0:a");
    ck_assert_uint_eq(private_id(world.clients[0]->link), 70);
    world_link_redis(0, BLPOP_REPLY);
    world_expect(0, BLPOP_REPLY);
    ck_assert_ptr_null(world.clients[0]->link);
    ck_assert_uint_eq(private_count(world.privates), 1);
    world_say(1, "SELECT 3");
    world_expect(1, "+OK\r\n");
    world_say(1, "BLPOP a 0");
    world_link_expect_sent(0, "SELECT 3|BLPOP a 0");
    world_link_redis(0, "+OK\r\n*-1\r\n");
    world_expect(1, "*-1\r\n");
    ck_assert_uint_eq(private_count(world.privates), 1);
}
END_TEST

/* What is set up at Redis, and that the client's name goes along, and goes away again. */
START_TEST(test_name)
{
    world_join(1);
    world_say(0, "CLIENT SETNAME joe");
    world_expect(0, "+OK\r\n");
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "CLIENT SETNAME joe|BLPOP a 0");
    world_link_redis(0, "+OK\r\n*-1\r\n");
    world_expect(0, "*-1\r\n");
    world_say(1, "BLPOP a 0");
    world_link_expect_sent(0, "CLIENT SETNAME |BLPOP a 0");
    world_link_redis(0, "+OK\r\n*-1\r\n");
    world_expect(1, "*-1\r\n");
}
END_TEST

/* A client can't pass its link off as a proxy's: by that name another proxy would take Redis for
 * somebody else's. */
START_TEST(test_name_of_ours)
{
    world_say(0, "CLIENT SETNAME holdfast-control:p:0");
    world_expect(0, "+OK\r\n");
    world_say(0, "WATCH a");
    world_link_up(0);
    world_link_expect_sent(0, "CLIENT SETNAME client:holdfast-control:p:0|WATCH a");
    world_link_redis(0, "+OK\r\n+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "CLIENT GETNAME");
    world_expect(0, "$20\r\nholdfast-control:p:0\r\n");
}
END_TEST

/* Requests for the other lane wait until everything before them is answered, in both directions. */
START_TEST(test_order)
{
    world_say(0, "SET a 1");
    world_say(0, "BLPOP b 0");
    world_say(0, "GET a");
    world_expect_sent("SET a 1");
    ck_assert_uint_eq(private_count(world.privates), 0);
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP b 0");
    world_expect_nothing_sent();
    world_link_redis(0, "*-1\r\n");
    world_expect(0, "*-1\r\n");
    world_expect_sent("GET a");
    world_redis("$1\r\n1\r\n");
    world_expect(0, "$1\r\n1\r\n");
}
END_TEST

/* What may block has a fence of its own, though more came with it: neither what stands before it
 * nor its own reply waits for another one that blocks. */
START_TEST(test_blocks_alone)
{
    world_say_raw(0, "BLPOP a 0\r\nBLPOP b 0\r\n");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_link_redis(0, BLPOP_REPLY);
    world_expect(0, BLPOP_REPLY);
    world_link_expect_sent(0, "BLPOP b 0");
    world_link_redis(0, "*-1\r\n");
    world_expect(0, "*-1\r\n");
    world_link_asks(0, 0, "WATCH c", "+OK\r\n");
    world_say_raw(0, "GET c\r\nBLPOP b 0\r\nGET d\r\n");
    world_link_expect_sent(0, "GET c");
    world_link_redis(0, "$-1\r\n");
    world_expect(0, "$-1\r\n");
    world_link_expect_sent(0, "BLPOP b 0");
    world_link_redis(0, "*-1\r\n");
    world_expect(0, "*-1\r\n");
    world_link_expect_sent(0, "GET d");
    world_link_redis(0, "$-1\r\n");
    world_expect(0, "$-1\r\n");
}
END_TEST

/* From WATCH to EXEC everything goes over the link; EXEC reveals what is watched as well. */
START_TEST(test_watch)
{
    world_say(0, "WATCH a b");
    world_link_up(0);
    world_link_expect_sent(0, "WATCH a b");
    ck_assert_str_eq(world_scope(0), "harmless");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_asks(0, 0, "GET c", "$-1\r\n");
    world_say(0, "MULTI");
    world_expect(0, "+OK\r\n");
    world_say(0, "SET d 1");
    world_expect(0, "+QUEUED\r\n");
    world_say(0, "EXEC");
    ck_assert_str_eq(world_scope(0), "0:d 0:a 0:b");
    world_link_expect_sent(0, "MULTI|SET d 1|EXEC");
    world_link_redis(0, "+OK\r\n+QUEUED\r\n*-1\r\n");
    world_expect(0, "*-1\r\n");
    ck_assert_ptr_null(world.clients[0]->link);
    world_asks(0, "GET c", "$-1\r\n");
}
END_TEST

/* However WATCH ends, the link is clean when it is given back. */
START_TEST(test_watch_ends)
{
    static const char *const ends[][2] = {
        {"UNWATCH", NULL}, {"MULTI", "DISCARD"}, {"RESET", NULL}, {"EXEC x", NULL}};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        world_say(0, "WATCH a");
        if (i == 0) {
            world_link_up(0);
        }
        world_link_expect_sent(0, "WATCH a");
        world_link_redis(0, "+OK\r\n");
        world_expect(0, "+OK\r\n");
        world_say(0, ends[i][0]);
        if (ends[i][1] != NULL) {
            world_expect(0, "+OK\r\n");
            world_say(0, ends[i][1]);
        }
        world_link_expect_sent(0, "UNWATCH");
        world_link_redis(0, "+OK\r\n");
        (void)world_hear(0);
        ck_assert_ptr_null(world.clients[0]->link);
        ck_assert(!world.clients[0]->watches);
        ck_assert_uint_eq(private_count(world.privates), 1);
    }
    world_say(0, "UNWATCH");
    world_expect(0, "+OK\r\n");
    world_expect_nothing_sent();
}
END_TEST

/* More than the limit is refused; one that is given back is there again. A lower limit takes
 * nothing from who has one. */
START_TEST(test_limit)
{
    for (int i = 1; i < 4; i++) {
        world_join(i);
    }
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_say(1, "WATCH a");
    world_link_up(1);
    world_link_expect_sent(1, "WATCH a");
    world_link_redis(1, "+OK\r\n");
    world_expect(1, "+OK\r\n");
    world_say(2, "WATCH a");
    world_expect(2, "-ERR max number of private connections reached, see limits.private_max\r\n");
    world_say(2, "BLPOP a 0");
    world_expect(2, "-ERR max number of private connections reached, see limits.private_max\r\n");
    world_link_redis(0, "*-1\r\n");
    world_expect(0, "*-1\r\n");
    world_link_asks(2, 0, "BLPOP a 0", "*-1\r\n");
    private_limit(world.privates, 1);
    world_link_asks(2, 0, "BLPOP a 0", "*-1\r\n");
    world_link_asks(1, 1, "UNWATCH", "+OK\r\n");
    world_link_asks(2, 0, "WATCH a", "+OK\r\n");
    ck_assert_uint_eq(private_lent(world.privates), 1);
    world_say(3, "BLPOP a 0");
    world_expect(3, "-ERR max number of private connections reached, see limits.private_max\r\n");
}
END_TEST

/* No more than idle_max are kept. */
START_TEST(test_idle_limit)
{
    world_join(1);
    for (int i = 0; i < 2; i++) {
        world_say(i, "BLPOP a 0");
        world_link_up(i);
        world_link_expect_sent(i, "BLPOP a 0");
    }
    ck_assert_uint_eq(private_count(world.privates), 2);
    world_link_redis(0, "*-1\r\n");
    world_expect(0, "*-1\r\n");
    world_link_redis(1, "*-1\r\n");
    world_expect(1, "*-1\r\n");
    ck_assert_uint_eq(private_count(world.privates), 1);
    world_link_expect_closed(1);
    /* one that Redis closes is not lent any more */
    world_link_down(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

/* Client 0 has had link 0, which is nobody's now. */
static void one_idle_link(void)
{
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_link_redis(0, "*-1\r\n");
    world_expect(0, "*-1\r\n");
}

/* Where Redis ends idle connections, idle links are asked something in time; and so are clients
 * ended, as there. */
START_TEST(test_timeout)
{
    uint64_t now_ns = clock_now_ns();

    one_idle_link();
    private_tick(world.privates, now_ns + 2 * CLOCK_NS_PER_S);
    private_keep_alive(world.privates, CLOCK_NS_PER_S);
    private_tick(world.privates, now_ns + CLOCK_NS_PER_S / 2);
    private_tick(world.privates, now_ns + 2 * CLOCK_NS_PER_S);
    private_tick(world.privates, now_ns + 2 * CLOCK_NS_PER_S);
    world_link_expect_sent(0, "");
    world_link_redis(0, "");
    world_link_asks(0, 0, "WATCH a", "+OK\r\n");
    world.all.timeout_s = 2;
    world.all.now_ns = world.clients[0]->used_ns + 2 * CLOCK_NS_PER_S;
    clients_hold_limits(&world.all);
    world_expect(0, "");
    world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].set = true; /* 0: never */
    world.all.config.output[CLIENT_CONFIG_NORMAL].set = true;     /* so that all are looked at */
    world.all.now_ns = world.clients[0]->used_ns + 3 * CLOCK_NS_PER_S;
    clients_hold_limits(&world.all);
    world_expect(0, "");
    world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].set = false;
    world.all.now_ns = world.clients[0]->used_ns + 3 * CLOCK_NS_PER_S;
    clients_hold_limits(&world.all);
    world_expect_closed(0);
}
END_TEST

/* Links that clients have are kept from being idle, too: who subscribes elsewhere, or is told what
 * others invalidate, is never idle for Redis. A link of another user has no fences; what it gets
 * needs no permission. */
START_TEST(test_timeout_of_lent)
{
    uint64_t now_ns = clock_now_ns();

    private_keep_alive(world.privates, CLOCK_NS_PER_S);
    ck_assert(private_redirect(world.privates, world.clients[0]));
    world_link_up(0);
    world_link_expect_sent(0, "HELLO 3|PING");
    world_link_redis(0, "%0\r\n+PONG\r\n");
    world_join(1);
    world_say(1, "AUTH joe pw");
    world_link_up(1);
    world_link_expect_bare(1, "AUTH joe pw");
    world_link_redis_raw(1, "+OK\r\n");
    world_expect(1, "+OK\r\n");
    private_tick(world.privates, now_ns + 2 * CLOCK_NS_PER_S);
    private_tick(world.privates, now_ns + 2 * CLOCK_NS_PER_S);
    world_link_expect_sent(0, "");
    world_link_expect_bare(1, "HELLO");
    world_say(1, "GET a"); /* goes behind it */
    world_link_redis(0, "");
    world_link_redis_raw(1, "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n");
    world_link_expect_bare(1, "GET a");
    world_link_redis_raw(1, "$-1\r\n");
    world_expect(1, "$-1\r\n");
    ck_assert_ptr_nonnull(world.clients[0]->redirect);
    ck_assert_uint_eq(private_lent(world.privates), 2);
}
END_TEST

/* A Redis that is too busy for the fence on an idle link is asked again. */
START_TEST(test_busy_while_idle)
{
    uint64_t now_ns = clock_now_ns();

    one_idle_link();
    private_keep_alive(world.privates, CLOCK_NS_PER_S);
    private_tick(world.privates, now_ns + 2 * CLOCK_NS_PER_S);
    world_link_expect_sent(0, "");
    world_link_redis_raw(0, "-BUSY x\r\n");
    private_tick(world.privates, now_ns + 2 * CLOCK_NS_PER_S);
    world_link_expect_sent(0, "");
    world_say(0, "BLPOP a 0");
    world_link_redis(0, "");
    world_link_expect_sent(0, "BLPOP a 0");
    world_link_redis(0, "*-1\r\n");
    world_expect(0, "*-1\r\n");
}
END_TEST

/* Who leaves while blocked, or while watching, takes the link along. */
START_TEST(test_client_leaves)
{
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_join(0);
    world_link_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
    world_say(0, "WATCH a");
    world_link_up(0);
    world_link_expect_sent(0, "WATCH a");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_join(0);
    world_link_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

/* A client with more in its pipeline is not read while it blocks; that it leaves is noticed. */
START_TEST(test_postponed_client_leaves)
{
    world_say(0, "BLPOP a 0");
    world_say(0, "GET a");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    ck_assert(world.clients[0]->postponed);
    world_join(0);
    world_link_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

/* The link's end is its client's, if something was asked or watched there. */
START_TEST(test_link_ends)
{
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_link_down(0);
    world_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
    world_join(0);
    world_say(0, "WATCH a");
    world_link_up(0);
    world_link_expect_sent(0, "WATCH a");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_down(0);
    world_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

/* All of them end, and none is made until told so. */
START_TEST(test_stop)
{
    struct replid replid = {{0}};

    world_join(1);
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    private_stop(world.privates, "a test");
    ck_assert_uint_eq(private_count(world.privates), 0);
    world_expect_closed(0);
    world_say(1, "BLPOP a 0");
    world_expect(1, "-ERR max number of private connections reached, see limits.private_max\r\n");
    /* what is idle ends when the history that is wanted changes */
    memcpy(replid.hex, "0123456789abcdef0123456789abcdef01234567", sizeof replid.hex);
    private_start(world.privates, &replid);
    world_say(1, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_link_redis(0, "*-1\r\n");
    world_expect(1, "*-1\r\n");
    private_start(world.privates, &replid);
    ck_assert_uint_eq(private_count(world.privates), 1);
    memset(replid.hex, 'f', sizeof replid.hex);
    private_start(world.privates, &replid);
    ck_assert_uint_eq(private_count(world.privates), 0);
    /* a Redis with another history is none of ours */
    world_say(1, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_closed(0);
    world_expect_closed(1);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

/* CLIENT UNBLOCK goes to Redis with the link's name there; such a link is not lent again. */
START_TEST(test_unblock)
{
    world_join(1);
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_say(1, "CLIENT UNBLOCK 1 ERROR");
    world_expect_sent_bare("CLIENT UNBLOCK 70 ERROR");
    world_redis(":1\r\n");
    world_expect(1, ":1\r\n");
    world_link_redis(0, "-UNBLOCKED x\r\n");
    world_expect(0, "-UNBLOCKED x\r\n");
    ck_assert_uint_eq(private_count(world.privates), 0);
    world_say(1, "CLIENT UNBLOCK 1");
    world_expect(1, ":0\r\n");
    world_expect_nothing_sent();
}
END_TEST

/* Who blocks and is killed gets nothing of what the killer writes next: Redis hears of it first. */
START_TEST(test_kill_blocked)
{
    world_join(1);
    world_say(0, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    world_say(1, "CLIENT KILL ID 1");
    world_expect_sent_bare("CLIENT KILL ID 70");
    world_expect(1, "");
    world_redis(":1\r\n");
    world_expect(1, ":1\r\n");
    world_asks(1, "RPUSH a x", ":5\r\n");
    world_expect_closed(0);
}
END_TEST

static void say_no_touch(const char *mode)
{
    static char name[] = "client|no-touch";
    const struct command no_touch = {.name = name}; /* 7.0 has none */
    struct resp_arg argv[] = {{(const uint8_t *)"CLIENT", 6},
                              {(const uint8_t *)"NO-TOUCH", 8},
                              {(const uint8_t *)mode, strlen(mode)}};

    ck_assert(session_client(&world.router, world.clients[0], &no_touch, argv, 3));
    world_turn();
}

/* CLIENT NO-TOUCH of later engines keeps the link until it is off again; RESET closes it. */
START_TEST(test_no_touch)
{
    say_no_touch("off"); /* nothing was on */
    world_expect_sent_bare("CLIENT NO-TOUCH off");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    for (int i = 0; i < 2; i++) {
        say_no_touch("on");
        world_link_up(0);
        world_link_expect_sent(0, "CLIENT NO-TOUCH on");
        world_link_redis(0, "+OK\r\n");
        world_expect(0, "+OK\r\n");
        world_link_asks(0, 0, "GET a", "$-1\r\n");
        say_no_touch("x");
        world_link_expect_sent(0, "CLIENT NO-TOUCH x");
        world_link_redis(0, "-ERR syntax error\r\n");
        world_expect(0, "-ERR syntax error\r\n");
        ck_assert_ptr_nonnull(world.clients[0]->link);
        if (i == 0) {
            world_say(0, "RESET");
            world_expect(0, "+RESET\r\n");
            world_link_expect_closed(0);
        } else {
            say_no_touch("off");
            world_link_expect_sent(0, "CLIENT NO-TOUCH off");
            world_link_redis(0, "+OK\r\n");
            world_expect(0, "+OK\r\n");
        }
        ck_assert_ptr_null(world.clients[0]->link);
    }
    ck_assert_uint_eq(private_count(world.privates), 1);
}
END_TEST

/* CLIENT TRACKING keeps the link until it is turned off, or fails; CACHING is said again directly
 * before the request that it is for. */
START_TEST(test_tracking)
{
    world_say(0, "CLIENT TRACKING ON nosuch");
    world_link_up(0);
    world_link_expect_sent(0, "CLIENT TRACKING ON nosuch");
    world_link_redis(0, "-ERR syntax error\r\n");
    world_expect(0, "-ERR syntax error\r\n");
    ck_assert_ptr_null(world.clients[0]->link);
    world_link_asks(0, 0, "CLIENT TRACKING ON OPTIN", "+OK\r\n");
    world_link_asks(0, 0, "CLIENT CACHING yes", "+OK\r\n");
    world_say(0, "GET a");
    world_link_expect_sent(0, "CLIENT CACHING yes|GET a");
    world_link_redis(0, "+OK\r\n$1\r\n1\r\n");
    world_expect(0, "$1\r\n1\r\n");
    world_link_asks(0, 0, "GET a", "$1\r\n1\r\n");
    world_link_asks(0, 0, "CLIENT CACHING no", "+OK\r\n"); /* commands about clients don't end it */
    world_say(0, "CLIENT GETNAME");
    world_expect(0, "$-1\r\n");
    world_say(0, "CLIENT TRACKINGINFO");
    world_link_expect_sent(0, "CLIENT CACHING no|CLIENT TRACKINGINFO");
    world_link_redis(0, "+OK\r\n*0\r\n");
    world_expect(0, "*0\r\n");
    world_say(0, "GET a");
    world_link_expect_sent(0, "CLIENT CACHING no|GET a");
    world_link_redis(0, "+OK\r\n$1\r\n1\r\n");
    world_expect(0, "$1\r\n1\r\n");
    world_link_asks(0, 0, "CLIENT CACHING no", "+OK\r\n");
    world_say(0, "SELECT 0"); /* others do, also those of which Redis does not hear */
    world_expect(0, "+OK\r\n");
    world_link_asks(0, 0, "GET a", "$1\r\n1\r\n");
    world_link_asks(0, 0, "CLIENT TRACKING OFF", "+OK\r\n");
    ck_assert_ptr_null(world.clients[0]->link);
    world_say(0, "CLIENT TRACKING OFF"); /* nothing was on */
    world_expect_sent_bare("CLIENT TRACKING OFF");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
}
END_TEST

/* Tracking that began in RESP2 tells from HELLO 3 on: Redis has heard it before the client. */
START_TEST(test_tracking_hello)
{
    world_say(0, "CLIENT TRACKING ON");
    world_link_up(0);
    world_link_expect_sent(0, "CLIENT TRACKING ON");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "HELLO 3");
    world_link_expect_sent(0, "HELLO 3|PING");
    world_expect(0, "");
    world_link_redis(0, "%0\r\n+PONG\r\n");
    ck_assert(strncmp(world_hear(0), "%7\r\n", 4) == 0);
    world_say(0, "HELLO 3"); /* nothing new */
    ck_assert(strncmp(world_hear(0), "%7\r\n", 4) == 0);
    world_link_asks(0, 0, "GET a", "_\r\n");
}
END_TEST

/* NOLOOP: no fence follows its reads, since what Redis drops from a full table then would not be
 * told; the next who has the link has fences again. */
START_TEST(test_tracking_noloop)
{
    world_say(0, "CLIENT TRACKING ON NOLOOP");
    world_link_up(0);
    world_link_expect_bare(0, "CLIENT TRACKING ON NOLOOP");
    world_link_redis_raw(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_asks_bare(0, 0, "GET a", "$-1\r\n");
    world_link_asks_bare(0, 0, "CLIENT TRACKING OFF", "+OK\r\n");
    world_link_asks(0, 0, "WATCH a", "+OK\r\n");
}
END_TEST

/* A tracking client's RESET: its link is not lent to others. */
START_TEST(test_tracking_reset)
{
    world_say(0, "CLIENT TRACKING ON");
    world_link_up(0);
    world_link_expect_sent(0, "CLIENT TRACKING ON");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "RESET");
    world_expect(0, "+RESET\r\n");
    world_link_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

static void say_eval(int i, const char *script)
{
    char bytes[200];

    (void)snprintf(bytes, sizeof bytes, "*3\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n0\r\n",
                   strlen(script), script);
    world_say_raw(i, bytes);
}

/* CLIENT PAUSE … WRITE: scripts that say in their first line that they do not write are not held
 * back, alone and inside MULTI; all others are, and count as blocked. */
START_TEST(test_paused_scripts)
{
    static const char *const write[] = {
        "return 1",
        "#!lua",
        "#!lua flags=allow-oom,no-writes2\nreturn 1 -- flags=no-writes",
        "#!lua flags=\n no-writes",
        "#!lua flags=allow-oom no-writes\n",
        "#!lua flags=no-writes",
    };
    static const char *const read[] = {
        "#!lua flags=no-writes\nreturn 1",
        "#!lua  flags=allow-oom,no-writes \nother",
        "#!lua flags=no-writes,allow-oom\n",
    };

    char sent[200];

    world_join(1);
    world_pause(1);
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        say_eval(0, read[i]);
        (void)snprintf(sent, sizeof sent, "EVAL_RO %s 0", read[i]);
        world_expect_sent(sent);
        world_redis("$-1\r\n");
        world_expect(0, "$-1\r\n");
    }
    for (size_t i = 0; i < sizeof write / sizeof *write; i++) {
        world_join(2);
        say_eval(2, write[i]);
        world_expect_nothing_sent();
        ck_assert_msg(client_is_blocked(world.clients[2]), "%s", write[i]);
    }
    world_join(2);
    world_say(0, "MULTI");
    say_eval(0, read[0]);
    world_expect(0, "+OK\r\n+QUEUED\r\n");
    world_say(0, "EXEC");
    (void)snprintf(sent, sizeof sent, "MULTI|EVAL %s 0|EXEC", read[0]);
    world_expect_sent(sent);
    world_redis("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    world_expect(0, "*1\r\n:1\r\n");
    world_unpause(1);
}
END_TEST

/* Redis, which pauses along, lets a script wait that may not write but does not say so: over a link
 * of the client's own, so that nobody else waits with it. Not those that say so, or are of old. */
START_TEST(test_paused_unsaid)
{
    world_join(1);
    world_pause(1);
    world_asks(0, "EVAL_RO return 0", "$-1\r\n");
    world_say(0, "FCALL_RO f 0");
    world_link_up(0);
    world_link_expect_sent(0, "FCALL_RO f 0");
    world_expect_nothing_sent();
    ck_assert(client_is_blocked(world.clients[0]));
    world_asks(1, "GET a", "$-1\r\n");
    world_link_redis(0, ":1\r\n");
    world_expect(0, ":1\r\n");
    world_say_raw(0, "*3\r\n$7\r\nEVAL_RO\r\n$14\r\n#!lua\nreturn 1\r\n$1\r\n0\r\n");
    world_link_expect_sent(0, "EVAL_RO #!lua\nreturn 1 0");
    world_link_redis(0, ":1\r\n");
    world_expect(0, ":1\r\n");
    world_say_raw(0, "MULTI\r\nFCALL_RO f 0\r\nEXEC\r\n");
    world_link_expect_sent(0, "MULTI|FCALL_RO f 0|EXEC");
    world_link_redis(0, "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    readers_asked(&world.all.readers);
    ck_assert(readers_answered(&world.all.readers));
    readers_add_function(&world.all.readers, "f");
    world_asks(0, "FCALL_RO f 0", ":1\r\n");
    world_unpause(1);
    world_asks(0, "FCALL_RO g 0", ":1\r\n");
}
END_TEST

/* CLIENT PAUSE holds requests back, in their order; UNPAUSE lets them go. */
START_TEST(test_pause)
{
    world_join(1);
    world_pause(1);
    world_say(0, "SET a 1");
    world_say(0, "GET a");
    world_expect_nothing_sent();
    world_asks(1, "GET a", "$-1\r\n");
    world_unpause(1);
    world_expect_sent("SET a 1|GET a");
    world_redis("+OK\r\n$1\r\n1\r\n");
    world_expect(0, "+OK\r\n$1\r\n1\r\n");
}
END_TEST

/* Redis is told of a pause as long as it lasts, and of its end, also where that comes with time: by
 * us alone, while it is ours to tell. What it might take for a write is not asked there meanwhile.
 */
START_TEST(test_redis_pauses)
{
    static const struct exchange inside[] = {
        {"MULTI", "+OK\r\n"}, {"GET a", "+QUEUED\r\n"}, {"DISCARD", "+OK\r\n"}};
    static const struct exchange elsewhere[] = {{"CLIENT PAUSE 300 WRITE", "+OK\r\n"},
                                                {"CLIENT UNPAUSE", "+OK\r\n"}};

    world_join(1);
    world_pause(1);
    router_pause(&world.router);
    world_expect_nothing_sent();
    world.all.now_ns = world.router.pause_again_ns;
    router_pause(&world.router);
    world_expect_sent_bare("CLIENT PAUSE 1000 WRITE");
    world_redis("+OK\r\n");
    world.router.memory_tight = true;
    world_expect_all(inside, sizeof inside / sizeof *inside);
    world.router.memory_tight = false;
    world_say(0, "SET a 1");
    world_expect_nothing_sent();
    world.hold = true;
    router_end_pause(&world.router);
    world_turn();
    world.hold = false;
    world_expect_sent("CLIENT UNPAUSE|SET a 1");
    world_redis("+OK\r\n+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(1, "CLIENT PAUSE 300");
    world_expect_sent_bare("CLIENT PAUSE 301 WRITE");
    world_redis("+OK\r\n");
    world_expect(1, "+OK\r\n");
    router_end_pause(&world.router);
    world_expect_sent_bare("CLIENT UNPAUSE");
    world_redis("+OK\r\n");
    world.router.service = SERVICE_NO_QUORUM;
    world_expect_all(elsewhere, sizeof elsewhere / sizeof *elsewhere);
}
END_TEST

/* What its own client wrote over a link of its own is not overtaken by a pause: it would wait in
 * Redis until that is over, and the answer to CLIENT PAUSE with it. */
START_TEST(test_pause_comes_behind)
{
    world_join(1);
    world_say(0, "WATCH k");
    world_link_up(0);
    world_link_expect_sent(0, "WATCH k");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "SET a 1");
    world_say(0, "CLIENT PAUSE 300 WRITE");
    world_link_expect_sent(0, "SET a 1");
    world_expect_nothing_sent();
    world_link_redis(0, "+OK\r\n");
    world_expect_sent_bare("CLIENT PAUSE 301 WRITE");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n+OK\r\n");
    world_unpause(1);
}
END_TEST

int main(void)
{
    return UNIT_RUN("private", world_setup, world_teardown, test_lent_and_returned, test_name,
                    test_name_of_ours, test_order, test_blocks_alone, test_watch, test_watch_ends,
                    test_limit, test_idle_limit, test_timeout, test_timeout_of_lent,
                    test_busy_while_idle, test_client_leaves, test_postponed_client_leaves,
                    test_link_ends, test_stop, test_unblock, test_kill_blocked, test_no_touch,
                    test_tracking, test_tracking_hello, test_tracking_noloop, test_tracking_reset,
                    test_pause, test_pause_comes_behind, test_paused_scripts, test_paused_unsaid,
                    test_redis_pauses);
}
