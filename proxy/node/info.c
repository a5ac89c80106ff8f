/* INFO holdfast: what people and tools ask of a proxy. */
#include "proxy/node/proxy.h"

#include "common/clock.h"

#include <inttypes.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#include "config.h"
#endif

static const char *info_node_state(enum proposer_node_state state)
{
    static const char *const names[] = {"down", "greeted", "catchup", "up", "refused", "out"};
    return names[state];
}

static uint64_t info_lease_ms_left(const struct proxy *p, uint64_t now_ns)
{
    uint64_t end_ns = proposer_lease_end_ns(p->proposer);
    return end_ns > now_ns ? (end_ns - now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS : 0;
}

void info_nodes(const struct proxy *p, bool long_form, struct buf *out)
{
    uint64_t end = proposer_end(p->proposer);
    unsigned number = 0;

    for (unsigned i = 0; i < proposer_node_count(p->proposer); i++) {
        struct proposer_node_info node;
        proposer_node(p->proposer, i, &node);
        if (!node.used) {
            continue;
        }
        uint64_t lag = end > node.flushed ? end - node.flushed : 0;
        buf_printf(out, long_form ? "node%u:" : "holdfast_log%u:", ++number);
        if (long_form) {
            buf_printf(out, "id=%s,address=%s,member=%s,conf=%" PRIu64 ".%" PRIu64 ",snapshot=",
                       node.node_id, node.address, node.member ? "yes" : "no", node.conf.term.n,
                       node.conf.generation);
            if (node.snapshot == WIRE_NO_SNAPSHOT) {
                buf_append_str(out, "none,");
            } else {
                buf_printf(out, "%" PRIu64 ",", node.snapshot);
            }
        }
        buf_printf(out, "state=%s,offset=%" PRIu64 ",lag_bytes=%" PRIu64,
                   info_node_state(node.state), node.flushed, lag);
        buf_printf(out, ",uncertain=%s", node.uncertain ? "yes" : "no");
        buf_printf(out, ",holes=%u,rot_found=%" PRIu64 ",mended_bytes=%" PRIu64, node.holes.count,
                   node.holes.found, node.holes.mended_bytes);
        if (node.refusal[0] != '\0') {
            buf_printf(out, ",reason=%s", node.refusal); /* last: it may hold a comma */
        }
        buf_append_str(out, "\r\n");
    }
}

static void info_follower(const struct proxy *p, uint64_t now_ns, struct buf *out)
{
    struct follow_status status;

    follow_status(p->follow, now_ns, &status);
    buf_printf(out, "holdfast_follower_state:%s\r\n", status.state);
    buf_printf(out, "holdfast_offset_applied:%" PRIu64 "\r\n", status.applied);
    buf_printf(out, "holdfast_lag_bytes:%" PRIu64 "\r\n", status.lag_bytes);
    buf_printf(out, "holdfast_lag_ms:%" PRIu64 "\r\n", status.lag_ms);
    buf_printf(out, "holdfast_full_resyncs:%" PRIu64 "\r\n", status.resyncs);
    if (status.total_bytes > 0) {
        buf_printf(out, "holdfast_progress_bytes:%" PRIu64 "\r\n", status.done_bytes);
        buf_printf(out, "holdfast_progress_total_bytes:%" PRIu64 "\r\n", status.total_bytes);
    }
}

/* What is committed: a leader knows, the others were told. */
static uint64_t info_committed(const struct proxy *p)
{
    return role_leads(&p->role) ? proposer_commit(p->proposer) : p->outlook.commit;
}

static void info_proxy(const struct proxy *p, size_t number, const struct leader_peer *peer,
                       uint64_t now_ns, struct buf *out)
{
    uint64_t committed = info_committed(p);
    uint64_t lag = committed > peer->offset ? committed - peer->offset : 0;
    uint64_t seen_ms = now_ns > peer->seen_ns ? (now_ns - peer->seen_ns) / CLOCK_NS_PER_MS : 0;
    char address[LEADER_TEXT_MAX + 1];

    leader_print_address(&peer->address, address, sizeof address);
    buf_printf(out,
               "holdfast_proxy%zu:name=%s,address=%s,role=%s,synced=%s,offset=%" PRIu64
               ",lag_bytes=%" PRIu64 ",seen_ms=%" PRIu64 ",sentinel_port=%d\r\n",
               number, peer->name, address, leader_role_name(peer->role),
               peer->synced ? "yes" : "no", peer->offset, lag, seen_ms, peer->sentinel_port);
}

/* The proxies that are there, by name: us among the others, who are in that order already. */
static void info_proxies(const struct proxy *p, uint64_t now_ns, struct buf *out)
{
    const struct leader_peer *self = leader_peer(p->leader, 0);
    size_t number = 1;
    bool shown = false;

    for (size_t i = 1; i < leader_peer_count(p->leader); i++) {
        const struct leader_peer *peer = leader_peer(p->leader, i);
        if (!shown && strcmp(self->name, peer->name) < 0) {
            info_proxy(p, number++, self, now_ns, out);
            shown = true;
        }
        info_proxy(p, number++, peer, now_ns, out);
    }
    if (!shown) {
        info_proxy(p, number, self, now_ns, out);
    }
}

static size_t info_async_clients(const struct proxy *p)
{
    size_t count = 0;

    for (const struct client *c = p->clients.list; c != NULL; c = c->next) {
        count += c->async;
    }
    return count;
}

void info_text(void *ctx, struct buf *out)
{
    struct proxy *p = ctx;
    uint64_t now_ns = clock_now_ns();
    const struct leader_info *leader = leader_info(p->leader);
    char address[LEADER_TEXT_MAX + 1] = ":0";

    if (leader->known) {
        leader_print_address(&leader->address, address, sizeof address);
    }

    buf_append_str(out, "# Holdfast\r\n");
    buf_printf(out, "holdfast_version:%s\r\n", PACKAGE_VERSION);
    buf_printf(out, "holdfast_role:%s\r\n", leader_role_name(leader->role));
    buf_printf(out, "holdfast_state:%s\r\n", role_state_name(p->role.state));
    buf_printf(out, "holdfast_term:%" PRIu64 "\r\n", leader->term.n);
    buf_printf(out, "holdfast_leader:%s\r\n", address);
    buf_printf(out, "holdfast_offset_executed:%" PRIu64 "\r\n", effects_offset(p->effects));
    buf_printf(out, "holdfast_offset_committed:%" PRIu64 "\r\n", info_committed(p));
    buf_printf(out, "holdfast_lease_ms_left:%" PRIu64 "\r\n", info_lease_ms_left(p, now_ns));
    buf_printf(out, "holdfast_clients:%zu\r\n", p->clients.count);
    buf_printf(out, "holdfast_async_clients:%zu\r\n", info_async_clients(p));
    buf_printf(out, "holdfast_async_replies:%" PRIu64 "\r\n", p->async_replies);
    buf_printf(out, "holdfast_unlogged_ms:%" PRIu64 "\r\n",
               (uint64_t)(proxy_log_age_ns(p, now_ns) / CLOCK_NS_PER_MS));
    buf_printf(out, "holdfast_waiting_clients:%zu\r\n", p->router.waits.count);
    buf_printf(out, "holdfast_private_connections:%zu\r\n",
               private_count(p->privates) + private_count(p->forward_privates));
    buf_printf(out, "holdfast_private_lent:%zu\r\n",
               private_lent(p->privates) + private_lent(p->forward_privates));
    buf_printf(out, "holdfast_forward_links:%u\r\n", forward_links_up(p->forward));
    buf_printf(out, "holdfast_forwarded:%" PRIu64 "\r\n", forward_total(p->forward));
    buf_printf(out, "holdfast_forward_waiting:%zu\r\n", forward_waiting(p->forward));
    buf_printf(out, "holdfast_replica_reads:%" PRIu64 "\r\n", forward_total(p->replica));
    buf_printf(out, "holdfast_replies_withheld:%zu\r\n", tracker_withheld(p->tracker));
    buf_printf(out, "holdfast_dirty_keys:%zu\r\n", tracker_dirty_keys(p->tracker));
    buf_printf(out, "holdfast_commands:%" PRIu64 "\r\n", p->router.commands);
    buf_printf(out, "holdfast_batches:%" PRIu64 "\r\n", engine_batches(p->engine));
    buf_printf(out, "holdfast_commits:%" PRIu64 "\r\n", p->commits);
    buf_printf(out, "holdfast_commit_us_p50:%" PRIu64 "\r\n",
               histogram_window_percentile(&p->commit_us, 50, now_ns));
    buf_printf(out, "holdfast_commit_us_p99:%" PRIu64 "\r\n",
               histogram_window_percentile(&p->commit_us, 99, now_ns));
    if (p->role.state == ROLE_ADOPT) {
        uint64_t done = 0, total = 0;
        adopt_progress(p->adopt, &done, &total);
        buf_printf(out, "holdfast_progress_bytes:%" PRIu64 "\r\n", done);
        buf_printf(out, "holdfast_progress_total_bytes:%" PRIu64 "\r\n", total);
    }
    if (follow_active(p->follow)) {
        info_follower(p, now_ns, out);
    }
    proxy_info_snapshots(p, now_ns, out);
    info_nodes(p, false, out);
    info_proxies(p, now_ns, out);
}
