#include "common/clock.h"

#include "common/mem.h"

#include <time.h>

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec t;
    MUST(clock_gettime(id, &t) == 0);
    return (uint64_t)t.tv_sec * CLOCK_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return clock_read_ns(CLOCK_BOOTTIME);
}

uint64_t clock_wall_ms(void)
{
    return clock_read_ns(CLOCK_REALTIME) / CLOCK_NS_PER_MS;
}
