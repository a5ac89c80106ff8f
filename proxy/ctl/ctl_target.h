/* A running Redis into which a moment of the log is restored: what must be true of it before, and
 * how it is let go afterwards.
 *
 * While it is a replica of ours, its masterauth is ours too, and a user of its says what it was
 * before (target_mark.h): so after a kill at any point the next restore knows what it finds, and
 * puts it right. From the beginning until then, and at the end, our connection has a name, by which
 * other restores know that we are there, and in between that of ctl_bring: of several at most one
 * changes anything. */
#ifndef PROXY_CTL_CTL_TARGET_H
#define PROXY_CTL_CTL_TARGET_H

#include "proxy/ctl/ctl_link.h"
#include "proxy/ctl/target_mark.h"

struct ctl_target {
    struct ctl ctl; /* how it is reached; strings are the caller's */
    struct ctl_link link;
    char our_host[64];       /* our address, as it reaches us */
    char version[32];        /* "7.0.15" */
    struct target_mark mark; /* what it was */
    bool marked;             /* it keeps that for us, and nothing was changed yet */
    uint64_t client;         /* our connection's id there */
};

/* Connects; what an earlier restore has left behind is put right first. Refuses (complained,
 * CTL_EXIT_FAILED) a proxy, a replica, and without force one that holds data, has replicas, is
 * older than `engine` ("7.0.15"), has less than so many databases, or would not take what is beyond
 * its maxmemory. A newer one is told on standard error. */
int ctl_target_open(struct ctl_target *t, const struct ctl *ctl, const char *host, int port,
                    const char *engine, unsigned databases);
/* Makes it a master, and puts its settings back. clear: what it holds is a part of something;
 * it is emptied, if it was empty before; else that is said. So it is if it would lose keys to its
 * maxmemory as a master (CTL_EXIT_FAILED); one that was not empty is let lose them. */
int ctl_target_finish(struct ctl_target *t, bool clear);
void ctl_target_close(struct ctl_target *t);

#endif
