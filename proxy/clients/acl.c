/* Redis is asked by a request of the client itself, while the one it is about is postponed: if
 * Redis agrees, the asking is silent and the request presented again (CLIENT_GATE_GRANTED). What
 * DRYRUN says no to stands in no ACL LOG: so the request is presented again, too, and Redis is
 * made to refuse it on the client's own link (CLIENT_GATE_REFUSED), but what may not be answered
 * soon if it does not (REQUEST_LATE). Any other answer is the client's, and the request passed over
 * (CLIENT_GATE_DENIED). */
#include "proxy/clients/acl.h"

#include "common/mem.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void acl_logout(struct client *c)
{
    free(c->user);
    c->user = NULL;
    if (c->link != NULL) {
        c->watches = c->watches_many = c->tracking = false;
        buf_release(&c->watched);
        private_drop(c->link);
    }
}

/* ---- logging in ---- */

static void acl_wait_in_line(struct client *c)
{
    struct clients *all = c->all;

    if (!c->waits_to_log_in) {
        c->waits_to_log_in = true;
        c->next_login = NULL;
        c->prev_login = all->logins_last;
        *(c->prev_login != NULL ? &c->prev_login->next_login : &all->logins_first) = c;
        all->logins_last = c;
    }
    client_postpone(c);
}

static void acl_leave_line(struct client *c)
{
    struct clients *all = c->all;

    if (c->waits_to_log_in) {
        c->waits_to_log_in = false;
        *(c->prev_login != NULL ? &c->prev_login->next_login : &all->logins_first) = c->next_login;
        *(c->next_login != NULL ? &c->next_login->prev_login : &all->logins_last) = c->prev_login;
    }
}

static void acl_login_begins(struct client *c)
{
    c->logs_in = true;
    c->all->logins++;
}

/* The next one's turn: the place is kept for it until its request is looked at again. */
static void acl_login_ends(struct client *c)
{
    struct clients *all = c->all;
    struct client *next = all->logins_first;

    MUST(c->logs_in && all->logins > 0);
    c->logs_in = false;
    all->logins--;
    if (next != NULL && all->logins < all->limits.logins_max) {
        acl_leave_line(next);
        acl_login_begins(next);
        client_resume(next);
    }
}

void acl_request_done(struct client *c)
{
    if (c->logs_in && c->trial == NULL) {
        acl_login_ends(c); /* it was refused for another reason */
    }
}

void acl_client_gone(struct client *c)
{
    acl_leave_line(c);
    if (c->trial != NULL) {
        private_drop(c->trial);
    }
    if (c->logs_in) {
        acl_login_ends(c);
    }
}

/* Sends AUTH or HELLO on that link; the request that is handed over now waits for the answer. name:
 * "" for the link's own user. */
static void acl_send_login(struct client *c, struct private_link *link,
                           const struct resp_arg *words, size_t count, const struct resp_arg *name)
{
    c->lane = CLIENT_LANE_PRIVATE;
    struct request *r = client_queue_ours(c, REQUEST_AUTH);
    char *copy = mem_alloc(name->len + 1);
    memcpy(copy, name->bytes, name->len);
    copy[name->len] = '\0';
    r->note = copy;
    r->waiter.harmless = true;
    private_add(link, r, words, count);
    client_postpone(c);
}

static bool acl_keeps_link(const struct client *c)
{
    return c->link != NULL && (private_kept(c->link) & PRIVATE_OUTLASTS_USER) != 0;
}

static void acl_login_there(struct client *c, const struct resp_arg *words, size_t count,
                            const struct resp_arg *name)
{
    if (c->unanswered > 0) {
        client_postpone(c);
        return;
    }
    private_unfence(c->link);
    acl_send_login(c, c->link, words, count, name);
}

bool acl_login_own(struct client *c)
{
    static const struct resp_arg none = {(const uint8_t *)"", 0};
    struct resp_arg words[3];

    if (c->gate == CLIENT_GATE_GRANTED || c->user == NULL) {
        return false;
    }
    if (!acl_keeps_link(c)) {
        if (c->unanswered > 0) {
            client_postpone(c);
            return true;
        }
        acl_logout(c);
        return false;
    }
    private_own_login(c->link, words);
    acl_login_there(c, words, 3, &none);
    return true;
}

/* In the words of the client, which ACL LOG has if they are refused. The protocol is the one that
 * its link has by then (private_add). */
static size_t acl_login_words(const struct client *c, const struct resp_arg *said,
                              const struct resp_arg *user, const struct resp_arg *password,
                              struct resp_arg words[5])
{
    size_t count = 0;

    words[count++] = *said;
    if (resp_arg_is(said, "hello")) {
        words[count++] = (struct resp_arg){(const uint8_t *)(c->resp == 3 ? "3" : "2"), 1};
        words[count++] = (struct resp_arg){(const uint8_t *)"AUTH", 4};
    }
    words[count++] = *user;
    words[count++] = *password;
    return count;
}

bool acl_login(struct router *router, struct client *c, const struct resp_arg *said,
               const struct resp_arg *user, const struct resp_arg *password)
{
    struct resp_arg words[5];
    size_t count = acl_login_words(c, said, user, password, words);

    if (c->gate == CLIENT_GATE_GRANTED) {
        return false;
    }
    if (acl_keeps_link(c)) {
        acl_login_there(c, words, count, user);
        return true;
    }
    /* At a proxy that does not lead, the leader is asked, and has all that this user says. */
    bool here = router_route(router, c, false, false, true) == ROUTE_ENGINE;
    struct private_pool *pool = here ? router->privates : router->forward_privates;
    if (!here && !private_is_started(pool)) {
        router_wait(router, c);
        return true;
    }
    if (c->unanswered > 0) {
        client_postpone(c);
        return true;
    }
    if (!c->logs_in && c->all->logins >= c->all->limits.logins_max) {
        acl_wait_in_line(c);
        return true;
    }
    if (!private_try(pool, c)) {
        client_answer_error(c, "ERR max number of private connections reached, see "
                               "limits.private_max");
        return true;
    }
    if (!c->logs_in) {
        acl_login_begins(c);
    }
    acl_send_login(c, c->trial, words, count, user);
    return true;
}

/* ---- what a user may not do ---- */

/* Errors of who carries out nothing, for now: they tell of no data. */
static const char *const acl_transient[] = {"-MASTERDOWN ", "-LOADING ", "-BUSY "};

/* Redis has refused it on the user's link. An EXEC is refused by EXECABORT. */
static bool acl_is_refusal(const struct request *r)
{
    bool is = request_reply_begins(r, "-NOPERM ") || request_reply_begins(r, "-EXECABORT ");

    for (size_t i = 0; i < sizeof acl_transient / sizeof *acl_transient && !is; i++) {
        is = request_reply_begins(r, acl_transient[i]);
    }
    return is;
}

/* What the first error inside MULTI says of the whole. Not even that may have begun, where nothing
 * is carried out for now: then nobody knows what has become of what stood behind it. */
static bool acl_is_refusal_inside(const struct request *r, const char *error)
{
    bool is = strncmp(error, "-NOPERM ", 8) == 0;

    for (size_t i = 0; i < sizeof acl_transient / sizeof *acl_transient && !is; i++) {
        is = strncmp(error, acl_transient[i], strlen(acl_transient[i])) == 0 &&
             !request_reply_begins(r, "-EXECABORT ");
        r->client->close_when_sent = r->client->close_when_sent || is;
    }
    return is && request_reply_type(r) == '-';
}

/* Redis has refused it; or has not, since the user's rights are others by now: then nobody knows
 * what that link has become, and what Redis says, be it an error, tells of data perhaps. */
static void acl_was_refused(struct request *r)
{
    const char *error = r->note; /* of what was said inside MULTI */
    struct buf line = BUF_INIT;

    if (error == NULL && acl_is_refusal(r)) {
        request_cut_reply(r); /* HELLO may be behind it */
    } else if (error != NULL && acl_is_refusal_inside(r, error)) {
        buf_printf(&line, "%.*s\r\n", (int)strcspn(error, "\r\n"), error); /* it may be cut */
        request_take_reply(r, &line);
    } else {
        client_close(r->client, "its user's rights were changed while it was being refused");
    }
}

/* Inside MULTI it is said inside MULTI there, too: that stands in ACL LOG. An EXEC ends that, be it
 * refused or not (execCommandAbort in multi.c; a user need not be allowed DISCARD); what no Redis
 * knows makes sure that it carries out nothing. A SUBSCRIBE that is not refused after all would be
 * answered by pushes alone; a HELLO, which everybody may say, is behind it. */
static void acl_let_refuse(struct client *c, const struct command *command,
                           const struct resp_arg *argv, size_t argc)
{
    static const char end[] = "*1\r\n$8\r\nHOLDFAST\r\n*1\r\n$4\r\nEXEC\r\n";
    static const char hello[] = "*1\r\n$5\r\nHELLO\r\n";
    bool exec = strcmp(command->name, "exec") == 0;
    bool pushes = c->transaction == NULL && pubsub_changes(command);
    struct buf commands = BUF_INIT;

    c->lane = CLIENT_LANE_PRIVATE;
    struct request *r = client_queue(c, pushes ? REQUEST_PONG : 0);
    r->waiter.harmless = true;
    r->amend = acl_was_refused;
    if (pushes) {
        resp_put_request(&commands, argv, argc);
        buf_append_str(&commands, hello);
        private_add_block(c->link, r, &commands, 1, false);
        buf_release(&commands);
        return;
    }
    if (c->transaction == NULL) {
        private_add(c->link, r, argv, argc);
        return;
    }
    buf_append_str(&commands, "*1\r\n$5\r\nMULTI\r\n");
    resp_put_request(&commands, argv, argc);
    buf_append_str(&commands, exec ? "" : end);
    private_add_block(c->link, r, &commands, exec ? 2 : 4, false);
    buf_release(&commands);
    transaction_spoil(c);
    if (exec) {
        transaction_unwatch(c);
        transaction_discard(c);
    }
}

/* What Redis might not answer, or not soon, if it did not refuse it after all. */
static bool acl_answers_late(const struct command *command, const struct resp_arg *argv,
                             size_t argc)
{
    return router_would_block(command, argv, argc) || strcmp(command->name, "client|reply") == 0;
}

/* Redis is asked, when all is answered that may have changed the user's rights on its own link. An
 * EXEC that carries something out is judged there; but if MULTI were refused, what stands between
 * them would be carried out one by one. */
static void acl_ask(struct router *router, struct client *c, enum route route,
                    const struct command *command, const struct resp_arg *argv, size_t argc)
{
    if (c->unanswered > 0) {
        client_postpone(c);
        return;
    }
    struct resp_arg *words = mem_alloc((argc + 3) * sizeof *words);
    words[0] = (struct resp_arg){(const uint8_t *)"ACL", 3};
    words[1] = (struct resp_arg){(const uint8_t *)"DRYRUN", 6};
    words[2] = (struct resp_arg){(const uint8_t *)c->user, strlen(c->user)};
    memcpy(words + 3, argv, argc * sizeof *argv);
    bool multi = strcmp(command->name, "exec") == 0 && transaction_is_sound(c);
    if (multi) {
        words[3] = (struct resp_arg){(const uint8_t *)"MULTI", 5}; /* which is sent with it */
    }
    bool late = multi || (c->transaction == NULL && acl_answers_late(command, argv, argc));
    struct request *r = client_queue_ours(c, REQUEST_GATE | (late ? REQUEST_LATE : 0u));
    r->waiter.harmless = true;
    r->note = mem_strdup(command->name);
    struct buf bytes = BUF_INIT;
    resp_put_request(&bytes, words, argc + 3);
    client_postpone(c);
    router_send_bytes(router, route, r, buf_head(&bytes), bytes.len, 0);
    buf_release(&bytes);
    free(words);
}

/* It has had its answer, or gets Redis' own now. */
static bool acl_is_denied(struct client *c, const struct command *command,
                          const struct resp_arg *argv, size_t argc)
{
    if (c->gate == CLIENT_GATE_REFUSED || c->gate == CLIENT_GATE_DENIED) {
        c->last_command = command->name; /* also of what is noted later else (router_take) */
    }
    if (c->gate == CLIENT_GATE_REFUSED) {
        acl_let_refuse(c, command, argv, argc);
    } else if (c->gate == CLIENT_GATE_DENIED && strcmp(command->name, "exec") == 0) {
        transaction_unwatch(c);
        transaction_discard(c);
    }
    return c->gate == CLIENT_GATE_REFUSED || c->gate == CLIENT_GATE_DENIED;
}

static bool acl_needs_no_word(const struct client *c, const struct command *command)
{
    return c->gate == CLIENT_GATE_GRANTED || c->gate == CLIENT_GATE_ROOM || c->user == NULL ||
           (command->flags & COMMAND_FLAG_NO_AUTH) != 0;
}

bool acl_gate(struct router *router, struct client *c, const struct command *command,
              const struct resp_arg *argv, size_t argc)
{
    if (acl_is_denied(c, command, argv, argc)) {
        return true;
    }
    bool passed_on = command->plain && c->transaction == NULL && !pubsub_confines(c);
    if (acl_needs_no_word(c, command) || passed_on) {
        return false;
    }
    enum route route = router_route(router, c, false, false, true);
    if (route != ROUTE_ENGINE && route != ROUTE_FORWARD) {
        client_answer_error(c, "LOADING Redis is loading the dataset in memory");
        return true;
    }
    acl_ask(router, c, route, command, argv, argc);
    return true;
}

bool acl_gate_held(struct router *router, struct client *c, const struct command *command,
                   const struct resp_arg *argv, size_t argc)
{
    if (acl_is_denied(c, command, argv, argc)) {
        return true;
    }
    enum route route = router_route(router, c, false, false, true);
    if (acl_needs_no_word(c, command) || (route != ROUTE_ENGINE && route != ROUTE_FORWARD)) {
        return false;
    }
    acl_ask(router, c, route, command, argv, argc);
    return true;
}

/* The words with which Redis refuses a command, from those of DRYRUN: for what is not sent to it
 * even to be refused. */
static void acl_refuse(struct request *r, const char *said)
{
    struct buf error = BUF_INIT, reply = BUF_INIT;
    const char *name = r->note;

    if (strstr(said, "the '") != NULL && strstr(said, "' command") != NULL) {
        buf_printf(&error, "NOPERM this user has no permissions to run the '%s' command", name);
    } else {
        buf_printf(&error,
                   "NOPERM this user has no permissions to access one of the %s used as arguments",
                   strstr(said, "' channel") != NULL ? "channels" : "keys");
    }
    buf_append(&error, "", 1);
    if (strcmp(name, "exec") == 0) {
        transaction_put_abort(&reply, (const char *)buf_head(&error));
    } else {
        resp_put_error(&reply, (const char *)buf_head(&error));
    }
    request_take_reply(r, &reply);
    buf_release(&error);
}

void acl_become(struct client *c, const char *user)
{
    free(c->user);
    c->user = user != NULL ? mem_strdup(user) : NULL;
    c->authenticated = true;
    private_spoil(c->link);
    if (user != NULL) {
        private_keep(c->link, PRIVATE_USER);
    } else {
        private_unkeep(c->link, PRIVATE_USER);
    }
}

/* user: who it is now, "" the link's own; NULL: who it was. */
static void acl_login_answered(struct client *c, const char *user)
{
    if (!c->logs_in) { /* on the link that it has */
        if (user != NULL) {
            acl_become(c, *user != '\0' ? user : NULL);
        }
        return;
    }
    if (user != NULL && c->trial != NULL) {
        private_adopt(c);
        acl_become(c, user);
    } else if (c->trial != NULL) {
        private_reject(c);
    }
    acl_login_ends(c);
}

/* transaction.c asks for memory alone: the link's user need not be allowed the command with which
 * it does, nor the key be of its type. */
static bool acl_is_not_oom(const struct request *r)
{
    return r->note == NULL && !request_reply_begins(r, "-OOM");
}

void acl_answered(struct request *r)
{
    struct client *c = r->client;
    uint8_t type = request_reply_type(r);
    struct buf said = BUF_INIT;
    bool logged_in = (r->flags & REQUEST_AUTH) != 0 && (type == '+' || type == '*' || type == '%');
    bool granted = logged_in || type == '+' || type == ':' || (type == '-' && acl_is_not_oom(r));

    bool refused = type == '$' && c->link != NULL && (r->flags & REQUEST_LATE) == 0 &&
                   !router_never_passes(r->note);

    bool room = granted && r->note == NULL; /* that was asked */
    c->gate = room      ? CLIENT_GATE_ROOM
              : granted ? CLIENT_GATE_GRANTED
              : refused ? CLIENT_GATE_REFUSED
                        : CLIENT_GATE_DENIED;
    if (granted || refused) {
        r->flags |= REQUEST_SILENT;
    }
    if ((r->flags & REQUEST_AUTH) != 0) {
        acl_login_answered(c, logged_in ? r->note : NULL);
    } else if (type == '$' && !refused) {
        request_move_reply(r, &said);
        buf_append(&said, "", 1);
        acl_refuse(r, (const char *)buf_head(&said));
        buf_release(&said);
    }
    if (!granted && !refused && c->reply_mode == CLIENT_REPLY_SKIP) {
        c->reply_mode = CLIENT_REPLY_ON; /* this was the reply that is skipped */
    }
    if (!granted && c->transaction != NULL) {
        transaction_spoil(c);
    }
}
