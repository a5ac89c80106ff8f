#include "proxy/follow/lineage.h"

#include <stdlib.h>
#include <string.h>

bool lineage_same(const struct replid *a, const struct replid *b)
{
    return memcmp(a->hex, b->hex, sizeof a->hex) == 0;
}

static const struct history_entry *lineage_find(const struct history *h,
                                                const struct replid *replid)
{
    for (unsigned i = h->count; i > 0; i--) {
        if (lineage_same(&h->entries[i - 1].replid, replid)) {
            return &h->entries[i - 1];
        }
    }
    return NULL;
}

bool lineage_knows(const struct history *h, const struct replid *replid)
{
    return lineage_find(h, replid) != NULL;
}

uint64_t lineage_end(const struct history *h, const struct replid *replid)
{
    const struct history_entry *e = lineage_find(h, replid);

    return e == NULL || e == &h->entries[h->count - 1] ? UINT64_MAX : e[1].begin;
}

enum lineage_verdict lineage_judge(const struct history *h, uint64_t limit, bool final,
                                   const struct replid *replid, uint64_t offset)
{
    if (lineage_find(h, replid) == NULL) {
        return LINEAGE_FOREIGN;
    }
    if (offset > lineage_end(h, replid)) {
        return LINEAGE_AHEAD;
    }
    if (offset <= limit) {
        return LINEAGE_RESUME;
    }
    return final ? LINEAGE_AHEAD : LINEAGE_WAIT;
}

const struct history_entry *lineage_label(const struct history *h, uint64_t limit)
{
    return history_at(h, limit);
}

uint32_t lineage_engine(const char *version)
{
    unsigned long parts[3] = {0};
    char *end = (char *)(uintptr_t)version;

    for (int i = 0; i < 3; i++) {
        const char *at = end;
        parts[i] = strtoul(at, &end, 10);
        if (end == at || parts[i] > 255) {
            return i < 2 ? 0 : WIRE_ENGINE(parts[0], parts[1], 0);
        }
        end += *end == '.';
    }
    return WIRE_ENGINE(parts[0], parts[1], parts[2]);
}

/* What stands behind a key of INFO, or NULL. */
static const char *lineage_value(const char *info, const char *key)
{
    const char *at = strstr(info, key);

    return at != NULL ? at + strlen(key) : NULL;
}

static bool lineage_replid(const char *info, const char *key, struct replid *out)
{
    const char *value = lineage_value(info, key);

    if (value == NULL || strnlen(value, sizeof out->hex) < sizeof out->hex) {
        return false;
    }
    memcpy(out->hex, value, sizeof out->hex);
    return true;
}

bool lineage_parse(const char *info, struct lineage_redis *out)
{
    const char *role = lineage_value(info, "\nrole:");
    const char *offset = lineage_value(info, "\nmaster_repl_offset:");
    const char *until = lineage_value(info, "\nsecond_repl_offset:");

    if (role == NULL || offset == NULL || until == NULL ||
        !lineage_replid(info, "\nmaster_replid:", &out->replid) ||
        !lineage_replid(info, "\nmaster_replid2:", &out->before)) {
        return false;
    }
    long long first_unknown = strtoll(until, NULL, 10); /* -1: there is no `before` */
    out->master = strncmp(role, "master", 6) == 0;
    out->before_end = first_unknown > 0 ? (uint64_t)first_unknown - 1 : 0;
    out->offset = strtoull(offset, NULL, 10);
    return true;
}

bool lineage_may_resume(const struct lineage_redis *redis, const struct replid *replid,
                        uint64_t offset)
{
    /* A replica's stream is its master's (one that we once fed, or a stranger): it takes no writes,
     * and refuses PSYNC as long as its master is away, which may be for ever. */
    if (!redis->master || redis->offset < offset) {
        return false;
    }
    return lineage_same(&redis->replid, replid) ||
           (lineage_same(&redis->before, replid) && redis->before_end >= offset);
}
