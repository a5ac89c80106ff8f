/* The outbox: requests on their way to another server, what is known of each when the connection is
 * lost, and what a proxy says that doesn't serve. */
#include "proxy/forward/outbox.h"

#include "tests/lib/unit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NONCE "0123456789abcdef"
#define MOVED "-HOLDFASTMOVED " NONCE " 7 127.0.0.1:7380\r\n"

static struct {
    struct request_pool pool;
    struct outbox outbox;
    struct buf told; /* "reply|reply|" of those that were answered */
} w;

/* Clients are never looked into: any address will do. */
static struct client *const somebody = (struct client *)(void *)&w;

static void setup(void)
{
    memset(&w, 0, sizeof w);
    outbox_init(&w.outbox, &w.pool);
}

/* Every request has come back, once. */
static void teardown(void)
{
    const uint8_t *bytes;
    struct request *r;

    if (w.outbox.linked) {
        r = outbox_lost(&w.outbox, true);
        ck_assert_ptr_null(r);
    }
    while ((r = outbox_take_first(&w.outbox, &bytes)) != NULL) {
        request_give(&w.pool, r);
    }
    ck_assert_uint_eq(w.outbox.bytes.len, 0);
    outbox_fini(&w.outbox);
    ck_assert_uint_eq(w.pool.live_count, 0);
    request_pool_release(&w.pool);
    buf_release(&w.told);
}

static struct request *put_as(const char *word, unsigned db, unsigned resp, uint32_t flags)
{
    struct resp_arg arg = {(const uint8_t *)word, strlen(word)};
    struct request *r = request_take(&w.pool);

    r->client = somebody;
    r->flags = flags;
    outbox_add(&w.outbox, r, db, resp, &arg, 1);
    return r;
}

static struct request *put(const char *word)
{
    return put_as(word, 0, 2, 0);
}

static void answered(void *ctx, struct request *r)
{
    struct buf reply = BUF_INIT;

    (void)ctx;
    request_move_reply(r, &reply);
    buf_append(&w.told, buf_head(&reply), reply.len);
    buf_append_str(&w.told, "|");
    buf_release(&reply);
    request_give(&w.pool, r);
}

static void take(const char *bytes, enum outbox_says says)
{
    ck_assert_int_eq(outbox_take(&w.outbox, (const uint8_t *)bytes, strlen(bytes), answered, NULL),
                     says);
}

static void told(const char *expected)
{
    buf_append(&w.told, "", 1);
    ck_assert_str_eq((const char *)buf_head(&w.told), expected);
    buf_clear(&w.told);
}

/* The unsent bytes without what RESP puts between the words: "SELECT 1 get". */
static void unsent(const char *expected)
{
    struct buf text = BUF_INIT;
    size_t size;
    const char *at = (const char *)outbox_unsent(&w.outbox, &size), *end = at + size;

    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        ck_assert_ptr_nonnull(line);
        if (*at != '*' && *at != '$') {
            buf_append_str(&text, text.len > 0 ? " " : "");
            buf_append(&text, at, (size_t)(line - 1 - at));
        }
        at = line + 1;
    }
    UNIT_TEXT_IS(&text, expected);
}

static void send_all(void)
{
    size_t size;

    (void)outbox_unsent(&w.outbox, &size);
    outbox_wrote(&w.outbox, size);
}

/* Gives back what outbox_lost or outbox_expire returned; how many that were. */
static int give(struct request *list)
{
    int count = 0;

    while (list != NULL) {
        struct request *next = list->next_in_batch;
        list->next_in_batch = NULL;
        request_give(&w.pool, list);
        list = next;
        count++;
    }
    return count;
}

/* Requests are answered in order, however the replies are cut. */
START_TEST(test_order)
{
    static const char replies[] = "+one\r\n$3\r\ntwo\r\n*2\r\n:1\r\n:2\r\n";

    outbox_begin(&w.outbox, "");
    put("a"), put("b"), put("c");
    unsent("a b c");
    send_all();
    for (size_t i = 0; i < sizeof replies - 1; i++) {
        char piece[2] = {replies[i], '\0'};
        take(piece, OUTBOX_GOES_ON);
    }
    told("+one\r\n|$3\r\ntwo\r\n|*2\r\n:1\r\n:2\r\n|");
    ck_assert_uint_eq(w.outbox.count, 0);
    ck_assert_uint_eq(w.outbox.bytes.len, 0);
}
END_TEST

/* SELECT and HELLO are put where neighbours differ, their replies are swallowed; a block that
 * selects leaves a database that nobody knows. */
START_TEST(test_state)
{
    static const char block[] = "*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n";

    outbox_begin(&w.outbox, "");
    put_as("a", 3, 3, 0);
    put_as("b", 3, 3, 0);
    put_as("c", 0, 2, 0);
    struct request *r = request_take(&w.pool);
    r->client = somebody;
    r->flags = REQUEST_BLOCK | REQUEST_SELECTS;
    outbox_add_bytes(&w.outbox, r, 0, 2, block, sizeof block - 1, 1);
    put_as("d", 0, 2, 0);
    unsent("HELLO 3 SELECT 3 a b HELLO 2 SELECT 0 c MULTI EXEC SELECT 0 d");
    send_all();
    take("%1\r\n+x\r\n:1\r\n+OK\r\n+a\r\n+b\r\n*0\r\n+OK\r\n+c\r\n+OK\r\n*0\r\n+OK\r\n+d\r\n",
         OUTBOX_GOES_ON);
    told("+a\r\n|+b\r\n|+c\r\n|*0\r\n|+d\r\n|");
}
END_TEST

/* Whether a client waits for commits is told to a proxy where neighbours differ, and to no Redis.
 */
START_TEST(test_sync)
{
    outbox_begin(&w.outbox, "0123456789abcdef");
    put_as("a", 0, 2, 0);
    put_as("b", 0, 2, REQUEST_ASYNC);
    put_as("c", 1, 2, REQUEST_ASYNC);
    put_as("d", 1, 2, 0);
    unsent("a HOLDFAST SYNC OFF b SELECT 1 c HOLDFAST SYNC ON d");
    send_all();
    take("+a\r\n+OK\r\n+b\r\n+OK\r\n+c\r\n+OK\r\n", OUTBOX_GOES_ON);
    told("+a\r\n|+b\r\n|+c\r\n|");
    give(outbox_lost(&w.outbox, true));
    put_as("e", 0, 2, REQUEST_ASYNC);
    outbox_begin(&w.outbox, "0123456789abcdef");
    unsent("SELECT 1 d HOLDFAST SYNC OFF SELECT 0 e");
    give(outbox_lost(&w.outbox, true));
    outbox_begin(&w.outbox, "");
    unsent("SELECT 1 d SELECT 0 e");
    send_all();
    take("+OK\r\n+d\r\n+OK\r\n+e\r\n", OUTBOX_GOES_ON);
}
END_TEST

/* A connection that is lost: what was sent whole is unknown, unless it only reads; what was not
 * stays, in order, and is sent anew with the state that a new connection needs. */
START_TEST(test_lost)
{
    size_t size;

    outbox_begin(&w.outbox, "");
    put_as("w1", 1, 2, 0);
    put_as("r1", 1, 2, REQUEST_RETRY);
    put_as("w2", 1, 2, 0);
    put_as("w3", 1, 2, 0);
    (void)outbox_unsent(&w.outbox, &size);
    outbox_wrote(&w.outbox, size - 1); /* but for the last byte of w3 */
    take("+OK\r\n+w1\r\n+half of", OUTBOX_GOES_ON);
    told("+w1\r\n|");
    ck_assert(outbox_awaits(&w.outbox));
    ck_assert_int_eq(give(outbox_lost(&w.outbox, false)), 1); /* w2 */
    ck_assert(!outbox_awaits(&w.outbox));
    put_as("w4", 2, 2, 0);
    (void)outbox_unsent(&w.outbox, &size);
    ck_assert_uint_eq(size, 0);
    outbox_begin(&w.outbox, "");
    unsent("SELECT 1 r1 w3 SELECT 2 w4");
    send_all();
    take("+OK\r\n+r1\r\n+w3\r\n+OK\r\n+w4\r\n", OUTBOX_GOES_ON);
    told("+r1\r\n|+w3\r\n|+w4\r\n|");
}
END_TEST

/* "Moved" with the connection's nonce: from that request on nothing was executed, nothing is lost,
 * it is only to be sent elsewhere. */
START_TEST(test_moved)
{
    outbox_begin(&w.outbox, NONCE);
    put("w1"), put("w2"), put("w3");
    send_all();
    take("+w1\r\n" MOVED MOVED, OUTBOX_MOVED);
    told("+w1\r\n|");
    ck_assert_ptr_null(outbox_lost(&w.outbox, true));
    outbox_begin(&w.outbox, NONCE);
    unsent("w2 w3");
}
END_TEST

/* It may come in the middle of a block, or as the answer to the SELECT in front. */
START_TEST(test_moved_inside)
{
    static const char block[] = "*1\r\n$5\r\nMULTI\r\n*1\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n";
    struct request *r = request_take(&w.pool);

    outbox_begin(&w.outbox, NONCE);
    r->client = somebody;
    r->flags = REQUEST_BLOCK;
    outbox_add_bytes(&w.outbox, r, 0, 2, block, sizeof block - 1, 2);
    send_all();
    take("+OK\r\n" MOVED, OUTBOX_MOVED);
    ck_assert_ptr_null(outbox_lost(&w.outbox, true));
    outbox_begin(&w.outbox, NONCE);
    put_as("b", 4, 2, 0);
    send_all();
    take("+OK\r\n+QUEUED\r\n*1\r\n+a\r\n" MOVED, OUTBOX_MOVED);
    told("*1\r\n+a\r\n|");
    ck_assert_ptr_null(outbox_lost(&w.outbox, true));
    outbox_begin(&w.outbox, NONCE);
    unsent("SELECT 4 b");
}
END_TEST

/* An error that only looks so (a script can say anything) is the reply that it is: without the
 * nonce, with another one, or inside an array. */
START_TEST(test_moved_forged)
{
    outbox_begin(&w.outbox, NONCE);
    put("a"), put("b"), put("c");
    send_all();
    take("-HOLDFASTMOVED 7 127.0.0.1:7380\r\n", OUTBOX_GOES_ON);
    take("-HOLDFASTMOVED 0123456789abcdee 7 127.0.0.1:7380\r\n", OUTBOX_GOES_ON);
    take("*1\r\n" MOVED, OUTBOX_GOES_ON);
    told("-HOLDFASTMOVED 7 127.0.0.1:7380\r\n|"
         "-HOLDFASTMOVED 0123456789abcdee 7 127.0.0.1:7380\r\n|*1\r\n" MOVED "|");
    ck_assert_ptr_null(outbox_lost(&w.outbox, false));
    outbox_begin(&w.outbox, ""); /* a server that knows no such answer */
    put("a");
    send_all();
    take("-HOLDFASTMOVED  7 127.0.0.1:7380\r\n", OUTBOX_GOES_ON);
    told("-HOLDFASTMOVED  7 127.0.0.1:7380\r\n|");
}
END_TEST

/* Replies that nobody asked for, pushes, a refused SELECT, and no RESP at all end the connection.
 */
START_TEST(test_broken)
{
    static const char *const cases[] = {"+x\r\n+y\r\n", ">1\r\n+x\r\n", "hello\r\n", "?"};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        outbox_begin(&w.outbox, "");
        put("a");
        send_all();
        take(cases[i], OUTBOX_BROKEN);
        (void)give(outbox_lost(&w.outbox, false));
    }
    outbox_begin(&w.outbox, "");
    put_as("a", 5, 2, 0);
    send_all();
    take("-ERR DB index is out of range\r\n", OUTBOX_BROKEN);
    ck_assert_int_eq(give(outbox_lost(&w.outbox, false)), 1);
    outbox_begin(&w.outbox, "");
    put("a"); /* not sent */
    take("+x\r\n", OUTBOX_BROKEN);
    ck_assert_ptr_null(outbox_lost(&w.outbox, false));
    w.told.len = 0;
}
END_TEST

/* Without a connection, requests wait; the oldest are taken out when their time is over. */
START_TEST(test_expire)
{
    for (uint64_t i = 1; i <= 3; i++) {
        put("a")->queued_ns = i;
    }
    ck_assert_ptr_null(outbox_expire(&w.outbox, 0));
    ck_assert_int_eq(give(outbox_expire(&w.outbox, 2)), 2);
    ck_assert_uint_eq(w.outbox.count, 1);
    outbox_begin(&w.outbox, "");
    unsent("a");
}
END_TEST

/* Requests whose client has gone are not sent by a new connection; those that were sent before are
 * told from the others by their answers still. */
START_TEST(test_gone)
{
    outbox_begin(&w.outbox, "");
    struct request *sent = put("a");
    put("b");
    send_all();
    sent->client = NULL;
    take("+a\r\n+b\r\n", OUTBOX_GOES_ON);
    told("|+b\r\n|");
    struct request *waits = put("c");
    put("d");
    ck_assert_ptr_null(outbox_lost(&w.outbox, false));
    waits->client = NULL;
    outbox_begin(&w.outbox, "");
    unsent("d");
}
END_TEST

/* Whole requests can be taken out with their bytes, for another executor. */
START_TEST(test_take_first)
{
    const uint8_t *bytes;

    outbox_begin(&w.outbox, "");
    put_as("a", 3, 2, REQUEST_RETRY);
    put_as("b", 3, 2, 0);
    ck_assert_ptr_null(outbox_lost(&w.outbox, false));
    for (const char *word = "ab"; *word != '\0'; word++) {
        struct request *r = outbox_take_first(&w.outbox, &bytes);
        ck_assert_ptr_nonnull(r);
        ck_assert_uint_eq(r->command_len, 11);
        ck_assert_int_eq(bytes[8], *word);
        ck_assert_uint_eq(r->db, 3);
        request_give(&w.pool, r);
    }
    ck_assert_ptr_null(outbox_take_first(&w.outbox, &bytes));
}
END_TEST

int main(void)
{
    return UNIT_RUN("outbox", setup, teardown, test_order, test_state, test_sync, test_lost,
                    test_moved, test_moved_inside, test_moved_forged, test_broken, test_expire,
                    test_gone, test_take_first);
}
