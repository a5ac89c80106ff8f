/* Sockets on loopback: connecting, being refused, listening, names. */
#include "common/net.h"

#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>

static void connect_and_name(const char *host, const char *shown)
{
    char expected[64], name[64];
    int listener = net_listen(host, 0, 16);

    if (listener < 0 && strcmp(host, "127.0.0.1") != 0) {
        return; /* this machine has no IPv6 */
    }
    ck_assert_int_ge(listener, 0);
    int port = net_port(listener);
    ck_assert_int_gt(port, 0);
    int fd = net_connect(host, port);
    ck_assert_int_ge(fd, 0);
    sockets_wait(fd, POLLOUT, 1000);
    ck_assert_int_eq(net_connect_result(fd), 0);
    sockets_wait(listener, POLLIN, 1000);
    int accepted = sockets_accept(listener);
    (void)snprintf(expected, sizeof expected, "%s:%d", shown, port);
    net_peer_name(fd, name, sizeof name);
    ck_assert_str_eq(name, expected);
    net_local_name(accepted, name, sizeof name);
    ck_assert_str_eq(name, expected);
    (void)snprintf(expected, sizeof expected, "%s:%d", shown, net_port(fd));
    net_peer_name(accepted, name, sizeof name);
    ck_assert_str_eq(name, expected);
    (void)close(fd);
    (void)close(accepted);
    (void)close(listener);
}

/* Both ends agree on their names, by IPv4 and IPv6. */
START_TEST(test_connect)
{
    connect_and_name("127.0.0.1", "127.0.0.1");
    connect_and_name("::1", "[::1]");
}
END_TEST

/* A port where nobody listens: said when the connection is decided, or at once. */
START_TEST(test_refused)
{
    int listener = net_listen("127.0.0.1", 0, 16);
    int port = net_port(listener);

    (void)close(listener);
    int fd = net_connect("127.0.0.1", port);
    if (fd < 0) {
        ck_assert_int_eq(errno, ECONNREFUSED);
        return;
    }
    sockets_wait(fd, POLLOUT, 1000);
    ck_assert_int_eq(net_connect_result(fd), ECONNREFUSED);
    (void)close(fd);
}
END_TEST

/* What is no IP address, a port that is taken, and what is no socket. */
START_TEST(test_errors)
{
    char name[64];
    int listener = net_listen("127.0.0.1", 0, 16);

    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(net_listen("127.0.0.1", net_port(listener), 16), -1);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_int_eq(net_connect("localhost", 1), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(net_listen("", 0, 16), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(net_port(-1), -1);
    ck_assert_int_ne(net_connect_result(-1), 0);
    ck_assert_int_eq(net_prepare(-1), -1);
    net_peer_name(-1, name, sizeof name); /* a client that has gone already */
    ck_assert_str_eq(name, "0.0.0.0:0");
    (void)close(listener);
}
END_TEST

/* An accepted connection is made non-blocking, without delay and kept alive. */
START_TEST(test_prepare)
{
    int port, accepted, on = 0;
    socklen_t len = sizeof on;
    int listener = sockets_listen(&port);
    int fd = sockets_connect(listener, port, &accepted);

    ck_assert_int_eq(fcntl(accepted, F_SETFL, 0), 0);
    ck_assert_int_eq(net_prepare(accepted), 0);
    ck_assert_int_ne(fcntl(accepted, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    ck_assert_int_ne(on, 0);
    ck_assert_int_eq(getsockopt(accepted, SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
    ck_assert_int_ne(on, 0);
    (void)close(fd);
    (void)close(accepted);
    (void)close(listener);
}
END_TEST

int main(void)
{
    return UNIT_RUN("net", NULL, NULL, test_connect, test_refused, test_errors, test_prepare);
}
