/* CRC-32C (Castagnoli), by ISA-L. */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of the bytes behind crc followed by bytes: crc32c_extend(0, "123456789", 9) is
 * 0xe3069283, and extending in pieces equals extending at once. */
uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size);

/* The other way round: the crc that, extended by these bytes, gives `crc`. Slow; for repairs. */
uint32_t crc32c_rewind(uint32_t crc, const void *bytes, size_t size);

#endif
