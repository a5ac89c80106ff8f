/* Whatever a client or a stranger sends: it gets Redis' own protocol error and a closed connection,
 * for itself alone. A witness looks all the while: its replies are right and in time, and memory
 * stays bounded. */
#include "common/clock.h"
#include "tests/lib/standstill.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

const struct cluster_options system_options = {.plain = true, .lease_ms = CLUSTER_LONG_LEASE_MS};

enum {
    WITNESS_MAX_MS = 1000, /* generous: a healthy reply takes about one */
    MIB = 1 << 20,
};

/* --- the witness ---------------------------------------------------------------------------- */

struct witness {
    struct wire wire;
    struct standstill *still;
    int writes;
};

static void witness_open(struct witness *w)
{
    *w = (struct witness){.still = standstill_create(cluster_dir(cluster, "log1"))};
    wire_open(&w->wire, cluster_port(cluster, "proxy1"));
}

/* Writes and reads: right, and in time. */
static void witness_look(struct witness *w)
{
    char value[32], reply[64];
    (void)standstill_delay_us(w->still);
    uint64_t start = clock_now_ns();

    snprintf(value, sizeof value, "%d", ++w->writes);
    snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(value), value);
    ck_assert_int_eq(wire_command(&w->wire, "SET", "witness", value), ERR_OK);
    wire_expect(&w->wire, "+OK\r\n");
    ck_assert_int_eq(wire_command(&w->wire, "GET", "witness"), ERR_OK);
    wire_expect(&w->wire, reply);
    uint64_t ms = (clock_now_ns() - start) / CLOCK_NS_PER_MS;
    uint64_t delay_ms = standstill_delay_us(w->still) / 1000;
    ck_assert_msg(ms < WITNESS_MAX_MS + delay_ms, "the witness waited %llu ms",
                  (unsigned long long)ms);
}

static void witness_close(struct witness *w)
{
    witness_look(w);
    wire_close(&w->wire);
    standstill_destroy(w->still);
}

/* --- the protocol --------------------------------------------------------------------------- */

/* Sends the same bytes to the proxy and to a plain Redis: the same reply, and closed. */
static void compare_and_closed(const char *what, const void *bytes, size_t len)
{
    struct wire proxy, plain;
    struct buf expected = BUF_INIT, got = BUF_INIT;

    wire_open(&proxy, cluster_port(cluster, "proxy1"));
    wire_open(&plain, cluster_port(cluster, "plain1"));
    wire_send(&plain, bytes, len);
    wire_send(&proxy, bytes, len);
    int expected_rv = wire_reply(&plain, &expected, WIRE_PATIENCE_MS);
    int rv = wire_reply(&proxy, &got, WIRE_PATIENCE_MS);
    ck_assert_msg(rv == expected_rv, "%s: %s instead of %s", what, err_text(rv),
                  err_text(expected_rv));
    if (rv == ERR_OK) {
        ck_assert_str_eq((char *)buf_head(&got), (char *)buf_head(&expected));
    }
    ck_assert_msg(wire_wait_closed(&plain, WIRE_PATIENCE_MS), "%s: Redis doesn't close", what);
    ck_assert_msg(wire_wait_closed(&proxy, WIRE_PATIENCE_MS), "%s: not closed", what);
    wire_close(&proxy);
    wire_close(&plain);
    buf_release(&expected);
    buf_release(&got);
}

START_TEST(protocol_errors_are_those_of_redis)
{
    static const char *const inputs[] = {
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "Host: example.org\r\n",
        "post x\r\n",
        "*1\r\n$4\r\nPOST\r\n",
        "*2\r\n$5\r\nhost:\r\n$1\r\nx\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$abc\r\n",
        "*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n",
        "*2147483648\r\n",
        "*9223372036854775808\r\n",
        "*abc\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n+PING\r\n",
        "SET \"unbalanced\r\n",
        "SET 'a'b c\r\n",
        "*1\r\n*1\r\n$4\r\nPING\r\n",
    };
    struct witness witness;
    witness_open(&witness);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        compare_and_closed(inputs[i], inputs[i], strlen(inputs[i]));
        witness_look(&witness);
    }
    /* Lines that never end: of an inline command, of a count, of a length. */
    static const char *const heads[] = {"", "*", "*1\r\n$"};
    enum { LINE_BYTES = 70000 };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct buf line = BUF_INIT;
        buf_append_str(&line, heads[i]);
        memset(buf_reserve(&line, LINE_BYTES), '1', LINE_BYTES);
        buf_commit(&line, LINE_BYTES);
        compare_and_closed("a long line", buf_head(&line), line.len);
        witness_look(&witness);
        buf_release(&line);
    }
    witness_close(&witness);
}
END_TEST

/* Good commands before the bad one are answered; what follows it is never executed. */
START_TEST(what_came_before_is_answered)
{
    struct wire w;
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_send_str(&w, "SET before 1\r\n*1\r\n$536870913\r\nSET after 1\r\n");
    wire_expect(&w, "+OK\r\n");
    wire_expect(&w, "-ERR Protocol error: invalid bulk length\r\n");
    ck_assert(wire_wait_closed(&w, WIRE_PATIENCE_MS));
    wire_close(&w);
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "*2\r\n$1\r\n1\r\n$-1\r\n", "MGET", "before", "after");
    wire_close(&w);
}
END_TEST

/* Commands that never end, some with the announcement of a great deal: no memory is taken for what
 * was only announced. */
START_TEST(half_commands)
{
    enum { CLIENTS = 300, ROUNDS = 20 };
    static const char *const halves[] = {"*3\r\n$3\r\nSET\r\n$1\r\n", "*1048576\r\n$1\r\n",
                                         "*2\r\n$3\r\nGET\r\n$536870912\r\nx", "SET half"};
    struct wire *clients = calloc(CLIENTS, sizeof *clients);
    struct witness witness;
    size_t before = cluster_rss_bytes(cluster, "proxy1");

    ck_assert(clients != NULL);
    witness_open(&witness);
    for (int i = 0; i < CLIENTS; i++) {
        wire_open(&clients[i], cluster_port(cluster, "proxy1"));
        wire_send_str(&clients[i], halves[i % 4]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 2; i < CLIENTS; i += 4) {
            wire_send_str(&clients[i], "y"); /* byte by byte */
        }
        witness_look(&witness);
    }
    size_t after = cluster_rss_bytes(cluster, "proxy1");
    ck_assert_msg(after < before + 100 * (size_t)MIB, "memory went from %zu to %zu bytes", before,
                  after);
    for (int i = 0; i < CLIENTS; i++) {
        wire_close(&clients[i]);
    }
    free(clients);
    witness_close(&witness);
}
END_TEST

/* What would block the connection that all share goes elsewhere, whatever it is named; and what
 * would not stays. */
START_TEST(blocking_reads_of_streams)
{
    struct witness witness;
    struct wire w;

    witness_open(&witness);
    wire_open(&w, cluster_port(cluster, "proxy1"));
    static const char *const names[] = {"streams", "block", "count", "group"};
    wire_asks(&w, "$3\r\n1-1\r\n", "XADD", "s", "1-1", "field", "value");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        wire_asks(&w, "+OK\r\n", "XGROUP", "CREATE", "s", names[i], "$");
        wire_command(&w, "XREADGROUP", "GROUP", names[i], "streams", "BLOCK", "30", "STREAMS", "s",
                     ">");
        witness_look(&witness);
        wire_expect(&w, "*-1\r\n");
        wire_asks(&w, "*-1\r\n", "XREADGROUP", "GROUP", names[i], "block", "COUNT", "1", "STREAMS",
                  "s", ">");
    }
    wire_asks(&w, "*-1\r\n", "XREAD", "COUNT", "1", "STREAMS", "s", "9-9");
    wire_close(&w);
    witness_close(&witness);
}
END_TEST

/* DEBUG that would change data behind the log's back, or end Redis; also inside MULTI. */
START_TEST(harmful_debug)
{
    struct witness witness;
    struct wire w;

    witness_open(&witness);
    wire_open(&w, cluster_port(cluster, "proxy1"));
    static const char *const subs[] = {"LEAK", "Segfault", "reload", "LOADAOF"};
    wire_asks(&w, "-ERR this DEBUG subcommand is disabled by the proxy\r\n", "DEBUG", "RELOAD",
              "MERGE", "NOSUCH");
    for (size_t i = 0; i < sizeof subs / sizeof *subs; i++) {
        wire_asks(&w, "-ERR this DEBUG subcommand is disabled by the proxy\r\n", "DEBUG", subs[i],
                  "10");
    }
    wire_asks(&w, "+OK\r\n", "MULTI");
    wire_asks(&w, "-ERR this DEBUG subcommand is disabled by the proxy\r\n", "DEBUG", "LEAK", "1");
    wire_asks(&w, "-EXECABORT Transaction discarded because of previous errors.\r\n", "EXEC");
    wire_close(&w);
    witness_close(&witness);
}
END_TEST

/* Clients that go in the middle of MULTI take with them what they had queued. */
START_TEST(transactions_of_the_gone)
{
    enum { ROUNDS = 500, MAX_MIB = 350 }; /* a sanitizer keeps 256 MiB of what is freed */
    struct witness witness;
    char *value = malloc(MIB + 1);
    size_t before = cluster_rss_bytes(cluster, "proxy1");

    ck_assert(value != NULL);
    memset(value, 'v', MIB);
    value[MIB] = '\0';
    witness_open(&witness);
    for (int i = 0; i < ROUNDS; i++) {
        struct wire w;
        wire_open(&w, cluster_port(cluster, "proxy1"));
        wire_asks(&w, "+OK\r\n", "MULTI");
        wire_asks(&w, "+QUEUED\r\n", "SET", "queued", value);
        wire_close(&w);
        if (i % 50 == 0) {
            witness_look(&witness);
        }
    }
    free(value);
    size_t after = cluster_rss_bytes(cluster, "proxy1");
    ck_assert_msg(after < before + MAX_MIB * (size_t)MIB, "memory went from %zu to %zu bytes",
                  before, after);
    witness_close(&witness);
}
END_TEST

/* --- numbers -------------------------------------------------------------------------------- */

static bool files_allow(rlim_t count)
{
    struct rlimit files;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_cur < count && files.rlim_max < count) {
        files.rlim_max = count; /* possible for root */
    }
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= count;
}

START_TEST(ten_thousand_idle_connections)
{
    enum { CLIENTS = 10000, FILES = CLIENTS + 200, BYTES_EACH_MAX = 16384 };
    if (!files_allow(FILES)) {
        fprintf(stderr, "SKIPPED: 10,000 connections need a limit of %d open files\n", FILES);
        return;
    }
    struct wire *clients = calloc(CLIENTS, sizeof *clients);
    struct witness witness;
    size_t before = cluster_rss_bytes(cluster, "proxy1");

    ck_assert(clients != NULL);
    witness_open(&witness);
    for (int i = 0; i < CLIENTS; i++) {
        wire_open(&clients[i], cluster_port(cluster, "proxy1"));
        if (i % 2 == 0) {
            wire_send_str(&clients[i], "PING\r\n"); /* some have been active once */
        }
        if (i % 500 == 0) {
            witness_look(&witness);
        }
    }
    for (int i = 0; i < 20; i++) {
        witness_look(&witness);
    }
    size_t after = cluster_rss_bytes(cluster, "proxy1");
    fprintf(stderr, "%zu bytes of memory for each idle connection\n", (after - before) / CLIENTS);
    ck_assert_msg(after < before + (size_t)CLIENTS * BYTES_EACH_MAX,
                  "memory went from %zu to %zu bytes", before, after);
    for (int i = 0; i < CLIENTS; i++) {
        wire_close(&clients[i]);
    }
    free(clients);
    witness_close(&witness);
}
END_TEST

/* --- a client that never reads -------------------------------------------------------------- */

/* Sends until the other side takes no more for a second, or closes. */
static size_t flood(struct wire *w, const struct buf *piece, size_t max, struct witness *witness)
{
    size_t sent = 0;
    uint64_t last_ns = clock_now_ns();

    while (sent < max && !w->ended && clock_now_ns() - last_ns < CLOCK_NS_PER_S) {
        if (w->out.len == 0) {
            buf_append(&w->out, buf_head(piece), piece->len);
        }
        size_t before = w->out.len;
        wire_flush(w);
        if (w->out.len != before) {
            sent += before - w->out.len;
            last_ns = clock_now_ns();
        } else {
            witness_look(witness);
        }
    }
    return sent;
}

static void never_read(const char *command, size_t size_max)
{
    enum { REPEAT = 1000, FLOOD_BYTES = 64 * MIB };
    struct wire w;
    struct witness witness;
    struct buf piece = BUF_INIT;

    witness_open(&witness);
    for (int i = 0; i < REPEAT; i++) {
        buf_append_str(&piece, command);
    }
    wire_open(&w, cluster_port(cluster, "proxy1"));
    size_t before = cluster_rss_bytes(cluster, "proxy1");
    size_t sent = flood(&w, &piece, FLOOD_BYTES, &witness);
    for (int i = 0; i < 50; i++) {
        witness_look(&witness);
        size_t now = cluster_rss_bytes(cluster, "proxy1");
        ck_assert_msg(now < before + size_max, "memory went from %zu to %zu bytes", before, now);
    }
    fprintf(stderr,
            "%zu bytes taken from a client that never reads; memory %zu MiB before, %zu after\n",
            sent, before / MIB, cluster_rss_bytes(cluster, "proxy1") / MIB);
    ck_assert_msg(w.ended || sent < FLOOD_BYTES, "all was taken from a client that never reads");
    wire_close(&w);
    buf_release(&piece);
    witness_close(&witness);
}

START_TEST(never_reads_large_replies)
{
    struct wire w;
    char *value = malloc(MIB + 1);
    ck_assert(value != NULL);
    memset(value, 'v', MIB);
    value[MIB] = '\0';
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "+OK\r\n", "SET", "big", value);
    wire_close(&w);
    free(value);
    never_read("*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n", 300 * (size_t)MIB);
}
END_TEST

START_TEST(never_reads_small_replies)
{
    never_read("*1\r\n$4\r\nPING\r\n", 300 * (size_t)MIB);
}
END_TEST

/* --- the log nodes -------------------------------------------------------------------------- */

/* What the transport says first (logsvc/framed.h); then messages, each behind its length in 4
 * bytes, least significant first. */
#define PREAMBLE "HFSTRM\1\0"

static void send_to_log(const void *bytes, size_t len)
{
    struct wire w;
    wire_open(&w, cluster_port(cluster, "log1"));
    wire_send(&w, bytes, len);
    shutdown(w.fd, SHUT_WR); /* it hangs up once it has read all that, or at what is wrong */
    ck_assert_msg(wire_wait_closed(&w, WIRE_PATIENCE_MS), "log1 keeps a connection that ended");
    wire_close(&w);
}

/* log1 lives, and serves: with log3 gone a commit needs it. */
static void expect_log_serves(struct witness *witness)
{
    ck_assert_msg(cluster_running(cluster, "log1"), "log1 ended");
    witness_look(witness);
}

START_TEST(garbage_to_a_log_node)
{
    struct witness witness;
    unsigned char message[8 + 4 + 80];
    unsigned seed = 5;

    witness_open(&witness);
    cluster_kill(cluster, "log3");
    expect_log_serves(&witness);
    send_to_log("GET / HTTP/1.1\r\n\r\n", 18);
    expect_log_serves(&witness);
    send_to_log("HFSTRM\x63\0", 8); /* another version */
    expect_log_serves(&witness);
    send_to_log(PREAMBLE "\xff\xff\xff\xff"
                         "abc",
                15); /* oversize */
    expect_log_serves(&witness);
    send_to_log(PREAMBLE "\xff\xff\xff\x0f"
                         "abc",
                15);
    expect_log_serves(&witness);
    send_to_log(PREAMBLE "\0\0\0\0\0\0\0\0", 16); /* empty ones */
    expect_log_serves(&witness);
    send_to_log(PREAMBLE "\x50\0\0\0"
                         "half",
                16);
    expect_log_serves(&witness);
    for (int i = 0; i < 200; i++) {
        memcpy(message, PREAMBLE "\x50\0\0", 12);
        for (size_t b = 12; b < sizeof message; b++) {
            message[b] = (unsigned char)rand_r(&seed);
        }
        if (i % 2 == 0) {
            memcpy(message + 12, "HFW1\1\0", 6); /* our magic, our version, and then garbage */
        }
        send_to_log(message, sizeof message);
    }
    expect_log_serves(&witness);
    cluster_wait_log(cluster, "log1", "is not our protocol");
    cluster_wait_log(cluster, "log1", "garbled messages were dropped");
    witness_close(&witness);
}
END_TEST

/* A proxy of another cluster is told so by our log nodes, and never serves. */
START_TEST(foreign_cluster)
{
    char program[512], config[600], path[600], data[600], output[65536];
    struct witness witness;

    witness_open(&witness);
    cluster_program("holdfast-proxy", program, sizeof program);
    snprintf(path, sizeof path, "%s/foreign.json", cluster_dir(cluster, "plain1"));
    snprintf(data, sizeof data, "%s/foreign", cluster_dir(cluster, "plain1"));
    snprintf(config, sizeof config,
             "{\"name\": \"foreign\", \"cluster_id\": \"%032d\", \"host\": \"127.0.0.1\", "
             "\"port\": %d, \"data_dir\": \"%.200s\", \"redis\": {\"host\": \"127.0.0.1\", "
             "\"port\": %d}, \"log\": {\"id\": 1, \"nodes\": [\"127.0.0.1:%d\", "
             "\"127.0.0.1:%d\"]}}",
             7, cluster_free_port(), cluster_dir(cluster, "plain1"),
             cluster_port(cluster, "plain1"), cluster_port(cluster, "log1"),
             cluster_port(cluster, "log2"));
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL);
    ck_assert_int_ge(fputs(config, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    cluster_run((const char *[]){program, "--config", path, NULL}, 3000, output, sizeof output);
    ck_assert_msg(strstr(output, "leader: serving") == NULL, "%s", output);
    ck_assert_msg(strstr(output, "cluster") != NULL, "it doesn't say why: %s", output);
    witness_close(&witness);
    ck_assert(cluster_running(cluster, "log1") && cluster_running(cluster, "log2"));
}
END_TEST

/* A second proxy that is configured for the Redis of another is told so, changes nothing there, and
 * never serves. */
START_TEST(two_proxies_for_one_redis)
{
    char program[512], path[600], config[4096], port[32], output[65536];
    struct witness witness;

    witness_open(&witness);
    cluster_program("holdfast-proxy", program, sizeof program);
    snprintf(path, sizeof path, "%s/config.json", cluster_dir(cluster, "proxy1"));
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    size_t len = fread(config, 1, sizeof config - 1, f);
    ck_assert_int_eq(fclose(f), 0);
    config[len] = '\0';
    char *name = strstr(config, "proxy1");
    ck_assert_ptr_nonnull(name);
    memcpy(name, "second", 6);
    snprintf(port, sizeof port, "%d", cluster_port(cluster, "proxy1"));
    char *at = strstr(config, port);
    ck_assert_ptr_nonnull(at);
    snprintf(port, sizeof port, "%d", cluster_free_port());
    memcpy(at, port, 5);
    snprintf(path, sizeof path, "%s/second.json", cluster_dir(cluster, "proxy1"));
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(config, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    cluster_run((const char *[]){program, "--config", path, NULL}, 3000, output, sizeof output);
    ck_assert_msg(strstr(output, "leader: serving") == NULL, "%s", output);
    ck_assert_msg(strstr(output, "belongs to another proxy already (proxy1)") != NULL,
                  "it doesn't say why: %s", output);
    witness_close(&witness);
}
END_TEST

/* --- configurations ------------------------------------------------------------------------- */

#define LOG_CONFIG(more)                                                                           \
    "{\"node_id\": \"log1\", \"cluster_id\": \"00112233445566778899aabbccddeeff\", "               \
    "\"host\": \"127.0.0.1\", \"port\": 7000, \"data_dir\": \"/nonexistent\"" more "}"
#define PROXY_CONFIG(port, more)                                                                   \
    "{\"name\": \"p\", \"cluster_id\": \"00112233445566778899aabbccddeeff\", "                     \
    "\"host\": \"127.0.0.1\", \"port\": " port ", \"data_dir\": \"/nonexistent\", "                \
    "\"redis\": {\"host\": \"127.0.0.1\", \"port\": 6379}, "                                       \
    "\"log\": {\"id\": 1, \"nodes\": [\"127.0.0.1:7000\"]}" more "}"

struct config_case {
    const char *program, *config;
    const char *says; /* what the message must name; NULL: all is well */
};

static const struct config_case config_cases[] = {
    {"holdfast-logsvc", LOG_CONFIG(""), NULL},
    {"holdfast-logsvc", LOG_CONFIG(", \"colour\": 1"), "colour"},
    {"holdfast-logsvc", LOG_CONFIG(", \"lease_ms\": \"long\""), "lease_ms"},
    {"holdfast-logsvc", LOG_CONFIG(", \"lease_ms\": -5"), "lease_ms"},
    {"holdfast-logsvc", "{\"node_id\": \"log1\"}", "cluster_id"},
    {"holdfast-logsvc", "{\"node_id\": \"log1\",,}", ":1"},
    {"holdfast-logsvc", "", ""},
    {"holdfast-proxy", PROXY_CONFIG("7379", ""), NULL},
    {"holdfast-proxy", PROXY_CONFIG("7379", ", \"colour\": 1"), "colour"},
    {"holdfast-proxy", PROXY_CONFIG("\"7379\"", ""), "port"},
    {"holdfast-proxy", PROXY_CONFIG("65536", ""), "port"},
    {"holdfast-proxy", PROXY_CONFIG("7379", ", \"limits\": {\"colour\": 1}"), "colour"},
    {"holdfast-proxy", "[1, 2]", ""},
};

static int run_with_config(const char *name, const char *config, const char *option, char *output,
                           size_t size)
{
    char program[512], path[600];
    cluster_program(name, program, sizeof program);
    snprintf(path, sizeof path, "%s/case.json", cluster_dir(cluster, "plain1"));
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL);
    ck_assert_int_ge(fputs(config, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    return cluster_run((const char *[]){program, "--config", path, option, NULL}, 10000, output,
                       size);
}

START_TEST(configurations)
{
    char output[8192];
    for (size_t i = 0; i < sizeof config_cases / sizeof *config_cases; i++) {
        const struct config_case *c = &config_cases[i];
        int status =
            run_with_config(c->program, c->config, "--check-config", output, sizeof output);
        ck_assert_msg(status == (c->says ? 2 : 0), "%s, status %d: %s", c->config, status, output);
        ck_assert_msg(c->says == NULL || strstr(output, c->says) != NULL, "%s: %s", c->config,
                      output);
        if (c->says != NULL) { /* nor does it start */
            status = run_with_config(c->program, c->config, NULL, output, sizeof output);
            ck_assert_int_eq(status, 2);
        }
    }
}
END_TEST

START_TEST(options)
{
    static const char *const programs[] = {"holdfast-proxy", "holdfast-logsvc"};
    char program[512], output[65536];
    for (size_t i = 0; i < 2; i++) {
        cluster_program(programs[i], program, sizeof program);
        ck_assert_int_eq(
            cluster_run((const char *[]){program, "--version", NULL}, 10000, output, sizeof output),
            0);
        ck_assert_msg(strstr(output, "0.1") != NULL, "%s", output);
        ck_assert_int_eq(
            cluster_run((const char *[]){program, "--help", NULL}, 10000, output, sizeof output),
            0);
        ck_assert_msg(strstr(output, "--config") != NULL, "%s", output);
        ck_assert_int_eq(
            cluster_run((const char *[]){program, "--colour", NULL}, 10000, output, sizeof output),
            2);
        ck_assert_int_eq(cluster_run((const char *[]){program, NULL}, 10000, output, sizeof output),
                         2);
        ck_assert_int_eq(cluster_run((const char *[]){program, "--config", "/nonexistent", NULL},
                                     10000, output, sizeof output),
                         2);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bad input");

    SYSTEM_CASE(suite, "proxy", system_serve, 120, protocol_errors_are_those_of_redis,
                what_came_before_is_answered, half_commands, harmful_debug,
                transactions_of_the_gone, blocking_reads_of_streams, ten_thousand_idle_connections,
                never_reads_large_replies, never_reads_small_replies, foreign_cluster,
                two_proxies_for_one_redis);
    SYSTEM_CASE(suite, "log node", system_serve, 120, garbage_to_a_log_node);
    SYSTEM_CASE(suite, "configuration", system_create, 60, configurations, options);
    return unit_main(suite);
}
