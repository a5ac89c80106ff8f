#include "tests/lib/fake_disk.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { FAKE_NAMES_MAX = 256 };

/* The bytes that three observers see, all of the same capacity. */
struct fake_inode {
    uint8_t *cache, *device, *durable;
    uint64_t size, device_size, durable_size;
    size_t cap;
    bool *unsynced; /* a sector written since the last sync */
    bool locked;
};

struct fake_name {
    char path[256];
    struct fake_inode *now;     /* NULL: no such name */
    struct fake_inode *durable; /* what a power failure goes back to */
    uint64_t changed;           /* order of unsynced changes; 0: none */
};

struct fake_disk {
    struct disk base; /* first */
    struct fake_name names[FAKE_NAMES_MAX];
    struct fake_inode *inodes[4096];
    size_t inode_count;
    uint64_t ops, fail_at, die_at;
    bool dead, buffered;
    uint64_t capacity;
    uint64_t random;
};

struct fake_file {
    struct disk_file base; /* first */
    struct fake_inode *inode;
    bool direct, lock;
};

static struct fake_disk *fake_of(struct disk *d)
{
    return (struct fake_disk *)d;
}

static uint64_t fake_random(struct fake_disk *f)
{
    f->random += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    uint64_t z = f->random;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* --- inodes and names --- */

static struct fake_inode *fake_inode_create(struct fake_disk *f)
{
    struct fake_inode *n = mem_calloc(1, sizeof *n);

    MUST(f->inode_count < sizeof f->inodes / sizeof f->inodes[0]);
    f->inodes[f->inode_count++] = n;
    return n;
}

static void fake_inode_free(struct fake_inode *n)
{
    free(n->cache);
    free(n->device);
    free(n->durable);
    free(n->unsynced);
    free(n);
}

static void fake_inode_grow(struct fake_inode *n, uint64_t size)
{
    size_t cap = n->cap > 0 ? n->cap : DISK_BLOCK_BYTES;

    if (size <= n->cap) {
        return;
    }
    while (cap < size) {
        cap *= 2;
    }
    uint8_t **images[3] = {&n->cache, &n->device, &n->durable};
    for (int i = 0; i < 3; i++) {
        *images[i] = mem_realloc(*images[i], cap);
        memset(*images[i] + n->cap, 0, cap - n->cap);
    }
    n->unsynced = mem_realloc(n->unsynced, cap / DISK_SECTOR_BYTES * sizeof *n->unsynced);
    memset(n->unsynced + n->cap / DISK_SECTOR_BYTES, 0,
           (cap - n->cap) / DISK_SECTOR_BYTES * sizeof *n->unsynced);
    n->cap = cap;
}

static struct fake_name *fake_find(struct fake_disk *f, const char *path)
{
    for (size_t i = 0; i < FAKE_NAMES_MAX; i++) {
        struct fake_name *n = &f->names[i];
        if ((n->now || n->durable) && strcmp(n->path, path) == 0) {
            return n;
        }
    }
    return NULL;
}

static struct fake_name *fake_make_name(struct fake_disk *f, const char *path)
{
    struct fake_name *n = fake_find(f, path);

    for (size_t i = 0; i < FAKE_NAMES_MAX && !n; i++) {
        if (!f->names[i].now && !f->names[i].durable) {
            n = &f->names[i];
            MUST(strlen(path) < sizeof n->path);
            memcpy(n->path, path, strlen(path) + 1);
            n->changed = 0;
        }
    }
    MUST(n != NULL);
    return n;
}

static bool fake_in_folder(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && path[len] == '/' && !strchr(path + len + 1, '/');
}

static uint64_t fake_used(const struct fake_disk *f)
{
    uint64_t used = 0;

    for (size_t i = 0; i < FAKE_NAMES_MAX; i++) {
        used += f->names[i].now ? f->names[i].now->size : 0;
    }
    return used;
}

/* Counts a changing operation. ERR_IO: it fails; *torn: the power goes in the middle of it. */
static int fake_step(struct fake_disk *f, bool *torn)
{
    uint64_t op = f->ops++;

    *torn = false;
    if (f->dead) {
        return ERR_IO;
    }
    if (f->die_at != 0 && op >= f->die_at) {
        f->dead = true;
        *torn = true;
        return ERR_IO;
    }
    if (f->fail_at != 0 && op == f->fail_at) {
        return ERR_IO;
    }
    return ERR_OK;
}

/* --- operations --- */

static int fake_new_file(struct disk *d, struct fake_inode *n, unsigned flags, bool lock,
                         struct disk_file **out)
{
    struct fake_file *file = mem_calloc(1, sizeof *file);

    file->base.disk = d;
    file->inode = n;
    file->direct = (flags & DISK_DIRECT) != 0;
    file->lock = lock;
    *out = &file->base;
    return ERR_OK;
}

static int fake_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out)
{
    struct fake_disk *f = fake_of(d);
    struct fake_name *n = fake_find(f, path);
    bool torn;

    if (f->dead) {
        return ERR_IO;
    }
    if (flags & DISK_CREATE) {
        int rc = fake_step(f, &torn);
        if (rc != ERR_OK) {
            return rc;
        }
        n = fake_make_name(f, path);
        n->now = fake_inode_create(f); /* emptying is as good as a new one */
        n->changed = f->ops;
    }
    if (!n || !n->now) {
        return ERR_NOT_FOUND;
    }
    return fake_new_file(d, n->now, flags, false, out);
}

static void fake_close(struct disk_file *file)
{
    struct fake_file *f = (struct fake_file *)file;

    if (f->lock) {
        f->inode->locked = false;
    }
    free(f);
}

static int fake_write(struct disk_file *file, const void *bytes, size_t size, uint64_t at)
{
    struct fake_disk *f = fake_of(file->disk);
    struct fake_inode *n = ((struct fake_file *)file)->inode;
    bool torn;

    if (((struct fake_file *)file)->direct) {
        MUST(size % DISK_BLOCK_BYTES == 0 && at % DISK_BLOCK_BYTES == 0 &&
             (uintptr_t)bytes % DISK_BLOCK_BYTES == 0);
    }
    int rc = fake_step(f, &torn);
    if (rc != ERR_OK && !torn) {
        return rc;
    }
    if (at + size > n->size && fake_used(f) + (at + size - n->size) > f->capacity) {
        return ERR_NO_SPACE;
    }
    fake_inode_grow(n, at + size);
    for (size_t i = 0; i < size;) {
        size_t sector = (size_t)((at + i) / DISK_SECTOR_BYTES);
        size_t piece = DISK_SECTOR_BYTES - (size_t)((at + i) % DISK_SECTOR_BYTES);
        piece = piece < size - i ? piece : size - i;
        memcpy(n->cache + at + i, (const uint8_t *)bytes + i, piece);
        memcpy(n->device + at + i, (const uint8_t *)bytes + i, piece);
        n->unsynced[sector] = true;
        i += piece;
    }
    n->size = at + size > n->size ? at + size : n->size;
    n->device_size = n->size;
    return rc;
}

static int fake_read(struct disk_file *file, void *to, size_t size, uint64_t at, size_t *got)
{
    struct fake_disk *f = fake_of(file->disk);
    const struct fake_file *ff = (const struct fake_file *)file;
    const struct fake_inode *n = ff->inode;
    bool device = ff->direct && !f->buffered;
    uint64_t end = device ? n->device_size : n->size;

    *got = 0;
    if (f->dead) {
        return ERR_IO;
    }
    if (ff->direct) {
        MUST(size % DISK_BLOCK_BYTES == 0 && at % DISK_BLOCK_BYTES == 0 &&
             (uintptr_t)to % DISK_BLOCK_BYTES == 0);
    }
    if (at < end) {
        *got = size < end - at ? size : (size_t)(end - at);
        memcpy(to, (device ? n->device : n->cache) + at, *got);
    }
    return ERR_OK;
}

static int fake_sync(struct disk_file *file)
{
    struct fake_disk *f = fake_of(file->disk);
    struct fake_inode *n = ((struct fake_file *)file)->inode;
    bool torn;

    int rc = fake_step(f, &torn);
    if (torn) {
        return rc;
    }
    if (n->cap > 0) {
        if (rc == ERR_OK) {
            memcpy(n->durable, n->device, n->cap);
            n->durable_size = n->device_size;
        } else {
            /* The kernel calls the pages clean, and the device never sees them. */
            memcpy(n->device, n->durable, n->cap);
            n->device_size = n->durable_size;
        }
        memset(n->unsynced, 0, n->cap / DISK_SECTOR_BYTES * sizeof *n->unsynced);
    }
    return rc;
}

static int fake_size(struct disk_file *file, uint64_t *out)
{
    *out = ((struct fake_file *)file)->inode->size;
    return fake_of(file->disk)->dead ? ERR_IO : ERR_OK;
}

static int fake_rename(struct disk *d, const char *from, const char *to)
{
    struct fake_disk *f = fake_of(d);
    bool torn;

    int rc = fake_step(f, &torn);
    if (rc != ERR_OK) {
        return rc;
    }
    struct fake_name *a = fake_find(f, from);
    if (!a || !a->now) {
        return ERR_NOT_FOUND;
    }
    struct fake_name *b = fake_make_name(f, to);
    b->now = a->now;
    a->now = NULL;
    a->changed = b->changed = f->ops;
    return ERR_OK;
}

static int fake_unlink(struct disk *d, const char *path)
{
    struct fake_disk *f = fake_of(d);
    struct fake_name *n = fake_find(f, path);
    bool torn;

    int rc = fake_step(f, &torn);
    if (rc != ERR_OK) {
        return rc;
    }
    if (!n || !n->now) {
        return ERR_NOT_FOUND;
    }
    n->now = NULL;
    n->changed = f->ops;
    return ERR_OK;
}

static int fake_make_folder(struct disk *d, const char *path)
{
    (void)path;
    return fake_of(d)->dead ? ERR_IO : ERR_OK;
}

static int fake_sync_folder(struct disk *d, const char *path)
{
    struct fake_disk *f = fake_of(d);
    bool torn;

    int rc = fake_step(f, &torn);
    for (size_t i = 0; i < FAKE_NAMES_MAX && rc == ERR_OK; i++) {
        struct fake_name *n = &f->names[i];
        if ((n->now || n->durable) && fake_in_folder(n->path, path)) {
            n->durable = n->now;
            n->changed = 0;
        }
    }
    return rc;
}

static int fake_list(struct disk *d, const char *path, void (*each)(void *ctx, const char *name),
                     void *ctx)
{
    struct fake_disk *f = fake_of(d);

    if (f->dead) {
        return ERR_IO;
    }
    for (size_t i = 0; i < FAKE_NAMES_MAX; i++) {
        if (f->names[i].now && fake_in_folder(f->names[i].path, path)) {
            each(ctx, f->names[i].path + strlen(path) + 1);
        }
    }
    return ERR_OK;
}

static int fake_free_space(struct disk *d, const char *path, uint64_t *out)
{
    struct fake_disk *f = fake_of(d);
    uint64_t used = fake_used(f);

    (void)path;
    *out = used < f->capacity ? f->capacity - used : 0;
    return f->dead ? ERR_IO : ERR_OK;
}

static int fake_lock(struct disk *d, const char *path, struct disk_file **out)
{
    struct fake_disk *f = fake_of(d);

    if (f->dead) {
        return ERR_IO;
    }
    struct fake_name *n = fake_make_name(f, path);
    n->now = n->now ? n->now : fake_inode_create(f);
    if (n->now->locked) {
        return ERR_EXISTS;
    }
    n->now->locked = true;
    return fake_new_file(d, n->now, 0, true, out);
}

static const struct disk_ops fake_ops = {
    .open = fake_open,
    .close = fake_close,
    .write = fake_write,
    .read = fake_read,
    .sync = fake_sync,
    .size = fake_size,
    .rename = fake_rename,
    .unlink = fake_unlink,
    .make_folder = fake_make_folder,
    .sync_folder = fake_sync_folder,
    .list = fake_list,
    .free_space = fake_free_space,
    .lock = fake_lock,
};

/* --- what tests do to it --- */

struct fake_disk *fake_disk_create(void)
{
    struct fake_disk *f = mem_calloc(1, sizeof *f);

    f->base.ops = &fake_ops;
    f->capacity = UINT64_MAX / 2;
    f->ops = 1;
    return f;
}

void fake_disk_destroy(struct fake_disk *f)
{
    for (size_t i = 0; i < f->inode_count; i++) {
        fake_inode_free(f->inodes[i]);
    }
    free(f);
}

struct disk *fake_disk(struct fake_disk *f)
{
    return &f->base;
}

uint64_t fake_disk_ops(const struct fake_disk *f)
{
    return f->ops;
}

void fake_disk_fail_at(struct fake_disk *f, uint64_t op)
{
    f->fail_at = op;
}

void fake_disk_die_at(struct fake_disk *f, uint64_t op)
{
    f->die_at = op;
}

void fake_disk_set_buffered(struct fake_disk *f, bool buffered)
{
    f->buffered = buffered;
}

void fake_disk_set_capacity(struct fake_disk *f, uint64_t bytes)
{
    f->capacity = bytes;
}

static void fake_crash_inode(struct fake_disk *f, struct fake_inode *n, enum fake_disk_loss loss)
{
    bool grown =
        n->durable_size != n->device_size &&
        (loss == FAKE_DISK_KEEP_ALL || (loss == FAKE_DISK_LOSE_SOME && fake_random(f) % 2 == 0));

    for (size_t i = 0; i < n->cap / DISK_SECTOR_BYTES; i++) {
        if (n->unsynced[i] && (loss == FAKE_DISK_KEEP_ALL ||
                               (loss == FAKE_DISK_LOSE_SOME && fake_random(f) % 2 == 0))) {
            memcpy(n->durable + i * DISK_SECTOR_BYTES, n->device + i * DISK_SECTOR_BYTES,
                   DISK_SECTOR_BYTES);
        }
        n->unsynced[i] = false;
    }
    n->durable_size = grown ? n->device_size : n->durable_size;
    if (n->cap > 0) {
        memset(n->durable + n->durable_size, 0, n->cap - n->durable_size);
        memcpy(n->device, n->durable, n->cap);
        memcpy(n->cache, n->durable, n->cap);
    }
    n->size = n->device_size = n->durable_size;
    n->locked = false;
}

void fake_disk_crash(struct fake_disk *f, enum fake_disk_loss loss, uint64_t seed)
{
    f->random = seed;
    f->dead = false;
    f->die_at = f->fail_at = 0;
    if (loss == FAKE_DISK_KEEP_ALL) {
        /* The machine lives: the cache stays as it is, and unsynced stays unsynced. */
        for (size_t i = 0; i < f->inode_count; i++) {
            f->inodes[i]->locked = false;
        }
        return;
    }
    for (size_t i = 0; i < f->inode_count; i++) {
        fake_crash_inode(f, f->inodes[i], loss);
    }
    /* Changes of names reach the disk in their order: all those before some moment are there. */
    uint64_t upto = loss == FAKE_DISK_LOSE_ALL ? 0 : fake_random(f) % (f->ops + 1);
    for (size_t i = 0; i < FAKE_NAMES_MAX; i++) {
        struct fake_name *n = &f->names[i];
        if (n->changed > upto) {
            n->now = n->durable;
        }
        n->durable = n->now;
        n->changed = 0;
    }
}

uint8_t *fake_disk_bytes(struct fake_disk *f, const char *path, size_t *size)
{
    struct fake_name *n = fake_find(f, path);

    if (!n || !n->now) {
        return NULL;
    }
    *size = (size_t)n->now->size;
    return n->now->cache;
}

void fake_disk_settle(struct fake_disk *f, const char *path)
{
    struct fake_name *n = fake_find(f, path);

    MUST(n && n->now);
    struct fake_inode *i = n->now;
    if (i->cap > 0) {
        memcpy(i->device, i->cache, i->cap);
        memcpy(i->durable, i->cache, i->cap);
        memset(i->unsynced, 0, i->cap / DISK_SECTOR_BYTES * sizeof *i->unsynced);
    }
    i->device_size = i->durable_size = i->size;
    n->durable = n->now;
    n->changed = 0;
}

void fake_disk_put(struct fake_disk *f, const char *path, const void *bytes, size_t size)
{
    struct fake_name *n = fake_make_name(f, path);

    n->now = fake_inode_create(f);
    fake_inode_grow(n->now, size);
    if (size > 0) {
        memcpy(n->now->cache, bytes, size);
    }
    n->now->size = size;
    fake_disk_settle(f, path);
}

int fake_disk_remove(struct fake_disk *f, const char *path)
{
    struct fake_name *n = fake_find(f, path);

    if (!n || !n->now) {
        return ERR_NOT_FOUND;
    }
    n->now = n->durable = NULL;
    n->changed = 0;
    return ERR_OK;
}

const char *fake_disk_last(const struct fake_disk *f, const char *prefix)
{
    const char *last = NULL;

    for (size_t i = 0; i < FAKE_NAMES_MAX; i++) {
        const struct fake_name *n = &f->names[i];
        if (n->now && strncmp(n->path, prefix, strlen(prefix)) == 0 &&
            (!last || strcmp(n->path, last) > 0)) {
            last = n->path;
        }
    }
    return last;
}
