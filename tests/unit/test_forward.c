/* Clients of a proxy that doesn't lead: real clients, a router, a link to a leader and one to a
 * replica that are played here. */
#include "proxy/forward/forward.h"

#include "common/clock.h"
#include "proxy/clients/credentials.h"
#include "tests/lib/router_world.h"
#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define MASTERDOWN                                                                                 \
    "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."

/* ---- forwarding ---- */

/* Everything goes to the proxy that leads, in order, with each client's database and protocol; the
 * replies come back to whom they belong. */
START_TEST(test_forwarded)
{
    world_other_joins(true);
    world_join(1);
    world_say(1, "HELLO 3");
    (void)world_hear(1);
    world_say(0, "SET a 1");
    world_expect_other("SET a 1");
    world_say(1, "HGETALL h");
    world_expect_other("HELLO 3|HGETALL h");
    world_say(0, "SELECT 4");
    world_say(0, "PING");
    world_expect_other("HELLO 2|SELECT 4|PING");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n+OK\r\n");
    world_other("%0\r\n%0\r\n*0\r\n+OK\r\n+PONG\r\n");
    world_expect(1, "%0\r\n");
    world_expect(0, "+PONG\r\n");
    world_expect_nothing_sent();
}
END_TEST

/* MULTI … EXEC goes in one piece; only EXEC's reply counts. */
START_TEST(test_transaction)
{
    world_other_joins(true);
    world_say(0, "MULTI");
    world_expect(0, "+OK\r\n");
    world_say(0, "SET a 1");
    world_expect(0, "+QUEUED\r\n");
    world_expect_other("");
    world_say(0, "EXEC");
    world_expect_other("MULTI|SET a 1|EXEC");
    world_other("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    world_expect(0, "*1\r\n+OK\r\n");
}
END_TEST

/* While the leader's Redis may be out of memory it is asked before anything is queued. */
START_TEST(test_transaction_memory)
{
    world_other_joins(true);
    world.router.memory_tight = true;
    world_say_raw(0, "MULTI\r\nSET a 1\r\nSET b 1\r\nEXEC\r\n");
    world_expect_other("SETRANGE  0 ");
    world_other(":0\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n");
    world_expect_other("SETRANGE  0 ");
    world_other("-OOM command not allowed\r\n");
    world_expect(0, "-OOM command not allowed\r\n"
                    "-EXECABORT Transaction discarded because of previous errors.\r\n");
    world_expect_other("");
}
END_TEST

/* Where it was not asked, what Redis said as it was queued is EXEC's answer; of who is asked again
 * elsewhere, what the last one said. */
START_TEST(test_transaction_memory_lacks)
{
    world_other_joins(true);
    world_say_raw(0, "MULTI\r\nSET a 1\r\nEXEC\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n");
    world_expect_other("MULTI|SET a 1|EXEC");
    world_other("+OK\r\n-ERR forgotten\r\n");
    world_other_moved();
    world_other_joins(true);
    world_expect_other("MULTI|SET a 1|EXEC");
    world_other("+OK\r\n-OOM command not allowed\r\n");
    world_other("-EXECABORT Transaction discarded because of previous errors.\r\n");
    world_expect(0, "-EXECABORT Transaction discarded because of: OOM command not allowed\r\n");
}
END_TEST

/* Where too much waits for a leader to ask even that, it is queued unasked, and EXEC is refused. */
START_TEST(test_transaction_memory_unasked)
{
    world.router.memory_tight = true;
    world_join(1);
    forward_hold(world.forward, true); /* nothing expires */
    world_say_raw(1, "GET a\r\nGET b\r\nGET c\r\n");
    ck_assert_uint_eq(forward_waiting(world.forward), 3);
    world_say_raw(0, "MULTI\r\nSET a 1\r\nSET b 1\r\nEXEC\r\nECHO on\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n"
                    "-EXECABORT Transaction discarded because of: NOREPLICAS Not enough good "
                    "replicas to write.\r\n" MASTERDOWN "\r\n");
}
END_TEST

/* What is set in there at the leader is the leader's: our own Redis has not been told, so our links
 * and clients go on with what they had. */
START_TEST(test_transaction_configures_the_leader)
{
    static const char *const sets[] = {"CONFIG SET requirepass x timeout 7",
                                       "ACL SETUSER default >x"};
    uint64_t accepted = world.all.accepted;
    const struct credentials *credentials = world_credentials("");
    char text[128];

    world_other_joins(true);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        (void)snprintf(text, sizeof text, "MULTI\r\n%s\r\nEXEC\r\n", sets[i]);
        world_say_raw(0, text);
        world_expect_other("SETRANGE  0 "); /* it may have set maxmemory */
        world_other(":0\r\n");
        world_expect(0, "+OK\r\n+QUEUED\r\n");
        (void)snprintf(text, sizeof text, "MULTI|%s|EXEC", sets[i]);
        world_expect_other(text);
        world_other("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
        world_expect(0, "*1\r\n+OK\r\n");
        ck_assert_str_eq(credentials->password, "");
        ck_assert(!world.all.auth_required);
    }
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 0);
    world.router.memory_tight = false;
    world_say_raw(0, "MULTI\r\nCONFIG RESETSTAT\r\nCONFIG GET timeout\r\nEXEC\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    world_expect_other("MULTI|CONFIG RESETSTAT|CONFIG GET timeout|EXEC");
    world.all.accepted = accepted + 1;
    world_other("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n"
                "*2\r\n$7\r\ntimeout\r\n$1\r\n7\r\n");
    world_expect(0, "*2\r\n+OK\r\n*2\r\n$7\r\ntimeout\r\n$1\r\n7\r\n");
    ck_assert_uint_eq(world.all.accepted, accepted + 1);
}
END_TEST

/* Nothing of a client that has not authenticated is passed on. */
START_TEST(test_authentication)
{
    world_other_joins(true);
    world.router.config.password = "sesame";
    world.all.auth_required = true;
    world_join(1);
    world_say(1, "SET a 1");
    world_expect(1, "-NOAUTH Authentication required.\r\n");
    world_say(1, "AUTH wrong");
    (void)world_hear(1);
    world_say(1, "GET a");
    world_expect(1, "-NOAUTH Authentication required.\r\n");
    world_expect_other("");
    world_say(1, "AUTH sesame");
    world_expect(1, "+OK\r\n");
    world_say(1, "GET a");
    world_expect_other("GET a");
    world_other("$-1\r\n");
    world_expect(1, "$-1\r\n");
}
END_TEST

/* ---- links of a client's own ---- */

static void leader_takes_links(void)
{
    private_target(world.forward_privates, "127.0.0.1", world.other_port);
}

/* What blocks goes over a link that the client has for itself, marked like the others; what comes
 * behind waits until it is answered, since its order must hold. */
START_TEST(test_blocking)
{
    leader_takes_links();
    world_say(0, "SELECT 2");
    world_expect(0, "+OK\r\n");
    world_say(0, "BLPOP l 0");
    world_other_link();
    world_expect_other("SELECT 2|BLPOP l 0");
    world_say(0, "LLEN l");
    world_expect_other("");
    int link = world.other;
    world.other = -1;
    world_other_joins(true);
    int shared = world.other;
    world_expect_other("");
    world.other = link;
    world_other("+OK\r\n*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    world_expect(0, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    world.other = shared;
    world_expect_other("SELECT 2|LLEN l");
    world_other("+OK\r\n:0\r\n");
    world_expect(0, ":0\r\n");
    (void)close(link);
}
END_TEST

/* WAIT is the leader's to answer. It may block: over a link of the client's own, behind all that
 * the client has asked, which was answered. WAITAOF likewise, though the engine does not know it.
 */
START_TEST(test_wait)
{
    leader_takes_links();
    world_say(0, "WAIT x 0");
    world_expect(0, "-ERR value is not an integer or out of range\r\n");
    world_say_raw(0, "WAIT 1 0\r\nWAITAOF 1 1 0\r\n");
    world_other_link();
    world_expect_other("WAIT 1 0");
    ck_assert(client_is_blocked(world.clients[0]));
    world_other(":3\r\n");
    world_expect(0, ":3\r\n");
    world_expect_other("WAITAOF 1 1 0");
    world_other("*2\r\n:1\r\n:3\r\n");
    world_expect(0, "*2\r\n:1\r\n:3\r\n");
}
END_TEST

/* What a client has said of HOLDFAST SYNC goes with its requests, over every kind of link to the
 * proxy that leads, and not to a Redis. */
START_TEST(test_sync)
{
#define SYNC_OFF "HOLDFAST SYNC OFF"
    leader_takes_links();
    world_other_joins(true);
    world_join(1);
    world_say(0, SYNC_OFF);
    world_expect(0, "+OK\r\n");
    world_say(0, "SET a 1");
    world_expect_other(SYNC_OFF "|SET a 1");
    world_say(0, "SET a 2");
    world_expect_other("SET a 2");
    world_say(1, "SET a 3");
    world_expect_other("HOLDFAST SYNC ON|SET a 3");
    world_other("+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
    world_expect(0, "+OK\r\n+OK\r\n");
    world_expect(1, "+OK\r\n");
    int shared = world.other;
    world.other = -1;
    world_say(0, "BLPOP l 0");
    world_other_link();
    world_expect_other(SYNC_OFF "|BLPOP l 0");
    world_other("+OK\r\n*-1\r\n");
    world_expect(0, "*-1\r\n");
    (void)close(shared);
    world_join(0);
    world_other_joins(false);
    world_say_raw(0, SYNC_OFF "\r\nREADONLY\r\nGET a\r\n");
    world_expect_other("GET a");
}
END_TEST

/* A proxy that doesn't serve has executed nothing: an error is the truth, and the client stays. */
START_TEST(test_blocking_moved)
{
    leader_takes_links();
    world_say(0, "BLPOP l 0");
    world_other_link();
    world_expect_other("BLPOP l 0");
    world_other_moved();
    world_expect(0, "-EXPIRED\r\n");
    world_say(0, "PING");
    world_expect(0, "");
    world_waits_too_long();
    world_expect(0, "-EXPIRED\r\n");
}
END_TEST

/* While nobody leads, it waits; for a while, and then not any more. */
START_TEST(test_blocking_waits)
{
    world_say(0, "BLPOP l 0");
    world_say(0, "PING");
    world_turn();
    leader_takes_links();
    world_other_link();
    world_expect_other("BLPOP l 0");
    world_join(1);
    private_target(world.forward_privates, "", 0);
    world_say(1, "BLPOP l 0");
    world_expect(1, "");
    world_waits_too_long();
    world_expect(1, MASTERDOWN "\r\n");
}
END_TEST

/* An EXEC that waited in vain for a link to the leader has ended its transaction. */
START_TEST(test_transaction_waits)
{
    world_say_raw(0, "MULTI\r\nHELLO 2\r\nEXEC\r\nEXEC\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n");
    world_waits_too_long();
    world_expect(0, "-EXECABORT Transaction discarded because of: MASTERDOWN "
                    "Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
                    "-ERR EXEC without MULTI\r\n");
}
END_TEST

/* WATCH keeps its link to the leader until EXEC. If that ends, so does the client: what it watched
 * is not watched any more. */
START_TEST(test_watch)
{
    leader_takes_links();
    world_say(0, "WATCH a");
    world_other_link();
    world_expect_other("WATCH a");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "MULTI");
    world_say(0, "INCR a");
    world_say(0, "EXEC");
    world_expect_other("MULTI|INCR a|EXEC");
    world_other("+OK\r\n+QUEUED\r\n*-1\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n*-1\r\n");
    world_say(0, "WATCH b");
    world_expect_other("WATCH b");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n");
    private_target(world.forward_privates, "127.0.0.2", 1);
    world_expect_closed(0);
}
END_TEST

/* Another ACL user than that of the links is the leader's to judge, over a link of the client's
 * own, and so is all that this user says; what is answered here is put to it first. */
START_TEST(test_users)
{
    leader_takes_links();
    world_say(0, "AUTH joe bad");
    world_other_link();
    world_expect_other("AUTH joe bad");
    world_other("-WRONGPASS no\r\n");
    world_expect(0, "-WRONGPASS no\r\n");
    world_say(0, "AUTH joe pw");
    world_expect_other("AUTH joe pw");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "GET a");
    world_expect_other("GET a");
    world_other("-NOPERM no\r\n");
    world_expect(0, "-NOPERM no\r\n");
    int own = world.other;
    world.other = -1;
    world_other_joins(true);
    world_say(0, "CLIENT ID");
    world_expect_other("ACL DRYRUN joe CLIENT ID");
    world_other("+OK\r\n");
    ck_assert_int_eq(*world_hear(0), ':');
    world_say(0, "CLIENT ID");
    world_expect_other("ACL DRYRUN joe CLIENT ID");
    world_other("$4\r\nnope\r\n");
    int shared = world.other;
    world.other = own; /* where it is refused */
    world_expect_other("CLIENT ID");
    world_other("-NOPERM no\r\n");
    world_expect(0, "-NOPERM no\r\n");
    (void)close(shared);
}
END_TEST

/* ---- nobody leads ---- */

/* Requests wait for somebody to lead, and are sent then. */
START_TEST(test_waits)
{
    world_say(0, "SET a 1");
    world_say(0, "GET a");
    world_expect(0, "");
    world_other_joins(true);
    world_expect_other("SET a 1|GET a");
    world_other("+OK\r\n$1\r\n1\r\n");
    world_expect(0, "+OK\r\n$1\r\n1\r\n");
}
END_TEST

/* Not for ever; they were never sent, so an error is the truth. */
START_TEST(test_waits_too_long)
{
    world_say(0, "SET a 1");
    world_expect(0, "");
    world_waits_too_long();
    world_expect(0, "-EXPIRED\r\n");
    ck_assert_uint_eq(forward_count(world.forward), 0);
    ck_assert_uint_eq(forward_bytes(world.forward), 0);
}
END_TEST

/* Nor too many of them, nor too much: those are refused at once. */
START_TEST(test_waits_too_much)
{
    static char big[1200] = "SET a ";

    world_join(1);
    world_join(2);
    world_say(0, "GET a");
    world_say(0, "GET a");
    world_say(0, "GET a");
    world_say(1, "GET a");
    world_expect(1, MASTERDOWN "\r\n");
    world_say(1, "SET a 1");
    world_expect(1, "-NOREPLICAS Not enough good replicas to write.\r\n");
    world_say_raw(1, "MULTI\r\nGET a\r\nEXEC\r\n");
    world_expect(1, "+OK\r\n+QUEUED\r\n-EXECABORT Transaction discarded because of: "
                    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to "
                    "'no'.\r\n");
    world_waits_too_long();
    world_expect(0, "-EXPIRED\r\n-EXPIRED\r\n-EXPIRED\r\n");
    memset(big + 6, 'x', sizeof big - 7);
    world_say(2, big);
    world_say(1, "SET a 1");
    world_expect(1, "-NOREPLICAS Not enough good replicas to write.\r\n");
    ck_assert_uint_eq(forward_waiting(world.forward), 1);
}
END_TEST

/* Where there are no other proxies, requests are refused at once, as ever. */
START_TEST(test_alone)
{
    world.router.others = false;
    world_say(0, "GET a");
    world_expect(0, "-LOADING Redis is loading the dataset in memory\r\n");
}
END_TEST

/* ---- the leader goes ---- */

/* What was sent and has no answer is unknown, and its client closed; a read is sent again; what was
 * not sent waits. */
START_TEST(test_lost)
{
    world_other_joins(true);
    world_join(1);
    world_say(0, "SET a 1");
    world_say(1, "GET a");
    world_expect_other("SET a 1|GET a");
    (void)close(world.other);
    world.other = -1;
    world_expect_closed(0);
    world_say(1, "SET b 2");
    world_other_joins(true);
    world_expect_other("GET a|SET b 2");
    world_other("$1\r\n1\r\n+OK\r\n");
    world_expect(1, "$1\r\n1\r\n+OK\r\n");
}
END_TEST

/* What is only asked in front of a request is asked again, of who leads next. */
START_TEST(test_lost_probe)
{
    static const char *const probes[][2] = {
        {"MULTI\r\nSET a 1\r\n", "SETRANGE  0 "},
        {"DISCARD\r\nDEBUG POPULATE 5\r\n", "DEBUG POPULATE 0"}};

    world.router.memory_tight = true;
    world_other_joins(true);
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        world_say_raw(0, probes[i][0]);
        world_expect_other(probes[i][1]);
        world_expect(0, "+OK\r\n");
        (void)close(world.other);
        world.other = -1;
        world_expect(0, "");
        world_other_joins(true);
        world_expect_other(probes[i][1]);
        world_other(i == 0 ? ":0\r\n" : "-ERR DEBUG command not allowed.\r\n");
        world_expect(0, i == 0 ? "+QUEUED\r\n" : "-ERR DEBUG command not allowed.\r\n");
    }
}
END_TEST

/* A proxy that says that it doesn't serve has executed nothing: all of it is sent elsewhere. */
START_TEST(test_moved)
{
    world_other_joins(true);
    world_say(0, "SET a 1");
    world_say(0, "SET b 2");
    world_expect_other("SET a 1|SET b 2");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_other_moved();
    world_other_joins(true);
    world_expect_other("SET b 2");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n");
}
END_TEST

/* Another one leads: what the old one was sent is answered by the old one, and only then does the
 * link go elsewhere, with the rest. */
START_TEST(test_leaves)
{
    world_other_joins(true);
    world_say(0, "SET a 1");
    world_expect_other("SET a 1");
    forward_aim(world.forward, FORWARD_THERE, "127.0.0.2", world.other_port, clock_now_ns());
    world_say(0, "SET b 2");
    world_expect_other("");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_other_joins(true);
    world_expect_other("SET b 2");
    world_other("+OK\r\n");
    world_expect(0, "+OK\r\n");
}
END_TEST

/* An old leader that says nothing any more is not waited for much longer. */
START_TEST(test_leaves_frozen)
{
    world_other_joins(true);
    world_join(1);
    world_say(0, "SET a 1");
    world_say(1, "GET a");
    world_expect_other("SET a 1|GET a");
    forward_aim(world.forward, FORWARD_THERE, "127.0.0.2", world.other_port, clock_now_ns());
    world_expect(0, "");
    forward_tick(world.forward, clock_now_ns() + (WORLD_LEAVE_MS + 1) * CLOCK_NS_PER_MS);
    world_expect_closed(0);
    world_other_joins(true);
    world_expect_other("GET a");
}
END_TEST

/* We are the one who leads now: what waits is executed here, in order, before what comes later. */
START_TEST(test_ours)
{
    world_say(0, "SELECT 1");
    world_expect(0, "+OK\r\n");
    world_say(0, "SET a 1");
    world_say(0, "MULTI");
    world_say(0, "INCR a");
    world_say(0, "EXEC");
    world.router.service = SERVICE_FULL;
    world.hold = true;
    world_say(0, "GET a"); /* must not overtake */
    world.hold = false;
    forward_aim(world.forward, FORWARD_US, NULL, 0, clock_now_ns());
    world_expect_sent("SELECT 1|SET a 1|MULTI|INCR a|EXEC|GET a");
    world_redis("+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:2\r\n$1\r\n2\r\n");
    world_expect(0, "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:2\r\n$1\r\n2\r\n");
    world_asks(0, "GET a", "$1\r\n2\r\n");
}
END_TEST

/* What is ours to heed (CONFIG SET of what clients may, or of our links' password) waits as well,
 * and is heeded if it is we who lead then, inside MULTI, too. */
START_TEST(test_ours_to_heed)
{
    world_say(0, "CONFIG SET timeout 7");
    world_expect(0, "");
    ck_assert_uint_eq(forward_waiting(world.forward), 0);
    world.router.service = SERVICE_FULL;
    world_expect(0, "+OK\r\n");
    world_expect_nothing_sent();
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 7);
    world.router.service = SERVICE_LOADING;
    world_say_raw(0, "MULTI\r\nCONFIG SET timeout 8 maxmemory 1\r\nEXEC\r\n");
    world_expect(0, "+OK\r\n");
    world_links_wait_too_long(); /* to ask whether there is memory */
    world_expect(0, "+QUEUED\r\n");
    world.router.service = SERVICE_FULL;
    world_expect_sent_bare("MULTI|CONFIG SET maxmemory 1|EXEC");
    world_redis("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    world_expect(0, "*1\r\n+OK\r\n");
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 8);
}
END_TEST

/* Somebody else leads then, or nobody. */
START_TEST(test_others_to_heed)
{
    world_say(0, "CONFIG SET timeout 7");
    world_say(0, "GET a");
    world_expect(0, "");
    world_other_joins(true);
    world_expect_other("CONFIG SET timeout 7|GET a");
    world_other("+OK\r\n$-1\r\n");
    world_expect(0, "+OK\r\n$-1\r\n");
    ck_assert(!world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].set);
    forward_aim(world.forward, FORWARD_NOWHERE, NULL, 0, clock_now_ns());
    forward_cut(world.forward, "the test's leader has gone");
    world_say(0, "ACL SETUSER x on");
    world_expect(0, "");
    world_waits_too_long();
    world_expect(0, MASTERDOWN "\r\n");
}
END_TEST

/* It was sent to who led, who says that he doesn't, and now it is us: our Redis is not told what
 * this proxy has not heeded. What else was sent is executed here. */
START_TEST(test_ours_to_refuse)
{
    world_other_joins(true);
    world_join(1);
    world_say_raw(0, "MULTI\r\nACL SETUSER default >x\r\nEXEC\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n");
    world_expect_other("MULTI|ACL SETUSER default >x|EXEC");
    world_say_raw(1, "CONFIG SET maxclients 7\r\nGET a\r\n");
    world_expect_other("CONFIG SET maxclients 7|GET a");
    world_other_moved();
    world.router.service = SERVICE_FULL;
    forward_aim(world.forward, FORWARD_US, NULL, 0, clock_now_ns());
    world_expect_sent("GET a");
    world_redis("$-1\r\n");
    world_expect(0, "-EXPIRED\r\n");
    world_expect(1, "-EXPIRED\r\n$-1\r\n");
}
END_TEST

/* While clients are paused (CLIENT PAUSE), what waited for a leader is not executed by us either,
 * and does not expire: it waits for the end of the pause. */
START_TEST(test_ours_held)
{
    world_say(0, "SET a 1");
    forward_hold(world.forward, true);
    world.router.service = SERVICE_FULL;
    forward_aim(world.forward, FORWARD_US, NULL, 0, clock_now_ns());
    forward_tick(world.forward, clock_now_ns() + 10 * CLOCK_NS_PER_S);
    ck_assert_uint_eq(forward_next_ns(world.forward), UINT64_MAX);
    world_expect_nothing_sent();
    forward_hold(world.forward, false);
    world_expect_sent("SET a 1");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward");
    TCase *tc = tcase_create("forward");

    tcase_add_checked_fixture(tc, world_setup_other_leads, world_teardown);
    tcase_add_test(tc, test_forwarded);
    tcase_add_test(tc, test_transaction);
    tcase_add_test(tc, test_transaction_memory);
    tcase_add_test(tc, test_transaction_memory_lacks);
    tcase_add_test(tc, test_transaction_memory_unasked);
    tcase_add_test(tc, test_transaction_configures_the_leader);
    tcase_add_test(tc, test_wait);
    tcase_add_test(tc, test_sync);
    tcase_add_test(tc, test_authentication);
    tcase_add_test(tc, test_blocking);
    tcase_add_test(tc, test_blocking_moved);
    tcase_add_test(tc, test_blocking_waits);
    tcase_add_test(tc, test_transaction_waits);
    tcase_add_test(tc, test_watch);
    tcase_add_test(tc, test_users);
    tcase_add_test(tc, test_waits);
    tcase_add_test(tc, test_waits_too_long);
    tcase_add_test(tc, test_waits_too_much);
    tcase_add_test(tc, test_alone);
    tcase_add_test(tc, test_lost);
    tcase_add_test(tc, test_lost_probe);
    tcase_add_test(tc, test_moved);
    tcase_add_test(tc, test_leaves);
    tcase_add_test(tc, test_leaves_frozen);
    tcase_add_test(tc, test_ours);
    tcase_add_test(tc, test_ours_held);
    tcase_add_test(tc, test_ours_to_heed);
    tcase_add_test(tc, test_ours_to_refuse);
    tcase_add_test(tc, test_others_to_heed);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
