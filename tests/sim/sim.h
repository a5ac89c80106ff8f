/* Sizes that the parts of the simulator share. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_NODES_MAX = 9, SIM_PAIRS_MAX = 3, SIM_PROCS = SIM_NODES_MAX + 2 * SIM_PAIRS_MAX };

struct world;
struct event;

#endif
