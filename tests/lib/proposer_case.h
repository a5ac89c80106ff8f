/* One proposer, and log nodes that its tests play: what they say, and what each was sent. For the
 * programs test_proposer.c, _append.c and _mend.c; each has its own. */
#ifndef TESTS_LIB_PROPOSER_CASE_H
#define TESTS_LIB_PROPOSER_CASE_H

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

static inline bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
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

static inline uint64_t on_random(void *ctx)
{
    (void)ctx;
    return random_value;
}

static inline void on_refused(void *ctx, unsigned node, enum wire_refusal code, const char *reason)
{
    (void)ctx;
    (void)node;
    (void)code;
    ck_assert_str_ne(reason, "");
    refusals++;
}

static inline void empty_boxes(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        while (box_count[i] > 0) {
            free(boxes[i][--box_count[i]].bytes);
        }
    }
}

/* The last message that a node was sent, which must be of that type; all before are forgotten. */
static inline struct wire_msg last(unsigned node, enum wire_type type)
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

static inline void create(size_t window_max)
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

static inline void setup(void)
{
    now = MS(5000);
    refusals = 0;
    memset(busy, 0, sizeof busy);
    create(1 << 20);
}

static inline void teardown(void)
{
    proposer_destroy(p);
    empty_boxes();
}

static inline void pass_ms(uint64_t ms)
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
static inline struct wire_history history_of(const uint64_t *pairs)
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

static inline void hear(unsigned node, const struct wire_msg *m)
{
    proposer_receive(p, now, node, m);
}

static inline struct disk_id disk_of(const char *node_id)
{
    return (struct disk_id){{(uint8_t)node_id[0]}};
}

/* The configuration that the nodes have: a, b and c, of a term long ago. */
static inline struct wire_conf conf_here(void)
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

static inline void greet_on(unsigned node, const char *node_id, struct disk_id disk,
                            uint64_t heard_ns, uint64_t term)
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

static inline void greet_as(unsigned node, const char *node_id, uint64_t heard_ns, uint64_t term)
{
    greet_on(node, node_id, disk_of(node_id), heard_ns, term);
}

static inline void greet(unsigned node, uint64_t heard_ns, uint64_t term)
{
    static const char *const ids[] = {"a", "b", "c"};

    greet_as(node, ids[node], heard_ns, term);
}

struct vote {
    uint64_t unit_off, flush_off, uncertain_to, elapsed_ns;
    const uint64_t *pairs;
};

static inline void grant(unsigned node, struct vote v)
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

static inline void deny(unsigned node, uint64_t term)
{
    struct wire_msg q = last(node, WIRE_VOTE);
    struct wire_msg m =
        wire_reply_to(&q, WIRE_VOTE_REPLY, (struct term){term}, (struct conf_id){0});

    m.vote_reply.history = history_of(NULL);
    hear(node, &m);
}

static inline void accept_elected(unsigned node, uint64_t end)
{
    struct wire_msg q = last(node, WIRE_ELECTED);
    struct wire_msg m = wire_reply_to(&q, WIRE_ELECTED_REPLY, q.term, q.conf);

    m.elected_reply.log = (struct wire_log){.flush_off = end, .unit_off = end};
    hear(node, &m);
}

static inline void acknowledge(unsigned node, const struct wire_msg *q, uint64_t write,
                               uint64_t unit)
{
    struct wire_msg m = wire_reply_to(q, WIRE_APPEND_REPLY, q->term, q->conf);

    m.append_reply.write_off = write;
    m.append_reply.unit_off = unit;
    hear(node, &m);
}

static inline void refuse(unsigned node, const struct wire_msg *q, enum wire_refusal code)
{
    struct wire_msg m = wire_refuse(q, q->term, (struct conf_id){0}, code, NULL);
    hear(node, &m);
}

/* Asks all and is told that nobody is heard: votes begin. */
static inline void to_voting(void)
{
    proposer_campaign(p, now);
    for (unsigned i = 0; i < NODES; i++) {
        greet(i, WIRE_NEVER, OLD_TERM);
    }
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    pass_ms(30); /* the last one to be greeted is asked as well */
}

/* Elected over logs of nothing. */
static inline void to_elected_empty(void)
{
    to_voting();
    grant(0, (struct vote){.elapsed_ns = WIRE_NEVER});
    grant(1, (struct vote){.elapsed_ns = WIRE_NEVER});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
}

static struct replid replid;

/* Leads an empty log from END; nodes 0 and 1 have acknowledged that. */
static inline void to_leading_empty(void)
{
    to_elected_empty();
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    accept_elected(1, END);
    empty_boxes();
}

/* Leads a log of terms 1 and 4 that ends at END; node 0 was the donor. */
static inline void to_leading_old(void)
{
    to_voting();
    grant(0, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100, 4, 300)});
    grant(1, (struct vote){.unit_off = 350, .pairs = PAIRS(1, 100, 4, 300)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    proposer_lead(p, now, END, &replid);
}

static inline void append(const char *text)
{
    proposer_append(p, text, strlen(text), true, 1);
}

#endif
