#include "proxy/engine/control.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"
#include "proxy/protocol/resp.h"

#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CONTROL_WORDS_MAX = 16, CONTROL_KEEPALIVE_MS = 500 };

struct control {
    struct event_base *base;
    struct control_config config;
    const struct control_events *events;
    void *ctx;
    redisAsyncContext *link; /* NULL: none */
    bool up;
    bool refused; /* the owner was told so */
    bool wrong;   /* another user than the one that was asked for */
    bool logged_in;
    unsigned waiting;     /* commands without an answer */
    uint64_t progress_ns; /* when an answer last came, or the first command went out */
    uint64_t retry_ns;    /* not connecting before this */
};

struct control_call {
    struct control *control;
    control_reply_fn *fn;
    void *ctx;
};

struct control *control_create(struct event_base *base, const struct control_config *config,
                               const struct control_events *events, void *ctx)
{
    struct control *c = mem_calloc(1, sizeof *c);

    c->base = base;
    c->config = *config;
    c->events = events;
    c->ctx = ctx;
    return c;
}

void control_destroy(struct control *c)
{
    if (c == NULL) {
        return;
    }
    c->events = NULL;
    if (c->link != NULL) {
        redisAsyncFree(c->link);
    }
    free(c);
}

bool control_is_up(const struct control *c)
{
    return c->up;
}

void control_address(const struct control *c, char *out, size_t size)
{
    net_local_name(c->link->c.fd, out, size);
}

unsigned control_waiting(const struct control *c)
{
    return c->waiting;
}

uint64_t control_silent_ms(const struct control *c, uint64_t now_ns)
{
    bool waits = c->waiting > 0 && now_ns > c->progress_ns;
    return waits ? (now_ns - c->progress_ns) / CLOCK_NS_PER_MS : 0;
}

static void control_lost(struct control *c, const char *reason)
{
    bool was_up = c->up;

    c->link = NULL;
    c->up = false;
    c->waiting = 0;
    c->retry_ns = clock_now_ns() + c->config.retry_ms * CLOCK_NS_PER_MS;
    if (c->events != NULL && was_up) {
        c->events->down(c->ctx, reason);
    }
}

static void control_connect_cb(const redisAsyncContext *link, int status)
{
    struct control *c = link->data;

    if (status != REDIS_OK) {
        control_lost(c, link->errstr); /* hiredis frees the context */
    }
}

static void control_disconnect_cb(const redisAsyncContext *link, int status)
{
    control_lost(link->data, status == REDIS_OK ? "closed" : link->errstr);
}

static void control_reply_cb(redisAsyncContext *link, void *reply, void *arg)
{
    struct control_call *call = arg;
    struct control *c = call->control;

    (void)link;
    if (c->waiting > 0) {
        c->waiting--;
    }
    c->progress_ns = clock_now_ns();
    if (call->fn != NULL && c->events != NULL) {
        call->fn(call->ctx, reply);
    }
    free(call);
}

static bool control_send_argv(struct control *c, control_reply_fn *fn, void *ctx, int argc,
                              const char **argv, const size_t *lens)
{
    struct control_call *call = mem_alloc(sizeof *call);

    *call = (struct control_call){c, fn, ctx};
    if (c->waiting++ == 0) {
        c->progress_ns = clock_now_ns();
    }
    if (redisAsyncCommandArgv(c->link, control_reply_cb, call, argc, argv, lens) != REDIS_OK) {
        c->waiting--;
        free(call);
        return false;
    }
    return true;
}

bool control_send(struct control *c, control_reply_fn *fn, void *ctx, const char *words, ...)
{
    const char *argv[CONTROL_WORDS_MAX];
    size_t lens[CONTROL_WORDS_MAX];
    int argc = 0;
    va_list args;

    if (!c->up) {
        return false;
    }
    va_start(args, words);
    for (const char *at = words; *at != '\0';) {
        size_t len = strcspn(at, " ");
        MUST(argc < CONTROL_WORDS_MAX);
        if (len == 2 && memcmp(at, "%s", 2) == 0) {
            argv[argc] = va_arg(args, const char *);
            lens[argc] = strlen(argv[argc]);
        } else {
            argv[argc] = at;
            lens[argc] = len;
        }
        argc++;
        at += len + (at[len] == ' ');
    }
    va_end(args);
    return control_send_argv(c, fn, ctx, argc, argv, lens);
}

static void control_refused(struct control *c)
{
    if (!c->refused && c->events != NULL && c->events->refused != NULL) {
        c->refused = true;
        c->events->refused(c->ctx);
    }
}

static void control_auth_cb(void *ctx, const struct redisReply *reply)
{
    struct control *c = ctx;

    if (reply == NULL) {
        return;
    }
    if (reply->type != REDIS_REPLY_ERROR) {
        c->logged_in = true;
    } else if (strncmp(reply->str, "WRONGPASS", 9) == 0) {
        c->wrong = true;
        control_refused(c);
    } else if (strncmp(reply->str, "ERR AUTH ", 9) == 0) { /* it has no password */
        control_refused(c);
        c->logged_in = c->config.password[0] == '\0';
    }
}

static void control_ping_cb(void *ctx, const struct redisReply *reply)
{
    struct control *c = ctx;

    if (reply == NULL) {
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "LOADING", 7) != 0) {
        log_warn("Redis refuses the control connection: %s", reply->str);
        if (strncmp(reply->str, "NOAUTH", 6) == 0) {
            control_refused(c);
        }
        redisAsyncDisconnect(c->link);
        return;
    }
    if (c->wrong) {
        log_warn("Redis refuses redis.user and redis.password");
        redisAsyncDisconnect(c->link);
        return;
    }
    c->up = true;
    if (c->logged_in && c->events->accepted != NULL) {
        c->events->accepted(c->ctx);
    }
    c->events->up(c->ctx);
}

static void control_connect(struct control *c)
{
    const char *auth[3] = {"AUTH", c->config.user, c->config.password};
    const char *auth_default[2] = {"AUTH", c->config.password};
    const char *ping[1] = {"PING"};

    redisAsyncContext *link = redisAsyncConnect(c->config.host, c->config.port);
    if (link == NULL || link->err != 0) {
        log_debug("connecting to Redis: %s", link != NULL ? link->errstr : "no memory");
        if (link != NULL) {
            redisAsyncFree(link);
        }
        c->retry_ns = clock_now_ns() + c->config.retry_ms * CLOCK_NS_PER_MS;
        return;
    }
    c->link = link;
    c->refused = c->wrong = false;
    c->logged_in = true;
    link->data = c;
    if (redisLibeventAttach(link, c->base) != REDIS_OK ||
        redisAsyncSetConnectCallback(link, control_connect_cb) != REDIS_OK ||
        redisAsyncSetDisconnectCallback(link, control_disconnect_cb) != REDIS_OK) {
        c->link = NULL;
        c->retry_ns = clock_now_ns() + c->config.retry_ms * CLOCK_NS_PER_MS;
        redisAsyncFree(link);
        return;
    }
    bool user = c->config.user != NULL && c->config.user[0] != '\0';
    if (c->config.password != NULL && (user || c->config.password[0] != '\0')) {
        c->logged_in = false;
        (void)control_send_argv(c, control_auth_cb, c, user ? 3 : 2, user ? auth : auth_default,
                                NULL);
    }
    (void)control_send_argv(c, control_ping_cb, c, 1, ping, NULL);
}

void control_tick(struct control *c, uint64_t now_ns)
{
    if (c->link == NULL) {
        if (now_ns >= c->retry_ns) {
            control_connect(c);
        }
        return;
    }
    uint64_t idle_ns = now_ns > c->progress_ns ? now_ns - c->progress_ns : 0;
    if (c->up && c->waiting == 0 && idle_ns > CONTROL_KEEPALIVE_MS * CLOCK_NS_PER_MS) {
        (void)control_send(c, NULL, NULL, "PING"); /* Redis may close idle connections (timeout) */
    } else if (c->waiting > 0 && idle_ns > c->config.timeout_ms * CLOCK_NS_PER_MS) {
        log_warn("Redis has not answered on the control connection for %u ms",
                 c->config.timeout_ms);
        c->progress_ns = now_ns;
        redisAsyncFree(c->link); /* answers NULL to all who wait, then control_disconnect_cb */
        if (c->link != NULL) {
            control_lost(c, "timed out"); /* it was never connected, so nobody was told */
        }
    }
}

void control_reply_bytes(const struct redisReply *reply, struct buf *out)
{
    switch (reply->type) {
    case REDIS_REPLY_STATUS:
        resp_put_simple(out, reply->str);
        break;
    case REDIS_REPLY_ERROR:
        resp_put_error(out, reply->str);
        break;
    case REDIS_REPLY_INTEGER:
        resp_put_integer(out, reply->integer);
        break;
    case REDIS_REPLY_STRING:
        resp_put_bulk(out, reply->str, reply->len);
        break;
    case REDIS_REPLY_ARRAY:
        resp_put_array(out, reply->elements);
        for (size_t i = 0; i < reply->elements; i++) {
            control_reply_bytes(reply->element[i], out);
        }
        break;
    default:
        resp_put_null(out, 2);
        break;
    }
}
