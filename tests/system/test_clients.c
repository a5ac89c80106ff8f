/* CLIENT and MONITOR: about the proxy's clients, as Redis would tell of its own. */
#include "tests/lib/duel.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cluster_options system_options = {.plain = true, .lease_ms = CLUSTER_LONG_LEASE_MS};

/* ---- CLIENT LIST, KILL ---- */

START_TEST(kills)
{
    DUEL("A PING", "B CLIENT KILL ID %A", "A?", "B CLIENT KILL ID %B", "B CLIENT KILL ID 99999999",
         "A SUBSCRIBE c", "C PING", "B CLIENT KILL TYPE pubsub", "A?", "C PING",
         "B CLIENT KILL TYPE master", "B CLIENT KILL TYPE replica", "B CLIENT KILL TYPE nosuch",
         "B CLIENT KILL ID 0", "B CLIENT KILL ID x", "B CLIENT KILL ADDR 1.2.3.4:5",
         "B CLIENT KILL 1.2.3.4:5", "B CLIENT KILL LADDR 1.2.3.4:5", "B CLIENT KILL ID",
         "B CLIENT KILL ID %A SKIPME", "B CLIENT KILL ID %A SKIPME maybe", "B CLIENT KILL NO x",
         "B CLIENT KILL USER default ID 99999999", "B CLIENT KILL ID %C TYPE pubsub", "C PING",
         "B CLIENT KILL ID %C TYPE normal SKIPME yes", "C?", "B CLIENT KILL ID %B SKIPME no", "B?");
}
END_TEST

START_TEST(list_errors)
{
    DUEL("A CLIENT LIST TYPE nosuch", "A CLIENT LIST ID x", "A CLIENT LIST NO", "A CLIENT LIST ID",
         "A CLIENT LIST TYPE", "A CLIENT LIST ID 99999999", "A CLIENT LIST TYPE master",
         "A CLIENT LIST TYPE replica", "A CLIENT INFO x", "A CLIENT NO-EVICT on",
         "A CLIENT NO-EVICT x", "A CLIENT NOSUCH", "A CLIENT GETREDIR", "A CLIENT TRACKINGINFO",
         "A CLIENT CACHING yes", "A CLIENT CACHING x", "A CLIENT UNPAUSE x");
}
END_TEST

static void ask(struct wire *w, struct buf *reply, const char *const argv[])
{
    ck_assert_int_eq(wire_sendv(w, argv), ERR_OK);
    ck_assert_int_eq(wire_reply(w, reply, WIRE_PATIENCE_MS), ERR_OK);
}
#define ASK(w, reply, ...) ask(w, reply, (const char *const[]){__VA_ARGS__, NULL})

/* Who is who in CLIENT LIST, and in which order. */
START_TEST(lists)
{
    struct wire a, b, c;
    struct buf reply = BUF_INIT;
    char id[32];

    wire_open(&a, cluster_port(cluster, "proxy1"));
    ASK(&a, &reply, "CLIENT", "SETNAME", "one");
    wire_open(&b, cluster_port(cluster, "proxy1"));
    ASK(&b, &reply, "CLIENT", "SETNAME", "two");
    ASK(&b, &reply, "SUBSCRIBE", "ch");
    wire_open(&c, cluster_port(cluster, "proxy1"));
    ASK(&c, &reply, "CLIENT", "SETNAME", "three");
    ASK(&c, &reply, "CLIENT", "LIST");
    const char *text = (const char *)buf_head(&reply);
    const char *one = strstr(text, "name=one"), *two = strstr(text, "name=two"),
               *three = strstr(text, "name=three");
    ck_assert(one != NULL && two != NULL && three != NULL && one < two && two < three);
    ck_assert(strstr(two, "flags=P db=0 sub=1 psub=0 ssub=0") != NULL);
    ASK(&c, &reply, "CLIENT", "LIST", "TYPE", "pubsub");
    text = (const char *)buf_head(&reply);
    ck_assert(strstr(text, "name=two") != NULL && strstr(text, "name=one") == NULL);
    ASK(&a, &reply, "CLIENT", "ID");
    (void)snprintf(id, sizeof id, "%lld", strtoll((const char *)buf_head(&reply) + 1, NULL, 10));
    ASK(&c, &reply, "CLIENT", "LIST", "ID", "99999999", id);
    text = (const char *)buf_head(&reply);
    ck_assert(strstr(text, "name=one") != NULL && strstr(text, "name=three") == NULL);
    wire_close(&a);
    wire_close(&b);
    wire_close(&c);
    buf_release(&reply);
}
END_TEST

/* ---- CLIENT PAUSE ---- */

START_TEST(pause_writes)
{
    DUEL("A SET k 1", "B CLIENT PAUSE 100000 WRITE", "A~SET k 2", "A~GET k", "C GET k", "A|",
         "C~PUBLISH c x", "C|", "D~EVAL return(1) 0", "D|", "E MULTI", "E GET k", "E EXEC",
         "E MULTI", "E~INCR k", "E|", "F PFADD", "B CLIENT UNPAUSE", "A<", "A<", "C<", "D<", "E<",
         "E EXEC", "B CLIENT PAUSE 1 x", "B CLIENT PAUSE x", "B CLIENT PAUSE -1",
         "B CLIENT PAUSE 1 WRITE x", "B CLIENT PAUSE");
}
END_TEST

/* What a user may not do is refused at once, inside MULTI as well; what it may do waits. */
START_TEST(pause_users)
{
    DUEL("A SET k 1", "B ACL SETUSER paused on >p ~* +@read +@transaction +incr", "A AUTH paused p",
         "B CLIENT PAUSE 100000 WRITE", "A SET k 2", "A GET k", "A BLPOP l 0", "A MULTI",
         "A SET k 3", "A EXEC", "A MULTI", "A~INCR k", "A|", "B CLIENT UNPAUSE", "A<", "A EXEC",
         "B ACL DELUSER paused");
}
END_TEST

/* Scripts and functions that say that they do not write go on, and others wait. */
START_TEST(pause_readers)
{
    static const char load[] = "A FUNCTION LOAD #!lua\tname=l\nredis.register_function{"
                               "function_name='reads',callback=function()return(1)end,"
                               "flags={'no-writes'}}redis.register_function('f',function()"
                               "return(2)end)";
    static const char reads[] = "#!lua flags=no-writes\nreturn redis.call('GET','k')";
    struct wire w, other;
    struct buf sha = BUF_INIT;

    DUEL("A SET k 1", load, "B CLIENT PAUSE 100000 WRITE", "A FCALL reads 0", "C FCALL READS 0",
         "A FCALL reads 0 x", "D~FCALL f 0", "E~FCALL nosuch 0", "D|", "E|", "F~FCALL_RO f 0", "F|",
         "A GET k", "B CLIENT UNPAUSE", "D<", "E<", "F<", "A FUNCTION FLUSH");
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_open(&other, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "+OK\r\n", "CLIENT", "PAUSE", "100000", "WRITE");
    wire_command(&w, "SCRIPT", "LOAD", reads);
    ck_assert_int_eq(wire_reply(&w, &sha, WIRE_PATIENCE_MS), ERR_OK);
    ck_assert_uint_eq(sha.len, 47);
    buf_truncate(&sha, 45);
    buf_append(&sha, "", 1);
    wire_asks(&w, "$1\r\n1\r\n", "EVALSHA", (const char *)buf_head(&sha) + 5, "0");
    wire_command(&other, "EVALSHA", "1fa00e76656cc152ad327c13fe365858fd7be306", "0");
    wire_asks(&w, "$1\r\n1\r\n", "EVALSHA", (const char *)buf_head(&sha) + 5, "0");
    ck_assert(wire_silent(&other, 200));
    wire_asks(&w, "+OK\r\n", "CLIENT", "UNPAUSE");
    wire_expect(&other, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    wire_close(&w);
    wire_close(&other);
    buf_release(&sha);
}
END_TEST

START_TEST(pause_all)
{
    DUEL("A PING", "C PING", "B CLIENT PAUSE 400", "A~PING", "C~GET k", "A|", "C|", "A<", "C<",
         "B PING", "B CLIENT PAUSE 300 WRITE", "A~SET k 5", "A|", "A<");
}
END_TEST

/* While clients are paused no key expires: it is gone for who asks, and there until the end. */
START_TEST(paused_keys_stay)
{
    static const char *const servers[] = {"proxy1", "plain1"};

    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        struct wire w;
        struct buf reply = BUF_INIT;

        wire_open(&w, cluster_port(cluster, servers[i]));
        wire_asks(&w, "+OK\r\n", "FLUSHALL");
        wire_asks(&w, "+OK\r\n", "SET", "k", "1", "PX", "2000");
        wire_asks(&w, "+OK\r\n", "CLIENT", "PAUSE", "100000", "WRITE");
        do {
            buf_clear(&reply);
            wire_command(&w, "GET", "k");
            ck_assert_int_eq(wire_reply(&w, &reply, WIRE_PATIENCE_MS), ERR_OK);
        } while (reply.len != 5);
        wire_asks(&w, ":1\r\n", "DBSIZE");
        wire_asks(&w, "+OK\r\n", "CLIENT", "UNPAUSE");
        wire_asks(&w, "$-1\r\n", "GET", "k");
        wire_asks(&w, ":0\r\n", "DBSIZE");
        wire_close(&w);
        buf_release(&reply);
    }
}
END_TEST

/* ---- CLIENT TRACKING ---- */

START_TEST(tracking)
{
    DUEL("A:HELLO 3", "A CLIENT TRACKING ON", "A CLIENT TRACKINGINFO", "A SET k 1", "A GET k",
         "B SET k 2", "A<", "B SET k 3", "A|", "A GET k", "A MGET k l m", "B MSET k 1 m 2", "A<",
         "A<", "A GET k", "B FLUSHALL", "A<", "A GET k", "A SELECT 2", "A GET z", "B SELECT 2",
         "B SET z 1", "A<", "A CLIENT TRACKING OFF", "A GET z", "B SET z 2", "A|",
         "A CLIENT TRACKINGINFO", "A CLIENT GETREDIR");
}
END_TEST

START_TEST(tracking_modes)
{
    DUEL("A CLIENT TRACKING ON", "A GET k", "A:HELLO 3", "B SET k 1", "A<", "A GET k", "A:HELLO 2",
         "B SET k 2", "A|");
    DUEL("A:HELLO 3", "A CLIENT TRACKING ON NOLOOP", "A GET k", "A SET k 1", "A|", "A GET k",
         "B DEL k", "A<", "A CLIENT TRACKING OFF",
         "A CLIENT TRACKING ON BCAST PREFIX u: PREFIX v:", "A CLIENT TRACKINGINFO", "B SET u:1 x",
         "A<", "B SET w:1 x", "A|", "A SET v:1 x", "A<", "A CLIENT TRACKING OFF",
         "A CLIENT TRACKING ON OPTIN", "A GET o", "B SET o 1", "A|", "A CLIENT CACHING yes",
         "A GET o", "B SET o 2", "A<", "A CLIENT CACHING no", "A CLIENT TRACKING OFF",
         "A CLIENT TRACKING ON OPTOUT", "A CLIENT CACHING no", "A GET o", "B SET o 3", "A|",
         "A GET o", "B SET o 4", "A<", "A CLIENT TRACKING ON OPTIN", "A CLIENT TRACKING ON BCAST",
         "A CLIENT TRACKING x", "A CLIENT TRACKING ON NOSUCH", "A CLIENT TRACKING ON PREFIX p",
         "A RESET", "A CLIENT TRACKINGINFO", "A GET o", "B SET o 5", "A|");
}
END_TEST

/* In MULTI, while it blocks, with WATCH; and in RESP2, where nobody can be told. */
START_TEST(tracking_among_other_things)
{
    DUEL("A:HELLO 3", "A CLIENT TRACKING ON", "A MULTI", "A GET k", "A GET l", "A EXEC",
         "B SET l 1", "A<", "A GET k", "A~BLPOP q 0", "=1", "B SET k 5", "A<", "B RPUSH q 1", "A<",
         "A WATCH k", "A GET k", "B SET k 6", "A<", "A MULTI", "A SET k 7", "A EXEC",
         "A SUBSCRIBE c", "B PUBLISH c hi", "A<", "A GET k", "B SET k 8", "A<",
         "C CLIENT TRACKING ON", "C GET k", "B SET k 9", "C|", "C PING");
}
END_TEST

/* Another client is told: in RESP2 by messages, if it listens to anything, in RESP3 by pushes; and
 * when it has gone, the one that tracks. */
START_TEST(tracking_redirects)
{
    DUEL("A CLIENT TRACKING ON REDIRECT 99999999", "A CLIENT TRACKING ON REDIRECT x",
         "A CLIENT TRACKING ON REDIRECT", "A CLIENT TRACKING OFF REDIRECT 99999999", "D PING",
         "A CLIENT TRACKING OFF REDIRECT %D", "A CLIENT TRACKING OFF REDIRECT %A",
         "A CLIENT TRACKING ON REDIRECT %D", "A:CLIENT GETREDIR", "A SET k 1", "A GET k",
         "B SET k 2", "D PING", "D SUBSCRIBE __redis__:invalidate", "A GET k", "B SET k 3", "D<",
         "A CLIENT TRACKING ON BCAST REDIRECT %D", "A CLIENT TRACKING OFF",
         "A CLIENT TRACKING ON BCAST REDIRECT %D", "B MSET k 1 l 2", "D<", "A CLIENT TRACKING OFF",
         "A:HELLO 3", "C CLIENT TRACKING ON REDIRECT %D", "A CLIENT TRACKING ON REDIRECT %D",
         "A GET k", "B SET k 4", "D<", "C GET l", "B SET l 5", "D<", "C CLIENT TRACKING OFF",
         "B FLUSHALL", "D<", "D UNSUBSCRIBE", "D:HELLO 3", "A GET k", "B SET k 5", "D<",
         "A:CLIENT TRACKINGINFO", "A GET k", "D~BLPOP q 0", "=1", "B SET k 6", "D<", "B RPUSH q 1",
         "D<", "A GET k", "D QUIT", "D?", "B SET k 7", "A:PING", "A<", "A CLIENT TRACKING OFF",
         "A CLIENT TRACKING ON REDIRECT %A", "A GET k", "B SET k 8", "A<", "A CLIENT TRACKING OFF",
         "A CLIENT TRACKING ON", "A CLIENT GETREDIR", "B CLIENT KILL USER nobody",
         "B CLIENT KILL USER nobody ID 5", "B ACL SETUSER nobody", "B CLIENT KILL USER nobody",
         "B ACL DELUSER nobody");
}
END_TEST

/* What invalidates is not told before it is committed: the client would read the old value anew. */
START_TEST(invalidations_are_withheld)
{
    struct wire reader, writer;
    struct buf reply = BUF_INIT;

    wire_open(&reader, cluster_port(cluster, "proxy1"));
    wire_open(&writer, cluster_port(cluster, "proxy1"));
    ASK(&reader, &reply, "HELLO", "3");
    ASK(&reader, &reply, "CLIENT", "TRACKING", "ON");
    ASK(&reader, &reply, "GET", "held");
    cluster_pause(cluster, "log2");
    cluster_pause(cluster, "log3");
    wire_command(&writer, "SET", "held", "1");
    ck_assert(wire_silent(&reader, 200));
    cluster_resume(cluster, "log2");
    cluster_resume(cluster, "log3");
    wire_expect(&reader, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$4\r\nheld\r\n");
    wire_close(&reader);
    wire_close(&writer);
    buf_release(&reply);
}
END_TEST

static bool no_links_are_left(void *arg)
{
    (void)arg;
    return cluster_info_number(cluster, "holdfast_private_connections") <= 64;
}

/* Tracking clients that leave give their links back. */
START_TEST(tracking_clients_leave)
{
    struct wire w[100];
    struct buf reply = BUF_INIT;

    for (int i = 0; i < 100; i++) {
        wire_open(&w[i], cluster_port(cluster, "proxy1"));
        ASK(&w[i], &reply, "CLIENT", "TRACKING", "ON");
    }
    ck_assert_int_ge(cluster_info_number(cluster, "holdfast_private_connections"), 100);
    for (int i = 0; i < 100; i++) {
        wire_close(&w[i]);
    }
    cluster_wait("links to be given back", WIRE_PATIENCE_MS, no_links_are_left, NULL);
    buf_release(&reply);
}
END_TEST

/* ---- MONITOR ---- */

/* What comes behind "] " of a line. */
static void expect_monitored(struct wire *w, const char *expected)
{
    struct buf reply = BUF_INIT;

    ck_assert_msg(wire_reply(w, &reply, WIRE_PATIENCE_MS) == ERR_OK, "%s is not shown", expected);
    const char *text = (const char *)buf_head(&reply), *at = strstr(text, "] ");
    ck_assert_msg(*text == '+' && at != NULL && strcmp(at + 2, expected) == 0, "%s, not %s", text,
                  expected);
    ck_assert(strstr(text, "127.0.0.1:") != NULL || strstr(text, " lua] ") != NULL);
    buf_release(&reply);
}

START_TEST(monitor)
{
    static const char *const names[] = {"proxy1", "plain1"};

    for (int i = 0; i < 2; i++) { /* Redis says the same */
        struct wire w, other;
        struct buf reply = BUF_INIT;

        wire_open(&w, cluster_port(cluster, names[i]));
        wire_open(&other, cluster_port(cluster, names[i]));
        wire_command(&w, "MONITOR");
        wire_command(&other, "PING"); /* is shown, though MONITOR may not be answered yet */
        wire_expect(&other, "+PONG\r\n");
        wire_expect(&w, "+OK\r\n");
        expect_monitored(&w, "\"PING\"\r\n");
        ASK(&other, &reply, "SET", "k", "a \"b\"\n\x01\xff");
        expect_monitored(&w, "\"SET\" \"k\" \"a \\\"b\\\"\\n\\x01\\xff\"\r\n");
        ASK(&other, &reply, "CONFIG", "GET", "port"); /* is not shown */
        ASK(&other, &reply, "AUTH", "secret");
        expect_monitored(&w, "\"AUTH\" \"(redacted)\"\r\n");
        ASK(&other, &reply, "SELECT", "2");
        expect_monitored(&w, "\"SELECT\" \"2\"\r\n");
        ASK(&other, &reply, "GET");
        ASK(&other, &reply, "nosuch");
        ASK(&other, &reply, "get", "k");
        expect_monitored(&w, "\"get\" \"k\"\r\n");
        ASK(&other, &reply, "EVAL", "return redis.call('set','s','lua] x')", "0");
        ASK(&other, &reply, "ECHO", "behind it");
        expect_monitored(&w, "\"EVAL\" \"return redis.call('set','s','lua] x')\" \"0\"\r\n");
        expect_monitored(&w, "\"set\" \"s\" \"lua] x\"\r\n");
        expect_monitored(&w, "\"ECHO\" \"behind it\"\r\n");
        ASK(&other, &reply, "SET", " lua] ", "] lua] ");
        expect_monitored(&w, "\"SET\" \" lua] \" \"] lua] \"\r\n");
        wire_command(&w, "PING"); /* its own reply comes first */
        wire_expect(&w, "+PONG\r\n");
        expect_monitored(&w, "\"PING\"\r\n");
        wire_asks(&w, "-ERR Replica can't interact with the keyspace\r\n", "GET", "k");
        wire_close(&w);
        wire_close(&other);
        buf_release(&reply);
    }
}
END_TEST

/* ---- busy scripts ---- */

static bool is_busy(void *arg)
{
    static const char busy[] =
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL "
        "or SHUTDOWN NOSAVE.\r\n";

    (void)arg;
    return wire_is_told(cluster_port(cluster, "proxy1"), busy, (const char *[]){"PING", NULL});
}

/* Behind a script that does not end, others are told so as by Redis, and can end it. */
START_TEST(busy_script)
{
    struct wire a, b, c;
    struct buf reply = BUF_INIT;

    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_open(&b, cluster_port(cluster, "proxy1"));
    wire_open(&c, cluster_port(cluster, "proxy1"));
    ASK(&b, &reply, "CONFIG", "SET", "busy-reply-threshold", "50");
    wire_asks(&b, "-NOTBUSY No scripts in execution right now.\r\n", "SCRIPT", "KILL");
    wire_command(&a, "EVAL", "while true do end", "0");
    cluster_wait("clients to be told", WIRE_PATIENCE_MS, is_busy, NULL);
    wire_command(&b, "GET", "k");
    wire_expect_begin(&b, "-BUSY ");
    wire_asks(&b, "+OK\r\n", "MULTI");
    wire_command(&b, "GET", "k");
    wire_expect_begin(&b, "-BUSY ");
    ASK(&b, &reply, "DISCARD");
    ck_assert(cluster_info_number(cluster, "holdfast_clients") > 0);
    wire_command(&b, "FUNCTION", "KILL");
    wire_expect_begin(&b, "-");
    wire_asks(&b, "+OK\r\n", "SCRIPT", "KILL");
    wire_expect_begin(&a, "-ERR Script killed by user");
    wire_asks(&a, "+OK\r\n", "SET", "k", "1");
    wire_asks(&c, "$1\r\n1\r\n", "GET", "k");
    wire_close(&a);
    wire_close(&b);
    wire_close(&c);
    buf_release(&reply);
}
END_TEST

/* What was sent behind the script before anybody knew how long it takes is told, too, if it reads
 * only: its reply is nobody's then. A write waits: it will be executed. Each in its order. */
START_TEST(busy_script_was_sent_before)
{
    struct wire a, reader, writer, killer;
    struct buf reply = BUF_INIT;

    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_open(&reader, cluster_port(cluster, "proxy1"));
    wire_open(&writer, cluster_port(cluster, "proxy1"));
    wire_open(&killer, cluster_port(cluster, "proxy1"));
    ASK(&killer, &reply, "CONFIG", "SET", "busy-reply-threshold", "50");
    ASK(&killer, &reply, "SET", "n", "1");
    for (int round = 0; round < 5; round++) {
        char number[32];

        wire_command(&a, "EVAL", "while true do end", "0");
        wire_queue(&reader, "PING");
        wire_queue(&reader, "GET", "n");
        wire_flush(&reader);
        wire_queue(&writer, "INCR", "n");
        wire_queue(&writer, "GET", "n");
        wire_flush(&writer);
        for (int i = 0; i < 2; i++) {
            wire_expect_begin(&reader, "-BUSY ");
        }
        wire_asks(&killer, "+OK\r\n", "SCRIPT", "KILL");
        wire_expect_begin(&a, "-ERR Script killed by user");
        /* sent before, or refused since it was not */
        ck_assert_int_eq(wire_reply(&writer, &reply, WIRE_PATIENCE_MS), ERR_OK);
        bool written = *buf_head(&reply) == ':';
        ck_assert(written || memcmp(buf_head(&reply), "-BUSY ", 6) == 0);
        wire_expect_begin(&writer, "-BUSY ");
        ASK(&reader, &reply, "GET", "n");
        (void)snprintf(number, sizeof number, "$1\r\n%d\r\n", written ? 2 : 1);
        ck_assert_str_eq((char *)buf_head(&reply), number);
        ASK(&killer, &reply, "SET", "n", "1");
    }
    wire_close(&a);
    wire_close(&reader);
    wire_close(&writer);
    wire_close(&killer);
    buf_release(&reply);
}
END_TEST

/* The same, of a script on a private link: Redis answers the shared link then, its fence as well.
 */
START_TEST(busy_script_elsewhere)
{
    struct wire a, b;
    struct buf reply = BUF_INIT;

    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_open(&b, cluster_port(cluster, "proxy1"));
    ASK(&b, &reply, "CONFIG", "SET", "busy-reply-threshold", "50");
    ASK(&a, &reply, "WATCH", "k");
    wire_command(&a, "EVAL", "while true do end", "0");
    ck_assert(wire_silent(&a, 200)); /* longer than the threshold */
    wire_command(&b, "GET", "k");    /* its fence does not come back */
    wire_command(&b, "SCRIPT", "KILL");
    wire_expect_begin(&b, "-BUSY");
    wire_expect(&b, "+OK\r\n");
    ck_assert_int_eq(wire_reply(&a, &reply, WIRE_PATIENCE_MS), ERR_OK);
    wire_asks(&a, "+OK\r\n", "SET", "k", "1");
    ck_assert_int_eq(cluster_info_number(cluster, "holdfast_term"), 1); /* nothing was torn down */
    wire_close(&a);
    wire_close(&b);
    buf_release(&reply);
}
END_TEST

static void serve_with_little_patience(void)
{
    struct cluster_options options = system_options;

    options.redis_json = ", \"stall_ms\": 1000";
    system_serve_with(&options);
}

static bool is_written(void *arg)
{
    (void)arg;
    return wire_is_told(cluster_port(cluster, "proxy1"), "+OK\r\n",
                        (const char *[]){"SET", "k", "1", NULL});
}

/* A script that takes so long that the links to Redis are given up can still be ended. */
START_TEST(busy_script_outlives_the_links)
{
    struct wire a, b;
    struct buf reply = BUF_INIT;

    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_open(&b, cluster_port(cluster, "proxy1"));
    ASK(&b, &reply, "CONFIG", "SET", "busy-reply-threshold", "50");
    wire_command(&a, "EVAL", "while true do end", "0");
    cluster_wait_log(cluster, "proxy1", "Redis has not answered for too long");
    ck_assert(wire_wait_closed(&a, WIRE_PATIENCE_MS));
    wire_asks(&b, "+OK\r\n", "SCRIPT", "KILL");
    cluster_wait("writes to be taken again", WIRE_PATIENCE_MS, is_written, NULL);
    wire_close(&a);
    wire_close(&b);
    buf_release(&reply);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clients");

    SYSTEM_CASE(suite, "clients", system_serve, 120, kills, list_errors, lists, pause_writes,
                pause_users, pause_readers, pause_all, paused_keys_stay, tracking, tracking_modes,
                tracking_among_other_things, tracking_redirects, invalidations_are_withheld,
                tracking_clients_leave, monitor);
    SYSTEM_CASE(suite, "scripts", system_serve, 120, busy_script, busy_script_was_sent_before,
                busy_script_elsewhere);
    SYSTEM_CASE(suite, "impatience", serve_with_little_patience, 120,
                busy_script_outlives_the_links);
    return unit_main(suite);
}
