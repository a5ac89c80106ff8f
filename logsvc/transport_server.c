/* See transport_server.h and transport_nng.h. The way of a request:
 *
 *   nng's thread: receive callback → queue ─condition─▶ server thread: wait, next … release
 *   server thread: reply → an aio of the ring → nng's threads → the connection's queue → TCP
 *
 * There is one receive aio (several would hand out messages in any order). It is armed again by its
 * own callback, or, once the queue has been full, by the release that makes room.
 *
 * Replies use a ring of aios without callback: a callback for each reply would wake a thread for
 * nothing. A slot is taken again after the whole ring; nng has long moved that reply on, since the
 * socket never waits for a connection: one whose own queue is full loses the reply. */
#include "logsvc/transport_server.h"

#include "common/log.h"
#include "common/mem.h"
#include "logsvc/transport_nng.h"

#include <errno.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { REPLY_RING = 256 };

struct transport_server {
    nng_socket socket;
    size_t message_max_bytes;
    size_t queue_max_bytes;
    uint16_t port;

    nng_aio *receive;
    nng_aio *replies[REPLY_RING];
    unsigned reply_next;

    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t arrived;
    nng_msg **queue; /* a ring of queue_cap messages, count of them from first on */
    size_t queue_cap, first, count;
    size_t held_bytes; /* queued, or taken and not yet released */
    bool paused;       /* the receive aio is not armed: held_bytes is over the bound */
    bool woken;
};

static size_t cost_bytes(nng_msg *msg)
{
    /* What an empty message costs all the same. */
    enum { MESSAGE_OVERHEAD_BYTES = 128 };
    return nng_msg_len(msg) + MESSAGE_OVERHEAD_BYTES;
}

static void push(struct transport_server *s, nng_msg *msg)
{
    MUST(s->queue_cap > 0);
    if (s->count == s->queue_cap) {
        size_t cap = s->queue_cap * 2;
        nng_msg **wider = mem_calloc(cap, sizeof(nng_msg *));
        for (size_t i = 0; i < s->count; i++) {
            wider[i] = s->queue[(s->first + i) % s->queue_cap];
        }
        free(s->queue);
        s->queue = wider;
        s->queue_cap = cap;
        s->first = 0;
    }
    s->queue[(s->first + s->count++) % s->queue_cap] = msg;
}

/* Runs on a thread of nng. */
static void received(void *arg)
{
    struct transport_server *s = arg;
    int rv = nng_aio_result(s->receive);

    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED) {
        return; /* transport_server_close */
    }
    if (rv != 0) {
        log_error("transport: receiving failed: %s", nng_strerror(rv));
        nng_recv_aio(s->socket, s->receive);
        return;
    }
    nng_msg *msg = nng_aio_get_msg(s->receive);
    nng_aio_set_msg(s->receive, NULL);

    pthread_mutex_lock(&s->lock);
    push(s, msg);
    s->held_bytes += cost_bytes(msg);
    s->paused = s->held_bytes > s->queue_max_bytes;
    bool again = !s->paused;
    pthread_cond_signal(&s->arrived);
    pthread_mutex_unlock(&s->lock);
    if (again) {
        nng_recv_aio(s->socket, s->receive);
    }
}

static int listen_on(struct transport_server *s, const struct transport_server_config *config)
{
    char url[TRANSPORT_URL_BYTES];
    int rv = transport_url(config->address, url);

    if (rv != ERR_OK) {
        return rv;
    }
    nng_listener listener;
    rv = transport_tune(s->socket, config->message_max_bytes);
    if (rv == 0) {
        /* One word of header: requests that came by way of others are dropped. */
        rv = nng_socket_set_int(s->socket, NNG_OPT_MAXTTL, 1);
    }
    if (rv == 0) {
        rv = nng_listen(s->socket, url, &listener, 0);
    }
    int port = 0;
    if (rv == 0) {
        rv = nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port);
    }
    if (rv != 0) {
        log_error("transport: cannot listen on %s: %s", config->address, nng_strerror(rv));
    }
    s->port = (uint16_t)port;
    return transport_err(rv);
}

static void cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    MUST(pthread_condattr_init(&attr) == 0);
    MUST(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    MUST(pthread_cond_init(cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

int transport_server_open(struct transport_server **out,
                          const struct transport_server_config *config)
{
    MUST(config->queue_max_bytes >= config->message_max_bytes);
    nng_socket socket;
    int rv = nng_rep0_open_raw(&socket);
    if (rv != 0) {
        log_error("transport: cannot open a socket: %s", nng_strerror(rv));
        return transport_err(rv);
    }
    struct transport_server *s = mem_calloc(1, sizeof *s);
    s->socket = socket;
    s->message_max_bytes = config->message_max_bytes;
    s->queue_max_bytes = config->queue_max_bytes;
    s->queue_cap = 64;
    s->queue = mem_calloc(s->queue_cap, sizeof(nng_msg *));
    MUST(pthread_mutex_init(&s->lock, NULL) == 0);
    cond_init_monotonic(&s->arrived);
    s->receive = transport_aio(received, s);
    for (unsigned i = 0; i < REPLY_RING; i++) {
        s->replies[i] = transport_aio(NULL, NULL);
    }
    rv = listen_on(s, config);
    if (rv != ERR_OK) {
        transport_server_close(s);
        return rv;
    }
    nng_recv_aio(s->socket, s->receive);
    *out = s;
    return ERR_OK;
}

/* An aio that was not sent still owns its message. */
static void free_unsent(nng_aio *aio)
{
    nng_msg *msg = nng_aio_get_msg(aio);

    if (msg != NULL && nng_aio_result(aio) != 0) {
        nng_msg_free(msg);
    }
    nng_aio_set_msg(aio, NULL);
}

void transport_server_close(struct transport_server *s)
{
    /* First our own operations, then the socket: its end then has nobody left to wait for. */
    nng_aio_stop(s->receive);
    for (unsigned i = 0; i < REPLY_RING; i++) {
        nng_aio_stop(s->replies[i]);
        free_unsent(s->replies[i]);
    }
    nng_close(s->socket);
    nng_aio_free(s->receive);
    for (unsigned i = 0; i < REPLY_RING; i++) {
        nng_aio_free(s->replies[i]);
    }
    for (size_t i = 0; i < s->count; i++) {
        nng_msg_free(s->queue[(s->first + i) % s->queue_cap]);
    }
    free(s->queue);
    pthread_cond_destroy(&s->arrived);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

uint16_t transport_server_port(const struct transport_server *s)
{
    return s->port;
}

bool transport_server_wait(struct transport_server *s, int timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 0) {
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += (timeout_ms % 1000) * 1000000l;
        if (until.tv_nsec >= 1000000000l) {
            until.tv_nsec -= 1000000000l;
            until.tv_sec++;
        }
    }
    pthread_mutex_lock(&s->lock);
    while (s->count == 0 && !s->woken && timeout_ms != 0) {
        if (timeout_ms < 0) {
            pthread_cond_wait(&s->arrived, &s->lock);
        } else if (pthread_cond_timedwait(&s->arrived, &s->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    s->woken = false;
    bool some = s->count > 0;
    pthread_mutex_unlock(&s->lock);
    return some;
}

void transport_server_wake(struct transport_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    pthread_cond_signal(&s->arrived);
    pthread_mutex_unlock(&s->lock);
}

static nng_msg *pop(struct transport_server *s)
{
    nng_msg *msg = NULL;

    pthread_mutex_lock(&s->lock);
    if (s->count > 0) {
        msg = s->queue[s->first];
        s->first = (s->first + 1) % s->queue_cap;
        s->count--;
    }
    pthread_mutex_unlock(&s->lock);
    return msg;
}

bool transport_server_next(struct transport_server *s, struct transport_request *out)
{
    nng_msg *msg = pop(s);

    if (msg == NULL) {
        return false;
    }
    /* nng has made sure of both words: a message without them never gets here. */
    *out = (struct transport_request){
        .bytes = nng_msg_body(msg), .size = nng_msg_len(msg), .held = msg};
    MUST(nng_msg_header_len(msg) >= (size_t)2 * TRANSPORT_ID_BYTES);
    MUST(nng_msg_header_trim_u32(msg, &out->from.connection) == 0);
    MUST(nng_msg_header_trim_u32(msg, &out->from.request) == 0);
    return true;
}

void transport_server_release(struct transport_server *s, struct transport_request *request)
{
    nng_msg *msg = request->held;

    pthread_mutex_lock(&s->lock);
    s->held_bytes -= cost_bytes(msg);
    bool resume = s->paused && s->held_bytes <= s->queue_max_bytes;
    if (resume) {
        s->paused = false;
    }
    pthread_mutex_unlock(&s->lock);
    nng_msg_free(msg);
    *request = (struct transport_request){0};
    if (resume) {
        nng_recv_aio(s->socket, s->receive);
    }
}

void transport_server_reply(struct transport_server *s, const struct transport_reply_to *to,
                            const void *head, size_t head_size, const void *payload,
                            size_t payload_size)
{
    if (head_size + payload_size > s->message_max_bytes) {
        log_error("transport: a reply of %zu bytes is over the limit of %zu: not sent",
                  head_size + payload_size, s->message_max_bytes);
        return;
    }
    nng_msg *msg = transport_message(head, head_size, payload, payload_size);
    MUST(nng_msg_header_append_u32(msg, to->connection) == 0);
    MUST(nng_msg_header_append_u32(msg, to->request) == 0);

    nng_aio *aio = s->replies[s->reply_next];
    s->reply_next = (s->reply_next + 1) % REPLY_RING;
    nng_aio_wait(aio);
    free_unsent(aio);
    nng_aio_set_msg(aio, msg);
    nng_send_aio(s->socket, aio);
}
