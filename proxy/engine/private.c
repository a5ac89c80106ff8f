/* Each link is an engine of its own kind; this file is who has which one, and for how long. A link
 * stands in exactly one of three lists: lent, idle, dead. Links end from within their engine's
 * callbacks, so their memory goes in private_sweep only. */
#include "proxy/engine/private.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* After a spare link that could not be set up (Redis has its maxclients). */
#define PRIVATE_SPARE_PAUSE_NS (5 * CLOCK_NS_PER_S)

struct private_link {
    struct private_pool *pool;
    struct engine *engine;
    struct client *client; /* NULL: idle or dead */
    struct private_link *prev, *next;
    struct private_link **list;        /* that it stands in */
    struct private_link *next_to_send; /* in pool->to_send */
    bool in_to_send;
    bool named; /* it has a client's name */
    bool spoiled;
    bool was_up;
    unsigned kept;
    unsigned unanswered; /* requests under way */
};

struct private_pool {
    struct event_base *base;
    struct private_config config;
    const struct private_events *events;
    void *ctx;
    struct request_pool *requests;
    char *host;
    bool started;
    struct replid replid;
    uint8_t *scratch; /* of all links */
    struct private_link *lent, *idle, *dead;
    struct private_link *to_send, **to_send_end; /* in the order in which they were asked */
    size_t count, idle_count;                    /* count: lent and idle */
    uint64_t no_spares_before_ns;                /* one could not be set up */
    uint64_t keep_alive_ns;                      /* 0: nothing is asked on quiet ones */
};

struct private_pool *private_create(struct event_base *base, const struct private_config *config,
                                    const struct private_events *events, void *ctx,
                                    struct request_pool *requests)
{
    struct private_pool *pool = mem_calloc(1, sizeof *pool);

    pool->base = base;
    pool->config = *config;
    pool->host = mem_strdup(config->host != NULL ? config->host : "");
    pool->events = events;
    pool->ctx = ctx;
    pool->requests = requests;
    pool->scratch = mem_alloc(ENGINE_READ_BYTES);
    pool->to_send_end = &pool->to_send;
    return pool;
}

/* ---- lists ---- */

static void link_enter(struct private_link *link, struct private_link **list)
{
    link->prev = NULL;
    link->next = *list;
    if (link->next != NULL) {
        link->next->prev = link;
    }
    *list = link;
    link->list = list;
}

static void link_leave(struct private_link *link)
{
    if (link->prev != NULL) {
        link->prev->next = link->next;
    } else {
        *link->list = link->next;
    }
    if (link->next != NULL) {
        link->next->prev = link->prev;
    }
}

static void link_wants_send(struct private_link *link)
{
    if (!link->in_to_send) {
        link->in_to_send = true;
        link->next_to_send = NULL;
        *link->pool->to_send_end = link;
        link->pool->to_send_end = &link->next_to_send;
    }
}

static void link_leave_client(struct private_link *link)
{
    struct client *c = link->client;

    if (c != NULL && c->link == link) {
        c->link = NULL;
    } else if (c != NULL && c->trial == link) {
        c->trial = NULL;
    } else if (c != NULL) {
        MUST(c->redirect == link);
        c->redirect = NULL;
    }
    link->client = NULL;
}

/* Out of whatever it stands in, and into dead; its engine is down, or will be made so. */
static void link_bury(struct private_link *link)
{
    struct private_pool *pool = link->pool;

    if (link->list == &pool->dead) {
        return;
    }
    pool->idle_count -= link->list == &pool->idle;
    pool->count--;
    link_leave(link);
    link_enter(link, &pool->dead);
    link_leave_client(link);
}

/* ---- events of the engines ---- */

static void link_redirect_settled(const struct private_link *link)
{
    const struct private_events *events = link->pool->events;

    if ((link->kept & PRIVATE_REDIRECT) != 0 && events->redirect_settled != NULL) {
        events->redirect_settled(link->pool->ctx);
    }
}

static void link_up(void *ctx)
{
    struct private_link *link = ctx;

    link->was_up = true;
    link_wants_send(link);
    link_redirect_settled(link);
}

/* Nothing is under way and nothing is kept: whoever needs one next may have it. */
static void link_return(struct private_link *link)
{
    struct private_pool *pool = link->pool;

    if (link->spoiled || pool->idle_count >= pool->config.idle_max || !pool->started) {
        link_bury(link);
        return;
    }
    link_leave_client(link);
    link_leave(link);
    link_enter(link, &pool->idle);
    pool->idle_count++;
    engine_set_fenced(link->engine, true); /* its client may have tried to log in there */
}

static void link_settle(struct private_link *link)
{
    if (link->client != NULL && link->kept == 0 && link->unanswered == 0) {
        link_return(link);
    }
}

static void link_fenced(void *ctx, struct request *first, uint64_t bound)
{
    struct private_link *link = ctx;

    for (struct request *r = first; r != NULL; r = r->next_in_batch) {
        MUST(link->unanswered > 0);
        link->unanswered--;
    }
    link->pool->events->fenced(link->pool->ctx, first, bound);
    if (engine_may_flush(link->engine)) {
        link_wants_send(link);
    }
    link_settle(link);
}

/* Requests that nobody waits for any more. */
static struct request *link_sift(struct private_link *link, struct request *list)
{
    struct request *left = NULL, **end = &left;

    for (struct request *r = list, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        if (r->client == NULL) {
            request_give(link->pool->requests, r);
        } else {
            *end = r;
            end = &r->next_in_batch;
        }
    }
    return left;
}

static void link_down(void *ctx, struct request *unknown, struct request *unsent,
                      const char *reason)
{
    struct private_link *link = ctx;
    struct private_pool *pool = link->pool;
    struct client *c = link->client;
    unsigned kept = link->kept & ~(unsigned)(PRIVATE_TRIAL | PRIVATE_REDIRECT);

    if (link->list == &pool->idle && !link->was_up) {
        pool->no_spares_before_ns = clock_now_ns() + PRIVATE_SPARE_PAUSE_NS;
    }
    link_bury(link);
    unknown = link_sift(link, unknown);
    unsent = link_sift(link, unsent);
    link_redirect_settled(link);
    if (c == NULL) {
        MUST(unknown == NULL && unsent == NULL);
        return;
    }
    log_debug("a private link ended: %s", reason);
    pool->events->down(pool->ctx, c, kept, unknown, unsent, reason);
}

static void link_stranger(void *ctx, const char *reason)
{
    struct private_link *link = ctx;

    if (link->pool->events->stranger != NULL) {
        link->pool->events->stranger(link->pool->ctx, reason);
    }
}

static void link_push(void *ctx, const uint8_t *bytes, size_t size, struct request *before)
{
    struct private_link *link = ctx;

    if (link->client != NULL && link->client->redirect == link) {
        link->pool->events->redirected(link->pool->ctx, link->client, bytes, size);
    } else if (link->client != NULL) {
        link->pool->events->push(link->pool->ctx, link->client, bytes, size, before);
    }
}

static void link_slow(void *ctx, const struct request *r, const char *address, const uint8_t *bytes,
                      size_t size, uint64_t took_ns)
{
    const struct private_link *link = ctx;
    link->pool->events->slow(link->pool->ctx, r, address, bytes, size, took_ns);
}

static const struct engine_events link_events = {.up = link_up,
                                                 .fenced = link_fenced,
                                                 .down = link_down,
                                                 .stranger = link_stranger,
                                                 .push = link_push,
                                                 .slow = link_slow};

/* ---- life ---- */

void private_start(struct private_pool *pool, const struct replid *replid)
{
    if (replid != NULL && pool->started && memcmp(replid, &pool->replid, sizeof *replid) != 0) {
        private_stop(pool, "Redis has another history now"); /* theirs is over, idle or lent */
    }
    if (replid != NULL) {
        pool->replid = *replid;
    }
    pool->started = pool->config.kind == ENGINE_PRIVATE || pool->config.port != 0;
}

bool private_is_started(const struct private_pool *pool)
{
    return pool->started;
}

static void private_end_all(struct private_link *list, const char *reason)
{
    for (struct private_link *link = list, *next; link != NULL; link = next) {
        next = link->next;
        engine_stop(link->engine, reason);
        link_bury(link);
    }
}

void private_stop(struct private_pool *pool, const char *reason)
{
    pool->started = false;
    while (pool->lent != NULL) {
        private_end_all(pool->lent, reason);
    }
    private_end_all(pool->idle, reason);
}

void private_target(struct private_pool *pool, const char *host, int port)
{
    if (port == pool->config.port && strcmp(host, pool->host) == 0) {
        return;
    }
    private_stop(pool, "the leader is another one now");
    free(pool->host);
    pool->host = mem_strdup(host);
    pool->config.port = port;
    private_start(pool, NULL);
}

void private_sweep(struct private_pool *pool)
{
    for (struct private_link *link = pool->dead, *next; link != NULL; link = next) {
        next = link->next;
        if (link->in_to_send) {
            struct private_link **at = &pool->to_send;
            while (*at != link) {
                at = &(*at)->next_to_send;
            }
            *at = link->next_to_send;
            if (pool->to_send_end == &link->next_to_send) {
                pool->to_send_end = at;
            }
        }
        engine_destroy(link->engine);
        free(link);
    }
    pool->dead = NULL;
}

void private_destroy(struct private_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    private_stop(pool, "the proxy ends");
    private_sweep(pool);
    free(pool->scratch);
    free(pool->host);
    free(pool);
}

/* ---- lending ---- */

static struct private_link *link_create(struct private_pool *pool)
{
    struct private_link *link = mem_calloc(1, sizeof *link);
    struct engine_config config = {
        .kind = pool->config.kind,
        .scratch = pool->scratch,
        .host = pool->host,
        .port = pool->config.port,
        .user = pool->config.user,
        .password = pool->config.password,
        .name = pool->config.name,
        .cluster_id = pool->config.cluster_id,
        .log_id = pool->config.log_id,
        .connect_timeout_ms = pool->config.connect_timeout_ms,
        .batches_in_flight = 1,
        .slow_ns = pool->config.slow_ns,
    };

    link->pool = pool;
    link->engine = engine_create(pool->base, &config, &link_events, link);
    link_enter(link, &pool->idle);
    pool->count++;
    pool->idle_count++;
    engine_start(link->engine, &pool->replid, clock_now_ns());
    return engine_is_down(link->engine) ? NULL : link; /* NULL: buried already */
}

/* Setting up a link takes some round trips, in which others could overtake whoever waits for it:
 * Redis serves those who block in the order in which they came, and so must we. */
static void private_make_spares(struct private_pool *pool)
{
    while (pool->started && pool->idle_count < pool->config.spare &&
           pool->count < pool->config.links_max && link_create(pool) != NULL) {
    }
}

/* One that is up already, if there is one. */
static struct private_link *private_find_idle(const struct private_pool *pool)
{
    struct private_link *link = pool->idle;

    while (link != NULL && !engine_is_up(link->engine)) {
        link = link->next;
    }
    return link != NULL ? link : pool->idle;
}

/* So that who looks at Redis' own CLIENT LIST or SLOWLOG sees the client's name there. One that we
 * might use ourselves is marked: by it proxies tell whether a Redis is another one's. */
static void link_take_name(struct private_link *link, const char *name)
{
    struct buf text = BUF_INIT;

    if (name == NULL && !link->named) {
        return;
    }
    link->named = name != NULL;
    if (name != NULL && strncmp(name, PRIVATE_NAMES_OURS, strlen(PRIVATE_NAMES_OURS)) == 0) {
        buf_append_str(&text, "client:");
    }
    buf_append_str(&text, name != NULL ? name : "");
    buf_append(&text, "", 1);
    engine_set_name(link->engine, (const char *)buf_head(&text));
    buf_release(&text);
}

/* One for this client; NULL: none can be had. */
static struct private_link *link_take(struct private_pool *pool, const struct client *c)
{
    struct private_link *link = private_find_idle(pool);

    if (!pool->started || (link == NULL && pool->count >= pool->config.links_max)) {
        return NULL;
    }
    link = link != NULL ? link : link_create(pool);
    if (link == NULL) {
        return NULL;
    }
    pool->idle_count--;
    link_leave(link);
    link_enter(link, &pool->lent);
    private_make_spares(pool);
    if (pool->config.kind == ENGINE_PRIVATE) {
        link_take_name(link, c->name);
    }
    engine_set_prefix(link->engine, NULL);
    link->kept = 0;
    return link;
}

void private_limit(struct private_pool *pool, size_t links_max)
{
    pool->config.links_max = links_max;
}

bool private_can_lend(const struct private_pool *pool, const struct client *c)
{
    return c->link != NULL ||
           (pool->started && (pool->idle_count > 0 || pool->count < pool->config.links_max));
}

bool private_lend(struct private_pool *pool, struct client *c)
{
    if (c->link == NULL) {
        c->link = link_take(pool, c);
        if (c->link != NULL) {
            c->link->client = c;
        }
    }
    return c->link != NULL;
}

bool private_try(struct private_pool *pool, struct client *c)
{
    MUST(c->trial == NULL);
    c->trial = link_take(pool, c);
    if (c->trial == NULL) {
        return false;
    }
    c->trial->client = c;
    c->trial->kept = PRIVATE_TRIAL;
    engine_set_fenced(c->trial->engine, false);
    return true;
}

bool private_redirect(struct private_pool *pool, struct client *c)
{
    static const struct resp_arg ping = {(const uint8_t *)"PING", 4};

    if (c->redirect == NULL) {
        c->redirect = link_take(pool, c);
        if (c->redirect == NULL) {
            return false;
        }
        c->redirect->client = c;
        c->redirect->kept = PRIVATE_REDIRECT;
        c->redirect->spoiled = true;
        c->redirect->unanswered++; /* with it goes HELLO 3 */
        engine_add(c->redirect->engine, request_take(pool->requests), 0, 3, &ping, 1);
        link_wants_send(c->redirect);
    }
    return true;
}

void private_adopt(struct client *c)
{
    struct private_link *link = c->trial;

    if (c->link != NULL) {
        private_drop(c->link);
    }
    c->link = link;
    c->trial = NULL;
    link->spoiled = true;
    link->kept = 0;
}

void private_reject(struct client *c)
{
    private_unkeep(c->trial, PRIVATE_TRIAL);
}

void private_unfence(struct private_link *link)
{
    engine_set_fenced(link->engine, false);
}

void private_set_db(struct private_link *link, unsigned db)
{
    engine_set_db(link->engine, db);
}

void private_own_login(const struct private_link *link, struct resp_arg words[3])
{
    const struct private_config *config = &link->pool->config;
    const char *user = config->user != NULL && *config->user != '\0' ? config->user : "default";
    const char *password = config->password != NULL ? config->password : "";

    words[0] = (struct resp_arg){(const uint8_t *)"AUTH", 4};
    words[1] = (struct resp_arg){(const uint8_t *)user, strlen(user)};
    words[2] = (struct resp_arg){(const uint8_t *)password, strlen(password)};
}

void private_add(struct private_link *link, struct request *r, const struct resp_arg *argv,
                 size_t argc)
{
    link->unanswered++;
    engine_add(link->engine, r, link->client->db, link->client->resp, argv, argc);
    link_wants_send(link);
}

bool private_is_quiet(const struct private_link *link)
{
    return engine_is_idle(link->engine);
}

void private_add_taken(struct private_link *link, struct request *r, struct chain *commands,
                       uint32_t skips)
{
    link->unanswered++;
    engine_add_taken(link->engine, r, link->client->db, link->client->resp, commands, skips);
    link_wants_send(link);
}

void private_add_block(struct private_link *link, struct request *r, const struct buf *commands,
                       uint32_t command_count, bool selects)
{
    link->unanswered++;
    engine_add_block(link->engine, r, link->client->db, link->client->resp, commands, command_count,
                     selects);
    link_wants_send(link);
}

void private_prefix(struct private_link *link, const char *prefix)
{
    engine_set_prefix(link->engine, prefix);
}

void private_tell(struct private_link *link, const char *word)
{
    struct resp_arg argv = {(const uint8_t *)word, strlen(word)};
    private_add(link, request_take(link->pool->requests), &argv, 1);
}

void private_keep(struct private_link *link, unsigned why)
{
    link->kept |= why;
}

void private_unkeep(struct private_link *link, unsigned why)
{
    link->kept &= ~why;
    link_settle(link);
}

unsigned private_kept(const struct private_link *link)
{
    return link->kept;
}

void private_spoil(struct private_link *link)
{
    link->spoiled = true;
}

void private_drop(struct private_link *link)
{
    link_leave_client(link);
    link_bury(link);
    engine_stop(link->engine, "its client has gone");
}

uint64_t private_id(const struct private_link *link)
{
    return engine_id(link->engine);
}

bool private_is_forward(const struct private_link *link)
{
    return link->pool->config.kind == ENGINE_FORWARD;
}

/* ---- the turn ---- */

bool private_is_drained(const struct private_pool *pool)
{
    for (const struct private_link *link = pool->lent; link != NULL; link = link->next) {
        bool blocks = link->client != NULL && link->client->blocks;
        if (link->unanswered > 0 && !blocks) {
            return false;
        }
    }
    return true;
}

bool private_wants_flush(const struct private_pool *pool)
{
    return pool->to_send != NULL;
}

void private_flush(struct private_pool *pool, uint64_t now_ns)
{
    while (pool->to_send != NULL) {
        struct private_link *link = pool->to_send;
        pool->to_send = link->next_to_send;
        if (pool->to_send == NULL) {
            pool->to_send_end = &pool->to_send;
        }
        link->in_to_send = false;
        engine_flush(link->engine, now_ns);
    }
}

void private_keep_alive(struct private_pool *pool, uint64_t after_ns)
{
    pool->keep_alive_ns = after_ns;
}

static void private_tick_all(const struct private_pool *pool, struct private_link *list,
                             uint64_t now_ns)
{
    for (struct private_link *link = list, *next; link != NULL; link = next) {
        next = link->next;
        engine_tick(link->engine,
                    now_ns); /* a fence is asked for again, connecting takes too long */
        if (pool->keep_alive_ns != 0 && (link->kept & PRIVATE_MULTI) == 0) { /* it'd be queued */
            engine_keep_alive(link->engine, now_ns, pool->keep_alive_ns);
        }
    }
}

void private_tick(struct private_pool *pool, uint64_t now_ns)
{
    private_tick_all(pool, pool->lent, now_ns);
    private_tick_all(pool, pool->idle, now_ns);
    if (now_ns >= pool->no_spares_before_ns) {
        private_make_spares(pool);
    }
}

size_t private_count(const struct private_pool *pool)
{
    size_t spare = pool->idle_count < pool->config.spare ? pool->idle_count : pool->config.spare;
    return pool->count - spare;
}

size_t private_lent(const struct private_pool *pool)
{
    return pool->count - pool->idle_count;
}
