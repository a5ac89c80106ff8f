/* What breaks, and when. Each seed draws which faults it has and how strong they are (swarm
 * testing), so that one kind does not hide another. Besides single faults there are scenes: known
 * patterns of several steps that random faults would seldom hit. */
#ifndef TESTS_SIM_FAULTS_H
#define TESTS_SIM_FAULTS_H

#include "logsvc/client/retention.h"
#include "logsvc/scrub.h"
#include "tests/sim/sim.h"

#define FAULT_COUNT_MAP(X)                                                                         \
    X(FAULT_LOSS, "messages lost")                                                                 \
    X(FAULT_CUT, "messages into a partition")                                                      \
    X(FAULT_DELAY, "messages delayed")                                                             \
    X(FAULT_DUPLICATE, "messages doubled")                                                         \
    X(FAULT_GARBLE, "messages garbled")                                                            \
    X(FAULT_LATE, "messages of an old connection")                                                 \
    X(FAULT_RECONNECT, "reconnections")                                                            \
    X(FAULT_PARTITION, "partitions")                                                               \
    X(FAULT_ISOLATE, "leaders isolated")                                                           \
    X(FAULT_LONELY, "leaders left with one node")                                                  \
    X(FAULT_SLOW_ANSWERS, "leaders answered late, then isolated")                                  \
    X(FAULT_KILL_NODE, "nodes killed")                                                             \
    X(FAULT_KILL_PROXY, "proxies killed")                                                          \
    X(FAULT_KILL_REDIS, "Redises killed")                                                          \
    X(FAULT_BREAK_REDIS, "links to Redis broken")                                                  \
    X(FAULT_DISK_DIES, "deaths within a disk operation")                                           \
    X(FAULT_POWER, "power failures of all")                                                        \
    X(FAULT_RESTART_NODES, "restarts of all nodes under a leader")                                 \
    X(FAULT_PAUSE, "pauses")                                                                       \
    X(FAULT_REPLY_PAUSE, "pauses before a reply")                                                  \
    X(FAULT_PAUSE_KILL, "pause-kills")                                                             \
    X(FAULT_RELEASE, "hand-overs")                                                                 \
    X(FAULT_EIO, "disk operations failed")                                                         \
    X(FAULT_READ_EIO, "reads from disk failed")                                                    \
    X(FAULT_BAD_SECTOR, "disk blocks that can't be read any more")                                 \
    X(FAULT_NO_SPACE, "full disks")                                                                \
    X(FAULT_SLOW_SYNC, "slow syncs")                                                               \
    X(FAULT_REPLACE, "replacements begun")                                                         \
    X(FAULT_EMPTY_DISK, "empty disks under an old node id")                                        \
    X(FAULT_KILL_SNAPPER, "snapshotters killed")                                                   \
    X(FAULT_FILE_ROTS, "snapshots that rot in their maker's file")                                 \
    X(FAULT_BIT_FLIP, "bits flipped")                                                              \
    X(FAULT_OLD_FILE, "old files put back")

struct faults {
    bool on;
    unsigned kinds;   /* bits of enum fault_kind: what this seed has */
    uint64_t pace_ns; /* mean time between two faults */
    uint64_t length_ns;

    /* Network. */
    unsigned loss_permille, dup_permille, garble_permille, tail_percent, late_percent;
    unsigned busy_percent;
    uint64_t delay_min_ns, delay_ns, tail_ns;
    bool in_order;              /* within a connection */
    unsigned impatient_percent; /* pre-votes that are told that nobody leads */
    bool hurry;                 /* … all of them */

    /* Machines. */
    uint64_t sync_ns, slow_max_ns, pause_max_ns;
    unsigned reply_pause_permille;
    bool founded; /* a quorum knows that the log is founded */
    struct scrub_config scrub;
    uint64_t pack_bytes_per_s; /* 0: nothing is packed */
    unsigned victims;          /* bits: nodes that may be damaged */

    /* Work. */
    uint64_t client_delay_ns, client_patience_ns, redis_delay_ns, think_ns;
    unsigned reads_percent;
    bool eager;       /* the proxy lets requests in before it may serve; their replies wait */
    uint64_t deaf_ns; /* a leader whose lease has been over for so long stops; 0: it waits */
    size_t append_max_bytes, window_max_bytes;
    bool async;                     /* some clients wait for no commit … */
    uint64_t async_age_ns;          /* … while no write waits for its own longer than this */
    struct retention_config retain; /* what is kept of snapshots and log */
    uint64_t retain_ns;             /* between two looks at it */
    unsigned retain_rounds;         /* that a node may lack a snapshot */
    uint64_t snapper_rest_ns;       /* most time between two snapshots */
    uint32_t piece_max_bytes;       /* of a snapshot in one message */
    unsigned history_max;           /* entries of the log's history; 0: as in the product */

    /* An old copy of a file, kept to be put back. */
    char old_path[64];
    unsigned old_node;
    uint8_t *old_bytes;
    size_t old_size;
};

/* Draws what this seed has, and begins. */
void faults_init(struct world *w);
void faults_fini(struct world *w);
/* Something breaks now. */
void faults_happen(struct world *w);
/* The next step of a scene. */
void faults_scene(struct world *w, const struct event *e);
/* Everything works from now on, but what was damaged stays so. */
void faults_stop(struct world *w);

#endif
