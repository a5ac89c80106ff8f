#include "tests/lib/redis_server.h"

#include "common/mem.h"
#include "tests/lib/cluster.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 48, START_MS = 10000 };

struct redis_server {
    int port;
    pid_t pid;
    char dir[64], port_text[8];
    const char *argv[ARGS_MAX + 1];
    redisContext *control;
};

static char root[40]; /* made before the tests are forked off, so that it is removed in any case */

static void redis_kill(struct redis_server *s)
{
    if (s->control != NULL) {
        redisFree(s->control);
        s->control = NULL;
    }
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void redis_servers_setup(void)
{
    snprintf(root, sizeof root, "/tmp/holdfast-redis-XXXXXX");
    ck_assert_msg(mkdtemp(root) != NULL, "mkdtemp: %s", strerror(errno));
}

void redis_servers_teardown(void)
{
    (void)nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS); /* what stays is only untidy */
}

static bool answers(void *arg)
{
    struct redis_server *s = arg;
    struct timeval timeout = {20, 0};

    if (s->control == NULL) {
        s->control = redisConnectWithTimeout("127.0.0.1", s->port, timeout);
        if (s->control == NULL || s->control->err != 0) {
            redisFree(s->control);
            s->control = NULL;
            return false;
        }
        redisSetTimeout(s->control, timeout);
    }
    redisReply *reply = redisCommand(s->control, "PING");
    bool alive = reply != NULL &&
                 (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "NOAUTH", 6) == 0);
    freeReplyObject(reply);
    return alive;
}

static void redis_spawn(struct redis_server *s)
{
    pid_t parent = getpid();

    s->pid = fork();
    ck_assert_int_ge(s->pid, 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            execvp(s->argv[0], (char *const *)s->argv);
        }
        _exit(127);
    }
    cluster_wait("redis-server to answer", START_MS, answers, s);
}

struct redis_server *redis_server_start(const char *const args[])
{
    struct redis_server *s = mem_calloc(1, sizeof *s);
    const char *const own[] = {"redis-server", "--port", s->port_text, "--bind",
                               "127.0.0.1",    "--dir",  s->dir,       "--logfile",
                               "redis.log",    "--save", "",           "--enable-debug-command",
                               "yes"};
    size_t count = 0;

    s->port = cluster_free_port();
    /* One that is gone may have had this port, and still have its folder. */
    snprintf(s->dir, sizeof s->dir, "%s/%d-XXXXXX", root, s->port);
    ck_assert_msg(mkdtemp(s->dir) != NULL, "mkdtemp %s: %s", s->dir, strerror(errno));
    snprintf(s->port_text, sizeof s->port_text, "%d", s->port);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        s->argv[count++] = own[i];
    }
    for (size_t i = 0; args != NULL && args[i] != NULL; i++) {
        ck_assert_uint_lt(count, ARGS_MAX);
        s->argv[count++] = args[i];
    }
    redis_spawn(s);
    return s;
}

void redis_server_stop(struct redis_server *s)
{
    if (s == NULL) {
        return;
    }
    redis_kill(s);
    free(s);
}

void redis_server_restart(struct redis_server *s)
{
    redis_kill(s);
    redis_spawn(s);
}

int redis_server_port(const struct redis_server *s)
{
    return s->port;
}

pid_t redis_server_pid(const struct redis_server *s)
{
    return s->pid;
}

redisContext *redis_server_connect(const struct redis_server *s)
{
    struct timeval timeout = {20, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", s->port, timeout);

    ck_assert_msg(c != NULL && c->err == 0, "connect to redis-server: %s",
                  c != NULL ? c->errstr : "out of memory");
    redisSetTimeout(c, timeout);
    return c;
}

static redisReply *ask(struct redis_server *s, const char *format, va_list args)
{
    redisReply *reply = redisvCommand(s->control, format, args);

    ck_assert_msg(reply != NULL, "%s: %s", format, s->control->errstr);
    ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s: %s", format, reply->str);
    return reply;
}

redisReply *redis_server_ask(struct redis_server *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    redisReply *reply = ask(s, format, args);
    va_end(args);
    return reply;
}

void redis_server_do(struct redis_server *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    freeReplyObject(ask(s, format, args));
    va_end(args);
}
