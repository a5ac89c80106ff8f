/* The reader and the snapshot ship of a proxy: what they fetch goes to the follower, what they send
 * comes from the adoption. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"

#include <string.h>

enum { SHIP_TIMEOUT_MS = 1000, SHIP_RETRY_MS = 50, SHIP_INFLIGHT = 4 };

static void reader_says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct proxy *p = ctx;

    (void)offset;
    follow_bytes(p->follow, bytes, size);
    reader_room(p->reader, clock_now_ns(), follow_room(p->follow));
}

static void reader_says_done(void *ctx)
{
    struct proxy *p = ctx;
    follow_log_end(p->follow, clock_now_ns(), ERR_OK);
}

static void reader_says_failed(void *ctx, int err)
{
    struct proxy *p = ctx;
    follow_log_end(p->follow, clock_now_ns(), err);
}

static const struct reader_events ship_reader_events = {.send = proxy_send,
                                                        .data = reader_says_data,
                                                        .done = reader_says_done,
                                                        .failed = reader_says_failed};

static bool ship_says_read(void *ctx, uint64_t at, size_t size, struct buf *out)
{
    struct proxy *p = ctx;
    return adopt_read_spool(p->adopt, at, size, out);
}

static void ship_says_shipped(void *ctx, int err)
{
    struct proxy *p = ctx;
    adopt_shipped(p->adopt, err == ERR_OK, err_text(err));
}

static void ship_says_found(void *ctx, const struct snapshot_info *info)
{
    struct proxy *p = ctx;
    follow_snapshot_found(p->follow, clock_now_ns(), info);
}

static void ship_says_data(void *ctx, const uint8_t *bytes, size_t size)
{
    struct proxy *p = ctx;

    follow_bytes(p->follow, bytes, size);
    snapship_room(p->snapship, clock_now_ns(), follow_room(p->follow));
}

static void ship_says_fetched(void *ctx, int err)
{
    struct proxy *p = ctx;
    const char *why =
        err == ERR_NOT_FOUND ? "the log nodes have no snapshot to begin with; if an import or a "
                               "restore was broken off here, run it again"
        : err == ERR_GONE ? "the snapshot was deleted or replaced meanwhile: there is a newer one"
                          : err_text(err);
    follow_snapshot_end(p->follow, clock_now_ns(), err == ERR_OK, why);
}

static void ship_says_repaired(void *ctx, int err)
{
    struct proxy *p = ctx;

    if (err == ERR_NO_SPACE && !p->retain.no_room) {
        log_warn("a log node lacks the newest snapshot, and its disk has no room for it");
    } else if (err != ERR_OK && err != ERR_NO_SPACE) {
        log_debug("a log node still lacks the snapshot: %s", err_text(err));
    }
    p->retain.no_room = err == ERR_NO_SPACE;
}

static const struct snapship_events ship_events = {.send = proxy_send,
                                                   .read = ship_says_read,
                                                   .shipped = ship_says_shipped,
                                                   .found = ship_says_found,
                                                   .data = ship_says_data,
                                                   .fetched = ship_says_fetched,
                                                   .repaired = ship_says_repaired};

/* A node that has no snapshot at all gets one from another, so that losing one more node does not
 * lose the beginning of the log: also one that is being taken in, which needs it for that, and
 * which retention does not ask (proxy_retain.c), since it counts nowhere yet. */
void proxy_repair_snapshots(struct proxy *p, uint64_t now_ns)
{
    bool some = false, lacking = false;

    if (p->role.state != ROLE_SERVE || snapship_active(p->snapship)) {
        return;
    }
    for (unsigned i = 0; i < proposer_node_count(p->proposer); i++) {
        struct proposer_node_info node;
        proposer_node(p->proposer, i, &node);
        bool reachable =
            node.state == PROPOSER_NODE_STREAMING || node.state == PROPOSER_NODE_CATCHUP;
        some = some || node.snapshot != WIRE_NO_SNAPSHOT;
        lacking = lacking || (reachable && node.snapshot == WIRE_NO_SNAPSHOT);
    }
    if (some && lacking) {
        snapship_repair(p->snapship, now_ns, proposer_term(p->proposer),
                        proposer_commit(p->proposer));
    }
}

/* How many answers of the log nodes that is. */
static unsigned ship_ahead(const struct proxy *p, uint64_t answer_bytes)
{
    uint64_t answers = (uint64_t)p->settings->feed_ahead_max_bytes / answer_bytes;

    answers = answers > SHIP_INFLIGHT ? answers : SHIP_INFLIGHT;
    return answers < READER_AHEAD_MAX ? (unsigned)answers : READER_AHEAD_MAX;
}

void proxy_open_shipping(struct proxy *p, const struct proposer_config *log)
{
    struct reader_config reader = {
        .log_id = log->log_id,
        .node_count = log->node_count,
        .session = random_next(&p->random),
        .read_max_bytes = (uint32_t)log->append_max_bytes,
        .inflight_max = SHIP_INFLIGHT,
        .ahead_max = ship_ahead(p, log->append_max_bytes),
        .timeout_ms = SHIP_TIMEOUT_MS,
        .retry_ms = SHIP_RETRY_MS,
    };

    memcpy(reader.cluster_id, log->cluster_id, sizeof reader.cluster_id);
    p->reader = reader_create(&reader, &ship_reader_events, p);

    struct snapship_config snapship = {
        .log_id = log->log_id,
        .node_count = log->node_count,
        .session = random_next(&p->random),
        .piece_max_bytes = (uint32_t)log->append_max_bytes,
        .inflight_max = SHIP_INFLIGHT,
        .timeout_ms = SHIP_TIMEOUT_MS,
        .retry_ms = SHIP_RETRY_MS,
    };
    memcpy(snapship.cluster_id, log->cluster_id, sizeof snapship.cluster_id);
    p->snapship = snapship_create(&snapship, &ship_events, p);
    proxy_open_retain(p, log);
}

void proxy_close_shipping(struct proxy *p)
{
    if (p->reader != NULL) { /* else the log was never opened */
        reader_destroy(p->reader);
        snapship_destroy(p->snapship);
        proxy_close_snapshots(p);
        proxy_close_retain(p);
        lookout_destroy(p->lookout);
    }
}
