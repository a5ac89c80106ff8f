/* What the files of tests/lib/cluster share: cluster.c (folder, configurations), cluster_process.c
 * (processes), cluster_look.c (what tests ask and wait for). */
#ifndef TESTS_LIB_CLUSTER_STATE_H
#define TESTS_LIB_CLUSTER_STATE_H

#include "tests/lib/cluster.h"

enum {
    CLUSTER_LOG_NODES_MAX = 9,
    CLUSTER_PAIRS_MAX = 5,
    CLUSTER_PROCESSES_MAX = CLUSTER_LOG_NODES_MAX + 2 * CLUSTER_PAIRS_MAX + 6,
    CLUSTER_ARGS_MAX = 64,
    CLUSTER_PATIENCE_MS = 60000,
    CLUSTER_PATH_MAX = 512,
    CLUSTER_QUEUE_MAX = 64,
};

struct cluster_process {
    char name[16];
    char dir[CLUSTER_PATH_MAX];
    int port;
    int relay_port;                /* where others reach it; without relays: port */
    int sentinel_port;             /* of a proxy; 0: none */
    bool redis;                    /* a redis-server */
    const char *const *redis_args; /* its own arguments, or NULL */
    bool sentinel;                 /* a redis-server that is a Sentinel */
    pid_t pid;                     /* 0: not running, as far as we know */
    unsigned long long started;    /* of that pid, so that no stranger is killed who got it later */
};

/* In shared memory; so no pointers to anything that changes after the fork. */
struct cluster {
    char dir[CLUSTER_PATH_MAX];
    char cluster_id[33];
    unsigned tests_begun, tests_passed;
    unsigned log_nodes, pairs;
    size_t count;
    struct cluster_process processes[CLUSTER_PROCESSES_MAX];
    struct relay *relay;            /* NULL: none */
    struct cluster_options options; /* what it points to is constant */
};

struct cluster_process *cluster_process_of(const struct cluster *c, const char *name);

/* A file in its folder. */
void cluster_file_path(const struct cluster_process *p, const char *file, char *path, size_t size);

/* Whether it runs; one that has ended is reaped, if it was ours. */
bool cluster_process_alive(struct cluster_process *p);

/* What /proc/PID/stat says: the state's letter ('\0' if there is no such process) and the start
 * time, in ticks since boot. */
char cluster_process_state(pid_t pid, unsigned long long *started);

/* "proxy" and 2: "proxy2"; valid until the next call but three. */
const char *cluster_name(const char *kind, unsigned i);

#endif
