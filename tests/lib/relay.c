#include "tests/lib/relay.h"

#include "common/clock.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RELAY_ENDPOINTS_MAX = 16,
    RELAY_CONNECTIONS_MAX = 512,
    RELAY_BUFFER_BYTES = 65536,
    RELAY_TURN_MS = 5, /* how soon a cut or a healing is noticed */
    RELAY_STRANGER = -1,
    /* Who gets no acknowledgements sends nothing new once the first retransmission is due. */
    RELAY_RTO_MS = 300,
};

struct relay_endpoint {
    char name[16];
    int listen_port, port, listen_fd;
    atomic_int pid;
    atomic_int cut;
};

struct relay {
    struct relay_endpoint endpoints[RELAY_ENDPOINTS_MAX];
    int count;
    pid_t pid;
};

/* One direction of a connection: bytes that were read and not yet written. */
struct relay_pipe {
    char bytes[RELAY_BUFFER_BYTES];
    size_t begin, end;
    bool read_end, ended; /* the source has closed; and the other side has been told */
};

struct relay_connection {
    int from, to; /* endpoints */
    int fds[2];   /* of the one that connected; of the other one, -1 as long as we have none */
    struct relay_pipe pipes[2]; /* that way: from `from`, and back */
    uint64_t cut_since_ns[2];   /* 0: that way is not cut */
};

static struct relay_connection *connections[RELAY_CONNECTIONS_MAX];

struct relay *relay_create(void)
{
    struct relay *r =
        mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(r != MAP_FAILED);
    return r;
}

void relay_destroy(struct relay *r)
{
    if (r != NULL) {
        if (r->pid > 0) {
            kill(r->pid, SIGKILL);
            (void)waitpid(r->pid, NULL, 0);
        }
        munmap(r, sizeof *r);
    }
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

void relay_add(struct relay *r, const char *name, int listen_port, int port)
{
    struct sockaddr_in at = loopback(listen_port);
    struct relay_endpoint *e = &r->endpoints[r->count++];
    int on = 1;

    ck_assert_int_le(r->count, RELAY_ENDPOINTS_MAX);
    snprintf(e->name, sizeof e->name, "%s", name);
    e->listen_port = listen_port;
    e->port = port;
    e->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(e->listen_fd, 0);
    setsockopt(e->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ck_assert_int_eq(bind(e->listen_fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(e->listen_fd, 128), 0);
}

static struct relay_endpoint *endpoint_of(struct relay *r, const char *name)
{
    for (int i = 0; i < r->count; i++) {
        if (strcmp(r->endpoints[i].name, name) == 0) {
            return &r->endpoints[i];
        }
    }
    return NULL;
}

void relay_set_pid(struct relay *r, const char *name, pid_t pid)
{
    struct relay_endpoint *e = endpoint_of(r, name);

    if (e != NULL) {
        atomic_store(&e->pid, (int)pid);
    }
}

void relay_set_cut(struct relay *r, const char *name, enum relay_cut cut)
{
    struct relay_endpoint *e = endpoint_of(r, name);

    ck_assert_msg(e != NULL, "nothing is relayed to %s", name);
    atomic_store(&e->cut, (int)cut);
}

/* --- who connects (from here on: in the process of the relays) ------------------------------- */

/* The socket that has those two ports, as /proc/net/tcp has it; 0: none. */
static unsigned long inode_of(int local_port, int remote_port)
{
    char line[512];
    unsigned long found = 0;
    FILE *f = fopen("/proc/net/tcp", "re");

    while (f != NULL && found == 0 && fgets(line, sizeof line, f) != NULL) {
        unsigned local, remote;
        unsigned long inode;
        if (sscanf(line, " %*d: %*x:%x %*x:%x %*x %*x:%*x %*x:%*x %*x %*u %*u %lu", &local, &remote,
                   &inode) == 3 &&
            (int)local == local_port && (int)remote == remote_port) {
            found = inode;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

static bool process_has(int pid, unsigned long inode)
{
    char path[64], wanted[64], link[64];
    bool found = false;

    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    for (struct dirent *entry; !found && dir != NULL && (entry = readdir(dir)) != NULL;) {
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
        link[len > 0 ? len : 0] = '\0';
        found = strcmp(link, wanted) == 0;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return found;
}

static int who_connected(struct relay *r, int fd, int listen_port)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0) {
        return RELAY_STRANGER;
    }
    unsigned long inode = inode_of(ntohs(peer.sin_port), listen_port);
    for (int i = 0; i < r->count && inode != 0; i++) {
        int pid = atomic_load(&r->endpoints[i].pid);
        if (pid > 0 && process_has(pid, inode)) {
            return i;
        }
    }
    return RELAY_STRANGER;
}

/* --- connections ------------------------------------------------------------------------------ */

static int cut_of(const struct relay *r, int endpoint)
{
    return endpoint == RELAY_STRANGER ? RELAY_WHOLE : atomic_load(&r->endpoints[endpoint].cut);
}

/* Looks which ways are cut: from the one that connected (0), and back to it (1). */
static void connection_look(const struct relay *r, struct relay_connection *c)
{
    int cuts[2] = {cut_of(r, c->from), cut_of(r, c->to)};

    for (int way = 0; way < 2; way++) {
        if ((cuts[way] & RELAY_CUT_OUT) == 0 && (cuts[1 - way] & RELAY_CUT_IN) == 0) {
            c->cut_since_ns[way] = 0;
        } else if (c->cut_since_ns[way] == 0) {
            c->cut_since_ns[way] = clock_now_ns();
        }
    }
}

static bool is_through(const struct relay_connection *c, int way)
{
    uint64_t back_ns = c->cut_since_ns[1 - way];
    return c->cut_since_ns[way] == 0 &&
           (back_ns == 0 || clock_now_ns() - back_ns < RELAY_RTO_MS * CLOCK_NS_PER_MS);
}

static void set_nodelay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void relay_accept(struct relay *r, int endpoint)
{
    const struct relay_endpoint *e = &r->endpoints[endpoint];
    int fd = accept4(e->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int slot = 0;

    while (slot < RELAY_CONNECTIONS_MAX && connections[slot] != NULL) {
        slot++;
    }
    if (fd < 0) {
        return;
    }
    if (slot == RELAY_CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    struct relay_connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        abort();
    }
    c->from = who_connected(r, fd, e->listen_port);
    c->to = endpoint;
    c->fds[0] = fd;
    c->fds[1] = -1;
    set_nodelay(fd);
    connections[slot] = c;
}

static void relay_close(int slot)
{
    struct relay_connection *c = connections[slot];

    for (int way = 0; way < 2; way++) {
        if (c->fds[way] >= 0) {
            close(c->fds[way]);
        }
    }
    free(c);
    connections[slot] = NULL;
}

/* False: it is refused. The connection is made (loopback does that at once) but not waited for. */
static bool relay_connect(struct relay *r, struct relay_connection *c)
{
    struct sockaddr_in at = loopback(r->endpoints[c->to].port);

    c->fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fds[1] < 0 || connect(c->fds[1], (struct sockaddr *)&at, sizeof at) != 0) {
        return false;
    }
    set_nodelay(c->fds[1]);
    return fcntl(c->fds[1], F_SETFL, O_NONBLOCK) == 0;
}

static bool is_for_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Moves what can be moved one way; false: the connection has broken. */
static bool pipe_move(struct relay_pipe *p, int from, int to)
{
    if (p->begin == p->end && !p->read_end) {
        ssize_t n = recv(from, p->bytes, sizeof p->bytes, 0);
        if (n < 0 && !is_for_later(n)) {
            return false;
        }
        p->begin = 0;
        p->end = n > 0 ? (size_t)n : 0;
        p->read_end = n == 0;
    }
    if (p->begin < p->end) {
        ssize_t n = send(to, p->bytes + p->begin, p->end - p->begin, MSG_NOSIGNAL);
        if (n < 0 && !is_for_later(n)) {
            return false;
        }
        p->begin += n > 0 ? (size_t)n : 0;
    }
    if (p->read_end && !p->ended && p->begin == p->end) {
        p->ended = true;
        return shutdown(to, SHUT_WR) == 0;
    }
    return true;
}

/* False: it is over. */
static bool connection_move(struct relay *r, struct relay_connection *c)
{
    connection_look(r, c);
    bool through[2] = {is_through(c, 0), is_through(c, 1)};

    if (c->fds[1] < 0) {
        if (!through[0] || !through[1]) {
            return true;
        }
        if (!relay_connect(r, c)) {
            return false;
        }
    }
    for (int way = 0; way < 2; way++) {
        if (through[way] && !pipe_move(&c->pipes[way], c->fds[way], c->fds[1 - way])) {
            return false;
        }
    }
    return !c->pipes[0].ended || !c->pipes[1].ended;
}

/* What to wait for on that side: bytes for the other one, and room for its. */
static short events_of(const struct relay_connection *c, int side)
{
    const struct relay_pipe *out = &c->pipes[side], *in = &c->pipes[1 - side];
    short events = 0;

    if (is_through(c, side) && !out->read_end && out->begin == out->end) {
        events |= POLLIN;
    }
    if (is_through(c, 1 - side) && in->begin < in->end) {
        events |= POLLOUT;
    }
    return events;
}

static void relay_turn(struct relay *r)
{
    struct pollfd fds[RELAY_ENDPOINTS_MAX + 2 * RELAY_CONNECTIONS_MAX];
    nfds_t n = 0;

    for (int i = 0; i < r->count; i++) {
        fds[n++] = (struct pollfd){.fd = r->endpoints[i].listen_fd, .events = POLLIN};
    }
    for (int i = 0; i < RELAY_CONNECTIONS_MAX; i++) {
        for (int side = 0; connections[i] != NULL && side < 2; side++) {
            short events = events_of(connections[i], side);
            /* Not those that wait for nothing: poll would tell of their hang-ups all the time. */
            if (connections[i]->fds[side] >= 0 && events != 0) {
                fds[n++] = (struct pollfd){.fd = connections[i]->fds[side], .events = events};
            }
        }
    }
    (void)poll(fds, n, RELAY_TURN_MS);
    for (int i = 0; i < r->count; i++) {
        if (fds[i].revents & POLLIN) {
            relay_accept(r, i);
        }
    }
    for (int i = 0; i < RELAY_CONNECTIONS_MAX; i++) {
        if (connections[i] != NULL && !connection_move(r, connections[i])) {
            relay_close(i);
        }
    }
}

void relay_start(struct relay *r)
{
    pid_t parent = getpid();

    fflush(NULL);
    r->pid = fork();
    ck_assert_int_ge(r->pid, 0);
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent) {
            relay_turn(r);
        }
        _exit(0);
    }
    for (int i = 0; i < r->count; i++) {
        close(r->endpoints[i].listen_fd);
    }
}
