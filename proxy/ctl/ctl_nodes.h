/* A tool's way to the log nodes: it reads what is committed and what snapshots there are, without
 * being a proxy (it is in no roster and in no election). Calls wait for their answers.
 *
 * Who the log nodes are it hears from the options or the configuration, else from the proxy. */
#ifndef PROXY_CTL_CTL_NODES_H
#define PROXY_CTL_CTL_NODES_H

#include "logsvc/client/reader.h"
#include "logsvc/client/transport.h"
#include "logsvc/wire.h"
#include "proxy/ctl/ctl.h"

enum { CTL_NODES_MAX = TRANSPORT_NODES_MAX };

/* What a node said last. */
struct ctl_node {
    char address[300];
    bool up;       /* its link */
    bool answered; /* the last question; the rest means something then */
    char id[WIRE_NAME_MAX + 1];
    struct wire_log log;
    uint64_t snapshot; /* of its newest; or WIRE_NO_SNAPSHOT */
};

struct ctl_nodes {
    struct transport *transport;
    struct reader *reader;
    uint8_t cluster_id[16];
    uint64_t log_id;
    uint64_t session, seq;
    uint32_t timeout_ms;
    uint32_t lease_ms; /* as a node, or the configuration, tells; else the default */
    unsigned count;
    struct ctl_node nodes[CTL_NODES_MAX];
    struct buf wire;

    /* Together, as of the last ctl_nodes_refresh; what was committed stays so. */
    bool empty;                        /* no node that answered has a log */
    uint64_t begin;                    /* the lowest that one has */
    uint64_t commit;                   /* the highest that one knows */
    struct history history;            /* with the highest last term */
    char refusal[WIRE_REASON_MAX + 1]; /* what a node said that answers nothing else; "": none */

    /* The question under way. */
    unsigned asked_node;
    bool waiting, has_reply;
    struct wire_msg reply;
    struct ctl_reading *reading;
};

/* Connects, waits until a node has answered, and a moment longer for the others; and until what
 * they hold is known to be committed, a lease at most: so nothing that was acknowledged before the
 * call is missed.
 * CTL_EXIT_DONE, or the status to end with, complained. */
int ctl_nodes_open(struct ctl_nodes *n, const struct ctl *ctl);
/* To found a log: waits for all nodes, and for nothing to be committed. */
int ctl_nodes_open_all(struct ctl_nodes *n, const struct ctl *ctl);
void ctl_nodes_close(struct ctl_nodes *n);

/* Asks all again how things stand; ERR_CLOSED: none answers. */
int ctl_nodes_refresh(struct ctl_nodes *n) MUST_CHECK;

/* A question and its answer (of that type; it is valid until the next call). Header fields are
 * filled in. ERR_REFUSED: the reply is a refusal; ERR_CLOSED, ERR_TIMEOUT. */
int ctl_nodes_ask(struct ctl_nodes *n, unsigned node, struct wire_msg *request,
                  const struct wire_msg **reply) MUST_CHECK;

/* The committed record that holds the byte behind offset, from whoever has it; payload (may be
 * NULL) is valid until the next call. ERR_NOT_FOUND: the log begins later, or it is not committed;
 * ERR_CORRUPT: nobody has it whole; ERR_CLOSED, ERR_TIMEOUT. */
int ctl_nodes_record(struct ctl_nodes *n, uint64_t offset, struct record *out,
                     const uint8_t **payload) MUST_CHECK;

struct ctl_reading {
    uint64_t from, to; /* as reader_range; committed bytes only */
    bool chain_known;
    uint32_t chain_crc;
    /* Before the bytes of a record; may be NULL. */
    void (*record)(void *ctx, const struct record *r);
    /* False: enough. */
    bool (*data)(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size);
    void *ctx;
    /* Set by it. */
    int result;
    bool over;
    uint64_t moved_ns; /* when something came last … */
    bool told;         /* … and that nothing comes any more */
};

/* Reads all of it. ERR_OK, also if `data` had enough; ERR_NOT_FOUND: the log begins later now;
 * ERR_CORRUPT. Waits for as long as no node answers; ERR_CLOSED: told to stop (ctl_stop.h). */
int ctl_nodes_read(struct ctl_nodes *n, struct ctl_reading *reading) MUST_CHECK;

/* The newest snapshot at or below the limit that a node has, and which one; ERR_NOT_FOUND. */
int ctl_nodes_snapshot(struct ctl_nodes *n, uint64_t limit, struct snapshot_info *out,
                       unsigned *node) MUST_CHECK;
/* A node that has that one, and is not in the set `avoid` (bits); ERR_NOT_FOUND. */
int ctl_nodes_holder(struct ctl_nodes *n, const struct snapshot_info *info, unsigned avoid,
                     unsigned *node) MUST_CHECK;
/* The oldest from which the log is there: the earliest moment that can be restored. It is one from
 * which a Redis may be brought up. ERR_NOT_FOUND. */
int ctl_nodes_earliest(struct ctl_nodes *n, struct snapshot_info *out) MUST_CHECK;
/* Up to a message of its bytes at `at`, valid until the next call; size 0: the end. */
int ctl_nodes_snapshot_read(struct ctl_nodes *n, unsigned node, const struct snapshot_info *info,
                            uint64_t at, const uint8_t **bytes, size_t *size) MUST_CHECK;

/* The reply to COMMAND of the proxy that ctl names, in out; a status, complained. */
int ctl_nodes_commands(const struct ctl *ctl, struct buf *out);

#endif
