/* One connection at a time, psync.c's replica on a non-blocking socket.
 *
 * Reading: at most read_max_bytes a turn by one read(2), handed over where they were read.
 * Writing: the few requests of the handshake and the ACKs wait in `out`; they are written at the
 * end of the turn (flush_event), so that many commits in one turn make one ACK and one write.
 *
 * A tick counts silence, rather than a clock: when this process itself was stopped or busy, that is
 * not the silence of Redis. */
#include "proxy/engine/capture.h"

#include "common/buf.h"
#include "common/mem.h"
#include "proxy/protocol/psync.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TICK_MS = 100, /* of silence */
    ACK_TICKS = 10,
    ACK_AGAIN_MAX_MS = 100,    /* until the stream begins; the first after 1 ms, then ever slower */
    OUT_MAX_BYTES = 64 * 1024, /* ACKs that Redis doesn't take: it hangs */
    READ_MIN_BYTES = 4096,
};

struct capture {
    struct event_base *base;
    const struct capture_events *events;
    void *ctx;
    char *host, *user;
    const char *password;
    int port, announce_port;
    uint32_t timeout_ms;

    int fd; /* -1: stopped or closed */
    bool connecting;
    bool paused;
    uint64_t session; /* counts starts and stops: tells whether an event of ours ended this one */
    struct event *read_event, *write_event, *flush_event, *tick_event, *ack_event;
    struct psync_replica psync;
    struct buf out;
    uint64_t committed, acked;
    uint32_t silent_ms;
    unsigned ticks;
    unsigned ack_again_ms;
    uint8_t *input;
    size_t input_size;
};

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);
static void on_flush(evutil_socket_t fd, short what, void *arg);
static void on_tick(evutil_socket_t fd, short what, void *arg);
static void on_ack_again(evutil_socket_t fd, short what, void *arg);

struct capture *capture_create(struct event_base *base, const struct capture_config *config,
                               const struct capture_events *events, void *ctx)
{
    struct capture *c = mem_calloc(1, sizeof *c);

    c->base = base;
    c->events = events;
    c->ctx = ctx;
    c->host = mem_strdup(config->host);
    c->user = mem_strdup(config->user != NULL ? config->user : "");
    c->password = config->password != NULL ? config->password : "";
    c->port = config->port;
    c->announce_port = config->announce_port;
    c->timeout_ms = config->timeout_ms;
    c->input_size =
        config->read_max_bytes > READ_MIN_BYTES ? config->read_max_bytes : READ_MIN_BYTES;
    c->input = mem_alloc(c->input_size);
    c->fd = -1;
    c->flush_event = event_new(base, -1, 0, on_flush, c);
    c->tick_event = event_new(base, -1, EV_PERSIST, on_tick, c);
    c->ack_event = event_new(base, -1, 0, on_ack_again, c);
    MUST(c->flush_event != NULL && c->tick_event != NULL && c->ack_event != NULL);
    return c;
}

void capture_destroy(struct capture *c)
{
    if (c == NULL) {
        return;
    }
    capture_stop(c);
    event_free(c->flush_event);
    event_free(c->tick_event);
    event_free(c->ack_event);
    buf_release(&c->out);
    free(c->input);
    free(c->host);
    free(c->user);
    free(c);
}

static int open_socket(const struct capture *c, bool *connecting)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    socklen_t len = sizeof *v4;
    int one = 1;

    if (c->port <= 0 || c->port > 65535) {
        return ERR_INVALID;
    }
    if (inet_pton(AF_INET, c->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)c->port);
    } else if (inet_pton(AF_INET6, c->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)c->port);
        len = sizeof *v6;
    } else {
        return ERR_INVALID;
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return ERR_IO;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* only speed is at stake */
    *connecting = connect(fd, (struct sockaddr *)&address, len) != 0;
    if (*connecting && errno != EINPROGRESS) {
        close(fd);
        return ERR_IO;
    }
    return fd;
}

int capture_start(struct capture *c, const struct replid *replid, uint64_t offset)
{
    struct psync_replica_config config = {.user = c->user,
                                          .password = c->password,
                                          .announce_port = c->announce_port,
                                          .replid = replid,
                                          .offset = offset};
    struct timeval tick = {0, TICK_MS * 1000L};

    if (c->fd >= 0) {
        return ERR_STATE;
    }
    int fd = open_socket(c, &c->connecting);
    if (fd < 0) {
        return fd;
    }
    c->fd = fd;
    c->session++;
    c->paused = false;
    c->silent_ms = 0;
    c->ticks = 0;
    c->committed = c->acked = 0;
    buf_clear(&c->out);
    psync_replica_init(&c->psync, &config, &c->out);
    c->read_event = event_new(c->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->write_event = event_new(c->base, fd, EV_WRITE, on_writable, c);
    MUST(c->read_event != NULL && c->write_event != NULL);
    MUST(event_add(c->write_event, NULL) == 0); /* writable: connected, or failed to */
    MUST(event_add(c->tick_event, &tick) == 0);
    return ERR_OK;
}

void capture_stop(struct capture *c)
{
    if (c->fd < 0) {
        return;
    }
    c->session++;
    event_free(c->read_event);
    event_free(c->write_event);
    c->read_event = c->write_event = NULL;
    (void)event_del(c->flush_event);
    (void)event_del(c->tick_event);
    (void)event_del(c->ack_event);
    close(c->fd);
    c->fd = -1;
    buf_release(&c->out);
}

static void closed(struct capture *c, const char *reason)
{
    char copy[PSYNC_REASON_MAX_BYTES];

    snprintf(copy, sizeof copy, "%s", reason); /* it may stand in what capture_start overwrites */
    capture_stop(c);
    c->events->closed(c->ctx, copy);
}

static void closed_by_errno(struct capture *c, const char *doing, int error)
{
    char reason[128];

    snprintf(reason, sizeof reason, "%s: %s", doing, strerror(error));
    closed(c, reason);
}

/* Has `out` written at the end of this turn. */
static void flush_later(struct capture *c)
{
    if (!c->connecting) {
        event_active(c->flush_event, EV_TIMEOUT, 0);
    }
}

static void flush(struct capture *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, buf_head(&c->out), c->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && c->out.len <= OUT_MAX_BYTES) {
            MUST(event_add(c->write_event, NULL) == 0);
            return;
        }
        if (n < 0) {
            closed_by_errno(c, "write", errno);
            return;
        }
        buf_consume(&c->out, (size_t)n);
    }
}

static void put_ack(struct capture *c)
{
    c->acked = c->committed;
    psync_replica_put_ack(&c->out, c->committed);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct capture *c = arg;

    (void)fd, (void)what;
    if (psync_replica_streams(&c->psync) && c->committed > c->acked) {
        put_ack(c);
    }
    flush(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct capture *c = arg;

    (void)what;
    if (c->connecting) {
        int error = 0;
        socklen_t len = sizeof error;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
            error = errno;
        }
        if (error != 0) {
            closed_by_errno(c, "connect", error);
            return;
        }
        c->connecting = false;
        if (!c->paused) {
            MUST(event_add(c->read_event, NULL) == 0);
        }
    }
    flush(c);
}

/* Tells one event; false when it ended this session. */
static bool tell(struct capture *c, const struct psync_replica_event *event)
{
    uint64_t session = c->session;

    switch (event->kind) {
    case PSYNC_REPLICA_MORE:
        break;
    case PSYNC_REPLICA_FULL_RESYNC:
        c->events->full_resync(c->ctx, &event->replid, event->offset);
        break;
    case PSYNC_REPLICA_RDB:
        c->events->rdb(c->ctx, event->bytes, event->size);
        break;
    case PSYNC_REPLICA_RDB_END:
        c->events->rdb_end(c->ctx);
        break;
    case PSYNC_REPLICA_RESUMED:
        c->events->resumed(c->ctx, &event->replid);
        break;
    case PSYNC_REPLICA_STREAM_BYTES:
        c->events->stream(c->ctx, event->bytes, event->size);
        break;
    case PSYNC_REPLICA_ENDED:
        closed(c, event->reason);
        return false;
    }
    return c->session == session;
}

static void take_input(struct capture *c, size_t size)
{
    struct psync_replica_event event;
    const uint8_t *bytes = c->input;
    bool streamed = psync_replica_streams(&c->psync);

    do {
        size_t taken = psync_replica_take(&c->psync, bytes, size, &c->out, &event);
        bytes += taken;
        size -= taken;
        if (!tell(c, &event)) {
            return;
        }
    } while (event.kind != PSYNC_REPLICA_MORE);
    if (!streamed && psync_replica_streams(&c->psync)) {
        c->ack_again_ms = 1;
        on_ack_again(-1, 0, c);
    }
    if (c->out.len > 0) {
        flush_later(c);
    }
}

/* Redis begins the stream behind an RDB with a mark at the first ACK that comes after its child has
 * ended, which is a millisecond or so behind the mark. */
static void on_ack_again(evutil_socket_t fd, short what, void *arg)
{
    struct capture *c = arg;
    struct timeval wait = {0, c->ack_again_ms * 1000L};

    (void)fd, (void)what;
    put_ack(c);
    flush_later(c);
    if (psync_replica_wants_ack(&c->psync)) {
        MUST(event_add(c->ack_event, &wait) == 0);
        c->ack_again_ms =
            c->ack_again_ms * 2 < ACK_AGAIN_MAX_MS ? c->ack_again_ms * 2 : ACK_AGAIN_MAX_MS;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct capture *c = arg;

    (void)what;
    ssize_t n = recv(fd, c->input, c->input_size, 0);
    if (n > 0) {
        c->silent_ms = 0;
        take_input(c, (size_t)n);
    } else if (n == 0) {
        closed(c, "the engine closed the replication link");
    } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        closed_by_errno(c, "read", errno);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct capture *c = arg;

    (void)fd, (void)what;
    c->silent_ms = c->paused ? 0 : c->silent_ms + TICK_MS;
    if (c->silent_ms > c->timeout_ms) {
        closed(c, c->connecting ? "timed out while connecting" : "the engine has gone silent");
        return;
    }
    c->ticks++;
    if (psync_replica_streams(&c->psync) && c->ticks % ACK_TICKS == 0) {
        put_ack(c);
        flush_later(c);
    }
}

void capture_ack(struct capture *c, uint64_t committed)
{
    if (c->fd < 0 || committed <= c->committed) {
        return;
    }
    c->committed = committed;
    if (psync_replica_streams(&c->psync)) {
        flush_later(c);
    }
}

uint32_t capture_silent_ms(const struct capture *c)
{
    return c->silent_ms;
}

void capture_pause(struct capture *c, bool paused)
{
    if (c->fd < 0 || c->paused == paused) {
        return;
    }
    c->paused = paused;
    c->silent_ms = 0;
    if (c->connecting) {
        return;
    }
    if (paused) {
        MUST(event_del(c->read_event) == 0);
    } else {
        MUST(event_add(c->read_event, NULL) == 0);
    }
}
