/* Pub/sub through one link to Redis: clients see what they would see at a plain Redis. */
#include "tests/lib/duel.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cluster_options system_options = {
    .plain = true,
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"limits\": {\"pubsub_max_bytes\": 1000000, \"pubsub_soft_bytes\": 500000}"};

START_TEST(channels)
{
    DUEL("A SUBSCRIBE c", "B PUBLISH c hello", "A<", "B PUBLISH other x", "A SUBSCRIBE d e", "A<",
         "B PUBLISH d 1", "A<", "B PUBLISH e 2", "A<", "A UNSUBSCRIBE d", "B PUBLISH d 3",
         "B PUBLISH e 4", "A<", "A UNSUBSCRIBE c e", "A<", "B PUBLISH c 5", "A PING", "A SET k 1",
         "A UNSUBSCRIBE", "A UNSUBSCRIBE none", "A UNSUBSCRIBE n1 n2", "A<", "A PUNSUBSCRIBE",
         "A SUNSUBSCRIBE", "A SUBSCRIBE c c", "A<", "B PUBLISH c once", "A<", "A UNSUBSCRIBE c",
         "A GET k");
}
END_TEST

/* A PUBLISH behind the UNSUBSCRIBE of somebody else, to which nobody has listened yet. */
START_TEST(published_behind_unsubscribe)
{
    DUEL("A SUBSCRIBE c", "A~UNSUBSCRIBE", "B PUBLISH c x", "A<", "A PSUBSCRIBE c*",
         "A~PUNSUBSCRIBE", "B PUBLISH cc x", "A<", "A|");
}
END_TEST

START_TEST(patterns)
{
    DUEL("A PSUBSCRIBE n.* h[ae]llo", "A<", "B PUBLISH n.x 1", "A<", "B PUBLISH hallo 2", "A<",
         "B PUBLISH hillo 3", "A SUBSCRIBE n.x", "B PUBLISH n.x 4", "A<", "A<",
         "A PUNSUBSCRIBE n.*", "B PUBLISH n.x 5", "A<", "A PUNSUBSCRIBE", "A UNSUBSCRIBE",
         "A PSUBSCRIBE *", "B PUBLISH anything 6", "A<", "A PUNSUBSCRIBE *");
    /* All patterns end in the order in which they began; a stray EXEC is an aborted one. */
    DUEL("A PSUBSCRIBE p1 p2 p3", "A<", "A<", "A PUNSUBSCRIBE p1", "A PSUBSCRIBE p1", "A EXEC",
         "A MULTI", "A PUNSUBSCRIBE", "A<", "A<", "A EXEC");
}
END_TEST

START_TEST(shard_channels)
{
    DUEL("A SSUBSCRIBE s t", "A<", "B SPUBLISH s 1", "A<", "B PUBLISH s 2", "A SUBSCRIBE s",
         "B PUBLISH s 3", "A<", "B SPUBLISH t 4", "A<", "B PUBSUB SHARDNUMSUB s t u",
         "A SUNSUBSCRIBE s", "B SPUBLISH s 5", "A SUNSUBSCRIBE", "A UNSUBSCRIBE");
}
END_TEST

START_TEST(several_subscribers)
{
    DUEL("A SUBSCRIBE c", "B:HELLO 3", "B SUBSCRIBE c", "C PSUBSCRIBE c*", "D PUBLISH c 1", "A<",
         "B<", "C<", "D PUBSUB NUMSUB c d", "D PUBSUB NUMPAT", "D PUBSUB CHANNELS",
         "D PUBSUB CHANNELS c*", "D PUBSUB CHANNELS x*", "A UNSUBSCRIBE c", "D PUBLISH c 2", "B<",
         "C<", "A|", "D PUBSUB NUMSUB c", "B UNSUBSCRIBE", "C PUNSUBSCRIBE", "A SUBSCRIBE z",
         "D PUBSUB CHANNELS", "D PUBSUB NUMPAT", "D PUBLISH c 3", "D PUBSUB NUMSUB",
         "D PUBSUB NOSUCH", "D PUBSUB NUMPAT x", "D PUBSUB CHANNELS a b", "D PUBSUB");
}
END_TEST

START_TEST(what_a_resp2_subscriber_may_say)
{
    DUEL("A SUBSCRIBE c", "A GET k", "A PING", "A PING hello", "A PING a b", "A MULTI",
         "A CLIENT ID", "A NOSUCH", "A SUBSCRIBE", "A HELLO 3", "A BLPOP k 0", "A WATCH k",
         "A RESET", "A GET none", "B PUBLISH c 1", "A|", "A SSUBSCRIBE s", "A GET k",
         "A SUNSUBSCRIBE", "A GET none", "A SUBSCRIBE c", "A QUIT", "A?");
}
END_TEST

START_TEST(resp3_subscribers)
{
    DUEL("A:HELLO 3", "A SUBSCRIBE c", "A SET k 1", "A GET k", "B PUBLISH c 1", "A<", "A PING",
         "A BLPOP none 0.02", "A~BLPOP none 0", "=1", "B PUBLISH c 2", "A<", "B RPUSH none x", "A<",
         "A PSUBSCRIBE p*", "A PUNSUBSCRIBE", "A PUNSUBSCRIBE", "A:HELLO 2", "A GET k", "A PING",
         "A UNSUBSCRIBE", "A GET k");
}
END_TEST

START_TEST(pipelines)
{
    DUEL("A~SET k 1", "A~SUBSCRIBE c", "A~GET k", "A~PING", "A~UNSUBSCRIBE c", "A~GET k", "A<",
         "A<", "A<", "A<", "A<", "A<", "A:HELLO 3", "A~SUBSCRIBE c", "A~PUBLISH d 1",
         "A~SUBSCRIBE d", "A~PUBSUB NUMSUB c d", "A~UNSUBSCRIBE c", "A~SUBSCRIBE c",
         "A~UNSUBSCRIBE c", "A~PUBSUB NUMSUB c d", "A~GET k", "A<", "A<", "A<", "A<", "A<", "A<",
         "A<", "A<", "A<", "B PUBLISH c 1", "B PUBLISH d 2", "A<");
}
END_TEST

START_TEST(client_reply_off)
{
    DUEL("A~CLIENT REPLY OFF", "A~SUBSCRIBE c", "A<", "B PUBLISH c 1", "A<", "A~UNSUBSCRIBE", "A<");
}
END_TEST

START_TEST(keyspace_notifications)
{
    DUEL("B CONFIG SET notify-keyspace-events KEA", "A PSUBSCRIBE __key*__:*", "B SET k 1", "A<",
         "A<", "B DEL k", "A<", "A<", "A PUNSUBSCRIBE", "B CONFIG SET notify-keyspace-events ");
}
END_TEST

/* A message never overtakes the commit of what it may tell of. */
START_TEST(messages_are_withheld)
{
    struct wire subscriber, writer;

    wire_open(&subscriber, cluster_port(cluster, "proxy1"));
    wire_open(&writer, cluster_port(cluster, "proxy1"));
    wire_asks(&subscriber, "*3\r\n$9\r\nsubscribe\r\n$4\r\nheld\r\n:1\r\n", "SUBSCRIBE", "held");
    cluster_pause(cluster, "log2");
    cluster_pause(cluster, "log3");
    wire_command(&writer, "EVAL", "redis.call('set', 'x', 1) redis.call('publish', 'held', 'x=1')",
                 "0");
    ck_assert(wire_silent(&subscriber, 200));
    cluster_resume(cluster, "log2");
    cluster_resume(cluster, "log3");
    wire_expect(&subscriber, "*3\r\n$7\r\nmessage\r\n$4\r\nheld\r\n$3\r\nx=1\r\n");
    wire_close(&subscriber);
    wire_close(&writer);
}
END_TEST

/* Each of many subscribers gets each of many messages, in order; Redis knows one subscriber. */
START_TEST(many_subscribers)
{
    enum { SUBSCRIBERS = 200, MESSAGES = 50 };
    struct wire *all = calloc(SUBSCRIBERS, sizeof *all), publisher;
    char text[96], reply[64];

    wire_open(&publisher, cluster_port(cluster, "proxy1"));
    for (int i = 0; i < SUBSCRIBERS; i++) {
        wire_open(&all[i], cluster_port(cluster, "proxy1"));
        wire_command(&all[i], "SUBSCRIBE", "many");
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        wire_expect(&all[i], "*3\r\n$9\r\nsubscribe\r\n$4\r\nmany\r\n:1\r\n");
    }
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"PUBLISH", "many", "direct", NULL});
    ck_assert_str_eq(reply, "1");
    for (int m = 0; m < MESSAGES; m++) {
        (void)snprintf(text, sizeof text, "%04d", m);
        wire_command(&publisher, "PUBLISH", "many", text);
        (void)snprintf(text, sizeof text, ":%d\r\n", SUBSCRIBERS);
        wire_expect(&publisher, text);
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        wire_expect(&all[i], "*3\r\n$7\r\nmessage\r\n$4\r\nmany\r\n$6\r\ndirect\r\n");
        for (int m = 0; m < MESSAGES; m++) {
            (void)snprintf(text, sizeof text, "*3\r\n$7\r\nmessage\r\n$4\r\nmany\r\n$4\r\n%04d\r\n",
                           m);
            wire_expect(&all[i], text);
        }
        wire_close(&all[i]);
    }
    wire_close(&publisher);
    free(all);
}
END_TEST

static bool nobody_at_redis(void *arg)
{
    char reply[256];
    (void)arg;
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"PUBLISH", "left", "x", NULL});
    return strcmp(reply, "0") == 0;
}

/* Who has gone is subscribed to nothing, here and at Redis. */
START_TEST(subscribers_leave)
{
    struct wire w;

    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "*3\r\n$9\r\nsubscribe\r\n$4\r\nleft\r\n:1\r\n", "SUBSCRIBE", "left");
    ck_assert(!nobody_at_redis(NULL));
    wire_close(&w);
    cluster_wait("Redis to have no subscriber", WIRE_PATIENCE_MS, nobody_at_redis, NULL);
}
END_TEST

/* A subscriber that does not read is closed at its limit; others go on. */
START_TEST(slow_subscribers_are_closed)
{
    enum { LARGE = 100000, MESSAGES = 120 };
    struct wire slow, fast, publisher;
    struct buf reply = BUF_INIT;
    char *large = malloc(LARGE + 1);

    memset(large, 'x', LARGE);
    large[LARGE] = '\0';
    wire_open(&slow, cluster_port(cluster, "proxy1"));
    wire_open(&fast, cluster_port(cluster, "proxy1"));
    wire_open(&publisher, cluster_port(cluster, "proxy1"));
    wire_asks(&slow, "*3\r\n$9\r\nsubscribe\r\n$4\r\nslow\r\n:1\r\n", "SUBSCRIBE", "slow");
    wire_asks(&fast, "*3\r\n$9\r\nsubscribe\r\n$4\r\nslow\r\n:1\r\n", "SUBSCRIBE", "slow");
    for (int i = 0; i < MESSAGES; i++) {
        wire_command(&publisher, "PUBLISH", "slow", large);
        ck_assert_int_eq(wire_reply(&publisher, &reply, WIRE_PATIENCE_MS), ERR_OK);
        ck_assert_int_eq(wire_reply(&fast, &reply, WIRE_PATIENCE_MS), ERR_OK);
    }
    ck_assert(wire_wait_closed(&slow, WIRE_PATIENCE_MS));
    wire_asks(&fast, "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING");
    wire_close(&slow);
    wire_close(&fast);
    wire_close(&publisher);
    buf_release(&reply);
    free(large);
}
END_TEST

/* When the link ends, messages may be lost: subscribers are closed, to subscribe anew. */
START_TEST(the_link_ends)
{
    struct wire w;
    char reply[64];

    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c");
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"CLIENT", "KILL", "TYPE", "pubsub", NULL});
    ck_assert(wire_wait_closed(&w, WIRE_PATIENCE_MS));
    wire_close(&w);
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "SUBSCRIBE", "c");
    wire_close(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("messages");

    SYSTEM_CASE(suite, "pubsub", system_serve, 120, channels, patterns,
                published_behind_unsubscribe, shard_channels, several_subscribers,
                what_a_resp2_subscriber_may_say, resp3_subscribers, pipelines, client_reply_off,
                keyspace_notifications, messages_are_withheld, many_subscribers, subscribers_leave,
                slow_subscribers_are_closed, the_link_ends);
    return unit_main(suite);
}
