/* The snapshot ship against three scripted nodes: what is shipped is published whole or not at all,
 * what is fetched is exactly what was published, whatever the network and the nodes do. */
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

static uint8_t byte_of(uint64_t offset, uint64_t at)
{
    return (uint8_t)(offset * 7 + at * 13 + (at >> 9));
}

static struct snapshot_info make_info(uint64_t offset, uint64_t size)
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

static void publish(struct node *n, const struct snapshot_info *info)
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

static const struct snapshot_info *kept(const struct node *n, uint64_t offset)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->kept[i].offset == offset) {
            return &n->kept[i];
        }
    }
    return NULL;
}

/* ---- the nodes: what an acceptor does, in short ---- */

static struct wire_msg node_latest(const struct node *n, const struct wire_msg *msg)
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

static struct wire_msg node_write(struct node *n, const struct wire_msg *msg)
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

static struct wire_msg node_read(const struct node *n, const struct wire_msg *msg, struct buf *data)
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

static void node_request(void *ctx, unsigned node, const struct wire_msg *msg)
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

static void client_answer(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;
    snapship_receive(w->ship, w->net.now_ns, node, msg);
}

static void client_tick(void *ctx)
{
    struct world *w = ctx;
    snapship_tick(w->ship, w->net.now_ns);
}

static uint64_t client_next_tick(void *ctx)
{
    struct world *w = ctx;
    return snapship_next_tick_ns(w->ship);
}

static bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;
    return net_send(&w->net, node, msg);
}

static bool on_read(void *ctx, uint64_t at, size_t size, struct buf *out)
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

static void on_shipped(void *ctx, int err)
{
    struct world *w = ctx;
    ck_assert_int_eq(w->shipped, 1);
    w->shipped = err;
}

static void on_found(void *ctx, const struct snapshot_info *info)
{
    struct world *w = ctx;
    w->found++;
    w->info = *info;
}

static void on_data(void *ctx, const uint8_t *bytes, size_t size)
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

static void on_fetched(void *ctx, int err)
{
    struct world *w = ctx;
    ck_assert_int_eq(w->fetched, 1);
    w->fetched = err;
}

static void on_repaired(void *ctx, int err)
{
    struct world *w = ctx;
    ck_assert_int_eq(w->repaired, 1);
    w->repaired = err;
}

static void world_open(struct world *w, uint64_t seed)
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

static void world_close(struct world *w)
{
    snapship_destroy(w->ship);
    net_fini(&w->net);
    for (unsigned i = 0; i < NET_NODES; i++) {
        buf_release(&w->nodes[i].bytes);
    }
    buf_release(&w->got);
}

/* Runs until nothing is under way or `ms` have passed. */
static void world_run(struct world *w, uint64_t ms)
{
    uint64_t until = w->net.now_ns + ms * CLOCK_NS_PER_MS;

    while (snapship_active(w->ship) && net_step(&w->net, until)) {
    }
}

/* One repair, from its beginning; how it ended. */
static int world_repair(struct world *w, uint64_t ms)
{
    w->repaired = 1;
    snapship_repair(w->ship, w->net.now_ns, (struct term){TERM}, 800);
    world_run(w, ms);
    return w->repaired;
}

static void world_link(struct world *w, unsigned node, bool up)
{
    w->net.down[node] = !up;
    snapship_link_up(w->ship, w->net.now_ns, node, up);
}

static void world_upload(struct world *w, uint64_t offset, uint64_t size)
{
    w->source = make_info(offset, size);
    snapship_upload(w->ship, w->net.now_ns, (struct term){TERM}, &w->source);
}

static void world_download(struct world *w, uint64_t limit, unsigned node)
{
    buf_clear(&w->got);
    w->found = 0;
    w->fetched = 1;
    snapship_download(w->ship, w->net.now_ns, (struct term){TERM}, limit, node);
    w->room_left = w->room_each;
    snapship_room(w->ship, w->net.now_ns, w->room_each);
}

static void expect_fetched(struct world *w, uint64_t offset, uint64_t size)
{
    ck_assert_int_eq(w->fetched, ERR_OK);
    ck_assert_uint_eq(w->info.offset, offset);
    ck_assert_uint_eq(w->got.len, size);
    for (uint64_t at = 0; at < size; at++) {
        ck_assert_uint_eq(buf_head(&w->got)[at], byte_of(offset, at));
    }
}

static unsigned holders(const struct world *w, uint64_t offset)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NET_NODES; i++) {
        n += kept(&w->nodes[i], offset) != NULL;
    }
    return n;
}

/* An upload reaches all nodes; it is shipped when a quorum has published it, not before. */
START_TEST(uploads_to_all)
{
    static const uint64_t sizes[] = {0, 1, PIECE, PIECE + 1, SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct world w;
        uint64_t done, total;
        world_open(&w, 1);
        world_upload(&w, 700, sizes[i]);
        while (w.shipped == 1 && net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S)) {
        }
        ck_assert_uint_ge(holders(&w, 700), 2);
        ck_assert_int_eq(w.shipped, ERR_OK);
        snapship_progress(w.ship, &done, &total);
        ck_assert(done == sizes[i] || !snapship_active(w.ship));
        world_run(&w, 1000);
        ck_assert(!snapship_active(w.ship));
        ck_assert_uint_eq(holders(&w, 700), 3);
        for (unsigned k = 0; k < NET_NODES; k++) {
            ck_assert_uint_eq(w.nodes[k].begins, 1);
        }
        ck_assert_uint_eq(snapship_next_tick_ns(w.ship), UINT64_MAX);
        world_close(&w);
    }
}
END_TEST

/* One node is not a quorum; the upload waits for another and goes on in the background for the
 * last. */
START_TEST(waits_for_a_quorum)
{
    struct world w;
    world_open(&w, 1);
    world_link(&w, 1, false);
    w.net.silent[2] = true;
    world_upload(&w, 700, SIZE);
    world_run(&w, 5000);
    ck_assert_int_eq(w.shipped, 1);
    ck_assert_uint_eq(holders(&w, 700), 1);
    w.net.silent[2] = false;
    world_run(&w, 2500);
    ck_assert_int_eq(w.shipped, ERR_OK);
    ck_assert(snapship_active(w.ship));
    world_link(&w, 1, true);
    world_run(&w, 1000);
    ck_assert(!snapship_active(w.ship));
    ck_assert_uint_eq(holders(&w, 700), 3);
    world_close(&w);
}
END_TEST

/* What a log is begun with is on all nodes before the log is: whichever is told of it has both. */
START_TEST(founds_on_all)
{
    struct world w;
    world_open(&w, 1);
    world_link(&w, 1, false);
    w.source = make_info(700, SIZE);
    snapship_found(w.ship, w.net.now_ns, (struct term){TERM}, &w.source);
    world_run(&w, 5000);
    ck_assert_int_eq(w.shipped, 1);
    ck_assert_uint_eq(holders(&w, 700), 2);
    world_link(&w, 1, true);
    world_run(&w, 1000);
    ck_assert_int_eq(w.shipped, ERR_OK);
    ck_assert_uint_eq(holders(&w, 700), 3);
    world_close(&w);
}
END_TEST

/* Loss, duplicates and any order: everything is published in the end, and nothing wrong ever. */
START_TEST(uploads_over_a_bad_network)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world w;
        world_open(&w, seed);
        w.net.loss_percent = seed % 25;
        w.net.twice_percent = seed % 40;
        w.net.jitter_ns = seed % 3 * 40 * CLOCK_NS_PER_MS;
        world_upload(&w, 700, SIZE);
        world_run(&w, 600000);
        ck_assert_int_eq(w.shipped, ERR_OK);
        ck_assert(!snapship_active(w.ship));
        ck_assert_uint_eq(holders(&w, 700), 3);
        world_close(&w);
    }
}
END_TEST

/* A link that breaks in the middle goes on where it was; a node that restarted begins again; a node
 * whose disk was full is tried again. */
START_TEST(resumes_uploads)
{
    struct world w;
    world_open(&w, 1);
    w.nodes[2].refuse_space = 3;
    world_upload(&w, 700, SIZE);
    while (w.nodes[0].bytes.len < 10 * PIECE) {
        ck_assert(net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S));
    }
    world_link(&w, 0, false);
    world_link(&w, 1, false);
    world_run(&w, 50);
    w.nodes[1].receiving = false; /* restarted */
    world_link(&w, 0, true);
    world_link(&w, 1, true);
    unsigned asked = w.net.asked[0];
    world_run(&w, 5000);
    ck_assert_int_eq(w.shipped, ERR_OK);
    ck_assert_uint_eq(holders(&w, 700), 3);
    ck_assert_uint_eq(w.nodes[0].begins, 1);
    ck_assert_uint_lt(w.net.asked[0] - asked, 20); /* not all 26 pieces again */
    ck_assert_uint_eq(w.nodes[1].begins, 2);
    world_close(&w);
}
END_TEST

/* When the answer to the publishing is lost, the node is asked, not filled again. */
START_TEST(finds_out_that_it_was_published)
{
    struct world w;
    world_open(&w, 1);
    world_upload(&w, 700, SIZE);
    while (w.nodes[0].commits == 0) {
        ck_assert(net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S));
    }
    world_link(&w, 0, false);
    world_run(&w, 50);
    world_link(&w, 0, true);
    world_run(&w, 5000);
    ck_assert_int_eq(w.shipped, ERR_OK);
    ck_assert(!snapship_active(w.ship));
    ck_assert_uint_eq(w.nodes[0].begins, 1);
    ck_assert_uint_eq(w.nodes[0].commits, 1);
    world_close(&w);
}
END_TEST

/* A higher term, and a source that fails, end the upload; a node that has not promised the term yet
 * is tried again. */
START_TEST(uploads_end)
{
    struct world w;
    world_open(&w, 1);
    w.nodes[1].term.n = TERM + 1;
    world_upload(&w, 700, SIZE);
    world_run(&w, 1000);
    ck_assert_int_eq(w.shipped, ERR_STALE);
    ck_assert(!snapship_active(w.ship));
    world_close(&w);

    world_open(&w, 1);
    w.source_fails = true;
    world_upload(&w, 700, SIZE);
    world_run(&w, 1000);
    ck_assert_int_eq(w.shipped, ERR_IO);
    ck_assert_uint_eq(holders(&w, 700), 0);
    world_close(&w);

    world_open(&w, 1);
    w.nodes[1].term.n = TERM - 1;
    world_upload(&w, 700, SIZE);
    world_run(&w, 1000);
    ck_assert_int_eq(w.shipped, ERR_OK);
    w.nodes[1].term.n = TERM;
    world_run(&w, 1000);
    ck_assert_uint_eq(holders(&w, 700), 3);
    world_close(&w);
}
END_TEST

/* A source that does not want to send yet is asked again by the tick, and nothing else happens. */
START_TEST(waits_for_its_source)
{
    struct world w;
    world_open(&w, 1);
    w.source_waits = true;
    world_upload(&w, 700, SIZE);
    world_run(&w, 5000);
    ck_assert_int_eq(w.shipped, 1);
    ck_assert(snapship_active(w.ship));
    w.source_waits = false;
    snapship_tick(w.ship, w.net.now_ns);
    world_run(&w, 1000);
    ck_assert_int_eq(w.shipped, ERR_OK);
    ck_assert_uint_eq(holders(&w, 700), 3);
    world_close(&w);
}
END_TEST

/* An answer to an earlier upload says nothing about this one. */
START_TEST(ignores_answers_to_an_earlier_upload)
{
    struct world w;
    world_open(&w, 1);
    w.net.silent[0] = w.net.silent[1] = w.net.silent[2] = true;
    world_upload(&w, 700, SIZE);
    world_run(&w, 10);
    world_upload(&w, 700, SIZE + 1);
    struct wire_msg late = {.type = WIRE_SNAP_COMMIT_REPLY,
                            .channel = WIRE_SNAPSHOT,
                            .log_id = 9,
                            .term = {TERM},
                            .session = SESSION};
    late.snap_reply.offset = 700;
    late.snap_reply.next = SIZE;
    for (uint64_t seq = 0; seq < 4; seq++) { /* the first upload's three questions */
        late.seq = 1ull << 62 | seq;
        snapship_receive(w.ship, w.net.now_ns, 0, &late);
        snapship_receive(w.ship, w.net.now_ns, 1, &late);
    }
    ck_assert_int_eq(w.shipped, 1);
    late.seq = 1ull << 62 | 4; /* the second's */
    late.session++;
    snapship_receive(w.ship, w.net.now_ns, 0, &late);
    snapship_receive(w.ship, w.net.now_ns, 1, &late);
    ck_assert_int_eq(w.shipped, 1);
    world_close(&w);
}
END_TEST

/* The newest at or below the limit is found and comes whole, from the preferred node. */
START_TEST(downloads_the_newest)
{
    struct world w;
    struct snapshot_info old = make_info(500, 300), newer = make_info(700, SIZE),
                         newest = make_info(900, 10);
    world_open(&w, 1);
    for (unsigned i = 0; i < NET_NODES; i++) {
        publish(&w.nodes[i], &old);
    }
    publish(&w.nodes[1], &newer);
    publish(&w.nodes[2], &newer);
    publish(&w.nodes[2], &newest);
    w.nodes[1].answer_max = 700; /* shorter answers than asked for */
    world_download(&w, 800, 1);
    world_run(&w, 1000);
    expect_fetched(&w, 700, SIZE);
    ck_assert_uint_eq(w.net.asked[2], 1); /* only asked what it has */
    world_download(&w, UINT64_MAX - 1, 0);
    world_run(&w, 1000);
    expect_fetched(&w, 900, 10);
    world_download(&w, 699, 0);
    world_run(&w, 1000);
    expect_fetched(&w, 500, 300);
    world_download(&w, 499, 0);
    world_run(&w, 1000);
    ck_assert_int_eq(w.fetched, ERR_NOT_FOUND);
    ck_assert_uint_eq(w.found, 0);
    world_close(&w);
}
END_TEST

/* Never more than there is room for. */
START_TEST(respects_the_room)
{
    struct world w;
    struct snapshot_info info = make_info(700, SIZE);
    world_open(&w, 1);
    publish(&w.nodes[0], &info);
    w.room_each = 0;
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    ck_assert_uint_eq(w.found, 1);
    ck_assert_uint_eq(w.got.len, 0);
    ck_assert_uint_le(w.net.asked[0], 5);
    for (size_t room = 1; w.fetched == 1; room = room * 2 % 1021) {
        size_t before = w.got.len;
        w.room_left = room;
        snapship_room(w.ship, w.net.now_ns, room);
        world_run(&w, 1);
        ck_assert_uint_le(w.got.len - before, room);
    }
    expect_fetched(&w, 700, SIZE);
    world_close(&w);
}
END_TEST

START_TEST(downloads_over_a_bad_network)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world w;
        struct snapshot_info info = make_info(700, SIZE);
        world_open(&w, seed);
        publish(&w.nodes[seed % 3], &info);
        publish(&w.nodes[(seed + 1) % 3], &info);
        w.net.loss_percent = seed % 25;
        w.net.twice_percent = seed % 40;
        w.net.jitter_ns = seed % 3 * 40 * CLOCK_NS_PER_MS;
        w.room_each = 100 + seed * 100;
        world_download(&w, 800, 0);
        world_run(&w, 600000);
        expect_fetched(&w, 700, SIZE);
        world_close(&w);
    }
}
END_TEST

/* The node that sends it leaves: another one that has it goes on. One that comes late and has it is
 * asked, too. */
START_TEST(switches_nodes)
{
    struct world w;
    struct snapshot_info info = make_info(700, SIZE);
    world_open(&w, 1);
    publish(&w.nodes[0], &info);
    publish(&w.nodes[2], &info);
    world_link(&w, 2, false);
    world_download(&w, 800, 0);
    while (w.got.len < SIZE / 3) {
        ck_assert(net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S));
    }
    world_link(&w, 2, true);
    world_run(&w, 1);
    world_link(&w, 0, false);
    world_run(&w, 1000);
    expect_fetched(&w, 700, SIZE);
    world_close(&w);
}
END_TEST

/* Wrong bytes are found out at the end; the next download takes them from somebody else, and when
 * nobody else has them, an older snapshot. */
START_TEST(remembers_rot)
{
    struct world w;
    struct snapshot_info info = make_info(700, SIZE), old = make_info(500, 2000);
    world_open(&w, 1);
    for (unsigned i = 0; i < NET_NODES; i++) {
        publish(&w.nodes[i], &old);
    }
    publish(&w.nodes[0], &info);
    publish(&w.nodes[1], &info);
    w.nodes[0].rotten_offset = 700;
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    ck_assert_int_eq(w.fetched, ERR_CORRUPT);
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    expect_fetched(&w, 700, SIZE);

    w.nodes[1].rotten_offset = 700;
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    ck_assert_int_eq(w.fetched, ERR_CORRUPT);
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    expect_fetched(&w, 500, 2000);
    world_close(&w);
}
END_TEST

/* Deleted while it is fetched: that is told, without waiting for a node that is away, and is no
 * damage; another download finds the newer one. A node that found damage is told as such. */
START_TEST(is_deleted_meanwhile)
{
    struct snapshot_info info = make_info(700, SIZE), newer = make_info(750, 2000);

    for (int damaged = 0; damaged < 2; damaged++) {
        struct world w;
        world_open(&w, 1);
        for (unsigned i = 0; i < NET_NODES; i++) {
            publish(&w.nodes[i], &info);
        }
        world_download(&w, 800, 0);
        while (w.got.len < SIZE / 3) {
            ck_assert(net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S));
        }
        if (damaged == 0) {
            world_link(&w, 2, false);
        }
        for (unsigned i = 0; i < NET_NODES; i++) {
            w.nodes[i].kept[0] = newer;
            w.nodes[i].says_damaged = damaged == 1 && i == 1;
        }
        world_run(&w, 3000);
        ck_assert_int_eq(w.fetched, damaged == 1 ? ERR_CORRUPT : ERR_GONE);
        world_download(&w, 800, 0);
        world_run(&w, 1000);
        expect_fetched(&w, 750, 2000);
        world_close(&w);
    }
}
END_TEST

/* Another one took its place at the same offset, and is shorter: what is missing is not asked for
 * for ever, nor of a node that is away; another download finds what is there now. */
START_TEST(is_replaced_meanwhile)
{
    struct snapshot_info info = make_info(700, SIZE), other = make_info(700, SIZE / 2);
    struct world w;

    world_open(&w, 1);
    for (unsigned i = 0; i < NET_NODES; i++) {
        publish(&w.nodes[i], &info);
    }
    world_download(&w, 800, 0);
    while (w.got.len < SIZE / 3) {
        ck_assert(net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S));
    }
    world_link(&w, 2, false);
    for (unsigned i = 0; i < NET_NODES; i++) {
        w.nodes[i].kept[0] = other;
    }
    world_run(&w, 3000);
    ck_assert_int_eq(w.fetched, ERR_GONE);
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    expect_fetched(&w, 700, SIZE / 2);
    world_close(&w);
}
END_TEST

/* Two nodes must have answered before one believes that there is no newer one; a third that is
 * silent is waited for a little, one that is down is not. */
START_TEST(asks_a_quorum)
{
    struct world w;
    struct snapshot_info info = make_info(700, SIZE), old = make_info(500, 2000);
    world_open(&w, 1);
    publish(&w.nodes[0], &old);
    publish(&w.nodes[1], &info);
    w.net.silent[1] = w.net.silent[2] = true;
    world_download(&w, 800, 0);
    world_run(&w, 3000);
    ck_assert_uint_eq(w.found, 0);
    w.net.silent[1] = false;
    uint64_t before = w.net.now_ns;
    world_run(&w, 1000);
    expect_fetched(&w, 700, SIZE);
    ck_assert_uint_ge(w.net.now_ns - before, 100 * CLOCK_NS_PER_MS);
    world_link(&w, 2, false);
    before = w.net.now_ns;
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    expect_fetched(&w, 700, SIZE);
    ck_assert_uint_lt(w.net.now_ns - before, 50 * CLOCK_NS_PER_MS);
    world_close(&w);
}
END_TEST

/* The owner may stop a download from within, and begin another at any time. */
START_TEST(stops_from_within)
{
    struct world w;
    struct snapshot_info info = make_info(700, SIZE);
    world_open(&w, 1);
    publish(&w.nodes[0], &info);
    publish(&w.nodes[1], &info);
    w.stop_at = 5000;
    w.room_each = 777;
    world_download(&w, 800, 0);
    world_run(&w, 1000);
    ck_assert(!snapship_active(w.ship));
    ck_assert_int_eq(w.fetched, 1);
    ck_assert_uint_lt(w.got.len, 6000);
    w.stop_at = 0;
    world_download(&w, 800, 0);
    for (int i = 0; i < 20; i++) {
        net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S);
    }
    world_download(&w, 800, 1);
    world_run(&w, 1000);
    expect_fetched(&w, 700, SIZE);
    world_close(&w);
}
END_TEST

/* A node that lacks the newest snapshot gets it from another, also over a bad network; nodes that
 * are away are left alone. */
START_TEST(repairs)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world w;
        struct snapshot_info info = make_info(700, SIZE), old = make_info(500, 2000);
        world_open(&w, seed);
        publish(&w.nodes[0], &old);
        publish(&w.nodes[1], &info);
        if (seed % 2 == 0) {
            publish(&w.nodes[2], &info);
        }
        w.net.loss_percent = seed % 10;
        w.net.twice_percent = seed % 20;
        ck_assert_int_eq(world_repair(&w, 600000), ERR_OK);
        if (seed == 0) {
            ck_assert_uint_eq(holders(&w, 700), 3);
            ck_assert_uint_eq(w.nodes[2].begins, 0);
        }
        /* a lost answer to the question may leave one out: the next repair finds it */
        for (int i = 0; i < 10 && holders(&w, 700) < 3; i++) {
            (void)world_repair(&w, 600000);
        }
        ck_assert_uint_eq(holders(&w, 700), 3);
        world_close(&w);
    }

    struct world w;
    struct snapshot_info info = make_info(700, SIZE);
    world_open(&w, 1);
    publish(&w.nodes[1], &info);
    world_link(&w, 2, false);
    ck_assert_int_eq(world_repair(&w, 1000), ERR_OK);
    ck_assert_uint_eq(holders(&w, 700), 2);
    world_close(&w);
}
END_TEST

/* A rotten source is not relayed; a node that leaves or restarts in the middle doesn't stop the
 * repair, and gets the snapshot by the next one. */
START_TEST(repairs_give_up)
{
    struct world w;
    struct snapshot_info info = make_info(700, SIZE);
    world_open(&w, 1);
    publish(&w.nodes[1], &info);
    w.nodes[1].rotten_offset = 700;
    ck_assert_int_eq(world_repair(&w, 5000), ERR_CORRUPT);
    ck_assert_uint_eq(holders(&w, 700), 1);
    world_close(&w);

    world_open(&w, 1);
    publish(&w.nodes[1], &info);
    snapship_repair(w.ship, w.net.now_ns, (struct term){TERM}, 800);
    while (w.nodes[0].bytes.len < 5000) {
        ck_assert(net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S));
    }
    world_link(&w, 0, false);
    world_run(&w, 5000);
    ck_assert_int_eq(w.repaired, ERR_OK);
    ck_assert_uint_eq(holders(&w, 700), 2);
    world_close(&w);

    world_open(&w, 1);
    publish(&w.nodes[1], &info);
    snapship_repair(w.ship, w.net.now_ns, (struct term){TERM}, 800);
    while (w.nodes[0].bytes.len < 15000) {
        ck_assert(net_step(&w.net, w.net.now_ns + CLOCK_NS_PER_S));
    }
    w.nodes[0].receiving = false;
    world_run(&w, 5000);
    ck_assert_int_eq(w.repaired, ERR_OK);
    ck_assert_uint_eq(holders(&w, 700), 2);
    ck_assert_int_eq(world_repair(&w, 5000), ERR_OK);
    ck_assert_uint_eq(holders(&w, 700), 3);
    world_close(&w);
}
END_TEST

/* A node that takes nothing does not keep the others from being repaired, nor the next repair from
 * beginning; one that is being given another snapshot is not waited for at all. */
START_TEST(repairs_pass_over_a_node_that_is_stuck)
{
    struct snapshot_info info = make_info(700, SIZE);

    for (int taken = 0; taken < 2; taken++) {
        struct world w;
        world_open(&w, 1);
        publish(&w.nodes[1], &info);
        w.nodes[0].taken = taken == 1;
        w.nodes[0].refuses_all = taken == 0;
        uint64_t before = w.net.now_ns;
        ck_assert_int_eq(world_repair(&w, 60000), ERR_TIMEOUT);
        ck_assert((w.net.now_ns - before < CLOCK_NS_PER_S) == (taken == 1));
        ck_assert(kept(&w.nodes[2], 700) != NULL);
        ck_assert(kept(&w.nodes[0], 700) == NULL);
        w.nodes[0].taken = w.nodes[0].refuses_all = false;
        ck_assert_int_eq(world_repair(&w, 60000), ERR_OK);
        ck_assert_uint_eq(holders(&w, 700), 3);
        world_close(&w);
    }
}
END_TEST

/* A node that keeps another one at that offset lacks nothing: a repair is through with it at once,
 * and an upload tells of it. */
START_TEST(another_is_kept_in_its_place)
{
    struct snapshot_info info = make_info(700, SIZE);
    struct world w;

    world_open(&w, 1);
    publish(&w.nodes[1], &info);
    w.nodes[0].keeps = true;
    uint64_t before = w.net.now_ns;
    ck_assert_int_eq(world_repair(&w, 60000), ERR_OK);
    ck_assert_uint_lt(w.net.now_ns - before, CLOCK_NS_PER_S);
    ck_assert_uint_eq(holders(&w, 700), 2);
    ck_assert_uint_eq(snapship_other(w.ship), 0);

    world_upload(&w, 750, SIZE);
    world_run(&w, 5000);
    ck_assert_int_eq(w.shipped, ERR_OK);
    ck_assert_uint_eq(snapship_other(w.ship), 1);
    ck_assert_uint_eq(snapship_full(w.ship) | snapship_busy(w.ship), 0);
    world_close(&w);
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR(
        "snapship", NULL, NULL, 60, uploads_to_all, waits_for_a_quorum, founds_on_all,
        uploads_over_a_bad_network, resumes_uploads, finds_out_that_it_was_published, uploads_end,
        waits_for_its_source, ignores_answers_to_an_earlier_upload, downloads_the_newest,
        respects_the_room, downloads_over_a_bad_network, switches_nodes, remembers_rot,
        is_deleted_meanwhile, is_replaced_meanwhile, asks_a_quorum, stops_from_within, repairs,
        repairs_give_up, repairs_pass_over_a_node_that_is_stuck, another_is_kept_in_its_place);
}
