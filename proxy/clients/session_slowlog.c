/* SLOWLOG GET, LEN and RESET, as the clients' own (slowlog.h). Where another proxy leads, they are
 * for that one. */
#include "proxy/clients/session_impl.h"

#include "common/mem.h"

#include <string.h>

enum { SLOWLOG_DEFAULT = 10 };

/* How many entries are asked for; false: Redis says what is wrong. */
static bool slowlog_count(const struct command *command, const struct resp_arg *argv, size_t argc,
                          size_t *most)
{
    long long count = -1;

    if (strcmp(command->name, "slowlog|get") == 0) {
        count = SLOWLOG_DEFAULT;
        if (argc > 3 || (argc == 3 && (!resp_arg_integer(&argv[2], &count) || count < -1))) {
            return false;
        }
    } else if (argc != 2) {
        return false;
    }
    *most = count < 0 ? SIZE_MAX : (size_t)count;
    return true;
}

static bool slowlog_is_len(const struct command *command)
{
    return strcmp(command->name, "slowlog|len") == 0;
}

bool session_slowlog_words(const struct command *command, const struct resp_arg *argv, size_t argc,
                           struct resp_arg words[3])
{
    size_t most;

    words[0] = (struct resp_arg){(const uint8_t *)"SLOWLOG", 7};
    words[1] = (struct resp_arg){(const uint8_t *)"GET", 3};
    words[2] = (struct resp_arg){(const uint8_t *)"-1", 2};
    return slowlog_count(command, argv, argc, &most);
}

void session_put_slowlog(struct clients *all, const struct command *command,
                         const struct resp_arg *argv, size_t argc, struct buf *reply)
{
    size_t most;

    if (slowlog_count(command, argv, argc, &most)) {
        slowlog_correct(&all->slowlog, reply, slowlog_last_mark(&all->slowlog),
                        client_config_slowlog_len(&all->config), most, slowlog_is_len(command));
    }
}

struct slowlog_ask {
    uint64_t mark;
    size_t most;
    bool len_only;
};

static void slowlog_got(struct request *r)
{
    const struct slowlog_ask *ask = r->note;
    struct clients *all = r->client->all;
    struct buf reply = BUF_INIT;

    request_move_reply(r, &reply);
    slowlog_correct(&all->slowlog, &reply, ask->mark, client_config_slowlog_len(&all->config),
                    ask->most, ask->len_only);
    request_set_reply(r, buf_head(&reply), reply.len);
    buf_release(&reply);
}

static void slowlog_emptied(struct request *r)
{
    const struct slowlog_ask *ask = r->note;

    if (request_reply_type(r) == '+') {
        slowlog_was_reset(&r->client->all->slowlog, ask->mark);
    }
}

bool session_slowlog(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc)
{
    enum route route = router_route(router, c, false, false, true);
    bool resets = strcmp(command->name, "slowlog|reset") == 0;
    struct slowlog_ask *ask;
    struct resp_arg words[3];
    size_t most = 0;

    if (route != ROUTE_ENGINE || (!resets && (!session_slowlog_words(command, argv, argc, words) ||
                                              !slowlog_count(command, argv, argc, &most)))) {
        return false;
    }
    if (!router_choose_lane(router, c, false, route)) {
        return true;
    }
    bool harmless = false;
    bool known = router_scope(router, c->db, command, argv, argc, &harmless);
    struct request *r = router_send(router, c, route, 0, !known, harmless, resets ? argv : words,
                                    resets ? argc : 3);
    if (r != NULL) {
        ask = mem_alloc(sizeof *ask);
        *ask = (struct slowlog_ask){slowlog_mark(&c->all->slowlog), most, slowlog_is_len(command)};
        r->note = ask;
        r->amend = resets ? slowlog_emptied : slowlog_got;
    }
    return true;
}
