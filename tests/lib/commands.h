/* The recorded reply to COMMAND of a redis-server 7.0.15 (tests/data). */
#ifndef TESTS_LIB_COMMANDS_H
#define TESTS_LIB_COMMANDS_H

#include "common/mem.h"

#include <stdint.h>
#include <stdio.h>

/* The reply and its size; the caller frees it. */
static inline uint8_t *commands_reply(size_t *size)
{
    enum { ROOM = 1 << 20 };
    FILE *f = fopen(TESTS_DATA_DIR "/command-7.0.15.resp", "rb");
    uint8_t *reply = mem_alloc(ROOM);

    MUST(f != NULL);
    *size = fread(reply, 1, ROOM, f);
    MUST(*size > 0 && *size < ROOM);
    (void)fclose(f);
    return reply;
}

#endif
