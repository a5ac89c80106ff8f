#include "logsvc/scrub.h"

#include "common/clock.h"

/* Urgent work goes on as fast as this; without any, damage is looked after so often. */
enum { SCRUB_URGENT_BYTES_PER_S = 32 << 20, SCRUB_WAIT_MS = 50 };
enum { SCRUB_FIRST_MS = 1000, SCRUB_STEP_MS = 1 };

void scrub_init(struct scrub *s, const struct scrub_config *config, uint64_t now_ns)
{
    *s = (struct scrub){.config = *config, .urgent_ns = now_ns};
    s->round_ns = s->next_ns = now_ns + SCRUB_FIRST_MS * CLOCK_NS_PER_MS;
}

uint64_t scrub_next_ns(const struct scrub *s, bool damaged)
{
    uint64_t next_ns = s->config.bytes_per_s > 0 ? s->next_ns : UINT64_MAX;

    return damaged && s->urgent_ns < next_ns ? s->urgent_ns : next_ns;
}

void scrub_done(struct scrub *s, uint64_t now_ns, const struct storage_check *what)
{
    uint64_t rate = s->config.bytes_per_s > 0 ? s->config.bytes_per_s : 1;
    uint64_t pause_ns = what->bytes * CLOCK_NS_PER_S / rate;

    if (what->urgent) {
        s->urgent_ns = now_ns + what->bytes * CLOCK_NS_PER_S / SCRUB_URGENT_BYTES_PER_S;
        return;
    }
    s->urgent_ns = now_ns + SCRUB_WAIT_MS * CLOCK_NS_PER_MS;
    if (s->resting) { /* damage made it begin before its time, or it is its time */
        s->resting = false;
        s->round_ns = now_ns;
    }
    if (pause_ns < SCRUB_STEP_MS * CLOCK_NS_PER_MS) {
        pause_ns = SCRUB_STEP_MS * CLOCK_NS_PER_MS;
    }
    s->next_ns = now_ns + pause_ns;
    if (what->round_ended) {
        uint64_t round_ns = s->round_ns + s->config.round_ms * CLOCK_NS_PER_MS;
        s->next_ns = round_ns > s->next_ns ? round_ns : s->next_ns;
        s->resting = true;
    }
}
