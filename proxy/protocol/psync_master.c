/* The master's end of psync.h. */
#include "proxy/protocol/psync.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct resp_limits master_limits = {.inline_max_bytes = PSYNC_REQUEST_MAX_BYTES,
                                                 .bulk_max_bytes = PSYNC_REQUEST_MAX_BYTES,
                                                 .multibulk_max = 16,
                                                 .authenticated = false};

void psync_master_init(struct psync_master *m, const char *secret)
{
    *m = (struct psync_master){.secret = secret, .framer = resp_framer_create()};
    m->authenticated = secret == NULL || secret[0] == '\0';
}

void psync_master_fini(struct psync_master *m)
{
    resp_framer_destroy(m->framer);
    buf_release(&m->in);
    m->framer = NULL;
}

void psync_master_put(struct psync_master *m, const uint8_t *bytes, size_t size)
{
    buf_append(&m->in, bytes, size);
}

/* error: the whole line for the replica; NULL: nothing is sent. */
static void end_master(struct psync_master *m, struct buf *out, struct psync_master_event *event,
                       const char *error, const char *reason)
{
    if (error != NULL) {
        resp_put_error(out, error);
    }
    m->ended = true;
    snprintf(m->reason, sizeof m->reason, "%s", reason);
    event->kind = PSYNC_MASTER_ENDED;
    event->reason = m->reason;
}

/* Takes as long for a right secret as for a wrong one of the same length. */
static bool secret_equal(const char *secret, const struct resp_arg *given)
{
    size_t len = strlen(secret);
    unsigned differs = len != given->len;

    for (size_t i = 0; i < given->len; i++) {
        differs |= (unsigned)(uint8_t)secret[i % len] ^ given->bytes[i];
    }
    return differs == 0;
}

static void take_auth(struct psync_master *m, const struct resp_request *r, struct buf *out,
                      struct psync_master_event *event)
{
    bool none_needed = m->secret == NULL || m->secret[0] == '\0';

    if (none_needed ||
        (r->argc >= 2 && r->argc <= 3 && secret_equal(m->secret, &r->argv[r->argc - 1]))) {
        m->authenticated = true;
        resp_put_simple(out, "OK");
        return;
    }
    end_master(m, out, event, "WRONGPASS invalid username-password pair or user is disabled.",
               "wrong secret");
}

static void take_ack(struct psync_master *m, const struct resp_arg *arg,
                     struct psync_master_event *event)
{
    if (m->asked && psync_parse_number((const char *)arg->bytes, arg->len, &event->offset)) {
        event->kind = PSYNC_MASTER_ACKED;
    } /* Redis, too, passes over a bad number and an early one in silence: there is no reply. */
}

static void take_replconf(struct psync_master *m, const struct resp_request *r, struct buf *out,
                          struct psync_master_event *event)
{
    if (r->argc >= 3 && resp_arg_is(&r->argv[1], "ack")) {
        take_ack(m, &r->argv[2], event);
        return;
    }
    if (m->asked) {
        end_master(m, out, event, NULL, "a REPLCONF other than ACK after PSYNC");
        return;
    }
    for (size_t i = 1; i < r->argc; i += 2) {
        const struct resp_arg *option = &r->argv[i];
        /* A replica of a newer version says more than 7.0 does, and lives with a refusal. */
        if (!resp_arg_is(option, "listening-port") && !resp_arg_is(option, "ip-address") &&
            !resp_arg_is(option, "capa") && !resp_arg_is(option, "version")) {
            resp_put_error(out, "ERR Unrecognized REPLCONF option");
            return;
        }
    }
    resp_put_simple(out, "OK");
}

static void take_psync(struct psync_master *m, const struct resp_request *r, struct buf *out,
                       struct psync_master_event *event)
{
    uint64_t wanted;

    if (m->asked || r->argc != 3) {
        end_master(m, out, event, "ERR PSYNC is not possible here", "a misplaced PSYNC");
        return;
    }
    m->asked = true;
    event->kind = PSYNC_MASTER_ASKED;
    if (psync_parse_replid((const char *)r->argv[1].bytes, r->argv[1].len, &event->replid) &&
        psync_parse_number((const char *)r->argv[2].bytes, r->argv[2].len, &wanted) && wanted > 0) {
        event->has_replid = true;
        event->offset = wanted - 1;
    }
}

static void take_request(struct psync_master *m, const struct resp_request *r, struct buf *out,
                         struct psync_master_event *event)
{
    const struct resp_arg *name = &r->argv[0];

    if (resp_arg_is(name, "auth") && !m->asked) {
        take_auth(m, r, out, event);
    } else if (resp_arg_is(name, "ping") && !m->asked) {
        if (m->authenticated) {
            resp_put_simple(out, "PONG");
        } else {
            resp_put_error(out, "NOAUTH Authentication required.");
        }
    } else if (!m->authenticated) {
        end_master(m, out, event, "NOAUTH Authentication required.",
                   "no AUTH came first (a replica needs the secret as masterauth)");
    } else if (resp_arg_is(name, "replconf")) {
        take_replconf(m, r, out, event);
    } else if (resp_arg_is(name, "psync")) {
        take_psync(m, r, out, event);
    } else {
        end_master(m, out, event, m->asked ? NULL : "ERR only replicas are served here",
                   "not what a replica says");
    }
}

void psync_master_next(struct psync_master *m, struct buf *out, struct psync_master_event *event)
{
    struct resp_request r;
    size_t wanted;
    char error[128], line[160];

    *event = (struct psync_master_event){.kind = PSYNC_MASTER_MORE};
    if (m->ended) {
        event->kind = PSYNC_MASTER_ENDED;
        event->reason = m->reason;
    }
    while (event->kind == PSYNC_MASTER_MORE) {
        if (m->in.len == 0) {
            buf_trim(&m->in, 0);
            return;
        }
        int rv = resp_request_next(m->framer, &master_limits, buf_head(&m->in), m->in.len, &r,
                                   &wanted, error);
        if (rv == ERR_MORE && m->in.len <= PSYNC_REQUEST_MAX_BYTES) {
            return;
        }
        if (rv != ERR_OK) {
            snprintf(line, sizeof line, "ERR %s", rv == ERR_MORE ? "request too long" : error);
            end_master(m, out, event, m->asked ? NULL : line, line + 4);
            return;
        }
        if (r.argc > 0) { /* an empty line: a replica that loads says that it lives */
            take_request(m, &r, out, event);
        }
        buf_consume(&m->in, r.len_bytes);
    }
}

void psync_master_put_full_resync(struct buf *out, const struct replid *replid, uint64_t offset)
{
    buf_printf(out, "+FULLRESYNC %.40s %" PRIu64 "\r\n", replid->hex, offset);
}

void psync_master_put_rdb_head(struct buf *out, uint64_t size_bytes)
{
    buf_printf(out, "$%" PRIu64 "\r\n", size_bytes);
}

void psync_master_put_continue(struct buf *out, const struct replid *replid)
{
    buf_printf(out, "+CONTINUE %.40s\r\n", replid->hex);
}
