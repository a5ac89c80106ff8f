/* What large values are known of: keys (by their hash), and commands on keys, whose last value or
 * reply was large. They go over links of their own, so that nobody waits behind them; a guess,
 * which may be wrong in both directions and only costs time. Pure. */
#ifndef PROXY_CLIENTS_BIGS_H
#define PROXY_CLIENTS_BIGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests and replies from this size on are large: what the shared link takes a millisecond for.
 */
enum { BIGS_BYTES = 1 << 20, BIGS_SLOTS = 1024 };

/* Zeroed, it knows of nothing. */
struct bigs {
    uint64_t slots[BIGS_SLOTS]; /* 0: free; a newer one takes the place of an older one */
    size_t count;
};

void bigs_add(struct bigs *b, uint64_t hash);
void bigs_remove(struct bigs *b, uint64_t hash);

static inline bool bigs_has(const struct bigs *b, uint64_t hash)
{
    return b->count > 0 && hash != 0 && b->slots[hash % BIGS_SLOTS] == hash;
}

#endif
