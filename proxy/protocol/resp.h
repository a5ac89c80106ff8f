/* RESP framing: client requests (RESP2/3 arrays and inline) and engine replies (RESP2 and RESP3).
 * Pure: bytes in, frames out. The rules and error texts are those of Redis 7.0 networking.c
 * (processInlineBuffer, processMultibulkBuffer). */
#ifndef PROXY_PROTOCOL_RESP_H
#define PROXY_PROTOCOL_RESP_H

#include "common/buf.h"

#include <limits.h>
#include <stdbool.h>

/* One argument of a request. It stands in the bytes that were framed, or, of an inline request with
 * quotes, in the framer's own memory. */
struct resp_arg {
    const uint8_t *bytes;
    size_t len;
};

struct resp_limits {
    size_t inline_max_bytes; /* 64 KiB in Redis */
    size_t bulk_max_bytes;   /* proto-max-bulk-len, 512 MiB */
    size_t multibulk_max;    /* INT_MAX in Redis 7.0 */
    bool authenticated; /* false: at most 10 arguments of 16384 bytes ("unauthenticated …") */
};

/* What a stock Redis 7.0 takes. */
#define RESP_LIMITS_REDIS                                                                          \
    {                                                                                              \
        .inline_max_bytes = 64 * 1024, .bulk_max_bytes = 512u << 20, .multibulk_max = INT_MAX,     \
        .authenticated = true                                                                      \
    }

/* The state of framing one connection's requests; survives between reads, so that a request that
 * arrives in a million pieces is looked at once. */
struct resp_framer;

struct resp_framer *resp_framer_create(void);
void resp_framer_destroy(struct resp_framer *f);

struct resp_request {
    const struct resp_arg *argv; /* valid until the framer is used again or the bytes move */
    size_t argc;                 /* 0: an empty line or *0 / *-1, to be skipped silently */
    size_t len_bytes;            /* bytes of input that the request took */
};

/* Frames the next request at the head of bytes. `bytes` must begin at the same request as in the
 * last call that returned ERR_MORE (more bytes behind it, address may differ).
 * ERR_OK: *out is set; the caller consumes out->len_bytes when done with argv.
 * ERR_MORE: incomplete; *wanted_bytes is how many bytes in all are known to be needed (0: unknown).
 * ERR_PROTOCOL: *error_text is Redis' text ("Protocol error: …", no "-ERR ", no CRLF); send it and
 * close. */
int resp_request_next(struct resp_framer *f, const struct resp_limits *limits, const uint8_t *bytes,
                      size_t size, struct resp_request *out, size_t *wanted_bytes,
                      char error_text[128]) MUST_CHECK;

/* Memory held by the framer, for accounting; resp_framer_trim gives back what a large request took
 * (and makes the argv last handed out invalid). */
size_t resp_framer_bytes(const struct resp_framer *f);
void resp_framer_trim(struct resp_framer *f);

/* Finds where replies end, in whatever pieces they come; holds no bytes. Zero-initialised is ready,
 * and so is one whose reply was done. Replies may nest to any depth (a Lua table can, thousands of
 * levels): all that must be known is how many elements are still to come, a header of n elements
 * adds n. */
struct resp_reply_framer {
    uint64_t left;      /* replies and elements still to come; 0: between replies */
    uint64_t bulk_left; /* bytes of a bulk (CRLF included) still to come */
    uint64_t number;    /* of the unfinished header line */
    uint8_t digits;     /* read of number */
    bool negative;
    uint8_t state;  /* enum reply_state in resp_reply.c */
    uint8_t header; /* type byte of the unfinished header line */
    bool attribute; /* a RESP3 attribute is being read; the reply proper follows */
    uint8_t first;  /* type byte of the reply, of its attribute only until the reply proper is seen;
                       stays until the next reply begins */
};

/* Takes bytes of the reply that is being framed. Returns how many were taken (> 0 if size > 0) and
 * sets *done when the reply ends there; less than size is taken only when done. Returns
 * ERR_PROTOCOL for bytes that are no reply. A RESP3 push ('>') is framed like a reply:
 * first == '>' tells. */
long resp_reply_take(struct resp_reply_framer *f, const uint8_t *bytes, size_t size,
                     bool *done) MUST_CHECK;

/* Reading a reply that is whole, from *at on, which is moved behind what was read: a line of that
 * type and a number (":7", "*3"; of a bulk, its length); a bulk string, which stays where it
 * stands; any reply with all its elements. False: it is something else (a null, a negative number),
 * or not whole, and *at stays. */
bool resp_read_number(const uint8_t *bytes, size_t size, size_t *at, char type, size_t *number);
bool resp_read_bulk(const uint8_t *bytes, size_t size, size_t *at, struct resp_arg *bulk);
bool resp_read_reply(const uint8_t *bytes, size_t size, size_t *at);

/* Composing. */
void resp_put_array(struct buf *b, size_t count);
void resp_put_bulk(struct buf *b, const void *bytes, size_t size);
void resp_put_request(struct buf *b, const struct resp_arg *argv, size_t argc);
void resp_put_integer(struct buf *b, long long value);
void resp_put_simple(struct buf *b, const char *text);
/* "-text\r\n"; text begins with its code ("ERR …"); CR and LF in it become spaces. */
void resp_put_error(struct buf *b, const char *text);
void resp_put_null(struct buf *b, int resp);

/* Whether the argument is that word, in any case (word is lower case). */
bool resp_arg_is(const struct resp_arg *arg, const char *word);
/* A canonical signed 64-bit number as Redis' string2ll takes it. */
bool resp_arg_integer(const struct resp_arg *arg, long long *value);
/* Such a number that is a place in a log: it is not negative. */
bool resp_arg_offset(const struct resp_arg *arg, uint64_t *offset);

#endif
