/* CONFIG SET, GET and RESETSTAT, as far as they are about clients (client_config.h), and LATENCY
 * HISTOGRAM with what the proxy answers. Where another proxy leads, they are for that one. */
#include "proxy/clients/session_impl.h"

#include "common/mem.h"
#include "proxy/clients/transaction.h"

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

/* What is ours of its words is set when Redis has set the rest; what others have set meanwhile
 * stays. Also if its client has gone. */
static void config_was_set(struct request *r)
{
    const struct router_words *note = r->note;
    struct clients *all = note->router->clients;
    struct resp_arg *rest = mem_alloc(note->argc * sizeof *rest);
    struct client_config next = all->config;
    size_t count = 0;

    if (request_reply_type(r) == '+') {
        if (client_config_take(&next, note->argv, note->argc, rest, &count)) {
            clients_configure(all, &next);
        }
        session_config_credentials(note->router, note->argv, note->argc);
    }
    free(rest);
}

static void config_got(struct request *r)
{
    struct buf reply = BUF_INIT;

    request_move_reply(r, &reply);
    client_config_correct(&r->client->all->config, &reply);
    request_take_reply(r, &reply);
}

void session_config_keep(struct router *router, struct buf *reply)
{
    int error = router->config_rewritten != NULL ? router->config_rewritten(router->info_ctx) : 0;

    if (error != 0) {
        buf_clear(reply);
        buf_printf(reply, "-ERR Rewriting config file: %s\r\n", strerror(error));
    }
}

/* Also if its client has gone. */
static void config_rewritten(struct request *r)
{
    const struct router_words *note = r->note;
    struct buf reply = BUF_INIT;

    if (request_reply_type(r) == '+') {
        request_move_reply(r, &reply);
        session_config_keep(note->router, &reply);
        request_take_reply(r, &reply);
    }
}

void session_reset_stats(struct clients *all)
{
    all->accepted = all->rejected = all->evicted = 0;
    tally_reset(&all->tally);
}

static void config_stats_reset(struct request *r)
{
    if (request_reply_type(r) == '+') {
        session_reset_stats(r->client->all);
    }
}

void session_config_seen(struct router *router, const struct resp_arg *argv, size_t argc)
{
    long long slower_us;

    router->memory_tight = true; /* maybe maxmemory */
    router->config_set_ns = router->clients->now_ns;
    for (size_t i = 2; i + 1 < argc; i += 2) {
        if (resp_arg_is(&argv[i], "slowlog-log-slower-than") &&
            resp_arg_integer(&argv[i + 1], &slower_us)) {
            slowlog_maybe_threshold(&router->clients->slowlog, slower_us);
        }
    }
}

/* note: for amend, or NULL; it is taken over. */
static void config_send(struct router *router, struct client *c, enum route route, uint32_t flags,
                        const struct command *command, const struct resp_arg *argv, size_t argc,
                        void (*amend)(struct request *), struct router_words *note)
{
    bool harmless = false;

    if (!router_choose_lane(router, c, false, route)) {
        free(note);
        return;
    }
    bool known = router_scope(router, c->db, command, argv, argc, &harmless);
    struct request *r = router_send(router, c, route, flags, !known, harmless, argv, argc);
    if (r == NULL) {
        free(note);
        return;
    }
    r->amend = amend;
    r->learn = amend == config_was_set || amend == config_rewritten ? amend : NULL;
    r->note = note;
}

/* Less memory may refuse what is queued. */
static bool config_waits_for_ships(struct router *router, struct client *c,
                                   const struct resp_arg *argv, size_t argc)
{
    bool waited = c->waits_for_ships, memory = false;

    for (size_t i = 2; i + 1 < argc; i += 2) {
        memory = memory || resp_arg_is(&argv[i], "maxmemory") ||
                 resp_arg_is(&argv[i], "maxmemory-policy");
    }
    c->waits_for_ships = memory && transaction_ship_all(router, !waited);
    if (c->waits_for_ships) {
        client_postpone(c);
    }
    return c->waits_for_ships;
}

static void config_set(struct router *router, struct client *c, enum route route,
                       const struct command *command, const struct resp_arg *argv, size_t argc)
{
    struct resp_arg *rest = mem_alloc(argc * sizeof *rest);
    struct client_config next = c->all->config;
    size_t count = 0;

    if (!client_config_take(&next, argv, argc, rest, &count)) {
        config_send(router, c, route, 0, command, argv, argc, config_was_set,
                    router_words_create(router, argv, argc));
    } else if (!config_fits(router, c, &next)) {
        /* answered */
    } else if (count == 2) {
        clients_configure(c->all, &next);
        router_answer_ok(c);
    } else {
        /* What stands behind it in a pipeline is judged by it. */
        config_send(router, c, route, REQUEST_BARRIER, command, rest, count, config_was_set,
                    router_words_create(router, argv, argc));
    }
    free(rest);
}

/* ---- LATENCY HISTOGRAM ---- */

static void latency_got(struct request *r)
{
    const struct router_words *note = r->note;
    struct buf reply = BUF_INIT;

    request_move_reply(r, &reply);
    tally_correct_histogram(&r->client->all->tally, note->argv, note->argc, &reply);
    request_take_reply(r, &reply);
}

bool session_latency(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc)
{
    enum route route = router_route(router, c, false, false, true);

    if (route != ROUTE_ENGINE) {
        return false;
    }
    config_send(router, c, route, 0, command, argv, argc, latency_got,
                router_words_create(router, argv + 2, argc - 2));
    return true;
}

/* ---- CONFIG inside MULTI ---- */

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
    if (strcmp(sub, "set") == 0 && config_waits_for_ships(router, c, argv, argc)) {
        return true;
    }
    if (strcmp(sub, "set") == 0) {
        config_set(router, c, route, command, argv, argc);
    } else if (strcmp(sub, "get") == 0) {
        config_send(router, c, route, 0, command, argv, argc, config_got, NULL);
    } else if (strcmp(sub, "resetstat") == 0) {
        config_send(router, c, route, 0, command, argv, argc, config_stats_reset, NULL);
    } else if (strcmp(sub, "rewrite") == 0) {
        config_send(router, c, route, 0, command, argv, argc, config_rewritten,
                    router_words_create(router, argv, argc));
    } else {
        return false;
    }
    return true;
}
