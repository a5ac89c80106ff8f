#include "proxy/forward/route.h"

#include <string.h>

enum route route_decide(const struct route_ask *ask)
{
    bool reads_here = (ask->replica_port || ask->readonly) && ask->may_follow;

    if (ask->link) {
        return ask->serves ? ROUTE_ENGINE : ROUTE_MOVED; /* never on: that could go in circles */
    }
    if (ask->replica_port && ask->writes && (ask->serves || !ask->may_follow)) {
        return ROUTE_READ_ONLY;
    }
    if (reads_here && !ask->serves && ask->others) {
        return ROUTE_REPLICA;
    }
    if ((ask->serves || ask->bare) && !ask->forwarded) {
        return ROUTE_ENGINE;
    }
    return ask->others || ask->forwarded ? ROUTE_FORWARD : ROUTE_REFUSE;
}

/* Whether the name is among these; one that ends in '|' stands for all its subcommands. */
static bool route_is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if (strcmp(name, names[i]) == 0 ||
            (names[i][len - 1] == '|' && strncmp(name, names[i], len) == 0)) {
            return true;
        }
    }
    return false;
}

/* They ask the server, not the data, and change nothing. */
static const char *const route_questions[] = {"ping", "echo", "time", "command", "command|"};

bool route_may_follow(const struct command *command, bool replica_port)
{
    static const char *const own[] = {"lastsave", "lolwut",  "memory|",    "slowlog|",
                                      "latency|", "object|", "config|get", "config|help",
                                      "info",     "pubsub|"};

    if (strcmp(command->name, "pfcount") == 0) {
        return false; /* keeps in the value what it has counted, which the log would not have */
    }
    if (route_may_repeat(command)) {
        return true;
    }
    if (route_is_among(command->name, own, sizeof own / sizeof *own)) {
        return true;
    }
    return replica_port && (command->flags & COMMAND_FLAG_WRITE) == 0 &&
           (command->categories & COMMAND_CAT_SCRIPTING) != 0;
}

bool route_may_repeat(const struct command *command)
{
    return (command->flags & COMMAND_FLAG_READONLY) != 0 ||
           route_is_among(command->name, route_questions,
                          sizeof route_questions / sizeof *route_questions);
}
