/* Puts a snapshot, which is a file, on the log nodes: on one after the other, or, in a hurry, on
 * all at once; storing.h has the rules. While they change their leader it begins again under the
 * new one's term: what is committed stays so. */
#ifndef PROXY_SNAPSHOT_PUT_H
#define PROXY_SNAPSHOT_PUT_H

#include "proxy/snapshot/lognodes.h"

struct put;

struct put_config {
    struct lognodes *nodes;
    uint32_t patience_ms;    /* with a node that takes nothing */
    uint64_t rate_max_bytes; /* sent in a second at most; 0: as fast as it goes */
};

struct put_events {
    /* One of these, once, from put_start, put_tick or the event loop; put_destroy may not be called
     * from them. done: more than half of the members have it. */
    void (*done)(void *ctx);
    void (*failed)(void *ctx, const char *why);
    void (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes); /* of all nodes */
};

struct put *put_create(const struct put_config *config, const struct put_events *events, void *ctx);
void put_destroy(struct put *p);

/* fd: the file, which stays the caller's. The log nodes are used (lognodes_use) until it is over.
 */
void put_start(struct put *p, int fd, const struct snapshot_info *info);
/* Without a rate from now on, also before put_start; those that have not begun get it at once. */
void put_hurry(struct put *p);
/* Every few milliseconds. */
void put_tick(struct put *p, uint64_t now_ns);

#endif
