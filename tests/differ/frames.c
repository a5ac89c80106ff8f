#include "tests/differ/frames.h"

#include "common/buf.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *parse(struct frame *n, const char *at, const char *end)
{
    const char *eol = memmem(at, (size_t)(end - at), "\r\n", 2);
    MUST(eol != NULL);
    long long number = strtoll(at + 1, NULL, 10);

    *n = (struct frame){.type = *at, .bytes = at + 1, .len = (size_t)(eol - at - 1)};
    at = eol + 2;
    if (strchr("$!=", n->type) != NULL && number >= 0) {
        n->bytes = at;
        n->len = (size_t)number;
        return at + number + 2;
    }
    if (strchr("$*", n->type) != NULL && number < 0) {
        n->bytes--;
        n->len++;
        n->type = '_';
    }
    if (strchr("*%~>|", n->type) != NULL) {
        n->count = (size_t)number * (n->type == '%' ? 2 : 1);
        n->children = mem_calloc(n->count + 1, sizeof *n->children);
        for (size_t i = 0; i < n->count; i++) {
            at = parse(&n->children[i], at, end);
        }
    }
    return at;
}

void frames_parse(struct frame *f, const char *bytes, size_t len)
{
    (void)parse(f, bytes, bytes + len);
}

void frames_release(struct frame *n)
{
    for (size_t i = 0; i < n->count; i++) {
        frames_release(&n->children[i]);
    }
    free(n->children);
}

/* ---- in any order ---- */

static int by_bytes(const void *a, const void *b)
{
    const struct buf *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int sign = len > 0 ? memcmp(buf_head(x), buf_head(y), len) : 0;
    return sign != 0 ? sign : (x->len > y->len) - (x->len < y->len);
}

/* The same text for values that are equal but for the order of elements. */
static void canonical(const struct frame *n, bool pairs, struct buf *out)
{
    size_t step = pairs || n->type == '%' ? 2 : 1;
    size_t count = (n->count + step - 1) / step;
    struct buf *parts = mem_calloc(count + 1, sizeof *parts);

    buf_printf(out, "%c%zu:", n->type, n->count > 0 ? n->count : n->len);
    if (n->children == NULL) {
        buf_append(out, n->bytes, n->len);
    }
    for (size_t i = 0; i < n->count; i++) {
        canonical(&n->children[i], false, &parts[i / step]);
    }
    qsort(parts, count, sizeof *parts, by_bytes);
    for (size_t i = 0; i < count; i++) {
        buf_append(out, buf_head(&parts[i]), parts[i].len);
        buf_release(&parts[i]);
    }
    free(parts);
}

static bool equal_unordered(const struct frame *a, const struct frame *b, bool pairs)
{
    struct buf texts[2] = {BUF_INIT, BUF_INIT};

    canonical(a, pairs, &texts[0]);
    canonical(b, pairs, &texts[1]);
    bool equal = by_bytes(&texts[0], &texts[1]) == 0;
    buf_release(&texts[0]);
    buf_release(&texts[1]);
    return equal;
}

/* ---- one by one ---- */

/* Programs use no times to live below these, and no other numbers in that range: what is left of
 * such a time, or a moment, differs by what the machine did meanwhile. */
static bool times_are_near(const struct frame *a, const struct frame *b)
{
    enum { SLACK_S = 120 };
    char text[32] = "";

    if (a->len >= sizeof text || b->len >= sizeof text) {
        return false;
    }
    memcpy(text, a->bytes, a->len);
    long long x = strtoll(text, NULL, 10);
    memset(text, 0, sizeof text);
    memcpy(text, b->bytes, b->len);
    long long y = strtoll(text, NULL, 10);
    long long apart = x > y ? x - y : y - x;
    bool seconds = x > 900000 && x < 5000000000 && apart <= SLACK_S;
    bool milliseconds = x > 900000000 && x < 5000000000000 && apart <= SLACK_S * 1000;
    return seconds || milliseconds;
}

static bool equal(const struct frame *a, const struct frame *b, enum frames_rule rule);

static bool is_word(const struct frame *n, const char *word)
{
    return strchr("$+", n->type) != NULL && n->len == strlen(word) &&
           strncasecmp(n->bytes, word, n->len) == 0;
}

static bool loose(const struct frame *of, size_t index, enum frames_rule rule)
{
    if (rule == FRAMES_PENDING) {
        return of->count == 4 && index == 2 && of->children[3].type == ':';
    }
    if (rule == FRAMES_ACK) {
        return index == 1;
    }
    return rule == FRAMES_IDLE && index > 0 &&
           (is_word(&of->children[index - 1], "idle") ||
            is_word(&of->children[index - 1], "inactive"));
}

static bool equal_elements(const struct frame *a, const struct frame *b, enum frames_rule rule)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        enum frames_rule child = loose(a, i, rule) ? FRAMES_SHAPE : rule;
        if (!equal(&a->children[i], &b->children[i], child)) {
            return false;
        }
    }
    return true;
}

static bool equal_scan(const struct frame *a, const struct frame *b, bool pairs)
{
    if (a->count != 2 || b->count != 2) {
        return a->count == b->count;
    }
    if (!is_word(&a->children[0], "0") || !is_word(&b->children[0], "0")) {
        return true;
    }
    return equal_unordered(&a->children[1], &b->children[1], pairs);
}

static bool equal_ids(const struct frame *a, const struct frame *b)
{
    bool same = a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
    return same ||
           (a->type == ':' && strchr("-0", *a->bytes) == NULL && strchr("-0", *b->bytes) == NULL);
}

/* One line of CLIENT LIST, as far as it must be equal. */
static void client_text(char *line, struct buf *out)
{
    static const char *const fields[] = {
        "name=", "flags=", "db=", "sub=", "psub=", "ssub=", "cmd=", "user=", "resp="};
    char *more = NULL;

    for (char *word = strtok_r(line, " ", &more); word; word = strtok_r(NULL, " ", &more)) {
        /* Of its socket; who was unblocked a moment ago may block still; what it watches or
         * redirects. */
        for (char *flag = word; strncmp(word, "flags=", 6) == 0 && *flag != '\0';) {
            if (strchr("UubdR", *flag) != NULL) {
                memmove(flag, flag + 1, strlen(flag));
            } else {
                flag++;
            }
        }
        bool none = strcmp(word, "flags=") == 0;
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            if (strncmp(word, fields[i], strlen(fields[i])) == 0) {
                buf_printf(out, "%s%s ", word, none ? "N" : "");
            }
        }
        if (strncmp(word, "redir=", 6) == 0) {
            buf_printf(out, "redir=%s ", strchr("-0", word[6]) != NULL ? word + 6 : "id");
        }
        if (strncmp(word, "multi=", 6) ==
            0) { /* Redis counts none when a watched key has changed */
            buf_printf(out, "multi=%s ", word[6] == '-' ? "-1" : "n");
        }
    }
    buf_append_str(out, "\n");
}

static int by_id(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    long long ids[2] = {strtoll(x + 3, NULL, 10), strtoll(y + 3, NULL, 10)};
    return (ids[0] > ids[1]) - (ids[0] < ids[1]);
}

/* All of them by their age: Redis turns its list now and then. */
static void clients_text(const struct frame *n, struct buf *out)
{
    enum { LINES_MAX = 64 };
    char *text = mem_alloc(n->len + 1), *lines[LINES_MAX], *rest = NULL;
    size_t count = 0;

    memcpy(text, n->bytes, n->len);
    text[n->len] = '\0';
    for (char *at = strtok_r(text, "\n", &rest); at && count < LINES_MAX;
         at = strtok_r(NULL, "\n", &rest)) {
        at += strncmp(at, "txt:", 4) == 0 ? 4 : 0; /* RESP3 */
        /* Redis shows those that it is about to close. */
        bool closing = strstr(at, " flags=A") != NULL;
        if (!closing && strstr(at, " name=" FRAMES_CONTROL " ") == NULL) {
            lines[count++] = at;
        }
    }
    qsort(lines, count, sizeof *lines, by_id);
    for (size_t i = 0; i < count; i++) {
        client_text(lines[i], out);
    }
    free(text);
}

static bool equal_clients(const struct frame *a, const struct frame *b)
{
    struct buf texts[2] = {BUF_INIT, BUF_INIT};

    clients_text(a, &texts[0]);
    clients_text(b, &texts[1]);
    bool equal = by_bytes(&texts[0], &texts[1]) == 0;
    buf_release(&texts[0]);
    buf_release(&texts[1]);
    return equal;
}

static bool equal(const struct frame *a, const struct frame *b, enum frames_rule rule)
{
    if (rule == FRAMES_ANY) {
        return true;
    }
    if (a->type != b->type) {
        return false;
    }
    if (a->type == '-' || a->type == '!') {
        return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
    }
    switch (rule) {
    case FRAMES_TYPE:
        return true;
    case FRAMES_UNORDERED:
    case FRAMES_PAIRS:
        return equal_unordered(a, b, rule == FRAMES_PAIRS);
    case FRAMES_SCAN:
    case FRAMES_SCAN_PAIRS:
        return equal_scan(a, b, rule == FRAMES_SCAN_PAIRS);
    case FRAMES_CLIENTS:
        return equal_clients(a, b);
    case FRAMES_IDS:
        if (a->children == NULL) {
            return equal_ids(a, b);
        }
        break;
    case FRAMES_EXACT:
    case FRAMES_PENDING:
    case FRAMES_IDLE:
    case FRAMES_ACK:
    case FRAMES_SHAPE:
    case FRAMES_ANY:
        break;
    }
    if (a->children != NULL) {
        return equal_elements(a, b, rule);
    }
    return rule == FRAMES_SHAPE || (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0) ||
           (a->type == ':' && times_are_near(a, b));
}

bool frames_equal(const char *a, size_t a_len, const char *b, size_t b_len, enum frames_rule rule,
                  const enum frames_rule *rules, size_t count)
{
    struct frame x, y;

    if (a_len == b_len && memcmp(a, b, a_len) == 0) {
        return true;
    }
    (void)parse(&x, a, a + a_len);
    (void)parse(&y, b, b + b_len);
    bool same;
    if (rules != NULL && x.type == '*' && y.type == '*' && x.count == count && y.count == count) {
        same = true;
        for (size_t i = 0; i < count && same; i++) {
            same = equal(&x.children[i], &y.children[i], rules[i]);
        }
    } else {
        same = equal(&x, &y, rule);
    }
    frames_release(&x);
    frames_release(&y);
    return same;
}

bool frames_begins(const char *frame, size_t len, const char *word)
{
    if (len == 0 || (*frame != '*' && *frame != '>')) {
        return false;
    }
    const char *bulk = memchr(frame, '\n', len);
    const char *end = frame + len;
    if (bulk == NULL || ++bulk >= end || *bulk != '$') {
        return false;
    }
    const char *bytes = memchr(bulk, '\n', (size_t)(end - bulk));
    size_t word_len = strlen(word);
    return bytes != NULL && (size_t)(end - ++bytes) > word_len + 1 &&
           strtoull(bulk + 1, NULL, 10) == word_len && memcmp(bytes, word, word_len) == 0;
}

bool frames_is_message(const char *frame, size_t len)
{
    return frames_begins(frame, len, "message") || frames_begins(frame, len, "pmessage") ||
           frames_begins(frame, len, "smessage");
}

long long frames_last_integer(const char *frame, size_t len)
{
    const char *colon = memrchr(frame, ':', len);
    return colon != NULL ? strtoll(colon + 1, NULL, 10) : -1;
}
