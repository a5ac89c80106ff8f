/* The proposer's insides, shared by proposer.c (sessions, questions), proposer_answers.c (answers),
 * proposer_vote.c (elections), proposer_feed.c (what each node is sent once we lead, commits,
 * leases), proposer_mend.c (rotten nodes), proposer_trim.c (the log's begin), proposer_conf.c (who
 * counts) and proposer_change.c (replacing a node). Nobody else includes it. */
#ifndef LOGSVC_CLIENT_PROPOSER_STATE_H
#define LOGSVC_CLIENT_PROPOSER_STATE_H

#include "logsvc/client/proposer.h"
#include "logsvc/client/window.h"

/* Appends and heartbeats that were sent and not yet answered, oldest first. */
struct proposer_sent {
    uint64_t seq;
    uint64_t sent_ns;
    bool data;
};
enum { PROPOSER_SENT_MAX = 64 };

/* The question (HELLO, VOTE, ELECTED) that waits for its answer. */
struct proposer_ask {
    bool open;
    enum wire_type type;
    uint64_t seq;
    uint64_t sent_ns;
};

/* Bytes on their way from a node that has them to one that lags behind the window. */
struct proposer_catchup {
    bool reading;
    unsigned source;
    uint64_t seq; /* of the READ, among the source's */
    uint64_t sent_ns;
    struct buf records; /* what was read and not sent yet; begins at sent_off */
    uint64_t end;       /* where those records end */
    unsigned avoid;     /* a bit for each source that failed since the last success */
};

/* What has rotted on a node, and the piece of it that is on its way (proposer_mend.c). */
struct proposer_mend {
    struct storage_holes holes; /* as told last */
    bool reading;               /* a READ is out … */
    unsigned source;            /* … to this node; kept when its records are sent */
    uint64_t seq;               /* … with this number, among the source's */
    bool sent;                  /* a MEND is out, with this number: */
    uint64_t mend_seq;
    uint64_t sent_ns;
    uint64_t next_ns; /* nothing more is done before */
    unsigned avoid;   /* a bit for each source that failed for this hole */
};

struct proposer_node {
    /* The slot. */
    bool used;
    bool seed; /* of the configured addresses: never given up */
    char address[CONF_TEXT_MAX + 1];

    /* The link. A session is one attempt to talk over it; what belongs to an older one is dropped.
     */
    bool up, busy;
    uint64_t session, seq;
    uint64_t retry_at_ns; /* nothing is sent before */
    uint64_t answered_ns; /* when it last answered; alive: within a lease */
    bool alive;
    struct proposer_ask ask;

    /* What it told, in this session (known) or before. */
    char node_id[WIRE_NAME_MAX + 1]; /* "": never greeted */
    struct disk_id disk;
    struct conf_id conf_told; /* the highest that it has, as of the last greeting */
    struct term term_told;
    bool known; /* log and history are of this session */
    struct wire_log log;
    struct history history; /* as far as log.flush_off needs it */
    uint64_t snapshot;
    bool snapshot_told; /* since it has acknowledged Elected */
    uint64_t status_ns; /* when its status was last asked for */
    uint64_t report_ns; /* pre-vote: when it last said … */
    bool report_free;   /* … that it has not heard a leader lately */
    uint32_t refusal;   /* enum wire_refusal; 0: none */
    char refusal_text[PROPOSER_REFUSAL_MAX + 1];

    /* Its vote in the current term. */
    bool vote_asked, vote_granted, vote_denied;
    uint64_t safe_at_ns;

    /* The stream. */
    bool told;                 /* Elected acknowledged in this session */
    bool counted;              /* … in this term: unit_off counts for the commit */
    struct conf_id conf_acked; /* durable there in this term */
    uint64_t sent_off;         /* end of what was sent in this session */
    uint64_t acked_off;        /* durable there, parts of units included */
    uint64_t unit_off;         /* durable there, whole units */
    uint64_t
        lease_sent_ns; /* send time of the newest append it acknowledged in this term; 0: none */
    uint64_t last_append_ns;
    uint64_t commit_told; /* by the last one */
    uint64_t rewind_seq;  /* gaps reported for older appends than this are old news */
    bool trim_told;       /* it has answered the TRIM that p->trim is about */
    struct proposer_sent sent[PROPOSER_SENT_MAX];
    unsigned sent_head, sent_count, data_inflight;
    struct proposer_catchup catchup;
    struct proposer_mend mend;
};

/* The change that was asked for, or found (proposer_change.c). */
struct proposer_change {
    enum proposer_change_state state;
    char old_id[CONF_TEXT_MAX + 1];
    char new_id[CONF_TEXT_MAX + 1];  /* once greeted */
    char address[CONF_TEXT_MAX + 1]; /* of the new one */
    char why[PROPOSER_REFUSAL_MAX + 1];
    unsigned node;              /* GREET, LEARN: its slot */
    uint64_t heard_ns;          /* when it was last there */
    uint64_t mark_off, mark_ns; /* LEARN: what was committed when */
};

/* What the nodes are told of the log's begin (proposer_trim.c). */
struct proposer_trim {
    uint64_t to; /* 0: nothing */
    uint64_t snapshot;
    uint32_t crc;
};

struct proposer {
    struct proposer_config config;
    char name[WIRE_NAME_MAX + 1];
    uint32_t engine; /* of our Redis */
    struct proposer_events events;
    void *ctx;

    enum proposer_state state;
    uint64_t now_ns; /* the latest that we were told */
    uint64_t tick_at_ns;
    struct term term;     /* that we campaign with, won, or lost */
    struct term max_term; /* highest seen anywhere */
    uint64_t session;     /* the last one given out */
    struct proposer_node nodes[PROPOSER_NODES_MAX];
    unsigned node_count; /* slots from there on were never used */

    /* Who counts. */
    struct conf seen; /* the highest that a node has told, or acknowledged: durable somewhere */
    struct conf conf; /* that we go by: seen, or what a candidate or leader has made of it */
    struct buf conf_bytes;
    uint64_t conf_since_ns; /* when it was made, or when we began to lead */
    uint64_t conf_sync_off; /* FOUNDING, JOINT: must be committed by it before it may settle */
    struct proposer_change change;

    /* Campaign. */
    uint64_t vote_not_before_ns; /* back-off … */
    uint64_t patience_ns; /* … and so much longer than a lease nobody may have been heard */
    uint64_t vote_deadline_ns;

    /* Won. */
    struct proposer_donor donor;
    struct history donor_history;
    uint32_t donor_chain;
    bool donor_chain_known;
    uint64_t log_begin; /* where the donor's log began when it voted */
    uint32_t log_begin_chain;
    uint64_t safe_at_ns;

    /* Leading. */
    struct history history;
    struct buf history_bytes;
    uint64_t term_begin;
    uint64_t lead_ns; /* when it began to lead */
    struct window window;
    bool window_open;
    bool append_open; /* bytes were appended since the last proposer_flush */
    uint64_t commit;
    bool commit_known;  /* at or past term_begin, by acknowledgements of this term */
    uint64_t commit_ns; /* when it last moved */
    struct proposer_trim trim;
    struct buf mend_records; /* the piece that is being sent for a hole */
};

/* A message to a node, without its body; takes the next sequence number. */
struct wire_msg proposer_message(struct proposer *p, unsigned node, enum wire_type type,
                                 struct term term);
/* Hands it over; false: the link is busy now. */
bool proposer_send(struct proposer *p, unsigned node, const struct wire_msg *msg);
/* Starts over with a node, not before retry_at_ns. */
void proposer_restart_session(struct proposer *p, unsigned node, uint64_t retry_at_ns);
/* Sends whatever is due to a node now. */
void proposer_drive(struct proposer *p, unsigned node);
void proposer_drive_all(struct proposer *p);
/* Sends a question, remembering when. */
void proposer_ask(struct proposer *p, unsigned node, const struct wire_msg *msg);

void proposer_set_state(struct proposer *p, enum proposer_state next);
void proposer_see_time(struct proposer *p, uint64_t now_ns);
uint64_t proposer_beat_ns(const struct proposer *p);

/* proposer_answers.c */
/* A node that refused, or is of no use for now, is asked again after so long. */
enum { PROPOSER_REFUSED_RETRY_MS = 2000 };
/* Whether a message answers the open question, which closes it. */
bool proposer_answers_ask(struct proposer_node *n, const struct wire_msg *msg, enum wire_type type);
/* Notes why a node is of no use, tells the owner if that is news, and asks again later. */
void proposer_refused_by(struct proposer *p, unsigned node, enum wire_refusal code,
                         const char *reason);
/* Takes a node's picture of its log; false: it makes no sense. */
bool proposer_learn(struct proposer *p, unsigned node, const struct wire_log *log,
                    const struct wire_history *bytes);
/* ELECTED: whether the donor has gone away before our Redis had its tail, has lost its disk, or is
 * no longer sure of what it voted with; or, as nobody had a log, whether one of those that a log
 * would begin with has lost its disk. While we hold the term nobody else could lead; the next
 * election finds out what is left. */
bool proposer_donor_is_away(const struct proposer *p);
/* LEADING: whether the bytes below the term's begin may be lost: the donor went away after it had
 * voted (or after it had accepted us, before anybody else had them), or its disk lost the end of
 * the log, and a majority is here but nobody has those bytes. A leader of that log could never
 * commit; the next election finds out what is left. */
bool proposer_donor_is_gone(const struct proposer *p);

/* proposer_vote.c */
/* Whether a node has lately said whether it hears a leader. */
bool proposer_report_is_fresh(const struct proposer *p, const struct proposer_node *n);
/* Votes no more for a random time. */
void proposer_back_off(struct proposer *p);
void proposer_to_asking(struct proposer *p);
/* ASKING: campaigns once a quorum has said lately that it hears no leader. */
void proposer_check_reports(struct proposer *p);
/* VOTING: whether it still makes sense to wait for more votes: the term is fenced, only certainty
 * lacks, and no member has denied its vote, which it may give in another term. */
bool proposer_lacks_certainty(const struct proposer *p);
void proposer_on_vote_reply(struct proposer *p, unsigned node, const struct wire_msg *msg);

/* proposer_conf.c */
/* What a quorum of the configuration stands behind (conf_quorum_value); of is asked for the slot of
 * each member, or for an empty one if nobody has greeted it. */
uint64_t proposer_quorum_value(const struct proposer *p,
                               uint64_t (*of)(const struct proposer *p,
                                              const struct proposer_node *n));
/* Whether one of those that of says 1 of must hold whatever a quorum has: a quorum of them; where
 * all are needed for a quorum, half of them need not be sure. */
bool proposer_has_all(const struct proposer *p,
                      uint64_t (*of)(const struct proposer *p, const struct proposer_node *n));
bool proposer_is_member(const struct proposer *p, const struct proposer_node *n);
/* Whether a leader sends it the log: members of both sets, and who is to become one. */
bool proposer_feeds(const struct proposer *p, const struct proposer_node *n);
/* A free slot, linked to that address; PROPOSER_NODES_MAX: there is none. */
unsigned proposer_slot_add(struct proposer *p, const char *address, bool seed);
void proposer_slot_remove(struct proposer *p, unsigned node);
/* Makes the slots those of the seeds and of the configuration. */
void proposer_slots_follow(struct proposer *p);
/* Goes by that configuration from now on. */
void proposer_conf_set(struct proposer *p, const struct conf *c);
/* A node has told it; true: it is higher than any before (p->seen). */
bool proposer_conf_see(struct proposer *p, const struct wire_conf *bytes);
/* Nobody has a configuration: makes the first, if every seed is there and empty. */
void proposer_conf_found(struct proposer *p);
/* Whether who a node says it is can be; if not it was refused by name. */
bool proposer_conf_judge(struct proposer *p, unsigned node, const struct wire_hello_reply *m);
bool proposer_conf_is_acked(const struct proposer *p);
/* Whether it is to be asked whether it has a snapshot: a log that has one is founded when all do.
 */
bool proposer_conf_wants_status(const struct proposer *p, const struct proposer_node *n);
/* Has begun to lead. */
void proposer_conf_lead(struct proposer *p);
/* Takes the next step, if it is time for one. */
void proposer_conf_step(struct proposer *p);
struct wire_conf proposer_wire_conf(const struct proposer *p);
/* An answer of this term tells what is durable there. */
void proposer_conf_acked(struct proposer *p, unsigned node, const struct wire_msg *msg);
void proposer_ask_config(struct proposer *p, unsigned node);
void proposer_on_config_reply(struct proposer *p, unsigned node, const struct wire_msg *msg);

/* proposer_change.c */
/* Whether this is the slot of the node that is to become a member. */
bool proposer_change_learns(const struct proposer *p, const struct proposer_node *n);
bool proposer_change_judge(struct proposer *p, unsigned node, const struct wire_hello_reply *m);
void proposer_change_step(struct proposer *p);
void proposer_change_resume(struct proposer *p);
/* Whether it is to be asked again whether it has a snapshot by now. */
bool proposer_change_wants_status(const struct proposer *p, const struct proposer_node *n);

/* proposer_feed.c */
/* Whether a log that ends at offset can be continued by ours: at a record's boundary. */
bool proposer_feed_is_possible(const struct proposer *p, uint64_t offset);
void proposer_feed_start(struct proposer *p, unsigned node);
void proposer_feed(struct proposer *p, unsigned node);
void proposer_feed_all(struct proposer *p);
void proposer_feed_timeouts(struct proposer *p, unsigned node);
/* When a node is to be told of the commit by itself; UINT64_MAX: none is. */
uint64_t proposer_feed_next_ns(const struct proposer *p);
void proposer_on_append_reply(struct proposer *p, unsigned node, const struct wire_msg *msg);
void proposer_on_read_reply(struct proposer *p, unsigned source, const struct wire_msg *msg);
void proposer_on_read_refused(struct proposer *p, unsigned source, const struct wire_msg *msg);
void proposer_update_commit(struct proposer *p);
/* What is committed by the present configuration and this term's acknowledgements alone, plus one;
 * 0: nothing. */
uint64_t proposer_commit_counted(const struct proposer *p);
/* When the newest append was sent of which, or of a later one, a quorum has told; 0: none. */
uint64_t proposer_lease_sent_ns(const struct proposer *p);

/* proposer_trim.c */
/* Where a node without a log is to begin: where most is left to feed it from there on. */
void proposer_begin(const struct proposer *p, uint64_t *begin, uint32_t *chain_crc);
/* Asks a node that is behind all that the others still have to begin anew where they begin; or to
 * forget what it may. False: there is nothing to ask. */
bool proposer_ask_rebase(struct proposer *p, unsigned node);
bool proposer_ask_trim(struct proposer *p, unsigned node);
void proposer_on_log_reply(struct proposer *p, unsigned node, const struct wire_msg *msg);

/* proposer_mend.c */
/* A node told what is damaged there. */
void proposer_mend_told(struct proposer *p, unsigned node, const struct storage_holes *holes);
/* What is under way counts for nothing any more. */
void proposer_mend_forget(struct proposer_node *n);
/* Asks for the next piece of a node's hole, if it is time. */
void proposer_mend(struct proposer *p, unsigned node);
void proposer_mend_timeouts(struct proposer *p, unsigned node);
/* Whether this answered a READ for a hole. */
bool proposer_mend_on_read_reply(struct proposer *p, unsigned source, const struct wire_msg *msg);
bool proposer_mend_on_read_refused(struct proposer *p, unsigned source, const struct wire_msg *msg);
void proposer_mend_on_reply(struct proposer *p, unsigned node, const struct wire_msg *msg);
/* A MEND was refused. Whether that is all: else it says something about term or session. */
bool proposer_mend_on_refused(struct proposer *p, unsigned node, const struct wire_msg *msg);

#endif
