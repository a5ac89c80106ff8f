/* The world's clocks. Pure code never calls these: it is handed `now`. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_US 1000ull
#define CLOCK_NS_PER_MS 1000000ull
#define CLOCK_NS_PER_S  1000000000ull

/* Nanoseconds since boot, suspend included (CLOCK_BOOTTIME); never goes back. The only clock that
 * leases and timeouts may use (wall clocks decide nothing). */
uint64_t clock_now_ns(void);

/* Milliseconds since 1970, for people and for point-in-time recovery only. */
uint64_t clock_wall_ms(void);

#endif
