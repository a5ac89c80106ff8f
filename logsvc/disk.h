/* The seam between the store and the machine's disk: the few operations that durability is made of.
 * disk_posix.c is the real one; tests break theirs (tests/lib/fake_disk.c).
 *
 * All calls are synchronous. Errors: ERR_NOT_FOUND (no such file), ERR_EXISTS (lock is held),
 * ERR_NO_SPACE, ERR_IO for everything else. An error of write or sync is final for the file: what
 * it holds from there on is not known, and a later sync that succeeds proves nothing. */
#ifndef LOGSVC_DISK_H
#define LOGSVC_DISK_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unit in which a file opened with DISK_DIRECT is read and written: positions, sizes and
 * memory are multiples of it. */
enum { DISK_BLOCK_BYTES = 4096 };
/* What a disk writes whole or not at all. */
enum { DISK_SECTOR_BYTES = 512 };

enum {
    DISK_WRITE = 1u << 0,
    DISK_CREATE = 1u << 1, /* makes the file, or empties it */
    DISK_DIRECT = 1u << 2, /* past the page cache, where the filesystem can do it */
};

struct disk {
    const struct disk_ops *ops;
};

/* An open file; implementations put it first in their own struct. */
struct disk_file {
    struct disk *disk;
};

struct disk_ops {
    int (*open)(struct disk *d, const char *path, unsigned flags, struct disk_file **out);
    void (*close)(struct disk_file *f);
    /* Writes all bytes or fails. */
    int (*write)(struct disk_file *f, const void *bytes, size_t size, uint64_t at);
    /* Fewer bytes than size are read only at the end of the file. */
    int (*read)(struct disk_file *f, void *to, size_t size, uint64_t at, size_t *got);
    /* fdatasync: the bytes and the size, not the name. */
    int (*sync)(struct disk_file *f);
    /* Has the disk begin to write these bytes, and does not wait for it: a later sync has less to
     * do. It promises nothing, and there is nothing to be done about an error. */
    void (*push)(struct disk_file *f, uint64_t at, uint64_t size);
    int (*size)(struct disk_file *f, uint64_t *out);
    /* Makes a file that ends at `at` longer by so many zeros, without writing them: at once, but
     * each later write there is a change of metadata as well. ERR_STATE: the filesystem can't. */
    int (*allocate)(struct disk_file *f, uint64_t at, uint64_t size);

    /* Names are durable after sync_folder of their folder. */
    int (*rename)(struct disk *d, const char *from, const char *to);
    int (*unlink)(struct disk *d, const char *path);
    int (*make_folder)(struct disk *d, const char *path); /* ERR_OK if it is there already */
    int (*sync_folder)(struct disk *d, const char *path);
    /* Calls each with the name of every entry but "." and ".."; each must not change the folder. */
    int (*list)(struct disk *d, const char *path, void (*each)(void *ctx, const char *name),
                void *ctx);
    /* Bytes that an unprivileged process may still allocate there. */
    int (*free_space)(struct disk *d, const char *path, uint64_t *out);
    /* Takes the exclusive lock on that file, which is made if needed; held until it is closed. */
    int (*lock)(struct disk *d, const char *path, struct disk_file **out);
};

/* The real disk; the same object for everyone, usable from any thread. */
struct disk *disk_posix(void);

static inline int MUST_CHECK disk_open(struct disk *d, const char *path, unsigned flags,
                                       struct disk_file **out)
{
    return d->ops->open(d, path, flags, out);
}

/* NULL is allowed. */
static inline void disk_close(struct disk_file *f)
{
    if (f) {
        f->disk->ops->close(f);
    }
}

static inline int MUST_CHECK disk_write(struct disk_file *f, const void *bytes, size_t size,
                                        uint64_t at)
{
    return f->disk->ops->write(f, bytes, size, at);
}

static inline int MUST_CHECK disk_read(struct disk_file *f, void *to, size_t size, uint64_t at,
                                       size_t *got)
{
    return f->disk->ops->read(f, to, size, at, got);
}

static inline int MUST_CHECK disk_sync(struct disk_file *f)
{
    return f->disk->ops->sync(f);
}

static inline void disk_push(struct disk_file *f, uint64_t at, uint64_t size)
{
    f->disk->ops->push(f, at, size);
}

static inline int MUST_CHECK disk_size(struct disk_file *f, uint64_t *out)
{
    return f->disk->ops->size(f, out);
}

/* "folder/name" into out; ERR_TOO_BIG if it does not fit. */
enum { DISK_PATH_BYTES = 1024 };
int disk_path(char out[DISK_PATH_BYTES], const char *folder, const char *name) MUST_CHECK;

/* Memory for direct input and output: aligned to DISK_BLOCK_BYTES, freed with free(). size is a
 * multiple of the block. Not zeroed. */
void *disk_memory(size_t size) __attribute__((malloc, returns_nonnull));

/* To be called before believing what the folder shows: makes its own name and all names in it
 * durable. The process before may have ended because syncing a folder failed; the cache then shows
 * names that a power failure takes back, and with them all that is promised from now on. */
int disk_settle_names(struct disk *d, const char *folder) MUST_CHECK;

/* Makes folder/name hold exactly these bytes, durably and at once or not at all: temporary file
 * (name + ".tmp"), sync, rename, sync of the folder. */
int disk_write_file(struct disk *d, const char *folder, const char *name, const void *bytes,
                    size_t size) MUST_CHECK;

#endif
