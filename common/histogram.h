/* Latencies in fixed memory: a log-linear histogram, and a window that forgets what is old.
 *
 * Every octave of values is cut into 32 equal buckets, so a percentile is at most 1/32 (3.2 %)
 * above the true one, over the whole range of 1 µs to 71 minutes (larger values count as the
 * largest). Recording is a shift and an increment. Units are the caller's; the names say µs because
 * that is what is recorded here. Pure: time is passed in. */
#ifndef COMMON_HISTOGRAM_H
#define COMMON_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 5,    /* 2^5 buckets an octave */
    HISTOGRAM_VALUE_BITS = 32, /* largest value: 2^32 - 1 */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS
};

struct histogram {
    uint64_t count;
    uint64_t max_us; /* largest value recorded */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Empties it; also how a new one is made. */
void histogram_reset(struct histogram *h);

void histogram_record(struct histogram *h, uint64_t value_us);

/* The value that percent % of the recorded ones do not exceed (0 < percent <= 100); 0 if nothing
 * was recorded. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

/* The recent past: two halves, each for half the window. The older one is emptied and becomes the
 * newer one when that is full of time, so what is reported is between half a window and a window
 * old. */
struct histogram_window {
    struct histogram halves[2];
    int newer;             /* index of the half that is recorded into */
    uint64_t half_ns;      /* how long a half is recorded into */
    uint64_t half_ends_ns; /* when the newer half gives way */
};

void histogram_window_init(struct histogram_window *w, uint64_t window_ns, uint64_t now_ns);

void histogram_window_record(struct histogram_window *w, uint64_t value_us, uint64_t now_ns);

/* As histogram_percentile, of the values in the window at now_ns. */
uint64_t histogram_window_percentile(struct histogram_window *w, double percent, uint64_t now_ns);

#endif
