/* One connection of the transport: a byte stream of nng's that carries messages in frames. Both
 * sides, proxy and log node, are made of these; it is private to them.
 *
 * On the wire, in each direction:
 *
 *     preamble   "HFSTRM", then the version of the transport in 2 bytes (FRAMED_VERSION)
 *     frame      the length of the message in 4 bytes, then the message; any number of them
 *
 * Integers are little-endian. Whoever begins with anything else, or announces a message over the
 * limit, is cut. Messages bear their own checksums (logsvc/wire.h); nothing here looks into them.
 *
 * Life of a struct framed, which is used again for the next connection:
 *
 *     NONE ─framed_start─▶ OPEN ─framed_break, or the peer─▶ ENDING ─▶ NONE
 *
 * It ends (calls->gone) when nothing is under way on its stream any more, so that no callback of
 * nng ever meets the next connection. A stream that was closed never completes what is begun on
 * it afterwards; so it is closed only while `users`, the threads just using it, is 0.
 *
 * Threads: all state is under the owner's lock, which calls->enter and calls->leave take and give
 * back; no call into nng that does input or output is made with it held. One thread of the owner
 * sends and receives: it waits at the epoll descriptor that framed_init is given, and calls
 * framed_pull for what is ready there. Connections begin, and what the kernel did not take at once
 * is sent, on nng's threads. */
#ifndef LOGSVC_FRAMED_H
#define LOGSVC_FRAMED_H

#include "common/buf.h"
#include "common/err.h"

#include <nng/nng.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAMED_PREAMBLE_BYTES = 8, FRAMED_LENGTH_BYTES = 4, FRAMED_VERSION = 1 };
#define FRAMED_MAGIC "HFSTRM"

/* A message that came in. */
struct framed_message {
    struct framed_message *next; /* for the owner's lists */
    uint64_t connection;
    bool good; /* for the owner */
    size_t size;
    const uint8_t *bytes;
    uint8_t *owned;  /* the memory of bytes, if it isn't: */
    uint8_t small[]; /* a short message lies right here */
};

/* What a message costs whoever keeps it: an empty one is not free. */
static inline size_t framed_cost_bytes(const struct framed_message *m)
{
    enum { OVERHEAD_BYTES = 128 };
    return m->size + OVERHEAD_BYTES;
}

void framed_message_free(struct framed_message *m);

struct framed;

/* What the owner does for its connections. All but enter and leave are called with the lock held,
 * and must not wait; greeted, room and message by the owner's own thread, from within framed_pull
 * and framed_resume, the others mostly on nng's threads. */
struct framed_calls {
    void (*enter)(struct framed *f);
    void (*leave)(struct framed *f); /* may first tell others what happened meanwhile */
    void (*greeted)(struct framed *f);
    bool (*room)(struct framed *f); /* false: message isn't called; framed_resume goes on later */
    void (*message)(struct framed *f, struct framed_message *m); /* the owner's from now on */
    void (*sent)(struct framed *f); /* it can send again, after framed_send returned false */
    /* It broke: nothing more will come or leave. reason: what the peer did wrong, or NULL. */
    void (*down)(struct framed *f, const char *reason);
    void (*gone)(struct framed *f); /* it can be started again */
};

struct framed_limits {
    size_t message_max_bytes; /* that the peer sends */
    const char *setting;      /* what that comes from, for people */
    size_t send_max_bytes;    /* 0: the same */
    /* Messages that may wait while one is being sent: none, if backlog_max is 0. Of bytes at least
     * one message may wait in any case. */
    size_t backlog_max;
    size_t backlog_max_bytes;
};

enum framed_state { FRAMED_NONE, FRAMED_OPEN, FRAMED_ENDING };

struct framed {
    const struct framed_calls *calls;
    void *owner;
    struct framed_limits limits;
    char wrong[200]; /* what the peer did, where that has to be put together */
    int epoll_fd;
    nng_aio *receive; /* receives at once, or not at all */
    nng_aio *try;     /* sends at once, or not at all */
    nng_aio *send;    /* sends the rest */
    nng_aio *watch;   /* sleeps until the preamble must have come */

    /* Under the lock. */
    enum framed_state state;
    uint64_t connection; /* its number, never used again; from framed_start */
    nng_stream *stream;
    int fd;           /* the stream's own, only to be waited for */
    bool awaited;     /* by epoll_fd */
    unsigned users;   /* threads that are using the stream */
    bool closed;      /* the stream is */
    bool paused;      /* nothing is received until framed_resume */
    bool sending;     /* the send aio or the try aio is in use */
    bool watching;    /* the watch aio is in use */
    bool send_wanted; /* a send was refused for that */
    bool greeted;     /* the peer's preamble was right */

    uint8_t *in; /* what has come and isn't taken: in_used bytes of in_cap */
    size_t in_used, in_cap;
    struct buf out;     /* what is being sent; belongs to the send aio while that is in use */
    struct buf backlog; /* what comes after */
    size_t backlog_count;
};

/* What an owner waits with: an epoll descriptor for its connections, and in it an eventfd by which
 * other threads wake it, whose data.ptr is NULL. */
struct framed_wait {
    int epoll_fd, wake_fd;
};

/* ERR_OK, or ERR_IO, said in the log, and nothing is open (both -1). */
int framed_wait_open(struct framed_wait *w) MUST_CHECK;
void framed_wait_close(struct framed_wait *w);       /* also what could not be opened */
void framed_wait_wake(const struct framed_wait *w);  /* any thread */
void framed_wait_drain(const struct framed_wait *w); /* it is not ready any more, until woken */

/* epoll_fd outlives it. What is ready there has `f` as its data.ptr. */
void framed_init(struct framed *f, const struct framed_calls *calls, void *owner,
                 const struct framed_limits *limits, int epoll_fd);
/* Breaks the connection and waits until nothing is under way; without the lock, and not on a thread
 * of nng. gone must not start it again. */
void framed_stop(struct framed *f);
/* Only after framed_stop of this one and all others with the same lock. */
void framed_fini(struct framed *f);

/* Begins with a new stream, which is its own now. Without the lock. */
void framed_start(struct framed *f, nng_stream *stream, uint64_t connection);
/* Ends an open connection. With the lock held. */
void framed_break(struct framed *f, const char *reason);

/* Whether framed_send would take a message of that connection. With the lock held. */
bool framed_ready(const struct framed *f, uint64_t connection);
/* Sends head and payload (copied if need be; either may be empty) without waiting, or puts them in
 * the backlog. false: there is no such connection, or it is busy (sent will be called). Without the
 * lock; one thread only. */
bool framed_send(struct framed *f, uint64_t connection, const void *head, size_t head_size,
                 const void *payload, size_t payload_size) MUST_CHECK;

/* Receives what is there, without waiting; epoll has just said `events` of it. Of a connection that
 * has ended in between nothing. Without the lock. */
void framed_pull(struct framed *f, uint32_t events);
/* Goes on receiving where there was no room. Without the lock. */
void framed_resume(struct framed *f);

#endif
