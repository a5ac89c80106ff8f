/* A small process beside the proxy, which outlives it by a moment: when the proxy has died,
 * whatever of, it tells the log nodes (will.h), so that the next leader need not wait for the lease
 * of one that is no more. A proxy that is killed costs tens of milliseconds then; a machine that is
 * lost, with both processes on it, costs the lease.
 *
 * It may say so because the kernel does: a pidfd becomes readable when the last thread of a process
 * has ended, and each thread lets go of its files before (exit_files, then exit_notify in do_exit).
 * So by then all sockets of the proxy are closed and none of its instructions can run any more:
 * nothing that it has not handed to the kernel will ever be answered. What it had handed over was
 * released under its lease. A proxy that is stopped, or dumps its core, has not ended yet. */
#ifndef PROXY_NODE_WATCHDOG_H
#define PROXY_NODE_WATCHDOG_H

#include "proxy/node/will.h"

struct watchdog;

/* Forks. To be called before there are threads, sockets or files of ours. NULL: it can't be had
 * (logged); a crash costs the lease then. */
struct watchdog *watchdog_start(void);

/* From now on that is the will; a no-op if it is already. Does not wait. */
void watchdog_tell(struct watchdog *w, const struct will *will);

/* A clean end: there is nothing to tell. NULL is allowed. */
void watchdog_stop(struct watchdog *w);

#endif
