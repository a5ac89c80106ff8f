/* Who watches: proxies say who they are and ask how things stand, and are told at once when that
 * changes, so that followers know within a round trip that a leader has gone. In memory only, and
 * for peace and speed only: no vote and no lease looks at any of it. */
#include "logsvc/acceptor_state.h"

#include "common/clock.h"
#include "logsvc/lease.h"

#include <string.h>

/* Who has not asked for so long is not there any more. */
enum { ACCEPTOR_WATCH_FORGET_MS = 10000 };

static void acceptor_forget_watcher(struct acceptor *a, unsigned index)
{
    a->watchers[index] = a->watchers[--a->watcher_count];
}

static void acceptor_forget_watchers(struct acceptor *a, uint64_t now_ns)
{
    for (unsigned i = a->watcher_count; i > 0; i--) {
        uint64_t heard_ns = a->watchers[i - 1].entry.heard_ns;
        if (now_ns - heard_ns > ACCEPTOR_WATCH_FORGET_MS * CLOCK_NS_PER_MS) {
            acceptor_forget_watcher(a, i - 1);
        }
    }
}

/* The watcher that this proxy is, over whatever link; else a free one, or the one heard longest
 * ago. */
static struct acceptor_watcher *acceptor_find_watcher(struct acceptor *a,
                                                      const struct acceptor_call *call)
{
    const struct wire_watch *m = &call->msg->watch;
    unsigned oldest = 0;

    for (unsigned i = 0; i < a->watcher_count; i++) {
        struct acceptor_watcher *w = &a->watchers[i];
        if (w->to.link == call->to.link ||
            (strcmp(w->entry.name, m->name) == 0 && strcmp(w->entry.address, m->address) == 0)) {
            return w;
        }
        if (w->entry.heard_ns < a->watchers[oldest].entry.heard_ns) {
            oldest = i;
        }
    }
    return a->watcher_count < ROSTER_ENTRIES_MAX ? &a->watchers[a->watcher_count++]
                                                 : &a->watchers[oldest];
}

static void acceptor_tell(struct acceptor *a, uint64_t now_ns, const struct acceptor_watcher *w,
                          const struct roster *roster)
{
    struct wire_msg reply = {.type = WIRE_WATCH_REPLY,
                             .channel = w->channel,
                             .log_id = a->config.log_id,
                             .term = a->meta.term,
                             .conf = a->meta.conf.id,
                             .session = w->session,
                             .seq = w->seq};
    struct wire_watch_reply *m = &reply.watch_reply;
    const struct history *h = &a->meta.history;
    struct buf roster_bytes = BUF_INIT, history_bytes = BUF_INIT;
    struct wire_log log;

    memcpy(reply.cluster_id, a->config.cluster_id, sizeof reply.cluster_id);
    acceptor_log(a, &log);
    m->heard_ns = WIRE_NEVER;
    if (a->heard) {
        m->heard_ns = now_ns > a->heard_ns ? now_ns - a->heard_ns : 0;
    }
    m->leader_term = a->leader_term;
    memcpy(m->leader, a->leader, sizeof m->leader);
    if (now_ns - a->heir_ns < lease_ns(a->config.lease_ms)) {
        memcpy(m->heir, a->heir, sizeof m->heir);
    }
    m->commit = log.commit;
    m->begin = log.begin;
    m->empty = log.empty;
    m->engine = a->meta.engine;
    roster_encode(roster, now_ns, &roster_bytes);
    m->roster = (struct wire_roster){.bytes = buf_head(&roster_bytes), .size = roster_bytes.len};
    if (h->count > 0 && h->entries[h->count - 1].term.n != w->known.n) {
        history_encode(h, &history_bytes);
        m->history =
            (struct wire_history){.bytes = buf_head(&history_bytes), .size = history_bytes.len};
    }
    a->events.reply(a->ctx, w->to, &reply);
    buf_release(&roster_bytes);
    buf_release(&history_bytes);
}

static struct roster acceptor_roster(const struct acceptor *a)
{
    struct roster roster = {.count = a->watcher_count};

    for (unsigned i = 0; i < a->watcher_count; i++) {
        roster.entries[i] = a->watchers[i].entry;
    }
    return roster;
}

void acceptor_watch(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;
    const struct wire_watch *m = &msg->watch;

    if (m->lease_ms != a->config.lease_ms) {
        acceptor_refuse(a, call, WIRE_REFUSED_LEASE, NULL);
        return;
    }
    acceptor_forget_watchers(a, call->now_ns);
    struct acceptor_watcher *w = acceptor_find_watcher(a, call);
    *w = (struct acceptor_watcher){
        .entry = {.role = (enum roster_role)m->role,
                  .synced = m->synced,
                  .offset = m->offset,
                  .needs = m->needs,
                  .sentinel_port = m->sentinel_port,
                  .heard_ns = call->now_ns},
        .to = call->to,
        .channel = msg->channel,
        .session = msg->session,
        .seq = msg->seq,
        .known = m->known,
    };
    memcpy(w->entry.name, m->name, sizeof w->entry.name);
    memcpy(w->entry.address, m->address, sizeof w->entry.address);
    struct roster roster = acceptor_roster(a);
    acceptor_tell(a, call->now_ns, w, &roster);
}

void acceptor_tell_watchers(struct acceptor *a, uint64_t now_ns)
{
    struct roster roster = acceptor_roster(a);

    for (unsigned i = 0; i < a->watcher_count; i++) {
        acceptor_tell(a, now_ns, &a->watchers[i], &roster);
    }
}

void acceptor_tell_followers(struct acceptor *a, uint64_t now_ns)
{
    struct roster roster = acceptor_roster(a);

    for (unsigned i = 0; i < a->watcher_count; i++) {
        if (a->watchers[i].entry.role == ROSTER_FOLLOWER) {
            acceptor_tell(a, now_ns, &a->watchers[i], &roster);
        }
    }
}

void acceptor_link_closed(struct acceptor *a, uint64_t now_ns, uint64_t link)
{
    bool tell = a->heard && a->heard_link == link;

    acceptor_snap_link_closed(a, link);
    if (tell) {
        a->heard = false;
    }
    for (unsigned i = a->watcher_count; i > 0; i--) {
        if (a->watchers[i - 1].to.link == link) {
            acceptor_forget_watcher(a, i - 1);
            tell = true;
        }
    }
    if (tell && a->failed == ERR_OK) {
        acceptor_tell_watchers(a, now_ns);
    }
}
