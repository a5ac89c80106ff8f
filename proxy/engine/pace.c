#include "proxy/engine/pace.h"

/* The mean moves by an eighth of each new value. */
enum { PACE_WEIGHT = 8 };

void pace_init(struct pace *p, uint64_t hold_max_ns)
{
    *p = (struct pace){.hold_max_ns = hold_max_ns};
}

void pace_appended(struct pace *p, uint64_t now_ns)
{
    if (p->pending_ns == 0) {
        p->pending_ns = now_ns;
    }
}

static uint64_t pace_hold_ns(const struct pace *p)
{
    return p->commit_ns < p->hold_max_ns ? p->commit_ns : p->hold_max_ns;
}

static uint64_t pace_append_ns(const struct pace *p)
{
    if (p->pending_ns == 0) {
        return UINT64_MAX;
    }
    uint64_t due_ns = p->pending_ns + pace_hold_ns(p);
    /* Behind an append that is late nothing waits for ever. */
    uint64_t late_ns = p->sent_ns != 0 ? p->sent_ns + 2 * p->hold_max_ns : 0;
    return due_ns > late_ns ? due_ns : late_ns;
}

static uint64_t pace_batch_ns(const struct pace *p)
{
    return p->gathered_ns == 0 ? UINT64_MAX : p->gathered_ns + pace_hold_ns(p) / 2;
}

uint64_t pace_next_ns(const struct pace *p)
{
    uint64_t append_ns = pace_append_ns(p), batch_ns = pace_batch_ns(p);
    return append_ns < batch_ns ? append_ns : batch_ns;
}

bool pace_due(const struct pace *p, uint64_t now_ns, bool engine_idle)
{
    if (p->pending_ns == 0) {
        return false;
    }
    return (engine_idle && p->sent_ns == 0) || now_ns >= pace_append_ns(p);
}

void pace_sent(struct pace *p, uint64_t now_ns, uint64_t end)
{
    if (p->pending_ns == 0) {
        return;
    }
    p->pending_ns = 0;
    p->sent_ns = now_ns;
    p->sent_end = end;
}

void pace_committed(struct pace *p, uint64_t now_ns, uint64_t offset)
{
    if (p->sent_ns == 0 || offset < p->sent_end) {
        return;
    }
    uint64_t took_ns = now_ns - p->sent_ns;
    p->commit_ns = p->commit_ns == 0
                       ? took_ns
                       : p->commit_ns - p->commit_ns / PACE_WEIGHT + took_ns / PACE_WEIGHT;
    p->sent_ns = 0;
}

bool pace_batch_due(struct pace *p, uint64_t now_ns, bool urgent)
{
    if (urgent || p->sent_ns == 0) {
        return true;
    }
    if (p->gathered_ns == 0) {
        p->gathered_ns = now_ns;
    }
    return now_ns >= pace_batch_ns(p);
}

void pace_batch_sent(struct pace *p)
{
    p->gathered_ns = 0;
}
