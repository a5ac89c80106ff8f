/* Commands whose effect would be random, or take its time, were they made as others are. */
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <stdio.h>
#include <string.h>

void scenes_add_to_stream(struct maker *m)
{
    if (maker_chance(m, 2)) {
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
    if (maker_chance(m, 10)) {
        step_str(s, "NOMKSTREAM");
    }
    if (maker_chance(m, 25)) {
        bool by_id = maker_chance(m, 40);
        step_str(s, by_id ? "MINID" : "MAXLEN");
        if (maker_chance(m, 50)) {
            step_str(s, maker_chance(m, 50) ? "=" : "~");
        }
        step_number(s, (long long)random_below(&m->r, 20) + (by_id ? m->next_id / 8 : 0));
    }
    if (maker_chance(m, 80)) {
        (void)snprintf(id, sizeof id, "%u-%u", m->next_id++ / 4, (unsigned)random_below(&m->r, 9));
        step_str(s, id);
    } else if (maker_chance(m, 40)) {
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

void scenes_pop_from_set(struct maker *m)
{
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "SADD", "tr", "a", "b", "c", "d");
        MAKER_SAY(m, "SPOP", "tr", PICK(&m->r, "1", "2", "3"))->glued = true;
        MAKER_SAY(m, "DEL", "tr")->glued = true;
        return;
    }
    struct step *s = MAKER_SAY(m, "SPOP");
    values_key(&m->r, 't', s);
    step_str(s, PICK(&m->r, "0", "1000", "9223372036854775807", "-1", "abc"));
}

void scenes_scan(struct maker *m, const struct command *c)
{
    struct step *s = maker_step(m);

    step_str(s, c->words[0]);
    if (strcmp(c->name, "scan") != 0) {
        values_key(&m->r, c->name[0] == 's' ? 't' : c->name[0], s);
    }
    step_str(s, maker_chance(m, 92) ? "0" : PICK(&m->r, "abc", "", "18446744073709551616"));
    if (maker_chance(m, 30)) {
        step_str(s, "MATCH");
        values_pattern(&m->r, s);
    }
    step_str(s, "COUNT");
    step_str(s, maker_chance(m, 95) ? "100000" : PICK(&m->r, "0", "-1", "abc"));
    if (strcmp(c->name, "scan") == 0 && maker_chance(m, 30)) {
        step_str(s, "TYPE");
        step_str(s, PICK(&m->r, "string", "list", "zset", "nosuch"));
    }
}

void scenes_range(struct maker *m, const struct command *c)
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
    if (maker_chance(m, 40)) {
        step_str(s, "REV");
    }
    if (by > 0 && maker_chance(m, 40)) {
        step_str(s, "LIMIT");
        step_str(s, PICK(&m->r, "0", "1", "2", "-1"));
        step_str(s, PICK(&m->r, "1", "2", "-1", "0"));
    }
    if (by < 2 && strcmp(c->name, "zrange") == 0 && maker_chance(m, 40)) {
        step_str(s, "WITHSCORES");
    }
}

void scenes_restore(struct maker *m, const struct command *c)
{
    struct step *s = MAKER_SAY(m, c->words[0]);
    const struct word *payload = &m->world->payloads[random_below(&m->r, m->world->payload_count)];

    values_key(&m->r, 0, s);
    values_milliseconds(&m->r, s, false);
    step_word(s, payload->bytes, maker_chance(m, 90) ? payload->len : payload->len / 2);
    if (maker_chance(m, 60)) {
        step_str(s, "REPLACE");
    }
    if (maker_chance(m, 10)) {
        step_str(s, "ABSTTL");
    }
    if (maker_chance(m, 10)) {
        step_str(s, PICK(&m->r, "IDLETIME", "FREQ"));
        step_str(s, PICK(&m->r, "10", "-1", "abc"));
    }
}

/* Keys are not told of by Redis when they are made like this, and only the default user may do it
 * in the same way everywhere. */
static void populate(struct maker *m)
{
    if (m->clients[m->client].multi || m->clients[m->client].blocked) {
        return;
    }
    MAKER_SAY(m, "AUTH", "default", "x");
    MAKER_SAY(m, "CONFIG", "SET", "notify-keyspace-events", "")->glued = true;
    struct step *s =
        MAKER_SAY(m, "DEBUG", "POPULATE", PICK(&m->r, "0", "1", "7", "150", "-1", "x"));
    s->glued = true;
    if (maker_chance(m, 70)) {
        step_str(s, PICK(&m->r, "s", "pop", "", "l"));
    }
    if (s->count > 3 && maker_chance(m, 50)) {
        step_str(s, PICK(&m->r, "0", "1", "40", "-1", "x"));
    }
    MAKER_SAY(m, "MGET", "s:0", "pop:6", "key:149", "l:1");
    MAKER_SAY(m, "DEL", "s:0", "s:1", "pop:0", "key:0", "key:5");
}

void scenes_debug(struct maker *m)
{
    if (maker_chance(m, 4)) {
        populate(m);
        return;
    }
    struct step *s = MAKER_SAY(m, "DEBUG");
    const char *what =
        PICK(&m->r, "OBJECT", "DIGEST-VALUE", "STRINGMATCH-LEN", "LISTPACK", "NOSUCH", "HELP",
             "SDSLEN", "QUICKLIST", "JMAP", "SET-ACTIVE-EXPIRE", "PROTOCOL", "PROTOCOL", "PROTOCOL",
             "ERROR", "SLEEP", "STRUCTSIZE", "DIGEST", "ZIPLIST", "HTSTATS-KEY", "RELOAD",
             "QUICKLIST-PACKED-THRESHOLD", "QUICKLIST-PACKED-THRESHOLD", "REPLYBUFFER",
             "SET-DISABLE-DENY-SCRIPTS");
    if (strcmp(what, "RELOAD") == 0 && !maker_chance(m, 5)) {
        what = "DIGEST"; /* it takes its time */
    }
    step_str(s, what);
    if (strcmp(what, "STRINGMATCH-LEN") == 0) {
        step_str(s, "10");
        step_str(s, "*a");
    } else if (strcmp(what, "SET-ACTIVE-EXPIRE") == 0) {
        step_str(s, "1");
    } else if (strcmp(what, "SET-DISABLE-DENY-SCRIPTS") == 0) {
        step_str(s, "0");
    } else if (strcmp(what, "QUICKLIST-PACKED-THRESHOLD") == 0) {
        step_str(s, PICK(&m->r, "4B", "100B", "1K", "0", "x"));
    } else if (strcmp(what, "REPLYBUFFER") == 0) {
        step_str(s, "RESIZING");
        step_str(s, PICK(&m->r, "0", "1"));
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

void scenes_wait_for_replicas(struct maker *m)
{
    MAKER_SAY(m, "WAIT", PICK(&m->r, "0", "1", "0", "abc", "-1"), PICK(&m->r, "1", "5"))->ends =
        true;
}

/* What the server has counted and noted so far. */
void scenes_ask(struct maker *m)
{
    static const char *const words[][6] = {{"INFO", "commandstats"},
                                           {"INFO", "stats"},
                                           {"INFO", "keyspace", "clients", "commandstats"},
                                           {"INFO", "everything"},
                                           {"INFO"},
                                           {"ACL", "LOG"},
                                           {"ACL", "LOG", "3"},
                                           {"CLIENT", "LIST"},
                                           {"CLIENT", "INFO"},
                                           {"PUBSUB", "CHANNELS"},
                                           {"PUBSUB", "NUMPAT"},
                                           {"LATENCY", "LATEST"},
                                           {"FUNCTION", "STATS"},
                                           {"SCRIPT", "KILL"},
                                           {"FUNCTION", "KILL"},
                                           {"DEBUG", "DIGEST"}};
    static const struct rows questions = ROWS(words);

    (void)maker_say_row(m, &questions);
}

void scenes_keys_of(struct maker *m, const struct command *c)
{
    struct step *s = MAKER_SAY(m, c->words[0], c->words[1]);
    if (strcmp(c->words[0], "acl") == 0) {
        step_str(s, PICK(&m->r, "u1", "default", "nobody"));
    }
    maker_words(m, s);
}
