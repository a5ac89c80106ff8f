/* The proxy's side towards its Redis: what is asked and set when the control connection comes up,
 * and put back when the proxy leaves (docs/OPERATIONS.md, "What a pair is"). */
#include "proxy/node/proxy.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/clients/session.h"
#include "proxy/follow/lineage.h"

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REDIS_MAJOR_MIN = 7,
    REDIS_DETACH_MS = 500,
    REDIS_PREPARE_AGAIN_MS = 1000,
    REDIS_TIMEOUT_MS = 1000,
    REDIS_CLIENTS_RESERVED = 64
};
#define REDIS_CLIENT_NAME PRIVATE_NAMES_OURS "-control:"

/* What is set while we are attached. NULL: the backlog, whose size is in our settings. */
static const struct {
    const char *name;
    const char *wanted;
} redis_wanted[PROXY_REDIS_SETTINGS] = {
    {"repl-diskless-sync-delay", "0"}, /* a full resync waits 5 s otherwise */
    /* else a stalled log would cut the one link, and one large message that of all subscribers */
    {"client-output-buffer-limit", "replica 0 0 0 pubsub 0 0 0"},
    {"repl-diskless-load", "on-empty-db"}, /* a resync needs no file of its own */
    {"repl-backlog-ttl", "0"}, /* else an hour without a replica changes the replication id */
    /* else one that can't do what the log says (a database that it lacks) goes on without it, and
     * would lead with other data one day; it ends instead (afterErrorReply in networking.c) */
    {"propagation-error-behavior", "panic-on-replicas"},
    {"repl-backlog-size", NULL}, /* must outlive a reconnect */
};

const char *proxy_redis_setting_name(int index)
{
    return redis_wanted[index].name;
}

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

/* Another process of Redis has its own settings: what was found in the former means nothing. */
static void redis_take_run_id(struct proxy *p, const char *info)
{
    static const char key[] = "\nrun_id:";
    char before[sizeof p->redis_run_id];
    const char *at = strstr(info, key);

    if (at == NULL) {
        return;
    }
    memcpy(before, p->redis_run_id, sizeof before);
    (void)snprintf(p->redis_run_id, sizeof p->redis_run_id, "%.40s", at + sizeof key - 1);
    if (strcmp(before, p->redis_run_id) != 0) {
        for (int i = 0; i < PROXY_REDIS_SETTINGS; i++) {
            p->redis_settings[i].known = false;
        }
        slowlog_forget(&p->clients.slowlog);
        proxy_redis_settings_load(p);
    }
}

static void redis_prepare(struct proxy *p);

static void redis_version_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    static const char key[] = "redis_version:";

    if (redis_is_error(reply, "INFO server") || reply->str == NULL) {
        return;
    }
    redis_take_run_id(p, reply->str);
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
    p->engine_number = lineage_engine(p->router.engine_version);
    if (strtoul(p->router.engine_version, NULL, 10) < REDIS_MAJOR_MIN) {
        log_error("Redis %s at %s:%d is too old: %d.0 or later is needed", p->router.engine_version,
                  p->settings->redis_host, (int)p->settings->redis_port, REDIS_MAJOR_MIN);
        return; /* nothing else is asked of it, or changed there */
    }
    proposer_set_engine(p->proposer, p->engine_number);
    redis_prepare(p);
}

/* Copies a text of the reply's pairs into out; without one, out stays. */
static void redis_take_pair(const struct redisReply *reply, const char *key, char *out, size_t size)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const struct redisReply *name = reply->element[i], *value = reply->element[i + 1];
        if (name->type == REDIS_REPLY_STRING && strcmp(name->str, key) == 0 &&
            value->type == REDIS_REPLY_STRING && value->len < size) {
            memcpy(out, value->str, value->len + 1);
        }
    }
}

/* As what it greets clients: a Valkey has another name, and two versions. */
static void redis_hello_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    struct router *r = &p->router;

    if (!redis_is_error(reply, "HELLO") && reply->type == REDIS_REPLY_ARRAY) {
        redis_take_pair(reply, "server", r->hello_server, sizeof r->hello_server);
        redis_take_pair(reply, "version", r->hello_version, sizeof r->hello_version);
        redis_take_pair(reply, "mode", r->hello_mode, sizeof r->hello_mode);
    }
}

bool proxy_parse_commands(const struct redisReply *reply, struct command_table **table)
{
    struct buf bytes = BUF_INIT;

    if (redis_is_error(reply, "COMMAND")) {
        return false;
    }
    control_reply_bytes(reply, &bytes);
    int rc = command_table_parse(buf_head(&bytes), bytes.len, table);
    buf_release(&bytes);
    if (rc != ERR_OK) {
        log_error("the reply of Redis to COMMAND is not understood");
        return false;
    }
    command_table_mark(*table, router_is_plain);
    return true;
}

static void redis_command_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    struct command_table *table = NULL;

    if (!proxy_parse_commands(reply, &table)) {
        return;
    }
    for (struct client *c = p->clients.list; c != NULL; c = c->next) {
        c->last_command = "NULL"; /* it may point into the old table */
    }
    effects_set_table(p->effects, table);
    p->router.table = table;
    command_table_destroy(p->table);
    p->table = table;
    proxy_end_borrow(p);
}

void proxy_take_databases(void *ctx, const struct redisReply *reply)
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
    if (!setting->known && strlen(found) >= sizeof setting->found) {
        log_warn("%s is too long to be remembered: it will not be put back",
                 redis_wanted[index].name);
    } else if (!setting->known) {
        (void)snprintf(setting->found, sizeof setting->found, "%s", found);
        setting->known = true;
        proxy_redis_settings_save(p);
    }
    redis_set(p, redis_wanted[index].name, wanted);
}

/* The id of the connection in a line of CLIENT LIST; and whose it is: "proxy:session". False: it is
 * no proxy's control connection. */
static bool redis_list_line(const char *line, size_t len, unsigned long long *id, char *owner,
                            size_t size)
{
    static const char key[] = " name=" REDIS_CLIENT_NAME;
    const char *name = memmem(line, len, key, sizeof key - 1);

    if (len < 4 || memcmp(line, "id=", 3) != 0 || name == NULL) {
        return false;
    }
    name += sizeof key - 1;
    size_t name_len = strcspn(name, " \n");
    name_len = name_len < size ? name_len : size - 1;
    memcpy(owner, name, name_len);
    owner[name_len] = '\0';
    *id = strtoull(line + 3, NULL, 10);
    return true;
}

/* Two proxies before one Redis would both change it. Each names its control connection, then looks
 * who else is there, and goes on only when it is alone: Redis does one thing after the other, so
 * the later of two that look sees the other's name, which stays for as long as that one uses it.
 * Where several look at once, the older connection stays; the others take their names away, and
 * look again later. */
static void redis_clients_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;
    unsigned long long own = 0, other = 0, id;
    char owner[128], other_owner[128] = "";
    bool before = p->intruder;

    p->intruder = false;
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        log_debug("Redis does not tell its connections: nobody sees whether another proxy uses it");
        return;
    }
    for (const char *line = reply->str, *end; *line != '\0'; line = end + (*end == '\n')) {
        end = line + strcspn(line, "\n");
        if (!redis_list_line(line, (size_t)(end - line), &id, owner, sizeof owner)) {
            continue;
        }
        if (strcmp(owner, p->control_name + strlen(REDIS_CLIENT_NAME)) == 0) {
            own = id;
        } else if (other == 0 || id < other) {
            other = id;
            (void)snprintf(other_owner, sizeof other_owner, "%s", owner);
        }
    }
    p->intruder = other != 0;
    bool stays = other < own || before; /* a younger one that looks at the same time goes */
    if (p->intruder && stays && !p->intruder_told) {
        other_owner[strcspn(other_owner, ":")] = '\0';
        log_error("the Redis at %s:%d belongs to another proxy already (%s): each needs its own",
                  p->settings->redis_host, (int)p->settings->redis_port, other_owner);
    }
    p->intruder_told = p->intruder && (stays || p->intruder_told);
    if (p->intruder && other < own) {
        (void)control_send(p->control, NULL, NULL, "CLIENT SETNAME %s", "");
    }
}

/* The last answer of the preparation: everything before it is in. */
static void redis_prepared_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    if (reply == NULL || p->table == NULL || p->intruder) {
        return;
    }
    if (p->router.config.databases == 0) {
        log_error("Redis does not say how many databases it has (CONFIG GET databases)");
        return;
    }
    if (!p->prepared) {
        log_info("Redis %s at %s:%d knows %zu commands", p->router.engine_version,
                 p->settings->redis_host, (int)p->settings->redis_port,
                 command_table_count(p->table));
    }
    p->prepared = true;
}

/* Everybody's connections are known: ours is the only one, or it must wait. */
static void redis_check_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    if (reply != NULL && !p->intruder) {
        (void)control_send(p->control, redis_version_cb, p, "INFO server");
    }
}

static void redis_up(void *ctx)
{
    struct proxy *p = ctx;

    p->prepare_ns = clock_now_ns();
    proxy_slowlog_control_up(p);
    (void)control_send(p->control, NULL, NULL, "CLIENT SETNAME %s", p->control_name);
    (void)control_send(p->control, redis_clients_cb, p, "CLIENT LIST TYPE normal");
    (void)control_send(p->control, redis_check_cb, p, "PING");
}

/* It is ours, and new enough: now it is asked, and told what we need. */
static void redis_prepare(struct proxy *p)
{
    if (p->role.state != ROLE_SERVE) {
        proxy_let_cron_run(p);
    }
    (void)control_send(p->control, redis_hello_cb, p, "HELLO");
    (void)control_send(p->control, redis_command_cb, p, "COMMAND");
    (void)control_send(p->control, proxy_take_databases, p, "CONFIG GET databases");
    for (int i = 0; i < PROXY_REDIS_SETTINGS; i++) {
        p->redis_settings[i].proxy = p;
        (void)control_send(p->control, redis_setting_cb, &p->redis_settings[i], "CONFIG GET %s",
                           redis_wanted[i].name);
    }
    (void)control_send(p->control, redis_prepared_cb, p, "PING");
}

/* A Redis that says nothing for long would be taken for dead, and a long repl-ping-replica-period
 * is no reason for that: something is put into its stream. */
static void redis_nudge(struct proxy *p)
{
    bool silent = p->streaming && capture_silent_ms(p->capture) > p->settings->redis_stall_ms / 2;

    if (silent && !p->nudged) {
        if (p->router.redis_paused) { /* nothing would get into its stream */
            (void)control_send(p->control, NULL, NULL, "CLIENT UNPAUSE");
            p->router.pause_again_ns = 0;
        }
        (void)control_send(p->control, NULL, NULL, "SPUBLISH __holdfast__ alive");
    }
    p->nudged = silent;
}

/* After so long Redis ends an idle connection; it holds for clients here as well. */
static void redis_timeout_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        uint64_t timeout_s = strtoull(reply->element[1]->str, NULL, 10);
        p->clients.timeout_s = timeout_s;
        private_keep_alive(p->privates, timeout_s * CLOCK_NS_PER_S / 2);
    }
}

/* Private links leave room for our other connections, which may have to be made anew. */
static void redis_maxclients_cb(void *ctx, const struct redisReply *reply)
{
    struct proxy *p = ctx;

    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        size_t clients = (size_t)strtoull(reply->element[1]->str, NULL, 10);
        size_t room =
            clients > 2 * REDIS_CLIENTS_RESERVED ? clients - REDIS_CLIENTS_RESERVED : clients / 2;
        size_t most = proxy_private_room(p->settings);
        private_limit(p->privates, room < most ? room : most);
    }
}

static void redis_ask_timeout(struct proxy *p, uint64_t now_ns)
{
    p->timeout_asked_ns = now_ns;
    (void)control_send(p->control, redis_maxclients_cb, p, "CONFIG GET maxclients");
    (void)control_send(p->control, redis_timeout_cb, p, "CONFIG GET timeout");
}

/* Whoever was refused looks again now and then. */
void proxy_tick_redis(struct proxy *p, uint64_t now_ns)
{
    redis_nudge(p);
    if (p->prepared && now_ns - p->timeout_asked_ns >= REDIS_TIMEOUT_MS * CLOCK_NS_PER_MS) {
        redis_ask_timeout(p, now_ns);
    }
    if (p->intruder && control_is_up(p->control) &&
        now_ns - p->prepare_ns >= REDIS_PREPARE_AGAIN_MS * CLOCK_NS_PER_MS) {
        redis_up(p);
    }
}

static void redis_down(void *ctx, const char *reason)
{
    struct proxy *p = ctx;

    log_warn("the control connection to Redis ended: %s", reason);
    p->prepared = false;
}

static void redis_refused(void *ctx)
{
    struct proxy *p = ctx;

    if (credentials_refused(&p->credentials)) {
        log_info("Redis refused the password; the next attempt is made with the other one known");
    }
}

static void redis_accepted(void *ctx)
{
    struct proxy *p = ctx;

    credentials_accepted(&p->credentials);
    p->clients.auth_required = session_needs_auth(&p->router);
}

static const struct control_events redis_control_events = {
    .up = redis_up, .down = redis_down, .refused = redis_refused, .accepted = redis_accepted};

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

/* What our control connection is called there; a blank would end the name. */
static void redis_make_name(struct proxy *p)
{
    (void)snprintf(p->control_name, sizeof p->control_name, "%s%s:%016llx", REDIS_CLIENT_NAME,
                   p->settings->name, (unsigned long long)random_seed());
    for (char *at = p->control_name; *at != '\0'; at++) {
        *at = *at <= ' ' || *at > '~' ? '_' : *at;
    }
}

int proxy_open_redis(struct proxy *p, const struct settings *s)
{
    struct control_config control = {
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = p->credentials.link_password,
        .timeout_ms = (uint32_t)s->redis_stall_ms,
        .retry_ms = 100,
    };
    struct capture_config capture = {
        .host = s->redis_host,
        .port = (int)s->redis_port,
        .user = s->redis_user,
        .password = p->credentials.link_password,
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
    redis_make_name(p);
    feed.secret = p->feed_secret;
    p->effects = effects_create(NULL, p->tracker, &redis_effects_events, p);
    p->control = control_create(p->base, &control, &redis_control_events, p);
    p->capture = capture_create(p->base, &capture, &proxy_capture_events, p);
    p->feed = feed_create(p->base, &feed, &proxy_feed_events, p, &rc);
    if (p->feed == NULL) {
        log_error("the feed port can't be opened: %s", err_text(rc));
        return rc;
    }
    forward_set_master(p->replica, feed_port(p->feed));
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
    if (control_waiting(p->control) == 0 && control_is_up(p->control)) {
        proxy_redis_settings_forget(p);
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
