/* Random programs. The same seed, engine version and table make the same program. */
#ifndef TESTS_DIFFER_GENERATE_H
#define TESTS_DIFFER_GENERATE_H

#include "common/random.h"
#include "tests/differ/program.h"
#include "tests/differ/table.h"

#include <hiredis/hiredis.h>

enum { GENERATE_SCRIPTS_MAX = 96, GENERATE_PAYLOADS_MAX = 32 };

/* What programs are made of and only an engine can tell. */
struct generate_world {
    const struct table *table;
    char shas[GENERATE_SCRIPTS_MAX][41]; /* of arguments_scripts */
    struct word payloads[GENERATE_PAYLOADS_MAX];
    size_t payload_count;
    struct word functions; /* what FUNCTION DUMP said of a library */
};

/* Asks the engine, which is empty, and is empty afterwards. */
void generate_world_load(struct generate_world *w, const struct table *table, redisContext *engine);
void generate_world_release(struct generate_world *w);

/* A program of about that many steps. */
void generate(struct program *p, const struct generate_world *w, uint64_t seed, int resp,
              size_t steps);

#endif
