/* Which commands there are, asked of the proxy that leads, while our own Redis has not been reached
 * since we started: so that clients are forwarded all the same. Our Redis' own word replaces it. */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"

enum { BORROW_ANSWER_MS = 2000, BORROW_AGAIN_MS = 500 };

static void borrow_commands_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    p->borrow.over = true;
    if (p->table == NULL && proxy_parse_commands(reply, &p->borrow.table)) {
        log_info("our own Redis was never reached: the commands are those of the leader's");
        p->router.table = p->borrow.table;
    }
}

static void borrow_up(void *ctx)
{
    struct proxy *p = ctx;

    (void)control_send(p->borrow.link, proxy_take_databases, p, "CONFIG GET databases");
    p->borrow.over = !control_send(p->borrow.link, borrow_commands_cb, p, "COMMAND");
}

static void borrow_down(void *ctx, const char *reason)
{
    struct proxy *p = ctx;

    (void)reason;
    p->borrow.over = true;
}

static void borrow_begin(struct proxy *p, const struct leader_info *leader, uint64_t now_ns)
{
    static const struct control_events events = {.up = borrow_up, .down = borrow_down};
    struct proxy_borrow *b = &p->borrow;

    b->host = leader->address;
    b->over = false;
    b->until_ns = now_ns + BORROW_ANSWER_MS * CLOCK_NS_PER_MS;
    struct control_config config = {
        .host = b->host.host,
        .port = b->host.port,
        .user = p->settings->redis_user,
        .password = p->settings->redis_password,
        .timeout_ms = BORROW_ANSWER_MS,
        .retry_ms = BORROW_ANSWER_MS, /* one attempt */
    };
    b->link = control_create(p->base, &config, &events, p);
    control_tick(b->link, now_ns);
}

void proxy_tick_borrow(struct proxy *p, uint64_t now_ns)
{
    const struct leader_info *leader = leader_info(p->leader);
    struct proxy_borrow *b = &p->borrow;

    if (b->link != NULL && (b->over || now_ns >= b->until_ns)) {
        control_destroy(b->link);
        b->link = NULL;
        b->again_ns = now_ns + BORROW_AGAIN_MS * CLOCK_NS_PER_MS;
    }
    if (b->link != NULL) {
        control_tick(b->link, now_ns);
    } else if (p->router.table == NULL && leader->known && !leader->self &&
               leader->address.port > 0 && now_ns >= b->again_ns) {
        borrow_begin(p, leader, now_ns);
    }
}

void proxy_end_borrow(struct proxy *p)
{
    command_table_destroy(p->borrow.table);
    p->borrow.table = NULL;
}

void proxy_close_borrow(struct proxy *p)
{
    if (p->borrow.link != NULL) {
        control_destroy(p->borrow.link);
    }
    proxy_end_borrow(p);
}
