/* See transport.h and transport_nng.h. One raw REQ socket with one dialer for each node.
 *
 *   nng's threads: receive, send and pipe callbacks → queue ─eventfd─▶ event loop: transport_next
 *   event loop: transport_send → the send aio of the link → nng's threads → TCP
 *
 * The queue is a list of notes and messages under one lock; the loop takes it as a whole (a batch),
 * so the lock is touched once a batch, and the eventfd is written only when the loop has drained.
 *
 * Connections (nng's pipes) have numbers. link.pipe is the one that is up now, as nng's callbacks
 * say; link.told is the one that the owner was last told of. A message of any other is dropped and
 * nothing is sent unless both are equal: so no connection sees anything of the one before. A send
 * that waits in the socket when its connection goes is cancelled in the callback that says so; nng
 * dials again only after that callback. */
#include "logsvc/client/transport.h"

#include "common/log.h"
#include "common/mem.h"
#include "logsvc/transport_nng.h"

#include <errno.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RECONNECT_MIN_MS = 20, RECONNECT_MAX_MS = 500 };
/* What an empty message costs all the same. */
enum { MESSAGE_OVERHEAD_BYTES = 128 };

struct link {
    struct transport *t;
    unsigned node;
    bool open;
    nng_socket socket;
    nng_aio *send;
    nng_aio *receive;

    /* Under the lock. */
    uint32_t pipe;     /* the connection; 0: down */
    bool pipe_noted;   /* a note of its change is queued */
    bool sending;      /* the send aio is in use */
    bool ready_wanted; /* a send was refused for that */
    bool paused;       /* the receive aio is not armed: held_bytes is over the bound */
    size_t held_bytes; /* queued or in the batch */

    /* The owner's thread only. */
    uint32_t told;      /* the connection the owner knows of; 0: down */
    uint32_t request;   /* number of the last message sent */
    size_t freed_bytes; /* consumed from the batch, not yet taken off held_bytes */
};

enum note_kind { NOTE_PIPE, NOTE_READY, NOTE_MESSAGE };

struct note {
    enum note_kind kind;
    unsigned node;
    nng_msg *msg; /* NOTE_MESSAGE */
};

struct notes {
    struct note *v;
    size_t count, cap;
};

struct transport {
    size_t message_max_bytes;
    size_t queue_max_bytes;
    unsigned node_count;
    int event_fd;
    struct link links[TRANSPORT_NODES_MAX];

    pthread_mutex_t lock; /* protects queue, signalled and the links' upper half */
    struct notes queue;
    bool signalled; /* the eventfd was written and not yet reset */

    struct notes batch; /* the owner's thread only */
    size_t batch_at;
    nng_msg *current; /* handed out by the last transport_next */
};

/* Appends a note; call it with the lock held. Whether signal_owner must be called afterwards. */
static bool note_add(struct transport *t, struct note note)
{
    struct notes *q = &t->queue;

    if (q->count == q->cap) {
        q->cap = q->cap == 0 ? 64 : q->cap * 2;
        q->v = mem_realloc(q->v, q->cap * sizeof *q->v);
    }
    q->v[q->count++] = note;
    bool first = !t->signalled;
    t->signalled = true;
    return first;
}

/* Without the lock, so that the owner does not wake up only to wait for it. If the owner drains the
 * queue first, it wakes once more for nothing. */
static void signal_owner(struct transport *t)
{
    uint64_t one = 1;
    ssize_t n = write(t->event_fd, &one, sizeof one);
    MUST(n == (ssize_t)sizeof one || errno == EAGAIN);
}

/* Runs on a thread of nng. */
static void received(void *arg)
{
    struct link *l = arg;
    struct transport *t = l->t;
    int rv = nng_aio_result(l->receive);

    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED) {
        return; /* transport_close */
    }
    if (rv != 0) {
        log_error("transport: receiving failed: %s", nng_strerror(rv));
        nng_recv_aio(l->socket, l->receive);
        return;
    }
    nng_msg *msg = nng_aio_get_msg(l->receive);
    nng_aio_set_msg(l->receive, NULL);

    pthread_mutex_lock(&t->lock);
    l->held_bytes += nng_msg_len(msg) + MESSAGE_OVERHEAD_BYTES;
    l->paused = l->held_bytes > t->queue_max_bytes;
    bool again = !l->paused;
    bool signal = note_add(t, (struct note){.kind = NOTE_MESSAGE, .node = l->node, .msg = msg});
    pthread_mutex_unlock(&t->lock);
    if (signal) {
        signal_owner(t);
    }
    if (again) {
        nng_recv_aio(l->socket, l->receive);
    }
}

static void free_unsent(nng_aio *aio)
{
    nng_msg *msg = nng_aio_get_msg(aio);

    if (msg != NULL && nng_aio_result(aio) != 0) {
        nng_msg_free(msg);
    }
    nng_aio_set_msg(aio, NULL);
}

/* Runs on a thread of nng: the message was taken by the connection, or the send was cancelled. */
static void sent(void *arg)
{
    struct link *l = arg;
    struct transport *t = l->t;
    bool signal = false;

    free_unsent(l->send);
    pthread_mutex_lock(&t->lock);
    l->sending = false;
    if (l->ready_wanted) {
        l->ready_wanted = false;
        signal = note_add(t, (struct note){.kind = NOTE_READY, .node = l->node});
    }
    pthread_mutex_unlock(&t->lock);
    if (signal) {
        signal_owner(t);
    }
}

/* Runs on a thread of nng. Nothing here waits: cancelling only marks the aio and queues its end. */
static void pipe_changed(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct link *l = arg;
    struct transport *t = l->t;
    bool signal = false;
    bool up = event == NNG_PIPE_EV_ADD_POST;

    pthread_mutex_lock(&t->lock);
    if (up || l->pipe == pipe.id) {
        l->pipe = up ? pipe.id : 0;
        if (!up) {
            nng_aio_cancel(l->send);
        }
        if (!l->pipe_noted) {
            l->pipe_noted = true;
            signal = note_add(t, (struct note){.kind = NOTE_PIPE, .node = l->node});
        }
    }
    pthread_mutex_unlock(&t->lock);
    if (signal) {
        signal_owner(t);
    }
}

static int link_dial(struct link *l, const struct transport_config *config)
{
    char url[TRANSPORT_URL_BYTES];
    nng_dialer dialer;
    int min_ms = config->reconnect_min_ms > 0 ? config->reconnect_min_ms : RECONNECT_MIN_MS;
    int max_ms = config->reconnect_max_ms > 0 ? config->reconnect_max_ms : RECONNECT_MAX_MS;
    int rv = transport_url(config->addresses[l->node], url);

    if (rv != ERR_OK) {
        return rv;
    }
    rv = transport_tune(l->socket, config->message_max_bytes);
    if (rv == 0) {
        rv = nng_socket_set_ms(l->socket, NNG_OPT_RECONNMINT, min_ms);
    }
    if (rv == 0) {
        rv = nng_socket_set_ms(l->socket, NNG_OPT_RECONNMAXT, max_ms);
    }
    if (rv == 0) {
        rv = nng_pipe_notify(l->socket, NNG_PIPE_EV_ADD_POST, pipe_changed, l);
    }
    if (rv == 0) {
        rv = nng_pipe_notify(l->socket, NNG_PIPE_EV_REM_POST, pipe_changed, l);
    }
    if (rv == 0) {
        rv = nng_dialer_create(&dialer, l->socket, url);
    }
    if (rv == 0) {
        rv = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
    }
    if (rv != 0) {
        log_error("transport: cannot connect to %s: %s", config->addresses[l->node],
                  nng_strerror(rv));
        return transport_err(rv);
    }
    nng_recv_aio(l->socket, l->receive);
    return ERR_OK;
}

static int link_open(struct link *l, struct transport *t, unsigned node,
                     const struct transport_config *config)
{
    int rv = nng_req0_open_raw(&l->socket);

    if (rv != 0) {
        log_error("transport: cannot open a socket: %s", nng_strerror(rv));
        return transport_err(rv);
    }
    l->t = t;
    l->node = node;
    l->open = true;
    l->send = transport_aio(sent, l);
    l->receive = transport_aio(received, l);
    return link_dial(l, config);
}

int transport_open(struct transport **out, const struct transport_config *config)
{
    MUST(config->node_count >= 1 && config->node_count <= TRANSPORT_NODES_MAX);
    MUST(config->queue_max_bytes >= config->message_max_bytes);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        log_error("transport: cannot make an eventfd: %s", strerror(errno));
        return ERR_IO;
    }
    struct transport *t = mem_calloc(1, sizeof *t);
    t->message_max_bytes = config->message_max_bytes;
    t->queue_max_bytes = config->queue_max_bytes;
    t->node_count = config->node_count;
    t->event_fd = fd;
    MUST(pthread_mutex_init(&t->lock, NULL) == 0);
    for (unsigned i = 0; i < t->node_count; i++) {
        int rv = link_open(&t->links[i], t, i, config);
        if (rv != ERR_OK) {
            transport_close(t);
            return rv;
        }
    }
    *out = t;
    return ERR_OK;
}

static void notes_free(struct notes *n, size_t from)
{
    for (size_t i = from; i < n->count; i++) {
        if (n->v[i].kind == NOTE_MESSAGE) {
            nng_msg_free(n->v[i].msg);
        }
    }
    free(n->v);
}

void transport_close(struct transport *t)
{
    /* First our own operations, then the sockets, whose ends still call pipe_changed. */
    for (unsigned i = 0; i < t->node_count; i++) {
        if (t->links[i].open) {
            nng_aio_stop(t->links[i].send);
            nng_aio_stop(t->links[i].receive);
        }
    }
    for (unsigned i = 0; i < t->node_count; i++) {
        if (t->links[i].open) {
            nng_close(t->links[i].socket);
            nng_aio_free(t->links[i].send);
            nng_aio_free(t->links[i].receive);
        }
    }
    if (t->current != NULL) {
        nng_msg_free(t->current);
    }
    notes_free(&t->batch, t->batch_at);
    notes_free(&t->queue, 0);
    close(t->event_fd);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int transport_fd(const struct transport *t)
{
    return t->event_fd;
}

/* Takes what has come in as the next batch; false: nothing, and the eventfd is reset. */
static bool batch_take(struct transport *t)
{
    bool resume[TRANSPORT_NODES_MAX] = {false};

    t->batch.count = 0;
    t->batch_at = 0;
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < t->node_count; i++) {
        struct link *l = &t->links[i];
        l->held_bytes -= l->freed_bytes;
        l->freed_bytes = 0;
        resume[i] = l->paused && l->held_bytes <= t->queue_max_bytes;
        if (resume[i]) {
            l->paused = false;
        }
    }
    struct notes empty = t->batch;
    t->batch = t->queue;
    t->queue = empty;
    if (t->batch.count == 0) {
        uint64_t value;
        ssize_t n = read(t->event_fd, &value, sizeof value);
        MUST(n == (ssize_t)sizeof value || errno == EAGAIN);
        t->signalled = false;
    }
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < t->node_count; i++) {
        if (resume[i]) {
            nng_recv_aio(t->links[i].socket, t->links[i].receive);
        }
    }
    return t->batch.count > 0;
}

/* Says the next change between what the owner knows of a link and what is; false: none, the note
 * is dealt with. */
static bool tell_pipe(struct transport *t, struct link *l, struct transport_event *out)
{
    pthread_mutex_lock(&t->lock);
    uint32_t pipe = l->pipe;
    bool down = l->told != 0 && l->told != pipe;
    bool up = l->told == 0 && pipe != 0;
    if (!down && !up) {
        l->pipe_noted = false;
    }
    pthread_mutex_unlock(&t->lock);
    if (!down && !up) {
        return false;
    }
    l->told = down ? 0 : pipe;
    *out = (struct transport_event){.kind = down ? TRANSPORT_DOWN : TRANSPORT_UP, .node = l->node};
    return true;
}

/* Ends the life of the message that was handed out. */
static void current_free(struct transport *t)
{
    if (t->current != NULL) {
        struct link *l = &t->links[t->batch.v[t->batch_at - 1].node];
        l->freed_bytes += nng_msg_len(t->current) + MESSAGE_OVERHEAD_BYTES;
        nng_msg_free(t->current);
        t->current = NULL;
    }
}

bool transport_next(struct transport *t, struct transport_event *out)
{
    for (;;) {
        current_free(t);
        if (t->batch_at == t->batch.count && !batch_take(t)) {
            return false;
        }
        struct note *note = &t->batch.v[t->batch_at];
        struct link *l = &t->links[note->node];
        if (note->kind == NOTE_PIPE) {
            if (tell_pipe(t, l, out)) {
                return true; /* the note stays: there may be more to say */
            }
            t->batch_at++;
        } else if (note->kind == NOTE_READY) {
            t->batch_at++;
            if (l->told != 0) {
                *out = (struct transport_event){.kind = TRANSPORT_READY, .node = l->node};
                return true;
            }
        } else {
            t->batch_at++;
            t->current = note->msg;
            if (l->told != 0 && (uint32_t)nng_msg_get_pipe(note->msg).id == l->told) {
                *out = (struct transport_event){.kind = TRANSPORT_MESSAGE,
                                                .node = l->node,
                                                .bytes = nng_msg_body(note->msg),
                                                .size = nng_msg_len(note->msg)};
                return true;
            }
        }
    }
}

/* With the lock held. */
static bool link_can_send(const struct link *l)
{
    return l->told != 0 && l->pipe == l->told && !l->sending;
}

bool transport_ready(struct transport *t, unsigned node)
{
    struct link *l = &t->links[node];

    pthread_mutex_lock(&t->lock);
    bool ready = link_can_send(l);
    pthread_mutex_unlock(&t->lock);
    return ready;
}

bool transport_send(struct transport *t, unsigned node, const void *head, size_t head_size,
                    const void *payload, size_t payload_size)
{
    struct link *l = &t->links[node];

    MUST(node < t->node_count && head_size + payload_size <= t->message_max_bytes);
    pthread_mutex_lock(&t->lock);
    bool can = link_can_send(l);
    l->ready_wanted = l->sending;
    pthread_mutex_unlock(&t->lock);
    if (!can) {
        return false;
    }
    nng_msg *msg = transport_message(head, head_size, payload, payload_size);
    MUST(nng_msg_header_append_u32(msg, ++l->request | TRANSPORT_REQUEST_BIT) == 0);

    /* The connection may have gone meanwhile. Sending under the lock makes sure that its callback
     * comes either before (then we see it here) or after (then it cancels this send). */
    pthread_mutex_lock(&t->lock);
    can = link_can_send(l);
    if (can) {
        l->sending = true;
        nng_aio_set_msg(l->send, msg);
        nng_send_aio(l->socket, l->send);
    }
    pthread_mutex_unlock(&t->lock);
    if (!can) {
        nng_msg_free(msg);
    }
    return can;
}

void transport_reset(struct transport *t, unsigned node)
{
    pthread_mutex_lock(&t->lock);
    uint32_t pipe = t->links[node].pipe;
    pthread_mutex_unlock(&t->lock);
    if (pipe != 0) {
        nng_pipe_close((nng_pipe){.id = pipe}); /* its end comes through pipe_changed */
    }
}
