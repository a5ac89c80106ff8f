#include "proxy/snapshot/freshness.h"

#include "common/clock.h"

#include <string.h>

enum { FRESHNESS_BACKOFF_MAX = 4 /* doublings */ };

#define FRESHNESS_BYTES_PER_S (UINT64_C(1) << 20) /* of a dataset, at least, when one is made */

uint64_t freshness_threshold(const struct freshness_settings *s, uint64_t size_bytes)
{
    /* In this order nothing overflows for snapshots below 2^64 / 100000. */
    uint64_t part = size_bytes / 100 * s->log_percent + size_bytes % 100 * s->log_percent / 100;

    part = part > s->log_min_bytes ? part : s->log_min_bytes;
    return part > 0 ? part : 1;
}

uint64_t freshness_log_bytes(const struct freshness_view *v)
{
    return v->known && v->found && v->commit > v->offset ? v->commit - v->offset : 0;
}

unsigned freshness_rank(const struct freshness_proxy *self, const struct freshness_proxy *others,
                        size_t count)
{
    unsigned rank = 0;

    if (!self->able) {
        return UINT32_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        const struct freshness_proxy *o = &others[i];
        bool before = self->leads ? !o->leads : !o->leads && strcmp(o->name, self->name) < 0;
        rank += o->able && before;
    }
    return rank;
}

static uint64_t freshness_pause_ns(const struct freshness_settings *s, unsigned failures)
{
    unsigned doublings = failures - 1;

    doublings = doublings < FRESHNESS_BACKOFF_MAX ? doublings : FRESHNESS_BACKOFF_MAX;
    return s->retry_ms * CLOCK_NS_PER_MS << doublings;
}

bool freshness_is_enough(const struct freshness_settings *s, const struct freshness_view *v)
{
    return v->known && v->found && freshness_log_bytes(v) >= freshness_threshold(s, v->size_bytes);
}

uint64_t freshness_patience_ns(const struct freshness_settings *s, uint64_t size_bytes)
{
    return s->retry_ms * CLOCK_NS_PER_MS + size_bytes / FRESHNESS_BYTES_PER_S * CLOCK_NS_PER_S;
}

bool freshness_due(const struct freshness_settings *s, const struct freshness_view *v)
{
    if (v->rank == UINT32_MAX || !freshness_is_enough(s, v)) {
        return false;
    }
    if (v->failures > 0 && v->ended_ns != 0 &&
        v->now_ns < v->ended_ns + freshness_pause_ns(s, v->failures)) {
        return false;
    }
    if (v->rank == 0) {
        return true;
    }
    uint64_t patience_ns = freshness_patience_ns(s, v->size_bytes);
    return freshness_log_bytes(v) / freshness_threshold(s, v->size_bytes) > v->rank &&
           v->due_ns != 0 && v->now_ns - v->due_ns >= v->rank * patience_ns;
}
