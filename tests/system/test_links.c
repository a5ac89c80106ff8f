/* What needs a connection of its own at Redis: WATCH and blocking commands, seen by clients as at a
 * plain Redis. */
#include "tests/lib/duel.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <stdio.h>
#include <string.h>

const struct cluster_options system_options = {.plain = true,
                                               .lease_ms = CLUSTER_LONG_LEASE_MS,
                                               .proxy_json = "\"limits\": {\"private_max\": 20}"};

enum { PRIVATE_MAX = 20, SPARES = 4 };

/* ---- WATCH ---- */

START_TEST(watch_succeeds_or_fails)
{
    DUEL("A SET w 1", "A WATCH w", "A GET w", "A MULTI", "A SET w 2", "A EXEC", "A GET w",
         /* somebody else writes: nothing is done */
         "A WATCH w", "B SET w 3", "A MULTI", "A SET w 4", "A EXEC", "A GET w",
         /* one's own write counts, too */
         "A WATCH w", "A SET w 5", "A MULTI", "A SET w 6", "A EXEC", "A GET w",
         /* a key that is not watched does not matter */
         "A WATCH w", "B SET other 1", "A MULTI", "A SET w 7", "A EXEC", "A GET w",
         /* nothing between MULTI and EXEC */
         "A WATCH w", "B SET w 8", "A MULTI", "A EXEC", "A GET w",
         /* EXEC has forgotten it */
         "B SET w 9", "A MULTI", "A GET w", "A EXEC");
}
END_TEST

START_TEST(watch_is_forgotten)
{
    DUEL("A WATCH f", "B SET f 1", "A UNWATCH", "A MULTI", "A SET f 2", "A EXEC", "A GET f",
         "A WATCH f", "A MULTI", "A DISCARD", "B SET f 3", "A MULTI", "A SET f 4", "A EXEC",
         "A WATCH f", "A MULTI", "A NOSUCH", "A EXEC", "B SET f 5", "A MULTI", "A SET f 6",
         "A EXEC", "A WATCH f", "A RESET", "B SET f 7", "A MULTI", "A SET f 8", "A EXEC",
         "A WATCH f", "A MULTI", "A EXEC x", "A GET f", "A EXEC", "B SET f 9", "A MULTI", "A EXEC",
         "A UNWATCH", "A UNWATCH");
}
END_TEST

START_TEST(watch_errors)
{
    DUEL("A MULTI", "A WATCH e", "A SET e 1", "A EXEC", "A GET e", "A WATCH", "A WATCH e",
         "A MULTI", "A UNWATCH", "B SET e 2", "A EXEC", "A EXEC", "A DISCARD");
}
END_TEST

/* What is watched: in its database, by name, gone or flushed. */
START_TEST(watch_sees_all_ways_of_changing)
{
    DUEL("A SELECT 3", "A WATCH d", "B SET d 1", "A MULTI", "A SET d 2", "A EXEC", /* another db */
         "B SELECT 3", "A WATCH d", "A SELECT 0", "B SET d 3", "A MULTI", "A PING", "A EXEC",
         "A SELECT 3", "A SET d 1", "A WATCH d", "B FLUSHDB", "A MULTI", "A PING", "A EXEC",
         "A WATCH nothing", "B FLUSHDB", "A MULTI", "A PING", "A EXEC", "A SET d 1", "A WATCH d",
         "B SWAPDB 3 4", "A MULTI", "A PING", "A EXEC", "A SELECT 4", "A GET d", "A WATCH d",
         "B SELECT 4", "B RENAME d e", "A MULTI", "A PING", "A EXEC", "A WATCH e",
         "B PEXPIRE e 100000", "A MULTI", "A PING", "A EXEC", "A WATCH e", "B DEL e", "B SET e 1",
         "A MULTI", "A PING", "A EXEC", "A PSETEX x 20 1", "A WATCH x", "B|", "A MULTI", "A GET x",
         "A EXEC");
}
END_TEST

/* All in one piece: each part runs where and when it would at Redis. */
START_TEST(watch_in_a_pipeline)
{
    DUEL("A~SET p 1", "A~WATCH p", "A~GET p", "A~MULTI", "A~INCR p", "A~EXEC", "A~GET p",
         "A~WATCH p", "A~SET p 5", "A~MULTI", "A~INCR p", "A~EXEC", "A~INCR p", "A~UNWATCH",
         "A~WATCH p", "A~UNWATCH", "A~INCR p", "A~MULTI", "A~SELECT 2", "A~GET p", "A~EXEC",
         "A~GET p", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<",
         "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<", "A<");
}
END_TEST

START_TEST(watch_in_resp3)
{
    DUEL("A:HELLO 3", "A HSET h f v", "A WATCH h", "A HGETALL h", "A MULTI", "A HGETALL h",
         "A EXEC", "A WATCH h", "B HSET h f w", "A MULTI", "A HGETALL h", "A EXEC", "A GET none");
}
END_TEST

/* A counter that many clients raise by optimistic locking loses nothing. */
START_TEST(watch_loses_no_update)
{
    enum { WORKERS = 8, RAISES = 25 };
    struct wire workers[WORKERS];
    struct buf reply = BUF_INIT;
    char value[32];
    int done[WORKERS] = {0}, state[WORKERS] = {0}, left = WORKERS * RAISES;

    for (int i = 0; i < WORKERS; i++) {
        wire_open(&workers[i], cluster_port(cluster, "proxy1"));
        wire_command(&workers[i], "WATCH", "counter");
        wire_command(&workers[i], "GET", "counter");
    }
    while (left > 0) {
        for (int i = 0; i < WORKERS; i++) {
            if (done[i] == RAISES) {
                continue;
            }
            if (state[i] == 0) {
                wire_expect(&workers[i], "+OK\r\n");
                ck_assert_int_eq(wire_reply(&workers[i], &reply, WIRE_PATIENCE_MS), ERR_OK);
                const char *number = strchr((char *)buf_head(&reply), '\n');
                long long n = number[1] == '\0' ? 0 : strtoll(number + 1, NULL, 10);
                (void)snprintf(value, sizeof value, "%lld", n + 1);
                wire_command(&workers[i], "MULTI");
                wire_command(&workers[i], "SET", "counter", value);
                wire_command(&workers[i], "EXEC");
                state[i] = 1;
            } else {
                wire_expect(&workers[i], "+OK\r\n");
                wire_expect(&workers[i], "+QUEUED\r\n");
                ck_assert_int_eq(wire_reply(&workers[i], &reply, WIRE_PATIENCE_MS), ERR_OK);
                bool won = strcmp((char *)buf_head(&reply), "*1\r\n+OK\r\n") == 0;
                done[i] += won;
                left -= won;
                state[i] = 0;
                if (done[i] < RAISES) {
                    wire_command(&workers[i], "WATCH", "counter");
                    wire_command(&workers[i], "GET", "counter");
                }
            }
        }
    }
    wire_command(&workers[0], "GET", "counter");
    (void)snprintf(value, sizeof value, "$3\r\n%d\r\n", WORKERS * RAISES);
    wire_expect(&workers[0], value);
    for (int i = 0; i < WORKERS; i++) {
        wire_close(&workers[i]);
    }
    buf_release(&reply);
}
END_TEST

/* ---- blocking commands ---- */

START_TEST(blocking_pops)
{
    DUEL("A~BLPOP q 0", "=1", "B RPUSH q 1 2 3", "A<", "A BLPOP q 0", "A BRPOP none q 0",
         "A BLPOP none 0.02", "B LLEN q", "A~BRPOPLPUSH q r 0", "=1", "B LPUSH q x", "A<",
         "A~BLMOVE q r LEFT RIGHT 0", "=1", "B LPUSH q y", "A<", "B LRANGE r 0 -1",
         "A~BLMPOP 0 2 q q2 LEFT COUNT 2", "=1", "B RPUSH q2 1 2 3", "A<", "B DEL q2",
         "A~BZPOPMIN z z2 0", "=1", "B ZADD z2 1 a 2 b", "A<", "A BZPOPMAX z2 0",
         "A~BZMPOP 0 1 z MAX", "=1", "B ZADD z 5 five", "A<", "A BZPOPMAX z 0.02");
}
END_TEST

START_TEST(blocking_errors)
{
    DUEL("A BLPOP q x", "A BLPOP q -1", "A BLPOP q", "A SET s 1", "A BLPOP s 0", "A BLPOP none s 0",
         "A BLMPOP 0 0 q LEFT", "A BLMPOP 0 x q LEFT", "A XREAD BLOCK x STREAMS s 0",
         "A XREADGROUP GROUP g c BLOCK 0 STREAMS st >", "A XREAD BLOCK -1 STREAMS st $");
}
END_TEST

START_TEST(blocking_is_fair)
{
    DUEL("A~BLPOP q 0", "=1", "B~BLPOP q 0", "=2", "C~BRPOP q 0", "=3", "D RPUSH q 1 2 3 4", "A<",
         "B<", "C<", "D LLEN q", "D DEL q", "A~BLPOP q1 q2 0", "=1", "D MULTI", "D RPUSH q2 2",
         "D RPUSH q1 1", "D EXEC", "A<", "D DEL q1 q2");
}
END_TEST

START_TEST(blocking_inside_multi_does_not_block)
{
    DUEL("A MULTI", "A BLPOP q 0", "A XREAD BLOCK 0 STREAMS st $", "A EXEC", "A RPUSH q 1",
         "A MULTI", "A BLPOP q 0", "A EXEC");
}
END_TEST

/* While one blocks, its later requests wait; everybody else's go on. */
START_TEST(blocked_clients_pipelines_wait)
{
    DUEL("A~BLPOP q 0", "A~SET after 1", "A~BLPOP q 0", "A~GET after", "=1", "B GET after", "A|",
         "B RPUSH q 1", "A<", "A<", "=1", "B GET after", "B RPUSH q 2", "A<", "A<");
}
END_TEST

START_TEST(blocking_streams)
{
    DUEL("A~XREAD BLOCK 0 STREAMS st $", "=1", "B XADD st 1-1 f v", "A<", "A XREAD STREAMS st 0",
         "A XREAD BLOCK 20 STREAMS st $", "A XGROUP CREATE st g $",
         "A~XREADGROUP GROUP g c BLOCK 0 STREAMS st >", "=1", "B XADD st 1-2 f w", "A<",
         "A XPENDING st g", "A~XREADGROUP GROUP g c BLOCK 0 STREAMS st >", "=1", "B DEL st", "A<",
         "A:HELLO 3", "A~XREAD BLOCK 0 STREAMS s3 $", "=1", "B XADD s3 1-1 f v", "A<");
}
END_TEST

START_TEST(unblocking)
{
    DUEL("A~BLPOP u 0", "=1", "B CLIENT UNBLOCK %A", "A<", "A~BLPOP u 0", "=1",
         "B CLIENT UNBLOCK %A ERROR", "A<", "A~BLPOP u 0", "=1", "B CLIENT UNBLOCK %A TIMEOUT",
         "A<", "B CLIENT UNBLOCK %A", "B CLIENT UNBLOCK %B", "B CLIENT UNBLOCK 99999999",
         "B CLIENT UNBLOCK x", "B CLIENT UNBLOCK %A WHAT", "B CLIENT UNBLOCK %A TIMEOUT x",
         "B WATCH k", "A~BLPOP u 0", "=1", "B CLIENT UNBLOCK %A", "A<", "B MULTI", "B EXEC");
}
END_TEST

/* Who leaves while blocked takes nothing along. */
START_TEST(blocked_clients_may_leave)
{
    DUEL("A~BLPOP q 0", "=1", "A!", "=0", "B RPUSH q 1", "B LRANGE q 0 -1", "B DEL q",
         /* with something behind it in the pipeline as well */
         "A~BLPOP q 0", "A~GET x", "=1", "A|", "A!", "=0", "B RPUSH q 1", "B LRANGE q 0 -1",
         "B DEL q");
}
END_TEST

static bool no_links_are_left(void *arg)
{
    (void)arg;
    return cluster_info_number(cluster, "holdfast_private_connections") == 0;
}

static bool spares_are_up(void *arg)
{
    static const char setup_done[] = "cmd=info";
    struct wire w;
    struct buf list = BUF_INIT;
    size_t count = 0;

    (void)arg;
    wire_open(&w, cluster_port(cluster, "redis1"));
    wire_command(&w, "CLIENT", "LIST", "TYPE", "normal");
    ck_assert_int_eq(wire_reply(&w, &list, WIRE_PATIENCE_MS), 0);
    for (const char *at = (const char *)buf_head(&list); (at = strstr(at, setup_done)) != NULL;
         at++) {
        count++;
    }
    buf_release(&list);
    wire_close(&w);
    return count >= SPARES;
}

/* Redis serves who blocks in the order in which they came. So it is here, though each needs a link
 * to Redis first, nobody waits until the others are seen to block, and what they wait for comes
 * over the shared link at once. Who leaves takes the link along, so each round needs new ones. */
START_TEST(blocked_clients_keep_their_order)
{
    for (int round = 0; round < 20; round++) {
        struct wire blocked[SPARES], pusher;

        wire_open(&pusher, cluster_port(cluster, "proxy1"));
        for (int i = 0; i < SPARES; i++) {
            wire_open(&blocked[i], cluster_port(cluster, "proxy1"));
            wire_asks(&blocked[i], "+PONG\r\n", "PING");
        }
        cluster_wait("spare links to be up", WIRE_PATIENCE_MS, spares_are_up, NULL);
        for (int i = 0; i < SPARES; i++) {
            wire_command(&blocked[i], "BLPOP", "order", "0");
        }
        wire_asks(&pusher, ":4\r\n", "RPUSH", "order", "0", "1", "2", "3");
        for (int i = 0; i < SPARES; i++) {
            char expected[64];

            (void)snprintf(expected, sizeof expected, "*2\r\n$5\r\norder\r\n$1\r\n%d\r\n", i);
            wire_expect(&blocked[i], expected);
            wire_command(&blocked[i], "BLPOP", "order", "0");
        }
        for (int i = 0; i < SPARES; i++) {
            ck_assert(wire_silent(&blocked[i], 1));
            wire_close(&blocked[i]);
        }
        wire_close(&pusher);
        cluster_wait("the links of those who left to end", WIRE_PATIENCE_MS, no_links_are_left,
                     NULL);
    }
}
END_TEST

/* More than limits.private_max is refused clearly; those that have one go on; and what is given
 * back is there for others. */
START_TEST(links_are_bounded)
{
    struct wire blocked[PRIVATE_MAX], late;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PRIVATE_MAX; i++) {
            wire_open(&blocked[i], cluster_port(cluster, "proxy1"));
            wire_command(&blocked[i], "BLPOP", "bound", "0");
        }
        for (int i = 0; i < PRIVATE_MAX; i++) {
            ck_assert(wire_silent(&blocked[i], 5));
        }
        wire_open(&late, cluster_port(cluster, "proxy1"));
        wire_asks(&late,
                  "-ERR max number of private connections reached, see "
                  "limits.private_max\r\n",
                  "BLPOP", "bound", "0");
        wire_asks(&late, "+PONG\r\n", "PING");
        ck_assert_int_eq(cluster_info_number(cluster, "holdfast_private_connections"), PRIVATE_MAX);
        for (int i = 0; i < PRIVATE_MAX; i++) {
            wire_asks(&late, ":1\r\n", "RPUSH", "bound", "1");
        }
        for (int i = 0; i < PRIVATE_MAX; i++) {
            wire_expect(&blocked[i], "*2\r\n$5\r\nbound\r\n$1\r\n1\r\n");
            if (round == 1) {
                wire_command(&blocked[i], "BLPOP", "bound", "0");
                ck_assert(wire_silent(&blocked[i], 1));
            }
            wire_close(&blocked[i]);
        }
        wire_close(&late);
        if (round == 1) {
            cluster_wait("the links of those who left to end", WIRE_PATIENCE_MS, no_links_are_left,
                         NULL);
        }
    }
}
END_TEST

/* A pop shows what another client's push made: it waits for that to be committed. */
START_TEST(blocked_replies_are_withheld)
{
    struct wire popper, pusher;

    wire_open(&popper, cluster_port(cluster, "proxy1"));
    wire_open(&pusher, cluster_port(cluster, "proxy1"));
    wire_command(&popper, "BLPOP", "held", "0");
    ck_assert(wire_silent(&popper, 50));
    cluster_pause(cluster, "log2");
    cluster_pause(cluster, "log3");
    wire_command(&pusher, "RPUSH", "held", "1");
    ck_assert(wire_silent(&popper, 200));
    ck_assert(wire_silent(&pusher, 1));
    cluster_resume(cluster, "log2");
    cluster_resume(cluster, "log3");
    wire_expect(&popper, "*2\r\n$4\r\nheld\r\n$1\r\n1\r\n");
    wire_expect(&pusher, ":1\r\n");
    wire_close(&popper);
    wire_close(&pusher);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("links");

    SYSTEM_CASE(suite, "watch", system_serve, 120, watch_succeeds_or_fails, watch_is_forgotten,
                watch_errors, watch_sees_all_ways_of_changing, watch_in_a_pipeline, watch_in_resp3,
                watch_loses_no_update);
    SYSTEM_CASE(suite, "blocking", system_serve, 120, blocking_pops, blocking_errors,
                blocking_is_fair, blocking_inside_multi_does_not_block,
                blocked_clients_pipelines_wait, blocking_streams, unblocking,
                blocked_clients_may_leave, blocked_clients_keep_their_order, links_are_bounded,
                blocked_replies_are_withheld);
    return unit_main(suite);
}
