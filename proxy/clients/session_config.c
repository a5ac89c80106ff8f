/* CONFIG SET, GET and RESETSTAT, as far as they are about clients (client_config.h). Where another
 * proxy leads, they are for that one, as all of CONFIG is. */
#include "proxy/clients/session_impl.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* False: the system does not let as many connect; answered as updateMaxclients in config.c. */
static bool config_fits(struct router *router, struct client *c, const struct client_config *next)
{
    size_t wanted = (size_t)next->numbers[CLIENT_CONFIG_MAXCLIENTS].value;
    size_t room = next->numbers[CLIENT_CONFIG_MAXCLIENTS].set && router->clients_room != NULL
                      ? router->clients_room(router->info_ctx, wanted)
                      : wanted;
    char text[200];

    if (room >= wanted) {
        return true;
    }
    (void)snprintf(text, sizeof text,
                   "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The "
                   "operating system is not able to handle the specified number of clients, try "
                   "with %zu",
                   room);
    client_answer_error(c, text);
    return false;
}

static void config_was_set(struct request *r)
{
    if (request_reply_type(r) == '+') {
        clients_configure(r->client->all, r->note);
    }
}

static void config_got(struct request *r)
{
    struct buf reply = BUF_INIT;

    request_move_reply(r, &reply);
    client_config_correct(&r->client->all->config, &reply);
    request_set_reply(r, buf_head(&reply), reply.len);
    buf_release(&reply);
}

void session_reset_stats(struct clients *all)
{
    all->accepted = all->rejected = all->evicted = 0;
}

static void config_stats_reset(struct request *r)
{
    if (request_reply_type(r) == '+') {
        session_reset_stats(r->client->all);
    }
}

static void config_send(struct router *router, struct client *c, enum route route,
                        const struct command *command, const struct resp_arg *argv, size_t argc,
                        void (*amend)(struct request *), const struct client_config *next)
{
    bool harmless = false;

    if (!router_choose_lane(router, c, false, route)) {
        return;
    }
    bool known = router_scope(router, c->db, command, argv, argc, &harmless);
    struct request *r = router_send(router, c, route, 0, !known, harmless, argv, argc);
    if (r != NULL) {
        r->amend = amend;
        r->note = next != NULL ? mem_alloc(sizeof *next) : NULL;
        if (next != NULL) {
            memcpy(r->note, next, sizeof *next);
        }
    }
}

static void config_set(struct router *router, struct client *c, enum route route,
                       const struct command *command, const struct resp_arg *argv, size_t argc)
{
    struct resp_arg *rest = mem_alloc(argc * sizeof *rest);
    struct client_config next = c->all->config;
    size_t count = 0;

    if (!client_config_take(&next, argv, argc, rest, &count)) {
        config_send(router, c, route, command, argv, argc, NULL, NULL);
    } else if (!config_fits(router, c, &next)) {
        /* answered */
    } else if (count == 2) {
        clients_configure(c->all, &next);
        router_answer_ok(c);
    } else {
        config_send(router, c, route, command, rest, count, config_was_set, &next);
    }
    free(rest);
}

bool session_config_words(struct client *c, struct resp_arg *argv, size_t *argc)
{
    struct resp_arg *rest = mem_alloc(*argc * sizeof *rest);
    struct client_config next = c->all->config;
    size_t count = 0;

    if (client_config_take(&next, argv, *argc, rest, &count)) {
        memcpy(argv, rest, count * sizeof *rest);
        *argc = count;
    }
    free(rest);
    return *argc > 2;
}

void session_config_here(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc)
{
    struct resp_arg *rest = mem_alloc(argc * sizeof *rest);
    struct client_config next = c->all->config;
    size_t count = 0;

    if (client_config_take(&next, argv, argc, rest, &count) && config_fits(router, c, &next)) {
        clients_configure(c->all, &next);
        router_answer_ok(c);
    }
    free(rest);
}

bool session_config(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc)
{
    enum route route = router_route(router, c, false, false, true);
    const char *sub = command->name + strlen("config|");

    if (route != ROUTE_ENGINE) {
        return false;
    }
    if (strcmp(sub, "set") == 0) {
        config_set(router, c, route, command, argv, argc);
    } else if (strcmp(sub, "get") == 0) {
        config_send(router, c, route, command, argv, argc, config_got, NULL);
    } else if (strcmp(sub, "resetstat") == 0) {
        config_send(router, c, route, command, argv, argc, config_stats_reset, NULL);
    } else {
        return false;
    }
    return true;
}
