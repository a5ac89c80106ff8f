/* The engine against a Redis that is played here, byte by byte: what the link says, whose reply
 * each byte is, and what becomes of the requests when it ends. */
#include "proxy/engine/engine.h"

#include "common/clock.h"
#include "common/mem.h"

#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#define REPLID "0123456789abcdef0123456789abcdef01234567"
#define SETUP                                                                                      \
    "*3\r\n$6\r\nCLIENT\r\n$8\r\nNO-EVICT\r\n$2\r\non\r\n"                                         \
    "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$4\r\nunit\r\n"                                        \
    "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"                                                            \
    "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n"                                                             \
    "*1\r\n$4\r\nROLE\r\n"                                                                         \
    "*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"
#define ROLE     "*1\r\n$4\r\nROLE\r\n"
#define SELECT_3 "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
#define SELECT_0 "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
#define HELLO_3  "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
#define HELLO_2  "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n"
#define OK       "+OK\r\n"
#define HELLOED  "*2\r\n$5\r\nproto\r\n:2\r\n"
#define HELLOED3 "%%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n"
#define MASTER   "*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n"
#define IDENTITY "$69\r\nrole:master\r\nmaster_replid:" REPLID "\r\n\r\n"

enum { WAIT_MS = 10, WAITS_MAX = 500 };

/* ---- the owner ---- */

static struct {
    struct event_base *base;
    struct engine *engine;
    struct request_pool pool;
    int listener, port;
    int redis; /* our end of the link; -1: none */
    struct buf heard;
    struct buf told; /* "[up]", "[fenced BOUND reply|reply|…]", "[down REASON: unknown / unsent]",
                        "[stranger]" */
    char client;     /* stands for a client that is there */
} w;

/* Each request's number stands where the tracker would put its bound. */
static void tell_requests(struct request *first)
{
    for (struct request *r = first, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        buf_printf(&w.told, "%llu", (unsigned long long)r->waiter.bound);
        if (request_reply_bytes(r) > 0) {
            buf_append_str(&w.told, "=");
            request_move_reply(r, &w.told);
        }
        buf_append_str(&w.told, next != NULL ? "|" : "");
        request_give(&w.pool, r);
    }
}

static void says_up(void *ctx)
{
    (void)ctx;
    buf_append_str(&w.told, "[up]");
}

static void says_fenced(void *ctx, struct request *first, uint64_t bound)
{
    (void)ctx;
    if (bound == ENGINE_UNFENCED) {
        buf_append_str(&w.told, "[unfenced ");
    } else {
        buf_printf(&w.told, "[fenced %llu ", (unsigned long long)bound);
    }
    tell_requests(first);
    buf_append_str(&w.told, "]");
}

static void says_down(void *ctx, struct request *unknown, struct request *unsent,
                      const char *reason)
{
    (void)ctx;
    ck_assert(!engine_is_up(w.engine));
    buf_printf(&w.told, "[down %s: ", reason);
    tell_requests(unknown);
    buf_append_str(&w.told, " / ");
    tell_requests(unsent);
    buf_append_str(&w.told, "]");
}

static void says_stranger(void *ctx, const char *reason)
{
    (void)ctx;
    (void)reason;
    buf_append_str(&w.told, "[stranger]");
}

static void says_slow(void *ctx, const struct request *r, const char *address, const uint8_t *bytes,
                      size_t size, uint64_t took_ns)
{
    (void)ctx;
    (void)took_ns;
    ck_assert_int_eq(strncmp(address, "127.0.0.1:", 10), 0);
    buf_printf(&w.told, "[slow %llu %.*s]", (unsigned long long)r->waiter.bound, (int)size,
               bytes != NULL ? (const char *)bytes : "");
}

static const struct engine_events owner_events = {.up = says_up,
                                                  .fenced = says_fenced,
                                                  .down = says_down,
                                                  .stranger = says_stranger,
                                                  .slow = says_slow};
static uint64_t slow_ns;

static void setup_with(const char *user, const char *password, unsigned in_flight)
{
    struct engine_config config = {.host = "127.0.0.1",
                                   .user = user,
                                   .password = password,
                                   .name = "unit",
                                   .connect_timeout_ms = 1000,
                                   .stall_ms = 2000,
                                   .batches_in_flight = in_flight,
                                   .slow_ns = &slow_ns};

    slow_ns = UINT64_MAX;
    memset(&w, 0, sizeof w);
    w.redis = -1;
    w.base = event_base_new();
    ck_assert_ptr_nonnull(w.base);
    w.listener = sockets_listen(&w.port);
    config.port = w.port;
    w.engine = engine_create(w.base, &config, &owner_events, NULL);
}

static void setup(void)
{
    setup_with(NULL, NULL, 1);
}

static void teardown(void)
{
    engine_destroy(w.engine);
    ck_assert_uint_eq(w.pool.live_count, 0); /* every request came back, and once */
    request_pool_release(&w.pool);
    buf_release(&w.heard);
    buf_release(&w.told);
    event_base_free(w.base);
    if (w.redis >= 0) {
        (void)close(w.redis);
    }
    (void)close(w.listener);
}

static void turn(void)
{
    ck_assert_int_ge(event_base_loop(w.base, EVLOOP_NONBLOCK), 0);
}

static struct replid replid_of(const char *hex)
{
    struct replid replid;
    memcpy(replid.hex, hex, sizeof replid.hex);
    return replid;
}

/* Exactly this has been told since the last call. */
static void told(const char *expected)
{
    for (int waits = 0; w.told.len < strlen(expected) && waits < WAITS_MAX; waits++) {
        turn();
        sockets_wait(w.redis, 0, 1);
    }
    turn();
    buf_append(&w.told, "", 1);
    ck_assert_str_eq((const char *)buf_head(&w.told), expected);
    buf_clear(&w.told);
}

/* ---- Redis ---- */

/* Exactly this comes from the link. */
static void hear(const char *expected)
{
    size_t want = strlen(expected);

    for (int waits = 0; waits < WAITS_MAX && w.heard.len < want; waits++) {
        turn();
        ssize_t got = recv(w.redis, buf_reserve(&w.heard, 65536), 65536, 0);
        buf_commit(&w.heard, got > 0 ? (size_t)got : 0);
        if (got < 0) {
            sockets_wait(w.redis, POLLIN, WAIT_MS);
        }
    }
    ck_assert_msg(w.heard.len == want && memcmp(buf_head(&w.heard), expected, want) == 0,
                  "expected \"%s\", got \"%.*s\"", expected, (int)w.heard.len,
                  (const char *)buf_head(&w.heard));
    buf_clear(&w.heard);
}

static void say_bytes(const char *bytes, size_t size)
{
    ck_assert_int_eq(send(w.redis, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    sockets_wait(w.redis, POLLOUT, 0);
    turn();
}

static void say(const char *text)
{
    say_bytes(text, strlen(text));
}

/* The link comes and says its set-up. */
static void link_begin(const char *setup_text)
{
    struct replid replid = replid_of(REPLID);

    engine_start(w.engine, &replid, clock_now_ns());
    sockets_wait(w.listener, POLLIN, 1000);
    w.redis = sockets_accept(w.listener);
    int on = 1;
    ck_assert_int_eq(setsockopt(w.redis, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    hear(setup_text);
}

static void link_up(void)
{
    link_begin(SETUP);
    say(OK OK OK HELLOED MASTER IDENTITY);
    told("[up]");
    ck_assert(engine_is_up(w.engine));
}

static void link_end(void)
{
    (void)close(w.redis);
    w.redis = -1;
}

/* ---- requests ---- */

static struct request *request(uint64_t number)
{
    struct request *r = request_take(&w.pool);

    r->client = (struct client *)(void *)&w.client; /* only whether there is one matters */
    r->waiter.bound = number;
    return r;
}

static struct request *add(uint64_t number, const char *word, unsigned db, unsigned resp)
{
    struct request *r = request(number);
    struct resp_arg argv[] = {{(const uint8_t *)word, strlen(word)}};

    engine_add(w.engine, r, db, resp, argv, 1);
    return r;
}

static void flush(void)
{
    engine_flush(w.engine, clock_now_ns());
    turn();
}

static void fence(char *out, size_t size, unsigned long long offset)
{
    (void)snprintf(out, size,
                   "*3\r\n$6\r\nmaster\r\n:%llu\r\n*1\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
                   offset);
}

/* ---- set-up ---- */

/* The set-up with and without a password and a user name, its answers in any two pieces. */
START_TEST(test_setup)
{
    static const char answers[] = OK OK OK HELLOED MASTER IDENTITY;
    static const struct {
        const char *user, *password, *said;
    } cases[] = {
        {NULL, NULL, ""},
        {"", "", ""},
        {"joe", "", "*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$0\r\n\r\n"},
        {NULL, "pw", "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n"},
        {"joe", "pw", "*3\r\n$4\r\nAUTH\r\n$3\r\njoe\r\n$2\r\npw\r\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[512];
        teardown();
        setup_with(cases[i].user, cases[i].password, 1);
        (void)snprintf(expected, sizeof expected, "%s" SETUP, cases[i].said);
        for (size_t cut = 0; cut < sizeof answers - 1; cut += i == 0 ? 1 : 50) {
            link_begin(expected);
            say(cases[i].said[0] != '\0' ? OK : "");
            say_bytes(answers, cut);
            told("");
            say_bytes(answers + cut, sizeof answers - 1 - cut);
            told("[up]");
            engine_stop(w.engine, "next");
            told("[down next:  / ]");
            link_end();
        }
    }
}
END_TEST

/* Each command of the set-up may be refused; the link ends then, and may be started again. */
START_TEST(test_setup_refused)
{
    static const char identity[] = IDENTITY;
    static const char *const answers[] = {OK, OK, OK, HELLOED, MASTER, identity};

    for (size_t refused = 0; refused < 6; refused++) {
        link_begin(SETUP);
        for (size_t i = 0; i < refused; i++) {
            say(answers[i]);
        }
        told("");
        say("-NOPERM this user has no permissions\r\n");
        told("[down Redis refused the link's set-up (see redis.user and redis.password):  / ]");
        link_end();
    }
    link_up();
}
END_TEST

/* A Redis that is another than the one whose stream is read, or does not say, is not served from.
 */
START_TEST(test_identity)
{
    static const char *const others[] = {
        "$69\r\nrole:master\r\nmaster_replid:f123456789abcdef0123456789abcdef01234567\r\n\r\n",
        "$69\r\nrole:master\r\nmaster_replid:0123456789abcdef0123456789abcdef01234568\r\n\r\n",
        ("$68\r\nrole:slave\r\nmaster_replid:" REPLID "\r\n\r\n"),
        "$17\r\nmaster_replid:012\r\n",
        "$0\r\n\r\n",
        "+master_replid\r\n",
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        link_begin(SETUP);
        say(OK OK OK HELLOED MASTER);
        say(others[i]);
        told("[down it is another Redis than the one whose stream we read:  / ][stranger]");
        link_end();
    }
}
END_TEST

/* Nobody listens; nobody answers; the peer leaves during the set-up: down, once, each time. */
START_TEST(test_no_link)
{
    struct replid replid = replid_of(REPLID);
    uint64_t now_ns = clock_now_ns();

    link_begin(SETUP);
    engine_start(w.engine, &replid, now_ns); /* already on its way: nothing happens */
    engine_tick(w.engine, now_ns + 900 * CLOCK_NS_PER_MS);
    told("");
    engine_tick(w.engine, clock_now_ns() + 1100 * CLOCK_NS_PER_MS);
    told("[down connecting to Redis timed out:  / ]");
    link_end();
    link_begin(SETUP);
    link_end();
    told("[down Redis closed the connection:  / ]");
    (void)close(w.listener);
    engine_start(w.engine, &replid, now_ns);
    told("[down Connection refused:  / ]");
    engine_tick(w.engine, now_ns + 100000 * CLOCK_NS_PER_MS);
    engine_stop(w.engine, "again");
    told("");
    w.listener = sockets_listen(&w.port);
}
END_TEST

/* ---- batches ---- */

/* What is gathered while a batch is under way goes with the next; each request gets its own reply
 * and its batch's bound. */
START_TEST(test_batches)
{
    char text[256];

    link_up();
    flush();
    hear("");
    add(1, "ONE", 0, 2);
    add(2, "TWO", 0, 2);
    ck_assert(!engine_is_idle(w.engine));
    flush();
    hear("*1\r\n$3\r\nONE\r\n*1\r\n$3\r\nTWO\r\n" ROLE);
    add(3, "THREE", 0, 2);
    flush(); /* not yet */
    ck_assert_uint_gt(engine_gathered_bytes(w.engine), 0);
    say("+1\r\n$3\r\nt");
    told("");
    say("wo\r\n");
    fence(text, sizeof text, 1000);
    say(text);
    told("[fenced 1000 1=+1\r\n|2=$3\r\ntwo\r\n]");
    flush();
    hear("*1\r\n$5\r\nTHREE\r\n" ROLE);
    fence(text, sizeof text, 18446744073709551ull);
    say(":3\r\n");
    say(text);
    told("[fenced 18446744073709551 3=:3\r\n]");
    ck_assert(engine_is_idle(w.engine));
    ck_assert_uint_eq(engine_batches(w.engine), 2);
    ck_assert_uint_eq(engine_gathered_bytes(w.engine), 0);
}
END_TEST

static void tell_number(void *ctx, struct request *r)
{
    (void)ctx;
    buf_printf(&w.told, "(%llu)", (unsigned long long)r->waiter.bound);
}

/* Whoever waits for what Redis is at: what was sent behind it, and what was in front of it and is
 * not fenced. */
START_TEST(test_held_up)
{
    char text[256];

    teardown();
    setup_with(NULL, NULL, 2);
    link_up();
    add(1, "A", 0, 2);
    struct request *script = add(2, "B", 0, 2);
    add(3, "C", 0, 2);
    flush();
    add(4, "D", 0, 2);
    flush();
    script->flags |= REQUEST_SCRIPT; /* Redis may not have said yet what it answered before */
    engine_each_held_up(w.engine, tell_number, NULL);
    told("(1)(3)(4)");
    script->flags = 0;
    say("+1\r\n");
    engine_each_held_up(w.engine, tell_number, NULL);
    told("(1)(3)(4)");
    say("+2\r\n+3\r\n");
    fence(text, sizeof text, 10);
    say(text);
    told("[fenced 10 1=+1\r\n|2=+2\r\n|3=+3\r\n]");
    engine_each_held_up(w.engine, tell_number, NULL);
    told("");
    say("+4\r\n");
    say(text);
    told("[fenced 10 4=+4\r\n]");
}
END_TEST

static void add_harmless(uint64_t number, const char *word)
{
    struct request *r = request(number);
    struct resp_arg argv[] = {{(const uint8_t *)word, strlen(word)}};

    r->waiter.harmless = true;
    engine_add(w.engine, r, 0, 2, argv, 1);
}

/* What tells of no data needs no fence; among what does, it is fenced along. */
START_TEST(test_bare)
{
    char text[256];

    link_up();
    add_harmless(1, "A");
    add_harmless(2, "B");
    flush();
    hear("*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n");
    say("+1\r\n");
    told("[unfenced 1=+1\r\n]");
    ck_assert(!engine_is_idle(w.engine));
    say("+2\r\n");
    told("[unfenced 2=+2\r\n]");
    ck_assert(engine_is_idle(w.engine));
    ck_assert_uint_eq(engine_fences_sent(w.engine), 0);
    add_harmless(3, "A");
    add(4, "C", 0, 2);
    add_harmless(5, "B");
    flush();
    hear("*1\r\n$1\r\nA\r\n*1\r\n$1\r\nC\r\n*1\r\n$1\r\nB\r\n" ROLE);
    say("+3\r\n+4\r\n+5\r\n");
    fence(text, sizeof text, 10);
    say(text);
    told("[fenced 10 3=+3\r\n|4=+4\r\n|5=+5\r\n]");
    /* asked for, there is one */
    add_harmless(6, "A");
    engine_fence(w.engine, clock_now_ns());
    hear("*1\r\n$1\r\nA\r\n" ROLE);
    say("+6\r\n");
    fence(text, sizeof text, 11);
    say(text);
    told("[fenced 11 6=+6\r\n]");
}
END_TEST

/* A fence in a stream that has not begun is one as any other: its offset is zero. */
START_TEST(test_fence_at_zero)
{
    char text[256];

    link_up();
    add(1, "A", 0, 2);
    flush();
    hear("*1\r\n$1\r\nA\r\n" ROLE);
    say("+1\r\n");
    fence(text, sizeof text, 0);
    say(text);
    told("[fenced 0 1=+1\r\n]");
}
END_TEST

/* Several batches under way: the replies of each are its own, and no more are sent than may be. */
START_TEST(test_batches_in_flight)
{
    char text[256];

    teardown();
    setup_with(NULL, NULL, 2);
    link_up();
    for (uint64_t i = 1; i <= 3; i++) {
        add(i, "C", 0, 2);
        flush();
    }
    hear("*1\r\n$1\r\nC\r\n" ROLE "*1\r\n$1\r\nC\r\n" ROLE);
    say("+1\r\n");
    fence(text, sizeof text, 10);
    say(text);
    told("[fenced 10 1=+1\r\n]");
    flush();
    hear("*1\r\n$1\r\nC\r\n" ROLE);
    say("+2\r\n");
    fence(text, sizeof text, 20);
    say(text);
    say("+3\r\n");
    fence(text, sizeof text, 30);
    say(text);
    told("[fenced 20 2=+2\r\n][fenced 30 3=+3\r\n]");
}
END_TEST

/* Of a reply that takes long it is told what was sent, as it was added; of others nothing. */
START_TEST(test_slow)
{
    char text[256];

    teardown();
    setup_with(NULL, NULL, 2);
    link_up();
    slow_ns = 0;
    add(1, "A", 3, 2);
    flush();
    add(2, "BB", 3, 2);
    add(3, "C", 3, 2);
    flush();
    hear(SELECT_3 "*1\r\n$1\r\nA\r\n" ROLE "*1\r\n$2\r\nBB\r\n*1\r\n$1\r\nC\r\n" ROLE);
    fence(text, sizeof text, 10);
    say(OK "+1\r\n");
    say(text);
    told("[slow 1 *1\r\n$1\r\nA\r\n][fenced 10 1=+1\r\n]");
    say("+2\r\n");
    told("[slow 2 *1\r\n$2\r\nBB\r\n]");
    slow_ns = 60 * CLOCK_NS_PER_S;
    say("+3\r\n");
    fence(text, sizeof text, 20);
    say(text);
    told("[fenced 20 2=+2\r\n|3=+3\r\n]");
}
END_TEST

/* The replies of a batch, cut at every byte: switches of database and protocol are skipped, as are
 * the inner replies of a transaction; inline replies and long ones, nested ones and RESP3. */
START_TEST(test_reply_pieces)
{
    static char replies[2048], expected[2048], big[400];
    char role[256];
    int len;

    memset(big, 'b', sizeof big - 1);
    fence(role, sizeof role, 77);
    link_up();
    for (size_t cut = 0, size = 1; cut < size; cut++) {
        struct buf block = BUF_INIT;
        add(1, "A", 3, 2);
        add(2, "B", 3, 3);
        struct request *r = request(3);
        buf_append_str(&block, "[MULTI][X][Y][EXEC]");
        engine_add_block(w.engine, r, 0, 3, &block, 4, false);
        buf_release(&block);
        add(4, "D", 0, 2);
        flush();
        hear(SELECT_3 "*1\r\n$1\r\nA\r\n" HELLO_3 "*1\r\n$1\r\nB\r\n" SELECT_0
                      "[MULTI][X][Y][EXEC]" HELLO_2 "*1\r\n$1\r\nD\r\n" ROLE);
        len =
            snprintf(replies, sizeof replies,
                     OK "$399\r\n%s\r\n" HELLOED3 "%%1\r\n+k\r\n#t\r\n" OK OK
                        "+QUEUED\r\n-ERR queued too\r\n*2\r\n:1\r\n*-1\r\n" HELLOED "-ERR d\r\n%s",
                     big, role);
        size = (size_t)len;
        (void)snprintf(expected, sizeof expected,
                       "[fenced 77 1=$399\r\n%s\r\n|2=%%1\r\n+k\r\n#t\r\n|3=*2\r\n:1\r\n*-1\r\n|"
                       "4=-ERR d\r\n]",
                       big);
        say_bytes(replies, cut);
        told("");
        say_bytes(replies + cut, size - cut);
        told(expected);
    }
}
END_TEST

/* Behind a transaction with a SELECT in it, the link's database is not known: it is said again. */
START_TEST(test_block_selects)
{
    struct buf block = BUF_INIT;
    char text[256];

    link_up();
    buf_append_str(&block, "[B]");
    engine_add_block(w.engine, request(1), 0, 2, &block, 1, true);
    buf_release(&block);
    add(2, "A", 0, 2);
    add(3, "A", 0, 2);
    flush();
    hear("[B]" SELECT_0 "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nA\r\n" ROLE);
    say("+b\r\n" OK "+2\r\n+3\r\n");
    fence(text, sizeof text, 5);
    say(text);
    told("[fenced 5 1=+b\r\n|2=+2\r\n|3=+3\r\n]");
}
END_TEST

/* A request whose client has gone keeps its place in the batch; its reply is thrown away. */
START_TEST(test_gone_client)
{
    char text[256];

    link_up();
    add(1, "A", 0, 2);
    struct request *gone = add(2, "B", 0, 2);
    add(3, "C", 0, 2);
    flush();
    say("+1\r\n$10\r\n01234");
    gone->client = NULL;
    say("56789\r\n+3\r\n");
    fence(text, sizeof text, 9);
    say(text);
    /* What had come before is still there, and nothing is added. */
    told("[fenced 9 1=+1\r\n|2=$10\r\n01234|3=+3\r\n]");
}
END_TEST

/* ---- ends ---- */

/* The link is cut behind every byte of its replies: each request is handed back once, those of
 * fenced batches with their replies, those under way as unknown, the rest as unsent. */
START_TEST(test_cut_anywhere)
{
    char replies[1024], role[2][256];
    size_t first, second;

    fence(role[0], sizeof role[0], 1);
    fence(role[1], sizeof role[1], 2);
    first = (size_t)snprintf(replies, sizeof replies, "+a\r\n$2\r\nbb\r\n%s", role[0]);
    second =
        first + (size_t)snprintf(replies + first, sizeof replies - first, OK "+c\r\n%s", role[1]);
    teardown();
    setup_with(NULL, NULL, 2);
    for (size_t cut = 0; cut < second; cut++) {
        link_up();
        add(1, "A", 0, 2);
        add(2, "B", 0, 2);
        flush();
        add(3, "C", 3, 2);
        flush();
        add(4, "D", 0, 3);
        add(5, "E", 0, 3);
        flush();
        say_bytes(replies, cut);
        shutdown(w.redis, SHUT_WR);
        for (int waits = 0; engine_is_up(w.engine) && waits < WAITS_MAX; waits++) {
            turn();
            sockets_wait(-1, 0, 1);
        }
        buf_append(&w.told, "", 1);
        const char *text = (const char *)buf_head(&w.told);
        ck_assert_ptr_nonnull(strstr(text, "[down Redis closed the connection: "));
        ck_assert_ptr_nonnull(strstr(text, " / 4|5]"));
        ck_assert(strncmp(text, "[fenced 1 1=+a\r\n|2=$2\r\nbb\r\n]", 28) == 0 ? cut >= first
                                                                               : cut < first);
        ck_assert_ptr_nonnull(strstr(text, cut >= first ? ": 3" : "|3"));
        buf_clear(&w.told);
        ck_assert_uint_eq(w.pool.live_count, 0);
        link_end();
    }
}
END_TEST

/* What is no fence where one must stand ends the link: Redis has become a replica, or says an
 * error, or something else. */
START_TEST(test_bad_fence)
{
    static const char *const answers[] = {
        "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:17\r\n",
        "-NOPERM no ROLE for you\r\n",
        "*3\r\n$6\r\nmaster\r\n:-1\r\n*0\r\n",
        "*3\r\n$6\r\nmaster\r\n:99999999999999999999999\r\n*0\r\n",
        "*3\r\n$6\r\nmaster\r\n$1\r\n7\r\n*0\r\n",
        "+OK\r\n",
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        link_up();
        add(1, "A", 0, 2);
        flush();
        add(2, "B", 0, 2);
        say("+1\r\n");
        say(answers[i]);
        told("[down Redis is no longer a master: 1=+1\r\n / 2][stranger]");
        link_end();
    }
}
END_TEST

/* A SELECT or HELLO of the link's own that fails would leave a request in a foreign database: the
 * link ends. In a transaction an error is the transaction's. */
START_TEST(test_switch_fails)
{
    link_up();
    add(1, "A", 3, 2);
    flush();
    say("-NOPERM this user may not SELECT\r\n");
    told("[down Redis refused SELECT or HELLO on the link: 1 / ]");
    link_end();
    link_up();
    add(1, "A", 0, 3);
    flush();
    say("-NOPROTO\r\n");
    told("[down Redis refused SELECT or HELLO on the link: 1 / ]");
}
END_TEST

/* Bytes that nobody asked for, a push, and bytes that are no reply end the link. */
START_TEST(test_garbage)
{
    link_up();
    say("+hello\r\n");
    told("[down Redis sent what nobody asked for:  / ]");
    link_end();
    link_up();
    add(1, "A", 0, 2);
    flush();
    say(">2\r\n+invalidate\r\n*0\r\n");
    told("[down Redis sent what nobody asked for: 1 / ]");
    link_end();
    link_up();
    add(1, "A", 0, 2);
    flush();
    say("what?\r\n");
    told("[down Redis sent what is no reply: 1 / ]");
}
END_TEST

/* A batch without any answer for stall_ms ends the link; an answer on its way does not, nor does an
 * idle link. */
START_TEST(test_stall)
{
    uint64_t stall_ns = 2000 * CLOCK_NS_PER_MS;

    link_up();
    add(1, "A", 0, 2);
    flush();
    engine_tick(w.engine, clock_now_ns() + stall_ns / 2);
    told("");
    say("+1\r\n");
    engine_tick(w.engine, clock_now_ns() + stall_ns / 2);
    told("");
    engine_tick(w.engine, clock_now_ns() + stall_ns + CLOCK_NS_PER_MS);
    told("[down Redis has not answered for too long: 1=+1\r\n / ]");
}
END_TEST

/* An idle link is fenced now and then, which keeps it from being closed for idleness, and finds out
 * whether Redis still is a master. It counts as no batch, and a request goes behind it. */
START_TEST(test_keepalive)
{
    link_up();
    engine_tick(w.engine, clock_now_ns() + 400 * CLOCK_NS_PER_MS);
    hear("");
    engine_tick(w.engine, clock_now_ns() + 600 * CLOCK_NS_PER_MS);
    hear(ROLE);
    engine_tick(w.engine, clock_now_ns() + 600 * CLOCK_NS_PER_MS);
    hear("");
    add(1, "A", 0, 2);
    flush();
    hear("");
    say(MASTER);
    told("[fenced 7 ]");
    ck_assert_uint_eq(engine_batches(w.engine), 0);
    flush();
    hear("*1\r\n$1\r\nA\r\n" ROLE);
    say("+1\r\n" MASTER);
    told("[fenced 7 1=+1\r\n]");
    engine_tick(w.engine, clock_now_ns() + 600 * CLOCK_NS_PER_MS);
    hear(ROLE);
    say("*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:17\r\n");
    told("[down Redis is no longer a master:  / ][stranger]");
}
END_TEST

/* A Redis that does not read: what it has not taken stays with us, nothing more is sent, and it all
 * arrives once it reads. */
START_TEST(test_slow_redis)
{
    enum { BIG = 8 << 20 };
    uint8_t *big = mem_calloc(1, BIG);
    struct resp_arg arg = {big, BIG};
    size_t got = 0;
    ssize_t more;
    static char piece[65536];
    char text[256];

    teardown();
    setup_with(NULL, NULL, 4);
    link_up();
    engine_add(w.engine, request(1), 0, 2, &arg, 1);
    flush();
    ck_assert_uint_gt(engine_gathered_bytes(w.engine), 0);
    add(2, "B", 0, 2);
    flush();
    for (int waits = 0; got < BIG && waits < WAITS_MAX; waits++) {
        while ((more = recv(w.redis, piece, sizeof piece, 0)) > 0) {
            got += (size_t)more;
        }
        turn();
        flush();
    }
    say("+1\r\n");
    fence(text, sizeof text, 1);
    say(text);
    flush();
    for (int waits = 0; engine_gathered_bytes(w.engine) > 0 && waits < WAITS_MAX; waits++) {
        flush();
    }
    say("+2\r\n");
    fence(text, sizeof text, 2);
    say(text);
    told("[fenced 1 1=+1\r\n][fenced 2 2=+2\r\n]");
    free(big);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *begin = tcase_create("set-up"), *batches = tcase_create("batches");
    TCase *ends = tcase_create("ends");

    tcase_add_checked_fixture(begin, setup, teardown);
    tcase_add_test(begin, test_setup);
    tcase_add_test(begin, test_setup_refused);
    tcase_add_test(begin, test_identity);
    tcase_add_test(begin, test_no_link);
    tcase_add_checked_fixture(batches, setup, teardown);
    tcase_add_test(batches, test_batches);
    tcase_add_test(batches, test_held_up);
    tcase_add_test(batches, test_bare);
    tcase_add_test(batches, test_fence_at_zero);
    tcase_add_test(batches, test_batches_in_flight);
    tcase_add_test(batches, test_slow);
    tcase_add_test(batches, test_reply_pieces);
    tcase_add_test(batches, test_block_selects);
    tcase_add_test(batches, test_gone_client);
    tcase_add_checked_fixture(ends, setup, teardown);
    tcase_add_test(ends, test_cut_anywhere);
    tcase_add_test(ends, test_bad_fence);
    tcase_add_test(ends, test_switch_fails);
    tcase_add_test(ends, test_garbage);
    tcase_add_test(ends, test_stall);
    tcase_add_test(ends, test_keepalive);
    tcase_add_test(ends, test_slow_redis);
    suite_add_tcase(suite, begin);
    suite_add_tcase(suite, batches);
    suite_add_tcase(suite, ends);
    return unit_main(suite);
}
