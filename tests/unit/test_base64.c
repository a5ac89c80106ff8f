/* Base64, against the examples of RFC 4648. */
#include "common/base64.h"
#include "tests/lib/unit.h"

#include <string.h>

static void expect(const char *bytes, size_t size, const char *text)
{
    struct buf b = BUF_INIT;

    base64_put(&b, bytes, size);
    UNIT_TEXT_IS(&b, text);
}

/* The published ones, and digits that they don't have. */
START_TEST(knows_the_examples)
{
    expect("", 0, "");
    expect("f", 1, "Zg==");
    expect("fo", 2, "Zm8=");
    expect("foo", 3, "Zm9v");
    expect("foob", 4, "Zm9vYg==");
    expect("fooba", 5, "Zm9vYmE=");
    expect("foobar", 6, "Zm9vYmFy");
    expect("\xfb\xff\xbf\0\x10", 5, "+/+/ABA=");
}
END_TEST

int main(void)
{
    return UNIT_RUN("base64", NULL, NULL, knows_the_examples);
}
