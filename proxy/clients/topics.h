/* Who subscribed to what: channels, patterns, shard channels. One subscription at Redis serves all
 * clients, so each goes through stages here:
 *
 *   wanted   the client has asked (and not taken it back); what is asked of Redis follows this
 *   active   Redis has done so: what PUBSUB and PUBLISH count
 *   live     the reply was let out, and all messages before it: messages are handed to it
 *
 * A subscription that is nothing of this, and of which no request is under way, is freed. Pure. */
#ifndef PROXY_CLIENTS_TOPICS_H
#define PROXY_CLIENTS_TOPICS_H

#include "common/buf.h"

#include <stdbool.h>

struct client;
struct topics;

enum topic_kind { TOPIC_CHANNEL, TOPIC_PATTERN, TOPIC_SHARD, TOPIC_KINDS };

struct topic {
    enum topic_kind kind;
    const uint8_t *name;
    size_t len;
    size_t wanted, active; /* subscriptions that are so */
    struct subscription *subscriptions;
};

struct subscription {
    struct topic *topic;
    struct subscriber *subscriber; /* NULL: has gone */
    bool wanted, active, live;
    unsigned under_way; /* requests that tell of it */
    struct subscription *prev_of_topic, *next_of_topic;
    struct subscription *prev_of_subscriber, *next_of_subscriber;
};

/* One client's. */
struct subscriber {
    struct client *client;
    struct subscription *subscriptions; /* in whatever stage, as they began */
    struct subscription *last;
    size_t wanted[TOPIC_KINDS];
    /* The owner's. */
    struct subscriber *next, *prev;
    bool slow;              /* to be closed */
    uint64_t slow_since_ns; /* since when too much is unsent; 0: it is not */
};

struct topics *topics_create(void);
void topics_destroy(struct topics *t);

struct subscriber *topics_join(struct topics *t, struct client *client);
/* Its subscriptions are no longer wanted, active or live. left is called for each topic that
 * nobody wants any more (and that Redis is to be told of); it must not change the table. */
void topics_leave(struct topics *t, struct subscriber *subscriber,
                  void (*left)(void *ctx, const struct topic *topic), void *ctx);

/* The subscription, made if there is none and `make`; else NULL. */
struct subscription *topics_subscription(struct topics *t, struct subscriber *subscriber,
                                         enum topic_kind kind, const void *name, size_t len,
                                         bool make);

/* Changes a stage. topics_settle frees what is needed no more; the subscription may be gone behind
 * it. */
void topics_set_wanted(struct subscription *s, bool wanted);
void topics_set_active(struct subscription *s, bool active);
void topics_settle(struct topics *t, struct subscription *s);

/* NULL: nobody has or had to do with it lately. */
struct topic *topics_find(const struct topics *t, enum topic_kind kind, const void *name,
                          size_t len);
/* All of them, in any order, while each returns. */
void topics_each(const struct topics *t, void (*each)(void *ctx, const struct topic *topic),
                 void *ctx);
size_t topics_count(const struct topics *t);

/* To how many clients' subscriptions a message on this channel goes, and to how many of ours at
 * Redis (one for each channel or pattern, however many clients it serves). */
void topics_receivers(const struct topics *t, enum topic_kind kind, const void *channel, size_t len,
                      size_t *clients, size_t *links);

/* As Redis counts them in its replies: channels and patterns together, shard channels alone. */
size_t topics_total(const struct subscriber *subscriber, enum topic_kind kind);

#endif
