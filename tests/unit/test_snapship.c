/* The snapship against three scripted nodes: what is uploaded or repaired is published whole or not
 * at all, whatever the network and the nodes do. Downloads: test_snap_download.c. */
#include "tests/lib/snapship_case.h"

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
    return UNIT_RUN_FOR("snapship", NULL, NULL, 60, uploads_to_all, waits_for_a_quorum,
                        founds_on_all, uploads_over_a_bad_network, resumes_uploads,
                        finds_out_that_it_was_published, uploads_end, waits_for_its_source,
                        ignores_answers_to_an_earlier_upload, repairs, repairs_give_up,
                        repairs_pass_over_a_node_that_is_stuck, another_is_kept_in_its_place);
}
