#include "logsvc/segment_writer.h"

#include "common/mem.h"
#include "logsvc/mutant.h"

#include <stdlib.h>
#include <string.h>

void segment_writer_init(struct segment_writer *w, struct disk_file *file)
{
    *w = (struct segment_writer){.file = file, .pos = SEGMENT_BLOCK_BYTES};
}

void segment_writer_fini(struct segment_writer *w)
{
    free(w->batch);
    w->batch = NULL;
    w->batch_len = w->batch_cap = 0;
}

/* In pieces, so that one large record is no burst; only what comes in them counts. */
static int segment_writer_put(struct segment_writer *w, size_t size)
{
    for (size_t done = 0; done < size; done += SEGMENT_WRITER_BATCH_BYTES) {
        size_t piece = size - done;
        piece = piece < SEGMENT_WRITER_BATCH_BYTES ? piece : SEGMENT_WRITER_BATCH_BYTES;
        int rc = disk_write(w->file, w->batch + done, piece, w->pos);
        if (rc != ERR_OK) {
            return rc;
        }
        disk_push(w->file, w->pos, piece);
        w->pos += piece;
    }
    return ERR_OK;
}

static int segment_writer_end_batch(struct segment_writer *w)
{
    if (w->batch_len == 0) {
        return ERR_OK;
    }
    size_t size = (size_t)segment_block_up(w->batch_len);
    w->batch_last_record.flags |= RECORD_BATCH_END;
    record_encode_header(&w->batch_last_record, w->batch + w->batch_last);
    memset(w->batch + w->batch_len, 0, size - w->batch_len);
    record_mark_zeros(w->batch, size);
    w->batch_len = 0;
    return segment_writer_put(w, size);
}

static void segment_writer_reserve(struct segment_writer *w, size_t size)
{
    if (size <= w->batch_cap) {
        return;
    }
    size_t cap = size > SEGMENT_WRITER_BATCH_BYTES ? size : SEGMENT_WRITER_BATCH_BYTES;
    uint8_t *batch = disk_memory(cap);
    if (w->batch_len > 0) {
        memcpy(batch, w->batch, w->batch_len);
    }
    free(w->batch);
    w->batch = batch;
    w->batch_cap = cap;
}

int segment_writer_add(struct segment_writer *w, const struct record *r, const void *payload)
{
    size_t size = RECORD_HEADER_BYTES + (size_t)r->len_bytes;
    size_t at = (w->batch_len + 7) & ~(size_t)7;

    MUST(r->len_bytes > 0);
    if (w->batch_len > 0 && at + size > SEGMENT_WRITER_BATCH_BYTES) {
        int rc = segment_writer_end_batch(w);
        if (rc != ERR_OK) {
            return rc;
        }
        at = 0;
    }
    if (w->batch_len == 0) {
        w->batch_begin = r->begin;
    }
    segment_writer_reserve(w, (size_t)segment_block_up(at + size));
    memset(w->batch + w->batch_len, 0, at - w->batch_len);
    w->batch_last = at;
    w->batch_last_record = *r;
    w->batch_last_record.flags &= ~RECORD_OWN_FLAGS;
    w->batch_last_record.flushed = w->batch_begin;
    record_encode_header(&w->batch_last_record, w->batch + at);
    memcpy(w->batch + at + RECORD_HEADER_BYTES, payload, r->len_bytes);
    w->batch_len = at + size;
    return ERR_OK;
}

int segment_writer_finish(struct segment_writer *w, struct segment_header *header,
                          struct segment_footer *end)
{
    int rc = segment_writer_end_batch(w);
    if (rc != ERR_OK) {
        return rc;
    }
    uint8_t *block = disk_memory(SEGMENT_BLOCK_BYTES);
    uint64_t size = w->pos + SEGMENT_BLOCK_BYTES;
    header->file_bytes = size > SEGMENT_BYTES_MIN ? size : SEGMENT_BYTES_MIN;
    end->end_pos = w->pos;
    segment_encode_header(header, block);
    rc = disk_write(w->file, block, SEGMENT_BLOCK_BYTES, 0);
    if (rc == ERR_OK) {
        segment_encode_footer(end, block);
        rc = disk_write(w->file, block, SEGMENT_BLOCK_BYTES, segment_data_end(header->file_bytes));
    }
    if (rc == ERR_OK && !MUTANT(SEGMENT_UNSYNCED)) {
        rc = disk_sync(w->file);
    }
    free(block);
    return rc;
}

uint64_t segment_writer_file_bytes(uint64_t record_bytes)
{
    /* Records that are cut off by the end of a batch leave less than their size empty in it; what
     * fills batches badly is large, and has little to win. A block for each batch, then, … */
    uint64_t batches = record_bytes / (SEGMENT_WRITER_BATCH_BYTES / 2) + 1;
    uint64_t size = record_bytes + batches * SEGMENT_BLOCK_BYTES +
                    2 * (uint64_t)SEGMENT_BLOCK_BYTES; /* … header and footer */

    size = segment_block_up(size);
    return size > SEGMENT_BYTES_MIN ? size : SEGMENT_BYTES_MIN;
}
