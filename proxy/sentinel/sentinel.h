/* The proxy as a Sentinel: what Redis clients ask a Sentinel to find the master, and the messages
 * by which they hear of a failover (Redis 7.0, sentinel.c). One master is known, by the name that
 * the configuration gives it; its address is that of the clients' port of the proxy that leads, its
 * replicas are the other proxies, its other Sentinels those proxies' Sentinel ports.
 *
 * Nothing is decided here. Who leads is found out by the log (proxy/forward/leader.h); this tells
 * it in the words that clients expect. What was seen once is remembered as a real Sentinel does: a
 * proxy that is gone stays listed, as s_down, until SENTINEL RESET.
 *
 * Pure: requests and views in, bytes out. */
#ifndef PROXY_SENTINEL_SENTINEL_H
#define PROXY_SENTINEL_SENTINEL_H

#include "proxy/forward/leader.h"
#include "proxy/protocol/resp.h"

struct sentinel;

enum {
    SENTINEL_ADDRESS_MAX = 96,
    SENTINEL_SUBSCRIPTIONS_MAX = 1024, /* of one connection */
};

struct sentinel_config {
    const char *master_name;       /* kept by reference, as the rest */
    const char *password;          /* what clients must AUTH with; "": nothing */
    const char *data_password;     /* of the clients' port: what FAILOVER takes if password is "" */
    uint8_t cluster_id[16];        /* with an address it makes the ids */
    struct leader_address address; /* where our clients connect to */
    int port;                      /* our Sentinel port */
    uint32_t down_after_ms;        /* without a leader for so long, the master is down */
    size_t out_max_bytes;          /* unsent bytes of one connection; then it is closed */
};

/* What the world is like at this moment. */
struct sentinel_view {
    uint64_t now_ns;
    const struct leader_info *leader;
    const struct leader_peer *peers; /* we are among them */
    size_t peer_count;
    unsigned voters, voters_up; /* log nodes, and those that answer */
    const char *version;        /* of the engine */
};

struct sentinel_actions {
    /* SENTINEL FAILOVER: a planned hand-over begins. NULL: it does; else the error's text. */
    const char *(*failover)(void *ctx);
};

struct sentinel *sentinel_create(const struct sentinel_config *config,
                                 const struct sentinel_actions *actions, void *ctx);
/* All its clients must be gone. */
void sentinel_destroy(struct sentinel *s);

/* Looks at the world, a few times a second and whenever something has changed: what differs from
 * the last look is published to those who subscribed to it. */
void sentinel_observe(struct sentinel *s, const struct sentinel_view *view);

/* A channel or a pattern that a connection listens to. */
struct sentinel_subscription {
    char *name;
    size_t len;
    bool pattern;
};

/* A connection to the Sentinel port. Replies and messages are put into `out`, which the owner sends
 * and empties. */
struct sentinel_client {
    struct sentinel_client *prev, *next;
    uint64_t id;
    char peer[SENTINEL_ADDRESS_MAX], own[SENTINEL_ADDRESS_MAX]; /* "address:port" */
    unsigned resp;                                              /* 2 or 3 */
    bool authenticated;
    bool trusted; /* it has said data_password */
    bool close_when_sent;
    bool overflowed; /* it does not read what it subscribed to: to be closed */
    char *name;      /* CLIENT SETNAME; NULL: none */
    struct sentinel_subscription *subscriptions;
    size_t subscription_count;
    uint64_t created_ns, used_ns;
    const char *last_command;
    struct buf out;
};

/* A zeroed client with peer and own set becomes one of the Sentinel's; its memory is the caller's.
 */
void sentinel_client_add(struct sentinel *s, struct sentinel_client *c);
/* Frees what it holds. */
void sentinel_client_remove(struct sentinel *s, struct sentinel_client *c);

/* Answers one request; argc is at least 1. */
void sentinel_request(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                      size_t argc);

/* The error (with its code) that ends the connection; for what is no request. */
void sentinel_client_error(struct sentinel_client *c, const char *text);

#endif
