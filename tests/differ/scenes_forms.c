/* Scenes of how things are said (inline, or as bytes that are no RESP), of what nobody knows, and
 * of settings. */
#include "common/mem.h"
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

#include <stdlib.h>
#include <string.h>

void scenes_in_line(struct maker *m)
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

/* With bytes in it that end a string elsewhere. */
static void say_zeros(struct maker *m, struct step *s)
{
    static const struct {
        const char *bytes;
        size_t len;
    } lines[] = {{"PING\0x\r\n", 8},
                 {"\0\r\n", 3},
                 {"\0PING\r\n", 7},
                 {"ECHO a\0b\r\nPING\r\n", 16},
                 {"*2\r\n$4\r\nECHO\r\n$3\r\na\0b\r\n", 23},
                 {"*1\0\r\n$4\r\nPING\r\n", 15},
                 {"*1\r\n$4\0\r\nPING\r\n", 15},
                 {"*1\r\n$5\r\nPING\0\r\n", 15}};
    size_t at = random_below(&m->r, sizeof lines / sizeof *lines);

    step_word(s, lines[at].bytes, lines[at].len);
}

/* Nearly as long as a line, or a count, may be (who says more may lose the answer). */
static void say_long_line(struct maker *m, struct step *s)
{
    static const size_t lens[] = {1000, 16382, 16384, 32767, 65000, 65500};
    size_t len = lens[random_below(&m->r, sizeof lens / sizeof *lens)];
    char *bytes = mem_alloc(len + 2);

    memset(bytes, maker_chance(m, 50) ? 'x' : ' ', len);
    memcpy(bytes, maker_chance(m, 20) ? "*1x" : "ECH", 3);
    if (bytes[0] == 'E' && maker_chance(m, 70)) {
        memcpy(bytes, "ECHO ", 5);
    }
    memcpy(bytes + len, "\r\n", 2);
    step_word(s, bytes, len + 2);
    free(bytes);
}

/* Some are RESP, of a kind that no client says. */
static const char *const raw_bytes[] = {"\r\n",
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
                                        "*2\r\n$4\r\nECHO\r\n$3\r\nabcXY",
                                        "*1\r\n$4\r\nPINGXY*1\r\n$4\r\nPING\r\n",
                                        "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
                                        "*2\r\n$4\r\nECHO\r\n$-5\r\n",
                                        "*2\r\n$4\r\nECHO\r\n$+1\r\na\r\n",
                                        "*2\r\n$4\r\nECHO\r\n$1 \r\na\r\n",
                                        "*2\r\n$4\r\nECHO\r\n:1\r\n",
                                        "*2\r\n$4\r\nECHO\r\n$536870913\r\n",
                                        "*-5\r\nPING\r\n",
                                        "*0\r\nPING\r\n*0\r\n",
                                        "*1048577\r\n",
                                        "*2147483647\r\n",
                                        "*9223372036854775808\r\n",
                                        "*1.0\r\n",
                                        "* 1\r\n",
                                        "*\r\n",
                                        "*1\r\n$\r\n",
                                        "\n",
                                        "\n\n\nPING\n",
                                        "PING\r\r\n",
                                        "PING\r PONG\r\n",
                                        "+PING\r\n",
                                        ":1\r\n",
                                        "-ERR\r\n",
                                        "POST / HTTP/1.1\r\n",
                                        "Host: localhost\r\n",
                                        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                        "post x\r\nPING\r\n",
                                        "MULTI\r\nINCR s0\r\n*a\r\nEXEC\r\n",
                                        "WATCH s0\r\nSET s0 x\r\nUNWATCH\r\n",
                                        "CLIENT REPLY SKIP\r\nNOSUCH\r\nPING\r\n",
                                        "QUIT\r\nSET s0 'after quit'\r\n",
                                        "\"\" a\r\n",
                                        "'' ''\r\n",
                                        "ECHO \"\\x00\\xff\\xg\\x1\"\r\n",
                                        "ECHO a\tb\r\n",
                                        "ECHO \va\f\r\n",
                                        "SET s0 \"a b\" EX 1000000\r\nTTL s0 x\r\n",
                                        NULL};

void scenes_raw(struct maker *m)
{
    struct step *s = program_add(m->program, STEP_RAW, m->client);
    switch (random_below(&m->r, 12)) {
    case 0:
        say_zeros(m, s);
        (void)program_add(m->program, STEP_LEAVE,
                          m->client); /* or the rest of the line is waited for */
        m->clients[m->client].multi = m->clients[m->client].blocked = false;
        break;
    case 1:
        say_long_line(m, s);
        break;
    default:
        step_str(s, values_pick(&m->r, raw_bytes));
    }
}

void scenes_unknown(struct maker *m)
{
    struct step *s = maker_step(m);

    if (maker_chance(m, 20)) {
        values_corner(&m->r, s);
    } else {
        step_str(s, PICK(&m->r, "NOSUCH", "get ", "geT2", "", "SENTINEL", "JSON.GET", "post1",
                         "WAITAOF", "XX\r\nYY"));
    }
    for (uint64_t n = random_below(&m->r, 5); n > 0; n--) {
        values_corner(&m->r, s);
    }
}

/* Values of which the first ones may be set; programs begin with those of stage.c. */
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
    {"maxclients", "5000", "10000", "x"},
    {"timeout", "3600", "0", "-1"},
    {"tcp-keepalive", "60", "300", ""},
    {"client-output-buffer-limit", "normal 0 0 0", "pubsub 33554432 8388608 60", "normal 1"},
    {"client-query-buffer-limit", "1gb", "1073741824", "1"},
    {"maxmemory-clients", "0", "0", "-1"},
    {"slowlog-max-len", "128", "128", "-1"},
    {"latency-monitor-threshold", "0", "0", "x"},
    {"tracking-table-max-keys", "1000000", "1000000", "-1"},
    {"busy-reply-threshold", "5000", "5000", "x"},
    {"acllog-max-len", "128", "128", "x"},
    {"min-replicas-max-lag", "10", "10", "-1"},
    {"dbfilename", "a/b", "/nosuch/folder", "a/"},
    {"databases", "1", "2", "3"},
    {"maxmemory-samples", "5", "5", "0"},
    {"proto-max-bulk-len", "512mb", "536870912", "1"},
    {"hash-max-listpack-value", "64", "64b", "64x"},
    {"hash-max-ziplist-entries", "2", "128", ""},
    {"zset-max-ziplist-value", "8", "64", "1e3"},
    {"list-compress-depth", "1", "0", "-1"},
    {"stream-node-max-bytes", "1kb", "4096", "4 096"},
    {"list-max-ziplist-size", "3", "-2", "-6"},
    {"lazyfree-lazy-expire", "no", "NO", "maybe"},
    {"lazyfree-lazy-user-del", "yes", "no", ""},
    {"lazyfree-lazy-user-flush", "yes", "no", "1"},
    {"activerehashing", "yes", "yes", "true"},
    {"hz", "10", "10", "x"},
    {"dynamic-hz", "yes", "yes", "x"},
    {"lua-time-limit", "5000", "5000", "-1"},
    {"save", "1", "x", "60"},
    {"appendonly", "maybe", "2", ""},
    {"loglevel", "", "loud", "1"},
    {"aclfile", "x", "", "y"},
    {"supervised", "no", "x", ""},
    {"acl-pubsub-default", "resetchannels", "resetchannels", "x"},
    {"oom-score-adj", "no", "no", "x"},
    {"lfu-decay-time", "1", "1", "-1"},
    {"maxmemory-eviction-tenacity", "10", "10", "101"},
    {"tracking-table-max-keys", "1000000", "1000000", "x"},
    {"set-proc-title", "yes", "yes", "x"},
    {"replica-priority", "100", "100", "-1"},
    {"slave-priority", "100", "100", "x"},
    {"no-appendfsync-on-rewrite", "no", "no", "x"},
    {"close-on-oom", "1", "2", "3"},
    {"stop-writes-on-bgsave-error", "yes", "yes", "x"},
};

void scenes_configure(struct maker *m)
{
    const char *const *one = settings[random_below(&m->r, sizeof settings / sizeof *settings)];

    const char *const *two = settings[random_below(&m->r, sizeof settings / sizeof *settings)];

    struct step *s = MAKER_SAY(m, "CONFIG", "SET", one[0], one[1 + random_below(&m->r, 3)]);
    if (maker_chance(m, 15)) { /* both or none */
        step_str(s, two[0]);
        step_str(s, two[1 + random_below(&m->r, 3)]);
    }
    if (maker_chance(m, 4)) {
        step_str(s, one[0]); /* twice, or without a value */
        if (maker_chance(m, 50)) {
            step_str(s, one[1 + random_below(&m->r, 3)]);
        }
    }
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "CONFIG", "GET", one[0], PICK(&m->r, "nosuch", two[0]));
    } else if (maker_chance(m, 15)) {
        MAKER_SAY(m, "CONFIG", "GET",
                  PICK(&m->r, "*-max-*-entries", "lfu-*", "LAZYFREE-*", "*[", "list-*", "", "acl*",
                       "*-ziplist-*", "client-query*", "maxmemory-*", "stream-*", "tcp-*"));
    }
    maker_commands(m, 3);
}
