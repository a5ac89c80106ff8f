/* Scenes about connections: replies that are switched off, HELLO, who leaves, is killed or
 * unblocked, and what CLIENT tells. */
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <string.h>

/* What is no command on data, and nobody hears the answer to. */
static void say_unheard(struct maker *m, bool skip)
{
    static const char *const words[][4] = {{"SELECT", "1"},
                                           {"SELECT", "0"},
                                           {"NOSUCH"},
                                           {"GET"},
                                           {"CLIENT", "SETNAME", "n2"},
                                           {"CLIENT", "NO-EVICT", "on"},
                                           {"SCRIPT", "LOAD", "return 1"},
                                           {"PUBLISH", "ch1", "m1"},
                                           {"WATCH", "s0"},
                                           {"UNWATCH"},
                                           {"CLIENT", "UNBLOCK", "99999"},
                                           {"EVAL", "return redis.call('incr', 's0')", "0"},
                                           {"FUNCTION", "FLUSH"},
                                           {"CLIENT", "REPLY", "SKIP"},
                                           {"EXEC"},
                                           {"LPOP", "none"},
                                           {"CONFIG", "GET", "databases"},
                                           {"WAIT", "0", "0"}};
    static const struct rows unheard = ROWS(words);

    if (!maker_chance(m, 40)) {
        (void)maker_say_row(m, &unheard);
        return;
    }
    MAKER_SAY(m, "MULTI");
    MAKER_SAY(m, "INCR", "s0");
    if (skip) {
        m->clients[m->client].multi = true; /* the rest is heard */
    } else {
        MAKER_SAY(m, maker_chance(m, 80) ? "EXEC" : "DISCARD");
    }
}

void scenes_replies_off(struct maker *m)
{
    if (m->clients[m->client].multi) {
        return;
    }
    bool skip = maker_chance(m, 60);
    MAKER_SAY(m, "CLIENT", "REPLY", skip ? "SKIP" : "OFF");
    size_t first = m->program->count;
    for (uint64_t n = skip ? 1 : random_below(&m->r, 4); n > 0; n--) {
        if (maker_chance(m, 25)) {
            say_unheard(m, skip);
        } else {
            maker_words_awake(m, maker_step(m));
        }
    }
    if (m->clients[m->client].multi) {
        MAKER_SAY(m, "EXEC");
        m->clients[m->client].multi = false;
    }
    if (!skip || maker_chance(m, 30)) {
        MAKER_SAY(m, "CLIENT", "REPLY", "ON");
    }
    for (size_t i = first; i < m->program->count; i++) {
        m->program->steps[i].glued = true;
    }
}

void scenes_leave(struct maker *m)
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

void scenes_hello(struct maker *m)
{
    if (m->clients[m->client].multi) {
        return;
    }
    struct step *s = MAKER_SAY(m, "HELLO");
    s->alone = true; /* messages before it have been told in the old form */
    if (maker_chance(m, 95)) {
        step_str(s, PICK(&m->r, "2", "3", "3", "2", "1", "4", "abc", "-1"));
    }
    if (maker_chance(m, 10)) {
        step_str(s, "SETNAME");
        step_str(s, PICK(&m->r, "n1", "a b", ""));
    }
    if (maker_chance(m, 5)) {
        step_str(s, "AUTH");
        step_str(s, PICK(&m->r, "default", "u1", "nobody"));
        step_str(s, PICK(&m->r, "p1", "", "x"));
    }
}

/* In the midst of a pipeline: what stands behind it is not heard. */
static void kill_oneself(struct maker *m)
{
    int victim = (m->client + 1) % PROGRAM_CLIENTS;

    maker_commands(m, 3);
    if (!maker_is_free(m)) {
        return;
    }
    struct step *s = MAKER_SAY(m, "CLIENT", "KILL", "ID");
    step_client_id(s, m->client);
    if (maker_chance(m, 30)) {
        step_str(s, "ID");
        step_client_id(s, victim);
        m->clients[victim].multi = m->clients[victim].blocked = false;
    }
    step_str(s, "SKIPME");
    step_str(s, PICK(&m->r, "no", "no", "yes"));
    MAKER_SAY(m, "INCR", "s0");
}

void scenes_kill_client(struct maker *m)
{
    if (m->clients[m->client].multi) {
        return;
    }
    int victim = (m->client + 1) % PROGRAM_CLIENTS;
    if (maker_chance(m, 25)) {
        kill_oneself(m);
        return;
    }
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
    if (maker_chance(m, 50)) {
        step_str(s, PICK(&m->r, "TIMEOUT", "ERROR", "timeout", "error", "other"));
    }
    m->clients[client].blocked = false;
    m->client = turn;
}

void scenes_client_command(struct maker *m, const struct command *c)
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
        if (maker_chance(m, 30)) {
            step_str(s, "TYPE");
            step_str(s, PICK(&m->r, "normal", "pubsub", "master", "replica", "nosuch"));
        } else if (maker_chance(m, 30)) {
            step_str(s, "ID");
            step_client_id(s, (int)random_below(&m->r, PROGRAM_CLIENTS));
            step_str(s, PICK(&m->r, "0", "999999", "x"));
        }
    } else if (strcmp(c->words[1], "kill") == 0 && maker_chance(m, 50)) {
        kill_by_filter(m);
    } else if (strcmp(c->words[1], "kill") == 0) {
        scenes_kill_client(m);
    } else if (strcmp(c->words[1], "pause") == 0) {
        MAKER_SAY(m, "CLIENT", "PAUSE", "0", PICK(&m->r, "ALL", "WRITE", "x"));
    } else {
        MAKER_SAY(m, "CLIENT", PICK(&m->r, "NOSUCH", "SETINFO", "NO-TOUCH", "KILL", "REPLY"),
                  "maybe", "x");
    }
}
