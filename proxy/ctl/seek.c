#include "proxy/ctl/seek.h"

#include "common/mem.h"

void seek_start(struct seek *s, uint64_t begin, uint64_t end, uint64_t wall_ms)
{
    MUST(begin <= end);
    *s = (struct seek){.wall_ms = wall_ms, .low = begin, .high = end, .floor = begin};
}

bool seek_wants(const struct seek *s, uint64_t *offset)
{
    if (s->walking) {
        *offset = s->low - 1;
        return true;
    }
    *offset = s->low + (s->high - s->low) / 2;
    return s->low < s->high;
}

/* A part of a unit that goes on behind it is no place to stop at. */
static void seek_check_unit(struct seek *s)
{
    s->walking = s->low == s->high && s->low > s->floor && s->low_known &&
                 (s->before.flags & RECORD_UNIT_END) == 0;
    if (s->walking) {
        s->behind = s->before;
        s->high_known = true;
        s->low = s->high = s->before.begin;
        s->low_known = false;
        s->walking = s->low > s->floor;
    }
}

int seek_take(struct seek *s, const struct record *r)
{
    uint64_t wanted, end = record_end(r);

    MUST(seek_wants(s, &wanted));
    if (r->begin > wanted || end <= wanted) {
        return ERR_CORRUPT;
    }
    if (s->walking || r->wall_ms <= s->wall_ms) {
        s->before = *r;
        s->low_known = true;
        if (!s->walking) {
            s->low = end < s->high ? end : s->high;
        }
    } else {
        s->behind = *r;
        s->high_known = true;
        s->high = r->begin > s->low ? r->begin : s->low;
    }
    seek_check_unit(s);
    return ERR_OK;
}

const struct record *seek_before(const struct seek *s)
{
    return s->low_known ? &s->before : NULL;
}

const struct record *seek_behind(const struct seek *s)
{
    return s->high_known ? &s->behind : NULL;
}
