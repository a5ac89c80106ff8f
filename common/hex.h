/* Bytes as hexadecimal digits, two for each. Pure. */
#ifndef COMMON_HEX_H
#define COMMON_HEX_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 2 * size lower-case digits and a NUL. */
void hex_print(char *out, const void *bytes, size_t size);

/* The same at the end of a buffer, without the NUL. */
void hex_put(struct buf *out, const void *bytes, size_t size);

/* size bytes from the first 2 * size characters of text, which are digits of either case. False:
 * they are not (text may be shorter); what is in out then means nothing. */
bool hex_parse(const char *text, void *out, size_t size);

#endif
