/* Snapshots, as a proxy sees to them: it lists what the log nodes have, has holdfast-snapshot make
 * another when one is due and it is the one to do so, and answers HOLDFAST SNAPSHOT …. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "proxy/protocol/resp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Listing costs each log node a small message; a leader is busier, and wants to know sooner. */
enum { SNAPSHOT_LIST_MS = 2000, SNAPSHOT_FRESH_MS = 10000, SNAPSHOT_TIMEOUT_MS = 1000 };

/* ---- what the log nodes have ---- */

static void snapshots_listed(void *ctx, int err)
{
    struct proxy *p = ctx;

    p->snapshots.list_ns = clock_now_ns() + SNAPSHOT_LIST_MS * CLOCK_NS_PER_MS;
    p->snapshots.listed = p->snapshots.listed || err == ERR_OK;
    p->snapshots.lists += err == ERR_OK;
}

static void snapshots_deleted(void *ctx, int err)
{
    struct proxy *p = ctx;
    struct proxy_snapshots *s = &p->snapshots;

    s->deleting = WIRE_NO_SNAPSHOT;
    s->list_ns = 0;
    if (err != ERR_OK) {
        (void)snprintf(s->delete_error, sizeof s->delete_error, "%s",
                       err == ERR_REFUSED ? catalogue_refusal(p->catalogue) : err_text(err));
    }
}

static const struct catalogue_events snapshots_catalogue_events = {
    .send = proxy_send, .listed = snapshots_listed, .done = snapshots_deleted};

/* The newest from which a Redis may be brought up; NULL: none, or not known. */
static const struct catalogue_entry *snapshots_newest(const struct proxy *p)
{
    return catalogue_newest(p->catalogue, UINT64_MAX);
}

/* ---- the schedule ---- */

static uint64_t snapshots_commit(const struct proxy *p)
{
    return role_leads(&p->role) ? proposer_commit(p->proposer) : p->outlook.commit;
}

/* Whose turn it is: nobody's while nobody leads, there are other worries then. Another proxy that
 * is there is counted with, even if its Redis lags at this moment: it may be at work. */
static unsigned snapshots_rank(const struct proxy *p, uint64_t now_ns)
{
    struct freshness_proxy others[LEADER_PEERS_MAX], self;
    struct follow_status status;
    bool leads = p->role.state == ROLE_SERVE;

    if (!leads && !p->outlook.other_leads) {
        return UINT32_MAX;
    }
    follow_status(p->follow, now_ns, &status);
    self = (struct freshness_proxy){
        .name = p->settings->name, .leads = leads, .able = leads || status.synced};
    for (size_t i = 0; i < p->outlook.peer_count; i++) {
        const struct leader_peer *peer = &p->outlook.peers[i];
        bool fresh =
            now_ns < peer->seen_ns || now_ns - peer->seen_ns < SNAPSHOT_FRESH_MS * CLOCK_NS_PER_MS;
        others[i] = (struct freshness_proxy){
            .name = peer->name, .leads = peer->role == LEADER_LEADER, .able = fresh};
    }
    return freshness_rank(&self, others, p->outlook.peer_count);
}

static void snapshots_look(const struct proxy *p, uint64_t now_ns, struct freshness_view *v)
{
    const struct catalogue_entry *newest = snapshots_newest(p);
    struct snapper_status status;

    snapper_status(p->snapper, &status);
    *v = (struct freshness_view){.now_ns = now_ns,
                                 .known = p->snapshots.listed,
                                 .found = newest != NULL,
                                 .offset = newest != NULL ? newest->info.offset : 0,
                                 .size_bytes = newest != NULL ? newest->info.size_bytes : 0,
                                 .commit = snapshots_commit(p),
                                 .rank = snapshots_rank(p, now_ns),
                                 .failures = status.failures_in_a_row,
                                 .ended_ns = status.ended_ns,
                                 .due_ns = p->snapshots.due_ns};
}

static struct freshness_settings snapshots_settings(const struct proxy *p)
{
    return (struct freshness_settings){.log_percent = (uint32_t)p->settings->snapshot_log_percent,
                                       .log_min_bytes =
                                           (uint64_t)p->settings->snapshot_log_min_bytes,
                                       .retry_ms = (uint64_t)p->settings->snapshot_retry_ms};
}

/* The log's members, as the child is told them: "host:port,…". */
static void snapshots_nodes(const struct proxy *p, struct buf *out)
{
    for (unsigned i = 0; i < proposer_node_count(p->proposer); i++) {
        struct proposer_node_info node;
        proposer_node(p->proposer, i, &node);
        if (node.used && node.member) {
            buf_printf(out, "%s%s", out->len > 0 ? "," : "", node.address);
        }
    }
    buf_append(out, "", 1);
}

/* verify: the snapshot of that offset; else one is made of what is committed at least there. */
static int snapshots_start(struct proxy *p, bool asked, bool verify, uint64_t offset,
                           const char *why)
{
    struct lookout_view view;
    struct buf nodes = BUF_INIT;
    char engine[SNAPINFO_ENGINE_BYTES] = "";

    lookout_view(p->lookout, clock_now_ns(), &view);
    uint32_t number = view.engine != 0 ? view.engine : p->engine_number;
    if (number != 0) {
        (void)snprintf(engine, sizeof engine, "%u.%u.%u", number >> 16, number >> 8 & 255,
                       number & 255);
    }
    snapshots_nodes(p, &nodes);
    const struct snapper_order order = {.asked = asked,
                                        .verify = verify,
                                        .offset = offset,
                                        .engine = engine,
                                        .nodes = (const char *)buf_head(&nodes)};
    int rc = snapper_start(p->snapper, &order);
    buf_release(&nodes);
    if (rc == ERR_OK) {
        log_info("%s: %s", verify ? "one is tried" : "a snapshot is made", why);
    }
    return rc;
}

static void snapshots_ended(void *ctx, bool ok)
{
    struct proxy *p = ctx;

    (void)ok;
    p->snapshots.list_ns = 0;
    p->snapshots.listed = false; /* not known until it is listed anew: else it is made twice */
}

static const struct snapper_events snapshots_snapper_events = {snapshots_ended};

void proxy_tick_snapshots(struct proxy *p, uint64_t now_ns)
{
    struct freshness_settings settings = snapshots_settings(p);
    struct snapper_status status;
    struct freshness_view v;

    if (now_ns >= catalogue_next_tick_ns(p->catalogue)) {
        catalogue_tick(p->catalogue, now_ns);
    }
    if (!catalogue_active(p->catalogue) && now_ns >= p->snapshots.list_ns) {
        catalogue_list(p->catalogue, now_ns);
    }
    snapper_status(p->snapper, &status);
    snapshots_look(p, now_ns, &v);
    if (v.known && !freshness_is_enough(&settings, &v)) {
        p->snapshots.due_ns = 0;
    } else if (v.known && (p->snapshots.due_ns == 0 || p->snapshots.due_after != v.offset)) {
        p->snapshots.due_ns = v.due_ns = now_ns;
        p->snapshots.due_after = v.offset;
    }
    if (!p->settings->snapshot_schedule || status.running) {
        return;
    }
    if (freshness_due(&settings, &v)) {
        char why[120];
        (void)snprintf(why, sizeof why,
                       "%" PRIu64 " bytes of log are behind the newest one of %" PRIu64 " bytes",
                       freshness_log_bytes(&v), v.size_bytes);
        /* What fails is in its status, and logged. */
        (void)snapshots_start(p, false, false, 0, why);
    }
}

/* ---- HOLDFAST SNAPSHOT … ---- */

static void snapshots_put_run(const struct proxy *p, struct buf *text)
{
    struct snapper_status s;

    snapper_status(p->snapper, &s);
    buf_printf(text, "run:%s\r\n", !s.running ? "none" : s.verify ? "verify" : "take");
    if (s.running) {
        buf_printf(text, "phase:%s\r\nwhat:%s\r\n", s.phase, s.what);
        buf_printf(text, "done_bytes:%" PRIu64 "\r\ntotal_bytes:%" PRIu64 "\r\n", s.done_bytes,
                   s.total_bytes);
    }
    buf_printf(text, "runs:%" PRIu64 "\r\nfailures:%" PRIu64 "\r\n", s.runs, s.failures);
    buf_printf(text, "last_offset:%" PRIu64 "\r\n", s.last_offset);
    if (s.why[0] != '\0' && !s.running) {
        buf_printf(text, "error:%s\r\n", s.why);
    }
    if (p->snapshots.deleting != WIRE_NO_SNAPSHOT) {
        buf_printf(text, "deleting:%" PRIu64 "\r\n", p->snapshots.deleting);
    }
    if (p->snapshots.delete_error[0] != '\0') {
        buf_printf(text, "delete_error:%s\r\n", p->snapshots.delete_error);
    }
}

static void snapshots_put_list(const struct proxy *p, struct buf *text)
{
    struct catalogue_view list;

    catalogue_view(p->catalogue, &list);
    buf_printf(text, "lists:%" PRIu64 "\r\n", p->snapshots.lists);
    for (unsigned i = 0; i < list.count; i++) {
        const struct catalogue_entry *e = &list.entries[i];
        buf_printf(text, "snapshot%u:offset=%" PRIu64 ",bytes=%" PRIu64 ",keys=%" PRIu64, i + 1,
                   e->info.offset, e->info.size_bytes, e->info.keys);
        buf_printf(text, ",engine=%s,wall_ms=%" PRIu64 ",taken_ms=%" PRIu64 ",verified_ms=%" PRIu64,
                   e->info.engine_version, e->info.wall_ms, e->info.taken_ms, e->info.verified_ms);
        buf_printf(text, ",nodes=%d,verified=%d,counts=%s,proven=%s\r\n", __builtin_popcount(e->on),
                   __builtin_popcount(e->verified), e->counts != 0 ? "yes" : "no",
                   e->proven ? "yes" : "no");
    }
}

static void snapshots_status(struct proxy *p, struct buf *out)
{
    struct freshness_settings settings = snapshots_settings(p);
    struct buf text = BUF_INIT;
    struct freshness_view v;

    snapshots_look(p, clock_now_ns(), &v);
    buf_printf(&text, "scheduled:%s\r\n", p->settings->snapshot_schedule ? "yes" : "no");
    if (v.rank == UINT32_MAX) {
        buf_append_str(&text, "turn:none\r\n");
    } else {
        buf_printf(&text, "turn:%u\r\n", v.rank);
    }
    buf_printf(&text, "log_bytes:%" PRIu64 "\r\n", freshness_log_bytes(&v));
    buf_printf(&text, "due_bytes:%" PRIu64 "\r\n", freshness_threshold(&settings, v.size_bytes));
    if (p->retain.no_room) {
        buf_append_str(&text, "no_room:yes\r\n");
    }
    snapshots_put_run(p, &text);
    snapshots_put_list(p, &text);
    resp_put_bulk(out, buf_head(&text), text.len);
    buf_release(&text);
    p->snapshots.list_ns = 0; /* who asks again soon sees what is news */
}

static void snapshots_begin(struct proxy *p, bool verify, uint64_t offset, struct buf *out)
{
    struct snapper_status status;
    char text[SNAPPER_WHY_MAX + 16];

    switch (snapshots_start(p, true, verify, offset, "asked for")) {
    case ERR_OK:
        resp_put_simple(out, "OK");
        break;
    case ERR_STATE:
        resp_put_error(out, "BUSY a snapshot is being made or tried");
        break;
    default:
        snapper_status(p->snapper, &status);
        (void)snprintf(text, sizeof text, "ERR %s", status.why);
        resp_put_error(out, text);
        break;
    }
}

static void snapshots_delete(struct proxy *p, uint64_t offset, struct buf *out)
{
    struct proxy_snapshots *s = &p->snapshots;
    struct catalogue_view list;

    if (s->deleting != WIRE_NO_SNAPSHOT) {
        resp_put_error(out, "BUSY another one is being deleted");
        return;
    }
    catalogue_view(p->catalogue, &list);
    for (unsigned i = 0; i < list.count; i++) {
        if (list.entries[i].info.offset == offset) {
            s->deleting = offset;
            s->delete_error[0] = '\0';
            log_info("the snapshot at offset %" PRIu64 " is to be deleted", offset);
            catalogue_delete(p->catalogue, clock_now_ns(), &list.entries[i].info);
            resp_put_simple(out, "OK");
            return;
        }
    }
    resp_put_error(out, "ERR the log nodes have no snapshot of that offset");
}

void proxy_answer_snapshot(struct proxy *p, const struct resp_arg *argv, size_t argc,
                           struct buf *out)
{
    uint64_t offset;

    if (argc == 3 && resp_arg_is(&argv[2], "status")) {
        snapshots_status(p, out);
    } else if ((argc == 3 || argc == 4) && resp_arg_is(&argv[2], "now") &&
               (argc == 3 || resp_arg_offset(&argv[3], &offset))) {
        /* Whoever asks us knows what was answered here, or says what was elsewhere. */
        uint64_t ours = snapshots_commit(p);
        snapshots_begin(p, false, argc == 4 && offset > ours ? offset : ours, out);
    } else if (argc == 4 && resp_arg_is(&argv[2], "verify") && resp_arg_offset(&argv[3], &offset)) {
        snapshots_begin(p, true, offset, out);
    } else if (argc == 4 && resp_arg_is(&argv[2], "delete") && resp_arg_offset(&argv[3], &offset)) {
        snapshots_delete(p, offset, out);
    } else {
        resp_put_error(out, "ERR try HOLDFAST SNAPSHOT STATUS, NOW [OFFSET], VERIFY OFFSET or "
                            "DELETE OFFSET");
    }
}

void proxy_info_snapshots(const struct proxy *p, uint64_t now_ns, struct buf *out)
{
    const struct catalogue_entry *newest = snapshots_newest(p);
    struct freshness_settings settings = snapshots_settings(p);
    struct catalogue_view list;
    struct snapper_status s;
    struct freshness_view v;

    snapper_status(p->snapper, &s);
    snapshots_look(p, now_ns, &v);
    catalogue_view(p->catalogue, &list);
    buf_printf(out, "holdfast_snapshots:%u\r\n", list.count);
    if (newest != NULL) {
        buf_printf(out, "holdfast_snapshot_offset:%" PRIu64 "\r\n", newest->info.offset);
        buf_printf(out, "holdfast_snapshot_bytes:%" PRIu64 "\r\n", newest->info.size_bytes);
        buf_printf(out, "holdfast_snapshot_log_bytes:%" PRIu64 "\r\n", freshness_log_bytes(&v));
        buf_printf(out, "holdfast_snapshot_due_bytes:%" PRIu64 "\r\n",
                   freshness_threshold(&settings, v.size_bytes));
    }
    buf_printf(out, "holdfast_snapshot_run:%s%s%s\r\n",
               !s.running ? "none"
               : s.verify ? "verify"
                          : "take",
               s.running ? "," : "", s.running ? s.phase : "");
    buf_printf(out, "holdfast_snapshot_no_room:%d\r\n", p->retain.no_room);
    buf_printf(out, "holdfast_snapshot_runs:%" PRIu64 "\r\n", s.runs);
    buf_printf(out, "holdfast_snapshot_failures:%" PRIu64 "\r\n", s.failures);
    if (s.why[0] != '\0' && !s.running) {
        buf_printf(out, "holdfast_snapshot_error:%s\r\n", s.why);
    }
}

/* ---- set-up ---- */

void proxy_open_snapshots(struct proxy *p, const struct proposer_config *log)
{
    struct catalogue_config catalogue = {
        .log_id = log->log_id,
        .node_count = log->node_count,
        .session = random_next(&p->random),
        .timeout_ms = SNAPSHOT_TIMEOUT_MS,
        .retry_ms = 50,
    };
    struct snapper_config snapper = {.program = p->settings->snapshot_program,
                                     .config_path = p->settings->path};

    memcpy(catalogue.cluster_id, log->cluster_id, sizeof catalogue.cluster_id);
    p->catalogue = catalogue_create(&catalogue, &snapshots_catalogue_events, p);
    p->snapper = snapper_create(p->base, &snapper, &snapshots_snapper_events, p);
    p->snapshots.deleting = WIRE_NO_SNAPSHOT;
}

void proxy_close_snapshots(struct proxy *p)
{
    snapper_destroy(p->snapper);
    catalogue_destroy(p->catalogue);
}
