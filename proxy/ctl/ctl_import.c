/* holdfast-ctl import: an exported log becomes a new one, in log nodes that are empty; all of it,
 * or up to a moment. */
#include "proxy/ctl/archive.h"
#include "proxy/ctl/ctl_found.h"
#include "proxy/ctl/ctl_place.h"
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

    /* While the log is looked through for the moment: the last end of a unit at or before it. */
    uint64_t end;
    uint64_t end_ms;
    bool end_known;

    int status;
};

/* ---- where to end ---- */

static bool import_is_behind(const struct import *i, const struct record *r)
{
    return i->moment.is_offset ? record_end(r) > i->moment.offset : r->wall_ms > i->moment.wall_ms;
}

/* In the first walk, which checks everything. */
static bool import_says_seen(void *ctx, const struct record *r, const uint8_t *payload)
{
    struct import *i = ctx;

    (void)payload;
    if ((!i->has_moment || !import_is_behind(i, r)) && (r->flags & RECORD_UNIT_END) != 0) {
        i->end = record_end(r);
        i->end_ms = r->wall_ms;
        i->end_known = true;
    }
    return true;
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
    i->end = m->snapshot.offset;
    i->end_ms = m->snapshot.wall_ms;
    if (!archive_check_snapshot(&i->archive, &check.bar) || !archive_walk(&i->archive, &check)) {
        return CTL_EXIT_FAILED;
    }
    bool early = i->has_moment && !i->end_known &&
                 (i->moment.is_offset ? i->moment.offset < m->snapshot.offset
                                      : i->moment.wall_ms < m->snapshot.wall_ms);
    bool late = i->has_moment && i->moment.is_offset && i->moment.offset > manifest_end(m);
    if (early) {
        ctl_complain("--at is before what is exported: the earliest moment is %s, offset %" PRIu64,
                     moment_print(m->snapshot.wall_ms, text), m->snapshot.offset);
    }
    if (late) {
        ctl_complain("--at is behind what is exported, which ends at offset %" PRIu64,
                     manifest_end(m));
    }
    return early || late ? CTL_EXIT_FAILED : CTL_EXIT_DONE;
}

/* ---- doing it ---- */

static bool import_nodes_are_empty(const struct ctl_nodes *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (!n->nodes[i].answered) {
            ctl_complain("the log node at %s does not answer: a new log needs all of them",
                         n->nodes[i].address);
            return false;
        }
        if (!n->nodes[i].log.empty) {
            ctl_complain("the log node at %s has a log already; nothing was changed",
                         n->nodes[i].address);
            return false;
        }
    }
    return true;
}

static bool import_says_record(void *ctx, const struct record *r, const uint8_t *payload)
{
    struct import *i = ctx;

    if (r->begin >= i->end) {
        return false;
    }
    i->status = ctl_found_append(i->found, r, payload);
    return i->status == CTL_EXIT_DONE;
}

static int import_log(struct import *i, int fd)
{
    const struct snapshot_info *snapshot = &i->archive.manifest.snapshot;
    struct archive_walk walk = {.record = import_says_record, .ctx = i, .what = "importing"};

    i->status = ctl_found_begin(i->found, snapshot, fd, lineage_engine(snapshot->engine_version));
    if (i->status != CTL_EXIT_DONE) {
        return i->status;
    }
    bool good = archive_walk(&i->archive, &walk);
    if (good && i->status == CTL_EXIT_DONE) {
        i->status = ctl_found_end(i->found);
    }
    i->status = good ? i->status : CTL_EXIT_FAILED;
    if (i->status != CTL_EXIT_DONE) {
        ctl_complain("the log nodes may hold a part of it: remove what they have stored before "
                     "another attempt, and start no proxy");
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
    char path[ARCHIVE_PATH_BYTES], name[MANIFEST_NAME_BYTES];

    manifest_snapshot_name(&i->archive.manifest.snapshot, name);
    archive_path(&i->archive, name, false, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ctl_complain("%s: %s", path, strerror(errno));
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

int ctl_import(const struct ctl *ctl, int argc, char **argv)
{
    struct import *i = mem_calloc(1, sizeof *i);
    int rc = CTL_EXIT_FAILED;

    (void)argc;
    if (archive_open(&i->archive, argv[0], false) && (rc = import_place(i, ctl)) == 0 &&
        (rc = ctl_nodes_open(&i->nodes, ctl)) == CTL_EXIT_DONE) {
        bool empty = import_nodes_are_empty(&i->nodes);
        rc = empty ? import_found(i, ctl) : CTL_EXIT_FAILED;
        ctl_nodes_close(&i->nodes);
    }
    archive_close(&i->archive);
    free(i);
    return rc;
}
