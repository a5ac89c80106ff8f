/* Scenes of what the server, a connection or a key is in for a while: no memory, too few replicas,
 * paused, over but not gone, several states in front of a RESET, and a pipeline that does not end.
 */
#include "tests/differ/rules.h"
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <string.h>

/* Any client that is neither in MULTI nor blocked; the one whose turn it is, if there is none. */
static int any_free(struct maker *m)
{
    int client = (int)random_below(&m->r, PROGRAM_CLIENTS);

    return m->clients[client].multi || m->clients[client].blocked ? m->client : client;
}

/* But for what looks at keys in the order of a hash table: those that are over go in that order. */
static void say_awake(struct maker *m)
{
    struct step *s = maker_step(m);

    s->glued = true;
    do {
        maker_words_awake(m, s);
    } while (step_is(s, 0, "randomkey") || step_is(s, 0, "keys") || step_is(s, 0, "scan"));
}

/* A transaction that begins and ends while it lasts. */
static void queue_awake(struct maker *m)
{
    MAKER_SAY(m, "MULTI")->glued = true;
    for (uint64_t n = random_below(&m->r, 4); n > 0; n--) {
        say_awake(m);
    }
    MAKER_SAY(m, "EXEC")->glued = true;
}

/* What is refused is refused to everybody; no scripts, which are refused in other words. */
static void try_while_refused(struct maker *m)
{
    int client = m->client;

    for (uint64_t n = 1 + random_below(&m->r, 6); n > 0; n--) {
        m->client = maker_chance(m, 60) ? client : any_free(m);
        if (maker_chance(m, 20)) {
            queue_awake(m);
        } else {
            say_awake(m);
        }
    }
    m->client = client;
}

/* Nothing may grow. What somebody has queued before is another thing: he does not speak. */
void scenes_out_of_memory(struct maker *m)
{
    if (!maker_is_free(m)) {
        return;
    }
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory-policy", "noeviction");
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory", "1")->glued = true;
    try_while_refused(m);
    if (maker_chance(m, 30)) {
        scenes_script(m);
    }
    if (maker_chance(m, 10)) {
        scenes_function(m);
    }
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory", "0")->glued = true;
}

void scenes_few_replicas(struct maker *m)
{
    if (!maker_is_free(m)) {
        return;
    }
    MAKER_SAY(m, "CONFIG", "SET", "min-replicas-to-write", PICK(&m->r, "1", "3"));
    try_while_refused(m);
    MAKER_SAY(m, "CONFIG", "SET", "min-replicas-to-write", "0")->glued = true;
}

/* Whoever writes waits; the others read (play.c sees to it that one waits at a time: in which order
 * several go on nobody could tell). */
void scenes_pause(struct maker *m)
{
    int client = m->client;

    if (!maker_is_free(m)) {
        return;
    }
    MAKER_SAY(m, "AUTH", "default", "x"); /* nobody may pause who may not end it */
    MAKER_SAY(m, "CLIENT", "PAUSE", "3600000", "WRITE")->glued = true;
    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        m->client = (client + 1 + (int)random_below(&m->r, PROGRAM_CLIENTS - 1)) % PROGRAM_CLIENTS;
        if (!maker_is_free(m)) {
            continue;
        }
        if (maker_chance(m, 25)) {
            queue_awake(m);
        }
        for (uint64_t k = 1 + random_below(&m->r, 5); k > 0; k--) {
            say_awake(m);
        }
        if (maker_chance(m, 5)) {
            (void)program_add(m->program, STEP_LEAVE, m->client);
        }
    }
    m->client = client;
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "CLIENT", "PAUSE", "10", "WRITE")->glued = true; /* does not end it sooner */
    }
    MAKER_SAY(m, "CLIENT", "UNPAUSE")->glued = true;
}

/* All requests wait, for a moment; nobody else speaks meanwhile, since nobody asks. */
void scenes_short_pause(struct maker *m)
{
    if (!maker_is_free(m)) {
        return;
    }
    struct step *s = MAKER_SAY(m, "CLIENT", "PAUSE", PICK(&m->r, "1", "15", "30"));
    if (maker_chance(m, 60)) {
        step_str(s, PICK(&m->r, "ALL", "all", "nosuch"));
    }
    for (uint64_t n = random_below(&m->r, 5); n > 0; n--) {
        if (maker_chance(m, 20)) {
            queue_awake(m);
        } else {
            say_awake(m);
        }
    }
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "CLIENT", "UNPAUSE");
    }
}

/* ---- keys that are over ---- */

/* One that is, and goes when somebody looks. */
static void make_over(struct maker *m, char type)
{
    static const struct {
        char type;
        const char *words[6];
    } kinds[] = {{'l', {"RPUSH", "l0", "a", "b"}},
                 {'t', {"SADD", "t0", "a", "b"}},
                 {'h', {"HSET", "h0", "a", "1"}},
                 {'z', {"ZADD", "z0", "1", "a"}},
                 {'x', {"XADD", "x0", "99999999999999-*", "a", "1"}}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].type == type) {
            maker_say(m, kinds[i].words)->glued = true;
            MAKER_SAY(m, "PEXPIRE", kinds[i].words[1], "1")->glued = true;
            MAKER_SAY(m, "DEBUG", "SLEEP", "0.003")->glued = true;
            return;
        }
    }
    MAKER_SAY(m, "SET", "s0", "v", "PXAT", "1")->glued = true;
}

enum over { OVER_TRACKED, OVER_WATCHED, OVER_HEARD, OVER_KINDS };

/* What another client wants to know of them. */
static void ask_for_over(struct maker *m, enum over kind)
{
    switch (kind) {
    case OVER_TRACKED:
        MAKER_SAY(m, "CLIENT", "TRACKING", "ON")->glued = true;
        MAKER_SAY(m, "MGET", "s0", "s1")->glued = true;
        MAKER_SAY(m, "LRANGE", "l0", "0", "-1")->glued = true;
        break;
    case OVER_WATCHED:
        MAKER_SAY(m, "WATCH", "s0", PICK(&m->r, "l0", "h0", "s1"))->glued = true;
        break;
    case OVER_HEARD:
        MAKER_SAY(m, "PSUBSCRIBE", "__keyevent@*__:*")->glued = true;
        break;
    case OVER_KINDS:
        break;
    }
}

static void end_asking(struct maker *m, enum over kind)
{
    if (kind == OVER_WATCHED) {
        queue_awake(m);
    } else if (kind == OVER_TRACKED && maker_chance(m, 80)) {
        MAKER_SAY(m, "CLIENT", "TRACKING", "OFF")->glued = true;
    } else if (kind == OVER_HEARD) {
        MAKER_SAY(m, "PUNSUBSCRIBE")->glued = true;
    }
}

/* Redis does not look for keys that are over by itself, so that it is told when they go. */
void scenes_over(struct maker *m)
{
    int client = m->client, other = any_free(m);
    enum over kind = (enum over)random_below(&m->r, OVER_KINDS + 1);

    if (!maker_is_free(m) || m->clients[other].multi || m->clients[other].blocked) {
        return;
    }
    MAKER_SAY(m, "AUTH", "default", "x");
    MAKER_SAY(m, "DEBUG", "SET-ACTIVE-EXPIRE", "0")->glued = true;
    MAKER_SAY(m, "CONFIG", "SET", "notify-keyspace-events", kind == OVER_HEARD ? "KEA" : "");
    m->client = other;
    if (other != client) {
        ask_for_over(m, kind);
    }
    m->client = client;
    make_over(m, "slthzxsl"[random_below(&m->r, 8)]);
    make_over(m, "slthzxsl"[random_below(&m->r, 8)]);
    try_while_refused(m);
    m->client = other;
    if (other != client) {
        end_asking(m, kind);
    }
    m->client = client;
    MAKER_SAY(m, "DEL", "s0", "l0", "t0", "h0", "z0", "x0")->glued = true;
    MAKER_SAY(m, "DEBUG", "SET-ACTIVE-EXPIRE", "1")->glued = true;
    MAKER_SAY(m, "CONFIG", "SET", "notify-keyspace-events", "")->glued = true;
}

/* ---- how often a key was used ---- */

void scenes_frequency(struct maker *m)
{
    if (!maker_is_free(m)) {
        return;
    }
    /* With a factor of 0 each use counts, and nothing decays. */
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0",
              "lfu-decay-time", "0");
    MAKER_SAY(m, "SET", RULES_COUNTED_KEY, "text");
    for (uint64_t n = random_below(&m->r, 6); n > 0; n--) {
        m->client = any_free(m);
        MAKER_SAY(m, PICK(&m->r, "GET", "STRLEN", "TOUCH", "EXISTS", "TTL"), RULES_COUNTED_KEY);
    }
    MAKER_SAY(m, "OBJECT", "FREQ", RULES_COUNTED_KEY);
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory-policy", "noeviction", "lfu-log-factor", "10",
              "lfu-decay-time", "1");
}

/* ---- connections ---- */

/* As many states as fit, then RESET, and what is left of them. */
void scenes_reset(struct maker *m)
{
    if (!maker_is_free(m)) {
        return;
    }
    if (maker_chance(m, 50)) {
        MAKER_SAY(m, "SELECT", PICK(&m->r, "1", "2"));
    }
    if (maker_chance(m, 40)) {
        MAKER_SAY(m, "CLIENT", "SETNAME", "n1");
    }
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "CLIENT", "TRACKING", "ON", PICK(&m->r, "OPTIN", "OPTOUT", "NOLOOP", "BCAST"));
    }
    if (maker_chance(m, 40)) {
        MAKER_SAY(m, "WATCH", "s0", "l0");
    }
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "CLIENT", "NO-EVICT", "ON");
    }
    if (maker_chance(m, 40)) {
        MAKER_SAY(m, PICK(&m->r, "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"), "ch1", "ch2");
    }
    if (maker_chance(m, 20)) {
        MAKER_SAY(m, "ACL", "SETUSER", "u1", "on", ">p1", "~*", "&*", "+@all");
        MAKER_SAY(m, "AUTH", "u1", "p1");
    }
    if (maker_chance(m, 40)) {
        MAKER_SAY(m, "MULTI");
        say_awake(m);
        if (maker_chance(m, 30)) {
            MAKER_SAY(m, PICK(&m->r, "NOSUCH", "GET", "MULTI"));
        }
    }
    if (maker_chance(m, 10)) {
        MAKER_SAY(m, "CLIENT", "REPLY", PICK(&m->r, "SKIP", "SKIP", "OFF"));
    }
    MAKER_SAY(m, "RESET")->alone = true; /* as HELLO */
    MAKER_SAY(m, "CLIENT", PICK(&m->r, "INFO", "TRACKINGINFO", "GETNAME", "GETREDIR"));
    MAKER_SAY(m, "ACL", "WHOAMI");
    MAKER_SAY(m, "PUBLISH", "ch1", "m1");
    MAKER_SAY(m, "SET", "s0", "changed");
    MAKER_SAY(m, PICK(&m->r, "EXEC", "DISCARD", "UNWATCH", "GET", "ACL"), "s0");
}

/* Thousands in one pipeline; seldom. */
void scenes_flood(struct maker *m)
{
    static const char *const rows[][5] = {{"INCR", "s9"},
                                          {"GET", "s9"},
                                          {"RPUSH", "l9", "a", "b"},
                                          {"LPOP", "l9"},
                                          {"LRANGE", "l9", "0", "3"},
                                          {"HSET", "h9", "a", "1"},
                                          {"HINCRBY", "h9", "a", "2"},
                                          {"PING"},
                                          {"ECHO", "x"},
                                          {"SADD", "s9", "wrong"},
                                          {"CLIENT", "GETNAME"},
                                          {"ZINCRBY", "z9", "1", "m"},
                                          {"PUBLISH", "nobody", "m1"},
                                          {"EXISTS", "s9", "l9"}};
    if (!maker_is_free(m) || !maker_chance(m, 8)) {
        return;
    }
    for (uint64_t n = 500 + random_below(&m->r, 2500); n > 0; n--) {
        const char *const *row = rows[random_below(&m->r, sizeof rows / sizeof *rows)];
        maker_say(m, row);
    }
    MAKER_SAY(m, "DEL", "s9", "l9", "h9", "z9");
}
