/* Whether a snapshot that is being made must hurry, because log nodes hold all the log since the
 * newest one until it is stored: when that log has grown past a limit, or comes so fast that it
 * would be several times that by the time that this one is stored at its pace. Pure. */
#ifndef PROXY_SNAPSHOT_HURRY_H
#define PROXY_SNAPSHOT_HURRY_H

#include <stdbool.h>
#include <stdint.h>

struct hurry_settings {
    uint32_t log_percent;          /* the limit: of the newest one's size; 0: never … */
    uint64_t log_min_bytes;        /* … and at least so much */
    uint64_t rate_max_bytes;       /* a Redis is fed with in a second; 0: as it goes … */
    uint64_t store_rate_max_bytes; /* … and a disk is given to write */
};

struct hurry_view {
    uint64_t size_bytes;      /* of the newest one … */
    uint64_t log_bytes;       /* … and of the log behind it: now … */
    uint64_t begun_log_bytes; /* … and when this one was begun … */
    uint64_t spent_ns;        /* … so long ago */
    unsigned nodes;           /* that it is to be stored on, one after the other */
};

bool hurry_is_due(const struct hurry_settings *s, const struct hurry_view *v);

#endif
