/* What a client sees of a healthy Holdfast is what it sees of a plain Redis. */
#include "tests/lib/system.h"
#include "tests/lib/wire.h"
#include "tests/system/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cluster_options system_options = {.plain = true, .lease_ms = CLUSTER_LONG_LEASE_MS};

struct pair {
    struct wire proxy, plain;
    struct buf proxy_reply, plain_reply;
    int different;
};

static void pair_open(struct pair *p)
{
    *p = (struct pair){.different = 0};
    wire_open(&p->proxy, cluster_port(cluster, "proxy1"));
    wire_open(&p->plain, cluster_port(cluster, "plain1"));
}

static void pair_close(struct pair *p)
{
    wire_close(&p->proxy);
    wire_close(&p->plain);
    buf_release(&p->proxy_reply);
    buf_release(&p->plain_reply);
}

/* Reads a reply from both and reports a difference. */
static void pair_compare(struct pair *p, const char *what)
{
    ck_assert_msg(wire_reply(&p->plain, &p->plain_reply, WIRE_PATIENCE_MS) == ERR_OK,
                  "no reply of plain Redis to %s", what);
    int rv = wire_reply(&p->proxy, &p->proxy_reply, WIRE_PATIENCE_MS);
    ck_assert_msg(rv == ERR_OK, "no reply to %s: %s", what, err_text(rv));
    if (p->proxy_reply.len != p->plain_reply.len ||
        memcmp(buf_head(&p->proxy_reply), buf_head(&p->plain_reply), p->plain_reply.len) != 0) {
        fprintf(stderr, "%s\n  Redis says    %.300s\n  Holdfast says %.300s\n", what,
                (char *)buf_head(&p->plain_reply), (char *)buf_head(&p->proxy_reply));
        p->different++;
    }
}

static void pair_sendv(struct pair *p, const char *const argv[])
{
    ck_assert_int_eq(wire_sendv(&p->proxy, argv), ERR_OK);
    ck_assert_int_eq(wire_sendv(&p->plain, argv), ERR_OK);
}

static void compare_one(const char *line, const char *const argv[], void *arg)
{
    struct pair *p = arg;
    pair_sendv(p, argv);
    pair_compare(p, line);
}

START_TEST(replies_are_those_of_redis)
{
    struct pair p;
    pair_open(&p);
    commands_each(compare_one, &p);
    pair_close(&p);
    ck_assert_int_eq(p.different, 0);
}
END_TEST

/* HELLO shows a connection's id, in which the two may differ. */
static void pair_hello3(struct pair *p)
{
    pair_sendv(p, (const char *const[]){"HELLO", "3", NULL});
    ck_assert_int_eq(wire_reply(&p->proxy, &p->proxy_reply, WIRE_PATIENCE_MS), ERR_OK);
    ck_assert_int_eq(wire_reply(&p->plain, &p->plain_reply, WIRE_PATIENCE_MS), ERR_OK);
    ck_assert_int_eq(*buf_head(&p->proxy_reply), '%');
    static const char *const fields[] = {"server", "version", "proto", "mode", "role", "modules"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        ck_assert_msg(strstr((char *)buf_head(&p->proxy_reply), fields[i]) != NULL, "no %s",
                      fields[i]);
    }
}

static void compare_one_resp3(const char *line, const char *const argv[], void *arg)
{
    if (strcmp(argv[0], "RESET") != 0) { /* that would end RESP3 */
        compare_one(line, argv, arg);
    }
}

START_TEST(replies_are_those_of_redis_in_resp3)
{
    struct pair p;
    pair_open(&p);
    pair_hello3(&p);
    commands_each(compare_one_resp3, &p);
    pair_close(&p);
    ck_assert_int_eq(p.different, 0);
}
END_TEST

/* Two clients that speak different protocols, turn by turn, on what is one connection to Redis. */
START_TEST(each_client_has_its_own_protocol_and_database)
{
    struct wire two, three;
    struct buf reply = BUF_INIT;
    wire_open(&two, cluster_port(cluster, "proxy1"));
    wire_open(&three, cluster_port(cluster, "proxy1"));
    ck_assert_int_eq(wire_command(&three, "HELLO", "3"), ERR_OK);
    ck_assert_int_eq(wire_reply(&three, &reply, WIRE_PATIENCE_MS), ERR_OK);
    wire_asks(&three, "+OK\r\n", "SELECT", "5");
    for (int i = 0; i < 50; i++) {
        wire_command(&two, "HSET", "own", "f", "two");
        wire_command(&three, "HSET", "own", "f", "three");
        wire_command(&two, "HGETALL", "own");
        wire_command(&three, "HGETALL", "own");
        wire_expect(&two, i == 0 ? ":1\r\n" : ":0\r\n");
        wire_expect(&three, i == 0 ? ":1\r\n" : ":0\r\n");
        wire_expect(&two, "*2\r\n$1\r\nf\r\n$3\r\ntwo\r\n");
        wire_expect(&three, "%1\r\n$1\r\nf\r\n$5\r\nthree\r\n");
    }
    wire_close(&two);
    wire_close(&three);
    buf_release(&reply);
}
END_TEST

START_TEST(inline_commands)
{
    static const char *const lines[] = {"PING\r\n",
                                        "SET in 1\r\n",
                                        "GET in\n",
                                        "\r\nPING\r\n",
                                        "SET \"in q\" 'a \"b\"'\r\n",
                                        "GET \"in q\"\r\n",
                                        "  ECHO \"\\x41\\n\"  \r\n",
                                        "NOSUCH x\r\n",
                                        "*0\r\nPING\r\n",
                                        "*-1\r\nPING\r\n"};
    struct pair p;
    pair_open(&p);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        ck_assert_int_eq(wire_send_str(&p.proxy, lines[i]), ERR_OK);
        ck_assert_int_eq(wire_send_str(&p.plain, lines[i]), ERR_OK);
        pair_compare(&p, lines[i]);
    }
    pair_close(&p);
    ck_assert_int_eq(p.different, 0);
}
END_TEST

/* Ten thousand commands at once, cut into pieces that know nothing of their limits. */
START_TEST(a_pipeline_in_pieces)
{
    enum { COMMANDS = 10000 };
    struct wire w;
    char key[32], reply[64];
    unsigned seed = 1;

    wire_open(&w, cluster_port(cluster, "proxy1"));
    for (int i = 0; i < COMMANDS; i++) {
        snprintf(key, sizeof key, "pipe%d", i % 100);
        if (i % 3 == 2) {
            wire_queue(&w, "GET", key);
        } else {
            wire_queue(&w, "INCR", "pipe");
        }
    }
    struct buf all = BUF_INIT;
    buf_swap(&all, &w.out);
    while (all.len > 0) {
        size_t piece = 1 + (size_t)rand_r(&seed) % 5000;
        piece = piece < all.len ? piece : all.len;
        ck_assert_int_eq(wire_send(&w, buf_head(&all), piece), ERR_OK);
        buf_consume(&all, piece);
    }
    for (int i = 0, n = 0; i < COMMANDS; i++) {
        snprintf(reply, sizeof reply, ":%d\r\n", n += i % 3 != 2);
        wire_expect(&w, i % 3 == 2 ? "$-1\r\n" : reply);
    }
    wire_close(&w);
    buf_release(&all);
}
END_TEST

/* A value larger than any message between proxy and log node, and than a socket's buffers. */
START_TEST(large_values)
{
    enum { LARGE_BYTES = 20 << 20 };
    redisContext *redis = cluster_connect(cluster, "proxy1");
    char *value = malloc(LARGE_BYTES);
    ck_assert(value != NULL);
    for (size_t i = 0; i < LARGE_BYTES; i++) {
        value[i] = (char)(i * 2654435761u >> 13);
    }
    for (int round = 0; round < 2; round++) {
        redisReply *reply = redisCommand(redis, "SET large %b", value, (size_t)LARGE_BYTES);
        ck_assert_msg(reply != NULL, "%s", redis->errstr);
        ck_assert_str_eq(reply->str, "OK");
        freeReplyObject(reply);
        reply = redisCommand(redis, "GET large");
        ck_assert_msg(reply != NULL, "%s", redis->errstr);
        ck_assert_uint_eq(reply->len, LARGE_BYTES);
        ck_assert(memcmp(reply->str, value, LARGE_BYTES) == 0);
        freeReplyObject(reply);
    }
    free(value);
    redisFree(redis);
}
END_TEST

/* What needs a connection of its own is not carried yet: an error, no hang, and no harm. */
START_TEST(what_is_not_carried_is_refused)
{
    static const char *const lines[][6] = {
        {"PSYNC", "?", "-1"},  {"SYNC"}, {"REPLICAOF", "127.0.0.1", "1"}, {"SHUTDOWN"},
        {"DEBUG", "SEGFAULT"},
    };
    struct wire w;
    struct buf reply = BUF_INIT;

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *argv[7] = {lines[i][0], lines[i][1], lines[i][2], lines[i][3],
                               lines[i][4], lines[i][5], NULL};
        wire_open(&w, cluster_port(cluster, "proxy1"));
        wire_sendv(&w, argv);
        int rv = wire_reply(&w, &reply, WIRE_PATIENCE_MS);
        ck_assert_msg(rv == ERR_OK, "%s: %s", argv[0], err_text(rv));
        ck_assert_msg(*buf_head(&reply) == '-', "%s: %s", argv[0], (char *)buf_head(&reply));
        wire_asks(&w, "+PONG\r\n", "PING");
        wire_close(&w);
    }
    buf_release(&reply);
}
END_TEST

/* CLIENT REPLY counts as Redis counts: what is not answered shifts nothing else. */
START_TEST(client_reply)
{
    struct wire w;
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_send_str(&w, "CLIENT REPLY OFF\r\nPING 1\r\nSET cr 1\r\nCLIENT REPLY ON\r\nPING 2\r\n"
                      "CLIENT REPLY SKIP\r\nPING 3\r\nPING 4\r\nGET cr\r\n");
    wire_expect(&w, "+OK\r\n");
    wire_expect(&w, "$1\r\n2\r\n");
    wire_expect(&w, "$1\r\n4\r\n");
    wire_expect(&w, "$1\r\n1\r\n");
    wire_close(&w);
}
END_TEST

/* QUIT says OK, after the replies before it, and closes. */
START_TEST(quit)
{
    struct wire w;
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_send_str(&w, "SET q 1\r\nGET q\r\nQUIT\r\nSET q 2\r\n");
    wire_expect(&w, "+OK\r\n");
    wire_expect(&w, "$1\r\n1\r\n");
    wire_expect(&w, "+OK\r\n");
    ck_assert(wire_wait_closed(&w, WIRE_PATIENCE_MS));
    wire_close(&w);
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "$1\r\n1\r\n", "GET", "q");
    wire_close(&w);
}
END_TEST

/* INFO holdfast has the lines that tools rely on, also within INFO everything. */
START_TEST(info)
{
    static const char *const fields[] = {"holdfast_version",
                                         "holdfast_role",
                                         "holdfast_term",
                                         "holdfast_leader",
                                         "holdfast_offset_executed",
                                         "holdfast_offset_committed",
                                         "holdfast_lease_ms_left",
                                         "holdfast_clients",
                                         "holdfast_private_connections",
                                         "holdfast_replies_withheld",
                                         "holdfast_dirty_keys",
                                         "holdfast_commands",
                                         "holdfast_batches",
                                         "holdfast_commits",
                                         "holdfast_commit_us_p50",
                                         "holdfast_commit_us_p99",
                                         "holdfast_log1",
                                         "holdfast_log2",
                                         "holdfast_log3"};
    static const char *const sections[] = {"holdfast", "all", "everything"};
    redisContext *redis = cluster_connect(cluster, "proxy1");

    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        redisReply *reply = redisCommand(redis, "INFO %s", sections[s]);
        ck_assert_msg(reply != NULL && reply->type == REDIS_REPLY_STRING, "%s", redis->errstr);
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            char line[64];
            snprintf(line, sizeof line, "\n%s:", fields[i]);
            ck_assert_msg(strstr(reply->str, line) != NULL, "INFO %s has no %s", sections[s],
                          fields[i]);
        }
        ck_assert_msg(s == 0 || strstr(reply->str, "\nredis_version:") != NULL, "INFO %s",
                      sections[s]);
        freeReplyObject(reply);
    }
    redisFree(redis);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("basic");

    SYSTEM_CASE(suite, "basic", system_serve, 120, replies_are_those_of_redis,
                replies_are_those_of_redis_in_resp3, each_client_has_its_own_protocol_and_database,
                inline_commands, a_pipeline_in_pieces, large_values, what_is_not_carried_is_refused,
                client_reply, quit, info);
    return unit_main(suite);
}
