#include "tests/differ/frames.h"

#include "common/buf.h"
#include "common/mem.h"
#include "tests/differ/listings.h"

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

static long long integer_of(const struct frame *n)
{
    char text[32] = "";

    memcpy(text, n->bytes, n->len < sizeof text ? n->len : sizeof text - 1);
    return strtoll(text, NULL, 10);
}

/* Programs use no times to live below these, and no other numbers in that range: what is left of
 * such a time, or a moment, differs by what the machine did meanwhile. */
static bool times_are_near(const struct frame *a, const struct frame *b)
{
    enum { SLACK_S = 120 };
    long long x = integer_of(a), y = integer_of(b);
    long long apart = x > y ? x - y : y - x;

    bool seconds = x > 900000 && x < 5000000000 && apart <= SLACK_S;
    bool milliseconds = x > 900000000 && x < 5000000000000 && apart <= SLACK_S * 1000;
    bool last = x > 9000000000000000 && apart <= SLACK_S * 1000; /* the end of time */
    return seconds || milliseconds || last;
}

static bool is_error(const struct frame *n)
{
    return n->type == '-' || n->type == '!';
}

static bool begins_with(const struct frame *n, const char *text)
{
    return n->len >= strlen(text) && memcmp(n->bytes, text, strlen(text)) == 0;
}

static bool same_bytes(const struct frame *a, const struct frame *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool is_word(const struct frame *n, const char *word)
{
    return strchr("$+", n->type) != NULL && n->len == strlen(word) &&
           strncasecmp(n->bytes, word, n->len) == 0;
}

/* Of an element, by that of the whole. */
static enum frames_rule rule_of_child(const struct frame *of, size_t index, enum frames_rule rule)
{
    const struct frame *before = index > 0 ? &of->children[index - 1] : NULL;

    if (rule == FRAMES_PENDING) {
        return of->count == 4 && index == 2 && of->children[3].type == ':' ? FRAMES_SHAPE : rule;
    }
    if (rule == FRAMES_ACK && index == 1) {
        return FRAMES_SHAPE;
    }
    if (rule == FRAMES_IDLE && before != NULL &&
        (is_word(before, "idle") || is_word(before, "inactive"))) {
        return FRAMES_SHAPE;
    }
    if (rule == FRAMES_HELLO_ROLE && before != NULL && is_word(before, "role")) {
        return FRAMES_SHAPE;
    }
    if (rule == FRAMES_HELLO || rule == FRAMES_HELLO_ROLE) {
        return before != NULL && is_word(before, "id") ? FRAMES_IDS : FRAMES_EXACT;
    }
    return rule;
}

static bool equal(const struct frame *a, const struct frame *b, enum frames_rule rule,
                  const struct frames_how *how);

static bool equal_elements(const struct frame *a, const struct frame *b, enum frames_rule rule,
                           const struct frames_how *how)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!equal(&a->children[i], &b->children[i], rule_of_child(a, i, rule), how)) {
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

bool frames_same_id(const struct frames_how *how, long long a, long long b)
{
    for (size_t i = 0; i < how->id_count; i++) {
        if (how->ids[i].ids[0] == a || how->ids[i].ids[1] == b) {
            return how->ids[i].ids[0] == a && how->ids[i].ids[1] == b;
        }
    }
    return a == b || (a > 0 && b > 0);
}

static bool equal_integers(long long a, long long b, enum frames_rule rule,
                           const struct frames_how *how)
{
    enum { NODES_MAX = 16 };

    if (rule == FRAMES_IDS) {
        return frames_same_id(how, a, b);
    }
    if (rule == FRAMES_NOT_LESS) {
        return a <= b && b <= NODES_MAX;
    }
    if (rule == FRAMES_NOT_MORE || rule == FRAMES_SOME) {
        return a >= b && (rule == FRAMES_NOT_MORE || (a == 0) == (b == 0));
    }
    return a == b;
}

/* Of a value whose form has only one order (the first byte is a type of rdb.h: a string, a packed
 * or plain list, a packed or skip-listed sorted set, a packed hash, a set of integers). */
static bool is_ordered_dump(const struct frame *n)
{
    static const char types[] = {0, 5, 11, 16, 17, 18};
    return n->len > 0 && memchr(types, n->bytes[0], sizeof types) != NULL;
}

static bool equal_leaves(const struct frame *a, const struct frame *b, enum frames_rule rule,
                         const struct frames_how *how)
{
    if (same_bytes(a, b) && rule != FRAMES_IDS) {
        return true;
    }
    if (a->type == ':' && (rule == FRAMES_TIMES || rule == FRAMES_IDLE)) {
        return times_are_near(a, b);
    }
    if (rule == FRAMES_LENGTH || (rule == FRAMES_DUMP && !is_ordered_dump(a))) {
        return a->len == b->len;
    }
    return a->type == ':' ? equal_integers(integer_of(a), integer_of(b), rule, how)
                          : same_bytes(a, b);
}

static bool equal(const struct frame *a, const struct frame *b, enum frames_rule rule,
                  const struct frames_how *how)
{
    if (a->type != b->type) {
        return false;
    }
    if (rule == FRAMES_ERROR) {
        const char *end = memchr(a->bytes, ' ', a->len);
        size_t len = end != NULL ? (size_t)(end - a->bytes) + 1 : a->len;
        return is_error(a) && b->len >= len && memcmp(a->bytes, b->bytes, len) == 0;
    }
    if (is_error(a)) {
        return same_bytes(a, b);
    }
    if (rule == FRAMES_TYPE || rule == FRAMES_COUNT) {
        return rule == FRAMES_TYPE || a->count == b->count;
    }
    if (rule == FRAMES_UNORDERED || rule == FRAMES_PAIRS) {
        return equal_unordered(a, b, rule == FRAMES_PAIRS);
    }
    if (rule == FRAMES_SCAN || rule == FRAMES_SCAN_PAIRS) {
        return equal_scan(a, b, rule == FRAMES_SCAN_PAIRS);
    }
    if (rule == FRAMES_CLIENTS || rule == FRAMES_CLIENTS_LATER) {
        return listings_same_clients(a, b, rule == FRAMES_CLIENTS_LATER, how);
    }
    if (rule == FRAMES_LOG) {
        return listings_same_log(a, b);
    }
    if (rule == FRAMES_INFO) {
        return listings_same_info(a, b);
    }
    if (a->children != NULL) {
        return equal_elements(a, b, rule, how);
    }
    return rule == FRAMES_SHAPE || equal_leaves(a, b, rule, how);
}

static bool equal_element(const struct frame *a, const struct frame *b,
                          const struct frames_element *e, const struct frames_how *how)
{
    bool denied =
        (is_error(a) && begins_with(a, "NOPERM")) || (is_error(b) && begins_with(b, "NOPERM"));
    return (e->rights && denied) || equal(a, b, e->rule, how);
}

bool frames_equal(const char *a, size_t a_len, const char *b, size_t b_len,
                  const struct frames_how *how)
{
    struct frame x, y;

    if (how->rule == FRAMES_EXACT && how->elements == NULL && a_len == b_len &&
        memcmp(a, b, a_len) == 0) {
        return true;
    }
    (void)parse(&x, a, a + a_len);
    (void)parse(&y, b, b + b_len);
    bool each = how->elements != NULL && x.type == '*' && y.type == '*' && x.count == how->count &&
                y.count == how->count;
    bool same = each || equal(&x, &y, how->rule, how);
    for (size_t i = 0; each && same && i < how->count; i++) {
        same = equal_element(&x.children[i], &y.children[i], &how->elements[i], how);
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
