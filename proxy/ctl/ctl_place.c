#include "proxy/ctl/ctl_place.h"

#include "common/clock.h"
#include "proxy/ctl/changes.h"
#include "proxy/ctl/rdb_head.h"
#include "proxy/ctl/seek.h"

#include <inttypes.h>
#include <stdio.h>

int ctl_place_parse(const char *option, const char *text, struct moment *out)
{
    char printed[MOMENT_TEXT_BYTES];
    const char *why;

    if (moment_parse(text, clock_wall_ms(), out, &why) != ERR_OK) {
        ctl_complain("--%s %s: %s", option, text, why);
        return CTL_EXIT_USAGE;
    }
    if (out->local) {
        fprintf(stderr, "--%s %s: taken as local time, %s\n", option, text,
                moment_print(out->wall_ms, printed));
    }
    return CTL_EXIT_DONE;
}

static int place_broken(int err)
{
    ctl_complain("the log can't be read: %s", err_text(err));
    return err == ERR_CLOSED || err == ERR_TIMEOUT ? CTL_EXIT_UNREACHABLE : CTL_EXIT_FAILED;
}

/* Names the earliest moment that the log knows. */
static int place_too_early(struct ctl_nodes *n, const char *option)
{
    char text[MOMENT_TEXT_BYTES] = "";
    struct record first;

    bool known = n->begin < n->commit && ctl_nodes_record(n, n->begin, &first, NULL) == ERR_OK;
    ctl_complain("--%s is before what is kept: the earliest moment is offset %" PRIu64 "%s%s",
                 option, n->begin, known ? ", before " : "",
                 known ? moment_print(first.wall_ms, text) : "");
    return CTL_EXIT_FAILED;
}

/* Nobody knows yet what will be committed by then; a zone that was left out, or a day, is a
 * likelier reason to ask. */
static int place_too_late(const char *option, const struct moment *m, const struct seek *seek)
{
    char wanted[MOMENT_TEXT_BYTES], now[MOMENT_TEXT_BYTES], newest[MOMENT_TEXT_BYTES] = "";
    const struct record *before = seek_before(seek);

    ctl_complain("--%s: %s has not come yet: it is %s here%s%s; without --%s it is the newest that "
                 "is committed",
                 option, moment_print(m->wall_ms, wanted), moment_print(clock_wall_ms(), now),
                 before != NULL ? ", and the last commit is of " : "",
                 before != NULL ? moment_print(before->wall_ms, newest) : "", option);
    return CTL_EXIT_FAILED;
}

static int place_find_offset(struct ctl_nodes *n, const char *option, uint64_t offset,
                             struct ctl_place *out)
{
    if (offset < n->begin) {
        return place_too_early(n, option);
    }
    if (offset > n->commit) {
        ctl_complain("--%s %" PRIu64 ": the log is committed up to %" PRIu64, option, offset,
                     n->commit);
        return CTL_EXIT_FAILED;
    }
    int err = offset > n->begin ? ctl_nodes_record(n, offset - 1, &out->before, NULL) : ERR_OK;
    out->before_known = offset > n->begin;
    if (err == ERR_OK && offset < n->commit) {
        err = ctl_nodes_record(n, offset, &out->behind, NULL);
        out->behind_known = true;
    }
    return err == ERR_OK ? CTL_EXIT_DONE : place_broken(err);
}

/* Where the log was begun: nothing of it was ever before that. */
static bool place_is_birth(const struct ctl_nodes *n)
{
    return n->history.count > 0 && n->history.entries[0].begin == n->begin;
}

static int place_seek(struct ctl_nodes *n, uint64_t wall_ms, struct seek *seek)
{
    struct record r;
    uint64_t wanted;
    int err = ERR_OK;

    seek_start(seek, n->begin, n->commit, wall_ms);
    while (err == ERR_OK && seek_wants(seek, &wanted)) {
        err = ctl_nodes_record(n, wanted, &r, NULL);
        err = err == ERR_OK ? seek_take(seek, &r) : err;
    }
    return err;
}

/* What is looked for is there, but what was looked at on the way may be forgotten meanwhile: then
 * the log begins later, and it is looked for anew. */
static int place_find_time(struct ctl_nodes *n, uint64_t wall_ms, struct seek *seek)
{
    uint64_t begin;
    int err;

    do {
        begin = n->begin;
        err = place_seek(n, wall_ms, seek);
    } while (err == ERR_NOT_FOUND && ctl_nodes_refresh(n) == ERR_OK && n->begin > begin);
    return err;
}

int ctl_place_find(struct ctl_nodes *n, const char *option, const struct moment *m,
                   struct ctl_place *out)
{
    struct seek seek;

    *out = (struct ctl_place){.offset = m->offset};
    if (n->empty) {
        ctl_complain("the log is empty: nobody has led yet");
        return CTL_EXIT_FAILED;
    }
    if (m->is_offset) {
        return place_find_offset(n, option, m->offset, out);
    }
    int err = place_find_time(n, m->wall_ms, &seek);
    if (err != ERR_OK) {
        return place_broken(err);
    }
    out->offset = seek_offset(&seek);
    if (out->offset == n->begin && !place_is_birth(n) && n->begin < n->commit) {
        return place_too_early(n, option);
    }
    if (out->offset == n->commit && m->wall_ms > clock_wall_ms()) {
        return place_too_late(option, m, &seek);
    }
    out->before_known = seek_before(&seek) != NULL;
    out->before = out->before_known ? *seek_before(&seek) : (struct record){0};
    out->behind_known = seek_behind(&seek) != NULL;
    out->behind = out->behind_known ? *seek_behind(&seek) : (struct record){0};
    return CTL_EXIT_DONE;
}

void ctl_place_print(const struct ctl_place *p, char *out, size_t size)
{
    char before[MOMENT_TEXT_BYTES], behind[MOMENT_TEXT_BYTES];
    int n = snprintf(out, size, "offset %" PRIu64, p->offset);

    if (p->before_known) {
        n += snprintf(out + n, size - (size_t)n, ", of %s, in term %" PRIu64,
                      moment_print(p->before.wall_ms, before), p->before.term.n);
    } else {
        n += snprintf(out + n, size - (size_t)n, ", where the log begins");
    }
    if (p->behind_known) {
        (void)snprintf(out + n, size - (size_t)n, " (the next is of %s)",
                       moment_print(p->behind.wall_ms, behind));
    } else {
        (void)snprintf(out + n, size - (size_t)n, " (the newest that is committed)");
    }
}

int ctl_place_align(struct ctl_nodes *n, uint64_t offset, uint64_t *out)
{
    struct record r;

    *out = offset;
    if (offset >= n->commit) {
        return ERR_OK;
    }
    int err = ctl_nodes_record(n, offset, &r, NULL);
    while (err == ERR_OK && r.begin > n->begin) {
        *out = r.begin;
        err = ctl_nodes_record(n, r.begin - 1, &r, NULL);
        if (err == ERR_OK && (r.flags & RECORD_UNIT_END) != 0) {
            return ERR_OK;
        }
    }
    if (err == ERR_OK) {
        *out = r.begin;
    }
    return err;
}

/* ---- reading a stretch of the stream ---- */

struct place_scan {
    struct changes *changes;
    uint64_t unit; /* the last end of one */
    int err;
};

static void place_says_change(void *ctx, const struct change *c)
{
    (void)ctx;
    (void)c;
}

static void place_says_unit(void *ctx, uint64_t offset)
{
    ((struct place_scan *)ctx)->unit = offset;
}

static bool place_says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct place_scan *scan = ctx;

    (void)offset;
    scan->err = changes_feed(scan->changes, bytes, size, 0);
    return scan->err == ERR_OK;
}

/* What the stream from `from` (where its database is db) to `to` selects last. */
static long place_scan_db(struct ctl_nodes *n, uint64_t from, uint64_t to, long db)
{
    static const struct changes_events events = {.change = place_says_change};
    struct place_scan scan = {.changes = changes_create(&events, NULL)};
    struct ctl_reading reading = {.from = from, .to = to, .data = place_says_data, .ctx = &scan};

    changes_start(scan.changes, from, db);
    int err = from < to ? ctl_nodes_read(n, &reading) : ERR_OK;
    long found = err == ERR_OK && scan.err == ERR_OK ? changes_db(scan.changes) : -1;
    changes_destroy(scan.changes);
    return found;
}

int ctl_place_unit(struct ctl_nodes *n, uint64_t offset, uint64_t *out)
{
    static const struct changes_events events = {.change = place_says_change,
                                                 .unit = place_says_unit};
    struct place_scan scan = {.changes = NULL};
    struct ctl_reading reading = {.to = offset, .data = place_says_data, .ctx = &scan};

    int err = ctl_place_align(n, offset, &reading.from);
    if (err == ERR_OK && reading.from < offset) {
        scan.changes = changes_create(&events, &scan);
        changes_start(scan.changes, reading.from, -1);
        err = ctl_nodes_read(n, &reading);
        changes_destroy(scan.changes);
    }
    *out = scan.unit > reading.from ? scan.unit : reading.from;
    return err == ERR_OK && (err = scan.err) == ERR_OK ? CTL_EXIT_DONE : place_broken(err);
}

long ctl_place_db(struct ctl_nodes *n, uint64_t offset)
{
    struct snapshot_info info;
    struct rdb_head head;
    const uint8_t *bytes;
    size_t size;
    unsigned node;

    if (ctl_nodes_snapshot(n, offset, &info, &node) == ERR_OK && info.offset >= n->begin &&
        ctl_nodes_snapshot_read(n, node, &info, 0, &bytes, &size) == ERR_OK &&
        rdb_head_parse(bytes, size, &head) == ERR_OK && head.stream_db >= 0) {
        return place_scan_db(n, info.offset, offset, head.stream_db);
    }
    return place_scan_db(n, n->begin, offset, -1);
}
