/* The queue of events, which is the simulator's clock: whatever happens is an event at a moment of
 * virtual time; those of one moment happen in the order in which they were put in. */
#ifndef TESTS_SIM_EVENTS_H
#define TESTS_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum event_kind {
    EVENT_MESSAGE,      /* a log message arrives: packet, from peer */
    EVENT_LINK_READY,   /* a party's link to a node (peer) can take a message again */
    EVENT_LINK_UP,      /* … has come up again */
    EVENT_NODE_FLUSH,   /* a node's turn ends */
    EVENT_NODE_TICK,    /* its idle marker may be due */
    EVENT_NODE_SCRUB,   /* it may look after its disk */
    EVENT_NODE_PACK,    /* it may pack what its log has taken of it */
    EVENT_PAIR_TICK,    /* something of a proxy may be due */
    EVENT_SNAPPER_TICK, /* … of a snapshotter */
    EVENT_REQUEST,      /* a client's (peer) request number arg arrives at a proxy */
    EVENT_REDIS_BATCH,  /* a proxy's request (slot arg) arrives at its Redis */
    EVENT_REDIS_REPLY,  /* the answer to slot arg arrives at the proxy */
    EVENT_REDIS_STREAM, /* the stream up to offset arg arrives at the proxy */
    EVENT_REDIS_LOST,   /* the proxy sees that its link (number arg) to Redis is gone */
    EVENT_RESTART,      /* a process comes back */
    EVENT_DISK_DONE,    /* a node's disk has done what it waited for */
    EVENT_CLIENT,       /* a client acts, or gives up waiting for request arg */
    EVENT_ANSWER,       /* the answer to request arg arrives at a client: enum answer and value */
    EVENT_FAULT,        /* something breaks */
    EVENT_SCENE,        /* the next step (arg) of a fault that has several */
};

struct packet;

struct event {
    uint64_t at, order;
    uint64_t arg, value;
    struct packet *packet;
    uint32_t life; /* of proc; 0: any */
    uint8_t kind, proc, peer, answer;
};

struct events {
    struct event *heap;
    size_t count, cap;
    uint64_t order;
};

void events_push(struct events *q, struct event e);
/* The queue is not empty. */
struct event events_pop(struct events *q);
/* Frees the events and their packets. */
void events_fini(struct events *q);

#endif
