#include "tests/lib/fake_storage.h"

#include "common/crc32c.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

static struct fake_storage *fake_of(struct storage *s)
{
    return (struct fake_storage *)s;
}

/* Counts a writing call; true: it fails. *effect: but takes effect first. */
static bool fake_fails(struct fake_storage *f, const char *name, bool *effect)
{
    *effect = true;
    f->call_count++;
    buf_append_str(&f->trace, name);
    buf_append_str(&f->trace, " ");
    if (f->fail_at == 0 || --f->fail_at > 0) {
        return false;
    }
    *effect = f->fail_after;
    return true;
}

static uint64_t fake_end(const struct fake_storage *f, size_t count)
{
    return count > 0 ? record_end(&f->records[count - 1].r) : f->begin;
}

static uint64_t fake_unit_off(const struct fake_storage *f)
{
    for (size_t i = f->flushed; i > 0; i--) {
        const struct record *r = &f->records[i - 1].r;
        if (r->len_bytes > 0 && (r->flags & RECORD_UNIT_END) != 0) {
            return record_end(r);
        }
    }
    return f->begin;
}

static void fake_state(struct storage *s, struct storage_state *out)
{
    const struct fake_storage *f = fake_of(s);
    uint64_t commit = 0;

    for (size_t i = f->flushed; i > 0 && i + 64 > f->flushed; i--) {
        commit = f->records[i - 1].r.commit > commit ? f->records[i - 1].r.commit : commit;
    }
    uint64_t flush_off = fake_end(f, f->flushed);
    *out = (struct storage_state){
        .empty = !f->has_begin,
        .begin = f->begin,
        .write_off = fake_end(f, f->count),
        .flush_off = flush_off,
        .unit_off = fake_unit_off(f),
        .uncertain_to = f->uncertain_to,
        .commit = commit < flush_off ? commit : flush_off,
        .chain_crc = f->count > 0 ? f->records[f->count - 1].r.chain_crc : f->begin_chain,
        .flush_chain = f->flushed > 0 ? f->records[f->flushed - 1].r.chain_crc : f->begin_chain,
        .begin_chain = f->begin_chain,
        .begin_chain_known = f->has_begin && !f->chain_lost,
        .holes = f->holes,
    };
}

static bool fake_may_follow(const struct fake_storage *f, const struct record *r)
{
    return f->has_begin && r->begin == fake_end(f, f->count) && f->uncertain_to == 0 &&
           (f->count == 0 || r->term.n >= f->records[f->count - 1].r.term.n) &&
           (r->len_bytes == 0) == ((r->flags & RECORD_IDLE) != 0);
}

static int fake_append(struct storage *s, const struct record *r, const void *payload)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "append", &effect);

    if (!fake_may_follow(f, r)) {
        f->misuse_count++;
        return ERR_INVALID;
    }
    if (effect && !(fails && f->fail_with == ERR_NO_SPACE)) {
        if (f->count == f->cap) {
            f->cap = f->cap > 0 ? 2 * f->cap : 64;
            f->records = mem_realloc(f->records, f->cap * sizeof *f->records);
        }
        struct fake_record *at = &f->records[f->count++];
        at->r = *r;
        at->r.flushed = fake_end(f, f->flushed);
        at->payload = mem_alloc(r->len_bytes);
        if (r->len_bytes > 0) {
            memcpy(at->payload, payload, r->len_bytes);
        }
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_flush(struct storage *s)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "flush", &effect);

    f->flush_count++;
    if (effect) {
        f->flushed = f->count;
    }
    return fails ? f->fail_with : ERR_OK;
}

static void fake_drop(struct fake_storage *f, size_t count)
{
    while (f->count > count) {
        free(f->records[--f->count].payload);
    }
    f->flushed = f->flushed < f->count ? f->flushed : f->count;
}

static int fake_truncate(struct storage *s, uint64_t offset)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "truncate", &effect);
    size_t keep = f->count;

    while (keep > 0 && record_end(&f->records[keep - 1].r) > offset) {
        keep--;
    }
    if (!f->has_begin || fake_end(f, keep) != offset) {
        f->misuse_count++;
        return ERR_INVALID;
    }
    if (f->begin_rotten && offset == f->begin) {
        return ERR_CORRUPT;
    }
    if (effect) {
        fake_drop(f, keep);
        f->flushed = f->count;
        f->uncertain_to = 0;
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_reset(struct storage *s, uint64_t offset, uint32_t chain_crc)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "reset", &effect);

    if (effect) {
        fake_drop(f, 0);
        f->has_begin = true;
        f->begin = offset;
        f->begin_chain = chain_crc;
        f->uncertain_to = 0;
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_read(struct storage *s, uint64_t from, size_t max_bytes, struct buf *out)
{
    const struct fake_storage *f = fake_of(s);
    size_t i = 0, start = out->len;
    uint8_t header[RECORD_HEADER_BYTES];

    if (f->read_rotten) {
        return ERR_CORRUPT;
    }
    while (i < f->flushed && record_end(&f->records[i].r) <= from) {
        i++;
    }
    if (from < f->begin || i == f->flushed) {
        return ERR_NOT_FOUND;
    }
    if (f->holes.from <= from && from < f->holes.to) {
        return ERR_CORRUPT;
    }
    for (; i < f->flushed && (out->len == start || out->len - start < max_bytes); i++) {
        record_encode_header(&f->records[i].r, header);
        buf_append(out, header, sizeof header);
        buf_append(out, f->records[i].payload, f->records[i].r.len_bytes);
    }
    return ERR_OK;
}

static uint64_t fake_cuttable(struct storage *s, uint64_t offset)
{
    const struct fake_storage *f = fake_of(s);

    return f->holes.from < offset && offset < f->holes.to ? f->holes.from : offset;
}

/* The hole is gone with its last byte. */
static int fake_mend(struct storage *s, const void *records, size_t size)
{
    struct fake_storage *f = fake_of(s);
    const uint8_t *bytes = records;
    struct record r;
    bool effect;
    bool fails = fake_fails(f, "mend", &effect);

    buf_append(&f->mended, records, size);
    for (size_t at = 0; effect && at < size; at += RECORD_HEADER_BYTES + r.len_bytes) {
        MUST(record_decode_header(bytes + at, size - at, &r) == ERR_OK);
        if (record_crosses(&r, f->holes.next, f->holes.to)) {
            return ERR_INVALID;
        }
        MUST(r.begin == f->holes.next && record_end(&r) <= f->holes.to);
        f->holes.next = record_end(&r);
        f->holes.mended_bytes += r.len_bytes;
    }
    if (f->holes.next == f->holes.to) {
        f->holes =
            (struct storage_holes){.found = f->holes.found, .mended_bytes = f->holes.mended_bytes};
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_meta_load(struct storage *s, struct buf *out)
{
    const struct fake_storage *f = fake_of(s);

    if (f->meta_rotten) {
        return ERR_CORRUPT;
    }
    if (!f->has_meta) {
        return ERR_NOT_FOUND;
    }
    buf_append(out, buf_head(&f->meta), f->meta.len);
    return ERR_OK;
}

static int fake_meta_save(struct storage *s, const void *bytes, size_t size)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "meta", &effect);

    if (effect) {
        f->has_meta = true;
        buf_clear(&f->meta);
        buf_append(&f->meta, bytes, size);
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_trim(struct storage *s, uint64_t offset, uint64_t *begin)
{
    struct fake_storage *f = fake_of(s);
    size_t gone = 0;
    bool effect;
    bool fails = fake_fails(f, "trim", &effect);

    while (effect && gone < f->flushed && record_end(&f->records[gone].r) <= offset) {
        f->begin = record_end(&f->records[gone].r);
        f->begin_chain = f->records[gone].r.chain_crc;
        free(f->records[gone++].payload);
    }
    if (gone > 0) {
        f->count -= gone;
        f->flushed -= gone;
        memmove(f->records, f->records + gone, f->count * sizeof *f->records);
    }
    *begin = f->begin;
    return fails ? f->fail_with : ERR_OK;
}

static int fake_snap_begin(struct storage *s, const struct snapshot_info *info)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "snap_begin", &effect);

    f->receiving.info = *info;
    buf_clear(&f->receiving.bytes);
    return fails ? f->fail_with : ERR_OK;
}

static int fake_snap_write(struct storage *s, uint64_t at, const void *bytes, size_t size)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "snap_write", &effect);

    MUST(at == f->receiving.bytes.len);
    if (effect) {
        buf_append(&f->receiving.bytes, bytes, size);
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_snap_commit(struct storage *s)
{
    struct fake_storage *f = fake_of(s);
    struct fake_snapshot *r = &f->receiving;
    bool effect;
    bool fails = fake_fails(f, "snap_commit", &effect);

    if (r->bytes.len != r->info.size_bytes ||
        crc32c_extend(0, buf_head(&r->bytes), r->bytes.len) != r->info.crc) {
        return ERR_CORRUPT;
    }
    if (effect) {
        MUST(f->snap_count < FAKE_SNAPSHOTS_MAX);
        f->snaps[f->snap_count++] = *r;
        *r = (struct fake_snapshot){.bytes = BUF_INIT};
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_snap_drop(struct storage *s)
{
    struct fake_storage *f = fake_of(s);
    bool effect;
    bool fails = fake_fails(f, "snap_drop", &effect);

    if (effect) {
        buf_release(&f->receiving.bytes);
        f->receiving = (struct fake_snapshot){.bytes = BUF_INIT};
    }
    return fails ? f->fail_with : ERR_OK;
}

static int fake_snap_latest(struct storage *s, uint64_t limit, struct snapshot_info *out)
{
    const struct fake_storage *f = fake_of(s);
    const struct fake_snapshot *best = NULL;

    for (unsigned i = 0; i < f->snap_count; i++) {
        const struct fake_snapshot *at = &f->snaps[i];
        if (at->info.offset <= limit && (best == NULL || at->info.offset >= best->info.offset)) {
            best = at;
        }
    }
    if (best == NULL) {
        return ERR_NOT_FOUND;
    }
    *out = best->info;
    return ERR_OK;
}

static int fake_snap_read(struct storage *s, uint64_t offset, uint64_t at, size_t size,
                          struct buf *out)
{
    const struct fake_storage *f = fake_of(s);

    for (unsigned i = f->snap_count; i > 0; i--) {
        const struct fake_snapshot *snap = &f->snaps[i - 1];
        if (snap->info.offset == offset) {
            size_t left = at < snap->bytes.len ? snap->bytes.len - (size_t)at : 0;
            if (left > 0) {
                buf_append(out, buf_head(&snap->bytes) + at, left < size ? left : size);
            }
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

static struct fake_snapshot *fake_snap_find(struct fake_storage *f, uint64_t offset)
{
    for (unsigned i = f->snap_count; i > 0; i--) {
        if (f->snaps[i - 1].info.offset == offset) {
            return &f->snaps[i - 1];
        }
    }
    return NULL;
}

static int fake_snap_verified(struct storage *s, uint64_t offset, uint64_t verified_ms)
{
    struct fake_storage *f = fake_of(s);
    struct fake_snapshot *snap = fake_snap_find(f, offset);
    bool effect;
    bool fails = fake_fails(f, "snap_verified", &effect);

    if (snap == NULL) {
        return ERR_NOT_FOUND;
    }
    snap->info.verified_ms = effect ? verified_ms : snap->info.verified_ms;
    return fails ? f->fail_with : ERR_OK;
}

static int fake_snap_delete(struct storage *s, uint64_t offset)
{
    struct fake_storage *f = fake_of(s);
    struct fake_snapshot *snap = fake_snap_find(f, offset);
    bool effect;
    bool fails = fake_fails(f, "snap_delete", &effect);

    if (snap == NULL) {
        return ERR_NOT_FOUND;
    }
    if (effect) {
        buf_release(&snap->bytes);
        *snap = f->snaps[--f->snap_count];
    }
    return fails ? f->fail_with : ERR_OK;
}

static const struct storage_ops fake_ops = {
    .state = fake_state,
    .append = fake_append,
    .flush = fake_flush,
    .truncate = fake_truncate,
    .reset = fake_reset,
    .read = fake_read,
    .cuttable = fake_cuttable,
    .mend = fake_mend,
    .trim = fake_trim,
    .meta_load = fake_meta_load,
    .meta_save = fake_meta_save,
    .snap_begin = fake_snap_begin,
    .snap_write = fake_snap_write,
    .snap_commit = fake_snap_commit,
    .snap_drop = fake_snap_drop,
    .snap_latest = fake_snap_latest,
    .snap_read = fake_snap_read,
    .snap_verified = fake_snap_verified,
    .snap_delete = fake_snap_delete,
};

void fake_storage_init(struct fake_storage *f)
{
    *f = (struct fake_storage){.base = {.ops = &fake_ops}, .fail_with = ERR_IO};
}

void fake_storage_fini(struct fake_storage *f)
{
    fake_drop(f, 0);
    free(f->records);
    buf_release(&f->meta);
    buf_release(&f->mended);
    buf_release(&f->trace);
    buf_release(&f->receiving.bytes);
    for (unsigned i = 0; i < f->snap_count; i++) {
        buf_release(&f->snaps[i].bytes);
    }
}

void fake_storage_crash(struct fake_storage *f)
{
    fake_drop(f, f->flushed);
    f->fail_at = 0;
    buf_clear(&f->receiving.bytes);
}

void fake_storage_bytes(const struct fake_storage *f, uint64_t from, struct buf *out)
{
    for (size_t i = 0; i < f->flushed; i++) {
        const struct record *r = &f->records[i].r;
        if (record_end(r) > from) {
            size_t skip = from > r->begin ? (size_t)(from - r->begin) : 0;
            buf_append(out, f->records[i].payload + skip, r->len_bytes - skip);
        }
    }
}

const char *fake_storage_trace(struct fake_storage *f)
{
    static char text[4096];
    size_t len = f->trace.len < sizeof text - 1 ? f->trace.len : sizeof text - 1;

    if (len > 0) {
        memcpy(text, buf_head(&f->trace), len);
    }
    text[len] = '\0';
    buf_clear(&f->trace);
    return text;
}
