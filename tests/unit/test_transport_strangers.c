/* The transport and peers that are none of ours, over plain sockets: whatever they send, leave out
 * or never read, they harm nobody else; and messages of ours mean the same however TCP cuts them.
 */
#include "tests/lib/transport_case.h"

#include "common/le.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

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

/* A connection that is reset has ended for whoever looks at it later, too, when nng has long given
 * it up. */
START_TEST(a_reset_is_noticed)
{
    struct linger hard = {1, 0};
    struct transport_server *s = server_open(0);
    uint64_t connection;

    for (int i = 0; i < 5; i++) {
        int fd = tcp_greet(transport_server_port(s));
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
        usleep(20000);
        uint64_t until_ns = clock_now_ns() + PATIENCE_MS * CLOCK_NS_PER_MS;
        while (!transport_server_closed(s, &connection)) {
            ck_assert(clock_now_ns() < until_ns);
            ck_assert(!transport_server_wait(s, 100));
        }
    }
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

/* The same of a client, which has nothing to tell meanwhile. */
static bool client_hung_up(struct transport *t, int fd)
{
    uint64_t until_ns = clock_now_ns() + PATIENCE_MS * CLOCK_NS_PER_MS;
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    struct transport_event ev;

    while (clock_now_ns() < until_ns && poll(&p, 1, 0) == 0) {
        ck_assert(!client_event(t, &ev, 10));
    }
    return tcp_hung_up(fd);
}

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
        ck_assert(client_hung_up(t, fd));
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

/* Who connects and says nothing is cut after a while, on both sides; who has said the preamble may
 * be silent for as long as it likes, and who has said something that the server had no time to hear
 * is not cut for that. */
START_TEST(silence_ends)
{
    uint16_t stranger;
    int listener = tcp_listen(&stranger);
    struct transport_server *busy = server_open(0);
    struct transport_request request;
    uint8_t bytes[16];
    struct echo e;
    echo_start(&e, 0);
    int early = tcp_greet(transport_server_port(busy));
    tcp_write(early, bytes, frame_put(bytes, "hi", 2));
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
    ck_assert(transport_server_wait(busy, PATIENCE_MS) && transport_server_next(busy, &request));
    ck_assert(request.size == 2 && memcmp(request.bytes, "hi", 2) == 0);
    transport_server_release(busy, &request);
    transport_server_close(busy);
    close(early);
    close(fd);
    close(at);
    close(listener);
    transport_close(lost);
    transport_close(quiet);
    echo_stop(&e);
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR(
        "transport_strangers", NULL, NULL, 60, survives_garbage, oversize_kills_its_connection_only,
        a_reset_is_noticed, messages_split_anywhere, many_messages_in_one_segment,
        a_flood_of_connections, no_room_among_speakers, room_at_the_cost_of_the_silent,
        a_peer_that_never_reads, a_client_meets_a_stranger, silence_ends);
}
