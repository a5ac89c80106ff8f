/* A proxy and its Redis. The proxy is the product's proposer, reader, tracker and effect reader,
 * and around them what proxy/node/role.c and proxy_turn do with them: campaign, bring Redis to the
 * log's end, lead, take in the stream, withhold replies, look at the lease last.
 *
 *   REST ─▶ CAMPAIGN ─elected▶ BRING ─Redis is where the log ends▶ LEAD
 *     ▲──────────deposed, Redis lost, released, reading failed───────┘
 *
 * Redis executes at once and streams its effects; it keeps nothing when it dies. */
#ifndef TESTS_SIM_PAIR_H
#define TESTS_SIM_PAIR_H

#include "logsvc/client/proposer.h"
#include "logsvc/client/reader.h"
#include "proxy/clients/tracker.h"
#include "proxy/engine/effects.h"
#include "tests/sim/kv.h"
#include "tests/sim/pair_snaps.h"
#include "tests/sim/sim.h"

enum { PAIR_SLOTS = 32, PAIR_MARKS = 32 };

enum pair_state { PAIR_REST, PAIR_CAMPAIGN, PAIR_BRING, PAIR_LEAD };

struct redis {
    struct kv kv;
    struct replid replid, replid2; /* the second as long as history agrees: up to second_until */
    uint64_t second_until;
    bool replica; /* it is being fed: it has no stream of its own */
    uint64_t offset;
    struct buf stream; /* the backlog, from stream_begin on */
    uint64_t stream_begin;
    unsigned run; /* counts its lives */
};

/* A request on its way through the proxy. */
struct pair_request {
    struct tracker_waiter waiter; /* first */
    bool used;
    uint32_t serial;
    unsigned client;
    uint64_t number; /* of the client's request */
    struct kv_op op;
    uint64_t hashes[2];
    uint64_t answer;
    uint64_t bound; /* Redis' offset behind it */
    uint64_t admitted_at;
    uint64_t effect; /* the last effect on the keys that it names */
    bool executed;
};

/* When the stream was read up to an offset. */
struct pair_mark {
    uint64_t offset, at;
};

struct pair {
    struct redis redis;

    struct proposer *proposer;
    int node_of[PROPOSER_NODES_MAX]; /* which node a slot is linked to; -1: none */
    struct reader *reader;
    struct pair_snaps snaps;
    struct tracker *tracker;
    struct effects *effects;
    enum pair_state state;
    bool served; /* may have served since it leads */
    uint64_t retry_at;
    uint64_t campaign_at; /* since when it campaigns */
    uint64_t tick_at;     /* real time of the event that is due; 0: none */

    /* Bringing Redis to the log's end. */
    bool reading, brought;
    unsigned redis_run; /* the life of Redis that it is about */
    uint64_t lead_at;

    /* Leading. */
    unsigned link; /* of the connections to Redis; counts up */
    bool streaming;
    bool lost_due;                /* it will see soon that the link is gone */
    uint64_t reply_at, stream_at; /* arrival of the last one on each connection */
    uint64_t stream_told;         /* offset up to which arrivals are scheduled */
    bool appended;
    bool commit_known; /* in this term */
    uint64_t commit_seen;
    struct pair_mark marks[PAIR_MARKS]; /* by offset; what is not committed; the oldest are kept */
    unsigned mark_count;
    uint32_t serial;
    struct pair_request slots[PAIR_SLOTS];

    /* For the invariants: the newest session that was used with each node. */
    uint64_t session_sent[SIM_NODES_MAX];
    struct conf conf;    /* of the proposer, as last seen */
    uint64_t joint_sync; /* committed when it made its joint configuration */
};

/* Which pair a callback is for. */
struct pair_ctx {
    struct world *world;
    unsigned pair;
};
struct pair_ctx *pair_ctx(unsigned pair);
/* Of its proposer, reader, ship and catalogue: hands a message to the network. */
bool pair_send(void *ctx, unsigned slot, const struct wire_msg *msg);

/* What the log is begun with is stored on all nodes, or not: err. */
void pair_snaps_shipped(struct world *w, unsigned pair, int err);
/* A snapshot was fetched, or not: err. */
void pair_snaps_fetched(struct world *w, unsigned pair, int err);

void pair_init(struct world *w, unsigned pair);
void pair_fini(struct world *w, unsigned pair);
void pair_start(struct world *w, unsigned pair);
void pair_crash(struct world *w, unsigned pair, uint64_t back_ns);
void redis_start(struct world *w, unsigned pair);
void redis_crash(struct world *w, unsigned pair, uint64_t back_ns);
/* The connections between proxy and Redis break; both live. */
void pair_break_redis(struct world *w, unsigned pair);
/* It stops leading of its own will. */
void pair_release(struct world *w, unsigned pair);
/* The link to a node comes up or goes down. */
void pair_link(struct world *w, unsigned pair, unsigned node, bool up);

void pair_message(struct world *w, unsigned pair, unsigned node, struct wire_msg *msg);
void pair_event(struct world *w, unsigned pair, const struct event *e);
/* What follows from anything that happened to the proxy; ends each of its steps. */
void pair_turn(struct world *w, unsigned pair);

/* Its operator: begins to replace a member by the node; false: it can't now. */
bool pair_replace(struct world *w, unsigned pair, const char *old_id, unsigned node);

bool pair_leads(const struct world *w, unsigned pair);

#endif
