/* MULTI … EXEC: queued here, sent in one piece. Each text is what redis-server 7.0.15 says to the
 * same words. */
#include "proxy/clients/transaction.h"

#include "common/mem.h"

#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ABORTED "-EXECABORT Transaction discarded because of previous errors.\r\n"
#define QUEUED  "+QUEUED\r\n"
#define OK      "+OK\r\n"

#define EXPECT_ALL(exchanges) world_expect_all(exchanges, sizeof exchanges / sizeof *exchanges)

/* What is wrong with MULTI, EXEC, DISCARD and WATCH themselves, and what it does to the
 * transaction. */
START_TEST(test_errors)
{
    static const struct exchange exchanges[] = {
        {"EXEC", "-ERR EXEC without MULTI\r\n"},
        {"DISCARD", "-ERR DISCARD without MULTI\r\n"},
        {"MULTI", OK},
        {"MULTI", "-ERR MULTI calls can not be nested\r\n"},
        {"WATCH a", "-ERR WATCH inside MULTI is not allowed\r\n"},
        {"DISCARD", OK},
        {"MULTI", OK},
        {"EXEC foo", "-EXECABORT Transaction discarded because of: wrong number of arguments for "
                     "'exec' command\r\n"},
        {"EXEC", "-ERR EXEC without MULTI\r\n"},
        {"MULTI", OK},
        {"DISCARD a", "-ERR wrong number of arguments for 'discard' command\r\n"},
        {"EXEC", ABORTED},
        {"MULTI", OK},
        {"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"SET a b", QUEUED},
        {"EXEC", ABORTED},
        {"MULTI", OK},
        {"SET a b", QUEUED},
        {"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"},
        {"EXEC", ABORTED},
        {"MULTI", OK},
        {"SET a", "-ERR wrong number of arguments for 'set' command\r\n"},
        {"DISCARD", OK},
        {"EXEC", "-ERR EXEC without MULTI\r\n"},
    };
    EXPECT_ALL(exchanges);
    ck_assert_ptr_null(world.clients[0]->transaction);
}
END_TEST

/* What may not be queued: Redis does not take it, or who the client is then could not be told. */
START_TEST(test_refused)
{
    static const char *const requests[] = {"SYNC", "SHUTDOWN", "SAVE", "HELLO 3 AUTH a b AUTH c d"};

    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        world_say(0, "MULTI");
        world_expect(0, OK);
        world_say(0, requests[i]);
        const char *answer = world_hear(0);
        ck_assert_msg(strncmp(answer, "-ERR ", 5) == 0, "%s: %s", requests[i], answer);
        world_say(0, "EXEC");
        world_expect(0, ABORTED);
    }
    world_expect_nothing_sent();
}
END_TEST

/* While Redis may be out of memory it is asked before anything is queued: what it says goes to the
 * client, and spoils the transaction. It need not be allowed the command that asks. */
START_TEST(test_memory)
{
    static const char probe[] = "SETRANGE  0 ", oom[] = "-OOM command not allowed\r\n";

    world_say(0, "CONFIG SET maxmemory 1"); /* from now on nobody knows */
    world_expect_sent_bare("CONFIG SET maxmemory 1");
    world_redis(OK);
    world_expect(0, OK);
    ck_assert(world.router.memory_tight);
    world_say(0, "MULTI");
    world_expect(0, OK);
    world_say_raw(0, "GET a\r\nSET b c\r\nSET d e\r\nEXEC\r\n");
    world_expect_sent_bare(probe);
    world_redis(":0\r\n");
    world_expect(0, QUEUED);
    world_expect_sent_bare(probe);
    world_redis("-NOPERM this user has no permissions to run the 'setrange' command\r\n");
    world_expect(0, QUEUED);
    world_expect_sent_bare(probe);
    world_redis(oom);
    world_expect(0, "-OOM command not allowed\r\n" ABORTED);
    world_say_raw(0, "MULTI\r\nSET a b\r\nDISCARD\r\n");
    world_expect_sent_bare(probe);
    world_redis(oom);
    world_expect(0, "+OK\r\n-OOM command not allowed\r\n+OK\r\n");
    world.router.memory_tight = false;
    world_say_raw(0, "MULTI\r\nSET a b\r\n");
    world_expect(0, OK QUEUED);
    world_expect_nothing_sent();
}
END_TEST

/* What is queued when Redis is told to do with less memory goes to Redis before that, which still
 * queues it; what comes behind follows with EXEC. */
START_TEST(test_shipped)
{
    world_join(1);
    world_join(2);
    world_say_raw(0, "MULTI\r\nGET a\r\nPING\r\n");
    world_expect(0, OK QUEUED QUEUED);
    world_say_raw(2, "MULTI\r\nCLIENT ID\r\n"); /* only we could say what that is */
    world_expect(2, OK QUEUED);
    world_say(1, "CONFIG SET maxmemory 1");
    world_link_up(0);
    world_link_expect_bare(0, "MULTI|GET a|PING");
    world_expect_nothing_sent();
    world_link_redis_raw(0, OK QUEUED QUEUED);
    world_expect_sent_bare("CONFIG SET maxmemory 1");
    world_redis(OK);
    world_expect(1, OK);
    world.router.memory_tight = false;
    world_say(1, "CONFIG SET timeout 0 maxmemory-policy noeviction"); /* it is there already */
    world_expect_sent_bare("CONFIG SET maxmemory-policy noeviction");
    world_redis(OK);
    world_expect(1, OK);
    world.router.memory_tight = false;
    world_say(0, "SET b c");
    world_expect(0, QUEUED);
    world_say(0, "EXEC");
    world_link_expect_bare(0, "SET b c|EXEC");
    world_link_redis_raw(0, QUEUED "*3\r\n$-1\r\n+PONG\r\n+OK\r\n");
    world_expect(0, "*3\r\n$-1\r\n+PONG\r\n+OK\r\n");
    ck_assert_ptr_null(world.clients[0]->link);
    world_asks(0, "GET a", "$-1\r\n");
}
END_TEST

/* What Redis does not queue there, or loses with the link, is as if it had not been sent; what its
 * client discards, or leaves, Redis does as well. */
START_TEST(test_shipped_in_vain)
{
    enum { OOM, LOST, DISCARDED, GONE, LOST_EARLY };

    world_join(1);
    for (int how = OOM; how <= LOST_EARLY; how++) {
        world_say_raw(0, "MULTI\r\nGET a\r\n");
        world_expect(0, OK QUEUED);
        world_say(1, "CONFIG SET maxmemory 1");
        world_link_up(0);
        world_link_expect_bare(0, "MULTI|GET a");
        if (how == GONE) {
            world_join(0);
        }
        if (how == LOST_EARLY) {
            world_link_down(0);
            world_join(0);
        } else {
            world_link_redis_raw(0, how == OOM ? OK "-OOM no memory\r\n" : OK QUEUED);
        }
        if (how == LOST) {
            world_link_down(0);
        }
        world_expect_sent_bare("CONFIG SET maxmemory 1");
        world_redis(OK);
        world_expect(1, OK);
        world.router.memory_tight = false;
        if (how == DISCARDED) {
            world_say(0, "DISCARD");
            world_expect(0, OK);
        }
        if (how == OOM || how == DISCARDED) {
            world_link_expect_bare(0, "DISCARD");
            world_link_redis_raw(0, OK);
        }
        if (how == OOM || how == LOST) {
            world_say(0, "EXEC");
            world_expect_sent("MULTI|GET a|EXEC");
            world_redis(OK QUEUED "*1\r\n$-1\r\n");
            world_expect(0, "*1\r\n$-1\r\n");
        }
        ck_assert_ptr_null(world.clients[0]->link);
        world_asks(0, "GET a", "$-1\r\n");
    }
}
END_TEST

/* What no transaction takes is refused as such, also if nobody may say it at all. */
START_TEST(test_never)
{
    static const struct exchange exchanges[] = {
        {"MULTI", OK},
        {"SHUTDOWN", "-ERR Command not allowed inside a transaction\r\n"},
        {"EXEC", ABORTED},
        {"SHUTDOWN", "-ERR SHUTDOWN is disabled by the proxy\r\n"},
    };
    EXPECT_ALL(exchanges);
}
END_TEST

/* What is the proxy's to answer is carried out when Redis has carried out the rest, and answered in
 * its place; not if Redis has not. */
START_TEST(test_locals)
{
    static const char sent[] = "MULTI|PING|SET a 1|PING|PING|EXEC";

    for (int executed = 0; executed < 2; executed++) {
        world_say_raw(0, "MULTI\r\nCLIENT SETNAME joe\r\nSET a 1\r\nCLIENT ID\r\nCLIENT GETNAME\r\n"
                         "EXEC\r\nCLIENT GETNAME\r\n");
        world_expect_sent(sent);
        world_expect(0, OK QUEUED QUEUED QUEUED QUEUED); /* the rest waits for EXEC */
        ck_assert_ptr_null(world.clients[0]->name);
        if (executed != 0) {
            world_redis(OK QUEUED QUEUED QUEUED QUEUED
                        "*4\r\n+PONG\r\n*2\r\n:1\r\n$2\r\nab\r\n+PONG\r\n+PONG\r\n");
            world_expect(0, "*4\r\n+OK\r\n*2\r\n:1\r\n$2\r\nab\r\n:1\r\n$3\r\njoe\r\n"
                            "$3\r\njoe\r\n");
        } else {
            world_redis(OK QUEUED QUEUED QUEUED QUEUED "*-1\r\n");
            world_expect(0, "*-1\r\n$-1\r\n");
        }
    }
}
END_TEST

/* What changes the connection goes over a link of the client's own, in its place, and counts when
 * Redis has done it; nobody else gets that link. */
START_TEST(test_own_link)
{
    world_say_raw(0, "MULTI\r\nHELLO 3 SETNAME holdfast1\r\nAUTH joe pw\r\nGET a\r\n"
                     "CLIENT GETNAME\r\nAUTH default x\r\nCLIENT TRACKING ON\r\nEXEC\r\n");
    world_expect(0, OK QUEUED QUEUED QUEUED QUEUED QUEUED QUEUED);
    world_link_up(0);
    world_link_expect_bare(0, "MULTI|HELLO 3 SETNAME client:holdfast1|AUTH joe pw|GET a|PING|"
                              "AUTH default |CLIENT TRACKING ON|EXEC");
    ck_assert_uint_eq(world.clients[0]->resp, 2);
    world_link_redis_raw(0, OK QUEUED QUEUED QUEUED QUEUED QUEUED QUEUED
                         "*6\r\n%0\r\n+OK\r\n_\r\n-NOPERM ping\r\n+OK\r\n+OK\r\n");
    const char *heard = world_hear(0);
    ck_assert_int_eq(strncmp(heard, "*6\r\n%7\r\n$6\r\nserver\r\n", 20), 0);
    ck_assert_ptr_nonnull(strstr(heard, "\r\n*0\r\n+OK\r\n_\r\n$9\r\nholdfast1\r\n+OK\r\n+OK\r\n"));
    ck_assert_uint_eq(world.clients[0]->resp, 3);
    ck_assert(world.clients[0]->tracking);
    ck_assert_ptr_null(world.clients[0]->user);
    ck_assert_uint_eq(private_kept(world.clients[0]->link), PRIVATE_TRACKING);
    world_say(0, "MULTI");
    world_say(0, "CLIENT TRACKING OFF");
    world_say(0, "AUTH default x");
    world_say(0, "EXEC");
    world_expect(0, OK QUEUED QUEUED);
    world_link_expect_bare(0, "HELLO 3|MULTI|CLIENT TRACKING OFF|AUTH default |EXEC");
    world_link_redis_raw(0, "%0\r\n" OK QUEUED QUEUED "*2\r\n+OK\r\n+OK\r\n");
    world_expect(0, "*2\r\n+OK\r\n+OK\r\n");
    ck_assert_ptr_null(world.clients[0]->link);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

/* EXEC that gets a link of its own, and then can't be sent as another one is wanted for REDIRECT
 * and none is left, or is not there yet: it gives back what it got. */
START_TEST(test_link_for_nothing)
{
    static const char words[] = "MULTI\r\nCLIENT TRACKING ON REDIRECT 2\r\nEXEC\r\n";

    world_join(1);
    world_join(2);
    world_say(2, "BLPOP a 0");
    world_link_up(0);
    world_link_expect_sent(0, "BLPOP a 0");
    ck_assert_uint_eq(private_lent(world.privates), 1);
    world_say_raw(0, words);
    world_expect(0, OK QUEUED
                 "-EXECABORT Transaction discarded because of: max number of private connections "
                 "reached, see limits.private_max\r\n");
    ck_assert_ptr_null(world.clients[0]->link);
    ck_assert_uint_eq(private_lent(world.privates), 1);
    world_link_redis(0, "*-1\r\n");
    world_expect(2, "*-1\r\n");
    world_say_raw(0, words);
    world_expect(0, OK QUEUED);
    ck_assert_ptr_nonnull(world.clients[1]->redirect);
    ck_assert_uint_eq(private_lent(world.privates), 1);
}
END_TEST

/* The link's own user comes in with the proxy's password alone, not with the one that Redis knows:
 * Redis is not asked about another one. */
START_TEST(test_own_password)
{
    static const char wrong[] =
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    struct buf expected = BUF_INIT;

    world.router.config.password = "pw";
    world_say_raw(0, "MULTI\r\nAUTH default sesame\r\nAUTH sesame\r\nAUTH pw\r\n"
                     "HELLO 3 SETNAME me AUTH default sesame\r\nGET a\r\nEXEC\r\n");
    world_expect(0, OK QUEUED QUEUED QUEUED QUEUED QUEUED);
    world_link_up(0);
    world_link_expect_bare(0, "MULTI|PING|PING|AUTH default |PING|GET a|EXEC");
    world_link_redis_raw(0, OK QUEUED QUEUED QUEUED QUEUED QUEUED
                         "*5\r\n+PONG\r\n+PONG\r\n+OK\r\n+PONG\r\n$-1\r\n");
    buf_printf(&expected, "*5\r\n%s%s+OK\r\n%s$-1\r\n", wrong, wrong, wrong);
    buf_append(&expected, "", 1);
    world_expect(0, (const char *)buf_head(&expected));
    buf_release(&expected);
    ck_assert_uint_eq(world.clients[0]->resp, 2);
    ck_assert_str_eq(world.clients[0]->name, "me"); /* it stood before */
}
END_TEST

/* Who the client is afterwards is what Redis said of the words before it, error or not. */
START_TEST(test_users)
{
    world_say_raw(0, "MULTI\r\nAUTH joe bad\r\nHELLO 3 SETNAME one AUTH ann bad SETNAME two\r\n"
                     "HELLO 3 AUTH bob pw SETNAME three NOSUCH\r\nHELLO 4\r\nEXEC\r\n");
    world_expect(0, OK QUEUED QUEUED QUEUED QUEUED);
    world_link_up(0);
    world_link_expect_bare(0, "MULTI|AUTH joe bad|HELLO 3 SETNAME one AUTH ann bad SETNAME two|"
                              "HELLO 3 AUTH bob pw SETNAME three NOSUCH|HELLO 4|EXEC");
    world_link_redis_raw(0, OK QUEUED QUEUED QUEUED QUEUED
                         "*4\r\n-WRONGPASS x\r\n-WRONGPASS x\r\n-ERR Syntax\r\n-NOPROTO x\r\n");
    world_expect(0, "*4\r\n-WRONGPASS x\r\n-WRONGPASS x\r\n-ERR Syntax\r\n-NOPROTO x\r\n");
    ck_assert_str_eq(world.clients[0]->user, "bob");
    ck_assert_str_eq(world.clients[0]->name, "three");
    ck_assert_uint_eq(world.clients[0]->resp, 2);
}
END_TEST

/* WAIT asks for what was written before the transaction; and does not wait. */
START_TEST(test_wait)
{
    world_say_raw(0, "MULTI\r\nSET a 1\r\nWAIT 9 0\r\nWAIT x 0\r\nWAITAOF 1 3 0\r\nEXEC\r\n");
    world_expect(0, OK QUEUED QUEUED QUEUED QUEUED);
    world_expect_sent("MULTI|SET a 1|PING|PING|PING|EXEC");
    world_redis(OK QUEUED QUEUED QUEUED QUEUED "*4\r\n+OK\r\n+PONG\r\n+PONG\r\n+PONG\r\n");
    world_expect(0, "*4\r\n+OK\r\n:3\r\n-ERR value is not an integer or out of range\r\n"
                    "*2\r\n:1\r\n:3\r\n");
}
END_TEST

/* CLIENT REPLY keeps back what stands behind it in the array, as Redis does. */
START_TEST(test_reply)
{
    world_say_raw(0, "MULTI\r\nSET a 1\r\nCLIENT REPLY OFF\r\nGET a\r\nCLIENT ID\r\n"
                     "CLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nEXEC\r\nGET b\r\nPING\r\n");
    world_expect_sent("MULTI|SET a 1|PING|GET a|PING|PING|PING|EXEC");
    world_redis(OK QUEUED QUEUED QUEUED QUEUED QUEUED QUEUED
                "*6\r\n+OK\r\n+PONG\r\n$1\r\n1\r\n+PONG\r\n+PONG\r\n+PONG\r\n");
    world_expect_sent("GET b|PING");
    world_redis("$-1\r\n+PONG\r\n");
    world_expect(0, OK QUEUED QUEUED QUEUED QUEUED QUEUED QUEUED "*6\r\n+OK\r\n+OK\r\n+PONG\r\n");
}
END_TEST

/* A SUBSCRIBE begins when EXEC is answered, and that waits for it. */
START_TEST(test_subscribes)
{
    static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    char expected[256];

    tracker_stream_at(world.tracker, 7);
    tracker_commit(world.tracker, 7);
    world_say_raw(0, "MULTI\r\nSUBSCRIBE c\r\nGET a\r\nEXEC\r\n");
    world_expect_sent("MULTI|PING|GET a|EXEC");
    world_expect(0, OK QUEUED QUEUED);
    world_redis(OK QUEUED QUEUED "*2\r\n+PONG\r\n$-1\r\n");
    world_link_up(0);
    world_link_expect_sent(0, "HELLO 3|SUBSCRIBE c|PING");
    world_expect(0, "");
    world_link_redis(0, "%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+PONG\r\n");
    (void)snprintf(expected, sizeof expected, "*2\r\n%s$-1\r\n", subscribed);
    world_expect(0, expected);
    world_say(0, "GET a");
    ck_assert_int_eq(strncmp(world_hear(0), "-ERR Can't execute 'get'", 24), 0);
}
END_TEST

/* Nothing reaches Redis before EXEC, then all of it in one piece; the reply is EXEC's. */
START_TEST(test_exec)
{
    world_join(1);
    world_say(0, "MULTI");
    world_say(0, "SET a 1");
    world_say(0, "GET b");
    world_expect(0, OK QUEUED QUEUED);
    ck_assert_int_eq(transaction_length(world.clients[0]), 2);
    world_expect_nothing_sent();
    world.hold = true;
    world_say(1, "GET x");
    world_say(0, "EXEC");
    world_say(1, "GET y");
    world.hold = false;
    ck_assert_str_eq(world_scope(0), "0:a 0:b");
    ck_assert_int_eq(transaction_length(world.clients[0]), -1);
    world_expect_sent("GET x|MULTI|SET a 1|GET b|EXEC|GET y");
    world_redis("$-1\r\n" OK QUEUED QUEUED "*2\r\n+OK\r\n$1\r\nB\r\n$1\r\nY\r\n");
    world_expect(0, "*2\r\n+OK\r\n$1\r\nB\r\n");
    world_expect(1, "$-1\r\n$1\r\nY\r\n");
}
END_TEST

/* An empty one goes to Redis too, and reveals nothing; one with an unknowable command reveals
 * everything; harmless commands add no keys. */
START_TEST(test_scope)
{
    static const struct {
        const char *commands, *scope;
    } cases[] = {
        {"", "harmless"},
        {"PING", "harmless"},
        {"PING|GET a", "0:a"},
        {"GET a|KEYS *|GET b", "keyspace"},
        {"GET a|SELECT 3|GET a|MOVE b 5", "0:a 3:a 3:b 5:b"},
        {"SELECT 16|GET a", "0:a"}, /* fails inside EXEC, and the database stays */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_join(0);
        world_say(0, "MULTI");
        for (const char *at = cases[i].commands; *at != '\0';) {
            char command[64];
            size_t len = strcspn(at, "|");
            (void)snprintf(command, sizeof command, "%.*s", (int)len, at);
            world_say(0, command);
            at += len + (at[len] == '|');
        }
        (void)world_hear(0);
        world.hold = true;
        world_say(0, "EXEC");
        ck_assert_msg(strcmp(world_scope(0), cases[i].scope) == 0, "%s: %s", cases[i].commands,
                      world_scope(0));
        world.hold = false;
        engine_stop(world.engine, "next"); /* what was to be sent is given back */
        world_teardown();
        world_setup();
    }
}
END_TEST

/* A SELECT inside counts for what follows EXEC, unless EXEC fails; what follows waits for that. */
START_TEST(test_select)
{
    world_say_raw(0, "MULTI\r\nSELECT 3\r\nEXEC\r\nGET a\r\n");
    world_expect_sent_bare("MULTI|SELECT 3|EXEC");
    world_expect(0, OK QUEUED);
    world_redis(OK QUEUED "*1\r\n+OK\r\n");
    world_expect(0, "*1\r\n+OK\r\n");
    world_expect_sent("SELECT 3|GET a");
    world_redis(OK "$-1\r\n");
    world_expect(0, "$-1\r\n");

    world_say_raw(0, "MULTI\r\nSELECT 5\r\nEXEC\r\nGET a\r\n");
    world_expect_sent_bare("MULTI|SELECT 5|EXEC");
    world_expect(0, OK QUEUED);
    world_redis(OK "-OOM\r\n-EXECABORT Transaction discarded because of previous errors.\r\n");
    /* the reason that Redis would have given to EXEC itself */
    world_expect(0, "-EXECABORT Transaction discarded because of: OOM\r\n");
    world_expect_sent("SELECT 3|GET a");
    world_redis(OK "$-1\r\n");
    world_expect(0, "$-1\r\n");
}
END_TEST

/* The service goes while a transaction is open: at queue time the command is refused, at EXEC the
 * whole, as Redis words it; what only reads may be queued longer. */
START_TEST(test_service)
{
    static const struct exchange begun[] = {{"MULTI", OK}, {"SET a b", QUEUED}};
    static const struct exchange ended[] = {
        {"EXEC", "-EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas "
                 "to write.\r\n"},
        {"MULTI", OK},
        {"SET a b", "-NOREPLICAS Not enough good replicas to write.\r\n"},
        {"EXEC", ABORTED},
    };
    static const struct exchange reading[] = {{"MULTI", OK}, {"GET a", QUEUED}};
    static const struct exchange loading[] = {
        {"EXEC",
         "-EXECABORT Transaction discarded because of: LOADING Redis is loading the dataset "
         "in memory\r\n"},
        {"EXEC", "-ERR EXEC without MULTI\r\n"},
    };

    EXPECT_ALL(begun);
    world.router.service = SERVICE_NO_QUORUM;
    EXPECT_ALL(ended);
    world.router.service = SERVICE_FULL;
    EXPECT_ALL(reading);
    world.router.service = SERVICE_LOADING;
    EXPECT_ALL(loading);
}
END_TEST

/* A transaction is bounded by its own limit and by that of all unfinished requests; over it, it is
 * spoiled and its memory is given back at once. */
START_TEST(test_bounds)
{
    char request[2048];
    char *value = mem_calloc(1, 1001);

    memset(value, 'v', 1000);
    (void)snprintf(request, sizeof request, "SET a %s", value);
    for (int total = 0; total < 2; total++) {
        if (total == 0) {
            world.router.config.transaction_max_bytes = 5000;
        } else {
            world.router.config.transaction_max_bytes = 1 << 20;
            world.all.limits.query_total_max_bytes = 5000;
        }
        world_say(0, "MULTI");
        world_expect(0, OK);
        for (int i = 0; i < 5; i++) {
            world_say(0, request);
            world_expect(0, QUEUED);
        }
        ck_assert_uint_gt(world.all.query_bytes, 5000);
        world_say(0, request);
        world_expect(0, total == 0
                            ? "-ERR the transaction is larger than limits.transaction_max_bytes\r\n"
                            : "-ERR unfinished requests are over limits.query_total_max_bytes\r\n");
        ck_assert_uint_eq(world.all.query_bytes, 0);
        world_say(0, request);
        world_expect(0, QUEUED);
        ck_assert_uint_eq(world.all.query_bytes, 0);
        world_say(0, "EXEC");
        world_expect(0, ABORTED);
    }
    world_expect_nothing_sent();
    free(value);
}
END_TEST

/* Over the bound of all, who holds most goes, and not who says the next word. */
START_TEST(test_bound_of_others)
{
    enum { LARGE = 100000, SMALL = 1000 };
    char *request = mem_calloc(1, LARGE + 100);

    world_join(1);
    world_say(1, "MULTI");
    world_expect(1, OK);
    memset(request + snprintf(request, LARGE, "SET a "), 'v', LARGE);
    world_say(1, request);
    world_expect(1, QUEUED);
    world.all.limits.query_total_max_bytes = LARGE;
    world_say(0, "MULTI");
    world_expect(0, OK);
    request[SMALL] = '\0';
    world_say(0, request);
    world_expect(0, QUEUED);
    world_expect_closed(1);
    ck_assert_uint_lt(world.all.query_bytes, (size_t)2 * SMALL);
    free(request);
}
END_TEST

/* A client that leaves inside a transaction takes it along. */
START_TEST(test_leave)
{
    world_join(1);
    world_say(1, "MULTI");
    world_say(1, "SET a b");
    world_expect(1, OK QUEUED);
    ck_assert_uint_gt(world.all.query_bytes, 0);
    client_close(world.clients[1], "a test");
    world_expect_closed(1);
    ck_assert_uint_eq(world.all.query_bytes, 0);
}
END_TEST

/* So many keys that they are better taken as all of them. */
START_TEST(test_many_keys)
{
    world_say(0, "MULTI");
    world_expect(0, OK);
    for (int i = 0; i < 4096; i++) {
        world_say_raw(0, "GET a\r\n");
        world_expect(0, QUEUED);
    }
    ck_assert_int_eq(transaction_length(world.clients[0]), 4096);
    world_say_raw(0, "GET a\r\n");
    world_expect(0, QUEUED);
    world.hold = true;
    world_say(0, "EXEC");
    ck_assert_str_eq(world_scope(0), "keyspace");
}
END_TEST

int main(void)
{
    return UNIT_RUN("transaction", world_setup, world_teardown, test_errors, test_refused,
                    test_memory, test_shipped, test_shipped_in_vain, test_never, test_locals,
                    test_own_link, test_link_for_nothing, test_own_password, test_users, test_wait,
                    test_reply, test_subscribes, test_exec, test_scope, test_select, test_service,
                    test_bounds, test_bound_of_others, test_leave, test_many_keys);
}
