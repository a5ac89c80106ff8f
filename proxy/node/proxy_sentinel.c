/* The Sentinel port of this proxy: what it is shown of the world, and what it may ask for. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"

#include <hiredis/hiredis.h>
#include <string.h>

enum { PROXY_HAND_OVER_ASK_MS = 2000 };

/* ---- SENTINEL FAILOVER: a planned hand-over, to the best follower ---- */

static void proxy_asked_hand_over(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        log_warn("the leader was asked to hand over: %s",
                 reply != NULL ? reply->str : "no answer came");
    }
    p->hand_over.over = true;
}

static void proxy_hand_over_up(void *ctx)
{
    struct proxy *p = ctx;
    p->hand_over.over =
        !control_send(p->hand_over.link, proxy_asked_hand_over, p, "HOLDFAST FAILOVER");
}

static void proxy_hand_over_down(void *ctx, const char *reason)
{
    struct proxy *p = ctx;

    (void)reason;
    p->hand_over.over = true;
}

/* Another proxy leads: it is told what we were asked for. As with a real Sentinel, the client hears
 * that it has begun; that it came to nothing stands in the log. */
static void proxy_ask_hand_over(struct proxy *p, const struct leader_info *leader)
{
    static const struct control_events events = {.up = proxy_hand_over_up,
                                                 .down = proxy_hand_over_down};
    struct proxy_hand_over *h = &p->hand_over;
    uint64_t now_ns = clock_now_ns();

    h->leader = leader->address;
    h->until_ns = now_ns + PROXY_HAND_OVER_ASK_MS * CLOCK_NS_PER_MS;
    h->over = false;
    struct control_config config = {
        .host = h->leader.host,
        .port = h->leader.port,
        .user = p->settings->redis_user,
        .password = p->settings->redis_password,
        .timeout_ms = PROXY_HAND_OVER_ASK_MS,
        .retry_ms = PROXY_HAND_OVER_ASK_MS, /* one attempt */
    };
    h->link = control_create(p->base, &config, &events, p);
    control_tick(h->link, now_ns);
}

static void proxy_end_hand_over(struct proxy *p)
{
    control_destroy(p->hand_over.link);
    p->hand_over.link = NULL;
}

static const char *proxy_sentinel_failover(void *ctx)
{
    static const char in_progress[] = "INPROG Failover already in progress";
    struct proxy *p = ctx;
    const struct leader_info *leader = leader_info(p->leader);

    if (!leader->known || p->hand_over.link != NULL) {
        return in_progress; /* without a leader, one is being looked for */
    }
    if (!leader->self) {
        proxy_ask_hand_over(p, leader);
        return NULL;
    }
    if (p->role.state == ROLE_YIELD) {
        return in_progress;
    }
    return proxy_hand_over(p, "") != NULL ? "NOGOODSLAVE No suitable replica to promote" : NULL;
}

static const struct sentinel_actions proxy_sentinel_actions = {.failover = proxy_sentinel_failover};

/* ---- what it is shown ---- */

void proxy_observe_sentinel(struct proxy *p)
{
    struct proxy_hand_over *h = &p->hand_over;

    if (p->sentinel == NULL) {
        return;
    }
    if (h->link != NULL) {
        control_tick(h->link, clock_now_ns());
        if (h->over || clock_now_ns() >= h->until_ns) {
            proxy_end_hand_over(p);
        }
    }
    struct leader_info leader = *leader_info(p->leader);
    struct sentinel_view view = {
        .now_ns = clock_now_ns(),
        .leader = &leader,
        .peers = leader_peer(p->leader, 0),
        .peer_count = leader_peer_count(p->leader),
        .voters = proxy_nodes_counting(p),
        .voters_up = proxy_nodes_answering(p),
        .version = p->router.engine_version,
    };
    /* A leader whose lease has run out serves nobody; whether another will is not known yet. */
    leader.known = leader.known && (!leader.self || p->router.service == SERVICE_FULL);
    sentinel_port_observe(p->sentinel, &view);
}

void proxy_close_sentinel(struct proxy *p)
{
    proxy_end_hand_over(p);
    sentinel_port_close(p->sentinel);
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
                     .data_password = s->redis_password,
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
