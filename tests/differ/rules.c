#include "tests/differ/rules.h"

#include "tests/differ/arguments.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what is not sent ---- */

struct rules_denied {
    const char *name, *subcommand; /* no subcommand: all */
    unsigned when;                 /* all of it */
    const char *line; /* of docs/COMPATIBILITY.md, or NULL: no difference that can be compared */
};

#define RULES_TO_ITSELF  "| a RESP3 client that publishes to itself |"
#define RULES_MODULE     "- In the connection of a RESP2 subscriber, `MODULE`"
#define RULES_READONLY   "| `READONLY`, `READWRITE` |"
#define RULES_NOTIFIED   "`CONFIG SET` goes to the Redis of the proxy that leads"
#define RULES_FAILS      "a `BITFIELD … OVERFLOW FAIL` that fails may"
#define RULES_SCRIPTS    "Each Redis has its own scripts"
#define RULES_OUTPUT     "- `client-output-buffer-limit replica` and `pubsub` are"
#define RULES_CONTEXT    "The same is said of writes there"
#define RULES_PUSH       "| `DEBUG PROTOCOL PUSH` in `MULTI`"
#define RULES_FEW        "scripts run as `EVAL_RO`"
#define RULES_COPY       "| after `READONLY` |"
#define RULES_STREAM     "| `PSYNC`, `SYNC`, `REPLCONF` |"
#define RULES_PING       "behind a `SUBSCRIBE`, `PING` has its ordinary form"
#define RULES_SUICIDE    "in which a client kills itself is answered whole"
#define RULES_UNLOGGED   "what may block, and `CLIENT REPLY`"
#define RULES_LOST_RIGHT "rights that are lost before `EXEC`"
#define RULES_CLOSED     "are closed a moment behind the answer"
#define RULES_REPLICAS   "| `REPLICAOF`, `SLAVEOF`, `FAILOVER` |"

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
    {"module", "load", RULES_SUBSCRIBER, RULES_MODULE},
    {"module", "loadex", RULES_SUBSCRIBER, RULES_MODULE},
    {"module", "unload", RULES_SUBSCRIBER, RULES_MODULE},
    {"module", "load", RULES_MULTI, RULES_MODULE},
    {"module", "loadex", RULES_MULTI, RULES_MODULE},
    {"module", "unload", RULES_MULTI, RULES_MODULE},
    {"config", "set", RULES_REPLICA, RULES_NOTIFIED},
    {"fcall_ro", NULL, RULES_REPLICA, RULES_COPY}, /* a replica refuses it in other words */
    {"evalsha_ro", NULL, RULES_REPLICA, RULES_SCRIPTS},
    {"evalsha", NULL, RULES_REPLICA, RULES_SCRIPTS},
    {"script", "exists", RULES_REPLICA, RULES_SCRIPTS},
    {"readonly", NULL, RULES_FOLLOWER, RULES_READONLY},
    {"readwrite", NULL, RULES_FOLLOWER, RULES_READONLY},
    {"publish", NULL, RULES_MULTI | RULES_SUBSCRIBER, RULES_TO_ITSELF},
    {"spublish", NULL, RULES_MULTI | RULES_SUBSCRIBER, RULES_TO_ITSELF},
    /* What EXEC says then is no RESP; tests/system/test_as_plain.c has it. */
    {"client", "reply", RULES_MULTI, NULL},
    {"ping", NULL, RULES_MULTI | RULES_SUBSCRIBER, RULES_PING},
    {"pubsub", NULL, RULES_MULTI | RULES_SUBSCRIBER, RULES_PING},
    /* If it takes a channel from its own user, Redis 7.0 frees the client that it runs for, and
     * ends (ACLKillPubsubClientsIfNeeded in acl.c). */
    {"acl", "setuser", RULES_SUBSCRIBER, NULL},
    /* Its lines come when they come; tests/system/test_clients.c has it. */
    {"monitor", NULL, RULES_EVER, NULL},
    /* Whether a child still saves is a matter of time; and seconds of computing. */
    {"save", NULL, RULES_EVER, NULL},
    {"bgsave", NULL, RULES_EVER, NULL},
    {"bgrewriteaof", NULL, RULES_EVER, NULL},
    {"pfselftest", NULL, RULES_EVER, NULL},
};

static bool has(const struct step *s, const char *word)
{
    for (size_t i = 1; i < s->count; i++) {
        if (step_is(s, i, word)) {
            return true;
        }
    }
    return false;
}

/* Whether the Redis of a proxy that does not lead would not have the same afterwards: what tells of
 * keys and the form of data are set in the leader's alone; a BITFIELD that fails is not told. */
static bool is_of_leader(const struct step *s)
{
    bool set = step_is(s, 0, "config") && step_is(s, 1, "set");
    bool field = step_is(s, 0, "bitfield") || has(s, "bitfield");

    return (set && (has(s, "notify-keyspace-events") || has(s, "hll-sparse-max-bytes") ||
                    has(s, "min-replicas-to-write"))) ||
           (field && has(s, "fail"));
}

/* A pause would hold up the tester, too, if not of writes alone and where nobody has to catch up;
 * or a short one. */
static bool pauses(const struct step *s, unsigned when)
{
    enum { SHORT_MS = 50 };
    bool writes = step_is(s, 3, "write") && s->count == 4 && when == 0;

    if (!step_is(s, 0, "client") || !step_is(s, 1, "pause") || s->count < 3 ||
        s->words[2].bytes == NULL || step_is(s, 2, "0")) {
        return false;
    }
    return !writes && (when != 0 || strtoll(s->words[2].bytes, NULL, 10) > SHORT_MS);
}

/* Whether EXEC's answer would be no RESP: more than one acknowledgement in the place of one
 * (tests/system/test_as_plain.c has it), or one that ends in the middle (RULES_SUICIDE). */
static bool spoils_exec(const struct step *s)
{
    bool kills = step_is(s, 0, "client") && step_is(s, 1, "kill");

    for (size_t i = 2; i < s->count; i++) {
        if (kills && s->words[i].client == s->client) {
            return true;
        }
    }
    static const char *const names[] = {"subscribe",   "psubscribe",   "ssubscribe",
                                        "unsubscribe", "punsubscribe", "sunsubscribe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (step_is(s, 0, names[i])) {
            return s->count != 2;
        }
    }
    return false;
}

/* How many hear of it says one for each channel and pattern. */
static bool publishes(const struct step *s)
{
    return rules_runs_scripts(s) && s->count > 1 && s->words[1].bytes != NULL &&
           strstr(s->words[1].bytes, "'publish'") != NULL;
}

/* Whether it makes a key that is over: whose Redis does not lead does not say when it goes. */
static bool makes_over(const struct step *s)
{
    return (step_is(s, 0, "set") && step_is(s, 3, "pxat") && step_is(s, 4, "1")) ||
           (step_is(s, 0, "pexpire") && step_is(s, 2, "1"));
}

bool rules_may_send(const struct step *s, unsigned when)
{
    if (s->kind == STEP_RAW && (when & RULES_REPLICA) != 0) {
        return false; /* it may read what it writes, and would not be waited for between */
    }
    if (s->kind == STEP_RAW || s->kind == STEP_LEAVE || s->kind == STEP_END) {
        return true;
    }
    bool pushes = step_is(s, 0, "debug") && step_is(s, 2, "push"); /* RULES_PUSH */
    if (((when & RULES_MULTI) != 0 && (pushes || spoils_exec(s))) || pauses(s, when) ||
        (publishes(s) && (when & RULES_MULTI) != 0 && (when & RULES_SUBSCRIBER) != 0) ||
        ((when & RULES_FOLLOWER) != 0 && is_of_leader(s)) ||
        ((when & RULES_REPLICA) != 0 && makes_over(s))) {
        return false;
    }
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        const struct rules_denied *d = &denied[i];
        if (step_is(s, 0, d->name) && (d->subcommand == NULL || step_is(s, 1, d->subcommand)) &&
            (d->when & when) == d->when) {
            return false;
        }
    }
    return true;
}

/* ---- how replies are compared ---- */

struct rules_loose {
    const char *name, *subcommand;
    enum frames_rule rule;
    unsigned when;    /* all of it */
    const char *line; /* as above */
};

#define RULES_CLIENTS   "| About the proxy's clients, not the link"
#define RULES_SHOWN     "- `ACL LOG`, and `SLOWLOG` and `MONITOR` on Redis itself, show"
#define RULES_SLOW      "- `SLOWLOG GET` through the proxy that leads shows"
#define RULES_ASKED     "| `INFO`, `INFO holdfast`, `CLIENT …` |"
#define RULES_ROLE      "| `ROLE`, `INFO replication` |"
#define RULES_RIGHTS    "by the rights that the client had when it was queued"
#define RULES_LINK      "A link that was used for this before may bring one"
#define RULES_FORGOTTEN "what the client read before it said `OFF` is forgotten"
#define RULES_REFCOUNT  "`OBJECT REFCOUNT` counts what is still to be told to replicas"
#define RULES_ENDS      "(that there is none to end is said at once)"
#define RULES_PUBLISHED "all clients of the proxy count as one for each channel and pattern"

static const struct rules_loose loose[] = {
    {"xinfo", NULL, FRAMES_TYPE, RULES_REPLICA, RULES_COPY}, /* Redis tells of no new consumer */
    {"role", NULL, FRAMES_TYPE, RULES_FOLLOWER, RULES_ROLE},
    {"hello", NULL, FRAMES_HELLO_ROLE, RULES_FOLLOWER, RULES_ROLE},
    {"info", NULL, FRAMES_TYPE, RULES_FOLLOWER, RULES_ASKED},
    {"wait", NULL, FRAMES_NOT_LESS, RULES_EVER, "| `WAIT`, `WAITAOF` |"},
    {"role", NULL, FRAMES_SHAPE, RULES_EVER, RULES_ROLE},
    {"info", NULL, FRAMES_INFO, RULES_EVER, RULES_ROLE},
    {"slowlog", "get", FRAMES_TYPE, RULES_EVER, RULES_SLOW},
    {"slowlog", "len", FRAMES_TYPE, RULES_EVER, RULES_SLOW},
    {"acl", "log", FRAMES_TYPE, RULES_REPLICA, RULES_COPY},
    {"acl", "log", FRAMES_LOG, RULES_EVER, RULES_SHOWN},
    {"client", "list", FRAMES_CLIENTS_LATER, RULES_MULTI, RULES_CLIENTS},
    {"client", "info", FRAMES_CLIENTS_LATER, RULES_MULTI, RULES_CLIENTS},
    {"client", "list", FRAMES_CLIENTS, RULES_EVER, RULES_CLIENTS},
    {"client", "info", FRAMES_CLIENTS, RULES_EVER, RULES_CLIENTS},
    {"client", "getredir", FRAMES_IDS, RULES_EVER, RULES_CLIENTS},
    {"client", "trackinginfo", FRAMES_IDS, RULES_EVER, RULES_CLIENTS},
    {"client", "id", FRAMES_IDS, RULES_EVER, RULES_CLIENTS},
    {"hello", NULL, FRAMES_HELLO, RULES_EVER, RULES_CLIENTS},
    /* Random members. */
    {"srandmember", NULL, FRAMES_SHAPE, RULES_EVER, NULL},
    {"hrandfield", NULL, FRAMES_SHAPE, RULES_EVER, NULL},
    {"zrandmember", NULL, FRAMES_SHAPE, RULES_EVER, NULL},
    {"spop", NULL, FRAMES_SHAPE, RULES_EVER, NULL},
    {"randomkey", NULL, FRAMES_TYPE, RULES_EVER, NULL},
    {"acl", "list", FRAMES_LENGTH, RULES_EVER, NULL}, /* commands in the order of a hash table */
    {"acl", "getuser", FRAMES_LENGTH, RULES_EVER, NULL},
    {"acl", "genpass", FRAMES_SHAPE, RULES_EVER, NULL},
    {"lolwut", NULL, FRAMES_TYPE, RULES_EVER, NULL},
    /* The order of hash tables, seeded anew by each server. */
    {"hgetall", NULL, FRAMES_PAIRS, RULES_EVER, NULL},
    {"hscan", NULL, FRAMES_SCAN_PAIRS, RULES_EVER, NULL},
    {"zscan", NULL, FRAMES_SCAN_PAIRS, RULES_EVER, NULL},
    {"sscan", NULL, FRAMES_SCAN, RULES_EVER, NULL},
    {"scan", NULL, FRAMES_SCAN, RULES_EVER, NULL},
    {"dump", NULL, FRAMES_TYPE, RULES_REPLICA, RULES_COPY}, /* as XINFO */
    {"dump", NULL, FRAMES_DUMP, RULES_EVER, NULL},
    {"function", "dump", FRAMES_LENGTH, RULES_EVER, NULL},
    {"config", "get", FRAMES_PAIRS, RULES_EVER, NULL},
    {"pubsub", "channels", FRAMES_UNORDERED, RULES_EVER, NULL},
    {"pubsub", "shardchannels", FRAMES_UNORDERED, RULES_EVER, NULL},
    {"acl", "cat", FRAMES_UNORDERED, RULES_EVER, NULL},
    {"command", "getkeysandflags", FRAMES_UNORDERED, RULES_EVER, NULL},
    /* Times, addresses, memory. */
    {"ttl", NULL, FRAMES_TIMES, RULES_EVER, NULL},
    {"pttl", NULL, FRAMES_TIMES, RULES_EVER, NULL},
    {"expiretime", NULL, FRAMES_TIMES, RULES_EVER, NULL},
    {"pexpiretime", NULL, FRAMES_TIMES, RULES_EVER, NULL},
    {"xtrim", NULL, FRAMES_EXACT, RULES_EVER, NULL},
    {"xadd", NULL, FRAMES_EXACT, RULES_EVER, NULL},
    {"xclaim", NULL, FRAMES_EXACT, RULES_EVER, NULL},
    {"xautoclaim", NULL, FRAMES_EXACT, RULES_EVER, NULL},
    {"object", "encoding", FRAMES_EXACT, RULES_EVER, NULL},
    {"object", "refcount", FRAMES_SHAPE, RULES_MULTI, RULES_REFCOUNT},
    {"object", "refcount", FRAMES_EXACT, RULES_EVER, NULL},
    {"object", "idletime", FRAMES_SHAPE, RULES_EVER, NULL},
    {"object", "freq", FRAMES_SHAPE, RULES_EVER, NULL},
    {"xpending", NULL, FRAMES_PENDING, RULES_EVER, NULL},
    {"xinfo", NULL, FRAMES_IDLE, RULES_EVER, NULL},
    {"time", NULL, FRAMES_TYPE, RULES_EVER, NULL},
    {"lastsave", NULL, FRAMES_TYPE, RULES_EVER, NULL},
    {"latency", NULL, FRAMES_TYPE, RULES_EVER, NULL},
    {"memory", "usage", FRAMES_TYPE, RULES_EVER, NULL},
    {"memory", "stats", FRAMES_TYPE, RULES_EVER, NULL},
    {"memory", "doctor", FRAMES_TYPE, RULES_EVER, NULL},
    {"memory", "malloc-stats", FRAMES_TYPE, RULES_EVER, NULL},
    {"debug", "object", FRAMES_TYPE, RULES_EVER, NULL},
    {"debug", "sdslen", FRAMES_TYPE, RULES_EVER, NULL},
    {"debug", "ziplist", FRAMES_TYPE, RULES_EVER, NULL},
    {"debug", "htstats", FRAMES_TYPE, RULES_EVER, NULL},
    {"debug", "htstats-key", FRAMES_TYPE, RULES_EVER, NULL},
    {"function", "stats", FRAMES_EXACT, RULES_EVER, NULL},
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

bool rules_is_of_proxy(const struct step *s)
{
    static const char *const names[] = {"auth",   "select",   "multi",     "discard",
                                        "reset",  "quit",     "subscribe", "unsubscribe",
                                        "asking", "readonly", "readwrite", "cluster"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (step_is(s, 0, names[i])) {
            return true;
        }
    }
    return rules_is_about_clients(s);
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
static enum frames_rule rule_for_all(const struct table *t, const struct step *calls, size_t count,
                                     unsigned when)
{
    for (size_t i = 0; i < count; i++) {
        if (rules_compare(t, &calls[i], when) != FRAMES_EXACT) {
            return FRAMES_COUNT;
        }
    }
    return FRAMES_EXACT;
}

/* Whether all members of a set are asked for, though they come in any order. */
static bool takes_all(const struct step *s)
{
    return (step_is(s, 0, "spop") || step_is(s, 0, "srandmember")) && s->count == 3 &&
           s->words[2].len >= 4 && strtoll(s->words[2].bytes, NULL, 10) >= 1000;
}

enum frames_rule rules_compare(const struct table *t, const struct step *s, unsigned when)
{
    struct step calls[RULES_CALLS_MAX];
    size_t inner = rules_script_words(s), many = rules_script_calls(s, calls, RULES_CALLS_MAX);

    if (many > 0) {
        return rule_for_all(t, calls, many, when | RULES_MULTI);
    }
    if (publishes(s)) {
        return (when & RULES_FOLLOWER) != 0 ? FRAMES_NOT_MORE : FRAMES_SOME;
    }
    if (inner > 0) {
        struct step view = *s;
        view.words += inner;
        view.count -= inner;
        return rules_compare(t, &view, when | RULES_MULTI);
    }
    if (s->kind == STEP_RAW || s->count == 0 || s->words[0].bytes == NULL) {
        return FRAMES_EXACT;
    }
    if (s->count > 1 && s->words[1].client >= 0) {
        return FRAMES_ERROR; /* with the id in it */
    }
    size_t cursor = step_is(s, 0, "scan") ? 1 : 2;
    size_t name_len = s->words[0].len;
    if (name_len >= 4 && strcasecmp(s->words[0].bytes + name_len - 4, "scan") == 0 &&
        cursor < s->count && !step_is(s, cursor, "0")) {
        return FRAMES_TYPE; /* where a cursor is depends on the order of the hash table */
    }
    if (takes_all(s)) {
        return FRAMES_UNORDERED;
    }
    if (step_is(s, 0, "config") && step_is(s, 1, "get") && has(s, "client-output-buffer-limit")) {
        return FRAMES_SHAPE; /* RULES_OUTPUT */
    }
    if (step_is(s, 1, "freq") && step_is(s, 2, RULES_COUNTED_KEY)) {
        return FRAMES_EXACT;
    }
    for (size_t i = 0; i < sizeof loose / sizeof *loose; i++) {
        const struct rules_loose *l = &loose[i];
        if (step_is(s, 0, l->name) && (l->subcommand == NULL || step_is(s, 1, l->subcommand)) &&
            (l->when & when) == l->when) {
            return l->rule;
        }
    }
    for (size_t i = 1; strncasecmp(s->words[0].bytes, "sort", 4) == 0 && i + 1 < s->count; i++) {
        const struct word *by = &s->words[i + 1];
        if (step_is(s, i, "by") && (memchr(by->bytes, '*', by->len) == NULL || has(s, "alpha"))) {
            /* A set unsorted, or equals in any order. */
            return has(s, "limit") ? FRAMES_COUNT : FRAMES_UNORDERED;
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
    static const char *const others[] = {
        RULES_LINK,   RULES_FORGOTTEN, RULES_ENDS, /* messages.c */
        RULES_RIGHTS,                              /* player.c */
        RULES_FAILS,  RULES_PUBLISHED, RULES_OUTPUT,   RULES_CONTEXT,    RULES_FEW,
        RULES_PUSH,   RULES_SUICIDE,   RULES_UNLOGGED, RULES_LOST_RIGHT, RULES_CLOSED};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strstr(compatibility, others[i]) == NULL) {
            return others[i];
        }
    }
    return NULL;
}
