#include "proxy/clients/transaction_local.h"

#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session.h"

#include <stdio.h>
#include <string.h>

/* One noted request; its bytes (RESP) stand behind it. */
struct local {
    uint32_t index, len;
};

/* The note of EXEC's request: it is freed as one piece. */
struct exec_note {
    char error[REQUEST_ERROR_BYTES]; /* first: request_note_error */
    struct router *router;
    size_t len;
    uint8_t locals[];
};

bool transaction_is_local(const struct command *command)
{
    static const char *const names[] = {
        "client|id",       "client|getname", "client|setname", "client|setinfo", "client|list",
        "client|info",     "client|kill",    "client|pause",   "client|unpause", "client|no-evict",
        "client|getredir", "readonly",       "readwrite",      "subscribe",      "psubscribe",
        "unsubscribe",     "punsubscribe",   "sunsubscribe",   "ssubscribe",     "monitor"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(command->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

void transaction_put_local(struct buf *locals, struct buf *commands, uint32_t index,
                           const struct resp_arg *argv, size_t argc)
{
    struct buf bytes = BUF_INIT;

    resp_put_request(&bytes, argv, argc);
    struct local local = {.index = index, .len = (uint32_t)bytes.len};
    buf_append(locals, &local, sizeof local);
    buf_append(locals, buf_head(&bytes), bytes.len);
    buf_release(&bytes);
    buf_append_str(commands, "*1\r\n$4\r\nPING\r\n");
}

/* ---- EXEC's reply ---- */

/* What Redis does not do inside MULTI; those that it does are carried out. */
static void local_do(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc)
{
    if (strcmp(command->name, "monitor") == 0) {
        client_answer_error(c, "ERR MONITOR isn't allowed for DENY BLOCKING client");
    } else if (strcmp(command->name, "ssubscribe") == 0) {
        client_answer_error(c, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
    } else if ((command->flags & COMMAND_FLAG_PUBSUB) != 0) {
        pubsub_do(router, c, command, argv, argc);
    } else {
        (void)session_handle(router, c, command, argv, argc);
    }
}

/* Appends its answer to out. */
static void local_run(struct router *router, struct request *exec, const uint8_t *bytes,
                      size_t size, struct buf *out)
{
    struct resp_limits limits = RESP_LIMITS_REDIS;
    struct resp_framer *framer = resp_framer_create();
    const struct command *command = NULL;
    struct clients *all = exec->client->all;
    struct resp_request request;
    struct buf text = BUF_INIT;
    size_t wanted = 0, before = out->len;
    char error[128];

    limits.authenticated = true;
    limits.bulk_max_bytes = size;
    int rc = resp_request_next(framer, &limits, bytes, size, &request, &wanted, error);
    if (rc == ERR_OK &&
        command_check(router->table, request.argv, request.argc, &command, &text) == ERR_OK) {
        all->capture = out;
        all->capture_for = exec;
        local_do(router, exec->client, command, request.argv, request.argc);
        all->capture = NULL;
        all->capture_for = NULL;
    }
    if (out->len == before) {
        resp_put_error(out, "ERR this was not carried out");
    }
    buf_release(&text);
    resp_framer_destroy(framer);
}

/* The length of the reply at the head of bytes; they are whole. */
static size_t local_element(const uint8_t *bytes, size_t size)
{
    struct resp_reply_framer framer = {0};
    size_t at = 0;

    for (bool done = false; !done && at < size;) {
        long took = resp_reply_take(&framer, bytes + at, size - at, &done);
        MUST(took > 0);
        at += (size_t)took;
    }
    return at;
}

/* EXEC's array with the answers in their places. */
static void local_fill_in(const struct exec_note *note, struct request *exec,
                          const struct buf *reply, struct buf *out)
{
    const uint8_t *bytes = buf_head(reply);
    size_t at = (size_t)((const uint8_t *)memchr(bytes, '\n', reply->len) + 1 - bytes), next = 0;
    struct local local = {.index = UINT32_MAX};

    buf_append(out, bytes, at);
    for (uint32_t i = 0; at < reply->len; i++) {
        size_t len = local_element(bytes + at, reply->len - at);
        if (next < note->len) {
            memcpy(&local, note->locals + next, sizeof local);
        }
        if (next < note->len && local.index == i) {
            local_run(note->router, exec, note->locals + next + sizeof local, local.len, out);
            next += sizeof local + local.len;
        } else {
            buf_append(out, bytes + at, len);
        }
        at += len;
    }
}

/* Redis found a reason against one of the commands (no memory) only when the whole piece came, as
 * it was queued; had it been sent bit by bit, EXEC itself would have been refused for that. */
static void local_refused(const struct exec_note *note, const struct buf *reply, struct buf *out)
{
    static const char previous[] =
        "-EXECABORT Transaction discarded because of previous errors.\r\n";

    if (note->error[0] == '-' && reply->len == sizeof previous - 1 &&
        memcmp(buf_head(reply), previous, reply->len) == 0) {
        buf_printf(out, "-EXECABORT Transaction discarded because of: %.*s\r\n",
                   (int)strcspn(note->error + 1, "\r\n"), note->error + 1);
    } else {
        buf_append(out, buf_head(reply), reply->len);
    }
}

static void transaction_amend(struct request *r)
{
    const struct exec_note *note = r->note;
    struct buf reply = BUF_INIT, out = BUF_INIT;
    uint8_t type = request_reply_type(r);

    if (type != '-' && note->len == 0) {
        return; /* most of them */
    }
    request_move_reply(r, &reply);
    if (type == '*' && reply.len > 2 && buf_head(&reply)[1] != '-') {
        local_fill_in(note, r, &reply, &out);
    } else {
        local_refused(note, &reply, &out);
    }
    request_set_reply(r, buf_head(&out), out.len);
    buf_release(&reply);
    buf_release(&out);
}

void transaction_attach(struct router *router, struct request *r, const struct buf *locals)
{
    struct exec_note *note = mem_calloc(1, sizeof *note + locals->len);

    note->router = router;
    note->len = locals->len;
    r->note = note;
    r->amend = transaction_amend;
    if (locals->len > 0) {
        memcpy(note->locals, buf_head(locals), locals->len);
        r->flags |= REQUEST_ACK; /* messages do not overtake a SUBSCRIBE among them */
    }
}
