#include "logsvc/client/fetch.h"

#include "common/mem.h"

#include <string.h>

void fetch_init(struct fetch *f, const struct fetch_config *config)
{
    MUST(config->node_count >= 1 && config->node_count <= FETCH_NODES_MAX);
    MUST(config->inflight_max >= 1 && config->inflight_max <= FETCH_INFLIGHT_MAX);
    MUST(config->ahead_max >= config->inflight_max && config->ahead_max <= FETCH_AHEAD_MAX);
    memset(f, 0, sizeof *f);
    f->config = *config;
}

static void release_all(struct fetch *f)
{
    for (unsigned i = 0; i < FETCH_AHEAD_MAX; i++) {
        buf_release(&f->slots[i].data);
    }
    buf_release(&f->spare);
}

void fetch_fini(struct fetch *f)
{
    release_all(f);
}

static struct fetch_slot *slot_at(struct fetch *f, unsigned i)
{
    return &f->slots[(f->first + i) % f->config.ahead_max];
}

void fetch_stop(struct fetch *f)
{
    f->count = 0;
    f->assigned = f->to;
    release_all(f);
}

void fetch_start(struct fetch *f, uint64_t from, uint64_t to, unsigned node)
{
    fetch_stop(f);
    f->node = node < f->config.node_count ? node : 0;
    f->assigned = from;
    f->to = to;
    for (unsigned i = 0; i < f->config.node_count; i++) {
        f->nodes[i].avoid_until_ns = 0;
    }
}

void fetch_extend(struct fetch *f, uint64_t to)
{
    f->to = to;
}

/* Another piece behind the others, if there is room and need. Far ahead only whole ones: what grows
 * little by little would fill all places with next to nothing. */
static bool slot_add(struct fetch *f, uint64_t piece_bytes)
{
    uint64_t left = f->to - f->assigned;

    if (f->count == f->config.ahead_max || left == 0 ||
        (f->count >= f->config.inflight_max && left < piece_bytes)) {
        return false;
    }
    struct fetch_slot *slot = slot_at(f, f->count++);
    buf_clear(&slot->data);
    slot->state = FETCH_WANTED;
    slot->from = f->assigned;
    slot->end = f->assigned + (left < piece_bytes ? left : piece_bytes);
    f->assigned = slot->end;
    return true;
}

/* The node to ask now: the same as before as long as it will do. */
static bool pick(struct fetch *f, uint64_t now_ns)
{
    for (unsigned i = 0; i < f->config.node_count; i++) {
        unsigned node = (f->node + i) % f->config.node_count;
        struct fetch_node *n = &f->nodes[node];
        if (n->up && n->avoid_until_ns <= now_ns) {
            n->avoid_until_ns = 0;
            f->node = node;
            return true;
        }
    }
    return false;
}

static unsigned questions(struct fetch *f)
{
    unsigned count = 0;

    for (unsigned i = 0; i < f->count; i++) {
        count += slot_at(f, i)->state == FETCH_ASKED;
    }
    return count;
}

void fetch_pump(struct fetch *f, uint64_t now_ns, uint64_t piece_bytes)
{
    unsigned left = f->config.inflight_max - questions(f);

    for (unsigned i = 0; left > 0 && (i < f->count || slot_add(f, piece_bytes)); i++) {
        struct fetch_slot *slot = slot_at(f, i);
        if (slot->state != FETCH_WANTED) {
            continue;
        }
        if (!pick(f, now_ns)) {
            return;
        }
        slot->node = f->node;
        slot->seq = ++f->seq;
        slot->asked_ns = now_ns;
        if (!f->config.ask(f->config.ctx, slot->node, slot)) {
            return;
        }
        slot->state = FETCH_ASKED;
        left--;
    }
}

struct fetch_slot *fetch_find(struct fetch *f, uint64_t now_ns, unsigned node, uint64_t seq)
{
    struct fetch_slot *found = NULL;

    for (unsigned i = 0; i < f->count; i++) {
        struct fetch_slot *slot = slot_at(f, i);
        if (slot->state == FETCH_ASKED && slot->node == node && slot->seq == seq) {
            found = slot;
        }
    }
    for (unsigned i = 0; found != NULL && i < f->count; i++) {
        struct fetch_slot *slot = slot_at(f, i);
        if (slot->state == FETCH_ASKED && slot->node == node) {
            slot->asked_ns = now_ns;
        }
    }
    return found;
}

void fetch_put(struct fetch *f, struct fetch_slot *slot, const void *bytes, size_t size)
{
    if (slot->data.cap == 0) {
        buf_swap(&slot->data, &f->spare);
    }
    slot->state = FETCH_HERE;
    buf_append(&slot->data, bytes, size);
}

void fetch_again(struct fetch_slot *slot, uint64_t from)
{
    slot->state = FETCH_WANTED;
    slot->from = from;
    buf_clear(&slot->data);
}

struct fetch_slot *fetch_head(struct fetch *f)
{
    return f->count > 0 ? slot_at(f, 0) : NULL;
}

void fetch_pop(struct fetch *f)
{
    MUST(f->count > 0);
    struct buf *data = &slot_at(f, 0)->data;

    buf_clear(data);
    buf_swap(data, &f->spare);
    buf_release(data);
    f->first = (f->first + 1) % f->config.ahead_max;
    f->count--;
}

static void take_back(struct fetch *f, unsigned node)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct fetch_slot *slot = slot_at(f, i);
        if (slot->state == FETCH_ASKED && slot->node == node) {
            slot->state = FETCH_WANTED;
        }
    }
}

void fetch_avoid(struct fetch *f, unsigned node, uint64_t now_ns, uint64_t span_ns)
{
    f->nodes[node].avoid_until_ns = now_ns + span_ns;
    take_back(f, node);
}

void fetch_link(struct fetch *f, unsigned node, bool up)
{
    f->nodes[node].up = up;
    f->nodes[node].avoid_until_ns = 0;
    take_back(f, node);
}

unsigned fetch_tick(struct fetch *f, uint64_t now_ns)
{
    unsigned late = 0;

    for (unsigned i = 0; i < f->count; i++) {
        struct fetch_slot *slot = slot_at(f, i);
        if (slot->state == FETCH_ASKED && now_ns >= slot->asked_ns + f->config.timeout_ns) {
            fetch_avoid(f, slot->node, now_ns, f->config.timeout_ns);
            late++;
        }
    }
    return late;
}

uint64_t fetch_next_tick_ns(const struct fetch *f)
{
    uint64_t next = UINT64_MAX;
    bool wanted = false;

    for (unsigned i = 0; i < f->count; i++) {
        const struct fetch_slot *slot = &f->slots[(f->first + i) % f->config.ahead_max];
        wanted |= slot->state == FETCH_WANTED;
        if (slot->state == FETCH_ASKED && slot->asked_ns + f->config.timeout_ns < next) {
            next = slot->asked_ns + f->config.timeout_ns;
        }
    }
    for (unsigned i = 0; wanted && i < f->config.node_count; i++) {
        const struct fetch_node *n = &f->nodes[i];
        /* 0: it may be asked, so what is wanted waits for its link, not for the time. */
        if (n->up && n->avoid_until_ns > 0 && n->avoid_until_ns < next) {
            next = n->avoid_until_ns;
        }
    }
    return next;
}
