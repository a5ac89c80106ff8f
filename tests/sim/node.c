#include "tests/sim/node.h"

#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODE_SEGMENT_BYTES = SEGMENT_BYTES_MIN, NODE_READ_MAX_BYTES = 4096, NODE_TURN_US = 100 };
/* As logsvc/acceptor_snaps.c has it. */
enum { NODE_UPLOAD_FORGET_MS = 5000 };

void node_name(unsigned node, char out[16])
{
    (void)snprintf(out, 16, "node-%c", 'a' + (char)node);
}

void node_init(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];

    n->exists = true;
    n->disk = fake_disk_create();
    shadow_init(&n->shadow, w, node);
}

void node_lose_disk(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];

    MUST(n->store == NULL);
    fake_disk_destroy(n->disk);
    shadow_fini(&n->shadow);
    n->shadow = (struct shadow){0};
    n->lost = n->damaged = n->votes_old = n->votes_rotted = n->accepted_any = false;
    node_init(w, node);
}

void node_fini(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];

    acceptor_destroy(n->acceptor);
    store_close(n->store);
    fake_disk_destroy(n->disk);
    shadow_fini(&n->shadow);
}

/* --- what it says --- */

static void node_check_vote(struct world *w, unsigned node, const struct wire_msg *msg)
{
    struct node *n = &w->nodes[node];
    const struct wire_vote_reply *m = &msg->vote_reply;
    struct shadow *s = &n->shadow;

    if (!m->granted) {
        return;
    }
    if (msg->term.n <= s->promised) {
        truth_violation(w, I1_ONE_LEADER, "node %u grants term %" PRIu64 " again", node,
                        msg->term.n);
    }
    if (s->saving || s->meta.term.n != msg->term.n) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u grants term %" PRIu64 " before it is durable", node, msg->term.n);
    }
    if (s->durable != s->count) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u votes while bytes from %" PRIu64 " to %" PRIu64 " aren't durable",
                        node, shadow_durable_end(s), shadow_end(s));
    }
    s->promised = msg->term.n;
    truth_granted(w, node, msg->term.n, m->log.uncertain_to == 0);
    if (m->elapsed_ns != WIRE_NEVER && n->accepted_any) {
        uint64_t real = w->now - n->accepted_at;
        uint64_t most = real + real / 100 + 1000;
        if (m->elapsed_ns > most) {
            truth_violation(w, I9_LEASE,
                            "node %u says that it accepted its last append %.3f ms ago, it was "
                            "%.3f",
                            node, (double)m->elapsed_ns / 1e6, (double)real / 1e6);
        }
    }
}

/* Where its log ends, as it tells; in the order of elections that never goes back. */
static void node_check_position(struct world *w, unsigned node, const struct wire_log *log,
                                bool after_elected)
{
    struct shadow *s = &w->nodes[node].shadow;

    if (log->empty) {
        return;
    }
    bool short_units = log->unit_off < shadow_unit_end(s) && w->nodes[node].damaged;
    if (short_units && log->uncertain_to == 0) {
        truth_violation(w, I14_NO_SILENT_LOSS,
                        "damaged node %u says that its whole units end at %" PRIu64
                        " and is certain of it, they end at %" PRIu64,
                        node, log->unit_off, shadow_unit_end(s));
    }
    if (log->flush_off != shadow_durable_end(s) ||
        (log->unit_off != shadow_unit_end(s) && !short_units)) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u says it holds %" PRIu64 " (units to %" PRIu64
                        "), durable are %" PRIu64 " (%" PRIu64 ")",
                        node, log->flush_off, log->unit_off, shadow_durable_end(s),
                        shadow_unit_end(s));
    }
    const struct history *h = &s->meta.history;
    struct log_position at = {h->entries[h->count - 1].term, log->flush_off};
    struct log_position ranked = {history_last_term(h, log->flush_off), log->flush_off};
    struct log_position counted = {{s->counted_term}, s->counted_to};
    /* A bounded history may have forgotten all terms of a log that lags: then its vote says
     * nothing. */
    bool reaches = h->count == 0 || h->entries[0].begin <= log->flush_off;
    if (s->told_any && !s->between && log->uncertain_to == 0 && reaches &&
        (log_position_compare(at, s->told) < 0 || log_position_compare(ranked, counted) < 0)) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u has gone back from (%" PRIu64 ", %" PRIu64 ") to (%" PRIu64
                        ", %" PRIu64 "), it had helped to commit (%" PRIu64 ", %" PRIu64 ")",
                        node, s->told.term.n, s->told.offset, at.term.n, at.offset, counted.term.n,
                        counted.offset);
    }
    if (after_elected && s->between) {
        truth_violation(w, I2_LOG_MATCHING, "node %u accepts a leader without its history", node);
    }
    if (log->uncertain_to == 0 && !s->between) {
        s->told = at;
        s->told_any = true;
    }
    if (log->commit > truth_committed_end(&w->truth)) {
        truth_violation(w, I3_LEADER_COMPLETE,
                        "node %u takes %" PRIu64 " for committed, it is %" PRIu64, node,
                        log->commit, truth_committed_end(&w->truth));
    }
}

static void node_acked(struct shadow *s, uint64_t term, uint64_t unit_off)
{
    if (s->acked_term != term || unit_off > s->acked_unit) {
        s->acked_unit = unit_off;
    }
    s->acked_term = term;
}

static void node_check_ack(struct world *w, unsigned node, const struct wire_msg *msg)
{
    struct shadow *s = &w->nodes[node].shadow;
    const struct wire_append_reply *m = &msg->append_reply;

    if (m->gap) {
        return;
    }
    if (m->write_off > shadow_durable_end(s) || m->unit_off > shadow_unit_end(s)) {
        truth_violation(w, I5_NOTHING_GOES_BACK,
                        "node %u acknowledges %" PRIu64 " (units to %" PRIu64
                        "), durable are %" PRIu64 " (%" PRIu64 ")",
                        node, m->write_off, m->unit_off, shadow_durable_end(s), shadow_unit_end(s));
    }
    if (s->meta.term.n != msg->term.n) {
        truth_violation(w, I7_COMMIT_RULE,
                        "node %u acknowledges in term %" PRIu64 ", it is in %" PRIu64, node,
                        msg->term.n, s->meta.term.n);
    }
    if (m->commit > truth_committed_end(&w->truth)) {
        truth_violation(w, I3_LEADER_COMPLETE,
                        "node %u takes %" PRIu64 " for committed, it is %" PRIu64, node, m->commit,
                        truth_committed_end(&w->truth));
    }
    node_acked(s, msg->term.n, m->unit_off);
}

static void node_check_read(struct world *w, unsigned node, const struct wire_msg *msg)
{
    const struct node *n = &w->nodes[node];
    uint64_t asked = n->request->term.n;
    struct record r;
    const uint8_t *payload;
    size_t whole;

    if (asked != 0 && asked != acceptor_term(n->acceptor).n) {
        truth_violation(w, I3_LEADER_COMPLETE,
                        "node %u in term %" PRIu64 " answers a read of term %" PRIu64, node,
                        acceptor_term(n->acceptor).n, asked);
    }
    uint64_t limit = asked != 0 ? shadow_durable_end(&n->shadow) : truth_committed_end(&w->truth);
    for (size_t at = 0; at < msg->data_size; at += whole) {
        MUST(wire_record(msg->data + at, msg->data_size - at, &r, &payload, &whole) == ERR_OK);
        if (r.len_bytes > 0 && record_end(&r) > limit) {
            truth_violation(w, I10_CLIENTS,
                            "node %u hands out %" PRIu64 ", only %" PRIu64 " may be", node,
                            record_end(&r), limit);
        }
    }
}

static void node_check_reply(struct world *w, unsigned node, const struct wire_msg *msg)
{
    struct shadow *s = &w->nodes[node].shadow;

    if (msg->type == WIRE_VOTE_REPLY) {
        node_check_vote(w, node, msg);
        if (msg->vote_reply.granted) {
            node_check_position(w, node, &msg->vote_reply.log, false);
        }
    } else if (msg->type == WIRE_ELECTED_REPLY) {
        node_check_position(w, node, &msg->elected_reply.log, true);
        truth_adopted(w, node, msg->term.n);
        s->promised = msg->term.n > s->promised ? msg->term.n : s->promised;
        node_acked(s, msg->term.n, msg->elected_reply.log.unit_off);
    } else if (msg->type == WIRE_TRIM_REPLY || msg->type == WIRE_REBASE_REPLY) {
        node_check_position(w, node, &msg->log_reply.log, true);
    } else if (msg->type == WIRE_APPEND_REPLY) {
        node_check_ack(w, node, msg);
    } else if (msg->type == WIRE_READ_REPLY) {
        world_count(w, COUNT_READS);
        node_check_read(w, node, msg);
    } else if (msg->type == WIRE_REFUSED) {
        w->nodes[node].refused = true;
    } else {
        snaps_check_reply(w, node, msg);
    }
}

static void node_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    struct shadow *s = ctx;
    struct world *w = s->world;
    struct node *n = &w->nodes[s->node];

    node_check_reply(w, s->node, msg);
    MUST(n->outbox_count < NODE_OUTBOX);
    n->outbox[n->outbox_count++] = network_encode(w, s->node, (unsigned)to.link, msg);
}

/* --- its steps --- */

static void node_drop_outbox(struct node *n)
{
    while (n->outbox_count > 0) {
        free(n->outbox[--n->outbox_count]);
    }
}

static void node_schedule_tick(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    uint64_t at = acceptor_next_tick_ns(n->acceptor);

    if (n->tick_due || at == UINT64_MAX) {
        return;
    }
    n->tick_due = true;
    at = world_real(w, node, at);
    uint64_t least = w->now + CLOCK_NS_PER_MS; /* it may be due and wait for a flush */
    world_later(w, (at > least ? at : least) - w->now, EVENT_NODE_TICK, node, 0, 0);
}

static void node_schedule_scrub(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    struct storage_state st;

    n->shadow.real->ops->state(n->shadow.real, &st);
    uint64_t at = scrub_next_ns(&n->scrub, st.holes.count > 0);
    if (n->scrub_due || at == UINT64_MAX) {
        return;
    }
    n->scrub_due = true;
    at = world_real(w, node, at);
    uint64_t least = w->now + CLOCK_NS_PER_MS;
    world_later(w, (at > least ? at : least) - w->now, EVENT_NODE_SCRUB, node, 0, 0);
}

static void node_schedule_pack(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    uint64_t at = pack_pace_next_ns(&n->pack);

    if (n->pack_due || at == UINT64_MAX) {
        return;
    }
    n->pack_due = true;
    at = world_real(w, node, at);
    uint64_t least = w->now + CLOCK_NS_PER_MS;
    world_later(w, (at > least ? at : least) - w->now, EVENT_NODE_PACK, node, 0, 0);
}

/* How long the disk needed for the syncs since the step began. */
static uint64_t node_disk_ns(struct world *w, struct node *n)
{
    uint64_t syncs = fake_disk_syncs(n->disk) - n->syncs_seen;
    uint64_t cost = 0;

    n->syncs_seen = fake_disk_syncs(n->disk);
    if (syncs > 0) {
        cost = syncs * (w->faults.sync_ns / 2 + world_below(w, w->faults.sync_ns + 1));
    }
    if (syncs > 0 && w->now < n->slow_until) {
        cost += world_below(w, n->slow_ns + 1);
        world_count(w, FAULT_SLOW_SYNC);
    }
    return cost;
}

/* What was answered leaves when the disk is done; until then the node does nothing else. */
static void node_step_done(struct world *w, unsigned node, int err)
{
    struct node *n = &w->nodes[node];

    if (err != ERR_OK) {
        enum fake_disk_loss loss = FAKE_DISK_KEEP_ALL;
        if (fake_disk_is_dead(n->disk) && world_chance(w, 70)) {
            loss = world_chance(w, 30) ? FAKE_DISK_LOSE_ALL : FAKE_DISK_LOSE_SOME;
        }
        world_trace(w, "node %u: %s", node, err_text(err));
        node_drop_outbox(n);
        node_crash(w, node, loss, world_ms(world_below(w, 500)));
        return;
    }
    uint64_t done = w->now + node_disk_ns(w, n);
    w->procs[node].busy_until = done;
    for (unsigned i = 0; i < n->outbox_count; i++) {
        network_post(w, n->outbox[i], done);
    }
    n->outbox_count = 0;
    n->commit_seen = acceptor_commit(n->acceptor);
    node_schedule_tick(w, node);
    node_schedule_scrub(w, node);
    node_schedule_pack(w, node);
}

void node_start(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    char name[16];
    struct store_config config = {.disk = fake_disk(n->disk),
                                  .folder = "log-1",
                                  .node_id = name,
                                  .log_id = 1,
                                  .segment_bytes = NODE_SEGMENT_BYTES,
                                  /* No file is smaller than these segments: any will do. */
                                  .pack_percent = w->faults.pack_bytes_per_s > 0 ? 100 : 0};
    struct acceptor_config acceptor = {.log_id = 1,
                                       .node_id = name,
                                       .lease_ms = w->lease_ms,
                                       .read_max_bytes = NODE_READ_MAX_BYTES};
    for (size_t i = 0; i < sizeof acceptor.disk.bytes; i++) {
        acceptor.disk.bytes[i] = (uint8_t)(1 + world_below(w, 255));
    }
    struct acceptor_events events = {.reply = node_reply};

    node_name(node, name);
    n->flush_due = n->tick_due = n->scrub_due = n->pack_due = false;
    n->rounds = 0;
    scrub_init(&n->scrub, &w->faults.scrub, world_clock(w, node));
    pack_pace_init(&n->pack, w->faults.pack_bytes_per_s, world_clock(w, node));
    n->session_term = n->session = 0;
    n->session_elected = false;
    n->upload = (struct node_upload){0};
    n->syncs_seen = fake_disk_syncs(n->disk);
    int err = store_open(&config, &n->store);
    if (err == ERR_OK) {
        shadow_attach(&n->shadow, store_storage(n->store));
        err = acceptor_create(&n->shadow.base, &acceptor, &events, &n->shadow, world_clock(w, node),
                              &n->acceptor);
    }
    if (err == ERR_CORRUPT && fake_disk_read_failed(n->disk)) {
        fake_disk_fail_read_at(n->disk, 0);
        node_crash(w, node, FAKE_DISK_KEEP_ALL, world_ms(200)); /* the next time it can be read */
        return;
    }
    /* What it must have can't be read, however often it tries. */
    n->failed_starts =
        err == ERR_IO && n->damaged && !fake_disk_is_dead(n->disk) ? n->failed_starts + 1 : 0;
    if (err == ERR_CORRUPT || err == ERR_REFUSED || n->failed_starts >= NODE_STARTS_MAX) {
        if (!n->damaged) {
            truth_violation(w, I5_NOTHING_GOES_BACK, "node %u does not start: %s", node,
                            err_text(err));
        }
        world_trace(w, "node %u refuses to start: it is damaged", node);
        n->lost = true;
        world_count(w, COUNT_NODES_LOST);
        node_crash(w, node, FAKE_DISK_KEEP_ALL, 0);
        return;
    }
    if (err == ERR_NO_SPACE) {
        node_crash(w, node, FAKE_DISK_KEEP_ALL, world_ms(200));
        return;
    }
    node_step_done(w, node, err);
}

void node_crash(struct world *w, unsigned node, enum fake_disk_loss loss, uint64_t back_ns)
{
    struct node *n = &w->nodes[node];

    world_trace(w, "node %u dies (%s)", node,
                loss == FAKE_DISK_KEEP_ALL ? "the process" : "the machine");
    node_drop_outbox(n);
    acceptor_destroy(n->acceptor);
    n->acceptor = NULL;
    store_close(n->store);
    n->store = NULL;
    n->commit_seen = 0;
    fake_disk_crash(n->disk, loss, random_next(&w->random));
    world_died(w, node, n->lost ? UINT64_MAX : back_ns);
}

/* Whether this message belongs to a session that is over: then it may change nothing. */
static bool node_is_stale(const struct node *n, const struct wire_msg *msg)
{
    return msg->channel == WIRE_PROPOSER &&
           (msg->type == WIRE_ELECTED || msg->type == WIRE_APPEND || msg->type == WIRE_TRIM ||
            msg->type == WIRE_REBASE) &&
           msg->term.n == n->session_term && msg->session < n->session;
}

/* Notes sessions as the acceptor has accepted them. */
static void node_follow_session(struct node *n, const struct wire_msg *msg, bool refused)
{
    bool greeted =
        msg->type == WIRE_HELLO && msg->term.n > 0 && msg->term.n >= acceptor_term(n->acceptor).n;
    bool told = msg->type == WIRE_ELECTED;

    if ((greeted || told) && !refused) {
        bool same = n->session_term == msg->term.n && n->session == msg->session;
        n->session_elected = told || (n->session_elected && same);
        n->session_term = msg->term.n;
        n->session = msg->session;
    }
}

/* I9: whoever gives back what this node knows of leases: they are over, all that it ever gave. */
static void node_follow_release(struct world *w, unsigned node, const struct wire_msg *msg)
{
    struct node *n = &w->nodes[node];

    if (!n->session_elected || n->session_term != msg->term.n || n->session != msg->session) {
        world_count(w, COUNT_RELEASES_BESIDE);
    }
    n->session_elected = false;
    truth_released(w, node, msg->term.n, acceptor_term(n->acceptor).n);
}

/* An upload of another session is being received, and its uploader is there: it stays. */
static bool node_is_receiving(struct world *w, unsigned node, const struct wire_msg *msg)
{
    const struct node_upload *u = &w->nodes[node].upload;

    return u->active && u->linked && u->term == msg->term.n && u->session != msg->session &&
           world_clock(w, node) - u->heard < world_ms(NODE_UPLOAD_FORGET_MS);
}

/* I16: what is stored is what one uploader sent in one session. */
static void node_follow_upload(struct world *w, unsigned node, unsigned from,
                               const struct wire_msg *msg, uint64_t taken, bool receiving)
{
    struct node *n = &w->nodes[node];
    struct node_upload *u = &n->upload;
    bool took = n->shadow.snaps.taken != taken;

    if (msg->type == WIRE_SNAP_BEGIN && !n->refused) {
        if (receiving) {
            truth_violation(w, I16_SNAPSHOT_WHOLE,
                            "node %u gives up an upload whose uploader is there", node);
        }
        *u = (struct node_upload){.active = true,
                                  .linked = true,
                                  .session = msg->session,
                                  .term = msg->term.n,
                                  .offset = msg->snap_begin.info.offset};
    }
    bool its = u->session == msg->session && u->term == msg->term.n;
    if (took && (!its || (msg->type == WIRE_SNAP_WRITE && u->offset != msg->snap_write.offset))) {
        truth_violation(w, I16_SNAPSHOT_WHOLE, "node %u takes %s of another upload", node,
                        wire_type_name(msg->type));
    }
    if (its && msg->type >= WIRE_SNAP_BEGIN && msg->type <= WIRE_SNAP_COMMIT_REPLY) {
        u->active = u->active && !n->refused && msg->type != WIRE_SNAP_COMMIT;
        u->heard = world_clock(w, node);
        u->link = from;
        u->linked = true;
    }
    /* Who finds no room has given up what was there. */
    u->active = u->active && !(msg->type == WIRE_SNAP_BEGIN && n->refused && !receiving);
}

void node_link_closed(struct world *w, unsigned node, unsigned from)
{
    struct node *n = &w->nodes[node];

    if (n->acceptor != NULL) {
        n->upload.linked = n->upload.linked && n->upload.link != from;
        acceptor_link_closed(n->acceptor, world_clock(w, node), from);
    }
}

void node_message(struct world *w, unsigned node, unsigned from, const struct wire_msg *msg)
{
    struct node *n = &w->nodes[node];
    struct acceptor_reply_to to = {.link = from};
    bool stale = node_is_stale(n, msg), receiving = node_is_receiving(w, node, msg);
    uint64_t changes = n->shadow.changes, taken = n->shadow.snaps.taken;

    n->request = msg;
    n->refused = false;
    int err = acceptor_receive(n->acceptor, world_clock(w, node), msg, to);
    n->request = NULL;
    if (stale && n->shadow.changes != changes) {
        truth_violation(w, I12_CONTIGUOUS, "node %u obeys %s of a session that is over", node,
                        wire_type_name(msg->type));
    }
    if (err == ERR_OK && msg->type == WIRE_APPEND && n->outbox_count == 0) {
        if (stale) {
            truth_violation(w, I12_CONTIGUOUS, "node %u takes an append of a session that is over",
                            node);
        }
        n->accepted_at = w->now;
        n->accepted_any = true;
    }
    if (err == ERR_OK) {
        node_follow_session(n, msg, n->refused);
        if (msg->type == WIRE_RELEASE && !n->refused) {
            node_follow_release(w, node, msg);
        }
        node_follow_upload(w, node, from, msg, taken, receiving);
    }
    if (err == ERR_OK && !n->flush_due) {
        n->flush_due = true;
        world_later(w, world_below(w, (uint64_t)NODE_TURN_US * CLOCK_NS_PER_US + 1),
                    EVENT_NODE_FLUSH, node, 0, 0);
    }
    node_step_done(w, node, err);
}

void node_flush(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];

    n->flush_due = false;
    node_step_done(w, node, acceptor_flush(n->acceptor, world_clock(w, node)));
}

void node_tick(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    int err = ERR_OK;

    n->tick_due = false;
    if (acceptor_next_tick_ns(n->acceptor) <= world_clock(w, node)) {
        err = acceptor_tick(n->acceptor, world_clock(w, node));
    }
    node_step_done(w, node, err);
}

void node_scrub(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    struct storage *storage = &n->shadow.base;
    struct storage_check what;
    struct storage_state st;
    int err = ERR_OK;

    n->scrub_due = false;
    storage->ops->state(storage, &st);
    if (world_clock(w, node) >= scrub_next_ns(&n->scrub, st.holes.count > 0)) {
        err = storage->ops->check(storage, SCRUB_STEP_BYTES, &what);
        if (err == ERR_OK) {
            scrub_done(&n->scrub, world_clock(w, node), &what);
            n->rounds += what.round_ended;
        }
    }
    node_step_done(w, node, err);
}

void node_pack(struct world *w, unsigned node)
{
    struct node *n = &w->nodes[node];
    struct storage *storage = &n->shadow.base;
    struct storage_pack what;
    int err = ERR_OK;

    n->pack_due = false;
    if (world_clock(w, node) >= pack_pace_next_ns(&n->pack)) {
        err = storage->ops->pack(storage, PACK_PACE_STEP_BYTES, &what);
        if (err == ERR_OK) {
            pack_pace_done(&n->pack, world_clock(w, node), &what);
        }
        /* What only one file suffers from is no end; but where the power has gone nobody goes on.
         */
        err = fake_disk_is_dead(n->disk) ? ERR_IO : err;
    }
    node_step_done(w, node, err);
}
