#include "proxy/clients/client.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENT_READ_BYTES = 256 * 1024, CLIENT_BIG_READ_BYTES = 1 << 20 };
/* Written to one client's socket in one turn: who reads fast must not keep the loop busy. */
enum { CLIENT_WRITE_BYTES = 1 << 20 };
/* How soon it is asked whether who says nothing more is still there. */
enum { CLIENT_ENDED_ASK_S = 20 };
enum { CLIENT_OUT_KEEP_BYTES = 16 * 1024, CLIENT_REPLY_GUESS_BYTES = 512 * 1024 };

static void client_read_cb(evutil_socket_t fd, short what, void *arg);
static void client_write_cb(evutil_socket_t fd, short what, void *arg);

void clients_init(struct clients *all, struct event_base *base, const struct client_limits *limits,
                  const struct client_events *events, void *ctx, struct request_pool *pool)
{
    *all = (struct clients){
        .base = base, .limits = *limits, .events = events, .ctx = ctx, .pool = pool, .next_id = 1};
    slowlog_init(&all->slowlog);
    all->framer = resp_framer_create();
    all->scratch = mem_alloc(CLIENT_READ_BYTES);
}

static void client_free(struct client *c);

/* Those who stand in to_flush still are freed another time: that list may never run empty. */
static void clients_free_closed(struct clients *all)
{
    struct client *keep = NULL;

    while (all->to_free != NULL) {
        struct client *c = all->to_free;
        all->to_free = c->next;
        if (c->in_flush_list) {
            c->next = keep;
            keep = c;
        } else {
            client_free(c);
        }
    }
    all->to_free = keep;
}

void clients_fini(struct clients *all)
{
    while (all->list != NULL) {
        client_close(all->list, "the proxy ends");
    }
    for (struct client *c = all->to_flush; c != NULL; c = c->next_to_flush) {
        c->in_flush_list = false;
    }
    all->to_flush = NULL;
    clients_free_closed(all);
    tally_reset(&all->tally);
    slowlog_fini(&all->slowlog);
    readers_release(&all->readers);
    resp_framer_destroy(all->framer);
    free(all->scratch);
    free(all->ids);
}

/* ---- life ---- */

/* Makes room for a newcomer: of those that say nothing more, and may have gone altogether, the one
 * that came first misses what it is still to hear. */
static bool clients_close_ended(struct clients *all)
{
    struct client *oldest = NULL;

    for (struct client *c = all->ended_count > 0 ? all->list : NULL; c != NULL; c = c->next) {
        oldest = c->ended ? c : oldest;
    }
    if (oldest == NULL) {
        return false;
    }
    client_close(oldest, "it says nothing more, and its place is needed");
    return true;
}

struct client *clients_accept(struct clients *all, int fd)
{
    static const char full[] = "-ERR max number of clients reached\r\n";
    bool room = all->count < all->limits.clients_max || clients_close_ended(all);

    if (net_prepare(fd) != 0 || !room) {
        ssize_t ignored = write(fd, full, sizeof full - 1);
        (void)ignored; /* the connection is closed anyway */
        (void)close(fd);
        all->rejected++;
        return NULL;
    }
    struct client *c = mem_calloc(1, sizeof *c);
    c->all = all;
    c->fd = fd;
    c->id = all->next_id++;
    c->resp = 2;
    c->reply_mean_bytes = CLIENT_REPLY_GUESS_BYTES;
    c->authenticated = !all->auth_required;
    c->async = all->async_default;
    c->created_ns = c->used_ns = all->now_ns;
    c->last_command = "NULL";
    client_buffers_init(&c->buffers);
    c->readable = event_new(all->base, fd, EV_READ | EV_PERSIST, client_read_cb, c);
    MUST(c->readable != NULL);
    c->reading = !all->paused;
    if (c->reading && event_add(c->readable, NULL) != 0) {
        log_error("a client's connection can't be watched");
    }
    clients_add_id(all, c);
    c->next = all->list;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    all->list = c;
    all->count++;
    all->accepted++;
    client_configure(c);
    return c;
}

static void client_free(struct client *c)
{
    event_free(c->readable);
    if (c->writable != NULL) {
        event_free(c->writable);
    }
    if (c->hangup != NULL) {
        event_free(c->hangup);
    }
    (void)close(c->fd);
    buf_release(&c->in);
    chain_release(&c->out);
    buf_release(&c->watched);
    resp_framer_destroy(c->framer);
    free(c->name);
    slowlog_who_release(c->who);
    free(c->user);
    free(c);
}

struct slowlog_who *client_who(struct client *c)
{
    const char *name = c->name != NULL ? c->name : "";
    char address[SLOWLOG_ADDRESS_BYTES];

    if (c->who == NULL || strcmp(slowlog_who_name(c->who), name) != 0) {
        slowlog_who_release(c->who);
        c->who = net_peer_name(c->fd, address, sizeof address) ? slowlog_who_create(address, name)
                                                               : NULL;
    }
    return c->who;
}

/* Into the queue, in front of another one (NULL: behind all). How many are there does not matter:
 * there may be a great many pushes. */
static void client_enter(struct client *c, struct request *r, struct request *before)
{
    struct request *prev = before != NULL ? before->prev_of_client : c->last;

    r->client = c;
    r->prev_of_client = prev;
    r->next_of_client = before;
    *(prev != NULL ? &prev->next_of_client : &c->first) = r;
    *(before != NULL ? &before->prev_of_client : &c->last) = r;
    if (prev == NULL) {
        c->oldest_ns = c->all->now_ns;
    }
}

static void client_unlink(struct client *c, struct request *r)
{
    struct request *prev = r->prev_of_client, *next = r->next_of_client;

    *(prev != NULL ? &prev->next_of_client : &c->first) = next;
    *(next != NULL ? &next->prev_of_client : &c->last) = prev;
    r->prev_of_client = r->next_of_client = NULL;
}

/* Redis answers it to nobody; whose it was is remembered as long as somebody may ask. */
static void client_leave_request(struct client *c, struct request *r)
{
    if (r->stage == REQUEST_SENT && c->all->slowlog.slower_ns != UINT64_MAX) {
        r->who = slowlog_who_share(client_who(c));
    }
    r->client = NULL;
}

static void client_abandon_requests(struct client *c)
{
    while (c->first != NULL) {
        struct request *r = c->first;
        client_unlink(c, r);
        client_leave_request(c, r);
        c->all->events->abandoned(c->all->ctx, r);
    }
    c->pending_count = 0;
    c->unanswered = 0;
    c->all->withheld_bytes -= c->withheld_bytes;
    c->withheld_bytes = 0;
}

void client_close(struct client *c, const char *reason)
{
    struct clients *all = c->all;

    if (c->closing) {
        return;
    }
    log_debug("client %llu closed: %s", (unsigned long long)c->id, reason);
    c->closing = true;
    (void)event_del(c->readable);
    if (c->writable != NULL) {
        (void)event_del(c->writable);
    }
    if (c->hangup != NULL) {
        (void)event_del(c->hangup);
    }
    client_abandon_requests(c);
    all->unsent_bytes -= c->unsent_counted;
    c->unsent_counted = 0;
    all->events->closed(all->ctx, c);
    all->query_bytes -= c->query_bytes;
    c->query_bytes = 0;
    buf_release(&c->in);
    clients_remove_id(all, c);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        all->list = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    all->count--;
    all->ended_count -= c->ended;
    c->prev = NULL;
    c->next = all->to_free;
    all->to_free = c;
}

/* ---- reading ---- */

static void client_needs_flush(struct client *c)
{
    if (!c->in_flush_list) {
        c->in_flush_list = true;
        c->next_to_flush = c->all->to_flush;
        c->all->to_flush = c;
    }
}

/* What waits for this client, and what its pending requests may bring by the mean of its replies:
 * a pipeline of requests for large values must not be taken in as if they were small. */
static size_t client_expected_bytes(const struct client *c)
{
    return c->withheld_bytes + c->out.len + c->pending_count * c->reply_mean_bytes;
}

static bool client_may_read(const struct client *c)
{
    const struct client_limits *limits = &c->all->limits;

    return !c->closing && !c->close_when_sent && !c->barrier && !c->postponed && !c->all->paused &&
           c->pending_count < limits->pending_max &&
           (c->taken_bytes == 0 || c->in.len < BIGS_BYTES) &&
           client_expected_bytes(c) < limits->withheld_max_bytes;
}

static void client_set_reading(struct client *c, bool reading)
{
    reading = reading && !c->ended;
    if (c->reading != reading) {
        c->reading = reading;
        if ((reading ? event_add(c->readable, NULL) : event_del(c->readable)) != 0) {
            log_error("a client's connection can't be watched");
        }
    }
}

static void client_protocol_error(struct client *c, const char *text)
{
    char line[160] = "ERR ";
    strncat(line, text, sizeof line - 5);
    client_answer_error(c, line);
    c->close_when_sent = true;
    client_needs_flush(c);
}

/* "POST" and "Host:" are what a browser says that was tricked into talking to Redis; Redis cuts
 * such a connection without an answer, so that an attacker's page learns nothing
 * (securityWarningCommand). */
static bool client_is_http(const struct resp_arg *word)
{
    return resp_arg_is(word, "post") || resp_arg_is(word, "host:");
}

/* Frames and hands on what stands at bytes. Returns how many bytes were used up. */
static size_t client_take_requests(struct client *c, struct resp_framer *framer,
                                   const uint8_t *bytes, size_t size)
{
    struct clients *all = c->all;
    size_t used = 0;

    while (used < size && client_may_read(c)) {
        struct resp_limits limits = all->limits.resp;
        struct resp_request request;
        char error[128];

        limits.authenticated = client_may_ask(c);
        int rc = resp_request_next(framer, &limits, bytes + used, size - used, &request,
                                   &c->wanted_bytes, error);
        if (rc == ERR_MORE) {
            break;
        }
        if (rc != ERR_OK) {
            client_protocol_error(c, error);
            return size;
        }
        if (request.argc > 0) {
            if (client_is_http(&request.argv[0])) {
                log_warn("client %llu speaks HTTP; its connection is closed",
                         (unsigned long long)c->id);
                client_close(c, "HTTP");
                return size;
            }
            all->taking_bytes = request.len_bytes;
            all->whole_bytes =
                framer == c->framer && used == 0 && *bytes == '*' ? request.len_bytes : 0;
            all->whole_argv = request.argv;
            all->events->request(all->ctx, c, request.argv, request.argc);
            all->taking_bytes = all->whole_bytes = 0;
            if (c->postponed) {
                break;
            }
            c->waits_since_ns = 0;
            if (c->all->taken) {
                c->wanted_bytes = 0;
                return 0;
            }
        }
        c->wanted_bytes = 0;
        used += request.len_bytes;
    }
    return used;
}

static uint32_t clients_now_ms(const struct clients *all)
{
    return (uint32_t)(all->now_ns / CLOCK_NS_PER_MS);
}

/* The framer counts: a request of empty arguments takes more memory there than it has bytes. */
static void client_account_query(struct client *c)
{
    size_t bytes =
        c->in.len + c->taken_bytes + (c->framer != NULL ? resp_framer_bytes(c->framer) : 0);

    c->all->query_bytes += bytes;
    c->all->query_bytes -= c->query_bytes;
    c->query_bytes = bytes;
}

/* Requests that came in whole need no framer of the client's own: most clients never get one. */
static void client_take_in(struct client *c, const uint8_t *bytes, size_t size)
{
    struct clients *all = c->all;
    size_t used = client_take_requests(c, all->framer, bytes, size);

    if (used < size && !c->closing) {
        /* The shared framer forgets; the client's own begins at the unfinished request again. */
        resp_framer_destroy(all->framer);
        all->framer = resp_framer_create();
        c->framer = resp_framer_create();
        buf_append(&c->in, bytes + used, size - used);
        client_account_query(c);
    }
}

static void client_take_buffered(struct client *c)
{
    size_t before = c->in.len;

    if (before == 0 || c->closing) {
        return;
    }
    size_t used = client_take_requests(c, c->framer, buf_head(&c->in), before);
    if (c->closing) {
        return; /* closing has accounted for the buffer */
    }
    buf_consume(&c->in, used);
    if (c->all->taken) {
        c->all->taken = false;
        client_needs_flush(c); /* for what stood behind it */
    }
    if (c->in.len == 0) {
        buf_release(&c->in);
        resp_framer_destroy(c->framer);
        c->framer = NULL;
    } else {
        resp_framer_trim(c->framer);
    }
    client_account_query(c);
}

static bool client_query_too_big(struct client *c)
{
    const struct client_limits *limits = &c->all->limits;

    if (c->query_bytes - c->taken_bytes > limits->query_max_bytes) {
        client_close(c, "its request is over limits.query_max_bytes");
        return true;
    }
    if (!clients_evict_query(c->all, c) && c->query_bytes > 64 * 1024) {
        client_close(c, "unfinished requests take too much memory");
    }
    return c->closing;
}

/* Whether it waits for something that may never come, and has all replies before that: then nobody
 * misses it. What is behind it in the queue (answered here, or put there by us) leaves later
 * anyway. What blocks is sent when everything before it is answered: so it is the first that is
 * not. */
static bool client_only_blocks(const struct client *c)
{
    if (c->first == NULL) {
        return c->held;
    }
    return c->first->stage == REQUEST_SENT && (c->wait != NULL || (c->unanswered > 0 && c->blocks));
}

/* Whether it still listens nobody can tell: a connection that was closed altogether looks the same
 * as half of one until something is sent. So its system is asked now and then, which says that
 * there is no such connection once it has forgotten a closed one (after a minute: tcp(7),
 * tcp_fin_timeout); clients_hold_limits hears that. */
static void client_hangs_up(struct client *c)
{
    c->hung_up = true;
    net_keep_alive(c->fd, CLIENT_ENDED_ASK_S);
}

/* It says nothing more, and may still listen ("printf … | nc -N"): Redis has answered all that it
 * has read when it sees the end, unless the client blocks, so it gets its answers here as well.
 * Another proxy knows of each request what its link's end means. */
static void client_end(struct client *c)
{
    if (client_only_blocks(c) || c->nonce[0] != '\0' || (c->first == NULL && c->out.len == 0)) {
        client_close(c, "by the client");
        return;
    }
    c->ended = true;
    client_hangs_up(c);
    c->all->ended_count++;
    client_set_reading(c, false);
    client_needs_flush(c);
}

static void client_read_cb(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    struct clients *all = c->all;
    uint8_t *to = all->scratch;
    size_t room = CLIENT_READ_BYTES;

    (void)what;
    if (c->closing) {
        return;
    }
    all->now_ns = clock_now_ns();
    bool buffered = c->in.len > 0;
    if (buffered) {
        size_t missing = c->wanted_bytes > c->in.len ? c->wanted_bytes - c->in.len : 0;
        room = missing > CLIENT_BIG_READ_BYTES ? CLIENT_BIG_READ_BYTES : 64 * 1024;
        to = buf_reserve(&c->in, room);
    }
    ssize_t got = read(fd, to, room);
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            client_close(c, strerror(errno));
        }
        return;
    }
    if (got == 0) {
        client_end(c);
        return;
    }
    c->used_ns = all->now_ns;
    client_buffers_read(&c->buffers, &all->buffers, clients_now_ms(all),
                        (size_t)got + (buffered ? c->in.len : 0));
    if (!buffered) {
        client_take_in(c, to, (size_t)got);
    } else {
        buf_commit(&c->in, (size_t)got);
        client_take_buffered(c);
    }
    if (!c->closing && !client_query_too_big(c)) {
        client_set_reading(c, client_may_read(c));
    }
}

bool client_take_input(struct client *c, const struct resp_arg *argv, struct chain *out)
{
    size_t whole = c->all->whole_bytes;
    struct buf request = BUF_INIT;

    if (whole == 0 || argv != c->all->whole_argv) {
        return false;
    }
    buf_swap(&c->in, &request);
    buf_append(&c->in, buf_head(&request) + whole, request.len - whole);
    buf_truncate(&request, whole);
    chain_take(out, &request);
    c->all->taken = true;
    client_holds(c, whole);
    return true;
}

void client_holds(struct client *c, size_t bytes)
{
    c->taken_bytes = bytes;
    client_account_query(c);
}

/* ---- requests and replies ---- */

struct request *client_first_unanswered(const struct client *c)
{
    struct request *first = NULL;
    uint32_t left = c->unanswered;

    /* From behind: in front of it there may be a great many pushes. */
    for (struct request *r = c->last; r != NULL && left > 0; r = r->prev_of_client) {
        if (r->stage == REQUEST_SENT) {
            first = r;
            left--;
        }
    }
    return first;
}

struct request *client_queue(struct client *c, uint32_t request_flags)
{
    struct request *r = request_take(c->all->pool);

    r->flags = request_flags | (c->async ? REQUEST_ASYNC : 0u);
    if (c->reply_mode != CLIENT_REPLY_ON) {
        r->flags |= REQUEST_SILENT;
        if (c->reply_mode == CLIENT_REPLY_SKIP) {
            c->reply_mode = CLIENT_REPLY_ON;
        }
    }
    client_enter(c, r, NULL);
    c->pending_count++;
    c->unanswered++;
    if ((request_flags & REQUEST_BARRIER) != 0) {
        c->barrier = true;
    }
    if ((request_flags & REQUEST_CLOSE) != 0) {
        c->close_when_sent = true;
    }
    return r;
}

struct request *client_queue_ours(struct client *c, uint32_t request_flags)
{
    enum client_reply_mode mode = c->reply_mode;
    struct request *r = client_queue(c, request_flags);

    c->reply_mode = mode;
    return r;
}

struct request *client_queue_before(struct client *c, struct request *before)
{
    struct request *r = request_take(c->all->pool);

    r->flags = REQUEST_SILENT;
    client_enter(c, r, before);
    c->pending_count++;
    c->unanswered++;
    return r;
}

void client_answer(struct client *c, const void *reply, size_t size, uint32_t request_flags)
{
    if (c->all->capture != NULL) {
        buf_append(c->all->capture, reply, size);
        return;
    }
    struct request *r = client_queue(c, request_flags);

    request_set_reply(r, reply, size);
    r->stage = REQUEST_ANSWERED;
    client_answered(r);
    client_release(r);
}

void client_answer_always(struct client *c, const void *reply, size_t size)
{
    enum client_reply_mode mode = c->reply_mode;

    c->reply_mode = CLIENT_REPLY_ON;
    client_answer(c, reply, size, 0);
    c->reply_mode = mode == CLIENT_REPLY_SKIP ? CLIENT_REPLY_ON : mode;
}

void client_answer_error(struct client *c, const char *text)
{
    struct buf reply = BUF_INIT;

    resp_put_error(&reply, text);
    client_answer(c, buf_head(&reply), reply.len, 0);
    buf_release(&reply);
}

static void client_all_answered(struct client *c)
{
    c->blocks = false;
    if (c->taken_bytes > 0) {
        client_holds(c, 0);
    }
    if (c->postponed) {
        client_resume(c);
    }
}

void client_answered(struct request *r)
{
    size_t bytes = request_reply_bytes(r);

    MUST(r->client != NULL && r->stage == REQUEST_ANSWERED);
    r->client->reply_mean_bytes += bytes / 8;
    r->client->reply_mean_bytes -= r->client->reply_mean_bytes / 8;
    r->client->withheld_bytes += bytes;
    r->client->all->withheld_bytes += bytes;
    if (bytes >= BIGS_BYTES) {
        bigs_add(&r->client->all->bigs, r->big_key);
    } else if ((r->flags & REQUEST_BIG) != 0) {
        bigs_remove(&r->client->all->bigs, r->big_key);
    }
    if (--r->client->unanswered == 0) {
        client_all_answered(r->client);
    }
}

static void client_hangup_cb(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;

    (void)fd;
    (void)what;
    /* Who guesses and gives up must not stay in line. Else what it said is heard first, when that
     * is its turn, and then the end is read. */
    bool gives_up = c->first == NULL && c->waits_to_log_in;
    if (gives_up || client_only_blocks(c) || c->nonce[0] != '\0') {
        client_close(c, "by the client");
    } else {
        client_hangs_up(c);
    }
}

void client_postpone(struct client *c)
{
    c->postponed = true;
    if (c->hangup == NULL) {
        c->hangup = event_new(c->all->base, c->fd, EV_CLOSED, client_hangup_cb, c);
        MUST(c->hangup != NULL);
    }
    (void)event_add(c->hangup, NULL);
}

void client_resume(struct client *c)
{
    c->postponed = false;
    if (c->hangup != NULL) {
        (void)event_del(c->hangup);
    }
    client_needs_flush(c);
}

void client_release(struct request *r)
{
    struct client *c = r->client;

    MUST(c != NULL && r->stage == REQUEST_ANSWERED);
    r->stage = REQUEST_RELEASED;
    if ((r->flags & REQUEST_ACK) != 0) {
        c->acks++;
    }
    if (r == c->first) {
        client_needs_flush(c);
    }
}

/* Moves the replies at the head of the queue that may leave into out. */
static void client_move_released(struct client *c)
{
    while (c->first != NULL && c->first->stage == REQUEST_RELEASED) {
        struct request *r = c->first;
        size_t bytes = request_reply_bytes(r);

        c->withheld_bytes -= bytes;
        c->all->withheld_bytes -= bytes;
        if ((r->flags & REQUEST_WAIT) != 0) {
            c->all->events->wait_reply(c->all->ctx, r);
        }
        if ((r->flags & REQUEST_BARRIER) != 0) {
            c->barrier = false;
        }
        if ((r->flags & REQUEST_ACK) != 0) {
            c->acks--;
        }
        if ((r->flags & REQUEST_SILENT) == 0) {
            request_send_reply(r, &c->out);
        }
        client_unlink(c, r);
        c->pending_count--;
        c->oldest_ns = c->all->now_ns;
        request_give(c->all->pool, r);
    }
}

struct request *client_insert(struct client *c, struct request *before, const void *bytes,
                              size_t size)
{
    struct request *r = request_take(c->all->pool);

    request_set_reply(r, bytes, size);
    r->stage = REQUEST_ANSWERED;
    client_enter(c, r, before);
    c->pending_count++;
    c->withheld_bytes += size;
    c->all->withheld_bytes += size;
    return r;
}

void client_answer_early(struct request *r, const void *bytes, size_t size)
{
    struct client *c = r->client;
    struct request *answer = request_take(c->all->pool);
    uint64_t oldest_ns = c->oldest_ns;

    MUST(r->stage == REQUEST_SENT);
    request_set_reply(answer, bytes, size);
    answer->flags = r->flags & REQUEST_SILENT;
    answer->stage = REQUEST_ANSWERED;
    client_enter(c, answer, r);
    c->oldest_ns = oldest_ns;
    client_unlink(c, r);
    client_leave_request(c, r);
    client_answered(answer);
    client_release(answer);
}

/* A message that must not overtake what stands in the queue, though that was released. */
static void client_queue_push(struct client *c, char head, const uint8_t *rest, size_t size)
{
    struct request *r = request_take(c->all->pool), *behind = c->last;

    while (behind != NULL &&
           ((behind->flags & REQUEST_ACK) == 0 || behind->stage != REQUEST_RELEASED)) {
        behind = behind->prev_of_client;
    }
    MUST(behind != NULL);

    request_add_reply(r, &head, 1);
    request_add_reply(r, rest, size);
    r->flags = REQUEST_ACK;
    r->stage = REQUEST_RELEASED;
    client_enter(c, r, behind->next_of_client);
    c->acks++;
    c->pending_count++;
    c->withheld_bytes += size + 1;
    c->all->withheld_bytes += size + 1;
}

void client_push(struct client *c, char head, const uint8_t *rest, size_t size)
{
    if (c->closing || c->close_when_sent) {
        return;
    }
    client_move_released(c);
    if (c->acks > 0) {
        client_queue_push(c, head, rest, size);
        return;
    }
    chain_append(&c->out, &head, 1);
    chain_append(&c->out, rest, size);
    client_needs_flush(c);
}

static void client_count_unsent(struct client *c, size_t unsent_bytes)
{
    c->all->unsent_bytes += unsent_bytes - c->unsent_counted;
    c->unsent_counted = unsent_bytes;
}

void clients_evict_unsent(struct clients *all)
{
    while (all->unsent_bytes > all->limits.withheld_total_max_bytes) {
        struct client *worst = all->list;
        for (struct client *c = all->list; c != NULL; c = c->next) {
            worst = c->unsent_counted > worst->unsent_counted ? c : worst;
        }
        if (worst == NULL) {
            return;
        }
        log_warn("client %llu closed: %zu bytes wait for it, and all clients' replies are over "
                 "limits.withheld_total_max_bytes",
                 (unsigned long long)worst->id, worst->unsent_counted);
        client_close(worst, "it does not read its replies");
    }
}

static void client_write_later(struct client *c)
{
    if (c->writable == NULL) {
        c->writable = event_new(c->all->base, c->fd, EV_WRITE, client_write_cb, c);
        MUST(c->writable != NULL);
    }
    (void)event_add(c->writable, NULL);
}

static void client_write(struct client *c)
{
    size_t room = CLIENT_WRITE_BYTES;

    if (c->out.len > 0) {
        client_buffers_wrote(&c->buffers, &c->all->buffers, clients_now_ms(c->all), c->out.len);
    }
    while (c->out.len > 0) {
        size_t size;
        const uint8_t *bytes = chain_head(&c->out, &size);
        ssize_t put = room > 0 ? write(c->fd, bytes, size < room ? size : room) : -1;
        if (put < 0) {
            if (room > 0 && errno == EINTR) {
                continue;
            }
            if (room > 0 && errno != EAGAIN) {
                client_close(c, strerror(errno));
                return;
            }
            client_write_later(c);
            return;
        }
        room -= (size_t)put;
        chain_consume(&c->out, (size_t)put);
    }
    chain_trim(&c->out, c->pending_count > 0 ? CLIENT_OUT_KEEP_BYTES : 0);
    if (c->close_when_sent && c->first == NULL) {
        client_close(c, "after its last reply");
    }
}

static void client_write_cb(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;

    (void)fd;
    (void)what;
    if (!c->closing) {
        client_needs_flush(c);
    }
}

static void client_flush(struct client *c)
{
    client_move_released(c);
    client_write(c);
    if (!c->closing) {
        client_count_unsent(c, c->out.len);
    }
    if (!c->closing && client_may_read(c)) {
        client_take_buffered(c);
        if (!c->closing) {
            client_set_reading(c, client_may_read(c));
        }
    }
    /* What is still in its buffer then is no whole request, or waits behind what blocks. */
    bool idle = !c->closing && c->first == NULL && c->out.len == 0 && client_may_read(c);
    if (!c->closing && ((c->ended && idle) || (c->hung_up && client_only_blocks(c)))) {
        client_close(c, "by the client");
    }
}

void clients_flush(struct clients *all)
{
    /* Requests taken in while flushing may be answered at once, which queues their client again. */
    for (int rounds = 0; all->to_flush != NULL && rounds < 8; rounds++) {
        struct client *list = all->to_flush;
        all->to_flush = NULL;
        while (list != NULL) {
            struct client *c = list;
            list = c->next_to_flush;
            c->in_flush_list = false;
            if (!c->closing) {
                client_flush(c);
            }
        }
    }
    clients_free_closed(all);
}

void clients_end_pause(struct clients *all)
{
    all->pause_until_ns = 0;
    clients_take_up(all);
}

void clients_take_up(struct clients *all)
{
    for (struct client *c = all->list; c != NULL; c = c->next) {
        if (c->postponed && c->unanswered == 0) {
            client_resume(c);
        }
    }
}

void clients_pause(struct clients *all, bool paused)
{
    if (all->paused == paused) {
        return;
    }
    all->paused = paused;
    for (struct client *c = all->list; c != NULL; c = c->next) {
        if (paused) {
            client_set_reading(c, false);
        } else {
            client_needs_flush(c);
        }
    }
}
