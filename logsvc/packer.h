/* Who packs: a thread of its own, at a pace, so that neither the log's own thread nor its disk has
 * much to do with it. Without a thread (tests, the simulator) each step is the caller's.
 *
 *   IDLE ──packer_give──▶ WORKING ──▶ DONE: packer_step tells the result
 *                            └─packer_drop─▶ DONE: nothing came of it
 *   DONE ──packer_release──▶ FREEING ──▶ IDLE
 *
 * A file of tens of megabytes takes the disk tens of milliseconds to free, and whoever lets go of
 * it last waits for that: it is to be the thread. So it has both files open until it is told that
 * they have the names that are to be theirs, or none.
 *
 * All functions are for one thread, that of the log; none waits, but packer_stop for a piece. */
#ifndef LOGSVC_PACKER_H
#define LOGSVC_PACKER_H

#include "logsvc/pack.h"

struct packer_config {
    struct disk *disk;    /* called from the packer's own thread too */
    uint64_t bytes_per_s; /* read and written; of a thread */
    bool threaded;
};

struct packer;

/* ERR_IO: no thread. */
int packer_start(const struct packer_config *config, struct packer **out) MUST_CHECK;
/* Ends the thread; the file that it was making stays as it is. NULL is allowed. */
void packer_stop(struct packer *p);

bool packer_busy(const struct packer *p);
/* Begins a job; it must not be busy. */
void packer_give(struct packer *p, const struct pack_job *job);

/* What became of the job of a busy one: ERR_MORE: it is still at it (without a thread it has gone
 * on for about max_bytes; *used are counted), or freeing. Anything else is the end, as of
 * pack_step, and told once: after ERR_OK the target is the caller's, and its header and index
 * (released by the caller) are told; after any other it is removed. ERR_CLOSED: it was dropped.
 * packer_release is due then. */
int packer_step(struct packer *p, size_t max_bytes, size_t *used, struct segment_header *header,
                struct segment_index *index) MUST_CHECK;

/* After what packer_step has told nothing is done to the names of source and target any more: they
 * are closed, by the thread. It is busy for so long; without a thread it is done at once. */
void packer_release(struct packer *p);

/* Nobody wants what it is doing any more, if anything. It is busy until packer_step has said so,
 * and was released. */
void packer_drop(struct packer *p);

#endif
