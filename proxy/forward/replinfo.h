/* What ROLE and INFO replication say: the logical truth, as if the proxies were one Redis master
 * and its replicas, each at the address that clients connect to. Redis' own words would tell of the
 * connections between proxy and Redis. Formats: roleCommand and genRedisInfoString in Redis 7.0
 * (replication.c, server.c). Pure. */
#ifndef PROXY_FORWARD_REPLINFO_H
#define PROXY_FORWARD_REPLINFO_H

#include "common/buf.h"
#include "proxy/forward/leader.h"

struct replinfo {
    const struct leader *leader; /* NULL: we are alone, and the master */
    bool serves;                 /* as the leader */
    uint64_t offset;             /* of our Redis; of a leader what is committed */
    struct replid replid;        /* of the history; all zero: not known */
    uint64_t backlog_bytes;
    uint64_t now_ns;
};

/* Whether clients see a master here. */
bool replinfo_is_master(const struct replinfo *info);

/* How many replicas there are; synced: that are up to date. */
size_t replinfo_replicas(const struct replinfo *info, bool synced);

/* The reply to ROLE, appended. */
void replinfo_put_role(const struct replinfo *info, struct buf *out);

/* The section "# Replication", with an empty line behind it, appended. */
void replinfo_put_section(const struct replinfo *info, struct buf *out);

/* The text of an INFO, its section on replication replaced by ours; appended. */
void replinfo_correct(const struct replinfo *info, const char *text, size_t size, struct buf *out);

/* In a text of INFO: the number in the line "name:…", if there is one. */
void replinfo_set_number(struct buf *text, const char *name, uint64_t number);

#endif
