/* What a client is told without having asked: messages of channels, and invalidations. They have
 * not all the same place among its replies as with Redis; which may stand elsewhere is said here,
 * and in docs/COMPATIBILITY.md. */
#ifndef TESTS_DIFFER_MESSAGES_H
#define TESTS_DIFFER_MESSAGES_H

#include "tests/differ/compare.h"

/* A whole reply, as a view. */
struct message {
    const char *bytes;
    size_t len;
};

/* Whether it has no place of its own among the client's replies. */
bool messages_come_freely(const struct player *pl, struct message m);

/* Whether it is an invalidation, or tells that they will not come any more. */
bool messages_invalidate(struct message m);

/* Takes what Redis says now out of what came early; false: it is not there. */
bool messages_were_early(struct player *pl, struct message said);

/* Keeps what came early from Holdfast, in front of what Redis says now; len is the length of the
 * first; returns that of what is next then. */
size_t messages_keep_early(struct player *pl, struct message said, size_t len, int timeout_ms);

/* Leaves out invalidations at the head of what Holdfast sent that Redis does not tell: they are for
 * keys that somebody else has read over the same link. */
void messages_skip_surplus(const struct performance *pf, struct player *pl);

/* Whether Holdfast need not tell this: it is for a key that was read before a TRACKING OFF. */
bool messages_may_lack(const struct performance *pf, const struct player *pl, struct message said);

/* Brings the message that Redis says now to the front of what Holdfast has sent, if it stands
 * behind what it may stand behind: those for several patterns come in the order of a hash table,
 * and in RESP3 what a client publishes to itself comes behind the reply, as in later versions of
 * Redis; invalidations may come behind what the proxy itself answers, and where they are redirected
 * to anywhere. Waits for it. */
void messages_reorder(const struct performance *pf, struct player *pl, struct message said,
                      bool freely);

#endif
