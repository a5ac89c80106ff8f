/* The log's begin, as a leader sees to it: who is told to forget what and when (TRIM), and who
 * begins anew because nobody has what comes next there (REBASE). A proposer and real acceptors on
 * storages in memory, with a network that delivers at once and can be cut. */
#include "common/clock.h"
#include "logsvc/acceptor.h"
#include "logsvc/client/proposer.h"
#include "tests/lib/fake_storage.h"
#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

enum {
    NODES = 3,
    LEASE_MS = 1000,
    BEAT_MS = 100,
    BEGIN = 500,
    PIECE = 1000,
    WINDOW = 1 << 20,
    HISTORY = 3, /* entries */
    FAR = 1400   /* pieces past the window */
};
#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)

struct node {
    struct fake_storage storage;
    struct acceptor *acceptor;
    bool cut;            /* nothing goes to it or comes from it */
    bool keep_trims;     /* TRIM is lost on its way to it */
    unsigned trims;      /* messages that it was sent */
    unsigned rebases;    /* … */
    uint64_t rebased_to; /* by the last of them */
};

struct packet {
    unsigned node;
    bool reply;
    uint8_t *bytes;
    size_t size;
};

static struct node nodes[NODES];
static struct proposer *p;
static struct packet queue[4096];
static unsigned queue_count;
static uint64_t now;

static void put(unsigned node, bool reply, const struct wire_msg *msg)
{
    ck_assert_uint_lt(queue_count, sizeof queue / sizeof *queue);
    struct packet *q = &queue[queue_count++];
    *q = (struct packet){.node = node, .reply = reply, .size = wire_size(msg)};
    q->bytes = malloc(q->size);
    ck_assert_ptr_nonnull(q->bytes);
    wire_encode(msg, q->bytes);
}

static bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct node *n = &nodes[node];

    (void)ctx;
    n->trims += msg->type == WIRE_TRIM;
    n->rebases += msg->type == WIRE_REBASE;
    n->rebased_to = msg->type == WIRE_REBASE ? msg->rebase.begin : n->rebased_to;
    if (!n->cut && !(n->keep_trims && msg->type == WIRE_TRIM)) {
        put(node, false, msg);
    }
    return true;
}

static void on_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    const struct node *n = ctx;

    (void)to;
    if (!n->cut) {
        put((unsigned)(n - nodes), true, msg);
    }
}

static uint64_t on_random(void *ctx)
{
    (void)ctx;
    return 0;
}

static void deliver_all(void)
{
    for (unsigned i = 0; i < queue_count; i++) {
        struct packet q = queue[i];
        struct wire_msg msg;
        ck_assert_int_eq(wire_decode(q.bytes, q.size, &msg), ERR_OK);
        if (q.reply) {
            proposer_receive(p, now, q.node, &msg);
        } else {
            struct acceptor *a = nodes[q.node].acceptor;
            struct acceptor_reply_to to = {.id = q.node + 1};
            ck_assert_int_eq(acceptor_receive(a, now, &msg, to), ERR_OK);
            ck_assert_int_eq(acceptor_flush(a, now), ERR_OK);
        }
        free(q.bytes);
    }
    queue_count = 0;
}

static void run_ms(uint64_t ms)
{
    for (uint64_t end = now + MS(ms); now < end;) {
        now += MS(5);
        if (proposer_next_tick_ns(p) <= now) {
            proposer_tick(p, now);
        }
        deliver_all();
    }
}

static void cut(unsigned node, bool is)
{
    nodes[node].cut = is;
    proposer_link_up(p, now, node, !is);
    deliver_all();
}

static void append(unsigned count)
{
    char bytes[PIECE];

    memset(bytes, 'x', sizeof bytes);
    for (unsigned i = 0; i < count; i++) {
        proposer_append(p, bytes, sizeof bytes, true, 1);
        proposer_seal(p);
        proposer_flush(p, now);
        deliver_all();
    }
    run_ms(BEAT_MS);
}

/* A verified snapshot, stored on the nodes of the set. */
static struct snapshot_info snapshot_at(uint64_t offset, uint32_t set)
{
    struct snapshot_info info = {.offset = offset,
                                 .term = {proposer_term(p).n},
                                 .size_bytes = 1,
                                 .crc = (uint32_t)offset,
                                 .verified_ms = 1,
                                 .engine_version = "7.0.15"};

    for (unsigned i = 0; i < NODES; i++) {
        struct fake_storage *f = &nodes[i].storage;
        if ((set >> i & 1) != 0) {
            ck_assert_uint_lt(f->snap_count, FAKE_SNAPSHOTS_MAX);
            f->snaps[f->snap_count++] = (struct fake_snapshot){.info = info};
        }
    }
    return info;
}

static uint64_t end_of(unsigned node)
{
    struct storage_state st;

    nodes[node].storage.base.ops->state(&nodes[node].storage.base, &st);
    return st.flush_off;
}

static void setup(void)
{
    static const struct replid replid = {{'r'}};
    static const char *const addresses[] = {"host-a:1", "host-b:1", "host-c:1"};
    static const char *const names[] = {"node-a", "node-b", "node-c"};
    struct proposer_config config = {.cluster_id = {7},
                                     .log_id = 1,
                                     .node_count = NODES,
                                     .lease_ms = LEASE_MS,
                                     .heartbeat_ms = BEAT_MS,
                                     .session = 1000,
                                     .append_max_bytes = PIECE,
                                     .append_inflight_max = 2,
                                     .window_max_bytes = WINDOW,
                                     .history_max = HISTORY};
    struct proposer_events events = {.send = on_send, .random = on_random};

    now = MS(5000);
    queue_count = 0;
    for (unsigned i = 0; i < NODES; i++) {
        struct acceptor_config acceptor = {.cluster_id = {7},
                                           .log_id = 1,
                                           .node_id = names[i],
                                           .disk = {{(uint8_t)(i + 1), 9}},
                                           .lease_ms = LEASE_MS,
                                           .read_max_bytes = 100000};
        struct acceptor_events acceptor_events = {.reply = on_reply};
        nodes[i] = (struct node){0};
        fake_storage_init(&nodes[i].storage);
        ck_assert_int_eq(acceptor_create(&nodes[i].storage.base, &acceptor, &acceptor_events,
                                         &nodes[i], now, &nodes[i].acceptor),
                         ERR_OK);
        config.addresses[i] = addresses[i];
    }
    now += MS(2 * LEASE_MS); /* nobody holds a lease */
    p = proposer_create(&config, &events, NULL);
    for (unsigned i = 0; i < NODES; i++) {
        proposer_link_up(p, now, i, true);
    }
    proposer_campaign(p, now);
    while (proposer_state(p) != PROPOSER_ELECTED) {
        run_ms(20);
    }
    struct snapshot_info none = {.offset = BEGIN};
    ck_assert(!proposer_trim(p, now, BEGIN, &none)); /* does not lead */
    proposer_lead(p, now, BEGIN, &replid);
    run_ms(3 * LEASE_MS);
    append(10);
    ck_assert_uint_eq(proposer_commit(p), BEGIN + 10 * PIECE);
}

static void teardown(void)
{
    proposer_destroy(p);
    for (unsigned i = 0; i < queue_count; i++) {
        free(queue[i].bytes);
    }
    for (unsigned i = 0; i < NODES; i++) {
        acceptor_destroy(nodes[i].acceptor);
        fake_storage_fini(&nodes[i].storage);
    }
}

/* Nobody is told anything while `to` is past the snapshot, or the snapshot is not committed. */
START_TEST(not_before_it_is_safe)
{
    struct snapshot_info at = snapshot_at(BEGIN + 5 * PIECE, 7);

    ck_assert(!proposer_trim(p, now, at.offset + 1, &at));
    at.offset = proposer_commit(p) + 1;
    ck_assert(!proposer_trim(p, now, BEGIN + PIECE, &at));
    cut(1, true);
    cut(2, true);
    append(1); /* no quorum: not committed */
    at.offset = proposer_end(p);
    ck_assert(!proposer_trim(p, now, BEGIN + PIECE, &at));
    run_ms(BEAT_MS);
    for (unsigned i = 0; i < NODES; i++) {
        ck_assert_uint_eq(nodes[i].trims, 0);
        ck_assert_uint_eq(nodes[i].storage.begin, BEGIN);
    }
}
END_TEST

/* One node after the other: the next is told when the one before has answered. */
START_TEST(one_after_the_other)
{
    struct snapshot_info at = snapshot_at(BEGIN + 5 * PIECE, 7);

    nodes[0].keep_trims = true;
    ck_assert(proposer_trim(p, now, at.offset, &at));
    deliver_all();
    ck_assert_uint_eq(nodes[0].trims, 1);
    ck_assert_uint_eq(nodes[1].trims + nodes[2].trims, 0);
    nodes[0].keep_trims = false;
    run_ms(5 * LEASE_MS); /* it is asked again */
    for (unsigned i = 0; i < NODES; i++) {
        ck_assert_uint_eq(nodes[i].storage.begin, at.offset);
        ck_assert_uint_eq(end_of(i), BEGIN + 10 * PIECE);
    }
    /* The same once more says it again and changes nothing; what is older does neither harm. */
    ck_assert(proposer_trim(p, now, at.offset, &at));
    ck_assert(proposer_trim(p, now, BEGIN, &at));
    run_ms(LEASE_MS);
    ck_assert_uint_eq(nodes[1].storage.begin, at.offset);
    append(1);
    ck_assert_uint_eq(proposer_commit(p), proposer_end(p));
}
END_TEST

/* A node that lags is told when it has come so far; until then its log stays. What the window still
 * has is fed to it, whatever the others have forgotten. */
START_TEST(who_lags_is_told_later)
{
    cut(2, true);
    append(10);
    struct snapshot_info at = snapshot_at(BEGIN + 15 * PIECE, 7);
    ck_assert(proposer_trim(p, now, at.offset, &at));
    run_ms(BEAT_MS);
    ck_assert_uint_eq(nodes[0].storage.begin, at.offset);
    ck_assert_uint_eq(nodes[1].storage.begin, at.offset);
    ck_assert_uint_eq(nodes[2].trims, 0);
    cut(2, false);
    run_ms(2 * LEASE_MS);
    ck_assert_uint_eq(nodes[2].rebases, 0);
    ck_assert_uint_eq(end_of(2), proposer_end(p));
    ck_assert_uint_ge(nodes[2].trims, 1);
    ck_assert_uint_eq(nodes[2].storage.begin, at.offset);
}
END_TEST

/* Nobody has what comes next for a node, not even the window: after a lease it begins anew where
 * the others begin, is fed from there, and counts again. */
START_TEST(who_is_behind_begins_anew)
{
    cut(2, true);
    append(FAR);
    uint64_t end = end_of(2);
    struct snapshot_info at = snapshot_at(BEGIN + 1200 * PIECE, 7);
    ck_assert_uint_gt(at.offset, end);
    ck_assert(proposer_trim(p, now, at.offset, &at));
    run_ms(BEAT_MS);
    cut(2, false);
    run_ms(2 * LEASE_MS);
    ck_assert_uint_ge(nodes[2].rebases, 1);
    ck_assert_uint_eq(nodes[2].rebased_to, at.offset);
    ck_assert_uint_eq(nodes[2].storage.begin, at.offset);
    ck_assert_uint_eq(end_of(2), proposer_end(p));
    cut(1, true);
    append(1);
    ck_assert_uint_eq(proposer_commit(p), proposer_end(p));
}
END_TEST

/* While one node still has what comes next, the one behind is fed from there and throws nothing
 * away; one without the snapshot forgets nothing. */
START_TEST(who_can_be_fed_is_fed)
{
    cut(2, true);
    append(FAR);
    struct snapshot_info at = snapshot_at(BEGIN + 1200 * PIECE, 1 | 4);
    ck_assert(proposer_trim(p, now, at.offset, &at));
    run_ms(BEAT_MS);
    ck_assert_uint_eq(nodes[0].storage.begin, at.offset);
    ck_assert_uint_eq(nodes[1].trims, 1);
    ck_assert_uint_eq(nodes[1].storage.begin, BEGIN);
    cut(2, false);
    run_ms(3 * LEASE_MS);
    ck_assert_uint_eq(nodes[2].rebases, 0);
    ck_assert_uint_eq(end_of(2), proposer_end(p));
    ck_assert_uint_eq(nodes[2].storage.begin, at.offset); /* told when it was there */
}
END_TEST

/* Not within a lease of winning: a node with older bytes may still come back and feed. */
START_TEST(not_within_a_lease)
{
    static const struct replid replid = {{'s'}};

    cut(2, true);
    append(FAR);
    struct snapshot_info at = snapshot_at(BEGIN + 1200 * PIECE, 7);
    ck_assert(proposer_trim(p, now, at.offset, &at));
    run_ms(BEAT_MS);
    proposer_release(p, now);
    proposer_campaign(p, now);
    while (proposer_state(p) != PROPOSER_ELECTED) {
        run_ms(5);
    }
    unsigned before = nodes[2].rebases;
    proposer_lead(p, now, proposer_donor(p)->end.offset, &replid);
    cut(2, false);
    run_ms(LEASE_MS - 50);
    ck_assert_uint_eq(nodes[2].rebases, before);
    ck_assert_uint_eq(nodes[2].storage.begin, BEGIN);
    run_ms(2 * LEASE_MS);
    ck_assert_uint_gt(nodes[2].rebases, before);
    ck_assert_uint_eq(nodes[2].storage.begin, at.offset);
}
END_TEST

/* A node that was away for more terms than the history has entries has nothing in common with it.
 * It is left alone until the log begins behind its end; then it begins anew there, and no election
 * is needed for that. */
START_TEST(who_was_away_for_too_long_begins_anew)
{
    static const struct replid replid = {{'s'}};
    uint64_t end = end_of(2);

    cut(2, true);
    for (unsigned i = 0; i < HISTORY + 1; i++) {
        append(5);
        proposer_release(p, now);
        proposer_campaign(p, now);
        while (proposer_state(p) != PROPOSER_ELECTED) {
            run_ms(5);
        }
        proposer_lead(p, now, proposer_donor(p)->end.offset, &replid);
        run_ms(2 * LEASE_MS);
    }
    append(5);
    cut(2, false);
    run_ms(5 * LEASE_MS);
    ck_assert_uint_eq(end_of(2), end);
    struct snapshot_info at = snapshot_at(proposer_commit(p) - PIECE, 7);
    ck_assert(proposer_trim(p, now, at.offset, &at));
    run_ms(10 * LEASE_MS);
    ck_assert_uint_eq(nodes[2].storage.begin, at.offset);
    ck_assert_uint_eq(end_of(2), proposer_end(p));
}
END_TEST

int main(void)
{
    return UNIT_RUN("proposer_trim", setup, teardown, not_before_it_is_safe, one_after_the_other,
                    who_lags_is_told_later, who_is_behind_begins_anew, who_can_be_fed_is_fed,
                    not_within_a_lease, who_was_away_for_too_long_begins_anew);
}
