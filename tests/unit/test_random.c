/* The generator gives the published sequence, and its bounds hold. */
#include "common/random.h"

#include "tests/lib/unit.h"

/* The reference implementation's first outputs from the state 1, 2, 3, 4. */
START_TEST(xoshiro_reference)
{
    static const uint64_t expected[] = {11520,
                                        0,
                                        1509978240,
                                        1215971899390074240u,
                                        1216172134540287360u,
                                        607988272756665600u,
                                        16172922978634559625u,
                                        8476171486693032832u};
    struct random r = {{1, 2, 3, 4}};

    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        ck_assert_uint_eq(random_next(&r), expected[i]);
    }
}
END_TEST

/* The state is splitmix64's published sequence for that seed; the same seed gives the same again.
 */
START_TEST(seeded)
{
    struct random a, b;

    random_init(&a, 1234567);
    ck_assert_uint_eq(a.state[0], 6457827717110365317u);
    ck_assert_uint_eq(a.state[1], 3203168211198807973u);
    ck_assert_uint_eq(a.state[2], 9817491932198370423u);
    ck_assert_uint_eq(a.state[3], 4593380528125082431u);
    random_init(&b, 1234567);
    ck_assert_uint_eq(random_next(&a), random_next(&b));
    random_init(&b, 1234568);
    ck_assert_uint_ne(random_next(&a), random_next(&b));
}
END_TEST

/* Every value below the limit comes, about equally often, and none at or above it. The large limit
 * is one where taking the remainder alone would give the lower half twice as often. */
START_TEST(below)
{
    struct random r;
    int counts[7] = {0};
    int low = 0;

    random_init(&r, 1);
    for (int i = 0; i < 7000; i++) {
        uint64_t value = random_below(&r, 7);
        ck_assert_uint_lt(value, 7);
        counts[value]++;
    }
    for (int i = 0; i < 7; i++) {
        ck_assert(counts[i] > 850 && counts[i] < 1150);
    }
    for (int i = 0; i < 3000; i++) {
        uint64_t value = random_below(&r, UINT64_C(3) << 62);
        ck_assert_uint_lt(value, UINT64_C(3) << 62);
        low += value < UINT64_C(1) << 62;
    }
    ck_assert_msg(low > 850 && low < 1150, "%d", low);
    ck_assert_uint_eq(random_below(&r, 1), 0);
}
END_TEST

/* Two draws from the kernel differ, and no byte of a large draw is left as it was. */
START_TEST(kernel)
{
    unsigned char bytes[4096] = {0};
    int zero = 0;

    ck_assert_uint_ne(random_seed(), random_seed());
    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        zero += bytes[i] == 0;
    }
    ck_assert_int_lt(zero, 100); /* 16 are to be expected */
}
END_TEST

/* As many digits as asked for, all of the sixteen, and others each time. */
START_TEST(hex)
{
    char text[2049], again[2049];

    memset(text, 'x', sizeof text);
    random_hex(text, 0);
    ck_assert_str_eq(text, "");
    random_hex(text, 2048);
    random_hex(again, 2048);
    ck_assert_uint_eq(strlen(text), 2048);
    ck_assert_uint_eq(strspn(text, "0123456789abcdef"), 2048);
    for (const char *c = "0123456789abcdef"; *c != '\0'; c++) {
        ck_assert_ptr_nonnull(strchr(text, *c));
    }
    ck_assert_str_ne(text, again);
}
END_TEST

int main(void)
{
    return UNIT_RUN("random", NULL, NULL, xoshiro_reference, seeded, below, kernel, hex);
}
