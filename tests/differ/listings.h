/* Texts that tell of servers and their clients, as far as they must be the same. */
#ifndef TESTS_DIFFER_LISTINGS_H
#define TESTS_DIFFER_LISTINGS_H

#include "tests/differ/frames.h"

/* The name of connections that are left out: the tester's own. */
#define LISTINGS_CONTROL "control"

/* CLIENT LIST and INFO: the same clients in the same order of age, with what does not tell of
 * memory, sockets and times. later: the second was made a moment after what it stands between, so
 * who blocked then may not any more. */
bool listings_same_clients(const struct frame *a, const struct frame *b, bool later,
                           const struct frames_how *how);

/* INFO: sections and names of fields, and the values of those that tell of what clients did. The
 * second may have what the proxy adds. */
bool listings_same_info(const struct frame *a, const struct frame *b);

/* ACL LOG: who was refused what, how, where and how often, in that order. */
bool listings_same_log(const struct frame *a, const struct frame *b);

#endif
