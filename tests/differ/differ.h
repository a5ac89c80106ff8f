/* The differential tester: random programs on a plain Redis and on Holdfast, until the commands or
 * the time are used up; what differs is shrunk and printed. */
#ifndef TESTS_DIFFER_DIFFER_H
#define TESTS_DIFFER_DIFFER_H

#include "tests/differ/stage.h"

#include <stdint.h>

struct differ_options {
    uint64_t seed;
    uint64_t program;            /* only this one, by the seed that a difference tells; 0: any */
    int resp;                    /* 2, 3; 0: both in turn */
    unsigned long long commands; /* 0: no end */
    unsigned seconds;            /* 0: no end */
    unsigned differences;        /* after which it stops */
    bool verbose;
    enum stage_through through;
    bool tally; /* tells how often each command was said, and how it was answered */
};

/* The number of differences. */
unsigned differ_run(struct cluster *cluster, const struct differ_options *options);

/* Servers as it needs them: with one proxy, and with two. */
extern const struct cluster_options differ_cluster, differ_cluster_of_two;

#endif
