/* Clients that want less than a commit, or more: HOLDFAST SYNC, WAIT, WAITAOF. */
#include "common/clock.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <string.h>

enum { SILENCE_MS = 150 };

/* The lease lasts for as long as log nodes stand still here. */
const struct cluster_options system_options = {
    .pairs = 2, .lease_ms = 10000, .proxy_json = "\"limits\": {\"async_max_age_ms\": 1500}"};

static void open_on(struct wire *w, const char *proxy)
{
    wire_open(w, cluster_port(cluster, proxy));
}

/* The connection is not synchronous from now on. */
static void open_async(struct wire *w, const char *proxy)
{
    open_on(w, proxy);
    wire_asks(w, "+OK\r\n", "HOLDFAST", "SYNC", "OFF");
}

static long long info_number(const char *section, const char *field)
{
    char line[64];
    struct wire w;
    struct buf reply = BUF_INIT;

    open_on(&w, cluster_leader(cluster));
    wire_command(&w, "INFO", section);
    ck_assert_int_eq(wire_reply(&w, &reply, WIRE_PATIENCE_MS), ERR_OK);
    (void)snprintf(line, sizeof line, "\n%s:", field);
    const char *at = strstr((char *)buf_head(&reply), line);
    ck_assert_msg(at != NULL, "no %s", field);
    long long number = strtoll(at + strlen(line), NULL, 10);
    buf_release(&reply);
    wire_close(&w);
    return number;
}

static bool a_client_is_blocked(void *arg)
{
    (void)arg;
    return info_number("clients", "blocked_clients") == 1;
}

static bool log_is_late(void *arg)
{
    (void)arg;
    return info_number("holdfast", "holdfast_unlogged_ms") > 1600;
}

static void pause_two(void)
{
    cluster_pause(cluster, "log2");
    cluster_pause(cluster, "log3");
}

static void resume_two(void)
{
    cluster_resume(cluster, "log2");
    cluster_resume(cluster, "log3");
}

/* Two log nodes stand still: nothing is committed. A connection with SYNC OFF gets its answers, at
 * the leader or through a follower, and sees its own writes; everybody else's wait, reads of what
 * it wrote among them. WAIT tells who has it. When the log is late, its writes are refused; when
 * the log goes on, everything is answered. */
static void off(const char *proxy)
{
    struct wire async, reader, writer, fresh;

    open_async(&async, proxy);
    open_on(&reader, proxy);
    open_on(&writer, proxy);
    wire_asks(&async, "+OK\r\n", "MSET", "a", "0", "b", "0");
    wire_asks(&async, "*2\r\n:1\r\n:3\r\n", "WAITAOF", "1", "3", "0");
    pause_two();
    wire_asks(&async, ":1\r\n", "INCR", "a");
    wire_asks(&async, "$1\r\n1\r\n", "GET", "a");
    wire_send_str(&async, "MULTI\r\nINCR a\r\nEXEC\r\n");
    wire_expect(&async, "+OK\r\n");
    wire_expect(&async, "+QUEUED\r\n");
    wire_expect(&async, "*1\r\n:2\r\n");
    wire_asks(&async, "*2\r\n:0\r\n:1\r\n", "WAITAOF", "1", "2", "100");
    wire_asks(&reader, "$1\r\n0\r\n", "GET", "b");
    wire_command(&reader, "GET", "a");
    wire_command(&writer, "SET", "c", "1");
    ck_assert(wire_silent(&reader, SILENCE_MS));
    ck_assert(wire_silent(&writer, SILENCE_MS));
    cluster_wait("the log to be late", WIRE_PATIENCE_MS, log_is_late, NULL);
    open_async(&fresh, proxy);
    wire_command(&fresh, "SET", "a", "9");
    wire_expect(&fresh, "-NOREPLICAS The log is behind by more than limits.async_max_age_ms; this "
                        "was not executed.\r\n");
    wire_asks(&fresh, "$1\r\n2\r\n", "GET", "a");
    ck_assert(wire_silent(&reader, SILENCE_MS));
    resume_two();
    wire_expect(&reader, "$1\r\n2\r\n");
    wire_expect(&writer, "+OK\r\n");
    wire_asks(&async, ":3\r\n", "WAIT", "3", "0");
    wire_asks(&async, "+OFF\r\n", "HOLDFAST", "SYNC");
    wire_close(&async);
    wire_close(&reader);
    wire_close(&writer);
    wire_close(&fresh);
}

START_TEST(off_at_the_leader)
{
    off(cluster_leader(cluster));
    ck_assert_int_gt(info_number("holdfast", "holdfast_async_replies"), 3);
}
END_TEST

START_TEST(off_through_a_follower)
{
    off(cluster_follower(cluster));
}
END_TEST

/* WAIT for more nodes than have it: for its time, or until they do; a blocked client as others are,
 * and what was asked behind it is not executed before. */
START_TEST(wait_for_all)
{
    struct wire w, other;
    char id[32];
    struct buf reply = BUF_INIT;

    open_on(&w, cluster_leader(cluster));
    open_on(&other, cluster_leader(cluster));
    wire_command(&w, "CLIENT", "ID");
    ck_assert_int_eq(wire_reply(&w, &reply, WIRE_PATIENCE_MS), ERR_OK);
    (void)snprintf(id, sizeof id, "%lld", strtoll((char *)buf_head(&reply) + 1, NULL, 10));
    cluster_pause(cluster, "log3");
    wire_asks(&w, "+OK\r\n", "SET", "k", "1");
    wire_asks(&w, ":2\r\n", "WAIT", "2", "0");
    uint64_t began_ns = clock_now_ns();
    wire_asks(&w, ":2\r\n", "WAIT", "3", "200");
    ck_assert_uint_ge(clock_now_ns() - began_ns, 199 * CLOCK_NS_PER_MS);
    wire_send_str(&w, "WAIT 3 0\r\nSET behind 1\r\n");
    cluster_wait("a blocked client", WIRE_PATIENCE_MS, a_client_is_blocked, NULL);
    ck_assert_int_eq(info_number("clients", "connected_clients"), 3);
    wire_asks(&other, ":0\r\n", "EXISTS", "behind");
    wire_asks(&other, ":1\r\n", "CLIENT", "UNBLOCK", id, "ERROR");
    wire_expect(&w, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    wire_expect(&w, "+OK\r\n");
    wire_command(&w, "WAIT", "3", "0");
    ck_assert(wire_silent(&w, SILENCE_MS));
    cluster_resume(cluster, "log3");
    wire_expect(&w, ":3\r\n");
    wire_close(&w);
    wire_close(&other);
    buf_release(&reply);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sync");

    SYSTEM_CASE(suite, "sync", system_serve, 300, wait_for_all, off_at_the_leader,
                off_through_a_follower);
    return unit_main(suite);
}
