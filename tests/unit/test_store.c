/* The store: a log's begin can be forgotten, a full disk only refuses, what may not come next is
 * refused and changes nothing, and snapshots are there whole or not at all. Crashes and rot:
 * test_store_crash.c, test_store_mend.c. */
#include "tests/lib/store_case.h"

#include "common/le.h"
#include "common/mem.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

/* The epoch that `ident` tells. */
static uint64_t ident_epoch(void)
{
    size_t size;
    const uint8_t *ident = fake_disk_bytes(m.disk, "d/log/ident", &size);

    ck_assert_ptr_nonnull(ident);
    ck_assert_uint_eq(size, 512);
    return le_get64(ident + 112);
}

/* Whole segments go below an offset, also while the disk is full if nothing but the begin must be
 * noted; what stays can be read, cut and opened again, and what is gone is not found. A begin
 * inside of a unit is none. */
START_TEST(trim)
{
    struct buf b = BUF_INIT;
    uint64_t begin = 0;

    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    m.cut_to = UINT64_MAX;
    ck_assert_int_eq(m.st->ops->trim(m.st, 1, &begin), ERR_STATE);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(append(9000), ERR_OK);
        ck_assert_int_eq(flush(), ERR_OK);
    }
    uint64_t used = fake_disk_used(m.disk);
    ck_assert_int_eq(trim_to(BEGIN + 9000), ERR_OK);
    ck_assert_uint_eq(m.begin, BEGIN); /* the first segment holds more than that */
    fake_disk_set_capacity(m.disk, used);
    ck_assert_int_eq(m.st->ops->trim(m.st, m.end, &begin), ERR_NO_SPACE);
    ck_assert_uint_eq(state().begin, BEGIN);
    fake_disk_set_capacity(m.disk, used + 8192);
    ck_assert_int_eq(trim_to(BEGIN + 200000), ERR_OK);
    ck_assert_uint_gt(m.begin, BEGIN + 200000 - SEGMENT);
    ck_assert_uint_lt(fake_disk_used(m.disk), used - 2 * (uint64_t)SEGMENT);
    ck_assert_int_eq(m.st->ops->read(m.st, m.begin - 1, 100, &b), ERR_NOT_FOUND);
    ck_assert_int_eq(m.st->ops->truncate(m.st, m.begin - 9000), ERR_INVALID);
    check_bytes(5000);
    store_close(m.store);
    ck_assert_int_eq(reopen(), ERR_OK);
    check_reopened();
    ck_assert_int_eq(truncate_to(m.begin), ERR_OK);
    ck_assert_int_eq(append(100), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    store_close(m.store);
    ck_assert_int_eq(reopen(), ERR_OK);
    check_reopened();
    buf_release(&b);
    model_end();
}
END_TEST

/* What a trim left that was cut short is removed at start; but not if what the log should begin
 * with is not there: in doubt nothing goes. */
START_TEST(trim_cut_short)
{
    struct fake_disk *f;
    char path[64];
    size_t size = 0;

    for (int lost = 0; lost < 2; lost++) {
        model_begin();
        f = m.disk;
        ck_assert_int_eq(reopen(), ERR_OK);
        m.cut_to = UINT64_MAX;
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        for (int i = 0; i < 20; i++) {
            ck_assert_int_eq(append(9000), ERR_OK);
            ck_assert_int_eq(flush(), ERR_OK);
        }
        (void)snprintf(path, sizeof path, "d/log/seg-%020d.log", BEGIN);
        const uint8_t *bytes = fake_disk_bytes(f, path, &size);
        uint8_t *copy = mem_alloc(size);
        memcpy(copy, bytes, size);
        ck_assert_int_eq(trim_to(m.end), ERR_OK);
        ck_assert_uint_gt(m.begin, BEGIN);
        store_close(m.store);
        fake_disk_put(f, path, copy, size);
        free(copy);
        if (lost) {
            char first[64];
            (void)snprintf(first, sizeof first, "d/log/seg-%020llu.log",
                           (unsigned long long)m.begin);
            ck_assert(fake_disk_flip(f, first, 20, 1));
        }
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_uint_eq(state().begin, lost ? (uint64_t)BEGIN : m.begin);
        ck_assert(lost == (fake_disk_bytes(f, path, &size) != NULL));
        ck_assert_uint_eq(state().begin_chain, crc32c_extend(0, m.bytes, state().begin - m.base));
        model_end();
    }
}
END_TEST

/* A reset tells `ident` of the new epoch before it removes anything of the old one, wherever the
 * power goes: rot of the new segment's header could else pass the old log off as this one. */
START_TEST(reset_tells_ident_first)
{
    unsigned told = 0, removed = 0;

    for (uint64_t step = 1; removed < 3; step++) {
        size_t size;
        model_begin();
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        const char *old = "d/log/seg-00000000000000005000.log";
        ck_assert_ptr_nonnull(fake_disk_bytes(m.disk, old, &size));
        fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + step);
        int rc = m.st->ops->reset(m.st, BEGIN + 1000, 0);
        store_close(m.store);
        m.store = NULL;
        fake_disk_crash(m.disk, FAKE_DISK_KEEP_ALL, step);
        told += ident_epoch() == 2;
        if (fake_disk_bytes(m.disk, old, &size) == NULL) {
            ck_assert_uint_eq(ident_epoch(), 2);
            removed++;
        }
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_uint_eq(state().begin, ident_epoch() == 2 ? BEGIN + 1000 : BEGIN);
        ck_assert(rc != ERR_OK || state().begin == BEGIN + 1000);
        model_end();
    }
    ck_assert_uint_gt(told, removed);
}
END_TEST

/* A full disk refuses new appends and changes nothing; the log can be read, and opened again; with
 * room it goes on. */
START_TEST(full_disk)
{
    int rc = ERR_OK;

    model_begin();
    fake_disk_set_capacity(m.disk, 7 * (uint64_t)SEGMENT);
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    for (int i = 0; i < 10000 && rc == ERR_OK; i++) {
        rc = append(1000);
        if (rc == ERR_OK) {
            ck_assert_int_eq(flush(), ERR_OK);
        }
    }
    ck_assert_int_eq(rc, ERR_NO_SPACE);
    ck_assert(!store_errored(m.store));
    ck_assert_uint_eq(state().write_off, m.end);
    ck_assert_uint_eq(state().flush_off, m.end);
    check_bytes(5000);
    ck_assert_int_eq(append(1000), ERR_NO_SPACE);
    ck_assert_int_eq(save_meta(), ERR_OK); /* votes need no room */
    store_close(m.store);

    fake_disk_set_capacity(m.disk, 1); /* somebody else took even the reserve */
    ck_assert_int_eq(reopen(), ERR_OK);
    check_reopened();
    ck_assert_int_eq(append(1000), ERR_NO_SPACE);
    ck_assert_int_eq(m.st->ops->truncate(m.st, m.end - 1000), ERR_NO_SPACE);
    ck_assert_uint_eq(state().flush_off, m.end);
    ck_assert_int_eq(m.st->ops->snap_begin(m.st, &(struct snapshot_info){.size_bytes = 100}),
                     ERR_NO_SPACE);
    ck_assert(!store_errored(m.store));

    fake_disk_set_capacity(m.disk, 100 * (uint64_t)SEGMENT);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(append(1000), ERR_OK);
        ck_assert_int_eq(flush(), ERR_OK);
    }
    store_close(m.store);
    ck_assert_int_eq(reopen(), ERR_OK);
    check_reopened();
    model_end();
}
END_TEST

/* What may not come next is refused and changes nothing. */
START_TEST(refused)
{
    struct record r = {.term = {5}, .begin = BEGIN, .len_bytes = 3, .flags = RECORD_UNIT_END};

    model_begin();
    m.term = 5;
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    r.payload_crc = crc32c_extend(0, "abc", 3);
    r.chain_crc = r.payload_crc;
    struct record bad = r;
    bad.begin++;
    ck_assert_int_eq(m.st->ops->append(m.st, &bad, "abc"), ERR_INVALID);
    bad = r;
    bad.chain_crc++;
    ck_assert_int_eq(m.st->ops->append(m.st, &bad, "abc"), ERR_INVALID);
    ck_assert_int_eq(m.st->ops->append(m.st, &r, "abd"), ERR_INVALID);
    bad = r;
    bad.len_bytes = 0;
    ck_assert_int_eq(m.st->ops->append(m.st, &bad, ""), ERR_INVALID);
    bad = r;
    bad.len_bytes = SEGMENT;
    ck_assert_int_eq(m.st->ops->append(m.st, &bad, m.bytes), ERR_TOO_BIG);
    ck_assert_int_eq(m.st->ops->append(m.st, &r, "abc"), ERR_OK);
    bad = r;
    bad.term.n = 4;
    bad.begin += 3;
    bad.chain_crc = crc32c_extend(r.chain_crc, "abc", 3);
    ck_assert_int_eq(m.st->ops->append(m.st, &bad, "abc"), ERR_INVALID);
    ck_assert_int_eq(m.st->ops->flush(m.st), ERR_OK);
    ck_assert_int_eq(m.st->ops->truncate(m.st, BEGIN + 1), ERR_INVALID);
    ck_assert_int_eq(m.st->ops->truncate(m.st, BEGIN + 4), ERR_INVALID);
    ck_assert_int_eq(m.st->ops->truncate(m.st, BEGIN - 1), ERR_INVALID);
    ck_assert_uint_eq(state().flush_off, BEGIN + 3);
    ck_assert(!store_errored(m.store));
    model_end();
}
END_TEST

/* A foreign folder, lost votes, vanished segments: each is refused. One segment that is missing, or
 * the file that says whose log it is, is not (tests/unit/test_store_mend.c). */
START_TEST(damaged_folders)
{
    char path[64];

    for (int damage = 0; damage < 5; damage++) {
        model_begin();
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        for (int i = 0; i < 40; i++) {
            ck_assert_int_eq(append(4000), ERR_OK);
            ck_assert_int_eq(flush(), ERR_OK);
        }
        store_close(m.store);
        m.store = NULL;
        struct store_config config = {.disk = fake_disk(m.disk),
                                      .folder = "d/log",
                                      .cluster_id = {1, 2, 3},
                                      .node_id = "log1",
                                      .log_id = 9,
                                      .segment_bytes = SEGMENT};
        int expected = ERR_CORRUPT;
        if (damage == 0) {
            expected = ERR_OK; /* in the middle */
            const char *last = fake_disk_last(m.disk, "d/log/seg-");
            uint64_t middle = 0;
            for (uint64_t o = BEGIN + 1; o < m.end && middle == 0; o++) {
                (void)snprintf(path, sizeof path, "d/log/seg-%020llu.log", (unsigned long long)o);
                middle = strcmp(path, last) != 0 && fake_disk_remove(m.disk, path) == ERR_OK;
            }
            ck_assert_uint_eq(middle, 1);
        } else if (damage == 1) {
            while (fake_disk_last(m.disk, "d/log/seg-")) {
                (void)snprintf(path, sizeof path, "%s", fake_disk_last(m.disk, "d/log/seg-"));
                ck_assert_int_eq(fake_disk_remove(m.disk, path), ERR_OK);
            }
        } else if (damage == 2) {
            ck_assert_int_eq(fake_disk_remove(m.disk, "d/log/meta-a"), ERR_OK);
            ck_assert_int_eq(fake_disk_remove(m.disk, "d/log/meta-b"), ERR_OK);
        } else if (damage == 3) {
            expected = ERR_OK;
            ck_assert_int_eq(fake_disk_remove(m.disk, "d/log/ident"), ERR_OK);
        } else {
            config.node_id = "log2";
            expected = ERR_REFUSED;
        }
        ck_assert_int_eq(store_open(&config, &m.store), expected);
        m.store = expected == ERR_OK ? m.store : NULL;
        model_end();
    }
}
END_TEST

/* A log that has voted and never got a byte, and has lost its file "ident": it is not begun anew,
 * what it promised would be forgotten. One in which nothing was ever saved is. */
START_TEST(votes_without_ident)
{
    for (int saved = 0; saved < 2; saved++) {
        model_begin();
        ck_assert_int_eq(reopen(), ERR_OK);
        struct storage *storage = store_storage(m.store);
        if (saved != 0) {
            ck_assert_int_eq(storage->ops->meta_save(storage, "promise", 7), ERR_OK);
        }
        store_close(m.store);
        m.store = NULL;
        ck_assert_int_eq(fake_disk_remove(m.disk, "d/log/ident"), ERR_OK);
        struct store_config config = {.disk = fake_disk(m.disk),
                                      .folder = "d/log",
                                      .cluster_id = {1, 2, 3},
                                      .node_id = "log1",
                                      .log_id = 9,
                                      .segment_bytes = SEGMENT};
        ck_assert_int_eq(store_open(&config, &m.store), saved != 0 ? ERR_CORRUPT : ERR_OK);
        if (saved != 0) {
            m.store = NULL;
        }
        model_end();
    }
}
END_TEST

/* Two users of one folder: the second one is refused. */
START_TEST(locked)
{
    struct store *first;

    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    first = m.store;
    m.store = NULL;
    ck_assert_int_eq(reopen(), ERR_EXISTS);
    store_close(first);
    ck_assert_int_eq(reopen(), ERR_OK);
    model_end();
}
END_TEST

/* --- snapshots --- */

static struct snapshot_info snapshot(uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct snapshot_info info = {.offset = offset,
                                 .term = {3},
                                 .size_bytes = size,
                                 .crc = crc32c_extend(0, bytes, size),
                                 .chain_crc = 5,
                                 .wall_ms = 6,
                                 .engine_version = "7.0.15"};
    memset(info.replid.hex, 'a', sizeof info.replid.hex);
    return info;
}

static int receive_snapshot(uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct snapshot_info info = snapshot(offset, bytes, size);
    int rc = m.st->ops->snap_begin(m.st, &info);

    for (size_t at = 0; at < size && rc == ERR_OK; at += 1000) {
        rc = m.st->ops->snap_write(m.st, at, bytes + at, size - at < 1000 ? size - at : 1000);
    }
    return rc == ERR_OK ? m.st->ops->snap_commit(m.st) : rc;
}

/* A snapshot is there with all it says, and survives; one that is damaged on its way never shows.
 */
START_TEST(snapshots)
{
    struct snapshot_info info;
    struct buf b = BUF_INIT;
    uint8_t bytes[4500];

    memset(bytes, 'r', sizeof bytes);
    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_latest(m.st, UINT64_MAX, &info), ERR_NOT_FOUND);
    ck_assert_int_eq(receive_snapshot(500, bytes, 4500), ERR_OK);
    ck_assert_int_eq(receive_snapshot(100, bytes, 3000), ERR_OK);
    ck_assert_int_eq(receive_snapshot(500, bytes, 4500), ERR_OK); /* again */

    info = snapshot(700, bytes, 1000);
    info.crc ^= 1;
    ck_assert_int_eq(m.st->ops->snap_begin(m.st, &info), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_write(m.st, 1, bytes, 10), ERR_CORRUPT);
    ck_assert_int_eq(m.st->ops->snap_begin(m.st, &info), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_write(m.st, 0, bytes, 1001), ERR_CORRUPT);
    ck_assert_int_eq(m.st->ops->snap_begin(m.st, &info), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_write(m.st, 0, bytes, 1000), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_commit(m.st), ERR_CORRUPT);
    ck_assert_int_eq(m.st->ops->snap_write(m.st, 0, bytes, 10), ERR_STATE);
    ck_assert_int_eq(m.st->ops->snap_begin(m.st, &info), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_write(m.st, 0, bytes, 10), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_drop(m.st), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_drop(m.st), ERR_OK); /* nothing is there any more */
    ck_assert_int_eq(m.st->ops->snap_write(m.st, 10, bytes, 10), ERR_STATE);
    ck_assert(!store_errored(m.store));

    /* Another dataset at the same offset takes the place of the old one. */
    memset(bytes, 's', sizeof bytes);
    ck_assert_int_eq(receive_snapshot(100, bytes, 2000), ERR_OK);
    store_close(m.store);
    fake_disk_crash(m.disk, FAKE_DISK_LOSE_ALL, 0);
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(m.st->ops->snap_latest(m.st, UINT64_MAX, &info), ERR_OK);
    ck_assert_uint_eq(info.offset, 500);
    ck_assert_str_eq(info.engine_version, "7.0.15");
    ck_assert_mem_eq(info.replid.hex, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 40);
    ck_assert_int_eq(m.st->ops->snap_latest(m.st, 499, &info), ERR_OK);
    ck_assert_uint_eq(info.offset, 100);
    ck_assert_uint_eq(info.size_bytes, 2000);
    ck_assert_int_eq(m.st->ops->snap_read(m.st, 100, 1500, 9999, &b), ERR_OK);
    ck_assert_uint_eq(b.len, 500);
    ck_assert_uint_eq(buf_head(&b)[499], 's');
    ck_assert_int_eq(m.st->ops->snap_read(m.st, 101, 0, 10, &b), ERR_NOT_FOUND);
    ck_assert_int_eq(m.st->ops->snap_latest(m.st, 99, &info), ERR_NOT_FOUND);
    buf_release(&b);
    model_end();
}
END_TEST

/* The power goes at every operation while a snapshot is received: it is there whole or not at all.
 */
START_TEST(snapshot_power_failure)
{
    uint8_t bytes[4500];
    struct snapshot_info info;
    struct buf b = BUF_INIT;

    memset(bytes, 'r', sizeof bytes);
    for (uint64_t op = 0; op < 20; op++) {
        for (unsigned seed = 0; seed < 10; seed++) {
            model_begin();
            ck_assert_int_eq(reopen(), ERR_OK);
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + op);
            bool done = receive_snapshot(500, bytes, 4500) == ERR_OK;
            store_close(m.store);
            fake_disk_crash(m.disk, FAKE_DISK_LOSE_SOME, seed);
            ck_assert_int_eq(reopen(), ERR_OK);
            int rc = m.st->ops->snap_latest(m.st, 500, &info);
            ck_assert(rc == ERR_OK || !done);
            if (rc == ERR_OK) {
                buf_clear(&b);
                ck_assert_int_eq(m.st->ops->snap_read(m.st, 500, 0, 4500, &b), ERR_OK);
                ck_assert_uint_eq(b.len, 4500);
                ck_assert_mem_eq(buf_head(&b), bytes, 4500);
            }
            model_end();
        }
    }
    buf_release(&b);
}
END_TEST

/* --- the real disk --- */

static int remove_one_cb(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* On real files, with the thread that makes spares: segments roll, reads span them, a second
 * process is locked out, and what was written is there again. */
START_TEST(real_disk)
{
    char folder[] = "store-test-XXXXXX", log[64];

    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(log, sizeof log, "%s/log", folder);
    memset(&m, 0, sizeof m);
    m.term = 1;
    struct store_config config = {.disk = disk_posix(),
                                  .folder = log,
                                  .node_id = "log1",
                                  .segment_bytes = SEGMENT,
                                  .spare_thread = true};
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(store_open(&config, &m.store), ERR_OK);
        m.st = store_storage(m.store);
        struct store *second;
        ck_assert_int_eq(store_open(&config, &second), ERR_EXISTS);
        if (round == 0) {
            ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        } else {
            m.cut_to = UINT64_MAX;
            check_reopened();
        }
        for (int i = 0; i < 60; i++) {
            ck_assert_int_eq(append(2500), ERR_OK);
            ck_assert_int_eq(i % 2 ? flush() : ERR_OK, ERR_OK);
        }
        check_bytes(9000);
        ck_assert_int_eq(truncate_to(m.end - 40 * 2500), ERR_OK);
        check_bytes(9000);
        store_close(m.store);
    }
    ck_assert_int_eq(nftw(folder, remove_one_cb, 8, FTW_DEPTH | FTW_PHYS), 0);
}
END_TEST

int main(void)
{
    unit_hush();
    return UNIT_RUN_FOR("store", NULL, NULL, 120, trim, trim_cut_short, reset_tells_ident_first,
                        full_disk, refused, damaged_folders, votes_without_ident, locked, snapshots,
                        snapshot_power_failure, real_disk);
}
