/* Pairs of proxy and Redis at the edges of their roles: before they have met, while a follower's
 * clients wait at the leader, while a leader hands over, when one is killed, and two proxies before
 * one Redis. */
#include "common/clock.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {.pairs = 3, .redis_args = redis_args};

enum { PAIRS = 3, BACK_MS = 60000, SLOW_CALLS = 3 };

static long long ask_number(const char *name, const char *const argv[])
{
    char text[64];

    cluster_ask(cluster, name, text, sizeof text, argv);
    return strtoll(text, NULL, 10);
}

static void expect_reply(struct wire *w, const char *expected)
{
    struct buf reply = BUF_INIT;
    int rv = wire_reply(w, &reply, BACK_MS);

    ck_assert_msg(rv == ERR_OK, "no reply, but %s was expected: %s", expected, err_text(rv));
    ck_assert_str_eq((const char *)buf_head(&reply), expected);
    buf_release(&reply);
}

/* ---- a Redis that was never reached ---- */

/* A proxy whose Redis is not there from its start on forwards to the leader, whatever it is asked,
 * and follows when its Redis comes. */
START_TEST(redis_was_never_there)
{
    const char *proxy = cluster_follower(cluster), *redis = cluster_redis_of(cluster, proxy);
    struct wire w;

    cluster_kill(cluster, proxy);
    cluster_kill(cluster, redis);
    cluster_spawn(cluster, proxy);
    cluster_wait_log(cluster, proxy, "the commands are those of the leader's");
    wire_open(&w, cluster_port(cluster, proxy));
    wire_command(&w, "SET", "never", "there");
    expect_reply(&w, "+OK\r\n");
    wire_command(&w, "GET", "never");
    expect_reply(&w, "$5\r\nthere\r\n");
    wire_command(&w, "MULTI");
    wire_command(&w, "INCR", "counted");
    wire_command(&w, "EXEC");
    expect_reply(&w, "+OK\r\n");
    expect_reply(&w, "+QUEUED\r\n");
    expect_reply(&w, "*1\r\n:1\r\n");
    wire_command(&w, "BLPOP", "nothing", "0.01");
    expect_reply(&w, "*-1\r\n");
    wire_command(&w, "NOSUCH");
    expect_reply(&w, "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    cluster_spawn(cluster, redis);
    cluster_wait_followers(cluster);
    wire_command(&w, "READONLY");
    wire_command(&w, "GET", "never");
    expect_reply(&w, "+OK\r\n");
    expect_reply(&w, "$5\r\nthere\r\n");
    wire_close(&w);
}
END_TEST

/* ---- CLIENT UNBLOCK ---- */

struct blocked {
    const char *redis;
    long long count;
};

static bool are_blocked(void *arg)
{
    const struct blocked *b = arg;
    char text[8192];

    cluster_ask(cluster, b->redis, text, sizeof text, (const char *[]){"INFO", "clients", NULL});
    const char *at = strstr(text, "blocked_clients:");
    return at != NULL && strtoll(at + strlen("blocked_clients:"), NULL, 10) == b->count;
}

/* Clients that block are unblocked by the proxy that they are connected to, wherever they wait. */
START_TEST(unblocked_through_a_follower)
{
    static const struct {
        const char *reason, *reply;
    } cases[] = {{"TIMEOUT", "*-1\r\n"},
                 {"ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"}};
    const char *leader = cluster_wait_leader(cluster), *redis = cluster_redis_of(cluster, leader);
    const char *proxies[] = {cluster_other(cluster, leader), leader};

    for (size_t i = 0; i < 4; i++) {
        int port = cluster_port(cluster, proxies[i / 2]);
        struct wire waits, tells;
        struct buf id = BUF_INIT;
        wire_open(&waits, port);
        wire_open(&tells, port);
        wire_command(&waits, "CLIENT", "ID");
        ck_assert_int_eq(wire_reply(&waits, &id, BACK_MS), ERR_OK);
        char *number = (char *)buf_head(&id) + 1;
        number[strcspn(number, "\r")] = '\0';
        wire_command(&tells, "CLIENT", "UNBLOCK", number);
        expect_reply(&tells, ":0\r\n"); /* it does not wait */
        wire_command(&waits, "BLPOP", "nothing", "0");
        cluster_wait("a client to block", BACK_MS, are_blocked, &(struct blocked){redis, 1});
        wire_command(&tells, "CLIENT", "UNBLOCK", number, cases[i % 2].reason);
        expect_reply(&tells, ":1\r\n");
        expect_reply(&waits, cases[i % 2].reply);
        wire_command(&waits, "PING");
        expect_reply(&waits, "+PONG\r\n");
        cluster_wait("nobody to block", BACK_MS, are_blocked, &(struct blocked){redis, 0});
        wire_close(&waits);
        wire_close(&tells);
        buf_release(&id);
    }
}
END_TEST

/* ---- handing over ---- */

/* What a client has asked over a link of its own is answered before its leader goes: it hears the
 * reply, not only the end of its connection. */
START_TEST(hand_over_waits_for_private_links)
{
    struct wire w, other;

    for (int i = 0; i < SLOW_CALLS; i++) {
        cluster_wait_followers(cluster);
        const char *proxy = cluster_wait_leader(cluster);
        wire_open(&w, cluster_port(cluster, proxy));
        wire_open(&other, cluster_port(cluster, proxy));
        wire_command(&w, "WATCH", "watched");
        expect_reply(&w, "+OK\r\n");
        wire_command(&w, "DEBUG", "SLEEP", "0.3");
        wire_command(&w, "MULTI");
        wire_command(&w, "INCR", "private");
        wire_command(&w, "EXEC");
        (void)usleep(50000); /* it sleeps by now; if not, this shows less */
        wire_command(&other, "HOLDFAST", "FAILOVER");
        expect_reply(&other, "+OK\r\n");
        expect_reply(&w, "+OK\r\n"); /* DEBUG SLEEP */
        wire_close(&w);
        wire_close(&other);
        (void)cluster_wait_other_leader(cluster, proxy);
    }
}
END_TEST

/* ---- two proxies, one Redis ---- */

static redisContext *named(const char *redis, const char *name)
{
    redisContext *c = cluster_connect(cluster, redis);
    redisReply *reply = redisCommand(c, "CLIENT SETNAME %s", name);

    ck_assert(reply != NULL && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    return c;
}

/* How often Redis has run a command since it was started. */
static long long calls_of(const char *redis, const char *command)
{
    static char text[65536];
    char key[64];

    snprintf(key, sizeof key, "cmdstat_%s:calls=", command);
    cluster_ask(cluster, redis, text, sizeof text, (const char *[]){"INFO", "commandstats", NULL});
    const char *at = strstr(text, key);
    return at != NULL ? strtoll(at + strlen(key), NULL, 10) : 0;
}

struct looks {
    const char *redis;
    long long names; /* it names itself each time that it looks */
};

static bool has_looked(void *arg)
{
    const struct looks *looks = arg;
    return calls_of(looks->redis, "client|setname") >= looks->names;
}

/* A proxy uses its Redis only when no other proxy's connection is there: an older one's, nor one
 * that came while it looked. Then it does. */
START_TEST(two_proxies_that_look_at_once)
{
    const char *proxy = cluster_follower(cluster), *redis = cluster_redis_of(cluster, proxy);

    cluster_kill(cluster, proxy);
    redisContext *older = named(redis, "holdfast-control:older:1");
    cluster_spawn(cluster, proxy);
    cluster_wait_log(cluster, proxy, "belongs to another proxy already (older)");
    redisContext *younger = named(redis, "holdfast-control:younger:1");
    long long asked = calls_of(redis, "config|get");
    redisFree(older);
    struct looks looks = {redis, calls_of(redis, "client|setname") + 4};
    cluster_wait("the proxy to look", BACK_MS, has_looked, &looks);
    ck_assert_int_eq(calls_of(redis, "config|get"), asked); /* it uses Redis for nothing */
    ck_assert_int_eq(ask_number(proxy, (const char *[]){"EXISTS", "nothing", NULL}), 0);
    redisFree(younger);
    cluster_wait_followers(cluster);
}
END_TEST

/* ---- the watchdog ---- */

enum { LONG_LEASE_MS = 8000, KILLS = 4 };

static void serve_with_long_lease(void)
{
    struct cluster_options options = system_options;

    options.lease_ms = LONG_LEASE_MS;
    system_serve_with(&options);
}

/* A proxy that is killed is followed long before its lease would be over: the log nodes are told.
 * (A vote that is quicker than that word has to wait for the lease; it should not be the rule.) One
 * that is only stopped is not dead, and nobody says so. */
START_TEST(watchdog)
{
    uint64_t took_ms[KILLS], least_ms = UINT64_MAX;
    const char *old;
    char text[64];

    for (int i = 0; i < KILLS; i++) {
        cluster_wait_followers(cluster);
        old = cluster_wait_leader(cluster);
        uint64_t since_ns = clock_now_ns();
        cluster_kill(cluster, old);
        cluster_ask(cluster, cluster_wait_leader(cluster), text, sizeof text,
                    (const char *[]){"SET", "k", "v", NULL});
        took_ms[i] = (clock_now_ns() - since_ns) / CLOCK_NS_PER_MS;
        least_ms = took_ms[i] < least_ms ? took_ms[i] : least_ms;
        cluster_wait_log(cluster, old, "log nodes know that its lease is void");
        cluster_spawn(cluster, old);
    }
    printf("killed; another leads after %llu ms at best, %llu ms the last time\n",
           (unsigned long long)least_ms, (unsigned long long)took_ms[KILLS - 1]);
    ck_assert_uint_lt(least_ms, LONG_LEASE_MS / 2);

    cluster_wait_followers(cluster);
    old = cluster_wait_leader(cluster);
    cluster_pause(cluster, old);
    for (uint64_t since_ns = clock_now_ns();
         clock_now_ns() - since_ns < LONG_LEASE_MS / 2 * CLOCK_NS_PER_MS; (void)usleep(50000)) {
        ck_assert_msg(cluster_leader(cluster)[0] == '\0', "%s leads, and %s is only stopped",
                      cluster_leader(cluster), old);
    }
    cluster_resume(cluster, old);
    cluster_wait_followers(cluster);
}
END_TEST

/* What a test starts ends with it: each has a cluster of its own. */
int main(void)
{
    Suite *suite = suite_create("roles");

    SYSTEM_CASE(suite, "never there", system_serve, 240, redis_was_never_there);
    SYSTEM_CASE(suite, "unblocked", system_serve, 240, unblocked_through_a_follower);
    SYSTEM_CASE(suite, "private links", system_serve, 240, hand_over_waits_for_private_links);
    SYSTEM_CASE(suite, "two proxies", system_serve, 240, two_proxies_that_look_at_once);
    SYSTEM_CASE(suite, "watchdog", serve_with_long_lease, 240, watchdog);
    return unit_main(suite);
}
