/* The tracker: withholds each reply until everything that it can reveal is committed, and not
 * longer (docs/ARCHITECTURE.md, "The life of one SET"). The heart of Holdfast; pure, small, and the
 most tested file in the tree.
 *
 * Keys are known by a 64-bit seeded hash of (database, name). Two keys with the same hash share an
 * entry, which can only make a reply wait longer, never leave earlier; so no key is ever copied.
 *
 *   effects ──tracker_dirty──▶ dirty[hash] = highest offset ──tracker_commit──▶ forgotten
 *
 *   a reply:  tracker_add(waiter, bound)
 *        WAITS_STREAM   until the stream was read up to its bound: then dirty[] holds every
 *                       effect that the reply can have seen
 *        WAITS_COMMIT   until release_at = max(dirty offsets of its keys) is committed, or the
 *                       bound, where later writes of those keys have made that offset larger
                       (not for async: what that reveals can still be lost)
 *        READY          handed out by tracker_next_ready; the lease is checked after that, last
 */
#ifndef PROXY_CLIENTS_TRACKER_H
#define PROXY_CLIENTS_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tracker_state {
    TRACKER_OUT, /* not in the tracker */
    TRACKER_WAITS_STREAM,
    TRACKER_WAITS_COMMIT,
    TRACKER_READY,
};

/* One withheld reply; embedded in the request that owns it. Zeroed, it is TRACKER_OUT. The owner
 * fills in the first part, the rest belongs to the tracker. `hashes` must stay valid until the
 * waiter is judged (WAITS_COMMIT). */
struct tracker_waiter {
    const uint64_t *hashes; /* keys that the reply may reveal */
    uint32_t hash_count;
    bool keyspace; /* may reveal anything: waits for every effect up to its bound */
    bool harmless; /* reveals no data: READY as soon as it is added */
    bool async;    /* its client waits for no commit: READY when the stream was read to its bound */
    bool parcel;   /* the owner's mark: it is no request's */

    enum tracker_state state;
    uint64_t bound;      /* offset of the first fence behind the reply */
    uint64_t release_at; /* set when judged */
    size_t heap_index;
    struct tracker_waiter *prev, *next;
};

struct tracker;

/* seed: random, from the caller, so that nobody can make keys collide on purpose. committed: the
 * offset at which the stream begins. */
struct tracker *tracker_create(uint64_t seed, uint64_t committed);
/* Waiters that are still in it are not touched. */
void tracker_destroy(struct tracker *t);

uint64_t tracker_hash(const struct tracker *t, uint32_t db, const void *key, size_t len);

/* An effect that ends at offset changed this key / may have changed anything. Offsets never go
 * back; an effect that is committed already is clean. What is kept is bounded by the caller's bound
 * on stream bytes that are not committed. */
void tracker_dirty(struct tracker *t, uint64_t hash, uint64_t offset);
void tracker_dirty_keyspace(struct tracker *t, uint64_t offset);

/* The stream was read and its effects told up to offset, which never goes back: judges what waited
 * for that. */
void tracker_stream_at(struct tracker *t, uint64_t offset);

/* The log committed up to offset: forgets what is clean now, and readies what waited for it. An
 * offset that was passed already means nothing. */
void tracker_commit(struct tracker *t, uint64_t offset);

/* A reply has been received and bounded. Bounds of one connection never go back, but several
 * connections may interleave in any order. */
void tracker_add(struct tracker *t, struct tracker_waiter *w, uint64_t bound);

/* Takes a waiter out, in whatever state (its client has gone). No-op if TRACKER_OUT. */
void tracker_remove(struct tracker *t, struct tracker_waiter *w);

/* The next ready reply, in the order they became ready, or NULL; it is TRACKER_OUT then. */
struct tracker_waiter *tracker_next_ready(struct tracker *t);

/* Whether there is one that was not handed out yet. */
bool tracker_has_ready(const struct tracker *t);

/* Forgets everything (waiters become TRACKER_OUT, unreported) and starts at offset again: the
 * engine was rebuilt there. */
void tracker_reset(struct tracker *t, uint64_t committed);

uint64_t tracker_stream_offset(const struct tracker *t);
uint64_t tracker_committed_offset(const struct tracker *t);
size_t tracker_dirty_keys(const struct tracker *t);
/* Replies that wait, for the stream or a commit. */
size_t tracker_withheld(const struct tracker *t);

#endif
