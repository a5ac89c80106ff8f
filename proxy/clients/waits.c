#include "proxy/clients/waits.h"

#include "common/mem.h"

#include <string.h>

void waits_init(struct waits *waits)
{
    memset(waits, 0, sizeof *waits);
    waits->next_ns = UINT64_MAX;
}

unsigned waits_nodes(const struct waits_log *log, uint64_t offset)
{
    unsigned have = 0;

    for (unsigned i = 0; i < log->count; i++) {
        have += log->flushed[i] >= offset;
    }
    return have;
}

bool waits_is_met(const struct waits_log *log, const struct wait *w)
{
    return (!w->local || log->committed >= w->target) &&
           (long long)waits_nodes(log, w->target) >= w->nodes;
}

static struct wait_queue *waits_queue(struct waits *waits, const struct wait *w)
{
    long long nodes = w->nodes < 0 ? 0 : w->nodes;

    if (w->late) {
        return &waits->late;
    }
    return &waits->queues[w->local][nodes > WAITS_NODES_MAX ? WAITS_NODES_MAX + 1 : nodes];
}

/* behind: NULL: as the first. */
static void queue_enter(struct wait_queue *q, struct wait *w, struct wait *behind)
{
    w->prev = behind;
    w->next = behind != NULL ? behind->next : q->first;
    *(w->next != NULL ? &w->next->prev : &q->last) = w;
    *(behind != NULL ? &behind->next : &q->first) = w;
}

static void queue_leave(struct wait_queue *q, struct wait *w)
{
    *(w->next != NULL ? &w->next->prev : &q->last) = w->prev;
    *(w->prev != NULL ? &w->prev->next : &q->first) = w->next;
    w->prev = w->next = NULL;
}

/* Offsets come in ascending order, nearly; where nobody is let go for them they don't matter. */
void waits_add(struct waits *waits, struct wait *w)
{
    struct wait_queue *q = waits_queue(waits, w);
    struct wait *behind = q->last;

    MUST(!w->queued && !w->late);
    while (w->nodes <= WAITS_NODES_MAX && behind != NULL && behind->target > w->target) {
        behind = behind->prev;
    }
    w->queued = true;
    queue_enter(q, w, behind);
    waits->count++;
    if (w->until_ns < waits->next_ns) {
        waits->next_ns = w->until_ns;
    }
}

void waits_remove(struct waits *waits, struct wait *w)
{
    if (!w->queued) {
        return;
    }
    queue_leave(waits_queue(waits, w), w);
    w->queued = w->late = false;
    if (--waits->count == 0) {
        waits->next_ns = UINT64_MAX;
    }
}

/* Sets apart whose time is over, all at once: each costs the same however many wait. */
static void waits_find_late(struct waits *waits, uint64_t now_ns)
{
    if (now_ns < waits->next_ns) {
        return;
    }
    waits->next_ns = UINT64_MAX;
    for (int i = 0; i < 2 * (WAITS_NODES_MAX + 2); i++) {
        struct wait_queue *q = &waits->queues[i % 2][i / 2];
        for (struct wait *w = q->first, *next; w != NULL; w = next) {
            next = w->next;
            if (w->until_ns <= now_ns) {
                queue_leave(q, w);
                w->late = true;
                queue_enter(&waits->late, w, waits->late.last);
            } else if (w->until_ns < waits->next_ns) {
                waits->next_ns = w->until_ns;
            }
        }
    }
}

struct wait *waits_next_over(struct waits *waits, const struct waits_log *log, uint64_t now_ns)
{
    struct wait *over = NULL;

    if (waits->count == 0) {
        return NULL;
    }
    for (int i = 0; i < 2 * (WAITS_NODES_MAX + 2) && over == NULL; i++) {
        struct wait *w = waits->queues[i % 2][i / 2].first;
        over = w != NULL && waits_is_met(log, w) ? w : NULL;
    }
    if (over == NULL) {
        waits_find_late(waits, now_ns);
        over = waits->late.first;
    }
    if (over != NULL) {
        waits_remove(waits, over);
    }
    return over;
}

uint64_t waits_next_ns(const struct waits *waits)
{
    return waits->next_ns;
}
