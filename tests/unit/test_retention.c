/* Which snapshots are kept, and from where on the log; in doubt, everything. */
#include "logsvc/client/retention.h"

#include "tests/lib/unit.h"

enum { NOW = 10000000 };

static struct catalogue_entry entries[4];
static struct retention_config config;
static struct retention_plan plan;
static uint64_t commit;

/* Proven snapshots at 400, 300, 200, 100, each 1000 ms older than the one before. */
static void setup(void)
{
    commit = 500;
    config = (struct retention_config){.keep = 1, .trim = true, .unverified_ms = 5000};
    for (unsigned i = 0; i < 4; i++) {
        entries[i] = (struct catalogue_entry){
            .on = 7, .verified = 7, .counts = 7, .stored = true, .proven = true};
        entries[i].info.offset = 400 - 100 * i;
        entries[i].info.wall_ms = entries[i].info.taken_ms = NOW - 1000 * (i + 1);
        entries[i].info.verified_ms = 1;
    }
}

static void decide(bool quorum)
{
    struct catalogue_view view = {.answered = 7,
                                  .quorum = quorum,
                                  .count = 4,
                                  .entries = entries,
                                  .begin = 50,
                                  .commit = commit};

    retention_plan(&config, &view, NOW, &plan);
}

static void expect(uint64_t to, unsigned deletes)
{
    ck_assert_uint_eq(plan.trim ? plan.to : 0, to);
    ck_assert_uint_eq(plan.delete_count, deletes);
}

START_TEST(by_count_age_and_window)
{
    decide(true);
    expect(400, 3);
    config.keep = 2;
    decide(true);
    expect(300, 2);
    config.keep = 1;
    config.keep_age_ms = 2500; /* 400 and 300 are younger */
    decide(true);
    expect(300, 2);
    config.keep_age_ms = 0;
    config.pitr_ms = 2500; /* its begin is restored from 200 */
    decide(true);
    expect(200, 1);
    config.pitr_ms = 60000; /* older than all: everything stays */
    decide(true);
    expect(0, 0);
}
END_TEST

START_TEST(in_doubt_nothing_goes)
{
    decide(false);
    expect(0, 0);
    for (unsigned i = 0; i < 4; i++) {
        entries[i].proven = false;
    }
    decide(true);
    expect(0, 0);
    config.trim = false;
    setup();
    config.trim = false;
    decide(true);
    expect(0, 3);
}
END_TEST

/* What nobody verified: newer than the newest proven, it is waited for. Who lacks the newest or its
 * mark is named. */
START_TEST(unverified_and_lacking)
{
    entries[0].proven = false;
    entries[0].verified = entries[0].counts = 0;
    decide(true);
    expect(300, 2);
    config.unverified_ms = 500;
    decide(true);
    expect(300, 3);
    setup();
    entries[0].on = 3;
    entries[0].verified = 1;
    decide(true);
    ck_assert(plan.mark && plan.repair);
    ck_assert_uint_eq(plan.lacking, 4);
    /* Another one that was made of the same moment is as good, if it is verified. */
    entries[1].info.offset = entries[0].info.offset;
    entries[1].info.crc = entries[0].info.crc + 1;
    entries[1].proven = entries[1].stored = false;
    entries[1].on = entries[1].counts = entries[1].verified = 4;
    decide(true);
    ck_assert(!plan.repair);
    entries[1].verified = 0;
    decide(true);
    ck_assert_uint_eq(plan.lacking, 4);
}
END_TEST

/* Where too many have lost it nothing is proven: the last copy goes to all the others, and nothing
 * else is done. */
START_TEST(the_last_copy)
{
    for (unsigned i = 0; i < 4; i++) {
        entries[i].proven = entries[i].stored = false;
        entries[i].on = entries[i].counts = entries[i].verified = i == 0 ? 0 : 4;
    }
    entries[0].on = 1; /* somebody has begun to store it, and nobody has verified it */
    decide(true);
    expect(0, 0);
    ck_assert(plan.repair && !plan.mark);
    ck_assert_uint_eq(plan.lacking, 3);
    ck_assert_uint_eq(plan.by.offset, 300);
    decide(false);
    ck_assert(!plan.repair);
    for (unsigned i = 0; i < 4; i++) {
        entries[i].on = entries[i].counts = 7;
    }
    decide(true);
    ck_assert(!plan.repair);
}
END_TEST

/* What the log was begun with counts without a mark: it is kept among the others, as long as there
 * are no more than `keep`; not if it does not count, or not on a quorum. */
START_TEST(the_first_one)
{
    entries[3].proven = false;
    entries[3].verified = 0;
    config.keep = 4;
    decide(true);
    expect(100, 0);
    config.keep = 3;
    decide(true);
    expect(200, 1);
    config.keep = 4;
    entries[3].stored = false;
    entries[3].on = entries[3].counts = 1;
    decide(true);
    expect(200, 1);
    setup();
    config.keep = 4;
    entries[3].proven = false;
    entries[3].verified = entries[3].counts = 0;
    decide(true);
    expect(200, 1);
}
END_TEST

/* What a Redis needs that is made anew stays, however many came since, but neither for long nor
 * with more log behind it than there may be. */
START_TEST(what_is_needed)
{
    config.needed[config.needed_count++] = 400; /* goes along from the newest on */
    config.needed_max_bytes = 10;
    entries[0].info.verified_ms = NOW - 59999;
    entries[0].info.size_bytes = 800;
    commit = 1000;
    decide(true);
    expect(400, 3);
    config.needed[config.needed_count++] = 300; /* loads that one */
    decide(true);
    expect(300, 2);
    config.needed[1] = 299; /* has loaded the one before, and replays */
    decide(true);
    expect(200, 2);
    ck_assert_uint_eq(plan.deletes[0].offset, 300); /* of no use to it */
    ck_assert_uint_eq(plan.deletes[1].offset, 100);
    config.needed[0] = 300; /* but to another one */
    decide(true);
    expect(200, 1);
    config.needed[1] = 99; /* needs what has gone */
    decide(true);
    expect(300, 2);
    config.needed_count = 0;
    decide(true);
    expect(400, 3);

    config.needed[config.needed_count++] = 200;
    commit = 1001; /* 801 bytes of log */
    decide(true);
    expect(400, 3);
    config.needed_max_bytes = 801;
    decide(true);
    expect(200, 2);
    entries[0].info.verified_ms = NOW - 60000;
    decide(true);
    expect(400, 3);
    entries[0].info.size_bytes = UINT64_C(600) << 20; /* that takes 75 s */
    decide(true);
    expect(200, 2);
    entries[0].info.size_bytes = UINT64_C(1) << 60;
    entries[0].info.verified_ms = NOW - 3600 * 1000;
    decide(true);
    expect(400, 3);

    entries[0].info.verified_ms = NOW;
    entries[2].proven = false; /* not whichever node is lost: the one below it is */
    entries[2].counts = 3;
    decide(true);
    expect(100, 1);
    ck_assert_uint_eq(plan.deletes[0].offset, 300); /* and not the one that is being loaded */
    config.needed[0] = 201;
    decide(true);
    expect(100, 2);
    config.keep = 2; /* wanted for itself */
    config.needed[0] = 300;
    decide(true);
    expect(300, 2);
    config.pitr_ms = 60000; /* everything stays */
    config.needed[0] = 200;
    decide(true);
    expect(0, 0);
}
END_TEST

/* Of a Redis of which nobody knows where it is, it is taken that it began with the one in front of
 * the newest, within the same bounds. */
START_TEST(what_is_needed_is_not_known)
{
    config.needed[config.needed_count++] = 0;
    config.needed_max_bytes = 200;
    entries[0].info.verified_ms = NOW - 59999;
    decide(true);
    expect(300, 2);
    entries[1].proven = false; /* not whichever node is lost */
    entries[1].counts = 3;
    decide(true);
    expect(400, 3);
    config.needed_max_bytes = 300;
    decide(true);
    expect(200, 2);
    config.needed[config.needed_count++] = 250; /* of two, that which is further back */
    entries[1].proven = true;
    decide(true);
    expect(200, 1);
    config.needed_count = 1;
    entries[0].proven = false; /* the newest proven one counts */
    entries[0].verified = entries[0].counts = 0;
    entries[1].info.verified_ms = NOW;
    decide(true);
    expect(200, 1);
    entries[1].info.verified_ms = NOW - 60000;
    decide(true);
    expect(300, 2);
}
END_TEST

/* The very one that a Redis is made anew from stays also where it is not whichever node is lost: it
 * may still be fetched from there, and the log goes back to one that is. */
START_TEST(what_is_in_use)
{
    config.needed[config.needed_count++] = 300;
    config.needed_max_bytes = 1000;
    entries[0].info.verified_ms = NOW;
    entries[1].proven = entries[1].stored = false;
    entries[1].verified = entries[1].counts = 1;
    decide(true);
    expect(200, 1);
    ck_assert_uint_eq(plan.deletes[0].offset, 100);
    config.needed[0] = 301; /* has loaded it */
    decide(true);
    expect(200, 2);
    config.needed[0] = 300;
    entries[0].info.verified_ms = 1; /* too long ago */
    decide(true);
    expect(400, 3);
}
END_TEST

/* A node that lacks the newest is not asked to delete the newest that it has: it would refuse. The
 * others are, and it is as soon as it has a newer one. */
START_TEST(what_a_node_needs_is_not_asked_for)
{
    entries[0].on = entries[0].counts = 3;
    decide(true);
    expect(400, 3);
    entries[1].on = entries[1].counts = 4;
    decide(true);
    expect(400, 2);
    ck_assert_uint_eq(plan.deletes[0].offset, 200);
    entries[1].counts = 0; /* nobody is brought up from it there: it goes */
    decide(true);
    expect(400, 3);
    entries[1].counts = 4;
    entries[0].on = entries[0].counts = 7;
    decide(true);
    expect(400, 3);
}
END_TEST

/* Of more than 32 one goes at a time, the one whose neighbours are nearest to each other, the older
 * of several: not one of the newest that are kept by number, not the oldest, and nothing of the
 * log. */
START_TEST(many_are_thinned_out)
{
    static struct catalogue_entry many[64];
    struct catalogue_view view = {
        .answered = 7, .quorum = true, .count = 33, .entries = many, .begin = 50};

    for (unsigned i = 0; i < 64; i++) {
        many[i] = entries[0];
        many[i].info.offset = 10000 - 100 * i;
    }
    config.keep_age_ms = 1000000;
    for (int all = 0; all < 2; all++) {
        config.pitr_ms = all == 0 ? 0 : NOW; /* older than all */
        view.count = 32;
        retention_plan(&config, &view, NOW, &plan);
        ck_assert_uint_eq(plan.delete_count, 0);
        view.count = 33;
        many[32].info.offset = 100; /* so that the last but one has a distant neighbour */
        retention_plan(&config, &view, NOW, &plan);
        ck_assert_uint_eq(plan.delete_count, 1);
        ck_assert_uint_eq(plan.deletes[0].offset, many[30].info.offset);
        ck_assert(all == 1 || plan.to == 100);
        many[2].info.offset += 50; /* nearer to the first */
        retention_plan(&config, &view, NOW, &plan);
        ck_assert_uint_eq(plan.deletes[0].offset, many[1].info.offset);
        config.keep = 2;
        retention_plan(&config, &view, NOW, &plan);
        ck_assert_uint_eq(plan.deletes[0].offset, many[30].info.offset);
        config.keep = 40;
        retention_plan(&config, &view, NOW, &plan);
        ck_assert_uint_eq(plan.delete_count, 0);
        config.keep = 1;
        many[2].info.offset -= 50;
        many[32].info.offset = 10000 - 3200;
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("retention", setup, NULL, by_count_age_and_window, in_doubt_nothing_goes,
                    unverified_and_lacking, the_last_copy, the_first_one, what_is_needed,
                    what_is_needed_is_not_known, what_is_in_use, what_a_node_needs_is_not_asked_for,
                    many_are_thinned_out);
}
