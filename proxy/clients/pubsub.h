/* Pub/sub: clients' subscriptions over one RESP3 link to Redis, on which each channel or pattern is
 * subscribed to once, however many clients want it (docs/COMPATIBILITY.md, "Pub/sub").
 *
 * What comes over the link (messages, and where each SUBSCRIBE stands among them) is gathered into
 * parcels. A fence behind a parcel bounds it: whatever its messages may reveal lies before that. A
 * parcel is opened once all that is committed, in the order of the link; so a client sees exactly
 * what it would see at Redis, later. */
#ifndef PROXY_CLIENTS_PUBSUB_H
#define PROXY_CLIENTS_PUBSUB_H

#include "proxy/clients/router.h"
#include "proxy/clients/topics.h"

struct pubsub;

struct pubsub_config {
    const char *host;
    int port;
    const char *user, *password;
    uint32_t connect_timeout_ms;
    size_t withheld_max_bytes; /* of parcels; beyond it the link and all subscribers are closed */
    size_t unsent_max_bytes;   /* of one subscriber; beyond it it is closed */
    size_t unsent_soft_bytes;  /* beyond it for unsent_soft_ms likewise */
    uint32_t unsent_soft_ms;
};

struct pubsub *pubsub_create(struct event_base *base, const struct pubsub_config *config,
                             struct tracker *tracker, struct request_pool *pool);
/* All clients have gone. */
void pubsub_destroy(struct pubsub *ps);

/* As private_start and private_stop: stopping closes all subscribers. Not from within the link's
 * callbacks. */
void pubsub_start(struct pubsub *ps, const struct replid *replid);
void pubsub_stop(struct pubsub *ps, const char *reason);
/* From now on our Redis is a replica: what is published comes with the log, committed, and its
 * messages are handed out at once. */
void pubsub_follow(struct pubsub *ps, int master_port);
bool pubsub_follows(const struct pubsub *ps);

/* Whether it is a subscriber of RESP2, who may say but little; and whether not this. */
bool pubsub_confines(const struct client *c);
bool pubsub_denies(const struct client *c, const struct command *command);

/* SUBSCRIBE, UNSUBSCRIBE and their P and S forms, PUBSUB CHANNELS and the like; what a RESP2
 * subscriber may say, and what PING answers it. True: handled. */
bool pubsub_handle(struct router *router, struct client *c, const struct command *command,
                   const struct resp_arg *argv, size_t argc);
/* Whether it is one of SUBSCRIBE and the like. CLIENT LIST does not call it the client's last
 * command before Redis has run it: who sees it there must find what it changed. */
bool pubsub_changes(const struct command *command);
/* SUBSCRIBE and the like inside EXEC (clients.capture). */
void pubsub_do(struct router *router, struct client *c, const struct command *command,
               const struct resp_arg *argv, size_t argc);
/* RESET of a subscriber: true if it takes the way over the link; reply is its answer then. */
bool pubsub_reset(struct pubsub *ps, struct client *c, const char *reply);
/* Whether the client is subscribed to anything. */
bool pubsub_has(const struct client *c);

/* What clients sent before that comes first at Redis, too, though it goes over another link: for
 * PUBLISH their SUBSCRIBEs; for PUBSUB, which tells what they have changed, UNSUBSCRIBEs as well. A
 * transaction waits for what one of its commands waits for. */
enum pubsub_behind { PUBSUB_BEHIND_NOTHING, PUBSUB_BEHIND_SUBSCRIBES, PUBSUB_BEHIND_ALL };
enum pubsub_behind pubsub_behind(const struct command *command);
/* True: postponed until then. */
bool pubsub_holds(struct pubsub *ps, struct client *c, enum pubsub_behind behind);

/* PUBLISH: the number in the reply is made the number of clients that it goes to. there: over a
 * link to the leading proxy, whose count of its clients ours are added to. */
void pubsub_publish(const struct pubsub *ps, struct request *r, bool there,
                    const struct resp_arg *argv, const struct command *command);
/* A request that waited for a leader goes to our Redis after all. */
void pubsub_publish_here(struct request *r);
void pubsub_published(const struct pubsub *ps, struct request *r);
/* The same of such a reply inside EXEC's. */
void pubsub_put_receivers(const struct pubsub *ps, const struct command *command, bool there,
                          const struct resp_arg *channel, struct buf *reply);
/* PUBSUB; sub: the name of its subcommand. False: Redis is to answer. */
bool pubsub_ask(struct router *router, struct client *c, const char *sub,
                const struct resp_arg *argv, size_t argc);

/* The client has gone; its request has (REQUEST_ACK; it is freed by the caller). */
void pubsub_client_gone(struct pubsub *ps, struct client *c);
void pubsub_abandoned(struct request *r);

/* The parcel of a waiter that the tracker handed out (tracker_waiter.parcel): hands out what may
 * be, in order. The lease has been checked. */
void pubsub_ready(struct pubsub *ps, struct tracker_waiter *w);

/* Once per turn; a few times a second. */
void pubsub_flush(struct pubsub *ps, uint64_t now_ns);
void pubsub_tick(struct pubsub *ps, uint64_t now_ns);

size_t pubsub_topics(const struct pubsub *ps);

#endif
