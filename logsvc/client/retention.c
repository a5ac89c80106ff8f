#include "logsvc/client/retention.h"

#include "logsvc/mutant.h"

/* A Redis that is made anew is given so long to go over to the newest one: at that rate, and within
 * bounds. */
enum {
    RETENTION_NEEDED_MIN_MS = 60 * 1000,
    RETENTION_NEEDED_MAX_MS = 3600 * 1000,
    RETENTION_NEEDED_BYTES_PER_MS = (8 << 20) / 1000
};

static bool is_younger(uint64_t wall_ms, uint64_t then_ms, uint64_t span_ms)
{
    return wall_ms < then_ms || wall_ms - then_ms < span_ms;
}

/* Whether it makes it good that what is in front of it is forgotten. */
static bool retention_is_proven(const struct catalogue_entry *e)
{
    return e->proven || (MUTANT(TRIM_UNPROVEN) && e->verified != 0) ||
           (MUTANT(TRIM_NEWEST) && e->stored);
}

/* Whether a restore may begin with it, whichever node is lost: it is proven, or it is what the log
 * was begun with, which nobody needs to verify. */
static bool retention_is_good(const struct catalogue_entry *e)
{
    return retention_is_proven(e) || (e->stored && e->on != 0 && e->counts == e->on);
}

/* The index of the oldest entry that is wanted for itself; view->count: all are, for what may be
 * restored. */
static unsigned retention_oldest(const struct retention_config *config,
                                 const struct catalogue_view *view, uint64_t wall_ms)
{
    unsigned kept = 0, oldest = view->count;
    bool reaches = config->pitr_ms == 0; /* down to the begin of the window for restores */

    for (unsigned i = 0; i < view->count; i++) {
        const struct catalogue_entry *e = &view->entries[i];
        if (!retention_is_good(e)) {
            continue;
        }
        bool young =
            config->keep_age_ms > 0 && is_younger(wall_ms, e->info.taken_ms, config->keep_age_ms);
        if (kept >= config->keep && !young && reaches) {
            break;
        }
        kept++;
        oldest = i;
        reaches = reaches || !is_younger(wall_ms, e->info.wall_ms, config->pitr_ms);
    }
    return reaches ? oldest : view->count;
}

/* Whether the entry is good, and what a Redis needs that is made anew: no other good one is nearer
 * to the place where that is. Where that is not known it may have begun with the one in front of
 * the newest, just before that was proven. */
static bool retention_is_needed(const struct retention_config *config,
                                const struct catalogue_view *view,
                                const struct catalogue_entry *newest, unsigned index)
{
    const struct catalogue_entry *e = &view->entries[index];
    uint64_t above = UINT64_MAX; /* the next good one */
    bool needed = false;

    for (unsigned i = 0; i < index; i++) {
        above = retention_is_good(&view->entries[i]) ? view->entries[i].info.offset : above;
    }
    for (unsigned i = 0; i < config->needed_count; i++) {
        uint64_t at = config->needed[i];
        needed = needed || (at >= e->info.offset && at < above) ||
                 (at == 0 && above == newest->info.offset);
    }
    return needed && retention_is_good(e);
}

/* Whether a Redis is just being made anew from it: also if it is not good any more. */
static bool retention_is_in_use(const struct retention_config *config,
                                const struct catalogue_entry *e)
{
    bool used = false;

    for (unsigned i = 0; i < config->needed_count; i++) {
        used = used || (config->needed[i] != 0 && config->needed[i] == e->info.offset);
    }
    return used;
}

/* The index of the oldest that is kept for what is needed; `oldest` if there is none. */
static unsigned retention_oldest_needed(const struct retention_config *config,
                                        const struct catalogue_view *view,
                                        const struct catalogue_entry *newest, uint64_t wall_ms,
                                        unsigned oldest)
{
    uint64_t size = newest->info.size_bytes, span_ms = size / RETENTION_NEEDED_BYTES_PER_MS;
    uint64_t most = size > config->needed_max_bytes ? size : config->needed_max_bytes;

    span_ms = span_ms > RETENTION_NEEDED_MIN_MS ? span_ms : RETENTION_NEEDED_MIN_MS;
    span_ms = span_ms < RETENTION_NEEDED_MAX_MS ? span_ms : RETENTION_NEEDED_MAX_MS;
    if (!is_younger(wall_ms, newest->info.verified_ms, span_ms)) {
        return oldest;
    }
    for (unsigned i = view->count; i > oldest + 1; i--) {
        const struct catalogue_entry *e = &view->entries[i - 1];
        uint64_t log_bytes = view->commit > e->info.offset ? view->commit - e->info.offset : 0;
        if (log_bytes <= most && retention_is_needed(config, view, newest, i - 1)) {
            return i - 1;
        }
    }
    return oldest;
}

static const struct catalogue_entry *retention_newest(const struct catalogue_view *view)
{
    for (unsigned i = 0; i < view->count; i++) {
        if (retention_is_proven(&view->entries[i])) {
            return &view->entries[i];
        }
    }
    return NULL;
}

/* What was never verified: behind the newest proven one it is waited for, in front of it, it is of
 * no use; unless all is kept. */
static bool retention_is_left(const struct retention_config *config,
                              const struct catalogue_entry *e, const struct catalogue_entry *newest,
                              bool all, uint64_t wall_ms)
{
    if (e->verified != 0 || retention_is_good(e)) {
        return false;
    }
    return e->info.offset > newest->info.offset
               ? !is_younger(wall_ms, e->info.taken_ms, config->unverified_ms)
               : !all;
}

/* The index of one that is kept and may go as there are too many; view->count: none. */
static unsigned retention_thin(const struct retention_config *config,
                               const struct catalogue_view *view, unsigned oldest)
{
    unsigned kept[CATALOGUE_ENTRIES_MAX], count = 0, thin = view->count;
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < view->count && i <= oldest; i++) {
        if (retention_is_good(&view->entries[i])) {
            kept[count++] = i;
        }
    }
    for (unsigned i = config->keep; count > RETENTION_MANY && i + 1 < count; i++) {
        uint64_t span =
            view->entries[kept[i - 1]].info.offset - view->entries[kept[i + 1]].info.offset;
        if (span <= least) {
            least = span;
            thin = kept[i];
        }
    }
    return thin;
}

/* The nodes that have another one at that offset which is verified: they lack nothing, and would
 * not take it. */
static uint32_t retention_same_place(const struct catalogue_view *view,
                                     const struct catalogue_entry *e)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < view->count; i++) {
        const struct catalogue_entry *other = &view->entries[i];
        set |= other != e && other->info.offset == e->info.offset ? other->verified : 0;
    }
    return set;
}

/* Who lacks that one. */
static void retention_repair(const struct catalogue_view *view, const struct catalogue_entry *e,
                             struct retention_plan *out)
{
    out->by = e->info;
    out->lacking = view->answered & ~e->on & ~retention_same_place(view, e);
    out->repair = out->lacking != 0;
}

/* Nothing is proven: what was may have rotted on too many. The newest from which a Redis may be
 * brought up is all that there is then, wherever it is. */
static void retention_save_last(const struct catalogue_view *view, struct retention_plan *out)
{
    for (unsigned i = 0; i < view->count; i++) {
        if (view->entries[i].counts != 0) {
            retention_repair(view, &view->entries[i], out);
            return;
        }
    }
}

void retention_plan(const struct retention_config *config, const struct catalogue_view *view,
                    uint64_t wall_ms, struct retention_plan *out)
{
    const struct catalogue_entry *newest = retention_newest(view);

    *out = (struct retention_plan){0};
    if (!view->quorum) {
        return;
    }
    if (newest == NULL) {
        retention_save_last(view, out);
        return;
    }
    unsigned oldest = retention_oldest(config, view, wall_ms);
    bool all = oldest == view->count;
    unsigned thin = retention_thin(config, view, oldest), from = oldest;
    retention_repair(view, newest, out);
    if (!all) {
        from = retention_oldest_needed(config, view, newest, wall_ms, oldest);
        out->to = view->entries[from].info.offset;
        out->trim = config->trim && view->begin < out->to;
    }
    uint32_t newer = 0; /* nodes where one counts that is newer than the entry */
    for (unsigned i = 0; i < view->count; newer |= view->entries[i++].counts) {
        const struct catalogue_entry *e = &view->entries[i];
        bool between = i > oldest && i < from && !retention_is_needed(config, view, newest, i) &&
                       !retention_is_in_use(config, e);
        bool goes = (!all && i > from) || between || i == thin ||
                    retention_is_left(config, e, newest, all, wall_ms);
        /* A node refuses to part with the newest that counts there: it lacks what all others have,
         * and is asked when it has that. */
        if (goes && (e->on & ~(e->counts & ~newer)) != 0) {
            out->deletes[out->delete_count++] = e->info;
        }
    }
    out->mark = (newest->on & ~newest->verified) != 0 && !MUTANT(TRIM_NEWEST);
    out->marked = newest->info;
}
