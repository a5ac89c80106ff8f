#include "proxy/follow/follow.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/follow/lag.h"
#include "proxy/follow/lineage.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often Redis is asked where it is: while something waits for it, while it is made anew, and
 * just so. */
enum { FOLLOW_POLL_FAST_MS = 1, FOLLOW_POLL_RESYNC_MS = 10, FOLLOW_POLL_MS = 100 };
enum { FOLLOW_REPORT_MS = 1000, FOLLOW_AWAY_MS = 30000 };
/* Not further behind than that: may lead without much ado. */
enum { FOLLOW_SYNCED_BYTES = 16 << 20, FOLLOW_SYNCED_MS = 1000 };

enum follow_step {
    FOLLOW_IDLE,
    FOLLOW_CALL,     /* Redis is told to replicate from us; waits for its PSYNC */
    FOLLOW_JUDGE,    /* it has asked; waits until the log is known well enough to answer */
    FOLLOW_SNAPSHOT, /* the snapshot is looked for, then goes through */
    FOLLOW_STREAM,   /* the log goes through, as far as it is sure */
    FOLLOW_APPLY,    /* elected, and all is sent; waits until Redis has applied it */
    FOLLOW_PROMOTE,  /* REPLICAOF NO ONE; waits until Redis is a master */
};

enum follow_reading { FOLLOW_READS_NOTHING, FOLLOW_READS_COMMITTED, FOLLOW_READS_FENCED };

struct follow {
    struct follow_parts parts;
    const struct follow_events *events;
    void *ctx;
    enum follow_step step;

    /* The log as it is known. */
    struct history history;
    bool history_known;
    uint64_t commit;

    /* Elected: the donor's log. */
    bool elected;
    struct term term;
    unsigned node;
    uint64_t end;

    /* The question of Redis that is being answered. */
    bool asked_replid;
    struct replid replid;
    uint64_t offset;

    /* What was answered, and what was sent since. */
    struct replid label;
    uint64_t sent; /* the stream up to here */
    bool whole;    /* … all of it committed: a Redis with this label that asks below is ours */
    bool resync_due;
    enum follow_reading reading;
    uint64_t reading_to;
    struct snapshot_info snapshot;
    bool chain_known;

    uint64_t applied;
    bool applied_known; /* Redis has said so since it began to go along (0 is a place, too) */
    struct lag lag;
    uint64_t resyncs;
    uint64_t done_bytes, total_bytes; /* of a full resync; total 0: none */
    uint64_t fetched_ns, loaded_ns; /* … when its RDB was: handed to the feed, loaded; 0: not yet */
    uint64_t asked_commit;          /* what was known to be committed when Redis was asked */
    uint64_t poll_ns, report_ns, started_ns;
    uint64_t away_ns; /* CALL: since when Redis is waited for; 0: the next tick sets it */
    bool polling;     /* a question to Redis is out */
};

struct follow *follow_create(const struct follow_parts *parts, const struct follow_events *events,
                             void *ctx)
{
    struct follow *f = mem_calloc(1, sizeof *f);

    f->parts = *parts;
    f->events = events;
    f->ctx = ctx;
    return f;
}

void follow_destroy(struct follow *f)
{
    free(f);
}

bool follow_active(const struct follow *f)
{
    return f->step != FOLLOW_IDLE;
}

static void follow_stop_reading(struct follow *f)
{
    if (f->step == FOLLOW_SNAPSHOT) {
        snapship_stop(f->parts.snapship);
    }
    if (f->reading != FOLLOW_READS_NOTHING) {
        reader_stop(f->parts.reader);
        f->reading = FOLLOW_READS_NOTHING;
    }
    f->total_bytes = 0;
}

void follow_stop(struct follow *f)
{
    follow_stop_reading(f);
    f->step = FOLLOW_IDLE;
    f->elected = f->applied_known = false;
    f->applied = 0;
}

static void follow_fail(struct follow *f, const char *why)
{
    follow_stop(f);
    f->events->failed(f->ctx, why);
}

/* Waits for Redis to ask (again). */
static void follow_call(struct follow *f)
{
    follow_stop_reading(f);
    f->step = FOLLOW_CALL;
    f->away_ns = 0;
}

/* Has Redis ask again; it comes back at once. */
static void follow_call_again(struct follow *f, const char *why)
{
    follow_call(f);
    feed_drop(f->parts.feed, why);
}

static void follow_command_cb(void *ctx, const struct redisReply *reply)
{
    struct follow *f = ctx;

    if (f->step != FOLLOW_IDLE && reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        follow_fail(f, reply->str);
    }
}

static void follow_send(struct follow *f, const char *words, const char *arg)
{
    /* Without a connection the tick sees that it is down. */
    (void)control_send(f->parts.control, follow_command_cb, f, words, arg);
}

/* Tells Redis whose replica it is; nothing changes if it is that already. */
static void follow_claim(struct follow *f)
{
    char port[16];

    (void)snprintf(port, sizeof port, "%d", feed_port(f->parts.feed));
    follow_send(f, "CONFIG SET masterauth %s", f->parts.secret);
    follow_send(f, "CONFIG SET masteruser %s", "");
    follow_send(f, "CONFIG SET replica-read-only %s", "yes");
    follow_send(f, "REPLICAOF 127.0.0.1 %s", port);
}

void follow_start(struct follow *f, uint64_t now_ns)
{
    follow_stop(f);
    follow_call(f);
    f->whole = f->resync_due = f->polling = false;
    f->started_ns = f->report_ns = now_ns;
    f->poll_ns = now_ns + FOLLOW_POLL_MS * CLOCK_NS_PER_MS;
    log_info("Redis becomes a replica of the log");
    follow_claim(f);
    if (feed_connected(f->parts.feed)) {
        feed_drop(f->parts.feed, "the follower starts again"); /* it comes back and asks anew */
    }
}

/* ---- what Redis is sent ---- */

/* How far the log is sure: what is committed, or all that the donor has. */
static uint64_t follow_limit(const struct follow *f)
{
    return f->elected ? f->end : f->commit;
}

/* How far it may be sent under the label that Redis was told. */
static uint64_t follow_label_limit(const struct follow *f)
{
    uint64_t limit = follow_limit(f), end = lineage_end(&f->history, &f->label);

    return end < limit ? end : limit;
}

/* Begins to fetch the log behind what was sent, or goes on to a later place. Nothing of it is
 * handed out before reader_room. */
static void follow_fetch(struct follow *f, uint64_t now_ns, uint64_t to)
{
    enum follow_reading reading = f->elected ? FOLLOW_READS_FENCED : FOLLOW_READS_COMMITTED;

    if (f->reading == reading) {
        if (to > f->reading_to) {
            f->reading_to = to;
            reader_extend(f->parts.reader, now_ns, to);
        }
        return;
    }
    struct reader_range range = {
        .from = f->sent,
        .to = to,
        .term = f->elected ? f->term : (struct term){0},
        .history = f->elected ? &f->history : NULL,
        .chain_known = f->chain_known && f->sent == f->snapshot.offset,
        .chain_crc = f->snapshot.chain_crc,
        .node = f->node,
    };
    f->reading = reading;
    f->reading_to = to;
    reader_start(f->parts.reader, now_ns, &range);
}

static void follow_read(struct follow *f, uint64_t now_ns, uint64_t to)
{
    follow_fetch(f, now_ns, to);
    reader_room(f->parts.reader, now_ns, feed_room(f->parts.feed));
}

/* STREAM: sends what is sure and not sent, or sees that nothing is left. */
static void follow_stream(struct follow *f, uint64_t now_ns)
{
    const struct history_entry *label = lineage_label(&f->history, follow_limit(f));
    uint64_t to = follow_label_limit(f);

    if (!lineage_knows(&f->history, &f->label)) {
        follow_call_again(f, "the term that it was told has come to nothing");
    } else if (f->sent < to) {
        follow_read(f, now_ns, to);
    } else if (f->elected && f->sent == f->end) {
        f->step = FOLLOW_APPLY;
        f->poll_ns = now_ns;
    } else if (label != NULL && !lineage_same(&label->replid, &f->label)) {
        follow_call_again(f, "another term has begun: it is told its replication id");
    }
}

static void follow_begin_stream(struct follow *f, uint64_t now_ns)
{
    f->step = FOLLOW_STREAM;
    f->whole = !f->elected;
    follow_stream(f, now_ns);
}

/* ---- answering PSYNC ---- */

static void follow_resync(struct follow *f, uint64_t now_ns, const char *why)
{
    log_warn("a full resync of Redis, up to offset %" PRIu64 " and on: %s; what it holds is "
             "replaced",
             follow_limit(f), why);
    f->step = FOLLOW_SNAPSHOT;
    f->resync_due = f->whole = f->chain_known = false;
    f->resyncs++;
    f->applied = 0;
    f->applied_known = false;
    f->started_ns = f->report_ns = now_ns;
    f->done_bytes = f->total_bytes = 0;
    f->fetched_ns = f->loaded_ns = 0;
    snapship_download(f->parts.snapship, now_ns, f->elected ? f->term : (struct term){0},
                      follow_limit(f), f->node);
}

static void follow_resume(struct follow *f, uint64_t now_ns)
{
    const struct history_entry *label = lineage_label(&f->history, follow_limit(f));

    f->label = label != NULL ? label->replid : f->replid;
    f->sent = f->offset;
    f->chain_known = false;
    log_debug("Redis goes on at offset %" PRIu64, f->offset);
    feed_continue(f->parts.feed, &f->label);
    follow_begin_stream(f, now_ns);
}

/* Answers the question of Redis, as soon as enough is known to. */
static void follow_judge(struct follow *f, uint64_t now_ns)
{
    bool ours =
        f->asked_replid && f->whole && lineage_same(&f->replid, &f->label) && f->offset <= f->sent;

    if (!f->elected && !f->history_known) {
        return;
    }
    if (f->resync_due) {
        follow_resync(f, now_ns, "the log begins behind what it holds");
    } else if (ours) {
        follow_resume(f, now_ns);
    } else if (!f->asked_replid) {
        follow_resync(f, now_ns, "it asks for one");
    } else {
        switch (lineage_judge(&f->history, follow_limit(f), f->elected, &f->replid, f->offset)) {
        case LINEAGE_RESUME:
            follow_resume(f, now_ns);
            break;
        case LINEAGE_WAIT:
            break;
        case LINEAGE_FOREIGN:
            follow_resync(f, now_ns, "it is empty, or its data are not of this log");
            break;
        case LINEAGE_AHEAD:
            follow_resync(f, now_ns, "it was written to, or holds what was never committed");
            break;
        }
    }
}

void follow_psync(struct follow *f, uint64_t now_ns, const struct replid *replid, uint64_t offset)
{
    if (f->step == FOLLOW_IDLE) {
        feed_drop(f->parts.feed, "nothing is to be fed");
        return;
    }
    if (f->step == FOLLOW_PROMOTE) {
        return;
    }
    follow_stop_reading(f);
    f->step = FOLLOW_JUDGE;
    f->asked_replid = replid != NULL;
    f->replid = replid != NULL ? *replid : (struct replid){{0}};
    f->offset = offset;
    follow_judge(f, now_ns);
}

void follow_see(struct follow *f, uint64_t now_ns, const struct history *history, uint64_t commit)
{
    bool newer = history->count > 0 &&
                 (!f->history_known || history->entries[history->count - 1].term.n !=
                                           f->history.entries[f->history.count - 1].term.n);

    if (f->elected) {
        return; /* the donor's log it is */
    }
    if (newer) {
        f->history = *history;
        f->history_known = true;
    }
    if (commit > f->commit) {
        f->commit = commit;
        lag_committed(&f->lag, now_ns, commit);
        newer = true;
    }
    if (newer && f->step == FOLLOW_JUDGE) {
        follow_judge(f, now_ns);
    } else if (newer && f->step == FOLLOW_STREAM) {
        follow_stream(f, now_ns);
    }
}

void follow_promote(struct follow *f, uint64_t now_ns, struct term term,
                    const struct proposer_donor *donor)
{
    if (f->step == FOLLOW_IDLE) {
        follow_start(f, now_ns);
    }
    if (f->reading != FOLLOW_READS_NOTHING) { /* from here on by the term's leave only */
        reader_stop(f->parts.reader);
        f->reading = FOLLOW_READS_NOTHING;
    }
    f->elected = true;
    f->term = term;
    f->node = donor->node;
    f->end = donor->end.offset;
    f->history = *donor->history;
    f->history_known = true;
    f->whole = false; /* what comes now may be taken back */
    if (f->step == FOLLOW_JUDGE) {
        follow_judge(f, now_ns);
    } else if (f->step == FOLLOW_STREAM) {
        if (f->sent > f->end) {
            follow_call_again(f, "it is ahead of the log"); /* never, as long as commits hold */
        } else {
            follow_stream(f, now_ns);
        }
    }
}

/* ---- snapshot and log through the feed ---- */

void follow_snapshot_found(struct follow *f, uint64_t now_ns, const struct snapshot_info *info)
{
    const struct history_entry *label = lineage_label(&f->history, follow_limit(f));

    if (f->step != FOLLOW_SNAPSHOT) {
        return;
    }
    if (label == NULL || info->offset > follow_limit(f)) {
        follow_fail(f, "the snapshot is not of this log");
        return;
    }
    f->snapshot = *info;
    f->label = label->replid;
    f->total_bytes = info->size_bytes + (follow_limit(f) - info->offset);
    log_info("the resync takes the snapshot at offset %" PRIu64 " (%" PRIu64 " bytes) and %" PRIu64
             " bytes of log",
             info->offset, info->size_bytes, follow_limit(f) - info->offset);
    feed_full_resync(f->parts.feed, &f->label, info->offset, info->size_bytes);
    f->sent = info->offset;
    f->chain_known = true;
    if (follow_label_limit(f) > f->sent) {
        follow_fetch(f, now_ns, follow_label_limit(f)); /* while Redis loads the RDB */
    }
    snapship_room(f->parts.snapship, now_ns, feed_room(f->parts.feed));
}

size_t follow_room(const struct follow *f)
{
    return feed_room(f->parts.feed);
}

void follow_bytes(struct follow *f, const void *bytes, size_t size)
{
    if (f->step == FOLLOW_STREAM) {
        f->sent += size;
    } else if (f->step != FOLLOW_SNAPSHOT) {
        return;
    }
    f->done_bytes += size;
    feed_write(f->parts.feed, bytes, size);
}

void follow_snapshot_end(struct follow *f, uint64_t now_ns, bool ok, const char *why)
{
    if (f->step != FOLLOW_SNAPSHOT) {
        return;
    }
    if (!ok) {
        feed_drop(f->parts.feed, "the snapshot could not be had whole");
        follow_fail(f, why);
        return;
    }
    f->fetched_ns = now_ns;
    follow_begin_stream(f, now_ns);
}

void follow_log_end(struct follow *f, uint64_t now_ns, int err)
{
    if ((f->step != FOLLOW_STREAM && f->step != FOLLOW_SNAPSHOT) ||
        f->reading == FOLLOW_READS_NOTHING) {
        return;
    }
    if (err == ERR_NOT_FOUND) { /* also while the RDB goes through: nothing can follow it */
        f->resync_due = true;
        follow_call_again(f, "the log begins behind what it has");
    } else if (f->step == FOLLOW_SNAPSHOT) {
        if (err != ERR_OK) {
            f->reading = FOLLOW_READS_NOTHING; /* asked for again behind it, in earnest */
        }
    } else if (err == ERR_OK) {
        follow_stream(f, now_ns);
    } else {
        follow_fail(f, err_text(err));
    }
}

void follow_feed_room(struct follow *f, uint64_t now_ns)
{
    if (f->step == FOLLOW_SNAPSHOT) {
        snapship_room(f->parts.snapship, now_ns, feed_room(f->parts.feed));
    } else if (f->step == FOLLOW_STREAM && f->reading != FOLLOW_READS_NOTHING) {
        reader_room(f->parts.reader, now_ns, feed_room(f->parts.feed));
    }
}

void follow_feed_closed(struct follow *f, const char *reason)
{
    if (f->step != FOLLOW_IDLE && f->step != FOLLOW_CALL && f->step != FOLLOW_PROMOTE) {
        log_info("Redis has left the feed: %s", reason);
        follow_call(f); /* it comes back by itself */
    }
}

/* ---- asking Redis ---- */

/* ROLE: of a replica [slave, host, port, state, offset], of a master [master, offset, replicas]. */
struct follow_role {
    bool master;
    bool ours;       /* a replica of the feed */
    bool has_offset; /* without a link to its master it says -1 */
    uint64_t offset;
};

static bool follow_parse_role(const struct follow *f, const struct redisReply *reply,
                              struct follow_role *out)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING) {
        return false;
    }
    out->master = strcmp(reply->element[0]->str, "master") == 0;
    out->ours = !out->master && reply->element[2]->type == REDIS_REPLY_INTEGER &&
                reply->element[2]->integer == feed_port(f->parts.feed);
    size_t at = out->master ? 1 : 4;
    if (reply->elements <= at || reply->element[at]->type != REDIS_REPLY_INTEGER) {
        return false;
    }
    out->has_offset = reply->element[at]->integer >= 0;
    out->offset = out->has_offset ? (uint64_t)reply->element[at]->integer : 0;
    return true;
}

/* Redis says where it is, so it has loaded the RDB. Whether it is at the log's end: clients go on
 * writing, so that is where the end was when it was asked. */
static void follow_resynced(struct follow *f, uint64_t now_ns)
{
    if (f->total_bytes == 0) {
        return;
    }
    if (f->loaded_ns == 0) {
        f->loaded_ns = now_ns;
    }
    if (f->applied < f->asked_commit) {
        return;
    }
    uint64_t took_ms = (now_ns - f->started_ns) / CLOCK_NS_PER_MS;
    uint64_t fetched_ms = (f->fetched_ns - f->started_ns) / CLOCK_NS_PER_MS;
    uint64_t loaded_ms = (f->loaded_ns - f->started_ns) / CLOCK_NS_PER_MS;
    log_info("Redis has caught up at offset %" PRIu64 ": %" PRIu64 " bytes in %" PRIu64
             " ms; the snapshot was fetched after %" PRIu64 " ms and loaded after %" PRIu64 " ms",
             f->applied, f->done_bytes, took_ms, fetched_ms, loaded_ms);
    f->total_bytes = 0;
}

static void follow_role_cb(void *ctx, const struct redisReply *reply)
{
    struct follow *f = ctx;
    struct follow_role role;

    f->polling = false;
    if (f->step == FOLLOW_IDLE || f->step == FOLLOW_PROMOTE ||
        !follow_parse_role(f, reply, &role)) {
        return;
    }
    if (role.master || !role.ours) {
        log_warn("somebody has made Redis %s; it is taken back",
                 role.master ? "a master" : "the replica of another");
        f->whole = false;
        follow_call_again(f, "it is not ours any more");
        follow_claim(f);
        return;
    }
    if ((f->step == FOLLOW_STREAM || f->step == FOLLOW_APPLY) && role.has_offset) {
        f->applied = role.offset;
        f->applied_known = true;
        lag_applied(&f->lag, role.offset);
        follow_resynced(f, clock_now_ns());
    }
    if (f->step == FOLLOW_APPLY && role.has_offset && role.offset == f->end) {
        f->step = FOLLOW_PROMOTE;
        follow_send(f, "REPLICAOF NO %s", "ONE");
    } else if (f->step == FOLLOW_APPLY && role.offset > f->end) {
        follow_fail(f, "Redis is ahead of the log");
    }
}

/* As a master it may already have gone on by itself (keys expire): what counts is where it left the
 * log that it was fed. */
static void follow_promoted_cb(void *ctx, const struct redisReply *reply)
{
    struct follow *f = ctx;
    struct lineage_redis redis;

    f->polling = false;
    if (f->step != FOLLOW_PROMOTE || reply == NULL || reply->type != REDIS_REPLY_STRING ||
        !lineage_parse(reply->str, &redis) || !redis.master) {
        return;
    }
    if (!lineage_same(&redis.before, &f->label) || redis.before_end != f->end) {
        follow_fail(f, "Redis was written to while it was promoted");
        return;
    }
    struct replid label = f->label;
    log_info("Redis is promoted at offset %" PRIu64, f->end);
    follow_stop(f);
    f->events->reached(f->ctx, &label);
}

static void follow_report(struct follow *f, uint64_t now_ns)
{
    uint64_t elapsed_ms = (now_ns - f->started_ns) / CLOCK_NS_PER_MS;

    if (now_ns - f->report_ns < FOLLOW_REPORT_MS * CLOCK_NS_PER_MS || f->total_bytes == 0) {
        return;
    }
    f->report_ns = now_ns;
    log_info("resync: %" PRIu64 " of %" PRIu64 " bytes, %.1f %%, %.1f MB/s", f->done_bytes,
             f->total_bytes, 100.0 * (double)f->done_bytes / (double)f->total_bytes,
             (double)f->done_bytes / 1000.0 / (double)(elapsed_ms > 0 ? elapsed_ms : 1));
}

static uint64_t follow_poll_ms(const struct follow *f)
{
    if (f->step == FOLLOW_APPLY || f->step == FOLLOW_PROMOTE) {
        return FOLLOW_POLL_FAST_MS;
    }
    return f->total_bytes > 0 ? FOLLOW_POLL_RESYNC_MS : FOLLOW_POLL_MS;
}

void follow_tick(struct follow *f, uint64_t now_ns)
{
    if (f->step == FOLLOW_IDLE) {
        return;
    }
    if (!control_is_up(f->parts.control)) {
        follow_fail(f, "the control connection to Redis is down");
        return;
    }
    if (f->step == FOLLOW_CALL) {
        f->away_ns = f->away_ns != 0 ? f->away_ns : now_ns;
        if (now_ns - f->away_ns >= FOLLOW_AWAY_MS * CLOCK_NS_PER_MS) {
            follow_fail(f, "Redis does not come to the feed port");
            return;
        }
    }
    follow_report(f, now_ns);
    if (f->polling || now_ns < f->poll_ns) {
        return;
    }
    f->poll_ns = now_ns + follow_poll_ms(f) * CLOCK_NS_PER_MS;
    f->asked_commit = f->commit;
    f->polling = f->step == FOLLOW_PROMOTE
                     ? control_send(f->parts.control, follow_promoted_cb, f, "INFO replication")
                     : control_send(f->parts.control, follow_role_cb, f, "ROLE");
}

uint64_t follow_next_tick_ns(const struct follow *f)
{
    return f->step == FOLLOW_IDLE || f->polling ? UINT64_MAX : f->poll_ns;
}

/* ---- being asked ---- */

void follow_status(const struct follow *f, uint64_t now_ns, struct follow_status *out)
{
    static const char *const states[] = {"idle",      "connecting", "judging",  "resync",
                                         "following", "promoting",  "promoting"};

    *out = (struct follow_status){
        .state = states[f->step],
        .applied = f->applied,
        .needs = f->applied_known || f->total_bytes == 0 ? f->applied : f->snapshot.offset,
        .lag_ms = lag_ms(&f->lag, now_ns),
        .done_bytes = f->done_bytes,
        .total_bytes = f->total_bytes,
        .resyncs = f->resyncs};
    out->lag_bytes = f->commit > f->applied ? f->commit - f->applied : 0;
    out->steady = f->step == FOLLOW_STREAM && f->applied_known && f->whole;
    out->synced =
        out->steady && out->lag_bytes < FOLLOW_SYNCED_BYTES && out->lag_ms < FOLLOW_SYNCED_MS;
}
