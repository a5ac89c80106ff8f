#include "proxy/clients/transaction_local.h"

#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/session_impl.h"
#include "proxy/clients/transaction.h"
#include "proxy/clients/transaction_session.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* One noted request; its bytes (RESP) stand behind it. */
struct local {
    uint32_t index, len;
    size_t behind_bytes;
    bool here;       /* Redis got a PING */
    bool subscribes; /* or ends that */
};

/* The note of EXEC's request: it is freed as one piece. */
struct exec_note {
    char error[REQUEST_ERROR_BYTES]; /* first: request_note_error */
    struct router *router;
    enum route route;
    size_t len;
    uint8_t locals[];
};

static bool local_subscribes(const struct resp_arg *name)
{
    static const char end[] = "subscribe";
    size_t len = sizeof end - 1;

    return name->len >= len &&
           strncasecmp((const char *)name->bytes + name->len - len, end, len) == 0;
}

void transaction_put_local(struct buf *locals, size_t behind_bytes, uint32_t index,
                           const struct resp_arg *argv, size_t argc)
{
    struct buf bytes = BUF_INIT;

    resp_put_request(&bytes, argv, argc);
    struct local local = {.index = index,
                          .len = (uint32_t)bytes.len,
                          .behind_bytes = behind_bytes,
                          .subscribes = local_subscribes(&argv[0])};
    buf_append(locals, &local, sizeof local);
    buf_append(locals, buf_head(&bytes), bytes.len);
    buf_release(&bytes);
}

/* A noted request again; release it. The words lie in the framer and the bytes. */
struct local_words {
    struct resp_framer *framer;
    struct resp_request request;
    const struct command *command; /* NULL: Redis has been asked for its commands since */
};

static void local_parse(const struct router *router, const uint8_t *bytes, size_t size,
                        struct local_words *w)
{
    struct resp_limits limits = RESP_LIMITS_REDIS;
    struct buf text = BUF_INIT;
    size_t wanted = 0;
    char error[128];

    *w = (struct local_words){.framer = resp_framer_create()};
    limits.authenticated = true;
    limits.bulk_max_bytes = size;
    if (resp_request_next(w->framer, &limits, bytes, size, &w->request, &wanted, error) != ERR_OK) {
        return;
    }
    if (resp_arg_is(&w->request.argv[0], "waitaof")) {
        w->command = session_waitaof();
    } else if (command_check(router->table, w->request.argv, w->request.argc, &w->command, &text) !=
               ERR_OK) {
        w->command = NULL;
    }
    buf_release(&text);
}

static void local_words_release(struct local_words *w)
{
    resp_framer_destroy(w->framer);
}

/* ---- EXEC ---- */

bool transaction_compose(struct router *router, struct client *c, enum route route,
                         struct buf *locals, const struct buf *commands, struct buf *whole)
{
    uint8_t *noted = buf_head(locals);
    size_t done = 0;
    bool ready = true;

    for (size_t at = 0; at < locals->len && ready;) {
        struct local local;
        struct local_words w;
        memcpy(&local, noted + at, sizeof local);
        buf_append(whole, buf_head(commands) + done, local.behind_bytes - done);
        done = local.behind_bytes;
        local_parse(router, noted + at + sizeof local, local.len, &w);
        if (w.command == NULL) {
            local.here = true;
            buf_append_str(whole, "*1\r\n$4\r\nPING\r\n");
        } else {
            ready = transaction_session_put(router, c, route, w.command, w.request.argv,
                                            w.request.argc, whole, &local.here);
        }
        local_words_release(&w);
        memcpy(noted + at, &local, sizeof local);
        at += sizeof local + local.len;
    }
    buf_append(whole, buf_head(commands) + done, commands->len - done);
    return ready;
}

/* ---- EXEC's reply ---- */

/* Redis' words for PUBSUB CHANNELS with too many of them (pubsubCommand in pubsub.c). */
static void local_wrong_arguments(struct client *c, const struct resp_arg *sub)
{
    char text[192];

    (void)snprintf(text, sizeof text,
                   "ERR unknown subcommand or wrong number of arguments for '%.*s'. "
                   "Try PUBSUB HELP.",
                   (int)(sub->len < 100 ? sub->len : 100), (const char *)sub->bytes);
    client_answer_error(c, text);
}

/* What Redis does not do inside MULTI; those that it does are carried out. */
static void local_do(struct router *router, struct client *c, const struct command *command,
                     const struct resp_arg *argv, size_t argc)
{
    if (strcmp(command->name, "monitor") == 0) {
        client_answer_error(c, "ERR MONITOR isn't allowed for DENY BLOCKING client");
    } else if (strcmp(command->name, "ssubscribe") == 0) {
        client_answer_error(c, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
    } else if (strcmp(command->name, "role") == 0) {
        router_role(router, c);
    } else if (strncmp(command->name, "pubsub|", 7) == 0) {
        if (!pubsub_ask(router, c, command->name + 7, argv, argc)) {
            local_wrong_arguments(c, &argv[1]);
        }
    } else if (strcmp(command->name, "config|set") == 0) {
        session_config_here(router, c, argv, argc);
    } else if ((command->flags & COMMAND_FLAG_PUBSUB) != 0) {
        pubsub_do(router, c, command, argv, argc);
    } else {
        (void)session_handle(router, c, command, argv, argc);
    }
}

/* As CLIENT REPLY has it: from there on the array goes without its elements, whatever its head said
 * (replyOnCommand in networking.c; a reader that was told so knows). */
static bool local_silences(const struct local_words *w, bool silent, bool *skips)
{
    *skips = false;
    if (w->command == NULL || strcmp(w->command->name, "client|reply") != 0) {
        return silent;
    }
    *skips = resp_arg_is(&w->request.argv[2], "skip");
    return *skips ? silent
                  : resp_arg_is(&w->request.argv[2], "off") ||
                        (silent && !resp_arg_is(&w->request.argv[2], "on"));
}

/* Appends its answer to out, unless the client wants none. reply: Redis' answer to what it got. */
static void local_run(const struct exec_note *note, struct request *exec, const struct local *local,
                      const uint8_t *bytes, const uint8_t *reply, size_t len, bool *silent,
                      struct buf *out)
{
    struct router *router = note->router;
    struct clients *all = exec->client->all;
    struct local_words w;
    struct buf answer = BUF_INIT;
    bool skips;

    local_parse(router, bytes, local->len, &w);
    all->capture = &answer;
    all->capture_for = exec;
    if (w.command == NULL) {
        client_answer_error(exec->client, "ERR this was not carried out");
    } else if (local->here) {
        local_do(router, exec->client, w.command, w.request.argv, w.request.argc);
    } else {
        transaction_session_answered(router, exec->client, note->route, w.command, w.request.argv,
                                     w.request.argc, reply, len);
    }
    all->capture = NULL;
    all->capture_for = NULL;
    *silent = local_silences(&w, *silent, &skips);
    if (answer.len == 0 && !*silent && !skips) {
        resp_put_error(&answer, "ERR this was not carried out");
    }
    if (!*silent) {
        buf_append(out, buf_head(&answer), answer.len);
    }
    buf_release(&answer);
    local_words_release(&w);
}

/* The length of the element at `at` of EXEC's array, which is whole. */
static size_t local_element(const struct buf *reply, size_t at)
{
    size_t end = at;
    bool whole = resp_read_reply(buf_head(reply), reply->len, &end);

    MUST(whole);
    return end - at;
}

/* EXEC's array, whose elements begin at `at`, with the answers in their places. */
static void local_fill_in(const struct exec_note *note, struct request *exec,
                          const struct buf *reply, size_t at, struct buf *out)
{
    const uint8_t *bytes = buf_head(reply);
    size_t next = 0;
    struct local local = {.index = UINT32_MAX};
    bool silent = (exec->flags & REQUEST_SILENT) != 0;

    buf_append(out, bytes, silent ? 0 : at);
    for (uint32_t i = 0; at < reply->len; i++) {
        size_t len = local_element(reply, at);
        if (next < note->len) {
            memcpy(&local, note->locals + next, sizeof local);
        }
        if (next < note->len && local.index == i) {
            local_run(note, exec, &local, note->locals + next + sizeof local, bytes + at, len,
                      &silent, out);
            next += sizeof local + local.len;
        } else if (!silent) {
            buf_append(out, bytes + at, len);
        }
        at += len;
    }
    exec->flags &= ~(uint32_t)(out->len > 0 ? REQUEST_SILENT : 0);
}

/* Redis found a reason against one of the commands (no memory) only when the whole piece came, as
 * it was queued; had it been sent bit by bit, EXEC itself would have been refused for that. */
static void local_refused(const struct exec_note *note, const struct buf *reply, struct buf *out)
{
    static const char previous[] =
        "-EXECABORT Transaction discarded because of previous errors.\r\n";

    char error[REQUEST_ERROR_BYTES];

    if (note->error[0] == '-' && reply->len == sizeof previous - 1 &&
        memcmp(buf_head(reply), previous, reply->len) == 0) {
        (void)snprintf(error, sizeof error, "%.*s", (int)strcspn(note->error + 1, "\r\n"),
                       note->error + 1);
        transaction_put_abort(out, error);
    } else {
        buf_append(out, buf_head(reply), reply->len);
    }
}

static void transaction_amend(struct request *r)
{
    const struct exec_note *note = r->note;
    struct buf reply = BUF_INIT, out = BUF_INIT;
    struct client *c = r->client;
    size_t at = 0, count;

    if (request_reply_type(r) != '-' && note->len == 0) {
        return; /* most of them */
    }
    request_move_reply(r, &reply);
    if (resp_read_number(buf_head(&reply), reply.len, &at, '*', &count)) { /* it was executed */
        c->all->capture_length = (int)count;
        if (c->link != NULL) { /* not given back before the last of them */
            private_keep(c->link, PRIVATE_EXEC);
        }
        local_fill_in(note, r, &reply, at, &out);
        if (c->link != NULL) {
            if (c->lane == CLIENT_LANE_PRIVATE) {
                private_set_db(c->link, c->db);
            }
            private_unkeep(c->link, PRIVATE_EXEC);
        }
    } else {
        local_refused(note, &reply, &out);
    }
    request_take_reply(r, &out);
    buf_release(&reply);
}

/* The client has gone; who logs in as what has changed nevertheless. */
static void transaction_learn(struct request *r)
{
    const struct exec_note *note = r->note;
    struct buf reply = BUF_INIT;
    size_t at = 0, next = 0, count;

    request_move_reply(r, &reply);
    const uint8_t *bytes = buf_head(&reply);
    bool executed = resp_read_number(bytes, reply.len, &at, '*', &count);
    for (uint32_t i = 0; executed && at < reply.len && next < note->len; i++) {
        struct local local;
        struct local_words w;
        memcpy(&local, note->locals + next, sizeof local);
        if (local.index == i) {
            local_parse(note->router, note->locals + next + sizeof local, local.len, &w);
            if (w.command != NULL && !local.here && bytes[at] == '+') {
                transaction_session_learn(note->router, w.command, w.request.argv, w.request.argc);
            }
            local_words_release(&w);
            next += sizeof local + local.len;
        }
        at += local_element(&reply, at);
    }
    buf_release(&reply);
}

void transaction_attach(struct router *router, struct request *r, enum route route,
                        const struct buf *locals, bool teaches)
{
    struct exec_note *note = mem_calloc(1, sizeof *note + locals->len);

    note->router = router;
    note->route = route;
    note->len = locals->len;
    r->note = note;
    r->amend = transaction_amend;
    r->learn = teaches && route == ROUTE_ENGINE ? transaction_learn : NULL;
    if (locals->len > 0) {
        memcpy(note->locals, buf_head(locals), locals->len);
    }
    /* Messages do not overtake a SUBSCRIBE among them; but where there is none, they must not wait
     * for this: they may have to be in front of an UNSUBSCRIBE before it. */
    for (size_t at = 0; at < locals->len;) {
        struct local local;
        memcpy(&local, note->locals + at, sizeof local);
        r->flags |= local.subscribes ? REQUEST_ACK : 0u;
        at += sizeof local + local.len;
    }
}
