/* The roster of a log: the proxies that have greeted a node lately, who they are and how far their
 * Redis is. Nodes keep it in memory and tell it to whoever greets them, so that proxies know of
 * each other without connections among them. For finding and showing; no safety rests on it.
 *
 * Encoded: u16 count, then for each entry: text name, text address (u8 length, bytes), u8 role,
 * u8 synced, u64 offset, u64 needs, u64 age_ns, u32 sentinel_port. Pure. */
#ifndef LOGSVC_ROSTER_H
#define LOGSVC_ROSTER_H

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { ROSTER_ENTRIES_MAX = 16, ROSTER_TEXT_MAX = 63 };
enum { ROSTER_BYTES_MAX = 2 + ROSTER_ENTRIES_MAX * (2 * (1 + ROSTER_TEXT_MAX) + 2 + 28) };

enum roster_role { ROSTER_FOLLOWER, ROSTER_CANDIDATE, ROSTER_LEADER };

struct roster_entry {
    char name[ROSTER_TEXT_MAX + 1];
    char address[ROSTER_TEXT_MAX + 1]; /* where its clients connect to: host:port */
    enum roster_role role;
    bool synced;     /* its Redis goes along with the log */
    uint64_t offset; /* that its Redis has applied (of a leader: executed); 0: not known */
    uint64_t needs;  /* the log from there on: the same, or where the snapshot is that its Redis is
                        made anew from; 0: not known */
    uint32_t sentinel_port;
    uint64_t heard_ns; /* when it greeted last; decoded: by the clock of who decodes */
};

/* A plain value: {0} is the empty roster. */
struct roster {
    unsigned count;
    struct roster_entry entries[ROSTER_ENTRIES_MAX];
};

/* Takes an entry in, in place of the one with the same name and address unless that is newer. A
 * full roster forgets the entry that was heard longest ago. Returns its index. */
unsigned roster_hear(struct roster *r, const struct roster_entry *entry);
void roster_remove(struct roster *r, unsigned index);
/* Forgets whom it has not heard for that long. */
void roster_forget(struct roster *r, uint64_t now_ns, uint64_t age_max_ns);

void roster_encode(const struct roster *r, uint64_t now_ns, struct buf *out);
/* Reads exactly size bytes; ages are taken off now_ns. ERR_CORRUPT: r is then undefined. */
int roster_decode(const uint8_t *bytes, size_t size, uint64_t now_ns, struct roster *r) MUST_CHECK;

#endif
