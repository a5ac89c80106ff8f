#include "proxy/snapshot/freshness.h"

#include <string.h>

enum { FRESHNESS_BACKOFF_MAX = 4 /* doublings */ };

uint64_t freshness_threshold(const struct freshness_settings *s, uint64_t size_bytes)
{
    /* In this order nothing overflows for snapshots below 2^64 / 100000. */
    uint64_t part = size_bytes / 100 * s->log_percent + size_bytes % 100 * s->log_percent / 100;

    return part > s->log_min_bytes ? part : s->log_min_bytes;
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
    return s->retry_ms * 1000000 << doublings;
}

bool freshness_due(const struct freshness_settings *s, const struct freshness_view *v)
{
    uint64_t threshold, log = freshness_log_bytes(v);

    if (v->rank == UINT32_MAX || !v->known || !v->found) {
        return false;
    }
    if (v->failures > 0 && v->ended_ns != 0 &&
        v->now_ns < v->ended_ns + freshness_pause_ns(s, v->failures)) {
        return false;
    }
    threshold = freshness_threshold(s, v->size_bytes);
    return log / threshold > v->rank;
}
