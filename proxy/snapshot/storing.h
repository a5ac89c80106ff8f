/* Which log nodes are given a snapshot, and when the turn of some is over. One after the other:
 * while one writes it and syncs its disk, the others are still enough for the leader to commit
 * with; in a hurry all at once. Pure.
 *
 * Left out are nodes that don't answer, have no room, or take nothing for long: they are repaired
 * when they can be; and those that keep another in its place, which is as good. One that is being
 * given another snapshot is put back behind the others as long as it is needed for a quorum, and
 * waited for longer; once a quorum has it, it is left out, too. Those that don't answer are turned
 * to again where a quorum needs them, a few times: all may stand still at once, if their disks do.
 */
#ifndef PROXY_SNAPSHOT_STORING_H
#define PROXY_SNAPSHOT_STORING_H

#include <stdbool.h>
#include <stdint.h>

/* Nodes are bits of sets. Begins as storing_init leaves it; its owner reads it. */
struct storing {
    uint32_t to_store; /* whose turn is to come … */
    uint32_t later;    /* … and after these, because they were being given another */
    uint32_t away;     /* … and that did not answer when it was their turn */
    uint32_t turn;     /* whose turn it is; 0: nobody's */
    unsigned members, stored, no_room; /* numbers of nodes */
    uint64_t patience_ns;
    uint64_t taken_bytes, moved_ns; /* by those whose turn it is, and when that last changed */
    uint64_t busy_ns;    /* since when all that stand out are being given another; 0: not so */
    unsigned away_turns; /* of those that are away, since one has got it last */
};

/* How those fare whose turn it is. */
struct storing_view {
    uint64_t now_ns;
    bool active;          /* some have not got it yet, and are being given it */
    unsigned stored;      /* number of those that have it */
    uint32_t full, busy;  /* that have refused it: no room; being given another; … */
    uint32_t other;       /* … a verified one is there in its place */
    uint32_t answering;   /* of all nodes, those that answer lately */
    uint64_t taken_bytes; /* that they have, together */
};

enum storing_end {
    STORING_ON,      /* their turn is not over */
    STORING_DONE,    /* all have it */
    STORING_NO_ROOM, /* those that have not got it have no room for it */
    STORING_OTHER,   /* … or keep another in its place */
    STORING_BUSY,    /* … or are being given another */
    STORING_SILENT,  /* … or have taken nothing for too long */
};

/* patience_ns: for one that takes nothing. */
void storing_init(struct storing *s, uint32_t members, uint64_t patience_ns);

/* Turns to the next: s->turn. False: there is none. answering: a set; all: in a hurry. */
bool storing_next(struct storing *s, uint64_t now_ns, uint32_t answering, bool all);
/* Those whose turn it is begin anew. */
void storing_again(struct storing *s, uint64_t now_ns);

/* Whether their turn is over, and why; then they are counted, and storing_next follows. */
enum storing_end storing_look(struct storing *s, const struct storing_view *v);

/* Whether more than half of the members have it. */
bool storing_is_enough(const struct storing *s);

#endif
