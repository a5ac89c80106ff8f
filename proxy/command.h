/* What the engine's COMMAND says of each command: arity, flags, categories, where the keys are.
 * Read from the engine at start, so that a new command or a module needs no code here. Pure. */
#ifndef PROXY_COMMAND_H
#define PROXY_COMMAND_H

#include "proxy/resp.h"

#define COMMAND_FLAG_WRITE      (1u << 0)
#define COMMAND_FLAG_READONLY   (1u << 1)
#define COMMAND_FLAG_DENYOOM    (1u << 2)
#define COMMAND_FLAG_ADMIN      (1u << 3)
#define COMMAND_FLAG_PUBSUB     (1u << 4)
#define COMMAND_FLAG_NOSCRIPT   (1u << 5)
#define COMMAND_FLAG_BLOCKING   (1u << 6)
#define COMMAND_FLAG_MOVABLE    (1u << 7)
#define COMMAND_FLAG_NO_MULTI   (1u << 8)
#define COMMAND_FLAG_NO_AUTH    (1u << 9)
#define COMMAND_FLAG_FAST       (1u << 10)
#define COMMAND_FLAG_ALLOW_BUSY (1u << 11)

#define COMMAND_CAT_KEYSPACE   (1u << 0)
#define COMMAND_CAT_CONNECTION (1u << 1)
#define COMMAND_CAT_SCRIPTING  (1u << 2)
#define COMMAND_CAT_PUBSUB     (1u << 3)
#define COMMAND_CAT_ADMIN      (1u << 4)
#define COMMAND_CAT_BLOCKING   (1u << 5)

struct command_spec; /* one key specification */

struct command {
    char *name; /* lower case; of a subcommand "config|get" */
    int arity;  /* as COMMAND: n exactly, -n at least */
    uint32_t flags;
    uint32_t categories;
    const struct command_spec *specs;
    size_t spec_count;
    struct command_table *subcommands; /* NULL: none */
};

struct command_table;

/* The table in a reply to COMMAND (RESP2). ERR_PROTOCOL: the reply is not what COMMAND says. The
 * caller owns it. */
int command_table_parse(const uint8_t *reply, size_t size, struct command_table **out) MUST_CHECK;
void command_table_destroy(struct command_table *t);
size_t command_table_count(const struct command_table *t);

/* The command that a request names, its subcommand where it has some, or NULL. For an unknown
 * subcommand of a container: NULL with *container set. container may be NULL. */
const struct command *command_find(const struct command_table *t, const struct resp_arg *argv,
                                   size_t argc, const struct command **container);

bool command_arity_ok(const struct command *c, size_t argc);

/* Redis' own texts (without "-" and CRLF) for a request that can't be run: unknown command, unknown
 * subcommand, wrong arity. ERR_OK: nothing is wrong and text is untouched. */
int command_check(const struct command_table *t, const struct resp_arg *argv, size_t argc,
                  const struct command **out, struct buf *text);

/* What a command touches, for the tracker. A key may be named twice. */
struct command_key {
    uint32_t index; /* into argv */
    bool write;     /* the key spec says RW, OW, RM or the like */
};
enum command_reach {
    COMMAND_REACH_NONE,     /* no data of the keyspace: PING, ECHO, PUBLISH, CONFIG GET … */
    COMMAND_REACH_KEYS,     /* exactly the keys named */
    COMMAND_REACH_KEYSPACE, /* cannot be known: waits for, or dirties, everything */
};

/* The keys that a request names, appended to keys (array of struct command_key; the caller clears
 * it between uses). Rules: an incomplete or unknown spec, a script, a write without keys, and
 * whatever is not known to be harmless is COMMAND_REACH_KEYSPACE. MOVE and COPY … DB n: see
 * command_second_db. */
enum command_reach command_reach(const struct command *c, const struct resp_arg *argv, size_t argc,
                                 struct buf *keys);

/* MOVE key db, COPY src dst DB db: the second database that the request touches, or -1. */
long command_second_db(const struct command *c, const struct resp_arg *argv, size_t argc);

#endif
