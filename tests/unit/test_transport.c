/* The transport over real sockets on 127.0.0.1: what is sent arrives whole, in order and only on
 * the connection it was meant for; peers that are dead or frozen harm nobody else. */
#include "tests/lib/transport_case.h"

#include "common/mem.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* The same in a process of its own, to be stopped and killed. Returns its pid and port. Must run
 * before anything in this process has used the transport. */
static pid_t echo_fork(uint16_t *port)
{
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct echo e = {0};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        e.server = server_open(*port);
        uint16_t bound = transport_server_port(e.server);
        if (write(pipes[1], &bound, sizeof bound) != (ssize_t)sizeof bound) {
            _exit(1);
        }
        echo_run(&e);
        _exit(0);
    }
    ck_assert_int_eq(read(pipes[0], port, sizeof *port), (ssize_t)sizeof *port);
    close(pipes[0]);
    close(pipes[1]);
    return pid;
}

static void echo_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A request and its answer pass whole, from empty to the largest size, cut in head and payload
 * anyhow. */
START_TEST(passes_messages_of_all_sizes)
{
    static const size_t sizes[] = {0, 1, 3, 4, 5, 1023, 1024, 4096, MAX_BYTES - 3};
    static uint8_t bytes[MAX_BYTES];
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *t = client_open(1, &port);

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    client_expect(t, TRANSPORT_UP, 0);
    ck_assert(transport_ready(t, 0));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i], cut = size / 3;
        while (!transport_send(t, 0, bytes, cut, bytes + cut, size - cut)) {
            client_expect(t, TRANSPORT_READY, 0);
        }
        struct transport_event ev = client_expect(t, TRANSPORT_MESSAGE, 0);
        ck_assert_uint_eq(ev.size, size + 3);
        ck_assert_mem_eq(ev.bytes, "re:", 3);
        ck_assert(memcmp(ev.bytes + 3, bytes, size) == 0);
    }
    transport_close(t);
    echo_stop(&e);
}
END_TEST

/* With many requests under way on three links, each link's answers come in order and none is lost
 * (the replies that may wait for a reader are 64). */
START_TEST(keeps_order_with_many_in_flight)
{
    enum { TOTAL = 3000, WINDOW = 50 };
    struct echo e[3];
    uint16_t ports[3];
    uint32_t sent[3] = {0}, answered[3] = {0};
    bool up[3] = {false};

    for (int i = 0; i < 3; i++) {
        echo_start(&e[i], 0);
        ports[i] = transport_server_port(e[i].server);
    }
    struct transport *t = client_open(3, ports);
    while (answered[0] + answered[1] + answered[2] < 3 * TOTAL) {
        for (unsigned i = 0; i < 3; i++) {
            while (up[i] && sent[i] < TOTAL && sent[i] - answered[i] < WINDOW &&
                   transport_send(t, i, &sent[i], sizeof sent[i], "payload", 7)) {
                sent[i]++;
            }
        }
        struct transport_event ev;
        ck_assert_msg(client_event(t, &ev, PATIENCE_MS), "stuck: %u %u of %u, %u %u, %u %u",
                      answered[0], sent[0], TOTAL, answered[1], sent[1], answered[2], sent[2]);
        up[ev.node] |= ev.kind == TRANSPORT_UP;
        ck_assert_int_ne(ev.kind, TRANSPORT_DOWN);
        if (ev.kind == TRANSPORT_MESSAGE) {
            ck_assert_uint_eq(ev.size, 3 + sizeof(uint32_t) + 7);
            ck_assert_mem_eq(ev.bytes + 3, &answered[ev.node], sizeof(uint32_t));
            answered[ev.node]++;
        }
    }
    transport_close(t);
    for (int i = 0; i < 3; i++) {
        echo_stop(&e[i]);
    }
}
END_TEST

/* Two clients of one server get their own answers. */
START_TEST(serves_two_clients)
{
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *a = client_open(1, &port), *b = client_open(1, &port);

    client_expect(a, TRANSPORT_UP, 0);
    client_expect(b, TRANSPORT_UP, 0);
    for (int i = 0; i < 100; i++) {
        client_send(a, 0, "from a", 6);
        client_send(b, 0, "from b", 6);
        ck_assert_mem_eq(client_expect(a, TRANSPORT_MESSAGE, 0).bytes, "re:from a", 9);
        ck_assert_mem_eq(client_expect(b, TRANSPORT_MESSAGE, 0).bytes, "re:from b", 9);
    }
    transport_close(a);
    round_trip(b, 0, "still there");
    transport_close(b);
    echo_stop(&e);
}
END_TEST

/* A node that is killed is reported down, nothing is taken for it, and it is back by itself when it
 * runs again. */
START_TEST(reconnects_to_a_restarted_server)
{
    uint16_t port = 0;
    pid_t pid = echo_fork(&port);

    /* The client lives in a process of its own, since this one has to fork again. */
    pid_t client = fork();
    ck_assert_int_ge(client, 0);
    if (client == 0) {
        struct transport *t = client_open(1, &port);
        client_expect(t, TRANSPORT_UP, 0);
        round_trip(t, 0, "before");
        kill(pid, SIGKILL);
        client_expect(t, TRANSPORT_DOWN, 0);
        ck_assert(!transport_ready(t, 0));
        ck_assert(!transport_send(t, 0, "lost", 4, NULL, 0));
        client_expect(t, TRANSPORT_UP, 0);
        round_trip(t, 0, "after");
        transport_close(t);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    usleep(100000);
    pid = echo_fork(&port);
    int status;
    waitpid(client, &status, 0);
    echo_kill(pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

/* A node that is frozen stops taking messages after a while and hinders no other; when it dies,
 * what had been waiting for it is not given to its successor. */
START_TEST(a_frozen_node_hinders_nobody)
{
    uint16_t ports[2] = {0, 0};
    pid_t frozen = echo_fork(&ports[0]);
    pid_t other = echo_fork(&ports[1]);
    struct transport *t = client_open(2, ports);
    static uint8_t bytes[MAX_BYTES];
    struct transport_event ev;
    unsigned taken = 0;

    for (int up = 0; up < 2;) { /* in any order */
        ck_assert(client_event(t, &ev, PATIENCE_MS));
        up += ev.kind == TRANSPORT_UP;
    }
    kill(frozen, SIGSTOP);
    memcpy(bytes, "old", 3);
    uint64_t until = clock_now_ns() + 500 * CLOCK_NS_PER_MS;
    while (clock_now_ns() < until) {
        if (transport_send(t, 0, bytes, sizeof bytes, NULL, 0)) {
            taken++;
        } else {
            client_event(t, &ev, 10);
        }
        ck_assert_uint_lt(taken, 1000); /* 64 MB: the kernel's buffers are smaller */
    }
    ck_assert(!transport_ready(t, 0));
    round_trip(t, 1, "other");
    kill(frozen, SIGKILL);
    waitpid(frozen, NULL, 0);
    client_expect(t, TRANSPORT_DOWN, 0);

    struct echo e; /* the successor; its first request must be a new one */
    echo_start(&e, ports[0]);
    client_expect(t, TRANSPORT_UP, 0);
    client_send(t, 0, "new", 3);
    ev = client_expect(t, TRANSPORT_MESSAGE, 0);
    ck_assert_uint_eq(ev.size, 6);
    ck_assert_mem_eq(ev.bytes, "re:new", 6);
    ck_assert_uint_eq(atomic_load(&e.seen), 1);
    transport_close(t);
    echo_stop(&e);
    echo_kill(other);
}
END_TEST

/* A client that never reads its answers loses them, and no other client notices. */
START_TEST(a_frozen_client_hinders_nobody)
{
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *frozen = client_open(1, &port), *other = client_open(1, &port);
    static uint8_t bytes[MAX_BYTES - 3];

    client_expect(frozen, TRANSPORT_UP, 0);
    client_expect(other, TRANSPORT_UP, 0);
    for (int i = 0; i < 600; i++) { /* far more than its queue and the kernel's buffers hold */
        if (!transport_send(frozen, 0, bytes, sizeof bytes, NULL, 0)) {
            usleep(1000);
        }
        if (i % 50 == 0) {
            round_trip(other, 0, "not hindered");
        }
    }
    round_trip(other, 0, "not hindered");
    transport_close(other);
    transport_close(frozen);
    echo_stop(&e);
}
END_TEST

/* A server that releases nothing is handed out a bounded number of bytes; when it goes on,
 * everything that the link had taken is there, in order. */
START_TEST(a_full_queue_pauses_and_resumes)
{
    enum { HELD_MAX = QUEUE_BYTES / MAX_BYTES + 1 };
    static uint8_t bytes[MAX_BYTES];
    struct transport_request held[HELD_MAX];
    struct transport_server *s = server_open(0);
    uint16_t port = transport_server_port(s);
    struct transport *t = client_open(1, &port);
    uint32_t taken = 0, got = 0;
    struct transport_event ev;
    struct transport_request request;

    client_expect(t, TRANSPORT_UP, 0);
    do {
        memcpy(bytes, &taken, sizeof taken);
        while (transport_send(t, 0, bytes, sizeof bytes, NULL, 0)) {
            memcpy(bytes, &(uint32_t){++taken}, sizeof taken);
            ck_assert_uint_lt(taken, 1000); /* 64 MB: the kernel's buffers are smaller */
        }
    } while (client_event(t, &ev, 300));
    while (transport_server_wait(s, 50)) {
        while (transport_server_next(s, &request)) {
            ck_assert_uint_lt(got, HELD_MAX);
            ck_assert_mem_eq(request.bytes, &got, sizeof got);
            held[got++] = request;
        }
    }
    ck_assert_uint_gt(got, HELD_MAX / 2);
    ck_assert_uint_lt(got, taken);
    for (uint32_t i = 0; i < got; i++) {
        transport_server_release(s, &held[i]);
    }
    while (got < taken) {
        ck_assert_msg(transport_server_wait(s, PATIENCE_MS), "%u of %u", got, taken);
        while (transport_server_next(s, &request)) {
            ck_assert_uint_eq(request.size, sizeof bytes);
            ck_assert_mem_eq(request.bytes, &got, sizeof got);
            got++;
            transport_server_release(s, &request);
        }
    }
    ck_assert(!transport_server_wait(s, 50));
    transport_close(t);
    transport_server_close(s);
}
END_TEST

/* Answers of one size to a client whose queue holds about two of them. */
static void answers_wait(size_t size)
{
    enum { ANSWERS = 60 };
    static uint8_t bytes[MAX_BYTES];
    struct transport_server *s = server_open(0);
    uint16_t port = transport_server_port(s);
    struct transport *t = client_open_sized(1, &port, size, 2 * size);
    struct transport_request request;

    client_expect(t, TRANSPORT_UP, 0);
    client_send(t, 0, "go", 2);
    ck_assert(transport_server_wait(s, PATIENCE_MS));
    ck_assert(transport_server_next(s, &request));
    for (uint32_t i = 0; i < ANSWERS; i++) {
        transport_server_reply(s, &request.from, &i, sizeof i, bytes, size - sizeof i);
    }
    transport_server_release(s, &request);
    usleep(100000);
    for (uint32_t i = 0; i < ANSWERS; i++) {
        struct transport_event ev = client_expect(t, TRANSPORT_MESSAGE, 0);
        ck_assert_uint_eq(ev.size, size);
        ck_assert_mem_eq(ev.bytes, &i, sizeof i);
    }
    transport_close(t);
    transport_server_close(s);
}

/* The same towards a client: answers wait, bounded, and then come in order, whether they are more
 * than the kernel holds or come all at once. */
START_TEST(a_client_that_reads_late_gets_its_answers)
{
    answers_wait(MAX_BYTES);
    answers_wait(1000);
}
END_TEST

/* Messages far larger than the first buffer, with small ones between them, pass whole, there and
 * back. */
START_TEST(large_messages_pass)
{
    enum { LARGE = 3 * 1000 * 1000 };
    static const size_t sizes[] = {LARGE,      10, 64 * 1024 - 4, 64 * 1024 - 3, 0, 64 * 1024,
                                   100 * 1000, 1,  1 << 20,       LARGE};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    uint8_t *bytes = mem_alloc(LARGE);
    struct transport_server_config config = {
        .address = "127.0.0.1:0", .message_max_bytes = LARGE, .queue_max_bytes = 2 * LARGE};
    struct transport_server *s;
    struct transport_request request;
    unsigned answered = 0;

    ck_assert_int_eq(transport_server_open(&s, &config), ERR_OK);
    uint16_t port = transport_server_port(s);
    struct transport *t = client_open_sized(1, &port, LARGE, 2 * LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    client_expect(t, TRANSPORT_UP, 0);
    for (unsigned sent = 0; answered < COUNT;) {
        struct transport_event ev;
        while (sent < COUNT && transport_send(t, 0, bytes, sizes[sent] / 2, bytes + sizes[sent] / 2,
                                              sizes[sent] - sizes[sent] / 2)) {
            sent++;
        }
        if (transport_server_wait(s, 1) && transport_server_next(s, &request)) {
            transport_server_reply(s, &request.from, NULL, 0, request.bytes, request.size);
            transport_server_release(s, &request);
        }
        while (client_event(t, &ev, 1)) {
            ck_assert_int_ne(ev.kind, TRANSPORT_DOWN);
            if (ev.kind == TRANSPORT_MESSAGE) {
                ck_assert_uint_eq(ev.size, sizes[answered]);
                ck_assert(memcmp(ev.bytes, bytes, ev.size) == 0);
                answered++;
            }
        }
    }
    transport_close(t);
    transport_server_close(s);
    free(bytes);
}
END_TEST

/* Replies may be larger than requests: what was taken under a higher limit is still handed out. */
START_TEST(replies_larger_than_requests)
{
    static uint8_t bytes[MAX_BYTES];
    struct transport_server_config config = {.address = "127.0.0.1:0",
                                             .message_max_bytes = 100,
                                             .reply_max_bytes = MAX_BYTES,
                                             .queue_max_bytes = QUEUE_BYTES};
    struct transport_request request;
    struct transport_server *s;

    ck_assert_int_eq(transport_server_open(&s, &config), ERR_OK);
    uint16_t port = transport_server_port(s);
    struct transport *t = client_open(1, &port);
    client_expect(t, TRANSPORT_UP, 0);
    client_send(t, 0, "go", 2);
    ck_assert(transport_server_wait(s, PATIENCE_MS));
    ck_assert(transport_server_next(s, &request));
    transport_server_reply(s, &request.from, bytes, sizeof bytes, NULL, 0);
    transport_server_release(s, &request);
    struct transport_event ev = client_expect(t, TRANSPORT_MESSAGE, 0);
    ck_assert_uint_eq(ev.size, sizeof bytes);
    transport_close(t);
    transport_server_close(s);
}
END_TEST

/* A link that its owner resets comes back as a new connection. */
START_TEST(reset_makes_a_new_connection)
{
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *t = client_open(1, &port);

    client_expect(t, TRANSPORT_UP, 0);
    for (int i = 0; i < 20; i++) {
        round_trip(t, 0, "on");
        transport_reset(t, 0);
        client_expect(t, TRANSPORT_DOWN, 0);
        client_expect(t, TRANSPORT_UP, 0);
    }
    round_trip(t, 0, "on");
    transport_close(t);
    echo_stop(&e);
}
END_TEST

/* An answer to a connection that has gone is dropped, also when its client is back. */
START_TEST(late_answers_are_dropped)
{
    struct transport_server *s = server_open(0);
    uint16_t port = transport_server_port(s);
    struct transport *t = client_open(1, &port);
    struct transport_request old, new;
    struct transport_event ev;
    uint64_t ended;

    client_expect(t, TRANSPORT_UP, 0);
    client_send(t, 0, "old", 3);
    ck_assert(transport_server_wait(s, PATIENCE_MS) && transport_server_next(s, &old));
    transport_reset(t, 0);
    client_expect(t, TRANSPORT_DOWN, 0);
    client_expect(t, TRANSPORT_UP, 0);
    client_send(t, 0, "new", 3);
    bool told = false;
    do { /* the end of the old one is told, too, and ends a wait */
        (void)transport_server_wait(s, PATIENCE_MS);
        told = told || transport_server_closed(s, &ended);
    } while (!transport_server_next(s, &new));
    ck_assert_uint_ne(old.from.connection, new.from.connection);
    ck_assert(told);
    ck_assert_uint_eq(ended, old.from.connection);
    transport_server_reply(s, &old.from, "late", 4, NULL, 0);
    transport_server_reply(s, &new.from, "right", 5, NULL, 0);
    ev = client_expect(t, TRANSPORT_MESSAGE, 0);
    ck_assert_uint_eq(ev.size, 5);
    ck_assert(!client_event(t, &ev, 50));
    transport_server_release(s, &new);
    transport_server_release(s, &old);
    transport_close(t);
    transport_server_close(s);
}
END_TEST

/* What can't be opened is an error with nothing left behind. */
START_TEST(refuses_bad_addresses)
{
    struct transport_server_config sc = {.message_max_bytes = 10, .queue_max_bytes = 10};
    struct transport_config cc = {.node_count = 1, .message_max_bytes = 10, .queue_max_bytes = 10};
    struct transport_server *s = server_open(0), *second;
    struct transport *t;
    char taken[32], endless[400];

    snprintf(taken, sizeof taken, "127.0.0.1:%u", transport_server_port(s));
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    sc.address = taken;
    ck_assert_int_eq(transport_server_open(&second, &sc), ERR_EXISTS);
    sc.address = "127.0.0.1:notaport";
    ck_assert_int_ne(transport_server_open(&second, &sc), ERR_OK);
    sc.address = endless;
    ck_assert_int_eq(transport_server_open(&second, &sc), ERR_INVALID);
    cc.addresses[0] = endless;
    ck_assert_int_eq(transport_open(&t, &cc), ERR_INVALID);
    transport_server_close(s);
}
END_TEST

/* A wake ends a wait, before or during it; a time-out ends it too. */
START_TEST(wait_ends_by_wake_and_time)
{
    struct transport_server *s = server_open(0);

    transport_server_wake(s);
    ck_assert(!transport_server_wait(s, -1));
    uint64_t before = clock_now_ns();
    ck_assert(!transport_server_wait(s, 30));
    ck_assert_uint_ge(clock_now_ns() - before, 29 * CLOCK_NS_PER_MS);
    ck_assert(!transport_server_wait(s, 0));
    transport_server_close(s);
}
END_TEST

/* Links come and go while others work: a slot that was given up hands out nothing more, keeps what
 * was just handed out, and can be used for another node. */
START_TEST(links_come_and_go)
{
    struct echo first, second, third;
    char address[32];
    struct transport_event ev;

    echo_start(&first, 0);
    echo_start(&second, 0);
    echo_start(&third, 0);
    uint16_t port = transport_server_port(first.server);
    struct transport *t = client_open(1, &port);
    client_expect(t, TRANSPORT_UP, 0);
    ck_assert(!transport_send(t, 5, "x", 1, NULL, 0));
    ck_assert_int_eq(transport_link(t, 0, "127.0.0.1:1"), ERR_EXISTS);
    ck_assert_int_eq(transport_link(t, 5, "nonsense"), ERR_INVALID);
    snprintf(address, sizeof address, "127.0.0.1:%u", transport_server_port(second.server));
    ck_assert_int_eq(transport_link(t, 5, address), ERR_OK);
    client_expect(t, TRANSPORT_UP, 5);
    round_trip(t, 5, "second");
    round_trip(t, 0, "first");

    client_send(t, 5, "kept", 4);
    ev = client_expect(t, TRANSPORT_MESSAGE, 5);
    client_send(t, 5, "never seen", 10);
    transport_unlink(t, 5);
    transport_unlink(t, 5);
    ck_assert_mem_eq(ev.bytes + 3, "kept", 4);
    ck_assert(!transport_send(t, 5, "x", 1, NULL, 0));
    round_trip(t, 0, "first again");
    while (client_event(t, &ev, 50)) {
        ck_assert_uint_ne(ev.node, 5);
    }
    snprintf(address, sizeof address, "127.0.0.1:%u", transport_server_port(third.server));
    ck_assert_int_eq(transport_link(t, 5, address), ERR_OK);
    client_expect(t, TRANSPORT_UP, 5);
    round_trip(t, 5, "third");
    transport_close(t);
    echo_stop(&first);
    echo_stop(&second);
    echo_stop(&third);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Prints the round trip between two processes; a figure, not a limit. */
START_TEST(round_trip_time)
{
    enum { ROUNDS = 3000 };
    static uint64_t ns[ROUNDS];
    uint16_t port = 0;
    uint8_t bytes[1024] = {0};
    pid_t pid = echo_fork(&port);
    struct transport *t = client_open(1, &port);

    client_expect(t, TRANSPORT_UP, 0);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t begin = clock_now_ns();
        client_send(t, 0, bytes, sizeof bytes);
        client_expect(t, TRANSPORT_MESSAGE, 0);
        ns[i] = clock_now_ns() - begin;
    }
    qsort(ns, ROUNDS, sizeof *ns, by_value);
    printf("round trip of 1 KiB: p50 %.1f us, p99 %.1f us\n", (double)ns[ROUNDS / 2] / 1e3,
           (double)ns[ROUNDS * 99 / 100] / 1e3);
    transport_close(t);
    echo_kill(pid);
}
END_TEST

/* Closing never hangs: never connected, just connecting, idle, with messages in every queue, with
 * the peer gone before. */
START_TEST(closes_in_every_state)
{
    static uint8_t bytes[MAX_BYTES];
    uint16_t nobody = 1; /* nothing listens there */
    struct transport *t = client_open(1, &nobody);
    transport_close(t);
    t = client_open(1, &nobody);
    usleep(50000);
    transport_close(t);

    for (int round = 0; round < 30; round++) {
        struct transport_server *s = server_open(0);
        uint16_t port = transport_server_port(s);
        t = client_open(1, &port);
        if (round % 3 > 0) {
            client_expect(t, TRANSPORT_UP, 0);
        }
        for (int i = 0; round % 3 == 2 && i < 200; i++) {
            struct transport_request request;
            if (!transport_send(t, 0, bytes, sizeof bytes, NULL, 0)) {
                usleep(100);
            }
            if (i % 4 == 0 && transport_server_next(s, &request)) {
                transport_server_reply(s, &request.from, bytes, sizeof bytes, NULL, 0);
                transport_server_release(s, &request);
            }
        }
        if (round % 2 == 0) {
            transport_server_close(s);
            transport_close(t);
        } else {
            transport_close(t);
            transport_server_close(s);
        }
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR(
        "transport", NULL, NULL, 60, closes_in_every_state, passes_messages_of_all_sizes,
        keeps_order_with_many_in_flight, serves_two_clients, reconnects_to_a_restarted_server,
        a_frozen_node_hinders_nobody, a_frozen_client_hinders_nobody,
        a_full_queue_pauses_and_resumes, a_client_that_reads_late_gets_its_answers,
        large_messages_pass, replies_larger_than_requests, reset_makes_a_new_connection,
        late_answers_are_dropped, refuses_bad_addresses, wait_ends_by_wake_and_time,
        links_come_and_go, round_trip_time);
}
