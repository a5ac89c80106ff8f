/* The proxy's side towards the log nodes: the transport's events, and which machine each message is
 * for. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"

#include <event2/event.h>
#include <string.h>

bool proxy_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct proxy *p = ctx;
    size_t head_size = wire_head_size(msg);

    buf_clear(&p->wire);
    uint8_t *head = buf_reserve(&p->wire, head_size);
    wire_encode_head(msg, head);
    return transport_send(p->transport, node, head, head_size, msg->data, msg->data_size);
}

static void proxy_log_message(struct proxy *p, unsigned node, const uint8_t *bytes, size_t size)
{
    struct wire_msg msg;
    int rc = wire_decode(bytes, size, &msg);

    if (rc == ERR_REFUSED) {
        proposer_other_version(p->proposer, clock_now_ns(), node);
        return;
    }
    if (rc != ERR_OK) {
        log_warn("log node %u sent a message that is %s; it is dropped", node + 1, err_text(rc));
        return;
    }
    uint64_t now_ns = clock_now_ns();
    switch (msg.channel) {
    case WIRE_PROPOSER:
        proposer_receive(p->proposer, now_ns, node, &msg);
        break;
    case WIRE_READER:
        reader_receive(p->reader, now_ns, node, &msg);
        break;
    case WIRE_LOOKOUT:
        lookout_receive(p->lookout, now_ns, node, &msg);
        break;
    case WIRE_SNAPSHOT:
        snapship_receive(p->snapship, now_ns, node, &msg);
        catalogue_receive(p->catalogue, now_ns, node, &msg);
        catalogue_receive(p->retain.catalogue, now_ns, node, &msg);
        break;
    default:
        log_warn("log node %u sent a message on an unknown channel", node + 1);
        break;
    }
}

static void proxy_transport_cb(evutil_socket_t fd, short what, void *arg)
{
    struct proxy *p = arg;
    struct transport_event event;

    (void)fd;
    (void)what;
    while (transport_next(p->transport, &event)) {
        uint64_t now_ns = clock_now_ns();
        switch (event.kind) {
        case TRANSPORT_UP:
        case TRANSPORT_DOWN:
            p->links_up &= ~(1u << event.node);
            p->links_up |= (uint32_t)(event.kind == TRANSPORT_UP) << event.node;
            proposer_link_up(p->proposer, now_ns, event.node, event.kind == TRANSPORT_UP);
            reader_link_up(p->reader, now_ns, event.node, event.kind == TRANSPORT_UP);
            lookout_link_up(p->lookout, now_ns, event.node, event.kind == TRANSPORT_UP);
            snapship_link_up(p->snapship, now_ns, event.node, event.kind == TRANSPORT_UP);
            catalogue_link_up(p->catalogue, now_ns, event.node, event.kind == TRANSPORT_UP);
            catalogue_link_up(p->retain.catalogue, now_ns, event.node, event.kind == TRANSPORT_UP);
            break;
        case TRANSPORT_READY:
            proposer_link_ready(p->proposer, now_ns, event.node);
            reader_link_ready(p->reader, now_ns, event.node);
            snapship_link_ready(p->snapship, now_ns, event.node);
            catalogue_link_ready(p->catalogue, now_ns, event.node);
            catalogue_link_ready(p->retain.catalogue, now_ns, event.node);
            break;
        case TRANSPORT_MESSAGE:
            proxy_log_message(p, event.node, event.bytes, event.size);
            break;
        }
        if (p->links_gone != 0) {
            proxy_follow_members(p); /* before a slot is used again */
        }
    }
}

static uint64_t proxy_random(void *ctx)
{
    struct proxy *p = ctx;
    return random_next(&p->random);
}

void proxy_node_refused(void *ctx, unsigned node, enum wire_refusal code, const char *reason)
{
    struct proxy *p = ctx;
    struct proposer_node_info info;

    proposer_node(p->proposer, node, &info);
    if (code == WIRE_REFUSED_MEMBER) {
        log_error("%s (at %s)", reason, info.address);
    } else {
        log_error("log node %s refuses us, or we refuse it: %s", info.address, reason);
    }
}

/* The log's members have moved. What else uses the links is told by proxy_follow_members, not from
 * within the proposer. */
static void proxy_link(void *ctx, unsigned node, const char *address)
{
    struct proxy *p = ctx;

    if (address == NULL) {
        transport_unlink(p->transport, node);
        p->links_gone |= 1u << node;
        p->links_up &= ~(1u << node);
        return;
    }
    int rc = transport_link(p->transport, node, address);
    if (rc == ERR_OK) {
        log_info("log node %u is at %s", node + 1, address);
    } else {
        log_error("log node %s can't be connected to: %s", address, err_text(rc));
    }
}

void proxy_follow_members(struct proxy *p)
{
    uint64_t now_ns = clock_now_ns();
    uint32_t gone = p->links_gone;
    uint32_t members = proposer_members(p->proposer);

    p->links_gone = 0;
    for (unsigned i = 0; i < PROPOSER_NODES_MAX; i++) {
        if ((gone >> i & 1) != 0) {
            reader_link_up(p->reader, now_ns, i, false);
            snapship_link_up(p->snapship, now_ns, i, false);
            catalogue_link_up(p->catalogue, now_ns, i, false);
            catalogue_link_up(p->retain.catalogue, now_ns, i, false);
            lookout_link_up(p->lookout, now_ns, i, false);
        }
    }
    lookout_nodes(p->lookout, members);
    reader_nodes(p->reader, now_ns, members);
    catalogue_nodes(p->catalogue, members);
    snapship_nodes(p->snapship, proposer_fed(p->proposer));
}

/* ---- who answers ---- */

unsigned proxy_nodes_answering(const struct proxy *p)
{
    unsigned answering = 0;

    if (!role_leads(&p->role)) {
        return p->outlook.nodes_up;
    }

    for (unsigned i = 0; i < proposer_node_count(p->proposer); i++) {
        struct proposer_node_info node;
        proposer_node(p->proposer, i, &node);
        answering +=
            node.member && node.state != PROPOSER_NODE_DOWN && node.state != PROPOSER_NODE_REFUSED;
    }
    return answering;
}

unsigned proxy_nodes_counting(const struct proxy *p)
{
    return (unsigned)__builtin_popcount(proposer_members(p->proposer));
}

bool proxy_quorum_answers(const struct proxy *p)
{
    return role_leads(&p->role) ? proxy_nodes_answering(p) > proxy_nodes_counting(p) / 2
                                : p->outlook.quorum_up;
}

bool proxy_is_deaf(const struct proxy *p)
{
    uint32_t linked = p->links_up & proposer_members(p->proposer);
    return (unsigned)__builtin_popcount(linked) > proxy_nodes_counting(p) / 2 &&
           !proxy_quorum_answers(p);
}

/* ---- set-up ---- */

static const struct proposer_events proxy_proposer_events = {
    .send = proxy_send, .random = proxy_random, .refused = proxy_node_refused, .link = proxy_link};

int proxy_open_log(struct proxy *p, const struct settings *s)
{
    struct transport_config transport = {
        .node_count = (unsigned)s->log_nodes.count,
        .message_max_bytes = (size_t)s->log_append_max_bytes * 2 + WIRE_OVERHEAD_MAX,
        .queue_max_bytes = ((size_t)s->log_append_max_bytes * 2 + WIRE_OVERHEAD_MAX) * 4,
    };
    struct proposer_config proposer = {
        .log_id = (uint64_t)s->log_id,
        .node_count = (unsigned)s->log_nodes.count,
        .watch = true,
        .lease_ms = (uint32_t)s->lease_ms,
        .heartbeat_ms = (uint32_t)s->log_heartbeat_ms,
        .session = random_next(&p->random),
        .name = p->address,
        .append_max_bytes = (size_t)s->log_append_max_bytes,
        .append_inflight_max = (unsigned)s->log_appends_in_flight,
        .window_max_bytes = (size_t)s->log_window_max_bytes,
    };

    for (size_t i = 0; i < s->log_nodes.count; i++) {
        transport.addresses[i] = proposer.addresses[i] = s->log_nodes.items[i];
    }
    memcpy(proposer.cluster_id, s->cluster_id, sizeof proposer.cluster_id);
    int rc = transport_open(&p->transport, &transport);
    if (rc != ERR_OK) {
        log_error("log.nodes: %s", err_text(rc));
        return rc;
    }
    p->proposer = proposer_create(&proposer, &proxy_proposer_events, p);
    proxy_open_shipping(p, &proposer);
    proxy_open_snapshots(p, &proposer);
    proxy_open_lookout(p, &proposer);
    p->transport_event =
        event_new(p->base, transport_fd(p->transport), EV_READ | EV_PERSIST, proxy_transport_cb, p);
    return p->transport_event != NULL && event_add(p->transport_event, NULL) == 0 ? ERR_OK : ERR_IO;
}
