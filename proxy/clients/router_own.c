/* What Redis does not know: HOLDFAST …, by which other proxies and those who run the cluster speak
 * to us, what the links of other proxies are told when we do not lead, and WAITAOF where the engine
 * is too old for it. */
#include "proxy/clients/router_impl.h"

#include "proxy/clients/acl.h"
#include "proxy/clients/session_impl.h"
#include "proxy/clients/transaction.h"

#include <inttypes.h>
#include <string.h>

static void router_put_moved(const struct router *router, const struct client *c, struct buf *out)
{
    const struct leader_info *info = router->leader != NULL ? leader_info(router->leader) : NULL;

    buf_printf(out, "-HOLDFASTMOVED %s %" PRIu64 " ", c->nonce,
               info != NULL ? info->term.n : (uint64_t)0);
    if (info != NULL && info->known && !info->self) {
        buf_printf(out, "%s:%d\r\n", info->address.host, info->address.port);
    } else {
        buf_append_str(out, "-\r\n");
    }
}

void router_answer_moved(struct router *router, struct client *c)
{
    c->moved = true;
    buf_clear(&router->text);
    router_put_moved(router, c, &router->text);
    router_answer(router, c, 0);
}

void router_set_moved(struct router *router, struct request *r)
{
    r->client->moved = true;
    buf_clear(&router->text);
    router_put_moved(router, r->client, &router->text);
    request_set_reply(r, buf_head(&router->text), router->text.len);
    buf_clear(&router->text);
}

/* HOLDFAST LINK cluster log name nonce: the client is another proxy from now on. */
static void router_link(struct router *router, struct client *c, const struct resp_arg *argv,
                        size_t argc)
{
    const char *own = router->config.cluster_id;
    long long log_id = 0;

    if (!client_may_ask(c) && !session_may_link(router, c)) {
        client_answer_error(c, "NOAUTH Authentication required.");
    } else if (argc != 6 || argv[5].len != sizeof c->nonce - 1) {
        client_answer_error(c, "ERR HOLDFAST LINK needs a cluster, a log, a name and a nonce");
    } else if (own == NULL || argv[2].len != strlen(own) || !resp_arg_is(&argv[2], own) ||
               !resp_arg_integer(&argv[3], &log_id) || (uint64_t)log_id != router->config.log_id) {
        client_answer_error(c, "ERR this proxy belongs to another cluster or log");
    } else {
        memcpy(c->nonce, argv[5].bytes, sizeof c->nonce - 1);
        c->authenticated = true;
        c->async = false; /* whoever comes over it says what he wants */
        session_name_link(c, &argv[4]);
        router_answer_ok(c);
    }
}

/* Redis knows no rights to HOLDFAST. A user other than the link's own needs the right to say
 * REPLICAOF, which on a plain Redis does as much. True: to be asked for, or refused. */
static bool router_own_gate(struct router *router, struct client *c)
{
    static const struct resp_arg words[] = {
        {(const uint8_t *)"REPLICAOF", 9}, {(const uint8_t *)"NO", 2}, {(const uint8_t *)"ONE", 3}};
    const struct command *command;

    if (c->user == NULL) {
        return false;
    }
    command = command_find(router->table, words, 3, NULL);
    if (command == NULL) { /* it was renamed */
        client_answer_error(c, "NOPERM this user has no permissions to run the 'holdfast' command");
        return true;
    }
    bool waits = acl_gate(router, c, command, words, 3);
    if (!c->postponed) {
        c->gate = CLIENT_GATE_NONE;
    }
    return waits;
}

/* WAITAOF, where the engine is older than that command. Who may WAIT may do this. */
static bool router_wait_aof(struct router *router, struct client *c, const struct resp_arg *argv,
                            size_t argc)
{
    static const struct resp_arg words[] = {
        {(const uint8_t *)"WAIT", 4}, {(const uint8_t *)"0", 1}, {(const uint8_t *)"0", 1}};
    const struct command *wait = command_find(router->table, words, 3, NULL);

    if (argc != 4 || !client_may_ask(c) || wait == NULL) {
        return false;
    }
    if (!acl_gate(router, c, wait, words, 3) &&
        (c->transaction == NULL || !transaction_handle(router, c, session_waitaof(), argv, argc))) {
        session_wait(router, c, argv, argc);
    }
    if (!c->postponed) {
        c->gate = CLIENT_GATE_NONE;
    }
    return true;
}

bool router_own(struct router *router, struct client *c, const struct resp_arg *argv, size_t argc)
{
    if (router->table != NULL && resp_arg_is(&argv[0], "waitaof")) {
        return router_wait_aof(router, c, argv, argc);
    }
    if (argc < 2 || !resp_arg_is(&argv[0], "holdfast")) {
        return false;
    }
    if (resp_arg_is(&argv[1], "link") && c->user == NULL) {
        router_link(router, c, argv, argc);
        return true;
    }
    if (!client_may_ask(c) || c->transaction != NULL) {
        return false; /* refused like anything that is not known */
    }
    if (resp_arg_is(&argv[1], "sync")) {
        session_sync(c, argv, argc); /* it is about this connection alone */
        return true;
    }
    if (router->admin == NULL) {
        return false;
    }
    if (router_own_gate(router, c)) {
        return true;
    }
    struct buf reply = BUF_INIT; /* router->text holds Redis' error, for what is not known either */
    bool known = router->admin(router->info_ctx, argv, argc, &reply);
    if (known) {
        client_answer(c, buf_head(&reply), reply.len, 0);
    }
    buf_release(&reply);
    return known;
}
