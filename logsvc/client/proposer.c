#include "logsvc/client/proposer_state.h"

#include "common/mem.h"
#include "logsvc/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A candidate asks again after so long who says that it hears a leader: it may just have gone. */
enum { PROPOSER_ASK_AGAIN_MS = 10 };

uint64_t proposer_beat_ns(const struct proposer *p)
{
    return p->config.heartbeat_ms * CLOCK_NS_PER_MS;
}

/* How long a question waits for its answer before it is asked again, in a new session. Votes and
 * Elected wait for a disk, and a vote that was granted can't be granted again. */
static uint64_t proposer_ask_timeout_ns(const struct proposer *p, enum wire_type type)
{
    uint64_t beats = (type == WIRE_HELLO ? 4 : 10) * proposer_beat_ns(p);
    uint64_t lease = lease_ns(p->config.lease_ms);

    return type == WIRE_HELLO || beats > lease ? beats : lease;
}

void proposer_set_state(struct proposer *p, enum proposer_state next)
{
    static const bool may[6][6] = {
        [PROPOSER_IDLE] = {[PROPOSER_ASKING] = true},
        [PROPOSER_ASKING] = {[PROPOSER_VOTING] = true, [PROPOSER_IDLE] = true},
        [PROPOSER_VOTING] =
            {[PROPOSER_ASKING] = true, [PROPOSER_ELECTED] = true, [PROPOSER_IDLE] = true},
        [PROPOSER_ELECTED] = {[PROPOSER_LEADING] = true,
                              [PROPOSER_DEPOSED] = true,
                              [PROPOSER_ASKING] = true,
                              [PROPOSER_IDLE] = true},
        [PROPOSER_LEADING] = {[PROPOSER_DEPOSED] = true, [PROPOSER_IDLE] = true},
        [PROPOSER_DEPOSED] = {[PROPOSER_ASKING] = true, [PROPOSER_IDLE] = true},
    };

    MUST(may[p->state][next]);
    p->state = next;
    p->tick_at_ns = p->now_ns;
}

void proposer_see_time(struct proposer *p, uint64_t now_ns)
{
    p->now_ns = now_ns > p->now_ns ? now_ns : p->now_ns;
}

/* The term that a HELLO claims: only what was won. */
static struct term proposer_won(const struct proposer *p)
{
    bool won = p->state == PROPOSER_ELECTED || p->state == PROPOSER_LEADING;
    return won ? p->term : (struct term){0};
}

struct wire_msg proposer_message(struct proposer *p, unsigned node, enum wire_type type,
                                 struct term term)
{
    struct wire_msg msg = {
        .type = type,
        .channel = WIRE_PROPOSER,
        .log_id = p->config.log_id,
        .term = term,
        .conf = p->conf.id,
        .session = p->nodes[node].session,
        .seq = ++p->nodes[node].seq,
    };
    memcpy(msg.cluster_id, p->config.cluster_id, sizeof msg.cluster_id);
    return msg;
}

bool proposer_send(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    if (p->events.send(p->ctx, node, msg)) {
        return true;
    }
    p->nodes[node].busy = true;
    return false;
}

void proposer_restart_session(struct proposer *p, unsigned node, uint64_t retry_at_ns)
{
    struct proposer_node *n = &p->nodes[node];

    n->session = ++p->session;
    n->known = n->told = n->snapshot_told = false;
    n->ask.open = false;
    n->vote_asked = false;
    n->retry_at_ns = retry_at_ns;
    n->sent_head = n->sent_count = n->data_inflight = 0;
    n->trim_told = false;
    n->catchup.reading = false;
    buf_clear(&n->catchup.records);
    buf_trim(&n->catchup.records, 0);
    proposer_mend_forget(n);
}

void proposer_ask(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    if (proposer_send(p, node, msg)) {
        p->nodes[node].ask = (struct proposer_ask){
            .open = true, .type = msg->type, .seq = msg->seq, .sent_ns = p->now_ns};
    }
}

static void proposer_ask_hello(struct proposer *p, unsigned node)
{
    struct wire_msg msg = proposer_message(p, node, WIRE_HELLO, proposer_won(p));

    msg.hello.lease_ms = p->config.lease_ms;
    memcpy(msg.hello.name, p->name, sizeof msg.hello.name);
    proposer_ask(p, node, &msg);
}

static void proposer_ask_status(struct proposer *p, unsigned node)
{
    struct wire_msg msg = proposer_message(p, node, WIRE_STATUS, p->term);

    p->nodes[node].status_ns = p->now_ns;
    proposer_ask(p, node, &msg);
}

static void proposer_ask_vote(struct proposer *p, unsigned node)
{
    struct wire_msg msg = proposer_message(p, node, WIRE_VOTE, p->term);

    msg.vote.lease_ms = p->config.lease_ms;
    msg.vote.to = p->nodes[node].disk;
    msg.vote.conf = proposer_wire_conf(p);
    proposer_ask(p, node, &msg);
    p->nodes[node].vote_asked = p->nodes[node].ask.open;
}

/* Nothing can be said to this node for now; greets it again after a while. */
static void proposer_ask_later(struct proposer *p, unsigned node)
{
    p->nodes[node].known = false;
    p->nodes[node].retry_at_ns = p->now_ns + PROPOSER_REFUSED_RETRY_MS * CLOCK_NS_PER_MS;
}

/* Tells a node who leads and what the log is; the node checks our idea of the common point. */
static void proposer_ask_elected(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];
    struct wire_msg msg = proposer_message(p, node, WIRE_ELECTED, p->term);
    uint64_t start = 0;
    int err = history_common(&p->history, &n->history, n->log.flush_off, &start);

    if (n->log.empty || err == ERR_NOT_FOUND) {
        proposer_begin(p, &start, &msg.elected.chain_crc);
        /* Its log may be older than all that our history knows: to throw it away takes a begin that
         * our history reaches down to. Where nothing is, nothing is thrown away: a node that is
         * taken in begins where the log does, and vouches when it has come into the history. */
        if (!n->log.empty && start < p->history.entries[0].begin) {
            proposer_ask_later(p, node);
            return;
        }
        msg.elected.reset = true;
    } else if (err != ERR_OK) {
        proposer_ask_later(p, node); /* one term at two offsets: never to be mixed */
        return;
    }
    msg.elected.start = start;
    msg.elected.to = n->disk;
    msg.elected.conf = proposer_wire_conf(p);
    memcpy(msg.elected.name, p->name, sizeof msg.elected.name);
    msg.elected.engine = p->engine;
    msg.elected.history =
        (struct wire_history){.bytes = buf_head(&p->history_bytes), .size = p->history_bytes.len};
    proposer_ask(p, node, &msg);
}

/* How often the nodes are greeted when nothing is wanted of them. */
static uint64_t proposer_watch_ns(const struct proposer *p)
{
    return lease_ns(p->config.lease_ms) / 2;
}

/* Whether a candidate has something to gain from asking a node again. */
static bool proposer_must_ask(const struct proposer *p, const struct proposer_node *n)
{
    return !proposer_report_is_fresh(p, n) ||
           (p->state == PROPOSER_ASKING && !n->report_free &&
            p->now_ns - n->report_ns >= PROPOSER_ASK_AGAIN_MS * CLOCK_NS_PER_MS);
}

/* Leading, and nothing is asked of this node at present. */
static void proposer_drive_leading(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];

    if (n->told) {
        if (conf_id_compare(n->conf_acked, p->conf.id) < 0) {
            proposer_ask_config(p, node);
        } else if (!proposer_ask_rebase(p, node) && !proposer_ask_trim(p, node) &&
                   (proposer_change_wants_status(p, n) || proposer_conf_wants_status(p, n))) {
            proposer_ask_status(p, node);
        }
        proposer_feed(p, node);
    } else if (!n->known || n->refusal != 0) {
        proposer_ask_hello(p, node);
    } else if (proposer_feeds(p, n)) {
        proposer_ask_elected(p, node);
    } else if (p->now_ns - n->report_ns >= proposer_watch_ns(p)) {
        proposer_ask_hello(p, node); /* no member: is it still there? */
    }
}

/* Once for each session. Also those whose votes are not needed to win are asked, later: only a node
 * of our term can be read from, and the donor may turn out to be rotten where another is not. */
static bool proposer_may_ask_vote(const struct proposer *p, const struct proposer_node *n)
{
    return n->refusal == 0 && !n->vote_asked && !n->vote_granted && !n->vote_denied &&
           proposer_is_member(p, n);
}

void proposer_drive(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];

    if (!n->up || n->busy || n->ask.open || p->now_ns < n->retry_at_ns) {
        if (n->up && n->told && p->state == PROPOSER_LEADING) {
            proposer_feed(p, node);
        }
        return;
    }
    switch (p->state) {
    case PROPOSER_IDLE:
    case PROPOSER_DEPOSED:
        if (p->config.watch && (!n->known || p->now_ns - n->report_ns >= proposer_watch_ns(p))) {
            proposer_ask_hello(p, node);
        }
        return;
    case PROPOSER_ASKING:
    case PROPOSER_ELECTED: /* keeps others from campaigning while our Redis catches up */
        if (proposer_must_ask(p, n)) {
            proposer_ask_hello(p, node);
        } else if (p->state == PROPOSER_ELECTED && proposer_may_ask_vote(p, n)) {
            proposer_ask_vote(p, node); /* counts for nothing any more; it fences */
        }
        return;
    case PROPOSER_VOTING:
        if (n->node_id[0] == '\0') {
            proposer_ask_hello(p, node);
        } else if (proposer_may_ask_vote(p, n)) {
            proposer_ask_vote(p, node);
        }
        return;
    case PROPOSER_LEADING:
        proposer_drive_leading(p, node);
        return;
    }
}

void proposer_drive_all(struct proposer *p)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        proposer_drive(p, i);
    }
}

/* --- links, time ---------------------------------------------------------------------------- */

void proposer_link_up(struct proposer *p, uint64_t now_ns, unsigned node, bool up)
{
    proposer_see_time(p, now_ns);
    MUST(node < p->node_count && p->nodes[node].used);
    p->nodes[node].up = up;
    p->nodes[node].busy = false;
    p->nodes[node].alive = p->nodes[node].alive && up;
    proposer_restart_session(p, node, 0);
    if (up) {
        proposer_drive(p, node);
    }
}

void proposer_link_ready(struct proposer *p, uint64_t now_ns, unsigned node)
{
    proposer_see_time(p, now_ns);
    MUST(node < p->node_count && p->nodes[node].used);
    p->nodes[node].busy = false;
    if (p->state == PROPOSER_LEADING) {
        proposer_feed_all(p); /* a lagging node may have waited to read over this link */
    }
    proposer_drive(p, node);
}

static void proposer_tick_node(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];

    n->alive = n->alive && p->now_ns - n->answered_ns < lease_ns(p->config.lease_ms);
    if (n->ask.open && p->now_ns - n->ask.sent_ns >= proposer_ask_timeout_ns(p, n->ask.type)) {
        proposer_restart_session(p, node, 0);
    }
    if (p->state == PROPOSER_LEADING) {
        proposer_feed_timeouts(p, node);
        proposer_mend_timeouts(p, node);
        proposer_mend(p, node);
    }
    proposer_drive(p, node);
}

void proposer_tick(struct proposer *p, uint64_t now_ns)
{
    bool rests = p->state == PROPOSER_IDLE || p->state == PROPOSER_DEPOSED;

    proposer_see_time(p, now_ns);
    if (rests && !p->config.watch) {
        return;
    }
    if (p->state == PROPOSER_VOTING && p->now_ns >= p->vote_deadline_ns &&
        !proposer_lacks_certainty(p)) {
        proposer_back_off(p);
        proposer_to_asking(p);
    }
    if ((p->state == PROPOSER_LEADING && proposer_donor_is_gone(p)) ||
        (p->state == PROPOSER_ELECTED && proposer_donor_is_away(p))) {
        proposer_set_state(p, PROPOSER_DEPOSED);
        return;
    }
    for (unsigned i = 0; i < p->node_count; i++) {
        proposer_tick_node(p, i);
    }
    if (p->state == PROPOSER_ASKING) {
        proposer_check_reports(p);
    } else if (p->state == PROPOSER_LEADING && p->now_ns >= p->tick_at_ns) {
        proposer_conf_step(p);
        proposer_slots_follow(p);
    }
    uint64_t pause_ns = proposer_beat_ns(p) / 4;
    if (p->state == PROPOSER_ASKING && pause_ns > PROPOSER_ASK_AGAIN_MS * CLOCK_NS_PER_MS) {
        pause_ns = PROPOSER_ASK_AGAIN_MS * CLOCK_NS_PER_MS;
    }
    p->tick_at_ns = p->now_ns + pause_ns;
}

uint64_t proposer_next_tick_ns(const struct proposer *p)
{
    bool rests = p->state == PROPOSER_IDLE || p->state == PROPOSER_DEPOSED;

    if (rests && !p->config.watch) {
        return UINT64_MAX;
    }
    uint64_t feed_ns = p->state == PROPOSER_LEADING ? proposer_feed_next_ns(p) : UINT64_MAX;
    return feed_ns < p->tick_at_ns ? feed_ns : p->tick_at_ns;
}

/* --- being asked ---------------------------------------------------------------------------- */

struct proposer *proposer_create(const struct proposer_config *config,
                                 const struct proposer_events *events, void *ctx)
{
    MUST(config->node_count > 0 && config->node_count <= CONF_MEMBERS_MAX);
    MUST(config->lease_ms > 0 && config->heartbeat_ms > 0 && config->append_inflight_max > 0);
    MUST(config->append_max_bytes > 0 && config->append_max_bytes <= WIRE_DATA_MAX / 2);

    struct proposer *p = mem_calloc(1, sizeof *p);
    p->config = *config;
    p->config.name = NULL;
    snprintf(p->name, sizeof p->name, "%s", config->name != NULL ? config->name : "");
    p->events = *events;
    p->ctx = ctx;
    /* Sessions only count upwards within one process; the high bit is room to do so. */
    p->session = config->session >> 1;
    p->safe_at_ns = UINT64_MAX;
    for (unsigned i = 0; i < config->node_count; i++) {
        char name[CONF_TEXT_MAX + 1];
        snprintf(name, sizeof name, "seed %u", i + 1);
        (void)proposer_slot_add(p, config->addresses[i] != NULL ? config->addresses[i] : name,
                                true);
        p->config.addresses[i] = NULL; /* the caller's */
    }
    p->change.node = PROPOSER_NODES_MAX;
    proposer_conf_set(p, &p->seen);
    return p;
}

void proposer_destroy(struct proposer *p)
{
    if (p == NULL) {
        return;
    }
    if (p->window_open) {
        window_fini(&p->window);
    }
    for (unsigned i = 0; i < p->node_count; i++) {
        buf_release(&p->nodes[i].catchup.records);
    }
    buf_release(&p->history_bytes);
    buf_release(&p->conf_bytes);
    buf_release(&p->mend_records);
    free(p);
}

void proposer_set_engine(struct proposer *p, uint32_t engine)
{
    p->engine = engine;
}

enum proposer_state proposer_state(const struct proposer *p)
{
    return p->state;
}

struct term proposer_term(const struct proposer *p)
{
    return p->term;
}

const struct proposer_donor *proposer_donor(const struct proposer *p)
{
    return &p->donor;
}

unsigned proposer_node_count(const struct proposer *p)
{
    return p->node_count;
}

const struct conf *proposer_conf(const struct proposer *p)
{
    return &p->conf;
}

void proposer_other_version(struct proposer *p, uint64_t now_ns, unsigned node)
{
    proposer_see_time(p, now_ns);
    MUST(node < p->node_count && p->nodes[node].used);
    proposer_refused_by(p, node, WIRE_REFUSED_VERSION, wire_refusal_text(WIRE_REFUSED_VERSION));
}

static enum proposer_node_state proposer_node_state(const struct proposer *p,
                                                    const struct proposer_node *n)
{
    if (n->refusal != 0) {
        return PROPOSER_NODE_REFUSED;
    }
    if (!n->up || !n->alive) {
        return PROPOSER_NODE_DOWN;
    }
    if (p->conf.id.term.n > 0 && !proposer_feeds(p, n)) {
        return PROPOSER_NODE_OUT;
    }
    if (p->state != PROPOSER_LEADING || !n->told) {
        return PROPOSER_NODE_GREETED;
    }
    return n->sent_off < window_begin(&p->window) || n->catchup.records.len > 0
               ? PROPOSER_NODE_CATCHUP
               : PROPOSER_NODE_STREAMING;
}

void proposer_node(const struct proposer *p, unsigned node, struct proposer_node_info *out)
{
    MUST(node < p->node_count);
    const struct proposer_node *n = &p->nodes[node];
    bool counted = p->state == PROPOSER_LEADING && n->counted;

    *out = (struct proposer_node_info){
        .used = n->used,
        .member = proposer_is_member(p, n),
        .state = proposer_node_state(p, n),
        .acked = counted,
        .flushed = counted ? n->acked_off : n->log.flush_off,
        .snapshot = n->snapshot,
        .begin = n->log.begin,
        .holes = n->mend.holes,
        .uncertain = n->log.uncertain_to > (counted ? n->unit_off : n->log.unit_off),
        .conf = counted ? n->conf_acked : n->conf_told,
    };
    memcpy(out->node_id, n->node_id, sizeof out->node_id);
    memcpy(out->address, n->address, sizeof out->address);
    memcpy(out->refusal, n->refusal_text, sizeof out->refusal);
}
