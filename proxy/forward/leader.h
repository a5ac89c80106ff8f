/* Who leads, and who else is there: what forwarding, redirects, Sentinel and INFO ask. One struct
 * for the whole proxy, filled by the role machine (what we are) and by what the log nodes say (who
 * leads, which proxies have greeted them lately). Nothing here is a proof: who leads is proven only
 * by the lease, in the leader itself; this is where to look for it.
 *
 * Pure: no clock, no network. */
#ifndef PROXY_FORWARD_LEADER_H
#define PROXY_FORWARD_LEADER_H

#include "logsvc/term.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEADER_TEXT_MAX = 63, LEADER_PEERS_MAX = 16, LEADER_LISTENERS_MAX = 4 };

enum leader_role { LEADER_FOLLOWER, LEADER_CANDIDATE, LEADER_LEADER };

/* Where a proxy's clients connect to. */
struct leader_address {
    char host[LEADER_TEXT_MAX + 1];
    int port; /* 0: not known */
};

/* A proxy of this log; we are among them. */
struct leader_peer {
    char name[LEADER_TEXT_MAX + 1]; /* "name" of its configuration */
    struct leader_address address;
    int sentinel_port; /* where it answers as a Sentinel, on the same host; 0: nowhere, or not known
                        */
    bool self;
    enum leader_role role;
    uint64_t offset;  /* of the log, that its Redis has applied (the leader: executed); 0: not known
                       */
    uint64_t needs;   /* as in its roster_entry; not of ourselves */
    bool synced;      /* a follower whose Redis goes along with the log: may lead, may be read */
    uint64_t seen_ns; /* our clock, when it last greeted a log node */
};

struct leader_info {
    enum leader_role role; /* this proxy's own */
    bool known;            /* somebody leads, and a log node has heard him within the lease */
    bool self;             /* and it is this proxy */
    struct term term;      /* of the leader; else the highest one that was seen */
    char name[LEADER_TEXT_MAX + 1]; /* of the leader; "" if its name is not known (yet) */
    struct leader_address address;  /* of the leader: host:port of its clients */
    bool local_reads;   /* our Redis follows, whole, and holds committed bytes only: READONLY */
    uint64_t lag_bytes; /* of a follower, behind the commit that is known here */
    uint64_t lag_ms;    /* and since when it is behind; 0: it isn't */
    /* Counts up whenever role, known, self, term or address have changed (not for lag). */
    uint64_t epoch;
};

struct leader;

struct leader *leader_create(const char *name, const char *host, int port);
void leader_destroy(struct leader *l);
/* Our own; known once it listens. */
void leader_set_sentinel_port(struct leader *l, int port);

const struct leader_info *leader_info(const struct leader *l);

/* Proxies that were seen lately, us first; sorted by name behind that. */
size_t leader_peer_count(const struct leader *l);
const struct leader_peer *leader_peer(const struct leader *l, size_t index);

/* Calls changed(ctx) after each change of epoch, and when a peer came, went or changed its role or
 * address; from within leader_update, once for all that has changed. */
void leader_listen(struct leader *l, void (*changed)(void *ctx), void *ctx);

/* ---- for the proxy's own use ---- */

/* What is found at this turn; leader_update compares and tells the listeners. peers: those that the
 * log nodes know, with us or without; at most LEADER_PEERS_MAX are kept. */
struct leader_found {
    struct leader_info info; /* epoch, name and (if self) address are ignored */
    const struct leader_peer *peers;
    size_t peer_count;
    uint64_t offset; /* our own */
    bool synced;
    uint64_t now_ns;
};
void leader_update(struct leader *l, const struct leader_found *found);

/* "host:port" (an IPv6 host in brackets or not); false: it is none. */
bool leader_parse_address(const char *text, struct leader_address *out);
/* The other way round; cut if it does not fit. */
void leader_print_address(const struct leader_address *address, char *out, size_t size);

const char *leader_role_name(enum leader_role role); /* "follower", "candidate", "leader" */

#endif
