/* The control connection against a Redis that is played here. */
#include "proxy/engine/control.h"

#include "common/clock.h"

#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdio.h>

#define PING "*1\r\n$4\r\nPING\r\n"

enum { WAIT_MS = 10, WAITS_MAX = 300, TIMEOUT_MS = 1000, RETRY_MS = 100 };

static struct {
    struct event_base *base;
    struct control *control;
    int listener, port;
    int redis; /* our end; -1: none */
    struct buf heard;
    struct buf told; /* "[up]", "[down]", "[reply bytes]", "[no reply]" */
    int accepted;    /* so often */
} w;

static void says_up(void *ctx)
{
    (void)ctx;
    ck_assert(control_is_up(w.control));
    buf_append_str(&w.told, "[up]");
}

static void says_down(void *ctx, const char *reason)
{
    (void)ctx;
    ck_assert_ptr_nonnull(reason);
    ck_assert(!control_is_up(w.control));
    ck_assert(!control_send(w.control, NULL, NULL, "PING"));
    buf_append_str(&w.told, "[down]");
}

static void says_refused(void *ctx)
{
    (void)ctx;
    buf_append_str(&w.told, "[refused]");
}

static void says_accepted(void *ctx)
{
    (void)ctx;
    ck_assert(control_is_up(w.control));
    w.accepted++;
}

static const struct control_events owner_events = {
    .up = says_up, .down = says_down, .refused = says_refused, .accepted = says_accepted};

static void says_reply(void *ctx, const struct redisReply *reply)
{
    ck_assert_ptr_eq(ctx, &w);
    if (reply == NULL) {
        buf_append_str(&w.told, "[no reply]");
        return;
    }
    buf_append_str(&w.told, "[");
    control_reply_bytes(reply, &w.told);
    buf_append_str(&w.told, "]");
}

static void setup_with(const char *user, const char *password)
{
    struct control_config config = {.host = "127.0.0.1",
                                    .user = user,
                                    .password = password,
                                    .timeout_ms = TIMEOUT_MS,
                                    .retry_ms = RETRY_MS};

    memset(&w, 0, sizeof w);
    w.redis = -1;
    w.base = event_base_new();
    ck_assert_ptr_nonnull(w.base);
    w.listener = sockets_listen(&w.port);
    config.port = w.port;
    w.control = control_create(w.base, &config, &owner_events, NULL);
}

static void setup(void)
{
    setup_with(NULL, NULL);
}

static void teardown(void)
{
    control_destroy(w.control);
    buf_release(&w.heard);
    buf_release(&w.told);
    event_base_free(w.base);
    (void)close(w.listener);
    if (w.redis >= 0) {
        (void)close(w.redis);
    }
}

static void turn(void)
{
    ck_assert_int_ge(event_base_loop(w.base, EVLOOP_NONBLOCK), 0);
}

static void told(const char *expected)
{
    for (int waits = 0; w.told.len < strlen(expected) && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    turn();
    buf_append(&w.told, "", 1);
    ck_assert_str_eq((const char *)buf_head(&w.told), expected);
    buf_clear(&w.told);
}

static void hear(const char *expected)
{
    for (int waits = 0; w.heard.len < strlen(expected) && waits < WAITS_MAX; waits++) {
        turn();
        ssize_t got = recv(w.redis, buf_reserve(&w.heard, 4096), 4096, 0);
        buf_commit(&w.heard, got > 0 ? (size_t)got : 0);
        if (got < 0) {
            sockets_wait(w.redis, POLLIN, WAIT_MS);
        }
    }
    buf_append(&w.heard, "", 1);
    ck_assert_str_eq((const char *)buf_head(&w.heard), expected);
    buf_clear(&w.heard);
}

static void say(const char *text)
{
    ck_assert_int_eq(send(w.redis, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* It connects, and says this first. */
static void come(const char *first)
{
    control_tick(w.control, clock_now_ns() + RETRY_MS * CLOCK_NS_PER_MS);
    sockets_wait(w.listener, POLLIN, 1000);
    w.redis = sockets_accept(w.listener);
    hear(first);
}

static void leave(void)
{
    (void)close(w.redis);
    w.redis = -1;
}

/* Up when PING is answered, also by a Redis that loads; each command gets its own reply; words that
 * stand for "%s" are one argument, blanks or none in them. */
START_TEST(test_commands)
{
    ck_assert(!control_send(w.control, says_reply, &w, "PING"));
    come(PING);
    ck_assert(!control_is_up(w.control));
    say("-LOADING Redis is loading the dataset in memory\r\n");
    told("[up]");
    ck_assert(control_send(w.control, says_reply, &w, "CONFIG SET %s %s", "a b", ""));
    ck_assert(control_send(w.control, NULL, NULL, "ROLE"));
    ck_assert(control_send(w.control, says_reply, &w, "X"));
    ck_assert_uint_eq(control_waiting(w.control), 3);
    hear("*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\na b\r\n$0\r\n\r\n*1\r\n$4\r\nROLE\r\n"
         "*1\r\n$1\r\nX\r\n");
    say("-ERR no\r\n*3\r\n+a\r\n:1\r\n$-1\r\n*3\r\n+a\r\n:-1\r\n*2\r\n$2\r\nbb\r\n*-1\r\n");
    told("[-ERR no\r\n][*3\r\n+a\r\n:-1\r\n*2\r\n$2\r\nbb\r\n$-1\r\n]");
    ck_assert_uint_eq(control_waiting(w.control), 0);
}
END_TEST

/* A user and a password come first. That it is refused is told once for each connection; by the
 * next one it may be another. */
START_TEST(test_auth)
{
    char password[] = "pw";

    teardown();
    setup_with("", "pw");
    come("*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n" PING);
    teardown();
    setup_with("joe", password);
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$2\r\npw\r\n" PING);
    say("-WRONGPASS\r\n-NOAUTH Authentication required.\r\n");
    for (int waits = 0; control_waiting(w.control) > 0 && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    told("[refused]"); /* it was never up */
    leave();
    password[0] = 'q';
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$2\r\nqw\r\n" PING);
    say("-ERR AUTH <password> called without any password configured\r\n+PONG\r\n");
    told("[refused][up]"); /* none is needed */
    ck_assert_int_eq(w.accepted, 0);
    leave();
    told("[down]");
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$2\r\nqw\r\n" PING);
    say("+OK\r\n+PONG\r\n");
    told("[up]");
    ck_assert_int_eq(w.accepted, 1);
    leave();
    told("[down]");
    password[0] = '\0';
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$0\r\n\r\n" PING); /* without AUTH it would be another
                                                                 user */
    say("-WRONGPASS\r\n-NOAUTH Authentication required.\r\n");
    told("[refused]");
    leave();
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$0\r\n\r\n" PING);
    say("+OK\r\n+PONG\r\n");
    told("[up]");
    ck_assert_int_eq(w.accepted, 2);
    teardown();
    setup_with("", "");
    come(PING);
    say("-NOAUTH Authentication required.\r\n");
    told("[refused]");
    leave();
    come(PING);
    say("+PONG\r\n");
    told("[up]");
    ck_assert_int_eq(w.accepted, 1);
}
END_TEST

/* No other error is about the password; and who was refused is not let in as somebody else. */
START_TEST(test_auth_errors)
{
    teardown();
    setup_with("joe", "pw");
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$2\r\npw\r\n" PING);
    say("-ERR max number of clients reached\r\n");
    leave();
    for (int waits = 0; control_waiting(w.control) > 0 && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    told("");
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$2\r\npw\r\n" PING);
    say("-ERR no\r\n+PONG\r\n");
    told("[up]");
    ck_assert_int_eq(w.accepted, 0);
    leave();
    told("[down]");
    come("*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$2\r\npw\r\n" PING);
    say("-WRONGPASS\r\n+PONG\r\n");
    told("[refused]");
    ck_assert(!control_is_up(w.control));
    leave();
}
END_TEST

/* Redis leaves: who waits is told, then the owner, and it comes back by itself. */
START_TEST(test_lost)
{
    for (int i = 0; i < 3; i++) {
        come(PING);
        say("+PONG\r\n");
        told("[up]");
        ck_assert(control_send(w.control, says_reply, &w, "A"));
        ck_assert(control_send(w.control, says_reply, &w, "B"));
        hear("*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n");
        leave();
        told("[no reply][no reply][down]");
        ck_assert_uint_eq(control_waiting(w.control), 0);
    }
}
END_TEST

/* Nobody listens, nobody answers: it goes on trying, and nobody is told of what never was up. */
START_TEST(test_not_there)
{
    come(PING);
    control_tick(w.control, clock_now_ns() + (TIMEOUT_MS + 100) * CLOCK_NS_PER_MS);
    turn();
    leave();
    come(PING);
    leave();
    (void)close(w.listener);
    for (int i = 0; i < 5; i++) {
        turn();
        control_tick(w.control, clock_now_ns() + CLOCK_NS_PER_S / 2);
        turn();
    }
    told("");
    w.listener = sockets_listen(&w.port);
}
END_TEST

/* A command unanswered for too long ends the connection; an idle one lives on. */
START_TEST(test_timeout)
{
    come(PING);
    say("+PONG\r\n");
    told("[up]");
    control_tick(w.control, clock_now_ns() + 100 * CLOCK_NS_PER_S);
    told("");
    ck_assert(control_send(w.control, says_reply, &w, "A"));
    control_tick(w.control, clock_now_ns() + TIMEOUT_MS / 2 * CLOCK_NS_PER_MS);
    told("");
    control_tick(w.control, clock_now_ns() + (TIMEOUT_MS + 100) * CLOCK_NS_PER_MS);
    told("[no reply][down]");
}
END_TEST

/* Destroyed while something waits: nobody is called any more. */
START_TEST(test_destroy)
{
    come(PING);
    say("+PONG\r\n");
    told("[up]");
    ck_assert(control_send(w.control, says_reply, &w, "A"));
    control_destroy(w.control);
    w.control = NULL;
    told("");
}
END_TEST

int main(void)
{
    return UNIT_RUN("control", setup, teardown, test_commands, test_auth, test_auth_errors,
                    test_lost, test_not_there, test_timeout, test_destroy);
}
