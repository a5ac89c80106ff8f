#include "proxy/ctl/ctl_nodes.h"

#include "common/clock.h"
#include "common/hex.h"
#include "common/mem.h"
#include "common/random.h"
#include "proxy/ctl/ctl_link.h"
#include "proxy/ctl/ctl_stop.h"
#include "proxy/node/settings.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES_READ_BYTES = 1 << 20,
    NODES_INFLIGHT = 4,
    NODES_RETRY_MS = 50,
    NODES_LEASE_MS = 800, /* what is configured by default */
    NODES_SETTLE_MS = 20,
    NODES_MORE_MS = 300, /* for the others, once one has answered */
    NODES_SILENT_MS = 5000,
    NODES_MESSAGE_BYTES = WIRE_DATA_MAX + WIRE_OVERHEAD_MAX,
};

/* ---- who they are ---- */

static bool nodes_hex(const char *text, uint8_t out[16])
{
    return hex_parse(text, out, 16) && text[32] == '\0';
}

static bool nodes_add(struct ctl_nodes *n, const char *address, size_t len)
{
    if (n->count == CTL_NODES_MAX || len == 0 || len >= sizeof n->nodes[0].address) {
        return false;
    }
    struct ctl_node *node = &n->nodes[n->count++];
    memcpy(node->address, address, len);
    node->address[len] = '\0';
    return config_check_host_port(node->address) == NULL;
}

static int nodes_from_options(struct ctl_nodes *n, const struct ctl *ctl)
{
    const char *at = ctl->log_nodes;
    char *end = NULL;

    n->log_id = ctl->log_id != NULL ? strtoull(ctl->log_id, &end, 10) : 1;
    if (ctl->cluster_id == NULL || !nodes_hex(ctl->cluster_id, n->cluster_id) ||
        (end != NULL && *end != '\0') || n->log_id == 0) {
        ctl_complain("with --log-nodes, --cluster-id must be its 32 hexadecimal digits, and "
                     "--log-id a number");
        return CTL_EXIT_USAGE;
    }
    for (;;) {
        size_t len = strcspn(at, ",");
        if (!nodes_add(n, at, len)) {
            ctl_complain("--log-nodes: not HOST:PORT,HOST:PORT,...: %s", ctl->log_nodes);
            return CTL_EXIT_USAGE;
        }
        if (at[len] == '\0') {
            return CTL_EXIT_DONE;
        }
        at += len + 1;
    }
}

static int nodes_from_settings(struct ctl_nodes *n, const struct settings *s)
{
    memcpy(n->cluster_id, s->cluster_id, sizeof n->cluster_id);
    n->log_id = (uint64_t)s->log_id;
    n->lease_ms = (uint32_t)s->lease_ms;
    for (size_t i = 0; i < s->log_nodes.count; i++) {
        (void)nodes_add(n, s->log_nodes.items[i], strlen(s->log_nodes.items[i]));
    }
    return CTL_EXIT_DONE;
}

/* HOLDFAST LOG STATUS of any proxy names them. */
static int nodes_from_proxy(struct ctl_nodes *n, const struct ctl *ctl)
{
    const char *argv[] = {"HOLDFAST", "LOG", "STATUS"};
    struct ctl_link link;
    struct ctl_text status;
    char *text = NULL;

    int rc = ctl_link_open(&link, ctl, ctl->host, ctl->port, true);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    rc = ctl_link_ask(&link, true, &text, 3, argv);
    ctl_link_close(&link);
    if (rc != CTL_EXIT_DONE) {
        free(text);
        return rc;
    }
    ctl_text_init(&status, text, strlen(text), "");
    free(text);
    const char *cluster_id = ctl_text_get(&status, "cluster_id");
    n->log_id = (uint64_t)ctl_text_number(&status, "log_id");
    for (size_t i = 0; i < status.count; i++) {
        char address[300], member[8];
        if (ctl_text_is_row(&status.lines[i]) && strncmp(status.lines[i].key, "node", 4) == 0 &&
            ctl_text_field(status.lines[i].value, "address", address, sizeof address) &&
            ctl_text_field(status.lines[i].value, "member", member, sizeof member) &&
            strcmp(member, "yes") == 0) {
            (void)nodes_add(n, address, strlen(address));
        }
    }
    if (cluster_id == NULL || !nodes_hex(cluster_id, n->cluster_id) || n->count == 0) {
        ctl_complain("%s:%d: does not say who its log nodes are", ctl->host, ctl->port);
        rc = CTL_EXIT_FAILED;
    }
    ctl_text_fini(&status);
    return rc;
}

/* ---- messages ---- */

static bool nodes_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct ctl_nodes *n = ctx;
    size_t head_size = wire_head_size(msg);

    buf_clear(&n->wire);
    uint8_t *head = buf_reserve(&n->wire, head_size);
    wire_encode_head(msg, head);
    return transport_send(n->transport, node, head, head_size, msg->data, msg->data_size);
}

static void nodes_says_record(void *ctx, const struct record *r)
{
    struct ctl_nodes *n = ctx;

    if (n->reading->record != NULL) {
        n->reading->record(n->reading->ctx, r);
    }
}

static void nodes_says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct ctl_nodes *n = ctx;
    struct ctl_reading *reading = n->reading;

    bool on = reading->data(reading->ctx, offset, bytes, size);
    reading->moved_ns = clock_now_ns(); /* behind that, which may take its time */
    reading->told = false;
    if (!on) {
        reading->over = true;
        reader_stop(n->reader);
        return;
    }
    reader_room(n->reader, clock_now_ns(), SIZE_MAX);
}

static void nodes_says_done(void *ctx)
{
    struct ctl_nodes *n = ctx;
    n->reading->over = true;
}

static void nodes_says_failed(void *ctx, int err)
{
    struct ctl_nodes *n = ctx;
    struct ctl_reading *reading = n->reading;

    reading->result = err;
    reading->over = true;
}

static const struct reader_events nodes_reader_events = {.send = nodes_send,
                                                         .record = nodes_says_record,
                                                         .data = nodes_says_data,
                                                         .done = nodes_says_done,
                                                         .failed = nodes_says_failed};

static void nodes_take(struct ctl_nodes *n, unsigned node, const uint8_t *bytes, size_t size)
{
    struct wire_msg msg;

    if (wire_decode(bytes, size, &msg) != ERR_OK) {
        (void)snprintf(n->refusal, sizeof n->refusal, "%s speaks another version, or nonsense",
                       n->nodes[node].address);
        return;
    }
    if (msg.channel == WIRE_READER && msg.session == n->session + 1) {
        reader_receive(n->reader, clock_now_ns(), node, &msg);
    } else if (msg.session == n->session && n->waiting && node == n->asked_node &&
               msg.seq == n->seq) {
        n->reply = msg;
        n->has_reply = true;
    }
}

/* Handles what has come; whether something had. Ends with the question's answer, whose bytes stay
 * where they are then. */
static bool nodes_events(struct ctl_nodes *n)
{
    struct transport_event event;
    bool some = false;

    while (!n->has_reply && transport_next(n->transport, &event)) {
        some = true;
        switch (event.kind) {
        case TRANSPORT_UP:
        case TRANSPORT_DOWN:
            n->nodes[event.node].up = event.kind == TRANSPORT_UP;
            reader_link_up(n->reader, clock_now_ns(), event.node, event.kind == TRANSPORT_UP);
            break;
        case TRANSPORT_READY:
            reader_link_ready(n->reader, clock_now_ns(), event.node);
            break;
        case TRANSPORT_MESSAGE:
            nodes_take(n, event.node, event.bytes, event.size);
            break;
        }
    }
    return some;
}

/* Handles what has come; waits for something if nothing has. */
static void nodes_turn(struct ctl_nodes *n, int timeout_ms)
{
    struct pollfd fd = {.fd = transport_fd(n->transport), .events = POLLIN};

    if (!nodes_events(n)) {
        (void)poll(&fd, 1, timeout_ms);
        (void)nodes_events(n);
    }
    reader_tick(n->reader, clock_now_ns());
}

int ctl_nodes_ask(struct ctl_nodes *n, unsigned node, struct wire_msg *request,
                  const struct wire_msg **reply)
{
    uint64_t end_ns = clock_now_ns() + n->timeout_ms * CLOCK_NS_PER_MS;
    bool sent = false;

    memcpy(request->cluster_id, n->cluster_id, sizeof n->cluster_id);
    request->log_id = n->log_id;
    request->session = n->session;
    request->seq = ++n->seq;
    n->asked_node = node;
    n->waiting = true;
    n->has_reply = false;
    while (!n->has_reply && n->nodes[node].up && clock_now_ns() < end_ns) {
        sent = sent || nodes_send(n, node, request);
        nodes_turn(n, sent ? 100 : 1);
    }
    n->waiting = false;
    if (!n->has_reply) {
        return n->nodes[node].up ? ERR_TIMEOUT : ERR_CLOSED;
    }
    n->has_reply = false;
    *reply = &n->reply;
    return n->reply.type == WIRE_REFUSED ? ERR_REFUSED : ERR_OK;
}

/* ---- how things stand ---- */

static void nodes_take_status(struct ctl_nodes *n, unsigned i, const struct wire_hello_reply *m)
{
    struct ctl_node *node = &n->nodes[i];
    struct history h;

    node->answered = true;
    n->lease_ms = m->lease_ms;
    node->log = m->log;
    node->snapshot = m->snapshot;
    memcpy(node->id, m->node_id, sizeof node->id);
    if (m->log.empty) {
        return;
    }
    n->begin = n->empty || m->log.begin < n->begin ? m->log.begin : n->begin;
    n->empty = false;
    n->commit = m->log.commit > n->commit ? m->log.commit : n->commit;
    if (m->history.size > 0 && history_decode(m->history.bytes, m->history.size, &h) == ERR_OK &&
        h.count > 0 &&
        (n->history.count == 0 ||
         h.entries[h.count - 1].term.n > n->history.entries[n->history.count - 1].term.n)) {
        n->history = h;
    }
}

int ctl_nodes_refresh(struct ctl_nodes *n)
{
    int result = ERR_CLOSED;
    const struct wire_msg *reply;
    bool was_empty = n->empty;

    n->empty = true;
    for (unsigned i = 0; i < n->count; i++) {
        struct wire_msg msg = {.type = WIRE_STATUS, .channel = WIRE_LOOKOUT};
        n->nodes[i].answered = false;
        if (!n->nodes[i].up) {
            continue;
        }
        int err = ctl_nodes_ask(n, i, &msg, &reply);
        if (err == ERR_REFUSED && reply->refused.code == WIRE_REFUSED_LOG) {
            n->nodes[i].answered = true;
            n->nodes[i].log = (struct wire_log){.empty = true};
            n->nodes[i].snapshot = WIRE_NO_SNAPSHOT;
            result = ERR_OK;
        } else if (err == ERR_REFUSED) {
            (void)snprintf(n->refusal, sizeof n->refusal, "%.60s: %.60s", n->nodes[i].address,
                           reply->refused.reason[0] != '\0'
                               ? reply->refused.reason
                               : wire_refusal_text(reply->refused.code));
        } else if (err == ERR_OK && reply->type == WIRE_STATUS_REPLY) {
            nodes_take_status(n, i, &reply->status_reply.node);
            result = ERR_OK;
        }
    }
    n->empty = result == ERR_OK ? n->empty : was_empty;
    return result;
}

static unsigned nodes_up(const struct ctl_nodes *n)
{
    unsigned up = 0;

    for (unsigned i = 0; i < n->count; i++) {
        up += n->nodes[i].up;
    }
    return up;
}

static int nodes_connect(struct ctl_nodes *n)
{
    struct transport_config transport = {.node_count = n->count,
                                         .message_max_bytes = NODES_MESSAGE_BYTES,
                                         .queue_max_bytes = NODES_MESSAGE_BYTES};
    struct reader_config reader = {.log_id = n->log_id,
                                   .node_count = n->count,
                                   .session = n->session + 1,
                                   .read_max_bytes = NODES_READ_BYTES,
                                   .inflight_max = NODES_INFLIGHT,
                                   .timeout_ms = n->timeout_ms,
                                   .retry_ms = NODES_RETRY_MS};

    for (unsigned i = 0; i < n->count; i++) {
        transport.addresses[i] = n->nodes[i].address;
    }
    memcpy(reader.cluster_id, n->cluster_id, sizeof reader.cluster_id);
    int err = transport_open(&n->transport, &transport);
    if (err != ERR_OK) {
        ctl_complain("the log nodes can't be connected to: %s", err_text(err));
        return CTL_EXIT_UNREACHABLE;
    }
    n->reader = reader_create(&reader, &nodes_reader_events, n);
    return CTL_EXIT_DONE;
}

/* Nodes hear what is committed with the next append or heartbeat only. So what was acknowledged
 * just before is there, and not known to be committed yet: it is waited for, a lease at most. What
 * a leader that is gone left behind may stay uncommitted until there is another. */
static void nodes_settle(struct ctl_nodes *n)
{
    uint64_t end_ns = clock_now_ns() + n->lease_ms * CLOCK_NS_PER_MS, goal = 0;

    for (unsigned i = 0; i < n->count; i++) {
        const struct ctl_node *node = &n->nodes[i];
        if (node->answered && !node->log.empty && node->log.unit_off > goal) {
            goal = node->log.unit_off;
        }
    }
    while (n->commit < goal && clock_now_ns() < end_ns) {
        (void)poll(NULL, 0,
                   NODES_SETTLE_MS); /* whatever comes: a node that is asked answers at once */
        if (ctl_nodes_refresh(n) != ERR_OK) {
            return;
        }
    }
    if (n->commit < goal) {
        fprintf(stderr,
                "the log nodes hold %" PRIu64 " bytes that are not known to be committed: they "
                "are left out\n",
                goal - n->commit);
    }
}

/* all: all of them are waited for. */
static int nodes_open(struct ctl_nodes *n, const struct ctl *ctl, bool all)
{
    int rc;

    *n = (struct ctl_nodes){
        .session = random_seed() >> 1, .timeout_ms = 2000, .lease_ms = NODES_LEASE_MS};
    if (ctl->log_nodes != NULL) {
        rc = nodes_from_options(n, ctl);
    } else if (ctl->settings != NULL) {
        rc = nodes_from_settings(n, ctl->settings);
    } else {
        rc = nodes_from_proxy(n, ctl);
    }
    if (rc != CTL_EXIT_DONE || (rc = nodes_connect(n)) != CTL_EXIT_DONE) {
        ctl_nodes_close(n);
        return rc;
    }
    uint64_t end_ns = clock_now_ns() + ctl->timeout_ms * CLOCK_NS_PER_MS;
    bool found = false;
    while (nodes_up(n) < n->count && clock_now_ns() < end_ns) {
        nodes_turn(n, 20);
        if (nodes_up(n) > 0 && !found && !all) {
            found = true;
            end_ns = clock_now_ns() + NODES_MORE_MS * CLOCK_NS_PER_MS;
        }
    }
    if (ctl_nodes_refresh(n) == ERR_OK) {
        return CTL_EXIT_DONE;
    }
    ctl_complain("no log node answers%s%s", n->refusal[0] != '\0' ? ": " : "", n->refusal);
    ctl_nodes_close(n);
    return CTL_EXIT_UNREACHABLE;
}

int ctl_nodes_open(struct ctl_nodes *n, const struct ctl *ctl)
{
    int rc = nodes_open(n, ctl, false);

    if (rc == CTL_EXIT_DONE) {
        nodes_settle(n);
    }
    return rc;
}

int ctl_nodes_open_all(struct ctl_nodes *n, const struct ctl *ctl)
{
    return nodes_open(n, ctl, true);
}

void ctl_nodes_close(struct ctl_nodes *n)
{
    if (n->reader != NULL) {
        reader_destroy(n->reader);
        n->reader = NULL;
    }
    if (n->transport != NULL) {
        transport_close(n->transport);
        n->transport = NULL;
    }
    buf_release(&n->wire);
}

/* ---- the log ---- */

int ctl_nodes_record(struct ctl_nodes *n, uint64_t offset, struct record *out,
                     const uint8_t **payload)
{
    int result = ERR_CLOSED;
    const struct wire_msg *reply;

    for (unsigned i = 0; i < n->count; i++) {
        struct wire_msg msg = {
            .type = WIRE_READ, .channel = WIRE_LOOKOUT, .read = {.from = offset, .max_bytes = 1}};
        int err = ctl_nodes_ask(n, i, &msg, &reply);
        if (err == ERR_REFUSED) {
            err = reply->refused.code == WIRE_REFUSED_CORRUPT ? ERR_CORRUPT : ERR_NOT_FOUND;
        } else if (err == ERR_OK && reply->type == WIRE_READ_REPLY) {
            const uint8_t *at, *bytes = reply->data;
            size_t left = reply->data_size, whole;
            err = ERR_NOT_FOUND;
            while (left > 0 && wire_record(bytes, left, out, &at, &whole) == ERR_OK) {
                if (out->begin <= offset && record_end(out) > offset) {
                    if (!record_payload_ok(out, at)) {
                        err = ERR_CORRUPT;
                        break;
                    }
                    if (payload != NULL) {
                        *payload = at;
                    }
                    return ERR_OK;
                }
                bytes += whole;
                left -= whole;
            }
        }
        result = result == ERR_CORRUPT || err == ERR_CLOSED ? result : err;
    }
    return result;
}

/* Who waits should know for what; once. */
static void nodes_tell_silence(struct ctl_reading *reading)
{
    if (!reading->told && clock_now_ns() - reading->moved_ns > NODES_SILENT_MS * CLOCK_NS_PER_MS) {
        reading->told = true;
        fprintf(stderr, "no log node answers; waiting\n");
    }
}

int ctl_nodes_read(struct ctl_nodes *n, struct ctl_reading *reading)
{
    struct reader_range range = {.from = reading->from,
                                 .to = reading->to,
                                 .chain_known = reading->chain_known,
                                 .chain_crc = reading->chain_crc};

    reading->over = reading->told = false;
    reading->result = ERR_OK;
    reading->moved_ns = clock_now_ns();
    n->reading = reading;
    reader_start(n->reader, clock_now_ns(), &range);
    reader_room(n->reader, clock_now_ns(), SIZE_MAX);
    while (!reading->over && !ctl_stop_asked()) {
        nodes_turn(n, 20);
        nodes_tell_silence(reading);
    }
    if (!reading->over) {
        reader_stop(n->reader);
        reading->result = ERR_CLOSED;
    }
    n->reading = NULL;
    return reading->result;
}

/* ---- snapshots ---- */

int ctl_nodes_snapshot(struct ctl_nodes *n, uint64_t limit, struct snapshot_info *out,
                       unsigned *node)
{
    const struct wire_msg *reply;
    int result = ERR_NOT_FOUND;

    for (unsigned i = 0; i < n->count; i++) {
        struct wire_msg msg = {
            .type = WIRE_SNAP_LATEST, .channel = WIRE_LOOKOUT, .snap_latest = {.limit = limit}};
        if (ctl_nodes_ask(n, i, &msg, &reply) == ERR_OK && reply->type == WIRE_SNAP_LATEST_REPLY &&
            reply->snap_latest_reply.found &&
            (result != ERR_OK || reply->snap_latest_reply.info.offset > out->offset)) {
            *out = reply->snap_latest_reply.info;
            *node = i;
            result = ERR_OK;
        }
    }
    return result;
}

int ctl_nodes_holder(struct ctl_nodes *n, const struct snapshot_info *info, unsigned avoid,
                     unsigned *node)
{
    const struct wire_msg *reply;

    for (unsigned i = 0; i < n->count; i++) {
        struct wire_msg msg = {.type = WIRE_SNAP_LATEST,
                               .channel = WIRE_LOOKOUT,
                               .snap_latest = {.limit = info->offset}};
        if ((avoid >> i & 1) == 0 && ctl_nodes_ask(n, i, &msg, &reply) == ERR_OK &&
            reply->type == WIRE_SNAP_LATEST_REPLY && reply->snap_latest_reply.found &&
            snapinfo_same(&reply->snap_latest_reply.info, info)) {
            *node = i;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

int ctl_nodes_earliest(struct ctl_nodes *n, struct snapshot_info *out)
{
    const struct wire_msg *reply;
    int result = ERR_NOT_FOUND;

    for (unsigned i = 0; i < n->count; i++) {
        struct wire_msg msg = {.type = WIRE_SNAP_LIST, .channel = WIRE_LOOKOUT};
        if (ctl_nodes_ask(n, i, &msg, &reply) != ERR_OK || reply->type != WIRE_SNAP_LIST_REPLY) {
            continue;
        }
        const struct wire_snaps *list = &reply->snap_list_reply.snaps;
        unsigned count = snapinfo_list_count(list->bytes, list->size);
        for (unsigned k = 0; k < count; k++) {
            struct snapinfo_stored stored;
            snapinfo_list_get(list->bytes, list->size, k, &stored);
            if (stored.counts && stored.info.offset >= n->begin &&
                (result != ERR_OK || stored.info.offset < out->offset)) {
                *out = stored.info;
                result = ERR_OK;
            }
        }
    }
    return result;
}

int ctl_nodes_snapshot_read(struct ctl_nodes *n, unsigned node, const struct snapshot_info *info,
                            uint64_t at, const uint8_t **bytes, size_t *size)
{
    struct wire_msg msg = {
        .type = WIRE_SNAP_READ,
        .channel = WIRE_LOOKOUT,
        .snap_read = {.offset = info->offset, .at = at, .max_bytes = NODES_READ_BYTES}};
    const struct wire_msg *reply;

    *size = 0;
    int err = ctl_nodes_ask(n, node, &msg, &reply);
    if (err == ERR_REFUSED) {
        return reply->refused.code == WIRE_REFUSED_CORRUPT ? ERR_CORRUPT : ERR_NOT_FOUND;
    }
    if (err == ERR_OK) {
        *bytes = reply->data;
        *size = reply->data_size;
    }
    return err;
}

/* ---- the commands ---- */

/* As Redis had sent it. */
static void nodes_put_reply(const redisReply *r, struct buf *out)
{
    switch (r->type) {
    case REDIS_REPLY_ARRAY:
        buf_printf(out, "*%zu\r\n", r->elements);
        for (size_t i = 0; i < r->elements; i++) {
            nodes_put_reply(r->element[i], out);
        }
        break;
    case REDIS_REPLY_INTEGER:
        buf_printf(out, ":%lld\r\n", r->integer);
        break;
    case REDIS_REPLY_NIL:
        buf_append_str(out, "$-1\r\n");
        break;
    case REDIS_REPLY_STATUS:
        buf_printf(out, "+%s\r\n", r->str);
        break;
    default:
        buf_printf(out, "$%zu\r\n", r->len);
        buf_append(out, r->str, r->len);
        buf_append_str(out, "\r\n");
    }
}

int ctl_nodes_commands(const struct ctl *ctl, struct buf *out)
{
    struct ctl_link link;
    int rc = ctl_link_open(&link, ctl, ctl->host, ctl->port, true);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    redisReply *reply = redisCommand(link.redis, "COMMAND");
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) {
        nodes_put_reply(reply, out);
    } else {
        ctl_complain("%s:%d: does not tell its commands: %s", ctl->host, ctl->port,
                     reply != NULL && reply->str != NULL ? reply->str : link.redis->errstr);
        rc = reply != NULL ? CTL_EXIT_FAILED : CTL_EXIT_UNREACHABLE;
    }
    freeReplyObject(reply);
    ctl_link_close(&link);
    return rc;
}
