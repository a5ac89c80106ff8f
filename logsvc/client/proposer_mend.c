/* Leading: mends what has rotted on a node. The node tells its hole in whatever it answers; the
 * bytes are read from another node of this term, as for one that lags, and sent with MEND. One
 * piece is on its way for each rotten node at a time, at a bounded rate: commits go first.
 *
 *   hole told ─▶ READ at a source ─▶ MEND to the node ─▶ its answer tells what is missing next
 *
 * Nothing is believed of a node's hole but that it wants these bytes: it checks them itself. */
#include "logsvc/client/proposer_state.h"
#include "logsvc/lease.h"

#include <string.h>

enum { MEND_PIECE_MAX_BYTES = 256 * 1024, MEND_DEFAULT_BYTES_PER_S = 8 << 20 };

void proposer_mend_forget(struct proposer_node *n)
{
    n->mend.reading = n->mend.sent = false;
}

void proposer_mend_told(struct proposer *p, unsigned node, const struct storage_holes *holes)
{
    struct proposer_mend *m = &p->nodes[node].mend;

    if (holes->from > holes->next || holes->next > holes->to) {
        return; /* cannot be */
    }
    if (m->holes.from != holes->from || m->holes.to != holes->to) {
        m->avoid = 0; /* another hole: other nodes have it */
    }
    m->holes = *holes;
}

static void mend_later(struct proposer *p, struct proposer_mend *m, uint64_t span_ns)
{
    m->reading = m->sent = false;
    m->next_ns = p->now_ns + span_ns;
}

static uint64_t mend_beat_ns(const struct proposer *p)
{
    return p->config.heartbeat_ms * CLOCK_NS_PER_MS;
}

/* A node whose log is ours as far as the hole reaches, and sound there as far as it knows. */
static unsigned mend_source(const struct proposer *p, unsigned node)
{
    const struct proposer_mend *m = &p->nodes[node].mend;

    for (unsigned i = 1; i < p->node_count; i++) {
        unsigned at = (node + i) % p->node_count;
        const struct proposer_node *s = &p->nodes[at];
        const struct storage_holes *own = &s->mend.holes;
        bool rotten = own->from <= m->holes.next && m->holes.next < own->to;
        if (s->up && !s->busy && s->told && s->alive && s->acked_off >= m->holes.to && !rotten &&
            s->log.begin <= m->holes.next && (m->avoid & 1u << at) == 0) {
            return at;
        }
    }
    return PROPOSER_NODES_MAX;
}

void proposer_mend(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];
    struct proposer_mend *m = &n->mend;

    if (!n->up || n->busy || !n->told || m->reading || m->sent || p->now_ns < m->next_ns ||
        m->holes.next >= m->holes.to) {
        return;
    }
    unsigned source = mend_source(p, node);
    if (source == PROPOSER_NODES_MAX) {
        if (m->avoid != 0) {
            m->avoid = 0;
            mend_later(p, m, lease_ns(p->config.lease_ms));
        }
        return;
    }
    struct wire_msg msg = proposer_message(p, source, WIRE_READ, p->term);
    msg.read.from = m->holes.next;
    msg.read.max_bytes = MEND_PIECE_MAX_BYTES;
    if (p->config.append_max_bytes < MEND_PIECE_MAX_BYTES) {
        msg.read.max_bytes = (uint32_t)p->config.append_max_bytes;
    }
    if (proposer_send(p, source, &msg)) {
        m->reading = true;
        m->source = source;
        m->seq = msg.seq;
        m->sent_ns = p->now_ns;
    }
}

void proposer_mend_timeouts(struct proposer *p, unsigned node)
{
    struct proposer_mend *m = &p->nodes[node].mend;

    if ((m->reading || m->sent) && p->now_ns - m->sent_ns >= lease_ns(p->config.lease_ms)) {
        m->avoid |= m->reading ? 1u << m->source : 0;
        mend_later(p, m, 0);
    }
}

/* The rotten node that waits for this answer of source. */
static struct proposer_node *mend_reader(struct proposer *p, unsigned source, uint64_t seq,
                                         unsigned *node)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        struct proposer_mend *m = &p->nodes[i].mend;
        if (m->reading && m->source == source && m->seq == seq) {
            *node = i;
            return &p->nodes[i];
        }
    }
    return NULL;
}

/* The records of an answer that lie in the hole, without the source's own idle markers. If the log
 * has a record across an end of the hole, that one alone: the node then finds that it holds records
 * of another log there. */
static void mend_pick(const struct storage_holes *holes, const struct wire_msg *msg,
                      struct buf *out)
{
    struct record r;
    const uint8_t *payload;
    size_t whole;
    uint64_t end = holes->next;

    buf_clear(out);
    for (size_t at = 0; at < msg->data_size; at += whole) {
        if (wire_record(msg->data + at, msg->data_size - at, &r, &payload, &whole) != ERR_OK) {
            return;
        }
        if (r.len_bytes == 0) {
            continue;
        }
        bool crosses = record_crosses(&r, holes->next, holes->to);
        if (r.begin != end || record_end(&r) > holes->to) {
            buf_append(out, msg->data + at, crosses && out->len == 0 ? whole : 0);
            return;
        }
        buf_append(out, msg->data + at, whole);
        end = record_end(&r);
    }
}

bool proposer_mend_on_read_reply(struct proposer *p, unsigned source, const struct wire_msg *msg)
{
    unsigned node = 0;
    struct proposer_node *n = mend_reader(p, source, msg->seq, &node);
    uint64_t rate =
        p->config.mend_bytes_per_s > 0 ? p->config.mend_bytes_per_s : MEND_DEFAULT_BYTES_PER_S;

    if (n == NULL) {
        return false;
    }
    struct proposer_mend *m = &n->mend;
    mend_later(p, m, mend_beat_ns(p));
    if (p->state != PROPOSER_LEADING || !n->told || msg->term.n != p->term.n) {
        return true;
    }
    mend_pick(&m->holes, msg, &p->mend_records);
    if (p->mend_records.len == 0) {
        m->avoid |= 1u << source; /* nothing there, or not at the node's boundaries */
        return true;
    }
    if (!n->up || n->busy) {
        return true;
    }
    struct wire_msg mend = proposer_message(p, node, WIRE_MEND, p->term);
    mend.mend.from = m->holes.next;
    mend.data = buf_head(&p->mend_records);
    mend.data_size = p->mend_records.len;
    if (proposer_send(p, node, &mend)) {
        m->sent = true;
        m->mend_seq = mend.seq;
        m->sent_ns = p->now_ns;
        m->next_ns = p->now_ns + mend.data_size * CLOCK_NS_PER_S / rate;
    }
    return true;
}

bool proposer_mend_on_read_refused(struct proposer *p, unsigned source, const struct wire_msg *msg)
{
    unsigned node = 0;
    struct proposer_node *n = mend_reader(p, source, msg->seq, &node);

    if (n == NULL) {
        return false;
    }
    n->mend.avoid |= 1u << source; /* rotten there too, most likely: another one is asked */
    mend_later(p, &n->mend, 0);
    return true;
}

void proposer_mend_on_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_mend *m = &p->nodes[node].mend;

    if (p->state != PROPOSER_LEADING || msg->term.n != p->term.n || !m->sent ||
        msg->seq != m->mend_seq) {
        return;
    }
    uint64_t next = m->holes.next;
    m->sent = false;
    proposer_mend_told(p, node, &msg->mend_reply.holes);
    if (m->holes.next == next && m->next_ns < p->now_ns + mend_beat_ns(p)) {
        m->next_ns = p->now_ns + mend_beat_ns(p); /* it is not ready to take more */
    }
}

bool proposer_mend_on_refused(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_mend *m = &p->nodes[node].mend;

    if (m->sent && msg->seq == m->mend_seq) {
        mend_later(p, m, lease_ns(p->config.lease_ms));
    }
    if (msg->refused.code == WIRE_REFUSED_BAD) {
        m->avoid |= 1u << m->source; /* its records do not fit: perhaps another one's do */
        return true;
    }
    return msg->refused.code == WIRE_REFUSED_SPACE;
}
