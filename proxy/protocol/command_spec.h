/* What the files of the command module share: the table, and key specifications as COMMAND tells
 * them (redis.io/docs/reference/key-specs; Redis' db.c, getKeysUsingKeySpecs). Private to
 * proxy/protocol/command*.c. */
#ifndef PROXY_PROTOCOL_COMMAND_SPEC_H
#define PROXY_PROTOCOL_COMMAND_SPEC_H

#include "proxy/protocol/command.h"

#include <uthash.h>

/* All numbers are within ±2^31, so sums with an argument count fit an int64_t. */
struct command_spec {
    enum {
        SPEC_BEGIN_UNKNOWN,
        SPEC_BEGIN_INDEX,  /* at argument `index` */
        SPEC_BEGIN_KEYWORD /* behind the word, sought from argument `index` on */
    } begin;
    enum {
        SPEC_FIND_UNKNOWN,
        SPEC_FIND_RANGE, /* to lastkey (relative to the first, or to the end if negative) */
        SPEC_FIND_KEYNUM /* as many as the argument at keynumidx says */
    } find;
    bool write;
    bool incomplete;
    bool not_key;
    char *keyword;
    int64_t index;
    int64_t lastkey, limit;      /* of a range */
    int64_t keynumidx, firstkey; /* of keynum; relative to where the search began */
    int64_t keystep;             /* of both; at least 1 */
};

/* Owned by its table, with everything in it. */
struct command_node {
    struct command command;
    struct command_spec *specs;
    const char *key; /* the part of the name behind '|', that the table knows it by */
    UT_hash_handle hh;
};

struct command_table {
    struct command_node *nodes; /* a uthash */
};

enum command_rule command_rule_of(const struct command *c);

/* The entry with this lower-case name, or NULL. */
struct command_node *command_table_get(const struct command_table *t, const char *name, size_t len);
/* Takes over the node; false if its name is there already (then it is the caller's still). */
bool command_table_put(struct command_table *t, struct command_node *node) MUST_CHECK;
void command_node_destroy(struct command_node *node);

#endif
