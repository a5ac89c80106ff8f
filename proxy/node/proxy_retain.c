/* What is kept of snapshots and log, as far as the proxy that leads decides it: now and then it
 * asks the log nodes what they have, and has what retention (logsvc/client/retention.h) finds
 * carried out. Nothing of it is remembered: each round begins with what the nodes list then.
 *
 *   REST ─due▶ LIST ─▶ plan: TRIM is told by the proposer
 *                       ├─ a node lacks the mark of the newest proven one ─▶ MARK ─▶
 *                       └─ snapshots that go ─▶ DELETE, one after the other ─▶ REST
 *
 * A node that lacks the newest proven one in eight rounds gets it from another (snapship). */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"

#include <inttypes.h>
#include <string.h>

enum {
    RETAIN_ROUND_MS = 2000,
    RETAIN_TIMEOUT_MS = 1000,
    RETAIN_RETRY_MS = 50,
    RETAIN_LACKING_ROUNDS = 8,
    RETAIN_THERE_MS = 10000,
    RETAIN_UNVERIFIED_MS = 3600 * 1000,
};

/* Where other proxies' Redis are that do not go along with the log, though the proxies are there:
 * at a snapshot, or behind. */
static void retain_look_for_rebuilds(const struct proxy *p, uint64_t now_ns,
                                     struct retention_config *config)
{
    for (size_t i = 0; i < p->outlook.peer_count; i++) {
        const struct leader_peer *peer = &p->outlook.peers[i];
        bool there =
            now_ns < peer->seen_ns || now_ns - peer->seen_ns < RETAIN_THERE_MS * CLOCK_NS_PER_MS;
        if (there && !peer->synced && config->needed_count < RETENTION_NEEDED_MAX) {
            config->needed[config->needed_count++] = peer->needs;
        }
    }
}

static struct retention_config retain_config(const struct proxy *p, uint64_t now_ns)
{
    const struct settings *s = p->settings;
    struct retention_config config = {.needed_max_bytes = 2 * (uint64_t)s->snapshot_log_min_bytes,
                                      .keep = (unsigned)s->snapshot_keep,
                                      .keep_age_ms = (uint64_t)s->snapshot_keep_age_ms,
                                      .pitr_ms = (uint64_t)s->snapshot_pitr_ms,
                                      .trim = s->snapshot_trim,
                                      .unverified_ms = RETAIN_UNVERIFIED_MS};

    if (!p->retain.no_room) {
        retain_look_for_rebuilds(p, now_ns, &config);
    }
    return config;
}

static bool retain_leads(const struct proxy *p)
{
    return p->role.state == ROLE_SERVE && proposer_state(p->proposer) == PROPOSER_LEADING;
}

/* The next snapshot that goes; none: the round is over. */
static void retain_delete_next(struct proxy *p, uint64_t now_ns)
{
    struct proxy_retain *r = &p->retain;

    if (!retain_leads(p) || r->deleted == r->plan.delete_count) {
        return;
    }
    r->deleting = true;
    catalogue_delete(r->catalogue, now_ns, &r->plan.deletes[r->deleted++]);
}

static void retain_says_done(void *ctx, int err)
{
    struct proxy *p = ctx;
    const struct proxy_retain *r = &p->retain;

    if (err == ERR_OK && r->deleting) {
        log_info("the snapshot at offset %" PRIu64 " is not kept any longer",
                 r->plan.deletes[r->deleted - 1].offset);
    } else if (err != ERR_OK) {
        log_debug("a snapshot could not be marked or deleted everywhere: %s",
                  err == ERR_REFUSED ? catalogue_refusal(r->catalogue) : err_text(err));
    }
    if (err != ERR_STALE) {
        retain_delete_next(p, clock_now_ns());
    }
}

/* One that has only just been stored may still be on its way to some. */
static void retain_repair(struct proxy *p, uint64_t now_ns)
{
    struct proxy_retain *r = &p->retain;
    bool same = r->plan.repair && r->lacking_offset == r->plan.by.offset;

    r->lacking_rounds = r->plan.repair ? (same ? r->lacking_rounds + 1 : 1) : 0;
    r->lacking_offset = r->plan.by.offset;
    r->no_room = r->no_room && r->plan.repair;
    if (r->lacking_rounds >= RETAIN_LACKING_ROUNDS && !snapship_active(p->snapship)) {
        snapship_repair(p->snapship, now_ns, proposer_term(p->proposer),
                        proposer_commit(p->proposer));
    }
}

static void retain_says_listed(void *ctx, int err)
{
    struct proxy *p = ctx;
    struct proxy_retain *r = &p->retain;
    uint64_t now_ns = clock_now_ns();
    struct retention_config config = retain_config(p, now_ns);
    struct catalogue_view view;

    if (err != ERR_OK || !retain_leads(p)) {
        return;
    }
    catalogue_view(r->catalogue, &view);
    if (view.term.n > proposer_term(p->proposer).n) {
        return; /* somebody else leads, or will */
    }
    retention_plan(&config, &view, clock_wall_ms(), &r->plan);
    r->deleted = 0;
    r->deleting = false;
    r->begin = view.begin;
    if (r->plan.trim && proposer_trim(p->proposer, now_ns, r->plan.to, &r->plan.by) &&
        r->trimmed_to != r->plan.to) {
        log_info("the log is kept from offset %" PRIu64 " on, where a verified snapshot is",
                 r->plan.to);
        r->trimmed_to = r->plan.to;
    }
    retain_repair(p, now_ns);
    if (r->plan.mark) {
        catalogue_verified(r->catalogue, now_ns, &r->plan.marked, r->plan.marked.verified_ms);
    } else {
        retain_delete_next(p, now_ns);
    }
}

static const struct catalogue_events retain_events = {
    .send = proxy_send, .listed = retain_says_listed, .done = retain_says_done};

void proxy_open_retain(struct proxy *p, const struct proposer_config *log)
{
    struct catalogue_config config = {.log_id = log->log_id,
                                      .node_count = log->node_count,
                                      .session = random_next(&p->random),
                                      .timeout_ms = RETAIN_TIMEOUT_MS,
                                      .retry_ms = RETAIN_RETRY_MS};

    memcpy(config.cluster_id, log->cluster_id, sizeof config.cluster_id);
    p->retain.catalogue = catalogue_create(&config, &retain_events, p);
}

void proxy_close_retain(struct proxy *p)
{
    catalogue_destroy(p->retain.catalogue);
}

void proxy_tick_retain(struct proxy *p, uint64_t now_ns)
{
    struct proxy_retain *r = &p->retain;

    if (!retain_leads(p)) {
        catalogue_stop(r->catalogue);
        r->round_ns = now_ns; /* who begins to lead has other things to do first */
        r->lacking_rounds = 0;
        return;
    }
    catalogue_tick(r->catalogue, now_ns);
    if (!catalogue_active(r->catalogue) &&
        now_ns - r->round_ns >= RETAIN_ROUND_MS * CLOCK_NS_PER_MS) {
        r->round_ns = now_ns;
        catalogue_nodes(r->catalogue, proposer_members(p->proposer));
        catalogue_list(r->catalogue, now_ns);
    }
}
