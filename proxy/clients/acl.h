/* ACL users other than the link's own. Each such client has a private link that is logged in as
 * that user, so that Redis itself enforces the user's rights. What does not go over that link
 * (SUBSCRIBE, CLIENT, what MULTI queues …) is put to Redis first: ACL DRYRUN.
 *
 * Everybody may try to log in, so only clients_limits.logins_max links are used for that at a time,
 * and those on which it failed are used again: guessing passwords takes no links from others. Who
 * waits is served in turn. */
#ifndef PROXY_CLIENTS_ACL_H
#define PROXY_CLIENTS_ACL_H

#include "proxy/clients/router.h"

/* AUTH, or HELLO's AUTH (said: that word), with the name of another user: true if the request must
 * wait for Redis' word (it is presented again then), or is answered with an error. False, once
 * Redis has agreed. What the client watches or tracks stays, as with Redis: then it logs in on the
 * link where that is. */
bool acl_login(struct router *router, struct client *c, const struct resp_arg *said,
               const struct resp_arg *user, const struct resp_arg *password);
/* The same as the link's own user, whose password was right. */
bool acl_login_own(struct client *c);
/* The client is the link's own user (again), or nobody; its link goes, with what is watched and
 * tracked there. Only when nothing is unanswered. */
void acl_logout(struct client *c);
/* Redis has logged the client's link in as this user; NULL: as the link's own. */
void acl_become(struct client *c, const char *user);

/* Whether a request of a client with a user of its own has to wait for Redis' word, or has had its
 * answer. */
bool acl_gate(struct router *router, struct client *c, const struct command *command,
              const struct resp_arg *argv, size_t argc);
/* The same of one that is to be held back if it is granted, also if it goes over the client's own
 * link: there it would be refused too late. */
bool acl_gate_held(struct router *router, struct client *c, const struct command *command,
                   const struct resp_arg *argv, size_t argc);

/* Whether the command changes what users may do; then, of such a request that has just been sent to
 * our Redis: subscribers that lose the right to a channel by it will be closed (acl_rights.c). */
bool acl_changes_rights(const struct command *command);
void acl_rights_change(struct router *router, struct request *r, const struct resp_arg *argv,
                       size_t argc);
/* The same of words that Redis has carried out, in a transaction. */
void acl_rights_changed(struct router *router, const struct resp_arg *argv, size_t argc);

/* A request of the client has been answered, not postponed: a login that did not begin is over. */
void acl_request_done(struct client *c);
/* The client is closed: a login of its own is given up, and another one's turn has come. */
void acl_client_gone(struct client *c);

/* Redis' word is here, in r (REQUEST_AUTH, REQUEST_GATE), which is to be released next. */
void acl_answered(struct request *r);

#endif
