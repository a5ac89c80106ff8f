/* Writes the records of a closed segment into a new file, as densely as the format allows: in large
 * batches, without idle records, the file no longer than it must be. Nobody ever appends to it, and
 * nothing counts before it takes the old one's name, which is the caller's to do.
 *
 *   header │ batch │ batch │ … │ batch │ footer          (docs/log-format.md, 4 and 8) */
#ifndef LOGSVC_SEGMENT_WRITER_H
#define LOGSVC_SEGMENT_WRITER_H

#include "logsvc/segment.h"

/* A batch is no larger, unless it is one record. */
enum { SEGMENT_WRITER_BATCH_BYTES = 256 * 1024 };

struct segment_writer {
    struct disk_file *file; /* the caller's */
    uint64_t pos;           /* where the batch goes */
    uint8_t *batch;
    size_t batch_len, batch_cap;
    size_t batch_last; /* position of the last record's header */
    struct record batch_last_record;
    uint64_t batch_begin; /* offset */
};

/* file: just made, so that what is not written holds zeros. */
void segment_writer_init(struct segment_writer *w, struct disk_file *file);
/* Releases memory. */
void segment_writer_fini(struct segment_writer *w);

/* Adds the next record, which has a payload. What is the node's own of it is made anew.
 * ERR_NO_SPACE, ERR_IO: the file is good for nothing. */
int segment_writer_add(struct segment_writer *w, const struct record *r,
                       const void *payload) MUST_CHECK;

/* Writes what is left, header and footer, and syncs. header->file_bytes and end->end_pos are set
 * here. Errors as above. */
int segment_writer_finish(struct segment_writer *w, struct segment_header *header,
                          struct segment_footer *end) MUST_CHECK;

/* What this many bytes of records, each with its header and rounded up to 8, come to as a file, at
 * most; if none is larger than a batch. */
uint64_t segment_writer_file_bytes(uint64_t record_bytes);

#endif
