/* Redis of other versions than the log has seen: one that is older than what has written the log
 * stops, and one that is older than 7.0 is refused, each by name. A log that a newer Redis has
 * written is made by marking an ordinary one; a Redis 6.2 is played by a few lines of ours. And one
 * that has not all the databases that the others have. */
#include "logsvc/disk.h"
#include "logsvc/meta.h"
#include "logsvc/slots.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

const struct cluster_options system_options = {.pairs = 3, .lease_ms = CLUSTER_LONG_LEASE_MS};

enum { NODES = 3, PAIRS = 3, BACK_MS = 60000 };

static const char *nth(const char *kind, unsigned i)
{
    static char names[4][16];
    static unsigned next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof names[0], "%s%u", kind, i);
    return name;
}

/* ---- a newer engine ---- */

/* What a log node remembers says from now on that a Redis of that version has led. */
static void mark(const char *node, uint32_t engine)
{
    struct slots slots = {0};
    struct meta meta;
    struct buf bytes = BUF_INIT;
    char folder[600];

    snprintf(folder, sizeof folder, "%s/data/log-1", cluster_dir(cluster, node));
    ck_assert_int_eq(slots_open(&slots, disk_posix(), folder), ERR_OK);
    ck_assert_int_eq(meta_decode(buf_head(&slots.body), slots.body.len, &meta), ERR_OK);
    ck_assert_uint_ge(meta.engine, WIRE_ENGINE(7, 0, 15));
    meta.engine = engine;
    meta_encode(&meta, &bytes);
    ck_assert_int_eq(slots_save(&slots, buf_head(&bytes), bytes.len), ERR_OK);
    slots_close(&slots);
    buf_release(&bytes);
}

static void restart_with_mark(uint32_t engine)
{
    for (unsigned i = 1; i <= PAIRS; i++) {
        (void)cluster_stop(cluster, nth("proxy", i));
    }
    for (unsigned i = 1; i <= NODES; i++) {
        cluster_kill(cluster, nth("log", i));
        mark(nth("log", i), engine);
        cluster_spawn(cluster, nth("log", i));
    }
    for (unsigned i = 1; i <= PAIRS; i++) {
        cluster_spawn(cluster, nth("proxy", i));
    }
}

static void set(const char *key)
{
    char reply[64];

    cluster_ask(cluster, cluster_wait_leader(cluster), reply, sizeof reply,
                (const char *[]){"SET", key, "v", NULL});
    ck_assert_str_eq(reply, "OK");
}

/* A newer patch of the same version is no matter; a newer version stops everybody who is older:
 * nobody follows and nobody leads, each says why, and clients are told that nobody is there. */
START_TEST(a_newer_redis_has_written_the_log)
{
    struct buf reply = BUF_INIT;
    struct wire w;

    set("before");
    restart_with_mark(WIRE_ENGINE(7, 0, 99));
    set("patched");
    cluster_wait_followers(cluster);
    restart_with_mark(WIRE_ENGINE(7, 2, 0));
    for (unsigned i = 1; i <= PAIRS; i++) {
        cluster_wait_log(cluster, nth("proxy", i),
                         "Redis 7.0.15 is older than the Redis 7.2 that has written this log");
    }
    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_command(&w, "GET", "before");
    ck_assert_int_eq(wire_reply(&w, &reply, BACK_MS), ERR_OK);
    ck_assert_int_eq(*(const char *)buf_head(&reply), '-');
    wire_close(&w);
    buf_release(&reply);
    ck_assert_str_eq(cluster_leader(cluster), "");
    for (unsigned i = 1; i <= PAIRS; i++) {
        char state[32], synced[32] = "";
        ck_assert(cluster_info_of(cluster, nth("proxy", i), "holdfast_state", state, sizeof state));
        ck_assert_str_eq(state, "follow");
        ck_assert(!cluster_info_of(cluster, nth("proxy", i), "holdfast_follower_state", synced,
                                   sizeof synced));
    }
}
END_TEST

/* ---- fewer databases ---- */

static bool redis_has_ended(void *arg)
{
    (void)arg;
    return !cluster_running(cluster, "redis1");
}

/* One that follows and can't do what the log says ends, and never goes on with other data; the
 * others do. */
START_TEST(a_redis_with_fewer_databases)
{
    struct wire w;

    (void)cluster_stop(cluster, "proxy1");
    (void)cluster_wait_leader(cluster);
    cluster_kill(cluster, "redis1");
    cluster_set_redis_args(cluster, "redis1", (const char *const[]){"--databases", "4", NULL});
    cluster_spawn(cluster, "redis1");
    cluster_spawn(cluster, "proxy1");
    cluster_wait_followers(cluster);
    const char *leader = cluster_wait_leader(cluster);
    ck_assert_str_ne(leader, "proxy1");
    wire_open(&w, cluster_port(cluster, leader));
    wire_asks(&w, "+OK\r\n", "SELECT", "3");
    wire_asks(&w, "+OK\r\n", "SET", "in", "three");
    wire_asks(&w, "+OK\r\n", "SELECT", "4");
    wire_asks(&w, "+OK\r\n", "SET", "in", "four");
    cluster_wait("Redis ends", BACK_MS, redis_has_ended, NULL);
    wire_asks(&w, "$4\r\nfour\r\n", "GET", "in");
    wire_close(&w);
}
END_TEST

/* ---- a Redis 6.2 ---- */

/* The reply to one command of the proxy's, of which it is asked no more than this. */
static const char *old_redis_says(const char *command)
{
    static const char info[] = "# Server\r\nredis_version:6.2.7\r\n"
                               "run_id:0123456789012345678901234567890123456789\r\n";
    static char bulk[sizeof info + 16];

    if (strstr(command, "INFO") != NULL) {
        snprintf(bulk, sizeof bulk, "$%zu\r\n%s\r\n", sizeof info - 1, info);
        return bulk;
    }
    if (strstr(command, "LIST") != NULL) {
        return "$0\r\n\r\n";
    }
    /* Whatever else would change it, and ends this process: the test sees that. */
    bool harmless = strstr(command, "SETNAME") != NULL || strstr(command, "PING") != NULL;
    return harmless ? "+OK\r\n" : NULL;
}

/* One connection after the other, whole commands at a time. */
static void old_redis_serve(int listener)
{
    for (;;) {
        struct wire w = {.fd = accept(listener, NULL, NULL)};
        while (w.fd >= 0 && !w.ended) {
            struct pollfd fd = {.fd = w.fd, .events = POLLIN};
            const char *command;
            (void)poll(&fd, 1, -1);
            wire_fill(&w);
            while (wire_take(&w, &command) > 0) {
                const char *reply = old_redis_says(command);
                if (reply == NULL) {
                    fprintf(stderr, "the old Redis is asked: %.200s\n", command);
                    _exit(EXIT_FAILURE);
                }
                if (send(w.fd, reply, strlen(reply), MSG_NOSIGNAL) < 0) {
                    break;
                }
            }
        }
        wire_close(&w);
    }
}

static pid_t old_redis_start(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    ck_assert_int_ge(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        old_redis_serve(fd);
    }
    close(fd);
    return pid;
}

/* It is refused by name, asked for nothing but its version, and its clients are served through the
 * leader. With its Redis of before, the proxy follows again. */
START_TEST(a_redis_of_before_seven)
{
    struct buf reply = BUF_INIT;
    struct wire w;
    char proxy[16], redis[16];
    int status;

    set("key");
    unsigned which = strcmp(cluster_leader(cluster), "proxy2") == 0 ? 3 : 2;
    snprintf(proxy, sizeof proxy, "%s", nth("proxy", which));
    snprintf(redis, sizeof redis, "%s", nth("redis", which));
    cluster_kill(cluster, redis);
    pid_t pid = old_redis_start(cluster_port(cluster, redis));
    cluster_wait_log(cluster, proxy, "Redis 6.2.7 at 127.0.0.1:");
    cluster_wait_log(cluster, proxy, "is too old: 7.0 or later is needed");
    wire_open(&w, cluster_port(cluster, proxy));
    wire_command(&w, "GET", "key");
    ck_assert_int_eq(wire_reply(&w, &reply, BACK_MS), ERR_OK);
    ck_assert_str_eq((const char *)buf_head(&reply), "$1\r\nv\r\n");
    wire_close(&w);
    buf_release(&reply);
    ck_assert_int_eq(waitpid(pid, &status, WNOHANG), 0); /* it was asked for nothing else */
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    cluster_spawn(cluster, redis);
    cluster_wait_followers(cluster);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engines");

    SYSTEM_CASE(suite, "newer", system_serve, 240, a_newer_redis_has_written_the_log);
    SYSTEM_CASE(suite, "older", system_serve, 240, a_redis_of_before_seven);
    SYSTEM_CASE(suite, "databases", system_serve, 240, a_redis_with_fewer_databases);
    return unit_main(suite);
}
