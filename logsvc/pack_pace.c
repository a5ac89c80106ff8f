#include "logsvc/pack_pace.h"

#include "common/clock.h"

/* Where nothing is to be done it is looked again so often, and how another thread gets on. */
enum { PACK_PACE_IDLE_MS = 1000, PACK_PACE_LOOK_MS = 50 };
/* After a failure it waits so long, and twice as long after the next one, up to … */
enum { PACK_PACE_RETRY_MS = 1000, PACK_PACE_RETRY_MAX_MS = 512 * 1000, PACK_PACE_DOUBLINGS = 9 };

_Static_assert((int)PACK_PACE_RETRY_MS << PACK_PACE_DOUBLINGS == (int)PACK_PACE_RETRY_MAX_MS,
               "the longest wait is that after the last doubling");

void pack_pace_init(struct pack_pace *p, uint64_t bytes_per_s, uint64_t now_ns)
{
    *p = (struct pack_pace){.bytes_per_s = bytes_per_s,
                            .next_ns = now_ns + PACK_PACE_IDLE_MS * CLOCK_NS_PER_MS};
}

uint64_t pack_pace_next_ns(const struct pack_pace *p)
{
    return p->bytes_per_s > 0 ? p->next_ns : UINT64_MAX;
}

void pack_pace_done(struct pack_pace *p, uint64_t now_ns, const struct storage_pack *what)
{
    uint64_t pause_ns = PACK_PACE_LOOK_MS * CLOCK_NS_PER_MS;

    if (p->bytes_per_s == 0) {
        return;
    }
    if (what->failed) {
        pause_ns = (uint64_t)PACK_PACE_RETRY_MS * CLOCK_NS_PER_MS << p->failures;
        p->failures += p->failures < PACK_PACE_DOUBLINGS;
    } else if (what->idle) {
        pause_ns = PACK_PACE_IDLE_MS * CLOCK_NS_PER_MS;
    } else if (what->bytes > 0) {
        pause_ns = what->bytes * CLOCK_NS_PER_S / p->bytes_per_s;
        pause_ns = pause_ns > CLOCK_NS_PER_MS ? pause_ns : CLOCK_NS_PER_MS;
    }
    p->failures = what->packed || what->idle ? 0 : p->failures;
    p->next_ns = now_ns + pause_ns;
}
