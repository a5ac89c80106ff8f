/* A load that knows what must be true. Each key has one writer, which makes its value grow: SET to
 * the next number, INCR, or a MULTI…EXEC that sets two keys to the same number. Readers read any
 * key at any time. So for every key, at every moment, these are known:
 *
 *     acked    the highest value whose write was answered
 *     seen     the highest value that anybody has read
 *     sent     the highest value that was ever sent
 *
 * and every read that is sent must return v with  max(acked, seen as of its sending) <= v <= sent,
 * and so must the first read after any crash: an acknowledged write is never lost, and what was
 * once visible never goes away. A value whose write was refused must never be seen.
 *
 * Besides, what happened to each key is recorded, and judged: whether one Redis would have answered
 * so (tests/sim/linear.h). A key with a long history rests until what is on its way has been
 * answered and it was read once more; then its history begins anew with that value. A history that
 * can't be judged fails the test.
 *
 * One thread, several connections, pipelined. Violations fail the running test. */
#ifndef TESTS_SYSTEM_LOAD_H
#define TESTS_SYSTEM_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct load;

enum { LOAD_PORTS_MAX = 8 };

struct load_options {
    int port;
    int more_ports[LOAD_PORTS_MAX - 1]; /* over which connections are spread as well; 0: the end */
    unsigned seed;
    unsigned writers, readers; /* connections; 0: 4 of each */
    unsigned depth;            /* commands in flight on each; 0: 8 */
};

struct load_counts {
    uint64_t writes_acked, reads_done;
    uint64_t refused;        /* writes that were answered -NOREPLICAS */
    uint64_t loading;        /* answers -LOADING, and reads' -MASTERDOWN (no lease) */
    uint64_t closed;         /* connections closed by the other side, or not to be made */
    uint64_t unknown;        /* writes on the way when their connection was closed */
    uint64_t acked_sent_ns;  /* when the write was sent that was acknowledged last */
    uint64_t latency_max_us; /* of all replies since load_counts_clear */
};

struct load_histories {
    uint64_t judged, operations;
};

struct load *load_create(const struct load_options *options);
void load_destroy(struct load *l);

/* Connects what is not connected, and keeps the load going for that long, or until `enough` (may be
 * NULL) says so. Connections that were closed are made again. */
void load_run(struct load *l, uint64_t ms, bool (*enough)(void *arg), void *arg);

/* Lets what is in flight come to its end, up to timeout_ms: false if it did not. */
bool load_settle(struct load *l, uint64_t timeout_ms);

/* The other side has been killed: takes what still arrives, and closes all connections. */
void load_hang_up(struct load *l);

/* Reads every key over a new connection and compares, and judges the histories up to here; from
 * then on these values are the base. Only after load_settle or load_hang_up. */
void load_check(struct load *l);

struct load_counts load_counts(const struct load *l);
void load_counts_clear(struct load *l);
/* Since load_create. */
struct load_histories load_histories(const struct load *l);

/* Any other error reply than these fails the test at once. */

#endif
