/* The node's life, as a pure machine: from a campaign to serving, and back whenever something
 * breaks. Crash-only: starting, recovering and taking over are the same path (DESIGN §5).
 *
 *   CAMPAIGN   asks the log nodes to be elected
 *      │ elected, Redis is reachable
 *      ├─ the log holds data ──▶ ATTACH  asks Redis for its stream at exactly the log's end
 *      │                           │ "+CONTINUE": Redis is where the log is   │ full resync only
 *      │                           │                                         ▼
 *      │                           │◀──────────────── done ────────────── REBUILD  Redis is made
 *      │                           │                                      anew: snapshot + log
 *      └─ the log is empty ──▶ ADOPT  Redis' dataset becomes snapshot 0
 *                                  ▼
 *   SETTLE     leads; waits for the first commit of its term and for older leases to end
 *      │
 *   SERVE      clients are served
 *      │ the stream from Redis breaks
 *   REATTACH   asks the same Redis to go on where the stream broke; any other Redis means CAMPAIGN
 *
 * Whatever happens, a higher term leads back to CAMPAIGN, and everything withheld is dropped. So
 * does a Redis that stays away: nobody else could lead while we hold the term and can't serve. */
#ifndef PROXY_ROLE_H
#define PROXY_ROLE_H

#include "logsvc/term.h"

#include <stdbool.h>
#include <stdint.h>

enum role_state {
    ROLE_CAMPAIGN,
    ROLE_ATTACH,
    ROLE_ADOPT,
    ROLE_REBUILD,
    ROLE_SETTLE,
    ROLE_SERVE,
    ROLE_REATTACH,
};

/* What the machine asks of the world; each call starts something, none calls back at once. */
struct role_actions {
    void (*campaign)(void *ctx);
    /* Stops leading, if it leads, and lets the next leader start without waiting for the lease. */
    void (*release)(void *ctx);
    /* Asks Redis for the stream behind this position → role_resumed, role_full_resync,
     * role_detached. */
    void (*attach)(void *ctx, const struct replid *replid, uint64_t offset);
    void (*detach)(void *ctx);
    void (*adopt)(void *ctx);   /* → role_adopted, role_failed; stays attached */
    void (*rebuild)(void *ctx); /* → role_rebuilt, role_failed */
    void (*abandon)(void *ctx); /* ends adopt or rebuild */
    void (*lead)(void *ctx, uint64_t begin, const struct replid *replid);
    /* Nothing that is withheld can be answered any more: its clients are closed. */
    void (*drop_withheld)(void *ctx, const char *why);
    void (*say)(void *ctx, enum role_state state, const char *why);
};

/* What the machine looks at, at each step. */
struct role_view {
    uint64_t now_ns;
    bool redis_up; /* its control connection answers */
    bool elected;  /* the proposer waits for our Redis */
    bool leading;
    bool deposed;
    bool may_serve; /* lease, first commit, older leases gone */
    bool log_empty; /* of the elected */
    uint64_t log_end;
    struct replid replid;   /* of the log at its end */
    uint64_t stream_offset; /* where our reading of Redis' stream is */
};

struct role {
    enum role_state state;
    bool acting;         /* the state's action is under way */
    uint64_t resumed_ns; /* when the stream last began or went on */
    uint64_t retry_ns;   /* not before this */
    uint64_t redis_ns;   /* when Redis was last there */
    bool served;         /* SERVE was reached since the last campaign */
    uint32_t retry_ms;
    struct replid replid; /* of the stream that we lead with */
    const struct role_actions *actions;
    void *ctx;
};

void role_init(struct role *role, const struct role_actions *actions, void *ctx, uint32_t retry_ms);

/* Once per turn. */
void role_step(struct role *role, const struct role_view *view);

/* What came of the actions. */
void role_resumed(struct role *role, const struct role_view *view, const struct replid *replid);
void role_full_resync(struct role *role, const struct role_view *view);
void role_detached(struct role *role, const struct role_view *view, const char *why);
void role_adopted(struct role *role, const struct role_view *view, const struct replid *replid,
                  uint64_t offset);
void role_rebuilt(struct role *role, const struct role_view *view);
void role_failed(struct role *role, const struct role_view *view, const char *why);

/* Leading with a Redis whose stream is attached. */
bool role_streams(const struct role *role);
const char *role_state_name(enum role_state state);

#endif
