/* What a connection wants of durability: WAIT and WAITAOF, answered from the log (waits.h), and
 * HOLDFAST SYNC, by which a client does without. Texts and the order of checks of WAIT are those of
 * waitCommand and waitaofCommand (replication.c in Redis 7.0 and 7.2). */
#include "proxy/clients/session_impl.h"

#include "common/clock.h"
#include "common/mem.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* ---- what is asked for ---- */

/* A time-out as getTimeoutFromObjectOrReply reads it; false: answered with its error. */
static bool wait_take_timeout(struct client *c, const struct resp_arg *arg, uint64_t *until_ns)
{
    long long timeout_ms;

    if (!resp_arg_integer(arg, &timeout_ms)) {
        client_answer_error(c, "ERR timeout is not an integer or out of range");
    } else if (timeout_ms < 0) {
        client_answer_error(c, "ERR timeout is negative");
    } else if ((uint64_t)timeout_ms > UINT64_MAX / CLOCK_NS_PER_MS - c->all->now_ns) {
        client_answer_error(c, "ERR timeout is out of range");
    } else {
        *until_ns =
            timeout_ms == 0 ? UINT64_MAX : c->all->now_ns + (uint64_t)timeout_ms * CLOCK_NS_PER_MS;
        return true;
    }
    return false;
}

/* WAIT numreplicas timeout; WAITAOF numlocal numreplicas timeout. False: answered with an error. */
static bool wait_parse(struct client *c, const struct resp_arg *argv, struct wait *w)
{
    long long local = 0;

    w->aof = resp_arg_is(&argv[0], "waitaof");
    if (w->aof && !resp_arg_integer(&argv[1], &local)) {
        client_answer_error(c, "ERR value is not an integer or out of range");
        return false;
    }
    if (local < 0 || local > 1) {
        client_answer_error(c, "ERR value is out of range, value must between 0 and 1");
        return false;
    }
    if (!resp_arg_integer(&argv[w->aof ? 2 : 1], &w->nodes)) {
        client_answer_error(c, "ERR value is not an integer or out of range");
        return false;
    }
    if (w->aof && w->nodes < 0) {
        client_answer_error(c, "ERR value is out of range, must be positive");
        return false;
    }
    w->local = local != 0;
    return wait_take_timeout(c, &argv[w->aof ? 3 : 2], &w->until_ns);
}

/* ---- waiting ---- */

static void wait_over(struct request *r)
{
    r->client->wait = NULL;
    r->stage = REQUEST_ANSWERED;
    client_answered(r);
    client_release(r);
}

/* Over a link come the requests of many: its writes are all that were ever answered there. */
static uint64_t wait_target(const struct router *router, const struct client *c)
{
    return c->nonce[0] != '\0' ? router->last_bound : c->written;
}

/* Here, until the log has what the client wrote. What it asks behind that waits, unread. */
static void wait_begin(struct router *router, struct client *c, const struct wait *asked)
{
    struct waits_log log;

    if (c->unanswered > 0) {
        client_postpone(c); /* what it wrote is not known yet */
        return;
    }
    c->lane = CLIENT_LANE_WAIT;
    struct request *r = client_queue(c, REQUEST_WAIT);
    struct wait *w = mem_alloc(sizeof *w);
    *w = *asked;
    w->owner = r;
    w->target = wait_target(router, c);
    r->note = w;
    router->log_state(router->info_ctx, &log);
    if (waits_is_met(&log, w)) {
        wait_over(r);
        return;
    }
    c->wait = w;
    waits_add(&router->waits, w);
}

/* The proxy that leads knows its log nodes; over a link of the client's own, since it may block. */
static void wait_pass_on(struct router *router, struct client *c, enum route route,
                         const struct resp_arg *argv, size_t argc)
{
    const char *refusal = router_refusal(router, c, false, false);

    if (refusal != NULL) {
        client_answer_error(c, refusal);
    } else if (c->unanswered > 0) {
        client_postpone(c);
    } else if (router_choose_lane(router, c, true, route)) {
        c->blocks = true;
        buf_clear(&router->hashes);
        (void)router_send(router, c, route, 0, false, true, argv, argc);
    }
}

const struct command *session_waitaof(void)
{
    static char name[] = "waitaof";
    static const struct command waitaof = {.name = name, .arity = 4, .rule = COMMAND_RULE_HARMLESS};

    return &waitaof;
}

static void wait_put_reply(const struct waits_log *log, bool aof, uint64_t target,
                           struct buf *reply)
{
    if (aof) {
        resp_put_array(reply, 2);
        resp_put_integer(reply, log->committed >= target);
    }
    resp_put_integer(reply, waits_nodes(log, target));
}

/* Inside EXEC nobody waits, and what the transaction writes is not asked for. */
static void wait_at_once(struct router *router, struct client *c, const struct wait *asked)
{
    struct waits_log log;

    router->log_state(router->info_ctx, &log);
    buf_clear(&router->text);
    wait_put_reply(&log, asked->aof, wait_target(router, c), &router->text);
    router_answer(router, c, 0);
}

void session_wait(struct router *router, struct client *c, const struct resp_arg *argv, size_t argc)
{
    enum route route = router_route(router, c, false, false, true);
    struct wait asked = {0};
    const char *replica =
        resp_arg_is(&argv[0], "waitaof")
            ? "ERR WAITAOF cannot be used with replica instances. Please also note that writes to "
              "replicas are just local and are not propagated."
            : "ERR WAIT cannot be used with replica instances. Please also note that since Redis "
              "4.0 if a replica is configured to be writable (which is not the default) writes to "
              "replicas are just local and are not propagated.";

    if (c->replica_port && !router_serves(router)) {
        client_answer_error(c, replica);
    } else if (!wait_parse(c, argv, &asked)) {
        return;
    } else if (c->all->capture != NULL) {
        wait_at_once(router, c, &asked);
    } else if (route == ROUTE_ENGINE) {
        wait_begin(router, c, &asked);
    } else if (route == ROUTE_MOVED) {
        router_answer_moved(router, c);
    } else {
        wait_pass_on(router, c, route, argv, argc);
    }
}

void session_wait_turn(struct router *router, uint64_t now_ns)
{
    struct waits_log log;
    struct wait *w;

    if (router->waits.count == 0) {
        return;
    }
    router->log_state(router->info_ctx, &log);
    while ((w = waits_next_over(&router->waits, &log, now_ns)) != NULL) {
        wait_over(w->owner);
    }
}

void session_wait_reply(struct router *router, struct request *r)
{
    const struct wait *w = r->note;
    struct waits_log log;
    struct buf reply = BUF_INIT;

    router->log_state(router->info_ctx, &log);
    wait_put_reply(&log, w->aof, w->target, &reply);
    request_take_reply(r, &reply);
}

void session_wait_abandoned(struct router *router, struct request *r)
{
    waits_remove(&router->waits, r->note);
}

bool session_wait_unblock(struct router *router, struct client *blocked, bool with_error)
{
    static const char text[] = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";

    if (blocked->wait == NULL) {
        return false;
    }
    struct request *r = blocked->wait->owner;
    waits_remove(&router->waits, blocked->wait);
    if (with_error) {
        r->flags &= ~(uint32_t)REQUEST_WAIT;
        request_set_reply(r, text, sizeof text - 1);
    }
    wait_over(r);
    return true;
}

/* ---- HOLDFAST SYNC [ON|OFF] ---- */

void session_sync(struct client *c, const struct resp_arg *argv, size_t argc)
{
    if (argc == 2) {
        client_answer(c, c->async ? "+OFF\r\n" : "+ON\r\n", c->async ? 6 : 5, 0);
    } else if (argc == 3 && (resp_arg_is(&argv[2], "on") || resp_arg_is(&argv[2], "off"))) {
        c->async = resp_arg_is(&argv[2], "off");
        router_answer_ok(c);
    } else {
        client_answer_error(c, "ERR HOLDFAST SYNC takes ON, OFF or nothing");
    }
}
