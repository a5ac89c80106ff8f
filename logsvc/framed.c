/* See framed.h.
 *
 * Receiving: one aio, into one buffer that is 64 KiB large and holds whatever many messages that
 * makes. A message that is larger gets a buffer that doubles with what has arrived, up to exactly
 * its size, so that announcing much costs nothing; that buffer then is the message, without a copy.
 *
 * Sending: nng completes a send in the caller's thread if the kernel takes all of it, but a
 * callback would still cost a switch to another thread. So the first try uses an aio without one,
 * straight from the caller's memory, and is cancelled at once: nng has then sent some of it, or
 * nothing, and knows nothing of it any more. Only what is left is copied, and sent with a callback.
 *
 * Cancelling: nng looks up what an aio waits for, lets go of its lock, and then asks the stream to
 * give it up; if the operation ends in between, and its callback frees the stream, that is memory
 * of nobody's. So nothing that waits for a stream is ever stopped, cancelled or timed out but by
 * closing the stream; except within `users`, where the stream stays. The time of the greeting is
 * measured by an aio of its own, which only sleeps. */
#include "logsvc/framed.h"

#include "common/le.h"
#include "common/mem.h"
#include "logsvc/transport_nng.h"

#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first buffer is for the preamble of someone unknown. */
enum { IN_FIRST_BYTES = 4 * 1024, IN_BYTES = 64 * 1024, OUT_KEEP_BYTES = 256 * 1024 };
/* Who says nothing for so long at the beginning is not one of us, or has vanished. */
enum { GREETING_MS = 5000 };

static const uint8_t framed_preamble[FRAMED_PREAMBLE_BYTES] = {
    'H', 'F', 'S', 'T', 'R', 'M', FRAMED_VERSION & 0xff, FRAMED_VERSION >> 8};

void framed_message_free(struct framed_message *m)
{
    free(m->owned);
    free(m);
}

/* --- ending --- */

/* Goes on with ending where that is possible: call it whenever something has come to its end. */
static void framed_settle(struct framed *f)
{
    if (f->state != FRAMED_ENDING || f->users > 0) {
        return;
    }
    if (!f->closed) {
        f->closed = true;
        nng_stream_close(f->stream);
    }
    if (f->watching) {
        nng_aio_cancel(f->watch);
    }
    if (!f->receiving && !f->sending && !f->watching) {
        nng_stream_free(f->stream);
        f->stream = NULL;
        free(f->in);
        f->in = NULL;
        f->in_used = f->in_cap = 0;
        buf_release(&f->out);
        buf_release(&f->backlog);
        f->state = FRAMED_NONE;
        f->calls->gone(f);
    }
}

void framed_break(struct framed *f, const char *reason)
{
    MUST(f->state == FRAMED_OPEN);
    f->state = FRAMED_ENDING;
    f->calls->down(f, reason);
    framed_settle(f);
}

/* The end of having begun something outside of the lock; takes it. */
static void framed_begun(struct framed *f)
{
    f->calls->enter(f);
    f->users--;
    framed_settle(f);
}

/* --- receiving --- */

/* Takes the next message out of the buffer, of which `at` bytes are done with. */
static struct framed_message *framed_take(struct framed *f, size_t at, size_t size)
{
    bool whole = at == 0 && f->in_used == FRAMED_LENGTH_BYTES + size && f->in_cap > IN_BYTES;
    struct framed_message *m = mem_alloc(sizeof *m + (whole ? 0 : size));

    *m = (struct framed_message){.connection = f->connection, .size = size};
    if (whole) {
        m->owned = f->in;
        m->bytes = f->in + FRAMED_LENGTH_BYTES;
        f->in = NULL;
        f->in_cap = 0;
    } else {
        memcpy(m->small, f->in + at + FRAMED_LENGTH_BYTES, size);
        m->bytes = m->small;
    }
    return m;
}

/* What is wrong with the beginning; NULL: nothing so far. */
static const char *framed_greet(struct framed *f, size_t *at)
{
    enum { MAGIC_BYTES = sizeof FRAMED_MAGIC - 1 };
    size_t size = f->in_used < MAGIC_BYTES ? f->in_used : MAGIC_BYTES;

    if (memcmp(f->in, framed_preamble, size) != 0) {
        return "what it says is not our protocol";
    }
    if (f->in_used < FRAMED_PREAMBLE_BYTES) {
        return NULL;
    }
    if (memcmp(f->in, framed_preamble, FRAMED_PREAMBLE_BYTES) != 0) {
        return "it speaks another version of the transport";
    }
    *at = FRAMED_PREAMBLE_BYTES;
    f->greeted = true;
    nng_aio_cancel(f->watch);
    f->calls->greeted(f);
    return NULL;
}

/* Hands out the messages that have come, while there is room. What the peer did wrong, or NULL. */
static const char *framed_cut(struct framed *f)
{
    size_t at = 0;
    const char *wrong = f->greeted ? NULL : framed_greet(f, &at);

    while (f->greeted && wrong == NULL && f->in_used - at >= FRAMED_LENGTH_BYTES) {
        size_t size = le_get32(f->in + at);
        if (size > f->limits.message_max_bytes) {
            (void)snprintf(f->wrong, sizeof f->wrong,
                           "it announces a message of %zu bytes, over the limit of %zu (%s)", size,
                           f->limits.message_max_bytes, f->limits.setting);
            wrong = f->wrong;
        } else if (f->in_used - at - FRAMED_LENGTH_BYTES < size) {
            break;
        } else if (!f->calls->room(f)) {
            f->paused = true;
            break;
        } else {
            f->calls->message(f, framed_take(f, at, size));
            at += FRAMED_LENGTH_BYTES + size;
        }
    }
    f->in_used -= at;
    if (at > 0 && f->in_used > 0) {
        memmove(f->in, f->in + at, f->in_used);
    }
    return wrong;
}

/* Makes room for what comes next: the buffer is full only in the middle of a message. */
static nng_iov framed_room(struct framed *f)
{
    size_t cap = f->greeted ? IN_BYTES : IN_FIRST_BYTES;

    if (f->in_used > 0 && f->in_used == f->in_cap && f->in_cap >= cap) {
        size_t need = FRAMED_LENGTH_BYTES + le_get32(f->in);
        cap = f->in_cap * 2 < need ? f->in_cap * 2 : need;
        MUST(cap > f->in_used);
    }
    if (f->in_cap < cap) {
        f->in = mem_realloc(f->in, cap);
        f->in_cap = cap;
    }
    return (nng_iov){.iov_buf = f->in + f->in_used, .iov_len = f->in_cap - f->in_used};
}

/* Begins to receive. Called with the lock held, as it is again at the end, but not in between. */
static void framed_receive(struct framed *f)
{
    nng_iov iov = framed_room(f);
    nng_stream *stream = f->stream;
    int rv = nng_aio_set_iov(f->receive, 1, &iov);

    MUST(rv == 0);
    f->receiving = true;
    f->users++;
    f->calls->leave(f);
    nng_stream_recv(stream, f->receive);
    framed_begun(f);
}

/* With the lock held: cuts what is there, then goes on receiving, or ends. */
static void framed_go_on(struct framed *f)
{
    const char *wrong = framed_cut(f);

    if (wrong != NULL) {
        framed_break(f, wrong);
    } else if (!f->paused) {
        framed_receive(f);
    }
}

/* Runs on a thread of nng. */
static void framed_received(void *arg)
{
    struct framed *f = arg;
    int rv = nng_aio_result(f->receive);
    size_t size = nng_aio_count(f->receive);

    f->calls->enter(f);
    f->receiving = false;
    if (f->state != FRAMED_OPEN) {
        framed_settle(f);
    } else if (rv != 0) {
        framed_break(f, NULL);
    } else {
        f->in_used += size;
        framed_go_on(f);
    }
    f->calls->leave(f);
}

/* Runs on a thread of nng. */
static void framed_watched(void *arg)
{
    struct framed *f = arg;
    bool late = nng_aio_result(f->watch) == 0; /* it isn't cancelled */

    f->calls->enter(f);
    f->watching = false;
    if (f->state == FRAMED_OPEN && late && !f->greeted) {
        framed_break(f, NULL);
    } else {
        framed_settle(f);
    }
    f->calls->leave(f);
}

void framed_resume(struct framed *f)
{
    f->calls->enter(f);
    if (f->state == FRAMED_OPEN && f->paused) {
        f->paused = false;
        framed_go_on(f);
    }
    f->calls->leave(f);
}

/* --- sending --- */

static void framed_send_rest(struct framed *f)
{
    nng_iov iov = {.iov_buf = buf_head(&f->out), .iov_len = f->out.len};
    int rv = nng_aio_set_iov(f->send, 1, &iov);

    MUST(rv == 0);
    nng_stream_send(f->stream, f->send);
}

/* Runs on a thread of nng. */
static void framed_sent(void *arg)
{
    struct framed *f = arg;
    int rv = nng_aio_result(f->send);
    size_t size = nng_aio_count(f->send);

    f->calls->enter(f);
    if (f->state == FRAMED_OPEN && rv == 0) {
        buf_consume(&f->out, size);
        if (f->out.len == 0) {
            buf_trim(&f->out, OUT_KEEP_BYTES);
            buf_swap(&f->out, &f->backlog);
            f->backlog_count = 0;
        }
        if (f->out.len > 0) {
            f->users++;
            f->calls->leave(f);
            framed_send_rest(f);
            framed_begun(f);
            f->calls->leave(f);
            return;
        }
    }
    f->sending = false;
    if (f->state != FRAMED_OPEN) {
        framed_settle(f);
    } else if (rv != 0) {
        framed_break(f, NULL);
    } else if (f->send_wanted) {
        f->send_wanted = false;
        f->calls->sent(f);
    }
    f->calls->leave(f);
}

/* Sends what the kernel takes right now; how much. false: the connection is broken. */
static bool framed_try(struct framed *f, const nng_iov *iov, unsigned count, size_t *sent)
{
    int rv = nng_aio_set_iov(f->try, count, iov);

    MUST(rv == 0);
    nng_stream_send(f->stream, f->try);
    nng_aio_cancel(f->try);
    nng_aio_wait(f->try); /* it has ended, one way or the other */
    rv = nng_aio_result(f->try);
    *sent = rv == 0 ? nng_aio_count(f->try) : 0;
    return rv == 0 || rv == NNG_ECANCELED;
}

/* Appends what is left of the pieces behind their first `skip` bytes. */
static void framed_keep(struct buf *to, const nng_iov *iov, unsigned count, size_t skip)
{
    for (unsigned i = 0; i < count; i++) {
        size_t here = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        if (here < iov[i].iov_len) {
            buf_append(to, (const uint8_t *)iov[i].iov_buf + here, iov[i].iov_len - here);
        }
        skip -= here;
    }
}

/* Sends the pieces; nothing is being sent. With the lock held at the beginning and at the end. */
static void framed_push(struct framed *f, const nng_iov *iov, unsigned count, size_t size)
{
    size_t sent = 0;

    f->sending = true;
    f->users++;
    f->calls->leave(f);
    bool alive = framed_try(f, iov, count, &sent);
    bool rest = alive && sent < size;
    if (rest) {
        framed_keep(&f->out, iov, count, sent);
        framed_send_rest(f);
    }
    f->calls->enter(f);
    if (!rest) {
        f->sending = false;
    }
    if (!alive && f->state == FRAMED_OPEN) {
        framed_break(f, NULL);
    }
    f->users--;
    framed_settle(f);
}

bool framed_ready(const struct framed *f, uint64_t connection)
{
    return f->state == FRAMED_OPEN && f->greeted && f->connection == connection && !f->sending;
}

/* Whether a message may wait behind the one that is being sent. */
static bool framed_may_wait(const struct framed *f, size_t size)
{
    return f->backlog_count < f->limits.backlog_max &&
           (f->backlog_count == 0 || f->backlog.len + size <= f->limits.backlog_max_bytes);
}

bool framed_send(struct framed *f, uint64_t connection, const void *head, size_t head_size,
                 const void *payload, size_t payload_size)
{
    uint8_t length[FRAMED_LENGTH_BYTES];
    size_t size = sizeof length + head_size + payload_size;
    const nng_iov iov[] = {
        {length, sizeof length},
        {(void *)(uintptr_t)head, head_size}, /* only read, in spite of its type */
        {(void *)(uintptr_t)payload, payload_size}};
    enum { PIECES = sizeof iov / sizeof *iov };

    MUST(head_size + payload_size <= f->limits.send_max_bytes);
    le_put32(length, (uint32_t)(head_size + payload_size));
    f->calls->enter(f);
    bool taken = framed_ready(f, connection);
    if (taken) {
        framed_push(f, iov, PIECES, size);
    } else if (f->state == FRAMED_OPEN && f->connection == connection && f->sending) {
        taken = framed_may_wait(f, size);
        if (taken) {
            framed_keep(&f->backlog, iov, PIECES, 0);
            f->backlog_count++;
        } else {
            f->send_wanted = true;
        }
    }
    f->calls->leave(f);
    return taken;
}

/* --- beginning, and the end of all --- */

void framed_init(struct framed *f, const struct framed_calls *calls, void *owner,
                 const struct framed_limits *limits)
{
    MUST(limits->message_max_bytes <= UINT32_MAX && limits->send_max_bytes <= UINT32_MAX);
    *f = (struct framed){.calls = calls, .owner = owner, .limits = *limits};
    if (f->limits.send_max_bytes == 0) {
        f->limits.send_max_bytes = limits->message_max_bytes;
    }
    f->receive = transport_aio(framed_received, f);
    f->try = transport_aio(NULL, NULL);
    f->send = transport_aio(framed_sent, f);
    f->watch = transport_aio(framed_watched, f);
}

void framed_start(struct framed *f, nng_stream *stream, uint64_t connection)
{
    nng_iov preamble = {(void *)(uintptr_t)framed_preamble, sizeof framed_preamble};

    f->calls->enter(f);
    MUST(f->state == FRAMED_NONE);
    f->state = FRAMED_OPEN;
    f->stream = stream;
    f->connection = connection;
    f->closed = f->paused = f->send_wanted = f->greeted = false;
    f->backlog_count = 0;
    f->watching = true;
    nng_sleep_aio(GREETING_MS, f->watch);
    framed_push(f, &preamble, 1, sizeof framed_preamble);
    if (f->state == FRAMED_OPEN) {
        framed_receive(f);
    }
    f->calls->leave(f);
}

void framed_stop(struct framed *f)
{
    f->calls->enter(f);
    if (f->state == FRAMED_OPEN) {
        framed_break(f, NULL);
    }
    f->calls->leave(f);
    for (bool ended = false; !ended;) {
        f->calls->enter(f);
        ended = f->state == FRAMED_NONE;
        f->calls->leave(f);
        if (!ended) {
            nng_msleep(1); /* closing the stream ends what is under way, at once */
        }
    }
    /* Their callbacks may not have returned yet. */
    nng_aio_stop(f->receive);
    nng_aio_stop(f->send);
    nng_aio_stop(f->try);
    nng_aio_stop(f->watch);
}

void framed_fini(struct framed *f)
{
    nng_aio_free(f->receive);
    nng_aio_free(f->send);
    nng_aio_free(f->try);
    nng_aio_free(f->watch);
    MUST(f->state == FRAMED_NONE);
}
