/* What an RDB says of itself before its data: the auxiliary fields (rdb.c of Redis,
 * rdbSaveInfoAuxFields). Pure. */
#ifndef PROXY_CTL_RDB_HEAD_H
#define PROXY_CTL_RDB_HEAD_H

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

struct rdb_head {
    unsigned version;       /* of the format: 10 for Redis 7.0 */
    char redis_version[32]; /* "7.0.15"; "": it does not say */
    long stream_db; /* repl-stream-db: the database in which the stream goes on; -1: not said */
};

/* ERR_MORE: the head goes on behind these bytes (what was found so far is in *out); ERR_INVALID:
 * not an RDB. */
int rdb_head_parse(const uint8_t *bytes, size_t size, struct rdb_head *out) MUST_CHECK;

#endif
