#include "proxy/ctl/rdb_head.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RDB_OPCODE_AUX = 0xfa, RDB_MAGIC_BYTES = 9, RDB_TEXT_MAX = 64 };

/* A string of an auxiliary field, as text; longer ones are cut. */
struct rdb_text {
    char text[RDB_TEXT_MAX + 1];
};

static uint64_t rdb_number(const uint8_t *at, size_t count, bool big)
{
    uint64_t n = 0;

    for (size_t i = 0; i < count; i++) {
        n = n << 8 | at[big ? i : count - 1 - i];
    }
    return n;
}

/* An integer in place of a string, little endian. */
static int rdb_integer(const uint8_t **at, const uint8_t *end, unsigned encoding,
                       struct rdb_text *out)
{
    size_t count = (size_t)1 << encoding;

    if (encoding > 2) {
        return ERR_INVALID; /* compressed: none of these is */
    }
    if ((size_t)(end - *at) < count) {
        return ERR_MORE;
    }
    uint64_t n = rdb_number(*at, count, false);
    long long value = count == 1 ? (int8_t)n : count == 2 ? (int16_t)n : (int32_t)n;
    *at += count;
    (void)snprintf(out->text, sizeof out->text, "%lld", value);
    return ERR_OK;
}

static int rdb_string(const uint8_t **at, const uint8_t *end, struct rdb_text *out)
{
    uint64_t len;
    size_t more;

    out->text[0] = '\0';
    if (*at == end) {
        return ERR_MORE;
    }
    uint8_t first = *(*at)++;
    if (first >> 6 == 3) {
        return rdb_integer(at, end, first & 63, out);
    }
    more = first >> 6 == 0 ? 0 : first >> 6 == 1 ? 1 : first == 0x80 ? 4 : 8;
    if ((size_t)(end - *at) < more) {
        return ERR_MORE;
    }
    len = more == 0   ? first
          : more == 1 ? (uint64_t)(first & 63) << 8 | **at
                      : rdb_number(*at, more, true);
    *at += more;
    if ((uint64_t)(end - *at) < len) {
        return ERR_MORE;
    }
    size_t kept = len < RDB_TEXT_MAX ? (size_t)len : RDB_TEXT_MAX;
    memcpy(out->text, *at, kept);
    out->text[kept] = '\0';
    *at += len;
    return ERR_OK;
}

static void rdb_field(struct rdb_head *head, const struct rdb_text *key,
                      const struct rdb_text *value)
{
    if (strcmp(key->text, "redis-ver") == 0) {
        (void)snprintf(head->redis_version, sizeof head->redis_version, "%.31s", value->text);
    } else if (strcmp(key->text, "repl-stream-db") == 0) {
        char *end;
        long db = strtol(value->text, &end, 10);
        head->stream_db = end != value->text && *end == '\0' && db >= 0 && db <= INT_MAX ? db : -1;
    }
}

int rdb_head_parse(const uint8_t *bytes, size_t size, struct rdb_head *out)
{
    const uint8_t *at = bytes + RDB_MAGIC_BYTES, *end = bytes + size;
    struct rdb_text key, value;

    *out = (struct rdb_head){.stream_db = -1};
    if (size < RDB_MAGIC_BYTES) {
        return size == 0 || memcmp(bytes, "REDIS", size < 5 ? size : 5) == 0 ? ERR_MORE
                                                                             : ERR_INVALID;
    }
    if (memcmp(bytes, "REDIS", 5) != 0) {
        return ERR_INVALID;
    }
    for (size_t i = 5; i < RDB_MAGIC_BYTES; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') {
            return ERR_INVALID;
        }
        out->version = out->version * 10 + (unsigned)(bytes[i] - '0');
    }
    for (;;) {
        if (at == end) {
            return ERR_MORE;
        }
        if (*at != RDB_OPCODE_AUX) {
            return ERR_OK;
        }
        at++;
        int err = rdb_string(&at, end, &key);
        if (err != ERR_OK || (err = rdb_string(&at, end, &value)) != ERR_OK) {
            return err;
        }
        rdb_field(out, &key, &value);
    }
}
