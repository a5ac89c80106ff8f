/* The router: for each request, where it goes: to the engine, answered here, or refused. It keeps
 * Redis' order of checks (processCommand in server.c): existence and arity, authentication,
 * transaction queueing, then whether the service can take it. */
#ifndef PROXY_ROUTER_H
#define PROXY_ROUTER_H

#include "proxy/client.h"
#include "proxy/command.h"
#include "proxy/engine.h"
#include "proxy/private.h"
#include "proxy/tracker.h"

/* What the proxy can do right now; the role sets it. */
enum service {
    SERVICE_FULL,
    SERVICE_NO_QUORUM, /* no lease: writes and reads are refused before they reach Redis */
    SERVICE_LOADING,   /* no engine: being rebuilt, or not there */
};

struct router_config {
    const char *password; /* what clients must AUTH with; NULL or "": nothing */
    const char *user;     /* its user name besides "default"; NULL or "" */
    unsigned databases;
    size_t transaction_max_bytes;
};

struct router {
    struct router_config config;
    struct clients *clients;
    struct engine *engine;
    struct private_pool *privates;
    struct tracker *tracker;
    const struct command_table *table; /* NULL until the engine was asked */
    char engine_version[32];
    enum service service;
    uint64_t
        lease_end_ns;  /* behind it SERVICE_FULL means SERVICE_NO_QUORUM; UINT64_MAX: not known */
    struct buf keys;   /* scratch: struct command_key */
    struct buf hashes; /* scratch: uint64_t */
    struct buf text;   /* scratch: an answer */
    uint64_t commands;
    /* The text of INFO holdfast, appended to out. */
    void (*info_text)(void *ctx, struct buf *out);
    void *info_ctx;
};

void router_init(struct router *router, const struct router_config *config);
void router_fini(struct router *router);

/* Whether a request for the command can be forwarded without a further look, outside of MULTI; for
 * command_table_mark. */
bool router_is_plain(const struct command *command);

/* client_events.request */
void router_request(struct router *router, struct client *c, const struct resp_arg *argv,
                    size_t argc);

/* The rest is for session.c and transaction.c. */

/* Collects what a request touches into router->hashes; false: the keyspace. *harmless: no data. */
bool router_scope(struct router *router, unsigned db, const struct command *command,
                  const struct resp_arg *argv, size_t argc, bool *harmless);

/* Whether the command may change data; scripts may. */
bool router_writes(const struct command *command);

/* NULL, or the error with which a request is refused now. */
const char *router_refusal(const struct router *router, bool writes);

/* Before a request is queued that goes to Redis: where to (c->lane), which may need a private link
 * (c->link). False: it was postponed or refused, and nothing is left to be done. */
bool router_choose_lane(struct router *router, struct client *c, bool needs_private);
/* Then: queues the request and sends it. What it touches stands in router->hashes, if not the
 * keyspace. */
struct request *router_send(struct router *router, struct client *c, uint32_t flags, bool keyspace,
                            const struct resp_arg *argv, size_t argc);

/* Answers that session.c and transaction.c give. router_answer sends router->text. */
void router_answer(struct router *router, struct client *c, uint32_t request_flags);
void router_answer_ok(struct client *c);

#endif
