/* ACL users: what Redis lets each of them do, behind the proxy as without it. */
#include "tests/lib/duel.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <string.h>

const struct cluster_options system_options = {.plain = true, .lease_ms = CLUSTER_LONG_LEASE_MS};

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
    DUEL("H ACL SETUSER carol reset on >pw ~a:* +set +multi +ping", "A AUTH carol pw", "A MULTI",
         "A SET a:1 1", "A EXEC", "A PING", "A EXEC", "A MULTI", "A PING", "A DISCARD", "A PING",
         "A SET b:1 1", "A PING");
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

/* What Redis refuses stands in its ACL LOG, wherever the proxy has asked for it before: with the
 * words that Redis itself has for them. The oldest is the last. */
START_TEST(users_refusals_are_logged)
{
    static const struct {
        const char *word, *context, *reason, *object;
    } log[] = {{"EXEC", "multi", "command", "exec"},
               {"DEL x", "multi", "command", "del"},
               {"GET b:1", "multi", "key", "b:1"},
               {"CLIENT LIST", "toplevel", "command", "client|list"},
               {"SUBSCRIBE x", "toplevel", "channel", "x"},
               {"WATCH b:1", "toplevel", "key", "b:1"},
               {"hello", "toplevel", "auth", "hello"}};
    enum { COUNT = sizeof log / sizeof *log };
    struct wire w, other;
    struct buf reply = BUF_INIT;
    char wanted[128];

    wire_open(&other, cluster_port(cluster, "proxy1"));
    wire_asks(&other, "+OK\r\n", "ACL", "SETUSER", "alice", "reset", "on", ">pw", "~a:*", "+get",
              "+watch", "+subscribe", "+multi");
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "+OK\r\n", "AUTH", "alice", "pw");
    wire_asks(&other, "+OK\r\n", "ACL", "LOG", "RESET");
    for (size_t i = COUNT; i-- > 0;) {
        char word[32];
        (void)snprintf(word, sizeof word, "%s", log[i].word);
        if (strcmp(word, "GET b:1") == 0) {
            wire_asks(&w, "+OK\r\n", "MULTI");
        }
        char *second = strchr(word, ' ');
        if (second != NULL) {
            *second++ = '\0';
        }
        if (strcmp(word, "hello") == 0) {
            wire_command(&w, word, "3", "AUTH", "alice", "bad");
        } else {
            wire_command(&w, word, second);
        }
        wire_expect_begin(&w, "-");
    }
    wire_command(&other, "ACL", "LOG");
    ck_assert_int_eq(wire_reply(&other, &reply, WIRE_PATIENCE_MS), ERR_OK);
    const char *at = (const char *)buf_head(&reply);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(wanted, sizeof wanted,
                       "reason\r\n$%zu\r\n%s\r\n$7\r\ncontext\r\n$%zu\r\n%s\r\n$6\r\nobject\r\n$%zu"
                       "\r\n%s\r\n",
                       strlen(log[i].reason), log[i].reason, strlen(log[i].context), log[i].context,
                       strlen(log[i].object), log[i].object);
        at = strstr(at, wanted);
        ck_assert_msg(at != NULL, "%s not in %s", wanted, (const char *)buf_head(&reply));
    }
    buf_release(&reply);
    wire_close(&w);
    wire_close(&other);
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
    wire_asks(&alice, "+OK\r\n", "AUTH", "alice", "pw");
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

/* The links' own user gets another password at run time: who comes then has to say it, and so do
 * the links that are made from then on. */
START_TEST(users_own_password)
{
    DUEL("A GET k", "H CONFIG SET requirepass one", "A SET k 1", "B GET k", "B NOSUCH", "B HELLO 3",
         "B AUTH wrong", "B AUTH default wrong", "B HELLO 3 AUTH default wrong", "B AUTH one",
         "B GET k", "B WATCH k", "C AUTH one", "C WATCH k", "D AUTH one", "D WATCH k", "E AUTH one",
         "E WATCH k", "F AUTH one", "F BLPOP l 0.02", "F CLIENT TRACKING ON",
         "F CLIENT TRACKING OFF", "G AUTH default one", "G WATCH k", "G RESET", "G GET k",
         "H CONFIG SET timeout 0 RequirePass two", "A RESET", "A AUTH one", "A AUTH two", "A GET k",
         "B GET k", "H CONFIG SET requirepass bad nosuch x", "A RESET", "A AUTH two", "H MULTI",
         "H CONFIG SET requirepass three", "H EXEC", "A RESET", "A AUTH two", "A AUTH three",
         "H ACL SETUSER default resetpass >four", "A RESET", "A GET k", "A AUTH four", "A GET k",
         "H MULTI", "H ACL SETUSER default >five", "H EXEC", "A RESET", "A AUTH default five",
         "H CONFIG GET requirepass", "H ACL SETUSER default nopass", "A RESET", "A GET k",
         "A AUTH x", "A AUTH default x", "G GET k");
}
END_TEST

static const char *users_password; /* NULL: none is needed */

static bool users_are_let_in(void *arg)
{
    struct buf reply = BUF_INIT;
    struct wire w;
    bool in = false;

    (void)arg;
    if (wire_try_open(&w, cluster_port(cluster, "proxy1")) != ERR_OK) {
        return false;
    }
    if (users_password != NULL) {
        wire_command(&w, "AUTH", users_password);
        in = wire_reply(&w, &reply, 5000) == ERR_OK && buf_head(&reply)[0] == '+';
    }
    if (in || users_password == NULL) {
        wire_command(&w, "SET", "let", "in");
        in = wire_reply(&w, &reply, 15000) == ERR_OK && buf_head(&reply)[0] == '+';
    }
    buf_release(&reply);
    wire_close(&w);
    return in;
}

/* Links that end log in anew with what was set; a Redis that is started anew knows the configured
 * password again (here: none), which is found out. */
START_TEST(users_own_password_outlasts_links)
{
    char reply[64];
    struct wire w;

    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "+OK\r\n", "CONFIG", "SET", "requirepass", "one");
    users_password = "one";
    ck_assert(users_are_let_in(NULL));
    for (int i = 0; i < 2; i++) {
        redisContext *redis = cluster_connect(cluster, "redis1");
        cluster_command(redis, "AUTH one");
        cluster_command(redis, "CLIENT KILL TYPE normal");
        redisFree(redis);
        cluster_wait("links that log in anew", WIRE_PATIENCE_MS, users_are_let_in, NULL);
    }
    wire_close(&w);
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "-NOAUTH Authentication required.\r\n", "GET", "let");
    wire_close(&w);
    cluster_kill(cluster, "redis1");
    cluster_spawn(cluster, "redis1");
    users_password = NULL;
    cluster_wait("a Redis without a password", WIRE_PATIENCE_MS, users_are_let_in, NULL);
    cluster_ask(cluster, "proxy1", reply, sizeof reply, (const char *[]){"GET", "let", NULL});
    ck_assert_str_eq(reply, "in");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("users");

    SYSTEM_CASE(suite, "users", system_serve, 120, users_log_in, users_who_lose_channels,
                users_in_hello, users_in_transactions, users_who_wait_and_listen,
                users_refusals_are_logged, users_pipelines, users_track_and_watch,
                users_are_deleted, users_replies_are_withheld, users_own_password,
                users_own_password_outlasts_links);
    return unit_main(suite);
}
