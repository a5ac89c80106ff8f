/* The buffer against a plain array under random operations, its edges, and what it must refuse. */
#include "common/buf.h"

#include "common/random.h"
#include "tests/lib/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Thousands of random appends, consumes, truncates and the rest: the unread bytes are those of the
 * model, whichever way the buffer grew or moved them. */
START_TEST(against_a_model)
{
    static uint8_t model[1 << 16], piece[3000];
    size_t len = 0;
    struct buf b = BUF_INIT;
    struct random r;

    random_init(&r, 42);
    for (int step = 0; step < 20000; step++) {
        size_t size = random_below(&r, sizeof piece);
        switch (random_below(&r, 8)) {
        case 0:
        case 1:
        case 2:
            if (len + size > sizeof model) {
                break;
            }
            memset(piece, (int)random_below(&r, 256), size);
            buf_append(&b, piece, size);
            memcpy(model + len, piece, size);
            len += size;
            break;
        case 3:
        case 4:
        case 5:
            size = size < len ? size : len;
            buf_consume(&b, size);
            memmove(model, model + size, len - size);
            len -= size;
            break;
        case 6:
            len -= random_below(&r, len / 16 + 1);
            buf_truncate(&b, len);
            break;
        default:
            buf_trim(&b, 1000);
            break;
        }
        ck_assert_uint_eq(b.len, len);
        ck_assert_uint_le(b.start + b.len, b.cap);
        ck_assert(len == 0 || memcmp(buf_head(&b), model, len) == 0);
    }
    buf_release(&b);
    ck_assert_ptr_null(b.data);
}
END_TEST

/* What reserve gave may be written in full and committed in part. */
START_TEST(reserve_and_commit)
{
    struct buf b = BUF_INIT;

    memset(buf_reserve(&b, 5000), 'x', 5000);
    ck_assert_uint_eq(b.len, 0);
    buf_commit(&b, 3);
    memcpy(buf_reserve(&b, 2), "yz", 2);
    buf_commit(&b, 2);
    ck_assert_uint_eq(b.len, 5);
    ck_assert_mem_eq(buf_head(&b), "xxxyz", 5);
    buf_release(&b);
}
END_TEST

/* A steady stream through a buffer that never runs empty doesn't make it grow. */
START_TEST(steady_stream_keeps_its_size)
{
    struct buf b = BUF_INIT;

    buf_append(&b, "0123456789", 10);
    for (int i = 0; i < 100000; i++) {
        buf_append(&b, "0123456789", 10);
        buf_consume(&b, 10);
    }
    ck_assert_uint_eq(b.len, 10);
    ck_assert_uint_le(b.cap, 1024);
    buf_release(&b);
}
END_TEST

START_TEST(text)
{
    struct buf b = BUF_INIT;
    char expected[2100];

    buf_append_str(&b, "a");
    buf_append_str(&b, "");
    buf_printf(&b, "%d-%s", 7, "b");
    ck_assert_uint_eq(b.len, 4);
    ck_assert_mem_eq(buf_head(&b), "a7-b", 4);
    buf_clear(&b);
    buf_printf(&b, "%2000d!", 1);
    snprintf(expected, sizeof expected, "%2000d!", 1);
    ck_assert_uint_eq(b.len, 2001);
    ck_assert_mem_eq(buf_head(&b), expected, 2001);
    buf_release(&b);
}
END_TEST

/* Idle connections cost nothing: trim gives an empty buffer's memory back, but no bytes. */
START_TEST(trim_and_swap)
{
    struct buf a = BUF_INIT, b = BUF_INIT;

    buf_append(&a, "abc", 3);
    buf_trim(&a, 0);
    ck_assert_uint_eq(a.len, 3);
    buf_swap(&a, &b);
    ck_assert_uint_eq(a.len, 0);
    ck_assert_mem_eq(buf_head(&b), "abc", 3);
    buf_consume(&b, 3);
    buf_trim(&b, b.cap);
    ck_assert_ptr_nonnull(b.data);
    buf_trim(&b, b.cap - 1);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.cap, 0);
    buf_release(&a);
}
END_TEST

/* More than there is can't be consumed, kept or committed: these abort. */
START_TEST(consume_too_much)
{
    struct buf b = BUF_INIT;
    buf_append(&b, "abc", 3);
    buf_consume(&b, 4);
}
END_TEST

START_TEST(truncate_too_far)
{
    struct buf b = BUF_INIT;
    buf_append(&b, "abc", 3);
    buf_truncate(&b, 4);
}
END_TEST

START_TEST(commit_too_much)
{
    struct buf b = BUF_INIT;
    buf_reserve(&b, 10);
    buf_commit(&b, b.cap + 1);
}
END_TEST

START_TEST(reserve_absurd)
{
    struct buf b = BUF_INIT;
    buf_reserve(&b, SIZE_MAX - 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *tc = tcase_create("buf");

    tcase_add_test(tc, against_a_model);
    tcase_add_test(tc, reserve_and_commit);
    tcase_add_test(tc, steady_stream_keeps_its_size);
    tcase_add_test(tc, text);
    tcase_add_test(tc, trim_and_swap);
    tcase_add_test_raise_signal(tc, consume_too_much, SIGABRT);
    tcase_add_test_raise_signal(tc, truncate_too_far, SIGABRT);
    tcase_add_test_raise_signal(tc, commit_too_much, SIGABRT);
    tcase_add_test_raise_signal(tc, reserve_absurd, SIGABRT);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
