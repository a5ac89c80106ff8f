#include "tests/system/big.h"

#include "common/clock.h"
#include "common/mem.h"
#include "tests/lib/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { REPLY_TIMEOUT_S = 120, SAMPLES_MAX = 1 << 20, SERVERS = 3 };

static const char *const server_names[SERVERS] = {"plain1", "proxy1", "always1"};
static const char *const server_titles[SERVERS] = {"plain Redis", "Holdfast", "Redis, always"};

bool big_full(void)
{
    return getenv("BIG") != NULL;
}

static int server_count(void)
{
    return big_full() ? SERVERS : SERVERS - 1;
}

void big_prepare(struct cluster *c)
{
    static const char *const always[] = {
        "--appendonly", "yes", "--appendfsync", "always", "--maxclients", "15000", NULL};

    if (big_full()) {
        cluster_add_redis(c, "always1", always);
    }
}

/* ---- connections that wait ---- */

int big_dial(int port)
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

void big_put(int fd, const void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, (const char *)bytes + at, size - at, MSG_NOSIGNAL);
        ck_assert_msg(sent > 0, "send: %s", strerror(errno));
        at += (size_t)sent;
    }
}

void big_put_text(int fd, const char *text)
{
    big_put(fd, text, strlen(text));
}

void big_get(int fd, void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = recv(fd, (char *)bytes + at, size - at, 0);
        ck_assert_msg(got > 0, "recv: %s", got == 0 ? "closed" : strerror(errno));
        at += (size_t)got;
    }
}

void big_expect(int fd, const char *text)
{
    char reply[256] = "";

    ck_assert_uint_lt(strlen(text), sizeof reply);
    big_get(fd, reply, strlen(text));
    ck_assert_str_eq(reply, text);
}

bool big_is_closed(int fd)
{
    char piece[4096];
    ssize_t got;

    do {
        got = recv(fd, piece, sizeof piece, 0);
    } while (got > 0);
    return got == 0 || errno == ECONNRESET;
}

uint64_t big_digest(int fd, size_t size)
{
    XXH3_state_t *state = XXH3_createState();
    char *piece = mem_alloc(BIG_MIB);

    ck_assert(XXH3_64bits_reset(state) == XXH_OK);
    while (size > 0) {
        size_t some = size < BIG_MIB ? size : BIG_MIB;
        big_get(fd, piece, some);
        ck_assert(XXH3_64bits_update(state, piece, some) == XXH_OK);
        size -= some;
    }
    uint64_t hash = XXH3_64bits_digest(state);
    free(piece);
    (void)XXH3_freeState(state);
    return hash;
}

long long big_header(int fd, char type)
{
    char line[128];
    size_t len = 0;

    do {
        ck_assert_uint_lt(len, sizeof line - 1);
        big_get(fd, line + len, 1);
    } while (line[len++] != '\n');
    line[len] = '\0';
    ck_assert_msg(line[0] == type, "%s", line);
    return strtoll(line + 1, NULL, 10);
}

long long big_number(int port, const char *line)
{
    int fd = big_dial(port);

    big_put_text(fd, line);
    long long number = big_header(fd, ':');
    (void)close(fd);
    return number;
}

void big_fill_piece(uint64_t *piece, uint64_t number)
{
    for (uint64_t i = 0; i < BIG_MIB / 8; i++) {
        piece[i] = (number << 32 | i) * 0x9e3779b97f4a7c15ull;
    }
}

void big_put_pieces(int fd, size_t size)
{
    uint64_t *piece = mem_alloc(BIG_MIB);

    for (uint64_t i = 0; size > 0; i++) {
        size_t some = size < BIG_MIB ? size : BIG_MIB;
        big_fill_piece(piece, i);
        big_put(fd, piece, some);
        size -= some;
    }
    free(piece);
}

void big_expect_pieces(int fd, size_t size)
{
    uint64_t *piece = mem_alloc(BIG_MIB), *got = mem_alloc(BIG_MIB);

    for (uint64_t i = 0; size > 0; i++) {
        size_t some = size < BIG_MIB ? size : BIG_MIB;
        big_fill_piece(piece, i);
        big_get(fd, got, some);
        ck_assert(memcmp(piece, got, some) == 0);
        size -= some;
    }
    free(piece);
    free(got);
}

/* ---- the witnesses ---- */

struct witness {
    pid_t pid;
    int stop, told;
};

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct big_figures big_figures(uint32_t *us, size_t count)
{
    qsort(us, count, sizeof *us, by_size);
    return count == 0 ? (struct big_figures){0, 0, 0}
                      : (struct big_figures){us[count / 2] / 1e3, us[count * 99 / 100] / 1e3,
                                             us[count - 1] / 1e3};
}

/* What they ask, over and over: the last is answered by a proxy without its Redis, so that its
 * latency is that of the proxy's own turns. */
static const struct {
    const char *name, *request, *reply;
} witness_kinds[] = {{"GET", "GET witness\r\n", "$2\r\nok\r\n"},
                     {"SET", "SET written ok\r\n", "+OK\r\n"},
                     {"CLIENT", "CLIENT GETNAME\r\n", "$-1\r\n"}};

enum { WITNESSES = sizeof witness_kinds / sizeof *witness_kinds };

static _Noreturn void witness_main(int port, int kind, int stop, int tell)
{
    const char *request = witness_kinds[kind].request, *reply = witness_kinds[kind].reply;
    uint32_t *us = mem_calloc(SAMPLES_MAX, sizeof *us);
    size_t count = 0;
    int fd = big_dial(port);

    for (struct pollfd p = {.fd = stop, .events = POLLIN}; poll(&p, 1, 1) == 0;) {
        uint64_t began_ns = clock_now_ns();
        big_put_text(fd, request);
        big_expect(fd, reply);
        us[count++ % SAMPLES_MAX] = (uint32_t)((clock_now_ns() - began_ns) / 1000);
    }
    struct big_figures f = big_figures(us, count < SAMPLES_MAX ? count : SAMPLES_MAX);
    ck_assert_int_eq(write(tell, &f, sizeof f), sizeof f);
    _exit(0);
}

static struct witness witness_begin(int port, int kind)
{
    struct witness w;
    int stop[2], told[2];

    ck_assert(pipe2(stop, O_CLOEXEC) == 0 && pipe2(told, O_CLOEXEC) == 0);
    w = (struct witness){.stop = stop[1], .told = told[0]};
    w.pid = fork();
    ck_assert_int_ge(w.pid, 0);
    if (w.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(stop[1]);
        witness_main(port, kind, stop[0], told[1]);
    }
    (void)close(stop[0]);
    (void)close(told[1]);
    return w;
}

static struct big_figures witness_end(struct witness *w)
{
    struct big_figures f = {0};

    (void)!write(w->stop, "", 1); /* another witness has the pipe's end, too */
    (void)close(w->stop);
    ck_assert_int_eq(read(w->told, &f, sizeof f), sizeof f);
    (void)close(w->told);
    ck_assert_int_eq(waitpid(w->pid, NULL, 0), w->pid);
    return f;
}

/* Whoever leads at each moment: a proxy whose lease ran out would have to be elected again. */
static long long big_term(struct cluster *c, const char *name)
{
    char value[64];

    if (strncmp(name, "proxy", 5) != 0) {
        return 0;
    }
    ck_assert(cluster_info_of(c, name, "holdfast_term", value, sizeof value));
    return atoll(value);
}

static uint64_t big_watched(struct cluster *c, const char *what, int server,
                            uint64_t (*doing)(int port))
{
    int port = cluster_port(c, server_names[server]), fd = big_dial(port);
    struct witness witnesses[WITNESSES];
    long long term = big_term(c, server_names[server]);

    big_put_text(fd, "SET witness ok\r\n");
    big_expect(fd, "+OK\r\n");
    (void)close(fd);
    for (int i = 0; i < WITNESSES; i++) {
        witnesses[i] = witness_begin(port, i);
    }
    uint64_t began_ns = clock_now_ns();
    uint64_t result = doing(port);
    fprintf(stderr, "%-28s %-13s %6.2f s", server == 0 ? what : "", server_titles[server],
            (double)(clock_now_ns() - began_ns) / 1e9);
    for (int i = 0; i < WITNESSES; i++) {
        struct big_figures f = witness_end(&witnesses[i]);
        fprintf(stderr, ", %s p50 %6.2f p99 %7.2f max %6.0f", witness_kinds[i].name, f.p50_ms,
                f.p99_ms, f.max_ms);
    }
    fprintf(stderr, " ms\n");
    ck_assert_int_eq(big_term(c, server_names[server]), term);
    return result;
}

void big_side_by_side(struct cluster *c, const char *what, uint64_t (*doing)(int port))
{
    uint64_t results[SERVERS];

    for (int i = 0; i < server_count(); i++) {
        results[i] = big_watched(c, what, i, doing);
    }
    for (int i = 1; i < server_count(); i++) {
        ck_assert_uint_eq(results[0], results[i]);
    }
}

void big_everywhere(struct cluster *c, void (*doing)(int port))
{
    for (int i = 0; i < server_count(); i++) {
        doing(cluster_port(c, server_names[i]));
    }
}

size_t big_peak_bytes(struct cluster *c, const char *name)
{
    char path[64], line[128];
    size_t kib = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)cluster_pid(c, name));
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "VmHWM: %zu", &kib);
    }
    (void)fclose(f);
    return kib * 1024;
}
