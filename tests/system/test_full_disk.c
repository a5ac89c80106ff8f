/* Snapshots, and a log node whose disk is full: what is stored stays, the log goes on, it is said,
 * and what a verified snapshot on the others makes needless is forgotten all the same, which makes
 * the room that is lacking. The disk is a small file system in memory, which wants the right to
 * mount one; else all of this is skipped. */
#include <config.h> /* unshare is an extension */

#include "common/mem.h"
#include "common/random.h"
#include "tests/lib/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {
    .redis_args = redis_args,
    .log_json = "\"segment_bytes\": 8388608, \"message_max_bytes\": 2097152, "
                "\"reserve_bytes\": 1048576",
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"snapshot\": "
                  "{\"nice\": 0, \"schedule\": false, \"store_rate_max_bytes\": 33554432}"};

enum {
    KEYS = 2000,
    VALUE_BYTES = 10000, /* 20 MB in all, and so in a snapshot */
    SEGMENT_BYTES = 8 << 20,
    DISK_BYTES = 160 << 20,
    WAIT_MS = 120000,
    TRIES = 12,
    OUTPUT_BYTES = 64 << 10,
    SKIPPED = 77,
};

static struct random dice;

/* --- the disk --- */

static void disk_path(char *path, size_t size, const char *name)
{
    (void)snprintf(path, size, "%s/data%s", cluster_dir(cluster, "log3"), name);
}

static void small_disk(void)
{
    char path[512], options[64];

    system_create();
    disk_path(path, sizeof path, "");
    ck_assert_msg(mkdir(path, 0700) == 0 || errno == EEXIST, "%s", path);
    (void)snprintf(options, sizeof options, "size=%d", (int)DISK_BYTES);
    ck_assert_msg(mount("none", path, "tmpfs", 0, options) == 0, "%s", strerror(errno));
    cluster_start(cluster);
}

static void small_disk_ends(void)
{
    char path[512];

    disk_path(path, sizeof path, "");
    (void)umount2(path, MNT_DETACH);
    system_destroy();
}

static uint64_t disk_free(void)
{
    char path[512];
    struct statvfs fs;

    disk_path(path, sizeof path, "");
    ck_assert_int_eq(statvfs(path, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* Somebody else's file takes all but so much. */
static void fill_disk(uint64_t leave_bytes)
{
    char path[512];

    disk_path(path, sizeof path, "/somebody-else");
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    uint64_t space = disk_free();
    if (space > leave_bytes) {
        ck_assert_int_eq(posix_fallocate(fd, 0, (off_t)(space - leave_bytes)), 0);
    }
    (void)close(fd);
}

static void empty_disk(void)
{
    char path[512];

    disk_path(path, sizeof path, "/somebody-else");
    (void)unlink(path);
}

/* --- what a node has --- */

static void node_path(char *path, size_t size, const char *node, uint64_t offset, const char *end)
{
    (void)snprintf(path, size, "%s/data/log-1/snap-%020" PRIu64 ".%s", cluster_dir(cluster, node),
                   offset, end);
}

static bool node_has(const char *node, uint64_t offset)
{
    char path[512];

    node_path(path, sizeof path, node, offset, "meta");
    return access(path, F_OK) == 0;
}

/* The begin of the first segment that is there. */
static uint64_t node_begin(const char *node)
{
    char path[512];
    uint64_t begin = UINT64_MAX;

    (void)snprintf(path, sizeof path, "%s/data/log-1", cluster_dir(cluster, node));
    DIR *dir = opendir(path);
    const struct dirent *entry;
    ck_assert_msg(dir != NULL, "%s", path);
    while ((entry = readdir(dir)) != NULL) {
        uint64_t offset;
        if (sscanf(entry->d_name, "seg-%20" SCNu64 ".log", &offset) == 1 && offset < begin) {
            begin = offset;
        }
    }
    (void)closedir(dir);
    return begin;
}

static bool all_have(void *arg)
{
    const uint64_t *offset = arg;
    return node_has("log1", *offset) && node_has("log2", *offset) && node_has("log3", *offset);
}

static bool log3_is_past(void *arg)
{
    const uint64_t *offset = arg;
    uint64_t begin = node_begin("log3");

    return begin != UINT64_MAX && begin > *offset;
}

/* Only what its segment holds is left of the log below it, so that no more room is to be had. */
static bool log3_is_trimmed(void *arg)
{
    const uint64_t *offset = arg;
    uint64_t begin = node_begin("log3");

    return begin != UINT64_MAX && begin + SEGMENT_BYTES > *offset;
}

/* What is stored is whole: the same bytes everywhere. */
static void expect_same(uint64_t offset)
{
    char path[512], command[1200], *output = mem_alloc(OUTPUT_BYTES);
    char other[512];

    node_path(path, sizeof path, "log1", offset, "rdb");
    node_path(other, sizeof other, "log3", offset, "rdb");
    (void)snprintf(command, sizeof command, "cmp %s %s", path, other);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    ck_assert_msg(cluster_run(argv, WAIT_MS, output, OUTPUT_BYTES) == 0, "%s", output);
    free(output);
}

/* --- what is done --- */

/* Writes the first `count` keys, with values that nothing compresses; again from the begin when
 * somebody else leads meanwhile. */
static void overwrite(int count)
{
    char *value = mem_alloc(VALUE_BYTES);

    for (int done = 0; done < count;) {
        cluster_wait_leader(cluster);
        redisContext *redis = cluster_connect(cluster, "proxy1");
        for (done = 0; done < count; done++) {
            for (int i = 0; i < VALUE_BYTES; i += 8) {
                uint64_t bits = random_next(&dice);
                memcpy(value + i, &bits, sizeof bits);
            }
            redisReply *reply =
                redisCommand(redis, "SET key:%d %b", done, value, (size_t)VALUE_BYTES);
            bool ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;
            freeReplyObject(reply);
            if (!ok) {
                break;
            }
        }
        redisFree(redis);
    }
    free(value);
    cluster_wait_committed(cluster);
}

static uint64_t offset_said(const char *output)
{
    const char *at = strstr(output, "\"offset\":");

    ck_assert_msg(at != NULL, "%s", output);
    return strtoull(at + strlen("\"offset\":"), NULL, 10);
}

static uint64_t take_snapshot(void)
{
    char program[512], config[512], *output = mem_alloc(OUTPUT_BYTES);

    cluster_program("holdfast-snapshot", program, sizeof program);
    (void)snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    const char *argv[] = {program, "--config", config, "take", NULL};
    ck_assert_msg(cluster_run(argv, WAIT_MS, output, OUTPUT_BYTES) == 0, "%s", output);
    uint64_t offset = offset_said(output);
    free(output);
    return offset;
}

static bool says_no_room(void *arg)
{
    char value[64];

    (void)arg;
    return cluster_info_of(cluster, "proxy1", "holdfast_snapshot_no_room", value, sizeof value) &&
           atoi(value) == 1;
}

/* --- tests --- */

/* There is room for the log and none for another snapshot: the others store it, the node says why
 * it does not and forgets the log below it all the same; then the old snapshot, which nothing
 * stands on any more, can go, and so there is room for the new one. Nobody removes what fills the
 * disk. */
START_TEST(trims_and_recovers)
{
    overwrite(KEYS);
    uint64_t first = take_snapshot();
    cluster_wait("all to have the first", WAIT_MS, all_have, &first);
    cluster_wait("log3 to forget", WAIT_MS, log3_is_trimmed, &first);
    fill_disk(18 << 20);
    overwrite(KEYS / 4);
    uint64_t second = take_snapshot();
    ck_assert(node_has("log1", second) && node_has("log2", second));
    cluster_wait_log(cluster, "log3", "no room for the snapshot at offset");
    cluster_wait("log3 to forget", WAIT_MS, log3_is_past, &first);
    cluster_wait("all to have the second", WAIT_MS, all_have, &second);
    expect_same(second);
    ck_assert(!node_has("log3", first));
    empty_disk();
}
END_TEST

/* Not a byte is left, so that the node's log stands still: the old snapshot stays there, the log
 * goes on with the others, who store the next one and forget what is below; the leader says that
 * one has no room. With room again, the node is brought up to date, snapshot and all. */
START_TEST(nothing_left)
{
    overwrite(KEYS);
    uint64_t first = take_snapshot();
    cluster_wait("all to have the first", WAIT_MS, all_have, &first);
    cluster_wait("log3 to forget", WAIT_MS, log3_is_trimmed, &first);
    fill_disk(0);
    overwrite(KEYS);
    uint64_t second = take_snapshot();
    ck_assert(node_has("log1", second) && node_has("log2", second));
    ck_assert(!node_has("log3", second));
    ck_assert(node_has("log3", first));
    cluster_wait("the leader to say it", WAIT_MS, says_no_room, NULL);
    ck_assert(node_has("log3", first));
    empty_disk();
    cluster_wait("all to have the second", WAIT_MS, all_have, &second);
    expect_same(second);
    overwrite(10);
}
END_TEST

/* A snapshot on its way, as another process sends it. */
struct incoming {
    uint64_t bytes; /* that are to be there */
    pid_t pid;
    bool sent; /* the process has ended: nobody saw so many */
    int status;
};

static bool log3_receives(void *arg)
{
    struct incoming *wanted = arg;
    char path[512];
    struct stat st;

    wanted->sent = waitpid(wanted->pid, &wanted->status, WNOHANG) == wanted->pid;
    disk_path(path, sizeof path, "/log-1/snap-incoming.tmp");
    return wanted->sent || (stat(path, &st) == 0 && (uint64_t)st.st_size >= wanted->bytes);
}

/* Killed with -9 while it receives one, at several points, on a disk with little room: what it has
 * afterwards is the old one, whole, until it has got all of the new one from the others. */
START_TEST(killed_while_it_stores)
{
    char program[512], config[512];

    overwrite(KEYS);
    uint64_t offset = take_snapshot();
    cluster_wait("all to have it", WAIT_MS, all_have, &offset);
    cluster_program("holdfast-snapshot", program, sizeof program);
    (void)snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    for (int i = 0, tries = 0; i < 3; tries++) {
        uint64_t at = (uint64_t)i * (KEYS / 2 - 400) * VALUE_BYTES;
        struct incoming wanted = {.bytes = at + random_below(&dice, 1 << 20)};
        ck_assert_int_lt(tries, TRIES);
        overwrite(100);
        fill_disk(50 << 20);
        fflush(NULL);
        wanted.pid = fork();
        ck_assert_int_ge(wanted.pid, 0);
        if (wanted.pid == 0) {
            execl(program, program, "--config", config, "take", (char *)NULL);
            _exit(127);
        }
        cluster_wait("log3 to receive one", WAIT_MS, log3_receives, &wanted);
        if (!wanted.sent) { /* else it was too quick for us, or we too slow: once more */
            cluster_kill(cluster, "log3");
            ck_assert(node_has("log3", offset));
            cluster_spawn(cluster, "log3");
            ck_assert_int_eq(waitpid(wanted.pid, &wanted.status, 0), wanted.pid);
            i++;
        }
        ck_assert_int_eq(wanted.status, 0);
        empty_disk();
        overwrite(1);
        offset = take_snapshot();
        cluster_wait("all to have the next", WAIT_MS, all_have, &offset);
        expect_same(offset);
    }
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);

    tcase_add_unchecked_fixture(tc, small_disk, small_disk_ends);
    tcase_add_checked_fixture(tc, system_begins, system_passed);
    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, test);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    Suite *suite = suite_create("full disk");

    /* Mounts of our own, which end with us. */
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        printf("skipped: no right to mount a file system (%s)\n", strerror(errno));
        return SKIPPED;
    }
    random_init(&dice, (uint64_t)getpid());
    add(suite, "trims", trims_and_recovers);
    add(suite, "nothing left", nothing_left);
    add(suite, "killed", killed_while_it_stores);
    return unit_main(suite);
}
