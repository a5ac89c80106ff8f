/* Replacing one log node by another while serving (docs/log-protocol.md, "Change").
 *
 *   NONE ─proposer_replace▶ GREET ─it is fit▶ LEARN ─it is near the end▶ JOINT ─settled▶ FINAL ─▶
 * DONE └────it is refused, or away for long──▶ FAILED          (quorum has it)
 *
 * Up to LEARN nothing has changed but this leader's memory. From JOINT on the configuration itself
 * goes on, here or under the next leader (proposer_conf.c); this only watches and tells. */
#include "logsvc/client/proposer_state.h"

#include "common/mem.h"
#include "logsvc/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CHANGE_PATIENCE_MS = 30000, CHANGE_SNAPSHOT_POLL_MS = 1000 };

bool proposer_change_learns(const struct proposer *p, const struct proposer_node *n)
{
    const struct proposer_change *c = &p->change;

    return (c->state == PROPOSER_CHANGE_GREET || c->state == PROPOSER_CHANGE_LEARN) &&
           n == &p->nodes[c->node];
}

static void change_fail(struct proposer *p, const char *why)
{
    struct proposer_change *c = &p->change;

    c->state = PROPOSER_CHANGE_FAILED;
    snprintf(c->why, sizeof c->why, "%s", why);
    proposer_slots_follow(p); /* its link goes */
}

static bool change_is_member_at(const struct proposer *p, const char *address)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        if (strcmp(p->nodes[i].address, address) == 0 && proposer_is_member(p, &p->nodes[i])) {
            return true;
        }
    }
    return false;
}

int proposer_replace(struct proposer *p, uint64_t now_ns, const char *old_id, const char *address,
                     char *why, size_t why_size)
{
    struct proposer_change *c = &p->change;
    const char *text = NULL;
    int err = ERR_STATE;

    if (p->state != PROPOSER_LEADING || !p->commit_known) {
        text = "this proxy does not lead; ask the leader";
    } else if (conf_kind(&p->conf) != CONF_STABLE || c->state == PROPOSER_CHANGE_GREET ||
               c->state == PROPOSER_CHANGE_LEARN || c->state == PROPOSER_CHANGE_FINAL) {
        text = conf_kind(&p->conf) == CONF_FOUNDING
                   ? "the log is just being founded; try again"
                   : "a change of the log's members is already going on";
    } else if (conf_find_node(&p->conf, old_id) == NULL) {
        text = "no member of the log has that node id";
        err = ERR_NOT_FOUND;
    } else if (change_is_member_at(p, address)) {
        text = "the log node at that address is a member already";
        err = ERR_EXISTS;
    } else if (address[0] == '\0' || strlen(address) > CONF_TEXT_MAX) {
        text = "the new node's address must be HOST:PORT";
        err = ERR_INVALID;
    }
    if (text != NULL) {
        snprintf(why, why_size, "%s", text);
        return err;
    }
    p->now_ns = now_ns > p->now_ns ? now_ns : p->now_ns;
    *c = (struct proposer_change){
        .state = PROPOSER_CHANGE_GREET, .node = PROPOSER_NODES_MAX, .heard_ns = p->now_ns};
    snprintf(c->old_id, sizeof c->old_id, "%s", old_id);
    snprintf(c->address, sizeof c->address, "%s", address);
    for (unsigned i = 0; i < p->node_count; i++) {
        if (p->nodes[i].used && strcmp(p->nodes[i].address, address) == 0) {
            c->node = i; /* a seed that is no member */
        }
    }
    if (c->node == PROPOSER_NODES_MAX) {
        c->node = proposer_slot_add(p, address, false);
    }
    if (c->node == PROPOSER_NODES_MAX) {
        *c = (struct proposer_change){0};
        snprintf(why, why_size, "too many log nodes are known");
        return ERR_TOO_BIG;
    }
    proposer_restart_session(p, c->node, 0); /* to be judged anew */
    p->nodes[c->node].refusal = 0;
    proposer_drive(p, c->node);
    return ERR_OK;
}

/* Whether a log can become a copy of ours without losing anything that belongs elsewhere. */
static bool change_is_fit(const struct proposer *p, const struct wire_hello_reply *m)
{
    struct history theirs;
    uint64_t common;

    if (m->log.empty) {
        return true;
    }
    return m->history.size > 0 &&
           history_decode(m->history.bytes, m->history.size, &theirs) == ERR_OK &&
           history_common(&p->history, &theirs, m->log.flush_off, &common) == ERR_OK;
}

bool proposer_change_judge(struct proposer *p, unsigned node, const struct wire_hello_reply *m)
{
    struct proposer_change *c = &p->change;
    char text[PROPOSER_REFUSAL_MAX + 1] = "";
    const struct conf_member *same = conf_find_node(&p->conf, m->node_id);

    if (same != NULL && disk_id_equal(&same->disk, &m->disk)) {
        snprintf(text, sizeof text, "the log node at %s is %s, which is a member already",
                 c->address, m->node_id);
    } else if (same != NULL) {
        snprintf(text, sizeof text,
                 "the log node at %s calls itself %s, and a member has that node id: a lost disk "
                 "comes back under a new node_id",
                 c->address, m->node_id);
    } else if (!change_is_fit(p, m)) {
        snprintf(text, sizeof text, "log node %s is not empty: it holds another log", m->node_id);
    } else if (!disk_id_known(&m->disk)) {
        snprintf(text, sizeof text, "log node %s tells no disk id", m->node_id);
    }
    if (text[0] == '\0') {
        memcpy(c->new_id, m->node_id, sizeof c->new_id);
        return true;
    }
    change_fail(p, text);
    if (p->nodes[node].used) { /* a seed */
        proposer_refused_by(p, node, WIRE_REFUSED_MEMBER, text);
    }
    return false;
}

/* Whether the newcomer could replace a member in serving the log's beginning, too. */
static bool change_has_snapshot(const struct proposer *p, const struct proposer_node *newcomer)
{
    for (unsigned i = 0; i < p->node_count; i++) {
        const struct proposer_node *n = &p->nodes[i];
        if (proposer_is_member(p, n) && n->snapshot != WIRE_NO_SNAPSHOT) {
            return newcomer->snapshot != WIRE_NO_SNAPSHOT;
        }
    }
    return true;
}

static void change_to_joint(struct proposer *p)
{
    struct proposer_change *c = &p->change;
    const struct proposer_node *n = &p->nodes[c->node];
    struct conf_member added = {.disk = n->disk};
    struct conf next;

    memcpy(added.node_id, n->node_id, sizeof added.node_id);
    memcpy(added.address, n->address, sizeof added.address);
    if (conf_replace(&p->conf, c->old_id, &added, &next) != ERR_OK) {
        change_fail(p, "the members have changed");
        return;
    }
    c->state = PROPOSER_CHANGE_JOINT;
    p->conf_sync_off = p->commit;
    proposer_conf_set(p, &next);
    proposer_drive_all(p);
}

/* Goes on once the newcomer has reached, within a lease, what was committed at its beginning. */
static void change_learn(struct proposer *p)
{
    struct proposer_change *c = &p->change;
    struct proposer_node *n = &p->nodes[c->node];

    if (n->alive) {
        c->heard_ns = p->now_ns;
    }
    if (n->refusal != 0) {
        char text[PROPOSER_REFUSAL_MAX + 1];
        snprintf(text, sizeof text, "%s", n->refusal_text);
        change_fail(p, text);
    } else if (n->known && n->term_told.n > p->term.n) {
        change_fail(p, "the new log node has promised a higher term than ours; begin again after "
                       "the next election");
    } else if (p->now_ns - c->heard_ns >= CHANGE_PATIENCE_MS * CLOCK_NS_PER_MS) {
        change_fail(p, "the new log node does not answer");
    }
    if (c->state == PROPOSER_CHANGE_FAILED || !n->told) {
        return;
    }
    if (c->state == PROPOSER_CHANGE_GREET) {
        c->state = PROPOSER_CHANGE_LEARN;
        c->mark_off = p->commit;
        c->mark_ns = p->now_ns;
    }
    if (n->unit_off >= c->mark_off) {
        if (p->now_ns - c->mark_ns < lease_ns(p->config.lease_ms) && change_has_snapshot(p, n)) {
            change_to_joint(p);
            return;
        }
        c->mark_off = p->commit;
        c->mark_ns = p->now_ns;
    }
}

void proposer_change_step(struct proposer *p)
{
    struct proposer_change *c = &p->change;

    switch (c->state) {
    case PROPOSER_CHANGE_GREET:
    case PROPOSER_CHANGE_LEARN:
        change_learn(p);
        return;
    case PROPOSER_CHANGE_JOINT:
        if (conf_kind(&p->conf) == CONF_STABLE) {
            c->state = PROPOSER_CHANGE_FINAL;
        }
        return;
    case PROPOSER_CHANGE_FINAL:
        if (proposer_conf_is_acked(p)) {
            c->state = PROPOSER_CHANGE_DONE;
        }
        return;
    case PROPOSER_CHANGE_NONE:
    case PROPOSER_CHANGE_DONE:
    case PROPOSER_CHANGE_FAILED:
        return;
    }
}

/* A new leader finds a change in its configuration, or none; what was only in the memory of the one
 * before is gone. */
void proposer_change_resume(struct proposer *p)
{
    struct proposer_change *c = &p->change;

    *c = (struct proposer_change){.node = PROPOSER_NODES_MAX};
    if (conf_kind(&p->conf) != CONF_JOINT) {
        return;
    }
    c->state = PROPOSER_CHANGE_JOINT;
    for (unsigned i = 0; i < p->conf.now.count; i++) {
        const struct conf_member *now = &p->conf.now.members[i];
        const struct conf_member *old = &p->conf.old.members[i];
        if (!conf_set_has(&p->conf.old, now->node_id, &now->disk)) {
            memcpy(c->new_id, now->node_id, sizeof c->new_id);
            memcpy(c->address, now->address, sizeof c->address);
        }
        if (!conf_set_has(&p->conf.now, old->node_id, &old->disk)) {
            memcpy(c->old_id, old->node_id, sizeof c->old_id);
        }
    }
}

bool proposer_change_wants_status(const struct proposer *p, const struct proposer_node *n)
{
    return p->state == PROPOSER_LEADING && n->told && n->snapshot == WIRE_NO_SNAPSHOT &&
           p->now_ns - n->status_ns >= CHANGE_SNAPSHOT_POLL_MS * CLOCK_NS_PER_MS;
}

void proposer_change_info(const struct proposer *p, struct proposer_change_info *out)
{
    const struct proposer_change *c = &p->change;
    const struct proposer_node *n =
        proposer_change_learns(p, &p->nodes[c->node < PROPOSER_NODES_MAX ? c->node : 0])
            ? &p->nodes[c->node]
            : NULL;

    *out = (struct proposer_change_info){.state = c->state};
    memcpy(out->old_id, c->old_id, sizeof out->old_id);
    memcpy(out->new_id, c->new_id, sizeof out->new_id);
    memcpy(out->address, c->address, sizeof out->address);
    memcpy(out->why, c->why, sizeof out->why);
    if (n != NULL && n->told) {
        out->done_bytes = n->acked_off > p->log_begin ? n->acked_off - p->log_begin : 0;
        out->total_bytes = p->commit > p->log_begin ? p->commit - p->log_begin : 0;
    }
}
