#include "proxy/snapshot/rate.h"

#include "common/clock.h"

void rate_init(struct rate *r, uint64_t per_s, uint64_t burst_bytes, uint64_t now_ns)
{
    *r = (struct rate){.per_s = per_s, .burst_bytes = burst_bytes, .at_ns = now_ns};
}

void rate_tick(struct rate *r, uint64_t now_ns)
{
    double more = (double)r->per_s * (double)(now_ns - r->at_ns) / (double)CLOCK_NS_PER_S;
    double most = (double)r->burst_bytes - (double)r->bytes;

    if (more >= 1) { /* else what a moment is good for would be lost */
        r->bytes += (int64_t)(more < most ? more : most);
        r->at_ns = now_ns;
    }
}

size_t rate_room(const struct rate *r)
{
    return r->per_s == 0 ? SIZE_MAX : r->bytes > 0 ? (size_t)r->bytes : 0;
}

void rate_take(struct rate *r, size_t bytes)
{
    r->bytes -= (int64_t)bytes;
}

uint64_t rate_debt_ns(const struct rate *r)
{
    if (r->per_s == 0 || r->bytes >= 0) {
        return 0;
    }
    return (uint64_t)((double)-r->bytes / (double)r->per_s * (double)CLOCK_NS_PER_S);
}
