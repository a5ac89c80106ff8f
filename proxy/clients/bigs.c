#include "proxy/clients/bigs.h"

void bigs_add(struct bigs *b, uint64_t hash)
{
    uint64_t *slot = &b->slots[hash % BIGS_SLOTS];

    if (hash != 0) {
        b->count += *slot == 0;
        *slot = hash;
    }
}

void bigs_remove(struct bigs *b, uint64_t hash)
{
    if (bigs_has(b, hash)) {
        b->slots[hash % BIGS_SLOTS] = 0;
        b->count--;
    }
}
