/* Scripts that take too long. Redis answers other connections with -BUSY then, but reads nothing
 * more from the one that the script came over, which is the one that all share. So its word for it
 * is asked for over the control connection, and given to everybody whose request was not sent; and
 * SCRIPT KILL goes over the control connection as well. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROXY_STALL_MS = 100 };

struct busy {
    const char *text;
    const struct client *runs_for; /* whose script it is, as far as can be told */
};

/* What reads only, and was sent already, may be answered as well: nobody can tell whether Redis
 * runs it later, or has run it just before the script, and its fence waits for that. A write has to
 * wait, and what asks on behalf of another request (acl.h). What the script's own client sent
 * behind it waits, as in Redis. */
static void busy_tell(void *ctx, struct request *r)
{
    const struct busy *busy = ctx;
    struct buf reply = BUF_INIT;

    if ((r->flags & REQUEST_RETRY) == 0 ||
        (r->flags & (REQUEST_BARRIER | REQUEST_BLOCK | REQUEST_GATE)) != 0 || r->client == NULL ||
        r->client == busy->runs_for) {
        return;
    }
    resp_put_error(&reply, busy->text);
    client_answer_early(r, buf_head(&reply), reply.len);
    buf_release(&reply);
}

static void busy_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    p->busy_asked = false;
    if (reply == NULL || reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "BUSY", 4) != 0 ||
        engine_stalled_ns(p->engine, clock_now_ns()) == 0) {
        p->router.busy[0] = '\0';
        return;
    }
    if (p->router.busy[0] == '\0') {
        log_warn("a script keeps Redis busy; clients are told so");
    }
    (void)snprintf(p->router.busy, sizeof p->router.busy, "%s", reply->str);
    struct busy busy = {p->router.busy, engine_runs_for(p->engine)};
    for (struct request *r = engine_take_unsent(p->engine, busy.runs_for), *next; r != NULL;
         r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        proxy_refuse(p, r, p->router.busy);
    }
    engine_each_held_up(p->engine, busy_tell, &busy);
}

void proxy_busy_tick(struct proxy *p, uint64_t now_ns)
{
    if (!p->busy_asked && engine_stalled_ns(p->engine, now_ns) > PROXY_STALL_MS * CLOCK_NS_PER_MS) {
        p->busy_asked = control_send(p->control, busy_cb, p, "PING");
    }
}

/* ---- SCRIPT KILL ---- */

static void kill_answer(struct request *r, const void *bytes, size_t size)
{
    request_set_reply(r, bytes, size);
    r->stage = REQUEST_ANSWERED;
    client_answered(r);
    client_release(r);
}

struct kill {
    struct proxy *proxy;
    struct request *request;
};

static void kill_cb(void *ctx, const struct redisReply *reply)
{
    struct kill *kill = ctx;
    struct request *r = kill->request;
    struct buf bytes = BUF_INIT;

    if (r->client != NULL && reply != NULL) {
        control_reply_bytes(reply, &bytes);
        kill_answer(r, buf_head(&bytes), bytes.len);
        buf_release(&bytes);
    } else {
        if (r->client != NULL) {
            client_close(r->client, "the outcome of its SCRIPT KILL is unknown");
        }
        request_give(&kill->proxy->pool, r);
    }
    free(kill);
}

void proxy_kill_script(void *ctx, struct request *r, const char *name)
{
    static const char down[] = "-LOADING Redis is loading the dataset in memory\r\n";
    struct kill *kill = mem_alloc(sizeof *kill);

    *kill = (struct kill){ctx, r};
    r->stage = REQUEST_SENT;
    r->waiter.harmless = true;
    const char *words = strcmp(name, "script|kill") == 0     ? "SCRIPT KILL"
                        : strcmp(name, "function|kill") == 0 ? "FUNCTION KILL"
                                                             : "FUNCTION STATS";
    if (!control_send(kill->proxy->control, kill_cb, kill, words)) {
        free(kill);
        kill_answer(r, down, sizeof down - 1);
    }
}
