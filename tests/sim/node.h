/* A log node: the product's acceptor over the product's store, on a disk in memory. What it
 * answers leaves when its disk is done; a disk error ends it, as it does the product. */
#ifndef TESTS_SIM_NODE_H
#define TESTS_SIM_NODE_H

#include "logsvc/acceptor.h"
#include "logsvc/pack_pace.h"
#include "logsvc/scrub.h"
#include "logsvc/store.h"
#include "tests/lib/fake_disk.h"
#include "tests/sim/network.h"
#include "tests/sim/shadow.h"

enum { NODE_OUTBOX = 16, NODE_STARTS_MAX = 5 };

/* A snapshot that is being received. */
struct node_upload {
    bool active, linked;
    uint64_t session, term, offset;
    unsigned link;
    uint64_t heard; /* on the node's clock */
};

struct node {
    struct fake_disk *disk;
    struct store *store;
    struct acceptor *acceptor;
    struct shadow shadow;
    bool flush_due, tick_due, scrub_due, pack_due;
    struct scrub scrub;
    struct pack_pace pack;
    unsigned rounds;     /* of the scrubber, in this life */
    uint64_t syncs_seen; /* of the disk, before this step */

    bool exists;  /* it was ever started */
    bool damaged; /* bits were flipped or old files put back; bounded to a minority */
    bool votes_rotted, votes_old; /* … those in the slots of its votes */
    bool lost;                    /* it refuses to start for good */
    unsigned failed_starts;       /* in a row */
    bool full;                    /* its disk has no room */
    uint64_t slow_until, slow_ns; /* each sync may take as long */
    uint64_t commit_seen;         /* what it knows to be committed, in this life */

    /* The request that is being handled, and the answers that wait for the disk. */
    const struct wire_msg *request;
    struct packet *outbox[NODE_OUTBOX];
    unsigned outbox_count;
    bool refused; /* by one of them */

    /* For the invariants. */
    uint64_t session_term, session; /* newest session that it accepted, in this life … */
    bool session_elected;           /* … and the leader in it */
    struct node_upload upload;
    uint64_t accepted_at; /* real time of the last append that it accepted, ever */
    bool accepted_any;
};

void node_init(struct world *w, unsigned node);
/* Its machine comes back with an empty disk, under the same node id. */
void node_lose_disk(struct world *w, unsigned node);
void node_fini(struct world *w, unsigned node);
void node_start(struct world *w, unsigned node);
/* Ends the process, or the machine: then what is not durable is gone. It restarts after a while. */
void node_crash(struct world *w, unsigned node, enum fake_disk_loss loss, uint64_t back_ns);

void node_message(struct world *w, unsigned node, unsigned from, const struct wire_msg *msg);
void node_flush(struct world *w, unsigned node);
void node_tick(struct world *w, unsigned node);
/* Looks after its disk, as server.c does. */
void node_scrub(struct world *w, unsigned node);
/* Packs, as server.c does, but without a thread. */
void node_pack(struct world *w, unsigned node);
/* A party's connection to it was closed. */
void node_link_closed(struct world *w, unsigned node, unsigned from);

void node_name(unsigned node, char out[16]);

#endif
