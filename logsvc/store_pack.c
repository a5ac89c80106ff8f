/* Giving back what small batches have taken of the disk: a batch takes whole blocks of 4 KiB, so
 * that a write that is cut short can't damage what was acknowledged before. Once a segment is
 * closed it needs that no more, and its records go into a smaller file (pack.h).
 *
 *   a closed, sound segment, the newest first ─▶ packer ─▶ rename ─▶ sync of the folder
 *
 * Before the rename nothing counts, and whatever goes wrong leaves the old file as it was: even a
 * sync that fails concerns a file only that nobody needs. From the rename on errors are final, as
 * everywhere. What is done to the segments meanwhile has the right of way: a file that was made of
 * one which has changed since is thrown away. A crash leaves pack.tmp, which is removed at the next
 * start. What it was made of, or what is thrown away, is freed by the packer's thread: the log's
 * own would wait for the disk. */
#include "common/log.h"
#include "logsvc/store_impl.h"

#define STORE_PACK_NAME "pack.tmp"

/* So often what a segment holds may be in the way; another look at it did not help, either. */
enum { STORE_PACK_TRIES = 3 };

int store_pack_open(struct store *s)
{
    struct packer_config config = {
        .disk = s->config.disk,
        .bytes_per_s = s->config.pack_bytes_per_s,
        .threaded = s->config.pack_thread,
    };

    return s->config.pack_percent > 0 ? packer_start(&config, &s->pack.packer) : ERR_OK;
}

void store_pack_close(struct store *s)
{
    packer_stop(s->pack.packer);
    s->pack.packer = NULL;
}

void store_pack_drop(struct store *s)
{
    if (s->pack.packer != NULL) {
        packer_drop(s->pack.packer);
    }
}

/* --- which --- */

static uint64_t store_pack_max_bytes(const struct store *s, size_t i)
{
    return s->segments[i].header.file_bytes * s->config.pack_percent / 100;
}

/* The size that the segment would have at least; if it was counted, about so much. */
static uint64_t store_pack_least(const struct store *s, size_t i)
{
    const struct store_segment *g = &s->segments[i];
    uint64_t bytes = store_segment_end(s, i) - g->header.begin;

    return segment_writer_file_bytes(g->counted ? g->record_bytes : bytes);
}

/* Whether closed segment i may and should be packed. What has rotted is mended first. */
static bool store_pack_wanted(struct store *s, size_t i)
{
    struct store_segment *g = &s->segments[i];

    if (g->dense || g->bad || g->missing || g->health != STORE_SOUND || s->segments[i + 1].bad ||
        g->packs_failed >= STORE_PACK_TRIES) {
        return false;
    }
    g->dense = store_pack_least(s, i) > store_pack_max_bytes(s, i);
    return !g->dense;
}

/* The newest one: the oldest may be forgotten any time. False: there is none. */
static bool store_pack_choose(struct store *s, size_t *chosen)
{
    for (size_t i = s->segment_count > 0 ? s->segment_count - 1 : 0; i > 0; i--) {
        if (store_pack_wanted(s, i - 1)) {
            *chosen = i - 1;
            return true;
        }
    }
    return false;
}

/* --- beginning, ending --- */

static void store_pack_failed(struct store *s, int rc, struct storage_pack *out)
{
    out->failed = true;
    if (!s->pack.complained) {
        log_warn("%s: segments are not packed for now, each stays as it is: %s", s->folder,
                 err_text(rc));
    }
    s->pack.complained = true;
}

/* What is made is smaller than what it replaces: half of the reserve may be used for it. */
static int store_pack_room(struct store *s, uint64_t bytes)
{
    uint64_t space;

    int rc = store_disk(s)->ops->free_space(store_disk(s), s->folder, &space);
    if (rc == ERR_OK && (space < bytes || space - bytes < s->config.reserve_bytes / 2)) {
        rc = ERR_NO_SPACE;
    }
    return rc;
}

static void store_pack_begin(struct store *s, size_t i, struct storage_pack *out)
{
    const struct store_segment *g = &s->segments[i];
    struct pack_job job = {.header = g->header,
                           .until = store_segment_end(s, i),
                           .until_chain = s->segments[i + 1].header.chain_crc,
                           .max_bytes = store_pack_max_bytes(s, i)};

    int rc = store_pack_room(s, g->counted ? store_pack_least(s, i) : job.max_bytes);
    if (rc == ERR_OK) {
        rc = store_segment_path(s, g->header.begin, job.source);
    }
    if (rc == ERR_OK) {
        rc = disk_path(job.target, s->folder, STORE_PACK_NAME);
    }
    if (rc != ERR_OK) {
        store_pack_failed(s, rc, out);
        return;
    }
    s->pack.begin = g->header.begin;
    s->pack.epoch = g->header.epoch;
    packer_give(s->pack.packer, &job);
}

/* The segment that was packed, if it is there still and as it was: not trimmed away, nor mended,
 * nor suspected; else NULL. Cuts, and trims that removed it, have dropped the job. */
static struct store_segment *store_pack_subject(struct store *s)
{
    if (s->segment_count == 0) {
        return NULL;
    }
    size_t i = store_find_segment(s, s->pack.begin);
    struct store_segment *g = &s->segments[i];
    bool same = g->header.begin == s->pack.begin && g->header.epoch == s->pack.epoch &&
                i + 1 < s->segment_count;
    return same && !g->bad && !g->dense && g->health == STORE_SOUND ? g : NULL;
}

static int store_pack_replace(struct store *s, struct store_segment *g,
                              const struct segment_header *header, struct segment_index *index)
{
    int rc = store_segment_replace(s, STORE_PACK_NAME, g->header.begin);
    if (rc != ERR_OK) {
        return store_fail(s, rc);
    }
    log_debug("%s: the segment that begins at %llu is packed: %llu bytes of the disk instead of "
              "%llu",
              s->folder, (unsigned long long)g->header.begin,
              (unsigned long long)header->file_bytes, (unsigned long long)g->header.file_bytes);
    store_check_replaced(s, (size_t)(g - s->segments));
    g->header = *header;
    g->index = *index;
    *index = (struct segment_index){0};
    g->dense = true;
    s->pack.complained = false;
    return ERR_OK;
}

static int store_pack_ended(struct store *s, int result, const struct segment_header *header,
                            struct segment_index *index, struct storage_pack *out)
{
    struct store_segment *g = store_pack_subject(s);
    char path[DISK_PATH_BYTES];
    int rc = ERR_OK;

    if (result == ERR_OK && g != NULL) {
        rc = store_pack_replace(s, g, header, index);
        out->packed = rc == ERR_OK;
    } else if (result == ERR_OK) {
        if (disk_path(path, s->folder, STORE_PACK_NAME) == ERR_OK) {
            /* Else it is emptied by the next one. */
            int removed = store_disk(s)->ops->unlink(store_disk(s), path);
            (void)removed;
        }
    } else if (result == ERR_NO_SPACE || result == ERR_IO) {
        store_pack_failed(s, result, out);
    } else if (result != ERR_CLOSED && g != NULL) {
        g->dense = g->dense || result == ERR_TOO_BIG;
        g->packs_failed += result == ERR_CORRUPT;
        if (result == ERR_CORRUPT) {
            store_suspect(s, (size_t)(g - s->segments)); /* what it is exactly, a survey tells */
        }
    }
    return rc;
}

int store_pack(struct storage *base, size_t max_bytes, struct storage_pack *out)
{
    struct store *s = (struct store *)base;
    struct segment_header header = {0};
    struct segment_index index = {0};
    size_t chosen;

    *out = (struct storage_pack){0};
    if (s->errored) {
        return ERR_IO;
    }
    if (s->pack.packer == NULL) {
        out->idle = true;
        return ERR_OK;
    }
    if (packer_busy(s->pack.packer)) {
        int rc = packer_step(s->pack.packer, max_bytes, &out->bytes, &header, &index);
        if (rc == ERR_MORE) {
            return ERR_OK;
        }
        rc = store_pack_ended(s, rc, &header, &index, out);
        segment_index_release(&index);
        packer_release(s->pack.packer);
        return rc;
    }
    if (store_pack_choose(s, &chosen)) {
        store_pack_begin(s, chosen, out);
    } else {
        out->idle = true;
    }
    return ERR_OK;
}
