#include "proxy/clients/client_impl.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Written to one client's socket in one turn: who reads fast must not keep the loop busy. */
enum { CLIENT_WRITE_BYTES = 1 << 20 };
enum { CLIENT_OUT_KEEP_BYTES = 16 * 1024, CLIENT_REPLY_GUESS_BYTES = 512 * 1024 };

static void client_write_cb(evutil_socket_t fd, short what, void *arg);

void clients_init(struct clients *all, struct event_base *base, const struct client_limits *limits,
                  const struct client_events *events, void *ctx, struct request_pool *pool)
{
    *all = (struct clients){
        .base = base, .limits = *limits, .events = events, .ctx = ctx, .pool = pool, .next_id = 1};
    slowlog_init(&all->slowlog);
    all->framer = resp_framer_create();
    all->scratch = mem_alloc(CLIENT_READ_BYTES);
}

static void client_free(struct client *c);

/* Those who stand in to_flush still are freed another time: that list may never run empty. */
static void clients_free_closed(struct clients *all)
{
    struct client *keep = NULL;

    while (all->to_free != NULL) {
        struct client *c = all->to_free;
        all->to_free = c->next;
        if (c->in_flush_list) {
            c->next = keep;
            keep = c;
        } else {
            client_free(c);
        }
    }
    all->to_free = keep;
}

void clients_fini(struct clients *all)
{
    while (all->list != NULL) {
        client_close(all->list, "the proxy ends");
    }
    for (struct client *c = all->to_flush; c != NULL; c = c->next_to_flush) {
        c->in_flush_list = false;
    }
    all->to_flush = NULL;
    clients_free_closed(all);
    tally_reset(&all->tally);
    slowlog_fini(&all->slowlog);
    readers_release(&all->readers);
    resp_framer_destroy(all->framer);
    free(all->scratch);
    free(all->ids);
}

/* ---- life ---- */

/* Makes room for a newcomer: of those that say nothing more, and may have gone altogether, the one
 * that came first misses what it is still to hear. */
static bool clients_close_ended(struct clients *all)
{
    struct client *oldest = NULL;

    for (struct client *c = all->ended_count > 0 ? all->list : NULL; c != NULL; c = c->next) {
        oldest = c->ended ? c : oldest;
    }
    if (oldest == NULL) {
        return false;
    }
    client_close(oldest, "it says nothing more, and its place is needed");
    return true;
}

struct client *clients_accept(struct clients *all, int fd)
{
    static const char full[] = "-ERR max number of clients reached\r\n";
    bool room = all->count < all->limits.clients_max || clients_close_ended(all);

    if (net_prepare(fd) != 0 || !room) {
        ssize_t ignored = write(fd, full, sizeof full - 1);
        (void)ignored; /* the connection is closed anyway */
        (void)close(fd);
        all->rejected++;
        return NULL;
    }
    struct client *c = mem_calloc(1, sizeof *c);
    c->all = all;
    c->fd = fd;
    c->id = all->next_id++;
    c->resp = 2;
    c->reply_mean_bytes = CLIENT_REPLY_GUESS_BYTES;
    c->authenticated = !all->auth_required;
    c->async = all->async_default;
    c->created_ns = c->used_ns = all->now_ns;
    c->last_command = "NULL";
    client_buffers_init(&c->buffers);
    c->readable = event_new(all->base, fd, EV_READ | EV_PERSIST, client_read_cb, c);
    MUST(c->readable != NULL);
    c->reading = !all->paused;
    if (c->reading && event_add(c->readable, NULL) != 0) {
        log_error("a client's connection can't be watched");
    }
    clients_add_id(all, c);
    c->next = all->list;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    all->list = c;
    all->count++;
    all->accepted++;
    client_configure(c);
    return c;
}

static void client_free(struct client *c)
{
    event_free(c->readable);
    if (c->writable != NULL) {
        event_free(c->writable);
    }
    if (c->hangup != NULL) {
        event_free(c->hangup);
    }
    (void)close(c->fd);
    buf_release(&c->in);
    chain_release(&c->out);
    buf_release(&c->watched);
    resp_framer_destroy(c->framer);
    free(c->name);
    slowlog_who_release(c->who);
    free(c->user);
    free(c);
}

struct slowlog_who *client_who(struct client *c)
{
    const char *name = c->name != NULL ? c->name : "";
    char address[SLOWLOG_ADDRESS_BYTES];

    if (c->who == NULL || strcmp(slowlog_who_name(c->who), name) != 0) {
        slowlog_who_release(c->who);
        c->who = net_peer_name(c->fd, address, sizeof address) ? slowlog_who_create(address, name)
                                                               : NULL;
    }
    return c->who;
}

void client_close(struct client *c, const char *reason)
{
    struct clients *all = c->all;

    if (c->closing) {
        return;
    }
    log_debug("client %llu closed: %s", (unsigned long long)c->id, reason);
    c->closing = true;
    (void)event_del(c->readable);
    if (c->writable != NULL) {
        (void)event_del(c->writable);
    }
    if (c->hangup != NULL) {
        (void)event_del(c->hangup);
    }
    client_abandon_requests(c);
    all->unsent_bytes -= c->unsent_counted;
    c->unsent_counted = 0;
    all->events->closed(all->ctx, c);
    all->query_bytes -= c->query_bytes;
    c->query_bytes = 0;
    buf_release(&c->in);
    clients_remove_id(all, c);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        all->list = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    all->count--;
    all->ended_count -= c->ended;
    c->prev = NULL;
    c->next = all->to_free;
    all->to_free = c;
}

/* ---- what goes out, each turn ---- */

void client_needs_flush(struct client *c)
{
    if (!c->in_flush_list) {
        c->in_flush_list = true;
        c->next_to_flush = c->all->to_flush;
        c->all->to_flush = c;
    }
}

static void client_count_unsent(struct client *c, size_t unsent_bytes)
{
    c->all->unsent_bytes += unsent_bytes - c->unsent_counted;
    c->unsent_counted = unsent_bytes;
}

void clients_evict_unsent(struct clients *all)
{
    while (all->unsent_bytes > all->limits.withheld_total_max_bytes) {
        struct client *worst = all->list;
        for (struct client *c = all->list; c != NULL; c = c->next) {
            worst = c->unsent_counted > worst->unsent_counted ? c : worst;
        }
        if (worst == NULL) {
            return;
        }
        log_warn("client %llu closed: %zu bytes wait for it, and all clients' replies are over "
                 "limits.withheld_total_max_bytes",
                 (unsigned long long)worst->id, worst->unsent_counted);
        client_close(worst, "it does not read its replies");
    }
}

static void client_write_later(struct client *c)
{
    if (c->writable == NULL) {
        c->writable = event_new(c->all->base, c->fd, EV_WRITE, client_write_cb, c);
        MUST(c->writable != NULL);
    }
    (void)event_add(c->writable, NULL);
}

static void client_write(struct client *c)
{
    size_t room = CLIENT_WRITE_BYTES;

    if (c->out.len > 0) {
        client_buffers_wrote(&c->buffers, &c->all->buffers, clients_now_ms(c->all), c->out.len);
    }
    while (c->out.len > 0) {
        size_t size;
        const uint8_t *bytes = chain_head(&c->out, &size);
        ssize_t put = room > 0 ? write(c->fd, bytes, size < room ? size : room) : -1;
        if (put < 0) {
            if (room > 0 && errno == EINTR) {
                continue;
            }
            if (room > 0 && errno != EAGAIN) {
                client_close(c, strerror(errno));
                return;
            }
            client_write_later(c);
            return;
        }
        room -= (size_t)put;
        chain_consume(&c->out, (size_t)put);
    }
    chain_trim(&c->out, c->pending_count > 0 ? CLIENT_OUT_KEEP_BYTES : 0);
    if (c->close_when_sent && c->first == NULL) {
        client_close(c, "after its last reply");
    }
}

static void client_write_cb(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;

    (void)fd;
    (void)what;
    if (!c->closing) {
        client_needs_flush(c);
    }
}

static void client_flush(struct client *c)
{
    client_move_released(c);
    client_write(c);
    if (!c->closing) {
        client_count_unsent(c, c->out.len);
    }
    if (!c->closing && client_may_read(c)) {
        client_take_buffered(c);
        if (!c->closing) {
            client_set_reading(c, client_may_read(c));
        }
    }
    /* What is still in its buffer then is no whole request, or waits behind what blocks. */
    bool idle = !c->closing && c->first == NULL && c->out.len == 0 && client_may_read(c);
    if (!c->closing && ((c->ended && idle) || (c->hung_up && client_only_blocks(c)))) {
        client_close(c, "by the client");
    }
}

void clients_flush(struct clients *all)
{
    /* Requests taken in while flushing may be answered at once, which queues their client again. */
    for (int rounds = 0; all->to_flush != NULL && rounds < 8; rounds++) {
        struct client *list = all->to_flush;
        all->to_flush = NULL;
        while (list != NULL) {
            struct client *c = list;
            list = c->next_to_flush;
            c->in_flush_list = false;
            if (!c->closing) {
                client_flush(c);
            }
        }
    }
    clients_free_closed(all);
}

void clients_end_pause(struct clients *all)
{
    all->pause_until_ns = 0;
    clients_take_up(all);
}

void clients_take_up(struct clients *all)
{
    for (struct client *c = all->list; c != NULL; c = c->next) {
        if (c->postponed && c->unanswered == 0) {
            client_resume(c);
        }
    }
}

void clients_pause(struct clients *all, bool paused)
{
    if (all->paused == paused) {
        return;
    }
    all->paused = paused;
    for (struct client *c = all->list; c != NULL; c = c->next) {
        if (paused) {
            client_set_reading(c, false);
        } else {
            client_needs_flush(c);
        }
    }
}
