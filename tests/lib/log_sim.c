#include "tests/lib/log_sim.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/random.h"
#include "logsvc/acceptor.h"
#include "logsvc/client/proposer.h"
#include "tests/lib/fake_storage.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIM_ACCEPTORS_MAX = 5,
    SIM_PROPOSERS_MAX = 3,
    SIM_PROCS_MAX = SIM_ACCEPTORS_MAX + SIM_PROPOSERS_MAX,
    SIM_LEASE_MS = 1000,
    SIM_HEARTBEAT_MS = 100,
    SIM_APPEND_MAX = 600,
    SIM_HEAL_MS = 20000, /* the bound within which the cluster must work again */
    SIM_TERMS_MAX = 4096,
};

enum sim_kind {
    SIM_DELIVER, /* bytes to a process */
    SIM_FLUSH,   /* an acceptor's turn of its loop ends */
    SIM_TICK,
    SIM_READY,   /* a proposer's link can take a message again */
    SIM_LINK_UP, /* a proposer's link comes back */
    SIM_RESTART,
    SIM_WORK, /* the proposer's owner does something */
    SIM_FAULT,
};

struct sim_event {
    uint64_t at, order;
    enum sim_kind kind;
    unsigned proc, peer;
    unsigned life; /* of proc; 0: any */
    uint8_t *bytes;
    size_t size;
};

struct sim_proc {
    bool up;
    unsigned life;
    uint64_t paused_until;
    int64_t drift_ppm;
    uint64_t clock_base;

    struct fake_storage storage;
    struct acceptor *acceptor;
    uint64_t disk_term;
    bool flush_due;
    bool rotted;
    struct log_position
        acked; /* the newest append that it acknowledged: in which term, up to where */

    struct proposer *proposer;
    enum proposer_state seen;
    bool lead_due;
    uint64_t lead_at;
    uint64_t idle_until;
};

struct sim {
    struct log_sim_options options;
    struct log_sim_result *result;
    struct random random;
    unsigned acceptors, proposers;
    struct sim_proc procs[SIM_PROCS_MAX];
    uint64_t now, order;

    struct sim_event *heap;
    size_t heap_count, heap_cap;

    bool faults, work;
    unsigned loss_percent, dup_percent, busy_percent, delay_max_ms;
    unsigned impatient_percent; /* pre-votes that are told a lie: they are no matter of safety */
    bool cut[SIM_PROCS_MAX][SIM_PROCS_MAX];
    uint64_t isolated_until[SIM_PROCS_MAX]; /* proposers that reach nobody */
    unsigned rot_node;

    int leader_of[SIM_TERMS_MAX]; /* proposer + 1 */
    uint64_t
        committed_in[SIM_TERMS_MAX]; /* the end of what that term's leader committed; 0: none */
    bool committed_any;
    uint64_t committed_begin;
    struct buf committed; /* bytes from committed_begin on */
};

/* One callback context for each process. */
struct sim_ctx {
    struct sim *sim;
    unsigned proc;
};
static struct sim_ctx sim_ctxs[SIM_PROCS_MAX];

static void sim_violation(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void sim_violation(struct sim *s, const char *fmt, ...)
{
    va_list args;

    if (s->result->violation[0] != '\0') {
        return;
    }
    va_start(args, fmt);
    vsnprintf(s->result->violation, sizeof s->result->violation, fmt, args);
    va_end(args);
}

static void sim_trace(const struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void sim_trace(const struct sim *s, const char *fmt, ...)
{
    va_list args;

    if (!s->options.trace) {
        return;
    }
    fprintf(stderr, "%10.3f ms  ", (double)s->now / 1e6);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static uint64_t sim_below(struct sim *s, uint64_t limit)
{
    return random_below(&s->random, limit);
}

static bool sim_chance(struct sim *s, unsigned percent)
{
    return sim_below(s, 100) < percent;
}

static uint64_t sim_ms(uint64_t ms)
{
    return ms * CLOCK_NS_PER_MS;
}

static uint64_t sim_clock(const struct sim *s, unsigned proc)
{
    const struct sim_proc *p = &s->procs[proc];
    int64_t drift = (int64_t)(s->now / 1000000) * p->drift_ppm;
    return p->clock_base + (uint64_t)((int64_t)s->now + drift);
}

static uint64_t sim_committed_end(const struct sim *s)
{
    return s->committed_begin + s->committed.len;
}

static bool sim_is_acceptor(const struct sim *s, unsigned proc)
{
    return proc < s->acceptors;
}

/* --- the queue of events -------------------------------------------------------------------- */

static bool sim_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void sim_push(struct sim *s, struct sim_event e)
{
    if (s->heap_count == s->heap_cap) {
        s->heap_cap = s->heap_cap > 0 ? 2 * s->heap_cap : 256;
        s->heap = mem_realloc(s->heap, s->heap_cap * sizeof *s->heap);
    }
    e.order = ++s->order;
    size_t i = s->heap_count++;
    while (i > 0 && sim_before(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct sim_event sim_pop(struct sim *s)
{
    struct sim_event top = s->heap[0], last = s->heap[--s->heap_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_count) {
            break;
        }
        if (child + 1 < s->heap_count && sim_before(&s->heap[child + 1], &s->heap[child])) {
            child++;
        }
        if (!sim_before(&s->heap[child], &last)) {
            break;
        }
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static void sim_later(struct sim *s, uint64_t delay_ns, enum sim_kind kind, unsigned proc,
                      unsigned peer, unsigned life)
{
    sim_push(s,
             (struct sim_event){
                 .at = s->now + delay_ns, .kind = kind, .proc = proc, .peer = peer, .life = life});
}

/* --- the network ---------------------------------------------------------------------------- */

static void sim_deliver_later(struct sim *s, unsigned from, unsigned to, const uint8_t *bytes,
                              size_t size)
{
    uint64_t delay = 50000 + sim_below(s, 200000);

    if (s->faults && sim_chance(s, 10)) {
        delay += sim_below(s, sim_ms(s->delay_max_ms) + 1);
    }
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, bytes, size);
    sim_push(s, (struct sim_event){.at = s->now + delay,
                                   .kind = SIM_DELIVER,
                                   .proc = to,
                                   .peer = from,
                                   .bytes = copy,
                                   .size = size});
}

static void sim_transmit(struct sim *s, unsigned from, unsigned to, const struct wire_msg *msg)
{
    size_t size = wire_size(msg);
    uint8_t *bytes = mem_alloc(size);

    wire_encode(msg, bytes);
    s->result->messages++;
    bool isolated = s->now < s->isolated_until[from] || s->now < s->isolated_until[to];
    if (isolated || s->cut[from][to] || (s->faults && sim_chance(s, s->loss_percent))) {
        s->result->lost++;
    } else {
        sim_deliver_later(s, from, to, bytes, size);
        if (s->faults && sim_chance(s, s->dup_percent)) {
            sim_deliver_later(s, from, to, bytes, size);
        }
    }
    free(bytes);
}

static void sim_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    struct sim_ctx *c = ctx;

    if (msg->type == WIRE_APPEND_REPLY && !msg->append_reply.gap) {
        c->sim->procs[c->proc].acked =
            (struct log_position){log_term_of(msg->term), msg->append_reply.write_off};
    }
    sim_transmit(c->sim, c->proc, (unsigned)to.link, msg);
}

static bool sim_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct sim_ctx *c = ctx;
    struct sim *s = c->sim;

    if (s->faults && sim_chance(s, s->busy_percent)) {
        sim_later(s, sim_below(s, sim_ms(20)), SIM_READY, c->proc, node, s->procs[c->proc].life);
        return false;
    }
    s->result->catchups += msg->type == WIRE_READ;
    sim_transmit(s, c->proc, node, msg);
    return true;
}

static uint64_t sim_random(void *ctx)
{
    struct sim_ctx *c = ctx;

    return random_next(&c->sim->random);
}

/* --- processes ------------------------------------------------------------------------------ */

static void sim_start_acceptor(struct sim *s, unsigned proc)
{
    static const char *const names[] = {"node-a", "node-b", "node-c", "node-d", "node-e"};
    struct sim_proc *p = &s->procs[proc];
    struct acceptor_config config = {.log_id = 1,
                                     .node_id = names[proc],
                                     .disk = {{(uint8_t)(proc + 1)}},
                                     .lease_ms = SIM_LEASE_MS,
                                     .read_max_bytes = 4096};
    struct acceptor_events events = {.reply = sim_reply};
    int err = acceptor_create(&p->storage.base, &config, &events, &sim_ctxs[proc],
                              sim_clock(s, proc), &p->acceptor);

    if (err != ERR_OK) {
        sim_violation(s, "node %u does not start: %s", proc, err_text(err));
        return;
    }
    p->flush_due = false;
    sim_later(s, sim_ms(50), SIM_TICK, proc, 0, p->life);
}

static void sim_start_proposer(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];
    struct proposer_config config = {
        .log_id = 1,
        .node_count = s->acceptors,
        .lease_ms = SIM_LEASE_MS,
        .heartbeat_ms = SIM_HEARTBEAT_MS,
        .session = random_next(&s->random),
        .name = "proxy",
        .append_max_bytes = SIM_APPEND_MAX,
        .append_inflight_max = 1 + (unsigned)sim_below(s, 4),
        .window_max_bytes = 8192,
    };
    struct proposer_events events = {.send = sim_send, .random = sim_random};

    p->proposer = proposer_create(&config, &events, &sim_ctxs[proc]);
    p->seen = PROPOSER_IDLE;
    p->lead_due = false;
    p->idle_until = s->now + sim_ms(sim_below(s, 300));
    for (unsigned i = 0; i < s->acceptors; i++) {
        proposer_link_up(p->proposer, sim_clock(s, proc), i, true);
    }
    sim_later(s, sim_ms(1), SIM_TICK, proc, 0, p->life);
    sim_later(s, sim_ms(1), SIM_WORK, proc, 0, p->life);
}

static void sim_start(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];

    p->up = true;
    p->life++;
    p->paused_until = 0;
    if (sim_is_acceptor(s, proc)) {
        sim_start_acceptor(s, proc);
    } else {
        sim_start_proposer(s, proc);
    }
}

/* A disk whose last records are rotten: the node sees that something was there, not what. */
static void sim_rot(struct sim *s, unsigned proc)
{
    struct fake_storage *f = &s->procs[proc].storage;

    if (f->count == 0 || f->uncertain_to > 0) {
        return;
    }
    uint64_t end = record_end(&f->records[f->count - 1].r);
    size_t drop = 1 + (size_t)sim_below(s, f->count < 5 ? f->count : 5);
    for (size_t i = 0; i < drop; i++) {
        free(f->records[--f->count].payload);
    }
    f->flushed = f->count;
    uint64_t left = f->count > 0 ? record_end(&f->records[f->count - 1].r) : f->begin;
    if (left < end) {
        f->uncertain_to = end;
        s->procs[proc].rotted = true;
        s->result->rots++;
        sim_trace(s, "node %u: rot from %" PRIu64 " to %" PRIu64, proc, left, end);
    }
}

static void sim_crash(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];

    s->result->crashes++;
    sim_trace(s, "%s %u dies", sim_is_acceptor(s, proc) ? "node" : "proposer", proc);
    p->up = false;
    if (sim_is_acceptor(s, proc)) {
        acceptor_destroy(p->acceptor);
        p->acceptor = NULL;
        fake_storage_crash(&p->storage);
        if (s->faults && proc == s->rot_node && sim_chance(s, 50)) {
            sim_rot(s, proc);
        }
    } else {
        proposer_destroy(p->proposer);
        p->proposer = NULL;
    }
    sim_later(s, sim_ms(sim_below(s, 1500)), SIM_RESTART, proc, 0, p->life);
}

/* --- checks --------------------------------------------------------------------------------- */

/* Whether an acceptor's durable log holds the committed bytes from `from` to `to`. */
static bool sim_holds(const struct sim *s, unsigned node, uint64_t from, uint64_t to)
{
    const struct fake_storage *f = &s->procs[node].storage;
    struct buf bytes = BUF_INIT;

    if (!f->has_begin || f->begin != s->committed_begin) {
        return false;
    }
    fake_storage_bytes(f, from, &bytes);
    bool equal = bytes.len >= to - from &&
                 (to == from ||
                  memcmp(buf_head(&bytes), buf_head(&s->committed) + (from - s->committed_begin),
                         to - from) == 0);
    buf_release(&bytes);
    return equal;
}

/* A majority holds all committed bytes; a disk that rotted counts as if it still did. */
static void sim_check_held(struct sim *s, uint64_t from, const char *when)
{
    unsigned holders = 0;

    if (!s->committed_any) {
        return;
    }
    for (unsigned i = 0; i < s->acceptors; i++) {
        holders += s->procs[i].rotted || sim_holds(s, i, from, sim_committed_end(s));
    }
    if (holders < s->acceptors / 2 + 1) {
        sim_violation(s, "%s: committed bytes to %" PRIu64 " are on %u nodes only", when,
                      sim_committed_end(s), holders);
    }
}

/* Whether a node, up or down, has adopted that term. */
static bool sim_adopted(const struct sim *s, unsigned node, struct log_term term)
{
    const struct fake_storage *f = &s->procs[node].storage;
    struct meta meta;

    return f->has_meta && meta_decode(buf_head(&f->meta), f->meta.len, &meta) == ERR_OK &&
           history_find(&meta.history, term) != NULL;
}

/* Takes the newly committed bytes from a node that is in this leader's term. */
static void sim_learn_commit(struct sim *s, unsigned proc)
{
    const struct proposer *p = s->procs[proc].proposer;
    uint64_t commit = proposer_commit(p);
    struct log_term term = log_term_of(proposer_term(p));

    if (commit == 0 || (s->committed_any && commit <= sim_committed_end(s))) {
        return;
    }
    for (unsigned i = 0; i < s->acceptors; i++) {
        const struct sim_proc *a = &s->procs[i];
        struct storage_state st;
        a->storage.base.ops->state((struct storage *)&a->storage.base, &st);
        if (st.flush_off < commit || !sim_adopted(s, i, term)) {
            continue;
        }
        uint64_t from = s->committed_any ? sim_committed_end(s) : st.begin;
        s->committed_begin = s->committed_any ? s->committed_begin : st.begin;
        s->committed_any = true;
        struct buf bytes = BUF_INIT;
        fake_storage_bytes(&a->storage, from, &bytes);
        if (bytes.len < commit - from) {
            sim_violation(s, "proposer %u commits %" PRIu64 " and node %u lacks it", proc, commit,
                          i);
        } else {
            buf_append(&s->committed, buf_head(&bytes), commit - from);
        }
        buf_release(&bytes);
        s->result->committed_bytes = s->committed.len;
        s->committed_in[term.n] = commit;
        sim_check_held(s, from, "at commit");
        return;
    }
    sim_violation(s, "proposer %u commits %" PRIu64 " and nobody has it", proc, commit);
}

static void sim_check_elected(struct sim *s, unsigned proc)
{
    const struct proposer *p = s->procs[proc].proposer;
    const struct proposer_donor *d = proposer_donor(p);
    uint64_t term = proposer_term(p).n;

    s->result->elections++;
    sim_trace(s, "proposer %u elected in term %" PRIu64 ", end %" PRIu64 ".%" PRIu64 " of node %u",
              proc, term, d->end.term.n, d->end.offset, d->node);
    if (term >= SIM_TERMS_MAX) {
        sim_violation(s, "term %" PRIu64 ": terms run away", term);
        return;
    }
    if (s->leader_of[term] != 0 && s->leader_of[term] != (int)proc + 1) {
        sim_violation(s, "two leaders in term %" PRIu64, term);
    }
    s->leader_of[term] = (int)proc + 1;
    /* It may be elected late, by votes that were long under way, when a higher term's leader has
     * committed more: fenced, it can do no harm. */
    uint64_t needed = 0;
    for (uint64_t t = 0; t < term; t++) {
        needed = s->committed_in[t] > needed ? s->committed_in[t] : needed;
    }
    if (needed == 0) {
        return;
    }
    if (d->empty || d->end.offset < needed) {
        sim_violation(s, "proposer %u elected at %" PRIu64 ", committed is %" PRIu64, proc,
                      d->end.offset, needed);
    } else if (!s->procs[d->node].rotted && !sim_holds(s, d->node, s->committed_begin, needed)) {
        sim_violation(s, "proposer %u's donor %u lacks committed bytes", proc, d->node);
    }
}

static void sim_check_serving(struct sim *s)
{
    int serving = -1;

    for (unsigned i = s->acceptors; i < s->acceptors + s->proposers; i++) {
        const struct sim_proc *p = &s->procs[i];
        if (p->proposer == NULL || !proposer_may_serve(p->proposer, sim_clock(s, i))) {
            continue;
        }
        if (serving >= 0) {
            sim_violation(s, "proposers %d and %u may both serve", serving, i);
        }
        serving = (int)i;
    }
}

static void sim_check_acceptor(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];

    if (p->acceptor == NULL) {
        return;
    }
    if (acceptor_term(p->acceptor).n < p->disk_term) {
        sim_violation(s, "node %u's term fell", proc);
    }
    p->disk_term = acceptor_term(p->acceptor).n;
    /* What was acknowledged may be cut by the leader of a higher term only. */
    struct wire_log log;
    acceptor_log(p->acceptor, &log);
    if (!p->rotted && p->disk_term == p->acked.term.n && log.flush_off < p->acked.offset) {
        sim_violation(s, "node %u acknowledged %" PRIu64 " and ends at %" PRIu64, proc,
                      p->acked.offset, log.flush_off);
    }
    uint64_t commit = acceptor_commit(p->acceptor);
    if (commit > 0 && (!s->committed_any || commit > sim_committed_end(s))) {
        for (unsigned i = s->acceptors; i < s->acceptors + s->proposers; i++) {
            if (s->procs[i].proposer != NULL) {
                sim_learn_commit(s, i);
            }
        }
        if (!s->committed_any || commit > sim_committed_end(s)) {
            sim_violation(s, "node %u believes %" PRIu64 " committed", proc, commit);
        }
    }
}

static void sim_check_step(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];

    if (sim_is_acceptor(s, proc)) {
        sim_check_acceptor(s, proc);
    } else if (p->proposer != NULL) {
        enum proposer_state state = proposer_state(p->proposer);
        if (state == PROPOSER_ELECTED && p->seen != PROPOSER_ELECTED) {
            sim_check_elected(s, proc);
        }
        p->seen = state;
        if (state == PROPOSER_LEADING) {
            sim_learn_commit(s, proc);
        }
    }
    sim_check_serving(s);
}

/* --- what the owner of a proposer does ------------------------------------------------------ */

static void sim_append_unit(struct sim *s, struct proposer *p)
{
    uint8_t bytes[4 * SIM_APPEND_MAX];
    size_t size = 1 + (size_t)sim_below(s, sim_chance(s, 5) ? sizeof bytes : 120);
    uint64_t end = proposer_end(p), term = proposer_term(p).n;

    for (size_t i = 0; i < size; i++) {
        uint64_t at = end + i;
        bytes[i] = (uint8_t)(at * 7 + (at >> 8) * 31 + term * 131);
    }
    size_t first = (size_t)sim_below(s, size); /* in two pieces, at times */
    if (first > 0 && sim_chance(s, 30)) {
        proposer_append(p, bytes, first, false, s->now);
        proposer_append(p, bytes + first, size - first, true, s->now);
    } else {
        proposer_append(p, bytes, size, true, s->now);
    }
}

static void sim_lead(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];
    const struct proposer_donor *d = proposer_donor(p->proposer);
    uint64_t begin = d->empty ? 1 + sim_below(s, 3) * 100 : d->end.offset;
    struct replid replid;

    memset(replid.hex, 'a' + (int)(proc % 20), sizeof replid.hex);
    p->lead_due = false;
    proposer_lead(p->proposer, sim_clock(s, proc), begin, &replid);
    sim_trace(s, "proposer %u leads from %" PRIu64, proc, begin);
}

static void sim_work(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];

    switch (proposer_state(p->proposer)) {
    case PROPOSER_IDLE:
    case PROPOSER_DEPOSED:
        if (s->now >= p->idle_until) {
            proposer_campaign(p->proposer, sim_clock(s, proc));
            p->lead_due = false;
        }
        break;
    case PROPOSER_ELECTED:
        if (!p->lead_due) {
            p->lead_due = true;
            p->lead_at = s->now + sim_ms(sim_below(s, sim_chance(s, 10) ? 3000 : 100));
        } else if (s->now >= p->lead_at) {
            sim_lead(s, proc);
        }
        break;
    case PROPOSER_LEADING:
        if (s->faults &&
            sim_below(s, proposer_safe_at_ns(p->proposer) > sim_clock(s, proc) ? 60 : 500) == 0) {
            s->result->releases++;
            sim_trace(s, "proposer %u releases", proc);
            proposer_release(p->proposer, sim_clock(s, proc));
            p->idle_until = s->now + sim_ms(sim_below(s, 1000));
            break;
        }
        /* Never far ahead of the commit: the proxy bounds what it lets in. */
        if (s->work && proposer_end(p->proposer) < proposer_commit(p->proposer) + 20000) {
            for (unsigned i = (unsigned)sim_below(s, 4); i > 0; i--) {
                sim_append_unit(s, p->proposer);
            }
        }
        proposer_flush(p->proposer, sim_clock(s, proc));
        break;
    case PROPOSER_ASKING:
    case PROPOSER_VOTING:
        p->lead_due = false;
        break;
    }
    sim_later(s, sim_ms(2 + sim_below(s, 20)), SIM_WORK, proc, 0, p->life);
}

/* --- events --------------------------------------------------------------------------------- */

/* The disk failed under an acceptor: it dies, as the product does. */
static void sim_acceptor_done(struct sim *s, unsigned proc, int err)
{
    if (err != ERR_OK) {
        sim_crash(s, proc);
    }
}

static void sim_deliver(struct sim *s, const struct sim_event *e)
{
    struct sim_proc *p = &s->procs[e->proc];
    struct wire_msg msg;

    if (!p->up) {
        return;
    }
    if (wire_decode(e->bytes, e->size, &msg) != ERR_OK) {
        sim_violation(s, "a message can't be decoded");
        return;
    }
    if (!sim_is_acceptor(s, e->proc)) {
        if (msg.type == WIRE_HELLO_REPLY && s->faults && sim_chance(s, s->impatient_percent)) {
            msg.hello_reply.heard_ns = WIRE_NEVER;
        }
        proposer_receive(p->proposer, sim_clock(s, e->proc), e->peer, &msg);
        return;
    }
    struct acceptor_reply_to to = {.link = e->peer};
    int err = acceptor_receive(p->acceptor, sim_clock(s, e->proc), &msg, to);
    if (err == ERR_OK && !p->flush_due) {
        p->flush_due = true;
        sim_later(s, sim_below(s, sim_ms(s->faults && sim_chance(s, 5) ? 200 : 2)), SIM_FLUSH,
                  e->proc, 0, p->life);
    }
    sim_acceptor_done(s, e->proc, err);
}

static void sim_tick(struct sim *s, unsigned proc)
{
    struct sim_proc *p = &s->procs[proc];

    if (sim_is_acceptor(s, proc)) {
        int err = ERR_OK;
        if (acceptor_next_tick_ns(p->acceptor) <= sim_clock(s, proc)) {
            err = acceptor_tick(p->acceptor, sim_clock(s, proc));
        }
        sim_later(s, sim_ms(50), SIM_TICK, proc, 0, p->life);
        sim_acceptor_done(s, proc, err);
        return;
    }
    if (proposer_next_tick_ns(p->proposer) <= sim_clock(s, proc)) {
        proposer_tick(p->proposer, sim_clock(s, proc));
    }
    sim_later(s, sim_ms(5 + sim_below(s, 10)), SIM_TICK, proc, 0, p->life);
}

static void sim_fault_link(struct sim *s)
{
    unsigned proposer = s->acceptors + (unsigned)sim_below(s, s->proposers);
    unsigned node = (unsigned)sim_below(s, s->acceptors);

    switch (sim_below(s, 4)) {
    case 0: /* one direction, or both */
        s->cut[proposer][node] = sim_chance(s, 70);
        s->cut[node][proposer] = sim_chance(s, 70);
        break;
    case 1:
        s->cut[proposer][node] = s->cut[node][proposer] = false;
        break;
    case 2:
        memset(s->cut, 0, sizeof s->cut);
        break;
    default:
        if (s->procs[proposer].up) {
            proposer_link_up(s->procs[proposer].proposer, sim_clock(s, proposer), node, false);
            sim_later(s, sim_below(s, sim_ms(500)), SIM_LINK_UP, proposer, node,
                      s->procs[proposer].life);
        }
        break;
    }
}

/* The leader stays behind with its lease, unaware, while the others get along without it. At times
 * all nodes restart just then, and have forgotten whom they heard. */
static void sim_fault_isolate(struct sim *s)
{
    for (unsigned i = s->acceptors; i < s->acceptors + s->proposers; i++) {
        const struct proposer *p = s->procs[i].proposer;
        if (p != NULL && proposer_state(p) == PROPOSER_LEADING && sim_chance(s, 50)) {
            s->isolated_until[i] = s->now + sim_ms(300 + sim_below(s, 3000));
            sim_trace(s, "proposer %u is isolated", i);
        }
    }
    if (sim_chance(s, 30)) {
        for (unsigned i = 0; i < s->acceptors; i++) {
            if (s->procs[i].up) {
                sim_crash(s, i);
                sim_later(s, sim_ms(sim_below(s, 100)), SIM_RESTART, i, 0, s->procs[i].life);
            }
        }
    }
}

static void sim_fault(struct sim *s)
{
    unsigned proc = (unsigned)sim_below(s, s->acceptors + s->proposers);
    struct sim_proc *p = &s->procs[proc];

    if (!s->faults) {
        return;
    }
    sim_later(s, sim_ms(20 + sim_below(s, 400)), SIM_FAULT, 0, 0, 0);
    switch (sim_below(s, 6)) {
    case 0:
        if (p->up) {
            sim_crash(s, proc);
        }
        break;
    case 1:
        p->paused_until = s->now + sim_ms(sim_below(s, sim_chance(s, 30) ? 4000 : 300));
        s->result->pauses++;
        sim_trace(s, "process %u pauses", proc);
        break;
    case 2: /* the disk fails soon: the machine dies in the middle of something */
        if (sim_is_acceptor(s, proc)) {
            p->storage.fail_at = 1 + (unsigned)sim_below(s, 20);
            p->storage.fail_after = sim_chance(s, 50);
        }
        break;
    case 3:
        sim_fault_isolate(s);
        break;
    default:
        sim_fault_link(s);
        break;
    }
}

static void sim_handle(struct sim *s, struct sim_event *e)
{
    struct sim_proc *p = &s->procs[e->proc];

    if (e->kind == SIM_FAULT) {
        sim_fault(s);
        return;
    }
    if (e->kind == SIM_RESTART) {
        if (!p->up && e->life == p->life) {
            sim_start(s, e->proc);
        }
        return;
    }
    if (!p->up || (e->life != 0 && e->life != p->life)) {
        return;
    }
    switch (e->kind) {
    case SIM_DELIVER:
        sim_deliver(s, e);
        break;
    case SIM_FLUSH:
        p->flush_due = false;
        sim_acceptor_done(s, e->proc, acceptor_flush(p->acceptor, sim_clock(s, e->proc)));
        break;
    case SIM_TICK:
        sim_tick(s, e->proc);
        break;
    case SIM_READY:
        proposer_link_ready(p->proposer, sim_clock(s, e->proc), e->peer);
        break;
    case SIM_LINK_UP:
        proposer_link_up(p->proposer, sim_clock(s, e->proc), e->peer, true);
        break;
    case SIM_WORK:
        sim_work(s, e->proc);
        break;
    case SIM_RESTART:
    case SIM_FAULT:
        break;
    }
    sim_check_step(s, e->proc);
}

static void sim_run_until(struct sim *s, uint64_t until)
{
    while (s->heap_count > 0 && s->heap[0].at <= until && s->result->violation[0] == '\0') {
        struct sim_event e = sim_pop(s);
        s->now = e.at;
        s->result->events++;
        struct sim_proc *p = &s->procs[e.proc];
        if (e.kind != SIM_FAULT && e.kind != SIM_RESTART && p->up && s->now < p->paused_until) {
            e.at = p->paused_until;
            sim_push(s, e);
            continue;
        }
        sim_handle(s, &e);
        free(e.bytes);
    }
    s->now = until;
}

/* Everything works from now on. */
static void sim_heal(struct sim *s)
{
    sim_trace(s, "the faults stop");
    s->faults = false;
    memset(s->cut, 0, sizeof s->cut);
    memset(s->isolated_until, 0, sizeof s->isolated_until);
    for (unsigned i = 0; i < s->acceptors + s->proposers; i++) {
        s->procs[i].paused_until = 0;
        s->procs[i].storage.fail_at = 0;
        if (!s->procs[i].up) {
            sim_start(s, i);
        } else if (!sim_is_acceptor(s, i)) {
            for (unsigned k = 0; k < s->acceptors; k++) {
                proposer_link_up(s->procs[i].proposer, sim_clock(s, i), k, true);
            }
        }
    }
}

/* All nodes have what is committed, and nothing is left uncommitted. */
static void sim_check_end(struct sim *s, uint64_t committed_before)
{
    if (!s->committed_any || sim_committed_end(s) <= committed_before) {
        sim_violation(s, "nothing was committed after the faults stopped (at %" PRIu64 ")",
                      committed_before);
        return;
    }
    for (unsigned i = 0; i < s->acceptors; i++) {
        struct wire_log log;
        acceptor_log(s->procs[i].acceptor, &log);
        if (s->procs[i].storage.misuse_count > 0) {
            sim_violation(s, "node %u's storage was asked for what can't be", i);
        }
        if (!sim_holds(s, i, s->committed_begin, sim_committed_end(s)) ||
            log.flush_off != sim_committed_end(s) || log.uncertain_to != 0) {
            sim_violation(s, "node %u ends at %" PRIu64 ", committed is %" PRIu64, i, log.flush_off,
                          sim_committed_end(s));
        }
        if (log.commit != sim_committed_end(s)) {
            sim_violation(s, "node %u knows commit %" PRIu64 ", it is %" PRIu64, i, log.commit,
                          sim_committed_end(s));
        }
    }
}

static void sim_setup(struct sim *s)
{
    static const unsigned losses[] = {0, 1, 5, 20};

    random_init(&s->random, s->options.seed);
    s->acceptors = s->options.acceptors > 0 ? s->options.acceptors : 3;
    s->proposers = s->options.proposers > 0 ? s->options.proposers
                                            : 1 + (unsigned)sim_below(s, SIM_PROPOSERS_MAX);
    s->faults = s->options.fault_ms > 0;
    s->work = true;
    s->loss_percent = losses[sim_below(s, 4)];
    s->dup_percent = losses[sim_below(s, 4)];
    s->busy_percent = losses[sim_below(s, 4)];
    s->impatient_percent = sim_chance(s, 50) ? 0 : (unsigned)sim_below(s, 60);
    s->delay_max_ms = (unsigned)sim_below(s, 2) * 300 + 20;
    s->rot_node = (unsigned)sim_below(s, s->acceptors * 2); /* none, half of the time */
    for (unsigned i = 0; i < s->acceptors + s->proposers; i++) {
        sim_ctxs[i] = (struct sim_ctx){.sim = s, .proc = i};
        s->procs[i].drift_ppm = (int64_t)sim_below(s, 19801) - 9900;
        s->procs[i].clock_base = sim_ms(1000000 + sim_below(s, 1000000));
        if (sim_is_acceptor(s, i)) {
            fake_storage_init(&s->procs[i].storage);
        }
    }
    for (unsigned i = 0; i < s->acceptors + s->proposers; i++) {
        sim_start(s, i);
    }
    sim_later(s, sim_ms(100), SIM_FAULT, 0, 0, 0);
}

static void sim_teardown(struct sim *s)
{
    for (unsigned i = 0; i < s->acceptors + s->proposers; i++) {
        acceptor_destroy(s->procs[i].acceptor);
        proposer_destroy(s->procs[i].proposer);
        if (sim_is_acceptor(s, i)) {
            fake_storage_fini(&s->procs[i].storage);
        }
    }
    while (s->heap_count > 0) {
        free(s->heap[--s->heap_count].bytes);
    }
    free(s->heap);
    buf_release(&s->committed);
    free(s);
}

void log_sim_run(const struct log_sim_options *options, struct log_sim_result *result)
{
    struct sim *s = mem_calloc(1, sizeof *s);

    *result = (struct log_sim_result){0};
    s->options = *options;
    s->result = result;
    sim_setup(s);
    for (uint64_t at = 500; at <= options->fault_ms; at += 500) {
        sim_run_until(s, sim_ms(at));
        sim_check_held(s, s->committed_begin, "while running");
    }
    uint64_t before = s->committed_any ? sim_committed_end(s) : 0;
    if (result->violation[0] == '\0') {
        sim_heal(s);
        sim_run_until(s, s->now + sim_ms(SIM_HEAL_MS));
        s->work = false;
        sim_run_until(s, s->now + sim_ms(3000));
        if (result->violation[0] == '\0') {
            sim_check_end(s, before);
        }
    }
    result->virtual_ms = s->now / CLOCK_NS_PER_MS;
    sim_teardown(s);
}
