#include "tests/lib/fake_disk.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { FAKE_SECTORS = DISK_BLOCK_BYTES / DISK_SECTOR_BYTES };

/* A block of a file. What is on its way to the disk is kept as a copy of what was there before, so
 * that blocks at rest and blocks of zeros cost nothing. */
struct fake_block {
    uint8_t *cache;   /* what the page cache shows; NULL: zeros */
    uint8_t *durable; /* of sectors in unsynced or lost: what a power failure goes back to; NULL:
                         zeros */
    uint8_t unsynced; /* sectors written since the last sync */
    uint8_t lost;     /* sectors that a failed sync called clean: the device has them as durable */
    bool bad;         /* it can't be read */
};

struct fake_inode {
    struct fake_block *blocks;
    size_t block_count;
    size_t dirty_from, dirty_to; /* blocks outside are neither unsynced nor lost */
    uint64_t size, device_size, durable_size;
    unsigned refs; /* of names and open files */
    bool locked;
    uint8_t *view; /* for fake_disk_bytes */
    size_t view_size;
    struct fake_inode *prev, *next;
};

struct fake_name {
    char path[256];
    uint64_t hash;
    struct fake_inode *now;     /* NULL: no such name */
    struct fake_inode *durable; /* what a power failure goes back to */
    uint64_t changed;           /* order of unsynced changes; 0: none */
};

struct fake_disk {
    struct disk base; /* first */
    struct fake_name *names;
    size_t name_count, name_cap;
    struct fake_inode *inodes; /* all of them */
    uint64_t ops, fail_at, die_at, syncs;
    uint64_t reads, fail_read_at;
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

    n->dirty_from = SIZE_MAX;
    n->next = f->inodes;
    if (n->next) {
        n->next->prev = n;
    }
    f->inodes = n;
    return n;
}

static void fake_inode_free(struct fake_disk *f, struct fake_inode *n)
{
    if (n->prev) {
        n->prev->next = n->next;
    } else {
        f->inodes = n->next;
    }
    if (n->next) {
        n->next->prev = n->prev;
    }
    for (size_t i = 0; i < n->block_count; i++) {
        free(n->blocks[i].cache);
        free(n->blocks[i].durable);
    }
    free(n->blocks);
    free(n->view);
    free(n);
}

/* Makes *slot point to n (or to nothing). */
static void fake_hold(struct fake_disk *f, struct fake_inode **slot, struct fake_inode *n)
{
    struct fake_inode *old = *slot;

    if (n) {
        n->refs++;
    }
    *slot = n;
    if (old && --old->refs == 0) {
        fake_inode_free(f, old);
    }
}

static void fake_inode_grow(struct fake_inode *n, uint64_t size)
{
    size_t need = (size_t)((size + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES);
    size_t count = n->block_count > 0 ? n->block_count : 1;

    if (need <= n->block_count) {
        return;
    }
    while (count < need) {
        count *= 2;
    }
    n->blocks = mem_realloc(n->blocks, count * sizeof *n->blocks);
    memset(n->blocks + n->block_count, 0, (count - n->block_count) * sizeof *n->blocks);
    n->block_count = count;
}

static bool fake_is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Writes a piece of one block: cache and device have it, unsynced. */
static void fake_block_write(struct fake_inode *n, size_t i, size_t at, const uint8_t *bytes,
                             size_t size)
{
    struct fake_block *b = &n->blocks[i];
    uint8_t sectors = (uint8_t)(0xffu << (at / DISK_SECTOR_BYTES));

    sectors &= (uint8_t)(0xffu >> (FAKE_SECTORS - 1 - (at + size - 1) / DISK_SECTOR_BYTES));
    if (!b->cache && (b->unsynced | b->lost) == 0 && fake_is_zero(bytes, size)) {
        return;
    }
    if ((b->unsynced | b->lost) == 0 && b->cache) {
        b->durable = mem_alloc(DISK_BLOCK_BYTES);
        memcpy(b->durable, b->cache, DISK_BLOCK_BYTES);
    }
    if (!b->cache) {
        b->cache = mem_alloc(DISK_BLOCK_BYTES);
        memset(b->cache, 0, DISK_BLOCK_BYTES);
    }
    memcpy(b->cache + at, bytes, size);
    b->unsynced |= sectors;
    b->lost &= (uint8_t)~sectors;
    b->bad = false;
    n->dirty_from = i < n->dirty_from ? i : n->dirty_from;
    n->dirty_to = i + 1 > n->dirty_to ? i + 1 : n->dirty_to;
}

/* The block as the cache shows it, or as the device has it. */
static void fake_block_read(const struct fake_inode *n, size_t i, bool device, size_t at,
                            uint8_t *to, size_t size)
{
    static const uint8_t zeros[DISK_BLOCK_BYTES];
    const struct fake_block *b = &n->blocks[i];
    uint8_t mixed[DISK_BLOCK_BYTES];
    const uint8_t *bytes = b->cache ? b->cache : zeros;

    if (device && b->lost != 0) {
        memcpy(mixed, bytes, sizeof mixed);
        for (size_t s = 0; s < FAKE_SECTORS; s++) {
            if (b->lost & (1u << s)) {
                memcpy(mixed + s * DISK_SECTOR_BYTES,
                       (b->durable ? b->durable : zeros) + s * DISK_SECTOR_BYTES,
                       DISK_SECTOR_BYTES);
            }
        }
        bytes = mixed;
    }
    memcpy(to, bytes + at, size);
}

static uint64_t fake_hash(const char *path)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (; *path != '\0'; path++) {
        h = (h ^ (uint8_t)*path) * 0x100000001b3ull;
    }
    return h;
}

static struct fake_name *fake_find(const struct fake_disk *f, const char *path)
{
    uint64_t hash = fake_hash(path);

    for (size_t i = 0; i < f->name_count; i++) {
        struct fake_name *n = &f->names[i];
        if (n->hash == hash && (n->now || n->durable) && strcmp(n->path, path) == 0) {
            return n;
        }
    }
    return NULL;
}

static struct fake_name *fake_make_name(struct fake_disk *f, const char *path)
{
    struct fake_name *n = fake_find(f, path);

    for (size_t i = 0; i < f->name_count && !n; i++) {
        n = !f->names[i].now && !f->names[i].durable ? &f->names[i] : NULL;
    }
    if (!n) {
        if (f->name_count == f->name_cap) {
            f->name_cap = f->name_cap > 0 ? 2 * f->name_cap : 16;
            f->names = mem_realloc(f->names, f->name_cap * sizeof *f->names);
        }
        n = &f->names[f->name_count++];
        n->now = n->durable = NULL;
    }
    if (!n->now && !n->durable) {
        MUST(strlen(path) < sizeof n->path);
        memcpy(n->path, path, strlen(path) + 1);
        n->hash = fake_hash(path);
        n->changed = 0;
    }
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

    for (size_t i = 0; i < f->name_count; i++) {
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
    fake_hold(fake_of(d), &file->inode, n);
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
        fake_hold(f, &n->now, fake_inode_create(f)); /* emptying is as good as a new one */
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
    fake_hold(fake_of(file->disk), &f->inode, NULL);
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
    for (size_t done = 0; done < size;) {
        size_t in_block = (size_t)((at + done) % DISK_BLOCK_BYTES);
        size_t piece = DISK_BLOCK_BYTES - in_block;
        piece = piece < size - done ? piece : size - done;
        fake_block_write(n, (size_t)((at + done) / DISK_BLOCK_BYTES), in_block,
                         (const uint8_t *)bytes + done, piece);
        done += piece;
    }
    n->size = at + size > n->size ? at + size : n->size;
    n->device_size = n->size;
    return rc;
}

/* How much of it could be read. */
static size_t fake_inode_read(const struct fake_inode *n, bool device, uint8_t *to, size_t size,
                              uint64_t at)
{
    size_t done = 0;

    while (done < size && !n->blocks[(at + done) / DISK_BLOCK_BYTES].bad) {
        size_t in_block = (size_t)((at + done) % DISK_BLOCK_BYTES);
        size_t piece = DISK_BLOCK_BYTES - in_block;
        piece = piece < size - done ? piece : size - done;
        fake_block_read(n, (size_t)((at + done) / DISK_BLOCK_BYTES), device, in_block, to + done,
                        piece);
        done += piece;
    }
    return done;
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
    uint64_t read = f->reads++;
    if (f->fail_read_at != 0 && read == f->fail_read_at) {
        return ERR_IO;
    }
    if (at < end) {
        size_t want = size < end - at ? size : (size_t)(end - at);
        *got = fake_inode_read(n, device, to, want, at);
        return *got == want ? ERR_OK : ERR_IO;
    }
    return ERR_OK;
}

/* What is unsynced becomes durable, or is lost while the cache goes on showing it. */
static void fake_inode_synced(struct fake_inode *n, bool ok)
{
    bool lost = false;

    for (size_t i = n->dirty_from; i < n->dirty_to; i++) {
        struct fake_block *b = &n->blocks[i];
        b->lost |= ok ? 0 : b->unsynced;
        b->unsynced = 0;
        lost = lost || b->lost != 0;
        if (b->lost == 0) {
            free(b->durable);
            b->durable = NULL;
        }
    }
    if (!lost) {
        n->dirty_from = SIZE_MAX;
        n->dirty_to = 0;
    }
    if (ok) {
        n->durable_size = n->device_size;
    } else {
        n->device_size = n->durable_size;
    }
}

static void fake_push(struct disk_file *file, uint64_t at, uint64_t size)
{
    (void)file; /* nothing is known to be on the disk before the next sync */
    (void)at;
    (void)size;
}

static int fake_sync(struct disk_file *file)
{
    struct fake_disk *f = fake_of(file->disk);
    bool torn;

    int rc = fake_step(f, &torn);
    if (!torn) {
        /* If it fails, the kernel calls the pages clean, and the device never sees them. */
        fake_inode_synced(((struct fake_file *)file)->inode, rc == ERR_OK);
        f->syncs++;
    }
    return rc;
}

static int fake_size(struct disk_file *file, uint64_t *out)
{
    *out = ((struct fake_file *)file)->inode->size;
    return fake_of(file->disk)->dead ? ERR_IO : ERR_OK;
}

static int fake_allocate(struct disk_file *file, uint64_t at, uint64_t size)
{
    if (fake_of(file->disk)->buffered) {
        return ERR_STATE; /* the filesystem that has no O_DIRECT lacks this as well */
    }
    uint8_t *zeros = disk_memory((size_t)size);
    memset(zeros, 0, (size_t)size);
    int rc = fake_write(file, zeros, (size_t)size, at);
    free(zeros);
    return rc;
}

static int fake_rename(struct disk *d, const char *from, const char *to)
{
    struct fake_disk *f = fake_of(d);
    bool torn;

    int rc = fake_step(f, &torn);
    if (rc != ERR_OK) {
        return rc;
    }
    if (!fake_find(f, from) || !fake_find(f, from)->now) {
        return ERR_NOT_FOUND;
    }
    struct fake_name *b = fake_make_name(f, to); /* first: it may move the names */
    struct fake_name *a = fake_find(f, from);
    fake_hold(f, &b->now, a->now);
    fake_hold(f, &a->now, NULL);
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
    fake_hold(f, &n->now, NULL);
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
    for (size_t i = 0; i < f->name_count && rc == ERR_OK; i++) {
        struct fake_name *n = &f->names[i];
        if ((n->now || n->durable) && fake_in_folder(n->path, path)) {
            fake_hold(f, &n->durable, n->now);
            n->changed = 0;
        }
    }
    f->syncs += rc == ERR_OK;
    return rc;
}

static int fake_list(struct disk *d, const char *path, void (*each)(void *ctx, const char *name),
                     void *ctx)
{
    struct fake_disk *f = fake_of(d);

    if (f->dead) {
        return ERR_IO;
    }
    for (size_t i = 0; i < f->name_count; i++) {
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
    if (!n->now) {
        fake_hold(f, &n->now, fake_inode_create(f));
    }
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
    .push = fake_push,
    .size = fake_size,
    .allocate = fake_allocate,
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
    while (f->inodes) {
        fake_inode_free(f, f->inodes);
    }
    free(f->names);
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

uint64_t fake_disk_syncs(const struct fake_disk *f)
{
    return f->syncs;
}

bool fake_disk_is_dead(const struct fake_disk *f)
{
    return f->dead;
}

void fake_disk_fail_at(struct fake_disk *f, uint64_t op)
{
    f->fail_at = op;
}

uint64_t fake_disk_reads(const struct fake_disk *f)
{
    return f->reads;
}

bool fake_disk_read_failed(const struct fake_disk *f)
{
    return f->fail_read_at != 0 && f->reads > f->fail_read_at;
}

void fake_disk_fail_read_at(struct fake_disk *f, uint64_t read)
{
    f->fail_read_at = read;
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

uint64_t fake_disk_used(const struct fake_disk *f)
{
    return fake_used(f);
}

/* Each unsynced sector reaches the disk or not; what was lost is lost. */
static void fake_crash_block(struct fake_disk *f, struct fake_block *b, enum fake_disk_loss loss)
{
    for (size_t s = 0; s < FAKE_SECTORS; s++) {
        bool unsynced = (b->unsynced & (1u << s)) != 0;
        bool kept = unsynced && loss == FAKE_DISK_LOSE_SOME && fake_random(f) % 2 == 0;
        size_t at = s * DISK_SECTOR_BYTES;
        if (((b->unsynced | b->lost) & (1u << s)) == 0 || kept) {
            continue;
        }
        if (b->durable) {
            memcpy(b->cache + at, b->durable + at, DISK_SECTOR_BYTES);
        } else {
            memset(b->cache + at, 0, DISK_SECTOR_BYTES);
        }
    }
    b->unsynced = b->lost = 0;
    free(b->durable);
    b->durable = NULL;
}

/* What is behind the end of the file is zero when it grows again. */
static void fake_cut_inode(struct fake_inode *n, uint64_t size)
{
    for (size_t i = (size_t)(size / DISK_BLOCK_BYTES); i < n->block_count; i++) {
        struct fake_block *b = &n->blocks[i];
        uint64_t at = (uint64_t)i * DISK_BLOCK_BYTES;
        if (b->cache && at >= size) {
            free(b->cache);
            b->cache = NULL;
        } else if (b->cache) {
            memset(b->cache + (size - at), 0, (size_t)(DISK_BLOCK_BYTES - (size - at)));
        }
    }
}

static void fake_crash_inode(struct fake_disk *f, struct fake_inode *n, enum fake_disk_loss loss)
{
    bool shrinks = n->durable_size != n->device_size || n->durable_size != n->size;

    if (n->durable_size != n->device_size && loss == FAKE_DISK_LOSE_SOME &&
        fake_random(f) % 2 == 0) {
        n->durable_size = n->device_size;
    }
    for (size_t i = n->dirty_from; i < n->dirty_to; i++) {
        fake_crash_block(f, &n->blocks[i], loss);
    }
    n->dirty_from = SIZE_MAX;
    n->dirty_to = 0;
    if (shrinks) {
        fake_cut_inode(n, n->durable_size);
    }
    n->size = n->device_size = n->durable_size;
    n->locked = false;
}

void fake_disk_crash(struct fake_disk *f, enum fake_disk_loss loss, uint64_t seed)
{
    f->random = seed;
    f->dead = false;
    f->die_at = f->fail_at = 0;
    for (struct fake_inode *n = f->inodes; n; n = n->next) {
        n->locked = false;
        if (loss != FAKE_DISK_KEEP_ALL) {
            fake_crash_inode(f, n, loss);
        } /* else the machine lives: the cache stays as it is, and unsynced stays unsynced */
    }
    if (loss == FAKE_DISK_KEEP_ALL) {
        return;
    }
    /* Changes of names reach the disk in their order: all those before some moment are there. */
    uint64_t upto = loss == FAKE_DISK_LOSE_ALL ? 0 : fake_random(f) % (f->ops + 1);
    for (size_t i = 0; i < f->name_count; i++) {
        struct fake_name *n = &f->names[i];
        if (n->changed > upto) {
            fake_hold(f, &n->now, n->durable);
        }
        fake_hold(f, &n->durable, n->now);
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
    n->now->view = mem_realloc(n->now->view, *size + 1);
    n->now->view_size = *size;
    memset(n->now->view, 0, *size); /* what can't be read */
    (void)fake_inode_read(n->now, false, n->now->view, *size, 0);
    return n->now->view;
}

void fake_disk_settle(struct fake_disk *f, const char *path)
{
    struct fake_name *n = fake_find(f, path);

    MUST(n && n->now);
    struct fake_inode *inode = n->now;
    for (size_t i = 0; inode->view && i * DISK_BLOCK_BYTES < inode->view_size; i++) {
        const uint8_t *bytes = inode->view + i * DISK_BLOCK_BYTES;
        size_t left = inode->view_size - i * DISK_BLOCK_BYTES;
        size_t size = left < DISK_BLOCK_BYTES ? left : DISK_BLOCK_BYTES;
        const uint8_t *cache = inode->blocks[i].cache;
        if (cache ? memcmp(cache, bytes, size) != 0 : !fake_is_zero(bytes, size)) {
            fake_block_write(inode, i, 0, bytes, size);
        }
    }
    inode->device_size = inode->size;
    for (size_t i = inode->dirty_from; i < inode->dirty_to; i++) {
        inode->blocks[i].lost = 0;
    }
    fake_inode_synced(inode, true);
    fake_hold(f, &n->durable, inode);
    n->changed = 0;
}

bool fake_disk_flip(struct fake_disk *f, const char *path, uint64_t at, uint8_t mask)
{
    struct fake_name *n = fake_find(f, path);

    if (!n || !n->now || at >= n->now->size) {
        return false;
    }
    struct fake_block *b = &n->now->blocks[at / DISK_BLOCK_BYTES];
    if (!b->cache) {
        b->cache = mem_alloc(DISK_BLOCK_BYTES);
        memset(b->cache, 0, DISK_BLOCK_BYTES);
    }
    b->cache[at % DISK_BLOCK_BYTES] ^= mask;
    if (b->durable) {
        b->durable[at % DISK_BLOCK_BYTES] ^= mask;
    }
    return true;
}

bool fake_disk_spoil(struct fake_disk *f, const char *path, uint64_t at)
{
    struct fake_name *n = fake_find(f, path);

    if (!n || !n->now || at >= n->now->size) {
        return false;
    }
    n->now->blocks[at / DISK_BLOCK_BYTES].bad = true;
    return true;
}

uint64_t fake_disk_written(const struct fake_disk *f, const char *path, uint64_t choice)
{
    const struct fake_name *n = fake_find(f, path);
    uint64_t count = 0;

    for (size_t i = 0; n && n->now && i < n->now->block_count; i++) {
        count += n->now->blocks[i].cache != NULL;
    }
    if (count == 0) {
        return UINT64_MAX;
    }
    choice = choice == UINT64_MAX ? count - 1 : choice % count;
    for (size_t i = 0;; i++) {
        if (n->now->blocks[i].cache != NULL && choice-- == 0) {
            return (uint64_t)i * DISK_BLOCK_BYTES;
        }
    }
}

const char *fake_disk_name(const struct fake_disk *f, size_t i)
{
    for (size_t k = 0; k < f->name_count; k++) {
        if (f->names[k].now && i-- == 0) {
            return f->names[k].path;
        }
    }
    return NULL;
}

void fake_disk_put(struct fake_disk *f, const char *path, const void *bytes, size_t size)
{
    struct fake_name *n = fake_make_name(f, path);
    struct fake_inode *inode = fake_inode_create(f);

    fake_hold(f, &n->now, inode);
    fake_inode_grow(inode, size);
    for (size_t at = 0; at < size; at += DISK_BLOCK_BYTES) {
        size_t left = size - at;
        fake_block_write(inode, at / DISK_BLOCK_BYTES, 0, (const uint8_t *)bytes + at,
                         left < DISK_BLOCK_BYTES ? left : DISK_BLOCK_BYTES);
    }
    inode->size = size;
    fake_disk_settle(f, path);
}

int fake_disk_remove(struct fake_disk *f, const char *path)
{
    struct fake_name *n = fake_find(f, path);

    if (!n || !n->now) {
        return ERR_NOT_FOUND;
    }
    fake_hold(f, &n->now, NULL);
    fake_hold(f, &n->durable, NULL);
    n->changed = 0;
    return ERR_OK;
}

const char *fake_disk_last(const struct fake_disk *f, const char *prefix)
{
    const char *last = NULL;

    for (size_t i = 0; i < f->name_count; i++) {
        const struct fake_name *n = &f->names[i];
        if (n->now && strncmp(n->path, prefix, strlen(prefix)) == 0 &&
            (!last || strcmp(n->path, last) > 0)) {
            last = n->path;
        }
    }
    return last;
}
