/* Scenes about data: streams with their groups, databases, and what is large. */
#include "common/mem.h"
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what others find ---- */

/* A key of that type, most of the time, with something in it. */
static void fill_key(struct maker *m, char type)
{
    static const struct {
        char type;
        const char *words[12];
    } fills[] = {
        {'s', {"SET", "", "10"}},
        {'s', {"SET", "", "some text"}},
        {'l', {"RPUSH", "", "a", "b", "3", "1", "a", "10"}},
        {'t', {"SADD", "", "a", "b", "c", "zz", "long"}},
        {'t', {"SADD", "", "1", "2", "3", "10"}},
        {'h', {"HSET", "", "a", "1", "b", "x", "c", "2.5", "1", "10"}},
        {'z', {"ZADD", "", "1", "a", "2", "b", "3", "c", "-5", "d", "10", "10"}},
        {'z', {"ZADD", "", "0", "a", "0", "b", "0", "c", "0", "zz", "0", "long"}},
        {'g', {"GEOADD", "", "13.361389", "38.115556", "a", "1.5", "1", "b", "1", "0", "c"}},
        {'e', {"ZADD", "", "0", "a", "0", "b", "0", "c", "0", "zz", "0", "d"}},
        {'p', {"PFADD", "", "a", "b", "c", "d"}},
        {'b', {"SETRANGE", "", "2", "\x0f\xff"}},
    };
    size_t at;
    do {
        at = random_below(&m->r, sizeof fills / sizeof *fills);
    } while (fills[at].type != type);
    struct step *s = maker_step(m);
    for (size_t i = 0; i < 12 && fills[at].words[i] != NULL; i++) {
        if (i == 1) {
            char key[8];
            (void)snprintf(key, sizeof key, "%c%d", type, (int)random_below(&m->r, 4));
            step_str(s, key);
        } else {
            step_str(s, fills[at].words[i]);
        }
    }
}

void scenes_fill(struct maker *m)
{
    static const char types[] = "slthzzgpbee";

    if (maker_chance(m, 50)) {
        MAKER_SAY(m, "DEL", PICK(&m->r, "s0", "l0", "t0", "h0", "z0", "x0", "g0"),
                  PICK(&m->r, "s1", "l1", "t1", "h1", "z1", "z2", "g1"));
    }
    for (size_t i = 0; i < sizeof types - 1; i++) {
        if (maker_chance(m, 60)) {
            fill_key(m, types[i]);
        }
    }
}

/* ---- streams ---- */

void scenes_group(struct maker *m)
{
    const char *key = PICK(&m->r, "x0", "x0", "x1", "x2");
    const char *group = PICK(&m->r, "gr1", "gr1", "gr2");

    MAKER_SAY(m, "XGROUP", "CREATE", key, group, PICK(&m->r, "0", "$", "0"), "MKSTREAM");
    for (uint64_t n = 1 + random_below(&m->r, 5); n > 0; n--) {
        char id[32];
        (void)snprintf(id, sizeof id, "%u-1", 1 + m->next_id++ / 4);
        MAKER_SAY(m, "XADD", key, id, PICK(&m->r, "a", "b"), PICK(&m->r, "1", "x"));
    }
    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        struct step *s = MAKER_SAY(m, "XREADGROUP", "GROUP", group, PICK(&m->r, "c1", "c2", "c3"));
        if (maker_chance(m, 40)) {
            step_str(s, "COUNT");
            step_str(s, PICK(&m->r, "1", "2", "0"));
        }
        if (maker_chance(m, 10)) {
            step_str(s, "NOACK");
        }
        step_str(s, "STREAMS");
        step_str(s, key);
        step_str(s, PICK(&m->r, ">", ">", ">", "0"));
    }
    for (uint64_t n = random_below(&m->r, 4); n > 0; n--) {
        struct step *s = MAKER_SAY(m, "XAUTOCLAIM", key, group, PICK(&m->r, "c1", "c2"), "0",
                                   PICK(&m->r, "0", "0-0", "-", "5"));
        if (maker_chance(m, 40)) {
            step_str(s, "COUNT");
            step_str(s, PICK(&m->r, "1", "2", "100"));
        }
        if (maker_chance(m, 30)) {
            step_str(s, "JUSTID");
        }
        maker_commands(m, 2);
        if (maker_chance(m, 40)) {
            MAKER_SAY(m, "XPENDING", key, group, "-", "+", "10");
        }
        if (maker_chance(m, 20)) {
            MAKER_SAY(m, "XINFO", "STREAM", key, "FULL");
        }
    }
}

/* ---- databases ---- */

void scenes_databases(struct maker *m)
{
    const char *other = PICK(&m->r, "1", "2", "9");

    if (m->clients[m->client].blocked) {
        return;
    }
    MAKER_SAY(m, "SELECT", other);
    maker_commands(m, 6);
    for (uint64_t n = random_below(&m->r, 4); n > 0; n--) {
        struct step *s = MAKER_SAY(m, PICK(&m->r, "COPY", "MOVE", "MOVE", "SWAPDB"));
        if (step_is(s, 0, "swapdb")) {
            step_str(s, PICK(&m->r, "0", "1"));
            step_str(s, other);
            continue;
        }
        bool copies = step_is(s, 0, "copy");
        values_key(&m->r, 0, s);
        if (copies) {
            values_key(&m->r, 0, s);
            step_str(s, "DB");
        }
        step_str(s, PICK(&m->r, "0", "1", "2"));
        if (copies && maker_chance(m, 50)) {
            step_str(s, "REPLACE");
        }
    }
    if (maker_chance(m, 85)) {
        MAKER_SAY(m, "SELECT", "0");
    }
    maker_commands(m, 3);
}

/* ---- what is large ---- */

/* Of many bytes, or many words: over the sizes from which Redis, and the proxy, handle them in
 * another way. */
static void say_large(struct maker *m)
{
    static const size_t sizes[] = {16384, 32768, 40000, 70000, 300000, 1048575, 1100000};
    size_t len = sizes[random_below(&m->r, sizeof sizes / sizeof *sizes)];
    char *bytes = mem_alloc(len);

    memset(bytes, 'a' + (int)random_below(&m->r, 26), len);
    struct step *s =
        MAKER_SAY(m, PICK(&m->r, "SET", "APPEND", "RPUSH", "SADD", "LPUSHX", "ECHO", "PUBLISH"));
    if (!step_is(s, 0, "echo")) {
        step_str(s, step_is(s, 0, "publish") ? "ch1" : PICK(&m->r, "big", "big2"));
    }
    step_word(s, bytes, len);
    free(bytes);
    s = MAKER_SAY(m, PICK(&m->r, "DEL", "SADD", "RPUSH", "MGET", "EXISTS", "PFADD"), "big2");
    for (uint64_t n = 200 + random_below(&m->r, 3000); n > 0; n--) {
        step_number(s, (long long)random_below(&m->r, 5000));
    }
}

void scenes_large(struct maker *m)
{
    static const char *const fill[] = {
        "return redis.call('set', KEYS[1], string.rep('v', 1100000))",
        "for i = 1, 3000 do redis.call('rpush', KEYS[1], 'element ' .. i) end return 1",
        "for i = 1, 3000 do redis.call('zadd', KEYS[1], i, 'element ' .. i) end return 1",
        "return redis.call('setrange', KEYS[1], 1048570, 'the end')", NULL};
    static const char *const reads[][8] = {
        {"GET", "big"},
        {"STRLEN", "big"},
        {"GETRANGE", "big", "1048500", "-1"},
        {"MGET", "s0", "big", "s1"},
        {"LRANGE", "big", "0", "-1"},
        {"LRANGE", "big", "10", "20"},
        {"ZRANGE", "big", "0", "-1", "WITHSCORES"},
        {"APPEND", "big", "x"},
        {"GETSET", "big", "y"},
        {"RPUSH", "big", "z"},
        {"EVAL", "return redis.call('get', KEYS[1])", "1", "big"},
        {"COPY", "big", "big2", "REPLACE"},
    };
    static const struct rows rows = ROWS(reads);
    if (m->clients[m->client].blocked || !maker_chance(m, 25)) {
        return; /* seldom: they take their time */
    }
    bool multi = !m->clients[m->client].multi && maker_chance(m, 30);
    MAKER_SAY(m, "EVAL", values_pick(&m->r, fill), "1", "big");
    if (multi) {
        MAKER_SAY(m, "MULTI");
    }
    for (uint64_t n = 1 + random_below(&m->r, 6); n > 0; n--) {
        maker_say_row(m, &rows);
        maker_commands(m, multi ? 0 : 2);
    }
    if (maker_chance(m, 40)) {
        say_large(m);
    }
    if (multi) {
        MAKER_SAY(m, "EXEC");
    }
    MAKER_SAY(m, "DEL", "big", "big2");
}
