/* Whether Redis may soon be out of memory (maxmemory), or is. Redis refuses what needs memory
 * as MULTI queues it; while this may come to pass it is asked each time (transaction.c), and never
 * otherwise. What falls between two looks is refused at EXEC, as one piece. Where another proxy
 * leads, that one's Redis is asked; what is known of it is what it has refused, and CONFIG SET. */
#include "proxy/node/proxy.h"

#include "common/clock.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

/* A CONFIG SET that was seen may take so long to be carried out. */
enum { PROXY_MEMORY_MS = 500, PROXY_MEMORY_DOUBT_MS = 2000, PROXY_MEMORY_TIGHT_PERCENT = 90 };

static unsigned long long memory_field(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static bool memory_is_tight(const char *info)
{
    unsigned long long limit = memory_field(info, "\nmaxmemory:");

    return limit > 0 && strstr(info, "\nmaxmemory_policy:allkeys-") == NULL &&
           memory_field(info, "\nused_memory:") >= limit / 100 * PROXY_MEMORY_TIGHT_PERCENT;
}

static bool memory_in_doubt(const struct proxy *p, uint64_t now_ns)
{
    uint64_t doubt_ns = PROXY_MEMORY_DOUBT_MS * CLOCK_NS_PER_MS;

    return now_ns - p->router.config_set_ns <= doubt_ns || now_ns - p->memory_lacked_ns <= doubt_ns;
}

static void memory_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    p->memory_asked = false;
    if (reply != NULL && reply->type == REDIS_REPLY_STRING && !memory_in_doubt(p, clock_now_ns())) {
        p->router.memory_tight = memory_is_tight(reply->str);
    }
}

void proxy_note_memory(struct proxy *p, const struct request *r)
{
    if (request_lacked_memory(r)) {
        p->router.memory_tight = true;
        p->memory_lacked_ns = p->clients.now_ns;
    }
}

void proxy_tick_memory(struct proxy *p, uint64_t now_ns)
{
    if (!p->memory_asked && now_ns - p->memory_ns >= PROXY_MEMORY_MS * CLOCK_NS_PER_MS) {
        p->memory_ns = now_ns;
        p->memory_asked = control_send(p->control, memory_cb, p, "INFO memory");
        if (!p->memory_asked && !memory_in_doubt(p, now_ns)) {
            p->router.memory_tight = false; /* not ours */
        }
    }
}
