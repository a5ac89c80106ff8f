/* The lookout and the roster: one picture from what several nodes say. */
#include "logsvc/client/lookout.h"

#include "common/clock.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

enum { NODES = 3, LEASE_MS = 100, INTERVAL_MS = 20 };
#define MS(n) ((n)*CLOCK_NS_PER_MS)

static struct lookout *l;
static struct wire_msg asked[NODES];
static unsigned asks[NODES];
static uint64_t now;
static unsigned refusals;

static void on_refused(void *ctx, unsigned node, enum wire_refusal code, const char *reason)
{
    (void)ctx;
    (void)node;
    (void)reason;
    ck_assert_int_eq(code, WIRE_REFUSED_CORRUPT);
    refusals++;
}

static bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    (void)ctx;
    asked[node] = *msg;
    asks[node]++;
    return true;
}

static void setup(void)
{
    struct lookout_config config = {.cluster_id = {7},
                                    .log_id = 1,
                                    .node_count = NODES,
                                    .session = 99,
                                    .lease_ms = LEASE_MS,
                                    .interval_ms = INTERVAL_MS,
                                    .name = "proxy1",
                                    .address = "h:1"};
    struct lookout_events events = {.send = on_send, .refused = on_refused};

    now = MS(5000);
    memset(asks, 0, sizeof asks);
    refusals = 0;
    l = lookout_create(&config, &events, NULL);
    for (unsigned i = 0; i < NODES; i++) {
        lookout_link_up(l, now, i, true);
    }
}

static void teardown(void)
{
    lookout_destroy(l);
}

/* What a node says; heard_ns, term, leader's term and address, commit. */
static struct wire_msg report(uint64_t heard_ns, uint64_t term, uint64_t leader_term,
                              const char *leader, uint64_t commit)
{
    struct wire_msg msg = {.type = WIRE_WATCH_REPLY,
                           .channel = WIRE_LOOKOUT,
                           .cluster_id = {7},
                           .log_id = 1,
                           .term = {term},
                           .session = 99,
                           .seq = 1};

    msg.watch_reply.heard_ns = heard_ns;
    msg.watch_reply.leader_term.n = leader_term;
    msg.watch_reply.commit = commit;
    (void)snprintf(msg.watch_reply.leader, sizeof msg.watch_reply.leader, "%s", leader);
    return msg;
}

static void hear(unsigned node, struct wire_msg msg)
{
    lookout_receive(l, now, node, &msg);
}

/* Each node is asked when its link comes up, and every interval; and who we are is told. */
START_TEST(asks_now_and_then)
{
    const struct lookout_self self = {
        .role = ROSTER_LEADER, .synced = true, .offset = 77, .needs = 66};

    lookout_say(l, &self);
    now += MS(INTERVAL_MS);
    lookout_tick(l, now);
    lookout_tick(l, now + 1);
    for (unsigned i = 0; i < NODES; i++) {
        ck_assert_uint_eq(asks[i], 2);
        ck_assert_str_eq(asked[i].watch.address, "h:1");
        ck_assert_uint_eq(asked[i].watch.offset, 77);
        ck_assert_uint_eq(asked[i].watch.needs, 66);
        ck_assert_uint_eq(asked[i].watch.role, ROSTER_LEADER);
    }
    ck_assert_uint_eq(lookout_next_tick_ns(l), now + MS(INTERVAL_MS));
}
END_TEST

/* Nobody leads when a quorum says so, and only as long as its word is fresh. */
START_TEST(free_by_quorum)
{
    struct lookout_view v;

    hear(0, report(WIRE_NEVER, 3, 3, "h:2", 10));
    hear(1, report(MS(10), 3, 3, "h:2", 12));
    lookout_view(l, now, &v);
    ck_assert(v.seen && !v.free && v.leader_alive);
    ck_assert_str_eq(v.leader, "h:2");
    ck_assert_uint_eq(v.commit, 12);
    hear(2, report(MS(LEASE_MS), 3, 3, "h:2", 11));
    lookout_view(l, now, &v);
    ck_assert(v.free && !v.gone); /* one has lost its link, one has not heard it for long */
    hear(2, report(WIRE_NEVER, 3, 3, "h:2", 11));
    lookout_view(l, now, &v);
    ck_assert(v.free && v.gone);
    now += MS(LEASE_MS) + 1;
    lookout_view(l, now, &v);
    ck_assert(!v.seen && !v.free && !v.leader_alive);
    ck_assert_uint_eq(v.commit, 12);
}
END_TEST

/* Nodes that have no such log yet hear nobody; other refusals say nothing. */
START_TEST(no_log_yet)
{
    struct wire_msg msg = report(0, 0, 0, "", 0);
    struct lookout_view v;

    msg.type = WIRE_REFUSED;
    msg.refused = (struct wire_refused){.code = WIRE_REFUSED_CORRUPT};
    hear(0, msg);
    hear(0, msg);
    ck_assert_uint_eq(refusals, 1);
    msg.refused.code = WIRE_REFUSED_LOG;
    hear(1, msg);
    lookout_view(l, now, &v);
    ck_assert(!v.free);
    hear(2, msg);
    lookout_view(l, now, &v);
    ck_assert(v.free && v.log_empty);
}
END_TEST

/* A leader is over where a newer term was promised, and the newest one that was accepted counts. */
START_TEST(newest_leader_counts)
{
    struct lookout_view v;

    hear(0, report(MS(1), 4, 3, "h:2", 0));
    lookout_view(l, now, &v);
    ck_assert(!v.leader_alive);
    hear(1, report(MS(1), 3, 3, "h:2", 0));
    lookout_view(l, now, &v);
    ck_assert(v.leader_alive);
    ck_assert_uint_eq(v.term.n, 4);
    hear(2, report(MS(1), 4, 4, "h:3", 0));
    lookout_view(l, now, &v);
    ck_assert_str_eq(v.leader, "h:3");
    ck_assert_uint_eq(v.leader_term.n, 4);
}
END_TEST

/* A release is sure when all that answer have heard it, whoever else's connection has closed. */
START_TEST(heir_by_all)
{
    struct lookout_view view;
    struct wire_msg msg = report(WIRE_NEVER, 3, 3, "a:1", 0);

    hear(0, msg);
    hear(1, msg);
    snprintf(msg.watch_reply.heir, sizeof msg.watch_reply.heir, "b:1");
    hear(2, msg);
    lookout_view(l, now, &view);
    ck_assert(view.free && !view.heir_sure);
    ck_assert_str_eq(view.heir, "b:1");
    hear(0, msg);
    lookout_view(l, now, &view);
    ck_assert(view.free && !view.heir_sure);
    hear(1, msg);
    lookout_view(l, now, &view);
    ck_assert(view.free && view.heir_sure);
    ck_assert_str_eq(view.heir, "b:1");
    msg = report(WIRE_NEVER, 4, 4, "c:1", 0); /* of a leader before that one */
    hear(1, msg);
    lookout_view(l, now, &view);
    ck_assert(!view.heir_sure);
}
END_TEST

/* A history with a newer last term is taken; the nodes are told which one we have. */
START_TEST(newest_history)
{
    struct history h = {0};
    struct replid replid = {"0123456789012345678901234567890123456789"};
    struct buf bytes = BUF_INIT;
    struct wire_msg msg = report(MS(1), 2, 2, "h:2", 9);
    struct lookout_view v;

    ck_assert_int_eq(history_append(&h, (struct log_term){2}, 5, &replid), ERR_OK);
    history_encode(&h, &bytes);
    msg.watch_reply.history = (struct wire_history){buf_head(&bytes), bytes.len};
    hear(0, msg);
    lookout_view(l, now, &v);
    ck_assert(history_equal(v.history, &h));
    lookout_hurry(l);
    lookout_tick(l, now);
    ck_assert_uint_eq(asked[1].watch.known.n, 2);
    buf_release(&bytes);
}
END_TEST

/* Proxies are known by what the nodes heard last of each, and forgotten when none hears them. */
START_TEST(roster_of_all_nodes)
{
    struct roster old = {0}, new = {0};
    struct buf bytes = BUF_INIT;
    struct wire_msg msg = report(MS(1), 1, 1, "h:2", 9);
    struct lookout_view v;

    (void)roster_hear(&old, &(struct roster_entry){
                                .name = "proxy2", .address = "h:2", .offset = 5, .heard_ns = 1});
    (void)roster_hear(
        &new, &(struct roster_entry){
                  .name = "proxy2", .address = "h:2", .offset = 8, .needs = 7, .heard_ns = 50});
    roster_encode(&new, 60, &bytes);
    msg.watch_reply.roster = (struct wire_roster){buf_head(&bytes), bytes.len};
    hear(0, msg);
    buf_clear(&bytes);
    roster_encode(&old, 60, &bytes);
    msg.watch_reply.roster = (struct wire_roster){buf_head(&bytes), bytes.len};
    hear(1, msg);
    lookout_view(l, now, &v);
    ck_assert_uint_eq(v.roster->count, 1);
    ck_assert_uint_eq(v.roster->entries[0].offset, 8);
    ck_assert_uint_eq(v.roster->entries[0].needs, 7);
    now += MS(3000);
    lookout_view(l, now, &v);
    ck_assert_uint_eq(v.roster->count, 0);
    buf_release(&bytes);
}
END_TEST

/* A full roster forgets whom it heard longest ago; what is encoded is decoded; rubbish is not. */
START_TEST(roster_is_bounded)
{
    struct roster r = {0}, back;
    struct buf bytes = BUF_INIT;

    for (unsigned i = 0; i <= ROSTER_ENTRIES_MAX; i++) {
        struct roster_entry e = {.role = ROSTER_CANDIDATE, .synced = true, .heard_ns = 1000 + i};
        (void)snprintf(e.name, sizeof e.name, "p%u", i);
        (void)roster_hear(&r, &e);
    }
    ck_assert_uint_eq(r.count, ROSTER_ENTRIES_MAX);
    ck_assert_str_eq(r.entries[0].name, "p1");
    roster_encode(&r, 2000, &bytes);
    ck_assert_int_eq(roster_decode(buf_head(&bytes), bytes.len, 12000, &back), ERR_OK);
    ck_assert_uint_eq(back.entries[0].heard_ns, 11001);
    ck_assert_str_eq(back.entries[15].name, "p16");
    for (size_t cut = 0; cut < bytes.len; cut++) {
        ck_assert_int_eq(roster_decode(buf_head(&bytes), cut, 0, &back), ERR_CORRUPT);
    }
    buf_release(&bytes);
}
END_TEST

int main(void)
{
    return UNIT_RUN("lookout", setup, teardown, asks_now_and_then, free_by_quorum, no_log_yet,
                    newest_leader_counts, heir_by_all, newest_history, roster_of_all_nodes,
                    roster_is_bounded);
}
