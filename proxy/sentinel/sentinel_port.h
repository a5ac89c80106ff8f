/* The Sentinel port: a listening socket and its connections, which speak to
 * proxy/sentinel/sentinel. Few clients come here, and seldom, so it is kept simple: one buffer each
 * way, and nobody is read while something is unsent to him. */
#ifndef PROXY_SENTINEL_SENTINEL_PORT_H
#define PROXY_SENTINEL_SENTINEL_PORT_H

#include "proxy/sentinel/sentinel.h"

struct event_base;
struct sentinel_port;

struct sentinel_port_config {
    const char *host;
    int port;                        /* 0: any */
    size_t clients_max;              /* more are refused */
    struct sentinel_config sentinel; /* its port is set here */
};

/* Listens. ERR_OK, or ERR_IO, which has been logged. */
int sentinel_port_open(struct event_base *base, const struct sentinel_port_config *config,
                       const struct sentinel_actions *actions, void *ctx,
                       struct sentinel_port **out) MUST_CHECK;
void sentinel_port_close(struct sentinel_port *p);
int sentinel_port_number(const struct sentinel_port *p);

/* Hands the view on and sends what came of it. Several times a second, and when something that it
 * tells of has changed. */
void sentinel_port_observe(struct sentinel_port *p, const struct sentinel_view *view);

#endif
