#include "proxy/ctl/archive.h"

#include "common/crc32c.h"
#include "common/file.h"
#include "common/mem.h"
#include "logsvc/wire.h"
#include "proxy/ctl/archive_store.h"
#include "proxy/ctl/ctl.h"
#include "proxy/ctl/ctl_stop.h"
#include "proxy/ctl/s3.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARCHIVE_PIECE_BYTES = 1 << 20, ARCHIVE_MANIFEST_BYTES_MAX = 64 << 20 };

static const char archive_manifest[] = "manifest.json";

static bool archive_failed(const char *path)
{
    ctl_complain("%s: %s", path, strerror(errno));
    return false;
}

static bool archive_damaged(const char *path, const char *why)
{
    ctl_complain("%s: is damaged: %s", path, why);
    return false;
}

void archive_path(const struct archive *a, const char *name, bool part,
                  char out[ARCHIVE_PATH_BYTES])
{
    (void)snprintf(out, ARCHIVE_PATH_BYTES, "%.*s/%.*s%s", PATH_MAX, a->folder,
                   MANIFEST_NAME_BYTES - 1, name, part ? ".part" : "");
}

/* All of a file, appended; false: errno. */
static bool archive_slurp(int fd, size_t max, struct buf *out)
{
    for (;;) {
        ssize_t n = read(fd, buf_reserve(out, ARCHIVE_PIECE_BYTES), ARCHIVE_PIECE_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0;
        }
        buf_commit(out, (size_t)n);
        if (out->len > max) {
            errno = EFBIG;
            return false;
        }
    }
}

static bool archive_is_part(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".part") == 0;
}

/* Whether the folder holds nothing that is not ours, or of the file system that is mounted there.
 */
static bool archive_is_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    bool empty = true;

    if (dir == NULL) {
        return archive_failed(folder);
    }
    while (empty && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        empty = archive_is_part(name) || strncmp(name, "snapshot-", 9) == 0 || name[0] == '.' ||
                strcmp(name, "lost+found") == 0;
        if (!empty) {
            ctl_complain(
                "%s: holds files, and no manifest of an export (%s): name an empty folder, "
                "or one that is not there",
                folder, name);
        }
    }
    (void)closedir(dir);
    return empty;
}

/* Two that write would mix their files. Where there are no locks (some network file systems) nobody
 * is kept away. */
static bool archive_take_lock(struct archive *a)
{
    a->lock = open(a->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->lock < 0) {
        return archive_failed(a->folder);
    }
    if (flock(a->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        ctl_complain("%s: another export into it is under way", a->folder);
        return false;
    }
    return true;
}

/* The manifest of a store comes into the folder, if there is one. */
static bool archive_open_store(struct archive *a, const struct ctl *ctl, const char *url, bool make)
{
    a->store = archive_store_open(url, ctl->s3_endpoint, ctl->s3_object_bytes, a->folder);
    if (a->store == NULL) {
        return false;
    }
    int err = archive_store_get(a->store, archive_manifest, ARCHIVE_MANIFEST_BYTES_MAX, true);
    if (err == ERR_NOT_FOUND && !make) {
        ctl_complain("%s/%s: there is no such export", url, archive_manifest);
    }
    return err == ERR_OK || (err == ERR_NOT_FOUND && make);
}

bool archive_open(struct archive *a, const struct ctl *ctl, const char *folder, bool make)
{
    char path[ARCHIVE_PATH_BYTES];
    struct buf text = BUF_INIT;
    const char *why;

    *a = (struct archive){.name = folder, .lock = -1};
    if (strlen(folder) > PATH_MAX) {
        ctl_complain("the folder's name is too long");
        return false;
    }
    if (s3_is_url(folder)) {
        if (!archive_open_store(a, ctl, folder, make)) {
            return false;
        }
    } else {
        (void)snprintf(a->folder, sizeof a->folder, "%s", folder);
        if (make && mkdir(folder, 0700) != 0 && errno != EEXIST) {
            return archive_failed(folder);
        }
        if (make && !archive_take_lock(a)) {
            return false;
        }
    }
    archive_path(a, archive_manifest, false, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make) {
        a->fresh = true;
        return archive_is_empty(a->folder);
    }
    if (fd < 0) {
        return archive_failed(path);
    }
    bool good = archive_slurp(fd, ARCHIVE_MANIFEST_BYTES_MAX, &text) || archive_failed(path);
    (void)close(fd);
    if (good && manifest_parse((const char *)buf_head(&text), text.len, &a->manifest, &why) != 0) {
        good = archive_damaged(path, why);
    }
    buf_release(&text);
    return good;
}

void archive_close(struct archive *a)
{
    manifest_fini(&a->manifest);
    archive_store_close(a->store);
    a->store = NULL;
    if (a->lock >= 0) {
        (void)close(a->lock);
        a->lock = -1;
    }
}

int archive_open_file(struct archive *a, const char *name, uint64_t size_bytes, bool keep)
{
    char path[ARCHIVE_PATH_BYTES];

    archive_path(a, name, false, path);
    if (a->store != NULL && access(path, F_OK) != 0) {
        int err = archive_store_get(a->store, name, size_bytes, false);
        if (err == ERR_NOT_FOUND) {
            ctl_complain("%s: is missing in the store", name);
        }
        if (err != ERR_OK) {
            return -1;
        }
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)archive_failed(path);
    }
    if (a->store != NULL && !keep) {
        (void)unlink(path);
    }
    return fd;
}

static bool archive_sync_folder(const struct archive *a)
{
    int fd = open(a->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;

    if (!good) {
        (void)archive_failed(a->folder);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return good;
}

bool archive_publish(struct archive *a, const char *part, const char *name, int fd)
{
    char from[ARCHIVE_PATH_BYTES], to[ARCHIVE_PATH_BYTES];

    archive_path(a, part, true, from);
    archive_path(a, name, false, to);
    if (fsync(fd) != 0) {
        return archive_failed(from);
    }
    if (rename(from, to) != 0) {
        return archive_failed(to);
    }
    if (a->store != NULL) { /* the snapshot alone is sent while there is no manifest */
        return archive_store_put(a->store, name, a->fresh) == ERR_OK;
    }
    return archive_sync_folder(a);
}

bool archive_save(struct archive *a)
{
    char part[ARCHIVE_PATH_BYTES];
    struct buf text = BUF_INIT;

    manifest_print(&a->manifest, &text);
    archive_path(a, archive_manifest, true, part);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        errno = file_write(fd, buf_head(&text), text.len);
    }
    bool good = fd >= 0 && errno == 0;
    if (!good) {
        (void)archive_failed(part);
    }
    good = good && archive_publish(a, archive_manifest, archive_manifest, fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    buf_release(&text);
    a->fresh = a->fresh && !good;
    return good;
}

void archive_tidy(const struct archive *a)
{
    DIR *dir = a->store == NULL ? opendir(a->folder) : NULL;
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[MANIFEST_NAME_BYTES + 8];
        bool part = archive_is_part(entry->d_name);
        (void)snprintf(name, sizeof name, "%.*s",
                       (int)(strlen(entry->d_name) - (part ? strlen(".part") : 0)), entry->d_name);
        bool ours = manifest_is_file_name(name) ||
                    (part && (strcmp(name, archive_manifest) == 0 || strcmp(name, "log") == 0));
        if (ours && (part || !manifest_names(&a->manifest, name))) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* ---- checking ---- */

/* Between two pieces of what takes long. */
static bool archive_is_stopped(void)
{
    if (ctl_stop_asked()) {
        ctl_complain("told to stop");
    }
    return ctl_stop_asked();
}

bool archive_file_crc(int fd, const char *path, uint64_t *size_bytes, uint32_t *crc)
{
    uint8_t *piece = mem_alloc(ARCHIVE_PIECE_BYTES);
    ssize_t n;

    *size_bytes = *crc = 0;
    do {
        n = pread(fd, piece, ARCHIVE_PIECE_BYTES, (off_t)*size_bytes);
        if (n > 0) {
            *crc = crc32c_extend(*crc, piece, (size_t)n);
            *size_bytes += (uint64_t)n;
        }
    } while ((n > 0 || (n < 0 && errno == EINTR)) && !ctl_stop_asked());
    free(piece);
    return !archive_is_stopped() && (n == 0 || archive_failed(path));
}

bool archive_check_snapshot(struct archive *a, struct ctl_bar *bar)
{
    const struct snapshot_info *info = &a->manifest.snapshot;
    char path[ARCHIVE_PATH_BYTES], name[MANIFEST_NAME_BYTES];
    uint64_t size_bytes;
    uint32_t crc;

    manifest_snapshot_name(info, name);
    archive_path(a, name, false, path);
    int fd = archive_open_file(a, name, info->size_bytes, true);
    if (fd < 0) {
        return false;
    }
    ctl_bar_show(bar, "snapshot", 0, info->size_bytes);
    bool good = archive_file_crc(fd, path, &size_bytes, &crc);
    (void)close(fd);
    if (good && (size_bytes != info->size_bytes || crc != info->crc)) {
        ctl_bar_clear(bar);
        good = archive_damaged(path, size_bytes != info->size_bytes ? "it has another size"
                                                                    : "its checksum is wrong");
    }
    return good;
}

/* What is known of the log so far, while its files are walked through. */
struct archive_place {
    uint64_t offset;
    uint32_t chain_crc;
};

/* The records of a file, which are all in memory. */
static const char *archive_walk_records(struct archive_walk *walk, const uint8_t *bytes,
                                        size_t size, struct archive_place *at)
{
    struct record r;
    const uint8_t *payload;
    size_t whole;

    while (size > 0 && !walk->stopped) {
        if (wire_record(bytes, size, &r, &payload, &whole) != ERR_OK ||
            !record_payload_ok(&r, payload)) {
            return "a record in it is not whole";
        }
        at->chain_crc = crc32c_extend(at->chain_crc, payload, r.len_bytes);
        if (r.begin != at->offset || r.len_bytes == 0 || r.chain_crc != at->chain_crc) {
            return "a record in it does not go on with the one before";
        }
        at->offset = record_end(&r);
        walk->stopped = walk->record != NULL && !walk->record(walk->ctx, &r, payload);
        bytes += whole;
        size -= whole;
    }
    return NULL;
}

static bool archive_walk_file(struct archive *a, struct archive_walk *walk,
                              const struct manifest_file *f, struct archive_place *at)
{
    char path[ARCHIVE_PATH_BYTES], name[MANIFEST_NAME_BYTES];
    struct buf bytes = BUF_INIT;
    const char *why = NULL;

    manifest_file_name(f, name);
    archive_path(a, name, false, path);
    int fd = archive_open_file(a, name, f->bytes, false);
    if (fd < 0) {
        return false;
    }
    bool good = archive_slurp(fd, f->bytes < SIZE_MAX ? f->bytes : SIZE_MAX, &bytes);
    if (!good && errno != EFBIG) {
        good = archive_failed(path);
    } else if (bytes.len != f->bytes) {
        why = "it has another size";
    } else if (crc32c_extend(0, buf_head(&bytes), bytes.len) != f->crc) {
        why = "its checksum is wrong";
    } else {
        why = archive_walk_records(walk, buf_head(&bytes), bytes.len, at);
        if (why == NULL && !walk->stopped &&
            (at->offset != f->to || at->chain_crc != f->chain_crc)) {
            why = "it does not end where the manifest says";
        }
    }
    if (why != NULL) {
        ctl_bar_clear(&walk->bar);
        good = archive_damaged(path, why);
    }
    (void)close(fd);
    buf_release(&bytes);
    return good;
}

bool archive_walk(struct archive *a, struct archive_walk *walk)
{
    const struct manifest *m = &a->manifest;
    struct archive_place at = {.offset = m->snapshot.offset, .chain_crc = m->snapshot.chain_crc};
    bool good = true;

    for (size_t i = 0; i < m->count && good && !walk->stopped && !ctl_stop_asked(); i++) {
        ctl_bar_show(&walk->bar, walk->what, m->files[i].from - m->snapshot.offset,
                     manifest_end(m) - m->snapshot.offset);
        good = archive_walk_file(a, walk, &m->files[i], &at);
    }
    ctl_bar_clear(&walk->bar);
    return good && !archive_is_stopped();
}
