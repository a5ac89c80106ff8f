#include "proxy/engine/adopt.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ADOPT_REPORT_MS = 1000 };

enum adopt_step { ADOPT_IDLE, ADOPT_RESYNC, ADOPT_RDB, ADOPT_UPLOAD, ADOPT_DONE };

struct adopt {
    struct adopt_config config;
    const struct adopt_events *events;
    void *ctx;
    enum adopt_step step;
    struct snapship *snapship;
    struct term term;
    struct snapshot_info info;
    int spool_fd;
    char spool_path[4096];
    struct buf stream; /* behind the snapshot, until the leader takes it */
    uint64_t started_ns, report_ns;
};

struct adopt *adopt_create(const struct adopt_config *config, const struct adopt_events *events,
                           void *ctx)
{
    struct adopt *a = mem_calloc(1, sizeof *a);

    a->config = *config;
    a->events = events;
    a->ctx = ctx;
    a->spool_fd = -1;
    (void)snprintf(a->spool_path, sizeof a->spool_path, "%s/adopt.rdb", config->data_dir);
    return a;
}

void adopt_destroy(struct adopt *a)
{
    if (a != NULL) {
        adopt_stop(a);
        buf_release(&a->stream);
        free(a);
    }
}

void adopt_start(struct adopt *a, struct snapship *snapship, struct term term,
                 const char *engine_version)
{
    adopt_stop(a);
    a->step = ADOPT_RESYNC;
    a->snapship = snapship;
    a->term = term;
    a->info = (struct snapshot_info){0};
    (void)snprintf(a->info.engine_version, sizeof a->info.engine_version, "%s", engine_version);
}

static void adopt_close_spool(struct adopt *a)
{
    if (a->spool_fd >= 0) {
        (void)close(a->spool_fd);
        (void)unlink(a->spool_path); /* the log nodes hold it now, or it is made again */
        a->spool_fd = -1;
    }
}

void adopt_stop(struct adopt *a)
{
    if (a->step != ADOPT_IDLE && a->step != ADOPT_DONE) {
        snapship_stop(a->snapship);
    }
    a->step = ADOPT_IDLE;
    adopt_close_spool(a);
    buf_release(&a->stream);
}

bool adopt_active(const struct adopt *a)
{
    return a->step != ADOPT_IDLE && a->step != ADOPT_DONE;
}

static void adopt_fail(struct adopt *a, const char *why)
{
    adopt_stop(a);
    a->events->failed(a->ctx, why);
}

void adopt_full_resync(struct adopt *a, const struct replid *replid, uint64_t offset)
{
    if (a->step != ADOPT_RESYNC) {
        adopt_fail(a, "a second full resync came");
        return;
    }
    a->info.replid = *replid;
    a->info.offset = offset;
    a->info.term = log_term_of(a->term);
    (void)unlink(a->spool_path);
    a->spool_fd = open(a->spool_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (a->spool_fd < 0) {
        log_error("%s: %s", a->spool_path, strerror(errno));
        adopt_fail(a, "the spool file can't be made (see data_dir)");
        return;
    }
    a->step = ADOPT_RDB;
}

void adopt_rdb(struct adopt *a, const void *bytes, size_t size)
{
    if (a->step != ADOPT_RDB) {
        return;
    }
    a->info.crc = crc32c_extend(a->info.crc, bytes, size);
    a->info.size_bytes += size;
    int rc = file_write(a->spool_fd, bytes, size);
    if (rc != 0) {
        log_error("%s: %s", a->spool_path, strerror(rc));
        adopt_fail(a, "the spool file can't be written");
    }
}

void adopt_rdb_end(struct adopt *a, uint64_t now_ns, uint64_t wall_ms)
{
    if (a->step != ADOPT_RDB) {
        return;
    }
    a->info.wall_ms = wall_ms;
    a->step = ADOPT_UPLOAD;
    log_info("the dataset of Redis is taken at offset %" PRIu64 ": %" PRIu64
             " bytes go to the log nodes",
             a->info.offset, a->info.size_bytes);
    snapship_found(a->snapship, now_ns, a->term, &a->info);
}

void adopt_stream(struct adopt *a, const void *bytes, size_t size)
{
    if (a->step != ADOPT_RDB && a->step != ADOPT_UPLOAD && a->step != ADOPT_DONE) {
        return;
    }
    if (a->stream.len + size > a->config.stream_max_bytes) {
        adopt_fail(a, "Redis was written to faster than its dataset could be taken");
        return;
    }
    buf_append(&a->stream, bytes, size);
}

void adopt_shipped(struct adopt *a, bool ok, const char *why)
{
    if (a->step != ADOPT_UPLOAD) {
        return;
    }
    if (!ok) {
        adopt_fail(a, why);
        return;
    }
    a->step = ADOPT_DONE;
    a->events->done(a->ctx);
}

bool adopt_read_spool(struct adopt *a, uint64_t at, size_t size, struct buf *out)
{
    if (a->spool_fd < 0) {
        return false; /* all nodes had it; one that lacks it now gets it from another (repair) */
    }
    int rc = file_read(a->spool_fd, at, size, out);
    if (rc != 0) {
        log_error("%s: %s", a->spool_path, rc == ENODATA ? "is too short" : strerror(rc));
    }
    return rc == 0;
}

const struct replid *adopt_replid(const struct adopt *a)
{
    return &a->info.replid;
}

uint64_t adopt_offset(const struct adopt *a)
{
    return a->info.offset;
}

struct buf *adopt_pending_stream(struct adopt *a)
{
    return &a->stream;
}

void adopt_tick(struct adopt *a, uint64_t now_ns)
{
    uint64_t done, total;

    if (a->step == ADOPT_IDLE || a->step == ADOPT_DONE) {
        a->report_ns = 0;
        return;
    }
    if (a->report_ns == 0) {
        a->started_ns = a->report_ns = now_ns;
    }
    if (now_ns - a->report_ns < ADOPT_REPORT_MS * CLOCK_NS_PER_MS) {
        return;
    }
    a->report_ns = now_ns;
    adopt_progress(a, &done, &total);
    double seconds = (double)(now_ns - a->started_ns) / (double)CLOCK_NS_PER_S;
    int full = a->step == ADOPT_UPLOAD ? __builtin_popcount(snapship_full(a->snapship)) : 0;
    if (full > 0) {
        log_warn("adopting: %d of the log nodes have no room for the dataset; all must have it "
                 "before anybody is served",
                 full);
    }
    if (a->step == ADOPT_UPLOAD && total > 0) {
        log_info("adopting: %" PRIu64 " of %" PRIu64 " bytes are with the log nodes, %.1f %%, %.1f "
                 "MB/s",
                 done, total, 100.0 * (double)done / (double)total, (double)done / 1e6 / seconds);
    } else {
        log_info("adopting: %" PRIu64 " bytes came from Redis, %.1f MB/s", total,
                 (double)total / 1e6 / seconds);
    }
}

void adopt_progress(const struct adopt *a, uint64_t *done_bytes, uint64_t *total_bytes)
{
    *total_bytes = a->info.size_bytes;
    *done_bytes = 0;
    if (a->step == ADOPT_UPLOAD) {
        snapship_progress(a->snapship, done_bytes, total_bytes);
    }
}
