/* What a proxy knows of the others at this turn: whether somebody leads, who is there, who would do
 * better than we as the next leader, and who could take over from us. Made of what the lookout
 * tells (a picture, no proof), once per turn.
 *
 * Pure: no clock, no network. */
#ifndef PROXY_NODE_OUTLOOK_H
#define PROXY_NODE_OUTLOOK_H

#include "logsvc/client/lookout.h"
#include "proxy/forward/leader.h"

enum { OUTLOOK_REFUSAL_BYTES = 192 };

struct outlook {
    bool other_leads;
    bool nobody_leads;
    unsigned nodes_up;  /* log nodes that answer */
    bool quorum_up;     /* and they are a quorum */
    uint64_t commit;    /* highest offset that is known to be committed */
    bool heir;          /* we are named */
    uint32_t listen_ms; /* as role_view has it */
    bool fell_silent;   /* the last leader did, when nobody led last: no answer of it will come */
    unsigned rank;      /* how many others would do better as the next leader */
    struct term term, leader_term;
    char leader[LEADER_TEXT_MAX + 1];
    struct leader_peer peers[LEADER_PEERS_MAX]; /* without us */
    size_t peer_count;
    const struct leader_peer *successor; /* who could take over at once, the best one; or NULL */
};

/* Who we are: name, synced and offset of `self`, and the address of our clients as the log nodes
 * tell it. */
void outlook_see(struct outlook *o, const struct lookout_view *view, const struct leader_peer *self,
                 const char *address, uint32_t lease_ms, uint64_t now_ns);

/* To whom we hand over, who lead: the proxy of that name or address; "": whoever is best. NULL: to
 * nobody, and *refusal says why: a constant, or written to scratch. commit: what is committed. */
const struct leader_peer *outlook_heir(const struct outlook *o, const struct leader_peer *self,
                                       const char *address, const char *name, uint64_t commit,
                                       uint64_t now_ns, char scratch[OUTLOOK_REFUSAL_BYTES],
                                       const char **refusal);

#endif
