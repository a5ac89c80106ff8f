/* Clients that wait for log nodes: WAIT and WAITAOF, answered from the log. Redis would count the
 * replicas of the connection that all clients share; what clients mean is who has their writes, and
 * that are the log nodes which have them on disk. Pure: it is told what those have, and the time.
 *
 * Those who wait stand in queues, one for each number of nodes that is asked for, by the offset
 * that they wait for: what the log does takes time only for those whom it concerns. */
#ifndef PROXY_CLIENTS_WAITS_H
#define PROXY_CLIENTS_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WAITS_NODES_MAX = 16 };

/* What the log has. */
struct waits_log {
    uint64_t flushed[WAITS_NODES_MAX]; /* of each member that answers: on its disk */
    unsigned count;
    uint64_t committed;
};

/* One that waits, or could. The owner fills in the first part. */
struct wait {
    void *owner;
    uint64_t target;   /* all that its client has written */
    long long nodes;   /* that many must have it */
    bool local;        /* WAITAOF with numlocal: it must be committed */
    bool aof;          /* WAITAOF: answered with two numbers */
    uint64_t until_ns; /* UINT64_MAX: for ever */

    bool queued;
    bool late; /* in the queue of those */
    struct wait *prev, *next;
};

struct wait_queue {
    struct wait *first, *last;
};

struct waits {
    struct wait_queue queues[2][WAITS_NODES_MAX + 2]; /* by local, nodes; the last: never enough */
    struct wait_queue late;                           /* whose time is over, in any order */
    size_t count;
    uint64_t next_ns; /* nobody else's time is over before */
};

void waits_init(struct waits *waits);

/* How many log nodes have everything up to this offset. */
unsigned waits_nodes(const struct waits_log *log, uint64_t offset);
bool waits_is_met(const struct waits_log *log, const struct wait *w);

void waits_add(struct waits *waits, struct wait *w);
/* No-op if it is not queued. */
void waits_remove(struct waits *waits, struct wait *w);

/* Takes out one who need not wait any longer, or whose time is over; NULL: there is none. */
struct wait *waits_next_over(struct waits *waits, const struct waits_log *log, uint64_t now_ns);

/* When somebody's time may be over; UINT64_MAX: never. */
uint64_t waits_next_ns(const struct waits *waits);

#endif
