/* What log nodes hold of a log that was begun and has not come to its end (an import that was
 * broken off): whether it is a beginning of what is to be put there. The stream is fed from the
 * log's begin on; the chain checksum of each node at its own end tells. Pure. */
#ifndef PROXY_CTL_HELD_H
#define PROXY_CTL_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HELD_NODES_MAX = 16 };

struct held_node {
    uint64_t flushed; /* end of what it has … */
    uint32_t chain;   /* … and the chain there, of a log that begins with 0 */
    uint64_t unit;    /* end of the last whole unit in it */
    bool known;       /* it is what was fed */
};

struct held {
    uint64_t at; /* the stream is fed up to here */
    uint32_t chain;
    unsigned count;
    struct held_node nodes[HELD_NODES_MAX];
};

void held_start(struct held *h, uint64_t begin);
/* A node that has something; before anything is fed. At most HELD_NODES_MAX. */
void held_add(struct held *h, uint64_t flushed, uint64_t unit, uint32_t chain);
/* The next bytes of the stream. */
void held_feed(struct held *h, const void *bytes, size_t size);

/* Whether all that any of them has is a beginning of what was fed. */
bool held_all_known(const struct held *h);
/* Whether the last whole unit of one of them ends there. */
bool held_ends_at(const struct held *h, uint64_t offset);

#endif
