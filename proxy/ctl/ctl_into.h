/* A new log into which a moment is restored: who its log nodes are, and what it begins with. */
#ifndef PROXY_CTL_CTL_INTO_H
#define PROXY_CTL_CTL_INTO_H

#include "logsvc/snapinfo.h"
#include "proxy/ctl/ctl_nodes.h"
#include "proxy/ctl/held.h"

struct ctl_into {
    struct ctl_nodes nodes; /* closed: their addresses and what they are of */
    struct held held;
};

/* --to-log names the nodes, all of which answer and are empty, but for what an attempt to restore
 * the same offset has left. A status, complained. */
int ctl_into_open(struct ctl_into *t, const struct ctl *ctl, uint64_t offset);
/* The log, of which the file is the snapshot. A status, complained. */
int ctl_into_put(struct ctl_into *t, const struct snapshot_info *info, int fd, struct term *term);

#endif
