/* Clients: requests out of the bytes that come, what bounds them, and replies in order. */
#include "tests/lib/client_case.h"

#include <stdio.h>

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
 * client; over the total of all, who has the largest goes, whoever is read then, and others stay.
 */
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
    say_bytes(a, zeros, 900000);
    say_bytes(b, zeros, 100000);
    ck_assert_uint_eq(w.all.count, 3);
    say_bytes(b, zeros, 100000); /* it goes over, and who has most of it leaves */
    hear(a, "", true);
    ck_assert_uint_eq(w.all.count, 2);
    say_bytes(b, zeros, 700000);
    ck_assert_uint_eq(w.all.count, 2);
    say_bytes(b, zeros, 700000);
    hear(b, "", true);
    say(small, "345\r\n");
    hear(small, "$1\r\na\r\n", false);
    (void)close(small);
    (void)close(a);
    (void)close(b);
    (void)close(big);
    (void)close(many);
}
END_TEST

/* Each is found by its id as long as it is there, however many come and go. */
START_TEST(test_ids)
{
    enum { MOST = 300 };
    int fds[MOST];
    uint64_t ids[MOST];

    ck_assert_ptr_null(clients_find(&w.all, 1));
    for (int i = 0; i < MOST; i++) {
        struct client *c;
        fds[i] = join(&c);
        ids[i] = c->id;
        ck_assert_ptr_eq(clients_find(&w.all, c->id), c);
        if (i % 3 == 0) {
            client_close(c, "it goes at once");
        }
    }
    for (int i = 0; i < MOST; i++) {
        struct client *c = clients_find(&w.all, ids[i]);
        ck_assert((c != NULL) == (i % 3 != 0) && (c == NULL || c->id == ids[i]));
        (void)close(fds[i]);
    }
    ck_assert_ptr_null(clients_find(&w.all, ids[MOST - 1] + 1));
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

static void expect_links(const struct client *c, size_t count)
{
    const struct request *prev = NULL;

    for (const struct request *r = c->first; r != NULL; r = r->next_of_client) {
        ck_assert(r->prev_of_client == prev && r->client == c);
        prev = r;
        count--;
    }
    ck_assert_ptr_eq(c->last, prev);
    ck_assert_uint_eq(count, 0);
}

/* Pushes stand in front of what is not answered, in the order in which they came. There may be any
 * number of them: none is looked for among the others. */
START_TEST(test_many_pushes)
{
    enum { PUSHES = 40000 };
    struct client *c;
    int fd = join(&c);
    uint32_t number = 0;

    say(fd, "HOLD\r\nHOLD\r\nnow\r\n");
    for (uint32_t i = 0; i < PUSHES; i++) {
        (void)client_insert(c, client_first_unanswered(c), &i, sizeof i);
    }
    ck_assert_ptr_eq(client_first_unanswered(c), w.held[0]);
    expect_links(c, PUSHES + 3);
    for (const struct request *r = c->first; r != w.held[0]; r = r->next_of_client) {
        ck_assert_int_eq(memcmp(r->inline_reply, &number, sizeof number), 0);
        number++;
    }
    ck_assert_uint_eq(number, PUSHES);
    answer(0, "+1\r\n", 4);
    ck_assert_ptr_eq(client_first_unanswered(c), w.held[1]);
    struct request *between = client_insert(c, w.held[1], "+b\r\n", 4);
    ck_assert_ptr_eq(between->prev_of_client, w.held[0]);
    answer(1, "+2\r\n", 4);
    ck_assert_ptr_null(client_first_unanswered(c));
    struct request *last = client_insert(c, NULL, "+l\r\n", 4);
    ck_assert_ptr_eq(c->last, last);
    expect_links(c, PUSHES + 5);
    (void)close(fd);
}
END_TEST

/* What is answered early takes its place, and leaves the others theirs. */
START_TEST(test_answered_early)
{
    struct client *c;
    int fd = join(&c);

    say(fd, "HOLD\r\nHOLD\r\nHOLD\r\n");
    for (int i = 0; i < 3; i++) {
        client_answer_early(w.held[i], i == 0 ? "+0\r\n" : i == 1 ? "+1\r\n" : "+2\r\n", 4);
        expect_links(c, 3);
        w.orphans++; /* the engine would hand it back */
    }
    hear(fd, "+0\r\n+1\r\n+2\r\n", false);
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

int main(void)
{
    Suite *suite = suite_create("client");
    TCase *in = tcase_create("bytes in"), *bounds = tcase_create("bounds");
    TCase *out = tcase_create("replies out");

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
    tcase_add_test(bounds, test_ids);
    tcase_add_test(bounds, test_clients_max);
    tcase_add_test(bounds, test_ended_make_room);
    tcase_add_checked_fixture(out, setup, teardown);
    tcase_add_test(out, test_order);
    tcase_add_test(out, test_many_pushes);
    tcase_add_test(out, test_answered_early);
    tcase_add_test(out, test_barrier);
    tcase_add_test(out, test_reply_modes);
    tcase_add_test(out, test_quit);
    tcase_add_test(out, test_wait);
    suite_add_tcase(suite, in);
    suite_add_tcase(suite, bounds);
    suite_add_tcase(suite, out);
    return unit_main(suite);
}
