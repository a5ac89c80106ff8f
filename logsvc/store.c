/* The running log. The way of a record: store_append copies it behind the others into the batch,
 * store_flush writes the batch where write_pos says (a fresh block) and syncs.
 *
 *   begin ──segments──▶ flush_off ──batch──▶ write_off
 *
 * The last block before the footer is left to an idle record: when the log falls idle there is
 * always room for one. */
#include "logsvc/store.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/store_impl.h"

#include <stdlib.h>
#include <string.h>

enum { STORE_BATCH_KEEP_BYTES = 4 * 1024 * 1024, STORE_READ_AHEAD_MAX_BYTES = 1024 * 1024 };
enum { STORE_READ_AHEAD_MIN_BYTES = 128 * 1024 };

static struct store *store_of(struct storage *base)
{
    return (struct store *)base;
}

struct storage *store_storage(struct store *s)
{
    return &s->base;
}

bool store_errored(const struct store *s)
{
    return s->errored;
}

static void store_state(struct storage *base, struct storage_state *out)
{
    const struct store *s = store_of(base);

    *out = (struct storage_state){.empty = s->segment_count == 0};
    if (out->empty) {
        return;
    }
    out->begin = s->segments[0].header.begin;
    out->write_off = s->write_off;
    out->flush_off = s->flush_off;
    out->unit_off = s->unit_off;
    out->uncertain_to = s->uncertain_to;
    out->commit = s->commit_seen < s->flush_off ? s->commit_seen : s->flush_off;
    out->chain_crc = s->chain_crc;
    out->flush_chain = s->batch_len > 0 ? s->flush_chain : s->chain_crc;
    out->begin_chain = s->told.chain_known ? s->told.chain_crc : 0;
    out->begin_chain_known = s->told.chain_known;
    out->holes = s->holes;
}

/* --- append and flush --- */

static void store_batch_reserve(struct store *s, size_t size)
{
    size_t cap = s->batch_cap > 0 ? s->batch_cap : STORE_COPY_BYTES;

    if (size <= s->batch_cap) {
        return;
    }
    while (cap < size) {
        cap *= 2;
    }
    uint8_t *batch = disk_memory(cap);
    if (s->batch_len > 0) {
        memcpy(batch, s->batch, s->batch_len);
    }
    free(s->batch);
    s->batch = batch;
    s->batch_cap = cap;
}

/* Ends the batch in memory: the last record says so, zeros fill its block. */
static void store_batch_end(struct store *s)
{
    size_t size = (size_t)segment_block_up(s->batch_len);

    s->batch_last_record.flags |= RECORD_BATCH_END;
    record_encode_header(&s->batch_last_record, s->batch + s->batch_last);
    memset(s->batch + s->batch_len, 0, size - s->batch_len);
    record_mark_zeros(s->batch, size);
    s->batch_len = size;
}

int store_flush(struct storage *base)
{
    struct store *s = store_of(base);

    if (s->errored) {
        return ERR_IO;
    }
    if (s->batch_len == 0) {
        return ERR_OK;
    }
    store_batch_end(s);
    int rc = disk_write(s->file, s->batch, s->batch_len, s->write_pos);
    if (rc == ERR_OK) {
        rc = disk_sync(s->file);
    }
    if (rc != ERR_OK) {
        return store_fail(s, rc);
    }
    s->write_pos += s->batch_len;
    s->batch_len = 0;
    s->flush_off = s->write_off;
    s->unit_off = s->unit_off_write;
    s->commit_seen = s->commit_seen_write;
    if (s->batch_cap > STORE_BATCH_KEEP_BYTES) {
        free(s->batch);
        s->batch = NULL;
        s->batch_cap = 0;
    }
    return ERR_OK;
}

int store_write_footer(struct disk_file *file, uint64_t file_bytes,
                       const struct segment_footer *footer)
{
    uint8_t *block = disk_memory(SEGMENT_BLOCK_BYTES);

    segment_encode_footer(footer, block);
    int rc = disk_write(file, block, SEGMENT_BLOCK_BYTES, segment_data_end(file_bytes));
    if (rc == ERR_OK) {
        rc = disk_sync(file);
    }
    free(block);
    return rc;
}

/* The new segment is there before the old one is sealed. So a sealed segment with none behind it
 * means that one is gone. */
int store_roll(struct store *s)
{
    struct disk_file *file;

    if (s->write_off == store_open_segment(s)->header.begin) {
        return ERR_TOO_BIG; /* an empty one, from before the configured size grew */
    }
    int rc = spare_take(s->spare, false);
    if (rc != ERR_OK) {
        return rc == ERR_NO_SPACE ? rc : store_fail(s, rc);
    }
    rc = store_flush(&s->base);
    if (rc != ERR_OK) {
        return rc;
    }
    struct segment_header h = store_header(s, s->flush_off, store_open_segment(s)->header.epoch);
    struct segment_footer footer = {s->flush_off, s->write_pos, s->chain_crc};
    struct segment_scan scan = {
        .end = s->flush_off,
        .end_pos = SEGMENT_BLOCK_BYTES,
        .last = {.wall_ms = s->last_wall_ms},
        .unit_off = s->unit_off,
        .commit = s->commit_seen,
        .chain_crc = s->chain_crc,
        .term = s->term,
    };
    if (s->uncertain_to > s->unit_off) {
        /* At least the doubt about the last whole unit goes along (segment_begins_in_doubt). */
        h.uncertain_to = s->uncertain_to > s->flush_off ? s->uncertain_to : s->flush_off + 1;
    }
    h.unit_off = s->unit_off;
    h.commit = s->commit_seen;
    h.term = s->term;
    h.chain_crc = s->chain_crc;
    rc = store_segment_make(s, &h, NULL, &scan, &file);
    if (rc != ERR_OK) {
        return rc;
    }
    rc = store_write_footer(s->file, store_open_segment(s)->header.file_bytes, &footer);
    if (rc != ERR_OK) {
        disk_close(file);
        return store_fail(s, rc);
    }
    store_segment_add(s, &h, false);
    store_segment_enter(s, file, &scan);
    return ERR_OK;
}

static int store_append_check(const struct store *s, const struct record *r, const void *payload)
{
    /* The header, and an idle record in front and behind. */
    uint64_t room = segment_data_end(s->config.segment_bytes) - (uint64_t)3 * SEGMENT_BLOCK_BYTES;

    if (s->errored) {
        return ERR_IO;
    }
    if (s->segment_count == 0) {
        return ERR_STATE;
    }
    if (r->begin != s->write_off || r->len_bytes > UINT64_MAX - r->begin || r->term.n < s->term.n ||
        (r->len_bytes == 0) != ((r->flags & RECORD_IDLE) != 0) ||
        (r->flags & ~(RECORD_UNIT_END | RECORD_IDLE | RECORD_OWN_FLAGS)) != 0) {
        return ERR_INVALID;
    }
    if (r->len_bytes > room - RECORD_HEADER_BYTES) {
        return ERR_TOO_BIG;
    }
    if (!record_payload_ok(r, payload) ||
        crc32c_extend(s->chain_crc, payload, r->len_bytes) != r->chain_crc) {
        return ERR_INVALID;
    }
    return ERR_OK;
}

static int store_append(struct storage *base, const struct record *r, const void *payload)
{
    struct store *s = store_of(base);
    size_t size = RECORD_HEADER_BYTES + r->len_bytes;

    int rc = store_append_check(s, r, payload);
    if (rc != ERR_OK) {
        return rc;
    }
    size_t at = (s->batch_len + 7) & ~(size_t)7;
    bool idle = (r->flags & RECORD_IDLE) != 0;
    uint64_t limit = idle ? s->data_end : s->data_end - SEGMENT_BLOCK_BYTES;
    if (s->write_pos + segment_block_up(at + size) > limit) {
        rc = idle ? ERR_NO_SPACE : store_roll(s);
        if (rc != ERR_OK) {
            return rc;
        }
        at = 0;
    }
    if (at == 0) {
        s->flush_chain = s->chain_crc;
    }
    store_batch_reserve(s, (size_t)segment_block_up(at + size));
    memset(s->batch + s->batch_len, 0, at - s->batch_len);
    struct segment_mark mark = {s->write_off, s->write_pos + at, s->term.n, s->chain_crc};
    segment_index_add(&store_open_segment(s)->index, &mark);
    s->batch_last = at;
    s->batch_last_record = *r;
    s->batch_last_record.flags &= ~RECORD_OWN_FLAGS;
    s->batch_last_record.flushed = s->flush_off;
    record_encode_header(&s->batch_last_record, s->batch + at);
    if (r->len_bytes > 0) {
        memcpy(s->batch + at + RECORD_HEADER_BYTES, payload, r->len_bytes);
        store_open_segment(s)->record_bytes += (size + 7) & ~(size_t)7;
    }
    s->batch_len = at + size;
    s->write_off += r->len_bytes;
    s->unit_off_write = r->flags & RECORD_UNIT_END ? s->write_off : s->unit_off_write;
    s->commit_seen_write = r->commit > s->commit_seen_write ? r->commit : s->commit_seen_write;
    s->last_wall_ms = r->wall_ms;
    s->chain_crc = r->chain_crc;
    s->term = r->term;
    return ERR_OK;
}

/* --- read --- */

size_t store_find_segment(const struct store *s, uint64_t offset)
{
    size_t i = s->segment_count - 1;

    while (i > 0 && s->segments[i].header.begin > offset) {
        i--;
    }
    return i;
}

/* Opens segment i for reading; the open one is handed out as it is. */
static int store_file_of(struct store *s, size_t i, struct disk_file **out)
{
    char path[DISK_PATH_BYTES];

    if (i == s->segment_count - 1) {
        *out = s->file;
        return ERR_OK;
    }
    int rc = store_segment_path(s, s->segments[i].header.begin, path);
    return rc == ERR_OK ? disk_open(store_disk(s), path, DISK_DIRECT, out) : rc;
}

static void store_file_done(struct store *s, struct disk_file *f)
{
    if (f != s->file) {
        disk_close(f);
    }
}

static size_t store_read_ahead(size_t max_bytes)
{
    size_t size = (size_t)segment_block_up((uint64_t)max_bytes + 1);

    return size < STORE_READ_AHEAD_MAX_BYTES ? size + SEGMENT_BLOCK_BYTES
                                             : STORE_READ_AHEAD_MAX_BYTES;
}

/* The last piece is no longer than what is still wanted; if batches are small it takes several. */
static void store_read_less(struct segment_cursor *c, size_t left_bytes)
{
    size_t ahead = store_read_ahead(left_bytes);

    ahead = ahead > STORE_READ_AHEAD_MIN_BYTES ? ahead : STORE_READ_AHEAD_MIN_BYTES;
    c->ahead = ahead < c->ahead ? ahead : c->ahead;
}

/* Places the reader at or in front of the record with the byte at `from`. */
static void store_seek(struct store *s, const struct store_segment *g, uint64_t from)
{
    const struct segment_mark *mark = segment_index_find(&g->index, from);

    if (g->health == STORE_DAMAGED && g->resumed && from >= g->hole_to &&
        (!mark || mark->offset < g->hole_to)) {
        mark = &g->resume;
    }
    if (mark) {
        segment_cursor_seek(&s->reader, mark);
    } else {
        segment_cursor_begin(&s->reader, &g->header);
    }
}

/* Whether nothing of the segment can be handed out from there on. */
static bool store_is_lost(const struct store_segment *g, uint64_t from)
{
    bool behind = g->health == STORE_DAMAGED && g->resumed && from >= g->hole_to;

    return g->missing || (g->bad && !behind) ||
           (g->health == STORE_DAMAGED && from >= g->hole_from && from < g->hole_to);
}

/* Walks segment i to the byte at `from`, and hands out the records from there on. */
static int store_read_segment(struct store *s, size_t i, uint64_t from, size_t max_bytes,
                              struct buf *out)
{
    struct segment_cursor *c = &s->reader;
    struct store_segment *g = &s->segments[i];
    uint64_t end = store_segment_end(s, i);
    struct segment_item item;
    size_t before = out->len;
    int rc = ERR_OK;

    store_seek(s, g, from);
    while (c->offset < end && out->len - before < max_bytes) {
        store_read_less(c, max_bytes - (out->len - before));
        struct segment_mark here = {c->offset, c->pos, c->term.n, c->chain_crc};
        rc = segment_cursor_next(c, &item);
        if (rc != ERR_OK) {
            break;
        }
        segment_index_add(&g->index, &here);
        if (record_end(&item.record) > from && item.record.len_bytes > 0) {
            buf_append(out, item.bytes, RECORD_HEADER_BYTES + item.record.len_bytes);
        }
    }
    if (out->len > before) {
        return ERR_OK;
    }
    return rc == ERR_OK ? ERR_NOT_FOUND : ERR_CORRUPT;
}

static int store_read(struct storage *base, uint64_t from, size_t max_bytes, struct buf *out)
{
    struct store *s = store_of(base);
    struct segment_cursor *c = &s->reader;

    if (s->segment_count == 0 || from < s->segments[0].header.begin || from >= s->flush_off) {
        return ERR_NOT_FOUND;
    }
    size_t i = store_find_segment(s, from);
    struct store_segment *g = &s->segments[i];
    if (store_is_lost(g, from)) {
        return ERR_CORRUPT;
    }
    int rc = store_file_of(s, i, &c->file);
    uint64_t size = 0;
    if (rc == ERR_OK && g->bad) {
        rc = disk_size(c->file, &size);
    }
    if (rc != ERR_OK) {
        store_suspect(s, i);
        return ERR_CORRUPT;
    }
    c->data_end = segment_data_end(g->bad ? size : g->header.file_bytes);
    c->ahead = store_read_ahead(max_bytes);
    c->window_len = 0; /* the file may have changed since */
    rc = store_read_segment(s, i, from, max_bytes > 0 ? max_bytes : 1, out);
    store_file_done(s, c->file);
    c->file = NULL;
    if (rc == ERR_CORRUPT) {
        store_suspect(s, i);
        log_error("%s: the log is corrupt at offset %llu, in the segment that begins at %llu",
                  s->folder, (unsigned long long)c->offset, (unsigned long long)g->header.begin);
    }
    return rc;
}

/* --- votes and snapshots --- */

static int store_meta_load(struct storage *base, struct buf *out)
{
    struct store *s = store_of(base);

    if (s->slots.version == 0) {
        return ERR_NOT_FOUND;
    }
    buf_append(out, buf_head(&s->slots.body), s->slots.body.len);
    return ERR_OK;
}

/* Passes on what leaves everything as it was; notes what is final. */
static int store_final(struct store *s, int rc)
{
    return rc == ERR_IO || rc == ERR_NOT_FOUND ? store_fail(s, rc) : rc;
}

static int store_meta_save(struct storage *base, const void *bytes, size_t size)
{
    struct store *s = store_of(base);

    return s->errored ? ERR_IO : store_final(s, slots_save(&s->slots, bytes, size));
}

static int store_snap_begin(struct storage *base, const struct snapshot_info *info)
{
    struct store *s = store_of(base);

    return s->errored ? ERR_IO
                      : store_final(s, snapfile_begin(&s->snaps, info, s->config.reserve_bytes));
}

static int store_snap_write(struct storage *base, uint64_t at, const void *bytes, size_t size)
{
    struct store *s = store_of(base);

    return s->errored ? ERR_IO : store_final(s, snapfile_write(&s->snaps, at, bytes, size));
}

static int store_snap_commit(struct storage *base)
{
    struct store *s = store_of(base);

    s->check.snap_active = false; /* what is looked at may be replaced */
    return s->errored ? ERR_IO : store_final(s, snapfile_commit(&s->snaps));
}

static int store_snap_drop(struct storage *base)
{
    struct store *s = store_of(base);

    return s->errored ? ERR_IO : store_final(s, snapfile_drop(&s->snaps));
}

static int store_snap_latest(struct storage *base, uint64_t limit, struct snapshot_info *out)
{
    return snapfile_latest(&store_of(base)->snaps, limit, out);
}

static int store_snap_read(struct storage *base, uint64_t offset, uint64_t at, size_t size,
                           struct buf *out)
{
    return snapfile_read(&store_of(base)->snaps, offset, at, size, out);
}

static int store_snap_verified(struct storage *base, uint64_t offset, uint64_t verified_ms)
{
    struct store *s = store_of(base);
    int rc = s->errored ? ERR_IO : snapfile_verified(&s->snaps, offset, verified_ms);

    return rc == ERR_IO ? store_fail(s, rc) : rc;
}

static int store_snap_delete(struct storage *base, uint64_t offset)
{
    struct store *s = store_of(base);
    int rc = s->errored ? ERR_IO : snapfile_delete(&s->snaps, offset);

    return rc == ERR_IO ? store_fail(s, rc) : rc;
}

const struct storage_ops store_ops = {
    .state = store_state,
    .append = store_append,
    .flush = store_flush,
    .truncate = store_truncate,
    .reset = store_reset,
    .read = store_read,
    .cuttable = store_cuttable,
    .check = store_check,
    .mend = store_mend,
    .pack = store_pack,
    .meta_load = store_meta_load,
    .meta_save = store_meta_save,
    .snap_begin = store_snap_begin,
    .snap_write = store_snap_write,
    .snap_commit = store_snap_commit,
    .snap_drop = store_snap_drop,
    .snap_latest = store_snap_latest,
    .snap_read = store_snap_read,
    .snap_verified = store_snap_verified,
    .snap_delete = store_snap_delete,
    .trim = store_trim,
};
