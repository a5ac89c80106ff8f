#include "proxy/snapshot/storing.h"

enum {
    /* A node that does not even answer is waited for so much shorter, if a quorum needs it once
     * more and so often again … */
    STORING_AWAY_PART = 10,
    STORING_AWAY_TURNS = 3,
    /* … and one that is needed for a quorum, and is being given another, so much longer. */
    STORING_BUSY_TIMES = 30,
};

static unsigned storing_count(uint32_t set)
{
    return (unsigned)__builtin_popcount(set);
}

void storing_init(struct storing *s, uint32_t members, uint64_t patience_ns)
{
    *s = (struct storing){
        .to_store = members, .members = storing_count(members), .patience_ns = patience_ns};
}

void storing_again(struct storing *s, uint64_t now_ns)
{
    s->taken_bytes = 0;
    s->moved_ns = now_ns;
}

bool storing_is_enough(const struct storing *s)
{
    return s->stored > s->members / 2;
}

/* Whether it is the turn of those that don't answer, since nobody else is left and a quorum lacks
 * it. */
static bool storing_needs_away(const struct storing *s)
{
    return s->away != 0 && !storing_is_enough(s) && s->away_turns < STORING_AWAY_TURNS;
}

bool storing_next(struct storing *s, uint64_t now_ns, uint32_t answering, bool all)
{
    s->turn = 0;
    while (s->turn == 0 && (s->to_store | s->later) != 0) {
        if (s->to_store == 0) {
            s->to_store = s->later;
            s->later = 0;
        }
        uint32_t next = all ? s->to_store : s->to_store & -s->to_store;
        s->to_store &= ~next;
        s->turn = next & answering;
        s->away |= next & ~answering;
    }
    if (s->turn == 0 && storing_needs_away(s)) {
        uint32_t next = (s->away & answering) != 0 ? s->away & answering : s->away;
        s->turn = all ? next : next & -next;
        s->away &= ~s->turn;
        s->away_turns++;
    }
    storing_again(s, now_ns);
    return s->turn != 0;
}

static enum storing_end storing_end(struct storing *s, const struct storing_view *v,
                                    enum storing_end why)
{
    s->stored += v->stored;
    s->away_turns = v->stored > 0 ? 0 : s->away_turns;
    s->no_room += storing_count(v->full);
    return why;
}

/* Ends the turn of nodes of which some are being given another. */
static enum storing_end storing_put_back(struct storing *s, const struct storing_view *v,
                                         enum storing_end why)
{
    why = storing_end(s, v, why);
    s->later |= storing_is_enough(s) ? 0 : v->busy;
    return why;
}

/* All that have not got it have refused it, some because they are being given another. */
static enum storing_end storing_look_at_busy(struct storing *s, const struct storing_view *v)
{
    bool enough = s->stored + v->stored > s->members / 2;

    s->busy_ns = s->busy_ns != 0 ? s->busy_ns : v->now_ns;
    if (v->now_ns - s->busy_ns > STORING_BUSY_TIMES * s->patience_ns) {
        return storing_end(s, v, STORING_SILENT);
    }
    if (enough || (s->to_store | s->later) != 0) {
        return storing_put_back(s, v, STORING_BUSY);
    }
    s->moved_ns = v->now_ns; /* when it begins to take, patience begins */
    return STORING_ON;       /* there is nobody else */
}

enum storing_end storing_look(struct storing *s, const struct storing_view *v)
{
    unsigned refused = storing_count(v->full | v->busy | v->other);
    bool answers = (s->turn & v->answering) != 0;

    if (v->taken_bytes != s->taken_bytes) {
        s->taken_bytes = v->taken_bytes;
        s->moved_ns = v->now_ns;
        s->busy_ns = 0;
    }
    if (!v->active) {
        return storing_end(s, v, STORING_DONE);
    }
    if (refused > 0 && v->stored + refused >= storing_count(s->turn)) {
        if (v->busy == 0) {
            return storing_end(s, v, v->full != 0 ? STORING_NO_ROOM : STORING_OTHER);
        }
        if (answers) {
            return storing_look_at_busy(s, v);
        }
    }
    if (v->now_ns - s->moved_ns > s->patience_ns / (answers ? 1 : STORING_AWAY_PART)) {
        s->away |= answers || v->stored > 0 ? 0 : s->turn & ~v->busy; /* nobody is counted twice */
        return storing_put_back(s, v, STORING_SILENT);
    }
    return STORING_ON;
}
