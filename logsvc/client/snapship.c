/* See snapship.h. The work is done by its two parts, snap_upload and snap_download; a repair joins
 * them: it finds out who lacks the newest snapshot, and for one node after the other downloads it
 * from the others into a window of a few pieces, out of which the upload is fed. */
#include "logsvc/client/snapship.h"

#include "common/clock.h"
#include "common/mem.h"
#include "logsvc/client/snap_download.h"
#include "logsvc/client/snap_upload.h"

#include <stdlib.h>
#include <string.h>

/* A node that takes nothing for so many time-outs is for the next repair. */
enum { REPAIR_PATIENCE_TIMEOUTS = 60 };

enum ship_job { SHIP_IDLE, SHIP_UPLOAD, SHIP_DOWNLOAD, SHIP_REPAIR_FIND, SHIP_REPAIR };

struct snapship {
    struct snap_line line;
    struct snapship_events events;
    void *ctx;
    enum ship_job job;
    unsigned quorum; /* SHIP_UPLOAD: so many of the nodes that it began with … */
    bool shipped;    /* … have it, and the owner was told */
    unsigned stored; /* nodes that have it */
    struct snap_upload upload;
    struct snap_download download;

    /* Repair. */
    unsigned targets;   /* nodes still to be repaired */
    unsigned target;    /* the present one */
    int missed;         /* why one of those before has not got it; ERR_OK */
    uint64_t moved_ns;  /* when the present one last took something … */
    uint64_t moved_to;  /* … and had so much then */
    struct buf window;  /* bytes from window_at on, downloaded */
    uint64_t window_at; /* the target has everything below */
};

struct snapship *snapship_create(const struct snapship_config *config,
                                 const struct snapship_events *events, void *ctx)
{
    struct snapship *s = mem_calloc(1, sizeof *s);

    MUST(config->node_count >= 1 && config->node_count <= SNAPSHIP_NODES_MAX);
    MUST(config->inflight_max >= 1 && config->inflight_max <= SNAPSHIP_INFLIGHT_MAX);
    MUST(config->piece_max_bytes > 0 && config->timeout_ms > 0 && config->retry_ms > 0);
    s->line = (struct snap_line){.config = *config,
                                 .send = events->send,
                                 .ctx = ctx,
                                 .nodes = (1u << config->node_count) - 1};
    s->events = *events;
    s->ctx = ctx;
    snap_upload_init(&s->upload, &s->line);
    snap_download_init(&s->download, &s->line);
    return s;
}

void snapship_destroy(struct snapship *s)
{
    snap_upload_fini(&s->upload);
    snap_download_fini(&s->download);
    buf_release(&s->window);
    free(s);
}

void snapship_nodes(struct snapship *s, uint32_t set)
{
    s->line.nodes = set;
}

void snapship_stop(struct snapship *s)
{
    s->job = SHIP_IDLE;
    snap_upload_stop(&s->upload);
    snap_download_stop(&s->download);
    buf_release(&s->window);
}

/* ---- repair ---- */

static size_t window_max_bytes(const struct snapship *s)
{
    return (size_t)s->line.config.piece_max_bytes * s->line.config.inflight_max;
}

static int window_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    struct snapship *s = ctx;

    if (at < s->window_at) {
        return ERR_STATE; /* the node begins anew: so must the repair */
    }
    if (at + size > s->window_at + s->window.len) {
        return ERR_MORE;
    }
    buf_append(out, buf_head(&s->window) + (at - s->window_at), size);
    return ERR_OK;
}

static void window_put(void *ctx, const uint8_t *bytes, size_t size)
{
    struct snapship *s = ctx;
    buf_append(&s->window, bytes, size);
}

static void repair_found(void *ctx, const struct snapshot_info *info)
{
    (void)ctx;
    (void)info; /* seen by asking: download.info */
}

static struct snap_download_events repair_events(struct snapship *s)
{
    return (struct snap_download_events){.found = repair_found, .data = window_put, .ctx = s};
}

static void repair_end(struct snapship *s, int err)
{
    snapship_stop(s);
    s->events.repaired(s->ctx, err);
}

/* Turns to the next node that lacks the snapshot; the last one: done. */
static void repair_next(struct snapship *s, uint64_t now_ns)
{
    const struct snap_upload_source source = {.read = window_read, .ctx = s};
    const struct snap_download_events events = repair_events(s);

    if (s->targets == 0) {
        repair_end(s, s->missed);
        return;
    }
    s->target = (unsigned)__builtin_ctz(s->targets);
    s->targets &= ~(1u << s->target);
    s->job = SHIP_REPAIR;
    s->moved_ns = now_ns;
    s->moved_to = s->window_at = 0;
    buf_clear(&s->window);
    snap_download_fetch(&s->download, now_ns, &events);
    snap_upload_start(&s->upload, now_ns, s->download.term, &s->download.info, 1u << s->target,
                      &source);
}

/* Moves bytes from the download's side of the window to the upload's. */
static void repair_go_on(struct snapship *s, uint64_t now_ns)
{
    const struct snap_peer *peer = &s->upload.peers[s->target];

    if (peer->step == PEER_WRITE && peer->next > s->window_at) {
        uint64_t taken = peer->next - s->window_at;
        size_t n = taken < s->window.len ? (size_t)taken : s->window.len;
        buf_consume(&s->window, n);
        s->window_at += n;
    }
    size_t max = window_max_bytes(s);
    snap_download_room(&s->download, now_ns, max > s->window.len ? max - s->window.len : 0);
    snap_upload_pump(&s->upload, now_ns);
}

/* Whether the present target takes nothing, whatever it says: the others wait behind it. */
static bool repair_is_stuck(struct snapship *s, uint64_t now_ns)
{
    uint64_t next = s->upload.peers[s->target].next;

    if (next != s->moved_to) {
        s->moved_to = next;
        s->moved_ns = now_ns;
    }
    return now_ns - s->moved_ns >=
           REPAIR_PATIENCE_TIMEOUTS * s->line.config.timeout_ms * CLOCK_NS_PER_MS;
}

static void repair_look(struct snapship *s, uint64_t now_ns)
{
    if (s->job == SHIP_REPAIR_FIND && s->download.ended) {
        if (s->download.result != ERR_OK) {
            repair_end(s, s->download.result);
            return;
        }
        s->targets = snap_download_lacking(&s->download);
        s->missed = ERR_OK;
        repair_next(s, now_ns);
        return;
    }
    if (s->job != SHIP_REPAIR) {
        return;
    }
    repair_go_on(s, now_ns);
    bool up = s->upload.peers[s->target].up;
    bool full = snap_upload_refused(&s->upload, WIRE_REFUSED_SPACE) != 0;
    /* One that is being given a snapshot by somebody else may soon need no repair. */
    bool stuck =
        repair_is_stuck(s, now_ns) || snap_upload_refused(&s->upload, WIRE_REFUSED_SESSION) != 0;
    /* One that keeps another in its place, which is as good, lacks nothing. */
    bool other = snap_upload_refused(&s->upload, WIRE_REFUSED_NEEDED) != 0;
    if (s->download.ended && s->download.result != ERR_OK) {
        repair_end(s, s->download.result);
    } else if (s->upload.failed == ERR_STALE) {
        repair_end(s, ERR_STALE);
    } else if (snap_upload_complete(&s->upload) || !up || full || stuck || other ||
               s->upload.failed != ERR_OK) {
        s->missed = full ? ERR_NO_SPACE : stuck && s->missed == ERR_OK ? ERR_TIMEOUT : s->missed;
        repair_next(s, now_ns); /* one that has left, or begun anew, is for the next repair */
    }
}

/* ---- telling the owner ---- */

static void upload_look(struct snapship *s)
{
    unsigned quorum = s->quorum;

    s->stored = snap_upload_done(&s->upload);
    bool all = snap_upload_complete(&s->upload);

    if (!s->shipped && s->stored >= quorum) {
        s->shipped = true;
        if (all) {
            snapship_stop(s);
        }
        s->events.shipped(s->ctx, ERR_OK);
    } else if (s->upload.failed != ERR_OK) {
        int err = s->upload.failed;
        bool told = s->shipped;
        snapship_stop(s);
        if (!told) {
            s->events.shipped(s->ctx, err);
        }
    } else if (all) {
        snapship_stop(s);
    }
}

/* Called last by everything that may have changed something. */
static void ship_look(struct snapship *s, uint64_t now_ns)
{
    if (s->job == SHIP_UPLOAD) {
        upload_look(s);
    } else if (s->job == SHIP_DOWNLOAD && s->download.ended) {
        int result = s->download.result;
        snapship_stop(s);
        s->events.fetched(s->ctx, result);
    } else {
        repair_look(s, now_ns);
    }
}

static int owner_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    struct snapship *s = ctx;

    if (!s->events.read(s->ctx, at, size, out)) {
        return ERR_IO;
    }
    return out->len > 0 ? ERR_OK : ERR_MORE;
}

static void ship_upload(struct snapship *s, uint64_t now_ns, struct term term,
                        const struct snapshot_info *info, unsigned needed)
{
    const struct snap_upload_source source = {.read = owner_read, .ctx = s};

    snapship_stop(s);
    s->job = SHIP_UPLOAD;
    s->shipped = false;
    s->stored = 0;
    s->quorum = needed;
    snap_upload_start(&s->upload, now_ns, term, info, s->line.nodes, &source);
    ship_look(s, now_ns);
}

void snapship_upload(struct snapship *s, uint64_t now_ns, struct term term,
                     const struct snapshot_info *info)
{
    ship_upload(s, now_ns, term, info, snap_line_quorum(&s->line));
}

void snapship_found(struct snapship *s, uint64_t now_ns, struct term term,
                    const struct snapshot_info *info)
{
    ship_upload(s, now_ns, term, info, (unsigned)__builtin_popcount(s->line.nodes));
}

void snapship_download(struct snapship *s, uint64_t now_ns, struct term term, uint64_t limit,
                       unsigned node)
{
    const struct snap_download_events events = {
        .found = s->events.found, .data = s->events.data, .ctx = s->ctx};

    snapship_stop(s);
    s->job = SHIP_DOWNLOAD;
    snap_download_start(&s->download, now_ns, term, limit, node, false, &events);
    ship_look(s, now_ns);
}

void snapship_repair(struct snapship *s, uint64_t now_ns, struct term term, uint64_t limit)
{
    const struct snap_download_events events = repair_events(s);

    snapship_stop(s);
    s->job = SHIP_REPAIR_FIND;
    snap_download_start(&s->download, now_ns, term, limit, 0, true, &events);
    ship_look(s, now_ns);
}

void snapship_room(struct snapship *s, uint64_t now_ns, size_t bytes)
{
    if (s->job == SHIP_DOWNLOAD) {
        bool inside = s->download.delivering;
        snap_download_room(&s->download, now_ns, bytes);
        if (!inside) {
            ship_look(s, now_ns);
        }
    }
}

void snapship_receive(struct snapship *s, uint64_t now_ns, unsigned node,
                      const struct wire_msg *msg)
{
    if (node >= SNAPSHIP_NODES_MAX || msg->channel != WIRE_SNAPSHOT ||
        msg->session != s->line.config.session || msg->log_id != s->line.config.log_id ||
        memcmp(msg->cluster_id, s->line.config.cluster_id, sizeof msg->cluster_id) != 0) {
        return;
    }
    snap_upload_receive(&s->upload, now_ns, node, msg);
    snap_download_receive(&s->download, now_ns, node, msg);
    ship_look(s, now_ns);
}

void snapship_link_up(struct snapship *s, uint64_t now_ns, unsigned node, bool up)
{
    snap_upload_link(&s->upload, now_ns, node, up);
    snap_download_link(&s->download, now_ns, node, up);
    ship_look(s, now_ns);
}

void snapship_link_ready(struct snapship *s, uint64_t now_ns, unsigned node)
{
    (void)node;
    snap_upload_pump(&s->upload, now_ns);
    snap_download_pump(&s->download, now_ns);
    ship_look(s, now_ns);
}

void snapship_tick(struct snapship *s, uint64_t now_ns)
{
    snap_upload_tick(&s->upload, now_ns);
    snap_download_tick(&s->download, now_ns);
    ship_look(s, now_ns);
}

uint64_t snapship_next_tick_ns(const struct snapship *s)
{
    uint64_t upload = snap_upload_next_tick_ns(&s->upload);
    uint64_t download = snap_download_next_tick_ns(&s->download);
    return upload < download ? upload : download;
}

void snapship_progress(const struct snapship *s, uint64_t *done_bytes, uint64_t *total_bytes)
{
    *done_bytes = *total_bytes = 0;
    if (s->job == SHIP_UPLOAD || s->job == SHIP_REPAIR) {
        unsigned nodes = s->job == SHIP_UPLOAD ? s->quorum : 1;
        *total_bytes = s->upload.info.size_bytes;
        *done_bytes = snap_upload_bytes(&s->upload, nodes);
    } else if (s->job == SHIP_DOWNLOAD && s->download.state == DOWNLOAD_FETCHING) {
        *total_bytes = s->download.info.size_bytes;
        *done_bytes = s->download.offset;
    }
}

uint32_t snapship_full(const struct snapship *s)
{
    return s->job == SHIP_UPLOAD ? snap_upload_refused(&s->upload, WIRE_REFUSED_SPACE) : 0;
}

uint32_t snapship_busy(const struct snapship *s)
{
    return s->job == SHIP_UPLOAD ? snap_upload_refused(&s->upload, WIRE_REFUSED_SESSION) : 0;
}

uint32_t snapship_other(const struct snapship *s)
{
    return s->job == SHIP_UPLOAD ? snap_upload_refused(&s->upload, WIRE_REFUSED_NEEDED) : 0;
}

uint64_t snapship_taken(const struct snapship *s)
{
    return s->job == SHIP_UPLOAD ? snap_upload_taken(&s->upload) : 0;
}

unsigned snapship_stored(const struct snapship *s)
{
    return s->stored;
}

bool snapship_active(const struct snapship *s)
{
    return s->job != SHIP_IDLE;
}
