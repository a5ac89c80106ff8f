/* Clients of a proxy that doesn't lead: what becomes of the requests that another server answers,
 * and where they go from turn to turn. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/hex.h"
#include "common/log.h"
#include "proxy/clients/acl.h"
#include "proxy/clients/session.h"
#include "proxy/clients/transaction.h"

#include <string.h>

enum { PROXY_LEAVE_LINK_MS = 300, PROXY_REPLICA_WAIT_MS = 1000, PROXY_FORWARD_SPARE = 4 };

void proxy_reply(struct proxy *p, struct request *r)
{
    if (r->client == NULL) {
        request_give(&p->pool, r);
        return;
    }
    if ((r->flags & (REQUEST_AUTH | REQUEST_GATE)) != 0) {
        acl_answered(r);
    }
    if ((r->flags & REQUEST_PUBLISH) != 0) {
        pubsub_published(p->pubsub, r);
    }
    if (!request_amend(r)) {
        request_give(&p->pool, r);
        return;
    }
    r->stage = REQUEST_ANSWERED;
    client_answered(r);
    client_release(r);
}

void proxy_refuse(struct proxy *p, struct request *r, const char *error)
{
    transaction_refuse(r, error);
    proxy_reply(p, r);
}

void proxy_refuse_unsent(struct proxy *p, struct request *r, bool replica)
{
    proxy_refuse(p, r, router_gave_up(r, replica));
}

/* ---- the forwards' events ---- */

/* here: by our own Redis. */
static void forward_answered(struct proxy *p, struct request *r, bool here)
{
    if (r->client != NULL && (r->flags & REQUEST_INFO) != 0) {
        proxy_correct_info(p, r, here);
    }
    proxy_reply(p, r);
}

static void forward_says_answered(void *ctx, struct request *r)
{
    proxy_note_memory(ctx, r);
    forward_answered(ctx, r, false);
}

static void replica_says_answered(void *ctx, struct request *r)
{
    forward_answered(ctx, r, true);
}

static void forward_says_unknown(void *ctx, struct request *r)
{
    struct proxy *p = ctx;

    if (r->client != NULL) {
        client_close(r->client, "its request's outcome is unknown");
    }
    request_give(&p->pool, r);
}

static void forward_says_expired(void *ctx, struct request *r)
{
    proxy_refuse_unsent(ctx, r, false);
}

static void replica_says_expired(void *ctx, struct request *r)
{
    proxy_refuse_unsent(ctx, r, true);
}

static void forward_says_ours(void *ctx, struct request *r, const uint8_t *bytes)
{
    struct proxy *p = ctx;

    if (r->client == NULL) {
        request_give(&p->pool, r);
    } else if (!engine_is_up(p->engine)) {
        proxy_refuse_unsent(p, r, true);
    } else if (p->router.busy[0] != '\0') {
        proxy_refuse(p, r, p->router.busy);
    } else {
        r->replies_of_link = r->replies_to_skip = 0;
        pubsub_publish_here(r);
        engine_add_bytes(p->engine, r, r->db, r->resp, bytes, r->command_len, r->block_skips);
    }
}

/* What waited for our Redis as a replica, and finds it a master: no writes came in there. */
static void replica_says_ours(void *ctx, struct request *r, const uint8_t *bytes)
{
    static const char read_only[] = "READONLY You can't write against a read only replica.";

    if (r->client == NULL || (r->flags & REQUEST_PATIENT) == 0) {
        forward_says_ours(ctx, r, bytes);
    } else {
        proxy_refuse(ctx, r, read_only);
    }
}

static const struct forward_events forward_events = {.answered = forward_says_answered,
                                                     .unknown = forward_says_unknown,
                                                     .expired = forward_says_expired,
                                                     .ours = forward_says_ours};
static const struct forward_events replica_events = {.answered = replica_says_answered,
                                                     .unknown = forward_says_unknown,
                                                     .expired = replica_says_expired,
                                                     .ours = replica_says_ours};

/* ---- links of clients of their own to the proxy that leads ---- */

static void forward_private_fenced(void *ctx, struct request *first, uint64_t bound)
{
    struct proxy *p = ctx;

    (void)bound;
    for (struct request *r = first, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        if (r->client != NULL && r->client->first == r) {
            r->client->oldest_ns = p->clients.now_ns; /* it may have blocked for hours */
        }
        proxy_note_memory(p, r);
        proxy_reply(p, r);
    }
}

/* What was kept there (WATCH) is lost with the link, as with a connection to Redis. */
static void forward_private_down(void *ctx, struct client *c, unsigned kept,
                                 struct request *unknown, struct request *unsent,
                                 const char *reason)
{
    struct proxy *p = ctx;

    if (unknown != NULL || kept != 0) {
        log_debug("client %llu closed, its link to the leader ended: %s", (unsigned long long)c->id,
                  reason);
        client_close(c, "the outcome of its requests is unknown");
    }
    for (struct request *r = unknown, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        request_give(&p->pool, r);
    }
    for (struct request *r = unsent, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        proxy_refuse_unsent(p, r, false);
    }
}

/* What CLIENT TRACKING tells; the leader has withheld it as long as it must. */
static void forward_private_push(void *ctx, struct client *c, const uint8_t *bytes, size_t size,
                                 struct request *before)
{
    (void)ctx;
    if (c->resp != 3) {
        return;
    }
    while (before != NULL && before->client != c) {
        before = before->next_in_batch;
    }
    struct buf text = BUF_INIT;
    proxy_put_push(c, bytes, size, &text);
    client_release(client_insert(c, before, buf_head(&text), text.len));
    buf_release(&text);
}

static void forward_private_redirected(void *ctx, struct client *c, const uint8_t *bytes,
                                       size_t size)
{
    struct request *r = proxy_insert_redirected(c, bytes, size);

    (void)ctx;
    if (r != NULL) {
        client_release(r);
    }
}

static const struct private_events forward_private_events = {
    .fenced = forward_private_fenced,
    .down = forward_private_down,
    .push = forward_private_push,
    .redirected = forward_private_redirected,
    .redirect_settled = proxy_redirect_settled};

/* ---- what the engine could not be sent any more ---- */

bool proxy_forward_unsent(struct proxy *p, struct request *r)
{
    const uint8_t *command = engine_command(p->engine, r);

    if (r->client->nonce[0] != '\0') {
        router_set_moved(&p->router, r);
        proxy_reply(p, r);
        return true;
    }
    if (r->learn != NULL) {
        return false; /* it was to set up our own Redis */
    }
    return p->router.others && forward_add_bytes(p->forward, r, r->db, r->resp, command,
                                                 r->command_len, r->block_skips, clock_now_ns());
}

/* ---- the turn ---- */

/* Our Redis is read as a replica only while it is a prefix of the log, and not of an older one than
 * what was read here before. */
static bool proxy_replica_ready(const struct proxy *p)
{
    const struct leader_peer *self = leader_peer(p->leader, 0);
    return leader_info(p->leader)->local_reads && self->offset >= p->served_offset;
}

/* Subscribers hear what our Redis says, while it can be read. When that changes from a replica's
 * messages to a leader's, or ends, they are closed: some may have been missed. */
static void proxy_follow_messages(struct proxy *p, bool serves)
{
    bool reads = !serves && proxy_replica_ready(p);

    if (pubsub_follows(p->pubsub) && !reads) {
        pubsub_stop(p->pubsub, "our Redis can't be read now");
    } else if (reads && !pubsub_follows(p->pubsub)) {
        pubsub_follow(p->pubsub, feed_port(p->feed));
    }
}

static void proxy_aim_privates(struct proxy *p, const struct leader_address *to)
{
    private_target(p->forward_privates, to != NULL ? to->host : "", to != NULL ? to->port : 0);
}

/* To the proxy that leads. What was asked of one that has fallen silent is not waited for: it holds
 * up what its clients ask next. */
static void proxy_aim_forward(struct proxy *p, const struct leader_address *to, uint64_t now_ns)
{
    const char *host = to != NULL ? to->host : "";
    int port = to != NULL ? to->port : 0;

    if (p->outlook.fell_silent && !forward_aims_at(p->forward, host, port)) {
        forward_cut(p->forward, "the proxy there has fallen silent");
    }
    p->outlook.fell_silent = false;
    forward_aim(p->forward, to != NULL ? FORWARD_THERE : FORWARD_US, host, port, now_ns);
    proxy_aim_privates(p, to);
}

void proxy_turn_forward(struct proxy *p, uint64_t now_ns)
{
    const struct leader_info *info = leader_info(p->leader);
    const struct settings *s = p->settings;
    bool serves = router_serves(&p->router);

    forward_hold(p->forward, serves && p->clients.pause_until_ns != 0);
    forward_hold(p->replica, serves && p->clients.pause_until_ns != 0);
    p->router.others = leader_peer_count(p->leader) > 1 || (info->known && !info->self);
    p->router.had_others = p->router.had_others || p->router.others;
    if (serves) {
        p->served_offset = proposer_commit(p->proposer);
        proxy_aim_forward(p, NULL, now_ns);
        forward_aim(p->replica, FORWARD_US, NULL, 0, now_ns);
    } else {
        if (info->known && !info->self && info->address.port > 0) {
            proxy_aim_forward(p, &info->address, now_ns);
        } else {
            forward_aim(p->forward, FORWARD_NOWHERE, NULL, 0, now_ns);
        }
        if (proxy_replica_ready(p)) {
            forward_aim(p->replica, FORWARD_THERE, s->redis_host, (int)s->redis_port, now_ns);
        } else {
            forward_aim(p->replica, FORWARD_NOWHERE, NULL, 0, now_ns);
            forward_cut(p->replica, "our Redis can't be read now");
        }
    }
    proxy_follow_messages(p, serves);
    unsigned ways = (serves ? 1u : 0u) | (private_is_started(p->forward_privates) ? 2u : 0u) |
                    (pubsub_follows(p->pubsub) ? 4u : 0u) |
                    (forward_links_up(p->forward) > 0 ? 8u : 0u);
    if ((ways & ~p->ways) != 0) {
        router_wake(&p->router); /* what they wait for may have come */
    }
    p->ways = ways;
    proxy_flush_forward(p, now_ns);
}

void proxy_flush_forward(struct proxy *p, uint64_t now_ns)
{
    private_flush(p->forward_privates, now_ns); /* who blocks does so before others push */
    forward_flush(p->forward, now_ns);
    forward_flush(p->replica, now_ns);
}

void proxy_tick_forward(struct proxy *p, uint64_t now_ns)
{
    forward_tick(p->forward, now_ns);
    forward_tick(p->replica, now_ns);
    private_tick(p->forward_privates, now_ns);
    router_wake(&p->router);
}

uint64_t proxy_next_forward_ns(const struct proxy *p)
{
    uint64_t a = forward_next_ns(p->forward), b = forward_next_ns(p->replica);
    return a < b ? a : b;
}

/* ---- what clients are told of the replication ---- */

static struct replinfo proxy_replinfo(const struct proxy *p)
{
    const struct leader_peer *self = leader_peer(p->leader, 0);
    bool serves = router_serves(&p->router);

    return (struct replinfo){.leader = p->leader,
                             .serves = serves,
                             .offset = serves ? proposer_commit(p->proposer) : self->offset,
                             .replid = p->role.replid,
                             .backlog_bytes = (uint64_t)p->settings->redis_backlog_bytes,
                             .now_ns = clock_now_ns()};
}

static void proxy_replication_text(void *ctx, struct buf *out)
{
    struct replinfo info = proxy_replinfo(ctx);
    replinfo_put_section(&info, out);
}

static void proxy_role_reply(void *ctx, struct buf *out)
{
    struct replinfo info = proxy_replinfo(ctx);
    replinfo_put_role(&info, out);
}

void proxy_tick_replicas(struct proxy *p)
{
    struct replinfo info = proxy_replinfo(p);

    p->clients.config.replicas = replinfo_replicas(&info, true);
}

/* Who is connected: the proxy's clients, and not its links. */
static void proxy_correct_clients(const struct proxy *p, struct buf *text)
{
    size_t connected = 0, blocked = 0, tracking = 0;

    for (const struct client *c = p->clients.list; c != NULL; c = c->next) {
        connected += c->nonce[0] == '\0'; /* not another proxy's link */
        blocked += client_is_blocked(c);
        tracking += c->tracking;
    }
    replinfo_set_number(text, "connected_clients", connected);
    replinfo_set_number(text, "maxclients", p->clients.limits.clients_max);
    replinfo_set_number(text, "blocked_clients", blocked);
    replinfo_set_number(text, "tracking_clients", tracking);
    replinfo_set_number(text, "total_connections_received", p->clients.accepted);
    replinfo_set_number(text, "rejected_connections", p->clients.rejected);
    replinfo_set_number(text, "evicted_clients", p->clients.evicted);
}

/* What stands in the bulk of Redis' answer is put right, inside the same kind of bulk. */
static void proxy_correct_info_bulk(struct proxy *p, bool ours, bool here, struct buf *whole)
{
    struct buf text = BUF_INIT;
    struct replinfo info = proxy_replinfo(p);
    const char *bytes = (const char *)buf_head(whole);
    const char *body = whole->len > 0 ? memchr(bytes, '\n', whole->len) : NULL;
    bool verbatim = whole->len > 0 && bytes[0] == '=';
    size_t head = body != NULL ? (size_t)(body + 1 - bytes) + (verbatim ? 4 : 0) : 0;

    if (body == NULL || (!verbatim && bytes[0] != '$') || whole->len < head + 2) {
        return; /* an error: as it is */
    }
    buf_append_str(&text, verbatim ? "txt:" : "");
    replinfo_correct(&info, bytes + head, whole->len - head - 2, &text);
    proxy_correct_clients(p, &text);
    if (here) {
        tally_correct_info(&p->clients.tally, &text);
    }
    if (ours) {
        buf_append_str(&text, "\r\n");
        info_text(p, &text);
    }
    buf_clear(whole);
    buf_printf(whole, "%c%zu\r\n", verbatim ? '=' : '$', text.len);
    buf_append(whole, buf_head(&text), text.len);
    buf_append_str(whole, "\r\n");
    buf_release(&text);
}

void proxy_correct_info(struct proxy *p, struct request *r, bool here)
{
    struct buf whole = BUF_INIT;

    request_move_reply(r, &whole);
    proxy_correct_info_bulk(p, (r->flags & REQUEST_INFO_OURS) != 0, here, &whole);
    request_take_reply(r, &whole);
}

void proxy_correct_info_reply(void *ctx, const struct resp_arg *argv, size_t argc, bool here,
                              struct buf *reply)
{
    proxy_correct_info_bulk(ctx, router_info_wants_ours(argv, argc), here, reply);
}

/* ---- set-up ---- */

void proxy_open_forward(struct proxy *p, const struct settings *s)
{
    struct forward_config config = {
        .uplink = {.kind = UPLINK_LEADER,
                   .user = s->redis_user,
                   .password = s->redis_password,
                   .name = s->name,
                   .cluster_id = p->cluster_hex,
                   .log_id = (uint64_t)s->log_id,
                   .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
                   .stall_ms = (uint32_t)s->redis_stall_ms,
                   .leave_ms = PROXY_LEAVE_LINK_MS},
        .links = (unsigned)s->forward_links,
        .wait_ms = (uint32_t)s->forward_wait_ms,
        .waiting_max = (size_t)s->forward_waiting_max,
        .waiting_max_bytes = (size_t)s->forward_waiting_max_bytes,
    };

    struct private_config privates = {
        .kind = ENGINE_FORWARD,
        .host = "",
        .user = s->redis_user,
        .password = s->redis_password,
        .name = s->name,
        .cluster_id = p->cluster_hex,
        .log_id = (uint64_t)s->log_id,
        .links_max = proxy_private_room(s),
        .spare = PROXY_FORWARD_SPARE,
        .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
    };

    hex_print(p->cluster_hex, s->cluster_id, sizeof s->cluster_id);
    p->forward = forward_create(p->base, &config, &forward_events, p, &p->pool);
    config.uplink.kind = UPLINK_REPLICA;
    config.uplink.password = p->credentials.link_password;
    config.links = 1;
    config.wait_ms =
        config.wait_ms < PROXY_REPLICA_WAIT_MS ? config.wait_ms : PROXY_REPLICA_WAIT_MS;
    p->replica = forward_create(p->base, &config, &replica_events, p, &p->pool);
    p->forward_privates = private_create(p->base, &privates, &forward_private_events, p, &p->pool);
    p->router.forward_privates = p->forward_privates;
    p->router.wait_ns = (uint64_t)s->forward_wait_ms * CLOCK_NS_PER_MS;
    p->router.forward = p->forward;
    p->router.replica = p->replica;
    p->router.leader = p->leader;
    p->router.config.cluster_id = p->cluster_hex;
    p->router.config.log_id = (uint64_t)s->log_id;
    p->router.replication_text = proxy_replication_text;
    p->router.role_reply = proxy_role_reply;
}

void proxy_close_forward(struct proxy *p)
{
    forward_destroy(p->forward);
    forward_destroy(p->replica);
    private_destroy(p->forward_privates);
}
