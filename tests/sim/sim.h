/* Sizes that the parts of the simulator share. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parties are those that talk to log nodes: the proxies, then the snapshotters. */
enum {
    SIM_NODES_MAX = 9,
    SIM_PAIRS_MAX = 3,
    SIM_SNAPPERS_MAX = 2,
    SIM_PARTIES_MAX = SIM_PAIRS_MAX + SIM_SNAPPERS_MAX,
    SIM_PROCS = SIM_NODES_MAX + SIM_PARTIES_MAX + SIM_PAIRS_MAX
};

struct world;
struct event;

#endif
