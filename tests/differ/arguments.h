/* The words of one command, made by the shape that the engine's COMMAND DOCS tells. */
#ifndef TESTS_DIFFER_ARGUMENTS_H
#define TESTS_DIFFER_ARGUMENTS_H

#include "tests/differ/generate.h"

/* Appends name and arguments. Says what must be minded: whether it may block, whether the time-out
 * is a short one, whether it has times in it, which nothing may change. */
struct arguments_made {
    bool blocks, short_timeout, timed;
};
struct arguments_made arguments_make(struct random *r, const struct generate_world *w,
                                     const struct command *c, struct step *s);

/* Spoils a step a bit: a word too many, one too few, another one. */
void arguments_spoil(struct random *r, struct step *s, struct arguments_made made);

/* The scripts that programs use; the list ends with NULL. The first few call what their arguments
 * say; the next one calls several, which stand behind ARGUMENTS_MANY, with ';' between them. */
extern const char *const arguments_scripts[];
enum { ARGUMENTS_CALLING_SCRIPTS = 4 };
#define ARGUMENTS_MANY "--many"

#endif
