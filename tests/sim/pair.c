#include "tests/sim/pair_impl.h"

#include "common/mem.h"
#include "proxy/protocol/command.h"
#include "tests/lib/commands.h"
#include "tests/sim/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIR_READ_MAX_BYTES = 2048, PAIR_UNLOGGED_MAX = 20000 };

/* What Redis says of its commands; read once. */
static struct command_table *pair_table;

bool pair_leads(const struct world *w, unsigned pair)
{
    return w->procs[WORLD_PAIR + pair].up && w->pairs[pair].state == PAIR_LEAD;
}

/* --- towards the log nodes --- */

static struct pair_ctx pair_ctxs[SIM_PAIRS_MAX];

struct pair_ctx *pair_ctx(unsigned pair)
{
    return &pair_ctxs[pair];
}

/* Where node i is. */
static void pair_address(unsigned node, char out[24])
{
    (void)snprintf(out, 24, "host-%u:1", node);
}

/* The slot that is linked to a node; -1: none. */
static int pair_slot_of(const struct pair *p, unsigned node)
{
    for (int i = 0; i < PROPOSER_NODES_MAX; i++) {
        if (p->node_of[i] == (int)node) {
            return i;
        }
    }
    return -1;
}

/* The proposer wants a slot linked to another place. */
static void pair_on_link(void *ctx, unsigned slot, const char *address)
{
    struct pair_ctx *c = ctx;
    struct world *w = c->world;
    struct pair *p = pair_of(w, c->pair);
    char name[24];

    p->node_of[slot] = -1;
    for (unsigned i = 0; i < w->nodes_count && address != NULL; i++) {
        pair_address(i, name);
        if (strcmp(name, address) == 0) {
            p->node_of[slot] = (int)i;
            world_later(w, world_below(w, world_ms(20)), EVENT_LINK_UP, WORLD_PAIR + c->pair, i, 0);
        }
    }
}

bool pair_send(void *ctx, unsigned slot, const struct wire_msg *msg)
{
    struct pair_ctx *c = ctx;
    struct world *w = c->world;
    unsigned proc = WORLD_PAIR + c->pair;

    if (w->pairs[c->pair].node_of[slot] < 0) {
        return false;
    }
    unsigned node = (unsigned)w->pairs[c->pair].node_of[slot];
    if (w->faults.on && w->faults.busy_percent > 0 && world_chance(w, w->faults.busy_percent)) {
        world_later(w, world_below(w, world_ms(20)), EVENT_LINK_READY, proc, node, 0);
        return false;
    }
    if (msg->channel == WIRE_PROPOSER) {
        w->pairs[c->pair].session_sent[node] = msg->session;
    }
    network_post(w, network_encode(w, proc, node, msg), w->now);
    return true;
}

static uint64_t pair_random(void *ctx)
{
    struct pair_ctx *c = ctx;

    return random_next(&c->world->random);
}

/* --- requests --- */

static void pair_answer(struct world *w, unsigned pair, const struct pair_request *r,
                        enum answer answer, uint64_t delay)
{
    (void)pair;
    events_push(&w->events, (struct event){.at = w->now + delay + w->faults.client_delay_ns / 2 +
                                                 world_below(w, w->faults.client_delay_ns + 1),
                                           .kind = EVENT_ANSWER,
                                           .proc = (uint8_t)r->client,
                                           .arg = r->number,
                                           .value = r->answer,
                                           .answer = (uint8_t)answer});
}

static void pair_free_slot(struct pair *p, struct pair_request *r)
{
    if (p->tracker != NULL) {
        tracker_remove(p->tracker, &r->waiter);
    }
    r->used = false;
    r->serial = ++p->serial;
}

/* Nothing that is under way can be answered any more: its clients are cut off. */
static void pair_drop_requests(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);

    for (unsigned i = 0; i < PAIR_SLOTS; i++) {
        if (p->slots[i].used) {
            pair_answer(w, pair, &p->slots[i], ANSWER_CLOSED, 0);
            pair_free_slot(p, &p->slots[i]);
        }
    }
}

static uint64_t pair_slot_arg(const struct pair *p, const struct pair_request *r)
{
    return (uint64_t)r->serial << 8 | (uint64_t)(r - p->slots);
}

static struct pair_request *pair_slot(struct pair *p, uint64_t arg)
{
    struct pair_request *r = &p->slots[arg & 0xff];

    return r->used && r->serial == arg >> 8 ? r : NULL;
}

/* Arrival on a connection to or from Redis: in order, after a little while. */
static uint64_t pair_redis_at(struct world *w, uint64_t *last)
{
    uint64_t at =
        w->now + w->faults.redis_delay_ns / 4 + world_below(w, w->faults.redis_delay_ns + 1);

    *last = at > *last ? at : *last + 1;
    return *last;
}

static void pair_push(struct world *w, unsigned pair, uint64_t at, enum event_kind kind,
                      uint64_t arg)
{
    unsigned proc = (kind == EVENT_REDIS_BATCH ? WORLD_REDIS : WORLD_PAIR) + pair;

    events_push(&w->events, (struct event){.at = at,
                                           .kind = (uint8_t)kind,
                                           .proc = (uint8_t)proc,
                                           .life = w->procs[proc].life,
                                           .arg = arg,
                                           .value = w->pairs[pair].link});
}

static uint64_t pair_hash(const struct pair *p, unsigned key)
{
    char name[16];

    kv_key_name(key, name);
    return tracker_hash(p->tracker, 0, name, strlen(name));
}

static bool pair_takes_requests(struct world *w, unsigned pair)
{
    const struct pair *p = pair_of(w, pair);

    if (p->state != PAIR_LEAD || !p->streaming || !w->procs[WORLD_REDIS + pair].up ||
        effects_offset(p->effects) > proposer_commit(p->proposer) + PAIR_UNLOGGED_MAX) {
        return false;
    }
    return w->faults.eager || proposer_may_serve(p->proposer, pair_clock(w, pair));
}

static void pair_request(struct world *w, unsigned pair, const struct event *e)
{
    struct pair *p = pair_of(w, pair);
    struct pair_request fresh = {.client = e->peer, .number = e->arg};
    struct pair_request *r = NULL;

    for (unsigned i = 0; i < PAIR_SLOTS && r == NULL; i++) {
        r = p->slots[i].used ? NULL : &p->slots[i];
    }
    if (!clients_sent(&w->clients, e->peer, e->arg, &fresh.op)) {
        return; /* nobody waits for it any more */
    }
    if (!pair_takes_requests(w, pair) || r == NULL) {
        pair_answer(w, pair, &fresh, ANSWER_REFUSED, 0);
        return;
    }
    bool async = w->clients.list[e->peer].async;
    if (async && fresh.op.command != KV_GET && p->mark_count > 0 &&
        w->now - p->marks[0].at > w->faults.async_age_ns) { /* as the router does */
        world_count(w, COUNT_ASYNC_LATE);
        pair_answer(w, pair, &fresh, ANSWER_REFUSED, 0);
        return;
    }
    fresh.waiter.async = async;
    fresh.admitted_at = w->now;
    fresh.serial = r->serial;
    fresh.used = true;
    *r = fresh;
    r->hashes[0] = pair_hash(p, r->op.key);
    r->hashes[1] = pair_hash(p, r->op.key2);
    r->waiter.hashes = r->hashes;
    r->waiter.hash_count = r->op.command >= KV_SET_TWO ? 2 : 1;
    pair_push(w, pair, pair_redis_at(w, &p->reply_at), EVENT_REDIS_BATCH, pair_slot_arg(p, r));
}

/* At Redis: it executes; the answer and the stream go back, each on its own connection. */
static void pair_redis_batch(struct world *w, unsigned pair, const struct event *e)
{
    struct pair *p = pair_of(w, pair);
    struct redis *redis = &p->redis;
    struct pair_request *r = pair_slot(p, e->arg);

    if (e->value != p->link || r == NULL) {
        return;
    }
    size_t before = redis->stream.len;
    r->answer = kv_execute(&redis->kv, &r->op, &redis->stream, redis->offset);
    redis->offset += redis->stream.len - before;
    r->executed = true;
    r->bound = redis->offset;
    r->effect = redis->kv.used > r->op.key ? redis->kv.values[r->op.key].effect : 0;
    pair_push(w, pair, pair_redis_at(w, &p->reply_at), EVENT_REDIS_REPLY, e->arg);
    if (redis->offset > p->stream_told) {
        p->stream_told = redis->offset;
        pair_push(w, pair, pair_redis_at(w, &p->stream_at), EVENT_REDIS_STREAM, redis->offset);
    }
}

/* --- the stream --- */

static void pair_unit(void *ctx, const struct effects_unit *unit)
{
    struct pair_ctx *c = ctx;
    struct tracker *t = c->world->pairs[c->pair].tracker;

    for (size_t i = 0; i < unit->hash_count; i++) {
        tracker_dirty(t, unit->hashes[i], unit->end);
    }
    if (unit->keyspace) {
        tracker_dirty_keyspace(t, unit->end);
    }
}

/* Takes the stream up to offset: into the tracker and into the log, whole units first. At times it
 * comes in two pieces. */
static void pair_take_stream(struct world *w, unsigned pair, uint64_t offset)
{
    struct pair *p = pair_of(w, pair);

    while (p->streaming && effects_offset(p->effects) < offset &&
           proposer_state(p->proposer) == PROPOSER_LEADING) {
        uint64_t start = effects_offset(p->effects);
        size_t size = (size_t)(offset - start);
        if (world_chance(w, 20)) {
            size = 1 + (size_t)world_below(w, size);
        }
        const uint8_t *bytes = buf_head(&p->redis.stream) + (start - p->redis.stream_begin);
        MUST(effects_feed(p->effects, bytes, size) == ERR_OK);
        uint64_t unit = effects_unit_offset(p->effects);
        size_t whole = unit > start ? (size_t)(unit - start) : 0;
        truth_appends(w, pair, bytes, size);
        if (whole > 0) {
            proposer_append(p->proposer, bytes, whole, true, w->now / CLOCK_NS_PER_MS);
        }
        if (size > whole) {
            proposer_append(p->proposer, bytes + whole, size - whole, false,
                            w->now / CLOCK_NS_PER_MS);
        }
        if (p->mark_count < PAIR_MARKS) {
            p->marks[p->mark_count++] = (struct pair_mark){start + size, w->now};
        } else {
            p->marks[PAIR_MARKS - 1].offset = start + size; /* as the proxy does */
        }
        p->appended = true;
    }
}

/* --- its life --- */

static void pair_over(struct world *w, unsigned pair, const char *why)
{
    struct pair *p = pair_of(w, pair);

    world_trace(w, "pair %u starts over: %s", pair, why);
    pair_drop_requests(w, pair);
    reader_stop(p->reader);
    pair_snaps_over(&p->snaps);
    p->reading = p->brought = p->streaming = false;
    p->link++;
    proposer_release(p->proposer, pair_clock(w, pair));
    p->state = PAIR_REST;
    p->retry_at = w->now + world_below(w, world_ms(PAIR_RETRY_MS));
}

static void pair_begin_leading(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    const struct proposer_donor *donor = proposer_donor(p->proposer);
    uint64_t begin = donor->empty ? p->redis.offset : donor->end.offset;

    truth_leads(w, pair, begin);
    proposer_lead(p->proposer, pair_clock(w, pair), begin, &p->redis.replid);
    tracker_reset(p->tracker, begin);
    effects_start(p->effects, begin, 0);
    p->state = PAIR_LEAD;
    p->link++;
    p->streaming = true;
    p->lost_due = p->appended = false;
    p->commit_known = false;
    p->commit_seen = 0;
    p->mark_count = 0;
    p->stream_told = begin;
    if (p->redis.offset > begin) { /* it is ahead of the log: that is proposed now */
        p->stream_told = p->redis.offset;
        pair_push(w, pair, pair_redis_at(w, &p->stream_at), EVENT_REDIS_STREAM, p->redis.offset);
    }
}

/* Whether another one leads, as a follower would hear from the log nodes. */
static bool pair_hears_leader(const struct world *w, unsigned pair)
{
    for (unsigned i = 0; i < w->pairs_count; i++) {
        if (i != pair && w->truth.serves_to[i] > w->now) {
            return true;
        }
    }
    return false;
}

/* A follower campaigns when it hears no leader; an impatient one at any time. */
static void pair_campaign(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);

    if (pair_hears_leader(w, pair) && !w->faults.hurry &&
        !world_chance(w, w->faults.impatient_percent)) {
        p->retry_at = w->now + world_below(w, world_ms(w->lease_ms)) / 2;
        return;
    }
    proposer_campaign(p->proposer, pair_clock(w, pair));
    p->state = PAIR_CAMPAIGN;
    p->campaign_at = w->now;
}

/* Somebody else may lead, if only it stops (role_is_deaf). */
static bool pair_is_deaf(struct world *w, unsigned pair)
{
    uint64_t end = proposer_lease_end_ns(pair_of(w, pair)->proposer);

    return w->faults.deaf_ns > 0 && w->pairs_count > 1 && end > 0 &&
           pair_clock(w, pair) > end + w->faults.deaf_ns;
}

static void pair_step(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    enum proposer_state state = proposer_state(p->proposer);

    switch (p->state) {
    case PAIR_REST:
        if (w->now >= p->retry_at && w->procs[WORLD_REDIS + pair].up) {
            pair_campaign(w, pair);
        }
        break;
    case PAIR_CAMPAIGN:
        if (state == PROPOSER_ELECTED && w->procs[WORLD_REDIS + pair].up) {
            pair_bring(w, pair);
        } else if (state == PROPOSER_DEPOSED) {
            pair_over(w, pair, "deposed before it was ready");
        } else if (state == PROPOSER_ASKING && pair_hears_leader(w, pair) &&
                   w->now - p->campaign_at > world_ms(w->lease_ms) / 2) {
            proposer_release(p->proposer, pair_clock(w, pair));
            p->state = PAIR_REST;
            p->retry_at = w->now + world_ms(w->lease_ms) / 4;
        }
        break;
    case PAIR_BRING:
        if (state != PROPOSER_ELECTED) {
            pair_over(w, pair, "another was elected while Redis was brought to the log's end");
        } else if (!w->procs[WORLD_REDIS + pair].up || p->redis_run != p->redis.run) {
            pair_over(w, pair, "Redis is gone");
        } else if (p->brought && w->now >= p->lead_at) {
            pair_begin_leading(w, pair);
        } else if (!p->brought && !p->reading && w->now >= p->lead_at) {
            pair_rebuild(w, pair);
        }
        break;
    case PAIR_LEAD:
        if (state != PROPOSER_LEADING) {
            pair_over(w, pair, "deposed");
        } else if (pair_is_deaf(w, pair)) {
            pair_over(w, pair, "its lease is over, and the nodes say nothing");
        }
        break;
    }
}

/* --- the turn --- */

static void pair_follow_commit(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    uint64_t commit = proposer_commit(p->proposer);

    /* An empty log may be committed at offset 0, which looks as if nothing were. */
    bool known = commit > 0 || proposer_may_serve(p->proposer, pair_clock(w, pair));
    if (p->state == PAIR_LEAD && known && (!p->commit_known || commit > p->commit_seen)) {
        p->commit_known = true;
        p->commit_seen = commit;
        truth_commits(w, pair, commit);
        clients_committed(w, proposer_term(p->proposer).n, commit);
        unsigned gone = 0;
        while (gone < p->mark_count && p->marks[gone].offset <= commit) {
            gone++;
        }
        p->mark_count -= gone;
        memmove(p->marks, p->marks + gone, p->mark_count * sizeof p->marks[0]);
        tracker_commit(p->tracker, commit);
    }
}

/* The lease is looked at last, after Redis' answers are here. A pause may follow, too. */
static void pair_release_replies(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    struct tracker_waiter *waiter;

    if (p->state != PAIR_LEAD || !proposer_may_serve(p->proposer, pair_clock(w, pair))) {
        return;
    }
    while ((waiter = tracker_next_ready(p->tracker)) != NULL) {
        struct pair_request *r = (struct pair_request *)waiter;
        uint64_t pause = 0;
        if (w->faults.on && world_below(w, 1000) < w->faults.reply_pause_permille) {
            pause = world_below(w, world_ms(3000));
            world_count(w, FAULT_REPLY_PAUSE);
        }
        if (r->waiter.async) {
            uint64_t term = proposer_term(p->proposer).n;
            clients_loosely(w, r->client, r->number, r->answer, term, r->bound, r->admitted_at);
            clients_committed(w, term, p->commit_known ? p->commit_seen : 0);
        } else {
            truth_replies(w, pair, r->effect);
        }
        pair_answer(w, pair, r, ANSWER_OK, pause);
        pair_free_slot(p, r);
    }
}

/* One event is due at the earliest time at which something has to be done. */
static void pair_schedule(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    unsigned proc = WORLD_PAIR + pair;
    uint64_t local = proposer_next_tick_ns(p->proposer), next = UINT64_MAX;

    if (reader_next_tick_ns(p->reader) < local) {
        local = reader_next_tick_ns(p->reader);
    }
    if (pair_snaps_next_tick_ns(w, pair) < local) {
        local = pair_snaps_next_tick_ns(w, pair);
    }
    if (local != UINT64_MAX) {
        next = world_real(w, proc, local);
    }
    if (p->state == PAIR_REST && p->retry_at < next) {
        next = p->retry_at;
    }
    if (p->state == PAIR_BRING && p->lead_at < next && !p->reading) {
        next = p->lead_at;
    }
    if (p->state == PAIR_LEAD && !catalogue_active(p->snaps.catalogue) &&
        p->snaps.round_at < next) {
        next = p->snaps.round_at;
    }
    if (next == UINT64_MAX) {
        return;
    }
    next = next < w->now + CLOCK_NS_PER_MS ? w->now + CLOCK_NS_PER_MS : next;
    if (p->tick_at == 0 || next < p->tick_at) {
        p->tick_at = next;
        world_later(w, next - w->now, EVENT_PAIR_TICK, proc, 0, next);
    }
}

void pair_turn(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);

    pair_follow_commit(w, pair); /* first: truth still knows by which members it was counted */
    truth_follow_conf(w, pair);
    reader_nodes(p->reader, pair_clock(w, pair), proposer_members(p->proposer));
    pair_step(w, pair);
    pair_snaps_turn(w, pair);
    if (p->appended) {
        p->appended = false;
        proposer_flush(p->proposer, pair_clock(w, pair));
    }
    if (p->state == PAIR_LEAD) {
        tracker_stream_at(p->tracker, effects_known_offset(p->effects));
        pair_release_replies(w, pair);
    }
    truth_lease(w, pair);
    pair_schedule(w, pair);
}

/* --- events --- */

/* I12: an answer that belongs to a session that is over moves neither the commit nor the lease. */
void pair_message(struct world *w, unsigned pair, unsigned node, struct wire_msg *msg)
{
    struct pair *p = pair_of(w, pair);
    uint64_t now = pair_clock(w, pair);
    int slot = pair_slot_of(p, node);

    if (slot < 0) {
        return;
    }
    if (msg->channel == WIRE_READER) {
        reader_receive(p->reader, now, (unsigned)slot, msg);
        return;
    }
    if (msg->channel == WIRE_SNAPSHOT) {
        pair_snaps_receive(w, pair, (unsigned)slot, msg);
        return;
    }
    if (msg->type == WIRE_HELLO_REPLY && w->faults.on &&
        world_chance(w, w->faults.hurry ? 100 : w->faults.impatient_percent)) {
        msg->hello_reply.heard_ns = WIRE_NEVER; /* no safety rests on it */
    }
    uint64_t commit = proposer_commit(p->proposer), lease = proposer_lease_end_ns(p->proposer);
    bool stale = msg->session != p->session_sent[node];
    bool leads = proposer_state(p->proposer) == PROPOSER_LEADING;
    proposer_receive(p->proposer, now, (unsigned)slot, msg);
    if (stale && leads && proposer_state(p->proposer) == PROPOSER_LEADING &&
        (proposer_commit(p->proposer) != commit || proposer_lease_end_ns(p->proposer) != lease)) {
        truth_violation(w, I12_CONTIGUOUS, "pair %u counts %s of node %u's session that is over",
                        pair, wire_type_name(msg->type), node);
    }
}

static void pair_tick(struct world *w, unsigned pair, uint64_t arg)
{
    struct pair *p = pair_of(w, pair);
    uint64_t now = pair_clock(w, pair);

    if (p->tick_at == arg) {
        p->tick_at = 0;
    }
    if (proposer_next_tick_ns(p->proposer) <= now) {
        proposer_tick(p->proposer, now);
    }
    if (reader_next_tick_ns(p->reader) <= now) {
        reader_tick(p->reader, now);
    }
    pair_snaps_tick(w, pair);
}

void pair_link(struct world *w, unsigned pair, unsigned node, bool up)
{
    struct pair *p = pair_of(w, pair);
    int slot = pair_slot_of(p, node);

    if (slot >= 0) {
        proposer_link_up(p->proposer, pair_clock(w, pair), (unsigned)slot, up);
        reader_link_up(p->reader, pair_clock(w, pair), (unsigned)slot, up);
        pair_snaps_link(w, pair, (unsigned)slot, up);
    }
}

bool pair_replace(struct world *w, unsigned pair, const char *old_id, unsigned node)
{
    struct pair *p = pair_of(w, pair);
    char address[24], why[PROPOSER_REFUSAL_MAX + 1];

    pair_address(node, address);
    int err = proposer_replace(p->proposer, pair_clock(w, pair), old_id, address, why, sizeof why);
    world_trace(w, "pair %u is told to replace %s by node %u: %s", pair, old_id, node,
                err == ERR_OK ? "it begins" : why);
    pair_turn(w, pair);
    return err == ERR_OK;
}

/* The connections to Redis are gone. What was asked may have been done or not. If it is the same
 * Redis, its stream goes on where it broke. */
static void pair_redis_lost(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);

    p->lost_due = false;
    if (p->state != PAIR_LEAD) {
        return;
    }
    pair_drop_requests(w, pair);
    if (!w->procs[WORLD_REDIS + pair].up || p->redis_run != p->redis.run) {
        pair_over(w, pair, "Redis has lost its data");
        return;
    }
    p->link++;
    p->streaming = true;
    p->stream_told = effects_offset(p->effects);
    if (p->redis.offset > p->stream_told) {
        p->stream_told = p->redis.offset;
        pair_push(w, pair, pair_redis_at(w, &p->stream_at), EVENT_REDIS_STREAM, p->redis.offset);
    }
}

void pair_break_redis(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);

    p->link++;
    p->streaming = false;
    if (!p->lost_due && w->procs[WORLD_PAIR + pair].up) {
        p->lost_due = true;
        world_later(w, world_below(w, world_ms(20)), EVENT_REDIS_LOST, WORLD_PAIR + pair, 0, 0);
    }
}

void pair_event(struct world *w, unsigned pair, const struct event *e)
{
    struct pair *p = pair_of(w, pair);
    struct pair_request *r;

    switch (e->kind) {
    case EVENT_PAIR_TICK:
        pair_tick(w, pair, e->arg);
        break;
    case EVENT_LINK_READY:
        if (pair_slot_of(p, e->peer) >= 0) {
            unsigned slot = (unsigned)pair_slot_of(p, e->peer);
            proposer_link_ready(p->proposer, pair_clock(w, pair), slot);
            reader_link_ready(p->reader, pair_clock(w, pair), slot);
            pair_snaps_ready(w, pair, slot);
        }
        break;
    case EVENT_LINK_UP:
        pair_link(w, pair, e->peer, true);
        break;
    case EVENT_REQUEST:
        pair_request(w, pair, e);
        break;
    case EVENT_REDIS_BATCH:
        pair_redis_batch(w, pair, e);
        return; /* the proxy has seen nothing of it yet */
    case EVENT_REDIS_REPLY:
        r = pair_slot(p, e->arg);
        if (e->value == p->link && r != NULL) {
            tracker_add(p->tracker, &r->waiter, r->bound);
        }
        break;
    case EVENT_REDIS_STREAM:
        if (e->value == p->link) {
            pair_take_stream(w, pair, e->arg);
        }
        break;
    case EVENT_REDIS_LOST:
        pair_redis_lost(w, pair);
        break;
    default:
        MUST(false);
    }
    pair_turn(w, pair);
}

void pair_release(struct world *w, unsigned pair)
{
    pair_over(w, pair, "released");
    w->pairs[pair].retry_at = w->now + world_below(w, world_ms(2000));
    truth_lease(w, pair);
    pair_schedule(w, pair);
}

/* --- processes --- */

void pair_init(struct world *w, unsigned pair)
{
    if (pair_table == NULL) {
        size_t size;
        uint8_t *reply = commands_reply(&size);
        MUST(command_table_parse(reply, size, &pair_table) == ERR_OK);
        free(reply);
    }
    pair_ctxs[pair] = (struct pair_ctx){w, pair};
}

static void pair_stop(struct pair *p)
{
    if (p->proposer == NULL) {
        return;
    }
    proposer_destroy(p->proposer);
    reader_destroy(p->reader);
    pair_snaps_stop(&p->snaps);
    effects_destroy(p->effects);
    tracker_destroy(p->tracker);
    p->proposer = NULL;
    p->reader = NULL;
    p->effects = NULL;
    p->tracker = NULL;
}

void pair_fini(struct world *w, unsigned pair)
{
    pair_stop(pair_of(w, pair));
    buf_release(&w->pairs[pair].redis.stream);
}

void pair_start(struct world *w, unsigned pair)
{
    static const struct proposer_events events = {
        .send = pair_send, .random = pair_random, .link = pair_on_link};
    static const struct reader_events reader_events = {.send = pair_send,
                                                       .data = pair_read_data,
                                                       .done = pair_read_done,
                                                       .failed = pair_read_failed};
    static const struct effects_events effects_events = {.unit = pair_unit};
    struct pair *p = pair_of(w, pair);
    struct proposer_config config = {
        .log_id = 1,
        .node_count = w->seeds_count,
        .watch = world_chance(w, 20),
        .lease_ms = w->lease_ms,
        .heartbeat_ms = w->heartbeat_ms,
        .session = random_next(&w->random),
        .name = "proxy",
        .append_max_bytes = w->faults.append_max_bytes,
        .append_inflight_max = 1 + (unsigned)world_below(w, 4),
        .window_max_bytes = w->faults.window_max_bytes,
        .history_max = w->faults.history_max,
    };
    struct reader_config reader = {.log_id = 1,
                                   .node_count = w->seeds_count,
                                   .session = random_next(&w->random),
                                   .read_max_bytes = PAIR_READ_MAX_BYTES,
                                   .inflight_max = 4,
                                   .timeout_ms = w->lease_ms,
                                   .retry_ms = 50};

    char addresses[CONF_MEMBERS_MAX][24];
    for (int i = 0; i < PROPOSER_NODES_MAX; i++) {
        p->node_of[i] = i < (int)w->seeds_count ? i : -1;
    }
    for (unsigned i = 0; i < w->seeds_count; i++) {
        pair_address(i, addresses[i]);
        config.addresses[i] = addresses[i];
    }
    p->proposer = proposer_create(&config, &events, &pair_ctxs[pair]);
    p->reader = reader_create(&reader, &reader_events, &pair_ctxs[pair]);
    pair_snaps_start(w, pair);
    p->tracker = tracker_create(random_next(&w->random), 0);
    p->effects = effects_create(pair_table, p->tracker, &effects_events, &pair_ctxs[pair]);
    p->state = PAIR_REST;
    p->reading = p->brought = p->streaming = p->lost_due = false;
    p->link++;
    p->tick_at = 0;
    p->retry_at = w->now + world_below(w, world_ms(300));
    memset(p->session_sent, 0, sizeof p->session_sent);
    memset(&p->conf, 0, sizeof p->conf);
    for (unsigned i = 0; i < w->nodes_count; i++) {
        network_reconnect(w, pair, i);
        pair_link(w, pair, i, true);
    }
    pair_turn(w, pair);
}

/* The watchdog of a process that has died tells the nodes so, if it lives itself. */
static void pair_last_words(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    struct wire_msg msg;

    for (unsigned i = 0; i < PROPOSER_NODES_MAX && i < proposer_node_count(p->proposer); i++) {
        if (p->node_of[i] >= 0 &&
            proposer_last_word(p->proposer, pair_clock(w, pair), i, "", &msg)) {
            world_count(w, COUNT_LAST_WORDS);
            network_post(w, network_encode(w, WORLD_PAIR + pair, (unsigned)p->node_of[i], &msg),
                         w->now);
        }
    }
}

void pair_crash(struct world *w, unsigned pair, uint64_t back_ns)
{
    struct pair *p = pair_of(w, pair);

    world_trace(w, "proxy %u dies", pair);
    if (p->proposer != NULL && world_chance(w, 50)) {
        pair_last_words(w, pair);
    }
    pair_drop_requests(w, pair);
    pair_stop(p);
    for (unsigned i = 0; i < w->nodes_count; i++) {
        if (world_chance(w, 50)) {
            node_link_closed(w, i, WORLD_PAIR + pair);
        }
    }
    p->state = PAIR_REST;
    p->link++;
    world_died(w, WORLD_PAIR + pair, back_ns);
    truth_lease(w, pair);
}
