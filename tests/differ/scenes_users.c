/* Scenes of ACL users: what they may, and what becomes of clients when that changes. */
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

void scenes_users(struct maker *m)
{
    static const char *const rules[] = {
        "on",
        "off",
        "nopass",
        ">p1",
        "~*",
        "~s*",
        "+@all",
        "-get",
        "+@read",
        "&*",
        "&ch*",
        "%R~l*",
        "reset",
        "nope",
        "-@all",
        "+set",
        "+config|get",
        "(+@read ~l*)",
        "(+@write ~s0 %R~s*)",
        "(+get +set)",
        "(+@all ~* &*)",
        "(nope)",
        "(+get",
        "clearselectors",
        "%W~h*",
        "%RW~z*",
        "allkeys",
        "resetchannels",
        "-@dangerous",
        "-client|kill",
        "+client",
        "-select",
        "#cbfad02f9ed2a8d1e08d8f74f5303e9eb93637d47f82ab6f1c15871cf8dd0481",
        NULL};
    if (m->clients[m->client].multi) {
        return;
    }
    struct step *s =
        MAKER_SAY(m, "ACL", "SETUSER", PICK(&m->r, "u1", "u2"), "on", ">p1", "~*", "&*", "+@all");
    if (maker_chance(m, 30)) { /* only some keys */
        step_str(s, "resetkeys");
        for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
            step_str(s, PICK(&m->r, "~s*", "%R~l*", "%W~l*", "~h0", "%RW~z*", "(+@all %R~t*)",
                             "(+@read ~x*)", "(+@write +@read -del ~b*)"));
        }
    }
    for (uint64_t n = random_below(&m->r, 3); n > 0; n--) {
        step_str(s, values_pick(&m->r, rules));
    }
    s = MAKER_SAY(m, "AUTH");
    if (maker_chance(m, 95)) {
        step_str(s, PICK(&m->r, "u1", "u2", "u1", "default", "nobody"));
    }
    step_str(s, PICK(&m->r, "p1", "p1", "p1", "wrong"));
    MAKER_SAY(m, "ACL", "WHOAMI");
    maker_commands(m, 12);
    if (maker_chance(m, 20)) {
        scenes_transaction(m);
    }
    if (maker_chance(m, 70) && !m->clients[m->client].multi) {
        MAKER_SAY(m, "AUTH", "default", "x");
    }
}

void scenes_delete_user(struct maker *m)
{
    if (!m->clients[m->client].multi) { /* nobody deletes himself */
        MAKER_SAY(m, "AUTH", "default", "x");
        MAKER_SAY(m, "ACL", "DELUSER", PICK(&m->r, "u1", "u2", "nobody"))->glued = true;
    }
}

/* What a guest is in when his rights change. */
static void enter_as_guest(struct maker *m)
{
    MAKER_SAY(m, "AUTH", "u1", "p1");
    switch (random_below(&m->r, 9)) {
    case 0:
        MAKER_SAY(m, "SUBSCRIBE", "ch1", "ch2");
        break;
    case 1:
        MAKER_SAY(m, PICK(&m->r, "PSUBSCRIBE", "SSUBSCRIBE"), "ch*");
        break;
    case 2:
        MAKER_SAY(m, "MULTI");
        m->clients[m->client].multi = true;
        MAKER_SAY(m, "SET", "s0", "1");
        MAKER_SAY(m, PICK(&m->r, "GET", "LRANGE", "CLIENT", "PUBLISH"), "s0");
        break;
    case 3:
        MAKER_SAY(m, "WATCH", "s0", "l0");
        break;
    case 4:
        MAKER_SAY(m, "CLIENT", "TRACKING", "ON");
        MAKER_SAY(m, "GET", "s0");
        break;
    case 5:
        MAKER_SAY(m, "DEL", "lw");
        MAKER_SAY(m, "BLPOP", "lw", "0");
        m->clients[m->client].blocked = true;
        break;
    case 6:
        MAKER_SAY(m, "SELECT", "1");
        break;
    case 7:
        MAKER_SAY(m, "SUBSCRIBE", "ch1");
        MAKER_SAY(m, "UNSUBSCRIBE", "ch1");
        break;
    default:
        MAKER_SAY(m, "GET", "s0");
    }
}

static void change_guest(struct maker *m)
{
    if (maker_chance(m, 12)) {
        MAKER_SAY(m, "ACL", "DELUSER", "u1");
        return;
    }
    struct step *s = MAKER_SAY(m, "ACL", "SETUSER", "u1");
    for (uint64_t n = 1 + random_below(&m->r, 3); n > 0; n--) {
        step_str(s, PICK(&m->r, "off", "on", "resetchannels", "&ch1", "&ch*", "allchannels",
                         "-@all", "+@all", "-get", "-@write", "-@read", "resetkeys", "~l*", "~*",
                         "%R~s*", "resetpass", ">p2", "<p1", "nopass", "reset", "-subscribe",
                         "-exec", "-multi", "-auth", "-client", "+client|id", "-@pubsub",
                         "(+@all ~t*)", "clearselectors", "-blpop", "-select", "-reset", "nope"));
    }
}

/* Somebody else changes what a client's user may. */
void scenes_guest(struct maker *m)
{
    int host = m->client, guest = maker_other(m);

    if (!maker_is_free(m) || guest < 0) {
        return;
    }
    MAKER_SAY(m, "AUTH", "default", "x");
    MAKER_SAY(m, "ACL", "SETUSER", "u1", "reset", "on", ">p1", "~*", "&*", "+@all");
    m->client = guest;
    enter_as_guest(m);
    for (uint64_t n = 1 + random_below(&m->r, 2); n > 0; n--) {
        m->client = host;
        change_guest(m);
        if (maker_chance(m, 30)) {
            MAKER_SAY(m, PICK(&m->r, "PUBLISH", "RPUSH", "SET"), PICK(&m->r, "ch1", "lw", "s0"),
                      "x");
        }
        if (maker_chance(m, 20)) {
            MAKER_SAY(m, "CLIENT", "LIST");
        }
        m->client = guest;
        if (!m->clients[guest].blocked) {
            maker_commands(m, 5);
        }
    }
    if (m->clients[guest].blocked) {
        m->client = host;
        scenes_release(m, guest);
        m->client = guest;
    }
    if (m->clients[guest].multi) {
        MAKER_SAY(m, "EXEC");
        m->clients[guest].multi = false;
    }
    MAKER_SAY(m, PICK(&m->r, "UNSUBSCRIBE", "UNWATCH", "RESET", "PING"))->alone = true;
    MAKER_SAY(m, "AUTH", "default", "x");
    m->client = host;
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "ACL", "LOG");
    }
}
