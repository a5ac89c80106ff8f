/* The real disk: Linux files, past the page cache where the filesystem takes O_DIRECT. */
#include <config.h> /* O_DIRECT is an extension */

#include "logsvc/disk.h"

#include "common/log.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct posix_file {
    struct disk_file base;
    int fd;
    char path[]; /* for messages */
};

static struct posix_file *posix_of(struct disk_file *f)
{
    return (struct posix_file *)f;
}

/* Maps errno and says what happened: the codes alone would not tell an operator which disk. */
static int posix_failed(const char *what, const char *path)
{
    int code = errno;

    if (code == ENOENT) {
        return ERR_NOT_FOUND;
    }
    log_error("%s %s: %s", what, path, strerror(code));
    return code == ENOSPC || code == EDQUOT ? ERR_NO_SPACE : ERR_IO;
}

static struct disk_file *posix_file_create(struct disk *d, int fd, const char *path)
{
    size_t size = strlen(path) + 1;
    struct posix_file *f = mem_alloc(sizeof *f + size);

    f->base.disk = d;
    f->fd = fd;
    memcpy(f->path, path, size);
    return &f->base;
}

static int posix_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out)
{
    int o = (flags & DISK_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    int fd = -1;

    o |= flags & DISK_CREATE ? O_CREAT | O_TRUNC : 0;
    if (flags & DISK_DIRECT) {
        fd = open(path, o | O_DIRECT, 0640);
        if (fd < 0 && errno != EINVAL) {
            return posix_failed("open", path);
        }
    }
    if (fd < 0) {
        fd = open(path, o, 0640);
    }
    if (fd < 0) {
        return posix_failed("open", path);
    }
    *out = posix_file_create(d, fd, path);
    return ERR_OK;
}

static void posix_close(struct disk_file *f)
{
    /* Nothing was promised for bytes that no sync has returned for; the result tells nothing. */
    (void)close(posix_of(f)->fd);
    free(f);
}

static int posix_write(struct disk_file *f, const void *bytes, size_t size, uint64_t at)
{
    const char *p = bytes;

    while (size > 0) {
        ssize_t n = pwrite(posix_of(f)->fd, p, size, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return posix_failed("write", posix_of(f)->path);
        }
        p += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return ERR_OK;
}

static int posix_read(struct disk_file *f, void *to, size_t size, uint64_t at, size_t *got)
{
    char *p = to;

    *got = 0;
    while (*got < size) {
        ssize_t n = pread(posix_of(f)->fd, p + *got, size - *got, (off_t)(at + *got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return posix_failed("read", posix_of(f)->path);
        }
        *got += (size_t)n;
        /* A direct read that ends inside a block has met the end of the file. */
        if (n == 0 || *got % DISK_SECTOR_BYTES != 0) {
            break;
        }
    }
    return ERR_OK;
}

static int posix_sync(struct disk_file *f)
{
    if (fdatasync(posix_of(f)->fd) != 0) {
        return posix_failed("fdatasync", posix_of(f)->path);
    }
    return ERR_OK;
}

static void posix_push(struct disk_file *f, uint64_t at, uint64_t size)
{
    (void)sync_file_range(posix_of(f)->fd, (off_t)at, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static int posix_size(struct disk_file *f, uint64_t *out)
{
    struct stat st;

    if (fstat(posix_of(f)->fd, &st) != 0) {
        return posix_failed("stat", posix_of(f)->path);
    }
    *out = (uint64_t)st.st_size;
    return ERR_OK;
}

static int posix_allocate(struct disk_file *f, uint64_t at, uint64_t size)
{
    int rc;

    do {
        rc = fallocate(posix_of(f)->fd, 0, (off_t)at, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
        return ERR_STATE;
    }
    return rc == 0 ? ERR_OK : posix_failed("fallocate", posix_of(f)->path);
}

static int posix_rename(struct disk *d, const char *from, const char *to)
{
    (void)d;
    return rename(from, to) == 0 ? ERR_OK : posix_failed("rename", from);
}

static int posix_unlink(struct disk *d, const char *path)
{
    (void)d;
    return unlink(path) == 0 ? ERR_OK : posix_failed("unlink", path);
}

static int posix_make_folder(struct disk *d, const char *path)
{
    (void)d;
    if (mkdir(path, 0750) == 0 || errno == EEXIST) {
        return ERR_OK;
    }
    return posix_failed("mkdir", path);
}

static int posix_sync_folder(struct disk *d, const char *path)
{
    (void)d;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return posix_failed("open", path);
    }
    int rc = fsync(fd) == 0 ? ERR_OK : posix_failed("fsync", path);
    (void)close(fd);
    return rc;
}

static int posix_list(struct disk *d, const char *path, void (*each)(void *ctx, const char *name),
                      void *ctx)
{
    (void)d;
    DIR *dir = opendir(path);
    if (!dir) {
        return posix_failed("opendir", path);
    }
    int rc = ERR_OK;
    for (;;) {
        errno = 0;
        /* Safe here: no other thread has this DIR.
         * cppcheck-suppress readdirCalled */
        struct dirent *e = readdir(dir);
        if (!e) {
            rc = errno == 0 ? ERR_OK : posix_failed("readdir", path);
            break;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            each(ctx, e->d_name);
        }
    }
    (void)closedir(dir);
    return rc;
}

static int posix_free_space(struct disk *d, const char *path, uint64_t *out)
{
    struct statvfs st;

    (void)d;
    if (statvfs(path, &st) != 0) {
        return posix_failed("statvfs", path);
    }
    *out = (uint64_t)st.f_bavail * st.f_frsize;
    return ERR_OK;
}

static int posix_lock(struct disk *d, const char *path, struct disk_file **out)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0) {
        return posix_failed("open", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = errno == EWOULDBLOCK ? ERR_EXISTS : posix_failed("lock", path);
        (void)close(fd);
        return rc;
    }
    *out = posix_file_create(d, fd, path);
    return ERR_OK;
}

struct disk *disk_posix(void)
{
    static const struct disk_ops ops = {
        .open = posix_open,
        .close = posix_close,
        .write = posix_write,
        .read = posix_read,
        .sync = posix_sync,
        .push = posix_push,
        .size = posix_size,
        .allocate = posix_allocate,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .make_folder = posix_make_folder,
        .sync_folder = posix_sync_folder,
        .list = posix_list,
        .free_space = posix_free_space,
        .lock = posix_lock,
    };
    static struct disk disk = {&ops};
    return &disk;
}
