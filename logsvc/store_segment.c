/* Making segment files: of zeros, or of the good part of another one. */
#include "logsvc/store_impl.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

int store_fail(struct store *s, int rc)
{
    if (!s->errored) {
        log_error("%s: %s; the log stops here", s->folder, err_text(rc));
    }
    s->errored = true;
    return rc == ERR_CORRUPT ? ERR_CORRUPT : ERR_IO;
}

struct segment_header store_header(const struct store *s, uint64_t begin, uint64_t epoch)
{
    struct segment_header h = {
        .log_id = s->config.log_id,
        .begin = begin,
        .epoch = epoch,
        .file_bytes = s->config.segment_bytes,
    };

    memcpy(h.cluster_id, s->config.cluster_id, sizeof h.cluster_id);
    memcpy(h.node_id, s->node_id, sizeof h.node_id);
    return h;
}

int store_segment_path(const struct store *s, uint64_t begin, char out[DISK_PATH_BYTES])
{
    char name[SEGMENT_NAME_BYTES];

    segment_name(begin, name);
    return disk_path(out, s->folder, name);
}

void store_segment_add(struct store *s, const struct segment_header *header, bool bad)
{
    if (s->segment_count == s->segment_cap) {
        s->segment_cap = s->segment_cap > 0 ? s->segment_cap * 2 : 8;
        s->segments = mem_realloc(s->segments, s->segment_cap * sizeof *s->segments);
    }
    s->segments[s->segment_count++] = (struct store_segment){.header = *header, .bad = bad};
}

void store_segments_clear(struct store *s)
{
    for (size_t i = 0; i < s->segment_count; i++) {
        segment_index_release(&s->segments[i].index);
    }
    s->segment_count = 0;
}

/* --- copying the good part --- */

/* Lays `size` bytes that belong at file position `pos` over the piece of the file at `at`. */
static void store_overlay(uint8_t *piece, uint64_t at, size_t piece_size, const uint8_t *bytes,
                          uint64_t pos, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (pos + i >= at && pos + i < at + piece_size) {
            piece[pos + i - at] = bytes[i];
        }
    }
}

/* Copies the blocks of the good records; zeros behind the last one; the last one ends its batch. */
static int store_copy_records(struct disk_file *source, struct disk_file *target,
                              const struct segment_scan *scan, uint8_t *piece)
{
    uint8_t header[RECORD_HEADER_BYTES];
    struct record last = scan->last;
    uint64_t to = segment_block_up(scan->end_pos);

    last.flags |= RECORD_BATCH_END;
    record_encode_header(&last, header);
    for (uint64_t at = SEGMENT_BLOCK_BYTES; at < to; at += STORE_COPY_BYTES) {
        size_t size = to - at < STORE_COPY_BYTES ? (size_t)(to - at) : STORE_COPY_BYTES;
        size_t got;
        int rc = disk_read(source, piece, size, at, &got);
        if (rc == ERR_OK && got != size) {
            rc = ERR_CORRUPT;
        }
        if (rc != ERR_OK) {
            return rc;
        }
        store_overlay(piece, at, size, header, scan->last_pos, sizeof header);
        if (at + size > scan->end_pos) {
            size_t good = (size_t)(scan->end_pos - at);
            memset(piece + good, 0, size - good);
        }
        rc = disk_write(target, piece, size, at);
        if (rc != ERR_OK) {
            return rc;
        }
    }
    return ERR_OK;
}

static int store_zero(struct disk_file *target, uint64_t from, uint64_t to, uint8_t *piece)
{
    memset(piece, 0, STORE_COPY_BYTES);
    for (uint64_t at = from; at < to; at += STORE_COPY_BYTES) {
        size_t size = to - at < STORE_COPY_BYTES ? (size_t)(to - at) : STORE_COPY_BYTES;
        int rc = disk_write(target, piece, size, at);
        if (rc != ERR_OK) {
            return rc;
        }
    }
    return ERR_OK;
}

static struct record store_idle_record(const struct segment_scan *scan)
{
    return (struct record){
        .term = scan->term,
        .begin = scan->end,
        .flags = RECORD_IDLE | RECORD_BATCH_END,
        .chain_crc = scan->chain_crc,
        .flushed = scan->end,
        .commit = scan->commit < scan->end ? scan->commit : scan->end,
        .wall_ms = scan->last.wall_ms,
    };
}

/* An idle record behind the good ones: the next start knows that they were complete. */
static int store_write_idle(struct disk_file *target, uint64_t data_end, struct segment_scan *scan,
                            uint8_t *piece)
{
    uint64_t at = segment_block_up(scan->end_pos);

    if (scan->last.flags & RECORD_IDLE || at + SEGMENT_BLOCK_BYTES > data_end) {
        return ERR_OK;
    }
    scan->last = store_idle_record(scan);
    scan->last_pos = at;
    scan->end_pos = at + RECORD_HEADER_BYTES;
    memset(piece, 0, SEGMENT_BLOCK_BYTES);
    record_encode_header(&scan->last, piece);
    return disk_write(target, piece, SEGMENT_BLOCK_BYTES, at);
}

uint64_t store_segment_size(const struct store *s, uint64_t old_bytes,
                            const struct segment_scan *scan)
{
    uint64_t used = segment_block_up(scan->end_pos) + SEGMENT_BLOCK_BYTES; /* an idle record */
    bool fits = used <= segment_data_end(s->config.segment_bytes);

    return fits ? s->config.segment_bytes : old_bytes;
}

/* The target is zero-filled over spare_bytes; what lies behind is made zero here. */
static int store_write_content(const struct segment_header *header, struct disk_file *source,
                               struct disk_file *target, uint64_t spare_bytes,
                               struct segment_scan *scan)
{
    uint8_t *piece = disk_memory(STORE_COPY_BYTES);
    uint64_t data_end = segment_data_end(header->file_bytes);
    int rc = ERR_OK;

    if (source && scan->last_pos > 0) {
        rc = store_copy_records(source, target, scan, piece);
        if (rc == ERR_OK) {
            rc = store_write_idle(target, data_end, scan, piece);
        }
    }
    if (rc == ERR_OK && header->file_bytes > spare_bytes) {
        rc = store_zero(target, segment_block_up(scan->end_pos), header->file_bytes, piece);
    }
    if (rc == ERR_OK) {
        segment_encode_header(header, piece);
        rc = disk_write(target, piece, SEGMENT_BLOCK_BYTES, 0);
    }
    if (rc == ERR_OK) {
        rc = disk_sync(target);
    }
    free(piece);
    return rc;
}

int store_segment_rewrite(struct store *s, const struct segment_header *header,
                          struct disk_file *file, struct segment_scan *scan)
{
    MUST(file != NULL);
    int rc = store_write_content(header, file, file, 0, scan);

    return rc == ERR_OK ? ERR_OK : store_fail(s, rc);
}

int store_segment_make(struct store *s, const struct segment_header *header,
                       struct disk_file *source, struct segment_scan *scan, struct disk_file **out)
{
    char spare_path[DISK_PATH_BYTES], path[DISK_PATH_BYTES];
    struct disk_file *target = NULL;

    int rc = disk_path(spare_path, s->folder, SPARE_NAME);
    if (rc == ERR_OK) {
        rc = store_segment_path(s, header->begin, path);
    }
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), spare_path, DISK_WRITE | DISK_DIRECT, &target);
    }
    if (rc == ERR_OK) {
        rc = store_write_content(header, source, target, s->config.segment_bytes, scan);
    }
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->rename(store_disk(s), spare_path, path);
    }
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->sync_folder(store_disk(s), s->folder);
    }
    if (rc != ERR_OK) {
        disk_close(target);
        return store_fail(s, rc);
    }
    spare_renew(s->spare);
    *out = target;
    return ERR_OK;
}

int store_segment_replace(struct store *s, const char *name, uint64_t begin)
{
    char from[DISK_PATH_BYTES], to[DISK_PATH_BYTES];

    int rc = disk_path(from, s->folder, name);
    if (rc == ERR_OK) {
        rc = store_segment_path(s, begin, to);
    }
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->rename(store_disk(s), from, to);
    }
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->sync_folder(store_disk(s), s->folder);
    }
    return rc;
}

void store_segment_enter(struct store *s, struct disk_file *file, const struct segment_scan *scan)
{
    struct store_segment *g = store_open_segment(s);

    g->dense = false;
    g->counted = scan->last_pos == 0;
    g->record_bytes = 0;
    g->packs_failed = 0;
    disk_close(s->file);
    s->file = file;
    s->data_end = segment_data_end(g->header.file_bytes);
    s->write_pos = segment_block_up(scan->end_pos);
    s->batch_len = 0;
    s->write_off = s->flush_off = scan->end;
    s->unit_off = s->unit_off_write = scan->unit_off;
    s->commit_seen = s->commit_seen_write = scan->commit;
    s->last_wall_ms = scan->last.wall_ms;
    s->chain_crc = scan->chain_crc;
    s->term = scan->term;
    s->uncertain_to = g->header.uncertain_to;
}
