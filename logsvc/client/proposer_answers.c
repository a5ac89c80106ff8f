/* What the log nodes answer: who each one is and what it has, whether it takes us for the leader,
 * what it refuses and for which reason, and when an answer ends our term. An answer of an older
 * session has no effect, but for the term that it tells. Votes are counted in proposer_vote.c,
 * acknowledgements in proposer_feed.c. */
#include "logsvc/client/proposer_state.h"

#include "logsvc/lease.h"
#include "logsvc/mutant.h"

#include <stdio.h>
#include <string.h>

/* How long a leader waits for a donor that doesn't come back, if a majority is here. */
enum { PROPOSER_DONOR_LEASES = 3 };
enum { PROPOSER_SPACE_RETRY_MS = 500 };

bool proposer_answers_ask(struct proposer_node *n, const struct wire_msg *msg, enum wire_type type)
{
    if (!n->ask.open || n->ask.type != type || n->ask.seq != msg->seq) {
        return false;
    }
    n->ask.open = false;
    return true;
}

void proposer_refused_by(struct proposer *p, unsigned node, enum wire_refusal code,
                         const char *reason)
{
    struct proposer_node *n = &p->nodes[node];
    bool news = n->refusal != (uint32_t)code;

    n->refusal = (uint32_t)code;
    snprintf(n->refusal_text, sizeof n->refusal_text, "%s", reason);
    proposer_restart_session(p, node, p->now_ns + PROPOSER_REFUSED_RETRY_MS * CLOCK_NS_PER_MS);
    if (news && p->events.refused != NULL) {
        p->events.refused(p->ctx, node, code, n->refusal_text);
    }
}

bool proposer_learn(struct proposer *p, unsigned node, const struct wire_log *log,
                    const struct wire_history *bytes)
{
    struct proposer_node *n = &p->nodes[node];
    struct history h = {0};

    if (bytes->size > 0 && history_decode(bytes->bytes, bytes->size, &h) != ERR_OK) {
        return false;
    }
    n->log = *log;
    n->history = h;
    n->known = true;
    proposer_mend_told(p, node, &log->holes);
    return true;
}

/* Who was there is not any more: what it promised and acknowledged counts for nothing here. */
static void proposer_forget_identity(struct proposer_node *n)
{
    n->node_id[0] = '\0';
    n->disk = (struct disk_id){{0}};
    n->known = n->told = n->counted = n->snapshot_told = false;
    n->vote_denied = n->vote_denied || n->vote_granted;
    n->vote_granted = false;
    n->conf_acked = n->conf_told = (struct conf_id){0};
    n->unit_off = n->acked_off = n->lease_sent_ns = 0;
    n->snapshot = WIRE_NO_SNAPSHOT;
}

/* Whether no other slot leads to that node. One that is dead may have moved: it is forgotten. */
static bool proposer_id_is_unique(struct proposer *p, unsigned node,
                                  const struct wire_hello_reply *m)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        struct proposer_node *other = &p->nodes[i];
        if (i == node || !other->used || strcmp(other->node_id, m->node_id) != 0 ||
            (p->conf.id.term.n > 0 && !disk_id_equal(&other->disk, &m->disk))) {
            continue; /* by its disk a configuration knows the right one */
        }
        if (other->alive && other->up) {
            return false;
        }
        proposer_forget_identity(other);
    }
    return m->node_id[0] != '\0';
}

/* A node has told its configuration. False: all begins anew by it. */
static bool proposer_see_conf(struct proposer *p, const struct wire_conf *bytes)
{
    if (!proposer_conf_see(p, bytes) || conf_id_compare(p->seen.id, p->conf.id) <= 0) {
        return true;
    }
    if (p->state == PROPOSER_VOTING) {
        proposer_to_asking(p);
        return false;
    }
    if (p->state != PROPOSER_ELECTED && p->state != PROPOSER_LEADING) {
        proposer_conf_set(p, &p->seen);
    } /* else a higher term is there, and deposes us */
    return true;
}

static void proposer_on_hello_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];
    const struct wire_hello_reply *m = &msg->hello_reply;

    if (!proposer_answers_ask(n, msg, WIRE_HELLO)) {
        return;
    }
    if (m->lease_ms != p->config.lease_ms) {
        proposer_refused_by(p, node, WIRE_REFUSED_LEASE, wire_refusal_text(WIRE_REFUSED_LEASE));
        return;
    }
    /* A node that counted twice would be its own quorum. */
    if (!proposer_id_is_unique(p, node, m)) {
        proposer_refused_by(p, node, WIRE_REFUSED_BAD, "its node id occurs twice");
        return;
    }
    if (strcmp(n->node_id, m->node_id) != 0 || !disk_id_equal(&n->disk, &m->disk)) {
        proposer_forget_identity(n); /* another is there now, or its disk was lost */
        memcpy(n->node_id, m->node_id, sizeof n->node_id);
        n->disk = m->disk;
    }
    n->conf_told = msg->conf;
    n->term_told = msg->term;
    if (!proposer_see_conf(p, &m->conf) || !n->used || !proposer_conf_judge(p, node, m) ||
        !proposer_learn(p, node, &m->log, &m->history)) {
        return;
    }
    n->refusal = 0;
    n->refusal_text[0] = '\0';
    n->snapshot = m->snapshot;
    n->report_ns = p->now_ns;
    n->report_free = m->heard_ns >= lease_ns(p->config.lease_ms) + p->patience_ns;
    if (p->state == PROPOSER_ASKING) {
        proposer_check_reports(p);
    }
}

static uint64_t is_told(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return n->told;
}

static uint64_t is_alive(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return n->alive;
}

static uint64_t proposer_donor_patience_ns(const struct proposer *p)
{
    return PROPOSER_DONOR_LEASES * lease_ns(p->config.lease_ms);
}

static uint64_t has_voted(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return n->vote_granted;
}

bool proposer_donor_is_away(const struct proposer *p)
{
    if (p->donor.empty) { /* all were needed; one that has lost its disk since takes nothing */
        return proposer_quorum_value(p, has_voted) == 0;
    }
    const struct proposer_node *n = &p->nodes[p->donor.node];
    bool silent = p->now_ns - n->answered_ns >= proposer_donor_patience_ns(p);
    /* It has lost its disk, or is no longer sure of what it voted with. */
    bool less = !n->vote_granted ||
                (n->known && (n->log.unit_off < p->donor.end.offset || n->log.uncertain_to > 0));

    return proposer_quorum_value(p, is_alive) > 0 && (silent || less);
}

/* Whether this node, which had the bytes below the term's begin, may still have them. */
static bool proposer_node_is_lasting(const struct proposer *p, const struct proposer_node *n)
{
    return n->told || p->now_ns - n->answered_ns < proposer_donor_patience_ns(p);
}

bool proposer_donor_is_gone(const struct proposer *p)
{
    if (p->donor.empty || p->commit_known) {
        return false;
    }
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (n->counted && n->acked_off >= p->term_begin && proposer_node_is_lasting(p, n)) {
            return false;
        }
    }
    return p->nodes[p->donor.node].told ||
           (proposer_quorum_value(p, is_told) > 0 &&
            p->now_ns - p->lead_ns >= proposer_donor_patience_ns(p));
}

static void proposer_on_elected_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];

    if (!proposer_answers_ask(n, msg, WIRE_ELECTED) || p->state != PROPOSER_LEADING ||
        msg->term.n != p->term.n) {
        return;
    }
    const struct wire_log *log = &msg->elected_reply.log;
    if (log->unit_off > log->flush_off || !proposer_feed_is_possible(p, log->flush_off)) {
        proposer_restart_session(p, node, p->now_ns + proposer_beat_ns(p)); /* cannot be */
        return;
    }
    n->log = *log;
    proposer_mend_told(p, node, &log->holes);
    proposer_conf_acked(p, node, msg);
    proposer_feed_start(p, node);
    if (proposer_donor_is_gone(p)) {
        proposer_set_state(p, PROPOSER_DEPOSED);
        return;
    }
    proposer_conf_step(p);
    proposer_feed_all(p); /* it may be what a lagging node waited for, too */
}

static void proposer_on_status_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];

    if (proposer_answers_ask(n, msg, WIRE_STATUS)) {
        n->snapshot = msg->status_reply.node.snapshot;
        n->snapshot_told = n->told;
        proposer_conf_step(p);
    }
}

static void proposer_on_refused(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];
    enum wire_refusal code = (enum wire_refusal)msg->refused.code;

    if (msg->refused.to == WIRE_RELEASE) {
        return; /* of another term: nothing was asked that could be asked again */
    }
    if (msg->refused.to == WIRE_READ) {
        proposer_on_read_refused(p, node, msg);
        return;
    }
    if (msg->refused.to == WIRE_MEND && proposer_mend_on_refused(p, node, msg)) {
        return;
    }
    switch (code) {
    case WIRE_REFUSED_CLUSTER:
    case WIRE_REFUSED_LOG:
    case WIRE_REFUSED_LEASE:
    case WIRE_REFUSED_VERSION:
        proposer_refused_by(p, node, code, msg->refused.reason);
        return;
    case WIRE_REFUSED_SPACE:
        proposer_restart_session(p, node, p->now_ns + PROPOSER_SPACE_RETRY_MS * CLOCK_NS_PER_MS);
        return;
    case WIRE_REFUSED_GENERATION: /* greeted again, it tells the higher one … */
    case WIRE_REFUSED_MEMBER:     /* … or who it is */
        if (p->state == PROPOSER_VOTING) {
            proposer_forget_identity(n);
        }
        proposer_restart_session(p, node, p->now_ns + proposer_beat_ns(p) / 4);
        return;
    case WIRE_REFUSED_SESSION:
    case WIRE_REFUSED_TERM:
    case WIRE_REFUSED_ELECTED:
    case WIRE_REFUSED_DIVERGED:
    case WIRE_REFUSED_BAD:
    case WIRE_REFUSED_NOT_FOUND:
    case WIRE_REFUSED_CORRUPT:
    case WIRE_REFUSED_NEEDED:
        break;
    }
    /* A node that has restarted is told at once who leads. The rest must not become a busy loop. */
    bool at_once = code == WIRE_REFUSED_ELECTED && !n->ask.open;
    proposer_restart_session(p, node, at_once ? 0 : p->now_ns + proposer_beat_ns(p));
}

/* Whether the message comes from somebody whose vote nobody needs: no term of his deposes us. */
static bool proposer_from_outsider(const struct proposer *p, const struct proposer_node *n,
                                   const struct wire_msg *msg)
{
    if (proposer_change_learns(p, n)) {
        return true;
    }
    if (msg->type == WIRE_HELLO_REPLY) {
        return conf_find(&p->conf, msg->hello_reply.node_id, &msg->hello_reply.disk) == NULL;
    }
    return n->node_id[0] != '\0' && !proposer_is_member(p, n);
}

/* A higher term exists: whoever leads or votes in a lower one is out. */
static void proposer_see_term(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    if (msg->term.n > p->max_term.n) {
        p->max_term = msg->term;
    }
    if (msg->term.n <= p->term.n) {
        return;
    }
    if (p->state == PROPOSER_VOTING) {
        proposer_back_off(p);
        proposer_to_asking(p);
    } else if ((p->state == PROPOSER_ELECTED || p->state == PROPOSER_LEADING) &&
               !proposer_from_outsider(p, &p->nodes[node], msg)) {
        proposer_set_state(p, PROPOSER_DEPOSED);
    }
}

static bool proposer_is_ours(const struct proposer *p, const struct wire_msg *msg)
{
    return msg->channel == WIRE_PROPOSER && msg->log_id == p->config.log_id &&
           memcmp(msg->cluster_id, p->config.cluster_id, sizeof msg->cluster_id) == 0;
}

static void proposer_dispatch(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    switch (msg->type) {
    case WIRE_HELLO_REPLY:
        proposer_on_hello_reply(p, node, msg);
        return;
    case WIRE_VOTE_REPLY:
        proposer_on_vote_reply(p, node, msg);
        return;
    case WIRE_ELECTED_REPLY:
        proposer_on_elected_reply(p, node, msg);
        return;
    case WIRE_APPEND_REPLY:
        proposer_on_append_reply(p, node, msg);
        return;
    case WIRE_READ_REPLY:
        proposer_on_read_reply(p, node, msg);
        return;
    case WIRE_CONFIG_REPLY:
        proposer_on_config_reply(p, node, msg);
        return;
    case WIRE_STATUS_REPLY:
        proposer_on_status_reply(p, node, msg);
        return;
    case WIRE_REFUSED:
        proposer_on_refused(p, node, msg);
        return;
    case WIRE_MEND_REPLY:
        proposer_mend_on_reply(p, node, msg);
        return;
    case WIRE_TRIM_REPLY:
    case WIRE_REBASE_REPLY:
        proposer_on_log_reply(p, node, msg);
        return;
    case WIRE_HELLO:
    case WIRE_VOTE:
    case WIRE_ELECTED:
    case WIRE_APPEND:
    case WIRE_READ:
    case WIRE_MEND:
    case WIRE_RELEASE:
    case WIRE_RELEASE_REPLY:
    case WIRE_STATUS:
    case WIRE_SNAP_BEGIN:
    case WIRE_SNAP_BEGIN_REPLY:
    case WIRE_SNAP_WRITE:
    case WIRE_SNAP_WRITE_REPLY:
    case WIRE_SNAP_COMMIT:
    case WIRE_SNAP_COMMIT_REPLY:
    case WIRE_SNAP_LATEST:
    case WIRE_SNAP_LATEST_REPLY:
    case WIRE_SNAP_READ:
    case WIRE_SNAP_READ_REPLY:
    case WIRE_SNAP_LIST:
    case WIRE_SNAP_LIST_REPLY:
    case WIRE_SNAP_DELETE:
    case WIRE_SNAP_DELETE_REPLY:
    case WIRE_SNAP_VERIFIED:
    case WIRE_SNAP_VERIFIED_REPLY:
    case WIRE_TRIM:
    case WIRE_REBASE:
    case WIRE_CONFIG:
    case WIRE_WATCH:
    case WIRE_WATCH_REPLY:
        return;
    }
}

void proposer_receive(struct proposer *p, uint64_t now_ns, unsigned node,
                      const struct wire_msg *msg)
{
    proposer_see_time(p, now_ns);
    if (node >= p->node_count || !p->nodes[node].used ||
        (p->state == PROPOSER_IDLE && !p->config.watch)) {
        return;
    }
    struct proposer_node *n = &p->nodes[node];
    if (msg->type == WIRE_REFUSED && msg->session == n->session && !proposer_is_ours(p, msg)) {
        proposer_on_refused(p, node, msg); /* a foreign cluster or log says so in its own name */
        return;
    }
    if (!proposer_is_ours(p, msg) || !term_is_near(p->max_term, msg->term)) {
        return;
    }
    proposer_see_term(p, node, msg);
    if (msg->session != n->session && !(MUTANT(OLD_ACKS) && msg->type == WIRE_APPEND_REPLY)) {
        return; /* of an older session: no effect */
    }
    n->answered_ns = p->now_ns;
    n->alive = true;
    proposer_dispatch(p, node, msg);
    proposer_drive(p, node);
}
