#include "proxy/snapshot/sandbox.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "proxy/engine/control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SANDBOX_TICK_MS = 20, SANDBOX_START_MS = 30000, SANDBOX_RETRY_MS = 20 };
enum { SANDBOX_COMMAND_MS = 600000 }; /* it may load for long, and one command can take a while */
enum { SANDBOX_PATH_MAX = PATH_MAX, SANDBOX_LINE_MAX = 512 };

/* There is nothing to be made in it, nor to be removed. */
static const char sandbox_folder[] = "/proc";

/* What all sandboxes are told. It has to take whatever the engine of this log has taken: as many
 * databases and as large values as there can be. It is never told that its master is away, which
 * pauses where it likes (repl-timeout, in an int of milliseconds within Redis: a week); its own
 * stream is never cut (backlog-ttl); what it sends and takes as RDB goes through no file. */
static const char sandbox_settings[] = "bind 127.0.0.1\n"
                                       "daemonize no\n"
                                       "logfile \"\"\n"
                                       "save \"\"\n"
                                       "appendonly no\n"
                                       "databases 4096\n"
                                       "maxmemory 0\n"
                                       "proto-max-bulk-len 9223372036854775807\n"
                                       "client-query-buffer-limit 9223372036854775807\n"
                                       "client-output-buffer-limit replica 0 0 0\n"
                                       "repl-timeout 604800\n"
                                       "repl-ping-replica-period 2147483647\n"
                                       "repl-backlog-ttl 0\n"
                                       "repl-diskless-sync yes\n"
                                       "repl-diskless-sync-delay 0\n"
                                       "repl-diskless-load on-empty-db\n"
                                       "timeout 0\n"
                                       "enable-debug-command yes\n"
                                       "oom-score-adj absolute\n"
                                       "oom-score-adj-values 1000 1000 1000\n"
                                       "crash-memcheck-enabled no\n"
                                       "io-threads 1\n";

struct sandbox {
    const struct sandbox_events *events;
    void *ctx;
    pid_t pid; /* 0: reaped */
    int pid_fd, out_fd;
    int port;
    char password[SANDBOX_SECRET_CHARS + 1];
    struct control *control;
    struct event *exit_event, *out_event, *tick_event;
    uint64_t until_ns; /* it must answer by then */
    bool up, told;
    size_t line_len;
    char line[SANDBOX_LINE_MAX];      /* of its output, as far as it has come */
    char complaint[SANDBOX_LINE_MAX]; /* the last warning that it has logged */
};

/* ---- starting ---- */

/* A port that nobody listens on now; 0: none. Somebody may take it before Redis does; then Redis
 * ends, and says so. */
static int sandbox_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = 0;

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        port = ntohs(address.sin_port);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return port;
}

/* What names the program from any folder, if it is one. */
static bool sandbox_take_program(const char *path, char out[SANDBOX_PATH_MAX])
{
    char folder[SANDBOX_PATH_MAX] = "";
    bool whole = path[0] == '/';

    if (access(path, X_OK) != 0 || (!whole && getcwd(folder, sizeof folder) == NULL)) {
        return false;
    }
    return snprintf(out, SANDBOX_PATH_MAX, "%s%s%s", folder, whole ? "" : "/", path) <
           SANDBOX_PATH_MAX;
}

/* Where it is; false: nowhere. */
static bool sandbox_find_program(const char *name, char out[SANDBOX_PATH_MAX])
{
    char found[SANDBOX_PATH_MAX];
    const char *path = getenv("PATH");

    if (strchr(name, '/') != NULL || path == NULL) {
        return sandbox_take_program(name, out);
    }
    while (*path != '\0') {
        size_t len = strcspn(path, ":");
        if (snprintf(found, sizeof found, "%.*s/%s", len > 0 ? (int)len : 1, len > 0 ? path : ".",
                     name) < (int)sizeof found &&
            sandbox_take_program(found, out)) {
            return true;
        }
        path += len + (path[len] == ':');
    }
    return false;
}

/* Between fork and exec, in a process that may have threads: system calls only. */
static _Noreturn void sandbox_child(const char *program, int in, int out, pid_t parent)
{
    const char *argv[] = {"redis-server", "-", NULL};
    sigset_t none;

    (void)sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ||
        chdir(sandbox_folder) != 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        sigprocmask(SIG_SETMASK, &none, NULL) != 0) {
        _exit(127);
    }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execv(program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Redis with its configuration on its standard input and its messages on a pipe to us. */
static int sandbox_spawn(struct sandbox *s, const char *program)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    char text[sizeof sandbox_settings + 200];
    int rc = ERR_IO;

    int len = snprintf(text, sizeof text, "%sport %d\nrequirepass %s\n", sandbox_settings, s->port,
                       s->password);
    MUST(len > 0 && (size_t)len < sizeof text);
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0) {
        pid_t parent = getpid();
        s->pid = fork();
        if (s->pid == 0) {
            sandbox_child(program, in[0], out[1], parent);
        }
        /* Less than a pipe holds, so this does not wait. */
        if (s->pid > 0 && write(in[1], text, (size_t)len) == len) {
            s->pid_fd = pidfd_open(s->pid, 0);
            s->out_fd = out[0];
            out[0] = -1;
            rc = s->pid_fd >= 0 && fcntl(s->out_fd, F_SETFL, O_NONBLOCK) == 0 ? ERR_OK : ERR_IO;
        }
    }
    int error = errno;
    for (int i = 0; i < 2; i++) {
        if (in[i] >= 0) {
            (void)close(in[i]);
        }
        if (out[i] >= 0) {
            (void)close(out[i]);
        }
    }
    errno = error;
    return rc;
}

/* ---- what becomes of it ---- */

static void sandbox_tell_down(struct sandbox *s, const char *why)
{
    char text[SANDBOX_WHY_MAX];

    if (s->told) {
        return;
    }
    s->told = true;
    (void)event_del(s->tick_event);
    (void)snprintf(text, sizeof text, "%s%s%.150s", why, s->complaint[0] != '\0' ? ": " : "",
                   s->complaint);
    s->events->down(s->ctx, text);
}

static void sandbox_control_up(void *ctx)
{
    (void)ctx; /* INFO is asked at the next tick */
}

static void sandbox_control_down(void *ctx, const char *reason)
{
    (void)ctx; /* it ends, which is seen, or comes back */
    log_debug("sandbox: %s", reason);
}

static const struct control_events sandbox_control_events = {.up = sandbox_control_up,
                                                             .down = sandbox_control_down};

static void sandbox_info_cb(void *ctx, const struct redisReply *reply)
{
    struct sandbox *s = ctx;
    char version[32] = "";
    const char *at;

    if (s->up || s->told || reply == NULL || reply->type != REDIS_REPLY_STRING ||
        (at = strstr(reply->str, "redis_version:")) == NULL) {
        return;
    }
    (void)sscanf(at, "redis_version:%31[^\r\n]", version);
    s->up = true;
    log_debug("sandbox: Redis %s runs at port %d, process %d", version, s->port, (int)s->pid);
    s->events->up(s->ctx, version);
}

static void sandbox_tick_cb(evutil_socket_t fd, short what, void *arg)
{
    struct sandbox *s = arg;
    uint64_t now_ns = clock_now_ns();

    (void)fd;
    (void)what;
    control_tick(s->control, now_ns);
    if (s->up || s->told) {
        return;
    }
    if (control_is_up(s->control) && control_waiting(s->control) == 0) {
        (void)control_send(s->control, sandbox_info_cb, s, "INFO server");
    }
    if (now_ns >= s->until_ns) {
        sandbox_tell_down(s, "redis-server does not answer");
    }
}

/* Its output, line by line; what it warns of is kept for whoever asks why it ended. */
static void sandbox_line(struct sandbox *s)
{
    s->line[s->line_len] = '\0';
    if (s->line_len > 0) {
        log_debug("sandbox: %s", s->line);
        const char *warning = strstr(s->line, " # ");
        if (warning != NULL && strstr(warning, "oO0OoO0OoO0Oo") == NULL) {
            (void)snprintf(s->complaint, sizeof s->complaint, "%s", warning + 3);
        } else if (strncmp(s->line, ">>> ", 4) == 0) {
            (void)snprintf(s->complaint, sizeof s->complaint, "%s", s->line + 4);
        }
    }
    s->line_len = 0;
}

static void sandbox_read_output(struct sandbox *s)
{
    char bytes[1024];
    ssize_t n;

    while ((n = read(s->out_fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\n' || s->line_len + 1 == sizeof s->line) {
                sandbox_line(s);
            }
            if (bytes[i] != '\n' && bytes[i] != '\r') {
                s->line[s->line_len++] = bytes[i];
            }
        }
    }
    if (n == 0) {
        (void)event_del(s->out_event);
    }
}

static void sandbox_out_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sandbox_read_output(arg);
}

static void sandbox_exit_cb(evutil_socket_t fd, short what, void *arg)
{
    struct sandbox *s = arg;
    int status = 0;

    (void)fd;
    (void)what;
    if (waitpid(s->pid, &status, WNOHANG) != s->pid) {
        return;
    }
    s->pid = 0;
    (void)event_del(s->exit_event);
    sandbox_read_output(s);
    sandbox_line(s);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        sandbox_tell_down(s, "redis-server could not be started");
    } else {
        sandbox_tell_down(s, WIFSIGNALED(status) ? "redis-server was killed"
                                                 : "redis-server has ended");
    }
}

/* ---- public ---- */

static void sandbox_watch(struct sandbox *s, struct event_base *base)
{
    struct timeval tick = {.tv_usec = SANDBOX_TICK_MS * 1000};
    struct control_config control = {.host = "127.0.0.1",
                                     .port = s->port,
                                     .password = s->password,
                                     .timeout_ms = SANDBOX_COMMAND_MS,
                                     .retry_ms = SANDBOX_RETRY_MS};

    s->control = control_create(base, &control, &sandbox_control_events, s);
    s->exit_event = event_new(base, s->pid_fd, EV_READ | EV_PERSIST, sandbox_exit_cb, s);
    s->out_event = event_new(base, s->out_fd, EV_READ | EV_PERSIST, sandbox_out_cb, s);
    s->tick_event = event_new(base, -1, EV_PERSIST, sandbox_tick_cb, s);
    MUST(s->exit_event != NULL && event_add(s->exit_event, NULL) == 0);
    MUST(s->out_event != NULL && event_add(s->out_event, NULL) == 0);
    MUST(s->tick_event != NULL && event_add(s->tick_event, &tick) == 0);
}

struct sandbox *sandbox_start(struct event_base *base, const struct sandbox_config *config,
                              const struct sandbox_events *events, void *ctx, char *why)
{
    struct sandbox *s = mem_calloc(1, sizeof *s);
    char program[SANDBOX_PATH_MAX];
    uint32_t timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : SANDBOX_START_MS;

    s->events = events;
    s->ctx = ctx;
    s->pid_fd = s->out_fd = -1;
    s->until_ns = clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS;
    random_hex(s->password, SANDBOX_SECRET_CHARS);
    if (!sandbox_find_program(config->program, program)) {
        (void)snprintf(why, SANDBOX_WHY_MAX, "no such program: %.200s", config->program);
        free(s);
        return NULL;
    }
    s->port = sandbox_free_port();
    int rc = s->port != 0 ? sandbox_spawn(s, program) : ERR_IO;
    if (rc != ERR_OK) {
        (void)snprintf(why, SANDBOX_WHY_MAX, "%.150s can't be started: %s", program,
                       strerror(errno));
        sandbox_destroy(s);
        return NULL;
    }
    sandbox_watch(s, base);
    return s;
}

void sandbox_destroy(struct sandbox *s)
{
    if (s == NULL) {
        return;
    }
    if (s->control != NULL) {
        control_destroy(s->control);
        event_free(s->exit_event);
        event_free(s->out_event);
        event_free(s->tick_event);
    }
    if (s->pid > 0) {
        (void)kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (s->pid_fd >= 0) {
        (void)close(s->pid_fd);
    }
    if (s->out_fd >= 0) {
        (void)close(s->out_fd);
    }
    free(s);
}

struct control *sandbox_control(struct sandbox *s)
{
    return s->control;
}

int sandbox_port(const struct sandbox *s)
{
    return s->port;
}

const char *sandbox_password(const struct sandbox *s)
{
    return s->password;
}

pid_t sandbox_pid(const struct sandbox *s)
{
    return s->pid;
}
