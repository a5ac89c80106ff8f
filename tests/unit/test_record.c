/* The record codec: what is encoded is decoded, and no flipped bit of a header goes unseen. */
#include "logsvc/record.h"

#include "common/crc32c.h"
#include "tests/lib/unit.h"

#include <string.h>

static struct record sample(void)
{
    return (struct record){.term = {7},
                           .begin = 123456789012ull,
                           .len_bytes = 5,
                           .flags = RECORD_UNIT_END,
                           .payload_crc = crc32c_extend(0, "hello", 5),
                           .chain_crc = 99,
                           .flushed = 123456789000ull,
                           .commit = 42,
                           .wall_ms = 1700000000000ull};
}

START_TEST(header_round_trip)
{
    struct record in = sample(), out;
    uint8_t bytes[RECORD_HEADER_BYTES];

    record_encode_header(&in, bytes);
    ck_assert_int_eq(record_decode_header(bytes, sizeof bytes, &out), ERR_OK);
    ck_assert_uint_eq(out.term.n, in.term.n);
    ck_assert_uint_eq(out.begin, in.begin);
    ck_assert_uint_eq(out.len_bytes, in.len_bytes);
    ck_assert_uint_eq(out.flags, in.flags);
    ck_assert_uint_eq(out.payload_crc, in.payload_crc);
    ck_assert_uint_eq(out.chain_crc, in.chain_crc);
    ck_assert_uint_eq(out.flushed, in.flushed);
    ck_assert_uint_eq(out.commit, in.commit);
    ck_assert_uint_eq(out.wall_ms, in.wall_ms);
    ck_assert_int_eq(record_decode_header(bytes, sizeof bytes - 1, &out), ERR_MORE);
    ck_assert(record_payload_ok(&in, "hello"));
    ck_assert(!record_payload_ok(&in, "hellp"));
}
END_TEST

START_TEST(every_flipped_bit_is_seen)
{
    struct record in = sample(), out;
    uint8_t bytes[RECORD_HEADER_BYTES];

    record_encode_header(&in, bytes);
    for (int bit = 0; bit < RECORD_HEADER_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_int_eq(record_decode_header(bytes, sizeof bytes, &out), ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}
END_TEST

START_TEST(crc32c_is_castagnoli)
{
    ck_assert_uint_eq(crc32c_extend(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(crc32c_extend(crc32c_extend(0, "1234", 4), "56789", 5), 0xe3069283u);
}
END_TEST

int main(void)
{
    return UNIT_RUN("record", NULL, NULL, header_round_trip, every_flipped_bit_is_seen,
                    crc32c_is_castagnoli);
}
