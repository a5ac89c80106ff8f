/* What the files of the router share: router.c (the way of one request), router_special.c (what is
 * not simply passed on), router_own.c (what Redis does not know). */
#ifndef PROXY_CLIENTS_ROUTER_IMPL_H
#define PROXY_CLIENTS_ROUTER_IMPL_H

#include "proxy/clients/router.h"

/* Whether the route leads nowhere; then it has been answered. */
bool router_turns_away(struct router *router, struct client *c, enum route route, bool writes,
                       bool may_follow);

/* To Redis, or whoever has one; answered if that can't be. */
void router_pass(struct router *router, struct client *c, const struct command *command,
                 const struct resp_arg *argv, size_t argc);

/* HOLDFAST …, and WAITAOF for an older engine. False: it is not known here either. */
bool router_own(struct router *router, struct client *c, const struct resp_arg *argv, size_t argc);

/* A request that is not plain, or inside MULTI, or of who has a link of its own; passed on in the
 * end, if there is nothing special about it. */
void router_special(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc);

/* INFO: what can be said without Redis. False: Redis is to answer. command: not looked at. */
bool router_info(struct router *router, struct client *c, const struct command *command,
                 const struct resp_arg *argv, size_t argc);

/* SCRIPT KILL, FUNCTION KILL and what else must not wait behind a script; true. At once: what this
 * client asked before may wait for the script, too. Also when the links to Redis were given up
 * because of it: nobody else could end it. */
bool router_kill(struct router *router, struct client *c, const struct command *command,
                 const struct resp_arg *argv, size_t argc);

#endif
