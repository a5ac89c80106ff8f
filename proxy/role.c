#include "proxy/role.h"

#include "common/clock.h"
#include "common/mem.h"

#include <string.h>

/* How long a Redis that is being restarted is waited for with the term in our hands. */
enum { ROLE_REDIS_PATIENCE_MS = 3000 };

static const struct role_edge {
    enum role_state from, to;
} role_edges[] = {
    {ROLE_CAMPAIGN, ROLE_ATTACH}, {ROLE_CAMPAIGN, ROLE_ADOPT},  {ROLE_ATTACH, ROLE_REBUILD},
    {ROLE_ATTACH, ROLE_SETTLE},   {ROLE_ADOPT, ROLE_SETTLE},    {ROLE_REBUILD, ROLE_ATTACH},
    {ROLE_SETTLE, ROLE_SERVE},    {ROLE_SETTLE, ROLE_REATTACH}, {ROLE_SERVE, ROLE_REATTACH},
    {ROLE_REATTACH, ROLE_SETTLE},
};

/* The only place where the state changes; every state leads back to CAMPAIGN. */
static void role_set_state(struct role *role, enum role_state state, const char *why)
{
    bool legal = state == ROLE_CAMPAIGN;

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

/* Back to the start: whatever was under way ends, and leadership is given up if it was ours. Who
 * has served and is not deposed campaigns at once: clients wait. */
static void role_start_over(struct role *role, const struct role_view *view, const char *why)
{
    bool at_once = role->served && view->leading;

    if (role->state == ROLE_ADOPT || role->state == ROLE_REBUILD) {
        role->actions->abandon(role->ctx);
    }
    role->actions->drop_withheld(role->ctx, why);
    role->actions->detach(role->ctx);
    role->actions->release(role->ctx);
    role_set_state(role, ROLE_CAMPAIGN, why);
    role_retry_later(role, view);
    if (at_once) {
        role->retry_ns = view->now_ns;
    }
    role->served = false;
}

static void role_step_elected(struct role *role, const struct role_view *view)
{
    if (!view->redis_up) {
        return;
    }
    if (view->log_empty) {
        role_set_state(role, ROLE_ADOPT, "the log is empty: the dataset of Redis is adopted");
    } else {
        role_set_state(role, ROLE_ATTACH, "elected");
    }
}

/* Starts the state's action once, or again after a failure. */
static void role_act(struct role *role, const struct role_view *view)
{
    if (role->acting || view->now_ns < role->retry_ns) {
        return;
    }
    switch (role->state) {
    case ROLE_CAMPAIGN:
        if (view->redis_up) {
            role->acting = true;
            role->actions->campaign(role->ctx);
        }
        break;
    case ROLE_ATTACH:
        role->acting = true;
        role->actions->attach(role->ctx, &view->replid, view->log_end);
        break;
    case ROLE_REATTACH:
        role->acting = true;
        role->actions->attach(role->ctx, &role->replid, view->stream_offset);
        break;
    case ROLE_ADOPT:
    case ROLE_REBUILD:
        if (view->redis_up) {
            role->acting = true;
            if (role->state == ROLE_ADOPT) {
                role->actions->adopt(role->ctx);
            } else {
                role->actions->rebuild(role->ctx);
            }
        }
        break;
    case ROLE_SETTLE:
    case ROLE_SERVE:
        break;
    }
}

/* Whether Redis has been away for too long in a state that needs it. While its stream is attached
 * it is there, whatever became of the control connection. */
static bool role_redis_is_gone(struct role *role, const struct role_view *view)
{
    bool idle = role->state == ROLE_CAMPAIGN && !role->acting;

    if (view->redis_up || role_streams(role) || idle) {
        role->redis_ns = view->now_ns;
    }
    return view->now_ns - role->redis_ns > ROLE_REDIS_PATIENCE_MS * CLOCK_NS_PER_MS;
}

void role_step(struct role *role, const struct role_view *view)
{
    bool prepares =
        role->state == ROLE_ATTACH || role->state == ROLE_ADOPT || role->state == ROLE_REBUILD;
    bool leads =
        role->state == ROLE_SETTLE || role->state == ROLE_SERVE || role->state == ROLE_REATTACH;

    if (role->state == ROLE_CAMPAIGN) {
        if (view->elected && role->acting) {
            role_step_elected(role, view);
        } else if (view->deposed && role->acting) {
            role_retry_later(role, view);
        }
    } else if ((prepares && !view->elected) || (leads && !view->leading)) {
        role_start_over(role, view, "another proxy has been elected");
    } else if (role->state == ROLE_SETTLE && view->may_serve) {
        role_set_state(role, ROLE_SERVE, "committed in this term, older leases are over");
        role->served = true;
    }
    if (role_redis_is_gone(role, view)) {
        role_start_over(role, view, "Redis is away");
    }
    role_act(role, view);
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
        role_set_state(role, ROLE_REBUILD, "Redis does not stand where the log ends");
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
    case ROLE_ATTACH:
    case ROLE_REATTACH:
        role_retry_later(role, view);
        break;
    case ROLE_ADOPT:
        role_failed(role, view, why);
        break;
    case ROLE_CAMPAIGN:
    case ROLE_REBUILD:
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
        role_set_state(role, ROLE_SETTLE, "a quorum holds the dataset of Redis as snapshot 0");
    }
}

void role_rebuilt(struct role *role, const struct role_view *view)
{
    (void)view;
    if (role->state == ROLE_REBUILD) {
        role_set_state(role, ROLE_ATTACH, "Redis is rebuilt");
    }
}

void role_failed(struct role *role, const struct role_view *view, const char *why)
{
    if (role->state == ROLE_ADOPT || role->state == ROLE_REBUILD) {
        role->actions->abandon(role->ctx);
        role->actions->say(role->ctx, role->state, why);
        role_retry_later(role, view);
    }
}

bool role_streams(const struct role *role)
{
    return role->state == ROLE_SETTLE || role->state == ROLE_SERVE;
}

const char *role_state_name(enum role_state state)
{
    static const char *const names[] = {"campaign", "attach", "adopt",   "rebuild",
                                        "settle",   "serve",  "reattach"};
    return names[state];
}
