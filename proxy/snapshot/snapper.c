#include "proxy/snapshot/snapper.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SNAPPER_PATH_MAX = 4096, SNAPPER_LINE_MAX = 2048 };

struct snapper {
    struct event_base *base;
    char *program, *config_path;
    const struct snapper_events *events;
    void *ctx;
    struct snapper_status status;
    pid_t pid;
    int out_fd, pid_fd;
    struct event *out_event, *exit_event;
    bool asked;     /* what runs, or ran last, was asked for */
    bool said_done; /* the child has said that it came off */
    size_t line_len;
    char line[SNAPPER_LINE_MAX];
};

/* ---- what it says ---- */

static void snapper_copy(char *out, size_t size, const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (cJSON_IsString(item)) {
        (void)snprintf(out, size, "%s", item->valuestring);
    }
}

static uint64_t snapper_number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(item) && item->valuedouble >= 0 ? (uint64_t)item->valuedouble : 0;
}

static void snapper_line(struct snapper *s)
{
    cJSON *object = cJSON_ParseWithLength(s->line, s->line_len);
    const cJSON *done = cJSON_GetObjectItemCaseSensitive(object, "done");

    s->line_len = 0;
    if (cJSON_IsTrue(done)) {
        s->said_done = true;
        s->status.last_offset = snapper_number(object, "offset");
    } else if (cJSON_IsFalse(done)) {
        snapper_copy(s->status.why, sizeof s->status.why, object, "why");
    } else if (object != NULL) {
        snapper_copy(s->status.phase, sizeof s->status.phase, object, "phase");
        snapper_copy(s->status.what, sizeof s->status.what, object, "what");
        s->status.done_bytes = snapper_number(object, "done_bytes");
        s->status.total_bytes = snapper_number(object, "total_bytes");
    }
    cJSON_Delete(object);
}

static void snapper_read(struct snapper *s)
{
    char bytes[4096];
    ssize_t n;

    while ((n = read(s->out_fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\n') {
                snapper_line(s);
            } else if (s->line_len < sizeof s->line) {
                s->line[s->line_len++] = bytes[i];
            }
        }
    }
    if (n == 0) {
        (void)event_del(s->out_event);
    }
}

static void snapper_out_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    snapper_read(arg);
}

/* ---- its end ---- */

static void snapper_close(struct snapper *s)
{
    event_free(s->out_event);
    event_free(s->exit_event);
    (void)close(s->out_fd);
    (void)close(s->pid_fd);
    s->out_event = s->exit_event = NULL;
    s->out_fd = s->pid_fd = -1;
    s->pid = 0;
    s->status.running = false;
    s->status.phase[0] = s->status.what[0] = '\0';
    s->status.done_bytes = s->status.total_bytes = 0;
    s->status.ended_ns = clock_now_ns();
}

static void snapper_failed(struct snapper *s, const char *why)
{
    if (s->status.why[0] == '\0') {
        (void)snprintf(s->status.why, sizeof s->status.why, "%s", why);
    }
    s->status.failures++;
    s->status.failures_in_a_row += s->asked ? 0 : 1;
    log_warn("the %s came to nothing: %s",
             s->status.verify ? "rehearsal of a snapshot" : "snapshot", s->status.why);
}

static void snapper_exit_cb(evutil_socket_t fd, short what, void *arg)
{
    struct snapper *s = arg;
    char why[96];
    int status;

    (void)fd;
    (void)what;
    if (waitpid(s->pid, &status, WNOHANG) != s->pid) {
        return;
    }
    snapper_read(s);
    snapper_close(s);
    s->status.runs++;
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0 && s->said_done;
    if (ok) {
        s->status.failures_in_a_row = 0;
        log_info("%s at offset %" PRIu64,
                 s->status.verify ? "a snapshot was tried again" : "a snapshot was made",
                 s->status.last_offset);
    } else {
        (void)snprintf(why, sizeof why,
                       "holdfast-snapshot ended with %s %d; what was stored before stays",
                       WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        snapper_failed(s, why);
    }
    s->events->ended(s->ctx, ok);
}

/* ---- its beginning ---- */

/* Beside this program, unless it was told where. */
static void snapper_find(const struct snapper *s, char *out, size_t size)
{
    char self[SNAPPER_PATH_MAX - 32];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (s->program[0] != '\0' || slash == NULL) {
        (void)snprintf(out, size, "%s", s->program[0] != '\0' ? s->program : "holdfast-snapshot");
        return;
    }
    *slash = '\0';
    (void)snprintf(out, size, "%s/holdfast-snapshot", self);
}

/* posix_spawn, not fork: the proxy may be large, and has threads. ERR_IO: errno says why. */
static int snapper_spawn(struct snapper *s, const char *const argv[])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, defaults;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return ERR_IO;
    }
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    MUST(posix_spawn_file_actions_init(&actions) == 0 && posix_spawnattr_init(&attr) == 0);
    MUST(posix_spawn_file_actions_adddup2(&actions, fds[1], 1) == 0);
    MUST(posix_spawnattr_setsigmask(&attr, &none) == 0);
    MUST(posix_spawnattr_setsigdefault(&attr, &defaults) == 0);
    MUST(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0);
    int error =
        posix_spawnp(&s->pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attr);
    (void)close(fds[1]);
    s->pid_fd = error == 0 ? pidfd_open(s->pid, 0) : -1;
    if (s->pid_fd < 0) {
        error = error != 0 ? error : errno;
        (void)close(fds[0]);
        errno = error;
        return ERR_IO;
    }
    s->out_fd = fds[0];
    MUST(fcntl(s->out_fd, F_SETFL, O_NONBLOCK) == 0);
    return ERR_OK;
}

int snapper_start(struct snapper *s, const struct snapper_order *order)
{
    char program[SNAPPER_PATH_MAX], parent[24], offset[24];
    const char *argv[16] = {program, "--config", s->config_path, "--json", "--parent", parent};
    size_t argc = 6;

    if (s->status.running) {
        return ERR_STATE;
    }
    s->status.verify = order->verify;
    s->asked = order->asked;
    s->status.why[0] = '\0';
    s->said_done = false;
    s->line_len = 0;
    snapper_find(s, program, sizeof program);
    (void)snprintf(parent, sizeof parent, "%d", (int)getpid());
    (void)snprintf(offset, sizeof offset, "%" PRIu64, order->offset);
    if (order->engine[0] != '\0') {
        argv[argc++] = "--engine";
        argv[argc++] = order->engine;
    }
    if (order->nodes[0] != '\0') {
        argv[argc++] = "--log-nodes";
        argv[argc++] = order->nodes;
    }
    if (!order->verify) {
        argv[argc++] = "--reach";
        argv[argc++] = offset;
    }
    argv[argc++] = order->verify ? "verify" : "take";
    if (order->verify) {
        argv[argc++] = offset;
    }
    argv[argc] = NULL;
    if (snapper_spawn(s, argv) != ERR_OK) {
        char why[128];
        (void)snprintf(why, sizeof why, "its program can't be started: %s", strerror(errno));
        s->status.runs++;
        s->status.ended_ns = clock_now_ns();
        snapper_failed(s, why);
        return ERR_IO;
    }
    s->status.running = true;
    s->status.started_ns = clock_now_ns();
    s->out_event = event_new(s->base, s->out_fd, EV_READ | EV_PERSIST, snapper_out_cb, s);
    s->exit_event = event_new(s->base, s->pid_fd, EV_READ | EV_PERSIST, snapper_exit_cb, s);
    MUST(s->out_event != NULL && event_add(s->out_event, NULL) == 0);
    MUST(s->exit_event != NULL && event_add(s->exit_event, NULL) == 0);
    return ERR_OK;
}

/* ---- public ---- */

struct snapper *snapper_create(struct event_base *base, const struct snapper_config *config,
                               const struct snapper_events *events, void *ctx)
{
    struct snapper *s = mem_calloc(1, sizeof *s);

    s->base = base;
    s->program = mem_strdup(config->program);
    s->config_path = mem_strdup(config->config_path);
    s->events = events;
    s->ctx = ctx;
    s->out_fd = s->pid_fd = -1;
    return s;
}

void snapper_destroy(struct snapper *s)
{
    if (s == NULL) {
        return;
    }
    if (s->status.running) {
        (void)kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        snapper_close(s);
    }
    free(s->program);
    free(s->config_path);
    free(s);
}

void snapper_status(const struct snapper *s, struct snapper_status *out)
{
    *out = s->status;
}
