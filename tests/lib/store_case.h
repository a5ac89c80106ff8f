/* A log's store on a disk in memory, and what the test knows of it: see struct model. For the
 * programs test_store.c, test_store_crash.c and test_store_pack.c; each has its own. */
#ifndef TESTS_LIB_STORE_CASE_H
#define TESTS_LIB_STORE_CASE_H

#include "logsvc/store.h"

#include "common/crc32c.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Of the logs that are opened. */
static uint64_t segment_bytes = SEGMENT;
static unsigned pack_percent;

static inline int open_store(struct disk *disk, const char *folder)
{
    struct store_config config = {
        .disk = disk,
        .folder = folder,
        .cluster_id = {1, 2, 3},
        .node_id = "log1",
        .log_id = 9,
        .segment_bytes = segment_bytes,
        .reserve_bytes = SEGMENT,
        .pack_percent = pack_percent,
    };

    int rc = store_open(&config, &m.store);
    m.st = rc == ERR_OK ? store_storage(m.store) : NULL;
    return rc;
}

static inline int reopen(void)
{
    return open_store(fake_disk(m.disk), "d/log");
}

static inline void model_begin(void)
{
    memset(&m, 0, sizeof m);
    m.disk = fake_disk_create();
    m.term = 1;
}

static inline void model_end(void)
{
    store_close(m.store);
    fake_disk_destroy(m.disk);
    m.store = NULL;
}

static inline struct storage_state state(void)
{
    struct storage_state s;

    m.st->ops->state(m.st, &s);
    return s;
}

static uint32_t zeros; /* that each record has, 100 bytes behind its beginning */

/* One record of that many bytes, which depend on offset and term. */
static inline int append(uint32_t len)
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

static inline int flush(void)
{
    int rc = m.st->ops->flush(m.st);

    if (rc == ERR_OK) {
        m.flushed = m.end;
    }
    return rc;
}

/* What an acceptor does when its log falls idle. */
static inline int mark_idle(void)
{
    struct record r = {.term = {m.term},
                       .begin = m.end,
                       .flags = RECORD_IDLE,
                       .chain_crc = crc32c_extend(0, m.bytes, m.end - m.base)};

    int rc = m.st->ops->append(m.st, &r, NULL);
    return rc == ERR_OK ? flush() : rc;
}

static inline int truncate_to(uint64_t offset)
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

static inline int reset_to(uint64_t offset)
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
static inline int trim_to(uint64_t offset)
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

static inline int save_meta(void)
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

static inline unsigned load_meta(void)
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
static inline void check_bytes(size_t max_bytes)
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
static inline void check_reopened(void)
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

#endif
