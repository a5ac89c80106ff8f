/* What inside MULTI is the proxy's to answer (CLIENT, SUBSCRIBE …): Redis gets a PING in its place,
 * and when the reply to EXEC is here, the request is carried out and its answer put where that
 * PING's stands. So it is carried out if, and only if, the transaction was. */
#ifndef PROXY_CLIENTS_TRANSACTION_LOCAL_H
#define PROXY_CLIENTS_TRANSACTION_LOCAL_H

#include "proxy/clients/router.h"

/* Whether the command is one of those. */
bool transaction_is_local(const struct command *command);

/* Notes the request, number `index` (from 0) of those that were queued, and appends the PING to
 * commands. */
void transaction_put_local(struct buf *locals, struct buf *commands, uint32_t index,
                           const struct resp_arg *argv, size_t argc);

/* To EXEC's request, before it is sent: what was noted. The words of a refusal are put right as
 * well (request_note_error). */
void transaction_attach(struct router *router, struct request *r, const struct buf *locals);

#endif
