/* holdfast-ctl import: an exported log becomes a new one, in log nodes that are empty; all of it,
 * or up to a moment. One that was broken off is gone on with. */
#include "proxy/ctl/archive.h"
#include "proxy/ctl/changes.h"
#include "proxy/ctl/ctl_found.h"
#include "proxy/ctl/ctl_place.h"
#include "proxy/ctl/ctl_stop.h"
#include "proxy/follow/lineage.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct import {
    struct archive archive;
    struct ctl_nodes nodes;
    struct ctl_found *found;
    bool has_moment;
    struct moment moment;

    /* While the log is looked through for the moment: the last end of a unit at or before it. An
     * offset may be within a record, which holds several units then. */
    struct changes *units; /* of an offset only */
    int units_err;
    uint64_t wall_ms; /* of the record that is looked at */
    uint64_t end;
    uint64_t end_ms;
    bool end_known;

    struct held held; /* of an earlier attempt */
    uint64_t from;    /* … up to here it is there */
    int status;
};

/* ---- where to end ---- */

static void import_ends_at(struct import *i, uint64_t end, uint64_t wall_ms)
{
    i->end = end;
    i->end_ms = wall_ms;
    i->end_known = true;
}

static void import_says_change(void *ctx, const struct change *c)
{
    (void)ctx;
    (void)c;
}

static void import_says_unit(void *ctx, uint64_t end)
{
    struct import *i = ctx;

    if (end <= i->moment.offset) {
        import_ends_at(i, end, i->wall_ms);
    }
}

/* In the first walk, which checks everything. */
static bool import_says_seen(void *ctx, const struct record *r, const uint8_t *payload)
{
    struct import *i = ctx;

    held_feed(&i->held, payload, r->len_bytes);
    if (i->units != NULL) {
        i->wall_ms = r->wall_ms;
        if (i->units_err == ERR_OK && r->begin < i->moment.offset) {
            i->units_err = changes_feed(i->units, payload, r->len_bytes, r->wall_ms);
        }
    } else if ((!i->has_moment || r->wall_ms <= i->moment.wall_ms) &&
               (r->flags & RECORD_UNIT_END) != 0) {
        import_ends_at(i, record_end(r), r->wall_ms);
    }
    return true;
}

/* Through all of it; false: complained. */
static bool import_look(struct import *i, struct archive_walk *check)
{
    static const struct changes_events events = {.change = import_says_change,
                                                 .unit = import_says_unit};
    bool whole = !i->has_moment || !i->moment.is_offset;

    i->units_err = ERR_OK;
    if (!whole) {
        i->units = changes_create(&events, i);
        changes_start(i->units, i->archive.manifest.snapshot.offset, -1);
    }
    bool good =
        archive_check_snapshot(&i->archive, &check->bar) && archive_walk(&i->archive, check);
    if (!whole) {
        changes_destroy(i->units);
        i->units = NULL;
    }
    if (good && i->units_err != ERR_OK) {
        ctl_complain("what is exported is not what Redis sends: %s", err_text(i->units_err));
        return false;
    }
    return good;
}

/* What was committed by then need not be in it. Its times are those of leaders, but for the end. */
static bool import_is_late(const struct import *i)
{
    const struct manifest *m = &i->archive.manifest;
    uint64_t last_ms = m->count > 0 ? m->files[m->count - 1].last_ms : m->snapshot.wall_ms;

    return i->moment.is_offset ? i->moment.offset > manifest_end(m)
                               : i->moment.wall_ms > m->ended_ms && i->moment.wall_ms > last_ms;
}

static int import_place(struct import *i, const struct ctl *ctl)
{
    const struct manifest *m = &i->archive.manifest;
    struct archive_walk check = {.record = import_says_seen, .ctx = i, .what = "checking"};
    char text[MOMENT_TEXT_BYTES];

    i->has_moment = ctl->at != NULL;
    if (i->has_moment) {
        int rc = ctl_place_parse("at", ctl->at, &i->moment);
        if (rc != CTL_EXIT_DONE) {
            return rc;
        }
    }
    i->end_known = false;
    i->end = m->snapshot.offset;
    i->end_ms = m->snapshot.wall_ms;
    if (!import_look(i, &check)) {
        return CTL_EXIT_FAILED;
    }
    bool early = i->has_moment && !i->end_known &&
                 (i->moment.is_offset ? i->moment.offset < m->snapshot.offset
                                      : i->moment.wall_ms < m->snapshot.wall_ms);
    bool late = i->has_moment && import_is_late(i);
    if (early) {
        ctl_complain("--at is before what is exported: the earliest moment is %s, offset %" PRIu64,
                     moment_print(m->snapshot.wall_ms, text), m->snapshot.offset);
    }
    if (late) {
        ctl_complain("--at is behind what is exported, which ends at offset %" PRIu64
                     ", with what was committed by %s; without --at it is all of it",
                     manifest_end(m), moment_print(m->ended_ms, text));
    }
    return early || late ? CTL_EXIT_FAILED : CTL_EXIT_DONE;
}

/* ---- doing it ---- */

/* Whether what an earlier attempt has left is a beginning of this one. */
static int import_fits(struct import *i)
{
    if (!held_all_known(&i->held)) {
        ctl_complain("an import of other data was broken off here: import those, or remove what "
                     "the log nodes have stored; nothing was changed");
        return CTL_EXIT_FAILED;
    }
    for (unsigned k = 0; k < i->held.count; k++) {
        if (i->held.nodes[k].flushed > i->end) {
            ctl_complain("an import was broken off here, and has come to offset %" PRIu64
                         ", past %" PRIu64 ": nothing was changed",
                         i->held.nodes[k].flushed, i->end);
            return CTL_EXIT_FAILED;
        }
    }
    return CTL_EXIT_DONE;
}

static bool import_says_record(void *ctx, const struct record *r, const uint8_t *payload)
{
    struct import *i = ctx;

    if (r->begin >= i->end) {
        return false;
    }
    if (record_end(r) <= i->from) {
        return true;
    }
    size_t there = i->from > r->begin ? (size_t)(i->from - r->begin) : 0;
    bool cut = record_end(r) > i->end; /* behind a unit within it */
    size_t to = cut ? (size_t)(i->end - r->begin) : r->len_bytes;
    if (to <= there) {
        return true;
    }
    i->status = ctl_found_append(i->found, payload + there, to - there,
                                 cut || (r->flags & RECORD_UNIT_END) != 0, r->wall_ms);
    return i->status == CTL_EXIT_DONE;
}

static int import_log(struct import *i, int fd)
{
    const struct snapshot_info *snapshot = &i->archive.manifest.snapshot;
    struct archive_walk walk = {.record = import_says_record, .ctx = i, .what = "importing"};

    i->status = ctl_found_begin(i->found, snapshot, lineage_engine(snapshot->engine_version),
                                &i->held, &i->from);
    if (i->status != CTL_EXIT_DONE) {
        return i->status;
    }
    if (i->from > snapshot->offset) {
        fprintf(stderr, "an import was broken off here: it goes on at offset %" PRIu64 "\n",
                i->from);
    }
    bool good = archive_walk(&i->archive, &walk);
    if (good && i->status == CTL_EXIT_DONE) {
        i->status = ctl_found_end(i->found, fd);
    }
    i->status = good ? i->status : CTL_EXIT_FAILED;
    if (i->status != CTL_EXIT_DONE) {
        ctl_complain("the log nodes hold a part of it, which is not served: import it again");
    }
    return i->status;
}

static void import_print(const struct import *i, bool json)
{
    const struct snapshot_info *s = &i->archive.manifest.snapshot;
    char time[MOMENT_TEXT_BYTES];
    uint64_t term = ctl_found_term(i->found).n;

    (void)moment_print(i->end_ms, time);
    if (json) {
        printf("{\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"to_time\":\"%s\",\"term\":%" PRIu64
               ",\"snapshot_bytes\":%" PRIu64 ",\"log_bytes\":%" PRIu64 "}\n",
               s->offset, i->end, time, term, s->size_bytes, i->end - s->offset);
        return;
    }
    printf("imported  offset %" PRIu64 ", of %s, in term %" PRIu64 " of a new log\n", i->end, time,
           term);
    printf("from      the snapshot at offset %" PRIu64 " (Redis %s), and %" PRIu64
           " bytes of log\n",
           s->offset, s->engine_version, i->end - s->offset);
}

static int import_found(struct import *i, const struct ctl *ctl)
{
    char name[MANIFEST_NAME_BYTES];
    const struct snapshot_info *snapshot = &i->archive.manifest.snapshot;

    manifest_snapshot_name(snapshot, name);
    int fd = archive_open_file(&i->archive, name, snapshot->size_bytes, true);
    if (fd < 0) {
        return CTL_EXIT_FAILED;
    }
    int rc = CTL_EXIT_UNREACHABLE;
    i->found = ctl_found_open(&i->nodes);
    if (i->found != NULL) {
        rc = import_log(i, fd);
        if (rc == CTL_EXIT_DONE) {
            import_print(i, ctl->json);
        }
        ctl_found_close(i->found);
    }
    (void)close(fd);
    return rc;
}

static int import_try(struct import *i, const struct ctl *ctl)
{
    const struct snapshot_info *snapshot = &i->archive.manifest.snapshot;
    int rc = ctl_nodes_open_all(&i->nodes, ctl);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    bool room = ctl_found_look(&i->nodes, snapshot->offset, snapshot, &i->held);
    ctl_nodes_close(&i->nodes); /* what follows takes its time */
    if (!room) {
        return CTL_EXIT_FAILED;
    }
    rc = import_place(i, ctl);
    if (rc == CTL_EXIT_DONE && (rc = import_fits(i)) == CTL_EXIT_DONE) {
        rc = import_found(i, ctl);
    }
    return rc;
}

int ctl_import(const struct ctl *ctl, int argc, char **argv)
{
    struct import *i = mem_calloc(1, sizeof *i);
    int rc = CTL_EXIT_FAILED;

    (void)argc;
    ctl_stop_catch();
    if (archive_open(&i->archive, ctl, argv[0], false)) {
        rc = CTL_FOUND_CHANGED;
        for (int n = 0; n < CTL_FOUND_ATTEMPTS && rc == CTL_FOUND_CHANGED; n++) {
            rc = import_try(i, ctl);
        }
        if (rc == CTL_FOUND_CHANGED) {
            ctl_complain("somebody else writes into the log nodes; nothing was changed");
            rc = CTL_EXIT_FAILED;
        }
    }
    archive_close(&i->archive);
    free(i);
    return rc;
}
