/* Finds the last commit at or before a time: by bisection over the log's records, each of which
 * bears the wall time at which its last bytes came from Redis. Its owner reads the record that
 * holds a given byte and hands its header in, a few dozen times at most. Pure.
 *
 * What is found is a boundary between records, at the end of a unit: the record before it is not
 * later than that time, the one behind it is. Where the wall clocks of the log's leaders have gone
 * back, there may be several such places; one of them is found. */
#ifndef PROXY_CTL_SEEK_H
#define PROXY_CTL_SEEK_H

#include "logsvc/record.h"

struct seek {
    uint64_t wall_ms;
    uint64_t low, high; /* between them is what is looked for */
    uint64_t floor;     /* where the log begins */
    bool low_known;     /* `before` is the record that ends at low */
    bool high_known;    /* `behind` is the record that begins at high */
    bool walking;       /* back to the end of a unit */
    struct record before, behind;
};

/* The log is to be looked through from begin to end, which are ends of units. */
void seek_start(struct seek *s, uint64_t begin, uint64_t end, uint64_t wall_ms);

/* Whether a record is wanted: the one that holds the byte behind *offset. False: it is done. */
bool seek_wants(const struct seek *s, uint64_t *offset);
/* That record. ERR_CORRUPT: it does not hold that byte. */
int seek_take(struct seek *s, const struct record *r) MUST_CHECK;

/* Once done: the boundary. */
static inline uint64_t seek_offset(const struct seek *s)
{
    return s->low;
}
/* The record before it and the one behind it; NULL: there is none between begin and end. */
const struct record *seek_before(const struct seek *s);
const struct record *seek_behind(const struct seek *s);

#endif
