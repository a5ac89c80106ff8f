/* Which snapshots are kept, and from where on the log: decided from what the log nodes list, by the
 * proxy that leads. Pure.
 *
 * Kept are the newest ones that are proven (verified on a quorum) or what the log was begun with,
 * as many as `keep`; younger ones than keep_age_ms; and what any moment of the last pitr_ms can be
 * restored from. Where these are more than RETENTION_MANY, those go, one at a time, whose
 * neighbours are nearest to each other: neither the `keep` newest nor the oldest, so that every
 * moment can be restored as before, if with more log. What a Redis needs that is made anew is kept
 * besides, for a time: the snapshot that it began with. The log is kept from the oldest of those
 * on. In doubt (no quorum has answered, nothing is proven, the window for restores begins before
 * the oldest that is proven) nothing else goes.
 */
#ifndef LOGSVC_CLIENT_RETENTION_H
#define LOGSVC_CLIENT_RETENTION_H

#include "logsvc/client/catalogue.h"

enum { RETENTION_MANY = 32 /* half of what a node holds */, RETENTION_NEEDED_MAX = 16 };

struct retention_config {
    unsigned keep;          /* at least 1 */
    uint64_t keep_age_ms;   /* 0: age keeps nothing */
    uint64_t pitr_ms;       /* 0: nothing is kept for restores */
    bool trim;              /* whether the log is ever trimmed */
    uint64_t unverified_ms; /* one that nobody verifies goes after so long */
    /* Where Redis are that don't go along with the log: each needs the snapshot at or below that
     * place, and the log from there on; 0, not known: the one in front of the newest. That has at
     * most so much log behind it, or as much as the newest one's size. */
    unsigned needed_count;
    uint64_t needed[RETENTION_NEEDED_MAX];
    uint64_t needed_max_bytes;
};

struct retention_plan {
    bool trim;               /* the log below `to` may go, … */
    uint64_t to;             /* … the oldest kept one's offset, … */
    struct snapshot_info by; /* … made good by the newest proven one */
    unsigned delete_count;   /* snapshots that go, by falling offset */
    struct snapshot_info deletes[CATALOGUE_ENTRIES_MAX];
    bool mark; /* nodes hold this one without the mark that others have: */
    struct snapshot_info marked;
    bool repair; /* nodes that answered lack the newest proven one; or, where none is, the newest
                    that counts: */
    uint32_t lacking;
};

void retention_plan(const struct retention_config *config, const struct catalogue_view *view,
                    uint64_t wall_ms, struct retention_plan *out);

#endif
