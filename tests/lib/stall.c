/* A machine that stalls, for tests: a shared object that is loaded in front of the C library
 * (LD_PRELOAD, make check-stalls) and makes the programs of a system test wait now and then, in
 * their disk or anywhere, as those on a busy machine with a slow disk do. HOLDFAST_STALL in the
 * environment says when:
 *
 *     disk=EVERY,LONGEST    every log node's disk, all at the same time (one disk for all of them)
 *     turn=EVERY,LONGEST    every process, all at the same time: the machine stands still
 *     one=EVERY,LONGEST     each process for itself, disk and turns
 *     seed=N                when exactly
 *
 * in milliseconds, separated by spaces: in each stretch of EVERY there is one stall, somewhere in
 * it, of up to LONGEST. Nobody who stalls knows of anybody else: all read the same clock.
 *
 * Where a process waits: in what writes to a disk and makes it durable (a log node, and a test
 * that looks how the disk is), and in the calls in which event loops and tests wait for something.
 * Only these programs do it: holdfast-proxy, holdfast-logsvc, redis-server, test_*. */
/* Headers that define or rename some of these functions themselves are not for here. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum stall_kind { STALL_DISK, STALL_TURN, STALL_ONE, STALL_KINDS };

static struct {
    bool disk, turns; /* whether this program's do */
    uint64_t seed;
    uint64_t every_ms[STALL_KINDS], longest_ms[STALL_KINDS]; /* 0: none */
} stall;

static const char *const stall_names[] = {"disk=", "turn=", "one="};

static bool stall_begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

__attribute__((constructor)) static void stall_open(void)
{
    const char *how = getenv("HOLDFAST_STALL"), *self = program_invocation_short_name;
    bool test = stall_begins(self, "test_");

    if (how == NULL) {
        return;
    }
    for (int kind = 0; kind < STALL_KINDS; kind++) {
        const char *at = strstr(how, stall_names[kind]);
        char *end = NULL;
        if (at != NULL) {
            stall.every_ms[kind] = strtoull(at + strlen(stall_names[kind]), &end, 10);
            stall.longest_ms[kind] = *end == ',' ? strtoull(end + 1, NULL, 10) : 0;
        }
    }
    const char *seed = strstr(how, "seed=");
    stall.seed = seed != NULL ? strtoull(seed + strlen("seed="), NULL, 10) : 0;
    stall.disk = test || strcmp(self, "holdfast-logsvc") == 0;
    stall.turns =
        stall.disk || strcmp(self, "holdfast-proxy") == 0 || strcmp(self, "redis-server") == 0;
    if (test) {
        stall.every_ms[STALL_ONE] = 0; /* who looks on is not what is looked at */
    }
}

/* splitmix64 */
static uint64_t stall_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t stall_now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void stall_sleep(uint64_t ms)
{
    struct timespec ts = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (clock_nanosleep(CLOCK_BOOTTIME, 0, &ts, &ts) == EINTR) {
    }
}

/* How long the stall goes on in which we are; 0: none. */
static uint64_t stall_left_ms(enum stall_kind kind, uint64_t now_ms)
{
    uint64_t every_ms = stall.every_ms[kind], longest_ms = stall.longest_ms[kind];

    if (every_ms <= longest_ms || longest_ms == 0) {
        return 0;
    }
    uint64_t who = kind == STALL_ONE ? (uint64_t)getpid() : 0;
    uint64_t stretch = now_ms / every_ms;
    uint64_t dice =
        stall_mix(stall.seed ^ stall_mix((uint64_t)kind ^ stall_mix(who ^ stretch << 20)));
    uint64_t long_ms = longest_ms - dice % (longest_ms / 2 + 1);
    uint64_t start_ms = stretch * every_ms + (dice >> 32) % (every_ms - long_ms);

    return now_ms >= start_ms && now_ms < start_ms + long_ms ? start_ms + long_ms - now_ms : 0;
}

static void stall_at(bool disk)
{
    uint64_t now_ms, left_ms, one_ms;

    if (!(disk ? stall.disk : stall.turns)) {
        return;
    }
    int error = errno;
    now_ms = stall_now_ms();
    left_ms = stall_left_ms(STALL_TURN, now_ms);
    one_ms = stall_left_ms(STALL_ONE, now_ms);
    left_ms = one_ms > left_ms ? one_ms : left_ms;
    if (disk) {
        uint64_t disk_ms = stall_left_ms(STALL_DISK, now_ms);
        left_ms = disk_ms > left_ms ? disk_ms : left_ms;
    }
    if (left_ms > 0) {
        stall_sleep(left_ms);
    }
    errno = error;
}

/* In front of the C library's own function of that name, or behind it. */
#define STALL_DISK_CALL(type, name, params, ...)                                                   \
    type name params;                                                                              \
    type name params                                                                               \
    {                                                                                              \
        static type(*real) params;                                                                 \
        if (real == NULL) {                                                                        \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        }                                                                                          \
        stall_at(true);                                                                            \
        return real(__VA_ARGS__);                                                                  \
    }
#define STALL_TURN_CALL(type, name, params, ...)                                                   \
    type name params;                                                                              \
    type name params                                                                               \
    {                                                                                              \
        static type(*real) params;                                                                 \
        if (real == NULL) {                                                                        \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                             \
        }                                                                                          \
        type result = real(__VA_ARGS__);                                                           \
        stall_at(false);                                                                           \
        return result;                                                                             \
    }

STALL_DISK_CALL(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), fd, bytes,
                size, at)
STALL_DISK_CALL(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), fd, bytes,
                size, at)
STALL_DISK_CALL(int, fdatasync, (int fd), fd)
STALL_DISK_CALL(int, fsync, (int fd), fd)
STALL_DISK_CALL(int, fallocate, (int fd, int mode, off_t at, off_t size), fd, mode, at, size)
STALL_DISK_CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t size), fd, mode, at, size)

STALL_TURN_CALL(int, epoll_wait, (int fd, struct epoll_event *events, int max, int timeout_ms), fd,
                events, max, timeout_ms)
STALL_TURN_CALL(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms), fds, count,
                timeout_ms)
STALL_TURN_CALL(int, nanosleep, (const struct timespec *wanted, struct timespec *left), wanted,
                left)
STALL_TURN_CALL(int, usleep, (useconds_t us), us)
