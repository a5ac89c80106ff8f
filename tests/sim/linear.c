#include "tests/sim/linear.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* A call or a return, in order of time, in a list from which operations are lifted while they are
 * part of the order that is being tried. Calls without return are in a list of their own. */
struct linear_entry {
    const struct linear_op *op;
    struct linear_entry *match; /* a call's return; NULL: none, or this is the return */
    struct linear_entry *twin;  /* a call without return: the same, called before this one */
    struct linear_entry *prev, *next;
    uint64_t at;
    unsigned id;
    bool is_call, is_lost; /* lost: without return */
};

/* What was tried: a hash table of configurations, each of `words` words: the state, and a bit for
 * each operation, whether it is in the order yet. */
struct linear_tried {
    uint64_t *slots;
    bool *used;
    size_t words, count, cap;
};

struct linear_search {
    struct linear_entry *entries; /* two for each operation, and the heads */
    struct linear_entry *head;
    struct linear_entry *lost; /* head of the calls without return */
    uint64_t *now;             /* the configuration */
    struct linear_tried tried;
    struct linear_frame {
        struct linear_entry *entry;
        uint64_t state;
    } * stack;
    size_t depth;
    size_t returns_left;
};

void linear_add(struct linear_history *h, const struct linear_op *op)
{
    if (h->count == h->cap) {
        h->cap = h->cap > 0 ? 2 * h->cap : 32;
        h->ops = mem_realloc(h->ops, h->cap * sizeof *h->ops);
    }
    h->ops[h->count++] = *op;
}

void linear_fini(struct linear_history *h)
{
    free(h->ops);
    *h = (struct linear_history){0};
}

/* --- what was tried --- */

static size_t linear_hash(const struct linear_tried *t, const uint64_t *c)
{
    uint64_t h = c[0] * 0x9e3779b97f4a7c15ull;

    for (size_t i = 1; i < t->words; i++) {
        h = (h ^ c[i]) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }
    return (size_t)h;
}

static bool linear_put(struct linear_tried *t, const uint64_t *c)
{
    size_t i = linear_hash(t, c) & (t->cap - 1);

    while (t->used[i]) {
        if (memcmp(&t->slots[i * t->words], c, t->words * sizeof *c) == 0) {
            return false;
        }
        i = (i + 1) & (t->cap - 1);
    }
    memcpy(&t->slots[i * t->words], c, t->words * sizeof *c);
    t->used[i] = true;
    t->count++;
    return true;
}

/* False: it was tried before. */
static bool linear_try(struct linear_tried *t, const uint64_t *c)
{
    if (2 * t->count >= t->cap) {
        struct linear_tried old = *t;
        t->cap = old.cap > 0 ? 4 * old.cap : 256;
        t->slots = mem_alloc(t->cap * t->words * sizeof *t->slots);
        t->used = mem_calloc(t->cap, sizeof *t->used);
        t->count = 0;
        for (size_t i = 0; i < old.cap; i++) {
            if (old.used[i]) {
                (void)linear_put(t, &old.slots[i * t->words]);
            }
        }
        free(old.slots);
        free(old.used);
    }
    return linear_put(t, c);
}

/* --- the list --- */

static int linear_compare(const void *a, const void *b)
{
    const struct linear_entry *x = a, *y = b;

    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    /* What ends when another begins is not before it. */
    return x->is_call != y->is_call ? (x->is_call ? -1 : 1) : x->id < y->id ? -1 : x->id > y->id;
}

static void linear_unlink(struct linear_entry *e)
{
    e->prev->next = e->next;
    if (e->next) {
        e->next->prev = e->prev;
    }
}

static void linear_relink(struct linear_entry *e)
{
    e->prev->next = e;
    if (e->next) {
        e->next->prev = e;
    }
}

static void linear_lift(struct linear_search *s, struct linear_entry *call)
{
    linear_unlink(call);
    if (call->match) {
        linear_unlink(call->match);
        s->returns_left--;
    }
}

static void linear_unlift(struct linear_search *s, struct linear_entry *call)
{
    if (call->match) {
        linear_relink(call->match);
        s->returns_left++;
    }
    linear_relink(call);
}

static bool linear_same(const struct linear_op *a, const struct linear_op *b)
{
    return a->command == b->command && a->counter == b->counter && a->token == b->token;
}

/* Of calls without return that do the same, each knows the one before. */
static void linear_pair_up(struct linear_search *s)
{
    for (struct linear_entry *e = s->lost->next; e != NULL; e = e->next) {
        struct linear_entry *before = e->prev;
        while (before != s->lost && !linear_same(before->op, e->op)) {
            before = before->prev;
        }
        e->twin = before != s->lost ? before : NULL;
    }
}

/* Appends to one of the two lists. */
static void linear_chain(struct linear_entry **last, struct linear_entry *e)
{
    e->prev = *last;
    (*last)->next = e;
    *last = e;
}

static void linear_build(struct linear_search *s, const struct linear_history *h)
{
    size_t n = 2; /* behind the heads */

    for (size_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        bool lost = op->ret == LINEAR_UNKNOWN;
        s->entries[n++] = (struct linear_entry){
            .op = op, .at = op->call, .id = (unsigned)i, .is_call = true, .is_lost = lost};
        if (!lost) {
            s->entries[n++] = (struct linear_entry){.op = op, .at = op->ret, .id = (unsigned)i};
            s->returns_left++;
        }
    }
    qsort(s->entries + 2, n - 2, sizeof *s->entries, linear_compare);
    struct linear_entry **calls = mem_calloc(h->count + 1, sizeof(struct linear_entry *));
    s->head = &s->entries[0];
    s->lost = &s->entries[1];
    s->lost->is_lost = true;
    struct linear_entry *last = s->head, *last_lost = s->lost;
    for (size_t i = 2; i < n; i++) {
        struct linear_entry *e = &s->entries[i];
        linear_chain(e->is_lost ? &last_lost : &last, e);
        if (e->is_call) {
            calls[e->id] = e;
        } else {
            calls[e->id]->match = e;
        }
    }
    free(calls);
    linear_pair_up(s);
}

static bool linear_is_taken(const struct linear_search *s, const struct linear_entry *e)
{
    return (s->now[1 + e->id / 64] >> (e->id % 64) & 1) != 0;
}

/* The call behind e that may come next in the order, NULL: none. One may that began before any that
 * is left has returned. Those without return come last: mostly they are not needed; and of those
 * that do the same, the one that has waited longest stands for all. */
static struct linear_entry *linear_next(const struct linear_search *s, const struct linear_entry *e)
{
    const struct linear_entry *first = s->head->next;
    struct linear_entry *next;

    if (!e->is_lost) {
        if (e->next != NULL && e->next->is_call) {
            return e->next;
        }
        e = s->lost;
    }
    while (first != NULL && first->is_call) {
        first = first->next;
    }
    for (next = e->next; next != NULL && next->twin != NULL && !linear_is_taken(s, next->twin);) {
        next = next->next;
    }
    return next != NULL && (first == NULL || next->at <= first->at) ? next : NULL;
}

static void linear_mark(struct linear_search *s, const struct linear_entry *e)
{
    s->now[1 + e->id / 64] ^= 1ull << (e->id % 64);
}

/* Takes the call as next in the order; false: it would have been answered otherwise, or that was
 * tried before. */
static bool linear_take(struct linear_search *s, struct linear_entry *e)
{
    const struct linear_op *op = e->op;
    uint64_t next, before = s->now[0];
    uint64_t answer = kv_step(op->command, op->counter, op->token, before, &next);

    if (op->ret != LINEAR_UNKNOWN && answer != op->answer) {
        return false;
    }
    linear_mark(s, e);
    s->now[0] = next;
    if (!linear_try(&s->tried, s->now)) {
        linear_mark(s, e);
        s->now[0] = before;
        return false;
    }
    s->stack[s->depth++] = (struct linear_frame){e, before};
    linear_lift(s, e);
    return true;
}

static enum linear_verdict linear_search(struct linear_search *s, uint64_t steps_max)
{
    struct linear_entry *e = linear_next(s, s->head);

    for (uint64_t steps = 0; s->returns_left > 0; steps++) {
        if (steps > steps_max) {
            return LINEAR_UNDECIDED;
        }
        if (e != NULL) {
            e = linear_next(s, linear_take(s, e) ? s->head : e);
            continue;
        }
        if (s->depth == 0) {
            return LINEAR_VIOLATED; /* this one must have happened by now, and can't have */
        }
        const struct linear_frame *f = &s->stack[--s->depth];
        linear_mark(s, f->entry);
        s->now[0] = f->state;
        linear_unlift(s, f->entry);
        e = linear_next(s, f->entry);
    }
    return LINEAR_OK;
}

/* --- registers --- */

/* Who wrote one value and who read it. The times are one later than in the history, so that 0 is
 * before it. */
struct linear_zone {
    uint64_t state;
    uint64_t write_call;
    uint64_t first_ret, last_call; /* of the write and all reads */
    bool written;
};

static bool linear_is_set(const struct linear_op *op)
{
    return !op->counter &&
           (op->command == KV_SET || op->command == KV_SET_TWO || op->command == KV_SET_LARGE);
}

static uint64_t linear_zone_state(const struct linear_op *op)
{
    uint64_t next = op->answer;

    if (linear_is_set(op)) {
        (void)kv_step(op->command, false, op->token, 0, &next);
    }
    return next;
}

static int linear_compare_zones(const void *a, const void *b)
{
    const struct linear_zone *x = a, *y = b;

    if (x->state != y->state) {
        return x->state < y->state ? -1 : 1;
    }
    return (int)y->written - (int)x->written; /* the write first */
}

/* Makes a zone of each value, in place; returns how many, or 0: a value was set twice, so that
 * nobody knows who read which. */
static size_t linear_merge_zones(struct linear_zone *zones, size_t count)
{
    size_t n = 0;

    qsort(zones, count, sizeof *zones, linear_compare_zones);
    for (size_t i = 0; i < count; i++) {
        struct linear_zone *z = &zones[n > 0 ? n - 1 : 0];
        if (n == 0 || z->state != zones[i].state) {
            zones[n++] = zones[i];
            continue;
        }
        if (zones[i].written) {
            return 0;
        }
        z->first_ret = zones[i].first_ret < z->first_ret ? zones[i].first_ret : z->first_ret;
        z->last_call = zones[i].last_call > z->last_call ? zones[i].last_call : z->last_call;
    }
    return n;
}

/* Whether one of them must come before the other, and also behind it. */
static bool linear_zones_conflict(const struct linear_zone *a, const struct linear_zone *b)
{
    return a->first_ret < b->last_call && b->first_ret < a->last_call;
}

/* The zones of a history of SET and GET alone in which each value was set once; 0: it is another
 * one. zones: one for each operation, and one more. */
static size_t linear_zones(const struct linear_history *h, struct linear_zone *zones)
{
    size_t count = 1;

    zones[0] = (struct linear_zone){.state = h->begin, .written = true};
    for (size_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        bool lost = op->ret == LINEAR_UNKNOWN, set = linear_is_set(op);
        if (!set && (op->command != KV_GET || lost)) {
            return 0;
        }
        zones[count++] = (struct linear_zone){.state = linear_zone_state(op),
                                              .write_call = op->call + 1,
                                              .first_ret = lost ? LINEAR_UNKNOWN : op->ret + 1,
                                              .last_call = op->call + 1,
                                              .written = set};
    }
    return linear_merge_zones(zones, count);
}

/* Without a search, by Gibbons and Korach (Testing Shared Memories, SIAM J. Computing 1997): when
 * it is known which write each read has seen, all that can go wrong is a read before its write, and
 * two values of which each must come before the other. A write of unknown outcome that was read was
 * done before that; one that nobody has read may as well not have been. */
static enum linear_verdict linear_judge_register(const struct linear_zone *zones, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct linear_zone *z = &zones[i];
        if (!z->written || z->first_ret < z->write_call) {
            return LINEAR_VIOLATED;
        }
        for (size_t k = 0; k < i; k++) {
            if (linear_zones_conflict(z, &zones[k])) {
                return LINEAR_VIOLATED;
            }
        }
    }
    return LINEAR_OK;
}

/* --- */

static enum linear_verdict linear_judge(const struct linear_history *h, uint64_t steps_max)
{
    struct linear_search s = {.tried.words = 1 + (h->count + 63) / 64};

    s.entries = mem_calloc(2 * h->count + 2, sizeof *s.entries);
    s.stack = mem_calloc(h->count + 1, sizeof *s.stack);
    s.now = mem_calloc(s.tried.words, sizeof *s.now);
    s.now[0] = h->begin;
    linear_build(&s, h);
    enum linear_verdict verdict = linear_search(&s, steps_max);
    free(s.tried.slots);
    free(s.tried.used);
    free(s.now);
    free(s.stack);
    free(s.entries);
    return verdict;
}

enum linear_verdict linear_check(const struct linear_history *h, uint64_t steps_max)
{
    struct linear_zone *zones = mem_calloc(h->count + 1, sizeof *zones);
    size_t count = linear_zones(h, zones);

    MUST(h->count <= LINEAR_OPS_MAX);
    enum linear_verdict verdict =
        count > 0 ? linear_judge_register(zones, count) : linear_judge(h, steps_max);
    free(zones);
    return verdict;
}
