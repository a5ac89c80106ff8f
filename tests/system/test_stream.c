/* What is logged is the replication stream, not the commands: a rebuilt Redis is the one that was,
 * whatever chance, time and other connections had to do with it. */
#include "tests/lib/system.h"
#include "tests/lib/wire.h"
#include "tests/system/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {.redis_args = redis_args,
                                               .lease_ms = CLUSTER_LONG_LEASE_MS};

/* Runs commands, given as one string each, on a connection; fails on an error reply. */
static void run(redisContext *redis, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = redisvCommand(redis, format, args);
    va_end(args);
    ck_assert_msg(reply != NULL, "%s: %s", format, redis->errstr);
    ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s: %s", format, reply->str);
    freeReplyObject(reply);
}

static void ask(const char *name, char *reply, size_t size, const char *command, const char *arg)
{
    cluster_ask(cluster, name, reply, size, (const char *[]){command, arg, NULL});
}

/* Chance, time and position, through the proxy. */
static void write_through_proxy(int round)
{
    static const char script[] =
        "for i = 1, 50 do redis.call('SET', 'lua' .. ARGV[1] .. i, math.random()) end "
        "redis.call('SET', KEYS[1], redis.call('TIME')[2]) "
        "redis.call('SADD', KEYS[2], unpack(redis.call('SRANDMEMBER', KEYS[3], 20))) "
        "return redis.call('SPOP', KEYS[3], 10)";
    redisContext *redis = cluster_connect(cluster, "proxy1");

    for (int i = 0; i < 200; i++) {
        run(redis, "SADD set %d", round * 1000 + i);
        run(redis, "XADD stream * f %d", i);
    }
    run(redis, "SPOP set");
    run(redis, "SPOP set 30");
    run(redis, "EVAL %s 3 time random set %d", script, round);
    run(redis, "SET ttl%d v EX 100000", round);
    run(redis, "EXPIRE time 100000");
    run(redis, "PEXPIRE random 100000000");
    run(redis, "HSET h%d f 1", round);
    run(redis, "HINCRBYFLOAT h%d f 0.1", round);
    run(redis, "MULTI");
    run(redis, "SPOP set 5");
    run(redis, "INCRBYFLOAT float 0.3");
    run(redis, "EXPIRE float 100000");
    run(redis, "EXEC");
    run(redis, "SELECT 9");
    run(redis, "SET nine%d 9", round);
    run(redis, "SWAPDB 9 10");
    redisFree(redis);
}

/* Writes that never saw the proxy: they are in the stream all the same. */
static void write_on_redis(int round)
{
    redisContext *redis = cluster_connect(cluster, "redis1");
    run(redis, "SET direct %d", round);
    run(redis, "SPOP set 3");
    run(redis, "SELECT 3");
    run(redis, "RPUSH direct a b c");
    run(redis, "MULTI");
    run(redis, "INCR directn");
    run(redis, "INCR directm");
    run(redis, "EXEC");
    redisFree(redis);
}

static bool key_has_expired(void *arg)
{
    char reply[16];
    (void)arg;
    /* DBSIZE doesn't expire what it counts, and EXISTS does: so the DEL is the proxy's reader's. */
    ask("proxy1", reply, sizeof reply, "EXISTS", "expiring");
    return strcmp(reply, "0") == 0;
}

static void expire_a_key(void)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");
    run(redis, "SET expiring v PX 30");
    redisFree(redis);
    cluster_wait("the key to expire", WIRE_PATIENCE_MS, key_has_expired, NULL);
}

/* Redis throws keys away as it likes. The replication backlog grows with what is written, and
 * counts as used memory, so there must be room for that and not for the data as well. */
static void evict_keys(void)
{
    redisContext *proxy = cluster_connect(cluster, "proxy1");
    redisContext *redis = cluster_connect(cluster, "redis1");
    char info[8192], value[1001];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';

    cluster_ask(cluster, "redis1", info, sizeof info, (const char *[]){"INFO", "memory", NULL});
    long long used = strtoll(strstr(info, "used_memory:") + 12, NULL, 10);
    run(redis, "CONFIG SET maxmemory-policy allkeys-random maxmemory %lld", used + 2000000);
    for (int i = 0; i < 1500; i++) {
        run(proxy, "SET evict%d %s", i, value);
    }
    run(redis, "CONFIG SET maxmemory 0");
    cluster_ask(cluster, "redis1", info, sizeof info, (const char *[]){"INFO", "stats", NULL});
    ck_assert_msg(strstr(info, "evicted_keys:0\r") == NULL, "nothing was evicted");
    redisFree(proxy);
    redisFree(redis);
}

static void write_one(const char *line, const char *const argv[], void *arg)
{
    (void)line;
    int argc = 0;
    do {
        argc++;
    } while (argv[argc] != NULL);
    /* A BITFIELD that fails by OVERFLOW FAIL may lengthen the string all the same, and Redis 7.0
     * does not tell its replicas: two stock servers differ then. */
    bool diverges = strcmp(argv[0], "BITFIELD") == 0 && argc > 3 && strcmp(argv[3], "FAIL") == 0;
    if (strncmp(argv[0], "FLUSH", 5) != 0 && strcmp(argv[0], "RESET") != 0 && !diverges) {
        freeReplyObject(redisCommandArgv(arg, argc, (const char **)argv, NULL));
    }
}

static void power_fails(void)
{
    char before[64], after[64], expire_before[32], expire_after[32];

    cluster_wait_committed(cluster);
    cluster_digest_of(cluster, "redis1", before);
    ask("redis1", expire_before, sizeof expire_before, "PEXPIRETIME", "time");
    cluster_kill_all(cluster);
    cluster_start(cluster);
    cluster_digest_of(cluster, "redis1", after);
    ask("redis1", expire_after, sizeof expire_after, "PEXPIRETIME", "time");
    ck_assert_str_eq(before, after);
    ck_assert_str_ne(before, "0000000000000000000000000000000000000000");
    ck_assert_str_eq(expire_before, expire_after);
}

START_TEST(digest_is_the_same_after_a_rebuild)
{
    for (int round = 0; round < 3; round++) {
        write_through_proxy(round);
        write_on_redis(round);
        expire_a_key();
        power_fails();
    }
}
END_TEST

START_TEST(digest_is_the_same_after_all_kinds_of_commands)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");
    commands_each(write_one, redis);
    ck_assert_msg(redis->err == 0, "%s", redis->errstr);
    redisFree(redis);
    power_fails();
}
END_TEST

START_TEST(digest_is_the_same_after_evictions)
{
    evict_keys();
    power_fails();
}
END_TEST

/* Redis itself tells no replica of the keys that DEBUG makes. */
START_TEST(digest_is_the_same_after_populate)
{
    char reply[32];
    redisContext *redis = cluster_connect(cluster, "proxy1");

    run(redis, "FLUSHALL");
    run(redis, "DEBUG POPULATE 1000 p 300");
    run(redis, "MULTI");
    run(redis, "DEBUG POPULATE 1000 q");
    run(redis, "EXEC");
    redisFree(redis);
    power_fails();
    ask("proxy1", reply, sizeof reply, "DBSIZE", NULL);
    ck_assert_str_eq(reply, "2000");
}
END_TEST

/* Functions are part of the stream, though not of the digest. */
START_TEST(functions_are_there_after_a_rebuild)
{
    char reply[32];
    redisContext *redis = cluster_connect(cluster, "proxy1");
    run(redis, "FUNCTION LOAD %s",
        "#!lua name=l\nredis.register_function('seven', function() return 7 end)");
    redisFree(redis);
    cluster_kill_all(cluster);
    cluster_start(cluster);
    cluster_ask(cluster, "proxy1", reply, sizeof reply,
                (const char *[]){"FCALL", "seven", "0", NULL});
    ck_assert_str_eq(reply, "7");
}
END_TEST

/* One test, one cluster: each ends with processes that it has started itself. */
enum { NUDGES = 4 };

static void serve_without_pings(void)
{
    static const char *const args[] = {"--repl-ping-replica-period", "3600", NULL};
    struct cluster_options options = system_options;

    options.redis_args = args;
    options.redis_json = ", \"stall_ms\": 1000";
    system_serve_with(&options);
}

static long long syncs(void)
{
    char info[16384];
    long long whole = 0, partial = 0;

    cluster_ask(cluster, "redis1", info, sizeof info, (const char *[]){"INFO", "stats", NULL});
    const char *at = strstr(info, "sync_full:");
    const char *other = strstr(info, "sync_partial_ok:");
    ck_assert(at != NULL && other != NULL);
    ck_assert_int_eq(sscanf(at, "sync_full:%lld", &whole), 1);
    ck_assert_int_eq(sscanf(other, "sync_partial_ok:%lld", &partial), 1);
    return whole + partial;
}

static bool has_moved(void *arg)
{
    return cluster_info_number(cluster, "holdfast_offset_executed") > *(long long *)arg;
}

/* A Redis whose stream is silent since nobody writes, and it was told to ping its replicas once an
 * hour only, is not taken for dead: the link is never made anew. */
START_TEST(silence_is_no_failure)
{
    long long syncs_before = syncs();

    for (int i = 0; i < NUDGES; i++) {
        long long at = cluster_info_number(cluster, "holdfast_offset_executed");
        cluster_wait("something to be put into the stream", WIRE_PATIENCE_MS, has_moved, &at);
    }
    ck_assert_int_eq(syncs(), syncs_before);
}
END_TEST

static void serve_what_says_nothing(void)
{
    static const char *const args[] = {"--repl-ping-replica-period", "3600", NULL};
    struct cluster_options options = system_options;

    options.redis_args = args;
    options.redis_json = ", \"stall_ms\": 3600000";
    system_serve_with(&options);
}

/* Nothing is in the log, and nothing comes: what is read there is answered, over the shared link
 * and over one of the client's own. */
START_TEST(empty_log_is_read)
{
    struct wire w;

    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "$-1\r\n", "GET", "nothing");
    wire_asks(&w, "+OK\r\n", "WATCH", "nothing");
    wire_asks(&w, "$-1\r\n", "GET", "nothing");
    ck_assert_int_eq(cluster_info_number(cluster, "holdfast_offset_executed"), 0);
    wire_close(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");

    SYSTEM_CASE(suite, "rebuild", system_serve, 120, digest_is_the_same_after_a_rebuild);
    SYSTEM_CASE(suite, "commands", system_serve, 120,
                digest_is_the_same_after_all_kinds_of_commands);
    SYSTEM_CASE(suite, "evictions", system_serve, 120, digest_is_the_same_after_evictions);
    SYSTEM_CASE(suite, "populate", system_serve, 120, digest_is_the_same_after_populate);
    SYSTEM_CASE(suite, "functions", system_serve, 120, functions_are_there_after_a_rebuild);
    SYSTEM_CASE(suite, "silence", serve_without_pings, 120, silence_is_no_failure);
    SYSTEM_CASE(suite, "nothing", serve_what_says_nothing, 120, empty_log_is_read);
    return unit_main(suite);
}
