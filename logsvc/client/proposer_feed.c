/* Leading: feeds every node at its own pace, counts acknowledgements into the commit offset and
 * into the lease.
 *
 * The happy path of a record: proposer_append copies bytes into the window; proposer_flush seals
 * them into a record if some link is free and hands the same record to each free link; an
 * acknowledgement frees the link for what has gathered meanwhile, moves the commit offset when a
 * majority has it, and renews the lease from the time of sending.
 *
 * Possible failures: a gap (a message was lost) rewinds that node to what it has; silence for a
 * lease, a refusal or a new link starts a new session (HELLO, ELECTED); a node that needs bytes
 * which the window has no more is fed records read from another node of this term. */
#include "logsvc/client/proposer_state.h"
#include "logsvc/lease.h"
#include "logsvc/mutant.h"

#include "common/mem.h"

#include <string.h>

/* Who reads from a node sees what it knows to be committed. That goes along with the next append;
 * so long is waited for one, before it is told by itself. Under load there always is one. */
enum { FEED_COMMIT_MS = 5 };

static void feed_forget_sent(struct proposer_node *n)
{
    n->sent_head = n->sent_count = n->data_inflight = 0;
}

static void feed_forget_catchup(struct proposer_node *n)
{
    n->catchup.reading = false;
    buf_clear(&n->catchup.records);
    buf_trim(&n->catchup.records, 0);
}

bool proposer_feed_is_possible(const struct proposer *p, uint64_t offset)
{
    return offset <= p->window.sealed_end &&
           (offset < window_begin(&p->window) || window_is_boundary(&p->window, offset));
}

/* The node has acknowledged Elected: n->log is what it has. */
void proposer_feed_start(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];

    n->told = n->counted = true;
    n->sent_off = n->acked_off = n->log.flush_off;
    n->unit_off = n->log.unit_off > n->unit_off ? n->log.unit_off : n->unit_off;
    n->rewind_seq = 0;
    n->last_append_ns = 0;
    n->commit_told = 0;
    n->catchup.avoid = 0;
    feed_forget_sent(n);
    feed_forget_catchup(n);
    if (!p->window.chain_known && n->log.flush_off == p->term_begin) {
        window_set_chain(&p->window, n->log.chain_crc);
    }
    proposer_update_commit(p);
}

static bool feed_may_send(const struct proposer *p, const struct proposer_node *n, bool data)
{
    return n->up && !n->busy && n->told && n->sent_count < PROPOSER_SENT_MAX &&
           (!data || n->data_inflight < p->config.append_inflight_max);
}

static bool feed_send(struct proposer *p, unsigned node, const uint8_t *data, size_t size,
                      uint64_t end)
{
    struct proposer_node *n = &p->nodes[node];
    struct wire_msg msg = proposer_message(p, node, WIRE_APPEND, p->term);

    msg.append.begin = n->sent_off;
    msg.append.commit = p->commit_known ? p->commit : 0;
    msg.data = data;
    msg.data_size = size;
    if (!proposer_send(p, node, &msg)) {
        return false;
    }
    n->sent[(n->sent_head + n->sent_count) % PROPOSER_SENT_MAX] =
        (struct proposer_sent){.seq = msg.seq, .sent_ns = p->now_ns, .data = size > 0};
    n->sent_count++;
    n->data_inflight += size > 0;
    n->last_append_ns = p->now_ns;
    n->commit_told = msg.append.commit;
    n->sent_off = end;
    return true;
}

/* A node that can be read from: it acknowledged Elected in this term (so its log is ours) and has
 * more than the one that lags; if possible, one that has not failed for these bytes, and does not
 * say that they have rotted there. */
static unsigned feed_source(struct proposer *p, unsigned node)
{
    struct proposer_catchup *c = &p->nodes[node].catchup;
    uint64_t from = p->nodes[node].sent_off;
    unsigned last_choice = PROPOSER_NODES_MAX;

    for (unsigned i = 1; i < p->node_count; i++) {
        unsigned at = (node + i) % p->node_count;
        const struct proposer_node *s = &p->nodes[at];
        const struct storage_holes *holes = &s->mend.holes;
        if (!s->up || s->busy || !s->told || !s->alive || s->acked_off <= from ||
            s->log.begin > from) {
            continue;
        }
        if ((c->avoid & 1u << at) == 0 && !(holes->from <= from && from < holes->to)) {
            return at;
        }
        last_choice = at;
    }
    c->avoid = 0; /* all have failed, or are away: another round */
    return last_choice;
}

static void feed_read(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];
    unsigned source = feed_source(p, node);

    if (n->catchup.reading || source == PROPOSER_NODES_MAX) {
        return;
    }
    struct wire_msg msg = proposer_message(p, source, WIRE_READ, p->term);
    msg.read.from = n->sent_off;
    msg.read.max_bytes =
        (uint32_t)(p->config.append_max_bytes < UINT32_MAX ? p->config.append_max_bytes
                                                           : UINT32_MAX);
    if (proposer_send(p, source, &msg)) {
        n->catchup.reading = true;
        n->catchup.source = source;
        n->catchup.seq = msg.seq;
        n->catchup.sent_ns = p->now_ns;
    }
}

/* Sends the node what comes next for it, if there is something; false: nothing more now. */
static bool feed_step(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];
    const uint8_t *bytes = NULL;
    uint64_t end = 0;

    if (n->catchup.records.len > 0) {
        if (!feed_send(p, node, buf_head(&n->catchup.records), n->catchup.records.len,
                       n->catchup.end)) {
            return false;
        }
        feed_forget_catchup(n);
        return true;
    }
    if (n->sent_off < window_begin(&p->window)) {
        feed_read(p, node);
        return false;
    }
    if (!p->window.chain_known) {
        return false;
    }
    if (!p->append_open && p->window.sealed_end - n->sent_off < p->config.append_max_bytes) {
        (void)window_seal(&p->window); /* it comes near enough to the end to take it along */
    }
    size_t size = window_slice(&p->window, n->sent_off, p->config.append_max_bytes, &bytes, &end);
    if (size == 0) {
        return false;
    }
    feed_forget_catchup(n);
    return feed_send(p, node, bytes, size, end);
}

/* Its log is about to begin elsewhere. */
static bool feed_is_asked_anew(const struct proposer_node *n)
{
    return n->ask.open && n->ask.type == WIRE_REBASE;
}

/* When the node is to be told of the commit though there is no append that it could go along with;
 * UINT64_MAX: it knows, or there will be one, or it can't be told now. */
static uint64_t feed_tell_ns(const struct proposer *p, const struct proposer_node *n)
{
    bool alone = n->data_inflight == 0 && n->sent_off == window_end(&p->window);
    bool due = p->commit_known && n->commit_told < p->commit && alone &&
               feed_may_send(p, n, false) && !feed_is_asked_anew(n);

    return due ? p->commit_ns + FEED_COMMIT_MS * CLOCK_NS_PER_MS : UINT64_MAX;
}

uint64_t proposer_feed_next_ns(const struct proposer *p)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < p->node_count; i++) {
        uint64_t at = feed_tell_ns(p, &p->nodes[i]);
        next = at < next ? at : next;
    }
    return next;
}

void proposer_feed(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];

    while (!feed_is_asked_anew(n) && feed_may_send(p, n, true) && feed_step(p, node)) {
    }
    uint64_t beat = p->config.heartbeat_ms * CLOCK_NS_PER_MS;
    if (!feed_is_asked_anew(n) && feed_may_send(p, n, false) &&
        (n->last_append_ns == 0 || p->now_ns - n->last_append_ns >= beat ||
         p->now_ns >= feed_tell_ns(p, n))) {
        (void)feed_send(p, node, NULL, 0, n->sent_off);
    }
}

void proposer_feed_all(struct proposer *p)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        if (p->nodes[i].told) {
            proposer_feed(p, i);
        }
    }
}

void proposer_feed_timeouts(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];
    uint64_t patience = lease_ns(p->config.lease_ms);

    if (n->catchup.reading && p->now_ns - n->catchup.sent_ns >= patience) {
        n->catchup.reading = false;
        n->catchup.avoid |= 1u << n->catchup.source;
    }
    if (n->told && n->sent_count > 0 && p->now_ns - n->sent[n->sent_head].sent_ns >= patience) {
        proposer_restart_session(p, node, 0);
    }
}

static uint64_t counted_end(const struct proposer *p, const struct proposer_node *n)
{
    bool of_this_term = n->unit_off >= p->term_begin || MUTANT(NO_TERM_START);

    return n->counted && of_this_term ? n->unit_off + 1 : 0;
}

uint64_t proposer_commit_counted(const struct proposer *p)
{
    return proposer_quorum_value(p, counted_end);
}

/* The commit offset is what a quorum has durable, counting only acknowledgements of this term,
 * after Elected, at or past the term's begin (Raft's figure 8 otherwise). */
void proposer_update_commit(struct proposer *p)
{
    uint64_t counted = proposer_commit_counted(p);

    if (counted > 0 && (!p->commit_known || counted - 1 > p->commit)) {
        p->commit_known = true;
        p->commit = counted - 1;
        p->commit_ns = p->now_ns;
        p->window.commit = p->commit;
    }
}

static void feed_trim(struct proposer *p)
{
    uint64_t keep_from = UINT64_MAX;

    for (unsigned i = 0; i < p->node_count; i++) {
        uint64_t needs = p->nodes[i].counted ? p->nodes[i].acked_off : 0;
        if (proposer_feeds(p, &p->nodes[i])) {
            keep_from = needs < keep_from ? needs : keep_from;
        }
    }
    window_trim(&p->window, keep_from);
}

/* A message was lost on the way: go on from what the node has. */
static void feed_rewind(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];
    uint64_t to = msg->append_reply.write_off;

    if (msg->seq < n->rewind_seq) {
        return;
    }
    if (!proposer_feed_is_possible(p, to)) {
        proposer_restart_session(p, node, p->now_ns + p->config.heartbeat_ms * CLOCK_NS_PER_MS);
        return;
    }
    feed_forget_sent(n);
    feed_forget_catchup(n);
    n->sent_off = to;
    n->rewind_seq = n->seq + 1;
}

void proposer_on_append_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];
    const struct wire_append_reply *m = &msg->append_reply;

    if (MUTANT(OLD_ACKS) && p->state == PROPOSER_LEADING && !m->gap) {
        n->counted = true;
    } else if (p->state != PROPOSER_LEADING || !n->told || msg->term.n != p->term.n) {
        return;
    }
    if (m->gap) {
        feed_rewind(p, node, msg);
        proposer_feed(p, node);
        return;
    }
    if (m->write_off > window_end(&p->window) || m->unit_off > m->write_off) {
        return; /* cannot be; believe nothing of it */
    }
    /* It answers all earlier ones of the session, too. */
    while (n->sent_count > 0 && n->sent[n->sent_head].seq <= msg->seq) {
        const struct proposer_sent *s = &n->sent[n->sent_head];
        if (s->seq == msg->seq && s->sent_ns > n->lease_sent_ns) {
            n->lease_sent_ns = MUTANT(RECEIVE_TIME) ? p->now_ns : s->sent_ns;
        }
        n->data_inflight -= s->data;
        n->sent_head = (n->sent_head + 1) % PROPOSER_SENT_MAX;
        n->sent_count--;
    }
    proposer_mend_told(p, node, &m->holes);
    n->acked_off = m->write_off > n->acked_off ? m->write_off : n->acked_off;
    n->unit_off = m->unit_off > n->unit_off ? m->unit_off : n->unit_off;
    proposer_update_commit(p);
    proposer_conf_step(p);
    feed_trim(p);
    proposer_feed(p, node);
}

/* The node that waits for this answer of source. */
static struct proposer_node *feed_reader(struct proposer *p, unsigned source, uint64_t seq,
                                         unsigned *node)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        struct proposer_catchup *c = &p->nodes[i].catchup;
        if (c->reading && c->source == source && c->seq == seq) {
            *node = i;
            return &p->nodes[i];
        }
    }
    return NULL;
}

/* Keeps the stream's records of what was read; idle markers are each node's own. */
void proposer_on_read_reply(struct proposer *p, unsigned source, const struct wire_msg *msg)
{
    unsigned node = 0;
    struct proposer_node *n = feed_reader(p, source, msg->seq, &node);
    struct record r;
    const uint8_t *payload;
    size_t whole;

    if (n == NULL) {
        (void)proposer_mend_on_read_reply(p, source, msg);
        return;
    }
    if (p->state != PROPOSER_LEADING || !n->told || msg->term.n != p->term.n) {
        return;
    }
    n->catchup.reading = false;
    n->catchup.end = n->sent_off;
    for (size_t at = 0; at < msg->data_size; at += whole) {
        if (wire_record(msg->data + at, msg->data_size - at, &r, &payload, &whole) != ERR_OK ||
            r.begin != n->catchup.end) {
            buf_clear(&n->catchup.records);
            break;
        }
        if (r.len_bytes > 0) {
            buf_append(&n->catchup.records, msg->data + at, whole);
            n->catchup.end = record_end(&r);
        }
    }
    if (n->catchup.records.len == 0) {
        n->catchup.avoid |= 1u << source; /* nothing there, or not at our boundaries: ask another */
        return;
    }
    n->catchup.avoid = 0;
    proposer_feed(p, node);
}

void proposer_on_read_refused(struct proposer *p, unsigned source, const struct wire_msg *msg)
{
    unsigned node = 0;
    struct proposer_node *n = feed_reader(p, source, msg->seq, &node);

    if (n != NULL) {
        n->catchup.reading = false;
        n->catchup.avoid |= 1u << source;
    } else {
        (void)proposer_mend_on_read_refused(p, source, msg);
    }
}

void proposer_append(struct proposer *p, const void *bytes, size_t size, bool unit_end,
                     uint64_t wall_ms)
{
    if (p->state == PROPOSER_LEADING) {
        window_append(&p->window, bytes, size, unit_end, wall_ms);
        p->append_open = true;
    }
}

void proposer_flush(struct proposer *p, uint64_t now_ns)
{
    p->now_ns = now_ns > p->now_ns ? now_ns : p->now_ns;
    if (p->state == PROPOSER_LEADING) {
        p->append_open = false;
        proposer_feed_all(p);
    }
}

void proposer_seal(struct proposer *p)
{
    if (p->state == PROPOSER_LEADING) {
        (void)window_seal(&p->window);
    }
}

uint64_t proposer_end(const struct proposer *p)
{
    return p->window_open ? window_end(&p->window) : 0;
}

uint64_t proposer_commit(const struct proposer *p)
{
    return p->commit_known ? p->commit : 0;
}

static uint64_t lease_sent_ns(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return n->lease_sent_ns;
}

uint64_t proposer_lease_sent_ns(const struct proposer *p)
{
    return proposer_quorum_value(p, lease_sent_ns);
}

uint64_t proposer_lease_end_ns(const struct proposer *p)
{
    uint64_t sent_ns = p->state == PROPOSER_LEADING ? proposer_lease_sent_ns(p) : 0;

    return sent_ns > 0 ? lease_end_ns(sent_ns, p->config.lease_ms) : 0;
}

uint64_t proposer_safe_at_ns(const struct proposer *p)
{
    return p->safe_at_ns;
}

bool proposer_may_serve(const struct proposer *p, uint64_t now_ns)
{
    return p->state == PROPOSER_LEADING && p->commit_known && now_ns >= p->safe_at_ns &&
           now_ns < proposer_lease_end_ns(p);
}
