/* What a Redis holds is judged rightly, by its replid and offset and the log's history; and how far
 * behind a follower is. */
#include "proxy/follow/lineage.h"

#include "common/clock.h"
#include "proxy/follow/lag.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

static struct history h;

static struct replid id(char letter)
{
    struct replid replid;
    memset(replid.hex, letter, sizeof replid.hex);
    return replid;
}

static void setup(void)
{
    static const struct {
        uint64_t term, begin;
        char letter;
    } terms[] = {{1, 100, 'a'}, {3, 200, 'b'}, {4, 200, 'c'}, {7, 300, 'd'}};

    h = (struct history){0};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        struct replid replid = id(terms[i].letter);
        ck_assert_int_eq(
            history_append(&h, (struct log_term){terms[i].term}, terms[i].begin, &replid), ERR_OK);
    }
}

static enum lineage_verdict judge(char letter, uint64_t offset, uint64_t limit, bool final)
{
    struct replid replid = id(letter);
    return lineage_judge(&h, limit, final, &replid, offset);
}

/* A prefix goes on, also one that is older than its id; whoever went beyond the end of his term
 * holds what is not in the log, and so does whoever bears a strange id. */
START_TEST(judges)
{
    ck_assert_int_eq(judge('a', 200, 400, false), LINEAGE_RESUME);
    ck_assert_int_eq(judge('a', 201, 400, false), LINEAGE_AHEAD);
    ck_assert_int_eq(judge('b', 200, 400, false), LINEAGE_RESUME);
    ck_assert_int_eq(judge('b', 201, 400, false), LINEAGE_AHEAD); /* its term wrote nothing */
    ck_assert_int_eq(judge('c', 150, 400, false), LINEAGE_RESUME);
    ck_assert_int_eq(judge('d', 400, 400, false), LINEAGE_RESUME);
    ck_assert_int_eq(judge('x', 150, 400, false), LINEAGE_FOREIGN);
}
END_TEST

/* What the log may still reach is waited for, unless it ends there for good. */
START_TEST(waits)
{
    ck_assert_int_eq(judge('d', 401, 400, false), LINEAGE_WAIT);
    ck_assert_int_eq(judge('d', 401, 400, true), LINEAGE_AHEAD);
    ck_assert_int_eq(judge('c', 300, 250, false), LINEAGE_WAIT);
    ck_assert_int_eq(judge('c', 301, 250, false), LINEAGE_AHEAD);
}
END_TEST

/* The id to announce is that of the term at the place up to which Redis is fed. */
START_TEST(labels)
{
    struct replid c = id('c'), d = id('d'), x = id('x');

    ck_assert(lineage_same(&lineage_label(&h, 200)->replid, &c));
    ck_assert(lineage_same(&lineage_label(&h, 299)->replid, &c));
    ck_assert(lineage_same(&lineage_label(&h, 300)->replid, &d));
    ck_assert_ptr_null(lineage_label(&h, 99));
    ck_assert_uint_eq(lineage_end(&h, &c), 300);
    ck_assert_uint_eq(lineage_end(&h, &d), UINT64_MAX);
    ck_assert(lineage_knows(&h, &c) && !lineage_knows(&h, &x));
}
END_TEST

/* Versions are compared as numbers. */
START_TEST(versions)
{
    ck_assert_uint_eq(lineage_engine("7.0.15"), WIRE_ENGINE(7, 0, 15));
    ck_assert_uint_eq(lineage_engine("7.2"), WIRE_ENGINE(7, 2, 0));
    ck_assert_uint_lt(lineage_engine("7.2.9"), lineage_engine("7.10.0"));
    ck_assert_uint_eq(lineage_engine("8.0.0-rc1"), WIRE_ENGINE(8, 0, 0));
    ck_assert_uint_eq(lineage_engine("unstable"), 0);
}
END_TEST

static bool parse(const char *role, const char *offset, const char *second,
                  struct lineage_redis *out)
{
    char text[500];
    struct replid own = id('f'), before = id('d');

    (void)snprintf(text, sizeof text,
                   "# Replication\r\nrole:%s\r\nmaster_replid:%.40s\r\nmaster_replid2:%.40s\r\n"
                   "master_repl_offset:%s\r\nsecond_repl_offset:%s\r\n",
                   role, own.hex, before.hex, offset, second);
    return lineage_parse(text, out);
}

/* A master can go on in its own history, and in the one before up to where it left that; a replica
 * can't at all. */
START_TEST(what_redis_says)
{
    struct lineage_redis redis;
    struct replid own = id('f'), before = id('d'), x = id('x');

    ck_assert(parse("master", "500", "401", &redis));
    ck_assert(redis.master && redis.offset == 500 && redis.before_end == 400);
    ck_assert(lineage_may_resume(&redis, &own, 500));
    ck_assert(!lineage_may_resume(&redis, &own, 501));
    ck_assert(lineage_may_resume(&redis, &before, 400));
    ck_assert(!lineage_may_resume(&redis, &before, 401));
    ck_assert(!lineage_may_resume(&redis, &x, 300));
    ck_assert(parse("slave", "500", "401", &redis));
    ck_assert(!lineage_may_resume(&redis, &own, 500));
    ck_assert(parse("master", "500", "-1", &redis));
    ck_assert(!lineage_may_resume(&redis, &before, 1));
    ck_assert(!lineage_parse("# Replication\r\nrole:master\r\n", &redis));
    ck_assert(!lineage_parse("\nrole:x\nmaster_replid:short", &redis));
}
END_TEST

/* Lag is since when the oldest commit is not applied, however many there were. */
START_TEST(lag_is_told)
{
    const uint64_t ms = CLOCK_NS_PER_MS;
    struct lag l = {0};

    ck_assert_uint_eq(lag_ms(&l, 5 * ms), 0);
    lag_committed(&l, 1000 * ms, 10);
    lag_committed(&l, 1005 * ms, 20); /* shares the note */
    lag_committed(&l, 1100 * ms, 30);
    ck_assert_uint_eq(lag_ms(&l, 1200 * ms), 200);
    lag_applied(&l, 19);
    ck_assert_uint_eq(lag_ms(&l, 1200 * ms), 200);
    lag_applied(&l, 20);
    ck_assert_uint_eq(lag_ms(&l, 1200 * ms), 100);
    lag_applied(&l, 30);
    ck_assert_uint_eq(lag_ms(&l, 1200 * ms), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        lag_committed(&l, (2000 + 100 * i) * ms, 100 + i);
    }
    ck_assert_uint_eq(lag_ms(&l, 102000 * ms), 100000);
    lag_applied(&l, 1099);
    ck_assert_uint_eq(lag_ms(&l, 102000 * ms), 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("lineage", setup, NULL, judges, waits, labels, versions, what_redis_says,
                    lag_is_told);
}
