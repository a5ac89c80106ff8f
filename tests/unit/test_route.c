/* Where requests go: the whole decision, state by state, and what may be asked of a replica. */
#include "proxy/forward/route.h"

#include "common/mem.h"

#include "tests/lib/commands.h"
#include "tests/lib/unit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Every state in which a request can meet the proxy, one line each. */
START_TEST(test_decide)
{
    static const struct {
        struct route_ask ask;
        enum route route;
    } cases[] = {
        /* alone */
        {{.serves = true}, ROUTE_ENGINE},
        {{.serves = true, .writes = true}, ROUTE_ENGINE},
        {{.serves = false}, ROUTE_REFUSE},
        {{.bare = true}, ROUTE_ENGINE},
        {{.readonly = true, .may_follow = true}, ROUTE_REFUSE},
        /* with others */
        {{.others = true, .serves = true}, ROUTE_ENGINE},
        {{.others = true}, ROUTE_FORWARD},
        {{.others = true, .writes = true}, ROUTE_FORWARD},
        /* nothing overtakes what waits */
        {{.others = true, .serves = true, .forwarded = true}, ROUTE_FORWARD},
        {{.serves = true, .forwarded = true}, ROUTE_FORWARD},
        {{.others = true, .bare = true, .forwarded = true}, ROUTE_FORWARD},
        /* another proxy's link is never forwarded */
        {{.others = true, .link = true}, ROUTE_MOVED},
        {{.others = true, .link = true, .bare = true}, ROUTE_MOVED},
        {{.others = true, .link = true, .serves = true}, ROUTE_ENGINE},
        {{.link = true, .serves = true, .readonly = true, .may_follow = true}, ROUTE_ENGINE},
        /* READONLY */
        {{.others = true, .readonly = true, .may_follow = true}, ROUTE_REPLICA},
        {{.others = true, .readonly = true}, ROUTE_FORWARD},
        {{.others = true, .readonly = true, .writes = true}, ROUTE_FORWARD},
        {{.others = true, .serves = true, .readonly = true, .may_follow = true}, ROUTE_ENGINE},
        /* the port for reads */
        {{.others = true, .replica_port = true, .may_follow = true}, ROUTE_REPLICA},
        {{.others = true, .replica_port = true, .writes = true}, ROUTE_READ_ONLY},
        {{.replica_port = true, .writes = true}, ROUTE_READ_ONLY},
        {{.others = true, .replica_port = true, .writes = true, .may_follow = true}, ROUTE_REPLICA},
        {{.serves = true, .replica_port = true, .writes = true, .may_follow = true},
         ROUTE_READ_ONLY},
        {{.serves = true, .replica_port = true, .may_follow = true}, ROUTE_ENGINE},
        {{.others = true, .replica_port = true}, ROUTE_FORWARD},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(route_decide(&cases[i].ask) == cases[i].route, "case %zu: %d", i,
                      route_decide(&cases[i].ask));
    }
}
END_TEST

/* Over all states: a link is never forwarded, a write never asked of a replica but by a script at
 * the port for reads, and nothing is executed here unless we serve (or it reveals nothing). */
START_TEST(test_never)
{
    for (unsigned bits = 0; bits < 1u << 9; bits++) {
        struct route_ask ask = {.serves = bits & 1,
                                .others = bits & 2,
                                .link = bits & 4,
                                .replica_port = bits & 8,
                                .readonly = bits & 16,
                                .forwarded = bits & 32,
                                .writes = bits & 64,
                                .may_follow = bits & 128,
                                .bare = bits & 256};
        enum route route = route_decide(&ask);
        ck_assert(!ask.link || route == ROUTE_ENGINE || route == ROUTE_MOVED);
        ck_assert(route != ROUTE_MOVED || ask.link);
        ck_assert(route != ROUTE_ENGINE || ask.serves || ask.bare);
        ck_assert(route != ROUTE_REPLICA || (ask.may_follow && !ask.serves));
        ck_assert(route != ROUTE_FORWARD || ask.others || ask.forwarded);
        ck_assert(route != ROUTE_ENGINE || ask.link || !ask.forwarded);
        ck_assert(!ask.replica_port || !ask.writes || ask.link || route == ROUTE_READ_ONLY ||
                  route == ROUTE_REPLICA || (route == ROUTE_REFUSE && !ask.serves) ||
                  (ask.may_follow && !ask.serves));
    }
}
END_TEST

/* What redis-server 7.0.15 has, judged: may a replica answer, at the port for reads as well, and
 * may it be sent twice. */
START_TEST(test_commands)
{
    static const struct {
        const char *words[2];
        bool follows, follows_port, repeats;
    } cases[] = {
        {{"GET"}, true, true, true},
        {{"SCAN"}, true, true, true},
        {{"DBSIZE"}, true, true, true},
        {{"PFCOUNT"}, false, false, true},
        {{"EVAL_RO"}, true, true, true},
        {{"FCALL_RO"}, true, true, true},
        {{"PING"}, true, true, true},
        {{"COMMAND", "COUNT"}, true, true, true},
        {{"OBJECT", "ENCODING"}, true, true, true},
        {{"SLOWLOG", "GET"}, true, true, false},
        {{"CONFIG", "GET"}, true, true, false},
        {{"INFO"}, true, true, false},
        {{"EVAL"}, false, true, false},
        {{"EVALSHA"}, false, true, false},
        {{"SCRIPT", "LOAD"}, false, true, false},
        {{"CONFIG", "SET"}, false, false, false},
        {{"PUBLISH"}, false, false, false},
        {{"SET"}, false, false, false},
        {{"GETEX"}, false, false, false},
        {{"GETDEL"}, false, false, false},
        {{"SORT"}, false, false, false},
        {{"FUNCTION", "LOAD"}, false, false, false},
        {{"ACL", "SETUSER"}, false, false, false},
        {{"WAIT"}, false, false, false},
        {{"FLUSHALL"}, false, false, false},
        {{"DEBUG"}, false, false, false},
    };
    struct command_table *table = NULL;
    size_t size;
    uint8_t *reply = commands_reply(&size);

    ck_assert_int_eq(command_table_parse(reply, size, &table), ERR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct resp_arg argv[2];
        size_t argc = 0;
        for (; argc < 2 && cases[i].words[argc] != NULL; argc++) {
            const char *word = cases[i].words[argc];
            argv[argc] = (struct resp_arg){(const uint8_t *)word, strlen(word)};
        }
        const struct command *command = command_find(table, argv, argc, NULL);
        ck_assert_ptr_nonnull(command);
        ck_assert_msg(route_may_follow(command, false) == cases[i].follows, "%s", command->name);
        ck_assert_msg(route_may_follow(command, true) == cases[i].follows_port, "%s",
                      command->name);
        ck_assert_msg(route_may_repeat(command) == cases[i].repeats, "%s", command->name);
    }
    command_table_destroy(table);
    free(reply);
}
END_TEST

int main(void)
{
    return UNIT_RUN("route", NULL, NULL, test_decide, test_never, test_commands);
}
