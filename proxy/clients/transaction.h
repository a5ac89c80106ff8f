/* MULTI … EXEC of one client: queued here, sent to the engine in one piece, so that no other
 * client's request can fall into it. */
#ifndef PROXY_CLIENTS_TRANSACTION_H
#define PROXY_CLIENTS_TRANSACTION_H

#include "proxy/clients/pubsub.h"
#include "proxy/clients/router.h"

/* MULTI, EXEC, DISCARD, and whatever comes in between. True: handled (answered or queued). */
bool transaction_handle(struct router *router, struct client *c, const struct command *command,
                        const struct resp_arg *argv, size_t argc);

/* Whether it is in MULTI, and nothing has spoiled that so far. */
bool transaction_is_sound(const struct client *c);

/* A request inside a transaction was refused: its EXEC will be as well. */
void transaction_spoil(struct client *c);

/* Whether something that is queued may change data. */
bool transaction_may_change(const struct client *c);

/* What the client watches is forgotten, here and on its private link. */
void transaction_unwatch(struct client *c);
/* The same, where the link has been told, or will be by what was just sent. */
void transaction_watch_ends(struct client *c);

/* Before Redis is told to do with less memory: what is queued here it would refuse to queue then,
 * also what EXEC may still run (processCommand in server.c). So it gets it now, each on a link of
 * its own (PRIVATE_MULTI), as far as there are some, and EXEC follows there. more: what was not
 * shipped yet is. True: not all has arrived, and who set waits_for_ships and was postponed is
 * resumed then. */
bool transaction_ship_all(struct router *router, bool more);
/* The link has ended before EXEC: nothing is lost. */
void transaction_unship(struct client *c);

/* Forgets the transaction, if there is one. */
void transaction_discard(struct client *c);

/* How an EXEC is refused for what would be this error ("CODE words") of another command. Its ERR is
 * not told (rejectCommand in server.c, execCommandAbort in multi.c). */
void transaction_put_abort(struct buf *reply, const char *error);
void transaction_answer_abort(struct client *c, const char *error);
/* The reply of a request that is never executed: the error, or, to a whole transaction, that. */
void transaction_refuse(struct request *r, const char *error);

/* What EXEC has to wait for. */
enum pubsub_behind transaction_behind(const struct client *c);

/* Queued commands, or those that EXEC carries out, or -1 outside of a transaction (as CLIENT LIST
 * shows it). */
int transaction_length(const struct client *c);
/* What it holds. */
size_t transaction_bytes(const struct client *c);

#endif
