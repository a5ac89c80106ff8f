#include "proxy/ctl/change_text.h"

#include "common/base64.h"
#include "proxy/ctl/moment.h"
#include "proxy/protocol/glob.h"

#include <inttypes.h>
#include <string.h>

/* The length of the UTF-8 character at bytes; 0: it is none (RFC 3629: neither overlong, nor a
 * surrogate, nor beyond U+10FFFF). */
static size_t text_utf8(const uint8_t *b, size_t size)
{
    size_t len = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;

    if (len == 0 || b[0] > 0xf4 || len > size) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool wrong = (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
                 (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f);
    return wrong ? 0 : len;
}

static bool text_is_utf8(const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t len = text_utf8(bytes + at, size - at);
        if (len == 0) {
            return false;
        }
        at += len;
    }
    return true;
}

/* A byte as it stands between quotes; JSON and people differ in what can't be printed. */
static void text_escape(uint8_t byte, bool json, struct buf *out)
{
    static const char plain[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const char *special = byte != '\0' ? strchr(plain, byte) : NULL;

    if (special != NULL) {
        buf_printf(out, "\\%c", letters[special - plain]);
    } else if (byte < 0x20 || byte == 0x7f) {
        buf_printf(out, json ? "\\u%04x" : "\\x%02x", byte);
    } else {
        buf_append(out, &byte, 1);
    }
}

static void text_quoted(const uint8_t *bytes, size_t size, bool json, struct buf *out)
{
    buf_append_str(out, "\"");
    for (size_t at = 0; at < size;) {
        size_t len = text_utf8(bytes + at, size - at);
        if (len > 1) {
            buf_append(out, bytes + at, len);
        } else if (len == 1) {
            text_escape(bytes[at], json, out);
        } else {
            buf_printf(out, "\\x%02x", bytes[at]);
        }
        at += len > 0 ? len : 1;
    }
    buf_append_str(out, "\"");
}

void change_text_json_value(const void *bytes, size_t size, struct buf *out)
{
    if (text_is_utf8(bytes, size)) {
        text_quoted(bytes, size, true, out);
    } else {
        buf_append_str(out, "{\"base64\":\"");
        base64_put(out, bytes, size);
        buf_append_str(out, "\"}");
    }
}

void change_text_json(const struct change *c, struct buf *out)
{
    char time[MOMENT_TEXT_BYTES];

    buf_printf(out, "{\"offset\":%" PRIu64 ",\"time\":\"%s\",\"db\":", c->offset,
               moment_print(c->wall_ms, time));
    buf_printf(out, c->db >= 0 ? "%ld" : "null", c->db);
    if (c->in_transaction) {
        buf_printf(out, ",\"transaction\":%" PRIu64 "%s", c->transaction,
                   c->more ? ",\"more\":true" : "");
    }
    buf_append_str(out, ",\"command\":");
    change_text_json_value(c->argv[0].bytes, c->argv[0].len, out);
    buf_append_str(out, ",\"args\":[");
    for (size_t i = 1; i < c->argc; i++) {
        if (i > 1) {
            buf_append_str(out, ",");
        }
        change_text_json_value(c->argv[i].bytes, c->argv[i].len, out);
    }
    buf_append_str(out, "]}\n");
}

void change_text_plain(const struct change *c, struct buf *out)
{
    char time[MOMENT_TEXT_BYTES];

    buf_printf(out, "%" PRIu64 " %s [", c->offset, moment_print(c->wall_ms, time));
    buf_printf(out, c->db >= 0 ? "%ld]" : "?]", c->db);
    for (size_t i = 0; i < c->argc; i++) {
        buf_append_str(out, " ");
        text_quoted(c->argv[i].bytes, c->argv[i].len, false, out);
    }
    buf_append_str(out, "\n");
}

void change_text_mark(uint64_t offset, uint64_t wall_ms, bool json, struct buf *out)
{
    char time[MOMENT_TEXT_BYTES];

    buf_printf(out, json ? "{\"offset\":%" PRIu64 ",\"time\":\"%s\"}\n" : "%" PRIu64 " %s\n",
               offset, moment_print(wall_ms, time));
}

bool change_text_matches(const struct change *c, const struct command_table *table,
                         const char *glob, struct buf *keys)
{
    const struct command *command = command_find(table, c->argv, c->argc, NULL);
    size_t glob_len = strlen(glob);
    bool writes = false;

    if (command == NULL) {
        return true;
    }
    buf_clear(keys);
    enum command_reach reach = command_reach(command, c->argv, c->argc, keys);
    if (reach != COMMAND_REACH_KEYS) {
        return reach == COMMAND_REACH_KEYSPACE;
    }
    const struct command_key *key = (const struct command_key *)(const void *)buf_head(keys);
    size_t count = keys->len / sizeof *key;
    for (size_t i = 0; i < count; i++) {
        writes = writes || key[i].write;
    }
    for (size_t i = 0; i < count; i++) {
        const struct resp_arg *arg = &c->argv[key[i].index];
        if (key[i].write == writes &&
            glob_match(glob, glob_len, (const char *)arg->bytes, arg->len)) {
            return true;
        }
    }
    return false;
}
