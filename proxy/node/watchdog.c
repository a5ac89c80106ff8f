#include "proxy/node/watchdog.h"

#include "common/clock.h"
#include "common/le.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/framed.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long it waits for the log nodes to have heard. */
enum { WATCHDOG_TELL_MS = 1000 };

struct watchdog {
    pid_t pid;
    int fd; /* a socket of packets, a will each; -1: it has gone */
    struct will told;
};

/* ---- the process beside ---- */

struct watchdog_link {
    int fd;
    bool connected;
    size_t received;
    uint8_t bytes[1024]; /* what it has said; one reply fits */
};

static int watchdog_connect(const char *address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[CONF_TEXT_MAX + 1];
    int fd = -1, on = 1;

    (void)snprintf(host, sizeof host, "%s", address);
    char *colon = strrchr(host, ':');
    if (colon == NULL) {
        return -1;
    }
    *colon = '\0';
    size_t brackets = host[0] == '[' ? 1 : 0;
    host[strcspn(host, "]")] = '\0';
    if (getaddrinfo(host + brackets, colon + 1, &hints, &found) != 0) {
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* only speed is at stake */
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* The preamble and the one message that there is, in one piece: a new connection takes it whole. */
static bool watchdog_send(int fd, const struct will_node *n)
{
    uint8_t bytes[FRAMED_PREAMBLE_BYTES + WILL_FRAME_BYTES_MAX] = FRAMED_MAGIC;

    bytes[sizeof FRAMED_MAGIC - 1] = FRAMED_VERSION & 0xff;
    bytes[sizeof FRAMED_MAGIC] = FRAMED_VERSION >> 8;
    memcpy(bytes + FRAMED_PREAMBLE_BYTES, n->frame, n->size_bytes);
    size_t size = FRAMED_PREAMBLE_BYTES + n->size_bytes;
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void watchdog_end_link(struct watchdog_link *link)
{
    (void)close(link->fd);
    link->fd = -1;
}

/* Whether all of the node's reply is there; then *released says whether it is the right one. */
static bool watchdog_has_reply(const struct watchdog_link *link, bool *released)
{
    const uint8_t *at = link->bytes + FRAMED_PREAMBLE_BYTES;
    size_t head = FRAMED_PREAMBLE_BYTES + FRAMED_LENGTH_BYTES;
    struct wire_msg msg;

    if (link->received < head || link->received - head < le_get32(at)) {
        return false;
    }
    *released = wire_decode(at + FRAMED_LENGTH_BYTES, le_get32(at), &msg) == ERR_OK &&
                msg.type == WIRE_RELEASE_REPLY && msg.release_reply.released;
    return true;
}

/* Goes on with a link; true: the node has taken the release. A link that is done with is closed. */
static bool watchdog_goes_on(struct watchdog_link *link, const struct will_node *n)
{
    bool released = false;

    if (!link->connected) {
        link->connected = true;
        if (!watchdog_send(link->fd, n)) {
            watchdog_end_link(link);
        }
        return false;
    }
    ssize_t got =
        recv(link->fd, link->bytes + link->received, sizeof link->bytes - link->received, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    link->received += got > 0 ? (size_t)got : 0;
    if (got <= 0 || watchdog_has_reply(link, &released)) {
        watchdog_end_link(link);
    }
    return released;
}

/* Tells all nodes at once; returns how many have taken it. */
static unsigned watchdog_tell_nodes(const struct will *will)
{
    static struct watchdog_link links[PROPOSER_NODES_MAX];
    uint64_t until_ns = clock_now_ns() + WATCHDOG_TELL_MS * CLOCK_NS_PER_MS;
    unsigned taken = 0, open = 0;

    for (uint32_t i = 0; i < will->count; i++) {
        links[i] = (struct watchdog_link){.fd = watchdog_connect(will->nodes[i].address)};
        open += links[i].fd >= 0;
    }
    for (uint64_t now_ns; open > 0 && (now_ns = clock_now_ns()) < until_ns;) {
        struct pollfd fds[PROPOSER_NODES_MAX];
        for (uint32_t i = 0; i < will->count; i++) {
            fds[i] =
                (struct pollfd){.fd = links[i].fd, .events = links[i].connected ? POLLIN : POLLOUT};
        }
        (void)poll(fds, will->count, (int)((until_ns - now_ns) / CLOCK_NS_PER_MS) + 1);
        for (uint32_t i = 0; i < will->count; i++) {
            if (links[i].fd >= 0 && fds[i].revents != 0) {
                taken += watchdog_goes_on(&links[i], &will->nodes[i]);
                open -= links[i].fd < 0;
            }
        }
    }
    return taken;
}

/* The newest will that has come; false: the proxy has closed its end. */
static bool watchdog_take(int fd, struct will *will)
{
    struct will next;

    for (;;) {
        ssize_t got = recv(fd, &next, sizeof next, MSG_DONTWAIT);
        if (got <= 0) {
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        }
        if (will_is_sound(&next, (size_t)got)) {
            *will = next;
        }
    }
}

/* From the fork to its end. */
static void watchdog_watch(int fd, pid_t proxy)
{
    struct will will = {.count = 0};
    int pidfd = (int)syscall(SYS_pidfd_open, proxy, 0);
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setsid(); /* what ends a group or a terminal's processes ends the proxy; then it is due */
    (void)signal(SIGTERM, SIG_IGN); /* so does who ends what a service has left */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)prctl(PR_SET_NAME, "holdfast-watch", 0, 0, 0);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
    }
    if (pidfd < 0 || getppid() != proxy) { /* it had died before the pidfd was made */
        return;
    }
    do {
        (void)poll(fds, 2, -1);
        if (fds[1].revents != 0 && !watchdog_take(fd, &will)) {
            fds[1].fd = -1;
        }
    } while ((fds[0].revents & POLLIN) == 0);
    (void)watchdog_take(fd, &will); /* what it said last */
    if (will.count > 0) {
        log_warn("watchdog: the proxy has died; %u of %u log nodes know that its lease is void",
                 watchdog_tell_nodes(&will), (unsigned)will.count);
    }
}

/* ---- the proxy's side ---- */

struct watchdog *watchdog_start(void)
{
    struct watchdog *w = mem_calloc(1, sizeof *w);
    pid_t proxy = getpid();
    int fds[2] = {-1, -1};

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0 || (w->pid = fork()) < 0) {
        log_warn("there is no watchdog (%s): a crash costs the lease", strerror(errno));
        if (fds[0] >= 0) {
            (void)close(fds[0]);
            (void)close(fds[1]);
        }
        free(w);
        return NULL;
    }
    if (w->pid == 0) {
        (void)close(fds[0]);
        watchdog_watch(fds[1], proxy);
        _exit(EXIT_SUCCESS);
    }
    (void)close(fds[1]);
    w->fd = fds[0];
    return w;
}

void watchdog_tell(struct watchdog *w, const struct will *will)
{
    if (w->fd < 0 || will_equal(will, &w->told)) {
        return;
    }
    if (send(w->fd, will, will_size_bytes(will), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        w->told = *will;
    } else if (errno != EAGAIN && errno != EINTR) { /* else the next time */
        log_warn("the watchdog has gone (%s): a crash costs the lease", strerror(errno));
        (void)close(w->fd);
        w->fd = -1;
        (void)waitpid(w->pid, NULL, WNOHANG);
    }
}

void watchdog_stop(struct watchdog *w)
{
    static const struct will nothing = {.count = 0};

    if (w == NULL) {
        return;
    }
    watchdog_tell(w, &nothing);
    if (w->fd >= 0) {
        (void)close(w->fd);
    }
    free(w);
}
