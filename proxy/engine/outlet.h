/* What goes to an engine's socket, and what went: the bytes of a batch stay until it is answered,
 * for whoever wants to know what took so long. Nothing is copied; buffers change places.
 *
 *   gathered ──outlet_begin──▶ out (behind ahead) ──all written──▶ sent[batch] ──answered──▶ empty
 */
#ifndef PROXY_ENGINE_OUTLET_H
#define PROXY_ENGINE_OUTLET_H

#include "common/buf.h"
#include "common/chain.h"

#include <stdbool.h>

enum { OUTLET_BATCHES_MAX = 4 };

/* Zeroed, it is empty and owns no memory. */
struct outlet {
    struct chain ahead; /* goes before out; freed as it is written */
    bool ahead_due;     /* … with the batch that is in out already */
    struct buf out;
    size_t out_at; /* so much of it is written */
    struct buf sent[OUTLET_BATCHES_MAX];
};

/* Forgets everything; memory is given back. */
void outlet_release(struct outlet *o);
bool outlet_is_empty(const struct outlet *o);

/* Moves both to what goes ahead of the next batch. How they begin is kept as that batch's bytes. */
void outlet_put_ahead(struct outlet *o, unsigned batch, struct buf *gathered,
                      struct chain *commands);
/* The next batch's bytes; gathered is empty then. The outlet is empty before. */
void outlet_begin(struct outlet *o, struct buf *gathered);

/* What is to be written next; NULL: nothing. *taken: it is of what went ahead. */
const uint8_t *outlet_next(const struct outlet *o, size_t *size, bool *taken);
void outlet_wrote(struct outlet *o, size_t size);
/* Nothing is left to be written, of this batch; or of none, if it is OUTLET_BATCHES_MAX. Empty
 * buffers keep so much memory. */
void outlet_all_written(struct outlet *o, unsigned batch, size_t keep);
void outlet_answered(struct outlet *o, unsigned batch, size_t keep);

/* A batch's bytes from `at` on, *size at most; NULL: they are not there. It is the oldest. */
const uint8_t *outlet_sent(const struct outlet *o, unsigned batch, uint64_t at, size_t *size);

#endif
