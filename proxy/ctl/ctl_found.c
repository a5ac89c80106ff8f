#include "proxy/ctl/ctl_found.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"
#include "common/random.h"
#include "logsvc/client/proposer.h"
#include "logsvc/client/snapship.h"
#include "logsvc/client/transport.h"
#include "proxy/ctl/ctl_bar.h"
#include "proxy/ctl/ctl_stop.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FOUND_APPEND_BYTES = 1 << 20,
    FOUND_AHEAD_BYTES = 16 << 20, /* appended and not committed */
    FOUND_INFLIGHT = 8,
    FOUND_TURN_MS = 5,
    FOUND_HEARTBEAT_MS = 100,
    FOUND_TIMEOUT_MS = 2000,
    FOUND_RETRY_MS = 50,
    FOUND_ELECTION_MS = 30000,
    FOUND_SILENCE_MS = 60000, /* without progress it is given up */
};

static const char FOUND_STOPPED[] = "told to stop; run it again to go on";
static const char FOUND_DEPOSED[] = "somebody else was elected: stop the proxies, and run it again";

struct ctl_found {
    struct transport *transport;
    struct proposer *proposer;
    struct snapship *snapship;
    struct random random;
    struct buf wire;
    char refusal[200];

    struct snapshot_info info;
    struct log_term held_term; /* the last of what the nodes had before */
    struct ctl_bar bar;
    int fd;
    bool shipped;
    int shipped_err;
    unsigned node_count;
};

/* ---- messages ---- */

static bool found_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    struct ctl_found *f = ctx;
    size_t head_size = wire_head_size(msg);

    buf_clear(&f->wire);
    uint8_t *head = buf_reserve(&f->wire, head_size);
    wire_encode_head(msg, head);
    return transport_send(f->transport, node, head, head_size, msg->data, msg->data_size);
}

static uint64_t found_random(void *ctx)
{
    return random_next(&((struct ctl_found *)ctx)->random);
}

static void found_refused(void *ctx, unsigned node, enum wire_refusal code, const char *reason)
{
    struct ctl_found *f = ctx;

    (void)node;
    (void)snprintf(f->refusal, sizeof f->refusal, "%.190s",
                   reason[0] != '\0' ? reason : wire_refusal_text(code));
}

static bool found_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    const struct ctl_found *f = ctx;

    return file_read(f->fd, at, size, out) == 0;
}

static void found_shipped(void *ctx, int err)
{
    struct ctl_found *f = ctx;

    f->shipped = true;
    f->shipped_err = err;
}

static const struct proposer_events found_proposer_events = {
    .send = found_send, .random = found_random, .refused = found_refused};
static const struct snapship_events found_snapship_events = {
    .send = found_send, .read = found_read, .shipped = found_shipped};

static void found_take(struct ctl_found *f, unsigned node, const uint8_t *bytes, size_t size)
{
    struct wire_msg msg;
    int err = wire_decode(bytes, size, &msg);

    if (err == ERR_REFUSED) {
        proposer_other_version(f->proposer, clock_now_ns(), node);
    } else if (err == ERR_OK && msg.channel == WIRE_PROPOSER) {
        proposer_receive(f->proposer, clock_now_ns(), node, &msg);
    } else if (err == ERR_OK && msg.channel == WIRE_SNAPSHOT) {
        snapship_receive(f->snapship, clock_now_ns(), node, &msg);
    }
}

/* One turn: what has come is handled, what is due is done. */
static void found_turn(struct ctl_found *f)
{
    struct pollfd fd = {.fd = transport_fd(f->transport), .events = POLLIN};
    struct transport_event event;

    (void)poll(&fd, 1, FOUND_TURN_MS);
    while (transport_next(f->transport, &event)) {
        uint64_t now_ns = clock_now_ns();
        switch (event.kind) {
        case TRANSPORT_UP:
        case TRANSPORT_DOWN:
            proposer_link_up(f->proposer, now_ns, event.node, event.kind == TRANSPORT_UP);
            snapship_link_up(f->snapship, now_ns, event.node, event.kind == TRANSPORT_UP);
            break;
        case TRANSPORT_READY:
            proposer_link_ready(f->proposer, now_ns, event.node);
            snapship_link_ready(f->snapship, now_ns, event.node);
            break;
        case TRANSPORT_MESSAGE:
            found_take(f, event.node, event.bytes, event.size);
            break;
        }
    }
    proposer_tick(f->proposer, clock_now_ns());
    snapship_tick(f->snapship, clock_now_ns());
}

/* ---- what is there ---- */

static bool found_refuses(const struct ctl_node *node, const char *why)
{
    ctl_complain("the log node at %s %s; nothing was changed", node->address, why);
    return false;
}

/* What stands: a log of which the snapshot is there. It comes last, so without one no proxy can
 * serve anything of it. */
static bool found_may_go_on(struct ctl_nodes *n, const struct snapshot_info *same)
{
    const struct ctl_node *holder = NULL;
    struct snapshot_info info;
    unsigned stored = 0, node;

    for (unsigned i = 0; i < n->count; i++) {
        if (!n->nodes[i].log.empty && n->nodes[i].snapshot != WIRE_NO_SNAPSHOT) {
            holder = &n->nodes[i];
            stored++;
        }
    }
    if (holder == NULL) {
        return true;
    }
    bool unfinished = same != NULL && 2 * stored <= n->count &&
                      ctl_nodes_snapshot(n, UINT64_MAX, &info, &node) == ERR_OK &&
                      info.offset == same->offset && info.size_bytes == same->size_bytes &&
                      info.crc == same->crc;
    return unfinished || found_refuses(holder, "has a log already");
}

bool ctl_found_look(struct ctl_nodes *n, uint64_t begin, const struct snapshot_info *same,
                    struct held *held)
{
    held_start(held, begin);
    for (unsigned i = 0; i < n->count; i++) {
        if (!n->nodes[i].answered) {
            ctl_complain("the log node at %s does not answer: a new log needs all of them",
                         n->nodes[i].address);
            return false;
        }
    }
    if (!found_may_go_on(n, same)) {
        return false;
    }
    for (unsigned i = 0; i < n->count; i++) {
        const struct wire_log *log = &n->nodes[i].log;
        if (log->empty) {
            continue;
        }
        if (log->begin != begin || log->begin_chain != 0) {
            return found_refuses(&n->nodes[i], "holds a part of another log: remove what it has "
                                               "stored");
        }
        held_add(held, log->flush_off, log->unit_off, log->chain_crc);
    }
    return true;
}

/* ---- beginning ---- */

struct ctl_found *ctl_found_open(const struct ctl_nodes *nodes)
{
    struct ctl_found *f = mem_calloc(1, sizeof *f);
    struct transport_config transport = {.node_count = nodes->count,
                                         .message_max_bytes = WIRE_DATA_MAX + WIRE_OVERHEAD_MAX,
                                         .queue_max_bytes = WIRE_DATA_MAX + WIRE_OVERHEAD_MAX};
    struct proposer_config proposer = {.log_id = nodes->log_id,
                                       .node_count = nodes->count,
                                       .lease_ms = nodes->lease_ms,
                                       .heartbeat_ms = FOUND_HEARTBEAT_MS,
                                       .session = random_seed() >> 1,
                                       .append_max_bytes = FOUND_APPEND_BYTES,
                                       .append_inflight_max = FOUND_INFLIGHT,
                                       .window_max_bytes = 4 * FOUND_AHEAD_BYTES};
    struct snapship_config snapship = {.log_id = nodes->log_id,
                                       .node_count = nodes->count,
                                       .session = proposer.session,
                                       .piece_max_bytes = FOUND_APPEND_BYTES,
                                       .inflight_max = 4,
                                       .timeout_ms = FOUND_TIMEOUT_MS,
                                       .retry_ms = FOUND_RETRY_MS};

    f->node_count = nodes->count;
    if (nodes->history.count > 0) {
        f->held_term = nodes->history.entries[nodes->history.count - 1].term;
    }
    random_init(&f->random, random_seed());
    memcpy(proposer.cluster_id, nodes->cluster_id, sizeof proposer.cluster_id);
    memcpy(snapship.cluster_id, nodes->cluster_id, sizeof snapship.cluster_id);
    for (unsigned i = 0; i < nodes->count; i++) {
        transport.addresses[i] = nodes->nodes[i].address;
        if (i < CONF_MEMBERS_MAX) {
            proposer.addresses[i] = nodes->nodes[i].address;
        }
    }
    int err =
        nodes->count <= CONF_MEMBERS_MAX ? transport_open(&f->transport, &transport) : ERR_TOO_BIG;
    if (err != ERR_OK) {
        ctl_complain("the log nodes can't be connected to: %s", err_text(err));
        free(f);
        return NULL;
    }
    f->proposer = proposer_create(&proposer, &found_proposer_events, f);
    f->snapship = snapship_create(&snapship, &found_snapship_events, f);
    return f;
}

void ctl_found_close(struct ctl_found *f)
{
    ctl_bar_clear(&f->bar);
    snapship_destroy(f->snapship);
    proposer_destroy(f->proposer);
    transport_close(f->transport);
    buf_release(&f->wire);
    free(f);
}

static int found_lost(struct ctl_found *f, const char *what)
{
    ctl_bar_clear(&f->bar);
    ctl_complain("%s%s%s", what, f->refusal[0] != '\0' ? ": " : "", f->refusal);
    return CTL_EXIT_FAILED;
}

/* Elected, with nothing there, or what an attempt that was broken off has left. */
static int found_elect(struct ctl_found *f, const struct held *held)
{
    uint64_t end_ns = clock_now_ns() + FOUND_ELECTION_MS * CLOCK_NS_PER_MS;

    while (proposer_state(f->proposer) != PROPOSER_ELECTED) {
        enum proposer_state state = proposer_state(f->proposer);
        if (state == PROPOSER_IDLE || state == PROPOSER_DEPOSED) {
            proposer_campaign(f->proposer, clock_now_ns());
        }
        if (clock_now_ns() > end_ns) {
            return found_lost(
                f, "the log nodes elect nobody (all of them must be there, and no proxy)");
        }
        if (ctl_stop_asked()) {
            return found_lost(f, FOUND_STOPPED);
        }
        found_turn(f);
    }
    const struct proposer_donor *donor = proposer_donor(f->proposer);
    if (!donor->empty &&
        (!held_ends_at(held, donor->end.offset) || donor->history->count == 0 ||
         donor->history->entries[donor->history->count - 1].term.n > f->held_term.n)) {
        return CTL_FOUND_CHANGED;
    }
    return CTL_EXIT_DONE;
}

int ctl_found_begin(struct ctl_found *f, const struct snapshot_info *snapshot, uint32_t engine,
                    const struct held *held, uint64_t *from)
{
    static const char digits[] = "0123456789abcdef";
    struct replid replid;

    proposer_set_engine(f->proposer, engine);
    int rc = found_elect(f, held);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    for (size_t i = 0; i < sizeof replid.hex; i++) {
        replid.hex[i] = digits[random_next(&f->random) >> 60];
    }
    const struct proposer_donor *donor = proposer_donor(f->proposer);
    f->info = *snapshot;
    f->info.term = log_term_of(proposer_term(f->proposer));
    f->info.replid = replid;
    f->info.chain_crc = 0; /* of a log that begins here */
    f->info.verified_ms = 0;
    *from = snapshot->offset;
    if (!donor->empty) { /* whose beginning an earlier attempt has made */
        f->info.term = donor->history->entries[0].term;
        f->info.replid = donor->history->entries[0].replid;
        *from = donor->end.offset;
    }
    proposer_lead(f->proposer, clock_now_ns(), *from, &replid);
    return CTL_EXIT_DONE;
}

/* ---- appending ---- */

/* Until that offset is committed. */
static int found_wait(struct ctl_found *f, uint64_t offset)
{
    uint64_t commit = proposer_commit(f->proposer), moved_ns = clock_now_ns();

    while (proposer_commit(f->proposer) < offset) {
        found_turn(f);
        if (proposer_commit(f->proposer) > commit) {
            commit = proposer_commit(f->proposer);
            moved_ns = clock_now_ns();
        }
        if (proposer_state(f->proposer) != PROPOSER_LEADING) {
            return found_lost(f, FOUND_DEPOSED);
        }
        if (ctl_stop_asked()) {
            return found_lost(f, FOUND_STOPPED);
        }
        if (clock_now_ns() - moved_ns > FOUND_SILENCE_MS * CLOCK_NS_PER_MS) {
            return found_lost(f, "the log nodes take nothing any more");
        }
    }
    return CTL_EXIT_DONE;
}

int ctl_found_append(struct ctl_found *f, const void *bytes, size_t size, bool unit_end,
                     uint64_t wall_ms)
{
    uint64_t end = proposer_end(f->proposer);

    if (proposer_state(f->proposer) != PROPOSER_LEADING) {
        return found_lost(f, FOUND_DEPOSED);
    }
    if (ctl_stop_asked()) {
        return found_lost(f, FOUND_STOPPED);
    }
    proposer_append(f->proposer, bytes, size, unit_end, wall_ms);
    proposer_seal(f->proposer);
    proposer_flush(f->proposer, clock_now_ns());
    /* Only whole units are committed: one that is larger than that is not waited for. */
    if (unit_end && end > f->info.offset + FOUND_AHEAD_BYTES) {
        return found_wait(f, end - FOUND_AHEAD_BYTES);
    }
    return CTL_EXIT_DONE;
}

static int found_ship(struct ctl_found *f, int fd)
{
    unsigned quorum = f->node_count / 2 + 1;
    uint64_t last = 0, moved_ns = clock_now_ns();

    f->fd = fd;
    snapship_upload(f->snapship, clock_now_ns(), proposer_term(f->proposer), &f->info);
    while (!f->shipped) {
        uint64_t done, total;
        snapship_progress(f->snapship, &done, &total);
        ctl_bar_show(&f->bar, "snapshot", done, total);
        if (done != last) {
            last = done;
            moved_ns = clock_now_ns();
        }
        if (f->node_count - (unsigned)__builtin_popcount(snapship_full(f->snapship)) < quorum) {
            return found_lost(f, "too few log nodes have room for the snapshot on their disks");
        }
        if (clock_now_ns() - moved_ns > FOUND_SILENCE_MS * CLOCK_NS_PER_MS) {
            return found_lost(f, "the log nodes take nothing any more");
        }
        if (ctl_stop_asked()) {
            return found_lost(f, FOUND_STOPPED);
        }
        if (proposer_state(f->proposer) != PROPOSER_LEADING) {
            return found_lost(f, FOUND_DEPOSED);
        }
        found_turn(f);
    }
    ctl_bar_clear(&f->bar);
    return f->shipped_err == ERR_OK ? CTL_EXIT_DONE : found_lost(f, err_text(f->shipped_err));
}

int ctl_found_end(struct ctl_found *f, int fd)
{
    uint64_t end = proposer_end(f->proposer);
    int rc = found_wait(f, end > f->info.offset ? end : f->info.offset);

    if (rc == CTL_EXIT_DONE) {
        rc = found_ship(f, fd);
    }
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    proposer_flush(f->proposer, clock_now_ns());
    uint64_t told_ns = clock_now_ns() + 4 * FOUND_HEARTBEAT_MS * CLOCK_NS_PER_MS;
    while (clock_now_ns() < told_ns || snapship_active(f->snapship)) {
        found_turn(f); /* the commit offset goes to the nodes, the snapshot to those that lack it */
    }
    proposer_release(f->proposer, clock_now_ns());
    told_ns = clock_now_ns() + FOUND_HEARTBEAT_MS * CLOCK_NS_PER_MS;
    while (clock_now_ns() < told_ns) {
        found_turn(f);
    }
    return CTL_EXIT_DONE;
}

struct term ctl_found_term(const struct ctl_found *f)
{
    return proposer_term(f->proposer);
}
