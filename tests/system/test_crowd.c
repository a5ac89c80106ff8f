/* Many clients, and slow ones: all are served, memory stays bounded, and they hurt nobody but
 * themselves (big.h: figures beside plain Redis).
 *
 * BIG=1: 10,000 connect at once instead of 5,000. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "tests/lib/sockets.h"
#include "tests/lib/system.h"
#include "tests/system/big.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

const struct cluster_options system_options = {
    .plain = true,
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .log_json = BIG_LOG,
    .redis_args = (const char *const[]){"--maxclients", "15000", NULL}};

enum {
    IDLE = 10000,
    ARRIVALS = 5000,
    IDLE_MAX_BYTES = 4096,
    UNREAD = 400, /* replies of 1 MiB */
    BLOCKED = 1200,
    HALVES = 1000,
    HALF_BYTES = 100000,
    SUBSCRIBERS = 5000,
    CHANNELS = 100000,
    LEFT = 4000, /* of them, again */
    MESSAGES = 100,
    FLOOD = 100, /* messages of 1 MiB */
    HUGE = 48,   /* MiB of one */
    FILES = 100, /* besides those of a crowd */
};

static void crowd_serve(void)
{
    system_create();
    big_prepare(cluster);
    cluster_start(cluster);
}

static int crowd_count(void)
{
    return (int)sockets_raise_limit((big_full() ? 10000 : 5000) + FILES) - FILES;
}

static bool all_have_gone(void *arg)
{
    (void)arg;
    return cluster_info_number(cluster, "holdfast_clients") <= 1;
}

/* Clients that have done something, and are idle now: what each of them keeps in the proxy. */
START_TEST(idle_clients)
{
    size_t count = sockets_raise_limit(IDLE + 100) - 100;
    int *fds = mem_calloc(count, sizeof *fds), port = cluster_port(cluster, "proxy1");
    char *value = mem_calloc(1, 4097);

    cluster_wait("the others to go", 60000, all_have_gone, NULL);
    memset(value, 'i', 4096);
    size_t before = cluster_rss_bytes(cluster, "proxy1");
    for (size_t i = 0; i < count; i++) {
        fds[i] = big_dial(port);
    }
    for (size_t i = 0; i < count; i++) {
        char request[5000];
        (void)snprintf(request, sizeof request, "SET idle%zu %s\r\nGET idle%zu\r\n", i % 100, value,
                       i % 100);
        big_put_text(fds[i], request);
        if (i % 50 == 49 || i + 1 == count) {
            for (size_t j = i - i % 50; j <= i; j++) {
                big_expect(fds[j], "+OK\r\n$4096\r\n");
                (void)big_digest(fds[j], 4098);
            }
        }
    }
    size_t after = cluster_rss_bytes(cluster, "proxy1");
    size_t each = after > before ? (after - before) / count : 0;
    fprintf(stderr, "%-28s %zu of them, %zu bytes each in the proxy\n", "idle clients", count,
            each);
    ck_assert_uint_le(each, IDLE_MAX_BYTES);
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    free(fds);
    free(value);
}
END_TEST

/* All connect as fast as they can, none waits for another; each is served. */
static uint64_t crowd(int port)
{
    int count = crowd_count();
    int *fds = mem_calloc((size_t)count, sizeof *fds);
    uint64_t served = 0;

    for (int i = 0; i < count; i++) {
        fds[i] = big_dial(port);
        big_put_text(fds[i], "PING\r\nGET witness\r\n");
    }
    for (int i = 0; i < count; i++) {
        big_expect(fds[i], "+PONG\r\n$2\r\nok\r\n");
        (void)close(fds[i]);
        served++;
    }
    free(fds);
    return served;
}

START_TEST(crowd_comes)
{
    char what[64];

    ck_assert_int_ge(crowd_count(), 5000);
    (void)snprintf(what, sizeof what, "%d clients connect", crowd_count());
    big_side_by_side(cluster, what, crowd);
}
END_TEST

/* One of those who come within a second: from its connect on to its PONG. */
struct arrival {
    uint64_t began_ns;
    int fd;
    bool asked;
};

static void arrive(struct arrival *a, int port, int epoll)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = a};

    a->began_ns = clock_now_ns();
    a->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(a->fd, 0);
    ck_assert(connect(a->fd, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, a->fd, &event), 0);
}

/* Whether it has its PONG. */
static bool arrival_goes_on(struct arrival *a)
{
    static const char pong[] = "+PONG\r\n";
    char reply[sizeof pong];
    int error = 0;
    socklen_t size = sizeof error;

    ck_assert_int_eq(getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    ck_assert_msg(error == 0, "%s", strerror(error));
    if (!a->asked) {
        ssize_t sent = send(a->fd, "PING\r\n", 6, MSG_NOSIGNAL);
        a->asked = sent == 6;
        ck_assert(a->asked || errno == EAGAIN || errno == ENOTCONN);
    }
    ssize_t got = a->asked ? recv(a->fd, reply, sizeof reply, 0) : -1;
    if (got >= 0) {
        ck_assert_msg(got == sizeof pong - 1 && memcmp(reply, pong, sizeof pong - 1) == 0, "%.*s",
                      (int)got, reply);
    }
    return got > 0;
}

static uint64_t come_within_a_second(int port)
{
    struct arrival *all = mem_calloc(ARRIVALS, sizeof *all);
    uint32_t *us = mem_calloc(ARRIVALS, sizeof *us);
    struct epoll_event ready[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC), come = 0, served = 0;
    uint64_t began_ns = clock_now_ns(), came_ns = 0;

    while (served < ARRIVALS) {
        uint64_t due = (clock_now_ns() - began_ns) / (CLOCK_NS_PER_S / ARRIVALS) + 1;
        for (; come < ARRIVALS && (uint64_t)come < due; come++) {
            arrive(&all[come], port, epoll);
            came_ns = clock_now_ns();
        }
        int count = epoll_wait(epoll, ready, 64, come < ARRIVALS ? 0 : 60000);
        ck_assert_msg(count > 0 || come < ARRIVALS, "%d are not served", ARRIVALS - served);
        for (int i = 0; i < count; i++) {
            struct arrival *a = ready[i].data.ptr;
            if (arrival_goes_on(a)) {
                us[served++] = (uint32_t)((clock_now_ns() - a->began_ns) / CLOCK_NS_PER_US);
                ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_DEL, a->fd, NULL), 0);
            }
        }
    }
    struct big_figures f = big_figures(us, ARRIVALS);
    fprintf(stderr,
            "%d came within %.2f s, each connected and PONG: p50 %.2f p99 %.2f max %.0f ms\n",
            ARRIVALS, (double)(came_ns - began_ns) / 1e9, f.p50_ms, f.p99_ms, f.max_ms);
    for (int i = 0; i < ARRIVALS; i++) {
        (void)close(all[i].fd);
    }
    (void)close(epoll);
    free(all);
    free(us);
    return (uint64_t)served;
}

/* As many as come within a second are all served, each as it comes. */
START_TEST(many_within_a_second)
{
    ck_assert_uint_ge(sockets_raise_limit(ARRIVALS + FILES), ARRIVALS + FILES);
    big_side_by_side(cluster, "5,000 within a second", come_within_a_second);
}
END_TEST

/* Asks for much and reads nothing for a while, then all of it. */
static uint64_t unread(int port)
{
    char *value = mem_alloc(BIG_MIB);
    int fd = big_dial(port);

    memset(value, 'u', BIG_MIB);
    big_put_text(fd, "*3\r\n$3\r\nSET\r\n$6\r\nunread\r\n$1048576\r\n");
    big_put(fd, value, BIG_MIB);
    big_put_text(fd, "\r\n");
    big_expect(fd, "+OK\r\n");
    for (int i = 0; i < UNREAD; i++) {
        big_put_text(fd, "GET unread\r\n");
    }
    sockets_wait(-1, 0, 1000); /* for as long as others are looked at */
    size_t rss = cluster_rss_bytes(cluster, "proxy1");
    ck_assert_msg(rss < (size_t)400 * BIG_MIB, "%zu MiB", rss / BIG_MIB);
    uint64_t hash = big_digest(fd, (size_t)UNREAD * (BIG_MIB + sizeof "$1048576\r\n\r"));
    (void)close(fd);
    free(value);
    return hash;
}

START_TEST(who_does_not_read)
{
    big_side_by_side(cluster, "400 MiB asked for, unread", unread);
}
END_TEST

/* Each has said half of what it wants, and sleeps; then the other half. */
static uint64_t halves(int port)
{
    char *half = mem_alloc(HALF_BYTES / 2);
    int *fds = mem_calloc(HALVES, sizeof *fds);
    uint64_t stored = 0;

    memset(half, 'h', HALF_BYTES / 2);
    for (int i = 0; i < HALVES; i++) {
        char head[80];
        fds[i] = big_dial(port);
        (void)snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$8\r\nhalf%04d\r\n$%d\r\n", i,
                       HALF_BYTES);
        big_put_text(fds[i], head);
        big_put(fds[i], half, HALF_BYTES / 2);
    }
    sockets_wait(-1, 0, 500); /* for as long as others are looked at */
    size_t rss = cluster_rss_bytes(cluster, "proxy1");
    ck_assert_msg(rss < (size_t)512 * BIG_MIB, "%zu MiB", rss / BIG_MIB);
    for (int i = 0; i < HALVES; i++) {
        big_put(fds[i], half, HALF_BYTES / 2);
        big_put_text(fds[i], "\r\n");
    }
    for (int i = 0; i < HALVES; i++) {
        big_expect(fds[i], "+OK\r\n");
        (void)close(fds[i]);
        stored++;
    }
    free(half);
    free(fds);
    return stored;
}

/* All wait for one key, and each gets an element of it. */
static uint64_t many_block(int port)
{
    int *fds = mem_calloc(BLOCKED, sizeof *fds), fd = big_dial(port);
    uint64_t got = 0;

    for (int i = 0; i < BLOCKED; i++) {
        fds[i] = big_dial(port);
        big_put_text(fds[i], "BLPOP crowd 0\r\n");
    }
    for (int i = 0; i < BLOCKED; i++) {
        big_put_text(fd, "RPUSH crowd x\r\n");
        ck_assert_int_ge(big_header(fd, ':'), 1);
    }
    for (int i = 0; i < BLOCKED; i++) {
        big_expect(fds[i], "*2\r\n$5\r\ncrowd\r\n$1\r\nx\r\n");
        (void)close(fds[i]);
        got++;
    }
    (void)close(fd);
    free(fds);
    return got;
}

START_TEST(who_blocks)
{
    big_side_by_side(cluster, "1,200 block on one key", many_block);
}
END_TEST

/* A line that never ends is not taken in for long. */
static uint64_t endless_line(int port)
{
    char *piece = mem_alloc(BIG_MIB);
    int fd = big_dial(port);
    ssize_t sent = 0;
    size_t total = 0;

    memset(piece, 'x', BIG_MIB);
    while (sent >= 0 && total < (size_t)512 * BIG_MIB) {
        total += (size_t)sent;
        sent = send(fd, piece, BIG_MIB, MSG_NOSIGNAL);
    }
    bool closed = big_is_closed(fd);
    (void)close(fd);
    free(piece);
    return closed && total < (size_t)512 * BIG_MIB;
}

START_TEST(halves_and_lines)
{
    big_side_by_side(cluster, "1,000 half requests", halves);
    big_side_by_side(cluster, "a line without an end", endless_line);
}
END_TEST

/* ---- subscribers ---- */

static uint64_t fan_out(int port)
{
    int *fds = mem_calloc(SUBSCRIBERS, sizeof *fds), fd = big_dial(port);
    uint64_t got = 0;

    for (int i = 0; i < SUBSCRIBERS; i++) {
        fds[i] = big_dial(port);
        big_put_text(fds[i], "SUBSCRIBE news\r\n");
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        big_expect(fds[i], "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    }
    for (int i = 0; i < MESSAGES; i++) {
        big_put_text(fd, "PUBLISH news message\r\n");
        ck_assert_int_eq(big_header(fd, ':'), SUBSCRIBERS);
    }
    for (int i = 0; i < SUBSCRIBERS; i++) {
        for (int j = 0; j < MESSAGES; j++) {
            big_expect(fds[i], "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$7\r\nmessage\r\n");
            got++;
        }
        (void)close(fds[i]);
    }
    (void)close(fd);
    free(fds);
    return got;
}

/* A client with many channels leaves some of them, one by one and all at once. */
static uint64_t leave_one_by_one(int fd)
{
    struct buf b = BUF_INIT;
    size_t size = 0;

    for (int i = 0; i < LEFT; i++) {
        buf_printf(&b, "UNSUBSCRIBE chan%05d\r\n", i);
        size += (size_t)snprintf(NULL, 0, "*3\r\n$11\r\nunsubscribe\r\n$9\r\nchan%05d\r\n:%d\r\n",
                                 i, CHANNELS - 1 - i);
    }
    big_put(fd, buf_head(&b), b.len);
    buf_release(&b);
    return big_digest(fd, size);
}

static uint64_t many_channels(int port)
{
    struct buf b = BUF_INIT;
    size_t size = 0;
    int fd = big_dial(port), other = big_dial(port);

    buf_printf(&b, "*%d\r\n$9\r\nSUBSCRIBE\r\n", CHANNELS + 1);
    for (int i = 0; i < CHANNELS; i++) {
        buf_printf(&b, "$9\r\nchan%05d\r\n", i);
        size += (size_t)snprintf(NULL, 0, "*3\r\n$9\r\nsubscribe\r\n$9\r\nchan%05d\r\n:%d\r\n", i,
                                 i + 1);
    }
    big_put(fd, buf_head(&b), b.len);
    uint64_t hash = big_digest(fd, size);
    for (int i = 0; i < CHANNELS; i += 1000) {
        char line[64];
        (void)snprintf(line, sizeof line, "PUBLISH chan%05d %d\r\n", i, i + 100000);
        big_put_text(other, line);
        ck_assert_int_eq(big_header(other, ':'), 1);
        (void)snprintf(line, sizeof line, "*3\r\n$7\r\nmessage\r\n$9\r\nchan%05d\r\n$6\r\n%d\r\n",
                       i, i + 100000);
        big_expect(fd, line);
    }
    buf_release(&b);
    hash += leave_one_by_one(fd);
    (void)close(fd);
    (void)close(other);
    return hash;
}

/* It is closed, as client-output-buffer-limit pubsub has it; the publisher goes on. */
static uint64_t deaf_subscriber(int port)
{
    char *message = mem_alloc(BIG_MIB);
    int deaf = big_dial(port), fd = big_dial(port);
    uint64_t heard = 0;

    memset(message, 'm', BIG_MIB);
    big_put_text(deaf, "SUBSCRIBE flood\r\n");
    big_expect(deaf, "*3\r\n$9\r\nsubscribe\r\n$5\r\nflood\r\n:1\r\n");
    for (int i = 0; i < FLOOD; i++) {
        big_put_text(fd, "*3\r\n$7\r\nPUBLISH\r\n$5\r\nflood\r\n$1048576\r\n");
        big_put(fd, message, BIG_MIB);
        big_put_text(fd, "\r\n");
        heard += (uint64_t)big_header(fd, ':');
    }
    ck_assert(big_is_closed(deaf));
    (void)close(deaf);
    (void)close(fd);
    free(message);
    return heard > 0 && heard < FLOOD;
}

/* A message over the limit of every subscriber: whom it is for is closed, others don't notice. */
static uint64_t huge_message(int port)
{
    char *piece = mem_alloc(BIG_MIB);
    int greedy = big_dial(port), other = big_dial(port), fd = big_dial(port);
    uint64_t heard;

    memset(piece, 'h', BIG_MIB);
    big_put_text(greedy, "SUBSCRIBE huge\r\n");
    big_expect(greedy, "*3\r\n$9\r\nsubscribe\r\n$4\r\nhuge\r\n:1\r\n");
    big_put_text(other, "SUBSCRIBE news\r\n");
    big_expect(other, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    big_put_text(fd, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nhuge\r\n");
    char head[32];
    (void)snprintf(head, sizeof head, "$%lld\r\n", (long long)HUGE * BIG_MIB);
    big_put_text(fd, head);
    for (int i = 0; i < HUGE; i++) {
        big_put(fd, piece, BIG_MIB);
    }
    big_put_text(fd, "\r\n");
    heard = (uint64_t)big_header(fd, ':');
    ck_assert(big_is_closed(greedy));
    big_put_text(fd, "PUBLISH news message\r\n");
    heard += (uint64_t)big_header(fd, ':');
    big_expect(other, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$7\r\nmessage\r\n");
    (void)close(greedy);
    (void)close(other);
    (void)close(fd);
    free(piece);
    return heard;
}

START_TEST(subscribers)
{
    ck_assert_uint_ge(sockets_raise_limit(SUBSCRIBERS + FILES), SUBSCRIBERS + FILES);
    big_side_by_side(cluster, "5,000 subscribers hear 100", fan_out);
    size_t before = big_peak_bytes(cluster, "proxy1");
    big_side_by_side(cluster, "100,000 channels of one", many_channels);
    size_t channels = big_peak_bytes(cluster, "proxy1");
    ck_assert_msg(channels < before + (size_t)256 * BIG_MIB, "%zu MiB more",
                  (channels - before) / BIG_MIB);
    before = channels;
    big_side_by_side(cluster, "a subscriber is deaf", deaf_subscriber);
    size_t after = big_peak_bytes(cluster, "proxy1");
    ck_assert_msg(after < before + (size_t)160 * BIG_MIB, "%zu MiB more",
                  (after - before) / BIG_MIB);
    big_side_by_side(cluster, "a message of 48 MiB", huge_message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crowd");

    SYSTEM_CASE(suite, "crowd", crowd_serve, 600, idle_clients, crowd_comes, many_within_a_second,
                who_does_not_read, who_blocks, halves_and_lines, subscribers);
    return unit_main(suite);
}
