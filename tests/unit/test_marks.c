/* How long commits take, and for how long the oldest one has waited. */
#include "proxy/node/marks.h"

#include "tests/lib/unit.h"

#include <string.h>

static struct marks m;

static void setup(void)
{
    memset(&m, 0, sizeof m);
}

/* Each mark is taken once, when a commit has reached it, and tells its own time. */
START_TEST(each_once)
{
    uint64_t took;

    ck_assert(!marks_take(&m, UINT64_MAX, 5, &took));
    marks_append(&m, 100, 0, 10);
    marks_append(&m, 200, 0, 20);
    marks_append(&m, 300, 0, 30);
    ck_assert(!marks_take(&m, 99, 40, &took));
    ck_assert(marks_take(&m, 200, 40, &took));
    ck_assert_uint_eq(took, 30);
    ck_assert(marks_take(&m, 200, 40, &took));
    ck_assert_uint_eq(took, 20);
    ck_assert(!marks_take(&m, 200, 40, &took));
    ck_assert(marks_take(&m, 300, 50, &took));
    ck_assert_uint_eq(took, 20);
    ck_assert(!marks_take(&m, UINT64_MAX, 60, &took));
}
END_TEST

/* Nothing is marked that is committed already, and nothing twice. */
START_TEST(nothing_new)
{
    uint64_t took;

    marks_append(&m, 100, 100, 10);
    ck_assert_uint_eq(m.count, 0);
    marks_append(&m, 101, 100, 11);
    marks_append(&m, 101, 100, 12);
    ck_assert_uint_eq(m.count, 1);
    ck_assert(marks_take(&m, 101, 20, &took));
    ck_assert_uint_eq(took, 9);
}
END_TEST

/* The age is that of the oldest that is not committed; a clock that lags behind makes none. */
START_TEST(age)
{
    uint64_t took;

    ck_assert_uint_eq(marks_age_ns(&m, 1000), 0);
    marks_append(&m, 100, 0, 10);
    marks_append(&m, 200, 0, 20);
    ck_assert_uint_eq(marks_age_ns(&m, 1000), 990);
    ck_assert_uint_eq(marks_age_ns(&m, 9), 0);
    ck_assert(marks_take(&m, 100, 1000, &took));
    ck_assert_uint_eq(marks_age_ns(&m, 1000), 980);
    marks_clear(&m);
    ck_assert_uint_eq(marks_age_ns(&m, 1000), 0);
    ck_assert(!marks_take(&m, UINT64_MAX, 1000, &took));
}
END_TEST

/* Without room the newest mark stands for what comes: it is told as older, and only when all that
 * it stands for is committed. The ring goes round. */
START_TEST(without_room)
{
    uint64_t took, offset = 0;

    for (int round = 0; round < 3; round++) {
        uint64_t begin = offset;
        for (unsigned i = 0; i < MARKS_MAX + 10; i++) {
            offset++;
            marks_append(&m, offset, begin, 1000 + i);
        }
        ck_assert_uint_eq(m.count, MARKS_MAX);
        for (unsigned i = 0; i < MARKS_MAX - 1; i++) {
            ck_assert(marks_take(&m, begin + MARKS_MAX + 9, 9000, &took));
            ck_assert_uint_eq(took, 8000 - i);
        }
        ck_assert(!marks_take(&m, begin + MARKS_MAX + 9, 9000, &took));
        ck_assert(marks_take(&m, begin + MARKS_MAX + 10, 9000, &took));
        ck_assert_uint_eq(took, 8000 - (MARKS_MAX - 1));
        marks_append(&m, offset + 1, offset, 5);
        ck_assert(marks_take(&m, ++offset, 6, &took));
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("marks", setup, NULL, each_once, nothing_new, age, without_room);
}
