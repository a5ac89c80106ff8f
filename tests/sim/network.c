#include "tests/sim/network.h"

#include "common/mem.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

static struct network_link *network_link(struct world *w, unsigned from, unsigned to)
{
    unsigned party = from >= WORLD_PAIR ? from - WORLD_PAIR : to - WORLD_PAIR;
    unsigned node = from >= WORLD_PAIR ? to : from;

    return &w->network.links[party][node];
}

static uint64_t network_delay(struct world *w)
{
    const struct faults *f = &w->faults;
    uint64_t delay = f->delay_min_ns + world_below(w, f->delay_ns + 1);

    if (f->on && world_chance(w, f->tail_percent)) {
        delay += world_below(w, f->tail_ns + 1);
        world_count(w, FAULT_DELAY);
    }
    return delay;
}

static void network_queue(struct world *w, struct packet *packet)
{
    struct network_link *link = network_link(w, packet->from, packet->to);
    uint64_t at = packet->leave_at + network_delay(w);
    uint64_t *last = &link->last_at[packet->to >= WORLD_PAIR];

    at += packet->to >= WORLD_PAIR ? w->network.slow_ns[packet->to - WORLD_PAIR] : 0;

    if (w->faults.in_order && at <= *last) {
        at = *last + 1;
    }
    *last = at > *last ? at : *last;
    events_push(&w->events, (struct event){.at = at,
                                           .kind = EVENT_MESSAGE,
                                           .proc = packet->to,
                                           .peer = packet->from,
                                           .packet = packet});
}

struct packet *network_encode(struct world *w, unsigned from, unsigned to,
                              const struct wire_msg *msg)
{
    size_t size = wire_size(msg);
    struct packet *packet = mem_alloc(sizeof *packet + size);

    packet->sender_life = w->procs[from].life;
    packet->connection = network_link(w, from, to)->connection;
    packet->from = (uint8_t)from;
    packet->to = (uint8_t)to;
    packet->size = size;
    wire_encode(msg, packet->bytes);
    return packet;
}

static bool network_permille(struct world *w, unsigned permille)
{
    return w->faults.on && permille > 0 && world_below(w, 1000) < permille;
}

void network_post(struct world *w, struct packet *packet, uint64_t leave_at)
{
    const struct faults *f = &w->faults;
    size_t size = sizeof *packet + packet->size;

    world_count(w, COUNT_MESSAGES);
    packet->leave_at = leave_at;
    if (w->network.cut[packet->from][packet->to]) {
        world_count(w, FAULT_CUT);
        free(packet);
        return;
    }
    if (network_permille(w, f->loss_permille)) {
        world_count(w, FAULT_LOSS);
        free(packet);
        return;
    }
    if (network_permille(w, f->dup_permille)) {
        struct packet *copy = mem_alloc(size);
        memcpy(copy, packet, size);
        world_count(w, FAULT_DUPLICATE);
        network_queue(w, copy);
    }
    if (network_permille(w, f->garble_permille)) {
        packet->bytes[world_below(w, packet->size)] ^= (uint8_t)(1u << world_below(w, 8));
        world_count(w, FAULT_GARBLE);
    }
    network_queue(w, packet);
}

bool network_arrives(struct world *w, const struct event *e, struct wire_msg *msg)
{
    const struct packet *packet = e->packet;
    const struct process *sender = &w->procs[packet->from];

    if (packet->sender_life == sender->died_life && packet->leave_at > sender->died_at) {
        return false; /* it died before its disk was done */
    }
    if (packet->connection != network_link(w, packet->from, e->proc)->connection) {
        if (!world_chance(w, w->faults.late_percent)) {
            return false;
        }
        world_count(w, FAULT_LATE);
    }
    return wire_decode(packet->bytes, packet->size, msg) == ERR_OK;
}

void network_reconnect(struct world *w, unsigned party, unsigned node)
{
    struct network_link *link = &w->network.links[party][node];

    link->connection++;
    link->last_at[0] = link->last_at[1] = 0;
}

void network_heal(struct world *w)
{
    memset(w->network.cut, 0, sizeof w->network.cut);
    for (unsigned p = 0; p < SIM_PARTIES_MAX; p++) {
        for (unsigned n = 0; n < SIM_NODES_MAX; n++) {
            memset(w->network.links[p][n].last_at, 0, sizeof w->network.links[p][n].last_at);
        }
    }
}
