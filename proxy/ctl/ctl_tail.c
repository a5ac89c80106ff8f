/* holdfast-ctl tail: what is committed, one effect a line, as it is committed. Resumable by offset:
 * each line tells the one from which to go on. What is not committed is never asked for. */
#include "proxy/ctl/ctl_place.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/ctl/change_text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TAIL_POLL_MS = 50,
    TAIL_LATE_MS =
        1000, /* what was appended at a time is committed so much later at most, mostly */
    TAIL_FLUSH_BYTES = 64 << 10,
};

struct tail {
    struct ctl_nodes nodes;
    struct changes *changes;
    struct command_table *commands; /* with --keys */
    const char *glob;               /* NULL: everything */
    bool json;
    struct moment from_moment, until_moment; /* as given */
    uint64_t from;                           /* changes that end behind it are shown … */
    uint64_t until;                          /* … up to here */
    uint64_t until_wall_ms;                  /* and up to then; 0: for ever */
    uint64_t wall_ms;                        /* of the record that is being read */
    bool passed;                             /* the unit that holds `until` has ended */
    uint64_t mark_ms;                        /* so often it is told how far it is; 0: never */
    uint64_t told, told_ns;                  /* how far it is, as far as was told, and when */
    struct buf out, keys;
    int err; /* 0, or why there is nothing more */
    bool broken_pipe;
};

static void tail_flush(struct tail *t)
{
    if (t->out.len > 0 &&
        (fwrite(buf_head(&t->out), 1, t->out.len, stdout) != t->out.len || fflush(stdout) != 0)) {
        ctl_complain("standard output: %s", strerror(errno));
        t->broken_pipe = true;
    }
    buf_clear(&t->out);
}

static void tail_told(struct tail *t, uint64_t offset)
{
    t->told = offset;
    t->told_ns = clock_now_ns();
}

static bool tail_wants_change(void *ctx, const struct change *c)
{
    struct tail *t = ctx;

    return c->offset > t->from && c->offset <= t->until &&
           (t->until_wall_ms == 0 || c->wall_ms <= t->until_wall_ms) &&
           (t->glob == NULL || change_text_matches(c, t->commands, t->glob, &t->keys));
}

static void tail_says_change(void *ctx, const struct change *c)
{
    struct tail *t = ctx;

    tail_told(t, c->offset);
    if (t->json) {
        change_text_json(c, &t->out);
    } else {
        change_text_plain(c, &t->out);
    }
    if (t->out.len > TAIL_FLUSH_BYTES) {
        tail_flush(t);
    }
}

/* Who is shown little hears how far it is, and need not begin anew where the log may be forgotten
 * by then. */
static void tail_mark(struct tail *t, uint64_t at)
{
    if (t->mark_ms == 0 || at <= t->told || at > t->until ||
        clock_now_ns() - t->told_ns < t->mark_ms * CLOCK_NS_PER_MS) {
        return;
    }
    tail_told(t, at);
    change_text_mark(at, t->wall_ms, t->json, &t->out);
    tail_flush(t);
}

/* What `until` cuts off of a transaction is read, too: the last change of it that is shown is known
 * by what follows. */
static void tail_says_unit(void *ctx, uint64_t end)
{
    struct tail *t = ctx;

    t->passed = end >= t->until;
    tail_mark(t, end);
}

static void tail_says_record(void *ctx, const struct record *r)
{
    ((struct tail *)ctx)->wall_ms = r->wall_ms;
}

static bool tail_says_data(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct tail *t = ctx;

    (void)offset;
    t->err = changes_feed(t->changes, bytes, size, t->wall_ms);
    tail_flush(t);
    return t->err == ERR_OK && !t->broken_pipe && !t->passed;
}

static const struct changes_events tail_events = {
    .change = tail_says_change, .wants = tail_wants_change, .unit = tail_says_unit};

/* What the options say, before anybody is asked. */
static int tail_parse(struct tail *t, const struct ctl *ctl, long *db)
{
    int rc = CTL_EXIT_DONE;
    char *end = NULL;

    if (ctl->from != NULL) {
        rc = ctl_place_parse("from", ctl->from, &t->from_moment);
    }
    if (rc == CTL_EXIT_DONE && ctl->until != NULL) {
        rc = ctl_place_parse("until", ctl->until, &t->until_moment);
    }
    if (rc != CTL_EXIT_DONE || ctl->db == NULL) {
        return rc;
    }
    *db = strtol(ctl->db, &end, 10);
    if (end == ctl->db || *end != '\0' || *db < 0 || *db > INT_MAX) {
        ctl_complain("--db: not a database: %s", ctl->db);
        return CTL_EXIT_USAGE;
    }
    if (ctl->from == NULL || !t->from_moment.is_offset) {
        ctl_complain("--db says which database the stream is in at --from OFFSET, and goes with "
                     "that only; what is shown has its own");
        return CTL_EXIT_USAGE;
    }
    return CTL_EXIT_DONE;
}

/* Where to begin, and to end. A resumed offset may be ahead of what the nodes know to be committed,
 * if they were started anew: it is waited for. */
static int tail_place(struct tail *t, const struct ctl *ctl)
{
    struct moment newest = {.is_offset = true, .offset = t->nodes.commit};
    struct moment from = ctl->from != NULL ? t->from_moment : newest;
    struct ctl_place place;
    char text[200];
    int rc = CTL_EXIT_DONE;

    if (from.is_offset && from.offset > t->nodes.commit && !t->nodes.empty) {
        fprintf(stderr,
                "--from %" PRIu64 ": the log is committed up to %" PRIu64 "; waiting for it\n",
                from.offset, t->nodes.commit);
        t->from = from.offset;
    } else {
        rc = ctl_place_find(&t->nodes, "from", &from, &place);
        t->from = place.offset;
        if (rc == CTL_EXIT_DONE && (!from.is_offset || ctl->from == NULL)) {
            ctl_place_print(&place, text, sizeof text);
            fprintf(stderr, "from %s\n", text);
        }
    }
    if (rc == CTL_EXIT_DONE && ctl->until != NULL) {
        t->until = t->until_moment.is_offset ? t->until_moment.offset : UINT64_MAX;
        t->until_wall_ms = t->until_moment.is_offset ? 0 : t->until_moment.wall_ms;
    }
    return rc;
}

/* An end that is a time becomes an offset when that time is over. Whether it ends now. */
static bool tail_is_over(struct tail *t, uint64_t read_to)
{
    if (t->until_wall_ms != 0 && t->until == UINT64_MAX &&
        clock_wall_ms() > t->until_wall_ms + TAIL_LATE_MS &&
        ctl_nodes_refresh(&t->nodes) == ERR_OK) {
        t->until = t->nodes.commit; /* what is later does not go out, by its wall time */
    }
    return read_to >= t->until;
}

/* A pipe's reader that has gone is seen also while there is nothing to write. */
static bool tail_reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLNVAL)) != 0;
}

static int tail_read(struct tail *t, uint64_t from, uint64_t to)
{
    struct ctl_reading reading = {
        .from = from, .to = to, .record = tail_says_record, .data = tail_says_data, .ctx = t};
    int err = ctl_nodes_read(&t->nodes, &reading);

    tail_flush(t);
    if (t->broken_pipe) {
        return CTL_EXIT_FAILED;
    }
    if (err == ERR_OK && t->err == ERR_OK) {
        return CTL_EXIT_DONE;
    }
    if (err == ERR_NOT_FOUND) {
        bool known = ctl_nodes_refresh(&t->nodes) == ERR_OK;
        ctl_complain("the log begins at offset %" PRIu64 " now: what came between is in its "
                     "snapshot only",
                     known ? t->nodes.begin : to);
    } else {
        ctl_complain("the log can't be read on: %s", err_text(err != ERR_OK ? err : t->err));
    }
    return CTL_EXIT_FAILED;
}

static int tail_run(struct tail *t, const struct ctl *ctl, long db)
{
    uint64_t at;
    bool silent = false;

    int err = ctl_place_align(&t->nodes, t->from, &at);
    if (err != ERR_OK) {
        ctl_complain("the log can't be read: %s", err_text(err));
        return CTL_EXIT_FAILED;
    }
    if (ctl->db == NULL) {
        db = ctl_place_db(&t->nodes, at < t->nodes.commit ? at : t->nodes.commit);
    }
    changes_start(t->changes, at, db);
    tail_told(t, at > t->from ? at : t->from);
    for (;;) {
        uint64_t to = t->nodes.commit;
        if (at < to && at < t->until) {
            int rc = tail_read(t, at, to);
            if (rc != CTL_EXIT_DONE) {
                return rc;
            }
            at = to;
        }
        tail_mark(t, at);
        if (tail_is_over(t, at)) {
            return CTL_EXIT_DONE;
        }
        if (tail_reader_gone()) {
            return CTL_EXIT_FAILED;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = TAIL_POLL_MS * 1000000L}, NULL);
        bool answers = ctl_nodes_refresh(&t->nodes) == ERR_OK;
        if (!answers && !silent) {
            fprintf(stderr, "no log node answers; waiting\n");
        }
        silent = !answers;
    }
}

static int tail_commands(struct tail *t, const struct ctl *ctl)
{
    struct buf reply = BUF_INIT;
    int rc = ctl_nodes_commands(ctl, &reply);

    if (rc == CTL_EXIT_DONE &&
        command_table_parse(buf_head(&reply), reply.len, &t->commands) != ERR_OK) {
        ctl_complain("the proxy's answer to COMMAND can't be understood");
        rc = CTL_EXIT_FAILED;
    } else if (rc != CTL_EXIT_DONE) {
        ctl_complain("--keys needs a proxy that tells where keys stand: --proxy HOST:PORT");
    }
    buf_release(&reply);
    return rc;
}

int ctl_tail(const struct ctl *ctl, int argc, char **argv)
{
    struct tail t = {.glob = ctl->keys, .json = ctl->json, .until = UINT64_MAX};
    long db = -1;

    (void)argc;
    (void)argv;
    t.mark_ms = ctl->mark_ms;
    int rc = tail_parse(&t, ctl, &db);
    if (rc != CTL_EXIT_DONE || (rc = ctl_nodes_open(&t.nodes, ctl)) != CTL_EXIT_DONE) {
        return rc;
    }
    t.changes = changes_create(&tail_events, &t);
    if (t.glob != NULL) {
        rc = tail_commands(&t, ctl);
    }
    if (rc == CTL_EXIT_DONE) {
        rc = tail_place(&t, ctl);
    }
    if (rc == CTL_EXIT_DONE) {
        rc = tail_run(&t, ctl, db);
    }
    changes_destroy(t.changes);
    command_table_destroy(t.commands);
    buf_release(&t.out);
    buf_release(&t.keys);
    ctl_nodes_close(&t.nodes);
    return rc;
}
