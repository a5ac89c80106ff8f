/* The simulated Redis: a key-value engine with a replication id, an offset and a backlog. */
#include "tests/sim/redis.h"

#include "tests/sim/world.h"

#include <string.h>

static void redis_new_id(struct world *w, struct replid *id)
{
    for (size_t i = 0; i < sizeof id->hex; i++) {
        id->hex[i] = "0123456789abcdef"[world_below(w, 16)];
    }
}

void redis_start(struct world *w, unsigned pair)
{
    struct redis *r = &w->pairs[pair].redis;

    kv_clear(&r->kv);
    buf_clear(&r->stream);
    r->offset = r->stream_begin = 0;
    redis_new_id(w, &r->replid);
    memset(&r->replid2, 0, sizeof r->replid2);
    r->second_until = 0;
    r->replica = false;
    r->run++;
}

void redis_crash(struct world *w, unsigned pair, uint64_t back_ns)
{
    world_trace(w, "Redis of pair %u dies", pair);
    world_died(w, WORLD_REDIS + pair, back_ns);
    pair_break_redis(w, pair);
}

void redis_load(struct redis *r, const struct kv *snapshot, uint64_t offset)
{
    if (snapshot != NULL) {
        kv_copy(&r->kv, snapshot);
    } else {
        kv_clear(&r->kv);
    }
    buf_clear(&r->stream);
    r->replica = true;
    r->offset = r->stream_begin = offset;
}

void redis_promote(struct world *w, struct redis *r, const struct replid *of_log)
{
    r->replica = false;
    r->replid2 = *of_log;
    r->second_until = r->offset;
    redis_new_id(w, &r->replid);
    /* The backlog of what it was fed is not handed out again. */
    buf_clear(&r->stream);
    r->stream_begin = r->offset;
}

/* As Redis' masterTryPartialResynchronization. */
bool redis_may_resume(const struct redis *r, const struct replid *id, uint64_t offset)
{
    bool own = memcmp(id->hex, r->replid.hex, sizeof id->hex) == 0;
    bool second = memcmp(id->hex, r->replid2.hex, sizeof id->hex) == 0 && offset <= r->second_until;

    return !r->replica && (own || second) && offset >= r->stream_begin && offset <= r->offset;
}
