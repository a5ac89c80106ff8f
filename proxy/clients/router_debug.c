/* DEBUG: what of it is passed on, and how. */
#include "proxy/clients/router.h"

#include <string.h>

/* The data that are there are saved, and come back. NOSAVE: whatever lies on the disk. NOFLUSH
 * without MERGE ends Redis at the first key. */
static bool debug_reload_is_harmful(const struct resp_arg *argv, size_t argc)
{
    bool merges = false, keeps = false;

    for (size_t i = 2; i < argc; i++) {
        if (resp_arg_is(&argv[i], "merge")) {
            merges = true;
        } else if (resp_arg_is(&argv[i], "noflush")) {
            keeps = true;
        } else {
            return true;
        }
    }
    return keeps && !merges;
}

bool router_debug_is_harmful(const struct command *command, const struct resp_arg *argv,
                             size_t argc)
{
    static const char *const harmful[] = {
        "loadaof", "populate", "change-repl-id",    "replicate",
        "restart", "segfault", "crash-and-recover", "panic",
        "oom",     "assert",   "pause-cron",        "leak",
    };

    if (strcmp(command->name, "debug") != 0 || argc < 2) {
        return false;
    }
    if (resp_arg_is(&argv[1], "reload")) {
        return debug_reload_is_harmful(argv, argc);
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
                                         size_t argc)
{
    static const struct resp_arg reload[] = {{(const uint8_t *)"DEBUG", 5},
                                             {(const uint8_t *)"RELOAD", 6}};
    bool is = strcmp(command->name, "debug") == 0 && argc == 2 && resp_arg_is(&argv[1], "loadaof");

    return is ? reload : argv;
}
