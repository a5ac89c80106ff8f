/* The other proxies: what the log nodes tell of them, who is to lead next, and planned hand-overs.
 */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <string.h>

/* How long a hand-over waits for what is under way; nobody is served meanwhile. */
enum { PEER_YIELD_MS = 2000 };
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

/* What is to be compared with others. */
static struct leader_peer peers_self(const struct proxy *p, const struct follow_status *status)
{
    struct leader_peer self = {.synced = status->synced, .offset = status->applied};

    (void)snprintf(self.name, sizeof self.name, "%s", p->settings->name);
    return self;
}

void proxy_look_out(struct proxy *p, uint64_t now_ns)
{
    struct follow_status status;
    struct lookout_view view;

    lookout_tick(p->lookout, now_ns);
    lookout_view(p->lookout, now_ns, &view);
    peers_check_engine(p, view.engine);
    if (view.seen && follow_active(p->follow)) {
        follow_see(p->follow, now_ns, view.history, view.commit);
    }
    follow_status(p->follow, now_ns, &status);
    p->turn_random = random_next(&p->random);
    struct leader_peer self = peers_self(p, &status);
    outlook_see(&p->outlook, &view, &self, p->address, (uint32_t)p->settings->lease_ms, now_ns);
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
    const struct outlook *o = &p->outlook;
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
    struct leader_peer self = {.synced = true};
    const char *refusal;
    struct role_view view;

    proxy_view(p, &view);
    if (p->role.state != ROLE_SERVE) {
        const struct leader_info *info = leader_info(p->leader);
        (void)snprintf(p->refusal, sizeof p->refusal, "NOTLEADER this proxy does not lead; %s%s",
                       info->known && !info->self ? "ask the one at " : "nobody does",
                       info->known && !info->self ? p->outlook.leader : "");
        return p->refusal;
    }
    (void)snprintf(self.name, sizeof self.name, "%s", p->settings->name);
    const struct leader_peer *to =
        outlook_heir(&p->outlook, &self, p->address, name, proposer_commit(p->proposer),
                     view.now_ns, p->refusal, &refusal);
    if (to == NULL) {
        return refusal;
    }
    leader_print_address(&to->address, p->heir, sizeof p->heir);
    log_info("handing over to %s (%s)", to->name, p->heir);
    MUST(role_yield(&p->role, &view, PEER_YIELD_MS));
    return NULL;
}
