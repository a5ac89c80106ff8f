/* What the files of CLIENT share (session_client.c, session_list.c). */
#ifndef PROXY_CLIENTS_SESSION_IMPL_H
#define PROXY_CLIENTS_SESSION_IMPL_H

#include "proxy/clients/session.h"

/* CLIENT LIST, INFO and KILL; answered. */
void session_client_list(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc);
void session_client_info(struct router *router, struct client *c);
void session_client_kill(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc);

/* For transaction_session.c. */

/* The command, where the engine is too old to have it. */
const struct command *session_waitaof(void);

/* Whether AUTH with these words makes a client the link's own user; user: NULL, if none is given.
 * Or does not, as the password is another one. Or whether that user is that one. */
bool session_is_own(const struct router *router, const struct resp_arg *user,
                    const struct resp_arg *password);
bool session_is_own_refused(const struct router *router, const struct resp_arg *user,
                            const struct resp_arg *password);
bool session_is_own_name(const struct router *router, const struct resp_arg *user);
void session_hello_reply(struct router *router, struct client *c);

/* CONFIG SET: takes the words out that are about clients. False: there are no others. And: sets
 * what they say, and answers, if that is something. */
bool session_config_words(struct client *c, struct resp_arg *argv, size_t *argc);
void session_config_here(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc);
/* SLOWLOG GET and LEN: the words that Redis is to get instead; false: those that there are. And its
 * reply to them is put right. */
bool session_slowlog_words(const struct command *command, const struct resp_arg *argv, size_t argc,
                           struct resp_arg words[3]);
void session_put_slowlog(struct clients *all, const struct command *command,
                         const struct resp_arg *argv, size_t argc, struct buf *reply);
/* CONFIG RESETSTAT. */
void session_reset_stats(struct clients *all);
/* CONFIG REWRITE, of which Redis has done its part: what is ours of it is kept; else reply becomes
 * the error. */
void session_config_keep(struct router *router, struct buf *reply);

/* CLIENT TRACKING: puts words right for the link: whom it redirects to. False: it was postponed, or
 * answered. And: Redis has said OK to it, or to NO-TOUCH. c->link is there. */
bool session_tracking_words(struct router *router, struct client *c, enum route route,
                            struct resp_arg *words, size_t argc, char text[32]);
void session_tracking_done(struct client *c, const struct resp_arg *argv, size_t argc);
void session_no_touch_done(struct client *c, bool on);
/* The reply to TRACKINGINFO or GETREDIR: Redis' number for whom it redirects to becomes ours. */
void session_put_redirect(const struct client *c, struct buf *reply);
/* CLIENT UNBLOCK: the id becomes that of the link where the client blocks. False: it blocks nowhere
 * that the words could go to. */
bool session_unblock_words(const struct client *c, enum route route, struct resp_arg *words,
                           size_t argc, char text[32]);

#endif
