/* Scenes of who is told what others do: subscribers, trackers, those to whom tracking is
 * redirected, and who hears of keys. */
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <stdio.h>
#include <string.h>

/* ---- messages ---- */

void scenes_subscribe(struct maker *m)
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
        if (maker_chance(m, 75)) {
            m->client = (int)random_below(&m->r, PROGRAM_CLIENTS);
        }
        if (m->clients[m->client].blocked) {
            m->client = client;
        }
        s = MAKER_SAY(m, maker_chance(m, 70) ? "PUBLISH" : "SPUBLISH");
        values_channel(&m->r, s);
        values_value(&m->r, s);
        if (maker_chance(m, 20)) {
            MAKER_SAY(m, "PUBSUB", PICK(&m->r, "CHANNELS", "NUMPAT", "SHARDCHANNELS"));
        }
        if (maker_chance(m, 20)) {
            MAKER_SAY(m, "PUBSUB", PICK(&m->r, "NUMSUB", "SHARDNUMSUB"), "ch1", "ch2", "c");
        }
    }
    m->client = client;
    if (maker_chance(m, 10)) {
        MAKER_SAY(m, "PING");
    }
    if (maker_chance(m, 85)) {
        static const char *const names[] = {"UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"};
        MAKER_SAY(m, names[kind]);
    }
}

/* Many channels, and many messages at once, which must keep their order. */
void scenes_messages(struct maker *m)
{
    static const char *const words[][6] = {
        {"EVAL", "for i = 1, 5 do redis.call('publish', 'ch' .. i % 3, i) end return 1", "0"},
        {"EVAL", "redis.call('spublish', 'ch1', 'x') return redis.call('publish', 'ch1', 'y')",
         "0"},
        {"EVAL", "redis.call('publish', 'ch1', redis.call('incr', 's8')) return 1", "0"},
        {"PUBLISH", "ch1", "a"},
        {"PUBLISH", "ch2", ""},
        {"PUBLISH", "ch0", "b"},
        {"SPUBLISH", "ch1", "c"},
        {"PUBLISH", "many 7", "d"},
        {"PUBSUB", "NUMSUB", "ch0", "ch1", "many 7"},
        {"PUBSUB", "CHANNELS", "ch*"},
        {"PUBSUB", "SHARDNUMSUB", "ch1"},
        {"INCR", "s8"}};
    static const struct rows publishes = ROWS(words);
    int client = m->client, other = maker_other(m);

    if (!maker_is_free(m) || other < 0) {
        return;
    }
    struct step *s = MAKER_SAY(m, "SUBSCRIBE", "ch1", "ch2", "ch1");
    for (uint64_t n = random_below(&m->r, 60); n > 0; n--) {
        char name[24];
        (void)snprintf(name, sizeof name, "many %u", (unsigned)n);
        step_str(s, name);
    }
    MAKER_SAY(m, "PSUBSCRIBE", "ch?", PICK(&m->r, "c*", "many *", "ch?"));
    MAKER_SAY(m, "SSUBSCRIBE", "ch1");
    m->client = other;
    bool multi = maker_chance(m, 40);
    if (multi) {
        MAKER_SAY(m, "MULTI");
    }
    for (uint64_t n = 1 + random_below(&m->r, 12); n > 0; n--) {
        (void)maker_say_row(m, &publishes);
    }
    if (multi) {
        MAKER_SAY(m, maker_chance(m, 80) ? "EXEC" : "DISCARD");
    }
    m->client = client;
    MAKER_SAY(m, "UNSUBSCRIBE", "ch2", "many 7", "none");
    MAKER_SAY(m, "PUNSUBSCRIBE");
    MAKER_SAY(m, "SUNSUBSCRIBE", "ch1");
    MAKER_SAY(m, PICK(&m->r, "UNSUBSCRIBE", "PING"));
}

/* ---- what keys tell ---- */

static void tracking_ends(struct maker *m, unsigned asked_percent)
{
    if (maker_chance(m, asked_percent)) {
        MAKER_SAY(m, "CLIENT", PICK(&m->r, "TRACKINGINFO", "GETREDIR"));
    }
    if (maker_chance(m, 70)) {
        MAKER_SAY(m, "CLIENT", "TRACKING", "OFF");
    }
}

void scenes_track(struct maker *m)
{
    int client = m->client;

    if (m->clients[client].multi) {
        return;
    }
    struct step *s = MAKER_SAY(m, "CLIENT", "TRACKING", maker_chance(m, 90) ? "ON" : "OFF");
    if (maker_chance(m, 30)) {
        const char *option = PICK(&m->r, "OPTIN", "OPTIN", "OPTOUT", "NOLOOP");
        step_str(s, option);
        if (strncmp(option, "OPT", 3) == 0) {
            MAKER_SAY(m, "CLIENT", "CACHING", strcmp(option, "OPTIN") == 0 ? "YES" : "NO");
        }
    } else if (maker_chance(m, 15)) {
        step_str(s, "PREFIX");
        step_str(s, PICK(&m->r, "s", "l", "", "h0"));
    }
    maker_commands(m, 5);
    if (maker_chance(m, 20)) {
        MAKER_SAY(m, "CLIENT", "CACHING", PICK(&m->r, "yes", "no", "maybe"));
        maker_commands(m, 2);
    }
    m->client = (client + 1 + (int)random_below(&m->r, PROGRAM_CLIENTS - 1)) % PROGRAM_CLIENTS;
    if (!m->clients[m->client].blocked) {
        maker_commands(m, 6);
    }
    m->client = client;
    tracking_ends(m, 30);
}

void scenes_redirect(struct maker *m)
{
    int client = m->client;
    int told = (client + 1 + (int)random_below(&m->r, PROGRAM_CLIENTS - 1)) % PROGRAM_CLIENTS;

    if (m->clients[client].multi || m->clients[told].multi || m->clients[told].blocked) {
        return;
    }
    m->client = told;
    bool subscribes = maker_chance(m, 60);
    MAKER_SAY(m, "CLIENT", "GETNAME"); /* so that it is there */
    if (subscribes) {
        MAKER_SAY(m, "SUBSCRIBE", "__redis__:invalidate");
    }
    m->client = client;
    struct step *s = MAKER_SAY(m, "CLIENT", "TRACKING", "ON", "REDIRECT");
    step_client_id(s, told);
    if (maker_chance(m, 30)) {
        step_str(s, PICK(&m->r, "OPTIN", "OPTOUT", "NOLOOP"));
    }
    maker_commands(m, 6);
    for (uint64_t n = random_below(&m->r, 3); n > 0; n--) {
        m->client = (int)random_below(&m->r, PROGRAM_CLIENTS);
        if (!m->clients[m->client].blocked) {
            maker_commands(m, 8);
        }
    }
    m->client = client;
    tracking_ends(m, 40);
    if (subscribes) {
        m->client = told;
        MAKER_SAY(m, "UNSUBSCRIBE");
        m->client = client;
    }
}

/* Everybody's writes, by prefix. */
void scenes_broadcast(struct maker *m)
{
    int client = m->client;
    int told = (client + 1 + (int)random_below(&m->r, PROGRAM_CLIENTS - 1)) % PROGRAM_CLIENTS;

    if (m->clients[client].multi || m->clients[client].blocked || m->clients[told].multi ||
        m->clients[told].blocked) {
        return;
    }
    bool redirects = maker_chance(m, 25);
    if (redirects) {
        m->client = told;
        MAKER_SAY(m, "SUBSCRIBE", "__redis__:invalidate");
        m->client = client;
    }
    struct step *s = MAKER_SAY(m, "CLIENT", "TRACKING", "ON", "BCAST");
    /* No two the same: Redis 7.0 answers that twice, but where one of them is the first. */
    static const char *const prefixes[] = {"", "s", "l", "h", "z0", "t", "x"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (maker_chance(m, i == 0 ? 5 : 20)) {
            step_str(s, "PREFIX");
            step_str(s, prefixes[i]);
        }
    }
    if (maker_chance(m, 30)) {
        step_str(s, PICK(&m->r, "NOLOOP", "NOLOOP", "OPTIN"));
    }
    if (redirects) {
        step_str(s, "REDIRECT");
        step_client_id(s, told);
    }
    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        m->client = maker_chance(m, 30) ? client : (int)random_below(&m->r, PROGRAM_CLIENTS);
        if (!m->clients[m->client].blocked) {
            maker_commands(m, 6);
        }
    }
    m->client = client;
    if (m->clients[client].blocked) {
        return;
    }
    if (maker_chance(m, 20)) {
        MAKER_SAY(m, "CLIENT", "TRACKING", "ON", PICK(&m->r, "BCAST", "OPTOUT", "NOLOOP"));
    }
    tracking_ends(m, 30);
    if (redirects) {
        m->client = told;
        MAKER_SAY(m, "UNSUBSCRIBE", "__redis__:invalidate");
        m->client = client;
    }
}

void scenes_events(struct maker *m)
{
    int client = m->client;

    if (m->clients[client].multi) {
        return;
    }
    MAKER_SAY(m, "CONFIG", "SET", "notify-keyspace-events",
              PICK(&m->r, "KEA", "KEA", "Kg$lsh", "EA", "KEAm", "KEAmn", "En", "Kzt", "Edx"));
    MAKER_SAY(m, "PSUBSCRIBE", PICK(&m->r, "__key*__:*", "__keyspace@*", "__keyevent@0__:*"));
    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        m->client = (int)random_below(&m->r, PROGRAM_CLIENTS);
        if (!m->clients[m->client].blocked) {
            maker_commands(m, 6);
        }
    }
    m->client = client;
    MAKER_SAY(m, "PUNSUBSCRIBE");
    MAKER_SAY(m, "CONFIG", "SET", "notify-keyspace-events", "");
}
