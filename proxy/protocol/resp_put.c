/* Composing requests and replies into a buffer. */
#include "proxy/protocol/resp.h"

#include <string.h>

enum { HEADER_BYTES_MAX = 24 }; /* type, 20 digits and sign, CRLF */

/* The decimal digits of n, written so that they end before `end`. Returns where they begin. */
static uint8_t *digits_before(uint8_t *end, uint64_t n)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";

    while (n >= 100) {
        end -= 2;
        memcpy(end, &pairs[(n % 100) * 2], 2);
        n /= 100;
    }
    if (n >= 10) {
        end -= 2;
        memcpy(end, &pairs[n * 2], 2);
    } else {
        *--end = (uint8_t)('0' + n);
    }
    return end;
}

/* Writes type, number and CRLF to p, which has room for HEADER_BYTES_MAX. Returns the length. */
static size_t put_header(uint8_t *p, char type, uint64_t n, bool negative)
{
    uint8_t *out = p;

    *out++ = (uint8_t)type;
    if (n < 10 && !negative) {
        *out++ = (uint8_t)('0' + n);
    } else {
        uint8_t digits[HEADER_BYTES_MAX];
        uint8_t *end = digits + sizeof digits;
        uint8_t *first = digits_before(end, n);
        if (negative) {
            *--first = '-';
        }
        memcpy(out, first, (size_t)(end - first));
        out += end - first;
    }
    *out++ = '\r';
    *out++ = '\n';
    return (size_t)(out - p);
}

void resp_put_array(struct buf *b, size_t count)
{
    buf_commit(b, put_header(buf_reserve(b, HEADER_BYTES_MAX), '*', count, false));
}

void resp_put_bulk(struct buf *b, const void *bytes, size_t size)
{
    uint8_t *p = buf_reserve(b, HEADER_BYTES_MAX + size + 2);
    size_t len = put_header(p, '$', size, false);

    if (size > 0) {
        memcpy(p + len, bytes, size);
    }
    p[len + size] = '\r';
    p[len + size + 1] = '\n';
    buf_commit(b, len + size + 2);
}

void resp_put_request(struct buf *b, const struct resp_arg *argv, size_t argc)
{
    resp_put_array(b, argc);
    for (size_t i = 0; i < argc; i++) {
        resp_put_bulk(b, argv[i].bytes, argv[i].len);
    }
}

void resp_put_integer(struct buf *b, long long value)
{
    uint64_t n = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    buf_commit(b, put_header(buf_reserve(b, HEADER_BYTES_MAX), ':', n, value < 0));
}

void resp_put_simple(struct buf *b, const char *text)
{
    size_t len = strlen(text);
    uint8_t *p = buf_reserve(b, len + 3);

    p[0] = '+';
    memcpy(p + 1, text, len);
    memcpy(p + 1 + len, "\r\n", 2);
    buf_commit(b, len + 3);
}

void resp_put_error(struct buf *b, const char *text)
{
    size_t len = strlen(text);
    uint8_t *p = buf_reserve(b, len + 3);

    p[0] = '-';
    for (size_t i = 0; i < len; i++) {
        p[1 + i] = text[i] == '\r' || text[i] == '\n' ? ' ' : (uint8_t)text[i];
    }
    memcpy(p + 1 + len, "\r\n", 2);
    buf_commit(b, len + 3);
}

void resp_put_null(struct buf *b, int resp)
{
    buf_append_str(b, resp >= 3 ? "_\r\n" : "$-1\r\n");
}
