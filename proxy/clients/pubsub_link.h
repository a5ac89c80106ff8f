/* What pubsub.c and pubsub_commands.c share. */
#ifndef PROXY_CLIENTS_PUBSUB_LINK_H
#define PROXY_CLIENTS_PUBSUB_LINK_H

#include "proxy/clients/pubsub.h"

struct parcel;

/* A request that changes subscriptions, from when it is sent until its reply leaves. */
struct pubsub_op {
    struct pubsub_op *next;  /* of those that were sent and not answered */
    struct request *request; /* NULL: its client has gone */
    const char *word;        /* its client's last command, once Redis has run it */
    struct buf reply;
    bool failed; /* Redis answered with an error */
    size_t count;
    struct {
        struct subscription *subscription;
        bool subscribes;
    } entries[];
};

struct pubsub {
    struct event_base *base;
    struct pubsub_config config;
    struct tracker *tracker;
    struct request_pool *pool;
    struct engine *engine;
    struct replid replid;
    bool started;
    bool follows; /* the link is ENGINE_REPLICA: nothing is withheld */
    bool slow;    /* some subscriber is to be closed */
    struct topics *topics;
    struct subscriber *subscribers; /* by next, prev */
    struct parcel *first, *last;
    struct pubsub_op *sent, *sent_last;
    uint64_t sent_count, done_count; /* of ops: ever sent; answered, or given up with the link */
    uint64_t subscribe_count;        /* sent_count of the last op that subscribes */
    struct clients *held;            /* somebody waits in pubsub_holds; NULL: nobody */
    size_t withheld_bytes;           /* of the parcels */
};

extern const struct engine_events pubsub_engine_events;
extern const struct resp_arg pubsub_ping;

/* One of ps->subscribers from now on, until its client is gone. */
void pubsub_enter(struct pubsub *ps, struct subscriber *subscriber);

/* Sends commands, a PING last, for a request. */
void pubsub_send(struct pubsub *ps, struct request *r, struct pubsub_op *op,
                 const struct buf *commands);

/* The first two elements of a push (">3 $7 message $1 a …"), which stand in bytes. False: it has
 * none that are bulks. */
bool pubsub_parse_push(const uint8_t *bytes, size_t size, struct resp_arg *word,
                       struct resp_arg *name);

#endif
