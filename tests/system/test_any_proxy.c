/* Clients of proxies that do not lead: whatever address they know, they are served as by a plain
 * Redis, through failovers as well. */
#include "common/clock.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"
#include "tests/system/commands.h"
#include "tests/system/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cluster_options system_options = {
    .pairs = 3, .plain = true, .lease_ms = CLUSTER_LONG_LEASE_MS};

enum { PIPELINE = 10000, BIG_BYTES = 20 << 20, KILLS = 4, HAND_OVERS = 6 };

/* A proxy that follows; which of them. */
static const char *follower(unsigned which)
{
    static char name[2][16];
    const char *leader = cluster_leader(cluster);

    for (unsigned i = 1, found = 0; i <= 3; i++) {
        snprintf(name[which], sizeof name[which], "proxy%u", i);
        if (strcmp(name[which], leader) != 0 && found++ == which) {
            return name[which];
        }
    }
    ck_abort_msg("no follower");
}

static void open_follower(struct wire *w, unsigned which)
{
    wire_open(w, cluster_port(cluster, follower(which)));
}

/* ---- as a plain Redis ---- */

struct pair {
    struct wire proxy, plain;
    struct buf proxy_reply, plain_reply;
    int different;
};

static void compare_one(const char *line, const char *const argv[], void *arg)
{
    struct pair *p = arg;

    ck_assert_int_eq(wire_sendv(&p->proxy, argv), ERR_OK);
    ck_assert_int_eq(wire_sendv(&p->plain, argv), ERR_OK);
    ck_assert_int_eq(wire_reply(&p->plain, &p->plain_reply, WIRE_PATIENCE_MS), ERR_OK);
    int rv = wire_reply(&p->proxy, &p->proxy_reply, WIRE_PATIENCE_MS);
    ck_assert_msg(rv == ERR_OK, "no reply to %s: %s", line, err_text(rv));
    if (p->proxy_reply.len != p->plain_reply.len ||
        memcmp(buf_head(&p->proxy_reply), buf_head(&p->plain_reply), p->plain_reply.len) != 0) {
        fprintf(stderr, "%s\n  Redis says    %.300s\n  Holdfast says %.300s\n", line,
                (char *)buf_head(&p->plain_reply), (char *)buf_head(&p->proxy_reply));
        p->different++;
    }
}

static void compare_all(bool resp3)
{
    static const char *const hello[] = {"HELLO", "3", NULL};
    static const char *const flush[] = {"FLUSHALL", NULL};
    struct pair p = {.different = 0};

    open_follower(&p.proxy, 0);
    wire_open(&p.plain, cluster_port(cluster, "plain1"));
    if (resp3) {
        ck_assert_int_eq(wire_sendv(&p.proxy, hello), ERR_OK);
        ck_assert_int_eq(wire_sendv(&p.plain, hello), ERR_OK);
        ck_assert_int_eq(wire_reply(&p.proxy, &p.proxy_reply, WIRE_PATIENCE_MS), ERR_OK);
        ck_assert_int_eq(wire_reply(&p.plain, &p.plain_reply, WIRE_PATIENCE_MS), ERR_OK);
    }
    compare_one("FLUSHALL", flush, &p);
    commands_each(compare_one, &p);
    ck_assert_int_eq(p.different, 0);
    wire_close(&p.proxy);
    wire_close(&p.plain);
    buf_release(&p.proxy_reply);
    buf_release(&p.plain_reply);
}

/* Every command of the list that test_basic has, through a proxy that does not lead. */
START_TEST(replies_are_those_of_redis)
{
    compare_all(false);
}
END_TEST

START_TEST(replies_are_those_of_redis_in_resp3)
{
    compare_all(true);
}
END_TEST

/* What is written through one address is read through any other, at once. */
#define QUEUED "+QUEUED\r\n"

static bool is_busy(struct wire *w)
{
    struct buf reply = BUF_INIT;

    wire_command(w, "GET", "k");
    ck_assert_int_eq(wire_reply(w, &reply, WIRE_PATIENCE_MS), ERR_OK);
    bool busy = reply.len > 5 && memcmp(buf_head(&reply), "-BUSY", 5) == 0;
    buf_release(&reply);
    return busy;
}

/* A slow script of one client holds up nobody else, also not who shares its link to the leader:
 * they hear that Redis is busy. */
START_TEST(a_script_holds_up_nobody_else)
{
    enum { CLIENTS = 20 }; /* more than there are links */
    struct wire leader, w[CLIENTS];

    wire_open(&leader, cluster_port(cluster, cluster_leader(cluster)));
    wire_asks(&leader, "+OK\r\n", "CONFIG", "SET", "busy-reply-threshold", "10");
    for (int i = 0; i < CLIENTS; i++) {
        open_follower(&w[i], 0);
        wire_asks(&w[i], "+PONG\r\n", "PING");
    }
    wire_command(&w[0], "EVAL", "while true do end", "0");
    while (!is_busy(&leader)) {
    }
    for (int i = 1; i < CLIENTS; i++) {
        ck_assert(is_busy(&w[i]));
    }
    wire_asks(&leader, "+OK\r\n", "SCRIPT", "KILL");
    for (int i = 1; i < CLIENTS; i++) {
        while (is_busy(&w[i])) {
        }
        wire_close(&w[i]);
    }
    wire_asks(&leader, "+OK\r\n", "CONFIG", "SET", "busy-reply-threshold", "5000");
    wire_close(&w[0]);
    wire_close(&leader);
}
END_TEST

/* INFO is about the proxy that is asked, on whatever link the requests before it are. */
START_TEST(info_behind_what_is_forwarded)
{
    enum { CLIENTS = 20 }; /* more than there are links */
    struct wire w[CLIENTS];
    struct buf reply = BUF_INIT;

    for (int i = 0; i < CLIENTS; i++) {
        open_follower(&w[i], 0);
        wire_asks(&w[i], "+PONG\r\n", "PING");
        wire_queue(&w[i], "GET", "nosuch");
        wire_queue(&w[i], "INFO");
        wire_queue(&w[i], "GET", "nosuch");
        wire_flush(&w[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        wire_expect(&w[i], "$-1\r\n");
        buf_clear(&reply);
        ck_assert_int_eq(wire_reply(&w[i], &reply, WIRE_PATIENCE_MS), ERR_OK);
        wire_expect(&w[i], "$-1\r\n");
        wire_close(&w[i]);
    }
    buf_release(&reply);
}
END_TEST

/* What a client says of itself inside MULTI is carried out by the leader's Redis, and counts here.
 */
START_TEST(sessions_in_transactions)
{
    struct wire w, other;

    open_follower(&w, 0);
    open_follower(&other, 1);
    wire_asks(&w, "+OK\r\n", "ACL", "SETUSER", "alice", "reset", "on", ">pw", "~a:*", "+@all");
    wire_asks(&w, "+OK\r\n", "SET", "b:1", "x");
    wire_asks(&w, ":3\r\n", "WAIT", "3", "60000"); /* inside MULTI nobody is waited for */
    wire_asks(&w, "+OK\r\n", "MULTI");
    wire_asks(&w, QUEUED, "WAIT", "9", "0");
    wire_asks(&w, QUEUED, "SELECT", "3");
    wire_asks(&w, QUEUED, "SET", "a:1", "three");
    wire_asks(&w, QUEUED, "SELECT", "0");
    wire_asks(&w, QUEUED, "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "b:");
    wire_asks(&w, QUEUED, "AUTH", "alice", "pw");
    wire_asks(&w, QUEUED, "ACL", "WHOAMI");
    wire_asks(&w, QUEUED, "GET", "b:1");
    wire_asks(
        &w,
        "*8\r\n:3\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n$5\r\nalice\r\n"
        "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the "
        "EXEC "
        "call. This command is no longer allowed for the following reason: no permission to touch "
        "the specified keys\r\n",
        "EXEC");
    wire_asks(&w, "$5\r\nalice\r\n", "ACL", "WHOAMI");
    wire_command(&w, "HELLO", "3", "AUTH", "default", "");
    wire_expect_begin(&w, "%");
    wire_asks(&w, "$1\r\nx\r\n", "GET", "b:1"); /* its link speaks RESP3 from the next command on */
    wire_asks(&other, "+OK\r\n", "SET", "b:1", "y");
    wire_expect(&w, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nb:1\r\n");
    wire_asks(&w, "$1\r\ny\r\n", "GET", "b:1");
    wire_close(&w);
    wire_close(&other);
}
END_TEST

START_TEST(one_dataset)
{
    struct wire w[3];
    char value[16], expected[32];

    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "proxy%u", i + 1);
        wire_open(&w[i], cluster_port(cluster, name));
    }
    for (unsigned n = 0; n < 300; n++) {
        int len = snprintf(value, sizeof value, "%u", n);
        snprintf(expected, sizeof expected, "$%d\r\n%s\r\n", len, value);
        wire_command(&w[n % 3], "SET", "shared", value);
        wire_expect(&w[n % 3], "+OK\r\n");
        wire_command(&w[(n + 1) % 3], "GET", "shared");
        wire_expect(&w[(n + 1) % 3], expected);
    }
    for (unsigned i = 0; i < 3; i++) {
        wire_close(&w[i]);
    }
}
END_TEST

enum { FORWARD_LINKS = 8, FORWARD_SPARE = 4 };

/* Whether the leader knows so many connections of the follower whose name stands behind "name=". */
static bool spares_are_up(void *arg)
{
    struct buf list = BUF_INIT;
    struct wire w;
    size_t count = 0;

    wire_open(&w, cluster_port(cluster, cluster_leader(cluster)));
    wire_command(&w, "CLIENT", "LIST");
    ck_assert_int_eq(wire_reply(&w, &list, WIRE_PATIENCE_MS), ERR_OK);
    for (const char *at = (const char *)buf_head(&list); (at = strstr(at, arg)) != NULL; at++) {
        count++;
    }
    buf_release(&list);
    wire_close(&w);
    return count >= FORWARD_LINKS + FORWARD_SPARE;
}

/* Who blocks is there before what the next client says, though nobody has waited for that: also if
 * the proxy hears of both at once. */
START_TEST(who_blocks_is_not_overtaken)
{
    struct wire w, blocked[FORWARD_SPARE];
    char name[32], key[24], popped[64];

    (void)snprintf(name, sizeof name, "name=%s ", follower(0));
    cluster_wait("links that are there before anybody asks", WIRE_PATIENCE_MS, spares_are_up, name);
    open_follower(&w, 0);
    wire_asks(&w, "+PONG\r\n", "PING");
    for (int i = 0; i < FORWARD_SPARE; i++) {
        open_follower(&blocked[i], 0);
        wire_asks(&blocked[i], "+PONG\r\n", "PING");
    }
    for (int i = 0; i < FORWARD_SPARE; i++) {
        (void)snprintf(key, sizeof key, "queue%d", i);
        cluster_pause(cluster, follower(0));
        wire_command(&blocked[i], "BRPOP", key, "0");
        wire_queue(&w, "LPUSH", key, "x");
        wire_queue(&w, "LPOP", key);
        wire_flush(&w);
        cluster_resume(cluster, follower(0));
        wire_expect(&w, ":1\r\n");
        wire_expect(&w, "$-1\r\n");
        (void)snprintf(popped, sizeof popped, "*2\r\n$%zu\r\n%s\r\n$1\r\nx\r\n", strlen(key), key);
        wire_expect(&blocked[i], popped);
        wire_close(&blocked[i]);
    }
    wire_close(&w);
}
END_TEST

/* ---- much at once ---- */

/* A pipeline of 10,000 writes and reads with transactions between them, answered in order. */
START_TEST(long_pipeline)
{
    struct wire w;
    struct buf reply = BUF_INIT;
    char key[16], value[16], expected[64];

    open_follower(&w, 0);
    for (int i = 0; i < PIPELINE; i++) {
        snprintf(key, sizeof key, "p%d", i % 100);
        snprintf(value, sizeof value, "%07d", i);
        wire_queue(&w, "SET", key, value);
        wire_queue(&w, "GET", key);
        if (i % 100 == 0) {
            wire_queue(&w, "SELECT", i % 200 == 0 ? "1" : "0");
            wire_queue(&w, "MULTI");
            wire_queue(&w, "SET", "t", value);
            wire_queue(&w, "GET", "t");
            wire_queue(&w, "EXEC");
        }
    }
    for (int i = 0; i < PIPELINE; i++) {
        snprintf(expected, sizeof expected, "$7\r\n%07d\r\n", i);
        wire_flush(&w);
        wire_expect(&w, "+OK\r\n");
        wire_flush(&w);
        wire_expect(&w, expected);
        if (i % 100 == 0) {
            wire_expect(&w, "+OK\r\n");
            wire_expect(&w, "+OK\r\n");
            wire_expect(&w, "+QUEUED\r\n");
            wire_expect(&w, "+QUEUED\r\n");
            snprintf(expected, sizeof expected, "*2\r\n+OK\r\n$7\r\n%07d\r\n", i);
            wire_expect(&w, expected);
        }
    }
    wire_close(&w);
    buf_release(&reply);
}
END_TEST

/* A value of 20 MB comes through both ways; a client that asks for it many times and does not read
 * neither fills the proxy's memory nor holds up others on the same links. */
START_TEST(big_values_and_slow_readers)
{
    struct wire w, slow, other;
    struct buf reply = BUF_INIT, request = BUF_INIT;
    char name[16];
    char *big = malloc(BIG_BYTES);

    ck_assert_ptr_nonnull(big);
    memset(big, 'b', BIG_BYTES);
    buf_printf(&request, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n", BIG_BYTES);
    buf_append(&request, big, BIG_BYTES);
    buf_append_str(&request, "\r\n");
    snprintf(name, sizeof name, "%s", follower(0));
    wire_open(&w, cluster_port(cluster, name));
    ck_assert_int_eq(wire_send(&w, buf_head(&request), request.len), ERR_OK);
    wire_expect(&w, "+OK\r\n");
    wire_command(&w, "GET", "big");
    ck_assert_int_eq(wire_reply(&w, &reply, WIRE_PATIENCE_MS), ERR_OK);
    ck_assert_uint_eq(reply.len, (size_t)BIG_BYTES + 13);
    wire_open(&slow, cluster_port(cluster, name));
    for (int i = 0; i < 100; i++) {
        wire_command(&slow, "GET", "big");
    }
    wire_open(&other, cluster_port(cluster, name));
    for (int i = 0; i < 200; i++) {
        wire_command(&other, "INCR", "others");
        ck_assert_int_eq(wire_reply(&other, &reply, WIRE_PATIENCE_MS), ERR_OK);
    }
    /* what was let in before it was known how large the replies are, and what test and tools need
     */
    ck_assert_uint_lt(cluster_rss_bytes(cluster, name), (size_t)1100 << 20);
    wire_close(&slow);
    wire_asks(&w, ":1\r\n", "DEL", "big");
    wire_close(&w);
    wire_close(&other);
    buf_release(&reply);
    buf_release(&request);
    free(big);
}
END_TEST

/* ---- reads of a replica ---- */

static long long number_in(struct wire *w, const char *key)
{
    struct buf reply = BUF_INIT;

    wire_command(w, "GET", key);
    ck_assert_int_eq(wire_reply(w, &reply, WIRE_PATIENCE_MS), ERR_OK);
    const char *text = (const char *)buf_head(&reply);
    ck_assert_msg(text[0] == '$', "GET %s: %.80s", key, text);
    long long value = text[1] == '-' ? 0 : strtoll(strchr(text, '\n') + 1, NULL, 10);
    buf_release(&reply);
    return value;
}

static bool caught_up(void *arg)
{
    return number_in(arg, "second") == 500;
}

/* While "first" and then "second" are raised through one proxy, reads behind READONLY on another
 * one see a prefix of that: never a "second" above "first", never a step back, and in the end all
 * of it. They do come from the Redis beside that proxy. */
START_TEST(readonly_sees_a_prefix)
{
    struct wire writer, reader;
    char value[16], before[32], after[32];
    char name[16];
    long long first = 0, second = 0;

    snprintf(name, sizeof name, "%s", follower(1));
    ck_assert(cluster_info_of(cluster, name, "holdfast_replica_reads", before, sizeof before));
    open_follower(&writer, 0);
    wire_open(&reader, cluster_port(cluster, name));
    wire_asks(&reader, "+OK\r\n", "READONLY");
    for (int i = 1; i <= 500; i++) {
        snprintf(value, sizeof value, "%d", i);
        wire_command(&writer, "SET", "first", value);
        wire_command(&writer, "SET", "second", value);
        long long at_second = number_in(&reader, "second"), at_first = number_in(&reader, "first");
        ck_assert_int_ge(at_first, at_second);
        ck_assert_int_ge(at_first, first);
        ck_assert_int_ge(at_second, second);
        first = at_first;
        second = at_second;
        wire_expect(&writer, "+OK\r\n");
        wire_expect(&writer, "+OK\r\n");
    }
    cluster_wait("the replica to catch up", WIRE_PATIENCE_MS, caught_up, &reader);
    ck_assert(cluster_info_of(cluster, name, "holdfast_replica_reads", after, sizeof after));
    ck_assert_int_ge(strtoll(after, NULL, 10), strtoll(before, NULL, 10) + 1000);
    wire_command(&reader, "SET", "first", "501"); /* goes to the leader */
    wire_expect(&reader, "+OK\r\n");
    wire_asks(&reader, "+OK\r\n", "READWRITE");
    ck_assert_int_eq(number_in(&reader, "first"), 501);
    wire_close(&writer);
    wire_close(&reader);
}
END_TEST

/* Who leads says that it is a master, with the others as its replicas; they say whose. */
START_TEST(roles_are_told)
{
    const char *leader = cluster_leader(cluster);
    char text[16384], expected[64];

    cluster_ask(cluster, leader, text, sizeof text, (const char *[]){"INFO", "replication", NULL});
    ck_assert_ptr_nonnull(strstr(text, "role:master\r\nconnected_slaves:2\r\n"));
    snprintf(expected, sizeof expected, ",port=%d,state=online",
             cluster_port(cluster, follower(0)));
    ck_assert_msg(strstr(text, expected) != NULL, "%.1000s", text);
    snprintf(expected, sizeof expected, "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:%d\r\n",
             cluster_port(cluster, leader));
    cluster_ask(cluster, follower(0), text, sizeof text, (const char *[]){"INFO", NULL});
    ck_assert_msg(strstr(text, expected) != NULL, "%.1000s", text);
    ck_assert_ptr_nonnull(strstr(text, "master_link_status:up"));
    ck_assert_ptr_nonnull(strstr(text, "# Keyspace"));
}
END_TEST

/* LATENCY HISTOGRAM is of who leads, with what that proxy has answered itself, wherever it is
 * asked, as CONFIG RESETSTAT is for that one. */
START_TEST(counts_are_the_leaders)
{
    static const char two[] = "*2\r\n$14\r\nclient|getname\r\n*4\r\n$5\r\ncalls\r\n:2\r\n";
    struct wire leads, follows;

    wire_open(&leads, cluster_port(cluster, cluster_leader(cluster)));
    open_follower(&follows, 0);
    for (int i = 0; i < 3; i++) {
        wire_asks(&follows, "$-1\r\n", "CLIENT", "GETNAME");
    }
    wire_asks(&follows, "+OK\r\n", "CONFIG", "RESETSTAT");
    for (int i = 0; i < 2; i++) {
        wire_asks(&leads, "$-1\r\n", "CLIENT", "GETNAME");
    }
    wire_command(&follows, "LATENCY", "HISTOGRAM", "client|getname");
    wire_expect_begin(&follows, two);
    wire_command(&leads, "LATENCY", "HISTOGRAM", "client|getname");
    wire_expect_begin(&leads, two);
    wire_close(&leads);
    wire_close(&follows);
}
END_TEST

/* PUBLISH tells how many get the message at the proxy that leads, and at the one that is asked. */
START_TEST(receivers_here_are_counted)
{
    static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
    static const char message[] = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n";
    static const char says[][3] = {"1", "2", "3", "4"};
    char expected[64];
    struct wire leads, w, here, pattern, there;

    wire_open(&leads, cluster_port(cluster, cluster_leader(cluster)));
    wire_open(&there, cluster_port(cluster, cluster_leader(cluster)));
    open_follower(&w, 0);
    open_follower(&here, 0);
    open_follower(&pattern, 0);
    wire_asks(&w, ":0\r\n", "PUBLISH", "nothing", "0");
    wire_asks(&here, subscribed, "SUBSCRIBE", "news");
    wire_asks(&w, ":1\r\n", "PUBLISH", "news", "1");
    wire_asks(&there, subscribed, "SUBSCRIBE", "news");
    wire_asks(&pattern, "*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n", "PSUBSCRIBE", "n*");
    wire_asks(&w, "+OK\r\n", "MULTI");
    wire_asks(&w, QUEUED, "PUBLISH", "news", "2");
    wire_asks(&w, "*1\r\n:3\r\n", "EXEC");
    wire_asks(&w, "+OK\r\n", "WATCH", "k"); /* from here on over a link of its own */
    wire_asks(&w, ":3\r\n", "PUBLISH", "news", "3");
    wire_asks(&leads, ":1\r\n", "PUBLISH", "news", "4");
    for (size_t i = 0; i < sizeof says / sizeof *says; i++) {
        snprintf(expected, sizeof expected, "%s%s\r\n", message, says[i]);
        wire_expect(&here, expected);
        if (i > 0) {
            wire_expect(&there, expected);
        }
    }
    wire_asks(&here, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n", "UNSUBSCRIBE", "news");
    wire_close(&pattern);
    wire_close(&there);
    wire_close(&here);
    wire_close(&leads);
    wire_close(&w);
}
END_TEST

/* ---- a leader goes ---- */

struct progress {
    struct load *load;
    uint64_t writes;
};

static bool goes_on(void *arg)
{
    struct progress *p = arg;
    return load_counts(p->load).writes_acked >= p->writes;
}

/* All proxies serve, and there are no keys. */
static void begin_empty(void)
{
    char reply[64];

    cluster_start(cluster);
    cluster_ask(cluster, "proxy1", reply, sizeof reply, (const char *[]){"FLUSHALL", NULL});
}

/* The leader, its Redis as well, is killed under load that comes over all proxies. Nothing that was
 * acknowledged is lost, nobody reads what is taken back, and clients of the others are told no
 * error: their requests wait, or, if they were on their way, their connection is closed. */
START_TEST(leader_killed_under_load)
{
    struct load_options options = {
        .port = cluster_port(cluster, "proxy1"),
        .more_ports = {cluster_port(cluster, "proxy2"), cluster_port(cluster, "proxy3")},
        .writers = 6,
        .readers = 6,
        .seed = 7};
    struct load *l = load_create(&options);

    begin_empty();
    for (int i = 0; i < KILLS; i++) {
        struct progress p = {l, load_counts(l).writes_acked + 300};
        load_run(l, WIRE_PATIENCE_MS, goes_on, &p);
        const char *leader = cluster_leader(cluster);
        uint64_t killed_ns = clock_now_ns();
        cluster_kill(cluster, leader);
        if (i % 2 == 0) {
            cluster_kill(cluster, cluster_redis_of(cluster, leader));
        }
        p.writes = load_counts(l).writes_acked + 300;
        load_run(l, WIRE_PATIENCE_MS, goes_on, &p);
        ck_assert_msg(goes_on(&p), "no writes after %s was killed", leader);
        printf("kill %d: 300 more writes within %llu ms\n", i + 1,
               (unsigned long long)((clock_now_ns() - killed_ns) / CLOCK_NS_PER_MS));
        ck_assert(load_settle(l, WIRE_PATIENCE_MS));
        cluster_start(cluster);
        load_check(l);
    }
    struct load_counts counts = load_counts(l);
    printf("%llu writes, %llu reads; refused %llu, loading %llu, closed %llu, unknown %llu\n",
           (unsigned long long)counts.writes_acked, (unsigned long long)counts.reads_done,
           (unsigned long long)counts.refused, (unsigned long long)counts.loading,
           (unsigned long long)counts.closed, (unsigned long long)counts.unknown);
    ck_assert_uint_eq(counts.refused, 0);
    ck_assert_uint_eq(counts.loading, 0);
    load_destroy(l);
}
END_TEST

static bool hands_over(void *arg)
{
    const char *leader = cluster_leader(cluster);
    return leader[0] != '\0' && strcmp(leader, arg) != 0;
}

/* The leader hands over under load that comes over all proxies, itself included: nobody is told an
 * error, and nobody's connection ends. */
START_TEST(leader_hands_over_under_load)
{
    struct load_options options = {
        .port = cluster_port(cluster, "proxy1"),
        .more_ports = {cluster_port(cluster, "proxy2"), cluster_port(cluster, "proxy3")},
        .writers = 6,
        .readers = 6,
        .seed = 9};
    struct load *l = load_create(&options);
    uint64_t longest_us = 0;

    begin_empty();
    for (int i = 0; i < HAND_OVERS; i++) {
        char reply[64];
        struct progress p = {l, load_counts(l).writes_acked + 300};
        load_run(l, WIRE_PATIENCE_MS, goes_on, &p);
        const char *leader = cluster_leader(cluster);
        struct load_counts before = load_counts(l);
        cluster_ask(cluster, leader, reply, sizeof reply,
                    (const char *[]){"HOLDFAST", "FAILOVER", NULL});
        load_run(l, WIRE_PATIENCE_MS, hands_over, (void *)(uintptr_t)leader);
        p.writes = load_counts(l).writes_acked + 300;
        load_run(l, WIRE_PATIENCE_MS, goes_on, &p);
        struct load_counts after = load_counts(l);
        ck_assert_msg(goes_on(&p), "no writes after %s handed over", leader);
        ck_assert_uint_eq(after.closed, before.closed);
        ck_assert_uint_eq(after.unknown, before.unknown);
        ck_assert_uint_eq(after.refused + after.loading, before.refused + before.loading);
        longest_us = after.latency_max_us > longest_us ? after.latency_max_us : longest_us;
        ck_assert(load_settle(l, WIRE_PATIENCE_MS));
        cluster_wait_followers(cluster);
        load_check(l);
    }
    printf("%d hand-overs: no request took longer than %llu ms\n", HAND_OVERS,
           (unsigned long long)longest_us / 1000);
    load_destroy(l);
}
END_TEST

/* The leader is frozen under load: clients of the others go on with the next one, and when it is
 * thawed it tells its own nothing old. */
START_TEST(leader_frozen_under_load)
{
    struct load_options options = {
        .port = cluster_port(cluster, "proxy1"),
        .more_ports = {cluster_port(cluster, "proxy2"), cluster_port(cluster, "proxy3")},
        .writers = 6,
        .readers = 6,
        .seed = 11};
    struct load *l = load_create(&options);

    begin_empty();
    for (int i = 0; i < 2; i++) {
        struct progress p = {l, load_counts(l).writes_acked + 300};
        load_run(l, WIRE_PATIENCE_MS, goes_on, &p);
        const char *leader = cluster_leader(cluster);
        cluster_pause(cluster, leader);
        p.writes = load_counts(l).writes_acked + 300;
        load_run(l, WIRE_PATIENCE_MS, goes_on, &p);
        ck_assert_msg(goes_on(&p), "no writes after %s was frozen", leader);
        cluster_resume(cluster, leader);
        p.writes += 300;
        load_run(l, WIRE_PATIENCE_MS, goes_on, &p);
        ck_assert(load_settle(l, WIRE_PATIENCE_MS));
        cluster_wait_followers(cluster);
        load_check(l);
    }
    load_destroy(l);
}
END_TEST

/* Leaders are to fail here, and soon. */
static void serve_with_short_lease(void)
{
    struct cluster_options options = system_options;

    options.lease_ms = 0;
    system_serve_with(&options);
}

int main(void)
{
    Suite *suite = suite_create("any_proxy");

    SYSTEM_CASE(suite, "any_proxy", system_serve, 240, replies_are_those_of_redis,
                replies_are_those_of_redis_in_resp3, sessions_in_transactions,
                a_script_holds_up_nobody_else, info_behind_what_is_forwarded, one_dataset,
                who_blocks_is_not_overtaken, long_pipeline, big_values_and_slow_readers,
                readonly_sees_a_prefix, roles_are_told, receivers_here_are_counted,
                counts_are_the_leaders, leader_hands_over_under_load);
    SYSTEM_CASE(suite, "leaders", serve_with_short_lease, 240, leader_frozen_under_load,
                leader_killed_under_load);
    return unit_main(suite);
}
