/* An acceptor: one log of one log node (docs/log-protocol.md, 5). Pure: messages in, messages out,
 * and a storage underneath; no clock, no network. It never decides anything by itself: it promises
 * terms, keeps what the leader of its term sends, and says what it has.
 *
 * Durable: meta (term, history, configuration, disk id, uncertain_to) and the log. In memory only:
 *   t_acc      when it last accepted an append; at creation: now (the restart rule of leases)
 *   elected    whether the leader of the current term was accepted (Elected) in this life
 *   session    which of that leader's sessions; anything older has no effect
 *   commit     what it knows to be committed; recorded in the log with later records
 *
 * Invariants:
 *   - a vote, an Elected or an append answered positively is durable before the answer leaves;
 *   - the log is truncated durably before the history that justifies it is adopted;
 *   - nothing below commit is ever cut;
 *   - bytes of the log belong to the term that the history says (log matching). */
#ifndef LOGSVC_ACCEPTOR_H
#define LOGSVC_ACCEPTOR_H

#include "logsvc/meta.h"
#include "logsvc/storage.h"
#include "logsvc/wire.h"

struct acceptor;

struct acceptor_config {
    uint8_t cluster_id[16];
    uint64_t log_id;
    const char *node_id;   /* at most WIRE_NAME_MAX bytes; names this disk, not this machine */
    struct disk_id disk;   /* random, for a storage that was never used; else what it has counts */
    uint32_t lease_ms;     /* L, the same everywhere */
    size_t read_max_bytes; /* of one READ_REPLY or SNAP_READ_REPLY */
};

/* Where an answer goes; copied, never looked into. */
struct acceptor_reply_to {
    uint64_t link;
    uint64_t id;
};

struct acceptor_events {
    /* The message, its history and its data are valid during the call. */
    void (*reply)(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg);
};

/* The storage is open and outlives the acceptor. A storage that was never used becomes this node's.
 * ERR_REFUSED: it belongs to another cluster, log or node, or was made by another version.
 * ERR_CORRUPT: both slots of the durable state are bad, or it is missing although there is a log.
 */
int acceptor_create(struct storage *storage, const struct acceptor_config *config,
                    const struct acceptor_events *events, void *ctx, uint64_t now_ns,
                    struct acceptor **out) MUST_CHECK;
void acceptor_destroy(struct acceptor *a);

/* Handles one request and answers it by `reply`, at once or (appends) in acceptor_flush. now_ns
 * must have been read after the message was taken off its queue: with an older time, a pause of
 * the process in between would make a lease look dead while it is not. Whatever is not a request
 * is ignored.
 * An error means that the disk failed: the process must end without another answer, and the
 * acceptor refuses to do anything from then on (it returns the same error). */
int acceptor_receive(struct acceptor *a, uint64_t now_ns, const struct wire_msg *msg,
                     struct acceptor_reply_to to) MUST_CHECK;

/* Called once after all queued messages were handled: makes the appended records durable with one
 * flush, then acknowledges them. Errors as above. */
int acceptor_flush(struct acceptor *a, uint64_t now_ns) MUST_CHECK;

/* A link was closed by its other end, or broke; its last messages have been received. Whoever led
 * over it is taken for gone by those who ask whether to campaign, which is a hint and nothing more:
 * leases run on. */
void acceptor_link_closed(struct acceptor *a, uint64_t now_ns, uint64_t link);

/* Writes the idle marker when it is due: a short while after the last append, so that what was
 * acknowledged last is covered by a recorded flushed offset. Errors as above. */
int acceptor_tick(struct acceptor *a, uint64_t now_ns) MUST_CHECK;
/* When acceptor_tick has something to do; UINT64_MAX: not now. */
uint64_t acceptor_next_tick_ns(const struct acceptor *a);

/* For status pages and tests. */
struct term acceptor_term(const struct acceptor *a);
uint64_t acceptor_commit(const struct acceptor *a);
const struct history *acceptor_history(const struct acceptor *a);
const struct conf *acceptor_conf(const struct acceptor *a);
const struct disk_id *acceptor_disk(const struct acceptor *a);
void acceptor_log(const struct acceptor *a, struct wire_log *out);

#endif
