/* The proxy's parts and how they hang together. Callbacks parse and enqueue; decisions are made in
 * proxy_turn, once per turn of the event loop:
 *
 *   Redis' stream ─▶ effects ─▶ tracker (dirty), proposer (append) ─▶ log nodes
 *   clients ─▶ router ─▶ engine (batch + fence) ─▶ Redis ─▶ tracker ─▶ commit, lease ─▶ clients */
#ifndef PROXY_NODE_PROXY_H
#define PROXY_NODE_PROXY_H

#include "common/histogram.h"
#include "common/random.h"
#include "logsvc/client/catalogue.h"
#include "logsvc/client/proposer.h"
#include "logsvc/client/reader.h"
#include "logsvc/client/retention.h"
#include "logsvc/client/snapship.h"
#include "logsvc/client/transport.h"
#include "proxy/clients/client.h"
#include "proxy/clients/credentials.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/router.h"
#include "proxy/engine/adopt.h"
#include "proxy/engine/capture.h"
#include "proxy/engine/control.h"
#include "proxy/engine/effects.h"
#include "proxy/engine/engine.h"
#include "proxy/engine/pace.h"
#include "proxy/engine/private.h"
#include "proxy/follow/feed.h"
#include "proxy/follow/follow.h"
#include "proxy/forward/leader.h"
#include "proxy/forward/replinfo.h"
#include "proxy/node/marks.h"
#include "proxy/node/outlook.h"
#include "proxy/node/role.h"
#include "proxy/node/settings.h"
#include "proxy/node/watchdog.h"
#include "proxy/sentinel/sentinel_port.h"
#include "proxy/snapshot/freshness.h"
#include "proxy/snapshot/snapper.h"

enum { PROXY_REDIS_SETTINGS = 6, PROXY_REDIS_SETTING_BYTES = 512 };
enum { PROXY_SENTINEL_OUT_MAX_BYTES = 1 << 20 };

/* A setting of our Redis that we change while we are attached. */
struct proxy_redis_setting {
    struct proxy *proxy;
    bool known;
    char found[PROXY_REDIS_SETTING_BYTES]; /* to be put back */
};

/* A hand-over that our Sentinel port was asked for while another proxy leads. */
struct proxy_hand_over {
    struct control *link; /* to that one; NULL: nothing is under way */
    struct leader_address leader;
    uint64_t until_ns;
    bool over;
};

/* A question to the proxy that leads; proxy_borrow.c. */
struct proxy_borrow {
    struct control *link; /* NULL: none is under way */
    struct leader_address host;
    struct command_table *table; /* what it has said; NULL: nothing, or ours is known */
    uint64_t until_ns, again_ns;
    bool over;
};

/* What is known of the snapshots at the log nodes; proxy_snapshot.c. */
struct proxy_snapshots {
    uint64_t list_ns; /* when they are listed next */
    bool listed;      /* the catalogue tells how it is */
    uint64_t lists;
    uint64_t deleting; /* offset; WIRE_NO_SNAPSHOT: none is */
    char delete_error[WIRE_REASON_MAX + 1];
    uint64_t due_ns;    /* since when another one is due (0: none is) … */
    uint64_t due_after; /* … behind the one at that offset */
};

/* What is kept of snapshots and log; proxy_retain.c. */
struct proxy_retain {
    struct catalogue *catalogue; /* its own: a round is not to be given up for anybody's question */
    uint64_t round_ns;           /* when the last round began */
    struct retention_plan plan;  /* of the last round … */
    unsigned deleted;            /* … and how many of its deletions were begun, … */
    bool deleting;               /* … if any; else what is under way is a mark */
    uint64_t trimmed_to;         /* as told last */
    uint64_t begin;              /* least begin of a node's log; UINT64_MAX: not known */
    uint64_t lacking_offset;     /* of the newest proven snapshot that a node lacks … */
    unsigned lacking_rounds;     /* … since so many rounds */
    bool no_room;                /* … because its disk is full */
};

struct proxy {
    const struct settings *settings;
    struct watchdog *watchdog; /* NULL: none */
    struct event_base *base;
    struct random random;
    bool stopping;

    int listen_fd;
    struct event *accept_event;
    struct event *tick_event;
    struct event *transport_event;
    struct event *signal_events[2];
    uint64_t tick_due_ns;  /* when tick_event is set to fire */
    uint64_t slow_tick_ns; /* when the slow work was last done */
    uint64_t repair_ns;    /* when snapshots were last looked at */
    uint64_t
        accept_rests_ns; /* since when nobody is accepted (no descriptors left); 0: accepting */

    struct transport *transport;
    uint32_t links_gone; /* slots whose links were given up, and not everybody knows */
    uint32_t links_up;   /* slots of log nodes that are connected, whether they answer or not */
    struct proposer *proposer;
    struct reader *reader;
    struct lookout *lookout;
    struct snapship *snapship;
    struct catalogue *catalogue;
    struct proxy_snapshots snapshots;
    struct snapper *snapper;
    struct proxy_retain retain;
    struct buf wire; /* scratch for encoding */

    struct control *control;
    struct capture *capture;
    struct feed *feed;
    struct engine *engine;
    uint64_t engine_retry_ns;
    uint32_t engine_number; /* the version of our Redis, as WIRE_ENGINE */
    char control_name[128]; /* of our control connection, at Redis */
    bool intruder;          /* another proxy is there as well … */
    bool intruder_told;
    uint64_t prepare_ns;         /* … when we looked last */
    bool outdated;               /* it is older than one that has written the log */
    bool prepared;               /* Redis was asked for COMMAND and told our settings */
    bool streaming;              /* the capture is attached and its bytes count */
    bool attach_failed;          /* the capture could not even begin */
    bool attaching;              /* Redis is asked whether it can go on … */
    struct replid attach_replid; /* … in this history … */
    uint64_t attach_offset;      /* … at this place */
    unsigned attach_asked;       /* questions without an answer; only the last one's counts */
    char *feed_secret;
    char redis_run_id[41];
    struct proxy_redis_setting redis_settings[PROXY_REDIS_SETTINGS];

    struct engine *monitor; /* a link that monitors; proxy_monitor.c */

    struct forward *forward; /* clients' requests on their way to another proxy that leads */
    struct forward *replica; /* reads on their way to our Redis while it is a replica */
    struct private_pool *forward_privates; /* links that a client has for itself, to that proxy */
    unsigned ways;                         /* what could be asked in the last turn; bits */
    uint64_t served_offset;                /* what was committed when we last served */
    char cluster_hex[33];
    int replica_fd; /* the port for reads; -1: none */
    struct event *replica_event;

    struct command_table *table;
    struct effects *effects;
    struct tracker *tracker;
    struct request_pool pool;
    struct clients clients;
    struct private_pool *privates;
    struct pubsub *pubsub;
    bool busy_asked;           /* whether it is busy; the answer is to come */
    bool nudged;               /* something was put into the stream, since it was silent for long */
    bool memory_asked;         /* how much memory is left; likewise */
    uint64_t memory_ns;        /* when that was done last */
    uint64_t memory_lacked_ns; /* when the leader last refused what needs some */
    bool slowlog_asked;        /* for a look at the slow log; likewise … */
    uint64_t slowlog_mark;     /* … when so much was noted */
    uint64_t slowlog_ns;       /* when that was thought of last */
    uint64_t timeout_asked_ns; /* when Redis was asked for its `timeout` */
    struct request *unbounded_first, *unbounded_last; /* pushes; see proxy_private.c */
    struct credentials credentials;
    struct router router;
    struct role role;
    struct leader *leader; /* who leads; brought up to date once a turn */
    struct proxy_hand_over hand_over;
    struct proxy_borrow borrow;
    struct sentinel_port *sentinel; /* NULL: sentinel.port is 0 */
    struct adopt *adopt;
    struct follow *follow;
    char address[LEADER_TEXT_MAX + 1];   /* of our clients, as others are told it */
    struct outlook outlook;              /* what this turn knows of the others */
    uint64_t turn_random;                /* drawn anew each turn */
    char refusal[OUTLOOK_REFUSAL_BYTES]; /* scratch: of a hand-over */
    char heir[LEADER_TEXT_MAX + 1];      /* address of whom a hand-over was asked for; "": nobody */

    struct pace pace;
    uint64_t acked, acked_ns; /* what Redis was told to be committed, and when */
    struct histogram_window commit_us;
    struct marks marks;
    uint64_t commits;
    uint64_t commit_seen;
    uint64_t async_replies; /* that waited for no commit */
};

/* ---- proxy.c ---- */

/* Sets everything up; ERR_OK, or an error that has been logged. proxy_close frees in any case. */
int proxy_open(struct proxy *p, const struct settings *settings) MUST_CHECK;
/* Runs until proxy_stop or a signal. */
void proxy_run(struct proxy *p);
void proxy_stop(struct proxy *p);
void proxy_close(struct proxy *p);

/* What the role looks at. */
void proxy_view(const struct proxy *p, struct role_view *view);
/* For how long what was written longest ago has waited for its commit. */
uint64_t proxy_log_age_ns(const struct proxy *p, uint64_t now_ns);
/* Everybody whose reply can't be known any more is closed; the tracker is empty then. */
void proxy_drop_withheld(struct proxy *p, const char *why);

/* ---- proxy_log.c: the side towards the log nodes ---- */

int proxy_open_log(struct proxy *p, const struct settings *s) MUST_CHECK;
/* Tells everybody who uses the log nodes which of them count now. */
void proxy_follow_members(struct proxy *p);
/* Sends a message to a log node; false: its link is busy or down (for the machines of the log). */
bool proxy_send(void *ctx, unsigned node, const struct wire_msg *msg);
/* A log node refuses us for good; for the machines of the log. */
void proxy_node_refused(void *ctx, unsigned node, enum wire_refusal code, const char *reason);
/* How many log nodes answer. */
unsigned proxy_nodes_answering(const struct proxy *p);
/* How many there are, of which more than half must. */
unsigned proxy_nodes_counting(const struct proxy *p);
/* Whether enough of them answer for an election. */
bool proxy_quorum_answers(const struct proxy *p);
/* Connected to enough log nodes, of which too few answer: they may hear us all the same. */
bool proxy_is_deaf(const struct proxy *p);

/* ---- proxy_clients.c: clients and the engine ---- */

/* The engine comes first: the router needs it. */
void proxy_open_engine(struct proxy *p, const struct settings *s);
void proxy_open_clients(struct proxy *p, const struct settings *s);
/* How many private links there may be at most, by the configuration and by the files that may be
 * open. */
size_t proxy_private_room(const struct settings *s);
/* Of a listening socket, with the proxy. */
void proxy_accept_cb(int fd, short what, void *arg);
/* The requests of a batch are answered, and bounded by this offset. */
void proxy_fenced(struct proxy *p, struct request *first, uint64_t bound);
/* The request of a client that is there is answered, and bounded by this offset (0: not yet). */
void proxy_note_bound(struct proxy *p, struct request *r, uint64_t bound);
/* Requests that never reached Redis: an error (a whole reply) is the truth. */
void proxy_answer_unsent(struct proxy *p, struct request *unsent, const char *error);
/* That Redis is not the one whose stream we read, or no master any more. */
void proxy_redis_is_strange(struct proxy *p, const char *reason);

/* ---- proxy_private.c: links that one client has for itself ---- */

void proxy_open_privates(struct proxy *p, const struct settings *s);
/* All clients have gone. */
void proxy_close_privates(struct proxy *p);
/* A push or a reply that no fence of its own link bounds: the next one of the shared link does. */
void proxy_unbound(struct proxy *p, struct request *r);
/* A fence of the shared link is back: it bounds pushes of private links that came before it. */
void proxy_bound_pushes(struct proxy *p, uint64_t bound);
/* Once per turn: asks for such a fence if there is need. */
void proxy_fence_pushes(struct proxy *p, uint64_t now_ns);
/* A push on a client's own link, for the client: its numbers in it are ours. Appended. */
void proxy_put_push(const struct client *c, const uint8_t *bytes, size_t size, struct buf *out);
/* What comes on c->redirect becomes a push or message among the client's replies; NULL: it gets
 * none. The caller releases it when it may leave. */
struct request *proxy_insert_redirected(struct client *c, const uint8_t *bytes, size_t size);
/* private_events.redirect_settled, of both pools. */
void proxy_redirect_settled(void *ctx);

/* ---- proxy_forward.c: requests that another server answers ---- */

/* Behind the clients. */
void proxy_open_forward(struct proxy *p, const struct settings *s);
void proxy_close_forward(struct proxy *p);
/* Once per turn: aims the links where they are to go; at its end: sends. */
void proxy_turn_forward(struct proxy *p, uint64_t now_ns);
void proxy_flush_forward(struct proxy *p, uint64_t now_ns);
/* A few times a second: time-outs; how many replicas there are, for min-replicas-to-write. */
void proxy_tick_forward(struct proxy *p, uint64_t now_ns);
void proxy_tick_replicas(struct proxy *p);
/* When it is to be looked at next. */
uint64_t proxy_next_forward_ns(const struct proxy *p);
/* A request of a client that is there, gathered by the engine and not sent when its link ended:
 * true if another proxy can have it, or was told that it may. */
bool proxy_forward_unsent(struct proxy *p, struct request *r);
/* Answers with the reply that the request has, without withholding. */
void proxy_reply(struct proxy *p, struct request *r);
/* Answers a request that was never executed with this error; or with the one for that. */
void proxy_refuse(struct proxy *p, struct request *r, const char *error);
void proxy_refuse_unsent(struct proxy *p, struct request *r, bool replica);
/* Puts right what Redis says in INFO; here: our own, not the leader's. */
void proxy_correct_info(struct proxy *p, struct request *r, bool here);
/* router.correct_info */
void proxy_correct_info_reply(void *ctx, const struct resp_arg *argv, size_t argc, bool here,
                              struct buf *reply);

/* ---- what Redis is asked on the side ---- */

/* proxy_busy.c: a script may keep Redis from answering: finds out, a few times a second. */
void proxy_busy_tick(struct proxy *p, uint64_t now_ns);
/* router.kill */
void proxy_kill_script(void *ctx, struct request *r, const char *name);
/* proxy_memory.c: how much memory Redis may still take: asks now and then. */
void proxy_tick_memory(struct proxy *p, uint64_t now_ns);
/* Looks whether the leader has answered r so since its Redis has none left. */
void proxy_note_memory(struct proxy *p, const struct request *r);
/* proxy_monitor.c: monitors Redis while clients monitor, for what scripts do. Once per turn. */
void proxy_open_monitor(struct proxy *p, const struct settings *s);
void proxy_turn_monitor(struct proxy *p, uint64_t now_ns);
/* proxy_readers.c: whom CLIENT PAUSE … WRITE does not hold back, asked when it begins. */
void proxy_tick_readers(struct proxy *p);
/* proxy_slowlog.c: whose requests Redis may call slow. As engine_events.slow; now and then; and
 * when the control connection is up. */
void proxy_slow(void *ctx, const struct request *r, const char *address, const uint8_t *bytes,
                size_t size, uint64_t took_ns);
void proxy_tick_slowlog(struct proxy *p, uint64_t now_ns);
void proxy_slowlog_control_up(struct proxy *p);

/* ---- proxy_redis.c: our Redis, its control connection and its settings ---- */

/* Control, capture, feed, adoption, follower and role. */
int proxy_open_redis(struct proxy *p, const struct settings *s) MUST_CHECK;
void proxy_close_redis(struct proxy *p);
/* A few times a second. */
void proxy_tick_redis(struct proxy *p, uint64_t now_ns);
/* The name of redis_settings[index]. */
const char *proxy_redis_setting_name(int index);
/* The table of a reply to COMMAND; false: it is none. The caller owns *table. */
bool proxy_parse_commands(const struct redisReply *reply, struct command_table **table);
/* The reply to CONFIG GET databases; for control_send, with the proxy. */
void proxy_take_databases(void *ctx, const struct redisReply *reply);

/* proxy_redis_settings.c: what Redis was set to before us, over the end of this process. */
void proxy_redis_settings_load(struct proxy *p);
void proxy_redis_settings_save(const struct proxy *p);
/* It was put back: what is found next time counts. */
void proxy_redis_settings_forget(const struct proxy *p);

/* proxy_borrow.c: what is asked of the leader while nothing could be asked of our Redis. */
void proxy_tick_borrow(struct proxy *p, uint64_t now_ns);
/* Our own Redis has said it: the router has another table by now. */
void proxy_end_borrow(struct proxy *p);
void proxy_close_borrow(struct proxy *p);

/* ---- proxy_role.c: what the role's decisions do ---- */

void proxy_start_role(struct proxy *p, const struct settings *s);
extern const struct capture_events proxy_capture_events;
extern const struct feed_events proxy_feed_events;
/* Who has had Redis' cron paused is the leader's client; a replica needs it to find its master.
 * When it stops to lead, and, until Redis has heard it, when Redis is there again. */
void proxy_let_cron_run(struct proxy *p);
/* Leads no more, and says who is to be next. */
void proxy_release(struct proxy *p);
/* Says what is to be told to the log nodes if we die. */
void proxy_tell_watchdog(struct proxy *p);

/* ---- proxy_peers.c: who leads and who else is there, and planned hand-overs ---- */

void proxy_open_lookout(struct proxy *p, const struct proposer_config *log);
/* Once a turn, before and behind the role's step. */
void proxy_look_out(struct proxy *p, uint64_t now_ns);
void proxy_tell_leader(struct proxy *p, const struct role_view *view);
/* Hands over to the proxy of that name or address ("": the best one). NULL: it has begun; else an
 * error text for the client, valid until the next call. */
const char *proxy_hand_over(struct proxy *p, const char *name);

/* ---- proxy_ship.c: the reader and the snapshot ship, and what they fetch ---- */

void proxy_open_shipping(struct proxy *p, const struct proposer_config *log);
void proxy_close_shipping(struct proxy *p);
/* Leading: gives the newest snapshot to a node that lacks it. A few times a second. */
void proxy_repair_snapshots(struct proxy *p, uint64_t now_ns);

/* ---- proxy_snapshot.c: snapshots are listed, scheduled, and seen to by hand ---- */

void proxy_open_snapshots(struct proxy *p, const struct proposer_config *log);
void proxy_close_snapshots(struct proxy *p);
/* A few times a second. */
void proxy_tick_snapshots(struct proxy *p, uint64_t now_ns);
/* HOLDFAST SNAPSHOT …, and what INFO holdfast says of them. */
void proxy_answer_snapshot(struct proxy *p, const struct resp_arg *argv, size_t argc,
                           struct buf *out);
void proxy_info_snapshots(const struct proxy *p, uint64_t now_ns, struct buf *out);

/* ---- proxy_retain.c: leading, trims the log and deletes snapshots, as retention has it ---- */

void proxy_open_retain(struct proxy *p, const struct proposer_config *log);
void proxy_close_retain(struct proxy *p);
/* A few times a second. */
void proxy_tick_retain(struct proxy *p, uint64_t now_ns);

/* ---- proxy_sentinel.c: the Sentinel port ---- */

int proxy_open_sentinel(struct proxy *p, const struct settings *s) MUST_CHECK;
/* It looks at the world: a few times a second, and when the leader has changed. */
void proxy_observe_sentinel(struct proxy *p);
void proxy_close_sentinel(struct proxy *p);

/* ---- info.c, admin.c ---- */

/* The text of INFO holdfast. */
void info_text(void *ctx, struct buf *out);
/* The rows of the log nodes in it, and in HOLDFAST LOG STATUS ("node1:…" with `long_form`). */
void info_nodes(const struct proxy *p, bool long_form, struct buf *out);
/* HOLDFAST LOG …: router.admin. */
bool admin_answer(void *ctx, const struct resp_arg *argv, size_t argc, struct buf *out);

#endif
