/* Little-endian integers in byte buffers, for the disk and wire formats. */
#ifndef COMMON_LE_H
#define COMMON_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define LE_DEFINE(bits)                                                                            \
    static inline void le_put##bits(void *at, uint##bits##_t value)                                \
    {                                                                                              \
        value = htole##bits(value);                                                                \
        memcpy(at, &value, sizeof value);                                                          \
    }                                                                                              \
    static inline uint##bits##_t le_get##bits(const void *at)                                      \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        memcpy(&value, at, sizeof value);                                                          \
        return le##bits##toh(value);                                                               \
    }

LE_DEFINE(16)
LE_DEFINE(32)
LE_DEFINE(64)

#endif
