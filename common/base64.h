/* Bytes as base64 (RFC 4648), with padding. Pure. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include "common/buf.h"

#include <stddef.h>

/* At the end of a buffer, without a NUL. */
void base64_put(struct buf *out, const void *bytes, size_t size);

#endif
