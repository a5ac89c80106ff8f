/* The commands whose state is the connection itself, answered by the proxy since clients share the
 * engine's connection: AUTH, HELLO, SELECT, CLIENT, RESET, QUIT, WAIT, READONLY. Texts are Redis'
 * own (networking.c, acl.c, db.c). */
#ifndef PROXY_CLIENTS_SESSION_H
#define PROXY_CLIENTS_SESSION_H

#include "proxy/clients/router.h"

/* Whether the command belongs here; if so it has been answered. Existence and arity were checked.
 */
bool session_handle(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc);

/* The name in CLIENT LIST of another proxy's link. */
void session_name_link(struct client *c, const struct resp_arg *proxy);

/* CLIENT …; session_client.c. False: Redis is to answer. */
bool session_client(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc);

/* CONFIG SET, GET and RESETSTAT where they are about the proxy's clients, too; session_config.c.
 * False: Redis alone is to answer. */
bool session_config(struct router *router, struct client *c, const struct command *command,
                    const struct resp_arg *argv, size_t argc);

/* SLOWLOG GET and LEN, likewise. */
/* CONFIG SET is on its way, maybe only as it is queued. */
void session_config_seen(struct router *router, const struct resp_arg *argv, size_t argc);
bool session_slowlog(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc);

/* LATENCY HISTOGRAM, with what is answered here. */
bool session_latency(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc);

/* WAIT and WAITAOF (also where the engine does not know that yet; argc was checked), and what
 * becomes of those who wait; session_wait.c. */
void session_wait(struct router *router, struct client *c, const struct resp_arg *argv,
                  size_t argc);
/* Once per turn: who need not wait any longer is answered. */
void session_wait_turn(struct router *router, uint64_t now_ns);
/* client_events.wait_reply: the reply tells of the moment at which it leaves. */
void session_wait_reply(struct router *router, struct request *r);
/* The request's client has gone. */
void session_wait_abandoned(struct router *router, struct request *r);
/* CLIENT UNBLOCK. False: it does not wait here. */
bool session_wait_unblock(struct router *router, struct client *blocked, bool with_error);

/* HOLDFAST SYNC [ON|OFF]. */
void session_sync(struct client *c, const struct resp_arg *argv, size_t argc);

/* A link that clients wait for (c->waits_for_link: CLIENT TRACKING … REDIRECT, MONITOR) is up, or
 * has ended. */
void session_link_settled(struct clients *all);

/* For session_client.c: names as CLIENT SETNAME takes them, and what is said of others. */
bool session_name_ok(const struct resp_arg *name);
void session_set_name(struct client *c, const struct resp_arg *name);
extern const char session_bad_name[];
bool session_same_text(const struct resp_arg *given, const char *text);

/* AUTH, HELLO, QUIT and RESET may be used before authentication; CLIENT ID by who may say HOLDFAST
 * LINK: links ask that first. */
bool session_before_auth(const struct router *router, const struct client *c,
                         const struct command *command);

/* Not authenticated, but it may say HOLDFAST LINK: what was set at run time other proxies do not
 * know. */
bool session_may_link(const struct router *router, const struct client *c);

/* Redis has carried out words of CONFIG SET, or of ACL SETUSER: if they give our links' user
 * another password (credentials.h), clients and links have to say that from now on. */
void session_config_credentials(struct router *router, const struct resp_arg *argv, size_t argc);
void session_acl_credentials(struct router *router, const struct resp_arg *argv, size_t argc);

/* Whether clients have to say who they are. A user other than the default one may need no password;
 * Redis' clients are not that user without saying so, nor are ours, unless that is what is
 * configured. */
bool session_needs_auth(const struct router *router);

/* The ACL user as whom the links log in. */
const char *session_own_user(const struct router *router);

#endif
