/* How long a follower has been behind, by its own clock alone: when each commit offset was first
 * heard of is noted, and the oldest one that Redis has not applied yet tells. Bounded: what comes
 * close behind another note shares it. Pure. */
#ifndef PROXY_FOLLOW_LAG_H
#define PROXY_FOLLOW_LAG_H

#include <stdint.h>

enum { LAG_MARKS = 64, LAG_GRAIN_MS = 20 };

struct lag_mark {
    uint64_t offset;
    uint64_t at_ns;
};

struct lag {
    struct lag_mark marks[LAG_MARKS]; /* a ring */
    unsigned first, count;
};

/* The log is committed up to offset, as was heard just now. */
void lag_committed(struct lag *l, uint64_t now_ns, uint64_t offset);
/* Redis has applied it up to offset. */
void lag_applied(struct lag *l, uint64_t offset);
/* Since when it is behind; 0: it isn't. */
uint64_t lag_ms(const struct lag *l, uint64_t now_ns);

#endif
