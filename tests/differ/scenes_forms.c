/* Scenes of how things are said (inline, or as bytes that are no RESP), of what nobody knows, and
 * of settings. */
#include "tests/differ/scenes.h"
#include "tests/differ/values.h"

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

void scenes_raw(struct maker *m)
{
    static const char *const bytes[] = {"\r\n",
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
                                        NULL};
    struct step *s = program_add(m->program, STEP_RAW, m->client);
    step_str(s, values_pick(&m->r, bytes));
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

void scenes_configure(struct maker *m)
{
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
    };
    const char *const *one = settings[random_below(&m->r, sizeof settings / sizeof *settings)];

    const char *const *two = settings[random_below(&m->r, sizeof settings / sizeof *settings)];

    struct step *s = MAKER_SAY(m, "CONFIG", "SET", one[0], one[1 + random_below(&m->r, 3)]);
    if (maker_chance(m, 15)) { /* both or none */
        step_str(s, two[0]);
        step_str(s, two[1 + random_below(&m->r, 3)]);
    }
    if (maker_chance(m, 30)) {
        MAKER_SAY(m, "CONFIG", "GET", one[0], PICK(&m->r, "nosuch", two[0]));
    }
    maker_commands(m, 3);
}
