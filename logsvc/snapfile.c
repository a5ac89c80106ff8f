#include "logsvc/snapfile.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Synced while it is received, so that the last sync does not hold up the node for long. */
enum { SNAPFILE_SYNC_BYTES = 16 * 1024 * 1024 };

#define SNAPFILE_INCOMING_NAME "snap-incoming.tmp"

void snapfile_encode(const struct snapshot_info *info, uint8_t out[SNAPFILE_META_BYTES])
{
    memset(out, 0, SNAPFILE_META_BYTES);
    le_put32(out, SNAPFILE_MAGIC);
    le_put32(out + 8, SNAPFILE_VERSION);
    le_put32(out + 12, info->crc);
    le_put64(out + 16, info->offset);
    le_put64(out + 24, info->term.n);
    le_put64(out + 32, info->size_bytes);
    le_put64(out + 40, info->wall_ms);
    le_put32(out + 48, info->chain_crc);
    memcpy(out + 56, info->replid.hex, sizeof info->replid.hex);
    memcpy(out + 96, info->engine_version,
           strnlen(info->engine_version, sizeof info->engine_version - 1));
    le_put32(out + 4, crc32c_extend(0, out + 8, SNAPFILE_META_BYTES - 8));
}

int snapfile_decode(const uint8_t bytes[SNAPFILE_META_BYTES], struct snapshot_info *info)
{
    if (le_get32(bytes) != SNAPFILE_MAGIC || le_get32(bytes + 8) != SNAPFILE_VERSION ||
        le_get32(bytes + 4) != crc32c_extend(0, bytes + 8, SNAPFILE_META_BYTES - 8)) {
        return ERR_CORRUPT;
    }
    *info = (struct snapshot_info){
        .crc = le_get32(bytes + 12),
        .offset = le_get64(bytes + 16),
        .term = {le_get64(bytes + 24)},
        .size_bytes = le_get64(bytes + 32),
        .wall_ms = le_get64(bytes + 40),
        .chain_crc = le_get32(bytes + 48),
    };
    memcpy(info->replid.hex, bytes + 56, sizeof info->replid.hex);
    memcpy(info->engine_version, bytes + 96, sizeof info->engine_version - 1);
    return ERR_OK;
}

static void snapfile_name(uint64_t offset, const char *end, char out[64])
{
    (void)snprintf(out, 64, "snap-%020llu.%s", (unsigned long long)offset, end);
}

static int snapfile_path(const struct snapfile *s, uint64_t offset, const char *end,
                         char out[DISK_PATH_BYTES])
{
    char name[64];

    snapfile_name(offset, end, name);
    return disk_path(out, s->folder, name);
}

/* Puts a published snapshot into the list, in place of one at the same offset. */
static void snapfile_add(struct snapfile *s, const struct snapshot_info *info)
{
    size_t at = s->count;

    while (at > 0 && s->all[at - 1].offset > info->offset) {
        at--;
    }
    if (at > 0 && s->all[at - 1].offset == info->offset) {
        s->all[at - 1] = *info;
        return;
    }
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 4;
        s->all = mem_realloc(s->all, s->cap * sizeof *s->all);
    }
    memmove(s->all + at + 1, s->all + at, (s->count - at) * sizeof *s->all);
    s->all[at] = *info;
    s->count++;
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

static int snapfile_load_meta(struct snapfile *s, uint64_t offset)
{
    uint8_t bytes[SNAPFILE_META_BYTES];
    char path[DISK_PATH_BYTES], rdb_path[DISK_PATH_BYTES];
    struct snapshot_info info;
    struct disk_file *f;
    uint64_t size = 0;
    size_t got = 0;

    int rc = snapfile_path(s, offset, "meta", path);
    if (rc == ERR_OK) {
        rc = disk_open(s->disk, path, 0, &f);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    rc = disk_read(f, bytes, sizeof bytes, 0, &got);
    disk_close(f);
    if (rc != ERR_OK) {
        return rc;
    }
    bool good =
        got == sizeof bytes && snapfile_decode(bytes, &info) == ERR_OK && info.offset == offset;
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
        snapfile_add(s, &info);
    } else {
        log_warn("%s is corrupt or lacks its data, and is left out", path);
    }
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static int snapfile_remove(struct snapfile *s, const char *path)
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
    free(s->all);
    s->all = NULL;
    s->count = s->cap = 0;
}

/* --- receiving --- */

/* Gives up what is being received; its file is emptied by the next one, or removed at start. */
static int snapfile_drop(struct snapfile *s)
{
    char path[DISK_PATH_BYTES];

    disk_close(s->incoming);
    s->incoming = NULL;
    int rc = disk_path(path, s->folder, SNAPFILE_INCOMING_NAME);
    return rc == ERR_OK ? snapfile_remove(s, path) : rc;
}

int snapfile_begin(struct snapfile *s, const struct snapshot_info *info, uint64_t reserve_bytes)
{
    char path[DISK_PATH_BYTES];
    uint64_t space;

    int rc = snapfile_drop(s);
    if (rc == ERR_OK) {
        rc = disk_path(path, s->folder, SNAPFILE_INCOMING_NAME);
    }
    if (rc == ERR_OK) {
        rc = s->disk->ops->free_space(s->disk, s->folder, &space);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    if (space < info->size_bytes || space - info->size_bytes < reserve_bytes) {
        return ERR_NO_SPACE;
    }
    rc = disk_open(s->disk, path, DISK_WRITE | DISK_CREATE, &s->incoming);
    if (rc == ERR_OK) {
        s->incoming_info = *info;
        s->incoming_info.engine_version[sizeof info->engine_version - 1] = '\0';
        s->incoming_at = s->synced_at = 0;
        s->incoming_crc = 0;
    }
    return rc;
}

int snapfile_write(struct snapfile *s, uint64_t at, const void *bytes, size_t size)
{
    if (!s->incoming) {
        return ERR_STATE;
    }
    int rc;
    if (at != s->incoming_at || size > s->incoming_info.size_bytes - at) {
        rc = snapfile_drop(s);
        return rc == ERR_OK ? ERR_CORRUPT : rc;
    }
    rc = disk_write(s->incoming, bytes, size, at);
    if (rc == ERR_OK && at + size - s->synced_at >= SNAPFILE_SYNC_BYTES) {
        rc = disk_sync(s->incoming);
        s->synced_at = at + size;
    }
    if (rc == ERR_NO_SPACE) {
        /* Somebody else took the room that was there at the begin: give up this snapshot only. */
        int dropped = snapfile_drop(s);
        return dropped == ERR_OK ? ERR_NO_SPACE : dropped;
    }
    if (rc == ERR_OK) {
        s->incoming_crc = crc32c_extend(s->incoming_crc, bytes, size);
        s->incoming_at += size;
    }
    return rc;
}

static int snapfile_publish(struct snapfile *s)
{
    uint8_t meta[SNAPFILE_META_BYTES];
    char from[DISK_PATH_BYTES], to[DISK_PATH_BYTES], name[64];
    uint64_t offset = s->incoming_info.offset;

    /* Another dataset at the same offset (of an adoption that came to nothing) goes first: at any
     * moment a .meta stands beside its own data, or there is none. */
    int rc = snapfile_path(s, offset, "meta", to);
    if (rc == ERR_OK) {
        rc = snapfile_remove(s, to);
    }
    if (rc == ERR_OK) {
        rc = s->disk->ops->sync_folder(s->disk, s->folder);
    }
    if (rc == ERR_OK) {
        rc = disk_path(from, s->folder, SNAPFILE_INCOMING_NAME);
    }
    if (rc == ERR_OK) {
        rc = snapfile_path(s, offset, "rdb", to);
    }
    if (rc == ERR_OK) {
        rc = s->disk->ops->rename(s->disk, from, to);
    }
    if (rc == ERR_OK) {
        rc = s->disk->ops->sync_folder(s->disk, s->folder);
    }
    if (rc == ERR_OK) {
        snapfile_encode(&s->incoming_info, meta);
        snapfile_name(offset, "meta", name);
        rc = disk_write_file(s->disk, s->folder, name, meta, sizeof meta);
    }
    return rc == ERR_NO_SPACE ? ERR_IO : rc;
}

int snapfile_commit(struct snapfile *s)
{
    struct snapshot_info old;

    if (!s->incoming) {
        return ERR_STATE;
    }
    if (s->incoming_at != s->incoming_info.size_bytes || s->incoming_crc != s->incoming_info.crc) {
        int rc = snapfile_drop(s);
        return rc == ERR_OK ? ERR_CORRUPT : rc;
    }
    const struct snapshot_info *new = &s->incoming_info;
    if (snapfile_latest(s, new->offset, &old) == ERR_OK &&
        old.offset == new->offset &&old.crc == new->crc &&old.size_bytes ==
            new->size_bytes &&old.term.n == new->term.n &&old.chain_crc ==
            new->chain_crc &&memcmp(old.replid.hex, new->replid.hex, sizeof old.replid.hex) == 0) {
        return snapfile_drop(s); /* it is here already */
    }
    int rc = disk_sync(s->incoming);
    disk_close(s->incoming);
    s->incoming = NULL;
    if (rc == ERR_OK) {
        rc = snapfile_publish(s);
    }
    if (rc == ERR_OK) {
        snapfile_add(s, &s->incoming_info);
    }
    return rc == ERR_NO_SPACE ? ERR_IO : rc;
}

/* --- reading --- */

int snapfile_latest(const struct snapfile *s, uint64_t limit, struct snapshot_info *out)
{
    for (size_t i = s->count; i > 0; i--) {
        if (s->all[i - 1].offset <= limit) {
            *out = s->all[i - 1];
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

int snapfile_read(struct snapfile *s, uint64_t offset, uint64_t at, size_t size, struct buf *out)
{
    char path[DISK_PATH_BYTES];
    struct snapshot_info info;
    struct disk_file *f;
    size_t got = 0;

    int rc = snapfile_latest(s, offset, &info);
    if (rc != ERR_OK || info.offset != offset) {
        return ERR_NOT_FOUND;
    }
    rc = snapfile_path(s, offset, "rdb", path);
    if (rc == ERR_OK) {
        rc = disk_open(s->disk, path, 0, &f);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    if (at < info.size_bytes) {
        size = size < info.size_bytes - at ? size : (size_t)(info.size_bytes - at);
        rc = disk_read(f, buf_reserve(out, size), size, at, &got);
        if (rc == ERR_OK) {
            buf_commit(out, got);
            rc = got == size ? ERR_OK : ERR_CORRUPT;
        }
    }
    disk_close(f);
    return rc;
}

/* --- looking after them --- */

static void snapfile_leave_out(struct snapfile *s, uint64_t offset)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (s->all[i].offset != offset) {
            s->all[kept++] = s->all[i];
        }
    }
    s->count = kept;
}

int snapfile_check(struct snapfile *s, uint64_t offset, size_t size, uint64_t *at, uint32_t *crc,
                   bool *done)
{
    char path[DISK_PATH_BYTES];
    struct snapshot_info info;
    struct disk_file *f;
    size_t got = 0;

    *done = true;
    int rc = snapfile_latest(s, offset, &info);
    if (rc != ERR_OK || info.offset != offset) {
        return ERR_OK;
    }
    size = size < DISK_BLOCK_BYTES ? DISK_BLOCK_BYTES : size / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
    uint64_t left = info.size_bytes - *at;
    size_t want = left < size ? (size_t)left : size;
    uint8_t *bytes = disk_memory(size);
    rc = snapfile_path(s, offset, "rdb", path);
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
        *done = *at == info.size_bytes;
        good = !*done || *crc == info.crc;
    }
    free(bytes);
    if (!good) {
        log_error("%s has rotted, and is not offered any more", path);
        snapfile_leave_out(s, offset);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}
