#include "logsvc/meta.h"

#include "common/le.h"

#include <string.h>

enum { META_FIXED_BYTES = 136 };

void meta_encode(const struct meta *m, struct buf *out)
{
    struct buf conf = BUF_INIT;
    uint8_t *at = buf_reserve(out, META_FIXED_BYTES);

    conf_encode(&m->conf, &conf);
    memset(at, 0, META_FIXED_BYTES);
    le_put32(at, META_MAGIC);
    le_put32(at + 4, META_FORMAT);
    memcpy(at + 8, m->cluster_id, sizeof m->cluster_id);
    le_put64(at + 24, m->log_id);
    le_put64(at + 32, m->term.n);
    le_put32(at + 40, (uint32_t)conf.len);
    le_put32(at + 44, m->engine);
    le_put64(at + 48, m->uncertain_to);
    memcpy(at + 56, m->node_id, strnlen(m->node_id, WIRE_NAME_MAX));
    memcpy(at + 120, m->disk.bytes, sizeof m->disk.bytes);
    buf_commit(out, META_FIXED_BYTES);
    buf_append(out, buf_head(&conf), conf.len);
    buf_release(&conf);
    history_encode(&m->history, out);
}

int meta_decode(const uint8_t *bytes, size_t size, struct meta *m)
{
    if (size < 8 || le_get32(bytes) != META_MAGIC) {
        return ERR_CORRUPT;
    }
    if (le_get32(bytes + 4) != META_FORMAT) {
        return ERR_REFUSED;
    }
    if (size < META_FIXED_BYTES || bytes[119] != 0) {
        return ERR_CORRUPT;
    }
    memcpy(m->cluster_id, bytes + 8, sizeof m->cluster_id);
    m->log_id = le_get64(bytes + 24);
    m->term = (struct term){le_get64(bytes + 32)};
    size_t conf_bytes = le_get32(bytes + 40);
    m->engine = le_get32(bytes + 44);
    m->uncertain_to = le_get64(bytes + 48);
    memcpy(m->node_id, bytes + 56, sizeof m->node_id);
    memcpy(m->disk.bytes, bytes + 120, sizeof m->disk.bytes);
    size_t left = size - META_FIXED_BYTES;
    if (!disk_id_known(&m->disk) || conf_bytes > left ||
        conf_decode(bytes + META_FIXED_BYTES, conf_bytes, &m->conf) != ERR_OK) {
        return ERR_CORRUPT;
    }
    return history_decode(bytes + META_FIXED_BYTES + conf_bytes, left - conf_bytes, &m->history);
}
