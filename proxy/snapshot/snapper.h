/* The proxy's side of holdfast-snapshot: starts it as a child, reads what it says, and knows what
 * became of it. One at a time. The child ends when the proxy does. */
#ifndef PROXY_SNAPSHOT_SNAPPER_H
#define PROXY_SNAPSHOT_SNAPPER_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct snapper;

enum { SNAPPER_TEXT_MAX = 31, SNAPPER_WHY_MAX = 299 };

struct snapper_config {
    const char *program;     /* "": holdfast-snapshot beside this program */
    const char *config_path; /* the proxy's own configuration file */
};

/* ended is called from the event loop; it may call snapper_start. */
struct snapper_events {
    void (*ended)(void *ctx, bool ok);
};

struct snapper *snapper_create(struct event_base *base, const struct snapper_config *config,
                               const struct snapper_events *events, void *ctx);
/* Kills what is under way. NULL is allowed. */
void snapper_destroy(struct snapper *s);

/* What a run is to do; strings live as long as the call. */
struct snapper_order {
    bool asked;  /* by somebody, who is told what becomes of it: it says nothing about the next */
    bool verify; /* the rehearsal of a snapshot that is stored: … */
    uint64_t offset; /* … that one; else a snapshot of this place, which is committed, or later */
    const char *engine; /* "7.0.15"; "": not known */
    const char *nodes;  /* "host:port,…" */
};

/* ERR_STATE: one is under way. ERR_IO: the program can't be started; snapper_status says why. */
int snapper_start(struct snapper *s, const struct snapper_order *order) MUST_CHECK;

struct snapper_status {
    bool running;
    bool verify;                                                  /* what runs, or ran last */
    char phase[SNAPPER_TEXT_MAX + 1], what[SNAPPER_TEXT_MAX + 1]; /* of what runs */
    uint64_t done_bytes, total_bytes;                             /* 0: not known */
    uint64_t started_ns, ended_ns;                                /* 0: never */
    uint64_t runs, failures;       /* that ended, and of them those that came to nothing */
    unsigned failures_in_a_row;    /* of those that nobody had asked for */
    uint64_t last_offset;          /* of the last that came off; 0: none did */
    char why[SNAPPER_WHY_MAX + 1]; /* the last one came to nothing; "": it did not */
};
void snapper_status(const struct snapper *s, struct snapper_status *out);

#endif
