/* holdfast-ctl export: a snapshot and the log behind it, into a folder; again into the same folder:
 * what has come since. And export verify: whether all of it is still what it was. */
#include "proxy/ctl/archive.h"
#include "proxy/ctl/ctl_nodes.h"
#include "proxy/ctl/ctl_stop.h"
#include "proxy/ctl/moment.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/file.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXPORT_FILE_BYTES = 64 << 20 };

static const char export_part[] = "log"; /* a file of the log, as long as it is written */

struct ctl_export_job {
    struct archive archive;
    struct ctl_nodes nodes;
    struct ctl_bar bar;
    uint64_t from, to;
    uint64_t known_ms; /* wall time: what is committed was asked for then */

    /* The file that is being written; fd -1: none is. */
    int fd;
    struct manifest_file file;
    struct record record; /* that the next bytes are of */
    struct buf bytes;     /* not written yet */
    bool failed;          /* complained */
};

static bool export_io_failed(struct ctl_export_job *e, const char *name, bool part)
{
    char path[ARCHIVE_PATH_BYTES];

    archive_path(&e->archive, name, part, path);
    ctl_bar_clear(&e->bar);
    ctl_complain("%s: %s", path, strerror(errno));
    e->failed = true;
    return false;
}

/* False. */
static bool export_is_stopped(struct ctl_export_job *e)
{
    ctl_bar_clear(&e->bar);
    ctl_complain("told to stop; run it again to go on");
    e->failed = true;
    return false;
}

static bool export_write(struct ctl_export_job *e, const char *name, int fd, const uint8_t *bytes,
                         size_t size)
{
    errno = file_write(fd, bytes, size);
    return errno == 0 || export_io_failed(e, name, true);
}

/* Up to which moment an export is whole that ends there, with a record of that time. */
static uint64_t export_ended_ms(const struct ctl_export_job *e, uint64_t to, uint64_t last_ms)
{
    return to >= e->nodes.commit ? e->known_ms : last_ms;
}

/* ---- the snapshot ---- */

/* Goes on behind what an earlier run has fetched of the same one. A node that does not send it, or
 * not whole, is left for another one. */
static bool export_fetch_snapshot(struct ctl_export_job *e, unsigned node,
                                  const struct snapshot_info *info, const char *name, int fd)
{
    const uint8_t *bytes;
    size_t size;
    unsigned left = 0;
    off_t end = lseek(fd, 0, SEEK_END);
    uint64_t at = end > 0 ? (uint64_t)end : 0;

    while (at < info->size_bytes) {
        int err = ctl_nodes_snapshot_read(&e->nodes, node, info, at, &bytes, &size);
        if (err != ERR_OK || size == 0) {
            left |= 1u << node;
            if (ctl_nodes_holder(&e->nodes, info, left, &node) == ERR_OK) {
                continue;
            }
            ctl_bar_clear(&e->bar);
            ctl_complain("the snapshot can't be read on: %s; run it again", err_text(err));
            return false;
        }
        if (ctl_stop_asked()) {
            return export_is_stopped(e);
        }
        if (!export_write(e, name, fd, bytes, size)) {
            return false;
        }
        at += size;
        ctl_bar_show(&e->bar, "snapshot", at, info->size_bytes);
    }
    ctl_bar_clear(&e->bar);
    return true;
}

/* Fetches it, and begins the manifest. */
static bool export_snapshot(struct ctl_export_job *e, const struct snapshot_info *info,
                            unsigned node)
{
    char name[MANIFEST_NAME_BYTES], path[ARCHIVE_PATH_BYTES];
    uint64_t size_bytes;
    uint32_t crc;

    manifest_snapshot_name(info, name);
    archive_path(&e->archive, name, true, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return export_io_failed(e, name, true);
    }
    bool good = export_fetch_snapshot(e, node, info, name, fd) &&
                archive_file_crc(fd, path, &size_bytes, &crc);
    if (good && (size_bytes != info->size_bytes || crc != info->crc)) {
        ctl_complain("%s: is not the snapshot that was asked for; run it again", path);
        (void)unlink(path);
        good = false;
    }
    good = good && archive_publish(&e->archive, name, name, fd);
    (void)close(fd);
    if (good) {
        struct manifest *m = &e->archive.manifest;
        memcpy(m->cluster_id, e->nodes.cluster_id, sizeof m->cluster_id);
        m->log_id = e->nodes.log_id;
        m->begun_ms = e->known_ms;
        m->ended_ms = export_ended_ms(e, info->offset, info->wall_ms);
        m->snapshot = *info;
        m->history = e->nodes.history;
        good = archive_save(&e->archive);
    }
    return good;
}

static bool export_begin(struct ctl_export_job *e, bool all)
{
    struct snapshot_info info, earliest;
    unsigned node;
    uint64_t limit = e->nodes.commit;

    if (all && ctl_nodes_earliest(&e->nodes, &earliest) == ERR_OK) {
        limit = earliest.offset;
    }
    if (e->nodes.empty || ctl_nodes_snapshot(&e->nodes, limit, &info, &node) != ERR_OK) {
        ctl_complain("the log nodes have no snapshot to begin with");
        return false;
    }
    return export_snapshot(e, &info, node);
}

/* ---- the log ---- */

static bool export_end_file(struct ctl_export_job *e)
{
    char name[MANIFEST_NAME_BYTES];
    struct manifest *m = &e->archive.manifest;

    if (e->fd < 0) {
        return true;
    }
    manifest_file_name(&e->file, name);
    bool good = export_write(e, export_part, e->fd, buf_head(&e->bytes), e->bytes.len) &&
                archive_publish(&e->archive, export_part, name, e->fd);
    buf_clear(&e->bytes);
    (void)close(e->fd);
    e->fd = -1;
    if (good && m->count == MANIFEST_FILES_MAX) {
        ctl_complain("%s: is full; export into another folder", e->archive.name);
        good = false;
    }
    if (good) {
        manifest_add(m, &e->file);
        m->history = e->nodes.history;
        m->ended_ms = export_ended_ms(e, e->file.to, e->file.last_ms);
        good = archive_save(&e->archive);
    }
    return good;
}

static bool export_begin_file(struct ctl_export_job *e, uint64_t from)
{
    char path[ARCHIVE_PATH_BYTES];

    archive_path(&e->archive, export_part, true, path);
    e->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    e->file = (struct manifest_file){.from = from, .to = from, .first_ms = e->record.wall_ms};
    return e->fd >= 0 || export_io_failed(e, export_part, true);
}

static void export_says_record(void *ctx, const struct record *r)
{
    ((struct ctl_export_job *)ctx)->record = *r;
}

/* What is left of a record; whole, but for the first one perhaps. */
static bool export_says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct ctl_export_job *e = ctx;
    struct record r = e->record;

    MUST(offset >= r.begin && offset + size <= record_end(&r));
    if (offset + size < record_end(&r)) {
        ctl_complain("the log is cut within a record at offset %" PRIu64, offset + size);
        e->failed = true;
        return false;
    }
    if (size < r.len_bytes) {
        r.begin = offset;
        r.len_bytes = (uint32_t)size;
        r.payload_crc = crc32c_extend(0, bytes, size);
    }
    if (e->fd < 0 && !export_begin_file(e, offset)) {
        return false;
    }
    size_t before = e->bytes.len;
    record_encode_header(&r, buf_reserve(&e->bytes, RECORD_HEADER_BYTES));
    buf_commit(&e->bytes, RECORD_HEADER_BYTES);
    buf_append(&e->bytes, bytes, size);
    e->file.crc = crc32c_extend(e->file.crc, buf_head(&e->bytes) + before, e->bytes.len - before);
    e->file.bytes += e->bytes.len - before;
    e->file.to = record_end(&r);
    e->file.chain_crc = r.chain_crc;
    e->file.last_ms = r.wall_ms;
    ctl_bar_show(&e->bar, "log", e->file.to - e->from, e->to - e->from);
    if (e->bytes.len >= 1 << 20) {
        bool good = export_write(e, export_part, e->fd, buf_head(&e->bytes), e->bytes.len);
        buf_clear(&e->bytes);
        e->failed = !good;
    }
    if (!e->failed && e->file.bytes >= EXPORT_FILE_BYTES && (r.flags & RECORD_UNIT_END) != 0) {
        e->failed = !export_end_file(e);
    }
    return !e->failed && (!ctl_stop_asked() || export_is_stopped(e));
}

static int export_log(struct ctl_export_job *e)
{
    struct ctl_reading reading = {.from = manifest_end(&e->archive.manifest),
                                  .to = e->nodes.commit,
                                  .chain_known = true,
                                  .chain_crc = manifest_chain(&e->archive.manifest),
                                  .record = export_says_record,
                                  .data = export_says_data,
                                  .ctx = e};

    e->from = reading.from;
    e->to = reading.to;
    if (e->from >= e->to) {
        return CTL_EXIT_DONE;
    }
    int err = ctl_nodes_read(&e->nodes, &reading);
    ctl_bar_clear(&e->bar);
    if (e->failed) {
        return CTL_EXIT_FAILED;
    }
    if (!export_end_file(e)) { /* what was read is kept, also if more can't be had */
        return CTL_EXIT_FAILED;
    }
    if (err == ERR_NOT_FOUND) {
        ctl_complain("%s ends at offset %" PRIu64 ", and the log begins later now: export into a "
                     "new folder",
                     e->archive.name, e->from);
    } else if (err == ERR_CORRUPT) {
        ctl_complain("the log does not go on with what %s ends with, or no node has it whole",
                     e->archive.name);
    } else if (err != ERR_OK) {
        (void)export_is_stopped(e);
    }
    return err == ERR_OK ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
}

/* ---- what was done ---- */

static void export_print(const struct archive *a, uint64_t from, bool json, const char *done)
{
    const struct manifest *m = &a->manifest;
    uint64_t last_ms = m->count > 0 ? m->files[m->count - 1].last_ms : m->snapshot.wall_ms;
    char first[MOMENT_TEXT_BYTES], last[MOMENT_TEXT_BYTES];

    (void)moment_print(m->snapshot.wall_ms, first);
    (void)moment_print(last_ms, last);
    if (json) {
        printf("{\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"from_time\":\"%s\",\"to_time\":\"%s\","
               "\"new_bytes\":%" PRIu64 ",\"files\":%zu}\n",
               m->snapshot.offset, manifest_end(m), first, last, manifest_end(m) - from, m->count);
        return;
    }
    printf("%-9s the snapshot at offset %" PRIu64 " (%s), %" PRIu64 " bytes\n", done,
           m->snapshot.offset, first, m->snapshot.size_bytes);
    printf("          and the log up to offset %" PRIu64 " (%s), %" PRIu64 " bytes in %zu files\n",
           manifest_end(m), last, manifest_end(m) - m->snapshot.offset, m->count);
}

/* An export goes on at its end; nothing is put in front of it. */
static bool export_fits(struct ctl_export_job *e, bool all)
{
    const struct manifest *m = &e->archive.manifest;
    struct snapshot_info earliest;

    if (memcmp(m->cluster_id, e->nodes.cluster_id, sizeof m->cluster_id) != 0 ||
        m->log_id != e->nodes.log_id) {
        ctl_complain("%s: is an export of another cluster, or of another log", e->archive.name);
        return false;
    }
    if (all && ctl_nodes_earliest(&e->nodes, &earliest) == ERR_OK &&
        earliest.offset < m->snapshot.offset) {
        ctl_complain("%s: begins at offset %" PRIu64
                     " already, and the log nodes have the log from "
                     "%" PRIu64 " on: export --all into a new folder",
                     e->archive.name, m->snapshot.offset, earliest.offset);
        return false;
    }
    return true;
}

int ctl_export(const struct ctl *ctl, int argc, char **argv)
{
    struct ctl_export_job *e = mem_calloc(1, sizeof *e);
    int rc = CTL_EXIT_FAILED;

    (void)argc;
    e->fd = -1;
    ctl_stop_catch();
    e->known_ms = clock_wall_ms();
    if (archive_open(&e->archive, ctl, argv[0], true) &&
        (rc = ctl_nodes_open(&e->nodes, ctl)) == CTL_EXIT_DONE) {
        bool ready = e->archive.fresh ? export_begin(e, ctl->all) : export_fits(e, ctl->all);
        rc = ready ? export_log(e) : CTL_EXIT_FAILED;
        if (ready && rc == CTL_EXIT_DONE) {
            archive_tidy(&e->archive);
            export_print(&e->archive, e->from, ctl->json, "exported");
        }
        ctl_nodes_close(&e->nodes);
    }
    if (e->fd >= 0) {
        (void)close(e->fd);
    }
    buf_release(&e->bytes);
    archive_close(&e->archive);
    free(e);
    return rc;
}

int ctl_export_verify(const struct ctl *ctl, int argc, char **argv)
{
    struct archive *a = mem_calloc(1, sizeof *a);
    struct archive_walk walk = {.what = "log"};

    (void)argc;
    ctl_stop_catch();
    bool good = archive_open(a, ctl, argv[0], false) && archive_check_snapshot(a, &walk.bar) &&
                archive_walk(a, &walk);
    ctl_bar_clear(&walk.bar);
    if (good) {
        export_print(a, manifest_end(&a->manifest), ctl->json, "verified");
    }
    archive_close(a);
    free(a);
    return good ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
}
