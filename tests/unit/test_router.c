/* The router with the sessions and transactions behind it: real clients over sockets, a real engine
 * in front of a Redis that is played here, and the table that redis-server 7.0.15 gives. Answers'
 * texts are those of redis-server 7.0.15. */
#include "proxy/clients/router.h"

#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define LOADING   "-LOADING Redis is loading the dataset in memory\r\n"
#define NO_QUORUM "-NOREPLICAS Not enough good replicas to write.\r\n"
#define NO_MASTER                                                                                  \
    "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"

/* ---- what is not passed on ---- */

/* Unknown commands and subcommands, wrong numbers of arguments. */
START_TEST(test_unknown)
{
    static const struct exchange exchanges[] = {
        {"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"},
        {"FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"},
        {"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"GET a b", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"CONFIG", "-ERR wrong number of arguments for 'config' command\r\n"},
        {"CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n"},
        {"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"},
        {"CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"},
        {"OBJECT FOO", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP.\r\n"},
    };
    world_expect_all(exchanges, sizeof exchanges / sizeof *exchanges);
}
END_TEST

/* What would harm the shared link or needs a connection of its own is refused, at once, and nothing
 * of it reaches Redis. */
START_TEST(test_refused)
{
    static const struct exchange exchanges[] = {
        {"SHUTDOWN", "-ERR SHUTDOWN is disabled by the proxy\r\n"},
        {"shutdown NOSAVE", "-ERR SHUTDOWN is disabled by the proxy\r\n"},
        {"REPLICAOF h 1", "-ERR REPLICAOF is disabled by the proxy\r\n"},
        {"REPLICAOF NO ONE", "+OK\r\n"}, /* it is so */
        {"SLAVEOF h 1", "-ERR SLAVEOF is disabled by the proxy\r\n"},
        {"slaveof no one", "+OK\r\n"},
        {"FAILOVER", "-ERR FAILOVER is disabled by the proxy\r\n"},
        {"PSYNC ? -1", "-ERR PSYNC is disabled by the proxy\r\n"},
        {"SYNC", "-ERR SYNC is disabled by the proxy\r\n"},
        {"REPLCONF ACK 1", "-ERR REPLCONF is disabled by the proxy\r\n"},
        {"MIGRATE h 1 k 0 1", "-ERR MIGRATE is disabled by the proxy\r\n"},
        {"SCRIPT DEBUG YES", "-ERR SCRIPT DEBUG is disabled by the proxy\r\n"},
        {"UNWATCH", "+OK\r\n"},
    };
    world_expect_all(exchanges, sizeof exchanges / sizeof *exchanges);
}
END_TEST

/* XREAD and XREADGROUP get a link of their own if they would block; a group, a consumer or a stream
 * may have the name of an option. */
START_TEST(test_xread)
{
    static const struct {
        const char *request;
        bool blocks;
    } cases[] = {
        {"XREAD STREAMS s 0", false},
        {"XREAD COUNT 1 STREAMS block 0", false},
        {"XREAD BLOCK 0 STREAMS s $", true},
        {"xread count 1 block 0 streams s $", true},
        {"XREADGROUP GROUP g c STREAMS s >", false},
        {"XREADGROUP GROUP g c BLOCK 0 STREAMS s >", true},
        {"XREADGROUP GROUP streams c BLOCK 0 STREAMS s >", true},
        {"XREADGROUP GROUP g streams BLOCK 0 STREAMS s >", true},
        {"XREADGROUP GROUP block c STREAMS s >", false},
        {"XREADGROUP GROUP g block COUNT 1 STREAMS s >", false},
        {"XREADGROUP NOACK BLOCK 5 GROUP g c STREAMS s >", true},
        {"XREADGROUP COUNT streams BLOCK 5 GROUP g c STREAMS s >", true},
    };

    bool up = false;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_say(0, cases[i].request);
        if (cases[i].blocks) {
            if (!up) {
                world_link_up(0);
                up = true;
            }
            world_link_expect_sent(0, cases[i].request);
            world_link_redis(0, "*-1\r\n");
        } else {
            world_expect_sent(cases[i].request);
            world_redis("*-1\r\n");
        }
        world_expect(0, "*-1\r\n");
    }
}
END_TEST

/* ---- the service's state ---- */

/* A function that does not write is let through a pause of writes, and can't write then, whatever
 * has become of it; once the pause is over it is called as it is, and in the next one it waits. */
START_TEST(test_paused_function)
{
    struct readers *readers = &world.all.readers;

    world_join(1);
    world_pause(1);
    ck_assert(readers->wanted);
    readers_asked(readers);
    ck_assert(readers_answered(readers));
    readers_add_function(readers, "f");
    world_say(0, "FCALL f 0");
    world_expect_sent("FCALL_RO f 0");
    world_redis(":1\r\n");
    world_expect(0, ":1\r\n");
    world_unpause(1);
    world_asks(0, "FCALL f 0", ":1\r\n");
    world_pause(1);
    world_say(0, "FCALL f 0");
    world_expect_nothing_sent();
    world_unpause(1);
    world_expect_sent("FCALL f 0");
    world_redis(":1\r\n");
    world_expect(0, ":1\r\n");
}
END_TEST

static void expect_reader(const char *said, const char *sent, const char *answer, const char *told)
{
    world_say(0, said);
    world_expect_sent(sent);
    world_redis(answer);
    world_expect(0, told);
}

/* Fewer replicas than somebody wants: writes are refused here, also as MULTI queues them and at
 * EXEC (there, scripts as well); Redis is told nothing. Scripts run and can't write, which is told
 * as Redis does. All else goes on, and so do writes once there are enough. */
START_TEST(test_replicas_lack)
{
    static const struct exchange lack[] = {
        {"CONFIG SET min-replicas-to-write 1", "+OK\r\n"},
        {"SET a b", NO_QUORUM},
        {"MULTI", "+OK\r\n"},
        {"SET a b", NO_QUORUM},
        {"EVAL x 0", NO_QUORUM},
        {"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"},
    };

    world_join(1);
    world_say(1, "MULTI");
    world_expect(1, "+OK\r\n");
    world_say(1, "SET a b");
    world_expect(1, "+QUEUED\r\n");
    world_expect_all(lack, sizeof lack / sizeof *lack);
    world_say(1, "EXEC");
    world_expect(1, "-EXECABORT Transaction discarded because of: NOREPLICAS Not enough good "
                    "replicas to write.\r\n");
    world_asks(0, "GET a", "$-1\r\n");
    world_asks(0, "EVAL_RO x 0", "$-1\r\n");
    expect_reader("EVAL x 0", "EVAL_RO x 0", "$1\r\nx\r\n", "$1\r\nx\r\n");
    expect_reader("evalsha y 0", "EVALSHA_RO y 0",
                  "-ERR Write commands are not allowed from read-only scripts. script: y\r\n",
                  "-NOREPLICAS Not enough good replicas to write. script: y\r\n");
    expect_reader("FCALL f 0", "FCALL_RO f 0",
                  "-ERR Can not execute a script with write flag using *_ro command.\r\n",
                  NO_QUORUM);
    world_say(0, "CONFIG SET min-replicas-to-write 0"); /* what stands behind it waits for it */
    world_say(0, "SET a b");
    world_expect_sent_bare("CONFIG SET min-replicas-to-write 0");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_expect_sent("SET a b");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "CONFIG SET min-replicas-to-write 1");
    world_expect(0, "+OK\r\n");
    world.all.config.replicas = 1;
    world_asks(0, "SET a b", "+OK\r\n");
    expect_reader("EVAL x 0", "EVAL x 0", ":1\r\n", ":1\r\n");
}
END_TEST

/* A write that is refused for that does not wait for the end of a pause; one that isn't does. */
START_TEST(test_replicas_lack_paused)
{
    world_join(1);
    world_say(1, "CONFIG SET min-replicas-to-write 1");
    world_expect(1, "+OK\r\n");
    world_pause(1);
    world_say(0, "SET a b");
    world_expect(0, NO_QUORUM);
    world_say(0, "EVAL x 0"); /* Redis judges it when it writes */
    world_expect_nothing_sent();
    ck_assert(client_is_blocked(world.clients[0]));
    world_unpause(1);
    world_expect_sent("EVAL_RO x 0");
    world_redis("$1\r\nx\r\n");
    world_expect(0, "$1\r\nx\r\n");
    world.all.config.replicas = 1;
    world_pause(1);
    world_say(0, "SET a b");
    world_expect_nothing_sent();
    world_unpause(1);
    world_expect_sent("SET a b");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
}
END_TEST

/* What each state of the service refuses, and with which words, before anything reaches Redis. */
START_TEST(test_service)
{
    static const struct exchange no_quorum[] = {
        {"SET a b", NO_QUORUM},
        {"GET a", NO_MASTER},
        {"EVAL x 0", NO_QUORUM},
        {"EVAL_RO x 0", NO_MASTER},
        {"KEYS *", NO_MASTER},
        {"FLUSHALL", NO_QUORUM},
        {"FCALL f 0", NO_QUORUM},
        {"DBSIZE", NO_MASTER},
        {"SELECT 1", "+OK\r\n"},
        {"SORT a STORE b", NO_QUORUM},
        {"CLIENT ID", ":1\r\n"},
        {"FOO", "-ERR unknown command 'FOO', "
                "with args beginning with: \r\n"},
    };
    static const struct exchange loading[] = {
        {"SET a b", LOADING},
        {"GET a", LOADING},
        {"PING", LOADING},
        {"SELECT 0", "+OK\r\n"},
        {"INFO", "$70\r\n# Persistence\r\nloading:1\r\n\r\n# Replication\r\nrole:x\r\n\r\n# "
                 "Holdfast\r\nx:1\r\n\r\n"},
        {"INFO holdfast", "$17\r\n# Holdfast\r\nx:1\r\n\r\n"},
        {"QUIT", "+OK\r\n"},
    };

    world.router.service = SERVICE_NO_QUORUM;
    world_expect_all(no_quorum, sizeof no_quorum / sizeof *no_quorum);
    world_say(0, "PING"); /* reveals nothing */
    world_expect_sent_bare("SELECT 1|PING");
    world_redis("+OK\r\n+PONG\r\n");
    world_expect(0, "+PONG\r\n");
    world.router.service = SERVICE_LOADING;
    world_expect_all(loading, sizeof loading / sizeof *loading);
}
END_TEST

/* The service is there and the link is not: as if Redis were loading. */
START_TEST(test_engine_down)
{
    engine_stop(world.engine, "a test");
    world_say(0, "GET a");
    world_expect(0, LOADING);
    world_say(0, "PING");
    world_expect(0, LOADING);
    world.router.service = SERVICE_NO_QUORUM;
    world_say(0, "PING");
    world_expect(0, NO_MASTER);
    world_say(0, "SET a b");
    world_expect(0, NO_QUORUM);
}
END_TEST

/* Before Redis was ever asked what it knows. */
START_TEST(test_early)
{
    world.router.table = NULL;
    world.router.service = SERVICE_LOADING;
    world_say(0, "GET a");
    world_expect(0, LOADING);
    world_say(0, "INFO");
    world_expect(0, "$70\r\n# Persistence\r\nloading:1\r\n\r\n# Replication\r\nrole:x\r\n\r\n# "
                    "Holdfast\r\nx:1\r\n\r\n");
    world_say(0, "QUIT");
    world_expect(0, "+OK\r\n");
    world.all.auth_required = true;
    world_join(1);
    world_say(1, "INFO");
    world_expect(1, LOADING);
}
END_TEST

/* ---- what a request touches ---- */

/* The keys of a request, hashed with the client's database; MOVE and COPY … DB with the other one
 * too; whatever can't be known is the keyspace. */
START_TEST(test_scope)
{
    static const struct {
        const char *request, *scope; /* "db:key …", "keyspace", "harmless" */
    } cases[] = {
        {"GET a", "0:a"},
        {"SET a b", "0:a"},
        {"MSET a 1 b 2", "0:a 0:b"},
        {"DEL a b c d e f", "0:a 0:b 0:c 0:d 0:e 0:f"},
        {"RENAME a b", "0:a 0:b"},
        {"MOVE a 5", "0:a 5:a"},
        {"COPY a b", "0:a 0:b"},
        {"COPY a b DB 7", "0:a 7:a 0:b 7:b"},
        {"COPY a b DB 7 REPLACE", "0:a 7:a 0:b 7:b"},
        {"ZUNIONSTORE d 2 a b", "0:d 0:a 0:b"},
        {"XREAD STREAMS a b 0 0", "0:a 0:b"},
        {"SORT a", "0:a"},
        {"SORT a BY x*", "keyspace"},
        {"EVAL x 1 a", "keyspace"},
        {"KEYS *", "keyspace"},
        {"SCAN 0", "keyspace"},
        {"FLUSHDB", "keyspace"},
        {"SWAPDB 0 1", "keyspace"},
        {"INFO", "keyspace"},
        {"INFO server", "harmless"},
        {"PING", "harmless"},
        {"PUBLISH a b", "harmless"},
        {"CONFIG GET a", "harmless"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_say(0, cases[i].request);
        ck_assert_msg(strcmp(world_scope(0), cases[i].scope) == 0, "%s: %s", cases[i].request,
                      world_scope(0));
        if (strcmp(cases[i].scope, "harmless") == 0) {
            world_expect_sent_bare(cases[i].request);
        } else {
            world_expect_sent(cases[i].request);
        }
        world_redis("+x\r\n");
        world_expect(0, "+x\r\n");
    }
    world_say(0, "SELECT 3");
    world_expect(0, "+OK\r\n");
    world_say(0, "GET a");
    ck_assert_str_eq(world_scope(0), "3:a");
}
END_TEST

/* INFO is marked for the owner, and so is one with the proxy's section in it; that section alone,
 * and the replication as clients see it, are answered here. */
START_TEST(test_info)
{
    static const struct {
        const char *request;
        bool ours;
    } cases[] = {{"INFO", false},
                 {"INFO all", true},
                 {"INFO everything", true},
                 {"INFO server", false},
                 {"INFO server holdfast", true}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_say(0, cases[i].request);
        uint32_t flags = world.clients[0]->last->flags;
        ck_assert((flags & REQUEST_INFO) != 0);
        ck_assert(((flags & REQUEST_INFO_OURS) != 0) == cases[i].ours);
        if (strncmp(world_scope(0), "harmless", 8) == 0) {
            world_expect_sent_bare(cases[i].request);
        } else {
            world_expect_sent(cases[i].request);
        }
        world_redis("$0\r\n\r\n");
        world_expect(0, "$0\r\n\r\n");
    }
    world_say(0, "INFO HoldFast");
    world_expect(0, "$17\r\n# Holdfast\r\nx:1\r\n\r\n");
    world_say(0, "INFO replication");
    world_expect(0, "$23\r\n# Replication\r\nrole:x\r\n\r\n");
    world_say(0, "ROLE");
    world_expect(0, "*1\r\n$1\r\nx\r\n");
    world.clients[0]->resp = 3;
    world_say(0, "INFO holdfast");
    world_expect(0, "=21\r\ntxt:# Holdfast\r\nx:1\r\n\r\n");
}
END_TEST

/* Each client has its own database and protocol on the one link. */
START_TEST(test_link_shared)
{
    world_join(1);
    world_say(0, "SELECT 2");
    world_expect(0, "+OK\r\n");
    world_say(1, "HELLO 3");
    (void)world_hear(1);
    world.hold = true;
    world_say(0, "GET a");
    world_say(1, "GET b");
    world.hold = false;
    world_expect_sent("SELECT 2|GET a|HELLO 3|SELECT 0|GET b");
    world_redis("+OK\r\n$1\r\nA\r\n%0\r\n+OK\r\n_\r\n");
    world_expect(0, "$1\r\nA\r\n");
    world_expect(1, "_\r\n");
}
END_TEST

static bool know_only_log(void *ctx, const struct resp_arg *argv, size_t argc, struct buf *out)
{
    (void)ctx;
    (void)argc;
    if (!resp_arg_is(&argv[1], "log")) {
        return false;
    }
    buf_append_str(out, "+known\r\n");
    return true;
}

/* HOLDFAST: the owner answers what it knows; the rest gets Redis' own error, whole. */
START_TEST(test_own_commands)
{
    static const struct exchange exchanges[] = {
        {"HOLDFAST LOG", "+known\r\n"},
        {"holdfast foo", "-ERR unknown command 'holdfast', with args beginning with: 'foo' \r\n"},
        {"HOLDFAST", "-ERR unknown command 'HOLDFAST', with args beginning with: \r\n"},
    };

    world.router.admin = know_only_log;
    world_expect_all(exchanges, sizeof exchanges / sizeof *exchanges);
}
END_TEST

/* ---- DEBUG POPULATE ---- */

#define POPULATE    "EVAL #!lua flags=allow-oom\n"
#define NOT_ALLOWED "-ERR DEBUG command not allowed.\r\n"
#define TOO_MUCH    "-ERR DEBUG POPULATE would write more than limits.transaction_max_bytes\r\n"

static void populates(const char *said, const char *numbers)
{
    world_say(0, said);
    world_expect_sent_bare("DEBUG POPULATE 0");
    world_redis("+OK\r\n");
    world_expect_sent_like(POPULATE, numbers);
    ck_assert_str_eq(world_scope(0), "keyspace");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
}

/* Redis is asked whether it would, and then gets it as a script; behind what was asked before. */
START_TEST(test_populate)
{
    populates("DEBUG POPULATE 3", " 0 3 key 0");
    populates("debug populate 10 a", " 0 10 a 0");
    populates("DEBUG POPULATE 10 a 7", " 0 10 a 7");
}
END_TEST

/* Nothing is written where Redis would not, or where it would be too much; what makes no keys, or
 * no sense, is Redis' to answer. */
START_TEST(test_populate_not)
{
    static const char *const natively[] = {"DEBUG POPULATE", "DEBUG POPULATE 0 a 5",
                                           "DEBUG POPULATE x", "DEBUG POPULATE -1",
                                           "DEBUG POPULATE 1 a 2 3"};

    for (size_t i = 0; i < sizeof natively / sizeof *natively; i++) {
        world_asks(0, natively[i], "-ERR so it says\r\n");
    }
    world_say_raw(0, "GET a\r\nDEBUG POPULATE 3\r\nGET b\r\n");
    world_expect_sent("GET a");
    world_redis("$-1\r\n");
    world_expect_sent_bare("DEBUG POPULATE 0");
    world_redis(NOT_ALLOWED);
    world_expect_sent("GET b");
    world_redis("$-1\r\n");
    world_expect(0, "$-1\r\n" NOT_ALLOWED "$-1\r\n");
    world_say(0, "DEBUG POPULATE 3 a x");
    world_expect_sent_bare("DEBUG POPULATE 0");
    world_redis("+OK\r\n");
    world_expect_sent("DEBUG POPULATE 0 a x");
    world_redis("-ERR value is not an integer or out of range\r\n");
    world_expect(0, "-ERR value is not an integer or out of range\r\n");
    for (int i = 0; i < 2; i++) {
        world_say(0, i == 0 ? "DEBUG POPULATE 3 a 400000"
                            : "DEBUG POPULATE 9223372036854775807 a 9223372036854775807");
        world_expect_sent_bare("DEBUG POPULATE 0");
        world_redis("+OK\r\n");
        world_expect(0, TOO_MUCH);
    }
    world.router.service = SERVICE_NO_QUORUM;
    world_say(0, "DEBUG POPULATE 3");
    world_expect(0, NO_QUORUM);
    world_expect_nothing_sent();
}
END_TEST

/* The same inside MULTI, of which a refusal is the end; and a pause of writes is one of this, too.
 */
START_TEST(test_populate_queued)
{
    world_join(1);
    for (int allowed = 0; allowed < 2; allowed++) {
        world_say_raw(0, "MULTI\r\nDEBUG POPULATE 3\r\nEXEC\r\n");
        world_expect_sent_bare("DEBUG POPULATE 0");
        world_redis(allowed ? "+OK\r\n" : NOT_ALLOWED);
        if (!allowed) {
            world_expect(0, "+OK\r\n" NOT_ALLOWED
                            "-EXECABORT Transaction discarded because of previous errors.\r\n");
        }
    }
    world_expect_sent_like("MULTI|" POPULATE, " 0 3 key 0|EXEC");
    world_redis("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    world_pause(1);
    world_say(0, "DEBUG POPULATE 3");
    world_expect_nothing_sent();
    world_unpause(1);
    world_expect_sent_bare("DEBUG POPULATE 0");
    world_redis(NOT_ALLOWED);
    world_expect(0, NOT_ALLOWED);
}
END_TEST

int main(void)
{
    return UNIT_RUN("router", world_setup, world_teardown, test_unknown, test_refused, test_xread,
                    test_service, test_paused_function, test_replicas_lack,
                    test_replicas_lack_paused, test_engine_down, test_early, test_scope, test_info,
                    test_link_shared, test_own_commands, test_populate, test_populate_not,
                    test_populate_queued);
}
