/* What a proxy knows of the others: who leads, who is to be next, and to whom a leader hands over.
 */
#include "proxy/node/outlook.h"

#include "common/clock.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

enum { LEASE_MS = 800, MIB = 1 << 20 };

static struct outlook o;
static struct roster roster;
static struct lookout_view view;
static struct leader_peer self;
static uint64_t now;

/* We are "m" at h:1, and a leader "z" at h:9 was heard. */
static void setup(void)
{
    memset(&o, 0, sizeof o);
    memset(&roster, 0, sizeof roster);
    memset(&self, 0, sizeof self);
    now = 100 * CLOCK_NS_PER_S;
    view = (struct lookout_view){.seen = true,
                                 .nodes_up = 3,
                                 .leader = "h:9",
                                 .heir = "",
                                 .leader_term = {7},
                                 .leader_alive = true,
                                 .term = {7},
                                 .commit = 5000,
                                 .roster = &roster};
    (void)snprintf(self.name, sizeof self.name, "m");
    self.synced = true;
    self.offset = 100 * (uint64_t)MIB;
}

static struct roster_entry *peer(const char *name, const char *address, bool synced,
                                 uint64_t offset)
{
    struct roster_entry *e = &roster.entries[roster.count++];

    *e = (struct roster_entry){
        .role = ROSTER_FOLLOWER, .synced = synced, .offset = offset, .heard_ns = now};
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    (void)snprintf(e->address, sizeof e->address, "%s", address);
    return e;
}

static void see(void)
{
    outlook_see(&o, &view, &self, "h:1", LEASE_MS, now);
}

static const char *heir_name(const char *name, const char **refusal)
{
    static char scratch[OUTLOOK_REFUSAL_BYTES];
    const struct leader_peer *to =
        outlook_heir(&o, &self, "h:1", name, 5000, now, scratch, refusal);

    ck_assert((to == NULL) == (*refusal != NULL));
    return to != NULL ? to->name : "";
}

/* Another one leads while a log node hears it and no quorum is free; our own word is none. */
START_TEST(who_leads)
{
    see();
    ck_assert(o.other_leads && !o.nobody_leads);
    ck_assert_str_eq(o.leader, "h:9");
    ck_assert_uint_eq(o.leader_term.n, 7);
    view.free = true;
    see();
    ck_assert(!o.other_leads && o.nobody_leads);
    view.free = view.leader_alive = false;
    see();
    ck_assert(!o.other_leads && !o.nobody_leads);
    view.leader_alive = true;
    view.leader = "h:1";
    see();
    ck_assert(!o.other_leads);
}
END_TEST

/* A last word is listened for when a leader's connections have closed without one: not when it was
 * silent for long, nor when it has named an heir, nor when it was we. */
START_TEST(who_is_listened_for)
{
    static const struct {
        bool gone, heir_sure, we_led, led;
        uint32_t listen_ms;
        bool fell_silent;
    } rows[] = {
        {true, false, false, true, LEASE_MS / 8, false},
        {false, false, false, true, 0, true},
        {true, true, false, true, 0, false},
        {false, true, false, true, 0, false},
        {true, false, true, true, 0, false},
        {false, false, true, true, 0, false},
        {true, false, false, false, 0, false},
        {false, false, false, false, 0, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setup();
        view.free = true;
        view.gone = rows[i].gone;
        view.heir_sure = rows[i].heir_sure;
        view.leader = rows[i].we_led ? "h:1" : "h:9";
        view.leader_term.n = rows[i].led ? 7 : 0;
        see();
        ck_assert_msg(o.listen_ms == rows[i].listen_ms && o.fell_silent == rows[i].fell_silent,
                      "row %zu: %u ms, silent %d", i, o.listen_ms, o.fell_silent);
    }
}
END_TEST

/* That the last leader fell silent is remembered until nobody leads the next time. */
START_TEST(silence_is_remembered)
{
    view.free = true;
    see();
    ck_assert(o.fell_silent);
    view.free = false;
    view.gone = true;
    see();
    ck_assert(o.fell_silent);
    view.free = true;
    see();
    ck_assert(!o.fell_silent);
}
END_TEST

/* We are the heir if the leader named us, and that is sure. */
START_TEST(heir)
{
    view.heir = "h:1";
    see();
    ck_assert(!o.heir);
    view.heir_sure = true;
    see();
    ck_assert(o.heir);
    view.heir = "h:2";
    see();
    ck_assert(!o.heir);
}
END_TEST

/* Each row is another proxy, and whether it goes before us: by whether its Redis goes along, by a
 * distance in the log that counts, and by name. Who leads, or has gone, does not. */
START_TEST(rank)
{
    static const struct {
        const char *name;
        bool synced;
        int ahead_mib;
        enum roster_role role;
        unsigned silent_ms;
        bool self_synced;
        unsigned rank;
    } rows[] = {
        {"a", true, 0, ROSTER_FOLLOWER, 0, true, 1},
        {"z", true, 0, ROSTER_FOLLOWER, 0, true, 0},
        {"z", true, 4, ROSTER_FOLLOWER, 0, true, 0}, /* no distance yet */
        {"z", true, 5, ROSTER_FOLLOWER, 0, true, 1},
        {"a", true, -4, ROSTER_FOLLOWER, 0, true, 1},
        {"a", true, -5, ROSTER_FOLLOWER, 0, true, 0},
        {"a", false, 50, ROSTER_FOLLOWER, 0, true, 0},
        {"z", true, -50, ROSTER_CANDIDATE, 0, false, 1 + 8}, /* and steps for it to be faster */
        {"z", false, 0, ROSTER_FOLLOWER, 0, false, 0},
        {"a", false, 0, ROSTER_FOLLOWER, 0, false, 1},
        {"a", true, 9, ROSTER_LEADER, 0, true, 0},
        {"a", true, 9, ROSTER_FOLLOWER, 999, true, 1},
        {"a", true, 9, ROSTER_FOLLOWER, 1000, true, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setup();
        uint64_t offset = (uint64_t)((100 + rows[i].ahead_mib) * (int64_t)MIB);
        struct roster_entry *e = peer(rows[i].name, "h:2", rows[i].synced, offset);
        e->role = rows[i].role;
        e->heard_ns -= rows[i].silent_ms * CLOCK_NS_PER_MS;
        self.synced = rows[i].self_synced;
        see();
        ck_assert_msg(o.rank == rows[i].rank, "row %zu: %u", i, o.rank);
    }
}
END_TEST

/* Who was named goes first, even if it is none of the best; we are not counted among the others,
 * nor is one whose address can't be read. */
START_TEST(named_goes_first)
{
    (void)peer("m", "h:1", true, self.offset);
    (void)peer("broken", "nowhere", true, self.offset + (uint64_t)50 * MIB);
    peer("z", "h:2", true, 0)->needs = 77;
    see();
    ck_assert_uint_eq(o.peer_count, 1);
    ck_assert_uint_eq(o.peers[0].needs, 77);
    ck_assert_uint_eq(o.rank, 0);
    view.heir = "h:2";
    see();
    ck_assert_uint_eq(o.rank, 1);
}
END_TEST

/* The successor is the best of those that could lead at once. */
START_TEST(successor)
{
    see();
    ck_assert_ptr_null(o.successor);
    (void)peer("b", "h:2", false, self.offset);
    (void)peer("c", "h:3", true, self.offset);
    (void)peer("d", "h:4", true, self.offset + (uint64_t)5 * MIB);
    (void)peer("a", "h:5", true, self.offset + (uint64_t)5 * MIB);
    roster.entries[3].heard_ns -= 2 * CLOCK_NS_PER_S;
    see();
    ck_assert_str_eq(o.successor->name, "d");
    roster.entries[2].role = ROSTER_LEADER;
    see();
    ck_assert_str_eq(o.successor->name, "c");
    roster.entries[1].synced = false;
    see();
    ck_assert_ptr_null(o.successor);
}
END_TEST

/* A hand-over goes to the best, or to whom it is asked for, by name or address; who can't lead now
 * is refused with the reason. */
START_TEST(hand_over)
{
    const char *refusal;

    see();
    ck_assert_str_eq(heir_name("", &refusal), "");
    ck_assert_str_eq(refusal, "NOTREADY no other proxy's Redis goes along with the log");
    (void)peer("b", "h:2", true, self.offset);
    (void)peer("c", "h:3", true, self.offset);
    (void)peer("behind", "h:4", false, 4000);
    (void)peer("ahead", "h:5", false, 9000);
    peer("gone", "h:6", true, self.offset)->heard_ns -= CLOCK_NS_PER_S;
    see();
    ck_assert_str_eq(heir_name("", &refusal), "b");
    ck_assert_str_eq(heir_name("c", &refusal), "c");
    ck_assert_str_eq(heir_name("h:3", &refusal), "c");
    ck_assert_str_eq(heir_name("behind", &refusal), "");
    ck_assert_str_eq(refusal, "NOTREADY behind is not caught up: 1000 bytes behind");
    ck_assert_str_eq(heir_name("h:5", &refusal), "");
    ck_assert_str_eq(refusal, "NOTREADY ahead is not caught up: 0 bytes behind");
    ck_assert_str_eq(heir_name("gone", &refusal), "");
    ck_assert_str_eq(refusal, "NOPEER no such proxy is there");
    ck_assert_str_eq(heir_name("nobody", &refusal), "");
    ck_assert_str_eq(refusal, "NOPEER no such proxy is there");
    ck_assert_str_eq(heir_name("m", &refusal), "");
    ck_assert_str_eq(refusal, "ERR this proxy leads already");
    ck_assert_str_eq(heir_name("h:1", &refusal), "");
    ck_assert_str_eq(refusal, "ERR this proxy leads already");
}
END_TEST

int main(void)
{
    return UNIT_RUN("outlook", setup, NULL, who_leads, who_is_listened_for, silence_is_remembered,
                    heir, rank, named_goes_first, successor, hand_over);
}
