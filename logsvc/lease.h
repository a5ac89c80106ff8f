/* The arithmetic of leases without synchronised clocks (docs/log-protocol.md, 7). L is the lease,
 * the same on every node; LEASE_DRIFT_PERCENT bounds how much faster or slower than real time any
 * clock runs.
 *
 * A leader that sent an accepted append at s (its clock) holds the lease until s + L(1-drift): at
 * most L of real time. An acceptor tells a voter's candidate how long ago it accepted its last
 * append (elapsed). The candidate waits until L(1+drift) - elapsed after it received the vote. Any
 * quorum of votes meets the quorum that renewed the old lease in an acceptor that accepted at or
 * after s and, being fenced by term, before its vote; so at least L of real time lies between s and
 * the end of the wait. */
#ifndef LOGSVC_LEASE_H
#define LOGSVC_LEASE_H

#include "common/clock.h"
#include "logsvc/wire.h"

#include <stdint.h>

enum { LEASE_DRIFT_PERCENT = 1 };

static inline uint64_t lease_ns(uint32_t lease_ms)
{
    return lease_ms * CLOCK_NS_PER_MS;
}

/* When the lease ends that was renewed by a message sent (never: received) at sent_ns. */
static inline uint64_t lease_end_ns(uint64_t sent_ns, uint32_t lease_ms)
{
    uint64_t l = lease_ns(lease_ms);
    return sent_ns + l - (l * LEASE_DRIFT_PERCENT + 99) / 100;
}

/* When every lease is over that this voter may have helped to renew; 0: is over already. now_ns
 * was read after the vote's answer was received. */
static inline uint64_t lease_safe_at_ns(uint64_t now_ns, uint64_t elapsed_ns, uint32_t lease_ms)
{
    uint64_t l = lease_ns(lease_ms);
    uint64_t wait = l + (l * LEASE_DRIFT_PERCENT + 99) / 100;

    return elapsed_ns >= wait ? 0 : now_ns + wait - elapsed_ns;
}

#endif
