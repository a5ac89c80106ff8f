#include "proxy/forward/forward.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "proxy/clients/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORWARD_STALL_MS = 100 };

struct forward {
    struct forward_config config;
    const struct forward_events *events;
    void *ctx;
    enum forward_aim aim;
    char host[FORWARD_HOST_MAX + 1];
    int port;
    uint8_t *scratch;
    uint64_t total;
    bool complained; /* about links to where we aim now */
    bool held;
    struct uplink links[FORWARD_LINKS_MAX];
};

/* ---- the links' events ---- */

/* The request leaves; its client may use another way again when none is left. */
static struct request *forward_leaves(struct request *r)
{
    r->next_in_batch = NULL;
    if (r->client != NULL) {
        MUST(r->client->forwarded > 0);
        r->client->forwarded--;
    }
    return r;
}

static void forward_link_answered(void *ctx, struct request *r)
{
    struct forward *f = ctx;
    f->events->answered(f->ctx, forward_leaves(r));
}

static void forward_link_ended(void *ctx, struct request *unknown, const char *reason)
{
    struct forward *f = ctx;
    size_t count = 0;

    for (struct request *r = unknown, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        f->events->unknown(f->ctx, forward_leaves(r));
        count++;
    }
    if (count > 0) {
        log_warn("a link to %s:%d ended: %s; %zu requests' outcome is unknown", f->host, f->port,
                 reason, count);
    } else if (!f->complained) {
        f->complained = true;
        log_info("a link to %s:%d ended: %s", f->host, f->port, reason);
    } else {
        log_debug("a link to %s:%d ended: %s", f->host, f->port, reason);
    }
}

static const struct uplink_events forward_link_events = {.answered = forward_link_answered,
                                                         .ended = forward_link_ended};

/* ---- life ---- */

struct forward *forward_create(struct event_base *base, const struct forward_config *config,
                               const struct forward_events *events, void *ctx,
                               struct request_pool *pool)
{
    struct forward *f = mem_calloc(1, sizeof *f);

    f->config = *config;
    MUST(f->config.links >= 1 && f->config.links <= FORWARD_LINKS_MAX);
    f->events = events;
    f->ctx = ctx;
    f->scratch = mem_alloc(UPLINK_READ_BYTES);
    for (unsigned i = 0; i < f->config.links; i++) {
        uplink_init(&f->links[i], base, &f->config.uplink, &forward_link_events, f, pool,
                    f->scratch);
    }
    return f;
}

void forward_hold(struct forward *f, bool held)
{
    f->held = held;
}

void forward_set_master(struct forward *f, int port)
{
    f->config.uplink.master_port = port;
}

void forward_cut(struct forward *f, const char *reason)
{
    for (unsigned i = 0; i < f->config.links; i++) {
        uplink_end(&f->links[i], reason, false);
    }
}

void forward_destroy(struct forward *f)
{
    const uint8_t *bytes;

    if (f == NULL) {
        return;
    }
    forward_cut(f, "the proxy ends");
    for (unsigned i = 0; i < f->config.links; i++) {
        struct request *r;
        while ((r = outbox_take_first(&f->links[i].outbox, &bytes)) != NULL) {
            f->events->unknown(f->ctx, forward_leaves(r));
        }
        uplink_fini(&f->links[i]);
    }
    free(f->scratch);
    free(f);
}

bool forward_aims_at(const struct forward *f, const char *host, int port)
{
    return f->port == port && strcmp(f->host, host) == 0;
}

void forward_aim(struct forward *f, enum forward_aim aim, const char *host, int port,
                 uint64_t now_ns)
{
    bool same = aim == FORWARD_THERE && forward_aims_at(f, host, port);

    if (aim == f->aim && (aim != FORWARD_THERE || same)) {
        return;
    }
    f->aim = aim;
    f->complained = false;
    if (aim == FORWARD_NOWHERE || same) {
        return;
    }
    for (unsigned i = 0; i < f->config.links; i++) {
        uplink_leave(&f->links[i], now_ns);
        f->links[i].retry_ns = 0;
    }
    (void)snprintf(f->host, sizeof f->host, "%s", aim == FORWARD_THERE ? host : "");
    f->port = aim == FORWARD_THERE ? port : 0;
}

/* ---- requests ---- */

static bool forward_link_waits(const struct uplink *l)
{
    return l->state != UPLINK_UP;
}

static bool forward_link_stalls(const struct uplink *l, uint64_t now_ns)
{
    return outbox_awaits(&l->outbox) && now_ns > l->progress_ns &&
           now_ns - l->progress_ns > FORWARD_STALL_MS * CLOCK_NS_PER_MS;
}

/* Its own link, or, while that stalls, the next one that doesn't: a slow script of one client keeps
 * all that is sent behind it waiting, where others are to hear that Redis is busy. */
static size_t forward_place(const struct forward *f, const struct client *c)
{
    size_t own = c->id % f->config.links, place = own;

    if (c->forwarded > 0) { /* maybe in another forward (INFO), of more links */
        return c->forward_link % f->config.links;
    }
    while (forward_link_stalls(&f->links[place], c->all->now_ns) ||
           (place != own && forward_link_waits(&f->links[place]))) {
        place = (place + 1) % f->config.links;
        if (place == own) {
            break;
        }
    }
    return place;
}

static bool forward_is_full(const struct forward *f, const struct uplink *l)
{
    size_t count = 0, bytes = 0;

    if (!forward_link_waits(l)) {
        return false;
    }
    for (unsigned i = 0; i < f->config.links; i++) {
        if (forward_link_waits(&f->links[i])) {
            count += f->links[i].outbox.count;
            bytes += f->links[i].outbox.bytes.len;
        }
    }
    return count >= f->config.waiting_max || bytes >= f->config.waiting_max_bytes;
}

/* The link for a request, ready to take it; NULL: too much waits. */
static struct uplink *forward_link(struct forward *f, struct request *r, uint64_t now_ns)
{
    size_t place = forward_place(f, r->client);
    struct uplink *l = &f->links[place];

    if (forward_is_full(f, l)) {
        return NULL;
    }
    if (r->client->forwarded == 0) {
        r->client->forward_link = (uint8_t)place;
    }
    f->total++;
    r->queued_ns = now_ns;
    r->client->forwarded++;
    return l;
}

bool forward_add(struct forward *f, struct request *r, unsigned db, unsigned resp,
                 const struct resp_arg *argv, size_t argc, uint64_t now_ns)
{
    struct uplink *l = forward_link(f, r, now_ns);

    if (l != NULL) {
        outbox_add(&l->outbox, r, db, resp, argv, argc);
    }
    return l != NULL;
}

bool forward_add_bytes(struct forward *f, struct request *r, unsigned db, unsigned resp,
                       const void *bytes, size_t size, uint32_t skips, uint64_t now_ns)
{
    struct uplink *l = forward_link(f, r, now_ns);

    if (l != NULL) {
        outbox_add_bytes(&l->outbox, r, db, resp, bytes, size, skips);
    }
    return l != NULL;
}

/* ---- the turn ---- */

static void forward_hand_over(struct forward *f, struct uplink *l)
{
    struct request *r;
    const uint8_t *bytes;

    while ((r = outbox_take_first(&l->outbox, &bytes)) != NULL) {
        if ((r->flags & REQUEST_TEACHES) != 0) {
            f->events->expired(f->ctx, forward_leaves(r));
        } else {
            f->events->ours(f->ctx, forward_leaves(r), bytes);
        }
    }
}

void forward_flush(struct forward *f, uint64_t now_ns)
{
    for (unsigned i = 0; i < f->config.links; i++) {
        struct uplink *l = &f->links[i];
        if (l->state == UPLINK_UP) {
            uplink_flush(l, now_ns);
        } else if (l->state == UPLINK_DOWN && f->aim == FORWARD_THERE && now_ns >= l->retry_ns) {
            uplink_connect(l, f->host, f->port, random_seed(), now_ns);
        } else if (l->state == UPLINK_DOWN && f->aim == FORWARD_US && !f->held &&
                   l->outbox.first != NULL) {
            forward_hand_over(f, l);
        }
    }
}

/* A link that is up has sent, or is sending, what it holds; one that leaves still learns something.
 */
static bool forward_link_expires(const struct forward *f, const struct uplink *l)
{
    return !f->held && l->state != UPLINK_UP && l->state != UPLINK_LEAVING;
}

void forward_tick(struct forward *f, uint64_t now_ns)
{
    uint64_t wait_ns = f->config.wait_ms * CLOCK_NS_PER_MS;

    for (unsigned i = 0; i < f->config.links; i++) {
        struct uplink *l = &f->links[i];
        uplink_tick(l, now_ns);
        if (!forward_link_expires(f, l) || now_ns < wait_ns) {
            continue;
        }
        for (struct request *r = outbox_expire(&l->outbox, now_ns - wait_ns), *next; r != NULL;
             r = next) {
            next = r->next_in_batch;
            f->events->expired(f->ctx, forward_leaves(r));
        }
    }
}

uint64_t forward_next_ns(const struct forward *f)
{
    uint64_t next_ns = UINT64_MAX;

    for (unsigned i = 0; i < f->config.links; i++) {
        const struct uplink *l = &f->links[i];
        uint64_t due_ns = UINT64_MAX;
        if (l->state == UPLINK_DOWN && f->aim == FORWARD_THERE) {
            due_ns = l->retry_ns;
        }
        if (forward_link_expires(f, l) && l->outbox.first != NULL) {
            uint64_t over_ns = l->outbox.first->queued_ns + f->config.wait_ms * CLOCK_NS_PER_MS;
            due_ns = over_ns < due_ns ? over_ns : due_ns;
        }
        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}

bool forward_sends(const struct forward *f, const struct client *c)
{
    return !forward_link_waits(&f->links[forward_place(f, c)]);
}

unsigned forward_links_up(const struct forward *f)
{
    unsigned up = 0;

    for (unsigned i = 0; i < f->config.links; i++) {
        up += f->links[i].state == UPLINK_UP;
    }
    return up;
}

size_t forward_count(const struct forward *f)
{
    size_t count = 0;

    for (unsigned i = 0; i < f->config.links; i++) {
        count += f->links[i].outbox.count;
    }
    return count;
}

size_t forward_waiting(const struct forward *f)
{
    size_t count = 0;

    for (unsigned i = 0; i < f->config.links; i++) {
        count += forward_link_waits(&f->links[i]) ? f->links[i].outbox.count : 0;
    }
    return count;
}

size_t forward_bytes(const struct forward *f)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < f->config.links; i++) {
        bytes += f->links[i].outbox.bytes.len;
    }
    return bytes;
}

uint64_t forward_total(const struct forward *f)
{
    return f->total;
}
