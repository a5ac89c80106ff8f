#include "logsvc/record.h"

#include "common/crc32c.h"
#include "common/le.h"

#include <string.h>

#define RECORD_FLAGS_KNOWN (RECORD_UNIT_END | RECORD_IDLE | RECORD_OWN_FLAGS)

enum { RECORD_SECTOR_BYTES = 512, RECORD_ALIGN_BYTES = 8 };

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
    return (r->flags & ~RECORD_FLAGS_KNOWN) == 0 ? ERR_OK : ERR_CORRUPT;
}

bool record_payload_ok(const struct record *r, const void *payload)
{
    return crc32c_extend(0, payload, r->len_bytes) == r->payload_crc;
}

/* How many of the sectors that [at, end) touches are zero. */
static uint32_t record_count_zeros(const uint8_t *batch, size_t size, size_t at, size_t end)
{
    uint32_t count = 0;

    for (size_t from = at & ~(size_t)(RECORD_SECTOR_BYTES - 1);
         from < end && from + RECORD_SECTOR_BYTES <= size; from += RECORD_SECTOR_BYTES) {
        const uint8_t *sector = batch + from;
        count += sector[0] == 0 && memcmp(sector, sector + 1, (size_t)RECORD_SECTOR_BYTES - 1) == 0;
    }
    return count < RECORD_ZEROS_MAX ? count : RECORD_ZEROS_MAX;
}

void record_mark_zeros(uint8_t *batch, size_t size)
{
    struct record r;

    for (size_t at = 0; record_decode_header(batch + at, size - at, &r) == ERR_OK;) {
        size_t end = at + RECORD_HEADER_BYTES + r.len_bytes;
        uint32_t zeros = record_count_zeros(batch, size, at, end);
        if (zeros > 0) {
            r.flags |= zeros << RECORD_ZEROS_SHIFT;
            record_encode_header(&r, batch + at);
        }
        at = (end + RECORD_ALIGN_BYTES - 1) & ~(size_t)(RECORD_ALIGN_BYTES - 1);
        if (at >= size) {
            return;
        }
    }
}
