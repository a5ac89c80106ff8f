#include "tests/sim/world.h"

#include "common/log.h"
#include "common/mem.h"
#include "tests/sim/redis.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORLD_HEAL_MS = 20000,
    WORLD_SLICE_MS = 100,
    WORLD_SCRUB_BYTES_PER_S = 8 << 20,
    WORLD_SCRUB_ROUND_MS = 1000
};

const char *world_count_name(enum world_count c)
{
    static const char *const names[] = {
#define WORLD_COUNT_TEXT(name, text) text,
        WORLD_COUNT_MAP(WORLD_COUNT_TEXT) FAULT_COUNT_MAP(WORLD_COUNT_TEXT)
#undef WORLD_COUNT_TEXT
    };

    return names[c];
}

void world_trace(const struct world *w, const char *fmt, ...)
{
    va_list args;

    if (!w->options.trace) {
        return;
    }
    fprintf(stderr, "%12.3f ms  ", (double)w->now / 1e6);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

uint64_t world_clock(const struct world *w, unsigned proc)
{
    const struct process *p = &w->procs[proc];
    int64_t drift = (int64_t)(w->now / 1000) * p->drift_ppm / 1000;

    return p->clock_base + (uint64_t)((int64_t)w->now + drift);
}

uint64_t world_real(const struct world *w, unsigned proc, uint64_t local_ns)
{
    const struct process *p = &w->procs[proc];

    if (local_ns <= p->clock_base) {
        return 0;
    }
    return (uint64_t)((double)(local_ns - p->clock_base) / (1.0 + (double)p->drift_ppm / 1e6)) + 1;
}

void world_later(struct world *w, uint64_t delay_ns, enum event_kind kind, unsigned proc,
                 unsigned peer, uint64_t arg)
{
    bool any = kind == EVENT_CLIENT || kind == EVENT_RESTART || kind == EVENT_DISK_DONE;

    events_push(&w->events, (struct event){.at = w->now + delay_ns,
                                           .kind = (uint8_t)kind,
                                           .proc = (uint8_t)proc,
                                           .peer = (uint8_t)peer,
                                           .life = any ? 0 : w->procs[proc].life,
                                           .arg = arg});
}

/* --- processes --- */

void world_resume(struct world *w, unsigned proc)
{
    struct process *p = &w->procs[proc];

    p->paused_until = p->busy_until = 0;
    for (size_t i = 0; i < p->parked_count; i++) {
        p->parked[i].at = w->now;
        events_push(&w->events, p->parked[i]);
    }
    p->parked_count = 0;
}

static void world_park(struct process *p, const struct event *e)
{
    if (p->parked_count == p->parked_cap) {
        p->parked_cap = p->parked_cap > 0 ? 2 * p->parked_cap : 64;
        p->parked = mem_realloc(p->parked, p->parked_cap * sizeof *p->parked);
    }
    p->parked[p->parked_count++] = *e;
}

void world_died(struct world *w, unsigned proc, uint64_t back_ns)
{
    struct process *p = &w->procs[proc];

    p->up = false;
    p->died_life = p->life;
    p->died_at = w->now;
    p->busy_until = 0;
    world_resume(w, proc);
    if (back_ns != UINT64_MAX) {
        world_later(w, back_ns, EVENT_RESTART, proc, 0, 0);
    }
}

static void world_start(struct world *w, unsigned proc)
{
    struct process *p = &w->procs[proc];

    if (p->up || (proc < WORLD_PAIR && w->nodes[proc].lost)) {
        return;
    }
    p->up = true;
    p->life++;
    if (proc < WORLD_PAIR) {
        node_start(w, proc);
    } else if (proc < WORLD_SNAPPER) {
        pair_start(w, proc - WORLD_PAIR);
    } else if (proc < WORLD_REDIS) {
        snapper_start(w, proc - WORLD_SNAPPER);
    } else {
        redis_start(w, proc - WORLD_REDIS);
    }
}

unsigned world_add_node(struct world *w)
{
    unsigned node = w->nodes_count++;

    node_init(w, node);
    world_start(w, node);
    for (unsigned i = 0; i < w->snappers_count; i++) {
        if (w->procs[WORLD_SNAPPER + i].up) {
            snapper_link(w, i, node, true);
        }
    }
    return node;
}

/* --- events --- */

static void world_message(struct world *w, const struct event *e)
{
    struct wire_msg msg;

    if (!w->procs[e->proc].up || !network_arrives(w, e, &msg)) {
        return;
    }
    if (w->options.messages) {
        world_trace(w, "%u -> %u: %s term %" PRIu64 " session %" PRIu64 " seq %" PRIu64 "%s%s",
                    e->peer, e->proc, wire_type_name(msg.type), msg.term.n, msg.session, msg.seq,
                    msg.type == WIRE_REFUSED ? ": " : "",
                    msg.type == WIRE_REFUSED ? msg.refused.reason : "");
    }
    if (e->proc < WORLD_PAIR) {
        node_message(w, e->proc, e->peer, &msg);
    } else if (e->proc < WORLD_SNAPPER) {
        pair_message(w, e->proc - WORLD_PAIR, e->peer, &msg);
        pair_turn(w, e->proc - WORLD_PAIR);
    } else {
        snapper_message(w, e->proc - WORLD_SNAPPER, e->peer, &msg);
    }
}

/* What happens to a process, as opposed to the world or a client. */
static bool world_is_for_process(const struct event *e)
{
    return e->kind != EVENT_RESTART && e->kind != EVENT_CLIENT && e->kind != EVENT_ANSWER &&
           e->kind != EVENT_DISK_DONE && e->kind != EVENT_FAULT && e->kind != EVENT_SCENE;
}

static void world_handle(struct world *w, const struct event *e)
{
    switch ((enum event_kind)e->kind) {
    case EVENT_MESSAGE:
        world_message(w, e);
        break;
    case EVENT_NODE_FLUSH:
        node_flush(w, e->proc);
        break;
    case EVENT_NODE_TICK:
        node_tick(w, e->proc);
        break;
    case EVENT_NODE_SCRUB:
        node_scrub(w, e->proc);
        break;
    case EVENT_NODE_PACK:
        node_pack(w, e->proc);
        break;
    case EVENT_REDIS_BATCH:
        pair_event(w, e->proc - WORLD_REDIS, e);
        break;
    case EVENT_SNAPPER_TICK:
        snapper_event(w, e->proc - WORLD_SNAPPER, e);
        break;
    case EVENT_LINK_READY:
    case EVENT_LINK_UP:
        if (e->proc >= WORLD_SNAPPER) {
            snapper_event(w, e->proc - WORLD_SNAPPER, e);
            break;
        }
        pair_event(w, e->proc - WORLD_PAIR, e);
        break;
    case EVENT_PAIR_TICK:
    case EVENT_REQUEST:
    case EVENT_REDIS_REPLY:
    case EVENT_REDIS_STREAM:
    case EVENT_REDIS_LOST:
        pair_event(w, e->proc - WORLD_PAIR, e);
        break;
    case EVENT_RESTART:
        world_start(w, e->proc);
        break;
    case EVENT_DISK_DONE:
        w->procs[e->proc].disk_at = 0;
        if (w->now >= w->procs[e->proc].paused_until) {
            world_resume(w, e->proc);
        }
        break;
    case EVENT_CLIENT:
        clients_timer(w, e->proc, e->arg);
        break;
    case EVENT_ANSWER:
        clients_answer(w, e->proc, e);
        break;
    case EVENT_FAULT:
        faults_happen(w);
        break;
    case EVENT_SCENE:
        faults_scene(w, e);
        break;
    }
}

/* A process that is paused gets it later, one that waits for its disk when that is done, one that
 * is down never. */
static bool world_is_due(struct world *w, struct event *e)
{
    struct process *p = &w->procs[e->proc];

    if (!world_is_for_process(e)) {
        return true;
    }
    if (w->now < p->paused_until) {
        world_park(p, e);
        e->packet = NULL;
        return false;
    }
    if (p->up && w->now < p->busy_until) {
        world_park(p, e);
        e->packet = NULL;
        if (p->disk_at == 0 || p->busy_until < p->disk_at) {
            p->disk_at = p->busy_until;
            world_later(w, p->busy_until - w->now, EVENT_DISK_DONE, e->proc, 0, 0);
        }
        return false;
    }
    return e->kind == EVENT_MESSAGE || (p->up && (e->life == 0 || e->life == p->life));
}

static void world_digest(struct world *w, const struct event *e)
{
    uint64_t h = w->result->digest;

    h = (h ^ e->at) * 0x100000001b3ull;
    h = (h ^ ((uint64_t)e->kind << 16 | (uint64_t)e->proc << 8 | e->peer)) * 0x100000001b3ull;
    w->result->digest = (h ^ e->arg ^ e->value) * 0x100000001b3ull;
}

static void world_run_until(struct world *w, uint64_t until)
{
    while (w->events.count > 0 && w->events.heap[0].at <= until && !world_failed(w)) {
        struct event e = events_pop(&w->events);
        uint64_t before = w->now;
        w->now = e.at;
        truth_check_leases(w, before);
        if (world_is_due(w, &e)) {
            world_count(w, COUNT_EVENTS);
            world_digest(w, &e);
            world_handle(w, &e);
        }
        free(e.packet);
    }
    if (!world_failed(w)) {
        w->now = until;
    }
}

/* --- a run --- */

static void world_heal(struct world *w)
{
    faults_stop(w);
    for (unsigned i = 0; i < WORLD_PROCS; i++) {
        bool exists = i < WORLD_PAIR      ? i < w->nodes_count
                      : i < WORLD_SNAPPER ? i - WORLD_PAIR < w->pairs_count
                      : i < WORLD_REDIS   ? i - WORLD_SNAPPER < w->snappers_count
                                          : i - WORLD_REDIS < w->pairs_count;
        if (exists) {
            world_start(w, i);
        }
    }
    const struct scrub_config fast = {.bytes_per_s = WORLD_SCRUB_BYTES_PER_S,
                                      .round_ms = WORLD_SCRUB_ROUND_MS};
    w->faults.scrub = fast;
    for (unsigned i = 0; i < w->nodes_count; i++) { /* their disks are looked over now */
        struct node *n = &w->nodes[i];
        if (!n->damaged) {
            continue;
        }
        n->scrub.config = fast;
        n->scrub.next_ns = 0;
        n->rounds = 0;
        world_later(w, 0, EVENT_NODE_SCRUB, i, 0, 0);
    }
    for (unsigned p = 0; p < w->pairs_count && !world_failed(w); p++) {
        for (unsigned n = 0; n < w->nodes_count; n++) {
            pair_link(w, p, n, true);
        }
        pair_turn(w, p);
    }
    for (unsigned s = 0; s < w->snappers_count && !world_failed(w); s++) {
        for (unsigned n = 0; n < w->nodes_count; n++) {
            snapper_link(w, s, n, true);
        }
    }
}

/* The configuration that counts; NULL: nobody leads. */
static const struct conf *world_conf(const struct world *w)
{
    const struct conf *conf = NULL;

    for (unsigned i = 0; i < w->pairs_count; i++) {
        conf = pair_leads(w, i) ? proposer_conf(w->pairs[i].proposer) : conf;
    }
    return conf;
}

static bool world_is_member(const struct world *w, const struct node *n)
{
    const struct meta *meta = &n->shadow.meta;
    const struct conf *conf = world_conf(w);

    return conf != NULL && n->shadow.has_meta &&
           conf_find(conf, meta->node_id, &meta->disk) != NULL;
}

static bool world_is_uncertain(const struct world *w)
{
    struct wire_log log = {0};

    for (unsigned i = 0; i < w->nodes_count; i++) {
        if (w->nodes[i].acceptor != NULL && world_is_member(w, &w->nodes[i])) {
            acceptor_log(w->nodes[i].acceptor, &log);
            if (log.uncertain_to != 0) {
                return true;
            }
        }
    }
    return false;
}

/* What a node may have acknowledged in the present term only the next one ends; after a while the
 * operator has the leadership handed over. Whether he has now. */
static bool world_end_doubts(struct world *w, uint64_t healed_at)
{
    if (w->now < healed_at + world_ms(WORLD_HEAL_MS) / 4 || !world_is_uncertain(w)) {
        return false;
    }
    for (unsigned i = 0; i < w->pairs_count; i++) {
        if (pair_leads(w, i)) {
            pair_release(w, i);
            return true;
        }
    }
    return false;
}

/* Why the cluster is not done healing; NULL: it is. Nodes that are damaged beyond repair don't
 * count. */
/* Whether what is missing next of a node's hole was forgotten by all others: then nobody can mend
 * it, and it goes with the next snapshot that is behind it. */
static bool world_is_forgotten(const struct world *w, unsigned node, const struct wire_log *log)
{
    bool forgotten = log->holes.next < log->holes.to;

    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct node *n = &w->nodes[i];
        struct wire_log other;
        if (i != node && !n->lost && n->acceptor != NULL && world_is_member(w, n)) {
            acceptor_log(n->acceptor, &other);
            forgotten = forgotten && other.begin > log->holes.next;
        }
    }
    return forgotten;
}

/* Whether a bounded history has forgotten all that the node has in common with one that has the
 * whole log, whose begin it reaches: it must be replaced, or is begun anew when the log has been
 * trimmed past its end. */
static bool world_is_estranged(const struct world *w, unsigned node, uint64_t end)
{
    const struct history *own = &w->nodes[node].shadow.meta.history;
    uint64_t common;

    for (unsigned i = 0; i < w->nodes_count && w->faults.history_max > 0; i++) {
        const struct shadow *s = &w->nodes[i].shadow;
        if (i != node && s->has_meta && shadow_durable_end(s) == end &&
            s->begin <= shadow_end(&w->nodes[node].shadow) &&
            history_common(&s->meta.history, own, end, &common) == ERR_NOT_FOUND) {
            return true;
        }
    }
    return false;
}

/* Whether nothing tells any more that what the log was begun with is of this log: its first leader
 * wrote nothing in his term, a bounded history has forgotten that, and nobody has stored a verified
 * snapshot before it did. */
static bool world_is_birth_forgotten(const struct world *w)
{
    const struct truth *t = &w->truth;
    const struct history *newest = NULL;

    if (w->faults.history_max == 0 || t->committed_count == 0) {
        return false;
    }
    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct shadow *s = &w->nodes[i].shadow;
        const struct history *h = &s->meta.history;
        for (unsigned k = 0; k < s->snaps.count; k++) {
            if (s->snaps.held[k].verified_ms > 0) {
                return false;
            }
        }
        if (s->has_meta && h->count > 0 &&
            (newest == NULL ||
             h->entries[h->count - 1].term.n > newest->entries[newest->count - 1].term.n)) {
            newest = h;
        }
    }
    struct log_term first = {t->terms[t->committed[0].term].stretches[0].term};
    return newest != NULL && first.n != t->committed[0].term && history_find(newest, first) == NULL;
}

static const char *world_unhealed(const struct world *w)
{
    uint64_t end = truth_committed_end(&w->truth);
    const struct conf *conf = world_conf(w);

    if (conf == NULL) {
        return "nobody leads";
    }
    if (conf_kind(conf) != CONF_STABLE) {
        return "the configuration is not settled";
    }
    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct node *n = &w->nodes[i];
        struct wire_log log;
        if (n->lost || !world_is_member(w, n)) {
            continue;
        }
        if (n->acceptor == NULL) {
            return "a node does not start";
        }
        acceptor_log(n->acceptor, &log);
        if (log.flush_off != end && world_is_estranged(w, i, end)) {
            continue;
        }
        if (log.uncertain_to != 0) {
            return "a node is still uncertain";
        }
        if (n->damaged && (n->rounds < 2 || log.holes.count > 0) &&
            !world_is_forgotten(w, i, &log)) {
            return "what has rotted is not mended";
        }
        if (log.flush_off != end) {
            return "a node does not catch up";
        }
        if (log.commit != end) {
            return "a node does not know what is committed";
        }
    }
    return NULL;
}

/* For who looks at a run that got stuck. */
static void world_trace_state(const struct world *w)
{
    for (unsigned i = 0; i < w->nodes_count; i++) {
        const struct node *n = &w->nodes[i];
        struct wire_log log = {0};
        if (n->acceptor != NULL) {
            acceptor_log(n->acceptor, &log);
        }
        world_trace(w,
                    "node %u: %s%s holes %u at %" PRIu64 " to %" PRIu64 ", rounds %u, term %" PRIu64
                    ", log %" PRIu64 " to %" PRIu64 " (units %" PRIu64 ", uncertain %" PRIu64
                    ", commit %" PRIu64 ")",
                    i, n->acceptor != NULL ? "up" : "down", n->damaged ? ", damaged," : ",",
                    log.holes.count, log.holes.from, log.holes.to, n->rounds, n->shadow.meta.term.n,
                    log.begin, log.flush_off, log.unit_off, log.uncertain_to, log.commit);
    }
    for (unsigned i = 0; i < w->pairs_count; i++) {
        const struct pair *p = &w->pairs[i];
        world_trace(
            w, "pair %u: state %d, proposer %d, term %" PRIu64 ", commit %" PRIu64 " of %" PRIu64,
            i, (int)p->state, p->proposer != NULL ? (int)proposer_state(p->proposer) : -1,
            p->proposer != NULL ? proposer_term(p->proposer).n : 0,
            p->proposer != NULL ? proposer_commit(p->proposer) : 0,
            p->proposer != NULL ? proposer_end(p->proposer) : 0);
    }
}

/* I13. First the work goes on until a write is answered, then everything that is still on its way
 * is carried to its end, and all keys are read. */
static void world_check_liveness(struct world *w)
{
    uint64_t healed_at = w->now, limit = w->now + world_ms(WORLD_HEAL_MS);
    const char *why = "no write is answered";
    bool handed = false;

    while (!world_failed(w) && w->now < limit && w->clients.next_key < KV_KEYS_MAX &&
           (w->clients.answered_at <= healed_at ||
            (world_is_uncertain(w) && w->now < healed_at + world_ms(WORLD_HEAL_MS) / 2))) {
        world_run_until(w, w->now + world_ms(WORLD_SLICE_MS));
        handed = handed || world_end_doubts(w, healed_at);
    }
    if (w->clients.answered_at > healed_at || w->clients.next_key >= KV_KEYS_MAX) {
        clients_read_all(w);
        why = "the keys can't be read";
    }
    while (!world_failed(w) && w->now < limit && why != NULL) {
        world_run_until(w, w->now + world_ms(WORLD_SLICE_MS));
        handed = handed || world_end_doubts(w, healed_at);
        if (w->clients.done && !w->snappers[0].told_restore) {
            snapper_restore(w, 0);
        }
        if (w->clients.done) {
            why = world_unhealed(w);
        }
        if (why == NULL && w->clients.done && !w->snappers[0].restored) {
            why = "a Redis that is made from nothing does not reach the log's end";
        }
    }
    if (!world_failed(w) && why != NULL && world_is_birth_forgotten(w)) {
        world_count(w, COUNT_BIRTHS_FORGOTTEN);
        return;
    }
    if (!world_failed(w) && why != NULL) {
        world_trace_state(w);
        truth_violation(w, I13_LIVENESS, "%u s after the faults are over: %s", WORLD_HEAL_MS / 1000,
                        why);
    }
}

/* Every byte of every log, as it is read from the disk. */
static void world_check_disks(struct world *w)
{
    struct buf bytes = BUF_INIT;
    struct record r;
    const uint8_t *payload;
    size_t whole;

    for (unsigned i = 0; i < w->nodes_count && !world_failed(w); i++) {
        const struct node *n = &w->nodes[i];
        uint64_t at = n->shadow.begin, end = shadow_durable_end(&n->shadow);
        while (!n->lost && n->shadow.has_begin && at < end) {
            buf_clear(&bytes);
            int err = n->shadow.real->ops->read(n->shadow.real, at, 65536, &bytes);
            struct wire_log log = {0};
            if (n->acceptor != NULL) {
                acceptor_log(n->acceptor, &log);
            }
            if (err != ERR_OK && world_is_forgotten(w, i, &log) && at < log.holes.to) {
                at = log.holes.to;
                continue;
            }
            if (err != ERR_OK && (!n->damaged || world_is_member(w, n))) {
                truth_violation(w, I5_NOTHING_GOES_BACK, "node %u can't read its log at %" PRIu64,
                                i, at);
            }
            if (err != ERR_OK) {
                break;
            }
            for (size_t done = 0; done < bytes.len; done += whole) {
                MUST(wire_record(buf_head(&bytes) + done, bytes.len - done, &r, &payload, &whole) ==
                     ERR_OK);
                const uint8_t *truth = truth_bytes(&w->truth, r.term.n, r.begin, r.len_bytes);
                if (truth == NULL || memcmp(truth, payload, r.len_bytes) != 0) {
                    truth_violation(w, I2_LOG_MATCHING,
                                    "node %u holds other bytes at %" PRIu64 " than term %" PRIu64
                                    " wrote",
                                    i, r.begin, r.term.n);
                }
                at = record_end(&r);
            }
        }
    }
    buf_release(&bytes);
}

static void world_setup(struct world *w)
{
    static const uint32_t leases[] = {300, 1000, 1000, 2000};
    static const uint32_t beats[] = {4, 8, 10};

    random_init(&w->random, w->options.seed);
    w->seeds_count = world_chance(w, 70) ? 3 : 5;
    w->pairs_count = world_chance(w, 60) ? 2 : 3;
    w->snappers_count = world_chance(w, 60) ? 1 : 2;
    w->seeds_count = w->options.nodes > 0 ? w->options.nodes : w->seeds_count;
    w->nodes_count = w->seeds_count;
    w->pairs_count = w->options.pairs > 0 ? w->options.pairs : w->pairs_count;
    w->lease_ms = leases[world_below(w, 4)];
    w->heartbeat_ms = w->lease_ms / beats[world_below(w, 3)];
    faults_init(w);
    for (unsigned i = 0; i < w->nodes_count; i++) {
        node_init(w, i);
        world_start(w, i);
    }
    for (unsigned i = 0; i < w->pairs_count; i++) {
        pair_init(w, i);
        world_start(w, WORLD_REDIS + i);
        world_start(w, WORLD_PAIR + i);
    }
    for (unsigned i = 0; i < w->snappers_count; i++) {
        snapper_init(w, i);
        world_start(w, WORLD_SNAPPER + i);
    }
    clients_init(w);
}

static void world_teardown(struct world *w)
{
    for (unsigned i = 0; i < w->nodes_count; i++) {
        node_fini(w, i);
    }
    for (unsigned i = 0; i < w->pairs_count; i++) {
        pair_fini(w, i);
    }
    for (unsigned i = 0; i < w->snappers_count; i++) {
        snapper_fini(w, i);
    }
    snaps_fini(&w->snaps);
    for (unsigned i = 0; i < WORLD_PROCS; i++) {
        for (size_t k = 0; k < w->procs[i].parked_count; k++) {
            free(w->procs[i].parked[k].packet);
        }
        free(w->procs[i].parked);
    }
    clients_fini(&w->clients);
    truth_fini(&w->truth);
    faults_fini(w);
    events_fini(&w->events);
    free(w);
}

void world_run(const struct world_options *options, struct world_result *result)
{
    struct world *w = mem_calloc(1, sizeof *w);

    log_init("sim", options->trace ? LOG_LEVEL_WARN : (enum log_level)(LOG_LEVEL_ERROR + 1));
    *result = (struct world_result){.digest = 0xcbf29ce484222325ull};
    w->options = *options;
    w->result = result;
    world_setup(w);
    world_run_until(w, w->faults.length_ns);
    if (!world_failed(w)) {
        world_heal(w);
        world_check_liveness(w);
    }
    if (!world_failed(w)) {
        world_check_disks(w);
        clients_check(w);
    }
    result->virtual_ns = w->now;
    world_teardown(w);
}
