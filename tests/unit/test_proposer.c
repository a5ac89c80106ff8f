/* The proposer's rules, one by one (DESIGN §5), against log nodes that are played by the test. */
#include "logsvc/client/proposer.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/mem.h"
#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

enum { NODES = 3, LEASE_MS = 1000, BEAT_MS = 100, END = 500 };
enum { OLD_TERM = 10, TERM = 11 }; /* what the nodes have seen; what is won here */
#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)

static struct proposer *p;
static uint64_t now;
static bool busy[NODES]; /* the link takes nothing */
static unsigned sends_while_busy;
static unsigned refusals;

/* What each node was sent and has not been looked at: oldest first. */
struct box {
    uint8_t *bytes;
    struct wire_msg msg;
};
static struct box boxes[NODES][256];
static unsigned box_count[NODES];

static bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    (void)ctx;
    if (busy[node]) {
        sends_while_busy++;
        return false;
    }
    ck_assert_uint_lt(box_count[node], 256);
    struct box *box = &boxes[node][box_count[node]++];
    size_t size = wire_size(msg);
    box->bytes = mem_alloc(size);
    wire_encode(msg, box->bytes);
    ck_assert_int_eq(wire_decode(box->bytes, size, &box->msg), ERR_OK);
    return true;
}

static uint64_t random_value;

static uint64_t on_random(void *ctx)
{
    (void)ctx;
    return random_value;
}

static void on_refused(void *ctx, unsigned node, enum wire_refusal code, const char *reason)
{
    (void)ctx;
    (void)node;
    (void)code;
    ck_assert_str_ne(reason, "");
    refusals++;
}

static void empty_boxes(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        while (box_count[i] > 0) {
            free(boxes[i][--box_count[i]].bytes);
        }
    }
}

/* The last message that a node was sent, which must be of that type; all before are forgotten. */
static struct wire_msg last(unsigned node, enum wire_type type)
{
    static uint8_t *kept;

    ck_assert_msg(box_count[node] > 0, "node %u was sent nothing", node);
    struct box *box = &boxes[node][box_count[node] - 1];
    struct wire_msg m = box->msg;
    ck_assert_msg(m.type == type, "node %u was sent %s", node, wire_type_name(m.type));
    free(kept);
    kept = box->bytes;
    box_count[node]--;
    while (box_count[node] > 0) {
        free(boxes[node][--box_count[node]].bytes);
    }
    return m;
}

static void create(size_t window_max)
{
    struct proposer_config config = {.cluster_id = {7},
                                     .log_id = 1,
                                     .node_count = NODES,
                                     .lease_ms = LEASE_MS,
                                     .heartbeat_ms = BEAT_MS,
                                     .session = 12345,
                                     .append_max_bytes = 1000,
                                     .append_inflight_max = 2,
                                     .window_max_bytes = window_max,
                                     .mend_bytes_per_s = 10000};
    struct proposer_events events = {.send = on_send, .random = on_random, .refused = on_refused};

    p = proposer_create(&config, &events, NULL);
    for (unsigned i = 0; i < NODES; i++) {
        proposer_link_up(p, now, i, true);
    }
}

static void setup(void)
{
    now = MS(5000);
    refusals = 0;
    memset(busy, 0, sizeof busy);
    create(1 << 20);
}

static void teardown(void)
{
    proposer_destroy(p);
    empty_boxes();
}

static void pass_ms(uint64_t ms)
{
    for (uint64_t end = now + MS(ms); now < end;) {
        now += MS(5);
        if (proposer_next_tick_ns(p) <= now) {
            proposer_tick(p, now);
        }
    }
}

/* --- what nodes say ------------------------------------------------------------------------- */

static struct buf history_buf;

/* An encoded history from pairs, valid until the next call. */
static struct wire_history history_of(const uint64_t *pairs)
{
    struct history h = {0};
    struct replid replid;

    memset(replid.hex, 'r', sizeof replid.hex);
    for (; pairs != NULL && pairs[0] != 0; pairs += 2) {
        ck_assert_int_eq(history_append(&h, (struct log_term){pairs[0]}, pairs[1], &replid),
                         ERR_OK);
    }
    buf_clear(&history_buf);
    history_encode(&h, &history_buf);
    return (struct wire_history){buf_head(&history_buf), history_buf.len};
}
#define PAIRS(...) ((const uint64_t[]){__VA_ARGS__, 0})

static void hear(unsigned node, const struct wire_msg *m)
{
    proposer_receive(p, now, node, m);
}

static struct disk_id disk_of(const char *node_id)
{
    return (struct disk_id){{(uint8_t)node_id[0]}};
}

/* The configuration that the nodes have: a, b and c, of a term long ago. */
static struct wire_conf conf_here(void)
{
    static struct buf bytes;
    struct conf c = {.id = {{3}, 2},
                     .now = {3,
                             {{"a", disk_of("a"), "10.0.0.1:7001"},
                              {"b", disk_of("b"), "10.0.0.2:7001"},
                              {"c", disk_of("c"), "10.0.0.3:7001"}}}};

    buf_clear(&bytes);
    conf_encode(&c, &bytes);
    return (struct wire_conf){buf_head(&bytes), bytes.len};
}

static void greet_on(unsigned node, const char *node_id, struct disk_id disk, uint64_t heard_ns,
                     uint64_t term)
{
    struct wire_msg q = last(node, WIRE_HELLO);
    struct wire_msg m =
        wire_reply_to(&q, WIRE_HELLO_REPLY, (struct term){term}, (struct conf_id){0});

    m.hello_reply.lease_ms = LEASE_MS;
    m.hello_reply.heard_ns = heard_ns;
    m.hello_reply.log.empty = true;
    m.hello_reply.history = history_of(NULL);
    strcpy(m.hello_reply.node_id, node_id);
    m.hello_reply.disk = disk;
    m.hello_reply.conf = conf_here();
    hear(node, &m);
}

static void greet_as(unsigned node, const char *node_id, uint64_t heard_ns, uint64_t term)
{
    greet_on(node, node_id, disk_of(node_id), heard_ns, term);
}

static void greet(unsigned node, uint64_t heard_ns, uint64_t term)
{
    static const char *const ids[] = {"a", "b", "c"};

    greet_as(node, ids[node], heard_ns, term);
}

struct vote {
    uint64_t unit_off, flush_off, uncertain_to, elapsed_ns;
    const uint64_t *pairs;
};

static void grant(unsigned node, struct vote v)
{
    struct wire_msg q = last(node, WIRE_VOTE);
    struct wire_msg m = wire_reply_to(&q, WIRE_VOTE_REPLY, q.term, (struct conf_id){0});

    m.vote_reply.granted = true;
    m.vote_reply.elapsed_ns = v.elapsed_ns;
    m.vote_reply.history = history_of(v.pairs);
    m.vote_reply.log = (struct wire_log){.empty = v.pairs == NULL,
                                         .begin = v.pairs != NULL ? v.pairs[1] : 0,
                                         .flush_off = v.flush_off > 0 ? v.flush_off : v.unit_off,
                                         .unit_off = v.unit_off,
                                         .uncertain_to = v.uncertain_to};
    hear(node, &m);
}

static void deny(unsigned node, uint64_t term)
{
    struct wire_msg q = last(node, WIRE_VOTE);
    struct wire_msg m =
        wire_reply_to(&q, WIRE_VOTE_REPLY, (struct term){term}, (struct conf_id){0});

    m.vote_reply.history = history_of(NULL);
    hear(node, &m);
}

static void accept_elected(unsigned node, uint64_t end)
{
    struct wire_msg q = last(node, WIRE_ELECTED);
    struct wire_msg m = wire_reply_to(&q, WIRE_ELECTED_REPLY, q.term, q.conf);

    m.elected_reply.log = (struct wire_log){.flush_off = end, .unit_off = end};
    hear(node, &m);
}

static void acknowledge(unsigned node, const struct wire_msg *q, uint64_t write, uint64_t unit)
{
    struct wire_msg m = wire_reply_to(q, WIRE_APPEND_REPLY, q->term, q->conf);

    m.append_reply.write_off = write;
    m.append_reply.unit_off = unit;
    hear(node, &m);
}

static void refuse(unsigned node, const struct wire_msg *q, enum wire_refusal code)
{
    struct wire_msg m = wire_refuse(q, q->term, (struct conf_id){0}, code, NULL);
    hear(node, &m);
}

/* Asks all and is told that nobody is heard: votes begin. */
static void to_voting(void)
{
    proposer_campaign(p, now);
    for (unsigned i = 0; i < NODES; i++) {
        greet(i, WIRE_NEVER, OLD_TERM);
    }
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    pass_ms(30); /* the last one to be greeted is asked as well */
}

/* Elected over logs of nothing. */
static void to_elected_empty(void)
{
    to_voting();
    grant(0, (struct vote){.elapsed_ns = WIRE_NEVER});
    grant(1, (struct vote){.elapsed_ns = WIRE_NEVER});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
}

static struct replid replid;

/* Leads an empty log from END; nodes 0 and 1 have acknowledged that. */
static void to_leading_empty(void)
{
    to_elected_empty();
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    accept_elected(1, END);
    empty_boxes();
}

/* Leads a log of terms 1 and 4 that ends at END; node 0 was the donor. */
static void to_leading_old(void)
{
    to_voting();
    grant(0, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100, 4, 300)});
    grant(1, (struct vote){.unit_off = 350, .pairs = PAIRS(1, 100, 4, 300)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    proposer_lead(p, now, END, &replid);
}

static void append(const char *text)
{
    proposer_append(p, text, strlen(text), true, 1);
}

/* --- campaigns ------------------------------------------------------------------------------ */

/* While a majority hears a leader, no term is raised; when it no longer does, it is. */
START_TEST(prevote)
{
    proposer_campaign(p, now);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    for (int i = 0; i < 10; i++) {
        for (unsigned n = 0; n < NODES; n++) {
            ck_assert_uint_eq(boxes[n][0].msg.term.n, 0);
            greet(n, n == 0 ? WIRE_NEVER : MS(300), 6);
        }
        pass_ms(250);
        ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    }
    greet(0, WIRE_NEVER, 6);
    greet(1, MS(LEASE_MS), 6);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    ck_assert_uint_eq(last(0, WIRE_VOTE).term.n, 7);
}
END_TEST

/* One voter is not a majority; a node that answers twice is still one. */
START_TEST(needs_a_majority)
{
    to_voting();
    struct wire_msg q = last(0, WIRE_VOTE);
    struct wire_msg m = wire_reply_to(&q, WIRE_VOTE_REPLY, q.term, (struct conf_id){0});
    m.vote_reply.granted = true;
    m.vote_reply.log.empty = true;
    m.vote_reply.history = history_of(NULL);
    hear(0, &m);
    hear(0, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(2, (struct vote){0});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert(proposer_donor(p)->empty);
}
END_TEST

/* The log's last term comes before its length, and neither is the term voted in. */
START_TEST(donor_by_term_then_offset)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 900, .pairs = PAIRS(1, 100, 3, 300)});
    grant(1, (struct vote){.unit_off = 400, .pairs = PAIRS(1, 100, 4, 350)});
    const struct proposer_donor *d = proposer_donor(p);
    ck_assert(!d->empty);
    ck_assert_uint_eq(d->node, 1);
    ck_assert_uint_eq(d->end.term.n, 4);
    ck_assert_uint_eq(d->end.offset, 400);
    ck_assert_uint_eq(d->history->count, 2);
}
END_TEST

/* A unit that is not whole is no part of the log: the donor's end is a unit's. */
START_TEST(donor_ends_with_a_unit)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 400, .flush_off = 900, .pairs = PAIRS(1, 100)});
    grant(1, (struct vote){.unit_off = 500, .pairs = PAIRS(1, 100)});
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
    ck_assert_uint_eq(proposer_donor(p)->end.offset, 500);
}
END_TEST

/* Who may have lost acknowledged bytes fences, but does not vouch: the others must both answer. */
START_TEST(uncertain_does_not_vouch)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 900, .uncertain_to = 950, .pairs = PAIRS(1, 100)});
    grant(1, (struct vote){.unit_off = 400, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    pass_ms(5000); /* fenced already: it waits for the third */
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(2, (struct vote){.unit_off = 300, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
}
END_TEST

/* A node that lags behind the oldest term that its leader still knew can't be compared with others:
 * it may hold committed bytes that they lack, so it does not vouch either. */
START_TEST(incomparable_does_not_vouch)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 400, .pairs = PAIRS(9, 500)});
    grant(2, (struct vote){.unit_off = 300, .pairs = PAIRS(1, 100, 3, 200)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(1, (struct vote){.unit_off = 500, .pairs = PAIRS(9, 500)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
}
END_TEST

/* An empty node is fed from the log's begin, also if the history has forgotten the terms there. */
START_TEST(empty_node_before_a_trimmed_history)
{
    to_voting();
    struct wire_msg q = last(0, WIRE_VOTE);
    struct wire_msg m = wire_reply_to(&q, WIRE_VOTE_REPLY, q.term, (struct conf_id){0});
    m.vote_reply.granted = true;
    m.vote_reply.history = history_of(PAIRS(7, 400, 9, 500));
    m.vote_reply.log = (struct wire_log){.begin = 100, .flush_off = 600, .unit_off = 600};
    hear(0, &m);
    grant(1, (struct vote){0});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    proposer_lead(p, now, 600, &replid);
    struct wire_msg elected = last(1, WIRE_ELECTED);
    ck_assert(elected.elected.reset);
    ck_assert_uint_eq(elected.elected.start, 100);
}
END_TEST

/* A lost election is tried again with a higher term than any seen. */
START_TEST(denied)
{
    to_voting();
    deny(0, TERM);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    deny(1, 18);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    pass_ms(20);
    for (unsigned i = 0; i < 2; i++) {
        greet(i, WIRE_NEVER, 18);
    }
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    ck_assert_uint_eq(proposer_term(p).n, 19);
}
END_TEST

/* Two addresses of one node would be a majority of one. */
START_TEST(one_node_counts_once)
{
    proposer_campaign(p, now);
    greet_as(0, "a", WIRE_NEVER, 0);
    greet_as(1, "a", WIRE_NEVER, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    ck_assert_uint_eq(refusals, 1);
    struct proposer_node_info info;
    proposer_node(p, 1, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_REFUSED);
    ck_assert_str_ne(info.refusal, "");
    greet_as(2, "b", WIRE_NEVER, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
}
END_TEST

/* A foreign node is named once, and asked again now and then: it may be put right. */
START_TEST(foreign_node_is_named_once)
{
    proposer_campaign(p, now);
    for (int i = 0; i < 3; i++) {
        struct wire_msg q = last(0, WIRE_HELLO);
        struct wire_msg m =
            wire_refuse(&q, (struct term){0}, (struct conf_id){0}, WIRE_REFUSED_CLUSTER, NULL);
        m.cluster_id[0] = 99;
        hear(0, &m);
        pass_ms(2500);
    }
    ck_assert_uint_eq(refusals, 1);
    greet(0, WIRE_NEVER, 0);
    struct proposer_node_info info;
    proposer_node(p, 0, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_GREETED);
    ck_assert_str_eq(info.refusal, "");
}
END_TEST

/* --- leading -------------------------------------------------------------------------------- */

/* Each node is told the start that its own log gives, and nothing else before it has agreed. */
START_TEST(elected_first)
{
    to_leading_old();
    struct wire_msg m = last(0, WIRE_ELECTED);
    ck_assert_uint_eq(m.elected.start, END);
    ck_assert(!m.elected.reset);
    struct history h;
    ck_assert_int_eq(history_decode(m.elected.history.bytes, m.elected.history.size, &h), ERR_OK);
    ck_assert_uint_eq(h.count, 3);
    ck_assert_uint_eq(h.entries[2].term.n, proposer_term(p).n);
    ck_assert_uint_eq(h.entries[2].begin, END);
    m = last(1, WIRE_ELECTED);
    ck_assert_uint_eq(m.elected.start, 350);
    append("hello");
    proposer_flush(p, now);
    ck_assert_uint_eq(box_count[0] + box_count[1], 0);
}
END_TEST

/* What a node had before it followed this leader is no part of this log, however long it is. */
START_TEST(acknowledged_in_this_term)
{
    struct proposer_node_info info;

    to_leading_old();
    proposer_node(p, 0, &info);
    ck_assert(info.member && !info.acked);
    ck_assert_uint_eq(info.flushed, END);
    accept_elected(0, END);
    proposer_node(p, 0, &info);
    ck_assert(info.acked);
    proposer_node(p, 1, &info);
    ck_assert(!info.acked);
}
END_TEST

/* A node that comes late is asked what it has, and an empty one begins where the log begins. */
START_TEST(late_node)
{
    to_leading_old();
    empty_boxes();
    proposer_link_up(p, now, 2, false);
    proposer_link_up(p, now, 2, true);
    ck_assert_uint_eq(boxes[2][0].msg.term.n, proposer_term(p).n);
    greet(2, WIRE_NEVER, 0);
    struct wire_msg m = last(2, WIRE_ELECTED);
    ck_assert(m.elected.reset);
    ck_assert_uint_eq(m.elected.start, 100);
}
END_TEST

/* What has gathered goes out as one record; while the link is busy it goes on gathering. */
START_TEST(appends_gather)
{
    to_leading_empty();
    append("one");
    append("two");
    ck_assert_uint_eq(box_count[0], 0);
    proposer_flush(p, now);
    struct wire_msg m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, END);
    ck_assert_uint_eq(m.data_size, RECORD_HEADER_BYTES + 6);
    ck_assert_mem_eq(m.data + RECORD_HEADER_BYTES, "onetwo", 6);
    busy[0] = busy[1] = true;
    append("3");
    proposer_flush(p, now);
    append("4");
    proposer_flush(p, now);
    append("5");
    proposer_flush(p, now);
    ck_assert_uint_eq(box_count[0], 0);
    busy[0] = false;
    proposer_link_ready(p, now, 0);
    m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, END + 6);
    size_t payload = m.data_size - (m.data_size / RECORD_HEADER_BYTES) * RECORD_HEADER_BYTES;
    ck_assert_uint_eq(payload, 3);
    ck_assert_uint_eq(proposer_end(p), END + 9);
}
END_TEST

/* What is sealed stays a record of its own, with its own wall time, also if it leaves together with
 * others; sealing nothing changes nothing. */
START_TEST(sealed_appends_stay_apart)
{
    struct record first, second;
    const uint8_t *payload;
    size_t whole;

    to_leading_empty();
    proposer_seal(p);
    proposer_append(p, "one", 3, true, 11);
    proposer_seal(p);
    proposer_append(p, "two", 3, true, 22);
    proposer_flush(p, now);
    struct wire_msg m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.data_size, 2 * RECORD_HEADER_BYTES + 6);
    ck_assert_int_eq(wire_record(m.data, m.data_size, &first, &payload, &whole), ERR_OK);
    ck_assert_int_eq(wire_record(m.data + whole, m.data_size - whole, &second, &payload, &whole),
                     ERR_OK);
    ck_assert_uint_eq(first.wall_ms, 11);
    ck_assert_uint_eq(first.len_bytes, 3);
    ck_assert_uint_eq(second.wall_ms, 22);
    ck_assert_mem_eq(payload, "two", 3);
}
END_TEST

/* A vote with a log of a term that was never won is none. */
START_TEST(senseless_vote)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 900, .pairs = PAIRS(1, 100, TERM, 300)});
    grant(1, (struct vote){.unit_off = 400, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(2, (struct vote){.unit_off = 300, .pairs = PAIRS(1, 100)});
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
}
END_TEST

/* No more appends under way to a node than allowed; an acknowledgement makes room. */
START_TEST(inflight_is_bounded)
{
    to_leading_empty();
    for (int i = 0; i < 10; i++) {
        append("x");
        proposer_flush(p, now);
    }
    ck_assert_uint_eq(box_count[0], 2);
    struct wire_msg first = boxes[0][0].msg;
    acknowledge(0, &first, END + 1, END + 1);
    ck_assert_uint_eq(box_count[0], 3);
    struct wire_msg m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, END + 2);
}
END_TEST

/* A majority commits, one node does not; parts of a unit do not. */
START_TEST(commit_by_majority)
{
    to_leading_empty();
    append("hello");
    proposer_flush(p, now);
    struct wire_msg a = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    ck_assert_uint_eq(proposer_commit(p), END); /* the empty beginning */
    acknowledge(0, &a, END + 5, END + 5);
    ck_assert_uint_eq(proposer_commit(p), END);
    acknowledge(1, &b, END + 5, END);
    ck_assert_uint_eq(proposer_commit(p), END);
    acknowledge(1, &b, END + 5, END + 5);
    ck_assert_uint_eq(proposer_commit(p), END + 5);
    append("more");
    proposer_flush(p, now);
    ck_assert_uint_eq(last(0, WIRE_APPEND).append.commit, END + 5);
}
END_TEST

/* Raft's figure 8: bytes of older terms are not committed by counting, however many have them; they
 * are when a majority has reached the begin of this term, without a new byte. */
START_TEST(old_terms_commit_with_ours)
{
    to_leading_old();
    accept_elected(1, 350);
    proposer_link_up(p, now, 2, true);
    greet(2, 0, 0);
    accept_elected(2, 350);
    ck_assert_uint_eq(proposer_commit(p), 0);
    ck_assert(!proposer_may_serve(p, now + MS(5000)));
    accept_elected(0, END);
    ck_assert_uint_eq(proposer_commit(p), 0);
    /* Node 1 is brought there: read from node 0, and sent on as it was written. */
    struct wire_msg q = last(0, WIRE_READ);
    ck_assert_uint_eq(q.read.from, 350);
    ck_assert_uint_eq(q.term.n, proposer_term(p).n);
    uint8_t records[2 * RECORD_HEADER_BYTES + 150] = {0};
    struct record r = {.term = {4}, .begin = 350, .len_bytes = 150, .flags = RECORD_UNIT_END};
    record_encode_header(&r, records);
    struct record idle = {.term = {4}, .begin = END, .flags = RECORD_IDLE};
    record_encode_header(&idle, records + RECORD_HEADER_BYTES + 150);
    struct wire_msg m = wire_reply_to(&q, WIRE_READ_REPLY, q.term, (struct conf_id){0});
    m.data = records;
    m.data_size = sizeof records;
    empty_boxes();
    hear(0, &m);
    unsigned node = box_count[1] > 0 ? 1 : 2;
    m = last(node, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, 350);
    ck_assert_uint_eq(m.data_size, RECORD_HEADER_BYTES + 150); /* without the idle marker */
    ck_assert_mem_eq(m.data, records, m.data_size);
    acknowledge(node, &m, END, END);
    ck_assert_uint_eq(proposer_commit(p), END);
}
END_TEST

/* A message that was lost: go on from what the node has; news of the same loss are old. */
START_TEST(gap_rewinds)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    append("two");
    proposer_flush(p, now);
    struct wire_msg second = last(0, WIRE_APPEND);
    ck_assert_uint_eq(second.append.begin, END + 3);
    struct wire_msg m = wire_reply_to(&second, WIRE_APPEND_REPLY, second.term, (struct conf_id){0});
    m.append_reply.gap = true;
    m.append_reply.write_off = END;
    m.append_reply.unit_off = END;
    hear(0, &m);
    struct wire_msg again = last(0, WIRE_APPEND);
    ck_assert_uint_eq(again.append.begin, END);
    ck_assert_uint_eq(again.data_size, 2 * RECORD_HEADER_BYTES + 6);
    hear(0, &m);
    ck_assert_uint_eq(box_count[0], 0);
    acknowledge(0, &again, END + 6, END + 6);
    append("x");
    proposer_flush(p, now);
    ck_assert_uint_eq(last(0, WIRE_APPEND).append.begin, END + 6);
}
END_TEST

/* A new link is a new session: old answers have no effect, and the node is asked what it has. */
START_TEST(new_link_new_session)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    struct wire_msg a = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    proposer_link_up(p, now, 0, false);
    proposer_link_up(p, now, 0, true);
    struct wire_msg hello = last(0, WIRE_HELLO);
    ck_assert_uint_gt(hello.session, a.session);
    acknowledge(0, &a, END + 3, END + 3);
    acknowledge(1, &b, END + 3, END + 3);
    ck_assert_uint_eq(proposer_commit(p), END);
    struct wire_msg m = wire_reply_to(&hello, WIRE_HELLO_REPLY, a.term, (struct conf_id){0});
    m.hello_reply.lease_ms = LEASE_MS;
    strcpy(m.hello_reply.node_id, "a");
    m.hello_reply.disk = disk_of("a");
    m.hello_reply.log = (struct wire_log){.begin = END, .flush_off = END + 3, .unit_off = END + 3};
    m.hello_reply.history = history_of(PAIRS(proposer_term(p).n, END));
    hear(0, &m);
    ck_assert_uint_eq(last(0, WIRE_ELECTED).elected.start, END + 3);
}
END_TEST

/* Only acknowledgements after Elected count, and only those of the present session, however far
 * they reach. */
START_TEST(what_counts)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    struct wire_msg old = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    proposer_link_up(p, now, 0, true);
    greet(0, 0, TERM);
    struct wire_msg q = boxes[0][0].msg;
    ck_assert_int_eq(q.type, WIRE_ELECTED);
    acknowledge(1, &b, END + 3, END + 3);
    acknowledge(0, &q, END + 3, END + 3); /* this session, but it has not agreed */
    ck_assert_uint_eq(proposer_commit(p), END);
    accept_elected(0, END);
    empty_boxes();
    acknowledge(0, &old, END + 3, END + 3);
    ck_assert_uint_eq(proposer_commit(p), END);
}
END_TEST

/* A node that has restarted refuses appends: it is told anew who leads, at once. */
START_TEST(restarted_node)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    struct wire_msg a = last(0, WIRE_APPEND);
    refuse(0, &a, WIRE_REFUSED_ELECTED);
    ck_assert_uint_gt(last(0, WIRE_HELLO).session, a.session);
    /* What makes no sense there is not repeated in a busy loop. */
    struct wire_msg b = last(1, WIRE_APPEND);
    refuse(1, &b, WIRE_REFUSED_BAD);
    ck_assert_uint_eq(box_count[1], 0);
    pass_ms(200);
    (void)last(1, WIRE_HELLO);
}
END_TEST

/* A node that acknowledged, lost its disk and comes back under a new id: that acknowledgement and
 * another node's are no majority. */
START_TEST(replaced_node)
{
    to_leading_empty();
    append("0123456789");
    proposer_flush(p, now);
    struct wire_msg q = last(1, WIRE_APPEND);
    acknowledge(1, &q, END + 10, END + 10);
    ck_assert_uint_eq(proposer_commit(p), END);

    proposer_link_up(p, now, 1, false);
    empty_boxes();
    proposer_link_up(p, now, 1, true);
    greet_on(1, "b", disk_of("x"), WIRE_NEVER, TERM);
    struct proposer_node_info info;
    proposer_node(p, 1, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_REFUSED);
    ck_assert_ptr_nonnull(strstr(info.refusal, "log node b has an empty disk but was a member"));
    ck_assert_ptr_nonnull(strstr(info.refusal, "holdfast-ctl log replace b NEW"));
    ck_assert_uint_eq(refusals, 1);
    proposer_link_up(p, now, 0, true);
    greet(0, WIRE_NEVER, TERM);
    accept_elected(0, END + 10);
    ck_assert_uint_eq(proposer_commit(p), END);
    proposer_link_up(p, now, 2, true);
    greet(2, WIRE_NEVER, TERM);
    accept_elected(2, END + 10);
    ck_assert_uint_eq(proposer_commit(p), END + 10);
    pass_ms(2100); /* asked again, it is still no member */
    greet_on(1, "b", disk_of("x"), WIRE_NEVER, TERM);
    ck_assert_uint_eq(box_count[1], 0);
}
END_TEST

/* A higher term anywhere ends it, also in a late message of an old session. */
START_TEST(deposed)
{
    to_leading_empty();
    proposer_flush(p, now);
    struct wire_msg q = {.type = WIRE_APPEND, .cluster_id = {7}, .log_id = 1, .term = {TERM}};
    struct wire_msg m =
        wire_refuse(&q, (struct term){19}, (struct conf_id){0}, WIRE_REFUSED_TERM, NULL);
    hear(2, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
    ck_assert(!proposer_may_serve(p, now));
    ck_assert_uint_eq(proposer_lease_end_ns(p), 0);
    append("too late");
    proposer_flush(p, now);
    empty_boxes();
    proposer_campaign(p, now);
    pass_ms(20);
    greet(0, WIRE_NEVER, 19);
    greet(1, WIRE_NEVER, 19);
    ck_assert_uint_eq(proposer_term(p).n, 20);
}
END_TEST

/* The donor has voted and lost the end of its log, and nobody else has it: no leader of that log
 * can ever commit, so a new election must find out what is left. */
START_TEST(donor_lost_its_tail)
{
    to_leading_old();
    accept_elected(1, 350);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING);
    accept_elected(0, 400);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* Who has lost an election waits a random time longer than a lease of silence: candidates that the
 * nodes have heard at the same time would else vote at the same time again and again. */
START_TEST(loser_is_more_patient)
{
    uint64_t shortest = 0;

    to_voting();
    random_value = MS(300);
    deny(0, OLD_TERM + 5);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    pass_ms(310); /* the back-off itself is over */
    for (uint64_t ms = LEASE_MS; shortest == 0 && ms <= 2 * LEASE_MS; ms += 10) {
        pass_ms(20);
        for (unsigned i = 0; i < NODES && proposer_state(p) == PROPOSER_ASKING; i++) {
            if (box_count[i] > 0) {
                greet(i, MS(ms), OLD_TERM + 5);
            }
        }
        shortest = proposer_state(p) == PROPOSER_VOTING ? ms : 0;
    }
    random_value = 0;
    ck_assert_uint_ge(shortest, LEASE_MS + 300);
    ck_assert_uint_le(shortest, LEASE_MS + 320);
}
END_TEST

/* Nobody is deposed by a term that no number of elections could have reached. */
START_TEST(far_terms_depose_nobody)
{
    to_leading_old();
    accept_elected(0, END);
    struct wire_msg q = last(0, WIRE_APPEND);
    struct wire_msg m = wire_reply_to(&q, WIRE_APPEND_REPLY, q.term, q.conf);
    uint64_t term = q.term.n;
    m.term.n = term + TERM_JUMP_MAX + 100;
    hear(0, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING);
    m.term.n = term + 1;
    hear(0, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* The donor never comes back, while a majority is here. */
START_TEST(donor_never_returns)
{
    to_leading_old();
    accept_elected(1, 350);
    proposer_link_up(p, now, 0, false);
    empty_boxes();
    pass_ms(5000);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING); /* no majority: nothing to gain */
    proposer_link_up(p, now, 1, true);
    greet(1, 0, proposer_term(p).n);
    accept_elected(1, 350);
    proposer_link_up(p, now, 2, true);
    greet(2, 0, 0);
    accept_elected(2, 100);
    pass_ms(20);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* Nodes 1 and 2 answer whatever they are sent at 10 Hz, node 0 does not any more. */
static void without_the_donor(unsigned tenths, uint64_t end)
{
    for (unsigned i = 0; i < tenths; i++) {
        for (unsigned node = 1; node < NODES; node++) {
            if (box_count[node] == 0) {
                continue;
            }
            struct wire_msg q = boxes[node][box_count[node] - 1].msg;
            if (q.type == WIRE_HELLO) {
                greet(node, 0, proposer_term(p).n);
            } else if (q.type == WIRE_APPEND) {
                struct wire_msg m = last(node, WIRE_APPEND);
                acknowledge(node, &m, end, end);
            }
        }
        pass_ms(100);
    }
}

/* The donor had accepted the leader, and was gone for good before anybody else had its tail. */
START_TEST(donor_gone_after_elected)
{
    to_leading_old();
    accept_elected(0, END);
    accept_elected(1, 350);
    proposer_link_up(p, now, 2, true);
    greet(2, 0, 0);
    accept_elected(2, 100);
    without_the_donor(20, 350);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING); /* it may come back */
    without_the_donor(20, 350);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* It came back with another disk before that, or unsure of its end. */
START_TEST(donor_lost_before_leading)
{
    for (int unsure = 0; unsure < 2; unsure++) {
        to_voting();
        grant(0, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100, 4, 300)});
        grant(1, (struct vote){.unit_off = 350, .pairs = PAIRS(1, 100, 4, 300)});
        ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
        proposer_link_up(p, now, 0, false);
        empty_boxes();
        proposer_link_up(p, now, 0, true);
        ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
        if (unsure) {
            struct wire_msg q = last(0, WIRE_HELLO);
            struct wire_msg m = wire_reply_to(&q, WIRE_HELLO_REPLY, q.term, (struct conf_id){0});
            m.hello_reply.lease_ms = LEASE_MS;
            m.hello_reply.log = (struct wire_log){
                .begin = 100, .flush_off = END, .unit_off = END, .uncertain_to = END + 1};
            m.hello_reply.history = history_of(PAIRS(1, 100, 4, 300));
            strcpy(m.hello_reply.node_id, "a");
            m.hello_reply.disk = disk_of("a");
            m.hello_reply.conf = conf_here();
            hear(0, &m);
        } else {
            greet_on(0, "a", disk_of("x"), WIRE_NEVER, TERM);
        }
        pass_ms(30);
        ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
        teardown();
        setup();
    }
}
END_TEST

/* Who had no part in the election is asked for its vote afterwards: until it is in our term nothing
 * can be read from it. That changes neither the donor nor what was won. */
START_TEST(vote_after_winning)
{
    to_elected_empty();
    proposer_link_up(p, now, 2, false);
    empty_boxes();
    proposer_link_up(p, now, 2, true);
    greet(2, WIRE_NEVER, OLD_TERM);
    pass_ms(30);
    ck_assert_uint_eq(boxes[2][0].msg.term.n, TERM);
    grant(2, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert(proposer_donor(p)->empty);
    ck_assert_uint_eq(proposer_safe_at_ns(p), 0);
}
END_TEST

/* It was gone before our own Redis had been brought to its end. */
START_TEST(donor_gone_before_leading)
{
    to_voting();
    grant(0, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100, 4, 300)});
    grant(1, (struct vote){.unit_off = 350, .pairs = PAIRS(1, 100, 4, 300)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    empty_boxes();
    without_the_donor(20, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    without_the_donor(20, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* --- leases --------------------------------------------------------------------------------- */

/* The lease counts from when a message was sent, and from one that a majority has answered. */
START_TEST(lease_from_send_time)
{
    to_leading_empty();
    now += MS(BEAT_MS);
    uint64_t sent = now;
    proposer_tick(p, now);
    struct wire_msg a = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    ck_assert_uint_eq(a.data_size, 0);
    ck_assert_uint_eq(proposer_lease_end_ns(p), 0);
    now += MS(400);
    acknowledge(0, &a, END, END);
    ck_assert_uint_eq(proposer_lease_end_ns(p), 0);
    acknowledge(1, &b, END, END);
    ck_assert_uint_eq(proposer_lease_end_ns(p), sent + MS(990));
    ck_assert(proposer_may_serve(p, sent + MS(990) - 1));
    ck_assert(!proposer_may_serve(p, sent + MS(990)));
}
END_TEST

/* Heartbeats go to each node that agreed, and only when nothing else was sent. */
START_TEST(heartbeats)
{
    to_leading_empty();
    proposer_tick(p, now);
    empty_boxes();
    pass_ms(450);
    ck_assert_uint_ge(box_count[0], 3);
    ck_assert_uint_le(box_count[0], 5);
    ck_assert_uint_eq(last(0, WIRE_APPEND).data_size, 0);
}
END_TEST

/* Older leases may live: until they can't, nothing is served, whatever is committed. */
START_TEST(safe_at)
{
    to_voting();
    uint64_t voted = now;
    grant(0, (struct vote){.elapsed_ns = MS(700)});
    now += MS(50);
    grant(1, (struct vote){.elapsed_ns = MS(100)});
    ck_assert_uint_eq(proposer_safe_at_ns(p), voted + MS(50) + MS(1010) - MS(100));
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    accept_elected(1, END);
    ck_assert_uint_eq(proposer_commit(p), END);
    for (now = proposer_safe_at_ns(p) - MS(300); now < proposer_safe_at_ns(p) + MS(100);
         now += MS(50)) {
        proposer_tick(p, now);
        for (unsigned i = 0; i < 2; i++) {
            if (box_count[i] > 0) {
                struct wire_msg m = last(i, WIRE_APPEND);
                acknowledge(i, &m, END, END);
            }
        }
        ck_assert_int_eq(proposer_may_serve(p, now), now >= proposer_safe_at_ns(p));
    }
}
END_TEST

/* Only who has waited out all older leases gives the lease back. */
START_TEST(release_after_safe_at)
{
    to_voting();
    grant(0, (struct vote){.elapsed_ns = MS(100)});
    grant(1, (struct vote){.elapsed_ns = MS(100)});
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    empty_boxes();
    proposer_release(p, now);
    ck_assert_int_eq(proposer_state(p), PROPOSER_IDLE);
    ck_assert_uint_eq(box_count[0], 0);

    teardown();
    setup();
    to_leading_empty();
    proposer_release(p, now);
    (void)last(0, WIRE_RELEASE);
    (void)last(1, WIRE_RELEASE);
    ck_assert_uint_eq(box_count[2], 0);
    ck_assert(!proposer_may_serve(p, now));
}
END_TEST

/* What is to be said when it dies is what it would say itself, at any time, and never more. */
START_TEST(last_words)
{
    struct wire_msg word, release;

    to_voting();
    ck_assert(!proposer_last_word(p, now, 0, "", &word));
    grant(0, (struct vote){.elapsed_ns = MS(100)});
    grant(1, (struct vote){.elapsed_ns = MS(100)});
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    ck_assert(!proposer_last_word(p, now, 0, "", &word)); /* older leases */

    teardown();
    setup();
    to_leading_empty();
    ck_assert(proposer_last_word(p, now, 0, "10.0.0.1:6379", &word));
    ck_assert(!proposer_last_word(p, now, 2, "", &word)); /* it has not accepted this leader */
    ck_assert(proposer_last_word(p, now, 0, "10.0.0.1:6379", &word));
    proposer_hand_over(p, now, "10.0.0.1:6379");
    release = last(0, WIRE_RELEASE);
    word.seq = release.seq; /* nobody looks at it */
    ck_assert_uint_eq(word.term.n, release.term.n);
    ck_assert_uint_eq(word.session, release.session);
    ck_assert_int_eq(conf_id_compare(word.conf, release.conf), 0);
    ck_assert_mem_eq(word.cluster_id, release.cluster_id, sizeof word.cluster_id);
    ck_assert_uint_eq(word.log_id, release.log_id);
    ck_assert_uint_eq(word.channel, release.channel);
    ck_assert_str_eq(word.release.heir, release.release.heir);
    ck_assert(!proposer_last_word(p, now, 0, "", &word));
}
END_TEST

/* Who was elected and still brings its Redis up says so now and then. */
START_TEST(elected_keeps_others_away)
{
    to_elected_empty();
    empty_boxes();
    for (int i = 0; i < 5; i++) {
        pass_ms(300);
        ck_assert_uint_eq(boxes[0][0].msg.term.n, TERM);
        greet(0, 0, TERM);
    }
}
END_TEST

/* --- slow nodes ----------------------------------------------------------------------------- */

/* A frozen node costs neither memory beyond the window nor a step of the others; when it returns it
 * is brought up by records read from a peer, then by the window, then streams. */
START_TEST(frozen_node)
{
    static char chunk[900];
    struct proposer_node_info info;

    teardown();
    now = MS(5000);
    create(1 << 20);
    to_leading_empty();
    memset(chunk, 'x', sizeof chunk);
    uint64_t end = END;
    for (int i = 0; i < 5000; i++) {
        proposer_append(p, chunk, sizeof chunk, true, 1);
        now += MS(1);
        proposer_flush(p, now);
        end += sizeof chunk;
        for (unsigned n = 0; n < 2; n++) {
            struct wire_msg m = last(n, WIRE_APPEND);
            acknowledge(n, &m, end, end);
        }
        ck_assert_uint_eq(proposer_commit(p), end);
    }
    proposer_node(p, 2, &info);
    ck_assert_int_ne(info.state, PROPOSER_NODE_STREAMING);
    empty_boxes();
    proposer_link_up(p, now, 2, true);
    greet(2, 0, TERM);
    accept_elected(2, END);
    proposer_node(p, 2, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_CATCHUP);
    pass_ms(50);
    unsigned source = box_count[0] > 0 && boxes[0][0].msg.type == WIRE_READ ? 0 : 1;
    struct wire_msg q = boxes[source][0].msg;
    ck_assert_int_eq(q.type, WIRE_READ);
    ck_assert_uint_eq(q.read.from, END);
    empty_boxes();
    refuse(source, &q, WIRE_REFUSED_CORRUPT); /* that one is rotten: the other is asked */
    pass_ms(50);
    q = last(1 - source, WIRE_READ);
    /* It sends so much that the window covers the rest. */
    uint64_t jump = end - (uint64_t)sizeof chunk * 10;
    size_t size = RECORD_HEADER_BYTES + (jump - END);
    uint8_t *bytes = mem_calloc(1, size);
    struct record r = {.term = {TERM}, .begin = END, .len_bytes = (uint32_t)(jump - END)};
    record_encode_header(&r, bytes);
    struct wire_msg m = wire_reply_to(&q, WIRE_READ_REPLY, q.term, (struct conf_id){0});
    m.data = bytes;
    m.data_size = size;
    hear(1 - source, &m);
    free(bytes);
    m = last(2, WIRE_APPEND);
    acknowledge(2, &m, jump, jump);
    uint64_t at = jump;
    while (box_count[2] > 0) {
        m = boxes[2][0].msg;
        ck_assert_int_eq(m.type, WIRE_APPEND);
        at = m.append.begin + m.data_size - RECORD_HEADER_BYTES;
        free(boxes[2][0].bytes);
        memmove(&boxes[2][0], &boxes[2][1], --box_count[2] * sizeof boxes[2][0]);
        acknowledge(2,
                    &(struct wire_msg){.type = WIRE_APPEND,
                                       .cluster_id = {7},
                                       .log_id = 1,
                                       .term = {TERM},
                                       .session = m.session,
                                       .seq = m.seq},
                    at, at);
    }
    ck_assert_uint_eq(at, end);
    proposer_node(p, 2, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_STREAMING);
    ck_assert_uint_eq(info.flushed, end);
}
END_TEST

/* --- holes ---------------------------------------------------------------------------------- */

static const struct storage_holes hole = {
    .count = 1, .from = 100, .to = 300, .next = 100, .end = 300, .found = 1};

/* Leads a log of 100 … END that nodes 0 and 1 hold; node 0 has a hole and has told it. */
static void to_leading_with_hole(void)
{
    to_leading_old();
    accept_elected(0, END);
    accept_elected(1, END);
    struct wire_msg q = last(0, WIRE_APPEND);
    struct wire_msg m = wire_reply_to(&q, WIRE_APPEND_REPLY, q.term, q.conf);
    m.append_reply.write_off = m.append_reply.unit_off = END;
    m.append_reply.holes = hole;
    empty_boxes();
    hear(0, &m);
    pass_ms(50);
}

/* Whether the node was sent a message of that type, which is then *m. */
static bool was_sent(unsigned node, enum wire_type type, struct wire_msg *m)
{
    for (unsigned i = 0; i < box_count[node]; i++) {
        if (boxes[node][i].msg.type == type) {
            *m = boxes[node][i].msg;
            return true;
        }
    }
    return false;
}

/* Answers a READ with records of 50 bytes, from there on, and an idle marker. */
static void serve_read_at(unsigned source, const struct wire_msg *q, uint64_t at, unsigned count)
{
    uint8_t *data = mem_calloc(1, (count + 1) * (RECORD_HEADER_BYTES + 50));
    size_t size = 0;

    for (unsigned i = 0; i <= count; i++) {
        bool idle = i == 1;
        struct record r = {.term = {1},
                           .begin = at,
                           .len_bytes = idle ? 0 : 50,
                           .flags = idle ? RECORD_IDLE : RECORD_UNIT_END};
        record_encode_header(&r, data + size);
        size += RECORD_HEADER_BYTES + r.len_bytes;
        at += r.len_bytes;
    }
    struct wire_msg m = wire_reply_to(q, WIRE_READ_REPLY, q->term, q->conf);
    m.data = data;
    m.data_size = size;
    hear(source, &m);
    free(data);
}

/* From what was asked on. */
static void serve_read(unsigned source, const struct wire_msg *q, unsigned count)
{
    serve_read_at(source, q, q->read.from, count);
}

/* A hole that begins inside of a record of the log: that record is sent, alone, and tells the node
 * that what it has in front of the hole is not of this log. */
START_TEST(shows_other_boundaries)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    serve_read_at(1, &q, q.read.from - 20, 3);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    ck_assert_uint_eq(m.mend.from, 100);
    ck_assert_uint_eq(m.data_size, RECORD_HEADER_BYTES + 50);
    empty_boxes();
    refuse(0, &m, WIRE_REFUSED_BAD);
    for (int i = 0; i < 30 && !was_sent(1, WIRE_READ, &q); i++) {
        empty_boxes();
        pass_ms(100);
        for (unsigned node = 0; node < 2 && !was_sent(1, WIRE_READ, &q); node++) {
            struct wire_msg beat = last(node, WIRE_APPEND);
            struct wire_msg a = wire_reply_to(&beat, WIRE_APPEND_REPLY, beat.term, beat.conf);
            a.append_reply.write_off = a.append_reply.unit_off = END;
            if (node == 0) {
                a.append_reply.holes = hole;
                a.append_reply.holes.from = a.append_reply.holes.next = 80;
            }
            hear(node, &a);
        }
    }
    ck_assert(was_sent(1, WIRE_READ, &q)); /* another hole: the same source may have it */
    ck_assert_uint_eq(q.read.from, 80);
}
END_TEST

/* What rotted on a node is read from another one, in pieces, and sent to it, without markers and
 * not past the hole, until it says that nothing is missing. */
START_TEST(mends_a_hole)
{
    struct wire_msg q, m;
    struct proposer_node_info info;
    uint64_t next = 100;

    to_leading_with_hole();
    proposer_node(p, 0, &info);
    ck_assert_uint_eq(info.holes.to, 300);
    for (int round = 0; round < 2; round++) {
        ck_assert(was_sent(1, WIRE_READ, &q));
        ck_assert_uint_eq(q.read.from, next);
        ck_assert_uint_eq(q.term.n, proposer_term(p).n);
        serve_read(1, &q, round == 0 ? 2 : 5);
        ck_assert(was_sent(0, WIRE_MEND, &m));
        ck_assert_uint_eq(m.mend.from, next);
        ck_assert_uint_eq(m.data_size, (RECORD_HEADER_BYTES + 50) * 2);
        next += 100;
        struct wire_msg a = wire_reply_to(&m, WIRE_MEND_REPLY, m.term, m.conf);
        a.mend_reply.holes = hole;
        a.mend_reply.holes.next = next;
        empty_boxes();
        hear(0, &a);
        pass_ms(200);
    }
    ck_assert(!was_sent(1, WIRE_READ, &q));
    pass_ms(100);
    struct wire_msg beat = last(0, WIRE_APPEND);
    acknowledge(0, &beat, END, END);
    proposer_node(p, 0, &info);
    ck_assert_uint_eq(info.holes.count, 0);
}
END_TEST

/* A source that has rotted there too is not asked again while another is there; nor is one whose
 * records the node refuses. */
START_TEST(mends_from_another)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    empty_boxes();
    proposer_link_up(p, now, 2, true);
    greet(2, 0, TERM);
    accept_elected(2, END);
    refuse(1, &q, WIRE_REFUSED_CORRUPT);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING);
    empty_boxes();
    pass_ms(50);
    ck_assert(!was_sent(1, WIRE_READ, &q));
    ck_assert(was_sent(2, WIRE_READ, &q));
    serve_read(2, &q, 2);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    refuse(0, &m, WIRE_REFUSED_BAD); /* nor does what node 2 has fit: not at once again */
    empty_boxes();
    pass_ms(300);
    ck_assert(!was_sent(1, WIRE_READ, &q) && !was_sent(2, WIRE_READ, &q));
}
END_TEST

/* A mend that a node refuses does not end its session: it goes on being sent the stream. */
START_TEST(mend_refused)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    serve_read(1, &q, 3);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    empty_boxes();
    refuse(0, &m, WIRE_REFUSED_BAD);
    pass_ms(200);
    ck_assert(!was_sent(0, WIRE_HELLO, &q));
    ck_assert(!was_sent(0, WIRE_MEND, &q));
    append("more");
    proposer_flush(p, now);
    ck_assert(was_sent(0, WIRE_APPEND, &q));
}
END_TEST

/* Answers of an older session, or for an older question, mend nothing. */
START_TEST(late_answers_mend_nothing)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    struct wire_msg late = q;
    late.session--;
    serve_read(1, &late, 3);
    late = q;
    late.seq--;
    serve_read(1, &late, 3);
    ck_assert(!was_sent(0, WIRE_MEND, &m));
    serve_read(1, &q, 3);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    empty_boxes();
    serve_read(1, &q, 3); /* doubled */
    ck_assert(!was_sent(0, WIRE_MEND, &m));
}
END_TEST

/* Mends go at a bounded rate, whatever the nodes could do. */
START_TEST(mends_slowly)
{
    struct wire_msg q, m;
    unsigned pieces = 0;

    teardown();
    now = MS(5000);
    create(1 << 20);
    to_leading_with_hole();
    for (uint64_t end = now + MS(1000); now < end;) {
        if (was_sent(1, WIRE_READ, &q)) {
            serve_read(1, &q, 2);
            ck_assert(was_sent(0, WIRE_MEND, &m));
            struct wire_msg a = wire_reply_to(&m, WIRE_MEND_REPLY, m.term, m.conf);
            a.mend_reply.holes = hole;
            a.mend_reply.holes.next = 100 + pieces++ % 2;
            empty_boxes();
            hear(0, &a);
        }
        for (unsigned n = 0; n < 2; n++) {
            if (was_sent(n, WIRE_APPEND, &m)) {
                m = last(n, WIRE_APPEND);
                struct wire_msg a = wire_reply_to(&m, WIRE_APPEND_REPLY, m.term, m.conf);
                a.append_reply.write_off = a.append_reply.unit_off = END;
                a.append_reply.holes = n == 0 ? hole : (struct storage_holes){0};
                hear(n, &a);
            }
        }
        pass_ms(5);
    }
    ck_assert_uint_ge(pieces, 3);
    ck_assert_uint_le(pieces, 45); /* 100 ms at least for 1000 bytes … at 10,000 a second */
}
END_TEST

/* A link that takes nothing is left alone until it is ready. */
START_TEST(busy_link_is_left_alone)
{
    to_leading_empty();
    busy[0] = true;
    sends_while_busy = 0;
    for (int i = 0; i < 100; i++) {
        append("x");
        proposer_flush(p, now);
        now += MS(1);
    }
    ck_assert_uint_eq(sends_while_busy, 1);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, far_terms_depose_nobody);
    tcase_add_test(tc, loser_is_more_patient);
    tcase_add_test(tc, prevote);
    tcase_add_test(tc, needs_a_majority);
    tcase_add_test(tc, donor_by_term_then_offset);
    tcase_add_test(tc, donor_ends_with_a_unit);
    tcase_add_test(tc, uncertain_does_not_vouch);
    tcase_add_test(tc, incomparable_does_not_vouch);
    tcase_add_test(tc, empty_node_before_a_trimmed_history);
    tcase_add_test(tc, denied);
    tcase_add_test(tc, one_node_counts_once);
    tcase_add_test(tc, foreign_node_is_named_once);
    tcase_add_test(tc, senseless_vote);
    tcase_add_test(tc, elected_first);
    tcase_add_test(tc, acknowledged_in_this_term);
    tcase_add_test(tc, late_node);
    tcase_add_test(tc, appends_gather);
    tcase_add_test(tc, sealed_appends_stay_apart);
    tcase_add_test(tc, inflight_is_bounded);
    tcase_add_test(tc, commit_by_majority);
    tcase_add_test(tc, old_terms_commit_with_ours);
    tcase_add_test(tc, gap_rewinds);
    tcase_add_test(tc, new_link_new_session);
    tcase_add_test(tc, what_counts);
    tcase_add_test(tc, restarted_node);
    tcase_add_test(tc, replaced_node);
    tcase_add_test(tc, deposed);
    tcase_add_test(tc, donor_lost_its_tail);
    tcase_add_test(tc, donor_never_returns);
    tcase_add_test(tc, donor_gone_after_elected);
    tcase_add_test(tc, donor_gone_before_leading);
    tcase_add_test(tc, donor_lost_before_leading);
    tcase_add_test(tc, vote_after_winning);
    tcase_add_test(tc, lease_from_send_time);
    tcase_add_test(tc, heartbeats);
    tcase_add_test(tc, safe_at);
    tcase_add_test(tc, release_after_safe_at);
    tcase_add_test(tc, last_words);
    tcase_add_test(tc, elected_keeps_others_away);
    tcase_add_test(tc, frozen_node);
    tcase_add_test(tc, mends_a_hole);
    tcase_add_test(tc, mends_from_another);
    tcase_add_test(tc, shows_other_boundaries);
    tcase_add_test(tc, mend_refused);
    tcase_add_test(tc, late_answers_mend_nothing);
    tcase_add_test(tc, mends_slowly);
    tcase_add_test(tc, busy_link_is_left_alone);
}

int main(void)
{
    Suite *suite = suite_create("proposer");
    TCase *tc = tcase_create("proposer");
    tcase_add_checked_fixture(tc, setup, teardown);
    add_tests(tc);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
