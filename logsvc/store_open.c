/* Opening a log: who it belongs to, what the last process left unfinished, which segments there
 * are, and how far the last one is good.
 *
 * Nothing that is found is believed before it was synced (names: disk_settle_names; the newest
 * segment: store_recover.c); the votes are written again (slots.c). Rot does not keep a log from
 * being opened as long as it is known who it belongs to and how far it reached at least. */
#include "logsvc/store_impl.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct storage_ops store_ops;

/* --- the identity of a folder ---
 *
 * File "ident": 0 magic u32   4 crc u32 (of bytes 8 …)   8 version u32   12 flags u32
 * 16 cluster id   32 log id u64   40 node id, NUL-padded
 * 104 begin of the log u64   112 its epoch u64   120 chain checksum at begin u32
 * zeros up to 512 */

enum { IDENT_BYTES = 512, IDENT_MAGIC = 0x314c4648 /* "HFL1" */, IDENT_VERSION = 1 };
enum { IDENT_BEGUN = 1u << 0, IDENT_CHAIN = 1u << 1 };

#define IDENT_NAME "ident"

static void store_ident_encode(const struct store *s, const struct store_begin *told,
                               uint8_t bytes[IDENT_BYTES])
{
    uint32_t flags = (s->begun ? IDENT_BEGUN : 0) | (told->chain_known ? IDENT_CHAIN : 0);

    memset(bytes, 0, IDENT_BYTES);
    le_put32(bytes, IDENT_MAGIC);
    le_put32(bytes + 8, IDENT_VERSION);
    le_put32(bytes + 12, flags);
    memcpy(bytes + 16, s->config.cluster_id, 16);
    le_put64(bytes + 32, s->config.log_id);
    memcpy(bytes + 40, s->node_id, SEGMENT_NODE_ID_BYTES);
    le_put64(bytes + 104, told->offset);
    le_put64(bytes + 112, told->epoch);
    le_put32(bytes + 120, told->chain_known ? told->chain_crc : 0);
    le_put32(bytes + 4, crc32c_extend(0, bytes + 8, IDENT_BYTES - 8));
}

static int store_ident_write(struct store *s, const struct store_begin *told)
{
    uint8_t bytes[IDENT_BYTES];

    store_ident_encode(s, told, bytes);
    return disk_write_file(store_disk(s), s->folder, IDENT_NAME, bytes, sizeof bytes);
}

int store_set_begun(struct store *s, const struct store_begin *begin)
{
    bool begun = s->begun;

    s->begun = true;
    int rc = store_ident_write(s, begin);
    if (rc == ERR_NO_SPACE) {
        s->begun = begun;
    } else {
        s->told = *begin;
    }
    return rc;
}

int store_ident_check(struct store *s)
{
    uint8_t *found = disk_memory(DISK_BLOCK_BYTES), wanted[IDENT_BYTES];
    char path[DISK_PATH_BYTES];
    struct disk_file *f;
    size_t got = 0;

    store_ident_encode(s, &s->told, wanted);
    int rc = disk_path(path, s->folder, IDENT_NAME);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, DISK_DIRECT, &f);
    }
    if (rc == ERR_OK) {
        rc = disk_read(f, found, DISK_BLOCK_BYTES, 0, &got);
        disk_close(f);
    }
    bool right = rc == ERR_OK && got == IDENT_BYTES && memcmp(found, wanted, IDENT_BYTES) == 0;
    free(found);
    if (right) {
        return ERR_OK;
    }
    log_error("%s has rotted, and is written anew", path);
    s->check.found++;
    rc = store_ident_write(s, &s->told);
    return rc == ERR_NO_SPACE ? ERR_OK : rc;
}

/* ERR_NOT_FOUND: there is none; the folder was never finished. */
static int store_ident_load(struct store *s)
{
    uint8_t bytes[IDENT_BYTES];
    char path[DISK_PATH_BYTES];
    struct disk_file *f;
    size_t got = 0;

    int rc = disk_path(path, s->folder, IDENT_NAME);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, 0, &f);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    rc = disk_read(f, bytes, sizeof bytes, 0, &got);
    disk_close(f);
    if (rc != ERR_OK && rc != ERR_IO) {
        return rc;
    }
    if (rc != ERR_OK || got != sizeof bytes || le_get32(bytes) != IDENT_MAGIC ||
        le_get32(bytes + 8) != IDENT_VERSION ||
        le_get32(bytes + 4) != crc32c_extend(0, bytes + 8, sizeof bytes - 8)) {
        log_error("%s is corrupt%s", path, rc != ERR_OK ? " or can't be read" : "");
        s->ident_bad = true; /* if there are segments, they say whose log this is */
        return ERR_OK;
    }
    if (memcmp(bytes + 16, s->config.cluster_id, 16) != 0 ||
        le_get64(bytes + 32) != s->config.log_id ||
        memcmp(bytes + 40, s->node_id, SEGMENT_NODE_ID_BYTES) != 0) {
        log_error("%s: this log belongs to another cluster, or to node %.63s (log %llu)", s->folder,
                  (const char *)bytes + 40, (unsigned long long)le_get64(bytes + 32));
        return ERR_REFUSED;
    }
    s->begun = (le_get32(bytes + 12) & IDENT_BEGUN) != 0;
    s->told = (struct store_begin){
        .offset = le_get64(bytes + 104),
        .epoch = le_get64(bytes + 112),
        .chain_crc = le_get32(bytes + 120),
        .chain_known = (le_get32(bytes + 12) & IDENT_CHAIN) != 0,
    };
    return ERR_OK;
}

/* --- the folder --- */

struct store_listing {
    char (*temporary)[256];
    size_t temporary_count;
    uint64_t *begins;
    size_t begin_count;
};

static void store_list_cb(void *ctx, const char *name)
{
    struct store_listing *l = ctx;
    size_t len = strlen(name);
    uint64_t begin;

    if (segment_name_parse(name, &begin) == ERR_OK) {
        l->begins = mem_realloc(l->begins, (l->begin_count + 1) * sizeof *l->begins);
        l->begins[l->begin_count++] = begin;
    } else if (len > 4 && len < 256 && strcmp(name + len - 4, ".tmp") == 0) {
        l->temporary = mem_realloc(l->temporary, (l->temporary_count + 1) * sizeof *l->temporary);
        memcpy(l->temporary[l->temporary_count++], name, len + 1);
    }
}

static int store_compare_begins(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static int store_remove_temporary(struct store *s, const struct store_listing *l)
{
    char path[DISK_PATH_BYTES];
    int rc = ERR_OK;

    for (size_t i = 0; i < l->temporary_count && rc == ERR_OK; i++) {
        rc = disk_path(path, s->folder, l->temporary[i]);
        if (rc == ERR_OK) {
            rc = store_disk(s)->ops->unlink(store_disk(s), path);
        }
    }
    return rc;
}

/* Makes what a log without a byte has. */
static int store_create(struct store *s, const struct store_listing *l)
{
    if (l->begin_count > 0) {
        log_error("%s holds segments but no file %s", s->folder, IDENT_NAME);
        s->ident_bad = true; /* the segments say whose log it is */
        return ERR_OK;
    }
    bool used;
    int rc = slots_were_used(store_disk(s), s->folder, &used);
    if (rc == ERR_OK && used) {
        log_error("%s holds votes but no file %s: it is damaged", s->folder, IDENT_NAME);
        return ERR_CORRUPT;
    }
    if (rc == ERR_OK) {
        rc = slots_create(store_disk(s), s->folder);
    }
    return rc == ERR_OK ? store_ident_write(s, &s->told) : rc;
}

/* --- the segments --- */

static bool store_header_plausible(const struct segment_header *h, uint64_t begin)
{
    return h->begin == begin && h->file_bytes >= SEGMENT_BYTES_MIN &&
           h->file_bytes % SEGMENT_BLOCK_BYTES == 0 && h->file_bytes <= (uint64_t)1 << 40;
}

/* Reads the block at `at`; zeros where the file is shorter. */
static int store_read_block(struct store *s, uint64_t begin, uint64_t at, uint8_t *block)
{
    char path[DISK_PATH_BYTES];
    struct disk_file *f;
    size_t got = 0;

    int rc = store_segment_path(s, begin, path);
    if (rc == ERR_OK) {
        rc = disk_open(store_disk(s), path, DISK_DIRECT, &f);
    }
    if (rc != ERR_OK) {
        return rc;
    }
    memset(block, 0, SEGMENT_BLOCK_BYTES);
    rc = disk_read(f, block, SEGMENT_BLOCK_BYTES, at, &got);
    disk_close(f);
    return rc;
}

static int store_load_header(struct store *s, uint64_t begin, uint8_t *block)
{
    struct segment_header h;
    struct segment_header own = store_header(s, begin, 0);

    int rc = store_read_block(s, begin, 0, block);
    if (rc == ERR_IO) {
        memset(block, 0, SEGMENT_BLOCK_BYTES); /* unreadable is rotten */
    } else if (rc != ERR_OK) {
        return rc;
    }
    if (segment_decode_header(block, &h) != ERR_OK || !store_header_plausible(&h, begin)) {
        log_error("%s: the header of the segment that begins at %llu is corrupt", s->folder,
                  (unsigned long long)begin);
        store_segment_add(s, &own, true);
        return ERR_OK;
    }
    if (memcmp(h.cluster_id, own.cluster_id, 16) != 0 || h.log_id != own.log_id ||
        strcmp(h.node_id, own.node_id) != 0) {
        log_error("%s: the segment that begins at %llu is of another cluster, node or log",
                  s->folder, (unsigned long long)begin);
        return ERR_REFUSED;
    }
    store_segment_add(s, &h, false);
    return ERR_OK;
}

/* Finishes a reset that was cut short: removes what is older than the newest epoch. */
static int store_remove_old_epochs(struct store *s)
{
    uint64_t newest = s->told.epoch;
    size_t kept = 0, bad = 0;

    for (size_t i = 0; i < s->segment_count; i++) {
        const struct store_segment *g = &s->segments[i];
        newest = !g->bad && g->header.epoch > newest ? g->header.epoch : newest;
        bad += g->bad;
    }
    for (size_t i = 0; i < s->segment_count; i++) {
        char path[DISK_PATH_BYTES];
        if (s->segments[i].bad || s->segments[i].header.epoch == newest) {
            s->segments[kept++] = s->segments[i];
            continue;
        }
        if (bad > 0) {
            log_error("%s: segments of a log that was thrown away are mixed with corrupt ones",
                      s->folder);
            return ERR_CORRUPT;
        }
        int rc = store_segment_path(s, s->segments[i].header.begin, path);
        if (rc == ERR_OK) {
            rc = store_disk(s)->ops->unlink(store_disk(s), path);
        }
        if (rc != ERR_OK) {
            return rc;
        }
    }
    s->segment_count = kept;
    for (size_t i = 0; i < kept; i++) {
        s->segments[i].header.epoch = newest > 0 ? newest : 1;
    }
    return ERR_OK;
}

/* A segment whose file is gone goes into the list in front of segment i. */
static void store_insert_missing(struct store *s, size_t i, uint64_t begin)
{
    struct segment_header h = store_header(s, begin, s->segments[i].header.epoch);
    uint64_t to = s->segments[i].header.begin;

    store_segment_add(s, &h, true);
    struct store_segment missing = *store_open_segment(s);
    memmove(s->segments + i + 1, s->segments + i, (s->segment_count - 1 - i) * sizeof *s->segments);
    missing.missing = true;
    missing.health = STORE_DAMAGED;
    missing.hole_from = begin;
    missing.hole_to = to;
    s->segments[i] = missing;
    s->check.found++;
    log_error("%s: the segment that begins at %llu is gone: the log from there to %llu is lost "
              "here, and will be fetched from the other nodes",
              s->folder, (unsigned long long)begin, (unsigned long long)to);
}

/* Compares where segments end and begin. Holes are never closed: what was there may have been
 * acknowledged. What can't be told from here is looked at later, before anything else. */
static int store_check_chain(struct store *s, uint8_t *block)
{
    struct segment_footer footer;

    for (size_t i = 0; i + 1 < s->segment_count; i++) {
        struct store_segment *g = &s->segments[i];
        const struct store_segment *next = g + 1;
        if (g->missing) {
            continue;
        }
        g->health = STORE_SUSPECT;
        if (g->bad) {
            continue;
        }
        uint64_t data_end = segment_data_end(g->header.file_bytes);
        int rc = store_read_block(s, g->header.begin, data_end, block);
        if (rc != ERR_OK && rc != ERR_IO) {
            return rc;
        }
        if (rc != ERR_OK || segment_decode_footer(block, &footer) != ERR_OK ||
            footer.end > next->header.begin || footer.end < g->header.begin) {
            continue;
        }
        /* An idle record may fill what is appended to as well; but what is packed is smaller. */
        g->dense = footer.end_pos == data_end && g->header.file_bytes != s->config.segment_bytes;
        if (footer.end < next->header.begin) {
            store_insert_missing(s, i + 1, footer.end);
        } else if (next->bad || footer.chain_crc == next->header.chain_crc) {
            s->segments[i].health = STORE_SOUND;
        }
    }
    bool told = s->segment_count > 0 && s->told.epoch == s->segments[0].header.epoch;
    if (told && s->told.offset < s->segments[0].header.begin) {
        store_insert_missing(s, 0, s->told.offset);
    }
    return ERR_OK;
}

static bool store_any_good(const struct store *s)
{
    for (size_t i = 0; i < s->segment_count; i++) {
        if (!s->segments[i].bad) {
            return true;
        }
    }
    return false;
}

/* `ident` after the segments were read: not begun yet, of an older epoch, not telling all that it
 * could, or rotten. */
static int store_ident_renew(struct store *s)
{
    const struct store_segment *first = &s->segments[0];
    const struct segment_header *h = &first->header;
    struct store_begin begin = {.offset = h->begin,
                                .epoch = h->epoch,
                                .chain_crc = h->chain_crc,
                                .chain_known = !first->bad};
    bool told = s->begun && !s->ident_bad && s->told.epoch == h->epoch;

    if (told && s->told.offset == h->begin && (s->told.chain_known || !begin.chain_known)) {
        return ERR_OK;
    }
    s->check.found += s->ident_bad;
    s->ident_bad = false;
    int rc = store_set_begun(s, &begin);
    if (rc == ERR_NO_SPACE && told) {
        s->told = begin; /* the file is made anew when it is looked after */
        return ERR_OK;
    }
    return rc;
}

static int store_load_segments(struct store *s, const struct store_listing *l)
{
    uint8_t *block = disk_memory(SEGMENT_BLOCK_BYTES);
    int rc = ERR_OK;

    for (size_t i = 0; i < l->begin_count && rc == ERR_OK; i++) {
        rc = store_load_header(s, l->begins[i], block);
    }
    if (rc == ERR_OK && s->ident_bad && !store_any_good(s)) {
        rc = ERR_CORRUPT; /* whose log it is, nothing says */
    }
    if (rc == ERR_OK) {
        rc = store_finish_trim(s);
    }
    if (rc == ERR_OK) {
        rc = store_remove_old_epochs(s);
    }
    if (rc == ERR_OK) {
        rc = store_check_chain(s, block);
    }
    if (rc == ERR_OK && s->segment_count == 0 && s->begun) {
        log_error("%s: the log has been begun, but its segments are gone; a node that lost its "
                  "disk comes back under a new node id",
                  s->folder);
        rc = ERR_CORRUPT;
    }
    if (rc == ERR_OK && s->segment_count > 0) {
        rc = store_recover_last(s);
    }
    if (rc == ERR_OK && s->segment_count > 0) {
        rc = store_ident_renew(s);
    }
    store_holes_update(s);
    free(block);
    return rc;
}

/* --- all of it --- */

static int store_take_lock(struct store *s)
{
    char path[DISK_PATH_BYTES];

    int rc = store_disk(s)->ops->make_folder(store_disk(s), s->folder);
    if (rc == ERR_OK) {
        rc = disk_path(path, s->folder, "lock");
    }
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->lock(store_disk(s), path, &s->lock);
    }
    if (rc == ERR_EXISTS) {
        log_error("%s is in use by another process", s->folder);
    }
    return rc;
}

static int store_open_parts(struct store *s, const struct store_listing *l)
{
    struct spare_config spare = {
        .disk = s->config.disk,
        .folder = s->folder,
        .file_bytes = s->config.segment_bytes,
        .reserve_bytes = s->config.reserve_bytes,
        .threaded = s->config.spare_thread,
    };

    int rc = store_remove_temporary(s, l);
    if (rc == ERR_OK) {
        rc = store_ident_load(s);
        rc = rc == ERR_NOT_FOUND ? store_create(s, l) : rc;
    }
    if (rc == ERR_OK) {
        rc = slots_open(&s->slots, store_disk(s), s->folder);
        rc = rc == ERR_NOT_FOUND ? ERR_CORRUPT : rc;
    }
    if (rc == ERR_OK) {
        rc = spare_start(&spare, &s->spare);
    }
    if (rc == ERR_OK) {
        rc = store_pack_open(s);
    }
    if (rc == ERR_OK) {
        rc = store_load_segments(s, l);
    }
    if (rc == ERR_OK) {
        rc = snapfile_open(&s->snaps, store_disk(s), s->folder);
    }
    return rc;
}

int store_open(const struct store_config *config, struct store **out)
{
    struct store *s = mem_calloc(1, sizeof *s);
    struct store_listing l = {0};

    MUST(config->segment_bytes >= SEGMENT_BYTES_MIN &&
         config->segment_bytes % SEGMENT_BYTES_MIN == 0);
    s->base.ops = &store_ops;
    s->config = *config;
    int len = snprintf(s->folder, sizeof s->folder, "%s", config->folder);
    int id_len = snprintf(s->node_id, sizeof s->node_id, "%s", config->node_id);
    int rc = ERR_INVALID;
    if (len > 0 && (size_t)len < sizeof s->folder && id_len > 0 &&
        (size_t)id_len < sizeof s->node_id) {
        rc = store_take_lock(s);
    }
    s->config.folder = s->folder;
    s->config.node_id = s->node_id;
    if (rc == ERR_OK) {
        rc = disk_settle_names(store_disk(s), s->folder);
    }
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->list(store_disk(s), s->folder, store_list_cb, &l);
    }
    if (rc == ERR_OK) {
        if (l.begin_count > 0) {
            qsort(l.begins, l.begin_count, sizeof *l.begins, store_compare_begins);
        }
        rc = store_open_parts(s, &l);
    }
    free(l.begins);
    free(l.temporary);
    if (rc != ERR_OK) {
        log_error("%s cannot be opened: %s", s->folder, err_text(rc));
        store_close(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

void store_close(struct store *s)
{
    if (!s) {
        return;
    }
    store_check_stop(s);
    spare_stop(s->spare);
    store_pack_close(s);
    snapfile_close(&s->snaps);
    slots_close(&s->slots);
    store_segments_clear(s);
    free(s->segments);
    segment_cursor_fini(&s->reader);
    free(s->batch);
    disk_close(s->file);
    disk_close(s->lock);
    free(s);
}
