#include "proxy/rebuild.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REBUILD_POLL_MS = 5, REBUILD_REPORT_MS = 1000, REBUILD_AWAY_MS = 30000 };

/* In order; a failure anywhere leads back to IDLE, and the owner starts again. */
enum rebuild_step {
    REBUILD_IDLE,
    REBUILD_REPLICAOF, /* Redis is told to replicate from us; waits for its PSYNC */
    REBUILD_SNAPSHOT,  /* the snapshot is looked for, then goes through */
    REBUILD_LOG,       /* the log behind it goes through */
    REBUILD_APPLY,     /* all is sent; waits until Redis has applied it */
    REBUILD_PROMOTE,   /* REPLICAOF NO ONE; waits until Redis is a master at the same offset */
};

struct rebuild {
    struct rebuild_parts parts;
    const struct rebuild_events *events;
    void *ctx;
    enum rebuild_step step;
    struct term term;
    unsigned node; /* the donor */
    uint64_t end;
    struct replid replid; /* of the log at its end */
    struct history history;
    struct snapshot_info snapshot;
    uint64_t sent_bytes; /* of snapshot and log */
    uint64_t total_bytes;
    uint64_t poll_ns, report_ns, started_ns;
    uint64_t away_ns; /* REPLICAOF: since when Redis is waited for; 0: the next tick sets it */
    bool polling;     /* a ROLE is out */
};

struct rebuild *rebuild_create(const struct rebuild_parts *parts,
                               const struct rebuild_events *events, void *ctx)
{
    struct rebuild *r = mem_calloc(1, sizeof *r);

    r->parts = *parts;
    r->events = events;
    r->ctx = ctx;
    return r;
}

void rebuild_destroy(struct rebuild *r)
{
    free(r);
}

bool rebuild_active(const struct rebuild *r)
{
    return r->step != REBUILD_IDLE;
}

static void rebuild_stop_reading(struct rebuild *r)
{
    if (r->step == REBUILD_SNAPSHOT) {
        snapship_stop(r->parts.snapship);
    } else if (r->step == REBUILD_LOG) {
        reader_stop(r->parts.reader);
    }
}

void rebuild_stop(struct rebuild *r)
{
    rebuild_stop_reading(r);
    r->step = REBUILD_IDLE;
}

static void rebuild_fail(struct rebuild *r, const char *why)
{
    rebuild_stop(r);
    r->events->failed(r->ctx, why);
}

static void rebuild_command_cb(void *ctx, const struct redisReply *reply)
{
    struct rebuild *r = ctx;

    if (r->step != REBUILD_IDLE && reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        rebuild_fail(r, reply->str);
    }
}

void rebuild_start(struct rebuild *r, uint64_t now_ns, struct term term,
                   const struct proposer_donor *donor)
{
    const struct history_entry *entry = history_at(donor->history, donor->end.offset);
    char port[16];

    MUST(entry != NULL);
    rebuild_stop(r);
    r->step = REBUILD_REPLICAOF;
    r->term = term;
    r->node = donor->node;
    r->end = donor->end.offset;
    r->replid = entry->replid;
    r->history = *donor->history;
    r->sent_bytes = r->total_bytes = 0;
    r->started_ns = r->report_ns = now_ns;
    r->away_ns = 0;
    r->polling = false;
    (void)snprintf(port, sizeof port, "%d", feed_port(r->parts.feed));
    log_warn("Redis is rebuilt from the log, up to offset %" PRIu64 "; what it holds is replaced",
             r->end);
    bool sent =
        control_send(r->parts.control, rebuild_command_cb, r, "CONFIG SET masterauth %s",
                     r->parts.secret) &&
        control_send(r->parts.control, rebuild_command_cb, r, "CONFIG SET masteruser %s", "") &&
        control_send(r->parts.control, rebuild_command_cb, r, "REPLICAOF 127.0.0.1 %s", port);
    if (sent && feed_connected(r->parts.feed)) {
        feed_drop(r->parts.feed, "the rebuild starts again"); /* it comes back and asks anew */
    }
    /* If it could not be sent, the control connection is down, and the tick sees that. */
}

/* ---- snapshot and log through the feed ---- */

void rebuild_psync(struct rebuild *r, uint64_t now_ns)
{
    if (r->step == REBUILD_IDLE) {
        feed_drop(r->parts.feed, "nothing is being rebuilt");
        return;
    }
    if (r->step == REBUILD_PROMOTE) {
        return;
    }
    rebuild_stop_reading(r);
    r->step = REBUILD_SNAPSHOT;
    r->sent_bytes = 0;
    snapship_download(r->parts.snapship, now_ns, r->term, r->end, r->node);
}

void rebuild_snapshot_found(struct rebuild *r, uint64_t now_ns, const struct snapshot_info *info)
{
    if (r->step != REBUILD_SNAPSHOT) {
        return;
    }
    r->snapshot = *info;
    r->total_bytes = info->size_bytes + (r->end - info->offset);
    log_info("the rebuild takes the snapshot at offset %" PRIu64 " (%" PRIu64 " bytes) and %" PRIu64
             " bytes of log",
             info->offset, info->size_bytes, r->end - info->offset);
    /* Announced is the id that the log has at its end: Redis must go by that one when it is there.
     */
    feed_full_resync(r->parts.feed, &r->replid, info->offset, info->size_bytes);
    snapship_room(r->parts.snapship, now_ns, feed_room(r->parts.feed));
}

size_t rebuild_room(const struct rebuild *r)
{
    return feed_room(r->parts.feed);
}

void rebuild_bytes(struct rebuild *r, const void *bytes, size_t size)
{
    if (r->step == REBUILD_SNAPSHOT || r->step == REBUILD_LOG) {
        r->sent_bytes += size;
        feed_write(r->parts.feed, bytes, size);
    }
}

void rebuild_snapshot_end(struct rebuild *r, uint64_t now_ns, bool ok, const char *why)
{
    if (r->step != REBUILD_SNAPSHOT) {
        return;
    }
    if (!ok) {
        rebuild_fail(r, why);
        return;
    }
    r->step = REBUILD_LOG;
    if (r->snapshot.offset == r->end) {
        rebuild_log_end(r, now_ns, true, NULL);
        return;
    }
    struct reader_range range = {
        .from = r->snapshot.offset,
        .to = r->end,
        .term = r->term,
        .history = &r->history,
        .chain_known = true,
        .chain_crc = r->snapshot.chain_crc,
        .node = r->node,
    };
    reader_start(r->parts.reader, now_ns, &range);
    reader_room(r->parts.reader, now_ns, feed_room(r->parts.feed));
}

void rebuild_log_end(struct rebuild *r, uint64_t now_ns, bool ok, const char *why)
{
    if (r->step != REBUILD_LOG) {
        return;
    }
    if (!ok) {
        rebuild_fail(r, why);
        return;
    }
    r->step = REBUILD_APPLY;
    r->poll_ns = now_ns;
}

void rebuild_feed_room(struct rebuild *r, uint64_t now_ns)
{
    if (r->step == REBUILD_SNAPSHOT) {
        snapship_room(r->parts.snapship, now_ns, feed_room(r->parts.feed));
    } else if (r->step == REBUILD_LOG) {
        reader_room(r->parts.reader, now_ns, feed_room(r->parts.feed));
    }
}

void rebuild_feed_closed(struct rebuild *r, const char *reason)
{
    if (r->step == REBUILD_SNAPSHOT || r->step == REBUILD_LOG || r->step == REBUILD_APPLY) {
        log_warn("Redis left while it was rebuilt: %s", reason);
        rebuild_stop_reading(r);
        r->step = REBUILD_REPLICAOF; /* it comes back by itself */
        r->away_ns = 0;
    }
}

/* ---- waiting for Redis ---- */

/* ROLE: of a replica [slave, host, port, state, offset], of a master [master, offset, replicas]. */
static bool rebuild_parse_role(const struct redisReply *reply, bool *master, uint64_t *offset)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING) {
        return false;
    }
    *master = strcmp(reply->element[0]->str, "master") == 0;
    size_t at = *master ? 1 : 4;
    if (reply->elements <= at || reply->element[at]->type != REDIS_REPLY_INTEGER ||
        reply->element[at]->integer < 0) {
        return false;
    }
    *offset = (uint64_t)reply->element[at]->integer;
    return true;
}

static void rebuild_role_cb(void *ctx, const struct redisReply *reply)
{
    struct rebuild *r = ctx;
    bool master = false;
    uint64_t offset = 0;

    r->polling = false;
    if (!rebuild_parse_role(reply, &master, &offset)) {
        return; /* no connection yet has an offset of -1; the tick asks again */
    }
    if (r->step == REBUILD_APPLY && master) {
        rebuild_fail(r, "somebody else has made Redis a master");
    } else if (r->step == REBUILD_APPLY && offset == r->end) {
        r->step = REBUILD_PROMOTE;
        (void)control_send(r->parts.control, rebuild_command_cb, r, "REPLICAOF NO ONE");
        (void)control_send(r->parts.control, rebuild_command_cb, r, "CONFIG SET masterauth %s", "");
    } else if (r->step == REBUILD_PROMOTE && master) {
        if (offset != r->end) {
            rebuild_fail(r, "Redis was written to while it was rebuilt");
            return;
        }
        uint64_t took_ms = (clock_now_ns() - r->started_ns) / CLOCK_NS_PER_MS;
        log_info("Redis is rebuilt at offset %" PRIu64 ": %" PRIu64 " bytes in %" PRIu64 " ms",
                 r->end, r->sent_bytes, took_ms);
        rebuild_stop(r);
        r->events->done(r->ctx);
    }
}

static void rebuild_report(struct rebuild *r, uint64_t now_ns)
{
    uint64_t elapsed_ms = (now_ns - r->started_ns) / CLOCK_NS_PER_MS;

    if (now_ns - r->report_ns < REBUILD_REPORT_MS * CLOCK_NS_PER_MS || r->total_bytes == 0) {
        return;
    }
    r->report_ns = now_ns;
    log_info("rebuilding: %" PRIu64 " of %" PRIu64 " bytes, %.1f %%, %.1f MB/s", r->sent_bytes,
             r->total_bytes, 100.0 * (double)r->sent_bytes / (double)r->total_bytes,
             (double)r->sent_bytes / 1000.0 / (double)(elapsed_ms > 0 ? elapsed_ms : 1));
}

void rebuild_tick(struct rebuild *r, uint64_t now_ns)
{
    if (r->step == REBUILD_IDLE) {
        return;
    }
    if (!control_is_up(r->parts.control)) {
        rebuild_fail(r, "the control connection to Redis is down");
        return;
    }
    if (r->step == REBUILD_REPLICAOF) {
        r->away_ns = r->away_ns != 0 ? r->away_ns : now_ns;
        if (now_ns - r->away_ns >= REBUILD_AWAY_MS * CLOCK_NS_PER_MS) {
            rebuild_fail(r, "Redis does not come to the feed port");
            return;
        }
    }
    rebuild_report(r, now_ns);
    if ((r->step == REBUILD_APPLY || r->step == REBUILD_PROMOTE) && !r->polling &&
        now_ns >= r->poll_ns) {
        r->poll_ns = now_ns + REBUILD_POLL_MS * CLOCK_NS_PER_MS;
        r->polling = control_send(r->parts.control, rebuild_role_cb, r, "ROLE");
    }
}

uint64_t rebuild_next_tick_ns(const struct rebuild *r)
{
    return r->step == REBUILD_APPLY || r->step == REBUILD_PROMOTE ? r->poll_ns : UINT64_MAX;
}

void rebuild_progress(const struct rebuild *r, uint64_t *done_bytes, uint64_t *total_bytes)
{
    *done_bytes = r->sent_bytes;
    *total_bytes = r->total_bytes;
}
