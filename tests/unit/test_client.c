/* Clients over real sockets and a real event loop, in front of an owner that does what the first
 * word of a request says. Run with sanitizers it also shows that nothing leaks and nothing is
 * touched that has gone. */
#include "proxy/clients/client.h"

#include "common/mem.h"

#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
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
static void owner_request(void *ctx, struct client *c, const struct resp_arg *argv, size_t argc)
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

static void owner_abandoned(void *ctx, struct request *r)
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

static void owner_closed(void *ctx, struct client *c)
{
    (void)ctx;
    ck_assert(c->closing);
    w.closed++;
}

static void owner_wait_reply(void *ctx, struct request *r)
{
    (void)ctx;
    request_set_reply(r, ":3\r\n", 4);
}

static const struct client_events owner_events = {.request = owner_request,
                                                  .abandoned = owner_abandoned,
                                                  .closed = owner_closed,
                                                  .wait_reply = owner_wait_reply};

static void setup_with(size_t pending_max, size_t withheld_max)
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

static void setup(void)
{
    setup_with(1000, 16 << 20);
}

/* Ends everything; whatever was still held is given back, and then nothing is left. */
static void teardown(void)
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
static void answer(size_t i, const void *reply, size_t size)
{
    struct request *r = w.held[i];

    request_set_reply(r, reply, size);
    r->stage = REQUEST_ANSWERED;
    client_answered(r);
}

static void release(size_t i)
{
    client_release(w.held[i]);
}

static void finish(size_t i, const char *reply)
{
    answer(i, reply, strlen(reply));
    release(i);
    w.held[i] = NULL;
}

static void turn(void)
{
    ck_assert_int_ge(event_base_loop(w.base, EVLOOP_NONBLOCK), 0);
    clients_flush(&w.all);
}

/* ---- the other end ---- */

/* A new client; *c is valid as long as it lives. */
static int join(struct client **c)
{
    int accepted = -1;
    int fd = sockets_connect(w.listener, w.port, &accepted);

    clients_accept(&w.all, accepted);
    if (c != NULL) {
        *c = w.all.list;
    }
    return fd;
}

static void say_bytes(int fd, const void *bytes, size_t size)
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

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* Exactly this comes, and nothing more; closed: then the end. */
static void hear(int fd, const char *expected, bool closed)
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

static void hear_nothing(int fd)
{
    turn();
    hear(fd, "", false);
}

/* Until the owner has seen the other end leave. */
static void leave(int fd)
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
static void break_off(int fd)
{
    struct linger now = {.l_onoff = 1};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    leave(fd);
}

/* So many requests have come. */
static void until_held(size_t count)
{
    for (int waits = 0; w.held_count < count && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    ck_assert_uint_eq(w.held_count, count);
}

static const char *log_text(void)
{
    buf_append(&w.log, "", 1);
    w.log.len--;
    return (const char *)buf_head(&w.log);
}

/* ---- bytes in ---- */

static const char PIPELINE[] = "PING\r\n"
                               "*2\r\n$1\r\na\r\n$3\r\nxyz\r\n"
                               "\r\n"
                               "*0\r\n"
                               "set \"q\\x41\" 'b'\r\n"
                               "*1\r\n$0\r\n\r\n"
                               "*3\r\n$2\r\nmm\r\n$5\r\n\r\n\r\n\n\r\n$1\r\nz\r\n";
static const char PIPELINE_LOG[] = "PING:1 a:2 set:3 :1 mm:3 ";
static const char PIPELINE_REPLY[] = "$4\r\nPING\r\n$1\r\na\r\n$3\r\nset\r\n$0\r\n\r\n$2\r\nmm\r\n";

/* A pipeline means the same in one piece, in two pieces cut anywhere, and byte by byte; afterwards
 * the client holds no buffers. */
START_TEST(test_pieces)
{
    size_t size = sizeof PIPELINE - 1;

    for (size_t cut = 0; cut <= size; cut++) {
        struct client *c;
        int fd = join(&c);
        buf_clear(&w.log);
        if (cut == size) {
            for (size_t i = 0; i < size; i++) {
                say_bytes(fd, PIPELINE + i, 1);
            }
        } else {
            say_bytes(fd, PIPELINE, cut);
            say_bytes(fd, PIPELINE + cut, size - cut);
        }
        hear(fd, PIPELINE_REPLY, false);
        ck_assert_str_eq(log_text(), PIPELINE_LOG);
        ck_assert_ptr_null(c->in.data);
        ck_assert_ptr_null(c->framer);
        ck_assert_uint_eq(chain_capacity(&c->out), 0);
        ck_assert_uint_eq(w.all.query_bytes, 0);
        leave(fd);
    }
}
END_TEST

/* Two clients' halves of requests do not get into each other's way, though they share a framer for
 * whole ones. */
START_TEST(test_pieces_of_two)
{
    int a = join(NULL), b = join(NULL);

    say(a, "*2\r\n$3\r\nabc\r\n$10\r\n01234");
    say(b, "*1\r\n$3\r\nde");
    ck_assert_uint_gt(w.all.query_bytes, 0);
    say(a, "56789\r\n");
    hear(a, "$3\r\nabc\r\n", false);
    say(b, "f\r\nGHI\r\n");
    hear(b, "$3\r\ndef\r\n$3\r\nGHI\r\n", false);
    ck_assert_uint_eq(w.all.query_bytes, 0);
    (void)close(a);
    (void)close(b);
}
END_TEST

/* An argument of some megabytes arrives whole, in whatever pieces the socket gives. */
START_TEST(test_big_request)
{
    enum { BIG = 5 << 20 };
    char *big = mem_calloc(1, BIG);
    struct client *c;
    int fd = join(&c);
    char head[64];

    memset(big, 'x', BIG);
    (void)snprintf(head, sizeof head, "*2\r\n$3\r\nbig\r\n$%d\r\n", BIG);
    say(fd, head);
    say_bytes(fd, big, BIG);
    ck_assert_uint_ge(w.all.query_bytes, BIG / 2);
    say(fd, "\r\n");
    hear(fd, "$3\r\nbig\r\n", false);
    ck_assert_uint_eq(w.all.query_bytes, 0);
    ck_assert_ptr_null(c->in.data);
    (void)close(fd);
    free(big);
}
END_TEST

/* A protocol error is answered behind every earlier reply; then the connection ends, and what came
 * behind the error is not looked at. */
START_TEST(test_protocol_error)
{
    int fd = join(NULL);

    say(fd, "HOLD\r\nPING\r\n*1\r\n!oops\r\nPING\r\n");
    hear_nothing(fd);
    say(fd, "PING\r\n");
    ck_assert_str_eq(log_text(), "HOLD:1 PING:1 ");
    finish(0, "+held\r\n");
    hear(fd, "+held\r\n$4\r\nPING\r\n-ERR Protocol error: expected '$', got '!'\r\n", true);
    ck_assert_uint_eq(w.all.count, 0);
    (void)close(fd);
}
END_TEST

/* Before it has authenticated, a client may say little; afterwards it may say more. */
START_TEST(test_unauthenticated)
{
    w.all.auth_required = true;
    struct client *c;
    int fd = join(&c), other = join(NULL);

    ck_assert(!w.all.list->authenticated);
    say(other, "*11\r\n");
    hear(other, "-ERR Protocol error: unauthenticated multibulk length\r\n", true);
    c->authenticated = true;
    say(fd, "*11\r\n");
    for (int i = 0; i < 11; i++) {
        say(fd, "$1\r\na\r\n");
    }
    hear(fd, "$1\r\na\r\n", false);
    (void)close(fd);
    (void)close(other);
}
END_TEST

/* Who speaks HTTP is cut off without an answer, in any spelling, inline or not, even to what he
 * asked before. */
START_TEST(test_http)
{
    static const char *const words[] = {"POST / HTTP/1.1\r\n", "post\r\n", "HOST: x\r\n",
                                        "*1\r\n$4\r\npOsT\r\n", "*1\r\n$5\r\nhost:\r\n"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        int fd = join(NULL);
        buf_clear(&w.log);
        say(fd, "HOLD\r\n");
        say(fd, words[i]);
        hear(fd, "", true);
        ck_assert_str_eq(log_text(), "HOLD:1 ");
        ck_assert_uint_eq(w.all.count, 0);
        (void)close(fd);
    }
}
END_TEST

/* ---- bounds ---- */

/* At pending_max a client is not read; each reply that leaves lets one more request in. */
START_TEST(test_pending_max)
{
    struct client *c;

    teardown();
    setup_with(3, 16 << 20);
    int fd = join(&c);
    say(fd, "HOLD 1\r\nHOLD 2\r\nHOLD 3\r\nHOLD 4\r\nHOLD 5\r\n");
    ck_assert_uint_eq(w.held_count, 3);
    ck_assert(!c->reading);
    say(fd, "HOLD 6\r\n");
    ck_assert_uint_eq(w.held_count, 3);
    finish(0, "+1\r\n");
    hear(fd, "+1\r\n", false);
    ck_assert_uint_eq(w.held_count, 4);
    finish(1, "+2\r\n");
    finish(2, "+3\r\n");
    finish(3, "+4\r\n");
    hear(fd, "+2\r\n+3\r\n+4\r\n", false);
    until_held(6);
    finish(5, "+6\r\n");
    hear_nothing(fd);
    finish(4, "+5\r\n");
    hear(fd, "+5\r\n+6\r\n", false);
    ck_assert(c->reading);
    (void)close(fd);
}
END_TEST

/* Withheld replies count: over the limit the client is not read until some have left. */
START_TEST(test_withheld_max)
{
    enum { REPLY = 100000 };
    struct client *c;
    char *reply = mem_alloc(REPLY);

    memset(reply, 'r', REPLY);
    teardown();
    setup_with(1000, 2 * REPLY);
    int fd = join(&c);
    c->reply_mean_bytes = 0;
    say(fd, "HOLD\r\nHOLD\r\n");
    answer(0, reply, REPLY);
    answer(1, reply, REPLY);
    ck_assert_uint_eq(c->withheld_bytes, 2 * REPLY);
    ck_assert_uint_eq(w.all.withheld_bytes, 2 * REPLY);
    say(fd, "HOLD\r\n"); /* still read: what it is to be kept from is what comes now */
    say(fd, "HOLD\r\n");
    ck_assert_uint_lt(w.held_count, 4);
    ck_assert(!c->reading);
    release(0);
    release(1);
    w.held[0] = w.held[1] = NULL;
    for (size_t got = 0; got < 2 * (size_t)REPLY;) {
        char piece[4096];
        turn();
        ssize_t more = recv(fd, piece, sizeof piece, 0);
        got += more > 0 ? (size_t)more : 0;
    }
    ck_assert_uint_eq(w.all.withheld_bytes, 0);
    until_held(4);
    (void)close(fd);
    free(reply);
}
END_TEST

/* The mean of the replies that a client gets tells how many requests of its pipeline are let in
 * before the first of them is answered: few if they are large, all if they are small. */
START_TEST(test_reply_mean)
{
    enum { REPLY = 200000, LIMIT = 4 << 20, PIPELINED = 500 };
    struct client *c;
    char *reply = mem_alloc(REPLY);

    memset(reply, 'r', REPLY);
    teardown();
    setup_with(1000, LIMIT);
    int fd = join(&c);
    for (size_t i = 0; i < 40; i++) { /* the mean settles at their size */
        say(fd, "HOLD\r\n");
        until_held(i + 1);
        answer(i, reply, REPLY);
        release(i);
        w.held[i] = NULL;
        for (size_t got = 0; got < REPLY;) {
            static char piece[65536];
            turn();
            ssize_t more = recv(fd, piece, sizeof piece, 0);
            got += more > 0 ? (size_t)more : 0;
        }
    }
    ck_assert_uint_ge(c->reply_mean_bytes, REPLY / 2);
    for (int i = 0; i < PIPELINED; i++) {
        say(fd, "HOLD\r\n");
    }
    ck_assert_uint_ge(w.held_count - 40, LIMIT / REPLY - 2);
    ck_assert_uint_le(w.held_count - 40, LIMIT / (REPLY / 2) + 2);
    for (size_t i = 40; i < w.held_count; i++) { /* small ones now: the rest is let in */
        finish(i, "+OK\r\n");
        turn();
    }
    ck_assert_uint_eq(w.held_count, 40 + PIPELINED);
    (void)close(fd);
    free(reply);
}
END_TEST

/* A client that asks and never reads: what is kept for it stays bounded, whatever it asks for. When
 * it reads, it gets everything. */
START_TEST(test_never_reads)
{
    enum { LIMIT = 1 << 20, REPLY = 1000, ASKED = 20000 };
    static char request[REPLY + 32], piece[65536];
    struct client *c;
    size_t sent = 0, got = 0, total;

    teardown();
    setup_with(1000000, LIMIT);
    int fd = join(&c);
    int len = snprintf(request, sizeof request, "*1\r\n$%d\r\n", REPLY);
    memset(request + len, 'e', REPLY);
    memcpy(request + len + REPLY, "\r\n", 2);
    size_t request_len = (size_t)len + REPLY + 2, at = 0;
    total = (request_len - 4) * ASKED; /* the reply is the request without its "*1\r\n" */
    for (int waits = 0; got < total; waits++) {
        ck_assert_int_lt(waits, 1000000);
        while (sent < ASKED) {
            ssize_t put = send(fd, request + at, request_len - at, 0);
            if (put <= 0) {
                break;
            }
            at = (at + (size_t)put) % request_len;
            sent += at == 0;
        }
        for (int i = 0; i < 20; i++) {
            turn();
            ck_assert_uint_le(c->out.len + c->withheld_bytes, LIMIT + 600 * 1024);
            ck_assert_uint_le(c->in.cap, LIMIT);
        }
        if (sent == ASKED || waits > 50) { /* stuck by now: it begins to read */
            ssize_t more = recv(fd, piece, sizeof piece, 0);
            got += more > 0 ? (size_t)more : 0;
        }
    }
    ck_assert_uint_eq(sent, ASKED);
    (void)close(fd);
}
END_TEST

/* Replies that nobody reads are bounded over all clients too: who takes up most of it goes, the
 * others stay, and what was counted for it is given back. */
START_TEST(test_evict_unsent)
{
    enum { BIG = 30 << 20, SMALL = 20 << 20 };
    struct client *c;

    teardown();
    setup_with(1000, (size_t)1 << 30);
    w.all.limits.withheld_total_max_bytes = (size_t)1 << 30;
    w.all.limits.query_max_bytes = w.all.limits.query_total_max_bytes = (size_t)1 << 30;
    int fds[2] = {join(&c), join(NULL)};
    for (int i = 0; i < 2; i++) {
        size_t size = i == 0 ? BIG : SMALL;
        struct buf request = BUF_INIT;
        buf_printf(&request, "*1\r\n$%zu\r\n", size);
        memset(buf_reserve(&request, size), 'e', size);
        buf_commit(&request, size);
        buf_append_str(&request, "\r\n");
        say_bytes(fds[i], buf_head(&request), request.len);
        buf_release(&request);
    }
    for (int i = 0; i < 100; i++) {
        turn();
    }
    ck_assert_uint_gt(w.all.unsent_bytes, 30 << 20);
    clients_evict_unsent(&w.all);
    ck_assert_uint_eq(w.all.count, 2);
    w.all.limits.withheld_total_max_bytes = 30 << 20;
    clients_evict_unsent(&w.all);
    ck_assert(c->closing);
    turn();
    ck_assert_uint_eq(w.all.count, 1);
    ck_assert_uint_le(w.all.unsent_bytes, SMALL + 64);
    (void)close(fds[1]);
    (void)close(fds[0]);
    for (int i = 0; i < 10; i++) {
        turn();
    }
    ck_assert_uint_eq(w.all.unsent_bytes, 0);
}
END_TEST

/* A request over query_max_bytes, counted with what its arguments take in the framer, ends its
 * client; over the total of all, those with large ones go, and small ones stay. */
START_TEST(test_query_limits)
{
    static char zeros[1 << 20];
    int small = join(NULL), big = join(NULL);

    say(small, "*2\r\n$1\r\na\r\n$5\r\n12");
    say(big, "*2\r\n$1\r\na\r\n$100000000\r\n");
    for (int i = 0; i < 9 && w.all.count == 2; i++) {
        say_bytes(big, zeros, sizeof zeros);
    }
    hear(big, "", true);
    ck_assert_uint_eq(w.all.count, 1);
    ck_assert_uint_lt(w.all.query_bytes, 4096);

    int many = join(NULL); /* 6 bytes each on the wire, 16 in memory */
    struct buf empties = BUF_INIT;
    for (int i = 0; i < 500000; i++) {
        buf_append(&empties, "$0\r\n\r\n", 6);
    }
    say(many, "*1000000\r\n");
    say_bytes(many, buf_head(&empties), empties.len);
    hear(many, "", true);
    buf_release(&empties);

    w.all.limits.query_total_max_bytes = 1 << 20;
    int a = join(NULL), b = join(NULL);
    say(a, "*1\r\n$100000000\r\n");
    say(b, "*1\r\n$100000000\r\n");
    say_bytes(a, zeros, 700000);
    say_bytes(b, zeros, 700000);
    ck_assert_uint_eq(w.all.count, 2);
    say(small, "345\r\n");
    hear(small, "$1\r\na\r\n", false);
    (void)close(small);
    (void)close(a);
    (void)close(b);
    (void)close(big);
    (void)close(many);
}
END_TEST

/* Over clients_max: Redis' words and the end. Once somebody has left there is room again. */
START_TEST(test_clients_max)
{
    w.all.limits.clients_max = 2;
    int a = join(NULL), b = join(NULL), c = join(NULL);

    hear(c, "-ERR max number of clients reached\r\n", true);
    ck_assert_uint_eq(w.all.rejected, 1);
    ck_assert_uint_eq(w.all.count, 2);
    leave(a);
    int d = join(NULL);
    say(d, "PING\r\n");
    hear(d, "$4\r\nPING\r\n", false);
    ck_assert_uint_eq(w.all.accepted, 3);
    (void)close(b);
    (void)close(c);
    (void)close(d);
}
END_TEST

/* Who says nothing more and waits to be answered, and may have gone, makes room for those who come:
 * the one that came first. Who may still ask does not. */
START_TEST(test_ended_make_room)
{
    w.all.limits.clients_max = 3;
    int a = join(NULL), b = join(NULL), c = join(NULL);

    say(a, "HOLD\r\n");
    say(b, "HOLD\r\n");
    say(c, "HOLD\r\n");
    ck_assert_int_eq(shutdown(b, SHUT_WR), 0);
    ck_assert_int_eq(shutdown(c, SHUT_WR), 0);
    for (int waits = 0; w.all.ended_count < 2 && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(-1, 0, 1);
    }
    ck_assert_uint_eq(w.all.ended_count, 2);
    int d = join(NULL);
    hear(b, "", true);
    ck_assert_uint_eq(w.all.ended_count, 1);
    finish(0, "+a\r\n");
    hear(a, "+a\r\n", false);
    finish(2, "+c\r\n");
    hear(c, "+c\r\n", true);
    ck_assert_uint_eq(w.all.ended_count, 0);
    int e = join(NULL), f = join(NULL);
    hear(f, "-ERR max number of clients reached\r\n", true);
    ck_assert_uint_eq(w.all.rejected, 1);
    ck_assert_uint_eq(w.all.count, 3);
    const int fds[] = {a, b, c, d, e, f};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        (void)close(fds[i]);
    }
}
END_TEST

/* ---- replies out ---- */

/* Replies leave in the order of the requests, whichever was released first. */
START_TEST(test_order)
{
    int fd = join(NULL);

    say(fd, "HOLD\r\nHOLD\r\nnow\r\nHOLD\r\n");
    finish(2, "+3\r\n");
    hear_nothing(fd);
    finish(1, "$1\r\n2\r\n");
    hear_nothing(fd);
    finish(0, "+1\r\n");
    hear(fd, "+1\r\n$1\r\n2\r\n$3\r\nnow\r\n+3\r\n", false);
    ck_assert_uint_eq(w.pool.live_count, 0);
    (void)close(fd);
}
END_TEST

/* Behind a barrier nothing is handled before its reply has left. */
START_TEST(test_barrier)
{
    int fd = join(NULL);

    say(fd, "PING\r\nBARRIER\r\nlater\r\n");
    say(fd, "more\r\n");
    hear(fd, "$4\r\nPING\r\n", false);
    ck_assert_str_eq(log_text(), "PING:1 BARRIER:1 ");
    finish(0, "+went\r\n");
    hear(fd, "+went\r\n$5\r\nlater\r\n$4\r\nmore\r\n", false);
    (void)close(fd);
}
END_TEST

/* CLIENT REPLY OFF: no replies until ON, whose own comes. SKIP: one reply less. A reply that was
 * under way when it was said still comes. */
START_TEST(test_reply_modes)
{
    int fd = join(NULL);

    say(fd, "HOLD\r\nSKIP\r\none\r\ntwo\r\n");
    hear_nothing(fd);
    finish(0, "+held\r\n");
    hear(fd, "+held\r\n$3\r\ntwo\r\n", false);
    say(fd, "OFF\r\na\r\nHOLD\r\nb\r\n");
    say(fd, "ON\r\nc\r\n");
    hear_nothing(fd);
    finish(1, "+never\r\n");
    hear(fd, "+OK\r\n$1\r\nc\r\n", false);
    say(fd, "OFF\r\nQUIT\r\n");
    hear(fd, "", true);
    (void)close(fd);
}
END_TEST

/* QUIT's reply is the last one, behind what was asked before it; what follows is not handled. */
START_TEST(test_quit)
{
    int fd = join(NULL);

    say(fd, "HOLD\r\nQUIT\r\nPING\r\n");
    hear_nothing(fd);
    ck_assert_str_eq(log_text(), "HOLD:1 QUIT:1 ");
    finish(0, "+1\r\n");
    hear(fd, "+1\r\n+OK\r\n", true);
    (void)close(fd);
}
END_TEST

/* WAIT's reply is made when it leaves, not before. */
START_TEST(test_wait)
{
    int fd = join(NULL);

    say(fd, "HOLD\r\nWAIT\r\n");
    hear_nothing(fd);
    finish(0, "+1\r\n");
    hear(fd, "+1\r\n:3\r\n", false);
    (void)close(fd);
}
END_TEST

/* ---- ends ---- */

/* A client goes while its requests are in every stage: each is abandoned once; those that are at
 * the engine live on without it. */
START_TEST(test_close_in_every_stage)
{
    for (int by_owner = 0; by_owner < 2; by_owner++) {
        size_t first = w.held_count;
        struct client *c;
        int fd = join(&c);
        w.abandoned = 0;
        say(fd, "HOLD\r\nHOLD\r\nHOLD\r\nHOLD\r\nnow\r\n*2\r\n$3\r\nhal");
        answer(first + 1, "+answered\r\n", 11);
        answer(first + 2, "+released\r\n", 11);
        release(first + 2);
        ck_assert_uint_gt(w.all.withheld_bytes, 0);
        if (by_owner != 0) {
            client_close(c, "a test");
            client_close(c, "again");
            hear(fd, "", true);
            (void)close(fd);
        } else {
            break_off(fd);
        }
        turn();
        ck_assert_uint_eq(w.abandoned, 5);
        ck_assert_uint_eq(w.all.withheld_bytes, 0);
        ck_assert_uint_eq(w.all.query_bytes, 0);
        ck_assert_ptr_nonnull(w.held[first]);
        ck_assert_ptr_null(w.held[first]->client);
        ck_assert_ptr_nonnull(w.held[first + 3]);
        ck_assert_uint_eq(w.pool.live_count, 2 * ((size_t)by_owner + 1));
    }
    ck_assert_uint_eq(w.closed, 2);
}
END_TEST

/* A client that says nothing more is answered all the same, then closed; what it has not said whole
 * is dropped. If its last request blocks, it is closed when those before are answered. */
START_TEST(test_end)
{
    for (int blocks = 0; blocks < 2; blocks++) {
        size_t first = w.held_count;
        struct client *c;
        int fd = join(&c);
        w.abandoned = 0;
        say(fd, "HOLD\r\nHOLD\r\n*2\r\n$3\r\nhal");
        if (blocks != 0) { /* what blocks is sent when those before are answered, if not released */
            answer(first, "+one\r\n", 6);
            c->blocks = true;
        }
        ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
        hear_nothing(fd);
        ck_assert_uint_eq(w.all.count, 1);
        if (blocks != 0) {
            release(first);
            w.held[first] = NULL;
            hear(fd, "+one\r\n", true);
            ck_assert_uint_eq(w.abandoned, 1);
        } else {
            finish(first, "+one\r\n");
            hear(fd, "+one\r\n", false);
            finish(first + 1, "+two\r\n");
            hear(fd, "+two\r\n", true);
            ck_assert_uint_eq(w.abandoned, 0);
        }
        ck_assert_uint_eq(w.all.count, 0);
        ck_assert_uint_eq(w.all.query_bytes, 0);
        (void)close(fd);
    }
}
END_TEST

/* Who blocks and ends is closed, whatever stands behind the request that blocks: it would take what
 * others wait for. That is so with a request of ours that stands there, too. */
START_TEST(test_end_blocked)
{
    for (int how = 0; how < 3; how++) {
        size_t first = w.held_count;
        struct request *ours = NULL;
        struct client *c;
        int fd = join(&c);
        w.abandoned = 0;
        say(fd, "now\r\nHOLD\r\n");
        hear(fd, "$3\r\nnow\r\n", false);
        c->blocks = true;
        if (how == 0) {
            say(fd, "later\r\nlater\r\n");
        } else if (how == 1) {
            ours = client_queue_ours(c, REQUEST_SILENT);
        }
        hear_nothing(fd);
        if (how == 2) {
            say(fd, "later\r\n");
            break_off(fd);
        } else {
            ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
            hear(fd, "", true);
            (void)close(fd);
        }
        ck_assert_uint_eq(w.all.count, 0);
        ck_assert_uint_eq(w.abandoned, how == 0 ? 3 : 2);
        ck_assert_ptr_null(w.held[first]->client);
        if (ours != NULL) {
            request_give(&w.pool, ours);
            w.orphans--;
        }
    }
}
END_TEST

/* A request that has to wait for its turn is answered, though its client says nothing more; but not
 * one that is held back for as long as somebody likes. */
START_TEST(test_end_postponed)
{
    for (int held = 0; held < 2; held++) {
        struct client *c;
        int fd = join(&c);
        w.postpones = true;
        say(fd, "later\r\n");
        ck_assert(c->postponed && c->first == NULL);
        c->held = held != 0;
        ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
        if (held == 0) {
            for (int waits = 0; !c->hung_up && waits < WAITS_MAX; waits++) {
                turn();
                sockets_wait(-1, 0, 1);
                ck_assert_uint_eq(w.all.count, 1);
            }
            w.postpones = false;
            client_resume(c);
        }
        hear(fd, held == 0 ? "$5\r\nlater\r\n" : "", true);
        ck_assert_uint_eq(w.all.count, 0);
        (void)close(fd);
    }
}
END_TEST

/* Who resets the connection while nobody reads it is noticed, now and then: postponed, or ended.
 * Who has only closed its half is not gone. */
START_TEST(test_reset_unread)
{
    for (int ended = 0; ended < 2; ended++) {
        struct linger now = {.l_onoff = 1};
        struct client *c;
        int fd = join(&c), half = join(NULL);
        w.postpones = true;
        say(half, "HOLD\r\n");
        ck_assert_int_eq(shutdown(half, SHUT_WR), 0);
        say(fd, ended != 0 ? "HOLD\r\n" : "HOLD\r\nlater\r\n");
        if (ended != 0) {
            ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
        }
        for (int waits = 0; w.all.ended_count < 1 + (size_t)ended && waits < WAITS_MAX; waits++) {
            turn();
            sockets_wait(-1, 0, 1);
        }
        ck_assert(!c->reading && c->ended == (ended != 0));
        clients_hold_limits(&w.all);
        ck_assert_uint_eq(w.all.count, 2);
        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
        (void)close(fd);
        for (int waits = 0; w.all.count > 1 && waits < WAITS_MAX; waits++) {
            clients_hold_limits(&w.all);
            clients_flush(&w.all);
            sockets_wait(-1, 0, 1);
        }
        ck_assert_uint_eq(w.all.count, 1);
        finish(2 * (size_t)ended, "+half\r\n");
        hear(half, "+half\r\n", true);
        (void)close(half);
    }
}
END_TEST

/* So is, in the end, who has closed the connection altogether, which no event tells from having
 * closed half of it: its system is asked, and has forgotten it. */
START_TEST(test_closed_unread)
{
    for (int ended = 0; ended < 2; ended++) {
        int idle_s = 0, asks = 0, soon = 1;
        socklen_t size = sizeof idle_s;
        struct client *c;
        int fd = join(&c), half = join(NULL);
        w.postpones = true;
        say(half, "HOLD\r\n");
        ck_assert_int_eq(shutdown(half, SHUT_WR), 0);
        say(fd, ended != 0 ? "HOLD\r\n" : "HOLD\r\nlater\r\n");
        ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &soon, sizeof soon), 0);
        (void)close(fd);
        for (int waits = 0; !(c->hung_up && w.all.ended_count > 0) && waits < WAITS_MAX; waits++) {
            turn();
            sockets_wait(-1, 0, 1);
        }
        ck_assert(c->hung_up && c->ended == (ended != 0));
        ck_assert_int_eq(getsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &asks, &size), 0);
        ck_assert_int_eq(getsockopt(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &size), 0);
        ck_assert(asks != 0 && idle_s > 0 && idle_s <= 60);
        for (struct client *each = w.all.list; each != NULL;
             each = each->next) { /* a test's time */
            ck_assert_int_eq(setsockopt(each->fd, IPPROTO_TCP, TCP_KEEPIDLE, &soon, sizeof soon),
                             0);
            ck_assert_int_eq(setsockopt(each->fd, IPPROTO_TCP, TCP_KEEPINTVL, &soon, sizeof soon),
                             0);
        }
        for (int waits = 0; w.all.count > 1 && waits < 100 * WAITS_MAX; waits++) {
            clients_hold_limits(&w.all);
            clients_flush(&w.all);
            sockets_wait(-1, 0, 1);
        }
        ck_assert_uint_eq(w.all.count, 1);
        finish(2 * (size_t)ended, "+half\r\n");
        hear(half, "+half\r\n", true);
        (void)close(half);
    }
}
END_TEST

/* Over maxmemory-clients the largest go, and no more than must; who said NO-EVICT stays. */
START_TEST(test_evicted)
{
    static const size_t sizes[] = {200000, 300000, 100000};
    char *bytes = mem_calloc(1, 300000);
    struct client *c[3];
    int fds[3];

    for (size_t i = 0; i < 3; i++) {
        fds[i] = join(&c[i]);
        say(fds[i], "HOLD\r\n");
        answer(i, bytes, sizes[i]);
    }
    w.all.config.numbers[CLIENT_CONFIG_MEMORY].set = true;
    w.all.config.numbers[CLIENT_CONFIG_MEMORY].value = client_memory(c[0]) + client_memory(c[2]);
    clients_hold_limits(&w.all);
    clients_hold_limits(&w.all);
    ck_assert_uint_eq(w.all.evicted, 1);
    hear(fds[1], "", true);
    ck_assert_uint_eq(w.all.count, 2);
    c[0]->no_evict = true;
    w.all.config.numbers[CLIENT_CONFIG_MEMORY].value = 1;
    clients_hold_limits(&w.all);
    ck_assert_uint_eq(w.all.evicted, 2);
    hear(fds[2], "", true);
    ck_assert_uint_eq(w.all.count, 1);
    for (size_t i = 0; i < 3; i++) {
        (void)close(fds[i]);
    }
    free(bytes);
}
END_TEST

/* Once all is answered nothing blocks any more. */
START_TEST(test_blocks_no_more)
{
    struct client *c;
    int fd = join(&c);

    say(fd, "HOLD\r\n");
    c->blocks = true;
    finish(0, "+popped\r\n");
    hear(fd, "+popped\r\n", false);
    say(fd, "HOLD\r\n");
    ck_assert(!client_is_blocked(c));
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    hear_nothing(fd);
    finish(1, "+held\r\n");
    hear(fd, "+held\r\n", true);
    (void)close(fd);
}
END_TEST

/* The owner may close a client from within its own request, whole or buffered. */
START_TEST(test_close_in_request)
{
    int a = join(NULL), b = join(NULL);

    say(b, "*1\r\n$4\r\nPI");
    w.close_in_request = true;
    say(a, "PING\r\nPING\r\n");
    say(b, "NG\r\nPING\r\n");
    hear(a, "", true);
    hear(b, "", true);
    ck_assert_str_eq(log_text(), "PING:1 PING:1 ");
    ck_assert_uint_eq(w.closed, 2);
    (void)close(a);
    (void)close(b);
}
END_TEST

/* Nobody is read while all are paused, newcomers neither; then all are. */
START_TEST(test_pause)
{
    int a = join(NULL);

    clients_pause(&w.all, true);
    int b = join(NULL);
    say(a, "A\r\n");
    say(b, "B\r\n");
    hear_nothing(a);
    hear_nothing(b);
    ck_assert_str_eq(log_text(), "");
    clients_pause(&w.all, true);
    clients_pause(&w.all, false);
    hear(a, "$1\r\nA\r\n", false);
    hear(b, "$1\r\nB\r\n", false);
    say(a, "HOLD\r\n");
    clients_pause(&w.all, true);
    finish(0, "+out\r\n"); /* replies leave all the same */
    hear(a, "+out\r\n", false);
    (void)close(a);
    (void)close(b);
}
END_TEST

/* Five thousand clients: all are served, in any order; idle ones hold nothing but themselves. */
START_TEST(test_many)
{
    enum { MANY = 5000 };
    static int fds[MANY];
    size_t files = sockets_raise_limit(2 * MANY + 100);
    size_t many = files < 2 * MANY + 100 ? (files - 100) / 2 : MANY;

    for (size_t i = 0; i < many; i++) {
        fds[i] = join(NULL);
        ck_assert_int_gt(write(fds[i], "HOLD\r\nPING\r\n", 12), 0);
    }
    until_held(many);
    ck_assert_uint_eq(w.all.count, many);
    for (size_t i = 0; i < many; i++) { /* 7919 is prime to any number of clients here */
        finish(i * 7919 % many, "+held\r\n");
    }
    turn();
    for (struct client *c = w.all.list; c != NULL; c = c->next) {
        ck_assert(c->in.data == NULL && chain_capacity(&c->out) == 0);
        ck_assert(c->framer == NULL && c->writable == NULL && c->first == NULL);
    }
    ck_assert_uint_le(sizeof(struct client), 512);
    for (size_t i = 0; i < many; i++) {
        char got[32];
        ck_assert_int_eq(recv(fds[i], got, sizeof got, 0), 17);
        ck_assert_int_eq(memcmp(got, "+held\r\n$4\r\nPING\r\n", 17), 0);
        (void)close(fds[i]);
    }
    for (int waits = 0; w.all.count > 0 && waits < WAITS_MAX; waits++) {
        turn();
    }
    ck_assert_uint_eq(w.all.count, 0);
    ck_assert_uint_eq(w.closed, many);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client");
    TCase *in = tcase_create("bytes in"), *bounds = tcase_create("bounds");
    TCase *out = tcase_create("replies out"), *ends = tcase_create("ends");

    tcase_add_checked_fixture(in, setup, teardown);
    tcase_add_test(in, test_pieces);
    tcase_add_test(in, test_pieces_of_two);
    tcase_add_test(in, test_big_request);
    tcase_add_test(in, test_protocol_error);
    tcase_add_test(in, test_unauthenticated);
    tcase_add_test(in, test_http);
    tcase_add_checked_fixture(bounds, setup, teardown);
    tcase_add_test(bounds, test_pending_max);
    tcase_add_test(bounds, test_withheld_max);
    tcase_add_test(bounds, test_reply_mean);
    tcase_add_test(bounds, test_never_reads);
    tcase_add_test(bounds, test_evict_unsent);
    tcase_add_test(bounds, test_query_limits);
    tcase_add_test(bounds, test_clients_max);
    tcase_add_test(bounds, test_ended_make_room);
    tcase_add_checked_fixture(out, setup, teardown);
    tcase_add_test(out, test_order);
    tcase_add_test(out, test_barrier);
    tcase_add_test(out, test_reply_modes);
    tcase_add_test(out, test_quit);
    tcase_add_test(out, test_wait);
    tcase_add_checked_fixture(ends, setup, teardown);
    tcase_add_test(ends, test_close_in_every_stage);
    tcase_add_test(ends, test_end);
    tcase_add_test(ends, test_end_blocked);
    tcase_add_test(ends, test_end_postponed);
    tcase_add_test(ends, test_reset_unread);
    tcase_set_timeout(ends, 120); /* it takes TCP some seconds to forget */
    tcase_add_test(ends, test_closed_unread);
    tcase_add_test(ends, test_evicted);
    tcase_add_test(ends, test_blocks_no_more);
    tcase_add_test(ends, test_close_in_request);
    tcase_add_test(ends, test_pause);
    tcase_add_test(ends, test_many);
    suite_add_tcase(suite, in);
    suite_add_tcase(suite, bounds);
    suite_add_tcase(suite, out);
    suite_add_tcase(suite, ends);
    return unit_main(suite);
}
