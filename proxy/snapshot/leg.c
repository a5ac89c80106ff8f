#include "proxy/snapshot/leg.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/engine/control.h"
#include "proxy/follow/lineage.h"
#include "proxy/snapshot/priority.h"
#include "proxy/snapshot/sandbox.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEG_TICK_MS = 200, LEG_PAUSE_MS = 500, LEG_CHASES = 4, LEG_CHASE_BYTES = 8 << 20 };

struct leg {
    struct leg_config config;
    const struct leg_events *events;
    void *ctx;
    struct leg_plan plan;
    struct leg_result result;
    unsigned attempt;
    struct sandbox *sandbox;
    struct replay *replay;
    struct extract *extract;
    struct event *turn_event; /* what ends or begins something does so from here */
    struct event *tick_event;
    bool active;
    bool first_reached;
    bool hurry;
    unsigned chases;  /* how often the first place was moved on */
    uint64_t seen;    /* was committed when the first place was reached */
    const char *what; /* is done now, for progress */

    /* What the turn finds. */
    bool ended, failed, again;
    char why[LEG_WHY_MAX];
};

static void leg_end_sandbox(struct leg *l)
{
    extract_destroy(l->extract);
    l->extract = NULL;
    sandbox_destroy(l->sandbox); /* its control connection before the replay */
    l->sandbox = NULL;
    replay_destroy(l->replay);
    l->replay = NULL;
}

/* ---- how it ends: in a turn of its own, where all parts may be destroyed ---- */

static void leg_turn_later(struct leg *l, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    MUST(event_add(l->turn_event, &tv) == 0);
}

static void leg_fail(struct leg *l, const char *why, bool again)
{
    if (l->ended || !l->active) {
        return;
    }
    l->ended = l->failed = true;
    l->again = again;
    (void)snprintf(l->why, sizeof l->why, "%s", why);
    leg_turn_later(l, 0);
}

static void leg_complete(struct leg *l)
{
    if (!l->ended) {
        l->ended = true;
        leg_turn_later(l, 0);
    }
}

static void leg_begin(struct leg *l);

static void leg_turn_cb(evutil_socket_t fd, short what, void *arg)
{
    struct leg *l = arg;

    (void)fd;
    (void)what;
    if (!l->active) {
        return;
    }
    if (!l->ended) {
        leg_begin(l); /* the pause is over */
        return;
    }
    leg_end_sandbox(l);
    if (l->failed && l->again && l->attempt < LEG_ATTEMPTS) {
        log_warn("%s; another attempt", l->why);
        l->ended = false;
        leg_turn_later(l, LEG_PAUSE_MS);
        return;
    }
    l->active = false;
    (void)event_del(l->tick_event);
    if (l->failed) {
        char why[LEG_WHY_MAX];
        memcpy(why, l->why, sizeof why);
        l->events->failed(l->ctx, why);
    } else {
        struct leg_result result = l->result;
        l->events->done(l->ctx, &result);
    }
}

/* ---- the last place: what it holds ---- */

static void leg_digest_cb(void *ctx, const struct redisReply *reply)
{
    struct leg *l = ctx;

    if (reply == NULL || reply->type != REDIS_REPLY_STATUS || reply->len != LEG_DIGEST_CHARS) {
        leg_fail(l,
                 reply != NULL && reply->type == REDIS_REPLY_ERROR ? reply->str
                                                                   : "Redis gives no digest",
                 true);
        return;
    }
    memcpy(l->result.digest, reply->str, LEG_DIGEST_CHARS + 1);
    leg_complete(l);
}

static void leg_memory_cb(void *ctx, const struct redisReply *reply)
{
    struct leg *l = ctx;
    const char *at;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING &&
        (at = strstr(reply->str, "used_memory:")) != NULL) {
        l->result.memory_bytes = strtoull(at + strlen("used_memory:"), NULL, 10);
    }
}

static void leg_say(struct leg *l, const char *what)
{
    l->what = what;
    l->events->progress(l->ctx, what, 0, 0);
}

static void leg_last(struct leg *l, const struct replay_point *point)
{
    struct control *control = sandbox_control(l->sandbox);

    l->result.last = *point;
    leg_say(l, "digest");
    if (!control_send(control, leg_memory_cb, l, "INFO memory") ||
        !control_send(control, leg_digest_cb, l, "DEBUG DIGEST")) {
        leg_fail(l, "the connection to the sandbox is lost", true);
    }
}

/* ---- the first place: taking the dataset out ---- */

static void leg_go_on(struct leg *l)
{
    struct lognodes_view view;

    l->first_reached = true;
    if (!l->plan.on) {
        leg_last(l, &l->result.first);
        return;
    }
    lognodes_view(l->config.nodes, &view);
    uint64_t to = l->plan.on_to != 0 ? l->plan.on_to : view.commit;
    if (l->plan.on_to == 0 && l->hurry && l->seen > l->result.first.offset) {
        to = l->seen; /* any place behind the first will do, and what came since takes time */
    }
    leg_say(l, "replay");
    replay_on(l->replay, to > l->result.first.offset ? to : l->result.first.offset);
}

static void leg_extracted(void *ctx, const struct extract_result *result)
{
    struct leg *l = ctx;

    l->result.rdb = *result;
    extract_destroy(l->extract);
    l->extract = NULL;
    leg_go_on(l);
}

static void leg_not_extracted(void *ctx, const char *why)
{
    leg_fail(ctx, why, false);
}

static const struct extract_events leg_extract_events = {leg_extracted, leg_not_extracted};

/* "db0:keys=12,expires=3,avg_ttl=0" for each database. */
static void leg_count_keys(struct leg *l, const char *info)
{
    unsigned long long keys, expires;

    l->result.keys = l->result.expires = 0;
    for (const char *at = info; (at = strstr(at, ":keys=")) != NULL; at++) {
        if (sscanf(at, ":keys=%llu,expires=%llu", &keys, &expires) == 2) {
            l->result.keys += keys;
            l->result.expires += expires;
        }
    }
}

static void leg_keys_cb(void *ctx, const struct redisReply *reply)
{
    struct leg *l = ctx;

    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        leg_fail(l, "the sandbox does not say how many keys it has", true);
        return;
    }
    leg_count_keys(l, reply->str);
    struct extract_config config = {.base = l->config.base,
                                    .port = sandbox_port(l->sandbox),
                                    .password = sandbox_password(l->sandbox),
                                    .fd = l->plan.extract_fd,
                                    .offset = l->result.first.offset,
                                    .rate_max_bytes = l->config.disk_rate_max_bytes};
    leg_say(l, "extract");
    l->extract = extract_start(&config, &leg_extract_events, l);
    if (l->extract == NULL) {
        leg_fail(l, "the dataset can't be taken out of the sandbox", true);
    }
}

/* Whether the first place is left for a later one. */
static bool leg_chases(struct leg *l, uint64_t offset, uint64_t commit)
{
    if (!l->hurry || l->plan.extract_fd < 0 || l->chases == LEG_CHASES ||
        commit < offset + LEG_CHASE_BYTES) {
        return false;
    }
    l->chases++;
    replay_on(l->replay, commit);
    return true;
}

static void leg_reached(void *ctx, const struct replay_point *point)
{
    struct leg *l = ctx;
    struct lognodes_view view;

    if (l->first_reached) {
        leg_last(l, point);
        return;
    }
    lognodes_view(l->config.nodes, &view);
    if (leg_chases(l, point->offset, view.commit)) {
        return;
    }
    l->seen = view.commit;
    l->result.first = *point;
    if (l->plan.extract_fd < 0) {
        leg_go_on(l);
    } else if (!control_send(sandbox_control(l->sandbox), leg_keys_cb, l, "INFO keyspace")) {
        leg_fail(l, "the connection to the sandbox is lost", true);
    }
}

static void leg_replay_failed(void *ctx, const char *why, bool again)
{
    leg_fail(ctx, why, again);
}

static void leg_replay_progress(void *ctx, enum replay_step step, uint64_t done, uint64_t total)
{
    struct leg *l = ctx;

    l->what = step == REPLAY_SNAPSHOT ? "snapshot" : "replay";
    l->events->progress(l->ctx, l->what, done, total);
}

static const struct replay_events leg_replay_events = {leg_replay_progress, leg_reached,
                                                       leg_replay_failed};

/* ---- the sandbox ---- */

/* An RDB of another version is nothing for the engines of this log, or the other way round. */
static bool leg_engine_fits(struct leg *l, const char *version)
{
    uint32_t engine = lineage_engine(version);
    char why[LEG_WHY_MAX];

    if (l->config.engine == 0 || WIRE_ENGINE_MINOR(engine) == WIRE_ENGINE_MINOR(l->config.engine)) {
        return true;
    }
    (void)snprintf(
        why, sizeof why,
        "%.100s is Redis %.31s, and this log is of Redis %u.%u: snapshots need one of the "
        "same version (snapshot.redis_server)",
        l->config.redis_server, version, l->config.engine >> 16, l->config.engine >> 8 & 255);
    leg_fail(l, why, false);
    return false;
}

static void leg_up(void *ctx, const char *version)
{
    struct leg *l = ctx;
    struct replay_config config = {.base = l->config.base,
                                   .nodes = l->config.nodes,
                                   .control = sandbox_control(l->sandbox),
                                   .rate_max_bytes = l->config.rate_max_bytes};
    int err;

    if (!leg_engine_fits(l, version)) {
        return;
    }
    (void)snprintf(l->result.engine_version, sizeof l->result.engine_version, "%s", version);
    l->replay = replay_create(&config, &leg_replay_events, l, &err);
    if (l->replay == NULL) {
        leg_fail(l, err_text(err), false);
        return;
    }
    replay_start(l->replay, l->plan.to, &l->plan.base);
}

static void leg_down(void *ctx, const char *why)
{
    leg_fail(ctx, why, true);
}

static const struct sandbox_events leg_sandbox_events = {leg_up, leg_down};

static void leg_begin(struct leg *l)
{
    struct sandbox_config config = {.program = l->config.redis_server};
    char why[SANDBOX_WHY_MAX];

    l->attempt++;
    l->chases = 0;
    l->result = (struct leg_result){0};
    l->first_reached = l->ended = l->failed = false;
    leg_say(l, "start");
    l->sandbox = sandbox_start(l->config.base, &config, &leg_sandbox_events, l, why);
    if (l->sandbox == NULL) {
        leg_fail(l, why, false);
    }
}

static void leg_tick_cb(evutil_socket_t fd, short what, void *arg)
{
    struct leg *l = arg;

    (void)fd;
    (void)what;
    if (l->extract != NULL) {
        l->events->progress(l->ctx, l->what, extract_bytes(l->extract), 0);
    }
}

/* ---- public ---- */

struct leg *leg_create(const struct leg_config *config, const struct leg_events *events, void *ctx)
{
    struct leg *l = mem_calloc(1, sizeof *l);

    l->config = *config;
    l->events = events;
    l->ctx = ctx;
    l->turn_event = event_new(config->base, -1, 0, leg_turn_cb, l);
    l->tick_event = event_new(config->base, -1, EV_PERSIST, leg_tick_cb, l);
    MUST(l->turn_event != NULL && l->tick_event != NULL);
    return l;
}

void leg_start(struct leg *l, const struct leg_plan *plan)
{
    struct timeval tick = {.tv_usec = LEG_TICK_MS * 1000};

    MUST(!l->active);
    l->plan = *plan;
    l->active = true;
    l->attempt = 0;
    MUST(event_add(l->tick_event, &tick) == 0);
    leg_begin(l);
}

void leg_hurry(struct leg *l)
{
    l->hurry = true;
    l->config.rate_max_bytes = l->config.disk_rate_max_bytes = 0;
    if (l->replay != NULL) {
        replay_hurry(l->replay);
    }
    if (l->extract != NULL) {
        extract_hurry(l->extract);
    }
    if (l->sandbox != NULL) {
        priority_take_back(sandbox_pid(l->sandbox));
    }
}

void leg_destroy(struct leg *l)
{
    if (l != NULL) {
        l->active = false;
        leg_end_sandbox(l);
        event_free(l->turn_event);
        event_free(l->tick_event);
        free(l);
    }
}
