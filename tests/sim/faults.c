#include "tests/sim/faults_impl.h"

#include <stdlib.h>
#include <string.h>

/* Single faults and scenes; each with its weight among those that a seed has. */
enum fault_kind {
    KIND_KILL_NODE,
    KIND_KILL_PROXY,
    KIND_REDIS,
    KIND_DISK_DIES,
    KIND_POWER,
    KIND_PAUSE,
    KIND_RECONNECT,
    KIND_PARTITION,
    KIND_ISOLATE,
    KIND_LONELY,
    KIND_SLOW_ANSWERS,
    KIND_PAUSE_KILL,
    KIND_RELEASE,
    KIND_EIO,
    KIND_READ_EIO,
    KIND_BAD_SECTOR,
    KIND_NO_SPACE,
    KIND_SLOW_SYNC,
    KIND_BIT_FLIP,
    KIND_OLD_FILE,
    KIND_REPLACE,
    KIND_EMPTY_DISK,
    KIND_KILL_SNAPPER,
    KIND_COUNT,
};

static const unsigned fault_weights[KIND_COUNT] = {
    [KIND_KILL_NODE] = 6, [KIND_KILL_PROXY] = 4,   [KIND_REDIS] = 3,        [KIND_DISK_DIES] = 8,
    [KIND_POWER] = 2,     [KIND_PAUSE] = 6,        [KIND_RECONNECT] = 5,    [KIND_PARTITION] = 8,
    [KIND_ISOLATE] = 8,   [KIND_LONELY] = 6,       [KIND_PAUSE_KILL] = 4,   [KIND_RELEASE] = 3,
    [KIND_EIO] = 3,       [KIND_NO_SPACE] = 2,     [KIND_SLOW_SYNC] = 3,    [KIND_BIT_FLIP] = 6,
    [KIND_OLD_FILE] = 4,  [KIND_SLOW_ANSWERS] = 6, [KIND_REPLACE] = 8,      [KIND_EMPTY_DISK] = 2,
    [KIND_READ_EIO] = 4,  [KIND_BAD_SECTOR] = 4,   [KIND_KILL_SNAPPER] = 4,
};

void faults_later(struct world *w, uint64_t delay_ns, enum fault_scene scene, uint64_t value)
{
    events_push(
        &w->events,
        (struct event){.at = w->now + delay_ns, .kind = EVENT_SCENE, .arg = scene, .value = value});
}

/* --- drawing --- */

static unsigned faults_one_of(struct world *w, const unsigned *values, unsigned count)
{
    return values[world_below(w, count)];
}

uint64_t faults_log_uniform(struct world *w, uint64_t low, uint64_t high)
{
    unsigned octaves = 0;

    while (low << (octaves + 1) <= high) {
        octaves++;
    }
    uint64_t base = low << world_below(w, octaves + 1);
    uint64_t value = base + world_below(w, base);
    return value < high ? value : high;
}

static void faults_draw_network(struct world *w)
{
    static const unsigned permilles[] = {0, 0, 2, 10, 50, 150};
    static const unsigned percents[] = {0, 0, 1, 5, 20};
    struct faults *f = &w->faults;

    f->loss_permille = faults_one_of(w, permilles, 6);
    f->dup_permille = faults_one_of(w, permilles, 6);
    f->garble_permille = faults_one_of(w, permilles, 4);
    f->tail_percent = faults_one_of(w, percents, 5);
    f->busy_percent = faults_one_of(w, percents, 5);
    f->late_percent = (unsigned)world_below(w, 3) * 40;
    f->delay_min_ns = 30000;
    f->delay_ns = faults_log_uniform(w, 50000, world_ms(20));
    f->tail_ns = faults_log_uniform(w, world_ms(10), world_ms(4000));
    f->in_order = world_chance(w, 60);
    f->impatient_percent = world_chance(w, 50) ? 0 : (unsigned)world_below(w, 70);
}

static void faults_draw_machines(struct world *w)
{
    struct faults *f = &w->faults;
    unsigned allowed = (w->nodes_count - 1) / 2;

    f->sync_ns = faults_log_uniform(w, 20000, world_ms(3));
    f->slow_max_ns = faults_log_uniform(w, world_ms(100), world_ms(30000));
    f->scrub.bytes_per_s = 32 * 1024 << world_below(w, 5);
    f->scrub.round_ms = 1000 + (uint32_t)world_below(w, 8000);
    f->pack_bytes_per_s = world_chance(w, 25) ? 0 : (uint64_t)32 * 1024 << world_below(w, 6);
    f->pause_max_ns = faults_log_uniform(w, world_ms(100), world_ms(60000));
    f->reply_pause_permille = world_chance(w, 70) ? 0 : (unsigned)world_below(w, 30);
    for (unsigned i = 0; i < allowed; i++) {
        f->victims |= 1u << world_below(w, w->nodes_count);
    }
    for (unsigned i = 0; i < WORLD_PROCS; i++) {
        static const int64_t extremes[] = {-10000, 0, 10000};
        w->procs[i].drift_ppm = world_chance(w, 60) ? extremes[world_below(w, 3)]
                                                    : (int64_t)world_below(w, 20001) - 10000;
        w->procs[i].clock_base = world_ms(1000000 + world_below(w, 1000000));
    }
}

static void faults_draw_work(struct world *w)
{
    struct faults *f = &w->faults;

    f->client_delay_ns = faults_log_uniform(w, 50000, world_ms(4));
    f->client_patience_ns = faults_log_uniform(w, world_ms(100), world_ms(2000));
    f->redis_delay_ns = faults_log_uniform(w, 20000, world_ms(2));
    f->think_ns = faults_log_uniform(w, world_ms(10), world_ms(300));
    f->reads_percent = (unsigned)world_below(w, 80);
    f->eager = world_chance(w, 30);
    f->async = world_chance(w, 40);
    f->async_age_ns = faults_log_uniform(w, world_ms(1), world_ms(1000));
    f->history_max = world_chance(w, 60) ? 0 : 6 + (unsigned)world_below(w, 12);
    f->append_max_bytes = 300 + (size_t)world_below(w, 3) * 700;
    f->window_max_bytes = 512 << world_below(w, 6);
}

static void faults_draw_snapshots(struct world *w)
{
    struct faults *f = &w->faults;
    bool small = world_chance(w, 75);

    f->retain = (struct retention_config){
        .keep = 1 + (unsigned)world_below(w, 3),
        .keep_age_ms = world_chance(w, 70) ? 0 : world_below(w, 5000),
        .pitr_ms = world_chance(w, 70) ? 0 : world_below(w, 10000),
        .trim = world_chance(w, 80),
        .unverified_ms = 1000 + world_below(w, 20000),
        .needed_max_bytes = 1024 << world_below(w, 8),
    };
    f->retain_ns = faults_log_uniform(w, world_ms(50), world_ms(2000));
    f->retain_rounds = 1 + (unsigned)world_below(w, 8);
    f->snapper_rest_ns = faults_log_uniform(w, world_ms(100), world_ms(4000));
    f->piece_max_bytes = (uint32_t)faults_log_uniform(w, small ? 300 : 8192, small ? 3000 : 65536);
}

/* By dice of its own, so that a seed's other stories stay what they were. */
static void faults_draw_deafness(struct world *w)
{
    enum { DEAF = 0x64656166 };
    struct random dice;

    random_init(&dice, w->options.seed ^ DEAF);
    w->faults.deaf_ns =
        random_below(&dice, 2) == 0 ? 0 : world_ms(20 + random_below(&dice, w->lease_ms));
}

void faults_init(struct world *w)
{
    struct faults *f = &w->faults;

    faults_draw_network(w);
    faults_draw_machines(w);
    faults_draw_work(w);
    faults_draw_snapshots(w);
    faults_draw_deafness(w);
    for (unsigned i = 0; i < KIND_COUNT; i++) {
        f->kinds |= (unsigned)world_chance(w, 45) << i;
    }
    f->pace_ns = faults_log_uniform(w, world_ms(100), world_ms(2000)) * w->lease_ms / 1000;
    f->length_ns = world_ms(6 * w->lease_ms + world_below(w, 14 * w->lease_ms));
    if (w->options.fault_ms == UINT64_MAX) {
        f->length_ns = world_ms(4 * w->lease_ms);
        f->sync_ns = 100000;
        return;
    }
    if (w->options.fault_ms > 0) {
        f->length_ns = world_ms(w->options.fault_ms);
    }
    f->on = true;
    events_push(&w->events, (struct event){.at = world_ms(w->lease_ms), .kind = EVENT_FAULT});
}

void faults_fini(struct world *w)
{
    free(w->faults.old_bytes);
}

/* --- whom --- */

unsigned faults_node(struct world *w)
{
    return (unsigned)world_below(w, w->nodes_count);
}

unsigned faults_victim(struct world *w)
{
    unsigned node = faults_node(w);

    while ((w->faults.victims & 1u << node) == 0) {
        node = (node + 1) % w->nodes_count; /* one of the seeds */
    }
    return node;
}

/* Who leads, if anybody; else any pair. */
static unsigned faults_leader(struct world *w)
{
    for (unsigned i = 0; i < w->pairs_count; i++) {
        if (pair_leads(w, i) && w->truth.serves_to[i] > w->now) {
            return i;
        }
    }
    return (unsigned)world_below(w, w->pairs_count);
}

enum fake_disk_loss faults_loss(struct world *w)
{
    static const enum fake_disk_loss losses[] = {FAKE_DISK_KEEP_ALL, FAKE_DISK_LOSE_ALL,
                                                 FAKE_DISK_LOSE_SOME};
    return losses[world_below(w, 3)];
}

uint64_t faults_back(struct world *w)
{
    return faults_log_uniform(w, world_ms(1), world_ms(4000));
}

void faults_kill_node(struct world *w, unsigned node, enum fake_disk_loss loss, uint64_t back_ns)
{
    if (w->procs[node].up) {
        world_count(w, FAULT_KILL_NODE);
        node_crash(w, node, loss, back_ns);
    }
}

static void faults_pause(struct world *w, unsigned proc, uint64_t for_ns)
{
    uint64_t until = w->now + for_ns;

    world_trace(w, "process %u pauses for %.1f ms", proc, (double)for_ns / 1e6);
    world_count(w, FAULT_PAUSE);
    w->procs[proc].paused_until =
        until > w->procs[proc].paused_until ? until : w->procs[proc].paused_until;
    faults_later(w, for_ns, SCENE_RESUME, proc);
}

bool faults_may_lose(struct world *w)
{
    unsigned settled = 0;

    for (unsigned i = 0; i < w->seeds_count; i++) {
        const struct shadow *s = &w->nodes[i].shadow;
        settled += s->has_meta && conf_kind(&s->meta.conf) >= CONF_STABLE;
    }
    w->faults.founded = w->faults.founded || settled >= w->seeds_count / 2 + 1;
    return w->faults.founded;
}

/* --- network --- */

static void faults_cut(struct world *w, unsigned pair, unsigned node, bool to, bool from)
{
    w->network.cut[WORLD_PAIR + pair][node] = to;
    w->network.cut[node][WORLD_PAIR + pair] = from;
}

/* Every party sees some of the nodes: none, all, or sides that overlap in a bridge; in one
 * direction or both. */
static void faults_partition(struct world *w)
{
    world_count(w, FAULT_PARTITION);
    for (unsigned p = 0; p < SIM_PARTIES_MAX; p++) {
        unsigned sees = (unsigned)world_below(w, 1u << w->nodes_count);
        bool one_way = world_chance(w, 30), to = world_chance(w, 50);
        for (unsigned n = 0; n < w->nodes_count; n++) {
            bool cut = (sees & 1u << n) == 0;
            faults_cut(w, p, n, cut && (!one_way || to), cut && (!one_way || !to));
        }
    }
    world_trace(w, "a partition");
    faults_later(w, faults_log_uniform(w, world_ms(50), world_ms(8000)), SCENE_HEAL, 0);
}

/* The leader stays behind with its lease, unaware. At times all nodes restart just then and have
 * forgotten whom they heard; at times it is paused as well. */
static void faults_isolate(struct world *w)
{
    unsigned leader = faults_leader(w);

    world_count(w, FAULT_ISOLATE);
    world_trace(w, "pair %u is isolated", leader);
    for (unsigned n = 0; n < w->nodes_count; n++) {
        faults_cut(w, leader, n, true, world_chance(w, 70));
    }
    if (world_chance(w, 35)) {
        world_count(w, FAULT_RESTART_NODES);
        for (unsigned n = 0; n < w->nodes_count; n++) {
            faults_kill_node(w, n, faults_loss(w), world_below(w, world_ms(50)));
        }
    }
    if (world_chance(w, 20)) {
        faults_pause(w, WORLD_PAIR + leader, world_below(w, 3 * world_ms(w->lease_ms)));
    }
    faults_later(w, faults_log_uniform(w, world_ms(200), world_ms(6000)), SCENE_HEAL, 0);
}

/* Answers to the leader come late, by a good part of a lease. Then it is isolated, and the others
 * are in a hurry to take over. */
static void faults_slow_answers(struct world *w)
{
    unsigned leader = faults_leader(w);
    uint64_t lease = world_ms(w->lease_ms);

    world_count(w, FAULT_SLOW_ANSWERS);
    world_trace(w, "answers to pair %u come late", leader);
    w->network.slow_ns[leader] = lease / 10 + world_below(w, lease * 7 / 10);
    faults_later(w, lease + world_below(w, lease), SCENE_SLOW_2, leader);
}

static void faults_slow_answers_2(struct world *w, unsigned leader)
{
    w->network.slow_ns[leader] = 0;
    for (unsigned n = 0; n < w->nodes_count; n++) {
        faults_cut(w, leader, n, true, false);
    }
    w->faults.hurry = true;
    for (unsigned p = 0; p < w->pairs_count; p++) {
        w->pairs[p].retry_at = w->now;
    }
    faults_later(w, 2 * world_ms(w->lease_ms), SCENE_CALM, 0);
}

/* The leader reaches one node only, and goes on writing to it. Later it is gone, and that node is
 * back with a log that is longer than what the others agreed on meanwhile. */
static void faults_lonely(struct world *w)
{
    unsigned leader = faults_leader(w), kept = faults_node(w);

    world_count(w, FAULT_LONELY);
    world_trace(w, "pair %u is left with node %u", leader, kept);
    for (unsigned n = 0; n < w->nodes_count; n++) {
        faults_cut(w, leader, n, n != kept, n != kept);
    }
    for (unsigned p = 0; p < w->pairs_count; p++) {
        if (p != leader) {
            faults_cut(w, p, kept, true, true);
        }
    }
    faults_later(w, world_ms(w->lease_ms) / 2 + world_below(w, 4 * world_ms(w->lease_ms)),
                 SCENE_LONELY_2, (uint64_t)leader << 8 | kept);
}

static void faults_lonely_2(struct world *w, uint64_t value)
{
    unsigned leader = (unsigned)(value >> 8), kept = (unsigned)(value & 0xff);
    unsigned away = faults_node(w);

    network_heal(w);
    if (world_chance(w, 50)) {
        for (unsigned n = 0; n < w->nodes_count; n++) {
            faults_cut(w, leader, n, true, true);
        }
    }
    if (away != kept) { /* of the others, one is not there */
        for (unsigned p = 0; p < w->pairs_count; p++) {
            faults_cut(w, p, away, true, true);
        }
    }
    /* Whoever leads now loses its place. */
    unsigned now_leads = faults_leader(w);
    if (w->procs[WORLD_PAIR + now_leads].up && world_chance(w, 70)) {
        world_count(w, FAULT_KILL_PROXY);
        pair_crash(w, now_leads, faults_back(w));
    }
    faults_later(w, world_ms(w->lease_ms) * 3, SCENE_HEAL, 0);
}

static void faults_reconnect(struct world *w)
{
    bool snapper = world_chance(w, 30);
    unsigned party = snapper ? SIM_PAIRS_MAX + (unsigned)world_below(w, w->snappers_count)
                             : (unsigned)world_below(w, w->pairs_count);
    unsigned node = faults_node(w);

    if (!w->procs[WORLD_PAIR + party].up || world_chance(w, 20)) {
        return;
    }
    world_count(w, FAULT_RECONNECT);
    network_reconnect(w, party, node);
    world_later(w, world_below(w, world_ms(500)), EVENT_LINK_UP, WORLD_PAIR + party, node, 0);
    if (world_chance(w, 70)) { /* else the node does not know */
        node_link_closed(w, node, WORLD_PAIR + party);
    }
    if (snapper) {
        snapper_link(w, party - SIM_PAIRS_MAX, node, false);
    } else {
        pair_link(w, party, node, false);
        pair_turn(w, party);
    }
}

/* --- machines --- */

static void faults_power(struct world *w)
{
    bool pairs = world_chance(w, 50);

    world_count(w, FAULT_POWER);
    world_trace(w, "the power fails");
    for (unsigned n = 0; n < w->nodes_count; n++) {
        faults_kill_node(w, n, world_chance(w, 50) ? FAKE_DISK_LOSE_ALL : FAKE_DISK_LOSE_SOME,
                         faults_back(w));
    }
    for (unsigned p = 0; p < w->pairs_count && pairs; p++) {
        if (w->procs[WORLD_PAIR + p].up) {
            pair_crash(w, p, faults_back(w));
        }
        if (w->procs[WORLD_REDIS + p].up) {
            redis_crash(w, p, faults_back(w));
        }
    }
}

static void faults_redis(struct world *w)
{
    unsigned pair =
        world_chance(w, 60) ? faults_leader(w) : (unsigned)world_below(w, w->pairs_count);

    if (!w->procs[WORLD_REDIS + pair].up) {
        return;
    }
    switch (world_below(w, 3)) {
    case 0:
        world_count(w, FAULT_KILL_REDIS);
        redis_crash(w, pair, faults_back(w));
        break;
    case 1:
        world_count(w, FAULT_BREAK_REDIS);
        pair_break_redis(w, pair);
        break;
    default:
        faults_pause(w, WORLD_REDIS + pair, faults_log_uniform(w, world_ms(1), world_ms(3000)));
        break;
    }
}

static void faults_pause_any(struct world *w)
{
    unsigned dice = (unsigned)world_below(w, 7);
    unsigned proc = dice < 2   ? faults_node(w)
                    : dice < 4 ? WORLD_PAIR + faults_leader(w)
                    : dice < 6 ? WORLD_PAIR + (unsigned)world_below(w, w->pairs_count)
                               : WORLD_SNAPPER + (unsigned)world_below(w, w->snappers_count);

    faults_pause(w, proc, faults_log_uniform(w, world_ms(100), w->faults.pause_max_ns));
}

/* Jepsen's pause-kill: node A sleeps and misses writes; then one of the others loses its power
 * while the rest sleeps, and A and that one are all there is. */
static void faults_pause_kill(struct world *w)
{
    unsigned a = faults_node(w);

    world_count(w, FAULT_PAUSE_KILL);
    w->procs[a].paused_until = UINT64_MAX;
    world_trace(w, "pause-kill: node %u sleeps", a);
    faults_later(w, world_below(w, 2 * world_ms(w->lease_ms)), SCENE_PAUSE_KILL_2, a);
}

static void faults_pause_kill_2(struct world *w, unsigned a)
{
    unsigned b = (w->faults.victims & ~(1u << a)) != 0 && world_chance(w, 60) ? faults_victim(w)
                                                                              : faults_node(w);

    if (b == a) {
        b = (a + 1) % w->nodes_count;
    }
    faults_kill_node(w, b, world_chance(w, 50) ? FAKE_DISK_LOSE_ALL : FAKE_DISK_LOSE_SOME,
                     world_below(w, world_ms(200)));
    if ((w->faults.kinds & 1u << KIND_BIT_FLIP) != 0 && faults_may_lose(w) &&
        (w->faults.victims & 1u << b) != 0) {
        faults_bit_flip(w, b);
    }
    for (unsigned n = 0; n < w->nodes_count; n++) {
        if (n != a && n != b) {
            w->procs[n].paused_until = UINT64_MAX;
            faults_later(w, world_ms(w->lease_ms) * 3 + world_below(w, world_ms(w->lease_ms) * 3),
                         SCENE_WAKE, n);
        }
    }
    faults_later(w, world_below(w, world_ms(300)), SCENE_WAKE, a);
    if (world_chance(w, 60)) { /* and who led is gone */
        unsigned leader = faults_leader(w);
        if (w->procs[WORLD_PAIR + leader].up) {
            pair_crash(w, leader, faults_back(w));
        }
    }
}

/* --- members --- */

/* The operator replaces a member, best one that is gone for good, by a node that is not one. */
static void faults_replace(struct world *w)
{
    unsigned leader = faults_leader(w), added = WORLD_NODES_MAX;
    char name[16];

    if (!pair_leads(w, leader) || w->procs[WORLD_PAIR + leader].paused_until > w->now) {
        return;
    }
    const struct conf *conf = proposer_conf(w->pairs[leader].proposer);
    if (conf_kind(conf) != CONF_STABLE) {
        return;
    }
    const struct conf_member *old = &conf->now.members[world_below(w, conf->now.count)];
    for (unsigned i = 0; i < w->nodes_count; i++) {
        node_name(i, name);
        if (w->nodes[i].lost && conf_find_node(conf, name) != NULL) {
            old = conf_find_node(conf, name);
        }
        if (conf_find_node(conf, name) == NULL && !w->nodes[i].lost && i >= w->seeds_count) {
            added = i;
        }
    }
    if (added == WORLD_NODES_MAX && w->nodes_count < WORLD_NODES_MAX) {
        added = world_add_node(w);
    }
    if (added != WORLD_NODES_MAX && pair_replace(w, leader, old->node_id, added)) {
        world_count(w, FAULT_REPLACE);
    }
}

/* --- all of it --- */

static enum fault_kind faults_draw_kind(struct world *w)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < KIND_COUNT; i++) {
        sum += (w->faults.kinds & 1u << i) != 0 ? fault_weights[i] : 0;
    }
    uint64_t dice = sum > 0 ? world_below(w, sum) : 0;
    for (unsigned i = 0; i < KIND_COUNT && sum > 0; i++) {
        unsigned weight = (w->faults.kinds & 1u << i) != 0 ? fault_weights[i] : 0;
        if (dice < weight) {
            return (enum fault_kind)i;
        }
        dice -= weight;
    }
    return KIND_COUNT;
}

static void faults_do(struct world *w, enum fault_kind kind)
{
    unsigned pair = (unsigned)world_below(w, w->pairs_count);

    switch (kind) {
    case KIND_KILL_NODE:
        faults_kill_node(w, faults_node(w), faults_loss(w), faults_back(w));
        break;
    case KIND_KILL_PROXY:
        if (w->procs[WORLD_PAIR + pair].up) {
            world_count(w, FAULT_KILL_PROXY);
            pair_crash(w, pair, faults_back(w));
        }
        break;
    case KIND_REDIS:
        faults_redis(w);
        break;
    case KIND_DISK_DIES:
    case KIND_EIO:
        faults_disk(w, kind == KIND_DISK_DIES);
        break;
    case KIND_POWER:
        faults_power(w);
        break;
    case KIND_PAUSE:
        faults_pause_any(w);
        break;
    case KIND_RECONNECT:
        faults_reconnect(w);
        break;
    case KIND_PARTITION:
        faults_partition(w);
        break;
    case KIND_ISOLATE:
        faults_isolate(w);
        break;
    case KIND_LONELY:
        faults_lonely(w);
        break;
    case KIND_SLOW_ANSWERS:
        faults_slow_answers(w);
        break;
    case KIND_PAUSE_KILL:
        faults_pause_kill(w);
        break;
    case KIND_RELEASE:
        pair = faults_leader(w);
        if (pair_leads(w, pair)) {
            world_count(w, FAULT_RELEASE);
            pair_release(w, pair);
        }
        break;
    case KIND_READ_EIO:
        faults_read_eio(w);
        break;
    case KIND_BAD_SECTOR:
        faults_bad_sector(w);
        break;
    case KIND_NO_SPACE:
        faults_no_space(w);
        break;
    case KIND_SLOW_SYNC:
        faults_slow_sync(w);
        break;
    case KIND_BIT_FLIP:
        faults_damage(w);
        break;
    case KIND_OLD_FILE:
        faults_old_file(w);
        break;
    case KIND_REPLACE:
        faults_replace(w);
        break;
    case KIND_EMPTY_DISK:
        faults_empty_disk(w);
        break;
    case KIND_KILL_SNAPPER:
        pair = (unsigned)world_below(w, w->snappers_count);
        if (w->procs[WORLD_SNAPPER + pair].up) {
            world_count(w, FAULT_KILL_SNAPPER);
            snapper_crash(w, pair, faults_back(w));
        }
        break;
    case KIND_COUNT:
        break;
    }
}

void faults_happen(struct world *w)
{
    if (!w->faults.on) {
        return;
    }
    faults_do(w, faults_draw_kind(w));
    events_push(&w->events, (struct event){.at = w->now + world_below(w, 2 * w->faults.pace_ns) + 1,
                                           .kind = EVENT_FAULT});
}

void faults_scene(struct world *w, const struct event *e)
{
    unsigned node = (unsigned)e->value;

    if (!w->faults.on && e->arg != SCENE_PUT_BACK) {
        return;
    }
    switch ((enum fault_scene)e->arg) {
    case SCENE_HEAL:
        network_heal(w);
        break;
    case SCENE_RESUME:
        if (w->procs[node].paused_until > w->now) {
            break;
        }
        /* fall through */
    case SCENE_WAKE:
        world_resume(w, node);
        break;
    case SCENE_SLOW_2:
        faults_slow_answers_2(w, node);
        break;
    case SCENE_CALM:
        w->faults.hurry = false;
        network_heal(w);
        break;
    case SCENE_PAUSE_KILL_2:
        faults_pause_kill_2(w, node);
        break;
    case SCENE_LONELY_2:
        faults_lonely_2(w, e->value);
        break;
    case SCENE_SPACE:
        w->nodes[node].full = false;
        fake_disk_set_capacity(w->nodes[node].disk, UINT64_MAX / 2);
        break;
    case SCENE_PUT_BACK:
        faults_put_back(w);
        break;
    }
}

void faults_stop(struct world *w)
{
    world_trace(w, "the faults stop");
    w->faults.on = w->faults.hurry = false;
    memset(w->network.slow_ns, 0, sizeof w->network.slow_ns);
    network_heal(w);
    for (unsigned i = 0; i < WORLD_PROCS; i++) {
        world_resume(w, i);
    }
    for (unsigned i = 0; i < w->nodes_count; i++) {
        struct node *n = &w->nodes[i];
        n->slow_until = 0;
        n->full = false;
        fake_disk_set_capacity(n->disk, UINT64_MAX / 2);
        fake_disk_fail_at(n->disk, 0);
        fake_disk_die_at(n->disk, 0);
    }
}
