/* Checks one key's history for linearizability: whether there is an order of the operations, each
 * at some moment between its call and its return, in which a single Redis would have answered so.
 * Wing and Gong's search, with the sets of operations and states that led nowhere remembered (as
 * Lowe's). A write whose outcome is not known may have been at any time after its call, or never.
 * Histories of SET and GET alone, with each value set once, need no search and are always judged.
 */
#ifndef TESTS_SIM_LINEAR_H
#define TESTS_SIM_LINEAR_H

#include "tests/sim/kv.h"

#define LINEAR_UNKNOWN UINT64_MAX

struct linear_op {
    uint64_t call;
    uint64_t ret; /* LINEAR_UNKNOWN: nobody knows whether it was done */
    enum kv_command command;
    bool counter;
    uint64_t token;
    uint64_t answer;
};

struct linear_history {
    struct linear_op *ops;
    size_t count, cap;
    uint64_t begin; /* the key's state before them (kv.h); 0: it does not exist */
};

enum { LINEAR_OPS_MAX = 4096 };

enum linear_verdict {
    LINEAR_OK,
    LINEAR_VIOLATED,
    LINEAR_UNDECIDED, /* given up: too many possibilities (nothing is claimed then) */
};

void linear_add(struct linear_history *h, const struct linear_op *op);
void linear_fini(struct linear_history *h);

/* steps_max bounds the search. At most LINEAR_OPS_MAX operations. The order of the array means
 * nothing. */
enum linear_verdict linear_check(const struct linear_history *h, uint64_t steps_max);

#endif
