/* The rebuild with all its parts played here: what it asks of whom in which order, and that every
 * failure is told once and leaves it idle, with nothing under way. */
#include "proxy/rebuild.h"

#include "common/clock.h"
#include "common/mem.h"

#include "tests/lib/unit.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEFORE   "0000000000000000000000000000000000000000"
#define REPLID   "0123456789abcdef0123456789abcdef01234567"
#define END      2000
#define STARTED  "CONFIG SET masterauth secret|CONFIG SET masteruser |REPLICAOF 127.0.0.1 7777|"
#define PROMOTED "REPLICAOF NO ONE|CONFIG SET masterauth |"

enum { CALLS_MAX = 64 };

static struct {
    struct rebuild *rebuild;
    struct history history;
    struct buf log; /* what it asked for and told, in order, "|" behind each */
    bool up, connected;
    size_t room;
    struct {
        control_reply_fn *fn;
        void *ctx;
    } calls[CALLS_MAX]; /* commands that wait for their answer */
    size_t call_first, call_count;
    struct reader_range range;
} w;

/* ---- the parts ---- */

bool control_is_up(const struct control *c)
{
    (void)c;
    return w.up;
}

bool control_send(struct control *c, control_reply_fn *fn, void *ctx, const char *words, ...)
{
    va_list args;
    const char *hole = strstr(words, "%s");

    (void)c;
    if (!w.up) {
        return false;
    }
    va_start(args, words);
    buf_append(&w.log, words, hole != NULL ? (size_t)(hole - words) : strlen(words));
    if (hole != NULL) {
        buf_append_str(&w.log, va_arg(args, const char *));
    }
    va_end(args);
    buf_append_str(&w.log, "|");
    ck_assert_uint_lt(w.call_count, CALLS_MAX);
    w.calls[w.call_count].fn = fn;
    w.calls[w.call_count++].ctx = ctx;
    return true;
}

int feed_port(const struct feed *f)
{
    (void)f;
    return 7777;
}

bool feed_connected(const struct feed *f)
{
    (void)f;
    return w.connected;
}

void feed_drop(struct feed *f, const char *reason)
{
    (void)f;
    (void)reason;
    buf_append_str(&w.log, "drop|");
}

void feed_full_resync(struct feed *f, const struct replid *replid, uint64_t offset,
                      uint64_t rdb_size_bytes)
{
    (void)f;
    ck_assert_int_eq(memcmp(replid->hex, REPLID, sizeof replid->hex), 0);
    buf_printf(&w.log, "resync %llu %llu|", (unsigned long long)offset,
               (unsigned long long)rdb_size_bytes);
}

size_t feed_room(const struct feed *f)
{
    (void)f;
    return w.room;
}

void feed_write(struct feed *f, const void *bytes, size_t size)
{
    (void)f;
    buf_append_str(&w.log, "write ");
    buf_append(&w.log, bytes, size);
    buf_append_str(&w.log, "|");
}

void reader_start(struct reader *r, uint64_t now_ns, const struct reader_range *range)
{
    (void)r;
    (void)now_ns;
    buf_append_str(&w.log, "read|");
    w.range = *range;
}

void reader_room(struct reader *r, uint64_t now_ns, size_t bytes)
{
    (void)r;
    (void)now_ns;
    buf_printf(&w.log, "reader room %zu|", bytes);
}

void reader_stop(struct reader *r)
{
    (void)r;
    buf_append_str(&w.log, "reader stop|");
}

void snapship_download(struct snapship *s, uint64_t now_ns, struct term term, uint64_t limit,
                       unsigned node)
{
    (void)s;
    (void)now_ns;
    buf_printf(&w.log, "download %llu %llu %u|", (unsigned long long)term.n,
               (unsigned long long)limit, node);
}

void snapship_room(struct snapship *s, uint64_t now_ns, size_t bytes)
{
    (void)s;
    (void)now_ns;
    buf_printf(&w.log, "ship room %zu|", bytes);
}

void snapship_stop(struct snapship *s)
{
    (void)s;
    buf_append_str(&w.log, "ship stop|");
}

/* ---- the owner ---- */

static void says_done(void *ctx)
{
    (void)ctx;
    ck_assert(!rebuild_active(w.rebuild));
    buf_append_str(&w.log, "done|");
}

static void says_failed(void *ctx, const char *why)
{
    (void)ctx;
    ck_assert(!rebuild_active(w.rebuild));
    buf_printf(&w.log, "failed:%s|", why);
}

static const struct rebuild_events owner_events = {.done = says_done, .failed = says_failed};

static void expect(const char *log)
{
    buf_append(&w.log, "", 1);
    ck_assert_str_eq((const char *)buf_head(&w.log), log);
    buf_clear(&w.log);
}

static void setup(void)
{
    struct rebuild_parts parts = {.secret = "secret"};
    struct replid replid;

    memset(&w, 0, sizeof w);
    w.up = true;
    w.room = 100;
    memcpy(replid.hex, BEFORE, sizeof replid.hex);
    ck_assert_int_eq(history_append(&w.history, (struct log_term){1}, 0, &replid), ERR_OK);
    memcpy(replid.hex, REPLID, sizeof replid.hex);
    ck_assert_int_eq(history_append(&w.history, (struct log_term){3}, 1500, &replid), ERR_OK);
    w.rebuild = rebuild_create(&parts, &owner_events, NULL);
}

static void teardown(void)
{
    rebuild_destroy(w.rebuild);
    buf_release(&w.log);
}

/* ---- steps ---- */

/* The oldest command that waits gets this answer; NULL: its connection has ended. */
static void answer(const struct redisReply *reply)
{
    ck_assert_uint_lt(w.call_first, w.call_count);
    size_t i = w.call_first++;
    w.calls[i].fn(w.calls[i].ctx, reply);
    if (w.call_first == w.call_count) {
        w.call_first = w.call_count = 0;
    }
}

static void answer_all_ok(void)
{
    struct redisReply ok = {.type = REDIS_REPLY_STATUS, .str = (char *)(uintptr_t) "OK", .len = 2};

    while (w.call_count > 0) {
        answer(&ok);
    }
}

static void answer_role(bool master, long long offset)
{
    struct redisReply text = {.type = REDIS_REPLY_STRING,
                              .str = (char *)(uintptr_t)(master ? "master" : "slave")};
    struct redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = offset};
    struct redisReply *of_master[] = {&text, &number, &text};
    struct redisReply *of_slave[] = {&text, &text, &number, &text, &number};
    struct redisReply role = {.type = REDIS_REPLY_ARRAY,
                              .elements = master ? 3 : 5,
                              .element = master ? of_master : of_slave};
    answer(&role);
}

static void start(void)
{
    struct proposer_donor donor = {
        .node = 2, .end = {.term = {3}, .offset = END}, .history = &w.history};
    rebuild_start(w.rebuild, 1000, (struct term){5}, &donor);
}

static const struct snapshot_info snapshot = {
    .offset = 1000, .size_bytes = 10, .chain_crc = 4711, .term = {1}};

/* Everything up to that step: 1 started, 2 PSYNC, 3 found, 4 snapshot through, 5 log through, 6
 * applied. */
static void go_to(int step)
{
    start();
    answer_all_ok();
    if (step >= 2) {
        rebuild_psync(w.rebuild, 1001);
    }
    if (step >= 3) {
        rebuild_snapshot_found(w.rebuild, 1002, &snapshot);
    }
    if (step >= 4) {
        rebuild_snapshot_end(w.rebuild, 1003, true, NULL);
    }
    if (step >= 5) {
        rebuild_log_end(w.rebuild, 1004, true, NULL);
    }
    if (step >= 6) {
        rebuild_tick(w.rebuild, 1005);
        answer_role(false, END);
        answer_all_ok();
    }
    buf_clear(&w.log);
}

/* The way to success, step by step. */
START_TEST(test_success)
{
    uint64_t done, total;

    start();
    expect(STARTED);
    answer_all_ok();
    ck_assert_uint_eq(rebuild_next_tick_ns(w.rebuild), UINT64_MAX);
    rebuild_psync(w.rebuild, 1001);
    expect("download 5 2000 2|");
    rebuild_snapshot_found(w.rebuild, 1002, &snapshot);
    expect("resync 1000 10|ship room 100|");
    rebuild_bytes(w.rebuild, "REDIS", 5);
    w.room = 50;
    rebuild_feed_room(w.rebuild, 1003);
    rebuild_bytes(w.rebuild, "00112", 5);
    expect("write REDIS|ship room 50|write 00112|");
    rebuild_snapshot_end(w.rebuild, 1004, true, NULL);
    expect("read|reader room 50|");
    ck_assert(w.range.from == 1000 && w.range.to == END && w.range.term.n == 5);
    ck_assert(w.range.chain_known && w.range.chain_crc == 4711 && w.range.node == 2);
    ck_assert_uint_eq(w.range.history->count, 2);
    rebuild_bytes(w.rebuild, "log", 3);
    rebuild_feed_room(w.rebuild, 1005);
    expect("write log|reader room 50|");
    rebuild_progress(w.rebuild, &done, &total);
    ck_assert(done == 13 && total == 1010);
    rebuild_log_end(w.rebuild, 1006, true, NULL);
    ck_assert_uint_eq(rebuild_next_tick_ns(w.rebuild), 1006);
    rebuild_tick(w.rebuild, 1006);
    rebuild_tick(w.rebuild, 1006 + 100 * CLOCK_NS_PER_MS); /* one question at a time */
    expect("ROLE|");
    answer_role(false, -1); /* not connected yet */
    rebuild_tick(w.rebuild, 1006 + 200 * CLOCK_NS_PER_MS);
    answer_role(false, END - 1); /* not all of it yet */
    rebuild_tick(w.rebuild, 1006 + 300 * CLOCK_NS_PER_MS);
    expect("ROLE|ROLE|");
    answer_role(false, END);
    expect(PROMOTED);
    rebuild_feed_closed(w.rebuild, "Redis has left its master"); /* as it should */
    answer_all_ok();
    rebuild_tick(w.rebuild, 1006 + 400 * CLOCK_NS_PER_MS);
    answer_role(false, END); /* not yet */
    rebuild_tick(w.rebuild, 1006 + 500 * CLOCK_NS_PER_MS);
    answer_role(true, END);
    expect("ROLE|ROLE|done|");
    ck_assert(!rebuild_active(w.rebuild));
    ck_assert_uint_eq(rebuild_next_tick_ns(w.rebuild), UINT64_MAX);
}
END_TEST

/* A snapshot that stands at the log's end needs no log. */
START_TEST(test_no_log)
{
    struct snapshot_info at_end = snapshot;

    at_end.offset = END;
    go_to(2);
    rebuild_snapshot_found(w.rebuild, 1, &at_end);
    rebuild_snapshot_end(w.rebuild, 2, true, NULL);
    expect("resync 2000 10|ship room 100|");
    rebuild_tick(w.rebuild, 2);
    expect("ROLE|");
    answer_role(false, END);
    expect(PROMOTED);
}
END_TEST

/* Each command that Redis refuses, the ship, the reader, the control connection at every step, a
 * foreign write while Redis was promoted: told once, idle then, and what comes late means nothing.
 */
START_TEST(test_failures)
{
    struct redisReply error = {
        .type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "ERR no", .len = 6};

    start();
    expect(STARTED);
    for (int i = 0; i < 3; i++) {
        answer(&error);
    }
    expect("failed:ERR no|");
    go_to(3);
    rebuild_snapshot_end(w.rebuild, 1, false, "no snapshot");
    expect("ship stop|failed:no snapshot|");
    rebuild_snapshot_end(w.rebuild, 1, false, "no snapshot");
    go_to(4);
    rebuild_log_end(w.rebuild, 1, false, "no log");
    expect("reader stop|failed:no log|");
    rebuild_log_end(w.rebuild, 1, true, NULL);
    go_to(6);
    rebuild_tick(w.rebuild, CLOCK_NS_PER_S);
    answer_role(true, END + 1);
    expect("ROLE|failed:Redis was written to while it was rebuilt|");
    static const char *const stops[] = {"", "ship stop|", "ship stop|", "reader stop|", "", ""};
    for (int step = 1; step <= 6; step++) {
        char text[128];
        go_to(step);
        w.up = false;
        rebuild_tick(w.rebuild, CLOCK_NS_PER_S);
        (void)snprintf(text, sizeof text, "%sfailed:the control connection to Redis is down|",
                       stops[step - 1]);
        expect(text);
        rebuild_tick(w.rebuild, 2 * CLOCK_NS_PER_S);
        rebuild_bytes(w.rebuild, "x", 1);
        rebuild_snapshot_found(w.rebuild, 1, &snapshot);
        rebuild_snapshot_end(w.rebuild, 1, true, NULL);
        rebuild_log_end(w.rebuild, 1, true, NULL);
        rebuild_feed_room(w.rebuild, 1);
        rebuild_feed_closed(w.rebuild, "late");
        expect("");
        rebuild_psync(w.rebuild, 1);
        expect("drop|");
        w.up = true;
    }
}
END_TEST

/* Redis leaves and comes back at every step: it is served from the beginning again, and that may
 * still succeed. */
START_TEST(test_redis_returns)
{
    static const char *const stops[] = {"ship stop|", "ship stop|", "reader stop|", ""};

    for (int step = 2; step <= 5; step++) {
        go_to(step);
        rebuild_feed_closed(w.rebuild, "a test");
        expect(stops[step - 2]);
        ck_assert(rebuild_active(w.rebuild));
        rebuild_bytes(w.rebuild, "late", 4);
        rebuild_snapshot_end(w.rebuild, 1, true, NULL);
        rebuild_log_end(w.rebuild, 1, true, NULL);
        expect("");
        rebuild_psync(w.rebuild, 2);
        expect("download 5 2000 2|");
        rebuild_psync(w.rebuild, 3); /* another connection of Redis */
        expect("ship stop|download 5 2000 2|");
        rebuild_stop(w.rebuild);
        buf_clear(&w.log);
    }
}
END_TEST

/* A rebuild that starts while Redis is still at the feed from the one before drops it there; one
 * that can't tell Redis fails at the next tick. */
START_TEST(test_start_again)
{
    go_to(3);
    w.connected = true;
    start();
    expect("ship stop|" STARTED "drop|");
    answer_all_ok();
    rebuild_stop(w.rebuild);
    w.up = false;
    start();
    expect("");
    rebuild_tick(w.rebuild, 1);
    expect("failed:the control connection to Redis is down|");
}
END_TEST

/* A Redis that does not come to the feed, at first or after it has left (somebody else told it
 * where to go), is told again: the rebuild fails, and its owner starts another. */
START_TEST(test_redis_stays_away)
{
    for (int step = 1; step <= 2; step++) {
        go_to(step);
        if (step == 2) {
            rebuild_feed_closed(w.rebuild, "a test");
            expect("ship stop|");
        }
        uint64_t next_ns = rebuild_next_tick_ns(w.rebuild);
        ck_assert_uint_eq(next_ns, UINT64_MAX); /* the owner ticks now and then anyway */
        rebuild_tick(w.rebuild, 100 * CLOCK_NS_PER_S);
        rebuild_tick(w.rebuild, 129 * CLOCK_NS_PER_S);
        expect("");
        rebuild_tick(w.rebuild, 130 * CLOCK_NS_PER_S);
        expect("failed:Redis does not come to the feed port|");
    }
    go_to(1);
    rebuild_tick(w.rebuild, 200 * CLOCK_NS_PER_S);
    rebuild_psync(w.rebuild, 229 * CLOCK_NS_PER_S);
    rebuild_tick(w.rebuild, 300 * CLOCK_NS_PER_S);
    expect("download 5 2000 2|");
}
END_TEST

/* ROLE's answers that mean nothing: no answer, an error, something else. It asks again. */
START_TEST(test_role_answers)
{
    struct redisReply error = {
        .type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "ERR no", .len = 6};
    struct redisReply empty = {.type = REDIS_REPLY_ARRAY};
    struct redisReply integer = {.type = REDIS_REPLY_INTEGER, .integer = END};
    struct redisReply *elements[] = {&integer, &integer, &integer, &integer, &integer};
    struct redisReply numbers = {.type = REDIS_REPLY_ARRAY, .elements = 5, .element = elements};
    const struct redisReply *answers[] = {NULL, &error, &empty, &numbers};

    go_to(5);
    for (size_t i = 0; i < 4; i++) {
        rebuild_tick(w.rebuild, (i + 1) * CLOCK_NS_PER_S);
        expect("ROLE|");
        answer(answers[i]);
        expect("");
    }
    rebuild_tick(w.rebuild, 10 * CLOCK_NS_PER_S);
    answer_role(true, END); /* a master already, before it was told */
    expect("ROLE|failed:somebody else has made Redis a master|");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rebuild");
    TCase *rebuild = tcase_create("rebuild");

    tcase_add_checked_fixture(rebuild, setup, teardown);
    tcase_add_test(rebuild, test_success);
    tcase_add_test(rebuild, test_no_log);
    tcase_add_test(rebuild, test_failures);
    tcase_add_test(rebuild, test_redis_returns);
    tcase_add_test(rebuild, test_start_again);
    tcase_add_test(rebuild, test_redis_stays_away);
    tcase_add_test(rebuild, test_role_answers);
    suite_add_tcase(suite, rebuild);
    return unit_main(suite);
}
