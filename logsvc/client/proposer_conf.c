/* Who counts: the proposer's view of the log's configuration (docs/log-protocol.md, "Membership"),
 * and the slots of the nodes that it talks to.
 *
 * A slot is a place for a link: the seeds' are there for ever; others come and go with the
 * configuration. Who a node is, it says itself when it is greeted (node id and disk id); a slot
 * counts as the member of that identity, wherever it is. So every question of "how many" goes
 * through proposer_quorum_value, which asks for members, never for slots.
 *
 * A leader's configuration goes by itself from FOUNDING or JOINT to STABLE as soon as it may,
 * whoever began that; proposer_change.c begins. */
#include "logsvc/client/proposer_state.h"

#include "common/mem.h"
#include "logsvc/lease.h"

#include <stdio.h>
#include <string.h>

/* --- slots ---------------------------------------------------------------------------------- */

static bool slot_is(const struct proposer_node *n, const char *node_id, const struct disk_id *disk)
{
    /* The disk first: it differs at once. */
    return n->used && disk_id_equal(&n->disk, disk) && n->node_id[0] != '\0' &&
           strcmp(n->node_id, node_id) == 0;
}

static const struct proposer_node *slot_of(const struct proposer *p, const struct conf_member *m)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        if (slot_is(&p->nodes[i], m->node_id, &m->disk)) {
            return &p->nodes[i];
        }
    }
    return NULL;
}

bool proposer_is_member(const struct proposer *p, const struct proposer_node *n)
{
    return n->used && n->node_id[0] != '\0' && conf_find(&p->conf, n->node_id, &n->disk) != NULL;
}

uint32_t proposer_members(const struct proposer *p)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        bool counts = p->conf.id.term.n > 0 ? proposer_is_member(p, n) : n->used && n->seed;
        set |= counts ? 1u << i : 0;
    }
    return set;
}

uint32_t proposer_fed(const struct proposer *p)
{
    uint32_t set = proposer_members(p);

    for (unsigned i = 0; i < p->node_count; i++) {
        set |= proposer_change_learns(p, &p->nodes[i]) ? 1u << i : 0;
    }
    return set;
}

bool proposer_feeds(const struct proposer *p, const struct proposer_node *n)
{
    return proposer_is_member(p, n) || proposer_change_learns(p, n);
}

unsigned proposer_slot_add(struct proposer *p, const char *address, bool seed)
{
    for (unsigned i = 0; i < PROPOSER_NODES_MAX; i++) {
        struct proposer_node *n = &p->nodes[i];
        if (n->used) {
            continue;
        }
        *n = (struct proposer_node){.used = true, .seed = seed, .snapshot = WIRE_NO_SNAPSHOT};
        snprintf(n->address, sizeof n->address, "%s", address);
        n->session = ++p->session;
        p->node_count = i >= p->node_count ? i + 1 : p->node_count;
        if (!seed && p->events.link != NULL) {
            p->events.link(p->ctx, i, n->address);
        }
        return i;
    }
    return PROPOSER_NODES_MAX;
}

void proposer_slot_remove(struct proposer *p, unsigned node)
{
    struct proposer_node *n = &p->nodes[node];

    MUST(n->used && !n->seed);
    proposer_restart_session(p, node, 0);
    buf_release(&n->catchup.records);
    *n = (struct proposer_node){.session = p->session, .snapshot = WIRE_NO_SNAPSHOT};
    if (p->events.link != NULL) {
        p->events.link(p->ctx, node, NULL);
    }
}

static bool slot_at(const struct proposer *p, const char *address)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        if (p->nodes[i].used && strcmp(p->nodes[i].address, address) == 0) {
            return true;
        }
    }
    return false;
}

static void slots_add_set(struct proposer *p, const struct conf_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        const struct conf_member *m = &set->members[i];
        if (slot_of(p, m) == NULL && !slot_at(p, m->address)) {
            (void)proposer_slot_add(p, m->address, false);
        }
    }
}

/* Whether a slot's address, or its node, is one of the configuration's. */
static bool slot_is_wanted(const struct proposer *p, const struct proposer_node *n)
{
    const struct conf_set *sets[] = {&p->conf.now, &p->conf.old};

    if (n->seed || proposer_feeds(p, n)) {
        return true;
    }
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned i = 0; i < sets[s]->count; i++) {
            const struct conf_member *m = &sets[s]->members[i];
            if (strcmp(m->address, n->address) == 0 && slot_of(p, m) == NULL) {
                return true;
            }
        }
    }
    return false;
}

/* One that has just left is told so, as long as it can be reached. */
static bool slot_is_leaving(const struct proposer *p, const struct proposer_node *n)
{
    return p->state == PROPOSER_LEADING && n->told && n->up && !proposer_feeds(p, n) &&
           conf_id_compare(n->conf_acked, p->conf.id) < 0;
}

void proposer_slots_follow(struct proposer *p)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        struct proposer_node *n = &p->nodes[i];
        if (!n->used || slot_is_leaving(p, n)) {
            continue;
        }
        if (!slot_is_wanted(p, n)) {
            proposer_slot_remove(p, i);
        } else if (n->told && !proposer_feeds(p, n)) {
            proposer_restart_session(p, i, 0);
        }
    }
    slots_add_set(p, &p->conf.now);
    slots_add_set(p, &p->conf.old);
}

static const struct proposer_node slot_of_nobody; /* a member that no slot has greeted */

/* --- counting ------------------------------------------------------------------------------- */

struct conf_question {
    const struct proposer *p;
    uint64_t (*of)(const struct proposer *p, const struct proposer_node *n);
};

static uint64_t question_value(const void *ctx, const struct conf_member *m)
{
    const struct conf_question *q = ctx;
    const struct proposer_node *n = slot_of(q->p, m);

    return q->of(q->p, n != NULL ? n : &slot_of_nobody);
}

uint64_t proposer_quorum_value(const struct proposer *p,
                               uint64_t (*of)(const struct proposer *p,
                                              const struct proposer_node *n))
{
    const struct conf_question q = {.p = p, .of = of};
    return conf_quorum_value(&p->conf, question_value, &q);
}

bool proposer_has_all(const struct proposer *p,
                      uint64_t (*of)(const struct proposer *p, const struct proposer_node *n))
{
    const struct conf_question q = {.p = p, .of = of};
    struct conf c = p->conf;

    if (conf_kind(&c) == CONF_FOUNDING) {
        conf_settle(&p->conf, &c);
    }
    return conf_quorum_value(&c, question_value, &q) > 0;
}

/* --- the configuration ---------------------------------------------------------------------- */

void proposer_conf_set(struct proposer *p, const struct conf *c)
{
    bool other = conf_id_compare(p->conf.id, c->id) != 0;

    p->conf = *c;
    buf_clear(&p->conf_bytes);
    conf_encode(&p->conf, &p->conf_bytes);
    if (!other) {
        return;
    }
    p->conf_since_ns = p->now_ns;
    for (unsigned i = 0; i < p->node_count; i++) {
        if (p->nodes[i].refusal == WIRE_REFUSED_MEMBER) {
            p->nodes[i].retry_at_ns = 0; /* judged anew */
        }
    }
    proposer_slots_follow(p);
}

bool proposer_conf_see(struct proposer *p, const struct wire_conf *bytes)
{
    struct conf c;

    if (bytes->size == 0 || conf_decode(bytes->bytes, bytes->size, &c) != ERR_OK ||
        conf_id_compare(c.id, p->seen.id) <= 0) {
        return false;
    }
    p->seen = c;
    return true;
}

void proposer_conf_found(struct proposer *p)
{
    struct conf_set set = {0};
    struct conf c;

    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (!n->used || !n->seed) {
            continue;
        }
        if (!n->known || n->refusal != 0 || !n->log.empty || n->conf_told.generation != 0 ||
            set.count == CONF_MEMBERS_MAX) {
            return;
        }
        struct conf_member *m = &set.members[set.count++];
        memcpy(m->node_id, n->node_id, sizeof m->node_id);
        memcpy(m->address, n->address, sizeof m->address);
        m->disk = n->disk;
    }
    if (conf_found(&set, &c) == ERR_OK) {
        proposer_conf_set(p, &c);
    }
}

/* What a node says of itself in answer to a greeting, judged; false: it was refused by name. */
bool proposer_conf_judge(struct proposer *p, unsigned node, const struct wire_hello_reply *m)
{
    char text[PROPOSER_REFUSAL_MAX + 1];

    if (proposer_change_learns(p, &p->nodes[node])) {
        return proposer_change_judge(p, node, m);
    }
    if (p->conf.id.term.n == 0 || conf_find(&p->conf, m->node_id, &m->disk) != NULL ||
        conf_find_node(&p->conf, m->node_id) == NULL) {
        return true; /* nobody counts yet; a member; or no name that we know */
    }
    if (m->log.empty) {
        snprintf(text, sizeof text,
                 "log node %s has an empty disk but was a member; a lost disk comes back under a "
                 "new node_id: start it with one and run holdfast-ctl log replace %s NEW",
                 m->node_id, m->node_id);
    } else {
        snprintf(text, sizeof text,
                 "log node %s is not on the disk that is the member of that name", m->node_id);
    }
    proposer_refused_by(p, node, WIRE_REFUSED_MEMBER, text);
    return false;
}

/* --- a leader's steps ----------------------------------------------------------------------- */

static uint64_t has_conf(const struct proposer *p, const struct proposer_node *n)
{
    return conf_id_compare(n->conf_acked, p->conf.id) >= 0;
}

bool proposer_conf_is_acked(const struct proposer *p)
{
    return proposer_quorum_value(p, has_conf) > 0;
}

static uint64_t has_snapshot(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return n->snapshot != WIRE_NO_SNAPSHOT;
}

static uint64_t lacks_snapshot(const struct proposer *p, const struct proposer_node *n)
{
    (void)p;
    return n->snapshot_told && n->snapshot == WIRE_NO_SNAPSHOT;
}

/* From then on any majority must do without the others: what the log begins with has to be there,
 * too. Who founds a log has stored it on all nodes; but he may have died, and another that never
 * heard of him may have put his own in its place. None has one: it is stored later (an import). */
static bool conf_snapshots_are_there(const struct proposer *p)
{
    return conf_kind(&p->conf) != CONF_FOUNDING || proposer_quorum_value(p, has_snapshot) > 0 ||
           proposer_quorum_value(p, lacks_snapshot) > 0;
}

bool proposer_conf_wants_status(const struct proposer *p, const struct proposer_node *n)
{
    bool asks =
        conf_kind(&p->conf) == CONF_FOUNDING && proposer_is_member(p, n) && has_snapshot(p, n) == 0;

    return asks && (n->status_ns == 0 || p->now_ns - n->status_ns >= proposer_beat_ns(p));
}

/* The conditions of docs/log-protocol.md, "Change", 4: all are needed. */
static bool conf_may_settle(const struct proposer *p)
{
    return proposer_conf_is_acked(p) && conf_snapshots_are_there(p) && p->commit_known &&
           proposer_commit_counted(p) > p->conf_sync_off &&
           proposer_lease_sent_ns(p) >= p->conf_since_ns && proposer_may_serve(p, p->now_ns);
}

void proposer_conf_step(struct proposer *p)
{
    enum conf_kind kind = conf_kind(&p->conf);
    struct conf next;

    if (p->state != PROPOSER_LEADING) {
        return;
    }
    if ((kind == CONF_FOUNDING || kind == CONF_JOINT) && conf_may_settle(p)) {
        conf_settle(&p->conf, &next);
        proposer_conf_set(p, &next);
        proposer_update_commit(p);
        proposer_drive_all(p);
    }
    proposer_change_step(p);
}

void proposer_conf_lead(struct proposer *p)
{
    p->conf_since_ns = p->now_ns;
    p->conf_sync_off = p->term_begin;
    proposer_change_resume(p);
}

struct wire_conf proposer_wire_conf(const struct proposer *p)
{
    return (struct wire_conf){.bytes = buf_head(&p->conf_bytes), .size = p->conf_bytes.len};
}

void proposer_conf_acked(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    p->nodes[node].conf_acked = msg->conf;
    if (conf_id_compare(msg->conf, p->conf.id) == 0 &&
        conf_id_compare(p->conf.id, p->seen.id) > 0) {
        p->seen = p->conf;
    }
}

void proposer_ask_config(struct proposer *p, unsigned node)
{
    struct wire_msg msg = proposer_message(p, node, WIRE_CONFIG, p->term);

    msg.config.conf = proposer_wire_conf(p);
    proposer_ask(p, node, &msg);
}

void proposer_on_config_reply(struct proposer *p, unsigned node, const struct wire_msg *msg)
{
    struct proposer_node *n = &p->nodes[node];

    if (!proposer_answers_ask(n, msg, WIRE_CONFIG) || p->state != PROPOSER_LEADING ||
        msg->term.n != p->term.n || !n->told) {
        return;
    }
    proposer_conf_acked(p, node, msg);
    proposer_conf_step(p);
    proposer_slots_follow(p); /* one that has left was told now */
}
