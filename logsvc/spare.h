/* One zero-filled file kept ready to become a segment, so that the log can go on without waiting
 * for 64 MiB of zeros. A thread makes it, in small pieces with pauses between them, because the
 * fdatasyncs of the open segment share the disk. For somebody who needs it at once the rest is only
 * allocated, which takes no time; later syncs in that segment take a little more.
 * Without a thread (tests) spare_take makes the file itself. */
#ifndef LOGSVC_SPARE_H
#define LOGSVC_SPARE_H

#include "logsvc/disk.h"

#define SPARE_NAME "spare.seg" /* in the folder of the log: zeros, synced */

struct spare_config {
    struct disk *disk; /* called from the spare's own thread too */
    const char *folder;
    uint64_t file_bytes;    /* a multiple of 64 KiB */
    uint64_t reserve_bytes; /* of free space that making a spare leaves alone */
    bool threaded;
};

struct spare;

/* Begins to make a file; what an earlier process left is removed. ERR_IO. */
int spare_start(const struct spare_config *config, struct spare **out) MUST_CHECK;
/* Ends the thread; the file stays as it is. NULL is allowed. */
void spare_stop(struct spare *s);

/* Waits until the file is there. On ERR_OK it is the caller's, who renames it before anything else
 * is asked of the spare, and then calls spare_renew. need: the caller must have it, the reserve may
 * be used. ERR_NO_SPACE: not now; the thread tries again by and by. ERR_IO: final. */
int spare_take(struct spare *s, bool need) MUST_CHECK;

/* The file was renamed: make the next one. */
void spare_renew(struct spare *s);

#endif
