#include "logsvc/meta.h"

#include "common/le.h"

#include <string.h>

enum { META_FIXED_BYTES = 120 };

void meta_encode(const struct meta *m, struct buf *out)
{
    uint8_t *at = buf_reserve(out, META_FIXED_BYTES);

    memset(at, 0, META_FIXED_BYTES);
    le_put32(at, META_MAGIC);
    le_put32(at + 4, META_FORMAT);
    memcpy(at + 8, m->cluster_id, sizeof m->cluster_id);
    le_put64(at + 24, m->log_id);
    le_put64(at + 32, m->term.n);
    le_put64(at + 40, m->generation);
    le_put64(at + 48, m->uncertain_to);
    memcpy(at + 56, m->node_id, strnlen(m->node_id, WIRE_NAME_MAX));
    buf_commit(out, META_FIXED_BYTES);
    history_encode(&m->history, out);
}

int meta_decode(const uint8_t *bytes, size_t size, struct meta *m)
{
    if (size < META_FIXED_BYTES || le_get32(bytes) != META_MAGIC ||
        le_get32(bytes + 4) != META_FORMAT || bytes[META_FIXED_BYTES - 1] != 0) {
        return ERR_CORRUPT;
    }
    memcpy(m->cluster_id, bytes + 8, sizeof m->cluster_id);
    m->log_id = le_get64(bytes + 24);
    m->term = (struct term){le_get64(bytes + 32)};
    m->generation = le_get64(bytes + 40);
    m->uncertain_to = le_get64(bytes + 48);
    memcpy(m->node_id, bytes + 56, sizeof m->node_id);
    return history_decode(bytes + META_FIXED_BYTES, size - META_FIXED_BYTES, &m->history);
}
