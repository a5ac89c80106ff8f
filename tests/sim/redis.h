/* What a proxy does with its simulated Redis beside running commands; redis.c. */
#ifndef TESTS_SIM_REDIS_H
#define TESTS_SIM_REDIS_H

#include "tests/sim/pair.h"

/* Loads a dataset (NULL: none) that stands at offset, as a replica does. */
void redis_load(struct redis *r, const struct kv *snapshot, uint64_t offset);
/* REPLICAOF NO ONE, after it has been fed a log that has that id at its end. */
void redis_promote(struct world *w, struct redis *r, const struct replid *of_log);
/* Whether PSYNC id offset+1 is answered with +CONTINUE. */
bool redis_may_resume(const struct redis *r, const struct replid *id, uint64_t offset);

#endif
