/* The transport over real sockets on 127.0.0.1: what is sent arrives whole, in order and only on
 * the connection it was meant for; peers that are dead, frozen or mad harm nobody else. */
#include "logsvc/client/transport.h"
#include "logsvc/transport_server.h"

#include "common/clock.h"
#include "common/le.h"
#include "common/mem.h"
#include "tests/lib/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_BYTES = 64 * 1024, QUEUE_BYTES = 1024 * 1024, PATIENCE_MS = 5000 };

/* ---- a server that answers every request with "re:" and the request ---- */

struct echo {
    struct transport_server *server;
    pthread_t thread;
    atomic_bool stop;
    atomic_bool hold; /* takes nothing while set */
    atomic_uint seen;
};

static void echo_turn(struct echo *e)
{
    struct transport_request request;

    while (!atomic_load(&e->hold) && transport_server_next(e->server, &request)) {
        atomic_fetch_add(&e->seen, 1);
        if (request.size == 0 || request.bytes[0] != '?') {
            transport_server_good(e->server, &request.from);
        }
        transport_server_reply(e->server, &request.from, "re:", 3, request.bytes, request.size);
        transport_server_release(e->server, &request);
    }
}

static void *echo_run(void *arg)
{
    struct echo *e = arg;

    while (!atomic_load(&e->stop)) {
        if (atomic_load(&e->hold)) {
            usleep(1000);
        } else {
            transport_server_wait(e->server, 50);
        }
        echo_turn(e);
    }
    return NULL;
}

static uint32_t server_idle_ms;

static struct transport_server *server_open(uint16_t port)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    struct transport_server_config config = {.address = address,
                                             .message_max_bytes = MAX_BYTES,
                                             .queue_max_bytes = QUEUE_BYTES,
                                             .idle_ms = server_idle_ms};
    struct transport_server *s = NULL;
    uint64_t until = clock_now_ns() + PATIENCE_MS * CLOCK_NS_PER_MS;
    int rv;

    do { /* a port just left may be busy for a moment */
        rv = transport_server_open(&s, &config);
    } while (rv == ERR_EXISTS && clock_now_ns() < until && usleep(10000) == 0);
    ck_assert_int_eq(rv, ERR_OK);
    return s;
}

static void echo_start(struct echo *e, uint16_t port)
{
    memset(e, 0, sizeof *e);
    e->server = server_open(port);
    ck_assert_int_eq(pthread_create(&e->thread, NULL, echo_run, e), 0);
}

static void echo_stop(struct echo *e)
{
    atomic_store(&e->stop, true);
    transport_server_wake(e->server);
    pthread_join(e->thread, NULL);
    transport_server_close(e->server);
}

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

/* ---- a client ---- */

static struct transport *client_open_sized(unsigned count, const uint16_t *ports, size_t max,
                                           size_t queue)
{
    char addresses[TRANSPORT_NODES_MAX][32];
    struct transport_config config = {
        .node_count = count, .message_max_bytes = max, .queue_max_bytes = queue};
    struct transport *t;

    for (unsigned i = 0; i < count; i++) {
        snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%u", ports[i]);
        config.addresses[i] = addresses[i];
    }
    ck_assert_int_eq(transport_open(&t, &config), ERR_OK);
    return t;
}

static struct transport *client_open(unsigned count, const uint16_t *ports)
{
    return client_open_sized(count, ports, MAX_BYTES, QUEUE_BYTES);
}

/* The next event within ms; false: none came. */
static bool client_event(struct transport *t, struct transport_event *ev, int ms)
{
    uint64_t until = clock_now_ns() + (uint64_t)ms * CLOCK_NS_PER_MS;

    while (!transport_next(t, ev)) {
        uint64_t now = clock_now_ns();
        if (now >= until) {
            return false;
        }
        struct pollfd p = {.fd = transport_fd(t), .events = POLLIN};
        poll(&p, 1, (int)((until - now) / CLOCK_NS_PER_MS) + 1);
    }
    return true;
}

/* Skips events until one of that kind and node comes. */
static struct transport_event client_expect(struct transport *t, enum transport_event_kind kind,
                                            unsigned node)
{
    struct transport_event ev;

    do {
        ck_assert_msg(client_event(t, &ev, PATIENCE_MS), "no event %d of node %u", kind, node);
    } while (ev.kind != kind || ev.node != node);
    return ev;
}

static void client_send(struct transport *t, unsigned node, const void *bytes, size_t size)
{
    while (!transport_send(t, node, bytes, size, NULL, 0)) {
        client_expect(t, TRANSPORT_READY, node);
    }
}

static void round_trip(struct transport *t, unsigned node, const char *text)
{
    client_send(t, node, text, strlen(text));
    struct transport_event ev = client_expect(t, TRANSPORT_MESSAGE, node);
    ck_assert_uint_eq(ev.size, strlen(text) + 3);
    ck_assert_mem_eq(ev.bytes + 3, text, strlen(text));
}

/* ---- a plain TCP peer ---- */

static int tcp_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void tcp_write(int fd, const void *bytes, size_t size)
{
    ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
    (void)n; /* the other side may have hung up already */
}

/* Whether the peer hangs up within a while. */
static bool tcp_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char bytes[256];
    ssize_t n;

    do {
        if (poll(&p, 1, PATIENCE_MS) != 1) {
            return false;
        }
        n = read(fd, bytes, sizeof bytes);
    } while (n > 0);
    return n == 0 || errno == ECONNRESET;
}

static const uint8_t preamble[8] = {'H', 'F', 'S', 'T', 'R', 'M', 1, 0};

/* A peer that has said its preamble and has read the server's. */
static int tcp_greet(uint16_t port)
{
    uint8_t theirs[sizeof preamble];
    int fd = tcp_connect(port);

    tcp_write(fd, preamble, sizeof preamble);
    ck_assert_int_eq(recv(fd, theirs, sizeof theirs, MSG_WAITALL), (ssize_t)sizeof theirs);
    ck_assert_mem_eq(theirs, preamble, sizeof theirs);
    return fd;
}

/* Puts a frame at `at`; its size. */
static size_t frame_put(uint8_t *at, const void *bytes, size_t size)
{
    le_put32(at, (uint32_t)size);
    if (size > 0) {
        memcpy(at + 4, bytes, size);
    }
    return size + 4;
}

/* Reads a whole frame and compares it with "re:" and the text. */
static void tcp_expect(int fd, const void *text, size_t size)
{
    uint8_t bytes[256];

    ck_assert_uint_le(size + 3, sizeof bytes);
    ck_assert_int_eq(recv(fd, bytes, 4, MSG_WAITALL), 4);
    ck_assert_uint_eq(le_get32(bytes), size + 3);
    ck_assert_int_eq(recv(fd, bytes, size + 3, MSG_WAITALL), (ssize_t)size + 3);
    ck_assert_mem_eq(bytes, "re:", 3);
    if (size > 0) {
        ck_assert_mem_eq(bytes + 3, text, size);
    }
}

/* A listening socket of ours, in the place of a log node. */
static int tcp_listen(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
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

/* A server that takes nothing holds a bounded number of bytes; when it goes on, everything that the
 * link had taken is there, in order. */
START_TEST(a_full_queue_pauses_and_resumes)
{
    static uint8_t bytes[MAX_BYTES];
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

/* The same towards a client: answers wait, bounded, and then come in order. */
START_TEST(a_client_that_reads_late_gets_its_answers)
{
    enum { ANSWERS = 60 };
    static uint8_t bytes[MAX_BYTES];
    struct transport_server *s = server_open(0);
    uint16_t port = transport_server_port(s);
    struct transport *t = client_open_sized(1, &port, MAX_BYTES, 2 * MAX_BYTES);
    struct transport_request request;

    client_expect(t, TRANSPORT_UP, 0);
    client_send(t, 0, "go", 2);
    ck_assert(transport_server_wait(s, PATIENCE_MS));
    ck_assert(transport_server_next(s, &request));
    for (uint32_t i = 0; i < ANSWERS; i++) {
        transport_server_reply(s, &request.from, &i, sizeof i, bytes, MAX_BYTES - sizeof i);
    }
    transport_server_release(s, &request);
    usleep(100000);
    for (uint32_t i = 0; i < ANSWERS; i++) {
        struct transport_event ev = client_expect(t, TRANSPORT_MESSAGE, 0);
        ck_assert_uint_eq(ev.size, MAX_BYTES);
        ck_assert_mem_eq(ev.bytes, &i, sizeof i);
    }
    transport_close(t);
    transport_server_close(s);
}
END_TEST

/* Random bytes, half headers, connections that say nothing and ones that end at once: the server
 * serves on. */
START_TEST(survives_garbage)
{
    static const uint8_t version[8] = {'H', 'F', 'S', 'T', 'R', 'M', 2, 0};
    uint8_t bytes[512];
    int idle[50];
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *t = client_open(1, &port);

    client_expect(t, TRANSPORT_UP, 0);
    srand(1);
    for (int i = 0; i < 300; i++) {
        int fd = tcp_connect(port);
        for (size_t k = 0; k < sizeof bytes; k++) {
            bytes[k] = (uint8_t)rand();
        }
        switch (i % 6) {
        case 0:
            tcp_write(fd, bytes, sizeof bytes);
            break;
        case 1:
            tcp_write(fd, preamble, 1 + (size_t)i % 7);
            break;
        case 2: /* a good start, then anything */
            tcp_write(fd, preamble, sizeof preamble);
            tcp_write(fd, bytes, sizeof bytes);
            break;
        case 3: /* cut at the first byte that is wrong */
            tcp_write(fd, "GET / HTTP/1.1", 1);
            ck_assert(tcp_hung_up(fd));
            break;
        case 4:
            tcp_write(fd, version, sizeof version);
            ck_assert(tcp_hung_up(fd));
            break;
        default: { /* ends with a reset */
            struct linger hard = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
            break;
        }
        }
        close(fd);
    }
    for (int i = 0; i < 50; i++) {
        idle[i] = tcp_connect(port);
    }
    round_trip(t, 0, "alive");
    struct transport *late = client_open(1, &port);
    client_expect(late, TRANSPORT_UP, 0);
    round_trip(late, 0, "alive");
    for (int i = 0; i < 50; i++) {
        close(idle[i]);
    }
    transport_close(late);
    transport_close(t);
    echo_stop(&e);
}
END_TEST

/* What is logged from now on goes there. */
static FILE *log_begin(void)
{
    FILE *f = tmpfile();

    ck_assert(f != NULL && dup2(fileno(f), STDERR_FILENO) >= 0);
    return f;
}

static void log_expect(FILE *f, const char *text)
{
    char all[4096];

    rewind(f);
    all[fread(all, 1, sizeof all - 1, f)] = '\0';
    ck_assert_msg(strstr(all, text) != NULL, "%s", all);
}

/* A message over the limit ends its own connection and no other; the client comes back, and the log
 * says which setting it is. */
START_TEST(oversize_kills_its_connection_only)
{
    static uint8_t bytes[MAX_BYTES + 1];
    uint8_t huge[4];
    char text[200];
    struct echo e;
    FILE *log = log_begin();
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *good = client_open(1, &port);
    struct transport *fat = client_open_sized(1, &port, MAX_BYTES + 1, QUEUE_BYTES);

    client_expect(good, TRANSPORT_UP, 0);
    client_expect(fat, TRANSPORT_UP, 0);
    client_send(fat, 0, bytes, MAX_BYTES + 1);
    client_expect(fat, TRANSPORT_DOWN, 0);
    client_expect(fat, TRANSPORT_UP, 0);
    round_trip(fat, 0, "thinner");
    (void)snprintf(text, sizeof text,
                   "a message of %d bytes, over the limit of %d (message_max_bytes; it has to be "
                   "more than log.append_max_bytes of every proxy)",
                   MAX_BYTES + 1, MAX_BYTES);
    log_expect(log, text);
    ck_assert_int_eq(fclose(log), 0);

    static const uint32_t sizes[] = {MAX_BYTES + 1, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int fd = tcp_greet(port);
        le_put32(huge, sizes[i]);
        tcp_write(fd, huge, sizeof huge);
        ck_assert(tcp_hung_up(fd));
        close(fd);
    }

    round_trip(good, 0, "undisturbed");
    struct transport_event ev;
    ck_assert(!client_event(good, &ev, 50)); /* it was never down */
    ck_assert_uint_eq(atomic_load(&e.seen), 2);
    transport_close(fat);
    transport_close(good);
    echo_stop(&e);
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

/* A message means the same however TCP cuts it: at every byte, two by two, and byte for byte. */
START_TEST(messages_split_anywhere)
{
    static const char text[] = "what TCP cuts";
    enum { TEXT = sizeof text - 1 };
    uint8_t bytes[8 + 2 * (4 + TEXT)], theirs[8];
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);

    memcpy(bytes, preamble, 8);
    frame_put(bytes + 8, text, TEXT);
    frame_put(bytes + 8 + 4 + TEXT, text, TEXT);
    for (size_t cut = 1; cut < sizeof bytes; cut++) {
        int on = 1, fd = tcp_connect(port);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        tcp_write(fd, bytes, cut);
        usleep(2000);
        tcp_write(fd, bytes + cut, sizeof bytes - cut);
        ck_assert_int_eq(recv(fd, theirs, 8, MSG_WAITALL), 8);
        tcp_expect(fd, text, TEXT);
        tcp_expect(fd, text, TEXT);
        close(fd);
    }
    int on = 1, fd = tcp_connect(port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < sizeof bytes; i++) {
        tcp_write(fd, bytes + i, 1);
        usleep(500);
    }
    ck_assert_int_eq(recv(fd, theirs, 8, MSG_WAITALL), 8);
    tcp_expect(fd, text, TEXT);
    tcp_expect(fd, text, TEXT);
    close(fd);
    echo_stop(&e);
}
END_TEST

/* Many messages in one segment, empty ones among them, are all taken, in order. */
START_TEST(many_messages_in_one_segment)
{
    enum { COUNT = 60 }; /* answers that may wait */
    static uint8_t bytes[COUNT * 16];
    size_t size = 0;
    struct echo e;
    echo_start(&e, 0);
    int fd = tcp_greet(transport_server_port(e.server));

    for (uint32_t i = 0; i < COUNT; i++) {
        size += frame_put(bytes + size, &i, i % 3 == 0 ? 0 : sizeof i);
    }
    tcp_write(fd, bytes, size);
    for (uint32_t i = 0; i < COUNT; i++) {
        tcp_expect(fd, &i, i % 3 == 0 ? 0 : sizeof i);
    }
    ck_assert_uint_eq(atomic_load(&e.seen), COUNT);
    close(fd);
    echo_stop(&e);
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

/* More connections than may be: the ones that say nothing are closed, oldest first, and whoever
 * has spoken stays and is served. */
START_TEST(a_flood_of_connections)
{
    enum { FLOOD = 300 };
    int fds[FLOOD], closed = 0;
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *t = client_open(1, &port);

    client_expect(t, TRANSPORT_UP, 0);
    round_trip(t, 0, "before");
    for (int i = 0; i < FLOOD; i++) {
        fds[i] = i % 2 == 0 ? tcp_connect(port) : tcp_greet(port);
    }
    round_trip(t, 0, "after");
    struct transport_event ev;
    ck_assert(!client_event(t, &ev, 50)); /* it was never down */
    for (int i = 0; i < FLOOD - TRANSPORT_SERVER_CONNECTIONS_MAX + 1; i++) {
        ck_assert(tcp_hung_up(fds[i]));
    }
    for (int i = 0; i < FLOOD; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLRDHUP};
        closed += poll(&p, 1, 0) == 1;
    }
    ck_assert_int_eq(closed, FLOOD - TRANSPORT_SERVER_CONNECTIONS_MAX + 1);
    struct transport *late = client_open(1, &port);
    client_expect(late, TRANSPORT_UP, 0);
    round_trip(late, 0, "late");
    for (int i = 0; i < FLOOD; i++) {
        close(fds[i]);
    }
    transport_close(late);
    transport_close(t);
    echo_stop(&e);
}
END_TEST

/* When all connections have spoken, a new one is refused, and let in once there is room. */
START_TEST(no_room_among_speakers)
{
    int fds[TRANSPORT_SERVER_CONNECTIONS_MAX];
    uint8_t bytes[16];
    size_t size = frame_put(bytes, "hi", 2);
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);

    for (int i = 0; i < TRANSPORT_SERVER_CONNECTIONS_MAX; i++) {
        fds[i] = tcp_greet(port);
        tcp_write(fds[i], bytes, size);
        tcp_expect(fds[i], "hi", 2);
    }
    int fd = tcp_connect(port);
    ck_assert(tcp_hung_up(fd));
    close(fd);
    struct transport *t = client_open(1, &port);
    struct transport_event ev;
    ck_assert(!client_event(t, &ev, 100));
    for (int i = 0; i < TRANSPORT_SERVER_CONNECTIONS_MAX; i++) {
        if (i > 0) {
            tcp_write(fds[i], bytes, size);
            tcp_expect(fds[i], "hi", 2);
        }
        close(fds[i]);
    }
    client_expect(t, TRANSPORT_UP, 0);
    round_trip(t, 0, "room");
    transport_close(t);
    echo_stop(&e);
}
END_TEST

/* A peer that asks and never reads: answers wait within their bound, more are dropped; those that
 * come are whole, in order and from the beginning on, and the server serves others all the while.
 */
START_TEST(a_peer_that_never_reads)
{
    enum { ASKED = 2000, ANSWER = 60 * 1000, PIECE = 4 + 3 + ANSWER };
    static uint8_t bytes[4 + ANSWER], answer[PIECE];
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *other = client_open(1, &port);
    int fd = tcp_greet(port);
    uint32_t number, last = 0, come = 0;

    client_expect(other, TRANSPORT_UP, 0);
    le_put32(bytes, ANSWER);
    for (uint32_t i = 1; i <= ASKED; i++) {
        le_put32(bytes + 4, i);
        for (size_t at = 0; at < sizeof bytes;) {
            ssize_t n = send(fd, bytes + at, sizeof bytes - at, MSG_NOSIGNAL);
            ck_assert_int_gt(n, 0);
            at += (size_t)n;
        }
        if (i % 200 == 0) {
            round_trip(other, 0, "not hindered");
        }
    }
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 300) != 1) {
            break;
        }
        ck_assert_int_eq(recv(fd, answer, PIECE, MSG_WAITALL), PIECE);
        ck_assert_uint_eq(le_get32(answer), 3 + ANSWER);
        number = le_get32(answer + 7);
        ck_assert_msg(number > last, "%u after %u", number, last);
        ck_assert(come > 0 || number == 1);
        last = number;
        come++;
    }
    ck_assert_uint_ge(come, 64);
    ck_assert_uint_lt(come, ASKED);
    round_trip(other, 0, "not hindered");
    close(fd);
    transport_close(other);
    echo_stop(&e);
}
END_TEST

/* A log node that is something else: the client cuts it, tries again with pauses, and never says
 * that the link is up; one that announces too much takes the link down. */
START_TEST(a_client_meets_a_stranger)
{
    static const uint8_t huge[4] = {0xff, 0xff, 0xff, 0xff};
    uint16_t port;
    int listener = tcp_listen(&port);
    struct transport *t = client_open(1, &port);
    struct transport_event ev;

    for (int i = 0; i < 5; i++) {
        int fd = accept(listener, NULL, NULL);
        ck_assert_int_ge(fd, 0);
        tcp_write(fd, i % 2 == 0 ? "-ERR unknown command\r\n" : "HFSTRM\2", 8);
        ck_assert(tcp_hung_up(fd));
        close(fd);
    }
    ck_assert(!client_event(t, &ev, 50));
    int fd = accept(listener, NULL, NULL);
    tcp_write(fd, preamble, sizeof preamble);
    client_expect(t, TRANSPORT_UP, 0);
    tcp_write(fd, huge, sizeof huge);
    client_expect(t, TRANSPORT_DOWN, 0);
    ck_assert(tcp_hung_up(fd));
    close(fd);
    close(listener);
    transport_close(t);
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

/* No room, but some have only said what makes no sense, or nothing for long: first the oldest of
 * those, then the one that has been silent for longest. Who speaks stays. */
START_TEST(room_at_the_cost_of_the_silent)
{
    enum { NONSENSE = 3, SILENT = 3 };
    int fds[TRANSPORT_SERVER_CONNECTIONS_MAX], more[NONSENSE + SILENT];
    uint8_t good[16], nonsense[16];
    size_t size = frame_put(good, "hi", 2);
    struct echo e;

    MUST(frame_put(nonsense, "?!", 2) == size);
    server_idle_ms = 1000;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    for (int i = 0; i < TRANSPORT_SERVER_CONNECTIONS_MAX; i++) {
        bool bad = i >= 10 && i < 10 + NONSENSE;
        fds[i] = tcp_greet(port);
        tcp_write(fds[i], bad ? nonsense : good, size);
        tcp_expect(fds[i], bad ? "?!" : "hi", 2);
    }
    for (int i = 0; i < NONSENSE; i++) {
        more[i] = tcp_greet(port);
        tcp_write(more[i], good, size);
        tcp_expect(more[i], "hi", 2);
        ck_assert(tcp_hung_up(fds[10 + i]));
    }
    sleep(2); /* what is waited for is that time goes by */
    for (int i = SILENT; i < TRANSPORT_SERVER_CONNECTIONS_MAX; i++) {
        if (i < 10 || i >= 10 + NONSENSE) {
            tcp_write(fds[i], good, size);
            tcp_expect(fds[i], "hi", 2);
        }
    }
    for (int i = 0; i < SILENT; i++) {
        more[NONSENSE + i] = tcp_greet(port);
        tcp_write(more[NONSENSE + i], good, size);
        tcp_expect(more[NONSENSE + i], "hi", 2);
        ck_assert(tcp_hung_up(fds[i]));
    }
    server_idle_ms = 0;
    echo_stop(&e);
}
END_TEST

/* Who connects and says nothing is cut after a while, on both sides; who has said the preamble may
 * be silent for as long as it likes. */
START_TEST(silence_ends)
{
    uint16_t stranger;
    int listener = tcp_listen(&stranger);
    struct echo e;
    echo_start(&e, 0);
    uint16_t port = transport_server_port(e.server);
    struct transport *lost = client_open(1, &stranger), *quiet = client_open(1, &port);
    struct transport_event ev;

    client_expect(quiet, TRANSPORT_UP, 0);
    int fd = tcp_connect(port), at = accept(listener, NULL, NULL);
    ck_assert(tcp_hung_up(fd) || tcp_hung_up(fd));
    ck_assert(tcp_hung_up(at) || tcp_hung_up(at));
    ck_assert(!client_event(lost, &ev, 0));
    ck_assert(!client_event(quiet, &ev, 200));
    round_trip(quiet, 0, "still here");
    close(fd);
    close(at);
    close(listener);
    transport_close(lost);
    transport_close(quiet);
    echo_stop(&e);
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

int main(void)
{
    Suite *suite = suite_create("transport");
    TCase *tc = tcase_create("sockets");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, passes_messages_of_all_sizes);
    tcase_add_test(tc, keeps_order_with_many_in_flight);
    tcase_add_test(tc, serves_two_clients);
    tcase_add_test(tc, reconnects_to_a_restarted_server);
    tcase_add_test(tc, a_frozen_node_hinders_nobody);
    tcase_add_test(tc, a_frozen_client_hinders_nobody);
    tcase_add_test(tc, a_full_queue_pauses_and_resumes);
    tcase_add_test(tc, a_client_that_reads_late_gets_its_answers);
    tcase_add_test(tc, survives_garbage);
    tcase_add_test(tc, oversize_kills_its_connection_only);
    tcase_add_test(tc, messages_split_anywhere);
    tcase_add_test(tc, many_messages_in_one_segment);
    tcase_add_test(tc, large_messages_pass);
    tcase_add_test(tc, a_flood_of_connections);
    tcase_add_test(tc, no_room_among_speakers);
    tcase_add_test(tc, room_at_the_cost_of_the_silent);
    tcase_add_test(tc, replies_larger_than_requests);
    tcase_add_test(tc, a_peer_that_never_reads);
    tcase_add_test(tc, a_client_meets_a_stranger);
    tcase_add_test(tc, silence_ends);
    tcase_add_test(tc, reset_makes_a_new_connection);
    tcase_add_test(tc, late_answers_are_dropped);
    tcase_add_test(tc, refuses_bad_addresses);
    tcase_add_test(tc, wait_ends_by_wake_and_time);
    tcase_add_test(tc, links_come_and_go);
    tcase_add_test(tc, round_trip_time);
    TCase *closing = tcase_create("closing");
    tcase_set_timeout(closing, 60);
    tcase_add_test(closing, closes_in_every_state);
    suite_add_tcase(suite, closing);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
