/* A snapship against three scripted nodes, which do what an acceptor does, in short, and an owner
 * who has what is uploaded and checks what is downloaded. For test_snapship.c and
 * test_snap_download.c; each has its own. */
#ifndef TESTS_LIB_SNAPSHIP_CASE_H
#define TESTS_LIB_SNAPSHIP_CASE_H

#include "logsvc/client/snapship.h"

#include "common/crc32c.h"
#include "tests/lib/script_net.h"

enum { SESSION = 33, TERM = 5, PIECE = 1000, SIZE = 25700, KEPT = 4 };

struct node {
    struct term term;
    struct snapshot_info kept[KEPT]; /* published; the bytes follow from the info */
    unsigned count;
    bool receiving;
    uint64_t session;
    struct snapshot_info info;
    struct buf bytes;
    unsigned begins, commits;
    unsigned refuse_space;  /* so many times */
    bool says_damaged;      /* of what it does not have */
    bool refuses_all;       /* that is to be begun */
    bool taken;             /* by an upload of another session */
    bool keeps;             /* another one, verified, at that offset */
    uint64_t rotten_offset; /* flips a bit in what it reads of that snapshot */
    size_t answer_max;      /* shortens the pieces that it hands out */
};

struct world {
    struct net net;
    struct node nodes[NET_NODES];
    struct snapship *ship;
    struct snapshot_info source; /* of an upload */
    bool source_fails, source_waits;
    struct buf got; /* downloaded */
    size_t room_left, room_each;
    unsigned found;
    struct snapshot_info info;
    int shipped, fetched, repaired; /* 1: not yet */
    uint64_t stop_at;               /* stop the download from within, at that many bytes; 0: no */
};

static inline uint8_t byte_of(uint64_t offset, uint64_t at)
{
    return (uint8_t)(offset * 7 + at * 13 + (at >> 9));
}

static inline struct snapshot_info make_info(uint64_t offset, uint64_t size)
{
    struct snapshot_info info = {.offset = offset, .term = {3}, .size_bytes = size, .wall_ms = 1};

    memset(info.replid.hex, 'r', sizeof info.replid.hex);
    memcpy(info.engine_version, "7.0.15", 7);
    for (uint64_t at = 0; at < size; at++) {
        uint8_t b = byte_of(offset, at);
        info.crc = crc32c_extend(info.crc, &b, 1);
    }
    return info;
}

static inline void publish(struct node *n, const struct snapshot_info *info)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->kept[i].offset == info->offset) {
            n->kept[i] = *info;
            return;
        }
    }
    ck_assert_uint_lt(n->count, KEPT);
    n->kept[n->count++] = *info;
}

static inline const struct snapshot_info *kept(const struct node *n, uint64_t offset)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->kept[i].offset == offset) {
            return &n->kept[i];
        }
    }
    return NULL;
}

/* ---- the nodes: what an acceptor does, in short ---- */

static inline struct wire_msg node_latest(const struct node *n, const struct wire_msg *msg)
{
    struct wire_msg reply =
        wire_reply_to(msg, WIRE_SNAP_LATEST_REPLY, n->term, (struct conf_id){0});

    for (unsigned i = 0; i < n->count; i++) {
        if (n->kept[i].offset <= msg->snap_latest.limit &&
            (!reply.snap_latest_reply.found ||
             n->kept[i].offset > reply.snap_latest_reply.info.offset)) {
            reply.snap_latest_reply.found = true;
            reply.snap_latest_reply.info = n->kept[i];
        }
    }
    return reply;
}

static inline struct wire_msg node_write(struct node *n, const struct wire_msg *msg)
{
    enum wire_type type = (enum wire_type)(msg->type + 1);
    uint64_t offset = msg->type == WIRE_SNAP_WRITE    ? msg->snap_write.offset
                      : msg->type == WIRE_SNAP_COMMIT ? msg->snap_commit.offset
                                                      : msg->snap_begin.info.offset;

    if (msg->term.n != n->term.n) {
        return wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_TERM, NULL);
    }
    if (msg->type == WIRE_SNAP_BEGIN) {
        if (n->refuse_space > 0) {
            n->refuse_space--;
            return wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_SPACE, NULL);
        }
        if (n->keeps) {
            return wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_NEEDED, NULL);
        }
        if (n->taken || n->refuses_all) {
            return wire_refuse(msg, n->term, (struct conf_id){0},
                               n->taken ? WIRE_REFUSED_SESSION : WIRE_REFUSED_BAD, NULL);
        }
        n->begins++;
        n->receiving = true;
        n->session = msg->session;
        n->info = msg->snap_begin.info;
        buf_clear(&n->bytes);
    } else if (!n->receiving || n->session != msg->session || n->info.offset != offset) {
        return wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_SESSION, NULL);
    }
    if (msg->type == WIRE_SNAP_WRITE && msg->snap_write.at == n->bytes.len) {
        buf_append(&n->bytes, msg->data, msg->data_size);
    }
    if (msg->type == WIRE_SNAP_COMMIT) {
        n->receiving = false;
        if (n->bytes.len != n->info.size_bytes ||
            crc32c_extend(0, buf_head(&n->bytes), n->bytes.len) != n->info.crc) {
            return wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_CORRUPT, NULL);
        }
        n->commits++;
        publish(n, &n->info);
    }
    struct wire_msg reply = wire_reply_to(msg, type, n->term, (struct conf_id){0});
    reply.snap_reply.offset = offset;
    reply.snap_reply.next = n->bytes.len;
    return reply;
}

static inline struct wire_msg node_read(const struct node *n, const struct wire_msg *msg,
                                        struct buf *data)
{
    const struct snapshot_info *info = kept(n, msg->snap_read.offset);
    struct wire_msg reply = wire_reply_to(msg, WIRE_SNAP_READ_REPLY, n->term, (struct conf_id){0});

    if (info == NULL) {
        return wire_refuse(msg, n->term, (struct conf_id){0},
                           n->says_damaged ? WIRE_REFUSED_CORRUPT : WIRE_REFUSED_NOT_FOUND, NULL);
    }
    uint64_t end = msg->snap_read.at + msg->snap_read.max_bytes;
    end = end < info->size_bytes ? end : info->size_bytes;
    for (uint64_t at = msg->snap_read.at;
         at < end && (n->answer_max == 0 || data->len < n->answer_max); at++) {
        uint8_t b = byte_of(info->offset, at);
        b ^= n->rotten_offset == info->offset && at == info->size_bytes / 2;
        buf_append(data, &b, 1);
    }
    reply.snap_read_reply.offset = info->offset;
    reply.snap_read_reply.at = msg->snap_read.at;
    reply.data = buf_head(data);
    reply.data_size = data->len;
    return reply;
}

static inline void node_request(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;
    struct node *n = &w->nodes[node];
    struct buf data = BUF_INIT;
    struct wire_msg reply;

    ck_assert_int_eq(msg->channel, WIRE_SNAPSHOT);
    ck_assert_uint_le(msg->data_size, PIECE);
    if (msg->type == WIRE_SNAP_LATEST) {
        reply = node_latest(n, msg);
    } else if (msg->type == WIRE_SNAP_READ) {
        reply = node_read(n, msg, &data);
    } else {
        reply = node_write(n, msg);
    }
    net_answer(&w->net, node, &reply);
    buf_release(&data);
}

/* ---- the owner ---- */

static inline void client_answer(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;
    snapship_receive(w->ship, w->net.now_ns, node, msg);
}

static inline void client_tick(void *ctx)
{
    struct world *w = ctx;
    snapship_tick(w->ship, w->net.now_ns);
}

static inline uint64_t client_next_tick(void *ctx)
{
    struct world *w = ctx;
    return snapship_next_tick_ns(w->ship);
}

static inline bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;
    return net_send(&w->net, node, msg);
}

static inline bool on_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    struct world *w = ctx;

    ck_assert_uint_le(at + size, w->source.size_bytes);
    if (w->source_waits) {
        return true; /* without a byte */
    }
    for (size_t i = 0; i < size; i++) {
        uint8_t b = byte_of(w->source.offset, at + i);
        buf_append(out, &b, 1);
    }
    return !w->source_fails;
}

static inline void on_shipped(void *ctx, int err)
{
    struct world *w = ctx;
    ck_assert_int_eq(w->shipped, 1);
    w->shipped = err;
}

static inline void on_found(void *ctx, const struct snapshot_info *info)
{
    struct world *w = ctx;
    w->found++;
    w->info = *info;
}

static inline void on_data(void *ctx, const uint8_t *bytes, size_t size)
{
    struct world *w = ctx;

    ck_assert_uint_eq(w->found, 1);
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_le(size, w->room_left);
    buf_append(&w->got, bytes, size);
    w->room_left -= size;
    if (w->stop_at > 0 && w->got.len >= w->stop_at) {
        snapship_stop(w->ship);
    } else if (w->room_left == 0 && w->room_each > 0) {
        w->room_left = w->room_each;
        snapship_room(w->ship, w->net.now_ns, w->room_each);
    }
}

static inline void on_fetched(void *ctx, int err)
{
    struct world *w = ctx;
    ck_assert_int_eq(w->fetched, 1);
    w->fetched = err;
}

static inline void on_repaired(void *ctx, int err)
{
    struct world *w = ctx;
    ck_assert_int_eq(w->repaired, 1);
    w->repaired = err;
}

static inline void world_open(struct world *w, uint64_t seed)
{
    struct snapship_config config = {.log_id = 9,
                                     .node_count = NET_NODES,
                                     .session = SESSION,
                                     .piece_max_bytes = PIECE,
                                     .inflight_max = 4,
                                     .timeout_ms = 100,
                                     .retry_ms = 10};
    struct snapship_events events = {.send = on_send,
                                     .read = on_read,
                                     .shipped = on_shipped,
                                     .found = on_found,
                                     .data = on_data,
                                     .fetched = on_fetched,
                                     .repaired = on_repaired};

    memset(w, 0, sizeof *w);
    net_init(&w->net, seed);
    w->net.request = node_request;
    w->net.answer = client_answer;
    w->net.tick = client_tick;
    w->net.next_tick_ns = client_next_tick;
    w->net.ctx = w;
    for (unsigned i = 0; i < NET_NODES; i++) {
        w->nodes[i].term.n = TERM;
    }
    w->ship = snapship_create(&config, &events, w);
    for (unsigned i = 0; i < NET_NODES; i++) {
        snapship_link_up(w->ship, w->net.now_ns, i, true);
    }
    w->shipped = w->fetched = w->repaired = 1;
    w->room_each = 1 << 20;
}

static inline void world_close(struct world *w)
{
    snapship_destroy(w->ship);
    net_fini(&w->net);
    for (unsigned i = 0; i < NET_NODES; i++) {
        buf_release(&w->nodes[i].bytes);
    }
    buf_release(&w->got);
}

/* Runs until nothing is under way or `ms` have passed. */
static inline void world_run(struct world *w, uint64_t ms)
{
    uint64_t until = w->net.now_ns + ms * CLOCK_NS_PER_MS;

    while (snapship_active(w->ship) && net_step(&w->net, until)) {
    }
}

/* One repair, from its beginning; how it ended. */
static inline int world_repair(struct world *w, uint64_t ms)
{
    w->repaired = 1;
    snapship_repair(w->ship, w->net.now_ns, (struct term){TERM}, 800);
    world_run(w, ms);
    return w->repaired;
}

static inline void world_link(struct world *w, unsigned node, bool up)
{
    w->net.down[node] = !up;
    snapship_link_up(w->ship, w->net.now_ns, node, up);
}

static inline void world_upload(struct world *w, uint64_t offset, uint64_t size)
{
    w->source = make_info(offset, size);
    snapship_upload(w->ship, w->net.now_ns, (struct term){TERM}, &w->source);
}

static inline void world_download(struct world *w, uint64_t limit, unsigned node)
{
    buf_clear(&w->got);
    w->found = 0;
    w->fetched = 1;
    snapship_download(w->ship, w->net.now_ns, (struct term){TERM}, limit, node);
    w->room_left = w->room_each;
    snapship_room(w->ship, w->net.now_ns, w->room_each);
}

static inline void expect_fetched(struct world *w, uint64_t offset, uint64_t size)
{
    ck_assert_int_eq(w->fetched, ERR_OK);
    ck_assert_uint_eq(w->info.offset, offset);
    ck_assert_uint_eq(w->got.len, size);
    for (uint64_t at = 0; at < size; at++) {
        ck_assert_uint_eq(buf_head(&w->got)[at], byte_of(offset, at));
    }
}

static inline unsigned holders(const struct world *w, uint64_t offset)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NET_NODES; i++) {
        n += kept(&w->nodes[i], offset) != NULL;
    }
    return n;
}

#endif
