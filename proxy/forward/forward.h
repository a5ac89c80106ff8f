/* Requests that another server answers: a few links to it, over which all clients' requests are
 * spread, each client's on one link while any of them is unanswered, so that their order holds. One
 * of these leads to the leading proxy, another one to our own Redis while it is a replica.
 *
 * While there is nobody to send to (a failover), requests wait, up to a time, a number and a size;
 * then they are refused: they were never sent, so an error is the truth. What was sent and has no
 * answer is unknown when its connection ends (G6), but for pure reads, which are sent again. When
 * we have become the one who serves, what waits is handed to the owner, in order. */
#ifndef PROXY_FORWARD_FORWARD_H
#define PROXY_FORWARD_FORWARD_H

#include "proxy/forward/uplink.h"

enum { FORWARD_LINKS_MAX = 64, FORWARD_HOST_MAX = 63 };

struct forward_config {
    struct uplink_config uplink;
    unsigned links; /* 1 … FORWARD_LINKS_MAX */
    uint32_t wait_ms;
    size_t waiting_max;       /* requests */
    size_t waiting_max_bytes; /* and their bytes; beyond, forward_add refuses */
};

/* None may call back into the forward. r->client may be NULL: it has gone. The requests are the
 * owner's from then on. */
struct forward_events {
    void (*answered)(void *ctx, struct request *r);
    void (*unknown)(void *ctx, struct request *r); /* its outcome can't be known any more */
    /* It has waited too long, or may not be ours (REQUEST_TEACHES); never executed. */
    void (*expired)(void *ctx, struct request *r);
    /* FORWARD_US: it is ours to execute. Its command is at bytes, r->command_len of them, as it was
     * given; r->db, r->resp and r->block_skips tell how. */
    void (*ours)(void *ctx, struct request *r, const uint8_t *bytes);
};

enum forward_aim {
    FORWARD_NOWHERE, /* not known, for now: links that are up go on */
    FORWARD_THERE,   /* to host:port */
    FORWARD_US,      /* we serve: what waits is told by events.ours */
};

struct forward;

struct forward *forward_create(struct event_base *base, const struct forward_config *config,
                               const struct forward_events *events, void *ctx,
                               struct request_pool *pool);
/* What waits is told to be unknown; whoever closes the clients first hears of none of them. */
void forward_destroy(struct forward *f);
/* While held, what waits is not handed over to us (FORWARD_US), and does not expire. */
void forward_hold(struct forward *f, bool held);
/* UPLINK_REPLICA: whose replica Redis must be (uplink_config.master_port). */
void forward_set_master(struct forward *f, int port);

/* Where requests go from now on. Cheap if nothing changes. host and port: of FORWARD_THERE. */
void forward_aim(struct forward *f, enum forward_aim aim, const char *host, int port,
                 uint64_t now_ns);
/* Ends all links at once, with what they have sent; what was not sent waits on. */
void forward_cut(struct forward *f, const char *reason);
bool forward_aims_at(const struct forward *f, const char *host, int port);

/* Takes a request of r->client, which is on its link if it has others there (client->forwarded).
 * False: too much waits already; the request is untouched. */
bool forward_add(struct forward *f, struct request *r, unsigned db, unsigned resp,
                 const struct resp_arg *argv, size_t argc, uint64_t now_ns) MUST_CHECK;
/* The same with bytes: a whole command, or a block with skips replies before the one that counts.
 */
bool forward_add_bytes(struct forward *f, struct request *r, unsigned db, unsigned resp,
                       const void *bytes, size_t size, uint32_t skips, uint64_t now_ns) MUST_CHECK;

/* Connects, sends, hands over what is ours. Once or more per turn. */
void forward_flush(struct forward *f, uint64_t now_ns);
/* Time-outs and what has waited too long. */
void forward_tick(struct forward *f, uint64_t now_ns);
/* When forward_flush or forward_tick has something to do without anything coming; UINT64_MAX: not.
 */
uint64_t forward_next_ns(const struct forward *f);

/* Whether what this client asks is sent now, and waits for no link. */
bool forward_sends(const struct forward *f, const struct client *c);

/* Links that are up; requests that are in them, and those of them that wait for a link; the bytes
 * that all these take; requests ever taken. */
unsigned forward_links_up(const struct forward *f);
size_t forward_count(const struct forward *f);
size_t forward_waiting(const struct forward *f);
size_t forward_bytes(const struct forward *f);
uint64_t forward_total(const struct forward *f);

#endif
