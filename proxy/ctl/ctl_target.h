/* A running Redis into which a moment of the log is restored: what must be true of it before, and
 * how it is let go afterwards. */
#ifndef PROXY_CTL_CTL_TARGET_H
#define PROXY_CTL_CTL_TARGET_H

#include "proxy/ctl/ctl_link.h"

enum { CTL_TARGET_SETTINGS = 3 };

struct ctl_target {
    struct ctl_link link;
    char our_host[64];                   /* our address, as it reaches us */
    char version[32];                    /* "7.0.15" */
    char *settings[CTL_TARGET_SETTINGS]; /* that the replay changes, as they were */
};

/* Connects, and refuses (complained, CTL_EXIT_FAILED) a proxy, a replica, and without force one
 * that holds data, has replicas, or is older than `engine` ("7.0.15"). A newer one is told on
 * standard error. */
int ctl_target_open(struct ctl_target *t, const struct ctl *ctl, const char *host, int port,
                    const char *engine);
/* Makes it a master, and puts its settings back. */
int ctl_target_finish(struct ctl_target *t);
void ctl_target_close(struct ctl_target *t);

#endif
