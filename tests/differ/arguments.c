#include "tests/differ/arguments.h"

#include "tests/differ/examples.h"
#include "tests/differ/values.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Its arguments are commands, with ";" between them. */
static const char script_of_several_calls[] =
    "local out, one = {}, {} for i = 2, #ARGV + 1 do if ARGV[i] == nil or ARGV[i] == ';' then "
    "out[#out + 1] = redis.pcall(unpack(one)) one = {} else one[#one + 1] = ARGV[i] end end "
    "return out";

const char *const arguments_scripts[] = {
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
    "redis.setresp(3) return redis.call(unpack(ARGV))",
    "local r = redis.pcall(unpack(ARGV)) return r",
    script_of_several_calls,
    "return {1, 2, {3, 'a', false, true, nil, 4}}",
    "return redis.error_reply('MY own error')",
    "return redis.status_reply('fine')",
    "return {err = 'without a code'}",
    "return {ok = 'good'}",
    "return 3.99",
    "redis.setresp(3) return {double = 3.5}",
    "redis.setresp(3) return {map = {a = 1}}",
    "redis.setresp(3) return {set = {a = true}}",
    "redis.setresp(3) return {big_number = '12345678901234567890'}",
    "redis.setresp(3) return {verbatim_string = {format = 'txt', string = 'x'}}",
    "return nil",
    "return false",
    "return true",
    "error('boom')",
    "return redis.call('nosuch', 'x')",
    "undeclared = 1",
    "this is not lua (",
    "return KEYS",
    "return ARGV",
    "return redis.sha1hex(ARGV[1] or '')",
    "redis.call('set', KEYS[1], '1') return redis.call('incr', KEYS[1])",
    "redis.call('select', 1) redis.call('set', 's0', 'x') return redis.call('get', 's0')",
    "redis.call('set', 's1', '1') redis.call('lpush', 's1', 'x')",
    "redis.call('del', 'l0') for i = 1, 200 do redis.call('rpush', 'l0', i) end return 200",
    "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])",
    "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 'x')",
    "#!lua flags=allow-stale,no-cluster\nreturn 1",
    "#!lua flags=nosuch\nreturn 1",
    "return cjson.encode({1, 2, 'x'})",
    "return redis.call('publish', 'ch1', 'from a script')",
    "return redis.REDIS_VERSION",
    "return {redis.call('exists', KEYS[1]), redis.call('type', KEYS[1])}",
    "return redis.call('expire', 's0', 1000000)",
    "return struct.pack('>I2', 5)",
    "return cmsgpack.pack({1, 'a', {b = 2}})",
    "return bit.bxor(5, 3)",
    "return {redis.replicate_commands()}",
    "return {redis.acl_check_cmd('set', 's0', 'x'), redis.acl_check_cmd('get', 'l0')}",
    "return redis.acl_check_cmd('nosuch')",
    "return math.random(1000)",
    "redis.log(redis.LOG_DEBUG, 'said') return redis.sha1hex('')",
    "return redis.breakpoint and 1 or 0",
    "return tostring(KEYS) == nil",
    "return #ARGV",
    "local t = {} for i = 1, 9000 do t[i] = i end return t",
    "return redis.pcall('nosuch').err",
    "redis.call('set', KEYS[1] or 's0', '1') error({err = 'ERR my own table'})",
    "redis.call('incr', 's1') return redis.error_reply('LATE after a write')",
    "return {1, nil, 2}",
    "return redis.setresp(4)",
    ("local d = redis.call('dump', KEYS[1] or 's0') if not d then return d end "
     "return redis.call('restore', KEYS[2] or 's1', 0, d, 'replace')"),
    ("local d = redis.call('dump', KEYS[1] or 'l0') redis.call('del', KEYS[1] or 'l0') "
     "return d and redis.call('restore', KEYS[1] or 'l0', 4000000000000, d, 'absttl')"),
    "redis.setresp(3) return redis.call('debug', 'protocol', 'map')",
    "return redis.call('object', 'encoding', KEYS[1] or 'h0')",
    "for i = 1, 40 do redis.call('hset', 'h0', 'f' .. i, i) end return redis.call('hlen', 'h0')",
    "redis.call('flushall') return redis.call('dbsize')",
    "",
    NULL,
};

struct making {
    struct random *r;
    const struct generate_world *world;
    const struct command *command;
    struct step *step;
    long long keys; /* that numkeys told; 0: not told */
    long long streams;
    struct arguments_made made;
};

static char key_type(struct random *r, const struct command *c)
{
    static const struct {
        const char *group;
        char type;
    } types[] = {{"string", 's'},      {"list", 'l'},   {"set", 't'},
                 {"sorted-set", 'z'},  {"hash", 'h'},   {"stream", 'x'},
                 {"hyperloglog", 'p'}, {"bitmap", 'b'}, {"geo", 'g'}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].group, c->group) == 0) {
            return types[i].type;
        }
    }
    return strncmp(c->name, "sort", 4) == 0 ? "ltz"[random_below(r, 3)] : 0;
}

/* ---- by name ---- */

static void make_timeout(struct making *m)
{
    if (values_chance(m->r, 8)) {
        step_str(m->step, PICK(m->r, "-1", "abc", "", "inf", "nan", "1e20", "9223372036854775807"));
        return;
    }
    m->made.short_timeout = values_chance(m->r, 4);
    step_str(m->step, m->made.short_timeout ? "0.01" : "0");
}

static void make_score_range(struct making *m)
{
    if (strstr(m->command->name, "lex") != NULL) {
        step_str(m->step, values_chance(m->r, 4) ? PICK(m->r, "a", "", "1")
                                                 : PICK(m->r, "-", "+", "[a", "(a", "[c", "(d",
                                                        "[zz", "[", "(", "-", "+"));
    } else if (values_chance(m->r, 40)) {
        step_str(m->step, PICK(m->r, "-inf", "+inf", "inf", "(1", "(10", "(-inf", "(", "nan", "[a",
                               "-", "+"));
    } else {
        step_number(m->step, (long long)random_below(m->r, 150) - 50);
    }
}

static void make_client_id(struct making *m)
{
    if (values_chance(m->r, 20)) {
        step_str(m->step, PICK(m->r, "0", "-1", "999999", "abc", "9223372036854775808"));
    } else {
        step_client_id(m->step, (int)random_below(m->r, PROGRAM_CLIENTS));
    }
}

static bool make_number_by_name(struct making *m, const char *name)
{
    struct random *r = m->r;
    struct step *s = m->step;

    if (strcmp(name, "numkeys") == 0) {
        m->keys = 1 + (long long)random_below(r, 3);
        if (values_chance(r, 4)) {
            values_small(r, s);
        } else {
            step_number(s, m->keys);
        }
    } else if (strcmp(name, "seconds") == 0) {
        values_seconds(r, s, false);
        m->made.timed = true;
    } else if (strcmp(name, "milliseconds") == 0 || strcmp(name, "ms") == 0 ||
               strcmp(name, "ttl") == 0) {
        values_milliseconds(r, s, false);
        m->made.timed = true;
    } else if (strcmp(name, "min-idle-time") == 0) {
        step_str(s, PICK(r, "0", "0", "0", "100000000", "-1", "abc"));
        m->made.timed = true;
    } else if (strcmp(name, "timeout") == 0) {
        make_timeout(m);
    } else if (strcmp(name, "longitude") == 0 || strcmp(name, "latitude") == 0) {
        step_str(s, values_chance(r, 4)
                        ? PICK(r, "180", "-180", "86", "181", "abc", "nan", "inf")
                        : PICK(r, "0", "1", "1.5", "-1.25", "13.361389", "38.115556", "85", "-0"));
    } else if (strcmp(name, "radius") == 0 || strcmp(name, "width") == 0 ||
               strcmp(name, "height") == 0) {
        step_str(s, values_chance(r, 5) ? PICK(r, "0", "-1", "abc")
                                        : PICK(r, "1", "100", "500", "5000", "20000", "1e9"));
    } else if (strcmp(name, "client-id") == 0) {
        make_client_id(m);
    } else if (strcmp(name, "db") == 0 || strstr(name, "-db") != NULL ||
               strncmp(name, "index1", 5) == 0) {
        if (strcmp(m->command->group, "list") == 0) {
            values_integer(r, s);
        } else {
            values_database(r, s);
        }
    } else if (strcmp(name, "bit") == 0) {
        step_str(s, PICK(r, "0", "1", "0", "1", "2", "-1", "abc"));
    } else if (strcmp(name, "count") == 0 || strcmp(name, "rank") == 0) {
        values_small(r, s);
    } else if (strcmp(m->command->name, "setbit") == 0 && strcmp(name, "value") == 0 &&
               values_chance(r, 95)) {
        step_number(s, (long long)random_below(r, 2));
    } else if (strcmp(name, "offset") == 0 && values_chance(r, 92)) {
        step_number(s, (long long)random_below(r, 100));
    } else {
        return false;
    }
    return true;
}

static bool make_text_by_name(struct making *m, const char *name)
{
    static const struct {
        const char *name;
        const char *values[10];
    } lists[] = {
        {"group", {"gr1", "gr2", "gr1", "gr1", "none"}},
        {"groupname", {"gr1", "gr2", "gr1", ""}},
        {"consumer", {"c1", "c2", "c1", ""}},
        {"consumername", {"c1", "c2", "c3"}},
        {"encoding", {"u8", "i8", "u4", "i5", "u63", "i64", "u64", "u0", "x8"}},
        {"operation", {"AND", "OR", "XOR", "NOT", "and", "nand"}},
        {"username", {"u1", "u2", "default", "nobody"}},
        {"password", {"p1", "p2", "wrong", ""}},
        {"connection-name", {"n1", "n2", "", "a b", "\xc3\xa4"}},
        {"clientname", {"n1", "n2", "", "a b"}},
        {"parameter",
         {"maxmemory", "databases", "notify-keyspace-events", "hash-*", "nosuch", "save",
          "list-max-listpack-size"}},
        {"function", {"f1", "f2", "nosuch", "F1"}},
        {"library-name", {"lib1", "lib2", "nosuch"}},
        {"library-name-pattern", {"lib*", "*", "x"}},
        {"categoryname", {"read", "write", "nosuch", "dangerous"}},
        {"category", {"read", "pubsub", "nosuch"}},
        {"type", {"string", "list", "set", "zset", "hash", "stream", "nosuch"}},
        {"section",
         {"server", "replication", "keyspace", "clients", "all", "everything", "nosuch",
          "commandstats", "memory"}},
        {"event", {"command", "fork", "nosuch"}},
        {"command-name", {"get", "set", "config|get", "nosuch", "xread", "GET"}},
        {"message", {"m1", "m2", "", "a longer message"}},
        {"operator", {"AND", "OR"}},
        {"max_deleted_entry_id", {"0-0", "1-1", "5-0", "abc"}},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (strcmp(lists[i].name, name) == 0) {
            step_str(m->step, values_pick(m->r, lists[i].values));
            return true;
        }
    }
    return false;
}

static void make_text(struct making *m, const struct argument *a)
{
    struct random *r = m->r;
    struct step *s = m->step;
    const char *name = a->name;

    if (strcmp(name, "encoding") == 0 && values_chance(r, 95)) {
        step_str(s, PICK(r, "u8", "i8", "u4", "i5", "u63", "i64", "u1", "i16"));
        return;
    }
    if (make_text_by_name(m, name)) {
        return;
    }
    if (strcmp(m->command->name, "xreadgroup") == 0 && strcmp(name, "id") == 0 &&
        values_chance(r, 60)) {
        step_str(s, ">");
    } else if (strcmp(name, "channel") == 0 || strcmp(name, "shardchannel") == 0) {
        values_channel(r, s);
    } else if (strcmp(name, "id") == 0 || strcmp(name, "last-id") == 0 ||
               (strcmp(m->command->group, "stream") == 0 &&
                (strcmp(name, "start") == 0 || strcmp(name, "end") == 0))) {
        values_stream_id(r, s);
    } else if (strcmp(name, "min") == 0 || strcmp(name, "max") == 0 || strcmp(name, "start") == 0 ||
               strcmp(name, "stop") == 0) {
        make_score_range(m);
    } else if (strcmp(name, "threshold") == 0) {
        step_number(s, (long long)random_below(r, 30));
    } else if (strcmp(name, "script") == 0) {
        size_t count = 0;
        while (arguments_scripts[count] != NULL) {
            count++;
        }
        step_str(s, arguments_scripts[random_below(r, count)]);
    } else if (strcmp(name, "sha1") == 0) {
        step_str(s, values_chance(r, 70) ? m->world->shas[random_below(r, 12)] : "abc");
    } else if (strcmp(name, "field") == 0 || strncmp(name, "member", 6) == 0 ||
               strcmp(name, "element") == 0 || strcmp(name, "pivot") == 0) {
        values_member(r, s);
    } else {
        values_value(r, s);
    }
}

/* ---- by shape ---- */

static void make_list(struct making *m, const struct argument *arguments, size_t count);

static void make_value(struct making *m, const struct argument *a)
{
    struct random *r = m->r;

    switch (a->type) {
    case ARGUMENT_KEY:
        if (strstr(m->command->name, "lex") != NULL) {
            values_lex_key(r, m->step);
            break;
        }
        values_key(r, key_type(r, m->command), m->step);
        break;
    case ARGUMENT_PATTERN:
        if (strncmp(m->command->name, "sort", 4) == 0) {
            step_str(m->step, strcmp(a->token, "BY") == 0
                                  ? PICK(r, "s*", "h*->a", "none*", "*")
                                  : PICK(r, "#", "s*", "h*->a", "none*", "*", "plain"));
        } else {
            values_pattern(r, m->step);
        }
        break;
    case ARGUMENT_TIME:
        m->made.timed = true;
        /* SET leaves it to chance when a key of the past goes; others delete it. */
        if (strcmp(m->command->name, "set") != 0 && values_chance(r, 4)) {
            step_str(m->step, PICK(r, "1", "1000", "1600000000"));
        } else if (strstr(a->name, "milli") != NULL) {
            values_milliseconds(r, m->step, true);
        } else {
            values_seconds(r, m->step, true);
        }
        break;
    case ARGUMENT_INTEGER:
    case ARGUMENT_DOUBLE:
        if (!make_number_by_name(m, a->name)) {
            if (strncmp(m->command->name, "bitfield", 8) == 0 && values_chance(r, 30)) {
                step_str(m->step, PICK(r, "#0", "#1", "#5", "#-1", "#", "#4294967296"));
            } else if (a->type == ARGUMENT_DOUBLE) {
                values_double(r, m->step);
            } else {
                values_integer(r, m->step);
            }
        }
        break;
    case ARGUMENT_STRING:
        make_text(m, a);
        break;
    case ARGUMENT_TOKEN:
        break;
    case ARGUMENT_ONEOF:
        if (a->count > 0) {
            make_list(m, &a->children[random_below(r, a->count)], 1);
        }
        break;
    case ARGUMENT_BLOCK:
        make_list(m, a->children, a->count);
        break;
    }
}

static long long times_of(struct making *m, const struct argument *a)
{
    if (!a->multiple) {
        return 1;
    }
    if (a->type == ARGUMENT_KEY && m->keys > 0) {
        return m->keys;
    }
    if (strcmp(a->name, "weight") == 0 && m->keys > 0 && !values_chance(m->r, 8)) {
        return m->keys;
    }
    if (strcmp(a->name, "id") == 0 && m->streams > 0) {
        return m->streams;
    }
    long long times = 1;
    while (times < 12 && values_chance(m->r, 45)) {
        times++;
    }
    if (a->type == ARGUMENT_KEY && strncmp(m->command->name, "xread", 5) == 0) {
        m->streams = times;
    }
    return times;
}

static void make_list(struct making *m, const struct argument *arguments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct argument *a = &arguments[i];
        if (a->optional && !values_chance(m->r, a->type == ARGUMENT_BLOCK ? 25 : 35)) {
            continue;
        }
        long long times = times_of(m, a);
        for (long long n = 0; n < times; n++) {
            if (a->token[0] != '\0' && (n == 0 || a->multiple_token)) {
                step_str(m->step, a->token);
                m->made.blocks |= strcasecmp(a->token, "BLOCK") == 0;
            }
            make_value(m, a);
        }
    }
}

static void make_name(struct random *r, struct step *s, const char *name)
{
    char text[40];
    bool upper = values_chance(r, 50), odd = values_chance(r, 5);

    (void)snprintf(text, sizeof text, "%s", name);
    for (char *c = text; *c != '\0'; c++) {
        bool up = odd ? values_chance(r, 50) : upper;
        *c = (char)(up ? toupper((unsigned char)*c) : *c);
    }
    step_str(s, text);
}

/* Ranges by names are of keys of their own. */
static void mind_lex(struct random *r, const struct command *c, struct step *s, size_t first)
{
    size_t at = first + (strcmp(c->name, "zrangestore") == 0 ? 2 : 1);
    struct step key = {.kind = STEP_COMMAND};

    for (size_t i = at + 1; i < s->count; i++) {
        if (step_is(s, i, "bylex")) {
            values_lex_key(r, &key);
            step_set_word(s, at, key.words[0].bytes, key.words[0].len);
            step_drop_word(&key, 0);
            break;
        }
    }
    free(key.words);
}

struct arguments_made arguments_make(struct random *r, const struct generate_world *w,
                                     const struct command *c, struct step *s)
{
    struct making m = {.r = r, .world = w, .command = c, .step = s};
    size_t first = s->count; /* not 0 in what a script calls */

    if (values_chance(r, 30) && examples_make(r, c, s)) {
        return (struct arguments_made){.timed = true};
    }
    make_name(r, s, c->words[0]);
    if (c->words[1][0] != '\0') {
        make_name(r, s, c->words[1]);
    }
    make_list(&m, c->arguments, c->count);
    if (strcmp(c->name, "sort") == 0 && s->count > first + 3 && step_is(s, s->count - 2, "store") &&
        step_is(s, first + 2, "by")) {
        step_drop_word(s, s->count - 1); /* it could store equals in any order */
        step_drop_word(s, s->count - 1);
    }
    if (strncmp(c->name, "zrange", 6) == 0) {
        mind_lex(r, c, s, first);
    }
    m.made.blocks = c->blocking && (m.made.blocks || strncmp(c->name, "xread", 5) != 0);
    return m.made;
}

void arguments_spoil(struct random *r, struct step *s, struct arguments_made made)
{
    size_t at = s->count > 1 ? 1 + random_below(r, s->count - 1) : 0;
    uint64_t kind = random_below(r, made.timed || made.blocks ? 1 : 4);
    struct step scratch = {.kind = STEP_COMMAND};

    if (kind == 0 && at > 0) {
        step_drop_word(s, at);
    } else if (kind == 1) {
        values_corner(r, s);
    } else if (kind == 2 && at > 0 && s->words[at].client < 0) {
        values_corner(r, &scratch);
        step_set_word(s, at, scratch.words[0].bytes, scratch.words[0].len);
        step_drop_word(&scratch, 0);
    } else if (kind == 3 && at > 0 && s->words[at].client < 0) {
        const struct word copy = s->words[at];
        step_word(s, copy.bytes, copy.len);
    }
    free(scratch.words);
}
