/* Where a program is played: a plain Redis, and another one behind Holdfast, each with a connection
 * over which it is asked how things are. */
#ifndef TESTS_DIFFER_STAGE_H
#define TESTS_DIFFER_STAGE_H

#include "tests/differ/table.h"
#include "tests/differ/tally.h"
#include "tests/lib/cluster.h"
#include "tests/lib/wire.h"

enum stage_side { STAGE_PLAIN, STAGE_PROXY, STAGE_SIDES };
/* The Redis that leads, and that of the clients' proxy; the last one hears how far that one is. */
enum { STAGE_ENGINE = STAGE_SIDES, STAGE_COPY, STAGE_MARKS, STAGE_CONTROLS };

/* What clients are connected to. */
enum stage_through {
    STAGE_LEADER,
    STAGE_FOLLOWER, /* a proxy that does not lead */
    STAGE_REPLICA,  /* the same, after READONLY */
};

enum { STAGE_CONTROL_MS = 60000 }; /* for what controls are asked */

struct stage {
    struct cluster *cluster;
    enum stage_through through;
    struct table table;
    struct wire controls[STAGE_CONTROLS];
    const char *names[STAGE_CONTROLS];
    unsigned marks; /* so far (stage_catch_up) */
    int plain_dir_fd;
    int timeout_ms;              /* for what Holdfast owes */
    unsigned long long commands; /* sent so far */
    struct tally *tally;         /* NULL: nobody counts */
};

/* The cluster serves, and has a plain1; but for STAGE_LEADER: and two pairs. */
void stage_open(struct stage *stage, struct cluster *cluster, enum stage_through through);
void stage_close(struct stage *stage);

/* False: a proxy has ended, or another one leads. */
bool stage_stands(const struct stage *stage);

/* After what nobody can be sure of: new processes, with nothing in them. */
void stage_renew(struct stage *stage);

/* A connection of a program's client, or a control. The plain Redis' are of the kind that delivers
 * at once: through TCP, what was sent to it first may come second. */
void stage_connect(const struct stage *stage, enum stage_side side, struct wire *w);

/* Sends what is queued and takes that many replies; the last stays in reply. False: they did not
 * come. */
bool stage_take(struct wire *w, unsigned replies, struct buf *reply);

/* Waits until the Redis of the clients' proxy has all that was said through it, and has told its
 * subscribers. False: it does not get there. */
bool stage_catch_up(struct stage *stage);

/* How many clients that server says are blocked; -1: it does not answer. */
int stage_blocked(struct wire *w);

/* How many clients the proxy knows of. */
int stage_clients(struct wire *w);

/* A hash of all data. False: no answer. */
bool stage_digest(struct wire *w, struct buf *reply);

/* Queues what undoes everything that a program may have changed and that lives longer than its
 * clients; returns the number of replies that will come. */
unsigned stage_queue_reset(struct wire *w);

/* For whoever looks into a difference: DIFFER_DUMP=1 shows what the servers think of clients. */
void stage_dump(struct stage *stage);

void stage_pause_ms(long ms);

#endif
