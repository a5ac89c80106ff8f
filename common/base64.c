#include "common/base64.h"

#include <stdint.h>

void base64_put(struct buf *out, const void *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    uint8_t *to = buf_reserve(out, (size + 2) / 3 * 4);
    size_t n = 0;

    for (size_t i = 0; i < size; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        uint32_t word = (uint32_t)p[i] << 16 | (have > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                        (have > 2 ? p[i + 2] : 0);
        to[n++] = (uint8_t)digits[word >> 18];
        to[n++] = (uint8_t)digits[word >> 12 & 63];
        to[n++] = have > 1 ? (uint8_t)digits[word >> 6 & 63] : '=';
        to[n++] = have > 2 ? (uint8_t)digits[word & 63] : '=';
    }
    buf_commit(out, n);
}
