/* The commands whose state is the connection itself, answered by the proxy since clients share the
 * engine's connection: AUTH, HELLO, SELECT, CLIENT, RESET, QUIT, WAIT, READONLY. Texts are Redis'
 * own (networking.c, acl.c, db.c). */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include "proxy/router.h"

/* Whether the command belongs here; if so it has been answered. Existence and arity were checked.
 */
bool session_handle(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc);

/* The name in CLIENT LIST of another proxy's link. */
void session_name_link(struct client *c, const struct resp_arg *proxy);

/* AUTH, HELLO, QUIT and RESET may be used before authentication. */
bool session_before_auth(const struct command *command);

#endif
