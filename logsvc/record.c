#include "logsvc/record.h"

#include "common/crc32c.h"
#include "common/le.h"

enum { RECORD_FLAGS_KNOWN = RECORD_UNIT_END | RECORD_IDLE | RECORD_BATCH_END };

void record_encode_header(const struct record *r, uint8_t out[RECORD_HEADER_BYTES])
{
    le_put32(out, RECORD_MAGIC);
    le_put32(out + 8, r->payload_crc);
    le_put32(out + 12, r->chain_crc);
    le_put64(out + 16, r->term.n);
    le_put64(out + 24, r->begin);
    le_put32(out + 32, r->len_bytes);
    le_put32(out + 36, r->flags);
    le_put64(out + 40, r->flushed);
    le_put64(out + 48, r->commit);
    le_put64(out + 56, r->wall_ms);
    le_put32(out + 4, crc32c_extend(0, out + 8, RECORD_HEADER_BYTES - 8));
}

int record_decode_header(const uint8_t *bytes, size_t size, struct record *r)
{
    if (size < RECORD_HEADER_BYTES) {
        return ERR_MORE;
    }
    if (le_get32(bytes) != RECORD_MAGIC ||
        le_get32(bytes + 4) != crc32c_extend(0, bytes + 8, RECORD_HEADER_BYTES - 8)) {
        return ERR_CORRUPT;
    }
    *r = (struct record){
        .payload_crc = le_get32(bytes + 8),
        .chain_crc = le_get32(bytes + 12),
        .term = {le_get64(bytes + 16)},
        .begin = le_get64(bytes + 24),
        .len_bytes = le_get32(bytes + 32),
        .flags = le_get32(bytes + 36),
        .flushed = le_get64(bytes + 40),
        .commit = le_get64(bytes + 48),
        .wall_ms = le_get64(bytes + 56),
    };
    return (r->flags & ~(uint32_t)RECORD_FLAGS_KNOWN) == 0 ? ERR_OK : ERR_CORRUPT;
}

bool record_payload_ok(const struct record *r, const void *payload)
{
    return crc32c_extend(0, payload, r->len_bytes) == r->payload_crc;
}
