#include "proxy/snapshot/extract.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/file.h"
#include "common/mem.h"
#include "proxy/engine/capture.h"
#include "proxy/snapshot/rate.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Redis says nothing while it prepares to send (it forks). */
enum {
    EXTRACT_TIMEOUT_MS = 300000,
    EXTRACT_READ_BYTES = 256 << 10,
    EXTRACT_PUSH_BYTES = 64 << 10, /* passed on to the disk at a time */
    EXTRACT_PATH_MAX = 4096
};

struct extract {
    struct extract_config config;
    const struct extract_events *events;
    void *ctx;
    struct capture *capture;
    struct event *end_event; /* tells the outcome from outside of the capture's events */
    struct event *go_event;  /* reading goes on */
    struct rate rate;        /* at which it is read */
    uint64_t pushed_bytes;
    struct extract_result result;
    bool ended;
    char why[200]; /* "": it went well */
};

int extract_open_file(const char *folder)
{
    char path[EXTRACT_PATH_MAX];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) {
        return fd;
    }
    if (snprintf(path, sizeof path, "%s/snapshot-XXXXXX", folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        (void)unlink(path);
    }
    return fd;
}

/* The capture may not be destroyed in its own events: so the owner is told behind them. */
static void extract_end(struct extract *e, const char *why)
{
    if (e->ended) {
        return;
    }
    e->ended = true;
    (void)snprintf(e->why, sizeof e->why, "%s", why);
    capture_stop(e->capture);
    event_active(e->end_event, EV_TIMEOUT, 0);
}

static void extract_end_cb(evutil_socket_t fd, short what, void *arg)
{
    struct extract *e = arg;

    (void)fd;
    (void)what;
    if (e->why[0] == '\0') {
        struct extract_result result = e->result;
        e->events->done(e->ctx, &result);
    } else {
        char why[sizeof e->why];
        memcpy(why, e->why, sizeof why);
        e->events->failed(e->ctx, why);
    }
}

static void extract_full_resync(void *ctx, const struct replid *replid, uint64_t offset)
{
    struct extract *e = ctx;
    char why[120];

    (void)replid;
    if (offset != e->config.offset) {
        (void)snprintf(why, sizeof why, "Redis is at offset %" PRIu64 " and not at %" PRIu64,
                       offset, e->config.offset);
        extract_end(e, why);
    }
}

/* Has the disk write what is there, and does not wait for it. A file that can't is none the worse.
 */
static void extract_push(struct extract *e)
{
    if (e->result.size_bytes - e->pushed_bytes >= EXTRACT_PUSH_BYTES) {
        (void)sync_file_range(e->config.fd, (off_t)e->pushed_bytes,
                              (off_t)(e->result.size_bytes - e->pushed_bytes),
                              SYNC_FILE_RANGE_WRITE);
        e->pushed_bytes = e->result.size_bytes;
    }
}

/* Reading rests as long as these bytes take at the rate; Redis' child waits with what it has. */
static void extract_rest(struct extract *e, size_t size)
{
    rate_tick(&e->rate, clock_now_ns());
    rate_take(&e->rate, size);
    uint64_t ms = rate_debt_ns(&e->rate) / CLOCK_NS_PER_MS;
    if (ms > 0) {
        struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                             .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
        capture_pause(e->capture, true);
        MUST(event_add(e->go_event, &tv) == 0);
    }
}

static void extract_go_cb(evutil_socket_t fd, short what, void *arg)
{
    struct extract *e = arg;

    (void)fd;
    (void)what;
    if (!e->ended) {
        capture_pause(e->capture, false);
    }
}

static void extract_rdb(void *ctx, const void *bytes, size_t size)
{
    struct extract *e = ctx;

    if (e->ended) {
        return;
    }
    int rc = file_write(e->config.fd, bytes, size);
    if (rc != 0) {
        char why[150];
        (void)snprintf(why, sizeof why, "the snapshot's file can't be written: %s", strerror(rc));
        extract_end(e, why);
        return;
    }
    e->result.crc = crc32c_extend(e->result.crc, bytes, size);
    e->result.size_bytes += size;
    extract_push(e);
    extract_rest(e, size);
}

static void extract_rdb_end(void *ctx)
{
    extract_end(ctx, "");
}

static void extract_resumed(void *ctx, const struct replid *replid)
{
    (void)replid;
    extract_end(ctx, "Redis has sent no RDB");
}

static void extract_stream(void *ctx, const void *bytes, size_t size)
{
    (void)ctx; /* we are gone before any of it matters */
    (void)bytes;
    (void)size;
}

static void extract_closed(void *ctx, const char *reason)
{
    extract_end(ctx, reason);
}

static const struct capture_events extract_capture_events = {.full_resync = extract_full_resync,
                                                             .rdb = extract_rdb,
                                                             .rdb_end = extract_rdb_end,
                                                             .resumed = extract_resumed,
                                                             .stream = extract_stream,
                                                             .closed = extract_closed};

struct extract *extract_start(const struct extract_config *config,
                              const struct extract_events *events, void *ctx)
{
    struct extract *e = mem_calloc(1, sizeof *e);
    struct capture_config capture = {.host = "127.0.0.1",
                                     .port = config->port,
                                     .password = config->password,
                                     .timeout_ms = EXTRACT_TIMEOUT_MS,
                                     .read_max_bytes = EXTRACT_READ_BYTES};

    e->config = *config;
    rate_init(&e->rate, config->rate_max_bytes, 0, clock_now_ns());
    e->events = events;
    e->ctx = ctx;
    e->end_event = event_new(config->base, -1, 0, extract_end_cb, e);
    e->go_event = event_new(config->base, -1, 0, extract_go_cb, e);
    MUST(e->end_event != NULL && e->go_event != NULL);
    e->capture = capture_create(config->base, &capture, &extract_capture_events, e);
    if (ftruncate(config->fd, 0) != 0 || lseek(config->fd, 0, SEEK_SET) != 0 ||
        capture_start(e->capture, NULL, 0) != ERR_OK) {
        extract_destroy(e);
        return NULL;
    }
    return e;
}

void extract_destroy(struct extract *e)
{
    if (e != NULL) {
        capture_destroy(e->capture);
        event_free(e->end_event);
        event_free(e->go_event);
        free(e);
    }
}

uint64_t extract_bytes(const struct extract *e)
{
    return e->result.size_bytes;
}

void extract_hurry(struct extract *e)
{
    e->rate.per_s = 0;
    if (event_pending(e->go_event, EV_TIMEOUT, NULL)) {
        event_active(e->go_event, EV_TIMEOUT, 0);
    }
}
