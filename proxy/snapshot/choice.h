/* What a run of the snapshotter is to do, by what the log nodes list. Pure. */
#ifndef PROXY_SNAPSHOT_CHOICE_H
#define PROXY_SNAPSHOT_CHOICE_H

#include "logsvc/client/catalogue.h"

enum choice {
    CHOICE_GO_ON,
    CHOICE_IS_THERE,       /* take: nothing came since the newest one */
    CHOICE_LISTS_ARE_FULL, /* take: too few nodes would take another */
    CHOICE_NO_SUCH,        /* verify: there is none of that offset */
    CHOICE_DOES_NOT_COUNT, /* verify: it was never verified, so nothing is ever begun with it */
};

/* newest: what catalogue_newest tells; members: a set of nodes. */
enum choice choice_take(const struct catalogue_view *list, const struct catalogue_entry *newest,
                        uint32_t members, uint64_t commit);

struct choice_trial {
    const struct catalogue_entry *entry; /* that is tried; NULL: CHOICE_NO_SUCH */
    bool alone;                          /* there is nothing older to compare it with */
    uint64_t on_to; /* where they are compared: the next one's offset; 0: there is no next one */
};
/* *out is set in any case; the entry is the list's. */
enum choice choice_verify(const struct catalogue_view *list, uint64_t offset,
                          struct choice_trial *out);

#endif
