#include "proxy/engine/engine_impl.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/net.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENGINE_OUT_KEEP_BYTES = 1 << 20, ENGINE_PRIVATE_KEEP_BYTES = 4096 };
enum { ENGINE_WRITE_BYTES = 1 << 20 };
/* Half of the shortest `timeout` that Redis can be set to, after which it closes idle connections.
 */
enum { ENGINE_KEEPALIVE_MS = 500 };

struct engine *engine_create(struct event_base *base, const struct engine_config *config,
                             const struct engine_events *events, void *ctx)
{
    struct engine *e = mem_calloc(1, sizeof *e);

    e->base = base;
    e->config = *config;
    if (e->config.batches_in_flight < 1 || e->config.batches_in_flight > ENGINE_BATCHES_MAX) {
        e->config.batches_in_flight = 1;
    }
    e->events = events;
    e->ctx = ctx;
    e->fd = -1;
    e->scratch = config->scratch != NULL ? config->scratch : mem_alloc(ENGINE_READ_BYTES);
    return e;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    engine_stop(e, "the proxy ends");
    buf_release(&e->gathered);
    buf_release(&e->identity);
    buf_release(&e->push);
    if (e->config.scratch == NULL) {
        free(e->scratch);
    }
    free(e->name);
    free(e);
}

static void engine_close_socket(struct engine *e)
{
    if (e->readable != NULL) {
        event_free(e->readable);
        event_free(e->writable);
        e->readable = e->writable = NULL;
    }
    if (e->fd >= 0) {
        (void)close(e->fd);
        e->fd = -1;
    }
}

struct request *engine_join_batch(struct request *head, struct engine_batch *b)
{
    struct request **end = &head;

    while (*end != NULL) {
        end = &(*end)->next_in_batch;
    }
    *end = b->first;
    *b = (struct engine_batch){.bare = false};
    return head;
}

size_t engine_keep_bytes(const struct engine *e)
{
    return e->config.kind == ENGINE_SHARED ? ENGINE_OUT_KEEP_BYTES : ENGINE_PRIVATE_KEEP_BYTES;
}

void engine_stop(struct engine *e, const char *reason)
{
    struct request *unknown = NULL, *unsent = NULL;

    if (e->state == ENGINE_DOWN) {
        return;
    }
    e->state = ENGINE_DOWN;
    e->fences_back = e->fences_sent;
    e->fence_due = false;
    engine_close_socket(e);
    while (e->flight_count > 0) {
        struct request **list = e->moved ? &unsent : &unknown;
        *list = engine_join_batch(*list, &e->flight[e->flight_head]);
        e->flight_head = (e->flight_head + 1) % ENGINE_BATCHES_MAX;
        e->flight_count--;
    }
    unsent = engine_join_batch(unsent, &e->next);
    e->urgent = false;
    buf_swap(&e->unsent, &e->gathered);
    outlet_release(&e->outlet);
    buf_release(&e->push);
    e->id = 0;
    e->events->down(e->ctx, unknown, unsent, reason);
    buf_release(&e->unsent);
}

void engine_stranger(struct engine *e, const char *reason)
{
    engine_stop(e, reason);
    if (e->events->stranger != NULL) {
        e->events->stranger(e->ctx, reason);
    }
}

bool engine_is_up(const struct engine *e)
{
    return e->state == ENGINE_UP;
}

bool engine_is_down(const struct engine *e)
{
    return e->state == ENGINE_DOWN;
}

uint64_t engine_id(const struct engine *e)
{
    return e->id;
}

/* ---- replies ---- */

/* "*3 $6 master :OFFSET …": the offset, or false for anything else (a replica, an error). */
static bool engine_parse_fence(const struct engine *e, uint64_t *offset)
{
    static const char head[] = "*3\r\n$6\r\nmaster\r\n:";
    size_t head_len = sizeof head - 1;
    uint64_t value = 0;

    if (e->fence_len <= head_len || memcmp(e->fence, head, head_len) != 0) {
        return false;
    }
    for (size_t i = head_len; i < e->fence_len; i++) {
        char c = e->fence[i];
        if (c == '\r') {
            *offset = value;
            return i > head_len;
        }
        if (c < '0' || c > '9' || value > UINT64_MAX / 10 - 1) {
            return false;
        }
        value = value * 10 + (uint64_t)(c - '0');
    }
    return false;
}

static void engine_take_fence(struct engine *e, const uint8_t *bytes, size_t size)
{
    size_t room = sizeof e->fence - e->fence_len;
    size_t take = size < room ? size : room;
    memcpy(e->fence + e->fence_len, bytes, take);
    e->fence_len += take;
}

bool engine_is_master_link(const struct engine *e)
{
    return e->config.kind == ENGINE_SHARED || e->config.kind == ENGINE_PRIVATE;
}

static void engine_batch_done(struct engine *e)
{
    outlet_answered(&e->outlet, e->flight_head, engine_keep_bytes(e));
    e->flight[e->flight_head] = (struct engine_batch){.bare = false};
    e->flight_head = (e->flight_head + 1) % ENGINE_BATCHES_MAX;
    e->flight_count--;
}

static bool engine_fence_done(struct engine *e)
{
    struct request *first = e->flight[e->flight_head].first;
    uint64_t bound = 0;

    if (e->fence_len > 5 && memcmp(e->fence, "-BUSY", 5) == 0) {
        /* A script runs on another connection; the fence is asked for again (engine_tick). */
        e->fence_len = 0;
        e->fence_due = true;
        return true;
    }
    if (!engine_parse_fence(e, &bound)) {
        engine_stranger(e, "Redis is no longer a master");
        return false;
    }
    e->fence_len = 0;
    e->fences_back++;
    engine_batch_done(e);
    e->events->fenced(e->ctx, first, bound);
    return true;
}

/* Without a fence nothing has to be waited for behind a reply. */
static void engine_forward_done(struct engine *e, struct engine_batch *b, struct request *r)
{
    b->first = r->next_in_batch;
    if (b->first == NULL) {
        engine_batch_done(e);
    }
    r->next_in_batch = NULL;
    e->events->fenced(e->ctx, r, ENGINE_UNFENCED);
}

/* Whether it belongs to no request: a push, or a line of MONITOR, which goes on for ever once it
 * was asked for, and looks like no fence. */
static bool engine_is_push(const struct engine *e)
{
    if (e->framer.first == '>') {
        return true;
    }
    return e->framer.first == '+' &&
           (e->flight_count == 0 || e->flight[e->flight_head].waiting == NULL);
}

static bool engine_push_piece(struct engine *e, const uint8_t *bytes, size_t size, bool done)
{
    if (!done || e->push.len > 0) {
        buf_append(&e->push, bytes, size);
    }
    if (!done) {
        return true;
    }
    struct request *before = e->flight_count > 0 ? e->flight[e->flight_head].waiting : NULL;
    before = before != NULL ? before : e->next.first;
    if (e->push.len > 0) {
        struct buf whole = BUF_INIT;
        buf_swap(&whole, &e->push);
        e->events->push(e->ctx, buf_head(&whole), whole.len, before);
        buf_release(&whole);
    } else {
        e->events->push(e->ctx, bytes, size, before);
    }
    return e->state == ENGINE_UP;
}

/* SUBSCRIBE and the like are answered by pushes, or by errors; the PING behind them tells where
 * they stand. */
static bool engine_is_before_pong(const struct engine *e, const struct request *r)
{
    return (r->flags & REQUEST_PONG) != 0 && e->framer.first == '-';
}

/* Of the oldest batch. */
static void engine_tell_slow(struct engine *e, const struct request *r, uint64_t took_ns)
{
    size_t size = r->command_len;
    const uint8_t *bytes = outlet_sent(&e->outlet, e->flight_head, r->command_at, &size);

    e->events->slow(e->ctx, r, e->address, bytes, size, took_ns);
}

static void engine_answered(struct engine *e, struct engine_batch *b, struct request *r)
{
    uint64_t took_ns = e->progress_ns - b->sent_ns;

    if (e->config.slow_ns != NULL && took_ns >= *e->config.slow_ns) {
        engine_tell_slow(e, r, took_ns);
    }
    b->waiting = r->next_in_batch;
    if (e->events->answered != NULL) {
        e->events->answered(e->ctx, r);
    }
    if (b->bare) {
        engine_forward_done(e, b, r);
    }
}

/* ENGINE_FORWARD: whether a whole error says that the proxy there doesn't serve. */
static bool engine_is_moved(struct engine *e, const uint8_t *bytes, size_t size, bool done)
{
    if (e->config.kind != ENGINE_FORWARD || e->framer.first != '-') {
        return false;
    }
    engine_take_fence(e, bytes, size);
    if (!done) {
        return false;
    }
    e->fence[e->fence_len < sizeof e->fence ? e->fence_len : sizeof e->fence - 1] = '\0';
    e->fence_len = 0;
    return outbox_error_is_moved(e->fence, e->nonce);
}

/* One piece of a reply, whose end it is if done. Returns false if the link has ended. */
static bool engine_reply_piece(struct engine *e, const uint8_t *bytes, size_t size, bool done)
{
    if (e->state == ENGINE_SETUP) {
        return engine_setup_piece(e, bytes, size, done);
    }
    if (e->events->push != NULL && engine_is_push(e)) {
        return engine_push_piece(e, bytes, size, done);
    }
    if (e->flight_count == 0 || e->framer.first == '>') {
        engine_stop(e, "Redis sent what nobody asked for");
        return false;
    }
    struct engine_batch *b = &e->flight[e->flight_head];
    struct request *r = b->waiting;
    if (engine_is_moved(e, bytes, size, done)) {
        e->moved = true;
        engine_stop(e, "the proxy there does not serve");
        return false;
    }
    if (r == NULL && b->bare) { /* engine_keep_alive */
        if (done) {
            engine_batch_done(e);
            e->events->fenced(e->ctx, NULL, ENGINE_UNFENCED);
        }
        return e->state != ENGINE_DOWN;
    }
    if (r == NULL) {
        engine_take_fence(e, bytes, size);
        return done ? engine_fence_done(e) : true;
    }
    if (r->replies_of_link > 0) {
        if (e->framer.first == '-') {
            /* What stands behind it may have run in another client's database. */
            engine_stop(e, "Redis refused SELECT or HELLO on the link");
            return false;
        }
        r->replies_of_link -= done;
        return true;
    }
    if (r->replies_to_skip > 0) {
        if (e->framer.first == '-' && (r->flags & REQUEST_BLOCK) != 0) {
            request_note_error(r, bytes, size);
        }
        r->replies_to_skip -= done;
        return true;
    }
    if (r->client != NULL || r->learn != NULL) {
        request_add_reply(r, bytes, size);
    }
    if (done && !engine_is_before_pong(e, r)) {
        engine_answered(e, b, r);
    }
    return e->state != ENGINE_DOWN;
}

static void engine_read_cb(evutil_socket_t fd, short what, void *arg)
{
    struct engine *e = arg;
    ssize_t got = read(fd, e->scratch, ENGINE_READ_BYTES);

    (void)what;
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        engine_stop(e, got == 0 ? "Redis closed the connection" : strerror(errno));
        return;
    }
    e->progress_ns = clock_now_ns();
    for (size_t at = 0; at < (size_t)got;) {
        bool done = false;
        long took = resp_reply_take(&e->framer, e->scratch + at, (size_t)got - at, &done);
        if (took <= 0) {
            engine_stop(e, "Redis sent what is no reply");
            return;
        }
        if (!engine_reply_piece(e, e->scratch + at, (size_t)took, done)) {
            return;
        }
        at += (size_t)took;
    }
}

/* ---- the socket ---- */

void engine_write(struct engine *e)
{
    unsigned newest = (e->flight_head + e->flight_count - 1) % ENGINE_BATCHES_MAX;
    size_t size;
    const uint8_t *next;
    bool taken;

    while ((next = outlet_next(&e->outlet, &size, &taken)) != NULL) {
        bool one_part = taken && size >= ENGINE_WRITE_BYTES;
        ssize_t put = write(e->fd, next, size < ENGINE_WRITE_BYTES ? size : ENGINE_WRITE_BYTES);
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                (void)event_add(e->writable, NULL);
            }
            /* Any other error is seen by the reader as well, which ends the link. */
            return;
        }
        outlet_wrote(&e->outlet, (size_t)put);
        if (one_part) {
            (void)event_add(e->writable, NULL); /* others have their turn between its parts */
            return;
        }
    }
    outlet_all_written(&e->outlet, e->flight_count > 0 ? newest : ENGINE_BATCHES_MAX,
                       engine_keep_bytes(e));
}

static void engine_write_cb(evutil_socket_t fd, short what, void *arg)
{
    struct engine *e = arg;

    (void)what;
    if (e->state == ENGINE_CONNECTING) {
        int error = net_connect_result(fd);
        if (error != 0) {
            engine_stop(e, strerror(error));
            return;
        }
        engine_setup(e);
        return;
    }
    engine_write(e);
}

void engine_start(struct engine *e, const struct replid *replid, uint64_t now_ns)
{
    if (e->state != ENGINE_DOWN) {
        return;
    }
    e->state = ENGINE_CONNECTING;
    e->link_db = 0;
    e->link_resp = 2;
    e->link_async = false;
    if (replid != NULL) {
        e->replid = *replid;
    }
    buf_clear(&e->identity);
    e->progress_ns = now_ns;
    e->fd = net_connect(e->config.host, e->config.port);
    if (e->fd < 0) {
        engine_stop(e, strerror(errno));
        return;
    }
    e->readable = event_new(e->base, e->fd, EV_READ | EV_PERSIST, engine_read_cb, e);
    e->writable = event_new(e->base, e->fd, EV_WRITE, engine_write_cb, e);
    MUST(e->readable != NULL && e->writable != NULL);
    if (event_add(e->readable, NULL) != 0 || event_add(e->writable, NULL) != 0) {
        engine_stop(e, "the event loop refused the connection");
    }
}

void engine_tick(struct engine *e, uint64_t now_ns)
{
    uint64_t idle_ns = now_ns > e->progress_ns ? now_ns - e->progress_ns : 0;

    if (e->fence_due && e->state == ENGINE_UP) {
        e->fence_due = false;
        buf_append_str(&e->outlet.out, ENGINE_FENCE);
        engine_write(e);
    }
    if (e->state == ENGINE_UP && e->config.kind != ENGINE_SHARED) {
        return; /* it may wait for as long as its client likes */
    }
    if (e->state == ENGINE_UP) {
        if (e->flight_count > 0 && idle_ns > e->config.stall_ms * CLOCK_NS_PER_MS) {
            engine_stop(e, "Redis has not answered for too long");
        } else {
            engine_keep_alive(e, now_ns, ENGINE_KEEPALIVE_MS * CLOCK_NS_PER_MS);
        }
    } else if (e->state != ENGINE_DOWN &&
               idle_ns > e->config.connect_timeout_ms * CLOCK_NS_PER_MS) {
        engine_stop(e, "connecting to Redis timed out");
    }
}

bool engine_is_idle(const struct engine *e)
{
    return e->flight_count == 0 && e->next.first == NULL;
}

uint64_t engine_stalled_ns(const struct engine *e, uint64_t now_ns)
{
    bool waits = e->state == ENGINE_UP && e->flight_count > 0 && now_ns > e->progress_ns;
    return waits ? now_ns - e->progress_ns : 0;
}

/* A reply from before a script comes behind it (Redis masks the script's connection meanwhile:
 * scriptInterrupt), so it is the first script, if there is one. */
static const struct request *engine_is_at(const struct engine *e)
{
    const struct request *first = e->flight_count > 0 ? e->flight[e->flight_head].waiting : NULL;

    for (unsigned i = 0; i < e->flight_count; i++) {
        const struct engine_batch *b = &e->flight[(e->flight_head + i) % ENGINE_BATCHES_MAX];
        for (const struct request *r = b->waiting; r != NULL; r = r->next_in_batch) {
            if ((r->flags & REQUEST_SCRIPT) != 0) {
                return r;
            }
        }
    }
    return first;
}

void engine_each_held_up(const struct engine *e, void (*fn)(void *ctx, struct request *r),
                         void *ctx)
{
    const struct request *at = engine_is_at(e);

    for (unsigned i = 0; i < e->flight_count; i++) {
        struct request *r = e->flight[(e->flight_head + i) % ENGINE_BATCHES_MAX].first;

        for (; r != NULL; r = r->next_in_batch) {
            if (r != at) {
                fn(ctx, r);
            }
        }
    }
}

const struct client *engine_runs_for(const struct engine *e)
{
    const struct request *at = engine_is_at(e);
    return at != NULL ? at->client : NULL;
}

uint64_t engine_fences_sent(const struct engine *e)
{
    return e->fences_sent;
}

uint64_t engine_fences_back(const struct engine *e)
{
    return e->fences_back;
}

uint64_t engine_batches(const struct engine *e)
{
    return e->batch_count;
}
