/* Extracting: takes the dataset of a Redis that stands still at one offset out of it, as an RDB in
 * a file. Redis makes the RDB for us as for a replica of its own (PSYNC), so that it says itself at
 * which offset it is. The file has no name, so nothing of it stays whatever becomes of us. */
#ifndef PROXY_SNAPSHOT_EXTRACT_H
#define PROXY_SNAPSHOT_EXTRACT_H

#include "common/err.h"
#include "logsvc/term.h"

#include <stdint.h>

struct event_base;
struct extract;

/* A file without a name in that folder; -1: errno says why. The caller closes it. */
int extract_open_file(const char *folder);

struct extract_config {
    struct event_base *base;
    int port; /* on 127.0.0.1 */
    const char *password;
    int fd;          /* written from its beginning on; the owner's */
    uint64_t offset; /* where Redis stands: an RDB of any other offset is refused */
    /* Written in a second at most, and passed on to the disk as it comes: what the cache gathers it
     * writes all at once, in front of whatever else waits for that disk. 0: as it goes. */
    uint64_t rate_max_bytes;
};

struct extract_result {
    uint64_t size_bytes;
    uint32_t crc; /* CRC-32C */
};

/* Called once, from the event loop; may call extract_destroy. */
struct extract_events {
    void (*done)(void *ctx, const struct extract_result *result);
    void (*failed)(void *ctx, const char *why);
};

/* Starts at once. NULL: it could not begin. The configuration is copied. */
struct extract *extract_start(const struct extract_config *config,
                              const struct extract_events *events, void *ctx);
void extract_destroy(struct extract *e); /* NULL is allowed */
/* From now on at no particular rate. */
void extract_hurry(struct extract *e);
/* Bytes so far. */
uint64_t extract_bytes(const struct extract *e);

#endif
