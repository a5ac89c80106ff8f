/* When a log node looks after what lies on its disk, and how much at a time: slowly, so that nobody
 * notices, without end; faster while something that was found is being looked into or mended. Pure:
 * the caller has the clock and the storage (storage_ops.check).
 *
 *   step ─ pause ─ step … end of the round ─ rest ─ step … */
#ifndef LOGSVC_SCRUB_H
#define LOGSVC_SCRUB_H

#include "logsvc/storage.h"

struct scrub_config {
    uint64_t bytes_per_s; /* 0: no rounds; what turns up otherwise is mended all the same */
    uint32_t round_ms;    /* a round does not begin sooner after the begin of the last one */
};

struct scrub {
    struct scrub_config config;
    uint64_t next_ns;   /* of the round's next step */
    uint64_t urgent_ns; /* of the next step while something is damaged */
    uint64_t round_ns;  /* when the round began */
    bool resting;       /* it has ended, and the next one has not begun */
};

enum { SCRUB_STEP_BYTES = 128 * 1024 };

/* The first round begins a while after now_ns: a node that starts has other things to do. */
void scrub_init(struct scrub *s, const struct scrub_config *config, uint64_t now_ns);

/* When the next step is due; UINT64_MAX: never by itself. damaged: the storage knows of something
 * that is to be looked into. */
uint64_t scrub_next_ns(const struct scrub *s, bool damaged);

/* A step was made; plans the next one. */
void scrub_done(struct scrub *s, uint64_t now_ns, const struct storage_check *what);

#endif
