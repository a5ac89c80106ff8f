/* The log's begin, as a leader sees it: which node still has what, who may forget what, and who has
 * to begin anew because nobody has what comes next there.
 *
 *   proposer_trim ─▶ TRIM to each node that has come so far ─▶ its log begins at or below `to`
 *   a node ends below all that is left ─▶ REBASE to where most is left ─▶ it is fed from there
 *
 * Only bytes that are committed in this term are spoken of; a node decides by itself how much it
 * can forget. */
#include "logsvc/client/proposer_state.h"

#include "logsvc/lease.h"

/* Whether its log is ours, and is told as it is now. */
static bool trim_is_witness(const struct proposer_node *n)
{
    return n->used && n->up && n->alive && n->told && !n->log.empty;
}

void proposer_begin(const struct proposer *p, uint64_t *begin, uint32_t *chain_crc)
{
    bool found = false;

    *begin = p->log_begin;
    *chain_crc = p->log_begin_chain;
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (trim_is_witness(n) && n->acked_off > n->log.begin &&
            (!found || n->log.begin < *begin)) {
            found = true;
            *begin = n->log.begin;
            *chain_crc = n->log.begin_chain;
        }
    }
}

/* What is here has rotted, and is not mended yet. */
static bool trim_is_lost(const struct proposer_node *n, uint64_t offset)
{
    const struct storage_holes *holes = &n->mend.holes;
    return holes->from <= offset && offset < holes->to;
}

/* Whether nobody can give the node what comes next for it, and where the others begin. One that has
 * lost it to rot can't, either: were it anywhere else, that node would be one that can. */
static bool trim_is_behind(const struct proposer *p, unsigned node, uint64_t *begin,
                           uint32_t *chain_crc)
{
    uint64_t from = p->nodes[node].sent_off;
    bool found = false;

    if (!p->window_open || from >= window_begin(&p->window)) {
        return false;
    }
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (i == node || !trim_is_witness(n) || n->acked_off <= from) {
            continue;
        }
        if (n->log.begin <= from && trim_is_lost(n, from)) {
            continue;
        }
        if (n->log.begin <= from) {
            return false;
        }
        if (n->log.begin <= n->acked_off && (!found || n->log.begin < *begin)) {
            found = true;
            *begin = n->log.begin;
            *chain_crc = n->log.begin_chain;
        }
    }
    return found;
}

/* Gives those who have older bytes a lease to come: what is thrown away so need not be lost to all.
 * It must not wait for a commit: that may need this node. Where a log of ours begins is committed
 * all the same, since nobody forgets what isn't. */
bool proposer_ask_rebase(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];
    uint64_t begin = 0;
    uint32_t chain_crc = 0;

    if (!n->told || n->data_inflight > 0 || p->now_ns - p->lead_ns < lease_ns(p->config.lease_ms) ||
        !trim_is_behind(p, node, &begin, &chain_crc) ||
        (begin > p->term_begin && begin > p->commit)) {
        return false;
    }
    struct wire_msg msg = proposer_message(p, node, WIRE_REBASE, p->term);
    msg.rebase.begin = begin;
    msg.rebase.chain_crc = chain_crc;
    proposer_ask(p, node, &msg);
    return true;
}

static bool trim_is_asked(const struct proposer *p)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        if (p->nodes[i].ask.open && p->nodes[i].ask.type == WIRE_TRIM) {
            return true;
        }
    }
    return false;
}

/* One node after the other: removing files may take a while, and commits need no more than a
 * quorum. A node that lags is told when it has come so far. */
bool proposer_ask_trim(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];

    if (p->trim.to == 0 || !n->told || n->trim_told || n->unit_off < p->trim.to ||
        trim_is_asked(p)) {
        return false;
    }
    struct wire_msg msg = proposer_message(p, node, WIRE_TRIM, p->term);
    msg.trim =
        (struct wire_trim){.to = p->trim.to, .snapshot = p->trim.snapshot, .crc = p->trim.crc};
    proposer_ask(p, node, &msg);
    return true;
}

bool proposer_trim(struct proposer *p, uint64_t now_ns, uint64_t to,
                   const struct snapshot_info *snapshot)
{
    proposer_see_time(p, now_ns);
    if (p->state != PROPOSER_LEADING || !p->commit_known || to > snapshot->offset ||
        snapshot->offset > p->commit || conf_kind(&p->conf) != CONF_STABLE) {
        return false;
    }
    p->trim = (struct proposer_trim){.to = to, .snapshot = snapshot->offset, .crc = snapshot->crc};
    for (unsigned i = 0; i < p->node_count; i++) {
        p->nodes[i].trim_told = false;
    }
    proposer_drive_all(p);
    return true;
}

/* The log of a node as it is after a TRIM or REBASE. */
void proposer_on_log_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];
    const struct wire_log *log = &msg->log_reply.log;
    bool rebased = msg->type == WIRE_REBASE_REPLY;

    if (!proposer_answers_ask(n, msg, rebased ? WIRE_REBASE : WIRE_TRIM) ||
        p->state != PROPOSER_LEADING || msg->term.n != p->term.n || !n->told) {
        return;
    }
    if (log->empty || log->begin > log->flush_off || log->unit_off > log->flush_off ||
        !proposer_feed_is_possible(p, log->flush_off)) {
        proposer_restart_session(p, node, p->now_ns + proposer_beat_ns(p)); /* cannot be */
        return;
    }
    n->log = *log;
    proposer_mend_told(p, node, &log->holes);
    if (rebased) {
        proposer_feed_start(p, node);
    } else {
        n->trim_told = true;
    }
}
