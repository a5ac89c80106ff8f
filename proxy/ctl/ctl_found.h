/* Founds a log in empty log nodes: is elected, stores a snapshot on a quorum, and appends what came
 * behind it; as a proxy does with the dataset of its Redis, but for a program that waits. When it
 * is through, it lets the lead go, and proxies can be started. */
#ifndef PROXY_CTL_CTL_FOUND_H
#define PROXY_CTL_CTL_FOUND_H

#include "logsvc/record.h"
#include "logsvc/snapinfo.h"
#include "proxy/ctl/ctl_nodes.h"

struct ctl_found;

/* The log nodes of `nodes`, which may be closed afterwards: all of them have answered, and have no
 * log. NULL: complained. */
struct ctl_found *ctl_found_open(const struct ctl_nodes *nodes);
void ctl_found_close(struct ctl_found *f);

/* Elected, and the log begun with that snapshot (from the file), under a replid of its own. A
 * status, complained. */
int ctl_found_begin(struct ctl_found *f, const struct snapshot_info *snapshot, int fd,
                    uint32_t engine);
/* The next record of the log: its bytes, whether it ends a unit, and its wall time. */
int ctl_found_append(struct ctl_found *f, const struct record *r, const uint8_t *payload);
/* Everything is committed, and the lead let go. */
int ctl_found_end(struct ctl_found *f);

struct term ctl_found_term(const struct ctl_found *f);

#endif
