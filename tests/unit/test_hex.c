/* Bytes and hexadecimal digits, in both directions. */
#include "common/hex.h"

#include "tests/lib/unit.h"

#include <string.h>

/* All bytes there are come back as they went, whatever the case of the digits. */
START_TEST(there_and_back)
{
    uint8_t all[256], back[256];
    char text[513];
    struct buf b = BUF_INIT;

    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    hex_print(text, all, sizeof all);
    ck_assert_uint_eq(strlen(text), 512);
    ck_assert_int_eq(memcmp(text, "000102", 6), 0);
    ck_assert_str_eq(text + 506, "fdfeff");
    hex_put(&b, all, sizeof all);
    ck_assert_uint_eq(b.len, 512);
    ck_assert_mem_eq(buf_head(&b), text, 512);
    buf_release(&b);
    ck_assert(hex_parse(text, back, sizeof back));
    ck_assert_mem_eq(back, all, sizeof all);
    memset(back, 0, sizeof back);
    ck_assert(hex_parse("FDfEff", back, 3));
    ck_assert_mem_eq(back, "\xfd\xfe\xff\0", 4);
    hex_print(text, all, 0);
    ck_assert_str_eq(text, "");
}
END_TEST

/* What is no digit, or missing, is said; nothing is read behind the end of the text. */
START_TEST(others)
{
    static const char *const wrong[] = {"",     "1",  "1g", "g1", "12", "123",
                                        "12 3", "/0", ":0", "@0", "G0", "`0"};
    uint8_t out[2];

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *exact = strdup(wrong[i]); /* a sanitizer sees what is read behind it */
        ck_assert_msg(!hex_parse(exact, out, 2), "%s", wrong[i]);
        free(exact);
    }
    ck_assert(hex_parse("12zz", out, 1));
}
END_TEST

int main(void)
{
    return UNIT_RUN("hex", NULL, NULL, there_and_back, others);
}
