/* What clients of the Sentinel subscribe to, and how it gets to them (pubsub.c in Redis). */
#include "common/mem.h"
#include "proxy/protocol/glob.h"
#include "proxy/sentinel/sentinel_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void sentinel_put_push(struct sentinel_client *c, size_t count)
{
    sentinel_put_head(&c->out, c->resp == 3 ? '>' : '*', count);
}

/* ---- messages ---- */

static void sentinel_send(struct sentinel *s, struct sentinel_client *c,
                          const struct sentinel_subscription *sub, const char *channel,
                          const char *text)
{
    sentinel_put_push(c, sub->pattern ? 4 : 3);
    sentinel_put_text(&c->out, sub->pattern ? "pmessage" : "message");
    if (sub->pattern) {
        resp_put_bulk(&c->out, sub->name, sub->len);
    }
    sentinel_put_text(&c->out, channel);
    sentinel_put_text(&c->out, text);
    c->overflowed = c->overflowed || c->out.len > s->config.out_max_bytes;
}

/* Channels before patterns, each subscription that fits once, as Redis does. */
void sentinel_publish(struct sentinel *s, const char *channel, const char *fmt, ...)
{
    char text[2 * SENTINEL_TEXT_MAX];
    size_t len = strlen(channel);
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (struct sentinel_client *c = s->clients; c != NULL; c = c->next) {
        for (int pattern = 0; pattern < 2; pattern++) {
            for (size_t i = 0; i < c->subscription_count && !c->overflowed; i++) {
                const struct sentinel_subscription *sub = &c->subscriptions[i];
                bool fits = sub->pattern ? glob_match(sub->name, sub->len, channel, len)
                                         : sub->len == len && memcmp(sub->name, channel, len) == 0;
                if (sub->pattern == (pattern == 1) && fits) {
                    sentinel_send(s, c, sub, channel, text);
                }
            }
        }
    }
}

/* ---- subscriptions ---- */

static struct sentinel_subscription *
sentinel_find_subscription(struct sentinel_client *c, const struct resp_arg *name, bool pattern)
{
    for (size_t i = 0; i < c->subscription_count; i++) {
        struct sentinel_subscription *sub = &c->subscriptions[i];
        if (sub->pattern == pattern && sub->len == name->len &&
            (name->len == 0 || memcmp(sub->name, name->bytes, name->len) == 0)) {
            return sub;
        }
    }
    return NULL;
}

static void sentinel_drop(struct sentinel_client *c, struct sentinel_subscription *sub)
{
    size_t at = (size_t)(sub - c->subscriptions);

    free(sub->name);
    memmove(sub, sub + 1, (c->subscription_count - at - 1) * sizeof *sub);
    if (--c->subscription_count == 0) {
        free(c->subscriptions);
        c->subscriptions = NULL;
    }
}

void sentinel_forget_subscriptions(struct sentinel_client *c)
{
    while (c->subscription_count > 0) {
        sentinel_drop(c, &c->subscriptions[c->subscription_count - 1]);
    }
}

/* name: NULL for the answer of an UNSUBSCRIBE that had nothing to do. */
static void sentinel_put_change(struct sentinel_client *c, const char *what, const void *name,
                                size_t len)
{
    sentinel_put_push(c, 3);
    sentinel_put_text(&c->out, what);
    if (name != NULL) {
        resp_put_bulk(&c->out, name, len);
    } else {
        resp_put_null(&c->out, (int)c->resp);
    }
    resp_put_integer(&c->out, (long long)c->subscription_count);
}

/* "psubscribe", "punsubscribe": about patterns. */
static bool sentinel_is_pattern(const struct resp_arg *command)
{
    return command->bytes[0] == 'p' || command->bytes[0] == 'P';
}

void sentinel_do_subscribe(struct sentinel *s, struct sentinel_client *c,
                           const struct resp_arg *argv, size_t argc)
{
    bool pattern = sentinel_is_pattern(&argv[0]);

    (void)s;
    for (size_t i = 1; i < argc; i++) {
        const struct resp_arg *name = &argv[i];
        if (sentinel_find_subscription(c, name, pattern) == NULL) {
            if (c->subscription_count == SENTINEL_SUBSCRIPTIONS_MAX) {
                sentinel_put_error(c, "ERR too many subscriptions of one connection");
                return;
            }
            size_t count = c->subscription_count + 1;
            c->subscriptions = mem_realloc(c->subscriptions, count * sizeof *c->subscriptions);
            char *copy = mem_alloc(name->len + 1);
            memcpy(copy, name->bytes, name->len);
            c->subscriptions[count - 1] = (struct sentinel_subscription){copy, name->len, pattern};
            c->subscription_count = count;
        }
        sentinel_put_change(c, pattern ? "psubscribe" : "subscribe", name->bytes, name->len);
    }
}

static void sentinel_unsubscribe_all(struct sentinel_client *c, const char *what, bool pattern)
{
    bool any = false;

    for (size_t i = 0; i < c->subscription_count;) {
        struct sentinel_subscription *sub = &c->subscriptions[i];
        if (sub->pattern != pattern) {
            i++;
            continue;
        }
        char *taken = sub->name;
        size_t len = sub->len;
        sub->name = NULL;
        sentinel_drop(c, sub);
        sentinel_put_change(c, what, taken, len);
        free(taken);
        any = true;
    }
    if (!any) {
        sentinel_put_change(c, what, NULL, 0);
    }
}

void sentinel_do_unsubscribe(struct sentinel *s, struct sentinel_client *c,
                             const struct resp_arg *argv, size_t argc)
{
    bool pattern = sentinel_is_pattern(&argv[0]);
    const char *what = pattern ? "punsubscribe" : "unsubscribe";

    (void)s;
    if (argc == 1) {
        sentinel_unsubscribe_all(c, what, pattern);
    }
    for (size_t i = 1; i < argc; i++) {
        struct sentinel_subscription *sub = sentinel_find_subscription(c, &argv[i], pattern);
        if (sub != NULL) {
            sentinel_drop(c, sub);
        }
        sentinel_put_change(c, what, argv[i].bytes, argv[i].len);
    }
}

/* Real Sentinels tell each other of themselves this way; whom there is, we know from the log. */
void sentinel_do_publish(struct sentinel *s, struct sentinel_client *c, const struct resp_arg *argv,
                         size_t argc)
{
    (void)s;
    (void)argc;
    if (resp_arg_is(&argv[1], "__sentinel__:hello")) {
        resp_put_integer(&c->out, 1);
    } else {
        sentinel_put_error(c, "ERR Only HELLO messages are accepted by Sentinel instances.");
    }
}
