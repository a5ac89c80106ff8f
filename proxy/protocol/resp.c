/* Framing requests: how a request is looked at once, in whatever pieces it arrives.
 *
 *     bytes        f->pos        f->pos + f->scanned
 *      |-- understood --|-- no line end in it --|-- not looked at --
 *
 * Everything before pos is understood: the counts are in args_left and bulk_len, the arguments in
 * argv. Of the line that begins at pos, the first scanned bytes are known to hold no end. The bytes
 * may move between two calls, so the first `held` arguments are kept as offsets; pointers are made
 * of them when the request is whole. Invariants: args_left == 0 before the header of a multibulk is
 * understood; bulk_len == -1 unless the header of the next argument is understood; argv has room
 * for what has arrived, never for what was only announced.
 *
 * What is odd here is odd in Redis (networking.c, sds.c): the end of a line is looked for with
 * strchr, so behind a NUL byte there is none, and the connection waits until the line is too big;
 * the byte behind the CR of a header and the two behind a bulk may be anything; an argument's '$'
 * is judged only when its whole line is there. One thing depends on the sizes of reads in Redis,
 * and here does not: a line of more than inline_max_bytes is always too big. */
#include "proxy/protocol/resp.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARGV_CAP_MIN = 16,
    UNAUTHENTICATED_ARGS_MAX = 10,
    UNAUTHENTICATED_BULK_MAX = 16384,
    INTEGER_DIGITS_MAX = 20, /* of a long long, sign included */
};

struct resp_framer {
    struct resp_arg *argv;
    size_t cap;
    size_t argc;
    size_t held; /* of argv, those whose `bytes` is an offset into the request */
    size_t pos;
    size_t scanned;
    bool endless; /* the line at pos has a NUL byte in it */
    size_t args_left;
    long long bulk_len;
    struct buf unquoted; /* bytes of the arguments of an inline request with quotes */
};

struct resp_framer *resp_framer_create(void)
{
    struct resp_framer *f = mem_calloc(1, sizeof *f);
    f->bulk_len = -1;
    return f;
}

void resp_framer_destroy(struct resp_framer *f)
{
    if (f != NULL) {
        free(f->argv);
        buf_release(&f->unquoted);
        free(f);
    }
}

size_t resp_framer_bytes(const struct resp_framer *f)
{
    return sizeof *f + f->cap * sizeof *f->argv + f->unquoted.cap;
}

void resp_framer_trim(struct resp_framer *f)
{
    if (f->argc == 0 && f->cap > ARGV_CAP_MIN) {
        free(f->argv);
        f->argv = NULL;
        f->cap = 0;
    }
    if (f->unquoted.cap > 0) {
        buf_release(&f->unquoted);
    }
}

/* The next request begins at the head of the bytes. argv and unquoted keep what was handed out. */
static void framer_reset(struct resp_framer *f)
{
    f->argc = 0;
    f->held = 0;
    f->pos = 0;
    f->scanned = 0;
    f->endless = false;
    f->args_left = 0;
    f->bulk_len = -1;
}

static int protocol_error(struct resp_framer *f, char error_text[128], const char *what)
{
    framer_reset(f);
    (void)snprintf(error_text, 128, "Protocol error: %s", what);
    return ERR_PROTOCOL;
}

static inline struct resp_arg *add_arg(struct resp_framer *f)
{
    if (f->argc == f->cap) {
        f->cap = f->cap > 0 ? f->cap * 2 : ARGV_CAP_MIN;
        f->argv = mem_realloc(f->argv, f->cap * sizeof *f->argv);
    }
    return &f->argv[f->argc++];
}

/* Finds the byte that ends the line at pos. NULL: it has not come (or never will: endless). Looks
 * no further than a line may be long. */
static const uint8_t *line_end(struct resp_framer *f, const uint8_t *bytes, size_t size, int end,
                               size_t max_bytes)
{
    const uint8_t *from = bytes + f->pos + f->scanned;
    size_t len = size - f->pos;

    if (f->endless) {
        return NULL;
    }
    len = len > max_bytes ? max_bytes + 1 : len;
    len = len > f->scanned ? len - f->scanned : 0;
    const uint8_t *found = memchr(from, end, len);
    size_t seen = found != NULL ? (size_t)(found - from) : len;
    if (memchr(from, '\0', seen) != NULL) {
        f->endless = true;
        return NULL;
    }
    f->scanned += seen;
    return found;
}

/* Redis' string2ll: no plus, no leading zero, no "-0", no blanks, nothing out of range. */
static bool integer_parse(const uint8_t *p, size_t len, long long *value)
{
    uint64_t n = 0;
    bool negative = len > 0 && p[0] == '-';

    if (len == 0 || len > INTEGER_DIGITS_MAX) {
        return false;
    }
    if (len == 1 && p[0] == '0') {
        *value = 0;
        return true;
    }
    size_t i = negative ? 1 : 0;
    if (i == len || p[i] < '1') {
        return false;
    }
    for (; i < len; i++) {
        unsigned digit = (unsigned)p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, digit, &n)) {
            return false;
        }
    }
    if (n > (uint64_t)LLONG_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *value = negative ? (long long)(0 - n) : (long long)n;
    return true;
}

/* The common header line, "$123" CR and any byte, whole and of at most nine digits, without a call.
 * Returns its length, or 0 for every other line, which is judged with care then. */
static inline size_t short_header(const uint8_t *p, size_t size, long long *value)
{
    if (size < 4) {
        return 0;
    }
    unsigned digit = (unsigned)p[1] - '0';
    if (digit > 9) {
        return 0;
    }
    if (p[2] == '\r') {
        *value = digit;
        return 4;
    }
    if (digit == 0) {
        return 0;
    }
    size_t max = size - 1 < 10 ? size - 1 : 10;
    long long n = digit;
    size_t i = 2;
    for (; i < max; i++) {
        digit = (unsigned)p[i] - '0';
        if (digit > 9) {
            break;
        }
        n = n * 10 + digit;
    }
    if (i + 1 >= size || p[i] != '\r') {
        return 0;
    }
    *value = n;
    return i + 2;
}

/* Reads the header line at pos: ERR_OK and *len_bytes of the line; *ok tells whether it held a
 * number. ERR_TOO_BIG: no line is that long. */
static int header_line(struct resp_framer *f, const struct resp_limits *limits,
                       const uint8_t *bytes, size_t size, long long *value, bool *ok,
                       size_t *len_bytes)
{
    const uint8_t *line = bytes + f->pos;
    const uint8_t *end = line_end(f, bytes, size, '\r', limits->inline_max_bytes);

    if (end == NULL) {
        return size - f->pos > limits->inline_max_bytes ? ERR_TOO_BIG : ERR_MORE;
    }
    if (end + 1 == bytes + size) {
        return ERR_MORE;
    }
    *len_bytes = (size_t)(end - line) + 2;
    *ok = end > line && integer_parse(line + 1, (size_t)(end - line) - 1, value);
    return ERR_OK;
}

static void header_done(struct resp_framer *f, size_t len_bytes)
{
    f->pos += len_bytes;
    f->scanned = 0;
    f->endless = false;
}

/* "*3\r\n" at the head of a request. */
static int multibulk_header(struct resp_framer *f, const struct resp_limits *limits,
                            const uint8_t *bytes, size_t size, char error_text[128])
{
    long long count;
    bool ok = true;
    size_t len_bytes = short_header(bytes, size, &count);

    if (len_bytes == 0) {
        int err = header_line(f, limits, bytes, size, &count, &ok, &len_bytes);
        if (err == ERR_MORE) {
            return err;
        }
        if (err != ERR_OK) {
            return protocol_error(f, error_text, "too big mbulk count string");
        }
    }
    if (!ok || (count > 0 && (unsigned long long)count > limits->multibulk_max)) {
        return protocol_error(f, error_text, "invalid multibulk length");
    }
    if (count > UNAUTHENTICATED_ARGS_MAX && !limits->authenticated) {
        return protocol_error(f, error_text, "unauthenticated multibulk length");
    }
    header_done(f, len_bytes);
    f->args_left = count > 0 ? (size_t)count : 0;
    return ERR_OK;
}

/* "$3\r\n" before each argument. Redis judges its first byte once the line is whole. */
static int bulk_header(struct resp_framer *f, const struct resp_limits *limits,
                       const uint8_t *bytes, size_t size, char error_text[128])
{
    const uint8_t *line = bytes + f->pos;
    long long len;
    bool ok = true;
    size_t len_bytes = f->scanned == 0 ? short_header(line, size - f->pos, &len) : 0;

    if (len_bytes == 0 || line[0] == '\0') {
        int err = header_line(f, limits, bytes, size, &len, &ok, &len_bytes);
        if (err == ERR_MORE) {
            return err;
        }
        if (err != ERR_OK) {
            return protocol_error(f, error_text, "too big bulk count string");
        }
    }
    if (line[0] != '$') {
        char what[] = "expected '$', got '?'";
        what[sizeof what - 3] = line[0] == '\r' || line[0] == '\n' ? ' ' : (char)line[0];
        return protocol_error(f, error_text, what);
    }
    if (!ok || len < 0 || (unsigned long long)len > limits->bulk_max_bytes) {
        return protocol_error(f, error_text, "invalid bulk length");
    }
    if (len > UNAUTHENTICATED_BULK_MAX && !limits->authenticated) {
        return protocol_error(f, error_text, "unauthenticated bulk length");
    }
    header_done(f, len_bytes);
    f->bulk_len = len;
    return ERR_OK;
}

/* The arguments of this call become offsets: the bytes may stand elsewhere when we are back. */
static void hold_args(struct resp_framer *f, const uint8_t *bytes)
{
    for (; f->held < f->argc; f->held++) {
        struct resp_arg *arg = &f->argv[f->held];
        arg->bytes = (const uint8_t *)(uintptr_t)(arg->bytes - bytes);
    }
}

static void request_done(struct resp_framer *f, const uint8_t *bytes, size_t len_bytes,
                         struct resp_request *out)
{
    for (size_t i = 0; i < f->held; i++) {
        f->argv[i].bytes = bytes + (uintptr_t)f->argv[i].bytes;
    }
    out->argv = f->argv;
    out->argc = f->argc;
    out->len_bytes = len_bytes;
    framer_reset(f);
}

static int multibulk_next(struct resp_framer *f, const struct resp_limits *limits,
                          const uint8_t *bytes, size_t size, struct resp_request *out,
                          size_t *wanted_bytes, char error_text[128])
{
    int err;

    if (f->args_left == 0) {
        err = multibulk_header(f, limits, bytes, size, error_text);
        if (err != ERR_OK) {
            return err;
        }
    }
    while (f->args_left > 0) {
        if (f->bulk_len < 0) {
            err = bulk_header(f, limits, bytes, size, error_text);
            if (err == ERR_MORE) {
                hold_args(f, bytes);
            }
            if (err != ERR_OK) {
                return err;
            }
        }
        uint64_t len = (uint64_t)f->bulk_len;
        if (size - f->pos < len + 2) {
            *wanted_bytes = f->pos + len + 2;
            hold_args(f, bytes);
            return ERR_MORE;
        }
        struct resp_arg *arg = add_arg(f);
        arg->bytes = bytes + f->pos;
        arg->len = len;
        f->pos += len + 2;
        f->bulk_len = -1;
        f->args_left--;
    }
    request_done(f, bytes, f->pos, out);
    return ERR_OK;
}

/* isspace() of the C locale. */
static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One "quoted" part; p is behind its first quote, the byte at end is not read. Returns the place
 * behind its last quote, or NULL: unbalanced. Rules of sdssplitargs. */
static const uint8_t *unquote(const uint8_t *p, const uint8_t *end, uint8_t quote, struct buf *out)
{
    for (; p < end && *p != quote; p++) {
        uint8_t c = *p;
        if (c == '\\' && quote == '\'' && end - p > 1 && p[1] == '\'') {
            c = *++p;
        } else if (c == '\\' && quote == '"' && end - p > 3 && p[1] == 'x' &&
                   hex_value(p[2]) >= 0 && hex_value(p[3]) >= 0) {
            c = (uint8_t)(hex_value(p[2]) << 4 | hex_value(p[3]));
            p += 3;
        } else if (c == '\\' && quote == '"' && end - p > 1) {
            static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
            c = *++p;
            const char *escape = c != '\0' ? strchr(from, c) : NULL;
            c = escape != NULL ? (uint8_t)to[escape - from] : c;
        }
        buf_append(out, &c, 1);
    }
    if (p == end || (end - p > 1 && !is_space(p[1]))) {
        return NULL;
    }
    return p + 1;
}

/* One argument from p on, appended to out without its quotes. Returns the place behind it, or NULL:
 * unbalanced. It ends behind a quoted part: nothing but a blank may follow that. */
static const uint8_t *unquote_arg(const uint8_t *p, const uint8_t *end, struct buf *out)
{
    for (; p < end; p++) {
        if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
            return p;
        }
        if (*p == '"' || *p == '\'') {
            return unquote(p + 1, end, *p, out);
        }
        buf_append(out, p, 1);
    }
    return p;
}

/* Splits an inline request. Without quotes the arguments stand where they are; with quotes all of
 * them stand in `unquoted`. False: unbalanced quotes. */
static bool split_inline(struct resp_framer *f, const uint8_t *line, size_t len)
{
    const uint8_t *p = line, *end = line + len;
    bool quotes = memchr(line, '"', len) != NULL || memchr(line, '\'', len) != NULL;

    buf_clear(&f->unquoted);
    if (quotes) {
        buf_reserve(&f->unquoted, len); /* unquoting never lengthens: it stays in place */
    }
    for (;;) {
        while (p < end && is_space(*p)) {
            p++;
        }
        if (p == end) {
            return true;
        }
        struct resp_arg *arg = add_arg(f);
        if (quotes) {
            size_t before = f->unquoted.len;
            arg->bytes = buf_head(&f->unquoted) + before;
            p = unquote_arg(p, end, &f->unquoted);
            if (p == NULL) {
                return false;
            }
            arg->len = f->unquoted.len - before;
        } else {
            arg->bytes = p;
            while (p < end && *p != ' ' && *p != '\n' && *p != '\r' && *p != '\t') {
                p++;
            }
            arg->len = (size_t)(p - arg->bytes);
        }
    }
}

static int inline_next(struct resp_framer *f, const struct resp_limits *limits,
                       const uint8_t *bytes, size_t size, struct resp_request *out,
                       char error_text[128])
{
    const uint8_t *end = line_end(f, bytes, size, '\n', limits->inline_max_bytes);

    if (end == NULL) {
        return size > limits->inline_max_bytes
                   ? protocol_error(f, error_text, "too big inline request")
                   : ERR_MORE;
    }
    size_t len = (size_t)(end - bytes);
    if (!split_inline(f, bytes, len > 0 && end[-1] == '\r' ? len - 1 : len)) {
        return protocol_error(f, error_text, "unbalanced quotes in request");
    }
    request_done(f, bytes, len + 1, out);
    return ERR_OK;
}

int resp_request_next(struct resp_framer *f, const struct resp_limits *limits, const uint8_t *bytes,
                      size_t size, struct resp_request *out, size_t *wanted_bytes,
                      char error_text[128])
{
    MUST(size >= f->pos + f->scanned);
    *wanted_bytes = 0;
    if (size == 0) {
        return ERR_MORE;
    }
    if (bytes[0] == '*') {
        return multibulk_next(f, limits, bytes, size, out, wanted_bytes, error_text);
    }
    return inline_next(f, limits, bytes, size, out, error_text);
}

bool resp_arg_is(const struct resp_arg *arg, const char *word)
{
    size_t i = 0;

    for (; i < arg->len && word[i] != '\0'; i++) {
        uint8_t c = arg->bytes[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (uint8_t)word[i]) {
            return false;
        }
    }
    return i == arg->len && word[i] == '\0';
}

bool resp_arg_integer(const struct resp_arg *arg, long long *value)
{
    return integer_parse(arg->bytes, arg->len, value);
}

bool resp_arg_offset(const struct resp_arg *arg, uint64_t *offset)
{
    long long value;

    if (!resp_arg_integer(arg, &value) || value < 0) {
        return false;
    }
    *offset = (uint64_t)value;
    return true;
}
