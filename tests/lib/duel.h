/* The same play on two stages: steps of several clients, done to the proxy and to a plain Redis,
 * whose replies must be equal byte for byte. A step is a client's letter (A to H), a sign, and
 * words that single blanks separate; %A in them stands for that client's own id at that server:
 *
 *   "A SET k 1"   sends it, and compares the replies
 *   "A~BLPOP k 0" sends it only
 *   "A:HELLO 3"   sends it, and takes the replies without comparing
 *   "A<"          compares the next reply (or push)
 *   "A|"          neither server says anything for a while
 *   "A!"          the client leaves        "A?"  both servers close the connection
 *   "=2"          waits until so many clients are blocked at both Redis
 *   "=busy"       waits until both say that a script keeps them busy
 *
 * A client connects when it first does something. A difference fails the running test. */
#ifndef TESTS_LIB_DUEL_H
#define TESTS_LIB_DUEL_H

#include "tests/lib/cluster.h"

/* steps end with NULL. New clients each time. */
void duel(struct cluster *cluster, const char *const steps[]);
#define DUEL(...) duel(cluster, (const char *const[]){__VA_ARGS__, NULL})

#endif
