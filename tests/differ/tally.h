/* How often each command of the table was said and how it was answered: what programs never make,
 * or never make right, is not tested. */
#ifndef TESTS_DIFFER_TALLY_H
#define TESTS_DIFFER_TALLY_H

#include "tests/differ/frames.h"
#include "tests/differ/program.h"
#include "tests/differ/table.h"

#include <stdio.h>

struct tally;

/* The table outlives it. */
struct tally *tally_create(const struct table *table);
void tally_destroy(struct tally *t);

/* Counts an answer of the plain Redis; those inside of EXEC and of scripts are given one by one. */
void tally_answer(struct tally *t, const struct step *s, const struct frame *answer);

/* A line for each command, then what was never fine: commands, and words of their syntax. */
void tally_print(const struct tally *t, FILE *out);

#endif
