#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"
#include "proxy/clients/session.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROXY_SLOW_TICK_MS = 100, PROXY_ACK_MS = 5 };
enum { PROXY_REPAIR_MS = 2000, PROXY_ACCEPT_REST_MS = 500, PROXY_LEAVE_MS = 200 };

/* ---- withholding and releasing ---- */

/* Whether a reply of our Redis waits for a commit. (What other servers are to answer is theirs.) */
static bool proxy_withholds(const struct client *c)
{
    for (const struct request *r = c->first; r != NULL; r = r->next_of_client) {
        if (r->stage == REQUEST_ANSWERED || (r->flags & REQUEST_WAIT) != 0) {
            return true;
        }
    }
    return false;
}

void proxy_drop_withheld(struct proxy *p, const char *why)
{
    size_t closed = 0;

    engine_stop(p->engine, why);
    private_stop(p->privates, why);
    pubsub_stop(p->pubsub, why);
    for (struct client *c = p->clients.list, *next; c != NULL; c = next) {
        next = c->next;
        if (proxy_withholds(c) || (c->async && c->written > proposer_commit(p->proposer))) {
            client_close(c, why);
            closed++;
        }
    }
    if (closed > 0) {
        log_warn("%zu clients closed, what they wait for is unknown: %s", closed, why);
    }
}

static void proxy_release_ready(struct proxy *p)
{
    struct tracker_waiter *w;

    /* The lease is looked at last, after Redis' answers are here; the clock is read anew for it. */
    if ((p->role.state != ROLE_SERVE && p->role.state != ROLE_YIELD) ||
        !proposer_may_serve(p->proposer, clock_now_ns())) {
        return;
    }
    while ((w = tracker_next_ready(p->tracker)) != NULL) {
        if (w->parcel) {
            pubsub_ready(p->pubsub, w);
            continue;
        }
        client_release((struct request *)(void *)((char *)w - offsetof(struct request, waiter)));
    }
}

uint64_t proxy_log_age_ns(const struct proxy *p, uint64_t now_ns)
{
    return role_leads(&p->role) ? marks_age_ns(&p->marks, now_ns) : 0;
}

static void proxy_mark_committed(struct proxy *p, uint64_t now_ns)
{
    uint64_t commit = proposer_commit(p->proposer), took_ns;

    if (commit <= p->commit_seen) {
        return;
    }
    p->commit_seen = commit;
    pace_committed(&p->pace, now_ns, commit);
    p->commits++;
    while (marks_take(&p->marks, commit, now_ns, &took_ns)) {
        histogram_window_record(&p->commit_us, took_ns / CLOCK_NS_PER_US, now_ns);
    }
}

static void proxy_flush_engine(struct proxy *p, uint64_t now_ns)
{
    if (private_wants_flush(p->privates)) {
        private_flush(p->privates, now_ns);
    }
    if (engine_may_flush(p->engine) &&
        pace_batch_due(&p->pace, now_ns, engine_is_urgent(p->engine))) {
        engine_flush(p->engine, now_ns);
        pace_batch_sent(&p->pace);
    }
}

/* Sends what has come of the stream to the log nodes, at the pace that suits. */
static void proxy_flush_log(struct proxy *p, uint64_t now_ns)
{
    if (!p->streaming) {
        return;
    }
    marks_append(&p->marks, proposer_end(p->proposer), p->commit_seen, now_ns);
    if (pace_due(&p->pace, now_ns, engine_is_idle(p->engine))) {
        proposer_flush(p->proposer, now_ns);
        pace_sent(&p->pace, now_ns, proposer_end(p->proposer));
    }
}

/* Tells Redis what is committed. Each time costs it a wake-up, so not at every commit. */
static void proxy_acknowledge(struct proxy *p, uint64_t now_ns)
{
    uint64_t commit = proposer_commit(p->proposer);

    if (commit == p->acked || now_ns - p->acked_ns < PROXY_ACK_MS * CLOCK_NS_PER_MS) {
        return;
    }
    p->acked = commit;
    p->acked_ns = now_ns;
    capture_ack(p->capture, commit);
}

/* When that is due; UINT64_MAX: nothing new is to be told. */
static uint64_t proxy_next_ack_ns(const struct proxy *p)
{
    bool due = p->streaming && proposer_commit(p->proposer) != p->acked;
    return due ? p->acked_ns + PROXY_ACK_MS * CLOCK_NS_PER_MS : UINT64_MAX;
}

/* ---- the turn ---- */

/* Whether nothing is left of what was taken from clients: answered, committed, and let out. */
static bool proxy_is_drained(const struct proxy *p)
{
    return engine_is_idle(p->engine) && private_is_drained(p->privates) &&
           p->unbounded_first == NULL && tracker_withheld(p->tracker) == 0 &&
           !tracker_has_ready(p->tracker) &&
           effects_unit_offset(p->effects) == effects_offset(p->effects) &&
           proposer_commit(p->proposer) == proposer_end(p->proposer);
}

void proxy_view(const struct proxy *p, struct role_view *view)
{
    enum proposer_state state = proposer_state(p->proposer);
    uint64_t now_ns = clock_now_ns(), lease_end_ns = proposer_lease_end_ns(p->proposer);

    *view = (struct role_view){
        .now_ns = now_ns,
        .redis_up = p->prepared && !p->outdated && control_is_up(p->control),
        .elected = state == PROPOSER_ELECTED,
        .leading = state == PROPOSER_LEADING,
        .deposed = state == PROPOSER_DEPOSED,
        .may_serve = proposer_may_serve(p->proposer, now_ns),
        .lease_is_over = state == PROPOSER_LEADING && lease_end_ns != 0 && now_ns >= lease_end_ns,
        .deaf = proxy_is_deaf(p),
        .alone = !p->router.had_others,
        .stream_offset = effects_offset(p->effects),
        .redis_stalled =
            control_silent_ms(p->control, now_ns) > (uint64_t)p->settings->redis_handover_ms,
        .following = follow_active(p->follow),
        .other_leads = p->outlook.other_leads,
        .nobody_leads = p->outlook.nobody_leads,
        .heir = p->outlook.heir,
        .listen_ms = p->outlook.listen_ms,
        .rank = p->outlook.rank,
        .successor = p->outlook.successor != NULL,
        .drained = p->role.state == ROLE_YIELD && proxy_is_drained(p), /* nobody else asks */
        .random = p->turn_random,
    };
    if (view->elected) {
        const struct proposer_donor *donor = proposer_donor(p->proposer);
        view->log_empty = donor->empty;
        view->log_end = donor->end.offset;
        const struct history_entry *entry = history_at(donor->history, donor->end.offset);
        if (entry != NULL) {
            view->replid = entry->replid;
        }
    }
}

static enum service proxy_service(const struct proxy *p, const struct role_view *view)
{
    switch (p->role.state) {
    case ROLE_SERVE:
    case ROLE_YIELD: /* nobody is read then */
        return view->may_serve ? SERVICE_FULL : SERVICE_NO_QUORUM;
    case ROLE_FOLLOW:
    case ROLE_CAMPAIGN:
        return !view->redis_up || proxy_quorum_answers(p) ? SERVICE_LOADING : SERVICE_NO_QUORUM;
    case ROLE_ATTACH:
    case ROLE_ADOPT:
    case ROLE_PROMOTE:
    case ROLE_SETTLE:
    case ROLE_REATTACH:
        break;
    }
    return SERVICE_LOADING;
}

/* What is bounded is what we let in, not what Redis says. Only a leader lets anything
 * in; what a campaign that was lost has left in the proposer says nothing of the former stream. */
static bool proxy_log_has_room(const struct proxy *p)
{
    uint64_t commit = p->commit_seen, end = effects_offset(p->effects);
    return !role_leads(&p->role) || end <= commit ||
           end - commit < (uint64_t)p->settings->unlogged_max_bytes;
}

/* Without room, writes wait unread; reads need not. */
static void proxy_bound_log(struct proxy *p)
{
    bool was = p->router.log_full;

    p->router.log_full = !proxy_log_has_room(p);
    if (was && !p->router.log_full) {
        clients_take_up(&p->clients);
    }
}

/* Nobody is read while a bound of the whole proxy is exceeded; once paused, until half is free. */
static bool proxy_must_pause(const struct proxy *p)
{
    size_t part = p->clients.paused ? 2 : 1;

    return p->role.state == ROLE_YIELD ||
           p->clients.withheld_bytes > (size_t)p->settings->withheld_total_max_bytes / part ||
           engine_gathered_bytes(p->engine) + forward_bytes(p->forward) +
                   forward_bytes(p->replica) >
               (size_t)p->settings->query_total_max_bytes / part;
}

static void proxy_slow_tick(struct proxy *p, uint64_t now_ns)
{
    uint64_t limit_ns = (uint64_t)p->settings->withheld_max_ms * CLOCK_NS_PER_MS;

    p->slow_tick_ns = now_ns;
    if (p->accept_rests_ns != 0 &&
        now_ns - p->accept_rests_ns >= PROXY_ACCEPT_REST_MS * CLOCK_NS_PER_MS) {
        p->accept_rests_ns = 0;
        (void)event_add(p->accept_event, NULL);
        if (p->replica_event != NULL) {
            (void)event_add(p->replica_event, NULL);
        }
    }
    adopt_tick(p->adopt, now_ns);
    clients_evict_unsent(&p->clients);
    clients_hold_limits(&p->clients);
    proxy_observe_sentinel(p);
    control_tick(p->control, now_ns);
    proxy_tick_redis(p, now_ns);
    proxy_tick_borrow(p, now_ns);
    proxy_tell_watchdog(p);
    engine_tick(p->engine, now_ns);
    proxy_busy_tick(p, now_ns);
    proxy_tick_memory(p, now_ns);
    proxy_tick_slowlog(p, now_ns);
    proxy_tick_readers(p);
    private_tick(p->privates, now_ns);
    proxy_tick_forward(p, now_ns);
    proxy_tick_replicas(p);
    pubsub_tick(p->pubsub, now_ns);
    engine_tick(p->monitor, now_ns);
    if (now_ns - p->repair_ns >= PROXY_REPAIR_MS * CLOCK_NS_PER_MS) {
        p->repair_ns = now_ns;
        proxy_repair_snapshots(p, now_ns);
    }
    proxy_tick_snapshots(p, now_ns);
    proxy_tick_retain(p, now_ns);
    if (p->router.service == SERVICE_FULL && tracker_withheld(p->tracker) == 0) {
        return;
    }
    for (struct client *c = p->clients.list, *next; c != NULL; c = next) {
        next = c->next;
        if (c->first != NULL && now_ns > c->oldest_ns && now_ns - c->oldest_ns > limit_ns &&
            (c->first->stage == REQUEST_ANSWERED ||
             (p->router.service != SERVICE_FULL && c->lane == CLIENT_LANE_SHARED &&
              c->forwarded == 0))) {
            client_close(c, "its reply could not be committed for limits.withheld_max_ms");
        }
    }
}

static void proxy_schedule_tick(struct proxy *p, uint64_t now_ns)
{
    uint64_t due_ns = p->slow_tick_ns + PROXY_SLOW_TICK_MS * CLOCK_NS_PER_MS;
    uint64_t others[] = {proposer_next_tick_ns(p->proposer),
                         reader_next_tick_ns(p->reader),
                         snapship_next_tick_ns(p->snapship),
                         lookout_next_tick_ns(p->lookout),
                         follow_next_tick_ns(p->follow),
                         role_next_ns(&p->role),
                         pace_next_ns(&p->pace),
                         p->clients.pause_until_ns != 0 ? p->clients.pause_until_ns : UINT64_MAX,
                         proxy_next_ack_ns(p),
                         waits_next_ns(&p->router.waits),
                         p->role.state == ROLE_YIELD && proxy_is_drained(p) ? now_ns : UINT64_MAX,
                         proxy_next_forward_ns(p)};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        due_ns = others[i] < due_ns ? others[i] : due_ns;
    }
    if (p->tick_due_ns > now_ns && p->tick_due_ns <= due_ns) {
        return; /* it fires early enough */
    }
    uint64_t wait_us = due_ns > now_ns ? (due_ns - now_ns) / CLOCK_NS_PER_US + 1 : 1;
    struct timeval wait = {.tv_sec = (time_t)(wait_us / 1000000),
                           .tv_usec = (suseconds_t)(wait_us % 1000000)};
    (void)event_add(p->tick_event, &wait);
    p->tick_due_ns = due_ns > now_ns ? due_ns : now_ns + 1;
}

static void proxy_tick_cb(evutil_socket_t fd, short what, void *arg)
{
    struct proxy *p = arg;

    (void)fd;
    (void)what;
    p->tick_due_ns = 0;
}

static void proxy_turn_role(struct proxy *p)
{
    struct role_view view;

    proxy_view(p, &view);
    if (p->attach_failed) {
        p->attach_failed = false;
        role_detached(&p->role, &view, "Redis can't be connected to");
    }
    role_step(&p->role, &view);
    proxy_view(p, &view);
    p->router.service = proxy_service(p, &view);
    p->router.lease_end_ns = proposer_lease_end_ns(p->proposer);
    p->router.log_late = proxy_log_age_ns(p, view.now_ns) >
                         (uint64_t)p->settings->async_max_age_ms * CLOCK_NS_PER_MS;
    proxy_tell_leader(p, &view);
    if (role_streams(&p->role) && p->streaming && view.now_ns >= p->engine_retry_ns) {
        engine_start(p->engine, &p->role.replid, view.now_ns);
        private_start(p->privates, &p->role.replid);
        pubsub_start(p->pubsub, &p->role.replid);
    }
}

static void proxy_turn(struct proxy *p)
{
    uint64_t now_ns = clock_now_ns();

    p->clients.now_ns = now_ns;
    if (p->clients.pause_until_ns != 0 && now_ns >= p->clients.pause_until_ns) {
        router_end_pause(&p->router);
    }
    proposer_tick(p->proposer, now_ns);
    proxy_follow_members(p);
    reader_tick(p->reader, now_ns);
    snapship_tick(p->snapship, now_ns);
    follow_tick(p->follow, now_ns);
    proxy_look_out(p, now_ns);
    if (now_ns - p->slow_tick_ns >= PROXY_SLOW_TICK_MS * CLOCK_NS_PER_MS) {
        proxy_slow_tick(p, now_ns);
    }
    proxy_flush_log(p, now_ns);
    proxy_turn_role(p);
    proxy_turn_forward(p, now_ns);
    router_pause(&p->router);
    proxy_bound_log(p);
    pubsub_flush(p->pubsub, now_ns); /* an UNSUBSCRIBE before a later PUBLISH of somebody else */
    proxy_flush_engine(p, now_ns);
    if (p->streaming) {
        tracker_stream_at(p->tracker, effects_known_offset(p->effects));
        tracker_commit(p->tracker, proposer_commit(p->proposer));
        proxy_mark_committed(p, now_ns);
        proxy_acknowledge(p, now_ns);
    }
    proxy_release_ready(p);
    session_wait_turn(&p->router, now_ns);
    clients_pause(&p->clients, proxy_must_pause(p));
    clients_flush(&p->clients);
    proxy_flush_engine(p, now_ns); /* what flushing has let in */
    proxy_flush_forward(p, now_ns);
    proxy_flush_log(p,
                    now_ns); /* a commit has made way for the next append, or the engine is idle */
    pubsub_flush(p->pubsub, now_ns);
    proxy_turn_monitor(p, now_ns);
    proxy_fence_pushes(p, now_ns);
    private_sweep(p->privates);
    private_sweep(p->forward_privates);
    proxy_schedule_tick(p, now_ns);
}

static bool proxy_links_are_quiet(const struct proxy *p)
{
    for (unsigned i = 0; i < proposer_node_count(p->proposer); i++) {
        struct proposer_node_info node;
        proposer_node(p->proposer, i, &node);
        if (node.used && node.state != PROPOSER_NODE_DOWN && !transport_ready(p->transport, i)) {
            return false;
        }
    }
    return true;
}

/* A clean leave: nobody is served from here on, and the next leader need not wait for our lease. */
static void proxy_leave(struct proxy *p)
{
    uint64_t until_ns = clock_now_ns() + PROXY_LEAVE_MS * CLOCK_NS_PER_MS;
    struct timeval piece = {.tv_usec = 1000};

    proxy_drop_withheld(p, "the proxy ends");
    proxy_release(p);
    while (!proxy_links_are_quiet(p) && clock_now_ns() < until_ns) {
        (void)event_base_loopexit(p->base, &piece);
        (void)event_base_loop(p->base, EVLOOP_ONCE);
    }
}

void proxy_run(struct proxy *p)
{
    while (!p->stopping) {
        /* EVLOOP_ONCE waits, runs all that is ready, and returns: one turn. */
        int flags = p->clients.to_flush != NULL ? EVLOOP_NONBLOCK : EVLOOP_ONCE;
        if (event_base_loop(p->base, flags) < 0) {
            log_error("the event loop failed");
            return;
        }
        proxy_turn(p);
    }
    proxy_leave(p);
}

void proxy_stop(struct proxy *p)
{
    p->stopping = true;
}

/* ---- set-up ---- */

static void proxy_signal_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    proxy_stop(arg);
}

static int proxy_open_replica_port(struct proxy *p, const struct settings *s)
{
    p->replica_fd = net_listen(s->host, (int)s->replica_port, 4096);
    if (p->replica_fd < 0) {
        log_error("listening on %s:%d: %s", s->host, (int)s->replica_port, strerror(errno));
        return ERR_IO;
    }
    p->replica_event = event_new(p->base, p->replica_fd, EV_READ | EV_PERSIST, proxy_accept_cb, p);
    if (p->replica_event == NULL || event_add(p->replica_event, NULL) != 0) {
        return ERR_IO;
    }
    log_info("reads of a replica at %s:%d", s->host, (int)s->replica_port);
    return ERR_OK;
}

static int proxy_open_port(struct proxy *p, const struct settings *s)
{
    struct leader_address address = {.port = (int)s->announce_port};

    if (s->replica_port > 0 && proxy_open_replica_port(p, s) != ERR_OK) {
        return ERR_IO;
    }
    p->listen_fd = net_listen(s->host, (int)s->port, 4096);
    if (p->listen_fd < 0) {
        log_error("listening on %s:%d: %s", s->host, (int)s->port, strerror(errno));
        return ERR_IO;
    }
    if (address.port == 0) {
        address.port = net_port(p->listen_fd);
    }
    (void)snprintf(address.host, sizeof address.host, "%s",
                   s->announce_host[0] != '\0' ? s->announce_host : s->host);
    p->leader = leader_create(s->name, address.host, address.port);
    leader_print_address(&address, p->address, sizeof p->address);
    return ERR_OK;
}

static int proxy_open_events(struct proxy *p, const struct settings *s)
{
    int signals[] = {SIGTERM, SIGINT};

    p->accept_event = event_new(p->base, p->listen_fd, EV_READ | EV_PERSIST, proxy_accept_cb, p);
    p->tick_event = event_new(p->base, -1, 0, proxy_tick_cb, p);
    if (p->accept_event == NULL || p->tick_event == NULL || event_add(p->accept_event, NULL) != 0) {
        return ERR_IO;
    }
    for (int i = 0; i < 2; i++) {
        p->signal_events[i] =
            event_new(p->base, signals[i], EV_SIGNAL | EV_PERSIST, proxy_signal_cb, p);
        if (p->signal_events[i] == NULL || event_add(p->signal_events[i], NULL) != 0) {
            return ERR_IO;
        }
    }
    proxy_schedule_tick(p, clock_now_ns());
    log_info("clients connect to %s:%d", s->host, net_port(p->listen_fd));
    return ERR_OK;
}

int proxy_open(struct proxy *p, const struct settings *s)
{
    memset(p, 0, sizeof *p);
    p->settings = s;
    p->listen_fd = -1;
    p->replica_fd = -1;
    (void)signal(SIGPIPE, SIG_IGN);
    p->watchdog = s->watchdog ? watchdog_start() : NULL;
    random_init(&p->random, random_seed());
    p->base = event_base_new();
    MUST(p->base != NULL);
    histogram_window_init(&p->commit_us, 10 * CLOCK_NS_PER_S, clock_now_ns());
    p->tracker = tracker_create(random_next(&p->random), 0);
    credentials_init(&p->credentials, s->redis_password);
    proxy_open_engine(p, s);
    proxy_open_privates(p, s);
    proxy_open_clients(p, s);
    proxy_open_monitor(p, s);
    int rc = proxy_open_port(p, s);
    if (rc == ERR_OK) {
        proxy_open_forward(p, s);
        rc = proxy_open_log(p, s);
    }
    if (rc == ERR_OK) {
        rc = proxy_open_redis(p, s);
    }
    if (rc == ERR_OK) {
        rc = proxy_open_sentinel(p, s);
    }
    return rc == ERR_OK ? proxy_open_events(p, s) : rc;
}

static void proxy_free_event(struct event *event)
{
    if (event != NULL) {
        event_free(event);
    }
}

void proxy_close(struct proxy *p)
{
    watchdog_stop(p->watchdog);
    proxy_free_event(p->accept_event);
    proxy_free_event(p->replica_event);
    proxy_free_event(p->tick_event);
    proxy_free_event(p->transport_event);
    proxy_free_event(p->signal_events[0]);
    proxy_free_event(p->signal_events[1]);
    if (p->listen_fd >= 0) {
        (void)close(p->listen_fd);
    }
    if (p->replica_fd >= 0) {
        (void)close(p->replica_fd);
    }
    proxy_close_redis(p);
    engine_destroy(p->engine);
    engine_destroy(p->monitor);
    private_destroy(p->privates);
    clients_fini(&p->clients);
    proxy_close_forward(p);
    proxy_close_privates(p);
    router_fini(&p->router);
    request_pool_release(&p->pool);
    tracker_destroy(p->tracker);
    command_table_destroy(p->table);
    proxy_close_borrow(p);
    proxy_close_sentinel(p);
    leader_destroy(p->leader);
    proxy_close_shipping(p);
    proposer_destroy(p->proposer);
    if (p->transport != NULL) {
        transport_close(p->transport);
    }
    buf_release(&p->wire);
    event_base_free(p->base);
}
