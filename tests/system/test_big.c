/* Big and slow things: what they cause is right, to the byte, takes bounded memory, and hurts only
 * who causes it. While each goes on, a witness asks for a small key; how long that takes is printed
 * beside what it takes with plain Redis (figures, not judged: machines differ).
 *
 * BIG=1: a value of 500 MiB instead of 64. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "tests/lib/sockets.h"
#include "tests/lib/system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

const struct cluster_options system_options = {.plain = true,
                                               .log_json = "\"log_level\": \"info\""};

enum {
    MIB = 1 << 20,
    REPLY_TIMEOUT_S = 120,
    KEYS = 1000000,
    ELEMENTS = 1000000,
    PIPELINE = 100000,
    CROWD = 5000,
    IDLE = 10000,
    IDLE_MAX_BYTES = 4096,
    UNREAD = 400, /* replies of 1 MiB */
    SAMPLES_MAX = 1 << 20,
};

/* ---- connections that wait ---- */

static int dial(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = REPLY_TIMEOUT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    return fd;
}

static void put(int fd, const void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, (const char *)bytes + at, size - at, MSG_NOSIGNAL);
        ck_assert_msg(sent > 0, "send: %s", strerror(errno));
        at += (size_t)sent;
    }
}

static void put_text(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

static void get(int fd, void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = recv(fd, (char *)bytes + at, size - at, 0);
        ck_assert_msg(got > 0, "recv: %s", got == 0 ? "closed" : strerror(errno));
        at += (size_t)got;
    }
}

static void expect(int fd, const char *text)
{
    char reply[256] = "";

    ck_assert_uint_lt(strlen(text), sizeof reply);
    get(fd, reply, strlen(text));
    ck_assert_str_eq(reply, text);
}

/* Reads so many bytes and returns their hash. */
static uint64_t digest(int fd, size_t size)
{
    XXH3_state_t *state = XXH3_createState();
    char *piece = mem_alloc(MIB);

    ck_assert(XXH3_64bits_reset(state) == XXH_OK);
    while (size > 0) {
        size_t some = size < MIB ? size : MIB;
        get(fd, piece, some);
        ck_assert(XXH3_64bits_update(state, piece, some) == XXH_OK);
        size -= some;
    }
    uint64_t hash = XXH3_64bits_digest(state);
    free(piece);
    (void)XXH3_freeState(state);
    return hash;
}

/* The number in a line like "*12" or "$12". */
static long long header(int fd, char type)
{
    char line[32];
    size_t len = 0;

    do {
        ck_assert_uint_lt(len, sizeof line - 1);
        get(fd, line + len, 1);
    } while (line[len++] != '\n');
    line[len] = '\0';
    ck_assert_msg(line[0] == type, "%s", line);
    return strtoll(line + 1, NULL, 10);
}

/* ---- the witness ---- */

struct witness {
    pid_t pid;
    int stop, told;
};

struct figures {
    double p50_ms, p99_ms, max_ms;
};

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void witness_main(int port, int stop, int tell)
{
    static const char request[] = "*2\r\n$3\r\nGET\r\n$7\r\nwitness\r\n";
    uint32_t *us = mem_calloc(SAMPLES_MAX, sizeof *us);
    size_t count = 0;
    int fd = dial(port);

    for (struct pollfd p = {.fd = stop, .events = POLLIN}; poll(&p, 1, 1) == 0;) {
        uint64_t began_ns = clock_now_ns();
        put(fd, request, sizeof request - 1);
        expect(fd, "$2\r\nok\r\n");
        us[count++ % SAMPLES_MAX] = (uint32_t)((clock_now_ns() - began_ns) / 1000);
    }
    count = count < SAMPLES_MAX ? count : SAMPLES_MAX;
    qsort(us, count, sizeof *us, by_size);
    struct figures f = {0};
    if (count > 0) {
        f = (struct figures){us[count / 2] / 1e3, us[count * 99 / 100] / 1e3, us[count - 1] / 1e3};
    }
    ck_assert_int_eq(write(tell, &f, sizeof f), sizeof f);
    _exit(0);
}

static struct witness witness_begin(int port)
{
    struct witness w;
    int stop[2], told[2], fd = dial(port);

    put_text(fd, "SET witness ok\r\n");
    expect(fd, "+OK\r\n");
    (void)close(fd);
    ck_assert(pipe(stop) == 0 && pipe(told) == 0);
    w = (struct witness){.stop = stop[1], .told = told[0]};
    w.pid = fork();
    ck_assert_int_ge(w.pid, 0);
    if (w.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(stop[1]);
        witness_main(port, stop[0], told[1]);
    }
    (void)close(stop[0]);
    (void)close(told[1]);
    return w;
}

static struct figures witness_end(struct witness *w)
{
    struct figures f = {0};

    (void)close(w->stop);
    ck_assert_int_eq(read(w->told, &f, sizeof f), sizeof f);
    (void)close(w->told);
    ck_assert_int_eq(waitpid(w->pid, NULL, 0), w->pid);
    return f;
}

/* Does it with plain Redis and through the proxy; what it returns must be the same. */
static void side_by_side(const char *what, uint64_t (*doing)(int port))
{
    static const char *const names[] = {"plain1", "proxy1"};
    struct figures figures[2];
    uint64_t results[2];
    double s[2];

    for (int i = 0; i < 2; i++) {
        int port = cluster_port(cluster, names[i]);
        struct witness w = witness_begin(port);
        uint64_t began_ns = clock_now_ns();
        results[i] = doing(port);
        s[i] = (double)(clock_now_ns() - began_ns) / 1e9;
        figures[i] = witness_end(&w);
    }
    fprintf(stderr,
            "%-28s plain Redis %6.2f s, others' GET p50 %7.2f p99 %7.2f max %8.2f ms\n"
            "%-28s Holdfast    %6.2f s, others' GET p50 %7.2f p99 %7.2f max %8.2f ms\n",
            what, s[0], figures[0].p50_ms, figures[0].p99_ms, figures[0].max_ms, "", s[1],
            figures[1].p50_ms, figures[1].p99_ms, figures[1].max_ms);
    ck_assert_uint_eq(results[0], results[1]);
}

/* ---- the things ---- */

static size_t value_bytes(void)
{
    return (size_t)(getenv("BIG") != NULL ? 500 : 64) * MIB;
}

/* What its pieces hold shows any byte that is lost or out of place. */
static void fill_piece(uint64_t *piece, uint64_t number)
{
    for (uint64_t i = 0; i < MIB / 8; i++) {
        piece[i] = (number << 32 | i) * 0x9e3779b97f4a7c15ull;
    }
}

static uint64_t set_value(int port)
{
    size_t size = value_bytes();
    uint64_t *piece = mem_alloc(MIB);
    char head[64];
    int fd = dial(port);

    (void)snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$5\r\nvalue\r\n$%zu\r\n", size);
    put_text(fd, head);
    for (uint64_t i = 0; i < size / MIB; i++) {
        fill_piece(piece, i);
        put(fd, piece, MIB);
    }
    put_text(fd, "\r\nSTRLEN value\r\n");
    expect(fd, "+OK\r\n");
    uint64_t len = (uint64_t)header(fd, ':');
    (void)close(fd);
    free(piece);
    return len;
}

static uint64_t get_value(int port)
{
    uint64_t *piece = mem_alloc(MIB), *got = mem_alloc(MIB);
    int fd = dial(port);

    put_text(fd, "GET value\r\n");
    long long size = header(fd, '$');
    ck_assert_int_eq(size, (long long)value_bytes());
    for (uint64_t i = 0; i < value_bytes() / MIB; i++) {
        fill_piece(piece, i);
        get(fd, got, MIB);
        ck_assert(memcmp(piece, got, MIB) == 0);
    }
    expect(fd, "\r\n");
    put_text(fd, "PING\r\n");
    expect(fd, "+PONG\r\n");
    (void)close(fd);
    free(piece);
    free(got);
    return (uint64_t)size;
}

static size_t peak_bytes(const char *name)
{
    char path[64], line[128];
    size_t kib = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)cluster_pid(cluster, name));
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "VmHWM: %zu", &kib);
    }
    (void)fclose(f);
    return kib * 1024;
}

/* Large values, there and back, over and over: the proxy holds one at most once, besides what of
 * the stream is not committed. */
START_TEST(large_value)
{
    char what[64];

    (void)snprintf(what, sizeof what, "SET of %zu MiB", value_bytes() / MIB);
    side_by_side(what, set_value);
    side_by_side("GET of it", get_value);
    side_by_side("overwriting it", set_value);
    side_by_side("GET again", get_value);
    size_t peak = peak_bytes("proxy1");
    fprintf(stderr, "%-28s at most %zu MiB in the proxy\n", "memory", peak / MIB);
    ck_assert_uint_lt(peak, value_bytes() + (size_t)320 * MIB);
}
END_TEST

static void fill_keys(int port)
{
    struct buf b = BUF_INIT;
    int fd = dial(port);

    for (int i = 0; i < KEYS; i += 1000) {
        buf_clear(&b);
        buf_append_str(&b, "*2001\r\n$4\r\nMSET\r\n");
        for (int j = i; j < i + 1000; j++) {
            buf_printf(&b, "$10\r\nkey%07d\r\n$1\r\nv\r\n", j);
        }
        put(fd, buf_head(&b), b.len);
        expect(fd, "+OK\r\n");
    }
    buf_release(&b);
    (void)close(fd);
}

/* Their order differs from one Redis to the next. */
static uint64_t all_keys(int port)
{
    int fd = dial(port);

    put_text(fd, "KEYS key*\r\n");
    long long count = header(fd, '*');
    (void)digest(fd, (size_t)count * sizeof "$10\r\nkey0000000\r");
    put_text(fd, "PING\r\n");
    expect(fd, "+PONG\r\n");
    (void)close(fd);
    return (uint64_t)count;
}

START_TEST(many_keys)
{
    fill_keys(cluster_port(cluster, "plain1"));
    fill_keys(cluster_port(cluster, "proxy1"));
    side_by_side("KEYS, a million", all_keys);
    side_by_side("once more", all_keys);
}
END_TEST

static void fill_list(int port)
{
    struct buf b = BUF_INIT;
    int fd = dial(port);

    for (int i = 0; i < ELEMENTS; i += 1000) {
        buf_clear(&b);
        buf_append_str(&b, "*1002\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n");
        for (int j = i; j < i + 1000; j++) {
            buf_printf(&b, "$12\r\nelem%08d\r\n", j);
        }
        put(fd, buf_head(&b), b.len);
        ck_assert_int_eq(header(fd, ':'), i + 1000);
    }
    buf_release(&b);
    (void)close(fd);
}

static uint64_t whole_list(int port)
{
    int fd = dial(port);

    put_text(fd, "LRANGE list 0 -1\r\n");
    ck_assert_int_eq(header(fd, '*'), ELEMENTS);
    uint64_t hash = digest(fd, (size_t)ELEMENTS * (sizeof "$12\r\nelem00000000\r"));
    put_text(fd, "PING\r\n");
    expect(fd, "+PONG\r\n");
    (void)close(fd);
    return hash;
}

START_TEST(long_list)
{
    fill_list(cluster_port(cluster, "plain1"));
    fill_list(cluster_port(cluster, "proxy1"));
    side_by_side("LRANGE, a million", whole_list);
    side_by_side("once more", whole_list);
}
END_TEST

/* One process says it all, another one reads: nothing is lost, whoever waits for whom. */
static uint64_t long_pipeline(int port)
{
    struct buf b = BUF_INIT;
    uint64_t sum = 0;
    int fd = dial(port);

    put_text(fd, "SET counter 0\r\n");
    expect(fd, "+OK\r\n");
    for (int i = 0; i < PIPELINE; i++) {
        buf_append_str(&b, i % 2 == 0 ? "INCR counter\r\n" : "STRLEN counter\r\n");
    }
    pid_t sayer = fork();
    ck_assert_int_ge(sayer, 0);
    if (sayer == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        put(fd, buf_head(&b), b.len);
        _exit(0);
    }
    size_t size = 0;
    for (long long i = 1; i <= PIPELINE / 2; i++) {
        char text[64];
        size += (size_t)snprintf(text, sizeof text, ":%lld\r\n", i);
        size += (size_t)snprintf(text, sizeof text, ":%zu\r\n",
                                 (size_t)snprintf(text, sizeof text, "%lld", i));
    }
    sum = digest(fd, size);
    ck_assert_int_eq(waitpid(sayer, NULL, 0), sayer);
    buf_release(&b);
    (void)close(fd);
    return sum;
}

START_TEST(pipeline)
{
    side_by_side("100,000 commands at once", long_pipeline);
}
END_TEST

/* Asks for much and reads nothing for a while, then all of it. */
static uint64_t unread(int port)
{
    char *value = mem_alloc(MIB);
    int fd = dial(port);

    memset(value, 'u', MIB);
    put_text(fd, "*3\r\n$3\r\nSET\r\n$6\r\nunread\r\n$1048576\r\n");
    put(fd, value, MIB);
    put_text(fd, "\r\n");
    expect(fd, "+OK\r\n");
    for (int i = 0; i < UNREAD; i++) {
        put_text(fd, "GET unread\r\n");
    }
    sockets_wait(-1, 0, 1000); /* for as long as others are looked at */
    size_t rss = cluster_rss_bytes(cluster, "proxy1");
    ck_assert_msg(rss < (size_t)400 * MIB, "%zu MiB", rss / MIB);
    uint64_t hash = digest(fd, (size_t)UNREAD * (MIB + sizeof "$1048576\r\n\r"));
    (void)close(fd);
    free(value);
    return hash;
}

START_TEST(who_does_not_read)
{
    side_by_side("400 MiB asked for, unread", unread);
}
END_TEST

/* All connect as fast as they can, none waits for another; each is served. */
static uint64_t crowd(int port)
{
    int *fds = mem_calloc(CROWD, sizeof *fds);
    uint64_t served = 0;

    for (int i = 0; i < CROWD; i++) {
        fds[i] = dial(port);
        put_text(fds[i], "PING\r\n");
    }
    for (int i = 0; i < CROWD; i++) {
        expect(fds[i], "+PONG\r\n");
        (void)close(fds[i]);
        served++;
    }
    free(fds);
    return served;
}

START_TEST(five_thousand_come)
{
    ck_assert_uint_ge(sockets_raise_limit(CROWD + 100), CROWD + 100);
    side_by_side("5,000 clients connect", crowd);
}
END_TEST

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
        fds[i] = dial(port);
    }
    for (size_t i = 0; i < count; i++) {
        char request[5000];
        (void)snprintf(request, sizeof request, "SET idle%zu %s\r\nGET idle%zu\r\n", i % 100, value,
                       i % 100);
        put_text(fds[i], request);
        if (i % 50 == 49 || i + 1 == count) {
            for (size_t j = i - i % 50; j <= i; j++) {
                expect(fds[j], "+OK\r\n$4096\r\n");
                (void)digest(fds[j], 4098);
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

int main(void)
{
    Suite *suite = suite_create("big");
    TCase *tc = system_case(suite, "big", system_serve, 900);

    tcase_add_test(tc, idle_clients);
    tcase_add_test(tc, five_thousand_come);
    tcase_add_test(tc, pipeline);
    tcase_add_test(tc, who_does_not_read);
    tcase_add_test(tc, long_list);
    tcase_add_test(tc, many_keys);
    tcase_add_test(tc, large_value);
    return unit_main(suite);
}
