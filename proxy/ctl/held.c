#include "proxy/ctl/held.h"

#include "common/crc32c.h"
#include "common/mem.h"

void held_start(struct held *h, uint64_t begin)
{
    *h = (struct held){.at = begin};
}

void held_add(struct held *h, uint64_t flushed, uint64_t unit, uint32_t chain)
{
    MUST(h->count < HELD_NODES_MAX);
    h->nodes[h->count++] = (struct held_node){.flushed = flushed,
                                              .unit = unit,
                                              .chain = chain,
                                              .known = flushed == h->at && chain == h->chain};
}

void held_feed(struct held *h, const void *bytes, size_t size)
{
    uint64_t end = h->at + size;

    for (unsigned i = 0; i < h->count; i++) {
        struct held_node *n = &h->nodes[i];
        if (n->flushed > h->at && n->flushed <= end) {
            n->known = crc32c_extend(h->chain, bytes, (size_t)(n->flushed - h->at)) == n->chain;
        }
    }
    h->chain = crc32c_extend(h->chain, bytes, size);
    h->at = end;
}

bool held_all_known(const struct held *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        if (!h->nodes[i].known) {
            return false;
        }
    }
    return true;
}

bool held_ends_at(const struct held *h, uint64_t offset)
{
    for (unsigned i = 0; i < h->count; i++) {
        if (h->nodes[i].unit == offset) {
            return true;
        }
    }
    return false;
}
