#include "logsvc/pack.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PACK_READ_BYTES = 256 * 1024 };
/* What a sixteenth of the log in it comes to tells whether the rest is worth it. */
enum { PACK_JUDGE_PART = 16 };

void pack_begin(struct pack *p, struct disk *d, const struct pack_job *job)
{
    *p = (struct pack){.disk = d, .job = *job};
}

void pack_end(struct pack *p)
{
    segment_cursor_fini(&p->cursor);
    segment_writer_fini(&p->writer);
    segment_index_release(&p->index);
    disk_close(p->read);
    disk_close(p->source);
    disk_close(p->file);
    p->read = p->source = p->file = NULL;
}

/* Opens a file to walk over its records. */
static int pack_walk(struct pack *p, const char *path, const struct segment_header *header)
{
    int rc = disk_open(p->disk, path, DISK_DIRECT, &p->read);
    if (rc != ERR_OK) {
        return rc;
    }
    segment_cursor_init(&p->cursor, p->read, segment_data_end(header->file_bytes), PACK_READ_BYTES);
    segment_cursor_begin(&p->cursor, header);
    return ERR_OK;
}

/* The next record that has a payload. ERR_CORRUPT: there is none, or not a good one. */
static int pack_next(struct pack *p, struct segment_item *item)
{
    uint8_t header[RECORD_HEADER_BYTES];

    do {
        struct segment_mark here = {p->cursor.offset, p->cursor.pos, p->cursor.term.n,
                                    p->cursor.chain_crc};
        if (segment_cursor_next(&p->cursor, item) != ERR_OK ||
            record_end(&item->record) > p->job.until) {
            return ERR_CORRUPT;
        }
        segment_index_add(&p->index, &here);
    } while (item->record.len_bytes == 0);
    struct record r = item->record;
    r.flags &= ~RECORD_OWN_FLAGS;
    r.flushed = 0;
    record_encode_header(&r, header);
    p->digest = crc32c_extend(p->digest, header, sizeof header);
    return ERR_OK;
}

/* Whether the new file is getting too large, or is about to. */
static bool pack_is_vain(const struct pack *p)
{
    const struct pack_job *j = &p->job;
    uint64_t size = p->writer.pos + p->writer.batch_len, done = p->cursor.offset - j->header.begin;
    uint64_t all = j->until - j->header.begin;

    return size + SEGMENT_BLOCK_BYTES > j->max_bytes ||
           (done >= all / PACK_JUDGE_PART && (double)(size - SEGMENT_BLOCK_BYTES) * (double)all >
                                                 (double)j->max_bytes * (double)done);
}

static int pack_copied(struct pack *p)
{
    struct segment_footer end = {.end = p->job.until, .chain_crc = p->job.until_chain};

    if (p->cursor.chain_crc != p->job.until_chain) {
        return ERR_CORRUPT;
    }
    p->header = p->job.header;
    int rc = segment_writer_finish(&p->writer, &p->header, &end);
    if (rc != ERR_OK) {
        return rc;
    }
    if (p->header.file_bytes > p->job.max_bytes) {
        return ERR_TOO_BIG;
    }
    segment_cursor_fini(&p->cursor);
    segment_index_release(&p->index);
    p->source = p->read;
    p->read = NULL;
    p->digest_copied = p->digest;
    p->digest = 0;
    p->phase = PACK_CHECK;
    return pack_walk(p, p->job.target, &p->header) == ERR_OK ? ERR_MORE : ERR_IO;
}

static int pack_copy(struct pack *p, size_t max_bytes, size_t *used)
{
    struct segment_item item;

    while (p->cursor.offset < p->job.until) {
        if (*used >= max_bytes) {
            return ERR_MORE;
        }
        uint64_t read_to = p->cursor.pos, written_to = p->writer.pos;
        if (pack_next(p, &item) != ERR_OK) {
            return ERR_CORRUPT;
        }
        int rc = segment_writer_add(&p->writer, &item.record, item.bytes + RECORD_HEADER_BYTES);
        if (rc != ERR_OK) {
            return rc == ERR_NO_SPACE ? rc : ERR_IO;
        }
        *used += (size_t)(p->cursor.pos - read_to + p->writer.pos - written_to);
        if (pack_is_vain(p)) {
            return ERR_TOO_BIG;
        }
    }
    return pack_copied(p);
}

/* Whether header and footer of the new file are what they should be. */
static bool pack_ends_stand(struct pack *p)
{
    uint8_t *block = disk_memory(SEGMENT_BLOCK_BYTES), *wanted = disk_memory(SEGMENT_BLOCK_BYTES);
    struct segment_footer f;
    size_t got = 0;

    segment_encode_header(&p->header, wanted);
    bool ok = disk_read(p->read, block, SEGMENT_BLOCK_BYTES, 0, &got) == ERR_OK &&
              got == SEGMENT_BLOCK_BYTES && memcmp(block, wanted, SEGMENT_BLOCK_BYTES) == 0 &&
              disk_read(p->read, block, SEGMENT_BLOCK_BYTES, segment_data_end(p->header.file_bytes),
                        &got) == ERR_OK &&
              got == SEGMENT_BLOCK_BYTES && segment_decode_footer(block, &f) == ERR_OK &&
              f.end == p->job.until && f.chain_crc == p->job.until_chain;
    free(block);
    free(wanted);
    return ok;
}

static int pack_check(struct pack *p, size_t max_bytes, size_t *used)
{
    struct segment_item item;

    while (p->cursor.offset < p->job.until) {
        if (*used >= max_bytes) {
            return ERR_MORE;
        }
        uint64_t read_to = p->cursor.pos;
        if (pack_next(p, &item) != ERR_OK) {
            log_error("%s can't be read as it was written", p->job.target);
            return ERR_IO;
        }
        *used += (size_t)(p->cursor.pos - read_to);
    }
    if (p->cursor.chain_crc != p->job.until_chain || p->digest != p->digest_copied ||
        !pack_ends_stand(p)) {
        log_error("%s does not hold what was written", p->job.target);
        return ERR_IO;
    }
    return ERR_OK;
}

int pack_step(struct pack *p, size_t max_bytes, size_t *used)
{
    *used = 0;
    if (p->read == NULL) {
        if (pack_walk(p, p->job.source, &p->job.header) != ERR_OK) {
            return ERR_CORRUPT;
        }
        int rc =
            disk_open(p->disk, p->job.target, DISK_WRITE | DISK_CREATE | DISK_DIRECT, &p->file);
        if (rc != ERR_OK) {
            return rc == ERR_NO_SPACE ? rc : ERR_IO;
        }
        segment_writer_init(&p->writer, p->file);
    }
    return p->phase == PACK_COPY ? pack_copy(p, max_bytes, used) : pack_check(p, max_bytes, used);
}
