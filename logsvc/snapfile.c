#include "logsvc/snapfile_impl.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/mutant.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the .meta file --- */

enum { SNAPFILE_TEXT_AT = 32, SNAPFILE_TEXT_MAX = SNAPFILE_HEAD_BYTES - SNAPFILE_TEXT_AT };

uint64_t snapfile_chunks(uint64_t size_bytes)
{
    return size_bytes / SNAPFILE_CHUNK_BYTES + (size_bytes % SNAPFILE_CHUNK_BYTES > 0);
}

void snapfile_encode(const struct snapshot_info *info, const uint8_t *sums, size_t sums_bytes,
                     struct buf *out)
{
    uint8_t head[SNAPFILE_HEAD_BYTES] = {0};
    struct buf text = BUF_INIT;

    snapinfo_to_json(info, &text);
    MUST(text.len <= SNAPFILE_TEXT_MAX);
    le_put32(head, SNAPFILE_MAGIC);
    le_put32(head + 8, SNAPFILE_VERSION);
    le_put32(head + 12, (uint32_t)text.len);
    le_put32(head + 16, SNAPFILE_CHUNK_BYTES);
    le_put32(head + 20, (uint32_t)(sums_bytes / 4));
    le_put32(head + 24, crc32c_extend(0, sums, sums_bytes));
    memcpy(head + SNAPFILE_TEXT_AT, buf_head(&text), text.len);
    le_put32(head + 4, crc32c_extend(0, head + 8, sizeof head - 8));
    buf_append(out, head, sizeof head);
    buf_append(out, sums, sums_bytes);
    buf_release(&text);
}

int snapfile_decode(const uint8_t *bytes, size_t size, struct snapshot_info *info,
                    const uint8_t **sums, size_t *sums_bytes)
{
    if (size < SNAPFILE_HEAD_BYTES || le_get32(bytes) != SNAPFILE_MAGIC ||
        le_get32(bytes + 8) != SNAPFILE_VERSION ||
        le_get32(bytes + 4) != crc32c_extend(0, bytes + 8, SNAPFILE_HEAD_BYTES - 8)) {
        return ERR_CORRUPT;
    }
    uint32_t text_bytes = le_get32(bytes + 12);
    *sums = bytes + SNAPFILE_HEAD_BYTES;
    *sums_bytes = size - SNAPFILE_HEAD_BYTES;
    if (text_bytes > SNAPFILE_TEXT_MAX || le_get32(bytes + 16) != SNAPFILE_CHUNK_BYTES ||
        *sums_bytes != (uint64_t)le_get32(bytes + 20) * 4 ||
        le_get32(bytes + 24) != crc32c_extend(0, *sums, *sums_bytes) ||
        snapinfo_from_json((const char *)bytes + SNAPFILE_TEXT_AT, text_bytes, info) != ERR_OK ||
        snapfile_chunks(info->size_bytes) != *sums_bytes / 4) {
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

void snapfile_sum(struct snapfile_sums *sums, const uint8_t *bytes, size_t size, bool end)
{
    uint8_t sum[4];

    while (size > 0 || (end && sums->part_bytes > 0)) {
        size_t room = SNAPFILE_CHUNK_BYTES - sums->part_bytes;
        size_t n = size < room ? size : room;
        sums->part = crc32c_extend(sums->part, bytes, n);
        sums->part_bytes += n;
        bytes += n;
        size -= n;
        if (sums->part_bytes == SNAPFILE_CHUNK_BYTES || (end && size == 0)) {
            le_put32(sum, sums->part);
            buf_append(&sums->sums, sum, sizeof sum);
            sums->part = 0;
            sums->part_bytes = 0;
        }
    }
}

/* --- the list --- */

static void snapfile_name(uint64_t offset, const char *end, char out[64])
{
    (void)snprintf(out, 64, "snap-%020llu.%s", (unsigned long long)offset, end);
}

int snapfile_path(const struct snapfile *s, uint64_t offset, const char *end,
                  char out[DISK_PATH_BYTES])
{
    char name[64];

    snapfile_name(offset, end, name);
    return disk_path(out, s->folder, name);
}

struct snapfile_entry *snapfile_find(const struct snapfile *s, uint64_t offset)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->all[i].info.offset == offset) {
            return &s->all[i];
        }
    }
    return NULL;
}

void snapfile_add(struct snapfile *s, const struct snapshot_info *info, const uint8_t *sums,
                  size_t sums_bytes)
{
    struct snapfile_entry *e = snapfile_find(s, info->offset);
    size_t at = s->count;

    if (e == NULL) {
        if (s->count == s->cap) {
            s->cap = s->cap > 0 ? s->cap * 2 : 4;
            s->all = mem_realloc(s->all, s->cap * sizeof *s->all);
        }
        while (at > 0 && s->all[at - 1].info.offset > info->offset) {
            at--;
        }
        memmove(s->all + at + 1, s->all + at, (s->count - at) * sizeof *s->all);
        s->count++;
        e = &s->all[at];
        e->sums = (struct buf)BUF_INIT;
    }
    e->info = *info;
    e->rotten = false;
    buf_clear(&e->sums);
    buf_append(&e->sums, sums, sums_bytes);
}

static void snapfile_drop_entry(struct snapfile *s, struct snapfile_entry *e)
{
    size_t at = (size_t)(e - s->all);

    buf_release(&e->sums);
    s->count--;
    memmove(e, e + 1, (s->count - at) * sizeof *s->all);
}

/* --- opening --- */

struct snapfile_listing {
    uint64_t *metas, *rdbs; /* offsets in file names */
    size_t meta_count, rdb_count, meta_cap, rdb_cap;
};

static void snapfile_list_add(uint64_t **list, size_t *count, size_t *cap, uint64_t value)
{
    if (*count == *cap) {
        *cap = *cap > 0 ? *cap * 2 : 8;
        *list = mem_realloc(*list, *cap * sizeof **list);
    }
    (*list)[(*count)++] = value;
}

static void snapfile_list_cb(void *ctx, const char *name)
{
    struct snapfile_listing *l = ctx;
    char again[64];
    unsigned long long offset;

    if (sscanf(name, "snap-%20llu.", &offset) != 1) {
        return;
    }
    snapfile_name(offset, "meta", again);
    if (strcmp(name, again) == 0) {
        snapfile_list_add(&l->metas, &l->meta_count, &l->meta_cap, offset);
    }
    snapfile_name(offset, "rdb", again);
    if (strcmp(name, again) == 0) {
        snapfile_list_add(&l->rdbs, &l->rdb_count, &l->rdb_cap, offset);
    }
}

/* Appends a whole small file to out. */
static int snapfile_load(struct snapfile *s, const char *path, struct buf *out)
{
    struct disk_file *f;
    uint64_t size = 0;
    size_t got = 0;

    int rc = disk_open(s->disk, path, 0, &f);
    if (rc != ERR_OK) {
        return rc;
    }
    rc = disk_size(f, &size);
    if (rc == ERR_OK && size > 0 && size <= SNAPFILE_META_MAX_BYTES) {
        rc = disk_read(f, buf_reserve(out, (size_t)size), (size_t)size, 0, &got);
        buf_commit(out, rc == ERR_OK ? got : 0);
    }
    disk_close(f);
    return rc;
}

static int snapfile_load_meta(struct snapfile *s, uint64_t offset)
{
    char path[DISK_PATH_BYTES], rdb_path[DISK_PATH_BYTES];
    struct snapshot_info info;
    struct buf bytes = BUF_INIT;
    const uint8_t *sums;
    size_t sums_bytes;
    struct disk_file *f;
    uint64_t size = 0;

    int rc = snapfile_path(s, offset, "meta", path);
    if (rc == ERR_OK) {
        rc = snapfile_load(s, path, &bytes);
    }
    bool readable = rc != ERR_IO;
    if (rc != ERR_OK && readable) {
        buf_release(&bytes);
        return rc;
    }
    bool good = readable &&
                snapfile_decode(buf_head(&bytes), bytes.len, &info, &sums, &sums_bytes) == ERR_OK &&
                info.offset == offset;
    if (good) {
        rc = snapfile_path(s, offset, "rdb", rdb_path);
        if (rc == ERR_OK) {
            rc = disk_open(s->disk, rdb_path, 0, &f);
        }
        if (rc == ERR_OK) {
            rc = disk_size(f, &size);
            disk_close(f);
        }
        good = rc == ERR_OK && size == info.size_bytes;
    }
    if (good) {
        snapfile_add(s, &info, sums, sums_bytes);
    } else {
        log_warn("%s is corrupt or lacks its data, and is left out", path);
    }
    buf_release(&bytes);
    return rc == ERR_NOT_FOUND || !readable ? ERR_OK : rc;
}

int snapfile_remove(struct snapfile *s, const char *path)
{
    int rc = s->disk->ops->unlink(s->disk, path);

    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* Removes the data of snapshots that were never published. */
static int snapfile_remove_orphans(struct snapfile *s, const struct snapfile_listing *l)
{
    char path[DISK_PATH_BYTES];

    int rc = disk_path(path, s->folder, SNAPFILE_INCOMING_NAME);
    if (rc == ERR_OK) {
        rc = snapfile_remove(s, path);
    }
    if (rc == ERR_OK) {
        rc = disk_path(path, s->folder, SNAPFILE_META_NAME);
    }
    if (rc == ERR_OK) {
        rc = snapfile_remove(s, path);
    }
    for (size_t i = 0; i < l->rdb_count && rc == ERR_OK; i++) {
        bool published = false;
        for (size_t k = 0; k < l->meta_count && !published; k++) {
            published = l->metas[k] == l->rdbs[i];
        }
        if (!published) {
            rc = snapfile_path(s, l->rdbs[i], "rdb", path);
            rc = rc == ERR_OK ? snapfile_remove(s, path) : rc;
        }
    }
    return rc;
}

int snapfile_open(struct snapfile *s, struct disk *d, const char *folder)
{
    struct snapfile_listing l = {0};

    *s = (struct snapfile){.disk = d, .folder = folder};
    int rc = d->ops->list(d, folder, snapfile_list_cb, &l);
    if (rc == ERR_OK) {
        rc = snapfile_remove_orphans(s, &l);
    }
    for (size_t i = 0; i < l.meta_count && rc == ERR_OK; i++) {
        rc = snapfile_load_meta(s, l.metas[i]);
    }
    free(l.metas);
    free(l.rdbs);
    if (rc != ERR_OK) {
        snapfile_close(s);
    }
    return rc;
}

void snapfile_close(struct snapfile *s)
{
    disk_close(s->incoming);
    s->incoming = NULL;
    buf_release(&s->incoming_sums.sums);
    while (s->count > 0) {
        snapfile_drop_entry(s, &s->all[s->count - 1]);
    }
    free(s->all);
    s->all = NULL;
    s->cap = 0;
}

/* --- naming anew --- */

int snapfile_prepare_meta(struct snapfile *s, const struct snapshot_info *info,
                          const struct buf *sums, char path[DISK_PATH_BYTES])
{
    struct buf bytes = BUF_INIT;
    struct disk_file *f;

    int rc = disk_path(path, s->folder, SNAPFILE_META_NAME);
    if (rc == ERR_OK) {
        rc = disk_open(s->disk, path, DISK_WRITE | DISK_CREATE, &f);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    snapfile_encode(info, buf_head(sums), sums->len, &bytes);
    rc = disk_write(f, buf_head(&bytes), bytes.len, 0);
    if (rc == ERR_OK) {
        rc = disk_sync(f);
    }
    disk_close(f);
    buf_release(&bytes);
    if (rc == ERR_NO_SPACE) {
        int removed = snapfile_remove(s, path);
        return removed == ERR_OK ? ERR_NO_SPACE : removed;
    }
    return rc;
}

int snapfile_rename(struct snapfile *s, const char *from, uint64_t offset, const char *end)
{
    char to[DISK_PATH_BYTES];

    int rc = snapfile_path(s, offset, end, to);
    if (rc == ERR_OK) {
        rc = s->disk->ops->rename(s->disk, from, to);
    }
    if (rc == ERR_OK) {
        rc = s->disk->ops->sync_folder(s->disk, s->folder);
    }
    return rc;
}

/* --- marks --- */

int snapfile_verified(struct snapfile *s, uint64_t offset, uint64_t verified_ms)
{
    struct snapfile_entry *e = snapfile_find(s, offset);
    char meta[DISK_PATH_BYTES];

    if (e == NULL || e->rotten) {
        return ERR_NOT_FOUND;
    }
    struct snapshot_info info = e->info;
    info.verified_ms = verified_ms;
    int rc = snapfile_prepare_meta(s, &info, &e->sums, meta);
    if (rc != ERR_OK) {
        return rc;
    }
    rc = snapfile_rename(s, meta, offset, "meta");
    if (rc == ERR_OK) {
        e->info = info;
    }
    return rc == ERR_NO_SPACE ? ERR_IO : rc;
}

int snapfile_delete(struct snapfile *s, uint64_t offset)
{
    struct snapfile_entry *e = snapfile_find(s, offset);
    char path[DISK_PATH_BYTES];

    if (e == NULL) {
        return ERR_NOT_FOUND;
    }
    int rc = snapfile_path(s, offset, "meta", path);
    if (rc == ERR_OK) {
        rc = snapfile_remove(s, path);
    }
    if (rc == ERR_OK) {
        rc = s->disk->ops->sync_folder(s->disk, s->folder);
    }
    if (rc == ERR_OK) {
        rc = snapfile_path(s, offset, "rdb", path);
    }
    if (rc == ERR_OK) {
        rc = snapfile_remove(s, path);
    }
    if (rc == ERR_OK) {
        rc = s->disk->ops->sync_folder(s->disk, s->folder);
    }
    if (rc == ERR_OK) {
        snapfile_drop_entry(s, e);
    }
    return rc == ERR_NO_SPACE ? ERR_IO : rc;
}

/* --- reading --- */

int snapfile_latest(const struct snapfile *s, uint64_t limit, struct snapshot_info *out)
{
    for (size_t i = s->count; i > 0; i--) {
        const struct snapfile_entry *e = &s->all[i - 1];
        if (e->info.offset <= limit && !e->rotten) {
            *out = e->info;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

static void snapfile_leave_out(struct snapfile_entry *e, const char *path)
{
    if (!e->rotten) {
        log_error("%s has rotted, and is not offered any more", path);
        e->rotten = true;
    }
}

/* Reads the chunk that begins at `at`, and checks it. */
static int snapfile_read_chunk(struct snapfile_entry *e, struct disk_file *f, uint64_t at,
                               uint8_t *chunk, size_t *size)
{
    uint64_t left = e->info.size_bytes - at;
    size_t got = 0;

    *size = left < SNAPFILE_CHUNK_BYTES ? (size_t)left : SNAPFILE_CHUNK_BYTES;
    int rc = disk_read(f, chunk, *size, at, &got);
    if (rc != ERR_OK) {
        return rc == ERR_IO ? ERR_CORRUPT : rc;
    }
    uint32_t sum = le_get32(buf_head(&e->sums) + at / SNAPFILE_CHUNK_BYTES * 4);
    bool right = crc32c_extend(0, chunk, *size) == sum || MUTANT(SNAP_ROTTEN);
    return got == *size && right ? ERR_OK : ERR_CORRUPT;
}

int snapfile_read(struct snapfile *s, uint64_t offset, uint64_t at, size_t size, struct buf *out)
{
    struct snapfile_entry *e = snapfile_find(s, offset);
    char path[DISK_PATH_BYTES];
    struct disk_file *f;
    size_t before = out->len;

    if (e == NULL) {
        return ERR_NOT_FOUND;
    }
    int rc = snapfile_path(s, offset, "rdb", path);
    if (rc == ERR_OK) {
        rc = disk_open(s->disk, path, 0, &f);
    }
    if (rc != ERR_OK) {
        snapfile_leave_out(e, path);
        return rc == ERR_TOO_BIG ? rc : ERR_CORRUPT;
    }
    uint8_t *chunk = mem_alloc(SNAPFILE_CHUNK_BYTES);
    while (rc == ERR_OK && size > 0 && at < e->info.size_bytes) {
        uint64_t begin = at / SNAPFILE_CHUNK_BYTES * SNAPFILE_CHUNK_BYTES;
        size_t got = 0, skip = (size_t)(at - begin);
        rc = snapfile_read_chunk(e, f, begin, chunk, &got);
        if (rc == ERR_OK) {
            size_t n = got - skip < size ? got - skip : size;
            buf_append(out, chunk + skip, n);
            at += n;
            size -= n;
        }
    }
    free(chunk);
    disk_close(f);
    if (rc != ERR_OK) {
        snapfile_leave_out(e, path);
        rc = out->len > before ? ERR_OK : ERR_CORRUPT; /* what is sound in front of it */
    }
    return rc;
}

/* --- looking after them --- */

/* The .meta file is made again if it is not what it should be. */
static int snapfile_check_meta(struct snapfile *s, struct snapfile_entry *e)
{
    struct buf wanted = BUF_INIT, found = BUF_INIT;
    char path[DISK_PATH_BYTES];

    int rc = snapfile_path(s, e->info.offset, "meta", path);
    if (rc != ERR_OK) {
        return rc;
    }
    snapfile_encode(&e->info, buf_head(&e->sums), e->sums.len, &wanted);
    bool good = snapfile_load(s, path, &found) == ERR_OK && found.len == wanted.len &&
                memcmp(buf_head(&found), buf_head(&wanted), wanted.len) == 0;
    buf_release(&wanted);
    buf_release(&found);
    if (good) {
        return ERR_OK;
    }
    log_error("%s has rotted, and is written anew", path);
    rc = snapfile_verified(s, e->info.offset, e->info.verified_ms);
    return rc == ERR_NO_SPACE ? ERR_OK : rc;
}

int snapfile_check(struct snapfile *s, uint64_t offset, size_t size, uint64_t *at, uint32_t *crc,
                   bool *done)
{
    struct snapfile_entry *e = snapfile_find(s, offset);
    char path[DISK_PATH_BYTES];
    struct disk_file *f;
    size_t got = 0;

    *done = true;
    if (e == NULL || e->rotten) {
        return ERR_OK;
    }
    size = size < DISK_BLOCK_BYTES ? DISK_BLOCK_BYTES : size / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    uint64_t left = e->info.size_bytes - *at;
    size_t want = left < size ? (size_t)left : size;
    uint8_t *bytes = disk_memory(size);
    int rc = snapfile_path(s, offset, "rdb", path);
    if (rc == ERR_OK) {
        rc = disk_open(s->disk, path, DISK_DIRECT, &f);
    }
    if (rc == ERR_OK) {
        rc = disk_read(f, bytes, size, *at, &got);
        disk_close(f);
    }
    bool good = rc == ERR_OK && got >= want;
    if (good) {
        *crc = crc32c_extend(*crc, bytes, want);
        *at += want;
        *done = *at == e->info.size_bytes;
        good = !*done || *crc == e->info.crc;
    }
    free(bytes);
    if (!good) {
        snapfile_leave_out(e, path);
        return ERR_CORRUPT;
    }
    return *done ? snapfile_check_meta(s, e) : ERR_OK;
}
