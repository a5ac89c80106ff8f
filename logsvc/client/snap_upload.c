#include "logsvc/client/snap_upload.h"

#include "common/clock.h"
#include "common/mem.h"

#include <string.h>

/* Beginning and publishing wait for the node's disk, the latter for all the bytes. */
enum { SLOW_STEP_TIMEOUTS = 10 };

void snap_upload_init(struct snap_upload *u, struct snap_line *line)
{
    memset(u, 0, sizeof *u);
    u->line = line;
}

void snap_upload_fini(struct snap_upload *u)
{
    buf_release(&u->piece);
}

static void peer_to(struct snap_upload *u, struct snap_peer *p, enum snap_peer_step step)
{
    p->step = step;
    p->outstanding = 0;
    p->first_seq = u->seq + 1;
}

/* The same step again, later; what was sent and not answered is sent again. */
static void peer_retry(struct snap_upload *u, struct snap_peer *p, enum snap_peer_step step,
                       uint64_t at_ns)
{
    peer_to(u, p, step);
    p->sent = p->next;
    p->wait_ns = at_ns;
}

void snap_upload_start(struct snap_upload *u, uint64_t now_ns, struct term term,
                       const struct snapshot_info *info, unsigned nodes,
                       const struct snap_upload_source *source)
{
    snap_upload_stop(u);
    u->active = true;
    u->failed = ERR_OK;
    u->term = term;
    u->info = *info;
    u->source = *source;
    u->run_seq = u->seq + 1;
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        struct snap_peer *p = &u->peers[i];
        p->next = 0;
        p->refused = 0;
        peer_retry(u, p, (nodes >> i & 1) != 0 ? PEER_ASK : PEER_NONE, 0);
    }
    snap_upload_pump(u, now_ns);
}

void snap_upload_stop(struct snap_upload *u)
{
    u->active = false;
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        u->peers[i].step = PEER_NONE;
    }
    buf_release(&u->piece);
}

static bool peer_send(struct snap_upload *u, uint64_t now_ns, unsigned node, struct wire_msg *msg)
{
    struct snap_peer *p = &u->peers[node];

    msg->seq = SNAP_SEQ_UPLOAD | (u->seq + 1);
    if (!u->line->send(u->line->ctx, node, msg)) {
        return false;
    }
    u->seq++;
    if (p->outstanding++ == 0) {
        p->heard_ns = now_ns;
    }
    return true;
}

/* The bytes at `at` in u->piece; false: not now, or never (u->failed). */
static bool piece_read(struct snap_upload *u, uint64_t at, size_t size)
{
    if (u->piece_at == at && u->piece.len == size) {
        return true; /* read for another node, or for a link that was busy */
    }
    buf_clear(&u->piece);
    int err = u->source.read(u->source.ctx, at, size, &u->piece);
    if (err == ERR_OK) {
        MUST(u->piece.len == size);
        u->piece_at = at;
        return true;
    }
    buf_clear(&u->piece);
    u->failed = err == ERR_MORE ? ERR_OK : err;
    return false;
}

static void pump_write(struct snap_upload *u, uint64_t now_ns, unsigned node)
{
    struct snap_peer *p = &u->peers[node];
    const struct snapship_config *config = &u->line->config;

    while (p->outstanding < config->inflight_max && p->sent < u->info.size_bytes) {
        uint64_t left = u->info.size_bytes - p->sent;
        size_t size = left < config->piece_max_bytes ? (size_t)left : config->piece_max_bytes;
        if (!piece_read(u, p->sent, size)) {
            return;
        }
        struct wire_msg msg = snap_line_message(u->line, WIRE_SNAP_WRITE, u->term, 0);
        msg.snap_write.offset = u->info.offset;
        msg.snap_write.at = p->sent;
        msg.data = buf_head(&u->piece);
        msg.data_size = size;
        if (!peer_send(u, now_ns, node, &msg)) {
            return;
        }
        p->sent += size;
    }
}

static void pump_one(struct snap_upload *u, uint64_t now_ns, unsigned node)
{
    struct snap_peer *p = &u->peers[node];

    if (p->step == PEER_WRITE) {
        pump_write(u, now_ns, node);
        return;
    }
    if (p->outstanding > 0) {
        return;
    }
    struct wire_msg msg = snap_line_message(u->line, WIRE_SNAP_LATEST, u->term, 0);
    if (p->step == PEER_ASK) {
        msg.snap_latest.limit = u->info.offset;
        msg.snap_latest.any = true; /* it need not count yet */
    } else if (p->step == PEER_BEGIN) {
        msg.type = WIRE_SNAP_BEGIN;
        msg.snap_begin.info = u->info;
    } else {
        msg.type = WIRE_SNAP_COMMIT;
        msg.snap_commit.offset = u->info.offset;
    }
    (void)peer_send(u, now_ns, node, &msg); /* busy: pumped again when it is ready */
}

void snap_upload_pump(struct snap_upload *u, uint64_t now_ns)
{
    for (unsigned i = 0; u->active && i < SNAPSHIP_NODES_MAX; i++) {
        struct snap_peer *p = &u->peers[i];
        if (p->step != PEER_NONE && p->step != PEER_DONE && p->up && p->wait_ns <= now_ns &&
            u->failed == ERR_OK) {
            p->wait_ns = 0;
            pump_one(u, now_ns, i);
        }
    }
}

static void peer_progress(struct snap_upload *u, struct snap_peer *p, uint64_t now_ns,
                          const struct wire_msg *msg)
{
    p->next = msg->snap_reply.next;
    p->refused = 0;
    if (p->next > u->info.size_bytes) { /* cannot be: begin again */
        p->next = 0;
        peer_retry(u, p, PEER_BEGIN, now_ns + u->line->config.retry_ms * CLOCK_NS_PER_MS);
    } else if (p->next == u->info.size_bytes) {
        peer_to(u, p, PEER_COMMIT);
    } else if (p->step == PEER_BEGIN) {
        peer_to(u, p, PEER_WRITE);
        p->sent = p->next;
    } else if (p->outstanding == 0) {
        p->sent = p->next; /* what is missing was refused or lost */
    }
}

static void peer_refused(struct snap_upload *u, struct snap_peer *p, uint64_t now_ns,
                         const struct wire_msg *msg)
{
    uint64_t retry_ns = now_ns + u->line->config.retry_ms * CLOCK_NS_PER_MS;
    uint64_t later_ns = now_ns + u->line->config.timeout_ms * CLOCK_NS_PER_MS;

    /* When asked whether it has it, it says nothing of whether it would take it; and one that does
     * not know of what was begun may still take it. */
    if (p->step == PEER_BEGIN || msg->refused.code == WIRE_REFUSED_SPACE) {
        p->refused = msg->refused.code;
    }
    switch ((enum wire_refusal)msg->refused.code) {
    case WIRE_REFUSED_TERM:
        if (msg->term.n > u->term.n) {
            u->failed = ERR_STALE;
        } else {
            peer_retry(u, p, p->step, retry_ns); /* it has not promised this term yet */
        }
        break;
    case WIRE_REFUSED_SESSION: /* nothing is begun there; it may have been published already */
        peer_retry(u, p, PEER_ASK, retry_ns);
        break;
    case WIRE_REFUSED_CLUSTER:
    case WIRE_REFUSED_LOG:
    case WIRE_REFUSED_LEASE:
    case WIRE_REFUSED_VERSION:
    case WIRE_REFUSED_GENERATION:
    case WIRE_REFUSED_MEMBER:
    case WIRE_REFUSED_ELECTED:
    case WIRE_REFUSED_DIVERGED:
    case WIRE_REFUSED_BAD:
    case WIRE_REFUSED_SPACE:
    case WIRE_REFUSED_NOT_FOUND:
    case WIRE_REFUSED_CORRUPT:
    case WIRE_REFUSED_NEEDED:
    default:
        peer_retry(u, p, PEER_ASK, later_ns);
        break;
    }
}

static void peer_answered(struct snap_upload *u, struct snap_peer *p, uint64_t now_ns,
                          const struct wire_msg *msg)
{
    enum wire_type type = msg->type;

    p->outstanding--;
    p->heard_ns = now_ns;
    if (type == WIRE_REFUSED) {
        peer_refused(u, p, now_ns, msg);
    } else if (type == WIRE_SNAP_LATEST_REPLY && p->step == PEER_ASK) {
        bool has =
            msg->snap_latest_reply.found && snap_line_same(&msg->snap_latest_reply.info, &u->info);
        p->next = has ? u->info.size_bytes : 0;
        peer_to(u, p, has ? PEER_DONE : PEER_BEGIN);
    } else if (msg->snap_reply.offset == u->info.offset &&
               ((type == WIRE_SNAP_BEGIN_REPLY && p->step == PEER_BEGIN) ||
                (type == WIRE_SNAP_WRITE_REPLY && p->step == PEER_WRITE))) {
        peer_progress(u, p, now_ns, msg);
    }
}

void snap_upload_receive(struct snap_upload *u, uint64_t now_ns, unsigned node,
                         const struct wire_msg *msg)
{
    struct snap_peer *p = &u->peers[node];
    uint64_t seq = msg->seq & ~SNAP_SEQ_PART;

    if (!u->active || (msg->seq & SNAP_SEQ_PART) != SNAP_SEQ_UPLOAD || seq > u->seq ||
        seq < u->run_seq || p->step == PEER_NONE || p->step == PEER_DONE) {
        return;
    }
    if (msg->type == WIRE_SNAP_COMMIT_REPLY && msg->snap_reply.offset == u->info.offset) {
        p->next = u->info.size_bytes; /* however late: it was published in this upload */
        peer_to(u, p, PEER_DONE);
    } else if (seq >= p->first_seq && p->outstanding > 0) {
        peer_answered(u, p, now_ns, msg);
    }
    snap_upload_pump(u, now_ns);
}

void snap_upload_link(struct snap_upload *u, uint64_t now_ns, unsigned node, bool up)
{
    struct snap_peer *p = &u->peers[node];

    p->up = up;
    if (u->active && p->step != PEER_NONE && p->step != PEER_DONE) {
        peer_retry(u, p, p->step, 0);
        snap_upload_pump(u, now_ns);
    }
}

static uint64_t peer_timeout_ns(const struct snap_upload *u, const struct snap_peer *p)
{
    uint64_t times = p->step == PEER_BEGIN || p->step == PEER_COMMIT ? SLOW_STEP_TIMEOUTS : 1;
    return p->heard_ns + times * u->line->config.timeout_ms * CLOCK_NS_PER_MS;
}

void snap_upload_tick(struct snap_upload *u, uint64_t now_ns)
{
    for (unsigned i = 0; u->active && i < SNAPSHIP_NODES_MAX; i++) {
        struct snap_peer *p = &u->peers[i];
        if (p->outstanding > 0 && now_ns >= peer_timeout_ns(u, p)) {
            peer_retry(u, p, p->step, 0);
        }
    }
    snap_upload_pump(u, now_ns);
}

uint64_t snap_upload_next_tick_ns(const struct snap_upload *u)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; u->active && i < SNAPSHIP_NODES_MAX; i++) {
        const struct snap_peer *p = &u->peers[i];
        uint64_t at = UINT64_MAX;
        if (!p->up || p->step == PEER_NONE || p->step == PEER_DONE || u->failed != ERR_OK) {
            continue;
        }
        if (p->outstanding > 0) {
            at = peer_timeout_ns(u, p);
        } else if (p->wait_ns > 0) {
            at = p->wait_ns;
        }
        next = at < next ? at : next;
    }
    return next;
}

unsigned snap_upload_done(const struct snap_upload *u)
{
    unsigned done = 0;

    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        done += u->peers[i].step == PEER_DONE;
    }
    return done;
}

bool snap_upload_complete(const struct snap_upload *u)
{
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        if (u->peers[i].step != PEER_NONE && u->peers[i].step != PEER_DONE) {
            return false;
        }
    }
    return true;
}

uint32_t snap_upload_refused(const struct snap_upload *u, enum wire_refusal why)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        const struct snap_peer *p = &u->peers[i];
        bool open = p->step != PEER_NONE && p->step != PEER_DONE;
        set |= open && p->refused == why ? 1u << i : 0;
    }
    return set;
}

uint64_t snap_upload_taken(const struct snap_upload *u)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        bytes += u->peers[i].step != PEER_NONE ? u->peers[i].next : 0;
    }
    return bytes;
}

uint64_t snap_upload_bytes(const struct snap_upload *u, unsigned nodes)
{
    uint64_t bytes = 0;

    /* The greatest of the peers' positions that enough peers have reached. */
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        unsigned reached = 0;
        for (unsigned k = 0; k < SNAPSHIP_NODES_MAX; k++) {
            reached += u->peers[k].step != PEER_NONE && u->peers[k].next >= u->peers[i].next;
        }
        if (u->peers[i].step != PEER_NONE && reached >= nodes && u->peers[i].next > bytes) {
            bytes = u->peers[i].next;
        }
    }
    return bytes;
}
