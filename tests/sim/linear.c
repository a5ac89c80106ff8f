#include "tests/sim/linear.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* A call or a return, in order of time, in a list from which operations are lifted while they are
 * part of the order that is being tried. */
struct linear_entry {
    const struct linear_op *op;
    struct linear_entry *match; /* a call's return; NULL: none, or this is the return */
    struct linear_entry *prev, *next;
    uint64_t at;
    unsigned id;
    bool is_call;
};

/* What was tried: a hash table of configurations, each of `words` words: the state, and a bit for
 * each operation, whether it is in the order yet. */
struct linear_tried {
    uint64_t *slots;
    bool *used;
    size_t words, count, cap;
};

struct linear_search {
    struct linear_entry *entries; /* two for each operation, and the head */
    struct linear_entry *head;
    uint64_t *now; /* the configuration */
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

static void linear_build(struct linear_search *s, const struct linear_history *h)
{
    size_t n = 1; /* entries[0] is the head */

    for (size_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        s->entries[n++] =
            (struct linear_entry){.op = op, .at = op->call, .id = (unsigned)i, .is_call = true};
        if (op->ret != LINEAR_UNKNOWN) {
            s->entries[n++] = (struct linear_entry){.op = op, .at = op->ret, .id = (unsigned)i};
            s->returns_left++;
        }
    }
    qsort(s->entries + 1, n - 1, sizeof *s->entries, linear_compare);
    struct linear_entry **calls = mem_calloc(h->count + 1, sizeof(struct linear_entry *));
    s->head = &s->entries[0];
    for (size_t i = 1; i < n; i++) {
        struct linear_entry *e = &s->entries[i];
        e->prev = e - 1;
        e->prev->next = e;
        if (e->is_call) {
            calls[e->id] = e;
        } else {
            calls[e->id]->match = e;
        }
    }
    free(calls);
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
    struct linear_entry *e = s->head->next;

    for (uint64_t steps = 0; s->returns_left > 0; steps++) {
        if (steps > steps_max) {
            return LINEAR_UNDECIDED;
        }
        if (e != NULL && e->is_call) {
            e = linear_take(s, e) ? s->head->next : e->next;
            continue;
        }
        if (s->depth == 0) {
            return LINEAR_VIOLATED; /* this one must have happened by now, and can't have */
        }
        const struct linear_frame *f = &s->stack[--s->depth];
        linear_mark(s, f->entry);
        s->now[0] = f->state;
        linear_unlift(s, f->entry);
        e = f->entry->next;
    }
    return LINEAR_OK;
}

enum linear_verdict linear_check(const struct linear_history *h, uint64_t steps_max)
{
    struct linear_search s = {.tried.words = 1 + (h->count + 63) / 64};

    MUST(h->count <= LINEAR_OPS_MAX);
    s.entries = mem_calloc(2 * h->count + 1, sizeof *s.entries);
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
