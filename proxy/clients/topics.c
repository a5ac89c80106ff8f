/* Two hash tables: topics by kind and name, subscriptions by topic and subscriber. */
#include "proxy/clients/topics.h"

#include "common/mem.h"
#include "proxy/protocol/glob.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Names come from clients that the operator let in, so the hash is not seeded. */
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits((key), (len)))
#define uthash_malloc(size)            mem_alloc(size)
#include <uthash.h>

struct topic_node {
    struct topic topic;
    UT_hash_handle hh; /* by key */
    size_t key_len;
    uint8_t key[]; /* the kind, then the name */
};

struct pair {
    const struct topic *topic;
    const struct subscriber *subscriber;
};

struct subscription_node {
    struct subscription subscription;
    struct pair key;
    UT_hash_handle hh;
};

struct topics {
    struct topic_node *nodes;
    struct subscription_node *subscriptions;
    size_t pattern_count;
};

struct topics *topics_create(void)
{
    return mem_calloc(1, sizeof(struct topics));
}

static void topic_free(struct topics *t, struct topic_node *node)
{
    t->pattern_count -= node->topic.kind == TOPIC_PATTERN;
    HASH_DELETE(hh, t->nodes, node);
    free(node);
}

void topics_destroy(struct topics *t)
{
    if (t != NULL) {
        MUST(t->subscriptions == NULL && t->nodes == NULL); /* a topic goes with its last one */
        free(t);
    }
}

/* ---- topics ---- */

static struct topic_node *topic_get(const struct topics *t, enum topic_kind kind, const void *name,
                                    size_t len)
{
    uint8_t small[128], *key = len < sizeof small ? small : mem_alloc(len + 1);
    struct topic_node *node;

    key[0] = (uint8_t)kind;
    memcpy(key + 1, name, len);
    HASH_FIND(hh, t->nodes, key, len + 1, node);
    if (key != small) {
        free(key);
    }
    return node;
}

struct topic *topics_find(const struct topics *t, enum topic_kind kind, const void *name,
                          size_t len)
{
    struct topic_node *node = topic_get(t, kind, name, len);
    return node != NULL ? &node->topic : NULL;
}

static struct topic_node *topic_make(struct topics *t, enum topic_kind kind, const void *name,
                                     size_t len)
{
    struct topic_node *node = mem_alloc(sizeof *node + len + 1);

    memset(node, 0, sizeof *node);
    node->key[0] = (uint8_t)kind;
    memcpy(node->key + 1, name, len);
    node->key_len = len + 1;
    node->topic = (struct topic){.kind = kind, .name = node->key + 1, .len = len};
    HASH_ADD_KEYPTR(hh, t->nodes, node->key, node->key_len, node);
    t->pattern_count += kind == TOPIC_PATTERN;
    return node;
}

size_t topics_count(const struct topics *t)
{
    return HASH_COUNT(t->nodes);
}

void topics_each(const struct topics *t, void (*each)(void *ctx, const struct topic *topic),
                 void *ctx)
{
    struct topic_node *node, *next;

    HASH_ITER (hh, t->nodes, node, next) {
        each(ctx, &node->topic);
    }
}

void topics_receivers(const struct topics *t, enum topic_kind kind, const void *channel, size_t len,
                      size_t *clients, size_t *links)
{
    const struct topic *topic = topics_find(t, kind, channel, len);

    *clients = topic != NULL ? topic->active : 0;
    *links = *clients > 0;
    if (kind != TOPIC_CHANNEL || t->pattern_count == 0) {
        return;
    }
    for (const struct topic_node *node = t->nodes; node != NULL; node = node->hh.next) {
        if (node->topic.kind == TOPIC_PATTERN && node->topic.active > 0 &&
            glob_match((const char *)node->topic.name, node->topic.len, channel, len)) {
            *clients += node->topic.active;
            *links += 1;
        }
    }
}

/* ---- subscriptions ---- */

struct subscriber *topics_join(struct topics *t, struct client *client)
{
    struct subscriber *subscriber = mem_calloc(1, sizeof *subscriber);

    (void)t;
    subscriber->client = client;
    return subscriber;
}

size_t topics_total(const struct subscriber *subscriber, enum topic_kind kind)
{
    return kind == TOPIC_SHARD
               ? subscriber->wanted[TOPIC_SHARD]
               : subscriber->wanted[TOPIC_CHANNEL] + subscriber->wanted[TOPIC_PATTERN];
}

/* Behind its subscriber's others. */
static void subscription_enter_subscriber(struct subscription *s)
{
    struct subscriber *subscriber = s->subscriber;

    s->next_of_subscriber = NULL;
    s->prev_of_subscriber = subscriber->last;
    if (subscriber->last != NULL) {
        subscriber->last->next_of_subscriber = s;
    } else {
        subscriber->subscriptions = s;
    }
    subscriber->last = s;
}

static void subscription_enter(struct subscription *s)
{
    struct topic *topic = s->topic;

    s->next_of_topic = topic->subscriptions;
    if (s->next_of_topic != NULL) {
        s->next_of_topic->prev_of_topic = s;
    }
    topic->subscriptions = s;
    subscription_enter_subscriber(s);
}

static void subscription_leave_subscriber(struct subscription *s)
{
    if (s->subscriber == NULL) {
        return;
    }
    if (s->prev_of_subscriber != NULL) {
        s->prev_of_subscriber->next_of_subscriber = s->next_of_subscriber;
    } else {
        s->subscriber->subscriptions = s->next_of_subscriber;
    }
    if (s->next_of_subscriber != NULL) {
        s->next_of_subscriber->prev_of_subscriber = s->prev_of_subscriber;
    } else {
        s->subscriber->last = s->prev_of_subscriber;
    }
    s->subscriber = NULL;
}

static void subscription_leave_topic(struct subscription *s)
{
    if (s->prev_of_topic != NULL) {
        s->prev_of_topic->next_of_topic = s->next_of_topic;
    } else {
        s->topic->subscriptions = s->next_of_topic;
    }
    if (s->next_of_topic != NULL) {
        s->next_of_topic->prev_of_topic = s->prev_of_topic;
    }
}

struct subscription *topics_subscription(struct topics *t, struct subscriber *subscriber,
                                         enum topic_kind kind, const void *name, size_t len,
                                         bool make)
{
    struct topic_node *topic = topic_get(t, kind, name, len);
    struct subscription_node *node = NULL;

    if (topic != NULL) {
        struct pair key = {&topic->topic, subscriber};
        HASH_FIND(hh, t->subscriptions, &key, sizeof key, node);
    }
    if (node != NULL || !make) {
        return node != NULL ? &node->subscription : NULL;
    }
    if (topic == NULL) {
        topic = topic_make(t, kind, name, len);
    }
    node = mem_calloc(1, sizeof *node);
    node->key = (struct pair){&topic->topic, subscriber};
    node->subscription.topic = &topic->topic;
    node->subscription.subscriber = subscriber;
    HASH_ADD(hh, t->subscriptions, key, sizeof node->key, node);
    subscription_enter(&node->subscription);
    return &node->subscription;
}

void topics_set_wanted(struct subscription *s, bool wanted)
{
    if (s->wanted == wanted) {
        return;
    }
    if (wanted) { /* also again, before the end of the last time was told */
        struct subscriber *subscriber = s->subscriber;
        subscription_leave_subscriber(s);
        s->subscriber = subscriber;
        subscription_enter_subscriber(s);
    }
    s->wanted = wanted;
    s->topic->wanted += wanted ? 1 : SIZE_MAX;
    s->subscriber->wanted[s->topic->kind] += wanted ? 1 : SIZE_MAX;
}

void topics_set_active(struct subscription *s, bool active)
{
    if (s->active != active) {
        s->active = active;
        s->topic->active += active ? 1 : SIZE_MAX;
    }
}

void topics_settle(struct topics *t, struct subscription *s)
{
    struct subscription_node *node = (struct subscription_node *)(void *)s;
    struct topic_node *topic = (struct topic_node *)(void *)s->topic;

    if (s->wanted || s->active || s->live || s->under_way > 0) {
        return;
    }
    subscription_leave_subscriber(s);
    subscription_leave_topic(s);
    HASH_DELETE(hh, t->subscriptions, node);
    free(node);
    if (topic->topic.subscriptions == NULL) {
        topic_free(t, topic);
    }
}

void topics_leave(struct topics *t, struct subscriber *subscriber,
                  void (*left)(void *ctx, const struct topic *topic), void *ctx)
{
    for (struct subscription *s = subscriber->subscriptions, *next; s != NULL; s = next) {
        bool wanted = s->wanted;
        next = s->next_of_subscriber;
        topics_set_wanted(s, false);
        topics_set_active(s, false);
        s->live = false;
        if (wanted && s->topic->wanted == 0) {
            left(ctx, s->topic);
        }
        /* A request may still tell of it; then it is found no more, and freed behind that. */
        struct subscription_node *node = (struct subscription_node *)(void *)s;
        subscription_leave_subscriber(s);
        HASH_DELETE(hh, t->subscriptions, node);
        node->key.subscriber = (const void *)node;
        HASH_ADD(hh, t->subscriptions, key, sizeof node->key, node);
        topics_settle(t, s);
    }
    free(subscriber);
}
