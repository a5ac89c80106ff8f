#include "logsvc/client/snap_download.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/mem.h"

#include <string.h>

static bool download_ask_piece(void *ctx, unsigned node, const struct fetch_slot *slot)
{
    struct snap_download *d = ctx;
    struct wire_msg msg =
        snap_line_message(d->line, WIRE_SNAP_READ, d->term, SNAP_SEQ_READ | slot->seq);

    msg.snap_read.offset = d->info.offset;
    msg.snap_read.at = slot->from;
    msg.snap_read.max_bytes = (uint32_t)(slot->end - slot->from);
    return d->line->send(d->line->ctx, node, &msg);
}

void snap_download_init(struct snap_download *d, struct snap_line *line)
{
    memset(d, 0, sizeof *d);
    d->line = line;
    struct fetch_config fetch = {.node_count = SNAPSHIP_NODES_MAX,
                                 .inflight_max = line->config.inflight_max,
                                 .ahead_max = line->config.inflight_max,
                                 .timeout_ns = line->config.timeout_ms * CLOCK_NS_PER_MS,
                                 .ask = download_ask_piece,
                                 .ctx = d};
    fetch_init(&d->fetch, &fetch);
}

void snap_download_fini(struct snap_download *d)
{
    fetch_fini(&d->fetch);
}

static void download_end(struct snap_download *d, int result)
{
    fetch_stop(&d->fetch);
    d->state = DOWNLOAD_IDLE;
    d->ended = true;
    d->result = result;
}

static bool holder_has(const struct snap_download *d, unsigned node)
{
    const struct snap_holder *h = &d->holders[node];
    return h->answered && h->found && snap_line_same(&h->info, &d->info);
}

unsigned snap_download_lacking(const struct snap_download *d)
{
    unsigned set = 0;

    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        set |= d->holders[i].answered && !holder_has(d, i) ? 1u << i : 0;
    }
    return set;
}

void snap_download_start(struct snap_download *d, uint64_t now_ns, struct term term, uint64_t limit,
                         unsigned node, bool only_find, const struct snap_download_events *events)
{
    snap_download_stop(d);
    d->state = DOWNLOAD_ASKING;
    d->only_find = only_find;
    d->events = *events;
    d->term = term;
    d->node = node;
    d->quorum_ns = 0;
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        struct snap_holder *h = &d->holders[i];
        h->asked = h->answered = h->found = false;
        h->limit = limit;
    }
    snap_download_pump(d, now_ns);
}

void snap_download_stop(struct snap_download *d)
{
    d->run++;
    fetch_stop(&d->fetch);
    d->state = DOWNLOAD_IDLE;
    d->ended = false;
    d->room = 0;
}

/* ---- asking ---- */

static void download_ask_all(struct snap_download *d, uint64_t now_ns)
{
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        struct snap_holder *h = &d->holders[i];
        if (!h->up || h->answered || h->asked || (d->line->nodes >> i & 1) == 0) {
            continue;
        }
        struct wire_msg msg =
            snap_line_message(d->line, WIRE_SNAP_LATEST, d->term, SNAP_SEQ_LATEST | (d->seq + 1));
        msg.snap_latest.limit = h->limit;
        if (d->line->send(d->line->ctx, i, &msg)) {
            h->asked = true;
            h->asked_ns = now_ns;
            h->seq = ++d->seq;
        }
    }
}

static void download_begin_fetch(struct snap_download *d)
{
    d->state = DOWNLOAD_FETCHING;
    d->offset = 0;
    d->crc = 0;
    d->sources = 0;
    d->damaged = false;
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        fetch_link(&d->fetch, i, d->holders[i].up && holder_has(d, i));
    }
    fetch_start(&d->fetch, 0, d->info.size_bytes, d->node);
}

void snap_download_fetch(struct snap_download *d, uint64_t now_ns,
                         const struct snap_download_events *events)
{
    snap_download_stop(d);
    d->only_find = false;
    d->events = *events;
    download_begin_fetch(d);
    snap_download_pump(d, now_ns);
}

/* Takes the newest of the answers, once there are enough of them. */
static void download_decide(struct snap_download *d, uint64_t now_ns)
{
    unsigned answers = 0, open = 0;
    bool any = false;

    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        const struct snap_holder *h = &d->holders[i];
        if ((d->line->nodes >> i & 1) == 0) {
            continue;
        }
        answers += h->answered;
        open += h->up && !h->answered;
        if (h->answered && h->found && (!any || h->info.offset > d->info.offset)) {
            d->info = h->info;
            any = true;
        }
    }
    if (answers < snap_line_quorum(d->line)) {
        return;
    }
    if (d->quorum_ns == 0) {
        d->quorum_ns = now_ns;
    }
    if (open > 0 && now_ns < d->quorum_ns + d->line->config.timeout_ms * CLOCK_NS_PER_MS) {
        return;
    }
    if (!any) {
        download_end(d, ERR_NOT_FOUND);
        return;
    }
    unsigned run = d->run;
    d->delivering = true;
    d->events.found(d->events.ctx, &d->info);
    d->delivering = false;
    if (d->run != run) {
        return;
    }
    if (d->only_find) {
        download_end(d, ERR_OK);
        return;
    }
    download_begin_fetch(d);
}

static void download_latest(struct snap_download *d, unsigned node, const struct wire_msg *msg)
{
    struct snap_holder *h = &d->holders[node];
    const struct wire_snap_latest_reply *r = &msg->snap_latest_reply;

    if (!h->asked || (msg->seq & ~SNAP_SEQ_PART) != h->seq) {
        return;
    }
    if (msg->type != WIRE_SNAP_LATEST_REPLY) {
        return; /* refused: it is asked again when the time is out */
    }
    h->asked = false;
    if (r->found && h->rotten && snap_line_same(&r->info, &h->rotten_info) && r->info.offset > 0) {
        h->limit = r->info.offset - 1; /* an older one, then */
        return;
    }
    h->answered = true;
    h->found = r->found && !(h->rotten && snap_line_same(&r->info, &h->rotten_info));
    h->info = r->info;
    if (d->state == DOWNLOAD_FETCHING) {
        fetch_link(&d->fetch, node, holder_has(d, node));
    }
}

/* ---- fetching ---- */

/* What was handed out is wrong, and whoever sent a part of it may be to blame. */
static void download_blame(struct snap_download *d, unsigned nodes)
{
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        struct snap_holder *h = &d->holders[i];
        if ((nodes >> i & 1) != 0) {
            h->rotten = true;
            h->rotten_info = d->info;
            h->found = false;
        }
    }
}

/* Hands out from the piece that comes next; false: nothing there, no room, or stopped. */
static bool download_hand_out(struct snap_download *d)
{
    struct fetch_slot *head = fetch_head(&d->fetch);

    if (head == NULL || head->state != FETCH_HERE || d->room == 0) {
        return false;
    }
    size_t n = head->data.len < d->room ? head->data.len : d->room;
    const uint8_t *bytes = buf_head(&head->data);
    d->crc = crc32c_extend(d->crc, bytes, n);
    d->offset += n;
    d->room -= n;
    d->sources |= 1u << head->node;
    unsigned run = d->run;
    d->events.data(d->events.ctx, bytes, n);
    if (d->run != run) {
        return false;
    }
    buf_consume(&head->data, n);
    if (head->data.len > 0) {
        return true; /* the event may have made room */
    }
    if (d->offset >= head->end) {
        fetch_pop(&d->fetch);
    } else {
        fetch_again(head, d->offset); /* the answer was shorter than the piece */
    }
    return true;
}

static void download_go_on(struct snap_download *d, uint64_t now_ns)
{
    unsigned run = d->run;

    d->delivering = true;
    while (download_hand_out(d)) {
    }
    d->delivering = false;
    if (d->run != run) {
        return;
    }
    if (d->offset < d->info.size_bytes) {
        fetch_pump(&d->fetch, now_ns, d->line->config.piece_max_bytes);
        return;
    }
    if (d->crc != d->info.crc) {
        download_blame(d, d->sources);
        download_end(d, ERR_CORRUPT);
    } else {
        download_end(d, ERR_OK);
    }
}

void snap_download_pump(struct snap_download *d, uint64_t now_ns)
{
    unsigned run;

    if (d->delivering) {
        return;
    }
    do { /* an event may stop it, or begin anew */
        run = d->run;
        if (d->state != DOWNLOAD_IDLE) {
            download_ask_all(d, now_ns);
        }
        if (d->state == DOWNLOAD_ASKING) {
            download_decide(d, now_ns);
        }
        if (d->state == DOWNLOAD_FETCHING && d->run == run) {
            download_go_on(d, now_ns);
        }
    } while (d->run != run);
}

void snap_download_room(struct snap_download *d, uint64_t now_ns, size_t bytes)
{
    d->room = bytes;
    snap_download_pump(d, now_ns);
}

/* A node does not have what it had, or not whole. What is deleted or replaced is so everywhere: a
 * node that can't be reached is not waited for then. */
static void download_lost(struct snap_download *d, unsigned node, bool damaged)
{
    unsigned left = 0;

    d->damaged = d->damaged || damaged;
    download_blame(d, 1u << node);
    fetch_link(&d->fetch, node, false);
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        left += holder_has(d, i) && (d->damaged || d->holders[i].up);
    }
    if (left == 0) {
        download_end(d, d->damaged ? ERR_CORRUPT : ERR_GONE);
    }
}

static void download_piece(struct snap_download *d, uint64_t now_ns, unsigned node,
                           const struct wire_msg *msg)
{
    struct fetch_slot *slot = fetch_find(&d->fetch, now_ns, node, msg->seq & ~SNAP_SEQ_PART);

    if (slot == NULL) {
        return;
    }
    bool read = msg->type == WIRE_SNAP_READ_REPLY &&
                msg->snap_read_reply.offset == d->info.offset &&
                msg->snap_read_reply.at == slot->from;
    if (read && msg->data_size > 0 && msg->data_size <= slot->end - slot->from) {
        fetch_put(&d->fetch, slot, msg->data, msg->data_size);
        return;
    }
    /* It is shorter than it was: another one has taken its place. What has rotted is refused. */
    bool replaced = read && msg->data_size == 0;
    fetch_again(slot, slot->from);
    fetch_avoid(&d->fetch, node, now_ns, d->line->config.timeout_ms * CLOCK_NS_PER_MS);
    bool damaged = msg->type == WIRE_REFUSED && msg->refused.code == WIRE_REFUSED_CORRUPT;
    bool deleted = msg->type == WIRE_REFUSED && msg->refused.code == WIRE_REFUSED_NOT_FOUND;
    if (replaced || deleted || damaged) {
        download_lost(d, node, damaged);
    }
}

void snap_download_receive(struct snap_download *d, uint64_t now_ns, unsigned node,
                           const struct wire_msg *msg)
{
    if (d->state == DOWNLOAD_IDLE) {
        return;
    }
    if ((msg->seq & SNAP_SEQ_PART) == SNAP_SEQ_LATEST) {
        download_latest(d, node, msg);
    } else if ((msg->seq & SNAP_SEQ_PART) == SNAP_SEQ_READ && d->state == DOWNLOAD_FETCHING) {
        download_piece(d, now_ns, node, msg);
    }
    snap_download_pump(d, now_ns);
}

void snap_download_link(struct snap_download *d, uint64_t now_ns, unsigned node, bool up)
{
    d->holders[node].up = up;
    d->holders[node].asked = false;
    fetch_link(&d->fetch, node, up && holder_has(d, node));
    snap_download_pump(d, now_ns);
}

void snap_download_tick(struct snap_download *d, uint64_t now_ns)
{
    uint64_t timeout_ns = d->line->config.timeout_ms * CLOCK_NS_PER_MS;

    if (d->state == DOWNLOAD_IDLE) {
        return;
    }
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        struct snap_holder *h = &d->holders[i];
        if (h->asked && now_ns >= h->asked_ns + timeout_ns) {
            h->asked = false;
        }
    }
    (void)fetch_tick(&d->fetch, now_ns);
    snap_download_pump(d, now_ns);
}

uint64_t snap_download_next_tick_ns(const struct snap_download *d)
{
    uint64_t timeout_ns = d->line->config.timeout_ms * CLOCK_NS_PER_MS;
    uint64_t next = UINT64_MAX;

    if (d->state == DOWNLOAD_IDLE) {
        return next;
    }
    for (unsigned i = 0; i < SNAPSHIP_NODES_MAX; i++) {
        const struct snap_holder *h = &d->holders[i];
        if (h->up && h->asked && h->asked_ns + timeout_ns < next) {
            next = h->asked_ns + timeout_ns;
        }
    }
    if (d->state == DOWNLOAD_ASKING) {
        return d->quorum_ns > 0 && d->quorum_ns + timeout_ns < next ? d->quorum_ns + timeout_ns
                                                                    : next;
    }
    uint64_t fetch = fetch_next_tick_ns(&d->fetch);
    return fetch < next ? fetch : next;
}
