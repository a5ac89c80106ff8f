/* Commands that are right, of those that chance seldom makes right: many options that depend on
 * each other, or data that must be there (scenes_fill makes it). */
#ifndef TESTS_DIFFER_EXAMPLES_H
#define TESTS_DIFFER_EXAMPLES_H

#include "common/random.h"
#include "tests/differ/program.h"
#include "tests/differ/table.h"

#include <stdbool.h>

/* Appends the words of one. False: there is none for this command. */
bool examples_make(struct random *r, const struct command *c, struct step *s);

#endif
