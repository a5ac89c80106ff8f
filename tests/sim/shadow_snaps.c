#include "tests/sim/shadow_snaps.h"

#include "common/mem.h"
#include "tests/sim/world.h"

#include <inttypes.h>
#include <string.h>

static struct shadow *shadow_of(struct storage *base)
{
    return (struct shadow *)base;
}

static int shadow_snap_find(const struct shadow *s, uint64_t offset)
{
    for (unsigned i = 0; i < s->snaps.count; i++) {
        if (s->snaps.held[i].offset == offset) {
            return (int)i;
        }
    }
    return -1;
}

const struct snapshot_info *shadow_snap(const struct shadow *s, uint64_t offset)
{
    int i = shadow_snap_find(s, offset);

    return i >= 0 ? &s->snaps.held[i] : NULL;
}

static void shadow_snap_forget(struct shadow *s, uint64_t offset)
{
    int i = shadow_snap_find(s, offset);

    if (i >= 0) {
        s->snaps.held[i] = s->snaps.held[--s->snaps.count];
    }
}

static void shadow_snap_put(struct shadow *s, const struct snapshot_info *info)
{
    shadow_snap_forget(s, info->offset);
    MUST(s->snaps.count < sizeof s->snaps.held / sizeof s->snaps.held[0]);
    s->snaps.held[s->snaps.count++] = *info;
}

/* An error after which the storage may be used is one that changed nothing. */
static bool shadow_snap_is_final(int err)
{
    return err != ERR_OK && err != ERR_NO_SPACE && err != ERR_CORRUPT && err != ERR_NOT_FOUND &&
           err != ERR_STATE;
}

/* Reads all of it as it is on the disk. On a damaged one reading would find the rot in the node's
 * stead. */
static void shadow_snap_look(struct shadow *s, const struct snapshot_info *info)
{
    struct world *w = s->world;
    struct buf bytes = BUF_INIT;

    if (w->nodes[s->node].damaged) {
        snaps_check_held(w, s->node, info, NULL);
        return;
    }
    int err = s->real->ops->snap_read(s->real, info->offset, 0, (size_t)info->size_bytes, &bytes);
    if (err != ERR_OK) {
        truth_violation(w, I16_SNAPSHOT_WHOLE, "node %u can't read its snapshot at %" PRIu64,
                        s->node, info->offset);
    }
    snaps_check_held(w, s->node, info, &bytes);
    buf_release(&bytes);
}

int shadow_snap_begin(struct storage *base, const struct snapshot_info *info)
{
    struct shadow *s = shadow_of(base);

    s->snaps.begun = *info;
    return s->real->ops->snap_begin(s->real, info);
}

int shadow_snap_write(struct storage *base, uint64_t at, const void *bytes, size_t size)
{
    struct shadow *s = shadow_of(base);

    s->snaps.taken++;
    return s->real->ops->snap_write(s->real, at, bytes, size);
}

int shadow_snap_commit(struct storage *base)
{
    struct shadow *s = shadow_of(base);
    struct snapshot_info info;

    s->snaps.taken++;
    s->snaps.step = SHADOW_SNAP_STORES;
    s->snaps.what = s->snaps.begun;
    int err = s->real->ops->snap_commit(s->real);
    if (shadow_snap_is_final(err)) {
        return err;
    }
    s->snaps.step = SHADOW_SNAP_NONE;
    if (err == ERR_OK) {
        uint64_t offset = s->snaps.what.offset;
        bool there = s->real->ops->snap_latest(s->real, offset, &info) == ERR_OK &&
                     snapinfo_same(&info, &s->snaps.what);
        if (!there) {
            truth_violation(s->world, I5_NOTHING_GOES_BACK,
                            "node %u has stored a snapshot at %" PRIu64 " and does not have it",
                            s->node, offset);
            return err;
        }
        world_count(s->world, COUNT_SNAPS_STORED);
        world_trace(s->world, "node %u has a%s snapshot at %" PRIu64, s->node,
                    info.verified_ms > 0 ? " verified" : "n unverified", offset);
        shadow_snap_put(s, &info);
        shadow_snap_look(s, &info);
        snaps_check_restorable(s->world, "a snapshot is stored");
    }
    return err;
}

int shadow_snap_drop(struct storage *base)
{
    struct shadow *s = shadow_of(base);
    return s->real->ops->snap_drop(s->real);
}

int shadow_snap_latest(struct storage *base, uint64_t limit, struct snapshot_info *out)
{
    struct shadow *s = shadow_of(base);
    return s->real->ops->snap_latest(s->real, limit, out);
}

int shadow_snap_read(struct storage *base, uint64_t offset, uint64_t at, size_t size,
                     struct buf *out)
{
    struct shadow *s = shadow_of(base);
    return s->real->ops->snap_read(s->real, offset, at, size, out);
}

int shadow_snap_verified(struct storage *base, uint64_t offset, uint64_t verified_ms)
{
    struct shadow *s = shadow_of(base);
    int i = shadow_snap_find(s, offset);

    if (i >= 0) {
        s->snaps.step = SHADOW_SNAP_MARKS;
        s->snaps.what = s->snaps.held[i];
        s->snaps.what.verified_ms = verified_ms;
    }
    int err = s->real->ops->snap_verified(s->real, offset, verified_ms);
    if (shadow_snap_is_final(err)) {
        return err;
    }
    s->snaps.step = SHADOW_SNAP_NONE;
    if (err == ERR_OK && i >= 0) {
        world_count(s->world, COUNT_SNAPS_MARKED);
        s->snaps.held[i].verified_ms = verified_ms;
        snaps_check_held(s->world, s->node, &s->snaps.held[i], NULL);
    }
    return err;
}

int shadow_snap_delete(struct storage *base, uint64_t offset)
{
    struct shadow *s = shadow_of(base);
    int i = shadow_snap_find(s, offset);

    if (i >= 0) {
        s->snaps.step = SHADOW_SNAP_DELETES;
        s->snaps.what = s->snaps.held[i];
    }
    int err = s->real->ops->snap_delete(s->real, offset);
    if (shadow_snap_is_final(err)) {
        return err;
    }
    s->snaps.step = SHADOW_SNAP_NONE;
    if (err == ERR_OK) {
        world_count(s->world, COUNT_SNAPS_DELETED);
        world_trace(s->world, "node %u deletes the snapshot at %" PRIu64, s->node, offset);
        shadow_snap_forget(s, offset);
        snaps_check_restorable(s->world, "a snapshot is deleted");
    }
    return err;
}

/* --- after a restart --- */

/* Whether the crash may have left this one, or none, in place of what was there. */
static bool shadow_snap_was_under_way(const struct shadow *s, const struct snapshot_info *found,
                                      uint64_t offset)
{
    const struct shadow_snaps *p = &s->snaps;

    if (p->step == SHADOW_SNAP_NONE || p->what.offset != offset) {
        return false;
    }
    if (found == NULL) {
        return p->step != SHADOW_SNAP_MARKS; /* one that replaces another removes that first */
    }
    return p->step != SHADOW_SNAP_DELETES && snapinfo_same(found, &p->what) &&
           found->verified_ms == p->what.verified_ms;
}

static void shadow_snap_compare(struct shadow *s, const struct snapshot_info *held,
                                const struct snapshot_info *found, uint64_t offset)
{
    bool same = held != NULL && found != NULL && snapinfo_same(held, found) &&
                held->verified_ms == found->verified_ms;

    if (!same && !shadow_snap_was_under_way(s, found, offset) &&
        !s->world->nodes[s->node].damaged) {
        truth_violation(s->world, I5_NOTHING_GOES_BACK,
                        "node %u starts %s a snapshot at %" PRIu64 "%s", s->node,
                        found != NULL ? "with" : "without", offset,
                        held == NULL    ? ", which it never stored"
                        : found != NULL ? ", which is not as it was"
                                        : ", which was durable");
    }
}

void shadow_compare_snaps(struct shadow *s)
{
    struct shadow_snaps now = {.taken = s->snaps.taken};
    uint64_t limit = UINT64_MAX;
    struct snapshot_info info;

    while (s->real->ops->snap_latest(s->real, limit, &info) == ERR_OK) {
        MUST(now.count < sizeof now.held / sizeof now.held[0]);
        now.held[now.count++] = info;
        shadow_snap_compare(s, shadow_snap(s, info.offset), &info, info.offset);
        shadow_snap_look(s, &info);
        if (info.offset == 0) {
            break;
        }
        limit = info.offset - 1;
    }
    for (unsigned i = 0; i < s->snaps.count; i++) {
        uint64_t offset = s->snaps.held[i].offset;
        bool found = false;
        for (unsigned k = 0; k < now.count; k++) {
            found = found || now.held[k].offset == offset;
        }
        if (!found) {
            shadow_snap_compare(s, &s->snaps.held[i], NULL, offset);
        }
    }
    s->snaps = now;
}
