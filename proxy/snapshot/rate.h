/* How many bytes may go now, so that no more than so many go in a second: a bucket that fills as
 * time goes by, up to a burst, and that may be overdrawn. Pure. */
#ifndef PROXY_SNAPSHOT_RATE_H
#define PROXY_SNAPSHOT_RATE_H

#include <stddef.h>
#include <stdint.h>

struct rate {
    uint64_t per_s; /* bytes; 0: as many as there are */
    uint64_t burst_bytes;
    int64_t bytes; /* that may go now; below 0: so many were too many */
    uint64_t at_ns;
};

/* Begins empty. burst_bytes: what may go at once after a rest. */
void rate_init(struct rate *r, uint64_t per_s, uint64_t burst_bytes, uint64_t now_ns);
/* What is allowed counts from the last call of this. */
void rate_tick(struct rate *r, uint64_t now_ns);
/* Bytes that may go now. */
size_t rate_room(const struct rate *r);
/* They went, or go in any case. */
void rate_take(struct rate *r, size_t bytes);
/* How long it takes to make up for what was too much; 0: it wasn't. */
uint64_t rate_debt_ns(const struct rate *r);

#endif
