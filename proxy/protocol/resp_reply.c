/* Framing replies: where does each end.
 *
 *   TYPE ──+ - : # , _ (──▶ LINE ──────────CRLF──────────▶ one element less
 *    │                                                          │
 *    ├──$ = !──▶ NUMBER ──▶ BULK (len + 2 bytes are passed) ───▶┤ left == 0: the reply is done
 *    │              └─ $-1 ────────────────────────────────────▶┤
 *    └──* ~ > % |──▶ NUMBER ──▶ one less, n (2n) elements more ▶┘ else TYPE of the next element
 *
 * An attribute ('|') is no element: it adds its 2n and takes nothing off. Streamed types ("$?") are
 * part of RESP3 but Redis 7 never sends them. A line may hold a CR that no LF follows. */
#include "proxy/protocol/resp.h"

#include <string.h>

enum reply_state {
    REPLY_TYPE = 0, /* waits for the type byte of a reply or element */
    REPLY_LINE,     /* inside a line whose content does not matter */
    REPLY_LINE_CR,  /* the same, and the last byte was CR */
    REPLY_NUMBER,   /* inside the length or count of a header */
    REPLY_NUMBER_LF,
    REPLY_BULK, /* bulk_left bytes to pass, the last two being CRLF */
};

/* More elements or bytes than this are no reply. */
#define REPLY_NUMBER_MAX (1ull << 48)
#define REPLY_LEFT_MAX   (1ull << 60)

static int reply_type(struct resp_reply_framer *f, uint8_t type)
{
    bool begins = f->left == 0;

    if (begins) {
        f->left = 1;
    }
    switch (type) {
    case '+':
    case '-':
    case ':':
    case '#':
    case ',':
    case '_':
    case '(':
        f->state = REPLY_LINE;
        break;
    case '$':
    case '=':
    case '!':
    case '*':
    case '~':
    case '>':
    case '%':
    case '|':
        f->state = REPLY_NUMBER;
        f->header = type;
        f->number = 0;
        f->digits = 0;
        f->negative = false;
        break;
    default:
        return ERR_PROTOCOL;
    }
    if (begins || (f->attribute && f->left == 1)) {
        f->first = type;
        f->attribute = type == '|';
    }
    return ERR_OK;
}

static int reply_digit(struct resp_reply_framer *f, uint8_t c)
{
    if (c == '-' && f->digits == 0 && !f->negative) {
        f->negative = true;
        return ERR_OK;
    }
    if (c == '\r' && f->digits > 0) {
        f->state = REPLY_NUMBER_LF;
        return ERR_OK;
    }
    if (c < '0' || c > '9' || f->number > REPLY_NUMBER_MAX / 10 || f->digits == UINT8_MAX) {
        return ERR_PROTOCOL;
    }
    f->number = f->number * 10 + (unsigned)(c - '0');
    f->digits++;
    return ERR_OK;
}

/* The header line is whole. */
static int reply_header(struct resp_reply_framer *f)
{
    bool bulk = f->header == '$' || f->header == '=' || f->header == '!';

    f->state = REPLY_TYPE;
    if (f->negative) {
        f->left--;
        return f->number == 1 && (f->header == '$' || f->header == '*') ? ERR_OK : ERR_PROTOCOL;
    }
    if (bulk) {
        f->state = REPLY_BULK;
        f->bulk_left = f->number + 2;
        return ERR_OK;
    }
    f->left += f->header == '%' || f->header == '|' ? 2 * f->number : f->number;
    f->left -= f->header == '|' ? 0 : 1;
    return f->left <= REPLY_LEFT_MAX ? ERR_OK : ERR_PROTOCOL;
}

/* Passes the rest of a line. Returns how many bytes of it there were. */
static size_t reply_line(struct resp_reply_framer *f, const uint8_t *p, size_t size)
{
    size_t taken = 0;

    if (f->state == REPLY_LINE_CR && p[0] == '\n') {
        f->state = REPLY_TYPE;
        f->left--;
        return 1;
    }
    while (taken < size) {
        const uint8_t *end = memchr(p + taken, '\n', size - taken);
        if (end == NULL) {
            break;
        }
        taken = (size_t)(end - p) + 1;
        if (taken > 1 && end[-1] == '\r') {
            f->state = REPLY_TYPE;
            f->left--;
            return taken;
        }
    }
    f->state = p[size - 1] == '\r' ? REPLY_LINE_CR : REPLY_LINE;
    return size;
}

/* Passes bytes of a bulk. Returns how many, or ERR_PROTOCOL: it does not end in CRLF. */
static long reply_bulk(struct resp_reply_framer *f, const uint8_t *p, size_t size)
{
    uint64_t left = f->bulk_left;
    size_t taken = left < size ? (size_t)left : size;

    if (left >= 2 && left - 2 < taken && p[left - 2] != '\r') {
        return ERR_PROTOCOL;
    }
    if (left - 1 < taken && p[left - 1] != '\n') {
        return ERR_PROTOCOL;
    }
    f->bulk_left -= taken;
    if (f->bulk_left == 0) {
        f->state = REPLY_TYPE;
        f->left--;
    }
    return (long)taken;
}

long resp_reply_take(struct resp_reply_framer *f, const uint8_t *bytes, size_t size, bool *done)
{
    size_t at = 0;
    long passed;

    *done = false;
    while (at < size) {
        int err = ERR_OK;
        switch ((enum reply_state)f->state) {
        case REPLY_TYPE:
            err = reply_type(f, bytes[at++]);
            break;
        case REPLY_LINE:
        case REPLY_LINE_CR:
            at += reply_line(f, bytes + at, size - at);
            break;
        case REPLY_NUMBER:
            err = reply_digit(f, bytes[at++]);
            break;
        case REPLY_NUMBER_LF:
            err = bytes[at++] == '\n' ? reply_header(f) : ERR_PROTOCOL;
            break;
        case REPLY_BULK:
            passed = reply_bulk(f, bytes + at, size - at);
            err = passed < 0 ? (int)passed : ERR_OK;
            at += passed < 0 ? 0 : (size_t)passed;
            break;
        }
        if (err != ERR_OK) {
            return err;
        }
        if (f->left == 0) {
            *done = true;
            break;
        }
    }
    return (long)at;
}

/* ---- what is whole ---- */

bool resp_read_number(const uint8_t *bytes, size_t size, size_t *at, char type, size_t *number)
{
    size_t i = *at + 1, value = 0;

    if (*at >= size || bytes[*at] != (uint8_t)type) {
        return false;
    }
    for (; i < size && bytes[i] >= '0' && bytes[i] <= '9'; i++) {
        size_t digit = (size_t)(bytes[i] - '0');
        if (value > (SIZE_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    if (i == *at + 1 || size - i < 2 || bytes[i] != '\r' || bytes[i + 1] != '\n') {
        return false;
    }
    *number = value;
    *at = i + 2;
    return true;
}

bool resp_read_bulk(const uint8_t *bytes, size_t size, size_t *at, struct resp_arg *bulk)
{
    size_t begin = *at, len;

    if (!resp_read_number(bytes, size, &begin, '$', &len) || size - begin < 2 ||
        len > size - begin - 2) {
        return false;
    }
    *bulk = (struct resp_arg){bytes + begin, len};
    *at = begin + len + 2;
    return true;
}

bool resp_read_reply(const uint8_t *bytes, size_t size, size_t *at)
{
    struct resp_reply_framer framer = {0};
    bool done = false;
    long taken = *at < size ? resp_reply_take(&framer, bytes + *at, size - *at, &done) : 0;

    if (taken <= 0 || !done) {
        return false;
    }
    *at += (size_t)taken;
    return true;
}
