#include "proxy/sentinel/sentinel_port.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SENTINEL_PORT_BACKLOG = 128,
    SENTINEL_PORT_ACCEPTS_A_TURN = 64,
    SENTINEL_PORT_READ_BYTES = 16 * 1024,
    SENTINEL_PORT_REQUEST_MAX_BYTES = 128 * 1024,
    SENTINEL_PORT_BULK_MAX_BYTES = 64 * 1024,
    SENTINEL_PORT_ARGS_MAX = 2048,
};

struct sentinel_connection {
    struct sentinel_client client; /* first: the client is the connection */
    struct sentinel_port *port;
    int fd;
    struct event *readable, *writable;
    bool reading, writing;
    struct buf in;
    struct resp_framer *framer;
};

struct sentinel_port {
    struct event_base *base;
    struct sentinel_port_config config;
    struct sentinel *sentinel;
    int fd;
    struct event *acceptable;
    bool accepting; /* false: no descriptors are left; tried again at the next view */
    struct sentinel_connection *
        *connections; /* clients_max places, connection_count of them used */
    size_t connection_count;
};

static void connection_close(struct sentinel_connection *c)
{
    struct sentinel_port *p = c->port;

    for (size_t i = 0; i < p->connection_count; i++) {
        if (p->connections[i] == c) {
            p->connections[i] = p->connections[--p->connection_count];
            break;
        }
    }
    sentinel_client_remove(p->sentinel, &c->client);
    event_free(c->readable);
    event_free(c->writable);
    (void)close(c->fd);
    buf_release(&c->in);
    resp_framer_destroy(c->framer);
    free(c);
}

static void connection_watch(struct event *event, bool *watched, bool wanted)
{
    if (*watched != wanted) {
        *watched = wanted;
        if ((wanted ? event_add(event, NULL) : event_del(event)) != 0) {
            log_error("a connection to the Sentinel port can't be watched");
        }
    }
}

/* Sends what there is. False: the connection is gone. */
static bool connection_flush(struct sentinel_connection *c)
{
    struct buf *out = &c->client.out;

    while (out->len > 0 && !c->client.overflowed) {
        ssize_t n = send(c->fd, buf_head(out), out->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        }
        if (n < 0) {
            connection_close(c);
            return false;
        }
        buf_consume(out, (size_t)n);
    }
    if (c->client.overflowed || (out->len == 0 && c->client.close_when_sent)) {
        connection_close(c);
        return false;
    }
    buf_trim(out, SENTINEL_PORT_READ_BYTES);
    buf_trim(&c->in, 0);
    connection_watch(c->writable, &c->writing, out->len > 0);
    connection_watch(c->readable, &c->reading, out->len == 0);
    return true;
}

/* "POST" and "Host:" come from a browser that was tricked into talking to us: no answer at all. */
static bool connection_is_http(const struct resp_request *request)
{
    return resp_arg_is(&request->argv[0], "post") || resp_arg_is(&request->argv[0], "host:");
}

/* Answers the whole requests in c->in. False: the connection is gone. */
static bool connection_answer(struct sentinel_connection *c)
{
    struct resp_limits limits = {.inline_max_bytes = SENTINEL_PORT_BULK_MAX_BYTES,
                                 .bulk_max_bytes = SENTINEL_PORT_BULK_MAX_BYTES,
                                 .multibulk_max = SENTINEL_PORT_ARGS_MAX};
    struct resp_request request;
    char error[128], line[160];
    size_t wanted;

    while (c->in.len > 0 && !c->client.close_when_sent && !c->client.overflowed &&
           c->client.out.len < c->port->config.sentinel.out_max_bytes) {
        limits.authenticated = c->client.authenticated;
        int rc = resp_request_next(c->framer, &limits, buf_head(&c->in), c->in.len, &request,
                                   &wanted, error);
        if (rc == ERR_MORE && c->in.len <= SENTINEL_PORT_REQUEST_MAX_BYTES) {
            break;
        }
        if (rc != ERR_OK) {
            (void)snprintf(line, sizeof line, "ERR %s",
                           rc == ERR_MORE ? "Protocol error: too big request" : error);
            sentinel_client_error(&c->client, line);
            break;
        }
        if (request.argc > 0 && connection_is_http(&request)) {
            log_warn("%s speaks HTTP to the Sentinel port; its connection is closed",
                     c->client.peer);
            connection_close(c);
            return false;
        }
        if (request.argc > 0) {
            sentinel_request(c->port->sentinel, &c->client, request.argv, request.argc);
        }
        buf_consume(&c->in, request.len_bytes);
    }
    return true;
}

static void connection_read_cb(evutil_socket_t fd, short what, void *arg)
{
    struct sentinel_connection *c = arg;
    uint8_t *to = buf_reserve(&c->in, SENTINEL_PORT_READ_BYTES);
    ssize_t n = recv(fd, to, SENTINEL_PORT_READ_BYTES, 0);

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        connection_close(c);
        return;
    }
    buf_commit(&c->in, (size_t)n);
    if (connection_answer(c)) {
        (void)connection_flush(c);
    }
}

static void connection_write_cb(evutil_socket_t fd, short what, void *arg)
{
    struct sentinel_connection *c = arg;

    (void)fd;
    (void)what;
    /* What was sent makes room for the answers to what came in meanwhile. */
    while (connection_flush(c) && c->client.out.len == 0 && c->in.len > 0) {
        if (!connection_answer(c) || c->client.out.len == 0) {
            return;
        }
    }
}

static void sentinel_port_take(struct sentinel_port *p, int fd)
{
    static const char full[] = "-ERR max number of clients reached\r\n";

    if (net_prepare(fd) != 0 || p->connection_count >= p->config.clients_max) {
        (void)send(fd, full, sizeof full - 1, MSG_NOSIGNAL);
        (void)close(fd);
        return;
    }
    struct sentinel_connection *c = mem_calloc(1, sizeof *c);
    c->port = p;
    c->fd = fd;
    c->framer = resp_framer_create();
    c->readable = event_new(p->base, fd, EV_READ | EV_PERSIST, connection_read_cb, c);
    c->writable = event_new(p->base, fd, EV_WRITE | EV_PERSIST, connection_write_cb, c);
    MUST(c->readable != NULL && c->writable != NULL);
    net_peer_name(fd, c->client.peer, sizeof c->client.peer);
    net_local_name(fd, c->client.own, sizeof c->client.own);
    sentinel_client_add(p->sentinel, &c->client);
    p->connections[p->connection_count++] = c;
    connection_watch(c->readable, &c->reading, true);
}

static void sentinel_port_accept_cb(evutil_socket_t fd, short what, void *arg)
{
    struct sentinel_port *p = arg;

    (void)what;
    for (int i = 0; i < SENTINEL_PORT_ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof peer;
        int client = accept4(fd, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                connection_watch(p->acceptable, &p->accepting, false); /* it stays readable */
            }
            return;
        }
        sentinel_port_take(p, client);
    }
}

int sentinel_port_open(struct event_base *base, const struct sentinel_port_config *config,
                       const struct sentinel_actions *actions, void *ctx,
                       struct sentinel_port **out)
{
    int fd = net_listen(config->host, config->port, SENTINEL_PORT_BACKLOG);

    *out = NULL;
    if (fd < 0) {
        log_error("listening on %s:%d (sentinel.port): %s", config->host, config->port,
                  strerror(errno));
        return ERR_IO;
    }
    struct sentinel_port *p = mem_calloc(1, sizeof *p);
    p->base = base;
    p->config = *config;
    p->config.sentinel.port = net_port(fd);
    p->fd = fd;
    p->connections = mem_calloc(config->clients_max, sizeof *p->connections);
    p->sentinel = sentinel_create(&p->config.sentinel, actions, ctx);
    p->acceptable = event_new(base, fd, EV_READ | EV_PERSIST, sentinel_port_accept_cb, p);
    MUST(p->acceptable != NULL);
    connection_watch(p->acceptable, &p->accepting, true);
    log_info("answers as a Sentinel on %s:%d, for the master \"%s\"", config->host,
             p->config.sentinel.port, config->sentinel.master_name);
    *out = p;
    return ERR_OK;
}

void sentinel_port_close(struct sentinel_port *p)
{
    if (p == NULL) {
        return;
    }
    while (p->connection_count > 0) {
        connection_close(p->connections[0]);
    }
    event_free(p->acceptable);
    (void)close(p->fd);
    sentinel_destroy(p->sentinel);
    free(p->connections);
    free(p);
}

int sentinel_port_number(const struct sentinel_port *p)
{
    return p->config.sentinel.port;
}

void sentinel_port_observe(struct sentinel_port *p, const struct sentinel_view *view)
{
    sentinel_observe(p->sentinel, view);
    connection_watch(p->acceptable, &p->accepting, true);
    for (size_t i = p->connection_count; i > 0; i--) {
        struct sentinel_connection *c = p->connections[i - 1];
        if (c->client.overflowed || (c->client.out.len > 0 && !c->writing)) {
            (void)connection_flush(c);
        }
    }
}
