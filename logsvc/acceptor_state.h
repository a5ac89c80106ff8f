/* The acceptor's insides, shared by acceptor.c (terms and appends), acceptor_elected.c (taking up a
 * leader), acceptor_serve.c (reads), acceptor_snaps.c (snapshots), acceptor_watch.c (who watches),
 * acceptor_mend.c (holes), acceptor_trim.c (the begin) and acceptor_conf.c (who counts). Nobody
 * else includes it. */
#ifndef LOGSVC_ACCEPTOR_STATE_H
#define LOGSVC_ACCEPTOR_STATE_H

#include "logsvc/acceptor.h"

/* One request while it is handled. */
struct acceptor_call {
    uint64_t now_ns;
    const struct wire_msg *msg;
    struct acceptor_reply_to to;
};

/* The append that acceptor_flush will acknowledge: the last one covers all earlier ones. */
struct acceptor_pending {
    bool due;
    struct acceptor_reply_to to;
    struct wire_msg reply;
};

/* A snapshot that is being received. */
struct acceptor_snap {
    bool active;
    uint64_t session;
    struct term term;
    uint64_t offset;
    uint64_t next;
    uint32_t crc;
    bool verified;
    bool linked;       /* the connection it last came over is open … */
    uint64_t link;     /* … this one … */
    uint64_t heard_ns; /* … and this was then */
};

/* A verified snapshot that was refused for want of room, last. */
struct acceptor_no_room {
    bool is;
    uint64_t offset;
    uint32_t crc;
};

/* A proxy that watches (WIRE_WATCH), over one link; told again when who leads changes. */
struct acceptor_watcher {
    struct roster_entry entry;
    struct acceptor_reply_to to;
    uint8_t channel;
    uint64_t session, seq; /* of its newest question */
    struct log_term known;
};

struct acceptor {
    struct storage *storage;
    struct acceptor_config config;
    struct acceptor_events events;
    void *ctx;

    struct meta meta; /* as saved */
    int failed;       /* the disk's error; from then on nothing is done */

    uint64_t t_acc_ns;
    bool released; /* the last leader gave its lease back: t_acc counts as "never" */
    uint64_t heard_ns;
    bool heard; /* any leader or candidate since creation; for pre-votes only */
    uint64_t heard_link;

    struct term session_term; /* whose session it is */
    uint64_t session;
    bool elected; /* Elected was accepted in that session */
    char leader[WIRE_NAME_MAX + 1];
    struct term leader_term;      /* whose Elected named it; 0: none in this life */
    char heir[WIRE_NAME_MAX + 1]; /* whom the leader that has released wants to follow it … */
    uint64_t heir_ns;             /* … and when it said so */

    struct acceptor_watcher watchers[ROSTER_ENTRIES_MAX];
    unsigned watcher_count;

    uint64_t commit;
    uint64_t leader_commit; /* may be ahead of what is here */
    struct acceptor_pending pending;
    struct acceptor_snap snap;
    struct acceptor_no_room no_room;

    bool idle_due;
    uint64_t idle_at_ns;
    uint64_t last_wall_ms;
};

void acceptor_answer(struct acceptor *a, const struct acceptor_call *call, struct wire_msg *reply);
void acceptor_refuse(struct acceptor *a, const struct acceptor_call *call, enum wire_refusal code,
                     const char *reason);
void acceptor_fill_node(const struct acceptor *a, uint64_t now_ns, struct wire_hello_reply *out,
                        struct buf *history, struct buf *conf);
struct wire_msg acceptor_reply(const struct acceptor *a, const struct acceptor_call *call,
                               enum wire_type type);

/* Whether the request's term is one that may be promised (TERM_JUMP_MAX); refuses it otherwise. */
bool acceptor_term_believed(struct acceptor *a, const struct acceptor_call *call);

/* Notes that the disk failed, for good, and returns the error. */
int acceptor_fail(struct acceptor *a, int err);
struct storage_state acceptor_storage_state(const struct acceptor *a);
/* Makes every appended record durable. */
int acceptor_sync(struct acceptor *a) MUST_CHECK;
/* A leader or candidate was heard. */
void acceptor_hear(struct acceptor *a, const struct acceptor_call *call);
/* A session begins: the leader of a term speaks on a new link. What it said on older ones has no
 * effect from now on. False: this message itself is of an older one. */
bool acceptor_enter_session(struct acceptor *a, struct term term, uint64_t session);
/* Whether the message comes from the accepted leader of the current term, in its newest session; if
 * not, it was refused. */
bool acceptor_from_leader(struct acceptor *a, const struct acceptor_call *call);
/* Whether a record may stand where it says, by the history. */
bool acceptor_term_fits(const struct acceptor *a, const struct record *r);

/* Makes the meta durable, in both slots, and then ours. */
int acceptor_save(struct acceptor *a, const struct meta *meta) MUST_CHECK;

/* acceptor_conf.c. Each that returns false has refused the message by name. */
/* Whether the sender may bind us with what it goes by. */
bool acceptor_conf_admits(struct acceptor *a, const struct acceptor_call *call);
/* Whether we are asked for our vote as a member, on this disk. */
bool acceptor_conf_vote(struct acceptor *a, const struct acceptor_call *call);
/* Whether Elected is for this disk; *out is the leader's configuration. */
bool acceptor_conf_elected(struct acceptor *a, const struct acceptor_call *call, struct conf *out);
int acceptor_config(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;

/* acceptor_elected.c */
int acceptor_elected(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;

/* acceptor_trim.c */
int acceptor_trim(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
int acceptor_rebase(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;

/* acceptor_mend.c */
int acceptor_mend(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;

/* acceptor_watch.c */
void acceptor_watch(struct acceptor *a, const struct acceptor_call *call);
/* Tells all who watch how things stand now. */
void acceptor_tell_watchers(struct acceptor *a, uint64_t now_ns);
/* The same for those that follow: more is committed. */
void acceptor_tell_followers(struct acceptor *a, uint64_t now_ns);

/* acceptor_serve.c */
int acceptor_read(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;

/* acceptor_snaps.c */
int acceptor_snap_begin(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
int acceptor_snap_write(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
int acceptor_snap_commit(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
void acceptor_snap_link_closed(struct acceptor *a, uint64_t link);
int acceptor_snap_latest(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
int acceptor_snap_read(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
int acceptor_snap_list(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
int acceptor_snap_verified(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
int acceptor_snap_delete(struct acceptor *a, const struct acceptor_call *call) MUST_CHECK;
/* Offset of the newest snapshot up to limit that counts (any: that belongs to this node's history),
 * or WIRE_NO_SNAPSHOT. */
uint64_t acceptor_newest_snapshot(const struct acceptor *a, uint64_t limit, bool any,
                                  struct snapshot_info *info);

#endif
