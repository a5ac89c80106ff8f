/* The rebuild: makes our Redis stand at exactly the log's end. It tells Redis REPLICAOF us, plays
 * the newest snapshot and the log behind it through the feed, waits until Redis has applied all of
 * it, and makes it a master again, which keeps its offset (DESIGN §5 [seen]). */
#ifndef PROXY_REBUILD_H
#define PROXY_REBUILD_H

#include "common/buf.h"
#include "logsvc/client/proposer.h"
#include "logsvc/client/reader.h"
#include "logsvc/client/snapship.h"
#include "proxy/control.h"
#include "proxy/feed.h"

struct rebuild;

struct rebuild_parts {
    struct control *control;
    struct feed *feed;
    struct reader *reader;
    struct snapship *snapship;
    const char *secret; /* the feed's */
};

struct rebuild_events {
    void (*done)(void *ctx);
    void (*failed)(void *ctx, const char *why);
};

struct rebuild *rebuild_create(const struct rebuild_parts *parts,
                               const struct rebuild_events *events, void *ctx);
void rebuild_destroy(struct rebuild *r);

/* To the end of what the elected proposer's donor holds. */
void rebuild_start(struct rebuild *r, uint64_t now_ns, struct term term,
                   const struct proposer_donor *donor);
void rebuild_stop(struct rebuild *r);
bool rebuild_active(const struct rebuild *r);
void rebuild_tick(struct rebuild *r, uint64_t now_ns);
uint64_t rebuild_next_tick_ns(const struct rebuild *r);

/* What the parts say; the owner passes it on. */
void rebuild_psync(struct rebuild *r, uint64_t now_ns);
void rebuild_feed_room(struct rebuild *r, uint64_t now_ns);
void rebuild_feed_closed(struct rebuild *r, const char *reason);
void rebuild_snapshot_found(struct rebuild *r, uint64_t now_ns, const struct snapshot_info *info);
size_t rebuild_room(const struct rebuild *r);
void rebuild_bytes(struct rebuild *r, const void *bytes, size_t size);
void rebuild_snapshot_end(struct rebuild *r, uint64_t now_ns, bool ok, const char *why);
void rebuild_log_end(struct rebuild *r, uint64_t now_ns, bool ok, const char *why);

void rebuild_progress(const struct rebuild *r, uint64_t *done_bytes, uint64_t *total_bytes);

#endif
