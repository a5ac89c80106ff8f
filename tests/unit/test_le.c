/* Little-endian integers: the bytes are where the formats say, at any address. */
#include "common/le.h"

#include "tests/lib/unit.h"

START_TEST(bytes_and_back)
{
    for (int at = 0; at < 8; at++) { /* unaligned too */
        uint8_t bytes[24] = {0};
        le_put16(bytes + at, 0x0201);
        ck_assert_mem_eq(bytes + at, "\x01\x02\0", 3);
        ck_assert_uint_eq(le_get16(bytes + at), 0x0201);
        le_put32(bytes + at, 0xf4030201u);
        ck_assert_mem_eq(bytes + at, "\x01\x02\x03\xf4\0", 5);
        ck_assert_uint_eq(le_get32(bytes + at), 0xf4030201u);
        le_put64(bytes + at, 0xf807060504030201u);
        ck_assert_mem_eq(bytes + at, "\x01\x02\x03\x04\x05\x06\x07\xf8\0", 9);
        ck_assert_uint_eq(le_get64(bytes + at), 0xf807060504030201u);
        ck_assert_uint_eq(le_get16(bytes + at + 6), 0xf807u);
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("le", NULL, NULL, bytes_and_back);
}
