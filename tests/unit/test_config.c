/* Configuration: every value lands in its field, and every mistake is named by file, line and key.
 */
#include "common/config.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct sample {
    char *name;
    int64_t port;
    int64_t limit;
    bool tls;
    struct config_strings nodes;
    char *password;
    uint8_t id[4];
    int64_t other_port;
};

static const struct config_row rows[] = {
    CONFIG_STRING("name", struct sample, name, 1, 10, NULL, "who we are"),
    CONFIG_INT("redis.port", struct sample, port, 1, 65535, "6379", "the port of Redis"),
    CONFIG_INT("redis.limits.bytes", struct sample, limit, -5, CONFIG_INT_MAX, "1024", "a limit"),
    CONFIG_BOOL("redis.tls", struct sample, tls, "true", "whether to use TLS"),
    CONFIG_STRINGS("log.nodes", struct sample, nodes, 0, 3, "[\"h:1\"]", "log nodes",
                   .check = config_check_host_port),
    CONFIG_STRING("log.password", struct sample, password, 0, 64, "", "secret", .secret = true),
    CONFIG_HEX("log.id", struct sample, id, "", "the log's id"),
    CONFIG_INT("port", struct sample, other_port, 1, 65535, "1", "another port"),
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static struct sample sample;
static char error[CONFIG_ERROR_BYTES_MAX];

static int parse(const char *text)
{
    error[0] = '\0';
    return config_parse("f.json", text, strlen(text), rows, ROWS, &sample, error, sizeof error);
}

static void expect_error(const char *text, const char *expected)
{
    static const struct sample nothing;

    ck_assert_int_eq(parse(text), ERR_INVALID);
    ck_assert_str_eq(error, expected);
    ck_assert_mem_eq(&sample, &nothing, sizeof sample);
}

/* A file that sets every key: each value is found in the field of its own row. */
START_TEST(all_values_arrive)
{
    ck_assert_int_eq(parse("{\"port\": 9, \"name\": \"n\\u00e9\", \"log\": {\"id\": \"00fFA510\","
                           " \"nodes\": [\"a:1\", \"[::1]:65535\"], \"password\": \"p\"},"
                           " \"redis\": {\"tls\": false, \"limits\": {\"bytes\": -5},"
                           " \"port\": 65535}}"),
                     ERR_OK);
    ck_assert_str_eq(sample.name, "n\xc3\xa9");
    ck_assert_int_eq(sample.port, 65535);
    ck_assert_int_eq(sample.limit, -5);
    ck_assert(!sample.tls);
    ck_assert_uint_eq(sample.nodes.count, 2);
    ck_assert_str_eq(sample.nodes.items[0], "a:1");
    ck_assert_str_eq(sample.nodes.items[1], "[::1]:65535");
    ck_assert_str_eq(sample.password, "p");
    ck_assert_mem_eq(sample.id, "\x00\xff\xa5\x10", 4);
    ck_assert_int_eq(sample.other_port, 9);
    config_free(rows, ROWS, &sample);
    ck_assert_ptr_null(sample.name);
    config_free(rows, ROWS, &sample);
}
END_TEST

/* What a file leaves out takes the schema's defaults. */
START_TEST(defaults)
{
    ck_assert_int_eq(parse("{\"name\": \"x\"}"), ERR_OK);
    ck_assert_int_eq(sample.port, 6379);
    ck_assert_int_eq(sample.limit, 1024);
    ck_assert(sample.tls);
    ck_assert_uint_eq(sample.nodes.count, 1);
    ck_assert_str_eq(sample.nodes.items[0], "h:1");
    ck_assert_str_eq(sample.password, "");
    ck_assert_mem_eq(sample.id, "\0\0\0\0", 4);
    ck_assert_int_eq(sample.other_port, 1);
    config_free(rows, ROWS, &sample);
}
END_TEST

/* A whole number of 2^53, the largest that is exact, arrives as it is. */
START_TEST(large_integer_is_exact)
{
    ck_assert_int_eq(
        parse("{\"name\": \"x\", \"redis\": {\"limits\": {\"bytes\": 9007199254740991}}}"), ERR_OK);
    ck_assert_int_eq(sample.limit, 9007199254740991);
    config_free(rows, ROWS, &sample);
}
END_TEST

START_TEST(wrong_types)
{
    expect_error("{\n\"redis\": {\n\"port\": \"1\"}}",
                 "f.json:3: redis.port: is a string, expected a whole number from 1 to 65535");
    expect_error("{\"name\": null}", "f.json:1: name: is null, expected a string of 1 to 10 bytes");
    expect_error("{\"redis\": {\"tls\": 1}}",
                 "f.json:1: redis.tls: is a number, expected true or false");
    expect_error("{\"redis\": {\"tls\": {\"port\": 1}}}",
                 "f.json:1: redis.tls: is an object, expected true or false");
    expect_error("{\"redis\":\n[]}", "f.json:1: redis: is an array, expected an object");
    expect_error("{\"log\": {\"nodes\": {}}}",
                 "f.json:1: log.nodes: is an object, expected an array of 0 to 3 strings");
    expect_error("{\"log\": {\"nodes\": [\"a:1\", true]}}",
                 "f.json:1: log.nodes: item 2 is a boolean, expected an array of 0 to 3 strings");
    expect_error("{\"log\": {\"id\": 1}}",
                 "f.json:1: log.id: is a number, expected a string of 8 hexadecimal digits");
    expect_error("\n[1]", "f.json:1: the file holds an array, expected an object");
}
END_TEST

START_TEST(out_of_range)
{
    expect_error("{\"port\": 0}",
                 "f.json:1: port: 0 is out of range, expected a whole number from 1 to 65535");
    expect_error("{\"port\": 65536}",
                 "f.json:1: port: 65536 is out of range, expected a whole number from 1 to 65535");
    expect_error("{\"port\": 1e300}",
                 "f.json:1: port: 1e+300 is out of range, expected a whole number from 1 to 65535");
    expect_error("{\"port\": 1.5}",
                 "f.json:1: port: 1.5 is not a whole number, expected a whole number from 1 to "
                 "65535");
    expect_error("{\"name\": \"\"}",
                 "f.json:1: name: has 0 bytes, expected a string of 1 to 10 bytes");
    expect_error("{\"name\": \"01234567890\"}",
                 "f.json:1: name: has 11 bytes, expected a string of 1 to 10 bytes");
    expect_error("{\"log\": {\"nodes\": [\"a\", \"b\", \"c\", \"d\"]}}",
                 "f.json:1: log.nodes: has 4 items, expected an array of 0 to 3 strings");
    expect_error("{\"log\": {\"id\": \"0011223\"}}",
                 "f.json:1: log.id: has 7 bytes, expected a string of 8 hexadecimal digits");
    expect_error("{\"log\": {\"id\": \"0011223g\"}}",
                 "f.json:1: log.id: has other characters, expected a string of 8 hexadecimal "
                 "digits");
    expect_error("{\"log\": {\"nodes\": [\"a:1\", \"b\"]}}",
                 "f.json:1: log.nodes: \"b\" is not allowed, expected HOST:PORT with a port from 1 "
                 "to 65535");
}
END_TEST

/* Unknown keys are named with the path of their object, and so are the names that are known there.
 * A dot inside of a key is no way around the objects, and control characters don't reach a
 * terminal. */
START_TEST(unknown_keys)
{
    expect_error("{\"nam\": 1}",
                 "f.json:1: nam: is not a key that is known, expected one of: name, redis, log, "
                 "port");
    expect_error("{\"redis\": {\n\"limits\": {\n\n\"byte\": 1}}}",
                 "f.json:4: redis.limits.byte: is not a key that is known, expected one of: bytes");
    expect_error("{\"redis.port\": 1}",
                 "f.json:1: redis.port: is not a key that is known, expected one of: name, redis, "
                 "log, port");
    expect_error("{\"\": 1}", "f.json:1: : is not a key that is known, expected one of: name, "
                              "redis, log, port");
    expect_error("{\"a\\n\\u001b\": 1}", "f.json:1: a??: is not a key that is known, expected one "
                                         "of: name, redis, log, port");
}
END_TEST

/* The same name in several objects, on lines of their own, with strings that look like keys between
 * them: each error has the line of the key that it means. */
START_TEST(lines_of_equal_names)
{
    expect_error("{\n"
                 "  \"name\": \"a\\\":{\n\",\n" /* lines 2 and 3: cJSON lets a newline pass */
                 "  \"redis\": {\n"
                 "    \"limits\": {}, \"port\": 1\n"
                 "  },\n"
                 "  \"port\"\n"
                 "  : \"x\"\n"
                 "}",
                 "f.json:7: port: is a string, expected a whole number from 1 to 65535");
    expect_error(
        "{\n\"port\": 1,\n\"redis\": {\n\"port\": 0}}",
        "f.json:4: redis.port: 0 is out of range, expected a whole number from 1 to 65535");
}
END_TEST

START_TEST(duplicates)
{
    expect_error("{\"name\": \"a\",\n\"name\": \"a\"}",
                 "f.json:2: name: is given twice, expected once");
    expect_error("{\"redis\": {\"port\": 1},\n\"redis\": {\"tls\": true}}",
                 "f.json:2: redis: is given twice, expected once");
    expect_error("{\"redis\": {\"port\": 1,\n\"p\\u006frt\": 1}}",
                 "f.json:2: redis.port: is given twice, expected once");
}
END_TEST

/* A missing key is named where its object is, or at the top of the file. */
START_TEST(missing)
{
    static const struct config_row needed[] = {
        CONFIG_INT("a.x", struct sample, port, 0, 1, "0", "x"),
        CONFIG_INT("a.y", struct sample, limit, 0, 1, NULL, "y"),
    };

    expect_error("\n{}", "f.json:1: name: is missing, expected a string of 1 to 10 bytes");
    ck_assert_int_eq(config_parse("f.json", "{\n\n\"a\":{\n\"x\":1}}", 16, needed, 2, &sample,
                                  error, sizeof error),
                     ERR_INVALID);
    ck_assert_str_eq(error, "f.json:4: a.y: is missing, expected a whole number from 0 to 1");
}
END_TEST

START_TEST(syntax)
{
    expect_error("", "f.json:1: the JSON breaks off near \"\"");
    expect_error("{\n\"name\": \"a\",\n// no\n}", "f.json:3: the JSON breaks off near \"/ no\"");
    expect_error("{\"name\": \"a\"}\n}", "f.json:2: the JSON breaks off near \"}\"");
    expect_error("{\"name\": \"a\\u0000b\"}", "f.json:1: \\u0000 is not allowed in a string");
    ck_assert_int_eq(config_parse("f", "{\n\0}", 4, rows, ROWS, &sample, error, sizeof error),
                     ERR_INVALID);
    ck_assert_str_eq(error, "f:2: the file holds a zero byte, expected text");
}
END_TEST

/* No prefix of a good file is taken for one, and none crashes; nor does any single changed byte. */
START_TEST(torn_and_changed)
{
    static const char good[] = "{\"name\": \"x\", \"redis\": {\"port\": 1, \"limits\": {}},\n"
                               "\"log\": {\"nodes\": [\"a:1\"], \"id\": \"00112233\"}}";
    char text[sizeof good];

    for (size_t len = 0; len < sizeof good - 1; len++) {
        ck_assert_int_eq(config_parse("f", good, len, rows, ROWS, &sample, error, sizeof error),
                         ERR_INVALID);
    }
    for (size_t at = 0; at < sizeof good - 1; at++) {
        for (int c = 0; c < 256; c++) {
            memcpy(text, good, sizeof good);
            text[at] = (char)c;
            int rc =
                config_parse("f", text, sizeof good - 1, rows, ROWS, &sample, error, sizeof error);
            ck_assert(rc == ERR_OK || rc == ERR_INVALID);
            config_free(rows, ROWS, &sample);
        }
    }
}
END_TEST

/* What is printed is what is in effect: read back it gives the same values; a secret is not in it.
 */
START_TEST(print_and_read_back)
{
    static const char expected[] = "{\n"
                                   "    \"name\": \"a\\\"b\",\n"
                                   "    \"redis\": {\n"
                                   "        \"port\": 7,\n"
                                   "        \"limits\": {\n"
                                   "            \"bytes\": 4503599627370497\n"
                                   "        },\n"
                                   "        \"tls\": true\n"
                                   "    },\n"
                                   "    \"log\": {\n"
                                   "        \"nodes\": [\"a:1\", \"b:2\"],\n"
                                   "        \"password\": \"***\",\n"
                                   "        \"id\": \"0a000000\"\n"
                                   "    },\n"
                                   "    \"port\": 1\n"
                                   "}\n";
    char text[1024] = "";

    ck_assert_int_eq(parse("{\"name\": \"a\\\"b\", \"redis\": {\"port\": 7, \"limits\": {\"bytes\":"
                           " 4503599627370497}}, \"log\": {\"nodes\": [\"a:1\", \"b:2\"],"
                           " \"password\": \"hidden\", \"id\": \"0A000000\"}}"),
                     ERR_OK);
    FILE *out = fmemopen(text, sizeof text, "w");
    ck_assert_ptr_nonnull(out);
    config_print(rows, ROWS, &sample, out);
    fclose(out);
    ck_assert_str_eq(text, expected);
    config_free(rows, ROWS, &sample);
    ck_assert_int_eq(parse(text), ERR_OK); /* the password is "***" now */
    ck_assert_int_eq(sample.limit, 4503599627370497);
    ck_assert_str_eq(sample.name, "a\"b");
    config_free(rows, ROWS, &sample);
}
END_TEST

/* Objects that close and open several levels at once are still well formed. */
START_TEST(print_nesting)
{
    static const struct config_row deep[] = {
        CONFIG_INT("a.b.c", struct sample, port, 0, 9, "1", "x"),
        CONFIG_INT("a.d.e", struct sample, limit, 0, 9, "2", "y"),
        CONFIG_INT("f.g.h", struct sample, other_port, 0, 9, "3", "z"),
    };
    char text[512] = "";
    char packed[512];
    size_t len = 0;

    ck_assert_int_eq(config_parse("f", "{}", 2, deep, 3, &sample, error, sizeof error), ERR_OK);
    FILE *out = fmemopen(text, sizeof text, "w");
    ck_assert_ptr_nonnull(out);
    config_print(deep, 3, &sample, out);
    fclose(out);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c != ' ' && *c != '\n') {
            packed[len++] = *c;
        }
    }
    packed[len] = '\0';
    ck_assert_str_eq(packed, "{\"a\":{\"b\":{\"c\":1},\"d\":{\"e\":2}},\"f\":{\"g\":{\"h\":3}}}");
}
END_TEST

/* A file is read whole; one that isn't there, or is a folder or too large, is named with the
 * reason. */
START_TEST(files)
{
    char path[] = "/tmp/test_config.XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dprintf(fd, "{\"name\": \"file\"%*s}", 10000, ""), 10016);
    ck_assert_int_eq(config_load(path, rows, ROWS, &sample, error, sizeof error), ERR_OK);
    ck_assert_str_eq(sample.name, "file");
    config_free(rows, ROWS, &sample);
    ck_assert_int_eq(ftruncate(fd, CONFIG_FILE_BYTES_MAX + 1), 0);
    ck_assert_int_eq(config_load(path, rows, ROWS, &sample, error, sizeof error), ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error, "is larger than"));
    close(fd);
    unlink(path);
    ck_assert_int_eq(config_load(path, rows, ROWS, &sample, error, sizeof error), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error, "No such file"));
    ck_assert_int_eq(config_load("/", rows, ROWS, &sample, error, sizeof error), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error, "Is a directory"));
}
END_TEST

START_TEST(host_port)
{
    static const char *const good[] = {"a:1", ":65535", "127.0.0.1:80", "[::1]:7000"};
    static const char *const bad[] = {"",     "a",      "a:",    "a:0",     "a:65536", "a:1x",
                                      "a: 1", "::1:80", "[]:80", "[::1:80", "a:-1",    "a:b:1"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(config_check_host_port(good[i]) == NULL, "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(config_check_host_port(bad[i]) != NULL, "%s", bad[i]);
    }
    ck_assert_ptr_null(config_check_log_level("warn"));
    ck_assert_str_eq(config_check_log_level("loud"), "debug, info, warn or error");
}
END_TEST

int main(void)
{
    return UNIT_RUN("config", NULL, NULL, all_values_arrive, defaults, large_integer_is_exact,
                    wrong_types, out_of_range, unknown_keys, lines_of_equal_names, duplicates,
                    missing, syntax, torn_and_changed, print_and_read_back, print_nesting, files,
                    host_port);
}
