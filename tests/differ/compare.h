/* What Holdfast has said to each client of a program, and has, against what the plain Redis did. */
#ifndef TESTS_DIFFER_COMPARE_H
#define TESTS_DIFFER_COMPARE_H

#include "tests/differ/difference.h"
#include "tests/differ/player.h"
#include "tests/differ/program.h"

/* One performance of a program. */
struct performance {
    struct stage *stage;
    const struct program *program;
    struct player players[PROGRAM_CLIENTS];
    struct difference *difference;
    int blocked;   /* clients, at the plain Redis */
    bool alone;    /* writes are refused for lack of replicas: scripts get other words (rules.c) */
    bool paused;   /* those who write wait, at the proxy: its Redis does not know */
    bool unlogged; /* what may block was refused: Holdfast's ACL LOG lacks it */
    bool written;  /* something may be since the Redis beside the proxy had all */
};

/* Notes the difference and returns false. client: or -1; step: or SIZE_MAX. */
bool compare_differs(struct performance *pf, enum difference_kind kind, int client, size_t step);

/* All that the plain Redis has said so far, to each client, and the ends of connections; waits for
 * what Holdfast owes. False: they differ. */
bool compare_all(struct performance *pf);

/* The proxy's clients that block do it at its Redis; so the next ones can't overtake them. False:
 * they do not. */
bool compare_blocked(struct performance *pf);

/* False: the data differ. */
bool compare_data(struct performance *pf);

/* Waits for a whole reply; its length, or 0. */
size_t compare_await(struct wire *w, int timeout_ms);

/* Clients that are there. */
int compare_open(const struct performance *pf);

/* Waits until both servers have seen that clients left, and that many are there. */
bool compare_wait_gone(struct performance *pf, int clients);

#endif
