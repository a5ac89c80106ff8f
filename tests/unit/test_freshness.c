/* When a snapshot is due, and whose job it is. */
#include "proxy/snapshot/freshness.h"
#include "tests/lib/unit.h"

static const struct freshness_settings settings = {
    .log_percent = 50, .log_min_bytes = 1000, .retry_ms = 10};

/* So much log makes another due: a share of the snapshot, at least the minimum; sizes near the
 * limits of the type don't wrap. */
START_TEST(thresholds)
{
    static const struct {
        uint64_t size;
        uint32_t percent;
        uint64_t expected;
    } rows[] = {
        {0, 50, 1000},         {1999, 50, 1000},    {2000, 50, 1000},
        {2002, 50, 1001},      {10000, 1, 1000},    {1000000, 1, 10000},
        {1234567, 33, 407407}, {5000, 200, 10000},  {UINT64_C(1) << 50, 100, UINT64_C(1) << 50},
        {150, 1000, 1500},     {99, 100000, 99000},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct freshness_settings s = settings;
        s.log_percent = rows[i].percent;
        ck_assert_uint_eq(freshness_threshold(&s, rows[i].size), rows[i].expected);
    }
}
END_TEST

/* Each row says what is known, and whether this proxy begins. The threshold is 2000. */
START_TEST(due)
{
    enum { MS = 1000000 };
    static const struct {
        const char *what;
        bool known, found;
        uint64_t offset, commit;
        unsigned rank, failures;
        uint64_t ended_ns, now_ns;
        bool expected;
        uint64_t due_ns;
    } rows[] = {
        {"nothing listed yet", false, false, 0, 9000, 0, 0, 0, 1, false, 0},
        {"no snapshot that counts", true, false, 0, 9000, 0, 0, 0, 1, false, 0},
        {"below the threshold", true, true, 100, 2099, 0, 0, 0, 1, false, 0},
        {"at the threshold", true, true, 100, 2100, 0, 0, 0, 1, true, 0},
        {"above it", true, true, 100, 99999, 0, 0, 0, 1, true, 0},
        {"a commit not heard of yet", true, true, 5000, 100, 0, 0, 0, 1, false, 0},
        {"the second in order waits for twice as much", true, true, 0, 3999, 1, 0, 0, 99 * MS,
         false, 1},
        {"the second in order steps in", true, true, 0, 4000, 1, 0, 0, 1 + 10 * MS, true, 1},
        {"… not before the first had time", true, true, 0, 4000, 1, 0, 0, 10 * MS, false, 1},
        {"… nor while it isn't known since when", true, true, 0, 4000, 1, 0, 0, 99 * MS, false, 0},
        {"the third gives it twice as long", true, true, 0, 6000, 2, 0, 0, 20 * MS, false, 1},
        {"… and steps in", true, true, 0, 6000, 2, 0, 0, 1 + 20 * MS, true, 1},
        {"the third waits longer", true, true, 0, 5999, 2, 0, 0, 99 * MS, false, 1},
        {"not able", true, true, 0, 99999, UINT32_MAX, 0, 0, 1, false, 0},
        {"after a failure: too early", true, true, 0, 2000, 0, 1, 5, 5 + 10 * MS - 1, false, 0},
        {"after a failure: again", true, true, 0, 2000, 0, 1, 5, 5 + 10 * MS, true, 0},
        {"after three: four times the pause", true, true, 0, 2000, 0, 3, 5, 5 + 40 * MS - 1, false,
         0},
        {"after three: again", true, true, 0, 2000, 0, 3, 5, 5 + 40 * MS, true, 0},
        {"after fifty: sixteen times", true, true, 0, 2000, 0, 50, 5, 5 + 160 * MS - 1, false, 0},
        {"after fifty: again", true, true, 0, 2000, 0, 50, 5, 5 + 160 * MS, true, 0},
        {"one that came off is no pause", true, true, 0, 2000, 0, 0, 5, 6, true, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct freshness_view v = {.now_ns = rows[i].now_ns,
                                   .known = rows[i].known,
                                   .found = rows[i].found,
                                   .offset = rows[i].offset,
                                   .size_bytes = 4000,
                                   .commit = rows[i].commit,
                                   .rank = rows[i].rank,
                                   .failures = rows[i].failures,
                                   .ended_ns = rows[i].ended_ns,
                                   .due_ns = rows[i].due_ns};
        ck_assert_msg(freshness_due(&settings, &v) == rows[i].expected, "%s", rows[i].what);
    }
}
END_TEST

/* A large dataset is given more time: a second for each MiB. */
START_TEST(patience)
{
    ck_assert_uint_eq(freshness_patience_ns(&settings, 0), 10000000);
    ck_assert_uint_eq(freshness_patience_ns(&settings, UINT64_C(1) << 30), 1024010000000);
}
END_TEST

/* Followers come first, by name; then the leader; who is not able does not count. */
START_TEST(order)
{
    const struct freshness_proxy a = {"a", false, true}, b = {"b", false, true},
                                 lead = {"0", true, true}, away = {"0a", false, false};
    const struct freshness_proxy of_a[] = {b, lead, away}, of_b[] = {a, lead, away},
                                 of_lead[] = {a, b, away}, of_away[] = {a, b, lead};

    ck_assert_uint_eq(freshness_rank(&a, of_a, 3), 0);
    ck_assert_uint_eq(freshness_rank(&b, of_b, 3), 1);
    ck_assert_uint_eq(freshness_rank(&lead, of_lead, 3), 2);
    ck_assert_uint_eq(freshness_rank(&lead, &away, 1), 0);
    ck_assert_uint_eq(freshness_rank(&lead, NULL, 0), 0);
    ck_assert_uint_eq(freshness_rank(&away, of_away, 3), UINT32_MAX);
}
END_TEST

int main(void)
{
    return UNIT_RUN("freshness", NULL, NULL, thresholds, due, patience, order);
}
