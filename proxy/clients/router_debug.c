/* DEBUG: what of it is passed on, and how. */
#include "proxy/clients/router.h"

#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/router_impl.h"
#include "proxy/clients/transaction.h"

#include <stdio.h>
#include <string.h>

/* RELOAD: the data that are there are saved, and come back. */
struct reload {
    bool is; /* with words that are known */
    bool merges, keeps;
};

static struct reload debug_reload(const struct resp_arg *argv, size_t argc)
{
    struct reload reload = {.is = resp_arg_is(&argv[1], "reload")};

    for (size_t i = 2; reload.is && i < argc; i++) {
        if (resp_arg_is(&argv[i], "merge")) {
            reload.merges = true;
        } else if (resp_arg_is(&argv[i], "noflush")) {
            reload.keeps = true;
        } else {
            reload.is = resp_arg_is(&argv[i], "nosave");
        }
    }
    return reload;
}

bool router_debug_is_harmful(const struct command *command, const struct resp_arg *argv,
                             size_t argc)
{
    static const char *const harmful[] = {
        "loadaof",           "change-repl-id", "replicate", "restart", "segfault",
        "crash-and-recover", "panic",          "oom",       "assert",  "leak",
    };

    if (strcmp(command->name, "debug") != 0 || argc < 2) {
        return false;
    }
    if (resp_arg_is(&argv[1], "reload")) {
        return !debug_reload(argv, argc).is;
    }
    for (size_t i = 0; i < sizeof harmful / sizeof *harmful; i++) {
        if (resp_arg_is(&argv[1], harmful[i])) {
            return true;
        }
    }
    return false;
}

bool router_would_push(const struct command *command, const struct client *c,
                       const struct resp_arg *argv, size_t argc)
{
    return c->resp == 3 && argc == 3 && strcmp(command->name, "debug") == 0 &&
           resp_arg_is(&argv[1], "protocol") && resp_arg_is(&argv[2], "push");
}

const struct resp_arg *router_debug_argv(const struct command *command, const struct resp_arg *argv,
                                         size_t *argc)
{
    static const char error[] = "ERR Error trying to load the RDB dump";
    static const struct resp_arg reload[] = {{(const uint8_t *)"DEBUG", 5},
                                             {(const uint8_t *)"RELOAD", 6},
                                             {(const uint8_t *)"NOFLUSH", 7},
                                             {(const uint8_t *)"MERGE", 5}};
    static const struct resp_arg fails[] = {{(const uint8_t *)"DEBUG", 5},
                                            {(const uint8_t *)"ERROR", 5},
                                            {(const uint8_t *)error, sizeof error - 1}};

    if (strcmp(command->name, "debug") != 0 || *argc < 2) {
        return argv;
    }
    struct reload how = debug_reload(argv, *argc);
    if (!how.is && (*argc != 2 || !resp_arg_is(&argv[1], "loadaof"))) {
        return argv;
    }
    if (how.keeps && !how.merges) {
        *argc = sizeof fails / sizeof *fails;
        return fails;
    }
    *argc = how.keeps ? 4 : 2;
    return reload;
}

bool router_debug_pauses_cron(const struct command *command, const struct resp_arg *argv,
                              size_t argc)
{
    return strcmp(command->name, "debug") == 0 && argc == 3 && resp_arg_is(&argv[1], "pause-cron");
}

/* ---- REPLYBUFFER ---- */

static void debug_buffers_set(struct request *r)
{
    const struct router_words *note = r->note;
    char words[2][32];

    if (request_reply_type(r) != '+') {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(words[i], sizeof words[i], "%.*s", (int)note->argv[2 + i].len,
                       (const char *)note->argv[2 + i].bytes);
    }
    (void)client_buffers_rule(&note->router->clients->buffers, words[0], words[1]);
}

void router_debug_buffers(struct router *router, struct request *r, const struct command *command,
                          const struct resp_arg *argv, size_t argc)
{
    if (strcmp(command->name, "debug") == 0 && argc == 4 && resp_arg_is(&argv[1], "replybuffer")) {
        r->note = router_words_create(router, argv, argc);
        r->amend = debug_buffers_set;
    }
}

/* ---- POPULATE ---- */

/* As debugCommand makes the keys: names of up to 127 bytes, values with zeros behind them or cut,
 * whatever memory is used. Many at a time, if none of those is there yet, which takes half as long;
 * but one by one where names are cut, and so may be the same: the first one's value stays. */
static const char debug_populate_script[] =
    "#!lua flags=allow-oom\n"
    "local count, prefix, size = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])\n"
    "local call, sub, zeros, words = redis.call, string.sub, string.rep('\\0', size), {}\n"
    "local step = #prefix + 1 + #ARGV[1] > 127 and 1 or 200\n"
    "for from = 0, count - 1, step do\n"
    "    local n = 0\n"
    "    for i = from, math.min(from + step, count) - 1 do\n"
    "        local value = 'value:' .. i\n"
    "        if size > 0 then value = sub(value .. zeros, 1, size) end\n"
    "        words[n + 1], words[n + 2] = sub(prefix .. ':' .. i, 1, 127), value\n"
    "        n = n + 2\n"
    "    end\n"
    "    if call('MSETNX', unpack(words, 1, n)) == 0 then\n"
    "        for j = 1, n, 2 do call('SETNX', words[j], words[j + 1]) end\n"
    "    end\n"
    "end\n"
    "return redis.status_reply('OK')";

/* What one of its effects takes besides prefix and size. */
enum { DEBUG_EFFECT_BYTES = 96, DEBUG_KEY_BYTES = 127 };

static struct resp_arg debug_word(const char *text)
{
    return (struct resp_arg){(const uint8_t *)text, strlen(text)};
}

/* Redis takes it for a string of C. */
static struct resp_arg debug_prefix(const struct resp_arg *argv, size_t argc)
{
    if (argc < 4) {
        return debug_word("key");
    }
    const char *text = (const char *)argv[3].bytes;
    size_t max = argv[3].len < DEBUG_KEY_BYTES ? argv[3].len : DEBUG_KEY_BYTES;
    return (struct resp_arg){argv[3].bytes, strnlen(text, max)};
}

bool router_debug_populates(const struct command *command, const struct resp_arg *argv, size_t argc)
{
    long long count;

    return strcmp(command->name, "debug") == 0 && argc >= 3 && argc <= 5 &&
           resp_arg_is(&argv[1], "populate") && resp_arg_integer(&argv[2], &count) && count > 0;
}

/* Whether Redis would do it at all (DEBUG need not be allowed) is asked first, with a count of 0.
 * Its word comes as that for users does (acl.h). True: it is waited for, or the request has been
 * answered. */
static bool debug_populate_waits(struct router *router, struct client *c)
{
    static const char probe[] = "*3\r\n$5\r\nDEBUG\r\n$8\r\nPOPULATE\r\n$1\r\n0\r\n";
    enum route route = router_route(router, c, true, false, false);

    if (c->gate == CLIENT_GATE_DENIED) {
        return true; /* it has had its answer */
    }
    if (c->gate != CLIENT_GATE_NONE || (route != ROUTE_ENGINE && route != ROUTE_FORWARD)) {
        return false;
    }
    if (c->unanswered > 0) {
        client_postpone(c);
        return true;
    }
    if (!router_choose_lane(router, c, c->user != NULL, route)) {
        return true;
    }
    struct request *r = client_queue_ours(c, router_probe_flags(route));
    r->waiter.harmless = true;
    r->note = mem_strdup("debug");
    client_postpone(c);
    if (c->lane == CLIENT_LANE_PRIVATE) {
        const struct resp_arg words[] = {debug_word("DEBUG"), debug_word("POPULATE"),
                                         debug_word("0")};
        private_add(c->link, r, words, 3);
    } else {
        router_send_bytes(router, route, r, probe, sizeof probe - 1, 0);
    }
    return true;
}

/* Whether it may be carried out; else it has been refused. */
static bool debug_populate_fits(const struct router *router, struct client *c,
                                const struct command *eval, const struct resp_arg *prefix,
                                size_t count, size_t size)
{
    size_t each = DEBUG_EFFECT_BYTES + prefix->len + size;
    const char *error =
        eval == NULL ? "ERR DEBUG POPULATE needs EVAL, which Redis does not have"
        : count > router->config.transaction_max_bytes / each
            ? "ERR DEBUG POPULATE would write more than limits.transaction_max_bytes"
            : NULL;

    if (error != NULL) {
        transaction_spoil(c);
        client_answer_error(c, error);
    }
    return error == NULL;
}

void router_populate(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc)
{
    struct resp_arg zero = debug_word("0"), prefix = debug_prefix(argv, argc);
    struct resp_arg script[] = {
        debug_word("EVAL"), debug_word(debug_populate_script), zero, argv[2], prefix, zero};
    struct resp_arg fails[] = {argv[0], argv[1], zero, prefix, zero};
    const struct resp_arg *words = script;
    size_t count = sizeof script / sizeof *script;
    long long keys = 0, size = 0;

    if (debug_populate_waits(router, c) || pubsub_handle(router, c, command, argv, argc)) {
        return;
    }
    (void)resp_arg_integer(&argv[2], &keys);
    if (argc == 5 && (!resp_arg_integer(&argv[4], &size) || size < 0)) {
        fails[4] =
            argv[4]; /* what is wrong with it Redis is to say, and to make room for nothing */
        words = fails;
        count = sizeof fails / sizeof *fails;
    } else {
        script[5] = argc == 5 ? argv[4] : zero;
        command = command_find(router->table, words, count, NULL);
        if (!debug_populate_fits(router, c, command, &prefix, (size_t)keys, (size_t)size)) {
            return;
        }
    }
    if (!transaction_handle(router, c, command, words, count)) {
        router_pass(router, c, command, words, count);
    }
}
