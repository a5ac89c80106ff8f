/* A Redis of our own is brought to exact places of a log that is at work: what it holds there is
 * what the leader's Redis held there; and nothing of it is left afterwards. */
#include "common/mem.h"
#include "proxy/engine/control.h"
#include "proxy/node/settings.h"
#include "proxy/snapshot/extract.h"
#include "proxy/snapshot/lognodes.h"
#include "proxy/snapshot/replay.h"
#include "proxy/snapshot/sandbox.h"
#include "tests/lib/system.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {.redis_args = redis_args,
                                               .lease_ms = CLUSTER_LONG_LEASE_MS};

enum { WAIT_MS = 60000 };

/* A tool at work: loop, log nodes, sandbox, replay. */
struct tool {
    struct event_base *base;
    struct settings settings;
    struct lognodes *nodes;
    struct sandbox *sandbox;
    struct replay *replay;
    bool up, down, reached, failed, again, extracted;
    struct extract_result rdb;
    char version[32], why[300];
    struct replay_point point;
    uint64_t progressed;
};

static void tool_up(void *ctx, const char *version)
{
    struct tool *t = ctx;
    t->up = true;
    (void)snprintf(t->version, sizeof t->version, "%s", version);
}

static void tool_down(void *ctx, const char *why)
{
    struct tool *t = ctx;
    t->down = true;
    (void)snprintf(t->why, sizeof t->why, "%s", why);
}

static void tool_progress(void *ctx, enum replay_step step, uint64_t done, uint64_t total)
{
    struct tool *t = ctx;
    (void)step;
    ck_assert_uint_le(done, total);
    t->progressed = done;
}

static void tool_reached(void *ctx, const struct replay_point *point)
{
    struct tool *t = ctx;
    t->reached = true;
    t->point = *point;
}

static void tool_failed(void *ctx, const char *why, bool again)
{
    struct tool *t = ctx;
    t->failed = true;
    t->again = again;
    (void)snprintf(t->why, sizeof t->why, "%s", why);
}

static const struct sandbox_events tool_sandbox_events = {tool_up, tool_down};
static const struct replay_events tool_replay_events = {tool_progress, tool_reached, tool_failed};

/* Turns the loop until one of the two is set. */
static void tool_wait(struct tool *t, const bool *what, const bool * or)
{
    struct timeval piece = {.tv_usec = 10000};

    for (int i = 0; i < WAIT_MS / 10 && !*what && !* or ; i++) {
        (void)event_base_loopexit(t->base, &piece);
        ck_assert_int_ge(event_base_loop(t->base, EVLOOP_ONCE), 0);
    }
    ck_assert_msg(*what || * or, "nothing happens");
}

static void tool_open(struct tool *t)
{
    char path[512], error[CONFIG_ERROR_BYTES_MAX];
    struct lognodes_view view;
    struct timeval piece = {.tv_usec = 10000};
    int err;

    memset(t, 0, sizeof *t);
    t->base = event_base_new();
    (void)snprintf(path, sizeof path, "%s/config.json", cluster_dir(cluster, "proxy1"));
    ck_assert_msg(config_load(path, settings_schema, settings_schema_count, &t->settings, error,
                              sizeof error) == ERR_OK,
                  "%s", error);
    struct lognodes_config config = {
        .log_id = (uint64_t)t->settings.log_id,
        .addresses = (const char *const *)t->settings.log_nodes.items,
        .address_count = (unsigned)t->settings.log_nodes.count,
        .piece_max_bytes = 1 << 20,
    };
    memcpy(config.cluster_id, t->settings.cluster_id, sizeof config.cluster_id);
    t->nodes = lognodes_open(t->base, &config, &err);
    ck_assert_ptr_nonnull(t->nodes);
    for (int i = 0; i < WAIT_MS / 10; i++) {
        lognodes_view(t->nodes, &view);
        if (view.known) {
            return;
        }
        (void)event_base_loopexit(t->base, &piece);
        (void)event_base_loop(t->base, EVLOOP_ONCE);
    }
    ck_abort_msg("the log nodes don't answer: %s", view.refusal);
}

static void tool_start_program(struct tool *t, const char *program)
{
    struct sandbox_config config = {.program = program};
    char why[SANDBOX_WHY_MAX];

    t->up = t->down = false;
    t->sandbox = sandbox_start(t->base, &config, &tool_sandbox_events, t, why);
    ck_assert_msg(t->sandbox != NULL, "%s", why);
    tool_wait(t, &t->up, &t->down);
    ck_assert_msg(t->up, "%s", t->why);
}

static void tool_start_sandbox(struct tool *t)
{
    tool_start_program(t, "redis-server");
}

static void tool_create_replay(struct tool *t, uint64_t rate)
{
    struct replay_config config = {.base = t->base,
                                   .nodes = t->nodes,
                                   .control = sandbox_control(t->sandbox),
                                   .rate_max_bytes = rate};
    int err;

    t->replay = replay_create(&config, &tool_replay_events, t, &err);
    ck_assert_ptr_nonnull(t->replay);
    t->reached = t->failed = false;
}

static void tool_expect_reached(struct tool *t, uint64_t offset)
{
    tool_wait(t, &t->reached, &t->failed);
    ck_assert_msg(t->reached, "%s", t->why);
    ck_assert_uint_eq(t->point.offset, offset);
    t->reached = false;
}

static void tool_end_sandbox(struct tool *t)
{
    sandbox_destroy(t->sandbox);
    replay_destroy(t->replay);
    t->sandbox = NULL;
    t->replay = NULL;
}

static void tool_close(struct tool *t)
{
    if (t->sandbox != NULL) {
        tool_end_sandbox(t);
    }
    lognodes_close(t->nodes);
    config_free(settings_schema, settings_schema_count, &t->settings);
    event_base_free(t->base);
}

static void expect_digest(const struct tool *t, const char *expected)
{
    char digest[CLUSTER_DIGEST_MAX];
    redisContext *redis = redisConnect("127.0.0.1", sandbox_port(t->sandbox));

    ck_assert(redis != NULL && redis->err == 0);
    freeReplyObject(redisCommand(redis, "AUTH %s", sandbox_password(t->sandbox)));
    cluster_digest(redis, digest);
    ck_assert_str_eq(digest, expected);
    redisFree(redis);
}

/* Where the log is when nobody writes, and what Redis holds there. */
static uint64_t leader_point(char digest[CLUSTER_DIGEST_MAX])
{
    redisContext *redis = cluster_connect(cluster, "redis1");

    cluster_wait_committed(cluster);
    cluster_digest(redis, digest);
    redisFree(redis);
    return (uint64_t)cluster_info_number(cluster, "holdfast_offset_committed");
}

/* Ends in another database than 0, so that a replay that goes on from here has to know it. */
static void write_some(int round, int keys)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");
    char value[400];
    unsigned queued = 0;

    memset(value, 'x', sizeof value);
    for (int i = 0; i < keys; i++) {
        cluster_queue(redis, &queued, "SET key:%d:%d %b EX 100000", round, i, value, sizeof value);
    }
    cluster_answers(redis, &queued);
    cluster_command(redis, "MULTI");
    cluster_command(redis, "INCR counter");
    cluster_command(redis, "RPUSH list %d", round);
    cluster_command(redis, "EXEC");
    cluster_command(redis, "SADD set a b c d e f g h");
    cluster_command(redis, "SPOP set 3");
    cluster_command(redis, "SELECT %d", 3 + round);
    cluster_command(redis, "SET round %d", round);
    cluster_command(redis, "XADD stream * f %d", round);
    redisFree(redis);
}

/* To a place in the log, and on from there to a later one, in one Redis; to the later one in
 * another: each holds what the leader's Redis held, and the checksums of the log agree. */
START_TEST(exact_places)
{
    char first[CLUSTER_DIGEST_MAX], second[CLUSTER_DIGEST_MAX];
    struct tool t;

    write_some(1, 3000);
    uint64_t at_first = leader_point(first);
    write_some(2, 2000);
    uint64_t at_second = leader_point(second);
    ck_assert_str_ne(first, second);

    tool_open(&t);
    tool_start_sandbox(&t);
    ck_assert_str_eq(t.version, "7.0.15");
    tool_create_replay(&t, 0);
    replay_start(t.replay, at_first, NULL);
    tool_expect_reached(&t, at_first);
    expect_digest(&t, first);
    ck_assert_uint_gt(t.point.log_bytes, 1000000);
    ck_assert_uint_gt(t.point.term.n, 0);
    replay_on(t.replay, at_second);
    tool_expect_reached(&t, at_second);
    expect_digest(&t, second);
    uint32_t chain = t.point.chain_crc;
    tool_end_sandbox(&t);

    tool_start_sandbox(&t);
    tool_create_replay(&t, 0);
    replay_start(t.replay, at_second, NULL);
    tool_expect_reached(&t, at_second);
    expect_digest(&t, second);
    ck_assert_uint_eq(t.point.chain_crc, chain);
    tool_close(&t);
}
END_TEST

/* A replay keeps to its rate. */
START_TEST(rate)
{
    char digest[CLUSTER_DIGEST_MAX];
    struct tool t;

    write_some(3, 1000);
    uint64_t at = leader_point(digest);
    tool_open(&t);
    tool_start_sandbox(&t);
    tool_create_replay(&t, 2 << 20);
    struct timespec begun, ended;
    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    replay_start(t.replay, at, NULL);
    tool_expect_reached(&t, at);
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    double s =
        (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9;
    double bytes = (double)t.point.log_bytes + (double)t.point.base.size_bytes;
    ck_assert_double_ge(s, (bytes - (1 << 19)) / (2 << 20));
    expect_digest(&t, digest);
    tool_close(&t);
}
END_TEST

static void tool_extracted(void *ctx, const struct extract_result *result)
{
    struct tool *t = ctx;
    t->extracted = true;
    t->rdb = *result;
}

static void tool_not_extracted(void *ctx, const char *why)
{
    tool_failed(ctx, why, false);
}

static const struct extract_events tool_extract_events = {tool_extracted, tool_not_extracted};

/* What is taken out of a sandbox makes another one that holds the same; also if it comes so slowly
 * that Redis, in the middle of loading, finds nothing to read for a while. An RDB that is not of
 * the place that was meant is refused. */
START_TEST(extracted)
{
    char digest[CLUSTER_DIGEST_MAX];
    struct tool t;

    write_some(4, 5000);
    uint64_t at = leader_point(digest);
    tool_open(&t);
    tool_start_sandbox(&t);
    tool_create_replay(&t, 0);
    replay_start(t.replay, at, NULL);
    tool_expect_reached(&t, at);
    int fd = extract_open_file(cluster_dir(cluster, "proxy1"));
    ck_assert_int_ge(fd, 0);
    struct extract_config config = {.base = t.base,
                                    .port = sandbox_port(t.sandbox),
                                    .password = sandbox_password(t.sandbox),
                                    .fd = fd,
                                    .offset = at - 1};
    struct extract *extract = extract_start(&config, &tool_extract_events, &t);
    tool_wait(&t, &t.extracted, &t.failed);
    ck_assert_msg(t.failed && strstr(t.why, "Redis is at offset ") != NULL, "%s", t.why);
    extract_destroy(extract);
    t.failed = false;
    config.offset = at;
    extract = extract_start(&config, &tool_extract_events, &t);
    tool_wait(&t, &t.extracted, &t.failed);
    ck_assert_msg(t.extracted, "%s", t.why);
    extract_destroy(extract);
    ck_assert_uint_gt(t.rdb.size_bytes, 100000);
    struct replay_base base = {.fd = fd,
                               .info = {.offset = at,
                                        .size_bytes = t.rdb.size_bytes,
                                        .crc = t.rdb.crc,
                                        .chain_crc = t.point.chain_crc},
                               .limit = UINT64_MAX};
    tool_end_sandbox(&t);

    tool_start_sandbox(&t);
    tool_create_replay(&t, 100000);
    replay_start(t.replay, at, &base);
    tool_expect_reached(&t, at);
    expect_digest(&t, digest);
    tool_close(&t);
    (void)close(fd);
}
END_TEST

/* The process that has started a sandbox is killed: the sandbox goes with it, and leaves nothing.
 */
START_TEST(orphan)
{
    int fds[2];
    pid_t pid = 0;

    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct tool t = {.base = event_base_new()};
        tool_start_sandbox(&t);
        pid = sandbox_pid(t.sandbox);
        if (write(fds[1], &pid, sizeof pid) != sizeof pid) {
            _exit(1);
        }
        for (;;) {
            (void)pause();
        }
    }
    ck_assert_int_eq(read(fds[0], &pid, sizeof pid), sizeof pid);
    ck_assert_int_eq(kill(pid, 0), 0);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++) {
        (void)usleep(10000);
    }
    ck_assert_int_ne(kill(pid, 0), 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}
END_TEST

/* What can't be started is said, with its reason; and so is what ends. */
START_TEST(no_sandbox)
{
    struct tool t = {.base = event_base_new()};
    struct sandbox_config config = {.program = "no-such-redis-server"};
    char why[SANDBOX_WHY_MAX];

    ck_assert_ptr_null(sandbox_start(t.base, &config, &tool_sandbox_events, &t, why));
    ck_assert_str_eq(why, "no such program: no-such-redis-server");
    config.program = "false";
    t.sandbox = sandbox_start(t.base, &config, &tool_sandbox_events, &t, why);
    ck_assert_ptr_nonnull(t.sandbox);
    tool_wait(&t, &t.up, &t.down);
    ck_assert(t.down && !t.up);
    ck_assert_str_eq(t.why, "redis-server has ended");
    sandbox_destroy(t.sandbox);
    tool_start_sandbox(&t);
    ck_assert_int_eq(kill(sandbox_pid(t.sandbox), SIGKILL), 0);
    tool_wait(&t, &t.down, &t.down);
    ck_assert_ptr_nonnull(strstr(t.why, "was killed"));
    sandbox_destroy(t.sandbox);
    event_base_free(t.base);
}
END_TEST

/* The program may be named from the folder in which this one runs, itself or by PATH. */
START_TEST(program_is_found)
{
    struct tool t = {.base = event_base_new()};
    char path[4096];

    (void)snprintf(path, sizeof path, "%s:%s", "", getenv("PATH"));
    ck_assert_int_eq(chdir(cluster_dir(cluster, "proxy1")), 0);
    FILE *f = fopen("our-redis", "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f, "#!/bin/sh\nexec redis-server \"$@\"\n"), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod("our-redis", 0700), 0);
    tool_start_program(&t, "./our-redis");
    sandbox_destroy(t.sandbox);
    ck_assert_int_eq(setenv("PATH", path, 1), 0);
    tool_start_program(&t, "our-redis");
    sandbox_destroy(t.sandbox);
    event_base_free(t.base);
}
END_TEST

/* A sandbox can make no file, whatever it is told: so nothing of it can be left. */
START_TEST(makes_no_file)
{
    struct tool t = {.base = event_base_new()};
    char path[64], folder[64] = "";

    tool_start_sandbox(&t);
    (void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)sandbox_pid(t.sandbox));
    ck_assert_int_gt(readlink(path, folder, sizeof folder - 1), 0);
    ck_assert_str_eq(folder, "/proc");
    redisContext *redis = redisConnect("127.0.0.1", sandbox_port(t.sandbox));
    ck_assert(redis != NULL && redis->err == 0);
    cluster_command(redis, "AUTH %s", sandbox_password(t.sandbox));
    redisReply *reply = redisCommand(redis, "SAVE");
    ck_assert(reply != NULL && reply->type == REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    redisFree(redis);
    sandbox_destroy(t.sandbox);
    event_base_free(t.base);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");

    SYSTEM_CASE(suite, "replay", system_serve, 120, no_sandbox, program_is_found, makes_no_file,
                orphan, exact_places, rate, extracted);
    return unit_main(suite);
}
