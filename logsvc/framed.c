/* See framed.h.
 *
 * nng completes what can be done at once in the caller's thread, but a callback would still cost a
 * switch to another thread, and waiting for a peer two: nng's poller is woken, wakes a thread for
 * the callback, and that wakes the owner. So the two aios of the hot path have no callback. They
 * try, and are cancelled at once: nng has then moved some bytes, or none, and knows nothing of them
 * any more.
 *
 * Receiving: the owner waits for the descriptor itself, and only then tries. nng does not tell the
 * descriptor of a stream; but a connection is the only one with its two addresses, so it is found
 * by them, once. It is waited for and never read, written or closed here. What is received goes
 * into one buffer that is 64 KiB large and holds whatever many messages that makes. A message that
 * is larger gets a buffer that doubles with what has arrived, up to exactly its size, so that
 * announcing much costs nothing; that buffer then is the message, without a copy.
 *
 * Sending: straight from the caller's memory. Only what the kernel did not take is copied, and sent
 * with a callback.
 *
 * Cancelling: nng looks up what an aio waits for, lets go of its lock, and then asks the stream to
 * give it up; if the operation ends in between, and its callback frees the stream, that is memory
 * of nobody's. So nothing that waits for a stream is ever stopped, cancelled or timed out but by
 * closing the stream; except within `users`, where the stream stays. The time of the greeting is
 * measured by an aio of its own, which only sleeps. */
#include "logsvc/framed.h"

#include "common/le.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/transport_nng.h"

#include <errno.h>
#include <netinet/in.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* --- what the owner waits with --- */

int framed_wait_open(struct framed_wait *w)
{
    struct epoll_event event = {.events = EPOLLIN}; /* data.ptr tells it from the connections */

    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->epoll_fd < 0 || w->wake_fd < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &event) != 0) {
        log_error("transport: cannot make what it waits with: %s", strerror(errno));
        framed_wait_close(w);
        return ERR_IO;
    }
    return ERR_OK;
}

void framed_wait_close(struct framed_wait *w)
{
    if (w->wake_fd >= 0) {
        close(w->wake_fd);
    }
    if (w->epoll_fd >= 0) {
        close(w->epoll_fd);
    }
    w->wake_fd = w->epoll_fd = -1;
}

void framed_wait_wake(const struct framed_wait *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof one);

    MUST(n == (ssize_t)sizeof one || errno == EAGAIN);
}

void framed_wait_drain(const struct framed_wait *w)
{
    uint64_t value;
    ssize_t n = read(w->wake_fd, &value, sizeof value);

    MUST(n == (ssize_t)sizeof value || errno == EAGAIN);
}

/* --- the descriptor --- */

/* Whether that is the address; ports and addresses are in network order on both sides. */
static bool framed_is_at(const nng_sockaddr *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *in = (const void *)b;
    const struct sockaddr_in6 *in6 = (const void *)b;

    if (b->ss_family == AF_INET) {
        return a->s_family == NNG_AF_INET && a->s_in.sa_port == in->sin_port &&
               a->s_in.sa_addr == in->sin_addr.s_addr;
    }
    return b->ss_family == AF_INET6 && a->s_family == NNG_AF_INET6 &&
           a->s_in6.sa_port == in6->sin6_port &&
           memcmp(a->s_in6.sa_addr, &in6->sin6_addr, sizeof a->s_in6.sa_addr) == 0;
}

enum { FD_GONE = -1, FD_UNKNOWN = -2 };

/* The descriptor of a connected stream; FD_GONE: its peer has gone already. New descriptors are the
 * lowest that are free, so it does not lie far behind others. */
static int framed_descriptor(nng_stream *stream)
{
    enum { GAP_MAX = 65536 };
    nng_sockaddr here, there;

    if (nng_stream_get_addr(stream, NNG_OPT_LOCADDR, &here) != 0 ||
        nng_stream_get_addr(stream, NNG_OPT_REMADDR, &there) != 0) {
        return FD_GONE;
    }
    for (int fd = 0, gap = 0; gap < GAP_MAX; fd++) {
        struct sockaddr_storage address = {0};
        socklen_t size = sizeof address;
        if (getpeername(fd, (struct sockaddr *)&address, &size) != 0) {
            gap = errno == EBADF ? gap + 1 : 0;
            continue;
        }
        gap = 0;
        if (!framed_is_at(&there, &address)) {
            continue;
        }
        size = sizeof address;
        if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
            framed_is_at(&here, &address)) {
            return fd;
        }
    }
    return FD_UNKNOWN;
}

/* Has the descriptor waited for, or not. With the lock held. false: the kernel has no room. */
static bool framed_await(struct framed *f, bool await)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = f};

    if (f->awaited == await) {
        return true;
    }
    int rc = epoll_ctl(f->epoll_fd, await ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, f->fd, &event);
    MUST(rc == 0 || (await && (errno == ENOMEM || errno == ENOSPC)));
    f->awaited = await && rc == 0;
    return rc == 0;
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
        (void)framed_await(f, false);
        nng_stream_close(f->stream);
    }
    if (f->watching) {
        nng_aio_cancel(f->watch);
    }
    if (!f->sending && !f->watching) {
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

/* Ends what was just begun on an aio without a callback, one way or the other; its result. Only
 * within `users`. */
static int framed_tried(nng_aio *aio)
{
    nng_aio_cancel(aio);
    nng_aio_wait(aio);
    return nng_aio_result(aio);
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

/* With the lock held: cuts what is there, then waits for more, or ends. */
static void framed_go_on(struct framed *f)
{
    const char *wrong = framed_cut(f);

    if (wrong == NULL && !framed_await(f, !f->paused)) {
        wrong = "its socket can't be waited for";
    }
    if (wrong != NULL) {
        framed_break(f, wrong);
    }
}

void framed_pull(struct framed *f, uint32_t events)
{
    f->calls->enter(f);
    if (f->state == FRAMED_OPEN && !f->paused) {
        nng_iov iov = framed_room(f);
        int rv = nng_aio_set_iov(f->receive, 1, &iov);
        MUST(rv == 0);
        f->users++;
        f->calls->leave(f);
        nng_stream_recv(f->stream, f->receive);
        rv = framed_tried(f->receive);
        f->calls->enter(f);
        f->users--;
        /* A stream that nng has ended itself may give nothing more, not even an error. */
        bool nothing = rv == NNG_ECANCELED && (events & (EPOLLHUP | EPOLLERR)) == 0;
        if (f->state == FRAMED_OPEN && rv == 0) {
            f->in_used += nng_aio_count(f->receive);
            framed_go_on(f);
        } else if (f->state == FRAMED_OPEN && !nothing) {
            framed_break(f, NULL);
        } else {
            framed_settle(f);
        }
    }
    f->calls->leave(f);
}

/* Whether something has come that the owner has not got round to. With the lock held. */
static bool framed_has_input(const struct framed *f)
{
    int size = 0;

    return f->awaited && ioctl(f->fd, FIONREAD, &size) == 0 && size > 0;
}

/* Runs on a thread of nng. */
static void framed_watched(void *arg)
{
    struct framed *f = arg;
    bool late = nng_aio_result(f->watch) == 0; /* it isn't cancelled */

    f->calls->enter(f);
    f->watching = false;
    late = late && f->state == FRAMED_OPEN && !f->greeted;
    if (late && framed_has_input(f)) {
        f->watching = true;
        nng_sleep_aio(GREETING_MS, f->watch);
    } else if (late) {
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
    rv = framed_tried(f->try);
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
                 const struct framed_limits *limits, int epoll_fd)
{
    MUST(limits->message_max_bytes <= UINT32_MAX && limits->send_max_bytes <= UINT32_MAX);
    *f = (struct framed){.calls = calls, .owner = owner, .limits = *limits, .epoll_fd = epoll_fd};
    if (f->limits.send_max_bytes == 0) {
        f->limits.send_max_bytes = limits->message_max_bytes;
    }
    f->receive = transport_aio(NULL, NULL);
    f->try = transport_aio(NULL, NULL);
    f->send = transport_aio(framed_sent, f);
    f->watch = transport_aio(framed_watched, f);
}

void framed_start(struct framed *f, nng_stream *stream, uint64_t connection)
{
    nng_iov preamble = {(void *)(uintptr_t)framed_preamble, sizeof framed_preamble};
    int fd = framed_descriptor(stream);

    f->calls->enter(f);
    MUST(f->state == FRAMED_NONE);
    f->state = FRAMED_OPEN;
    f->stream = stream;
    f->fd = fd;
    f->connection = connection;
    f->closed = f->paused = f->send_wanted = f->greeted = false;
    f->backlog_count = 0;
    f->watching = true;
    nng_sleep_aio(GREETING_MS, f->watch);
    framed_push(f, &preamble, 1, sizeof framed_preamble);
    if (f->state == FRAMED_OPEN && (fd < 0 || !framed_await(f, true))) {
        framed_break(f, fd == FD_GONE ? NULL : "its socket can't be waited for");
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
