/* Who has been heard of lately: one entry for each proxy, bounded, and read from bytes that anybody
 * may have made. */
#include "logsvc/roster.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

static struct roster_entry entry(unsigned n, uint64_t heard_ns)
{
    struct roster_entry e = {.role = ROSTER_FOLLOWER,
                             .synced = n % 2 == 1,
                             .offset = 1000 + n,
                             .needs = 500 + n,
                             .heard_ns = heard_ns,
                             .sentinel_port = n % 3 == 0 ? 26379 : 0};

    (void)snprintf(e.name, sizeof e.name, "proxy%u", n);
    (void)snprintf(e.address, sizeof e.address, "10.0.0.%u:6379", n);
    return e;
}

/* The same proxy, by name and address, has one entry, the newest; an older word changes nothing. */
START_TEST(one_entry_for_each)
{
    struct roster r = {0};
    struct roster_entry e = entry(1, 100), other = entry(1, 100);

    ck_assert_uint_eq(roster_hear(&r, &e), 0);
    e.offset = 7;
    e.heard_ns = 200;
    ck_assert_uint_eq(roster_hear(&r, &e), 0);
    e.offset = 8;
    e.heard_ns = 150;
    ck_assert_uint_eq(roster_hear(&r, &e), 0);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_uint_eq(r.entries[0].offset, 7);
    ck_assert_uint_eq(r.entries[0].heard_ns, 200);

    memcpy(other.address, "10.0.0.9:6379", 14);
    ck_assert_uint_eq(roster_hear(&r, &other), 1);
    other = entry(1, 100);
    memcpy(other.name, "another", 8);
    ck_assert_uint_eq(roster_hear(&r, &other), 2);
}
END_TEST

/* A full one forgets whom it has not heard for longest. */
START_TEST(full)
{
    struct roster r = {0};

    for (unsigned i = 0; i < ROSTER_ENTRIES_MAX; i++) {
        struct roster_entry e = entry(i, i == 5 ? 10 : 100 + i);
        ck_assert_uint_eq(roster_hear(&r, &e), i);
    }
    struct roster_entry e = entry(77, 50);
    ck_assert_uint_eq(roster_hear(&r, &e), ROSTER_ENTRIES_MAX - 1);
    ck_assert_uint_eq(r.count, ROSTER_ENTRIES_MAX);
    for (unsigned i = 0; i < r.count; i++) {
        ck_assert_str_ne(r.entries[i].name, "proxy5");
    }
    ck_assert_str_eq(r.entries[4].name, "proxy4");
    ck_assert_str_eq(r.entries[5].name, "proxy6");
    ck_assert_str_eq(r.entries[ROSTER_ENTRIES_MAX - 1].name, "proxy77");
}
END_TEST

/* Who was silent for longer than that is forgotten; who was heard in the future is not. */
START_TEST(silent_ones_are_forgotten)
{
    struct roster r = {0};
    uint64_t heard_ns[] = {10, 50, 51, 2000};

    for (unsigned i = 0; i < 4; i++) {
        struct roster_entry e = entry(i, heard_ns[i]);
        (void)roster_hear(&r, &e);
    }
    roster_forget(&r, 150, 100);
    ck_assert_uint_eq(r.count, 3);
    ck_assert_str_eq(r.entries[0].name, "proxy1");
    roster_forget(&r, 151, 100);
    ck_assert_uint_eq(r.count, 2);
    roster_forget(&r, UINT64_MAX, 0);
    ck_assert_uint_eq(r.count, 0);
}
END_TEST

static struct buf encoded(uint64_t now_ns, unsigned count)
{
    struct roster r = {0};
    struct buf bytes = BUF_INIT;

    for (unsigned i = 0; i < count; i++) {
        struct roster_entry e = entry(i, 1000 + i);
        (void)roster_hear(&r, &e);
    }
    roster_encode(&r, now_ns, &bytes);
    return bytes;
}

/* Ages travel, so that each side's clock is its own. */
START_TEST(there_and_back)
{
    struct buf bytes = encoded(1010, ROSTER_ENTRIES_MAX);
    struct roster r;

    ck_assert_uint_le(bytes.len, ROSTER_BYTES_MAX);
    ck_assert_int_eq(roster_decode(buf_head(&bytes), bytes.len, 70000, &r), ERR_OK);
    ck_assert_uint_eq(r.count, ROSTER_ENTRIES_MAX);
    for (unsigned i = 0; i < r.count; i++) {
        struct roster_entry e = entry(i, i < 10 ? 70000 - 10 + i : 70000);
        ck_assert_str_eq(r.entries[i].name, e.name);
        ck_assert_str_eq(r.entries[i].address, e.address);
        ck_assert_int_eq(r.entries[i].role, e.role);
        ck_assert(r.entries[i].synced == e.synced);
        ck_assert_uint_eq(r.entries[i].offset, e.offset);
        ck_assert_uint_eq(r.entries[i].needs, e.needs);
        ck_assert_uint_eq(r.entries[i].sentinel_port, e.sentinel_port);
        ck_assert_uint_eq(r.entries[i].heard_ns, e.heard_ns);
    }
    /* Heard before our clock began. */
    ck_assert_int_eq(roster_decode(buf_head(&bytes), bytes.len, 3, &r), ERR_OK);
    ck_assert_uint_eq(r.entries[0].heard_ns, 0);
    buf_release(&bytes);
}
END_TEST

/* Nothing that is cut, too long or can't be is taken. */
START_TEST(garbled)
{
    struct buf bytes = encoded(2000, 2);
    uint8_t *at = buf_head(&bytes);
    struct roster r;

    for (size_t size = 0; size < bytes.len; size++) {
        uint8_t *exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees a step too far */
        memcpy(exact, at, size);
        ck_assert_int_eq(roster_decode(exact, size, 1, &r), ERR_CORRUPT);
        free(exact);
    }
    buf_append(&bytes, "", 1);
    at = buf_head(&bytes);
    ck_assert_int_eq(roster_decode(at, bytes.len, 1, &r), ERR_CORRUPT);
    bytes.len--;
    ck_assert_int_eq(roster_decode(at, bytes.len, 1, &r), ERR_OK);

    /* 2: count, then "proxy0" with its length, the address, role, synced. */
    static const struct {
        size_t at;
        uint8_t value;
    } broken[] = {{0, 17}, {0, 1},    {0, 3},          {1, 1},
                  {2, 64}, {3, '\0'}, {2 + 7 + 14, 3}, {2 + 7 + 14 + 1, 2}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        uint8_t good = at[broken[i].at];
        at[broken[i].at] = broken[i].value;
        ck_assert_msg(roster_decode(at, bytes.len, 1, &r) == ERR_CORRUPT, "%zu", i);
        at[broken[i].at] = good;
    }
    ck_assert_int_eq(roster_decode(at, bytes.len, 1, &r), ERR_OK);
    buf_release(&bytes);
}
END_TEST

int main(void)
{
    return UNIT_RUN("roster", NULL, NULL, one_entry_for_each, full, silent_ones_are_forgotten,
                    there_and_back, garbled);
}
