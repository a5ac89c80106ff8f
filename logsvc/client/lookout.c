#include "logsvc/client/lookout.h"

#include "common/clock.h"
#include "common/mem.h"
#include "logsvc/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reports older than this many intervals (or a lease, if that is longer) say nothing. */
enum { LOOKOUT_FRESH_INTERVALS = 3, LOOKOUT_ROSTER_MS = 2000 };

struct lookout_node {
    bool up;
    uint64_t seq;
    uint64_t ask_at_ns;
    uint64_t reported_ns; /* 0: never, over this link */
    uint64_t heard_at_ns; /* our clock; UINT64_MAX: it hears nobody */
    struct term term;
    struct term leader_term;
    char leader[WIRE_NAME_MAX + 1];
    char heir[WIRE_NAME_MAX + 1];
    bool empty;
    uint32_t refusal; /* enum wire_refusal; 0: none */
};

struct lookout {
    struct lookout_config config;
    char name[WIRE_NAME_MAX + 1], address[WIRE_NAME_MAX + 1];
    struct lookout_events events;
    void *ctx;

    struct lookout_self self;

    struct lookout_node nodes[LOOKOUT_NODES_MAX];
    uint32_t counting; /* which of them */
    struct term term;
    uint64_t commit;
    uint32_t engine;
    struct history history;
    struct roster roster;
};

struct lookout *lookout_create(const struct lookout_config *config,
                               const struct lookout_events *events, void *ctx)
{
    MUST(config->node_count > 0 && config->node_count <= LOOKOUT_NODES_MAX);
    MUST(config->lease_ms > 0 && config->interval_ms > 0);
    struct lookout *l = mem_calloc(1, sizeof *l);

    l->config = *config;
    l->counting = (1u << config->node_count) - 1;
    l->config.name = l->config.address = NULL;
    snprintf(l->name, sizeof l->name, "%s", config->name);
    snprintf(l->address, sizeof l->address, "%s", config->address);
    l->events = *events;
    l->ctx = ctx;
    return l;
}

void lookout_destroy(struct lookout *l)
{
    free(l);
}

void lookout_say(struct lookout *l, const struct lookout_self *self)
{
    if (self->role != l->self.role || self->synced != l->self.synced) {
        lookout_hurry(l);
    }
    l->self = *self;
}

void lookout_hurry(struct lookout *l)
{
    for (unsigned i = 0; i < LOOKOUT_NODES_MAX; i++) {
        l->nodes[i].ask_at_ns = 0;
    }
}

static struct log_term lookout_known(const struct lookout *l)
{
    const struct history *h = &l->history;
    return h->count > 0 ? h->entries[h->count - 1].term : (struct log_term){0};
}

static void lookout_ask(struct lookout *l, uint64_t now_ns, unsigned node)
{
    struct lookout_node *n = &l->nodes[node];
    struct wire_msg msg = {.type = WIRE_WATCH,
                           .channel = WIRE_LOOKOUT,
                           .log_id = l->config.log_id,
                           .session = l->config.session,
                           .seq = n->seq + 1};

    memcpy(msg.cluster_id, l->config.cluster_id, sizeof msg.cluster_id);
    memcpy(msg.watch.name, l->name, sizeof msg.watch.name);
    memcpy(msg.watch.address, l->address, sizeof msg.watch.address);
    msg.watch.lease_ms = l->config.lease_ms;
    msg.watch.role = (uint8_t)l->self.role;
    msg.watch.synced = l->self.synced;
    msg.watch.offset = l->self.offset;
    msg.watch.needs = l->self.needs;
    msg.watch.sentinel_port = l->self.sentinel_port;
    msg.watch.known = lookout_known(l);
    if (l->events.send(l->ctx, node, &msg)) {
        n->seq++;
    }
    n->ask_at_ns = now_ns + l->config.interval_ms * CLOCK_NS_PER_MS;
}

/* A history that ends in a newer term replaces ours; one of the same term is the same. */
static void lookout_take_history(struct lookout *l, const struct wire_history *bytes)
{
    struct history h;

    if (bytes->size > 0 && history_decode(bytes->bytes, bytes->size, &h) == ERR_OK && h.count > 0 &&
        h.entries[h.count - 1].term.n > lookout_known(l).n) {
        l->history = h;
    }
}

static void lookout_take_roster(struct lookout *l, uint64_t now_ns, const struct wire_roster *bytes)
{
    struct roster roster;

    if (bytes->size == 0 || roster_decode(bytes->bytes, bytes->size, now_ns, &roster) != ERR_OK) {
        return;
    }
    for (unsigned i = 0; i < roster.count; i++) {
        (void)roster_hear(&l->roster, &roster.entries[i]);
    }
}

/* No such log is there: nobody leads it, as far as that node knows. */
static void lookout_is_empty(struct lookout_node *n, uint64_t now_ns)
{
    n->reported_ns = now_ns;
    n->heard_at_ns = UINT64_MAX;
    n->term = n->leader_term = (struct term){0};
    n->leader[0] = n->heir[0] = '\0';
    n->empty = true;
}

/* A foreign cluster says so in its own name. */
static void lookout_refused(struct lookout *l, uint64_t now_ns, unsigned node,
                            const struct wire_msg *msg)
{
    struct lookout_node *n = &l->nodes[node];

    if (msg->refused.code == WIRE_REFUSED_LOG) {
        lookout_is_empty(n, now_ns);
    } else if (msg->refused.code != n->refusal) {
        n->refusal = msg->refused.code;
        if (l->events.refused != NULL) {
            l->events.refused(l->ctx, node, (enum wire_refusal)msg->refused.code,
                              msg->refused.reason);
        }
    }
}

void lookout_receive(struct lookout *l, uint64_t now_ns, unsigned node, const struct wire_msg *msg)
{
    const struct wire_watch_reply *m = &msg->watch_reply;

    if (node < LOOKOUT_NODES_MAX && msg->type == WIRE_REFUSED && msg->channel == WIRE_LOOKOUT &&
        msg->session == l->config.session) {
        lookout_refused(l, now_ns, node, msg);
        return;
    }
    if (node >= LOOKOUT_NODES_MAX || msg->channel != WIRE_LOOKOUT ||
        msg->session != l->config.session || msg->log_id != l->config.log_id ||
        memcmp(msg->cluster_id, l->config.cluster_id, sizeof msg->cluster_id) != 0) {
        return;
    }
    struct lookout_node *n = &l->nodes[node];
    if (msg->type != WIRE_WATCH_REPLY) {
        return;
    }
    n->refusal = 0;
    n->reported_ns = now_ns;
    n->heard_at_ns = UINT64_MAX;
    if (m->heard_ns != WIRE_NEVER) {
        n->heard_at_ns = m->heard_ns < now_ns ? now_ns - m->heard_ns : 0;
    }
    n->term = msg->term;
    n->leader_term = m->leader_term;
    memcpy(n->leader, m->leader, sizeof n->leader);
    memcpy(n->heir, m->heir, sizeof n->heir);
    n->empty = m->empty;
    l->term = msg->term.n > l->term.n ? msg->term : l->term;
    l->commit = !m->empty && m->commit > l->commit ? m->commit : l->commit;
    l->engine = m->engine > l->engine ? m->engine : l->engine;
    lookout_take_history(l, &m->history);
    lookout_take_roster(l, now_ns, &m->roster);
}

void lookout_nodes(struct lookout *l, uint32_t set)
{
    l->counting = set;
}

void lookout_link_up(struct lookout *l, uint64_t now_ns, unsigned node, bool up)
{
    MUST(node < LOOKOUT_NODES_MAX);
    l->nodes[node].up = up;
    l->nodes[node].reported_ns = 0;
    if (up) {
        lookout_ask(l, now_ns, node);
    }
}

void lookout_tick(struct lookout *l, uint64_t now_ns)
{
    for (unsigned i = 0; i < LOOKOUT_NODES_MAX; i++) {
        if (l->nodes[i].up && now_ns >= l->nodes[i].ask_at_ns) {
            lookout_ask(l, now_ns, i);
        }
    }
}

uint64_t lookout_next_tick_ns(const struct lookout *l)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < LOOKOUT_NODES_MAX; i++) {
        if (l->nodes[i].up && l->nodes[i].ask_at_ns < next) {
            next = l->nodes[i].ask_at_ns;
        }
    }
    return next;
}

void lookout_view(struct lookout *l, uint64_t now_ns, struct lookout_view *out)
{
    uint64_t lease = lease_ns(l->config.lease_ms);
    uint64_t fresh = LOOKOUT_FRESH_INTERVALS * l->config.interval_ms * CLOCK_NS_PER_MS;
    unsigned free_count = 0, seen_count = 0, heir_count = 0, gone_count = 0,
             quorum = (unsigned)__builtin_popcount(l->counting) / 2 + 1;

    fresh = fresh > lease ? fresh : lease;
    roster_forget(&l->roster, now_ns, LOOKOUT_ROSTER_MS * CLOCK_NS_PER_MS);
    *out = (struct lookout_view){.leader = "",
                                 .heir = "",
                                 .term = l->term,
                                 .commit = l->commit,
                                 .engine = l->engine,
                                 .log_empty = true,
                                 .history = &l->history,
                                 .roster = &l->roster};
    for (unsigned i = 0; i < LOOKOUT_NODES_MAX; i++) {
        const struct lookout_node *n = &l->nodes[i];
        if ((l->counting >> i & 1) == 0 || n->reported_ns == 0 || now_ns - n->reported_ns > fresh) {
            continue;
        }
        bool heard = n->heard_at_ns != UINT64_MAX &&
                     (n->heard_at_ns > now_ns || now_ns - n->heard_at_ns < lease);
        /* With a newer term promised it is a candidate that was heard, and the leader is over. */
        bool alive = heard && n->leader_term.n > 0 && n->term.n == n->leader_term.n;
        seen_count++;
        free_count += !heard;
        gone_count += n->heard_at_ns == UINT64_MAX;
        out->log_empty = out->log_empty && n->empty;
        if (n->leader_term.n > out->leader_term.n) {
            out->leader_term = n->leader_term;
            out->leader = n->leader;
            out->leader_alive = alive;
            out->heir = n->heir;
            heir_count = n->heir[0] != '\0';
        } else if (n->leader_term.n == out->leader_term.n) {
            out->leader_alive = out->leader_alive || alive;
            out->heir = n->heir[0] != '\0' ? n->heir : out->heir;
            heir_count += n->heir[0] != '\0';
        }
    }
    out->nodes_up = seen_count;
    out->seen = seen_count >= quorum;
    out->free = free_count >= quorum;
    out->gone = gone_count >= quorum;
    out->heir_sure = heir_count >= quorum && heir_count == seen_count;
}
