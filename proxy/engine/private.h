/* Private links: connections that one client has for itself while its commands keep state on a
 * connection (WATCH), may wait (BLPOP), get pushes (CLIENT TRACKING), or run as an ACL user of
 * their own (docs/COMPATIBILITY.md, "On a connection of the client's own"). Counted, bounded, and
 * returned exactly once: what is clean again is kept for the next client, up to idle_max;
 * everything else is closed.
 *
 *   spare ──▶ lent (c->link) ──clean, nothing unanswered──▶ idle ──▶ lent …
 *               └──client gone, spoiled, link down──▶ closed
 *
 * Their target is our Redis (kind ENGINE_PRIVATE: fenced, its identity checked), or the leading
 * proxy's client port (ENGINE_FORWARD: no fences, since that one withholds). */
#ifndef PROXY_ENGINE_PRIVATE_H
#define PROXY_ENGINE_PRIVATE_H

#include "proxy/clients/client.h"
#include "proxy/engine/engine.h"

/* Names of connections to Redis that begin so are a proxy's own; no client's reaches Redis so. */
#define PRIVATE_NAMES_OURS "holdfast"

struct private_pool;
struct private_link;

/* What keeps a link with its client; bits. */
enum {
    PRIVATE_WATCH = 1u << 0,
    PRIVATE_TRACKING = 1u << 1,
    PRIVATE_USER = 1u << 2,
    PRIVATE_TRIAL = 1u << 3,    /* c->trial */
    PRIVATE_REDIRECT = 1u << 4, /* c->redirect, for as long as the client is connected */
    PRIVATE_NO_TOUCH = 1u << 5,
    PRIVATE_EXEC = 1u << 6,  /* while the answer to a transaction is looked at */
    PRIVATE_MULTI = 1u << 7, /* Redis has queued what EXEC will run (transaction_ship_all) */
};

struct private_config {
    enum engine_kind kind; /* ENGINE_PRIVATE or ENGINE_FORWARD */
    const char *host;
    int port;
    const char *user, *password; /* NULL or "": none */
    const char *name;            /* ENGINE_FORWARD: as engine_config */
    const char *cluster_id;
    uint64_t log_id;
    size_t links_max; /* lent and idle */
    size_t idle_max;
    size_t spare; /* idle ones that are there before anybody asks for them, within links_max */
    uint32_t connect_timeout_ms;
    const uint64_t *slow_ns; /* as engine_config */
};

/* Called from the event loop only, but for down, which also comes from private_stop. */
struct private_events {
    /* As engine_events.fenced: these are answered; of the link's client, or of none (r->client). */
    void (*fenced)(void *ctx, struct request *first, uint64_t bound);
    /* The link has ended; c->link is NULL already. What the client asked and what it had set there
     * is lost: the owner closes it, or, if nothing but unsent is lost (kept == 0 or PRIVATE_MULTI,
     * unknown == NULL), answers those with an error. Both lists are the owner's. Requests without a
     * client may be among them. c may be NULL. */
    void (*down)(void *ctx, struct client *c, unsigned kept, struct request *unknown,
                 struct request *unsent, const char *reason);
    /* As engine_events.push, of the client's link. */
    void (*push)(void *ctx, struct client *c, const uint8_t *bytes, size_t size,
                 struct request *before);
    /* As engine_events.stranger. May be NULL. */
    void (*stranger)(void *ctx, const char *reason);
    /* As engine_events.slow. May be NULL if config.slow_ns is. */
    void (*slow)(void *ctx, const struct request *r, const char *address, const uint8_t *bytes,
                 size_t size, uint64_t took_ns);
    /* A push on c->redirect; and that some client's is up, or has ended. May be NULL. */
    void (*redirected)(void *ctx, struct client *c, const uint8_t *bytes, size_t size);
    void (*redirect_settled)(void *ctx);
};

struct private_pool *private_create(struct event_base *base, const struct private_config *config,
                                    const struct private_events *events, void *ctx,
                                    struct request_pool *requests);
void private_destroy(struct private_pool *pool);

/* Links may be made from now on, to the Redis with this replication id (NULL for ENGINE_FORWARD). A
 * no-op if that is so already; links to one with another id end. */
void private_start(struct private_pool *pool, const struct replid *replid);
/* ENGINE_FORWARD: where to from now on; all links to another place end. port 0: nowhere. */
void private_target(struct private_pool *pool, const char *host, int port);
/* All links end (events.down for those that are lent), and none are made before private_start. */
void private_stop(struct private_pool *pool, const char *reason);

/* Whether there is somewhere to make links to. */
bool private_is_started(const struct private_pool *pool);

/* So many there may be from now on; those that there are stay. */
void private_limit(struct private_pool *pool, size_t links_max);

/* Whether private_lend would. */
bool private_can_lend(const struct private_pool *pool, const struct client *c);
/* Gives the client a link (c->link) if it has none, as the link's own user. False: links_max are
 * lent, or links can't be made now. */
bool private_lend(struct private_pool *pool, struct client *c);
/* The same, besides the one that it may have, for a login that may fail (c->trial; not fenced,
 * since that user may not be allowed to ask for ROLE). Then private_adopt, if it has worked: it
 * becomes c->link, what that was is closed; or private_reject: others may have it. */
bool private_try(struct private_pool *pool, struct client *c);
void private_adopt(struct client *c);
void private_reject(struct client *c);
/* Before another user logs in on a link that its client has already: what comes behind is not
 * fenced, until the link is another client's. */
void private_unfence(struct private_link *link);
/* Which database it is in, behind a block that selects, whose answer is here and told so: its user
 * may not be allowed to SELECT again. Nothing else is under way. */
void private_set_db(struct private_link *link, unsigned db);
/* The words by which a connection becomes the link's own user; they are the pool's. */
void private_own_login(const struct private_link *link, struct resp_arg words[3]);
/* What makes a client keep its link when it becomes another user: what Redis keeps then, too. */
#define PRIVATE_OUTLASTS_USER (PRIVATE_WATCH | PRIVATE_TRACKING | PRIVATE_NO_TOUCH)
/* c->redirect: a link in RESP3 on which others' invalidations come for this client (CLIENT TRACKING
 * … REDIRECT), besides those that it may have. Its private_id is what they redirect to, once it is
 * up. False: none can be had. */
bool private_redirect(struct private_pool *pool, struct client *c);
/* Sends a request of the link's client; as engine_add, engine_add_block. */
void private_add(struct private_link *link, struct request *r, const struct resp_arg *argv,
                 size_t argc);
/* The same with the bytes of a whole command or block, which are taken over; only on a link that is
 * quiet: nothing is under way. As engine_add_taken. */
bool private_is_quiet(const struct private_link *link);
void private_add_taken(struct private_link *link, struct request *r, struct chain *commands,
                       uint32_t skips);
void private_add_block(struct private_link *link, struct request *r, const struct buf *commands,
                       uint32_t command_count, bool selects);
/* As engine_set_prefix. */
void private_prefix(struct private_link *link, const char *prefix);
/* Sends a command of the proxy's own: its reply is thrown away. */
void private_tell(struct private_link *link, const char *word);

/* What the link is needed for, besides the requests that are under way on it. Once that is nothing
 * and everything is answered, the client loses it. */
void private_keep(struct private_link *link, unsigned why);
void private_unkeep(struct private_link *link, unsigned why);
unsigned private_kept(const struct private_link *link);
/* It has state that can't be taken back: it is closed, not kept for others, when it is returned. */
void private_spoil(struct private_link *link);

/* The client has gone, or is done with what can't be waited for: the link is closed. Its requests
 * are handed to events.fenced, if they have no client (abandoned), else to down. */
void private_drop(struct private_link *link);

/* What Redis, or the proxy at its other end, calls the link (CLIENT ID); 0: not known yet. */
uint64_t private_id(const struct private_link *link);
/* Whether the other end is a proxy. */
bool private_is_forward(const struct private_link *link);

/* Whether nothing is under way but what may block for ever. */
bool private_is_drained(const struct private_pool *pool);

/* Whether something waits to be sent. */
bool private_wants_flush(const struct private_pool *pool);
/* Sends what was gathered in this turn (once per turn; not while the log has no room). */
void private_flush(struct private_pool *pool, uint64_t now_ns);
/* Frees links that ended. At the end of each turn, and never from within a callback. */
void private_sweep(struct private_pool *pool);
/* Links, lent or not, are kept from being quiet for longer than this (Redis ends those); 0: they
 * may be. Whether a client is idle is for clients_hold_limits to say: it may subscribe elsewhere,
 * or be told of what others invalidate. */
void private_keep_alive(struct private_pool *pool, uint64_t after_ns);
/* Time-outs. A few times a second. */
void private_tick(struct private_pool *pool, uint64_t now_ns);

/* Links there are, lent or idle, but for `spare` idle ones. */
size_t private_count(const struct private_pool *pool);
/* Those that some client has. */
size_t private_lent(const struct private_pool *pool);

#endif
