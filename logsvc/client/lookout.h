/* The lookout: asks the log nodes now and then how things stand (WATCH), and hears from them at
 * once when a leader was accepted, has released, or is gone. From their answers it makes one
 * picture: who leads, whether anybody does, how far the log is committed, which proxies there are.
 * Pure: time and messages in, messages out.
 *
 * A picture, no proof: elections and leases don't look at it. */
#ifndef LOGSVC_CLIENT_LOOKOUT_H
#define LOGSVC_CLIENT_LOOKOUT_H

#include "logsvc/history.h"
#include "logsvc/roster.h"
#include "logsvc/wire.h"

enum { LOOKOUT_NODES_MAX = 16 };

struct lookout_config {
    uint8_t cluster_id[16];
    uint64_t log_id;
    unsigned node_count;  /* 1 … LOOKOUT_NODES_MAX; see lookout_nodes */
    uint64_t session;     /* random, new at every start of the process */
    uint32_t lease_ms;    /* L, the same everywhere */
    uint32_t interval_ms; /* each node is asked so often */
    const char *name;     /* ours; copied */
    const char *address;  /* of our clients; copied */
};

struct lookout_events {
    /* Hands a message to the transport for one node; false: the link is busy or down, it is tried
     * again at a later tick. The message is valid during the call. */
    bool (*send)(void *ctx, unsigned node, const struct wire_msg *msg);
    /* A node refuses us for a reason that only an operator can mend; called once for each node and
     * reason. May be NULL. */
    void (*refused)(void *ctx, unsigned node, enum wire_refusal code, const char *reason);
};

struct lookout;

struct lookout *lookout_create(const struct lookout_config *config,
                               const struct lookout_events *events, void *ctx);
void lookout_destroy(struct lookout *l);

/* What the nodes are told of us with the next questions; as in a roster_entry. */
struct lookout_self {
    enum roster_role role;
    bool synced;
    uint64_t offset, needs;
    uint32_t sentinel_port;
};
void lookout_say(struct lookout *l, const struct lookout_self *self);
/* Asks all nodes in the next tick, since something of it is news. */
void lookout_hurry(struct lookout *l);

/* From now on the nodes of that set (bit i: node i) count, and more than half of them are a
 * quorum; all that are linked are asked. At creation: the first node_count. */
void lookout_nodes(struct lookout *l, uint32_t set);

/* All of these take the caller's clock (CLOCK_BOOTTIME, ns), which never goes back. */
void lookout_receive(struct lookout *l, uint64_t now_ns, unsigned node, const struct wire_msg *msg);
void lookout_link_up(struct lookout *l, uint64_t now_ns, unsigned node, bool up);
void lookout_tick(struct lookout *l, uint64_t now_ns);
uint64_t lookout_next_tick_ns(const struct lookout *l);

struct lookout_view {
    bool free; /* a quorum said lately that it has not heard a leader or winner for a lease */
    bool gone; /* … and not because it was silent for long: it has released, or its link closed */
    unsigned nodes_up;       /* have answered lately */
    bool seen;               /* a quorum has answered lately */
    bool leader_alive;       /* a node has heard the leader of the newest term within the lease */
    struct term leader_term; /* 0: none was ever named */
    const char *leader;      /* its clients' address; may be "" */
    const char *heir;        /* whom a leader that has just released names; "": nobody */
    /* All that have answered lately, a quorum at least, have heard that release: whoever of them
     * votes first, no lease stands in the way. */
    bool heir_sure;
    struct term term; /* the highest promised anywhere */
    uint64_t commit;  /* highest known to be committed anywhere; never falls */
    uint32_t engine; /* the highest that a leader of this log has had (WIRE_ENGINE); 0: not known */
    bool log_empty;  /* nobody that answers has a log */
    const struct history *history; /* of the node with the newest last term; may have no entry */
    const struct roster *roster;   /* proxies that greeted a node within two seconds or so */
};
/* What points into the lookout is valid until the next call. */
void lookout_view(struct lookout *l, uint64_t now_ns, struct lookout_view *out);

#endif
