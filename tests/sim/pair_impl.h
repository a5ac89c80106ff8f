/* What pair.c and pair_bring.c share. */
#ifndef TESTS_SIM_PAIR_IMPL_H
#define TESTS_SIM_PAIR_IMPL_H

#include "tests/sim/pair.h"
#include "tests/sim/world.h"

enum { PAIR_RETRY_MS = 200 };

static inline struct pair *pair_of(struct world *w, unsigned pair)
{
    return &w->pairs[pair];
}

static inline uint64_t pair_clock(const struct world *w, unsigned pair)
{
    return world_clock(w, WORLD_PAIR + pair);
}

/* Elected: brings Redis to exactly the log's end. */
void pair_bring(struct world *w, unsigned pair);
/* From the newest snapshot; at times from an older one. */
void pair_rebuild(struct world *w, unsigned pair);
/* Of its reader (reader_events). */
void pair_read_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size);
void pair_read_done(void *ctx);
void pair_read_failed(void *ctx, int err);

#endif
