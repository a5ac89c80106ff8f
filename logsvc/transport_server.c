/* See transport_server.h and logsvc/framed.h. All of a request's way is the server thread's:
 *
 *   wait: epoll, received, cut → queue → next … release; reply → sendmsg
 *
 * nng's threads accept connections, bring them to their end, and send what a peer did not take at
 * once. What they have to tell is under one lock; an eventfd, among the connections in epoll, wakes
 * the server thread for it.
 *
 * Connections live in slots, which are made when needed and used again. An accept is under way only
 * while a slot is free for what it brings. There is one more than connections may be: the new one
 * takes it while the one that is closed for it comes to its end, and then that one's is free. */
#include "logsvc/transport_server.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/framed.h"
#include "logsvc/transport_nng.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { CONNECTIONS_MAX = TRANSPORT_SERVER_CONNECTIONS_MAX, SLOTS_MAX = CONNECTIONS_MAX + 1 };
enum { BACKLOG_MAX = 64, BACKLOG_MAX_BYTES = 8 * 1024 * 1024 };
enum { ACCEPT_PAUSE_MS = 50, COMPLAIN_S = 10 };
enum { ENDED_MAX = 64 }; /* connections whose end was not told yet */
enum { EVENTS_MAX = 64 };

struct slot {
    struct transport_server *server;
    struct framed framed;
    bool used;
    bool open;           /* its connection counts */
    bool good;           /* it has sent a good message */
    uint64_t heard_ns;   /* when it sent its last one, or came */
    uint64_t connection; /* its number */
};

struct requests {
    struct framed_message *first, **end;
};

struct transport_server {
    nng_stream_listener *listener;
    size_t message_max_bytes;
    size_t reply_max_bytes;
    size_t queue_max_bytes;
    uint64_t idle_ns;
    uint16_t port;
    nng_aio *accept;
    nng_aio *pause; /* after an accept that failed */
    struct framed_wait wait;

    pthread_mutex_t lock; /* protects what follows */
    struct slot *slots[SLOTS_MAX];
    unsigned slot_count;
    unsigned open_count;
    uint64_t connections; /* the last number that was given to one */
    bool accept_waits;    /* for a free slot */
    bool closing;
    uint64_t ended[ENDED_MAX];
    unsigned ended_count;
    bool woken;
    bool signal; /* the owner is to be woken once the lock is given back */
    uint64_t complain_ns;

    struct requests queue; /* the server thread only */
    size_t held_bytes;     /* queued, or taken and not yet released */
    bool paused;           /* some connection waits for room */
    unsigned resume_at;    /* the slot that is resumed first, in turn */
};

static void requests_init(struct requests *r)
{
    r->first = NULL;
    r->end = &r->first;
}

static void requests_add(struct requests *r, struct framed_message *m)
{
    *r->end = m;
    r->end = &m->next;
}

static struct framed_message *requests_take(struct requests *r)
{
    struct framed_message *m = r->first;

    if (m != NULL) {
        r->first = m->next;
        m->next = NULL;
        if (r->first == NULL) {
            r->end = &r->first;
        }
    }
    return m;
}

static void requests_free(struct requests *r)
{
    for (struct framed_message *m; (m = requests_take(r)) != NULL;) {
        framed_message_free(m);
    }
}

static void enter(struct transport_server *s)
{
    pthread_mutex_lock(&s->lock);
}

/* The server thread is woken without the lock, so that it doesn't wake up only to wait for it. */
static void leave(struct transport_server *s)
{
    bool signal = s->signal;

    s->signal = false;
    pthread_mutex_unlock(&s->lock);
    if (signal) {
        framed_wait_wake(&s->wait);
    }
}

/* With the lock held. */
static void wake(struct transport_server *s)
{
    s->signal = s->signal || !s->woken;
    s->woken = true;
}

/* --- what a connection calls --- */

static struct transport_server *server_of(struct framed *f)
{
    return ((struct slot *)f->owner)->server;
}

static void slot_enter(struct framed *f)
{
    enter(server_of(f));
}

static void slot_leave(struct framed *f)
{
    leave(server_of(f));
}

static void slot_greeted(struct framed *f)
{
    (void)f;
}

static bool slot_room(struct framed *f)
{
    struct transport_server *s = server_of(f);
    bool room = s->held_bytes <= s->queue_max_bytes;

    s->paused = s->paused || !room;
    return room;
}

static void slot_message(struct framed *f, struct framed_message *m)
{
    struct slot *slot = f->owner;
    struct transport_server *s = slot->server;

    m->good = slot->good;
    slot->heard_ns = clock_now_ns();
    s->held_bytes += framed_cost_bytes(m);
    requests_add(&s->queue, m);
}

static void slot_sent(struct framed *f)
{
    (void)f; /* what was refused has been dropped */
}

static void slot_down(struct framed *f, const char *reason)
{
    struct slot *slot = f->owner;
    struct transport_server *s = slot->server;

    slot->open = false;
    s->open_count--;
    if (s->ended_count < ENDED_MAX) {
        s->ended[s->ended_count++] = slot->connection;
        wake(s);
    }
    if (reason != NULL && clock_now_ns() >= s->complain_ns) {
        log_warn("transport: a connection was cut: %s", reason);
        s->complain_ns = clock_now_ns() + COMPLAIN_S * CLOCK_NS_PER_S;
    }
}

static void slot_gone(struct framed *f)
{
    struct slot *slot = f->owner;
    struct transport_server *s = slot->server;

    slot->used = false;
    if (s->accept_waits && !s->closing) {
        s->accept_waits = false;
        nng_stream_listener_accept(s->listener, s->accept);
    }
}

static const struct framed_calls slot_calls = {
    .enter = slot_enter,
    .leave = slot_leave,
    .greeted = slot_greeted,
    .room = slot_room,
    .message = slot_message,
    .sent = slot_sent,
    .down = slot_down,
    .gone = slot_gone,
};

/* --- accepting; with the lock held --- */

static struct slot *slot_find_free(struct transport_server *s)
{
    for (unsigned i = 0; i < s->slot_count; i++) {
        if (!s->slots[i]->used) {
            return s->slots[i];
        }
    }
    return NULL;
}

static bool slot_available(struct transport_server *s)
{
    return s->slot_count < SLOTS_MAX || slot_find_free(s) != NULL;
}

static struct slot *slot_take(struct transport_server *s)
{
    const struct framed_limits limits = {.message_max_bytes = s->message_max_bytes,
                                         .setting = "message_max_bytes; it has to be more than "
                                                    "log.append_max_bytes of every proxy",
                                         .send_max_bytes = s->reply_max_bytes,
                                         .backlog_max = BACKLOG_MAX,
                                         .backlog_max_bytes = BACKLOG_MAX_BYTES};
    struct slot *slot = slot_find_free(s);

    if (slot == NULL) {
        MUST(s->slot_count < SLOTS_MAX);
        slot = mem_calloc(1, sizeof *slot);
        slot->server = s;
        framed_init(&slot->framed, &slot_calls, slot, &limits, s->wait.epoll_fd);
        s->slots[s->slot_count++] = slot;
    }
    slot->used = slot->open = true;
    slot->good = false;
    slot->heard_ns = clock_now_ns();
    slot->connection = ++s->connections;
    s->open_count++;
    return slot;
}

/* Whether a is rather to be closed than b (NULL: none). */
static bool slot_goes_first(const struct slot *a, const struct slot *b)
{
    if (b == NULL || a->good != b->good) {
        return b == NULL || !a->good;
    }
    return a->good ? a->heard_ns < b->heard_ns : a->connection < b->connection;
}

/* Makes room for one connection more, if need be; false: there is none. */
static bool slot_make_room(struct transport_server *s)
{
    struct slot *first = NULL;

    if (s->open_count < CONNECTIONS_MAX) {
        return true;
    }
    for (unsigned i = 0; i < s->slot_count; i++) {
        struct slot *slot = s->slots[i];
        if (slot->framed.state == FRAMED_OPEN && slot_goes_first(slot, first)) {
            first = slot;
        }
    }
    if (first == NULL || (first->good && clock_now_ns() - first->heard_ns < s->idle_ns)) {
        return false;
    }
    framed_break(&first->framed, first->good
                                     ? "there are too many, and it has been silent for long"
                                     : "there are too many, and it has said nothing that we know");
    return true;
}

/* Runs on a thread of nng. */
static void accepted(void *arg)
{
    struct transport_server *s = arg;
    int rv = nng_aio_result(s->accept);
    nng_stream *stream = rv == 0 ? nng_aio_get_output(s->accept, 0) : NULL;
    struct slot *slot = NULL;

    enter(s);
    bool closing = s->closing;
    if (stream != NULL && !closing && slot_make_room(s)) {
        slot = slot_take(s);
    }
    leave(s);
    if (slot != NULL) {
        framed_start(&slot->framed, stream, slot->connection);
    } else if (stream != NULL) {
        nng_stream_free(stream);
    }
    if (closing) {
        return;
    }
    if (stream == NULL) { /* no descriptors left, or the like: trying again at once helps nobody */
        nng_sleep_aio(ACCEPT_PAUSE_MS, s->pause);
        return;
    }
    enter(s);
    s->accept_waits = !slot_available(s);
    if (!s->accept_waits && !s->closing) {
        nng_stream_listener_accept(s->listener, s->accept);
    }
    leave(s);
}

/* Runs on a thread of nng. */
static void accept_paused(void *arg)
{
    struct transport_server *s = arg;

    if (nng_aio_result(s->pause) == 0) { /* it isn't cancelled */
        nng_stream_listener_accept(s->listener, s->accept);
    }
}

/* --- opening and closing --- */

static int listen_on(struct transport_server *s, const char *address)
{
    char url[TRANSPORT_URL_BYTES];
    int port = 0;
    int rv = transport_url(address, url);

    if (rv != ERR_OK) {
        return rv;
    }
    rv = nng_stream_listener_alloc(&s->listener, url);
    if (rv != 0) {
        s->listener = NULL;
    }
    if (rv == 0) {
        rv = nng_stream_listener_set_bool(s->listener, NNG_OPT_TCP_NODELAY, true);
    }
    if (rv == 0) {
        rv = nng_stream_listener_set_bool(s->listener, NNG_OPT_TCP_KEEPALIVE, true);
    }
    if (rv == 0) {
        rv = nng_stream_listener_listen(s->listener);
    }
    if (rv == 0) {
        rv = nng_stream_listener_get_int(s->listener, NNG_OPT_TCP_BOUND_PORT, &port);
    }
    if (rv != 0) {
        log_error("transport: cannot listen on %s: %s", address, nng_strerror(rv));
    }
    s->port = (uint16_t)port;
    return transport_err(rv);
}

int transport_server_open(struct transport_server **out,
                          const struct transport_server_config *config)
{
    MUST(config->queue_max_bytes >= config->message_max_bytes);
    struct transport_server *s = mem_calloc(1, sizeof *s);
    s->message_max_bytes = config->message_max_bytes;
    s->reply_max_bytes =
        config->reply_max_bytes > 0 ? config->reply_max_bytes : config->message_max_bytes;
    s->queue_max_bytes = config->queue_max_bytes;
    s->idle_ns =
        (config->idle_ms > 0 ? config->idle_ms : TRANSPORT_SERVER_IDLE_MS) * CLOCK_NS_PER_MS;
    requests_init(&s->queue);
    MUST(pthread_mutex_init(&s->lock, NULL) == 0);
    s->accept = transport_aio(accepted, s);
    s->pause = transport_aio(accept_paused, s);
    int rv = framed_wait_open(&s->wait);
    if (rv == ERR_OK) {
        rv = listen_on(s, config->address);
    }
    if (rv != ERR_OK) {
        transport_server_close(s);
        return rv;
    }
    nng_stream_listener_accept(s->listener, s->accept);
    *out = s;
    return ERR_OK;
}

void transport_server_close(struct transport_server *s)
{
    enter(s);
    s->closing = true;
    leave(s);
    if (s->listener != NULL) {
        nng_stream_listener_close(s->listener);
    }
    /* Whoever could begin something is stopped before that something; freeing waits for what the
     * accept aio began in between. */
    nng_aio_stop(s->pause);
    nng_aio_stop(s->accept);
    for (unsigned i = 0; i < s->slot_count; i++) {
        framed_stop(&s->slots[i]->framed);
    }
    nng_aio_free(s->pause);
    nng_aio_free(s->accept);
    for (unsigned i = 0; i < s->slot_count; i++) {
        framed_fini(&s->slots[i]->framed);
        free(s->slots[i]);
    }
    if (s->listener != NULL) {
        nng_stream_listener_free(s->listener);
    }
    requests_free(&s->queue);
    framed_wait_close(&s->wait);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

uint16_t transport_server_port(const struct transport_server *s)
{
    return s->port;
}

/* --- the server thread --- */

/* Lets connections go on that waited for room, if there is some. */
static void resume(struct transport_server *s)
{
    if (!s->paused || s->held_bytes > s->queue_max_bytes) {
        return;
    }
    s->paused = false;
    enter(s);
    unsigned count = s->slot_count;
    leave(s);
    s->resume_at++;
    for (unsigned i = 0; i < count; i++) {
        framed_resume(&s->slots[(s->resume_at + i) % count]->framed);
    }
}

/* Receives what has come; waits for it up to timeout_ms (< 0: no limit). */
static void receive(struct transport_server *s, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(s->wait.epoll_fd, events, EVENTS_MAX, timeout_ms);

    MUST(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr != NULL) {
            framed_pull(events[i].data.ptr, events[i].events);
        } else {
            framed_wait_drain(&s->wait);
        }
    }
}

static bool take_wake(struct transport_server *s)
{
    enter(s);
    bool woken = s->woken;
    s->woken = false;
    leave(s);
    return woken;
}

bool transport_server_wait(struct transport_server *s, int timeout_ms)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t until_ns = now_ns + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * CLOCK_NS_PER_MS;
    bool over = false;

    resume(s);
    while (s->queue.first == NULL && !over && !take_wake(s)) {
        uint64_t left_ms = (until_ns - now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
        receive(s, timeout_ms < 0 ? -1 : (int)left_ms);
        now_ns = clock_now_ns();
        over = timeout_ms >= 0 && now_ns >= until_ns;
    }
    return s->queue.first != NULL;
}

void transport_server_wake(struct transport_server *s)
{
    enter(s);
    wake(s);
    leave(s);
}

bool transport_server_closed(struct transport_server *s, uint64_t *connection)
{
    enter(s);
    bool some = s->ended_count > 0;
    if (some) {
        *connection = s->ended[--s->ended_count];
    }
    leave(s);
    return some;
}

bool transport_server_next(struct transport_server *s, struct transport_request *out)
{
    if (s->queue.first == NULL) {
        resume(s);
    }
    struct framed_message *m = requests_take(&s->queue);
    if (m == NULL) {
        return false;
    }
    *out = (struct transport_request){
        .bytes = m->bytes, .size = m->size, .from = {m->connection}, .good = m->good, .held = m};
    return true;
}

void transport_server_release(struct transport_server *s, struct transport_request *request)
{
    struct framed_message *m = request->held;

    s->held_bytes -= framed_cost_bytes(m);
    framed_message_free(m);
    *request = (struct transport_request){0};
}

/* With the lock held. NULL: it is gone. */
static struct slot *slot_of(struct transport_server *s, uint64_t connection)
{
    for (unsigned i = 0; i < s->slot_count; i++) {
        if (s->slots[i]->open && s->slots[i]->connection == connection) {
            return s->slots[i];
        }
    }
    return NULL;
}

void transport_server_good(struct transport_server *s, const struct transport_reply_to *from)
{
    enter(s);
    struct slot *slot = slot_of(s, from->connection);
    if (slot != NULL) {
        slot->good = true;
    }
    leave(s);
}

void transport_server_reply(struct transport_server *s, const struct transport_reply_to *to,
                            const void *head, size_t head_size, const void *payload,
                            size_t payload_size)
{
    if (head_size + payload_size > s->reply_max_bytes) {
        log_error("transport: a reply of %zu bytes is over the limit of %zu: not sent",
                  head_size + payload_size, s->reply_max_bytes);
        return;
    }
    enter(s);
    struct slot *slot = slot_of(s, to->connection);
    leave(s);
    /* Should it go right now, its number tells. */
    if (slot != NULL &&
        !framed_send(&slot->framed, to->connection, head, head_size, payload, payload_size)) {
        log_debug("transport: a reply was dropped, since its peer doesn't read");
    }
}
