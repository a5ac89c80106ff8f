#include "tests/differ/scenes.h"

#include "tests/differ/values.h"

#include <stdlib.h>
#include <string.h>

#define PICK(r, ...) values_pick(r, (const char *const[]){__VA_ARGS__, NULL})

static bool chance(struct maker *m, unsigned percent)
{
    return values_chance(&m->r, percent);
}

void maker_commands(struct maker *m, unsigned most)
{
    for (uint64_t n = random_below(&m->r, most + 1); n > 0; n--) {
        maker_command(m);
    }
}

/* ---- transactions ---- */

/* What a client says of itself, to be queued. */
static void about_itself(struct maker *m)
{
    struct step *s;

    switch (random_below(&m->r, 9)) {
    case 0:
        s = MAKER_SAY(m, "HELLO", PICK(&m->r, "2", "3", "3", "2", "4", "x"));
        s->alone = true; /* if MULTI was refused: as hello() */
        if (chance(m, 20)) {
            step_str(s, "AUTH");
            step_str(s, PICK(&m->r, "default", "u1", "nobody"));
            step_str(s, PICK(&m->r, "p1", "", "x"));
        }
        if (chance(m, 20)) {
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
        if (chance(m, 40)) {
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

static void transaction(struct maker *m)
{
    bool *multi = &m->clients[m->client].multi;
    bool itself = chance(m, 30);

    MAKER_SAY(m, "MULTI");
    *multi = true;
    maker_commands(m, 8);
    for (uint64_t n = itself ? 1 + random_below(&m->r, 3) : 0; n > 0; n--) {
        about_itself(m);
        maker_commands(m, 3);
    }
    if (chance(m, 3)) {
        return; /* stays open */
    }
    MAKER_SAY(m, chance(m, 85) ? "EXEC" : "DISCARD")->alone = itself; /* as HELLO */
    *multi = false;
}

static void watch(struct maker *m)
{
    int client = m->client;
    struct step *s = MAKER_SAY(m, "WATCH");

    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        values_key(&m->r, 0, s);
    }
    maker_commands(m, 3);
    if (chance(m, 50)) {
        m->client = (client + 1) % PROGRAM_CLIENTS;
        if (!m->clients[m->client].blocked) {
            maker_commands(m, 4);
        }
        m->client = client;
    }
    if (chance(m, 15)) {
        MAKER_SAY(m, "UNWATCH");
    }
    if (!m->clients[client].blocked) {
        transaction(m);
    }
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

static size_t any_script(struct maker *m)
{
    size_t count = 0;
    while (arguments_scripts[count] != NULL) {
        count++;
    }
    return random_below(&m->r, chance(m, 70) ? (size_t)ARGUMENTS_CALLING_SCRIPTS + 1 : count);
}

static void script(struct maker *m)
{
    size_t which = any_script(m);
    bool by_sha = chance(m, 30);

    if (by_sha && chance(m, 70)) {
        MAKER_SAY(m, "SCRIPT", "LOAD", arguments_scripts[which]);
    }
    const char *read_only = chance(m, 20) ? "_RO" : "";
    char name[16];
    (void)snprintf(name, sizeof name, "%s%s", by_sha ? "EVALSHA" : "EVAL", read_only);
    struct step *s = MAKER_SAY(m, name);
    step_str(s, by_sha ? m->world->shas[which] : arguments_scripts[which]);
    script_keys(m, s);
    if (which < ARGUMENTS_CALLING_SCRIPTS) {
        maker_words(m, s);
    } else if (which == ARGUMENTS_CALLING_SCRIPTS) {
        several_calls(m, s);
    } else {
        values_value(&m->r, s);
    }
    if (chance(m, 20)) {
        MAKER_SAY(m, "SCRIPT", "EXISTS", m->world->shas[which], "abc");
    }
}

static void function(struct maker *m)
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
    if (chance(m, 70)) {
        struct step *s = MAKER_SAY(m, "FUNCTION", "LOAD");
        if (chance(m, 80)) {
            step_str(s, "REPLACE");
        }
        step_str(s, values_pick(&m->r, chance(m, 70) ? (const char *const[]){libraries[0], NULL}
                                                     : libraries));
    }
    for (uint64_t n = random_below(&m->r, 4); n > 0; n--) {
        bool reads = chance(m, 20);
        struct step *s = MAKER_SAY(m, reads ? "FCALL_RO" : "FCALL");
        const char *name = reads && chance(m, 70)
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
    if (chance(m, 20)) {
        struct step *s = MAKER_SAY(m, "FUNCTION", "LIST");
        if (chance(m, 50)) {
            step_str(s, "LIBRARYNAME");
            step_str(s, PICK(&m->r, "lib*", "lib1", "x", "*"));
        }
        if (chance(m, 50)) {
            step_str(s, "WITHCODE");
        }
    }
    if (chance(m, 20)) {
        struct step *s = MAKER_SAY(m, "FUNCTION", "RESTORE");
        step_word(s, m->world->functions.bytes, m->world->functions.len);
        if (chance(m, 70)) {
            step_str(s, PICK(&m->r, "REPLACE", "APPEND", "FLUSH", "REPLACE", "x"));
        }
    }
    if (chance(m, 20)) {
        MAKER_SAY(m, "FUNCTION", "DELETE", PICK(&m->r, "lib1", "lib1", "lib4", "nosuch"));
    }
}

/* ---- messages ---- */

static void subscribe(struct maker *m)
{
    int client = m->client;
    uint64_t kind = random_below(&m->r, 3);

    if (m->clients[client].multi) {
        return;
    }
    struct step *s = MAKER_SAY(m, kind == 0   ? "SUBSCRIBE"
                                  : kind == 1 ? "PSUBSCRIBE"
                                              : "SSUBSCRIBE");
    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        if (kind == 1) {
            values_pattern(&m->r, s);
        } else {
            values_channel(&m->r, s);
        }
    }
    for (uint64_t n = random_below(&m->r, 5); n > 0; n--) {
        if (chance(m, 75)) {
            m->client = (int)random_below(&m->r, PROGRAM_CLIENTS);
        }
        if (m->clients[m->client].blocked) {
            m->client = client;
        }
        s = MAKER_SAY(m, chance(m, 70) ? "PUBLISH" : "SPUBLISH");
        values_channel(&m->r, s);
        values_value(&m->r, s);
        if (chance(m, 20)) {
            MAKER_SAY(m, "PUBSUB", PICK(&m->r, "CHANNELS", "NUMPAT", "SHARDCHANNELS"));
        }
        if (chance(m, 20)) {
            MAKER_SAY(m, "PUBSUB", PICK(&m->r, "NUMSUB", "SHARDNUMSUB"), "ch1", "ch2", "c");
        }
    }
    m->client = client;
    if (chance(m, 10)) {
        MAKER_SAY(m, "PING");
    }
    if (chance(m, 85)) {
        static const char *const names[] = {"UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"};
        MAKER_SAY(m, names[kind]);
    }
}

/* ---- connections ---- */

static void replies_off(struct maker *m)
{
    if (m->clients[m->client].multi) {
        return;
    }
    bool skip = chance(m, 60);
    MAKER_SAY(m, "CLIENT", "REPLY", skip ? "SKIP" : "OFF");
    size_t first = m->program->count;
    for (uint64_t n = skip ? 1 : random_below(&m->r, 4); n > 0; n--) {
        struct step *s = maker_step(m);
        do {
            while (s->count > 0) {
                step_drop_word(s, s->count - 1);
            }
            maker_words(m, s);
        } while (table_find(m->world->table, s->words[0].bytes, "")->blocking);
    }
    if (!skip || chance(m, 30)) {
        MAKER_SAY(m, "CLIENT", "REPLY", "ON");
    }
    for (size_t i = first; i < m->program->count; i++) {
        m->program->steps[i].glued = true;
    }
}

static void track(struct maker *m)
{
    int client = m->client;

    if (m->clients[client].multi) {
        return;
    }
    struct step *s = MAKER_SAY(m, "CLIENT", "TRACKING", chance(m, 90) ? "ON" : "OFF");
    if (chance(m, 30)) {
        /* Not BCAST: what it sends together depends on how requests arrived at the engine. */
        const char *option = PICK(&m->r, "OPTIN", "OPTIN", "OPTOUT", "NOLOOP");
        step_str(s, option);
        if (strncmp(option, "OPT", 3) == 0) {
            MAKER_SAY(m, "CLIENT", "CACHING", strcmp(option, "OPTIN") == 0 ? "YES" : "NO");
        }
    } else if (chance(m, 15)) {
        step_str(s, "PREFIX");
        step_str(s, PICK(&m->r, "s", "l", "", "h0"));
    }
    maker_commands(m, 5);
    if (chance(m, 20)) {
        MAKER_SAY(m, "CLIENT", "CACHING", PICK(&m->r, "yes", "no", "maybe"));
        maker_commands(m, 2);
    }
    m->client = (client + 1 + (int)random_below(&m->r, PROGRAM_CLIENTS - 1)) % PROGRAM_CLIENTS;
    if (!m->clients[m->client].blocked) {
        maker_commands(m, 6);
    }
    m->client = client;
    if (chance(m, 30)) {
        MAKER_SAY(m, "CLIENT", PICK(&m->r, "TRACKINGINFO", "GETREDIR"));
    }
    if (chance(m, 70)) {
        MAKER_SAY(m, "CLIENT", "TRACKING", "OFF");
    }
}

static void leave(struct maker *m)
{
    uint64_t kind = random_below(&m->r, 5);

    if (kind == 4) {
        maker_commands(m, 8);
    }
    m->clients[m->client].multi = false;
    if (kind == 0) {
        MAKER_SAY(m, "QUIT");
    } else if (kind == 1) {
        MAKER_SAY(m, "RESET")->alone = true; /* as HELLO */
    } else {
        m->clients[m->client].blocked = false;
        (void)program_add(m->program, kind == 4 ? STEP_END : STEP_LEAVE, m->client);
    }
}

static void hello(struct maker *m)
{
    if (m->clients[m->client].multi) {
        return;
    }
    struct step *s = MAKER_SAY(m, "HELLO");
    s->alone = true; /* messages before it have been told in the old form */
    if (chance(m, 95)) {
        step_str(s, PICK(&m->r, "2", "3", "3", "2", "1", "4", "abc", "-1"));
    }
    if (chance(m, 10)) {
        step_str(s, "SETNAME");
        step_str(s, PICK(&m->r, "n1", "a b", ""));
    }
    if (chance(m, 5)) {
        step_str(s, "AUTH");
        step_str(s, PICK(&m->r, "default", "u1", "nobody"));
        step_str(s, PICK(&m->r, "p1", "", "x"));
    }
}

static void users(struct maker *m)
{
    static const char *const rules[] = {"on",    "off",  "nopass", ">p1",  "~*",          "~s*",
                                        "+@all", "-get", "+@read", "&*",   "&ch*",        "%R~l*",
                                        "reset", "nope", "-@all",  "+set", "+config|get", NULL};
    if (m->clients[m->client].multi) {
        return;
    }
    struct step *s =
        MAKER_SAY(m, "ACL", "SETUSER", PICK(&m->r, "u1", "u2"), "on", ">p1", "~*", "&*", "+@all");
    for (uint64_t n = random_below(&m->r, 3); n > 0; n--) {
        step_str(s, values_pick(&m->r, rules));
    }
    s = MAKER_SAY(m, "AUTH");
    if (chance(m, 95)) {
        step_str(s, PICK(&m->r, "u1", "u2", "u1", "default", "nobody"));
    }
    step_str(s, PICK(&m->r, "p1", "p1", "p1", "wrong"));
    MAKER_SAY(m, "ACL", "WHOAMI");
    maker_commands(m, 12);
    if (chance(m, 20)) {
        transaction(m);
    }
    if (chance(m, 70) && !m->clients[m->client].multi) {
        MAKER_SAY(m, "AUTH", "default", "x");
    }
}

static void kill_client(struct maker *m)
{
    if (m->clients[m->client].multi) {
        return;
    }
    int victim = (m->client + 1) % PROGRAM_CLIENTS;
    struct step *s = MAKER_SAY(m, "CLIENT", "KILL", "ID");
    step_client_id(s, victim);
    m->clients[victim].multi = m->clients[victim].blocked = false;
}

/* Never whom the tester asks: they are the default user's, and no subscribers. */
static void kill_by_filter(struct maker *m)
{
    if (m->clients[m->client].multi) {
        return;
    }
    switch (random_below(&m->r, 5)) {
    case 0:
        MAKER_SAY(m, "CLIENT", "KILL", "TYPE",
                  PICK(&m->r, "pubsub", "master", "replica", "slave", "nosuch"), "SKIPME",
                  PICK(&m->r, "yes", "no", "x"));
        break;
    case 1:
        MAKER_SAY(m, "CLIENT", "KILL", "USER", PICK(&m->r, "u1", "u2", "nobody"));
        break;
    case 2:
        MAKER_SAY(m, "CLIENT", "KILL", PICK(&m->r, "ADDR", "LADDR"), "1.2.3.4:5");
        break;
    case 3:
        MAKER_SAY(m, "CLIENT", "KILL", "1.2.3.4:5");
        break;
    default:
        MAKER_SAY(m, "CLIENT", "KILL", "TYPE", "normal", "USER", "u1", "SKIPME", "no");
    }
}

void scenes_release(struct maker *m, int client)
{
    int turn = m->client;

    for (int i = 0; i < PROGRAM_CLIENTS && (m->client == client || m->clients[m->client].blocked ||
                                            m->clients[m->client].multi);
         i++) {
        m->client = i;
    }
    struct step *s = MAKER_SAY(m, "CLIENT", "UNBLOCK");
    step_client_id(s, client);
    if (chance(m, 50)) {
        step_str(s, PICK(&m->r, "TIMEOUT", "ERROR", "timeout", "error", "other"));
    }
    m->clients[client].blocked = false;
    m->client = turn;
}

/* ---- forms ---- */

static void in_line(struct maker *m)
{
    size_t first = m->program->count;

    if (m->clients[m->client].blocked) {
        return;
    }
    maker_commands(m, 3);
    for (size_t i = first; i < m->program->count; i++) {
        struct step *s = &m->program->steps[i];
        if (s->kind == STEP_COMMAND && !step_is(s, 0, "")) {
            s->kind = STEP_INLINE;
        }
    }
}

static void raw(struct maker *m)
{
    static const char *const bytes[] = {"\r\n",
                                        "*0\r\n",
                                        "*-1\r\n",
                                        "PING \"a\r\n",
                                        "*1\r\n+PING\r\n",
                                        "*1\r\n$-1\r\n",
                                        "*a\r\n",
                                        "*2147483648\r\n",
                                        "*1\r\n$abc\r\n",
                                        "'\r\n",
                                        "*1\r\n$999999999999\r\n",
                                        "GET \"a\"b\r\n",
                                        "   \r\nPING\r\n",
                                        "*1\r\n$4\r\nPING\r\n\r\n",
                                        "SET s0 'it\\'s'\r\nGET s0\r\n",
                                        "SET s0 \"\\x41\\n\\q\\\"\"\nGET s0\n",
                                        "  ECHO\t'a b'   \r\n",
                                        "MGET \"\" '' s0\r\n",
                                        "*2\r\n$3\r\nGET\r\n$2\r\ns0\r\nGET s1\r\n",
                                        "SET s0 'open\r\n",
                                        "ECHO 'a'b\r\n",
                                        "ECHO \"\\xzz\"\r\n",
                                        "*3\r\n$3\r\nSET\r\n$2\r\ns0\r\n$-1\r\n",
                                        "*1\r\n$0\r\n\r\n",
                                        "$4\r\nPING\r\n",
                                        "*1\n$4\nPING\r\n",
                                        "*01\r\n$04\r\nPING\r\n",
                                        "*+1\r\n$4\r\nPING\r\n",
                                        NULL};
    struct step *s = program_add(m->program, STEP_RAW, m->client);
    step_str(s, values_pick(&m->r, bytes));
}

static void unknown(struct maker *m)
{
    struct step *s = maker_step(m);

    if (chance(m, 20)) {
        values_corner(&m->r, s);
    } else {
        step_str(s, PICK(&m->r, "NOSUCH", "get ", "geT2", "", "SENTINEL", "JSON.GET", "post1",
                         "WAITAOF", "XX\r\nYY"));
    }
    for (uint64_t n = random_below(&m->r, 5); n > 0; n--) {
        values_corner(&m->r, s);
    }
}

static void configure(struct maker *m)
{
    static const char *const settings[][4] = {
        {"hash-max-listpack-entries", "2", "128", "x"},
        {"list-max-listpack-size", "2", "-2", "-9"},
        {"set-max-intset-entries", "2", "512", ""},
        {"zset-max-listpack-entries", "2", "128", "-1"},
        {"stream-node-max-entries", "2", "100", "abc"},
        {"notify-keyspace-events", "KEA", "", "Kg$"},
        {"hll-sparse-max-bytes", "100", "3000", "1"},
        {"maxmemory-policy", "allkeys-lfu", "noeviction", "nosuch"},
        {"lfu-log-factor", "0", "10", "-1"},
        {"nosuch", "1", "2", "3"},
    };
    const char *const *one = settings[random_below(&m->r, sizeof settings / sizeof *settings)];

    MAKER_SAY(m, "CONFIG", "SET", one[0], one[1 + random_below(&m->r, 3)]);
    maker_commands(m, 3);
}

/* Nothing may grow. Not while somebody queues: what MULTI says to that is another thing. */
static void out_of_memory(struct maker *m)
{
    if (m->clients[m->client].multi || m->clients[m->client].blocked) {
        return;
    }
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory-policy", "noeviction");
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory", "1")->glued = true;
    for (uint64_t n = 1 + random_below(&m->r, 6); n > 0; n--) {
        struct step *s = maker_step(m);
        s->glued = true;
        do {
            while (s->count > 0) {
                step_drop_word(s, s->count - 1);
            }
            maker_words(m, s);
        } while (table_find(m->world->table, s->words[0].bytes, "")->blocking);
    }
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory", "0")->glued = true;
}

/* ---- what would be random ---- */

static void add_to_stream(struct maker *m)
{
    if (chance(m, 2)) {
        /* Ids made from the clock, unless the stream is ahead of it. */
        MAKER_SAY(m, "XADD", "xf", "99999999999999-1", "a", "1");
        MAKER_SAY(m, "XADD", "xf", "*", "b", "2")->glued = true;
        return;
    }
    scenes_stream_entry(m, maker_step(m));
}

void scenes_stream_entry(struct maker *m, struct step *s)
{
    char id[48];

    step_str(s, "XADD");
    values_key(&m->r, 'x', s);
    if (chance(m, 10)) {
        step_str(s, "NOMKSTREAM");
    }
    if (chance(m, 25)) {
        bool by_id = chance(m, 40);
        step_str(s, by_id ? "MINID" : "MAXLEN");
        if (chance(m, 50)) {
            step_str(s, chance(m, 50) ? "=" : "~");
        }
        step_number(s, (long long)random_below(&m->r, 20) + (by_id ? m->next_id / 8 : 0));
    }
    if (chance(m, 80)) {
        (void)snprintf(id, sizeof id, "%u-%u", m->next_id++ / 4, (unsigned)random_below(&m->r, 9));
        step_str(s, id);
    } else if (chance(m, 40)) {
        (void)snprintf(id, sizeof id, "%u-*", m->next_id++ / 4);
        step_str(s, id);
    } else {
        step_str(s, PICK(&m->r, "0-0", "1", "-", "abc", "1-1",
                         "18446744073709551615-18446744073709551615"));
    }
    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        values_member(&m->r, s);
        values_value(&m->r, s);
    }
}

static void pop_from_set(struct maker *m)
{
    if (chance(m, 30)) {
        MAKER_SAY(m, "SADD", "tr", "a", "b", "c", "d");
        MAKER_SAY(m, "SPOP", "tr", PICK(&m->r, "1", "2", "3"))->glued = true;
        MAKER_SAY(m, "DEL", "tr")->glued = true;
        return;
    }
    struct step *s = MAKER_SAY(m, "SPOP");
    values_key(&m->r, 't', s);
    step_str(s, PICK(&m->r, "0", "1000", "9223372036854775807", "-1", "abc"));
}

static void scan(struct maker *m, const struct command *c)
{
    struct step *s = maker_step(m);

    step_str(s, c->words[0]);
    if (strcmp(c->name, "scan") != 0) {
        values_key(&m->r, c->name[0] == 's' ? 't' : c->name[0], s);
    }
    step_str(s, chance(m, 92) ? "0" : PICK(&m->r, "abc", "", "18446744073709551616"));
    if (chance(m, 30)) {
        step_str(s, "MATCH");
        values_pattern(&m->r, s);
    }
    step_str(s, "COUNT");
    step_str(s, chance(m, 95) ? "100000" : PICK(&m->r, "0", "-1", "abc"));
    if (strcmp(c->name, "scan") == 0 && chance(m, 30)) {
        step_str(s, "TYPE");
        step_str(s, PICK(&m->r, "string", "list", "zset", "nosuch"));
    }
}

static void range(struct maker *m, const struct command *c)
{
    static const char *const ends[3][12] = {
        {"0", "-1", "1", "3", "-2", "100", "2", "0", "-1", "5", "-100", NULL},
        {"-inf", "+inf", "0", "1", "(1", "2", "10", "(10", "-5", "-inf", "+inf", NULL},
        {"-", "+", "[a", "(a", "[c", "(d", "[zz", "-", "+", "[", "(", NULL}};
    struct step *s = MAKER_SAY(m, c->words[0]);
    uint64_t by = random_below(&m->r, 3);

    if (strcmp(c->name, "zrangestore") == 0) {
        values_key(&m->r, 'z', s);
    }
    if (by == 2) {
        values_lex_key(&m->r, s);
    } else {
        values_key(&m->r, 'z', s);
    }
    step_str(s, values_pick(&m->r, ends[by]));
    step_str(s, values_pick(&m->r, ends[by]));
    if (by > 0) {
        step_str(s, by == 1 ? "BYSCORE" : "BYLEX");
    }
    if (chance(m, 40)) {
        step_str(s, "REV");
    }
    if (by > 0 && chance(m, 40)) {
        step_str(s, "LIMIT");
        step_str(s, PICK(&m->r, "0", "1", "2", "-1"));
        step_str(s, PICK(&m->r, "1", "2", "-1", "0"));
    }
    if (by < 2 && strcmp(c->name, "zrange") == 0 && chance(m, 40)) {
        step_str(s, "WITHSCORES");
    }
}

static void restore(struct maker *m, const struct command *c)
{
    struct step *s = MAKER_SAY(m, c->words[0]);
    const struct word *payload = &m->world->payloads[random_below(&m->r, m->world->payload_count)];

    values_key(&m->r, 0, s);
    values_milliseconds(&m->r, s, false);
    step_word(s, payload->bytes, chance(m, 90) ? payload->len : payload->len / 2);
    if (chance(m, 60)) {
        step_str(s, "REPLACE");
    }
    if (chance(m, 10)) {
        step_str(s, "ABSTTL");
    }
    if (chance(m, 10)) {
        step_str(s, PICK(&m->r, "IDLETIME", "FREQ"));
        step_str(s, PICK(&m->r, "10", "-1", "abc"));
    }
}

static void debug(struct maker *m)
{
    struct step *s = MAKER_SAY(m, "DEBUG");
    const char *what =
        PICK(&m->r, "OBJECT", "DIGEST-VALUE", "STRINGMATCH-LEN", "LISTPACK", "NOSUCH", "HELP",
             "SDSLEN", "QUICKLIST", "JMAP", "SET-ACTIVE-EXPIRE", "PROTOCOL", "PROTOCOL", "PROTOCOL",
             "ERROR", "SLEEP", "STRUCTSIZE", "DIGEST", "ZIPLIST", "HTSTATS-KEY", "RELOAD");
    if (strcmp(what, "RELOAD") == 0 && !chance(m, 5)) {
        what = "DIGEST"; /* it takes its time */
    }
    step_str(s, what);
    if (strcmp(what, "STRINGMATCH-LEN") == 0) {
        step_str(s, "10");
        step_str(s, "*a");
    } else if (strcmp(what, "SET-ACTIVE-EXPIRE") == 0) {
        step_str(s, "1");
    } else if (strcmp(what, "PROTOCOL") == 0) {
        step_str(s, PICK(&m->r, "string", "integer", "double", "null", "array", "set", "map",
                         "attrib", "push", "verbatim", "true", "false", "bignum", "nosuch"));
    } else if (strcmp(what, "ERROR") == 0) {
        step_str(s, PICK(&m->r, "ERR own", "no code", "", "A B"));
    } else if (strcmp(what, "SLEEP") == 0) {
        step_str(s, PICK(&m->r, "0", "0.001", "x"));
    } else if (strcmp(what, "HELP") != 0 && strcmp(what, "STRUCTSIZE") != 0 &&
               strcmp(what, "DIGEST") != 0 && strcmp(what, "RELOAD") != 0) {
        values_key(&m->r, 0, s);
    }
}

static void client_command(struct maker *m, const struct command *c)
{
    static const char *const fine[] = {"id",       "info",     "list",    "getname",
                                       "setname",  "unblock",  "help",    "trackinginfo",
                                       "getredir", "no-evict", "caching", "unpause"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        if (strcmp(c->words[1], fine[i]) == 0 && strcmp(fine[i], "list") != 0) {
            (void)arguments_make(&m->r, m->world, c, maker_step(m));
            return;
        }
    }
    if (strcmp(c->words[1], "list") == 0) {
        struct step *s = MAKER_SAY(m, "CLIENT", "LIST");
        if (chance(m, 30)) {
            step_str(s, "TYPE");
            step_str(s, PICK(&m->r, "normal", "pubsub", "master", "replica", "nosuch"));
        } else if (chance(m, 30)) {
            step_str(s, "ID");
            step_client_id(s, (int)random_below(&m->r, PROGRAM_CLIENTS));
            step_str(s, PICK(&m->r, "0", "999999", "x"));
        }
    } else if (strcmp(c->words[1], "kill") == 0 && chance(m, 50)) {
        kill_by_filter(m);
    } else if (strcmp(c->words[1], "kill") == 0) {
        kill_client(m);
    } else if (strcmp(c->words[1], "pause") == 0) {
        MAKER_SAY(m, "CLIENT", "PAUSE", "0", PICK(&m->r, "ALL", "WRITE", "x"));
    } else {
        MAKER_SAY(m, "CLIENT", PICK(&m->r, "NOSUCH", "SETINFO", "NO-TOUCH", "KILL", "REPLY"),
                  "maybe", "x");
    }
}

/* ---- all of them ---- */

static void wait_for_replicas(struct maker *m)
{
    MAKER_SAY(m, "WAIT", PICK(&m->r, "0", "1", "0", "abc", "-1"), PICK(&m->r, "1", "5"))->ends =
        true;
}

static void keys_of(struct maker *m, const struct command *c)
{
    struct step *s = MAKER_SAY(m, c->words[0], c->words[1]);
    if (strcmp(c->words[0], "acl") == 0) {
        step_str(s, PICK(&m->r, "u1", "default", "nobody"));
    }
    maker_words(m, s);
}

bool scenes_instead(struct maker *m, const struct command *c)
{
    const char *first = c->words[0], *second = c->words[1];

    if (strcmp(c->name, "xadd") == 0) {
        add_to_stream(m);
    } else if (strcmp(c->name, "spop") == 0) {
        pop_from_set(m);
    } else if (strlen(c->name) > 3 && strcmp(c->name + strlen(c->name) - 4, "scan") == 0) {
        scan(m, c);
    } else if ((strcmp(c->name, "zrange") == 0 || strcmp(c->name, "zrangestore") == 0) &&
               chance(m, 60)) {
        range(m, c);
    } else if (strncmp(c->name, "restore", 7) == 0) {
        restore(m, c);
    } else if (strncmp(c->name, "eval", 4) == 0) {
        script(m);
    } else if (strncmp(c->name, "fcall", 5) == 0 || strcmp(c->name, "function load") == 0 ||
               strcmp(c->name, "function restore") == 0) {
        function(m);
    } else if (strcmp(first, "client") == 0) {
        client_command(m, c);
    } else if (strcmp(first, "debug") == 0) {
        debug(m);
    } else if (strcmp(c->name, "wait") == 0) {
        wait_for_replicas(m);
    } else if (strcmp(second, "getkeys") == 0 || strcmp(second, "getkeysandflags") == 0 ||
               strcmp(second, "dryrun") == 0) {
        keys_of(m, c);
    } else if (strcmp(c->name, "config set") == 0) {
        configure(m);
    } else if (strcmp(c->name, "acl setuser") == 0 || strcmp(c->name, "auth") == 0) {
        users(m);
    } else if (strcmp(c->name, "acl deluser") == 0) {
        if (!m->clients[m->client].multi) { /* nobody deletes himself */
            MAKER_SAY(m, "AUTH", "default", "x");
            MAKER_SAY(m, "ACL", "DELUSER", PICK(&m->r, "u1", "u2", "nobody"))->glued = true;
        }
    } else if (strcmp(c->name, "hello") == 0) {
        hello(m);
    } else if (strcmp(c->name, "quit") == 0 || strcmp(c->name, "reset") == 0) {
        leave(m);
    } else if (strcmp(c->group, "transactions") == 0) {
        transaction(m);
    } else if (strcmp(c->name, "subscribe") == 0 || strcmp(c->name, "psubscribe") == 0 ||
               strcmp(c->name, "ssubscribe") == 0) {
        subscribe(m);
    } else {
        return false;
    }
    return true;
}

void scenes_play(struct maker *m)
{
    static void (*const scenes[])(struct maker *) = {transaction,
                                                     transaction,
                                                     transaction,
                                                     watch,
                                                     watch,
                                                     script,
                                                     script,
                                                     script,
                                                     function,
                                                     subscribe,
                                                     subscribe,
                                                     replies_off,
                                                     track,
                                                     leave,
                                                     hello,
                                                     users,
                                                     kill_client,
                                                     in_line,
                                                     in_line,
                                                     raw,
                                                     unknown,
                                                     configure,
                                                     wait_for_replicas,
                                                     out_of_memory,
                                                     scenes_fill,
                                                     scenes_fill,
                                                     scenes_fill,
                                                     scenes_fill,
                                                     scenes_group,
                                                     scenes_group,
                                                     scenes_wake,
                                                     scenes_wake,
                                                     scenes_redirect,
                                                     scenes_events,
                                                     scenes_databases,
                                                     scenes_large};
    scenes[random_below(&m->r, sizeof scenes / sizeof *scenes)](m);
}
