#include "tests/lib/wire.h"

#include "common/clock.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WIRE_DEPTH_MAX = 64 };

int wire_try_open(struct wire *w, int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    *w = (struct wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        wire_close(w);
        return ERR_IO;
    }
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return ERR_OK;
}

void wire_open(struct wire *w, int port)
{
    ck_assert_msg(wire_try_open(w, port) == ERR_OK, "connect to port %d: %s", port,
                  strerror(errno));
}

void wire_close(struct wire *w)
{
    if (w->fd >= 0) {
        close(w->fd);
    }
    w->fd = -1;
    w->ended = true;
    buf_release(&w->in);
    buf_release(&w->out);
}

/* --- sending -------------------------------------------------------------------------------- */

static void wire_send_some(struct wire *w, int flags)
{
    while (w->out.len > 0 && !w->ended) {
        ssize_t n = send(w->fd, buf_head(&w->out), w->out.len, MSG_NOSIGNAL | flags);
        if (n > 0) {
            buf_consume(&w->out, (size_t)n);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else {
            w->ended = true;
        }
    }
}

int wire_send(struct wire *w, const void *bytes, size_t len)
{
    buf_append(&w->out, bytes, len);
    wire_send_some(w, 0);
    return w->out.len == 0 ? ERR_OK : ERR_CLOSED;
}

int wire_send_str(struct wire *w, const char *s)
{
    return wire_send(w, s, strlen(s));
}

void wire_queuev(struct wire *w, const char *const argv[])
{
    size_t argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    buf_printf(&w->out, "*%zu\r\n", argc);
    for (size_t i = 0; i < argc; i++) {
        buf_printf(&w->out, "$%zu\r\n", strlen(argv[i]));
        buf_append_str(&w->out, argv[i]);
        buf_append_str(&w->out, "\r\n");
    }
}

int wire_sendv(struct wire *w, const char *const argv[])
{
    wire_queuev(w, argv);
    wire_send_some(w, 0);
    return w->out.len == 0 ? ERR_OK : ERR_CLOSED;
}

void wire_flush(struct wire *w)
{
    wire_send_some(w, MSG_DONTWAIT);
}

/* --- receiving ------------------------------------------------------------------------------ */

void wire_fill(struct wire *w)
{
    enum { STEP = 65536 };
    while (!w->ended) {
        ssize_t n = recv(w->fd, buf_reserve(&w->in, STEP), STEP, MSG_DONTWAIT);
        if (n > 0) {
            buf_commit(&w->in, (size_t)n);
            w->received += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else {
            w->ended = true;
        }
    }
}

/* The end of the reply that begins at pos, 0 if it is not complete, -1 if it is not RESP. */
static ssize_t reply_end(const char *bytes, size_t len, size_t pos, int depth)
{
    if (depth > WIRE_DEPTH_MAX || (pos < len && strchr("+-:$*_#,(!=%~>|", bytes[pos]) == NULL)) {
        return -1;
    }
    const char *eol = pos < len ? memmem(bytes + pos, len - pos, "\r\n", 2) : NULL;
    if (eol == NULL) {
        return 0;
    }
    char type = bytes[pos];
    long long count = strtoll(bytes + pos + 1, NULL, 10);
    ssize_t end = eol - bytes + 2;

    if (strchr("$!=", type) != NULL && count >= 0) {
        end += count + 2;
        return (size_t)end <= len ? end : 0;
    }
    if (strchr("*%~>|", type) != NULL) {
        /* An attribute (|) is a map and is followed by the value that it is about. */
        long long elements = type == '%' || type == '|' ? count * 2 : count;
        elements += type == '|';
        for (long long i = 0; i < elements && end > 0; i++) {
            end = reply_end(bytes, len, (size_t)end, depth + 1);
        }
    }
    return end;
}

ssize_t wire_reply_length(const char *bytes, size_t len)
{
    return reply_end(bytes, len, 0, 0);
}

size_t wire_take(struct wire *w, const char **reply)
{
    if (w->in.len == 0) {
        return 0;
    }
    ssize_t len = wire_reply_length((const char *)buf_head(&w->in), w->in.len);
    ck_assert_msg(len >= 0, "not RESP: %.*s", (int)(w->in.len < 60 ? w->in.len : 60),
                  (const char *)buf_head(&w->in));
    if (len > 0) {
        *reply = (const char *)buf_head(&w->in);
        buf_consume(&w->in, (size_t)len);
    }
    return (size_t)len;
}

/* Waits until something can be read; false at the deadline. */
static bool wire_wait_readable(struct wire *w, uint64_t deadline_ns)
{
    uint64_t now = clock_now_ns();
    struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
    return now < deadline_ns && poll(&pfd, 1, (int)((deadline_ns - now) / CLOCK_NS_PER_MS) + 1) > 0;
}

int wire_reply(struct wire *w, struct buf *reply, int timeout_ms)
{
    uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * CLOCK_NS_PER_MS;
    const char *bytes;

    for (;;) {
        size_t len = wire_take(w, &bytes);
        if (len > 0) {
            buf_clear(reply);
            buf_append(reply, bytes, len);
            buf_append(reply, "", 1);
            reply->len--;
            return ERR_OK;
        }
        if (w->ended) {
            return ERR_CLOSED;
        }
        if (!wire_wait_readable(w, deadline)) {
            return ERR_TIMEOUT;
        }
        wire_fill(w);
    }
}

static void wire_reply_instead(struct wire *w, struct buf *got, const char *reply)
{
    int rv = wire_reply(w, got, WIRE_PATIENCE_MS);
    ck_assert_msg(rv == ERR_OK, "%s instead of the reply %s", err_text(rv), reply);
}

void wire_expect(struct wire *w, const char *reply)
{
    struct buf got = BUF_INIT;

    wire_reply_instead(w, &got, reply);
    ck_assert_str_eq((char *)buf_head(&got), reply);
    buf_release(&got);
}

void wire_expect_begin(struct wire *w, const char *begin)
{
    struct buf got = BUF_INIT;

    wire_reply_instead(w, &got, begin);
    ck_assert_msg(strncmp((char *)buf_head(&got), begin, strlen(begin)) == 0,
                  "%s begins not with %s", (char *)buf_head(&got), begin);
    buf_release(&got);
}

bool wire_is_told(int port, const char *begin, const char *const argv[])
{
    struct buf reply = BUF_INIT;
    struct wire w;
    bool told = false;

    if (wire_try_open(&w, port) == ERR_OK) {
        told = wire_sendv(&w, argv) == ERR_OK &&
               wire_reply(&w, &reply, WIRE_PATIENCE_MS) == ERR_OK &&
               strncmp((char *)buf_head(&reply), begin, strlen(begin)) == 0;
        wire_close(&w);
    }
    buf_release(&reply);
    return told;
}

bool wire_wait_closed(struct wire *w, int timeout_ms)
{
    uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * CLOCK_NS_PER_MS;
    while (!w->ended && wire_wait_readable(w, deadline)) {
        wire_fill(w);
        buf_clear(&w->in);
    }
    return w->ended;
}

bool wire_silent(struct wire *w, int ms)
{
    return w->in.len == 0 &&
           !wire_wait_readable(w, clock_now_ns() + (uint64_t)ms * CLOCK_NS_PER_MS);
}
