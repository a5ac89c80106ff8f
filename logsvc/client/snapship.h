/* The snapshot ship: brings snapshots to the log nodes and back. Pure: time and messages in,
 * messages out. It does one thing at a time:
 *
 *   upload    a snapshot that the owner has (in a spool file) to all nodes; shipped when a quorum
 *             has published it, and it goes on for the others;
 *   download  the newest snapshot at or below an offset that any node has, with its checksum
 *             checked at the end;
 *   repair    a node that lacks the newest snapshot gets it from one that has it, through here.
 *
 * Lost and late messages, broken links and restarted nodes only cost time. */
#ifndef LOGSVC_CLIENT_SNAPSHIP_H
#define LOGSVC_CLIENT_SNAPSHIP_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/wire.h"

enum { SNAPSHIP_NODES_MAX = 16, SNAPSHIP_INFLIGHT_MAX = 16 };

struct snapship_config {
    uint8_t cluster_id[16];
    uint64_t log_id;
    unsigned node_count;      /* 1 … SNAPSHIP_NODES_MAX; see snapship_nodes */
    uint64_t session;         /* random, new at every start of the process */
    uint32_t piece_max_bytes; /* of one message; about 1 MiB */
    unsigned inflight_max;    /* pieces under way to or from a node; 4 */
    uint32_t timeout_ms;      /* for an answer; 1000 */
    uint32_t retry_ms;        /* after a refusal; 50 */
};

/* Events of a download may call snapship_room, snapship_stop and snapship_download (bytes is void
 * then); others nothing but where it says so. */
struct snapship_events {
    /* Hands a message to the transport for one node; false: the link is busy or down, try again
     * when snapship_link_ready is called. The message is valid during the call. */
    bool (*send)(void *ctx, unsigned node, const struct wire_msg *msg);

    /* Upload: appends the size bytes at `at` of the snapshot to out; or none of them: they are not
     * to be sent yet, and are asked for again by snapship_tick. false: they can't be had; the
     * upload fails with ERR_IO (or, once shipped, ends). */
    bool (*read)(void *ctx, uint64_t at, size_t size, struct buf *out);
    /* Upload: 0 when enough have it. ERR_STALE: a node has promised a higher term; ERR_IO. Comes
     * once, last in a call, and may start something else. */
    void (*shipped)(void *ctx, int err);

    /* Download: this one was chosen; its bytes follow. */
    void (*found)(void *ctx, const struct snapshot_info *info);
    /* Download: the next bytes, never more than there is room for. */
    void (*data)(void *ctx, const uint8_t *bytes, size_t size);
    /* Download: 0 when all was handed out and the checksum is right. ERR_NOT_FOUND: a quorum says
     * that there is none. ERR_CORRUPT: what was handed out is not the snapshot; the nodes that sent
     * it are not asked for it again, so another download finds another. ERR_GONE: it was deleted
     * meanwhile from all nodes that can be reached, because a newer one is kept, or another one is
     * stored in its place: another download finds that. Comes once, last in a call, and may start
     * something else. */
    void (*fetched)(void *ctx, int err);

    /* Repair: all nodes that can be reached have the newest one now, or another, verified, in its
     * place (0); or why not. ERR_NO_SPACE: some have no room for it; ERR_TIMEOUT: some have taken
     * nothing for long, or are being given one by somebody else. Comes once, last in a call, and
     * may start something else. */
    void (*repaired)(void *ctx, int err);
};

struct snapship;

struct snapship *snapship_create(const struct snapship_config *config,
                                 const struct snapship_events *events, void *ctx);
void snapship_destroy(struct snapship *s);

/* What begins from now on is done with the nodes of that set (bit i: node i), and more than half of
 * them are a quorum. At creation: the first node_count. */
void snapship_nodes(struct snapship *s, uint32_t set);

/* All of these take the caller's clock (CLOCK_BOOTTIME, ns), which never goes back. Each of the
 * next four stops what is under way and begins anew. */

/* Under the term that was won (nodes refuse another). */
void snapship_upload(struct snapship *s, uint64_t now_ns, struct term term,
                     const struct snapshot_info *info);
/* The same for what a log is begun with: `shipped` comes when all nodes have it. Any of them may be
 * the only one that is told of the log before its leader ends, and a node tells of no snapshot of a
 * log that it does not know. */
void snapship_found(struct snapship *s, uint64_t now_ns, struct term term,
                    const struct snapshot_info *info);
/* The newest with offset <= limit, from `node` if it has it. Nothing is handed out before
 * snapship_room. */
void snapship_download(struct snapship *s, uint64_t now_ns, struct term term, uint64_t limit,
                       unsigned node);
/* Nodes that have no answer to give (down, silent) are left alone. */
void snapship_repair(struct snapship *s, uint64_t now_ns, struct term term, uint64_t limit);
void snapship_stop(struct snapship *s);

/* Download: from now on at most `bytes` bytes are handed out (until the next call says otherwise).
 */
void snapship_room(struct snapship *s, uint64_t now_ns, size_t bytes);

/* An answer on WIRE_SNAPSHOT; others are ignored, and so is what is late, foreign or unasked. */
void snapship_receive(struct snapship *s, uint64_t now_ns, unsigned node,
                      const struct wire_msg *msg);
/* The link to a node came up, went down, or can take a message again. Links are remembered; at
 * creation all are down. */
void snapship_link_up(struct snapship *s, uint64_t now_ns, unsigned node, bool up);
void snapship_link_ready(struct snapship *s, uint64_t now_ns, unsigned node);
/* Call it at snapship_next_tick_ns or a little later. */
void snapship_tick(struct snapship *s, uint64_t now_ns);
uint64_t snapship_next_tick_ns(const struct snapship *s); /* UINT64_MAX: not now */

/* Of what is under way: an upload as far as a quorum has it, a download as far as handed out, a
 * repair as far as the present node has it. total 0: nothing, or not known yet. */
void snapship_progress(const struct snapship *s, uint64_t *done_bytes, uint64_t *total_bytes);
/* Upload: the nodes that have refused it for want of room. They are asked again now and then; who
 * does not want to wait for them leaves them out. */
uint32_t snapship_full(const struct snapship *s);
/* Upload: the nodes that have refused it because somebody else gives them one. They are asked again
 * soon. */
uint32_t snapship_busy(const struct snapship *s);
/* Upload: the nodes that have refused it because they keep another one at its offset, which is
 * verified: they don't take it. */
uint32_t snapship_other(const struct snapship *s);
/* Upload: bytes that the nodes have, together: changes whenever one of them takes something. */
uint64_t snapship_taken(const struct snapship *s);
/* Upload: how many nodes have it by now; until something else begins. */
unsigned snapship_stored(const struct snapship *s);
/* Whether an upload still goes on to nodes that lack it, or a repair. */
bool snapship_active(const struct snapship *s);

#endif
