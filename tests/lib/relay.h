/* A network that can be cut: what processes of a test say to each other over TCP goes through
 * relays, one listening port before each endpoint, all in one process of their own. A relay finds
 * out who connects to it (the kernel's table of connections says whose the other end is), so an
 * endpoint can be cut off from all others, in one direction or both, while connections that do not
 * go through relays (a test's own, a proxy's to its Redis) are not touched.
 *
 * A cut is silence, as of a network that loses everything: connections stay, what is sent is not
 * delivered, new connections get no further. Healed, it all goes on where it stood: what was sent
 * meanwhile arrives then, late, as from a TCP that kept on trying. A cut in one direction silences
 * the other one, too, a moment later: no acknowledgements come, and TCP sends nothing new then.
 *
 * Made before the test is forked off; what the test changes is in shared memory. Fails the running
 * test when it can't do what it says. */
#ifndef TESTS_LIB_RELAY_H
#define TESTS_LIB_RELAY_H

#include <sys/types.h>

struct relay;

enum relay_cut {
    RELAY_WHOLE = 0,
    RELAY_CUT_IN = 1,  /* nothing reaches it */
    RELAY_CUT_OUT = 2, /* nothing leaves it */
    RELAY_CUT = 3,
};

struct relay *relay_create(void);
/* Ends the process. NULL is allowed. */
void relay_destroy(struct relay *r);

/* Listens at listen_port for connections to `name`, which listens at port. Before relay_start. */
void relay_add(struct relay *r, const char *name, int listen_port, int port);
void relay_start(struct relay *r);

/* Which process that endpoint is from now on; no-op if there is no such endpoint. */
void relay_set_pid(struct relay *r, const char *name, pid_t pid);

/* From the return on (but for what is being moved at this moment: give it some milliseconds). */
void relay_set_cut(struct relay *r, const char *name, enum relay_cut cut);

#endif
