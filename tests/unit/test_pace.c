/* The pace of appends: at once when nothing is gained by waiting, together when something is, and
 * never held for long. */
#include "proxy/engine/pace.h"

#include "tests/lib/unit.h"

enum { US = 1000, MS = 1000 * US };

static struct pace pace;

/* A pace that has seen commits of 500 µs. */
static void setup(void)
{
    pace_init(&pace, 2 * MS);
    pace_appended(&pace, 1 * MS);
    pace_sent(&pace, 1 * MS, 100);
    pace_committed(&pace, 1 * MS + 500 * US, 100);
}

START_TEST(nothing_pending_is_never_due)
{
    ck_assert(!pace_due(&pace, 10 * MS, true));
    ck_assert(pace_next_ns(&pace) == UINT64_MAX);
}
END_TEST

/* One client: its write goes out in the turn in which its effect came. */
START_TEST(an_idle_engine_sends_at_once)
{
    pace_appended(&pace, 10 * MS);
    ck_assert(pace_due(&pace, 10 * MS, true));
}
END_TEST

/* Many clients: effects gather for the time that a commit takes. */
START_TEST(a_busy_engine_gathers_for_a_commit)
{
    pace_appended(&pace, 10 * MS);
    pace_appended(&pace, 10 * MS + 100 * US);
    ck_assert(!pace_due(&pace, 10 * MS + 499 * US, false));
    ck_assert(pace_next_ns(&pace) == 10 * MS + 500 * US);
    ck_assert(pace_due(&pace, 10 * MS + 500 * US, false));
}
END_TEST

/* While an append is under way the next one grows, even if the engine falls idle. */
START_TEST(the_next_append_grows_behind_the_last)
{
    pace_appended(&pace, 10 * MS);
    pace_sent(&pace, 10 * MS, 200);
    pace_appended(&pace, 10 * MS + 10 * US);
    ck_assert(!pace_due(&pace, 10 * MS + 700 * US, true));
    pace_committed(&pace, 10 * MS + 700 * US, 199);
    ck_assert(!pace_due(&pace, 10 * MS + 700 * US, true));
    pace_committed(&pace, 10 * MS + 700 * US, 200);
    ck_assert(pace_due(&pace, 10 * MS + 700 * US, true));
}
END_TEST

/* A commit that does not come holds nothing back for ever: the nodes may need what is next. */
START_TEST(a_late_commit_does_not_hold)
{
    pace_appended(&pace, 10 * MS);
    pace_sent(&pace, 10 * MS, 200);
    pace_appended(&pace, 11 * MS);
    ck_assert(!pace_due(&pace, 14 * MS - 1, true));
    ck_assert(pace_due(&pace, 14 * MS, false));
}
END_TEST

/* Slow disks make the mean long, and still nothing is held longer than the bound. */
START_TEST(the_hold_is_bounded)
{
    for (unsigned i = 2; i < 100; i++) {
        pace_appended(&pace, i * 1000ull * MS);
        pace_sent(&pace, i * 1000ull * MS, i * 100);
        pace_committed(&pace, i * 1000ull * MS + 300ull * MS, i * 100);
    }
    pace_appended(&pace, 200000ull * MS);
    ck_assert(!pace_due(&pace, 200000ull * MS + 2 * MS - 1, false));
    ck_assert(pace_due(&pace, 200000ull * MS + 2 * MS, false));
}
END_TEST

/* Writes wait for half a commit while an append is under way; reads, and writes with reads, do not.
 */
START_TEST(writes_gather_behind_an_append)
{
    ck_assert(pace_batch_due(&pace, 10 * MS, false));
    pace_batch_sent(&pace);
    pace_appended(&pace, 10 * MS);
    pace_sent(&pace, 10 * MS, 200);
    ck_assert(pace_batch_due(&pace, 10 * MS, true));
    ck_assert(!pace_batch_due(&pace, 10 * MS + 100 * US, false));
    ck_assert(pace_next_ns(&pace) == 10 * MS + 350 * US);
    ck_assert(!pace_batch_due(&pace, 10 * MS + 349 * US, false));
    ck_assert(pace_batch_due(&pace, 10 * MS + 350 * US, false));
    pace_batch_sent(&pace);
    ck_assert(pace_next_ns(&pace) == UINT64_MAX);
    pace_committed(&pace, 10 * MS + 400 * US, 200);
    ck_assert(pace_batch_due(&pace, 10 * MS + 401 * US, false));
}
END_TEST

int main(void)
{
    return UNIT_RUN("pace", setup, NULL, nothing_pending_is_never_due, an_idle_engine_sends_at_once,
                    a_busy_engine_gathers_for_a_commit, the_next_append_grows_behind_the_last,
                    a_late_commit_does_not_hold, the_hold_is_bounded,
                    writes_gather_behind_an_append);
}
