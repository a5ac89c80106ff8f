#include "common/histogram.h"

#include "common/mem.h"

#include <string.h>

#define HISTOGRAM_SUB       (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

/* Values below 2 * SUB have a bucket each. Above, the leading SUB_BITS + 1 bits name the bucket in
 * its octave; the bucket of 2 * SUB follows that of 2 * SUB - 1 without a gap. */
static unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_SUB) {
        return (unsigned)value;
    }
    if (value > HISTOGRAM_VALUE_MAX) {
        value = HISTOGRAM_VALUE_MAX;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t histogram_bucket_max(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_SUB) {
        return bucket;
    }
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t lead = bucket - ((uint64_t)shift << HISTOGRAM_SUB_BITS);
    return ((lead + 1) << shift) - 1;
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

void histogram_record(struct histogram *h, uint64_t value_us)
{
    h->buckets[histogram_bucket(value_us)]++;
    h->count++;
    if (value_us > h->max_us) {
        h->max_us = value_us;
    }
}

/* The percentile of two histograms' values together. */
static uint64_t histogram_percentile_of(const struct histogram *a, const struct histogram *b,
                                        double percent)
{
    uint64_t count = a->count + b->count;
    uint64_t max_us = a->max_us > b->max_us ? a->max_us : b->max_us;
    uint64_t seen = 0;

    MUST(percent > 0 && percent <= 100);
    if (count == 0) {
        return 0;
    }
    double exact = (double)count * percent / 100;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact; /* rounded up, so at least 1 */
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += a->buckets[i] + b->buckets[i];
        if (seen >= rank) {
            uint64_t bucket_max = histogram_bucket_max(i);
            return bucket_max < max_us ? bucket_max : max_us;
        }
    }
    return max_us; /* the last bucket has no upper end */
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    static const struct histogram nothing;
    return histogram_percentile_of(h, &nothing, percent);
}

void histogram_window_init(struct histogram_window *w, uint64_t window_ns, uint64_t now_ns)
{
    histogram_reset(&w->halves[0]);
    histogram_reset(&w->halves[1]);
    w->newer = 0;
    w->half_ns = window_ns / 2;
    w->half_ends_ns = now_ns + w->half_ns;
    MUST(w->half_ns > 0);
}

/* Drops what has left the window. */
static void histogram_window_advance(struct histogram_window *w, uint64_t now_ns)
{
    if (now_ns < w->half_ends_ns) {
        return;
    }
    if (now_ns - w->half_ends_ns >= w->half_ns) { /* nothing for a whole half: both are old */
        histogram_reset(&w->halves[w->newer]);
        w->half_ends_ns = now_ns;
    }
    w->newer = !w->newer;
    histogram_reset(&w->halves[w->newer]);
    w->half_ends_ns += w->half_ns;
}

void histogram_window_record(struct histogram_window *w, uint64_t value_us, uint64_t now_ns)
{
    histogram_window_advance(w, now_ns);
    histogram_record(&w->halves[w->newer], value_us);
}

uint64_t histogram_window_percentile(struct histogram_window *w, double percent, uint64_t now_ns)
{
    histogram_window_advance(w, now_ns);
    return histogram_percentile_of(&w->halves[0], &w->halves[1], percent);
}
