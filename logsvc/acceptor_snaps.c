/* Snapshots at an acceptor: which of those that are stored belong to this log, and which count;
 * taking them in, handing them out, marking and deleting them. None of it changes terms or the log.
 */
#include "logsvc/acceptor_state.h"

#include "common/clock.h"
#include "logsvc/mutant.h"

#include <string.h>

/* Who uploads pauses for its rate, for its own disk, for a link that is busy. */
enum { ACCEPTOR_UPLOAD_FORGET_MS = 5000 };

/* The term of the record that holds that byte of the log; 0: it can't be read here. */
static struct log_term acceptor_term_of(const struct acceptor *a, uint64_t offset)
{
    struct buf records = BUF_INIT;
    struct record r;
    const uint8_t *payload;
    size_t whole;
    struct log_term term = {0};

    if (a->storage->ops->read(a->storage, offset, 1, &records) == ERR_OK &&
        wire_record(buf_head(&records), records.len, &r, &payload, &whole) == ERR_OK &&
        r.begin <= offset && offset < record_end(&r)) {
        term = r.term;
    }
    buf_release(&records);
    return term;
}

/* Whether a snapshot whose term the history has forgotten is of this log. What is in front of it
 * tells, by log matching; at the log's begin nothing is: there its first leader's first record
 * does, or, if it was verified, the checksum of what was in front of it. */
static bool acceptor_log_tells(const struct acceptor *a, const struct snapshot_info *info)
{
    struct storage_state st = acceptor_storage_state(a);

    if (st.empty || info->offset < st.begin || info->offset > st.flush_off) {
        return false;
    }
    if (info->offset > st.begin) {
        return acceptor_term_of(a, info->offset - 1).n == info->term.n;
    }
    if (info->verified_ms > 0 && st.begin_chain_known && st.begin_chain == info->chain_crc) {
        return true;
    }
    return st.flush_off > st.begin && acceptor_term_of(a, st.begin).n == info->term.n;
}

/* Whether a snapshot's data are a state of this log: its term reaches to its offset. One that a
 * candidate stored for a log that never came to be is not. */
static bool acceptor_snapshot_fits(const struct acceptor *a, const struct snapshot_info *info)
{
    const struct history *h = &a->meta.history;
    const struct history_entry *e = history_find(h, info->term);

    if (e == NULL) {
        bool forgotten = h->count > 0 && info->term.n < h->entries[0].term.n;
        return forgotten && acceptor_log_tells(a, info);
    }
    if (info->offset < e->begin) {
        return false;
    }
    return e == &h->entries[h->count - 1] || info->offset <= e[1].begin;
}

/* Whether a Redis may be brought up from it: it was verified, or it is what the log was begun with;
 * and what follows it is still here. */
static bool acceptor_snapshot_counts(const struct acceptor *a, const struct snapshot_info *info)
{
    struct storage_state st = acceptor_storage_state(a);

    return !st.empty &&
           (info->offset == st.begin || (info->offset > st.begin && info->verified_ms > 0) ||
            (info->offset > st.begin && MUTANT(SNAP_UNVERIFIED)));
}

uint64_t acceptor_newest_snapshot(const struct acceptor *a, uint64_t limit, bool any,
                                  struct snapshot_info *info)
{
    while (a->storage->ops->snap_latest(a->storage, limit, info) == ERR_OK &&
           info->offset <= limit) {
        if (acceptor_snapshot_fits(a, info) && (any || acceptor_snapshot_counts(a, info))) {
            return info->offset;
        }
        if (info->offset == 0) {
            break;
        }
        limit = info->offset - 1;
    }
    return WIRE_NO_SNAPSHOT;
}

static void acceptor_snap_answer(struct acceptor *a, const struct acceptor_call *call,
                                 enum wire_type type)
{
    struct wire_msg reply = acceptor_reply(a, call, type);

    reply.snap_reply.offset = a->snap.offset;
    reply.snap_reply.next = a->snap.next;
    acceptor_answer(a, call, &reply);
}

/* An error of the storage while a snapshot is received: refused cleanly, or the end. */
static int acceptor_snap_error(struct acceptor *a, const struct acceptor_call *call, int err)
{
    a->snap.active = false;
    if (err == ERR_NO_SPACE && a->snap.verified) {
        a->no_room =
            (struct acceptor_no_room){.is = true, .offset = a->snap.offset, .crc = a->snap.crc};
    }
    if (err == ERR_NO_SPACE || err == ERR_CORRUPT) {
        acceptor_refuse(a, call, err == ERR_NO_SPACE ? WIRE_REFUSED_SPACE : WIRE_REFUSED_CORRUPT,
                        NULL);
        return ERR_OK;
    }
    a->failed = err;
    return err;
}

/* Whether another uploader is at work here. Sessions of several processes have no order, so the
 * first one stays for as long as it is heard: were it to give way, two would take turns for ever,
 * and were it to stay, one that was killed would keep all others out. */
static bool acceptor_snap_is_taken(const struct acceptor *a, const struct acceptor_call *call)
{
    const struct acceptor_snap *s = &a->snap;

    return !MUTANT(SNAP_TAKEN_OVER) && s->active && s->linked && s->term.n == call->msg->term.n &&
           s->session != call->msg->session &&
           call->now_ns - s->heard_ns < ACCEPTOR_UPLOAD_FORGET_MS * CLOCK_NS_PER_MS;
}

/* Whether another one stands at that offset that is verified: the log may have been trimmed by it,
 * and for a moment in which the power may fail there would be neither. */
static bool acceptor_snap_would_replace(const struct acceptor *a, uint64_t offset, uint32_t crc)
{
    struct snapshot_info info;

    return acceptor_newest_snapshot(a, offset, true, &info) == offset && info.verified_ms > 0 &&
           info.crc != crc;
}

/* Whether nothing of any log was ever here. */
static bool acceptor_is_blank(const struct acceptor *a)
{
    return a->meta.history.count == 0 && a->meta.uncertain_to == 0 &&
           acceptor_storage_state(a).empty;
}

/* A candidate that begins a log was voted for by all nodes, each of which said that it holds none:
 * what others have stored to begin one with belongs to nothing, and takes the room of this one. */
static int acceptor_snap_clear(struct acceptor *a, const struct snapshot_info *begun)
{
    struct snapshot_info info;
    uint64_t limit = UINT64_MAX;
    int err = ERR_OK;

    while (err == ERR_OK && a->storage->ops->snap_latest(a->storage, limit, &info) == ERR_OK) {
        if (!snapinfo_same(&info, begun)) { /* the same one, said again, stays */
            err = a->storage->ops->snap_delete(a->storage, info.offset);
        }
        if (info.offset == 0) {
            break;
        }
        limit = info.offset - 1;
    }
    return err;
}

static void acceptor_snap_hear(struct acceptor *a, const struct acceptor_call *call)
{
    a->snap.linked = true;
    a->snap.link = call->to.link;
    a->snap.heard_ns = call->now_ns;
}

void acceptor_snap_link_closed(struct acceptor *a, uint64_t link)
{
    a->snap.linked = a->snap.linked && a->snap.link != link;
}

int acceptor_snap_begin(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;

    if (msg->term.n == 0 || msg->term.n != a->meta.term.n) {
        acceptor_refuse(a, call, WIRE_REFUSED_TERM, NULL);
        return ERR_OK;
    }
    if (acceptor_snap_is_taken(a, call)) {
        acceptor_refuse(a, call, WIRE_REFUSED_SESSION, "another snapshot is being received");
        return ERR_OK;
    }
    if (acceptor_snap_would_replace(a, msg->snap_begin.info.offset, msg->snap_begin.info.crc)) {
        acceptor_refuse(a, call, WIRE_REFUSED_NEEDED, NULL);
        return ERR_OK;
    }
    a->snap = (struct acceptor_snap){.active = true,
                                     .session = msg->session,
                                     .term = msg->term,
                                     .offset = msg->snap_begin.info.offset,
                                     .crc = msg->snap_begin.info.crc,
                                     .verified = msg->snap_begin.info.verified_ms > 0};
    acceptor_snap_hear(a, call);
    /* Only who begins a log has one that is of the term it was elected in. */
    bool begins_log = msg->snap_begin.info.term.n == msg->term.n && acceptor_is_blank(a);
    int err = begins_log ? acceptor_snap_clear(a, &msg->snap_begin.info) : ERR_OK;
    if (err != ERR_OK) {
        return acceptor_fail(a, err);
    }
    err = a->storage->ops->snap_begin(a->storage, &msg->snap_begin.info);
    if (err != ERR_OK) {
        return acceptor_snap_error(a, call, err);
    }
    acceptor_snap_answer(a, call, WIRE_SNAP_BEGIN_REPLY);
    return ERR_OK;
}

static bool acceptor_snap_is_of(const struct acceptor *a, const struct wire_msg *msg,
                                uint64_t offset)
{
    return a->snap.session == msg->session && a->snap.term.n == msg->term.n &&
           a->snap.offset == offset;
}

/* Whether the message continues the snapshot that is being received. */
static bool acceptor_snap_goes_on(struct acceptor *a, const struct acceptor_call *call,
                                  uint64_t offset)
{
    const struct wire_msg *msg = call->msg;

    if (msg->term.n != a->meta.term.n || msg->term.n == 0) {
        acceptor_refuse(a, call, WIRE_REFUSED_TERM, NULL);
    } else if (!a->snap.active || (!MUTANT(SNAP_MIXED) && !acceptor_snap_is_of(a, msg, offset))) {
        acceptor_refuse(a, call, WIRE_REFUSED_SESSION, "no such snapshot is being received");
    } else {
        acceptor_snap_hear(a, call);
        return true;
    }
    return false;
}

/* A piece that was written already or is ahead is answered with the place where to go on. */
int acceptor_snap_write(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;

    if (!acceptor_snap_goes_on(a, call, msg->snap_write.offset)) {
        return ERR_OK;
    }
    if (msg->snap_write.at == a->snap.next && msg->data_size > 0) {
        int err = a->storage->ops->snap_write(a->storage, a->snap.next, msg->data, msg->data_size);
        if (err != ERR_OK) {
            return acceptor_snap_error(a, call, err);
        }
        a->snap.next += msg->data_size;
    }
    acceptor_snap_answer(a, call, WIRE_SNAP_WRITE_REPLY);
    return ERR_OK;
}

int acceptor_snap_commit(struct acceptor *a, const struct acceptor_call *call)
{
    if (!acceptor_snap_goes_on(a, call, call->msg->snap_commit.offset)) {
        return ERR_OK;
    }
    if (acceptor_snap_would_replace(a, a->snap.offset, a->snap.crc)) { /* marked meanwhile */
        int rc = a->storage->ops->snap_drop(a->storage);
        if (rc != ERR_OK) {
            return acceptor_fail(a, rc);
        }
        a->snap.active = false;
        acceptor_refuse(a, call, WIRE_REFUSED_NEEDED, NULL);
        return ERR_OK;
    }
    int err = a->storage->ops->snap_commit(a->storage);
    if (err != ERR_OK) {
        return acceptor_snap_error(a, call, err);
    }
    a->snap.active = false;
    a->no_room.is = false;
    acceptor_snap_answer(a, call, WIRE_SNAP_COMMIT_REPLY);
    return ERR_OK;
}

int acceptor_snap_latest(struct acceptor *a, const struct acceptor_call *call)
{
    struct wire_msg reply = acceptor_reply(a, call, WIRE_SNAP_LATEST_REPLY);
    struct snapshot_info info;

    if (acceptor_newest_snapshot(a, call->msg->snap_latest.limit, call->msg->snap_latest.any,
                                 &info) != WIRE_NO_SNAPSHOT) {
        reply.snap_latest_reply.found = true;
        reply.snap_latest_reply.info = info;
    }
    acceptor_answer(a, call, &reply);
    return ERR_OK;
}

int acceptor_snap_read(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_snap_read *m = &call->msg->snap_read;
    struct wire_msg reply = acceptor_reply(a, call, WIRE_SNAP_READ_REPLY);
    struct buf bytes = BUF_INIT;
    size_t size = m->max_bytes < a->config.read_max_bytes ? m->max_bytes : a->config.read_max_bytes;
    int err = a->storage->ops->snap_read(a->storage, m->offset, m->at, size, &bytes);

    if (err != ERR_OK) {
        acceptor_refuse(a, call,
                        err == ERR_NOT_FOUND ? WIRE_REFUSED_NOT_FOUND : WIRE_REFUSED_CORRUPT, NULL);
    } else {
        reply.snap_read_reply.offset = m->offset;
        reply.snap_read_reply.at = m->at;
        reply.data = buf_head(&bytes);
        reply.data_size = bytes.len;
        acceptor_answer(a, call, &reply);
    }
    buf_release(&bytes);
    return ERR_OK;
}

int acceptor_snap_list(struct acceptor *a, const struct acceptor_call *call)
{
    struct wire_msg reply = acceptor_reply(a, call, WIRE_SNAP_LIST_REPLY);
    struct snapinfo_stored stored;
    struct buf list = BUF_INIT;
    uint64_t limit = UINT64_MAX;

    snapinfo_list_begin(&list);
    while (acceptor_newest_snapshot(a, limit, true, &stored.info) != WIRE_NO_SNAPSHOT) {
        stored.counts = acceptor_snapshot_counts(a, &stored.info);
        if (!snapinfo_list_add(&list, &stored) || stored.info.offset == 0) {
            break;
        }
        limit = stored.info.offset - 1;
    }
    acceptor_log(a, &reply.snap_list_reply.log);
    reply.snap_list_reply.snaps = (struct wire_snaps){.bytes = buf_head(&list), .size = list.len};
    acceptor_answer(a, call, &reply);
    buf_release(&list);
    return ERR_OK;
}

/* The snapshot that a mark is about; false: it was refused. */
static bool acceptor_snap_meant(struct acceptor *a, const struct acceptor_call *call,
                                struct snapshot_info *info)
{
    const struct wire_snap_mark *m = &call->msg->snap_mark;

    if (call->msg->term.n == 0 || call->msg->term.n != a->meta.term.n) {
        acceptor_refuse(a, call, WIRE_REFUSED_TERM, NULL);
        return false;
    }
    if (a->storage->ops->snap_latest(a->storage, m->offset, info) != ERR_OK ||
        info->offset != m->offset || info->crc != m->crc) {
        acceptor_refuse(a, call, WIRE_REFUSED_NOT_FOUND, NULL);
        return false;
    }
    return true;
}

/* Answers a change of what is stored; err is the storage's. */
static int acceptor_snap_changed(struct acceptor *a, const struct acceptor_call *call, int err,
                                 enum wire_type type)
{
    struct wire_msg reply = acceptor_reply(a, call, type);

    if (err == ERR_NO_SPACE || err == ERR_NOT_FOUND) {
        acceptor_refuse(a, call, err == ERR_NO_SPACE ? WIRE_REFUSED_SPACE : WIRE_REFUSED_NOT_FOUND,
                        NULL);
        return ERR_OK;
    }
    if (err != ERR_OK) {
        return acceptor_fail(a, err);
    }
    reply.snap_mark_reply.offset = call->msg->snap_mark.offset;
    acceptor_answer(a, call, &reply);
    return ERR_OK;
}

int acceptor_snap_verified(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_snap_mark *m = &call->msg->snap_mark;
    struct snapshot_info info;
    int err = ERR_OK;

    if (!acceptor_snap_meant(a, call, &info)) {
        return ERR_OK;
    }
    if (m->verified_ms == 0 || !acceptor_snapshot_fits(a, &info)) {
        acceptor_refuse(a, call, WIRE_REFUSED_BAD, "the snapshot is not of this log");
        return ERR_OK;
    }
    if (info.verified_ms == 0) { /* the first mark stays */
        err = a->storage->ops->snap_verified(a->storage, m->offset, m->verified_ms);
    }
    return acceptor_snap_changed(a, call, err, WIRE_SNAP_VERIFIED_REPLY);
}

/* What a Redis could be brought up from here must not vanish: the newest that counts stays. */
int acceptor_snap_delete(struct acceptor *a, const struct acceptor_call *call)
{
    struct snapshot_info info, newest;

    if (!acceptor_snap_meant(a, call, &info)) {
        return ERR_OK;
    }
    if (acceptor_newest_snapshot(a, UINT64_MAX, false, &newest) == info.offset) {
        acceptor_refuse(a, call, WIRE_REFUSED_NEEDED, NULL);
        return ERR_OK;
    }
    int err = a->storage->ops->snap_delete(a->storage, info.offset);
    return acceptor_snap_changed(a, call, err, WIRE_SNAP_DELETE_REPLY);
}
