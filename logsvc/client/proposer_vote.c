/* Elections: asking whether a leader is heard, voting, choosing the donor; and the two ends of
 * leading.
 *
 * A term is won with the votes of a quorum of the configuration, and with enough of them from nodes
 * that are sure to hold all that they acknowledged. Whatever was committed is then in the donor's
 * log, since any quorum that committed it meets these voters. */
#include "logsvc/client/proposer_state.h"

#include "common/mem.h"
#include "logsvc/lease.h"
#include "logsvc/mutant.h"

#include <stdio.h>
#include <string.h>

/* While campaigning, each node is asked anew now and then. */
bool proposer_report_is_fresh(const struct proposer *p, const struct proposer_node *n)
{
    return n->known && n->report_ns != 0 && p->now_ns - n->report_ns < 2 * proposer_beat_ns(p);
}

/* Waiting from now on alone would part nobody: the nodes have heard all candidates at about the
 * same time, and would call a lease of silence over for all of them at once. */
void proposer_back_off(struct proposer *p)
{
    uint64_t half = lease_ns(p->config.lease_ms) / 2;

    p->patience_ns = p->events.random(p->ctx) % (half + 1);
    p->vote_not_before_ns = p->now_ns + p->patience_ns;
}

void proposer_to_asking(struct proposer *p)
{
    proposer_set_state(p, PROPOSER_ASKING);
    proposer_conf_set(p, &p->seen); /* what was only made, and reached nobody, is forgotten */
    for (unsigned i = 0; i < p->node_count; i++) {
        p->nodes[i].report_ns = 0;
        p->nodes[i].ask.open = false;
    }
}

void proposer_campaign(struct proposer *p, uint64_t now_ns)
{
    proposer_see_time(p, now_ns);
    if (p->state == PROPOSER_ASKING || p->state == PROPOSER_VOTING ||
        p->state == PROPOSER_LEADING) {
        return;
    }
    p->patience_ns = 0;
    if (p->state != PROPOSER_IDLE) {
        proposer_back_off(p);
    }
    proposer_to_asking(p);
    proposer_drive_all(p);
}

/* Forgets everything that belonged to the term before. */
static void proposer_clear_term(struct proposer *p)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        struct proposer_node *n = &p->nodes[i];
        n->vote_asked = n->vote_granted = n->vote_denied = false;
        n->told = n->counted = n->snapshot_told = false;
        n->conf_acked = (struct conf_id){0};
        n->unit_off = n->acked_off = n->sent_off = 0;
        n->lease_sent_ns = 0;
        n->ask.open = false;
        n->sent_head = n->sent_count = n->data_inflight = 0;
        n->catchup.reading = false;
        buf_clear(&n->catchup.records);
        proposer_mend_forget(n);
    }
    if (p->window_open) {
        window_fini(&p->window);
        p->window_open = false;
    }
    p->commit = 0;
    p->commit_known = p->append_open = false;
    p->trim = (struct proposer_trim){0};
    p->safe_at_ns = UINT64_MAX;
    p->donor = (struct proposer_donor){0};
}

static void proposer_start_voting(struct proposer *p)
{
    uint64_t l = lease_ns(p->config.lease_ms);

    proposer_clear_term(p);
    p->max_term.n++;
    p->term = p->max_term;
    p->vote_deadline_ns = p->now_ns + l + p->events.random(p->ctx) % (l / 2 + 1);
    proposer_set_state(p, PROPOSER_VOTING);
    proposer_drive_all(p);
}

static uint64_t reports_free(const struct proposer *p, const struct proposer_node *n)
{
    return n->refusal == 0 && n->report_free && proposer_report_is_fresh(p, n);
}

void proposer_check_reports(struct proposer *p)
{
    if (p->now_ns < p->vote_not_before_ns) {
        return;
    }
    if (conf_kind(&p->seen) == CONF_NONE) {
        proposer_conf_set(p, &p->seen);
        proposer_conf_found(p);
    }
    if (proposer_quorum_value(p, reports_free) > 0) {
        proposer_start_voting(p);
    }
}

static struct log_position proposer_position(const struct proposer_node *n)
{
    return (struct log_position){.term = history_last_term(&n->history, n->log.unit_off),
                                 .offset = n->log.unit_off};
}

/* Whether no older lease can be: the quorum that renewed one meets the voters in a node that had
 * accepted an append, and before it an ELECTED, with a history. */
static bool proposer_is_first(const struct proposer *p)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (n->vote_granted && (!n->log.empty || n->log.uncertain_to > 0)) {
            return false;
        }
    }
    return true;
}

/* The most advanced of those voters that are sure to be complete: log term first, then offset. */
static void proposer_choose_donor(struct proposer *p)
{
    struct proposer_donor *d = &p->donor;

    *d = (struct proposer_donor){.empty = true};
    p->safe_at_ns = 0;
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (!n->vote_granted || !proposer_is_member(p, n)) {
            continue;
        }
        p->safe_at_ns = n->safe_at_ns > p->safe_at_ns ? n->safe_at_ns : p->safe_at_ns;
        if (n->log.uncertain_to > 0 || n->log.empty || n->history.count == 0) {
            continue;
        }
        struct log_position at = proposer_position(n);
        if (at.term.n == 0) {
            continue; /* a history that does not reach its own log: it says nothing */
        }
        int better = d->empty ? 1 : log_position_compare(at, d->end);
        if (MUTANT(DONOR_BY_FLUSH) && !d->empty) {
            better = at.offset < d->end.offset ? -1 : at.offset > d->end.offset;
        }
        bool sounder = better == 0 && n->log.holes.count < p->nodes[d->node].log.holes.count;
        if (better > 0 || sounder) {
            *d = (struct proposer_donor){.empty = false, .node = i, .end = at};
        }
    }
    if (proposer_is_first(p)) {
        p->safe_at_ns = 0;
    }
    const struct proposer_node *n = &p->nodes[d->node];
    p->donor_history = d->empty ? (struct history){0} : n->history;
    history_cut(&p->donor_history, d->end.offset);
    d->history = &p->donor_history;
    p->donor_chain_known = d->empty || n->log.flush_off == n->log.unit_off;
    p->donor_chain = d->empty ? 0 : n->log.chain_crc;
    p->log_begin = d->empty ? 0 : n->log.begin;
    p->log_begin_chain = d->empty ? 0 : n->log.begin_chain;
}

static uint64_t vote_is_granted(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return n->vote_granted;
}

/* A voter whose history does not reach its own log (it lags behind the oldest entry that its leader
 * still knew) is not comparable: it may hold what no other voter has. */
static uint64_t vote_is_certain(const struct proposer *p, const struct proposer_node *n)
{
    bool comparable = n->log.empty || proposer_position(n).term.n > 0;

    (void)p;
    return n->vote_granted && n->log.uncertain_to == 0 && comparable;
}

static uint64_t vote_may_be_granted(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return !n->vote_denied;
}

static uint64_t vote_may_be_certain(const struct proposer *p, const struct proposer_node *n)
{
    return vote_is_certain(p, n) || (!n->vote_granted && !n->vote_denied);
}

/* VOTING: a quorum has granted the term, and enough certain nodes stand behind the donor. A node
 * that may have lost its tail fences, but does not vouch for completeness. */
static void proposer_check_votes(struct proposer *p)
{
    if (proposer_quorum_value(p, vote_is_granted) > 0 && proposer_has_all(p, vote_is_certain)) {
        struct conf won = p->conf;
        conf_restamp(&won, p->term);
        proposer_choose_donor(p);
        proposer_set_state(p, PROPOSER_ELECTED);
        proposer_conf_set(p, &won);
    } else if (proposer_quorum_value(p, vote_may_be_granted) == 0 ||
               !proposer_has_all(p, vote_may_be_certain)) {
        /* Lost to another, or a granted vote was lost on its way: this term can't be won. */
        proposer_back_off(p);
        proposer_to_asking(p);
    }
}

bool proposer_lacks_certainty(const struct proposer *p)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (n->used && n->vote_denied && proposer_is_member(p, n)) {
            return false;
        }
    }
    return proposer_quorum_value(p, vote_is_granted) > 0;
}

void proposer_on_vote_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];
    const struct wire_vote_reply *m = &msg->vote_reply;

    (void)proposer_answers_ask(n, msg, WIRE_VOTE);
    if (p->state != PROPOSER_VOTING || msg->term.n != p->term.n || n->vote_granted) {
        return;
    }
    if (!m->granted || !proposer_learn(p, node, &m->log, &m->history) ||
        (n->history.count > 0 && n->history.entries[n->history.count - 1].term.n >= p->term.n)) {
        n->vote_denied = true; /* or senseless: no log is of a term that was not won yet */
    } else {
        n->vote_granted = true;
        n->safe_at_ns = lease_safe_at_ns(p->now_ns, m->elapsed_ns, p->config.lease_ms);
    }
    proposer_check_votes(p);
}

void proposer_lead(struct proposer *p, uint64_t now_ns, uint64_t begin, const struct replid *replid)
{
    proposer_see_time(p, now_ns);
    MUST(p->state == PROPOSER_ELECTED);
    MUST(p->donor.empty || begin == p->donor.end.offset);

    p->history = p->donor_history;
    if (p->config.history_max > 0) {
        history_make_room(&p->history, p->config.history_max, begin);
    }
    int err = history_append(&p->history, log_term_of(p->term), begin, replid);
    MUST(err == ERR_OK); /* votes with a log term that is not below ours were not counted */
    buf_clear(&p->history_bytes);
    history_encode(&p->history, &p->history_bytes);
    p->term_begin = begin;
    p->lead_ns = p->now_ns;
    if (p->donor.empty) {
        p->log_begin = begin;
    }
    window_init(&p->window, log_term_of(p->term), begin, p->config.append_max_bytes,
                p->config.window_max_bytes);
    p->window_open = true;
    if (p->donor_chain_known) {
        window_set_chain(&p->window, p->donor_chain);
    }
    proposer_set_state(p, PROPOSER_LEADING);
    proposer_conf_lead(p);
    proposer_drive_all(p);
}

void proposer_release(struct proposer *p, uint64_t now_ns)
{
    proposer_hand_over(p, now_ns, "");
}

/* Only who has waited out all older leases may declare them dead. */
static bool proposer_may_release(const struct proposer *p, uint64_t now_ns)
{
    return p->state == PROPOSER_LEADING && (now_ns >= p->safe_at_ns || MUTANT(RELEASE_EARLY));
}

/* Over a connection of its own: its place in the session means nothing to the node. */
bool proposer_last_word(const struct proposer *p, uint64_t now_ns, unsigned node, const char *heir,
                        struct wire_msg *out)
{
    const struct proposer_node *n = &p->nodes[node];

    MUST(node < p->node_count);
    if (!proposer_may_release(p, now_ns) || !n->used) {
        return false;
    }
    *out = (struct wire_msg){
        .type = WIRE_RELEASE,
        .channel = WIRE_PROPOSER,
        .log_id = p->config.log_id,
        .term = p->term,
        .conf = p->conf.id,
        .session = n->session,
    };
    memcpy(out->cluster_id, p->config.cluster_id, sizeof out->cluster_id);
    snprintf(out->release.heir, sizeof out->release.heir, "%s", heir);
    return true;
}

void proposer_hand_over(struct proposer *p, uint64_t now_ns, const char *heir)
{
    proposer_see_time(p, now_ns);
    if (p->state == PROPOSER_IDLE) {
        return;
    }
    if (proposer_may_release(p, p->now_ns)) {
        /* Also to who does not answer: when it does, others need not wait for our lease. */
        for (unsigned i = 0; i < p->node_count; i++) {
            if (p->nodes[i].up && !p->nodes[i].busy) {
                struct wire_msg msg = proposer_message(p, i, WIRE_RELEASE, p->term);
                snprintf(msg.release.heir, sizeof msg.release.heir, "%s", heir);
                (void)proposer_send(p, i, &msg);
            }
        }
    }
    proposer_set_state(p, PROPOSER_IDLE);
}
