/* SHA-256 (FIPS 180-4), by which an object store checks what it is sent. Pure. */
#ifndef PROXY_CTL_SHA256_H
#define PROXY_CTL_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_HEX_BYTES = 65 };

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64]; /* bytes % 64 of them are filled */
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t size);
/* As hexadecimal digits; s can't be used any more. */
void sha256_end(struct sha256 *s, char out[SHA256_HEX_BYTES]);

#endif
