#include "proxy/snapshot/put.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/snapshot/rate.h"
#include "proxy/snapshot/storing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PUT_STALE_RETRY_MS = 500, PUT_STALE_RETRIES = 20, PUT_WHY_MAX = 200 };
enum { PUT_BURST_PART = 10 /* of a second: what may be sent at once */ };

struct put {
    struct put_config config;
    const struct put_events *events;
    void *ctx;
    bool active, hurry;
    int fd;
    struct snapshot_info info;
    struct storing storing;
    struct rate rate;
    uint64_t retry_ns; /* when those whose turn it is begin anew; 0: not so */
    unsigned stale;
};

static void put_end(struct put *p)
{
    p->active = false;
    snapship_nodes(lognodes_snapship(p->config.nodes), lognodes_members(p->config.nodes));
    lognodes_use(p->config.nodes, NULL, NULL);
}

static void put_fail(struct put *p, const char *why)
{
    put_end(p);
    p->events->failed(p->ctx, why);
}

/* The file's bytes, at the pace that is set: one piece may go beyond what there is room for. */
static bool put_says_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    struct put *p = ctx;

    if (rate_room(&p->rate) == 0) {
        return true; /* asked again at the next tick */
    }
    rate_take(&p->rate, size);
    return file_read(p->fd, at, size, out) == 0;
}

/* More than half of those whose turn it is have it: put_tick sees that, and waits for the others.
 */
static void put_says_shipped(void *ctx, int err)
{
    struct put *p = ctx;

    if (err == ERR_STALE && ++p->stale < PUT_STALE_RETRIES) {
        p->retry_ns = clock_now_ns() + PUT_STALE_RETRY_MS * CLOCK_NS_PER_MS;
    } else if (err != ERR_OK) {
        put_fail(p,
                 err == ERR_STALE ? "leaders change too often to store anything" : err_text(err));
    }
}

static const struct lognodes_events put_nodes_events = {.read = put_says_read,
                                                        .shipped = put_says_shipped};

/* Nodes take it under the term that they have promised last. */
static void put_upload(struct put *p)
{
    struct snapship *ship = lognodes_snapship(p->config.nodes);
    struct lognodes_view view;

    lognodes_view(p->config.nodes, &view);
    p->retry_ns = 0;
    lognodes_use(p->config.nodes, &put_nodes_events, p);
    snapship_nodes(ship, p->storing.turn);
    snapship_upload(ship, clock_now_ns(), view.term, &p->info);
}

static uint32_t put_answering(const struct put *p)
{
    uint32_t set = 0;

    for (uint32_t left = lognodes_members(p->config.nodes); left != 0; left &= left - 1) {
        bool answers = lognodes_answers(p->config.nodes, (unsigned)__builtin_ctz(left));
        set |= answers ? left & -left : 0;
    }
    return set;
}

static void put_next(struct put *p)
{
    char why[PUT_WHY_MAX];

    if (storing_next(&p->storing, clock_now_ns(), put_answering(p), p->hurry)) {
        put_upload(p);
        return;
    }
    if (storing_is_enough(&p->storing)) {
        put_end(p);
        p->events->done(p->ctx);
        return;
    }
    (void)snprintf(why, sizeof why,
                   "too few log nodes take the snapshot: %u of %u have stored it, and %u have "
                   "no room on their disks (reserve_bytes counts)",
                   p->storing.stored, p->storing.members, p->storing.no_room);
    put_fail(p, why);
}

static bool put_turn_is_over(struct put *p, const struct storing_view *v)
{
    switch (storing_look(&p->storing, v)) {
    case STORING_ON:
        return false;
    case STORING_NO_ROOM:
        log_warn("%d log node(s) have no room for the snapshot on their disks",
                 __builtin_popcount(v->full));
        break;
    case STORING_OTHER:
        log_warn("%d log node(s) keep another snapshot at offset %" PRIu64 ", which is verified",
                 __builtin_popcount(v->other), p->info.offset);
        break;
    case STORING_SILENT:
        log_warn("a log node does not take the snapshot: another one may");
        break;
    case STORING_BUSY:
        log_info("a log node is being given another snapshot");
        break;
    case STORING_DONE:
        break;
    }
    return true;
}

/* ---- public ---- */

struct put *put_create(const struct put_config *config, const struct put_events *events, void *ctx)
{
    struct put *p = mem_calloc(1, sizeof *p);

    p->config = *config;
    p->events = events;
    p->ctx = ctx;
    return p;
}

void put_destroy(struct put *p)
{
    if (p->active) {
        put_end(p);
    }
    free(p);
}

void put_start(struct put *p, int fd, const struct snapshot_info *info)
{
    uint64_t rate = p->hurry ? 0 : p->config.rate_max_bytes;

    MUST(!p->active);
    p->active = true;
    p->fd = fd;
    p->info = *info;
    p->stale = 0;
    rate_init(&p->rate, rate, rate / PUT_BURST_PART, clock_now_ns());
    storing_init(&p->storing, lognodes_members(p->config.nodes),
                 p->config.patience_ms * CLOCK_NS_PER_MS);
    put_next(p);
}

void put_hurry(struct put *p)
{
    p->hurry = true;
    p->rate.per_s = 0;
}

void put_tick(struct put *p, uint64_t now_ns)
{
    struct snapship *ship = lognodes_snapship(p->config.nodes);
    uint64_t done = 0, total = 0;

    if (p->active && p->retry_ns != 0 && now_ns >= p->retry_ns) {
        storing_again(&p->storing, now_ns);
        put_upload(p);
    }
    if (!p->active || p->retry_ns != 0) {
        return;
    }
    rate_tick(&p->rate, now_ns);
    snapship_tick(ship, now_ns); /* sends what it may now */
    if (!p->active || p->retry_ns != 0) {
        return;
    }
    const struct storing_view v = {.now_ns = now_ns,
                                   .active = snapship_active(ship),
                                   .stored = snapship_stored(ship),
                                   .full = snapship_full(ship),
                                   .busy = snapship_busy(ship),
                                   .other = snapship_other(ship),
                                   .answering = put_answering(p),
                                   .taken_bytes = snapship_taken(ship)};
    snapship_progress(ship, &done, &total);
    if (v.active && v.taken_bytes != p->storing.taken_bytes) {
        p->events->progress(p->ctx, p->storing.stored * total + done, p->storing.members * total);
    }
    if (put_turn_is_over(p, &v)) {
        put_next(p);
    }
}
