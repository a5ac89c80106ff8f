/* The command table as the real COMMAND of Redis 7.0.15 tells it (tests/data), what it finds in
 * requests, and that no broken reply harms it. */
#include "proxy/protocol/command.h"

#include "common/mem.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

enum { ARGS_MAX = 16 };

static uint8_t *reply;
static size_t reply_size;
static struct command_table *table;

static void setup(void)
{
    FILE *f = fopen(TESTS_DATA_DIR "/command-7.0.15.resp", "rb");

    ck_assert_ptr_nonnull(f);
    reply = mem_alloc(1 << 20);
    reply_size = fread(reply, 1, 1 << 20, f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(command_table_parse(reply, reply_size, &table), ERR_OK);
}

static void teardown(void)
{
    command_table_destroy(table);
    free(reply);
}

/* Words separated by single spaces; they stand in line. */
static size_t split(const char *line, struct resp_arg argv[ARGS_MAX])
{
    size_t argc = 0;

    for (;;) {
        size_t len = strcspn(line, " ");
        ck_assert_uint_lt(argc, ARGS_MAX);
        argv[argc++] = (struct resp_arg){(const uint8_t *)line, len};
        if (line[len] == '\0') {
            return argc;
        }
        line += len + 1;
    }
}

static const struct command *find(const char *line)
{
    struct resp_arg argv[ARGS_MAX];
    size_t argc = split(line, argv);

    return command_find(table, argv, argc, NULL);
}

/* What a request reaches, and its keys, separated by spaces. */
static enum command_reach reach_in(const struct command_table *t, const char *line, char *names,
                                   size_t size)
{
    struct resp_arg argv[ARGS_MAX];
    size_t argc = split(line, argv), len = 0;
    const struct command *c = command_find(t, argv, argc, NULL);
    struct buf keys = BUF_INIT;
    enum command_reach reach;

    names[0] = '\0';
    if (c == NULL) {
        return COMMAND_REACH_KEYSPACE;
    }
    reach = command_reach(c, argv, argc, &keys);
    for (size_t i = 0; i < keys.len / sizeof(struct command_key); i++) {
        struct command_key key;
        memcpy(&key, buf_head(&keys) + i * sizeof key, sizeof key);
        ck_assert_uint_lt(key.index, argc);
        len += (size_t)snprintf(names + len, size - len, "%s%.*s", i == 0 ? "" : " ",
                                (int)argv[key.index].len, (const char *)argv[key.index].bytes);
    }
    buf_release(&keys);
    return reach;
}

static enum command_reach reach(const char *line)
{
    char names[256];
    enum command_reach r = reach_in(table, line, names, sizeof names);

    if (r != COMMAND_REACH_KEYS) {
        ck_assert_str_eq(names, "");
    }
    return r;
}

/* ---- the table ---- */

/* Every command and subcommand of the reply is in the table. */
START_TEST(all_commands_are_there)
{
    ck_assert_uint_eq(command_table_count(table), 240);
    ck_assert_uint_eq(command_table_count(find("config")->subcommands), 5);
    ck_assert_uint_eq(command_table_count(find("client")->subcommands), 16);
    ck_assert_ptr_null(find("get")->subcommands);
}
END_TEST

/* Names are found in any case, a subcommand through its container; nothing else is found. */
START_TEST(lookup)
{
    const struct command *container = NULL;
    struct resp_arg argv[ARGS_MAX];

    ck_assert_str_eq(find("GeT k")->name, "get");
    ck_assert_str_eq(find("CONFIG gEt x")->name, "config|get");
    ck_assert_str_eq(find("config")->name, "config");
    ck_assert_str_eq(find("COMMAND")->name, "command");
    ck_assert_ptr_null(find("ge"));
    ck_assert_ptr_null(find("gett"));
    ck_assert_ptr_null(find(""));
    ck_assert_ptr_null(find("config|get x"));
    ck_assert_ptr_null(find("[et"));
    size_t argc = split("CONFIG nope", argv);
    ck_assert_ptr_null(command_find(table, argv, argc, &container));
    ck_assert_str_eq(container->name, "config");
    argc = split("nope nope", argv);
    ck_assert_ptr_null(command_find(table, argv, argc, &container));
    ck_assert_ptr_null(container);
    ck_assert_ptr_null(command_find(table, argv, 0, &container));
    argv[0] = (struct resp_arg){(const uint8_t *)"get\0", 4};
    ck_assert_ptr_null(command_find(table, argv, 1, NULL));
    argv[0] = (struct resp_arg){reply, reply_size};
    ck_assert_ptr_null(command_find(table, argv, 1, NULL));
}
END_TEST

/* Flags, categories and arity, of one command for each bit. */
START_TEST(flags_and_categories)
{
    static const struct {
        const char *name;
        uint32_t flags, categories;
    } cases[] = {
        {"set", COMMAND_FLAG_WRITE | COMMAND_FLAG_DENYOOM, 0},
        {"get", COMMAND_FLAG_READONLY | COMMAND_FLAG_FAST, 0},
        {"debug", COMMAND_FLAG_ADMIN | COMMAND_FLAG_NOSCRIPT, COMMAND_CAT_ADMIN},
        {"publish", COMMAND_FLAG_PUBSUB | COMMAND_FLAG_FAST, COMMAND_CAT_PUBSUB},
        {"blpop", COMMAND_FLAG_WRITE | COMMAND_FLAG_BLOCKING | COMMAND_FLAG_NOSCRIPT,
         COMMAND_CAT_BLOCKING},
        {"sort", COMMAND_FLAG_WRITE | COMMAND_FLAG_DENYOOM | COMMAND_FLAG_MOVABLE, 0},
        {"save", COMMAND_FLAG_ADMIN | COMMAND_FLAG_NOSCRIPT | COMMAND_FLAG_NO_MULTI,
         COMMAND_CAT_ADMIN},
        {"auth",
         COMMAND_FLAG_NOSCRIPT | COMMAND_FLAG_FAST | COMMAND_FLAG_NO_AUTH | COMMAND_FLAG_ALLOW_BUSY,
         COMMAND_CAT_CONNECTION},
        {"del", COMMAND_FLAG_WRITE, COMMAND_CAT_KEYSPACE},
        {"eval", COMMAND_FLAG_NOSCRIPT | COMMAND_FLAG_MOVABLE, COMMAND_CAT_SCRIPTING},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct command *c = find(cases[i].name);
        ck_assert_ptr_nonnull(c);
        ck_assert_msg(c->flags == cases[i].flags && c->categories == cases[i].categories,
                      "%s: flags %x, categories %x", cases[i].name, c->flags, c->categories);
    }
    ck_assert(command_arity_ok(find("get"), 2));
    ck_assert(!command_arity_ok(find("get"), 1));
    ck_assert(!command_arity_ok(find("get"), 3));
    ck_assert(command_arity_ok(find("set"), 3));
    ck_assert(command_arity_ok(find("set"), 30));
    ck_assert(!command_arity_ok(find("set"), 2));
}
END_TEST

/* ---- Redis' texts ---- */

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10
#define ARG(s)                                                                                     \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

/* Each line is what redis-server 7.0.15 answered to these very words. */
START_TEST(texts_are_those_of_redis)
{
    static const struct {
        struct resp_arg argv[5];
        size_t argc;
        int rc;
        const char *text;
    } cases[] = {
        {{ARG("foo"), ARG("a"), ARG("b")},
         3,
         ERR_NOT_FOUND,
         "ERR unknown command 'foo', with args beginning with: 'a' 'b' "},
        {{ARG("FoO")}, 1, ERR_NOT_FOUND, "ERR unknown command 'FoO', with args beginning with: "},
        {{ARG(""), ARG("a")},
         2,
         ERR_NOT_FOUND,
         "ERR unknown command '', with args beginning with: 'a' "},
        {{ARG("foo"), ARG(X60 X60 X10), ARG("y")},
         3,
         ERR_NOT_FOUND,
         "ERR unknown command 'foo', with args beginning with: '" X60 X60 "xxxxxxxx' "},
        {{ARG("foo"), ARG(X60), ARG(X60), ARG(X60), ARG("w")},
         5,
         ERR_NOT_FOUND,
         "ERR unknown command 'foo', with args beginning with: '" X60 "' '" X60 "' 'xx' "},
        {{ARG("foo"), ARG(X60 X60 "xxxx"), ARG("y")},
         3,
         ERR_NOT_FOUND,
         "ERR unknown command 'foo', with args beginning with: '" X60 X60 "xxxx' 'y' "},
        {{ARG("foo"), ARG(X60 X60 "xxxxx"), ARG("y")},
         3,
         ERR_NOT_FOUND,
         "ERR unknown command 'foo', with args beginning with: '" X60 X60 "xxxxx' "},
        {{ARG(X60 X60 X60), ARG("a")},
         2,
         ERR_NOT_FOUND,
         "ERR unknown command '" X60 X60 "xxxxxxxx', with args beginning with: 'a' "},
        {{ARG("fo\0o"), ARG("a\0b"), ARG("c")},
         3,
         ERR_NOT_FOUND,
         "ERR unknown command 'fo', with args beginning with: 'a' 'c' "},
        {{ARG("fo\r\no"), ARG("a\nb")},
         2,
         ERR_NOT_FOUND,
         "ERR unknown command 'fo  o', with args beginning with: 'a b' "},
        {{ARG("Config"), ARG("x\0y")},
         2,
         ERR_NOT_FOUND,
         "ERR unknown subcommand 'x'. Try CONFIG HELP."},
        {{ARG("command"), ARG(X60 X60 X60)},
         2,
         ERR_NOT_FOUND,
         "ERR unknown subcommand '" X60 X60 "xxxxxxxx'. Try COMMAND HELP."},
        {{ARG("config"), ARG("")}, 2, ERR_NOT_FOUND, "ERR unknown subcommand ''. Try CONFIG HELP."},
        {{ARG("config")}, 1, ERR_INVALID, "ERR wrong number of arguments for 'config' command"},
        {{ARG("CONFIG"), ARG("get")},
         2,
         ERR_INVALID,
         "ERR wrong number of arguments for 'config|get' command"},
        {{ARG("gEt"), ARG("1"), ARG("2")},
         3,
         ERR_INVALID,
         "ERR wrong number of arguments for 'get' command"},
        {{ARG("object"), ARG("help"), ARG("x")},
         3,
         ERR_INVALID,
         "ERR wrong number of arguments for 'object|help' command"},
        {{ARG("get"), ARG("k")}, 2, ERR_OK, ""},
        {{ARG("command")}, 1, ERR_OK, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = BUF_INIT;
        const struct command *c;
        ck_assert_int_eq(command_check(table, cases[i].argv, cases[i].argc, &c, &text),
                         cases[i].rc);
        ck_assert_int_eq(c == NULL, cases[i].rc == ERR_NOT_FOUND);
        UNIT_TEXT_IS(&text, cases[i].text);
    }
}
END_TEST

/* ---- keys ---- */

/* What COMMAND GETKEYS of redis-server 7.0.15 said to each of these requests. */
START_TEST(keys_are_those_of_getkeys)
{
    static const struct {
        const char *request, *keys;
    } cases[] = {
        {"GET k", "k"},
        {"SET k v", "k"},
        {"SET k v EX 10 GET", "k"},
        {"MSET a 1 b 2 c 3", "a b c"},
        {"MSETNX a 1 b 2", "a b"},
        {"MGET a b c d", "a b c d"},
        {"DEL a b c", "a b c"},
        {"EXISTS a a", "a a"},
        {"UNLINK a b", "a b"},
        {"TOUCH a", "a"},
        {"EXPIRE k 10", "k"},
        {"RENAME a b", "a b"},
        {"RENAMENX a b", "a b"},
        {"MOVE k 3", "k"},
        {"COPY a b DB 3 REPLACE", "a b"},
        {"APPEND k v", "k"},
        {"GETSET k v", "k"},
        {"GETEX k PERSIST", "k"},
        {"LCS a b LEN", "a b"},
        {"BITOP AND dst a b c", "dst a b c"},
        {"BITFIELD k SET u8 0 1", "k"},
        {"BITFIELD_RO k GET u8 0", "k"},
        {"BITCOUNT k 0 1", "k"},
        {"PFADD k a b", "k"},
        {"PFCOUNT a b", "a b"},
        {"PFMERGE dst a b", "dst a b"},
        {"LPUSH k a b", "k"},
        {"LMOVE a b LEFT RIGHT", "a b"},
        {"RPOPLPUSH a b", "a b"},
        {"BLMOVE a b LEFT RIGHT 0", "a b"},
        {"BLPOP a b c 0", "a b c"},
        {"BRPOPLPUSH a b 0", "a b"},
        {"LMPOP 2 a b LEFT COUNT 3", "a b"},
        {"BLMPOP 0 2 a b LEFT", "a b"},
        {"SADD k m", "k"},
        {"SMOVE a b m", "a b"},
        {"SINTER a b", "a b"},
        {"SINTERSTORE dst a b", "dst a b"},
        {"SINTERCARD 2 a b LIMIT 1", "a b"},
        {"SDIFFSTORE dst a", "dst a"},
        {"ZADD k 1 m", "k"},
        {"ZRANGESTORE dst src 0 -1", "dst src"},
        {"ZUNION 2 a b WEIGHTS 1 2", "a b"},
        {"ZINTER 1 a", "a"},
        {"ZDIFF 2 a b WITHSCORES", "a b"},
        {"ZUNIONSTORE dst 2 a b AGGREGATE MAX", "dst a b"},
        {"ZINTERSTORE dst 1 a", "dst a"},
        {"ZDIFFSTORE dst 2 a b", "dst a b"},
        {"ZINTERCARD 2 a b", "a b"},
        {"ZMPOP 1 a MIN", "a"},
        {"BZMPOP 0 2 a b MAX", "a b"},
        {"BZPOPMIN a b 0", "a b"},
        {"HSET k f v", "k"},
        {"HRANDFIELD k 3", "k"},
        {"GEOADD k 1 2 m", "k"},
        {"GEORADIUS k 1 2 3 m", "k"},
        {"GEORADIUS k 1 2 3 m STORE dst", "k dst"},
        {"GEORADIUS k 1 2 3 m COUNT 2 storedist dst", "k dst"},
        {"GEORADIUS k 1 2 3 m STORE", "k"},
        {"GEORADIUS k 1 2 3 m STOREDIST STORE", "k STORE"},
        {"GEORADIUSBYMEMBER k m 3 km STORE dst", "k dst"},
        {"GEORADIUS_RO k 1 2 3 m", "k"},
        {"GEOSEARCHSTORE dst src FROMLONLAT 1 2 BYRADIUS 3 m", "dst src"},
        {"XADD k * f v", "k"},
        {"XREAD COUNT 2 STREAMS a b 0 0", "a b"},
        {"XREAD BLOCK 0 STREAMS a $", "a"},
        {"XREADGROUP GROUP g c COUNT 1 STREAMS a b > >", "a b"},
        {"XREADGROUP GROUP STREAMS c STREAMS a >", "a"},
        {"XGROUP CREATE k g $", "k"},
        {"XINFO STREAM k FULL", "k"},
        {"XACK k g 1-1", "k"},
        {"XCLAIM k g c 0 1-1", "k"},
        {"XAUTOCLAIM k g c 0 0", "k"},
        {"OBJECT ENCODING k", "k"},
        {"MEMORY USAGE k SAMPLES 3", "k"},
        {"RESTORE k 0 x", "k"},
        {"DUMP k", "k"},
        {"WATCH a b", "a b"},
        {"PFDEBUG ENCODING k", "k"},
        {"SORT k LIMIT 0 1 ALPHA", "k"},
        {"SUBSTR k 0 1", "k"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char names[256];
        enum command_reach r = reach_in(table, cases[i].request, names, sizeof names);
        ck_assert_msg(r == COMMAND_REACH_KEYS && strcmp(names, cases[i].keys) == 0,
                      "%s: %d, keys %s", cases[i].request, (int)r, names);
    }
}
END_TEST

/* Keys that the command says it writes, whatever its options make of that. */
START_TEST(written_keys)
{
    static const struct {
        const char *request, *writes;
    } cases[] = {
        {"GET k", "-"},
        {"SET k v GET", "w"},
        {"BITFIELD k GET u8 0", "w"},
        {"PFCOUNT a b", "ww"},
        {"RPOPLPUSH a b", "ww"},
        {"ZUNIONSTORE dst 2 a b", "w--"},
        {"SINTERSTORE dst a", "w-"},
        {"COPY a b", "-w"},
        {"DEL a", "w"},
        {"SUNION a b", "--"},
        {"GEORADIUS k 1 2 3 m STORE dst", "-w"},
        {"XADD k * f v", "w"},
        {"OBJECT ENCODING k", "-"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct resp_arg argv[ARGS_MAX];
        size_t argc = split(cases[i].request, argv);
        const struct command *c = command_find(table, argv, argc, NULL);
        struct buf keys = BUF_INIT;
        char writes[ARGS_MAX + 1] = "";
        ck_assert_int_eq(command_reach(c, argv, argc, &keys), COMMAND_REACH_KEYS);
        for (size_t k = 0; k < keys.len / sizeof(struct command_key); k++) {
            struct command_key key;
            memcpy(&key, buf_head(&keys) + k * sizeof key, sizeof key);
            writes[k] = key.write ? 'w' : '-';
        }
        ck_assert_msg(strcmp(writes, cases[i].writes) == 0, "%s: %s", cases[i].request, writes);
        buf_release(&keys);
    }
}
END_TEST

/* Whatever may look at, or change, more than it names. */
START_TEST(keyspace_wide)
{
    static const char *const requests[] = {
        "EVAL s 1 k", "EVALSHA s 0", "EVAL_RO s 1 k", "FCALL f 1 k", "FCALL_RO f 0",
        "FUNCTION LOAD x", "FUNCTION DUMP", "FUNCTION LIST", "SCRIPT LOAD x", "SCRIPT EXISTS x",
        "KEYS *", "SCAN 0", "DBSIZE", "RANDOMKEY", "FLUSHALL", "FLUSHDB ASYNC", "SWAPDB 0 1",
        "SORT k BY w_*", "SORT k get #", "SORT k ALPHA STORE dst", "SORT_RO k BY w_*", "SORT",
        "MIGRATE h 1 k 0 10", "MIGRATE h 1 k 0 10 KEYS a b", "EXEC", "DEBUG OBJECT k",
        "DEBUG DIGEST", "MEMORY STATS", "MEMORY DOCTOR", "MONITOR", "SLOWLOG GET 10",
        "CLUSTER COUNTKEYSINSLOT 1", "CLUSTER GETKEYSINSLOT 1 1", "INFO", "INFO keyspace",
        "INFO all", "INFO everything", "INFO default", "INFO server Keyspace", "INFO nobodyknows",
        /* keys that can't be found */
        "GET", "MGET", "ZUNION x a b", "ZUNION 3 a b", "ZUNION 0 a", "ZUNION -1 a", "ZUNION",
        "ZUNION 99999999999999999999 a", "ZUNION 9223372036854775807 a", "ZUNION 2147483648 a",
        "ZUNIONSTORE dst 0", "BLMPOP 0", "XREAD COUNT 1", "XREAD STREAMS", "XREAD STREAMS a",
        "OBJECT ENCODING", "CONFIG",
        /* a keyword that stands there twice: only the command knows which one counts */
        "XREAD STREAMS streams 0", "XREADGROUP COUNT 1 GROUP STREAMS c STREAMS a >",
        "GEORADIUS k 1 2 3 m STORE a STORE b",
        /* not a command at all */
        "NOPE k"};

    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        ck_assert_msg(reach(requests[i]) == COMMAND_REACH_KEYSPACE, "%s", requests[i]);
    }
}
END_TEST

/* Whatever tells nothing of the keyspace. */
START_TEST(harmless)
{
    static const char *const requests[] = {"PING",
                                           "ECHO x",
                                           "TIME",
                                           "LOLWUT",
                                           "HELLO 3",
                                           "AUTH p",
                                           "SELECT 1",
                                           "QUIT",
                                           "RESET",
                                           "CLIENT LIST",
                                           "CLIENT SETNAME x",
                                           "CONFIG GET *",
                                           "CONFIG SET a b",
                                           "ACL WHOAMI",
                                           "ACL LIST",
                                           "COMMAND",
                                           "COMMAND GETKEYS GET k",
                                           "COMMAND DOCS",
                                           "PUBLISH c m",
                                           "SPUBLISH c m",
                                           "SUBSCRIBE c",
                                           "SSUBSCRIBE c",
                                           "PUBSUB CHANNELS",
                                           "ROLE",
                                           "WAIT 0 0",
                                           "LASTSAVE",
                                           "BGSAVE",
                                           "SLOWLOG LEN",
                                           "LATENCY LATEST",
                                           "MULTI",
                                           "DISCARD",
                                           "UNWATCH",
                                           "FUNCTION HELP",
                                           "SCRIPT HELP",
                                           "OBJECT HELP",
                                           "MEMORY HELP",
                                           "XINFO HELP",
                                           "CLUSTER INFO",
                                           "INFO server",
                                           "INFO STATS replication",
                                           "INFO holdfast"};

    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        ck_assert_msg(reach(requests[i]) == COMMAND_REACH_NONE, "%s", requests[i]);
    }
}
END_TEST

/* The two commands that touch a second database. */
START_TEST(second_db)
{
    static const struct {
        const char *request;
        long db;
    } cases[] = {
        {"MOVE k 3", 3},
        {"MOVE k", -1},
        {"MOVE k x", -1},
        {"MOVE k -2", -1},
        {"COPY a b", -1},
        {"COPY a b DB 5", 5},
        {"COPY a b REPLACE db 0", 0},
        {"COPY a b DB", -1},
        {"COPY a b DB x", -1},
        {"COPY db 1 REPLACE", -1},
        {"COPY a b DB 1 DB 2", 2},
        {"GET k 3", -1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct resp_arg argv[ARGS_MAX];
        size_t argc = split(cases[i].request, argv);
        long db = command_second_db(command_find(table, argv, argc, NULL), argv, argc);
        ck_assert_msg(db == cases[i].db, "%s: %ld", cases[i].request, db);
    }
}
END_TEST

/* ---- other engines, and broken replies ---- */

#define SPEC_GET                                                                                   \
    "*6\r\n$5\r\nflags\r\n*1\r\n+RO\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n" \
    "$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\n"       \
    "range\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n"   \
    ":0\r\n"
#define COMMAND_GET(name, flags, spec)                                                             \
    "*10\r\n" name ":2\r\n" flags ":1\r\n:1\r\n:1\r\n*1\r\n+@read\r\n*0\r\n*1\r\n" spec "*0\r\n"

static int parse(const char *text, struct command_table **t)
{
    return command_table_parse((const uint8_t *)text, strlen(text), t);
}

#define SPEC_INCOMPLETE                                                                            \
    "*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+incomplete\r\n$12\r\nbegin_search\r\n*4\r\n$"              \
    "4\r\ntype\r\n+index\r\n"                                                                      \
    "$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n+range\r\n$"  \
    "4\r\nspec\r\n"                                                                                \
    "*4\r\n+lastkey\r\n:0\r\n+keystep\r\n:1\r\n"

/* A spec that says of itself that it is not all, and a write that names no key. */
START_TEST(incomplete_and_writes_without_keys)
{
    static const char text[] = "*3\r\n" COMMAND_GET(
        "+part\r\n", "*0\r\n", SPEC_INCOMPLETE) "*10\r\n+conn\r\n:-1\r\n*0\r\n:0\r\n:0\r\n:0\r\n*"
                                                "1\r\n+@connection\r\n*0\r\n*0\r\n*0\r\n"
                                                "*10\r\n+wr\r\n:-1\r\n*1\r\n+write\r\n:0\r\n:0\r\n:"
                                                "0\r\n*1\r\n+@connection\r\n*0\r\n*0\r\n*0\r\n";
    struct command_table *t;
    char names[64];

    ck_assert_int_eq(parse(text, &t), ERR_OK);
    ck_assert_int_eq(reach_in(t, "part k", names, sizeof names), COMMAND_REACH_KEYSPACE);
    ck_assert_int_eq(reach_in(t, "conn k", names, sizeof names), COMMAND_REACH_NONE);
    ck_assert_int_eq(reach_in(t, "wr k", names, sizeof names), COMMAND_REACH_KEYSPACE);
    command_table_destroy(t);
}
END_TEST

/* A later engine may say more, in fields, flags and maps; a search that is new is not guessed at. A
 * module's command is keyspace-wide whatever it says of its keys. */
START_TEST(later_engines)
{
    static const char text[] =
        "*4\r\n"
        "*12\r\n$4\r\nMORE\r\n:2\r\n*2\r\n+write\r\n+new\r\n:1\r\n:1\r\n:1\r\n*1\r\n+@new\r\n*0\r\n"
        "*1\r\n" SPEC_GET "*0\r\n*2\r\n$-1\r\n:5\r\n+x\r\n" /* two fields more */
        COMMAND_GET("$3\r\nmod\r\n", "*1\r\n+module\r\n", SPEC_GET) COMMAND_GET(
            "$6\r\nnewway\r\n", "*0\r\n",
            "*6\r\n$5\r\nflags\r\n*0\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$4\r\n"
            "clue\r\n$4\r\nspec\r\n*2\r\n$4\r\nhint\r\n:1\r\n$3\r\nnew\r\n+x\r\n")
            COMMAND_GET(
                "$4\r\nplus\r\n", "*0\r\n",
                "*4\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n"
                "*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n+range\r\n"
                "$4\r\nspec\r\n*4\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:0\r\n");
    struct command_table *t;
    char names[64];

    ck_assert_int_eq(parse(text, &t), ERR_OK);
    ck_assert_int_eq(reach_in(t, "more k", names, sizeof names), COMMAND_REACH_KEYS);
    ck_assert_str_eq(names, "k");
    ck_assert_int_eq(reach_in(t, "mod k", names, sizeof names), COMMAND_REACH_KEYSPACE);
    ck_assert_int_eq(reach_in(t, "newway k", names, sizeof names), COMMAND_REACH_KEYSPACE);
    ck_assert_int_eq(reach_in(t, "plus k", names, sizeof names), COMMAND_REACH_KEYSPACE);
    command_table_destroy(t);
}
END_TEST

/* A reply that ends anywhere before its end, or goes on behind it, is refused. */
START_TEST(cut_replies)
{
    static const char text[] = "*1\r\n" COMMAND_GET("$3\r\nget\r\n", "*1\r\n+fast\r\n", SPEC_GET);
    struct command_table *t;
    uint8_t *cut;

    ck_assert_int_eq(parse(text, &t), ERR_OK);
    command_table_destroy(t);
    for (size_t len = 0; len < sizeof text - 1; len++) {
        cut = mem_alloc(len + 1); /* as large as it is, so that a sanitizer sees what reads on */
        memcpy(cut, text, len);
        ck_assert_int_eq(command_table_parse(cut, len, &t), ERR_PROTOCOL);
        ck_assert_ptr_null(t);
        free(cut);
    }
    for (size_t len = 0; len < reply_size; len += 191) {
        ck_assert_int_eq(command_table_parse(reply, len, &t), ERR_PROTOCOL);
    }
    ck_assert_int_eq(command_table_parse((const uint8_t *)text, sizeof text, &t), ERR_PROTOCOL);
}
END_TEST

/* Replies that are something else, or lie about their sizes. */
START_TEST(refused_replies)
{
    static const char *const replies[] = {
        "",
        "+OK\r\n",
        "-ERR no\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*1\r\n*-1\r\n",
        "*1\r\n$3\r\nget\r\n",
        "*1000000000\r\n",
        "*99999999999999999999\r\n",
        "*1\r\n*2147483647\r\n",
        "*1\r\n" COMMAND_GET("$3000000000\r\nget\r\n", "*0\r\n", SPEC_GET),
        "*1\r\n" COMMAND_GET("$0\r\n\r\n", "*0\r\n", SPEC_GET),
        "*1\r\n" COMMAND_GET("$3\r\nget\r\n", "*5\r\n", SPEC_GET),
        "*1\r\n" COMMAND_GET("$3\r\nget\r\n", ":1\r\n", SPEC_GET),
        "*1\r\n" COMMAND_GET("$3\r\nget\r\n", "*0\r\n", "*1\r\n+flags\r\n"),
        "*1\r\n*10\r\n+x\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*2147483647\r\n*0\r\n",
        /* named twice */
        "*2\r\n" COMMAND_GET("$3\r\nget\r\n", "*0\r\n", SPEC_GET)
            COMMAND_GET("$3\r\nGET\r\n", "*0\r\n", SPEC_GET),
        /* of Redis 6: no key specs */
        "*1\r\n*7\r\n$3\r\nget\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n*0\r\n",
        /* nested without end */
        "*1\r\n*10\r\n+x\r\n:2\r\n*0\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*"
        "1\r\n"
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n:1\r\n"
        ":1\r\n*0\r\n*0\r\n*0\r\n*0\r\n",
    };
    struct command_table *t;

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        ck_assert_msg(parse(replies[i], &t) == ERR_PROTOCOL && t == NULL, "%s", replies[i]);
    }
    ck_assert_int_eq(parse("*0\r\n", &t), ERR_OK);
    ck_assert_uint_eq(command_table_count(t), 0);
    command_table_destroy(t);
}
END_TEST

/* Bytes changed at random: refused or read, and what was read can be used. */
START_TEST(corrupt_replies)
{
    unsigned random = (unsigned)_i;
    uint8_t *copy = mem_alloc(reply_size);
    struct command_table *t;
    char names[256];

    for (int round = 0; round < 60; round++) {
        memcpy(copy, reply, reply_size);
        for (int n = 0; n < 1 + round % 4; n++) {
            static const uint8_t digits[] = "0123456789-*$:+\r\n";
            random = random * 1103515245 + 12345;
            size_t at = (random >> 4) % reply_size;
            random = random * 1103515245 + 12345;
            copy[at] = round % 2 == 0 ? (uint8_t)(random >> 16)
                                      : digits[(random >> 16) % (sizeof digits - 1)];
        }
        if (command_table_parse(copy, reply_size, &t) != ERR_OK) {
            ck_assert_ptr_null(t);
            continue;
        }
        (void)reach_in(t, "mset a 1 b 2", names, sizeof names);
        (void)reach_in(t, "xread streams a b 0 0", names, sizeof names);
        (void)reach_in(t, "zunionstore d 2 a b", names, sizeof names);
        command_table_destroy(t);
    }
    free(copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("command");
    TCase *tc = tcase_create("table");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, all_commands_are_there);
    tcase_add_test(tc, lookup);
    tcase_add_test(tc, flags_and_categories);
    tcase_add_test(tc, texts_are_those_of_redis);
    tcase_add_test(tc, keys_are_those_of_getkeys);
    tcase_add_test(tc, written_keys);
    tcase_add_test(tc, keyspace_wide);
    tcase_add_test(tc, harmless);
    tcase_add_test(tc, second_db);
    tcase_add_test(tc, incomplete_and_writes_without_keys);
    tcase_add_test(tc, later_engines);
    tcase_add_test(tc, cut_replies);
    tcase_add_test(tc, refused_replies);
    tcase_add_loop_test(tc, corrupt_replies, 0, 20);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
