/* Stands between an acceptor and its store, passes everything through, and remembers what the disk
 * must hold: every record that was appended and which of them are durable, what was saved, what was
 * promised to anyone. It checks the invariants of one node at each of these steps, and after each
 * restart that nothing is gone. */
#ifndef TESTS_SIM_SHADOW_H
#define TESTS_SIM_SHADOW_H

#include "logsvc/meta.h"
#include "logsvc/storage.h"
#include "tests/sim/shadow_snaps.h"
#include "tests/sim/sim.h"

struct shadow_record {
    uint64_t begin;
    uint64_t term;
    uint32_t len;
    uint32_t chain_crc;
    bool unit_end;
};

struct shadow {
    struct storage base; /* first; what the acceptor works on */
    struct storage *real;
    struct world *world;
    unsigned node;

    bool has_begin;
    uint64_t begin;
    uint32_t begin_chain;
    struct shadow_record *records;
    size_t count, cap;
    size_t durable;          /* so many of them */
    bool cutting, resetting; /* under way, or interrupted by a crash */
    bool trimming;
    uint64_t cut_to, reset_to, trim_to;
    uint32_t reset_chain;
    bool between; /* cut, and the history that justifies it is not adopted yet */

    struct shadow_snaps snaps;

    bool has_meta, saving;
    struct meta meta, next; /* saved; being saved */

    uint64_t changes; /* of anything */

    /* Promised to somebody. */
    uint64_t promised; /* term */
    bool told_any;
    struct log_position told;
    uint64_t acked_term, acked_unit; /* newest term in which it acknowledged, and up to where */
    uint64_t counted_to;             /* committed bytes that were committed by its help */
    uint64_t counted_term;           /* … in this term */
};

void shadow_init(struct shadow *s, struct world *w, unsigned node);
void shadow_fini(struct shadow *s);

/* The node has started again with this store: what it finds is compared with what must be there. */
void shadow_attach(struct shadow *s, struct storage *real);

uint64_t shadow_end(const struct shadow *s);         /* of what was appended */
uint64_t shadow_durable_end(const struct shadow *s); /* of what is durable */
uint64_t shadow_unit_end(const struct shadow *s);    /* of the last whole unit in that */
/* Whether its durable log contains everything up to offset of the log that this term's leader
 * has. */
bool shadow_holds(const struct shadow *s, uint64_t term, uint64_t offset);

#endif
