/* MD5, against the examples of RFC 1321 and one million letters. */
#include "common/hex.h"
#include "proxy/ctl/md5.h"
#include "tests/lib/unit.h"

#include <string.h>

static const char *of(const char *text, size_t times)
{
    static char out[2 * MD5_BYTES + 1];
    uint8_t sum[MD5_BYTES];
    struct md5 m;

    md5_init(&m);
    for (size_t i = 0; i < times; i++) {
        md5_add(&m, text, strlen(text));
    }
    md5_end(&m, sum);
    hex_print(out, sum, sizeof sum);
    return out;
}

/* The published sums. */
START_TEST(knows_the_examples)
{
    ck_assert_str_eq(of("", 1), "d41d8cd98f00b204e9800998ecf8427e");
    ck_assert_str_eq(of("a", 1), "0cc175b9c0f1b6a831c399e269772661");
    ck_assert_str_eq(of("abc", 1), "900150983cd24fb0d6963f7d28e17f72");
    ck_assert_str_eq(of("message digest", 1), "f96b697d7cb7938d525a2f31aaf161d0");
    ck_assert_str_eq(of("abcdefghijklmnopqrstuvwxyz", 1), "c3fcd3d76192e4007dfb496cca67e13b");
    ck_assert_str_eq(of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 1),
                     "d174ab98d277d9f5a5611c2c9f419d9f");
    ck_assert_str_eq(of("1234567890", 8), "57edf4a22be3c955ac49da2e2107b67a");
    ck_assert_str_eq(of("a", 1000000), "7707d6ae4e027c70eea2a935c2296f21");
}
END_TEST

int main(void)
{
    return UNIT_RUN("md5", NULL, NULL, knows_the_examples);
}
