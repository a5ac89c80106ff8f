#include "proxy/engine/engine.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/net.h"
#include "common/random.h"
#include "proxy/engine/outlet.h"
#include "proxy/forward/outbox.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENGINE_BATCHES_MAX = OUTLET_BATCHES_MAX, ENGINE_FENCE_BYTES = 512 };
enum { ENGINE_OUT_KEEP_BYTES = 1 << 20, ENGINE_IDENTITY_BYTES_MAX = 64 * 1024 };
enum { ENGINE_WRITE_BYTES = 1 << 20 };
enum { ENGINE_PRIVATE_KEEP_BYTES = 4096, ENGINE_SETUP_MAX = 8 };
/* Half of the shortest `timeout` that Redis can be set to, after which it closes idle connections.
 */
enum { ENGINE_KEEPALIVE_MS = 500 };

#define ENGINE_FENCE "*1\r\n$4\r\nROLE\r\n"
/* What every user may say, without a trace in ACL LOG, and nothing pushed looks like its answer. */
#define ENGINE_PULSE "*1\r\n$5\r\nHELLO\r\n"

enum engine_state { ENGINE_DOWN, ENGINE_CONNECTING, ENGINE_SETUP, ENGINE_UP };

struct batch {
    struct request *first, *last; /* by next_in_batch */
    struct request *waiting; /* the first one without its whole reply; NULL: the fence is next */
    bool bare;               /* there is no fence behind it: nothing in it tells of data, or the
                                link has none (engine_set_fenced) */
    uint64_t sent_ns;
};

struct engine {
    struct event_base *base;
    struct engine_config config;
    const struct engine_events *events;
    void *ctx;

    enum engine_state state;
    int fd;
    struct event *readable, *writable;
    uint64_t progress_ns; /* when something last came in, or the link was idle */

    struct buf gathered; /* commands of the next batch */
    struct buf unsent;   /* what was gathered when the link ended; during events.down */
    struct batch next;
    bool urgent; /* some of them are not REQUEST_PATIENT */
    int link_db; /* of the gathered stream; -1: not known */
    int link_resp;
    bool link_async;    /* ENGINE_FORWARD: what the proxy there was told of HOLDFAST SYNC */
    const char *prefix; /* of the next request; NULL: none */
    char *name;         /* to be set before the next request; NULL: it has its name */

    char address[64];                        /* of our end */
    struct outlet outlet;                    /* what the socket has not taken, and what it has */
    struct batch flight[ENGINE_BATCHES_MAX]; /* ring, oldest at flight_head */
    unsigned flight_head, flight_count;

    struct resp_reply_framer framer;
    struct buf push;                /* a push, as far as it has come */
    uint64_t id;                    /* what Redis calls the connection; 0: not known */
    unsigned setup_left;            /* replies of the set-up still to come */
    struct replid replid;           /* the Redis that we want */
    struct buf identity;            /* its INFO replication, as it comes */
    char fence[ENGINE_FENCE_BYTES]; /* head of the fence's reply; ENGINE_FORWARD: of an error */
    size_t fence_len;
    bool unfenced;                    /* see engine_set_fenced */
    bool fence_due;                   /* the oldest batch has no fence: Redis was too busy for it */
    char nonce[OUTBOX_NONCE_LEN + 1]; /* ENGINE_FORWARD: of this connection */
    bool moved;                       /* the proxy there executed nothing of what is unanswered */
    uint64_t batch_count;
    uint64_t fences_sent, fences_back;
    uint8_t *scratch;
};

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

static struct request *batch_join(struct request *head, struct batch *b)
{
    struct request **end = &head;

    while (*end != NULL) {
        end = &(*end)->next_in_batch;
    }
    *end = b->first;
    *b = (struct batch){.bare = false};
    return head;
}

static size_t engine_keep_bytes(const struct engine *e)
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
        *list = batch_join(*list, &e->flight[e->flight_head]);
        e->flight_head = (e->flight_head + 1) % ENGINE_BATCHES_MAX;
        e->flight_count--;
    }
    unsent = batch_join(unsent, &e->next);
    e->urgent = false;
    buf_swap(&e->unsent, &e->gathered);
    outlet_release(&e->outlet);
    buf_release(&e->push);
    e->id = 0;
    e->events->down(e->ctx, unknown, unsent, reason);
    buf_release(&e->unsent);
}

static void engine_stranger(struct engine *e, const char *reason)
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

/* Whether it goes to the Redis whose stream we read, and to no other. */
static bool engine_is_master_link(const struct engine *e)
{
    return e->config.kind == ENGINE_SHARED || e->config.kind == ENGINE_PRIVATE;
}

/* Whether replies of that kind of link are followed by a fence. */
static bool engine_fences(const struct engine *e)
{
    return engine_is_master_link(e) && !e->unfenced;
}

static void engine_batch_done(struct engine *e)
{
    outlet_answered(&e->outlet, e->flight_head, engine_keep_bytes(e));
    e->flight[e->flight_head] = (struct batch){.bare = false};
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
static void engine_forward_done(struct engine *e, struct batch *b, struct request *r)
{
    b->first = r->next_in_batch;
    if (b->first == NULL) {
        engine_batch_done(e);
    }
    r->next_in_batch = NULL;
    e->events->fenced(e->ctx, r, ENGINE_UNFENCED);
}

/* Whether INFO replication is that of our replica, in touch with us: not of one that was restarted,
 * or made another's. */
static bool engine_is_replica(struct engine *e)
{
    static const char slave[] = "role:slave\r\n", up[] = "\nmaster_link_status:up\r\n";
    char master[64];

    (void)snprintf(master, sizeof master, "\nmaster_host:127.0.0.1\r\nmaster_port:%d\r\n",
                   e->config.master_port);
    buf_append(&e->identity, "", 1);
    const char *text = (const char *)buf_head(&e->identity);
    return strstr(text, slave) != NULL && strstr(text, up) != NULL && strstr(text, master) != NULL;
}

/* Whether INFO replication names the Redis whose stream we read, as a master. */
static bool engine_identity_ok(struct engine *e)
{
    static const char key[] = "\nmaster_replid:", master[] = "\nrole:master";

    buf_append(&e->identity, "", 1);
    const char *at = strstr((const char *)buf_head(&e->identity), key);
    return strstr((const char *)buf_head(&e->identity), master) != NULL && at != NULL &&
           strncmp(at + sizeof key - 1, e->replid.hex, sizeof e->replid.hex) == 0;
}

/* ":42\r\n", the reply to CLIENT ID. */
static void engine_take_id(struct engine *e)
{
    buf_append(&e->identity, "", 1);
    e->id = strtoull((const char *)buf_head(&e->identity) + 1, NULL, 10);
    buf_clear(&e->identity);
}

static bool engine_setup_piece(struct engine *e, const uint8_t *bytes, size_t size, bool done)
{
    if (e->framer.first == '-') {
        engine_stop(e, "Redis refused the link's set-up (see redis.user and redis.password)");
        return false;
    }
    /* The last reply is the identity; before it is that to CLIENT ID, if one client has the link.
     */
    bool of_one = e->config.kind == ENGINE_PRIVATE || e->config.kind == ENGINE_FORWARD;
    bool keep = e->setup_left == 1 || (e->setup_left == 2 && of_one);
    if (keep && e->identity.len + size < ENGINE_IDENTITY_BYTES_MAX) {
        buf_append(&e->identity, bytes, size);
    }
    if (!done || --e->setup_left > 0) {
        if (done && e->setup_left == 1 && of_one) {
            engine_take_id(e);
        }
        return true;
    }
    if (e->config.kind == ENGINE_REPLICA && !engine_is_replica(e)) {
        engine_stop(e, "our Redis is no replica of ours");
        return false;
    }
    if (engine_is_master_link(e) && !engine_identity_ok(e)) {
        engine_stranger(e, "it is another Redis than the one whose stream we read");
        return false;
    }
    buf_release(&e->identity);
    e->state = ENGINE_UP;
    e->events->up(e->ctx);
    return true;
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

static void engine_answered(struct engine *e, struct batch *b, struct request *r)
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
    struct batch *b = &e->flight[e->flight_head];
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

/* ---- sending ---- */

static void engine_write(struct engine *e)
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

static void engine_put_words(struct engine *e, const char *const *words)
{
    struct resp_arg argv[6];
    size_t argc = 0;

    for (; *words != NULL; words++, argc++) {
        argv[argc] = (struct resp_arg){(const uint8_t *)*words, strlen(*words)};
    }
    resp_put_request(&e->outlet.out, argv, argc);
    e->setup_left++;
}

static void engine_put_auth(struct engine *e)
{
    const char *user = e->config.user, *password = e->config.password;
    bool has_user = user != NULL && user[0] != '\0';
    const char *const with_user[] = {"AUTH", user, password, NULL};
    const char *const without[] = {"AUTH", password, NULL};

    /* A user may need no password; without AUTH the link would be the default user. Another proxy
     * knows what is meant. */
    if (password != NULL &&
        (password[0] != '\0' || (has_user && e->config.kind != ENGINE_FORWARD))) {
        engine_put_words(e, has_user ? with_user : without);
    }
}

/* Another proxy is told whose link this is, so that it never passes it on. */
static void engine_put_mark(struct engine *e)
{
    char log_id[24];
    const char *const words[] = {"HOLDFAST", "LINK", e->config.cluster_id, log_id, e->config.name,
                                 e->nonce,   NULL};

    (void)snprintf(log_id, sizeof log_id, "%" PRIu64, e->config.log_id);
    (void)snprintf(e->nonce, sizeof e->nonce, "%016" PRIx64, random_seed());
    engine_put_words(e, words);
}

static void engine_setup(struct engine *e)
{
    static const char *const no_evict[] = {"CLIENT", "NO-EVICT", "on", NULL};
    static const char *const id[] = {"CLIENT", "ID", NULL};
    const char *const name[] = {"CLIENT", "SETNAME", e->config.name, NULL};
    /* What the link needs while it is up: an ACL user who may not is found out here, and not when
     * a client's command has run in the wrong database. */
    static const char *const select[] = {"SELECT", "0", NULL};
    static const char *const hello[] = {"HELLO", "2", NULL};
    static const char *const fence[] = {"ROLE", NULL};
    static const char *const identity[] = {"INFO", "replication", NULL}; /* the last: setup_left */
    const char *const *const shared[] = {no_evict, name, select, hello, fence, identity, NULL};
    static const char *const *const private[] = {no_evict, id, identity, NULL};
    static const char *const *const replica[] = {no_evict, identity, NULL};
    static const char *const *const none[] = {NULL};
    const char *const *const *const of_kind[] = {[ENGINE_SHARED] = shared,
                                                 [ENGINE_PRIVATE] = private,
                                                 [ENGINE_REPLICA] = replica,
                                                 [ENGINE_FORWARD] = none};
    const char *const *const *commands = of_kind[e->config.kind];

    e->state = ENGINE_SETUP;
    net_local_name(e->fd, e->address, sizeof e->address);
    e->framer = (struct resp_reply_framer){0};
    e->fence_len = 0;
    e->setup_left = 0;
    e->moved = false;
    engine_put_auth(e);
    if (e->config.kind == ENGINE_FORWARD && e->config.cluster_id != NULL) {
        engine_put_words(e,
                         id); /* before the mark: behind it, who does not serve answers nothing */
        engine_put_mark(e);
    }
    while (*commands != NULL) {
        engine_put_words(e, *commands++);
    }
    if (e->setup_left == 0) {
        e->state = ENGINE_UP;
        e->events->up(e->ctx);
        return;
    }
    engine_write(e);
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

/* ---- gathering ---- */

void engine_set_name(struct engine *e, const char *name)
{
    free(e->name);
    e->name = mem_strdup(name);
}

void engine_set_fenced(struct engine *e, bool fenced)
{
    e->unfenced = !fenced;
}

void engine_set_db(struct engine *e, unsigned db)
{
    e->link_db = (int)db;
}

void engine_set_prefix(struct engine *e, const char *prefix)
{
    e->prefix = prefix;
}

static void engine_put_name(struct engine *e, struct request *r)
{
    resp_put_array(&e->gathered, 3);
    resp_put_bulk(&e->gathered, "CLIENT", 6);
    resp_put_bulk(&e->gathered, "SETNAME", 7);
    resp_put_bulk(&e->gathered, e->name, strlen(e->name));
    free(e->name);
    e->name = NULL;
    r->replies_of_link++;
}

static void engine_gather(struct engine *e, struct request *r, unsigned db, unsigned resp)
{
    char text[32];

    MUST(e->state == ENGINE_UP || (e->config.kind != ENGINE_SHARED && e->state != ENGINE_DOWN));
    r->stage = REQUEST_SENT;
    r->next_in_batch = NULL;
    bool bare = e->config.kind == ENGINE_SHARED && r->waiter.harmless;
    if (e->next.last != NULL) {
        e->next.last->next_in_batch = r;
        e->next.bare = e->next.bare && bare;
    } else {
        e->next.first = r;
        e->next.bare = bare;
    }
    e->next.last = r;
    e->urgent = e->urgent || (r->flags & (REQUEST_PATIENT | REQUEST_ASYNC)) != REQUEST_PATIENT;
    if (e->link_resp != (int)resp) {
        buf_append_str(&e->gathered, resp == 3 ? "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
                                               : "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
        e->link_resp = (int)resp;
        r->replies_of_link++;
    }
    if (e->config.kind == ENGINE_FORWARD && e->link_async != ((r->flags & REQUEST_ASYNC) != 0)) {
        e->link_async = !e->link_async;
        buf_append_str(&e->gathered, e->link_async ? OUTBOX_SYNC_OFF : OUTBOX_SYNC_ON);
        r->replies_of_link++;
    }
    if (e->link_db != (int)db) {
        int len = snprintf(text, sizeof text, "%u", db);
        resp_put_array(&e->gathered, 2);
        resp_put_bulk(&e->gathered, "SELECT", 6);
        resp_put_bulk(&e->gathered, text, (size_t)len);
        e->link_db = (int)db;
        r->replies_of_link++;
    }
    if (e->name != NULL) {
        engine_put_name(e, r);
    }
    if (e->prefix != NULL) {
        buf_append_str(&e->gathered, e->prefix);
        e->prefix = NULL;
        r->replies_to_skip++;
    }
    r->db = db;
    r->resp = resp;
    r->command_at = e->gathered.len;
}

void engine_add(struct engine *e, struct request *r, unsigned db, unsigned resp,
                const struct resp_arg *argv, size_t argc)
{
    engine_gather(e, r, db, resp);
    resp_put_request(&e->gathered, argv, argc);
    r->command_len = e->gathered.len - (size_t)r->command_at;
}

void engine_add_taken(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      struct chain *commands, uint32_t skips)
{
    MUST(e->config.kind != ENGINE_SHARED && engine_is_idle(e));
    engine_gather(e, r, db, resp);
    r->command_len = commands->len;
    r->block_skips = skips;
    r->replies_to_skip += skips;
    outlet_put_ahead(&e->outlet, e->flight_head, &e->gathered, commands);
    if ((r->flags & REQUEST_SELECTS) != 0) {
        e->link_db = e->link_resp = -1; /* as below */
    }
}

void engine_add_bytes(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      const void *bytes, size_t size, uint32_t skips)
{
    engine_gather(e, r, db, resp);
    buf_append(&e->gathered, bytes, size);
    r->command_len = size;
    r->block_skips = skips;
    r->replies_to_skip += skips;
    if ((r->flags & REQUEST_SELECTS) != 0) {
        e->link_db = -1; /* a SELECT in the block may have run or not */
        e->link_resp = e->config.kind == ENGINE_SHARED ? e->link_resp : -1; /* HELLO likewise */
    }
}

void engine_add_block(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      const struct buf *commands, uint32_t command_count, bool selects)
{
    MUST(command_count > 0);
    r->flags |= REQUEST_BLOCK | (selects ? REQUEST_SELECTS : 0u);
    engine_add_bytes(e, r, db, resp, buf_head(commands), commands->len, command_count - 1);
}

const uint8_t *engine_command(const struct engine *e, const struct request *r)
{
    MUST(r->command_at + r->command_len <= e->unsent.len);
    return buf_head(&e->unsent) + r->command_at;
}

bool engine_may_flush(const struct engine *e)
{
    return e->state == ENGINE_UP && e->next.first != NULL &&
           e->flight_count < e->config.batches_in_flight && outlet_is_empty(&e->outlet);
}

bool engine_is_urgent(const struct engine *e)
{
    return e->urgent;
}

/* Sends what is gathered, or nothing, with a fence behind it if anything of it tells of data. */
static void engine_send(struct engine *e, uint64_t now_ns)
{
    struct batch *b = &e->flight[(e->flight_head + e->flight_count) % ENGINE_BATCHES_MAX];
    *b = e->next;
    b->waiting = b->first;
    b->sent_ns = now_ns;
    e->next = (struct batch){.bare = false};
    e->urgent = false;
    if (e->flight_count++ == 0) {
        e->progress_ns = now_ns;
    }
    b->bare = !engine_fences(e) || (b->bare && e->outlet.ahead.len == 0);
    if (!b->bare) {
        buf_append_str(&e->gathered, ENGINE_FENCE);
        e->fences_sent++;
    }
    outlet_begin(&e->outlet, &e->gathered);
    engine_write(e);
}

void engine_flush(struct engine *e, uint64_t now_ns)
{
    if (engine_may_flush(e)) {
        e->batch_count++;
        engine_send(e, now_ns);
    }
}

void engine_fence(struct engine *e, uint64_t now_ns)
{
    if (e->state == ENGINE_UP && e->flight_count == 0) {
        e->next.bare = false;
        engine_send(e, now_ns);
    }
}

void engine_keep_alive(struct engine *e, uint64_t now_ns, uint64_t after_ns)
{
    if (e->state == ENGINE_UP && engine_is_master_link(e) && engine_is_idle(e) &&
        now_ns > e->progress_ns && now_ns - e->progress_ns > after_ns) {
        if (!engine_fences(e)) {
            buf_append_str(&e->gathered, ENGINE_PULSE);
        }
        engine_send(e, now_ns);
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

struct request *engine_take_unsent(struct engine *e, const struct client *keep)
{
    struct request *list = batch_join(NULL, &e->next), *unsent = NULL, **end = &unsent;
    struct buf old = BUF_INIT;

    e->urgent = false;
    buf_swap(&old, &e->gathered);
    e->link_db = -1; /* what was to change it is not sent */
    e->link_resp = -1;
    for (struct request *r = list, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        if (r->client != NULL && r->client == keep) {
            r->replies_of_link = r->replies_to_skip = 0;
            engine_add_bytes(e, r, r->db, r->resp, buf_head(&old) + r->command_at, r->command_len,
                             r->block_skips);
        } else {
            *end = r;
            end = &r->next_in_batch;
        }
    }
    buf_release(&old);
    return unsent;
}

/* A reply from before a script comes behind it (Redis masks the script's connection meanwhile:
 * scriptInterrupt), so it is the first script, if there is one. */
static const struct request *engine_is_at(const struct engine *e)
{
    const struct request *first = e->flight_count > 0 ? e->flight[e->flight_head].waiting : NULL;

    for (unsigned i = 0; i < e->flight_count; i++) {
        const struct batch *b = &e->flight[(e->flight_head + i) % ENGINE_BATCHES_MAX];
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

size_t engine_gathered_bytes(const struct engine *e)
{
    return e->gathered.len + e->outlet.out.len - e->outlet.out_at;
}
