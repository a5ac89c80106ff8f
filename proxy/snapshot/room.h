/* Whether there is room where a snapshot is made: memory for the redis-servers that it takes, one
 * at a time, and disk for its file. Asked before anything is begun, and memory again all along: a
 * snapshot is not worth that the machine runs out of it, on which Redis itself may run. */
#ifndef PROXY_SNAPSHOT_ROOM_H
#define PROXY_SNAPSHOT_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROOM_WHY_MAX = 300 };

#define ROOM_UNKNOWN UINT64_MAX

/* What the machine has. */
struct room {
    uint64_t memory_bytes; /* that can be had without swapping; ROOM_UNKNOWN */
    uint64_t disk_bytes;   /* free where the file is to be; ROOM_UNKNOWN */
};

/* Asks the kernel: /proc/meminfo, the limit of the own control group if there is one, and the
 * folder's file system. What can't be had is unknown. */
void room_look(const char *folder, struct room *out);

/* "MemAvailable:    1234 kB" of such a text, in bytes; ROOM_UNKNOWN. Pure. */
uint64_t room_parse_meminfo(const char *text);

/* What a control group leaves of its limit ("max" or a number, as in memory.max), of which `used`
 * are used and `cache` of these can be had back; ROOM_UNKNOWN: no limit. Pure. */
uint64_t room_parse_limit(const char *limit, uint64_t used, uint64_t cache);

/* Whether that is enough for a dataset of that RDB, and leaves memory_reserve_bytes free (0: memory
 * is not asked for). What is unknown is enough. False: why says it for people. Pure. */
bool room_is_enough(const struct room *room, uint64_t rdb_bytes, uint64_t memory_reserve_bytes,
                    char why[ROOM_WHY_MAX]);

#endif
