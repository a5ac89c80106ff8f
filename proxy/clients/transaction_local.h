/* What inside MULTI is not Redis' business alone (transaction_session.h: HELLO, CLIENT, SUBSCRIBE
 * …). It is noted when it is queued. At EXEC Redis gets it in words that are right for the link, or
 * a PING in its place; when the reply to EXEC is here, what is ours is carried out, and each answer
 * put where it belongs. So it is carried out if, and only if, the transaction was. */
#ifndef PROXY_CLIENTS_TRANSACTION_LOCAL_H
#define PROXY_CLIENTS_TRANSACTION_LOCAL_H

#include "proxy/clients/router.h"

/* Notes the request, number `index` (from 0) of those that were queued, which stands behind so many
 * bytes of the others. */
void transaction_put_local(struct buf *locals, size_t behind_bytes, uint32_t index,
                           const struct resp_arg *argv, size_t argc);

/* At EXEC: `commands`, with what was noted in its place, is appended to whole. False: EXEC was
 * postponed, or answered with an error. */
bool transaction_compose(struct router *router, struct client *c, enum route route,
                         struct buf *locals, const struct buf *commands, struct buf *whole);

/* To EXEC's request, before it is sent on its way: what was noted. teaches: something of it
 * may be such as transaction_session_learn is for. The words of a refusal are put
 * right as well (request_note_error). */
void transaction_attach(struct router *router, struct request *r, enum route route,
                        const struct buf *locals, bool teaches);

#endif
