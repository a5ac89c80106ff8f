/* Rot in the files of a log: it is found, told, and mended from records that are handed in,
 * whatever has rotted. Nothing that was acknowledged is lost: a log either holds all of it again,
 * or says that it is not certain of its end. */
#include "logsvc/store.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "common/mem.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT = SEGMENT_BYTES_MIN, BEGIN = 5000, RECORDS_MAX = 400, FILES_MAX = 32 };
enum { BYTES_MAX = 1024 * 1024 };

/* The log as every node has it. */
static uint8_t bytes[BYTES_MAX];
static struct record records[RECORDS_MAX];
static size_t count;
static uint64_t end;

static struct fake_disk *disk;
static struct store *store;
static struct storage *st;

/* The folder as it was when all was well. */
static struct {
    char path[64];
    uint8_t *bytes;
    size_t size;
} files[FILES_MAX];
static size_t file_count;

static int open_log(void)
{
    struct store_config config = {
        .disk = fake_disk(disk),
        .folder = "d/log",
        .cluster_id = {1, 2, 3},
        .node_id = "log1",
        .log_id = 9,
        .segment_bytes = SEGMENT,
        .reserve_bytes = SEGMENT,
    };

    int rc = store_open(&config, &store);
    st = rc == ERR_OK ? store_storage(store) : NULL;
    store = rc == ERR_OK ? store : NULL;
    return rc;
}

static void close_log(void)
{
    store_close(store);
    store = NULL;
}

static struct storage_state state(void)
{
    struct storage_state s;

    st->ops->state(st, &s);
    return s;
}

static void append(uint32_t len, bool unit_end)
{
    uint8_t *payload = bytes + (end - BEGIN);

    for (uint32_t i = 0; i < len; i++) {
        payload[i] = (uint8_t)(1 + (end + i) * 7 % 251);
    }
    struct record *r = &records[count++];
    ck_assert_uint_lt(count, RECORDS_MAX);
    *r = (struct record){.term = {1 + count / 30},
                         .begin = end,
                         .len_bytes = len,
                         .flags = unit_end ? RECORD_UNIT_END : 0,
                         .payload_crc = crc32c_extend(0, payload, len),
                         .chain_crc = crc32c_extend(0, bytes, end - BEGIN + len),
                         .commit = end,
                         .wall_ms = 77};
    ck_assert_int_eq(st->ops->append(st, r, payload), ERR_OK);
    end += len;
}

static void flush(void)
{
    ck_assert_int_eq(st->ops->flush(st), ERR_OK);
}

static void mark_idle(void)
{
    struct record r = {.term = records[count - 1].term,
                       .begin = end,
                       .flags = RECORD_IDLE | RECORD_UNIT_END,
                       .chain_crc = crc32c_extend(0, bytes, end - BEGIN),
                       .commit = end};

    int rc = st->ops->append(st, &r, NULL);
    ck_assert(rc == ERR_OK || rc == ERR_NO_SPACE);
    flush();
}

static void save_file(void *ctx, const char *name)
{
    size_t i = file_count++;

    (void)ctx;
    ck_assert_uint_lt(i, FILES_MAX);
    (void)snprintf(files[i].path, sizeof files[i].path, "d/log/%.40s", name);
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(a, b); /* by their paths, which stand first */
}

static void save_files(void)
{
    file_count = 0;
    ck_assert_int_eq(fake_disk(disk)->ops->list(fake_disk(disk), "d/log", save_file, NULL), ERR_OK);
    qsort(files, file_count, sizeof files[0], compare_files);
    for (size_t i = 0; i < file_count; i++) {
        uint8_t *at = fake_disk_bytes(disk, files[i].path, &files[i].size);
        files[i].bytes = mem_alloc(files[i].size + 1);
        if (files[i].size > 0) {
            memcpy(files[i].bytes, at, files[i].size);
        }
    }
}

static void restore_files(void)
{
    close_log();
    fake_disk_destroy(disk);
    disk = fake_disk_create();
    ck_assert_int_eq(fake_disk(disk)->ops->make_folder(fake_disk(disk), "d/log"), ERR_OK);
    for (size_t i = 0; i < file_count; i++) {
        fake_disk_put(disk, files[i].path, files[i].bytes, files[i].size);
    }
}

/* Several closed segments and an open one, records small and large, batches, marks, units of
 * several records; a snapshot and votes. */
static void setup(void)
{
    static const uint32_t sizes[] = {10, 700, 3000, 90, 9000, 450, 20000, 1};
    struct snapshot_info snap = {.offset = BEGIN, .term = {1}, .size_bytes = 9000};

    log_init("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1);
    disk = fake_disk_create();
    count = 0;
    end = BEGIN;
    ck_assert_int_eq(open_log(), ERR_OK);
    ck_assert_int_eq(st->ops->meta_save(st, "votes", 5), ERR_OK);
    ck_assert_int_eq(st->ops->reset(st, BEGIN, 0), ERR_OK);
    for (unsigned i = 0; i < 72; i++) {
        append(sizes[i % 8], i % 5 != 2);
        if (i % 3 == 0) {
            flush();
        }
        if (i % 7 == 1) {
            mark_idle();
        }
    }
    snap.crc = crc32c_extend(0, bytes, 9000);
    ck_assert_int_eq(st->ops->snap_begin(st, &snap), ERR_OK);
    ck_assert_int_eq(st->ops->snap_write(st, 0, bytes, 9000), ERR_OK);
    ck_assert_int_eq(st->ops->snap_commit(st), ERR_OK);
    append(50, true);
    flush();
    mark_idle();
    close_log();
    save_files();
}

static void teardown(void)
{
    close_log();
    fake_disk_destroy(disk);
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].bytes);
    }
}

/* Encodes the records [from, to), as another node would hand them out. */
static void encode(uint64_t from, uint64_t to, size_t max, struct buf *out)
{
    uint8_t header[RECORD_HEADER_BYTES];

    for (size_t i = 0; i < count && out->len < max; i++) {
        const struct record *r = &records[i];
        if (r->begin >= from && record_end(r) <= to) {
            record_encode_header(r, header);
            buf_append(out, header, sizeof header);
            buf_append(out, bytes + (r->begin - BEGIN), r->len_bytes);
        }
    }
}

/* The first record that lies across one of the two offsets. */
static const struct record *crossing(uint64_t a, uint64_t b)
{
    for (size_t i = 0; i < count; i++) {
        if (record_crosses(&records[i], a, b)) {
            return &records[i];
        }
    }
    return NULL;
}

static void encode_crossing(uint64_t a, uint64_t b, struct buf *out)
{
    const struct record *r = crossing(a, b);

    buf_clear(out);
    if (r != NULL) {
        encode(r->begin, record_end(r), SIZE_MAX, out);
    }
}

/* Looks after the log for several rounds, handing in what is asked for, until all is well. */
static void heal(const char *what, bool feeds)
{
    struct storage_check c = {0};
    struct buf b = BUF_INIT;
    unsigned rounds = 0;

    for (unsigned i = 0; i < 20000 && (rounds < 3 || state().holes.count > 0); i++) {
        ck_assert_msg(st->ops->check(st, 5000, &c) == ERR_OK, "%s", what);
        rounds += c.round_ended;
        struct storage_holes h = state().holes;
        ck_assert_msg(h.from <= h.next && h.next <= h.to && h.to <= end, "%s", what);
        if (h.next < h.to && feeds) {
            buf_clear(&b);
            encode(h.next, h.to, 6000, &b);
            if (b.len == 0 || crossing(h.next, h.to) != NULL) {
                encode_crossing(h.next, h.to, &b);
            }
            ck_assert_msg(b.len > 0, "%s: a hole that is not at records: %llu to %llu", what,
                          (unsigned long long)h.from, (unsigned long long)h.to);
            int rc = st->ops->mend(st, buf_head(&b), b.len);
            ck_assert_msg(rc == ERR_OK || rc == ERR_INVALID, "%s", what);
        } else if (!feeds && rounds == 3) {
            break;
        }
    }
    ck_assert_msg(!feeds || state().holes.count == 0,
                  "%s: it is not mended: %u places, from %llu to %llu, next %llu", what,
                  state().holes.count, (unsigned long long)state().holes.from,
                  (unsigned long long)state().holes.to, (unsigned long long)state().holes.next);
    buf_release(&b);
}

/* Every byte of the log that it claims to have is there and right; or, if there are still holes, is
 * refused. */
static void check_bytes(const char *what, bool holes)
{
    struct storage_state s = state();
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < count && record_end(&records[i]) <= s.flush_off; i++) {
        const struct record *r = &records[i];
        buf_clear(&b);
        int rc = st->ops->read(st, r->begin, 1, &b);
        ck_assert_msg(rc == ERR_OK || (holes && rc == ERR_CORRUPT), "%s: %s at %llu", what,
                      err_text(rc), (unsigned long long)r->begin);
        ck_assert_msg(rc != ERR_OK || memcmp(buf_head(&b) + RECORD_HEADER_BYTES,
                                             bytes + (r->begin - BEGIN), r->len_bytes) == 0,
                      "%s: wrong bytes at %llu", what, (unsigned long long)r->begin);
    }
    buf_release(&b);
}

/* All that was acknowledged is there again, or the log knows that its end is not. */
static void check_whole(const char *what)
{
    struct storage_state s = state();

    ck_assert_msg(s.begin == BEGIN, "%s: begins at %llu", what, (unsigned long long)s.begin);
    ck_assert_msg(s.flush_off == end || s.uncertain_to > s.flush_off, "%s: ends at %llu", what,
                  (unsigned long long)s.flush_off);
    ck_assert_msg(s.flush_off != end || s.uncertain_to > s.flush_off || s.unit_off == end,
                  "%s: units end at %llu", what, (unsigned long long)s.unit_off);
    check_bytes(what, false);
}

/* Damages a file while the log is closed, or while it is open, and sees it healed; then once more
 * after a restart. */
static void suffer(const char *what, bool running, void (*damage)(void *arg), void *arg)
{
    restore_files();
    if (running) {
        ck_assert_int_eq(open_log(), ERR_OK);
    }
    damage(arg);
    if (!running) {
        ck_assert_msg(open_log() == ERR_OK, "%s: it is not opened", what);
    }
    check_bytes(what, true);
    heal(what, true);
    check_whole(what);
    bool certain = state().uncertain_to == 0;
    ck_assert_msg(certain || !running, "%s: a running log becomes uncertain", what);
    close_log();
    ck_assert_msg(open_log() == ERR_OK, "%s: it is not opened again", what);
    ck_assert_msg(!certain || (state().uncertain_to == 0 && state().flush_off == end),
                  "%s: what it had is gone: ends at %llu of %llu, uncertain to %llu", what,
                  (unsigned long long)state().flush_off, (unsigned long long)end,
                  (unsigned long long)state().uncertain_to);
    heal(what, true);
    check_whole(what);
    close_log();
}

struct flip {
    const char *path;
    size_t at;
    uint8_t mask;
};

static void flip(void *arg)
{
    const struct flip *f = arg;
    size_t size;
    uint8_t *at = fake_disk_bytes(disk, f->path, &size);

    ck_assert(at != NULL && f->at < size);
    at[f->at] ^= f->mask;
    fake_disk_settle(disk, f->path);
}

static bool is_segment(size_t i)
{
    return strstr(files[i].path, "/seg-") != NULL;
}

/* Where it is worth to flip a bit: headers, footers, and here and there in between. */
static size_t next_place(size_t at, size_t size, size_t stride)
{
    bool header = at % SEGMENT_BLOCK_BYTES < 104;

    if (at < 200 || (at + SEGMENT_BLOCK_BYTES >= size && at + SEGMENT_BLOCK_BYTES < size + 60)) {
        return at + 3;
    }
    return at + (header ? stride / 4 + 1 : stride);
}

/* The part of the newest segment that was written; all of other files. */
static size_t used_bytes(size_t i)
{
    size_t used = files[i].size;

    if (is_segment(i) && (i + 1 == file_count || !is_segment(i + 1))) {
        while (files[i].bytes[used - 1] == 0) {
            used--;
        }
    }
    return used;
}

static void flip_all(bool running, const char *part, size_t stride)
{
    char what[160];

    for (size_t i = 0; i < file_count; i++) {
        if (strstr(files[i].path, part) == NULL || strstr(files[i].path, "lock") != NULL) {
            continue;
        }
        for (size_t at = 0; at < files[i].size; at = next_place(at, files[i].size, stride)) {
            if (running && at >= used_bytes(i)) {
                break; /* nobody looks at what was not written yet; the next start is in doubt */
            }
            struct flip f = {files[i].path, at, (uint8_t)(1u << at % 8)};
            (void)snprintf(what, sizeof what, "%.60s byte %zu, %s", files[i].path, at,
                           running ? "running" : "stopped");
            suffer(what, running, flip, &f);
        }
    }
}

/* A flipped bit anywhere in any segment, while nobody has it open. */
START_TEST(flips_stopped)
{
    flip_all(false, "seg-", 397);
}
END_TEST

/* … and while the log is in use. */
START_TEST(flips_running)
{
    flip_all(true, "seg-", 797);
}
END_TEST

/* A flipped bit in the votes and in the file that says whose log it is. */
START_TEST(flips_small_files)
{
    for (int running = 0; running < 2; running++) {
        flip_all(running, "meta-", 5003);
        flip_all(running, "ident", 17);
    }
}
END_TEST

static void spoil(void *arg)
{
    const struct flip *f = arg;

    ck_assert(fake_disk_spoil(disk, f->path, f->at));
}

/* A block of any file that can't be read any more is as good as rotten: of a segment the others
 * give what was in it, of the votes there is another copy. What stands in front of it and behind
 * it is read all the same. */
START_TEST(unreadable_blocks)
{
    char what[160];

    for (size_t i = 0; i < file_count; i++) {
        if (strstr(files[i].path, "lock") != NULL || strstr(files[i].path, "snap-") != NULL) {
            continue;
        }
        for (size_t at = 0; at < files[i].size; at += SEGMENT_BLOCK_BYTES) {
            struct flip f = {files[i].path, at, 0};
            for (int running = 0; running < (at < used_bytes(i) ? 2 : 1); running++) {
                (void)snprintf(what, sizeof what, "%.60s block at %zu, %s", files[i].path, at,
                               running ? "running" : "stopped");
                suffer(what, running, spoil, &f);
            }
        }
    }
}
END_TEST

/* … and a snapshot whose description can't be read is left out: it can be sent again. */
START_TEST(unreadable_snapshot)
{
    char path[64] = "";
    struct snapshot_info info;

    for (size_t i = 0; i < file_count; i++) {
        if (strstr(files[i].path, ".meta") != NULL) {
            memcpy(path, files[i].path, sizeof path);
        }
    }
    ck_assert_str_ne(path, "");
    restore_files();
    ck_assert(fake_disk_spoil(disk, path, 0));
    ck_assert_int_eq(open_log(), ERR_OK);
    ck_assert_int_eq(st->ops->snap_latest(st, UINT64_MAX, &info), ERR_NOT_FOUND);
    close_log();
}
END_TEST

static void remove_file(void *arg)
{
    ck_assert_int_eq(fake_disk_remove(disk, arg), ERR_OK);
}

static void truncate_file(void *arg)
{
    struct flip *f = arg;
    size_t size;
    uint8_t *at = fake_disk_bytes(disk, f->path, &size);
    uint8_t *copy = mem_alloc(f->at + 1);

    memcpy(copy, at, f->at);
    ck_assert_int_eq(fake_disk_remove(disk, f->path), ERR_OK);
    fake_disk_put(disk, f->path, copy, f->at);
    free(copy);
}

/* A file that is gone: any segment, one of the two files of votes, the one that says whose log it
 * is. A file that is shorter than it was. */
START_TEST(gone_and_short)
{
    char what[160];

    for (size_t i = 0; i < file_count; i++) {
        bool meta = strstr(files[i].path, "/meta-") != NULL, ident = strstr(files[i].path, "ident");
        for (int running = 0; running < 2 && (is_segment(i) || meta || ident); running++) {
            (void)snprintf(what, sizeof what, "%.60s gone, %s", files[i].path,
                           running ? "running" : "stopped");
            suffer(what, running, remove_file, files[i].path);
            for (size_t at = 0; at < files[i].size; at += is_segment(i) ? 7001 : 70001) {
                struct flip f = {.path = files[i].path, .at = at};
                (void)snprintf(what, sizeof what, "%.60s cut at %zu, %s", files[i].path, at,
                               running ? "running" : "stopped");
                suffer(what, running, truncate_file, &f);
            }
        }
    }
}
END_TEST

static void many(void *arg)
{
    unsigned seed = *(unsigned *)arg;

    for (size_t i = 0; i < file_count; i++) {
        if (!is_segment(i)) {
            continue;
        }
        for (unsigned k = 0; k < seed % 4; k++) {
            seed = seed * 1103515245u + 12345u;
            struct flip f = {files[i].path, (seed >> 8) % (files[i].size - 30000), 1};
            flip(&f);
        }
        seed = seed * 1103515245u + 12345u;
        /* Not the newest, nor the one in front of it: with both, the end is lost. */
        if (seed % 5 == 0 && i + 3 < file_count && is_segment(i + 2)) {
            ck_assert_int_eq(fake_disk_remove(disk, files[i].path), ERR_OK);
        }
    }
}

/* Several places in several segments at once, and files that are gone between them. */
START_TEST(many_places)
{
    char what[64];

    for (unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 1; seed < 150; seed++) {
        (void)snprintf(what, sizeof what, "seed %u", seed);
        unsigned copy = seed;
        suffer(what, seed % 2 == 0, many, &copy);
    }
}
END_TEST

/* A torn batch that nobody was told about is cut, also if a later record of it stands whole at the
 * begin of a block: that proves nothing, and is no hole. */
START_TEST(torn_batch)
{
    size_t size;

    restore_files();
    ck_assert_int_eq(open_log(), ERR_OK);
    uint64_t was = end;
    size_t had = count;
    /* The second record's header stands at the begin of a block. */
    append(SEGMENT_BLOCK_BYTES - RECORD_HEADER_BYTES, true);
    append(500, true);
    flush();
    close_log();
    const char *path = fake_disk_last(disk, "d/log/seg-");
    uint8_t *at = fake_disk_bytes(disk, path, &size);
    size_t used = size;
    while (at[used - 1] == 0) {
        used--;
    }
    size_t second = used / SEGMENT_BLOCK_BYTES * SEGMENT_BLOCK_BYTES;
    memset(at + second - SEGMENT_BLOCK_BYTES + 1024, 0, 512);
    fake_disk_settle(disk, path);
    count = had;
    end = was;
    ck_assert_int_eq(open_log(), ERR_OK);
    ck_assert_uint_eq(state().flush_off, end);
    ck_assert_uint_eq(state().uncertain_to, 0);
    ck_assert_uint_eq(state().holes.count, 0);
}
END_TEST

/* While a hole is there: the log is as long as it was, what is sound is served, the hole is
 * refused, and `end` says up to where something may be missing. */
START_TEST(meanwhile)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < file_count; i++) {
        if (!is_segment(i)) {
            continue;
        }
        struct flip f = {files[i].path, SEGMENT_BLOCK_BYTES + 70, 1};
        restore_files();
        flip(&f);
        ck_assert_int_eq(open_log(), ERR_OK);
        heal("meanwhile", false);
        struct storage_state s = state();
        ck_assert_uint_eq(s.flush_off, end);
        ck_assert_uint_eq(s.unit_off, end);
        ck_assert_uint_eq(s.uncertain_to, 0);
        ck_assert_uint_eq(s.holes.count, 1);
        ck_assert_uint_lt(s.holes.from, s.holes.to);
        ck_assert_uint_eq(s.holes.end, s.holes.to);
        ck_assert_uint_eq(s.holes.found, 1);
        unsigned refused = 0;
        for (size_t k = 0; k < count; k++) {
            buf_clear(&b);
            bool in = s.holes.from <= records[k].begin && records[k].begin < s.holes.to;
            int rc = st->ops->read(st, records[k].begin, 1, &b);
            ck_assert_int_eq(rc, in ? ERR_CORRUPT : ERR_OK);
            refused += in;
        }
        ck_assert_uint_le(refused, 3); /* a batch, no more */
        /* It goes on being a log. */
        append(100, true);
        flush();
        count--;
        end -= 100;
        ck_assert_uint_eq(state().flush_off, end + 100);
        close_log();
    }
    buf_release(&b);
}
END_TEST

/* What is handed in and does not belong there changes nothing: other bytes, an old checksum,
 * records beside the hole, pieces of records; then the right ones mend it all the same. */
START_TEST(wrong_records)
{
    struct buf b = BUF_INIT, bad = BUF_INIT;
    struct flip f = {files[0].path, 0, 1};
    struct storage_check c;

    for (size_t i = 0; i < file_count; i++) {
        f.path = is_segment(i) && f.path == files[0].path ? files[i].path : f.path;
    }
    f.at = 3 * (size_t)SEGMENT_BLOCK_BYTES + 100;
    restore_files();
    flip(&f);
    ck_assert_int_eq(open_log(), ERR_OK);
    for (unsigned i = 0; i < 1000 && state().holes.next == state().holes.to; i++) {
        ck_assert_int_eq(st->ops->check(st, 5000, &c), ERR_OK);
    }
    struct storage_holes h = state().holes;
    ck_assert_uint_lt(h.from, h.to);
    encode(h.from, h.to, SIZE_MAX, &b);
    for (size_t at = 0; at < b.len; at += at < RECORD_HEADER_BYTES ? 1 : 311) {
        if (at >= 36 && at < 64) {
            continue; /* flags and what is each node's own; covered by the header's checksum */
        }
        buf_clear(&bad);
        buf_append(&bad, buf_head(&b), b.len);
        buf_head(&bad)[at] ^= 0x10;
        ck_assert_msg(st->ops->mend(st, buf_head(&bad), bad.len) == ERR_INVALID, "byte %zu", at);
        ck_assert_uint_eq(state().holes.next, h.next);
    }
    ck_assert_int_eq(st->ops->mend(st, buf_head(&b), b.len - 1), ERR_INVALID);
    buf_clear(&bad);
    encode(h.to, end, 3000, &bad);
    ck_assert_int_eq(st->ops->mend(st, buf_head(&bad), bad.len), ERR_INVALID);
    buf_append(&b, buf_head(&bad), bad.len);
    ck_assert_int_eq(st->ops->mend(st, buf_head(&b), b.len), ERR_INVALID);
    ck_assert_uint_eq(state().holes.count, 1);
    heal("after wrong records", true);
    check_whole("after wrong records");
    ck_assert_uint_ge(state().holes.mended_bytes, h.to - h.from);
    close_log();
    buf_release(&b);
    buf_release(&bad);
}
END_TEST

/* The power goes at every operation while a hole is mended: the log is never worse than before, and
 * in the end mended. */
START_TEST(power_failure_while_mending)
{
    const char *path = NULL;
    uint64_t ops = UINT64_MAX;
    struct storage_check c;
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < file_count; i++) {
        path = is_segment(i) && path == NULL ? files[i].path : path;
    }
    struct flip f = {path, 5 * (size_t)SEGMENT_BLOCK_BYTES + 100, 1};
    for (uint64_t at = 0; at < ops; at++) {
        restore_files();
        flip(&f);
        ck_assert_int_eq(open_log(), ERR_OK);
        uint64_t first = fake_disk_ops(disk);
        fake_disk_die_at(disk, first + at);
        int rc = ERR_OK;
        for (unsigned i = 0; i < 500 && rc == ERR_OK; i++) {
            rc = st->ops->check(st, 5000, &c);
            struct storage_holes h = state().holes;
            if (rc == ERR_OK && h.next < h.to) {
                buf_clear(&b);
                encode(h.next, h.to, 6000, &b);
                rc = st->ops->mend(st, buf_head(&b), b.len);
            }
        }
        if (rc == ERR_OK) {
            ops = at; /* all of it was done */
        }
        bool mended = state().holes.mended_bytes > 0;
        close_log();
        fake_disk_crash(disk, FAKE_DISK_LOSE_SOME, at);
        ck_assert_int_eq(open_log(), ERR_OK);
        check_bytes("after a power failure", !mended);
        heal("power", true);
        check_whole("power");
        ck_assert_uint_eq(state().uncertain_to, 0);
    }
    ck_assert_uint_gt(ops, 5);
    buf_release(&b);
}
END_TEST

/* An old copy of a closed segment, from a time when it held less, or other bytes: found and mended.
 */
START_TEST(old_copies)
{
    size_t size;
    char what[100];

    for (size_t i = 0; i < file_count; i++) {
        if (!is_segment(i) || i + 1 == file_count || !is_segment(i + 1)) {
            continue;
        }
        for (size_t keep = SEGMENT_BLOCK_BYTES; keep < SEGMENT; keep += 5 * SEGMENT_BLOCK_BYTES) {
            restore_files();
            uint8_t *at = fake_disk_bytes(disk, files[i].path, &size);
            memset(at + keep, 0, size - keep);
            fake_disk_settle(disk, files[i].path);
            (void)snprintf(what, sizeof what, "%.60s as it was with %zu", files[i].path, keep);
            ck_assert_int_eq(open_log(), ERR_OK);
            heal(what, true);
            check_whole(what);
            ck_assert_uint_eq(state().uncertain_to, 0);
        }
    }
}
END_TEST

/* Changes a byte of the first record of a segment file, and all checksums behind it in the file, so
 * that it is a sound segment of a log that never was. */
static void forge(uint8_t *file, size_t size)
{
    struct record r;
    size_t at = SEGMENT_BLOCK_BYTES;
    uint32_t chain = 0;
    bool first = true;

    while (at + RECORD_HEADER_BYTES < size - SEGMENT_BLOCK_BYTES &&
           record_decode_header(file + at, size - at, &r) == ERR_OK) {
        uint8_t *payload = file + at + RECORD_HEADER_BYTES;
        if (first && r.len_bytes > 0) {
            chain = crc32c_rewind(r.chain_crc, payload, r.len_bytes);
            payload[0] ^= 1;
            r.payload_crc = crc32c_extend(0, payload, r.len_bytes);
            first = false;
        }
        chain = crc32c_extend(chain, payload, r.len_bytes);
        r.chain_crc = first ? r.chain_crc : chain;
        record_encode_header(&r, file + at);
        at += RECORD_HEADER_BYTES + r.len_bytes;
        at = r.flags & RECORD_BATCH_END ? segment_block_up(at) : (at + 7) & ~(size_t)7;
    }
    ck_assert(!first);
}

/* A closed segment of another history, sound in itself, even with a part missing: all of it is
 * recognised by what follows, and replaced. */
START_TEST(another_history)
{
    char what[100];
    size_t size;

    for (size_t i = 0; i < file_count; i++) {
        if (!is_segment(i) || i + 1 == file_count || !is_segment(i + 1)) {
            continue;
        }
        for (int part = 0; part < 2; part++) {
            (void)snprintf(what, sizeof what, "%.60s of another history, %d", files[i].path, part);
            restore_files();
            uint8_t *at = fake_disk_bytes(disk, files[i].path, &size);
            forge(at, size);
            if (part == 1) {
                memset(at + size / 2, 0, size / 2);
            }
            fake_disk_settle(disk, files[i].path);
            ck_assert_int_eq(open_log(), ERR_OK);
            heal(what, true);
            check_whole(what);
            ck_assert_uint_eq(state().uncertain_to, 0);
        }
    }
}
END_TEST

/* Makes a file that begins with a record of `len` bytes where the log's own first one there has
 * another length, and ends behind it: what a segment held before it was cut and written anew. */
static void put_other_begin(const char *path, uint32_t len)
{
    uint8_t block[SEGMENT_BLOCK_BYTES];
    struct record r;
    size_t size;
    uint8_t *at = fake_disk_bytes(disk, path, &size);
    uint8_t *first = at + SEGMENT_BLOCK_BYTES;

    ck_assert_int_eq(record_decode_header(first, size, &r), ERR_OK);
    ck_assert_uint_ne(r.len_bytes, len);
    ck_assert_uint_lt(len, sizeof block - RECORD_HEADER_BYTES);
    uint32_t chain = crc32c_rewind(r.chain_crc, first + RECORD_HEADER_BYTES, r.len_bytes);
    memset(block, 0, sizeof block);
    memset(block + RECORD_HEADER_BYTES, 'x', len);
    r.len_bytes = len;
    r.flags |= RECORD_BATCH_END;
    r.payload_crc = crc32c_extend(0, block + RECORD_HEADER_BYTES, len);
    r.chain_crc = crc32c_extend(chain, block + RECORD_HEADER_BYTES, len);
    record_encode_header(&r, block);
    memset(first, 0, size - SEGMENT_BLOCK_BYTES);
    memcpy(first, block, sizeof block);
    fake_disk_settle(disk, path);
}

/* An old copy of a segment from before it was cut and written anew with other records: the hole
 * behind its records begins where the log has no boundary. The log's record that lies there shows
 * it, and all of the segment is fetched again. */
START_TEST(other_boundaries)
{
    static const uint32_t lens[] = {5, 333, 2000};
    char what[100];

    for (size_t i = 0; i < file_count; i++) {
        if (!is_segment(i) || i + 1 == file_count || !is_segment(i + 1)) {
            continue;
        }
        for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
            (void)snprintf(what, sizeof what, "%.60s begins with %u others", files[i].path,
                           lens[k]);
            restore_files();
            put_other_begin(files[i].path, lens[k]);
            ck_assert_int_eq(open_log(), ERR_OK);
            heal(what, true);
            check_whole(what);
            ck_assert_uint_eq(state().uncertain_to, 0);
        }
    }
}
END_TEST

/* A cut into such a segment, whether it was found out before or not, leaves nothing of it: the log
 * ends in front of it, at a record of its own. */
START_TEST(cut_into_other_boundaries)
{
    const char *path = NULL;

    for (size_t i = 0; i < file_count; i++) {
        path = is_segment(i) && path == NULL ? files[i + 1].path : path;
    }
    for (size_t k = 1; k < count; k++) {
        restore_files();
        put_other_begin(path, 333);
        ck_assert_int_eq(open_log(), ERR_OK);
        if (k % 2) {
            heal("cut into another's", false);
        }
        uint64_t to = records[k].begin;
        int rc = st->ops->truncate(st, to);
        if (rc == ERR_CORRUPT) {
            uint64_t cuttable = st->ops->cuttable(st, to);
            ck_assert_uint_lt(cuttable, to);
            to = cuttable;
            rc = st->ops->truncate(st, to);
        }
        ck_assert_msg(rc == ERR_OK, "record %zu: %s", k, err_text(rc));
        ck_assert_uint_eq(state().flush_off, to);
        ck_assert_uint_eq(state().chain_crc, crc32c_extend(0, bytes, to - BEGIN));
    }
}
END_TEST

/* Records of another history, sound in themselves, for a segment that is gone: they do not meet
 * what follows, and are refused with the last of them; the right ones mend it then. */
START_TEST(mended_from_another_history)
{
    struct buf b = BUF_INIT;
    struct storage_check c;
    char *path = NULL;
    struct record r;

    for (size_t i = 0; i < file_count; i++) {
        path = is_segment(i) && path == NULL ? files[i + 1].path : path;
    }
    restore_files();
    remove_file(path);
    ck_assert_int_eq(open_log(), ERR_OK);
    for (unsigned i = 0; i < 1000 && state().holes.next == state().holes.to; i++) {
        ck_assert_int_eq(st->ops->check(st, 5000, &c), ERR_OK);
    }
    struct storage_holes h = state().holes;
    ck_assert_uint_lt(h.next, h.to);
    encode(h.from, h.to, SIZE_MAX, &b);
    uint32_t chain = 12345;
    for (size_t at = 0; at < b.len; at += RECORD_HEADER_BYTES + r.len_bytes) {
        ck_assert_int_eq(record_decode_header(buf_head(&b) + at, b.len - at, &r), ERR_OK);
        chain = crc32c_extend(chain, buf_head(&b) + at + RECORD_HEADER_BYTES, r.len_bytes);
        r.chain_crc = chain;
        record_encode_header(&r, buf_head(&b) + at);
    }
    ck_assert_int_eq(st->ops->mend(st, buf_head(&b), b.len), ERR_INVALID);
    ck_assert_uint_eq(state().holes.to, h.to);
    ck_assert_uint_eq(state().holes.mended_bytes, 0);
    heal("from another history", true);
    check_whole("from another history");
    close_log();
    buf_release(&b);
}
END_TEST

/* The log can be cut below, at, inside and behind a hole: what is cut to is told by cuttable, and
 * the log goes on from there. */
START_TEST(cuts)
{
    const char *path = NULL;

    for (size_t i = 0; i < file_count; i++) {
        path = is_segment(i) && path == NULL ? files[i].path : path;
    }
    for (size_t k = 0; k <= count; k++) {
        for (unsigned where = 0; where < 3; where++) {
            static const size_t places[] = {10, SEGMENT_BLOCK_BYTES + 90,
                                            6 * SEGMENT_BLOCK_BYTES + 300};
            struct flip f = {path, places[where], 1};
            uint64_t to = k < count ? records[k].begin : end;
            restore_files();
            flip(&f);
            ck_assert_int_eq(open_log(), ERR_OK);
            if (k % 2) {
                heal("cuts", false);
            }
            int rc = st->ops->truncate(st, to);
            uint64_t cuttable = st->ops->cuttable(st, to);
            if (rc == ERR_CORRUPT) {
                ck_assert_uint_lt(cuttable, to);
                rc = st->ops->truncate(st, cuttable);
                to = cuttable;
            }
            if (where == 0 && to == BEGIN && rc == ERR_INVALID) {
                continue; /* no header, no record: nothing says what the checksum is there */
            }
            ck_assert_msg(rc == ERR_OK, "record %zu, place %u: %s", k, where, err_text(rc));
            ck_assert_uint_eq(state().flush_off, to);
            ck_assert_uint_eq(state().chain_crc, crc32c_extend(0, bytes, to - BEGIN));
            heal("cut", true);
            check_bytes("cut", false);
            close_log();
            ck_assert_int_eq(open_log(), ERR_OK);
            ck_assert_uint_eq(state().flush_off, to);
            heal("cut", true);
            check_bytes("cut, opened again", false);
        }
    }
}
END_TEST

/* A rotten snapshot is not offered any more; the others are not touched. */
/* The first segment's path. */
static const char *first_segment(void)
{
    for (size_t i = 0; i < file_count; i++) {
        if (is_segment(i)) {
            return files[i].path;
        }
    }
    ck_abort_msg("no segment");
}

/* Opens the log with rot in the first segment, and cuts it where the hole ends; returns where. */
static uint64_t cut_behind_a_hole(bool header_too)
{
    struct flip record = {first_segment(), 6 * SEGMENT_BLOCK_BYTES + 300, 1};
    struct flip header = {first_segment(), 10, 1};

    restore_files();
    flip(&record);
    if (header_too) {
        flip(&header);
    }
    ck_assert_int_eq(open_log(), ERR_OK);
    heal("behind a hole", false);
    struct storage_holes holes = state().holes;
    ck_assert_uint_eq(holes.count, 1);
    ck_assert_uint_lt(holes.from, holes.to);
    ck_assert_uint_eq(st->ops->cuttable(st, holes.to), holes.to);
    ck_assert_int_eq(st->ops->truncate(st, holes.to), ERR_OK);
    ck_assert_uint_eq(state().flush_off, holes.to);
    ck_assert_uint_eq(state().chain_crc, crc32c_extend(0, bytes, holes.to - BEGIN));
    return holes.to;
}

/* A hole may end where a unit does, or in the midst of one: nothing here knows. So a log that is
 * cut there does not vouch for its end, nor does it when more was appended, all was opened again,
 * and the log is cut there once more. */
START_TEST(cut_where_a_hole_ends)
{
    for (int header_too = 0; header_too < 2; header_too++) {
        uint64_t to = cut_behind_a_hole(header_too);
        size_t k = 0;

        while (records[k].begin != to) {
            k++;
        }
        ck_assert_uint_gt(state().uncertain_to, to);
        for (; k < count && (records[k].flags & RECORD_UNIT_END) == 0; k++) {
            ck_assert_int_eq(st->ops->append(st, &records[k], bytes + (records[k].begin - BEGIN)),
                             ERR_OK);
        }
        ck_assert_uint_lt(k, count);
        ck_assert_int_eq(st->ops->append(st, &records[k], bytes + (records[k].begin - BEGIN)),
                         ERR_OK);
        flush();
        ck_assert_uint_le(state().uncertain_to, state().flush_off);
        ck_assert_uint_eq(state().unit_off, record_end(&records[k]));
        close_log();
        ck_assert_int_eq(open_log(), ERR_OK);
        ck_assert_uint_eq(state().unit_off, record_end(&records[k]));
        ck_assert_uint_le(state().uncertain_to, state().flush_off);
        if (header_too == 0) {
            /* A cut in between keeps in mind how the segment began. */
            uint64_t between = record_end(&records[k++]);
            ck_assert_int_eq(st->ops->append(st, &records[k], bytes + (records[k].begin - BEGIN)),
                             ERR_OK);
            flush();
            ck_assert_int_eq(st->ops->truncate(st, between), ERR_OK);
            ck_assert_uint_le(state().uncertain_to, state().flush_off);
        }
        ck_assert_int_eq(st->ops->truncate(st, to), ERR_OK);
        ck_assert_uint_lt(state().unit_off, to);
        ck_assert_uint_gt(state().uncertain_to, to);
    }
}
END_TEST

START_TEST(snapshot)
{
    struct snapshot_info info;

    restore_files();
    ck_assert_int_eq(open_log(), ERR_OK);
    heal("snapshot", true);
    ck_assert_int_eq(st->ops->snap_latest(st, UINT64_MAX, &info), ERR_OK);
    for (size_t i = 0; i < file_count; i++) {
        if (strstr(files[i].path, ".rdb") != NULL) {
            struct flip f = {files[i].path, 8765, 2};
            flip(&f);
        }
    }
    heal("snapshot", true);
    ck_assert_int_eq(st->ops->snap_latest(st, UINT64_MAX, &info), ERR_NOT_FOUND);
    ck_assert_uint_eq(state().holes.found, 1);
}
END_TEST

/* On a full disk nothing is mended, and nothing is lost; with room it is. */
START_TEST(full_disk)
{
    const char *path = NULL;

    for (size_t i = 0; i < file_count; i++) {
        path = is_segment(i) && path == NULL ? files[i].path : path;
    }
    struct flip f = {path, SEGMENT_BLOCK_BYTES + 70, 1};
    restore_files();
    flip(&f);
    ck_assert_int_eq(open_log(), ERR_OK);
    fake_disk_set_capacity(disk, 1);
    heal("full", false);
    ck_assert_uint_eq(state().holes.count, 1);
    ck_assert_uint_eq(state().flush_off, end);
    fake_disk_set_capacity(disk, UINT64_MAX);
    heal("room", true);
    check_whole("room");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_mend");
    TCase *tc = tcase_create("store_mend");

    tcase_set_timeout(tc, 240);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, flips_stopped);
    tcase_add_test(tc, flips_running);
    tcase_add_test(tc, flips_small_files);
    tcase_add_test(tc, unreadable_blocks);
    tcase_add_test(tc, unreadable_snapshot);
    tcase_add_test(tc, gone_and_short);
    tcase_add_test(tc, many_places);
    tcase_add_test(tc, torn_batch);
    tcase_add_test(tc, meanwhile);
    tcase_add_test(tc, wrong_records);
    tcase_add_test(tc, power_failure_while_mending);
    tcase_add_test(tc, old_copies);
    tcase_add_test(tc, another_history);
    tcase_add_test(tc, other_boundaries);
    tcase_add_test(tc, cut_into_other_boundaries);
    tcase_add_test(tc, mended_from_another_history);
    tcase_add_test(tc, cuts);
    tcase_add_test(tc, cut_where_a_hole_ends);
    tcase_add_test(tc, snapshot);
    tcase_add_test(tc, full_disk);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
