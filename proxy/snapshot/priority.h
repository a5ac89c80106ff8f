/* How much a snapshot's making gives way to all else on its machine, and that it stops doing so
 * when the log grows faster than snapshots are made. */
#ifndef PROXY_SNAPSHOT_PRIORITY_H
#define PROXY_SNAPSHOT_PRIORITY_H

#include <stdbool.h>
#include <sys/types.h>

enum { PRIORITY_NICE_IDLE = 20 };

/* To be called first by a process that a service has started, not a terminal's: it leaves the
 * service's session, so that the kernel, which may share processors out by session, does not count
 * what it does as the service's. False: it leads a group of processes already. */
bool priority_own_session(void);

/* This process, and what it starts from now on, gives way: a nice value, PRIORITY_NICE_IDLE: only
 * idle time; its input and output, too. 0: it does not. What is refused is only logged. */
void priority_give_way(int nice_value);

/* The process (0: this one) gives way no longer, as far as that may be taken back: it wants the
 * right to raise priorities (CAP_SYS_NICE, or a limit that allows it). */
void priority_take_back(pid_t pid);

#endif
