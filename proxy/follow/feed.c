/* A listener and a few connections, each with psync.c's master on a non-blocking socket.
 *
 *     accepted ──▶ guest (handshake; at most GUESTS_MAX, the oldest goes when one more comes)
 *                    │ PSYNC
 *                    ▼
 *                 replica (at most one; a newer one takes the place of the older)
 *                    FEED_ASKED ──feed_full_resync──▶ FEED_RDB ──all of it written──▶ FEED_STREAM
 *                        └───────feed_continue──────────────────────────────────────────▲
 *
 * Everything written waits in an evbuffer until the end of the turn of the loop, so that many small
 * units make one write. Who reaches the port without the secret can hold a socket for timeout_ms
 * and a few KiB, and nothing else.
 *
 * Ticks count silence rather than a clock, as in capture.c. */
#include "proxy/follow/feed.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "proxy/protocol/psync.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    TICK_MS = 100,
    GUESTS_MAX = 16,
    INPUT_BYTES = 4096, /* read at once; a replica says little */
    GUEST_OUT_MAX_BYTES = 64 * 1024,
    REFUSAL_LOG_MS = 10 * 1000, /* one line about refused guests in this time */
    WRITES_PER_TURN = 16,
    PIECES_MAX = 64, /* of the queue, in one write */
};

enum feed_state {
    FEED_GUEST,  /* waits for PSYNC; timeout_ms in all */
    FEED_ASKED,  /* waits for the owner's answer, however long that takes */
    FEED_RDB,    /* +FULLRESYNC was sent; rdb_left_bytes are still to be written */
    FEED_STREAM, /* waits for whatever comes */
};

struct feed_conn {
    struct feed *feed;
    struct feed_conn *next; /* of the guests, newest first */
    enum feed_state state;
    int fd;
    bool rdb_begun;  /* its header was written */
    bool loading;    /* an RDB was sent and no stream offset acknowledged yet */
    bool above_half; /* of the queue: room is owed */
    uint64_t rdb_left_bytes;
    uint32_t silent_ms; /* GUEST: since it was accepted */
    uint32_t unpinged_ms;
    struct event *read_event, *write_event, *flush_event;
    struct evbuffer *queue;
    struct psync_master psync;
    char peer[64];
};

struct feed {
    struct event_base *base;
    const struct feed_events *events;
    void *ctx;
    char *secret;
    uint32_t timeout_ms, ping_ms;
    size_t queue_max_bytes;
    int port;

    struct evconnlistener *listener;
    struct event *tick_event;
    struct feed_conn *guests;
    unsigned guest_count;
    struct feed_conn *replica;
    bool listener_rests;    /* out of file descriptors; until the next tick */
    uint32_t refusal_ms;    /* until another refusal is logged */
    unsigned refusal_count; /* since the last line */
};

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);

/* --- connections --- */

static void conn_destroy(struct feed_conn *conn)
{
    event_free(conn->read_event);
    event_free(conn->write_event);
    event_free(conn->flush_event);
    evbuffer_free(conn->queue);
    psync_master_fini(&conn->psync);
    close(conn->fd);
    free(conn);
}

static void guest_unlink(struct feed_conn *conn)
{
    struct feed_conn **at = &conn->feed->guests;

    while (*at != conn) {
        at = &(*at)->next;
    }
    *at = conn->next;
    conn->feed->guest_count--;
}

/* Anyone can knock; nobody may fill the log by it. */
static void log_refusal(struct feed_conn *conn, const char *reason)
{
    struct feed *f = conn->feed;

    f->refusal_count++;
    if (f->refusal_ms > 0) {
        return;
    }
    log_warn("feed: refused %s: %s (%u since the last such line)", conn->peer, reason,
             f->refusal_count);
    f->refusal_count = 0;
    f->refusal_ms = REFUSAL_LOG_MS;
}

/* Ends a connection; the owner hears of it if it is the replica. */
static void conn_closed(struct feed_conn *conn, const char *reason)
{
    struct feed *f = conn->feed;
    char copy[PSYNC_REASON_MAX_BYTES];

    snprintf(copy, sizeof copy, "%s", reason); /* it may stand in conn */
    if (conn == f->replica) {
        f->replica = NULL;
        conn_destroy(conn);
        f->events->closed(f->ctx, copy);
    } else {
        log_refusal(conn, copy);
        guest_unlink(conn);
        conn_destroy(conn);
    }
}

static void conn_closed_by_errno(struct feed_conn *conn, const char *doing, int error)
{
    char reason[128];

    snprintf(reason, sizeof reason, "%s: %s", doing, strerror(error));
    conn_closed(conn, reason);
}

static void flush_later(struct feed_conn *conn)
{
    event_active(conn->flush_event, EV_TIMEOUT, 0);
}

static void conn_queue(struct feed_conn *conn, const void *bytes, size_t size)
{
    MUST(evbuffer_add(conn->queue, bytes, size) == 0);
    flush_later(conn);
}

static void conn_queue_buf(struct feed_conn *conn, struct buf *b)
{
    if (b->len > 0) {
        conn_queue(conn, buf_head(b), b->len);
    }
    buf_release(b);
}

/* Writes what the socket takes. ERR_IO: errno says why. */
static int conn_write(struct feed_conn *conn)
{
    for (int i = 0; i < WRITES_PER_TURN && evbuffer_get_length(conn->queue) > 0; i++) {
        struct evbuffer_iovec pieces[PIECES_MAX];
        int count = evbuffer_peek(conn->queue, -1, NULL, pieces, PIECES_MAX);
        struct msghdr message = {.msg_iov = pieces,
                                 .msg_iovlen = (size_t)(count < PIECES_MAX ? count : PIECES_MAX)};
        ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_OK : ERR_IO;
        }
        if (n > 0) {
            MUST(evbuffer_drain(conn->queue, (size_t)n) == 0);
            if (conn->state != FEED_GUEST) {
                conn->silent_ms = 0; /* it takes bytes, so it lives */
            }
        }
    }
    return ERR_OK;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct feed_conn *conn = arg;
    struct feed *f = conn->feed;

    (void)fd, (void)what;
    if (conn_write(conn) != ERR_OK) {
        conn_closed_by_errno(conn, "write", errno);
        return;
    }
    size_t left = evbuffer_get_length(conn->queue);
    if (left > 0) {
        MUST(event_add(conn->write_event, NULL) == 0);
    }
    if (conn->state == FEED_GUEST) {
        if (left > GUEST_OUT_MAX_BYTES) {
            conn_closed(conn, "it doesn't read its replies");
        }
    } else if (conn->above_half && left <= f->queue_max_bytes / 2) {
        conn->above_half = false;
        f->events->room(f->ctx);
    }
}

/* --- what a connection says --- */

/* A guest has authenticated and asked: it is the replica now. */
static void guest_asks(struct feed_conn *conn, const struct psync_master_event *event)
{
    struct feed *f = conn->feed;
    struct replid replid = event->replid;

    guest_unlink(conn);
    struct feed_conn *older = f->replica;
    f->replica = conn;
    conn->state = FEED_ASKED;
    conn->silent_ms = conn->unpinged_ms = 0;
    if (older != NULL) {
        conn_destroy(older);
        f->events->closed(f->ctx, "a newer connection of the replica takes its place");
    }
    if (f->replica == conn) { /* closed may have dropped it */
        f->events->psync(f->ctx, event->has_replid ? &replid : NULL, event->offset);
    }
}

/* Tells one event; false when the connection has been freed. */
static bool tell(struct feed_conn *conn, const struct psync_master_event *event)
{
    struct feed *f = conn->feed;

    switch (event->kind) {
    case PSYNC_MASTER_MORE:
        return true;
    case PSYNC_MASTER_ASKED:
        guest_asks(conn, event);
        return f->replica == conn;
    case PSYNC_MASTER_ACKED:
        if (conn->state != FEED_STREAM) {
            return true;
        }
        conn->loading = false;
        f->events->acked(f->ctx, event->offset);
        return f->replica == conn;
    case PSYNC_MASTER_ENDED:
        break;
    }
    int rv = conn_write(conn); /* the error reply, as far as the socket takes it */
    (void)rv;
    conn_closed(conn, event->reason);
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct feed_conn *conn = arg;
    struct psync_master_event event;
    struct buf out = BUF_INIT;
    uint8_t input[INPUT_BYTES];

    (void)what;
    ssize_t n = recv(fd, input, sizeof input, 0);
    if (n <= 0) {
        if (n == 0) {
            conn_closed(conn, "closed by the replica");
        } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
            conn_closed_by_errno(conn, "read", errno);
        }
        return;
    }
    if (conn->state != FEED_GUEST) {
        conn->silent_ms = 0;
    }
    psync_master_put(&conn->psync, input, (size_t)n);
    do {
        psync_master_next(&conn->psync, &out, &event);
        conn_queue_buf(conn, &out);
    } while (tell(conn, &event) && event.kind != PSYNC_MASTER_MORE);
}

/* --- the listener --- */

static void guest_make_room(struct feed *f)
{
    struct feed_conn *oldest = f->guests;

    if (f->guest_count < GUESTS_MAX) {
        return;
    }
    while (oldest->next != NULL) {
        oldest = oldest->next;
    }
    conn_closed(oldest, "too many connections in their handshake");
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int len, void *arg)
{
    struct feed *f = arg;
    struct feed_conn *conn = mem_calloc(1, sizeof *conn);
    char host[INET6_ADDRSTRLEN] = "?";
    int one = 1;

    (void)listener, (void)len;
    guest_make_room(f);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* only speed is at stake */
    conn->feed = f;
    conn->fd = fd;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(conn->peer, sizeof conn->peer, "%s:%d", host, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(conn->peer, sizeof conn->peer, "[%s]:%d", host, ntohs(v6->sin6_port));
    }
    psync_master_init(&conn->psync, f->secret);
    conn->queue = evbuffer_new();
    conn->read_event = event_new(f->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->write_event = event_new(f->base, fd, EV_WRITE, on_writable, conn);
    conn->flush_event = event_new(f->base, -1, 0, on_writable, conn);
    MUST(conn->queue != NULL && conn->read_event != NULL && conn->write_event != NULL &&
         conn->flush_event != NULL);
    MUST(event_add(conn->read_event, NULL) == 0);
    conn->next = f->guests;
    f->guests = conn;
    f->guest_count++;
}

/* Out of file descriptors, most likely: the listener stays readable, so it rests for a tick. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct feed *f = arg;

    log_error("feed: accept: %s", strerror(errno));
    f->listener_rests = true;
    MUST(evconnlistener_disable(listener) == 0);
}

/* --- time --- */

static void tick_guests(struct feed *f)
{
    struct feed_conn *next;

    for (struct feed_conn *conn = f->guests; conn != NULL; conn = next) {
        next = conn->next;
        conn->silent_ms += TICK_MS;
        if (conn->silent_ms > f->timeout_ms) {
            conn_closed(conn, "no PSYNC in time");
        }
    }
}

static void tick_replica(struct feed *f)
{
    struct feed_conn *conn = f->replica;

    if (conn->state == FEED_ASKED || (conn->state == FEED_RDB && !conn->rdb_begun)) {
        conn->unpinged_ms += TICK_MS;
        if (conn->unpinged_ms >= f->ping_ms) {
            conn->unpinged_ms = 0;
            conn_queue(conn, "\n", 1);
        }
        return; /* it waits for us */
    }
    conn->silent_ms += TICK_MS;
    uint64_t limit_ms = f->timeout_ms;
    if (conn->state == FEED_RDB || conn->loading) {
        limit_ms *= FEED_LOADING_FACTOR;
    }
    if (conn->silent_ms > limit_ms) {
        conn_closed(conn, "the replica has gone silent");
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct feed *f = arg;

    (void)fd, (void)what;
    if (f->listener_rests) {
        f->listener_rests = false;
        MUST(evconnlistener_enable(f->listener) == 0);
    }
    f->refusal_ms = f->refusal_ms > TICK_MS ? f->refusal_ms - TICK_MS : 0;
    tick_guests(f);
    if (f->replica != NULL) {
        tick_replica(f);
    }
}

/* --- public --- */

static int listen_on(struct feed *f, const struct feed_config *config)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t len = sizeof *v4;

    if (config->port < 0 || config->port > 65535) {
        return ERR_INVALID;
    }
    if (inet_pton(AF_INET, config->bind_host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)config->port);
    } else if (inet_pton(AF_INET6, config->bind_host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)config->port);
        len = sizeof *v6;
    } else {
        return ERR_INVALID;
    }
    f->listener = evconnlistener_new_bind(
        f->base, on_accept, f, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
        GUESTS_MAX, (struct sockaddr *)&address, (int)len);
    if (f->listener == NULL) {
        return ERR_IO;
    }
    evconnlistener_set_error_cb(f->listener, on_accept_error);
    len = sizeof address;
    if (getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&address, &len) != 0) {
        return ERR_IO;
    }
    f->port = ntohs(address.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
    return ERR_OK;
}

struct feed *feed_create(struct event_base *base, const struct feed_config *config,
                         const struct feed_events *events, void *ctx, int *err)
{
    struct feed *f = mem_calloc(1, sizeof *f);
    struct timeval tick = {0, TICK_MS * 1000L};

    f->base = base;
    f->events = events;
    f->ctx = ctx;
    f->secret = mem_strdup(config->secret != NULL ? config->secret : "");
    f->timeout_ms = config->timeout_ms;
    f->ping_ms = config->ping_ms;
    f->queue_max_bytes = config->queue_max_bytes;
    f->tick_event = event_new(base, -1, EV_PERSIST, on_tick, f);
    MUST(f->tick_event != NULL && event_add(f->tick_event, &tick) == 0);
    *err = listen_on(f, config);
    if (*err != ERR_OK) {
        feed_destroy(f);
        return NULL;
    }
    return f;
}

void feed_destroy(struct feed *f)
{
    if (f == NULL) {
        return;
    }
    while (f->guests != NULL) {
        struct feed_conn *conn = f->guests;
        f->guests = conn->next;
        conn_destroy(conn);
    }
    if (f->replica != NULL) {
        conn_destroy(f->replica);
    }
    if (f->listener != NULL) {
        evconnlistener_free(f->listener);
    }
    event_free(f->tick_event);
    free(f->secret);
    free(f);
}

int feed_port(const struct feed *f)
{
    return f->port;
}

/* The bytes of an RDB are counted down; behind them is the stream. */
static void rdb_written(struct feed_conn *conn, uint64_t size)
{
    struct buf head = BUF_INIT;

    if (!conn->rdb_begun) {
        conn->rdb_begun = true;
        conn->silent_ms = 0;
        psync_master_put_rdb_head(&head, conn->rdb_left_bytes);
        conn_queue_buf(conn, &head);
    }
    conn->rdb_left_bytes -= size < conn->rdb_left_bytes ? size : conn->rdb_left_bytes;
    if (conn->rdb_left_bytes == 0) {
        conn->state = FEED_STREAM;
    }
}

void feed_full_resync(struct feed *f, const struct replid *replid, uint64_t offset,
                      uint64_t rdb_size_bytes)
{
    struct feed_conn *conn = f->replica;
    struct buf out = BUF_INIT;

    if (conn == NULL || conn->state != FEED_ASKED) {
        return;
    }
    psync_master_put_full_resync(&out, replid, offset);
    conn_queue_buf(conn, &out);
    conn->state = FEED_RDB;
    conn->loading = true;
    conn->unpinged_ms = 0;
    conn->rdb_left_bytes = rdb_size_bytes;
    if (rdb_size_bytes == 0) {
        rdb_written(conn, 0);
    }
}

void feed_continue(struct feed *f, const struct replid *replid)
{
    struct feed_conn *conn = f->replica;
    struct buf out = BUF_INIT;

    if (conn == NULL || conn->state != FEED_ASKED) {
        return;
    }
    psync_master_put_continue(&out, replid);
    conn_queue_buf(conn, &out);
    conn->state = FEED_STREAM;
    conn->silent_ms = 0;
}

static bool answered(const struct feed_conn *conn)
{
    return conn != NULL && (conn->state == FEED_RDB || conn->state == FEED_STREAM);
}

size_t feed_room(const struct feed *f)
{
    if (!answered(f->replica)) {
        return 0;
    }
    size_t queued = evbuffer_get_length(f->replica->queue);
    return queued < f->queue_max_bytes ? f->queue_max_bytes - queued : 0;
}

void feed_write(struct feed *f, const void *bytes, size_t size)
{
    struct feed_conn *conn = f->replica;

    if (!answered(conn) || size == 0) {
        return;
    }
    if (conn->state == FEED_RDB) {
        rdb_written(conn, size);
    }
    conn_queue(conn, bytes, size);
    if (evbuffer_get_length(conn->queue) > f->queue_max_bytes / 2) {
        conn->above_half = true;
    }
}

void feed_drop(struct feed *f, const char *reason)
{
    struct feed_conn *conn = f->replica;

    if (conn != NULL) {
        log_info("feed: dropped %s: %s", conn->peer, reason);
        f->replica = NULL;
        conn_destroy(conn);
    }
}

bool feed_connected(const struct feed *f)
{
    return f->replica != NULL;
}
