/* A whole log cluster (acceptors over fake storages, proposers, a network) on virtual time, driven
 * by one seed: the same seed gives the same run. It links the product's acceptor, proposer and wire
 * code; what it plays is the world around them: clocks that drift, a network that loses, delays,
 * doubles and reorders messages, processes that pause and die, disks that lose what was not
 * flushed, and one disk whose tail rots.
 *
 * Checked at every step (LOG practice: I1 … I14, as far as they show in the log alone):
 *   - one leader for each term;
 *   - who is elected holds every committed byte, unchanged (leader completeness);
 *   - what a leader calls committed is durable and equal on a majority, and stays so;
 *   - no node knows a higher commit offset than the cluster has;
 *   - terms on disk never fall;
 *   - never do two proposers believe at one moment that they may serve;
 *   - after the faults have stopped the commit offset moves on and all nodes become equal. */
#ifndef TESTS_LIB_LOG_SIM_H
#define TESTS_LIB_LOG_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct log_sim_options {
    uint64_t seed;
    unsigned acceptors; /* 0: 3 */
    unsigned proposers; /* 0: drawn from 1 … 3 */
    uint32_t fault_ms;  /* how long faults happen; 0: none */
    bool trace;         /* tell on standard error what happens */
};

struct log_sim_result {
    char violation[256]; /* "": none */
    uint64_t virtual_ms;
    uint64_t events, messages, lost, crashes, pauses, rots;
    uint64_t elections, committed_bytes, catchups, releases;
};

void log_sim_run(const struct log_sim_options *options, struct log_sim_result *result);

#endif
