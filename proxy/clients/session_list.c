/* CLIENT LIST, INFO and KILL: the proxy's clients, as Redis describes its own, and who is meant by
 * a filter. Texts and the order of checks are those of clientCommand in networking.c. */
#include "proxy/clients/session_impl.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/net.h"
#include "proxy/clients/pubsub.h"
#include "proxy/clients/transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- CLIENT LIST, CLIENT INFO ---- */

/* As catClientInfoString has them; what no client of ours can be is left out. */
static void session_flags(const struct client *c, char flags[16])
{
    const struct {
        bool is;
        char letter;
    } known[] = {
        {c->monitors, 'O'},          {pubsub_has(c), 'P'}, {transaction_length(c) >= 0, 'x'},
        {client_is_blocked(c), 'b'}, {c->tracking, 't'},   {c->tracks_bcast, 'B'},
        {c->close_when_sent, 'c'},   {c->readonly, 'r'},   {c->no_evict, 'e'},
    };
    size_t n = 0;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].is) {
            flags[n++] = known[i].letter;
        }
    }
    if (n == 0) {
        flags[n++] = 'N';
    }
    flags[n] = '\0';
}

static const char *session_user(const struct client *c)
{
    return c->user != NULL ? c->user : "default";
}

/* What Redis would keep free for its requests: behind the one that it is saying. */
static size_t session_query_free(const struct client *c, const struct client_buffers *buffers,
                                 size_t query)
{
    if (c->in.len > 0) {
        return c->in.cap - c->in.len;
    }
    return buffers->query > query ? buffers->query - query : 0;
}

/* Of memory that of the proxy is told: the request that is being taken in or unfinished, what is
 * queued by MULTI, and replies that the client has not read; and in qbuf-free, rbs and rbp what
 * Redis would have ready for more of them (client_buffers.h). */
static void session_describe(const struct client *c, const struct client *asker, struct buf *b)
{
    struct client_buffers buffers = c->buffers;
    size_t query = c->in.len > 0 || c != asker ? c->in.len : c->all->taking_bytes;
    char peer[64], own[64], flags[16];
    uint64_t now_ns = c->all->now_ns;
    static const size_t none[TOPIC_KINDS];
    const size_t *subs = c->subscriber != NULL ? c->subscriber->wanted : none;
    size_t unsent = c->out.len > 0 ? chain_capacity(&c->out) : 0;

    client_buffers_look(&buffers, &c->all->buffers, (uint32_t)(now_ns / CLOCK_NS_PER_MS),
                        (now_ns - c->used_ns) / CLOCK_NS_PER_S);
    session_flags(c, flags);
    net_peer_name(c->fd, peer, sizeof peer);
    net_local_name(c->fd, own, sizeof own);
    buf_printf(b, "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s db=%u ",
               (unsigned long long)c->id, peer, own, c->fd, c->name != NULL ? c->name : "",
               (unsigned long long)((now_ns - c->created_ns) / CLOCK_NS_PER_S),
               (unsigned long long)((now_ns - c->used_ns) / CLOCK_NS_PER_S), flags, c->db);
    buf_printf(
        b,
        "sub=%zu psub=%zu ssub=%zu multi=%d qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu "
        "rbs=%u rbp=%u obl=0 oll=%d omem=%zu tot-mem=%zu events=%s cmd=%s user=%s redir=%lld "
        "resp=%u\n",
        subs[0], subs[1], subs[2], transaction_length(c), query,
        session_query_free(c, &buffers, query), transaction_bytes(c), (unsigned)buffers.reply,
        (unsigned)buffers.reply_peak, unsent > 0, unsent,
        sizeof *c + c->in.cap + transaction_bytes(c) + unsent, unsent > 0 ? "rw" : "r",
        c->last_command, session_user(c), c->tracking ? (long long)c->redirects_to : -1LL, c->resp);
}

static void session_answer_text(struct router *router, struct client *c, const struct buf *text)
{
    buf_clear(&router->text);
    if (c->resp == 3) {
        buf_printf(&router->text, "=%zu\r\ntxt:", text->len + 4);
        buf_append(&router->text, buf_head(text), text->len);
        buf_append_str(&router->text, "\r\n");
    } else {
        resp_put_bulk(&router->text, buf_head(text), text->len);
    }
    router_answer(router, c, 0);
}

enum session_type { SESSION_ANY, SESSION_NORMAL, SESSION_PUBSUB, SESSION_NONE };

/* What getClientTypeByName knows; among the proxy's clients are neither replicas nor masters. */
static bool session_type_of(struct client *c, const struct resp_arg *name, enum session_type *type)
{
    char text[128];

    if (resp_arg_is(name, "normal")) {
        *type = SESSION_NORMAL;
    } else if (resp_arg_is(name, "pubsub")) {
        *type = SESSION_PUBSUB;
    } else if (resp_arg_is(name, "slave") || resp_arg_is(name, "replica") ||
               resp_arg_is(name, "master")) {
        *type = SESSION_NONE;
    } else {
        (void)snprintf(text, sizeof text, "ERR Unknown client type '%.*s'",
                       (int)(name->len < 64 ? name->len : 64), (const char *)name->bytes);
        client_answer_error(c, text);
        return false;
    }
    return true;
}

static bool session_has_type(const struct client *c, enum session_type type)
{
    return type == SESSION_ANY || type == (pubsub_has(c) ? SESSION_PUBSUB : SESSION_NORMAL);
}

/* The oldest first, as Redis lists them. */
static void session_list_type(struct router *router, struct client *c, enum session_type type)
{
    struct buf text = BUF_INIT;
    struct client *each = c->all->list;

    while (each->next != NULL) {
        each = each->next;
    }
    for (; each != NULL; each = each->prev) {
        if (session_has_type(each, type)) {
            session_describe(each, c, &text);
        }
    }
    session_answer_text(router, c, &text);
    buf_release(&text);
}

static void session_list_ids(struct router *router, struct client *c, const struct resp_arg *argv,
                             size_t argc)
{
    struct buf text = BUF_INIT;
    long long id;

    for (size_t i = 3; i < argc; i++) {
        if (!resp_arg_integer(&argv[i], &id)) {
            client_answer_error(c, "ERR Invalid client ID");
            buf_release(&text);
            return;
        }
        const struct client *found = clients_find(c->all, (uint64_t)id);
        if (found != NULL) {
            session_describe(found, c, &text);
        }
    }
    session_answer_text(router, c, &text);
    buf_release(&text);
}

void session_client_list(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc)
{
    enum session_type type = SESSION_ANY;

    if (argc == 4 && resp_arg_is(&argv[2], "type")) {
        if (session_type_of(c, &argv[3], &type)) {
            session_list_type(router, c, type);
        }
    } else if (argc > 3 && resp_arg_is(&argv[2], "id")) {
        session_list_ids(router, c, argv, argc);
    } else if (argc != 2) {
        client_answer_error(c, "ERR syntax error");
    } else {
        session_list_type(router, c, SESSION_ANY);
    }
}

void session_client_info(struct router *router, struct client *c)
{
    struct buf text = BUF_INIT;

    session_describe(c, c, &text);
    session_answer_text(router, c, &text);
    buf_release(&text);
}

/* ---- CLIENT KILL ---- */

struct session_filter {
    const struct resp_arg *addr, *laddr, *user; /* NULL: any */
    long long id;                               /* 0: any */
    enum session_type type;
    bool skips_self;
};

/* Every client is asked, maybe again and again: the system is not asked for the same name twice. */
static bool session_has_address(struct client *each, const struct resp_arg *addr)
{
    const struct slowlog_who *who = client_who(each);
    return who != NULL && session_same_text(addr, slowlog_who_address(who));
}

static bool session_filter_fits(const struct session_filter *f, struct client *each)
{
    char own[64];

    if ((f->id != 0 && each->id != (uint64_t)f->id) || !session_has_type(each, f->type) ||
        (f->user != NULL && !session_same_text(f->user, session_user(each)))) {
        return false;
    }
    if (f->addr != NULL && !session_has_address(each, f->addr)) {
        return false;
    }
    if (f->laddr != NULL) {
        net_local_name(each->fd, own, sizeof own);
    }
    return f->laddr == NULL || session_same_text(f->laddr, own);
}

/* One pair of words; false: answered with an error. */
static bool session_filter_take(struct session_filter *f, struct client *c,
                                const struct resp_arg *word, const struct resp_arg *value)
{
    if (resp_arg_is(word, "id")) {
        if (!resp_arg_integer(value, &f->id) || f->id < 1) {
            client_answer_error(c, "ERR client-id should be greater than 0");
            return false;
        }
    } else if (resp_arg_is(word, "type")) {
        return session_type_of(c, value, &f->type);
    } else if (resp_arg_is(word, "addr")) {
        f->addr = value;
    } else if (resp_arg_is(word, "laddr")) {
        f->laddr = value;
    } else if (resp_arg_is(word, "user")) {
        f->user = value;
    } else if (resp_arg_is(word, "skipme") &&
               (resp_arg_is(value, "yes") || resp_arg_is(value, "no"))) {
        f->skips_self = resp_arg_is(value, "yes");
    } else {
        client_answer_error(c, "ERR syntax error");
        return false;
    }
    return true;
}

/* "*-1", "$-1" or "_" says that there is no such user (ACL GETUSER); anything else, that nobody of
 * its name is here. */
static void session_amend_user(struct request *r)
{
    static const char zero[] = ":0\r\n";
    uint8_t type = request_reply_type(r);
    struct buf text = BUF_INIT;

    request_move_reply(r, &text);
    bool none = type == '_' || (text.len == 5 && memcmp(buf_head(&text) + 1, "-1\r\n", 4) == 0);
    buf_clear(&text);
    if (none) {
        buf_printf(&text, "-ERR No such user '%s'\r\n", (const char *)r->note);
        request_set_reply(r, buf_head(&text), text.len);
    } else {
        request_set_reply(r, zero, sizeof zero - 1);
    }
    buf_release(&text);
}

/* Nobody here is that user; whether there is one at all, Redis knows. */
static void session_ask_user(struct router *router, struct client *c, const struct resp_arg *user)
{
    struct resp_arg words[3] = {
        {(const uint8_t *)"ACL", 3}, {(const uint8_t *)"GETUSER", 7}, *user};
    enum route route = router_route(router, c, false, false, true);

    if (c->all->capture != NULL || (route != ROUTE_ENGINE && route != ROUTE_FORWARD)) {
        client_answer(c, ":0\r\n", 4, 0);
        return;
    }
    if (!router_choose_lane(router, c, false, route)) {
        return;
    }
    buf_clear(&router->hashes);
    struct request *r = router_send(router, c, route, 0, false, true, words, 3);
    if (r != NULL) {
        char *name = mem_alloc(user->len + 1);
        memcpy(name, user->bytes, user->len);
        name[user->len] = '\0';
        r->note = name;
        r->amend = session_amend_user;
    }
}

static bool session_user_is_here(const struct client *c, const struct resp_arg *user)
{
    for (const struct client *each = c->all->list; each != NULL; each = each->next) {
        if (session_same_text(user, session_user(each))) {
            return true;
        }
    }
    return session_same_text(user, "default");
}

static long long session_kill(const struct session_filter *f, struct client *c, bool *self)
{
    long long killed = 0;

    for (struct client *each = c->all->list, *next; each != NULL; each = next) {
        next = each->next;
        if (!session_filter_fits(f, each) || (each == c && f->skips_self)) {
            continue;
        }
        if (each == c) {
            *self = true;
        } else {
            client_close(each, "CLIENT KILL");
        }
        killed++;
    }
    return killed;
}

/* Who blocks must get nothing of what is written from now on; but Redis may hear of what its client
 * writes next sooner than of the end of that link. So it is told to end it. False: that has to
 * wait, or can't be. */
static bool session_end_blocked(const struct session_filter *f, struct router *router,
                                struct client *c)
{
    struct resp_arg words[] = {{(const uint8_t *)"CLIENT", 6},
                               {(const uint8_t *)"KILL", 4},
                               {(const uint8_t *)"ID", 2},
                               {NULL, 0}};
    enum client_reply_mode mode = c->reply_mode;
    bool chosen = false;
    char id[32];

    for (struct client *each = c->all->list; each != NULL; each = each->next) {
        if (each == c || !client_is_blocked(each) || each->link == NULL ||
            private_id(each->link) == 0 || private_is_forward(each->link) ||
            !session_filter_fits(f, each)) {
            continue;
        }
        if (!chosen && !router_choose_lane(router, c, false, ROUTE_ENGINE)) {
            return false;
        }
        chosen = true;
        int len = snprintf(id, sizeof id, "%llu", (unsigned long long)private_id(each->link));
        words[3] = (struct resp_arg){(const uint8_t *)id, (size_t)len};
        buf_clear(&router->hashes);
        (void)router_send(router, c, ROUTE_ENGINE, REQUEST_SILENT, false, true, words, 4);
        c->reply_mode = mode; /* a SKIP is for the answer */
    }
    return true;
}

/* CLIENT KILL addr:port, or pairs of a filter's name and a value. */
void session_client_kill(struct router *router, struct client *c, const struct resp_arg *argv,
                         size_t argc)
{
    struct session_filter filter = {.skips_self = argc > 3};
    bool self = false;
    char reply[32];

    if (argc == 3) {
        filter.addr = &argv[2];
    }
    for (size_t i = 2; argc > 3 && i < argc; i += 2) {
        if (i + 1 >= argc) {
            client_answer_error(c, "ERR syntax error");
            return;
        }
        if (!session_filter_take(&filter, c, &argv[i], &argv[i + 1])) {
            return;
        }
    }
    if (filter.user != NULL && !session_user_is_here(c, filter.user)) {
        session_ask_user(router, c, filter.user);
        return;
    }
    if (c->all->capture == NULL && engine_is_up(router->engine) &&
        !session_end_blocked(&filter, router, c)) {
        return;
    }
    long long killed = session_kill(&filter, c, &self);
    if (argc == 3 && killed == 0) {
        client_answer_error(c, "ERR No such client");
    } else if (argc == 3) {
        router_answer_ok(c);
    } else {
        int len = snprintf(reply, sizeof reply, ":%lld\r\n", killed);
        client_answer(c, reply, (size_t)len, 0);
    }
    c->close_when_sent = c->close_when_sent || self;
}
