/* Plays a program on two stages, a plain Redis and Holdfast, and says where they differ.
 *
 * What a plain Redis has said by the time that it answers somebody else is all that is to be said:
 * the order of a single server. Holdfast must say the same to each client (replies, messages,
 * invalidations, the end of the connection), and must not go on before clients that block there
 * block here. */
#ifndef TESTS_DIFFER_PLAY_H
#define TESTS_DIFFER_PLAY_H

#include "tests/differ/difference.h"
#include "tests/differ/program.h"
#include "tests/differ/stage.h"

/* Brings both to the beginning and plays. False: there is a difference (release it). */
bool play(struct stage *stage, const struct program *p, struct difference *d);

#endif
