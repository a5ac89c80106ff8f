/* What every implementation of the disk shares: paths, aligned memory, small whole files. */
#include "logsvc/disk.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int disk_path(char out[DISK_PATH_BYTES], const char *folder, const char *name)
{
    int len = snprintf(out, DISK_PATH_BYTES, "%s/%s", folder, name);

    return len > 0 && len < DISK_PATH_BYTES ? ERR_OK : ERR_TOO_BIG;
}

void *disk_memory(size_t size)
{
    void *p = NULL;

    MUST(size > 0 && size % DISK_BLOCK_BYTES == 0);
    MUST(posix_memalign(&p, DISK_BLOCK_BYTES, size) == 0);
    return p;
}

int disk_settle_names(struct disk *d, const char *folder)
{
    char parent[DISK_PATH_BYTES];
    int len = snprintf(parent, sizeof parent, "%s", folder);

    if (len < 0 || (size_t)len >= sizeof parent) {
        return ERR_TOO_BIG;
    }
    char *slash = strrchr(parent, '/');
    const char *in = slash == NULL ? "." : slash == parent ? "/" : parent;
    if (slash != NULL) {
        *slash = '\0';
    }
    int rc = d->ops->sync_folder(d, in);
    return rc == ERR_OK ? d->ops->sync_folder(d, folder) : rc;
}

int disk_write_file(struct disk *d, const char *folder, const char *name, const void *bytes,
                    size_t size)
{
    char path[DISK_PATH_BYTES], tmp[DISK_PATH_BYTES], tmp_name[256];
    struct disk_file *f;

    int len = snprintf(tmp_name, sizeof tmp_name, "%s.tmp", name);
    if (len < 0 || (size_t)len >= sizeof tmp_name) {
        return ERR_TOO_BIG;
    }
    int rc = disk_path(path, folder, name);
    if (rc == ERR_OK) {
        rc = disk_path(tmp, folder, tmp_name);
    }
    if (rc == ERR_OK) {
        rc = disk_open(d, tmp, DISK_WRITE | DISK_CREATE, &f);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    rc = disk_write(f, bytes, size, 0);
    if (rc == ERR_OK) {
        rc = disk_sync(f);
    }
    disk_close(f);
    if (rc == ERR_OK) {
        rc = d->ops->rename(d, tmp, path);
    }
    if (rc == ERR_OK) {
        rc = d->ops->sync_folder(d, folder);
    }
    return rc;
}
