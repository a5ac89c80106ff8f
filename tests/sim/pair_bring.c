/* An elected pair brings its Redis to exactly the log's end: by what it holds, from a snapshot and
 * the log behind it, or, where the log is empty, by what it held before. */
#include "tests/sim/pair_impl.h"

#include "common/mem.h"
#include "tests/sim/redis.h"

#include <inttypes.h>

/* The first data of the log: those of its Redis, wherever its offset is. All nodes store them
 * first. */
static void pair_adopt(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);

    redis_load(&p->redis, NULL, 100 * world_below(w, 4));
    p->redis.replica = false;
    p->redis.kv.birth = random_next(&w->random);
    p->reading = true;
    pair_snaps_adopt(w, pair);
}

void pair_snaps_shipped(struct world *w, unsigned pair, int err)
{
    struct pair *p = pair_of(w, pair);

    p->reading = false;
    p->brought = err == ERR_OK;
    if (!p->brought) {
        world_trace(w, "pair %u can't store the data of its Redis: %s", pair, err_text(err));
        p->lead_at = w->now + world_ms(PAIR_RETRY_MS); /* then it tries again */
    }
}

void pair_rebuild(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    const struct proposer_donor *donor = proposer_donor(p->proposer);
    uint64_t end = donor->end.offset;

    if (donor->empty) {
        pair_adopt(w, pair);
        return;
    }
    world_count(w, COUNT_REBUILDS);
    p->reading = true;
    pair_snaps_fetch(w, pair, world_chance(w, 10) ? world_below(w, end + 1) : end, donor->node);
}

void pair_snaps_fetched(struct world *w, unsigned pair, int err)
{
    struct pair *p = pair_of(w, pair);
    const struct proposer_donor *donor = proposer_donor(p->proposer);
    struct kv *kv = &w->truth.decoded;
    uint64_t offset = 0;

    p->reading = false;
    p->lead_at = w->now + world_ms(PAIR_RETRY_MS);
    if (err != ERR_OK) {
        world_trace(w, "pair %u can't fetch a snapshot: %s", pair, err_text(err));
        return;
    }
    if (world_failed(w) || p->state != PAIR_BRING || p->redis_run != p->redis.run ||
        proposer_state(p->proposer) != PROPOSER_ELECTED ||
        !snaps_decode(buf_head(&p->snaps.bytes), p->snaps.bytes.len, &offset, kv)) {
        return;
    }
    struct reader_range range = {.from = offset,
                                 .to = donor->end.offset,
                                 .term = proposer_term(p->proposer),
                                 .history = donor->history,
                                 .chain_known = true,
                                 .chain_crc = p->snaps.info.chain_crc,
                                 .node = donor->node};
    redis_load(&p->redis, kv, offset);
    p->reading = range.from < range.to;
    p->brought = !p->reading;
    if (p->reading) {
        reader_start(p->reader, pair_clock(w, pair), &range);
        reader_room(p->reader, pair_clock(w, pair), SIZE_MAX / 2);
    } else {
        redis_promote(w, &p->redis, &history_at(donor->history, donor->end.offset)->replid);
    }
}

void pair_bring(struct world *w, unsigned pair)
{
    struct pair *p = pair_of(w, pair);
    const struct proposer_donor *donor = proposer_donor(p->proposer);
    const struct history_entry *e = history_at(donor->history, donor->end.offset);

    p->state = PAIR_BRING;
    p->redis_run = p->redis.run;
    p->brought = p->reading = false;
    p->lead_at = w->now + world_below(w, world_ms(world_chance(w, 10) ? 3000 : 30));
    truth_elected(w, pair);
    if (donor->empty) {
        pair_adopt(w, pair);
    } else if (redis_may_resume(&p->redis, &e->replid, donor->end.offset)) {
        world_count(w, COUNT_ATTACHES);
        p->brought = true;
    } else {
        pair_rebuild(w, pair);
    }
}

void pair_read_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct pair_ctx *c = ctx;
    struct pair *p = pair_of(c->world, c->pair);
    struct redis *r = &p->redis;

    if (p->redis_run != r->run) {
        return; /* it died meanwhile; the next step sees that */
    }
    MUST(offset == r->offset);
    buf_append(&r->stream, bytes, size);
    r->offset += size;
}

void pair_read_done(void *ctx)
{
    struct pair_ctx *c = ctx;
    struct world *w = c->world;
    struct pair *p = pair_of(w, c->pair);
    const struct proposer_donor *donor = proposer_donor(p->proposer);

    p->reading = false;
    if (p->state != PAIR_BRING || proposer_state(p->proposer) != PROPOSER_ELECTED ||
        p->redis_run != p->redis.run) {
        return;
    }
    if (!kv_apply(&p->redis.kv, buf_head(&p->redis.stream), p->redis.stream.len)) {
        truth_violation(w, I11_REDIS_IS_LOG, "pair %u can't apply the log up to %" PRIu64, c->pair,
                        donor->end.offset);
    }
    redis_promote(w, &p->redis, &history_at(donor->history, donor->end.offset)->replid);
    p->brought = true;
}

void pair_read_failed(void *ctx, int err)
{
    struct pair_ctx *c = ctx;
    struct pair *p = pair_of(c->world, c->pair);

    world_trace(c->world, "pair %u can't read the log: %s", c->pair, err_text(err));
    p->reading = false;
    p->lead_at = c->world->now + world_ms(PAIR_RETRY_MS); /* then it tries again */
}
