/* What a proxy has to do with snapshots: it brings its Redis up from the newest one, stores what
 * the log is begun with, and while it leads decides what is kept: the product's snapshot ship,
 * catalogue and retention, and around them what proxy/node/proxy_ship.c and proxy_retain.c do with
 * them. */
#ifndef TESTS_SIM_PAIR_SNAPS_H
#define TESTS_SIM_PAIR_SNAPS_H

#include "logsvc/client/retention.h"
#include "logsvc/client/snapship.h"
#include "tests/sim/sim.h"

struct pair_snaps {
    struct snapship *ship;
    struct catalogue *catalogue;
    struct buf bytes;          /* fetched, or to be stored */
    struct snapshot_info info; /* of these */

    /* Of a round in which it looks at what the nodes have. */
    struct retention_plan plan;
    unsigned deleted;  /* of the plan's */
    uint64_t round_at; /* real time of the next one */
    uint64_t lacking_offset;
    unsigned lacking_rounds;
    bool no_room;
};

/* The proxy starts, or has ended. */
void pair_snaps_start(struct world *w, unsigned pair);
void pair_snaps_stop(struct pair_snaps *p);
/* It gives up whatever it did. */
void pair_snaps_over(struct pair_snaps *p);

/* It has been elected and the log is empty: its Redis' data go to all nodes; pair_snaps_shipped. */
void pair_snaps_adopt(struct world *w, unsigned pair);
/* It fetches the newest snapshot up to limit; pair_snaps_fetched. */
void pair_snaps_fetch(struct world *w, unsigned pair, uint64_t limit, unsigned node);

void pair_snaps_receive(struct world *w, unsigned pair, unsigned slot, const struct wire_msg *msg);
void pair_snaps_link(struct world *w, unsigned pair, unsigned slot, bool up);
void pair_snaps_ready(struct world *w, unsigned pair, unsigned slot);
void pair_snaps_tick(struct world *w, unsigned pair);
/* On the proxy's clock. */
uint64_t pair_snaps_next_tick_ns(const struct world *w, unsigned pair);
/* What a leader has to do now and then. */
void pair_snaps_turn(struct world *w, unsigned pair);

#endif
