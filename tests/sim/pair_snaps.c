#include "tests/sim/pair_snaps.h"

#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <string.h>

enum { PAIR_SNAPS_RETRY_MS = 50 };

static struct pair_snaps *snaps_of(struct world *w, unsigned pair)
{
    return &w->pairs[pair].snaps;
}

static uint64_t snaps_clock(const struct world *w, unsigned pair)
{
    return world_clock(w, WORLD_PAIR + pair);
}

/* --- the ship --- */

static bool snaps_says_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    const struct pair_ctx *c = ctx;
    const struct pair_snaps *p = snaps_of(c->world, c->pair);

    MUST(at + size <= p->bytes.len);
    buf_append(out, buf_head(&p->bytes) + at, size);
    return true;
}

static void snaps_says_shipped(void *ctx, int err)
{
    const struct pair_ctx *c = ctx;

    pair_snaps_shipped(c->world, c->pair, err);
}

static void snaps_says_found(void *ctx, const struct snapshot_info *info)
{
    const struct pair_ctx *c = ctx;
    struct pair_snaps *p = snaps_of(c->world, c->pair);

    p->info = *info;
    buf_clear(&p->bytes);
}

static void snaps_says_data(void *ctx, const uint8_t *bytes, size_t size)
{
    const struct pair_ctx *c = ctx;

    buf_append(&snaps_of(c->world, c->pair)->bytes, bytes, size);
}

static void snaps_says_fetched(void *ctx, int err)
{
    const struct pair_ctx *c = ctx;
    struct pair_snaps *p = snaps_of(c->world, c->pair);

    if (err == ERR_OK) {
        snaps_check_use(c->world, "a proxy", &p->info, buf_head(&p->bytes), p->bytes.len);
    } else {
        world_count(c->world, COUNT_SNAPS_GIVEN_UP);
    }
    pair_snaps_fetched(c->world, c->pair, err);
}

static void snaps_says_repaired(void *ctx, int err)
{
    const struct pair_ctx *c = ctx;

    c->world->result->counts[COUNT_SNAPS_REPAIRED] += err == ERR_OK;
    snaps_of(c->world, c->pair)->no_room = err == ERR_NO_SPACE;
}

void pair_snaps_adopt(struct world *w, unsigned pair)
{
    struct pair_snaps *p = snaps_of(w, pair);
    const struct redis *r = &w->pairs[pair].redis;

    p->info = (struct snapshot_info){.offset = r->offset,
                                     .term = {proposer_term(w->pairs[pair].proposer).n},
                                     .wall_ms = snaps_wall_ms(w),
                                     .taken_ms = snaps_wall_ms(w),
                                     .engine_version = "7.0.15"};
    memset(p->info.replid.hex, 'a', sizeof p->info.replid.hex);
    buf_clear(&p->bytes);
    snaps_encode(&r->kv, r->offset, (size_t)world_below(w, 2000), &p->bytes);
    snaps_add(w, &p->info, &p->bytes, false);
    snapship_found(p->ship, snaps_clock(w, pair), proposer_term(w->pairs[pair].proposer), &p->info);
}

void pair_snaps_fetch(struct world *w, unsigned pair, uint64_t limit, unsigned node)
{
    struct pair_snaps *p = snaps_of(w, pair);

    snapship_download(p->ship, snaps_clock(w, pair), proposer_term(w->pairs[pair].proposer), limit,
                      node);
    snapship_room(p->ship, snaps_clock(w, pair), SIZE_MAX / 2);
}

/* --- what is kept --- */

static bool snaps_leads(const struct world *w, unsigned pair)
{
    const struct pair *p = &w->pairs[pair];

    return p->state == PAIR_LEAD && p->commit_known &&
           proposer_state(p->proposer) == PROPOSER_LEADING;
}

static void snaps_delete_next(struct world *w, unsigned pair)
{
    struct pair_snaps *p = snaps_of(w, pair);

    if (snaps_leads(w, pair) && p->deleted < p->plan.delete_count) {
        catalogue_delete(p->catalogue, snaps_clock(w, pair), &p->plan.deletes[p->deleted++]);
    }
}

static void snaps_says_done(void *ctx, int err)
{
    const struct pair_ctx *c = ctx;

    if (err != ERR_STALE) {
        snaps_delete_next(c->world, c->pair);
    }
}

static void snaps_repair(struct world *w, unsigned pair)
{
    struct pair_snaps *p = snaps_of(w, pair);
    const struct proposer *proposer = w->pairs[pair].proposer;
    bool same = p->plan.repair && p->lacking_offset == p->plan.by.offset;

    p->lacking_rounds = p->plan.repair ? (same ? p->lacking_rounds + 1 : 1) : 0;
    p->lacking_offset = p->plan.by.offset;
    p->no_room = p->no_room && p->plan.repair;
    if (p->lacking_rounds >= w->faults.retain_rounds && !snapship_active(p->ship)) {
        snapship_repair(p->ship, snaps_clock(w, pair), proposer_term(proposer),
                        proposer_commit(proposer));
    }
}

/* Where the Redises of other proxies are that are being made anew. */
static void snaps_look_for_rebuilds(const struct world *w, unsigned pair,
                                    struct retention_config *config)
{
    for (unsigned i = 0; i < w->pairs_count && !w->pairs[pair].snaps.no_room; i++) {
        if (i != pair && w->pairs[i].state == PAIR_BRING) {
            config->needed[config->needed_count++] = w->pairs[i].redis.offset;
        }
    }
}

static void snaps_says_listed(void *ctx, int err)
{
    const struct pair_ctx *c = ctx;
    struct world *w = c->world;
    struct pair *pair = &w->pairs[c->pair];
    struct pair_snaps *p = &pair->snaps;
    struct retention_config config = w->faults.retain;
    struct catalogue_view view;

    if (err != ERR_OK || !snaps_leads(w, c->pair)) {
        return;
    }
    catalogue_view(p->catalogue, &view);
    if (view.term.n > proposer_term(pair->proposer).n) {
        return;
    }
    snaps_look_for_rebuilds(w, c->pair, &config);
    retention_plan(&config, &view, snaps_wall_ms(w), &p->plan);
    p->deleted = 0;
    if (p->plan.trim &&
        proposer_trim(pair->proposer, snaps_clock(w, c->pair), p->plan.to, &p->plan.by)) {
        world_trace(w, "pair %u has the log trimmed to %" PRIu64 ", by the snapshot at %" PRIu64,
                    c->pair, p->plan.to, p->plan.by.offset);
        w->truth.trimmed_to = p->plan.to > w->truth.trimmed_to ? p->plan.to : w->truth.trimmed_to;
    }
    snaps_repair(w, c->pair);
    if (p->plan.mark) {
        catalogue_verified(p->catalogue, snaps_clock(w, c->pair), &p->plan.marked,
                           p->plan.marked.verified_ms);
    } else {
        snaps_delete_next(w, c->pair);
    }
}

/* A node that has none at all gets one soon. */
static void snaps_repair_empty(struct world *w, unsigned pair)
{
    struct pair *p = &w->pairs[pair];
    bool some = false, lacking = false;

    if (snapship_active(p->snaps.ship)) {
        return;
    }
    for (unsigned i = 0; i < proposer_node_count(p->proposer); i++) {
        struct proposer_node_info node;
        proposer_node(p->proposer, i, &node);
        bool reachable =
            node.state == PROPOSER_NODE_STREAMING || node.state == PROPOSER_NODE_CATCHUP;
        some = some || node.snapshot != WIRE_NO_SNAPSHOT;
        lacking = lacking || (reachable && node.snapshot == WIRE_NO_SNAPSHOT);
    }
    if (some && lacking) {
        snapship_repair(p->snaps.ship, snaps_clock(w, pair), proposer_term(p->proposer),
                        proposer_commit(p->proposer));
    }
}

void pair_snaps_turn(struct world *w, unsigned pair)
{
    struct pair *p = &w->pairs[pair];

    snapship_nodes(p->snaps.ship, proposer_fed(p->proposer));
    if (p->state != PAIR_LEAD) {
        catalogue_stop(p->snaps.catalogue);
        p->snaps.round_at = w->now + w->faults.retain_ns;
        p->snaps.lacking_rounds = 0;
        return;
    }
    snaps_repair_empty(w, pair);
    if (!catalogue_active(p->snaps.catalogue) && w->now >= p->snaps.round_at) {
        p->snaps.round_at = w->now + w->faults.retain_ns;
        catalogue_nodes(p->snaps.catalogue, proposer_members(p->proposer));
        catalogue_list(p->snaps.catalogue, snaps_clock(w, pair));
    }
}

/* --- messages and time --- */

void pair_snaps_receive(struct world *w, unsigned pair, unsigned slot, const struct wire_msg *msg)
{
    struct pair_snaps *p = snaps_of(w, pair);

    snapship_receive(p->ship, snaps_clock(w, pair), slot, msg);
    catalogue_receive(p->catalogue, snaps_clock(w, pair), slot, msg);
}

void pair_snaps_link(struct world *w, unsigned pair, unsigned slot, bool up)
{
    struct pair_snaps *p = snaps_of(w, pair);

    snapship_link_up(p->ship, snaps_clock(w, pair), slot, up);
    catalogue_link_up(p->catalogue, snaps_clock(w, pair), slot, up);
}

void pair_snaps_ready(struct world *w, unsigned pair, unsigned slot)
{
    struct pair_snaps *p = snaps_of(w, pair);

    snapship_link_ready(p->ship, snaps_clock(w, pair), slot);
    catalogue_link_ready(p->catalogue, snaps_clock(w, pair), slot);
}

void pair_snaps_tick(struct world *w, unsigned pair)
{
    struct pair_snaps *p = snaps_of(w, pair);
    uint64_t now = snaps_clock(w, pair);

    if (snapship_next_tick_ns(p->ship) <= now) {
        snapship_tick(p->ship, now);
    }
    if (catalogue_next_tick_ns(p->catalogue) <= now) {
        catalogue_tick(p->catalogue, now);
    }
}

uint64_t pair_snaps_next_tick_ns(const struct world *w, unsigned pair)
{
    const struct pair_snaps *p = &w->pairs[pair].snaps;
    uint64_t ship = snapship_next_tick_ns(p->ship);
    uint64_t catalogue = catalogue_next_tick_ns(p->catalogue);

    return ship < catalogue ? ship : catalogue;
}

/* --- its life --- */

void pair_snaps_over(struct pair_snaps *p)
{
    snapship_stop(p->ship);
    catalogue_stop(p->catalogue);
}

void pair_snaps_start(struct world *w, unsigned pair)
{
    static const struct snapship_events ship_events = {.send = pair_send,
                                                       .read = snaps_says_read,
                                                       .shipped = snaps_says_shipped,
                                                       .found = snaps_says_found,
                                                       .data = snaps_says_data,
                                                       .fetched = snaps_says_fetched,
                                                       .repaired = snaps_says_repaired};
    static const struct catalogue_events catalogue_events = {
        .send = pair_send, .listed = snaps_says_listed, .done = snaps_says_done};
    struct pair_snaps *p = snaps_of(w, pair);
    struct snapship_config ship = {.log_id = 1,
                                   .node_count = w->seeds_count,
                                   .session = random_next(&w->random),
                                   .piece_max_bytes = w->faults.piece_max_bytes,
                                   .inflight_max = 1 + (unsigned)world_below(w, 4),
                                   .timeout_ms = w->lease_ms,
                                   .retry_ms = PAIR_SNAPS_RETRY_MS};
    struct catalogue_config catalogue = {.log_id = 1,
                                         .node_count = w->seeds_count,
                                         .session = random_next(&w->random),
                                         .timeout_ms = w->lease_ms,
                                         .retry_ms = PAIR_SNAPS_RETRY_MS};

    p->ship = snapship_create(&ship, &ship_events, pair_ctx(pair));
    p->catalogue = catalogue_create(&catalogue, &catalogue_events, pair_ctx(pair));
    p->round_at = w->now;
    p->lacking_rounds = 0;
    p->no_room = false;
}

void pair_snaps_stop(struct pair_snaps *p)
{
    snapship_destroy(p->ship);
    catalogue_destroy(p->catalogue);
    p->ship = NULL;
    p->catalogue = NULL;
    buf_release(&p->bytes);
}
