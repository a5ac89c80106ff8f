#include "common/crc32c.h"

#include <isa-l/crc.h>
#include <stdbool.h>

uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t state = ~crc;

    while (size > 0) {
        int piece = size > (1 << 30) ? 1 << 30 : (int)size; /* ISA-L counts in int */
        state = crc32_iscsi((unsigned char *)(uintptr_t)at, piece, state);
        at += piece;
        size -= (size_t)piece;
    }
    return ~state;
}

uint32_t crc32c_rewind(uint32_t crc, const void *bytes, size_t size)
{
    const uint32_t polynomial = 0x82f63b78; /* reflected; its top bit is set */
    const uint8_t *at = bytes;
    uint32_t state = ~crc;

    while (size > 0) {
        for (int bit = 0; bit < 8; bit++) {
            bool taken = (state & 0x80000000u) != 0;
            state = (taken ? state ^ polynomial : state) << 1 | taken;
        }
        state ^= at[--size];
    }
    return ~state;
}
