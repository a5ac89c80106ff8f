/* Large requests and large replies go over links of their own; and what happens to writes while the
 * log has no room. */
#include "proxy/clients/bigs.h"
#include "proxy/clients/router.h"

#include "tests/lib/router_world.h"
#include "tests/lib/sockets.h"
#include "tests/lib/unit.h"

#include <errno.h>
#include <string.h>

enum { LARGE = BIGS_BYTES + 4321, PIECE = 16384 };

static struct buf sent, got;

static void setup(void)
{
    world_setup();
    buf_clear(&sent);
    buf_clear(&got);
}

static void teardown(void)
{
    world_teardown();
    buf_release(&sent);
    buf_release(&got);
}

/* Sends all of it while the world goes round and takes in what comes at another end, until that has
 * as much as is wanted there. */
static void pump(int from, const struct buf *bytes, int to, size_t wanted)
{
    size_t at = 0;

    buf_clear(&got);
    for (int rounds = 0; at < bytes->len || got.len < wanted; rounds++) {
        size_t size = bytes->len - at < PIECE ? bytes->len - at : PIECE;
        ssize_t put =
            size > 0 ? send(from, buf_head(bytes) + at, size, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        ck_assert(put >= 0 || errno == EAGAIN);
        at += put > 0 ? (size_t)put : 0;
        world_turn();
        ssize_t took = recv(to, buf_reserve(&got, 65536), 65536, MSG_DONTWAIT);
        ck_assert(took > 0 || (took < 0 && errno == EAGAIN));
        buf_commit(&got, took > 0 ? (size_t)took : 0);
        if (took < 0 && put <= 0) {
            sockets_wait(to, POLLIN, 1);
        }
        ck_assert_int_lt(rounds, 20000);
    }
}

static void put_large_set(struct buf *b, const char *key)
{
    buf_printf(b, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%d\r\n", strlen(key), key, LARGE);
    uint8_t *value = buf_reserve(b, LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        value[i] = (uint8_t)(i * 7 + i / 300);
    }
    buf_commit(b, LARGE);
    buf_append_str(b, "\r\n");
}

/* A client says a large SET (at the end of sent; `before` of it is there already, for Redis only);
 * the private link gets it whole, and the fence behind it. */
static void say_large(int client, int link, size_t before)
{
    static const char fence[] = "*1\r\n$4\r\nROLE\r\n";
    struct buf said = BUF_INIT;
    size_t wanted = sent.len + sizeof fence - 1;

    buf_append(&said, buf_head(&sent) + before, sent.len - before);
    pump(world.fds[client], &said, world.links[link], wanted);
    ck_assert_uint_eq(got.len, wanted);
    ck_assert(memcmp(buf_head(&got), buf_head(&sent), sent.len) == 0);
    ck_assert(memcmp(buf_head(&got) + sent.len, fence, sizeof fence - 1) == 0);
    buf_release(&said);
}

/* The first one makes the link, and waits for it. */
static void first_large(void)
{
    put_large_set(&sent, "a");
    for (size_t at = 0; at < sent.len;) {
        size_t size = sent.len - at < PIECE ? sent.len - at : PIECE;
        ssize_t put = send(world.fds[0], buf_head(&sent) + at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += put > 0 ? (size_t)put : 0;
        world_turn();
    }
    world_link_up(0);
    struct buf nothing = BUF_INIT;
    pump(-1, &nothing, world.links[0], sent.len + 14);
    ck_assert(memcmp(buf_head(&got), buf_head(&sent), sent.len) == 0);
    ck_assert(memcmp(buf_head(&got) + sent.len, "*1\r\n$4\r\nROLE\r\n", 14) == 0);
}

/* A large request goes over a link of its own, to the byte, while others are served on the shared
 * one; its bytes count as the client's until it is answered. What the client asks behind it comes
 * behind it. */
START_TEST(test_request)
{
    world_join(1);
    first_large();
    ck_assert_uint_ge(world.all.query_bytes, LARGE);
    world_asks(1, "GET b", "$-1\r\n");
    world_say(0, "GET c");
    world_expect_nothing_sent();
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_expect_sent("GET c");
    world_redis("$-1\r\n");
    world_expect(0, "$-1\r\n");
    ck_assert_uint_eq(world.all.query_bytes, 0);
}
END_TEST

/* A large transaction goes as one piece, too; which protocol its HELLO has left the link with is
 * not taken for granted. */
START_TEST(test_transaction_state)
{
    static const char exec[] = "*1\r\n$4\r\nEXEC\r\n";
    struct buf nothing = BUF_INIT;

    buf_append_str(&sent, "*1\r\n$5\r\nMULTI\r\n*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
                          "*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n");
    put_large_set(&sent, "a");
    buf_append_str(&sent, exec);
    pump(world.fds[0], &sent, world.fds[0], 5 + 3 * 9);
    world_link_up(0);
    pump(-1, &nothing, world.links[0], sent.len);
    ck_assert_uint_eq(got.len, sent.len);
    ck_assert(memcmp(buf_head(&got), buf_head(&sent), sent.len) == 0);
    world_link_redis_raw(0, "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
                            "*3\r\n%0\r\n+OK\r\n+OK\r\n");
    const char *heard = world_hear(0);
    ck_assert_msg(strncmp(heard, "*3\r\n%7\r\n", 8) == 0, "%s", heard);
    world_say(0, "HELLO 2");
    world_link_expect_bare(0, "HELLO 2|PING");
    world_link_redis_raw(0, "*0\r\n+PONG\r\n");
    ck_assert_int_eq(*world_hear(0), '*');
}
END_TEST

/* What stands behind it in the same read is neither lost nor early; state of the link is put before
 * it. */
START_TEST(test_request_state)
{
    first_large();
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "SELECT 3");
    world_expect(0, "+OK\r\n");
    buf_clear(&sent);
    buf_append_str(&sent, "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
    size_t before = sent.len;
    put_large_set(&sent, "a");
    say_large(0, 0, before);
    world_say(0, "GET b"); /* the client's own order holds, whatever the links */
    world_link_redis(0, "+OK\r\n+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_expect_sent("SELECT 3|GET b");
    world_redis("+OK\r\n$-1\r\n");
    world_expect(0, "$-1\r\n");
}
END_TEST

/* What of a large CONFIG SET is about clients does not reach Redis with the rest. */
START_TEST(test_words_of_ours)
{
    struct buf bytes = BUF_INIT, wanted = BUF_INIT;

    first_large();
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "WATCH a"); /* so that it goes over the link */
    world_link_expect_sent(0, "WATCH a");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    for (int i = 0; i < 2; i++) {
        struct buf *b = i == 0 ? &bytes : &wanted;
        buf_append_str(b, i == 0 ? "*6\r\n" : "*4\r\n");
        buf_append_str(b, "$6\r\nCONFIG\r\n$3\r\nSET\r\n");
        buf_append_str(b, i == 0 ? "$7\r\ntimeout\r\n$1\r\n9\r\n" : "");
        buf_printf(b, "$4\r\nsave\r\n$%d\r\n", LARGE);
        memset(buf_reserve(b, LARGE), 'x', LARGE);
        buf_commit(b, LARGE);
        buf_append_str(b, "\r\n");
    }
    pump(world.fds[0], &bytes, world.links[0], wanted.len);
    ck_assert_uint_ge(got.len, wanted.len);
    ck_assert(memcmp(buf_head(&got), buf_head(&wanted), wanted.len) == 0);
    buf_release(&bytes);
    buf_release(&wanted);
}
END_TEST

/* A client that is killed while its large request is on its way takes it along; nothing is left. */
START_TEST(test_request_abandoned)
{
    first_large();
    client_close(world.clients[0], "killed");
    (void)close(world.fds[0]);
    world.fds[0] = -1;
    for (int i = 0; i < 100 && world.all.count > 0; i++) {
        world_turn();
    }
    world_link_expect_closed(0);
    ck_assert_uint_eq(world.all.query_bytes, 0);
    ck_assert_uint_eq(world.pool.live_count, 0);
}
END_TEST

/* Where a large value was written it is read over a link of its own, until it is overwritten. */
START_TEST(test_written)
{
    first_large();
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_asks(0, 0, "GET a", "$1\r\n1\r\n");
    world_asks(0, "SET a 1", "+OK\r\n");
    world_asks(0, "GET a", "$1\r\n1\r\n");
}
END_TEST

/* A large reply is remembered of its key and command, and forgotten when it has become small. */
START_TEST(test_replied)
{
    struct buf reply = BUF_INIT;

    world_say(0, "LRANGE a 0 -1");
    world_expect_sent("LRANGE a 0 -1");
    buf_printf(&reply, "*1\r\n$%d\r\n", LARGE);
    memset(buf_reserve(&reply, LARGE), 'x', LARGE);
    buf_commit(&reply, LARGE);
    buf_append_str(&reply, "\r\n");
    size_t size = reply.len;
    buf_append_str(&reply, "*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n");
    pump(world.redis, &reply, world.fds[0], size);
    ck_assert_uint_eq(got.len, size);
    ck_assert(memcmp(buf_head(&got), buf_head(&reply), size) == 0);
    buf_release(&reply);
    world_asks(0, "LLEN a", ":1\r\n");
    world_say(0, "LRANGE a 0 -1");
    world_link_up(0);
    world_link_expect_sent(0, "LRANGE a 0 -1");
    world_link_redis(0, "*0\r\n");
    world_expect(0, "*0\r\n");
    world_asks(0, "LRANGE a 0 -1", "*0\r\n");
}
END_TEST

/* While the log has no room, writes wait, unread, with all that their clients ask behind them;
 * reads are served. */
START_TEST(test_log_full)
{
    world_join(1);
    world.router.log_full = true;
    world_say_raw(0, "GET a\r\nSET a 1\r\nGET a\r\n");
    world_expect_sent("GET a");
    world_redis("$1\r\n0\r\n");
    world_expect(0, "$1\r\n0\r\n");
    world_say_raw(1, "MULTI\r\nINCR b\r\nEXEC\r\n");
    world_expect(1, "+OK\r\n+QUEUED\r\n");
    world_expect_nothing_sent();
    world.router.log_full = false;
    clients_take_up(&world.all);
    world_expect_sent("SET a 1|GET a|MULTI|INCR b|EXEC");
    world_redis("+OK\r\n$1\r\n1\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n");
    world_expect(0, "+OK\r\n$1\r\n1\r\n");
    world_expect(1, "*1\r\n:1\r\n");
}
END_TEST

/* Whatever is added is found, until something else takes its place. */
START_TEST(test_bigs)
{
    struct bigs b = {.count = 0};

    ck_assert(!bigs_has(&b, 5));
    bigs_add(&b, 0);
    ck_assert(!bigs_has(&b, 0));
    bigs_add(&b, 5);
    bigs_add(&b, 5);
    bigs_add(&b, 6);
    ck_assert(bigs_has(&b, 5) && bigs_has(&b, 6));
    bigs_add(&b, 5 + BIGS_SLOTS);
    ck_assert(!bigs_has(&b, 5) && bigs_has(&b, 5 + BIGS_SLOTS));
    bigs_remove(&b, 5);
    ck_assert_uint_eq(b.count, 2);
    bigs_remove(&b, 6);
    bigs_remove(&b, 5 + BIGS_SLOTS);
    ck_assert_uint_eq(b.count, 0);
    ck_assert(!bigs_has(&b, 6));
}
END_TEST

int main(void)
{
    return UNIT_RUN("router_alone", setup, teardown, test_request, test_request_state,
                    test_transaction_state, test_words_of_ours, test_request_abandoned,
                    test_written, test_replied, test_log_full, test_bigs);
}
