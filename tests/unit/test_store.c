/* The store: every flushed byte is there after any crash, and any error ends it; a full disk only
 * refuses. The same script of operations runs with the power going, or one operation failing, at
 * each operation of the disk in turn. */
#include "logsvc/store.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/log.h"
#include "common/mem.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/unit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = SEGMENT_BYTES_MIN, LOG_BYTES_MAX = 1024 * 1024, BEGIN = 5000 };

/* What the test knows of a log: its bytes, and what of it was promised. */
struct model {
    struct fake_disk *disk;
    struct store *store;
    struct storage *st;
    uint8_t bytes[LOG_BYTES_MAX]; /* of offsets from `base` on */
    uint64_t base;                /* where it was begun */
    uint64_t begin, end;          /* appended, and not forgotten */
    uint64_t flushed;             /* promised */
    uint64_t cut_to; /* a truncate or reset was asked: the end may be anywhere between */
    unsigned meta_promised, meta_asked;
    uint64_t term;
    bool begun;
    bool resetting; /* a reset to another begin may or may not have happened */
    uint64_t reset_to;
    uint64_t trim_to; /* the begin may have moved, up to there; 0: it was not asked to */
};

static struct model m;

static int open_store(struct disk *disk, const char *folder)
{
    struct store_config config = {
        .disk = disk,
        .folder = folder,
        .cluster_id = {1, 2, 3},
        .node_id = "log1",
        .log_id = 9,
        .segment_bytes = SEGMENT,
        .reserve_bytes = SEGMENT,
    };

    int rc = store_open(&config, &m.store);
    m.st = rc == ERR_OK ? store_storage(m.store) : NULL;
    return rc;
}

static int reopen(void)
{
    return open_store(fake_disk(m.disk), "d/log");
}

static void model_begin(void)
{
    memset(&m, 0, sizeof m);
    m.disk = fake_disk_create();
    m.term = 1;
}

static void model_end(void)
{
    store_close(m.store);
    fake_disk_destroy(m.disk);
    m.store = NULL;
}

static struct storage_state state(void)
{
    struct storage_state s;

    m.st->ops->state(m.st, &s);
    return s;
}

/* One record of that many bytes, which depend on offset and term. */
static uint32_t zeros; /* that each record has, 100 bytes behind its beginning */

static int append(uint32_t len)
{
    uint8_t *payload = m.bytes + (m.end - m.base);

    ck_assert_uint_lt(m.end - m.base + len, LOG_BYTES_MAX);
    for (uint32_t i = 0; i < len; i++) {
        bool zero = i >= 100 && i < 100 + zeros;
        payload[i] = zero ? 0 : (uint8_t)(1 + (m.end + i + m.term * 31) % 251);
    }
    struct record r = {.term = {m.term},
                       .begin = m.end,
                       .len_bytes = len,
                       .flags = RECORD_UNIT_END,
                       .payload_crc = crc32c_extend(0, payload, len),
                       .commit = m.flushed,
                       .wall_ms = 77};
    r.chain_crc = crc32c_extend(0, m.bytes, m.end - m.base + len);
    int rc = m.st->ops->append(m.st, &r, payload);
    if (rc == ERR_OK) {
        m.end += len;
        struct storage_state s = state();
        ck_assert_uint_eq(s.chain_crc, r.chain_crc);
        ck_assert_uint_eq(s.flush_chain, crc32c_extend(0, m.bytes, s.flush_off - m.base));
    }
    return rc;
}

static int flush(void)
{
    int rc = m.st->ops->flush(m.st);

    if (rc == ERR_OK) {
        m.flushed = m.end;
    }
    return rc;
}

/* What an acceptor does when its log falls idle. */
static int mark_idle(void)
{
    struct record r = {.term = {m.term},
                       .begin = m.end,
                       .flags = RECORD_IDLE,
                       .chain_crc = crc32c_extend(0, m.bytes, m.end - m.base)};

    int rc = m.st->ops->append(m.st, &r, NULL);
    return rc == ERR_OK ? flush() : rc;
}

static int truncate_to(uint64_t offset)
{
    m.cut_to = offset;
    int rc = m.st->ops->truncate(m.st, offset);
    if (rc == ERR_OK) {
        m.end = m.flushed = offset;
        m.cut_to = UINT64_MAX;
        m.term++;
    }
    return rc;
}

static int reset_to(uint64_t offset)
{
    m.resetting = true;
    m.reset_to = offset;
    int rc = m.st->ops->reset(m.st, offset, 0);
    if (rc == ERR_OK) {
        m.base = m.begin = m.end = m.flushed = offset;
        m.resetting = false;
        m.begun = true;
        m.term++;
    }
    return rc;
}

/* Forgets what is below the offset, as far as that goes. */
static int trim_to(uint64_t offset)
{
    uint64_t begin = 0;

    m.trim_to = offset;
    int rc = m.st->ops->trim(m.st, offset, &begin);
    if (rc == ERR_OK) {
        ck_assert(begin >= m.begin && (begin <= offset || begin == m.begin));
        m.begin = begin;
        m.trim_to = 0;
        ck_assert_uint_eq(state().begin, begin);
        ck_assert_uint_eq(state().begin_chain, crc32c_extend(0, m.bytes, begin - m.base));
    }
    return rc;
}

static int save_meta(void)
{
    char body[32];

    m.meta_asked = m.meta_promised + 1;
    int len = snprintf(body, sizeof body, "meta %u", m.meta_asked);
    int rc = m.st->ops->meta_save(m.st, body, (size_t)len);
    if (rc == ERR_OK) {
        m.meta_promised = m.meta_asked;
    }
    return rc;
}

static unsigned load_meta(void)
{
    struct buf b = BUF_INIT;
    unsigned n = 0;

    int rc = m.st->ops->meta_load(m.st, &b);
    if (rc == ERR_OK) {
        buf_append(&b, "", 1);
        ck_assert_int_eq(sscanf((const char *)buf_head(&b), "meta %u", &n), 1);
    } else {
        ck_assert_int_eq(rc, ERR_NOT_FOUND);
    }
    buf_release(&b);
    return n;
}

/* Reads the whole log in pieces of about max_bytes and compares it with the model. */
static void check_bytes(size_t max_bytes)
{
    struct storage_state s = state();
    struct buf b = BUF_INIT;
    struct record r;

    for (uint64_t at = s.begin; at < s.flush_off;) {
        buf_clear(&b);
        ck_assert_int_eq(m.st->ops->read(m.st, at, max_bytes, &b), ERR_OK);
        ck_assert_uint_gt(b.len, 0);
        while (b.len > 0) {
            ck_assert_int_eq(record_decode_header(buf_head(&b), b.len, &r), ERR_OK);
            ck_assert_uint_eq(r.begin, at);
            ck_assert_uint_ge(b.len, RECORD_HEADER_BYTES + r.len_bytes);
            ck_assert_uint_le(record_end(&r), s.flush_off);
            ck_assert_mem_eq(buf_head(&b) + RECORD_HEADER_BYTES, m.bytes + (at - m.base),
                             r.len_bytes);
            buf_consume(&b, RECORD_HEADER_BYTES + r.len_bytes);
            at = record_end(&r);
        }
    }
    ck_assert_int_eq(m.st->ops->read(m.st, s.flush_off, 100, &b), ERR_NOT_FOUND);
    buf_release(&b);
}

/* The reopened log against the model: nothing promised is missing, nothing unasked is there. */
static void check_reopened(void)
{
    struct storage_state s = state();

    unsigned meta = load_meta();
    ck_assert(meta == m.meta_promised || meta == m.meta_asked);
    m.meta_promised = m.meta_asked = meta;
    if (s.empty) {
        ck_assert(!m.begun);
        return;
    }
    if (m.resetting && s.begin == m.reset_to && s.flush_off == m.reset_to) {
        m.base = m.begin = m.end = m.flushed = m.reset_to;
        m.trim_to = 0;
    }
    m.resetting = false;
    m.begun = true;
    uint64_t least = m.cut_to < m.flushed ? m.cut_to : m.flushed;
    if (m.trim_to == 0) {
        ck_assert_uint_eq(s.begin, m.begin);
    } else {
        ck_assert(s.begin >= m.begin && s.begin <= m.trim_to);
    }
    m.begin = s.begin;
    m.trim_to = 0;
    ck_assert(s.begin_chain_known);
    ck_assert_uint_eq(s.begin_chain, crc32c_extend(0, m.bytes, s.begin - m.base));
    ck_assert_uint_ge(s.flush_off, least);
    ck_assert_uint_le(s.flush_off, m.end);
    ck_assert_uint_eq(s.write_off, s.flush_off);
    ck_assert_uint_eq(s.uncertain_to, 0);
    ck_assert_uint_eq(s.chain_crc, crc32c_extend(0, m.bytes, s.flush_off - m.base));
    ck_assert_uint_eq(s.flush_chain, s.chain_crc);
    m.end = m.flushed = s.flush_off;
    m.cut_to = UINT64_MAX;
    check_bytes(3000);
}

/* The script: records small and large, batches, idle marks, votes, cuts inside and across segments,
 * a begin that is forgotten, a reset. Ends at the first error. */
static int script(void)
{
    static const uint32_t sizes[] = {10, 700, 1, 3000, 90, 12000, 450, 20000};
    int rc = ERR_OK;

    m.cut_to = UINT64_MAX;
    rc = m.begun ? ERR_OK : reset_to(BEGIN);
    for (int round = 0; round < 3 && rc == ERR_OK; round++) {
        rc = save_meta();
        for (size_t i = 0; i < 16 && rc == ERR_OK; i++) {
            rc = append(sizes[i % 8]);
            if (rc == ERR_OK && i % 3 == 0) {
                rc = flush();
            }
            if (rc == ERR_OK && i % 4 == 1) {
                rc = mark_idle();
            }
        }
        if (rc == ERR_OK) {
            rc = flush();
        }
        if (rc == ERR_OK && round > 0) {
            rc = trim_to(m.flushed - 60000);
        }
        if (rc == ERR_OK && round < 2) {
            rc = truncate_to(m.end - (round == 0 ? 20000 + 450 : 20000 + 450 + 12000 + 90 + 3000));
        }
    }
    return rc == ERR_OK ? reset_to(m.end + 1000) : rc;
}

/* An undisturbed run: everything is there, before and after closing it. */
START_TEST(undisturbed)
{
    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert(state().empty);
    ck_assert_int_eq(append(1), ERR_STATE);
    ck_assert_int_eq(script(), ERR_OK);
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(append(1000 + (uint32_t)i), ERR_OK);
        ck_assert_int_eq(flush(), ERR_OK);
    }
    check_bytes(1);
    check_bytes(100000);
    store_close(m.store);
    ck_assert_int_eq(reopen(), ERR_OK);
    check_reopened();
    ck_assert_uint_eq(m.end, m.begin + 60 * 1000 + 59 * 60 / 2);
    ck_assert_uint_eq(state().unit_off, m.end);
    ck_assert_uint_gt(state().commit, 0);
    model_end();
}
END_TEST

static uint64_t count_script_ops(void)
{
    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    uint64_t before = fake_disk_ops(m.disk);
    ck_assert_int_eq(script(), ERR_OK);
    uint64_t ops = fake_disk_ops(m.disk) - before;
    model_end();
    return ops;
}

/* The power goes at every operation of the disk, and comes back with different sectors each time.
 * Then the log goes on as if nothing had been. */
START_TEST(power_failure_everywhere)
{
    uint64_t ops = count_script_ops();

    for (uint64_t op = 0; op < ops; op++) {
        for (unsigned seed = 0; seed < 3; seed++) {
            model_begin();
            ck_assert_int_eq(reopen(), ERR_OK);
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + op);
            ck_assert_int_eq(script(), ERR_IO);
            ck_assert(store_errored(m.store));
            store_close(m.store);
            fake_disk_crash(m.disk, seed == 0 ? FAKE_DISK_LOSE_ALL : FAKE_DISK_LOSE_SOME,
                            op * 7 + seed);
            ck_assert_msg(reopen() == ERR_OK, "op %llu seed %u", (unsigned long long)op, seed);
            check_reopened();
            if (m.begun) {
                ck_assert_int_eq(append(100), ERR_OK);
                ck_assert_int_eq(flush(), ERR_OK);
            }
            model_end();
        }
    }
}
END_TEST

/* The power goes again while the log is being opened: nothing that an earlier opening has vouched
 * for is lost. */
START_TEST(power_failure_while_opening)
{
    uint64_t ops = count_script_ops();

    for (uint64_t op = 3; op < ops; op += 11) {
        for (uint64_t again = 0; again < 40; again++) {
            model_begin();
            ck_assert_int_eq(reopen(), ERR_OK);
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + op);
            ck_assert_int_eq(script(), ERR_IO);
            store_close(m.store);
            m.store = NULL;
            fake_disk_crash(m.disk, FAKE_DISK_LOSE_SOME, op + again);
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + again);
            if (reopen() == ERR_OK) {
                store_close(m.store);
                m.store = NULL;
            }
            fake_disk_crash(m.disk, FAKE_DISK_LOSE_SOME, op * 3 + again);
            ck_assert_int_eq(reopen(), ERR_OK);
            check_reopened();
            model_end();
        }
    }
}
END_TEST

/* One operation of the disk fails, at every operation: the store is dead from there on. The process
 * starts again on the same machine, whose cache shows what the disk may not have; what is then
 * vouched for survives a power failure. */
START_TEST(error_everywhere)
{
    uint64_t ops = count_script_ops();

    for (uint64_t op = 0; op < 2 * ops; op++) {
        model_begin();
        fake_disk_set_buffered(m.disk, op % 2 == 1);
        ck_assert_int_eq(reopen(), ERR_OK);
        fake_disk_fail_at(m.disk, fake_disk_ops(m.disk) + op / 2);
        ck_assert_int_eq(script(), ERR_IO);
        ck_assert(store_errored(m.store));
        ck_assert_int_eq(m.st->ops->flush(m.st), ERR_IO);
        ck_assert_int_eq(m.st->ops->meta_save(m.st, "x", 1), ERR_IO);
        ck_assert_int_eq(m.st->ops->truncate(m.st, m.begin), ERR_IO);
        ck_assert_int_eq(m.st->ops->reset(m.st, 1, 0), ERR_IO);
        ck_assert_int_eq(mark_idle(), ERR_IO);
        store_close(m.store);
        fake_disk_crash(m.disk, FAKE_DISK_KEEP_ALL, 0);
        ck_assert_msg(reopen() == ERR_OK, "op %llu", (unsigned long long)op);
        check_reopened();
        store_close(m.store);
        fake_disk_crash(m.disk, FAKE_DISK_LOSE_ALL, 0);
        ck_assert_int_eq(reopen(), ERR_OK);
        check_reopened();
        model_end();
    }
}
END_TEST

/* One operation fails while a log is begun or opened. The process starts again on the same machine,
 * finds names that the disk may not have, and promises; a power failure takes nothing of it back.
 */
START_TEST(error_while_opening)
{
    for (int begun = 0; begun < 2; begun++) {
        for (uint64_t op = 0, failed = 1; failed > 0; op++) {
            model_begin();
            if (begun != 0) {
                ck_assert_int_eq(reopen(), ERR_OK);
                ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
                store_close(m.store);
                fake_disk_crash(m.disk, FAKE_DISK_KEEP_ALL, 0);
            }
            fake_disk_fail_at(m.disk, fake_disk_ops(m.disk) + op);
            failed = reopen() != ERR_OK;
            if (failed > 0) {
                fake_disk_crash(m.disk, FAKE_DISK_KEEP_ALL, 0);
                ck_assert_msg(reopen() == ERR_OK, "op %llu", (unsigned long long)op);
            }
            fake_disk_fail_at(m.disk, 0);
            ck_assert_int_eq(save_meta(), ERR_OK);
            store_close(m.store);
            m.store = NULL;
            fake_disk_crash(m.disk, FAKE_DISK_LOSE_ALL, 0);
            ck_assert_msg(reopen() == ERR_OK, "op %llu", (unsigned long long)op);
            check_reopened();
            ck_assert_uint_eq(m.meta_promised, 1);
            model_end();
        }
    }
}
END_TEST

/* Any flipped bit of any segment: the log is refused, or says "uncertain", or the damaged part is
 * refused when it is read; wrong bytes are never handed out, and a shorter log is never passed off
 * as whole. */
START_TEST(rot_everywhere)
{
    struct buf b = BUF_INIT;
    char path[64];
    size_t size;
    const char *files[2] = {"first", "last"};

    for (int which = 0; which < 2; which++) {
        for (size_t at = 0; at < SEGMENT; at += which == 0 ? 173 : 61) {
            model_begin();
            ck_assert_int_eq(reopen(), ERR_OK);
            ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
            for (int i = 0; i < 40; i++) {
                ck_assert_int_eq(append(1900), ERR_OK);
                ck_assert_int_eq(i % 2 ? flush() : ERR_OK, ERR_OK);
            }
            store_close(m.store);
            m.store = NULL;
            if (which == 0) {
                (void)snprintf(path, sizeof path, "d/log/seg-%020d.log", BEGIN);
            } else {
                (void)snprintf(path, sizeof path, "%s", fake_disk_last(m.disk, "d/log/seg-"));
            }
            fake_disk_bytes(m.disk, path, &size)[at] ^= 0x08;
            fake_disk_settle(m.disk, path);
            int rc = reopen();
            ck_assert_msg(rc == ERR_OK || rc == ERR_CORRUPT, "%s %zu", files[which], at);
            if (rc == ERR_OK) {
                struct storage_state s = state();
                ck_assert_msg(s.flush_off == m.end || s.uncertain_to > s.flush_off, "%s %zu",
                              files[which], at);
                for (uint64_t from = s.begin; from < s.flush_off; from += 1900) {
                    buf_clear(&b);
                    rc = m.st->ops->read(m.st, from, 1, &b);
                    ck_assert(rc == ERR_OK || rc == ERR_CORRUPT);
                    ck_assert(rc != ERR_OK || memcmp(buf_head(&b) + RECORD_HEADER_BYTES,
                                                     m.bytes + (from - BEGIN), 1900) == 0);
                }
            }
            model_end();
        }
    }
    buf_release(&b);
}
END_TEST

/* A record that is full of zeros and has rotted is not taken for one that was never written whole:
 * it counts the sectors that are zero. */
START_TEST(rot_beside_zeros)
{
    size_t size;

    for (uint32_t len = 700; len < 6000; len += 301) {
        model_begin();
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        zeros = len - 200;
        ck_assert_int_eq(append(len), ERR_OK);
        ck_assert_int_eq(append(len), ERR_OK);
        zeros = 0;
        ck_assert_int_eq(flush(), ERR_OK);
        store_close(m.store);
        const char *path = fake_disk_last(m.disk, "d/log/seg-");
        size_t second = (RECORD_HEADER_BYTES + len + 7) & ~(size_t)7;
        fake_disk_bytes(m.disk, path,
                        &size)[SEGMENT_BLOCK_BYTES + second + RECORD_HEADER_BYTES + 50] ^= 1;
        fake_disk_settle(m.disk, path);
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_uint_eq(state().flush_off, BEGIN + len);
        ck_assert_uint_ge(state().uncertain_to, BEGIN + 2 * len);
        model_end();
    }
}
END_TEST

/* Nor is one of them that was never written whole taken for a rotten one: the power fails while it
 * is written, and the node is certain of what it has. */
START_TEST(torn_zeros)
{
    for (unsigned seed = 0; seed < 300; seed++) {
        model_begin();
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        ck_assert_int_eq(append(100), ERR_OK);
        ck_assert_int_eq(flush(), ERR_OK);
        zeros = 2500;
        ck_assert_int_eq(append(3000 + seed % 7 * 200), ERR_OK);
        ck_assert_int_eq(append(3000), ERR_OK);
        zeros = 0;
        fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + seed % 2);
        ck_assert_int_eq(flush(), ERR_IO);
        store_close(m.store);
        fake_disk_crash(m.disk, FAKE_DISK_LOSE_SOME, seed);
        ck_assert_int_eq(reopen(), ERR_OK);
        m.cut_to = UINT64_MAX;
        check_reopened();
        model_end();
    }
}
END_TEST

/* What was written and acknowledged together with a damaged record is lost with it. */
START_TEST(uncertain_of_the_whole_batch)
{
    size_t size;

    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    ck_assert_int_eq(append(100), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    ck_assert_int_eq(append(300), ERR_OK);
    ck_assert_int_eq(append(2000), ERR_OK);
    ck_assert_int_eq(append(200), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    store_close(m.store);
    const char *path = fake_disk_last(m.disk, "d/log/seg-");
    fake_disk_bytes(m.disk, path, &size)[2 * SEGMENT_BLOCK_BYTES + 100] ^= 1;
    fake_disk_settle(m.disk, path);
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_uint_eq(state().flush_off, BEGIN + 100);
    ck_assert_uint_ge(state().uncertain_to, BEGIN + 2600);
    model_end();
}
END_TEST

/* A damaged last record leaves the node uncertain, also after it was started again, until the log
 * is cut there by a leader; then it is whole again. */
START_TEST(uncertain_until_cut)
{
    size_t size;

    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    ck_assert_int_eq(append(100), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    ck_assert_int_eq(append(300), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    store_close(m.store);
    const char *path = fake_disk_last(m.disk, "d/log/seg-");
    fake_disk_bytes(m.disk, path, &size)[2 * SEGMENT_BLOCK_BYTES + 100] ^= 1;
    fake_disk_settle(m.disk, path);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_uint_eq(state().flush_off, BEGIN + 100);
        ck_assert_uint_eq(state().uncertain_to, BEGIN + 400);
        store_close(m.store);
    }
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(m.st->ops->truncate(m.st, BEGIN + 100), ERR_OK);
    ck_assert_uint_eq(state().uncertain_to, 0);
    store_close(m.store);
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_uint_eq(state().uncertain_to, 0);
    m.end = m.flushed = BEGIN + 100;
    ck_assert_int_eq(append(300), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    check_bytes(1000);
    model_end();
}
END_TEST

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
    Suite *suite = suite_create("store");
    TCase *tc = tcase_create("store");
    /* The program's messages about the damage that these tests do would only hide others. */
    log_init("test_store", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, undisturbed);
    tcase_add_test(tc, power_failure_everywhere);
    tcase_add_test(tc, power_failure_while_opening);
    tcase_add_test(tc, error_everywhere);
    tcase_add_test(tc, error_while_opening);
    tcase_add_test(tc, rot_everywhere);
    tcase_add_test(tc, uncertain_of_the_whole_batch);
    tcase_add_test(tc, rot_beside_zeros);
    tcase_add_test(tc, torn_zeros);
    tcase_add_test(tc, uncertain_until_cut);
    tcase_add_test(tc, trim);
    tcase_add_test(tc, trim_cut_short);
    tcase_add_test(tc, reset_tells_ident_first);
    tcase_add_test(tc, full_disk);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, damaged_folders);
    tcase_add_test(tc, votes_without_ident);
    tcase_add_test(tc, locked);
    tcase_add_test(tc, snapshots);
    tcase_add_test(tc, snapshot_power_failure);
    tcase_add_test(tc, real_disk);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
