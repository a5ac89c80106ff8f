#include "tests/sim/kv.h"

#include "common/mem.h"
#include "proxy/protocol/resp.h"

#include <stdio.h>
#include <string.h>

enum { KV_TOKEN_BYTES = 8, KV_PAD_BYTES = 1200 };

/* A string's state: 48 bits of a checksum that goes on where it stopped, and the length. */
static uint64_t kv_fold(uint64_t state, const char *text, size_t len)
{
    uint64_t h = state == 0 ? 0x8422325cbf29ull : state >> 16;

    for (size_t i = 0; i < len; i++) {
        h = ((h ^ (uint8_t)text[i]) * 0x100000001b3ull) & 0xffffffffffffull;
    }
    return h << 16 | ((state & 0xffff) + len);
}

static void kv_token(uint64_t token, char out[KV_TOKEN_BYTES])
{
    for (int i = KV_TOKEN_BYTES - 1; i >= 0; i--) {
        out[i] = (char)('a' + token % 16);
        token /= 16;
    }
}

void kv_key_name(unsigned key, char out[16])
{
    (void)snprintf(out, 16, "%c%u", kv_is_counter(key) ? 'c' : 's', key);
}

void kv_clear(struct kv *kv)
{
    for (unsigned i = 0; i < kv->used; i++) {
        kv->values[i] = (struct kv_value){0};
    }
    kv->used = 0;
    kv->birth = 0;
    kv->multi = false;
}

uint64_t kv_state(const struct kv *kv, unsigned key)
{
    const struct kv_value *v = &kv->values[key];

    if (key >= kv->used || !v->is_set) {
        return 0;
    }
    return kv_is_counter(key) ? v->number : kv_fold(0, v->text, v->len);
}

bool kv_equal(const struct kv *a, const struct kv *b)
{
    unsigned used = a->used > b->used ? a->used : b->used;

    for (unsigned i = 0; i < used; i++) {
        if (kv_state(a, i) != kv_state(b, i)) {
            return false;
        }
    }
    return a->birth == b->birth;
}

void kv_copy(struct kv *to, const struct kv *from)
{
    kv_clear(to);
    memcpy(to->values, from->values, from->used * sizeof from->values[0]);
    to->used = from->used;
    to->birth = from->birth;
    to->multi = from->multi;
}

static struct kv_value *kv_value(struct kv *kv, unsigned key)
{
    MUST(key < KV_KEYS_MAX);
    while (kv->used <= key) {
        kv->values[kv->used++] = (struct kv_value){0};
    }
    return &kv->values[key];
}

/* Changes one key; false: it is not changed. */
static bool kv_change(struct kv *kv, enum kv_command command, unsigned key, const char *text,
                      size_t len)
{
    struct kv_value *v = kv_value(kv, key);

    switch (command) {
    case KV_SETNX:
        if (v->is_set) {
            return false;
        }
        v->len = 0;
        break;
    case KV_DEL:
        if (!v->is_set) {
            return false;
        }
        v->is_set = false;
        v->len = 0;
        v->number = 0;
        return true;
    case KV_INCR:
        v->is_set = true;
        v->number++;
        return true;
    case KV_APPEND:
        break;
    case KV_GET:
        return false;
    case KV_SET:
    case KV_SET_TWO:
    case KV_SET_LARGE:
        v->len = 0;
        break;
    }
    MUST(v->len + len <= KV_TEXT_MAX);
    memcpy(v->text + v->len, text, len);
    v->len = (uint16_t)(v->len + len);
    v->is_set = true;
    return true;
}

static void kv_say(struct buf *stream, size_t argc, const char *name, const char *key,
                   const void *value, size_t size)
{
    resp_put_array(stream, argc);
    resp_put_bulk(stream, name, strlen(name));
    if (argc > 1) {
        resp_put_bulk(stream, key, strlen(key));
    }
    if (argc > 2) {
        resp_put_bulk(stream, value, size);
    }
}

static void kv_say_two(const struct kv_op *op, const char *token, struct buf *stream)
{
    char name[16], pad[KV_PAD_BYTES];

    kv_say(stream, 1, "MULTI", NULL, NULL, 0);
    kv_key_name(op->key, name);
    kv_say(stream, 3, "SET", name, token, KV_TOKEN_BYTES);
    if (op->command == KV_SET_LARGE) {
        memset(pad, (int)('a' + op->token % 16), sizeof pad);
        kv_say(stream, 3, "SET", "pad", pad, sizeof pad);
    }
    kv_key_name(op->key2, name);
    kv_say(stream, 3, "SET", name, token, KV_TOKEN_BYTES);
    kv_say(stream, 1, "EXEC", NULL, NULL, 0);
}

uint64_t kv_execute(struct kv *kv, const struct kv_op *op, struct buf *stream, uint64_t offset)
{
    static const char *const names[] = {
        [KV_SET] = "SET", [KV_SETNX] = "SETNX", [KV_APPEND] = "APPEND",
        [KV_DEL] = "DEL", [KV_INCR] = "INCR",
    };
    char token[KV_TOKEN_BYTES], name[16];
    size_t before = stream->len;
    uint64_t next, state = kv_state(kv, op->key);
    uint64_t answer = kv_step(op->command, kv_is_counter(op->key), op->token, state, &next);

    kv_token(op->token, token);
    bool changed = kv_change(kv, op->command, op->key, token, sizeof token);
    if (op->command == KV_SET_TWO || op->command == KV_SET_LARGE) {
        (void)kv_change(kv, KV_SET, op->key2, token, sizeof token);
        kv_say_two(op, token, stream);
        kv_value(kv, op->key2)->effect = offset + (stream->len - before);
    } else if (changed) {
        kv_key_name(op->key, name);
        size_t argc = op->command == KV_DEL || op->command == KV_INCR ? 2 : 3;
        kv_say(stream, argc, names[op->command], name, token, sizeof token);
    }
    if (changed) {
        kv_value(kv, op->key)->effect = offset + (stream->len - before);
    }
    return answer;
}

/* --- applying a stream --- */

struct kv_reader {
    const char *at, *end;
};

/* "*3\r\n" or "$8\r\n": the number behind the mark; -1: it is not there. */
static long kv_read_number(struct kv_reader *r, char mark)
{
    long n = 0;

    if (r->at == r->end || *r->at != mark) {
        return -1;
    }
    for (r->at++; r->at < r->end && *r->at != '\r'; r->at++) {
        n = n * 10 + (*r->at - '0');
    }
    r->at += 2;
    return r->at <= r->end ? n : -1;
}

static bool kv_apply_command(struct kv *kv, const char *const *argv, const size_t *len, long argc)
{
    static const struct {
        const char *name;
        enum kv_command command;
    } known[] = {{"SET", KV_SET},
                 {"SETNX", KV_SETNX},
                 {"APPEND", KV_APPEND},
                 {"DEL", KV_DEL},
                 {"INCR", KV_INCR}};

    if (len[0] == 5 && memcmp(argv[0], "MULTI", 5) == 0) {
        kv->multi = true;
        return true;
    }
    if (len[0] == 4 && memcmp(argv[0], "EXEC", 4) == 0) {
        bool was = kv->multi;
        kv->multi = false;
        return was;
    }
    if (argc < 2 || argv[1][0] == 'p' || (len[0] == 6 && memcmp(argv[0], "SELECT", 6) == 0)) {
        return true; /* nothing that is looked at */
    }
    unsigned key = 0;
    for (size_t i = 1; i < len[1]; i++) {
        key = key * 10 + (unsigned)(argv[1][i] - '0');
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) == len[0] && memcmp(known[i].name, argv[0], len[0]) == 0) {
            (void)kv_change(kv, known[i].command, key, argc > 2 ? argv[2] : NULL,
                            argc > 2 ? len[2] : 0);
            return true;
        }
    }
    return false;
}

bool kv_apply(struct kv *kv, const uint8_t *bytes, size_t size)
{
    struct kv_reader r = {(const char *)bytes, (const char *)bytes + size};
    const char *argv[4];
    size_t len[4];

    while (r.at < r.end) {
        long argc = kv_read_number(&r, '*');
        if (argc < 1 || argc > 4) {
            return false;
        }
        for (long i = 0; i < argc; i++) {
            long n = kv_read_number(&r, '$');
            if (n < 0 || n + 2 > r.end - r.at) {
                return false;
            }
            argv[i] = r.at;
            len[i] = (size_t)n;
            r.at += n + 2;
        }
        if (!kv_apply_command(kv, argv, len, argc)) {
            return false;
        }
    }
    return !kv->multi;
}

uint64_t kv_step(enum kv_command command, bool counter, uint64_t token, uint64_t state,
                 uint64_t *next)
{
    char text[KV_TOKEN_BYTES];

    *next = state;
    switch (command) {
    case KV_GET:
        return state;
    case KV_DEL:
        *next = 0;
        return state != 0;
    case KV_INCR:
        *next = state + 1;
        return state + 1;
    case KV_SETNX:
        if (state != 0) {
            return 0;
        }
        break;
    case KV_APPEND:
        kv_token(token, text);
        *next = kv_fold(state, text, sizeof text);
        return *next & 0xffff;
    case KV_SET:
    case KV_SET_TWO:
    case KV_SET_LARGE:
        break;
    }
    MUST(!counter);
    kv_token(token, text);
    *next = kv_fold(0, text, sizeof text);
    return command == KV_SETNX;
}
