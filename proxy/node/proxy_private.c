/* What becomes of what clients ask on links of their own. */
#include "proxy/node/proxy.h"

#include "common/log.h"
#include "proxy/clients/acl.h"
#include "proxy/clients/session.h"
#include "proxy/clients/transaction.h"

#include <inttypes.h>
#include <string.h>

enum { PROXY_PRIVATE_IDLE_MAX = 64, PROXY_PRIVATE_SPARE = 4 };

static void proxy_private_fenced(void *ctx, struct request *first, uint64_t bound)
{
    struct proxy *p = ctx;

    for (struct request *r = first; r != NULL; r = r->next_in_batch) {
        if (r->client != NULL && r->client->first == r) {
            r->client->oldest_ns = p->clients.now_ns; /* it may have blocked for hours */
        }
        if (r->client != NULL && (r->flags & REQUEST_AUTH) != 0) {
            acl_answered(r);
        }
    }
    proxy_fenced(p, first, bound);
}

static void proxy_private_down(void *ctx, struct client *c, unsigned kept, struct request *unknown,
                               struct request *unsent, const char *reason)
{
    struct proxy *p = ctx;

    if ((kept & PRIVATE_MULTI) != 0) {
        transaction_unship(c); /* first: closing the client would tell the link to forget it */
    }
    if (unknown != NULL || (kept & ~(unsigned)PRIVATE_MULTI) != 0) {
        log_info("client %llu closed, its private link ended: %s", (unsigned long long)c->id,
                 reason);
        client_close(c, "the outcome of its requests is unknown");
    }
    for (struct request *r = unknown, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        request_give(&p->pool, r);
    }
    proxy_answer_unsent(p, unsent, "-ERR no connection to Redis can be made for this command\r\n");
}

void proxy_unbound(struct proxy *p, struct request *r)
{
    r->waiter.bound = engine_fences_sent(p->engine);
    r->flags |= REQUEST_UNBOUNDED;
    if (p->unbounded_last != NULL) {
        p->unbounded_last->next_in_batch = r;
    } else {
        p->unbounded_first = r;
    }
    p->unbounded_last = r;
}

/* ---- pushes: what CLIENT TRACKING tells ---- */

/* "tracking-redir-broken" names the client that has gone, by the number that Redis had for it. */
void proxy_put_push(const struct client *c, const uint8_t *bytes, size_t size, struct buf *out)
{
    static const char broken[] = ">2\r\n$21\r\ntracking-redir-broken\r\n:";

    if (size > sizeof broken && memcmp(bytes, broken, sizeof broken - 1) == 0) {
        buf_printf(out, "%s%" PRIu64 "\r\n", broken, c->redirects_to);
    } else {
        buf_append(out, bytes, size);
    }
}

/* It stands where Redis put it: behind what was answered before, or a client would keep a value
 * that it gets to know after it was told to forget it. It is bounded by a fence of the shared link,
 * since its own link may be blocked, and may tell of anything before that. */
static void proxy_private_push(void *ctx, struct client *c, const uint8_t *bytes, size_t size,
                               struct request *before)
{
    struct proxy *p = ctx;
    struct buf text = BUF_INIT;

    if (c->resp != 3) {
        return;
    }
    while (before != NULL && before->client != c) {
        before = before->next_in_batch;
    }
    proxy_put_push(c, bytes, size, &text);
    struct request *r = client_insert(c, before, buf_head(&text), text.len);
    buf_release(&text);
    r->waiter.keyspace = true;
    proxy_unbound(p, r);
}

/* Another client's reads are forgotten, and this one is told (sendTrackingMessage in tracking.c):
 * in RESP3 by a push, in RESP2, if it subscribed to anything, by a message. Before what it still
 * waits for, since that may block. */
struct request *proxy_insert_redirected(struct client *c, const uint8_t *bytes, size_t size)
{
    static const char push[] = ">2\r\n$10\r\ninvalidate\r\n";
    static const char message[] = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
    struct buf text = BUF_INIT;

    if (size < sizeof push || memcmp(bytes, push, sizeof push - 1) != 0 ||
        (c->resp == 2 && !pubsub_has(c))) {
        return NULL;
    }
    buf_append_str(&text, c->resp == 2 ? message : push);
    buf_append(&text, bytes + sizeof push - 1, size - (sizeof push - 1));
    struct request *r = client_insert(c, client_first_unanswered(c), buf_head(&text), text.len);
    buf_release(&text);
    return r;
}

static void proxy_private_redirected(void *ctx, struct client *c, const uint8_t *bytes, size_t size)
{
    struct request *r = proxy_insert_redirected(c, bytes, size);

    if (r != NULL) {
        r->waiter.keyspace = true;
        proxy_unbound(ctx, r);
    }
}

void proxy_redirect_settled(void *ctx)
{
    struct proxy *p = ctx;
    session_link_settled(&p->clients);
}

static void proxy_bound_push(struct proxy *p, uint64_t bound)
{
    struct request *r = p->unbounded_first;

    p->unbounded_first = r->next_in_batch;
    if (p->unbounded_first == NULL) {
        p->unbounded_last = NULL;
    }
    r->next_in_batch = NULL;
    r->flags &= ~(uint32_t)REQUEST_UNBOUNDED;
    if (r->client == NULL) {
        request_give(&p->pool, r);
    } else {
        proxy_note_bound(p, r, bound);
        tracker_add(p->tracker, &r->waiter, bound);
    }
}

void proxy_bound_pushes(struct proxy *p, uint64_t bound)
{
    while (p->unbounded_first != NULL &&
           p->unbounded_first->waiter.bound < engine_fences_back(p->engine)) {
        proxy_bound_push(p, bound);
    }
}

void proxy_fence_pushes(struct proxy *p, uint64_t now_ns)
{
    if (p->unbounded_first != NULL) {
        engine_fence(p->engine, now_ns);
    }
}

void proxy_close_privates(struct proxy *p)
{
    while (p->unbounded_first != NULL) {
        proxy_bound_push(p, 0);
    }
    pubsub_destroy(p->pubsub);
}

static void proxy_private_stranger(void *ctx, const char *reason)
{
    proxy_redis_is_strange(ctx, reason);
}

static const struct private_events proxy_private_events = {.fenced = proxy_private_fenced,
                                                           .down = proxy_private_down,
                                                           .push = proxy_private_push,
                                                           .stranger = proxy_private_stranger,
                                                           .slow = proxy_slow,
                                                           .redirected = proxy_private_redirected,
                                                           .redirect_settled =
                                                               proxy_redirect_settled};

void proxy_open_privates(struct proxy *p, const struct settings *s)
{
    struct private_config config = {
        .kind = ENGINE_PRIVATE,
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = p->credentials.link_password,
        .links_max = proxy_private_room(s),
        .idle_max = PROXY_PRIVATE_IDLE_MAX,
        .spare = PROXY_PRIVATE_SPARE,
        .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
        .slow_ns = &p->clients.slowlog.slower_ns,
    };

    p->privates = private_create(p->base, &config, &proxy_private_events, p, &p->pool);
    struct pubsub_config pubsub = {
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = p->credentials.link_password,
        .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
        .withheld_max_bytes = (size_t)s->withheld_total_max_bytes,
        .unsent_max_bytes = (size_t)s->pubsub_max_bytes,
        .unsent_soft_bytes = (size_t)s->pubsub_soft_bytes,
        .unsent_soft_ms = (uint32_t)s->pubsub_soft_ms,
    };
    p->pubsub = pubsub_create(p->base, &pubsub, p->tracker, &p->pool);
}
