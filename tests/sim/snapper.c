#include "tests/sim/snapper.h"

#include "common/crc32c.h"
#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SNAPPER_TICK_MS = 20,
    SNAPPER_ASK_MS = 200,
    SNAPPER_FRESH_MS = 3000,
    SNAPPER_RETRY_MS = 50,
    SNAPPER_STALE_MS = 500,
    SNAPPER_STALE_RETRIES = 20,
    SNAPPER_PATIENCE_MS = 3000,
    SNAPPER_AWAY_MS = 300,
    SNAPPER_READ_MAX_BYTES = 2048,
    SNAPPER_PIECE_LARGE_BYTES = 8192,
    SNAPPER_PAD_LARGE_BYTES = 300 * 1024, /* more than a chunk that has a checksum of its own */
};

static struct snapper_ctx {
    struct world *world;
    unsigned snapper;
} snapper_ctxs[SIM_SNAPPERS_MAX];

static struct snapper *snapper_of(struct world *w, unsigned snapper)
{
    return &w->snappers[snapper];
}

static uint64_t snapper_clock(const struct world *w, unsigned snapper)
{
    return world_clock(w, WORLD_SNAPPER + snapper);
}

static bool snapper_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    const struct snapper_ctx *c = ctx;
    struct world *w = c->world;
    unsigned proc = WORLD_SNAPPER + c->snapper;

    if (node >= w->nodes_count) {
        return false;
    }
    if (w->faults.on && w->faults.busy_percent > 0 && world_chance(w, w->faults.busy_percent)) {
        world_later(w, world_below(w, world_ms(20)), EVENT_LINK_READY, proc, node, 0);
        return false;
    }
    network_post(w, network_encode(w, proc, node, msg), w->now);
    return true;
}

/* --- how a run ends --- */

static void snapper_rest(struct world *w, unsigned snapper, const char *why)
{
    struct snapper *s = snapper_of(w, snapper);

    if (why != NULL) {
        world_trace(w, "snapshotter %u: %s", snapper, why);
    }
    if (s->step >= SNAPPER_STORE && why != NULL) {
        world_count(w, COUNT_SNAPS_FAILED);
    }
    reader_stop(s->reader);
    snapship_stop(s->ship);
    catalogue_stop(s->catalogue);
    snapship_nodes(s->ship, s->members);
    s->step = SNAPPER_REST;
    s->due_at = w->now + world_below(w, w->faults.on ? w->faults.snapper_rest_ns : world_ms(500));
}

/* --- who counts, and how things stand --- */

static void snapper_take_conf(struct world *w, unsigned snapper, const struct wire_conf *wire)
{
    struct snapper *s = snapper_of(w, snapper);
    struct conf conf;
    uint32_t members = 0;
    char name[16];

    if (wire->size == 0 || conf_decode(wire->bytes, wire->size, &conf) != ERR_OK ||
        (s->conf_known && conf_id_compare(conf.id, s->conf.id) < 0)) {
        return;
    }
    s->conf = conf;
    s->conf_known = true;
    for (unsigned i = 0; i < w->nodes_count; i++) {
        node_name(i, name);
        members |= conf_find_node(&conf, name) != NULL ? 1u << i : 0;
    }
    if (members != 0 && members != s->members) {
        s->members = members;
        reader_nodes(s->reader, snapper_clock(w, snapper), members);
        snapship_nodes(s->ship, members);
        catalogue_nodes(s->catalogue, members);
    }
}

static void snapper_take_status(struct world *w, unsigned snapper, unsigned node,
                                const struct wire_msg *msg)
{
    const struct wire_hello_reply *m = &msg->status_reply.node;
    struct snapper_node *n = &snapper_of(w, snapper)->nodes[node];

    n->answered_at = w->now;
    n->term = msg->term.n;
    n->commit = m->log.empty ? 0 : m->log.commit;
    snapper_take_conf(w, snapper, &m->conf);
}

static bool snapper_answers(const struct world *w, const struct snapper *s, unsigned node)
{
    uint64_t at = s->nodes[node].answered_at;
    return at != 0 && w->now - at < world_ms(SNAPPER_FRESH_MS);
}

static uint64_t snapper_commit(const struct world *w, const struct snapper *s)
{
    uint64_t commit = 0;

    for (unsigned i = 0; i < w->nodes_count; i++) {
        bool counts = (s->members >> i & 1) != 0 && snapper_answers(w, s, i);
        commit = counts && s->nodes[i].commit > commit ? s->nodes[i].commit : commit;
    }
    return commit;
}

static bool snapper_knows(const struct world *w, const struct snapper *s)
{
    unsigned answered = 0;

    for (unsigned i = 0; i < w->nodes_count; i++) {
        answered += (s->members >> i & 1) != 0 && snapper_answers(w, s, i);
    }
    return s->conf_known && answered > (unsigned)__builtin_popcount(s->members) / 2;
}

static void snapper_ask(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);

    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct wire_msg msg = {.type = WIRE_STATUS,
                                     .channel = WIRE_LOOKOUT,
                                     .log_id = 1,
                                     .session = s->session,
                                     .seq = ++s->seq};
        (void)snapper_send(&snapper_ctxs[snapper], i, &msg);
    }
}

/* --- storing --- */

static void snapper_upload(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);
    struct term term = {0};

    for (unsigned i = 0; i < w->nodes_count; i++) {
        bool counts = (s->members >> i & 1) != 0 && snapper_answers(w, s, i);
        term.n = counts && s->nodes[i].term > term.n ? s->nodes[i].term : term.n;
    }
    s->due_at = UINT64_MAX;
    s->moved_at = w->now;
    s->moved_to = 0;
    s->shipped = false;
    snapship_nodes(s->ship, s->turn);
    snapship_upload(s->ship, snapper_clock(w, snapper), term, &s->info);
}

static void snapper_stored(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);

    if (s->stored <= s->of / 2) {
        snapper_rest(w, snapper, "too few log nodes take its snapshot");
        return;
    }
    world_count(w, COUNT_SNAPS_SHIPPED);
    world_trace(w, "snapshotter %u has stored the snapshot at %" PRIu64 " on %u nodes", snapper,
                s->info.offset, s->stored);
    if (s->wrong || s->info.verified_ms > 0) {
        snapper_rest(w, snapper, NULL);
        return;
    }
    snapship_stop(s->ship);
    s->step = SNAPPER_LIST_MARK;
    s->due_at = UINT64_MAX;
    catalogue_list(s->catalogue, snapper_clock(w, snapper));
}

/* On one node after the other, or on all at once. Who is away is left out. */
static void snapper_store_next(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);

    while (s->to_store != 0) {
        s->turn = s->all ? s->to_store : s->to_store & -s->to_store;
        s->to_store &= ~s->turn;
        for (unsigned i = 0; i < w->nodes_count; i++) {
            s->turn &= snapper_answers(w, s, i) ? UINT32_MAX : ~(1u << i);
        }
        if (s->turn != 0) {
            snapper_upload(w, snapper);
            return;
        }
    }
    snapper_stored(w, snapper);
}

static bool snapper_says_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    const struct snapper_ctx *c = ctx;
    const struct snapper *s = snapper_of(c->world, c->snapper);

    if (world_chance(c->world, 5)) {
        return true; /* at its rate: asked again at the next tick */
    }
    MUST(at + size <= s->file.len);
    buf_append(out, buf_head(&s->file) + at, size);
    return true;
}

static void snapper_says_shipped(void *ctx, int err)
{
    const struct snapper_ctx *c = ctx;
    struct snapper *s = snapper_of(c->world, c->snapper);

    if (err == ERR_OK && __builtin_popcount(s->turn) > 1) {
        s->shipped = true;
    } else if (err == ERR_OK) {
        s->stored++;
        snapper_store_next(c->world, c->snapper);
    } else if (err == ERR_STALE && ++s->stale < SNAPPER_STALE_RETRIES) {
        s->due_at = c->world->now + world_ms(SNAPPER_STALE_MS);
    } else {
        snapper_rest(c->world, c->snapper, err_text(err));
    }
}

/* Whose turn it is has it, or takes nothing for too long. */
static void snapper_watch_store(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);
    bool answers = false;

    if (s->due_at != UINT64_MAX) {
        if (w->now >= s->due_at) {
            snapper_upload(w, snapper);
        }
        return;
    }
    snapship_tick(s->ship, snapper_clock(w, snapper)); /* sends what it may now */
    if (s->step != SNAPPER_STORE || s->due_at != UINT64_MAX) {
        return;
    }
    if (snapship_taken(s->ship) != s->moved_to) {
        s->moved_to = snapship_taken(s->ship);
        s->moved_at = w->now;
    }
    for (unsigned i = 0; i < w->nodes_count; i++) {
        answers = answers || ((s->turn >> i & 1) != 0 && snapper_answers(w, s, i));
    }
    unsigned full = (unsigned)__builtin_popcount(snapship_full(s->ship));
    unsigned done = snapship_stored(s->ship) + full;
    bool over = (full > 0 && done == (unsigned)__builtin_popcount(s->turn)) ||
                (s->shipped && !snapship_active(s->ship)) ||
                w->now - s->moved_at > world_ms(answers ? SNAPPER_PATIENCE_MS : SNAPPER_AWAY_MS);
    if (over) {
        s->stored += snapship_stored(s->ship);
        snapper_store_next(w, snapper);
    }
}

/* --- making --- */

/* The dataset is taken out of its Redis, into a file. */
static void snapper_make(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);
    bool large = w->faults.piece_max_bytes >= SNAPPER_PIECE_LARGE_BYTES && world_chance(w, 20);
    size_t pad = large ? SNAPPER_PAD_LARGE_BYTES : (size_t)world_below(w, 3000);

    bool begin = s->to == s->base.offset; /* as right as what is there: it may take its place */

    s->wrong = !begin && world_chance(w, 10);
    s->kv.birth += s->wrong;
    s->info = (struct snapshot_info){.offset = s->to,
                                     .term = {s->term},
                                     .chain_crc = s->chain_crc,
                                     .wall_ms = snaps_wall_ms(w),
                                     .taken_ms = snaps_wall_ms(w),
                                     .engine_version = "7.0.15"};
    memset(s->info.replid.hex, 'a', sizeof s->info.replid.hex);
    buf_clear(&s->file);
    snaps_encode(&s->kv, s->to, pad, &s->file);
    snaps_add(w, &s->info, &s->file, s->wrong);
    world_count(w, COUNT_SNAPS_MADE);
    s->info.verified_ms = s->wrong || (!begin && world_chance(w, 30)) ? 0 : snaps_wall_ms(w);
    if (w->faults.on && world_chance(w, 8)) {
        world_count(w, FAULT_FILE_ROTS);
        buf_head(&s->file)[world_below(w, s->file.len)] ^= (uint8_t)(1u << world_below(w, 8));
    }
    s->step = SNAPPER_STORE;
    s->to_store = s->members;
    s->of = (unsigned)__builtin_popcount(s->members);
    s->stored = s->stale = 0;
    s->all = world_chance(w, 40);
    snapper_store_next(w, snapper);
}

/* Its Redis stands where it was to be brought: it must hold what the log makes. */
static void snapper_reached(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);
    struct truth *t = &w->truth;

    world_count(w, COUNT_RESTORES);
    if (!kv_apply(&s->kv, buf_head(&s->log), s->log.len) || !truth_state_at(t, s->to, &t->lookup) ||
        !kv_equal(&t->lookup, &s->kv)) {
        truth_violation(w, I15_RESTORABLE,
                        "snapshotter %u restores %" PRIu64 " from the snapshot at %" PRIu64
                        ", and that is not what the log makes",
                        snapper, s->to, s->base.offset);
        return;
    }
    world_trace(w, "snapshotter %u restores %" PRIu64 " from the snapshot at %" PRIu64, snapper,
                s->to, s->base.offset);
    if (!s->restore) {
        snapper_make(w, snapper);
        return;
    }
    s->restored = s->restored || (s->told_restore && s->to == truth_committed_end(t));
    snapper_rest(w, snapper, NULL);
}

static void snapper_says_record(void *ctx, const struct record *rec)
{
    const struct snapper_ctx *c = ctx;

    snapper_of(c->world, c->snapper)->term = rec->term.n;
}

static void snapper_says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    const struct snapper_ctx *c = ctx;
    struct snapper *s = snapper_of(c->world, c->snapper);

    MUST(offset == s->base.offset + s->log.len);
    s->chain_crc = crc32c_extend(s->chain_crc, bytes, size);
    buf_append(&s->log, bytes, size);
    s->moved_at = c->world->now;
}

static void snapper_says_done(void *ctx)
{
    const struct snapper_ctx *c = ctx;

    snapper_reached(c->world, c->snapper);
}

static void snapper_says_failed(void *ctx, int err)
{
    const struct snapper_ctx *c = ctx;

    world_count(c->world, COUNT_SNAPS_GIVEN_UP);
    snapper_rest(c->world, c->snapper, err_text(err));
}

/* --- the base --- */

static void snapper_says_found(void *ctx, const struct snapshot_info *info)
{
    const struct snapper_ctx *c = ctx;
    struct snapper *s = snapper_of(c->world, c->snapper);

    s->base = *info;
    buf_clear(&s->bytes);
}

static void snapper_says_bytes(void *ctx, const uint8_t *bytes, size_t size)
{
    const struct snapper_ctx *c = ctx;
    struct snapper *s = snapper_of(c->world, c->snapper);

    buf_append(&s->bytes, bytes, size);
    s->moved_at = c->world->now;
}

static void snapper_says_fetched(void *ctx, int err)
{
    const struct snapper_ctx *c = ctx;
    struct world *w = c->world;
    struct snapper *s = snapper_of(w, c->snapper);
    uint64_t offset = 0;

    if (err != ERR_OK) {
        world_count(w, COUNT_SNAPS_GIVEN_UP);
        snapper_rest(w, c->snapper, err_text(err));
        return;
    }
    snaps_check_use(w, "a snapshotter", &s->base, buf_head(&s->bytes), s->bytes.len);
    if (world_failed(w) || !snaps_decode(buf_head(&s->bytes), s->bytes.len, &offset, &s->kv)) {
        return;
    }
    buf_clear(&s->log);
    s->term = s->base.term.n;
    s->chain_crc = s->base.chain_crc;
    if (offset == s->to) {
        snapper_reached(w, c->snapper);
        return;
    }
    struct reader_range range = {
        .from = offset, .to = s->to, .chain_known = true, .chain_crc = s->base.chain_crc};
    s->step = SNAPPER_REPLAY;
    reader_start(s->reader, snapper_clock(w, c->snapper), &range);
    reader_room(s->reader, snapper_clock(w, c->snapper), SIZE_MAX / 2);
}

/* --- looking --- */

static void snapper_plan(struct world *w, unsigned snapper, const struct catalogue_view *view)
{
    struct snapper *s = snapper_of(w, snapper);
    const struct catalogue_entry *newest = catalogue_newest(s->catalogue, UINT64_MAX);
    uint64_t commit = snapper_commit(w, s);

    commit = view->commit > commit ? view->commit : commit;
    s->restore = s->told_restore || world_chance(w, 20);
    s->to = commit;
    if (s->restore && !s->told_restore && view->begin < commit && world_chance(w, 70)) {
        /* Some moment: what was read up to there must end a unit, so it is one that was. */
        s->to = truth_moment(w, view->begin, commit);
    }
    if ((commit == 0 && !s->told_restore) ||
        (!s->restore && newest != NULL && newest->info.offset >= commit)) {
        snapper_rest(w, snapper, NULL);
        return;
    }
    s->step = SNAPPER_FETCH;
    s->moved_at = w->now;
    snapship_nodes(s->ship, s->members);
    snapship_download(s->ship, snapper_clock(w, snapper), (struct term){0}, s->to, 0);
    snapship_room(s->ship, snapper_clock(w, snapper), SIZE_MAX / 2);
}

static void snapper_says_listed(void *ctx, int err)
{
    const struct snapper_ctx *c = ctx;
    struct world *w = c->world;
    struct snapper *s = snapper_of(w, c->snapper);
    struct catalogue_view view;

    if (err != ERR_OK) {
        snapper_rest(w, c->snapper, err_text(err));
        return;
    }
    catalogue_view(s->catalogue, &view);
    if (s->step == SNAPPER_LIST) {
        snapper_plan(w, c->snapper, &view);
    } else {
        s->step = SNAPPER_MARK;
        catalogue_verified(s->catalogue, snapper_clock(w, c->snapper), &s->info, snaps_wall_ms(w));
    }
}

static void snapper_says_marked(void *ctx, int err)
{
    const struct snapper_ctx *c = ctx;
    struct world *w = c->world;
    struct snapper *s = snapper_of(w, c->snapper);

    if (err == ERR_STALE && ++s->stale < SNAPPER_STALE_RETRIES) {
        s->step = SNAPPER_LIST_MARK;
        s->due_at = w->now + world_ms(SNAPPER_STALE_MS);
    } else {
        snapper_rest(w, c->snapper, err != ERR_OK ? err_text(err) : NULL);
    }
}

void snapper_restore(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);

    s->told_restore = true;
    s->restored = false;
    snapper_rest(w, snapper, "is told to restore all that is committed");
    s->due_at = w->now;
}

/* --- time and messages --- */

static void snapper_schedule(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);
    uint64_t next = w->now + world_ms(SNAPPER_TICK_MS);

    if (s->step == SNAPPER_REST) {
        next = s->due_at < s->ask_at ? s->due_at : s->ask_at;
        next = next < w->now + CLOCK_NS_PER_MS ? w->now + CLOCK_NS_PER_MS : next;
    }
    if (s->tick_at == 0 || next < s->tick_at) {
        s->tick_at = next;
        world_later(w, next - w->now, EVENT_SNAPPER_TICK, WORLD_SNAPPER + snapper, 0, next);
    }
}

static void snapper_step(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);
    uint64_t now = snapper_clock(w, snapper);

    if (s->step == SNAPPER_REST && w->now >= s->due_at && snapper_knows(w, s)) {
        s->step = SNAPPER_LIST;
        s->due_at = UINT64_MAX;
        catalogue_list(s->catalogue, now);
    } else if (s->step == SNAPPER_STORE) {
        snapper_watch_store(w, snapper);
    } else if (s->step == SNAPPER_LIST_MARK && w->now >= s->due_at) {
        s->due_at = UINT64_MAX;
        catalogue_list(s->catalogue, now);
    } else if ((s->step == SNAPPER_FETCH || s->step == SNAPPER_REPLAY) &&
               w->now - s->moved_at > 2 * world_ms(SNAPPER_PATIENCE_MS)) {
        snapper_rest(w, snapper, "nobody gives what it asks for");
    }
}

static void snapper_tick(struct world *w, unsigned snapper, uint64_t arg)
{
    struct snapper *s = snapper_of(w, snapper);
    uint64_t now = snapper_clock(w, snapper);

    s->tick_at = s->tick_at == arg ? 0 : s->tick_at;
    if (w->now >= s->ask_at) {
        s->ask_at = w->now + world_ms(SNAPPER_ASK_MS);
        snapper_ask(w, snapper);
    }
    if (reader_next_tick_ns(s->reader) <= now) {
        reader_tick(s->reader, now);
    }
    if (snapship_next_tick_ns(s->ship) <= now) {
        snapship_tick(s->ship, now);
    }
    if (catalogue_next_tick_ns(s->catalogue) <= now) {
        catalogue_tick(s->catalogue, now);
    }
    snapper_step(w, snapper);
}

void snapper_link(struct world *w, unsigned snapper, unsigned node, bool up)
{
    struct snapper *s = snapper_of(w, snapper);
    uint64_t now = snapper_clock(w, snapper);

    reader_link_up(s->reader, now, node, up);
    snapship_link_up(s->ship, now, node, up);
    catalogue_link_up(s->catalogue, now, node, up);
    snapper_schedule(w, snapper);
}

void snapper_message(struct world *w, unsigned snapper, unsigned node, const struct wire_msg *msg)
{
    struct snapper *s = snapper_of(w, snapper);
    uint64_t now = snapper_clock(w, snapper);

    if (msg->channel == WIRE_READER) {
        reader_receive(s->reader, now, node, msg);
    } else if (msg->channel == WIRE_SNAPSHOT) {
        snapship_receive(s->ship, now, node, msg);
        catalogue_receive(s->catalogue, now, node, msg);
    } else if (msg->session == s->session && msg->type == WIRE_STATUS_REPLY) {
        snapper_take_status(w, snapper, node, msg);
    }
    snapper_schedule(w, snapper);
}

void snapper_event(struct world *w, unsigned snapper, const struct event *e)
{
    struct snapper *s = snapper_of(w, snapper);
    uint64_t now = snapper_clock(w, snapper);

    if (e->kind == EVENT_LINK_UP) {
        snapper_link(w, snapper, e->peer, true);
    } else if (e->kind == EVENT_LINK_READY) {
        reader_link_ready(s->reader, now, e->peer);
        snapship_link_ready(s->ship, now, e->peer);
        catalogue_link_ready(s->catalogue, now, e->peer);
    } else {
        snapper_tick(w, snapper, e->arg);
    }
    snapper_schedule(w, snapper);
}

/* --- its life --- */

void snapper_init(struct world *w, unsigned snapper)
{
    snapper_ctxs[snapper] = (struct snapper_ctx){w, snapper};
}

static void snapper_stop(struct snapper *s)
{
    if (s->reader == NULL) {
        return;
    }
    reader_destroy(s->reader);
    snapship_destroy(s->ship);
    catalogue_destroy(s->catalogue);
    s->reader = NULL;
    s->ship = NULL;
    s->catalogue = NULL;
    buf_release(&s->bytes);
    buf_release(&s->log);
    buf_release(&s->file);
}

void snapper_fini(struct world *w, unsigned snapper)
{
    snapper_stop(snapper_of(w, snapper));
}

static void snapper_create(struct world *w, unsigned snapper)
{
    static const struct reader_events reader_events = {.send = snapper_send,
                                                       .record = snapper_says_record,
                                                       .data = snapper_says_data,
                                                       .done = snapper_says_done,
                                                       .failed = snapper_says_failed};
    static const struct snapship_events ship_events = {.send = snapper_send,
                                                       .read = snapper_says_read,
                                                       .shipped = snapper_says_shipped,
                                                       .found = snapper_says_found,
                                                       .data = snapper_says_bytes,
                                                       .fetched = snapper_says_fetched};
    static const struct catalogue_events catalogue_events = {
        .send = snapper_send, .listed = snapper_says_listed, .done = snapper_says_marked};
    struct snapper *s = snapper_of(w, snapper);
    unsigned inflight = 1 + (unsigned)world_below(w, 4);
    struct reader_config reader = {.log_id = 1,
                                   .node_count = w->seeds_count,
                                   .session = random_next(&w->random),
                                   .read_max_bytes = SNAPPER_READ_MAX_BYTES,
                                   .inflight_max = inflight,
                                   .timeout_ms = w->lease_ms,
                                   .retry_ms = SNAPPER_RETRY_MS};
    struct snapship_config ship = {.log_id = 1,
                                   .node_count = w->seeds_count,
                                   .session = random_next(&w->random),
                                   .piece_max_bytes = w->faults.piece_max_bytes,
                                   .inflight_max = inflight,
                                   .timeout_ms = w->lease_ms,
                                   .retry_ms = SNAPPER_RETRY_MS};
    struct catalogue_config catalogue = {.log_id = 1,
                                         .node_count = w->seeds_count,
                                         .session = random_next(&w->random),
                                         .timeout_ms = w->lease_ms,
                                         .retry_ms = SNAPPER_RETRY_MS};

    s->session = random_next(&w->random);
    s->reader = reader_create(&reader, &reader_events, &snapper_ctxs[snapper]);
    s->ship = snapship_create(&ship, &ship_events, &snapper_ctxs[snapper]);
    s->catalogue = catalogue_create(&catalogue, &catalogue_events, &snapper_ctxs[snapper]);
}

void snapper_start(struct world *w, unsigned snapper)
{
    struct snapper *s = snapper_of(w, snapper);
    bool told = s->told_restore;

    *s = (struct snapper){.told_restore = told};
    s->members = (1u << w->seeds_count) - 1;
    s->step = SNAPPER_REST;
    s->due_at = w->now + world_below(w, w->faults.snapper_rest_ns + 1);
    s->ask_at = w->now;
    snapper_create(w, snapper);
    for (unsigned i = 0; i < w->nodes_count; i++) {
        network_reconnect(w, SIM_PAIRS_MAX + snapper, i);
        snapper_link(w, snapper, i, true);
    }
}

void snapper_crash(struct world *w, unsigned snapper, uint64_t back_ns)
{
    world_trace(w, "snapshotter %u dies", snapper);
    snapper_stop(snapper_of(w, snapper));
    for (unsigned i = 0; i < w->nodes_count; i++) {
        if (world_chance(w, 50)) {
            node_link_closed(w, i, WORLD_SNAPPER + snapper);
        }
    }
    world_died(w, WORLD_SNAPPER + snapper, back_ns);
}
