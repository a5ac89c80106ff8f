/* The reader against three scripted nodes: it hands out exactly the log's bytes, in order, whatever
 * the network and the nodes do, and says so when it can't. */
#include "logsvc/client/reader.h"

#include "common/buf.h"
#include "common/crc32c.h"
#include "tests/lib/script_net.h"

enum { LOG_FROM = 1000, LOG_TO = 60000, SESSION = 77, TERM = 5 };

/* Two terms: 3 up to 40000, 4 from there on; 5 was won and wrote nothing yet. */
enum { TERM_CHANGE = 40000 };

struct node {
    struct term term;
    uint64_t begin, limit;      /* what it can hand out */
    unsigned record_bytes;      /* how it cut the stream */
    uint64_t rotten_at;         /* a byte that is not what was written; 0: none */
    uint64_t stray_from;        /* from here on it holds bytes of a leader that lost; 0: no */
    uint32_t bad_chain;         /* xor-ed into the chain checksums */
    uint64_t refuse_corrupt_at; /* says CORRUPT for reads at or behind; 0: no */
    bool idle_marks;
};

struct world {
    struct net net;
    struct node nodes[NET_NODES];
    struct reader *reader;
    uint64_t expected; /* the next offset to be handed out */
    size_t room_left;
    size_t room_each; /* granted again whenever it is used up; 0: not by itself */
    bool done;
    int failed;
    struct record record;    /* that the next bytes are of */
    uint64_t asked_bytes;    /* at most, in all */
    unsigned open, open_max; /* questions without an answer */
};

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 131 ^ offset >> 7);
}

static struct log_term term_at(uint64_t offset)
{
    return (struct log_term){offset < TERM_CHANGE ? 3 : 4};
}

static struct history donor_history(void)
{
    struct history h = {0};
    struct replid id;

    memset(id.hex, 'a', sizeof id.hex);
    ck_assert_int_eq(history_append(&h, (struct log_term){3}, 500, &id), ERR_OK);
    ck_assert_int_eq(history_append(&h, (struct log_term){4}, TERM_CHANGE, &id), ERR_OK);
    return h;
}

static uint32_t chain_to(uint64_t offset)
{
    static uint32_t chains[LOG_TO + 1];

    if (chains[LOG_TO] == 0) {
        for (uint64_t o = 0; o < LOG_TO; o++) {
            uint8_t b = byte_at(o);
            chains[o + 1] = crc32c_extend(chains[o], &b, 1);
        }
    }
    return chains[offset];
}

/* The record of a node that begins at offset. */
static uint64_t add_record(const struct node *n, uint64_t begin, struct buf *out)
{
    static uint8_t payload[LOG_TO];
    uint64_t end = begin + n->record_bytes < n->limit ? begin + n->record_bytes : n->limit;
    bool stray = n->stray_from > 0 && begin >= n->stray_from;

    if (begin < TERM_CHANGE && end > TERM_CHANGE) {
        end = TERM_CHANGE;
    }
    for (uint64_t o = begin; o < end; o++) {
        payload[o - begin] = stray ? 'x' : byte_at(o);
    }
    struct record r = {.term = stray ? (struct log_term){3} : term_at(begin),
                       .begin = begin,
                       .len_bytes = (uint32_t)(end - begin),
                       .flags = RECORD_UNIT_END,
                       .payload_crc = crc32c_extend(0, payload, end - begin),
                       .chain_crc =
                           crc32c_extend(chain_to(begin), payload, end - begin) ^ n->bad_chain};
    if (n->rotten_at >= begin && n->rotten_at < end && n->rotten_at > 0) {
        payload[n->rotten_at - begin] ^= 1;
    }
    record_encode_header(&r, buf_reserve(out, RECORD_HEADER_BYTES));
    buf_commit(out, RECORD_HEADER_BYTES);
    buf_append(out, payload, end - begin);
    if (n->idle_marks) {
        struct record idle = {
            .term = r.term, .begin = end, .flags = RECORD_IDLE, .chain_crc = r.chain_crc};
        record_encode_header(&idle, buf_reserve(out, RECORD_HEADER_BYTES));
        buf_commit(out, RECORD_HEADER_BYTES);
    }
    return end;
}

/* Where the node's record that holds the byte behind offset begins. */
static uint64_t record_begin(const struct node *n, uint64_t offset)
{
    uint64_t base = offset < TERM_CHANGE ? 0 : TERM_CHANGE;
    return base + (offset - base) / n->record_bytes * n->record_bytes;
}

static void node_request(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;
    struct node *n = &w->nodes[node];
    struct wire_msg reply = wire_reply_to(msg, WIRE_READ_REPLY, n->term, (struct conf_id){0});
    struct buf data = BUF_INIT;
    uint64_t from = msg->read.from;

    w->asked_bytes += msg->read.max_bytes;
    ck_assert_int_eq(msg->type, WIRE_READ);
    ck_assert_int_eq(msg->channel, WIRE_READER);
    if (msg->term.n != 0 && msg->term.n != n->term.n) {
        reply = wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_TERM, NULL);
    } else if (from < n->begin) {
        reply = wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_NOT_FOUND, NULL);
    } else if (n->refuse_corrupt_at > 0 && from >= n->refuse_corrupt_at) {
        reply = wire_refuse(msg, n->term, (struct conf_id){0}, WIRE_REFUSED_CORRUPT, NULL);
    } else {
        uint64_t at = record_begin(n, from);
        while (from < n->limit && at < n->limit &&
               (data.len == 0 || data.len + n->record_bytes < msg->read.max_bytes)) {
            at = add_record(n, at, &data);
        }
        reply.read_reply.from = from;
        reply.data = buf_head(&data);
        reply.data_size = data.len;
    }
    net_answer(&w->net, node, &reply);
    buf_release(&data);
}

static void client_answer(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;
    w->open--;
    reader_receive(w->reader, w->net.now_ns, node, msg);
}

static void client_tick(void *ctx)
{
    struct world *w = ctx;
    reader_tick(w->reader, w->net.now_ns);
}

static uint64_t client_next_tick(void *ctx)
{
    struct world *w = ctx;
    return reader_next_tick_ns(w->reader);
}

static bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct world *w = ctx;

    w->open++;
    w->open_max = w->open > w->open_max ? w->open : w->open_max;
    return net_send(&w->net, node, msg);
}

/* Every byte that is handed out is of the record that was told of before. */
static void on_record(void *ctx, const struct record *rec)
{
    ((struct world *)ctx)->record = *rec;
}

static void on_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct world *w = ctx;
    ck_assert(w->record.begin <= offset && record_end(&w->record) >= offset + size);

    ck_assert_uint_eq(offset, w->expected);
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_le(size, w->room_left);
    for (size_t i = 0; i < size; i++) {
        ck_assert_msg(bytes[i] == byte_at(offset + i), "wrong byte at %llu",
                      (unsigned long long)(offset + i));
    }
    w->expected += size;
    w->room_left -= size;
    if (w->room_left == 0 && w->room_each > 0) {
        w->room_left = w->room_each;
        reader_room(w->reader, w->net.now_ns, w->room_each);
    }
}

static void on_done(void *ctx)
{
    struct world *w = ctx;
    ck_assert(!w->done && w->failed == 0);
    w->done = true;
}

static void on_failed(void *ctx, int err)
{
    struct world *w = ctx;
    ck_assert(!w->done && w->failed == 0);
    w->failed = err;
}

static void world_open_ahead(struct world *w, uint64_t seed, unsigned ahead_max)
{
    struct reader_config config = {.log_id = 9,
                                   .node_count = NET_NODES,
                                   .session = SESSION,
                                   .read_max_bytes = 4096,
                                   .inflight_max = 4,
                                   .ahead_max = ahead_max,
                                   .timeout_ms = 100,
                                   .retry_ms = 10};
    struct reader_events events = {.send = on_send,
                                   .record = on_record,
                                   .data = on_data,
                                   .done = on_done,
                                   .failed = on_failed};

    memset(w, 0, sizeof *w);
    net_init(&w->net, seed);
    w->net.request = node_request;
    w->net.answer = client_answer;
    w->net.tick = client_tick;
    w->net.next_tick_ns = client_next_tick;
    w->net.ctx = w;
    for (unsigned i = 0; i < NET_NODES; i++) {
        w->nodes[i] = (struct node){.term = {TERM}, .limit = LOG_TO, .record_bytes = 100 + 77 * i};
    }
    w->reader = reader_create(&config, &events, w);
    for (unsigned i = 0; i < NET_NODES; i++) {
        reader_link_up(w->reader, w->net.now_ns, i, true);
    }
    w->room_each = 1 << 20;
}

static void world_open(struct world *w, uint64_t seed)
{
    world_open_ahead(w, seed, 0);
}

static void world_start(struct world *w, uint64_t from, uint64_t to)
{
    struct history history = donor_history();
    struct reader_range range = {.from = from,
                                 .to = to,
                                 .term = {TERM},
                                 .history = &history,
                                 .chain_known = true,
                                 .chain_crc = chain_to(from)};

    w->expected = from;
    reader_start(w->reader, w->net.now_ns, &range);
    w->room_left = w->room_each;
    reader_room(w->reader, w->net.now_ns, w->room_each);
}

/* Runs until the reading has ended or `ms` have passed. */
static void world_run(struct world *w, uint64_t ms)
{
    uint64_t until = w->net.now_ns + ms * CLOCK_NS_PER_MS;

    while (!w->done && w->failed == 0 && net_step(&w->net, until)) {
    }
}

static void world_close(struct world *w)
{
    reader_destroy(w->reader);
    net_fini(&w->net);
}

static void expect_done(struct world *w, uint64_t to)
{
    ck_assert_int_eq(w->failed, 0);
    ck_assert(w->done);
    ck_assert_uint_eq(w->expected, to);
}

/* The whole stretch comes in order from the preferred node, and the chain's end is known. */
START_TEST(reads_everything_in_order)
{
    struct world w;
    struct reader_progress p;
    world_open(&w, 1);
    w.nodes[0].idle_marks = true;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    expect_done(&w, LOG_TO);
    ck_assert_uint_eq(w.net.asked[1] + w.net.asked[2], 0);
    reader_progress(w.reader, &p);
    ck_assert_int_eq(p.state, READER_DONE);
    ck_assert_uint_eq(p.offset, LOG_TO);
    ck_assert_uint_eq(p.chain_crc, chain_to(LOG_TO));
    ck_assert_uint_eq(reader_next_tick_ns(w.reader), UINT64_MAX);
    world_close(&w);
}
END_TEST

/* Any begin inside a record and any end will do, known chain or not. */
START_TEST(cuts_at_any_offset)
{
    static const uint64_t cuts[][2] = {{1000, 1000},   {1000, 1001},   {1051, 1099},
                                       {39999, 40001}, {40000, 40100}, {1234, 56789}};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        for (int known = 0; known < 2; known++) {
            struct world w;
            world_open(&w, i);
            struct history history = donor_history();
            struct reader_range range = {.from = cuts[i][0],
                                         .to = cuts[i][1],
                                         .term = {TERM},
                                         .history = &history,
                                         .chain_known = known,
                                         .chain_crc = chain_to(cuts[i][0])};
            w.expected = cuts[i][0];
            reader_start(w.reader, w.net.now_ns, &range);
            w.room_left = w.room_each;
            if (!w.done) {
                reader_room(w.reader, w.net.now_ns, w.room_each);
            }
            world_run(&w, 1000);
            expect_done(&w, cuts[i][1]);
            world_close(&w);
        }
    }
}
END_TEST

/* Never more than there is room for; nothing moves without room; memory stays at the pieces. */
START_TEST(respects_the_room)
{
    struct world w;
    world_open(&w, 1);
    w.room_each = 0;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    ck_assert_uint_eq(w.expected, LOG_FROM);
    ck_assert_uint_eq(w.net.asked[0], 4); /* the pieces ahead, no more */
    uint64_t before = w.expected;
    for (size_t room = 1; !w.done; room = room * 2 % 1021) {
        w.room_left = room;
        reader_room(w.reader, w.net.now_ns, room);
        world_run(&w, 1);
        ck_assert_uint_le(w.expected - before, room);
        before = w.expected;
    }
    expect_done(&w, LOG_TO);
    world_close(&w);
}
END_TEST

/* Loss, duplicates and any order, many times over. */
START_TEST(survives_a_bad_network)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world w;
        world_open(&w, seed);
        w.net.loss_percent = seed % 30;
        w.net.twice_percent = seed % 40;
        w.net.jitter_ns = seed % 3 * 60 * CLOCK_NS_PER_MS;
        w.room_each = 50 + seed * 100;
        world_start(&w, LOG_FROM, LOG_TO);
        world_run(&w, 600000);
        expect_done(&w, LOG_TO);
        world_close(&w);
    }
}
END_TEST

/* A node that falls silent, and one whose link breaks, are given up for another; after its return
 * it may be asked again. */
START_TEST(switches_nodes)
{
    struct world w;
    struct reader_progress p;
    world_open(&w, 1);
    w.room_each = 0;
    world_start(&w, LOG_FROM, LOG_TO);
    w.net.silent[0] = true;
    w.room_left = 10000;
    reader_room(w.reader, w.net.now_ns, 10000);
    world_run(&w, 300);
    ck_assert_uint_eq(w.expected, LOG_FROM + 10000);
    reader_progress(w.reader, &p);
    ck_assert_uint_eq(p.node, 1);
    ck_assert_uint_ge(p.switches, 1);

    w.net.down[1] = true;
    reader_link_up(w.reader, w.net.now_ns, 1, false);
    w.room_left = 20000;
    reader_room(w.reader, w.net.now_ns, 20000);
    world_run(&w, 300);
    ck_assert_uint_eq(w.expected, LOG_FROM + 30000);
    reader_progress(w.reader, &p);
    ck_assert_uint_eq(p.node, 2);

    w.net.down[2] = true;
    reader_link_up(w.reader, w.net.now_ns, 2, false);
    w.room_left = w.room_each = 1 << 20;
    reader_room(w.reader, w.net.now_ns, w.room_left);
    world_run(&w, 300);
    ck_assert(!w.done);
    w.net.down[1] = false;
    reader_link_up(w.reader, w.net.now_ns, 1, true);
    world_run(&w, 300);
    expect_done(&w, LOG_TO);
    world_close(&w);
}
END_TEST

/* With one node left, a lost answer is asked for again. */
START_TEST(goes_on_with_one_node)
{
    struct world w;
    world_open(&w, 3);
    for (unsigned i = 1; i < NET_NODES; i++) {
        w.net.down[i] = true;
        reader_link_up(w.reader, w.net.now_ns, i, false);
    }
    w.net.loss_percent = 10;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 60000);
    expect_done(&w, LOG_TO);
    world_close(&w);
}
END_TEST

/* A node whose log begins later is passed over; when a quorum's does, that is the answer. */
START_TEST(asks_for_a_newer_snapshot)
{
    struct world w;
    world_open(&w, 1);
    w.nodes[0].begin = LOG_FROM + 500;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    expect_done(&w, LOG_TO);
    world_close(&w);

    world_open(&w, 1);
    w.nodes[0].begin = w.nodes[2].begin = LOG_FROM + 1;
    w.net.silent[1] = true;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 5000);
    ck_assert_int_eq(w.failed, ERR_NOT_FOUND);
    ck_assert_uint_eq(w.expected, LOG_FROM);
    world_close(&w);
}
END_TEST

/* A higher term ends the reading; a node that has not promised ours yet is asked again later. */
START_TEST(is_fenced_by_term)
{
    struct world w;
    world_open(&w, 1);
    w.nodes[0].term.n = TERM - 1;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    expect_done(&w, LOG_TO);
    world_close(&w);

    world_open(&w, 1);
    w.nodes[0].term.n = TERM + 1;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    ck_assert_int_eq(w.failed, ERR_STALE);
    world_close(&w);
}
END_TEST

/* Rotten bytes, a node that says so itself, and a broken chain are never handed out; another node
 * has them. When all are rotten at the same place, everything before it was handed out. */
START_TEST(passes_over_rot)
{
    struct world w;
    struct reader_progress p;
    world_open(&w, 1);
    w.nodes[0].rotten_at = 20050;
    w.nodes[1].refuse_corrupt_at = 25000;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 5000);
    expect_done(&w, LOG_TO);
    reader_progress(w.reader, &p);
    ck_assert_uint_ge(p.switches, 2);
    world_close(&w);

    /* Where the chain isn't known yet, the payload's own checksum finds it. */
    struct reader_range range = {.from = LOG_FROM, .to = LOG_TO};
    world_open(&w, 1);
    w.nodes[0].rotten_at = LOG_FROM;
    w.expected = LOG_FROM;
    reader_start(w.reader, w.net.now_ns, &range);
    w.room_left = w.room_each;
    reader_room(w.reader, w.net.now_ns, w.room_each);
    world_run(&w, 5000);
    expect_done(&w, LOG_TO);
    world_close(&w);

    world_open(&w, 1);
    w.nodes[0].bad_chain = 1;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 5000);
    expect_done(&w, LOG_TO);
    ck_assert_uint_ge(w.net.asked[1], 1);
    world_close(&w);

    world_open(&w, 1);
    for (unsigned i = 0; i < NET_NODES; i++) {
        w.nodes[i].rotten_at = 20050;
    }
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 5000);
    ck_assert_int_eq(w.failed, ERR_CORRUPT);
    ck_assert_uint_le(w.expected, 20050);
    ck_assert_uint_gt(w.expected, 20050 - 400);
    world_close(&w);
}
END_TEST

/* A node that holds the bytes of a leader who lost, well-formed in themselves, is found out by the
 * term of its records. */
START_TEST(passes_over_a_diverged_node)
{
    struct world w;
    world_open(&w, 1);
    w.nodes[0].stray_from = TERM_CHANGE + 1000;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 5000);
    expect_done(&w, LOG_TO);
    ck_assert_uint_ge(w.net.asked[1], 1);
    world_close(&w);
}
END_TEST

/* A node that is behind is asked again until it has caught up, without running hot. */
START_TEST(waits_for_what_is_not_there_yet)
{
    struct world w;
    world_open(&w, 1);
    for (unsigned i = 0; i < NET_NODES; i++) {
        w.nodes[i].limit = 30000;
    }
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    ck_assert(!w.done && w.failed == 0);
    ck_assert_uint_eq(w.expected, 30000);
    ck_assert_uint_lt(w.net.asked[0] + w.net.asked[1] + w.net.asked[2], 2000);
    w.nodes[2].limit = LOG_TO;
    world_run(&w, 1000);
    expect_done(&w, LOG_TO);
    world_close(&w);
}
END_TEST

/* Without room it fetches ahead, so much and no more, with few questions at a time; when there is
 * room, what was fetched needs no node any more, and the rest follows. */
START_TEST(fetches_ahead)
{
    struct world w;
    world_open_ahead(&w, 1, 8);
    w.room_each = 0;
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    ck_assert(!w.done && w.failed == 0);
    ck_assert_uint_eq(w.expected, LOG_FROM);
    ck_assert_uint_eq(w.net.asked[0], 8);
    ck_assert_uint_le(w.open_max, 4);
    for (unsigned i = 0; i < NET_NODES; i++) {
        w.net.silent[i] = true;
    }
    w.room_each = w.room_left = LOG_TO;
    reader_room(w.reader, w.net.now_ns, LOG_TO);
    /* The first answers were asked for before it was known how little of the log fits in one. */
    ck_assert_uint_gt(w.expected, LOG_FROM + 2000);
    for (unsigned i = 0; i < NET_NODES; i++) {
        w.net.silent[i] = false;
    }
    world_run(&w, 5000);
    expect_done(&w, LOG_TO);
    world_close(&w);
}
END_TEST

/* A log that grows little by little while there is no room does not fill the places with next to
 * nothing: beyond the first few only whole pieces are fetched. */
START_TEST(fetches_whole_pieces_ahead)
{
    struct world w;
    world_open_ahead(&w, 1, 8);
    w.room_each = 0;
    world_start(&w, LOG_FROM, LOG_FROM + 20);
    for (uint64_t to = LOG_FROM + 40; to <= LOG_TO; to += 20) {
        reader_extend(w.reader, w.net.now_ns, to);
        world_run(&w, 2);
    }
    world_run(&w, 1000);
    ck_assert_uint_eq(w.expected, LOG_FROM);
    ck_assert_uint_le(w.net.asked[0], 8);
    for (unsigned i = 0; i < NET_NODES; i++) {
        w.net.silent[i] = true;
    }
    w.room_each = w.room_left = LOG_TO;
    reader_room(w.reader, w.net.now_ns, LOG_TO);
    ck_assert_uint_gt(w.expected, LOG_FROM + 2000);
    for (unsigned i = 0; i < NET_NODES; i++) {
        w.net.silent[i] = false;
    }
    reader_extend(w.reader, w.net.now_ns, LOG_TO);
    world_run(&w, 5000);
    expect_done(&w, LOG_TO);
    world_close(&w);
}
END_TEST

/* Records take a good part of each answer: pieces are made as large as answers are, so next to
 * nothing is asked for twice; and at the end, or for a little, no more than that. */
START_TEST(asks_for_what_it_needs)
{
    struct world w;
    world_open(&w, 1);
    w.nodes[0].record_bytes = 60; /* and as much again of header */
    world_start(&w, LOG_FROM, LOG_TO);
    world_run(&w, 1000);
    expect_done(&w, LOG_TO);
    uint64_t stored = (LOG_TO - LOG_FROM) / 60 * (60 + RECORD_HEADER_BYTES);
    ck_assert_uint_le(w.asked_bytes, stored + stored / 3);
    ck_assert_uint_le(w.net.asked[0], stored / 4096 * 5 / 4 + 8);
    world_close(&w);

    world_open(&w, 1);
    world_start(&w, LOG_FROM, LOG_FROM + 50);
    world_run(&w, 1000);
    expect_done(&w, LOG_FROM + 50);
    ck_assert_uint_lt(w.asked_bytes, 300);
    world_close(&w);
}
END_TEST

/* Answers of other sessions, channels, logs and clusters, unasked and late ones have no effect. */
START_TEST(ignores_what_is_not_meant_for_it)
{
    struct world w;
    struct reader_progress p;
    world_open(&w, 1);
    w.net.silent[0] = w.net.silent[1] = w.net.silent[2] = true;
    world_start(&w, LOG_FROM, LOG_TO);

    struct buf data = BUF_INIT;
    add_record(&w.nodes[0], LOG_FROM, &data);
    struct wire_msg good = {.type = WIRE_READ_REPLY,
                            .channel = WIRE_READER,
                            .log_id = 9,
                            .term = {TERM},
                            .session = SESSION,
                            .seq = 1,
                            .data = buf_head(&data),
                            .data_size = data.len};
    good.read_reply.from = LOG_FROM;
    for (int i = 0; i < 6; i++) {
        struct wire_msg msg = good;
        unsigned node = i == 5 ? 1 : 0;
        msg.session += i == 0;
        msg.channel = i == 1 ? WIRE_PROPOSER : WIRE_READER;
        msg.log_id += i == 2;
        msg.cluster_id[3] = i == 3;
        msg.seq += i == 4 ? 100 : 0;
        reader_receive(w.reader, w.net.now_ns, node, &msg);
        reader_progress(w.reader, &p);
        ck_assert_uint_eq(p.offset, LOG_FROM);
    }
    reader_receive(w.reader, w.net.now_ns, 0, &good);
    ck_assert_uint_eq(w.expected, LOG_FROM + 100);
    reader_receive(w.reader, w.net.now_ns, 0, &good); /* again: it was answered */
    ck_assert_uint_eq(w.expected, LOG_FROM + 100);
    reader_stop(w.reader);
    good.seq = 2;
    reader_receive(w.reader, w.net.now_ns, 0, &good);
    ck_assert_uint_eq(w.expected, LOG_FROM + 100);
    buf_release(&data);
    world_close(&w);
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR("reader", NULL, NULL, 60, reads_everything_in_order, cuts_at_any_offset,
                        respects_the_room, survives_a_bad_network, switches_nodes,
                        goes_on_with_one_node, asks_for_a_newer_snapshot, is_fenced_by_term,
                        passes_over_rot, passes_over_a_diverged_node,
                        waits_for_what_is_not_there_yet, fetches_ahead, fetches_whole_pieces_ahead,
                        asks_for_what_it_needs, ignores_what_is_not_meant_for_it);
}
