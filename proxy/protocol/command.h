/* What the engine's COMMAND says of each command: arity, flags, categories, where the keys are.
 * Read from the engine at start, so that a new command or a module needs no code here. Pure. */
#ifndef PROXY_PROTOCOL_COMMAND_H
#define PROXY_PROTOCOL_COMMAND_H

#include "proxy/protocol/resp.h"

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
#define COMMAND_FLAG_MODULE     (1u << 12)

#define COMMAND_CAT_KEYSPACE   (1u << 0)
#define COMMAND_CAT_CONNECTION (1u << 1)
#define COMMAND_CAT_SCRIPTING  (1u << 2)
#define COMMAND_CAT_PUBSUB     (1u << 3)
#define COMMAND_CAT_ADMIN      (1u << 4)
#define COMMAND_CAT_BLOCKING   (1u << 5)

/* Names are no longer than this; a longer word is unknown. */
enum { COMMAND_NAME_MAX = 64 };

struct command_spec; /* one key specification; of command_spec.h */

/* What command_reach does for a command; settled when the table is read. */
enum command_rule {
    COMMAND_RULE_KEYSPACE,
    COMMAND_RULE_HARMLESS,
    COMMAND_RULE_FIRST, /* one key at a fixed place: GET, SET … */
    COMMAND_RULE_SPECS,
    COMMAND_RULE_SORT, /* keyspace-wide only with BY, GET or STORE */
    COMMAND_RULE_INFO, /* harmless but for the sections that tell of the keyspace */
};

struct command {
    char *name; /* lower case; of a subcommand "config|get" */
    int arity;  /* as COMMAND: n exactly, -n at least */
    uint32_t flags;
    uint32_t categories;
    const struct command_spec *specs; /* without the not_key ones (SPUBLISH) */
    size_t spec_count;
    enum command_rule rule;
    bool plain;                        /* the owner's mark: see command_table_mark */
    struct command_table *subcommands; /* NULL: none */
};

struct command_table;

/* The table in a reply to COMMAND (RESP2) of Redis 7 and later. ERR_PROTOCOL: the reply is not what
 * COMMAND says, or is cut, or has bytes behind its end; *out is NULL then. The caller owns the
 * table, and may free the reply. */
int command_table_parse(const uint8_t *reply, size_t size, struct command_table **out) MUST_CHECK;
void command_table_destroy(struct command_table *t);
/* Lets the owner judge each command and subcommand once, instead of at each request: the answer is
 * kept in `plain`, which is false before. */
void command_table_mark(struct command_table *t, bool (*plain)(const struct command *c));
/* Commands in the table, their subcommands not counted. */
size_t command_table_count(const struct command_table *t);

/* The command that a request names, its subcommand where it has some, or NULL. For an unknown
 * subcommand of a container: NULL with *container set. container may be NULL. */
const struct command *command_find(const struct command_table *t, const struct resp_arg *argv,
                                   size_t argc, const struct command **container);

bool command_arity_ok(const struct command *c, size_t argc);

/* Redis' own texts (without "-" and CRLF; server.c, commandCheckExistence and commandCheckArity)
 * for a request that can't be run. ERR_NOT_FOUND: unknown command or subcommand, *out is NULL;
 * ERR_INVALID: wrong arity, *out is the command; the text is appended. ERR_OK: nothing is wrong and
 * text is untouched. argc is at least 1. */
int command_check(const struct command_table *t, const struct resp_arg *argv, size_t argc,
                  const struct command **out, struct buf *text);

/* What a command touches, for the tracker. A key may be named twice. */
struct command_key {
    uint32_t index; /* into argv */
    bool write; /* the key spec says RW, OW, RM or variable; so for PFCOUNT, too, which may store
                   its count */
};
enum command_reach {
    COMMAND_REACH_NONE,     /* no data of the keyspace: PING, ECHO, PUBLISH, CONFIG GET … */
    COMMAND_REACH_KEYS,     /* exactly the keys named */
    COMMAND_REACH_KEYSPACE, /* cannot be known: waits for, or dirties, everything */
};

/* The keys that a request names, appended to keys (array of struct command_key; the caller clears
 * it between uses). Rules: an incomplete or unknown spec, a script, a module's command (its keys
 * need not be all that it looks at), a write without keys, a request whose keys can't be found, and
 * whatever is not known to be harmless is COMMAND_REACH_KEYSPACE; then nothing is appended. MOVE
 * and COPY … DB n: see command_second_db. */
enum command_reach command_reach(const struct command *c, const struct resp_arg *argv, size_t argc,
                                 struct buf *keys);

/* MOVE key db, COPY src dst DB db: the second database that the request touches, or -1 (also where
 * Redis will refuse the number). Its keys are those of the first. */
long command_second_db(const struct command *c, const struct resp_arg *argv, size_t argc);

#endif
