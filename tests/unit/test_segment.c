/* Segments: what is written is walked; a torn last write is cut; what had been complete is never
 * cut; what cannot be told is called uncertain. */
#include "logsvc/segment.h"

#include "common/crc32c.h"
#include "common/mem.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/unit.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = SEGMENT_BYTES_MIN, BEGIN = 1000 };

/* A segment as the store would write it, made by hand: the format is what is tested. */
struct image {
    uint8_t bytes[FILE_BYTES];
    struct segment_header header;
    uint64_t pos; /* of the next batch */
    uint64_t batch_pos;
    uint64_t offset, flushed;
    uint32_t chain;
    uint8_t *last;
    struct record last_record;
    unsigned count;
};

static struct image image;

static void image_begin(void)
{
    memset(&image, 0, sizeof image);
    image.header = (struct segment_header){.log_id = 7,
                                           .begin = BEGIN,
                                           .epoch = 1,
                                           .file_bytes = FILE_BYTES,
                                           .unit_off = BEGIN,
                                           .term = {3},
                                           .chain_crc = 0x1234};
    memcpy(image.header.cluster_id, "0123456789abcdef", 16);
    memcpy(image.header.node_id, "log1", 5);
    segment_encode_header(&image.header, image.bytes);
    image.pos = image.batch_pos = SEGMENT_BLOCK_BYTES;
    image.offset = image.flushed = BEGIN;
    image.chain = image.header.chain_crc;
}

/* A record of that many bytes, none of them zero, behind the others of the batch. */
static void image_record(uint32_t len)
{
    uint8_t *at = image.bytes + image.batch_pos;
    struct record r = {.term = {4},
                       .begin = image.offset,
                       .len_bytes = len,
                       .flags = len > 0 ? RECORD_UNIT_END : RECORD_IDLE,
                       .flushed = image.flushed,
                       .commit = image.flushed};

    for (uint32_t i = 0; i < len; i++) {
        at[RECORD_HEADER_BYTES + i] = (uint8_t)(1 + (image.offset + i) % 251);
    }
    r.payload_crc = crc32c_extend(0, at + RECORD_HEADER_BYTES, len);
    image.chain = crc32c_extend(image.chain, at + RECORD_HEADER_BYTES, len);
    r.chain_crc = image.chain;
    record_encode_header(&r, at);
    image.last = at;
    image.last_record = r;
    image.offset += len;
    image.batch_pos = (image.batch_pos + RECORD_HEADER_BYTES + len + 7) & ~7ull;
    image.count++;
}

/* The batch is written and synced. */
static void image_flush(void)
{
    image.last_record.flags |= RECORD_BATCH_END;
    record_encode_header(&image.last_record, image.last);
    image.pos = image.batch_pos = segment_block_up(image.batch_pos);
    image.flushed = image.offset;
}

/* Three batches, of 1, 3 and 4 records; the last one is 9 KiB. */
static void image_typical(uint64_t *last_batch_pos, uint64_t *last_batch_offset)
{
    image_begin();
    image_record(100);
    image_flush();
    image_record(50);
    image_record(5000);
    image_record(300);
    image_flush();
    *last_batch_pos = image.pos;
    *last_batch_offset = image.offset;
    image_record(448); /* the next header begins a sector of its own */
    image_record(20);
    image_record(4000);
    image_record(4000);
    image_flush();
}

/* A plain walk over a whole segment up to `until` (UINT64_MAX: as far as it goes, and then the tail
 * is judged), without what a survey does about bad places. ERR_INVALID: `until` is inside a record
 * or behind the end. */
static int walk_all(struct segment_cursor *c, const struct segment_header *h, uint64_t until,
                    struct segment_index *index, struct segment_scan *out)
{
    struct segment_item item;
    int rc = ERR_OK;

    *out = (struct segment_scan){.unit_off = h->unit_off, .commit = h->commit};
    out->end_pos = SEGMENT_BLOCK_BYTES;
    segment_cursor_begin(c, h);
    while (c->offset < until || until == UINT64_MAX) {
        struct segment_mark mark = {c->offset, c->pos, c->term.n, c->chain_crc};
        rc = segment_cursor_next(c, &item);
        if (rc != ERR_OK) {
            break;
        }
        const struct record *r = &item.record;
        if (index) {
            segment_index_add(index, &mark);
        }
        out->last = *r;
        out->last_pos = item.pos;
        out->end_pos = item.pos + RECORD_HEADER_BYTES + r->len_bytes;
        out->unit_off = r->flags & RECORD_UNIT_END ? record_end(r) : out->unit_off;
        out->commit = r->commit > out->commit ? r->commit : out->commit;
    }
    out->end = c->offset;
    out->chain_crc = c->chain_crc;
    out->term = c->term;
    out->bad_pos = c->pos;
    if (rc == ERR_OK) {
        return out->end == until ? ERR_OK : ERR_INVALID;
    }
    if (rc == ERR_NOT_FOUND && until != UINT64_MAX) {
        return ERR_INVALID;
    }
    if (until != UINT64_MAX || (rc != ERR_NOT_FOUND && rc != ERR_CORRUPT)) {
        return rc;
    }
    return segment_judge_tail(c, out);
}

static int scan_bytes(const uint8_t *bytes, uint64_t until, struct segment_scan *scan,
                      struct segment_index *index)
{
    struct fake_disk *f = fake_disk_create();
    struct segment_cursor c;
    struct disk_file *file;

    fake_disk_put(f, "d/seg", bytes, FILE_BYTES);
    ck_assert_int_eq(disk_open(fake_disk(f), "d/seg", DISK_DIRECT, &file), ERR_OK);
    segment_cursor_init(&c, file, segment_data_end(FILE_BYTES), 2 * SEGMENT_BLOCK_BYTES);
    int rc = walk_all(&c, &image.header, until, index, scan);
    segment_cursor_fini(&c);
    disk_close(file);
    fake_disk_destroy(f);
    return rc;
}

static int scan_image(struct segment_scan *scan)
{
    return scan_bytes(image.bytes, UINT64_MAX, scan, NULL);
}

/* A header and a footer come back as they were, and every flipped bit is seen. */
START_TEST(header_and_footer)
{
    struct segment_header out;
    struct segment_footer footer = {5, 6, 7}, footer_out;
    uint8_t block[SEGMENT_BLOCK_BYTES];

    image_begin();
    ck_assert_int_eq(segment_decode_header(image.bytes, &out), ERR_OK);
    /* All but the padding at the struct's end. */
    ck_assert_mem_eq(&out, &image.header,
                     offsetof(struct segment_header, chain_crc) + sizeof out.chain_crc);
    segment_encode_footer(&footer, block);
    ck_assert_int_eq(segment_decode_footer(block, &footer_out), ERR_OK);
    ck_assert_uint_eq(footer_out.end, 5);
    ck_assert_uint_eq(footer_out.end_pos, 6);
    ck_assert_uint_eq(footer_out.chain_crc, 7);
    for (int bit = 0; bit < SEGMENT_BLOCK_BYTES * 8; bit += 7) {
        image.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_int_eq(segment_decode_header(image.bytes, &out), ERR_CORRUPT);
        ck_assert_int_eq(segment_decode_footer(block, &footer_out), ERR_CORRUPT);
        image.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        block[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}
END_TEST

/* Names are exact: what is not the name that we would write is not a segment. */
START_TEST(names)
{
    char name[SEGMENT_NAME_BYTES];
    uint64_t begin;

    segment_name(42, name);
    ck_assert_str_eq(name, "seg-00000000000000000042.log");
    ck_assert_int_eq(segment_name_parse(name, &begin), ERR_OK);
    ck_assert_uint_eq(begin, 42);
    segment_name(UINT64_MAX, name);
    ck_assert_int_eq(segment_name_parse(name, &begin), ERR_OK);
    ck_assert_uint_eq(begin, UINT64_MAX);
    static const char *const bad[] = {"",
                                      "seg-",
                                      "seg-0000000000000000042.log",
                                      "seg-00000000000000000042.lo",
                                      "seg-000000000000000000+2.log",
                                      "seg-18446744073709551616.log",
                                      "seg-99999999999999999999.log",
                                      "sag-00000000000000000042.log"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(segment_name_parse(bad[i], &begin), ERR_NOT_FOUND);
    }
}
END_TEST

/* A clean segment is walked to its end; an empty one ends where it begins. */
START_TEST(clean)
{
    struct segment_scan scan;
    uint64_t pos, offset;

    image_begin();
    ck_assert_int_eq(scan_image(&scan), ERR_OK);
    ck_assert_int_eq(scan.tail, SEGMENT_TAIL_CLEAN);
    ck_assert_uint_eq(scan.end, BEGIN);
    ck_assert_uint_eq(scan.last_pos, 0);
    ck_assert_uint_eq(scan.unit_off, BEGIN);

    image_typical(&pos, &offset);
    ck_assert_int_eq(scan_image(&scan), ERR_OK);
    ck_assert_int_eq(scan.tail, SEGMENT_TAIL_CLEAN);
    ck_assert_uint_eq(scan.end, image.offset);
    ck_assert_uint_eq(scan.unit_off, image.offset);
    ck_assert_uint_eq(scan.chain_crc, image.chain);
    ck_assert_uint_eq(scan.commit, offset);
    ck_assert_uint_eq(segment_block_up(scan.end_pos), image.pos);
}
END_TEST

/* A scan up to an offset stops at the end of a record, and refuses the middle of one. */
START_TEST(until_an_offset)
{
    struct segment_scan scan;
    uint64_t pos, offset;

    image_typical(&pos, &offset);
    ck_assert_int_eq(scan_bytes(image.bytes, offset, &scan, NULL), ERR_OK);
    ck_assert_uint_eq(scan.end, offset);
    ck_assert_int_eq(scan_bytes(image.bytes, BEGIN, &scan, NULL), ERR_OK);
    ck_assert_uint_eq(scan.last_pos, 0);
    ck_assert_int_eq(scan_bytes(image.bytes, offset + 1, &scan, NULL), ERR_INVALID);
    ck_assert_int_eq(scan_bytes(image.bytes, image.offset + 1, &scan, NULL), ERR_INVALID);
}
END_TEST

/* Whatever sectors of the last write are missing, it is cut as torn: never called corrupt or
 * uncertain, and nothing of what was synced before is lost. */
START_TEST(torn_anywhere)
{
    struct segment_scan scan;
    uint64_t pos, offset;
    uint8_t saved[FILE_BYTES];

    image_typical(&pos, &offset);
    memcpy(saved, image.bytes, sizeof saved);
    unsigned sectors = (unsigned)(image.pos - pos) / DISK_SECTOR_BYTES;
    srand(1);
    for (unsigned round = 0; round < sectors + 3000; round++) {
        memcpy(image.bytes, saved, sizeof saved);
        bool whole = true;
        for (unsigned i = 0; i < sectors; i++) {
            /* First every prefix of the write, then sectors here and there. */
            bool lost = round < sectors ? i >= round : rand() % 4 == 0;
            uint8_t *sector = image.bytes + pos + (size_t)i * DISK_SECTOR_BYTES;
            whole = whole && (!lost || sector[0] == 0);
            if (lost) {
                memset(sector, 0, DISK_SECTOR_BYTES);
            }
        }
        ck_assert_int_eq(scan_image(&scan), ERR_OK);
        ck_assert(scan.tail == SEGMENT_TAIL_TORN || scan.tail == SEGMENT_TAIL_CLEAN);
        ck_assert_uint_ge(scan.end, offset);
        ck_assert(!whole || scan.end == image.offset);
    }
}
END_TEST

/* A flipped bit in anything that a later record vouches for is corruption, wherever it is. */
START_TEST(rot_that_is_covered)
{
    struct segment_scan scan;
    uint64_t pos, offset;

    image_typical(&pos, &offset);
    for (uint64_t at = SEGMENT_BLOCK_BYTES; at < pos; at += 3) {
        bool padding = (at >= SEGMENT_BLOCK_BYTES + 164 && at < 2 * SEGMENT_BLOCK_BYTES) ||
                       at >= 2 * SEGMENT_BLOCK_BYTES + 50 + 6 + 5000 + 300 + 3 * 64;
        if (padding ||
            (at >= 2 * SEGMENT_BLOCK_BYTES + 114 && at < 2 * SEGMENT_BLOCK_BYTES + 120)) {
            continue;
        }
        image.bytes[at] ^= 0x10;
        ck_assert_msg(scan_image(&scan) == ERR_CORRUPT, "byte %llu", (unsigned long long)at);
        ck_assert_uint_lt(scan.end, offset);
        image.bytes[at] ^= 0x10;
    }
    /* A sector that a disk has lost after it had been synced is no torn write either. */
    memset(image.bytes + 2 * SEGMENT_BLOCK_BYTES + 512, 0, DISK_SECTOR_BYTES);
    ck_assert_int_eq(scan_image(&scan), ERR_CORRUPT);
}
END_TEST

/* A flipped bit in the last write, all of whose sectors are there: it is not cut in silence. */
START_TEST(rot_that_is_not_covered)
{
    struct segment_scan scan;
    uint64_t pos, offset;

    image_typical(&pos, &offset);
    /* 448+64, 20+64+4, 4000+64, 4000+64 */
    uint64_t used = 512 + 88 + 4064 + 4064;
    for (uint64_t at = 0; at < used; at += 5) {
        if (at >= 512 + 84 && at < 512 + 88) {
            continue; /* padding between records */
        }
        image.bytes[pos + at] ^= 0x04;
        ck_assert_int_eq(scan_image(&scan), ERR_OK);
        ck_assert_msg(scan.tail == SEGMENT_TAIL_UNCERTAIN, "byte %llu", (unsigned long long)at);
        ck_assert_uint_ge(scan.end, offset);
        ck_assert_uint_lt(scan.end, image.offset);
        ck_assert_uint_gt(scan.uncertain_to, scan.end);
        image.bytes[pos + at] ^= 0x04;
    }
}
END_TEST

/* An idle record behind the last batch turns what was uncertain into corruption. */
START_TEST(idle_record_covers)
{
    struct segment_scan scan;
    uint64_t pos, offset;

    image_typical(&pos, &offset);
    image_record(0);
    image_flush();
    ck_assert_int_eq(scan_image(&scan), ERR_OK);
    ck_assert_int_eq(scan.tail, SEGMENT_TAIL_CLEAN);
    ck_assert(scan.last.flags & RECORD_IDLE);
    image.bytes[pos + 100] ^= 1;
    ck_assert_int_eq(scan_image(&scan), ERR_CORRUPT);
}
END_TEST

/* A record of another log, good in itself, does not belong here: a misdirected write. */
START_TEST(foreign_record)
{
    struct segment_scan scan;
    struct record r;
    uint64_t pos, offset;

    image_typical(&pos, &offset);
    image_record(30);
    image_flush();
    uint8_t *at = image.bytes + image.pos - SEGMENT_BLOCK_BYTES;
    ck_assert_int_eq(record_decode_header(at, RECORD_HEADER_BYTES, &r), ERR_OK);
    r.chain_crc ^= 1;
    record_encode_header(&r, at);
    ck_assert_int_eq(scan_image(&scan), ERR_CORRUPT);
    r.chain_crc ^= 1;
    r.begin += 8;
    record_encode_header(&r, at);
    ck_assert_int_eq(scan_image(&scan), ERR_CORRUPT);
    r.begin -= 8;
    r.term.n = 2;
    record_encode_header(&r, at);
    ck_assert_int_eq(scan_image(&scan), ERR_CORRUPT);
}
END_TEST

/* From every mark of the index the walk goes on as it did from the begin. */
START_TEST(index_marks)
{
    struct segment_index x = {0};

    for (uint64_t i = 0; i < 10; i++) {
        segment_index_add(&x, &(struct segment_mark){.offset = 100 + i, .pos = i * 40960});
    }
    segment_index_add(&x, &(struct segment_mark){.offset = 100, .pos = 0}); /* known already */
    ck_assert_uint_eq(x.count, 5);
    ck_assert_ptr_null(segment_index_find(&x, 99));
    ck_assert_uint_eq(segment_index_find(&x, 100)->pos, 0);
    ck_assert_uint_eq(segment_index_find(&x, 103)->pos, 2 * 40960);
    ck_assert_uint_eq(segment_index_find(&x, 1000)->pos, 8 * 40960);
    segment_index_release(&x);
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR("segment", NULL, NULL, 60, header_and_footer, names, clean, until_an_offset,
                        torn_anywhere, rot_that_is_covered, rot_that_is_not_covered,
                        idle_record_covers, foreign_record, index_marks);
}
