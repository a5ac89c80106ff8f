#include "logsvc/client/catalogue.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a quorum does not answer within so many time-outs has failed. */
enum { CATALOGUE_PATIENCE_TIMEOUTS = 10 };

enum catalogue_job { CATALOGUE_IDLE, CATALOGUE_LISTING, CATALOGUE_MARKING };

enum asked_state { ASKED_NOT, ASKED_WAITS, ASKED_DONE, ASKED_REFUSED };

/* A node, as far as the present job goes. */
struct catalogue_asked {
    bool up;
    enum asked_state state;
    uint64_t seq; /* ASKED_WAITS: of the question */
    uint64_t asked_ns;
    uint64_t wait_ns; /* not asked before */
};

/* What nodes have listed. */
struct catalogue_listing {
    uint32_t set; /* of whom was asked */
    struct catalogue_node nodes[CATALOGUE_NODES_MAX];
    unsigned count;
    struct catalogue_entry entries[CATALOGUE_ENTRIES_MAX];
};

struct catalogue {
    struct catalogue_config config;
    struct catalogue_events events;
    void *ctx;
    uint32_t set;

    enum catalogue_job job;
    uint32_t job_set;
    struct wire_msg question; /* MARKING: without its envelope */
    struct term term;         /* MARKING: under which */
    uint64_t begun_ns;
    uint64_t quorum_ns; /* when a quorum had answered; 0: not yet */
    uint64_t seq;       /* of the last question; never repeats */
    struct catalogue_asked asked[CATALOGUE_NODES_MAX];
    bool stale;
    char refusal[WIRE_REASON_MAX + 1];

    struct catalogue_listing view; /* the last one that ended */
    struct catalogue_listing next; /* LISTING: what has come so far */
};

struct catalogue *catalogue_create(const struct catalogue_config *config,
                                   const struct catalogue_events *events, void *ctx)
{
    struct catalogue *c = mem_calloc(1, sizeof *c);

    MUST(config->node_count >= 1 && config->node_count <= CATALOGUE_NODES_MAX);
    MUST(config->timeout_ms > 0 && config->retry_ms > 0);
    c->config = *config;
    c->events = *events;
    c->ctx = ctx;
    c->set = (1u << config->node_count) - 1;
    return c;
}

void catalogue_destroy(struct catalogue *c)
{
    free(c);
}

void catalogue_nodes(struct catalogue *c, uint32_t set)
{
    c->set = set;
}

void catalogue_stop(struct catalogue *c)
{
    c->job = CATALOGUE_IDLE;
}

bool catalogue_active(const struct catalogue *c)
{
    return c->job != CATALOGUE_IDLE;
}

static bool is_quorum(uint32_t some, uint32_t all)
{
    return __builtin_popcount(some & all) > __builtin_popcount(all) / 2;
}

static uint64_t timeout_ns(const struct catalogue *c)
{
    return c->config.timeout_ms * CLOCK_NS_PER_MS;
}

static uint32_t asked_in(const struct catalogue *c, enum asked_state state)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < CATALOGUE_NODES_MAX; i++) {
        set |= c->asked[i].state == state ? 1u << i : 0;
    }
    return set & c->job_set;
}

/* --- the view ------------------------------------------------------------------------------- */

static struct catalogue_entry *entry_of(struct catalogue_listing *l,
                                        const struct snapshot_info *info)
{
    unsigned at = 0;

    while (at < l->count && l->entries[at].info.offset > info->offset) {
        at++;
    }
    for (unsigned i = at; i < l->count && l->entries[i].info.offset == info->offset; i++) {
        if (snapinfo_same(&l->entries[i].info, info)) {
            return &l->entries[i];
        }
    }
    if (l->count == CATALOGUE_ENTRIES_MAX) {
        if (at == l->count) {
            return NULL; /* older than all that there is room for */
        }
        l->count--;
    }
    memmove(&l->entries[at + 1], &l->entries[at], (l->count - at) * sizeof l->entries[0]);
    l->count++;
    l->entries[at] = (struct catalogue_entry){.info = *info};
    l->entries[at].info.verified_ms = 0;
    return &l->entries[at];
}

static void listing_take(struct catalogue_listing *l, unsigned node, const struct wire_msg *msg)
{
    const struct wire_snap_list_reply *m = &msg->snap_list_reply;
    unsigned count = snapinfo_list_count(m->snaps.bytes, m->snaps.size);
    uint32_t bit = 1u << node;

    l->nodes[node] = (struct catalogue_node){.answered = true, .term = msg->term, .log = m->log};
    for (unsigned i = 0; i < count; i++) {
        struct snapinfo_stored stored;
        snapinfo_list_get(m->snaps.bytes, m->snaps.size, i, &stored);
        struct catalogue_entry *e = entry_of(l, &stored.info);
        if (e == NULL) {
            continue;
        }
        uint64_t told = stored.info.verified_ms;
        e->on |= bit;
        e->counts |= stored.counts ? bit : 0;
        e->verified |= told > 0 ? bit : 0;
        if (told > 0 && (e->info.verified_ms == 0 || told < e->info.verified_ms)) {
            e->info.verified_ms = told;
        }
        e->stored = is_quorum(e->on, l->set);
        e->proven = is_quorum(e->verified, l->set);
    }
}

void catalogue_view(const struct catalogue *c, struct catalogue_view *out)
{
    *out = (struct catalogue_view){.count = c->view.count,
                                   .entries = c->view.entries,
                                   .nodes = c->view.nodes,
                                   .begin = UINT64_MAX};
    for (unsigned i = 0; i < CATALOGUE_NODES_MAX; i++) {
        const struct catalogue_node *n = &c->view.nodes[i];
        if (!n->answered) {
            continue;
        }
        out->answered |= 1u << i;
        out->term = n->term.n > out->term.n ? n->term : out->term;
        if (!n->log.empty) {
            out->begin = n->log.begin < out->begin ? n->log.begin : out->begin;
            out->commit = n->log.commit > out->commit ? n->log.commit : out->commit;
        }
    }
    out->quorum = c->view.set != 0 && is_quorum(out->answered, c->view.set);
}

const struct catalogue_entry *catalogue_newest(const struct catalogue *c, uint64_t limit)
{
    for (unsigned i = 0; i < c->view.count; i++) {
        const struct catalogue_entry *e = &c->view.entries[i];
        if (e->info.offset <= limit && e->stored && e->counts != 0) {
            return e;
        }
    }
    return NULL;
}

const char *catalogue_refusal(const struct catalogue *c)
{
    return c->refusal;
}

/* --- asking --------------------------------------------------------------------------------- */

static void ask_one(struct catalogue *c, uint64_t now_ns, unsigned node)
{
    struct catalogue_asked *a = &c->asked[node];
    struct wire_msg msg = c->question;

    msg.channel = WIRE_SNAPSHOT;
    msg.log_id = c->config.log_id;
    msg.term = c->term;
    msg.session = c->config.session;
    msg.seq = c->seq + 1;
    memcpy(msg.cluster_id, c->config.cluster_id, sizeof msg.cluster_id);
    if (c->events.send(c->ctx, node, &msg)) {
        a->state = ASKED_WAITS;
        a->seq = ++c->seq;
        a->asked_ns = now_ns;
    }
}

static void pump(struct catalogue *c, uint64_t now_ns)
{
    for (unsigned i = 0; i < CATALOGUE_NODES_MAX && c->job != CATALOGUE_IDLE; i++) {
        struct catalogue_asked *a = &c->asked[i];
        if ((c->job_set >> i & 1) != 0 && a->up && a->state == ASKED_NOT && a->wait_ns <= now_ns) {
            a->wait_ns = 0; /* busy: asked when it is ready */
            ask_one(c, now_ns, i);
        }
    }
}

/* Ends the job and tells the owner. */
static void end(struct catalogue *c, int err)
{
    enum catalogue_job job = c->job;

    c->job = CATALOGUE_IDLE;
    if (job == CATALOGUE_LISTING) {
        c->view = c->next;
        c->events.listed(c->ctx, err);
    } else {
        c->events.done(c->ctx, err);
    }
}

/* Called last by everything that may have changed something. */
static void look(struct catalogue *c, uint64_t now_ns)
{
    if (c->job == CATALOGUE_IDLE) {
        return;
    }
    uint32_t done = asked_in(c, ASKED_DONE), refused = asked_in(c, ASKED_REFUSED);
    uint32_t open = 0;
    for (unsigned i = 0; i < CATALOGUE_NODES_MAX; i++) {
        bool ended = ((done | refused) >> i & 1) != 0;
        open |= c->asked[i].up && !ended ? 1u << i : 0;
    }
    open &= c->job_set;
    bool quorum = is_quorum(done, c->job_set);
    if (quorum && c->quorum_ns == 0) {
        c->quorum_ns = now_ns;
    }
    if (c->stale) {
        end(c, ERR_STALE);
    } else if (quorum && (open == 0 || now_ns - c->quorum_ns >= timeout_ns(c))) {
        end(c, ERR_OK);
    } else if (!quorum && !is_quorum(c->job_set & ~refused, c->job_set)) {
        end(c, ERR_REFUSED);
    } else if (now_ns - c->begun_ns >= CATALOGUE_PATIENCE_TIMEOUTS * timeout_ns(c)) {
        end(c, ERR_TIMEOUT);
    }
}

static void begin(struct catalogue *c, uint64_t now_ns, enum catalogue_job job)
{
    c->job = job;
    c->job_set = c->set;
    c->begun_ns = now_ns;
    c->quorum_ns = 0;
    c->stale = false;
    c->refusal[0] = '\0';
    for (unsigned i = 0; i < CATALOGUE_NODES_MAX; i++) {
        c->asked[i].state = ASKED_NOT;
        c->asked[i].wait_ns = 0;
    }
    pump(c, now_ns);
}

void catalogue_list(struct catalogue *c, uint64_t now_ns)
{
    c->next = (struct catalogue_listing){.set = c->set};
    c->question = (struct wire_msg){.type = WIRE_SNAP_LIST};
    c->term = (struct term){0};
    begin(c, now_ns, CATALOGUE_LISTING);
}

static void begin_mark(struct catalogue *c, uint64_t now_ns, enum wire_type type,
                       const struct snapshot_info *info, uint64_t verified_ms)
{
    struct catalogue_view view;

    catalogue_view(c, &view);
    c->question = (struct wire_msg){
        .type = type,
        .snap_mark = {.offset = info->offset, .crc = info->crc, .verified_ms = verified_ms}};
    c->term = view.term;
    begin(c, now_ns, CATALOGUE_MARKING);
}

void catalogue_verified(struct catalogue *c, uint64_t now_ns, const struct snapshot_info *info,
                        uint64_t verified_ms)
{
    MUST(verified_ms > 0);
    begin_mark(c, now_ns, WIRE_SNAP_VERIFIED, info, verified_ms);
}

void catalogue_delete(struct catalogue *c, uint64_t now_ns, const struct snapshot_info *info)
{
    begin_mark(c, now_ns, WIRE_SNAP_DELETE, info, 0);
}

/* --- answers -------------------------------------------------------------------------------- */

static void refused(struct catalogue *c, uint64_t now_ns, unsigned node, const struct wire_msg *msg)
{
    struct catalogue_asked *a = &c->asked[node];
    uint32_t code = msg->refused.code;

    if (code == WIRE_REFUSED_NOT_FOUND && c->question.type == WIRE_SNAP_DELETE) {
        a->state = ASKED_DONE;
        return;
    }
    snprintf(c->refusal, sizeof c->refusal, "%s", msg->refused.reason);
    if (code == WIRE_REFUSED_TERM) {
        /* A higher term than the one that was listed: what we know may be old. A lower one: the
         * node has not promised the newest yet. */
        c->stale = c->stale || msg->term.n > c->term.n;
    }
    bool passes = code == WIRE_REFUSED_TERM || code == WIRE_REFUSED_SPACE;
    a->state = passes ? ASKED_NOT : ASKED_REFUSED;
    a->wait_ns = now_ns + c->config.retry_ms * CLOCK_NS_PER_MS;
}

static bool is_answer(const struct catalogue *c, const struct wire_msg *msg)
{
    if (c->job == CATALOGUE_LISTING) {
        return msg->type == WIRE_SNAP_LIST_REPLY;
    }
    return (int)msg->type == (int)c->question.type + 1 &&
           msg->snap_mark_reply.offset == c->question.snap_mark.offset;
}

void catalogue_receive(struct catalogue *c, uint64_t now_ns, unsigned node,
                       const struct wire_msg *msg)
{
    if (node >= CATALOGUE_NODES_MAX || c->job == CATALOGUE_IDLE || msg->channel != WIRE_SNAPSHOT ||
        msg->session != c->config.session) {
        return;
    }
    struct catalogue_asked *a = &c->asked[node];
    if (a->state != ASKED_WAITS || a->seq != msg->seq || (c->job_set >> node & 1) == 0) {
        return;
    }
    if (msg->type == WIRE_REFUSED) {
        refused(c, now_ns, node, msg); /* a foreign cluster says so in its own name */
    } else if (msg->log_id == c->config.log_id && is_answer(c, msg) &&
               memcmp(msg->cluster_id, c->config.cluster_id, sizeof msg->cluster_id) == 0) {
        a->state = ASKED_DONE;
        if (c->job == CATALOGUE_LISTING) {
            listing_take(&c->next, node, msg);
        }
    }
    pump(c, now_ns);
    look(c, now_ns);
}

void catalogue_link_up(struct catalogue *c, uint64_t now_ns, unsigned node, bool up)
{
    MUST(node < CATALOGUE_NODES_MAX);
    struct catalogue_asked *a = &c->asked[node];
    a->up = up;
    a->wait_ns = 0;
    a->state = a->state == ASKED_WAITS ? ASKED_NOT : a->state;
    pump(c, now_ns);
    look(c, now_ns);
}

void catalogue_link_ready(struct catalogue *c, uint64_t now_ns, unsigned node)
{
    (void)node;
    pump(c, now_ns);
}

void catalogue_tick(struct catalogue *c, uint64_t now_ns)
{
    for (unsigned i = 0; i < CATALOGUE_NODES_MAX && c->job != CATALOGUE_IDLE; i++) {
        struct catalogue_asked *a = &c->asked[i];
        if (a->state == ASKED_WAITS && now_ns - a->asked_ns >= timeout_ns(c)) {
            a->state = ASKED_NOT;
        }
    }
    pump(c, now_ns);
    look(c, now_ns);
}

uint64_t catalogue_next_tick_ns(const struct catalogue *c)
{
    if (c->job == CATALOGUE_IDLE) {
        return UINT64_MAX;
    }
    uint64_t next = c->begun_ns + CATALOGUE_PATIENCE_TIMEOUTS * timeout_ns(c);
    if (c->quorum_ns > 0 && c->quorum_ns + timeout_ns(c) < next) {
        next = c->quorum_ns + timeout_ns(c);
    }
    for (unsigned i = 0; i < CATALOGUE_NODES_MAX; i++) {
        const struct catalogue_asked *a = &c->asked[i];
        uint64_t at = UINT64_MAX;
        if ((c->job_set >> i & 1) == 0 || !a->up) {
            continue;
        }
        if (a->state == ASKED_WAITS) {
            at = a->asked_ns + timeout_ns(c);
        } else if (a->state == ASKED_NOT && a->wait_ns > 0) {
            at = a->wait_ns;
        }
        next = at < next ? at : next;
    }
    return next;
}
