#include "tests/differ/generate.h"

#include "common/mem.h"
#include "tests/differ/rules.h"
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the engine tells ---- */

static redisReply *ask(redisContext *engine, int argc, const char **argv, const size_t *lens)
{
    redisReply *reply = redisCommandArgv(engine, argc, argv, lens);
    ck_assert_msg(reply != NULL, "%s: %s", argv[0], engine->errstr);
    return reply;
}

#define ASK(engine, ...)                                                                           \
    ask(engine, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                     \
        (const char *[]){__VA_ARGS__}, NULL)

static void load_shas(struct generate_world *w, redisContext *engine)
{
    for (size_t i = 0; arguments_scripts[i] != NULL; i++) {
        ck_assert_uint_lt(i, GENERATE_SCRIPTS_MAX);
        redisReply *reply = ASK(engine, "SCRIPT", "LOAD", arguments_scripts[i]);
        (void)snprintf(w->shas[i], sizeof w->shas[i], "%.40s",
                       reply->type == REDIS_REPLY_ERROR ? "" : reply->str);
        freeReplyObject(reply);
    }
    freeReplyObject(ASK(engine, "SCRIPT", "FLUSH"));
}

static void load_payloads(struct generate_world *w, redisContext *engine)
{
    static const char *const keys[] = {"p-string", "p-int",  "p-list",   "p-set",
                                       "p-zset",   "p-hash", "p-stream", "p-hll"};
    freeReplyObject(ASK(engine, "SET", "p-string", "a string"));
    freeReplyObject(ASK(engine, "SET", "p-int", "12345"));
    freeReplyObject(ASK(engine, "RPUSH", "p-list", "a", "b", "3", "-1"));
    freeReplyObject(ASK(engine, "SADD", "p-set", "1", "2", "3"));
    freeReplyObject(ASK(engine, "ZADD", "p-zset", "1", "a", "2.5", "b", "-inf", "c"));
    freeReplyObject(ASK(engine, "HSET", "p-hash", "a", "1", "b", "x"));
    freeReplyObject(ASK(engine, "XADD", "p-stream", "1-1", "a", "1"));
    freeReplyObject(ASK(engine, "PFADD", "p-hll", "a", "b"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        redisReply *reply = ASK(engine, "DUMP", keys[i]);
        ck_assert_int_eq(reply->type, REDIS_REPLY_STRING);
        struct word *to = &w->payloads[w->payload_count++];
        *to = (struct word){mem_alloc(reply->len), reply->len, -1};
        memcpy(to->bytes, reply->str, reply->len);
        freeReplyObject(reply);
    }
    freeReplyObject(ASK(engine, "FLUSHALL"));
}

static void load_functions(struct generate_world *w, redisContext *engine)
{
    freeReplyObject(ASK(engine, "FUNCTION", "LOAD",
                        "#!lua name=lib4\nredis.register_function('f4', function() return 4 end)"));
    redisReply *reply = ASK(engine, "FUNCTION", "DUMP");
    if (reply->type == REDIS_REPLY_STRING) {
        w->functions = (struct word){mem_alloc(reply->len), reply->len, -1};
        memcpy(w->functions.bytes, reply->str, reply->len);
    }
    freeReplyObject(reply);
    freeReplyObject(ASK(engine, "FUNCTION", "FLUSH"));
}

void generate_world_load(struct generate_world *w, const struct table *table, redisContext *engine)
{
    *w = (struct generate_world){.table = table};
    load_shas(w, engine);
    load_payloads(w, engine);
    load_functions(w, engine);
}

void generate_world_release(struct generate_world *w)
{
    for (size_t i = 0; i < w->payload_count; i++) {
        free(w->payloads[i].bytes);
    }
    free(w->functions.bytes);
    w->payload_count = 0;
}

/* ---- one command ---- */

struct step *maker_step(struct maker *m)
{
    return program_add(m->program, STEP_COMMAND, m->client);
}

struct step *maker_say(struct maker *m, const char *const *words)
{
    struct step *s = maker_step(m);
    for (; *words != NULL; words++) {
        step_str(s, *words);
    }
    return s;
}

struct step *maker_say_row(struct maker *m, const struct rows *rows)
{
    const char *const *row = rows->words + random_below(&m->r, rows->count) * rows->columns;
    struct step *s = maker_step(m);

    for (size_t i = 0; i < rows->columns && row[i] != NULL; i++) {
        step_str(s, row[i]);
    }
    if (s->count > 0 && step_is(s, s->count - 1, "count")) {
        step_str(s, "2");
    }
    return s;
}

bool maker_chance(struct maker *m, unsigned percent)
{
    return values_chance(&m->r, percent);
}

bool maker_is_free(const struct maker *m)
{
    return !m->clients[m->client].multi && !m->clients[m->client].blocked;
}

int maker_other(struct maker *m)
{
    int first = 1 + (int)random_below(&m->r, PROGRAM_CLIENTS - 1);

    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        int client = (m->client + first + i) % PROGRAM_CLIENTS;
        if (client != m->client && !m->clients[client].multi && !m->clients[client].blocked) {
            return client;
        }
    }
    return -1;
}

/* Groups by weight: data first. */
static const char *pick_group(struct random *r)
{
    static const struct {
        const char *name;
        unsigned weight;
    } groups[] = {{"string", 14},      {"list", 12},     {"set", 10},   {"sorted-set", 16},
                  {"hash", 12},        {"stream", 14},   {"geo", 4},    {"bitmap", 5},
                  {"hyperloglog", 3},  {"generic", 14},  {"pubsub", 3}, {"connection", 2},
                  {"transactions", 1}, {"scripting", 5}, {"server", 3}, {"cluster", 1}};
    unsigned total = 0;

    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        total += groups[i].weight;
    }
    uint64_t at = random_below(r, total);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (at < groups[i].weight) {
            return groups[i].name;
        }
        at -= groups[i].weight;
    }
    return "string";
}

static bool may_pick(const struct command *c, const char *group)
{
    if (group != NULL && strcmp(c->group, group) != 0) {
        return false;
    }
    struct word words[2];
    for (int i = 0; i < 2; i++) {
        words[i] = (struct word){(char *)(uintptr_t)c->words[i], strlen(c->words[i]), -1};
    }
    return rules_may_send(&(struct step){.count = 2, .words = words}, RULES_EVER);
}

/* What fills keys, so that others find something. */
static const struct command *pick_filler(struct maker *m)
{
    static const char *const names[] = {"set",    "rpush",  "lpush",      "sadd",  "zadd",   "hset",
                                        "xadd",   "xadd",   "geoadd",     "pfadd", "setbit", "mset",
                                        "append", "xgroup", "xreadgroup", NULL};
    const char *name = values_pick(&m->r, names);
    return table_find(m->world->table, name, strcmp(name, "xgroup") == 0 ? "create" : "");
}

/* Modules' commands have no group, and come now and then. */
static const struct command *pick_command(struct maker *m)
{
    const struct table *t = m->world->table;
    const struct command *filler = maker_chance(m, 20) ? pick_filler(m) : NULL;

    if (filler != NULL) {
        return filler;
    }
    const char *group = maker_chance(m, 1) ? NULL : pick_group(&m->r);
    size_t count = 0;

    for (size_t i = 0; i < t->count; i++) {
        count += may_pick(&t->commands[i], group);
    }
    MUST(count > 0);
    size_t at = random_below(&m->r, count), i = 0;
    for (; !may_pick(&t->commands[i], group) || at > 0; i++) {
        at -= may_pick(&t->commands[i], group);
    }
    return &t->commands[i];
}

static bool rarely(const struct command *c)
{
    static const char *const names[] = {
        "flushall",   "flushdb",       "swapdb",       "function flush",      "script flush",
        "command",    "command docs",  "command info", "command list",        "config resetstat",
        "quit",       "reset",         "lolwut",       "memory malloc-stats", "memory purge",
        "config get", "memory doctor", "memory stats", "latency histogram"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], c->name) == 0) {
            return true;
        }
    }
    return false;
}

void maker_words(struct maker *m, struct step *s)
{
    static const char *const fine[] = {"string", "list",   "set",     "sorted-set",  "hash",
                                       "geo",    "bitmap", "generic", "hyperloglog", "stream"};
    for (;;) {
        const struct command *c = pick_command(m);
        bool data = false;
        for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
            data |= strcmp(fine[i], c->group) == 0;
        }
        bool may = data && strcmp(c->name, "spop") != 0 && strcmp(c->name, "wait") != 0 &&
                   strncmp(c->name, "restore", 7) != 0;
        if (may && strcmp(c->name, "xadd") == 0) {
            scenes_stream_entry(m, s);
            return;
        }
        if (may) {
            (void)arguments_make(&m->r, m->world, c, s);
            return;
        }
    }
}

void maker_words_awake(struct maker *m, struct step *s)
{
    do {
        while (s->count > 0) {
            step_drop_word(s, s->count - 1);
        }
        maker_words(m, s);
    } while (table_find(m->world->table, s->words[0].bytes, "")->blocking);
}

void maker_command(struct maker *m)
{
    const struct command *c = pick_command(m);

    if ((rarely(c) && !maker_chance(m, 5)) || scenes_instead(m, c)) {
        return;
    }
    if (c->blocking && m->client == 0 && !m->clients[0].multi) {
        return; /* somebody must stay awake */
    }
    struct step *s = maker_step(m);
    struct arguments_made made = arguments_make(&m->r, m->world, c, s);
    if (maker_chance(m, 5) && strncmp(c->name, "sort", 4) != 0) {
        arguments_spoil(&m->r, s, made);
    }
    if (maker_chance(m, 2) && s->words[0].len > 0) {
        s->kind = STEP_INLINE;
    }
    s->alone = strcmp(c->words[0], "module") == 0; /* rules.c: not from a subscriber */
    s->ends = made.blocks && made.short_timeout;
    if (made.blocks && !made.short_timeout && !m->clients[m->client].multi) {
        m->clients[m->client].blocked = true;
    }
}

void maker_commands(struct maker *m, unsigned most)
{
    for (uint64_t n = random_below(&m->r, most + 1); n > 0; n--) {
        maker_command(m);
    }
}

/* ---- turns ---- */

static void pick_client(struct maker *m)
{
    for (int tries = 0; tries < 8; tries++) {
        m->client = (int)random_below(&m->r, PROGRAM_CLIENTS);
        if (!m->clients[m->client].blocked || maker_chance(m, 5)) {
            return;
        }
    }
    m->client = 0;
}

static void take_turn(struct maker *m)
{
    size_t length = 1;

    pick_client(m);
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        if (m->clients[i].blocked && i != m->client && maker_chance(m, 15)) {
            scenes_release(m, i);
        }
    }
    if (maker_chance(m, 18)) {
        scenes_play(m);
        return;
    }
    while (length < 200 && maker_chance(m, 94)) {
        length++;
    }
    for (size_t i = 0; i < length && !m->clients[m->client].blocked; i++) {
        maker_command(m);
    }
}

void generate(struct program *p, const struct generate_world *w, uint64_t seed, int resp,
              size_t steps)
{
    struct maker m = {.world = w, .program = p, .next_id = 8};

    program_init(p, seed, resp);
    random_init(&m.r, seed);
    for (int i = 0; i < 3; i++) {
        scenes_fill(&m);
    }
    while (p->count < steps) {
        take_turn(&m);
    }
}
