/* What becomes of what clients ask on links of their own. */
#include "proxy/proxy.h"

#include "common/log.h"

enum { PROXY_PRIVATE_IDLE_MAX = 64 };

static void proxy_private_fenced(void *ctx, struct request *first, uint64_t bound)
{
    struct proxy *p = ctx;

    for (struct request *r = first; r != NULL; r = r->next_in_batch) {
        if (r->client != NULL && r->client->first == r) {
            r->client->oldest_ns = p->clients.now_ns; /* it may have blocked for hours */
        }
    }
    proxy_fenced(p, first, bound);
}

static void proxy_private_down(void *ctx, struct client *c, unsigned kept, struct request *unknown,
                               struct request *unsent, const char *reason)
{
    struct proxy *p = ctx;

    if (unknown != NULL || kept != 0) {
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

static void proxy_private_stranger(void *ctx, const char *reason)
{
    proxy_redis_is_strange(ctx, reason);
}

static const struct private_events proxy_private_events = {
    .fenced = proxy_private_fenced, .down = proxy_private_down, .stranger = proxy_private_stranger};

void proxy_open_privates(struct proxy *p, const struct settings *s)
{
    struct private_config config = {
        .kind = ENGINE_PRIVATE,
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = s->redis_password,
        .links_max = (size_t)s->private_max,
        .idle_max = PROXY_PRIVATE_IDLE_MAX,
        .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
    };

    p->privates = private_create(p->base, &config, &proxy_private_events, p, &p->pool);
    struct pubsub_config pubsub = {
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = s->redis_password,
        .connect_timeout_ms = (uint32_t)s->redis_connect_timeout_ms,
        .withheld_max_bytes = (size_t)s->withheld_total_max_bytes,
        .unsent_max_bytes = (size_t)s->pubsub_max_bytes,
        .unsent_soft_bytes = (size_t)s->pubsub_soft_bytes,
        .unsent_soft_ms = (uint32_t)s->pubsub_soft_ms,
    };
    p->pubsub = pubsub_create(p->base, &pubsub, p->tracker, &p->pool);
}
