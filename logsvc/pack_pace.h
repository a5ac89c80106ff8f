/* When a log node goes on packing (storage_ops.pack): at a pace, and not again soon where it did
 * not work. Pure: the caller has the clock and the storage. */
#ifndef LOGSVC_PACK_PACE_H
#define LOGSVC_PACK_PACE_H

#include "logsvc/storage.h"

struct pack_pace {
    uint64_t bytes_per_s; /* 0: never */
    uint64_t next_ns;
    unsigned failures; /* in a row */
};

enum { PACK_PACE_STEP_BYTES = 128 * 1024 };

/* The first step is a while after now_ns. */
void pack_pace_init(struct pack_pace *p, uint64_t bytes_per_s, uint64_t now_ns);

/* When the next step is due; UINT64_MAX: never. */
uint64_t pack_pace_next_ns(const struct pack_pace *p);

/* A step was made; plans the next one. */
void pack_pace_done(struct pack_pace *p, uint64_t now_ns, const struct storage_pack *what);

#endif
