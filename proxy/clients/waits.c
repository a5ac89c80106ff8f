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
    return &waits->queues[w->local][nodes > WAITS_NODES_MAX ? WAITS_NODES_MAX + 1 : nodes];
}

/* Offsets come in ascending order, nearly. */
void waits_add(struct waits *waits, struct wait *w)
{
    struct wait_queue *q = waits_queue(waits, w);
    struct wait *behind = q->last;

    MUST(!w->queued);
    while (behind != NULL && behind->target > w->target) {
        behind = behind->prev;
    }
    w->queued = true;
    w->prev = behind;
    w->next = behind != NULL ? behind->next : q->first;
    *(w->next != NULL ? &w->next->prev : &q->last) = w;
    *(behind != NULL ? &behind->next : &q->first) = w;
    waits->count++;
    if (w->until_ns < waits->next_ns) {
        waits->next_ns = w->until_ns;
    }
}

void waits_remove(struct waits *waits, struct wait *w)
{
    struct wait_queue *q = waits_queue(waits, w);

    if (!w->queued) {
        return;
    }
    *(w->next != NULL ? &w->next->prev : &q->last) = w->prev;
    *(w->prev != NULL ? &w->prev->next : &q->first) = w->next;
    w->queued = false;
    w->prev = w->next = NULL;
    if (--waits->count == 0) {
        waits->next_ns = UINT64_MAX;
    }
}

/* One whose time is over; if nobody's is, when the next one's will be is known again. */
static struct wait *waits_late(struct waits *waits, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    if (now_ns < waits->next_ns) {
        return NULL;
    }
    for (int i = 0; i < 2 * (WAITS_NODES_MAX + 2); i++) {
        struct wait_queue *q = &waits->queues[i % 2][i / 2];
        for (struct wait *w = q->first; w != NULL; w = w->next) {
            if (w->until_ns <= now_ns) {
                return w;
            }
            next_ns = w->until_ns < next_ns ? w->until_ns : next_ns;
        }
    }
    waits->next_ns = next_ns;
    return NULL;
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
        over = waits_late(waits, now_ns);
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
