#include "tests/lib/cluster.h"

#include "common/clock.h"
#include "tests/lib/cluster_state.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void sleep_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) != 0 && errno == EINTR) {
    }
}

void cluster_wait(const char *what, uint64_t timeout_ms, bool (*cond)(void *arg), void *arg)
{
    uint64_t end = clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS;
    long pause_ms = 1;

    while (!cond(arg)) {
        if (clock_now_ns() > end) {
            ck_abort_msg("gave up waiting for: %s (%llu ms)", what, (unsigned long long)timeout_ms);
        }
        sleep_ms(pause_ms);
        pause_ms = pause_ms < 16 ? pause_ms * 2 : 20;
    }
}

redisContext *cluster_connect(const struct cluster *c, const char *name)
{
    struct timeval timeout = {.tv_sec = CLUSTER_PATIENCE_MS / 1000};
    redisContext *redis = redisConnectWithTimeout("127.0.0.1", cluster_port(c, name), timeout);
    ck_assert(redis != NULL);
    ck_assert_msg(redis->err == 0, "%s: %s", name, redis->errstr);
    ck_assert_int_eq(redisSetTimeout(redis, timeout), REDIS_OK);
    return redis;
}

static void expect_no_error(const redisContext *redis, redisReply *reply, const char *what)
{
    ck_assert_msg(reply != NULL && reply->type != REDIS_REPLY_ERROR, "%s: %s", what,
                  reply != NULL ? reply->str : redis->errstr);
    freeReplyObject(reply);
}

void cluster_command(redisContext *redis, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    expect_no_error(redis, redisvCommand(redis, format, args), format);
    va_end(args);
}

void cluster_queue(redisContext *redis, unsigned *queued, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ck_assert_int_eq(redisvAppendCommand(redis, format, args), REDIS_OK);
    va_end(args);
    if (++*queued == CLUSTER_QUEUE_MAX) {
        cluster_answers(redis, queued);
    }
}

void cluster_answers(redisContext *redis, unsigned *queued)
{
    for (; *queued > 0; --*queued) {
        void *reply = NULL;
        (void)redisGetReply(redis, &reply);
        expect_no_error(redis, reply, "a queued command");
    }
}

void cluster_ask(const struct cluster *c, const char *name, char *text, size_t size,
                 const char *const argv[])
{
    redisContext *redis = cluster_connect(c, name);
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    redisReply *reply = redisCommandArgv(redis, argc, (const char **)argv, NULL);
    ck_assert_msg(reply != NULL, "%s to %s: %s", argv[0], name, redis->errstr);
    ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s to %s: %s", argv[0], name, reply->str);
    const redisReply *word = reply->elements > 0 ? reply->element[0] : reply;
    if (word->type == REDIS_REPLY_INTEGER) {
        snprintf(text, size, "%lld", word->integer);
    } else {
        snprintf(text, size, "%s", word->str != NULL ? word->str : "(nil)");
    }
    freeReplyObject(reply);
    redisFree(redis);
}

void cluster_digest(redisContext *redis, char *digest)
{
    redisReply *reply = redisCommand(redis, "DEBUG DIGEST");
    ck_assert_msg(reply != NULL, "DEBUG DIGEST: %s", redis->errstr);
    ck_assert_msg(reply->type == REDIS_REPLY_STATUS && reply->len == CLUSTER_DIGEST_MAX - 1, "%s",
                  reply->str);
    memcpy(digest, reply->str, CLUSTER_DIGEST_MAX);
    freeReplyObject(reply);
}

void cluster_digest_of(const struct cluster *c, const char *name, char *digest)
{
    redisContext *redis = cluster_connect(c, name);
    cluster_digest(redis, digest);
    redisFree(redis);
}

static bool all_are_equal(void *arg)
{
    const struct cluster *c = arg;
    char first[CLUSTER_DIGEST_MAX], other[CLUSTER_DIGEST_MAX];

    cluster_digest_of(c, "redis1", first);
    for (unsigned i = 2; i <= c->pairs; i++) {
        cluster_digest_of(c, cluster_name("redis", i), other);
        if (strcmp(first, other) != 0) {
            return false;
        }
    }
    return true;
}

void cluster_wait_equal(struct cluster *c)
{
    cluster_wait("all Redis to hold the same", CLUSTER_PATIENCE_MS, all_are_equal, c);
}

struct commit_wait {
    const struct cluster *c;
    long long offset;
};

static bool commit_has_come(void *arg)
{
    const struct commit_wait *wait = arg;
    return cluster_info_number(wait->c, "holdfast_offset_committed") >= wait->offset;
}

void cluster_wait_committed(struct cluster *c)
{
    char info[8192];
    cluster_ask(c, "redis1", info, sizeof info, (const char *[]){"INFO", "replication", NULL});
    const char *line = strstr(info, "master_repl_offset:");
    ck_assert(line != NULL);
    struct commit_wait wait = {.c = c, .offset = strtoll(strchr(line, ':') + 1, NULL, 10)};
    cluster_wait("the commit of all that was executed", CLUSTER_PATIENCE_MS, commit_has_come,
                 &wait);
}

bool cluster_info(const struct cluster *c, const char *field, char *value, size_t size)
{
    return cluster_info_of(c, "proxy1", field, value, size);
}

bool cluster_info_of(const struct cluster *c, const char *proxy, const char *field, char *value,
                     size_t size)
{
    struct timeval timeout = {.tv_sec = 1};
    bool found = false;
    redisContext *redis = redisConnectWithTimeout("127.0.0.1", cluster_port(c, proxy), timeout);
    redisReply *reply = NULL;

    if (redis != NULL && redis->err == 0 && redisSetTimeout(redis, timeout) == REDIS_OK) {
        reply = redisCommand(redis, "INFO holdfast");
    }
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        size_t len = strlen(field);
        for (const char *line = reply->str; line != NULL; line = strchr(line, '\n')) {
            line += *line == '\n';
            if (strncmp(line, field, len) == 0 && line[len] == ':') {
                const char *start = line + len + 1;
                snprintf(value, size, "%.*s", (int)strcspn(start, "\r\n"), start);
                found = true;
                break;
            }
        }
    }
    freeReplyObject(reply);
    if (redis != NULL) {
        redisFree(redis);
    }
    return found;
}

long long cluster_info_number(const struct cluster *c, const char *field)
{
    return cluster_info_number_of(c, "proxy1", field);
}

long long cluster_info_number_of(const struct cluster *c, const char *proxy, const char *field)
{
    char value[128];
    return cluster_info_of(c, proxy, field, value, sizeof value) ? strtoll(value, NULL, 10) : -1;
}

/* Whether it runs, and is not paused. */
static bool proxy_goes(const struct cluster *c, const char *name)
{
    unsigned long long started;
    return cluster_running(c, name) && cluster_process_state(cluster_pid(c, name), &started) != 'T';
}

const char *cluster_leader(const struct cluster *c)
{
    char role[32];

    for (unsigned i = 1; i <= c->pairs; i++) {
        const char *name = cluster_name("proxy", i);
        if (proxy_goes(c, name) && cluster_info_of(c, name, "holdfast_role", role, sizeof role) &&
            strcmp(role, "leader") == 0) {
            return cluster_process_of(c, name)->name;
        }
    }
    return "";
}

const char *cluster_redis_of(const struct cluster *c, const char *proxy)
{
    unsigned i = (unsigned)strtoul(proxy + strlen("proxy"), NULL, 10);
    return cluster_process_of(c, cluster_name("redis", i))->name;
}

/* All that do not lead follow, and their Redis says that it is in touch (INFO replication is that
 * of the proxy). */
static bool followers_there(void *arg)
{
    const struct cluster *c = arg;
    const char *leader = cluster_leader(c);
    char reply[4096];

    for (unsigned i = 1; i <= c->pairs && c->pairs > 1; i++) {
        const char *proxy = cluster_name("proxy", i);
        if (!proxy_goes(c, proxy) || strcmp(proxy, leader) == 0) {
            continue;
        }
        cluster_ask(c, proxy, reply, sizeof reply, (const char *[]){"INFO", "replication", NULL});
        if (strstr(reply, "master_link_status:up") == NULL) {
            return false;
        }
    }
    return leader[0] != '\0';
}

void cluster_wait_followers(struct cluster *c)
{
    cluster_wait("the other proxies to follow", CLUSTER_PATIENCE_MS, followers_there, c);
}

struct leader_wait {
    const struct cluster *c;
    const char *than; /* not this one; "": any */
    const char *leader;
};

static bool leader_or_dead(void *arg)
{
    struct leader_wait *wait = arg;

    wait->leader = cluster_leader(wait->c);
    return (wait->leader[0] != '\0' && strcmp(wait->leader, wait->than) != 0) ||
           (wait->c->pairs == 1 && !cluster_running(wait->c, "proxy1"));
}

const char *cluster_wait_other_leader(struct cluster *c, const char *than)
{
    struct leader_wait wait = {.c = c, .than = than};

    cluster_wait("a proxy to serve", CLUSTER_PATIENCE_MS, leader_or_dead, &wait);
    ck_assert_msg(c->pairs > 1 || cluster_running(c, "proxy1"), "proxy1 ended");
    return wait.leader;
}

const char *cluster_wait_leader(struct cluster *c)
{
    return cluster_wait_other_leader(c, "");
}

const char *cluster_other(const struct cluster *c, const char *proxy)
{
    return cluster_process_of(c, strcmp(proxy, "proxy1") == 0 ? "proxy2" : "proxy1")->name;
}

const char *cluster_follower(struct cluster *c)
{
    return cluster_other(c, cluster_wait_leader(c));
}

struct log_wait {
    const char *path, *text;
};

static bool log_has_text(void *arg)
{
    const struct log_wait *wait = arg;
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *f = fopen(wait->path, "re");

    if (f == NULL) {
        return false;
    }
    while (!found && getline(&line, &size, f) > 0) {
        found = strstr(line, wait->text) != NULL;
    }
    free(line);
    fclose(f);
    return found;
}

void cluster_wait_log(struct cluster *c, const char *name, const char *text)
{
    char path[CLUSTER_PATH_MAX + 16];
    cluster_file_path(cluster_process_of(c, name), "log", path, sizeof path);
    struct log_wait wait = {.path = path, .text = text};
    cluster_wait(text, CLUSTER_PATIENCE_MS, log_has_text, &wait);
}
