/* RESP framing: every message gives the same result in whatever pieces it arrives, and what is
 * refused is refused with Redis' words. The texts and the odd cases in `cases` are answers that a
 * stock redis-server 7.0.15 gave to these very bytes. */
#include "proxy/protocol/resp.h"

#include "common/mem.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

static const struct resp_limits redis_limits = RESP_LIMITS_REDIS;

static uint32_t random_next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* What the framer made of a stream: "[arg|arg]" for each request, "[]" for an empty one, "!text"
 * for an error, "~" where it waits for more. */
static void say_request(struct buf *said, const struct resp_request *r)
{
    buf_append_str(said, "[");
    for (size_t i = 0; i < r->argc; i++) {
        buf_append_str(said, i > 0 ? "|" : "");
        buf_append(said, r->argv[i].bytes, r->argv[i].len);
    }
    buf_append_str(said, "]");
}

/* Feeds the bytes in pieces that end at the given cut (0: none) or of `step` bytes. Each call sees
 * the bytes at a fresh address of exactly their size, so a framer that remembers an address, or
 * reads past the end, is caught by the sanitizer. */
static void frame_pieces(const char *input, size_t size, size_t cut, size_t step,
                         const struct resp_limits *limits, struct buf *said)
{
    struct resp_framer *f = resp_framer_create();
    struct resp_request request;
    char error_text[128];
    size_t start = 0, end = 0, wanted;
    int err = ERR_MORE;

    while (end < size && err != ERR_PROTOCOL) {
        end = end < cut ? cut : step > 0 && end + step < size ? end + step : size;
        do {
            uint8_t *bytes = mem_alloc(end - start);
            memcpy(bytes, input + start, end - start);
            err = resp_request_next(f, limits, bytes, end - start, &request, &wanted, error_text);
            if (err == ERR_OK) {
                say_request(said, &request);
                ck_assert_uint_gt(request.len_bytes, 0);
                ck_assert_uint_le(request.len_bytes, end - start);
                start += request.len_bytes;
            } else if (err == ERR_MORE) {
                ck_assert(wanted == 0 || wanted > end - start);
            } else {
                buf_append_str(said, "!");
                buf_append_str(said, error_text);
            }
            free(bytes);
        } while (err == ERR_OK && start < end);
    }
    buf_append_str(said, err == ERR_MORE ? "~" : "");
    resp_framer_destroy(f);
}

static void assert_said(struct buf *said, const char *expected, size_t expected_size,
                        const char *input, size_t cut, size_t step)
{
    if (said->len != expected_size || memcmp(buf_head(said), expected, expected_size) != 0) {
        ck_abort_msg("input \"%s\" cut at %zu, step %zu: \"%.*s\" instead of \"%s\"", input, cut,
                     step, (int)said->len, (const char *)buf_head(said), expected);
    }
    buf_clear(said);
}

struct framing_case {
    const char *input;
    size_t size;
    const char *said;
    size_t said_size;
    bool unauthenticated;
};

#define CASE(input, said)                                                                          \
    {                                                                                              \
        input, sizeof(input) - 1, said, sizeof(said) - 1, false                                    \
    }
#define UNAUTH(input, said)                                                                        \
    {                                                                                              \
        input, sizeof(input) - 1, said, sizeof(said) - 1, true                                     \
    }
#define BAD "!Protocol error: "

static const struct framing_case cases[] = {
    CASE("*1\r\n$4\r\nPING\r\n", "[PING]"),
    CASE("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\n123456789012\r\n", "[SET||123456789012]"),
    CASE("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n", "[PING][GET|a][PING]"),
    CASE("*1\r\n$6\r\na\0\r\n\0b\r\n", "[a\0\r\n\0b]"),
    /* counts */
    CASE("*0\r\nPING\r\n", "[][PING]"),
    CASE("*-1\r\nPING\r\n", "[][PING]"),
    CASE("*-100\r\nPING\r\n", "[][PING]"),
    CASE("*-9223372036854775808\r\nPING\r\n", "[][PING]"),
    CASE("*-9223372036854775809\r\n", BAD "invalid multibulk length"),
    CASE("*2147483647\r\n", "~"),
    CASE("*2147483648\r\n", BAD "invalid multibulk length"),
    CASE("*9223372036854775807\r\n", BAD "invalid multibulk length"),
    CASE("*9223372036854775808\r\n", BAD "invalid multibulk length"),
    CASE("*18446744073709551617\r\n", BAD "invalid multibulk length"),
    CASE("*99999999999999999999999\r\n", BAD "invalid multibulk length"),
    CASE("*\r\n", BAD "invalid multibulk length"),
    CASE("*a\r\n", BAD "invalid multibulk length"),
    CASE("*+1\r\n", BAD "invalid multibulk length"),
    CASE("*01\r\n", BAD "invalid multibulk length"),
    CASE("*-0\r\n", BAD "invalid multibulk length"),
    CASE("*-\r\n", BAD "invalid multibulk length"),
    CASE("*1 \r\n", BAD "invalid multibulk length"),
    /* lengths */
    CASE("*1\r\n$536870912\r\n", "~"),
    CASE("*1\r\n$536870913\r\n", BAD "invalid bulk length"),
    CASE("*1\r\n$9223372036854775807\r\n", BAD "invalid bulk length"),
    CASE("*1\r\n$\r\n", BAD "invalid bulk length"),
    CASE("*1\r\n$-1\r\n", BAD "invalid bulk length"),
    CASE("*1\r\n$04\r\nPING\r\n", BAD "invalid bulk length"),
    CASE("*1\r\n$4 \r\nPING\r\n", BAD "invalid bulk length"),
    CASE("*2\r\n$4\r\nPING\r\n$a\r\n", BAD "invalid bulk length"),
    CASE("*1\r\n\r\nX", BAD "expected '$', got ' '"),
    CASE("*1\r\n\n\r\nX", BAD "expected '$', got ' '"),
    CASE("*1\r\n:4\r\n", BAD "expected '$', got ':'"),
    CASE("*1\r\n\xff"
         "4\r\n",
         BAD "expected '$', got '\xff'"),
    CASE("*1\r\nabc\r\n", BAD "expected '$', got 'a'"),
    CASE("*1\r\nabc", "~"),
    CASE("*1\r\n*1\r\n$4\r\nPING\r\n", BAD "expected '$', got '*'"),
    /* what Redis does not look at */
    CASE("*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", "[PING][PING]"),
    CASE("*1\rX$4\rYPINGzz", "[PING]"),
    CASE("*1\n$4\nPING\n", "~"),
    CASE("*1\0\r\nPING\r\n", "~"),
    CASE("*1\r\n\0$4\r\nPING\r\n", "~"),
    CASE("PI\0NG\r\nPING\r\n", "~"),
    CASE("*1\r\n\0"
         "4\r\nPING\r\n",
         "~"),
    /* inline */
    CASE("PING\r\n", "[PING]"),
    CASE("PING\n", "[PING]"),
    CASE("\r\nPING\r\n", "[][PING]"),
    CASE("\nPING\n", "[][PING]"),
    CASE("  \r\nPING\r\n", "[][PING]"),
    CASE("\rPING\r\n", "[PING]"),
    CASE("\r\r\nPING\r\n", "[][PING]"),
    CASE(" SET  a\tb \r\n", "[SET|a|b]"),
    CASE("ECHO a\rb\r\n", "[ECHO|a|b]"),
    CASE("ECHO a\x0b"
         "b\r\n",
         "[ECHO|a\x0b"
         "b]"),
    CASE("\x0b\x0c"
         "ECHO a\r\n",
         "[ECHO|a]"),
    CASE("ECHO \"\"\r\n", "[ECHO|]"),
    CASE("ECHO \"a b\" 'c d' e\r\n", "[ECHO|a b|c d|e]"),
    CASE("\"PING\" \r\n", "[PING]"),
    CASE("ECHO \"a\"\x0b\r\n", "[ECHO|a]"),
    CASE("ECHO a\"b c\"\r\n", "[ECHO|ab c]"),
    CASE("ECHO a\\\"b\"\r\n", "[ECHO|a\\b]"),
    CASE("ECHO \"a\\x41\\n\\q b\"\r\n", "[ECHO|aA\nq b]"),
    CASE("ECHO \"\\x00\\r\\t\\b\\a\\\\\\\"\"\r\n", "[ECHO|\0\r\t\b\a\\\"]"),
    CASE("ECHO \"\\xfF\\xg0\"\r\n", "[ECHO|\xffxg0]"),
    CASE("ECHO \"\\x4\"\r\n", "[ECHO|x4]"),
    CASE("ECHO 'a\\'b\\n\"'\r\n", "[ECHO|a'b\\n\"]"),
    CASE("ECHO \"a\"b\r\n", BAD "unbalanced quotes in request"),
    CASE("ECHO 'a'b\r\n", BAD "unbalanced quotes in request"),
    CASE("ECHO \"a\r\n", BAD "unbalanced quotes in request"),
    CASE("ECHO 'a\r\n", BAD "unbalanced quotes in request"),
    CASE("ECHO \"\\\"\r\n", BAD "unbalanced quotes in request"),
    CASE("ECHO \"\\\r\n", BAD "unbalanced quotes in request"),
    CASE("ECHO '\\'\r\n", BAD "unbalanced quotes in request"),
    CASE("ECHO \"\\", "~"),
    /* before AUTH */
    UNAUTH("*11\r\n", BAD "unauthenticated multibulk length"),
    UNAUTH("*10\r\n", "~"),
    UNAUTH("*2147483648\r\n", BAD "invalid multibulk length"),
    UNAUTH("*1\r\n$16385\r\n", BAD "unauthenticated bulk length"),
    UNAUTH("*1\r\n$16384\r\n", "~"),
    UNAUTH("*1\r\n$536870913\r\n", BAD "invalid bulk length"),
    UNAUTH("1 2 3 4 5 6 7 8 9 10 11 12\r\n", "[1|2|3|4|5|6|7|8|9|10|11|12]"),
};

/* Each case, whole, cut in two at every position, and byte by byte, says the same. */
START_TEST(every_split_says_the_same)
{
    const struct framing_case *c = &cases[_i];
    struct resp_limits limits = redis_limits;
    struct buf said = BUF_INIT;

    limits.authenticated = !c->unauthenticated;
    for (size_t cut = 0; cut < c->size; cut++) {
        frame_pieces(c->input, c->size, cut, 0, &limits, &said);
        assert_said(&said, c->said, c->said_size, c->input, cut, 0);
    }
    for (size_t step = 1; step < 4; step++) {
        frame_pieces(c->input, c->size, 0, step, &limits, &said);
        assert_said(&said, c->said, c->said_size, c->input, 0, step);
    }
    buf_release(&said);
}
END_TEST

/* A line may have 65536 bytes before its end, and a client that never ends it is not collected for
 * ever. A NUL byte hides the end of a line, so that such a line ends as too big as well. */
START_TEST(line_limits)
{
    static const struct {
        const char *head;
        const char *filler;
        const char *end;
        const char *error;
        bool hidden; /* is not framed at the limit either */
    } lines[] = {
        {"", "a", "\n", "Protocol error: too big inline request", false},
        {"*", "1", "\r\n", "Protocol error: too big mbulk count string", true},
        {"*1\r\n$", "1", "\r\n", "Protocol error: too big bulk count string", true},
        {"*1\r\n", "x", "\r\n", "Protocol error: too big bulk count string", true},
        {"a\0b", "a", "\n", "Protocol error: too big inline request", true},
    };
    char error_text[128];

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        bool nul = lines[i].head[0] == 'a';
        size_t head = nul ? 3 : strlen(lines[i].head);
        size_t line = head >= 4 ? 4 : 0; /* where the long line begins */
        for (size_t extra = 0; extra < 2; extra++) {
            struct resp_framer *f = resp_framer_create();
            struct resp_request request;
            struct buf b = BUF_INIT;
            size_t wanted;
            buf_append(&b, lines[i].head, head);
            while (b.len < line + 65536 + extra) {
                buf_append_str(&b, lines[i].filler);
            }
            int err = resp_request_next(f, &redis_limits, buf_head(&b), b.len, &request, &wanted,
                                        error_text);
            if (extra == 0) {
                ck_assert_int_eq(err, ERR_MORE);
                buf_append_str(&b, lines[i].end);
                err = resp_request_next(f, &redis_limits, buf_head(&b), b.len, &request, &wanted,
                                        error_text);
                ck_assert_int_eq(err, lines[i].hidden ? ERR_PROTOCOL : ERR_OK);
            } else {
                ck_assert_int_eq(err, ERR_PROTOCOL);
                ck_assert_str_eq(error_text, lines[i].error);
            }
            buf_release(&b);
            resp_framer_destroy(f);
        }
    }
}
END_TEST

/* Announcing a billion arguments, or half a gigabyte, costs no memory before they arrive. */
START_TEST(announced_counts_cost_nothing)
{
    static const char input[] = "*1073741824\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n";
    struct resp_framer *f = resp_framer_create();
    struct resp_request request;
    char error_text[128];
    size_t wanted;

    ck_assert_int_eq(resp_request_next(f, &redis_limits, (const uint8_t *)input, sizeof input - 1,
                                       &request, &wanted, error_text),
                     ERR_MORE);
    ck_assert_uint_eq(wanted, sizeof input - 1 + 536870912 + 2);
    ck_assert_uint_lt(resp_framer_bytes(f), 4096);
    resp_framer_destroy(f);
}
END_TEST

/* A million arguments in pieces of 8 bytes: linear time (else this ends by check's time-out), and
 * the memory for them is given back. */
START_TEST(huge_multibulk_in_small_pieces)
{
    enum { COUNT = 1000000 };
    struct resp_framer *f = resp_framer_create();
    struct resp_request request;
    struct buf b = BUF_INIT;
    char error_text[128];
    size_t wanted, size = 0;
    int err = ERR_MORE;

    resp_put_array(&b, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        resp_put_bulk(&b, "abc", i % 4);
    }
    while (err == ERR_MORE && size < b.len) {
        size = size + 8 < b.len ? size + 8 : b.len;
        err =
            resp_request_next(f, &redis_limits, buf_head(&b), size, &request, &wanted, error_text);
    }
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_uint_eq(size, b.len);
    ck_assert_uint_eq(request.len_bytes, b.len);
    ck_assert_uint_eq(request.argc, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert(request.argv[i].len == i % 4 && memcmp(request.argv[i].bytes, "abc", i % 4) == 0);
    }
    ck_assert_uint_gt(resp_framer_bytes(f), COUNT * sizeof(struct resp_arg));
    resp_framer_trim(f);
    ck_assert_uint_lt(resp_framer_bytes(f), 4096);
    buf_release(&b);
    resp_framer_destroy(f);
}
END_TEST

/* Random pipelines of random requests, put together by resp_put_request and taken apart again in
 * random pieces, are what they were. */
START_TEST(random_requests_round_trip)
{
    uint32_t seed = 12345;

    for (int round = 0; round < 300; round++) {
        struct buf stream = BUF_INIT, expected = BUF_INIT, said = BUF_INIT;
        uint32_t requests = random_next(&seed) % 8 + 1;
        for (uint32_t r = 0; r < requests; r++) {
            struct resp_arg argv[40];
            struct resp_request request = {.argv = argv, .argc = random_next(&seed) % 40 + 1};
            for (size_t i = 0; i < request.argc; i++) {
                argv[i].len = random_next(&seed) % (random_next(&seed) % 8 == 0 ? 300 : 12);
                uint8_t *bytes = mem_alloc(argv[i].len);
                for (size_t at = 0; at < argv[i].len; at++) {
                    bytes[at] = (uint8_t) "\r\n$*\0abc"[random_next(&seed) % 8];
                }
                argv[i].bytes = bytes;
            }
            resp_put_request(&stream, argv, request.argc);
            say_request(&expected, &request);
            for (size_t i = 0; i < request.argc; i++) {
                free((void *)(uintptr_t)argv[i].bytes);
            }
        }
        frame_pieces((const char *)buf_head(&stream), stream.len, random_next(&seed) % stream.len,
                     random_next(&seed) % 200 + 1, &redis_limits, &said);
        ck_assert_uint_eq(said.len, expected.len);
        ck_assert_mem_eq(buf_head(&said), buf_head(&expected), said.len);
        buf_release(&stream);
        buf_release(&expected);
        buf_release(&said);
    }
}
END_TEST

struct reply_case {
    const char *bytes;
    size_t size;
    uint8_t first;
};

#define REPLY(bytes, first)                                                                        \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, first                                                            \
    }

static const struct reply_case replies[] = {
    REPLY("+OK\r\n", '+'),
    REPLY("+\r\n", '+'),
    REPLY("+a\rb\nc\r\n", '+'),
    REPLY("+a\r\r\n", '+'),
    REPLY("+\n\r\n", '+'),
    REPLY("-ERR no\r\n", '-'),
    REPLY(":-12\r\n", ':'),
    REPLY("$3\r\n\r\nx\r\n", '$'),
    REPLY("$0\r\n\r\n", '$'),
    REPLY("$-1\r\n", '$'),
    REPLY("$12\r\n123456789012\r\n", '$'),
    REPLY("*0\r\n", '*'),
    REPLY("*-1\r\n", '*'),
    REPLY("*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n$1\r\na\r\n", '*'),
    REPLY("*3\r\n$-1\r\n*-1\r\n+\r\n", '*'),
    REPLY("_\r\n", '_'),
    REPLY("#t\r\n", '#'),
    REPLY(",3.14\r\n", ','),
    REPLY(",-inf\r\n", ','),
    REPLY("(12345678901234567890123456789012345678901234567890123456789012345678901234567\r\n",
          '('),
    REPLY("=7\r\ntxt:abc\r\n", '='),
    REPLY("!5\r\nERR a\r\n", '!'),
    REPLY("~2\r\n:1\r\n:2\r\n", '~'),
    REPLY("%0\r\n", '%'),
    REPLY("%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%1\r\n+c\r\n_\r\n", '%'),
    REPLY(">3\r\n+message\r\n+a\r\n$1\r\nb\r\n", '>'),
    REPLY("|1\r\n+ttl\r\n:3600\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n", '*'),
    REPLY("|0\r\n+OK\r\n", '+'),
    REPLY("|1\r\n|1\r\n+a\r\n+b\r\n+k\r\n*1\r\n+v\r\n$-1\r\n", '$'),
};

static void assert_reply(const struct reply_case *c, size_t cut, size_t step)
{
    struct resp_reply_framer f;
    bool done = false;
    size_t at = 0;

    memset(&f, 0, sizeof f);
    while (at < c->size) {
        size_t size = at < cut ? cut - at : step > 0 && at + step < c->size ? step : c->size - at;
        uint8_t *bytes = mem_alloc(size);
        memcpy(bytes, c->bytes + at, size);
        long taken = resp_reply_take(&f, bytes, size, &done);
        free(bytes);
        ck_assert_msg(taken == (long)size, "%s cut at %zu: took %ld of %zu", c->bytes, cut, taken,
                      size);
        at += size;
        ck_assert_msg(done == (at == c->size), "%s cut at %zu: done %d at %zu", c->bytes, cut, done,
                      at);
    }
    ck_assert_int_eq(f.first, c->first);
}

/* Each reply, cut in two at every position and in small steps, ends where it ends. */
START_TEST(reply_every_split)
{
    const struct reply_case *c = &replies[_i];

    for (size_t cut = 0; cut < c->size; cut++) {
        assert_reply(c, cut, 0);
    }
    for (size_t step = 1; step < 4; step++) {
        assert_reply(c, 0, step);
    }
}
END_TEST

/* All replies one behind the other, through one framer: each is taken alone, none too far. */
START_TEST(replies_in_a_row)
{
    struct resp_reply_framer f;
    struct buf all = BUF_INIT;
    size_t at = 0;

    memset(&f, 0, sizeof f);
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        buf_append(&all, replies[i].bytes, replies[i].size);
    }
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        bool done;
        long taken = resp_reply_take(&f, buf_head(&all) + at, all.len - at, &done);
        ck_assert_int_eq(taken, (long)replies[i].size);
        ck_assert(done);
        ck_assert_int_eq(f.first, replies[i].first);
        at += (size_t)taken;
    }
    buf_release(&all);
}
END_TEST

/* Lua tables nest thousands of levels deep, and so do replies. */
START_TEST(reply_nests_deep)
{
    struct resp_reply_framer f;
    struct buf b = BUF_INIT;
    bool done = false;

    memset(&f, 0, sizeof f);
    for (int i = 0; i < 100000; i++) {
        buf_append_str(&b, "*2\r\n");
    }
    for (int i = 0; i < 100001; i++) {
        buf_append_str(&b, ":1\r\n");
    }
    ck_assert_int_eq(resp_reply_take(&f, buf_head(&b), b.len - 1, &done), (long)b.len - 1);
    ck_assert(!done);
    ck_assert_int_eq(resp_reply_take(&f, buf_head(&b) + b.len - 1, 1, &done), 1);
    ck_assert(done);
    buf_release(&b);
}
END_TEST

/* Bytes that are no reply are seen, whole or byte by byte. */
START_TEST(reply_garbage)
{
    static const char *const bad[] = {"x",
                                      "\r\n",
                                      "$\r\n",
                                      "$a\r\n",
                                      "$-2\r\n",
                                      "%-1\r\n",
                                      "$1\r\nab\r\n",
                                      "$1\r\na\rx",
                                      "$3\r\nab\r\n",
                                      "$?\r\n",
                                      "$1\rx",
                                      "*1\r\nx",
                                      "$--1\r\n",
                                      "$-\r\n",
                                      "*99999999999999999999\r\n",
                                      "*1\r\n$1x\r\n"};
    const char *text = bad[_i];
    struct resp_reply_framer f;
    bool done = false;
    long taken = 0;

    memset(&f, 0, sizeof f);
    ck_assert_int_eq(resp_reply_take(&f, (const uint8_t *)text, strlen(text), &done), ERR_PROTOCOL);
    memset(&f, 0, sizeof f);
    for (size_t i = 0; i < strlen(text) && taken >= 0; i++) {
        taken = resp_reply_take(&f, (const uint8_t *)text + i, 1, &done);
        ck_assert(!done);
    }
    ck_assert_int_eq(taken, ERR_PROTOCOL);
}
END_TEST

/* What is composed is what Redis would send. */
START_TEST(composing)
{
    static const struct {
        long long n;
        const char *text;
    } numbers[] = {{0, ":0\r\n"},
                   {9, ":9\r\n"},
                   {10, ":10\r\n"},
                   {99, ":99\r\n"},
                   {100, ":100\r\n"},
                   {12345, ":12345\r\n"},
                   {-1, ":-1\r\n"},
                   {-10, ":-10\r\n"},
                   {LLONG_MAX, ":9223372036854775807\r\n"},
                   {LLONG_MIN, ":-9223372036854775808\r\n"}};
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        resp_put_integer(&b, numbers[i].n);
        buf_append(&b, "", 1);
        ck_assert_str_eq((const char *)buf_head(&b), numbers[i].text);
        buf_clear(&b);
    }
    resp_put_array(&b, 2);
    resp_put_bulk(&b, "abc", 3);
    resp_put_bulk(&b, NULL, 0);
    resp_put_simple(&b, "OK");
    resp_put_error(&b, "ERR a\r\nb");
    resp_put_null(&b, 2);
    resp_put_null(&b, 3);
    UNIT_TEXT_IS(&b, "*2\r\n$3\r\nabc\r\n$0\r\n\r\n+OK\r\n-ERR a  b\r\n$-1\r\n_\r\n");
}
END_TEST

/* Words in any case; numbers as string2ll takes them. */
START_TEST(arguments)
{
    static const struct {
        const char *text;
        bool ok;
        long long n;
    } numbers[] = {{"0", true, 0},
                   {"-1", true, -1},
                   {"1234", true, 1234},
                   {"9223372036854775807", true, LLONG_MAX},
                   {"-9223372036854775808", true, LLONG_MIN},
                   {"9223372036854775808", false, 0},
                   {"-9223372036854775809", false, 0},
                   {"18446744073709551616", false, 0},
                   {"", false, 0},
                   {"-", false, 0},
                   {"-0", false, 0},
                   {"00", false, 0},
                   {"1a", false, 0},
                   {" 1", false, 0}};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct resp_arg arg = {(const uint8_t *)numbers[i].text, strlen(numbers[i].text)};
        long long n = 0;
        uint64_t offset = 7;
        ck_assert_msg(resp_arg_integer(&arg, &n) == numbers[i].ok, "%s", numbers[i].text);
        ck_assert_int_eq(n, numbers[i].n);
        bool place = numbers[i].ok && numbers[i].n >= 0;
        ck_assert_msg(resp_arg_offset(&arg, &offset) == place, "%s", numbers[i].text);
        ck_assert_uint_eq(offset, place ? (uint64_t)numbers[i].n : 7);
    }
    struct resp_arg arg = {(const uint8_t *)"GetEx", 3};
    ck_assert(resp_arg_is(&arg, "get"));
    ck_assert(!resp_arg_is(&arg, "getex"));
    ck_assert(!resp_arg_is(&arg, "ge"));
    ck_assert(!resp_arg_is(&arg, "gex"));
    arg = (struct resp_arg){(const uint8_t *)"{", 1};
    ck_assert(!resp_arg_is(&arg, "["));
    arg = (struct resp_arg){(const uint8_t *)"a\0", 2};
    ck_assert(!resp_arg_is(&arg, "a"));
}
END_TEST

/* What is read of a reply ends where it does; all else is left where it stands. */
START_TEST(reading)
{
    static const char text[] = "*2\r\n$3\r\na\r\n\r\n:70\r\n$0\r\n\r\n";
    static const char *const others[] = {"",
                                         "$",
                                         "$3",
                                         "$3\r\n",
                                         "$3\r\nab\r\n",
                                         "$-1\r\n",
                                         "$\r\n",
                                         "$3x\nabc\r\n",
                                         ":3\r\nabc",
                                         "$99999999999999999999\r\nx\r\n",
                                         "$18446744073709551615\r\nx\r\n",
                                         "$18446744073709551617\r\nx\r\n"};
    const uint8_t *bytes = (const uint8_t *)text;
    struct resp_arg bulk;
    size_t at = 0, size = sizeof text - 1, number = 0;

    ck_assert(!resp_read_number(bytes, size, &at, ':', &number) && at == 0);
    ck_assert(resp_read_number(bytes, size, &at, '*', &number) && number == 2);
    ck_assert(resp_read_bulk(bytes, size, &at, &bulk));
    ck_assert(bulk.len == 3 && memcmp(bulk.bytes, "a\r\n", 3) == 0);
    ck_assert(resp_read_number(bytes, size, &at, ':', &number) && number == 70);
    ck_assert(resp_read_bulk(bytes, size, &at, &bulk) && bulk.len == 0 && at == size);
    ck_assert(!resp_read_bulk(bytes, size, &at, &bulk) && at == size);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        at = 0;
        ck_assert(!resp_read_bulk((const uint8_t *)others[i], strlen(others[i]), &at, &bulk));
        ck_assert_uint_eq(at, 0);
    }
}
END_TEST

/* A whole reply is passed over with all that is in it; a part of one is none. */
START_TEST(reading_on)
{
    static const char text[] = "*2\r\n$1\r\na\r\n%1\r\n+k\r\n*-1\r\n_\r\n:7\r\n";
    const uint8_t *bytes = (const uint8_t *)text;
    size_t size = sizeof text - 1, at = 0;

    for (size_t part = 0; part < size - 7; part++) {
        ck_assert(!resp_read_reply(bytes, part, &at));
        ck_assert_uint_eq(at, 0);
    }
    ck_assert(resp_read_reply(bytes, size, &at));
    ck_assert_uint_eq(at, size - 7);
    ck_assert(resp_read_reply(bytes, size, &at));
    ck_assert_uint_eq(at, size - 4);
    ck_assert(resp_read_reply(bytes, size, &at));
    ck_assert_uint_eq(at, size);
    ck_assert(!resp_read_reply(bytes, size, &at) && at == size);
    at = 0;
    ck_assert(!resp_read_reply((const uint8_t *)"x\r\n", 3, &at) && at == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resp");
    TCase *tc = tcase_create("requests");
    tcase_add_loop_test(tc, every_split_says_the_same, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tc, line_limits);
    tcase_add_test(tc, announced_counts_cost_nothing);
    tcase_add_test(tc, huge_multibulk_in_small_pieces);
    tcase_add_test(tc, random_requests_round_trip);
    suite_add_tcase(suite, tc);
    tc = tcase_create("replies");
    tcase_add_loop_test(tc, reply_every_split, 0, sizeof replies / sizeof *replies);
    tcase_add_test(tc, replies_in_a_row);
    tcase_add_test(tc, reply_nests_deep);
    tcase_add_loop_test(tc, reply_garbage, 0, 16);
    tcase_add_test(tc, composing);
    tcase_add_test(tc, arguments);
    tcase_add_test(tc, reading);
    tcase_add_test(tc, reading_on);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
