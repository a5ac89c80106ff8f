/* Receiving a snapshot: into a file without a name that counts, which gets one when all of it is
 * here, right and durable. */
#include "logsvc/snapfile_impl.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "logsvc/mutant.h"

#include <inttypes.h>

/* Written to the disk while it is received, little by little, and synced now and then, so that no
 * sync holds up the node for long, nor an append of a neighbour's on the same disk. */
enum { SNAPFILE_PUSH_BYTES = 64 * 1024, SNAPFILE_SYNC_BYTES = 16 * 1024 * 1024 };

int snapfile_drop(struct snapfile *s)
{
    char path[DISK_PATH_BYTES];

    disk_close(s->incoming);
    s->incoming = NULL;
    int rc = disk_path(path, s->folder, SNAPFILE_INCOMING_NAME);
    return rc == ERR_OK ? snapfile_remove(s, path) : rc;
}

/* It is tried again and again, and said once for each. */
static void snapfile_say_no_room(struct snapfile *s, const struct snapshot_info *info,
                                 uint64_t free_bytes, uint64_t reserve_bytes)
{
    if (s->refused_offset != info->offset + 1) {
        s->refused_offset = info->offset + 1;
        log_warn("no room for the snapshot at offset %" PRIu64 ": it has %" PRIu64
                 " bytes, %" PRIu64 " are free, and %" PRIu64
                 " of these stay so (reserve_bytes); %zu are stored, %d at most",
                 info->offset, info->size_bytes, free_bytes, reserve_bytes, s->count,
                 (int)SNAPINFO_LIST_MAX);
    }
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
    uint64_t meta_bytes = SNAPFILE_HEAD_BYTES + snapfile_chunks(info->size_bytes) * 4;

    if (space < info->size_bytes || space - info->size_bytes < reserve_bytes + meta_bytes ||
        meta_bytes > SNAPFILE_META_MAX_BYTES ||
        (s->count >= SNAPINFO_LIST_MAX && snapfile_find(s, info->offset) == NULL)) {
        snapfile_say_no_room(s, info, space, reserve_bytes);
        return ERR_NO_SPACE;
    }
    rc = disk_open(s->disk, path, DISK_WRITE | DISK_CREATE, &s->incoming);
    if (rc == ERR_OK) {
        s->incoming_info = *info;
        s->incoming_info.engine_version[sizeof info->engine_version - 1] = '\0';
        s->incoming_at = s->synced_at = s->pushed_at = 0;
        s->incoming_crc = 0;
        s->incoming_sums.part = 0;
        s->incoming_sums.part_bytes = 0;
        buf_clear(&s->incoming_sums.sums);
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
        s->synced_at = s->pushed_at = at + size;
    } else if (rc == ERR_OK && at + size - s->pushed_at >= SNAPFILE_PUSH_BYTES) {
        disk_push(s->incoming, s->pushed_at, at + size - s->pushed_at);
        s->pushed_at = at + size;
    }
    if (rc == ERR_NO_SPACE) {
        /* Somebody else took the room that was there at the begin: give up this snapshot only. */
        int dropped = snapfile_drop(s);
        return dropped == ERR_OK ? ERR_NO_SPACE : dropped;
    }
    if (rc == ERR_OK) {
        s->incoming_crc = crc32c_extend(s->incoming_crc, bytes, size);
        snapfile_sum(&s->incoming_sums, bytes, size, false);
        s->incoming_at += size;
    }
    return rc;
}

/* All that takes room is on the disk already. ERR_NO_SPACE: nothing changed. */
static int snapfile_publish(struct snapfile *s)
{
    char from[DISK_PATH_BYTES], to[DISK_PATH_BYTES], meta[DISK_PATH_BYTES];
    uint64_t offset = s->incoming_info.offset;

    int rc = snapfile_prepare_meta(s, &s->incoming_info, &s->incoming_sums.sums, meta);
    if (rc != ERR_OK) {
        return rc;
    }
    /* Another dataset at the same offset (of an adoption that came to nothing, or rotten) goes
     * first: at any moment a .meta stands beside its own data, or there is none. */
    rc = snapfile_path(s, offset, "meta", to);
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
        rc = snapfile_rename(s, from, offset, "rdb");
    }
    if (rc == ERR_OK) {
        rc = snapfile_rename(s, meta, offset, "meta");
    }
    return rc == ERR_NO_SPACE ? ERR_IO : rc;
}

static bool snapfile_is_here(const struct snapfile *s, const struct snapshot_info *info)
{
    const struct snapfile_entry *e = snapfile_find(s, info->offset);

    return e != NULL && !e->rotten && snapinfo_same(&e->info, info) &&
           (info->verified_ms == 0 || e->info.verified_ms > 0);
}

int snapfile_commit(struct snapfile *s)
{
    if (!s->incoming) {
        return ERR_STATE;
    }
    bool right = s->incoming_crc == s->incoming_info.crc || MUTANT(SNAP_UNCHECKED);
    if (s->incoming_at != s->incoming_info.size_bytes || !right) {
        int rc = snapfile_drop(s);
        return rc == ERR_OK ? ERR_CORRUPT : rc;
    }
    if (snapfile_is_here(s, &s->incoming_info)) {
        return snapfile_drop(s);
    }
    snapfile_sum(&s->incoming_sums, NULL, 0, true);
    int rc = MUTANT(SNAP_UNSYNCED) ? ERR_OK : disk_sync(s->incoming);
    if (rc == ERR_OK) {
        rc = snapfile_publish(s);
    }
    if (rc == ERR_NO_SPACE) {
        int dropped = snapfile_drop(s);
        return dropped == ERR_OK ? ERR_NO_SPACE : dropped;
    }
    disk_close(s->incoming);
    s->incoming = NULL;
    if (rc == ERR_OK) {
        snapfile_add(s, &s->incoming_info, buf_head(&s->incoming_sums.sums),
                     s->incoming_sums.sums.len);
    }
    return rc;
}
