/* What is true, seen from outside: what every leader wrote, what is committed, who may serve. Every
 * part of the simulator tells it each step, and the invariants are checked against it at once. */
#ifndef TESTS_SIM_TRUTH_H
#define TESTS_SIM_TRUTH_H

#include "common/buf.h"
#include "logsvc/conf.h"
#include "logsvc/history.h"
#include "tests/sim/kv.h"
#include "tests/sim/sim.h"

/* The invariants, and who checks them. */
#define TRUTH_INVARIANT_MAP(X)                                                                     \
    X(I1_ONE_LEADER, "I1: one leader for each term; a node grants a term once")                    \
    X(I2_LOG_MATCHING, "I2: the same term and offset, the same bytes, on every node")              \
    X(I3_LEADER_COMPLETE, "I3: what is committed never changes, and every later leader has it")    \
    X(I4_TERMS_RISE, "I4: terms never fall along a log")                                           \
    X(I5_NOTHING_GOES_BACK, "I5: what a node promised is there after any crash")                   \
    X(I6_NO_COMMITTED_CUT, "I6: nothing committed is cut where it counted")                        \
    X(I7_COMMIT_RULE, "I7: committed is what a majority acknowledged in this term")                \
    X(I8_ONE_CONFIGURATION, "I8: one generation, one configuration")                               \
    X(I9_LEASE, "I9: never may two proxies serve at the same moment")                              \
    X(I10_CLIENTS, "I10: clients see one linearizable Redis, and only what is committed")          \
    X(I11_REDIS_IS_LOG, "I11: at a term's begin Redis is what the log makes")                      \
    X(I12_CONTIGUOUS, "I12: appends without gaps; what an old session says has no effect")         \
    X(I13_LIVENESS, "I13: once the faults are over, the cluster commits again")                    \
    X(I14_NO_SILENT_LOSS, "I14: a node that lost something knows it and does not vouch")           \
    X(I15_RESTORABLE, "I15: any quorum's snapshots and logs make what is committed")               \
    X(I16_SNAPSHOT_WHOLE, "I16: no half, mixed or rotten snapshot is handed out or used")          \
    X(SIM_ITSELF, "the simulator's own state")

enum truth_invariant {
#define TRUTH_ENUM(name, text) name,
    TRUTH_INVARIANT_MAP(TRUTH_ENUM)
#undef TRUTH_ENUM
};

const char *truth_invariant_text(enum truth_invariant i);

/* A stretch of log of one term. */
struct truth_stretch {
    uint64_t term, begin;
};

/* A configuration that somebody had. */
struct truth_conf {
    struct conf_id id;
    uint32_t crc;
};

/* A term, once somebody was elected in it. */
struct truth_term {
    uint32_t granted; /* bits: nodes that gave it their vote */
    uint32_t certain; /* … and vouch for their logs */
    unsigned winner;  /* pair + 1; 0: nobody */
    bool led;
    uint64_t begin;
    uint64_t birth;                  /* of the data that its leader's log was begun with */
    struct buf bytes;                /* that its leader wrote from begin on */
    struct truth_stretch *stretches; /* of its leader's log, its own last */
    size_t stretch_count;
    bool committed_any;
    uint64_t committed_to; /* by its leader */
    uint64_t open_at;      /* the first byte that it has not committed was written then or before */
};

struct truth {
    struct truth_term *terms;
    size_t term_count;
    struct truth_conf *confs;
    size_t conf_count, conf_cap;
    struct disk_id lost[SIM_NODES_MAX]; /* disks that were members and are gone */
    unsigned lost_count;

    bool committed_any;
    uint64_t committed_begin, committed_end;
    struct truth_stretch *committed; /* each ends where the next begins */
    size_t committed_count, committed_cap;
    uint64_t *moments; /* what was committed, in turn; each ends a unit */
    size_t moment_count, moment_cap;
    uint64_t birth;            /* of the data that the log was begun with */
    struct kv state;           /* what the committed log makes */
    struct kv lookup, decoded; /* for comparisons */
    uint64_t trimmed_to;       /* a leader has said that what is below may be forgotten */
    struct buf replay;

    /* When each pair may serve, as it believes itself; in real time. */
    uint64_t serves_from[SIM_PAIRS_MAX], serves_to[SIM_PAIRS_MAX];
};

void truth_fini(struct truth *t);

void truth_violation(struct world *w, enum truth_invariant i, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A node has granted a term. */
void truth_granted(struct world *w, unsigned node, uint64_t term, bool certain);
/* Somebody has this configuration. */
void truth_conf(struct world *w, const struct conf *c, const char *who);
/* A pair's proposer may have made a new configuration. */
void truth_follow_conf(struct world *w, unsigned pair);
/* A node's disk is about to be replaced by an empty one. */
void truth_disk_lost(struct world *w, unsigned node);
/* A pair's proposer was elected. */
void truth_elected(struct world *w, unsigned pair);
/* It begins to lead with this Redis, whose stream from begin on is there already or empty. */
void truth_leads(struct world *w, unsigned pair, uint64_t begin);
/* The leader of term appends to its log. */
void truth_appends(struct world *w, unsigned pair, const uint8_t *bytes, size_t size);
/* The bytes that this term's leader wrote there; NULL: it did not write all of them. */
const uint8_t *truth_bytes(const struct truth *t, uint64_t term, uint64_t begin, size_t size);
uint64_t truth_open_at(const struct truth *t, uint64_t term);
/* Whether the log of the leader of term `later` goes on from that of term. */
bool truth_descends(const struct truth *t, uint64_t later, uint64_t term);
/* A node says that it has adopted that term's log. */
void truth_adopted(struct world *w, unsigned node, uint64_t term);
/* The leader says that everything up to offset is committed. */
void truth_commits(struct world *w, unsigned pair, uint64_t offset);
/* A reply leaves that reveals effects up to this offset. */
void truth_replies(struct world *w, unsigned pair, uint64_t effect);

uint64_t truth_committed_end(const struct truth *t);
/* A moment between the two of which the committed log knows; `to` if there is none. */
uint64_t truth_moment(struct world *w, uint64_t from, uint64_t to);
/* What the committed log makes up to there; false: so much is not committed, or it is no unit's
 * end. */
bool truth_state_at(struct truth *t, uint64_t offset, struct kv *out);

/* What a pair believes of its lease has changed; and a check that nobody overlapped since `from`.
 */
void truth_lease(struct world *w, unsigned pair);
void truth_check_leases(struct world *w, uint64_t from);
/* A node in `promised` takes the release of a leader of that term: no lease may run that it could
 * have given. */
void truth_released(struct world *w, unsigned node, uint64_t term, uint64_t promised);

#endif
