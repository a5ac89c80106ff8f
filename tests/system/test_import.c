/* A log that is exported and imported is the same again, wherever either is broken off; what is
 * damaged is found. */
#include "common/random.h"
#include "proxy/ctl/manifest.h"
#include "tests/system/ctl_run.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/resource.h>

const struct cluster_options system_options = {
    .redis_args = ctl_redis_args,
    .plain = true,
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"schedule\": false}"};

static void folder_of(char *folder, size_t size)
{
    snprintf(folder, size, "%s/exported", cluster_dir(cluster, "plain1"));
}

/* All log nodes lose everything, and Redis its data; only the log nodes run then. */
static void lose_everything(void)
{
    static const char *const names[] = {"log1", "log2", "log3"};

    cluster_kill_all(cluster);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cluster_wipe(cluster, names[i]);
        cluster_spawn(cluster, names[i]);
    }
}

/* A log that was exported in two runs, with more written between, and imported into empty log nodes
 * is the same dataset again, takes writes, and its past can be restored from there on. */
START_TEST(export_and_import)
{
    char folder[600], before[CLUSTER_DIGEST_MAX], then[CLUSTER_DIGEST_MAX],
        after[CLUSTER_DIGEST_MAX], target[64];
    char moment[64];
    const char *to;

    folder_of(folder, sizeof folder);
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    write_many(0, 1000);
    EXPECT_CTL(0, "export", folder);
    write_many(1000, 500);
    committed();
    cluster_digest_of(cluster, "redis1", then);
    uint64_t then_ms = quiet_moment();
    write_many(1500, 500);
    to = text_of(committed());
    EXPECT_CTL(0, "export", folder);
    expect_said(to);
    expect_said("2 files");
    EXPECT_CTL(0, "export", "verify", folder);
    EXPECT_CTL(1, "import", folder);
    expect_said("has a log already; nothing was changed");
    cluster_digest_of(cluster, "redis1", before);

    lose_everything();
    EXPECT_CTL(1, "import", folder, "--at", "2999-01-01T00:00:00Z");
    expect_said("--at is behind what is exported, which ends at offset ");
    EXPECT_CTL(0, "import", folder);
    expect_said(to);
    EXPECT_CTL(1, "import", folder);
    expect_said("has a log already");
    cluster_start(cluster);
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(after, before);
    write_many(2000, 10);
    snprintf(moment, sizeof moment, "@%" PRIu64 ".%03" PRIu64, then_ms / 1000, then_ms % 1000);
    EXPECT_CTL(0, "restore", "--at", moment, "--to", target, "--force");
    cluster_digest_of(cluster, "plain1", after);
    ck_assert_str_eq(after, then);

    /* And of the moment itself a new log can be made. */
    lose_everything();
    EXPECT_CTL(0, "import", folder, "--at", moment);
    cluster_start(cluster);
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(after, then);
}
END_TEST

/* An import ends at exactly the offset that is asked for if a command ends there, as a tail shows
 * it, also where many came at once and are in one record; within one, in front of it. */
START_TEST(import_at_an_offset)
{
    enum { WRITES = 200 };
    char folder[600], said[64];
    unsigned long long offsets[WRITES], before;
    unsigned queued = 0, count = 0;
    redisContext *redis = cluster_connect(cluster, "proxy1");

    folder_of(folder, sizeof folder);
    uint64_t from = committed();
    for (int i = 0; i < WRITES; i++) {
        cluster_queue(redis, &queued, "SET key:%d %d", i, i);
    }
    cluster_answers(redis, &queued);
    redisFree(redis);
    const char *to = text_of(committed());
    EXPECT_CTL(0, "tail", "--json", "--from", text_of(from), "--until", to, "--keys", "key:*");
    for (const char *at = output; (at = strstr(at, "{\"offset\":")) != NULL; at++) {
        ck_assert_uint_lt(count, WRITES);
        ck_assert_int_eq(sscanf(at, "{\"offset\":%llu", &offsets[count++]), 1);
    }
    ck_assert_uint_eq(count, WRITES);
    EXPECT_CTL(0, "export", folder);
    for (unsigned i = 17; i < WRITES; i += 61) {
        before = offsets[i];
        lose_everything();
        EXPECT_CTL(0, "import", folder, "--at", text_of(offsets[i] + (i % 2)));
        snprintf(said, sizeof said, "imported  offset %llu, of ", before);
        expect_said(said);
    }
    cluster_start(cluster);
    redis = cluster_connect(cluster, "proxy1");
    redisReply *reply = redisCommand(redis, "DBSIZE");
    ck_assert_int_eq(reply->integer, 17 + 61 + 61 + 1); /* of the last import */
    freeReplyObject(reply);
    redisFree(redis);
}
END_TEST

/* Flips a bit here and there in each file of the folder; `command` must find it every time. */
static void expect_damage_found(const char *const *command, const char *folder)
{
    char path[900];
    struct random random;
    unsigned files = 0;

    random_init(&random, 7);
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        for (int i = 0; i < 5; i++) {
            uint64_t at = random_below(&random, file_size(path));
            flip(path, at);
            int status = ctl(command);
            ck_assert_msg(status == 1, "status %d: %s", status, output);
            expect_said("is damaged");
            expect_said(e->d_name);
            flip(path, at);
        }
        files++;
    }
    closedir(dir);
    ck_assert_uint_ge(files, 3);
}

/* Any changed byte of any file is found, by export verify and by import, before anything is done.
 */
START_TEST(damage_is_found)
{
    char folder[600], path[900];

    folder_of(folder, sizeof folder);
    write_many(0, 300);
    committed();
    EXPECT_CTL(0, "export", folder);
    expect_damage_found((const char *const[]){"export", "verify", folder, NULL}, folder);
    EXPECT_CTL(0, "export", "verify", folder);
    lose_everything();
    expect_damage_found((const char *const[]){"import", folder, NULL}, folder);
    EXPECT_CTL(0, "import", folder);
    cluster_start(cluster);
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    ck_assert_int_eq(unlink(path), 0);
    EXPECT_CTL(1, "export", folder);
    expect_said("holds files, and no manifest");
}
END_TEST

/* Killed at any moment, an export leaves a folder that is whole as far as its manifest tells, and
 * the next one goes on there. */
START_TEST(export_is_killed)
{
    char folder[600], name[16];
    struct random random;
    unsigned killed = 0;

    folder_of(folder, sizeof folder);
    random_init(&random, random_seed());
    for (int round = 0; round < 20; round++) {
        snprintf(name, sizeof name, "big:%d", round);
        write_values(name, 50);
        pid_t pid = CTL_START("export", folder);
        (void)usleep((useconds_t)random_below(&random, 150000));
        (void)kill(pid, SIGKILL);
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        killed += WIFSIGNALED(status);
        status = CTL("export", "verify", folder);
        ck_assert_msg(status == 0 || strstr(output, "No such file") != NULL, "%s", output);
    }
    ck_assert_uint_gt(killed, 0);
    const char *to = text_of(committed());
    EXPECT_CTL(0, "export", folder);
    EXPECT_CTL(0, "export", "verify", folder);
    expect_said(to);
}
END_TEST

static void put_file(const char *folder, const char *name)
{
    char path[900];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fclose(f);
}

static bool is_there(const char *folder, const char *name)
{
    char path[900];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* One export at a time writes into a folder. What one that was broken off has left there goes with
 * the next; what somebody else has put there stays. */
START_TEST(export_tidies)
{
    static const char *const left[] = {"snapshot-00000000000000000001-01234567.rdb",
                                       "snapshot-00000000000000000002-01234567.rdb.part",
                                       "log.part", "manifest.json.part"};
    static const char *const more[] = {"log-00000000000000000001-01234567.hfr"};
    static const char *const theirs[] = {"notes.part", ".hidden"};
    char folder[600];

    folder_of(folder, sizeof folder);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        put_file(folder, left[i]);
    }
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
        put_file(folder, theirs[i]);
    }
    write_many(0, 100);
    committed();
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    EXPECT_CTL(1, "export", folder);
    expect_said("another export into it is under way");
    ck_assert(is_there(folder, left[0]));
    close(fd);
    EXPECT_CTL(0, "export", folder);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        ck_assert_msg(!is_there(folder, left[i]), "%s", left[i]);
    }
    put_file(folder, more[0]);
    put_file(folder, "snapshot.txt");
    write_many(100, 100);
    committed();
    EXPECT_CTL(0, "export", folder);
    ck_assert(!is_there(folder, more[0]));
    ck_assert(is_there(folder, "snapshot.txt"));
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
        ck_assert_msg(is_there(folder, theirs[i]), "%s", theirs[i]);
    }
    EXPECT_CTL(0, "export", "verify", folder);
    expect_said("2 files");
}
END_TEST

/* Told to stop at any moment, an export and an import say so; the next one goes on. */
START_TEST(told_to_stop)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    char folder[600], before[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX];
    unsigned stopped = 0;

    folder_of(folder, sizeof folder);
    write_values("values", 2000);
    committed();
    cluster_digest_of(cluster, "redis1", before);
    for (useconds_t us = 10000; us < 1000000; us += us / 3) {
        pid_t pid = CTL_START("export", folder);
        (void)usleep(us);
        kill(pid, signals[us % 3]);
        int status = ctl_wait(pid); /* by the signal: before it has begun to catch it */
        ck_assert_msg(status <= 1 || status == 128 + signals[us % 3], "status %d", status);
        stopped += status == 1;
        status = CTL("export", "verify", folder);
        ck_assert_msg(status == 0 || strstr(output, "No such file") != NULL, "%s", output);
    }
    ck_assert_uint_gt(stopped, 0);
    EXPECT_CTL(0, "export", folder);

    stopped = 0;
    lose_everything();
    for (useconds_t us = 50000;; us += us / 3) {
        pid_t pid = CTL_START("import", folder);
        (void)usleep(us);
        kill(pid, signals[us % 3]);
        int status = ctl_wait(pid);
        if (status == 0 || us > 20000000) {
            break;
        }
        ck_assert_msg(status == 1 || status == 128 + signals[us % 3], "status %d", status);
        stopped += status == 1;
    }
    ck_assert_uint_gt(stopped, 0);
    cluster_start(cluster);
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(after, before);
}
END_TEST

/* holdfast-ctl with a disk that is full once a file has that many bytes; its exit status. */
static int ctl_on_a_full_disk(rlim_t bytes, const char *const *args)
{
    const char *argv[CTL_ARGS_MAX];
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
    int said[2];
    size_t size = 0;
    ssize_t n;

    ctl_argv(args, argv);
    ck_assert_int_eq(pipe(said), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (dup2(said[1], STDERR_FILENO) >= 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR &&
            setrlimit(RLIMIT_FSIZE, &limit) == 0) {
            close(said[0]);
            close(said[1]);
            execv(argv[0], (char *const *)(uintptr_t)argv);
        }
        _exit(127);
    }
    close(said[1]);
    while ((n = read(said[0], output + size, OUTPUT_MAX - 1 - size)) > 0) {
        size += (size_t)n;
    }
    output[size] = '\0';
    close(said[0]);
    return ctl_wait(pid);
}
#define CTL_FULL(bytes, ...) ctl_on_a_full_disk(bytes, (const char *const[]){__VA_ARGS__, NULL})

/* A disk that is full, at any size of the files, is told by name; what is unfinished is never taken
 * for a whole export, and the next one goes on. A restored file is not there. */
START_TEST(disk_is_full)
{
    char folder[600], path[700];

    folder_of(folder, sizeof folder);
    write_values("values", 500);
    committed();
    for (rlim_t bytes = 100; bytes < 20 << 20; bytes *= 17) {
        int status = CTL_FULL(bytes, "export", folder);
        ck_assert_msg(status == (bytes < 10 << 20), "status %d: %s", status, output);
        if (status == 1) {
            expect_said(folder);
            expect_said("File too large");
            status = CTL("export", "verify", folder);
            ck_assert_msg(status == 0 || strstr(output, "No such file") != NULL, "%s", output);
            if (status == 0) {
                expect_said("in 0 files");
            }
        }
    }
    const char *to = text_of(committed());
    EXPECT_CTL(0, "export", folder);
    EXPECT_CTL(0, "export", "verify", folder);
    expect_said(to);

    snprintf(path, sizeof path, "%s/full.rdb", cluster_dir(cluster, "plain1"));
    ck_assert_int_eq(CTL_FULL(10000, "restore", "--at", "now", "--to", path), 1);
    expect_said("File too large");
    ck_assert_int_ne(access(path, F_OK), 0);
    strcat(path, ".part");
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ---- an import that is broken off ---- */

/* Whether the log node has a MiB of the log, or more: segments have their size from the beginning,
 * and hold zeros where nothing was written. */
static bool has_a_part(void *node)
{
    char path[700], file[1000];
    uint8_t byte = 0;

    snprintf(path, sizeof path, "%s/data/log-1", cluster_dir(cluster, node));
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir != NULL && byte == 0 && (e = readdir(dir)) != NULL;) {
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        int fd = open(file, O_RDONLY);
        if (fd >= 0) {
            byte = pread(fd, &byte, 1, 1 << 20) == 1 ? byte : 0;
            close(fd);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return byte != 0;
}

/* A proxy and a Redis are started: they lead, but have nothing to serve, and never do. */
static void expect_not_served(void)
{
    redisContext *redis;

    cluster_spawn(cluster, "redis1");
    cluster_spawn(cluster, "proxy1");
    cluster_wait_log(cluster, "proxy1", "no snapshot");
    redis = cluster_connect(cluster, "proxy1");
    redisReply *reply = redisCommand(redis, "DBSIZE");
    ck_assert_ptr_nonnull(reply);
    ck_assert_msg(reply->type == REDIS_REPLY_ERROR, "it serves %lld keys", reply->integer);
    freeReplyObject(reply);
    redisFree(redis);
    cluster_kill(cluster, "proxy1");
    cluster_kill(cluster, "redis1");
}

/* Killed when a part of the log is there, an import leaves nothing that is ever served; other data
 * are not put behind it; and the next one of the same goes on where it was. */
START_TEST(import_goes_on)
{
    char folder[600], other[700], before[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX];

    folder_of(folder, sizeof folder);
    snprintf(other, sizeof other, "%s-other", folder);
    write_values("other", 500);
    committed();
    EXPECT_CTL(0, "export", other);
    lose_everything();
    cluster_start(cluster);
    write_values("values", 1500);
    const char *to = text_of(committed());
    EXPECT_CTL(0, "export", folder);
    cluster_digest_of(cluster, "redis1", before);

    lose_everything();
    pid_t pid = CTL_START("import", folder);
    cluster_wait("a part of it to be there", WAIT_MS, has_a_part, (void *)(uintptr_t) "log1");
    kill(pid, SIGKILL);
    ck_assert_int_eq(ctl_wait(pid), 128 + SIGKILL);
    EXPECT_CTL(1, "import", other);
    expect_said("an import of other data was broken off here");
    EXPECT_CTL(1, "import", folder, "--at", "0");
    expect_said("an import was broken off here, and has come to offset");
    EXPECT_CTL(1, "restore", "--to", other);
    expect_said("no snapshot is there to begin with");
    expect_not_served();
    EXPECT_CTL(0, "import", folder);
    expect_said("an import was broken off here: it goes on at offset");
    expect_said(to);
    cluster_start(cluster);
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(after, before);
    EXPECT_CTL(1, "import", folder);
    expect_said("has a log already");
}
END_TEST

/* Killed at any moments, one attempt after the other, it comes to its end, and what is served then
 * is what was exported. */
START_TEST(import_is_killed)
{
    char folder[600], before[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX];
    struct random random;
    unsigned killed = 0;
    int status;

    folder_of(folder, sizeof folder);
    uint64_t seed = random_seed();
    printf("seed %" PRIu64 "\n", seed);
    random_init(&random, seed);
    write_values("values", 1000);
    committed();
    EXPECT_CTL(0, "export", folder);
    cluster_digest_of(cluster, "redis1", before);
    for (int round = 0; round < 3; round++) {
        lose_everything();
        for (uint64_t most_ms = 100;; most_ms = most_ms * 5 / 4) {
            pid_t pid = CTL_START("import", folder);
            (void)usleep((useconds_t)random_below(&random, most_ms * 1000));
            (void)kill(pid, SIGKILL);
            status = ctl_wait(pid);
            if (status != 128 + SIGKILL) {
                break;
            }
            killed++;
        }
        if (status != 0) { /* killed when all was done */
            EXPECT_CTL(1, "import", folder);
            expect_said("has a log already");
        }
        cluster_start(cluster);
        cluster_digest_of(cluster, "redis1", after);
        ck_assert_str_eq(after, before);
    }
    ck_assert_uint_gt(killed, 0);
}
END_TEST

/* ---- of a newer Redis ---- */

/* Has the manifest say that another Redis has written the snapshot. */
static void claim_version(const char *folder, const char *version)
{
    static char text[1 << 16];
    char path[700];
    struct manifest m;
    struct buf out = BUF_INIT;
    const char *why;

    snprintf(path, sizeof path, "%s/manifest.json", folder);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    size_t size = fread(text, 1, sizeof text, f);
    fclose(f);
    ck_assert_int_eq(manifest_parse(text, size, &m, &why), ERR_OK);
    snprintf(m.snapshot.engine_version, sizeof m.snapshot.engine_version, "%s", version);
    manifest_print(&m, &out);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(buf_head(&out), 1, out.len, f), out.len);
    ck_assert_int_eq(fclose(f), 0);
    manifest_fini(&m);
    buf_release(&out);
}

/* What a newer Redis has written is not restored into an older one unless that is insisted upon;
 * what an older one has is, and that is said. */
START_TEST(written_by_another_redis)
{
    char folder[600], target[64], reply[100], path[700];

    folder_of(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/other.rdb", cluster_dir(cluster, "plain1"));
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    write_many(0, 100);
    committed();
    EXPECT_CTL(0, "export", folder);

    claim_version(folder, "7.4.1");
    lose_everything();
    EXPECT_CTL(0, "import", folder);
    expect_said("Redis 7.4.1");
    cluster_spawn(cluster, "plain1");
    EXPECT_CTL(1, "restore", "--at", "now", "--to", target);
    expect_said("older than the 7.4.1 that wrote the data; nothing was changed (--force");
    cluster_ask(cluster, "plain1", reply, sizeof reply, (const char *[]){"DBSIZE", NULL});
    ck_assert_str_eq(reply, "0");
    EXPECT_CTL(1, "restore", "--at", "now", "--to", path);
    expect_said("redis-server is Redis 7.0");
    expect_said("older than the 7.4.1 that wrote the data; nothing was changed (--force");
    ck_assert_int_ne(access(path, F_OK), 0);
    EXPECT_CTL(0, "restore", "--at", "now", "--to", path, "--force");
    EXPECT_CTL(0, "restore", "--at", "now", "--to", target, "--force");

    claim_version(folder, "6.2.7");
    lose_everything();
    EXPECT_CTL(0, "import", folder);
    cluster_spawn(cluster, "plain1");
    EXPECT_CTL(0, "restore", "--at", "now", "--to", target, "--force");
    expect_said("the data were written by Redis 6.2.7");
    EXPECT_CTL(0, "restore", "--at", "now", "--to", path, "--force");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("import");

    SYSTEM_CASE(suite, "import", system_serve, 600, export_and_import);
    SYSTEM_CASE(suite, "at an offset", system_serve, 300, import_at_an_offset);
    SYSTEM_CASE(suite, "damage", system_serve, 300, damage_is_found);
    SYSTEM_CASE(suite, "killed", system_serve, 300, export_is_killed);
    SYSTEM_CASE(suite, "tidy", system_serve, 300, export_tidies);
    SYSTEM_CASE(suite, "stopped", system_serve, 300, told_to_stop);
    SYSTEM_CASE(suite, "version", system_serve, 300, written_by_another_redis);
    SYSTEM_CASE(suite, "full", system_serve, 300, disk_is_full);
    SYSTEM_CASE(suite, "resumed", system_serve, 300, import_goes_on);
    SYSTEM_CASE(suite, "import killed", system_serve, 300, import_is_killed);
    return unit_main(suite);
}
