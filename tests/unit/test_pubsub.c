/* Pub/sub: what is asked of Redis for many clients, and when messages and replies are handed out.
 * The Redis behind the link is played here (tests/lib/router_world.h); its link is link 0. */
#include "proxy/clients/pubsub.h"

#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <string.h>

#define HELLO         "%0\r\n"
#define SUBSCRIBED    "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
#define UNSUBSCRIBED  "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n"
#define ACK           ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
#define PUSH(text)    ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n" text "\r\n"
#define MESSAGE(text) "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n" text "\r\n"
#define FENCED        "*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n"

/* Client 0 subscribes to c, the first one to do so. */
static void subscribe_first(void)
{
    tracker_stream_at(world.tracker, 7);
    tracker_commit(world.tracker, 7);
    world_say(0, "SUBSCRIBE c");
    world_link_up(0);
    world_link_expect_sent(0, "HELLO 3|SUBSCRIBE c|PING");
    world_link_redis(0, HELLO ACK "+PONG\r\n");
    world_expect(0, SUBSCRIBED);
}

/* Redis counts so many, and the client hears of so many. */
static void publish(int i, const char *redis_says, const char *client_hears)
{
    world_say(i, "PUBLISH c m");
    world_expect_sent_bare("PUBLISH c m");
    world_redis(redis_says);
    world_expect(i, client_hears);
}

/* One subscription at Redis for both; a message goes to both, in the form that each speaks. */
START_TEST(test_fan_out)
{
    world_join(1);
    subscribe_first();
    world_say(1, "HELLO 3");
    (void)world_hear(1);
    world_say(1, "SUBSCRIBE c");
    world_link_expect_sent(0, "SUBSCRIBE c|PING");
    world_link_redis(0, ACK "+PONG\r\n");
    world_expect(1, ACK);
    world_link_redis_raw(0, PUSH("m"));
    world_expect(0, ""); /* not before a fence */
    world_link_expect_sent(0, "");
    world_link_redis_raw(0, FENCED);
    world_expect(0, MESSAGE("m"));
    world_expect(1, PUSH("m"));
    /* the first who leaves is of no interest to Redis, the last is */
    world_say(0, "UNSUBSCRIBE c");
    world_link_expect_sent(0, "PING");
    world_link_redis(0, "+PONG\r\n");
    world_expect(0, UNSUBSCRIBED);
    world_say(1, "UNSUBSCRIBE");
    world_link_expect_sent(0, "UNSUBSCRIBE c|PING");
    world_link_redis(0, "+PONG\r\n");
    (void)world_hear(1);
    ck_assert_uint_eq(pubsub_topics(world.pubsub), 0);
}
END_TEST

/* A message waits until what was written before it is committed; so do the replies that tell where
 * a subscription begins and ends. */
START_TEST(test_withheld)
{
    subscribe_first();
    tracker_dirty(world.tracker, 1, 8);
    tracker_stream_at(world.tracker, 9);
    world_link_redis_raw(0, PUSH("m"));
    world_link_expect_sent(0, "");
    world_link_redis_raw(0, "*3\r\n$6\r\nmaster\r\n:9\r\n*0\r\n");
    world_say(0, "UNSUBSCRIBE c");
    world_link_expect_sent(0, "UNSUBSCRIBE c|PING");
    world_link_redis_raw(0, "+PONG\r\n*3\r\n$6\r\nmaster\r\n:9\r\n*0\r\n");
    world_expect(0, "");
    tracker_commit(world.tracker, 8);
    world_expect(0, MESSAGE("m") UNSUBSCRIBED);
}
END_TEST

/* The same where what the client says next leaves at once, and is a transaction in which the proxy
 * carries something out. */
START_TEST(test_withheld_from_asynchronous)
{
    subscribe_first();
    world.clients[0]->async = true;
    tracker_dirty(world.tracker, 1, 8);
    tracker_stream_at(world.tracker, 9);
    world_link_redis_raw(0, PUSH("m"));
    world_link_expect_sent(0, "");
    world_link_redis_raw(0, "*3\r\n$6\r\nmaster\r\n:9\r\n*0\r\n");
    world_say_raw(0, "UNSUBSCRIBE c\r\nMULTI\r\nCLIENT GETNAME\r\nEXEC\r\n");
    world_link_expect_sent(0, "UNSUBSCRIBE c|PING");
    world_link_redis_raw(0, "+PONG\r\n*3\r\n$6\r\nmaster\r\n:9\r\n*0\r\n");
    world_expect_sent_bare("MULTI|PING|EXEC");
    world_redis("+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    world_expect(0, "");
    tracker_commit(world.tracker, 8);
    world_expect(0, MESSAGE("m") UNSUBSCRIBED "+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n");
}
END_TEST

/* Who has said UNSUBSCRIBE before a PUBLISH is not counted, though Redis' word for it comes later;
 * UNSUBSCRIBE is the client's last command only then. */
START_TEST(test_left_before_publish)
{
    world_join(1);
    subscribe_first();
    ck_assert_str_eq(world.clients[0]->last_command, "subscribe");
    world_say(0, "UNSUBSCRIBE c");
    world_link_expect_sent(0, "UNSUBSCRIBE c|PING");
    publish(1, ":0\r\n", ":0\r\n");
    ck_assert_str_eq(world.clients[0]->last_command, "subscribe");
    world_link_redis(0, "+PONG\r\n");
    world_expect(0, UNSUBSCRIBED);
    ck_assert_str_eq(world.clients[0]->last_command, "unsubscribe");
}
END_TEST

/* What came before SUBSCRIBE in the link is not for that client, though it is handed out later. */
START_TEST(test_begins_where_it_stands)
{
    world_join(1);
    subscribe_first();
    world_say(1, "SUBSCRIBE c");
    world_link_expect_sent(0, "SUBSCRIBE c|PING");
    world_link_redis(0, PUSH("1") ACK PUSH("2") "+PONG\r\n" PUSH("3"));
    world_expect(0, MESSAGE("1") MESSAGE("2") MESSAGE("3"));
    world_expect(1, SUBSCRIBED MESSAGE("3"));
}
END_TEST

/* Who leaves is forgotten, with a request under way and without; Redis is told. */
START_TEST(test_client_leaves)
{
    world_join(1);
    subscribe_first();
    world_join(0);
    world_link_expect_sent(0, "UNSUBSCRIBE c|PING");
    world_link_redis(0, "+PONG\r\n");
    ck_assert_uint_eq(pubsub_topics(world.pubsub), 0);
    world_say(0, "SUBSCRIBE c");
    world_link_expect_sent(0, "SUBSCRIBE c|PING");
    world_join(0);
    world_link_redis(0, ACK "+PONG\r\n");
    world_link_expect_sent(0, "UNSUBSCRIBE c|PING");
    world_link_redis(0, "+PONG\r\n");
    ck_assert_uint_eq(pubsub_topics(world.pubsub), 0);
}
END_TEST

/* Who leaves many channels is one matter for Redis. */
START_TEST(test_leaves_many)
{
    subscribe_first();
    world_say(0, "SUBSCRIBE d");
    world_link_expect_sent(0, "SUBSCRIBE d|PING");
    world_link_redis(0, ACK "+PONG\r\n");
    world_join(0);
    world_link_expect_sent(0, "UNSUBSCRIBE c|UNSUBSCRIBE d|PING");
    world_link_redis(0, "+PONG\r\n");
    ck_assert_uint_eq(pubsub_topics(world.pubsub), 0);
}
END_TEST

/* Redis refuses: its error is the reply, and nothing is subscribed to. */
START_TEST(test_refused)
{
    tracker_stream_at(world.tracker, 7);
    tracker_commit(world.tracker, 7);
    world_say(0, "SUBSCRIBE c");
    world_link_up(0);
    world_link_expect_sent(0, "HELLO 3|SUBSCRIBE c|PING");
    world_link_redis(0, HELLO "-NOPERM x\r\n+PONG\r\n");
    world_expect(0, "-NOPERM x\r\n");
    ck_assert(!pubsub_has(world.clients[0]));
    ck_assert_uint_eq(pubsub_topics(world.pubsub), 0);
}
END_TEST

/* The link's end: every subscriber is closed, whatever is under way; others are not. */
START_TEST(test_link_ends)
{
    world_join(1);
    world_join(2);
    subscribe_first();
    world_say(1, "SUBSCRIBE d");
    world_link_expect_sent(0, "SUBSCRIBE d|PING");
    world_link_redis_raw(0, PUSH("m"));
    world_link_down(0);
    world_expect_closed(0);
    world_expect_closed(1);
    world_say(2, "CLIENT ID");
    world_expect(2, ":3\r\n");
    ck_assert_uint_eq(pubsub_topics(world.pubsub), 0);
}
END_TEST

/* PUBLISH counts clients, not links; what somebody else has at Redis counts as well. */
START_TEST(test_publish)
{
    world_join(1);
    subscribe_first();
    publish(1, ":1\r\n", ":1\r\n");
    world_say(1, "PSUBSCRIBE *");
    world_link_expect_sent(0, "PSUBSCRIBE *|PING");
    world_link_redis(0, ">3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:2\r\n+PONG\r\n");
    (void)world_hear(1);
    world_join(2);
    publish(2, ":5\r\n", ":5\r\n");
    world_join(3);
    world_say(3, "PSUBSCRIBE *");
    world_link_expect_sent(0, "PSUBSCRIBE *|PING");
    world_link_redis(0, ">3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:2\r\n+PONG\r\n");
    (void)world_hear(3);
    publish(2, ":2\r\n", ":3\r\n");
}
END_TEST

/* Client 2 publishes, and waits: client 1 has said SUBSCRIBE before, and is not answered yet. */
static void publish_behind_subscribe(void)
{
    world_join(1);
    world_join(2);
    subscribe_first();
    world_say(1, "SUBSCRIBE c");
    world_link_expect_sent(0, "SUBSCRIBE c|PING");
    world_say(2, "PUBLISH c m");
    world_expect_nothing_sent();
}

/* Who publishes after others have said SUBSCRIBE, whatever link that went over, is heard by them;
 * those who say it later hold nobody up. */
START_TEST(test_publish_behind_subscribe)
{
    publish_behind_subscribe();
    world_say(0, "PSUBSCRIBE *");
    world_link_redis(0, ACK "+PONG\r\n");
    world_expect(1, SUBSCRIBED);
    world_expect_sent_bare("PUBLISH c m");
    world_redis(":1\r\n");
    world_expect(2, ":2\r\n");
}
END_TEST

/* The link ends instead. */
START_TEST(test_publish_without_link)
{
    publish_behind_subscribe();
    world_link_down(0);
    world_expect_sent_bare("PUBLISH c m");
}
END_TEST

/* Who asks what is subscribed to hears of what others have said before, UNSUBSCRIBE as well. */
START_TEST(test_asks_behind_subscribe)
{
    publish_behind_subscribe();
    world_join(3);
    world_say(3, "PUBSUB NUMSUB c");
    world_expect(3, "");
    world_link_redis(0, ACK "+PONG\r\n");
    world_expect(1, SUBSCRIBED);
    world_expect(3, "*2\r\n$1\r\nc\r\n:2\r\n");
    world_say(1, "UNSUBSCRIBE c");
    world_link_expect_sent(0, "PING");
    world_say(3, "PUBSUB NUMSUB c");
    world_expect(3, "");
    world_link_redis(0, "+PONG\r\n");
    world_expect(3, "*2\r\n$1\r\nc\r\n:1\r\n");
}
END_TEST

/* So it is inside MULTI, where that is carried out by EXEC. */
START_TEST(test_transaction_behind_subscribe)
{
    world_join(1);
    world_join(2);
    world_join(3);
    subscribe_first();
    world_say_raw(2, "MULTI\r\nPUBLISH c m\r\n");
    world_say_raw(3, "MULTI\r\nPUBSUB NUMSUB c\r\n");
    world_expect(2, "+OK\r\n+QUEUED\r\n");
    world_expect(3, "+OK\r\n+QUEUED\r\n");
    world_say(1, "SUBSCRIBE c");
    world_link_expect_sent(0, "SUBSCRIBE c|PING");
    world_say(2, "EXEC");
    world_expect_nothing_sent();
    world_say(3, "EXEC");
    world_expect_nothing_sent();
    world_link_redis(0, ACK "+PONG\r\n");
    world_expect(1, SUBSCRIBED);
    world_expect_sent_bare("MULTI|PUBLISH c m|EXEC|MULTI|PING|EXEC");
    world_redis("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
    world_expect(2, "*1\r\n:2\r\n");
    world_expect(3, "*1\r\n*2\r\n$1\r\nc\r\n:2\r\n");
}
END_TEST

#define REPLICA_OF(host, port)                                                                     \
    "+OK\r\n$76\r\nrole:slave\r\nmaster_host:" host "\r\nmaster_port:" port                        \
    "\r\nmaster_link_status:up\r\n\r\n"
#define REPLICA REPLICA_OF("127.0.0.1", "7777")

/* Our Redis is a replica, whose messages are committed: nothing is fenced, nothing withheld. */
START_TEST(test_follows)
{
    pubsub_follow(world.pubsub, 7777);
    world_say(0, "SUBSCRIBE c");
    world_link_up_as(0, REPLICA);
    world_link_expect_unfenced(0, "HELLO 3|SUBSCRIBE c|PING");
    world_link_redis_raw(0, HELLO ACK "+PONG\r\n");
    world_expect(0, SUBSCRIBED);
    world_link_redis_raw(0, PUSH("1") PUSH("2"));
    world_expect(0, MESSAGE("1") MESSAGE("2"));
    world_say(0, "UNSUBSCRIBE c");
    world_link_expect_unfenced(0, "UNSUBSCRIBE c|PING");
    world_link_redis_raw(0, PUSH("3") "+PONG\r\n" PUSH("4"));
    world_expect(0, MESSAGE("3") UNSUBSCRIBED);
}
END_TEST

/* Another proxy leads: who publishes hears of its subscribers and ours, inside MULTI as outside. */
START_TEST(test_publish_to_leader)
{
    world.router.service = SERVICE_LOADING;
    world.router.others = world.router.had_others = true;
    world_other_joins(true);
    pubsub_follow(world.pubsub, 7777);
    world_say(0, "SUBSCRIBE c");
    world_link_up_as(0, REPLICA);
    world_link_expect_unfenced(0, "HELLO 3|SUBSCRIBE c|PING");
    world_link_redis_raw(0, HELLO ACK "+PONG\r\n");
    world_expect(0, SUBSCRIBED);
    world_join(1);
    world_say(1, "SUBSCRIBE c");
    world_link_expect_unfenced(0, "SUBSCRIBE c|PING");
    world_link_redis_raw(0, ACK "+PONG\r\n");
    world_expect(1, SUBSCRIBED);
    world_join(2);
    world_say(2, "PUBLISH c m");
    world_expect_other("PUBLISH c m");
    world_other(":1\r\n");
    world_expect(2, ":3\r\n");
    world_say_raw(2, "MULTI\r\nPUBLISH c m\r\nEXEC\r\n");
    world_expect(2, "+OK\r\n+QUEUED\r\n");
    world_expect_other("MULTI|PUBLISH c m|EXEC");
    world_other("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    world_expect(2, "*1\r\n:3\r\n");
}
END_TEST

/* A replica of another server, on another port or host, has other data. */
START_TEST(test_follows_no_strangers_replica)
{
    pubsub_follow(world.pubsub, 7777);
    world_say(0, "SUBSCRIBE c");
    world_link_up_as(0, REPLICA_OF("127.0.0.1", "7778"));
    world_expect_closed(0);
    world_join(1);
    world_say(1, "SUBSCRIBE c");
    world_link_up_as(1, REPLICA_OF("127.0.0.2", "7777"));
    world_expect_closed(1);
}
END_TEST

/* A Redis that is no replica (any more) is not listened to: its messages may be taken back. */
START_TEST(test_follows_no_replica)
{
    pubsub_follow(world.pubsub, 7777);
    world_say(0, "SUBSCRIBE c");
    world_link_up_as(0, "+OK\r\n$36\r\nrole:master\r\nmaster_link_status:up\r\n\r\n");
    world_expect_closed(0);
}
END_TEST

/* What we follow, and what we lead, are different streams of messages: subscribers come anew. */
START_TEST(test_follows_then_leads)
{
    struct replid replid = {"0123456789abcdef0123456789abcdef0123456"};

    pubsub_follow(world.pubsub, 7777);
    world_say(0, "SUBSCRIBE c");
    world_link_up_as(0, REPLICA);
    world_link_expect_unfenced(0, "HELLO 3|SUBSCRIBE c|PING");
    world_link_redis_raw(0, HELLO ACK "+PONG\r\n");
    world_expect(0, SUBSCRIBED);
    pubsub_start(world.pubsub, &replid);
    world_expect_closed(0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("pubsub", world_setup, world_teardown, test_fan_out, test_withheld,
                    test_withheld_from_asynchronous, test_begins_where_it_stands,
                    test_client_leaves, test_leaves_many, test_refused, test_link_ends,
                    test_publish, test_publish_behind_subscribe, test_asks_behind_subscribe,
                    test_transaction_behind_subscribe, test_publish_without_link, test_follows,
                    test_publish_to_leader, test_follows_no_strangers_replica,
                    test_left_before_publish, test_follows_no_replica, test_follows_then_leads);
}
