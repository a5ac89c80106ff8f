/* The effect reader: a stream recorded from a redis-server 7.0.15 gives the same units wherever it
 * is cut; what is beyond a limit, unknown or not understood is keyspace-wide and never missed. */
#include "proxy/engine/effects.h"

#include "common/mem.h"
#include "tests/lib/commands.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

/* One command of the stream and what its unit changes: "-" nothing, "*" anything, else keys as
 * db:name. ">" marks a command inside a transaction, with its keys; "!" the EXEC. */
struct recorded {
    const char *bytes;
    size_t size;
    const char *effect;
    size_t effect_size;
};

#define COMMAND(bytes, effect)                                                                     \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, effect, sizeof(effect) - 1                                       \
    }

/* The client's side of it: SET, SET EX, MSET, INCR, APPEND, HSET, SADD, SPOP, a transaction with a
 * SELECT, EVAL of two writes and of one, XADD *, PFADD, PFMERGE, PFCOUNT, SORT STORE, GEOADD,
 * GEORADIUS STORE, GEOSEARCHSTORE, ZADD, ZUNIONSTORE, ZPOPMIN, MOVE, COPY, RENAME, BITOP, LMOVE,
 * PEXPIRE and its expiry, PUBLISH, WAIT, FUNCTION LOAD, FCALL, DEL, UNLINK, SWAPDB, FLUSHDB, a key
 * with CRLF, FLUSHALL, GETDEL, RPUSH, BLPOP, LMPOP, FUNCTION FLUSH, SPUBLISH; and a PING. */
/* clang-format off */
static const struct recorded stream[] = {
    COMMAND("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n",
            "-"),
    COMMAND("*3\r\n$3\r\nSET\r\n$6\r\nuser:1\r\n$5\r\nalice\r\n",
            "0:user:1"),
    COMMAND("*5\r\n$3\r\nSET\r\n$6\r\nuser:1\r\n$3\r\nbob\r\n$4\r\nPXAT\r\n$13\r\n"
            "1795363370838\r\n",
            "0:user:1"),
    COMMAND("*7\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n"
            "3\r\n",
            "0:a 0:b 0:c"),
    COMMAND("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n",
            "0:a"),
    COMMAND("*3\r\n$6\r\nAPPEND\r\n$1\r\na\r\n$3\r\nxyz\r\n",
            "0:a"),
    COMMAND("*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n",
            "-"),
    COMMAND("*6\r\n$4\r\nHSET\r\n$1\r\nh\r\n$2\r\nf1\r\n$2\r\nv1\r\n$2\r\nf2\r\n$2\r\nv2\r\n",
            "3:h"),
    COMMAND("*5\r\n$4\r\nSADD\r\n$1\r\ns\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n",
            "3:s"),
    COMMAND("*3\r\n$4\r\nSREM\r\n$1\r\ns\r\n$1\r\n3\r\n",
            "3:s"),
    COMMAND("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n",
            "-"),
    COMMAND("*1\r\n$5\r\nMULTI\r\n",
            ">"),
    COMMAND("*3\r\n$3\r\nSET\r\n$2\r\nt1\r\n$1\r\nx\r\n",
            ">0:t1"),
    COMMAND("*5\r\n$5\r\nLPUSH\r\n$1\r\nl\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n",
            ">0:l"),
    COMMAND("*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n",
            ">"),
    COMMAND("*3\r\n$3\r\nSET\r\n$2\r\nt2\r\n$1\r\ny\r\n",
            ">5:t2"),
    COMMAND("*1\r\n$4\r\nEXEC\r\n",
            "!"),
    COMMAND("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n",
            "-"),
    COMMAND("*1\r\n$5\r\nMULTI\r\n",
            ">"),
    COMMAND("*3\r\n$3\r\nSET\r\n$2\r\nek\r\n$1\r\nv\r\n",
            ">0:ek"),
    COMMAND("*2\r\n$4\r\nINCR\r\n$10\r\nundeclared\r\n",
            ">0:undeclared"),
    COMMAND("*1\r\n$4\r\nEXEC\r\n",
            "!"),
    COMMAND("*3\r\n$3\r\nSET\r\n$3\r\nek1\r\n$1\r\nv\r\n",
            "0:ek1"),
    COMMAND("*5\r\n$4\r\nXADD\r\n$6\r\nstream\r\n$15\r\n1795362371335-0\r\n$1\r\nf\r\n$1\r\nv\r\n",
            "0:stream"),
    COMMAND("*4\r\n$5\r\nPFADD\r\n$3\r\nhll\r\n$1\r\na\r\n$1\r\nb\r\n",
            "0:hll"),
    COMMAND("*3\r\n$5\r\nPFADD\r\n$4\r\nhll2\r\n$1\r\nc\r\n",
            "0:hll2"),
    COMMAND("*4\r\n$7\r\nPFMERGE\r\n$4\r\nhlld\r\n$3\r\nhll\r\n$4\r\nhll2\r\n",
            "0:hlld"),
    COMMAND("*2\r\n$7\r\nPFCOUNT\r\n$4\r\nhlld\r\n",
            "0:hlld"),
    COMMAND("*4\r\n$4\r\nSORT\r\n$1\r\nl\r\n$5\r\nSTORE\r\n$6\r\nsorted\r\n",
            "*"),
    COMMAND("*4\r\n$4\r\nzadd\r\n$3\r\ngeo\r\n$16\r\n3479099956230698\r\n$7\r\nPalermo\r\n",
            "0:geo"),
    COMMAND("*8\r\n$9\r\nGEORADIUS\r\n$3\r\ngeo\r\n$2\r\n15\r\n$2\r\n37\r\n$3\r\n200\r\n$2\r\n"
            "km\r\n$5\r\nSTORE\r\n$6\r\ngeodst\r\n",
            "0:geodst"),
    COMMAND("*9\r\n$14\r\nGEOSEARCHSTORE\r\n$7\r\ngeodst2\r\n$3\r\ngeo\r\n$10\r\nFROMLONLAT\r\n"
            "$2\r\n15\r\n$2\r\n37\r\n$8\r\nBYRADIUS\r\n$3\r\n200\r\n$2\r\nkm\r\n",
            "0:geodst2"),
    COMMAND("*4\r\n$4\r\nZADD\r\n$2\r\nz1\r\n$1\r\n1\r\n$1\r\na\r\n",
            "0:z1"),
    COMMAND("*4\r\n$4\r\nZADD\r\n$2\r\nz2\r\n$1\r\n1\r\n$1\r\nb\r\n",
            "0:z2"),
    COMMAND("*5\r\n$11\r\nZUNIONSTORE\r\n$2\r\nzu\r\n$1\r\n2\r\n$2\r\nz1\r\n$2\r\nz2\r\n",
            "0:zu"),
    COMMAND("*2\r\n$7\r\nZPOPMIN\r\n$2\r\nz1\r\n",
            "0:z1"),
    COMMAND("*3\r\n$4\r\nMOVE\r\n$1\r\nb\r\n$1\r\n7\r\n",
            "0:b 7:b"),
    COMMAND("*5\r\n$4\r\nCOPY\r\n$1\r\nc\r\n$2\r\ncc\r\n$2\r\nDB\r\n$1\r\n8\r\n",
            "0:cc 8:cc"),
    COMMAND("*3\r\n$4\r\nCOPY\r\n$1\r\nc\r\n$3\r\nccc\r\n",
            "0:ccc"),
    COMMAND("*3\r\n$6\r\nRENAME\r\n$1\r\nc\r\n$1\r\nd\r\n",
            "0:c 0:d"),
    COMMAND("*5\r\n$5\r\nBITOP\r\n$2\r\nOR\r\n$2\r\nbd\r\n$1\r\na\r\n$1\r\nd\r\n",
            "0:bd"),
    COMMAND("*5\r\n$5\r\nLMOVE\r\n$1\r\nl\r\n$2\r\nl2\r\n$4\r\nLEFT\r\n$5\r\nRIGHT\r\n",
            "0:l 0:l2"),
    COMMAND("*3\r\n$9\r\nPEXPIREAT\r\n$1\r\nd\r\n$13\r\n1795362371975\r\n",
            "0:d"),
    COMMAND("*2\r\n$3\r\nDEL\r\n$1\r\nd\r\n",
            "0:d"),
    COMMAND("*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$7\r\nmessage\r\n",
            "-"),
    COMMAND("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n",
            "-"),
    COMMAND("*3\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$105\r\n#!lua name=lib\n"
            "redis.register_function('f', function(keys,args) return "
            "redis.call('SET',keys[1],'1') end)\r\n",
            "*"),
    COMMAND("*3\r\n$3\r\nSET\r\n$2\r\nfk\r\n$1\r\n1\r\n",
            "0:fk"),
    COMMAND("*5\r\n$3\r\nDEL\r\n$1\r\na\r\n$5\r\nnokey\r\n$2\r\ncc\r\n$2\r\nek\r\n",
            "0:a 0:nokey 0:cc 0:ek"),
    COMMAND("*3\r\n$6\r\nUNLINK\r\n$2\r\nt1\r\n$2\r\nl2\r\n",
            "0:t1 0:l2"),
    COMMAND("*3\r\n$6\r\nSWAPDB\r\n$1\r\n0\r\n$1\r\n1\r\n",
            "*"),
    COMMAND("*1\r\n$7\r\nFLUSHDB\r\n",
            "*"),
    COMMAND("*3\r\n$3\r\nSET\r\n$7\r\nk\r\nbin\000\r\n$6\r\n\r\n*1\r\n\r\n",
            "0:k\r\nbin\000"),
    COMMAND("*1\r\n$8\r\nFLUSHALL\r\n",
            "*"),
    COMMAND("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n",
            "0:x"),
    COMMAND("*2\r\n$3\r\nDEL\r\n$1\r\nx\r\n",
            "0:x"),
    COMMAND("*4\r\n$5\r\nRPUSH\r\n$1\r\nq\r\n$1\r\n1\r\n$1\r\n2\r\n",
            "0:q"),
    COMMAND("*2\r\n$4\r\nLPOP\r\n$1\r\nq\r\n",
            "0:q"),
    COMMAND("*3\r\n$4\r\nLPOP\r\n$1\r\nq\r\n$1\r\n1\r\n",
            "0:q"),
    COMMAND("*2\r\n$8\r\nFUNCTION\r\n$5\r\nFLUSH\r\n",
            "*"),
    COMMAND("*3\r\n$8\r\nSPUBLISH\r\n$3\r\nsch\r\n$1\r\nm\r\n",
            "-"),
    COMMAND("*1\r\n$4\r\nping\r\n",
            "-"),
};
/* clang-format on */

enum { STREAM_COUNT = sizeof stream / sizeof *stream };

/* What was told of the units: end, keyspace, hashes. */
struct telling {
    struct effects *e;
    struct buf units;
    size_t count;
    size_t last_hashes;
    bool last_keyspace;
    uint64_t last_hash;
};

static struct command_table *table;
static struct tracker *tracker;

static void tell(struct buf *units, uint64_t end, bool keyspace, const uint64_t *hashes,
                 size_t count)
{
    buf_append(units, &end, sizeof end);
    buf_append(units, &keyspace, sizeof keyspace);
    buf_append(units, &count, sizeof count);
    buf_append(units, hashes, count * sizeof *hashes);
}

static void on_unit(void *ctx, const struct effects_unit *unit)
{
    struct telling *t = ctx;

    ck_assert_uint_eq(unit->end, effects_known_offset(t->e));
    ck_assert_uint_ge(unit->end, effects_offset(t->e));
    ck_assert(unit->end > effects_offset(t->e) || unit->end == effects_unit_offset(t->e));
    ck_assert(!unit->keyspace || unit->hash_count == 0);
    tell(&t->units, unit->end, unit->keyspace, unit->hashes, unit->hash_count);
    t->count++;
    t->last_hashes = unit->hash_count;
    t->last_keyspace = unit->keyspace;
    t->last_hash = unit->hash_count > 0 ? unit->hashes[unit->hash_count - 1] : 0;
}

static const struct effects_events events = {on_unit};

static void setup(void)
{
    size_t size;
    uint8_t *reply = commands_reply(&size);

    ck_assert_int_eq(command_table_parse(reply, size, &table), ERR_OK);
    free(reply);
    tracker = tracker_create(7, 0);
}

static void teardown(void)
{
    tracker_destroy(tracker);
    command_table_destroy(table);
}

static void telling_init(struct telling *t, uint64_t offset, long db)
{
    memset(t, 0, sizeof *t);
    t->e = effects_create(table, tracker, &events, t);
    effects_start(t->e, offset, db);
}

static void telling_fini(struct telling *t)
{
    effects_destroy(t->e);
    buf_release(&t->units);
}

/* Feeds bytes at a fresh address of exactly their size. */
static int feed(struct telling *t, const void *bytes, size_t size)
{
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, bytes, size);
    int err = effects_feed(t->e, copy, size);
    free(copy);
    return err;
}

static int feed_text(struct telling *t, const char *text)
{
    return feed(t, text, strlen(text));
}

static uint64_t hash_of(long db, const char *key)
{
    return tracker_hash(tracker, (uint32_t)db, key, strlen(key));
}

/* Appends the hashes of "0:a 0:b" to a list. */
static void hashes_of(const char *text, size_t size, struct buf *hashes)
{
    const char *end = text + size;

    while (text < end) {
        const char *blank = memchr(text, ' ', (size_t)(end - text));
        blank = blank != NULL ? blank : end;
        uint64_t hash =
            tracker_hash(tracker, (uint32_t)(text[0] - '0'), text + 2, (size_t)(blank - text) - 2);
        buf_append(hashes, &hash, sizeof hash);
        text = blank + 1;
    }
}

/* The stream's bytes, and what must be told of them when it starts at this offset. */
static void compose(uint64_t offset, struct buf *bytes, struct buf *units)
{
    struct buf hashes = BUF_INIT;

    for (size_t i = 0; i < STREAM_COUNT; i++) {
        const char *effect = stream[i].effect;
        size_t size = stream[i].effect_size;
        buf_append(bytes, stream[i].bytes, stream[i].size);
        bool inside = effect[0] == '>';
        if (inside) {
            effect++;
            size--;
        }
        if (size > 0 && strchr("-*!", effect[0]) == NULL) {
            hashes_of(effect, size, &hashes);
        }
        if (!inside) {
            tell(units, offset + bytes->len, effect[0] == '*', (const void *)hashes.data,
                 hashes.len / sizeof(uint64_t));
            buf_clear(&hashes);
        }
    }
    buf_release(&hashes);
}

static void assert_units(struct telling *t, const struct buf *expected, size_t cut, size_t step)
{
    ck_assert_msg(t->units.len == expected->len &&
                      memcmp(buf_head(&t->units), buf_head(expected), expected->len) == 0,
                  "cut at %zu, step %zu: %zu units, %zu bytes instead of %zu", cut, step, t->count,
                  t->units.len, expected->len);
}

/* The recorded stream whole, cut in two at every byte, and in small steps, gives the units that it
 * has. */
START_TEST(every_split_gives_the_same_units)
{
    struct buf bytes = BUF_INIT, expected = BUF_INIT;
    struct telling t;

    compose(1000, &bytes, &expected);
    for (size_t cut = 0; cut < bytes.len; cut++) {
        telling_init(&t, 1000, -1);
        if (cut > 0) {
            ck_assert_int_eq(feed(&t, buf_head(&bytes), cut), ERR_OK);
            ck_assert_uint_eq(effects_offset(t.e), 1000 + cut);
            ck_assert_uint_le(effects_unit_offset(t.e), 1000 + cut);
        }
        ck_assert_int_eq(feed(&t, buf_head(&bytes) + cut, bytes.len - cut), ERR_OK);
        assert_units(&t, &expected, cut, 0);
        ck_assert_uint_eq(effects_unit_offset(t.e), 1000 + bytes.len);
        ck_assert_int_eq(effects_db(t.e), 0);
        telling_fini(&t);
    }
    for (size_t step = 1; step < 70; step++) {
        telling_init(&t, 1000, -1);
        for (size_t at = 0; at < bytes.len; at += step) {
            size_t size = at + step < bytes.len ? step : bytes.len - at;
            ck_assert_int_eq(feed(&t, buf_head(&bytes) + at, size), ERR_OK);
        }
        assert_units(&t, &expected, 0, step);
        telling_fini(&t);
    }
    buf_release(&bytes);
    buf_release(&expected);
}
END_TEST

/* A transaction is one unit, and while it is open the log may not be cut. */
START_TEST(transaction_is_one_unit)
{
    static const char begin[] = "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n";
    struct telling t;

    telling_init(&t, 10, 0);
    ck_assert_int_eq(feed_text(&t, begin), ERR_OK);
    ck_assert_uint_eq(t.count, 0);
    ck_assert_uint_eq(effects_unit_offset(t.e), 10);
    ck_assert_uint_eq(effects_offset(t.e), 10 + sizeof begin - 1);
    ck_assert_int_eq(feed_text(&t, "*1\r\n$4\r\nexec\r\n"), ERR_OK);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_uint_eq(t.last_hash, hash_of(0, "a"));
    ck_assert_uint_eq(effects_unit_offset(t.e), effects_offset(t.e));
    telling_fini(&t);
}
END_TEST

/* As long as the database is not known, every effect is keyspace-wide, and what has none has none.
 */
START_TEST(database_not_known)
{
    static const char set[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    struct telling t;

    telling_init(&t, 0, -1);
    ck_assert_int_eq(feed_text(&t, set), ERR_OK);
    ck_assert(t.last_keyspace);
    ck_assert_int_eq(feed_text(&t, "*1\r\n$4\r\nPING\r\n"), ERR_OK);
    ck_assert(!t.last_keyspace);
    ck_assert_int_eq(feed_text(&t, "*2\r\n$6\r\nSELECT\r\n$2\r\n11\r\n"), ERR_OK);
    ck_assert(!t.last_keyspace);
    ck_assert_int_eq(effects_db(t.e), 11);
    ck_assert_int_eq(feed_text(&t, set), ERR_OK);
    ck_assert(!t.last_keyspace);
    ck_assert_uint_eq(t.last_hash, hash_of(11, "a"));
    telling_fini(&t);
}
END_TEST

/* Whatever the table does not know may have changed anything, also where its name is the beginning
 * of one that was just seen; a new table is not answered from memory of the old one. */
START_TEST(unknown_command_and_new_table)
{
    static const char set[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    static const char set_entry[] = "*10\r\n$3\r\nset\r\n";
    struct command_table *without_set;
    size_t size;
    uint8_t *reply = commands_reply(&size);
    uint8_t *entry = memmem(reply, size, set_entry, sizeof set_entry - 1);
    struct telling t;

    ck_assert_ptr_nonnull(entry);
    entry[sizeof set_entry - 6] = 'x'; /* no longer SET */
    ck_assert_int_eq(command_table_parse(reply, size, &without_set), ERR_OK);
    telling_init(&t, 0, 0);
    ck_assert_int_eq(feed_text(&t, "*2\r\n$7\r\nMODULE1\r\n$1\r\na\r\n"), ERR_OK);
    ck_assert(t.last_keyspace);
    ck_assert_int_eq(feed_text(&t, "*3\r\n$4\r\nCOPY\r\n$1\r\na\r\n$1\r\nb\r\n"), ERR_OK);
    ck_assert(!t.last_keyspace);
    ck_assert_int_eq(feed_text(&t, "*3\r\n$3\r\nCOP\r\n$1\r\na\r\n$1\r\nb\r\n"), ERR_OK);
    ck_assert(t.last_keyspace);
    ck_assert_int_eq(feed_text(&t, set), ERR_OK);
    ck_assert(!t.last_keyspace);
    effects_set_table(t.e, without_set);
    ck_assert_int_eq(feed_text(&t, set), ERR_OK);
    ck_assert(t.last_keyspace);
    telling_fini(&t);
    command_table_destroy(without_set);
    free(reply);
}
END_TEST

/* MSET of two values of 64 MiB, in pieces: both keys are told, and the values are not held. */
START_TEST(large_values_pass_through)
{
    enum { PIECE = 65536, VALUE = 64 << 20 };
    uint8_t *piece = mem_calloc(1, PIECE);
    struct buf expected = BUF_INIT, header = BUF_INIT;
    uint64_t hashes[2] = {hash_of(0, "first"), hash_of(0, "second")};
    uint64_t end = 0;
    struct telling t;

    telling_init(&t, 0, 0);
    for (int i = 0; i < 2; i++) {
        buf_clear(&header);
        buf_printf(&header, "%s$%d\r\n%s\r\n$%d\r\n", i == 0 ? "*5\r\n$4\r\nMSET\r\n" : "\r\n",
                   i == 0 ? 5 : 6, i == 0 ? "first" : "second", VALUE);
        ck_assert_int_eq(feed(&t, buf_head(&header), header.len), ERR_OK);
        end += header.len;
        for (int at = 0; at < VALUE; at += PIECE) {
            ck_assert_int_eq(effects_feed(t.e, piece, PIECE), ERR_OK);
            ck_assert_uint_lt(effects_bytes(t.e), 64 << 10);
        }
        end += VALUE;
    }
    ck_assert_int_eq(feed_text(&t, "\r\n"), ERR_OK);
    tell(&expected, end + 2, false, hashes, 2);
    assert_units(&t, &expected, 0, 0);
    telling_fini(&t);
    buf_release(&expected);
    buf_release(&header);
    free(piece);
}
END_TEST

/* A command that ends with a long value is told before that has come, with the offset where it will
 * end, once; the log may not be cut there until it does. */
START_TEST(long_value_is_foretold)
{
    enum { HELD = 8192 + 1, VALUE = 64 << 10 };
    static const char head[] = "*3\r\n$6\r\nAPPEND\r\n$1\r\na\r\n$65536\r\n";
    uint8_t *value = mem_calloc(1, VALUE);
    struct telling t;

    for (size_t step = 1; step < VALUE; step = step * 7 + 1) {
        telling_init(&t, 100, 0);
        ck_assert_int_eq(feed_text(&t, head), ERR_OK);
        uint64_t begin = 100 + strlen(head), end = begin + VALUE + 2;
        for (size_t at = 0; at < VALUE; at += step) {
            ck_assert_uint_eq(t.count, at >= HELD);
            ck_assert_uint_eq(effects_known_offset(t.e), at >= HELD ? end : 100);
            ck_assert_uint_eq(effects_unit_offset(t.e), 100);
            ck_assert_int_eq(feed(&t, value, at + step < VALUE ? step : VALUE - at), ERR_OK);
        }
        ck_assert_int_eq(feed_text(&t, "\r\n"), ERR_OK);
        ck_assert_uint_eq(t.count, 1);
        ck_assert(!t.last_keyspace);
        ck_assert_uint_eq(t.last_hash, hash_of(0, "a"));
        ck_assert_uint_eq(effects_unit_offset(t.e), end);
        ck_assert_int_eq(feed_text(&t, "*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n"), ERR_OK);
        ck_assert_uint_eq(t.count, 2);
        ck_assert_uint_eq(t.last_hash, hash_of(0, "b"));
        telling_fini(&t);
    }
    free(value);
}
END_TEST

/* Not so where more than the value's bytes is to come, or may decide what the command is. */
START_TEST(long_value_is_not_foretold)
{
    enum { VALUE = 64 << 10 };
    static const struct {
        const char *head, *rest;
        int err;
    } cases[] = {
        {"*5\r\n$3\r\nSET\r\n$1\r\na\r\n$65536\r\n", "\r\n$4\r\nPXAT\r\n$13\r\n1795363370838\r\n",
         ERR_OK},
        {"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$65536\r\n",
         "\r\n*1\r\n$4\r\nEXEC\r\n", ERR_OK},
        {"*2\r\n$6\r\nSELECT\r\n$65536\r\n", "\r\n", ERR_PROTOCOL},
        {"*2\r\n$4\r\nEXEC\r\n$65536\r\n", "\r\n", ERR_PROTOCOL},
        {"*1\r\n$65536\r\n", "\r\n", ERR_OK},
    };
    uint8_t *value = mem_calloc(1, VALUE);
    struct telling t;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        telling_init(&t, 0, 0);
        ck_assert_int_eq(feed_text(&t, cases[i].head), ERR_OK);
        ck_assert_int_eq(feed(&t, value, VALUE), ERR_OK);
        ck_assert_uint_eq(t.count, 0);
        ck_assert_uint_eq(effects_known_offset(t.e), 0);
        ck_assert_int_eq(feed_text(&t, cases[i].rest), cases[i].err);
        ck_assert_uint_eq(t.count, cases[i].err == ERR_OK);
        telling_fini(&t);
    }
    free(value);
}
END_TEST

/* Announced and not sent: no memory. */
START_TEST(announced_counts_cost_nothing)
{
    static const char bytes[] = "*1000000000\r\n$3\r\nDEL\r\n$1\r\na\r\n$999999999999\r\n";
    struct telling t;

    telling_init(&t, 0, 0);
    ck_assert_int_eq(feed(&t, bytes, sizeof bytes - 1), ERR_OK);
    ck_assert_uint_eq(t.count, 0);
    ck_assert_uint_lt(effects_bytes(t.e), 64 << 10);
    telling_fini(&t);
}
END_TEST

/* Feeds a DEL of `count` keys of key_len bytes in steps; says whether it was keyspace-wide. */
static bool keyspace_wide(const struct effects_limits *limits, size_t count, size_t key_len,
                          size_t step, size_t *hash_count)
{
    struct buf bytes = BUF_INIT;
    struct telling t;
    char *key = mem_calloc(1, key_len);

    memset(key, 'k', key_len);
    resp_put_array(&bytes, count + 1);
    resp_put_bulk(&bytes, "DEL", 3);
    for (size_t i = 0; i < count; i++) {
        memcpy(key, &i, 4);
        resp_put_bulk(&bytes, key, key_len);
    }
    telling_init(&t, 0, 0);
    effects_set_limits(t.e, limits);
    for (size_t at = 0; at < bytes.len; at += step) {
        ck_assert_uint_eq(t.count, 0);
        ck_assert_int_eq(
            feed(&t, buf_head(&bytes) + at, at + step < bytes.len ? step : bytes.len - at), ERR_OK);
    }
    ck_assert_uint_eq(t.count, 1);
    bool keyspace = t.last_keyspace;
    *hash_count = t.last_hashes;
    telling_fini(&t);
    buf_release(&bytes);
    free(key);
    return keyspace;
}

/* At each limit the keys are known, one beyond it the unit is keyspace-wide, in one piece as in
 * many. */
START_TEST(at_and_beyond_each_limit)
{
    static const size_t steps[] = {1, 7, 64, 1 << 20};
    static const struct {
        struct effects_limits limits;
        size_t count, key_len; /* just within */
        size_t more_keys, more_len;
    } bounds[] = {
        {{.key_bytes_max = 100, .held_bytes_max = 10000, .args_max = 1000, .hashes_max = 1000},
         3,
         100,
         0,
         1},
        {{.key_bytes_max = 100, .held_bytes_max = 803, .args_max = 1000, .hashes_max = 1000},
         8,
         100,
         1,
         0},
        {{.key_bytes_max = 100, .held_bytes_max = 10000, .args_max = 51, .hashes_max = 1000},
         50,
         10,
         1,
         0},
        {{.key_bytes_max = 100, .held_bytes_max = 10000, .args_max = 1000, .hashes_max = 20},
         20,
         10,
         1,
         0},
    };
    size_t hash_count;

    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            size_t count = bounds[b].count, len = bounds[b].key_len;
            ck_assert_msg(!keyspace_wide(&bounds[b].limits, count, len, steps[s], &hash_count),
                          "bound %zu, step %zu", b, steps[s]);
            ck_assert_uint_eq(hash_count, count);
            ck_assert_msg(keyspace_wide(&bounds[b].limits, count + bounds[b].more_keys,
                                        len + bounds[b].more_len, steps[s], &hash_count),
                          "bound %zu, step %zu", b, steps[s]);
        }
    }
}
END_TEST

/* 90,000 keys in pieces of 100 bytes, and 110,000: linear time, and the default limit. */
START_TEST(many_keys)
{
    struct effects_limits limits = EFFECTS_LIMITS_DEFAULT;
    size_t hash_count;

    ck_assert(!keyspace_wide(&limits, 90000, 10, 100, &hash_count));
    ck_assert_uint_eq(hash_count, 90000);
    ck_assert(keyspace_wide(&limits, 110000, 10, 100, &hash_count));
}
END_TEST

/* Bytes that Redis never sends are refused, whole or byte by byte, and nothing is taken after that
 * until the reader is started again. */
START_TEST(garbage)
{
    static const char *const bad[] = {"PING\r\n",
                                      "\n",
                                      "*0\r\n",
                                      "*-1\r\n",
                                      "*\r\n",
                                      "*a\r\n",
                                      "*1x\r\n",
                                      "*1\rx",
                                      "*1\r\nx",
                                      "*1\r\n$-1\r\n",
                                      "*1\r\n$\r\n",
                                      "*1\r\n$1\rx",
                                      "*1\r\n$4\r\nPINGxx",
                                      "*1\r\n$4\r\nPING\rx",
                                      "*1\r\n$9999999999999999999\r\n",
                                      "*9999999999999999999\r\n",
                                      "*1\r\n$4\r\nEXEC\r\n",
                                      "*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n",
                                      "*1\r\n$6\r\nSELECT\r\n",
                                      "*2\r\n$6\r\nSELECT\r\n$1\r\nx\r\n",
                                      "*2\r\n$6\r\nSELECT\r\n$2\r\n-1\r\n",
                                      "*2\r\n$6\r\nSELECT\r\n$10\r\n2147483648\r\n"};
    const char *ping = "*1\r\n$4\r\nPING\r\n";
    struct telling t;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int piecewise = 0; piecewise < 2; piecewise++) {
            size_t step = piecewise ? 1 : strlen(bad[i]);
            int err = ERR_OK;
            telling_init(&t, 0, 0);
            for (size_t at = 0; at < strlen(bad[i]) && err == ERR_OK; at += step) {
                err = feed(&t, bad[i] + at, step);
            }
            ck_assert_msg(err == ERR_PROTOCOL, "%s: %d", bad[i], err);
            ck_assert_int_eq(feed_text(&t, ping), ERR_PROTOCOL);
            ck_assert_uint_eq(t.count, 0);
            effects_start(t.e, 5, 0);
            ck_assert_int_eq(feed_text(&t, ping), ERR_OK);
            ck_assert_uint_eq(t.count, 1);
            ck_assert_uint_eq(effects_unit_offset(t.e), 5 + strlen(ping));
            telling_fini(&t);
        }
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("effects", setup, teardown, every_split_gives_the_same_units,
                    transaction_is_one_unit, database_not_known, unknown_command_and_new_table,
                    large_values_pass_through, long_value_is_foretold, long_value_is_not_foretold,
                    announced_counts_cost_nothing, at_and_beyond_each_limit, many_keys, garbage);
}
