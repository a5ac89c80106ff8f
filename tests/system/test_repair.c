/* Rot on the disks of a cluster at work: log nodes find it, tell it, and are mended from the
 * others, while clients notice nothing; after that the nodes hold the same log again, and any two
 * of them all that was acknowledged. */
#include "common/mem.h"
#include "logsvc/segment.h"
#include "tests/lib/system.h"

#include <dirent.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct cluster_options system_options = {
    .log_json = "\"segment_bytes\": 1048576, \"message_max_bytes\": 262144, "
                "\"queue_max_bytes\": 4194304, \"reserve_bytes\": 1048576, "
                "\"scrub_bytes_per_s\": 200000000, \"scrub_round_s\": 1"};

enum { VALUE_BYTES = 12000, KEYS_MAX = 2000, SEGMENTS_MAX = 64, MENDED_MS = 60000 };

/* --- clients --- */

static unsigned keys;

static void value_of(unsigned key, char *value)
{
    for (unsigned i = 0; i < VALUE_BYTES; i++) {
        value[i] = (char)('a' + (i * 7 + i / 26 + key * 13) % 26);
    }
}

/* Writes so many more keys; each is acknowledged. */
static void write_keys(unsigned count)
{
    redisContext *c = cluster_connect(cluster, "proxy1");
    char *value = mem_alloc(VALUE_BYTES);

    for (unsigned end = keys + count; keys < end; keys++) {
        value_of(keys, value);
        redisReply *r = redisCommand(c, "SET key:%u %b", keys, value, (size_t)VALUE_BYTES);
        ck_assert_msg(r != NULL && r->type == REDIS_REPLY_STATUS, "SET: %s",
                      r != NULL ? r->str : c->errstr);
        freeReplyObject(r);
    }
    free(value);
    redisFree(c);
}

static void check_keys(void)
{
    redisContext *c = cluster_connect(cluster, "proxy1");
    char *value = mem_alloc(VALUE_BYTES);

    for (unsigned k = 0; k < keys; k++) {
        value_of(k, value);
        redisReply *r = redisCommand(c, "GET key:%u", k);
        ck_assert_msg(r != NULL && r->type == REDIS_REPLY_STRING && r->len == VALUE_BYTES &&
                          memcmp(r->str, value, VALUE_BYTES) == 0,
                      "key:%u is not what was acknowledged", k);
        freeReplyObject(r);
    }
    free(value);
    redisFree(c);
}

/* --- files --- */

struct segments {
    unsigned count;
    uint64_t begin[SEGMENTS_MAX]; /* in order */
    char path[SEGMENTS_MAX][512];
};

static int compare_begins(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void list_segments(const char *node, struct segments *s)
{
    char folder[400];

    (void)snprintf(folder, sizeof folder, "%s/data/log-1", cluster_dir(cluster, node));
    DIR *dir = opendir(folder);
    ck_assert_msg(dir != NULL, "%s", folder);
    s->count = 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (segment_name_parse(e->d_name, &s->begin[s->count]) == ERR_OK) {
            ck_assert_uint_lt(++s->count, SEGMENTS_MAX);
        }
    }
    (void)closedir(dir);
    qsort(s->begin, s->count, sizeof s->begin[0], compare_begins);
    for (unsigned i = 0; i < s->count; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(s->begin[i], name);
        (void)snprintf(s->path[i], sizeof s->path[i], "%s/%s", folder, name);
    }
}

static void flip(const char *path, long at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;

    ck_assert_msg(fd >= 0, "%s", path);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x20;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    ck_assert_int_eq(fsync(fd), 0);
    (void)close(fd);
}

/* --- what a node holds --- */

/* One record, as all nodes must have it. */
struct entry {
    uint64_t begin, term;
    uint32_t len, payload_crc, chain_crc, flags;
};

struct content {
    struct entry *entries;
    size_t count, cap;
};

static void read_segment(const char *path, uint64_t until, struct content *c)
{
    struct stat st;
    struct record r;
    FILE *f = fopen(path, "re");

    ck_assert_msg(f != NULL && fstat(fileno(f), &st) == 0, "%s", path);
    uint8_t *bytes = mem_alloc((size_t)st.st_size);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)st.st_size, f), (size_t)st.st_size);
    (void)fclose(f);
    size_t end = (size_t)st.st_size - SEGMENT_BLOCK_BYTES;
    for (size_t at = SEGMENT_BLOCK_BYTES; at + RECORD_HEADER_BYTES <= end;) {
        if (record_decode_header(bytes + at, end - at, &r) != ERR_OK || r.begin >= until) {
            break;
        }
        ck_assert_msg(record_payload_ok(&r, bytes + at + RECORD_HEADER_BYTES), "%s", path);
        if (r.len_bytes > 0) {
            if (c->count == c->cap) {
                c->cap = c->cap > 0 ? 2 * c->cap : 1024;
                c->entries = mem_realloc(c->entries, c->cap * sizeof *c->entries);
            }
            c->entries[c->count++] = (struct entry){.begin = r.begin,
                                                    .term = r.term.n,
                                                    .len = r.len_bytes,
                                                    .payload_crc = r.payload_crc,
                                                    .chain_crc = r.chain_crc,
                                                    .flags = r.flags & RECORD_UNIT_END};
        }
        at += RECORD_HEADER_BYTES + r.len_bytes;
        at = r.flags & RECORD_BATCH_END ? segment_block_up(at) : (at + 7) & ~(size_t)7;
    }
    free(bytes);
}

static struct content read_node(const char *node)
{
    struct content c = {0};
    struct segments s;

    list_segments(node, &s);
    for (unsigned i = 0; i < s.count; i++) {
        read_segment(s.path[i], i + 1 < s.count ? s.begin[i + 1] : UINT64_MAX, &c);
    }
    for (size_t i = 1; i < c.count; i++) {
        ck_assert_msg(c.entries[i].begin == c.entries[i - 1].begin + c.entries[i - 1].len,
                      "%s: a hole behind %llu", node, (unsigned long long)c.entries[i - 1].begin);
    }
    return c;
}

/* --- what is told --- */

struct told {
    const char *node; /* "log1" */
    long long found_min, mended_min;
};

static long long told_number(const char *value, const char *field)
{
    const char *at = strstr(value, field);
    return at != NULL ? atoll(at + strlen(field)) : -1;
}

static bool is_mended(void *arg)
{
    const struct told *t = arg;
    char field[64], value[256];

    (void)snprintf(field, sizeof field, "holdfast_%s", t->node);
    return cluster_info(cluster, field, value, sizeof value) && strstr(value, "state=up") != NULL &&
           told_number(value, "holes=") == 0 && told_number(value, "rot_found=") >= t->found_min &&
           told_number(value, "mended_bytes=") >= t->mended_min;
}

/* INFO holdfast says that the node has found so much since its start, and that all is mended. */
static void wait_mended(const char *node, long long found_min, long long mended_min)
{
    struct told t = {node, found_min, mended_min};
    cluster_wait(node, MENDED_MS, is_mended, &t);
}

static long long told_now(const char *node, const char *what)
{
    char field[64], value[256];

    (void)snprintf(field, sizeof field, "holdfast_%s", node);
    return cluster_info(cluster, field, value, sizeof value) ? told_number(value, what) : -1;
}

static bool has_reached(void *arg)
{
    char field[64], value[256];

    (void)snprintf(field, sizeof field, "holdfast_%s", (const char *)arg);
    return cluster_info(cluster, field, value, sizeof value) && strstr(value, "state=up") != NULL &&
           told_number(value, "offset=") >=
               cluster_info_number(cluster, "holdfast_offset_committed");
}

/* Both nodes hold the same records, up to all that was committed. */
static void expect_same(const char *a, const char *b)
{
    cluster_wait_committed(cluster);
    uint64_t committed = (uint64_t)cluster_info_number(cluster, "holdfast_offset_committed");
    cluster_wait(a, MENDED_MS, has_reached, (void *)(uintptr_t)a);
    cluster_wait(b, MENDED_MS, has_reached, (void *)(uintptr_t)b);
    struct content x = read_node(a), y = read_node(b);
    size_t common = x.count < y.count ? x.count : y.count;

    ck_assert_uint_gt(common, 0);
    ck_assert_mem_eq(x.entries, y.entries, common * sizeof *x.entries);
    ck_assert_uint_ge(x.entries[common - 1].begin + x.entries[common - 1].len, committed);
    free(x.entries);
    free(y.entries);
}

/* --- tests --- */

/* While all goes on: bits flip in one node's closed segments, in data, in a header, in a footer,
 * and a file is removed. It is mended, and clients wrote and read as before. */
static void rot_while_running(void)
{
    struct segments s;
    struct stat st;

    write_keys(500);
    list_segments("log1", &s);
    ck_assert_uint_ge(s.count, 5);
    flip(s.path[0], 300000);
    flip(s.path[1], 50);
    ck_assert_int_eq(stat(s.path[2], &st), 0);
    flip(s.path[2], st.st_size - SEGMENT_BLOCK_BYTES + 20);
    ck_assert_int_eq(unlink(s.path[3]), 0);
    write_keys(20);
    wait_mended("log1", 3, (long long)(s.begin[4] - s.begin[3]));
    ck_assert_int_eq(stat(s.path[3], &st), 0);
    write_keys(20);
    expect_same("log1", "log2");
    check_keys();
}

/* The node that was mended is as good as another: without one of the others, everything that was
 * acknowledged is served, even by a Redis that has nothing but the log. */
static void mended_node_serves(void)
{
    cluster_kill(cluster, "log3");
    check_keys();
    cluster_kill(cluster, "redis1");
    cluster_spawn(cluster, "redis1");
    cluster_wait_leader(cluster);
    check_keys();
    cluster_spawn(cluster, "log3");
    write_keys(10);
}

/* While a node is stopped its files rot: in the middle, cut short, gone; the open one too, below
 * what follows. It starts, is mended, and is not asked for what it lacks. */
static void rot_while_stopped(void)
{
    struct segments s;

    write_keys(40);
    cluster_wait_committed(cluster);
    (void)cluster_stop(cluster, "log2");
    list_segments("log2", &s);
    ck_assert_uint_ge(s.count, 6);
    flip(s.path[0], 500000);
    ck_assert_int_eq(truncate(s.path[1], 400000), 0);
    ck_assert_int_eq(unlink(s.path[3]), 0);
    flip(s.path[4], 10);
    flip(s.path[s.count - 1], SEGMENT_BLOCK_BYTES + 100);
    cluster_spawn(cluster, "log2");
    wait_mended("log2", 4, 1000000);
    write_keys(20);
    expect_same("log2", "log1");
    cluster_kill(cluster, "log1");
    write_keys(20);
    check_keys();
    cluster_kill(cluster, "redis1");
    cluster_spawn(cluster, "redis1");
    cluster_wait_leader(cluster);
    check_keys();
    cluster_spawn(cluster, "log1");
}

/* Every node rots, each in another place, in the same segments: each is mended from the others. */
static void rot_everywhere(void)
{
    static const char *const nodes[] = {"log1", "log2", "log3"};
    long long found[3];
    struct segments s;

    write_keys(20);
    for (int n = 0; n < 3; n++) {
        wait_mended(nodes[n], 0, 0);
        found[n] = told_now(nodes[n], "rot_found=");
    }
    for (int n = 0; n < 3; n++) {
        list_segments(nodes[n], &s);
        for (int i = 0; i < 4; i++) {
            flip(s.path[i], 200000 + 200000 * n);
        }
    }
    for (int n = 0; n < 3; n++) {
        wait_mended(nodes[n], found[n] + 4, 0);
    }
    write_keys(20);
    expect_same("log1", "log2");
    expect_same("log1", "log3");
    check_keys();
}

/* The newest file is gone while the node is stopped: where its log ends it does not know any more.
 * It starts all the same, is sent what it lacks, and all three hold the same. */
static void newest_is_gone(void)
{
    struct segments s;

    (void)cluster_stop(cluster, "log3");
    list_segments("log3", &s);
    ck_assert_int_eq(unlink(s.path[s.count - 1]), 0);
    cluster_spawn(cluster, "log3");
    cluster_wait_log(cluster, "log3", "the newest segment is gone");
    wait_mended("log3", 1, 0);
    write_keys(20);
    cluster_wait_committed(cluster);
    cluster_kill(cluster, "log1");
    write_keys(10);
    expect_same("log3", "log2");
    check_keys();
    cluster_spawn(cluster, "log1");
}

/* Messages that small segments take: appends of at most 64 KiB. */
static void repair_serve(void)
{
    static char text[8192], path[512];
    const char *key = "\"log\": {";

    system_create();
    (void)snprintf(path, sizeof path, "%s/config.json", cluster_dir(cluster, "proxy1"));
    FILE *f = fopen(path, "r+e");
    ck_assert_msg(f != NULL, "%s", path);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    char *at = strstr(text, key);
    ck_assert(at != NULL);
    at += strlen(key);
    rewind(f);
    ck_assert_int_gt(fprintf(f, "%.*s\"append_max_bytes\": 65536, %s", (int)(at - text), text, at),
                     0);
    ck_assert_int_eq(fclose(f), 0);
    cluster_start(cluster);
}

/* In this order: each goes on with what the one before has left. */
START_TEST(rot)
{
    rot_while_running();
    mended_node_serves();
    rot_while_stopped();
    rot_everywhere();
    newest_is_gone();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repair");

    SYSTEM_CASE(suite, "repair", repair_serve, 240, rot);
    return unit_main(suite);
}
