#include "proxy/ctl/ctl_bring.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/engine/control.h"
#include "proxy/snapshot/extract.h"
#include "proxy/snapshot/sandbox.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BRING_TURN_MS = 50, BRING_RETRY_MS = 100, BRING_PIECE_BYTES = 16 << 20 };

struct ctl_bring {
    struct event_base *base;
    struct lognodes *nodes;
    struct sandbox *sandbox;
    struct control *control; /* of a Redis that runs */
    struct replay *replay;
    struct extract *extract;
    struct ctl_bar bar;
    char version[32];

    bool up, over;
    int status; /* of what is over */
    struct replay_point point;
    struct extract_result extracted;
};

/* ---- waiting ---- */

static void bring_tick(struct ctl_bring *b)
{
    struct timeval piece = {.tv_usec = BRING_TURN_MS * 1000};

    if (b->control != NULL) {
        control_tick(b->control, clock_now_ns());
    }
    (void)event_base_loopexit(b->base, &piece);
    MUST(event_base_loop(b->base, EVLOOP_ONCE) >= 0);
}

static void bring_failed(struct ctl_bring *b, const char *what, const char *why)
{
    ctl_bar_clear(&b->bar);
    if (!b->over) {
        ctl_complain("%s: %s", what, why);
        b->over = true;
        b->status = CTL_EXIT_FAILED;
    }
}

/* ---- events ---- */

static void bring_sandbox_up(void *ctx, const char *version)
{
    struct ctl_bring *b = ctx;

    b->up = true;
    (void)snprintf(b->version, sizeof b->version, "%s", version);
}

static void bring_sandbox_down(void *ctx, const char *why)
{
    bring_failed(ctx, "redis-server", why);
}

static void bring_control_up(void *ctx)
{
    ((struct ctl_bring *)ctx)->up = true;
}

static void bring_control_down(void *ctx, const char *reason)
{
    struct ctl_bring *b = ctx;

    if (b->replay != NULL) {
        bring_failed(b, "Redis", reason);
    }
}

static void bring_says_progress(void *ctx, enum replay_step step, uint64_t done_bytes,
                                uint64_t total_bytes)
{
    struct ctl_bring *b = ctx;
    ctl_bar_show(&b->bar, replay_step_name(step), done_bytes, total_bytes);
}

static void bring_says_reached(void *ctx, const struct replay_point *point)
{
    struct ctl_bring *b = ctx;

    b->point = *point;
    b->over = true;
}

static void bring_says_failed(void *ctx, const char *why, bool again)
{
    (void)again;
    bring_failed(ctx, "it can't be restored", why);
}

static void bring_says_done(void *ctx, const struct extract_result *result)
{
    struct ctl_bring *b = ctx;

    b->extracted = *result;
    b->over = true;
}

static void bring_says_not_extracted(void *ctx, const char *why)
{
    bring_failed(ctx, "the RDB can't be had", why);
}

static const struct sandbox_events bring_sandbox_events = {.up = bring_sandbox_up,
                                                           .down = bring_sandbox_down};
static const struct control_events bring_control_events = {.up = bring_control_up,
                                                           .down = bring_control_down};
static const struct replay_events bring_replay_events = {
    .progress = bring_says_progress, .reached = bring_says_reached, .failed = bring_says_failed};
static const struct extract_events bring_extract_events = {.done = bring_says_done,
                                                           .failed = bring_says_not_extracted};

/* ---- beginning ---- */

static bool bring_open_nodes(struct ctl_bring *b, const struct ctl_bring_config *c)
{
    const char *addresses[CTL_NODES_MAX];
    struct lognodes_config config = {.log_id = c->nodes->log_id,
                                     .addresses = addresses,
                                     .address_count = c->nodes->count,
                                     .piece_max_bytes = BRING_PIECE_BYTES};
    uint64_t end_ns = clock_now_ns() + c->timeout_ms * CLOCK_NS_PER_MS;
    struct lognodes_view view = {0};
    int err;

    for (unsigned i = 0; i < c->nodes->count; i++) {
        addresses[i] = c->nodes->nodes[i].address;
    }
    memcpy(config.cluster_id, c->nodes->cluster_id, sizeof config.cluster_id);
    b->nodes = lognodes_open(b->base, &config, &err);
    if (b->nodes == NULL) {
        ctl_complain("the log nodes can't be connected to: %s", err_text(err));
        return false;
    }
    while (!view.known && clock_now_ns() < end_ns) {
        bring_tick(b);
        lognodes_view(b->nodes, &view);
    }
    if (!view.known) {
        ctl_complain("too few log nodes answer%s%s", view.refusal[0] != '\0' ? ": " : "",
                     view.refusal);
    }
    return view.known;
}

static bool bring_open_redis(struct ctl_bring *b, const struct ctl_bring_config *c)
{
    struct control_config control = {.host = c->host,
                                     .port = c->port,
                                     .user = c->user,
                                     .password = c->password,
                                     .timeout_ms = (uint32_t)c->timeout_ms,
                                     .retry_ms = BRING_RETRY_MS};
    struct sandbox_config sandbox = {.program = "redis-server", .folder = c->folder};
    uint64_t end_ns = clock_now_ns() + 2 * c->timeout_ms * CLOCK_NS_PER_MS;
    char why[SANDBOX_WHY_MAX];

    if (c->host != NULL) {
        b->control = control_create(b->base, &control, &bring_control_events, b);
    } else {
        b->sandbox = sandbox_start(b->base, &sandbox, &bring_sandbox_events, b, why);
        if (b->sandbox == NULL) {
            ctl_complain("redis-server: %s", why);
            return false;
        }
    }
    while (!b->up && !b->over && (c->host == NULL || clock_now_ns() < end_ns)) {
        bring_tick(b);
    }
    if (!b->up && !b->over) {
        ctl_complain("%s:%d does not answer", c->host, c->port);
    }
    return b->up;
}

struct ctl_bring *ctl_bring_open(const struct ctl_bring_config *c, int *status)
{
    struct ctl_bring *b = mem_calloc(1, sizeof *b);
    struct replay_config replay = {.feed_host = c->feed_host};
    int err;

    b->base = event_base_new();
    MUST(b->base != NULL);
    *status = CTL_EXIT_UNREACHABLE;
    /* The sandbox first: the log nodes' library starts threads. */
    if (bring_open_redis(b, c) && bring_open_nodes(b, c)) {
        replay.base = b->base;
        replay.nodes = b->nodes;
        replay.control = b->sandbox != NULL ? sandbox_control(b->sandbox) : b->control;
        b->replay = replay_create(&replay, &bring_replay_events, b, &err);
        if (b->replay != NULL) {
            *status = CTL_EXIT_DONE;
            return b;
        }
        ctl_complain("no address for Redis to replicate from: %s", err_text(err));
        *status = CTL_EXIT_FAILED;
    }
    ctl_bring_close(b);
    return NULL;
}

void ctl_bring_close(struct ctl_bring *b)
{
    ctl_bar_clear(&b->bar);
    extract_destroy(b->extract);
    sandbox_destroy(b->sandbox);
    if (b->control != NULL) {
        control_destroy(b->control);
    }
    if (b->replay != NULL) {
        replay_destroy(b->replay);
    }
    if (b->nodes != NULL) {
        lognodes_close(b->nodes);
    }
    event_base_free(b->base);
    free(b);
}

static int bring_wait(struct ctl_bring *b)
{
    while (!b->over) {
        bring_tick(b);
    }
    ctl_bar_clear(&b->bar);
    return b->status;
}

int ctl_bring_to(struct ctl_bring *b, uint64_t to, struct replay_point *point)
{
    b->over = false;
    b->status = CTL_EXIT_DONE;
    replay_start(b->replay, to, NULL);
    int status = bring_wait(b);
    *point = b->point;
    return status;
}

int ctl_bring_extract(struct ctl_bring *b, const struct replay_point *point, int fd,
                      uint64_t *size_bytes, uint32_t *crc)
{
    struct extract_config config = {.base = b->base,
                                    .port = sandbox_port(b->sandbox),
                                    .password = sandbox_password(b->sandbox),
                                    .fd = fd,
                                    .offset = point->offset};

    b->over = false;
    b->extract = extract_start(&config, &bring_extract_events, b);
    if (b->extract == NULL) {
        ctl_complain("the RDB can't be had from the redis-server");
        return CTL_EXIT_FAILED;
    }
    int status = bring_wait(b);
    *size_bytes = b->extracted.size_bytes;
    *crc = b->extracted.crc;
    return status;
}

const char *ctl_bring_version(const struct ctl_bring *b)
{
    return b->version;
}
