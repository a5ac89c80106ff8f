/* The network between log nodes and parties (proxies and snapshotters): one connection each, that
 * loses, delays, doubles and garbles messages, is cut in one direction or both, and at times still
 * delivers what an older connection was given. */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "logsvc/wire.h"
#include "tests/sim/sim.h"

struct network_link {
    unsigned connection; /* counts up */
    bool up;
    uint64_t last_at[2]; /* arrival of the last message: to the node, to the party */
};

struct network {
    bool cut[SIM_PROCS][SIM_PROCS];
    uint64_t slow_ns[SIM_PARTIES_MAX]; /* every message to that party takes so much longer */
    struct network_link links[SIM_PARTIES_MAX][SIM_NODES_MAX];
};

struct packet {
    uint64_t leave_at; /* when it leaves its sender; a sender that dies before never sent it */
    unsigned sender_life;
    unsigned connection;
    uint8_t from, to;
    size_t size;
    uint8_t bytes[];
};

/* A message on its way; the caller hands it to network_post, or frees it. */
struct packet *network_encode(struct world *w, unsigned from, unsigned to,
                              const struct wire_msg *msg);
/* It leaves at that time, and may get lost. */
void network_post(struct world *w, struct packet *packet, uint64_t leave_at);
/* Whether the message of this event arrives at all; then it is decoded. */
bool network_arrives(struct world *w, const struct event *e, struct wire_msg *msg);
/* The connection of a party to a node ends, and a new one may come up. */
void network_reconnect(struct world *w, unsigned party, unsigned node);
void network_heal(struct world *w);

#endif
