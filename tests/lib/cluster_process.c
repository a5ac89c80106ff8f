#include "tests/lib/cluster.h"

#include "common/clock.h"
#include "tests/lib/cluster_state.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

char cluster_process_state(pid_t pid, unsigned long long *started)
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

bool cluster_process_alive(struct cluster_process *p)
{
    unsigned long long started;
    int status;

    if (p->pid > 0) {
        char state = cluster_process_state(p->pid, &started);
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
    return port_is_open(p->port) || !cluster_process_alive(p);
}

void cluster_spawn(struct cluster *c, const char *name)
{
    struct cluster_process *p = cluster_process_of(c, name);
    const char *argv[CLUSTER_ARGS_MAX];
    char program[CLUSTER_PATH_MAX], file[CLUSTER_PATH_MAX + 16], port[16];

    ck_assert_msg(!cluster_process_alive(p), "%s runs already", name);
    if (p->redis) {
        snprintf(port, sizeof port, "%d", p->port);
        cluster_file_path(p, "data", file, sizeof file);
        redis_argv(p, port, file, argv);
    } else if (p->sentinel) {
        cluster_file_path(p, "sentinel.conf", file, sizeof file);
        argv[0] = "redis-server";
        argv[1] = file;
        argv[2] = "--sentinel";
        argv[3] = NULL;
    } else {
        cluster_program(name[0] == 'l' ? "holdfast-logsvc" : "holdfast-proxy", program,
                        sizeof program);
        cluster_file_path(p, "config.json", file, sizeof file);
        argv[0] = program;
        argv[1] = "--config";
        argv[2] = file;
        argv[3] = NULL;
    }
    char log[CLUSTER_PATH_MAX + 16];
    cluster_file_path(p, "log", log, sizeof log);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0, "open %s: %s", log, strerror(errno));
    pid_t pid = exec_start(fd, (char *const *)argv);
    close(fd);
    ck_assert(cluster_process_state(pid, &p->started) != '\0');
    p->pid = pid;
    if (c->relay != NULL) {
        relay_set_pid(c->relay, name, pid);
    }
    cluster_wait(name, CLUSTER_PATIENCE_MS, process_settled, p);
    ck_assert_msg(cluster_process_alive(p), "%s ended right after its start", name);
}

void cluster_start(struct cluster *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!cluster_process_alive(&c->processes[i])) {
            cluster_spawn(c, c->processes[i].name);
        }
    }
    cluster_wait_leader(c);
    cluster_wait_followers(c);
}

static void process_signal(struct cluster_process *p, int signal)
{
    if (cluster_process_alive(p)) {
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
    struct cluster_process *p = cluster_process_of(c, name);
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
    struct cluster_process *p = cluster_process_of(c, name);
    process_signal(p, SIGTERM);
    return process_end(p, "SIGTERM");
}

static bool process_is_stopped(void *arg)
{
    unsigned long long started;
    return cluster_process_state(((struct cluster_process *)arg)->pid, &started) == 'T';
}

void cluster_pause(struct cluster *c, const char *name)
{
    struct cluster_process *p = cluster_process_of(c, name);
    ck_assert_msg(cluster_process_alive(p), "%s does not run", name);
    process_signal(p, SIGSTOP);
    cluster_wait("SIGSTOP to work", 10000, process_is_stopped, p);
}

void cluster_resume(struct cluster *c, const char *name)
{
    struct cluster_process *p = cluster_process_of(c, name);
    ck_assert_msg(cluster_process_alive(p), "%s does not run", name);
    process_signal(p, SIGCONT);
}

void cluster_cut(struct cluster *c, const char *name, enum relay_cut cut)
{
    ck_assert_msg(c->relay != NULL, "this cluster has no relays");
    relay_set_cut(c->relay, name, cut);
}

int cluster_port(const struct cluster *c, const char *name)
{
    return cluster_process_of(c, name)->port;
}

int cluster_sentinel_port(const struct cluster *c, const char *proxy)
{
    return cluster_process_of(c, proxy)->sentinel_port;
}

pid_t cluster_pid(const struct cluster *c, const char *name)
{
    struct cluster_process *p = cluster_process_of(c, name);
    return cluster_process_alive(p) ? p->pid : 0;
}

bool cluster_running(const struct cluster *c, const char *name)
{
    return cluster_process_alive(cluster_process_of(c, name));
}

const char *cluster_dir(const struct cluster *c, const char *name)
{
    return cluster_process_of(c, name)->dir;
}

size_t cluster_rss_bytes(const struct cluster *c, const char *name)
{
    char path[64];
    unsigned long total = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)cluster_process_of(c, name)->pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    int fields = fscanf(f, "%lu %lu", &total, &resident);
    fclose(f);
    return fields == 2 ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}
