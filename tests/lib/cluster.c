#include "tests/lib/cluster.h"

#include "common/clock.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CLUSTER_LOG_NODES_MAX = 9,
    CLUSTER_PAIRS_MAX = 5,
    CLUSTER_PROCESSES_MAX = CLUSTER_LOG_NODES_MAX + 2 * CLUSTER_PAIRS_MAX + 6,
    CLUSTER_ARGS_MAX = 64,
    CLUSTER_PATIENCE_MS = 60000,
    CLUSTER_PATH_MAX = 512,
    CLUSTER_QUEUE_MAX = 64,
};

/* Small segments: they fill up during a test, and make less for the disk to do. */
#define CLUSTER_LOG_JSON "\"segment_bytes\": 16777216"

struct cluster_process {
    char name[16];
    char dir[CLUSTER_PATH_MAX];
    int port;
    int relay_port;                /* where others reach it; without relays: port */
    int sentinel_port;             /* of a proxy; 0: none */
    bool redis;                    /* a redis-server */
    const char *const *redis_args; /* its own arguments, or NULL */
    bool sentinel;                 /* a redis-server that is a Sentinel */
    pid_t pid;                     /* 0: not running, as far as we know */
    unsigned long long started;    /* of that pid, so that no stranger is killed who got it later */
};

/* In shared memory; so no pointers to anything that changes after the fork. */
struct cluster {
    char dir[CLUSTER_PATH_MAX];
    char cluster_id[33];
    unsigned tests_begun, tests_passed;
    unsigned log_nodes, pairs;
    size_t count;
    struct cluster_process processes[CLUSTER_PROCESSES_MAX];
    struct relay *relay;            /* NULL: none */
    struct cluster_options options; /* what it points to is constant */
};

static void sleep_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) != 0 && errno == EINTR) {
    }
}

void cluster_wait(const char *what, uint64_t timeout_ms, bool (*cond)(void *arg), void *arg)
{
    uint64_t end = clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS;
    long pause_ms = 1;

    while (!cond(arg)) {
        if (clock_now_ns() > end) {
            ck_abort_msg("gave up waiting for: %s (%llu ms)", what, (unsigned long long)timeout_ms);
        }
        sleep_ms(pause_ms);
        pause_ms = pause_ms < 16 ? pause_ms * 2 : 20;
    }
}

/* --- ports ---------------------------------------------------------------------------------- */

static bool port_can_be_bound(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bool ok = bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    close(fd);
    return ok;
}

/* A port is ours while we hold the lock on its file; the kernel lets go of it when we (and what we
 * forked) are gone. */
int cluster_free_port(void)
{
    enum { FIRST = 20000, COUNT = 10000, TRIES = 2000 };
    static unsigned next;
    char path[128];

    if (next == 0) {
        next = (unsigned)getpid() * 131u;
    }
    snprintf(path, sizeof path, "/tmp/holdfast-test-ports-%u", (unsigned)getuid());
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        ck_abort_msg("mkdir %s: %s", path, strerror(errno));
    }
    for (int i = 0; i < TRIES; i++) {
        int port = FIRST + (int)(next++ % COUNT);
        snprintf(path, sizeof path, "/tmp/holdfast-test-ports-%u/%d", (unsigned)getuid(), port);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_msg(fd >= 0, "open %s: %s", path, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && port_can_be_bound(port)) {
            return port; /* fd stays open: that is the lock */
        }
        close(fd);
    }
    ck_abort_msg("no free port");
}

/* --- the folder ------------------------------------------------------------------------------ */

static struct cluster_process *process_of(const struct cluster *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->processes[i].name, name) == 0) {
            return (struct cluster_process *)&c->processes[i];
        }
    }
    ck_abort_msg("there is no %s in this cluster", name);
}

static void file_path(const struct cluster_process *p, const char *file, char *path, size_t size)
{
    int len = snprintf(path, size, "%s/%s", p->dir, file);
    ck_assert(len > 0 && (size_t)len < size);
}

static struct cluster_process *process_add(struct cluster *c, const char *name)
{
    struct cluster_process *p = &c->processes[c->count++];
    char data[CLUSTER_PATH_MAX + 8], base[401];

    ck_assert_uint_le(c->count, CLUSTER_PROCESSES_MAX);
    snprintf(base, sizeof base, "%.400s", c->dir);
    snprintf(p->name, sizeof p->name, "%s", name);
    int len = snprintf(p->dir, sizeof p->dir, "%s/%s", base, name);
    ck_assert(len > 0 && (size_t)len < sizeof p->dir);
    ck_assert_int_eq(mkdir(p->dir, 0700), 0);
    file_path(p, "data", data, sizeof data);
    ck_assert_int_eq(mkdir(data, 0700), 0);
    p->port = p->relay_port = cluster_free_port();
    return p;
}

static void process_relay(struct cluster *c, struct cluster_process *p)
{
    if (c->relay != NULL) {
        p->relay_port = cluster_free_port();
        relay_add(c->relay, p->name, p->relay_port, p->port);
    }
}

/* "proxy" and 2: "proxy2"; valid until the next call but three. */
static const char *cluster_name(const char *kind, unsigned i)
{
    static char names[4][16];
    static unsigned next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof names[0], "%s%u", kind, i);
    return name;
}

void cluster_add_redis(struct cluster *c, const char *name, const char *const *args)
{
    struct cluster_process *p = process_add(c, name);
    p->redis = true;
    p->redis_args = args;
}

void cluster_add_sentinel(struct cluster *c, const char *name, const char *master)
{
    struct cluster_process *p = process_add(c, name);
    char path[CLUSTER_PATH_MAX + 16];

    p->sentinel = true;
    file_path(p, "sentinel.conf", path, sizeof path);
    FILE *f = fopen(path, "we");
    ck_assert_msg(f != NULL, "open %s: %s", path, strerror(errno));
    fprintf(f,
            "port %d\nbind 127.0.0.1\ndir %s/data\nsentinel monitor mymaster 127.0.0.1 %d 2\n"
            "sentinel down-after-milliseconds mymaster 60000\n",
            p->port, p->dir, process_of(c, master)->port);
    ck_assert_int_eq(fclose(f), 0);
}

static FILE *config_open(const struct cluster_process *p)
{
    char path[CLUSTER_PATH_MAX + 16];
    file_path(p, "config.json", path, sizeof path);
    FILE *f = fopen(path, "we");
    ck_assert_msg(f != NULL, "open %s: %s", path, strerror(errno));
    return f;
}

static void config_lease(const struct cluster *c, FILE *f)
{
    if (c->options.lease_ms != 0) {
        fprintf(f, " \"lease_ms\": %u,\n", c->options.lease_ms);
    }
}

static void config_log(const struct cluster *c, const struct cluster_process *p)
{
    FILE *f = config_open(p);
    fprintf(f, "{\"node_id\": \"%s\", \"cluster_id\": \"%s\",\n", p->name, c->cluster_id);
    config_lease(c, f);
    fprintf(f, " \"host\": \"127.0.0.1\", \"port\": %d, \"data_dir\": \"%s/data\",\n %s}\n",
            p->port, p->dir, c->options.log_json ? c->options.log_json : CLUSTER_LOG_JSON);
    ck_assert_int_eq(fclose(f), 0);
}

static void config_proxy(const struct cluster *c, const struct cluster_process *p,
                         const char *redis)
{
    FILE *f = config_open(p);
    fprintf(f, "{\"name\": \"%s\", \"cluster_id\": \"%s\",\n", p->name, c->cluster_id);
    config_lease(c, f);
    fprintf(f,
            " \"host\": \"127.0.0.1\", \"port\": %d, "
            "\"data_dir\": \"%s/data\",\n \"redis\": {\"host\": \"127.0.0.1\", \"port\": %d, "
            "\"user\": \"\", \"password\": \"\"%s},\n \"log\": {\"id\": 1, \"nodes\": [",
            p->port, p->dir, process_of(c, redis)->relay_port,
            c->options.redis_json ? c->options.redis_json : "");
    for (unsigned i = 0; i < c->log_nodes; i++) {
        fprintf(f, "%s\"127.0.0.1:%d\"", i ? ", " : "", c->processes[i].relay_port);
    }
    fprintf(f, "]%s}", c->options.proxy_log_json ? c->options.proxy_log_json : "");
    if (p->relay_port != p->port) {
        fprintf(f, ",\n \"announce_port\": %d", p->relay_port);
    }
    if (p->sentinel_port != 0) {
        fprintf(f, ",\n \"sentinel\": {\"port\": %d, %s}", p->sentinel_port,
                c->options.sentinel_json);
    }
    fprintf(f, "%s%s}\n", c->options.proxy_json ? ",\n " : "",
            c->options.proxy_json ? c->options.proxy_json : "");
    ck_assert_int_eq(fclose(f), 0);
}

void cluster_add_log(struct cluster *c, const char *name)
{
    config_log(c, process_add(c, name));
}

struct cluster *cluster_create(const struct cluster_options *options)
{
    struct cluster *c =
        mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(c != MAP_FAILED);
    if (options != NULL) {
        c->options = *options;
    }
    c->log_nodes = c->options.log_nodes ? c->options.log_nodes : 3;
    ck_assert_uint_le(c->log_nodes, CLUSTER_LOG_NODES_MAX);
    c->pairs = c->options.pairs ? c->options.pairs : 1;
    ck_assert_uint_le(c->pairs, CLUSTER_PAIRS_MAX);

    /* Not in /tmp: that may be a tmpfs, which knows neither fsync nor O_DIRECT. */
    const char *base = getenv("HOLDFAST_TEST_DIR");
    char here[300];
    ck_assert(getcwd(here, sizeof here) != NULL);
    snprintf(c->dir, sizeof c->dir, "%s/test-run-XXXXXX", base ? base : here);
    ck_assert_msg(mkdtemp(c->dir) != NULL, "mkdtemp %s: %s", c->dir, strerror(errno));
    snprintf(c->cluster_id, sizeof c->cluster_id, "%016llx%016x",
             (unsigned long long)clock_now_ns(), (unsigned)getpid());

    c->relay = c->options.relays ? relay_create() : NULL;
    for (unsigned i = 1; i <= c->log_nodes; i++) {
        struct cluster_process *p = process_add(c, cluster_name("log", i));
        process_relay(c, p);
        config_log(c, p);
    }
    for (unsigned i = 1; i <= c->pairs; i++) {
        cluster_add_redis(c, cluster_name("redis", i), c->options.redis_args);
        if (c->options.redis_relays) {
            process_relay(c, &c->processes[c->count - 1]);
        }
    }
    if (c->options.plain) {
        cluster_add_redis(c, "plain1", c->options.redis_args);
    }
    for (unsigned i = 1; i <= c->pairs; i++) {
        struct cluster_process *p = process_add(c, cluster_name("proxy", i));
        p->sentinel_port = c->options.sentinel_json != NULL ? cluster_free_port() : 0;
        process_relay(c, p);
        config_proxy(c, p, cluster_name("redis", i));
    }
    if (c->relay != NULL) {
        relay_start(c->relay);
    }
    return c;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void cluster_wipe(struct cluster *c, const char *name)
{
    const struct cluster_process *p = process_of(c, name);
    char data[CLUSTER_PATH_MAX + 8];

    file_path(p, "data", data, sizeof data);
    ck_assert_int_eq(nftw(data, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    ck_assert_int_eq(mkdir(data, 0700), 0);
}

/* The end of a log, whole lines, on standard error. */
static void log_print_tail(const struct cluster_process *p)
{
    enum { TAIL_BYTES = 4000 };
    char path[CLUSTER_PATH_MAX + 16], bytes[TAIL_BYTES + 1];

    file_path(p, "log", path, sizeof path);
    FILE *f = fopen(path, "re");
    fprintf(stderr, "--- %s (port %d): the end of its log\n", p->name, p->port);
    if (f == NULL) {
        return;
    }
    if (fseek(f, -TAIL_BYTES, SEEK_END) != 0) {
        rewind(f);
    }
    size_t len = fread(bytes, 1, TAIL_BYTES, f);
    bytes[len] = '\0';
    const char *text = bytes;
    if (len == TAIL_BYTES && strchr(bytes, '\n') != NULL) {
        text = strchr(bytes, '\n') + 1;
    }
    fprintf(stderr, "%s\n", text);
    fclose(f);
}

void cluster_test_begins(struct cluster *c)
{
    c->tests_begun++;
}

void cluster_test_passed(struct cluster *c)
{
    c->tests_passed++;
}

void cluster_destroy(struct cluster *c)
{
    if (c == NULL) {
        return;
    }
    cluster_kill_all(c);
    relay_destroy(c->relay);
    for (size_t i = 0; c->tests_passed != c->tests_begun && i < c->count; i++) {
        log_print_tail(&c->processes[i]);
    }
    if (getenv("HOLDFAST_KEEP") == NULL) {
        nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    } else {
        fprintf(stderr, "kept: %s\n", c->dir);
    }
    munmap(c, sizeof *c);
}

/* --- processes ------------------------------------------------------------------------------ */

void cluster_program(const char *program, char *path, size_t size)
{
    const char *bin = getenv("HOLDFAST_BIN");
    char here[300];
    ck_assert(getcwd(here, sizeof here) != NULL);
    int len = snprintf(path, size, "%s/%s", bin ? bin : here, program);
    ck_assert(len > 0 && (size_t)len < size);
    ck_assert_msg(access(path, X_OK) == 0, "%s has not been built", path);
}

/* In the child: only what is safe between fork and exec. */
static void exec_child(pid_t parent, int out_fd, char *const argv[])
{
    struct rlimit files;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127); /* the parent died before prctl */
    }
    int null_fd = open("/dev/null", O_RDONLY);
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0) {
        _exit(127);
    }
    close_range(3, ~0U, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    execvp(argv[0], argv);
    _exit(127);
}

static pid_t exec_start(int out_fd, char *const argv[])
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        exec_child(parent, out_fd, argv);
    }
    return pid;
}

/* Waits up to timeout_ms for the process to end, whoever started it, and reaps it if it is ours. */
static bool process_wait_end(pid_t pid, int timeout_ms, int *status)
{
    bool ended = true;
    int fd = pidfd_open(pid, 0);

    if (fd >= 0) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        ended = poll(&pfd, 1, timeout_ms) == 1;
        close(fd);
    }
    if (!ended || waitpid(pid, status, WNOHANG) != pid) {
        *status = -1;
    }
    return ended;
}

int cluster_run(const char *const argv[], int timeout_ms, char *output, size_t size)
{
    char path[] = "/tmp/holdfast-run-XXXXXX";
    int status;
    int fd = mkostemp(path, O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    pid_t pid = exec_start(fd, (char *const *)argv);
    if (!process_wait_end(pid, timeout_ms, &status)) {
        kill(pid, SIGKILL);
        process_wait_end(pid, 10000, &status);
    }
    ssize_t len = pread(fd, output, size - 1, 0);
    output[len > 0 ? len : 0] = '\0';
    close(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void redis_argv(const struct cluster_process *p, char *port, char *data,
                       const char *argv[CLUSTER_ARGS_MAX])
{
    const char *const fixed[] = {"redis-server", "--port", port, "--bind",
                                 "127.0.0.1",    "--save", "",   "--appendonly",
                                 "no",           "--dir",  data};
    size_t n = 0;

    for (; n < sizeof fixed / sizeof *fixed; n++) {
        argv[n] = fixed[n];
    }
    for (const char *const *arg = p->redis_args; arg != NULL && *arg != NULL; arg++) {
        ck_assert_uint_lt(n, CLUSTER_ARGS_MAX - 1);
        argv[n++] = *arg;
    }
    argv[n] = NULL;
}

/* What /proc/PID/stat says: the state's letter ('\0' if there is no such process) and the start
 * time, in ticks since boot. */
static char process_stat(pid_t pid, unsigned long long *started)
{
    char path[64], line[512], state = '\0';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return '\0';
    }
    size_t len = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[len] = '\0';
    /* The program's name, field 2, may hold anything; the fields behind it can't hold ')'. */
    const char *rest = strrchr(line, ')');
    if (rest == NULL || sscanf(rest,
                               ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                               "%*s %*s %*s %llu",
                               &state, started) != 2) {
        return '\0';
    }
    return state;
}

static bool process_alive(struct cluster_process *p)
{
    unsigned long long started;
    int status;

    if (p->pid > 0) {
        char state = process_stat(p->pid, &started);
        if (state == '\0' || state == 'Z' || state == 'X' || started != p->started) {
            (void)waitpid(p->pid, &status, WNOHANG); /* reaps it, if it was ours */
            p->pid = 0;
        }
    }
    return p->pid > 0;
}

static bool port_is_open(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    bool ok = connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    close(fd);
    return ok;
}

static bool process_settled(void *arg)
{
    struct cluster_process *p = arg;
    return port_is_open(p->port) || !process_alive(p);
}

void cluster_spawn(struct cluster *c, const char *name)
{
    struct cluster_process *p = process_of(c, name);
    const char *argv[CLUSTER_ARGS_MAX];
    char program[CLUSTER_PATH_MAX], file[CLUSTER_PATH_MAX + 16], port[16];

    ck_assert_msg(!process_alive(p), "%s runs already", name);
    if (p->redis) {
        snprintf(port, sizeof port, "%d", p->port);
        file_path(p, "data", file, sizeof file);
        redis_argv(p, port, file, argv);
    } else if (p->sentinel) {
        file_path(p, "sentinel.conf", file, sizeof file);
        argv[0] = "redis-server";
        argv[1] = file;
        argv[2] = "--sentinel";
        argv[3] = NULL;
    } else {
        cluster_program(name[0] == 'l' ? "holdfast-logsvc" : "holdfast-proxy", program,
                        sizeof program);
        file_path(p, "config.json", file, sizeof file);
        argv[0] = program;
        argv[1] = "--config";
        argv[2] = file;
        argv[3] = NULL;
    }
    char log[CLUSTER_PATH_MAX + 16];
    file_path(p, "log", log, sizeof log);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0, "open %s: %s", log, strerror(errno));
    pid_t pid = exec_start(fd, (char *const *)argv);
    close(fd);
    ck_assert(process_stat(pid, &p->started) != '\0');
    p->pid = pid;
    if (c->relay != NULL) {
        relay_set_pid(c->relay, name, pid);
    }
    cluster_wait(name, CLUSTER_PATIENCE_MS, process_settled, p);
    ck_assert_msg(process_alive(p), "%s ended right after its start", name);
}

void cluster_start(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!process_alive(&c->processes[i])) {
            cluster_spawn(c, c->processes[i].name);
        }
    }
    cluster_wait_leader(c);
    cluster_wait_followers(c);
}

static void process_signal(struct cluster_process *p, int signal)
{
    if (process_alive(p)) {
        kill(p->pid, signal);
    }
}

static int process_end(struct cluster_process *p, const char *how)
{
    int status = -1;
    if (p->pid > 0) {
        ck_assert_msg(process_wait_end(p->pid, 10000, &status), "%s did not end by %s", p->name,
                      how);
        p->pid = 0;
    }
    return status;
}

void cluster_kill(struct cluster *c, const char *name)
{
    struct cluster_process *p = process_of(c, name);
    process_signal(p, SIGKILL);
    process_end(p, "SIGKILL");
}

void cluster_kill_all(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++) {
        process_signal(&c->processes[i], SIGKILL);
    }
    for (size_t i = 0; i < c->count; i++) {
        process_end(&c->processes[i], "SIGKILL");
    }
}

int cluster_stop(struct cluster *c, const char *name)
{
    struct cluster_process *p = process_of(c, name);
    process_signal(p, SIGTERM);
    return process_end(p, "SIGTERM");
}

static bool process_is_stopped(void *arg)
{
    unsigned long long started;
    return process_stat(((struct cluster_process *)arg)->pid, &started) == 'T';
}

void cluster_pause(struct cluster *c, const char *name)
{
    struct cluster_process *p = process_of(c, name);
    ck_assert_msg(process_alive(p), "%s does not run", name);
    process_signal(p, SIGSTOP);
    cluster_wait("SIGSTOP to work", 10000, process_is_stopped, p);
}

void cluster_resume(struct cluster *c, const char *name)
{
    struct cluster_process *p = process_of(c, name);
    ck_assert_msg(process_alive(p), "%s does not run", name);
    process_signal(p, SIGCONT);
}

void cluster_cut(struct cluster *c, const char *name, enum relay_cut cut)
{
    ck_assert_msg(c->relay != NULL, "this cluster has no relays");
    relay_set_cut(c->relay, name, cut);
}

int cluster_port(const struct cluster *c, const char *name)
{
    return process_of(c, name)->port;
}

int cluster_sentinel_port(const struct cluster *c, const char *proxy)
{
    return process_of(c, proxy)->sentinel_port;
}

pid_t cluster_pid(const struct cluster *c, const char *name)
{
    struct cluster_process *p = process_of(c, name);
    return process_alive(p) ? p->pid : 0;
}

bool cluster_running(const struct cluster *c, const char *name)
{
    return process_alive(process_of(c, name));
}

const char *cluster_dir(const struct cluster *c, const char *name)
{
    return process_of(c, name)->dir;
}

size_t cluster_rss_bytes(const struct cluster *c, const char *name)
{
    char path[64];
    unsigned long total = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)process_of(c, name)->pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    int fields = fscanf(f, "%lu %lu", &total, &resident);
    fclose(f);
    return fields == 2 ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* --- looking in ------------------------------------------------------------------------------ */

redisContext *cluster_connect(const struct cluster *c, const char *name)
{
    struct timeval timeout = {.tv_sec = CLUSTER_PATIENCE_MS / 1000};
    redisContext *redis = redisConnectWithTimeout("127.0.0.1", cluster_port(c, name), timeout);
    ck_assert(redis != NULL);
    ck_assert_msg(redis->err == 0, "%s: %s", name, redis->errstr);
    ck_assert_int_eq(redisSetTimeout(redis, timeout), REDIS_OK);
    return redis;
}

static void expect_no_error(const redisContext *redis, redisReply *reply, const char *what)
{
    ck_assert_msg(reply != NULL && reply->type != REDIS_REPLY_ERROR, "%s: %s", what,
                  reply != NULL ? reply->str : redis->errstr);
    freeReplyObject(reply);
}

void cluster_command(redisContext *redis, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    expect_no_error(redis, redisvCommand(redis, format, args), format);
    va_end(args);
}

void cluster_queue(redisContext *redis, unsigned *queued, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ck_assert_int_eq(redisvAppendCommand(redis, format, args), REDIS_OK);
    va_end(args);
    if (++*queued == CLUSTER_QUEUE_MAX) {
        cluster_answers(redis, queued);
    }
}

void cluster_answers(redisContext *redis, unsigned *queued)
{
    for (; *queued > 0; --*queued) {
        void *reply = NULL;
        (void)redisGetReply(redis, &reply);
        expect_no_error(redis, reply, "a queued command");
    }
}

void cluster_ask(const struct cluster *c, const char *name, char *text, size_t size,
                 const char *const argv[])
{
    redisContext *redis = cluster_connect(c, name);
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    redisReply *reply = redisCommandArgv(redis, argc, (const char **)argv, NULL);
    ck_assert_msg(reply != NULL, "%s to %s: %s", argv[0], name, redis->errstr);
    ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s to %s: %s", argv[0], name, reply->str);
    const redisReply *word = reply->elements > 0 ? reply->element[0] : reply;
    if (word->type == REDIS_REPLY_INTEGER) {
        snprintf(text, size, "%lld", word->integer);
    } else {
        snprintf(text, size, "%s", word->str != NULL ? word->str : "(nil)");
    }
    freeReplyObject(reply);
    redisFree(redis);
}

void cluster_digest(redisContext *redis, char *digest)
{
    redisReply *reply = redisCommand(redis, "DEBUG DIGEST");
    ck_assert_msg(reply != NULL, "DEBUG DIGEST: %s", redis->errstr);
    ck_assert_msg(reply->type == REDIS_REPLY_STATUS && reply->len == CLUSTER_DIGEST_MAX - 1, "%s",
                  reply->str);
    memcpy(digest, reply->str, CLUSTER_DIGEST_MAX);
    freeReplyObject(reply);
}

void cluster_digest_of(const struct cluster *c, const char *name, char *digest)
{
    redisContext *redis = cluster_connect(c, name);
    cluster_digest(redis, digest);
    redisFree(redis);
}

static bool all_are_equal(void *arg)
{
    const struct cluster *c = arg;
    char first[CLUSTER_DIGEST_MAX], other[CLUSTER_DIGEST_MAX];

    cluster_digest_of(c, "redis1", first);
    for (unsigned i = 2; i <= c->pairs; i++) {
        cluster_digest_of(c, cluster_name("redis", i), other);
        if (strcmp(first, other) != 0) {
            return false;
        }
    }
    return true;
}

void cluster_wait_equal(struct cluster *c)
{
    cluster_wait("all Redis to hold the same", CLUSTER_PATIENCE_MS, all_are_equal, c);
}

struct commit_wait {
    const struct cluster *c;
    long long offset;
};

static bool commit_has_come(void *arg)
{
    const struct commit_wait *wait = arg;
    return cluster_info_number(wait->c, "holdfast_offset_committed") >= wait->offset;
}

void cluster_wait_committed(struct cluster *c)
{
    char info[8192];
    cluster_ask(c, "redis1", info, sizeof info, (const char *[]){"INFO", "replication", NULL});
    const char *line = strstr(info, "master_repl_offset:");
    ck_assert(line != NULL);
    struct commit_wait wait = {.c = c, .offset = strtoll(strchr(line, ':') + 1, NULL, 10)};
    cluster_wait("the commit of all that was executed", CLUSTER_PATIENCE_MS, commit_has_come,
                 &wait);
}

bool cluster_info(const struct cluster *c, const char *field, char *value, size_t size)
{
    return cluster_info_of(c, "proxy1", field, value, size);
}

bool cluster_info_of(const struct cluster *c, const char *proxy, const char *field, char *value,
                     size_t size)
{
    struct timeval timeout = {.tv_sec = 1};
    bool found = false;
    redisContext *redis = redisConnectWithTimeout("127.0.0.1", cluster_port(c, proxy), timeout);
    redisReply *reply = NULL;

    if (redis != NULL && redis->err == 0 && redisSetTimeout(redis, timeout) == REDIS_OK) {
        reply = redisCommand(redis, "INFO holdfast");
    }
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        size_t len = strlen(field);
        for (const char *line = reply->str; line != NULL; line = strchr(line, '\n')) {
            line += *line == '\n';
            if (strncmp(line, field, len) == 0 && line[len] == ':') {
                const char *start = line + len + 1;
                snprintf(value, size, "%.*s", (int)strcspn(start, "\r\n"), start);
                found = true;
                break;
            }
        }
    }
    freeReplyObject(reply);
    if (redis != NULL) {
        redisFree(redis);
    }
    return found;
}

long long cluster_info_number(const struct cluster *c, const char *field)
{
    return cluster_info_number_of(c, "proxy1", field);
}

long long cluster_info_number_of(const struct cluster *c, const char *proxy, const char *field)
{
    char value[128];
    return cluster_info_of(c, proxy, field, value, sizeof value) ? strtoll(value, NULL, 10) : -1;
}

/* Whether it runs, and is not paused. */
static bool proxy_goes(const struct cluster *c, const char *name)
{
    unsigned long long started;
    return cluster_running(c, name) && process_stat(cluster_pid(c, name), &started) != 'T';
}

const char *cluster_leader(const struct cluster *c)
{
    char role[32];

    for (unsigned i = 1; i <= c->pairs; i++) {
        const char *name = cluster_name("proxy", i);
        if (proxy_goes(c, name) && cluster_info_of(c, name, "holdfast_role", role, sizeof role) &&
            strcmp(role, "leader") == 0) {
            return process_of(c, name)->name;
        }
    }
    return "";
}

const char *cluster_redis_of(const struct cluster *c, const char *proxy)
{
    unsigned i = (unsigned)strtoul(proxy + strlen("proxy"), NULL, 10);
    return process_of(c, cluster_name("redis", i))->name;
}

/* All that do not lead follow, and their Redis says that it is in touch (INFO replication is that
 * of the proxy). */
static bool followers_there(void *arg)
{
    const struct cluster *c = arg;
    const char *leader = cluster_leader(c);
    char reply[4096];

    for (unsigned i = 1; i <= c->pairs && c->pairs > 1; i++) {
        const char *proxy = cluster_name("proxy", i);
        if (!proxy_goes(c, proxy) || strcmp(proxy, leader) == 0) {
            continue;
        }
        cluster_ask(c, proxy, reply, sizeof reply, (const char *[]){"INFO", "replication", NULL});
        if (strstr(reply, "master_link_status:up") == NULL) {
            return false;
        }
    }
    return leader[0] != '\0';
}

void cluster_wait_followers(struct cluster *c)
{
    cluster_wait("the other proxies to follow", CLUSTER_PATIENCE_MS, followers_there, c);
}

struct leader_wait {
    const struct cluster *c;
    const char *than; /* not this one; "": any */
    const char *leader;
};

static bool leader_or_dead(void *arg)
{
    struct leader_wait *wait = arg;

    wait->leader = cluster_leader(wait->c);
    return (wait->leader[0] != '\0' && strcmp(wait->leader, wait->than) != 0) ||
           (wait->c->pairs == 1 && !cluster_running(wait->c, "proxy1"));
}

const char *cluster_wait_other_leader(struct cluster *c, const char *than)
{
    struct leader_wait wait = {.c = c, .than = than};

    cluster_wait("a proxy to serve", CLUSTER_PATIENCE_MS, leader_or_dead, &wait);
    ck_assert_msg(c->pairs > 1 || cluster_running(c, "proxy1"), "proxy1 ended");
    return wait.leader;
}

const char *cluster_wait_leader(struct cluster *c)
{
    return cluster_wait_other_leader(c, "");
}

const char *cluster_other(const struct cluster *c, const char *proxy)
{
    return process_of(c, strcmp(proxy, "proxy1") == 0 ? "proxy2" : "proxy1")->name;
}

const char *cluster_follower(struct cluster *c)
{
    return cluster_other(c, cluster_wait_leader(c));
}

struct log_wait {
    const char *path, *text;
};

static bool log_has_text(void *arg)
{
    const struct log_wait *wait = arg;
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *f = fopen(wait->path, "re");

    if (f == NULL) {
        return false;
    }
    while (!found && getline(&line, &size, f) > 0) {
        found = strstr(line, wait->text) != NULL;
    }
    free(line);
    fclose(f);
    return found;
}

void cluster_wait_log(struct cluster *c, const char *name, const char *text)
{
    char path[CLUSTER_PATH_MAX + 16];
    file_path(process_of(c, name), "log", path, sizeof path);
    struct log_wait wait = {.path = path, .text = text};
    cluster_wait(text, CLUSTER_PATIENCE_MS, log_has_text, &wait);
}
