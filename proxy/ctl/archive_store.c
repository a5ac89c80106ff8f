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
#include <sys/stat.h>
#include <unistd.h>

enum { STORE_OBJECT_BYTES = 256 << 20, STORE_PATH_BYTES = PATH_MAX + MANIFEST_NAME_BYTES + 16 };

struct archive_store {
    struct s3 *s3;
    uint64_t object_bytes;
    char folder[PATH_MAX + 1];
};

struct archive_store *archive_store_open(const char *url, const char *endpoint,
                                         uint64_t object_bytes, char folder[PATH_MAX + 1])
{
    struct archive_store *t = mem_calloc(1, sizeof *t);
    const char *tmpdir = getenv("TMPDIR");

    t->object_bytes = object_bytes > 0 ? object_bytes : STORE_OBJECT_BYTES;
    (void)snprintf(t->folder, sizeof t->folder, "%s/holdfast-ctl-XXXXXX",
                   tmpdir != NULL && tmpdir[0] != '\0' ? tmpdir : "/var/tmp");
    t->s3 = s3_open(url, endpoint);
    if (t->s3 != NULL && mkdtemp(t->folder) != NULL) {
        memcpy(folder, t->folder, sizeof t->folder);
        return t;
    }
    if (t->s3 != NULL) {
        ctl_complain("%s: %s", t->folder, strerror(errno));
    }
    s3_close(t->s3);
    free(t);
    return NULL;
}

void archive_store_close(struct archive_store *t)
{
    const struct dirent *entry;

    if (t == NULL) {
        return;
    }
    DIR *dir = opendir(t->folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(t->folder);
    s3_close(t->s3);
    free(t);
}

static int store_open_file(const struct archive_store *t, const char *name, int flags,
                           char path[STORE_PATH_BYTES])
{
    (void)snprintf(path, STORE_PATH_BYTES, "%s/%.40s", t->folder, name);
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
    (void)snprintf(out, MANIFEST_NAME_BYTES + 16, "%.40s.%u", name, i);
    return out;
}

int archive_store_put(struct archive_store *t, const char *name)
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
        err = s3_put(t->s3, store_object(name, i, object), fd, at, size);
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
