/* Which requests may add to the stream, and so are held back by CLIENT PAUSE … WRITE, or while the
 * log is full. */
#include "proxy/clients/router.h"

#include "common/mem.h"
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

/* Whether it is an EVAL of a script that says so. */
static bool router_only_reads(const struct command *command, const struct resp_arg *argv,
                              size_t argc)
{
    return strcmp(command->name, "eval") == 0 && argc >= 2 && readers_says_so(&argv[1]);
}

bool router_may_change(const struct command *command, const struct resp_arg *argv, size_t argc)
{
    return (router_writes(command) && !router_only_reads(command, argv, argc)) ||
           router_may_replicate(command);
}

/* Not if it depends on the client's rights to FCALL_RO. */
static bool router_is_reader(const struct client *c, const struct command *command,
                             const struct resp_arg *argv, size_t argc)
{
    return readers_have(&c->all->readers, command, argv, argc) &&
           (c->user == NULL || !readers_is_function(command));
}

struct resp_arg *router_paused_words(const struct router *router, const struct client *c,
                                     const struct command *command, const struct resp_arg *argv,
                                     size_t argc)
{
    struct resp_arg *words;

    if (router->clients->now_ns >= c->all->pause_until_ns || !readers_is_function(command)) {
        return NULL;
    }
    words = mem_alloc(argc * sizeof *words);
    memcpy(words, argv, argc * sizeof *words);
    words[0] = (struct resp_arg){(const uint8_t *)"FCALL_RO", 8};
    return words;
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
           (!c->all->pause_writes_only || (changes && !router_is_reader(c, command, argv, argc)));
}
