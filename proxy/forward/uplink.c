#include "proxy/forward/uplink.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/net.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { UPLINK_BACKOFF_MIN_MS = 2, UPLINK_BACKOFF_MAX_MS = 64 };

void uplink_init(struct uplink *l, struct event_base *base, const struct uplink_config *config,
                 const struct uplink_events *events, void *ctx, struct request_pool *pool,
                 uint8_t *scratch)
{
    *l = (struct uplink){.base = base,
                         .config = config,
                         .events = events,
                         .ctx = ctx,
                         .scratch = scratch,
                         .fd = -1,
                         .backoff_ms = UPLINK_BACKOFF_MIN_MS};
    outbox_init(&l->outbox, pool);
}

void uplink_fini(struct uplink *l)
{
    MUST(l->state == UPLINK_DOWN);
    outbox_fini(&l->outbox);
    buf_release(&l->setup);
}

static void uplink_close_socket(struct uplink *l)
{
    if (l->readable != NULL) {
        event_free(l->readable);
        event_free(l->writable);
        l->readable = l->writable = NULL;
    }
    if (l->fd >= 0) {
        (void)close(l->fd);
        l->fd = -1;
    }
}

void uplink_end(struct uplink *l, const char *reason, bool moved)
{
    struct request *unknown = NULL;
    bool linked = l->state == UPLINK_UP || l->state == UPLINK_LEAVING;

    if (l->state == UPLINK_DOWN) {
        return;
    }
    l->state = UPLINK_DOWN;
    uplink_close_socket(l);
    buf_release(&l->setup);
    if (linked) {
        unknown = outbox_lost(&l->outbox, moved);
    }
    l->retry_ns = clock_now_ns() + l->backoff_ms * CLOCK_NS_PER_MS;
    l->backoff_ms *= l->backoff_ms < UPLINK_BACKOFF_MAX_MS ? 2 : 1;
    l->events->ended(l->ctx, unknown, reason);
}

void uplink_leave(struct uplink *l, uint64_t now_ns)
{
    if (l->state == UPLINK_UP && outbox_awaits(&l->outbox)) {
        l->state = UPLINK_LEAVING;
        l->progress_ns = now_ns;
        (void)event_del(l->writable);
        return;
    }
    if (l->state != UPLINK_LEAVING) {
        uplink_end(l, "it is to go elsewhere", false);
        l->retry_ns = 0;
        l->backoff_ms = UPLINK_BACKOFF_MIN_MS;
    }
}

/* ---- set-up ---- */

static void uplink_put_words(struct uplink *l, const char *const *words, size_t count)
{
    resp_put_array(&l->setup, count);
    for (size_t i = 0; i < count; i++) {
        resp_put_bulk(&l->setup, words[i], strlen(words[i]));
    }
    l->setup_left++;
}

static void uplink_put_auth(struct uplink *l)
{
    const struct uplink_config *config = l->config;
    bool user = config->user != NULL && config->user[0] != '\0';
    const char *const named[] = {"AUTH", config->user, config->password};
    const char *const plain[] = {"AUTH", config->password};

    /* As engine_put_auth: Redis has to be told the user, another proxy has not. */
    if (config->password != NULL &&
        (config->password[0] != '\0' || (user && config->kind != UPLINK_LEADER))) {
        uplink_put_words(l, user ? named : plain, user ? 3 : 2);
    }
}

static void uplink_compose_setup(struct uplink *l)
{
    static const char *const no_evict[] = {"CLIENT", "NO-EVICT", "on"};
    static const char *const read_only[] = {"CONFIG", "SET", "replica-read-only", "yes"};
    static const char *const role[] = {"ROLE"}; /* the last one: its reply is looked at */
    char log_id[24];
    const char *const mark[] = {"HOLDFAST", "LINK",          l->config->cluster_id,
                                log_id,     l->config->name, l->nonce};

    (void)snprintf(log_id, sizeof log_id, "%" PRIu64, l->config->log_id);
    l->setup_left = 0;
    l->answer_len = 0;
    l->setup_framer = (struct resp_reply_framer){0};
    uplink_put_auth(l);
    if (l->config->kind == UPLINK_LEADER) {
        uplink_put_words(l, mark, sizeof mark / sizeof *mark);
    } else {
        uplink_put_words(l, no_evict, sizeof no_evict / sizeof *no_evict);
        uplink_put_words(l, read_only, sizeof read_only / sizeof *read_only);
        uplink_put_words(l, role, 1);
    }
}

static void uplink_write_setup(struct uplink *l)
{
    while (l->setup.len > 0) {
        ssize_t put = write(l->fd, buf_head(&l->setup), l->setup.len);
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                (void)event_add(l->writable, NULL);
            }
            return; /* any other error is seen by the reader as well */
        }
        buf_consume(&l->setup, (size_t)put);
    }
}

/* "*5 $5 slave $9 127.0.0.1 :PORT $9 connected …": a Redis that was restarted is a master, or still
 * without one; and one that somebody made a replica of another server has other data. */
static bool uplink_is_replica(const struct uplink *l)
{
    char head[64];
    int len = snprintf(head, sizeof head,
                       "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:%d\r\n$9\r\nconnected\r\n",
                       l->config->master_port);

    return strncmp(l->answer, head, (size_t)len) == 0;
}

static void uplink_note_answer(struct uplink *l, const uint8_t *bytes, size_t size)
{
    size_t room = sizeof l->answer - 1 - l->answer_len;
    size_t take = size < room ? size : room;

    memcpy(l->answer + l->answer_len, bytes, take);
    l->answer_len += take;
    l->answer[l->answer_len] = '\0';
}

static void uplink_up(struct uplink *l)
{
    if (l->config->kind == UPLINK_REPLICA && !uplink_is_replica(l)) {
        uplink_end(l, "our Redis is no replica of ours", false);
        return;
    }
    l->state = UPLINK_UP;
    outbox_begin(&l->outbox, l->config->kind == UPLINK_LEADER ? l->nonce : "");
    uplink_flush(l, clock_now_ns());
}

/* Replies to the set-up; what comes behind them nobody has asked for. */
static void uplink_take_setup(struct uplink *l, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        bool done = false;
        long took = resp_reply_take(&l->setup_framer, bytes + at, size - at, &done);
        if (took <= 0 || l->setup_left == 0) {
            uplink_end(l, "what came is no reply", false);
            return;
        }
        uplink_note_answer(l, bytes + at, (size_t)took);
        at += (size_t)took;
        if (!done) {
            continue;
        }
        if (l->setup_framer.first == '-') {
            l->answer[strcspn(l->answer, "\r")] = '\0';
            uplink_end(l, l->answer, false);
            return;
        }
        if (--l->setup_left > 0) {
            l->answer_len = 0;
        } else if (at == size) {
            uplink_up(l);
            return;
        }
    }
}

/* ---- the connection ---- */

static void uplink_take(struct uplink *l, const uint8_t *bytes, size_t size)
{
    switch (outbox_take(&l->outbox, bytes, size, l->events->answered, l->ctx)) {
    case OUTBOX_GOES_ON:
        l->backoff_ms = UPLINK_BACKOFF_MIN_MS; /* an answer, not only a connection */
        if (l->state == UPLINK_LEAVING && !outbox_awaits(&l->outbox)) {
            uplink_end(l, "it is to go elsewhere", false);
            l->retry_ns = 0;
        }
        return;
    case OUTBOX_MOVED:
        uplink_end(l, "the proxy there does not serve", true);
        return;
    case OUTBOX_BROKEN:
        uplink_end(l, "what came is not what was asked for", false);
        return;
    }
}

static void uplink_read_cb(evutil_socket_t fd, short what, void *arg)
{
    struct uplink *l = arg;
    ssize_t got = read(fd, l->scratch, UPLINK_READ_BYTES);

    (void)what;
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        uplink_end(l, got == 0 ? "the other side closed it" : strerror(errno), false);
        return;
    }
    l->progress_ns = clock_now_ns();
    if (l->state == UPLINK_SETUP) {
        uplink_take_setup(l, l->scratch, (size_t)got);
    } else {
        uplink_take(l, l->scratch, (size_t)got);
    }
}

static void uplink_write_cb(evutil_socket_t fd, short what, void *arg)
{
    struct uplink *l = arg;

    (void)what;
    if (l->state == UPLINK_CONNECTING) {
        int error = net_connect_result(fd);
        if (error != 0) {
            uplink_end(l, strerror(error), false);
            return;
        }
        l->state = UPLINK_SETUP;
        uplink_compose_setup(l);
    }
    if (l->state == UPLINK_SETUP) {
        uplink_write_setup(l);
    } else {
        uplink_flush(l, clock_now_ns());
    }
}

void uplink_connect(struct uplink *l, const char *host, int port, uint64_t nonce, uint64_t now_ns)
{
    MUST(l->state == UPLINK_DOWN);
    (void)snprintf(l->nonce, sizeof l->nonce, "%016" PRIx64, nonce);
    l->state = UPLINK_CONNECTING;
    l->progress_ns = now_ns;
    l->fd = net_connect(host, port);
    if (l->fd < 0) {
        uplink_end(l, strerror(errno), false);
        return;
    }
    if (net_give_up_after(l->fd, l->config->connect_timeout_ms) != 0) {
        uplink_end(l, strerror(errno), false);
        return;
    }
    l->readable = event_new(l->base, l->fd, EV_READ | EV_PERSIST, uplink_read_cb, l);
    l->writable = event_new(l->base, l->fd, EV_WRITE, uplink_write_cb, l);
    MUST(l->readable != NULL && l->writable != NULL);
    if (event_add(l->readable, NULL) != 0 || event_add(l->writable, NULL) != 0) {
        uplink_end(l, "the event loop refused the connection", false);
    }
}

void uplink_flush(struct uplink *l, uint64_t now_ns)
{
    size_t size = 0;

    if (l->state != UPLINK_UP) {
        return;
    }
    if (!outbox_awaits(&l->outbox)) {
        l->progress_ns = now_ns;
    }
    for (const uint8_t *bytes; bytes = outbox_unsent(&l->outbox, &size), size > 0;) {
        ssize_t put = write(l->fd, bytes, size);
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                (void)event_add(l->writable, NULL);
            }
            return; /* any other error is seen by the reader as well */
        }
        outbox_wrote(&l->outbox, (size_t)put);
    }
}

void uplink_tick(struct uplink *l, uint64_t now_ns)
{
    uint64_t idle_ns = now_ns > l->progress_ns ? now_ns - l->progress_ns : 0;

    switch (l->state) {
    case UPLINK_DOWN:
        return;
    case UPLINK_CONNECTING:
    case UPLINK_SETUP:
        if (idle_ns > l->config->connect_timeout_ms * CLOCK_NS_PER_MS) {
            uplink_end(l, "connecting timed out", false);
        }
        return;
    case UPLINK_UP:
        if (outbox_awaits(&l->outbox) && idle_ns > l->config->stall_ms * CLOCK_NS_PER_MS) {
            uplink_end(l, "no answer has come for too long", false);
        }
        return;
    case UPLINK_LEAVING:
        if (idle_ns > l->config->leave_ms * CLOCK_NS_PER_MS) {
            uplink_end(l, "no answer has come since it is to go elsewhere", false);
        }
        return;
    }
}
