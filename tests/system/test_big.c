/* Big things: what they cause is right, to the byte, takes bounded memory, and hurts only who
 * causes it (big.h: figures beside plain Redis).
 *
 * BIG=1: a value of 500 MiB instead of 64, ten million keys instead of one. */
#include "common/buf.h"
#include "tests/lib/system.h"
#include "tests/system/big.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const struct cluster_options system_options = {
    .plain = true, .lease_ms = CLUSTER_LONG_LEASE_MS, .log_json = BIG_LOG};

enum { ELEMENTS = 1000000, PIPELINE = 100000, PIPELINES = 10 };

static void plain_serve(void)
{
    system_create();
    big_prepare(cluster);
    cluster_start(cluster);
}

/* ---- a large value ---- */

static size_t value_bytes(void)
{
    return (size_t)(big_full() ? 500 : 64) * BIG_MIB;
}

/* Sends the head of a command whose last argument is the value, the value, and what ends it. */
static int put_value(int port, const char *head)
{
    char text[64];
    int fd = big_dial(port);

    big_put_text(fd, head);
    (void)snprintf(text, sizeof text, "$%zu\r\n", value_bytes());
    big_put_text(fd, text);
    big_put_pieces(fd, value_bytes());
    big_put_text(fd, "\r\n");
    return fd;
}

/* Sends it, and reads the value; then the connection must do as before. */
static uint64_t take_value(int port, const char *before, const char *line, const char *after)
{
    int fd = big_dial(port);

    big_put_text(fd, line);
    if (before[0] != '\0') {
        big_expect(fd, before);
    }
    long long size = big_header(fd, '$');
    ck_assert_int_eq(size, (long long)value_bytes());
    big_expect_pieces(fd, value_bytes());
    big_expect(fd, after);
    big_put_text(fd, "PING\r\n");
    big_expect(fd, "+PONG\r\n");
    (void)close(fd);
    return (uint64_t)size;
}

static uint64_t set_value(int port)
{
    int fd = put_value(port, "*3\r\n$3\r\nSET\r\n$5\r\nvalue\r\n");

    big_put_text(fd, "STRLEN value\r\n");
    big_expect(fd, "+OK\r\n");
    uint64_t len = (uint64_t)big_header(fd, ':');
    (void)close(fd);
    return len;
}

static uint64_t get_value(int port)
{
    return take_value(port, "", "GET value\r\n", "\r\n");
}

static uint64_t getrange_value(int port)
{
    return take_value(port, "", "GETRANGE value 0 -1\r\n", "\r\n");
}

static uint64_t mget_value(int port)
{
    return take_value(port, "*2\r\n", "MGET value witness\r\n", "\r\n$2\r\nok\r\n");
}

static uint64_t eval_value(int port)
{
    return take_value(port, "", "EVAL \"return redis.call('GET',KEYS[1])\" 1 value\r\n", "\r\n");
}

static uint64_t exec_value(int port)
{
    return take_value(port, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n",
                      "MULTI\r\nGET value\r\nGET witness\r\nEXEC\r\n", "\r\n$2\r\nok\r\n");
}

/* One byte is read of it, but Redis' reply is small, and so is what goes to the log. */
static uint64_t touch_value(int port)
{
    char line[64];
    int fd = big_dial(port);

    (void)snprintf(line, sizeof line, "SETRANGE value %zu xyz\r\n", value_bytes());
    big_put_text(fd, line);
    (void)big_header(fd, ':');
    big_put_text(fd, "APPEND value 12345\r\nGETRANGE value -8 -1\r\n");
    uint64_t len = (uint64_t)big_header(fd, ':');
    big_expect(fd, "$8\r\nxyz12345\r\n");
    (void)close(fd);
    return len;
}

static uint64_t append_value(int port)
{
    (void)big_number(port, "DEL value2\r\n");
    int fd = put_value(port, "*3\r\n$6\r\nAPPEND\r\n$6\r\nvalue2\r\n");
    uint64_t len = (uint64_t)big_header(fd, ':');

    (void)close(fd);
    return len;
}

static uint64_t copy_value(int port)
{
    return (uint64_t)big_number(port, "COPY value value2 REPLACE\r\n");
}

static uint64_t delete_value(int port)
{
    return (uint64_t)big_number(port, "DEL value value2\r\n");
}

static uint64_t exec_set_value(int port)
{
    int fd = put_value(port, "MULTI\r\n*3\r\n$3\r\nSET\r\n$5\r\nvalue\r\n");
    big_put_text(fd, "STRLEN value\r\nEXEC\r\n");
    big_expect(fd, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n");
    uint64_t len = (uint64_t)big_header(fd, ':');
    (void)close(fd);
    return len;
}

/* What DUMP gives makes the same value again. */
static uint64_t dump_value(int port)
{
    struct buf b = BUF_INIT;
    int fd = big_dial(port);

    big_put_text(fd, "DUMP value\r\n");
    size_t size = (size_t)big_header(fd, '$');
    buf_append_str(&b, "*5\r\n$7\r\nRESTORE\r\n$5\r\nvalue\r\n$1\r\n0\r\n");
    buf_printf(&b, "$%zu\r\n", size);
    big_get(fd, buf_reserve(&b, size + 2), size + 2);
    buf_commit(&b, size + 2);
    buf_append_str(&b, "$7\r\nREPLACE\r\n");
    big_put(fd, buf_head(&b), b.len);
    big_expect(fd, "+OK\r\n");
    buf_release(&b);
    (void)close(fd);
    return size;
}

/* Large values, there and back, over and over: the proxy holds one at most once, besides what of
 * the stream is not committed. */
START_TEST(large_value)
{
    char what[64];

    (void)snprintf(what, sizeof what, "SET of %zu MiB", value_bytes() / BIG_MIB);
    big_side_by_side(cluster, what, set_value);
    big_side_by_side(cluster, "GET of it", get_value);
    big_side_by_side(cluster, "overwriting it", set_value);
    big_side_by_side(cluster, "GET again", get_value);
    size_t peak = big_peak_bytes(cluster, "proxy1");
    fprintf(stderr, "%-28s at most %zu MiB in the proxy\n", "memory", peak / BIG_MIB);
    ck_assert_uint_lt(peak, 2 * value_bytes() + (size_t)256 * BIG_MIB);
}
END_TEST

/* The other ways that a large value comes and goes. */
START_TEST(large_value_otherwise)
{
    big_side_by_side(cluster, "SET", set_value);
    big_side_by_side(cluster, "GETRANGE", getrange_value);
    big_side_by_side(cluster, "MGET", mget_value);
    big_side_by_side(cluster, "EVAL that returns it", eval_value);
    big_side_by_side(cluster, "EXEC with GET", exec_value);
    big_side_by_side(cluster, "EXEC with SET", exec_set_value);
    big_side_by_side(cluster, "DUMP, RESTORE", dump_value);
    big_side_by_side(cluster, "GET after that", get_value);
    big_side_by_side(cluster, "COPY", copy_value);
    big_side_by_side(cluster, "APPEND to it", append_value);
    big_side_by_side(cluster, "SETRANGE, APPEND of little", touch_value);
    big_side_by_side(cluster, "DEL", delete_value);
    size_t peak = big_peak_bytes(cluster, "proxy1");
    fprintf(stderr, "%-28s at most %zu MiB in the proxy\n", "memory", peak / BIG_MIB);
}
END_TEST
static int key_count(void)
{
    return big_full() ? 10000000 : 1000000;
}

static void fill_keys(int port)
{
    struct buf b = BUF_INIT;
    int count = key_count(), fd = big_dial(port);

    for (int i = 0; i < count; i += 1000) {
        buf_clear(&b);
        buf_append_str(&b, "*2001\r\n$4\r\nMSET\r\n");
        for (int j = i; j < i + 1000; j++) {
            buf_printf(&b, "$10\r\nkey%07d\r\n$1\r\nv\r\n", j);
        }
        big_put(fd, buf_head(&b), b.len);
        big_expect(fd, "+OK\r\n");
    }
    buf_release(&b);
    (void)close(fd);
}

/* Their order differs from one Redis to the next. */
static uint64_t all_keys(int port)
{
    int fd = big_dial(port);

    big_put_text(fd, "KEYS key*\r\n");
    long long count = big_header(fd, '*');
    (void)big_digest(fd, (size_t)count * sizeof "$10\r\nkey0000000\r");
    big_put_text(fd, "PING\r\n");
    big_expect(fd, "+PONG\r\n");
    (void)close(fd);
    return (uint64_t)count;
}

static uint64_t scan_keys(int port)
{
    uint64_t count = 0;
    unsigned long long cursor = 0;
    int fd = big_dial(port);

    do {
        char line[64];
        (void)snprintf(line, sizeof line, "SCAN %llu MATCH key* COUNT 10000\r\n", cursor);
        big_put_text(fd, line);
        ck_assert_int_eq(big_header(fd, '*'), 2);
        long long digits = big_header(fd, '$');
        ck_assert_int_lt(digits, 30);
        memset(line, 0, sizeof line);
        big_get(fd, line, (size_t)digits + 2);
        cursor = strtoull(line, NULL, 10);
        long long some = big_header(fd, '*');
        (void)big_digest(fd, (size_t)some * (sizeof "$10\r\nkey0000000\r"));
        count += (uint64_t)some;
    } while (cursor != 0);
    (void)close(fd);
    return count;
}

/* Besides the keys that count, there are those of the witnesses. */
static uint64_t key_number(int port)
{
    for (int i = 0; i < 100; i++) {
        int fd = big_dial(port);
        big_put_text(fd, "RANDOMKEY\r\n");
        (void)big_header(fd, '$');
        (void)close(fd);
    }
    return (uint64_t)big_number(port, "DBSIZE\r\n");
}

static uint64_t flush_keys(int port)
{
    int fd = big_dial(port);

    big_put_text(fd, "FLUSHALL\r\nSET witness ok\r\n");
    big_expect(fd, "+OK\r\n+OK\r\n");
    (void)close(fd);
    return 0;
}

/* Neither the proxy nor a log node knows more for more keys. */
START_TEST(many_keys)
{
    size_t proxy = cluster_rss_bytes(cluster, "proxy1"), log = cluster_rss_bytes(cluster, "log1");

    big_everywhere(cluster, fill_keys);
    fprintf(stderr, "%-28s proxy %zu MiB before, %zu after; log node %zu, %zu\n",
            "memory with the keys", proxy / BIG_MIB, cluster_rss_bytes(cluster, "proxy1") / BIG_MIB,
            log / BIG_MIB, cluster_rss_bytes(cluster, "log1") / BIG_MIB);
    ck_assert_uint_lt(cluster_rss_bytes(cluster, "proxy1"), proxy + (size_t)160 * BIG_MIB);
    ck_assert_uint_lt(cluster_rss_bytes(cluster, "log1"), log + (size_t)64 * BIG_MIB);
    big_side_by_side(cluster, "KEYS of all", all_keys);
    big_side_by_side(cluster, "once more", all_keys);
    big_side_by_side(cluster, "SCAN of all", scan_keys);
    big_side_by_side(cluster, "DBSIZE, RANDOMKEY", key_number);
    big_side_by_side(cluster, "FLUSHALL", flush_keys);
}
END_TEST

static void fill_list(int port)
{
    struct buf b = BUF_INIT;
    int fd = big_dial(port);

    for (int i = 0; i < ELEMENTS; i += 1000) {
        buf_clear(&b);
        buf_append_str(&b, "*1002\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n");
        for (int j = i; j < i + 1000; j++) {
            buf_printf(&b, "$12\r\nelem%08d\r\n", j);
        }
        big_put(fd, buf_head(&b), b.len);
        ck_assert_int_eq(big_header(fd, ':'), i + 1000);
    }
    buf_release(&b);
    (void)close(fd);
}

static uint64_t whole_list(int port)
{
    int fd = big_dial(port);

    big_put_text(fd, "LRANGE list 0 -1\r\n");
    ck_assert_int_eq(big_header(fd, '*'), ELEMENTS);
    uint64_t hash = big_digest(fd, (size_t)ELEMENTS * (sizeof "$12\r\nelem00000000\r"));
    big_put_text(fd, "PING\r\n");
    big_expect(fd, "+PONG\r\n");
    (void)close(fd);
    return hash;
}

static uint64_t whole_list_in_exec(int port)
{
    int fd = big_dial(port);

    big_put_text(fd, "MULTI\r\nLRANGE list 0 -1\r\nEXEC\r\n");
    big_expect(fd, "+OK\r\n+QUEUED\r\n*1\r\n");
    ck_assert_int_eq(big_header(fd, '*'), ELEMENTS);
    uint64_t hash = big_digest(fd, (size_t)ELEMENTS * (sizeof "$12\r\nelem00000000\r"));
    (void)close(fd);
    return hash;
}

START_TEST(long_list)
{
    big_everywhere(cluster, fill_list);
    big_side_by_side(cluster, "LRANGE, a million", whole_list);
    big_side_by_side(cluster, "once more", whole_list);
    big_side_by_side(cluster, "in EXEC", whole_list_in_exec);
    big_side_by_side(cluster, "once more", whole_list_in_exec);
}
END_TEST

/* One process says it all, another one reads: nothing is lost, whoever waits for whom. */
static pid_t say_pipeline(int fd, const char *key)
{
    struct buf b = BUF_INIT;

    for (int i = 0; i < PIPELINE; i++) {
        buf_printf(&b, i % 2 == 0 ? "INCR %s\r\n" : "STRLEN %s\r\n", key);
    }
    pid_t sayer = fork();
    ck_assert_int_ge(sayer, 0);
    if (sayer == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        big_put(fd, buf_head(&b), b.len);
        _exit(0);
    }
    buf_release(&b);
    return sayer;
}

static uint64_t some_pipelines(int port, int count)
{
    size_t size = 0;
    uint64_t sum = 0;
    int fds[PIPELINES];
    pid_t sayers[PIPELINES];

    for (int i = 0; i < count; i++) {
        char key[32];
        fds[i] = big_dial(port);
        (void)snprintf(key, sizeof key, "DEL counter%d\r\n", i);
        big_put_text(fds[i], key);
        (void)big_header(fds[i], ':');
    }
    for (int i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "counter%d", i);
        sayers[i] = say_pipeline(fds[i], key);
    }
    for (long long i = 1; i <= PIPELINE / 2; i++) {
        char text[64];
        size += (size_t)snprintf(text, sizeof text, ":%lld\r\n", i);
        size += (size_t)snprintf(text, sizeof text, ":%zu\r\n",
                                 (size_t)snprintf(text, sizeof text, "%lld", i));
    }
    for (int i = 0; i < count; i++) {
        sum += big_digest(fds[i], size);
        ck_assert_int_eq(waitpid(sayers[i], NULL, 0), sayers[i]);
        (void)close(fds[i]);
    }
    return sum;
}

static uint64_t one_pipeline(int port)
{
    return some_pipelines(port, 1);
}

static uint64_t ten_pipelines(int port)
{
    return some_pipelines(port, PIPELINES);
}

START_TEST(pipeline)
{
    big_side_by_side(cluster, "100,000 commands at once", one_pipeline);
    big_side_by_side(cluster, "by each of ten clients", ten_pipelines);
}
END_TEST

/* ---- two proxies ---- */

static void two_serve(void)
{
    static const struct cluster_options two = {.pairs = 2, .log_json = BIG_LOG};

    system_serve_with(&two);
}

/* Verified, and stored by a quorum. */
static bool has_snapshot(void *leader)
{
    char value[64];

    return cluster_info_of(cluster, leader, "holdfast_snapshot_bytes", value, sizeof value) &&
           atoll(value) > (long long)BIG_MIB;
}

/* A large value comes over a proxy that follows, alone and in a transaction; it is what it was at
 * the next leader, and in a Redis that is made anew, from a snapshot if it is at full size. */
START_TEST(large_value_follows)
{
    const char *leader = cluster_wait_leader(cluster), *follower = cluster_other(cluster, leader);
    const char *redis = cluster_redis_of(cluster, follower);

    cluster_wait_followers(cluster);
    ck_assert_uint_eq(set_value(cluster_port(cluster, follower)), value_bytes());
    ck_assert_uint_eq(get_value(cluster_port(cluster, follower)), value_bytes());
    ck_assert_uint_eq(exec_set_value(cluster_port(cluster, follower)), value_bytes());
    ck_assert_uint_eq(get_value(cluster_port(cluster, leader)), value_bytes());
    if (big_full()) {
        cluster_wait("a snapshot with it", 400000, has_snapshot, (void *)(uintptr_t)leader);
    }
    cluster_kill(cluster, redis);
    cluster_spawn(cluster, redis);
    cluster_wait_followers(cluster);
    cluster_kill(cluster, leader);
    cluster_wait_leader(cluster);
    ck_assert_str_eq(cluster_leader(cluster), follower);
    ck_assert_uint_eq(get_value(cluster_port(cluster, follower)), value_bytes());
    ck_assert_uint_eq(touch_value(cluster_port(cluster, follower)), value_bytes() + 8);
}
END_TEST

/* A case of its own, with a cluster of its own, for each: CK_RUN_CASE runs one. */
int main(void)
{
    Suite *suite = suite_create("big");

    SYSTEM_CASE(suite, "pipeline", plain_serve, 900, pipeline);
    SYSTEM_CASE(suite, "list", plain_serve, 900, long_list);
    SYSTEM_CASE(suite, "keys", plain_serve, 900, many_keys);
    SYSTEM_CASE(suite, "value", plain_serve, 900, large_value);
    SYSTEM_CASE(suite, "otherwise", plain_serve, 900, large_value_otherwise);
    SYSTEM_CASE(suite, "follower", two_serve, 900, large_value_follows);
    return unit_main(suite);
}
