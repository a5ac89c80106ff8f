/* The reader: takes a stretch of the log out of the log nodes, to rebuild a Redis from it. Pure:
 * time and messages in, messages out. It asks one node for several pieces ahead, another when that
 * one does not answer or does not have them, checks every record and hands out the bytes in order,
 * as many as its owner has room for. While there is no room it goes on fetching, as far as
 * ahead_max allows.
 *
 *   IDLE ─reader_start▶ READING ─all handed out▶ DONE         (any) ─reader_stop▶ IDLE
 *                          └──nobody has it, or a higher term is seen──▶ FAILED
 *
 * What is checked of each record: its header and payload checksums, that it continues the one
 * before, the checksum over the whole log so far (if the beginning's is known), and, for fenced
 * reads, that its term is the one that the history has there. The last one matters: a node that has
 * voted for this term but was not told of the election yet may hold bytes that will be cut, and by
 * log matching their terms give them away. */
#ifndef LOGSVC_CLIENT_READER_H
#define LOGSVC_CLIENT_READER_H

#include "common/err.h"
#include "logsvc/history.h"
#include "logsvc/wire.h"

enum { READER_NODES_MAX = 16, READER_AHEAD_MAX = 256 };

enum reader_state { READER_IDLE, READER_READING, READER_DONE, READER_FAILED };

struct reader_config {
    uint8_t cluster_id[16];
    uint64_t log_id;
    unsigned node_count;     /* 1 … READER_NODES_MAX; see reader_nodes */
    uint64_t session;        /* random, new at every start of the process */
    uint32_t read_max_bytes; /* asked for at once; about 1 MiB. An answer is at most this or one
                                record, and WIRE_OVERHEAD_MAX */
    unsigned inflight_max;   /* questions under way, 1 … FETCH_INFLIGHT_MAX (fetch.h); 4 */
    unsigned ahead_max;      /* answers that may be under way or wait for room, inflight_max …
                                READER_AHEAD_MAX; 0: inflight_max */
    uint32_t timeout_ms;     /* for an answer, before another node is asked; 1000 */
    uint32_t retry_ms;       /* before a node is asked again that did not have the bytes yet; 50 */
};

struct reader_events {
    /* Hands a message to the transport for one node; false: the link is busy or down, try again
     * when reader_link_ready is called. The message is valid during the call. */
    bool (*send)(void *ctx, unsigned node, const struct wire_msg *msg);
    /* The next bytes are of this record (all of them up to the next call), which may begin before
     * them and end behind `to`. May call nothing. May be NULL. */
    void (*record)(void *ctx, const struct record *rec);
    /* The next bytes of the log: those behind `offset`. Never more than there is room for. May call
     * reader_room, reader_stop and reader_start (bytes is void then). */
    void (*data)(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size);
    /* Everything up to `to` was handed out. The last thing the reader does in a call. */
    void (*done)(void *ctx);
    /* ERR_NOT_FOUND: a quorum has the log only from a later offset on: a newer snapshot is needed.
     * ERR_CORRUPT: no node has it whole. ERR_STALE: a node has promised a higher term. The last
     * thing the reader does in a call. */
    void (*failed)(void *ctx, int err);
};

struct reader_range {
    uint64_t from; /* reads the bytes behind it … */
    uint64_t to;   /* … up to here; UINT64_MAX is not allowed */
    /* The term that was won: nodes that have promised another refuse, and what is durable is read.
     * 0: reads what is committed only, from whoever has it. */
    struct term term;
    /* Of the donor; copied. NULL: terms are not checked, right only with term 0. */
    const struct history *history;
    bool chain_known;
    uint32_t chain_crc; /* at from: snapshot_info.chain_crc, or 0 where the log began at 0 */
    unsigned node;      /* asked first: the donor */
};

struct reader;

struct reader *reader_create(const struct reader_config *config, const struct reader_events *events,
                             void *ctx);
void reader_destroy(struct reader *r);

/* All of these take the caller's clock (CLOCK_BOOTTIME, ns), which never goes back. */

/* From now on the nodes of that set (bit i: node i) are asked, and more than half of them are a
 * quorum. At creation: the first node_count. */
void reader_nodes(struct reader *r, uint64_t now_ns, uint32_t set);

/* Begins anew with no room: nothing is handed out before reader_room. */
void reader_start(struct reader *r, uint64_t now_ns, const struct reader_range *range);
void reader_stop(struct reader *r);
/* Reads on to a later `to`, also when all was handed out up to the former. Ignored if the reading
 * was stopped or has failed. */
void reader_extend(struct reader *r, uint64_t now_ns, uint64_t to);

/* From now on at most `bytes` bytes are handed out (until the next call says otherwise). */
void reader_room(struct reader *r, uint64_t now_ns, size_t bytes);

/* An answer on WIRE_READER; others are ignored, and so is what is late, foreign or unasked. */
void reader_receive(struct reader *r, uint64_t now_ns, unsigned node, const struct wire_msg *msg);
/* The link to a node came up, went down, or can take a message again. Links are remembered over
 * reader_start; at creation all are down. */
void reader_link_up(struct reader *r, uint64_t now_ns, unsigned node, bool up);
void reader_link_ready(struct reader *r, uint64_t now_ns, unsigned node);
/* Call it at reader_next_tick_ns or a little later. */
void reader_tick(struct reader *r, uint64_t now_ns);
uint64_t reader_next_tick_ns(const struct reader *r); /* UINT64_MAX: not now */

struct reader_progress {
    enum reader_state state;
    uint64_t from, to;
    uint64_t offset;           /* handed out up to here */
    uint64_t last_progress_ns; /* when offset moved last, or the start */
    unsigned node;             /* asked now */
    unsigned switches;         /* how often a node was given up for another */
    uint32_t chain_crc;        /* at `to`, once DONE */
};
void reader_progress(const struct reader *r, struct reader_progress *out);

#endif
