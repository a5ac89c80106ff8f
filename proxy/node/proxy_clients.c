/* The two ends of a request: what clients ask and what becomes of it, what the engine answers and
 * what its end means for those who wait. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "proxy/clients/acl.h"
#include "proxy/clients/monitor.h"
#include "proxy/clients/session.h"
#include "proxy/clients/transaction.h"
#include "proxy/node/client_settings.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { PROXY_ACCEPTS_A_TURN = 256, PROXY_ENGINE_RETRY_MS = 100, PROXY_FILES_RESERVED = 256 };

/* ---- the engine's events ---- */

static void proxy_engine_up(void *ctx)
{
    (void)ctx;
    log_debug("the engine's link is up");
}

/* Redis' answer is about the link; the client's is about the proxy's clients. */
static void proxy_amend_reply(struct proxy *p, struct request *r)
{
    if ((r->flags & REQUEST_INFO) != 0) {
        proxy_correct_info(p, r, true);
    } else if ((r->flags & REQUEST_GATE) != 0) {
        acl_answered(r);
    } else {
        pubsub_published(p->pubsub, r);
    }
}

/* What WAIT asks for; and that nobody waits for a commit who does not want to. */
void proxy_note_bound(struct proxy *p, struct request *r, uint64_t bound)
{
    bool fenced = bound != ENGINE_UNFENCED;

    if (fenced && bound > p->router.last_bound) {
        p->router.last_bound = bound;
    }
    if (fenced && !r->waiter.harmless && bound > r->client->written) {
        r->client->written = bound;
    }
    r->waiter.async = (r->flags & REQUEST_ASYNC) != 0;
    p->async_replies += r->waiter.async && !r->waiter.harmless && fenced;
}

void proxy_fenced(struct proxy *p, struct request *first, uint64_t bound)
{
    for (struct request *r = first, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        if (r->client == NULL) {
            request_learn(r);
            request_give(&p->pool, r);
            continue;
        }
        if ((r->flags & (REQUEST_INFO | REQUEST_PUBLISH | REQUEST_GATE)) != 0) {
            proxy_amend_reply(p, r);
        }
        if (!request_amend(r)) {
            request_give(&p->pool, r);
            continue;
        }
        r->stage = REQUEST_ANSWERED;
        client_answered(r);
        proxy_note_bound(p, r, bound);
        if (r->waiter.harmless) {
            client_release(r);
        } else if (bound == ENGINE_UNFENCED) {
            proxy_unbound(p, r);
        } else {
            tracker_add(p->tracker, &r->waiter, bound);
        }
    }
}

static void proxy_engine_fenced(void *ctx, struct request *first, uint64_t bound)
{
    struct proxy *p = ctx;

    p->router.busy[0] = '\0';
    proxy_fenced(p, first, bound);
    if (bound != ENGINE_UNFENCED) {
        proxy_bound_pushes(p, bound);
    }
}

void proxy_answer_unsent(struct proxy *p, struct request *unsent, const char *error)
{
    for (struct request *r = unsent, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        if (r->client == NULL) {
            request_give(&p->pool, r);
            continue;
        }
        r->stage = REQUEST_ANSWERED;
        request_set_reply(r, error, strlen(error));
        if ((r->flags & (REQUEST_AUTH | REQUEST_GATE)) != 0) {
            acl_answered(r); /* this is the answer to the request that waits for it, too */
        }
        client_answered(r);
        client_release(r);
    }
}

static void proxy_engine_down(void *ctx, struct request *unknown, struct request *unsent,
                              const char *reason)
{
    struct proxy *p = ctx;
    size_t closed = 0;

    for (struct request *r = unknown, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        if (r->client != NULL) {
            client_close(r->client, "its request's outcome is unknown");
            closed++;
        }
        request_give(&p->pool, r);
    }
    for (struct request *r = unsent, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        /* It never reached Redis, so an error is the truth. */
        if (r->client == NULL || !proxy_forward_unsent(p, r)) {
            proxy_refuse_unsent(p, r, true);
        }
    }
    log_warn("the engine's link ended: %s; %zu clients closed, outcome unknown", reason, closed);
    p->engine_retry_ns = clock_now_ns() + PROXY_ENGINE_RETRY_MS * CLOCK_NS_PER_MS;
}

/* The stream of that Redis is not to be gone on with either; taking it up again finds out what has
 * become of it. */
void proxy_redis_is_strange(struct proxy *p, const char *reason)
{
    struct role_view view;

    if (!p->streaming) {
        return; /* it is being looked at already */
    }
    capture_stop(p->capture);
    p->streaming = false;
    proxy_view(p, &view);
    role_detached(&p->role, &view, reason);
}

static void proxy_engine_stranger(void *ctx, const char *reason)
{
    proxy_redis_is_strange(ctx, reason);
}

/* ---- the clients' events ---- */

static void proxy_client_request(void *ctx, struct client *c, const struct resp_arg *argv,
                                 size_t argc)
{
    struct proxy *p = ctx;
    router_request(&p->router, c, argv, argc);
}

static void proxy_client_abandoned(void *ctx, struct request *r)
{
    struct proxy *p = ctx;

    if (r->op != NULL) {
        pubsub_abandoned(r);
    }
    if ((r->flags & REQUEST_UNBOUNDED) != 0) {
        return; /* it is let go of when a fence is back */
    }
    if ((r->flags & REQUEST_WAIT) != 0) {
        session_wait_abandoned(&p->router, r);
    } else if (r->stage == REQUEST_SENT) {
        return; /* the engine or the forward hands it back */
    }
    tracker_remove(p->tracker, &r->waiter);
    request_give(&p->pool, r);
}

static void proxy_client_closed(void *ctx, struct client *c)
{
    struct proxy *p = ctx;

    transaction_discard(c);
    pubsub_client_gone(p->pubsub, c);
    monitor_leave(c);
    acl_client_gone(c);
    if (c->redirect != NULL) {
        private_drop(c->redirect);
    }
    if (c->link != NULL) {
        private_drop(c->link);
    }
}

static void proxy_log_state(void *ctx, struct waits_log *log)
{
    const struct proxy *p = ctx;

    log->count = 0;
    log->committed = proposer_commit(p->proposer);
    for (unsigned i = 0; i < proposer_node_count(p->proposer); i++) {
        struct proposer_node_info node;
        proposer_node(p->proposer, i, &node);
        if (node.member && node.acked && log->count < WAITS_NODES_MAX) {
            log->flushed[log->count++] = node.flushed;
        }
    }
}

static void proxy_client_wait(void *ctx, struct request *r)
{
    struct proxy *p = ctx;
    session_wait_reply(&p->router, r);
}

void proxy_accept_cb(int fd, short what, void *arg)
{
    struct proxy *p = arg;

    (void)what;
    for (int i = 0; i < PROXY_ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof peer;
        int client_fd =
            accept4(fd, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client_fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                log_warn("accepting a client: %s; more are accepted later", strerror(errno));
                (void)event_del(p->accept_event); /* it stays readable; until the slow tick */
                if (p->replica_event != NULL) {
                    (void)event_del(p->replica_event);
                }
                p->accept_rests_ns = clock_now_ns();
            }
            return;
        }
        struct client *c = clients_accept(&p->clients, client_fd);
        if (c != NULL) {
            c->replica_port = fd == p->replica_fd;
        }
    }
}
/* ---- set-up ---- */

static const struct engine_events proxy_engine_events = {.up = proxy_engine_up,
                                                         .fenced = proxy_engine_fenced,
                                                         .down = proxy_engine_down,
                                                         .stranger = proxy_engine_stranger,
                                                         .slow = proxy_slow};
static const struct client_events proxy_client_events = {.request = proxy_client_request,
                                                         .abandoned = proxy_client_abandoned,
                                                         .closed = proxy_client_closed,
                                                         .wait_reply = proxy_client_wait};

/* They are many, and must not take the files that clients need. */
size_t proxy_private_room(const struct settings *s)
{
    struct rlimit limit;
    size_t most = (size_t)s->private_max;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max / 4 < most
               ? (size_t)(limit.rlim_max / 4)
               : most;
}

/* As many descriptors as clients_max may need, as far as the system lets us. Returns how many
 * clients fit: they must leave some for our own connections, which may have to be made anew. */
static size_t proxy_raise_file_limit(const struct settings *s, size_t clients)
{
    struct rlimit limit;
    rlim_t reserved = PROXY_FILES_RESERVED + (rlim_t)proxy_private_room(s) +
                      (rlim_t)s->forward_links +
                      (s->sentinel_port != 0 ? (rlim_t)s->sentinel_clients_max : 0);
    rlim_t wanted = (rlim_t)clients + reserved;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return clients;
    }
    struct rlimit raised = {.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted,
                            .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        limit = raised;
    }
    if (limit.rlim_cur < wanted) {
        clients = limit.rlim_cur > 2 * reserved ? limit.rlim_cur - reserved : limit.rlim_cur / 2;
        log_warn("only %llu files may be open: %zu clients fit, not as many as are wanted",
                 (unsigned long long)limit.rlim_cur, clients);
    }
    return clients;
}

static size_t proxy_clients_room(void *ctx, size_t wanted)
{
    const struct proxy *p = ctx;
    return proxy_raise_file_limit(p->settings, wanted);
}

static int proxy_config_rewritten(void *ctx)
{
    const struct proxy *p = ctx;
    int rc = client_settings_save(p->settings->data_dir, &p->clients.config);

    if (rc != 0) {
        log_warn("client-settings in %s can't be written: %s", p->settings->data_dir, strerror(rc));
    }
    return rc;
}

/* What CONFIG REWRITE has kept of clients comes before the proxy's own configuration. Redis has no
 * limit for subscribers while we are attached: clients are shown ours. */
static void proxy_load_kept(struct proxy *p)
{
    const struct settings *s = p->settings;
    struct client_config config = p->clients.config;

    config.output[CLIENT_CONFIG_PUBSUB].shown = true;
    config.output[CLIENT_CONFIG_PUBSUB].hard_bytes = (uint64_t)s->pubsub_max_bytes;
    config.output[CLIENT_CONFIG_PUBSUB].soft_bytes = (uint64_t)s->pubsub_soft_bytes;
    config.output[CLIENT_CONFIG_PUBSUB].soft_s = (uint64_t)s->pubsub_soft_ms / 1000;
    clients_configure(&p->clients, &config);
    int rc = client_settings_load(s->data_dir, &config);

    if (rc != 0) {
        log_error("client-settings in %s can't be read: %s; it is left out", s->data_dir,
                  strerror(rc));
        return;
    }
    if (config.numbers[CLIENT_CONFIG_MAXCLIENTS].set) {
        uint64_t *most = &config.numbers[CLIENT_CONFIG_MAXCLIENTS].value;
        *most = proxy_raise_file_limit(s, (size_t)*most);
    }
    clients_configure(&p->clients, &config);
}

void proxy_open_clients(struct proxy *p, const struct settings *s)
{
    struct client_limits limits = {
        .clients_max = proxy_raise_file_limit(s, (size_t)s->clients_max),
        .pending_max = (size_t)s->pending_max,
        .logins_max = (unsigned)(s->private_max / 8 < 1    ? 1
                                 : s->private_max / 8 > 16 ? 16
                                                           : s->private_max / 8),
        .withheld_max_bytes = (size_t)s->withheld_client_max_bytes,
        .query_max_bytes = (size_t)s->query_client_max_bytes,
        .query_total_max_bytes = (size_t)s->query_total_max_bytes,
        .withheld_total_max_bytes = (size_t)s->withheld_total_max_bytes,
        .resp = RESP_LIMITS_REDIS,
    };
    struct router_config router = {
        .password = p->credentials.password,
        .credentials = &p->credentials,
        .user = s->redis_user,
        .databases = 16,
        .transaction_max_bytes = (size_t)s->transaction_max_bytes,
    };

    limits.resp.bulk_max_bytes = (size_t)s->bulk_max_bytes;
    clients_init(&p->clients, p->base, &limits, &proxy_client_events, p, &p->pool);
    p->clients.async_default = !s->sync;
    router_init(&p->router, &router);
    p->clients.auth_required = session_needs_auth(&p->router);
    p->router.clients = &p->clients;
    p->router.engine = p->engine;
    p->router.tracker = p->tracker;
    p->router.privates = p->privates;
    p->router.pubsub = p->pubsub;
    p->router.info_text = info_text;
    p->router.clients_room = proxy_clients_room;
    p->router.config_rewritten = proxy_config_rewritten;
    p->router.correct_info = proxy_correct_info_reply;
    p->router.log_state = proxy_log_state;
    p->router.kill = proxy_kill_script;
    p->router.admin = admin_answer;
    p->router.info_ctx = p;
    proxy_load_kept(p);
}
void proxy_open_engine(struct proxy *p, const struct settings *s)
{
    struct engine_config engine = {
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = p->credentials.link_password,
        .name = "holdfast",
        .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
        .stall_ms = (uint32_t)s->redis_stall_ms,
        .batches_in_flight = (unsigned)s->redis_batches_in_flight,
        .slow_ns = &p->clients.slowlog.slower_ns,
    };
    p->engine = engine_create(p->base, &engine, &proxy_engine_events, p);
}
