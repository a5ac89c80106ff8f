/* Clients' ends: who leaves, who is made to, and what becomes of what was asked until then. */
#include "tests/lib/client_case.h"

#include <stdio.h>

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

/* Of two the one that is gone is closed; the other, which has closed its half, is answered. */
static void only_half_stays(int waits_max, int half, int ended)
{
    for (int waits = 0; w.all.count > 1 && waits < waits_max; waits++) {
        clients_hold_limits(&w.all);
        clients_flush(&w.all);
        sockets_wait(-1, 0, 1);
    }
    ck_assert_uint_eq(w.all.count, 1);
    finish(2 * (size_t)ended, "+half\r\n");
    hear(half, "+half\r\n", true);
    (void)close(half);
}

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
        only_half_stays(WAITS_MAX, half, ended);
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
        only_half_stays(100 * WAITS_MAX, half, ended);
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
    Suite *suite = suite_create("client_ends");
    TCase *ends = tcase_create("ends");

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
    suite_add_tcase(suite, ends);
    return unit_main(suite);
}
