#include "proxy/snapshot/replay.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "proxy/engine/control.h"
#include "proxy/follow/feed.h"
#include "proxy/snapshot/rate.h"

#include <errno.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REPLAY_TICK_MS = 5,
    REPLAY_POLL_MS = 100, /* between questions where Redis is, as long as bytes are on their way */
    REPLAY_PROGRESS_MS = 100,
    REPLAY_STALL_MS = 120000, /* nothing moves and Redis says nothing */
    REPLAY_CALL_MS = 30000,   /* it connects within a second, or says that it can't */
    REPLAY_FEED_MS = 3600000, /* Redis may be silent for long while it loads, or while we stand */
    REPLAY_QUEUE_BYTES = 8 << 20,
    REPLAY_PIECE_BYTES = 64 << 10,
    REPLAY_BURST_MS = 50, /* of the rate: what may go at once */
    REPLAY_SECRET_CHARS = 32
};

struct replay {
    struct replay_config config;
    const struct replay_events *events;
    void *ctx;
    struct feed *feed;
    char *secret;
    struct event *tick_event;
    enum replay_step step;

    struct replay_base base;
    uint64_t to;
    struct replay_point point; /* as far as it is sent; `offset` is the log's from STREAM on */
    uint32_t file_crc;
    uint64_t file_at;

    struct rate rate; /* at which it is fed */
    uint64_t done_bytes, told_bytes, told_ns;
    uint64_t moved_ns; /* when something last moved, or Redis answered */
    uint64_t asked_ns; /* Redis: where it is */
    uint64_t begun_ns, loaded_ns, stream_ns;
    bool polling;
    bool loading; /* the RDB is not loaded yet, as far as is known */
    /* Questions without an answer, and how many of them were asked before the last start or stop:
     * those are answered first, and their answers mean nothing any more. */
    unsigned questions, late;
};

const char *replay_step_name(enum replay_step step)
{
    static const char *const names[] = {"idle",   "connecting", "finding",  "snapshot",
                                        "replay", "applying",   "standing", "failed"};
    return names[step];
}

enum replay_step replay_step(const struct replay *r)
{
    return r->step;
}

static void replay_let_go(struct replay *r, enum replay_step step, const char *why)
{
    r->late = r->questions;
    r->step = step;
    r->polling = false;
    lognodes_use(r->config.nodes, NULL, NULL);
    feed_drop(r->feed, why);
}

static void replay_fail(struct replay *r, bool again, const char *why)
{
    if (r->step == REPLAY_IDLE || r->step == REPLAY_FAILED) {
        return;
    }
    replay_let_go(r, REPLAY_FAILED, why);
    r->events->failed(r->ctx, why, again);
}

/* ---- how much may be fed ---- */

static void replay_set_rate(struct replay *r)
{
    uint64_t burst = r->config.rate_max_bytes * REPLAY_BURST_MS / 1000;

    rate_init(&r->rate, r->config.rate_max_bytes,
              burst > REPLAY_PIECE_BYTES ? burst : REPLAY_PIECE_BYTES, clock_now_ns());
}

static size_t replay_room(const struct replay *r)
{
    size_t room = feed_room(r->feed), allowed = rate_room(&r->rate);

    return allowed < room ? allowed : room;
}

static void replay_write(struct replay *r, const void *bytes, size_t size)
{
    feed_write(r->feed, bytes, size);
    r->done_bytes += size;
    rate_take(&r->rate, size);
    r->moved_ns = clock_now_ns();
}

static void replay_stream(struct replay *r);

/* The base is a file: sends of it what there is room for. */
static void replay_pump_file(struct replay *r)
{
    static uint8_t piece[REPLAY_PIECE_BYTES];
    size_t room;

    while (r->file_at < r->base.info.size_bytes && (room = replay_room(r)) > 0) {
        uint64_t left = r->base.info.size_bytes - r->file_at;
        size_t want = room < sizeof piece ? room : sizeof piece;
        want = left < want ? (size_t)left : want;
        ssize_t n = pread(r->base.fd, piece, want, (off_t)r->file_at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            replay_fail(r, false, n < 0 ? strerror(errno) : "the snapshot's file is too short");
            return;
        }
        r->file_crc = crc32c_extend(r->file_crc, piece, (size_t)n);
        r->file_at += (uint64_t)n;
        replay_write(r, piece, (size_t)n);
    }
    if (r->file_at == r->base.info.size_bytes) {
        if (r->file_crc != r->base.info.crc) {
            replay_fail(r, false, "the snapshot's file is damaged");
            return;
        }
        replay_stream(r);
    }
}

static void replay_pump(struct replay *r)
{
    uint64_t now_ns = clock_now_ns();

    if (r->step == REPLAY_STREAM) {
        reader_room(lognodes_reader(r->config.nodes), now_ns, replay_room(r));
    } else if (r->step == REPLAY_SNAPSHOT && r->base.fd >= 0) {
        replay_pump_file(r);
    } else if (r->step == REPLAY_SNAPSHOT) {
        snapship_room(lognodes_snapship(r->config.nodes), now_ns, replay_room(r));
    }
}

/* ---- the log ---- */

static void replay_apply(struct replay *r)
{
    r->step = REPLAY_APPLY;
    r->asked_ns = 0;
}

static void replay_stream(struct replay *r)
{
    struct reader_range range = {
        .from = r->point.offset, .to = r->to, .chain_known = true, .chain_crc = r->point.chain_crc};

    if (r->point.offset == r->to) {
        replay_apply(r);
        return;
    }
    r->step = REPLAY_STREAM;
    reader_start(lognodes_reader(r->config.nodes), clock_now_ns(), &range);
    replay_pump(r);
}

static void replay_says_record(void *ctx, const struct record *rec)
{
    struct replay *r = ctx;

    r->point.term = rec->term;
    r->point.wall_ms = rec->wall_ms;
}

static void replay_says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct replay *r = ctx;

    MUST(offset == r->point.offset);
    r->point.chain_crc = crc32c_extend(r->point.chain_crc, bytes, size);
    r->point.offset += size;
    r->point.log_bytes += size;
    replay_write(r, bytes, size);
    reader_room(lognodes_reader(r->config.nodes), clock_now_ns(), replay_room(r));
}

static void replay_says_done(void *ctx)
{
    replay_apply(ctx);
}

static void replay_says_failed(void *ctx, int err)
{
    switch (err) {
    case ERR_NOT_FOUND:
        replay_fail(ctx, true, "the log nodes have the log only from behind that snapshot on");
        break;
    case ERR_CORRUPT:
        replay_fail(ctx, true, "the log does not fit to the snapshot, or no node has it whole");
        break;
    default:
        replay_fail(ctx, true, err_text(err));
        break;
    }
}

/* ---- the snapshot ---- */

static void replay_take_base(struct replay *r, const struct snapshot_info *info)
{
    struct lognodes_view view;

    lognodes_view(r->config.nodes, &view);
    const struct history_entry *label = history_at(&view.history, r->to);
    r->base.info = *info;
    r->point = (struct replay_point){.offset = info->offset,
                                     .chain_crc = info->chain_crc,
                                     .term = info->term,
                                     .replid = info->replid,
                                     .wall_ms = info->wall_ms,
                                     .base = *info};
    r->step = REPLAY_SNAPSHOT;
    log_debug("replay: from the snapshot at offset %" PRIu64 " (%" PRIu64 " bytes), and %" PRIu64
              " bytes of log",
              info->offset, info->size_bytes, r->to - info->offset);
    feed_full_resync(r->feed, label != NULL ? &label->replid : &info->replid, info->offset,
                     info->size_bytes);
    replay_pump(r);
}

static void replay_says_found(void *ctx, const struct snapshot_info *info)
{
    struct replay *r = ctx;

    if (info->offset > r->to) {
        replay_fail(r, false, "the oldest snapshot is behind that offset");
        return;
    }
    replay_take_base(r, info);
}

static void replay_says_snapshot_data(void *ctx, const uint8_t *bytes, size_t size)
{
    struct replay *r = ctx;

    replay_write(r, bytes, size);
    snapship_room(lognodes_snapship(r->config.nodes), clock_now_ns(), replay_room(r));
}

static void replay_says_fetched(void *ctx, int err)
{
    struct replay *r = ctx;

    if (err == ERR_OK) {
        replay_stream(r);
    } else if (err == ERR_NOT_FOUND) {
        replay_fail(r, false, "the log nodes have no snapshot that is old enough");
    } else if (err == ERR_CORRUPT) {
        replay_fail(r, true, "the snapshot is damaged");
    } else if (err == ERR_GONE) {
        replay_fail(r, true,
                    "the snapshot was deleted or replaced meanwhile: there is a newer one");
    } else {
        replay_fail(r, true, err_text(err));
    }
}

static const struct lognodes_events replay_nodes_events = {
    .record = replay_says_record,
    .data = replay_says_data,
    .done = replay_says_done,
    .failed = replay_says_failed,
    .found = replay_says_found,
    .snapshot_data = replay_says_snapshot_data,
    .fetched = replay_says_fetched,
};

/* ---- the feed ---- */

static void replay_feed_psync(void *ctx, const struct replid *replid, uint64_t offset)
{
    struct replay *r = ctx;
    uint64_t now_ns = clock_now_ns();

    (void)replid;
    (void)offset;
    if (r->step == REPLAY_IDLE || r->step == REPLAY_FAILED) {
        feed_drop(r->feed, "nothing is to be fed");
        return;
    }
    if (r->step != REPLAY_CALL) {
        replay_fail(r, true, "Redis has lost its link to us");
        return;
    }
    r->begun_ns = r->moved_ns = now_ns;
    r->loading = true;
    if (r->base.fd >= 0) {
        struct snapshot_info info = r->base.info;
        replay_take_base(r, &info);
        return;
    }
    r->step = REPLAY_FIND;
    uint64_t limit = r->base.limit < r->to ? r->base.limit : r->to;
    snapship_download(lognodes_snapship(r->config.nodes), now_ns, (struct term){0}, limit, 0);
}

static void replay_feed_acked(void *ctx, uint64_t offset)
{
    (void)ctx;
    (void)offset; /* ROLE is asked instead: an ACK comes once a second only */
}

static void replay_feed_room(void *ctx)
{
    replay_pump(ctx);
}

static void replay_feed_closed(void *ctx, const char *reason)
{
    struct replay *r = ctx;

    if (r->step > REPLAY_CALL) {
        log_debug("replay: %s", reason);
        replay_fail(r, true, "Redis has left: it could not load what it was sent, or has ended");
    }
}

static const struct feed_events replay_feed_events = {.psync = replay_feed_psync,
                                                      .acked = replay_feed_acked,
                                                      .room = replay_feed_room,
                                                      .closed = replay_feed_closed};

/* ---- asking Redis ---- */

/* Whether this is an answer, and not a late one. */
static bool replay_answered(struct replay *r, const struct redisReply *reply)
{
    bool late = r->late > 0;

    r->questions--;
    r->late -= late;
    return !late && reply != NULL;
}

static bool replay_ask(struct replay *r, control_reply_fn *fn, const char *words, const char *a,
                       const char *b)
{
    bool sent = control_send(r->config.control, fn, r, words, a, b);

    r->questions += sent;
    return sent;
}

static void replay_told_cb(void *ctx, const struct redisReply *reply)
{
    struct replay *r = ctx;

    if (!replay_answered(r, reply)) {
        return;
    }
    r->moved_ns = clock_now_ns();
    if (reply->type == REDIS_REPLY_ERROR) {
        replay_fail(r, false, reply->str);
    }
}

static void replay_reached(struct replay *r, uint64_t now_ns)
{
    struct lognodes_view view;
    struct replay_point point;

    lognodes_view(r->config.nodes, &view);
    const struct history_entry *e = history_find(&view.history, r->point.term);
    if (e != NULL) {
        r->point.replid = e->replid;
    }
    r->point.log_ms += (now_ns - r->stream_ns) / CLOCK_NS_PER_MS;
    r->step = REPLAY_STANDING;
    point = r->point;
    r->events->reached(r->ctx, &point);
}

/* What ROLE says: of a replica [slave, host, port, state, offset], the offset -1 without a link. */
static void replay_role(struct replay *r, const struct redisReply *reply, uint64_t now_ns)
{
    if (reply->elements < 5 || reply->element[0]->type != REDIS_REPLY_STRING ||
        strcmp(reply->element[0]->str, "slave") != 0) {
        if (r->step > REPLAY_CALL) {
            replay_fail(r, true, "somebody has made Redis a master");
        }
        return;
    }
    bool connected = reply->element[3]->type == REDIS_REPLY_STRING &&
                     strcmp(reply->element[3]->str, "connected") == 0;
    if (!connected || reply->element[4]->type != REDIS_REPLY_INTEGER ||
        (r->step != REPLAY_STREAM && r->step != REPLAY_APPLY)) {
        return;
    }
    uint64_t applied = (uint64_t)reply->element[4]->integer;
    if (r->loading) {
        r->loading = false;
        r->stream_ns = now_ns;
        r->point.rdb_ms = (now_ns - r->begun_ns) / CLOCK_NS_PER_MS;
    }
    if (applied > r->to) {
        replay_fail(r, true, "Redis is ahead of what it was sent");
    } else if (r->step == REPLAY_APPLY && applied == r->to) {
        replay_reached(r, now_ns);
    }
}

static void replay_role_cb(void *ctx, const struct redisReply *reply)
{
    struct replay *r = ctx;

    if (!replay_answered(r, reply)) {
        return;
    }
    r->polling = false;
    r->moved_ns = clock_now_ns();
    if (reply->type == REDIS_REPLY_ARRAY) {
        replay_role(r, reply, r->moved_ns);
    }
}

static void replay_poll(struct replay *r, uint64_t now_ns)
{
    uint64_t interval_ms = r->step == REPLAY_APPLY ? REPLAY_TICK_MS : REPLAY_POLL_MS;

    if (r->polling || r->step <= REPLAY_FIND || r->step >= REPLAY_STANDING ||
        now_ns - r->asked_ns < interval_ms * CLOCK_NS_PER_MS) {
        return;
    }
    r->asked_ns = now_ns;
    r->polling = replay_ask(r, replay_role_cb, "ROLE", NULL, NULL);
}

static void replay_tell_progress(struct replay *r, uint64_t now_ns)
{
    uint64_t total = 0;

    if (r->events->progress == NULL || r->done_bytes == r->told_bytes ||
        now_ns - r->told_ns < REPLAY_PROGRESS_MS * CLOCK_NS_PER_MS) {
        return;
    }
    r->told_ns = now_ns;
    r->told_bytes = r->done_bytes;
    if (r->step >= REPLAY_SNAPSHOT) {
        total = r->point.base.size_bytes + (r->to - r->point.base.offset);
    }
    r->events->progress(r->ctx, r->step, r->done_bytes, total);
}

/* Somebody's Redis that was told and never comes would not come the next time: it can't. */
static uint64_t replay_patience_ms(const struct replay *r)
{
    return r->step == REPLAY_CALL && r->config.secret != NULL ? REPLAY_CALL_MS : REPLAY_STALL_MS;
}

static void replay_stalled(struct replay *r)
{
    char why[200];

    if (r->step != REPLAY_CALL || r->config.secret == NULL) {
        replay_fail(r, true, "nothing moves any more");
        return;
    }
    (void)snprintf(why, sizeof why,
                   "Redis does not come to %.100s port %d, whence it is to replicate: it must be "
                   "able to reach that",
                   r->config.feed_host, feed_port(r->feed));
    replay_fail(r, false, why);
}

static void replay_tick_cb(evutil_socket_t fd, short what, void *arg)
{
    struct replay *r = arg;
    uint64_t now_ns = clock_now_ns();

    (void)fd;
    (void)what;
    if (r->step == REPLAY_IDLE || r->step >= REPLAY_STANDING) {
        return;
    }
    if (r->rate.per_s > 0) {
        rate_tick(&r->rate, now_ns);
        replay_pump(r);
    }
    replay_tell_progress(r, now_ns);
    replay_poll(r, now_ns);
    if (r->step != REPLAY_STANDING && now_ns > r->moved_ns &&
        now_ns - r->moved_ns > replay_patience_ms(r) * CLOCK_NS_PER_MS) {
        replay_stalled(r);
    }
}

/* ---- public ---- */

struct replay *replay_create(const struct replay_config *config, const struct replay_events *events,
                             void *ctx, int *err)
{
    struct replay *r = mem_calloc(1, sizeof *r);
    struct timeval tick = {.tv_usec = REPLAY_TICK_MS * 1000};
    size_t queue = config->queue_max_bytes > 0 ? config->queue_max_bytes : REPLAY_QUEUE_BYTES;

    r->config = *config;
    r->events = events;
    r->ctx = ctx;
    if (r->config.feed_host == NULL) {
        r->config.feed_host = "127.0.0.1";
    }
    if (config->secret != NULL) {
        r->secret = mem_strdup(config->secret);
    } else {
        r->secret = mem_alloc(REPLAY_SECRET_CHARS + 1);
        random_hex(r->secret, REPLAY_SECRET_CHARS);
    }
    struct feed_config feed = {.bind_host = r->config.feed_host,
                               .secret = r->secret,
                               .timeout_ms = REPLAY_FEED_MS,
                               .ping_ms = 1000,
                               .queue_max_bytes = queue};
    r->feed = feed_create(config->base, &feed, &replay_feed_events, r, err);
    if (r->feed == NULL) {
        free(r->secret);
        free(r);
        return NULL;
    }
    r->tick_event = event_new(config->base, -1, EV_PERSIST, replay_tick_cb, r);
    MUST(r->tick_event != NULL && event_add(r->tick_event, &tick) == 0);
    return r;
}

void replay_destroy(struct replay *r)
{
    if (r == NULL) {
        return;
    }
    replay_stop(r);
    event_free(r->tick_event);
    feed_destroy(r->feed);
    free(r->secret);
    free(r);
}

void replay_start(struct replay *r, uint64_t to, const struct replay_base *base)
{
    char port[16];

    replay_stop(r);
    lognodes_use(r->config.nodes, &replay_nodes_events, r);
    r->base = base != NULL ? *base : (struct replay_base){.fd = -1, .limit = UINT64_MAX};
    r->to = to;
    r->point = (struct replay_point){0};
    r->file_crc = 0;
    r->file_at = r->done_bytes = r->told_bytes = r->told_ns = 0;
    replay_set_rate(r);
    r->moved_ns = clock_now_ns();
    r->asked_ns = 0;
    r->step = REPLAY_CALL;
    (void)snprintf(port, sizeof port, "%d", feed_port(r->feed));
    /* Without a connection nothing moves, and the tick sees that. */
    (void)replay_ask(r, replay_told_cb, "CONFIG SET masterauth %s", r->secret, NULL);
    (void)replay_ask(r, replay_told_cb, "CONFIG SET masteruser %s", "", NULL);
    (void)replay_ask(r, replay_told_cb, "CONFIG SET replica-read-only %s", "yes", NULL);
    (void)replay_ask(r, replay_told_cb, "REPLICAOF %s %s", r->config.feed_host, port);
}

void replay_on(struct replay *r, uint64_t to)
{
    MUST(r->step == REPLAY_STANDING && to >= r->to);
    r->to = to;
    r->moved_ns = r->stream_ns = clock_now_ns();
    replay_stream(r);
}

void replay_hurry(struct replay *r)
{
    if (r->config.rate_max_bytes > 0) {
        r->config.rate_max_bytes = r->rate.per_s = 0;
        replay_pump(r);
    }
}

void replay_stop(struct replay *r)
{
    if (r->step != REPLAY_IDLE) {
        bool held = r->step != REPLAY_FAILED;
        r->late = r->questions;
        r->step = REPLAY_IDLE;
        r->polling = false;
        if (held) {
            lognodes_use(r->config.nodes, NULL, NULL);
            feed_drop(r->feed, "the replay is over");
        }
    }
}
