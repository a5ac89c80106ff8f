/* How long the machine stands still, for tests that say "nobody notices": a thread that does what
 * each process of a cluster lives by, it runs when it is due and makes a few bytes durable, in the
 * same place as they do. What took long for it as well was no fault of theirs. (stall.c holds it up
 * as it holds up them.) */
#ifndef TESTS_LIB_STANDSTILL_H
#define TESTS_LIB_STANDSTILL_H

#include <stdint.h>

struct standstill;

/* It writes to a file of its own in that folder, whose name goes at once. Fails the running test if
 * it can't be made. */
struct standstill *standstill_create(const char *folder);
void standstill_destroy(struct standstill *s);

/* The longest that it was held up since this was asked last, until now. */
uint64_t standstill_longest_us(struct standstill *s);

/* By how much that, since it was asked last, may delay a reply: so many may be held up one after
 * the other, who asks, the proxy, Redis, and the log nodes. */
enum { STANDSTILL_HELD_UP = 4 };
uint64_t standstill_delay_us(struct standstill *s);

#endif
