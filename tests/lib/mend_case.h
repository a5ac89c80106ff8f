/* A log's store on a disk in memory, as it was when all was well, and the records of it that other
 * nodes hand in. For the programs test_store_mend.c, test_store_mend_cut.c and
 * test_store_pack_rot.c; each has its own. */
#ifndef TESTS_LIB_MEND_CASE_H
#define TESTS_LIB_MEND_CASE_H

#include "logsvc/store.h"

#include "common/crc32c.h"
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

static unsigned pack_percent; /* of the logs that are opened */
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

static inline int open_log(void)
{
    struct store_config config = {
        .disk = fake_disk(disk),
        .folder = "d/log",
        .cluster_id = {1, 2, 3},
        .node_id = "log1",
        .log_id = 9,
        .segment_bytes = SEGMENT,
        .reserve_bytes = SEGMENT,
        .pack_percent = pack_percent,
    };

    int rc = store_open(&config, &store);
    st = rc == ERR_OK ? store_storage(store) : NULL;
    store = rc == ERR_OK ? store : NULL;
    return rc;
}

static inline void close_log(void)
{
    store_close(store);
    store = NULL;
}

static inline struct storage_state state(void)
{
    struct storage_state s;

    st->ops->state(st, &s);
    return s;
}

static inline void append(uint32_t len, bool unit_end)
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

static inline void flush(void)
{
    ck_assert_int_eq(st->ops->flush(st), ERR_OK);
}

static inline void mark_idle(void)
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

static inline void save_file(void *ctx, const char *name)
{
    size_t i = file_count++;

    (void)ctx;
    ck_assert_uint_lt(i, FILES_MAX);
    (void)snprintf(files[i].path, sizeof files[i].path, "d/log/%.40s", name);
}

static inline int compare_files(const void *a, const void *b)
{
    return strcmp(a, b); /* by their paths, which stand first */
}

static inline void save_files(void)
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

static inline void restore_files(void)
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
static inline void setup(void)
{
    static const uint32_t sizes[] = {10, 700, 3000, 90, 9000, 450, 20000, 1};
    struct snapshot_info snap = {.offset = BEGIN, .term = {1}, .size_bytes = 9000};

    unit_hush();
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

static inline void teardown(void)
{
    close_log();
    fake_disk_destroy(disk);
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].bytes);
    }
}

/* Encodes the records [from, to), as another node would hand them out. */
static inline void encode(uint64_t from, uint64_t to, size_t max, struct buf *out)
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
static inline const struct record *crossing(uint64_t a, uint64_t b)
{
    for (size_t i = 0; i < count; i++) {
        if (record_crosses(&records[i], a, b)) {
            return &records[i];
        }
    }
    return NULL;
}

static inline void encode_crossing(uint64_t a, uint64_t b, struct buf *out)
{
    const struct record *r = crossing(a, b);

    buf_clear(out);
    if (r != NULL) {
        encode(r->begin, record_end(r), SIZE_MAX, out);
    }
}

/* Looks after the log for several rounds, handing in what is asked for, until all is well. */
static inline void heal(const char *what, bool feeds)
{
    struct storage_check c = {0};
    struct buf b = BUF_INIT;
    unsigned rounds = 0;

    for (unsigned i = 0; i < 20000 && (rounds < 3 || state().holes.count > 0); i++) {
        struct storage_pack p;
        ck_assert_msg(st->ops->check(st, 5000, &c) == ERR_OK, "%s", what);
        ck_assert_msg(st->ops->pack(st, 5000, &p) == ERR_OK, "%s", what);
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
static inline void check_bytes(const char *what, bool holes)
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
static inline void check_whole(const char *what)
{
    struct storage_state s = state();

    ck_assert_msg(s.begin == BEGIN, "%s: begins at %llu", what, (unsigned long long)s.begin);
    ck_assert_msg(s.flush_off == end || s.uncertain_to > s.flush_off, "%s: ends at %llu", what,
                  (unsigned long long)s.flush_off);
    ck_assert_msg(s.flush_off != end || s.uncertain_to > s.flush_off || s.unit_off == end,
                  "%s: units end at %llu", what, (unsigned long long)s.unit_off);
    check_bytes(what, false);
}

struct flip {
    const char *path;
    size_t at;
    uint8_t mask;
};

static inline void flip(void *arg)
{
    const struct flip *f = arg;
    size_t size;
    uint8_t *at = fake_disk_bytes(disk, f->path, &size);

    ck_assert(at != NULL && f->at < size);
    at[f->at] ^= f->mask;
    fake_disk_settle(disk, f->path);
}

static inline bool is_segment(size_t i)
{
    return strstr(files[i].path, "/seg-") != NULL;
}

/* Another one follows it. */
static inline bool is_closed_segment(size_t i)
{
    return is_segment(i) && i + 1 < file_count && is_segment(i + 1);
}

/* The path of a segment, the oldest being 0. */
static inline char *segment_of(unsigned nth)
{
    for (size_t i = 0; i < file_count; i++) {
        if (is_segment(i) && nth-- == 0) {
            return files[i].path;
        }
    }
    ck_abort_msg("no such segment");
}

#endif
