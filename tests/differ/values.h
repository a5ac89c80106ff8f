/* What arguments are made of: few keys, so that commands meet, members that are found again, and
 * the corners of each type. */
#ifndef TESTS_DIFFER_VALUES_H
#define TESTS_DIFFER_VALUES_H

#include "common/random.h"
#include "tests/differ/program.h"

/* The types of keys; 's' is a string, 'l' a list, and so on. */
#define VALUES_TYPES "slthzxgpb"

/* True with a probability of percent. */
bool values_chance(struct random *r, unsigned percent);

/* One of these; the list ends with NULL. */
const char *values_pick(struct random *r, const char *const *list);
#define PICK(r, ...) values_pick(r, (const char *const[]){__VA_ARGS__, NULL})

/* A key, mostly of that type; of the others sometimes, or one that nobody ever writes. */
void values_key(struct random *r, char type, struct step *s);

/* Of a sorted set whose scores are all the same: ranges by names among unequal ones are whatever
 * the heights of a skip list, which are random, make of them. No other command makes or changes it.
 */
void values_lex_key(struct random *r, struct step *s);

/* Members, fields and elements; scores; integers; numbers of all kinds. */
void values_member(struct random *r, struct step *s);
void values_value(struct random *r, struct step *s);
void values_integer(struct random *r, struct step *s);
void values_small(struct random *r, struct step *s);
void values_double(struct random *r, struct step *s);
void values_corner(struct random *r, struct step *s);

/* Times that never come while a program runs, or have passed. */
void values_seconds(struct random *r, struct step *s, bool absolute);
void values_milliseconds(struct random *r, struct step *s, bool absolute);

void values_channel(struct random *r, struct step *s);
void values_pattern(struct random *r, struct step *s);
void values_stream_id(struct random *r, struct step *s);
void values_database(struct random *r, struct step *s);

#endif
