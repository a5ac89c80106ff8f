/* What a request touches: the keys that its command's key specs find (Redis' db.c,
 * getKeysUsingKeySpecs), or nothing of the keyspace, or all of it. In doubt it is all: that costs
 * time, the other way costs the guarantee. */
#include "proxy/protocol/command.h"

#include "proxy/protocol/command_spec.h"

#include <string.h>

/* ---- which rule a command goes by ---- */

/* Without keys and without a category that says so, and yet harmless. */
static const char *const HARMLESS[] = {
    "time",           "lolwut",        "multi",           "discard",
    "unwatch",        "acl|whoami",    "acl|cat",         "acl|genpass",
    "cluster|info",   "cluster|myid",  "cluster|nodes",   "cluster|slots",
    "cluster|shards", "cluster|links", "cluster|keyslot", NULL,
};

/* Of a category that is harmless, and yet it tells of data, or of what others did to it. */
static const char *const TELLING[] = {"debug", "monitor", "slowlog|get", NULL};

static bool is_among(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_help(const struct command *c)
{
    const char *bar = strchr(c->name, '|');

    return bar != NULL && strcmp(bar, "|help") == 0;
}

static bool specs_known(const struct command *c)
{
    for (size_t i = 0; i < c->spec_count; i++) {
        const struct command_spec *spec = &c->specs[i];
        if (spec->begin == SPEC_BEGIN_UNKNOWN || spec->find == SPEC_FIND_UNKNOWN ||
            spec->incomplete) {
            return false;
        }
    }
    return true;
}

static enum command_rule rule_without_keys(const struct command *c)
{
    const uint32_t harmless = COMMAND_CAT_CONNECTION | COMMAND_CAT_PUBSUB | COMMAND_CAT_ADMIN;

    if ((c->flags & COMMAND_FLAG_WRITE) != 0 || is_among(c->name, TELLING)) {
        return COMMAND_RULE_KEYSPACE;
    }
    if (strcmp(c->name, "info") == 0) {
        return COMMAND_RULE_INFO;
    }
    if ((c->categories & harmless) != 0 || is_among(c->name, HARMLESS)) {
        return COMMAND_RULE_HARMLESS;
    }
    return COMMAND_RULE_KEYSPACE;
}

enum command_rule command_rule_of(const struct command *c)
{
    const struct command_spec *first = c->specs;

    if ((c->flags & COMMAND_FLAG_MODULE) != 0) {
        return COMMAND_RULE_KEYSPACE;
    }
    if (is_help(c) && c->spec_count == 0) {
        return COMMAND_RULE_HARMLESS;
    }
    if ((c->categories & COMMAND_CAT_SCRIPTING) != 0) {
        return COMMAND_RULE_KEYSPACE;
    }
    if (c->spec_count == 0) {
        return rule_without_keys(c);
    }
    if (strcmp(c->name, "sort") == 0 || strcmp(c->name, "sort_ro") == 0) {
        return COMMAND_RULE_SORT;
    }
    if (!specs_known(c)) {
        return COMMAND_RULE_KEYSPACE;
    }
    if (c->spec_count == 1 && first->begin == SPEC_BEGIN_INDEX && first->find == SPEC_FIND_RANGE &&
        first->lastkey == 0) {
        return COMMAND_RULE_FIRST;
    }
    return COMMAND_RULE_SPECS;
}

/* ---- the keys of a request ---- */

static void put_key(struct buf *keys, size_t index, bool write)
{
    struct command_key key = {.index = (uint32_t)index, .write = write};

    buf_append(keys, &key, sizeof key);
}

/* The argument behind the keyword, 0 if the word is not there, -1 if it is there twice: only the
 * command itself knows then which one counts. Like Redis, the last argument is no keyword. */
static int64_t find_keyword(const struct command_spec *spec, const struct resp_arg *argv,
                            int64_t argc)
{
    int64_t found = 0;

    for (int64_t i = spec->index; i < argc; i++) {
        if (!resp_arg_is(&argv[i], spec->keyword)) {
            continue;
        }
        if (found != 0) {
            return -1;
        }
        if (i == argc - 1) {
            return 0;
        }
        found = i + 1;
    }
    return found;
}

/* Appends the keys that a spec finds; false if they can't be found. A keyword that is not there
 * (GEORADIUS without STORE) means no keys. */
static bool put_spec_keys(const struct command_spec *spec, const struct resp_arg *argv,
                          int64_t argc, struct buf *keys)
{
    int64_t first = spec->index, last;
    long long numkeys;

    if (spec->begin == SPEC_BEGIN_KEYWORD) {
        first = find_keyword(spec, argv, argc);
        if (first <= 0) {
            return first == 0;
        }
    }
    if (spec->find == SPEC_FIND_KEYNUM) {
        if (first + spec->keynumidx >= argc ||
            !resp_arg_integer(&argv[first + spec->keynumidx], &numkeys) || numkeys < 1 ||
            numkeys > argc) {
            return false;
        }
        first += spec->firstkey;
        last = first + numkeys - 1;
    } else if (spec->lastkey >= 0) {
        last = first + spec->lastkey;
    } else if (spec->limit > 0) {
        last = first + (argc - first) / spec->limit - 1;
    } else {
        last = argc + spec->lastkey;
    }
    if (last < first || last >= argc) {
        return false;
    }
    for (int64_t i = first; i <= last; i += spec->keystep) {
        put_key(keys, (size_t)i, spec->write);
    }
    return true;
}

static enum command_reach reach_by_specs(const struct command *c, const struct resp_arg *argv,
                                         size_t argc, struct buf *keys)
{
    size_t before = keys->len;

    for (size_t i = 0; i < c->spec_count; i++) {
        if (!put_spec_keys(&c->specs[i], argv, (int64_t)argc, keys)) {
            buf_truncate(keys, before);
            return COMMAND_REACH_KEYSPACE;
        }
    }
    return keys->len == before ? COMMAND_REACH_KEYSPACE : COMMAND_REACH_KEYS;
}

/* SORT key [LIMIT …] [ASC|DESC] [ALPHA] touches that key; BY and GET read keys that are made of
 * data, STORE may stand anywhere. */
static enum command_reach reach_of_sort(const struct resp_arg *argv, size_t argc, struct buf *keys)
{
    if (argc < 2) {
        return COMMAND_REACH_KEYSPACE;
    }
    for (size_t i = 2; i < argc; i++) {
        if (resp_arg_is(&argv[i], "by") || resp_arg_is(&argv[i], "get") ||
            resp_arg_is(&argv[i], "store")) {
            return COMMAND_REACH_KEYSPACE;
        }
    }
    put_key(keys, 1, false);
    return COMMAND_REACH_KEYS;
}

/* INFO names sections since Redis 7; those not listed here tell of the keyspace (keyspace, all,
 * everything, default, a module's own), or nobody knows. */
static enum command_reach reach_of_info(const struct resp_arg *argv, size_t argc)
{
    static const char *const sections[] = {
        "server",  "clients",      "memory",     "persistence",  "stats",    "replication", "cpu",
        "cluster", "commandstats", "errorstats", "latencystats", "holdfast", NULL,
    };

    if (argc < 2) {
        return COMMAND_REACH_KEYSPACE;
    }
    for (size_t i = 1; i < argc; i++) {
        bool harmless = false;
        for (const char *const *s = sections; *s != NULL && !harmless; s++) {
            harmless = resp_arg_is(&argv[i], *s);
        }
        if (!harmless) {
            return COMMAND_REACH_KEYSPACE;
        }
    }
    return COMMAND_REACH_NONE;
}

enum command_reach command_reach(const struct command *c, const struct resp_arg *argv, size_t argc,
                                 struct buf *keys)
{
    switch (c->rule) {
    case COMMAND_RULE_FIRST:
        if (argc <= (size_t)c->specs->index) {
            return COMMAND_REACH_KEYSPACE;
        }
        put_key(keys, (size_t)c->specs->index, c->specs->write);
        return COMMAND_REACH_KEYS;
    case COMMAND_RULE_SPECS:
        return reach_by_specs(c, argv, argc, keys);
    case COMMAND_RULE_HARMLESS:
        return COMMAND_REACH_NONE;
    case COMMAND_RULE_SORT:
        return reach_of_sort(argv, argc, keys);
    case COMMAND_RULE_INFO:
        return reach_of_info(argv, argc);
    case COMMAND_RULE_KEYSPACE:
        break;
    }
    return COMMAND_REACH_KEYSPACE;
}

long command_second_db(const struct command *c, const struct resp_arg *argv, size_t argc)
{
    long long db = -1;

    if (strcmp(c->name, "move") == 0) {
        if (argc < 3 || !resp_arg_integer(&argv[2], &db)) {
            return -1;
        }
    } else if (strcmp(c->name, "copy") == 0) {
        for (size_t i = 3; i + 1 < argc; i++) {
            if (!resp_arg_is(&argv[i], "db")) {
                continue;
            }
            i++;
            if (!resp_arg_integer(&argv[i], &db)) {
                return -1;
            }
        }
    }
    return db < 0 || db > INT32_MAX ? -1 : (long)db;
}
