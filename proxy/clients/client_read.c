/* What a client says: read, framed, handed to the owner, as far as its bounds allow; and the ways
 * in which it may have said its last. */
#include "proxy/clients/client_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

enum { CLIENT_BIG_READ_BYTES = 1 << 20 };
/* How soon it is asked whether who says nothing more is still there. */
enum { CLIENT_ENDED_ASK_S = 20 };

/* What waits for this client, and what its pending requests may bring by the mean of its replies:
 * a pipeline of requests for large values must not be taken in as if they were small. */
static size_t client_expected_bytes(const struct client *c)
{
    return c->withheld_bytes + c->out.len + c->pending_count * c->reply_mean_bytes;
}

bool client_may_read(const struct client *c)
{
    const struct client_limits *limits = &c->all->limits;

    return !c->closing && !c->close_when_sent && !c->barrier && !c->postponed && !c->all->paused &&
           c->pending_count < limits->pending_max &&
           (c->taken_bytes == 0 || c->in.len < BIGS_BYTES) &&
           client_expected_bytes(c) < limits->withheld_max_bytes;
}

void client_set_reading(struct client *c, bool reading)
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

void client_take_buffered(struct client *c)
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
bool client_only_blocks(const struct client *c)
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

void client_read_cb(evutil_socket_t fd, short what, void *arg)
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
