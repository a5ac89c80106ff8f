/* The snapship against three scripted nodes: what is downloaded is exactly what was published,
 * whatever the network and the nodes do. Uploads and repairs: test_snapship.c. */
#include "tests/lib/snapship_case.h"

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

int main(void)
{
    return UNIT_RUN_FOR("snap_download", NULL, NULL, 60, downloads_the_newest, respects_the_room,
                        downloads_over_a_bad_network, switches_nodes, remembers_rot,
                        is_deleted_meanwhile, is_replaced_meanwhile, asks_a_quorum,
                        stops_from_within);
}
