#include "tests/sim/linear.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { LINEAR_WORDS = LINEAR_OPS_MAX / 64 };

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

struct linear_config {
    uint64_t done[LINEAR_WORDS];
    uint64_t state;
};

/* What was tried: a hash table of configurations. */
struct linear_tried {
    struct linear_config *slots;
    bool *used;
    size_t count, cap;
};

struct linear_search {
    struct linear_entry entries[2 * LINEAR_OPS_MAX + 1];
    struct linear_entry *head;
    struct linear_config now;
    struct linear_tried tried;
    struct linear_frame {
        struct linear_entry *entry;
        uint64_t state;
    } stack[LINEAR_OPS_MAX];
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

static size_t linear_hash(const struct linear_config *c)
{
    uint64_t h = c->state * 0x9e3779b97f4a7c15ull;

    for (int i = 0; i < LINEAR_WORDS; i++) {
        h = (h ^ c->done[i]) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }
    return (size_t)h;
}

static bool linear_put(struct linear_tried *t, const struct linear_config *c)
{
    size_t i = linear_hash(c) & (t->cap - 1);

    while (t->used[i]) {
        if (memcmp(&t->slots[i], c, sizeof *c) == 0) {
            return false;
        }
        i = (i + 1) & (t->cap - 1);
    }
    t->slots[i] = *c;
    t->used[i] = true;
    t->count++;
    return true;
}

/* False: it was tried before. */
static bool linear_try(struct linear_tried *t, const struct linear_config *c)
{
    if (2 * t->count >= t->cap) {
        struct linear_tried old = *t;
        t->cap = old.cap > 0 ? 4 * old.cap : 256;
        t->slots = mem_alloc(t->cap * sizeof *t->slots);
        t->used = mem_calloc(t->cap, sizeof *t->used);
        t->count = 0;
        for (size_t i = 0; i < old.cap; i++) {
            if (old.used[i]) {
                (void)linear_put(t, &old.slots[i]);
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
    struct linear_entry *calls[LINEAR_OPS_MAX] = {NULL};
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
}

/* Takes the call as next in the order; false: it would have been answered otherwise, or that was
 * tried before. */
static bool linear_take(struct linear_search *s, struct linear_entry *e)
{
    const struct linear_op *op = e->op;
    uint64_t next, before = s->now.state;
    uint64_t answer = kv_step(op->command, op->counter, op->token, before, &next);

    if (op->ret != LINEAR_UNKNOWN && answer != op->answer) {
        return false;
    }
    s->now.done[e->id / 64] |= 1ull << (e->id % 64);
    s->now.state = next;
    if (!linear_try(&s->tried, &s->now)) {
        s->now.done[e->id / 64] &= ~(1ull << (e->id % 64));
        s->now.state = before;
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
        s->now.done[f->entry->id / 64] &= ~(1ull << (f->entry->id % 64));
        s->now.state = f->state;
        linear_unlift(s, f->entry);
        e = f->entry->next;
    }
    return LINEAR_OK;
}

enum linear_verdict linear_check(const struct linear_history *h, uint64_t steps_max)
{
    struct linear_search *s = mem_calloc(1, sizeof *s);

    MUST(h->count <= LINEAR_OPS_MAX);
    linear_build(s, h);
    enum linear_verdict verdict = linear_search(s, steps_max);
    free(s->tried.slots);
    free(s->tried.used);
    free(s);
    return verdict;
}
