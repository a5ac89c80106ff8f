/* For tests that run holdfast-ctl on the cluster of tests/lib/system.h: the tool, in the foreground
 * and beside the test, and what they write and compare. */
#ifndef TESTS_SYSTEM_CTL_RUN_H
#define TESTS_SYSTEM_CTL_RUN_H

#include "common/clock.h"
#include "tests/lib/system.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 20, RUN_MS = 120000, WAIT_MS = 60000, CTL_ARGS_MAX = 24 };

/* For Redis: digests may be asked for, and nothing is in the stream that the test has not written
 * (pings), so that the log's end stays where it is. */
static const char *const ctl_redis_args[] = {"--enable-debug-command",
                                             "yes",
                                             "--enable-protected-configs",
                                             "yes",
                                             "--repl-ping-replica-period",
                                             "3600",
                                             NULL};

/* ---- running the tool ---- */

static char output[OUTPUT_MAX];

/* argv of holdfast-ctl, by the configuration of the cluster's proxy. */
static inline void ctl_argv(const char *const *args, const char *argv[CTL_ARGS_MAX])
{
    static char program[500], config[600];
    size_t n = 0;

    cluster_program("holdfast-ctl", program, sizeof program);
    snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    argv[n++] = program;
    argv[n++] = "--config";
    argv[n++] = config;
    for (; *args != NULL; args++) {
        ck_assert_uint_lt(n, CTL_ARGS_MAX - 1);
        argv[n++] = *args;
    }
    argv[n] = NULL;
}

/* holdfast-ctl of the cluster's proxy; its exit status, what it said in `output`. */
static inline int ctl(const char *const *args)
{
    const char *argv[CTL_ARGS_MAX];

    ctl_argv(args, argv);
    return cluster_run(argv, RUN_MS, output, sizeof output);
}
#define CTL(...) ctl((const char *const[]){__VA_ARGS__, NULL})

#define EXPECT_CTL(status, ...)                                                                    \
    do {                                                                                           \
        int status_ = CTL(__VA_ARGS__);                                                            \
        ck_assert_msg(status_ == (status), "status %d: %s", status_, output);                      \
    } while (0)

static inline void expect_said(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "\"%s\" is not in: %s", text, output);
}

static inline uint64_t committed(void)
{
    cluster_wait_committed(cluster);
    return (uint64_t)cluster_info_number(cluster, "holdfast_offset_committed");
}

static inline const char *text_of(uint64_t n)
{
    static char texts[8][24];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof texts[0], "%" PRIu64, n);
    return text;
}

/* Runs holdfast-ctl beside the test; what it says goes to these files, -1: where the test's own
 * output does. */
static inline pid_t ctl_start(int out, int err, const char *const *args)
{
    const char *argv[CTL_ARGS_MAX];

    ctl_argv(args, argv);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if ((out < 0 || dup2(out, STDOUT_FILENO) >= 0) &&
            (err < 0 || dup2(err, STDERR_FILENO) >= 0)) {
            execv(argv[0], (char *const *)(uintptr_t)argv);
        }
        _exit(127);
    }
    return pid;
}
#define CTL_START_INTO(out, err, ...) ctl_start(out, err, (const char *const[]){__VA_ARGS__, NULL})
#define CTL_START(...)                CTL_START_INTO(-1, -1, __VA_ARGS__)

/* Its exit status; 128 + the signal. */
static inline int ctl_wait(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Ends it, at that moment of its life, if it is not over yet. */
static inline void ctl_kill_after(pid_t pid, long after_us)
{
    (void)nanosleep(
        &(struct timespec){.tv_sec = after_us / 1000000, .tv_nsec = after_us % 1000000 * 1000},
        NULL);
    (void)kill(pid, SIGKILL);
}

/* ---- data ---- */

/* A moment at which nothing is under way, a clock's tick away from the writes around it. */
static inline uint64_t quiet_moment(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    uint64_t now_ms = clock_wall_ms();
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    return now_ms;
}

static inline void write_many(unsigned from, unsigned count)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");

    for (unsigned i = from; i < from + count; i++) {
        cluster_command(redis, "SELECT %u", i % 3);
        cluster_command(redis, "SET key:%u %u", i % 500, i);
        cluster_command(redis, "LPUSH list:%u %u", i % 20, i);
    }
    redisFree(redis);
}

static inline uint64_t file_size(const char *path)
{
    struct stat st;
    ck_assert_msg(stat(path, &st) == 0, "%s", path);
    return (uint64_t)st.st_size;
}

static inline void flip(const char *path, uint64_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static inline void write_values(const char *name, int count)
{
    static char value[20000];
    redisContext *redis = cluster_connect(cluster, "proxy1");
    unsigned queued = 0;

    memset(value, name[0], sizeof value);
    for (int i = 0; i < count; i++) {
        cluster_queue(redis, &queued, "SET %s:%d %b", name, i, value, sizeof value);
    }
    cluster_answers(redis, &queued);
    redisFree(redis);
}

#endif
