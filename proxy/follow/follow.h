/* The follower: keeps our Redis going along with the log, and brings it to a log's exact end when
 * this proxy is elected. It tells Redis REPLICAOF us, answers its PSYNC, and plays what
 * is committed through the feed: the newest snapshot first if Redis holds anything but a prefix of
 * the log, then the log as it grows.
 *
 *   IDLE ─follow_start▶ CALL ─PSYNC▶ JUDGE ─prefix of the log──────▶ STREAM ◀─┐ grows
 *                        ▲             └─anything else─▶ SNAPSHOT ───▶   └────┘
 *                        │ the link broke, another label is due           │ follow_promote: all of
 *                        └────────────────────────────────────────────────┤ the donor's log is sent
 *                                                                         ▼
 *                               IDLE ◀─reached─ PROMOTE ◀─applied─ APPLY ◀┘
 *
 * Until follow_promote only committed bytes reach Redis. Bytes of a term are only fed to a Redis
 * that bears that term's replid or a later one (lineage.h says why): where a term ends, the link is
 * dropped, Redis asks again, and is told the next. */
#ifndef PROXY_FOLLOW_FOLLOW_H
#define PROXY_FOLLOW_FOLLOW_H

#include "common/buf.h"
#include "logsvc/client/proposer.h"
#include "logsvc/client/reader.h"
#include "logsvc/client/snapship.h"
#include "proxy/engine/control.h"
#include "proxy/follow/feed.h"

struct follow;

struct follow_parts {
    struct control *control;
    struct feed *feed;
    struct reader *reader;
    struct snapship *snapship;
    const char *secret; /* the feed's */
};

struct follow_events {
    /* Promoted: Redis is a master that holds exactly the donor's log, and can be asked for what
     * comes behind it as this history's. The follower is idle again. */
    void (*reached)(void *ctx, const struct replid *replid);
    /* It is idle, and Redis whatever it is now; start it again after a while. */
    void (*failed)(void *ctx, const char *why);
};

/* The parts must outlive it; they tell their owner what comes, who passes it on (below). */
struct follow *follow_create(const struct follow_parts *parts, const struct follow_events *events,
                             void *ctx);
void follow_destroy(struct follow *f);

/* Has our Redis follow, from whatever it holds on; if it does, it begins anew. */
void follow_start(struct follow *f, uint64_t now_ns);
/* Idle from now on, without an event; Redis stays as it is. */
void follow_stop(struct follow *f);
/* Whether it is not idle. */
bool follow_active(const struct follow *f);

/* What is known of the log now: its history, and how far it is committed. Once a turn; cheap when
 * nothing is new. */
void follow_see(struct follow *f, uint64_t now_ns, const struct history *history, uint64_t commit);

/* This proxy was elected: on to the end of what the donor holds, committed or not, and then makes
 * Redis a master. Starts the follower if it is idle. */
void follow_promote(struct follow *f, uint64_t now_ns, struct term term,
                    const struct proposer_donor *donor);

/* Time-outs, at follow_next_tick_ns (UINT64_MAX: not now) or a little later. */
void follow_tick(struct follow *f, uint64_t now_ns);
uint64_t follow_next_tick_ns(const struct follow *f);

/* What the parts say; the owner passes it on. */
void follow_psync(struct follow *f, uint64_t now_ns, const struct replid *replid, uint64_t offset);
void follow_feed_room(struct follow *f, uint64_t now_ns);
void follow_feed_closed(struct follow *f, const char *reason);
void follow_snapshot_found(struct follow *f, uint64_t now_ns, const struct snapshot_info *info);
size_t follow_room(const struct follow *f);
void follow_bytes(struct follow *f, const void *bytes, size_t size);
void follow_snapshot_end(struct follow *f, uint64_t now_ns, bool ok, const char *why);
/* The reader: err as in reader_events. */
void follow_log_end(struct follow *f, uint64_t now_ns, int err);

struct follow_status {
    const char *state;    /* "idle", "connecting", "judging", "resync", "following", "promoting" */
    bool steady;          /* Redis holds committed bytes only and goes along: it may be read */
    bool synced;          /* and is not far behind */
    uint64_t applied;     /* by Redis; 0: not known */
    uint64_t needs;       /* the log from there on: what is applied, or, until that is known, where
                             the snapshot is that Redis is made anew from; 0: nothing yet */
    uint64_t lag_bytes;   /* behind what is known to be committed */
    uint64_t lag_ms;      /* since when it is behind */
    uint64_t done_bytes;  /* of a resync: snapshot and log … */
    uint64_t total_bytes; /* … 0: none is under way */
    uint64_t resyncs;     /* full ones, since the proxy's start */
};
void follow_status(const struct follow *f, uint64_t now_ns, struct follow_status *out);

#endif
