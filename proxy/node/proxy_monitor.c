/* What scripts do, for clients that monitor. Requests of clients are told of by ourselves, with
 * their addresses (proxy/clients/monitor.h); what a script calls only Redis knows. So while anybody
 * monitors, a link of our own does, too, and of what it hears the lines of scripts are passed on
 * (monitor_told).
 * It exists only as long; Redis pays for it as for any client that monitors. */
#include "proxy/node/proxy.h"

#include "common/log.h"
#include "proxy/clients/monitor.h"
#include "proxy/clients/session.h"

static void monitor_up(void *ctx)
{
    static const struct resp_arg word = {(const uint8_t *)"MONITOR", 7};
    struct proxy *p = ctx;

    engine_add(p->monitor, request_take(&p->pool), 0, 2, &word, 1);
}

/* MONITOR is answered, which nobody waits for but those who want to know that it was. */
static void monitor_fenced(void *ctx, struct request *first, uint64_t bound)
{
    struct proxy *p = ctx;

    (void)bound;
    request_give(&p->pool, first);
    p->router.monitors_scripts = true;
    p->clients.monitor_wanted = false;
    session_link_settled(&p->clients);
}

static void monitor_down(void *ctx, struct request *unknown, struct request *unsent,
                         const char *reason)
{
    struct proxy *p = ctx;
    struct request *lists[] = {unknown, unsent};

    for (int i = 0; i < 2; i++) {
        if (lists[i] != NULL) {
            request_give(&p->pool, lists[i]);
        }
    }
    log_debug("the link that monitors ended: %s", reason);
    p->router.monitors_scripts = false;
    monitor_give_up(&p->clients);
    p->clients.monitor_wanted = false; /* they do without */
    session_link_settled(&p->clients);
}

static void monitor_push(void *ctx, const uint8_t *bytes, size_t size, struct request *before)
{
    struct proxy *p = ctx;

    (void)before;
    monitor_told(&p->clients, bytes, size);
}

static const struct engine_events monitor_events = {
    .up = monitor_up, .fenced = monitor_fenced, .down = monitor_down, .push = monitor_push};

void proxy_turn_monitor(struct proxy *p, uint64_t now_ns)
{
    bool wanted = (p->clients.monitor_wanted || p->clients.monitors != NULL) &&
                  router_serves(&p->router) && p->streaming;

    if (!wanted) {
        engine_stop(p->monitor, "nobody monitors any more");
        if (p->clients.monitor_wanted && !router_serves(&p->router)) { /* it never began */
            p->clients.monitor_wanted = false;
            session_link_settled(&p->clients);
        }
    } else if (engine_is_down(p->monitor)) {
        engine_set_fenced(p->monitor, false);
        engine_start(p->monitor, &p->role.replid, now_ns);
    } else {
        engine_flush(p->monitor, now_ns);
    }
    monitor_turn(&p->clients, now_ns);
}

void proxy_open_monitor(struct proxy *p, const struct settings *s)
{
    struct engine_config config = {
        .kind = ENGINE_PRIVATE,
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = p->credentials.link_password,
        .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
        .batches_in_flight = 1,
    };

    p->router.scripts_can_be_monitored = true;
    p->monitor = engine_create(p->base, &config, &monitor_events, p);
}
