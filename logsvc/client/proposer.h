/* The proposer: the leading proxy's half of the log protocol (docs/log-protocol.md, 6). Pure: time
 * and messages in, messages out. It is elected by a quorum of acceptors, tells its owner where the
 * log ends, and then appends the stream and moves the commit offset.
 *
 *   IDLE ─campaign▶ ASKING ─quorum not heard a leader lately▶ VOTING ─quorum of votes▶ ELECTED
 *                                                                                        │
 *        the owner brings its Redis to exactly proposer_donor()->end, then proposer_lead │
 *                                                                                        ▼
 *   any state ──a higher term is seen──▶ DEPOSED ──proposer_campaign──▶ ASKING        LEADING
 */
#ifndef LOGSVC_CLIENT_PROPOSER_H
#define LOGSVC_CLIENT_PROPOSER_H

#include "logsvc/history.h"
#include "logsvc/wire.h"

/* Slots for nodes: the seeds, the members, and those on their way in and out. */
enum { PROPOSER_NODES_MAX = 16, PROPOSER_REFUSAL_MAX = 319 };

enum proposer_state {
    PROPOSER_IDLE,
    PROPOSER_ASKING,
    PROPOSER_VOTING,
    PROPOSER_ELECTED,
    PROPOSER_LEADING,
    PROPOSER_DEPOSED,
};

enum proposer_node_state {
    PROPOSER_NODE_DOWN,      /* has not answered for a lease */
    PROPOSER_NODE_GREETED,   /* answers; not told of this term yet */
    PROPOSER_NODE_CATCHUP,   /* gets bytes that are read from another node */
    PROPOSER_NODE_STREAMING, /* gets the stream as it comes */
    PROPOSER_NODE_REFUSED,   /* foreign cluster, log, lease or version, or a lost disk; asked again
                                now and then */
    PROPOSER_NODE_OUT,       /* answers, and is no member of the log */
};

struct proposer_config {
    uint8_t cluster_id[16];
    uint64_t log_id;
    unsigned node_count; /* of the seeds, 1 … CONF_MEMBERS_MAX */
    /* Of the seeds, "host:port": where other nodes are, these tell. Slot i is linked to
     * addresses[i] from the beginning. */
    const char *addresses[CONF_MEMBERS_MAX];
    bool watch;        /* greets the nodes now and then even when idle, to know who they are */
    uint32_t lease_ms; /* L, the same everywhere */
    uint32_t heartbeat_ms;
    uint64_t session;             /* random, new at every start of the process */
    const char *name;             /* for people and redirects: the clients' address; may be NULL */
    size_t append_max_bytes;      /* payload of one append message */
    unsigned append_inflight_max; /* appends sent to a node and not yet acknowledged */
    size_t window_max_bytes;      /* stream bytes kept in memory for nodes that lag a little */
    uint64_t mend_bytes_per_s;    /* sent to a node for what rotted there; 0: a default */
    unsigned history_max; /* entries of the log's history; 0: as many as there is room for */
};

struct proposer_events {
    /* Hands a message to the transport for one node; false: the link is busy or down, try again
     * when proposer_link_ready is called. The message and its payload are valid during the call. */
    bool (*send)(void *ctx, unsigned node, const struct wire_msg *msg);
    /* A uniform random number; for back-off. */
    uint64_t (*random)(void *ctx);
    /* A node refuses us for a reason that only an operator can mend (foreign cluster, unknown log,
     * lease, version, a node id that occurs twice, or a member's
     * with another disk); called once for each node and reason. May
     * be NULL. */
    void (*refused)(void *ctx, unsigned node, enum wire_refusal code, const char *reason);
    /* From now on the slot is linked to that address; NULL: to nothing, and it is forgotten. Comes
     * for slots other than the seeds'; the link's state comes by proposer_link_up. May be NULL:
     * then only the seeds are talked to. */
    void (*link)(void *ctx, unsigned node, const char *address);
};

struct proposer;

struct proposer *proposer_create(const struct proposer_config *config,
                                 const struct proposer_events *events, void *ctx);
void proposer_destroy(struct proposer *p);

/* All of these take the caller's clock (CLOCK_BOOTTIME, ns), which never goes back. In
 * proposer_receive it must have been read after the message was taken from its queue (a pause in
 * between would let a lease look dead too early). Changes are seen by asking for the state after
 * the call. */
void proposer_campaign(struct proposer *p, uint64_t now_ns);
void proposer_receive(struct proposer *p, uint64_t now_ns, unsigned node,
                      const struct wire_msg *msg);
/* The link to a node came up, went down, or can take a message again. */
void proposer_link_up(struct proposer *p, uint64_t now_ns, unsigned node, bool up);
void proposer_link_ready(struct proposer *p, uint64_t now_ns, unsigned node);
/* Heartbeats, retries, time-outs. Call it at proposer_next_tick_ns or a little later. */
void proposer_tick(struct proposer *p, uint64_t now_ns);
uint64_t proposer_next_tick_ns(const struct proposer *p);

enum proposer_state proposer_state(const struct proposer *p);
struct term proposer_term(const struct proposer *p);

/* ELECTED: what the most advanced voter holds. empty: the log has no byte and no history; the owner
 * adopts the dataset of its Redis (snapshot 0 goes to all nodes first). */
struct proposer_donor {
    bool empty;
    unsigned node;
    struct log_position end;       /* the log ends here */
    const struct history *history; /* up to end */
};
const struct proposer_donor *proposer_donor(const struct proposer *p);

/* The version of the owner's Redis (WIRE_ENGINE), which marks the log that it leads. */
void proposer_set_engine(struct proposer *p, uint32_t engine);

/* ELECTED → LEADING: the owner's Redis stands at exactly `begin` (the donor's end, or any offset if
 * the log is empty) and streams from there under this replid. chain_crc is known to the acceptors.
 */
void proposer_lead(struct proposer *p, uint64_t now_ns, uint64_t begin,
                   const struct replid *replid);

/* LEADING (otherwise it does nothing): the next bytes of the stream, which begin at proposer_end.
 * unit_end: the last byte ends a unit. Copies the bytes; nothing is sent before proposer_flush
 * (once per turn of the loop). */
void proposer_append(struct proposer *p, const void *bytes, size_t size, bool unit_end,
                     uint64_t wall_ms);
void proposer_flush(struct proposer *p, uint64_t now_ns);
/* What was appended so far, up to the end of its last whole unit, is a record of its own: what
 * comes next goes into another, with a wall time of its own. */
void proposer_seal(struct proposer *p);

uint64_t proposer_end(const struct proposer *p);    /* offset behind the last appended byte */
uint64_t proposer_commit(const struct proposer *p); /* committed in this term; a unit's end */

/* Whether replies may leave now: LEADING, term begin committed, past safe_at, lease not over. */
bool proposer_may_serve(const struct proposer *p, uint64_t now_ns);
/* 0: no lease now. */
uint64_t proposer_lease_end_ns(const struct proposer *p);
/* The earliest moment at which this leader may serve (older leases are dead then). */
uint64_t proposer_safe_at_ns(const struct proposer *p);

/* LEADING: what is below `to` may be forgotten by the nodes, because a quorum stores that snapshot,
 * verified, at or past `to`. Each forgets as much as it safely can; what they have forgotten is
 * told by proposer_node. False, and nothing happens: not now (not leading, nothing committed yet in
 * this term, `to` or the snapshot not committed, a change of the members is going on). May be
 * called again and again with the same or a later `to`. */
bool proposer_trim(struct proposer *p, uint64_t now_ns, uint64_t to,
                   const struct snapshot_info *snapshot);

/* Stops leading and tells the acceptors (Release), so that the next leader need not wait for the
 * lease. The owner has stopped serving. → IDLE. */
void proposer_release(struct proposer *p, uint64_t now_ns);
/* The same, and says whose turn it is: a proxy's client address; "": whoever comes. */
void proposer_hand_over(struct proposer *p, uint64_t now_ns, const char *heir);
/* The Release that this node is to be sent by whoever knows for certain that this process has ended
 * and that nothing more of it will ever be answered (proxy/node/watchdog). False: none; it does not
 * lead, or waits for older leases itself. Holds until the term or the configuration changes: a
 * stale one is refused there. */
bool proposer_last_word(const struct proposer *p, uint64_t now_ns, unsigned node, const char *heir,
                        struct wire_msg *out);

/* A message of another version of the format came from that node. */
void proposer_other_version(struct proposer *p, uint64_t now_ns, unsigned node);

/* Who counts, as far as this proposer knows. */
const struct conf *proposer_conf(const struct proposer *p);

/* --- replacing a node ----------------------------------------------------------------------- */

enum proposer_change_state {
    PROPOSER_CHANGE_NONE,
    PROPOSER_CHANGE_GREET, /* the new node is looked at */
    PROPOSER_CHANGE_LEARN, /* it is sent the log */
    PROPOSER_CHANGE_JOINT, /* both sets of members count */
    PROPOSER_CHANGE_FINAL, /* the new set counts; it is being told so */
    PROPOSER_CHANGE_DONE,
    PROPOSER_CHANGE_FAILED, /* see why; nothing has changed */
};

struct proposer_change_info {
    enum proposer_change_state state;
    char old_id[CONF_TEXT_MAX + 1];
    char new_id[CONF_TEXT_MAX + 1]; /* "": not greeted yet */
    char address[CONF_TEXT_MAX + 1];
    char why[PROPOSER_REFUSAL_MAX + 1];
    uint64_t done_bytes, total_bytes; /* LEARN: of the log; total 0: not known yet */
};

/* LEADING: begins to replace the member old_id by the node at address; how it goes on is told by
 * proposer_change_info. Errors, with the reason for people in why: ERR_STATE not the leader, or a
 * change is going on; ERR_NOT_FOUND no such member; ERR_EXISTS it is a member; ERR_INVALID the
 * address; ERR_TOO_BIG no slot is free. */
int proposer_replace(struct proposer *p, uint64_t now_ns, const char *old_id, const char *address,
                     char *why, size_t why_size) MUST_CHECK;
void proposer_change_info(const struct proposer *p, struct proposer_change_info *out);

/* --- the nodes ------------------------------------------------------------------------------ */

struct proposer_node_info {
    bool used; /* the slot; if not, the rest means nothing */
    bool member;
    enum proposer_node_state state;
    bool acked;        /* `flushed` was acknowledged in this term; else the node's log may differ */
    uint64_t flushed;  /* acknowledged offset */
    uint64_t snapshot; /* offset of its newest that counts; UINT64_MAX: none, or not known */
    uint64_t begin;    /* of its log, as told last */
    struct storage_holes holes; /* what has rotted there, as it told last */
    bool uncertain; /* it may have lost its log's end: it doesn't vouch for it until it has it again
                     */
    char node_id[WIRE_NAME_MAX + 1]; /* "": never greeted */
    char address[CONF_TEXT_MAX + 1];
    struct conf_id conf;                    /* the highest that it has told */
    char refusal[PROPOSER_REFUSAL_MAX + 1]; /* why it is REFUSED; else "" */
};
/* The slots of the members, as bits; of all seeds while there is no configuration. */
uint32_t proposer_members(const struct proposer *p);
/* The same, and who is about to become one. */
uint32_t proposer_fed(const struct proposer *p);
/* Slots; those at and beyond it are unused. */
unsigned proposer_node_count(const struct proposer *p);
void proposer_node(const struct proposer *p, unsigned node, struct proposer_node_info *out);

#endif
