#include "tests/differ/listings.h"

#include "common/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTINGS_LINES_MAX = 600 };

struct listing {
    char *text;
    char *lines[LISTINGS_LINES_MAX];
    size_t count;
};

static void split(struct listing *l, const struct frame *n)
{
    char *rest = NULL;

    *l = (struct listing){.text = mem_alloc(n->len + 1)};
    memcpy(l->text, n->bytes, n->len);
    l->text[n->len] = '\0';
    /* RESP3 */
    char *text = l->text + (strncmp(l->text, "txt:", 4) == 0 ? 4 : 0);
    for (char *at = strtok_r(text, "\r\n", &rest); at && l->count < LISTINGS_LINES_MAX;
         at = strtok_r(NULL, "\r\n", &rest)) {
        l->lines[l->count++] = at;
    }
}

/* ---- clients ---- */

struct value {
    const char *at;
    size_t len;
};

/* Of the field, which ends with '='; nothing, if it is not there. */
static struct value field(const char *line, const char *name)
{
    for (const char *at = line; *at != '\0'; at++) {
        if ((at == line || at[-1] == ' ') && strncmp(at, name, strlen(name)) == 0) {
            at += strlen(name);
            return (struct value){at, strcspn(at, " ")};
        }
    }
    return (struct value){"", 0};
}

static bool same_value(struct value a, struct value b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool has_flag(const char *line, char flag)
{
    struct value flags = field(line, "flags=");
    return memchr(flags.at, flag, flags.len) != NULL;
}

/* But for those of its socket (U), of who was unblocked a moment ago (u), of what it watches (d) or
 * redirects (R), and of who has said READONLY (r). Who has not heard yet that it does not block any
 * more has `b`. */
static bool same_flags(const char *a, const char *b, bool later)
{
    static const char flags[] = "BMOPSTcext";

    for (size_t i = 0; i < sizeof flags - 1; i++) {
        if (has_flag(a, flags[i]) != has_flag(b, flags[i])) {
            return false;
        }
    }
    return later || !has_flag(a, 'b') || has_flag(b, 'b');
}

static bool same_client(const char *a, const char *b, bool later, const struct frames_how *how)
{
    static const char *const fields[] = {
        "name=", "db=", "sub=", "psub=", "ssub=", "user=", "cmd=", "resp="};
    static const char *const ids[] = {"id=", "redir="};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!same_value(field(a, fields[i]), field(b, fields[i]))) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        if (!frames_same_id(how, strtoll(field(a, ids[i]).at, NULL, 10),
                            strtoll(field(b, ids[i]).at, NULL, 10))) {
            return false;
        }
    }
    /* Redis counts no more when a watched key has changed. */
    struct value multi[2] = {field(a, "multi="), field(b, "multi=")};
    bool counted = same_value(multi[0], multi[1]) ||
                   (has_flag(a, 'd') && *multi[0].at != '-' && *multi[1].at != '-');
    return counted && same_flags(a, b, later);
}

static int by_id(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    long long ids[2] = {strtoll(x + 3, NULL, 10), strtoll(y + 3, NULL, 10)};
    return (ids[0] > ids[1]) - (ids[0] < ids[1]);
}

/* By their age, since Redis turns its list now and then, and without those that Redis is about to
 * close. */
static void split_clients(struct listing *l, const struct frame *n)
{
    size_t kept = 0;

    split(l, n);
    for (size_t i = 0; i < l->count; i++) {
        if (!has_flag(l->lines[i], 'A') &&
            strstr(l->lines[i], " name=" LISTINGS_CONTROL " ") == NULL) {
            l->lines[kept++] = l->lines[i];
        }
    }
    l->count = kept;
    qsort(l->lines, l->count, sizeof *l->lines, by_id);
}

bool listings_same_clients(const struct frame *a, const struct frame *b, bool later,
                           const struct frames_how *how)
{
    struct listing x, y;

    split_clients(&x, a);
    split_clients(&y, b);
    bool same = x.count == y.count;
    for (size_t i = 0; same && i < x.count; i++) {
        same = same_client(x.lines[i], y.lines[i], later, how);
    }
    free(x.text);
    free(y.text);
    return same;
}

/* ---- INFO ---- */

static bool begins(const char *line, const char *text)
{
    return strncmp(line, text, strlen(text)) == 0;
}

/* What there is as many of as something has happened, or is for replicas; and the proxy's own. */
static bool comes_and_goes(const char *line)
{
    static const char *const names[] = {"cmdstat_", "errorstat_", "latency_percentiles_usec_",
                                        "slave", "module:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (begins(line, names[i])) {
            return true;
        }
    }
    return false;
}

static void split_info(struct listing *l, const struct frame *n)
{
    size_t kept = 0;
    bool own = false;

    split(l, n);
    for (size_t i = 0; i < l->count; i++) {
        own = *l->lines[i] == '#' ? begins(l->lines[i], "# Holdfast") : own;
        if (!own && !comes_and_goes(l->lines[i])) {
            l->lines[kept++] = l->lines[i];
        }
    }
    l->count = kept;
}

/* What must have the same value as well. */
static bool is_exact(const char *line)
{
    static const char *const names[] = {"redis_version:",
                                        "redis_mode:",
                                        "arch_bits:",
                                        "maxmemory:",
                                        "maxmemory_policy:",
                                        "loading:",
                                        "role:",
                                        "number_of_cached_scripts:",
                                        "number_of_functions:",
                                        "number_of_libraries:",
                                        "tracking_clients:",
                                        "keyspace_hits:",
                                        "keyspace_misses:",
                                        "unexpected_error_replies:",
                                        "pubsub_patterns:",
                                        "pubsub_channels:",
                                        "pubsubshard_channels:",
                                        "cluster_enabled:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (begins(line, names[i])) {
            return true;
        }
    }
    return *line == '#';
}

static bool same_line(const char *a, const char *b)
{
    size_t name = strcspn(a, ":") + 1;

    if (is_exact(a)) {
        return strcmp(a, b) == 0;
    }
    if (begins(a, "db") && isdigit((unsigned char)a[2])) {
        name = strcspn(a, "g") - 1; /* avg_ttl */
    }
    return strncmp(a, b, name) == 0;
}

/* How often it was called, and failed: the line behind its name, up to the times; or nothing. */
static struct value calls_of(const char *text, const char *name, const char *field_name)
{
    char head[64];

    (void)snprintf(head, sizeof head, "cmdstat_%s:", name);
    const char *line = strstr(text, head);
    const char *at = line != NULL ? strstr(line, field_name) : NULL;
    const char *end = line != NULL ? strchr(line, '\n') : NULL;
    if (at == NULL || (end != NULL && at > end)) {
        return (struct value){"0", 1};
    }
    at += strlen(field_name);
    return (struct value){at, strspn(at, "0123456789")};
}

/* The counts of commands that the proxy neither answers nor says itself. */
static bool same_counts(const struct frame *a, const struct frame *b)
{
    static const char *const names[] = {
        "get",     "set",      "incr",       "append",     "del",        "exists",  "mget",
        "mset",    "lpush",    "rpush",      "lpop",       "rpop",       "lrange",  "lmove",
        "blpop",   "brpop",    "blmove",     "blmpop",     "brpoplpush", "linsert", "sadd",
        "srem",    "smembers", "spop",       "zadd",       "zrange",     "zpopmin", "bzpopmin",
        "bzmpop",  "hset",     "hget",       "hgetall",    "hincrby",    "xadd",    "xread",
        "xgroup",  "xack",     "xreadgroup", "xrange",     "expire",     "pexpire", "rename",
        "copy",    "move",     "swapdb",     "flushdb",    "sort",       "type",    "pfadd",
        "pfcount", "geoadd",   "setbit",     "bitfield",   "getrange",   "restore", "dump",
        "ttl",     "persist",  "getex",      "xautoclaim", "geosearch",  "lcs"};
    static const char *const fields[] = {"calls=", "failed_calls="};
    char *texts[2] = {strndup(a->bytes, a->len), strndup(b->bytes, b->len)};
    bool same = texts[0] != NULL && texts[1] != NULL;

    for (size_t i = 0; same && i < 2 * (sizeof names / sizeof *names); i++) {
        const char *name = names[i / 2], *count = fields[i % 2];
        same = same_value(calls_of(texts[0], name, count), calls_of(texts[1], name, count));
    }
    free(texts[0]);
    free(texts[1]);
    return same;
}

bool listings_same_info(const struct frame *a, const struct frame *b)
{
    struct listing x, y;

    split_info(&x, a);
    split_info(&y, b);
    bool same = x.count == y.count && same_counts(a, b);
    for (size_t i = 0; same && i < x.count; i++) {
        same = same_line(x.lines[i], y.lines[i]);
    }
    free(x.text);
    free(y.text);
    return same;
}

/* ---- ACL LOG ---- */

/* The value behind that name in an entry; NULL: none. */
static const struct frame *value_of(const struct frame *entry, const char *name)
{
    for (size_t i = 0; i + 1 < entry->count; i += 2) {
        const struct frame *n = &entry->children[i];
        if (n->len == strlen(name) && memcmp(n->bytes, name, n->len) == 0) {
            return &entry->children[i + 1];
        }
    }
    return NULL;
}

static bool same_entry(const struct frame *a, const struct frame *b)
{
    static const char *const names[] = {"count", "reason", "context", "object", "username"};
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < sizeof names / sizeof *names; i++) {
        const struct frame *x = value_of(a, names[i]), *y = value_of(b, names[i]);
        same = x != NULL && y != NULL && x->type == y->type && x->len == y->len &&
               memcmp(x->bytes, y->bytes, x->len) == 0;
    }
    return same;
}

bool listings_same_log(const struct frame *a, const struct frame *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++) {
        same = same_entry(&a->children[i], &b->children[i]);
    }
    return same;
}
