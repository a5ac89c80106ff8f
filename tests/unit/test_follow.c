/* The follower with all its parts played here: what it asks of whom in which order, what it answers
 * to whatever Redis asks for, and that every failure is told once and leaves it idle. */
#include "proxy/follow/follow.h"

#include "common/clock.h"
#include "common/mem.h"

#include "tests/lib/unit.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END 2000
#define STARTED                                                                                    \
    "CONFIG SET masterauth secret|CONFIG SET masteruser |CONFIG SET replica-read-only yes|"        \
    "REPLICAOF 127.0.0.1 7777|"
#define MS CLOCK_NS_PER_MS

enum { CALLS_MAX = 64 };

static struct {
    struct follow *follow;
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
    struct replid label; /* announced */
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
    w.label = *replid;
    buf_printf(&w.log, "resync %llu %llu|", (unsigned long long)offset,
               (unsigned long long)rdb_size_bytes);
}

void feed_continue(struct feed *f, const struct replid *replid)
{
    (void)f;
    w.label = *replid;
    buf_append_str(&w.log, "continue|");
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

void reader_extend(struct reader *r, uint64_t now_ns, uint64_t to)
{
    (void)r;
    (void)now_ns;
    buf_printf(&w.log, "extend %llu|", (unsigned long long)to);
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

static void says_reached(void *ctx, const struct replid *replid)
{
    (void)ctx;
    ck_assert(!follow_active(w.follow));
    buf_printf(&w.log, "reached %.1s|", replid->hex);
}

static void says_failed(void *ctx, const char *why)
{
    (void)ctx;
    ck_assert(!follow_active(w.follow));
    buf_printf(&w.log, "failed:%s|", why);
}

static const struct follow_events owner_events = {.reached = says_reached, .failed = says_failed};

static void expect(const char *log)
{
    buf_append(&w.log, "", 1);
    ck_assert_str_eq((const char *)buf_head(&w.log), log);
    buf_clear(&w.log);
}

/* A replication id of that letter. */
static struct replid id(char letter)
{
    struct replid replid;

    memset(replid.hex, letter, sizeof replid.hex);
    return replid;
}

static void add_term(uint64_t term, uint64_t begin, char letter)
{
    struct replid replid = id(letter);

    ck_assert_int_eq(history_append(&w.history, (struct log_term){term}, begin, &replid), ERR_OK);
}

/* Term 1 ('a') began at 0, term 3 ('b') at 1500. */
static void setup(void)
{
    struct follow_parts parts = {.secret = "secret"};

    memset(&w, 0, sizeof w);
    w.up = true;
    w.room = 100;
    add_term(1, 0, 'a');
    add_term(3, 1500, 'b');
    w.follow = follow_create(&parts, &owner_events, NULL);
}

static void teardown(void)
{
    follow_destroy(w.follow);
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

/* ROLE: port 0 is a master. */
static void answer_role(int port, long long offset)
{
    struct redisReply text = {.type = REDIS_REPLY_STRING,
                              .str = (char *)(uintptr_t)(port == 0 ? "master" : "slave")};
    struct redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = offset};
    struct redisReply at = {.type = REDIS_REPLY_INTEGER, .integer = port};
    struct redisReply *of_master[] = {&text, &number, &text};
    struct redisReply *of_slave[] = {&text, &text, &at, &text, &number};
    struct redisReply role = {.type = REDIS_REPLY_ARRAY,
                              .elements = port == 0 ? 3 : 5,
                              .element = port == 0 ? of_master : of_slave};
    answer(&role);
}

/* INFO replication of a Redis that was promoted at `before_end`, with that id before. */
static void answer_info(const char *role, char before, long long before_end)
{
    char text[400];
    struct replid own = id('f'), old = id(before);
    struct redisReply reply = {.type = REDIS_REPLY_STRING, .str = text};

    reply.len = (size_t)snprintf(text, sizeof text,
                                 "# Replication\r\nrole:%s\r\nmaster_replid:%.40s\r\n"
                                 "master_replid2:%.40s\r\nmaster_repl_offset:%lld\r\n"
                                 "second_repl_offset:%lld\r\n",
                                 role, own.hex, old.hex, before_end + 30, before_end + 1);
    answer(&reply);
}

static void start(void)
{
    follow_start(w.follow, 1000);
    expect(STARTED);
    answer_all_ok();
}

static void psync(char letter, uint64_t offset)
{
    struct replid replid = id(letter);
    follow_psync(w.follow, 1001, letter != '?' ? &replid : NULL, offset);
}

static void see(uint64_t commit)
{
    follow_see(w.follow, 1002, &w.history, commit);
}

static void promote(void)
{
    struct proposer_donor donor = {
        .node = 2, .end = {.term = {3}, .offset = END}, .history = &w.history};
    follow_promote(w.follow, 1005, (struct term){5}, &donor);
}

static void bytes(size_t size)
{
    static const char text[5000];

    follow_bytes(w.follow, text, size);
    buf_clear(&w.log);
}

static const struct snapshot_info snapshot = {
    .offset = 1000, .size_bytes = 10, .chain_crc = 4711, .term = {1}};

/* Follows, all of it, up to 1800. */
static void follow_up(void)
{
    start();
    see(1800);
    psync('b', 1700);
    bytes(100);
    follow_log_end(w.follow, 1003, ERR_OK);
    expect("");
}

/* Where nothing was ever written, a Redis is as far as the leader at once. */
START_TEST(test_follows_from_the_very_beginning)
{
    struct follow_status status;

    start();
    see(0);
    psync('a', 0);
    follow_status(w.follow, 1003, &status);
    ck_assert(!status.steady);
    buf_clear(&w.log);
    follow_tick(w.follow, 1000 * MS);
    expect("ROLE|");
    answer_role(7777, 0);
    follow_status(w.follow, 1001 * MS, &status);
    ck_assert(status.steady && status.synced && status.applied == 0);
}
END_TEST

/* A Redis that holds a prefix goes on; more is read as more is committed; and lag is told. */
START_TEST(test_follows)
{
    struct follow_status status;

    start();
    psync('b', 1700); /* nothing is known of the log yet */
    expect("");
    see(1800);
    expect("continue|read|reader room 100|");
    ck_assert_int_eq(w.label.hex[0], 'b');
    ck_assert(w.range.from == 1700 && w.range.to == 1800 && w.range.term.n == 0);
    ck_assert(w.range.history == NULL && !w.range.chain_known);
    see(1900);
    expect("extend 1900|reader room 100|");
    bytes(200);
    follow_log_end(w.follow, 1003, ERR_OK);
    see(1950);
    expect("extend 1950|reader room 100|");
    bytes(50);
    follow_log_end(w.follow, 1003, ERR_OK);
    expect("");
    follow_tick(w.follow, 1000 * MS);
    expect("ROLE|");
    answer_role(7777, 1900);
    follow_status(w.follow, 1002 + 3 * MS, &status);
    ck_assert(status.steady && status.synced && status.applied == 1900);
    ck_assert(status.lag_bytes == 50 && status.lag_ms == 3);
    follow_tick(w.follow, 2000 * MS);
    answer_role(7777, 1950);
    follow_status(w.follow, 5000 * MS, &status);
    ck_assert(status.lag_bytes == 0 && status.lag_ms == 0);
}
END_TEST

/* Whatever else Redis holds is replaced: nothing, strange data, or bytes that the log has not. */
START_TEST(test_resyncs_what_is_no_prefix)
{
    static const struct {
        char letter;
        uint64_t offset;
    } cases[] = {{'?', 0}, {'x', 1700}, {'a', 1501}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start();
        see(1800);
        psync(cases[i].letter, cases[i].offset);
        expect("download 0 1800 0|");
        follow_stop(w.follow);
        expect("ship stop|");
    }
}
END_TEST

/* Redis is made anew: the snapshot goes through, and the log behind it, up to 1800, is fetched
 * meanwhile, but has no room yet. */
static void resync(void)
{
    start();
    see(1800);
    psync('?', 0);
    follow_snapshot_found(w.follow, 1002, &snapshot);
    expect("download 0 1800 0|resync 1000 10|read|ship room 100|");
}

/* The snapshot goes through the feed, then the log behind it, with progress. */
START_TEST(test_resync)
{
    struct follow_status status;

    resync();
    ck_assert_int_eq(w.label.hex[0], 'b');
    ck_assert(w.range.from == 1000 && w.range.to == 1800);
    ck_assert(w.range.chain_known && w.range.chain_crc == 4711);
    follow_bytes(w.follow, "REDIS", 5);
    w.room = 50;
    follow_feed_room(w.follow, 1003);
    follow_bytes(w.follow, "00112", 5);
    expect("write REDIS|ship room 50|write 00112|");
    follow_status(w.follow, 1004, &status);
    ck_assert(status.done_bytes == 10 && status.total_bytes == 810 && !status.steady);
    ck_assert(status.applied == 0 && status.needs == 1000);
    see(1810);
    expect("");
    follow_snapshot_end(w.follow, 1004, true, NULL);
    expect("extend 1810|reader room 50|");
    follow_feed_room(w.follow, 1005);
    expect("reader room 50|");
    bytes(810);
    follow_log_end(w.follow, 1006, ERR_OK);
    follow_tick(w.follow, 1000 * MS);
    see(1900); /* others write on: what counts is where the end was when Redis was asked */
    answer_role(7777, 1809);
    follow_status(w.follow, 1000 * MS, &status);
    ck_assert(status.steady && status.total_bytes == 810 && status.resyncs == 1);
    ck_assert(status.applied == 1809 && status.needs == 1809);
    follow_tick(w.follow, 1010 * MS); /* asked more often than usual */
    see(2000);
    answer_role(7777, 1900);
    follow_status(w.follow, 1010 * MS, &status);
    ck_assert(status.steady && status.total_bytes == 0 && status.resyncs == 1);
}
END_TEST

/* Log that was to be fetched while the RDB goes through, and can't be had: the RDB goes on, and the
 * log is asked for again behind it. An end without any log is none either. */
START_TEST(test_fetching_ahead_fails)
{
    static const struct snapshot_info newest = {.offset = 1800, .size_bytes = 5, .term = {3}};

    resync();
    follow_log_end(w.follow, 1003, ERR_CORRUPT);
    follow_bytes(w.follow, "REDIS00112", 10);
    expect("write REDIS00112|");
    follow_snapshot_end(w.follow, 1004, true, NULL);
    expect("read|reader room 100|");
    ck_assert(w.range.from == 1000 && w.range.to == 1800 && w.range.chain_known);
    follow_log_end(w.follow, 1005, ERR_CORRUPT);
    expect("reader stop|failed:stored data is corrupt|");

    start();
    psync('?', 0);
    follow_snapshot_found(w.follow, 1002, &newest);
    expect("download 0 1800 0|resync 1800 5|ship room 100|");
    follow_bytes(w.follow, "REDIS", 5);
    follow_snapshot_end(w.follow, 1004, true, NULL);
    see(1850);
    expect("write REDIS|read|reader room 100|");
    ck_assert(w.range.from == 1800 && w.range.to == 1850);
}
END_TEST

/* The log behind the RDB is forgotten while the RDB goes through: there is a newer snapshot, which
 * is taken at once. */
START_TEST(test_trimmed_while_fetching_ahead)
{
    resync();
    follow_log_end(w.follow, 1003, ERR_NOT_FOUND);
    expect("ship stop|reader stop|drop|");
    see(1900);
    psync('b', 1000);
    expect("download 0 1900 0|");
}
END_TEST

/* Elected while the RDB goes through: what was fetched as committed is not used, the log behind the
 * RDB is read by the term's leave. */
START_TEST(test_elected_while_fetching_ahead)
{
    resync();
    promote();
    expect("reader stop|");
    follow_bytes(w.follow, "REDIS00112", 10);
    follow_snapshot_end(w.follow, 1004, true, NULL);
    expect("write REDIS00112|read|reader room 100|");
    ck_assert(w.range.from == 1000 && w.range.to == END && w.range.term.n == 5);
    ck_assert(w.range.history != NULL && w.range.chain_known);
}
END_TEST

/* What the log may still get to is waited for: no needless resync. */
START_TEST(test_waits_for_the_commit)
{
    start();
    see(1800);
    psync('b', 1850);
    expect("");
    see(1840);
    expect("");
    see(1860);
    expect("continue|read|reader room 100|");
    ck_assert_uint_eq(w.range.from, 1850);
    follow_stop(w.follow);
    expect("reader stop|");
    /* A newer term began below: it never will. */
    start();
    psync('b', 1900);
    expect("");
    add_term(5, 1870, 'c');
    see(1870);
    expect("download 0 1870 0|");
}
END_TEST

/* Bytes of a term reach Redis only under that term's id: where one ends, it asks again. */
START_TEST(test_a_new_term_is_announced)
{
    follow_up();
    add_term(5, 1900, 'c');
    see(2000);
    expect("extend 1900|reader room 100|");
    bytes(100);
    follow_log_end(w.follow, 1003, ERR_OK);
    expect("reader stop|drop|");
    psync('b', 1880); /* it had not read all of it */
    expect("continue|read|reader room 100|");
    ck_assert_int_eq(w.label.hex[0], 'c');
    ck_assert(w.range.from == 1880 && w.range.to == 2000);
}
END_TEST

/* A term that was announced and came to nothing: a Redis that got only committed bytes is ours. */
START_TEST(test_a_term_that_came_to_nothing)
{
    add_term(5, 1800, 'c');
    start();
    see(1800);
    psync('b', 1800);
    expect("continue|");
    ck_assert_int_eq(w.label.hex[0], 'c');
    history_cut(&w.history, 1799);
    add_term(6, 1800, 'd');
    see(1900);
    expect("drop|");
    psync('c', 1800);
    expect("continue|read|reader room 100|");
    ck_assert_int_eq(w.label.hex[0], 'd');
}
END_TEST

/* Elected: the rest of the donor's log by the term's leave, then Redis is made a master. */
START_TEST(test_promotes)
{
    struct follow_status status;

    follow_up();
    promote();
    expect("reader stop|read|reader room 100|");
    ck_assert(w.range.from == 1800 && w.range.to == END && w.range.term.n == 5);
    ck_assert(w.range.history != NULL && w.range.node == 2);
    see(1850); /* means nothing any more */
    expect("");
    bytes(200);
    follow_status(w.follow, 1006, &status);
    ck_assert(!status.steady); /* it holds what may be taken back */
    follow_log_end(w.follow, 1006, ERR_OK);
    follow_tick(w.follow, 1006 * MS);
    follow_tick(w.follow, 1106 * MS); /* one question at a time */
    expect("ROLE|");
    answer_role(7777, END - 1);
    follow_tick(w.follow, 1206 * MS);
    answer_role(7777, END);
    expect("ROLE|REPLICAOF NO ONE|");
    follow_feed_closed(w.follow, "Redis has left its master"); /* as it should */
    answer_all_ok();
    follow_tick(w.follow, 1306 * MS);
    answer_info("slave", 'b', END);
    follow_tick(w.follow, 1406 * MS);
    answer_info("master", 'b', END);
    expect("INFO replication|INFO replication|reader stop|reached b|");
    ck_assert_uint_eq(follow_next_tick_ns(w.follow), UINT64_MAX);
}
END_TEST

/* Elected with a Redis that was no follower yet: it is called first. */
START_TEST(test_promotes_from_nothing)
{
    promote();
    expect(STARTED);
    answer_all_ok();
    psync('b', END + 1); /* beyond the log's end, which is final */
    expect("download 5 2000 2|");
    follow_feed_closed(w.follow, "a test");
    expect("ship stop|");
    psync('b', END);
    expect("continue|");
    follow_tick(w.follow, 1006 * MS);
    expect("ROLE|");
    answer_role(7777, END);
    expect("REPLICAOF NO ONE|");
    answer_all_ok();
    follow_tick(w.follow, 1106 * MS);
    answer_info("master", 'b', END - 1); /* it was not where it should have been */
    expect("INFO replication|failed:Redis was written to while it was promoted|");
}
END_TEST

/* Each command that Redis refuses, the ship, the reader, the control connection: told once, idle
 * then, and what comes late means nothing. */
START_TEST(test_failures)
{
    struct redisReply error = {
        .type = REDIS_REPLY_ERROR, .str = (char *)(uintptr_t) "ERR no", .len = 6};

    follow_start(w.follow, 1000);
    expect(STARTED);
    for (int i = 0; i < 4; i++) {
        answer(&error);
    }
    expect("failed:ERR no|");
    start();
    see(1800);
    psync('?', 0);
    follow_snapshot_found(w.follow, 1, &snapshot);
    buf_clear(&w.log);
    follow_snapshot_end(w.follow, 1, false, "no snapshot");
    expect("drop|ship stop|reader stop|failed:no snapshot|");
    follow_up();
    follow_log_end(w.follow, 1, ERR_CORRUPT);
    expect("reader stop|failed:stored data is corrupt|");
    follow_up();
    w.up = false;
    follow_tick(w.follow, 1000 * MS);
    expect("reader stop|failed:the control connection to Redis is down|");
    follow_tick(w.follow, 2000 * MS);
    follow_bytes(w.follow, "x", 1);
    follow_snapshot_found(w.follow, 1, &snapshot);
    follow_snapshot_end(w.follow, 1, true, NULL);
    follow_log_end(w.follow, 1, ERR_OK);
    follow_feed_room(w.follow, 1);
    follow_feed_closed(w.follow, "late");
    see(3000);
    expect("");
    psync('b', 1);
    expect("drop|");
}
END_TEST

/* The log begins behind what Redis has: only a snapshot helps. */
START_TEST(test_trimmed_log)
{
    follow_up();
    see(1900);
    buf_clear(&w.log);
    follow_log_end(w.follow, 1, ERR_NOT_FOUND);
    expect("reader stop|drop|");
    psync('b', 1800);
    expect("download 0 1900 0|");
}
END_TEST

/* Somebody makes Redis a master, or the replica of another: it is taken back, and what it holds
 * then is judged anew. */
START_TEST(test_taken_away)
{
    static const int ports[] = {0, 6379};

    for (size_t i = 0; i < 2; i++) {
        follow_up();
        follow_tick(w.follow, 1000 * MS);
        expect("ROLE|");
        answer_role(ports[i], 1800);
        expect("reader stop|drop|" STARTED);
        answer_all_ok();
        psync('y', 1800);
        expect("download 0 1800 0|");
        follow_stop(w.follow);
        buf_clear(&w.log);
    }
}
END_TEST

/* A Redis that does not come to the feed is told again: the follower fails, and is started anew.
 * One that is still there from before is dropped, so that it asks. */
START_TEST(test_redis_stays_away)
{
    start();
    follow_tick(w.follow, 1 * CLOCK_NS_PER_S);
    answer_role(7777, -1);
    follow_tick(w.follow, 30 * CLOCK_NS_PER_S);
    answer_role(7777, -1);
    buf_clear(&w.log);
    follow_tick(w.follow, 31 * CLOCK_NS_PER_S);
    expect("failed:Redis does not come to the feed port|");
    w.connected = true;
    follow_start(w.follow, 1000);
    expect(STARTED "drop|");
}
END_TEST

int main(void)
{
    return UNIT_RUN("follow", setup, teardown, test_follows_from_the_very_beginning, test_follows,
                    test_resyncs_what_is_no_prefix, test_resync, test_fetching_ahead_fails,
                    test_trimmed_while_fetching_ahead, test_elected_while_fetching_ahead,
                    test_waits_for_the_commit, test_a_new_term_is_announced,
                    test_a_term_that_came_to_nothing, test_promotes, test_promotes_from_nothing,
                    test_failures, test_trimmed_log, test_taken_away, test_redis_stays_away);
}
