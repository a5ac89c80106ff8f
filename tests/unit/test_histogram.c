/* The histogram against a sorted array of the same values, and the window against the clock. */
#include "common/histogram.h"

#include "common/random.h"
#include "tests/lib/unit.h"

static struct histogram h;
static struct histogram_window w;

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Random values of every magnitude: each percentile is the true one or up to 1/32 above it. */
START_TEST(percentiles_are_near_the_truth)
{
    enum { VALUES = 5000 };
    static uint64_t values[VALUES];
    static const double percents[] = {0.01, 1, 10, 50, 90, 99, 99.9, 100};
    struct random r;

    random_init(&r, 7);
    histogram_reset(&h);
    for (int i = 0; i < VALUES; i++) {
        values[i] = random_next(&r) >> (32 + random_below(&r, 32));
        histogram_record(&h, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        double exact = VALUES * percents[i] / 100;
        size_t rank = (size_t)exact + ((double)(size_t)exact < exact);
        uint64_t truth = values[rank - 1];
        uint64_t told = histogram_percentile(&h, percents[i]);
        ck_assert_msg(told >= truth && told <= truth + truth / 32, "%f: %lu for %lu", percents[i],
                      (unsigned long)told, (unsigned long)truth);
    }
    ck_assert_uint_eq(histogram_percentile(&h, 100), values[VALUES - 1]);
}
END_TEST

/* Around each power of two, where buckets change their width, a single value is told back. */
START_TEST(edges)
{
    histogram_reset(&h);
    ck_assert_uint_eq(histogram_percentile(&h, 50), 0);
    for (int bit = 0; bit < 64; bit++) {
        for (int d = -1; d <= 1; d++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)d;
            histogram_reset(&h);
            histogram_record(&h, value);
            ck_assert_uint_eq(histogram_percentile(&h, 50), value);
            histogram_record(&h, UINT64_MAX);
            uint64_t told = histogram_percentile(&h, 50);
            if (value < UINT32_MAX) { /* the last bucket tells the largest value */
                ck_assert(told >= value && told - value <= value / 32);
            }
        }
    }
}
END_TEST

/* A value is seen for at least half a window, and after a window no more, wherever in a half it was
 * recorded. */
START_TEST(window_forgets)
{
    for (uint64_t at = 0; at < 30; at++) {
        histogram_window_init(&w, 10, 100);
        histogram_window_record(&w, 77, 100 + at);
        for (uint64_t later = 0; later < 5; later++) {
            ck_assert_uint_eq(histogram_window_percentile(&w, 50, 100 + at + later), 77);
        }
        ck_assert_uint_eq(histogram_window_percentile(&w, 50, 100 + at + 10), 0);
    }
}
END_TEST

/* Both halves count, and a busy window forgets as an idle one does. */
START_TEST(window_slides)
{
    histogram_window_init(&w, 10, 0);
    for (uint64_t now = 0; now < 100; now++) {
        histogram_window_record(&w, now < 50 ? 10 : 20, now);
        if (now == 54) { /* 45 to 49 gave 10, 50 to 54 gave 20 */
            ck_assert_uint_eq(histogram_window_percentile(&w, 50, now), 10);
            ck_assert_uint_eq(histogram_window_percentile(&w, 51, now), 20);
        }
        if (now >= 60) {
            ck_assert_uint_eq(histogram_window_percentile(&w, 1, now), 20);
        }
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("histogram", NULL, NULL, percentiles_are_near_the_truth, edges, window_forgets,
                    window_slides);
}
