/* How often clients asked what the proxy answers itself, and how long that took: put into what
 * Redis says of its commands (LATENCY HISTOGRAM, INFO commandstats), which never sees them. Pure.
 */
#ifndef PROXY_CLIENTS_TALLY_H
#define PROXY_CLIENTS_TALLY_H

#include "common/buf.h"
#include "proxy/protocol/resp.h"

#include <stdbool.h>
#include <stdint.h>

/* Bucket n: up to 1.024 * 2^n µs, as Redis cuts them (hdr_iter_log_init in latency.c); the last one
 * holds all that took longer. */
enum { TALLY_BUCKETS = 24 };

struct tally_entry {
    char *name; /* as in the command table: "client|id" */
    uint64_t calls, failed, total_ns;
    uint64_t buckets[TALLY_BUCKETS];
};

/* Zero-initialised is empty. It has as many entries as there are such commands. */
struct tally {
    struct tally_entry *entries;
    size_t count;
};

void tally_add(struct tally *t, const char *name, uint64_t took_ns, bool failed);
/* Empties it, and gives back its memory. */
void tally_reset(struct tally *t);

/* Redis' whole reply to LATENCY HISTOGRAM with these words behind it (none: all commands): ours
 * take the places of what Redis has under their names, which were links' of the proxy. An error
 * stays as it is. */
void tally_correct_histogram(const struct tally *t, const struct resp_arg *words, size_t count,
                             struct buf *reply);
/* The same for the text of INFO, if it has the section. */
void tally_correct_info(const struct tally *t, struct buf *text);

#endif
