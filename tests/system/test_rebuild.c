/* A follower's Redis is made anew from snapshot and log, and in the middle of that something ends:
 * a log node, that Redis, or its proxy. In the end it holds what the leader's holds. */
#include "tests/lib/system.h"
#include "tests/system/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 400,
    VALUE_BYTES = 100000,
    TRIES = 20,
    WAIT_MS = 60000,
    LOAD_MS = 300,
};

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};

/* Little is fetched ahead and nothing forgotten: all of the log goes through a narrow place. */
const struct cluster_options system_options = {
    .pairs = 2,
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .redis_args = redis_args,
    .proxy_json = "\"feed\": {\"queue_max_bytes\": 65536, \"ahead_max_bytes\": 1048576}, "
                  "\"snapshot\": {\"schedule\": false}"};

static void fill(void)
{
    char *value = malloc(VALUE_BYTES + 1);
    redisContext *redis = cluster_connect(cluster, cluster_leader(cluster));
    unsigned queued = 0;

    ck_assert(value != NULL);
    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    for (int i = 0; i < KEYS; i++) {
        cluster_queue(redis, &queued, "SET filled%d %d%s", i, i, value);
    }
    cluster_answers(redis, &queued);
    redisFree(redis);
    free(value);
}

struct rebuild {
    const char *proxy, *redis;
    long long resyncs; /* before this one */
};

static bool is_under_way(void *arg)
{
    const struct rebuild *r = arg;

    return cluster_info_number_of(cluster, r->proxy, "holdfast_full_resyncs") > r->resyncs;
}

/* The follower's Redis is lost; when this returns, it is stopped in the middle of being made anew.
 */
static struct rebuild in_the_middle(void)
{
    struct rebuild r = {.proxy = cluster_follower(cluster)};

    r.redis = cluster_redis_of(cluster, r.proxy);
    for (int i = 0; i < TRIES; i++) {
        r.resyncs = cluster_info_number_of(cluster, r.proxy, "holdfast_full_resyncs");
        cluster_kill(cluster, r.redis);
        cluster_spawn(cluster, r.redis);
        cluster_wait("the rebuild to begin", WAIT_MS, is_under_way, &r);
        cluster_pause(cluster, r.redis);
        long long total = cluster_info_number_of(cluster, r.proxy, "holdfast_progress_total_bytes");
        long long done = cluster_info_number_of(cluster, r.proxy, "holdfast_progress_bytes");
        if (total > (long long)KEYS * VALUE_BYTES / 2 && done < total) {
            return r;
        }
        cluster_resume(cluster, r.redis); /* it was too quick */
        cluster_wait_followers(cluster);
    }
    ck_abort_msg("no rebuild was met in its middle");
}

/* Clients write, now and while it goes on. */
static struct load *begin(void)
{
    fill();
    struct load_options options = {.port = cluster_port(cluster, cluster_leader(cluster))};
    return load_create(&options);
}

static void write_on(struct load *load)
{
    load_run(load, LOAD_MS, NULL, NULL);
}

static void expect_rebuilt(struct load *load)
{
    write_on(load);
    ck_assert(load_settle(load, WAIT_MS));
    load_check(load);
    cluster_wait_followers(cluster);
    cluster_wait_equal(cluster);
}

/* Whichever node it is that the log is fetched from: it is killed or frozen, and another one hands
 * out the rest. */
START_TEST(log_node_ends)
{
    static const char *const nodes[] = {"log1", "log2", "log3"};

    struct load *load = begin();
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        bool freeze = i == 1;
        struct rebuild r = in_the_middle();
        if (freeze) {
            cluster_pause(cluster, nodes[i]);
        } else {
            cluster_kill(cluster, nodes[i]);
        }
        write_on(load);
        cluster_resume(cluster, r.redis);
        expect_rebuilt(load);
        if (freeze) {
            cluster_resume(cluster, nodes[i]);
        } else {
            cluster_spawn(cluster, nodes[i]);
        }
    }
    load_destroy(load);
}
END_TEST

/* That Redis is lost again, and begins anew once more. */
START_TEST(redis_ends)
{
    struct load *load = begin();
    struct rebuild r = in_the_middle();
    write_on(load);
    cluster_kill(cluster, r.redis);
    cluster_spawn(cluster, r.redis);
    expect_rebuilt(load);
    ck_assert_int_ge(cluster_info_number_of(cluster, r.proxy, "holdfast_full_resyncs"),
                     r.resyncs + 2);
    load_destroy(load);
}
END_TEST

/* Its proxy is lost; the next one finds a Redis that has loaded some of it. */
START_TEST(proxy_ends)
{
    struct load *load = begin();
    struct rebuild r = in_the_middle();
    write_on(load);
    cluster_kill(cluster, r.proxy);
    cluster_resume(cluster, r.redis);
    cluster_spawn(cluster, r.proxy);
    expect_rebuilt(load);
    load_destroy(load);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rebuild");

    SYSTEM_CASE(suite, "log node", system_serve, 300, log_node_ends);
    SYSTEM_CASE(suite, "redis", system_serve, 300, redis_ends);
    SYSTEM_CASE(suite, "proxy", system_serve, 300, proxy_ends);
    return unit_main(suite);
}
