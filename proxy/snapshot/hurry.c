#include "proxy/snapshot/hurry.h"

#include "common/clock.h"
#include "proxy/snapshot/freshness.h"

/* How fast the log grows is seen after so many seconds, and so large a part of the time that it
 * takes: what comes at once at first is no measure, nor a burst of seconds for many minutes. */
enum { HURRY_LOOK_S = 3, HURRY_LOOK_PART = 16 };
/* So many times the limit is too much to wait for it to be reached. */
enum { HURRY_TIMES = 3 };

static double hurry_seconds(double bytes, uint64_t rate)
{
    return rate > 0 ? bytes / (double)rate : 0;
}

bool hurry_is_due(const struct hurry_settings *s, const struct hurry_view *v)
{
    const struct freshness_settings limit = {.log_percent = s->log_percent,
                                             .log_min_bytes = s->log_min_bytes};

    if (s->log_percent == 0) {
        return false;
    }
    uint64_t most = freshness_threshold(&limit, v->size_bytes);
    if (v->log_bytes > most) {
        return true;
    }
    /* It is loaded twice, taken out once, and stored on one node after the other. */
    double size = (double)v->size_bytes;
    double making_s = hurry_seconds(2 * size, s->rate_max_bytes) +
                      hurry_seconds((1 + v->nodes) * size, s->store_rate_max_bytes);
    double spent_s = (double)v->spent_ns / (double)CLOCK_NS_PER_S;
    if (spent_s < HURRY_LOOK_S || spent_s < making_s / HURRY_LOOK_PART ||
        v->log_bytes <= v->begun_log_bytes) {
        return false;
    }
    double per_s = (double)(v->log_bytes - v->begun_log_bytes) / spent_s;
    return (double)v->begun_log_bytes + per_s * making_s > HURRY_TIMES * (double)most;
}
