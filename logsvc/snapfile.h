/* Snapshots in the folder of a log: snap-<20 digits>.rdb, the bytes as Redis made them, and
 * snap-<20 digits>.meta, what is known about them: a JSON object, and a checksum of each chunk
 * (docs/log-format.md §6). The .meta file is named last, durably and at once: a snapshot exists if
 * and only if its .meta does. A mark (verified) replaces the .meta, as durably.
 *
 * One snapshot is received at a time; nothing of an unfinished one survives a restart. One that has
 * rotted is not offered any more; its sound chunks can still be read by who has begun to. */
#ifndef LOGSVC_SNAPFILE_H
#define LOGSVC_SNAPFILE_H

#include "logsvc/disk.h"
#include "logsvc/storage.h"

enum { SNAPFILE_MAGIC = 0x31504648 }; /* "HFP1" */
enum { SNAPFILE_VERSION = 2 };
/* A .meta file: the head, then a checksum of each chunk, u32 each. */
enum { SNAPFILE_HEAD_BYTES = 4096 };
/* Of an RDB, checked on their own; the last one may be shorter. */
enum { SNAPFILE_CHUNK_BYTES = 256 * 1024 };

/* The checksums of an RDB's chunks, as they grow. */
struct snapfile_sums {
    struct buf sums;   /* le32 each, of whole chunks */
    uint32_t part;     /* of the chunk that has begun … */
    size_t part_bytes; /* … so far */
};

struct snapfile_entry {
    struct snapshot_info info;
    struct buf sums; /* le32 each */
    bool rotten;     /* not offered any more */
};

struct snapfile {
    struct disk *disk;
    const char *folder;         /* by reference */
    struct snapfile_entry *all; /* published, by rising offset */
    size_t count;
    size_t cap;

    struct disk_file *incoming; /* NULL: none is being received */
    struct snapshot_info incoming_info;
    uint64_t incoming_at; /* bytes received */
    uint64_t synced_at, pushed_at;
    uint32_t incoming_crc;
    uint64_t refused_offset; /* of the last one without room, and 1; 0: none */
    struct snapfile_sums incoming_sums;
};

/* Reads the folder; removes what is unfinished. A .meta that is corrupt is named in the program's
 * log and left out: the other nodes have the snapshot too. */
int snapfile_open(struct snapfile *s, struct disk *d, const char *folder) MUST_CHECK;
void snapfile_close(struct snapfile *s);

/* These implement the snap_ calls of struct storage_ops. Not final are ERR_NO_SPACE and ERR_CORRUPT
 * (bytes out of order, past the size, or another checksum): what was received is thrown away; and
 * ERR_STATE: no snapshot is being received. */
int snapfile_begin(struct snapfile *s, const struct snapshot_info *info,
                   uint64_t reserve_bytes) MUST_CHECK;
int snapfile_write(struct snapfile *s, uint64_t at, const void *bytes, size_t size) MUST_CHECK;
int snapfile_commit(struct snapfile *s) MUST_CHECK;
int snapfile_drop(struct snapfile *s) MUST_CHECK;
int snapfile_latest(const struct snapfile *s, uint64_t limit, struct snapshot_info *out) MUST_CHECK;
int snapfile_read(struct snapfile *s, uint64_t offset, uint64_t at, size_t size,
                  struct buf *out) MUST_CHECK;
int snapfile_verified(struct snapfile *s, uint64_t offset, uint64_t verified_ms) MUST_CHECK;
int snapfile_delete(struct snapfile *s, uint64_t offset) MUST_CHECK;

/* Reads on from *at of the snapshot at that offset, about size bytes, past the page cache; *crc is
 * that of what was read. *done: the whole of it is good, or it is not there any more. ERR_CORRUPT:
 * it has rotted; it is named in the program's log and not offered from now on. */
int snapfile_check(struct snapfile *s, uint64_t offset, size_t size, uint64_t *at, uint32_t *crc,
                   bool *done) MUST_CHECK;

/* The bytes of a .meta file. sums: of whole chunks and the last one, as in the file. */
void snapfile_encode(const struct snapshot_info *info, const uint8_t *sums, size_t sums_bytes,
                     struct buf *out);
/* ERR_CORRUPT. sums points into bytes. */
int snapfile_decode(const uint8_t *bytes, size_t size, struct snapshot_info *info,
                    const uint8_t **sums, size_t *sums_bytes) MUST_CHECK;

/* Takes bytes into the checksums of chunks; end: there are no more. */
void snapfile_sum(struct snapfile_sums *sums, const uint8_t *bytes, size_t size, bool end);

#endif
