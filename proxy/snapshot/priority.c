#include "proxy/snapshot/priority.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* See ioprio_set(2). */
enum { PRIORITY_IOPRIO_WHO_PROCESS = 1, PRIORITY_IOPRIO_IDLE = 3 << 13, PRIORITY_IOPRIO_NONE = 0 };

/* Where the kernel shares processors out by session, a nice value counts only among those of one:
 * the session has a value of its own. See sched(7), "The autogroup feature". */
static void priority_of_session(int nice_value)
{
    char text[8];

    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return; /* this kernel has no such thing */
    }
    int len = snprintf(text, sizeof text, "%d", nice_value);
    if (write(fd, text, (size_t)len) != len) {
        log_debug("autogroup: %s", strerror(errno));
    }
    (void)close(fd);
}

bool priority_own_session(void)
{
    return setsid() >= 0;
}

void priority_give_way(int nice_value)
{
    struct sched_param param = {.sched_priority = 0};

    if (nice_value <= 0) {
        return;
    }
    if (nice_value >= PRIORITY_NICE_IDLE) {
        if (sched_setscheduler(0, SCHED_IDLE, &param) != 0) {
            log_debug("sched_setscheduler: %s", strerror(errno));
        }
        nice_value = PRIORITY_NICE_IDLE - 1;
    }
    if (getsid(0) == getpid()) {
        priority_of_session(nice_value);
    }
    if (setpriority(PRIO_PROCESS, 0, nice_value) != 0 ||
        syscall(SYS_ioprio_set, PRIORITY_IOPRIO_WHO_PROCESS, 0, PRIORITY_IOPRIO_IDLE) != 0) {
        log_debug("giving way: %s", strerror(errno));
    }
}

void priority_take_back(pid_t pid)
{
    struct sched_param param = {.sched_priority = 0};

    if (pid == 0 && getsid(0) == getpid()) {
        priority_of_session(0);
    }
    if (setpriority(PRIO_PROCESS, (id_t)pid, 0) != 0 ||
        sched_setscheduler(pid, SCHED_OTHER, &param) != 0) {
        log_debug("not giving way any longer: %s", strerror(errno));
    }
    if (syscall(SYS_ioprio_set, PRIORITY_IOPRIO_WHO_PROCESS, pid, PRIORITY_IOPRIO_NONE) != 0) {
        log_debug("ioprio_set: %s", strerror(errno));
    }
}
