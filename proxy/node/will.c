#include "proxy/node/will.h"

#include "common/le.h"
#include "common/mem.h"

#include <stdio.h>
#include <string.h>

/* As the transport frames it: logsvc/framed.h. */
enum { WILL_LENGTH_BYTES = 4 };

void will_make(const struct proposer *p, uint64_t now_ns, const char *heir, struct will *out)
{
    memset(out, 0, sizeof *out); /* padding too: it is compared, and goes to another process */
    for (unsigned i = 0; i < proposer_node_count(p); i++) {
        struct will_node *n = &out->nodes[out->count];
        struct proposer_node_info node;
        struct wire_msg msg;
        if (!proposer_last_word(p, now_ns, i, heir, &msg)) {
            continue;
        }
        proposer_node(p, i, &node);
        size_t size = wire_size(&msg);
        MUST(size + WILL_LENGTH_BYTES <= sizeof n->frame && out->count < PROPOSER_NODES_MAX);
        (void)snprintf(n->address, sizeof n->address, "%s", node.address);
        le_put32(n->frame, (uint32_t)size);
        wire_encode(&msg, n->frame + WILL_LENGTH_BYTES);
        n->size_bytes = (uint32_t)(WILL_LENGTH_BYTES + size);
        out->count++;
    }
}

size_t will_size_bytes(const struct will *w)
{
    return offsetof(struct will, nodes) + w->count * sizeof w->nodes[0];
}

bool will_equal(const struct will *a, const struct will *b)
{
    return a->count == b->count && memcmp(a, b, will_size_bytes(a)) == 0;
}

bool will_is_sound(const struct will *w, size_t size_bytes)
{
    if (size_bytes < offsetof(struct will, nodes) || w->count > PROPOSER_NODES_MAX ||
        size_bytes != will_size_bytes(w)) {
        return false;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        const struct will_node *n = &w->nodes[i];
        if (n->size_bytes > sizeof n->frame ||
            memchr(n->address, '\0', sizeof n->address) == NULL) {
            return false;
        }
    }
    return true;
}
