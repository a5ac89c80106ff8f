/* A client's session: bytes in → requests → replies out, in order. It owns the socket, what is
 * buffered in both directions, the queue of its requests and the state that Redis keeps for a
 * connection (database, protocol, name, transaction).
 *
 * Reading pauses while too much is pending or unsent for this client, while a barrier request is
 * out (later requests depend on its reply), or while the whole proxy is over a memory bound. */
#ifndef PROXY_CLIENTS_CLIENT_H
#define PROXY_CLIENTS_CLIENT_H

#include "proxy/clients/bigs.h"
#include "proxy/clients/client_buffers.h"
#include "proxy/clients/client_config.h"
#include "proxy/clients/readers.h"
#include "proxy/clients/request.h"
#include "proxy/clients/slowlog.h"
#include "proxy/clients/tally.h"
#include "proxy/protocol/resp.h"

#include <stdbool.h>

struct event;
struct event_base;
struct client;
struct clients;
struct monitor_held;
struct transaction;
struct private_link;
struct subscriber;
struct wait;

/* Where a client's unanswered requests are. Those for another place wait until they are answered,
 * so that Redis runs all of them in the client's order. */
enum client_lane { CLIENT_LANE_SHARED, CLIENT_LANE_PRIVATE, CLIENT_LANE_PUBSUB, CLIENT_LANE_WAIT };

/* What Redis said of the request that is presented next; acl.h. */
enum client_gate {
    CLIENT_GATE_NONE,
    CLIENT_GATE_GRANTED,
    CLIENT_GATE_ROOM,    /* and there is memory, if it needs any */
    CLIENT_GATE_REFUSED, /* Redis is still to say so itself */
    CLIENT_GATE_DENIED,  /* it has had its answer */
};

enum client_reply_mode {
    CLIENT_REPLY_ON,
    CLIENT_REPLY_OFF,
    CLIENT_REPLY_SKIP, /* of the next request only */
};

/* What CLIENT CACHING has said of what comes next. */
enum client_caching { CLIENT_CACHING_UNSAID, CLIENT_CACHING_YES, CLIENT_CACHING_NO };

struct client {
    struct clients *all;
    struct client *prev, *next;   /* list of all clients */
    struct client *next_to_flush; /* list of those with something to do this turn */
    struct client *next_of_id;    /* client_ids.c */
    bool in_flush_list : 1;
    bool closing : 1;         /* freed at the end of the turn */
    bool close_when_sent : 1; /* what is queued goes out first, nothing more is read */
    bool reading : 1;
    bool barrier : 1;   /* a REQUEST_BARRIER is out */
    bool postponed : 1; /* the next request waits, unread, until nothing is unanswered */
    bool held : 1;      /* it does until CLIENT PAUSE is over, or the log takes writes again */
    bool blocks : 1;    /* the last unanswered request may block, and shares no fence */
    enum client_lane lane : 8; /* where the unanswered requests are */
    bool hung_up; /* it says nothing more: closed when all that it said is answered … */
    bool ended;   /* … and all of it has been read */
    int fd;
    struct event *readable, *writable;
    struct event *hangup; /* while postponed: nobody reads, yet who ends must be noticed */

    struct buf in;                /* the unfinished request */
    size_t wanted_bytes;          /* of in, as far as known; 0: not known */
    struct resp_framer *framer;   /* NULL while nothing is unfinished */
    size_t query_bytes;           /* that in, framer and what was taken out hold */
    size_t taken_bytes;           /* client_holds: of the request that is on its way */
    size_t unsent_counted;        /* of out, in all->unsent_bytes */
    struct chain out;             /* released replies that the socket has not taken */
    struct request *first, *last; /* requests in order, by next_of_client */
    uint32_t pending_count;       /* of them */
    uint32_t unanswered;          /* of them, those that wait for the engine */
    struct wait *wait;            /* the last of them is a WAIT that waits (waits.h); NULL: none */
    uint32_t forwarded;           /* of them, those that are in a forward's links */
    uint32_t acks;                /* REQUEST_ACK in the queue that are released */
    size_t withheld_bytes;        /* of their replies */
    size_t reply_mean_bytes;      /* of its recent replies: what each pending one may bring */
    uint64_t oldest_ns;           /* when the first of them was taken in */

    uint64_t id;
    unsigned db;
    unsigned resp;           /* 2 or 3 */
    uint64_t waits_since_ns; /* postponed since then, until somebody leads; 0: it isn't */
    uint64_t written;        /* offset that covers all that it has written, as far as answered */
    bool authenticated : 1;
    bool readonly : 1;     /* READONLY: reads may come from our own Redis while it is a replica */
    bool replica_port : 1; /* it came in there: reads only */
    bool may_link : 1;     /* it has said what the configuration has, which other proxies know */
    bool async : 1;        /* HOLDFAST SYNC OFF: its replies wait for no commit */
    bool moved : 1;        /* of a link: it was told so; nothing more of it is executed */
    bool logs_in : 1;      /* one of all->logins is its */
    bool waits_to_log_in : 1; /* in all->logins_first, by next_login */
    bool waits_for_link : 1;  /* for that of another client to come up */
    bool waits_for_ships : 1; /* transaction_ship_all */
    enum client_caching caching : 2;
    bool tracks_bcast : 1; /* CLIENT TRACKING … BCAST */
    bool no_evict : 1;     /* CLIENT NO-EVICT, for CLIENT LIST */
    bool tracking : 1;     /* CLIENT TRACKING: on the private link */
    bool monitors : 1;     /* MONITOR */
    bool watches : 1;      /* WATCH: on the private link */
    bool watches_many : 1; /* more keys than are remembered */
    char nonce[17];        /* of a link from another proxy (HOLDFAST LINK); "": it is none */
    enum client_reply_mode reply_mode : 8;
    enum client_gate gate : 8;
    uint8_t forward_link; /* in which those are that are forwarded (forward.c) */
    uint32_t over_soft_s; /* over the soft client-output-buffer-limit since then; 0: it is not */
    struct client_buffers buffers;   /* for CLIENT LIST */
    char *name;                      /* CLIENT SETNAME; NULL: none */
    struct slowlog_who *who;         /* client_who, when that was asked last; or NULL */
    struct transaction *transaction; /* between MULTI and EXEC; NULL: none */
    struct private_link *link;       /* private.h; NULL: none */
    struct private_link *trial;      /* on which it logs in; NULL: none */
    struct private_link *redirect;   /* on which others' invalidations come for it; NULL: none */
    uint64_t redirects_to;           /* CLIENT TRACKING … REDIRECT: the client's id; 0: nobody */
    struct client *next_login, *prev_login;
    char *user;                    /* ACL user; NULL: the link's own */
    struct subscriber *subscriber; /* topics.h; NULL: never subscribed to anything */
    uint64_t publishes_after;      /* pubsub_holds; 0: it waits for none */
    struct client *next_monitor;
    struct buf *early;  /* what it is to see of others before its MONITOR is answered; or NULL */
    struct buf watched; /* hashes of the keys that are watched */
    uint64_t created_ns, used_ns;
    const char *last_command; /* for CLIENT LIST; of the command table, or a constant */
};

struct client_limits {
    size_t clients_max;
    size_t pending_max;        /* requests of one client on their way */
    size_t withheld_max_bytes; /* replies of one client, withheld or unsent, before reading stops */
    unsigned logins_max;       /* of other ACL users, at a time; the others wait */
    size_t query_max_bytes;    /* one client's unfinished request */
    size_t query_total_max_bytes; /* all clients' */
    size_t withheld_total_max_bytes;
    struct resp_limits resp;
};

struct client_events {
    /* A framed request. The owner queues exactly one answer for it with client_answer or
     * client_queue (or closes the client), or postpones it. argv is valid during the call. */
    void (*request)(void *ctx, struct client *c, const struct resp_arg *argv, size_t argc);
    /* A request is dropped since its client has gone; the owner takes it out of where it is. */
    void (*abandoned)(void *ctx, struct request *r);
    /* The client is closed: what the owner hung on it (its transaction) goes. */
    void (*closed)(void *ctx, struct client *c);
    /* The reply to a WAIT is to be made now, into r. */
    void (*wait_reply)(void *ctx, struct request *r);
};

/* All clients and what they share. */
struct clients {
    struct event_base *base;
    struct client_limits limits;
    const struct client_events *events;
    void *ctx;
    struct request_pool *pool;
    struct bigs bigs;
    /* Of the request that is handed over now: its bytes, if it begins its client's input; whether
     * that was taken. */
    size_t whole_bytes;
    const struct resp_arg *whole_argv; /* its words, as they came */
    bool taken;
    struct client *list;
    struct client *to_flush;
    struct client *to_free;     /* closed in this turn, by next */
    struct resp_framer *framer; /* for requests that arrive in one piece */
    uint8_t *scratch;
    size_t count;
    size_t ended_count; /* of them, those that say nothing more and are still to be answered */
    uint64_t next_id;
    struct client **ids;   /* by id, ids_size of them; client_ids.c */
    size_t ids_size;       /* a power of two, or 0 */
    size_t query_bytes;    /* unfinished requests and transactions of all clients */
    size_t withheld_bytes; /* by all clients */
    size_t unsent_bytes;   /* released, and not taken by the sockets of all clients */
    bool paused;           /* nobody is read: a bound of the whole proxy is reached */
    bool auth_required;
    bool async_default;                          /* what HOLDFAST SYNC says of a new client */
    struct client *monitors;                     /* by next_monitor; NULL: none */
    struct monitor_held *held_first, *held_last; /* what those are to see later (monitor.h) */
    struct monitor_held *held_seen; /* of them, the script that Redis shows now; NULL: none */
    size_t held_bytes;
    struct buf *capture; /* where answers go that are part of capture_for's reply; or NULL */
    struct request *capture_for;               /* an EXEC */
    int capture_length;                        /* commands of it */
    bool monitor_wanted;                       /* somebody waits for a link that monitors */
    size_t taking_bytes;                       /* of the request that is being taken in */
    unsigned logins;                           /* under way, each on a private link (acl.h) */
    struct client *logins_first, *logins_last; /* who wait to begin one */
    uint64_t pause_until_ns;                   /* CLIENT PAUSE; 0: not paused */
    bool pause_writes_only;
    uint64_t now_ns; /* of this turn */
    uint64_t accepted, rejected, evicted;
    struct readers readers;
    struct tally tally;     /* of what is answered without Redis */
    struct slowlog slowlog; /* whose requests took long */
    struct client_buffers_rules buffers;
    uint64_t timeout_s;          /* Redis' own; what config says comes first */
    struct client_config config; /* what CONFIG SET said of clients */
};

void clients_init(struct clients *all, struct event_base *base, const struct client_limits *limits,
                  const struct client_events *events, void *ctx, struct request_pool *pool);
void clients_fini(struct clients *all);

/* Takes over an accepted socket. Over clients_max one that has ended makes room; if none has, it is
 * refused as Redis does, and NULL returned. */
struct client *clients_accept(struct clients *all, int fd);

/* NULL: nobody has that id (any more). client_ids.c, which is told of those in the list: of a new
 * one before it stands there. */
struct client *clients_find(const struct clients *all, uint64_t id);
void clients_add_id(struct clients *all, struct client *c);
void clients_remove_id(const struct clients *all, const struct client *c);

/* Once per turn, after replies were released: sends what may leave, resumes who may be read, frees
 * who has gone. */
void clients_flush(struct clients *all);

/* While more is unsent than withheld_total_max_bytes, closes the client that takes up most of it: a
 * few that do not read must neither fill the memory nor hold up the others. Now and then. */
void clients_evict_unsent(struct clients *all);

/* While more is unfinished than query_total_max_bytes, closes the client that holds most of it, if
 * that is much; not the one that asks: false, if that one holds most itself. client_limits.c */
bool clients_evict_query(struct clients *all, const struct client *asks);

/* It has authenticated, or nobody has to (any more). */
static inline bool client_may_ask(const struct client *c)
{
    return c->authenticated || !c->all->auth_required;
}

/* CONFIG SET of what is about clients; of a new one. client_limits.c */
void clients_configure(struct clients *all, const struct client_config *config);
void client_configure(const struct client *c);
/* Closes who is over those limits, and who is not read and has reset the connection. A few times a
 * second. */
void clients_hold_limits(struct clients *all);
/* Its address and name, for the slow log; not the caller's. NULL: it is not connected any more. */
struct slowlog_who *client_who(struct client *c);

/* What a client takes up. */
size_t client_memory(const struct client *c);

/* CLIENT PAUSE is over: what was postponed is taken up. */
void clients_end_pause(struct clients *all);

/* Whatever was postponed is looked at again. */
void clients_take_up(struct clients *all);

/* Stops or resumes reading from everybody. */
void clients_pause(struct clients *all, bool paused);

/* Answers the current request at once (but behind everything before it): whole RESP bytes. */
void client_answer(struct client *c, const void *reply, size_t size, uint32_t request_flags);
void client_answer_error(struct client *c, const char *text); /* "ERR …" */

/* The same, whatever CLIENT REPLY says. */
void client_answer_always(struct client *c, const void *reply, size_t size);

/* Answers a request for which Redis will have an answer later (stage SENT) with another one: for a
 * pure read only (REQUEST_RETRY). It lives on without a client. */
void client_answer_early(struct request *r, const void *bytes, size_t size);

/* Puts a push into the queue before a request that waits for its reply (NULL: behind all): stage
 * ANSWERED, with its reply; the owner releases it. */
struct request *client_insert(struct client *c, struct request *before, const void *bytes,
                              size_t size);

/* Sends head and rest as soon as it can, between replies: behind all that leave now, and behind
 * those with REQUEST_ACK that are released. */
void client_push(struct client *c, char head, const uint8_t *rest, size_t size);

/* Queues a request whose reply comes later. It is the client's from now on. */
struct request *client_queue(struct client *c, uint32_t request_flags);

/* The same for one that the client has not made (but a denial of which it may get): CLIENT REPLY
 * SKIP is still about the next one that it makes. */
struct request *client_queue_ours(struct client *c, uint32_t request_flags);

/* The first in its queue that Redis has not answered; NULL: none. */
struct request *client_first_unanswered(const struct client *c);

/* Queues one, silent, before one that is being answered, which it holds up. */
struct request *client_queue_before(struct client *c, struct request *before);

/* Instead of an answer: the request is handed over again, and none behind it, when everything
 * before it is answered, or client_resume is called. */
void client_postpone(struct client *c);
void client_resume(struct client *c);

/* As INFO and CLIENT LIST tell it: its last request waits for something to happen, or is held back
 * (BLOCKED_POSTPONE in blocked.c). */
static inline bool client_is_blocked(const struct client *c)
{
    return c->wait != NULL || c->held || (c->unanswered > 0 && c->blocks);
}

/* For requests that go to this lane. True: it was postponed, since another lane is in use. */
static inline bool client_lane_busy(struct client *c, enum client_lane lane)
{
    if (c->lane == lane) {
        return false;
    }
    if (c->unanswered > 0) {
        client_postpone(c);
        return true;
    }
    c->lane = lane;
    return false;
}

/* While a request is handed over: moves its bytes, a whole command in RESP, to the end of *out
 * instead of copying them. argv stays valid as long as *out does. False: it is not that simple
 * (argv are other words, put in place of those that came), *out is as it was. They count as the
 * client's until nothing of it is unanswered (client_holds). */
bool client_take_input(struct client *c, const struct resp_arg *argv, struct chain *out);
/* So many bytes of what it asked are on their way to Redis: until they are answered, they count,
 * and not much more is read. */
void client_holds(struct client *c, size_t bytes);

/* Its whole reply is here (stage ANSWERED): from now on it counts as withheld memory. */
void client_answered(struct request *r);

/* Its reply may leave. Called by the owner after tracker and lease. */
void client_release(struct request *r);

/* Ends the session. Replies not yet sent are dropped, its requests abandoned. Safe anywhere; the
 * memory lives until the end of the turn. reason goes to the log (level debug). */
void client_close(struct client *c, const char *reason);

#endif
