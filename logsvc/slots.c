#include "logsvc/slots.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/log.h"

#include <stdlib.h>
#include <string.h>

/* Room that is there from the start, so that saving does not need space on a full disk. */
enum { SLOTS_FILE_BYTES = 64 * 1024 };

static const char *const slots_names[2] = {"meta-a", "meta-b"};

static size_t slots_round_up(size_t size)
{
    return (size + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES * DISK_BLOCK_BYTES;
}

/* The slot's bytes in memory for direct output, of at least size_min bytes. */
static uint8_t *slots_encode(uint64_t version, const void *body, size_t len, size_t size_min,
                             size_t *size)
{
    size_t used = SLOTS_HEADER_BYTES + len;

    *size = slots_round_up(used > size_min ? used : size_min);
    uint8_t *bytes = disk_memory(*size);
    memset(bytes, 0, *size);
    le_put32(bytes, SLOTS_MAGIC);
    le_put64(bytes + 8, version);
    le_put32(bytes + 16, (uint32_t)len);
    if (len > 0) {
        memcpy(bytes + SLOTS_HEADER_BYTES, body, len);
    }
    le_put32(bytes + 4, crc32c_extend(0, bytes + 8, used - 8));
    return bytes;
}

static int slots_write(struct disk_file *f, uint64_t version, const void *body, size_t len,
                       size_t size_min)
{
    size_t size;
    uint8_t *bytes = slots_encode(version, body, len, size_min, &size);

    int rc = disk_write(f, bytes, size, 0);
    if (rc == ERR_OK) {
        rc = disk_sync(f);
    }
    free(bytes);
    return rc;
}

int slots_create(struct disk *d, const char *folder)
{
    char path[DISK_PATH_BYTES];
    struct disk_file *f;

    for (int i = 0; i < 2; i++) {
        int rc = disk_path(path, folder, slots_names[i]);
        if (rc == ERR_OK) {
            rc = disk_open(d, path, DISK_WRITE | DISK_CREATE | DISK_DIRECT, &f);
        }
        if (rc != ERR_OK) {
            return rc;
        }
        rc = slots_write(f, 0, NULL, 0, SLOTS_FILE_BYTES);
        disk_close(f);
        if (rc != ERR_OK) {
            return rc;
        }
    }
    return ERR_OK;
}

/* Reads one slot. ERR_CORRUPT: it is bad. */
static int slots_read(struct disk_file *f, uint64_t *version, struct buf *body)
{
    uint64_t file_size;
    size_t got;

    int rc = disk_size(f, &file_size);
    if (rc != ERR_OK) {
        return rc;
    }
    if (file_size < SLOTS_HEADER_BYTES || file_size > 2 * (uint64_t)SLOTS_BODY_MAX_BYTES) {
        return ERR_CORRUPT;
    }
    size_t size = slots_round_up((size_t)file_size);
    uint8_t *bytes = disk_memory(size);
    rc = disk_read(f, bytes, size, 0, &got);
    if (rc == ERR_OK) {
        size_t len = got >= SLOTS_HEADER_BYTES ? le_get32(bytes + 16) : SIZE_MAX;
        if (got < SLOTS_HEADER_BYTES || le_get32(bytes) != SLOTS_MAGIC ||
            len > got - SLOTS_HEADER_BYTES ||
            le_get32(bytes + 4) != crc32c_extend(0, bytes + 8, SLOTS_HEADER_BYTES - 8 + len)) {
            rc = ERR_CORRUPT;
        } else {
            *version = le_get64(bytes + 8);
            buf_clear(body);
            buf_append(body, bytes + SLOTS_HEADER_BYTES, len);
        }
    }
    free(bytes);
    return rc;
}

int slots_were_used(struct disk *d, const char *folder, bool *used)
{
    char path[DISK_PATH_BYTES];
    struct disk_file *f;
    struct buf body = BUF_INIT;

    *used = false;
    for (int i = 0; i < 2; i++) {
        uint64_t version = 0;
        int rc = disk_path(path, folder, slots_names[i]);
        if (rc == ERR_OK) {
            rc = disk_open(d, path, DISK_DIRECT, &f);
        }
        if (rc == ERR_NOT_FOUND) {
            continue;
        }
        if (rc == ERR_OK) {
            rc = slots_read(f, &version, &body);
            disk_close(f);
            buf_clear(&body);
        }
        if (rc != ERR_OK && rc != ERR_CORRUPT) {
            buf_release(&body);
            return rc;
        }
        *used = *used || (rc == ERR_OK && version > 0);
    }
    buf_release(&body);
    return ERR_OK;
}

static int slots_open_files(struct slots *s, struct disk *d, const char *folder)
{
    char path[DISK_PATH_BYTES];
    bool missing[2] = {false, false};

    for (int i = 0; i < 2; i++) {
        int rc = disk_path(path, folder, slots_names[i]);
        if (rc == ERR_OK) {
            rc = disk_open(d, path, DISK_WRITE | DISK_DIRECT, &s->files[i]);
        }
        missing[i] = rc == ERR_NOT_FOUND;
        if (rc != ERR_OK && !missing[i]) {
            return rc;
        }
    }
    if (missing[0] && missing[1]) {
        return ERR_NOT_FOUND;
    }
    for (int i = 0; i < 2; i++) {
        int rc = ERR_OK;
        if (missing[i]) {
            log_warn("%s/%s is missing and is made again from the other", folder, slots_names[i]);
            rc = disk_path(path, folder, slots_names[i]);
            if (rc == ERR_OK) {
                rc = disk_open(d, path, DISK_WRITE | DISK_CREATE | DISK_DIRECT, &s->files[i]);
            }
            if (rc == ERR_OK) {
                rc = d->ops->sync_folder(d, folder);
            }
        }
        if (rc != ERR_OK) {
            return rc;
        }
    }
    return ERR_OK;
}

int slots_open(struct slots *s, struct disk *d, const char *folder)
{
    struct buf bodies[2] = {BUF_INIT, BUF_INIT};
    uint64_t versions[2] = {0, 0};
    int got[2] = {ERR_CORRUPT, ERR_CORRUPT};

    *s = (struct slots){0};
    int rc = slots_open_files(s, d, folder);
    for (int i = 0; i < 2 && rc == ERR_OK; i++) {
        /* What the cache shows need not be what the disk has: sync before believing anything. */
        rc = disk_sync(s->files[i]);
        if (rc == ERR_OK) {
            got[i] = slots_read(s->files[i], &versions[i], &bodies[i]);
            /* What can't be read is rotten: the other one is there for that. */
            rc = got[i] == ERR_CORRUPT || got[i] == ERR_IO ? ERR_OK : got[i];
        }
    }
    if (rc == ERR_OK && got[0] != ERR_OK && got[1] != ERR_OK) {
        log_error("%s: both copies of the node's votes are corrupt or can't be read", folder);
        rc = got[0] == ERR_IO || got[1] == ERR_IO ? ERR_IO : ERR_CORRUPT;
    }
    if (rc == ERR_OK) {
        int best = got[0] != ERR_OK || (got[1] == ERR_OK && versions[1] > versions[0]);
        s->version = versions[best];
        buf_swap(&s->body, &bodies[best]);
        /* Both are written again, the bad or older one first: every byte that is vouched for has
         * then been synced by this process, and one good slot stands at any moment. */
        for (int i = 0; i < 2 && rc == ERR_OK; i++) {
            const void *body = s->body.len > 0 ? buf_head(&s->body) : NULL;
            rc = slots_write(s->files[i == 0 ? !best : best], s->version, body, s->body.len,
                             SLOTS_FILE_BYTES);
        }
    }
    buf_release(&bodies[0]);
    buf_release(&bodies[1]);
    if (rc != ERR_OK) {
        slots_close(s);
    }
    return rc;
}

void slots_close(struct slots *s)
{
    disk_close(s->files[0]);
    disk_close(s->files[1]);
    s->files[0] = s->files[1] = NULL;
    buf_release(&s->body);
}

int slots_save(struct slots *s, const void *bytes, size_t size)
{
    if (size > SLOTS_BODY_MAX_BYTES) {
        return ERR_TOO_BIG;
    }
    for (int i = 0; i < 2; i++) {
        int rc = slots_write(s->files[i], s->version + 1, bytes, size, 0);
        if (rc != ERR_OK) {
            return rc == ERR_NO_SPACE ? ERR_IO : rc;
        }
    }
    s->version++;
    buf_clear(&s->body);
    buf_append(&s->body, bytes, size);
    return ERR_OK;
}

/* Whether the file of that name is there and holds the state. */
static bool slots_holds(const struct slots *s, struct disk *d, const char *path)
{
    struct buf body = BUF_INIT;
    struct disk_file *f;
    uint64_t version = 0;

    if (disk_open(d, path, DISK_DIRECT, &f) != ERR_OK) {
        return false;
    }
    bool good = slots_read(f, &version, &body) == ERR_OK && version == s->version &&
                body.len == s->body.len &&
                (body.len == 0 || memcmp(buf_head(&body), buf_head(&s->body), body.len) == 0);
    disk_close(f);
    buf_release(&body);
    return good;
}

int slots_check(struct slots *s, struct disk *d, const char *folder, unsigned *mended)
{
    char path[DISK_PATH_BYTES];
    struct disk_file *f = NULL;

    for (int i = 0; i < 2; i++) {
        int rc = disk_path(path, folder, slots_names[i]);
        if (rc != ERR_OK || slots_holds(s, d, path)) {
            continue;
        }
        log_error("%s has rotted, and is written anew", path);
        (*mended)++;
        rc = disk_open(d, path, DISK_WRITE | DISK_DIRECT, &f);
        if (rc == ERR_NOT_FOUND) {
            rc = disk_open(d, path, DISK_WRITE | DISK_CREATE | DISK_DIRECT, &f);
        }
        if (rc == ERR_OK) {
            disk_close(s->files[i]);
            s->files[i] = f;
            const void *body = s->body.len > 0 ? buf_head(&s->body) : NULL;
            rc = slots_write(f, s->version, body, s->body.len, SLOTS_FILE_BYTES);
        }
        if (rc == ERR_OK) {
            rc = d->ops->sync_folder(d, folder);
        }
        if (rc != ERR_OK) {
            return rc == ERR_NO_SPACE ? ERR_IO : rc;
        }
    }
    return ERR_OK;
}
