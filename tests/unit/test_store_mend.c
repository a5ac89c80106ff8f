/* Rot in the files of a log: it is found, told, and mended from records that are handed in,
 * whatever has rotted. Nothing that was acknowledged is lost: a log either holds all of it again,
 * or says that it is not certain of its end. */
#include "tests/lib/mend_case.h"

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

    if (is_segment(i) && !is_closed_segment(i)) {
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
    struct flip f = {segment_of(0), 3 * (size_t)SEGMENT_BLOCK_BYTES + 100, 1};
    struct storage_check c;

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
    uint64_t ops = UINT64_MAX;
    struct storage_check c;
    struct buf b = BUF_INIT;

    struct flip f = {segment_of(0), 5 * (size_t)SEGMENT_BLOCK_BYTES + 100, 1};
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

/* A rotten snapshot is not offered any more; the others are not touched. */
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
    struct flip f = {segment_of(0), SEGMENT_BLOCK_BYTES + 70, 1};

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
    return UNIT_RUN_FOR("store_mend", setup, teardown, 240, flips_stopped, flips_running,
                        flips_small_files, unreadable_blocks, unreadable_snapshot, gone_and_short,
                        many_places, torn_batch, meanwhile, wrong_records,
                        power_failure_while_mending, snapshot, full_disk);
}
