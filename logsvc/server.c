#include "logsvc/server.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "logsvc/acceptor.h"
#include "logsvc/node_dir.h"
#include "logsvc/pack_pace.h"
#include "logsvc/store.h"
#include "logsvc/transport_server.h"

#include <stdlib.h>
#include <string.h>

/* What is served before the disk is asked to flush: more would only make the first ones wait. */
enum { SERVER_TURN_REQUESTS_MAX = 1024, SERVER_TURN_BYTES_MAX = 16 * 1024 * 1024 };
enum { SERVER_COMPLAIN_S = 10 };
/* A segment that would keep more than three quarters of its size stays as it is. */
enum { SERVER_PACK_PERCENT = 75 };

_Static_assert((int)SERVER_MESSAGE_MIN_BYTES >= 2 * (int)WIRE_OVERHEAD_MAX,
               "the smallest message limit leaves room for data");

struct server_log {
    struct server *server;
    uint64_t id;
    struct store *store;       /* NULL: it was found damaged, or could not be opened */
    struct acceptor *acceptor; /* as store */
    bool touched;              /* in this turn; to be flushed */
    struct scrub scrub;
    struct pack_pace pack;
};

struct server {
    struct server_config config;
    struct disk_file *lock;
    struct transport_server *transport;
    struct server_log **logs;
    size_t log_count;
    size_t log_cap;
    struct buf head;     /* of the message being sent */
    uint64_t garbled;    /* messages that nobody can answer, since the last complaint */
    uint64_t complained; /* when, in ns; 0: never */
};

/* --- answers --- */

static void server_send(struct server *s, const struct transport_reply_to *to,
                        const struct wire_msg *msg)
{
    size_t size = wire_head_size(msg);

    buf_clear(&s->head);
    wire_encode_head(msg, buf_reserve(&s->head, size));
    transport_server_reply(s->transport, to, buf_head(&s->head), size, msg->data, msg->data_size);
}

static void server_reply_cb(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    struct server_log *l = ctx;
    struct transport_reply_to where = {to.link};

    server_send(l->server, &where, msg);
}

/* A refusal that no acceptor can send, because there is none. */
static void server_refuse(struct server *s, const struct transport_reply_to *to,
                          const struct wire_msg *msg, enum wire_refusal code, const char *reason)
{
    struct wire_msg reply = wire_refuse(msg, (struct term){0}, (struct conf_id){0}, code, reason);

    memcpy(reply.cluster_id, s->config.cluster_id, sizeof reply.cluster_id);
    server_send(s, to, &reply);
}

/* --- logs --- */

static struct server_log *server_find(const struct server *s, uint64_t log_id)
{
    for (size_t i = 0; i < s->log_count; i++) {
        if (s->logs[i]->id == log_id) {
            return s->logs[i];
        }
    }
    return NULL;
}

static void server_log_close(struct server_log *l)
{
    acceptor_destroy(l->acceptor);
    store_close(l->store);
    free(l);
}

static int server_log_open_parts(struct server *s, struct server_log *l)
{
    char folder[DISK_PATH_BYTES];
    struct store_config store = {
        .disk = s->config.disk,
        .folder = folder,
        .node_id = s->config.node_id,
        .log_id = l->id,
        .segment_bytes = s->config.segment_bytes,
        .reserve_bytes = s->config.reserve_bytes,
        .spare_thread = true,
        .pack_percent = s->config.pack_bytes_per_s > 0 ? SERVER_PACK_PERCENT : 0,
        .pack_thread = true,
        .pack_bytes_per_s = s->config.pack_bytes_per_s,
    };
    struct acceptor_config acceptor = {
        .log_id = l->id,
        .node_id = s->config.node_id,
        .lease_ms = s->config.lease_ms,
        .read_max_bytes = s->config.message_max_bytes - WIRE_OVERHEAD_MAX,
    };
    struct acceptor_events events = {.reply = server_reply_cb};

    memcpy(store.cluster_id, s->config.cluster_id, sizeof store.cluster_id);
    memcpy(acceptor.cluster_id, s->config.cluster_id, sizeof acceptor.cluster_id);
    random_bytes(acceptor.disk.bytes, sizeof acceptor.disk.bytes);
    int rc = node_dir_log_path(folder, s->config.data_dir, l->id);
    if (rc == ERR_OK) {
        rc = store_open(&store, &l->store);
    }
    if (rc == ERR_OK) {
        rc = acceptor_create(store_storage(l->store), &acceptor, &events, l, clock_now_ns(),
                             &l->acceptor);
        if (rc != ERR_OK) {
            log_error("%s: the log's votes: %s", folder, err_text(rc));
            store_close(l->store);
            l->store = NULL;
        }
    }
    scrub_init(&l->scrub, &s->config.scrub, clock_now_ns());
    pack_pace_init(&l->pack, s->config.pack_bytes_per_s, clock_now_ns());
    return rc;
}

/* Opens a log, or makes it. A damaged one is taken into the list too, so that it is known and not
 * served. */
static int server_log_open(struct server *s, uint64_t log_id, struct server_log **out)
{
    struct server_log *l = mem_calloc(1, sizeof *l);

    l->server = s;
    l->id = log_id;
    int rc = server_log_open_parts(s, l);
    if (rc != ERR_OK && rc != ERR_CORRUPT) {
        server_log_close(l);
        return rc;
    }
    if (s->log_count == s->log_cap) {
        s->log_cap = s->log_cap > 0 ? s->log_cap * 2 : 8;
        s->logs = mem_realloc(s->logs, s->log_cap * sizeof(struct server_log *));
    }
    s->logs[s->log_count++] = l;
    *out = l;
    return ERR_OK;
}

/* A proposer greets a log that is not here. NULL: it was refused. */
static struct server_log *server_log_create(struct server *s, const struct wire_msg *msg,
                                            const struct transport_reply_to *from)
{
    struct server_log *l = NULL;

    if (msg->type != WIRE_HELLO) {
        server_refuse(s, from, msg, WIRE_REFUSED_LOG, NULL);
    } else if (msg->hello.lease_ms != s->config.lease_ms) {
        server_refuse(s, from, msg, WIRE_REFUSED_LEASE, NULL);
    } else if (s->log_count >= s->config.logs_max) {
        server_refuse(s, from, msg, WIRE_REFUSED_LOG, "this node holds as many logs as it may");
    } else {
        int rc = server_log_open(s, msg->log_id, &l);
        if (rc == ERR_OK) {
            log_info("log %llu begins here, greeted by %s", (unsigned long long)msg->log_id,
                     msg->hello.name);
        } else {
            server_refuse(s, from, msg, rc == ERR_NO_SPACE ? WIRE_REFUSED_SPACE : WIRE_REFUSED_LOG,
                          "the log could not be made; see this node's messages");
        }
    }
    return l;
}

/* --- serving --- */

/* Says that garbled messages come in, but not more often than someone would read it. */
static void server_complain(struct server *s, uint64_t now_ns)
{
    s->garbled++;
    if (s->complained == 0 || now_ns - s->complained >= SERVER_COMPLAIN_S * CLOCK_NS_PER_S) {
        log_warn("%llu garbled messages were dropped", (unsigned long long)s->garbled);
        s->complained = now_ns;
        s->garbled = 0;
    }
}

static void server_say_conf(const struct server *s, const struct server_log *l)
{
    const struct conf *c = acceptor_conf(l->acceptor);
    struct buf names = BUF_INIT;

    for (unsigned i = 0; i < c->now.count; i++) {
        buf_printf(&names, " %s", c->now.members[i].node_id);
    }
    buf_append(&names, "", 1);
    log_info("log %llu: configuration %llu.%llu (%s):%s%s", (unsigned long long)l->id,
             (unsigned long long)c->id.term.n, (unsigned long long)c->id.generation,
             conf_kind_name(conf_kind(c)), (const char *)buf_head(&names),
             conf_find(c, s->config.node_id, acceptor_disk(l->acceptor)) != NULL
                 ? ""
                 : "; this node is not a member");
    buf_release(&names);
}

static int server_serve(struct server *s, const struct transport_request *request)
{
    struct wire_msg msg;

    int rc = wire_decode(request->bytes, request->size, &msg);
    if (rc == ERR_REFUSED) {
        server_refuse(s, &request->from, &msg, WIRE_REFUSED_VERSION, NULL);
        return ERR_OK;
    }
    if (rc != ERR_OK || !wire_is_request(msg.type)) {
        server_complain(s, clock_now_ns());
        return ERR_OK;
    }
    if (memcmp(msg.cluster_id, s->config.cluster_id, sizeof msg.cluster_id) != 0) {
        server_refuse(s, &request->from, &msg, WIRE_REFUSED_CLUSTER, NULL);
        return ERR_OK;
    }
    if (!request->good) {
        transport_server_good(s->transport, &request->from);
    }
    struct server_log *l = server_find(s, msg.log_id);
    if (!l) {
        l = server_log_create(s, &msg, &request->from);
    }
    if (!l) {
        return ERR_OK;
    }
    if (!l->acceptor) {
        server_refuse(s, &request->from, &msg, WIRE_REFUSED_CORRUPT,
                      "the log is damaged here; see this node's messages");
        return ERR_OK;
    }
    l->touched = true;
    struct acceptor_reply_to to = {.link = request->from.connection};
    struct conf_id before = acceptor_conf(l->acceptor)->id;
    rc = acceptor_receive(l->acceptor, clock_now_ns(), &msg, to);
    if (conf_id_compare(acceptor_conf(l->acceptor)->id, before) != 0) {
        server_say_conf(s, l);
    }
    return rc;
}

/* One flush for each log that got something; only now do its acknowledgements leave. */
static int server_flush(struct server *s)
{
    for (size_t i = 0; i < s->log_count; i++) {
        struct server_log *l = s->logs[i];
        if (l->touched) {
            l->touched = false;
            int rc = acceptor_flush(l->acceptor, clock_now_ns());
            if (rc != ERR_OK) {
                return rc;
            }
        }
    }
    return ERR_OK;
}

static int server_tick(struct server *s)
{
    uint64_t now_ns = clock_now_ns();

    for (size_t i = 0; i < s->log_count; i++) {
        struct server_log *l = s->logs[i];
        if (l->acceptor && now_ns >= acceptor_next_tick_ns(l->acceptor)) {
            int rc = acceptor_tick(l->acceptor, now_ns);
            if (rc != ERR_OK) {
                return rc;
            }
        }
    }
    return ERR_OK;
}

/* Whoever led over a connection that has ended is most likely gone. */
static void server_tell_closed(struct server *s)
{
    uint64_t connection;

    while (transport_server_closed(s->transport, &connection)) {
        for (size_t i = 0; i < s->log_count; i++) {
            if (s->logs[i]->acceptor) {
                acceptor_link_closed(s->logs[i]->acceptor, clock_now_ns(), connection);
            }
        }
    }
}

static bool server_is_damaged(const struct server_log *l)
{
    struct storage *storage = store_storage(l->store);
    struct storage_state state;

    storage->ops->state(storage, &state);
    return state.holes.count > 0;
}

/* Looks after the disk: one step for each log at most. */
static int server_scrub(struct server *s)
{
    int rc = ERR_OK;

    for (size_t i = 0; i < s->log_count && rc == ERR_OK; i++) {
        struct server_log *l = s->logs[i];
        struct storage_check what;
        if (l->store && clock_now_ns() >= scrub_next_ns(&l->scrub, server_is_damaged(l))) {
            struct storage *storage = store_storage(l->store);
            rc = storage->ops->check(storage, SCRUB_STEP_BYTES, &what);
            scrub_done(&l->scrub, clock_now_ns(), &what);
        }
    }
    return rc;
}

/* Gives back what the logs take too much of the disk. The work is done by a thread of each store;
 * here it is asked how far it is, and what it has made is put in its place. */
static int server_pack(struct server *s)
{
    int rc = ERR_OK;

    for (size_t i = 0; i < s->log_count && rc == ERR_OK; i++) {
        struct server_log *l = s->logs[i];
        struct storage_pack what;
        if (l->store && clock_now_ns() >= pack_pace_next_ns(&l->pack)) {
            struct storage *storage = store_storage(l->store);
            rc = storage->ops->pack(storage, 0, &what);
            pack_pace_done(&l->pack, clock_now_ns(), &what);
        }
    }
    return rc;
}

/* How long the turn may wait for requests. */
static int server_patience_ms(const struct server *s, int timeout_ms)
{
    uint64_t now_ns = clock_now_ns(), patience_ms = timeout_ms > 0 ? (uint64_t)timeout_ms : 0;

    for (size_t i = 0; i < s->log_count; i++) {
        const struct server_log *l = s->logs[i];
        if (!l->store) {
            continue;
        }
        uint64_t next_ns = scrub_next_ns(&l->scrub, server_is_damaged(l));
        next_ns = pack_pace_next_ns(&l->pack) < next_ns ? pack_pace_next_ns(&l->pack) : next_ns;
        uint64_t left_ms = next_ns > now_ns ? (next_ns - now_ns) / CLOCK_NS_PER_MS + 1 : 0;
        patience_ms = left_ms < patience_ms ? left_ms : patience_ms;
    }
    return (int)patience_ms;
}

int server_turn(struct server *s, int timeout_ms)
{
    struct transport_request request;
    size_t requests = 0, bytes = 0;
    int rc = ERR_OK;

    timeout_ms = server_patience_ms(s, timeout_ms);
    if (transport_server_wait(s->transport, timeout_ms)) {
        while (rc == ERR_OK && requests < SERVER_TURN_REQUESTS_MAX &&
               bytes < SERVER_TURN_BYTES_MAX && transport_server_next(s->transport, &request)) {
            requests++;
            bytes += request.size;
            rc = server_serve(s, &request);
            transport_server_release(s->transport, &request);
        }
    }
    if (rc == ERR_OK) {
        rc = server_flush(s);
    }
    if (rc == ERR_OK) {
        server_tell_closed(s);
        rc = server_tick(s);
    }
    if (rc == ERR_OK) {
        rc = server_scrub(s);
    }
    return rc == ERR_OK ? server_pack(s) : rc;
}

void server_wake(struct server *s)
{
    transport_server_wake(s->transport);
}

uint16_t server_port(const struct server *s)
{
    return transport_server_port(s->transport);
}

/* --- opening --- */

struct server_listing {
    uint64_t *ids;
    size_t count;
};

static void server_listing_cb(void *ctx, uint64_t log_id)
{
    struct server_listing *l = ctx;

    l->ids = mem_realloc(l->ids, (l->count + 1) * sizeof *l->ids);
    l->ids[l->count++] = log_id;
}

static int server_open_logs(struct server *s)
{
    struct server_listing l = {0};
    struct server_log *log;
    struct storage_state state;

    int rc = node_dir_logs(s->config.disk, s->config.data_dir, server_listing_cb, &l);
    for (size_t i = 0; i < l.count && rc == ERR_OK; i++) {
        rc = server_log_open(s, l.ids[i], &log);
        if (rc == ERR_OK && log->store) {
            struct storage *storage = store_storage(log->store);
            storage->ops->state(storage, &state);
            log_info("log %llu: term %llu, offsets %llu to %llu", (unsigned long long)l.ids[i],
                     (unsigned long long)acceptor_term(log->acceptor).n,
                     (unsigned long long)state.begin, (unsigned long long)state.flush_off);
        } else if (rc == ERR_OK) {
            log_error("log %llu is damaged and not served", (unsigned long long)l.ids[i]);
        }
    }
    free(l.ids);
    return rc;
}

int server_open(const struct server_config *config, struct server **out)
{
    struct server *s = mem_calloc(1, sizeof *s);
    struct transport_server_config transport = {
        .address = config->address,
        .message_max_bytes = config->message_max_bytes,
        /* A record that was taken when the limit was higher still has to be handed out. */
        .reply_max_bytes = (size_t)WIRE_DATA_MAX + WIRE_OVERHEAD_MAX,
        .queue_max_bytes = config->queue_max_bytes,
    };

    MUST(config->message_max_bytes >= SERVER_MESSAGE_MIN_BYTES);
    s->config = *config;
    int rc = node_dir_open(config->disk, config->data_dir, config->node_id, config->cluster_id,
                           &s->lock);
    if (rc == ERR_OK) {
        rc = server_open_logs(s);
    }
    if (rc == ERR_OK) {
        rc = transport_server_open(&s->transport, &transport);
    }
    if (rc != ERR_OK) {
        server_close(s);
        return rc;
    }
    *out = s;
    return ERR_OK;
}

void server_close(struct server *s)
{
    if (!s) {
        return;
    }
    if (s->transport) {
        transport_server_close(s->transport);
    }
    for (size_t i = 0; i < s->log_count; i++) {
        server_log_close(s->logs[i]);
    }
    free(s->logs);
    buf_release(&s->head);
    disk_close(s->lock);
    free(s);
}
