/* Plays a program on two stages, a plain Redis and Holdfast, and says where they differ.
 *
 * What a plain Redis has said by the time that it answers somebody else is all that is to be said:
 * the order of a single server. Holdfast must say the same to each client (replies, messages,
 * invalidations, the end of the connection), and must not go on before clients that block there
 * block here. */
#ifndef TESTS_DIFFER_PLAY_H
#define TESTS_DIFFER_PLAY_H

#include "tests/differ/program.h"
#include "tests/differ/table.h"
#include "tests/differ/tally.h"
#include "tests/lib/cluster.h"
#include "tests/lib/wire.h"

enum play_side { PLAY_PLAIN, PLAY_PROXY, PLAY_SIDES };
enum { PLAY_ENGINE = PLAY_SIDES, PLAY_CONTROLS };

struct play_stage {
    struct cluster *cluster;
    struct table table;
    struct wire controls[PLAY_CONTROLS]; /* of plain1, proxy1, redis1 */
    int plain_dir_fd;
    int timeout_ms;              /* for what Holdfast owes */
    int fresh;                   /* new clusters so far */
    unsigned long long commands; /* sent so far */
    struct tally *tally;         /* NULL: nobody counts */
};

enum play_kind {
    PLAY_SAME,
    PLAY_REPLY,   /* another reply */
    PLAY_SILENCE, /* no reply */
    PLAY_EXTRA,   /* more than Redis said */
    PLAY_CLOSED,  /* one closed the connection, the other did not */
    PLAY_BLOCKED, /* not as many blocked clients */
    PLAY_DIGEST,  /* other data */
    PLAY_DIED,    /* the proxy */
    PLAY_STUCK,   /* Holdfast does not come back to its beginning */
};

struct play_difference {
    enum play_kind kind;
    int client;       /* or -1 */
    size_t step;      /* SIZE_MAX: none */
    char command[64]; /* whose reply it is, "" if unknown */
    struct buf said[PLAY_SIDES];
};

/* A connection of a program's client, or a control. The plain Redis' are of the kind that delivers
 * at once: through TCP, what was sent to it first may come second. */
void play_connect(const struct play_stage *stage, enum play_side side, struct wire *w);

/* The cluster serves, and has a plain1. */
void play_open(struct play_stage *stage, struct cluster *cluster);
void play_close(struct play_stage *stage);

/* Brings both to the beginning and plays. False: there is a difference (release it). */
bool play(struct play_stage *stage, const struct program *p, struct play_difference *d);

void play_difference_release(struct play_difference *d);
const char *play_kind_text(enum play_kind kind);

#endif
