/* Sending one snapshot to several log nodes, each at its own pace (a part of snapship.h). For each:
 *
 *   ASK ─it lacks it▶ BEGIN ─▶ WRITE ─all taken▶ COMMIT ─▶ DONE
 *    │ └──────────────────it has it───────────────────────▲
 *    ▲─── what was begun is unknown to the node, or refused ──── BEGIN, WRITE, COMMIT
 *
 * Pieces go out several ahead; each answer says how far the node has come, and when the last answer
 * of a batch says less than was sent, sending goes on from there. Silence and new links do the
 * same from the last known place: the node keeps what it has under the upload's session. */
#ifndef LOGSVC_CLIENT_SNAP_UPLOAD_H
#define LOGSVC_CLIENT_SNAP_UPLOAD_H

#include "logsvc/client/snap_line.h"

enum snap_peer_step { PEER_NONE, PEER_ASK, PEER_BEGIN, PEER_WRITE, PEER_COMMIT, PEER_DONE };

struct snap_peer {
    bool up;
    uint32_t refused; /* why it did not take it last (enum wire_refusal); 0: it did */
    enum snap_peer_step step;
    uint64_t next;        /* the node has this many bytes */
    uint64_t sent;        /* and this many were sent */
    unsigned outstanding; /* messages without an answer */
    uint64_t first_seq;   /* answers to earlier messages have no effect */
    uint64_t heard_ns;    /* last sent into silence, or last answer */
    uint64_t wait_ns;     /* nothing is sent before */
};

struct snap_upload_source {
    /* Appends the bytes to out. ERR_OK, ERR_MORE: not there yet, snap_upload_pump will be called;
     * else: never. */
    int (*read)(void *ctx, uint64_t at, size_t size, struct buf *out);
    void *ctx;
};

struct snap_upload {
    struct snap_line *line;
    struct snap_upload_source source;
    bool active;
    int failed; /* 0, or why no node is sent anything any more */
    struct term term;
    struct snapshot_info info;
    uint64_t seq;
    uint64_t run_seq; /* first of this upload */
    struct snap_peer peers[SNAPSHIP_NODES_MAX];
    struct buf piece; /* read and not yet sent, at piece_at */
    uint64_t piece_at;
};

void snap_upload_init(struct snap_upload *u, struct snap_line *line);
void snap_upload_fini(struct snap_upload *u);

/* To the nodes of the set (bit n: node n). */
void snap_upload_start(struct snap_upload *u, uint64_t now_ns, struct term term,
                       const struct snapshot_info *info, unsigned nodes,
                       const struct snap_upload_source *source);
void snap_upload_stop(struct snap_upload *u);

/* Changes are seen by asking afterwards. */
void snap_upload_pump(struct snap_upload *u, uint64_t now_ns);
void snap_upload_receive(struct snap_upload *u, uint64_t now_ns, unsigned node,
                         const struct wire_msg *msg);
void snap_upload_link(struct snap_upload *u, uint64_t now_ns, unsigned node, bool up);
void snap_upload_tick(struct snap_upload *u, uint64_t now_ns);
uint64_t snap_upload_next_tick_ns(const struct snap_upload *u);

/* How many nodes have it, and whether all that should have. */
unsigned snap_upload_done(const struct snap_upload *u);
bool snap_upload_complete(const struct snap_upload *u);
/* The nodes that have refused it last because their disks are full (WIRE_REFUSED_SPACE), or because
 * they keep another one in its place (WIRE_REFUSED_NEEDED): they are asked again now and then; or
 * because somebody else gives them one (WIRE_REFUSED_SESSION): they are asked again soon. */
uint32_t snap_upload_refused(const struct snap_upload *u, enum wire_refusal why);
/* Bytes that the nodes have, together: changes whenever one of them takes something. */
uint64_t snap_upload_taken(const struct snap_upload *u);
/* Bytes that at least `nodes` nodes have. */
uint64_t snap_upload_bytes(const struct snap_upload *u, unsigned nodes);

#endif
