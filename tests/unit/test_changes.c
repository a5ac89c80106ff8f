/* The stream as changes, in whatever pieces it comes, and the lines that are made of them. */
#include "proxy/ctl/change_text.h"
#include "proxy/ctl/changes.h"
#include "tests/lib/commands.h"
#include "tests/lib/unit.h"

#include <string.h>

enum { START = 1000 };

struct seen {
    struct buf json, plain;
    uint64_t units[20];
    size_t unit_count;
};

static void says_change(void *ctx, const struct change *c)
{
    struct seen *seen = ctx;
    change_text_json(c, &seen->json);
    change_text_plain(c, &seen->plain);
}

static void says_unit(void *ctx, uint64_t offset)
{
    struct seen *seen = ctx;
    seen->units[seen->unit_count++] = offset;
}

static const struct changes_events events = {.change = says_change, .unit = says_unit};

static void put(struct buf *out, const char *line)
{
    struct resp_arg argv[8];
    size_t argc = 0;

    for (const char *at = line; *at != '\0'; argc++) {
        size_t len = strcspn(at, " ");
        argv[argc] = (struct resp_arg){(const uint8_t *)at, len};
        at += len + (at[len] == ' ');
    }
    resp_put_request(out, argv, argc);
}

static void stream_make(struct buf *out)
{
    put(out, "SET a 1"); /* 27 bytes: to 1027 */
    put(out, "SELECT 3");
    put(out, "PING");
    put(out, "set b \"\\\n\xc3\xa9");
    put(out, "MULTI");
    put(out, "SET x \xff\x01zz");
    put(out, "SELECT 0");
    put(out, "DEL x y");
    put(out, "EXEC");
    put(out, "MULTI");
    put(out, "EXEC");
    put(out, "REPLCONF GETACK *");
    put(out, "FLUSHALL");
}

static const char expected_json[] =
    "{\"offset\":1027,\"time\":\"1970-01-01T00:00:00.005Z\",\"db\":null,\"command\":\"SET\","
    "\"args\":[\"a\",\"1\"]}\n"
    "{\"offset\":1095,\"time\":\"1970-01-01T00:00:00.005Z\",\"db\":3,\"command\":\"set\","
    "\"args\":[\"b\",\"\\\"\\\\\\n\xc3\xa9\"]}\n"
    "{\"offset\":1140,\"time\":\"1970-01-01T00:00:00.005Z\",\"db\":3,\"transaction\":1095,"
    "\"more\":true,\"command\":\"SET\",\"args\":[\"x\",{\"base64\":\"/wF6eg==\"}]}\n"
    "{\"offset\":1190,\"time\":\"1970-01-01T00:00:00.005Z\",\"db\":0,\"transaction\":1095,"
    "\"command\":\"DEL\",\"args\":[\"x\",\"y\"]}\n"
    "{\"offset\":1288,\"time\":\"1970-01-01T00:00:00.005Z\",\"db\":0,\"command\":\"FLUSHALL\","
    "\"args\":[]}\n";

/* The same changes and units whatever the pieces; transactions keep together, and what changes no
 * data is not shown. */
START_TEST(any_pieces)
{
    static const char plain_end[] = "1288 1970-01-01T00:00:00.005Z [0] \"FLUSHALL\"\n";
    static const uint64_t units[] = {1027, 1050, 1064, 1095, 1204, 1233, 1270, 1288};
    struct seen seen = {0};
    struct buf stream = BUF_INIT;
    size_t piece = (size_t)_i;

    stream_make(&stream);
    struct changes *c = changes_create(&events, &seen);
    changes_start(c, START, -1);
    for (size_t at = 0; at < stream.len; at += piece) {
        size_t size = stream.len - at < piece ? stream.len - at : piece;
        ck_assert_int_eq(changes_feed(c, buf_head(&stream) + at, size, 5), ERR_OK);
    }
    buf_append(&seen.json, "", 1);
    buf_append(&seen.plain, "", 1);
    ck_assert_str_eq((char *)buf_head(&seen.json), expected_json);
    ck_assert_str_eq((char *)buf_head(&seen.plain) + seen.plain.len - sizeof plain_end, plain_end);
    ck_assert_uint_eq(seen.unit_count, sizeof units / sizeof *units);
    ck_assert_mem_eq(seen.units, units, sizeof units);
    ck_assert_int_eq(changes_db(c), 0);
    changes_destroy(c);
    buf_release(&stream);
    buf_release(&seen.json);
    buf_release(&seen.plain);
}
END_TEST

static bool wants_deletions(void *ctx, const struct change *c)
{
    (void)ctx;
    return resp_arg_is(&c->argv[0], "del");
}

/* Of a transaction the last change that is told is told to be the last, whatever follows it; units
 * end as they do. */
START_TEST(only_some)
{
    static const struct changes_events some = {
        .change = says_change, .wants = wants_deletions, .unit = says_unit};
    struct seen seen = {0};
    struct buf stream = BUF_INIT;

    put(&stream, "MULTI"); /* 15 bytes */
    put(&stream, "SET a 1");
    put(&stream, "DEL a"); /* 20 bytes: 42 to 62 */
    put(&stream, "DEL b"); /* to 82 */
    put(&stream, "SET b 1");
    put(&stream, "EXEC");
    put(&stream, "SET c 1");
    struct changes *c = changes_create(&some, &seen);
    changes_start(c, 0, 0);
    ck_assert_int_eq(changes_feed(c, buf_head(&stream), stream.len, 5), ERR_OK);
    buf_append(&seen.json, "", 1);
    ck_assert_str_eq((char *)buf_head(&seen.json),
                     "{\"offset\":62,\"time\":\"1970-01-01T00:00:00.005Z\",\"db\":0,"
                     "\"transaction\":0,\"more\":true,\"command\":\"DEL\",\"args\":[\"a\"]}\n"
                     "{\"offset\":82,\"time\":\"1970-01-01T00:00:00.005Z\",\"db\":0,"
                     "\"transaction\":0,\"command\":\"DEL\",\"args\":[\"b\"]}\n");
    ck_assert_uint_eq(seen.unit_count, 2);
    changes_destroy(c);
    buf_release(&stream);
    buf_release(&seen.json);
    buf_release(&seen.plain);
}
END_TEST

static const char *const wrong[] = {
    "PING\r\n",
    "*0\r\n",
    "*1\r\n$4\r\nEXEC\r\n",
    "*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n",
    "*2\r\n$6\r\nSELECT\r\n$1\r\nx\r\n",
    "*1\r\n:4\r\n",
    "*1\r\n$-4\r\n",
};

/* What Redis never sends is not taken for something. */
START_TEST(refuses_nonsense)
{
    struct seen seen = {0};
    struct changes *c = changes_create(&events, &seen);

    changes_start(c, 0, 0);
    ck_assert_int_eq(changes_feed(c, (const uint8_t *)wrong[_i], strlen(wrong[_i]), 0),
                     ERR_PROTOCOL);
    changes_destroy(c);
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    const char *json;
} values[] = {
    {"", 0, "\"\""},
    {"a\0b", 3, "\"a\\u0000b\""},
    {"\t\r\x1f\x7f", 4, "\"\\t\\r\\u001f\\u007f\""},
    {"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},
    {"\xc0\x80", 2, "{\"base64\":\"wIA=\"}"},             /* overlong */
    {"\xed\xa0\x80", 3, "{\"base64\":\"7aCA\"}"},         /* a surrogate */
    {"\xf4\x90\x80\x80", 4, "{\"base64\":\"9JCAgA==\"}"}, /* beyond the last */
    {"ab\xe2\x82", 4, "{\"base64\":\"YWLigg==\"}"},       /* cut */
};

START_TEST(json_values)
{
    struct buf out = BUF_INIT;

    change_text_json_value(values[_i].bytes, values[_i].size, &out);
    UNIT_TEXT_IS(&out, values[_i].json);
}
END_TEST

static const struct {
    const char *line, *glob;
    bool matches;
} filters[] = {
    {"SET user:1 x", "user:*", true},
    {"SET order:1 user:1", "user:*", false},
    {"MSET a 1 user:1 2", "user:*", true},
    {"SINTERSTORE dst user:1 b", "user:*", false}, /* it only reads that */
    {"SINTERSTORE user:9 a b", "user:*", true},
    {"FLUSHALL", "user:*", true},
    {"SWAPDB 0 1", "user:*", true},
    {"PUBLISH user:1 x", "user:*", false},
    {"NOSUCH.COMMAND x", "user:*", true},
    {"DEL", "*", true},
};

/* Whoever keeps an index of some keys sees all that may have changed them. */
START_TEST(filters_by_key)
{
    struct command_table *table;
    struct buf keys = BUF_INIT, stream = BUF_INIT;
    struct resp_framer *framer = resp_framer_create();
    const struct resp_limits limits = RESP_LIMITS_REDIS;
    struct resp_request request;
    char error[128];
    size_t size, wanted;
    uint8_t *reply = commands_reply(&size);

    ck_assert_int_eq(command_table_parse(reply, size, &table), ERR_OK);
    put(&stream, filters[_i].line);
    ck_assert_int_eq(
        resp_request_next(framer, &limits, buf_head(&stream), stream.len, &request, &wanted, error),
        ERR_OK);
    struct change change = {.argv = request.argv, .argc = request.argc};
    ck_assert_msg(change_text_matches(&change, table, filters[_i].glob, &keys) ==
                      filters[_i].matches,
                  "%s", filters[_i].line);
    resp_framer_destroy(framer);
    command_table_destroy(table);
    buf_release(&keys);
    buf_release(&stream);
    free(reply);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("changes");
    TCase *tc = tcase_create("changes");

    tcase_add_loop_test(tc, any_pieces, 1, 60);
    tcase_add_test(tc, only_some);
    tcase_add_loop_test(tc, refuses_nonsense, 0, sizeof wrong / sizeof *wrong);
    tcase_add_loop_test(tc, json_values, 0, sizeof values / sizeof *values);
    tcase_add_loop_test(tc, filters_by_key, 0, sizeof filters / sizeof *filters);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
