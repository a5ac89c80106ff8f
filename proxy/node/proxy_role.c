/* What the role's decisions do, and what capture, feed, adoption and the follower tell it. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/follow/lineage.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ROLE_RETRY_MS = 200, ROLE_HOLD_MAX_US = 2000 };

/* ---- the stream ---- */

/* The next bytes of Redis' stream: told to the tracker by their effects, and appended to the log,
 * cut so that the log only counts whole units. */
static void role_take_stream(struct proxy *p, const uint8_t *bytes, size_t size)
{
    struct role_view view;
    uint64_t start = effects_offset(p->effects);

    if (proposer_state(p->proposer) != PROPOSER_LEADING) {
        return; /* deposed in this very turn; the role sees it at its end */
    }
    if (effects_feed(p->effects, bytes, size) != ERR_OK) {
        log_error("the stream of Redis is not understood at offset %" PRIu64, start);
        capture_stop(p->capture);
        p->streaming = false;
        proxy_view(p, &view);
        role_detached(&p->role, &view, "the stream is not understood");
        return;
    }
    uint64_t unit = effects_unit_offset(p->effects);
    size_t whole = unit > start ? (size_t)(unit - start) : 0;
    uint64_t wall_ms = clock_wall_ms();
    pace_appended(&p->pace, clock_now_ns());
    if (whole > 0) {
        proposer_append(p->proposer, bytes, whole, true, wall_ms);
    }
    if (size > whole) {
        proposer_append(p->proposer, bytes + whole, size - whole, false, wall_ms);
    }
}

/* After a +CONTINUE the stream's database is not known, and it may never be said: a publication
 * from two databases makes Redis say it (at least one differs from the one it is in). */
static void role_ask_database(struct proxy *p)
{
    static const char *const commands[] = {"SELECT 1", "SPUBLISH __holdfast__ attached", "SELECT 0",
                                           "SPUBLISH __holdfast__ attached"};

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        (void)control_send(p->control, NULL, NULL, commands[i]);
    }
}

/* ---- actions ---- */

static void action_campaign(void *ctx)
{
    struct proxy *p = ctx;
    proposer_campaign(p->proposer, clock_now_ns());
}

/* Who is to lead next, "": whoever comes. */
static void role_heir(const struct proxy *p, char heir[LEADER_TEXT_MAX + 1])
{
    const struct leader_peer *next = p->outlook.successor;

    heir[0] = '\0';
    if (p->heir[0] != '\0') {
        memcpy(heir, p->heir, sizeof p->heir);
    } else if (next != NULL) {
        leader_print_address(&next->address, heir, LEADER_TEXT_MAX + 1);
    }
}

void proxy_tell_watchdog(struct proxy *p)
{
    char heir[LEADER_TEXT_MAX + 1];
    struct will will;

    if (p->watchdog != NULL) {
        role_heir(p, heir);
        will_make(p->proposer, clock_now_ns(), heir, &will);
        watchdog_tell(p->watchdog, &will);
    }
}

void proxy_release(struct proxy *p)
{
    char heir[LEADER_TEXT_MAX + 1];

    role_heir(p, heir);
    if (proposer_state(p->proposer) == PROPOSER_LEADING) {
        log_info("term %" PRIu64 " ends here%s%s", proposer_term(p->proposer).n,
                 heir[0] != '\0' ? ", to be followed by " : "", heir);
    }
    p->heir[0] = '\0';
    proposer_hand_over(p->proposer, clock_now_ns(), heir);
    lookout_hurry(p->lookout);
}

static void action_release(void *ctx)
{
    proxy_release(ctx);
}

static void action_follow(void *ctx)
{
    struct proxy *p = ctx;
    follow_start(p->follow, clock_now_ns());
}

static void role_attach_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    struct role_view view;
    struct lineage_redis redis;

    MUST(p->attach_asked > 0);
    if (--p->attach_asked > 0 || !p->attaching) {
        return; /* asked again since, or called off: answers come in order, the last one counts */
    }
    p->attaching = false;
    proxy_view(p, &view);
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        role_detached(&p->role, &view, "Redis does not answer");
    } else if (!lineage_parse(reply->str, &redis) ||
               !lineage_may_resume(&redis, &p->attach_replid, p->attach_offset)) {
        /* It would make a full resync of it, which costs it a fork and up to a second before it
         * even answers. */
        role_full_resync(&p->role, &view);
    } else if (capture_start(p->capture, &p->attach_replid, p->attach_offset) != ERR_OK) {
        role_detached(&p->role, &view, "Redis can't be connected to");
    }
}

static void action_attach(void *ctx, const struct replid *replid, uint64_t offset)
{
    struct proxy *p = ctx;

    capture_stop(p->capture);
    p->attach_replid = *replid;
    p->attach_offset = offset;
    p->attaching = control_send(p->control, role_attach_cb, p, "INFO replication");
    p->attach_asked += p->attaching;
    p->attach_failed = !p->attaching; /* told to the role in the next turn */
}

static void role_cron_runs_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    if (reply != NULL) {
        p->router.cron_paused = false;
    }
}

void proxy_let_cron_run(struct proxy *p)
{
    if (p->router.cron_paused) {
        (void)control_send(p->control, role_cron_runs_cb, p, "DEBUG PAUSE-CRON 0");
    }
}

static void action_detach(void *ctx)
{
    struct proxy *p = ctx;

    proxy_let_cron_run(p);
    if (p->router.redis_paused) { /* it is to go along with the log */
        (void)control_send(p->control, NULL, NULL, "CLIENT UNPAUSE");
        p->router.redis_paused = false;
    }
    p->streaming = false;
    p->attaching = false;
    capture_stop(p->capture);
}

static void action_adopt(void *ctx)
{
    struct proxy *p = ctx;

    if (follow_active(p->follow)) { /* of a leader that went before there was a log */
        follow_stop(p->follow);
        (void)control_send(p->control, NULL, NULL, "REPLICAOF NO ONE");
    }
    adopt_start(p->adopt, p->snapship, proposer_term(p->proposer), p->router.engine_version);
    capture_stop(p->capture);
    p->attach_failed = capture_start(p->capture, NULL, 0) != ERR_OK;
}

static void action_promote(void *ctx)
{
    struct proxy *p = ctx;

    follow_promote(p->follow, clock_now_ns(), proposer_term(p->proposer),
                   proposer_donor(p->proposer));
}

static void action_abandon(void *ctx)
{
    struct proxy *p = ctx;

    adopt_stop(p->adopt);
    follow_stop(p->follow);
    action_detach(p);
}

static void action_lead(void *ctx, uint64_t begin, const struct replid *replid)
{
    struct proxy *p = ctx;
    struct buf *pending = adopt_pending_stream(p->adopt);
    bool adopted = p->role.state == ROLE_ADOPT;

    proposer_lead(p->proposer, clock_now_ns(), begin, replid);
    tracker_reset(p->tracker, begin);
    effects_start(p->effects, begin, p->router.config.databases == 1 ? 0 : -1);
    marks_clear(&p->marks);
    pace_init(&p->pace, ROLE_HOLD_MAX_US * CLOCK_NS_PER_US);
    p->commit_seen = begin;
    p->acked = UINT64_MAX; /* a new link: Redis knows nothing */
    p->streaming = true;
    if (adopted && pending->len > 0) {
        role_take_stream(p, buf_head(pending), pending->len);
    }
    adopt_stop(p->adopt);
    if (!adopted && p->router.config.databases > 1) {
        role_ask_database(p); /* behind a full resync Redis says it anyway */
    }
}

static void action_drop_withheld(void *ctx, const char *why)
{
    proxy_drop_withheld(ctx, why);
}

static void action_say(void *ctx, enum role_state state, const char *why)
{
    struct proxy *p = ctx;

    if (state == ROLE_SERVE) {
        p->heir[0] = '\0';
        proxy_tell_watchdog(p);
        log_info("leader: serving in term %" PRIu64 " (%s)", proposer_term(p->proposer).n, why);
    } else {
        log_info("role %s: %s", role_state_name(state), why);
    }
}

static const struct role_actions role_actions = {
    .follow = action_follow,
    .campaign = action_campaign,
    .release = action_release,
    .attach = action_attach,
    .detach = action_detach,
    .adopt = action_adopt,
    .promote = action_promote,
    .abandon = action_abandon,
    .lead = action_lead,
    .drop_withheld = action_drop_withheld,
    .say = action_say,
};

/* ---- capture ---- */

static void capture_says_full_resync(void *ctx, const struct replid *replid, uint64_t offset)
{
    struct proxy *p = ctx;
    struct role_view view;

    if (adopt_active(p->adopt)) {
        adopt_full_resync(p->adopt, replid, offset);
        return;
    }
    proxy_view(p, &view);
    role_full_resync(&p->role, &view);
}

static void capture_says_rdb(void *ctx, const void *bytes, size_t size)
{
    struct proxy *p = ctx;
    adopt_rdb(p->adopt, bytes, size);
}

static void capture_says_rdb_end(void *ctx)
{
    struct proxy *p = ctx;
    adopt_rdb_end(p->adopt, clock_now_ns(), clock_wall_ms());
}

static void capture_says_resumed(void *ctx, const struct replid *replid)
{
    struct proxy *p = ctx;
    struct role_view view;
    bool again = p->role.state == ROLE_REATTACH;

    proxy_view(p, &view);
    role_resumed(&p->role, &view, replid);
    if (again && p->role.state == ROLE_SETTLE) {
        p->streaming = true;
        p->acked = UINT64_MAX;
    }
}

static void capture_says_stream(void *ctx, const void *bytes, size_t size)
{
    struct proxy *p = ctx;

    if (p->streaming) {
        role_take_stream(p, bytes, size);
    } else {
        adopt_stream(p->adopt, bytes, size);
    }
}

static void capture_says_closed(void *ctx, const char *reason)
{
    struct proxy *p = ctx;
    struct role_view view;

    p->streaming = false;
    proxy_view(p, &view);
    role_detached(&p->role, &view, reason);
}

const struct capture_events proxy_capture_events = {
    .full_resync = capture_says_full_resync,
    .rdb = capture_says_rdb,
    .rdb_end = capture_says_rdb_end,
    .resumed = capture_says_resumed,
    .stream = capture_says_stream,
    .closed = capture_says_closed,
};

/* ---- feed ---- */

static void feed_says_psync(void *ctx, const struct replid *replid, uint64_t offset)
{
    struct proxy *p = ctx;

    follow_psync(p->follow, clock_now_ns(), replid, offset);
}

static void feed_says_acked(void *ctx, uint64_t offset)
{
    (void)ctx;
    (void)offset; /* ROLE on the control connection is asked instead: it is prompt */
}

static void feed_says_room(void *ctx)
{
    struct proxy *p = ctx;
    follow_feed_room(p->follow, clock_now_ns());
}

static void feed_says_closed(void *ctx, const char *reason)
{
    struct proxy *p = ctx;
    follow_feed_closed(p->follow, reason);
}

const struct feed_events proxy_feed_events = {
    .psync = feed_says_psync,
    .acked = feed_says_acked,
    .room = feed_says_room,
    .closed = feed_says_closed,
};

/* ---- adoption, following, promotion ---- */

static void adopt_says_done(void *ctx)
{
    struct proxy *p = ctx;
    struct role_view view;
    struct replid replid = *adopt_replid(p->adopt);

    proxy_view(p, &view);
    role_adopted(&p->role, &view, &replid, adopt_offset(p->adopt));
}

static void follow_says_reached(void *ctx, const struct replid *replid)
{
    struct proxy *p = ctx;
    struct role_view view;

    proxy_view(p, &view);
    role_promoted(&p->role, &view, replid);
}

static void role_says_failed(void *ctx, const char *why)
{
    struct proxy *p = ctx;
    struct role_view view;

    proxy_view(p, &view);
    role_failed(&p->role, &view, why);
}

static const struct adopt_events adopt_events = {.done = adopt_says_done,
                                                 .failed = role_says_failed};
static const struct follow_events follow_events = {.reached = follow_says_reached,
                                                   .failed = role_says_failed};

void proxy_start_role(struct proxy *p, const struct settings *s)
{
    struct adopt_config adopt = {.data_dir = s->data_dir,
                                 .stream_max_bytes = (size_t)s->unlogged_max_bytes};
    struct follow_parts parts = {.control = p->control,
                                 .feed = p->feed,
                                 .reader = p->reader,
                                 .snapship = p->snapship,
                                 .secret = p->feed_secret};

    p->adopt = adopt_create(&adopt, &adopt_events, p);
    p->follow = follow_create(&parts, &follow_events, p);
    role_init(&p->role, &role_actions, p, ROLE_RETRY_MS);
}
