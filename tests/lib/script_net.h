/* A scripted network for the tests of pure clients of the log nodes: virtual time, messages that
 * take a while, get lost, come twice or late. Requests are handed to the test's nodes, their
 * answers back to the client. Everything follows from the seed. */
#ifndef TESTS_LIB_SCRIPT_NET_H
#define TESTS_LIB_SCRIPT_NET_H

#include "common/clock.h"
#include "common/mem.h"
#include "common/random.h"
#include "logsvc/wire.h"
#include "tests/lib/unit.h"

#include <string.h>

enum { NET_NODES = 3 };

struct net_packet {
    uint64_t at_ns;
    uint64_t order; /* of packets due at the same time */
    unsigned node;
    bool to_node;
    uint8_t *bytes;
    size_t size;
};

struct net {
    uint64_t now_ns;
    struct random random;
    unsigned loss_percent, twice_percent;
    uint64_t delay_ns, jitter_ns; /* jitter reorders */
    bool silent[NET_NODES];       /* takes requests, never answers */
    bool down[NET_NODES];         /* the link is down: sends are refused */
    unsigned asked[NET_NODES];

    struct net_packet packets[4096];
    unsigned count;
    uint64_t order;

    /* A request has arrived at a node; it may net_answer. */
    void (*request)(void *ctx, unsigned node, const struct wire_msg *msg);
    /* An answer has arrived at the client. */
    void (*answer)(void *ctx, unsigned node, const struct wire_msg *msg);
    void (*tick)(void *ctx);
    uint64_t (*next_tick_ns)(void *ctx);
    void *ctx;
};

static inline void net_init(struct net *n, uint64_t seed)
{
    memset(n, 0, sizeof *n);
    n->now_ns = CLOCK_NS_PER_S;
    n->delay_ns = 100 * CLOCK_NS_PER_US;
    random_init(&n->random, seed);
}

static inline void net_fini(struct net *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        free(n->packets[i].bytes);
    }
    n->count = 0;
}

static inline void net_put(struct net *n, unsigned node, bool to_node, const struct wire_msg *msg)
{
    unsigned copies = 1;

    if (random_below(&n->random, 100) < n->loss_percent) {
        copies = 0;
    } else if (random_below(&n->random, 100) < n->twice_percent) {
        copies = 2;
    }
    for (unsigned i = 0; i < copies; i++) {
        uint64_t jitter = n->jitter_ns > 0 ? random_below(&n->random, n->jitter_ns) : 0;
        ck_assert_uint_lt(n->count, sizeof n->packets / sizeof *n->packets);
        struct net_packet *p = &n->packets[n->count++];
        *p = (struct net_packet){.at_ns = n->now_ns + n->delay_ns + jitter,
                                 .order = n->order++,
                                 .node = node,
                                 .to_node = to_node,
                                 .size = wire_size(msg)};
        p->bytes = mem_alloc(p->size);
        wire_encode(msg, p->bytes);
    }
}

/* The client's `send`. */
static inline bool net_send(struct net *n, unsigned node, const struct wire_msg *msg)
{
    ck_assert_uint_lt(node, NET_NODES);
    if (n->down[node]) {
        return false;
    }
    n->asked[node]++;
    net_put(n, node, true, msg);
    return true;
}

static inline void net_answer(struct net *n, unsigned node, const struct wire_msg *msg)
{
    if (!n->silent[node]) {
        net_put(n, node, false, msg);
    }
}

static inline void net_deliver(struct net *n, unsigned i)
{
    struct net_packet p = n->packets[i];
    struct wire_msg msg;

    n->count--;
    if (i < n->count) {
        n->packets[i] = n->packets[n->count];
    }
    ck_assert_int_eq(wire_decode(p.bytes, p.size, &msg), ERR_OK);
    if (!n->down[p.node]) {
        (p.to_node ? n->request : n->answer)(n->ctx, p.node, &msg);
    }
    free(p.bytes);
}

/* Goes on to the next thing that happens; false: nothing will before until_ns (time is then that).
 */
static inline bool net_step(struct net *n, uint64_t until_ns)
{
    unsigned first = 0;
    uint64_t tick = n->next_tick_ns(n->ctx);

    for (unsigned i = 1; i < n->count; i++) {
        const struct net_packet *a = &n->packets[i], *b = &n->packets[first];
        if (a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order)) {
            first = i;
        }
    }
    uint64_t packet = n->count > 0 ? n->packets[first].at_ns : UINT64_MAX;
    uint64_t next = packet < tick ? packet : tick;
    if (next > until_ns) {
        n->now_ns = until_ns;
        return false;
    }
    n->now_ns = next > n->now_ns ? next : n->now_ns;
    if (n->count > 0 && packet <= tick) {
        net_deliver(n, first);
    } else {
        n->tick(n->ctx);
    }
    return true;
}

#endif
