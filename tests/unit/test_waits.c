/* Who waits for log nodes, and until when. */
#include "proxy/clients/waits.h"

#include "tests/lib/unit.h"

static struct waits waits;
static struct waits_log state;

static void setup(void)
{
    waits_init(&waits);
    state = (struct waits_log){.flushed = {100, 200, 300}, .count = 3, .committed = 200};
}

static struct wait wants(uint64_t target, long long nodes, uint64_t until_ns)
{
    return (struct wait){.target = target, .nodes = nodes, .until_ns = until_ns};
}

#define ASSERT_OVER(w, now) ck_assert_ptr_eq(waits_next_over(&waits, &state, now), w)
#define ASSERT_NONE(now)    ck_assert_ptr_null(waits_next_over(&waits, &state, now))

/* A node counts that has all of it, to the byte; "local" is the commit, whoever has it. */
START_TEST(test_counts)
{
    struct wait w = wants(200, 2, 0);

    ck_assert_uint_eq(waits_nodes(&state, 0), 3);
    ck_assert_uint_eq(waits_nodes(&state, 100), 3);
    ck_assert_uint_eq(waits_nodes(&state, 101), 2);
    ck_assert_uint_eq(waits_nodes(&state, 301), 0);
    ck_assert(waits_is_met(&state, &w));
    w.nodes = 3;
    ck_assert(!waits_is_met(&state, &w));
    w.nodes = -1;
    ck_assert(waits_is_met(&state, &w));
    w = wants(201, 0, 0);
    ck_assert(waits_is_met(&state, &w));
    w.local = true;
    ck_assert(!waits_is_met(&state, &w));
    w.target = 200;
    ck_assert(waits_is_met(&state, &w));
}
END_TEST

/* Each is let go when as many nodes as it wants have its writes, whoever came first, and once. */
START_TEST(test_met)
{
    struct wait two = wants(250, 2, UINT64_MAX), three = wants(150, 3, UINT64_MAX);
    struct wait never = wants(1, 99, UINT64_MAX), local = wants(250, 0, UINT64_MAX);

    local.local = true;
    waits_add(&waits, &two);
    waits_add(&waits, &three);
    waits_add(&waits, &never);
    waits_add(&waits, &local);
    ASSERT_NONE(1);
    state.flushed[0] = 150;
    ASSERT_OVER(&three, 1);
    ASSERT_NONE(1);
    state.flushed[1] = 250;
    ASSERT_OVER(&two, 1);
    ASSERT_NONE(1);
    state.committed = 250;
    ASSERT_OVER(&local, 1);
    ASSERT_NONE(1);
    ck_assert_uint_eq(waits.count, 1);
    waits_remove(&waits, &never);
    waits_remove(&waits, &never);
    ck_assert_uint_eq(waits.count, 0);
    ck_assert_uint_eq(waits_next_ns(&waits), UINT64_MAX);
}
END_TEST

/* One that came later but waits for less (a connection that was silent) is not behind the others.
 */
START_TEST(test_order)
{
    struct wait w[3] = {wants(310, 2, UINT64_MAX), wants(330, 2, UINT64_MAX),
                        wants(320, 2, UINT64_MAX)};
    struct wait low = wants(305, 2, UINT64_MAX);

    for (int i = 0; i < 3; i++) {
        waits_add(&waits, &w[i]);
    }
    waits_add(&waits, &low);
    state.flushed[1] = state.flushed[2] = 320;
    ASSERT_OVER(&low, 1);
    ASSERT_OVER(&w[0], 1);
    ASSERT_OVER(&w[2], 1);
    ASSERT_NONE(1);
    state.flushed[1] = state.flushed[2] = 330;
    ASSERT_OVER(&w[1], 1);
}
END_TEST

/* Time-outs, each at its time, in any order; the next one is always known early enough. */
START_TEST(test_time)
{
    struct wait a = wants(900, 1, 50), b = wants(900, 2, 40), c = wants(900, 99, 60);

    waits_add(&waits, &a);
    waits_add(&waits, &b);
    waits_add(&waits, &c);
    ck_assert_uint_eq(waits_next_ns(&waits), 40);
    ASSERT_NONE(39);
    ASSERT_OVER(&b, 40);
    ASSERT_NONE(40);
    ck_assert_uint_eq(waits_next_ns(&waits), 50);
    ASSERT_OVER(&a, 55);
    ASSERT_NONE(55);
    ck_assert_uint_eq(waits_next_ns(&waits), 60);
    ASSERT_OVER(&c, 60);
    ck_assert_uint_eq(waits_next_ns(&waits), UINT64_MAX);
}
END_TEST

/* Those whose time is over at once are found at once, and not each by another look at all who wait;
 * who leaves meanwhile is not among them. */
START_TEST(test_late)
{
    struct wait w[4] = {wants(900, 1, 10), wants(900, 99, 20), wants(900, 2, 15),
                        wants(900, 1, 100)};

    for (int i = 0; i < 4; i++) {
        waits_add(&waits, &w[i]);
    }
    ASSERT_OVER(&w[0], 50);
    ck_assert_uint_eq(waits_next_ns(&waits), 100);
    ck_assert_ptr_eq(waits.late.first, &w[2]);
    ck_assert_ptr_eq(waits.late.last, &w[1]);
    waits_remove(&waits, &w[2]);
    ck_assert_uint_eq(waits.count, 2);
    ASSERT_OVER(&w[1], 50);
    ASSERT_NONE(50);
    ck_assert_uint_eq(waits.count, 1);
    waits_add(&waits, &w[0]); /* it asks again */
    state.flushed[0] = 900;
    ASSERT_OVER(&w[3], 50);
    ASSERT_OVER(&w[0], 50);
    ck_assert_uint_eq(waits.count, 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("waits", setup, NULL, test_counts, test_met, test_order, test_time, test_late);
}
