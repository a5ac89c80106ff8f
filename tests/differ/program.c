#include "tests/differ/program.h"

#include "common/mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void program_init(struct program *p, uint64_t seed, int resp)
{
    *p = (struct program){.seed = seed, .resp = resp};
}

bool program_is_asynchronous(const struct program *p, int client)
{
    enum { SHIFT = 20, ONE_OF = 4 };

    return (p->seed >> (SHIFT + 2 * client)) % ONE_OF == 0;
}

static void step_free(struct step *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->words[i].bytes);
    }
    free(s->words);
}

void program_fini(struct program *p)
{
    for (size_t i = 0; i < p->count; i++) {
        step_free(&p->steps[i]);
    }
    free(p->steps);
    *p = (struct program){0};
}

struct step *program_add(struct program *p, enum step_kind kind, int client)
{
    if (p->count == p->cap) {
        p->cap = p->cap > 0 ? p->cap * 2 : 64;
        p->steps = mem_realloc(p->steps, p->cap * sizeof *p->steps);
    }
    p->steps[p->count] = (struct step){.kind = kind, .client = client};
    return &p->steps[p->count++];
}

static char *bytes_copy(const void *bytes, size_t len)
{
    char *copy = mem_alloc(len + 1);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    copy[len] = '\0';
    return copy;
}

static struct word *step_add(struct step *s)
{
    s->words = mem_realloc(s->words, (s->count + 1) * sizeof *s->words);
    s->words[s->count] = (struct word){.client = -1};
    return &s->words[s->count++];
}

void step_word(struct step *s, const void *bytes, size_t len)
{
    struct word *w = step_add(s);
    w->bytes = bytes_copy(bytes, len);
    w->len = len;
}

void step_str(struct step *s, const char *text)
{
    step_word(s, text, strlen(text));
}

void step_number(struct step *s, long long number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", number);
    step_str(s, text);
}

void step_client_id(struct step *s, int client)
{
    step_add(s)->client = client;
}

void step_drop_word(struct step *s, size_t index)
{
    MUST(index < s->count);
    free(s->words[index].bytes);
    memmove(&s->words[index], &s->words[index + 1], (s->count - index - 1) * sizeof *s->words);
    s->count--;
}

void step_set_word(struct step *s, size_t index, const void *bytes, size_t len)
{
    struct word *w = &s->words[index];
    char *copy = bytes_copy(bytes, len);

    MUST(index < s->count);
    free(w->bytes);
    *w = (struct word){copy, len, -1};
}

void program_copy(struct program *to, const struct program *from, const bool *keep)
{
    program_init(to, from->seed, from->resp);
    for (size_t i = 0; i < from->count; i++) {
        const struct step *s = &from->steps[i];
        if (keep != NULL && !keep[i]) {
            continue;
        }
        struct step *copy = program_add(to, s->kind, s->client);
        copy->glued = s->glued;
        copy->alone = s->alone;
        copy->ends = s->ends;
        copy->behind = s->behind;
        for (size_t w = 0; w < s->count; w++) {
            if (s->words[w].client >= 0) {
                step_client_id(copy, s->words[w].client);
            } else {
                step_word(copy, s->words[w].bytes, s->words[w].len);
            }
        }
    }
}

bool step_is(const struct step *s, size_t index, const char *text)
{
    return index < s->count && s->words[index].bytes != NULL &&
           s->words[index].len == strlen(text) && strcasecmp(s->words[index].bytes, text) == 0;
}

/* ---- encoding ---- */

static bool word_is_plain(const struct word *w)
{
    for (size_t i = 0; i < w->len; i++) {
        if (!isgraph((unsigned char)w->bytes[i]) || strchr("\"'\\", w->bytes[i]) != NULL) {
            return false;
        }
    }
    return w->len > 0;
}

static void quote(const struct word *w, struct buf *out)
{
    buf_append_str(out, "\"");
    for (size_t i = 0; i < w->len; i++) {
        unsigned char byte = (unsigned char)w->bytes[i];
        if (byte == '"' || byte == '\\') {
            buf_printf(out, "\\%c", byte);
        } else if (isprint(byte)) {
            buf_append(out, &byte, 1);
        } else {
            buf_printf(out, "\\x%02x", byte);
        }
    }
    buf_append_str(out, "\"");
}

static void encode_line(const struct step *s, const long long ids[PROGRAM_CLIENTS], struct buf *out)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct word *w = &s->words[i];
        buf_append(out, " ", i > 0);
        if (w->client >= 0) {
            buf_printf(out, "%lld", ids[w->client]);
        } else if (word_is_plain(w)) {
            buf_append(out, w->bytes, w->len);
        } else {
            quote(w, out);
        }
    }
    buf_append_str(out, "\r\n");
}

void step_encode(const struct step *s, const long long ids[PROGRAM_CLIENTS], struct buf *out)
{
    if (s->kind == STEP_INLINE) {
        encode_line(s, ids, out);
        return;
    }
    if (s->kind == STEP_RAW) {
        buf_append(out, s->words[0].bytes, s->words[0].len);
        return;
    }
    buf_printf(out, "*%zu\r\n", s->count);
    for (size_t i = 0; i < s->count; i++) {
        const struct word *w = &s->words[i];
        char number[32];
        const char *bytes = w->bytes;
        size_t len = w->len;
        if (w->client >= 0) {
            len = (size_t)snprintf(number, sizeof number, "%lld", ids[w->client]);
            bytes = number;
        }
        buf_printf(out, "$%zu\r\n", len);
        buf_append(out, bytes, len);
        buf_append_str(out, "\r\n");
    }
}

/* ---- printing ---- */

void program_print_bytes(const void *bytes, size_t len, size_t max, FILE *out)
{
    struct word w = {.bytes = (char *)(uintptr_t)bytes, .len = len < max ? len : max, .client = -1};
    struct buf text = BUF_INIT;

    quote(&w, &text);
    (void)fwrite(buf_head(&text), 1, text.len, out);
    if (len > max) {
        fprintf(out, "… (%zu bytes)", len);
    }
    buf_release(&text);
}

void step_print(const struct step *s, FILE *out)
{
    struct buf text = BUF_INIT;

    fprintf(out, "%c> ", 'A' + s->client);
    if (s->kind == STEP_LEAVE || s->kind == STEP_END) {
        fprintf(out, "(closes %s)\n", s->kind == STEP_LEAVE ? "the connection" : "its half");
        return;
    }
    if (s->kind == STEP_INLINE) {
        fputs("(inline) ", out);
    } else if (s->kind == STEP_RAW) {
        fputs("(raw) ", out);
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct word *w = &s->words[i];
        buf_append(&text, " ", i > 0);
        if (w->client >= 0) {
            buf_printf(&text, "<id of %c>", 'A' + w->client);
        } else if (word_is_plain(w)) {
            buf_append(&text, w->bytes, w->len);
        } else {
            quote(w, &text);
        }
    }
    buf_append_str(&text, "\n");
    (void)fwrite(buf_head(&text), 1, text.len, out);
    buf_release(&text);
}
