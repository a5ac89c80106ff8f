/* The tracker keeps three things, all ordered by stream offset:
 *
 *   dirty keys   a hash table over entries that also stand in a list, oldest effect first. A key
 *                that is written again moves to the list's end, so tracker_commit only ever takes
 *                from the front and each entry is cleared once.
 *   waiters      two queues: for the stream to reach a bound, for the log to commit an offset.
 *   ready        replies that may leave, in the order they became so.
 *
 * Invariants: every dirty entry's offset is above `committed`; every waiter for the stream has a
 * bound above `stream`; every waiter for a commit has a release_at above `committed`.
 *
 * The hash table is our own and not uthash: the map runs empty at each commit when load is low, and
 * uthash gives its table back with the last entry, to build and grow it again from nothing for the
 * next batch; it never shrinks after a peak; and an entry costs 72 bytes there, 40 here. */
#include "proxy/clients/tracker.h"

#include "common/mem.h"
#include "logsvc/mutant.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    BUCKETS_MIN = 1024,
    HEAP_MIN = 64,
    WINDOW_COMMITS = 256, /* memory that a peak took is given back when so many commits go below */
    FREE_AT_ONCE = 512,   /* spare entries freed at one commit, so that none takes long */
};

static const size_t NOT_IN_HEAP = SIZE_MAX;

struct dirty {
    uint64_t hash;
    uint64_t offset;
    struct dirty *chain; /* next in the bucket; next spare entry */
    struct dirty *older, *newer;
};

/* Waiters by the offset that they wait for (see due). Most come in ascending order and stand in a
 * list; one that is due before the list's last goes to the heap. So both a long run in order
 * (O(1) each) and any interleaving of connections (O(log n) each) are cheap. */
struct queue {
    struct tracker_waiter *head, *tail;
    struct tracker_waiter **heap;
    size_t heap_count, heap_cap;
    size_t count; /* list and heap */
};

struct tracker {
    uint64_t seed;
    uint64_t stream;
    uint64_t committed;
    uint64_t newest_effect; /* highest offset dirtied, by key or keyspace-wide */
    uint64_t dirty_keyspace;

    struct dirty **buckets;
    size_t bucket_count; /* a power of two */
    struct dirty *oldest, *newest;
    size_t dirty_count;
    struct dirty *spare;
    size_t spare_count;
    size_t peak, peak_before; /* most dirty keys in this window of commits, in the one before */
    unsigned window_commits;

    struct queue for_stream, for_commit;
    struct tracker_waiter *ready_head, *ready_tail;
};

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- dirty keys ---- */

static struct dirty **bucket_of(const struct tracker *t, uint64_t hash)
{
    return &t->buckets[hash & (t->bucket_count - 1)];
}

static struct dirty *dirty_find(const struct tracker *t, uint64_t hash)
{
    struct dirty *d = *bucket_of(t, hash);

    while (d != NULL && d->hash != hash) {
        d = d->chain;
    }
    return d;
}

static void dirty_set_buckets(struct tracker *t, size_t count)
{
    free(t->buckets);
    t->buckets = mem_calloc(count, sizeof(struct dirty *));
    t->bucket_count = count;
    for (struct dirty *d = t->oldest; d != NULL; d = d->newer) {
        struct dirty **bucket = bucket_of(t, d->hash);
        d->chain = *bucket;
        *bucket = d;
    }
}

static void dirty_list_append(struct tracker *t, struct dirty *d)
{
    d->older = t->newest;
    d->newer = NULL;
    if (t->newest != NULL) {
        t->newest->newer = d;
    } else {
        t->oldest = d;
    }
    t->newest = d;
}

static void dirty_list_unlink(struct tracker *t, struct dirty *d)
{
    if (d->older != NULL) {
        d->older->newer = d->newer;
    } else {
        t->oldest = d->newer;
    }
    if (d->newer != NULL) {
        d->newer->older = d->older;
    } else {
        t->newest = d->older;
    }
}

static struct dirty *dirty_insert(struct tracker *t, uint64_t hash)
{
    struct dirty *d = t->spare, **bucket;

    if (d != NULL) {
        t->spare = d->chain;
        t->spare_count--;
    } else {
        d = mem_alloc(sizeof *d);
    }
    if (t->dirty_count >= t->bucket_count) {
        dirty_set_buckets(t, t->bucket_count * 2);
    }
    d->hash = hash;
    bucket = bucket_of(t, hash);
    d->chain = *bucket;
    *bucket = d;
    if (++t->dirty_count > t->peak) {
        t->peak = t->dirty_count;
    }
    return d;
}

static void dirty_remove_oldest(struct tracker *t)
{
    struct dirty *d = t->oldest, **at = bucket_of(t, d->hash);

    while (*at != d) {
        at = &(*at)->chain;
    }
    *at = d->chain;
    dirty_list_unlink(t, d);
    t->dirty_count--;
    d->chain = t->spare;
    t->spare = d;
    t->spare_count++;
}

/* Gives back what only a peak needed, so that a load that swings between commits does not make the
 * table swing: what the last two windows needed is kept. */
static void dirty_shrink(struct tracker *t)
{
    size_t keep = t->peak > t->peak_before ? t->peak : t->peak_before;

    if (keep < BUCKETS_MIN) {
        keep = BUCKETS_MIN;
    }
    for (int i = 0; i < FREE_AT_ONCE && t->spare != NULL; i++) {
        struct dirty *d = t->spare;
        if (t->dirty_count + t->spare_count <= keep) {
            break;
        }
        t->spare = d->chain;
        t->spare_count--;
        free(d);
    }
    if (++t->window_commits < WINDOW_COMMITS) {
        return;
    }
    if (keep < t->bucket_count / 4) {
        dirty_set_buckets(t, t->bucket_count / 2);
    }
    t->window_commits = 0;
    t->peak_before = t->peak;
    t->peak = t->dirty_count;
}

static void dirty_forget_all(struct tracker *t)
{
    while (t->oldest != NULL) {
        dirty_remove_oldest(t);
    }
    while (t->spare != NULL) {
        struct dirty *d = t->spare;
        t->spare = d->chain;
        free(d);
    }
    t->spare_count = 0;
    t->peak = t->peak_before = 0;
    t->window_commits = 0;
}

/* ---- queues of waiters ---- */

/* The offset that a waiter waits for in its state. */
static uint64_t due(const struct tracker_waiter *w)
{
    return w->state == TRACKER_WAITS_STREAM ? w->bound : w->release_at;
}

static void heap_place(struct queue *q, size_t i, struct tracker_waiter *w)
{
    q->heap[i] = w;
    w->heap_index = i;
}

static void heap_sift_up(struct queue *q, size_t i, struct tracker_waiter *w)
{
    while (i > 0 && due(q->heap[(i - 1) / 2]) > due(w)) {
        heap_place(q, i, q->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(q, i, w);
}

static void heap_sift_down(struct queue *q, size_t i, struct tracker_waiter *w)
{
    for (size_t child; (child = 2 * i + 1) < q->heap_count; i = child) {
        if (child + 1 < q->heap_count && due(q->heap[child + 1]) < due(q->heap[child])) {
            child++;
        }
        if (due(q->heap[child]) >= due(w)) {
            break;
        }
        heap_place(q, i, q->heap[child]);
    }
    heap_place(q, i, w);
}

static void heap_resize(struct queue *q, size_t cap)
{
    q->heap_cap = cap;
    q->heap = mem_realloc(q->heap, cap * sizeof(struct tracker_waiter *));
}

static void heap_push(struct queue *q, struct tracker_waiter *w)
{
    if (q->heap_count == q->heap_cap) {
        heap_resize(q, q->heap_cap == 0 ? HEAP_MIN : q->heap_cap * 2);
    }
    q->heap_count++;
    heap_sift_up(q, q->heap_count - 1, w);
}

static void heap_remove(struct queue *q, size_t i)
{
    struct tracker_waiter *last = q->heap[--q->heap_count];

    if (i < q->heap_count) {
        if (i > 0 && due(q->heap[(i - 1) / 2]) > due(last)) {
            heap_sift_up(q, i, last);
        } else {
            heap_sift_down(q, i, last);
        }
    }
    if (q->heap_cap > HEAP_MIN && q->heap_count < q->heap_cap / 8) {
        heap_resize(q, q->heap_cap / 2);
    }
}

static void list_append(struct tracker_waiter **head, struct tracker_waiter **tail,
                        struct tracker_waiter *w)
{
    w->prev = *tail;
    w->next = NULL;
    if (*tail != NULL) {
        (*tail)->next = w;
    } else {
        *head = w;
    }
    *tail = w;
}

static void list_unlink(struct tracker_waiter **head, struct tracker_waiter **tail,
                        struct tracker_waiter *w)
{
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        *head = w->next;
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    } else {
        *tail = w->prev;
    }
    w->prev = w->next = NULL;
}

static void queue_add(struct queue *q, struct tracker_waiter *w)
{
    q->count++;
    if (q->tail == NULL || due(q->tail) <= due(w)) {
        w->heap_index = NOT_IN_HEAP;
        list_append(&q->head, &q->tail, w);
    } else {
        heap_push(q, w);
    }
}

static void queue_remove(struct queue *q, struct tracker_waiter *w)
{
    q->count--;
    if (w->heap_index == NOT_IN_HEAP) {
        list_unlink(&q->head, &q->tail, w);
    } else {
        MUST(w->heap_index < q->heap_count && q->heap[w->heap_index] == w);
        heap_remove(q, w->heap_index);
    }
}

/* Takes out a waiter that is due at offset, the earliest first; NULL if none is. */
static struct tracker_waiter *queue_take_due(struct queue *q, uint64_t offset)
{
    struct tracker_waiter *w = q->head;

    if (q->heap_count > 0 && (w == NULL || due(q->heap[0]) < due(w))) {
        w = q->heap[0];
    }
    if (w == NULL || due(w) > offset) {
        return NULL;
    }
    queue_remove(q, w);
    return w;
}

static void queue_forget_all(struct queue *q)
{
    struct tracker_waiter *w;

    while ((w = queue_take_due(q, UINT64_MAX)) != NULL) {
        w->state = TRACKER_OUT;
    }
    free(q->heap);
    *q = (struct queue){.head = NULL};
}

/* ---- judging ---- */

static void make_ready(struct tracker *t, struct tracker_waiter *w)
{
    w->state = TRACKER_READY;
    list_append(&t->ready_head, &t->ready_tail, w);
}

/* The stream was read up to the waiter's bound: what it may reveal is known. That includes nothing
 * behind the bound, so a key that keeps being written holds the reply no longer than to there. */
static void judge(struct tracker *t, struct tracker_waiter *w)
{
    uint64_t release_at = t->dirty_keyspace;

    if (w->keyspace) {
        release_at = t->newest_effect;
    }
    for (uint32_t i = 0; i < w->hash_count && !w->keyspace; i++) {
        const struct dirty *d = dirty_find(t, w->hashes[i]);
        if (d != NULL) {
            release_at = max_u64(release_at, d->offset);
        }
    }
    w->release_at = min_u64(release_at, w->bound);
    if (w->release_at <= t->committed || w->async || MUTANT(SYNC_WEAKENED)) {
        make_ready(t, w);
        return;
    }
    w->state = TRACKER_WAITS_COMMIT;
    queue_add(&t->for_commit, w);
}

/* ---- public ---- */

struct tracker *tracker_create(uint64_t seed, uint64_t committed)
{
    struct tracker *t = mem_calloc(1, sizeof *t);

    t->seed = seed;
    t->stream = t->committed = t->newest_effect = committed;
    dirty_set_buckets(t, BUCKETS_MIN);
    return t;
}

void tracker_destroy(struct tracker *t)
{
    if (t == NULL) {
        return;
    }
    dirty_forget_all(t);
    free(t->for_stream.heap);
    free(t->for_commit.heap);
    free(t->buckets);
    free(t);
}

uint64_t tracker_hash(const struct tracker *t, uint32_t db, const void *key, size_t len)
{
    /* An odd constant spreads the databases over the whole seed. */
    return XXH3_64bits_withSeed(key, len, t->seed + db * 0x9e3779b97f4a7c15ull);
}

void tracker_dirty(struct tracker *t, uint64_t hash, uint64_t offset)
{
    struct dirty *d;

    MUST(offset >= t->newest_effect || offset <= t->committed);
    if (offset <= t->committed) {
        return;
    }
    t->newest_effect = offset;
    d = dirty_find(t, hash);
    if (d != NULL) {
        dirty_list_unlink(t, d);
    } else {
        d = dirty_insert(t, hash);
    }
    d->offset = offset;
    dirty_list_append(t, d);
}

void tracker_dirty_keyspace(struct tracker *t, uint64_t offset)
{
    MUST(offset >= t->newest_effect || offset <= t->committed);
    if (offset <= t->committed) {
        return;
    }
    t->newest_effect = offset;
    t->dirty_keyspace = offset;
}

void tracker_stream_at(struct tracker *t, uint64_t offset)
{
    struct tracker_waiter *w;

    MUST(offset >= t->stream);
    t->stream = offset;
    while ((w = queue_take_due(&t->for_stream, offset)) != NULL) {
        judge(t, w);
    }
}

void tracker_commit(struct tracker *t, uint64_t offset)
{
    struct tracker_waiter *w;

    if (offset <= t->committed) {
        return;
    }
    t->committed = offset;
    while (t->oldest != NULL && t->oldest->offset <= offset) {
        dirty_remove_oldest(t);
    }
    dirty_shrink(t);
    while ((w = queue_take_due(&t->for_commit, offset)) != NULL) {
        make_ready(t, w);
    }
}

void tracker_add(struct tracker *t, struct tracker_waiter *w, uint64_t bound)
{
    MUST(w->state == TRACKER_OUT);
    w->bound = bound;
    w->release_at = 0;
    if (w->harmless) {
        make_ready(t, w);
    } else if (bound <= t->stream) {
        judge(t, w);
    } else {
        w->state = TRACKER_WAITS_STREAM;
        queue_add(&t->for_stream, w);
    }
}

void tracker_remove(struct tracker *t, struct tracker_waiter *w)
{
    switch (w->state) {
    case TRACKER_OUT:
        return;
    case TRACKER_WAITS_STREAM:
        queue_remove(&t->for_stream, w);
        break;
    case TRACKER_WAITS_COMMIT:
        queue_remove(&t->for_commit, w);
        break;
    case TRACKER_READY:
        list_unlink(&t->ready_head, &t->ready_tail, w);
        break;
    }
    w->state = TRACKER_OUT;
}

struct tracker_waiter *tracker_next_ready(struct tracker *t)
{
    struct tracker_waiter *w = t->ready_head;

    if (w != NULL) {
        tracker_remove(t, w);
    }
    return w;
}

bool tracker_has_ready(const struct tracker *t)
{
    return t->ready_head != NULL;
}

void tracker_reset(struct tracker *t, uint64_t committed)
{
    queue_forget_all(&t->for_stream);
    queue_forget_all(&t->for_commit);
    while (tracker_next_ready(t) != NULL) {
        continue;
    }
    dirty_forget_all(t);
    dirty_set_buckets(t, BUCKETS_MIN);
    t->stream = t->committed = t->newest_effect = committed;
    t->dirty_keyspace = 0;
}

uint64_t tracker_stream_offset(const struct tracker *t)
{
    return t->stream;
}

uint64_t tracker_committed_offset(const struct tracker *t)
{
    return t->committed;
}

size_t tracker_dirty_keys(const struct tracker *t)
{
    return t->dirty_count;
}

size_t tracker_withheld(const struct tracker *t)
{
    return t->for_stream.count + t->for_commit.count;
}
