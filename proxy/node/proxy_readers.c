/* Which functions do not write, asked of Redis when CLIENT PAUSE … WRITE begins (readers.h). */
#include "proxy/node/proxy.h"

#include <hiredis/hiredis.h>
#include <string.h>

/* The value behind a name in a flattened map; NULL: there is none. */
static const struct redisReply *readers_field(const struct redisReply *map, const char *name)
{
    for (size_t i = 0; map->type == REDIS_REPLY_ARRAY && i + 1 < map->elements; i += 2) {
        const struct redisReply *key = map->element[i];
        if (key->type == REDIS_REPLY_STRING && strcmp(key->str, name) == 0) {
            return map->element[i + 1];
        }
    }
    return NULL;
}

static void readers_take(struct readers *readers, const struct redisReply *function)
{
    const struct redisReply *name = readers_field(function, "name");
    const struct redisReply *flags = readers_field(function, "flags");

    if (name == NULL || name->type != REDIS_REPLY_STRING || flags == NULL) {
        return;
    }
    for (size_t i = 0; flags->type == REDIS_REPLY_ARRAY && i < flags->elements; i++) {
        const struct redisReply *flag = flags->element[i];
        if ((flag->type == REDIS_REPLY_STRING || flag->type == REDIS_REPLY_STATUS) &&
            strcmp(flag->str, "no-writes") == 0) {
            readers_add_function(readers, name->str);
            return;
        }
    }
}

static void readers_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    struct readers *readers = &p->clients.readers;

    if (!readers_answered(readers) || reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const struct redisReply *functions = readers_field(reply->element[i], "functions");
        for (size_t k = 0;
             functions != NULL && functions->type == REDIS_REPLY_ARRAY && k < functions->elements;
             k++) {
            readers_take(readers, functions->element[k]);
        }
    }
    clients_take_up(&p->clients); /* who calls one of them was held back until now */
}

void proxy_tick_readers(struct proxy *p)
{
    if (p->clients.readers.wanted && control_send(p->control, readers_cb, p, "FUNCTION LIST")) {
        readers_asked(&p->clients.readers);
    }
}
