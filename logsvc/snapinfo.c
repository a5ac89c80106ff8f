#include "logsvc/snapinfo.h"

#include "common/le.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void snapinfo_put(const struct snapshot_info *info, uint8_t out[SNAPINFO_BYTES])
{
    memset(out, 0, SNAPINFO_BYTES);
    le_put64(out, info->offset);
    le_put64(out + 8, info->term.n);
    memcpy(out + 16, info->replid.hex, sizeof info->replid.hex);
    le_put64(out + 56, info->size_bytes);
    le_put32(out + 64, info->crc);
    le_put32(out + 68, info->chain_crc);
    le_put64(out + 72, info->wall_ms);
    le_put64(out + 80, info->keys);
    le_put64(out + 88, info->taken_ms);
    le_put64(out + 96, info->verified_ms);
    memcpy(out + 104, info->engine_version,
           strnlen(info->engine_version, SNAPINFO_ENGINE_BYTES - 1));
}

int snapinfo_get(const uint8_t bytes[SNAPINFO_BYTES], struct snapshot_info *info)
{
    const uint8_t *engine = bytes + 104;
    size_t len = strnlen((const char *)engine, SNAPINFO_ENGINE_BYTES);

    for (size_t i = len; i < SNAPINFO_ENGINE_BYTES; i++) {
        if (engine[i] != 0) {
            return ERR_CORRUPT;
        }
    }
    if (len == SNAPINFO_ENGINE_BYTES) {
        return ERR_CORRUPT;
    }
    *info = (struct snapshot_info){
        .offset = le_get64(bytes),
        .term = {le_get64(bytes + 8)},
        .size_bytes = le_get64(bytes + 56),
        .crc = le_get32(bytes + 64),
        .chain_crc = le_get32(bytes + 68),
        .wall_ms = le_get64(bytes + 72),
        .keys = le_get64(bytes + 80),
        .taken_ms = le_get64(bytes + 88),
        .verified_ms = le_get64(bytes + 96),
    };
    memcpy(info->replid.hex, bytes + 16, sizeof info->replid.hex);
    memcpy(info->engine_version, engine, len);
    return ERR_OK;
}

bool snapinfo_same(const struct snapshot_info *a, const struct snapshot_info *b)
{
    return a->offset == b->offset && a->size_bytes == b->size_bytes && a->crc == b->crc &&
           a->term.n == b->term.n && a->chain_crc == b->chain_crc &&
           memcmp(a->replid.hex, b->replid.hex, sizeof a->replid.hex) == 0;
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void json_text(struct buf *out, const char *text, size_t len)
{
    buf_append_str(out, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_append(out, &text[i], 1);
        }
    }
    buf_append_str(out, "\"");
}

void snapinfo_to_json(const struct snapshot_info *info, struct buf *out)
{
    size_t engine_len = strnlen(info->engine_version, SNAPINFO_ENGINE_BYTES - 1);

    buf_printf(out,
               "{\"offset\": %llu, \"term\": %llu, \"replid\": ", (unsigned long long)info->offset,
               (unsigned long long)info->term.n);
    json_text(out, info->replid.hex, sizeof info->replid.hex);
    buf_printf(out,
               ", \"bytes\": %llu, \"rdb_crc32c\": \"%08x\", \"chain_crc32c\": \"%08x\", "
               "\"wall_ms\": %llu, \"keys\": %llu, \"taken_ms\": %llu, \"verified_ms\": ",
               (unsigned long long)info->size_bytes, info->crc, info->chain_crc,
               (unsigned long long)info->wall_ms, (unsigned long long)info->keys,
               (unsigned long long)info->taken_ms);
    if (info->verified_ms == 0) {
        buf_append_str(out, "null");
    } else {
        buf_printf(out, "%llu", (unsigned long long)info->verified_ms);
    }
    buf_append_str(out, ", \"engine\": ");
    json_text(out, info->engine_version, engine_len);
    buf_append_str(out, "}");
}

/* The text as far as it was read. */
struct json_cursor {
    const char *at, *end;
    bool bad;
};

static void json_expect(struct json_cursor *c, const char *text)
{
    size_t len = strlen(text);

    if (c->bad || (size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0) {
        c->bad = true;
        return;
    }
    c->at += len;
}

static uint64_t json_number(struct json_cursor *c)
{
    uint64_t value = 0;
    const char *from = c->at;

    while (!c->bad && c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        uint64_t digit = (uint64_t)(*c->at - '0');
        c->bad = value > (UINT64_MAX - digit) / 10;
        value = value * 10 + digit;
        c->at++;
    }
    c->bad = c->bad || c->at == from || (*from == '0' && c->at - from > 1);
    return value;
}

/* The value of `digits` hexadecimal digits. */
static uint32_t json_hex(struct json_cursor *c, unsigned digits)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < digits; i++) {
        char d = !c->bad && c->at < c->end ? *c->at++ : 'x';
        bool decimal = d >= '0' && d <= '9', letter = d >= 'a' && d <= 'f';
        c->bad = c->bad || (!decimal && !letter);
        value = value << 4 | (uint32_t)(decimal ? d - '0' : d - 'a' + 10);
    }
    return value;
}

/* A text of at most max bytes; its length. */
static size_t json_get_text(struct json_cursor *c, char *out, size_t max)
{
    size_t len = 0;

    json_expect(c, "\"");
    while (!c->bad && c->at < c->end && *c->at != '"') {
        char byte = *c->at++;
        if (byte == '\\') {
            json_expect(c, "u");
            byte = (char)json_hex(c, 4);
        }
        c->bad = c->bad || len == max;
        if (!c->bad) {
            out[len++] = byte;
        }
    }
    json_expect(c, "\"");
    return len;
}

int snapinfo_from_json(const char *text, size_t size, struct snapshot_info *info)
{
    struct json_cursor c = {.at = text, .end = text + size};
    struct buf again = BUF_INIT;

    *info = (struct snapshot_info){0};
    json_expect(&c, "{\"offset\": ");
    info->offset = json_number(&c);
    json_expect(&c, ", \"term\": ");
    info->term.n = json_number(&c);
    json_expect(&c, ", \"replid\": ");
    c.bad =
        json_get_text(&c, info->replid.hex, sizeof info->replid.hex) != sizeof info->replid.hex ||
        c.bad;
    json_expect(&c, ", \"bytes\": ");
    info->size_bytes = json_number(&c);
    json_expect(&c, ", \"rdb_crc32c\": \"");
    info->crc = json_hex(&c, 8);
    json_expect(&c, "\", \"chain_crc32c\": \"");
    info->chain_crc = json_hex(&c, 8);
    json_expect(&c, "\", \"wall_ms\": ");
    info->wall_ms = json_number(&c);
    json_expect(&c, ", \"keys\": ");
    info->keys = json_number(&c);
    json_expect(&c, ", \"taken_ms\": ");
    info->taken_ms = json_number(&c);
    json_expect(&c, ", \"verified_ms\": ");
    if (!c.bad && c.at < c.end && *c.at == 'n') {
        json_expect(&c, "null");
    } else {
        info->verified_ms = json_number(&c);
    }
    json_expect(&c, ", \"engine\": ");
    (void)json_get_text(&c, info->engine_version, SNAPINFO_ENGINE_BYTES - 1);
    json_expect(&c, "}");
    if (c.bad || c.at != c.end) {
        return ERR_CORRUPT;
    }
    snapinfo_to_json(info, &again);
    bool same = again.len == size && memcmp(buf_head(&again), text, size) == 0;
    buf_release(&again);
    return same ? ERR_OK : ERR_CORRUPT;
}

/* --- lists ---------------------------------------------------------------------------------- */

enum { SNAPINFO_ITEM_BYTES = SNAPINFO_BYTES + 1 };

void snapinfo_list_begin(struct buf *out)
{
    buf_clear(out);
    buf_append(out, (const uint8_t[2]){0}, 2);
}

bool snapinfo_list_add(struct buf *out, const struct snapinfo_stored *stored)
{
    uint8_t item[SNAPINFO_ITEM_BYTES];
    unsigned count = le_get16(buf_head(out));

    if (count == SNAPINFO_LIST_MAX) {
        return false;
    }
    snapinfo_put(&stored->info, item);
    item[SNAPINFO_BYTES] = stored->counts;
    buf_append(out, item, sizeof item);
    le_put16(buf_head(out), (uint16_t)(count + 1));
    return true;
}

unsigned snapinfo_list_count(const uint8_t *bytes, size_t size)
{
    return size >= 2 ? le_get16(bytes) : 0;
}

int snapinfo_list_check(const uint8_t *bytes, size_t size)
{
    unsigned count = snapinfo_list_count(bytes, size);
    uint64_t above = UINT64_MAX;

    if (size < 2 || count > SNAPINFO_LIST_MAX || size != 2 + (size_t)count * SNAPINFO_ITEM_BYTES) {
        return ERR_CORRUPT;
    }
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *item = bytes + 2 + (size_t)i * SNAPINFO_ITEM_BYTES;
        struct snapshot_info info;
        if (snapinfo_get(item, &info) != ERR_OK || item[SNAPINFO_BYTES] > 1 ||
            (i > 0 && info.offset >= above)) {
            return ERR_CORRUPT;
        }
        above = info.offset;
    }
    return ERR_OK;
}

void snapinfo_list_get(const uint8_t *bytes, size_t size, unsigned i, struct snapinfo_stored *out)
{
    const uint8_t *item = bytes + 2 + (size_t)i * SNAPINFO_ITEM_BYTES;

    MUST(i < snapinfo_list_count(bytes, size) && item + SNAPINFO_ITEM_BYTES <= bytes + size);
    int err = snapinfo_get(item, &out->info);
    MUST(err == ERR_OK);
    out->counts = item[SNAPINFO_BYTES] != 0;
}
