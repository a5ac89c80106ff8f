#include "proxy/node/marks.h"

void marks_clear(struct marks *m)
{
    m->first = m->count = 0;
}

void marks_append(struct marks *m, uint64_t end, uint64_t committed, uint64_t now_ns)
{
    struct mark *last = &m->ring[(m->first + m->count + MARKS_MAX - 1) % MARKS_MAX];

    if (end <= committed || (m->count > 0 && last->offset >= end)) {
        return;
    }
    if (m->count == MARKS_MAX) {
        last->offset = end;
        return;
    }
    m->ring[(m->first + m->count++) % MARKS_MAX] = (struct mark){end, now_ns};
}

bool marks_take(struct marks *m, uint64_t committed, uint64_t now_ns, uint64_t *took_ns)
{
    const struct mark *oldest = &m->ring[m->first];

    if (m->count == 0 || oldest->offset > committed) {
        return false;
    }
    *took_ns = now_ns - oldest->at_ns;
    m->first = (m->first + 1) % MARKS_MAX;
    m->count--;
    return true;
}

uint64_t marks_age_ns(const struct marks *m, uint64_t now_ns)
{
    uint64_t since_ns = m->count > 0 ? m->ring[m->first].at_ns : now_ns;

    return now_ns > since_ns ? now_ns - since_ns : 0;
}
