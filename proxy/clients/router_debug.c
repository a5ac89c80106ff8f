/* DEBUG: what of it is passed on, and how. */
#include "proxy/clients/router.h"

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
        "loadaof",  "populate",          "change-repl-id", "replicate", "restart",
        "segfault", "crash-and-recover", "panic",          "oom",       "assert",
        "leak",
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
