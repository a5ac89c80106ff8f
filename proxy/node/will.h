/* The last will of a proxy that leads: what each log node is to be told when the process has ended,
 * as whole frames of the transport, ready to be sent over a connection of their own. The proxy
 * makes it and hands it to its watchdog whenever it changes; an empty one leaves nothing to say.
 *
 * Pure: no clock, no network. */
#ifndef PROXY_NODE_WILL_H
#define PROXY_NODE_WILL_H

#include "logsvc/client/proposer.h"

enum { WILL_FRAME_BYTES_MAX = 512 };

struct will_node {
    char address[CONF_TEXT_MAX + 1]; /* "host:port" */
    uint32_t size_bytes;
    uint8_t frame[WILL_FRAME_BYTES_MAX]; /* length and message */
};

/* Goes from process to process as it is: both are the same program, forked. */
struct will {
    uint32_t count;
    struct will_node nodes[PROPOSER_NODES_MAX];
};

/* heir: the client address of the proxy that should lead next; "": whoever comes. */
void will_make(const struct proposer *p, uint64_t now_ns, const char *heir, struct will *out);

bool will_equal(const struct will *a, const struct will *b);

/* Of a message that came from the other process: its size in bytes, and what is in it. */
bool will_is_sound(const struct will *w, size_t size_bytes);
/* How much of the struct is to be sent. */
size_t will_size_bytes(const struct will *w);

#endif
