/* Reads the reply to COMMAND (RESP2). Of Redis 7.0 each command is an array
 *
 *     name, arity, [flags], first key, last key, step, [ACL categories], [tips], [key specs],
 *     [subcommands, each such an array again]
 *
 * and each key spec a flat map
 *
 *     flags [..], begin_search {type, spec {..}}, find_keys {type, spec {..}}
 *
 * Whatever more a later version says is skipped. The engine is trusted to mean well, but not to be
 * in order: every length is checked. */
#include "proxy/protocol/command.h"

#include "common/mem.h"
#include "proxy/protocol/command_spec.h"

#include <limits.h>
#include <string.h>

enum {
    DEPTH_MAX = 16,
    COMMAND_FIELDS_MIN = 10, /* Redis 6 has 7: no key specs */
    ELEMENT_BYTES_MIN = 3,   /* "+\r\n" */
};

struct reader {
    const uint8_t *at, *end;
};

struct word {
    const char *s;
    size_t len;
};

static bool word_is(const struct word *w, const char *s)
{
    return w->len == strlen(s) && memcmp(w->s, s, w->len) == 0;
}

static char *word_dup_lower(const struct word *w)
{
    char *s = mem_alloc(w->len + 1);

    for (size_t i = 0; i < w->len; i++) {
        s[i] = (char)(w->s[i] >= 'A' && w->s[i] <= 'Z' ? w->s[i] + 32 : w->s[i]);
    }
    s[w->len] = '\0';
    return s;
}

/* ---- values of RESP2 ---- */

/* The line at the head without its CRLF, type byte included (so it is never empty). */
static int read_line(struct reader *r, struct word *line)
{
    const uint8_t *cr = r->at == r->end ? NULL : memchr(r->at, '\r', (size_t)(r->end - r->at));

    if (cr == NULL || cr == r->at || r->end - cr < 2 || cr[1] != '\n') {
        return ERR_PROTOCOL;
    }
    *line = (struct word){(const char *)r->at, (size_t)(cr - r->at)};
    r->at = cr + 2;
    return ERR_OK;
}

/* A line that is a number behind this type byte, within ±2^31. */
static int read_number(struct reader *r, char type, int64_t *value)
{
    struct word line;
    struct resp_arg digits;
    long long n;

    if (read_line(r, &line) != ERR_OK || line.s[0] != type) {
        return ERR_PROTOCOL;
    }
    digits = (struct resp_arg){(const uint8_t *)line.s + 1, line.len - 1};
    if (!resp_arg_integer(&digits, &n) || n > INT_MAX || n < -INT_MAX) {
        return ERR_PROTOCOL;
    }
    *value = n;
    return ERR_OK;
}

/* A simple or bulk string, which is not copied. */
static int read_word(struct reader *r, struct word *out)
{
    int64_t len;

    if (r->at == r->end) {
        return ERR_PROTOCOL;
    }
    if (*r->at == '+') {
        if (read_line(r, out) != ERR_OK) {
            return ERR_PROTOCOL;
        }
        out->s++;
        out->len--;
        return ERR_OK;
    }
    if (read_number(r, '$', &len) != ERR_OK || len < 0 || r->end - r->at < len + 2 ||
        memcmp(r->at + len, "\r\n", 2) != 0) {
        return ERR_PROTOCOL;
    }
    *out = (struct word){(const char *)r->at, (size_t)len};
    r->at += len + 2;
    return ERR_OK;
}

/* The head of an array; a count that the bytes left can't hold is refused. */
static int read_array(struct reader *r, size_t *count)
{
    int64_t n;

    if (read_number(r, '*', &n) != ERR_OK || n < 0 || n > (r->end - r->at) / ELEMENT_BYTES_MIN) {
        return ERR_PROTOCOL;
    }
    *count = (size_t)n;
    return ERR_OK;
}

/* Any value. */
static int skip(struct reader *r, unsigned depth)
{
    size_t count;
    struct word word;
    int64_t number;

    if (r->at == r->end || depth > DEPTH_MAX) {
        return ERR_PROTOCOL;
    }
    switch (*r->at) {
    case '+':
        return read_word(r, &word);
    case ':':
        return read_number(r, ':', &number);
    case '$':
        if (r->end - r->at >= 5 && memcmp(r->at, "$-1\r\n", 5) == 0) {
            r->at += 5;
            return ERR_OK;
        }
        return read_word(r, &word);
    case '*':
        if (read_array(r, &count) != ERR_OK) {
            return ERR_PROTOCOL;
        }
        while (count-- > 0) {
            if (skip(r, depth + 1) != ERR_OK) {
                return ERR_PROTOCOL;
            }
        }
        return ERR_OK;
    default:
        return ERR_PROTOCOL;
    }
}

/* ---- key specs ---- */

/* Reads a flat map; each value by the function. ERR_PROTOCOL if that says so. */
static int read_map(struct reader *r, int (*value)(struct reader *, const struct word *, void *),
                    void *ctx)
{
    size_t count;
    struct word key;

    if (read_array(r, &count) != ERR_OK || count % 2 != 0) {
        return ERR_PROTOCOL;
    }
    for (size_t i = 0; i < count / 2; i++) {
        if (read_word(r, &key) != ERR_OK || value(r, &key, ctx) != ERR_OK) {
            return ERR_PROTOCOL;
        }
    }
    return ERR_OK;
}

/* A field of the innermost map; one that is not known is skipped. */
static int read_spec_number(struct reader *r, const struct word *key, void *ctx)
{
    struct command_spec *spec = ctx;
    struct word keyword;

    if (word_is(key, "index") || word_is(key, "startfrom")) {
        return read_number(r, ':', &spec->index);
    }
    if (word_is(key, "lastkey")) {
        return read_number(r, ':', &spec->lastkey);
    }
    if (word_is(key, "keystep")) {
        return read_number(r, ':', &spec->keystep);
    }
    if (word_is(key, "limit")) {
        return read_number(r, ':', &spec->limit);
    }
    if (word_is(key, "keynumidx")) {
        return read_number(r, ':', &spec->keynumidx);
    }
    if (word_is(key, "firstkey")) {
        return read_number(r, ':', &spec->firstkey);
    }
    if (!word_is(key, "keyword")) {
        return skip(r, 0);
    }
    if (spec->keyword != NULL || read_word(r, &keyword) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    spec->keyword = word_dup_lower(&keyword);
    return ERR_OK;
}

/* The type and the numbers of begin_search or of find_keys. */
static int read_spec_part(struct reader *r, const struct word *key, void *ctx)
{
    struct command_spec *spec = ctx;
    struct word type;

    if (word_is(key, "spec")) {
        return read_map(r, read_spec_number, spec);
    }
    if (!word_is(key, "type")) {
        return skip(r, 0);
    }
    if (read_word(r, &type) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    if (word_is(&type, "index")) {
        spec->begin = SPEC_BEGIN_INDEX;
    } else if (word_is(&type, "keyword")) {
        spec->begin = SPEC_BEGIN_KEYWORD;
    } else if (word_is(&type, "range")) {
        spec->find = SPEC_FIND_RANGE;
    } else if (word_is(&type, "keynum")) {
        spec->find = SPEC_FIND_KEYNUM;
    }
    return ERR_OK;
}

static int read_spec_flags(struct reader *r, struct command_spec *spec)
{
    size_t count;
    struct word flag;

    if (read_array(r, &count) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    for (size_t i = 0; i < count; i++) {
        if (read_word(r, &flag) != ERR_OK) {
            return ERR_PROTOCOL;
        }
        if (word_is(&flag, "RW") || word_is(&flag, "OW") || word_is(&flag, "RM") ||
            word_is(&flag, "variable_flags")) {
            spec->write = true;
        } else if (word_is(&flag, "incomplete")) {
            spec->incomplete = true;
        } else if (word_is(&flag, "not_key")) {
            spec->not_key = true;
        }
    }
    return ERR_OK;
}

static int read_spec_field(struct reader *r, const struct word *key, void *ctx)
{
    if (word_is(key, "flags")) {
        return read_spec_flags(r, ctx);
    }
    if (word_is(key, "begin_search") || word_is(key, "find_keys")) {
        return read_map(r, read_spec_part, ctx);
    }
    return skip(r, 0);
}

/* A spec that can't be followed is unknown, which makes the command keyspace-wide. A search from
 * the end is among them: only MIGRATE has it, and that is incomplete anyway. */
static void settle_spec(struct command_spec *spec)
{
    if (spec->index < 1 || (spec->begin == SPEC_BEGIN_KEYWORD && spec->keyword == NULL)) {
        spec->begin = SPEC_BEGIN_UNKNOWN;
    }
    if (spec->keystep < 1) {
        spec->find = SPEC_FIND_UNKNOWN;
    }
    if (spec->find == SPEC_FIND_RANGE &&
        (spec->limit < 0 || (spec->limit > 0 && spec->lastkey < 0 && spec->lastkey != -1))) {
        spec->find = SPEC_FIND_UNKNOWN;
    }
    if (spec->find == SPEC_FIND_KEYNUM && (spec->keynumidx < 0 || spec->firstkey < 0)) {
        spec->find = SPEC_FIND_UNKNOWN;
    }
}

static int read_specs(struct reader *r, struct command_node *node)
{
    size_t count;

    if (read_array(r, &count) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    node->specs = mem_calloc(count + 1, sizeof *node->specs);
    node->command.specs = node->specs;
    for (size_t i = 0; i < count; i++) {
        struct command_spec spec = {.write = false};
        if (read_map(r, read_spec_field, &spec) != ERR_OK) {
            free(spec.keyword);
            return ERR_PROTOCOL;
        }
        if (spec.not_key) {
            free(spec.keyword);
            continue;
        }
        settle_spec(&spec);
        node->specs[node->command.spec_count++] = spec;
    }
    return ERR_OK;
}

/* ---- commands ---- */

struct bit_name {
    const char *name;
    uint32_t bit;
};

static const struct bit_name FLAGS[] = {
    {"write", COMMAND_FLAG_WRITE},       {"readonly", COMMAND_FLAG_READONLY},
    {"denyoom", COMMAND_FLAG_DENYOOM},   {"admin", COMMAND_FLAG_ADMIN},
    {"pubsub", COMMAND_FLAG_PUBSUB},     {"noscript", COMMAND_FLAG_NOSCRIPT},
    {"blocking", COMMAND_FLAG_BLOCKING}, {"movablekeys", COMMAND_FLAG_MOVABLE},
    {"no_multi", COMMAND_FLAG_NO_MULTI}, {"no_auth", COMMAND_FLAG_NO_AUTH},
    {"fast", COMMAND_FLAG_FAST},         {"allow_busy", COMMAND_FLAG_ALLOW_BUSY},
    {"module", COMMAND_FLAG_MODULE},     {NULL, 0},
};

static const struct bit_name CATEGORIES[] = {
    {"@keyspace", COMMAND_CAT_KEYSPACE},
    {"@connection", COMMAND_CAT_CONNECTION},
    {"@scripting", COMMAND_CAT_SCRIPTING},
    {"@pubsub", COMMAND_CAT_PUBSUB},
    {"@admin", COMMAND_CAT_ADMIN},
    {"@blocking", COMMAND_CAT_BLOCKING},
    {NULL, 0},
};

static int read_bits(struct reader *r, const struct bit_name *names, uint32_t *bits)
{
    size_t count;
    struct word word;

    if (read_array(r, &count) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    for (size_t i = 0; i < count; i++) {
        if (read_word(r, &word) != ERR_OK) {
            return ERR_PROTOCOL;
        }
        for (const struct bit_name *n = names; n->name != NULL; n++) {
            if (word_is(&word, n->name)) {
                *bits |= n->bit;
            }
        }
    }
    return ERR_OK;
}

static int read_name(struct reader *r, struct command *c)
{
    struct word name;

    if (read_word(r, &name) != ERR_OK || name.len == 0 || name.len > COMMAND_NAME_MAX ||
        memchr(name.s, '\0', name.len) != NULL) {
        return ERR_PROTOCOL;
    }
    c->name = word_dup_lower(&name);
    return ERR_OK;
}

static int read_table(struct reader *r, unsigned depth, struct command_table **out);

static int read_command(struct reader *r, unsigned depth, struct command_node *node)
{
    struct command *c = &node->command;
    size_t fields;
    int64_t arity;

    if (read_array(r, &fields) != ERR_OK || fields < COMMAND_FIELDS_MIN ||
        read_name(r, c) != ERR_OK || read_number(r, ':', &arity) != ERR_OK ||
        read_bits(r, FLAGS, &c->flags) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    c->arity = (int)arity;
    for (int i = 0; i < 3; i++) { /* first key, last key, step: the key specs say it better */
        if (skip(r, 0) != ERR_OK) {
            return ERR_PROTOCOL;
        }
    }
    if (read_bits(r, CATEGORIES, &c->categories) != ERR_OK || skip(r, 0) != ERR_OK ||
        read_specs(r, node) != ERR_OK || read_table(r, depth + 1, &c->subcommands) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    for (size_t i = COMMAND_FIELDS_MIN; i < fields; i++) {
        if (skip(r, 0) != ERR_OK) {
            return ERR_PROTOCOL;
        }
    }
    c->rule = command_rule_of(c);
    return ERR_OK;
}

/* Commands, or subcommands if depth is 1, of which there may be none: then *out is NULL. */
static int read_table(struct reader *r, unsigned depth, struct command_table **out)
{
    struct command_table *t;
    size_t count;

    *out = NULL;
    if (read_array(r, &count) != ERR_OK || (depth > 1 && count > 0)) {
        return ERR_PROTOCOL;
    }
    if (depth > 0 && count == 0) {
        return ERR_OK;
    }
    t = mem_calloc(1, sizeof *t);
    for (size_t i = 0; i < count; i++) {
        struct command_node *node = mem_calloc(1, sizeof *node);
        if (read_command(r, depth, node) != ERR_OK || !command_table_put(t, node)) {
            command_node_destroy(node);
            command_table_destroy(t);
            return ERR_PROTOCOL;
        }
    }
    *out = t;
    return ERR_OK;
}

int command_table_parse(const uint8_t *reply, size_t size, struct command_table **out)
{
    struct reader r = {reply, reply + size};

    if (read_table(&r, 0, out) != ERR_OK) {
        return ERR_PROTOCOL;
    }
    if (r.at != r.end) {
        command_table_destroy(*out);
        *out = NULL;
        return ERR_PROTOCOL;
    }
    return ERR_OK;
}
