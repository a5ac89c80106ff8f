#include "proxy/node/outlook.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A proxy that no log node has heard for so long is not counted on. */
enum { OUTLOOK_FRESH_MS = 1000 };
/* Offsets are told now and then only: less than this is no difference. */
enum { OUTLOOK_GRAIN_BYTES = 4 << 20 };
/* Steps that one waits whose own Redis does not go along yet, if another's does: taking over would
 * have to wait for that. Less than a lease, which all have to wait for anyway. */
enum { OUTLOOK_UNREADY_STEPS = 8 };
/* When a leader's connections have closed, its watchdog may have a word to say that saves the
 * lease; a vote in front of it would keep it from being heard. It is waited for during this part of
 * a lease, which costs nothing: without that word, all of the lease has to be waited for. */
enum { OUTLOOK_LISTEN_PART = 8 };

static bool outlook_is_fresh(const struct leader_peer *peer, uint64_t now_ns)
{
    return now_ns < peer->seen_ns || now_ns - peer->seen_ns < OUTLOOK_FRESH_MS * CLOCK_NS_PER_MS;
}

/* Whether a is rather to lead than b. */
static bool outlook_is_better(const struct leader_peer *a, const struct leader_peer *b)
{
    uint64_t grain = OUTLOOK_GRAIN_BYTES;

    if (a->synced != b->synced) {
        return a->synced;
    }
    if (a->offset > b->offset + grain || b->offset > a->offset + grain) {
        return a->offset > b->offset;
    }
    return strcmp(a->name, b->name) < 0;
}

/* Takes the roster over, without us; the addresses of those that we can't read are left out. */
static void outlook_take(struct outlook *o, const char *self, const struct roster *roster)
{
    o->peer_count = 0;
    for (unsigned i = 0; i < roster->count && o->peer_count < LEADER_PEERS_MAX; i++) {
        const struct roster_entry *e = &roster->entries[i];
        struct leader_peer *peer = &o->peers[o->peer_count];
        *peer = (struct leader_peer){.role = (enum leader_role)e->role,
                                     .offset = e->offset,
                                     .needs = e->needs,
                                     .synced = e->synced,
                                     .sentinel_port = (int)e->sentinel_port,
                                     .seen_ns = e->heard_ns};
        memcpy(peer->name, e->name, sizeof peer->name);
        if (strcmp(e->address, self) != 0 && leader_parse_address(e->address, &peer->address)) {
            o->peer_count++;
        }
    }
}

static bool outlook_could_lead(const struct leader_peer *peer, uint64_t now_ns)
{
    return peer->synced && peer->role != LEADER_LEADER && outlook_is_fresh(peer, now_ns);
}

static bool outlook_is_at(const struct leader_peer *peer, const char *address)
{
    char text[LEADER_TEXT_MAX + 1];

    leader_print_address(&peer->address, text, sizeof text);
    return strcmp(text, address) == 0;
}

/* heir: the address of the one that the leader which has released wants to be next, or "".
 * Everybody else lets it go first, as if it were better. */
static void outlook_judge(struct outlook *o, const struct leader_peer *self, const char *heir,
                          uint64_t now_ns)
{
    o->rank = 0;
    o->successor = NULL;
    for (size_t i = 0; i < o->peer_count; i++) {
        const struct leader_peer *peer = &o->peers[i];
        o->rank += outlook_is_fresh(peer, now_ns) && peer->role != LEADER_LEADER &&
                   (outlook_is_better(peer, self) || outlook_is_at(peer, heir));
        if (outlook_could_lead(peer, now_ns) &&
            (o->successor == NULL || outlook_is_better(peer, o->successor))) {
            o->successor = peer;
        }
    }
    o->rank += !self->synced && o->successor != NULL ? OUTLOOK_UNREADY_STEPS : 0;
}

void outlook_see(struct outlook *o, const struct lookout_view *view, const struct leader_peer *self,
                 const char *address, uint32_t lease_ms, uint64_t now_ns)
{
    bool we_led = strcmp(view->leader, address) == 0;

    o->other_leads = view->leader_alive && !view->free && !we_led;
    o->nobody_leads = view->free;
    o->nodes_up = view->nodes_up;
    o->quorum_up = view->seen;
    o->commit = view->commit;
    o->heir = view->heir_sure && strcmp(view->heir, address) == 0;
    bool wordless = !view->heir_sure && view->leader_term.n > 0 && !we_led;
    o->listen_ms = wordless && view->gone ? lease_ms / OUTLOOK_LISTEN_PART : 0;
    o->fell_silent = view->free ? wordless && !view->gone : o->fell_silent;
    o->term = view->term;
    o->leader_term = view->leader_term;
    (void)snprintf(o->leader, sizeof o->leader, "%s", view->leader);
    outlook_take(o, address, view->roster);
    outlook_judge(o, self, view->heir, now_ns);
}

/* By name or address; NULL: no such proxy is there. */
static const struct leader_peer *outlook_find(const struct outlook *o, const char *name)
{
    const struct leader_peer *found = NULL;

    for (size_t i = 0; i < o->peer_count; i++) {
        if (strcmp(o->peers[i].name, name) == 0 || outlook_is_at(&o->peers[i], name)) {
            found = &o->peers[i];
        }
    }
    return found;
}

const struct leader_peer *outlook_heir(const struct outlook *o, const struct leader_peer *self,
                                       const char *address, const char *name, uint64_t commit,
                                       uint64_t now_ns, char scratch[OUTLOOK_REFUSAL_BYTES],
                                       const char **refusal)
{
    const struct leader_peer *to = name[0] == '\0' ? o->successor : outlook_find(o, name);

    *refusal = NULL;
    if (to == NULL && name[0] == '\0') {
        *refusal = "NOTREADY no other proxy's Redis goes along with the log";
    } else if (strcmp(name, self->name) == 0 || strcmp(name, address) == 0) {
        *refusal = "ERR this proxy leads already";
    } else if (to == NULL || !outlook_is_fresh(to, now_ns)) {
        *refusal = "NOPEER no such proxy is there";
    } else if (!outlook_could_lead(to, now_ns)) {
        (void)snprintf(scratch, OUTLOOK_REFUSAL_BYTES,
                       "NOTREADY %s is not caught up: %" PRIu64 " bytes behind", to->name,
                       commit > to->offset ? commit - to->offset : 0);
        *refusal = scratch;
    }
    return *refusal == NULL ? to : NULL;
}
