/* The proxy's side towards its Redis: what is asked and set when the control connection comes up,
 * and put back when the proxy leaves (DESIGN §3). */
#include "proxy/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REDIS_MAJOR_MIN = 7, REDIS_DETACH_MS = 500 };

/* What is set while we are attached. NULL: the backlog, whose size is in our settings. */
static const struct {
    const char *name;
    const char *wanted;
} redis_wanted[PROXY_REDIS_SETTINGS] = {
    {"repl-diskless-sync-delay", "0"},               /* a full resync waits 5 s otherwise */
    {"client-output-buffer-limit", "replica 0 0 0"}, /* else a stalled log would cut the link */
    {"repl-diskless-load", "on-empty-db"},           /* a resync needs no file of its own */
    {"repl-backlog-ttl", "0"},   /* else an hour without a replica changes the replication id */
    {"repl-backlog-size", NULL}, /* must outlive a reconnect */
};

static bool redis_is_error(const struct redisReply *reply, const char *what)
{
    if (reply == NULL) {
        return true;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        log_error("Redis answered %s with: %s", what, reply->str);
        return true;
    }
    return false;
}

static void redis_version_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    static const char key[] = "redis_version:";

    if (redis_is_error(reply, "INFO server") || reply->str == NULL) {
        return;
    }
    const char *at = strstr(reply->str, key);
    if (at == NULL) {
        log_error("Redis does not say its version");
        return;
    }
    at += sizeof key - 1;
    size_t len = strcspn(at, "\r\n");
    len = len < sizeof p->router.engine_version ? len : sizeof p->router.engine_version - 1;
    memcpy(p->router.engine_version, at, len);
    p->router.engine_version[len] = '\0';
}

static void redis_command_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    struct command_table *table = NULL;
    struct buf bytes = BUF_INIT;

    if (redis_is_error(reply, "COMMAND")) {
        return;
    }
    control_reply_bytes(reply, &bytes);
    int rc = command_table_parse(buf_head(&bytes), bytes.len, &table);
    buf_release(&bytes);
    if (rc != ERR_OK) {
        log_error("the reply of Redis to COMMAND is not understood");
        return;
    }
    for (struct client *c = p->clients.list; c != NULL; c = c->next) {
        c->last_command = "NULL"; /* it may point into the old table */
    }
    command_table_mark(table, router_is_plain);
    effects_set_table(p->effects, table);
    p->router.table = table;
    command_table_destroy(p->table);
    p->table = table;
}

static void redis_databases_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    unsigned before = p->router.config.databases, now = 0; /* 0: not known, see redis_prepared_cb */

    if (reply == NULL) {
        return;
    }
    if (!redis_is_error(reply, "CONFIG GET databases") && reply->elements == 2) {
        now = (unsigned)strtoul(reply->element[1]->str, NULL, 10);
    }
    p->router.config.databases = now;
    for (struct client *c = p->clients.list, *next; c != NULL; c = next) {
        next = c->next;
        if (now != before && (c->db >= now || c->transaction != NULL)) {
            client_close(c, "Redis has another number of databases now");
        }
    }
}

static void redis_set_cb(void *ctx, const struct redisReply *reply)
{
    (void)redis_is_error(reply, ctx);
}

static void redis_set(struct proxy *p, const char *name, const char *value)
{
    (void)control_send(p->control, redis_set_cb, (void *)(uintptr_t)name, "CONFIG SET %s %s", name,
                       value);
}

/* Keeps what was found, to be put back, and sets what we want. */
static void redis_setting_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy_redis_setting *setting = ctx;
    struct proxy *p = setting->proxy;
    size_t index = (size_t)(setting - p->redis_settings);
    char backlog[32];

    if (redis_is_error(reply, "CONFIG GET") || reply->elements != 2) {
        return;
    }
    const char *found = reply->element[1]->str;
    const char *wanted = redis_wanted[index].wanted;
    if (wanted == NULL) {
        long long ours = p->settings->redis_backlog_bytes, theirs = strtoll(found, NULL, 10);
        (void)snprintf(backlog, sizeof backlog, "%lld", theirs > ours ? theirs : ours);
        wanted = backlog;
    }
    if (!setting->known) {
        (void)snprintf(setting->found, sizeof setting->found, "%s", found);
        setting->known = true;
    }
    redis_set(p, redis_wanted[index].name, wanted);
}

/* The last answer of the preparation: everything before it is in. */
static void redis_prepared_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    if (reply == NULL || p->table == NULL) {
        return;
    }
    if (p->router.config.databases == 0) {
        log_error("Redis does not say how many databases it has (CONFIG GET databases)");
        return;
    }
    if (strtoul(p->router.engine_version, NULL, 10) < REDIS_MAJOR_MIN) {
        log_error("Redis %s is too old: %d.0 or later is needed", p->router.engine_version,
                  REDIS_MAJOR_MIN);
        return;
    }
    if (!p->prepared) {
        log_info("Redis %s at %s:%d knows %zu commands", p->router.engine_version,
                 p->settings->redis_host, (int)p->settings->redis_port,
                 command_table_count(p->table));
    }
    p->prepared = true;
}

static void redis_up(void *ctx)
{
    struct proxy *p = ctx;

    (void)control_send(p->control, redis_version_cb, p, "INFO server");
    (void)control_send(p->control, redis_command_cb, p, "COMMAND");
    (void)control_send(p->control, redis_databases_cb, p, "CONFIG GET databases");
    for (int i = 0; i < PROXY_REDIS_SETTINGS; i++) {
        p->redis_settings[i].proxy = p;
        (void)control_send(p->control, redis_setting_cb, &p->redis_settings[i], "CONFIG GET %s",
                           redis_wanted[i].name);
    }
    (void)control_send(p->control, redis_prepared_cb, p, "PING");
}

static void redis_down(void *ctx, const char *reason)
{
    struct proxy *p = ctx;

    log_warn("the control connection to Redis ended: %s", reason);
    p->prepared = false;
}

static const struct control_events redis_control_events = {.up = redis_up, .down = redis_down};

/* ---- effects ---- */

static void redis_unit(void *ctx, const struct effects_unit *unit)
{
    struct proxy *p = ctx;

    for (size_t i = 0; i < unit->hash_count; i++) {
        tracker_dirty(p->tracker, unit->hashes[i], unit->end);
    }
    if (unit->keyspace) {
        tracker_dirty_keyspace(p->tracker, unit->end);
    }
}

static const struct effects_events redis_effects_events = {.unit = redis_unit};

/* ---- set-up ---- */

/* What our Redis must say on the feed port, so that nobody else gets the data there. */
static char *redis_make_secret(struct proxy *p)
{
    char *secret = mem_alloc(33);

    (void)snprintf(secret, 33, "%016llx%016llx", (unsigned long long)random_next(&p->random),
                   (unsigned long long)random_seed());
    return secret;
}

int proxy_open_redis(struct proxy *p, const struct settings *s)
{
    struct control_config control = {
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = s->redis_password,
        .timeout_ms = (uint32_t)s->redis_stall_ms,
        .retry_ms = 100,
    };
    struct capture_config capture = {
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = s->redis_password,
        .announce_port = (int)s->port,
        .timeout_ms = (uint32_t)s->redis_stall_ms,
        .read_max_bytes = 1 << 20,
    };
    struct feed_config feed = {
        .bind_host = "127.0.0.1",
        .port = (int)s->feed_port,
        .timeout_ms = 60000,
        .ping_ms = 1000,
        .queue_max_bytes = (size_t)s->feed_queue_max_bytes,
    };
    int rc = ERR_OK;

    p->feed_secret = redis_make_secret(p);
    feed.secret = p->feed_secret;
    p->effects = effects_create(NULL, p->tracker, &redis_effects_events, p);
    p->control = control_create(p->base, &control, &redis_control_events, p);
    p->capture = capture_create(p->base, &capture, &proxy_capture_events, p);
    p->feed = feed_create(p->base, &feed, &proxy_feed_events, p, &rc);
    if (p->feed == NULL) {
        log_error("the feed port can't be opened: %s", err_text(rc));
        return rc;
    }
    proxy_start_role(p, s);
    return ERR_OK;
}

/* A clean leave: Redis gets back the settings that it had. */
static void redis_restore_settings(struct proxy *p)
{
    uint64_t until_ns = clock_now_ns() + REDIS_DETACH_MS * CLOCK_NS_PER_MS;

    if (p->control == NULL || !control_is_up(p->control)) {
        return;
    }
    for (int i = 0; i < PROXY_REDIS_SETTINGS; i++) {
        if (p->redis_settings[i].known) {
            redis_set(p, redis_wanted[i].name, p->redis_settings[i].found);
        }
    }
    while (control_waiting(p->control) > 0 && clock_now_ns() < until_ns) {
        struct timeval piece = {.tv_usec = 10000};
        (void)event_base_loopexit(p->base, &piece);
        (void)event_base_loop(p->base, EVLOOP_ONCE);
    }
}

void proxy_close_redis(struct proxy *p)
{
    if (p->capture != NULL) {
        capture_destroy(p->capture);
    }
    redis_restore_settings(p);
    feed_destroy(p->feed);
    control_destroy(p->control);
    adopt_destroy(p->adopt);
    follow_destroy(p->follow);
    effects_destroy(p->effects);
    free(p->feed_secret);
}
