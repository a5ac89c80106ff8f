/* SHA-256, against the examples of FIPS 180-4 and one million letters. */
#include "proxy/ctl/sha256.h"
#include "tests/lib/unit.h"

#include <string.h>

static const char *of(const char *text, size_t times)
{
    static char out[SHA256_HEX_BYTES];
    struct sha256 s;

    sha256_init(&s);
    for (size_t i = 0; i < times; i++) {
        sha256_add(&s, text, strlen(text));
    }
    sha256_end(&s, out);
    return out;
}

/* The published sums. */
START_TEST(knows_the_examples)
{
    ck_assert_str_eq(of("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    ck_assert_str_eq(of("abc", 1),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert_str_eq(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1),
                     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    ck_assert_str_eq(of("a", 1000000),
                     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}
END_TEST

int main(void)
{
    return UNIT_RUN("sha256", NULL, NULL, knows_the_examples);
}
