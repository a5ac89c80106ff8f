/* Logs that forget their begin, with real processes: overwriting without end stays bounded, also
 * when nobody takes a hand in it; a log node that was away for longer than the log is kept comes
 * back and counts again; a Redis from nothing starts from the snapshot; and after all were killed
 * everything is there. */
#include "tests/lib/system.h"

#include "common/mem.h"
#include "common/random.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {
    .pairs = 2,
    .redis_args = redis_args,
    .log_json = "\"segment_bytes\": 8388608, \"message_max_bytes\": 2097152, "
                "\"reserve_bytes\": 1048576",
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"schedule\": false}"};

enum {
    KEYS = 100,
    VALUE_BYTES = 10000,
    ROUND_BYTES = KEYS * VALUE_BYTES,
    OVERWRITES = 20,
    SEGMENT_BYTES = 8 << 20,
    WAIT_MS = 120000,
    OUTPUT_BYTES = 64 << 10,
};

static struct random dice;
static const char *const nodes[] = {"log1", "log2", "log3"};

/* --- what a node keeps --- */

struct kept {
    uint64_t begin;    /* of the first segment; UINT64_MAX: there is none */
    uint64_t last;     /* of the last one */
    uint64_t snapshot; /* offset of the newest one … */
    uint64_t oldest_snapshot;
    unsigned snapshots; /* … of so many */
    uint64_t bytes;     /* of segments and snapshots, those to come included */
};

static struct kept kept_by(const char *node)
{
    struct kept k = {.begin = UINT64_MAX};
    char path[1024];

    int folder_len = snprintf(path, sizeof path, "%s/data/log-1", cluster_dir(cluster, node));
    DIR *dir = opendir(path);
    const struct dirent *entry;
    ck_assert_msg(dir != NULL, "%s", path);
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;
        uint64_t offset = 0;
        (void)snprintf(path + folder_len, sizeof path - (size_t)folder_len, "/%.200s",
                       entry->d_name);
        if (sscanf(entry->d_name, "seg-%20" SCNu64 ".log", &offset) == 1) {
            k.begin = offset < k.begin ? offset : k.begin;
            k.last = offset > k.last ? offset : k.last;
        } else if (sscanf(entry->d_name, "snap-%20" SCNu64 ".", &offset) == 1) {
            bool whole = strstr(entry->d_name, ".meta") != NULL;
            k.snapshot = whole && offset > k.snapshot ? offset : k.snapshot;
            k.oldest_snapshot = whole && (k.snapshots == 0 || offset < k.oldest_snapshot)
                                    ? offset
                                    : k.oldest_snapshot;
            k.snapshots += whole;
        } else if (strncmp(entry->d_name, "spare", 5) != 0 &&
                   strncmp(entry->d_name, "snap-", 5) != 0) { /* made, or received, at present */
            continue;
        }
        k.bytes += stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    }
    (void)closedir(dir);
    return k;
}

/* --- what is done --- */

/* Fifty writes and their answers; false: the connection has ended. */
static bool write_fifty(redisContext *redis, int from, const char *value)
{
    bool ok = true;

    for (int i = 0; i < 50; i++) {
        ok = ok && redisAppendCommand(redis, "SET key:%d %b", (from + i) % KEYS, value,
                                      (size_t)VALUE_BYTES) == REDIS_OK;
    }
    for (int i = 0; i < 50 && ok; i++) {
        redisReply *reply = NULL;
        ok = redisGetReply(redis, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
    }
    return ok;
}

/* Writes all keys OVERWRITES times; again from the begin when somebody else leads meanwhile. */
static void overwrite(unsigned round)
{
    char *value = mem_alloc(VALUE_BYTES), reply[64], number[16];
    uint32_t x = round + 1;

    for (int i = 0; i < VALUE_BYTES; i++) { /* nothing that could be compressed */
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        value[i] = (char)x;
    }
    for (int done = 0; done < OVERWRITES * KEYS;) {
        cluster_wait_leader(cluster);
        redisContext *redis = cluster_connect(cluster, "proxy1");
        for (done = 0; done < OVERWRITES * KEYS && write_fifty(redis, done, value); done += 50) {
        }
        redisFree(redis);
    }
    free(value);
    (void)snprintf(number, sizeof number, "%u", round);
    cluster_ask(cluster, "proxy1", reply, sizeof reply,
                (const char *const[]){"SET", "round", number, NULL});
}

/* Writes keys 0 … count - 1 once, fifty at a time; each value is another, of random bytes or of
 * one. */
static void write_dataset(int count, bool compressible)
{
    char value[VALUE_BYTES];

    for (int done = 0; done < count;) {
        cluster_wait_leader(cluster);
        redisContext *redis = cluster_connect(cluster, "proxy1");
        bool ok = true;
        for (done = 0; ok && done < count; done += 50) {
            for (int i = 0; i < 50; i++) {
                for (int k = 0; k < VALUE_BYTES; k += 8) {
                    uint64_t bits = compressible ? 0 : random_next(&dice);
                    memcpy(value + k, &bits, sizeof bits);
                }
                ok = ok && redisAppendCommand(redis, "SET data:%d %b", done + i, value,
                                              sizeof value) == REDIS_OK;
            }
            for (int i = 0; i < 50 && ok; i++) {
                redisReply *reply = NULL;
                ok = redisGetReply(redis, (void **)&reply) == REDIS_OK &&
                     reply->type == REDIS_REPLY_STATUS;
                freeReplyObject(reply);
            }
        }
        redisFree(redis);
        done = ok ? count : 0;
    }
}

static void take_snapshot(void)
{
    char program[512], config[512];
    char *output = mem_alloc(OUTPUT_BYTES);

    cluster_program("holdfast-snapshot", program, sizeof program);
    (void)snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    const char *argv[] = {program, "--config", config, "take", NULL};
    ck_assert_msg(cluster_run(argv, WAIT_MS, output, OUTPUT_BYTES) == 0, "%s", output);
    free(output);
}

struct wanted {
    unsigned nodes; /* bits */
    uint64_t past;  /* their logs begin behind that */
};

static bool is_trimmed(void *arg)
{
    const struct wanted *w = arg;

    for (unsigned i = 0; i < 3; i++) {
        struct kept k = kept_by(nodes[i]);
        if ((w->nodes >> i & 1) != 0 && (k.begin == UINT64_MAX || k.begin <= w->past)) {
            return false;
        }
    }
    return true;
}

/* Overwrites, takes a snapshot, and waits until these nodes have forgotten what is below where they
 * ended before. */
static void overwrite_and_trim(unsigned round, unsigned set)
{
    struct wanted w = {.nodes = set, .past = kept_by("log1").last};

    overwrite(round);
    take_snapshot();
    cluster_wait("the logs to be trimmed", WAIT_MS, is_trimmed, &w);
}

static void expect_round(unsigned round)
{
    char reply[64], number[16];

    (void)snprintf(number, sizeof number, "%u", round);
    cluster_ask(cluster, "proxy1", reply, sizeof reply,
                (const char *const[]){"GET", "round", NULL});
    ck_assert_str_eq(reply, number);
}

/* --- tests --- */

static bool has_newest(void *arg)
{
    (void)arg;
    return kept_by("log3").snapshot == kept_by("log1").snapshot;
}

/* Ten times the dataset is written again and again; a node holds a few times it at most. Then log3
 * is away while the others forget all that it lacks. When it is back, log1 is killed: what is
 * committed from then on needs log3. A follower's Redis that has lost everything is brought up from
 * a snapshot, since nothing else reaches back. At last all are killed. */
START_TEST(forgets_and_comes_back)
{
    char before[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX];
    unsigned round = 0;

    for (int i = 0; i < 3; i++) {
        overwrite_and_trim(++round, 7);
    }
    for (int i = 0; i < 3; i++) {
        struct kept k = kept_by(nodes[i]);
        /* A snapshot; what was written while it was made; a segment that is not whole yet, one that
         * is not wholly below, and one to come. */
        ck_assert_msg(k.bytes <=
                          (OVERWRITES + 2) * (uint64_t)ROUND_BYTES + 4 * (uint64_t)SEGMENT_BYTES,
                      "%s keeps %" PRIu64 " bytes", nodes[i], k.bytes);
    }

    cluster_kill(cluster, "log3");
    uint64_t end = kept_by("log3").last;
    overwrite_and_trim(++round, 3);
    overwrite_and_trim(++round, 3);
    ck_assert_uint_gt(kept_by("log1").begin, end);
    cluster_spawn(cluster, "log3");
    struct wanted behind = {.nodes = 4, .past = end};
    cluster_wait("log3 to begin anew", WAIT_MS, is_trimmed, &behind);
    cluster_wait("log3 to have the snapshot", WAIT_MS, has_newest, NULL);
    cluster_kill(cluster, "log1");
    overwrite(++round);
    expect_round(round);
    cluster_spawn(cluster, "log1");
    cluster_wait_leader(cluster);

    const char *proxy = cluster_follower(cluster), *name = cluster_redis_of(cluster, proxy);
    cluster_kill(cluster, proxy);
    cluster_kill(cluster, name);
    cluster_wipe(cluster, name);
    cluster_spawn(cluster, name);
    cluster_spawn(cluster, proxy);
    cluster_wait_followers(cluster);
    cluster_wait_log(cluster, proxy, "the resync takes the snapshot at offset");
    cluster_wait_committed(cluster);
    cluster_digest_of(cluster, "redis1", before);

    cluster_kill_all(cluster);
    cluster_start(cluster);
    expect_round(round);
    cluster_wait_committed(cluster);
    cluster_digest_of(cluster, "redis1", after);
    ck_assert_str_eq(before, after);
    overwrite_and_trim(++round, 7);
    expect_round(round);
}
END_TEST

static bool is_bounded(void *arg)
{
    const uint64_t *most = arg;

    for (unsigned i = 0; i < 3; i++) {
        if (kept_by(nodes[i]).bytes > *most) {
            return false;
        }
    }
    return true;
}

static const struct cluster_options scheduled_options = {
    .pairs = 2,
    .redis_args = redis_args,
    .log_json = "\"segment_bytes\": 8388608, \"message_max_bytes\": 2097152, "
                "\"reserve_bytes\": 1048576",
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"log_min_bytes\": 4194304}"};

static void scheduled_serve(void)
{
    system_serve_with(&scheduled_options);
}

/* ---- a follower that is slow ---- */

enum { SLOW_KEYS = 300, SLOW_KEY_US = 300000, SLOW_ROUNDS = 3 };

/* Little is fetched ahead: what comes behind the snapshot is fetched when that is loaded. */
static const struct cluster_options narrow_options = {
    .pairs = 2,
    .redis_args = redis_args,
    .log_json = "\"segment_bytes\": 8388608, \"message_max_bytes\": 2097152, "
                "\"reserve_bytes\": 1048576, \"lease_ms\": 3000",
    .proxy_json = "\"lease_ms\": 3000, \"snapshot\": {\"nice\": 0, \"schedule\": false}, "
                  "\"feed\": {\"queue_max_bytes\": 65536, \"ahead_max_bytes\": 1048576}"};

static void narrow_serve(void)
{
    system_serve_with(&narrow_options);
}

static bool is_loading(void *arg)
{
    char text[8192];

    cluster_ask(cluster, arg, text, sizeof text,
                (const char *const[]){"INFO", "persistence", NULL});
    return strstr(text, "\nloading:1") != NULL;
}

static void set_load_delay(const char *redis, const char *us)
{
    char reply[64];

    cluster_ask(cluster, redis, reply, sizeof reply,
                (const char *const[]){"CONFIG", "SET", "key-load-delay", us,
                                      "loading-process-events-interval-bytes", "4096", NULL});
    ck_assert_str_eq(reply, "OK");
}

struct held {
    unsigned count;  /* snapshots that each node has */
    uint64_t oldest; /* one of them, if it is told */
    uint64_t newer;  /* the newest is newer than that */
};

static bool is_held(void *arg)
{
    const struct held *h = arg;

    for (unsigned i = 0; i < 3; i++) {
        struct kept k = kept_by(nodes[i]);
        if (k.snapshots != h->count || (h->oldest != 0 && k.oldest_snapshot != h->oldest) ||
            k.snapshot <= h->newer) {
            return false;
        }
    }
    return true;
}

/* A follower's Redis is made anew, and takes longer to load the snapshot than it takes to make
 * others, again and again, which nobody needs any more as soon as there is a newer one. What it
 * began with stays, with the log behind it, and goes when it is there: it began once only. */
START_TEST(slow_follower_keeps_what_it_loads)
{
    unsigned round = 0;
    char number[16];

    write_dataset(SLOW_KEYS, false);
    overwrite_and_trim(++round, 7);
    cluster_wait_followers(cluster);
    struct held h = {.count = 1};
    cluster_wait("one snapshot to be kept", WAIT_MS, is_held, &h);
    h.oldest = h.newer = kept_by("log1").snapshot;

    const char *proxy = cluster_follower(cluster), *redis = cluster_redis_of(cluster, proxy);
    long long resyncs = cluster_info_number_of(cluster, proxy, "holdfast_full_resyncs");
    cluster_pause(cluster, proxy);
    cluster_kill(cluster, redis);
    cluster_wipe(cluster, redis);
    cluster_spawn(cluster, redis);
    (void)snprintf(number, sizeof number, "%d", (int)SLOW_KEY_US);
    set_load_delay(redis, number);
    cluster_resume(cluster, proxy);
    cluster_wait("the follower's Redis to load", WAIT_MS, is_loading, (void *)(uintptr_t)redis);
    h.count = 2;
    for (int i = 0; i < SLOW_ROUNDS; i++) {
        overwrite(++round);
        take_snapshot();
        cluster_wait("the newest and what it loads to be kept", WAIT_MS, is_held, &h);
        h.newer = kept_by("log1").snapshot;
        ck_assert_uint_le(kept_by("log1").begin, h.oldest);
    }
    ck_assert(is_loading((void *)(uintptr_t)redis));
    set_load_delay(redis, "0");
    cluster_wait_followers(cluster);
    ck_assert_int_eq(cluster_info_number_of(cluster, proxy, "holdfast_full_resyncs"), resyncs + 1);
    cluster_wait_equal(cluster);
    h = (struct held){.count = 1, .newer = h.newer - 1};
    cluster_wait("one snapshot to be kept again", WAIT_MS, is_held, &h);
}
END_TEST

/* Nobody asks for snapshots. A dataset is overwritten ten times without a pause; when that is over,
 * a node holds four times the dataset at most, log and snapshots together; the same with values
 * that an RDB compresses to nothing. */
START_TEST(bounded_by_itself)
{
    enum { DATASET_KEYS = 3000, TIMES = 10 };
    uint64_t bound = 4 * (uint64_t)DATASET_KEYS * VALUE_BYTES;
    uint64_t most = 0;

    for (int compressible = 0; compressible < 2; compressible++) {
        write_dataset(DATASET_KEYS, compressible != 0);
        for (int i = 0; i < TIMES; i++) {
            write_dataset(DATASET_KEYS, compressible != 0);
            uint64_t bytes = kept_by("log1").bytes;
            most = bytes > most ? bytes : most;
        }
        cluster_wait("log and snapshots to be bounded", WAIT_MS, is_bounded, &bound);
    }
    printf("log1 held %" PRIu64 " bytes at most, %.1f times the dataset\n", most,
           (double)most / (DATASET_KEYS * VALUE_BYTES));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trim");

    SYSTEM_CASE(suite, "trim", system_serve, 900, forgets_and_comes_back);
    SYSTEM_CASE(suite, "slow follower", narrow_serve, 900, slow_follower_keeps_what_it_loads);
    SYSTEM_CASE(suite, "bounded", scheduled_serve, 600, bounded_by_itself);
    random_init(&dice, (uint64_t)getpid());
    return unit_main(suite);
}
