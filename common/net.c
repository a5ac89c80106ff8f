#include "common/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t net_address(const char *host, int port, union address *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        return sizeof out->v4;
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        return sizeof out->v6;
    }
    errno = EINVAL;
    return 0;
}

static int net_socket(const union address *address)
{
    return socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Closes fd, keeps errno, returns -1. */
static int net_fail(int fd)
{
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    errno = error;
    return -1;
}

int net_connect(const char *host, int port)
{
    union address address;
    socklen_t len = net_address(host, port, &address);
    int fd = len > 0 ? net_socket(&address) : -1;

    if (fd < 0 || net_prepare(fd) != 0 ||
        (connect(fd, &address.any, len) != 0 && errno != EINPROGRESS)) {
        return net_fail(fd);
    }
    return fd;
}

int net_connect_result(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

int net_listen(const char *host, int port, int backlog)
{
    union address address;
    socklen_t len = net_address(host, port, &address);
    int fd = len > 0 ? net_socket(&address) : -1;
    int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, &address.any, len) != 0 || listen(fd, backlog) != 0) {
        return net_fail(fd);
    }
    return fd;
}

static void net_format(const union address *a, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";

    if (a->any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &a->v6.sin6_addr, text, sizeof text);
        (void)snprintf(out, size, "[%s]:%d", text, ntohs(a->v6.sin6_port));
    } else {
        (void)inet_ntop(AF_INET, &a->v4.sin_addr, text, sizeof text);
        (void)snprintf(out, size, "%s:%d", text, ntohs(a->v4.sin_port));
    }
}

int net_port(int fd)
{
    union address a = {0};
    socklen_t len = sizeof a;

    if (getsockname(fd, &a.any, &len) != 0) {
        return -1;
    }
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

bool net_peer_name(int fd, char *out, size_t size)
{
    union address a = {0};
    socklen_t len = sizeof a;
    bool connected = getpeername(fd, &a.any, &len) == 0;

    net_format(&a, out, size);
    return connected;
}

void net_local_name(int fd, char *out, size_t size)
{
    union address a = {0};
    socklen_t len = sizeof a;

    (void)getsockname(fd, &a.any, &len);
    net_format(&a, out, size);
}

int net_prepare(int fd)
{
    int on = 1;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0) {
        return -1;
    }
    return 0;
}

/* As anetKeepAlive in Redis: a third of it between questions, of which three go unanswered. */
void net_keep_alive(int fd, unsigned after_s)
{
    int on = after_s > 0, idle_s = (int)after_s, between_s = idle_s / 3 > 0 ? idle_s / 3 : 1;
    int tries = 3;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (on) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof between_s);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
    }
}

int net_give_up_after(int fd, unsigned timeout_ms)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}
