/* Without a quorum nothing leaves that could still be lost, and nothing new is let in. */
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <string.h>

enum { SILENCE_MS = 150 };

/* Long enough to see that clean keys are read while it lasts. */
const struct cluster_options system_options = {.lease_ms = 2000};

static void client_open(struct wire *w)
{
    wire_open(w, cluster_port(cluster, "proxy1"));
}

static void client_set(const char *key, const char *value)
{
    struct wire w;
    client_open(&w);
    wire_asks(&w, "+OK\r\n", "SET", key, value);
    wire_close(&w);
}

struct redis_wait {
    const char *key, *value;
};

static bool redis_has(void *arg)
{
    const struct redis_wait *wait = arg;
    char reply[32];
    cluster_ask(cluster, "redis1", reply, sizeof reply, (const char *[]){"GET", wait->key, NULL});
    return strcmp(reply, wait->value) == 0;
}

static bool lease_is_over(void *arg)
{
    (void)arg;
    return cluster_info_number(cluster, "holdfast_lease_ms_left") == 0;
}

/* A write in the very moment in which the lease ends may still get in, and wait. */
static bool write_is_refused(void *arg)
{
    struct wire w;
    (void)arg;
    client_open(&w);
    wire_command(&w, "SET", "moment", "1");
    bool refused = !wire_silent(&w, SILENCE_MS);
    wire_close(&w);
    return refused;
}

/* A write is answered +OK: over new connections, as often as it takes. */
static bool write_works(void *arg)
{
    (void)arg;
    return wire_is_told(cluster_port(cluster, "proxy1"), "+OK\r\n",
                        (const char *[]){"SET", "works", "1", NULL});
}

/* The outcome of what waited is told, or the connection is closed; it is never a lie. */
static void expect_or_closed(struct wire *w, const char *expected)
{
    struct buf reply = BUF_INIT;
    int rv = wire_reply(w, &reply, WIRE_PATIENCE_MS);
    ck_assert_msg(rv == ERR_OK || rv == ERR_CLOSED, "%s", err_text(rv));
    if (rv == ERR_OK) {
        ck_assert_str_eq((char *)buf_head(&reply), expected);
    }
    wire_close(w);
    buf_release(&reply);
}

static void expect_redis_lacks(const char *key)
{
    char reply[32];
    cluster_ask(cluster, "redis1", reply, sizeof reply, (const char *[]){"EXISTS", key, NULL});
    ck_assert_str_eq(reply, "0");
}

START_TEST(without_a_quorum)
{
    struct wire writer, reader, clean, refused, late_reader;
    client_set("a", "0");
    client_set("b", "0");
    cluster_pause(cluster, "log2");
    cluster_pause(cluster, "log3");

    client_open(&writer);
    wire_command(&writer, "SET", "a", "1");
    cluster_wait("Redis to have executed SET a 1", WIRE_PATIENCE_MS, redis_has,
                 &(struct redis_wait){.key = "a", .value = "1"});
    client_open(&reader);
    wire_command(&reader, "GET", "a");
    client_open(&clean);
    wire_asks(&clean, "$1\r\n0\r\n", "GET", "b");
    ck_assert(wire_silent(&reader, SILENCE_MS));
    ck_assert(wire_silent(&writer, SILENCE_MS));

    cluster_wait("the lease to end", WIRE_PATIENCE_MS, lease_is_over, NULL);
    cluster_wait("writes to be refused", 2000, write_is_refused, NULL);
    client_open(&refused);
    wire_asks(&refused, "-NOREPLICAS Not enough good replicas to write.\r\n", "SET", "c", "1");
    expect_redis_lacks("c");
    wire_command(&refused, "PING"); /* refusing is no reason to close */
    wire_command(&refused, "INCR", "c");
    wire_close(&refused);
    expect_redis_lacks("c");

    /* Nor is a clean key read any more: there may be another leader, who has changed it. */
    client_open(&late_reader);
    wire_command(&late_reader, "GET", "b");
    struct buf reply = BUF_INIT;
    int rv = wire_reply(&late_reader, &reply, SILENCE_MS);
    ck_assert_msg(rv != ERR_OK || *buf_head(&reply) == '-', "read without a lease: %s",
                  (char *)buf_head(&reply));
    buf_release(&reply);
    ck_assert(writer.in.len == 0 && reader.in.len == 0);
    ck_assert(wire_silent(&writer, 4 * SILENCE_MS)); /* longer than a leader among others waits */

    cluster_resume(cluster, "log2");
    cluster_resume(cluster, "log3");
    wire_expect(&writer, "+OK\r\n"); /* nobody else can lead: it has waited */
    wire_expect(&reader, "$1\r\n1\r\n");
    wire_close(&writer);
    wire_close(&reader);
    cluster_wait("service to resume by itself", WIRE_PATIENCE_MS, write_works, NULL);
    wire_close(&clean);
    wire_close(&late_reader);
}
END_TEST

/* A reply to a write that changed nothing reveals the key as a read does: it waits as well. */
START_TEST(no_op_writes_wait_as_reads_do)
{
    static const char *const commands[][5] = {
        {"SETNX", "n", "2"}, {"SET", "n", "2", "NX"},
        {"EXISTS", "n"},     {"HSETNX", "h", "f", "2"},
        {"STRLEN", "n"},     {"DBSIZE"},
        {"KEYS", "n"},       {"EVAL", "return redis.call('EXISTS', 'n')", "0"},
    };
    enum { COMMANDS = sizeof commands / sizeof *commands };
    struct wire writer, w[COMMANDS];

    cluster_pause(cluster, "log1");
    cluster_pause(cluster, "log3");
    client_open(&writer);
    wire_command(&writer, "SET", "n", "1");
    wire_command(&writer, "HSET", "h", "f", "1");
    cluster_wait("Redis to have executed SET n 1", WIRE_PATIENCE_MS, redis_has,
                 &(struct redis_wait){.key = "n", .value = "1"});
    for (int i = 0; i < COMMANDS; i++) {
        const char *argv[6] = {commands[i][0], commands[i][1], commands[i][2],
                               commands[i][3], commands[i][4], NULL};
        client_open(&w[i]);
        wire_sendv(&w[i], argv);
    }
    for (int i = 0; i < COMMANDS; i++) {
        ck_assert_msg(wire_silent(&w[i], i == 0 ? SILENCE_MS : 1), "%s was answered",
                      commands[i][0]);
    }
    cluster_resume(cluster, "log1");
    cluster_resume(cluster, "log3");
    expect_or_closed(&writer, "+OK\r\n");
    for (int i = 0; i < COMMANDS; i++) {
        wire_close(&w[i]);
    }
    cluster_wait("service to resume by itself", WIRE_PATIENCE_MS, write_works, NULL);
}
END_TEST

/* Replies of one client leave in order: what is clean waits behind what is not. */
START_TEST(nothing_overtakes)
{
    struct wire w;
    client_set("x", "0");
    client_set("y", "0");
    cluster_pause(cluster, "log1");
    cluster_pause(cluster, "log2");
    client_open(&w);
    wire_queue(&w, "SET", "x", "1");
    wire_queue(&w, "GET", "y");
    wire_queue(&w, "PING");
    wire_flush(&w);
    ck_assert(wire_silent(&w, SILENCE_MS));
    cluster_resume(cluster, "log1");
    cluster_resume(cluster, "log2");
    wire_expect(&w, "+OK\r\n");
    wire_expect(&w, "$1\r\n0\r\n");
    wire_expect(&w, "+PONG\r\n");
    wire_close(&w);
}
END_TEST

/* Those whose writes are executed but can't be committed are never answered: when the proxy gives
 * up, be it for time or because it is asked to end, their connections are closed. */
START_TEST(giving_up_closes)
{
    struct wire writer, reader, late;
    client_set("a", "0");
    cluster_pause(cluster, "log1");
    cluster_pause(cluster, "log2");
    client_open(&writer);
    wire_command(&writer, "SET", "a", "1");
    cluster_wait("Redis to have executed SET a 1", WIRE_PATIENCE_MS, redis_has,
                 &(struct redis_wait){.key = "a", .value = "1"});
    client_open(&reader);
    wire_command(&reader, "GET", "a");
    ck_assert(wire_wait_closed(&writer, WIRE_PATIENCE_MS));
    ck_assert(wire_wait_closed(&reader, WIRE_PATIENCE_MS));
    ck_assert_uint_eq(writer.received + reader.received, 0);

    cluster_resume(cluster, "log1");
    cluster_resume(cluster, "log2");
    cluster_wait("service to resume by itself", WIRE_PATIENCE_MS, write_works, NULL);
    cluster_pause(cluster, "log1");
    cluster_pause(cluster, "log2");
    client_open(&late);
    wire_command(&late, "SET", "a", "2");
    cluster_wait("Redis to have executed SET a 2", WIRE_PATIENCE_MS, redis_has,
                 &(struct redis_wait){.key = "a", .value = "2"});
    cluster_stop(cluster, "proxy1");
    ck_assert(wire_wait_closed(&late, WIRE_PATIENCE_MS));
    ck_assert_uint_eq(late.received, 0);
    wire_close(&writer);
    wire_close(&reader);
    wire_close(&late);
}
END_TEST

static const struct cluster_options impatient_options = {
    .proxy_json = "\"limits\": {\"withheld_max_ms\": 700}"};

static void serve_impatiently(void)
{
    system_serve_with(&impatient_options);
}

int main(void)
{
    Suite *suite = suite_create("withhold");

    SYSTEM_CASE(suite, "giving up", serve_impatiently, 120, giving_up_closes);
    SYSTEM_CASE(suite, "quorum", system_serve, 120, without_a_quorum);
    SYSTEM_CASE(suite, "no-op", system_serve, 120, no_op_writes_wait_as_reads_do);
    SYSTEM_CASE(suite, "order", system_serve, 120, nothing_overtakes);
    return unit_main(suite);
}
