/* Scenes of what is carried out as one: transactions with WATCH, scripts, functions. */
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <stdio.h>
#include <string.h>

/* ---- transactions ---- */

/* What a client says of itself, to be queued. */
static void about_itself(struct maker *m)
{
    struct step *s;

    switch (random_below(&m->r, 9)) {
    case 0:
        s = MAKER_SAY(m, "HELLO", PICK(&m->r, "2", "3", "3", "2", "4", "x"));
        s->alone = true; /* if MULTI was refused: as hello() */
        if (maker_chance(m, 20)) {
            step_str(s, "AUTH");
            step_str(s, PICK(&m->r, "default", "u1", "nobody"));
            step_str(s, PICK(&m->r, "p1", "", "x"));
        }
        if (maker_chance(m, 20)) {
            step_str(s, "SETNAME");
            step_str(s, PICK(&m->r, "n1", "a b", ""));
        }
        break;
    case 1:
        MAKER_SAY(m, "AUTH", PICK(&m->r, "u1", "default", "default", "nobody"),
                  PICK(&m->r, "p1", "p1", "wrong"));
        break;
    case 2:
        s = MAKER_SAY(m, "CLIENT", "TRACKING", PICK(&m->r, "ON", "ON", "OFF", "x"));
        if (maker_chance(m, 40)) {
            step_str(s, PICK(&m->r, "OPTIN", "OPTOUT", "NOLOOP", "nosuch"));
        }
        break;
    case 3:
        MAKER_SAY(m, "CLIENT", "CACHING", PICK(&m->r, "yes", "no", "maybe"));
        break;
    case 4:
        MAKER_SAY(m, "CLIENT", "UNBLOCK", PICK(&m->r, "99999", "x"));
        break;
    case 5:
        MAKER_SAY(m, "CLIENT", PICK(&m->r, "SETNAME", "NO-EVICT"), PICK(&m->r, "on", "off", "a b"));
        break;
    case 6:
        MAKER_SAY(m, "CLIENT", "PAUSE", "0", PICK(&m->r, "ALL", "WRITE", "x"));
        break;
    case 7:
        MAKER_SAY(m, "WAIT", PICK(&m->r, "0", "x"), PICK(&m->r, "0", "-1", "10"));
        break;
    default:
        MAKER_SAY(m, "CLIENT", PICK(&m->r, "GETNAME", "GETREDIR", "TRACKINGINFO", "UNPAUSE", "ID"));
    }
}

void scenes_transaction(struct maker *m)
{
    bool *multi = &m->clients[m->client].multi;
    bool itself = maker_chance(m, 30);

    MAKER_SAY(m, "MULTI");
    *multi = true;
    maker_commands(m, 8);
    for (uint64_t n = itself ? 1 + random_below(&m->r, 3) : 0; n > 0; n--) {
        about_itself(m);
        maker_commands(m, 3);
    }
    if (maker_chance(m, 3)) {
        return; /* stays open */
    }
    MAKER_SAY(m, maker_chance(m, 85) ? "EXEC" : "DISCARD")->alone = itself; /* as HELLO */
    *multi = false;
}

void scenes_watch(struct maker *m)
{
    int client = m->client;
    struct step *s = MAKER_SAY(m, "WATCH");

    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        values_key(&m->r, 0, s);
    }
    maker_commands(m, 3);
    if (maker_chance(m, 50)) {
        m->client = (client + 1) % PROGRAM_CLIENTS;
        if (!m->clients[m->client].blocked) {
            maker_commands(m, 4);
        }
        m->client = client;
    }
    if (maker_chance(m, 15)) {
        MAKER_SAY(m, "UNWATCH");
    }
    if (!m->clients[client].blocked) {
        scenes_transaction(m);
    }
}

/* Touches what others watch, in one way or another. */
static void touch_watched(struct maker *m)
{
    static const char *const ways[][7] = {
        {"SET", "s0", "1"},
        {"DEL", "s0", "l0"},
        {"APPEND", "s0", ""},
        {"PEXPIRE", "s0", "1000000000"},
        {"PERSIST", "s0"},
        {"RENAME", "s1", "s0"},
        {"RENAME", "s0", "s1"},
        {"COPY", "s1", "s0", "REPLACE"},
        {"MOVE", "s0", "1"},
        {"SWAPDB", "0", "1"},
        {"FLUSHDB"},
        {"RPUSH", "l0", "a"},
        {"LPOP", "l0"},
        {"LREM", "l0", "0", "nosuch"},
        {"SORT", "l0", "ALPHA", "STORE", "l1"},
        {"SETRANGE", "s0", "0", ""},
        {"EVAL", "return redis.call('set', KEYS[1], 'x')", "1", "s0"},
        {"EVAL", "return redis.call('get', KEYS[1])", "1", "s0"},
        {"EVAL", "redis.call('del', KEYS[1]) return redis.call('set', KEYS[1], 'x')", "1", "s0"},
        {"GETEX", "s0", "EX", "1000000"},
        {"SET", "s0", "1", "XX", "GET"},
        {"SET", "s0", "1", "NX"},
    };
    bool multi = maker_chance(m, 20);

    if (multi) {
        MAKER_SAY(m, "MULTI");
    }
    for (uint64_t n = 1 + random_below(&m->r, 2); n > 0; n--) {
        maker_say(m, ways[random_below(&m->r, sizeof ways / sizeof *ways)]);
    }
    if (multi) {
        MAKER_SAY(m, maker_chance(m, 80) ? "EXEC" : "DISCARD");
    }
}

/* Several watch the same, and somebody, or one of them, is faster. */
void scenes_race(struct maker *m)
{
    int first = m->client;
    int racers = 2 + (int)random_below(&m->r, PROGRAM_CLIENTS - 2);

    for (int i = 0; i <= racers; i++) {
        int client = (first + i) % PROGRAM_CLIENTS;
        if (m->clients[client].multi || m->clients[client].blocked) {
            return;
        }
    }
    for (int i = 0; i < racers; i++) {
        m->client = (first + i) % PROGRAM_CLIENTS;
        MAKER_SAY(m, "WATCH", PICK(&m->r, "s0", "s0", "l0", "s1"), PICK(&m->r, "s0", "l0", "none"));
        if (maker_chance(m, 30)) {
            MAKER_SAY(m, "MULTI");
            MAKER_SAY(m, "INCR", "s0");
            m->clients[m->client].multi = true;
        }
    }
    if (maker_chance(m, 60)) {
        m->client = (first + racers) % PROGRAM_CLIENTS;
        touch_watched(m);
    }
    for (int i = 0; i < racers; i++) {
        m->client = (first + i) % PROGRAM_CLIENTS;
        if (maker_chance(m, 10)) {
            MAKER_SAY(m, "UNWATCH"); /* queued, where MULTI has been said */
        }
        if (!m->clients[m->client].multi) {
            MAKER_SAY(m, "MULTI");
        }
        touch_watched(m);
        MAKER_SAY(m, "GET", "s0");
        MAKER_SAY(m, "EXEC");
        m->clients[m->client].multi = false;
    }
    m->client = first;
}

/* The same key in two databases, which change places, or get each other's keys. */
void scenes_watch_databases(struct maker *m)
{
    static const char *const words[][6] = {
        {"SET", "s0", "1"},
        {"DEL", "s0"},
        {"SWAPDB", "0", "1"},
        {"MOVE", "s0", "1"},
        {"MOVE", "s0", "0"},
        {"COPY", "s0", "s0", "DB", "1", "REPLACE"},
        {"COPY", "s1", "s0", "DB", "0", "REPLACE"},
        {"FLUSHDB"},
        {"FLUSHALL"},
        {"SWAPDB", "1", "2"},
        {"EVAL", "redis.call('select', 1) return redis.call('del', 's0')", "0"},
        {"GET", "s0"}};
    static const struct rows touches = ROWS(words);
    int client = m->client, other = maker_other(m);

    if (!maker_is_free(m)) {
        return;
    }
    MAKER_SAY(m, "SELECT", "1");
    if (maker_chance(m, 60)) {
        MAKER_SAY(m, "SET", "s0", PICK(&m->r, "1", "one"));
    }
    MAKER_SAY(m, "WATCH", "s0", PICK(&m->r, "s0", "s1", "none"));
    MAKER_SAY(m, "SELECT", PICK(&m->r, "0", "0", "1", "2"));
    if (maker_chance(m, 40)) {
        MAKER_SAY(m, "WATCH", "s0");
    }
    m->client = other >= 0 && maker_chance(m, 80) ? other : client;
    MAKER_SAY(m, "SELECT", PICK(&m->r, "0", "1"));
    for (uint64_t n = random_below(&m->r, 3); n > 0; n--) {
        maker_say_row(m, &touches);
    }
    MAKER_SAY(m, "SELECT", "0");
    m->client = client;
    MAKER_SAY(m, "MULTI");
    MAKER_SAY(m, "GET", "s0");
    MAKER_SAY(m, "SELECT", PICK(&m->r, "1", "0", "99"));
    MAKER_SAY(m, "APPEND", "s0", "+");
    maker_say_row(m, &touches);
    MAKER_SAY(m, "EXEC");
    MAKER_SAY(m, "SELECT", "0");
}

/* What belongs to transactions, in any order. */
void scenes_odd_transaction(struct maker *m)
{
    static const char *const words[][5] = {{"MULTI"},
                                           {"MULTI"},
                                           {"MULTI"},
                                           {"MULTI", "x"},
                                           {"EXEC"},
                                           {"EXEC", "x"},
                                           {"DISCARD"},
                                           {"DISCARD", "x"},
                                           {"WATCH", "s0"},
                                           {"WATCH"},
                                           {"UNWATCH"},
                                           {"UNWATCH", "x"},
                                           {"GET"},
                                           {"NOSUCH"},
                                           {"INCR", "s0"},
                                           {"SET", "s0", "1"},
                                           {"LPUSH", "s0", "x"},
                                           {"SELECT", "1"},
                                           {"SELECT", "0"},
                                           {"SELECT", "99"},
                                           {"SUBSCRIBE", "ch1"},
                                           {"UNSUBSCRIBE", "ch1"},
                                           {"PSUBSCRIBE", "c*"},
                                           {"PUNSUBSCRIBE", "c*"},
                                           {"SSUBSCRIBE", "c"},
                                           {"SUNSUBSCRIBE", "c"},
                                           {"PUBLISH", "ch2", "m1"},
                                           {"CLIENT", "ID"},
                                           {"CLIENT", "INFO"},
                                           {"CLIENT", "SETNAME", "n1"},
                                           {"BLPOP", "lw", "0"},
                                           {"WAIT", "0", "0"},
                                           {"FLUSHALL"},
                                           {"SWAPDB", "0", "1"},
                                           {"SCRIPT", "LOAD", "return 1"},
                                           {"CONFIG", "GET", "maxmemory"},
                                           {"PUBSUB", "NUMSUB", "ch1", "ch2"},
                                           {"PUBSUB", "NUMPAT"},
                                           {"OBJECT", "HELP"},
                                           {"DBSIZE"},
                                           {"COMMAND", "COUNT"},
                                           {"ACL", "WHOAMI"},
                                           {"EVAL", "return redis.call('incr', 's0')", "0"},
                                           {"EVAL", "return redis.call('multi')", "0"},
                                           {"DEBUG", "SLEEP", "0"},
                                           {"RESET"},
                                           {"MEMORY", "HELP"}};
    static const struct rows odd = ROWS(words);

    if (m->clients[m->client].blocked) {
        return;
    }
    for (uint64_t n = 3 + random_below(&m->r, 12); n > 0; n--) {
        struct step *s = maker_say_row(m, &odd);
        s->alone = step_is(s, 0, "reset"); /* as HELLO */
    }
    MAKER_SAY(m, maker_chance(m, 80) ? "EXEC" : "DISCARD");
    m->clients[m->client].multi = false;
    MAKER_SAY(m, "UNSUBSCRIBE");
    MAKER_SAY(m, "PUNSUBSCRIBE");
    MAKER_SAY(m, "SUNSUBSCRIBE");
    MAKER_SAY(m, "SELECT", "0");
}

/* ---- scripts ---- */

static void script_keys(struct maker *m, struct step *s)
{
    long long keys = (long long)random_below(&m->r, 3);
    step_number(s, keys);
    for (; keys > 0; keys--) {
        values_key(&m->r, 0, s);
    }
}

/* What a script of several calls gets. */
static void several_calls(struct maker *m, struct step *s)
{
    step_str(s, ARGUMENTS_MANY);
    for (uint64_t n = 1 + random_below(&m->r, 5); n > 0; n--) {
        maker_words(m, s);
        if (n > 1) {
            step_str(s, ";");
        }
    }
}

/* What scripts call that is not about data: mostly what they may not. */
static void say_other_call(struct maker *m, struct step *s)
{
    static const char *const calls[][5] = {
        {"MULTI"},
        {"EXEC"},
        {"WATCH", "s0"},
        {"SUBSCRIBE", "ch1"},
        {"PSUBSCRIBE", "*"},
        {"BLPOP", "lw", "0"},
        {"BLMOVE", "lw", "l0", "LEFT", "RIGHT"},
        {"XREAD", "BLOCK", "0", "STREAMS"},
        {"EVAL", "return 1", "0"},
        {"FCALL", "f1", "0"},
        {"AUTH", "u1", "p1"},
        {"HELLO", "3"},
        {"RESET"},
        {"QUIT"},
        {"CLIENT", "ID"},
        {"CLIENT", "SETNAME", "x"},
        {"CLIENT", "TRACKING", "ON"},
        {"CLIENT", "NOSUCH"},
        {"PING"},
        {"ECHO", "x"},
        {"SELECT", "1"},
        {"SELECT", "99"},
        {"SWAPDB", "0", "1"},
        {"DBSIZE"},
        {"TIME"},
        {"WAIT", "0", "0"},
        {"SCRIPT", "FLUSH"},
        {"SCRIPT", "LOAD", "return 1"},
        {"FUNCTION", "FLUSH"},
        {"SHUTDOWN"},
        {"REPLICAOF", "NO", "ONE"},
        {"MONITOR"},
        {"DEBUG", "DIGEST"},
        {"ACL", "WHOAMI"},
        {"ACL", "SETUSER", "u2", "on"},
        {"COMMAND", "COUNT"},
        {"CONFIG", "SET", "maxmemory", "1"},
        {"CONFIG", "GET", "hash-max-listpack-entries"},
        {"SPOP", "none"},
        {"NOSUCH", "x"},
        {"READONLY"},
        {"ASKING"},
        {"LASTSAVE"},
        {"ROLE"},
    };
    const char *const *call = calls[random_below(&m->r, sizeof calls / sizeof *calls)];

    for (size_t i = 0; i < sizeof calls[0] / sizeof *calls[0] && call[i] != NULL; i++) {
        step_str(s, call[i]);
    }
}

static size_t any_script(struct maker *m)
{
    size_t count = 0;
    while (arguments_scripts[count] != NULL) {
        count++;
    }
    return random_below(&m->r, maker_chance(m, 70) ? (size_t)ARGUMENTS_CALLING_SCRIPTS + 1 : count);
}

void scenes_script(struct maker *m)
{
    size_t which = any_script(m);
    bool by_sha = maker_chance(m, 30);

    if (by_sha && maker_chance(m, 70)) {
        MAKER_SAY(m, "SCRIPT", "LOAD", arguments_scripts[which]);
    }
    if (by_sha && maker_chance(m, 5)) {
        MAKER_SAY(m, "SCRIPT", "FLUSH");
    }
    const char *read_only = maker_chance(m, 20) ? "_RO" : "";
    char name[16];
    (void)snprintf(name, sizeof name, "%s%s", by_sha ? "EVALSHA" : "EVAL", read_only);
    struct step *s = MAKER_SAY(m, name);
    step_str(s, by_sha ? m->world->shas[which] : arguments_scripts[which]);
    script_keys(m, s);
    if (which < ARGUMENTS_CALLING_SCRIPTS && maker_chance(m, 12)) {
        say_other_call(m, s);
    } else if (which < ARGUMENTS_CALLING_SCRIPTS) {
        maker_words(m, s);
    } else if (which == ARGUMENTS_CALLING_SCRIPTS) {
        several_calls(m, s);
    } else {
        values_value(&m->r, s);
    }
    if (maker_chance(m, 20)) {
        MAKER_SAY(m, "SCRIPT", "EXISTS", m->world->shas[which], "abc");
    }
}

void scenes_function(struct maker *m)
{
    static const char *const libraries[] = {
        "#!lua name=lib1\n"
        "redis.register_function('f1', function(keys, args) return redis.call(unpack(args)) end)\n"
        "redis.register_function{function_name='f2', callback=function(keys, args) "
        "return {keys, args} end, flags={'no-writes'}}",
        "#!lua name=lib2\n"
        "local n = 0\n"
        "redis.register_function('f3', function(keys, args) n = n + 1 return n end)",
        "#!lua name=bad\nthis is not lua (",
        "no shebang",
        "#!lua name=lib3\nreturn 1",
        NULL,
    };
    if (maker_chance(m, 70)) {
        struct step *s = MAKER_SAY(m, "FUNCTION", "LOAD");
        if (maker_chance(m, 80)) {
            step_str(s, "REPLACE");
        }
        step_str(s,
                 values_pick(&m->r, maker_chance(m, 70) ? (const char *const[]){libraries[0], NULL}
                                                        : libraries));
    }
    for (uint64_t n = random_below(&m->r, 4); n > 0; n--) {
        bool reads = maker_chance(m, 20);
        struct step *s = MAKER_SAY(m, reads ? "FCALL_RO" : "FCALL");
        const char *name = reads && maker_chance(m, 70)
                               ? "f2"
                               : PICK(&m->r, "f1", "f1", "f1", "f2", "f3", "f4", "nosuch");
        step_str(s, name);
        script_keys(m, s);
        if (strcmp(name, "f1") == 0) {
            maker_words(m, s);
        } else {
            values_value(&m->r, s);
        }
    }
    if (maker_chance(m, 20)) {
        struct step *s = MAKER_SAY(m, "FUNCTION", "LIST");
        if (maker_chance(m, 50)) {
            step_str(s, "LIBRARYNAME");
            step_str(s, PICK(&m->r, "lib*", "lib1", "x", "*"));
        }
        if (maker_chance(m, 50)) {
            step_str(s, "WITHCODE");
        }
    }
    if (maker_chance(m, 20)) {
        struct step *s = MAKER_SAY(m, "FUNCTION", "RESTORE");
        step_word(s, m->world->functions.bytes, m->world->functions.len);
        if (maker_chance(m, 70)) {
            step_str(s, PICK(&m->r, "REPLACE", "APPEND", "FLUSH", "REPLACE", "x"));
        }
    }
    if (maker_chance(m, 20)) {
        MAKER_SAY(m, "FUNCTION", "DELETE", PICK(&m->r, "lib1", "lib1", "lib4", "nosuch"));
    }
}
