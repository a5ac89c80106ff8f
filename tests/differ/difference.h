/* Where Holdfast and a plain Redis are not the same. */
#ifndef TESTS_DIFFER_DIFFERENCE_H
#define TESTS_DIFFER_DIFFERENCE_H

#include "common/buf.h"
#include "tests/differ/stage.h"

enum difference_kind {
    DIFFERENCE_SAME,
    DIFFERENCE_REPLY,   /* another reply */
    DIFFERENCE_SILENCE, /* no reply */
    DIFFERENCE_EXTRA,   /* more than Redis said */
    DIFFERENCE_CLOSED,  /* one closed the connection, the other did not */
    DIFFERENCE_BLOCKED, /* not as many blocked clients */
    DIFFERENCE_DIGEST,  /* other data */
    DIFFERENCE_DIED,    /* the proxy */
    DIFFERENCE_STUCK,   /* Holdfast does not come back to its beginning */
};

struct difference {
    enum difference_kind kind;
    int client;       /* or -1 */
    size_t step;      /* SIZE_MAX: none */
    char command[64]; /* whose reply it is, "" if unknown */
    struct buf said[STAGE_SIDES];
};

void difference_release(struct difference *d);
const char *difference_text(enum difference_kind kind);

#endif
