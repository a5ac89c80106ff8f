/* A load generator that costs little: one thread, epoll, requests made by copying a template. Each
 * connection sends a batch of commands, waits for all of its replies, and sends the next, as
 * redis-benchmark does; unlike it, this can send WAIT behind the writes, mixes reads and writes,
 * and tells what CPU time the servers took meanwhile.
 *
 * Writes one line of "key=value" words on standard output; tests/bench/bench.c reads it. */
#include "common/clock.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    KEY_DIGITS = 12,
    READ_BYTES = 65536,
    PIDS_MAX = 8,
    /* Latencies: 32 buckets for each power of two, in nanoseconds. */
    BUCKETS_PER_OCTAVE = 32,
    BUCKETS = 64 * BUCKETS_PER_OCTAVE,
};

struct options {
    int port;
    unsigned connections, pipeline, ms, keys, value_bytes;
    unsigned write_percent;
    unsigned rate; /* commands a second, evenly, however long replies take; 0: as fast as it goes */
    int wait;      /* replicas to WAIT for behind the writes of a batch; 0: none */
    bool fill;     /* write every key once, instead of a measurement */
    bool compressible; /* values of one repeated byte */
    pid_t pids[PIDS_MAX];
    unsigned pid_count;
};

struct connection {
    int fd;
    unsigned replies_left; /* of this batch */
    unsigned commands;     /* in this batch, without WAIT */
    size_t skip_bytes;     /* of a bulk that has not all come */
    char line[64];         /* a header line in the making */
    unsigned line_len;
    uint64_t sent_ns;
    size_t out_len, out_sent;
    char *out;
};

struct load {
    struct options options;
    int epoll;
    struct connection *connections;
    char *set, *get; /* templates, with the key's digits at set_key, get_key */
    size_t set_len, get_len, set_key, get_key;
    uint64_t random;
    unsigned next_fill;
    bool measuring, ending;
    unsigned busy;            /* connections with replies outstanding */
    struct connection **idle; /* with a rate: those that wait for their turn */
    unsigned idle_count;
    uint64_t due_ns; /* with a rate: when the next batch is to leave */
    uint64_t commands, errors, wait_short;
    uint64_t batches;
    uint32_t latency[BUCKETS];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* --- latencies ------------------------------------------------------------------------------ */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < BUCKETS_PER_OCTAVE) {
        return (unsigned)ns;
    }
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns) - 5;
    return (octave + 1) * BUCKETS_PER_OCTAVE + (unsigned)(ns >> octave) % BUCKETS_PER_OCTAVE;
}

static double bucket_us(unsigned bucket)
{
    if (bucket < BUCKETS_PER_OCTAVE) {
        return bucket / 1000.0;
    }
    unsigned octave = bucket / BUCKETS_PER_OCTAVE - 1;
    double low = (double)((uint64_t)(BUCKETS_PER_OCTAVE + bucket % BUCKETS_PER_OCTAVE) << octave);
    return low * (1 + 0.5 / BUCKETS_PER_OCTAVE) / 1000.0;
}

static double percentile_us(const struct load *l, double part)
{
    uint64_t rank = (uint64_t)((double)l->batches * part), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += l->latency[i];
        if (seen > rank) {
            return bucket_us(i);
        }
    }
    return 0;
}

/* --- CPU time ------------------------------------------------------------------------------- */

/* User and system time of a process so far, all threads, in clock ticks; 0 if it is gone. */
static unsigned long cpu_ticks(pid_t pid)
{
    char path[64], line[512];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    size_t len = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[len] = '\0';
    const char *rest = strrchr(line, ')');
    if (rest == NULL || sscanf(rest, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user,
                               &system) != 2) {
        return 0;
    }
    return user + system;
}

static double own_cpu_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* --- requests ------------------------------------------------------------------------------- */

static uint64_t random_next(struct load *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

static void templates_make(struct load *l)
{
    unsigned value = l->options.value_bytes;
    l->set = mem_alloc(128 + value);
    l->get = mem_alloc(128);
    int head = sprintf(l->set, "*3\r\n$3\r\nSET\r\n$%d\r\nkey:%0*d\r\n$%u\r\n", 4 + KEY_DIGITS,
                       KEY_DIGITS, 0, value);
    for (unsigned i = 0; i < value; i++) { /* else nothing that an RDB could compress */
        uint64_t r = l->options.compressible ? 0 : random_next(l);
        l->set[(unsigned)head + i] = (char)('!' + r % 90);
    }
    memcpy(l->set + head + value, "\r\n", 2);
    l->set_len = (size_t)head + value + 2;
    l->get_len = (size_t)sprintf(l->get, "*2\r\n$3\r\nGET\r\n$%d\r\nkey:%0*d\r\n", 4 + KEY_DIGITS,
                                 KEY_DIGITS, 0);
    l->set_key = (size_t)(strstr(l->set, "key:") - l->set) + 4;
    l->get_key = (size_t)(strstr(l->get, "key:") - l->get) + 4;
}

static void put_digits(char *to, uint64_t number)
{
    for (int i = KEY_DIGITS - 1; number > 0; i--) {
        to[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* The next batch into c->out: false when there is none (all keys are filled). */
static bool batch_make(struct load *l, struct connection *c)
{
    const struct options *o = &l->options;
    bool wrote = false;

    c->out_len = c->out_sent = 0;
    c->commands = 0;
    for (; c->commands < o->pipeline; c->commands++) {
        uint64_t r = random_next(l);
        bool write = r % 100 < o->write_percent;
        uint64_t key = (r >> 20) % o->keys;
        if (o->fill) {
            if (l->next_fill == o->keys) {
                break;
            }
            write = true;
            key = l->next_fill++;
        }
        char *at = c->out + c->out_len;
        memcpy(at, write ? l->set : l->get, write ? l->set_len : l->get_len);
        put_digits(at + (write ? l->set_key : l->get_key), key);
        c->out_len += write ? l->set_len : l->get_len;
        wrote |= write;
    }
    c->replies_left = c->commands;
    if (o->wait > 0 && wrote) {
        c->out_len += (size_t)sprintf(c->out + c->out_len,
                                      "*3\r\n$4\r\nWAIT\r\n$1\r\n%d\r\n$1\r\n0\r\n", o->wait);
        c->replies_left++;
    }
    return c->commands > 0;
}

static void connection_send(struct load *l, struct connection *c)
{
    while (c->out_sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
        if (n > 0) {
            c->out_sent += (size_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            die("send");
        }
    }
    if (c->out_sent < c->out_len) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
        if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0) {
            die("epoll_ctl");
        }
    }
}

static void batch_start(struct load *l, struct connection *c)
{
    if (l->options.rate > 0) {
        l->idle[l->idle_count++] = c;
    } else if (!l->ending && batch_make(l, c)) {
        l->busy++;
        c->sent_ns = clock_now_ns();
        connection_send(l, c);
    }
}

/* With a rate: what is due leaves, if a connection is free; its time runs from when it was due. */
static void batches_due(struct load *l)
{
    uint64_t now_ns = clock_now_ns();

    while (!l->ending && l->idle_count > 0 && l->due_ns <= now_ns) {
        struct connection *c = l->idle[--l->idle_count];
        if (batch_make(l, c)) {
            l->busy++;
            c->sent_ns = l->due_ns;
            connection_send(l, c);
        }
        l->due_ns += l->options.pipeline * CLOCK_NS_PER_S / l->options.rate;
    }
}

/* Not longer than until the next batch is due. */
static int events_wait(struct load *l, struct epoll_event *events, int max)
{
    struct timespec wait = {.tv_nsec = 10000000};
    uint64_t now_ns = clock_now_ns();

    if (l->options.rate > 0 && l->idle_count > 0 && !l->ending) {
        uint64_t ns = l->due_ns > now_ns ? l->due_ns - now_ns : 0;
        wait.tv_nsec = ns < 10000000 ? (long)ns : 10000000;
    }
    return epoll_pwait2(l->epoll, events, max, &wait, NULL);
}

/* --- replies -------------------------------------------------------------------------------- */

static void batch_end(struct load *l, struct connection *c)
{
    l->busy--;
    if (l->measuring) {
        l->commands += c->commands;
        l->batches++;
        l->latency[bucket_of(clock_now_ns() - c->sent_ns)]++;
    }
    batch_start(l, c);
}

/* A whole header line is in c->line. */
static void reply_line(struct load *l, struct connection *c)
{
    c->line[c->line_len < sizeof c->line ? c->line_len : sizeof c->line - 1] = '\0';
    switch (c->line[0]) {
    case '$':
        if (c->line[1] != '-') {
            c->skip_bytes = strtoul(c->line + 1, NULL, 10) + 2;
            return; /* the reply ends with its bytes */
        }
        break;
    case ':':
        l->wait_short += strtol(c->line + 1, NULL, 10) < l->options.wait;
        break;
    case '-':
        if (l->errors++ == 0) {
            fprintf(stderr, "bench_load: %s\n", c->line);
        }
        break;
    default:
        break;
    }
    c->replies_left--;
}

static void replies_take(struct load *l, struct connection *c, const char *bytes, size_t len)
{
    const char *end = bytes + len;

    while (bytes < end) {
        if (c->skip_bytes > 0) {
            size_t n =
                (size_t)(end - bytes) < c->skip_bytes ? (size_t)(end - bytes) : c->skip_bytes;
            bytes += n;
            c->skip_bytes -= n;
            c->replies_left -= c->skip_bytes == 0;
            continue;
        }
        char byte = *bytes++;
        if (byte != '\n') {
            if (c->line_len < sizeof c->line) {
                c->line[c->line_len] = byte;
            }
            c->line_len++;
            continue;
        }
        reply_line(l, c);
        c->line_len = 0;
    }
    if (c->replies_left == 0) {
        batch_end(l, c);
    }
}

static void connection_receive(struct load *l, struct connection *c)
{
    static char bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);

    if (n > 0) {
        replies_take(l, c, bytes, (size_t)n);
    } else if (n == 0) {
        fprintf(stderr, "bench_load: the server closed a connection\n");
        exit(1);
    } else if (errno != EAGAIN && errno != EINTR) {
        die("recv");
    }
}

/* --- set-up --------------------------------------------------------------------------------- */

static void connection_open(struct load *l, struct connection *c)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)l->options.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        die("connect");
    }
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        die("socket");
    }
    c->out = mem_alloc((l->set_len + 64) * l->options.pipeline + 64);
}

/* Handles events until the time has come, or no replies are outstanding. */
static void events_until(struct load *l, uint64_t end_ns)
{
    struct epoll_event events[256];

    while ((l->busy > 0 || (l->options.rate > 0 && !l->ending)) && clock_now_ns() < end_ns) {
        batches_due(l);
        int n = events_wait(l, events, 256);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
                if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0) {
                    die("epoll_ctl");
                }
                connection_send(l, c);
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                connection_receive(l, c);
            }
        }
    }
}

static void measure(struct load *l)
{
    unsigned long ticks[PIDS_MAX] = {0};
    /* What is slow only at first (connections, memory) stays out of it. */
    events_until(l, clock_now_ns() + l->options.ms * CLOCK_NS_PER_MS / 5);
    for (unsigned i = 0; i < l->options.pid_count; i++) {
        ticks[i] = cpu_ticks(l->options.pids[i]);
    }
    double own = own_cpu_us();
    uint64_t start = clock_now_ns();
    l->measuring = true;
    events_until(l, start + l->options.ms * CLOCK_NS_PER_MS);
    l->measuring = false;
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    double commands = l->commands > 0 ? (double)l->commands : 1;

    printf("rate=%.1f p50_us=%.1f p99_us=%.1f errors=%llu wait_short=%llu",
           (double)l->commands / seconds, percentile_us(l, 0.5), percentile_us(l, 0.99),
           (unsigned long long)l->errors, (unsigned long long)l->wait_short);
    printf(" load_cpu_us=%.3f", (own_cpu_us() - own) / commands);
    double tick_us = 1e6 / (double)sysconf(_SC_CLK_TCK);
    for (unsigned i = 0; i < l->options.pid_count; i++) {
        printf(" cpu_us%u=%.3f", i,
               (double)(cpu_ticks(l->options.pids[i]) - ticks[i]) * tick_us / commands);
    }
    printf("\n");
}

static unsigned number(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n > 100000000) {
        fprintf(stderr, "bench_load: not a number: %s\n", text);
        exit(2);
    }
    return (unsigned)n;
}

static void options_parse(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {{"port", required_argument, NULL, 'p'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"pipeline", required_argument, NULL, 'P'},
                                          {"ms", required_argument, NULL, 't'},
                                          {"keys", required_argument, NULL, 'k'},
                                          {"value-bytes", required_argument, NULL, 'v'},
                                          {"write-percent", required_argument, NULL, 'w'},
                                          {"wait", required_argument, NULL, 'W'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"fill", no_argument, NULL, 'f'},
                                          {"compressible", no_argument, NULL, 'C'},
                                          {"pid", required_argument, NULL, 'i'},
                                          {NULL, 0, NULL, 0}};
    int option;

    *o = (struct options){.port = 6379,
                          .connections = 50,
                          .pipeline = 1,
                          .ms = 1000,
                          .keys = 100000,
                          .value_bytes = 100,
                          .write_percent = 100};
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'p':
            o->port = (int)number(optarg);
            break;
        case 'c':
            o->connections = number(optarg);
            break;
        case 'P':
            o->pipeline = number(optarg);
            break;
        case 't':
            o->ms = number(optarg);
            break;
        case 'k':
            o->keys = number(optarg);
            break;
        case 'v':
            o->value_bytes = number(optarg);
            break;
        case 'w':
            o->write_percent = number(optarg);
            break;
        case 'W':
            o->wait = (int)number(optarg);
            break;
        case 'r':
            o->rate = number(optarg);
            break;
        case 'f':
            o->fill = true;
            break;
        case 'C':
            o->compressible = true;
            break;
        case 'i':
            if (o->pid_count < PIDS_MAX) {
                o->pids[o->pid_count++] = (pid_t)number(optarg);
            }
            break;
        default:
            exit(2);
        }
    }
    if (o->connections == 0 || o->pipeline == 0 || o->keys == 0) {
        fprintf(stderr, "bench_load: connections, pipeline and keys must not be 0\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct load *l = mem_calloc(1, sizeof *l);

    options_parse(&l->options, argc, argv);
    l->random = 88172645463325252ull + (uint64_t)getpid();
    templates_make(l);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0) {
        die("epoll_create1");
    }
    l->idle = mem_calloc(l->options.connections, sizeof *l->idle);
    l->due_ns = clock_now_ns();
    l->connections = mem_calloc(l->options.connections, sizeof *l->connections);
    for (unsigned i = 0; i < l->options.connections; i++) {
        connection_open(l, &l->connections[i]);
    }
    for (unsigned i = 0; i < l->options.connections; i++) {
        batch_start(l, &l->connections[i]);
    }
    if (l->options.fill) {
        events_until(l, UINT64_MAX);
    } else {
        measure(l);
        l->ending = true;
        events_until(l, clock_now_ns() + 5 * CLOCK_NS_PER_S);
    }
    for (unsigned i = 0; i < l->options.connections; i++) {
        close(l->connections[i].fd);
        free(l->connections[i].out);
    }
    close(l->epoll);
    free(l->connections);
    free(l->idle);
    free(l->set);
    free(l->get);
    int status = l->errors > 0 ? 1 : 0;
    free(l);
    return status;
}
