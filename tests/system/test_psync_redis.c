/* Both ends of replication against real redis-servers: capture as a replica of one, feed as the
 * master of another. */
#include "proxy/engine/capture.h"
#include "proxy/follow/feed.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "tests/lib/redis_server.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEP_MS = 10000, TURN_MS = 2 };

#define SECRET "the feed's secret"

/* --- the event loop, stepped by the test -------------------------------------------------------
 */

static struct event_base *base;
static struct event *turn_event; /* so that no turn waits for long */

static void wake_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

static void loop_setup(void)
{
    static const struct timeval turn = {0, TURN_MS * 1000};

    base = event_base_new();
    ck_assert_ptr_nonnull(base);
    turn_event = event_new(base, -1, EV_PERSIST, wake_up, NULL);
    ck_assert_ptr_nonnull(turn_event);
    ck_assert_int_eq(event_add(turn_event, &turn), 0);
}

static void loop_teardown(void)
{
    event_free(turn_event);
    event_base_free(base);
}

static void turn(void)
{
    ck_assert_int_ge(event_base_loop(base, EVLOOP_ONCE), 0);
}

#define TURN_UNTIL(cond)                                                                           \
    do {                                                                                           \
        uint64_t until_end = clock_now_ns() + STEP_MS * CLOCK_NS_PER_MS;                           \
        while (!(cond)) {                                                                          \
            ck_assert_msg(clock_now_ns() < until_end, "gave up waiting for " #cond);               \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void turn_for(uint64_t ms)
{
    for (uint64_t end = clock_now_ns() + ms * CLOCK_NS_PER_MS; clock_now_ns() < end;) {
        turn();
    }
}

/* --- a captured server -------------------------------------------------------------------------
 */

/* What a capture told. stream holds the bytes from offset `start` on. */
struct tape {
    struct capture *capture;
    struct replid replid;
    uint64_t start;
    struct buf rdb, stream;
    unsigned full_resyncs, rdb_ends, resumes;
    char closed[256]; /* reason, or empty */
    char stop_at;     /* the event that stops the capture: f, r, e, s; or 0 */
};

static void stop_at(struct tape *t, char event)
{
    if (t->stop_at == event) {
        capture_stop(t->capture);
    }
}

static void on_full_resync(void *ctx, const struct replid *replid, uint64_t offset)
{
    struct tape *t = ctx;
    t->full_resyncs++;
    t->replid = *replid;
    t->start = offset;
    buf_clear(&t->rdb);
    buf_clear(&t->stream);
    stop_at(t, 'f');
}

static void on_rdb(void *ctx, const void *bytes, size_t size)
{
    struct tape *t = ctx;
    buf_append(&t->rdb, bytes, size);
    stop_at(t, 'r');
}

static void on_rdb_end(void *ctx)
{
    struct tape *t = ctx;
    t->rdb_ends++;
    stop_at(t, 'e');
}

static void on_resumed(void *ctx, const struct replid *replid)
{
    struct tape *t = ctx;
    t->resumes++;
    t->replid = *replid;
}

static void on_stream(void *ctx, const void *bytes, size_t size)
{
    struct tape *t = ctx;
    buf_append(&t->stream, bytes, size);
    stop_at(t, 's');
}

static void on_capture_closed(void *ctx, const char *reason)
{
    struct tape *t = ctx;
    snprintf(t->closed, sizeof t->closed, "%s", reason);
}

static const struct capture_events capture_events = {.full_resync = on_full_resync,
                                                     .rdb = on_rdb,
                                                     .rdb_end = on_rdb_end,
                                                     .resumed = on_resumed,
                                                     .stream = on_stream,
                                                     .closed = on_capture_closed};

static void tape_open_as(struct tape *t, const struct redis_server *s, const char *password,
                         uint32_t timeout_ms)
{
    struct capture_config config = {.host = "127.0.0.1",
                                    .port = redis_server_port(s),
                                    .password = password,
                                    .announce_port = 7379,
                                    .timeout_ms = timeout_ms,
                                    .read_max_bytes = 256 * 1024};

    *t = (struct tape){.rdb = BUF_INIT, .stream = BUF_INIT};
    t->capture = capture_create(base, &config, &capture_events, t);
}

static void tape_open(struct tape *t, const struct redis_server *s)
{
    tape_open_as(t, s, NULL, STEP_MS);
}

static void tape_close(struct tape *t)
{
    capture_destroy(t->capture);
    buf_release(&t->rdb);
    buf_release(&t->stream);
}

static uint64_t tape_offset(const struct tape *t)
{
    return t->start + t->stream.len;
}

static void tape_start(struct tape *t)
{
    ck_assert_int_eq(capture_start(t->capture, NULL, 0), ERR_OK);
    TURN_UNTIL(t->rdb_ends == 1);
    ck_assert_uint_eq(t->full_resyncs, 1);
    ck_assert_str_eq(t->closed, "");
}

/* ROLE: the offset of a master, or what a replica has applied; 0 while it has no link (Redis says
 * -1). */
static uint64_t role_offset(struct redis_server *s)
{
    redisReply *r = redis_server_ask(s, "ROLE");
    bool master = strcmp(r->element[0]->str, "master") == 0;
    long long offset = r->element[master ? 1 : 4]->integer;
    freeReplyObject(r);
    return offset > 0 ? (uint64_t)offset : 0;
}

/* What a replica has applied, also while it has no link. */
static uint64_t info_offset(struct redis_server *s)
{
    static const char field[] = "\nslave_repl_offset:";
    redisReply *r = redis_server_ask(s, "INFO replication");
    const char *at = strstr(r->str, field);

    ck_assert_ptr_nonnull(at);
    uint64_t offset = strtoull(at + sizeof field - 1, NULL, 10);
    freeReplyObject(r);
    return offset;
}

static bool role_is(struct redis_server *s, const char *what)
{
    redisReply *r = redis_server_ask(s, "ROLE");
    bool is = strcmp(r->element[0]->str, what) == 0 ||
              (r->elements > 3 && r->element[3]->type == REDIS_REPLY_STRING &&
               strcmp(r->element[3]->str, what) == 0);
    freeReplyObject(r);
    return is;
}

static void check_same_data(struct redis_server *a, struct redis_server *b)
{
    redisReply *of_a = redis_server_ask(a, "DEBUG DIGEST");
    redisReply *of_b = redis_server_ask(b, "DEBUG DIGEST");
    ck_assert_str_eq(of_a->str, of_b->str);
    ck_assert_str_ne(of_a->str, "0000000000000000000000000000000000000000");
    freeReplyObject(of_a);
    freeReplyObject(of_b);
}

static bool tape_has(const struct tape *t, size_t at, const char *text)
{
    size_t len = strlen(text);
    return t->stream.len >= at + len && memcmp(buf_head(&t->stream) + at, text, len) == 0;
}

static void fill(struct redis_server *s, const char *name, int megabytes)
{
    redis_server_do(s, "DEBUG POPULATE %d %s 1000", megabytes * 1000, name);
}

static void write_some(struct redis_server *s, int n)
{
    for (int i = 0; i < n; i++) {
        redis_server_do(s, "SET key%d value%d", i, i);
    }
    redis_server_do(s, "MULTI");
    redis_server_do(s, "INCR counter");
    redis_server_do(s, "RPUSH list a b c");
    redis_server_do(s, "EXEC");
    redis_server_do(s, "SADD set 1 2 3 4 5 6 7 8");
    redis_server_do(s, "SPOP set 3");
    redis_server_do(s, "XADD stream * field value");
    redis_server_do(s, "SET gone 1 PX 100000");
}

/* --- capture -----------------------------------------------------------------------------------
 */

/* A full resync and the live stream behind it: every byte is there. */
static void check_full_resync(const char *const args[])
{
    struct redis_server *a = redis_server_start(args);
    struct tape t;

    fill(a, "before", 5);
    tape_open(&t, a);
    tape_start(&t);
    ck_assert_uint_gt(t.rdb.len, 200 * 1000);
    ck_assert(memcmp(buf_head(&t.rdb), "REDIS", 5) == 0);
    ck_assert_uint_eq(buf_head(&t.rdb)[t.rdb.len - 9], 0xff); /* RDB's own end, then a checksum */
    write_some(a, 100);
    TURN_UNTIL(tape_offset(&t) >= role_offset(a));
    ck_assert_uint_eq(tape_offset(&t), role_offset(a));
    ck_assert(tape_has(&t, 0, "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"));
    ck_assert_str_eq(t.closed, "");
    tape_close(&t);
    redis_server_stop(a);
}

START_TEST(full_resync_diskless)
{
    check_full_resync((const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
}
END_TEST

START_TEST(full_resync_by_file)
{
    check_full_resync((const char *const[]){"--repl-diskless-sync", "no", NULL});
}
END_TEST

/* WAIT counts us only once the offset was acknowledged: it means "committed". */
START_TEST(acknowledged_is_committed)
{
    struct redis_server *a =
        redis_server_start((const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
    redisContext *client = redis_server_connect(a);
    struct tape t;
    redisReply *reply;

    tape_open(&t, a);
    tape_start(&t);
    for (int acknowledge = 0; acknowledge <= 1; acknowledge++) {
        freeReplyObject(redisCommand(client, "SET key %d", acknowledge));
        TURN_UNTIL(tape_offset(&t) >= role_offset(a));
        uint64_t written = tape_offset(&t);
        int done = 0;
        redisAppendCommand(client, "WAIT 1 %d", acknowledge ? STEP_MS : 300);
        while (!done) {
            ck_assert_int_eq(redisBufferWrite(client, &done), REDIS_OK);
        }
        if (acknowledge) {
            capture_ack(t.capture, written);
            turn_for(100);
        } else {
            turn_for(400);
        }
        ck_assert_int_eq(redisGetReply(client, (void **)&reply), REDIS_OK);
        ck_assert_int_eq(reply->integer, acknowledge);
        freeReplyObject(reply);
    }
    redisFree(client);
    tape_close(&t);
    redis_server_stop(a);
}
END_TEST

/* A dropped connection goes on where it was, and nothing is lost or doubled. */
START_TEST(resumed_after_a_drop)
{
    struct redis_server *a =
        redis_server_start((const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
    struct tape t;

    tape_open(&t, a);
    tape_start(&t);
    write_some(a, 10);
    TURN_UNTIL(tape_offset(&t) >= role_offset(a));
    redis_server_do(a, "CLIENT KILL TYPE replica");
    TURN_UNTIL(t.closed[0] != '\0');
    ck_assert_str_eq(t.closed, "the engine closed the replication link");
    write_some(a, 20);
    struct replid replid = t.replid;
    ck_assert_int_eq(capture_start(t.capture, &replid, tape_offset(&t)), ERR_OK);
    ck_assert_int_eq(capture_start(t.capture, &replid, tape_offset(&t)), ERR_STATE);
    TURN_UNTIL(t.resumes == 1);
    write_some(a, 30);
    TURN_UNTIL(tape_offset(&t) >= role_offset(a));
    ck_assert_uint_eq(tape_offset(&t), role_offset(a));
    ck_assert_uint_eq(t.full_resyncs, 1);
    ck_assert(memcmp(replid.hex, t.replid.hex, sizeof replid.hex) == 0);
    tape_close(&t);
    redis_server_stop(a);
}
END_TEST

/* What can't be had ends in closed, with a reason: wrong password, nobody there, a frozen server.
 */
START_TEST(closed_with_a_reason)
{
    struct redis_server *a = redis_server_start(
        (const char *const[]){"--requirepass", "s3cret", "--repl-diskless-sync-delay", "0", NULL});
    struct tape t;

    tape_open_as(&t, a, "wrong", STEP_MS);
    ck_assert_int_eq(capture_start(t.capture, NULL, 0), ERR_OK);
    TURN_UNTIL(t.closed[0] != '\0');
    ck_assert_ptr_nonnull(strstr(t.closed, "AUTH was refused: -WRONGPASS"));
    tape_close(&t);

    tape_open_as(&t, a, "s3cret", 400);
    tape_start(&t);
    kill(redis_server_pid(a), SIGSTOP);
    TURN_UNTIL(t.closed[0] != '\0');
    kill(redis_server_pid(a), SIGCONT);
    ck_assert_str_eq(t.closed, "the engine has gone silent");

    redis_server_stop(a);
    t.closed[0] = '\0';
    ck_assert_int_eq(capture_start(t.capture, NULL, 0), ERR_OK);
    TURN_UNTIL(t.closed[0] != '\0');
    ck_assert_str_eq(t.closed, "connect: Connection refused");
    tape_close(&t);
}
END_TEST

/* Stopped from within an event, it tells nothing more, and can be started again. */
START_TEST(stopped_within_events)
{
    struct redis_server *a =
        redis_server_start((const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
    struct tape t;

    fill(a, "before", 2);
    tape_open(&t, a);
    for (const char *event = "fres"; *event != '\0'; event++) {
        t.stop_at = *event;
        t.full_resyncs = t.rdb_ends = 0;
        ck_assert_int_eq(capture_start(t.capture, NULL, 0), ERR_OK);
        if (*event == 's') {
            TURN_UNTIL(t.rdb_ends == 1);
            redis_server_do(a, "SET key value");
        }
        TURN_UNTIL(*event == 'f'   ? t.full_resyncs == 1
                   : *event == 'r' ? t.rdb.len > 0
                   : *event == 'e' ? t.rdb_ends == 1
                                   : t.stream.len > 0);
        size_t size = t.rdb.len + t.stream.len;
        turn_for(50);
        ck_assert_uint_eq(t.rdb.len + t.stream.len, size);
        ck_assert_uint_eq(t.rdb_ends, *event == 'e' || *event == 's');
        ck_assert_str_eq(t.closed, "");
    }
    t.stop_at = 0;
    t.full_resyncs = t.rdb_ends = 0;
    tape_start(&t);
    tape_close(&t);
    redis_server_stop(a);
}
END_TEST

/* Paused, nothing comes and nothing times out; afterwards everything does. */
START_TEST(paused)
{
    struct redis_server *a =
        redis_server_start((const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
    struct tape t;

    tape_open_as(&t, a, NULL, 300);
    tape_start(&t);
    write_some(a, 10);
    TURN_UNTIL(tape_offset(&t) >= role_offset(a));
    size_t before = t.stream.len;
    capture_pause(t.capture, true);
    write_some(a, 10);
    turn_for(500);
    ck_assert_uint_eq(t.stream.len, before);
    ck_assert_str_eq(t.closed, "");
    capture_pause(t.capture, false);
    TURN_UNTIL(tape_offset(&t) >= role_offset(a));
    tape_close(&t);
    redis_server_stop(a);
}
END_TEST

/* --- feed --------------------------------------------------------------------------------------
 */

/* The master of a server, out of a tape. */
struct source {
    struct feed *feed;
    const struct tape *tape;
    bool serving;
    size_t rdb_sent;      /* bytes of tape->rdb */
    uint64_t stream_sent; /* up to this offset */
    unsigned asked, closes;
    struct replid asked_replid;
    uint64_t asked_offset, acked;
    char closed[256];
    char drop_at; /* the event that drops the replica: p, a; or 0 */
};

/* Sends what there is room for, up to offset `end`. */
static void source_send(struct source *s, uint64_t end)
{
    const struct tape *t = s->tape;

    while (s->serving && feed_room(s->feed) > 0) {
        size_t room = feed_room(s->feed);
        if (s->rdb_sent < t->rdb.len) {
            size_t size = t->rdb.len - s->rdb_sent < room ? t->rdb.len - s->rdb_sent : room;
            feed_write(s->feed, buf_head(&t->rdb) + s->rdb_sent, size);
            s->rdb_sent += size;
        } else if (s->stream_sent < end) {
            size_t size = end - s->stream_sent < room ? (size_t)(end - s->stream_sent) : room;
            feed_write(s->feed, buf_head(&t->stream) + (s->stream_sent - t->start), size);
            s->stream_sent += size;
        } else {
            return;
        }
    }
}

static void on_psync(void *ctx, const struct replid *replid, uint64_t offset)
{
    struct source *s = ctx;

    s->closed[0] = '\0';
    s->asked++;
    s->asked_replid = replid != NULL ? *replid : (struct replid){.hex = "?"};
    s->asked_offset = offset;
    if (s->drop_at == 'p') {
        s->drop_at = 0;
        feed_drop(s->feed, "a test");
    }
}

static void on_acked(void *ctx, uint64_t offset)
{
    struct source *s = ctx;
    s->acked = offset;
    if (s->drop_at == 'a') {
        s->drop_at = 0;
        s->serving = false;
        feed_drop(s->feed, "a test");
    }
}

static void on_room(void *ctx)
{
    struct source *s = ctx;
    source_send(s, tape_offset(s->tape));
}

static void on_feed_closed(void *ctx, const char *reason)
{
    struct source *s = ctx;
    s->serving = false;
    s->closes++;
    snprintf(s->closed, sizeof s->closed, "%s", reason);
}

static const struct feed_events feed_events = {
    .psync = on_psync, .acked = on_acked, .room = on_room, .closed = on_feed_closed};

static void source_open_with(struct source *s, const struct tape *t, uint32_t timeout_ms)
{
    struct feed_config config = {.bind_host = "127.0.0.1",
                                 .secret = SECRET,
                                 .timeout_ms = timeout_ms,
                                 .ping_ms = 200,
                                 .queue_max_bytes = 100 * 1000};
    int err;

    *s = (struct source){.tape = t};
    s->feed = feed_create(base, &config, &feed_events, s, &err);
    ck_assert_msg(s->feed != NULL, "feed_create: %s", err_text(err));
}

static void source_open(struct source *s, const struct tape *t)
{
    source_open_with(s, t, STEP_MS);
}

static void source_full_resync(struct source *s)
{
    feed_full_resync(s->feed, &s->tape->replid, s->tape->start, s->tape->rdb.len);
    s->serving = true;
    s->rdb_sent = 0;
    s->stream_sent = s->tape->start;
    source_send(s, tape_offset(s->tape));
}

static void source_continue(struct source *s)
{
    feed_continue(s->feed, &s->tape->replid);
    s->serving = true;
    s->rdb_sent = s->tape->rdb.len;
    s->stream_sent = s->asked_offset;
    source_send(s, tape_offset(s->tape));
}

/* Lets a replica wait for longer than it would without a sign of life. */
static void keep_waiting(struct redis_server *replica)
{
    redis_server_do(replica, "CONFIG SET repl-timeout 1");
    turn_for(3500); /* Redis looks once a second, and counts whole ones */
    redis_server_do(replica, "CONFIG SET repl-timeout 60");
}

static void replica_of(struct redis_server *b, const struct source *s, const char *secret)
{
    redis_server_do(b, "CONFIG SET masterauth %s", secret);
    redis_server_do(b, "REPLICAOF 127.0.0.1 %d", feed_port(s->feed));
}

/* A server with data, captured, and a second one that was rebuilt from that. */
struct pair {
    struct redis_server *a, *b;
    struct tape tape;
    struct source source;
};

static void pair_open_with(struct pair *p, const char *const b_args[], uint32_t timeout_ms)
{
    p->a = redis_server_start(
        (const char *const[]){"--repl-diskless-sync-delay", "0", "--rdbcompression", "no", NULL});
    p->b = redis_server_start(b_args);
    fill(p->a, "before", 3);
    tape_open(&p->tape, p->a);
    tape_start(&p->tape);
    write_some(p->a, 200);
    TURN_UNTIL(tape_offset(&p->tape) >= role_offset(p->a));
    source_open_with(&p->source, &p->tape, timeout_ms);
    replica_of(p->b, &p->source, SECRET);
    TURN_UNTIL(p->source.asked == 1);
    source_full_resync(&p->source);
    TURN_UNTIL(role_is(p->b, "connected") && role_offset(p->b) >= tape_offset(&p->tape));
}

static void pair_open(struct pair *p, const char *const b_args[])
{
    pair_open_with(p, b_args, STEP_MS);
}

static void pair_close(struct pair *p)
{
    feed_destroy(p->source.feed);
    tape_close(&p->tape);
    redis_server_stop(p->a);
    redis_server_stop(p->b);
}

static void check_info_replid(struct redis_server *s, const struct replid *want)
{
    char line[80];
    redisReply *r = redis_server_ask(s, "INFO replication");
    snprintf(line, sizeof line, "master_replid:%.40s\r\n", want->hex);
    ck_assert_ptr_nonnull(strstr(r->str, line));
    freeReplyObject(r);
}

/* A server rebuilt from RDB and stream holds the same data at the same offset, under the same
 * replid, and goes on following. */
static void check_rebuild(const char *const b_args[])
{
    struct pair p;

    pair_open(&p, b_args);
    check_same_data(p.a, p.b);
    ck_assert_uint_eq(role_offset(p.b), role_offset(p.a));
    check_info_replid(p.b, &p.tape.replid);
    for (int i = 0; i < 5; i++) {
        write_some(p.a, 50);
        TURN_UNTIL(tape_offset(&p.tape) >= role_offset(p.a));
        source_send(&p.source, tape_offset(&p.tape));
        TURN_UNTIL(role_offset(p.b) >= tape_offset(&p.tape));
        check_same_data(p.a, p.b);
    }
    TURN_UNTIL(p.source.acked == tape_offset(&p.tape));
    ck_assert_uint_eq(p.source.closes, 0);
    pair_close(&p);
}

START_TEST(rebuilt)
{
    check_rebuild(NULL);
}
END_TEST

START_TEST(rebuilt_diskless)
{
    check_rebuild((const char *const[]){"--repl-diskless-load", "on-empty-db", NULL});
}
END_TEST

/* Promotion: the offset stays, the replid is new, the old one still counts, and the stream begins
 * with a SELECT. */
START_TEST(promoted)
{
    struct pair p;
    struct tape after;

    pair_open(&p, NULL);
    uint64_t end = tape_offset(&p.tape);
    redis_server_do(p.b, "REPLICAOF NO ONE");
    TURN_UNTIL(p.source.closes == 1);
    ck_assert_uint_eq(role_offset(p.b), end);
    tape_open(&after, p.b);
    after.start = end;
    ck_assert_int_eq(capture_start(after.capture, &p.tape.replid, end), ERR_OK);
    TURN_UNTIL(after.resumes == 1);
    ck_assert(memcmp(after.replid.hex, p.tape.replid.hex, sizeof after.replid.hex) != 0);
    check_info_replid(p.b, &after.replid);
    redis_server_do(p.b, "SET new 1");
    TURN_UNTIL(tape_offset(&after) >= role_offset(p.b));
    ck_assert_uint_eq(tape_offset(&after), role_offset(p.b));
    ck_assert(tape_has(&after, 0, "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nnew"));
    tape_close(&after);
    pair_close(&p);
}
END_TEST

/* A replica that was dropped comes back by itself, asks for the very next byte, and goes on. */
START_TEST(reconnected)
{
    struct pair p;

    pair_open(&p, NULL);
    uint64_t end = tape_offset(&p.tape);
    write_some(p.a, 100);
    TURN_UNTIL(tape_offset(&p.tape) >= role_offset(p.a));
    uint64_t middle = end + (tape_offset(&p.tape) - end) / 2;
    source_send(&p.source, middle); /* as likely as not within a command */
    turn_for(50);
    p.source.serving = false;
    feed_drop(p.source.feed, "a test");
    ck_assert(!feed_connected(p.source.feed));
    TURN_UNTIL(p.source.asked == 2);
    ck_assert_uint_eq(p.source.asked_offset, info_offset(p.b));
    ck_assert_uint_gt(p.source.asked_offset, end);
    ck_assert_uint_le(p.source.asked_offset, middle);
    ck_assert(memcmp(p.source.asked_replid.hex, p.tape.replid.hex, 40) == 0);
    keep_waiting(p.b); /* the answer takes its time */
    ck_assert(feed_connected(p.source.feed));
    ck_assert_uint_eq(p.source.closes, 0);
    source_continue(&p.source);
    TURN_UNTIL(role_offset(p.b) >= tape_offset(&p.tape));
    check_same_data(p.a, p.b);
    ck_assert_uint_eq(p.source.closes, 0);
    pair_close(&p);
}
END_TEST

/* Dropped from within an event, the replica is gone, and comes back. */
START_TEST(dropped_within_events)
{
    struct pair p;

    pair_open(&p, NULL);
    p.source.drop_at = 'a';
    TURN_UNTIL(p.source.asked == 2);
    source_continue(&p.source);
    TURN_UNTIL(role_is(p.b, "connected"));
    p.source.drop_at = 'p';
    redis_server_do(p.b, "CLIENT KILL TYPE master");
    TURN_UNTIL(p.source.asked == 4);
    ck_assert_uint_eq(p.source.closes, 1);
    source_continue(&p.source);
    TURN_UNTIL(role_is(p.b, "connected"));
    pair_close(&p);
}
END_TEST

/* Wrong secret, no secret: refused, however often Redis tries, until it has the right one. */
START_TEST(wrong_secret)
{
    struct redis_server *b = redis_server_start(NULL);
    struct tape nothing = {.rdb = BUF_INIT, .stream = BUF_INIT};
    struct source s;

    source_open(&s, &nothing);
    replica_of(b, &s, "wrong");
    turn_for(1500);
    replica_of(b, &s, "");
    turn_for(1500);
    ck_assert_uint_eq(s.asked + s.closes, 0);
    ck_assert(!role_is(b, "connected"));
    replica_of(b, &s, SECRET);
    TURN_UNTIL(s.asked == 1);
    feed_destroy(s.feed);
    redis_server_stop(b);
}
END_TEST

/* A newer replica takes the place of the older one, which is told. */
START_TEST(newer_replaces_older)
{
    struct pair p;
    struct redis_server *c = redis_server_start(NULL);

    pair_open(&p, NULL);
    kill(redis_server_pid(p.b), SIGSTOP); /* else it comes back in turn */
    replica_of(c, &p.source, SECRET);
    TURN_UNTIL(p.source.asked == 2);
    ck_assert_uint_eq(p.source.closes, 1);
    ck_assert(feed_connected(p.source.feed));
    feed_full_resync(p.source.feed, &p.tape.replid, p.tape.start, p.tape.rdb.len);
    keep_waiting(c); /* the RDB takes its time */
    ck_assert_uint_eq(p.source.closes, 1);
    p.source.serving = true;
    p.source.rdb_sent = 0;
    p.source.stream_sent = p.tape.start;
    source_send(&p.source, tape_offset(&p.tape));
    TURN_UNTIL(role_is(c, "connected") && role_offset(c) >= tape_offset(&p.tape));
    check_same_data(p.a, c);
    pair_close(&p);
    redis_server_stop(c);
}
END_TEST

static int stranger_open(const struct source *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)feed_port(s->feed)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Whether the other side has ended the connection. */
static bool hung_up(int fd)
{
    char bytes[4096];
    ssize_t n;

    do {
        n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    } while (n > 0);
    return n == 0 || errno == ECONNRESET;
}

/* Strangers with garbage, halves of requests, no secret and nothing at all are sent away, and the
 * replica notices none of them. */
START_TEST(strangers_do_no_harm)
{
    enum { COUNT = 200 };
    static const char *const words[] = {"", "GET / HTTP/1.1\r\n", "*3\r\n$5\r\nPSY",
                                        "*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n",
                                        "*2\r\n$4\r\nAUTH\r\n$5\r\nwrong\r\n"};
    struct pair p;
    int fds[COUNT], gone = 0;

    pair_open(&p, NULL);
    for (int i = 0; i < COUNT; i++) {
        const char *word = words[i % (int)(sizeof words / sizeof *words)];
        fds[i] = stranger_open(&p.source);
        (void)!send(fds[i], word, strlen(word), MSG_NOSIGNAL);
        turn();
    }
    write_some(p.a, 10);
    TURN_UNTIL(tape_offset(&p.tape) >= role_offset(p.a));
    source_send(&p.source, tape_offset(&p.tape));
    TURN_UNTIL(role_offset(p.b) >= tape_offset(&p.tape));
    for (int i = 0; i < COUNT; i++) {
        gone += hung_up(fds[i]);
        close(fds[i]);
    }
    ck_assert_int_ge(gone, COUNT - 16);
    ck_assert_uint_eq(p.source.asked, 1);
    ck_assert_uint_eq(p.source.closes, 0);
    pair_close(&p);
}
END_TEST

/* Who says nothing, or half a request, has timeout_ms for the handshake. */
START_TEST(handshake_in_time)
{
    struct tape nothing = {.rdb = BUF_INIT, .stream = BUF_INIT};
    struct source s;
    int fds[2];

    source_open_with(&s, &nothing, 300);
    for (int i = 0; i < 2; i++) {
        fds[i] = stranger_open(&s);
    }
    for (int i = 0; i < 20; i++) {
        (void)!send(fds[1], "*", i == 0, MSG_NOSIGNAL);
        turn_for(5);
        ck_assert(!hung_up(fds[0]) && !hung_up(fds[1]));
    }
    TURN_UNTIL(hung_up(fds[0]) && hung_up(fds[1]));
    close(fds[0]);
    close(fds[1]);
    feed_destroy(s.feed);
}
END_TEST

/* A replica that has frozen is noticed, and comes back by itself when it thaws. */
START_TEST(frozen_replica)
{
    struct pair p;

    pair_open_with(&p, NULL, 1500);
    TURN_UNTIL(p.source.acked == tape_offset(&p.tape));
    kill(redis_server_pid(p.b), SIGSTOP);
    TURN_UNTIL(p.source.closes == 1);
    ck_assert_str_eq(p.source.closed, "the replica has gone silent");
    kill(redis_server_pid(p.b), SIGCONT);
    TURN_UNTIL(p.source.asked == 2);
    source_continue(&p.source);
    TURN_UNTIL(role_offset(p.b) >= tape_offset(&p.tape));
    pair_close(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("psync_redis");
    TCase *capture = tcase_create("capture"), *feed = tcase_create("feed");

    tcase_add_unchecked_fixture(capture, redis_servers_setup, redis_servers_teardown);
    tcase_add_checked_fixture(capture, loop_setup, loop_teardown);
    tcase_set_timeout(capture, 60);
    tcase_add_test(capture, full_resync_diskless);
    tcase_add_test(capture, full_resync_by_file);
    tcase_add_test(capture, acknowledged_is_committed);
    tcase_add_test(capture, resumed_after_a_drop);
    tcase_add_test(capture, closed_with_a_reason);
    tcase_add_test(capture, stopped_within_events);
    tcase_add_test(capture, paused);
    suite_add_tcase(suite, capture);
    tcase_add_unchecked_fixture(feed, redis_servers_setup, redis_servers_teardown);
    tcase_add_checked_fixture(feed, loop_setup, loop_teardown);
    tcase_set_timeout(feed, 60);
    tcase_add_test(feed, rebuilt);
    tcase_add_test(feed, rebuilt_diskless);
    tcase_add_test(feed, promoted);
    tcase_add_test(feed, reconnected);
    tcase_add_test(feed, dropped_within_events);
    tcase_add_test(feed, wrong_secret);
    tcase_add_test(feed, newer_replaces_older);
    tcase_add_test(feed, strangers_do_no_harm);
    tcase_add_test(feed, handshake_in_time);
    tcase_add_test(feed, frozen_replica);
    suite_add_tcase(suite, feed);
    return unit_main(suite);
}
