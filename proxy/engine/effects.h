/* The effect reader: bytes of the replication stream in, units out. A unit is a whole command, or a
 * whole MULTI … EXEC; the log is only ever cut between units. PING, SELECT and REPLCONF
 * GETACK are units without an effect. Pure. */
#ifndef PROXY_ENGINE_EFFECTS_H
#define PROXY_ENGINE_EFFECTS_H

#include "proxy/clients/tracker.h"
#include "proxy/protocol/command.h"

/* One unit. Keys are tracker hashes of every key that the unit names as written (or of every key it
 * names where none is said to be); a key may be in it more than once. */
struct effects_unit {
    uint64_t end;           /* stream offset behind its last byte */
    const uint64_t *hashes; /* valid during the call; none if keyspace */
    size_t hash_count;
    bool keyspace; /* may have changed anything (FLUSHALL, unknown command, database not known, more
                      than the limits) */
};

struct effects_events {
    /* A unit is complete, or lacks only the rest of a long last argument, which changes nothing of
     * what it is. Called from effects_feed only; must not feed, start or destroy it. */
    void (*unit)(void *ctx, const struct effects_unit *unit);
};

/* What may be held of a command that did not arrive in one piece, and of a unit. A unit beyond a
 * limit is keyspace-wide: that makes replies wait longer, never leave earlier. */
struct effects_limits {
    size_t key_bytes_max;  /* of one argument; at least 64 */
    size_t held_bytes_max; /* of all arguments; above twice key_bytes_max */
    size_t args_max;       /* of one command; at least 2 */
    size_t hashes_max;     /* of one unit */
};

#define EFFECTS_LIMITS_DEFAULT                                                                     \
    {                                                                                              \
        .key_bytes_max = 8 << 10, .held_bytes_max = 4 << 20, .args_max = 1 << 20,                  \
        .hashes_max = 100000                                                                       \
    }

struct effects;

/* tracker is used for hashing only. The table may be replaced when the engine changes. Both outlive
 * the reader. */
struct effects *effects_create(const struct command_table *table, const struct tracker *tracker,
                               const struct effects_events *events, void *ctx);
void effects_destroy(struct effects *e);
void effects_set_table(struct effects *e, const struct command_table *table);
/* Else EFFECTS_LIMITS_DEFAULT. Between units only. */
void effects_set_limits(struct effects *e, const struct effects_limits *limits);

/* Starts at a unit boundary at this offset. db: the database the stream is in, or -1 if not known
 * (then every effect is keyspace-wide until a SELECT is seen). */
void effects_start(struct effects *e, uint64_t offset, long db);

/* Takes the next bytes of the stream. ERR_PROTOCOL: they are not what Redis sends; the link is to
 * be dropped, and nothing more is taken before effects_start. Large commands are not collected:
 * memory is bounded by the keys and a small window, not by the size of values. */
int effects_feed(struct effects *e, const uint8_t *bytes, size_t size) MUST_CHECK;

/* Offset behind the last byte taken, behind the last whole unit, behind the last one that was told
 * (which can be ahead of the bytes taken), and the stream's database. */
uint64_t effects_offset(const struct effects *e);
uint64_t effects_unit_offset(const struct effects *e);
uint64_t effects_known_offset(const struct effects *e);
long effects_db(const struct effects *e);

/* Memory held, for accounting. */
size_t effects_bytes(const struct effects *e);

#endif
