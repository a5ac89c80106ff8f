/* What the parts of the snapshot ship share: the way to the nodes. */
#ifndef LOGSVC_CLIENT_SNAP_LINE_H
#define LOGSVC_CLIENT_SNAP_LINE_H

#include "logsvc/client/snapship.h"

#include <string.h>

/* The highest bits of a message's number say which part asked, so that each finds its answers. */
#define SNAP_SEQ_UPLOAD (1ull << 62)
#define SNAP_SEQ_LATEST (2ull << 62)
#define SNAP_SEQ_READ   (3ull << 62)
#define SNAP_SEQ_PART   (3ull << 62)

struct snap_line {
    struct snapship_config config;
    bool (*send)(void *ctx, unsigned node, const struct wire_msg *msg);
    void *ctx;
    uint32_t nodes; /* those that count */
};

static inline struct wire_msg snap_line_message(const struct snap_line *line, enum wire_type type,
                                                struct term term, uint64_t seq)
{
    struct wire_msg msg = {.type = type,
                           .channel = WIRE_SNAPSHOT,
                           .log_id = line->config.log_id,
                           .term = term,
                           .session = line->config.session,
                           .seq = seq};

    memcpy(msg.cluster_id, line->config.cluster_id, sizeof msg.cluster_id);
    return msg;
}

static inline unsigned snap_line_quorum(const struct snap_line *line)
{
    return (unsigned)__builtin_popcount(line->nodes) / 2 + 1;
}

/* Whether two descriptions are of the same bytes. */
static inline bool snap_line_same(const struct snapshot_info *a, const struct snapshot_info *b)
{
    return a->offset == b->offset && a->size_bytes == b->size_bytes && a->crc == b->crc;
}

#endif
