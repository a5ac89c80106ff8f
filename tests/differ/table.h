/* The commands that the programs are made of, as the engine itself tells them: names, flags and
 * tips from COMMAND, the shapes of their arguments from COMMAND DOCS. Sorted by name, since the
 * engine's order changes from start to start. */
#ifndef TESTS_DIFFER_TABLE_H
#define TESTS_DIFFER_TABLE_H

#include "tests/lib/wire.h"

#include <stdbool.h>
#include <stddef.h>

enum argument_type {
    ARGUMENT_STRING,
    ARGUMENT_INTEGER,
    ARGUMENT_DOUBLE,
    ARGUMENT_KEY,
    ARGUMENT_PATTERN,
    ARGUMENT_TIME,
    ARGUMENT_TOKEN,
    ARGUMENT_ONEOF,
    ARGUMENT_BLOCK,
};

struct argument {
    char name[40], token[40]; /* no token: "" */
    enum argument_type type;
    bool optional, multiple, multiple_token;
    struct argument *children;
    size_t count;
};

struct command {
    char name[64];     /* "config get": with its subcommand */
    char words[2][40]; /* the same in two; the second may be "" */
    char group[20];
    long long arity;
    bool blocking, reads, write, any_order, any_output; /* the last two: tips */
    struct argument *arguments;
    size_t count;
};

struct table {
    struct command *commands;
    size_t count;
};

/* Asks the engine; fails the test if it can't. */
void table_load(struct table *t, struct wire *engine);
void table_release(struct table *t);

/* NULL: there is none. A command with a subcommand that is unknown: the command. */
const struct command *table_find(const struct table *t, const char *name, const char *subcommand);

#endif
