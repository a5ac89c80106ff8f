#include "logsvc/acceptor_state.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/mem.h"
#include "logsvc/mutant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACCEPTOR_IDLE_MARKER_MS = 100 };

struct storage_state acceptor_storage_state(const struct acceptor *a)
{
    struct storage_state st;

    a->storage->ops->state(a->storage, &st);
    return st;
}

int acceptor_fail(struct acceptor *a, int err)
{
    a->failed = err;
    a->pending.due = false;
    return err;
}

int acceptor_save(struct acceptor *a, const struct meta *meta)
{
    struct buf bytes = BUF_INIT;

    meta_encode(meta, &bytes);
    int err = a->storage->ops->meta_save(a->storage, buf_head(&bytes), bytes.len);
    buf_release(&bytes);
    if (err != ERR_OK) {
        return acceptor_fail(a, err);
    }
    if (&a->meta != meta) {
        a->meta = *meta;
    }
    return ERR_OK;
}

/* What follows from a moved flush offset. */
static void acceptor_flushed(struct acceptor *a)
{
    struct storage_state st = acceptor_storage_state(a);
    uint64_t known = a->leader_commit < st.unit_off ? a->leader_commit : st.unit_off;

    if (a->elected && known > a->commit) {
        a->commit = known;
    }
    if (a->meta.uncertain_to > 0 && st.unit_off >= a->meta.uncertain_to) {
        a->meta.uncertain_to = 0; /* streamed past it; saved with the next change */
    }
}

int acceptor_sync(struct acceptor *a)
{
    struct storage_state st = acceptor_storage_state(a);

    if (st.write_off != st.flush_off) {
        int err = a->storage->ops->flush(a->storage);
        if (err != ERR_OK) {
            return acceptor_fail(a, err);
        }
    }
    acceptor_flushed(a);
    return ERR_OK;
}

static uint64_t acceptor_elapsed_ns(const struct acceptor *a, uint64_t now_ns)
{
    if (a->released) {
        return WIRE_NEVER;
    }
    return now_ns > a->t_acc_ns ? now_ns - a->t_acc_ns : 0;
}

void acceptor_hear(struct acceptor *a, const struct acceptor_call *call)
{
    a->heard = true;
    a->heard_ns = call->now_ns;
    a->heard_link = call->to.link;
}

void acceptor_log(const struct acceptor *a, struct wire_log *out)
{
    struct storage_state st = acceptor_storage_state(a);
    uint64_t uncertain = a->meta.uncertain_to;

    if (st.holes.end > a->commit && st.flush_off >= uncertain) {
        uncertain = st.flush_off + 1; /* what is lost need not be anywhere else */
    }
    if (st.uncertain_to > st.flush_off && st.uncertain_to > uncertain) {
        uncertain = st.uncertain_to;
    }
    *out = (struct wire_log){
        .empty = a->meta.history.count == 0,
        .begin = st.begin,
        .flush_off = st.flush_off,
        .unit_off = st.unit_off,
        .uncertain_to = uncertain > st.unit_off ? uncertain : 0,
        .commit = a->commit,
        .chain_crc = st.flush_chain,
        .begin_chain = st.begin_chain,
        .holes = st.holes,
    };
}

struct wire_msg acceptor_reply(const struct acceptor *a, const struct acceptor_call *call,
                               enum wire_type type)
{
    return wire_reply_to(call->msg, type, a->meta.term, a->meta.conf.id);
}

void acceptor_answer(struct acceptor *a, const struct acceptor_call *call, struct wire_msg *reply)
{
    a->events.reply(a->ctx, call->to, reply);
}

void acceptor_refuse(struct acceptor *a, const struct acceptor_call *call, enum wire_refusal code,
                     const char *reason)
{
    struct wire_msg reply = wire_refuse(call->msg, a->meta.term, a->meta.conf.id, code, reason);

    reply.refused.write_off = acceptor_storage_state(a).write_off;
    /* A refusal says who refuses, whatever the request claimed. */
    memcpy(reply.cluster_id, a->config.cluster_id, sizeof reply.cluster_id);
    acceptor_answer(a, call, &reply);
}

/* A history as a message carries it; the bytes live in buf. */
static struct wire_history acceptor_wire_history(const struct history *h, struct buf *buf)
{
    history_encode(h, buf);
    return (struct wire_history){.bytes = buf_head(buf), .size = buf->len};
}

void acceptor_fill_node(const struct acceptor *a, uint64_t now_ns, struct wire_hello_reply *out,
                        struct buf *history, struct buf *conf)
{
    struct snapshot_info info;

    memcpy(out->node_id, a->meta.node_id, sizeof out->node_id);
    out->disk = a->meta.disk;
    conf_encode(&a->meta.conf, conf);
    out->conf = (struct wire_conf){.bytes = buf_head(conf), .size = conf->len};
    out->lease_ms = a->config.lease_ms;
    out->elapsed_ns = acceptor_elapsed_ns(a, now_ns);
    out->heard_ns = WIRE_NEVER;
    if (a->heard) {
        out->heard_ns = now_ns > a->heard_ns ? now_ns - a->heard_ns : 0;
    }
    acceptor_log(a, &out->log);
    out->snapshot = acceptor_newest_snapshot(a, UINT64_MAX, false, &info);
    memcpy(out->leader, a->leader, sizeof out->leader);
    out->history = acceptor_wire_history(&a->meta.history, history);
}

bool acceptor_enter_session(struct acceptor *a, struct term term, uint64_t session)
{
    if (term.n == a->session_term.n && session < a->session) {
        return false;
    }
    if (term.n != a->session_term.n || session != a->session) {
        a->session_term = term;
        a->session = session;
        a->elected = false;
        a->pending.due = false;
    }
    return true;
}

/* Pre-vote and start of a session. A term in it means that the sender won that election (and may
 * still be bringing its Redis to the log's end): others shall not campaign against it. */
static int acceptor_hello(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;
    struct buf history = BUF_INIT, conf = BUF_INIT;

    if (msg->hello.lease_ms != a->config.lease_ms) {
        acceptor_refuse(a, call, WIRE_REFUSED_LEASE, NULL);
        return ERR_OK;
    }
    struct wire_msg reply = acceptor_reply(a, call, WIRE_HELLO_REPLY);
    acceptor_fill_node(a, call->now_ns, &reply.hello_reply, &history, &conf);
    bool fresh = true;
    if (msg->term.n > 0 && msg->term.n >= a->meta.term.n) {
        fresh = acceptor_enter_session(a, msg->term, msg->session);
        if (fresh && msg->term.n == a->meta.term.n) {
            acceptor_hear(a, call);
        }
    }
    if (fresh) {
        acceptor_answer(a, call, &reply);
    } else {
        acceptor_refuse(a, call, WIRE_REFUSED_SESSION, NULL);
    }
    buf_release(&history);
    buf_release(&conf);
    return ERR_OK;
}

bool acceptor_term_believed(struct acceptor *a, const struct acceptor_call *call)
{
    bool near = term_is_near(a->meta.term, call->msg->term);

    if (!near) {
        acceptor_refuse(a, call, WIRE_REFUSED_BAD, "the term is too far above the one here");
    }
    return near;
}

/* Grants a term that is strictly higher than any before, so at most one proposer gets it. What was
 * appended is flushed first: it would otherwise become durable after the vote said where the log
 * ends (a bug that Neon had). */
static int acceptor_vote(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;

    if (msg->vote.lease_ms != a->config.lease_ms) {
        acceptor_refuse(a, call, WIRE_REFUSED_LEASE, NULL);
        return ERR_OK;
    }
    if (!acceptor_conf_vote(a, call)) {
        return ERR_OK;
    }
    if (!acceptor_term_believed(a, call)) {
        return ERR_OK;
    }
    struct wire_msg reply = acceptor_reply(a, call, WIRE_VOTE_REPLY);
    if (MUTANT(VOTE_GE) ? msg->term.n < a->meta.term.n : msg->term.n <= a->meta.term.n) {
        acceptor_answer(a, call, &reply);
        return ERR_OK;
    }
    int err = MUTANT(NO_FLUSH_BEFORE_VOTE) ? ERR_OK : acceptor_sync(a);
    if (err != ERR_OK) {
        return err;
    }
    struct meta next = a->meta;
    next.term = msg->term;
    err = acceptor_save(a, &next);
    if (err != ERR_OK) {
        return err;
    }
    a->elected = false; /* the leader that was is fenced by term from here on */
    acceptor_hear(a, call);

    struct buf bytes = BUF_INIT;
    reply.term = a->meta.term;
    reply.vote_reply.granted = true;
    reply.vote_reply.elapsed_ns = acceptor_elapsed_ns(a, call->now_ns);
    acceptor_log(a, &reply.vote_reply.log);
    history_cut(&next.history, reply.vote_reply.log.unit_off);
    reply.vote_reply.history = acceptor_wire_history(&next.history, &bytes);
    acceptor_answer(a, call, &reply);
    buf_release(&bytes);
    return ERR_OK;
}

/* Whether the message comes from the accepted leader of the current term, in its newest session. */
bool acceptor_from_leader(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;

    if (msg->term.n < a->meta.term.n) {
        acceptor_refuse(a, call, WIRE_REFUSED_TERM, NULL);
    } else if (msg->term.n == a->session_term.n && msg->session < a->session) {
        acceptor_refuse(a, call, WIRE_REFUSED_SESSION, NULL);
    } else if (msg->term.n != a->meta.term.n || !a->elected || a->session_term.n != msg->term.n ||
               msg->session != a->session) {
        acceptor_refuse(a, call, WIRE_REFUSED_ELECTED, NULL);
    } else {
        return true;
    }
    return false;
}

/* Whether a record may stand where it says: bytes of the term that the history has there, not
 * reaching into the next term's. Older than all of a trimmed history: any older term. */
bool acceptor_term_fits(const struct acceptor *a, const struct record *r)
{
    const struct history *h = &a->meta.history;
    uint64_t end;
    const struct history_entry *e = history_stretch(h, r->begin, &end);

    if (record_end(r) > end) {
        return false;
    }
    return e != NULL ? e->term.n == r->term.n
                     : r->term.n > 0 && h->count > 0 && r->term.n < h->entries[0].term.n;
}

/* Looks at every record of an append before any is stored. */
static bool acceptor_append_ok(const struct acceptor *a, const struct storage_state *st,
                               const struct wire_msg *msg)
{
    uint64_t at = st->write_off;
    uint32_t chain = st->chain_crc;
    struct record r;
    const uint8_t *payload;
    size_t whole;

    for (size_t done = 0; done < msg->data_size; done += whole) {
        if (wire_record(msg->data + done, msg->data_size - done, &r, &payload, &whole) != ERR_OK) {
            return false;
        }
        chain = crc32c_extend(chain, payload, r.len_bytes);
        if (r.begin != at || r.len_bytes == 0 || (r.flags & RECORD_IDLE) != 0 ||
            !acceptor_term_fits(a, &r) || !record_payload_ok(&r, payload) || r.chain_crc != chain) {
            return false;
        }
        at = record_end(&r);
    }
    return true;
}

/* Queues all records in the storage. ERR_NO_SPACE, ERR_TOO_BIG, ERR_INVALID: refused, nothing of
 * this record was changed, those before stay queued. */
static int acceptor_store(struct acceptor *a, const struct wire_msg *msg)
{
    struct record r;
    const uint8_t *payload;
    size_t whole;

    for (size_t done = 0; done < msg->data_size; done += whole) {
        int err = wire_record(msg->data + done, msg->data_size - done, &r, &payload, &whole);
        MUST(err == ERR_OK);
        err = a->storage->ops->append(a->storage, &r, payload);
        if (err == ERR_NO_SPACE || err == ERR_TOO_BIG || err == ERR_INVALID) {
            return err;
        }
        if (err != ERR_OK) {
            return acceptor_fail(a, err);
        }
        a->last_wall_ms = r.wall_ms;
        a->idle_due = true;
    }
    return ERR_OK;
}

static int acceptor_append(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;

    if (!acceptor_from_leader(a, call)) {
        return ERR_OK;
    }
    struct storage_state st = acceptor_storage_state(a);
    struct wire_msg reply = acceptor_reply(a, call, WIRE_APPEND_REPLY);
    if (msg->append.begin != st.write_off) {
        reply.append_reply.gap = true;
        reply.append_reply.write_off = st.write_off;
        reply.append_reply.unit_off = st.unit_off;
        reply.append_reply.commit = a->commit;
        reply.append_reply.holes = st.holes;
        acceptor_answer(a, call, &reply);
        return ERR_OK;
    }
    if (!acceptor_append_ok(a, &st, msg)) {
        acceptor_refuse(a, call, WIRE_REFUSED_BAD, "a record does not fit or fails its checksum");
        return ERR_OK;
    }
    int err = acceptor_store(a, msg);
    if (err == ERR_NO_SPACE) {
        acceptor_refuse(a, call, WIRE_REFUSED_SPACE, NULL);
        return ERR_OK;
    }
    if (err == ERR_TOO_BIG || err == ERR_INVALID) {
        acceptor_refuse(a, call, WIRE_REFUSED_BAD, "a record is too big or may not come next");
        return ERR_OK;
    }
    if (err != ERR_OK) {
        return err;
    }
    a->t_acc_ns = call->now_ns;
    a->released = false;
    acceptor_hear(a, call);
    if (msg->append.commit > a->leader_commit) {
        a->leader_commit = msg->append.commit;
    }
    a->pending = (struct acceptor_pending){.due = true, .to = call->to, .reply = reply};
    return ERR_OK;
}

/* The leader of our term has stopped serving for good: its lease, and any older one, is dead. It
 * must not be revived by a late append, so it has to be elected again for those.
 *
 * In whichever session, and whether or not it was ever accepted here: it has waited out all older
 * leases, nobody leads in its term again, and no newer leader's append was taken here
 * (log-protocol.md 5.7). Who stops because he does not hear us has no session that stands, and
 * others would have to wait for his lease from when we go on. */
static int acceptor_release(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;

    if (msg->term.n < a->meta.term.n && !MUTANT(RELEASE_ANY_TERM)) {
        acceptor_refuse(a, call, WIRE_REFUSED_TERM, NULL);
        return ERR_OK;
    }
    if (msg->term.n == 0 || msg->term.n > a->meta.term.n) {
        acceptor_refuse(a, call, WIRE_REFUSED_ELECTED, NULL);
        return ERR_OK;
    }
    a->released = true;
    a->heard = false;
    a->elected = false;
    memcpy(a->heir, msg->release.heir, sizeof a->heir);
    a->heir_ns = call->now_ns;
    struct wire_msg reply = acceptor_reply(a, call, WIRE_RELEASE_REPLY);
    reply.release_reply.released = true;
    acceptor_answer(a, call, &reply);
    acceptor_tell_watchers(a, call->now_ns);
    return ERR_OK;
}

static int acceptor_status(struct acceptor *a, const struct acceptor_call *call)
{
    struct buf history = BUF_INIT, conf = BUF_INIT;
    struct wire_msg reply = acceptor_reply(a, call, WIRE_STATUS_REPLY);

    acceptor_fill_node(a, call->now_ns, &reply.status_reply.node, &history, &conf);
    acceptor_answer(a, call, &reply);
    buf_release(&history);
    buf_release(&conf);
    return ERR_OK;
}

static int acceptor_dispatch(struct acceptor *a, const struct acceptor_call *call)
{
    switch (call->msg->type) {
    case WIRE_HELLO:
        return acceptor_hello(a, call);
    case WIRE_VOTE:
        return acceptor_vote(a, call);
    case WIRE_ELECTED:
        return acceptor_elected(a, call);
    case WIRE_APPEND:
        return acceptor_append(a, call);
    case WIRE_READ:
        return acceptor_read(a, call);
    case WIRE_MEND:
        return acceptor_mend(a, call);
    case WIRE_CONFIG:
        return acceptor_config(a, call);
    case WIRE_RELEASE:
        return acceptor_release(a, call);
    case WIRE_STATUS:
        return acceptor_status(a, call);
    case WIRE_SNAP_BEGIN:
        return acceptor_snap_begin(a, call);
    case WIRE_SNAP_WRITE:
        return acceptor_snap_write(a, call);
    case WIRE_SNAP_COMMIT:
        return acceptor_snap_commit(a, call);
    case WIRE_SNAP_LATEST:
        return acceptor_snap_latest(a, call);
    case WIRE_SNAP_READ:
        return acceptor_snap_read(a, call);
    case WIRE_SNAP_LIST:
        return acceptor_snap_list(a, call);
    case WIRE_SNAP_VERIFIED:
        return acceptor_snap_verified(a, call);
    case WIRE_SNAP_DELETE:
        return acceptor_snap_delete(a, call);
    case WIRE_TRIM:
        return acceptor_trim(a, call);
    case WIRE_REBASE:
        return acceptor_rebase(a, call);
    case WIRE_WATCH:
        acceptor_watch(a, call);
        return ERR_OK;
    case WIRE_HELLO_REPLY:
    case WIRE_VOTE_REPLY:
    case WIRE_ELECTED_REPLY:
    case WIRE_APPEND_REPLY:
    case WIRE_READ_REPLY:
    case WIRE_RELEASE_REPLY:
    case WIRE_STATUS_REPLY:
    case WIRE_SNAP_BEGIN_REPLY:
    case WIRE_SNAP_WRITE_REPLY:
    case WIRE_SNAP_COMMIT_REPLY:
    case WIRE_SNAP_LATEST_REPLY:
    case WIRE_SNAP_READ_REPLY:
    case WIRE_SNAP_LIST_REPLY:
    case WIRE_SNAP_VERIFIED_REPLY:
    case WIRE_SNAP_DELETE_REPLY:
    case WIRE_TRIM_REPLY:
    case WIRE_REBASE_REPLY:
    case WIRE_CONFIG_REPLY:
    case WIRE_WATCH_REPLY:
    case WIRE_REFUSED:
    case WIRE_MEND_REPLY:
        break;
    }
    return ERR_OK;
}

int acceptor_receive(struct acceptor *a, uint64_t now_ns, const struct wire_msg *msg,
                     struct acceptor_reply_to to)
{
    struct acceptor_call call = {.now_ns = now_ns, .msg = msg, .to = to};

    if (a->failed != ERR_OK) {
        return a->failed;
    }
    if (!wire_is_request(msg->type)) {
        return ERR_OK;
    }
    if (memcmp(msg->cluster_id, a->config.cluster_id, sizeof msg->cluster_id) != 0) {
        acceptor_refuse(a, &call, WIRE_REFUSED_CLUSTER, NULL);
        return ERR_OK;
    }
    if (msg->log_id != a->config.log_id) {
        acceptor_refuse(a, &call, WIRE_REFUSED_LOG, NULL);
        return ERR_OK;
    }
    return acceptor_conf_admits(a, &call) ? acceptor_dispatch(a, &call) : ERR_OK;
}

/* Answers the appends since the last turn; the newest answer covers all earlier ones. */
static void acceptor_acknowledge(struct acceptor *a, const struct storage_state *st)
{
    struct wire_append_reply *reply = &a->pending.reply.append_reply;

    if (!a->pending.due) {
        return;
    }
    a->pending.due = false;
    if (!a->elected || a->pending.reply.term.n != a->meta.term.n) {
        return; /* a vote or a release came in between: that leader is over */
    }
    reply->write_off = st->write_off;
    reply->unit_off = st->unit_off;
    reply->commit = a->commit;
    reply->holes = st->holes;
    a->events.reply(a->ctx, a->pending.to, &a->pending.reply);
}

int acceptor_flush(struct acceptor *a, uint64_t now_ns)
{
    if (a->failed != ERR_OK) {
        return a->failed;
    }
    struct storage_state st = acceptor_storage_state(a);
    bool wrote = st.write_off != st.flush_off;
    uint64_t commit = a->commit;
    if (MUTANT(ACK_BEFORE_FLUSH)) {
        st.unit_off = st.write_off;
        acceptor_acknowledge(a, &st);
    }
    int err = acceptor_sync(a);
    if (err != ERR_OK) {
        return err;
    }
    if (wrote) {
        a->idle_at_ns = now_ns + ACCEPTOR_IDLE_MARKER_MS * CLOCK_NS_PER_MS;
    }
    st = acceptor_storage_state(a);
    acceptor_acknowledge(a, &st);
    if (!wrote && a->commit > commit) { /* nothing follows that they would ask for anyway */
        acceptor_tell_followers(a, now_ns);
    }
    return ERR_OK;
}

uint64_t acceptor_next_tick_ns(const struct acceptor *a)
{
    return a->idle_due && a->failed == ERR_OK ? a->idle_at_ns : UINT64_MAX;
}

int acceptor_tick(struct acceptor *a, uint64_t now_ns)
{
    if (a->failed != ERR_OK) {
        return a->failed;
    }
    struct storage_state st = acceptor_storage_state(a);
    if (!a->idle_due || now_ns < a->idle_at_ns || st.write_off != st.flush_off) {
        return ERR_OK;
    }
    a->idle_due = false;
    if (st.write_off == st.begin) {
        return ERR_OK; /* all that was appended has been cut again */
    }
    /* It bears the term of the last byte, not that of a leader who has written nothing yet: bytes
     * of the former may still follow here, if the latter does not prevail. */
    struct record marker = {
        .term = history_last_term(&a->meta.history, st.write_off - 1),
        .begin = st.write_off,
        .flags = RECORD_IDLE | (st.unit_off == st.write_off ? RECORD_UNIT_END : 0),
        .chain_crc = st.chain_crc,
        .commit = a->commit,
        .wall_ms = a->last_wall_ms,
    };
    if (marker.term.n == 0) {
        return ERR_OK; /* older than all that the history still knows */
    }
    int err = a->storage->ops->append(a->storage, &marker, NULL);
    if (err == ERR_NO_SPACE) {
        return ERR_OK; /* it only narrows a window; the next append will meet the full disk */
    }
    if (err == ERR_OK) {
        err = a->storage->ops->flush(a->storage);
    }
    return err == ERR_OK ? ERR_OK : acceptor_fail(a, err);
}

/* Reads the durable state, or makes it for a storage that was never used. */
static int acceptor_load(struct acceptor *a)
{
    struct buf bytes = BUF_INIT;
    int err = a->storage->ops->meta_load(a->storage, &bytes);

    if (err == ERR_OK) {
        err = meta_decode(buf_head(&bytes), bytes.len, &a->meta);
        if (err == ERR_OK &&
            (memcmp(a->meta.cluster_id, a->config.cluster_id, sizeof a->meta.cluster_id) != 0 ||
             a->meta.log_id != a->config.log_id ||
             strcmp(a->meta.node_id, a->config.node_id) != 0)) {
            err = ERR_REFUSED;
        }
    } else if (err == ERR_NOT_FOUND) {
        if (!acceptor_storage_state(a).empty) {
            err = ERR_CORRUPT;
        } else {
            struct meta fresh = {.log_id = a->config.log_id, .disk = a->config.disk};
            memcpy(fresh.cluster_id, a->config.cluster_id, sizeof fresh.cluster_id);
            snprintf(fresh.node_id, sizeof fresh.node_id, "%s", a->config.node_id);
            err = acceptor_save(a, &fresh);
        }
    }
    buf_release(&bytes);
    return err;
}

int acceptor_create(struct storage *storage, const struct acceptor_config *config,
                    const struct acceptor_events *events, void *ctx, uint64_t now_ns,
                    struct acceptor **out)
{
    if (strlen(config->node_id) > WIRE_NAME_MAX || config->node_id[0] == '\0' ||
        !disk_id_known(&config->disk)) {
        return ERR_INVALID;
    }
    struct acceptor *a = mem_calloc(1, sizeof *a);
    a->storage = storage;
    a->config = *config;
    a->events = *events;
    a->ctx = ctx;
    a->t_acc_ns = now_ns;
    a->released = MUTANT(NO_RESTART_RULE);
    int err = acceptor_load(a);
    a->config.node_id = a->meta.node_id; /* the same text; the caller's may go */
    if (err != ERR_OK) {
        free(a);
        return err;
    }
    struct storage_state st = acceptor_storage_state(a);
    if (!st.empty && st.commit > st.begin) {
        a->commit = st.commit < st.unit_off ? st.commit : st.unit_off;
    }
    *out = a;
    return ERR_OK;
}

void acceptor_destroy(struct acceptor *a)
{
    free(a);
}

struct term acceptor_term(const struct acceptor *a)
{
    return a->meta.term;
}

uint64_t acceptor_commit(const struct acceptor *a)
{
    return a->commit;
}

const struct conf *acceptor_conf(const struct acceptor *a)
{
    return &a->meta.conf;
}

const struct disk_id *acceptor_disk(const struct acceptor *a)
{
    return &a->meta.disk;
}

const struct history *acceptor_history(const struct acceptor *a)
{
    return &a->meta.history;
}
