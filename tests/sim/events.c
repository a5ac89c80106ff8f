#include "tests/sim/events.h"

#include "common/mem.h"

#include <stdlib.h>

static bool events_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void events_push(struct events *q, struct event e)
{
    if (q->count == q->cap) {
        q->cap = q->cap > 0 ? 2 * q->cap : 256;
        q->heap = mem_realloc(q->heap, q->cap * sizeof *q->heap);
    }
    e.order = ++q->order;
    size_t i = q->count++;
    while (i > 0 && events_before(&e, &q->heap[(i - 1) / 2])) {
        q->heap[i] = q->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->heap[i] = e;
}

struct event events_pop(struct events *q)
{
    MUST(q->count > 0);
    struct event top = q->heap[0], last = q->heap[--q->count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= q->count) {
            break;
        }
        if (child + 1 < q->count && events_before(&q->heap[child + 1], &q->heap[child])) {
            child++;
        }
        if (!events_before(&q->heap[child], &last)) {
            break;
        }
        q->heap[i] = q->heap[child];
        i = child;
    }
    q->heap[i] = last;
    return top;
}

void events_fini(struct events *q)
{
    while (q->count > 0) {
        free(q->heap[--q->count].packet);
    }
    free(q->heap);
    *q = (struct events){0};
}
