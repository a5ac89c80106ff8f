/* A snapshotter: the product's reader, snapshot ship and catalogue, and around them what
 * proxy/snapshot/run.c and lognodes.c do with them. Over and over it restores the newest snapshot
 * and the log behind it to what is committed (which must be what the log makes), and stores what it
 * has then on a quorum; or it restores some moment of the past only. Now and then its Redis is
 * broken and makes a wrong dataset, which it never marks as verified, or its file rots.
 *
 *   REST ─▶ LIST ─▶ FETCH ─▶ REPLAY ─▶ STORE ─┬─▶ REST
 *                                │             └ stored unverified ─▶ LIST_MARK ─▶ MARK ─▶ REST
 *                                └ only restored ─▶ REST */
#ifndef TESTS_SIM_SNAPPER_H
#define TESTS_SIM_SNAPPER_H

#include "logsvc/client/catalogue.h"
#include "logsvc/client/reader.h"
#include "logsvc/client/snapship.h"
#include "tests/sim/kv.h"
#include "tests/sim/sim.h"

enum snapper_step {
    SNAPPER_REST,
    SNAPPER_LIST,
    SNAPPER_FETCH,
    SNAPPER_REPLAY,
    SNAPPER_STORE,
    SNAPPER_LIST_MARK,
    SNAPPER_MARK,
};

/* What a node has said of itself last. */
struct snapper_node {
    uint64_t answered_at; /* real time; 0: never */
    uint64_t term, commit;
};

struct snapper {
    struct reader *reader;
    struct snapship *ship;
    struct catalogue *catalogue;
    uint64_t session, seq; /* of its questions how things stand */
    uint64_t ask_at, tick_at;
    struct conf conf;
    bool conf_known;
    uint32_t members;
    struct snapper_node nodes[SIM_NODES_MAX];

    enum snapper_step step;
    uint64_t due_at; /* REST, and what waits for another attempt */
    uint64_t moved_at, moved_to;
    bool restore; /* it stores nothing */
    bool all;     /* … on all nodes at once */
    bool wrong;
    unsigned stale;
    uint64_t to;
    struct snapshot_info base, info;
    struct buf bytes;   /* of the base */
    struct buf log;     /* behind it */
    uint64_t term;      /* of the last record of that … */
    uint32_t chain_crc; /* … and its checksum */
    struct kv kv;
    struct buf file; /* what is stored */
    uint32_t to_store, turn;
    unsigned stored, of;
    bool shipped;

    bool told_restore; /* the next run is a restore of all that is committed … */
    bool restored;     /* … which has been done */
};

void snapper_init(struct world *w, unsigned snapper);
void snapper_fini(struct world *w, unsigned snapper);
void snapper_start(struct world *w, unsigned snapper);
void snapper_crash(struct world *w, unsigned snapper, uint64_t back_ns);
void snapper_link(struct world *w, unsigned snapper, unsigned node, bool up);
void snapper_message(struct world *w, unsigned snapper, unsigned node, const struct wire_msg *msg);
void snapper_event(struct world *w, unsigned snapper, const struct event *e);
/* It is to restore all that is committed, from nothing; see restored. */
void snapper_restore(struct world *w, unsigned snapper);

#endif
