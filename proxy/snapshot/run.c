#include "proxy/snapshot/run.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/snapshot/choice.h"
#include "proxy/snapshot/priority.h"
#include "proxy/snapshot/put.h"
#include "proxy/snapshot/room.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUN_TICK_MS = 20, RUN_ROOM_MS = 1000, RUN_STALE_RETRY_MS = 500, RUN_STALE_RETRIES = 20 };

enum run_step {
    RUN_IDLE,
    RUN_LOOK, /* the log nodes are waited for */
    RUN_LIST, /* … have been asked for their snapshots */
    RUN_MAKE,
    RUN_TRY,
    RUN_STORE,
    RUN_MARK,
    RUN_ENDED
};

struct run {
    struct run_config config;
    const struct run_events *events;
    void *ctx;
    enum run_step step;
    bool verify;
    uint64_t verify_offset;
    struct leg *leg;
    struct event *tick_event;
    int fd; /* the RDB; -1: none */
    uint64_t since_ns;
    struct put *put;   /* of that */
    uint64_t retry_ns; /* MARK: when it is tried again; 0: not so */
    unsigned stale;
    struct snapshot_info newest; /* take: the newest stored one when this began … */
    bool newest_known;           /* … if there is one */
    uint64_t begun_ns;           /* when MAKE began … */
    uint64_t begun_log_bytes;    /* … with so much log behind that one */
    bool hurry;
    uint64_t room_ns; /* when it was looked whether there is room */
    bool alone;       /* verify: nothing older is there to compare with */
    uint64_t on_to;   /* verify: the next place, where another snapshot is; 0: what is committed */
    uint64_t made_ms; /* wall time */
    struct leg_result made, tried;
    struct run_result result;
};

static void run_end(struct run *r)
{
    r->step = RUN_ENDED;
    (void)event_del(r->tick_event);
    lognodes_use(r->config.leg.nodes, NULL, NULL);
}

static void run_fail(struct run *r, const char *why)
{
    char text[LEG_WHY_MAX];

    (void)snprintf(text, sizeof text, "%s", why);
    run_end(r);
    r->events->failed(r->ctx, text);
}

static void run_to(struct run *r, enum run_step step)
{
    r->step = step;
    r->since_ns = clock_now_ns();
}

static const char *run_phase(const struct run *r)
{
    static const char *const names[] = {"idle", "look",  "look", "make",
                                        "try",  "store", "mark", "ended"};
    return names[r->step];
}

static void run_done(struct run *r)
{
    run_end(r);
    r->events->done(r->ctx, &r->result);
}

/* ---- storing and marking ---- */

static void run_says_listed(void *ctx, int err);
static void run_says_marked(void *ctx, int err);

static const struct lognodes_events run_nodes_events = {.listed = run_says_listed,
                                                        .marked = run_says_marked};

static void run_says_put(void *ctx)
{
    run_done(ctx);
}

static void run_says_not_put(void *ctx, const char *why)
{
    run_fail(ctx, why);
}

static void run_says_putting(void *ctx, uint64_t done, uint64_t total)
{
    struct run *r = ctx;
    r->events->progress(r->ctx, run_phase(r), "store", done, total);
}

static const struct put_events run_put_events = {run_says_put, run_says_not_put, run_says_putting};

static void run_store(struct run *r)
{
    struct snapshot_info *info = &r->result.info;
    const struct replay_point *at = &r->made.first;

    *info = (struct snapshot_info){.offset = at->offset,
                                   .term = at->term,
                                   .replid = at->replid,
                                   .size_bytes = r->made.rdb.size_bytes,
                                   .crc = r->made.rdb.crc,
                                   .chain_crc = at->chain_crc,
                                   .wall_ms = at->wall_ms,
                                   .keys = r->made.keys,
                                   .taken_ms = r->made_ms,
                                   .verified_ms = clock_wall_ms()};
    (void)snprintf(info->engine_version, sizeof info->engine_version, "%s", r->made.engine_version);
    run_to(r, RUN_STORE);
    put_start(r->put, r->fd, info);
}

static void run_list(struct run *r, enum run_step step)
{
    run_to(r, step);
    lognodes_use(r->config.leg.nodes, &run_nodes_events, r);
    catalogue_list(lognodes_catalogue(r->config.leg.nodes), clock_now_ns());
}

/* Lists once more: marks are made under the term that was told last. */
static void run_mark(struct run *r)
{
    r->result.info.verified_ms = clock_wall_ms();
    run_list(r, RUN_MARK);
}

static void run_says_marked(void *ctx, int err)
{
    struct run *r = ctx;
    struct catalogue *c = lognodes_catalogue(r->config.leg.nodes);

    if (err == ERR_OK) {
        run_done(r);
    } else if (err == ERR_STALE && ++r->stale < RUN_STALE_RETRIES) {
        r->retry_ns = clock_now_ns() + RUN_STALE_RETRY_MS * CLOCK_NS_PER_MS;
    } else {
        run_fail(r, err == ERR_REFUSED ? catalogue_refusal(c) : err_text(err));
    }
}

/* ---- legs ---- */

static void run_judge(struct run *r)
{
    const struct replay_point *a = &r->made.last, *b = &r->tried.last;
    char why[LEG_WHY_MAX];

    if (!r->alone && (a->offset != b->offset || a->chain_crc != b->chain_crc ||
                      strcmp(r->made.digest, r->tried.digest) != 0)) {
        (void)snprintf(why, sizeof why,
                       "the rehearsal failed: at offset %" PRIu64 " a Redis made from the snapshot "
                       "holds other data than one made from an older snapshot and the log",
                       b->offset);
        run_fail(r, why);
        return;
    }
    r->result.expires = r->made.expires;
    r->result.memory_bytes = r->tried.memory_bytes;
    r->result.tried_to = b->offset;
    r->result.rdb_ms = b->rdb_ms;
    r->result.log_ms = b->log_ms;
    r->result.log_bytes = b->log_bytes;
    if (r->verify) {
        run_mark(r);
    } else {
        run_store(r);
    }
}

static void run_try(struct run *r)
{
    struct leg_plan plan = {
        .base = {.fd = r->fd, .limit = UINT64_MAX}, .to = r->made.last.offset, .extract_fd = -1};

    plan.base.info = (struct snapshot_info){.offset = r->made.first.offset,
                                            .term = r->made.first.term,
                                            .replid = r->made.first.replid,
                                            .size_bytes = r->made.rdb.size_bytes,
                                            .crc = r->made.rdb.crc,
                                            .chain_crc = r->made.first.chain_crc};
    if (r->verify) {
        plan.base.limit = r->verify_offset;
    }
    run_to(r, RUN_TRY);
    leg_start(r->leg, &plan);
}

static void run_leg_done(void *ctx, const struct leg_result *result)
{
    struct run *r = ctx;

    if (r->step == RUN_MAKE) {
        r->made = *result;
        run_try(r);
        return;
    }
    r->tried = *result;
    if (r->verify && r->tried.first.base.offset != r->verify_offset) {
        run_fail(r, "the log nodes have no whole snapshot of that offset");
        return;
    }
    if (r->verify) {
        r->result.info = r->tried.first.base;
    }
    run_judge(r);
}

static void run_leg_failed(void *ctx, const char *why)
{
    run_fail(ctx, why);
}

static void run_leg_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct run *r = ctx;
    r->events->progress(r->ctx, run_phase(r), what, done, total);
}

static const struct leg_events run_leg_events = {run_leg_done, run_leg_failed, run_leg_progress};

/* Behind the newest one, by now. */
static uint64_t run_log_bytes(const struct run *r)
{
    struct lognodes_view view;

    lognodes_view(r->config.leg.nodes, &view);
    return view.commit > r->newest.offset ? view.commit - r->newest.offset : 0;
}

static void run_make(struct run *r, uint64_t to)
{
    struct leg_plan plan = {.base = {.fd = -1, .limit = UINT64_MAX},
                            .to = to,
                            .extract_fd = -1,
                            .on = true,
                            .on_to = r->on_to};

    if (r->verify) {
        plan.base.limit = to - 1; /* there is one */
    } else {
        r->fd = extract_open_file(r->config.folder);
        if (r->fd < 0) {
            run_fail(r, strerror(errno));
            return;
        }
        plan.extract_fd = r->fd;
        r->made_ms = clock_wall_ms();
    }
    run_to(r, RUN_MAKE);
    r->begun_ns = r->since_ns;
    r->begun_log_bytes = run_log_bytes(r);
    leg_start(r->leg, &plan);
}

/* ---- looking ---- */

/* Before anything is begun: false: there is no room, and it has failed. */
static bool run_has_room(struct run *r, uint64_t rdb_bytes)
{
    char why[ROOM_WHY_MAX];
    struct room room;

    r->room_ns = clock_now_ns();
    room_look(r->config.folder, &room);
    if (r->verify) {
        room.disk_bytes = ROOM_UNKNOWN; /* no file is made */
    }
    if (!room_is_enough(&room, rdb_bytes, r->config.memory_reserve_bytes, why)) {
        run_fail(r, why);
        return false;
    }
    return true;
}

/* While redis-servers of ours grow. */
static void run_watch_memory(struct run *r, uint64_t now_ns)
{
    char why[ROOM_WHY_MAX];
    struct room room;

    if ((r->step != RUN_MAKE && r->step != RUN_TRY) ||
        now_ns - r->room_ns < RUN_ROOM_MS * CLOCK_NS_PER_MS) {
        return;
    }
    r->room_ns = now_ns;
    room_look(r->config.folder, &room);
    room.disk_bytes = ROOM_UNKNOWN; /* the file itself finds out */
    if (!room_is_enough(&room, 0, r->config.memory_reserve_bytes, why)) {
        run_fail(r, why);
    }
}

static void run_listed_for_take(struct run *r, const struct catalogue_view *list, uint64_t commit)
{
    const struct catalogue_entry *newest =
        catalogue_newest(lognodes_catalogue(r->config.leg.nodes), UINT64_MAX);
    enum choice choice = choice_take(list, newest, lognodes_members(r->config.leg.nodes), commit);
    char why[LEG_WHY_MAX];

    if (newest != NULL) {
        r->newest = newest->info;
        r->newest_known = true;
    }
    if (choice == CHOICE_IS_THERE) {
        r->result.info = r->newest;
        run_done(r);
        return;
    }
    if (choice == CHOICE_LISTS_ARE_FULL) {
        (void)snprintf(why, sizeof why,
                       "the log nodes hold %d snapshots, and take no more: delete some, or keep "
                       "fewer (snapshot.keep, keep_age_ms, pitr_ms)",
                       (int)SNAPINFO_LIST_MAX);
        run_fail(r, why);
        return;
    }
    r->result.taken = true;
    if (run_has_room(r, newest != NULL ? newest->info.size_bytes : 0)) {
        run_make(r, commit);
    }
}

/* What stands below it is compared with it, at the place of the one above it if there is one. */
static void run_listed_for_verify(struct run *r, const struct catalogue_view *list, uint64_t commit)
{
    struct choice_trial trial;
    enum choice choice = choice_verify(list, r->verify_offset, &trial);

    if (choice != CHOICE_GO_ON) {
        run_fail(r, choice == CHOICE_NO_SUCH
                        ? "the log nodes have no snapshot of that offset"
                        : "that snapshot does not count: it was never verified");
        return;
    }
    r->alone = trial.alone;
    r->on_to = trial.on_to;
    r->result.taken = true;
    if (!run_has_room(r, trial.entry->info.size_bytes)) {
        return;
    }
    if (r->alone) {
        log_info("no older snapshot is there to compare it with: it is loaded, and the log behind "
                 "it must fit");
        r->made.last.offset = r->on_to != 0 ? r->on_to : commit;
        run_try(r);
    } else {
        run_make(r, r->verify_offset);
    }
}

static void run_says_listed(void *ctx, int err)
{
    struct run *r = ctx;
    struct catalogue_view list;
    struct lognodes_view view;

    if (err != ERR_OK) {
        run_fail(r, err_text(err));
        return;
    }
    catalogue_view(lognodes_catalogue(r->config.leg.nodes), &list);
    lognodes_view(r->config.leg.nodes, &view);
    if (r->step == RUN_MARK) {
        catalogue_verified(lognodes_catalogue(r->config.leg.nodes), clock_now_ns(), &r->result.info,
                           r->result.info.verified_ms);
    } else if (r->verify) {
        run_listed_for_verify(r, &list, view.commit);
    } else {
        run_listed_for_take(r, &list, view.commit > list.commit ? view.commit : list.commit);
    }
}

static void run_look(struct run *r, uint64_t now_ns)
{
    bool late = now_ns - r->since_ns > r->config.look_ms * CLOCK_NS_PER_MS;
    struct lognodes_view view;
    char why[LEG_WHY_MAX];

    lognodes_view(r->config.leg.nodes, &view);
    if (!view.known && late) {
        (void)snprintf(why, sizeof why, "%u of %u log nodes answer%s%s", view.answered, view.nodes,
                       view.refusal[0] != '\0' ? ": " : "", view.refusal);
        run_fail(r, why);
    } else if (view.known && (view.empty || view.commit == 0)) {
        run_fail(r, "the log has not begun yet: nobody has led");
    } else if (view.known && view.commit < r->config.reach && late) {
        (void)snprintf(why, sizeof why,
                       "the log nodes know of commits up to offset %" PRIu64
                       " only, and not to %" PRIu64,
                       view.commit, r->config.reach);
        run_fail(r, why);
    } else if (view.known && view.commit >= r->config.reach) {
        run_list(r, RUN_LIST);
    }
}

/* The newest one is far behind: what is under way may take all that it can get. */
static void run_look_at_log(struct run *r)
{
    if (r->hurry || r->verify || !r->newest_known || r->step < RUN_MAKE || r->step > RUN_STORE) {
        return;
    }
    const struct hurry_view v = {
        .size_bytes = r->newest.size_bytes,
        .log_bytes = run_log_bytes(r),
        .begun_log_bytes = r->begun_log_bytes,
        .spent_ns = clock_now_ns() - r->begun_ns,
        .nodes = (unsigned)__builtin_popcount(lognodes_members(r->config.leg.nodes))};
    if (hurry_is_due(&r->config.hurry, &v)) {
        r->hurry = true;
        log_info("%" PRIu64 " bytes of log are behind the newest snapshot of %" PRIu64
                 " bytes: this one hurries",
                 v.log_bytes, v.size_bytes);
        priority_take_back(0);
        leg_hurry(r->leg);
        put_hurry(r->put);
    }
}

static void run_tick_cb(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    uint64_t now_ns = clock_now_ns();

    (void)fd;
    (void)what;
    run_look_at_log(r);
    run_watch_memory(r, now_ns);
    if (r->step == RUN_LOOK) {
        run_look(r, now_ns);
    } else if (r->step == RUN_STORE) {
        put_tick(r->put, now_ns);
    } else if (r->step == RUN_MARK && r->retry_ns != 0 && now_ns >= r->retry_ns) {
        r->retry_ns = 0;
        run_list(r, RUN_MARK);
    }
}

/* ---- public ---- */

struct run *run_create(const struct run_config *config, const struct run_events *events, void *ctx)
{
    struct run *r = mem_calloc(1, sizeof *r);
    const struct put_config put = {.nodes = config->leg.nodes,
                                   .patience_ms = config->store_ms,
                                   .rate_max_bytes = config->store_rate_max_bytes};

    r->config = *config;
    r->events = events;
    r->ctx = ctx;
    r->fd = -1;
    r->leg = leg_create(&config->leg, &run_leg_events, r);
    r->put = put_create(&put, &run_put_events, r);
    r->tick_event = event_new(config->leg.base, -1, EV_PERSIST, run_tick_cb, r);
    MUST(r->tick_event != NULL);
    return r;
}

void run_destroy(struct run *r)
{
    leg_destroy(r->leg);
    put_destroy(r->put);
    event_free(r->tick_event);
    if (r->fd >= 0) {
        (void)close(r->fd);
    }
    free(r);
}

static void run_start(struct run *r)
{
    struct timeval tick = {.tv_usec = RUN_TICK_MS * 1000};

    MUST(r->step == RUN_IDLE);
    run_to(r, RUN_LOOK);
    MUST(event_add(r->tick_event, &tick) == 0);
}

void run_take(struct run *r)
{
    run_start(r);
}

void run_verify(struct run *r, uint64_t offset)
{
    r->verify = true;
    r->verify_offset = offset;
    run_start(r);
}
