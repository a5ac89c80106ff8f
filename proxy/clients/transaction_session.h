/* What inside MULTI changes the connection itself: HELLO, AUTH, CLIENT TRACKING, NO-TOUCH, UNBLOCK.
 * Redis carries it out in its place among the others, over a link of the client's own, in words
 * that are right for that link; what it answers is then made true of the client, too. */
#ifndef PROXY_CLIENTS_TRANSACTION_SESSION_H
#define PROXY_CLIENTS_TRANSACTION_SESSION_H

#include "proxy/clients/router.h"

enum transaction_kind {
    TRANSACTION_PLAIN, /* Redis' business alone */
    TRANSACTION_HERE,  /* ours: Redis gets a PING in its place */
    TRANSACTION_THERE, /* Redis', but its answer is put right */
    TRANSACTION_OWN,   /* the same, over a link of the client's own */
};

enum transaction_kind transaction_kind(const struct command *command);

/* Appends what Redis is to be sent for it, on the way of the whole transaction; *here: a PING,
 * since it is for us to answer. False: EXEC was postponed, or answered with an error. */
bool transaction_session_put(struct router *router, struct client *c, enum route route,
                             const struct command *command, const struct resp_arg *argv,
                             size_t argc, struct buf *commands, bool *here);

/* Whether it may change what our links must say to Redis. */
bool transaction_session_teaches(const struct command *command);
/* It does, and our Redis has done it; its client is not there any more. */
void transaction_session_learn(struct router *router, const struct command *command,
                               const struct resp_arg *argv, size_t argc);

/* Redis' answer is here: the client is what it says, and the proxy, if it was our own Redis that
 * was configured. Appends the client's answer to all->capture.
 */
void transaction_session_answered(struct router *router, struct client *c, enum route route,
                                  const struct command *command, const struct resp_arg *argv,
                                  size_t argc, const uint8_t *reply, size_t len);

#endif
