/* The least of a program that still shows a difference. */
#ifndef TESTS_DIFFER_SHRINK_H
#define TESTS_DIFFER_SHRINK_H

#include "tests/differ/play.h"

/* Leaves out steps, then words, as long as a difference of the same kind shows (delta debugging).
 * The program becomes the shorter one, d its difference. False: it did not show again; the program
 * is as it was. */
bool shrink(struct stage *stage, struct program *p, struct difference *d);

#endif
