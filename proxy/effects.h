/* The effect reader: bytes of the replication stream in, units out. A unit is a whole command, or a
 * whole MULTI … EXEC; the log is only ever cut between units (DESIGN §3). Pure. */
#ifndef PROXY_EFFECTS_H
#define PROXY_EFFECTS_H

#include "proxy/command.h"
#include "proxy/tracker.h"

/* One unit. Keys are tracker hashes of every key that the unit names as written (or of every key it
 * names where none is said to be). */
struct effects_unit {
    uint64_t end; /* stream offset behind its last byte */
    const uint64_t *hashes;
    size_t hash_count;
    bool keyspace; /* may have changed anything (FLUSHALL, unknown command, database not known) */
};

struct effects_events {
    /* A unit is complete. Called from effects_feed only. */
    void (*unit)(void *ctx, const struct effects_unit *unit);
};

struct effects;

/* tracker is used for hashing only. The table may be replaced when the engine changes. Both outlive
 * the reader. */
struct effects *effects_create(const struct command_table *table, const struct tracker *tracker,
                               const struct effects_events *events, void *ctx);
void effects_destroy(struct effects *e);
void effects_set_table(struct effects *e, const struct command_table *table);

/* Starts at a unit boundary at this offset. db: the database the stream is in, or -1 if not known
 * (then every effect is keyspace-wide until a SELECT is seen). */
void effects_start(struct effects *e, uint64_t offset, long db);

/* Takes the next bytes of the stream. ERR_PROTOCOL: they are not what Redis sends; the link is to
 * be dropped. Large commands are not collected: memory is bounded by the keys and a small window,
 * not by the size of values. */
int effects_feed(struct effects *e, const uint8_t *bytes, size_t size) MUST_CHECK;

/* Offset behind the last byte taken, behind the last whole unit, and the stream's database. */
uint64_t effects_offset(const struct effects *e);
uint64_t effects_unit_offset(const struct effects *e);
long effects_db(const struct effects *e);

#endif
