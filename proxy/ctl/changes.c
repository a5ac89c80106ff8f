#include "proxy/ctl/changes.h"

#include "common/mem.h"

#include <limits.h>
#include <stdlib.h>

/* A log may hold more than a client may send: proto-max-bulk-len can be raised. */
static const struct resp_limits changes_limits = {.inline_max_bytes = 64 << 10,
                                                  .bulk_max_bytes = (size_t)1 << 40,
                                                  .multibulk_max = INT_MAX,
                                                  .authenticated = true};

struct changes {
    struct changes_events events;
    void *ctx;
    struct resp_framer *framer;
    struct buf in;   /* what is not framed yet */
    uint64_t offset; /* of its first byte */
    size_t wanted;   /* bytes that the first command needs at least; 0: not known */
    uint64_t wall_ms;
    long db;
    bool in_transaction;
    uint64_t transaction;

    /* A change of a transaction waits for what comes behind it. */
    bool held;
    struct change waiting;
    struct buf bytes; /* its arguments, one behind the other */
    struct resp_arg *argv;
    size_t argv_cap;
};

struct changes *changes_create(const struct changes_events *events, void *ctx)
{
    struct changes *c = mem_calloc(1, sizeof *c);

    c->events = *events;
    c->ctx = ctx;
    c->framer = resp_framer_create();
    return c;
}

void changes_destroy(struct changes *c)
{
    resp_framer_destroy(c->framer);
    buf_release(&c->in);
    buf_release(&c->bytes);
    free(c->argv);
    free(c);
}

void changes_start(struct changes *c, uint64_t offset, long db)
{
    resp_framer_destroy(c->framer);
    c->framer = resp_framer_create();
    buf_clear(&c->in);
    c->offset = offset;
    c->wanted = 0;
    c->db = db;
    c->in_transaction = c->held = false;
}

long changes_db(const struct changes *c)
{
    return c->db;
}

static void changes_let_go(struct changes *c, bool more)
{
    if (c->held) {
        c->waiting.more = more;
        c->held = false;
        c->events.change(c->ctx, &c->waiting);
    }
}

static void changes_hold(struct changes *c, const struct change *change)
{
    size_t at = 0;

    buf_clear(&c->bytes);
    if (c->argv_cap < change->argc) {
        c->argv_cap = change->argc;
        c->argv = mem_realloc(c->argv, c->argv_cap * sizeof *c->argv);
    }
    for (size_t i = 0; i < change->argc; i++) {
        buf_append(&c->bytes, change->argv[i].bytes, change->argv[i].len);
    }
    for (size_t i = 0; i < change->argc; i++) {
        c->argv[i].len = change->argv[i].len;
        c->argv[i].bytes = c->bytes.len > 0 ? buf_head(&c->bytes) + at : (const uint8_t *)"";
        at += change->argv[i].len;
    }
    c->waiting = *change;
    c->waiting.argv = c->argv;
    c->held = true;
}

static void changes_unit(struct changes *c, uint64_t end)
{
    if (c->events.unit != NULL) {
        c->events.unit(c->ctx, end);
    }
}

/* A command that changes no data by itself. */
static int changes_control(struct changes *c, const struct resp_request *r, uint64_t end)
{
    long long db;

    if (resp_arg_is(&r->argv[0], "multi")) {
        if (c->in_transaction) {
            return ERR_PROTOCOL;
        }
        c->in_transaction = true;
        c->transaction = c->offset;
        return ERR_OK;
    }
    if (resp_arg_is(&r->argv[0], "exec")) {
        if (!c->in_transaction) {
            return ERR_PROTOCOL;
        }
        changes_let_go(c, false);
        c->in_transaction = false;
    } else if (resp_arg_is(&r->argv[0], "select")) {
        if (r->argc != 2 || !resp_arg_integer(&r->argv[1], &db) || db < 0 || db > INT_MAX) {
            return ERR_PROTOCOL;
        }
        c->db = (long)db;
    }
    if (!c->in_transaction) {
        changes_unit(c, end);
    }
    return ERR_OK;
}

static bool changes_is_control(const struct resp_arg *name)
{
    static const char *const names[] = {"multi", "exec", "select", "ping", "replconf"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (resp_arg_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

static int changes_take(struct changes *c, const struct resp_request *r)
{
    uint64_t end = c->offset + r->len_bytes;

    if (changes_is_control(&r->argv[0])) {
        return changes_control(c, r, end);
    }
    struct change change = {.offset = end,
                            .wall_ms = c->wall_ms,
                            .db = c->db,
                            .in_transaction = c->in_transaction,
                            .transaction = c->in_transaction ? c->transaction : 0,
                            .argv = r->argv,
                            .argc = r->argc};
    bool wanted = c->events.wants == NULL || c->events.wants(c->ctx, &change);
    if (wanted && c->in_transaction) {
        changes_let_go(c, true);
        changes_hold(c, &change);
    } else if (wanted) {
        c->events.change(c->ctx, &change);
    }
    if (!c->in_transaction) {
        changes_unit(c, end);
    }
    return ERR_OK;
}

int changes_feed(struct changes *c, const uint8_t *bytes, size_t size, uint64_t wall_ms)
{
    struct resp_request r;
    char text[128];

    c->wall_ms = wall_ms;
    buf_append(&c->in, bytes, size);
    while (c->in.len > 0 && c->in.len >= c->wanted) {
        if (*buf_head(&c->in) != '*') {
            return ERR_PROTOCOL;
        }
        int err = resp_request_next(c->framer, &changes_limits, buf_head(&c->in), c->in.len, &r,
                                    &c->wanted, text);
        if (err == ERR_MORE) {
            break;
        }
        if (err != ERR_OK || r.argc == 0) {
            return ERR_PROTOCOL;
        }
        c->wanted = 0;
        err = changes_take(c, &r);
        if (err != ERR_OK) {
            return err;
        }
        c->offset += r.len_bytes;
        buf_consume(&c->in, r.len_bytes);
    }
    return ERR_OK;
}
