/* The log's past, by holdfast-ctl: the change feed shows exactly what is committed, in order, and
 * goes on where it was left; what is restored at a time is what there was at that time.
 *
 * RESTORES=n: how many random times are restored (make check: a few). */
#include "common/random.h"
#include "tests/system/ctl_run.h"

const struct cluster_options system_options = {
    .redis_args = ctl_redis_args,
    .plain = true,
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"schedule\": false, \"keep\": 9}"};

enum {
    RESTORES_DEFAULT = 10,
    RESTORES_MAX = 1000,
    MODEL_KEYS = 20,
};

/* The lines of `output` that are effects, without the messages. */
static unsigned lines_of(const char *lines[], unsigned max)
{
    unsigned n = 0;

    char *rest = NULL;
    for (char *at = strtok_r(output, "\n", &rest); at != NULL; at = strtok_r(NULL, "\n", &rest)) {
        if (at[0] == '{') {
            ck_assert_uint_lt(n, max);
            lines[n++] = at;
        }
    }
    return n;
}

static uint64_t offset_of(const char *line)
{
    unsigned long long offset;
    ck_assert_msg(sscanf(line, "{\"offset\":%llu,", &offset) == 1, "%s", line);
    return offset;
}

static void expect_tail(const char *line, const char *effect)
{
    const char *at = strstr(line, "\"db\":");
    ck_assert_msg(at != NULL && strcmp(at, effect) == 0, "%s, not %s", line, effect);
}

/* ---- the change feed ---- */

/* Everything that was committed, as effects, in order, each once; then resumed behind each line in
 * turn it shows exactly the rest, in the right database, also within a transaction; and ended at
 * each in turn, that one is the last. */
START_TEST(tail_shows_what_is_committed)
{
    static const char *const effects[] = {
        "\"db\":0,\"command\":\"SET\",\"args\":[\"a\",\"1\"]}",
        "\"db\":0,\"command\":\"SET\",\"args\":[\"b\",{\"base64\":\"/wA=\"}]}",
        "\"db\":4,\"transaction\":T,\"more\":true,\"command\":\"INCR\",\"args\":[\"n\"]}",
        "\"db\":4,\"transaction\":T,\"command\":\"RPUSH\",\"args\":[\"l\",\"x\",\"y\"]}",
        "\"db\":4,\"command\":\"SREM\",\"args\":[\"s\",\"only\"]}",
        "\"db\":4,\"command\":\"FLUSHALL\",\"args\":[]}",
    };
    enum { EFFECTS = sizeof effects / sizeof *effects };
    const char *lines[EFFECTS + 1];
    uint64_t offsets[EFFECTS];
    redisContext *redis = cluster_connect(cluster, "proxy1");

    cluster_command(redis, "SELECT 4");
    cluster_command(redis, "SADD s only");
    cluster_command(redis, "SELECT 0");
    uint64_t from = committed(), begin = from;
    cluster_command(redis, "SET a 1");
    cluster_command(redis, "SET b %b", "\xff", (size_t)2);
    cluster_command(redis, "GET a");
    cluster_command(redis, "SELECT 4");
    cluster_command(redis, "MULTI");
    cluster_command(redis, "INCR n");
    cluster_command(redis, "RPUSH l x y");
    cluster_command(redis, "EXEC");
    cluster_command(redis, "SREM s nobody");
    cluster_command(redis, "SPOP s");
    cluster_command(redis, "FLUSHALL");
    redisFree(redis);
    const char *to = text_of(committed());

    for (unsigned first = 0; first <= EFFECTS; first++) {
        EXPECT_CTL(0, "tail", "--json", "--from", text_of(from), "--until", to);
        unsigned n = lines_of(lines, EFFECTS + 1);
        ck_assert_uint_eq(n, EFFECTS - first);
        for (unsigned i = 0; i < n; i++) {
            char expected[200], begun[24];
            const char *effect = effects[first + i], *at = strstr(effect, ":T,");
            const char *transaction = strstr(lines[i], "\"transaction\":");
            snprintf(expected, sizeof expected, "%s", effect);
            if (at != NULL) {
                ck_assert_ptr_nonnull(transaction);
                transaction += strlen("\"transaction\":");
                snprintf(begun, sizeof begun, "%.*s", (int)strcspn(transaction, ","), transaction);
                snprintf(expected, sizeof expected, "%.*s:%s%s", (int)(at - effect), effect, begun,
                         at + 2);
            }
            expect_tail(lines[i], expected);
            offsets[first + i] = offset_of(lines[i]);
            ck_assert_uint_gt(offsets[first + i], i == 0 ? from : offsets[first + i - 1]);
        }
        from = first < EFFECTS ? offsets[first] : from;
    }
    for (unsigned last = 0; last < EFFECTS; last++) {
        EXPECT_CTL(0, "tail", "--json", "--from", text_of(begin), "--until",
                   text_of(offsets[last]));
        unsigned n = lines_of(lines, EFFECTS + 1);
        ck_assert_uint_eq(n, last + 1);
        ck_assert_uint_eq(offset_of(lines[last]), offsets[last]);
        ck_assert_ptr_null(strstr(lines[last], "\"more\"")); /* nothing more of it is shown */
    }
}
END_TEST

/* Only what may have changed such keys; of a transaction the last that is shown is its last. */
START_TEST(tail_filters_by_key)
{
    const char *lines[10];
    redisContext *redis = cluster_connect(cluster, "proxy1");
    uint64_t from = committed();

    cluster_command(redis, "SET user:1 a");
    cluster_command(redis, "SET order:1 user:1");
    cluster_command(redis, "MSET x 1 user:2 b");
    cluster_command(redis, "SWAPDB 0 1");
    cluster_command(redis, "SWAPDB 0 1");
    cluster_command(redis, "DEL order:1");
    cluster_command(redis, "MULTI");
    cluster_command(redis, "SET order:2 1");
    cluster_command(redis, "SET user:3 1");
    cluster_command(redis, "SET user:4 1");
    cluster_command(redis, "SET order:3 1");
    cluster_command(redis, "EXEC");
    redisFree(redis);
    EXPECT_CTL(0, "tail", "--json", "--from", text_of(from), "--until", text_of(committed()),
               "--keys", "user:*");
    ck_assert_uint_eq(lines_of(lines, 10), 6);
    expect_tail(lines[0], "\"db\":0,\"command\":\"SET\",\"args\":[\"user:1\",\"a\"]}");
    expect_tail(lines[1], "\"db\":0,\"command\":\"MSET\",\"args\":[\"x\",\"1\",\"user:2\",\"b\"]}");
    ck_assert_ptr_nonnull(strstr(lines[2], "SWAPDB"));
    ck_assert_ptr_nonnull(strstr(lines[4], "\"more\":true"));
    ck_assert_ptr_nonnull(strstr(lines[4], "\"user:3\""));
    ck_assert_ptr_null(strstr(lines[5], "\"more\""));
    ck_assert_ptr_nonnull(strstr(lines[5], "\"user:4\""));
}
END_TEST

/* A tail that runs: the process, and its output so far in a file. */
struct running {
    pid_t pid;
    char path[600];
};

static void tail_start_with(struct running *r, const char *const *args)
{
    snprintf(r->path, sizeof r->path, "%s/tail.out", cluster_dir(cluster, "proxy1"));
    int fd = open(r->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    r->pid = ctl_start(fd, -1, args);
    close(fd);
}

static void tail_start(struct running *r, const char *from)
{
    tail_start_with(r, (const char *const[]){"tail", "--json", "--from", from, NULL});
}

static unsigned tail_count(const struct running *r)
{
    FILE *f = fopen(r->path, "re");
    unsigned n = 0;
    int c;

    if (f == NULL) {
        return 0;
    }
    while ((c = getc(f)) != EOF) {
        n += c == '\n';
    }
    fclose(f);
    return n;
}

struct counted {
    const struct running *running;
    unsigned count;
};

static bool tail_has(void *arg)
{
    const struct counted *c = arg;
    return tail_count(c->running) >= c->count;
}

/* The output of a tail that runs, in `output`. */
static void tail_read(const struct running *r)
{
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = pread(fd, output, OUTPUT_MAX - 1, 0);

    ck_assert_int_ge(n, 0);
    output[n] = '\0';
    close(fd);
}

/* Each time it is asked something is written that the tail does not show. */
static bool tail_marks(void *arg)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");

    cluster_command(redis, "SET order:1 1");
    redisFree(redis);
    return tail_has(arg);
}

/* Who is shown nothing hears from where to go on. */
START_TEST(tail_tells_how_far_it_is)
{
    struct running running;
    struct counted counted = {&running, 2};
    const char *lines[20];
    uint64_t from = committed();

    tail_start_with(&running, (const char *const[]){"tail", "--json", "--from", text_of(from),
                                                    "--keys", "user:*", "--marks", "1", NULL});
    cluster_wait("two marks", WAIT_MS, tail_marks, &counted);
    kill(running.pid, SIGTERM);
    ck_assert_int_eq(waitpid(running.pid, NULL, 0), running.pid);
    tail_read(&running);
    ck_assert_uint_ge(lines_of(lines, 20), 2);
    ck_assert_ptr_null(strstr(lines[0], "command"));
    ck_assert_uint_gt(offset_of(lines[0]), from);
    ck_assert_uint_gt(offset_of(lines[1]), offset_of(lines[0]));
    from = offset_of(lines[1]);
    redisContext *redis = cluster_connect(cluster, "proxy1");
    cluster_command(redis, "SET user:1 1");
    redisFree(redis);
    EXPECT_CTL(0, "tail", "--json", "--from", text_of(from), "--until", text_of(committed()),
               "--keys", "user:*");
    ck_assert_uint_eq(lines_of(lines, 20), 1);
}
END_TEST

static bool executed_is_ahead(void *arg)
{
    return (uint64_t)cluster_info_number(cluster, "holdfast_offset_executed") > *(uint64_t *)arg;
}

/* What is not known to be committed is waited for, a lease long: here the leader's own runs out. */
static void short_lease_serve(void)
{
    struct cluster_options options = system_options;

    options.lease_ms = 0;
    system_serve_with(&options);
}

/* With two of three log nodes frozen, a write is executed and in one log, but not committed: it is
 * not shown, not by a tail that runs nor by a new one. Once they are back, it is. */
START_TEST(tail_shows_nothing_uncommitted)
{
    struct running running;
    struct counted counted = {&running, 1};
    redisContext *redis = cluster_connect(cluster, "proxy1");
    uint64_t before = committed();

    tail_start(&running, text_of(before));
    cluster_command(redis, "SET seen 1");
    cluster_wait("the tail to show a write", WAIT_MS, tail_has, &counted);
    uint64_t after = committed();
    cluster_pause(cluster, "log2");
    cluster_pause(cluster, "log3");
    ck_assert_int_eq(redisAppendCommand(redis, "SET unseen 1"), REDIS_OK);
    int done = 0;
    while (!done) {
        ck_assert_int_eq(redisBufferWrite(redis, &done), REDIS_OK);
    }
    cluster_wait("the write to be executed", WAIT_MS, executed_is_ahead, &after);
    (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL); /* it would have come by then */
    ck_assert_uint_eq(tail_count(&running), 1);
    EXPECT_CTL(0, "tail", "--json", "--from", text_of(before), "--until", "now");
    ck_assert_msg(strstr(output, "unseen") == NULL, "%s", output);
    expect_said("\"seen\"");
    cluster_resume(cluster, "log2");
    cluster_resume(cluster, "log3");
    counted.count = 2;
    cluster_wait("the tail to show the other", WAIT_MS, tail_has, &counted);
    kill(running.pid, SIGTERM);
    ck_assert_int_eq(waitpid(running.pid, NULL, 0), running.pid);
    redisFree(redis);
}
END_TEST

/* A leader is killed with a write in one log only, which the next one commits or nobody ever does;
 * and one of the log nodes with it. */
static void lose_leader_and(const char *lost, const char *second, const char *third, unsigned round)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");
    uint64_t before = (uint64_t)cluster_info_number(cluster, "holdfast_offset_executed");

    cluster_pause(cluster, second);
    cluster_pause(cluster, third);
    ck_assert_int_eq(redisAppendCommand(redis, "SET last:%u 1", round), REDIS_OK);
    int done = 0;
    while (!done) {
        ck_assert_int_eq(redisBufferWrite(redis, &done), REDIS_OK);
    }
    cluster_wait("the write to be executed", WAIT_MS, executed_is_ahead, &before);
    cluster_kill(cluster, "proxy1");
    redisFree(redis);
    cluster_resume(cluster, second);
    cluster_resume(cluster, third);
    cluster_kill(cluster, lost);
    cluster_spawn(cluster, "proxy1");
    cluster_wait_leader(cluster);
    redis = cluster_connect(cluster, "proxy1");
    cluster_command(redis, "SET behind:%u 1", round);
    redisFree(redis);
    cluster_spawn(cluster, lost);
}

/* A tail that runs goes on over leaders that are killed in the middle of a write, and log nodes
 * that are killed in turn: it shows what one that is begun afterwards shows, nothing else, nothing
 * twice. */
START_TEST(tail_outlives_them_all)
{
    static const char *const nodes[] = {"log1", "log2", "log3"};
    static char fresh[OUTPUT_MAX];
    struct running running = {.pid = -1};
    uint64_t from = committed();

    tail_start(&running, text_of(from));
    for (unsigned round = 0; round < 3; round++) {
        redisContext *redis = cluster_connect(cluster, "proxy1");
        for (unsigned i = 0; i < 50; i++) {
            cluster_command(redis, "SET round:%u %u", round, i);
        }
        redisFree(redis);
        lose_leader_and(nodes[round], nodes[(round + 1) % 3], nodes[(round + 2) % 3], round);
    }
    EXPECT_CTL(0, "tail", "--json", "--from", text_of(from), "--until", "now");
    memcpy(fresh, output, OUTPUT_MAX);
    struct counted counted = {&running, 0};
    for (const char *c = fresh; *c != '\0'; c++) {
        counted.count += *c == '\n';
    }
    ck_assert_uint_ge(counted.count, 3 * 51);
    ck_assert_ptr_nonnull(strstr(fresh, "\"behind:2\""));
    cluster_wait("the tail to show all of it", WAIT_MS, tail_has, &counted);
    tail_read(&running);
    output[strlen(fresh)] = '\0'; /* marks of the leader may have come since */
    ck_assert_str_eq(output, fresh);
    kill(running.pid, SIGTERM);
    ck_assert_int_eq(waitpid(running.pid, NULL, 0), running.pid);
}
END_TEST

/* ---- restoring ---- */

/* What there was at a time: the time (no write was under way), the offset, and the digest of a
 * plain Redis that was sent the same. */
struct point {
    uint64_t wall_ms;
    uint64_t offset;
    char digest[CLUSTER_DIGEST_MAX];
};

static struct point points[RESTORES_MAX];

/* A random write, the same to both. */
static void write_to_both(redisContext *redis, redisContext *model, struct random *random)
{
    unsigned key = (unsigned)random_below(random, MODEL_KEYS);
    unsigned value = (unsigned)random_below(random, 1000);
    redisContext *both[] = {redis, model};
    uint64_t what = random_below(random, 9);

    for (int i = 0; i < 2; i++) {
        switch (what) {
        case 0:
            cluster_command(both[i], "DEL string:%u list:%u", key, key);
            break;
        case 1:
            cluster_command(both[i], "INCRBY number:%u %u", key, value);
            break;
        case 2:
            cluster_command(both[i], "RPUSH list:%u %u", key, value);
            break;
        case 3:
            cluster_command(both[i], "HSET hash:%u f%u %u", key, value % 7, value);
            break;
        case 4:
            cluster_command(both[i], "ZADD zset:%u %u m%u", key, value, value % 5);
            break;
        case 5:
            cluster_command(both[i], "SELECT %u", key % 4);
            break;
        case 6:
            cluster_command(both[i], "MULTI");
            cluster_command(both[i], "SET string:%u %u", key, value);
            cluster_command(both[i], "APPEND string:%u x", key);
            cluster_command(both[i], "EXEC");
            break;
        default:
            cluster_command(both[i], "SET string:%u %u", key, value);
        }
    }
}

static unsigned restores(void)
{
    const char *text = getenv("RESTORES");
    unsigned n = text != NULL ? (unsigned)strtoul(text, NULL, 10) : RESTORES_DEFAULT;

    ck_assert(n > 0 && n <= RESTORES_MAX);
    return n;
}

/* The points at which it will be looked, among many writes; also over a new leader's term. */
static void make_points(unsigned count, struct random *random)
{
    redisContext *redis = cluster_connect(cluster, "proxy1");
    redisContext *model = cluster_connect(cluster, "plain1");

    for (unsigned i = 0; i < count; i++) {
        uint64_t writes = 1 + random_below(random, 30);
        for (uint64_t k = 0; k < writes; k++) {
            write_to_both(redis, model, random);
        }
        points[i].wall_ms = quiet_moment();
        points[i].offset = (uint64_t)cluster_info_number(cluster, "holdfast_offset_committed");
        cluster_digest(model, points[i].digest);
        if (i == count / 2) {
            redisFree(redis);
            cluster_kill(cluster, "proxy1");
            cluster_spawn(cluster, "proxy1");
            cluster_wait_leader(cluster);
            redis = cluster_connect(cluster, "proxy1");
            cluster_command(model, "SELECT 0");
        }
    }
    write_to_both(redis, model, random);
    redisFree(redis);
    redisFree(model);
}

static void expect_restored(const char *target, unsigned i)
{
    char moment[64];
    const struct point *p = &points[i];

    if (i % 5 == 4) {
        snprintf(moment, sizeof moment, "%" PRIu64, p->offset);
    } else {
        snprintf(moment, sizeof moment, "@%" PRIu64 ".%03" PRIu64, p->wall_ms / 1000,
                 p->wall_ms % 1000);
    }
    EXPECT_CTL(0, "restore", "--at", moment, "--to", target, "--force");
    redisContext *redis = cluster_connect(cluster, "plain1");
    char digest[CLUSTER_DIGEST_MAX];
    cluster_digest(redis, digest);
    redisFree(redis);
    ck_assert_msg(strcmp(digest, p->digest) == 0, "at %s it is another: %s", moment, output);
}

/* The property: at random times of a random workload, what is restored is what there was. */
START_TEST(restore_at_any_time)
{
    struct random random;
    unsigned count = restores();
    char target[64];

    uint64_t seed = random_seed();
    printf("seed %" PRIu64 "\n", seed);
    random_init(&random, seed);
    cluster_ask(cluster, "proxy1", output, 100, (const char *[]){"FLUSHALL", NULL});
    cluster_ask(cluster, "plain1", output, 100, (const char *[]){"FLUSHALL", NULL});
    make_points(count, &random);
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    uint64_t begun_ns = clock_now_ns();
    for (unsigned i = 0; i < count; i++) {
        unsigned other = i + (unsigned)random_below(&random, count - i);
        struct point p = points[i];
        points[i] = points[other];
        points[other] = p;
        expect_restored(target, i);
    }
    uint64_t each_ms = (clock_now_ns() - begun_ns) / CLOCK_NS_PER_MS / count;
    printf("%u moments restored exactly, %" PRIu64 " ms each\n", count, each_ms);
}
END_TEST

/* What is refused, and in which words; and an RDB file, which a stock Redis loads. */
START_TEST(restore_refuses)
{
    char target[64], proxy[64], path[700], folder[600];
    redisContext *redis = cluster_connect(cluster, "proxy1");
    redisContext *plain = cluster_connect(cluster, "plain1");

    cluster_command(redis, "SET here 1");
    cluster_command(plain, "SET there 1");
    uint64_t at = committed();
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    snprintf(proxy, sizeof proxy, "127.0.0.1:%d", cluster_port(cluster, "proxy1"));
    snprintf(folder, sizeof folder, "%s", cluster_dir(cluster, "plain1"));
    snprintf(path, sizeof path, "%s/past.rdb", folder);

    EXPECT_CTL(2, "restore", "--at", "now");
    expect_said("restore needs --to");
    EXPECT_CTL(2, "restore", "--at", "soon", "--to", path);
    expect_said("not an offset or a time");
    EXPECT_CTL(2, "status", "--at", "now");
    expect_said("status takes no --at");
    EXPECT_CTL(2, "restore", "--at", "now", "--to", "127.0.0.1:70000");
    expect_said("not HOST:PORT: 127.0.0.1:70000 (./127.0.0.1:70000, if a file");
    EXPECT_CTL(2, "restore", "--at", "now", "--to", "");
    EXPECT_CTL(1, "restore", "--at", "2999-01-01T00:00:00Z", "--to", path);
    expect_said("--at: 2999-01-01T00:00:00.000Z has not come yet: it is 2");
    EXPECT_CTL(1, "tail", "--from", "2999-01-01T00:00:00Z");
    expect_said("has not come yet");
    EXPECT_CTL(2, "tail", "--db", "5");
    expect_said("--db says which database the stream is in at --from OFFSET");
    EXPECT_CTL(1, "restore", "--at", "now", "--to", target);
    expect_said("is not empty; nothing was changed (--force");
    cluster_ask(cluster, "plain1", output, 100, (const char *[]){"GET", "there", NULL});
    ck_assert_str_eq(output, "1");
    EXPECT_CTL(1, "restore", "--at", "now", "--to", proxy, "--force");
    expect_said("is a proxy");
    EXPECT_CTL(1, "restore", "--at", "2001-01-01T00:00:00Z", "--to", path);
    expect_said("before what is kept: the earliest moment is 2");
    EXPECT_CTL(1, "restore", "--at", text_of(at + 1000000), "--to", path);
    expect_said("the log is committed up to");
    ck_assert_int_ne(access(path, F_OK), 0);

    EXPECT_CTL(0, "restore", "--at", "now", "--to", path);
    expect_said(", of 20");
    EXPECT_CTL(1, "restore", "--at", "now", "--to", path);
    expect_said("is there already");
    ck_assert_int_eq(access(path, R_OK), 0);
    cluster_command(plain, "CONFIG SET dbfilename past.rdb");
    cluster_command(plain, "CONFIG SET dir %s", folder);
    cluster_command(plain, "DEBUG RELOAD NOSAVE NOFLUSH MERGE");
    cluster_ask(cluster, "plain1", output, 100, (const char *[]){"GET", "here", NULL});
    ck_assert_str_eq(output, "1");
    redisFree(redis);
    redisFree(plain);
}
END_TEST

/* ---- several snapshots ---- */

static void expect_restored_to(uint64_t offset, const char *digest)
{
    char target[64], restored[CLUSTER_DIGEST_MAX];

    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    EXPECT_CTL(0, "restore", "--at", text_of(offset), "--to", target, "--force");
    cluster_digest_of(cluster, "plain1", restored);
    ck_assert_msg(strcmp(restored, digest) == 0, "it is another: %s", output);
}

/* Flips a bit of the RDB, that part of it behind its begin, on the first `count` log nodes. */
static void damage_snapshot(uint64_t offset, size_t count, uint64_t part)
{
    static const char *const names[] = {"log1", "log2", "log3"};
    char path[900];

    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/data/log-1/snap-%020" PRIu64 ".rdb",
                 cluster_dir(cluster, names[i]), offset);
        flip(path, file_size(path) / part);
    }
}

/* A restore begins with the newest snapshot before the moment; where that one is damaged on some
 * nodes, with what another has of it; on every node, with the one before. The stream's database is
 * known behind a snapshot, too. */
START_TEST(restore_by_snapshots)
{
    char first[CLUSTER_DIGEST_MAX], second[CLUSTER_DIGEST_MAX];
    const char *lines[10];
    char text[64];

    write_many(0, 400);
    uint64_t first_at = committed();
    cluster_digest_of(cluster, "redis1", first);
    write_many(400, 101); /* ends in another database than 0 */
    uint64_t written = committed();
    EXPECT_CTL(0, "snapshot", "now");
    write_many(501, 300);
    uint64_t second_at = committed();
    cluster_digest_of(cluster, "redis1", second);

    expect_restored_to(first_at, first);
    expect_said("the snapshot at offset 0 ");
    expect_restored_to(second_at, second);
    /* At what the log nodes knew to be committed, a heartbeat behind perhaps. */
    unsigned long long taken = 0;
    const char *base = strstr(output, "the snapshot at offset ");
    ck_assert_int_eq(sscanf(base, "the snapshot at offset %llu ", &taken), 1);
    ck_assert(taken > first_at && taken <= written);

    redisContext *redis = cluster_connect(cluster, "proxy1");
    cluster_command(redis, "SELECT 2");
    cluster_command(redis, "SET x y");
    redisFree(redis);
    EXPECT_CTL(0, "tail", "--json", "--from", text_of(second_at), "--until", text_of(committed()));
    ck_assert_uint_eq(lines_of(lines, 10), 1);
    expect_tail(lines[0], "\"db\":2,\"command\":\"SET\",\"args\":[\"x\",\"y\"]}");

    damage_snapshot(taken, 2, 3);
    expect_restored_to(second_at, second);
    snprintf(text, sizeof text, "the snapshot at offset %llu ", taken);
    expect_said(text);
    damage_snapshot(taken, 3, 2);
    expect_restored_to(second_at, second);
    expect_said("the snapshot at offset 0 ");
}
END_TEST

/* An export takes a damaged snapshot from another node. What one begins with stays: the earlier
 * past is not put in front of it, and that is said. */
START_TEST(export_by_snapshots)
{
    char folder[600], all[600];
    unsigned long long taken = 0;

    snprintf(folder, sizeof folder, "%s/newest", cluster_dir(cluster, "plain1"));
    snprintf(all, sizeof all, "%s/all", cluster_dir(cluster, "plain1"));
    write_many(0, 100);
    committed();
    EXPECT_CTL(0, "snapshot", "now");
    ck_assert_int_eq(sscanf(strstr(output, "done: "), "done: the snapshot at offset %llu", &taken),
                     1);
    damage_snapshot(taken, 1, 3);
    EXPECT_CTL(0, "export", folder);
    expect_said(text_of(taken));
    EXPECT_CTL(0, "export", "verify", folder);
    EXPECT_CTL(1, "export", "--all", folder);
    expect_said(": export --all into a new folder");
    EXPECT_CTL(0, "export", "--all", all);
    expect_said("the snapshot at offset 0 ");
    EXPECT_CTL(0, "export", "--all", all);
}
END_TEST

/* The last words of a line, with a blank between each two; valid until the next call. */
static const char *last_words(const char *line, unsigned count)
{
    static char text[200];
    char *words[32], *save = NULL;
    char copy[400];
    unsigned n = 0;

    snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
    for (char *at = strtok_r(copy, " ", &save); at != NULL && n < 32;
         at = strtok_r(NULL, " ", &save)) {
        words[n++] = at;
    }
    text[0] = '\0';
    for (unsigned i = n < count ? 0 : n - count; i < n; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", len > 0 ? " " : "", words[i]);
    }
    return text;
}

static bool newest_is_everywhere(void *arg)
{
    (void)arg;
    if (CTL("snapshot", "list") != 0) {
        return false;
    }
    const char *row = strstr(output, "\nsnapshot1 ");
    return row != NULL && strcmp(last_words(row, 4), "3 3 yes yes") == 0;
}

/* A snapshot that has rotted on a node is given to it again; on all but one, from the last copy. */
START_TEST(last_copy_is_given_on)
{
    char folder[600];
    unsigned long long newest = 0;

    cluster_wait("the damaged one to be given again", WAIT_MS, newest_is_everywhere, NULL);
    ck_assert_int_eq(sscanf(strstr(output, "\nsnapshot1 "), " snapshot1 %llu", &newest), 1);
    damage_snapshot(newest, 2, 5);
    snprintf(folder, sizeof folder, "%s/noticed", cluster_dir(cluster, "plain1"));
    EXPECT_CTL(0, "export", folder);
    ck_assert(!newest_is_everywhere(NULL));
    cluster_wait("the last copy to be given to the others", WAIT_MS, newest_is_everywhere, NULL);
    snprintf(folder, sizeof folder, "%s/mended", cluster_dir(cluster, "plain1"));
    EXPECT_CTL(0, "export", folder);
    expect_said(text_of(newest));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("past");

    SYSTEM_CASE(suite, "past", system_serve, 600, tail_shows_what_is_committed, tail_filters_by_key,
                tail_tells_how_far_it_is, restore_refuses, restore_at_any_time);
    SYSTEM_CASE(suite, "uncommitted", short_lease_serve, 300, tail_shows_nothing_uncommitted,
                tail_outlives_them_all);
    SYSTEM_CASE(suite, "snapshots", system_serve, 300, restore_by_snapshots, export_by_snapshots,
                last_copy_is_given_on);
    return unit_main(suite);
}
