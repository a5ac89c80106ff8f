#include "proxy/ctl/archive_store.h"

#include "common/mem.h"
#include "proxy/ctl/ctl.h"
#include "proxy/ctl/manifest.h"
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

enum { STORE_OBJECT_BYTES = 256 << 20, STORE_PATH_BYTES = PATH_MAX + MANIFEST_NAME_BYTES + 16 };

struct archive_store {
    struct s3 *s3;
    uint64_t object_bytes;
    char folder[PATH_MAX + 1];
    int lock; /* of the folder: somebody uses it */
};

static const char store_prefix[] = "holdfast-ctl-";

/* ---- the private folder ---- */

static void store_empty(int folder)
{
    const struct dirent *entry;
    int copy = dup(folder);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)unlinkat(folder, entry->d_name, 0);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    } else if (copy >= 0) {
        (void)close(copy);
    }
}

/* Removes the folder of that name, if it is ours and nobody's any more. */
static void store_sweep_folder(int parent, const char *name)
{
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0) {
        store_empty(fd);
        (void)unlinkat(parent, name, AT_REMOVEDIR);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* What processes that were killed have left. */
static void store_sweep(const char *tmpdir)
{
    DIR *dir = opendir(tmpdir);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, store_prefix, sizeof store_prefix - 1) == 0) {
            store_sweep_folder(dirfd(dir), entry->d_name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* False: errno. One that is swept away between these two steps is made again. */
static bool store_make_folder(struct archive_store *t, const char *tmpdir)
{
    struct stat ours, named;

    for (;;) {
        (void)snprintf(t->folder, sizeof t->folder, "%s/%sXXXXXX", tmpdir, store_prefix);
        if (mkdtemp(t->folder) == NULL) {
            return false;
        }
        t->lock = open(t->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (t->lock < 0 && errno != ENOENT) {
            return false;
        }
        if (t->lock >= 0) {
            (void)flock(t->lock, LOCK_EX);
            if (fstat(t->lock, &ours) == 0 && stat(t->folder, &named) == 0 &&
                ours.st_ino == named.st_ino) {
                return true;
            }
            (void)close(t->lock);
        }
    }
}

/* ---- the store ---- */

struct archive_store *archive_store_open(const char *url, const char *endpoint,
                                         uint64_t object_bytes, char folder[PATH_MAX + 1])
{
    struct archive_store *t = mem_calloc(1, sizeof *t);
    const char *tmpdir = getenv("TMPDIR");

    t->object_bytes = object_bytes > 0 ? object_bytes : STORE_OBJECT_BYTES;
    tmpdir = tmpdir != NULL && tmpdir[0] != '\0' ? tmpdir : "/var/tmp";
    t->s3 = s3_open(url, endpoint);
    if (t->s3 != NULL) {
        store_sweep(tmpdir);
        if (store_make_folder(t, tmpdir)) {
            memcpy(folder, t->folder, sizeof t->folder);
            return t;
        }
        ctl_complain("%s: %s", t->folder, strerror(errno));
    }
    s3_close(t->s3);
    free(t);
    return NULL;
}

void archive_store_close(struct archive_store *t)
{
    if (t == NULL) {
        return;
    }
    store_empty(t->lock);
    (void)rmdir(t->folder);
    (void)close(t->lock);
    s3_close(t->s3);
    free(t);
}

static int store_open_file(const struct archive_store *t, const char *name, int flags,
                           char path[STORE_PATH_BYTES])
{
    (void)snprintf(path, STORE_PATH_BYTES, "%s/%.*s", t->folder, MANIFEST_NAME_BYTES - 1, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        ctl_complain("%s: %s", path, strerror(errno));
    }
    return fd;
}

static const char *store_object(const char *name, unsigned i, char out[MANIFEST_NAME_BYTES + 16])
{
    if (i == 0) {
        return name;
    }
    (void)snprintf(out, MANIFEST_NAME_BYTES + 16, "%.*s.%u", MANIFEST_NAME_BYTES - 1, name, i);
    return out;
}

int archive_store_put(struct archive_store *t, const char *name, bool look)
{
    char path[STORE_PATH_BYTES], object[MANIFEST_NAME_BYTES + 16];
    int fd = store_open_file(t, name, O_RDONLY, path);
    uint64_t at = 0;
    struct stat st;

    if (fd < 0) {
        return ERR_IO;
    }
    int err = fstat(fd, &st) == 0 ? ERR_OK : ERR_IO;
    for (unsigned i = 0; err == ERR_OK && (i == 0 || at < (uint64_t)st.st_size); i++) {
        uint64_t left = (uint64_t)st.st_size - at;
        uint64_t size = left < t->object_bytes ? left : t->object_bytes;
        err = s3_put(t->s3, store_object(name, i, object), fd, at, size, look);
        at += size;
    }
    (void)close(fd);
    (void)unlink(path);
    return err;
}

int archive_store_get(struct archive_store *t, const char *name, uint64_t size_bytes, bool one)
{
    char path[STORE_PATH_BYTES], object[MANIFEST_NAME_BYTES + 16];
    int fd = store_open_file(t, name, O_RDWR | O_CREAT | O_TRUNC, path);
    uint64_t at = 0, size = 1;
    int err = ERR_OK;

    if (fd < 0) {
        return ERR_IO;
    }
    for (unsigned i = 0; err == ERR_OK && size > 0 && (i == 0 || at < size_bytes); i++) {
        err = s3_get(t->s3, store_object(name, i, object), fd, at, size_bytes - at, &size);
        at += size;
        if (one) {
            break;
        }
    }
    (void)close(fd);
    if (err != ERR_OK) {
        (void)unlink(path);
    }
    return err;
}
