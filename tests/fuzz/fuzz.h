/* What fuzz targets share: pieces of the input, and input that is mostly well-formed. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "common/mem.h"
#include "proxy/protocol/resp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lengths of pieces, 1 to 16 mostly, from a seed (never 0). */
static inline size_t fuzz_piece(uint32_t *seed, size_t left)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    size_t piece = *seed % 16 == 0 ? left : *seed / 16 % 16 + 1;
    return piece < left ? piece : left;
}

/* Lines become requests, words their arguments, so that the fuzzer need not learn lengths. */
static inline void fuzz_requests(const uint8_t *data, size_t size, struct buf *out)
{
    const uint8_t *end = data + size;

    while (data < end) {
        struct resp_arg argv[64];
        size_t argc = 0;
        const uint8_t *line_end = memchr(data, '\n', (size_t)(end - data));
        line_end = line_end != NULL ? line_end : end;
        while (data < line_end && argc < 64) {
            const uint8_t *word_end = memchr(data, ' ', (size_t)(line_end - data));
            word_end = word_end != NULL ? word_end : line_end;
            argv[argc++] = (struct resp_arg){data, (size_t)(word_end - data)};
            data = word_end < line_end ? word_end + 1 : line_end;
        }
        if (argc > 0) {
            resp_put_request(out, argv, argc);
        }
        data = line_end < end ? line_end + 1 : end;
    }
}

#endif
