#include "tests/differ/rules.h"

#include "tests/differ/arguments.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what is not sent ---- */

struct rules_denied {
    const char *name, *subcommand; /* no subcommand: all */
    enum rules_when when;
    const char *line; /* of docs/COMPATIBILITY.md, or NULL: no difference that can be compared */
};

#define RULES_TO_ITSELF "| a RESP3 client that publishes to itself |"
#define RULES_MODULE    "- In the connection of a RESP2 subscriber, `MODULE`"
#define RULES_STREAM    "| `PSYNC`, `SYNC`, `REPLCONF` |"
#define RULES_REPLICAS  "| `REPLICAOF`, `SLAVEOF`, `FAILOVER` |"

static const struct rules_denied denied[] = {
    {"shutdown", NULL, RULES_EVER, "| `SHUTDOWN` |"},
    {"replicaof", NULL, RULES_EVER, RULES_REPLICAS},
    {"slaveof", NULL, RULES_EVER, RULES_REPLICAS},
    {"failover", NULL, RULES_EVER, RULES_REPLICAS},
    {"psync", NULL, RULES_EVER, RULES_STREAM},
    {"sync", NULL, RULES_EVER, RULES_STREAM},
    {"replconf", NULL, RULES_EVER, RULES_STREAM},
    {"migrate", NULL, RULES_EVER, "| `MIGRATE` |"},
    {"waitaof", NULL, RULES_EVER, "| `WAIT`, `WAITAOF` |"},
    {"script", "debug", RULES_EVER, "| `SCRIPT DEBUG` |"},
    {"module", NULL, RULES_SUBSCRIBER, RULES_MODULE},
    {"module", NULL, RULES_MULTI, RULES_MODULE},
    {"multi", NULL, RULES_SUBSCRIBER, RULES_TO_ITSELF},
    /* What EXEC says then is no RESP; tests/system/test_as_plain.c has it. */
    {"client", "reply", RULES_MULTI, NULL},
    {"subscribe", NULL, RULES_MULTI, NULL},
    {"psubscribe", NULL, RULES_MULTI, NULL},
    {"ssubscribe", NULL, RULES_MULTI, NULL},
    {"unsubscribe", NULL, RULES_MULTI, NULL},
    {"punsubscribe", NULL, RULES_MULTI, NULL},
    {"sunsubscribe", NULL, RULES_MULTI, NULL},
    /* Its lines come when they come; tests/system/test_clients.c has it. */
    {"monitor", NULL, RULES_EVER, NULL},
    /* Whether a child still saves is a matter of time; and seconds of computing. */
    {"save", NULL, RULES_EVER, NULL},
    {"bgsave", NULL, RULES_EVER, NULL},
    {"bgrewriteaof", NULL, RULES_EVER, NULL},
    {"pfselftest", NULL, RULES_EVER, NULL},
    {"client", "pause", RULES_EVER, NULL}, /* but for no time at all */
};

bool rules_may_send(const struct step *s, unsigned when)
{
    bool pauses_not = step_is(s, 0, "client") && step_is(s, 1, "pause") && step_is(s, 2, "0");

    if (s->kind == STEP_RAW || s->kind == STEP_LEAVE || s->kind == STEP_END || pauses_not) {
        return true;
    }
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        const struct rules_denied *d = &denied[i];
        if (step_is(s, 0, d->name) && (d->subcommand == NULL || step_is(s, 1, d->subcommand)) &&
            (d->when == RULES_EVER || (d->when & when) != 0)) {
            return false;
        }
    }
    return true;
}

/* ---- how replies are compared ---- */

struct rules_loose {
    const char *name, *subcommand;
    enum frames_rule rule;
    bool in_multi_only;
    const char *line; /* as above */
};

#define RULES_CLIENTS   "| About the proxy's clients, not the link"
#define RULES_SHOWN     "- `ACL LOG`, and `SLOWLOG` and `MONITOR` on Redis itself, show"
#define RULES_SLOW      "- `SLOWLOG GET` through the proxy that leads shows"
#define RULES_ROLE      "| `ROLE`, `INFO replication` |"
#define RULES_RIGHTS    "by the rights that the client had when it was queued"
#define RULES_LINK      "A link that was used for this before may bring one"
#define RULES_FORGOTTEN "what the client read before it said `OFF` is forgotten"
#define RULES_PUBLISHED "all clients of the proxy count as one for each channel and pattern"

static const struct rules_loose loose[] = {
    {"wait", NULL, FRAMES_TYPE, false, "| `WAIT`, `WAITAOF` |"},
    {"role", NULL, FRAMES_TYPE, false, RULES_ROLE},
    {"info", NULL, FRAMES_TYPE, false, RULES_ROLE},
    {"slowlog", "get", FRAMES_TYPE, false, RULES_SLOW},
    {"slowlog", "len", FRAMES_TYPE, false, RULES_SLOW},
    {"acl", "log", FRAMES_TYPE, false, RULES_SHOWN},
    {"client", "list", FRAMES_CLIENTS, false, RULES_CLIENTS},
    {"client", "info", FRAMES_CLIENTS, false, RULES_CLIENTS},
    {"client", "getredir", FRAMES_IDS, false, RULES_CLIENTS},
    {"client", "trackinginfo", FRAMES_IDS, false, RULES_CLIENTS},
    {"client", "id", FRAMES_TYPE, false, RULES_CLIENTS},
    {"hello", NULL, FRAMES_SHAPE, false, RULES_CLIENTS},
    {"publish", NULL, FRAMES_TYPE, true, RULES_PUBLISHED}, /* a script's */
    {"spublish", NULL, FRAMES_TYPE, true, RULES_PUBLISHED},
    /* Random members. */
    {"srandmember", NULL, FRAMES_SHAPE, false, NULL},
    {"hrandfield", NULL, FRAMES_SHAPE, false, NULL},
    {"zrandmember", NULL, FRAMES_SHAPE, false, NULL},
    {"spop", NULL, FRAMES_SHAPE, false, NULL},
    {"randomkey", NULL, FRAMES_TYPE, false, NULL},
    {"acl", "genpass", FRAMES_SHAPE, false, NULL},
    {"lolwut", NULL, FRAMES_TYPE, false, NULL},
    /* The order of hash tables, seeded anew by each server. */
    {"hgetall", NULL, FRAMES_PAIRS, false, NULL},
    {"hscan", NULL, FRAMES_SCAN_PAIRS, false, NULL},
    {"zscan", NULL, FRAMES_SCAN_PAIRS, false, NULL},
    {"sscan", NULL, FRAMES_SCAN, false, NULL},
    {"scan", NULL, FRAMES_SCAN, false, NULL},
    {"dump", NULL, FRAMES_TYPE, false, NULL},
    {"function", "dump", FRAMES_TYPE, false, NULL},
    {"config", "get", FRAMES_UNORDERED, false, NULL},
    {"pubsub", "channels", FRAMES_UNORDERED, false, NULL},
    {"pubsub", "shardchannels", FRAMES_UNORDERED, false, NULL},
    {"acl", "cat", FRAMES_UNORDERED, false, NULL},
    {"command", "getkeysandflags", FRAMES_UNORDERED, false, NULL},
    /* Times, addresses, memory. */
    {"ttl", NULL, FRAMES_EXACT, false, NULL},
    {"pttl", NULL, FRAMES_EXACT, false, NULL},
    {"xtrim", NULL, FRAMES_EXACT, false, NULL},
    {"xadd", NULL, FRAMES_EXACT, false, NULL},
    {"xclaim", NULL, FRAMES_EXACT, false, NULL},
    {"xautoclaim", NULL, FRAMES_EXACT, false, NULL},
    {"object", "encoding", FRAMES_EXACT, false, NULL},
    {"object", "refcount", FRAMES_SHAPE, false, NULL}, /* what goes to replicas counts */
    {"object", "idletime", FRAMES_SHAPE, false, NULL},
    {"object", "freq", FRAMES_SHAPE, false, NULL},
    {"xpending", NULL, FRAMES_PENDING, false, NULL},
    {"xinfo", NULL, FRAMES_IDLE, false, NULL},
    {"time", NULL, FRAMES_TYPE, false, NULL},
    {"lastsave", NULL, FRAMES_TYPE, false, NULL},
    {"latency", NULL, FRAMES_TYPE, false, NULL},
    {"memory", "usage", FRAMES_TYPE, false, NULL},
    {"memory", "stats", FRAMES_TYPE, false, NULL},
    {"memory", "doctor", FRAMES_TYPE, false, NULL},
    {"memory", "malloc-stats", FRAMES_TYPE, false, NULL},
    {"debug", "object", FRAMES_TYPE, false, NULL},
    {"debug", "sdslen", FRAMES_TYPE, false, NULL},
    {"debug", "ziplist", FRAMES_TYPE, false, NULL},
    {"debug", "htstats", FRAMES_TYPE, false, NULL},
    {"debug", "htstats-key", FRAMES_TYPE, false, NULL},
    {"function", "stats", FRAMES_SHAPE, false, NULL},
};

bool rules_is_about_clients(const struct step *s)
{
    static const char *const names[] = {"client", "wait", "role", "pubsub", "info", "hello"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (step_is(s, 0, names[i])) {
            return true;
        }
    }
    return step_is(s, 0, "config") && step_is(s, 1, "set");
}

bool rules_runs_scripts(const struct step *s)
{
    static const char *const calls[] = {"eval",     "eval_ro", "fcall",
                                        "fcall_ro", "evalsha", "evalsha_ro"};

    for (size_t i = 0; s->kind != STEP_RAW && i < sizeof calls / sizeof *calls; i++) {
        if (step_is(s, 0, calls[i])) {
            return true;
        }
    }
    return false;
}

size_t rules_script_words(const struct step *s)
{
    if (!rules_runs_scripts(s) || s->count <= 3 || s->words[2].bytes == NULL) {
        return 0;
    }
    unsigned long long keys = strtoull(s->words[2].bytes, NULL, 10);
    return keys < s->count && 3 + keys < s->count ? 3 + (size_t)keys : 0;
}

size_t rules_script_calls(const struct step *s, struct step *calls, size_t max)
{
    size_t inner = rules_script_words(s), count = 0;

    if (inner == 0 || !step_is(s, inner, ARGUMENTS_MANY)) {
        return 0;
    }
    for (size_t from = inner + 1, at = from; at <= s->count && count < max; at++) {
        if (at == s->count || step_is(s, at, ";")) {
            calls[count] = (struct step){.kind = STEP_COMMAND, .client = s->client};
            calls[count].words = s->words + from;
            calls[count++].count = at - from;
            from = at + 1;
        }
    }
    return count;
}

/* Where no rule for each of its calls can be given. */
static enum frames_rule rule_for_all(const struct table *t, const struct step *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (rules_compare(t, &calls[i], true) != FRAMES_EXACT) {
            return FRAMES_TYPE;
        }
    }
    return FRAMES_EXACT;
}

static bool has(const struct step *s, const char *word)
{
    for (size_t i = 1; i < s->count; i++) {
        if (step_is(s, i, word)) {
            return true;
        }
    }
    return false;
}

enum frames_rule rules_compare(const struct table *t, const struct step *s, bool in_multi)
{
    struct step calls[RULES_CALLS_MAX];
    size_t inner = rules_script_words(s), many = rules_script_calls(s, calls, RULES_CALLS_MAX);

    if (many > 0) {
        return rule_for_all(t, calls, many);
    }
    if (inner > 0) {
        struct step view = *s;
        view.words += inner;
        view.count -= inner;
        return rules_compare(t, &view, true);
    }
    if (s->kind == STEP_RAW || s->count == 0 || s->words[0].bytes == NULL) {
        return FRAMES_EXACT;
    }
    if (s->count > 1 && s->words[1].client >= 0) {
        return FRAMES_ANY; /* an error with the id in it */
    }
    size_t cursor = step_is(s, 0, "scan") ? 1 : 2;
    size_t name_len = s->words[0].len;
    if (name_len >= 4 && strcasecmp(s->words[0].bytes + name_len - 4, "scan") == 0 &&
        cursor < s->count && !step_is(s, cursor, "0")) {
        return FRAMES_TYPE; /* where a cursor is depends on the order of the hash table */
    }
    for (size_t i = 0; i < sizeof loose / sizeof *loose; i++) {
        const struct rules_loose *l = &loose[i];
        if (step_is(s, 0, l->name) && (l->subcommand == NULL || step_is(s, 1, l->subcommand)) &&
            (in_multi || !l->in_multi_only)) {
            return l->rule;
        }
    }
    for (size_t i = 1; strncasecmp(s->words[0].bytes, "sort", 4) == 0 && i + 1 < s->count; i++) {
        const struct word *by = &s->words[i + 1];
        if (step_is(s, i, "by") && (memchr(by->bytes, '*', by->len) == NULL || has(s, "alpha"))) {
            /* A set unsorted, or equals in any order. */
            return has(s, "limit") ? FRAMES_TYPE : FRAMES_UNORDERED;
        }
    }
    const char *sub = s->count > 1 && s->words[1].bytes != NULL ? s->words[1].bytes : "";
    const struct command *c = table_find(t, s->words[0].bytes, sub);
    if (c != NULL && c->any_order) {
        return FRAMES_UNORDERED;
    }
    return c != NULL && c->any_output ? FRAMES_SHAPE : FRAMES_EXACT;
}

const char *rules_missing_line(const char *compatibility)
{
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        if (denied[i].line != NULL && strstr(compatibility, denied[i].line) == NULL) {
            return denied[i].line;
        }
    }
    for (size_t i = 0; i < sizeof loose / sizeof *loose; i++) {
        if (loose[i].line != NULL && strstr(compatibility, loose[i].line) == NULL) {
            return loose[i].line;
        }
    }
    static const char *const others[] = {RULES_LINK, RULES_FORGOTTEN,
                                         RULES_RIGHTS}; /* compare.c, player.c */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strstr(compatibility, others[i]) == NULL) {
            return others[i];
        }
    }
    return NULL;
}
