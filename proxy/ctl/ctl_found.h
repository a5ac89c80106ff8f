/* Founds a log in empty log nodes: is elected, appends what is to be in it, and stores the snapshot
 * on which it stands on a quorum. When it is through, it lets the lead go, and proxies can be
 * started. The snapshot comes last: without it no proxy can build its Redis up, so a log that was
 * broken off (killed at any point) is never served, and is gone on with by the next attempt. */
#ifndef PROXY_CTL_CTL_FOUND_H
#define PROXY_CTL_CTL_FOUND_H

#include "logsvc/record.h"
#include "logsvc/snapinfo.h"
#include "proxy/ctl/ctl_nodes.h"
#include "proxy/ctl/held.h"

struct ctl_found;

/* Whether a log that begins at `begin` may be founded in these nodes, all of which must answer:
 * they hold nothing, or what an attempt that was broken off has left: then it is put into *held,
 * and must be known to be a beginning of the new log. A snapshot that a minority stores stands in
 * the way, unless it is `same` (NULL: there is none that could be). False: complained. */
bool ctl_found_look(struct ctl_nodes *n, uint64_t begin, const struct snapshot_info *same,
                    struct held *held) MUST_CHECK;

/* The log nodes of `nodes`, which may be closed afterwards; ctl_found_look was at them. NULL:
 * complained. */
struct ctl_found *ctl_found_open(const struct ctl_nodes *nodes);
void ctl_found_close(struct ctl_found *f);

/* Elected, and the log begun at that snapshot, under a replid of its own, or gone on with: *from
 * is where (the end of a unit). A status, complained; or CTL_FOUND_CHANGED, not complained: what
 * the nodes hold is no longer what was looked at (of an attempt that was killed a moment ago,
 * something was still on its way). Look again. */
enum { CTL_FOUND_CHANGED = -1, CTL_FOUND_ATTEMPTS = 5 };
int ctl_found_begin(struct ctl_found *f, const struct snapshot_info *snapshot, uint32_t engine,
                    const struct held *held, uint64_t *from);
/* The next bytes of the log, whether they end a unit, and their wall time. */
int ctl_found_append(struct ctl_found *f, const void *bytes, size_t size, bool unit_end,
                     uint64_t wall_ms);
/* Everything is committed, then the snapshot (from that file) is stored, and the lead let go. */
int ctl_found_end(struct ctl_found *f, int fd);

struct term ctl_found_term(const struct ctl_found *f);

#endif
