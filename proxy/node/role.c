#include "proxy/node/role.h"

#include "common/clock.h"
#include "common/mem.h"

#include <string.h>

/* How long a Redis that is being restarted is waited for with the term in our hands. */
enum { ROLE_REDIS_PATIENCE_MS = 3000 };
/* Followers go one after the other, the best first, so that they don't split the votes: an election
 * takes less than a step. A random part keeps apart those who think the same of themselves. */
enum { ROLE_DEAF_MS = 200 }; /* two heartbeats; so that one that was frozen looks around first */
enum { ROLE_RANK_STEP_MS = 60, ROLE_JITTER_MS = 15, ROLE_RANK_MAX = 16 };

static const struct role_edge {
    enum role_state from, to;
} role_edges[] = {
    {ROLE_FOLLOW, ROLE_CAMPAIGN},  {ROLE_CAMPAIGN, ROLE_ATTACH}, {ROLE_CAMPAIGN, ROLE_ADOPT},
    {ROLE_CAMPAIGN, ROLE_PROMOTE}, {ROLE_ATTACH, ROLE_PROMOTE},  {ROLE_ATTACH, ROLE_SETTLE},
    {ROLE_ADOPT, ROLE_SETTLE},     {ROLE_PROMOTE, ROLE_ATTACH},  {ROLE_SETTLE, ROLE_SERVE},
    {ROLE_SETTLE, ROLE_REATTACH},  {ROLE_SERVE, ROLE_REATTACH},  {ROLE_REATTACH, ROLE_SETTLE},
    {ROLE_SERVE, ROLE_YIELD},      {ROLE_YIELD, ROLE_SERVE},
};

/* The only place where the state changes; every state leads back to FOLLOW. */
static void role_set_state(struct role *role, enum role_state state, const char *why)
{
    bool legal = state == ROLE_FOLLOW;

    for (size_t i = 0; i < sizeof role_edges / sizeof *role_edges; i++) {
        legal = legal || (role_edges[i].from == role->state && role_edges[i].to == state);
    }
    MUST(legal);
    role->state = state;
    role->acting = false;
    role->actions->say(role->ctx, state, why);
}

void role_init(struct role *role, const struct role_actions *actions, void *ctx, uint32_t retry_ms)
{
    *role = (struct role){.actions = actions, .ctx = ctx, .retry_ms = retry_ms};
}

static void role_retry_later(struct role *role, const struct role_view *view)
{
    role->acting = false;
    role->retry_ns = view->now_ns + role->retry_ms * CLOCK_NS_PER_MS;
}

static void role_to_follow(struct role *role, const struct role_view *view, const char *why)
{
    role->nobody_ns = 0;
    role->promoted = false;
    role_set_state(role, ROLE_FOLLOW, why);
    role->retry_ns = view->now_ns;
}

/* Back to the start: whatever was under way ends, and leadership is given up if it was ours. */
static void role_start_over(struct role *role, const struct role_view *view, const char *why)
{
    if (role->state == ROLE_ADOPT || role->state == ROLE_PROMOTE) {
        role->actions->abandon(role->ctx);
    }
    role->actions->drop_withheld(role->ctx, why);
    role->actions->detach(role->ctx);
    role->actions->release(role->ctx);
    role_to_follow(role, view, why);
}

static void role_step_elected(struct role *role, const struct role_view *view)
{
    if (!view->redis_up) {
        return;
    }
    if (view->log_empty) {
        role_set_state(role, ROLE_ADOPT, "the log is empty: the dataset of Redis is adopted");
    } else if (view->following) {
        role_set_state(role, ROLE_PROMOTE, "elected");
    } else {
        role_set_state(role, ROLE_ATTACH, "elected");
    }
}

/* Whether it is our turn to campaign. Named by the leader that left: at once. */
static bool role_our_turn(struct role *role, const struct role_view *view)
{
    unsigned rank = view->rank < ROLE_RANK_MAX ? view->rank : ROLE_RANK_MAX;

    if (!view->nobody_leads || !view->redis_up) {
        role->nobody_ns = 0;
        return false;
    }
    if (role->nobody_ns == 0) { /* who is better is judged once: it changes as they campaign */
        uint64_t jitter_ns = view->random % (ROLE_JITTER_MS * CLOCK_NS_PER_MS + 1);
        role->nobody_ns = view->now_ns;
        role->turn_ns = view->now_ns + view->listen_ms * CLOCK_NS_PER_MS +
                        rank * (uint64_t)ROLE_RANK_STEP_MS * CLOCK_NS_PER_MS +
                        (rank > 0 ? jitter_ns : 0);
    }
    return view->heir || view->now_ns >= role->turn_ns;
}

static void role_step_follow(struct role *role, const struct role_view *view)
{
    if (role_our_turn(role, view) && view->now_ns >= role->retry_ns) {
        role_set_state(role, ROLE_CAMPAIGN, "nobody leads");
    } else if (view->following) {
        role->acting = true;
    }
}

static void role_step_campaign(struct role *role, const struct role_view *view)
{
    if (!role->acting) {
        return;
    }
    if (view->elected) {
        role_step_elected(role, view);
    } else if (view->deposed || view->other_leads) {
        role->actions->release(role->ctx);
        role_to_follow(role, view, "another proxy has been elected");
    }
}

static void role_step_yield(struct role *role, const struct role_view *view)
{
    if (view->drained) {
        role->actions->drop_withheld(role->ctx, "another proxy leads"); /* blocked ones, at most */
        role->actions->detach(role->ctx);
        role->actions->release(role->ctx);
        role_to_follow(role, view, "handed over");
    } else if (view->now_ns >= role->yield_ns) {
        role_set_state(role, ROLE_SERVE,
                       "what is under way does not come to its end: no hand-over");
    }
}

/* Starts the state's action once, or again after a failure. */
static void role_act(struct role *role, const struct role_view *view)
{
    if (role->acting || view->now_ns < role->retry_ns) {
        return;
    }
    switch (role->state) {
    case ROLE_FOLLOW:
        if (view->redis_up && view->other_leads && !view->following) {
            role->acting = true;
            role->actions->follow(role->ctx);
        }
        break;
    case ROLE_CAMPAIGN:
        if (view->redis_up) {
            role->acting = true;
            role->actions->campaign(role->ctx);
        }
        break;
    case ROLE_ATTACH:
        role->acting = true;
        role->actions->attach(role->ctx, role->promoted ? &role->label : &view->replid,
                              view->log_end);
        break;
    case ROLE_REATTACH:
        role->acting = true;
        role->actions->attach(role->ctx, &role->replid, view->stream_offset);
        break;
    case ROLE_ADOPT:
    case ROLE_PROMOTE:
        if (view->redis_up) {
            role->acting = true;
            if (role->state == ROLE_ADOPT) {
                role->actions->adopt(role->ctx);
            } else {
                role->actions->promote(role->ctx);
            }
        }
        break;
    case ROLE_SETTLE:
    case ROLE_SERVE:
    case ROLE_YIELD:
        break;
    }
}

/* Whether Redis has been away for too long in a state that needs it. While its stream is attached
 * it is there, whatever became of the control connection. */
static bool role_redis_is_gone(struct role *role, const struct role_view *view)
{
    bool idle = role->state == ROLE_FOLLOW || (role->state == ROLE_CAMPAIGN && !role->acting);

    if (view->redis_up || role_streams(role) || idle) {
        role->redis_ns = view->now_ns;
    }
    return view->now_ns - role->redis_ns > ROLE_REDIS_PATIENCE_MS * CLOCK_NS_PER_MS;
}

/* Whether the lease has run out, and there is no sense in waiting for another: somebody else may
 * lead, if only we stop. (Who is alone waits: disks that stall come back, and so does the lease.)
 */
static bool role_is_deaf(struct role *role, const struct role_view *view)
{
    if (!role_leads(role) || !view->lease_is_over || !view->deaf || view->alone) {
        role->deaf_ns = 0;
        return false;
    }
    role->deaf_ns = role->deaf_ns != 0 ? role->deaf_ns : view->now_ns;
    return view->now_ns - role->deaf_ns >= ROLE_DEAF_MS * CLOCK_NS_PER_MS;
}

void role_step(struct role *role, const struct role_view *view)
{
    bool prepares =
        role->state == ROLE_ATTACH || role->state == ROLE_ADOPT || role->state == ROLE_PROMOTE;

    if (role->state == ROLE_FOLLOW) {
        role_step_follow(role, view);
    } else if (role->state == ROLE_CAMPAIGN) {
        role_step_campaign(role, view);
    } else if ((prepares && !view->elected) || (role_leads(role) && !view->leading)) {
        role_start_over(role, view, "another proxy has been elected");
    } else if (role->state == ROLE_SETTLE && view->may_serve) {
        role_set_state(role, ROLE_SERVE, "committed in this term, older leases are over");
    } else if (role->state == ROLE_YIELD) {
        role_step_yield(role, view);
    }
    if (role_is_deaf(role, view)) {
        role_start_over(role, view, "the lease is over, and the log nodes say nothing");
    } else if (role_redis_is_gone(role, view)) {
        role_start_over(role, view, "Redis is away");
    } else if (role_streams(role) && view->redis_stalled && view->successor) {
        role_start_over(role, view, "Redis does not answer: another proxy shall lead");
    }
    role_act(role, view);
}

bool role_yield(struct role *role, const struct role_view *view, uint64_t limit_ms)
{
    if (role->state != ROLE_SERVE) {
        return false;
    }
    role->yield_ns = view->now_ns + limit_ms * CLOCK_NS_PER_MS;
    role_set_state(role, ROLE_YIELD, "another proxy shall lead");
    return true;
}

void role_resumed(struct role *role, const struct role_view *view, const struct replid *replid)
{
    if (role->state == ROLE_ATTACH) {
        if (!view->elected) {
            role_start_over(role, view, "another proxy has been elected");
            return;
        }
        role->replid = *replid;
        role->resumed_ns = view->now_ns;
        role->promoted = false;
        role->actions->lead(role->ctx, view->log_end, replid);
        role_set_state(role, ROLE_SETTLE, "Redis stands where the log ends");
    } else if (role->state == ROLE_REATTACH) {
        if (memcmp(role->replid.hex, replid->hex, sizeof replid->hex) != 0) {
            role_start_over(role, view, "Redis has another replication id than before");
            return;
        }
        role->resumed_ns = view->now_ns;
        role_set_state(role, ROLE_SETTLE, "the stream goes on where it broke");
    }
}

void role_full_resync(struct role *role, const struct role_view *view)
{
    if (role->state == ROLE_ATTACH) {
        role->actions->detach(role->ctx);
        role->promoted = false;
        role_set_state(role, ROLE_PROMOTE, "Redis does not stand where the log ends");
    } else if (role->state == ROLE_REATTACH) {
        role_start_over(role, view, "Redis has lost its place in the stream");
    }
}

void role_detached(struct role *role, const struct role_view *view, const char *why)
{
    switch (role->state) {
    case ROLE_SETTLE:
    case ROLE_SERVE:
        role_set_state(role, ROLE_REATTACH, why);
        role_retry_later(role, view);
        if (view->now_ns - role->resumed_ns >= role->retry_ms * CLOCK_NS_PER_MS) {
            role->retry_ns = view->now_ns; /* the first attempt at once, unless it just failed so */
        }
        break;
    case ROLE_YIELD:
        role_start_over(role, view, why);
        break;
    case ROLE_REATTACH:
        if (view->successor) {
            role_start_over(role, view, why); /* it takes less time than Redis would */
            break;
        }
        role_retry_later(role, view);
        break;
    case ROLE_ATTACH:
        role_retry_later(role, view);
        break;
    case ROLE_ADOPT:
        role_failed(role, view, why);
        break;
    case ROLE_FOLLOW:
    case ROLE_CAMPAIGN:
    case ROLE_PROMOTE:
        break;
    }
}

void role_adopted(struct role *role, const struct role_view *view, const struct replid *replid,
                  uint64_t offset)
{
    if (role->state == ROLE_ADOPT) {
        if (!view->elected) {
            role_start_over(role, view, "another proxy has been elected");
            return;
        }
        role->replid = *replid;
        role->actions->lead(role->ctx, offset, replid);
        role_set_state(role, ROLE_SETTLE, "the log nodes hold the dataset of Redis as snapshot 0");
    }
}

void role_promoted(struct role *role, const struct role_view *view, const struct replid *label)
{
    (void)view;
    if (role->state == ROLE_PROMOTE) {
        role->promoted = true;
        role->label = *label;
        role_set_state(role, ROLE_ATTACH, "Redis holds the whole log");
        role->retry_ns = view->now_ns;
    }
}

void role_failed(struct role *role, const struct role_view *view, const char *why)
{
    if (role->state == ROLE_ADOPT || role->state == ROLE_PROMOTE) {
        role->actions->abandon(role->ctx);
    } else if (role->state != ROLE_FOLLOW && role->state != ROLE_CAMPAIGN) {
        return;
    }
    role->actions->say(role->ctx, role->state, why);
    if (role->state != ROLE_CAMPAIGN) {
        role_retry_later(role, view);
    }
}

uint64_t role_next_ns(const struct role *role)
{
    uint64_t turn_ns = UINT64_MAX;

    if (role->state == ROLE_FOLLOW && role->nobody_ns != 0) {
        turn_ns = role->turn_ns;
    } else if (role->state == ROLE_YIELD) {
        turn_ns = role->yield_ns;
    }
    if (role->deaf_ns != 0) {
        uint64_t deaf_ns = role->deaf_ns + ROLE_DEAF_MS * CLOCK_NS_PER_MS;
        turn_ns = deaf_ns < turn_ns ? deaf_ns : turn_ns;
    }
    return turn_ns;
}

bool role_streams(const struct role *role)
{
    return role->state == ROLE_SETTLE || role->state == ROLE_SERVE || role->state == ROLE_YIELD;
}

bool role_leads(const struct role *role)
{
    return role_streams(role) || role->state == ROLE_REATTACH;
}

const char *role_state_name(enum role_state state)
{
    static const char *const names[] = {"follow", "campaign", "attach",   "adopt", "promote",
                                        "settle", "serve",    "reattach", "yield"};
    return names[state];
}
