/* MD5 (RFC 1321), which an object store wants of what goes into a bucket that is locked. It guards
 * against accidents only; SHA-256 is signed beside it. Pure. */
#ifndef PROXY_CTL_MD5_H
#define PROXY_CTL_MD5_H

#include <stddef.h>
#include <stdint.h>

enum { MD5_BYTES = 16 };

struct md5 {
    uint32_t state[4];
    uint64_t bytes;
    uint8_t block[64]; /* bytes % 64 of them are filled */
};

void md5_init(struct md5 *m);
void md5_add(struct md5 *m, const void *bytes, size_t size);
/* m can't be used any more. */
void md5_end(struct md5 *m, uint8_t out[MD5_BYTES]);

#endif
