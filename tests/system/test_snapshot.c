/* Snapshots made off the box, with real processes: holdfast-snapshot takes one at an exact offset
 * while clients write, tries it and stores it; whatever it is killed at leaves nothing; a damaged
 * one is passed over. */
#include "common/mem.h"
#include "tests/lib/system.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {
    .redis_args = redis_args,
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"keep\": 4, \"schedule\": false}"};

enum { RUN_MS = 120000, OUTPUT_BYTES = 64 << 10 };

static void write_some(int round, int keys)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");
    char value[400];
    unsigned queued = 0;

    memset(value, 'v', sizeof value);
    for (int i = 0; i < keys; i++) {
        cluster_queue(redis, &queued, "SET key:%d:%d %b", round, i, value, sizeof value);
    }
    cluster_answers(redis, &queued);
    cluster_command(redis, "SELECT %d", 1 + round % 15);
    cluster_command(redis, "SADD set %d a b c d e f", round);
    cluster_command(redis, "SPOP set 2");
    cluster_command(redis, "HSET hash f%d %d", round, round);
    cluster_command(redis, "SET ttl:%d x EX 10000", round);
    redisFree(redis);
}

/* --- the program --- */

static void snapshot_args(const char *argv[8], char *program, size_t size, char *config,
                          size_t config_size, const char *command, const char *argument)
{
    cluster_program("holdfast-snapshot", program, size);
    (void)snprintf(config, config_size, "%s/config.json", cluster_dir(cluster, "proxy1"));
    argv[0] = program;
    argv[1] = "--config";
    argv[2] = config;
    argv[3] = command;
    argv[4] = argument;
    argv[5] = NULL;
}

/* Runs it to its end; returns the exit status, its output in `output`. */
static int snapshot_run(const char *command, const char *argument, char *output)
{
    char program[512], config[512];
    const char *argv[8];

    snapshot_args(argv, program, sizeof program, config, sizeof config, command, argument);
    return cluster_run(argv, RUN_MS, output, OUTPUT_BYTES);
}

/* A number of the outcome; fails if it has none of that name. */
static unsigned long long outcome(const char *output, const char *name)
{
    char key[64];

    (void)snprintf(key, sizeof key, "\"%s\":", name);
    const char *object = strstr(output, "{\"done\"");
    const char *at = object != NULL ? strstr(object, key) : NULL;
    if (at == NULL) {
        ck_abort_msg("no %s in: %s", name, output);
    }
    return strtoull(at + strlen(key), NULL, 10);
}

static unsigned long long snapshot_take(void)
{
    char *output = mem_alloc(OUTPUT_BYTES);

    ck_assert_msg(snapshot_run("take", NULL, output) == 0, "%s", output);
    ck_assert_msg(strstr(output, "\"taken\":true") != NULL, "%s", output);
    unsigned long long offset = outcome(output, "offset");
    free(output);
    return offset;
}

/* --- what is there --- */

static bool has_prefix(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool found = false;

    ck_assert_msg(dir != NULL, "%s", folder);
    while ((entry = readdir(dir)) != NULL) {
        found = found || strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    }
    (void)closedir(dir);
    return found;
}

static void expect_nothing_left(void)
{
    char folder[512];

    (void)snprintf(folder, sizeof folder, "%s/data", cluster_dir(cluster, "proxy1"));
    ck_assert_msg(!has_prefix(folder, "sandbox-"), "a sandbox's folder is left");
    ck_assert_msg(!has_prefix(folder, "snapshot-"), "a snapshot's file is left");
}

/* The path of a stored snapshot's file on a node. */
static bool snapshot_file(const char *node, unsigned long long offset, const char *suffix,
                          char *path, size_t size)
{
    (void)snprintf(path, size, "%s/data/log-1/snap-%020llu.%s", cluster_dir(cluster, node), offset,
                   suffix);
    return access(path, F_OK) == 0;
}

static unsigned nodes_that_have(unsigned long long offset)
{
    static const char *const nodes[] = {"log1", "log2", "log3"};
    char path[512];
    unsigned count = 0;

    for (int i = 0; i < 3; i++) {
        count += snapshot_file(nodes[i], offset, "meta", path, sizeof path);
    }
    return count;
}

static bool all_have(void *arg)
{
    return nodes_that_have(*(unsigned long long *)arg) == 3;
}

/* --- tests --- */

static volatile bool writing;

static void *write_on(void *arg)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");
    (void)arg;

    for (unsigned i = 0; writing; i++) {
        freeReplyObject(redisCommand(redis, "SET on:%u %u", i % 5000, i));
        freeReplyObject(redisCommand(redis, "INCR written"));
    }
    redisFree(redis);
    return NULL;
}

/* The engine and everything that follows it is lost: a Redis is made from what the log nodes have.
 */
static void rebuild_redis(void)
{
    cluster_kill(cluster, "redis1");
    cluster_spawn(cluster, "redis1");
    cluster_wait_leader(cluster);
}

/* While clients write, a snapshot is taken; the Redis that is made from it and the log behind it
 * holds what the leader's held. */
START_TEST(while_writing)
{
    char before[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX], text[128];
    pthread_t writer;

    write_some(1, 5000);
    writing = true;
    ck_assert_int_eq(pthread_create(&writer, NULL, write_on, NULL), 0);
    unsigned long long offset = snapshot_take();
    writing = false;
    (void)pthread_join(writer, NULL);
    ck_assert_uint_eq(nodes_that_have(offset), 3);
    expect_nothing_left();
    write_some(2, 500);
    cluster_wait_committed(cluster);
    cluster_digest_of(cluster, "redis1", before);
    rebuild_redis();
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(before, after);
    (void)snprintf(text, sizeof text, "the resync takes the snapshot at offset %llu ", offset);
    cluster_wait_log(cluster, "proxy1", text);
}
END_TEST

/* Nothing was written since the last one: none is made. */
static void nothing_new(char *output)
{

    write_some(3, 10);
    cluster_wait_committed(cluster);
    unsigned long long offset = snapshot_take();
    ck_assert_int_eq(snapshot_run("take", NULL, output), 0);
    if (strstr(output, "\"taken\":true") == NULL) { /* else Redis' PING came between */
        ck_assert_uint_eq(outcome(output, "offset"), offset);
    }
}

/* A stored one is tried again: one that is whole, and an offset that has none. */
static void verified_again(char *output)
{
    char text[32];

    write_some(4, 100);
    unsigned long long offset = snapshot_take();
    write_some(5, 100);
    (void)snprintf(text, sizeof text, "%llu", offset);
    ck_assert_msg(snapshot_run("verify", text, output) == 0, "%s", output);
    ck_assert_uint_eq(outcome(output, "offset"), offset);
    ck_assert_uint_gt(outcome(output, "tried_to"), offset);
    (void)snprintf(text, sizeof text, "%llu", offset - 1);
    ck_assert_int_eq(snapshot_run("verify", text, output), 1);
    ck_assert_msg(strstr(output, "no snapshot of that offset") != NULL, "%s", output);
    expect_nothing_left();
}

/* There is no room for the file: it is said, nothing is left, and what was stored stays. */
static void no_room(char *output)
{
    char program[512], config[512], command[1200];

    write_some(6, 5000);
    cluster_program("holdfast-snapshot", program, sizeof program);
    (void)snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    (void)snprintf(command, sizeof command, "trap '' XFSZ; ulimit -f 40; exec %s --config %s take",
                   program, config);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    ck_assert_msg(cluster_run(argv, RUN_MS, output, OUTPUT_BYTES) == 1, "%s", output);
    ck_assert_msg(strstr(output, "the snapshot's file can't be written") != NULL, "%s", output);
    expect_nothing_left();
    ck_assert_uint_eq(nodes_that_have(snapshot_take()), 3);
}

/* There is not so much memory on any machine: it is not begun, and that is said. */
static void no_memory(char *output)
{
    char program[512], config[512], other[600], command[3000];

    write_some(7, 10);
    cluster_program("holdfast-snapshot", program, sizeof program);
    (void)snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    (void)snprintf(other, sizeof other, "%s.memory", config);
    (void)snprintf(
        command, sizeof command,
        "sed 's/\"snapshot\": {/&\"memory_reserve_bytes\": 1125899906842624, /' %s > %s; "
        "exec %s --config %s take",
        config, other, program, other);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    ck_assert_msg(cluster_run(argv, RUN_MS, output, OUTPUT_BYTES) == 1, "%s", output);
    ck_assert_msg(strstr(output, "MiB of memory are available on this machine: too little") != NULL,
                  "%s", output);
    ck_assert_msg(strstr(output, "make: start") == NULL, "%s", output);
    expect_nothing_left();
}

START_TEST(again)
{
    char *output = mem_alloc(OUTPUT_BYTES);

    nothing_new(output);
    verified_again(output);
    no_room(output);
    no_memory(output);
    free(output);
}
END_TEST

/* --- killed at any point --- */

/* The processes whose parent that one is; -1: none. */
static pid_t child_of(pid_t parent)
{
    char path[64], text[512];
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    pid_t found = -1;

    ck_assert_ptr_nonnull(dir);
    while (found < 0 && (entry = readdir(dir)) != NULL) {
        int pid = atoi(entry->d_name), ppid = 0;
        (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *f = pid > 0 ? fopen(path, "re") : NULL;
        if (f == NULL) {
            continue;
        }
        const char *behind = fgets(text, sizeof text, f) != NULL ? strrchr(text, ')') : NULL;
        if (behind != NULL && sscanf(behind, ") %*c %d", &ppid) == 1 && ppid == parent) {
            found = pid;
        }
        (void)fclose(f);
    }
    (void)closedir(dir);
    return found;
}

/* Starts a run in the background; what it says can be read from *out. */
static pid_t run_begin(FILE **out)
{
    char program[512], config[512];
    const char *argv[8];
    int fds[2];

    snapshot_args(argv, program, sizeof program, config, sizeof config, "--json", "take");
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)dup2(fds[1], 1);
        (void)close(fds[0]);
        (void)execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(fds[1]);
    *out = fdopen(fds[0], "r");
    ck_assert_ptr_nonnull(*out);
    return pid;
}

/* Reads on until a line has that in it; false: it has ended. */
static bool run_says(FILE *out, const char *sign)
{
    char line[1024];

    while (fgets(line, sizeof line, out) != NULL) {
        if (strstr(line, sign) != NULL) {
            return true;
        }
    }
    return false;
}

/* Starts a run and kills it with -9 as soon as it has said `sign` in its progress; a sandbox that
 * ran then is gone soon after, and of the snapshot nothing counts. False: it was through before. */
static bool kill_run_at(const char *sign)
{
    int status = 0;
    FILE *f;
    pid_t pid = run_begin(&f), sandbox;

    (void)run_says(f, sign);
    sandbox = child_of(pid);
    (void)kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    (void)fclose(f);
    for (int i = 0; sandbox > 0 && i < 1000 && kill(sandbox, 0) == 0; i++) {
        (void)usleep(10000);
    }
    ck_assert_msg(sandbox <= 0 || kill(sandbox, 0) != 0, "a redis-server is left");
    return WIFSIGNALED(status);
}

/* How many snapshots a node has. */
static unsigned snapshots_on(const char *node)
{
    char folder[512];
    const struct dirent *entry;
    unsigned count = 0;

    (void)snprintf(folder, sizeof folder, "%s/data/log-1", cluster_dir(cluster, node));
    DIR *dir = opendir(folder);
    ck_assert_msg(dir != NULL, "%s", folder);
    while ((entry = readdir(dir)) != NULL) {
        count += strstr(entry->d_name, ".meta") != NULL;
    }
    (void)closedir(dir);
    return count;
}

/* Killed in each of its steps, a run leaves no process, no folder and no snapshot that counts, and
 * the next one is none the worse for it. */
START_TEST(killed)
{
    static const char *const signs[] = {
        "\"make\",\"what\":\"start\"",  "\"make\",\"what\":\"snapshot\"",
        "\"make\",\"what\":\"replay\"", "\"make\",\"what\":\"extract\"",
        "\"make\",\"what\":\"digest\"", "\"try\",\"what\":\"start\"",
        "\"try\",\"what\":\"digest\"",  "\"store\""};
    unsigned killed_runs = 0;

    write_some(1, 20000);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        unsigned before = snapshots_on("log1");
        if (kill_run_at(signs[i])) {
            killed_runs++;
            /* While it stored it the log nodes may have had all of it: then it is whole. */
            ck_assert_uint_le(snapshots_on("log1"), before + (strstr(signs[i], "store") != NULL));
        }
        expect_nothing_left();
        write_some(2 + (int)i, 50);
    }
    ck_assert_uint_ge(killed_runs, 6);
    unsigned long long offset = snapshot_take();
    /* It may be the one of the run that was killed last, when a quorum had it: the others are given
     * it by the leader, as is one that did not answer for a while. */
    cluster_wait("all log nodes to have the snapshot", RUN_MS, all_have, &offset);
}
END_TEST

/* A disk that is full while the dataset is taken out: that is told, nothing is left, the snapshots
 * of before stay, and the log goes on. */
START_TEST(disk_is_full)
{
    char program[512], config[512], *output = mem_alloc(OUTPUT_BYTES);
    const char *argv[12] = {"/bin/sh", "-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh"};

    write_some(1, 20000);
    unsigned long long offset = snapshot_take();
    unsigned before = snapshots_on("log1");
    write_some(2, 20000);
    snapshot_args(argv + 4, program, sizeof program, config, sizeof config, "take", NULL);
    ck_assert_msg(cluster_run(argv, RUN_MS, output, OUTPUT_BYTES) == 1, "%s", output);
    ck_assert_msg(strstr(output, "File too large") != NULL, "%s", output);
    expect_nothing_left();
    ck_assert_uint_eq(snapshots_on("log1"), before);
    cluster_wait("all log nodes to have the snapshot", RUN_MS, all_have, &offset);
    write_some(3, 100);
    ck_assert_uint_gt(snapshot_take(), offset);
    free(output);
}
END_TEST

/* --- damaged --- */

/* Flips a bit in the middle of a stored snapshot on a node. */
static void damage(const char *node, unsigned long long offset)
{
    char path[512], byte;
    struct stat st;

    ck_assert(snapshot_file(node, offset, "rdb", path, sizeof path));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_msg(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
    ck_assert_int_eq(pread(fd, &byte, 1, st.st_size / 2), 1);
    byte = (char)(byte ^ 4);
    ck_assert_int_eq(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    (void)close(fd);
}

static void expect_rebuilt_from(unsigned long long offset)
{
    char before[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX], text[128];

    cluster_wait_committed(cluster);
    cluster_digest_of(cluster, "redis1", before);
    rebuild_redis();
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(before, after);
    (void)snprintf(text, sizeof text, "the resync takes the snapshot at offset %llu ", offset);
    cluster_wait_log(cluster, "proxy1", text);
    (void)snprintf(text, sizeof text, "Redis has caught up");
    cluster_wait_log(cluster, "proxy1", text);
}

/* A snapshot that is damaged on one node is had from another; one that is damaged everywhere is
 * passed over, and the one before it used; a run begins with what is whole, too. */
START_TEST(damaged)
{
    write_some(1, 8000);
    unsigned long long first = snapshot_take();
    write_some(2, 8000);
    unsigned long long second = snapshot_take();
    write_some(3, 100);
    damage("log1", second);
    expect_rebuilt_from(second);
    damage("log2", second);
    damage("log3", second);
    expect_rebuilt_from(first);
    write_some(4, 100);
    unsigned long long third = snapshot_take();
    ck_assert_uint_eq(nodes_that_have(third), 3);
}
END_TEST

/* Changes a byte of a stored snapshot's description: of the text in its head, or of the checksums
 * behind it. */
static void damage_meta(const char *node, unsigned long long offset, long at)
{
    char path[512], byte;

    ck_assert(snapshot_file(node, offset, "meta", path, sizeof path));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte = (char)(byte ^ 1);
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

struct repaired {
    const char *node;
    unsigned long long offset;
    char meta[64 << 10];
    size_t size;
};

static size_t read_meta(const char *node, unsigned long long offset, char *out, size_t size)
{
    char path[512];

    if (!snapshot_file(node, offset, "meta", path, sizeof path)) {
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ssize_t n = read(fd, out, size);
    (void)close(fd);
    return n > 0 ? (size_t)n : 0;
}

static bool is_repaired(void *arg)
{
    const struct repaired *r = arg;
    char *now = mem_alloc(sizeof r->meta);
    size_t size = read_meta(r->node, r->offset, now, sizeof r->meta);
    bool same = size == r->size && memcmp(now, r->meta, size) == 0;

    free(now);
    return same;
}

/* A description that is damaged is found when its node starts; the snapshot is had from the others,
 * and the node is given it again, the same to the byte. Damaged everywhere, the snapshot is passed
 * over, and the one before it used. So is one whose file is too short. */
START_TEST(damaged_description)
{
    static const char *const names[] = {"log1", "log2", "log3"};
    static const long places[] = {60, 4096, 9}; /* in the text; a checksum; the version */
    static struct repaired r;
    char path[512];

    write_some(1, 8000);
    unsigned long long first = snapshot_take();
    write_some(2, 8000);
    unsigned long long second = snapshot_take();
    write_some(3, 10);
    r.offset = second;
    for (int i = 0; i < 3; i++) {
        r.node = names[i];
        r.size = read_meta(names[i], second, r.meta, sizeof r.meta);
        ck_assert_uint_gt(r.size, 4096);
        cluster_kill(cluster, names[i]);
        damage_meta(names[i], second, places[i]);
        ck_assert(!is_repaired(&r));
        cluster_spawn(cluster, names[i]);
        cluster_wait_log(cluster, names[i], "is corrupt or lacks its data, and is left out");
        cluster_wait("the snapshot to be given again", RUN_MS, is_repaired, &r);
    }
    expect_rebuilt_from(second);
    for (int i = 0; i < 3; i++) {
        cluster_kill(cluster, names[i]);
    }
    for (int i = 0; i < 3; i++) {
        if (i < 2) {
            damage_meta(names[i], second, places[i]);
        } else {
            ck_assert(snapshot_file(names[i], second, "rdb", path, sizeof path));
            ck_assert_int_eq(truncate(path, 100), 0);
        }
        cluster_spawn(cluster, names[i]);
    }
    cluster_wait_leader(cluster);
    expect_rebuilt_from(first);
}
END_TEST

/* --- by itself, and by hand --- */

static const struct cluster_options scheduled_options = {
    .redis_args = redis_args,
    .pairs = 2,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"keep\": 4, \"log_min_bytes\": 1000000}"};

static void scheduled_serve(void)
{
    system_serve_with(&scheduled_options);
}

static bool has_made_one(void *arg)
{
    return cluster_info_number_of(cluster, arg, "holdfast_snapshot_runs") >= 1 &&
           cluster_info_number_of(cluster, arg, "holdfast_snapshot_offset") > 0;
}

static int ctl(const char *verb, const char *argument, char *output)
{
    char program[512], address[64];

    cluster_program("holdfast-ctl", program, sizeof program);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d",
                   cluster_port(cluster, cluster_leader(cluster)));
    return cluster_run(
        (const char *[]){program, "--proxy", address, "snapshot", verb, argument, NULL}, RUN_MS,
        output, OUTPUT_BYTES);
}

/* When enough log is behind the newest one, the follower has another made, and the leader none;
 * then the operator lists, makes, tries and deletes some. */
START_TEST(scheduled)
{
    char *output = mem_alloc(OUTPUT_BYTES), text[32], key[64];

    write_some(1, 4000);
    cluster_wait("a snapshot is made by itself", RUN_MS, has_made_one,
                 (void *)(uintptr_t)cluster_follower(cluster));
    ck_assert_int_eq(
        cluster_info_number_of(cluster, cluster_follower(cluster), "holdfast_snapshot_failures"),
        0);
    ck_assert_int_eq(
        cluster_info_number_of(cluster, cluster_leader(cluster), "holdfast_snapshot_runs"), 0);
    long long made =
        cluster_info_number_of(cluster, cluster_follower(cluster), "holdfast_snapshot_offset");
    write_some(2, 10);
    ck_assert_msg(ctl("now", NULL, output) == 0, "%s", output);
    ck_assert_msg(strstr(output, "done: the snapshot at offset ") != NULL, "%s", output);
    long long now = atoll(strstr(output, "at offset ") + strlen("at offset "));
    ck_assert_int_gt(now, made);
    ck_assert_int_eq(
        cluster_info_number_of(cluster, cluster_leader(cluster), "holdfast_snapshot_runs"), 0);
    ck_assert_msg(ctl("list", NULL, output) == 0, "%s", output);
    (void)snprintf(key, sizeof key, "%lld", now);
    ck_assert_msg(strstr(output, key) != NULL, "%s", output);
    (void)snprintf(text, sizeof text, "%lld", now);
    ck_assert_msg(ctl("verify", text, output) == 0, "%s", output);
    ck_assert_msg(ctl("delete", text, output) == 1, "%s", output); /* the log stands on it */
    (void)snprintf(text, sizeof text, "%lld", now - 1);
    ck_assert_msg(ctl("delete", text, output) == 1, "%s", output);
    ck_assert_msg(ctl("verify", text, output) == 1, "%s", output);
    ck_assert_msg(strstr(output, "no snapshot of that offset") != NULL, "%s", output);
    (void)snprintf(text, sizeof text, "%lld", made);
    ck_assert_msg(ctl("delete", text, output) == 0, "%s", output);
    ck_assert_uint_eq(nodes_that_have((unsigned long long)made), 0);
    free(output);
}
END_TEST

static const struct cluster_options late_options = {
    .redis_args = redis_args,
    .pairs = 2, /* the one that does not lead makes it, and hears of a commit late as well */
    .lease_ms = 5000,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"schedule\": false}",
    .proxy_log_json = ", \"heartbeat_ms\": 2000"};

static void late_serve(void)
{
    system_serve_with(&late_options);
}

/* All that was acknowledged before the command is in the snapshot, though the log nodes hear of a
 * commit only with what the leader sends next. */
START_TEST(acknowledged_before)
{
    char *output = mem_alloc(OUTPUT_BYTES);

    for (int i = 0; i < 3; i++) {
        write_some(i, 3);
        long long committed = cluster_info_number(cluster, "holdfast_offset_committed");
        ck_assert_msg(ctl("now", NULL, output) == 0, "%s", output);
        const char *at = strstr(output, "at offset ");
        ck_assert_msg(at != NULL, "%s", output);
        ck_assert_int_ge(atoll(at + strlen("at offset ")), committed);
    }
    free(output);
}
END_TEST

/* A redis-server of another version is no use, and that is said. */
START_TEST(other_version)
{
    char *output = mem_alloc(OUTPUT_BYTES), program[512], config[512];

    cluster_program("holdfast-snapshot", program, sizeof program);
    (void)snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    write_some(1, 10);
    const char *argv[] = {program, "--config", config, "--engine", "6.2.14", "take", NULL};
    ck_assert_int_eq(cluster_run(argv, RUN_MS, output, OUTPUT_BYTES), 1);
    ck_assert_msg(strstr(output, "redis-server is Redis 7.0.15, and this log is of Redis 6.2") !=
                      NULL,
                  "%s", output);
    expect_nothing_left();
    free(output);
}
END_TEST

/* --- a new leader meanwhile --- */

static const struct cluster_options slow_options = {
    .redis_args = redis_args,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"keep\": 4, \"schedule\": false, "
                  "\"store_rate_max_bytes\": 1000000}"};

static void slow_serve(void)
{
    system_serve_with(&slow_options);
}

/* While it is stored there is an election, and a log node is away: the nodes refuse what the former
 * term was told, it is sent under the new one, and a quorum has it in the end. */
START_TEST(election_meanwhile)
{
    int status = 0;
    FILE *f;

    write_some(1, 5000);
    redisContext *redis = cluster_connect(cluster, "proxy1");
    for (int i = 0; i < 300; i++) { /* what no RDB can make small */
        char value[8000];
        for (size_t k = 0; k < sizeof value; k++) {
            value[k] = (char)(rand() & 255);
        }
        cluster_command(redis, "SET random:%d %b", i, value, sizeof value);
    }
    redisFree(redis);
    cluster_wait_committed(cluster);
    long long term = cluster_info_number(cluster, "holdfast_term");
    pid_t pid = run_begin(&f);
    ck_assert(run_says(f, "\"store\""));
    cluster_kill(cluster, "log3");
    rebuild_redis();
    ck_assert_int_gt(cluster_info_number(cluster, "holdfast_term"), term);
    ck_assert(run_says(f, "\"taken\":true"));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)fclose(f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot");

    SYSTEM_CASE(suite, "while_writing", system_serve, 300, while_writing);
    SYSTEM_CASE(suite, "again", system_serve, 300, again);
    SYSTEM_CASE(suite, "killed", system_serve, 300, killed);
    SYSTEM_CASE(suite, "full", system_serve, 300, disk_is_full);
    SYSTEM_CASE(suite, "damaged", system_serve, 300, damaged);
    SYSTEM_CASE(suite, "description", system_serve, 300, damaged_description);
    SYSTEM_CASE(suite, "scheduled", scheduled_serve, 300, scheduled);
    SYSTEM_CASE(suite, "acknowledged", late_serve, 300, acknowledged_before);
    SYSTEM_CASE(suite, "other_version", system_serve, 300, other_version);
    SYSTEM_CASE(suite, "election", slow_serve, 300, election_meanwhile);
    return unit_main(suite);
}
