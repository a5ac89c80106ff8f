#include "proxy/ctl/ctl_bring.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/ctl/ctl_stop.h"
#include "proxy/ctl/target_mark.h"
#include "proxy/engine/control.h"
#include "proxy/snapshot/extract.h"
#include "proxy/snapshot/sandbox.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BRING_TURN_MS = 50,
    BRING_RETRY_MS = 100,
    BRING_PIECE_BYTES = 16 << 20,
    BRING_ATTEMPTS = 4,
    BRING_SILENT_MS = 5000,
    BRING_ANSWER_MS = 60000 /* a Redis that loads a large value says nothing meanwhile */
};

struct ctl_bring {
    struct ctl_bring_config config;
    struct event_base *base;
    struct lognodes *nodes;
    struct sandbox *sandbox;
    struct control *control; /* of a Redis that runs */
    struct replay *replay;
    struct extract *extract;
    struct ctl_bar bar;
    char version[32];

    uint64_t
        known_ns; /* when enough log nodes answered last; UINT64_MAX: that they don't is told */
    bool up, over, began;
    int status; /* of what is over */
    bool again; /* it has failed, and may be tried again */
    char why[SANDBOX_WHY_MAX + 40];
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

/* The first reason counts; it is told where the attempts end. */
static void bring_failed(struct ctl_bring *b, const char *what, const char *why)
{
    if (!b->over) {
        (void)snprintf(b->why, sizeof b->why, "%s: %s", what, why);
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

/* It has the name that other restores look for (ctl_target.h). It is asked all the time: Redis does
 * not end it for being idle, as it may the one that began. */
static void bring_control_up(void *ctx)
{
    struct ctl_bring *b = ctx;

    b->up = control_send(b->control, NULL, NULL, "CLIENT SETNAME %s", target_mark_user);
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
    struct ctl_bring *b = ctx;

    bring_failed(b, "it can't be restored", why);
    b->again = again;
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
        bool told = view.refusal != NULL && view.refusal[0] != '\0';
        ctl_complain("too few log nodes answer%s%s", told ? ": " : "", told ? view.refusal : "");
    }
    return view.known;
}

static bool bring_open_redis(struct ctl_bring *b)
{
    const struct ctl_bring_config *c = &b->config;
    struct control_config control = {.host = c->host,
                                     .port = c->port,
                                     .user = c->user,
                                     .password = c->password,
                                     .timeout_ms = BRING_ANSWER_MS,
                                     .retry_ms = BRING_RETRY_MS};
    struct sandbox_config sandbox = {.program = c->program};
    uint64_t end_ns = clock_now_ns() + 2 * c->timeout_ms * CLOCK_NS_PER_MS;
    char why[SANDBOX_WHY_MAX];

    b->up = b->over = false;
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
    if (b->over) {
        ctl_complain("%s", b->why);
    } else if (!b->up) {
        ctl_complain("%s:%d does not answer", c->host, c->port);
    }
    return b->up && !b->over;
}

static bool bring_open_replay(struct ctl_bring *b)
{
    struct replay_config config = {.base = b->base,
                                   .nodes = b->nodes,
                                   .control = b->sandbox != NULL ? sandbox_control(b->sandbox)
                                                                 : b->control,
                                   .secret = b->config.secret,
                                   .feed_host = b->config.feed_host};
    int err;

    b->replay = replay_create(&config, &bring_replay_events, b, &err);
    if (b->replay == NULL) {
        ctl_complain("no address for Redis to replicate from: %s", err_text(err));
    }
    return b->replay != NULL;
}

/* The Redis first: its questions are the replay's. */
static void bring_close_redis(struct ctl_bring *b)
{
    struct replay *replay = b->replay;

    b->replay = NULL; /* what is said of its end is nothing new */
    extract_destroy(b->extract);
    sandbox_destroy(b->sandbox);
    if (b->control != NULL) {
        control_destroy(b->control);
    }
    if (replay != NULL) {
        replay_destroy(replay);
    }
    b->extract = NULL;
    b->sandbox = NULL;
    b->control = NULL;
}

struct ctl_bring *ctl_bring_open(const struct ctl_bring_config *c, int *status)
{
    struct ctl_bring *b = mem_calloc(1, sizeof *b);

    b->config = *c;
    b->base = event_base_new();
    MUST(b->base != NULL);
    if (!bring_open_nodes(b, c) || !bring_open_redis(b)) {
        *status = CTL_EXIT_UNREACHABLE;
    } else if (!bring_open_replay(b)) {
        *status = CTL_EXIT_FAILED;
    } else {
        *status = CTL_EXIT_DONE;
        return b;
    }
    ctl_bring_close(b);
    return NULL;
}

void ctl_bring_close(struct ctl_bring *b)
{
    ctl_bar_clear(&b->bar);
    bring_close_redis(b);
    if (b->nodes != NULL) {
        lognodes_close(b->nodes);
    }
    event_base_free(b->base);
    free(b);
}

/* Who waits should know for what; once for each time. */
static void bring_tell_silence(struct ctl_bring *b)
{
    uint64_t now_ns = clock_now_ns();
    struct lognodes_view view;

    lognodes_view(b->nodes, &view);
    if (view.known) {
        b->known_ns = now_ns;
    } else if (now_ns > b->known_ns && now_ns - b->known_ns > BRING_SILENT_MS * CLOCK_NS_PER_MS) {
        b->known_ns = UINT64_MAX;
        ctl_bar_clear(&b->bar);
        fprintf(stderr, "%u of %u log nodes answer; waiting for more\n", view.answered, view.nodes);
    }
}

static int bring_wait(struct ctl_bring *b)
{
    b->known_ns = clock_now_ns();
    while (!b->over) {
        bring_tick(b);
        bring_tell_silence(b);
        if (ctl_stop_asked()) {
            bring_failed(b, "stopped", "by a signal");
            b->again = false;
        }
    }
    ctl_bar_clear(&b->bar);
    return b->status;
}

int ctl_bring_to(struct ctl_bring *b, uint64_t to, struct replay_point *point)
{
    for (int attempt = 1;; attempt++) {
        b->over = b->again = false;
        b->status = CTL_EXIT_DONE;
        b->began = true;
        replay_start(b->replay, to, NULL);
        if (bring_wait(b) == CTL_EXIT_DONE) {
            *point = b->point;
            return CTL_EXIT_DONE;
        }
        ctl_complain("%s", b->why);
        if (!b->again || attempt == BRING_ATTEMPTS) {
            return b->status;
        }
        ctl_complain("another attempt is made");
        bring_close_redis(b);
        if (!bring_open_redis(b) || !bring_open_replay(b)) {
            return CTL_EXIT_FAILED;
        }
    }
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
    if (status != CTL_EXIT_DONE) {
        ctl_complain("%s", b->why);
    }
    *size_bytes = b->extracted.size_bytes;
    *crc = b->extracted.crc;
    return status;
}

bool ctl_bring_began(const struct ctl_bring *b)
{
    return b->began;
}

const char *ctl_bring_version(const struct ctl_bring *b)
{
    return b->version;
}
