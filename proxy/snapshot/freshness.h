/* How fresh the newest snapshot is, and whether another is due: when the log behind it has grown
 * large against the snapshot itself, so that loading stays most of what a restore takes. And whose
 * job it is: a proxy's that follows, since a leader's machine has other things to do; the others
 * step in, one after the other, if that one does not get it done. Pure. */
#ifndef PROXY_SNAPSHOT_FRESHNESS_H
#define PROXY_SNAPSHOT_FRESHNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct freshness_settings {
    uint32_t log_percent;   /* of the newest snapshot's size … */
    uint64_t log_min_bytes; /* … and at least so much: the log behind it that makes another due */
    uint64_t retry_ms;      /* pause after one that came to nothing; doubled each time, to 16 times
                               as much */
};

/* A proxy, as far as this matters. */
struct freshness_proxy {
    const char *name;
    bool leads;
    bool able; /* it leads, or its Redis goes along with the log; heard of lately */
};

struct freshness_view {
    uint64_t now_ns;
    bool known; /* what the log nodes have was listed */
    bool found; /* … and there is a snapshot that counts: */
    uint64_t offset, size_bytes;
    uint64_t commit;
    unsigned rank;     /* freshness_rank */
    unsigned failures; /* since one came off */
    uint64_t ended_ns; /* when the last one ended; 0: none has */
    uint64_t due_ns;   /* since when freshness_is_enough; 0: it is not */
};

/* Log behind a snapshot of that size that makes another due. */
uint64_t freshness_threshold(const struct freshness_settings *s, uint64_t size_bytes);

/* Log behind the newest one; 0 while nothing is known. */
uint64_t freshness_log_bytes(const struct freshness_view *v);

/* How many of the others come before this proxy: followers first, by name, then the leader.
 * UINT32_MAX: this one is not able. */
unsigned freshness_rank(const struct freshness_proxy *self, const struct freshness_proxy *others,
                        size_t count);

/* Whether another one is due, whoever makes it. */
bool freshness_is_enough(const struct freshness_settings *s, const struct freshness_view *v);

/* How long those of rank 0 are given to make one: two at the same time only slow each other down,
 * and nobody tells the others what it is at. Long enough for a disk and a network that are slow. */
uint64_t freshness_patience_ns(const struct freshness_settings *s, uint64_t size_bytes);

/* Whether this proxy is to begin now. Each rank waits for another threshold's worth of log, and for
 * another patience since one was due. */
bool freshness_due(const struct freshness_settings *s, const struct freshness_view *v);

#endif
