/* What the files of CLIENT share (session_client.c, session_list.c). */
#ifndef PROXY_CLIENTS_SESSION_IMPL_H
#define PROXY_CLIENTS_SESSION_IMPL_H

#include "proxy/clients/session.h"

/* The client with this id; NULL: there is none. */
struct client *session_find(const struct client *c, long long id);

/* CLIENT LIST, INFO and KILL; answered. */
void session_client_list(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc);
void session_client_info(struct router *router, struct client *c);
void session_client_kill(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc);

#endif
