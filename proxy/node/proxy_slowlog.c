/* What the slow log's readers are told of whose commands those were (slowlog.h): which requests
 * took long, what Redis calls slow, and a look at its log now and then, so that not too much is
 * noted. */
#include "proxy/node/proxy.h"

#include "common/clock.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

/* A CONFIG SET that was seen may take so long to be carried out. */
enum { PROXY_SLOWLOG_MS = 1000, PROXY_SLOWLOG_DOUBT_MS = 2000 };
/* Below, looking might be slow itself, and fill the log. */
#define PROXY_SLOWLOG_LOOK_NS (5 * CLOCK_NS_PER_MS)

void proxy_slow(void *ctx, const struct request *r, const char *address, const uint8_t *bytes,
                size_t size, uint64_t took_ns)
{
    struct proxy *p = ctx;
    uint64_t ended_ms = clock_wall_ms();
    struct slowlog_request slow = {.link = address,
                                   .bytes = bytes,
                                   .size = size,
                                   .block = (r->flags & REQUEST_BLOCK) != 0,
                                   .who = r->client != NULL ? client_who(r->client) : r->who,
                                   .began_s = (ended_ms - took_ns / CLOCK_NS_PER_MS) / 1000,
                                   .ended_s = ended_ms / 1000,
                                   .took_us = took_ns / CLOCK_NS_PER_US};

    slowlog_note(&p->clients.slowlog, &slow);
}

/* What Redis says may be from before what it was told last. */
static bool slowlog_in_doubt(const struct proxy *p)
{
    return clock_now_ns() - p->router.config_set_ns <= PROXY_SLOWLOG_DOUBT_MS * CLOCK_NS_PER_MS;
}

static void slowlog_take_threshold(struct proxy *p, const char *text)
{
    struct slowlog *s = &p->clients.slowlog;
    long long slower_us = strtoll(text, NULL, 10);

    if (!slowlog_in_doubt(p) || slowlog_is_lower(s, slower_us)) {
        slowlog_set_threshold(s, slower_us, clock_wall_ms() / 1000);
    }
}

static void slowlog_config_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    for (size_t i = 0; reply != NULL && i + 1 < reply->elements; i += 2) {
        const char *name = reply->element[i]->str, *value = reply->element[i + 1]->str;
        if (name == NULL || value == NULL) {
            return;
        }
        if (strcmp(name, "slowlog-log-slower-than") == 0) {
            slowlog_take_threshold(p, value);
        } else if (strcmp(name, "slowlog-max-len") == 0 && !slowlog_in_doubt(p)) {
            client_config_slowlog_found(&p->clients.config, value);
        }
    }
}

static void slowlog_look_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    struct buf bytes = BUF_INIT;

    p->slowlog_asked = false;
    if (reply != NULL) {
        control_reply_bytes(reply, &bytes);
        slowlog_learn(&p->clients.slowlog, &bytes, p->slowlog_mark);
        buf_release(&bytes);
    }
}

void proxy_tick_slowlog(struct proxy *p, uint64_t now_ns)
{
    const struct slowlog *s = &p->clients.slowlog;

    if (!p->prepared || now_ns - p->slowlog_ns < PROXY_SLOWLOG_MS * CLOCK_NS_PER_MS) {
        return;
    }
    p->slowlog_ns = now_ns;
    (void)control_send(p->control, slowlog_config_cb, p, "CONFIG GET slowlog-*");
    if (slowlog_wants_look(s) && s->slower_ns >= PROXY_SLOWLOG_LOOK_NS && !p->slowlog_asked) {
        p->slowlog_mark = slowlog_mark(s);
        p->slowlog_asked = control_send(p->control, slowlog_look_cb, p, "SLOWLOG GET 128");
    }
}

/* What our own connection asks is never shown. */
void proxy_slowlog_control_up(struct proxy *p)
{
    char address[SLOWLOG_ADDRESS_BYTES];

    control_address(p->control, address, sizeof address);
    slowlog_add_own(&p->clients.slowlog, address);
}
