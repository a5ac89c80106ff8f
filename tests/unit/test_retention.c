/* Which snapshots are kept, and from where on the log; in doubt, everything. */
#include "logsvc/client/retention.h"

#include "tests/lib/unit.h"

enum { NOW = 1000000 };

static struct catalogue_entry entries[4];
static struct retention_config config;
static struct retention_plan plan;

/* Proven snapshots at 400, 300, 200, 100, each 1000 ms older than the one before. */
static void setup(void)
{
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
    struct catalogue_view view = {
        .answered = 7, .quorum = quorum, .count = 4, .entries = entries, .begin = 50};

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

int main(void)
{
    return UNIT_RUN("retention", setup, NULL, by_count_age_and_window, in_doubt_nothing_goes,
                    unverified_and_lacking, the_first_one);
}
