/* A whole cluster on virtual time, driven by one seed: log nodes (the product's acceptors and
 * stores over disks in memory), pairs of a proxy (the product's proposer, reader, tracker and
 * effect reader) and a Redis, clients, snapshotters (with the product's reader, snapshot ship and
 * catalogue), and a network between them and the nodes. The same seed gives the same run.
 *
 *   clients ◀─▶ pair: proxy ◀─▶ redis        truth  what every leader wrote, what is committed; the
 *                  ▲                                invariants
 *               network                      faults what breaks, and when
 *                  ▼
 *                node: acceptor ▶ shadow ▶ store ▶ fake disk
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "common/clock.h"
#include "common/err.h"
#include "common/random.h"
#include "tests/sim/clients.h"
#include "tests/sim/events.h"
#include "tests/sim/faults.h"
#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "tests/sim/pair.h"
#include "tests/sim/snapper.h"
#include "tests/sim/snaps.h"
#include "tests/sim/truth.h"

/* Processes are numbered: nodes, then the proxies, the snapshotters, and the proxies' Redises. */
enum {
    WORLD_NODES_MAX = SIM_NODES_MAX,
    WORLD_PAIRS_MAX = SIM_PAIRS_MAX,
    WORLD_PAIR = SIM_NODES_MAX,
    WORLD_SNAPPER = WORLD_PAIR + SIM_PAIRS_MAX,
    WORLD_REDIS = WORLD_SNAPPER + SIM_SNAPPERS_MAX,
    WORLD_PROCS = SIM_PROCS,
};

struct process {
    bool up;
    unsigned life;
    uint64_t paused_until;
    uint64_t busy_until; /* waits for its disk */
    int64_t drift_ppm;
    uint64_t clock_base;
    uint64_t disk_at;     /* of the EVENT_DISK_DONE that is on its way; 0: none */
    struct event *parked; /* while it is paused or waits */
    size_t parked_count, parked_cap;
    unsigned died_life; /* the last life that ended, and when */
    uint64_t died_at;
};

/* What a run did, for people; also what shows that the simulator does anything. */
#define WORLD_COUNT_MAP(X)                                                                         \
    X(COUNT_EVENTS, "events")                                                                      \
    X(COUNT_LAST_WORDS, "last words of proxies that died")                                         \
    X(COUNT_RELEASES_BESIDE, "releases of who was not accepted there, in that session")            \
    X(COUNT_MESSAGES, "messages")                                                                  \
    X(COUNT_ELECTIONS, "elections")                                                                \
    X(COUNT_LEADS, "terms led")                                                                    \
    X(COUNT_COMMITS, "commits")                                                                    \
    X(COUNT_BYTES, "bytes committed")                                                              \
    X(COUNT_REBUILDS, "Redis rebuilt")                                                             \
    X(COUNT_ATTACHES, "Redis taken as it is")                                                      \
    X(COUNT_READS, "log reads")                                                                    \
    X(COUNT_OPERATIONS, "client operations")                                                       \
    X(COUNT_UNKNOWN, "outcomes unknown")                                                           \
    X(COUNT_REFUSED, "clients refused")                                                            \
    X(COUNT_ASYNC, "writes answered before their commit, or at once")                              \
    X(COUNT_ASYNC_OPEN, "… of which their leader saw no commit")                                   \
    X(COUNT_ASYNC_LATE, "… refused, since the log was late")                                       \
    X(COUNT_HISTORIES, "histories checked")                                                        \
    X(COUNT_UNDECIDED, "histories undecided")                                                      \
    X(COUNT_UNCERTAIN, "uncertain nodes")                                                          \
    X(COUNT_MENDS, "pieces of log mended")                                                         \
    X(COUNT_PACKS, "segments packed")                                                              \
    X(COUNT_TRIMS, "logs trimmed")                                                                 \
    X(COUNT_REBASES, "logs begun anew behind")                                                     \
    X(COUNT_SNAPS_MADE, "snapshots made")                                                          \
    X(COUNT_SNAPS_SHIPPED, "… stored on a quorum")                                                 \
    X(COUNT_SNAPS_FAILED, "… not stored")                                                          \
    X(COUNT_SNAPS_STORED, "… stored on a node")                                                    \
    X(COUNT_SNAPS_MARKED, "… marked as verified")                                                  \
    X(COUNT_SNAPS_DELETED, "… deleted from a node")                                                \
    X(COUNT_SNAPS_REPAIRED, "rounds in which nodes were given what they lacked")                   \
    X(COUNT_SNAPS_USED, "… begun with")                                                            \
    X(COUNT_SNAPS_GIVEN_UP, "… that could not be fetched")                                         \
    X(COUNT_RESTORES, "restores of a moment")                                                      \
    X(COUNT_BIRTHS_FORGOTTEN, "logs whose first snapshot can't be told any more")                  \
    X(COUNT_CHANGES, "members replaced")                                                           \
    X(COUNT_NODES_LOST, "damaged nodes refused")

enum world_count {
#define WORLD_COUNT_ENUM(name, text) name,
    WORLD_COUNT_MAP(WORLD_COUNT_ENUM) FAULT_COUNT_MAP(WORLD_COUNT_ENUM)
#undef WORLD_COUNT_ENUM
        WORLD_COUNTS,
};

const char *world_count_name(enum world_count c);

struct world_options {
    uint64_t seed;
    unsigned nodes;    /* 0: drawn, 3 or 5 */
    unsigned pairs;    /* 0: drawn, 2 or 3 */
    uint64_t fault_ms; /* 0: drawn; UINT64_MAX: no faults at all */
    bool trace;        /* tell on standard error what happens */
    bool messages;     /* … and every message that arrives */
};

struct world_result {
    char violation[320]; /* "": none */
    enum truth_invariant broken;
    uint64_t virtual_ns;
    uint64_t digest; /* of everything that happened */
    uint64_t counts[WORLD_COUNTS];
};

struct world {
    struct world_options options;
    struct world_result *result;
    struct random random;
    uint64_t now;
    struct events events;
    struct process procs[WORLD_PROCS];
    unsigned seeds_count;              /* nodes that the proxies are configured with */
    unsigned nodes_count, pairs_count; /* that were ever there */
    unsigned snappers_count;
    struct node nodes[WORLD_NODES_MAX];
    struct pair pairs[WORLD_PAIRS_MAX];
    struct snapper snappers[SIM_SNAPPERS_MAX];
    struct snaps snaps;
    struct network network;
    struct clients clients;
    struct truth truth;
    struct faults faults;
    uint32_t lease_ms, heartbeat_ms;
    uint64_t node_turn_ns;
};

/* Runs one seed. One at a time in a process. */
void world_run(const struct world_options *options, struct world_result *result);

/* --- for the parts of the simulator --- */

static inline uint64_t world_below(struct world *w, uint64_t limit)
{
    return random_below(&w->random, limit);
}

static inline bool world_chance(struct world *w, unsigned percent)
{
    return world_below(w, 100) < percent;
}

static inline uint64_t world_ms(uint64_t ms)
{
    return ms * CLOCK_NS_PER_MS;
}

static inline void world_count(struct world *w, enum world_count c)
{
    w->result->counts[c]++;
}

/* What a process' clock shows now; when (real time) it will show something. */
uint64_t world_clock(const struct world *w, unsigned proc);
uint64_t world_real(const struct world *w, unsigned proc, uint64_t local_ns);

/* An event for the present life of proc after a while. */
void world_later(struct world *w, uint64_t delay_ns, enum event_kind kind, unsigned proc,
                 unsigned peer, uint64_t arg);

/* A process that was paused goes on, with all that has come in meanwhile. */
void world_resume(struct world *w, unsigned proc);
/* Another node is set up, of which nobody knows yet; its number. */
unsigned world_add_node(struct world *w);
/* A process ends. */
void world_died(struct world *w, unsigned proc, uint64_t back_ns);

/* Whether a violation has been found. */
static inline bool world_failed(const struct world *w)
{
    return w->result->violation[0] != '\0';
}

void world_trace(const struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
