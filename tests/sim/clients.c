#include "tests/sim/clients.h"

#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS_OPS_PER_KEY = 45, CLIENTS_SEARCH_MAX = 200000, CLIENTS_RETRY_MS = 200 };

static void clients_new_key(struct clients *c, unsigned slot)
{
    if (c->next_key < KV_KEYS_MAX) {
        c->window[slot] = c->next_key++;
    } else {
        c->window[slot] = KV_KEYS_MAX; /* used up */
    }
}

void clients_init(struct world *w)
{
    struct clients *c = &w->clients;

    c->count = 2 + (unsigned)world_below(w, CLIENTS_MAX - 1);
    c->window_count = 1 + (unsigned)world_below(w, CLIENTS_WINDOW_MAX);
    for (unsigned i = 0; i < c->window_count; i++) {
        clients_new_key(c, i);
    }
    for (unsigned i = 0; i < c->count; i++) {
        c->list[i].target = (unsigned)world_below(w, w->pairs_count);
        c->list[i].async = i > 0 && w->faults.async && world_chance(w, 50);
        world_later(w, world_below(w, world_ms(500)), EVENT_CLIENT, i, 0, 0);
    }
}

void clients_fini(struct clients *c)
{
    for (unsigned i = 0; i < KV_KEYS_MAX; i++) {
        linear_fini(&c->histories[i]);
    }
    free(c->loose);
}

/* --- histories --- */

static void clients_record_key(struct world *w, const struct client *c, unsigned key, uint64_t ret,
                               uint64_t answer)
{
    bool two = c->op.command >= KV_SET_TWO;

    linear_add(&w->clients.histories[key],
               &(struct linear_op){.call = c->called_at,
                                   .ret = ret,
                                   .command = two ? KV_SET : c->op.command,
                                   .counter = kv_is_counter(key),
                                   .token = c->op.token,
                                   .answer = two ? 0 : answer});
}

static void clients_record(struct world *w, const struct client *c, uint64_t ret, uint64_t answer)
{
    if (c->async && c->op.command == KV_GET) {
        return; /* it may have shown what is not committed */
    }
    if (ret == LINEAR_UNKNOWN) {
        world_count(w, COUNT_UNKNOWN);
        if (c->op.command == KV_GET) {
            return; /* it changed nothing and said nothing */
        }
    }
    clients_record_key(w, c, c->op.key, ret, answer);
    if (c->op.command >= KV_SET_TWO && c->op.key2 != c->op.key) {
        clients_record_key(w, c, c->op.key2, ret, answer);
    }
}

void clients_loosely(struct world *w, unsigned client, uint64_t number, uint64_t answer,
                     uint64_t term, uint64_t bound, uint64_t admitted_at)
{
    struct clients *c = &w->clients;
    struct client *x = &c->list[client];

    if (!x->waiting || x->number != number || x->op.command == KV_GET) {
        return; /* recorded as unknown, or nothing to be known */
    }
    if (c->loose_count == c->loose_cap) {
        c->loose_cap = c->loose_cap > 0 ? 2 * c->loose_cap : 64;
        c->loose = mem_realloc(c->loose, c->loose_cap * sizeof *c->loose);
    }
    c->loose[c->loose_count++] = (struct clients_loose){
        .client = *x, .answer = answer, .term = term, .bound = bound, .admitted_at = admitted_at};
    x->loose = number;
    world_count(w, COUNT_ASYNC);
}

void clients_committed(struct world *w, uint64_t term, uint64_t offset)
{
    struct clients *c = &w->clients;
    size_t kept = 0;

    for (size_t i = 0; i < c->loose_count; i++) {
        const struct clients_loose *l = &c->loose[i];
        if (l->term == term && l->bound <= offset) {
            clients_record(w, &l->client, w->now, l->answer);
        } else {
            c->loose[kept++] = *l;
        }
    }
    c->loose_count = kept;
}

/* --- asking --- */

static unsigned clients_take_key(struct world *w)
{
    struct clients *c = &w->clients;
    unsigned slot = (unsigned)world_below(w, c->window_count);
    unsigned key = c->window[slot];

    if (key < KV_KEYS_MAX && ++c->ops_of[key] >= CLIENTS_OPS_PER_KEY) {
        clients_new_key(c, slot);
    }
    return key;
}

static enum kv_command clients_command(struct world *w, bool counter)
{
    uint64_t dice = world_below(w, 100);

    if (dice < w->faults.reads_percent) {
        return KV_GET;
    }
    dice = world_below(w, 100);
    if (dice < 8) {
        return KV_DEL;
    }
    if (counter) {
        return KV_INCR;
    }
    return dice < 25   ? KV_APPEND
           : dice < 35 ? KV_SETNX
           : dice < 45 ? KV_SET_TWO
           : dice < 48 ? KV_SET_LARGE
                       : KV_SET;
}

static bool clients_choose(struct world *w, struct client *c)
{
    struct clients *all = &w->clients;

    c->final = all->finals;
    if (c->final) {
        c->op = (struct kv_op){.command = KV_GET, .key = all->final_key, .key2 = all->final_key};
        return true;
    }
    unsigned key = clients_take_key(w), other;
    if (key >= KV_KEYS_MAX) {
        return false;
    }
    c->op = (struct kv_op){.command = clients_command(w, kv_is_counter(key)),
                           .key = key,
                           .key2 = key,
                           .token = ++all->tokens};
    if (c->op.command >= KV_SET_TWO) {
        other = clients_take_key(w);
        if (other < KV_KEYS_MAX && !kv_is_counter(other)) {
            c->op.key2 = other;
        }
    }
    return true;
}

static void clients_ask(struct world *w, unsigned client)
{
    struct client *c = &w->clients.list[client];
    unsigned proc = WORLD_PAIR + c->target;

    if (!clients_choose(w, c)) {
        return;
    }
    world_count(w, COUNT_OPERATIONS);
    c->waiting = true;
    c->number++;
    c->sent[c->number % CLIENTS_SENT] = c->op;
    c->called_at = w->now;
    uint64_t delay = w->faults.client_delay_ns / 2 + world_below(w, w->faults.client_delay_ns + 1);
    if (w->procs[proc].up) {
        events_push(&w->events, (struct event){.at = w->now + delay,
                                               .kind = EVENT_REQUEST,
                                               .proc = (uint8_t)proc,
                                               .peer = (uint8_t)client,
                                               .life = w->procs[proc].life,
                                               .arg = c->number});
    } else {
        events_push(&w->events, (struct event){.at = w->now + delay,
                                               .kind = EVENT_ANSWER,
                                               .proc = (uint8_t)client,
                                               .answer = ANSWER_REFUSED,
                                               .arg = c->number});
    }
    world_later(w, delay + w->faults.client_patience_ns, EVENT_CLIENT, client, 0, c->number);
}

bool clients_sent(const struct clients *c, unsigned client, uint64_t number, struct kv_op *op)
{
    const struct client *x = &c->list[client];

    *op = x->sent[number % CLIENTS_SENT];
    return number + CLIENTS_SENT > x->number;
}

static void clients_again(struct world *w, unsigned client, uint64_t delay_ns)
{
    if (!w->clients.stopped || (w->clients.finals && client == 0)) {
        world_later(w, delay_ns, EVENT_CLIENT, client, 0, 0);
    }
}

static void clients_elsewhere(struct world *w, unsigned client)
{
    w->clients.list[client].target = (unsigned)world_below(w, w->pairs_count);
    clients_again(w, client, world_below(w, world_ms(CLIENTS_RETRY_MS)));
}

void clients_timer(struct world *w, unsigned client, uint64_t arg)
{
    struct client *c = &w->clients.list[client];

    bool may = w->clients.finals ? client == 0 && !w->clients.done : !w->clients.stopped;

    if (arg == 0 && !c->waiting && may) {
        clients_ask(w, client);
    } else if (arg != 0 && c->waiting && c->number == arg) {
        if (c->loose != c->number) {
            clients_record(w, c, LINEAR_UNKNOWN, 0);
        }
        world_trace(w, "client %u gives up waiting for pair %u", client, c->target);
        c->waiting = false;
        clients_elsewhere(w, client);
    }
}

static void clients_next_final(struct world *w)
{
    struct clients *c = &w->clients;

    do {
        c->final_key++;
    } while (c->final_key < KV_KEYS_MAX && c->histories[c->final_key].count == 0);
    c->done = c->final_key >= c->next_key;
}

void clients_answer(struct world *w, unsigned client, const struct event *e)
{
    struct client *c = &w->clients.list[client];

    if (!c->waiting || c->number != e->arg) {
        return; /* it has given up */
    }
    c->waiting = false;
    if (e->answer == ANSWER_OK) {
        if (!c->async) {
            clients_record(w, c, w->now, e->value);
        }
        if (c->op.command != KV_GET && !c->async) {
            w->clients.answered_at = w->now;
        }
        if (c->final) {
            clients_next_final(w);
        }
        if (!w->clients.done) {
            clients_again(w, client, c->final ? 1000 : world_below(w, w->faults.think_ns + 1));
        }
        return;
    }
    if (e->answer == ANSWER_CLOSED) {
        clients_record(w, c, LINEAR_UNKNOWN, 0);
    } else {
        world_count(w, COUNT_REFUSED);
    }
    clients_elsewhere(w, client);
}

void clients_read_all(struct world *w)
{
    struct clients *c = &w->clients;

    c->stopped = true;
    c->finals = true;
    c->final_key = 0;
    if (c->histories[0].count == 0) {
        clients_next_final(w);
    }
    if (!c->list[0].waiting) {
        world_later(w, 0, EVENT_CLIENT, 0, 0, 0);
    }
}

void clients_check(struct world *w)
{
    char name[16];

    for (unsigned i = 0; i < w->clients.count; i++) {
        const struct client *x = &w->clients.list[i];
        if (x->waiting && x->loose != x->number) {
            clients_record(w, &w->clients.list[i], LINEAR_UNKNOWN, 0);
        }
        w->clients.list[i].waiting = false;
    }
    for (size_t i = 0; i < w->clients.loose_count; i++) {
        const struct clients_loose *l = &w->clients.loose[i];
        uint64_t open_at = truth_open_at(&w->truth, l->term);
        clients_record(w, &l->client, LINEAR_UNKNOWN, 0);
        world_count(w, COUNT_ASYNC_OPEN);
        if (l->admitted_at > open_at + w->faults.async_age_ns) {
            truth_violation(w, I10_CLIENTS,
                            "an asynchronous write was let in %.3f ms after the first one that its "
                            "leader never saw committed",
                            (double)(l->admitted_at - open_at) / 1e6);
        }
    }
    for (unsigned i = 0; i < KV_KEYS_MAX; i++) {
        const struct linear_history *h = &w->clients.histories[i];
        if (h->count == 0) {
            continue;
        }
        world_count(w, COUNT_HISTORIES);
        switch (linear_check(h, CLIENTS_SEARCH_MAX)) {
        case LINEAR_OK:
            break;
        case LINEAR_VIOLATED:
            kv_key_name(i, name);
            for (size_t k = 0; k < h->count && w->options.trace; k++) {
                const struct linear_op *op = &h->ops[k];
                fprintf(stderr, "%s %12.3f %12.3f  %d %016" PRIx64 " %016" PRIx64 "\n", name,
                        (double)op->call / 1e6,
                        op->ret == LINEAR_UNKNOWN ? -1.0 : (double)op->ret / 1e6, (int)op->command,
                        op->token, op->answer);
            }
            truth_violation(w, I10_CLIENTS,
                            "the history of key %s (%zu operations) is not that of "
                            "one Redis",
                            name, h->count);
            break;
        case LINEAR_UNDECIDED:
            world_count(w, COUNT_UNDECIDED);
            break;
        }
    }
}
