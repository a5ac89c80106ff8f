/* The proxy's side of the transport: one link to each log node, kept up until it is given up, with
 * messages in and out. It knows nothing of the message format and promises little: what it has
 * taken can be lost with its connection. What comes over one connection comes in order and whole;
 * nothing that was given to one connection is sent or handed out over the next.
 *
 * All calls belong to one thread (the event loop's). The first open starts the threads of the
 * messaging library: never fork after it. The simulator has its own network in this place. */
#ifndef LOGSVC_CLIENT_TRANSPORT_H
#define LOGSVC_CLIENT_TRANSPORT_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRANSPORT_NODES_MAX = 16 };

struct transport;

struct transport_config {
    unsigned node_count;                        /* 1 … TRANSPORT_NODES_MAX */
    const char *addresses[TRANSPORT_NODES_MAX]; /* "host:port"; copied. Numbers, not names: a name
                                                   is looked up at each attempt to connect. */
    size_t message_max_bytes;                   /* largest message, in both directions */
    /* Received and not yet consumed, for each node; beyond it (by one message at most) receiving
     * from that node pauses. At least message_max_bytes. */
    size_t queue_max_bytes;
    int reconnect_min_ms; /* 0: 20 */
    int reconnect_max_ms; /* 0: 500 */
};

enum transport_event_kind {
    TRANSPORT_UP,      /* the link was made; it can take a message */
    TRANSPORT_DOWN,    /* the link broke; what was under way is lost */
    TRANSPORT_READY,   /* the link can take a message again, after a send returned false */
    TRANSPORT_MESSAGE, /* bytes, size */
};

struct transport_event {
    enum transport_event_kind kind;
    unsigned node;
    const uint8_t *bytes; /* valid until the next call of transport_next */
    size_t size;
};

/* Starts connecting and returns at once; it keeps trying. ERR_INVALID: an address can't be
 * understood (errors show its text); ERR_IO: no resources. Nothing is left behind on error. */
int transport_open(struct transport **out, const struct transport_config *config) MUST_CHECK;
void transport_close(struct transport *t);

/* Another link, for a node that has none; or the end of one: no event of it comes any more. A
 * message of it that transport_next has just handed out stays valid as if nothing had happened.
 * ERR_EXISTS: the node has a link. Other errors as transport_open's. */
int transport_link(struct transport *t, unsigned node, const char *address) MUST_CHECK;
void transport_unlink(struct transport *t, unsigned node);

/* A descriptor to watch for reading (level-triggered; never read it yourself): once transport_next
 * has returned false, readable as long as it has something to say again. */
int transport_fd(const struct transport *t);
/* The next event; false: there is none, or the descriptor tells of it. */
bool transport_next(struct transport *t, struct transport_event *out);

/* Hands head followed by payload (copied; either may be empty) to the link. false: the link is down
 * (TRANSPORT_UP will come) or the message before is still waiting (TRANSPORT_READY will come).
 * true: taken, which doesn't mean that it will arrive. */
bool transport_send(struct transport *t, unsigned node, const void *head, size_t head_size,
                    const void *payload, size_t payload_size) MUST_CHECK;
/* Whether transport_send would take a message now. */
bool transport_ready(struct transport *t, unsigned node);

/* Breaks the connection of a node that has been silent for too long; a new one is made. For peers
 * that vanished without a word: the kernel finds that out after minutes only. */
void transport_reset(struct transport *t, unsigned node);

#endif
