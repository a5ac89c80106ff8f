/* The head of an RDB as redis-server 7.0.15 writes it to a replica. */
#include "proxy/ctl/rdb_head.h"
#include "tests/lib/unit.h"

#include <string.h>

static const char head[] = "REDIS0010"
                           "\xfa\tredis-ver\x06"
                           "7.0.15"
                           "\xfa\nredis-bits\xc0\x40"
                           "\xfa\x05"
                           "ctime\xc2\x20\x8b\xce\x6a"
                           "\xfa\x08used-mem\xc2\x98\x2e\x10\x00"
                           "\xfa\x0erepl-stream-db\xc0\x03"
                           "\xfa\x07repl-id(0123456789012345678901234567890123456789"
                           "\xfa\x0brepl-offset\xc1\x34\x12"
                           "\xfa\x08"
                           "aof-base\xc0\x00"
                           "\xff";

START_TEST(reads_it)
{
    struct rdb_head h;

    ck_assert_int_eq(rdb_head_parse((const uint8_t *)head, sizeof head - 1, &h), ERR_OK);
    ck_assert_uint_eq(h.version, 10);
    ck_assert_str_eq(h.redis_version, "7.0.15");
    ck_assert_int_eq(h.stream_db, 3);
}
END_TEST

/* Any shorter piece is told to be one. */
START_TEST(wants_more)
{
    struct rdb_head h;

    ck_assert_int_eq(rdb_head_parse((const uint8_t *)head, (size_t)_i, &h), ERR_MORE);
}
END_TEST

START_TEST(refuses_the_rest)
{
    struct rdb_head h;

    ck_assert_int_eq(rdb_head_parse((const uint8_t *)"RUBIES010", 9, &h), ERR_INVALID);
    ck_assert_int_eq(rdb_head_parse((const uint8_t *)"REDIS00x0", 9, &h), ERR_INVALID);
    ck_assert_int_eq(rdb_head_parse((const uint8_t *)"RX", 2, &h), ERR_INVALID);
    /* A compressed string, which none of these is; and one that is longer than there is. */
    ck_assert_int_eq(rdb_head_parse((const uint8_t *)"REDIS0010\xfa\xc3", 11, &h), ERR_INVALID);
    ck_assert_int_eq(
        rdb_head_parse((const uint8_t *)"REDIS0010\xfa\x81\xff\xff\xff\xff\xff\xff\xff\xff", 19,
                       &h),
        ERR_MORE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rdb_head");
    TCase *tc = tcase_create("rdb_head");

    tcase_add_test(tc, reads_it);
    tcase_add_loop_test(tc, wants_more, 0, (int)sizeof head - 1);
    tcase_add_test(tc, refuses_the_rest);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
