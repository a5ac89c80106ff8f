/* Files of a log that hold another history, or another time's, are found out and mended; and a log
 * with holes can be cut wherever a leader wants it to be. */
#include "tests/lib/mend_case.h"

/* An old copy of a closed segment, from a time when it held less, or other bytes: found and mended.
 */
START_TEST(old_copies)
{
    size_t size;
    char what[100];

    for (size_t i = 0; i < file_count; i++) {
        if (!is_closed_segment(i)) {
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
        if (!is_closed_segment(i)) {
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
        if (!is_closed_segment(i)) {
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
    for (size_t k = 1; k < count; k++) {
        restore_files();
        put_other_begin(segment_of(1), 333);
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
    struct record r;

    restore_files();
    ck_assert_int_eq(fake_disk_remove(disk, segment_of(1)), ERR_OK);
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
    for (size_t k = 0; k <= count; k++) {
        for (unsigned where = 0; where < 3; where++) {
            static const size_t places[] = {10, SEGMENT_BLOCK_BYTES + 90,
                                            6 * SEGMENT_BLOCK_BYTES + 300};
            struct flip f = {segment_of(0), places[where], 1};
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

/* Opens the log with rot in the first segment, and cuts it where the hole ends; returns where. */
static uint64_t cut_behind_a_hole(bool header_too)
{
    struct flip record = {segment_of(0), 6 * SEGMENT_BLOCK_BYTES + 300, 1};
    struct flip header = {segment_of(0), 10, 1};

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

int main(void)
{
    return UNIT_RUN_FOR("store_mend_cut", setup, teardown, 240, old_copies, another_history,
                        other_boundaries, cut_into_other_boundaries, mended_from_another_history,
                        cuts, cut_where_a_hole_ends);
}
