/* One connection to a server that answers our clients' requests in our stead: the leading proxy, or
 * our own Redis while it is a replica. The thinking is the outbox's; this is the socket.
 *
 *   DOWN ──uplink_connect──▶ CONNECTING ──▶ SETUP ──▶ UP ──uplink_leave──▶ LEAVING ──▶ DOWN
 *     ▲                          └──────────┴──────────┴── any fault, "moved" ──┘
 *
 * LEAVING sends nothing more and waits for the answers to what was sent: a leader that hands over
 * answers all of it, with replies or with "moved", so that nothing becomes unknown.
 *
 * Set-up towards a proxy: AUTH if there is a password, then
 *
 *     HOLDFAST LINK <cluster id> <log id> <name of the proxy> <nonce>
 *
 * which marks the connection: its requests are never forwarded again, but answered with "moved"
 * (outbox.h) where they can't be executed, and nothing behind that is executed. Towards Redis: a
 * ROLE that says that it is a replica in touch with its master. */
#ifndef PROXY_FORWARD_UPLINK_H
#define PROXY_FORWARD_UPLINK_H

#include "proxy/forward/outbox.h"

struct event;
struct event_base;

enum uplink_kind { UPLINK_LEADER, UPLINK_REPLICA };
enum uplink_state { UPLINK_DOWN, UPLINK_CONNECTING, UPLINK_SETUP, UPLINK_UP, UPLINK_LEAVING };
enum { UPLINK_READ_BYTES = 256 * 1024, UPLINK_SETUP_BYTES = 256 };

struct uplink_config {
    enum uplink_kind kind;
    const char *user, *password; /* NULL or "": none */
    const char *name;            /* of this proxy */
    const char *cluster_id;      /* in hex */
    uint64_t log_id;
    int master_port; /* UPLINK_REPLICA: our feed's, on 127.0.0.1, whose replica Redis must be */
    uint32_t connect_timeout_ms;
    uint32_t stall_ms; /* something sent has no answer for this long: the connection is given up */
    uint32_t leave_ms; /* how long LEAVING waits for answers */
};

/* All of them come from the event loop or from within uplink_leave, _end, _tick and _connect. None
 * may use the link. */
struct uplink_events {
    /* Answered; it has left the link. Its client may have gone. */
    void (*answered)(void *ctx, struct request *r);
    /* The connection has ended: these were sent, and what became of them is unknown (by
     * next_in_batch; may be NULL). What is left in the outbox was not executed. */
    void (*ended)(void *ctx, struct request *unknown, const char *reason);
};

struct uplink {
    struct event_base *base;
    const struct uplink_config *config;
    const struct uplink_events *events;
    void *ctx;
    uint8_t *scratch; /* UPLINK_READ_BYTES, shared by links */

    struct outbox outbox;
    enum uplink_state state;
    int fd;
    struct event *readable, *writable;
    uint64_t progress_ns; /* when something last came, or nothing was awaited */
    uint64_t retry_ns;    /* no new attempt before that */
    uint32_t backoff_ms;
    struct buf setup; /* of the set-up, what the socket has not taken */
    unsigned setup_left;
    struct resp_reply_framer setup_framer;
    char answer[UPLINK_SETUP_BYTES]; /* the head of the last set-up reply */
    size_t answer_len;
    char nonce[OUTBOX_NONCE_LEN + 1];
};

void uplink_init(struct uplink *l, struct event_base *base, const struct uplink_config *config,
                 const struct uplink_events *events, void *ctx, struct request_pool *pool,
                 uint8_t *scratch);
/* It is DOWN, and its outbox is empty. */
void uplink_fini(struct uplink *l);

/* Starts connecting; only while DOWN. nonce: random, so that nobody can guess it. */
void uplink_connect(struct uplink *l, const char *host, int port, uint64_t nonce, uint64_t now_ns);
/* The link is to go somewhere else: ends it once nothing is awaited. */
void uplink_leave(struct uplink *l, uint64_t now_ns);
void uplink_end(struct uplink *l, const char *reason, bool moved);
/* Sends what waits in the outbox. Once per turn. */
void uplink_flush(struct uplink *l, uint64_t now_ns);
void uplink_tick(struct uplink *l, uint64_t now_ns);

#endif
