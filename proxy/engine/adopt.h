/* Adoption: an empty log in front of a Redis that already holds data (or none) takes that dataset
 * as snapshot 0: full resync from Redis into a spool file, upload to all log nodes; the log
 * then begins at the snapshot's offset. Stream bytes that come meanwhile are kept for
 * the leader that begins there, up to a bound. */
#ifndef PROXY_ENGINE_ADOPT_H
#define PROXY_ENGINE_ADOPT_H

#include "common/buf.h"
#include "logsvc/client/snapship.h"
#include "logsvc/term.h"

struct adopt;

struct adopt_config {
    const char *data_dir;    /* the spool file's */
    size_t stream_max_bytes; /* stream bytes kept while the snapshot is uploaded */
};

/* Each ends the adoption; called once, from within the functions below. */
struct adopt_events {
    /* A snapshot of the dataset is on all log nodes: the log may begin behind it. */
    void (*done)(void *ctx);
    /* why: for the log; valid during the call. */
    void (*failed)(void *ctx, const char *why);
};

/* The configuration is copied. */
struct adopt *adopt_create(const struct adopt_config *config, const struct adopt_events *events,
                           void *ctx);
void adopt_destroy(struct adopt *a);

/* The term under which it is shipped, and what Redis said its version is. The owner then starts a
 * full resync and tells what comes. */
void adopt_start(struct adopt *a, struct snapship *snapship, struct term term,
                 const char *engine_version);
/* Gives up without an event; a no-op if nothing is under way. */
void adopt_stop(struct adopt *a);
bool adopt_active(const struct adopt *a);

/* What the capture is told, in the order of a full resync: where it stands, the bytes of the RDB,
 * that it is whole (by both clocks), the stream behind it. */
void adopt_full_resync(struct adopt *a, const struct replid *replid, uint64_t offset);
void adopt_rdb(struct adopt *a, const void *bytes, size_t size);
void adopt_rdb_end(struct adopt *a, uint64_t now_ns, uint64_t wall_ms);
void adopt_stream(struct adopt *a, const void *bytes, size_t size);
/* The snapshot ship's outcome. */
void adopt_shipped(struct adopt *a, bool ok, const char *why);
/* It reads the spool file through this. */
bool adopt_read_spool(struct adopt *a, uint64_t at, size_t size, struct buf *out);

/* After done: where the log begins, and the stream bytes behind that point (the caller takes them).
 */
const struct replid *adopt_replid(const struct adopt *a);
uint64_t adopt_offset(const struct adopt *a);
struct buf *adopt_pending_stream(struct adopt *a);

/* Says now and then how far it is. */
void adopt_tick(struct adopt *a, uint64_t now_ns);

/* How far it is; total 0: not known yet. */
void adopt_progress(const struct adopt *a, uint64_t *done_bytes, uint64_t *total_bytes);

#endif
