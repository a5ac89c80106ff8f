/* The node's life, as a pure machine: it follows, campaigns, serves, and follows again. Crash-only:
 * starting, recovering and taking over are the same path (docs/ARCHITECTURE.md, "Crash-only").
 *
 *   FOLLOW     Redis goes along with what another leader commits; or nobody leads yet
 *      │ a quorum hears no leader, and it is our turn
 *   CAMPAIGN   asks the log nodes to be elected ──somebody else leads──▶ FOLLOW
 *      │ elected, Redis is reachable
 *      ├─ it follows ─────▶ PROMOTE  Redis is brought to exactly the log's end, then made a master
 *      │                       │  ▲
 *      │                       ▼  │ full resync only
 *      ├─ it is a master ─▶ ATTACH   asks Redis for its stream at exactly the log's end
 *      │                       │ "+CONTINUE": Redis is where the log is
 *      └─ the log is empty ──▶ ADOPT ▶ Redis' dataset becomes snapshot 0
 *                              ▼
 *   SETTLE     leads; waits for the first commit of its term and for older leases to end
 *      │
 *   SERVE      clients are served
 *      │ the stream from Redis breaks        │ it is told to hand over
 *   REATTACH   asks the same Redis to go on    YIELD  takes nothing more; waits until all it has
 *              where the stream broke                 answered for is committed, then releases
 *
 * Whatever happens, a higher term leads back to FOLLOW, and everything withheld is dropped. So does
 * a Redis that is lost while we lead: at once if another proxy could take over, else when it stays
 * away. And so does a lease that has run out while log nodes are connected and say nothing: they
 * may well hear us, and let nobody else lead. (Of nodes that are gone nobody can be elected, and
 * what is withheld may yet be answered when they are back.) */
#ifndef PROXY_NODE_ROLE_H
#define PROXY_NODE_ROLE_H

#include "logsvc/term.h"

#include <stdbool.h>
#include <stdint.h>

enum role_state {
    ROLE_FOLLOW,
    ROLE_CAMPAIGN,
    ROLE_ATTACH,
    ROLE_ADOPT,
    ROLE_PROMOTE,
    ROLE_SETTLE,
    ROLE_SERVE,
    ROLE_REATTACH,
    ROLE_YIELD,
};

/* What the machine asks of the world; each call starts something, none calls back at once. */
struct role_actions {
    void (*follow)(void *ctx); /* → role_failed */
    void (*campaign)(void *ctx);
    /* Stops leading or campaigning, and lets the next leader start without waiting for the lease.
     */
    void (*release)(void *ctx);
    /* Asks Redis for the stream behind this position → role_resumed, role_full_resync,
     * role_detached. */
    void (*attach)(void *ctx, const struct replid *replid, uint64_t offset);
    void (*detach)(void *ctx);
    void (*adopt)(void *ctx);   /* → role_adopted, role_failed; stays attached */
    void (*promote)(void *ctx); /* → role_promoted, role_failed */
    void (*abandon)(void *ctx); /* ends adopt, promote, follow */
    void (*lead)(void *ctx, uint64_t begin, const struct replid *replid);
    /* Nothing that is withheld can be answered any more: its clients are closed. */
    void (*drop_withheld)(void *ctx, const char *why);
    void (*say)(void *ctx, enum role_state state, const char *why);
};

/* What the machine looks at, at each step. */
struct role_view {
    uint64_t now_ns;
    bool redis_up;      /* its control connection answers */
    bool redis_stalled; /* it has not answered anything for too long */
    bool elected;       /* the proposer waits for our Redis */
    bool leading;
    bool deposed;
    bool may_serve;     /* lease, first commit, older leases gone */
    bool lease_is_over; /* leading, and it had one */
    bool deaf;          /* a quorum of log nodes is connected and does not answer */
    bool alone;         /* no other proxy was ever heard of, which could lead instead */
    bool log_empty;     /* of the elected */
    uint64_t log_end;
    struct replid replid;   /* of the log at its end */
    uint64_t stream_offset; /* where our reading of Redis' stream is */

    bool following;    /* the follower is at work on our Redis */
    bool other_leads;  /* a log node hears another leader */
    bool nobody_leads; /* a quorum of log nodes hears none, and no candidate */
    bool heir;         /* the leader that has just released wants us to be next */
    /* For so long a word of the last leader, or of its watchdog, is waited for: who is to be next.
     */
    uint32_t listen_ms;
    unsigned rank;  /* how many others would do better as the next leader */
    bool successor; /* another proxy could take over at once */
    bool drained;   /* while yielding: nothing is withheld, under way or uncommitted */
    uint64_t random;
};

struct role {
    enum role_state state;
    bool acting;         /* the state's action is under way */
    uint64_t resumed_ns; /* when the stream last began or went on */
    uint64_t retry_ns;   /* not before this */
    uint64_t redis_ns;   /* when Redis was last there */
    uint64_t nobody_ns;  /* FOLLOW: since when nobody leads; 0: somebody does */
    uint64_t turn_ns;    /* … and when it is our turn to campaign */
    uint64_t yield_ns;   /* YIELD: until when */
    uint64_t deaf_ns;    /* since when it is without lease, and deaf; 0: it isn't */
    uint32_t retry_ms;
    struct replid replid; /* of the stream that we lead with */
    bool promoted;        /* our Redis was, for this election … */
    struct replid label;  /* … and can be asked for its stream in this history */
    const struct role_actions *actions;
    void *ctx;
};

void role_init(struct role *role, const struct role_actions *actions, void *ctx, uint32_t retry_ms);

/* Once per turn. */
void role_step(struct role *role, const struct role_view *view);

/* Hands over, if it serves; false: it doesn't. The release names whom the owner chose. */
bool role_yield(struct role *role, const struct role_view *view, uint64_t limit_ms);

/* What came of the actions. */
void role_resumed(struct role *role, const struct role_view *view, const struct replid *replid);
void role_full_resync(struct role *role, const struct role_view *view);
void role_detached(struct role *role, const struct role_view *view, const char *why);
void role_adopted(struct role *role, const struct role_view *view, const struct replid *replid,
                  uint64_t offset);
void role_promoted(struct role *role, const struct role_view *view, const struct replid *label);
void role_failed(struct role *role, const struct role_view *view, const char *why);

/* When a step does something though nothing else happens; UINT64_MAX: not now. */
uint64_t role_next_ns(const struct role *role);

/* Leading with a Redis whose stream is attached. */
bool role_streams(const struct role *role);
/* The proposer leads, or is about to hear that it doesn't any more. */
bool role_leads(const struct role *role);
const char *role_state_name(enum role_state state);

#endif
