/* Packing one closed segment: its records go into a new file in large batches, because on the disk
 * each small batch has taken a block of 4 KiB for itself. The same records, offsets and checksums;
 * idle records have done their work and stay behind.
 *
 *   COPY: each record is checked and copied ─▶ sync ─▶ CHECK: the new file is read back, past the
 *   page cache, and compared ─▶ done: whoever asked for it may put it in the old one's place
 *
 * The old file is only read; whatever happens, it is as good as it was. Runs on any thread, and
 * knows of nothing but the two files. */
#ifndef LOGSVC_PACK_H
#define LOGSVC_PACK_H

#include "logsvc/segment_writer.h"

struct pack_job {
    char source[DISK_PATH_BYTES]; /* the segment … */
    char target[DISK_PATH_BYTES]; /* … and the new file, which is made, or emptied */
    struct segment_header header; /* of the segment */
    uint64_t until;               /* where it ends, … */
    uint32_t until_chain;         /* … and the log's checksum there */
    uint64_t max_bytes;           /* a new file that would be larger is not worth it */
};

enum pack_phase { PACK_COPY, PACK_CHECK };

struct pack {
    struct disk *disk;
    struct pack_job job;
    enum pack_phase phase;
    struct disk_file *file;   /* the target */
    struct disk_file *read;   /* of PACK_COPY: the source; of PACK_CHECK: the target */
    struct disk_file *source; /* of PACK_CHECK: open still, for pack_end */
    struct segment_cursor cursor;
    struct segment_writer writer;
    uint32_t digest; /* of the records' headers, but for what is the node's own in them */
    uint32_t digest_copied;
    /* When it is done: */
    struct segment_header header; /* of the new file */
    struct segment_index index;   /* where its records are */
};

/* Nothing is opened yet. */
void pack_begin(struct pack *p, struct disk *d, const struct pack_job *job);

/* Goes on for about max_bytes, read and written; *used are counted. ERR_MORE: not done yet. ERR_OK:
 * the target is whole and durable, but for its name. ERR_TOO_BIG: it isn't worth it. ERR_CORRUPT:
 * the source is not what it should be, or can't be read. ERR_NO_SPACE. ERR_IO: what was written is
 * not known to be there. */
int pack_step(struct pack *p, size_t max_bytes, size_t *used) MUST_CHECK;

/* Ends it at any time. The target is left where it is. Both files are open until then: whoever
 * calls this is the one who waits while the disk frees what has lost its name in between. */
void pack_end(struct pack *p);

#endif
