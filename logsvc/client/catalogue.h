/* The catalogue: which snapshots the log nodes have, as one list. Asks all nodes, unites what they
 * tell, and has marks set (verified) and snapshots deleted. Pure: time and messages in, messages
 * out, on the channel of snapshots (WIRE_SNAPSHOT); its messages and a snapship's of the same
 * session do not get in each other's way.
 *
 *   IDLE ─catalogue_list─────▶ LISTING ─all that are there, or a quorum and patience▶ listed ─▶
 * IDLE ─catalogue_verified─▶ MARKING ─all that are there, or a quorum and patience▶ done ───▶ IDLE
 *        ─catalogue_delete───▶
 *
 * One thing at a time; a new one gives up what is under way without a word. Lost messages and links
 * only cost time; what a quorum does not answer within ten time-outs has failed. */
#ifndef LOGSVC_CLIENT_CATALOGUE_H
#define LOGSVC_CLIENT_CATALOGUE_H

#include "logsvc/wire.h"

enum { CATALOGUE_NODES_MAX = 16, CATALOGUE_ENTRIES_MAX = 2 * SNAPINFO_LIST_MAX };

struct catalogue_config {
    uint8_t cluster_id[16];
    uint64_t log_id;
    unsigned node_count; /* 1 … CATALOGUE_NODES_MAX; see catalogue_nodes */
    uint64_t session;    /* random, new at every start of the process */
    uint32_t timeout_ms; /* for an answer; 1000 */
    uint32_t retry_ms;   /* after a refusal that may pass; 50 */
};

/* A snapshot, as the nodes that answered have it (sets of nodes: bit i is node i). */
struct catalogue_entry {
    struct snapshot_info info; /* verified_ms: the earliest mark, 0 if there is none */
    uint32_t on;               /* nodes that have it */
    uint32_t verified;         /* of those, where it is marked as verified */
    uint32_t counts;           /* of those, where a Redis may be brought up from it */
    bool stored;               /* a quorum has it */
    bool proven;               /* a quorum has it, marked as verified */
};

/* What a node tells of its log. */
struct catalogue_node {
    bool answered;
    struct term term;
    struct wire_log log; /* log.begin: what is below is forgotten there */
};

struct catalogue_view {
    uint32_t answered; /* the nodes that did */
    bool quorum;       /* enough of them */
    unsigned count;
    const struct catalogue_entry *entries; /* by falling offset; what count is not is undefined */
    const struct catalogue_node *nodes;    /* CATALOGUE_NODES_MAX */
    struct term term;                      /* highest that was told: fences uploads and marks */
    uint64_t begin;  /* least begin of a log that is not empty; UINT64_MAX: there is none */
    uint64_t commit; /* highest commit offset that was told */
};

struct catalogue_events {
    /* Hands a message to the transport for one node; false: the link is busy or down, try again
     * when catalogue_link_ready is called. The message is valid during the call. */
    bool (*send)(void *ctx, unsigned node, const struct wire_msg *msg);
    /* catalogue_list is through: 0, and catalogue_view tells; ERR_TIMEOUT: no quorum has answered,
     * what did is in the view. Comes once, last in a call, and may start something else. */
    void (*listed)(void *ctx, int err);
    /* catalogue_verified or catalogue_delete is through. 0: a quorum has done it (who lacks it
     * counts as done for a deletion only). ERR_REFUSED: so many refused that a quorum can't;
     * catalogue_refusal says why. ERR_STALE: a node has promised a higher term; list again.
     * ERR_TIMEOUT. Comes once, last in a call, and may start something else. */
    void (*done)(void *ctx, int err);
};

struct catalogue;

struct catalogue *catalogue_create(const struct catalogue_config *config,
                                   const struct catalogue_events *events, void *ctx);
/* NULL is allowed. */
void catalogue_destroy(struct catalogue *c);

/* What begins from now on is asked of the nodes of that set (bit i: node i), and more than half of
 * them are a quorum. At creation: the first node_count. */
void catalogue_nodes(struct catalogue *c, uint32_t set);

/* All of these take the caller's clock (CLOCK_BOOTTIME, ns), which never goes back. */

void catalogue_list(struct catalogue *c, uint64_t now_ns);
/* Marks a snapshot that is in the view as verified at that wall time (ms, not 0), on all nodes.
 * Under the view's term. */
void catalogue_verified(struct catalogue *c, uint64_t now_ns, const struct snapshot_info *info,
                        uint64_t verified_ms);
/* Deletes a snapshot that is in the view from all nodes. A node refuses to delete the one that its
 * log stands on: the newest that counts. */
void catalogue_delete(struct catalogue *c, uint64_t now_ns, const struct snapshot_info *info);
void catalogue_stop(struct catalogue *c);
bool catalogue_active(const struct catalogue *c);

/* As listed last; valid until the next listing has ended. Before the first one it is empty. */
void catalogue_view(const struct catalogue *c, struct catalogue_view *out);
/* The newest entry at or below limit that counts on some node and is stored on a quorum; NULL:
 * there is none. */
const struct catalogue_entry *catalogue_newest(const struct catalogue *c, uint64_t limit);
/* Why a node refused last, for people; "" if none did. */
const char *catalogue_refusal(const struct catalogue *c);

/* An answer on WIRE_SNAPSHOT; what is not this catalogue's is ignored. */
void catalogue_receive(struct catalogue *c, uint64_t now_ns, unsigned node,
                       const struct wire_msg *msg);
/* The link to a node came up, went down, or can take a message again. Links are remembered; at
 * creation all are down. */
void catalogue_link_up(struct catalogue *c, uint64_t now_ns, unsigned node, bool up);
void catalogue_link_ready(struct catalogue *c, uint64_t now_ns, unsigned node);
/* Call it at catalogue_next_tick_ns or a little later. */
void catalogue_tick(struct catalogue *c, uint64_t now_ns);
uint64_t catalogue_next_tick_ns(const struct catalogue *c); /* UINT64_MAX: not now */

#endif
