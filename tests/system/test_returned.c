/* Links to Redis that clients have for themselves are counted, bounded and returned exactly once,
 * however their clients break off: when it is all over there are as many as before, here and at
 * Redis. */
#include "common/buf.h"
#include "common/mem.h"
#include "tests/lib/sockets.h"
#include "tests/lib/system.h"
#include "tests/system/big.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cluster_options system_options = {.pairs = 2,
                                               .lease_ms = CLUSTER_LONG_LEASE_MS,
                                               .log_json = BIG_LOG,
                                               .proxy_json = "\"limits\": {\"private_max\": 40}"};

enum { LINKS_MAX = 40, TOGETHER = 20, BROKEN = 200 };

static const char *leader, *follower;

static void find_leader(void)
{
    leader = cluster_wait_leader(cluster);
    follower = cluster_other(cluster, leader);
}

#define LARGE_REPLY "EVAL \"return string.rep('0123456789abcdef', 70000)\" 0\r\n"

/* What a client asks before it goes away: each leaves something on a link, or under way there. */
static const char *const breaks[] = {
    "BLPOP nothing 0\r\n",
    "WATCH a\r\nMULTI\r\nSET a 1\r\n",
    "WATCH a\r\nMULTI\r\nSET a 1\r\nEXEC\r\nBLPOP nothing 0\r\n",
    (LARGE_REPLY LARGE_REPLY),
    "HELLO 3\r\nCLIENT TRACKING ON\r\nGET a\r\n",
    "SUBSCRIBE a b c\r\n",
    "MULTI\r\nBLPOP nothing 0\r\nGET large\r\nEXEC\r\n",
    "GET large\r\nGET large\r\nGET large\r\n",
    "*3\r\n$3\r\nSET\r\n$1\r\nh\r\n$3000000\r\nhalf",
    "XREAD BLOCK 0 STREAMS nothing $\r\n",
    "WAIT 3 0\r\nBLPOP nothing 0.01\r\nGET large\r\n",
};

enum { BREAKS = sizeof breaks / sizeof *breaks };

static void set_large(void)
{
    size_t size = 3 * BIG_MIB;
    char *value = mem_alloc(size), head[80];
    int fd = big_dial(cluster_port(cluster, leader));

    memset(value, 'v', size);
    (void)snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%zu\r\n", size);
    big_put_text(fd, head);
    big_put(fd, value, size);
    big_put_text(fd, "\r\n");
    big_expect(fd, "+OK\r\n");
    (void)close(fd);
    free(value);
}

/* Some at a time, each another moment after it has asked; half of them are cut off hard. */
static void break_off(const char *proxy, int count)
{
    static const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fds[TOGETHER], port = cluster_port(cluster, proxy);

    for (int done = 0; done < count; done += TOGETHER) {
        for (int i = 0; i < TOGETHER; i++) {
            fds[i] = big_dial(port);
            big_put_text(fds[i], breaks[(size_t)(done + i) % (BREAKS)]);
        }
        for (int i = 0; i < TOGETHER; i++) {
            sockets_wait(fds[i], POLLIN, (done + i) % 7);
            if (i % 2 == 0) {
                (void)setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
            }
            (void)close(fds[i]);
        }
    }
}

static long long redis_connections(void)
{
    redisContext *redis = cluster_connect(cluster, cluster_redis_of(cluster, leader));
    redisReply *reply = redisCommand(redis, "INFO clients");
    const char *at = strstr(reply->str, "connected_clients:");

    ck_assert_ptr_nonnull(at);
    long long count = atoll(at + strlen("connected_clients:"));
    freeReplyObject(reply);
    redisFree(redis);
    return count;
}

static bool nobody_has_one(void *arg)
{
    (void)arg;
    return cluster_info_number_of(cluster, "proxy1", "holdfast_private_lent") == 0 &&
           cluster_info_number_of(cluster, "proxy2", "holdfast_private_lent") == 0;
}

/* Redis may notice a moment later. */
static bool redis_agrees(void *arg)
{
    long long others = *(long long *)arg;
    return redis_connections() - others ==
           cluster_info_number_of(cluster, leader, "holdfast_private_connections");
}

/* As many clients as there are links may have one, not one more: none is lost. */
static void take_all(void)
{
    int fds[LINKS_MAX + 1], port = cluster_port(cluster, leader);

    for (int i = 0; i < LINKS_MAX; i++) {
        fds[i] = big_dial(port);
        big_put_text(fds[i], "WATCH a\r\n");
        big_expect(fds[i], "+OK\r\n");
    }
    ck_assert_int_eq(cluster_info_number_of(cluster, leader, "holdfast_private_lent"), LINKS_MAX);
    fds[LINKS_MAX] = big_dial(port);
    big_put_text(fds[LINKS_MAX], "WATCH a\r\n");
    big_expect(fds[LINKS_MAX], "-ERR max number of private connections reached");
    for (int i = 0; i <= LINKS_MAX; i++) {
        (void)close(fds[i]);
    }
    cluster_wait("all links to be returned", 60000, nobody_has_one, NULL);
}

/* What Redis has besides the links that the proxy counts, once that has been the same for a while:
 * it notices a moment later who has gone. */
static long long other_connections(void)
{
    long long others = -1;

    for (int same = 0, rounds = 0; same < 20; same++, rounds++) {
        long long now = redis_connections() -
                        cluster_info_number_of(cluster, leader, "holdfast_private_connections");
        same = now == others ? same : 0;
        others = now;
        ck_assert_int_lt(rounds, 1000);
        sockets_wait(-1, 0, 50);
    }
    return others;
}

START_TEST(broken_off)
{
    find_leader();
    cluster_wait_followers(cluster);
    set_large();
    break_off(leader, TOGETHER); /* the links that all share are there now, too */
    cluster_wait("all links to be returned", 60000, nobody_has_one, NULL);
    take_all();
    long long others = other_connections();

    break_off(leader, big_full() ? 5 * BROKEN : BROKEN);
    cluster_wait("all links to be returned", 60000, nobody_has_one, NULL);
    cluster_wait("Redis to have the links that the proxy counts", 60000, redis_agrees, &others);
    take_all();
    cluster_wait("Redis to have the links that the proxy counts", 60000, redis_agrees, &others);
}
END_TEST

/* Over a proxy that follows: its links to the leader, and the leader's for those. */
START_TEST(broken_off_elsewhere)
{
    find_leader();
    long long others = other_connections();

    break_off(follower, big_full() ? 5 * BROKEN : BROKEN);
    cluster_wait("all links to be returned", 60000, nobody_has_one, NULL);
    cluster_wait("Redis to have the links that the proxy counts", 60000, redis_agrees, &others);
    take_all();
}
END_TEST

/* Redis ends while clients wait on links to it, then the proxy that leads; each time all who waited
 * are closed, and the next leader lends as many as ever. */
START_TEST(engine_and_leader_end)
{
    int fds[TOGETHER];

    for (int round = 0; round < 2; round++) {
        find_leader();
        cluster_wait_followers(cluster);
        for (int i = 0; i < TOGETHER; i++) {
            fds[i] = big_dial(cluster_port(cluster, leader));
            big_put_text(fds[i], i % 2 == 0 ? "BLPOP nothing 0\r\n" : "WATCH a\r\n");
            if (i % 2 != 0) {
                big_expect(fds[i], "+OK\r\n");
            }
        }
        const char *victim = round == 0 ? cluster_redis_of(cluster, leader) : leader;
        cluster_kill(cluster, victim);
        for (int i = 0; i < TOGETHER; i++) {
            ck_assert(big_is_closed(fds[i]));
            (void)close(fds[i]);
        }
        cluster_spawn(cluster, victim);
        cluster_wait_leader(cluster);
        cluster_wait_followers(cluster);
        find_leader();
        cluster_wait("all links to be returned", 60000, nobody_has_one, NULL);
        take_all();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("returned");

    SYSTEM_CASE(suite, "returned", system_serve, 300, broken_off, broken_off_elsewhere,
                engine_and_leader_end);
    return unit_main(suite);
}
