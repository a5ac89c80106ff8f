/* The other proxies: what the log nodes tell of them, who is to lead next, and planned hand-overs.
 */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A proxy that no log node has heard for so long is not counted on. */
enum { PEER_FRESH_MS = 1000 };
/* Offsets are told now and then only: less than this is no difference. */
enum { PEER_GRAIN_BYTES = 4 << 20 };
/* Steps that one waits whose own Redis does not go along yet, if another's does: taking over would
 * have to wait for that. Less than a lease, which all have to wait for anyway. */
enum { PEER_UNREADY_STEPS = 8 };
/* How long a hand-over waits for what is under way; nobody is served meanwhile. */
enum { PEER_YIELD_MS = 2000 };
/* When a leader's connections have closed, its watchdog may have a word to say that saves the
 * lease; a vote in front of it would keep it from being heard. It is waited for during this part of
 * a lease, which costs nothing: without that word, all of the lease has to be waited for. */
enum { PEER_LISTEN_PART = 8 };
/* The lookout's pace, unless heartbeats are faster. */
enum { PEER_LOOK_MS = 50 };

void proxy_open_lookout(struct proxy *p, const struct proposer_config *log)
{
    struct lookout_config config = {
        .log_id = log->log_id,
        .node_count = log->node_count,
        .session = random_next(&p->random),
        .lease_ms = log->lease_ms,
        .interval_ms = log->heartbeat_ms < PEER_LOOK_MS ? log->heartbeat_ms : PEER_LOOK_MS,
        .name = p->settings->name,
        .address = p->address,
    };
    struct lookout_events events = {.send = proxy_send, .refused = proxy_node_refused};

    memcpy(config.cluster_id, log->cluster_id, sizeof config.cluster_id);
    p->lookout = lookout_create(&config, &events, p);
}

static bool peer_is_fresh(const struct leader_peer *peer, uint64_t now_ns)
{
    return now_ns < peer->seen_ns || now_ns - peer->seen_ns < PEER_FRESH_MS * CLOCK_NS_PER_MS;
}

/* Whether a is rather to lead than b. */
static bool peer_is_better(const struct leader_peer *a, const struct leader_peer *b)
{
    uint64_t grain = PEER_GRAIN_BYTES;

    if (a->synced != b->synced) {
        return a->synced;
    }
    if (a->offset > b->offset + grain || b->offset > a->offset + grain) {
        return a->offset > b->offset;
    }
    return strcmp(a->name, b->name) < 0;
}

/* Takes the roster over, without us; the addresses of those that we can't read are left out. */
static void peers_take(struct proxy_outlook *o, const char *self, const struct roster *roster)
{
    o->peer_count = 0;
    for (unsigned i = 0; i < roster->count && o->peer_count < LEADER_PEERS_MAX; i++) {
        const struct roster_entry *e = &roster->entries[i];
        struct leader_peer *peer = &o->peers[o->peer_count];
        *peer = (struct leader_peer){.role = (enum leader_role)e->role,
                                     .offset = e->offset,
                                     .needs = e->needs,
                                     .synced = e->synced,
                                     .sentinel_port = (int)e->sentinel_port,
                                     .seen_ns = e->heard_ns};
        memcpy(peer->name, e->name, sizeof peer->name);
        if (strcmp(e->address, self) != 0 && leader_parse_address(e->address, &peer->address)) {
            o->peer_count++;
        }
    }
}

static bool peer_could_lead(const struct leader_peer *peer, uint64_t now_ns)
{
    return peer->synced && peer->role != LEADER_LEADER && peer_is_fresh(peer, now_ns);
}

static bool peer_is_at(const struct leader_peer *peer, const char *address)
{
    char text[LEADER_TEXT_MAX + 1];

    leader_print_address(&peer->address, text, sizeof text);
    return strcmp(text, address) == 0;
}

/* heir: the address of the one that the leader which has released wants to be next, or "".
 * Everybody else lets it go first, as if it were better. */
static void peers_judge(struct proxy_outlook *o, const struct leader_peer *self, const char *heir,
                        uint64_t now_ns)
{
    o->rank = 0;
    o->successor = NULL;
    for (size_t i = 0; i < o->peer_count; i++) {
        const struct leader_peer *peer = &o->peers[i];
        o->rank += peer_is_fresh(peer, now_ns) && peer->role != LEADER_LEADER &&
                   (peer_is_better(peer, self) || peer_is_at(peer, heir));
        if (peer_could_lead(peer, now_ns) &&
            (o->successor == NULL || peer_is_better(peer, o->successor))) {
            o->successor = peer;
        }
    }
    o->rank += !self->synced && o->successor != NULL ? PEER_UNREADY_STEPS : 0;
}

/* What a newer Redis has written, an older one may not understand: it goes no further. (A term's
 * history is told together with the mark, and nothing of that term is fed before.) */
static void peers_check_engine(struct proxy *p, uint32_t engine)
{
    bool outdated = p->prepared && p->engine_number != 0 &&
                    WIRE_ENGINE_MINOR(engine) > WIRE_ENGINE_MINOR(p->engine_number);

    if (outdated && !p->outdated) {
        log_error("Redis %s is older than the Redis %u.%u that has written this log: it neither "
                  "follows nor leads until it is upgraded",
                  p->router.engine_version, engine >> 16, engine >> 8 & 255);
        if (p->role.state == ROLE_FOLLOW || p->role.state == ROLE_CAMPAIGN) {
            follow_stop(p->follow);
        }
    }
    p->outdated = outdated;
}

void proxy_look_out(struct proxy *p, uint64_t now_ns)
{
    struct proxy_outlook *o = &p->outlook;
    struct follow_status status;
    struct lookout_view view;

    lookout_tick(p->lookout, now_ns);
    lookout_view(p->lookout, now_ns, &view);
    peers_check_engine(p, view.engine);
    if (view.seen && follow_active(p->follow)) {
        follow_see(p->follow, now_ns, view.history, view.commit);
    }
    follow_status(p->follow, now_ns, &status);
    o->other_leads = view.leader_alive && !view.free && strcmp(view.leader, p->address) != 0;
    o->nobody_leads = view.free;
    o->nodes_up = view.nodes_up;
    o->quorum_up = view.seen;
    o->commit = view.commit;
    o->heir = view.heir_sure && strcmp(view.heir, p->address) == 0;
    bool wordless =
        !view.heir_sure && view.leader_term.n > 0 && strcmp(view.leader, p->address) != 0;
    o->listen_ms = wordless && view.gone ? (uint32_t)p->settings->lease_ms / PEER_LISTEN_PART : 0;
    o->fell_silent = view.free ? wordless && !view.gone : o->fell_silent;
    o->random = random_next(&p->random);
    o->term = view.term;
    o->leader_term = view.leader_term;
    (void)snprintf(o->leader, sizeof o->leader, "%s", view.leader);
    struct leader_peer self = {.synced = status.synced, .offset = status.applied};
    (void)snprintf(self.name, sizeof self.name, "%s", p->settings->name);
    peers_take(o, p->address, view.roster);
    peers_judge(o, &self, view.heir, now_ns);
}

/* Without its lease it leads nobody, whatever it hopes for. */
static enum leader_role peer_own_role(const struct proxy *p, const struct role_view *view)
{
    switch (p->role.state) {
    case ROLE_SERVE:
    case ROLE_YIELD:
        return view->may_serve ? LEADER_LEADER : LEADER_CANDIDATE;
    case ROLE_FOLLOW:
        return p->outlook.other_leads || follow_active(p->follow) ? LEADER_FOLLOWER
                                                                  : LEADER_CANDIDATE;
    case ROLE_CAMPAIGN:
    case ROLE_ATTACH:
    case ROLE_ADOPT:
    case ROLE_PROMOTE:
    case ROLE_SETTLE:
    case ROLE_REATTACH:
        break;
    }
    return LEADER_CANDIDATE;
}

void proxy_tell_leader(struct proxy *p, const struct role_view *view)
{
    const struct proxy_outlook *o = &p->outlook;
    enum leader_role role = peer_own_role(p, view);
    bool leads = role_leads(&p->role), serves = role == LEADER_LEADER;
    struct follow_status status;
    struct term term = o->other_leads ? o->leader_term : o->term;

    follow_status(p->follow, view->now_ns, &status);
    if (!o->other_leads && proposer_term(p->proposer).n > term.n) {
        term = proposer_term(p->proposer);
    }
    struct leader_found found = {
        .info = {.role = role,
                 .known = serves || (o->other_leads && !leads),
                 .self = serves,
                 .term = leads ? proposer_term(p->proposer) : term,
                 .local_reads = !leads && status.steady,
                 .lag_bytes = leads ? 0 : status.lag_bytes,
                 .lag_ms = leads ? 0 : status.lag_ms},
        .peers = o->peers,
        .peer_count = o->peer_count,
        .offset = leads ? view->stream_offset : status.applied,
        .synced = leads ? !view->lease_is_over : status.synced,
        .now_ns = view->now_ns,
    };
    if (found.info.known && !serves && !leader_parse_address(o->leader, &found.info.address)) {
        found.info.known = false; /* a leader that does not say where it is helps nobody */
    }
    leader_update(p->leader, &found);
    const struct lookout_self self = {
        .role = (enum roster_role)found.info.role,
        .synced = found.synced,
        .offset = found.offset,
        .needs = leads ? found.offset : status.needs,
        .sentinel_port = (uint32_t)leader_peer(p->leader, 0)->sentinel_port,
    };
    lookout_say(p->lookout, &self);
}

const char *proxy_hand_over(struct proxy *p, const char *name)
{
    const struct leader_peer *to = name[0] == '\0' ? p->outlook.successor : NULL;
    struct role_view view;

    proxy_view(p, &view);
    if (p->role.state != ROLE_SERVE) {
        const struct leader_info *info = leader_info(p->leader);
        (void)snprintf(p->refusal, sizeof p->refusal, "NOTLEADER this proxy does not lead; %s%s",
                       info->known && !info->self ? "ask the one at " : "nobody does",
                       info->known && !info->self ? p->outlook.leader : "");
        return p->refusal;
    }
    for (size_t i = 0; i < p->outlook.peer_count && name[0] != '\0'; i++) {
        const struct leader_peer *peer = &p->outlook.peers[i];
        char address[LEADER_TEXT_MAX + 1];
        leader_print_address(&peer->address, address, sizeof address);
        if (strcmp(peer->name, name) == 0 || strcmp(address, name) == 0) {
            to = peer;
        }
    }
    if (to == NULL && name[0] == '\0') {
        return "NOTREADY no other proxy's Redis goes along with the log";
    }
    if (strcmp(name, p->settings->name) == 0 || strcmp(name, p->address) == 0) {
        return "ERR this proxy leads already";
    }
    if (to == NULL || !peer_is_fresh(to, view.now_ns)) {
        return "NOPEER no such proxy is there";
    }
    if (!peer_could_lead(to, view.now_ns)) {
        uint64_t commit = proposer_commit(p->proposer);
        (void)snprintf(p->refusal, sizeof p->refusal,
                       "NOTREADY %s is not caught up: %" PRIu64 " bytes behind", to->name,
                       commit > to->offset ? commit - to->offset : 0);
        return p->refusal;
    }
    leader_print_address(&to->address, p->heir, sizeof p->heir);
    log_info("handing over to %s (%s)", to->name, p->heir);
    MUST(role_yield(&p->role, &view, PEER_YIELD_MS));
    return NULL;
}
