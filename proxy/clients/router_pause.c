/* Which requests may add to the stream, and so are held back by CLIENT PAUSE … WRITE, or while the
 * log is full. */
#include "proxy/clients/router.h"

#include "proxy/clients/transaction.h"

#include <string.h>

bool router_may_replicate(const struct command *command)
{
    static const char *const names[] = {"pfcount", "publish", "spublish"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(command->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether it is an EVAL of a script whose first line, "#!lua … flags=…", says that it does not
 * write (evalExtractShebangFlags in eval.c). What other scripts are only Redis knows. */
static bool router_only_reads(const struct command *command, const struct resp_arg *argv,
                              size_t argc)
{
    static const char flags[] = " flags=", word[] = "no-writes";

    if (strcmp(command->name, "eval") != 0 || argc < 2 || argv[1].len < 2 ||
        memcmp(argv[1].bytes, "#!", 2) != 0) {
        return false;
    }
    const uint8_t *newline = memchr(argv[1].bytes, '\n', argv[1].len);
    const uint8_t *end = newline != NULL ? newline : argv[1].bytes + argv[1].len;
    const uint8_t *at =
        memmem(argv[1].bytes, (size_t)(end - argv[1].bytes), flags, sizeof flags - 1);
    if (at == NULL) {
        return false;
    }
    for (at += sizeof flags - 1; at < end && *at != ' ';) {
        size_t len = 0;
        while (at + len < end && at[len] != ',' && at[len] != ' ') {
            len++;
        }
        if (len == sizeof word - 1 && memcmp(at, word, len) == 0) {
            return true;
        }
        at += len;
        at += at < end && *at == ',';
    }
    return false;
}

bool router_may_change(const struct command *command, const struct resp_arg *argv, size_t argc)
{
    return (router_writes(command) && !router_only_reads(command, argv, argc)) ||
           router_may_replicate(command);
}

bool router_is_paused(const struct router *router, const struct client *c,
                      const struct command *command, const struct resp_arg *argv, size_t argc)
{
    bool exec = strcmp(command->name, "exec") == 0;
    bool changes = exec ? transaction_may_change(c) : router_may_change(command, argv, argc);

    if (router->log_full && changes && (exec || c->transaction == NULL)) {
        return true;
    }
    return router->clients->now_ns < c->all->pause_until_ns &&
           (!c->all->pause_writes_only || changes);
}
