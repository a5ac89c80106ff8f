/* Forgetting the log's begin: whole segments go, the first one first, so that what is left at any
 * moment is a log without holes.
 *
 *   ident says the new begin, durably ─▶ each segment below is removed, durably
 *
 * A crash in between leaves segments below the begin that `ident` says: store_open removes them. */
#include "common/log.h"
#include "logsvc/store_impl.h"

#include <string.h>

/* Whether the log may begin with segment i: what was there in front of it is known from its header,
 * and a unit ends there. */
static bool store_may_begin_with(const struct store_segment *g)
{
    return !g->bad && !g->missing && g->header.unit_off == g->header.begin;
}

int store_remove_segment(struct store *s, uint64_t begin)
{
    char path[DISK_PATH_BYTES];

    int rc = store_segment_path(s, begin, path);
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->unlink(store_disk(s), path);
        rc = rc == ERR_NOT_FOUND ? ERR_OK : rc;
    }
    if (rc == ERR_OK) {
        rc = store_disk(s)->ops->sync_folder(store_disk(s), s->folder);
    }
    return rc;
}

/* The first `count` segments leave the list. */
static void store_forget_first(struct store *s, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        segment_index_release(&s->segments[i].index);
    }
    s->segment_count -= count;
    memmove(s->segments, s->segments + count, s->segment_count * sizeof *s->segments);
}

int store_trim(struct storage *base, uint64_t offset, uint64_t *begin)
{
    struct store *s = (struct store *)base;
    size_t first = 0;

    if (s->errored) {
        return ERR_IO;
    }
    if (s->segment_count == 0) {
        return ERR_STATE;
    }
    *begin = s->segments[0].header.begin;
    for (size_t i = 1; i < s->segment_count; i++) {
        const struct store_segment *g = &s->segments[i];
        bool below = g->header.begin <= offset && g->header.begin < s->flush_off;
        first = below && store_may_begin_with(g) ? i : first;
    }
    if (first == 0) {
        return ERR_OK;
    }
    const struct segment_header *h = &s->segments[first].header;
    struct store_begin now = {
        .offset = h->begin, .epoch = h->epoch, .chain_crc = h->chain_crc, .chain_known = true};
    int rc = store_set_begun(s, &now);
    if (rc != ERR_OK) {
        return rc == ERR_NO_SPACE ? rc : store_fail(s, rc);
    }
    store_check_stop(s);
    if (s->pack.begin < s->segments[first].header.begin) {
        store_pack_drop(s);
    }
    for (size_t i = 0; i < first && rc == ERR_OK; i++) {
        rc = store_remove_segment(s, s->segments[i].header.begin);
    }
    if (rc != ERR_OK) {
        return store_fail(s, rc);
    }
    store_forget_first(s, first);
    *begin = s->segments[0].header.begin;
    store_holes_update(s);
    return ERR_OK;
}

/* Whether segment i is where `ident` says that the log begins. */
static bool store_is_told_begin(const struct store *s, size_t i)
{
    const struct store_segment *g = &s->segments[i];

    return s->begun && !s->ident_bad && !g->bad && g->header.begin == s->told.offset &&
           g->header.epoch == s->told.epoch;
}

int store_finish_trim(struct store *s)
{
    size_t first = 0;

    while (first < s->segment_count && !store_is_told_begin(s, first)) {
        first++;
    }
    if (first == s->segment_count) {
        return ERR_OK; /* in doubt nothing is removed */
    }
    for (size_t i = 0; i < first; i++) {
        int rc = store_remove_segment(s, s->segments[i].header.begin);
        if (rc != ERR_OK) {
            return rc;
        }
    }
    store_forget_first(s, first);
    return ERR_OK;
}
