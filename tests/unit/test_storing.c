/* Which log nodes are given a snapshot, in which order, and how long each is waited for. */
#include "proxy/snapshot/storing.h"
#include "tests/lib/unit.h"

enum { PATIENCE = 1000, ALL = 7 };

static struct storing s;
static uint64_t now;

static void setup(void)
{
    now = 50000;
    storing_init(&s, ALL, PATIENCE);
}

static struct storing_view view(uint64_t taken)
{
    return (struct storing_view){
        .now_ns = now, .active = true, .answering = UINT32_MAX, .taken_bytes = taken};
}

static enum storing_end look_at(uint32_t full, uint32_t busy)
{
    struct storing_view v = view(s.taken_bytes);

    v.full = full;
    v.busy = busy;
    return storing_look(&s, &v);
}

static void all_have_it(unsigned count)
{
    struct storing_view v = view(0);

    v.active = false;
    v.stored = count;
    ck_assert_int_eq(storing_look(&s, &v), STORING_DONE);
}

static void expect_next(uint32_t turn)
{
    ck_assert(storing_next(&s, now, ALL, false) == (turn != 0));
    ck_assert_uint_eq(s.turn, turn);
}

/* One after the other, and those that don't answer when it is their turn are left out. */
START_TEST(one_after_the_other)
{
    expect_next(1);
    all_have_it(1);
    ck_assert(!storing_is_enough(&s));
    ck_assert(storing_next(&s, now, 4, false));
    ck_assert_uint_eq(s.turn, 4);
    all_have_it(1);
    ck_assert(storing_is_enough(&s));
    expect_next(0);
    ck_assert_uint_eq(s.stored, 2);
    ck_assert_uint_eq(s.members, 3);
}
END_TEST

/* In a hurry all at once; those that have begun are not left for it. */
START_TEST(all_at_once)
{
    expect_next(1);
    all_have_it(1);
    ck_assert(storing_next(&s, now, ALL, true));
    ck_assert_uint_eq(s.turn, 6);
    struct storing_view v = view(0);
    v.stored = 1; /* the other one is waited for */
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON);
    now += PATIENCE + 1;
    v.now_ns = now;
    ck_assert_int_eq(storing_look(&s, &v), STORING_SILENT);
    ck_assert_uint_eq(s.stored, 2);
    expect_next(0);
}
END_TEST

/* One that takes nothing is waited for so long, whatever it took before; one that does not answer
 * any more a tenth of that. The one does not come again, the other does if a quorum needs it. */
START_TEST(patience)
{
    expect_next(1);
    now += PATIENCE;
    ck_assert_int_eq(look_at(0, 0), STORING_ON);
    struct storing_view v = view(10);
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON);
    now += PATIENCE;
    ck_assert_int_eq(look_at(0, 0), STORING_ON);
    now++;
    ck_assert_int_eq(look_at(0, 0), STORING_SILENT);
    expect_next(2);
    v = view(0);
    v.answering = 5;
    v.now_ns = now + PATIENCE / 10;
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON);
    v.now_ns++;
    ck_assert_int_eq(storing_look(&s, &v), STORING_SILENT);
    expect_next(4);
    now += PATIENCE;
    storing_again(&s, now); /* under another term */
    now += PATIENCE;
    ck_assert_int_eq(look_at(0, 0), STORING_ON);
    all_have_it(1);
    ck_assert(!storing_is_enough(&s));
    expect_next(2);
    all_have_it(1);
    expect_next(0);
    ck_assert(storing_is_enough(&s));
}
END_TEST

/* It is its turn, and it says nothing. */
static void is_silent(void)
{
    struct storing_view v = view(0);

    v.answering = 0;
    v.now_ns = now += PATIENCE / 10;
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON);
    v.now_ns = ++now;
    ck_assert_int_eq(storing_look(&s, &v), STORING_SILENT);
}

/* All stand still at once: it is the turn of those that were left out again, a few times, and again
 * so often when one has got it. */
START_TEST(all_stand_still)
{
    expect_next(1);
    is_silent();
    for (int i = 0; i < 2; i++) {
        ck_assert(storing_next(&s, now, 0, false));
        ck_assert_uint_eq(s.turn, 1);
        is_silent();
    }
    ck_assert(storing_next(&s, now, 4, false)); /* rather one that answers */
    ck_assert_uint_eq(s.turn, 4);
    all_have_it(1);
    for (int i = 0; i < 3; i++) {
        ck_assert(storing_next(&s, now, 0, false));
        ck_assert_uint_eq(s.turn, 1);
        is_silent();
    }
    ck_assert(!storing_next(&s, now, 0, false));
    ck_assert(!storing_is_enough(&s));
}
END_TEST

/* Who has it is not turned to again, nor who is put back already, nor anybody when a quorum has it.
 */
START_TEST(nobody_comes_twice)
{
    struct storing_view v = view(0);

    ck_assert(storing_next(&s, now, ALL, true));
    ck_assert_uint_eq(s.turn, ALL);
    v.stored = 1;
    v.answering = 0;
    v.now_ns = now += PATIENCE;
    ck_assert_int_eq(storing_look(&s, &v), STORING_SILENT);
    ck_assert(!storing_next(&s, now, ALL, true));

    setup();
    ck_assert(storing_next(&s, now, ALL, true));
    v.stored = 0;
    v.busy = 1;
    v.now_ns = now += PATIENCE;
    ck_assert_int_eq(storing_look(&s, &v), STORING_SILENT);
    expect_next(1);
    all_have_it(1);
    expect_next(2);
    all_have_it(1);
    expect_next(0); /* two of three have it */
}
END_TEST

/* One without room is left at once, and counted; of several, when the others have it. */
START_TEST(no_room)
{
    expect_next(1);
    ck_assert_int_eq(look_at(1, 0), STORING_NO_ROOM);
    ck_assert(storing_next(&s, now, ALL, true));
    struct storing_view v = view(0);
    v.full = 4;
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON);
    v.stored = 1;
    ck_assert_int_eq(storing_look(&s, &v), STORING_NO_ROOM);
    ck_assert_uint_eq(s.no_room, 2);
    ck_assert_uint_eq(s.stored, 1);
    expect_next(0);
}
END_TEST

/* One that keeps another in its place is left at once, too; it is not one without room. */
START_TEST(another_in_its_place)
{
    expect_next(1);
    struct storing_view v = view(0);
    v.other = 1;
    ck_assert_int_eq(storing_look(&s, &v), STORING_OTHER);
    ck_assert(storing_next(&s, now, ALL, true));
    v.other = 2;
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON);
    v.full = 4;
    ck_assert_int_eq(storing_look(&s, &v), STORING_NO_ROOM);
    ck_assert_uint_eq(s.no_room, 1);
    expect_next(0);
}
END_TEST

/* One that is being given another one comes again behind the others, and alone it is waited for
 * much longer, as long as there is no quorum without it. */
START_TEST(busy_and_needed)
{
    expect_next(1);
    ck_assert_int_eq(look_at(0, 1), STORING_BUSY);
    expect_next(2);
    now += PATIENCE + 1;
    ck_assert_int_eq(look_at(0, 0), STORING_SILENT);
    /* Also if nobody else is left that answers. */
    ck_assert(storing_next(&s, now, 3, false));
    ck_assert_uint_eq(s.turn, 1);
    now += 28 * PATIENCE;
    ck_assert_int_eq(look_at(0, 1), STORING_ON);
    struct storing_view v = view(100);
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON); /* it takes something after all */
    now += 30 * PATIENCE;
    v = view(100);
    v.busy = 1;
    v.now_ns = now;
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON); /* and is busy again since just now */
    now += 30 * PATIENCE;
    ck_assert_int_eq(look_at(0, 1), STORING_ON);
    ck_assert_int_eq(look_at(0, 0), STORING_ON); /* is about to take, and has patience for that */
    now++;
    ck_assert_int_eq(look_at(0, 1), STORING_SILENT);
    expect_next(4); /* which answers again */
}
END_TEST

/* Several that are busy take turns, and all of them together are not waited for longer than one. */
START_TEST(busy_together)
{
    uint64_t begun = now;

    expect_next(1);
    while (s.turn != 0) {
        now += PATIENCE / 2;
        ck_assert_uint_lt(now - begun, 33 * PATIENCE);
        if (look_at(0, s.turn) != STORING_ON) {
            (void)storing_next(&s, now, ALL, false);
        }
    }
    ck_assert_uint_gt(now - begun, 30 * PATIENCE);
    ck_assert(!storing_is_enough(&s));
}
END_TEST

/* Once a quorum has it, nobody who is busy is waited for or comes again. */
START_TEST(busy_and_not_needed)
{
    storing_init(&s, 31, PATIENCE);
    for (uint32_t node = 1; node <= 2; node <<= 1) {
        ck_assert(storing_next(&s, now, 31, false));
        all_have_it(1);
    }
    ck_assert(storing_next(&s, now, 31, false));
    ck_assert_int_eq(look_at(0, 4), STORING_BUSY); /* needed */
    ck_assert(storing_next(&s, now, 31, false));
    all_have_it(1);
    ck_assert(storing_is_enough(&s));
    for (int i = 0; i < 2; i++) {
        ck_assert(storing_next(&s, now, 31, false));
        ck_assert_int_eq(look_at(0, s.turn), STORING_BUSY);
    }
    ck_assert(!storing_next(&s, now, 31, false));

    /* In a hurry: two of three have it, the third is busy. */
    storing_init(&s, ALL, PATIENCE);
    ck_assert(storing_next(&s, now, ALL, true));
    struct storing_view v = view(0);
    v.busy = 2;
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON);
    v.stored = 2;
    ck_assert_int_eq(storing_look(&s, &v), STORING_BUSY);
    expect_next(0);
    ck_assert(storing_is_enough(&s));
}
END_TEST

/* One that is busy among others is put back also if those end otherwise, and not waited for so
 * long if it does not answer at all. */
START_TEST(busy_among_others)
{
    ck_assert(storing_next(&s, now, ALL, true));
    struct storing_view v = view(0);
    v.stored = 1;
    v.busy = 2;
    ck_assert_int_eq(storing_look(&s, &v), STORING_ON); /* the third one has not answered yet */
    now += PATIENCE + 1;
    v.now_ns = now;
    ck_assert_int_eq(storing_look(&s, &v), STORING_SILENT);
    expect_next(2);
    v = view(0);
    v.busy = 2;
    v.answering = 1;
    v.now_ns = now + PATIENCE / 10 + 1;
    ck_assert_int_eq(storing_look(&s, &v), STORING_SILENT);
    ck_assert(storing_next(&s, now, 1, false)); /* as one that does not answer */
    ck_assert_uint_eq(s.turn, 2);
    ck_assert(!storing_is_enough(&s));
}
END_TEST

int main(void)
{
    return UNIT_RUN("storing", setup, NULL, one_after_the_other, all_at_once, patience,
                    all_stand_still, nobody_comes_twice, no_room, another_in_its_place,
                    busy_and_needed, busy_together, busy_and_not_needed, busy_among_others);
}
