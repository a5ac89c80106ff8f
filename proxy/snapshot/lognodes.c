#include "proxy/snapshot/lognodes.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "logsvc/client/transport.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOGNODES_MAX = 16,
    LOGNODES_TICK_MS = 10,
    LOGNODES_INTERVAL_MS = 100,
    LOGNODES_FRESH_MS = 3000, /* what was said longer ago is no answer any more */
    LOGNODES_TIMEOUT_MS = 2000,
    LOGNODES_RETRY_MS = 50,
    LOGNODES_INFLIGHT = 4,
    LOGNODES_SHIP_BYTES = 64 << 10 /* of one piece of a snapshot: what a node's disk gets at once */
};

/* A log node that we have a link to; its place in the table is its number everywhere. */
struct lognode {
    bool used, up;
    char address[CONF_TEXT_MAX + 1];
    uint64_t asked_ns, answered_ns; /* 0: never */
    char node_id[WIRE_NAME_MAX + 1];
    char leader[WIRE_NAME_MAX + 1];
    struct wire_log log;
    struct term term;
    uint64_t snapshot;
    struct history history;
};

struct lognodes {
    struct event_base *base;
    uint8_t cluster_id[16];
    uint64_t log_id, interval_ns, session, seq;
    struct transport *transport;
    struct event *transport_event, *tick_event;
    struct reader *reader;
    struct snapship *snapship;
    struct catalogue *catalogue;
    const struct lognodes_events *events;
    void *ctx;
    struct buf wire;
    struct conf conf;
    bool conf_known;
    uint32_t members;
    uint64_t commit;
    char refusal[WIRE_REASON_MAX + 1];
    struct lognode nodes[LOGNODES_MAX];
};

bool lognodes_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct lognodes *n = ctx;
    size_t head_size = wire_head_size(msg);

    buf_clear(&n->wire);
    uint8_t *head = buf_reserve(&n->wire, head_size);
    wire_encode_head(msg, head);
    return transport_send(n->transport, node, head, head_size, msg->data, msg->data_size);
}

/* ---- what the reader and the ship say goes to the user ---- */

static void says_record(void *ctx, const struct record *rec)
{
    struct lognodes *n = ctx;

    if (n->events->record != NULL) {
        n->events->record(n->ctx, rec);
    }
}

static void says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct lognodes *n = ctx;
    n->events->data(n->ctx, offset, bytes, size);
}

static void says_done(void *ctx)
{
    struct lognodes *n = ctx;
    n->events->done(n->ctx);
}

static void says_failed(void *ctx, int err)
{
    struct lognodes *n = ctx;
    n->events->failed(n->ctx, err);
}

static bool says_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    struct lognodes *n = ctx;
    return n->events->read(n->ctx, at, size, out);
}

static void says_shipped(void *ctx, int err)
{
    struct lognodes *n = ctx;
    n->events->shipped(n->ctx, err);
}

static void says_found(void *ctx, const struct snapshot_info *info)
{
    struct lognodes *n = ctx;
    n->events->found(n->ctx, info);
}

static void says_snapshot_data(void *ctx, const uint8_t *bytes, size_t size)
{
    struct lognodes *n = ctx;
    n->events->snapshot_data(n->ctx, bytes, size);
}

static void says_fetched(void *ctx, int err)
{
    struct lognodes *n = ctx;
    n->events->fetched(n->ctx, err);
}

static void says_repaired(void *ctx, int err)
{
    struct lognodes *n = ctx;
    n->events->repaired(n->ctx, err);
}

static void says_listed(void *ctx, int err)
{
    struct lognodes *n = ctx;
    n->events->listed(n->ctx, err);
}

static void says_marked(void *ctx, int err)
{
    struct lognodes *n = ctx;
    n->events->marked(n->ctx, err);
}

static const struct catalogue_events lognodes_catalogue_events = {
    .send = lognodes_send, .listed = says_listed, .done = says_marked};

static const struct reader_events lognodes_reader_events = {.send = lognodes_send,
                                                            .record = says_record,
                                                            .data = says_data,
                                                            .done = says_done,
                                                            .failed = says_failed};

static const struct snapship_events lognodes_ship_events = {.send = lognodes_send,
                                                            .read = says_read,
                                                            .shipped = says_shipped,
                                                            .found = says_found,
                                                            .data = says_snapshot_data,
                                                            .fetched = says_fetched,
                                                            .repaired = says_repaired};

static void lognodes_news(struct lognodes *n)
{
    if (n->events != NULL && n->events->news != NULL) {
        n->events->news(n->ctx);
    }
}

/* ---- who counts ---- */

static int lognodes_find(const struct lognodes *n, const struct conf_member *m)
{
    for (int i = 0; i < LOGNODES_MAX; i++) {
        if (n->nodes[i].used && strcmp(n->nodes[i].node_id, m->node_id) == 0) {
            return i;
        }
    }
    for (int i = 0; i < LOGNODES_MAX; i++) {
        if (n->nodes[i].used && strcmp(n->nodes[i].address, m->address) == 0) {
            return i;
        }
    }
    return -1;
}

static int lognodes_link(struct lognodes *n, const char *address)
{
    for (int i = 0; i < LOGNODES_MAX; i++) {
        struct lognode *node = &n->nodes[i];
        if (node->used) {
            continue;
        }
        if (transport_link(n->transport, (unsigned)i, address) != ERR_OK) {
            log_error("log node %s can't be connected to", address);
            return -1;
        }
        *node = (struct lognode){.used = true, .snapshot = WIRE_NO_SNAPSHOT};
        (void)snprintf(node->address, sizeof node->address, "%s", address);
        return i;
    }
    return -1;
}

static uint32_t lognodes_take_set(struct lognodes *n, const struct conf_set *set)
{
    uint32_t members = 0;

    for (unsigned i = 0; i < set->count; i++) {
        int at = lognodes_find(n, &set->members[i]);
        if (at < 0) {
            at = lognodes_link(n, set->members[i].address);
        }
        members |= at >= 0 ? 1u << at : 0;
    }
    return members;
}

/* A node's answer has this configuration: the highest one is the log's. */
static void lognodes_take_conf(struct lognodes *n, uint64_t now_ns, const struct wire_conf *wire)
{
    struct conf conf;

    if (wire->size == 0 || conf_decode(wire->bytes, wire->size, &conf) != ERR_OK ||
        (n->conf_known && conf_id_compare(conf.id, n->conf.id) < 0)) {
        return;
    }
    n->conf = conf;
    n->conf_known = true;
    uint32_t members = lognodes_take_set(n, &conf.now) | lognodes_take_set(n, &conf.old);
    if (members != 0 && members != n->members) {
        n->members = members;
        reader_nodes(n->reader, now_ns, members);
        snapship_nodes(n->snapship, members);
        catalogue_nodes(n->catalogue, members);
    }
}

/* ---- what they say ---- */

static void lognodes_ask(struct lognodes *n, uint64_t now_ns, unsigned node)
{
    struct wire_msg msg = {.type = WIRE_STATUS,
                           .channel = WIRE_LOOKOUT,
                           .log_id = n->log_id,
                           .session = n->session,
                           .seq = ++n->seq};

    memcpy(msg.cluster_id, n->cluster_id, sizeof msg.cluster_id);
    if (lognodes_send(n, node, &msg)) {
        n->nodes[node].asked_ns = now_ns;
    }
}

static void lognodes_take_status(struct lognodes *n, uint64_t now_ns, unsigned i,
                                 const struct wire_msg *msg)
{
    const struct wire_hello_reply *m = &msg->status_reply.node;
    struct lognode *node = &n->nodes[i];

    node->answered_ns = now_ns;
    node->term = msg->term;
    node->log = m->log;
    node->snapshot = m->snapshot;
    (void)snprintf(node->node_id, sizeof node->node_id, "%s", m->node_id);
    (void)snprintf(node->leader, sizeof node->leader, "%s", m->leader);
    if (m->history.size == 0 ||
        history_decode(m->history.bytes, m->history.size, &node->history) != ERR_OK) {
        node->history.count = 0;
    }
    if (!m->log.empty && m->log.commit > n->commit) {
        n->commit = m->log.commit;
    }
    lognodes_take_conf(n, now_ns, &m->conf);
    lognodes_news(n);
}

static void lognodes_message(struct lognodes *n, unsigned node, const uint8_t *bytes, size_t size)
{
    struct wire_msg msg;
    uint64_t now_ns = clock_now_ns();
    int rc = wire_decode(bytes, size, &msg);

    if (rc != ERR_OK) {
        (void)snprintf(n->refusal, sizeof n->refusal, "a log node's message is %s",
                       rc == ERR_REFUSED ? "of another version" : err_text(rc));
        return;
    }
    if (msg.channel == WIRE_READER) {
        reader_receive(n->reader, now_ns, node, &msg);
    } else if (msg.channel == WIRE_SNAPSHOT) {
        snapship_receive(n->snapship, now_ns, node, &msg);
        catalogue_receive(n->catalogue, now_ns, node, &msg);
    } else if (msg.session == n->session && msg.type == WIRE_STATUS_REPLY) {
        lognodes_take_status(n, now_ns, node, &msg);
    } else if (msg.session == n->session && msg.type == WIRE_REFUSED) {
        (void)snprintf(n->refusal, sizeof n->refusal, "%s", msg.refused.reason);
        lognodes_news(n);
    }
}

static void lognodes_transport_cb(evutil_socket_t fd, short what, void *arg)
{
    struct lognodes *n = arg;
    struct transport_event event;

    (void)fd;
    (void)what;
    while (transport_next(n->transport, &event)) {
        uint64_t now_ns = clock_now_ns();
        bool up = event.kind == TRANSPORT_UP;
        switch (event.kind) {
        case TRANSPORT_UP:
        case TRANSPORT_DOWN:
            n->nodes[event.node].up = up;
            n->nodes[event.node].asked_ns = 0;
            reader_link_up(n->reader, now_ns, event.node, up);
            snapship_link_up(n->snapship, now_ns, event.node, up);
            catalogue_link_up(n->catalogue, now_ns, event.node, up);
            if (up) {
                lognodes_ask(n, now_ns, event.node);
            }
            break;
        case TRANSPORT_READY:
            reader_link_ready(n->reader, now_ns, event.node);
            snapship_link_ready(n->snapship, now_ns, event.node);
            catalogue_link_ready(n->catalogue, now_ns, event.node);
            break;
        case TRANSPORT_MESSAGE:
            lognodes_message(n, event.node, event.bytes, event.size);
            break;
        }
    }
}

static void lognodes_tick_cb(evutil_socket_t fd, short what, void *arg)
{
    struct lognodes *n = arg;
    uint64_t now_ns = clock_now_ns();

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < LOGNODES_MAX; i++) {
        if (n->nodes[i].used && n->nodes[i].up && now_ns - n->nodes[i].asked_ns >= n->interval_ns) {
            lognodes_ask(n, now_ns, i);
        }
    }
    if (now_ns >= reader_next_tick_ns(n->reader)) {
        reader_tick(n->reader, now_ns);
    }
    if (now_ns >= snapship_next_tick_ns(n->snapship)) {
        snapship_tick(n->snapship, now_ns);
    }
    if (now_ns >= catalogue_next_tick_ns(n->catalogue)) {
        catalogue_tick(n->catalogue, now_ns);
    }
}

/* ---- public ---- */

static bool lognode_fresh(const struct lognode *node, uint64_t now_ns)
{
    return node->used && node->answered_ns != 0 &&
           now_ns - node->answered_ns < LOGNODES_FRESH_MS * CLOCK_NS_PER_MS;
}

void lognodes_view(const struct lognodes *n, struct lognodes_view *out)
{
    uint64_t now_ns = clock_now_ns();
    const struct lognode *knows = NULL, *named = NULL;

    *out = (struct lognodes_view){.commit = n->commit,
                                  .nodes = (unsigned)__builtin_popcount(n->members),
                                  .begin = UINT64_MAX,
                                  .snapshot = WIRE_NO_SNAPSHOT,
                                  .empty = true,
                                  .leader = "",
                                  .refusal = n->refusal};
    for (unsigned i = 0; i < LOGNODES_MAX; i++) {
        const struct lognode *node = &n->nodes[i];
        if ((n->members >> i & 1) == 0 || !lognode_fresh(node, now_ns)) {
            continue;
        }
        out->answered++;
        if (node->term.n > out->term.n || named == NULL) {
            named = node;
            out->leader = node->leader;
        }
        out->term.n = node->term.n > out->term.n ? node->term.n : out->term.n;
        if (node->log.empty) {
            continue;
        }
        out->empty = false;
        out->begin = node->log.begin < out->begin ? node->log.begin : out->begin;
        if (node->snapshot != WIRE_NO_SNAPSHOT &&
            (out->snapshot == WIRE_NO_SNAPSHOT || node->snapshot > out->snapshot)) {
            out->snapshot = node->snapshot;
        }
        if (knows == NULL || node->log.commit > knows->log.commit) {
            knows = node;
        }
    }
    if (knows != NULL) {
        out->history = knows->history;
    }
    out->known = n->conf_known && out->answered > out->nodes / 2;
}

bool lognodes_answers(const struct lognodes *n, unsigned node)
{
    return lognode_fresh(&n->nodes[node], clock_now_ns());
}

void lognodes_use(struct lognodes *n, const struct lognodes_events *events, void *ctx)
{
    reader_stop(n->reader);
    snapship_stop(n->snapship);
    catalogue_stop(n->catalogue);
    n->events = events;
    n->ctx = ctx;
}

struct reader *lognodes_reader(struct lognodes *n)
{
    return n->reader;
}

struct snapship *lognodes_snapship(struct lognodes *n)
{
    return n->snapship;
}

struct catalogue *lognodes_catalogue(struct lognodes *n)
{
    return n->catalogue;
}

uint32_t lognodes_members(const struct lognodes *n)
{
    return n->members;
}

static void lognodes_create_machines(struct lognodes *n, const struct lognodes_config *config)
{
    size_t ship_bytes = config->piece_max_bytes < LOGNODES_SHIP_BYTES ? config->piece_max_bytes
                                                                      : LOGNODES_SHIP_BYTES;
    struct random random;
    random_init(&random, random_seed());

    struct reader_config reader = {.log_id = config->log_id,
                                   .node_count = config->address_count,
                                   .session = random_next(&random),
                                   .read_max_bytes = (uint32_t)config->piece_max_bytes,
                                   .inflight_max = LOGNODES_INFLIGHT,
                                   .timeout_ms = LOGNODES_TIMEOUT_MS,
                                   .retry_ms = LOGNODES_RETRY_MS};
    struct snapship_config ship = {.log_id = config->log_id,
                                   .node_count = config->address_count,
                                   .session = random_next(&random),
                                   .piece_max_bytes = (uint32_t)ship_bytes,
                                   .inflight_max = LOGNODES_INFLIGHT,
                                   .timeout_ms = LOGNODES_TIMEOUT_MS,
                                   .retry_ms = LOGNODES_RETRY_MS};

    memcpy(reader.cluster_id, config->cluster_id, sizeof reader.cluster_id);
    struct catalogue_config catalogue = {.log_id = config->log_id,
                                         .node_count = config->address_count,
                                         .session = random_next(&random),
                                         .timeout_ms = LOGNODES_TIMEOUT_MS,
                                         .retry_ms = LOGNODES_RETRY_MS};

    memcpy(ship.cluster_id, config->cluster_id, sizeof ship.cluster_id);
    memcpy(catalogue.cluster_id, config->cluster_id, sizeof catalogue.cluster_id);
    n->session = random_next(&random);
    n->reader = reader_create(&reader, &lognodes_reader_events, n);
    n->snapship = snapship_create(&ship, &lognodes_ship_events, n);
    n->catalogue = catalogue_create(&catalogue, &lognodes_catalogue_events, n);
}

struct lognodes *lognodes_open(struct event_base *base, const struct lognodes_config *config,
                               int *err)
{
    struct lognodes *n = mem_calloc(1, sizeof *n);
    size_t message_max_bytes = config->piece_max_bytes * 2 + WIRE_OVERHEAD_MAX;
    struct transport_config transport = {.node_count = config->address_count,
                                         .message_max_bytes = message_max_bytes,
                                         .queue_max_bytes = message_max_bytes * LOGNODES_INFLIGHT};
    struct timeval tick = {.tv_usec = LOGNODES_TICK_MS * 1000};
    uint32_t interval_ms = config->interval_ms > 0 ? config->interval_ms : LOGNODES_INTERVAL_MS;

    MUST(config->address_count >= 1 && config->address_count <= LOGNODES_MAX);
    n->base = base;
    n->log_id = config->log_id;
    n->interval_ns = interval_ms * CLOCK_NS_PER_MS;
    memcpy(n->cluster_id, config->cluster_id, sizeof n->cluster_id);
    n->members = (1u << config->address_count) - 1;
    for (unsigned i = 0; i < config->address_count; i++) {
        transport.addresses[i] = config->addresses[i];
        n->nodes[i] = (struct lognode){.used = true, .snapshot = WIRE_NO_SNAPSHOT};
        (void)snprintf(n->nodes[i].address, sizeof n->nodes[i].address, "%s", config->addresses[i]);
    }
    lognodes_create_machines(n, config);
    *err = transport_open(&n->transport, &transport);
    if (*err != ERR_OK) {
        log_error("the log nodes can't be connected to: %s", err_text(*err));
        lognodes_close(n);
        return NULL;
    }
    n->transport_event =
        event_new(base, transport_fd(n->transport), EV_READ | EV_PERSIST, lognodes_transport_cb, n);
    n->tick_event = event_new(base, -1, EV_PERSIST, lognodes_tick_cb, n);
    MUST(n->transport_event != NULL && event_add(n->transport_event, NULL) == 0);
    MUST(n->tick_event != NULL && event_add(n->tick_event, &tick) == 0);
    return n;
}

void lognodes_close(struct lognodes *n)
{
    if (n == NULL) {
        return;
    }
    if (n->transport_event != NULL) {
        event_free(n->transport_event);
        event_free(n->tick_event);
    }
    if (n->transport != NULL) {
        transport_close(n->transport);
    }
    reader_destroy(n->reader);
    snapship_destroy(n->snapship);
    catalogue_destroy(n->catalogue);
    buf_release(&n->wire);
    free(n);
}
