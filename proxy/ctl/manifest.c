#include "proxy/ctl/manifest.h"

#include "common/crc32c.h"
#include "common/hex.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest whole number that JSON's double carries without loss. */
#define MANIFEST_NUMBER_MAX ((double)(UINT64_C(1) << 53))

enum { MANIFEST_CRC_LINE_BYTES = sizeof "  \"crc32c\": \"00000000\"\n}\n" - 1 };

void manifest_fini(struct manifest *m)
{
    free(m->files);
    *m = (struct manifest){.files = NULL};
}

void manifest_add(struct manifest *m, const struct manifest_file *file)
{
    if (m->count == m->cap) {
        m->cap = m->cap > 0 ? 2 * m->cap : 16;
        m->files = mem_realloc(m->files, m->cap * sizeof *m->files);
    }
    m->files[m->count++] = *file;
}

uint64_t manifest_end(const struct manifest *m)
{
    return m->count > 0 ? m->files[m->count - 1].to : m->snapshot.offset;
}

uint32_t manifest_chain(const struct manifest *m)
{
    return m->count > 0 ? m->files[m->count - 1].chain_crc : m->snapshot.chain_crc;
}

void manifest_snapshot_name(const struct snapshot_info *info, char out[MANIFEST_NAME_BYTES])
{
    (void)snprintf(out, MANIFEST_NAME_BYTES, "snapshot-%020" PRIu64 "-%08" PRIx32 ".rdb",
                   info->offset, info->crc);
}

void manifest_file_name(const struct manifest_file *file, char out[MANIFEST_NAME_BYTES])
{
    (void)snprintf(out, MANIFEST_NAME_BYTES, "log-%020" PRIu64 "-%08" PRIx32 ".hfr", file->from,
                   file->crc);
}

/* The offset and the checksum in a name of that kind. */
static bool manifest_name_parse(const char *name, const char *kind, const char *suffix,
                                uint64_t *offset)
{
    size_t len = strlen(kind);

    if (strncmp(name, kind, len) != 0 || strspn(name + len, "0123456789") != 20 ||
        name[len + 20] != '-' || strspn(name + len + 21, "0123456789abcdef") != 8 ||
        strcmp(name + len + 29, suffix) != 0) {
        return false;
    }
    *offset = strtoull(name + len, NULL, 10);
    return true;
}

bool manifest_is_file_name(const char *name)
{
    uint64_t offset;

    return manifest_name_parse(name, "snapshot-", ".rdb", &offset) ||
           manifest_name_parse(name, "log-", ".hfr", &offset);
}

static int manifest_compare(const void *offset, const void *file)
{
    uint64_t a = *(const uint64_t *)offset, b = ((const struct manifest_file *)file)->from;

    return a < b ? -1 : a > b;
}

bool manifest_names(const struct manifest *m, const char *name)
{
    char ours[MANIFEST_NAME_BYTES];
    uint64_t offset;

    manifest_snapshot_name(&m->snapshot, ours);
    if (manifest_name_parse(name, "log-", ".hfr", &offset)) {
        const struct manifest_file *f =
            m->count > 0 ? bsearch(&offset, m->files, m->count, sizeof *m->files, manifest_compare)
                         : NULL;
        if (f == NULL) {
            return false;
        }
        manifest_file_name(f, ours);
    }
    return strcmp(ours, name) == 0;
}

/* ---- printing ---- */

static void manifest_print_history(const struct history *h, struct buf *out)
{
    buf_append_str(out, "  \"history\": [");
    for (unsigned i = 0; i < h->count; i++) {
        const struct history_entry *e = &h->entries[i];
        buf_printf(out,
                   "%s\n    {\"term\": %" PRIu64 ", \"begin\": %" PRIu64 ", \"replid\": \"%.40s\"}",
                   i > 0 ? "," : "", e->term.n, e->begin, e->replid.hex);
    }
    buf_append_str(out, "\n  ],\n");
}

static void manifest_print_files(const struct manifest *m, struct buf *out)
{
    char name[MANIFEST_NAME_BYTES];

    buf_append_str(out, "  \"log\": [");
    for (size_t i = 0; i < m->count; i++) {
        const struct manifest_file *f = &m->files[i];
        manifest_file_name(f, name);
        buf_printf(out,
                   "%s\n    {\"file\": \"%s\", \"from\": %" PRIu64 ", \"to\": %" PRIu64
                   ", \"bytes\": %" PRIu64 ", \"crc32c\": \"%08" PRIx32
                   "\", \"chain_crc32c\": \"%08" PRIx32 "\", \"first_ms\": %" PRIu64
                   ", \"last_ms\": %" PRIu64 "}",
                   i > 0 ? "," : "", name, f->from, f->to, f->bytes, f->crc, f->chain_crc,
                   f->first_ms, f->last_ms);
    }
    buf_append_str(out, "\n  ],\n");
}

void manifest_print(const struct manifest *m, struct buf *out)
{
    size_t start = out->len;
    char name[MANIFEST_NAME_BYTES];

    buf_printf(out, "{\n  \"holdfast_export\": %d,\n  \"cluster_id\": \"", MANIFEST_FORMAT);
    hex_put(out, m->cluster_id, sizeof m->cluster_id);
    buf_printf(out,
               "\",\n  \"log_id\": %" PRIu64 ",\n  \"begun_ms\": %" PRIu64
               ",\n  \"ended_ms\": %" PRIu64 ",\n",
               m->log_id, m->begun_ms, m->ended_ms);
    manifest_snapshot_name(&m->snapshot, name);
    buf_printf(out, "  \"snapshot_file\": \"%s\",\n  \"snapshot\": ", name);
    snapinfo_to_json(&m->snapshot, out);
    buf_append_str(out, ",\n");
    manifest_print_history(&m->history, out);
    manifest_print_files(m, out);
    buf_printf(out, "  \"crc32c\": \"%08" PRIx32 "\"\n}\n",
               crc32c_extend(0, buf_head(out) + start, out->len - start));
}

/* ---- parsing ---- */

static bool manifest_number(const cJSON *object, const char *key, uint64_t *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) ||
        item->valuedouble > MANIFEST_NUMBER_MAX || floor(item->valuedouble) != item->valuedouble) {
        return false;
    }
    *out = (uint64_t)item->valuedouble;
    return true;
}

static bool manifest_hex(const cJSON *object, const char *key, uint8_t *out, size_t size)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text != NULL && strlen(text) == 2 * size &&
           strspn(text, "0123456789abcdef") == 2 * size && hex_parse(text, out, size);
}

static bool manifest_crc(const cJSON *object, const char *key, uint32_t *out)
{
    uint8_t b[4];

    if (!manifest_hex(object, key, b, sizeof b)) {
        return false;
    }
    *out = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return true;
}

static bool manifest_take_file(struct manifest *m, const cJSON *item)
{
    struct manifest_file f;

    if (m->count == MANIFEST_FILES_MAX || !manifest_number(item, "from", &f.from) ||
        !manifest_number(item, "to", &f.to) || !manifest_number(item, "bytes", &f.bytes) ||
        !manifest_crc(item, "crc32c", &f.crc) ||
        !manifest_crc(item, "chain_crc32c", &f.chain_crc) ||
        !manifest_number(item, "first_ms", &f.first_ms) ||
        !manifest_number(item, "last_ms", &f.last_ms) || f.from != manifest_end(m) ||
        f.to <= f.from) {
        return false;
    }
    manifest_add(m, &f);
    return true;
}

static bool manifest_take_entry(struct manifest *m, const cJSON *item)
{
    const char *replid = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "replid"));
    struct history_entry e;

    if (m->history.count == HISTORY_ENTRIES_MAX || !manifest_number(item, "term", &e.term.n) ||
        !manifest_number(item, "begin", &e.begin) || replid == NULL ||
        strlen(replid) != sizeof e.replid.hex) {
        return false;
    }
    memcpy(e.replid.hex, replid, sizeof e.replid.hex);
    return history_append(&m->history, e.term, e.begin, &e.replid) == ERR_OK;
}

/* The snapshot's object stands on one line of its own, as snapinfo_from_json wants it. */
static bool manifest_take_snapshot(struct manifest *m, const char *text, size_t size)
{
    static const char key[] = "\n  \"snapshot\": ";
    const char *at = memmem(text, size, key, sizeof key - 1);

    if (at == NULL) {
        return false;
    }
    at += sizeof key - 1;
    const char *end = memchr(at, '\n', size - (size_t)(at - text));
    return end != NULL && end - at > 1 && end[-1] == ',' &&
           snapinfo_from_json(at, (size_t)(end - at) - 1, &m->snapshot) == ERR_OK;
}

static bool manifest_take(struct manifest *m, const cJSON *root, const char *text, size_t size)
{
    const cJSON *item, *files = cJSON_GetObjectItemCaseSensitive(root, "log");
    const cJSON *history = cJSON_GetObjectItemCaseSensitive(root, "history");

    if (!manifest_hex(root, "cluster_id", m->cluster_id, sizeof m->cluster_id) ||
        !manifest_number(root, "log_id", &m->log_id) ||
        !manifest_number(root, "begun_ms", &m->begun_ms) ||
        !manifest_number(root, "ended_ms", &m->ended_ms) ||
        !manifest_take_snapshot(m, text, size) || !cJSON_IsArray(files) ||
        !cJSON_IsArray(history)) {
        return false;
    }
    cJSON_ArrayForEach(item, history)
    {
        if (!manifest_take_entry(m, item)) {
            return false;
        }
    }
    cJSON_ArrayForEach(item, files)
    {
        if (!manifest_take_file(m, item)) {
            return false;
        }
    }
    return true;
}

static bool manifest_is_as_printed(const struct manifest *m, const char *text, size_t size)
{
    struct buf again = BUF_INIT;

    manifest_print(m, &again);
    bool same = again.len == size && memcmp(buf_head(&again), text, size) == 0;
    buf_release(&again);
    return same;
}

int manifest_parse(const char *text, size_t size, struct manifest *m, const char **why)
{
    uint64_t format = 0;

    *m = (struct manifest){.files = NULL};
    *why = "it is not a manifest";
    cJSON *root = cJSON_ParseWithLength(text, size);
    if (root == NULL || !manifest_number(root, "holdfast_export", &format)) {
        cJSON_Delete(root);
        return ERR_CORRUPT;
    }
    uint32_t crc;
    bool good = false;
    if (format != MANIFEST_FORMAT) {
        *why = "it is of another version of this program";
    } else if (size < MANIFEST_CRC_LINE_BYTES || !manifest_crc(root, "crc32c", &crc) ||
               crc32c_extend(0, text, size - MANIFEST_CRC_LINE_BYTES) != crc) {
        *why = "its checksum is wrong";
    } else if (!manifest_take(m, root, text, size) || !manifest_is_as_printed(m, text, size)) {
        *why = "it contradicts itself";
    } else {
        good = true;
    }
    cJSON_Delete(root);
    if (!good) {
        manifest_fini(m);
    }
    return good ? ERR_OK : ERR_CORRUPT;
}
