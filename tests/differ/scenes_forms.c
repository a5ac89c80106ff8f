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
    };
    const char *const *one = settings[random_below(&m->r, sizeof settings / sizeof *settings)];

    MAKER_SAY(m, "CONFIG", "SET", one[0], one[1 + random_below(&m->r, 3)]);
    maker_commands(m, 3);
}

/* Nothing may grow. Not while somebody queues: what MULTI says to that is another thing. */
void scenes_out_of_memory(struct maker *m)
{
    if (m->clients[m->client].multi || m->clients[m->client].blocked) {
        return;
    }
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory-policy", "noeviction");
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory", "1")->glued = true;
    for (uint64_t n = 1 + random_below(&m->r, 6); n > 0; n--) {
        struct step *s = maker_step(m);
        s->glued = true;
        maker_words_awake(m, s);
    }
    MAKER_SAY(m, "CONFIG", "SET", "maxmemory", "0")->glued = true;
}
