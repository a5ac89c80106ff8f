/* The Sentinel port beside a real Sentinel: the same words get replies of the same shape, with the
 * same field names in the same order and the same error texts, in RESP2 and RESP3. And what the
 * port does with strangers. */
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 20000, CLIENTS_MAX = 4 };
const struct cluster_options system_options = {
    .plain = true, .sentinel_json = "\"down_after_ms\": 300, \"clients_max\": 4"};

static int sentinel_port; /* of proxy1 */

/* ---- comparing ---- */

static bool is_id(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isxdigit((unsigned char)s[i])) {
            return false;
        }
    }
    return len == 40;
}

/* Appends the text with each run of digits as one N, so that numbers differ and words do not. */
static void put_words(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)s[i])) {
            buf_append(out, &s[i], 1);
        } else if (i == 0 || !isdigit((unsigned char)s[i - 1])) {
            buf_append(out, "N", 1);
        }
    }
}

/* A reply with what may differ taken out of it: ids, numbers, and so the lengths of strings. */
static void put_shape(struct buf *out, const char *reply, size_t len)
{
    for (const char *p = reply, *end = reply + len; p < end;) {
        size_t line = (size_t)((const char *)memchr(p, '\n', (size_t)(end - p)) - p) + 1;
        if (*p == '$' && p[1] != '-') {
            size_t bulk = strtoul(p + 1, NULL, 10);
            p += line;
            buf_append_str(out, "$ ");
            if (is_id(p, bulk)) {
                buf_append_str(out, "ID");
            } else {
                put_words(out, p, bulk);
            }
            buf_append_str(out, "\n");
            p += bulk + 2;
        } else if (*p == '*' || *p == '%' || *p == '~' || *p == '>') {
            buf_append(out, p, line); /* counts are the same */
            p += line;
        } else {
            put_words(out, p, line);
            p += line;
        }
    }
    buf_append(out, "", 1);
}

/* Sends a line's words and appends the shape of `replies` replies. */
static void ask_shape(struct wire *w, const char *line, int replies, struct buf *shape)
{
    char words[256], *save = NULL;
    const char *argv[16];
    struct buf reply = BUF_INIT;
    size_t argc = 0;

    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    ck_assert_int_eq(wire_sendv(w, argv), ERR_OK);
    for (int i = 0; i < replies; i++) {
        int rc = wire_reply(w, &reply, TIMEOUT_MS);
        ck_assert_msg(rc == ERR_OK, "%s: %s", line, err_text(rc));
        if (shape->len > 0) {
            buf_truncate(shape, shape->len - 1);
        }
        put_shape(shape, (const char *)buf_head(&reply), reply.len);
    }
    buf_release(&reply);
}

/* Each with how many replies it gets. */
static const struct {
    const char *line;
    int replies;
} words[] = {
    {"PING", 1},
    {"PING hello", 1},
    {"PING a b", 1},
    {"HELLO", 1},
    {"HELLO 4", 1},
    {"HELLO x", 1},
    {"HELLO 2 FOO", 1},
    {"HELLO 3 AUTH default x SETNAME bob", 1},
    {"HELLO 2 AUTH nobody x", 1},
    {"CLIENT GETNAME", 1},
    {"CLIENT SETNAME bobby", 1},
    {"CLIENT GETNAME", 1},
    {"CLIENT ID", 1},
    {"CLIENT FOO", 1},
    {"CLIENT", 1},
    {"CLIENT NO-EVICT on", 1},
    {"AUTH x", 1},
    {"AUTH default x", 1},
    {"AUTH nobody x", 1},
    {"AUTH", 1},
    {"AUTH a b c", 1},
    {"ACL WHOAMI", 1},
    {"ROLE", 1},
    {"ROLE x", 1},
    {"ECHO a", 1},
    {"GET a", 1},
    {"SET a b", 1},
    {"FOO bar baz", 1},
    {"CONFIG GET maxmemory", 1},
    {"SELECT 0", 1},
    {"MULTI", 1},
    {"RESET", 1},
    {"MONITOR", 1},
    {"COMMAND INFO get", 1},
    {"COMMAND INFO sentinel|master publish auth", 1},
    {"SENTINEL", 1},
    {"SENTINEL FOO", 1},
    {"SENTINEL MASTERS", 1},
    {"SENTINEL MASTERS x", 1},
    {"SENTINEL MASTER mymaster", 1},
    {"SENTINEL MASTER nope", 1},
    {"SENTINEL MASTER", 1},
    {"SENTINEL REPLICAS mymaster", 1},
    {"SENTINEL REPLICAS nope", 1},
    {"SENTINEL SLAVES nope", 1},
    {"SENTINEL SENTINELS mymaster", 1},
    {"SENTINEL SENTINELS nope", 1},
    {"SENTINEL GET-MASTER-ADDR-BY-NAME mymaster", 1},
    {"SENTINEL GET-MASTER-ADDR-BY-NAME nope", 1},
    {"SENTINEL CKQUORUM nope", 1},
    {"SENTINEL CKQUORUM", 1},
    {"SENTINEL MYID", 1},
    {"SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *", 1},
    {"SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *", 1},
    {"SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 x *", 1},
    {"SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0", 1},
    {"SENTINEL RESET nope*", 1},
    {"SENTINEL FAILOVER nope", 1},
    {"SENTINEL FAILOVER mymaster x", 1},
    {"SENTINEL PENDING-SCRIPTS", 1},
    {"SENTINEL INFO-CACHE nope", 1},
    {"SENTINEL FLUSHCONFIG", 1},
    {"SENTINEL CONFIG GET *", 1},
    {"SENTINEL CONFIG GET announce-port", 1},
    {"SENTINEL CONFIG GET", 1},
    {"INFO sentinel", 1},
    {"INFO nothing", 1},
    {"PUBLISH a b", 1},
    {"UNSUBSCRIBE", 1},
    {"PUNSUBSCRIBE", 1},
    {"SUBSCRIBE", 1},
    {"SUBSCRIBE a b", 2},
    {"SUBSCRIBE a", 1},
    {"PING", 1},
    {"PING x", 1},
    {"PING x y", 1},
    {"ROLE", 1},
    {"GET a", 1},
    {"SENTINEL MYID", 1},
    {"SENTINEL FOO", 1},
    {"CLIENT ID", 1},
    {"UNSUBSCRIBE z", 1},
    {"PSUBSCRIBE *", 1},
    {"UNSUBSCRIBE b", 1},
    {"UNSUBSCRIBE", 1},
    {"PUNSUBSCRIBE", 1},
    {"UNSUBSCRIBE a b", 2},
    {"PING", 1},
};

/* What a Sentinel says for half a minute after it has stood still: it does not trust the clock. */
static const char in_tilt[] = "sentinel_tilt_since_seconds:N";

static bool is_upright(void *arg)
{
    struct buf shape = BUF_INIT;
    struct wire w;

    (void)arg;
    wire_open(&w, cluster_port(cluster, "sentinel1"));
    ask_shape(&w, "INFO sentinel", 1, &shape);
    bool upright = strstr((char *)buf_head(&shape), in_tilt) == NULL;
    wire_close(&w);
    buf_release(&shape);
    return upright;
}

/* Every line above, on one connection to each, in both protocols. */
START_TEST(answers_as_a_sentinel)
{
    struct wire ours, real;
    struct buf expected = BUF_INIT, got = BUF_INIT;

    wire_open(&ours, sentinel_port);
    wire_open(&real, cluster_port(cluster, "sentinel1"));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *line = words[i].line;
        int replies = words[i].replies;
        if (_i == 3 && strstr(line, "HELLO 2") != NULL) {
            line = "HELLO 3 AUTH nobody x";
        }
        if (_i == 2 && strncmp(line, "HELLO 3", 7) == 0) {
            line = "HELLO 2 AUTH default x SETNAME bob";
        }
        if (i == 0 && _i == 3) {
            line = "HELLO 3";
        }
        buf_clear(&expected);
        buf_clear(&got);
        ask_shape(&real, line, replies, &expected);
        if (strstr((char *)buf_head(&expected), in_tilt) != NULL) {
            cluster_wait("a Sentinel that is sure of the time", 3 * TIMEOUT_MS, is_upright, NULL);
            buf_clear(&expected);
            ask_shape(&real, line, replies, &expected);
        }
        ask_shape(&ours, line, replies, &got);
        ck_assert_msg(strcmp((char *)buf_head(&got), (char *)buf_head(&expected)) == 0,
                      "%s (RESP%d)\n--- a real Sentinel:\n%s--- ours:\n%s", line, _i,
                      (char *)buf_head(&expected), (char *)buf_head(&got));
    }
    wire_close(&ours);
    wire_close(&real);
    buf_release(&expected);
    buf_release(&got);
}
END_TEST

/* The address that it gives is one where clients are served, and ROLE there says master. */
START_TEST(the_address_serves)
{
    struct wire w;
    char expected[64], port[16];

    (void)snprintf(port, sizeof port, "%d", cluster_port(cluster, "proxy1"));
    (void)snprintf(expected, sizeof expected, "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n",
                   strlen(port), port);
    wire_open(&w, sentinel_port);
    wire_asks(&w, expected, "SENTINEL", "get-master-addr-by-name", "mymaster");
    wire_asks(&w, "+OK 3 usable Sentinels. Quorum and failover authorization can be reached\r\n",
              "SENTINEL", "CKQUORUM", "mymaster");
    wire_close(&w);

    wire_open(&w, atoi(port));
    struct buf reply = BUF_INIT;
    ck_assert_int_eq(wire_command(&w, "ROLE"), ERR_OK);
    ck_assert_int_eq(wire_reply(&w, &reply, TIMEOUT_MS), ERR_OK);
    ck_assert_ptr_nonnull(strstr((char *)buf_head(&reply), "master"));
    buf_release(&reply);
    wire_close(&w);
}
END_TEST

static bool quorum_is_gone(void *arg)
{
    struct wire *w = arg;
    struct buf reply = BUF_INIT;

    ck_assert_int_eq(wire_command(w, "SENTINEL", "CKQUORUM", "mymaster"), ERR_OK);
    ck_assert_int_eq(wire_reply(w, &reply, TIMEOUT_MS), ERR_OK);
    bool gone = strncmp((char *)buf_head(&reply), "-NOQUORUM 1 usable", 18) == 0;
    buf_release(&reply);
    return gone;
}

/* Two of three log nodes die: who subscribed hears that the master is down, and that it is up again
 * when they are back. */
START_TEST(a_lost_quorum_is_told)
{
    struct wire w, asker;
    struct buf reply = BUF_INIT;
    char text[64];
    static const char *const events[] = {"+sdown", "+odown", "-sdown", "-odown"};

    wire_open(&w, sentinel_port);
    wire_open(&asker, sentinel_port);
    ck_assert_int_eq(wire_command(&w, "SUBSCRIBE", "+sdown", "+odown", "-sdown", "-odown"), ERR_OK);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(wire_reply(&w, &reply, TIMEOUT_MS), ERR_OK);
    }
    (void)snprintf(text, sizeof text, "master mymaster 127.0.0.1 %d",
                   cluster_port(cluster, "proxy1"));
    cluster_kill(cluster, "log1");
    cluster_kill(cluster, "log2");
    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            cluster_wait("NOQUORUM", TIMEOUT_MS, quorum_is_gone, &asker);
            cluster_start(cluster);
        }
        ck_assert_int_eq(wire_reply(&w, &reply, TIMEOUT_MS), ERR_OK);
        ck_assert_ptr_nonnull(strstr((char *)buf_head(&reply), events[i]));
        ck_assert_ptr_nonnull(strstr((char *)buf_head(&reply), text));
    }
    wire_close(&w);
    wire_close(&asker);
    buf_release(&reply);
}
END_TEST

/* Requests in pieces, many in one piece, and inline. */
START_TEST(any_pieces)
{
    static const char request[] = "*2\r\n$4\r\nPING\r\n$3\r\nabc\r\n";
    struct wire w;

    wire_open(&w, sentinel_port);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        ck_assert_int_eq(wire_send(&w, request + i, 1), ERR_OK);
    }
    wire_expect(&w, "$3\r\nabc\r\n");
    struct buf many = BUF_INIT;
    for (int i = 0; i < 2000; i++) {
        buf_append_str(&many, "SENTINEL MYID\r\n");
    }
    ck_assert_int_eq(wire_send(&w, buf_head(&many), many.len), ERR_OK);
    for (int i = 0; i < 2000; i++) {
        ck_assert_int_eq(wire_reply(&w, &many, TIMEOUT_MS), ERR_OK);
        ck_assert_uint_eq(many.len, 47);
    }
    buf_release(&many);
    wire_close(&w);
}
END_TEST

/* What is no request ends the connection, with Redis' own error; HTTP ends it without one. */
START_TEST(nonsense_is_refused)
{
    static const struct {
        const char *bytes, *reply;
    } cases[] = {
        {"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"*1\r\n!x\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"},
        {"*99999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"*1\r\n$1000000\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"POST / HTTP/1.1\r\n", NULL},
    };
    struct wire w;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wire_open(&w, sentinel_port);
        ck_assert_int_eq(wire_send_str(&w, cases[i].bytes), ERR_OK);
        if (cases[i].reply != NULL) {
            wire_expect(&w, cases[i].reply);
        }
        ck_assert_msg(wire_wait_closed(&w, TIMEOUT_MS), "not closed: %s", cases[i].bytes);
        wire_close(&w);
    }
}
END_TEST

/* At most so many connections; places that become free are given again. */
START_TEST(connections_are_bounded)
{
    struct wire w[CLIENTS_MAX], more;

    for (int i = 0; i < CLIENTS_MAX; i++) {
        wire_open(&w[i], sentinel_port);
        wire_asks(&w[i], "+PONG\r\n", "PING");
    }
    wire_open(&more, sentinel_port);
    wire_expect(&more, "-ERR max number of clients reached\r\n");
    ck_assert(wire_wait_closed(&more, TIMEOUT_MS));
    wire_close(&more);
    wire_asks(&w[0], "+OK\r\n", "QUIT");
    ck_assert(wire_wait_closed(&w[0], TIMEOUT_MS));
    wire_close(&w[0]);
    wire_open(&w[0], sentinel_port);
    wire_asks(&w[0], "+PONG\r\n", "PING");
    for (int i = 0; i < CLIENTS_MAX; i++) {
        wire_close(&w[i]);
    }
}
END_TEST

/* Nobody to fail over to. */
START_TEST(no_good_replica)
{
    struct wire ours, real;
    struct buf expected = BUF_INIT, got = BUF_INIT;

    wire_open(&ours, sentinel_port);
    wire_open(&real, cluster_port(cluster, "sentinel1"));
    ask_shape(&real, "SENTINEL FAILOVER mymaster", 1, &expected);
    ask_shape(&ours, "SENTINEL FAILOVER mymaster", 1, &got);
    ck_assert_str_eq((char *)buf_head(&got), (char *)buf_head(&expected));
    wire_close(&ours);
    wire_close(&real);
    buf_release(&expected);
    buf_release(&got);
}
END_TEST

/* ---- three proxies ---- */

/* The port that this proxy's Sentinel gives as the master's. */
static int master_port(const char *proxy)
{
    char text[32], *save = NULL;
    struct buf reply = BUF_INIT;
    struct wire w;

    wire_open(&w, cluster_sentinel_port(cluster, proxy));
    ck_assert_int_eq(wire_command(&w, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"), ERR_OK);
    ck_assert_int_eq(wire_reply(&w, &reply, TIMEOUT_MS), ERR_OK);
    wire_close(&w);
    /* *2, $9, 127.0.0.1, $5, the port */
    const char *line = strtok_r((char *)buf_head(&reply), "\r\n", &save);
    for (int i = 0; i < 4; i++) {
        line = strtok_r(NULL, "\r\n", &save);
    }
    ck_assert_ptr_nonnull(line);
    (void)snprintf(text, sizeof text, "%s", line);
    buf_release(&reply);
    return atoi(text);
}

static bool other_leads(void *arg)
{
    const int *old = arg;
    const char *leader = cluster_leader(cluster);
    return leader[0] != '\0' && cluster_port(cluster, leader) != *old;
}

static bool all_know(void *arg)
{
    const int *port = arg;
    return master_port("proxy1") == *port && master_port("proxy2") == *port &&
           master_port("proxy3") == *port;
}

/* It is refused as long as no other proxy could lead. */
static bool takes_a_failover_on(void *arg)
{
    return wire_is_told(cluster_sentinel_port(cluster, arg), "+OK\r\n",
                        (const char *[]){"SENTINEL", "FAILOVER", "mymaster", NULL});
}

/* Whichever Sentinel is asked for a failover, another proxy leads, everybody who listens to any of
 * them is told once, and all give the new address. */
START_TEST(failovers_are_told)
{
    static const char *const proxies[] = {"proxy1", "proxy2", "proxy3"};
    struct wire listeners[3];
    struct buf reply = BUF_INIT;
    char expected[160];

    for (int i = 0; i < 3; i++) {
        wire_open(&listeners[i], cluster_sentinel_port(cluster, proxies[i]));
        ck_assert_int_eq(wire_command(&listeners[i], "SUBSCRIBE", "+switch-master"), ERR_OK);
        ck_assert_int_eq(wire_reply(&listeners[i], &reply, TIMEOUT_MS), ERR_OK);
    }
    for (int i = 0; i < 3; i++) {
        cluster_wait_followers(cluster);
        int old = cluster_port(cluster, cluster_leader(cluster));
        cluster_wait("the old address everywhere", TIMEOUT_MS, all_know, &old);
        cluster_wait("a failover to be taken on", TIMEOUT_MS, takes_a_failover_on,
                     (void *)(uintptr_t)proxies[i]);
        cluster_wait("another leader", TIMEOUT_MS, other_leads, &old);
        int new = cluster_port(cluster, cluster_leader(cluster));
        cluster_wait("the new address everywhere", TIMEOUT_MS, all_know, &new);
        int len = snprintf(NULL, 0, "mymaster 127.0.0.1 %d 127.0.0.1 %d", old, new);
        (void)snprintf(expected, sizeof expected,
                       "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n"
                       "mymaster 127.0.0.1 %d 127.0.0.1 %d\r\n",
                       len, old, new);
        for (int k = 0; k < 3; k++) {
            wire_expect(&listeners[k], expected);
        }
    }
    for (int i = 0; i < 3; i++) {
        wire_close(&listeners[i]);
    }
    buf_release(&reply);
}
END_TEST

/* ---- set-up ---- */

/* Whether a Sentinel's replies to these questions hold these words so often: it needs a moment to
 * have looked at everybody. */
struct look {
    int port;
    const char *question, *words;
    int times;
};

static bool has_looked(void *arg)
{
    const struct look *look = arg;
    struct buf reply = BUF_INIT;
    struct wire w;
    int times = 0;

    wire_open(&w, look->port);
    ck_assert_int_eq(wire_command(&w, "SENTINEL", look->question, "mymaster"), ERR_OK);
    ck_assert_int_eq(wire_reply(&w, &reply, TIMEOUT_MS), ERR_OK);
    for (const char *at = (char *)buf_head(&reply); (at = strstr(at, look->words)) != NULL; at++) {
        times++;
    }
    buf_release(&reply);
    wire_close(&w);
    return times == look->times;
}

static void wait_looked(int port, int replicas)
{
    struct look looks[] = {
        {port, "MASTER", "\r\nmaster\r\n$21\r\nlink-pending", 1},
        {port, "MASTER", "runid\r\n$40\r\n", 1},
        {port, "REPLICAS", "\r\nslave\r\n$21\r\nlink-pending", replicas},
        {port, "REPLICAS", "runid\r\n$40\r\n", replicas},
        {port, "REPLICAS", "master-link-status\r\n$2\r\nok\r\n", replicas},
        {port, "SENTINELS", "\r\nsentinel\r\n$21\r\nlink-pending", replicas},
    };
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        cluster_wait(looks[i].words, 3 * TIMEOUT_MS, has_looked, &looks[i]);
    }
}

static void serve_one_with(unsigned lease_ms)
{
    struct cluster_options options = system_options;

    options.lease_ms = lease_ms;
    system_create_with(&options);
    sentinel_port = cluster_sentinel_port(cluster, "proxy1");
    cluster_add_sentinel(cluster, "sentinel1", "plain1");
    cluster_start(cluster);
    wait_looked(cluster_port(cluster, "sentinel1"), 0);
}

static void serve_one(void)
{
    serve_one_with(CLUSTER_LONG_LEASE_MS);
}

/* A quorum is to be lost, and missed soon. */
static void serve_one_with_short_lease(void)
{
    serve_one_with(0);
}

/* Three proxies, and three real Sentinels of a master with two replicas. */
static void serve_three(void)
{
    static char port[16];
    static const char *const replica_args[] = {"--replicaof", "127.0.0.1", port, NULL};
    struct cluster_options options = system_options;

    options.pairs = 3;
    options.lease_ms = CLUSTER_LONG_LEASE_MS;
    options.sentinel_json = "\"down_after_ms\": 60000"; /* as the real ones have it */
    system_create_with(&options);
    sentinel_port = cluster_sentinel_port(cluster, "proxy1");
    (void)snprintf(port, sizeof port, "%d", cluster_port(cluster, "plain1"));
    cluster_add_redis(cluster, "plain2", replica_args);
    cluster_add_redis(cluster, "plain3", replica_args);
    cluster_add_sentinel(cluster, "sentinel1", "plain1");
    cluster_add_sentinel(cluster, "sentinel2", "plain1");
    cluster_add_sentinel(cluster, "sentinel3", "plain1");
    cluster_start(cluster);
    wait_looked(cluster_port(cluster, "sentinel1"), 2);
    wait_looked(sentinel_port, 2);
}

int main(void)
{
    Suite *suite = suite_create("sentinel_port");

    SYSTEM_CASE(suite, "one proxy", serve_one, 120, no_good_replica, the_address_serves, any_pieces,
                nonsense_is_refused, connections_are_bounded);
    SYSTEM_CASE(suite, "quorum", serve_one_with_short_lease, 120, a_lost_quorum_is_told);
    TCase *three = SYSTEM_CASE(suite, "three proxies", serve_three, 180, NULL);
    tcase_add_loop_test(three, answers_as_a_sentinel, 2, 4);
    tcase_add_test(three, failovers_are_told);
    return unit_main(suite);
}
