/* Where a request goes: to our Redis, to the proxy that leads, to our Redis as a replica, or
 * nowhere. Pure: the router asks, and acts on the answer. */
#ifndef PROXY_FORWARD_ROUTE_H
#define PROXY_FORWARD_ROUTE_H

#include "proxy/protocol/command.h"

enum route {
    ROUTE_ENGINE,    /* our Redis executes it, its reply is withheld until it may be seen */
    ROUTE_FORWARD,   /* to the proxy that leads; it waits while nobody does */
    ROUTE_REPLICA,   /* our Redis answers, which holds a prefix of the log */
    ROUTE_MOVED,     /* another proxy sent it, and we can't execute it: it is told so */
    ROUTE_READ_ONLY, /* a write, where only reads are served */
    ROUTE_REFUSE,    /* there is nobody else, and we don't serve */
};

struct route_ask {
    /* The proxy. */
    bool serves; /* it leads, holds the lease, and its Redis is there */
    bool others; /* there are more proxies: one of them may lead, now or soon */
    /* The client. */
    bool link;         /* it is another proxy */
    bool replica_port; /* it came in at the port for reads */
    bool readonly;     /* it said READONLY */
    bool forwarded;    /* requests of it are on their way to a leader, and must not be overtaken */
    /* The request. */
    bool writes;     /* it may change data */
    bool may_follow; /* route_may_follow */
    bool bare;       /* it reveals no data, and our Redis is there to answer it without a lease */
};

enum route route_decide(const struct route_ask *ask);

/* Whether a replica's answer will do: reads of data, and what asks for nothing but an answer.
 * replica_port: scripts as well (the Redis there is read-only, and refuses their writes). */
bool route_may_follow(const struct command *command, bool replica_port);

/* Whether running it twice is as good as once: it changes nothing. */
bool route_may_repeat(const struct command *command);

#endif
