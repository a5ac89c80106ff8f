/* The Sentinel port of this proxy: what it is shown of the world, and what it may ask for. */
#include "proxy/proxy.h"

#include "common/clock.h"

#include <string.h>

/* SENTINEL FAILOVER: a planned hand-over, to the best follower. */
static const char *proxy_sentinel_failover(void *ctx)
{
    return proxy_hand_over(ctx, "") != NULL ? "NOGOODSLAVE No suitable replica to promote" : NULL;
}

static const struct sentinel_actions proxy_sentinel_actions = {.failover = proxy_sentinel_failover};

void proxy_observe_sentinel(struct proxy *p)
{
    if (p->sentinel == NULL) {
        return;
    }
    struct leader_info leader = *leader_info(p->leader);
    struct sentinel_view view = {
        .now_ns = clock_now_ns(),
        .leader = &leader,
        .peers = leader_peer(p->leader, 0),
        .peer_count = leader_peer_count(p->leader),
        .voters = (unsigned)p->settings->log_nodes.count,
        .voters_up = proxy_nodes_answering(p),
        .version = p->router.engine_version,
    };
    /* A leader whose lease has run out serves nobody; whether another will is not known yet. */
    leader.known = leader.known && (!leader.self || p->router.service == SERVICE_FULL);
    sentinel_port_observe(p->sentinel, &view);
}

static void proxy_leader_changed(void *ctx)
{
    proxy_observe_sentinel(ctx);
}

int proxy_open_sentinel(struct proxy *p, const struct settings *s)
{
    struct sentinel_port_config config = {
        .host = s->host,
        .port = (int)s->sentinel_port,
        .clients_max = (size_t)s->sentinel_clients_max,
        .sentinel = {.master_name = s->sentinel_master_name,
                     .password = s->sentinel_password,
                     .address = leader_peer(p->leader, 0)->address,
                     .down_after_ms = (uint32_t)s->sentinel_down_after_ms,
                     .out_max_bytes = PROXY_SENTINEL_OUT_MAX_BYTES},
    };

    if (s->sentinel_port == 0) {
        return ERR_OK;
    }
    memcpy(config.sentinel.cluster_id, s->cluster_id, sizeof config.sentinel.cluster_id);
    int rc = sentinel_port_open(p->base, &config, &proxy_sentinel_actions, p, &p->sentinel);
    if (rc == ERR_OK) {
        leader_set_sentinel_port(p->leader, sentinel_port_number(p->sentinel));
        leader_listen(p->leader, proxy_leader_changed, p);
        proxy_observe_sentinel(p);
    }
    return rc;
}
