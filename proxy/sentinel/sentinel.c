#include "proxy/sentinel/sentinel.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/sentinel/sentinel_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- who is known ---- */

/* An id of 40 hexadecimal digits, as Redis has them. Every proxy makes the same one for the same
 * address in the same cluster, so that ids need not be exchanged; kind tells apart what runs there.
 */
static void sentinel_make_id(const struct sentinel *s, const char *name, uint64_t kind, char *id)
{
    char text[sizeof s->config.cluster_id + SENTINEL_ADDRESS_MAX] = {0};

    memcpy(text, s->config.cluster_id, sizeof s->config.cluster_id);
    (void)snprintf(text + sizeof s->config.cluster_id, SENTINEL_ADDRESS_MAX, "%s", name);
    XXH128_hash_t hash = XXH3_128bits_withSeed(text, sizeof text, kind);
    uint64_t more = XXH3_64bits_withSeed(text, sizeof text, kind + 1);
    (void)snprintf(id, SENTINEL_ID_DIGITS + 1, "%016llx%016llx%08x",
                   (unsigned long long)hash.high64, (unsigned long long)hash.low64, (unsigned)more);
}

static bool sentinel_same_address(const struct leader_address *a, const struct leader_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static struct sentinel_node *sentinel_find(struct sentinel *s, const struct leader_address *address)
{
    for (struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        if (n->used && sentinel_same_address(&n->address, address)) {
            return n;
        }
    }
    return NULL;
}

/* A free slot, or that of whoever has been gone for longest; NULL: all are there. */
static struct sentinel_node *sentinel_slot(struct sentinel *s)
{
    struct sentinel_node *oldest = NULL;

    for (struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        if (!n->used) {
            return n;
        }
        if (!n->there && n != s->self && n != s->master &&
            (oldest == NULL || n->gone_ns < oldest->gone_ns)) {
            oldest = n;
        }
    }
    return oldest;
}

static struct sentinel_node *sentinel_add(struct sentinel *s, const struct leader_address *address)
{
    bool v6 = strchr(address->host, ':') != NULL;
    struct sentinel_node *n = sentinel_slot(s);

    if (n == NULL) {
        return NULL;
    }
    *n = (struct sentinel_node){.used = true, .address = *address, .role_ns = s->now_ns};
    (void)snprintf(n->name, sizeof n->name, v6 ? "[%s]:%d" : "%s:%d", address->host, address->port);
    sentinel_make_id(s, n->name, 1, n->id);
    sentinel_make_id(s, n->name, 3, n->run_id);
    return n;
}

struct sentinel *sentinel_create(const struct sentinel_config *config,
                                 const struct sentinel_actions *actions, void *ctx)
{
    struct sentinel *s = mem_calloc(1, sizeof *s);
    struct buf commands = BUF_INIT;

    s->config = *config;
    s->actions = actions;
    s->ctx = ctx;
    s->next_id = 1;
    s->self = s->master = sentinel_add(s, &config->address);
    MUST(s->self != NULL); /* all slots are free */
    s->self->self = true;
    (void)snprintf(s->version, sizeof s->version, "7.0.0");
    sentinel_put_commands(&commands, 2);
    int rc = command_table_parse(buf_head(&commands), commands.len, &s->table);
    MUST(rc == ERR_OK);
    buf_release(&commands);
    return s;
}

void sentinel_destroy(struct sentinel *s)
{
    if (s != NULL) {
        MUST(s->clients == NULL);
        command_table_destroy(s->table);
        free(s);
    }
}

bool sentinel_master_down(const struct sentinel *s)
{
    return s->lost_ns != 0 && s->now_ns - s->lost_ns >= s->config.down_after_ms * CLOCK_NS_PER_MS;
}

size_t sentinel_replica_count(const struct sentinel *s)
{
    size_t count = 0;

    for (const struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        count += n->used && n != s->master;
    }
    return count;
}

size_t sentinel_other_count(const struct sentinel *s)
{
    size_t count = 0;

    for (const struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        count += n->used && !n->self && n->sentinel_port != 0;
    }
    return count;
}

void sentinel_forget(struct sentinel *s)
{
    for (struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        if (!n->there && n != s->self && n != s->master) {
            n->used = false;
        }
    }
}

/* ---- what has changed, as messages ---- */

void sentinel_describe(const struct sentinel *s, const struct sentinel_node *node, char *text)
{
    const struct sentinel_node *m = s->master;
    const char *name = s->config.master_name;

    if (node == m) {
        (void)snprintf(text, SENTINEL_TEXT_MAX, "master %s %s %d", name, m->address.host,
                       m->address.port);
    } else {
        (void)snprintf(text, SENTINEL_TEXT_MAX, "slave %s %s %d @ %s %s %d", node->name,
                       node->address.host, node->address.port, name, m->address.host,
                       m->address.port);
    }
}

/* One of the messages that tell of a node: "+sdown", "+slave" … */
static void sentinel_event(struct sentinel *s, const char *event, const struct sentinel_node *node)
{
    char text[SENTINEL_TEXT_MAX];

    sentinel_describe(s, node, text);
    sentinel_publish(s, event, "%s", text);
}

static void sentinel_event_sentinel(struct sentinel *s, const struct sentinel_node *node)
{
    const struct sentinel_node *m = s->master;

    sentinel_publish(s, "+sentinel", "sentinel %s %s %d @ %s %s %d", node->id, node->address.host,
                     node->sentinel_port, s->config.master_name, m->address.host, m->address.port);
}

/* Takes over what is known of a proxy now. Who comes, or comes back, is told as soon as there is a
 * master whose replica it can be. */
static struct sentinel_node *sentinel_see_peer(struct sentinel *s, const struct leader_peer *peer)
{
    struct sentinel_node *n = sentinel_find(s, &peer->address);
    bool is_new = n == NULL, was_there = n != NULL && n->there;

    if (peer->address.port == 0 || (is_new && (n = sentinel_add(s, &peer->address)) == NULL)) {
        return NULL;
    }
    bool port_is_new = !n->self && peer->sentinel_port != 0 && n->sentinel_port == 0;
    n->there = true;
    n->sentinel_port = peer->sentinel_port;
    n->seen_ns = n->self ? s->now_ns : peer->seen_ns;
    n->offset = peer->offset;
    n->synced = peer->synced;
    if (s->has_led && n != s->master && !n->self && !was_there) {
        sentinel_event(s, is_new ? "+slave" : "-sdown", n);
    }
    if (s->has_led && port_is_new) {
        sentinel_event_sentinel(s, n);
    }
    return n;
}

static void sentinel_see_peers(struct sentinel *s, const struct sentinel_view *view)
{
    bool seen[SENTINEL_NODES_MAX] = {false};

    for (size_t i = 0; i < view->peer_count; i++) {
        struct sentinel_node *n = sentinel_see_peer(s, &view->peers[i]);
        if (n != NULL) {
            seen[n - s->nodes] = true;
        }
    }
    s->self->there = true;
    for (size_t i = 0; i < SENTINEL_NODES_MAX; i++) {
        struct sentinel_node *n = &s->nodes[i];
        if (n->used && !seen[i] && n->there && !n->self) {
            n->there = false;
            n->gone_ns = s->now_ns;
            if (s->has_led && n != s->master) {
                sentinel_event(s, "+sdown", n);
            }
        }
    }
}

/* Another proxy leads. In the order of a Sentinel that has carried a failover out. */
static void sentinel_switch(struct sentinel *s, struct sentinel_node *next)
{
    struct sentinel_node *last = s->master;

    sentinel_event(s, "+elected-leader", last);
    sentinel_event(s, "+promoted-slave", next);
    sentinel_event(s, "+failover-end", last);
    s->master = next;
    last->role_ns = next->role_ns = s->now_ns;
    sentinel_publish(s, "+switch-master", "%s %s %d %s %d", s->config.master_name,
                     last->address.host, last->address.port, next->address.host,
                     next->address.port);
    for (struct sentinel_node *n = s->nodes; n < s->nodes + SENTINEL_NODES_MAX; n++) {
        if (n->used && n != next) {
            sentinel_event(s, "+slave", n);
        }
    }
    if (!last->there) {
        sentinel_event(s, "+sdown", last);
    }
}

static void sentinel_see_leader(struct sentinel *s, const struct leader_info *leader)
{
    struct sentinel_node *n = sentinel_find(s, &leader->address);
    bool new_term = leader->term.n > s->term;

    if (n == NULL && (n = sentinel_add(s, &leader->address)) == NULL) {
        return;
    }
    if (!n->there) { /* it leads, so it is there, whoever has seen it */
        n->there = true;
        n->seen_ns = s->now_ns;
    }
    s->lost_ns = 0;
    if (s->has_led && new_term) {
        sentinel_publish(s, "+new-epoch", "%llu", (unsigned long long)leader->term.n);
    }
    s->term = new_term ? leader->term.n : s->term;
    if (n != s->master) {
        sentinel_switch(s, n);
    } else if (s->down) {
        sentinel_event(s, "-sdown", n);
        sentinel_event(s, "-odown", n);
    } else if (s->has_led && new_term) {
        sentinel_event(s, "+reboot", n);
    }
    s->has_led = true;
    s->down = false;
}

static void sentinel_miss_leader(struct sentinel *s)
{
    char text[SENTINEL_TEXT_MAX];

    if (s->lost_ns == 0) {
        s->lost_ns = s->now_ns;
    }
    if (!s->down && sentinel_master_down(s)) {
        s->down = true;
        sentinel_event(s, "+sdown", s->master);
        sentinel_describe(s, s->master, text);
        sentinel_publish(s, "+odown", "%s #quorum %u/%u", text, s->voters_up, s->voters / 2 + 1);
    }
}

void sentinel_observe(struct sentinel *s, const struct sentinel_view *view)
{
    s->now_ns = view->now_ns;
    if (s->started_ns == 0) {
        s->started_ns = s->self->role_ns = view->now_ns;
    }
    s->voters = view->voters;
    s->voters_up = view->voters_up;
    if (view->version != NULL) {
        (void)snprintf(s->version, sizeof s->version, "%s", view->version);
    }
    sentinel_see_peers(s, view);
    if (view->leader->known && view->leader->address.port != 0) {
        sentinel_see_leader(s, view->leader);
    } else {
        sentinel_miss_leader(s);
    }
}
