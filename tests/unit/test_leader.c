/* Who leads, for those who ask: changes are told once, addresses are read, peers are kept. */
#include "proxy/forward/leader.h"
#include "tests/lib/unit.h"

#include <string.h>

static unsigned calls;

static void changed(void *ctx)
{
    (void)ctx;
    calls++;
}

/* A change of the leader is told once, with a new epoch; lag alone is not a change. */
START_TEST(changes_are_told_once)
{
    struct leader *l = leader_create("proxy1", "127.0.0.1", 7379);
    struct leader_found found = {.info = {.role = LEADER_FOLLOWER}};

    leader_listen(l, changed, NULL);
    calls = 0;
    leader_update(l, &found);
    ck_assert_uint_eq(calls, 0);
    found.info.known = true;
    found.info.term.n = 3;
    ck_assert(leader_parse_address("10.0.0.2:7380", &found.info.address));
    leader_update(l, &found);
    found.info.lag_ms = 17;
    leader_update(l, &found);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(leader_info(l)->epoch, 1);
    ck_assert_str_eq(leader_info(l)->address.host, "10.0.0.2");
    ck_assert_str_eq(leader_info(l)->name, "");
    leader_destroy(l);
}
END_TEST

/* A peer's Sentinel port is part of what a peer is; ours is kept from turn to turn. */
START_TEST(sentinel_ports)
{
    struct leader *l = leader_create("proxy1", "h", 1);
    struct leader_peer peer = {.name = "proxy2", .address = {"h", 2}};
    struct leader_found found = {.peers = &peer, .peer_count = 1};

    leader_set_sentinel_port(l, 11);
    leader_update(l, &found);
    leader_listen(l, changed, NULL);
    calls = 0;
    peer.sentinel_port = 12;
    leader_update(l, &found);
    ck_assert_uint_eq(calls, 1);
    ck_assert_int_eq(leader_peer(l, 0)->sentinel_port, 11);
    ck_assert_int_eq(leader_peer(l, 1)->sentinel_port, 12);
    leader_destroy(l);
}
END_TEST

/* Our own address is shown when we lead, and none when nobody is known to. */
START_TEST(own_address)
{
    struct leader *l = leader_create("proxy1", "127.0.0.1", 7379);
    struct leader_found found = {
        .info = {.role = LEADER_LEADER, .known = true, .self = true, .term = {5}}};

    leader_update(l, &found);
    ck_assert_int_eq(leader_info(l)->address.port, 7379);
    ck_assert_str_eq(leader_info(l)->name, "proxy1");
    found.info = (struct leader_info){.role = LEADER_CANDIDATE};
    leader_update(l, &found);
    ck_assert_int_eq(leader_info(l)->address.port, 0);
    ck_assert_uint_eq(leader_info(l)->epoch, 2);
    leader_destroy(l);
}
END_TEST

/* Peers: us first, then by name, each once; the leader's name is found by its address. */
START_TEST(peers_are_kept_once)
{
    struct leader *l = leader_create("proxy2", "h", 2);
    struct leader_peer peers[] = {
        {.name = "proxy3", .address = {"h", 3}, .seen_ns = 9},
        {.name = "proxy2", .address = {"h", 2}},
        {.name = "proxy1", .address = {"h", 1}, .role = LEADER_LEADER},
    };
    struct leader_found found = {.info = {.known = true, .address = {"h", 1}, .term = {1}},
                                 .peers = peers,
                                 .peer_count = 3,
                                 .offset = 77};

    leader_listen(l, changed, NULL);
    calls = 0;
    leader_update(l, &found);
    ck_assert_uint_eq(leader_peer_count(l), 3);
    ck_assert(leader_peer(l, 0)->self);
    ck_assert_uint_eq(leader_peer(l, 0)->offset, 77);
    ck_assert_str_eq(leader_peer(l, 1)->name, "proxy1");
    ck_assert_str_eq(leader_peer(l, 2)->name, "proxy3");
    ck_assert_str_eq(leader_info(l)->name, "proxy1");
    peers[0].offset = 100; /* no news */
    leader_update(l, &found);
    ck_assert_uint_eq(calls, 1);
    found.peer_count = 1; /* proxy1 has not been seen for long */
    leader_update(l, &found);
    ck_assert_uint_eq(calls, 2);
    ck_assert_uint_eq(leader_peer_count(l), 2);
    leader_destroy(l);
}
END_TEST

/* What is no host:port is refused. */
START_TEST(addresses)
{
    static const char *const bad[] = {"", "h", ":1", "h:", "h:0", "h:65536", "h:1x", "[]:1"};
    struct leader_address a;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!leader_parse_address(bad[i], &a), "%s", bad[i]);
    }
    ck_assert(leader_parse_address("[::1]:7379", &a));
    ck_assert_str_eq(a.host, "::1");
    ck_assert_int_eq(a.port, 7379);
}
END_TEST

int main(void)
{
    return UNIT_RUN("leader", NULL, NULL, changes_are_told_once, sentinel_ports, own_address,
                    peers_are_kept_once, addresses);
}
