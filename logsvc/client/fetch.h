/* Fetching a long range of bytes from several nodes that all hold it: which piece is asked of
 * whom, several at a time, what comes back kept in order, and another node asked when one does not
 * answer, hangs up or turns out not to have it. The reader and the download of snapshots are built
 * on it; it knows no message. Pure: time in, requests out.
 *
 *   slots:  [ head ][ ... ][ ... ][ tail ]      each: WANTED ─send▶ ASKED ─fetch_put▶ HERE
 *             ▲ consumed by the owner             ▲────failed node, time-out────┘       │
 *                                                 └── more is needed of this piece ◀────┘
 */
#ifndef LOGSVC_CLIENT_FETCH_H
#define LOGSVC_CLIENT_FETCH_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FETCH_NODES_MAX = 16, FETCH_INFLIGHT_MAX = 16, FETCH_AHEAD_MAX = 256 };

enum fetch_slot_state { FETCH_WANTED, FETCH_ASKED, FETCH_HERE };

struct fetch_slot {
    enum fetch_slot_state state;
    uint64_t from; /* the piece wanted: [from, end) */
    uint64_t end;
    unsigned node; /* ASKED, HERE */
    uint64_t seq;  /* ASKED */
    uint64_t asked_ns;
    struct buf data; /* HERE: what the owner has put and not yet consumed */
};

struct fetch_config {
    unsigned node_count;
    unsigned inflight_max; /* questions under way, 1 … FETCH_INFLIGHT_MAX */
    unsigned ahead_max;    /* pieces that are asked for or wait for the owner, inflight_max …
                              FETCH_AHEAD_MAX */
    uint64_t timeout_ns;   /* for one answer */
    /* Asks a node for a piece; false: its link is busy, fetch_pump will be called when it isn't. */
    bool (*ask)(void *ctx, unsigned node, const struct fetch_slot *slot);
    void *ctx;
};

struct fetch_node {
    bool up;
    uint64_t avoid_until_ns; /* not asked before */
};

struct fetch {
    struct fetch_config config;
    struct fetch_node nodes[FETCH_NODES_MAX];
    unsigned node; /* preferred */
    uint64_t to;
    uint64_t assigned; /* pieces were made of everything below */
    uint64_t seq;      /* of the last question; never repeats */
    unsigned first, count;
    struct buf spare; /* of the last piece, for the next answer */
    struct fetch_slot slots[FETCH_AHEAD_MAX];
};

void fetch_init(struct fetch *f, const struct fetch_config *config);
void fetch_fini(struct fetch *f);

/* Wants [from, to), preferably from that node. Links keep their state. */
void fetch_start(struct fetch *f, uint64_t from, uint64_t to, unsigned node);
/* Wants more: up to a later `to`. */
void fetch_extend(struct fetch *f, uint64_t to);
/* Wants nothing any more. */
void fetch_stop(struct fetch *f);

void fetch_link(struct fetch *f, unsigned node, bool up);

/* Asks for what is wanted, in pieces of piece_bytes from now on, as far as questions may be under
 * way and pieces may wait. */
void fetch_pump(struct fetch *f, uint64_t now_ns, uint64_t piece_bytes);

/* The piece that an answer belongs to; NULL: none, or no longer. The time-outs of the node's other
 * pieces begin anew: it is answering. */
struct fetch_slot *fetch_find(struct fetch *f, uint64_t now_ns, unsigned node, uint64_t seq);
/* Keeps the answer's bytes with its piece. */
void fetch_put(struct fetch *f, struct fetch_slot *slot, const void *bytes, size_t size);
/* Wants the piece again, from that offset on. */
void fetch_again(struct fetch_slot *slot, uint64_t from);

/* The piece that comes next, in whatever state; NULL: nothing is wanted. */
struct fetch_slot *fetch_head(struct fetch *f);
/* Done with the head. */
void fetch_pop(struct fetch *f);

/* Asks this node for nothing for a while, and others for what it was asked for. */
void fetch_avoid(struct fetch *f, unsigned node, uint64_t now_ns, uint64_t span_ns);

/* Time-outs: avoids nodes that did not answer; returns how many. Call fetch_pump afterwards. */
unsigned fetch_tick(struct fetch *f, uint64_t now_ns);
/* When fetch_tick has something to do; UINT64_MAX: no need. */
uint64_t fetch_next_tick_ns(const struct fetch *f);

#endif
