#include "proxy/follow/lag.h"

#include "common/clock.h"

void lag_committed(struct lag *l, uint64_t now_ns, uint64_t offset)
{
    struct lag_mark *last = &l->marks[(l->first + l->count + LAG_MARKS - 1) % LAG_MARKS];

    if (l->count > 0 && offset <= last->offset) {
        return;
    }
    /* The first of a group keeps its time: rather too long than too short. */
    if (l->count > 0 &&
        (l->count == LAG_MARKS || now_ns - last->at_ns < LAG_GRAIN_MS * CLOCK_NS_PER_MS)) {
        last->offset = offset;
        return;
    }
    l->marks[(l->first + l->count++) % LAG_MARKS] = (struct lag_mark){offset, now_ns};
}

void lag_applied(struct lag *l, uint64_t offset)
{
    while (l->count > 0 && l->marks[l->first].offset <= offset) {
        l->first = (l->first + 1) % LAG_MARKS;
        l->count--;
    }
}

uint64_t lag_ms(const struct lag *l, uint64_t now_ns)
{
    if (l->count == 0 || now_ns < l->marks[l->first].at_ns) {
        return 0;
    }
    return (now_ns - l->marks[l->first].at_ns) / CLOCK_NS_PER_MS;
}
