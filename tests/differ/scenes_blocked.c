/* Scenes of clients that block: what wakes them, here or in another database, and what they have
 * said behind that already. */
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

static const char *const list_sleepers[][8] = {{"BLPOP", "lw", "0"},
                                               {"BRPOP", "lv", "lw", "0"},
                                               {"BLMOVE", "lw", "lv", "LEFT", "RIGHT", "0"},
                                               {"BRPOPLPUSH", "lw", "l0", "0"},
                                               {"BLMPOP", "0", "2", "lv", "lw", "LEFT"},
                                               {"BLMPOP", "0", "1", "lw", "RIGHT", "COUNT", "2"}};
static const char *const list_wakers[][8] = {
    {"RPUSH", "lw", "1", "2", "3"},
    {"LPUSH", "lw", "a"},
    {"LPUSH", "lv", "b", "c"},
    {"LPUSHX", "lw", "n"},
    {"RENAME", "l0", "lw"},
    {"COPY", "l1", "lw", "REPLACE"},
    {"SORT", "t0", "BY", "nosort", "STORE", "none"},
    {"SORT", "l0", "ALPHA", "STORE", "lw"},
    {"LMOVE", "l0", "lw", "LEFT", "LEFT"},
    {"RPOPLPUSH", "l1", "lw"},
    {"LINSERT", "lw", "BEFORE", "1", "2"},
    {"SET", "lw", "not a list"},
    {"DEL", "lw"},
    {"EVAL", "return redis.call('rpush', KEYS[1], 'x', 'y')", "1", "lw"},
    {"EVAL", "redis.call('rpush', KEYS[1], 'x') return redis.call('del', KEYS[1])", "1", "lw"},
    {"EVAL", "redis.call('rpush', KEYS[1], 'x', 'y') return redis.call('lpop', KEYS[1])", "1",
     "lw"},
    {"EVAL", "redis.call('select', 1) return redis.call('rpush', 'lw', 'x')", "0"},
    {"MOVE", "l0", "1"},
    {"FLUSHDB"},
    {"LMPOP", "1", "lw", "LEFT"},
    {"EVAL",
     "redis.call('rpush', 'lw', 'd') local d = redis.call('dump', 'lw') redis.call('del', 'lw') "
     "return redis.call('restore', 'lw', 0, d)",
     "0"},
    {"COPY", "l0", "lw", "DB", "1", "REPLACE"},
    {"COPY", "l0", "lw", "DB", "0"},
    {"LTRIM", "lw", "1", "0"},
    {"FLUSHALL"},
    {"SWAPDB", "0", "1"}};

static const char *const zset_sleepers[][8] = {{"BZPOPMIN", "zw", "0"},
                                               {"BZPOPMAX", "zv", "zw", "0"},
                                               {"BZMPOP", "0", "1", "zw", "MIN"},
                                               {"BZMPOP", "0", "2", "zv", "zw", "MAX", "COUNT"}};
static const char *const zset_wakers[][8] = {
    {"ZADD", "zw", "1", "a", "2", "b"},
    {"ZADD", "zv", "5", "c"},
    {"ZADD", "zw", "NX", "3", "d"},
    {"ZINCRBY", "zw", "2", "e"},
    {"ZUNIONSTORE", "zw", "2", "z0", "z1"},
    {"ZDIFFSTORE", "zw", "1", "z0"},
    {"ZRANGESTORE", "zw", "z0", "0", "-1"},
    {"GEOADD", "zw", "1", "1", "x"},
    {"RENAME", "z0", "zw"},
    {"SET", "zw", "not a sorted set"},
    {"EVAL", "return redis.call('zadd', 'zw', 1, 'x')", "0"},
    {"ZADD", "zw", "XX", "3", "d"},
    {"ZPOPMIN", "zw"},
    {"COPY", "z1", "zw", "REPLACE"},
    {"COPY", "z0", "zw", "DB", "1", "REPLACE"},
    {"MOVE", "zw", "1"},
    {"SWAPDB", "0", "1"},
    {"ZREMRANGEBYRANK", "zw", "0", "0"},
    {"DEL", "zw"}};

static const char *const stream_sleepers[][11] = {
    {"XREAD", "BLOCK", "0", "STREAMS", "xw", "$"},
    {"XREAD", "COUNT", "1", "BLOCK", "0", "STREAMS", "xw", "x0", "$", "$"},
    {"XREADGROUP", "GROUP", "gr1", "c1", "BLOCK", "0", "STREAMS", "xw", ">"},
    {"XREADGROUP", "GROUP", "gr1", "c2", "BLOCK", "0", "NOACK", "STREAMS", "xw", ">"},
    {"XREADGROUP", "GROUP", "gr1", "c3", "COUNT", "1", "BLOCK", "0", "STREAMS", "xw", ">"},
    {"XREADGROUP", "GROUP", "gr2", "c1", "BLOCK", "0", "STREAMS", "xw", ">"},
    {"XREADGROUP", "GROUP", "gr1", "c1", "BLOCK", "0", "STREAMS", "xw", "0"},
    {"XREAD", "BLOCK", "0", "STREAMS", "xw", "99999999999999-1"}};
static const char *const stream_wakers[][8] = {
    {"XADD", "xw", "99999999999999-*", "a", "1"},
    {"XADD", "xw", "99999999999999-*", "b", "2"},
    {"XGROUP", "DESTROY", "xw", "gr1"},
    {"XGROUP", "SETID", "xw", "gr1", "0"},
    {"XGROUP", "DELCONSUMER", "xw", "gr1", "c1"},
    {"XTRIM", "xw", "MAXLEN", "0"},
    {"DEL", "xw"},
    {"SET", "xw", "not a stream"},
    {"EVAL",
     "return redis.call('xadd', 'xw', '99999999999999-*', "
     "'a', '1')",
     "0"},
    {"XAUTOCLAIM", "xw", "gr1", "c2", "0", "0"},
    {"FLUSHDB"},
    {"XGROUP", "CREATE", "xw", "gr2", "$"},
    {"XREADGROUP", "GROUP", "gr1", "c1", "STREAMS", "xw", ">"},
    {"XDEL", "xw", "99999999999999-0"},
    {"COPY", "xw", "xw", "DB", "1", "REPLACE"},
    {"SWAPDB", "0", "1"},
    {"RENAME", "x0", "xw"}};

static const struct rows sleeping[] = {ROWS(list_sleepers), ROWS(zset_sleepers),
                                       ROWS(stream_sleepers)};
static const struct rows waking[] = {ROWS(list_wakers), ROWS(zset_wakers), ROWS(stream_wakers)};

/* What stands behind it in the pipeline. Nobody knows whose rest comes first when several are woken
 * at once: then it only reads. */
static void say_rest(struct maker *m, int kind, bool alone)
{
    static const char *const words[][4] = {{"PING"},
                                           {"ECHO", "x"},
                                           {"GET", "s0"},
                                           {"TYPE", "lw"},
                                           {"SELECT", "0"},
                                           {"CLIENT", "GETNAME"},
                                           {"EXISTS", "lw"},
                                           {"OBJECT", "ENCODING", "zw"},
                                           {"NOSUCH"},
                                           {"DBSIZE"},
                                           {"XLEN", "xw"},
                                           {"CLIENT", "ID"},
                                           {"MULTI"},
                                           {"EXEC"},
                                           {"LRANGE", "lw", "0", "-1"},
                                           {"SELECT", "2"},
                                           {"GET"},
                                           {"CLIENT", "SETNAME", "n3"},
                                           {"CLIENT", "NO-EVICT", "on"},
                                           {"CLIENT", "UNBLOCK", "99999"},
                                           {"PUBSUB", "NUMPAT"}};
    static const struct rows reads = ROWS(words);
    bool multi = alone && maker_chance(m, 25);

    if (multi) {
        MAKER_SAY(m, "MULTI")->behind = true;
    }
    for (uint64_t n = 1 + random_below(&m->r, 4); n > 0; n--) {
        if (!alone || (!multi && maker_chance(m, 30))) {
            maker_say_row(m, &reads)->behind = true;
        } else if (!multi && maker_chance(m, 15)) {
            maker_say_row(m, &sleeping[kind])->behind = true; /* and again */
        } else {
            struct step *s = maker_step(m);
            s->behind = true;
            maker_words_awake(m, s);
        }
    }
    if (multi) {
        MAKER_SAY(m, "EXEC")->behind = true;
    }
}

static void make_streams(struct maker *m, bool elsewhere)
{
    for (int db = elsewhere ? 1 : 0; db >= 0; db--) {
        if (elsewhere) {
            MAKER_SAY(m, "SELECT", db == 1 ? "1" : "0");
        }
        MAKER_SAY(m, "XGROUP", "CREATE", "xw", "gr1", "$", "MKSTREAM");
        if (maker_chance(m, 40)) {
            MAKER_SAY(m, "XGROUP", "CREATE", "xw", "gr2", PICK(&m->r, "$", "0"));
        }
    }
}

static void wake_all(struct maker *m, int kind, bool elsewhere)
{
    bool multi = maker_chance(m, 25);

    if (elsewhere) {
        MAKER_SAY(m, "SELECT", PICK(&m->r, "0", "1", "1"));
    }
    if (multi) {
        MAKER_SAY(m, "MULTI");
    }
    for (uint64_t n = 1 + random_below(&m->r, 4); n > 0; n--) {
        maker_say_row(m, &waking[kind]);
    }
    if (multi) {
        MAKER_SAY(m, "EXEC");
    }
}

void scenes_wake(struct maker *m)
{
    int waker = m->client, kind = (int)random_below(&m->r, 3);
    bool elsewhere = maker_chance(m, 25), rest = maker_chance(m, 35);
    bool alone = rest && maker_chance(m, 60);
    int sleepers = alone ? 1 : 1 + (int)random_below(&m->r, PROGRAM_CLIENTS - 1);

    if (!maker_is_free(m)) {
        return;
    }
    MAKER_SAY(m, "DEL", "lw", "lv", "zw", "zv", "xw");
    if (kind == 2) {
        make_streams(m, elsewhere);
    }
    for (int i = 1; i <= sleepers; i++) {
        m->client = (waker + i) % PROGRAM_CLIENTS;
        if (!maker_is_free(m)) {
            continue;
        }
        if (elsewhere) {
            MAKER_SAY(m, "SELECT", PICK(&m->r, "1", "1", "0"));
        }
        maker_say_row(m, &sleeping[kind]);
        m->clients[m->client].blocked = true;
        if (rest) {
            say_rest(m, kind, sleepers == 1);
        }
    }
    if (maker_chance(m, 15) && m->clients[m->client].blocked) { /* and its rest */
        (void)program_add(m->program, STEP_LEAVE, m->client);
        m->clients[m->client].blocked = false;
    }
    m->client = waker;
    wake_all(m, kind, elsewhere);
    for (int i = 0; i <= sleepers; i++) {
        m->client = (waker + i) % PROGRAM_CLIENTS;
        if (m->clients[m->client].blocked) {
            scenes_release(m, m->client); /* if it still sleeps */
        }
        if (elsewhere && maker_is_free(m)) {
            MAKER_SAY(m, "SELECT", "0");
        }
    }
    m->client = waker;
}
