/* Every single fault: what a minority of log nodes does is not noticed by any client, and after
 * what can't be hidden service comes back by itself, with everything that was acknowledged (load.h
 * says what is checked of each reply while it goes on). */
#include "tests/lib/standstill.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"
#include "tests/system/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {.redis_args = redis_args};

enum {
    LOAD_MS = 400,
    BACK_MS = 60000,
    /* Without a fault, the load's slowest reply takes some 20 ms, on a busy machine much more. */
    NOT_NOTICED_MAX_MS = 1000,
    /* A machine that stands still for so long may be what was noticed: it's tried again then. */
    STANDS_STILL_MS = 100,
    TRIES = 40,
};

static struct load *load_begin(void)
{
    struct load *load = load_create(&(struct load_options){.port = cluster_port(cluster, "proxy1"),
                                                           .seed = (unsigned)getpid()});
    load_run(load, LOAD_MS, NULL, NULL);
    load_counts_clear(load);
    return load;
}

/* The load goes on for that long, with what came before since it was looked at last: no error, no
 * closed connection, no delay that a client would notice. False: there was, but the machine stood
 * still meanwhile. */
static bool goes_unnoticed(struct load *load, struct standstill *still, uint64_t ms,
                           const char *what)
{
    load_run(load, ms, NULL, NULL);

    struct load_counts counts = load_counts(load);
    uint64_t still_us = standstill_longest_us(still);
    bool errors = counts.refused != 0 || counts.loading != 0 || counts.closed != 0;
    bool unnoticed =
        !errors && counts.latency_max_us < NOT_NOTICED_MAX_MS * 1000ull && counts.writes_acked > 0;

    load_counts_clear(load);
    if (!unnoticed) {
        fprintf(stderr,
                "%s: %llu refused, %llu loading, %llu closed, %llu writes; a reply took %llu us; "
                "the machine stood still for %llu us\n",
                what, (unsigned long long)counts.refused, (unsigned long long)counts.loading,
                (unsigned long long)counts.closed, (unsigned long long)counts.writes_acked,
                (unsigned long long)counts.latency_max_us, (unsigned long long)still_us);
    }
    ck_assert_msg(unnoticed || still_us >= STANDS_STILL_MS * 1000ull, "%s was noticed", what);
    return unnoticed;
}

struct progress {
    struct load *load;
    uint64_t writes_acked;
};

static bool writes_go_on(void *arg)
{
    struct progress *progress = arg;
    return load_counts(progress->load).writes_acked > progress->writes_acked + 100;
}

/* The load's own writers all wait by now; a new client is told. (A write in the very moment in
 * which the lease ends may still get in, and wait.) */
static bool writes_are_refused(void *arg)
{
    enum { PROBE_MS = 300 };
    struct wire probe;
    struct buf reply = BUF_INIT;
    bool refused = false;
    (void)arg;

    if (cluster_info_number(cluster, "holdfast_lease_ms_left") == 0) {
        wire_open(&probe, cluster_port(cluster, "proxy1"));
        wire_command(&probe, "SET", "refused", "1");
        if (wire_reply(&probe, &reply, PROBE_MS) == ERR_OK) {
            ck_assert_str_eq((char *)buf_head(&reply),
                             "-NOREPLICAS Not enough good replicas to write.\r\n");
            refused = true;
        }
        wire_close(&probe);
        buf_release(&reply);
    }
    return refused;
}

/* The load goes on until it is served again; then all values are compared. */
static void expect_service_back(struct load *load)
{
    struct progress progress = {.load = load, .writes_acked = load_counts(load).writes_acked};
    load_run(load, BACK_MS, writes_go_on, &progress);
    ck_assert_msg(writes_go_on(&progress), "service does not come back");
    ck_assert_msg(load_settle(load, BACK_MS), "some replies never come");
    load_check(load);
}

static void load_end(struct load *load)
{
    ck_assert_msg(load_settle(load, BACK_MS), "some replies never come");
    load_check(load);
    load_destroy(load);
}

/* A node that has come back holds what it missed (lag_bytes=0), so the next may go. */
static bool log_has_caught_up(void *arg)
{
    char state[128], field[32];
    snprintf(field, sizeof field, "holdfast_%s", (const char *)arg);
    return cluster_info(cluster, field, state, sizeof state) &&
           strstr(state, "lag_bytes=0") != NULL && strstr(state, "state=up") != NULL;
}

/* One log node is taken away for that long, and given back: neither is noticed. */
static void one_log_node_away(struct load *load, const char *node, uint64_t ms,
                              void (*take)(struct cluster *, const char *),
                              void (*give_back)(struct cluster *, const char *))
{
    struct standstill *still = standstill_create(cluster_dir(cluster, node));
    bool unnoticed = false;

    for (int i = 0; i < TRIES && !unnoticed; i++) {
        (void)standstill_longest_us(still); /* what is on its way by then may have met it */
        load_run(load, LOAD_MS, NULL, NULL);
        load_counts_clear(load);
        take(cluster, node);
        bool away = goes_unnoticed(load, still, ms, "a log node that is away");
        give_back(cluster, node);
        bool back = goes_unnoticed(load, still, LOAD_MS, "a log node that comes back");
        unnoticed = away && back;
        ck_assert(load_settle(load, BACK_MS));
        cluster_wait("the log node to catch up", BACK_MS, log_has_caught_up,
                     (void *)(uintptr_t)node);
    }
    ck_assert_msg(unnoticed, "%s is noticed each time", node);
    standstill_destroy(still);
}

START_TEST(one_log_node_down)
{
    struct load *load = load_begin();
    one_log_node_away(load, "log2", LOAD_MS, cluster_kill, cluster_spawn);
    load_end(load);
}
END_TEST

START_TEST(one_log_node_frozen)
{
    struct load *load = load_begin();
    one_log_node_away(load, "log3", 3 * LOAD_MS, cluster_pause, cluster_resume);
    load_end(load);
}
END_TEST

START_TEST(log_nodes_restarted_one_after_the_other)
{
    struct load *load = load_begin();
    one_log_node_away(load, "log1", LOAD_MS, cluster_kill, cluster_spawn);
    one_log_node_away(load, "log2", LOAD_MS, cluster_kill, cluster_spawn);
    one_log_node_away(load, "log3", LOAD_MS, cluster_kill, cluster_spawn);
    load_end(load);
}
END_TEST

/* Writes wait, then are refused; the nodes return, and service does by itself. */
static void two_log_nodes_gone(void (*take)(struct cluster *, const char *),
                               void (*give_back)(struct cluster *, const char *))
{
    struct load *load = load_begin();
    take(cluster, "log1");
    take(cluster, "log3");
    load_run(load, BACK_MS, writes_are_refused, NULL);
    cluster_wait("writes to be refused", 1000, writes_are_refused, NULL);
    give_back(cluster, "log1");
    give_back(cluster, "log3");
    expect_service_back(load);
    load_end(load);
}

START_TEST(two_log_nodes_down)
{
    two_log_nodes_gone(cluster_kill, cluster_spawn);
}
END_TEST

START_TEST(two_log_nodes_frozen)
{
    two_log_nodes_gone(cluster_pause, cluster_resume);
}
END_TEST

START_TEST(redis_killed)
{
    struct load *load = load_begin();
    cluster_kill(cluster, "redis1");
    load_run(load, LOAD_MS, NULL, NULL);
    cluster_spawn(cluster, "redis1");
    expect_service_back(load);
    load_end(load);
}
END_TEST

/* Back before anybody looked: the proxy must see that it is another, empty Redis. */
START_TEST(redis_restarted_empty)
{
    struct load *load = load_begin();
    for (int round = 0; round < 5; round++) {
        cluster_kill(cluster, "redis1");
        cluster_spawn(cluster, "redis1");
        expect_service_back(load);
    }
    load_end(load);
}
END_TEST

START_TEST(redis_frozen)
{
    struct load *load = load_begin();
    cluster_pause(cluster, "redis1");
    load_run(load, 5 * LOAD_MS, NULL, NULL);
    cluster_resume(cluster, "redis1");
    expect_service_back(load);
    load_end(load);
}
END_TEST

/* Somebody makes our Redis a replica of a master that is not there: it is taken back, and whatever
 * became of its data meanwhile, served is what was acknowledged. */
START_TEST(redis_made_a_replica)
{
    char reply[64], port[16];
    struct load *load = load_begin();
    snprintf(port, sizeof port, "%d", cluster_free_port());
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"REPLICAOF", "127.0.0.1", port, NULL});
    expect_service_back(load);
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"REPLICAOF", "127.0.0.1", port, NULL});
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"REPLICAOF", "NO", "ONE", NULL});
    expect_service_back(load);
    load_end(load);
}
END_TEST

/* The same while nobody leads: what a rebuild left behind that broke off at its very end. */
START_TEST(redis_made_a_replica_while_nobody_looks)
{
    char reply[64], port[16];
    struct load *load = load_begin();
    ck_assert(load_settle(load, BACK_MS));
    cluster_kill(cluster, "proxy1");
    load_hang_up(load);
    snprintf(port, sizeof port, "%d", cluster_free_port());
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"REPLICAOF", "127.0.0.1", port, NULL});
    cluster_spawn(cluster, "proxy1");
    cluster_wait_leader(cluster);
    load_check(load);
    load_end(load);
}
END_TEST

static bool is_served(void *arg)
{
    (void)arg;
    return wire_is_told(cluster_port(cluster, "proxy1"), "+OK\r\n",
                        (const char *[]){"SET", "served", "1", NULL});
}

/* The link's SELECT fails, so the write behind it goes to another database: nobody is told that it
 * was done. */
START_TEST(select_refused)
{
    char reply[64];
    redisContext *redis = cluster_connect(cluster, "proxy1");
    freeReplyObject(redisCommand(redis, "SELECT 3"));
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"ACL", "SETUSER", "default", "-select", NULL});
    ck_assert_ptr_null(redisCommand(redis, "SET refused 1"));
    redisFree(redis);
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"ACL", "SETUSER", "default", "+select", NULL});
    cluster_wait("service", BACK_MS, is_served, NULL);
}
END_TEST

/* How many of the proxy's links Redis has had for four seconds. */
static unsigned old_links(void)
{
    static char list[65536];
    unsigned old = 0;

    cluster_ask(cluster, "redis1", list, sizeof list, (const char *[]){"CLIENT", "LIST", NULL});
    for (char *save, *line = strtok_r(list, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        const char *age = strstr(line, " age=");
        old += age != NULL && atoi(age + 5) >= 4 &&
               (strstr(line, " name=holdfast ") != NULL ||
                strstr(line, " name=holdfast-control:") != NULL);
    }
    return old;
}

/* A Redis that closes idle connections closes none of ours. */
START_TEST(redis_with_a_timeout)
{
    struct standstill *still = standstill_create(cluster_dir(cluster, "log1"));
    char reply[64];
    bool well = false;

    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"CONFIG", "SET", "timeout", "1", NULL});
    for (int i = 0; i < TRIES && !well; i++) {
        (void)standstill_longest_us(still);
        sleep(5); /* what is tested is that nothing happens */
        unsigned old = old_links();
        well = old == 2 && is_served(NULL); /* the shared link and the proxy's own */
        ck_assert_msg(well || standstill_longest_us(still) >= STANDS_STILL_MS * 1000ull,
                      "%u of our links are as old", old);
    }
    ck_assert(well);
    standstill_destroy(still);
}
END_TEST

/* Redis lives on, and may hold writes of the old proxy that never were committed. */
START_TEST(proxy_killed)
{
    struct load *load = load_begin();
    for (int round = 0; round < 5; round++) {
        load_run(load, LOAD_MS / 4, NULL, NULL);
        cluster_kill(cluster, "proxy1");
        load_hang_up(load);
        cluster_spawn(cluster, "proxy1");
        cluster_wait_leader(cluster);
        load_check(load);
    }
    load_end(load);
}
END_TEST

/* As before, but the writes that Redis has and the log has not are certain to be there. */
START_TEST(proxy_killed_with_writes_that_were_not_committed)
{
    char reply[32];
    cluster_ask(cluster, "proxy1", reply, sizeof reply, (const char *[]){"SET", "k", "old", NULL});
    cluster_pause(cluster, "log1");
    cluster_pause(cluster, "log2");
    cluster_ask(cluster, "redis1", reply, sizeof reply, (const char *[]){"SET", "k", "new", NULL});
    cluster_kill(cluster, "proxy1");
    cluster_kill(cluster, "log3"); /* the only one that may have it */
    cluster_resume(cluster, "log1");
    cluster_resume(cluster, "log2");
    cluster_spawn(cluster, "proxy1");
    cluster_wait_leader(cluster);
    /* Served is what the log says, be that old or new; and it stays. */
    char first[32], second[32];
    cluster_ask(cluster, "proxy1", first, sizeof first, (const char *[]){"GET", "k", NULL});
    cluster_kill_all(cluster);
    cluster_start(cluster);
    cluster_ask(cluster, "proxy1", second, sizeof second, (const char *[]){"GET", "k", NULL});
    ck_assert_str_eq(first, second);
}
END_TEST

/* repl-diskless-sync-delay of Redis; its default is 5. */
static int sync_delay(void)
{
    redisContext *redis = cluster_connect(cluster, "redis1");
    redisReply *reply = redisCommand(redis, "CONFIG GET repl-diskless-sync-delay");

    ck_assert(reply != NULL && reply->elements == 2);
    int delay = (int)strtol(reply->element[1]->str, NULL, 10);
    freeReplyObject(reply);
    redisFree(redis);
    return delay;
}

/* A proxy that was killed leaves Redis with our settings; its successor puts back those of before.
 */
START_TEST(settings_are_put_back)
{
    ck_assert_int_eq(sync_delay(), 0);
    cluster_kill(cluster, "proxy1");
    cluster_spawn(cluster, "proxy1");
    cluster_wait_leader(cluster);
    ck_assert_int_eq(sync_delay(), 0);
    cluster_stop(cluster, "proxy1");
    ck_assert_int_eq(sync_delay(), 5);
}
END_TEST

static void stop_politely(void)
{
    cluster_stop(cluster, "proxy1");
    cluster_stop(cluster, "redis1");
    cluster_stop(cluster, "log1");
    cluster_stop(cluster, "log2");
    cluster_stop(cluster, "log3");
}

START_TEST(stopped_and_started)
{
    struct load *load = load_begin();
    ck_assert(load_settle(load, BACK_MS));
    stop_politely();
    load_hang_up(load);
    cluster_start(cluster);
    load_check(load);
    cluster_kill_all(cluster); /* twice, with nothing between */
    cluster_start(cluster);
    cluster_kill_all(cluster);
    cluster_start(cluster);
    load_end(load);
}
END_TEST

/* A rebuild of some size tells how far it is, in the log and in INFO. */
START_TEST(rebuild_shows_progress)
{
    enum { KEYS = 300, VALUE_BYTES = 200000 };
    char *value = malloc(VALUE_BYTES + 1);
    ck_assert(value != NULL);
    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    redisContext *redis = cluster_connect(cluster, "proxy1");
    for (int i = 0; i < KEYS; i++) {
        redisReply *reply = redisCommand(redis, "SET progress%d %s", i, value);
        ck_assert_msg(reply != NULL && reply->type == REDIS_REPLY_STATUS, "%s", redis->errstr);
        freeReplyObject(reply);
    }
    redisFree(redis);
    free(value);
    cluster_kill_all(cluster);
    static const char *const names[] = {"log1", "log2", "log3", "redis1", "proxy1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cluster_spawn(cluster, names[i]);
    }
    /* Held up in the middle, it takes long enough to be told of. */
    cluster_wait_log(cluster, "proxy1", "the resync takes");
    cluster_pause(cluster, "redis1");
    cluster_wait_log(cluster, "proxy1", " MB/s");
    cluster_resume(cluster, "redis1");
    cluster_wait_leader(cluster);
    char reply[32];
    cluster_ask(cluster, "proxy1", reply, sizeof reply,
                (const char *[]){"STRLEN", "progress299", NULL});
    ck_assert_str_eq(reply, "200000");
}
END_TEST

/* A Redis that had data before there was any log: it is adopted, and from then on kept. */
START_TEST(dataset_is_adopted)
{
    char before[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX], reply[64];
    cluster_spawn(cluster, "redis1");
    redisContext *redis = cluster_connect(cluster, "redis1");
    for (int i = 0; i < 3000; i++) {
        freeReplyObject(redisCommand(redis, "SET adopted%d %d EX 100000", i, i));
    }
    freeReplyObject(redisCommand(redis, "SELECT 7"));
    freeReplyObject(redisCommand(redis, "RPUSH list a b c"));
    redisFree(redis);
    cluster_digest_of(cluster, "redis1", before);

    cluster_start(cluster);
    cluster_ask(cluster, "proxy1", reply, sizeof reply, (const char *[]){"GET", "adopted7", NULL});
    ck_assert_str_eq(reply, "7");
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(before, after);

    cluster_ask(cluster, "proxy1", reply, sizeof reply, (const char *[]){"SET", "more", "1", NULL});
    cluster_digest_of(cluster, "redis1", before);
    cluster_kill_all(cluster);
    cluster_start(cluster);
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(before, after);
}
END_TEST

static void create_with_long_lease(void)
{
    struct cluster_options options = system_options;

    options.lease_ms = CLUSTER_LONG_LEASE_MS;
    system_create_with(&options);
}

int main(void)
{
    Suite *suite = suite_create("faults");

    SYSTEM_CASE(suite, "log down", system_serve, 180, one_log_node_down);
    SYSTEM_CASE(suite, "log frozen", system_serve, 180, one_log_node_frozen);
    SYSTEM_CASE(suite, "logs in turn", system_serve, 180, log_nodes_restarted_one_after_the_other);
    SYSTEM_CASE(suite, "two down", system_serve, 180, two_log_nodes_down);
    SYSTEM_CASE(suite, "two frozen", system_serve, 180, two_log_nodes_frozen);
    SYSTEM_CASE(suite, "redis killed", system_serve, 180, redis_killed);
    SYSTEM_CASE(suite, "redis empty", system_serve, 180, redis_restarted_empty);
    SYSTEM_CASE(suite, "redis frozen", system_serve, 180, redis_frozen);
    SYSTEM_CASE(suite, "redis replica", system_serve, 180, redis_made_a_replica);
    SYSTEM_CASE(suite, "redis replica at start", system_serve, 180,
                redis_made_a_replica_while_nobody_looks);
    SYSTEM_CASE(suite, "select refused", system_serve, 180, select_refused);
    SYSTEM_CASE(suite, "redis timeout", system_serve, 180, redis_with_a_timeout);
    SYSTEM_CASE(suite, "proxy killed", system_serve, 180, proxy_killed);
    SYSTEM_CASE(suite, "uncommitted", system_serve, 180,
                proxy_killed_with_writes_that_were_not_committed);
    SYSTEM_CASE(suite, "settings", system_serve, 180, settings_are_put_back);
    SYSTEM_CASE(suite, "stopped", system_serve, 180, stopped_and_started);
    SYSTEM_CASE(suite, "progress", system_serve, 180, rebuild_shows_progress);
    SYSTEM_CASE(suite, "adopted", create_with_long_lease, 180, dataset_is_adopted);
    return unit_main(suite);
}
