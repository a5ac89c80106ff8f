/* ACL users: what Redis lets each of them do, behind the proxy as without it. */
#include "tests/lib/duel.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

const struct cluster_options system_options = {.plain = true};

START_TEST(users_log_in)
{
    DUEL("H ACL SETUSER alice reset on >pw ~a:* &ch:* +get +set +acl|whoami", "A AUTH alice wrong",
         "A AUTH nobody x", "A ACL WHOAMI", "A AUTH alice pw", "A ACL WHOAMI", "A SET a:1 x",
         "A GET a:1", "A SET b:1 x", "A GET b:1", "A DEL a:1", "A CONFIG GET port", "A SELECT 1",
         "A CLIENT ID", "A CLIENT LIST", "A AUTH alice wrong", "A ACL WHOAMI", "A GET a:1",
         "A AUTH nobody x", "A AUTH default", "A GET b:1", "A SUBSCRIBE ch:1", "A MULTI",
         "A NOSUCH", "A GET", "A AUTH default x", "A ACL WHOAMI", "A GET b:1", "A AUTH alice pw",
         "A RESET", "A ACL WHOAMI", "A GET b:1", "B AUTH alice pw x", "B AUTH alice pw", "B QUIT",
         "B?");
}
END_TEST

/* Who has subscribed and loses the right to it is closed, the others are not. */
START_TEST(users_who_lose_channels)
{
    DUEL("H ACL SETUSER alice reset on >pw ~* &ch:* &x +@all", "A AUTH alice pw",
         "A SUBSCRIBE ch:1", "B AUTH alice pw", "B PSUBSCRIBE ch:*", "C AUTH alice pw",
         "C SSUBSCRIBE x", "D SUBSCRIBE ch:1 x y", "H ACL SETUSER alice resetchannels &ch:*", "C?",
         "A PING", "B PING", "H ACL SETUSER alice resetchannels &ch:1", "B?", "A PING",
         "H ACL SETUSER alice resetchannels", "A?", "D PING", "H PUBLISH ch:1 z",
         "H ACL SETUSER alice &ch:*", "B AUTH alice pw", "B SUBSCRIBE ch:1", "H MULTI",
         "H ACL SETUSER alice nosuch", "H ACL SETUSER bob resetchannels", "H EXEC", "B PING",
         "H MULTI", "H ACL SETUSER alice resetchannels", "H GET k", "H EXEC", "B?", "D PING");
}
END_TEST

START_TEST(users_in_hello)
{
    DUEL("H ACL SETUSER alice reset on >pw ~a:* +@all -@admin", "A HELLO 3 AUTH alice wrong",
         "A HELLO 3 AUTH nobody pw", "A:HELLO 3 AUTH alice pw SETNAME joe", "A ACL WHOAMI",
         "A CLIENT GETNAME", "A HSET a:h f v", "A HGETALL a:h", "A GET b:1", "A SELECT 2",
         "A SET a:1 2", "H SELECT 2", "H GET a:1", "A CONFIG GET port");
}
END_TEST

START_TEST(users_in_transactions)
{
    DUEL("H ACL SETUSER alice reset on >pw ~a:* +get +set +multi +exec +watch +discard",
         "A AUTH alice pw", "A MULTI", "A SET a:1 1", "A GET a:1", "A EXEC", "A MULTI",
         "A SET b:1 1", "A GET a:1", "A EXEC", "A MULTI", "A DEL a:1", "A DISCARD", "A UNWATCH",
         "A WATCH b:1", "A WATCH a:1", "H SET a:1 2", "A MULTI", "A GET a:1", "A EXEC",
         "A WATCH a:1", "A MULTI", "A GET a:1", "A EXEC");
}
END_TEST

START_TEST(users_who_wait_and_listen)
{
    static const char user[] = "H ACL SETUSER alice reset on >pw ~a:* &ch:* +blpop +subscribe "
                               "+unsubscribe +psubscribe +publish +ping +get";

    DUEL(user, "A AUTH alice pw", "A~BLPOP a:l 0", "=1", "H RPUSH a:l 1", "A<", "A BLPOP b:l 0",
         "A BLPOP a:l 0.02", "A PUBLISH ch:1 x", "A PUBLISH other x", "A SUBSCRIBE other",
         "A SUBSCRIBE ch:1", "H PUBLISH ch:1 hi", "A<", "A GET a:1", "A PING", "A UNSUBSCRIBE",
         "A PSUBSCRIBE *", "A GET a:1", "A MONITOR");
}
END_TEST

/* Pipelines stay in order through the questions that are asked of Redis. */
START_TEST(users_pipelines)
{
    DUEL("H ACL SETUSER alice reset on >pw ~a:* +get +set +incr +multi +exec +ping", "A~SET a:1 0",
         "A~AUTH alice pw", "A~INCR a:1", "A~SELECT 2", "A~GET a:1", "A~MULTI", "A~INCR a:1",
         "A~INCR b:1", "A~EXEC", "A~GET a:1", "A~AUTH default x", "A~GET b:1", "A<", "A<", "A<",
         "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<");
}
END_TEST

/* What is watched or tracked stays, whoever the client becomes. */
START_TEST(users_track_and_watch)
{
    DUEL("H ACL SETUSER alice reset on >pw ~a:* +@all", "H ACL SETUSER bob reset on >pw ~a:* +get",
         "A:HELLO 3", "A CLIENT TRACKING ON", "A GET a:1", "A AUTH alice wrong", "A AUTH alice pw",
         "H SET a:1 1", "A<", "A GET a:1", "A CLIENT TRACKINGINFO", "A AUTH bob pw", "A GET a:2",
         "H SET a:1 2", "A<", "A CLIENT TRACKINGINFO", "A AUTH default x", "H SET a:2 2", "A<",
         "A GET b:1", "A CLIENT TRACKINGINFO", "H SET b:1 1", "A<", "A AUTH alice pw", "A RESET",
         "A CLIENT TRACKINGINFO", "H SET a:2 3", "A|", "B WATCH a:1", "B AUTH bob pw", "B GET a:1",
         "B AUTH default x", "H SET a:1 9", "B MULTI", "B GET a:1", "B EXEC", "B GET a:1",
         "B:HELLO 3", "B CLIENT TRACKING ON BCAST", "B:HELLO 3 AUTH alice pw", "H SET z 1", "B<",
         "B CLIENT TRACKING OFF", "B GET b:1", "H SET z 2", "B|");
}
END_TEST

/* A user that is no more is cut off, as by Redis. */
START_TEST(users_are_deleted)
{
    DUEL("H ACL SETUSER alice reset on >pw ~* +@all", "A AUTH alice pw", "A GET k",
         "H ACL DELUSER alice", "A?", "A AUTH alice pw");
}
END_TEST

/* Replies of a user who may not ask where Redis stands are withheld none the less. */
START_TEST(users_replies_are_withheld)
{
    struct wire alice, other;
    char reply[64];

    cluster_ask(
        cluster, "redis1", reply, sizeof reply,
        (const char *[]){"ACL", "SETUSER", "alice", "reset", "on", ">pw", "~*", "+get", NULL});
    wire_open(&alice, cluster_port(cluster, "proxy1"));
    wire_open(&other, cluster_port(cluster, "proxy1"));
    wire_command(&alice, "AUTH", "alice", "pw");
    wire_expect(&alice, "+OK\r\n");
    cluster_pause(cluster, "log2");
    cluster_pause(cluster, "log3");
    wire_command(&other, "SET", "held", "1");
    ck_assert(wire_silent(&other, 100));
    wire_command(&alice, "GET", "held");
    ck_assert(wire_silent(&alice, 150));
    cluster_resume(cluster, "log2");
    cluster_resume(cluster, "log3");
    wire_expect(&alice, "$1\r\n1\r\n");
    wire_expect(&other, "+OK\r\n");
    wire_close(&alice);
    wire_close(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("users");

    SYSTEM_CASE(suite, "users", system_serve, 120, users_log_in, users_who_lose_channels,
                users_in_hello, users_in_transactions, users_who_wait_and_listen, users_pipelines,
                users_track_and_watch, users_are_deleted, users_replies_are_withheld);
    return unit_main(suite);
}
