#include "proxy/forward/leader.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct leader_listener {
    void (*changed)(void *ctx);
    void *ctx;
};

struct leader {
    struct leader_info info;
    struct leader_peer peers[LEADER_PEERS_MAX]; /* [0]: us */
    size_t peer_count;
    struct leader_listener listeners[LEADER_LISTENERS_MAX];
    size_t listener_count;
};

struct leader *leader_create(const char *name, const char *host, int port)
{
    struct leader *l = mem_calloc(1, sizeof *l);
    struct leader_peer *self = &l->peers[0];

    self->self = true;
    (void)snprintf(self->name, sizeof self->name, "%s", name);
    (void)snprintf(self->address.host, sizeof self->address.host, "%s", host);
    self->address.port = port;
    l->peer_count = 1;
    return l;
}

void leader_destroy(struct leader *l)
{
    free(l);
}

void leader_set_sentinel_port(struct leader *l, int port)
{
    l->peers[0].sentinel_port = port;
}

const struct leader_info *leader_info(const struct leader *l)
{
    return &l->info;
}

size_t leader_peer_count(const struct leader *l)
{
    return l->peer_count;
}

const struct leader_peer *leader_peer(const struct leader *l, size_t index)
{
    MUST(index < l->peer_count);
    return &l->peers[index];
}

static bool leader_same_address(const struct leader_address *a, const struct leader_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

void leader_listen(struct leader *l, void (*changed)(void *ctx), void *ctx)
{
    MUST(l->listener_count < LEADER_LISTENERS_MAX);
    l->listeners[l->listener_count++] = (struct leader_listener){changed, ctx};
}

static int leader_compare_peers(const void *a, const void *b)
{
    const struct leader_peer *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Whether others would see a difference; offsets and times are not among them. */
static bool leader_peers_differ(const struct leader_peer *a, const struct leader_peer *b,
                                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(a[i].name, b[i].name) != 0 ||
            !leader_same_address(&a[i].address, &b[i].address) || a[i].role != b[i].role ||
            a[i].sentinel_port != b[i].sentinel_port || a[i].synced != b[i].synced) {
            return true;
        }
    }
    return false;
}

/* Takes the peers over; whether they differ from those before. */
static bool leader_take_peers(struct leader *l, const struct leader_found *found)
{
    struct leader_peer next[LEADER_PEERS_MAX];
    size_t count = 1;

    next[0] = l->peers[0];
    next[0].role = found->info.role;
    next[0].offset = found->offset;
    next[0].synced = found->synced;
    next[0].seen_ns = found->now_ns;
    for (size_t i = 0; i < found->peer_count && count < LEADER_PEERS_MAX; i++) {
        if (strcmp(found->peers[i].name, next[0].name) != 0) {
            next[count] = found->peers[i];
            next[count++].self = false;
        }
    }
    qsort(next + 1, count - 1, sizeof next[0], leader_compare_peers);
    bool differ = count != l->peer_count || leader_peers_differ(next, l->peers, count);
    memcpy(l->peers, next, count * sizeof next[0]);
    l->peer_count = count;
    return differ;
}

/* The leader's name is that of the proxy with its address. */
static void leader_name_it(struct leader *l, struct leader_info *info)
{
    info->name[0] = '\0';
    for (size_t i = 0; info->known && i < l->peer_count; i++) {
        if (leader_same_address(&l->peers[i].address, &info->address)) {
            memcpy(info->name, l->peers[i].name, sizeof info->name);
        }
    }
}

void leader_update(struct leader *l, const struct leader_found *found)
{
    struct leader_info next = found->info;
    const struct leader_info *before = &l->info;
    bool changed = leader_take_peers(l, found);

    if (next.self) {
        next.address = l->peers[0].address;
    } else if (!next.known) {
        next.address = (struct leader_address){.port = 0};
    }
    leader_name_it(l, &next);
    bool epoch = next.role != before->role || next.known != before->known ||
                 next.self != before->self || next.term.n != before->term.n ||
                 !leader_same_address(&next.address, &before->address);
    next.epoch = before->epoch + epoch;
    l->info = next;
    if (changed || epoch) {
        for (size_t i = 0; i < l->listener_count; i++) {
            l->listeners[i].changed(l->listeners[i].ctx);
        }
    }
}

bool leader_parse_address(const char *text, struct leader_address *out)
{
    const char *colon = strrchr(text, ':');
    char *end;

    if (colon == NULL || colon == text) {
        return false;
    }
    long port = strtol(colon + 1, &end, 10);
    size_t len = (size_t)(colon - text);
    if (text[0] == '[' && colon[-1] == ']') {
        text++;
        len -= 2;
    }
    if (*end != '\0' || end == colon + 1 || port < 1 || port > 65535 || len == 0 ||
        len > LEADER_TEXT_MAX) {
        return false;
    }
    memcpy(out->host, text, len);
    memset(out->host + len, 0, sizeof out->host - len);
    out->port = (int)port;
    return true;
}

void leader_print_address(const struct leader_address *address, char *out, size_t size)
{
    const char *format = strchr(address->host, ':') != NULL ? "[%s]:%d" : "%s:%d";
    (void)snprintf(out, size, format, address->host, address->port);
}

const char *leader_role_name(enum leader_role role)
{
    static const char *const names[] = {"follower", "candidate", "leader"};
    return names[role];
}
