/* Finding the newest snapshot that the log nodes have and fetching it (a part of snapship.h).
 *
 *   IDLE ─start▶ ASKING ─enough have answered▶ FETCHING ─all handed out, checked▶ IDLE
 *                   └──────── none has one ────────┴── the checksum is wrong ──────▲
 *
 * Enough: all nodes whose link is up and a quorum; or a quorum and a time-out's wait. Whatever is
 * needed was published by a quorum, so any quorum knows of it. A node that has sent wrong bytes of
 * a snapshot is asked for an older one from then on. */
#ifndef LOGSVC_CLIENT_SNAP_DOWNLOAD_H
#define LOGSVC_CLIENT_SNAP_DOWNLOAD_H

#include "logsvc/client/fetch.h"
#include "logsvc/client/snap_line.h"

enum snap_download_state { DOWNLOAD_IDLE, DOWNLOAD_ASKING, DOWNLOAD_FETCHING };

struct snap_holder {
    bool up;
    bool asked; /* a question is under way */
    bool answered;
    bool found;
    uint64_t seq; /* of the question */
    uint64_t asked_ns;
    uint64_t limit; /* asked for the newest up to here */
    struct snapshot_info info;
    bool rotten; /* remembered: it sent wrong bytes of rotten_info */
    struct snapshot_info rotten_info;
};

struct snap_download_events {
    void (*found)(void *ctx, const struct snapshot_info *info);
    void (*data)(void *ctx, const uint8_t *bytes, size_t size);
    void *ctx;
};

struct snap_download {
    struct snap_line *line;
    struct snap_download_events events;
    enum snap_download_state state;
    bool only_find; /* stop when chosen */
    bool ended;     /* since the last start; `result` says how */
    int result;
    struct term term;
    unsigned node; /* preferred */
    uint64_t seq;
    uint64_t quorum_ns; /* when a quorum had answered; 0: not yet */
    struct snap_holder holders[SNAPSHIP_NODES_MAX];
    struct snapshot_info info;
    struct fetch fetch;
    unsigned sources; /* set of nodes whose bytes were handed out */
    bool damaged;     /* a node has found what it has of it to be */
    uint64_t offset;  /* bytes handed out */
    uint32_t crc;
    size_t room;
    bool delivering;
    unsigned run; /* counts starts and stops, which may come from within an event */
};

void snap_download_init(struct snap_download *d, struct snap_line *line);
void snap_download_fini(struct snap_download *d);

/* only_find: ends with `found` (or an error), fetches nothing. */
void snap_download_start(struct snap_download *d, uint64_t now_ns, struct term term, uint64_t limit,
                         unsigned node, bool only_find, const struct snap_download_events *events);
/* The same again, from the nodes that are known to have it: for one that was found before. */
void snap_download_fetch(struct snap_download *d, uint64_t now_ns,
                         const struct snap_download_events *events);
void snap_download_stop(struct snap_download *d);
void snap_download_room(struct snap_download *d, uint64_t now_ns, size_t bytes);

/* After each call the owner looks at ended. */
void snap_download_pump(struct snap_download *d, uint64_t now_ns);
void snap_download_receive(struct snap_download *d, uint64_t now_ns, unsigned node,
                           const struct wire_msg *msg);
void snap_download_link(struct snap_download *d, uint64_t now_ns, unsigned node, bool up);
void snap_download_tick(struct snap_download *d, uint64_t now_ns);
uint64_t snap_download_next_tick_ns(const struct snap_download *d);

/* Set of nodes that answered and have not what was found. */
unsigned snap_download_lacking(const struct snap_download *d);

#endif
