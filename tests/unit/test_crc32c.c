/* CRC-32C as RFC 3720 (appendix B.4) has it, whole and in pieces. */
#include "common/crc32c.h"

#include "tests/lib/unit.h"

#include <string.h>

/* The RFC's examples. */
START_TEST(test_known)
{
    uint8_t bytes[32];

    ck_assert_uint_eq(crc32c_extend(0, "", 0), 0);
    ck_assert_uint_eq(crc32c_extend(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof bytes);
    ck_assert_uint_eq(crc32c_extend(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(crc32c_extend(0, bytes, sizeof bytes), 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)i;
    }
    ck_assert_uint_eq(crc32c_extend(0, bytes, sizeof bytes), 0x46dd794e);
}
END_TEST

/* Pieces cut anywhere, at any alignment, give the checksum of the whole; a flipped bit another. */
START_TEST(test_pieces)
{
    uint8_t bytes[300];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * i);
    }
    for (size_t from = 0; from < 9; from++) {
        size_t size = sizeof bytes - from;
        uint32_t whole = crc32c_extend(0, bytes + from, size);
        for (size_t cut = 0; cut <= size; cut++) {
            uint32_t crc = crc32c_extend(0, bytes + from, cut);
            ck_assert_uint_eq(crc32c_extend(crc, bytes + from + cut, size - cut), whole);
        }
        bytes[from + 100] ^= 4;
        ck_assert_uint_ne(crc32c_extend(0, bytes + from, size), whole);
        bytes[from + 100] ^= 4;
    }
}
END_TEST

/* Going back over any bytes leads to where extending by them began. */
START_TEST(test_rewind)
{
    uint8_t bytes[300];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 3);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint32_t before = (uint32_t)(size * 2654435761u);
        uint32_t after = crc32c_extend(before, bytes, size);
        ck_assert_uint_eq(crc32c_rewind(after, bytes, size), before);
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("crc32c", NULL, NULL, test_known, test_pieces, test_rewind);
}
