/* See transport.h and logsvc/framed.h. Each link is one connection at a time, made again for ever:
 *
 *     pause ─▶ dial ─▶ framed_start … greeted (up) … down … gone ─▶ pause
 *
 *   event loop: transport_next → received, cut → queue → events; transport_send → sendmsg
 *   nng's threads: up, down, ready → queue ─eventfd─▶ event loop
 *
 * The queue is a list of notes and messages under one lock; the loop takes it as a whole (a batch).
 * What the loop watches is an epoll descriptor with the links' sockets and the eventfd in it, which
 * is written only when the loop has drained.
 *
 * Connections have numbers. link.up is the one that is up now, as nng's threads say; link.told is
 * the one that the owner was last told of. A message of any other is dropped and nothing is sent
 * over any other: so no connection sees anything of the one before. */
#include "logsvc/client/transport.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "logsvc/framed.h"
#include "logsvc/transport_nng.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { RECONNECT_MIN_MS = 20, RECONNECT_MAX_MS = 500, DIAL_MS = 5000 };
enum { COMPLAIN_S = 10 };

struct link {
    struct transport *t;
    unsigned node;
    char *address;
    nng_stream_dialer *dialer; /* NULL: the link isn't open */
    nng_aio *dial;
    nng_aio *pause;
    struct framed framed;

    /* Under the lock. */
    uint64_t up;   /* the connection; 0: down */
    bool up_noted; /* a note of its change is queued */
    bool closing;
    unsigned pause_ms;    /* before the next attempt to connect, at most */
    uint64_t complain_ns; /* not before; 0: at once */

    /* The owner's thread only. */
    uint64_t told;     /* the connection the owner knows of; 0: down */
    bool paused;       /* for a full queue; see link_room */
    size_t held_bytes; /* queued or in the batch */
};

enum note_kind { NOTE_UP, NOTE_READY, NOTE_MESSAGE };

struct note {
    enum note_kind kind;
    unsigned node;
    struct framed_message *msg; /* NOTE_MESSAGE */
};

struct notes {
    struct note *v;
    size_t count, cap;
};

struct transport {
    size_t queue_max_bytes;
    size_t message_max_bytes;
    unsigned pause_min_ms, pause_max_ms;
    struct framed_wait wait;
    struct link links[TRANSPORT_NODES_MAX];

    pthread_mutex_t lock; /* protects what follows and the links' upper half */
    struct notes queue;
    bool taking;          /* the owner is about to take it: no need to signal */
    bool signalled;       /* the eventfd was written and not yet reset */
    bool signal;          /* it is to be written once the lock is given back */
    uint64_t connections; /* the last number that was given to one */
    struct random random;

    struct notes batch; /* the owner's thread only */
    size_t batch_at;
    bool taken;                     /* there was something in it */
    struct framed_message *current; /* handed out by the last transport_next */
    bool current_counts;            /* its link is still there */
};

static void enter(struct transport *t)
{
    pthread_mutex_lock(&t->lock);
}

/* The owner is signalled without the lock, so that it does not wake up only to wait for it. If it
 * drains the queue first, it wakes once more for nothing. */
static void leave(struct transport *t)
{
    bool signal = t->signal;

    t->signal = false;
    pthread_mutex_unlock(&t->lock);
    if (signal) {
        framed_wait_wake(&t->wait);
    }
}

/* Appends a note; call it with the lock held. */
static void note_add(struct transport *t, struct note note)
{
    struct notes *q = &t->queue;

    if (q->count == q->cap) {
        q->cap = q->cap == 0 ? 64 : q->cap * 2;
        q->v = mem_realloc(q->v, q->cap * sizeof *q->v);
    }
    q->v[q->count++] = note;
    if (!t->signalled && !t->taking) {
        t->signalled = true;
        t->signal = true;
    }
}

static void note_up(struct link *l, uint64_t connection)
{
    l->up = connection;
    if (!l->up_noted) {
        l->up_noted = true;
        note_add(l->t, (struct note){.kind = NOTE_UP, .node = l->node});
    }
}

/* --- what a connection calls --- */

static void link_enter(struct framed *f)
{
    enter(((struct link *)f->owner)->t);
}

static void link_leave(struct framed *f)
{
    leave(((struct link *)f->owner)->t);
}

static void link_greeted(struct framed *f)
{
    note_up(f->owner, f->connection);
}

static bool link_room(struct framed *f)
{
    struct link *l = f->owner;

    l->paused = l->held_bytes > l->t->queue_max_bytes;
    return !l->paused;
}

static void link_message(struct framed *f, struct framed_message *m)
{
    struct link *l = f->owner;

    l->pause_ms = l->t->pause_min_ms; /* somebody is there and means it */
    l->held_bytes += framed_cost_bytes(m);
    note_add(l->t, (struct note){.kind = NOTE_MESSAGE, .node = l->node, .msg = m});
}

static void link_sent(struct framed *f)
{
    struct link *l = f->owner;

    note_add(l->t, (struct note){.kind = NOTE_READY, .node = l->node});
}

static void link_down(struct framed *f, const char *reason)
{
    struct link *l = f->owner;

    if (l->up != 0) {
        note_up(l, 0);
    }
    if (reason != NULL && clock_now_ns() >= l->complain_ns) {
        log_warn("transport: %s was cut: %s", l->address, reason);
        l->complain_ns = clock_now_ns() + COMPLAIN_S * CLOCK_NS_PER_S;
    }
}

/* Waits for a while, longer each time, and by chance, so that not all come back together. With the
 * lock held. */
static void link_pause(struct link *l)
{
    struct transport *t = l->t;

    if (l->closing) {
        return;
    }
    unsigned ms = l->pause_ms / 2 + (unsigned)random_below(&t->random, l->pause_ms / 2 + 1);
    l->pause_ms = l->pause_ms * 2 < t->pause_max_ms ? l->pause_ms * 2 : t->pause_max_ms;
    nng_sleep_aio((nng_duration)ms, l->pause);
}

static void link_gone(struct framed *f)
{
    link_pause(f->owner);
}

static const struct framed_calls link_calls = {
    .enter = link_enter,
    .leave = link_leave,
    .greeted = link_greeted,
    .room = link_room,
    .message = link_message,
    .sent = link_sent,
    .down = link_down,
    .gone = link_gone,
};

/* --- connecting; these run on threads of nng --- */

static void link_paused(void *arg)
{
    struct link *l = arg;

    if (nng_aio_result(l->pause) == 0) { /* it isn't cancelled */
        nng_stream_dialer_dial(l->dialer, l->dial);
    }
}

static void link_dialed(void *arg)
{
    struct link *l = arg;
    struct transport *t = l->t;
    int rv = nng_aio_result(l->dial);
    nng_stream *stream = rv == 0 ? nng_aio_get_output(l->dial, 0) : NULL;

    enter(t);
    bool closing = l->closing;
    uint64_t connection = ++t->connections;
    if (stream == NULL) {
        link_pause(l);
    }
    leave(t);
    if (stream != NULL && closing) {
        nng_stream_free(stream);
    } else if (stream != NULL) {
        framed_start(&l->framed, stream, connection);
    }
}

/* --- opening and closing --- */

static int link_open(struct link *l, struct transport *t, unsigned node, const char *address)
{
    const struct framed_limits limits = {.message_max_bytes = t->message_max_bytes,
                                         .setting = "twice log.append_max_bytes"};
    char url[TRANSPORT_URL_BYTES];
    int rv = transport_url(address, url);

    if (rv != ERR_OK) {
        return rv;
    }
    rv = nng_stream_dialer_alloc(&l->dialer, url);
    if (rv != 0) {
        log_error("transport: cannot connect to %s: %s", address, nng_strerror(rv));
        l->dialer = NULL;
        return transport_err(rv);
    }
    l->t = t;
    l->node = node;
    l->address = mem_strdup(address);
    l->pause_ms = t->pause_min_ms;
    l->dial = transport_aio(link_dialed, l);
    l->pause = transport_aio(link_paused, l);
    nng_aio_set_timeout(l->dial, DIAL_MS);
    framed_init(&l->framed, &link_calls, l, &limits, t->wait.epoll_fd);
    rv = nng_stream_dialer_set_bool(l->dialer, NNG_OPT_TCP_NODELAY, true);
    if (rv == 0) {
        rv = nng_stream_dialer_set_bool(l->dialer, NNG_OPT_TCP_KEEPALIVE, true);
    }
    if (rv == 0) {
        nng_stream_dialer_dial(l->dialer, l->dial);
    }
    return transport_err(rv);
}

int transport_open(struct transport **out, const struct transport_config *config)
{
    MUST(config->node_count >= 1 && config->node_count <= TRANSPORT_NODES_MAX);
    MUST(config->queue_max_bytes >= config->message_max_bytes);
    struct transport *t = mem_calloc(1, sizeof *t);
    if (framed_wait_open(&t->wait) != ERR_OK) {
        free(t);
        return ERR_IO;
    }
    int min_ms = config->reconnect_min_ms > 0 ? config->reconnect_min_ms : RECONNECT_MIN_MS;
    int max_ms = config->reconnect_max_ms > 0 ? config->reconnect_max_ms : RECONNECT_MAX_MS;
    t->queue_max_bytes = config->queue_max_bytes;
    t->pause_min_ms = (unsigned)min_ms;
    t->pause_max_ms = (unsigned)(max_ms > min_ms ? max_ms : min_ms);
    t->message_max_bytes = config->message_max_bytes;
    random_init(&t->random, random_seed());
    MUST(pthread_mutex_init(&t->lock, NULL) == 0);
    for (unsigned i = 0; i < config->node_count; i++) {
        int rv = transport_link(t, i, config->addresses[i]);
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
            framed_message_free(n->v[i].msg);
        }
    }
    free(n->v);
}

/* Whoever could begin something is stopped before that something. */
static void link_stop(struct link *l)
{
    nng_stream_dialer_close(l->dialer);
    nng_aio_stop(l->pause);
    nng_aio_stop(l->dial);
    framed_stop(&l->framed);
}

static void link_free(struct link *l)
{
    framed_fini(&l->framed);
    nng_aio_free(l->pause);
    nng_aio_free(l->dial);
    nng_stream_dialer_free(l->dialer);
    free(l->address);
}

int transport_link(struct transport *t, unsigned node, const char *address)
{
    MUST(node < TRANSPORT_NODES_MAX);
    struct link *l = &t->links[node];

    if (l->dialer != NULL) {
        return ERR_EXISTS;
    }
    int rv = link_open(l, t, node, address);
    if (rv != ERR_OK && l->dialer != NULL) {
        link_free(l); /* nothing was begun */
    }
    if (rv != ERR_OK) {
        *l = (struct link){0};
    }
    return rv;
}

/* Takes out what is about a link that is gone. */
static void notes_forget(struct notes *n, size_t from, unsigned node)
{
    size_t kept = from;

    for (size_t i = from; i < n->count; i++) {
        if (n->v[i].node != node) {
            n->v[kept++] = n->v[i];
        } else if (n->v[i].kind == NOTE_MESSAGE) {
            framed_message_free(n->v[i].msg);
        }
    }
    n->count = kept;
}

void transport_unlink(struct transport *t, unsigned node)
{
    MUST(node < TRANSPORT_NODES_MAX);
    struct link *l = &t->links[node];

    if (l->dialer == NULL) {
        return;
    }
    enter(t);
    l->closing = true;
    leave(t);
    link_stop(l);
    link_free(l);
    if (t->current != NULL && t->batch.v[t->batch_at - 1].node == node) {
        t->current_counts = false;
    }
    enter(t);
    notes_forget(&t->queue, 0, node);
    leave(t);
    notes_forget(&t->batch, t->batch_at, node);
    *l = (struct link){0};
}

void transport_close(struct transport *t)
{
    enter(t);
    for (unsigned i = 0; i < TRANSPORT_NODES_MAX; i++) {
        t->links[i].closing = true;
    }
    leave(t);
    for (unsigned i = 0; i < TRANSPORT_NODES_MAX; i++) {
        if (t->links[i].dialer != NULL) {
            link_stop(&t->links[i]);
        }
    }
    for (unsigned i = 0; i < TRANSPORT_NODES_MAX; i++) {
        if (t->links[i].dialer != NULL) {
            link_free(&t->links[i]);
        }
    }
    if (t->current != NULL) {
        framed_message_free(t->current);
    }
    notes_free(&t->batch, t->batch_at);
    notes_free(&t->queue, 0);
    framed_wait_close(&t->wait);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int transport_fd(const struct transport *t)
{
    return t->wait.epoll_fd;
}

/* Receives what has come, and what there is room for again. */
static void receive(struct transport *t)
{
    struct epoll_event events[TRANSPORT_NODES_MAX + 1];

    for (unsigned i = 0; i < TRANSPORT_NODES_MAX; i++) {
        struct link *l = &t->links[i];
        if (l->paused && l->held_bytes <= t->queue_max_bytes) {
            l->paused = false;
            framed_resume(&l->framed);
        }
    }
    int count = epoll_wait(t->wait.epoll_fd, events, TRANSPORT_NODES_MAX + 1, 0);
    MUST(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr != NULL) {
            framed_pull(events[i].data.ptr, events[i].events);
        }
    }
}

/* Takes what has come in as the next batch; false: nothing. */
static bool batch_take(struct transport *t)
{
    enter(t);
    t->taking = true;
    leave(t);
    receive(t);
    t->batch.count = 0;
    t->batch_at = 0;
    enter(t);
    struct notes empty = t->batch;
    t->batch = t->queue;
    t->queue = empty;
    t->taking = false;
    if (t->signalled) {
        framed_wait_drain(&t->wait);
        t->signalled = false;
    }
    leave(t);
    return t->batch.count > 0;
}

/* The same, but behind a batch it is not looked for another: if there is one, the descriptor says
 * so. It says nothing of what waits for room. */
static bool batch_next(struct transport *t)
{
    bool look = !t->taken;

    for (unsigned i = 0; i < TRANSPORT_NODES_MAX; i++) {
        look = look || t->links[i].paused;
    }
    t->taken = look && batch_take(t);
    return t->taken;
}

/* Says the next change between what the owner knows of a link and what is; false: none, the note
 * is dealt with. */
static bool tell_up(struct transport *t, struct link *l, struct transport_event *out)
{
    enter(t);
    uint64_t now = l->up;
    bool down = l->told != 0 && l->told != now;
    bool up = l->told == 0 && now != 0;
    if (!down && !up) {
        l->up_noted = false;
    }
    leave(t);
    if (!down && !up) {
        return false;
    }
    l->told = down ? 0 : now;
    *out = (struct transport_event){.kind = down ? TRANSPORT_DOWN : TRANSPORT_UP, .node = l->node};
    return true;
}

/* Ends the life of the message that was handed out. */
static void current_free(struct transport *t)
{
    if (t->current != NULL) {
        struct link *l = &t->links[t->batch.v[t->batch_at - 1].node];
        if (t->current_counts) {
            l->held_bytes -= framed_cost_bytes(t->current);
        }
        framed_message_free(t->current);
        t->current = NULL;
    }
}

bool transport_next(struct transport *t, struct transport_event *out)
{
    for (;;) {
        current_free(t);
        if (t->batch_at == t->batch.count && !batch_next(t)) {
            return false;
        }
        struct note *note = &t->batch.v[t->batch_at];
        struct link *l = &t->links[note->node];
        if (note->kind == NOTE_UP) {
            if (tell_up(t, l, out)) {
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
            t->current_counts = true;
            if (l->told != 0 && note->msg->connection == l->told) {
                *out = (struct transport_event){.kind = TRANSPORT_MESSAGE,
                                                .node = l->node,
                                                .bytes = note->msg->bytes,
                                                .size = note->msg->size};
                return true;
            }
        }
    }
}

bool transport_ready(struct transport *t, unsigned node)
{
    struct link *l = &t->links[node];

    enter(t);
    bool ready = l->told != 0 && framed_ready(&l->framed, l->told);
    leave(t);
    return ready;
}

bool transport_send(struct transport *t, unsigned node, const void *head, size_t head_size,
                    const void *payload, size_t payload_size)
{
    struct link *l = &t->links[node];

    MUST(node < TRANSPORT_NODES_MAX);
    return l->told != 0 && framed_send(&l->framed, l->told, head, head_size, payload, payload_size);
}

void transport_reset(struct transport *t, unsigned node)
{
    struct framed *f = &t->links[node].framed;

    enter(t);
    if (f->state == FRAMED_OPEN) {
        framed_break(f, NULL);
    }
    leave(t);
}
