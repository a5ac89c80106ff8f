/* For tests of proxy/clients/client: clients over real sockets and a real event loop, in front of
 * an owner that does what the first word of a request says. Run with sanitizers it also shows that
 * nothing leaks and nothing is touched that has gone. */
#ifndef TESTS_LIB_CLIENT_CASE_H
#define TESTS_LIB_CLIENT_CASE_H

#include "proxy/clients/client.h"

#include "common/mem.h"

#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

enum { HELD_MAX = 20000, WAIT_MS = 10, WAITS_MAX = 500 };

/* ---- the owner ---- */

static struct {
    struct event_base *base;
    struct request_pool pool;
    struct clients all;
    int listener, port;
    struct request *held[HELD_MAX]; /* in the order they came; NULL: given back */
    size_t held_count;
    struct buf log; /* the requests that came, "first-word:argc " */
    size_t abandoned, orphans, closed;
    bool close_in_request;
    bool postpones; /* LATER */
} w;

/* HOLD, BARRIER: answered later. WAIT, QUIT, OFF, SKIP, ON: as the proxy does it. Others: at once.
 */
static inline void owner_request(void *ctx, struct client *c, const struct resp_arg *argv,
                                 size_t argc)
{
    (void)ctx;
    buf_append(&w.log, argv[0].bytes, argv[0].len < 16 ? argv[0].len : 16);
    buf_printf(&w.log, ":%zu ", argc);
    if (w.close_in_request) {
        client_close(c, "the owner wants it");
    } else if (resp_arg_is(&argv[0], "hold") || resp_arg_is(&argv[0], "barrier")) {
        bool barrier = resp_arg_is(&argv[0], "barrier");
        ck_assert_uint_lt(w.held_count, HELD_MAX);
        struct request *r = client_queue(c, barrier ? REQUEST_BARRIER : 0);
        r->stage = REQUEST_SENT;
        w.held[w.held_count++] = r;
    } else if (resp_arg_is(&argv[0], "wait")) {
        client_answer(c, "", 0, REQUEST_WAIT);
    } else if (resp_arg_is(&argv[0], "later") && w.postpones) {
        client_postpone(c);
    } else if (resp_arg_is(&argv[0], "quit")) {
        client_answer(c, "+OK\r\n", 5, REQUEST_CLOSE);
    } else if (resp_arg_is(&argv[0], "off")) {
        c->reply_mode = CLIENT_REPLY_OFF;
    } else if (resp_arg_is(&argv[0], "skip")) {
        c->reply_mode = CLIENT_REPLY_SKIP;
    } else if (resp_arg_is(&argv[0], "on")) {
        c->reply_mode = CLIENT_REPLY_ON;
        client_answer(c, "+OK\r\n", 5, 0);
    } else {
        struct buf reply = BUF_INIT;
        resp_put_bulk(&reply, argv[0].bytes, argv[0].len);
        client_answer(c, buf_head(&reply), reply.len, 0);
        buf_release(&reply);
    }
}

static inline void owner_abandoned(void *ctx, struct request *r)
{
    size_t i;

    (void)ctx;
    ck_assert_ptr_null(r->client);
    w.abandoned++;
    if (r->stage == REQUEST_SENT) {
        w.orphans++; /* the engine would hand it back */
        return;
    }
    for (i = 0; i < w.held_count && w.held[i] != r; i++) {
    }
    if (i < w.held_count) {
        w.held[i] = NULL;
    }
    request_give(&w.pool, r);
}

static inline void owner_closed(void *ctx, struct client *c)
{
    (void)ctx;
    ck_assert(c->closing);
    w.closed++;
}

static inline void owner_wait_reply(void *ctx, struct request *r)
{
    (void)ctx;
    request_set_reply(r, ":3\r\n", 4);
}

static const struct client_events owner_events = {.request = owner_request,
                                                  .abandoned = owner_abandoned,
                                                  .closed = owner_closed,
                                                  .wait_reply = owner_wait_reply};

static inline void setup_with(size_t pending_max, size_t withheld_max)
{
    struct client_limits limits = {
        .clients_max = 10000,
        .pending_max = pending_max,
        .withheld_max_bytes = withheld_max,
        .query_max_bytes = 8 << 20,
        .query_total_max_bytes = 16 << 20,
        .withheld_total_max_bytes = 1 << 30,
        .resp = RESP_LIMITS_REDIS,
    };

    memset(&w, 0, sizeof w);
    w.base = event_base_new();
    ck_assert_ptr_nonnull(w.base);
    clients_init(&w.all, w.base, &limits, &owner_events, NULL, &w.pool);
    w.all.now_ns = 1000;
    w.listener = sockets_listen(&w.port);
}

static inline void setup(void)
{
    setup_with(1000, 16 << 20);
}

/* Ends everything; whatever was still held is given back, and then nothing is left. */
static inline void teardown(void)
{
    clients_fini(&w.all);
    ck_assert_uint_eq(w.all.count, 0);
    ck_assert_uint_eq(w.all.query_bytes, 0);
    ck_assert_uint_eq(w.all.withheld_bytes, 0);
    ck_assert_uint_eq(w.pool.live_count, w.orphans);
    for (size_t i = 0; i < w.held_count; i++) {
        if (w.held[i] != NULL) {
            ck_assert_ptr_null(w.held[i]->client);
            request_give(&w.pool, w.held[i]);
        }
    }
    ck_assert_uint_eq(w.pool.live_count, 0);
    request_pool_release(&w.pool);
    buf_release(&w.log);
    event_base_free(w.base);
    (void)close(w.listener);
}

/* A held request's reply has come; it may leave. A request that has left is its client's no more.
 */
static inline void answer(size_t i, const void *reply, size_t size)
{
    struct request *r = w.held[i];

    request_set_reply(r, reply, size);
    r->stage = REQUEST_ANSWERED;
    client_answered(r);
}

static inline void release(size_t i)
{
    client_release(w.held[i]);
}

static inline void finish(size_t i, const char *reply)
{
    answer(i, reply, strlen(reply));
    release(i);
    w.held[i] = NULL;
}

static inline void turn(void)
{
    ck_assert_int_ge(event_base_loop(w.base, EVLOOP_NONBLOCK), 0);
    clients_flush(&w.all);
}

/* ---- the other end ---- */

/* A new client; *c is valid as long as it lives. */
static inline int join(struct client **c)
{
    int accepted = -1;
    int fd = sockets_connect(w.listener, w.port, &accepted);

    clients_accept(&w.all, accepted);
    if (c != NULL) {
        *c = w.all.list;
    }
    return fd;
}

static inline void say_bytes(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    for (int waits = 0; size > 0; waits++) {
        ck_assert_msg(waits < WAITS_MAX, "nobody takes what is sent");
        ssize_t put = write(fd, at, size);
        if (put > 0) {
            at += put;
            size -= (size_t)put;
            waits = 0;
        } else {
            turn();
            sockets_wait(fd, POLLOUT, WAIT_MS);
        }
    }
    turn();
}

static inline void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* Exactly this comes, and nothing more; closed: then the end. */
static inline void hear(int fd, const char *expected, bool closed)
{
    char got[65536];
    size_t len = 0, want = strlen(expected);
    bool ended = false;

    for (int waits = 0; waits < WAITS_MAX && !ended && (len < want || closed); waits++) {
        turn();
        ssize_t more = recv(fd, got + len, sizeof got - len, 0);
        ended = more == 0 || (more < 0 && errno == ECONNRESET);
        len += more > 0 ? (size_t)more : 0;
        if (more < 0 && !ended) {
            sockets_wait(fd, POLLIN, WAIT_MS);
        }
    }
    turn();
    ssize_t more = ended ? 0 : recv(fd, got + len, sizeof got - len, 0);
    len += more > 0 ? (size_t)more : 0;
    ck_assert_msg(len == want && memcmp(got, expected, want) == 0, "expected \"%s\", got \"%.*s\"",
                  expected, (int)len, got);
    ck_assert(ended == closed);
}

static inline void hear_nothing(int fd)
{
    turn();
    hear(fd, "", false);
}

/* Until the owner has seen the other end leave. */
static inline void leave(int fd)
{
    size_t count = w.all.count;

    (void)close(fd);
    for (int waits = 0; w.all.count == count && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    ck_assert_uint_eq(w.all.count, count - 1);
}

/* The same with a reset, so that it can't listen any more. */
static inline void break_off(int fd)
{
    struct linger now = {.l_onoff = 1};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    leave(fd);
}

/* So many requests have come. */
static inline void until_held(size_t count)
{
    for (int waits = 0; w.held_count < count && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    ck_assert_uint_eq(w.held_count, count);
}

static inline const char *log_text(void)
{
    buf_append(&w.log, "", 1);
    w.log.len--;
    return (const char *)buf_head(&w.log);
}

#endif
