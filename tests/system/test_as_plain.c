/* What test suites of Redis and of its clients look at, beside plain commands: the same words to
 * the proxy and to a plain Redis get the same replies. */
#include "common/mem.h"
#include "tests/lib/duel.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {
    .plain = true, .redis_args = redis_args, .lease_ms = CLUSTER_LONG_LEASE_MS};

/* Blanks separate words of a step, not of a script. */
static const char loop[] = "B~EVAL while\ttrue\tdo\tend 0";
static const char function[] =
    "A FUNCTION LOAD "
    "#!lua\tname=l\nredis.register_function('f',\tfunction()\twhile\ttrue\tdo\tend\tend)";

/* There is no AOF, and Redis would come back without data. */
START_TEST(loadaof_loses_nothing)
{
    struct wire w;
    struct buf digest = BUF_INIT;

    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "+OK\r\n", "SET", "aof", "1");
    wire_command(&w, "DEBUG", "DIGEST");
    ck_assert_int_eq(wire_reply(&w, &digest, WIRE_PATIENCE_MS), ERR_OK);
    wire_asks(&w, "+OK\r\n", "debug", "loadaof");
    wire_asks(&w, "+OK\r\n", "MULTI");
    wire_asks(&w, "+QUEUED\r\n", "DEBUG", "LOADAOF");
    wire_asks(&w, "+QUEUED\r\n", "GET", "aof");
    wire_asks(&w, "*2\r\n+OK\r\n$1\r\n1\r\n", "EXEC");
    wire_asks(&w, (const char *)buf_head(&digest), "DEBUG", "DIGEST");
    buf_release(&digest);
    wire_close(&w);
}
END_TEST

/* While a script keeps Redis busy, everybody else hears of it; what its own client sent behind it
 * waits for its end. */
START_TEST(busy_scripts)
{
    DUEL("A CONFIG SET lua-time-limit 10", "A SET n 1", "D MULTI", "D INCR n", loop, "B~PING",
         "B~INCR n", "=busy", "C PING", "C INCR n", "C FUNCTION STATS", "C MULTI", "C INCR n",
         "C EXEC", "D EXEC", "E SCRIPT KILL", "B<", "B<", "B<", "C GET n", function, "B~FCALL f 0",
         "=busy", "C GET n", "E SCRIPT KILL", "E:FUNCTION STATS", "E FUNCTION KILL", "B<",
         "C GET n", "A FUNCTION FLUSH");
}
END_TEST

/* Redis finds a reason against a transaction when it comes in one piece: the words are those that
 * EXEC would have got. */
START_TEST(transactions_out_of_memory)
{
    DUEL("D MULTI", "D SET x 1", "D GET x", "A CONFIG SET maxmemory 1", "D EXEC", "D GET x",
         "D SET x 1", "A CONFIG SET maxmemory 0", "D SET x 1", "D GET x");
    DUEL("D SET x 1", "D MULTI", "D SET y 1", "A CONFIG SET maxmemory 1", "D GET x", "D DEL x",
         "A CONFIG SET maxmemory 0", "D SET z 1", "D EXEC", "D EXISTS x y z", "D MULTI",
         "A CONFIG SET maxmemory 1", "D SET y 1", "D DISCARD", "D MULTI", "D PING", "D EXEC",
         "A CONFIG SET maxmemory 0", "D MULTI", "D SHUTDOWN", "D EXEC");
    DUEL("D SET x 1", "D MULTI", "D GET x", "D PING", "D DEL x", "C SELECT 3", "C:HELLO 3",
         "C MULTI", "C SET x 1", "C HGETALL h", "A CONFIG SET maxmemory 1", "D EXEC", "D GET x",
         "C EXEC", "C GET x", "A CONFIG SET maxmemory 0", "D SET x 1", "C SET x 1", "D GET x");
    DUEL("A ACL SETUSER u1 on >p1 ~* +@all", "D AUTH u1 p1", "A CONFIG SET maxmemory 1", "D MULTI",
         "D GET x", "D SET x 1", "D EXEC", "D MULTI", "D GET x", "D EXEC", "D SET x 1",
         "A CONFIG SET maxmemory 0", "D MULTI", "D SET x 1", "D EXEC", "A DEL x",
         "A ACL DELUSER u1", "D?");
    DUEL("D HSET  f v", "A CONFIG SET maxmemory 0", "D MULTI", "D GET x", "D EXEC", "D DEL ");
}
END_TEST

/* What is about the client itself, inside MULTI. */
START_TEST(sessions_in_transactions)
{
    DUEL("A MULTI", "A SSUBSCRIBE x", "A MONITOR", "A PSUBSCRIBE p*", "A UNSUBSCRIBE",
         "A CLIENT SETNAME foo", "A CLIENT GETNAME", "A CLIENT KILL ID 99999",
         "A CLIENT NO-EVICT on", "A CLIENT GETREDIR", "A CLIENT TRACKINGINFO",
         "A CLIENT CACHING yes", "A CLIENT LIST ID 99999", "A CLIENT UNPAUSE", "A~EXEC", "A<",
         "A PUNSUBSCRIBE p*", "A MULTI", "A SUBSCRIBE x", "A SET k 1", "A SUBSCRIBE y z", "A~EXEC",
         "A<", "A<", "B PUBLISH x hi", "A<", "B PUBLISH z hi", "A<", "A GET k", "A UNSUBSCRIBE x",
         "C WATCH k", "B SET k 2", "C MULTI", "C CLIENT SETNAME foo", "C SUBSCRIBE x", "C EXEC",
         "C CLIENT GETNAME", "B PUBLISH x hi", "C GET k", "C MULTI", "C CLIENT SETNAME bar",
         "C CLIENT KILL USER default ID %B", "C EXEC", "B?", "C MULTI",
         "C CLIENT KILL ID %C SKIPME no", "C EXEC", "C?");
}
END_TEST

/* What changes the connection takes effect in its place in the transaction, and only if that runs.
 */
START_TEST(connections_in_transactions)
{
    DUEL("H ACL SETUSER alice reset on >pw ~a:* +@all -client|list", "A MULTI", "A HSET h f v",
         "A HGETALL h", "A HELLO 3 SETNAME joe", "A HGETALL h", "A CLIENT GETNAME", "A HELLO 2",
         "A HGETALL h", "A HELLO 3", "A HELLO 7", "A HELLO x", "A HELLO 2 NOSUCH", "A HGETALL h",
         "A:EXEC", "A HGETALL h", "A CLIENT GETNAME", "A MULTI", "A HELLO 2", "A DISCARD",
         "A HGETALL h", "B MULTI", "B AUTH alice wrong", "B ACL WHOAMI", "B AUTH alice pw",
         "B ACL WHOAMI", "B SET a:1 x", "B SET b:1 x", "B AUTH default x", "B SET b:1 y",
         "B AUTH alice pw", "B AUTH x", "B AUTH a b c", "B EXEC", "B ACL WHOAMI", "B GET b:1",
         "B GET a:1", "B MULTI", "B CLIENT LIST", "B AUTH default x", "B EXEC", "B AUTH default x",
         "B GET b:1", "C:HELLO 3", "C MULTI", "C CLIENT TRACKING ON", "C GET k",
         "C CLIENT TRACKINGINFO", "C CLIENT GETREDIR", "C EXEC", "H SET k 1", "C<", "C MULTI",
         "C GET k", "C AUTH alice pw", "C CLIENT TRACKINGINFO", "C EXEC", "C ACL WHOAMI",
         "H SET k 2", "C<", "C MULTI", "C CLIENT TRACKING OFF", "C AUTH default x",
         "C CLIENT TRACKINGINFO", "C EXEC", "C GET k", "H SET k 3", "C|", "C MULTI",
         "C CLIENT TRACKING ON REDIRECT %H", "C GET k", "C EXEC", "C MULTI",
         "C CLIENT TRACKING ON REDIRECT 99999999", "C CLIENT TRACKING nosuch", "C EXEC", "C MULTI",
         "C CLIENT TRACKING ON OPTIN", "C GET o", "C CLIENT CACHING yes", "C GET p", "C EXEC");
}
END_TEST

/* The database after EXEC is the one that Redis is in, whatever was asked for. */
START_TEST(databases_after_transactions)
{
    DUEL("H ACL SETUSER alice reset on >pw ~a:* +get +set +exec +multi +discard +ping",
         "A SELECT 2", "A SET a:1 two", "A SELECT 0", "A SET a:1 zero", "A MULTI",
         "A AUTH alice pw", "A SELECT 2", "A EXEC", "A GET a:1", "A AUTH default x", "A GET a:1",
         "A MULTI", "A SELECT 2", "A AUTH alice pw", "A EXEC", "A GET a:1", "A PING",
         "A AUTH default x", "A GET a:1", "A SELECT 0", "B WATCH k", "H SET k 1", "B MULTI",
         "B SELECT 2", "B EXEC", "B GET a:1", "B MULTI", "B SELECT 2", "B NOSUCH", "B EXEC",
         "B GET a:1");
}
END_TEST

START_TEST(others_in_transactions)
{
    DUEL("A~BLPOP l 0", "=1", "B MULTI", "B CLIENT UNBLOCK %A", "B CLIENT UNBLOCK 99999999",
         "B CLIENT UNBLOCK x", "B CLIENT UNBLOCK %B", "B CLIENT UNBLOCK %B nosuch", "B EXEC", "A<",
         "A~BLPOP l 0", "=1", "B MULTI", "B CLIENT UNBLOCK %A ERROR", "B SET k 1", "B EXEC", "A<",
         "A MULTI", "A CLIENT REPLY SKIP", "A SET k 1", "A~EXEC", "A~GET k", "A~PING", "A<",
         "A PING", "A MULTI", "A SET k 2", "A CLIENT REPLY OFF", "A GET k", "A CLIENT REPLY nosuch",
         "A CLIENT REPLY ON", "A~EXEC", "A~PING", "A~PING", "A~PING", "A<", "A PING",
         "D SUBSCRIBE x y", "D<", "E SUBSCRIBE x", "E PSUBSCRIBE x*", "A MULTI", "A PUBLISH x 1",
         "A PUBLISH z 1", "A SPUBLISH x 1", "A PUBSUB NUMSUB x y z", "A PUBSUB CHANNELS y*",
         "A PUBSUB NUMPAT", "A PUBSUB CHANNELS a b c", "A EXEC", "D<", "E<", "E<", "A MULTI",
         "A CLIENT PAUSE x", "A CLIENT PAUSE 0", "A CLIENT SETNAME", "A EXEC", "A MULTI",
         "A CLIENT PAUSE 0", "A CLIENT PAUSE -1", "A CLIENT INFO x", "A EXEC", "A MULTI",
         "A WAIT x 0", "A WAIT 0 -1", "A SELECT 3", "A SET three 3", "A SELECT 99", "A EXEC",
         "A GET three", "A MULTI", "A SET k 9", "A RESET", "A EXEC", "A GET k");
}
END_TEST

/* INFO and ROLE there tell of the proxy's clients and nodes. */
START_TEST(info_in_transactions)
{
    struct wire a;

    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_asks(&a, "+OK\r\n", "MULTI");
    wire_asks(&a, "+QUEUED\r\n", "ROLE");
    wire_asks(&a, "+QUEUED\r\n", "INFO", "everything");
    wire_command(&a, "EXEC");
    struct buf whole = BUF_INIT;
    ck_assert_int_eq(wire_reply(&a, &whole, WIRE_PATIENCE_MS), ERR_OK);
    const char *reply = (const char *)buf_head(&whole);
    ck_assert_ptr_nonnull(strstr(reply, "$6\r\nmaster\r\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nholdfast_version:"));
    ck_assert_ptr_nonnull(strstr(reply, "\nconnected_slaves:0\r\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nconnected_clients:1\r\n"));
    buf_release(&whole);
    wire_close(&a);
}
END_TEST

static void expect_in_reply(struct wire *w, const char *const *words)
{
    struct buf reply = BUF_INIT;

    ck_assert_int_eq(wire_reply(w, &reply, WIRE_PATIENCE_MS), ERR_OK);
    for (; *words != NULL; words++) {
        ck_assert_msg(strstr((const char *)buf_head(&reply), *words) != NULL, "no %s in %s", *words,
                      (const char *)buf_head(&reply));
    }
    buf_release(&reply);
}

#define EXPECT_IN_REPLY(w, ...) expect_in_reply(w, (const char *const[]){__VA_ARGS__, NULL})

/* CLIENT INFO inside EXEC says so, and LIST names what was asked last, also if it was wrong; what
 * is behind a wrong command is not queued; TRACKING just before is in it. */
START_TEST(what_clients_are_said_to_do)
{
    struct wire a, b;

    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_open(&b, cluster_port(cluster, "proxy1"));
    wire_asks(&a, "+OK\r\n", "MULTI");
    wire_asks(&a, "+QUEUED\r\n", "GET", "k");
    wire_asks(&a, "+QUEUED\r\n", "CLIENT", "INFO");
    wire_command(&b, "CLIENT", "LIST");
    EXPECT_IN_REPLY(&b, " flags=x ", " multi=2 ", " cmd=client|info ");
    wire_command(&a, "EXEC");
    EXPECT_IN_REPLY(&a, " flags=x ", " multi=2 ", " cmd=exec ");
    wire_command(&a, "CLIENT", "INFO");
    EXPECT_IN_REPLY(&a, " flags=N ", " multi=-1 ", " cmd=client|info ");
    wire_asks(&a, "+OK\r\n", "MULTI");
    wire_asks(&a, "-ERR wrong number of arguments for 'get' command\r\n", "GET");
    wire_command(&b, "CLIENT", "LIST");
    EXPECT_IN_REPLY(&b, " flags=x ", " multi=0 ", " cmd=get ");
    wire_asks(&a, "+QUEUED\r\n", "PING");
    wire_command(&b, "CLIENT", "LIST");
    EXPECT_IN_REPLY(&b, " flags=x ", " multi=0 ", " cmd=ping ");
    wire_asks(&a, "-ERR unknown command 'NOSUCH', with args beginning with: \r\n", "NOSUCH");
    wire_command(&b, "CLIENT", "LIST");
    EXPECT_IN_REPLY(&b, " cmd=NULL ");
    wire_close(&a);
    wire_queue(&b, "CLIENT", "TRACKING", "ON");
    wire_queue(&b, "CLIENT", "INFO");
    wire_flush(&b);
    wire_expect(&b, "+OK\r\n");
    EXPECT_IN_REPLY(&b, " flags=t ", " redir=0 ");
    wire_close(&b);
}
END_TEST

/* Whether the line of CLIENT LIST that has the first text has the second one, too. */
static bool list_has(struct wire *w, const char *client, const char *text)
{
    struct buf reply = BUF_INIT;

    wire_command(w, "CLIENT", "LIST");
    ck_assert_int_eq(wire_reply(w, &reply, WIRE_PATIENCE_MS), ERR_OK);
    buf_append(&reply, "", 1);
    const char *at = strstr((const char *)buf_head(&reply), client);
    ck_assert_ptr_nonnull(at);
    const char *found = strstr(at, text), *end = strchr(at, '\n');
    bool has = found != NULL && found < end;
    buf_release(&reply);
    return has;
}

static void list_until(struct wire *w, const char *client, const char *text)
{
    while (!list_has(w, client, text)) {
        (void)usleep(10000);
    }
}

/* What room there is for a client, as Redis would have it: for its requests while it says
 * something, for its replies by what it was answered lately. */
START_TEST(what_room_clients_have)
{
    static const char *const servers[] = {"proxy1", "plain1"};
    char large[40001];

    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    for (size_t i = 0; i < sizeof servers / sizeof *servers; i++) {
        struct wire a, b;
        struct buf reply = BUF_INIT;

        wire_open(&a, cluster_port(cluster, servers[i]));
        wire_open(&b, cluster_port(cluster, servers[i]));
        wire_asks(&a, "+OK\r\n", "DEBUG", "REPLYBUFFER", "PEAK-RESET-TIME", "100");
        wire_asks(&a, "+OK\r\n", "SET", "k", large);
        wire_asks(&b, "+OK\r\n", "CLIENT", "SETNAME", "b");
        do {
            wire_asks(&b, "+PONG\r\n", "PING");
        } while (!list_has(&a, " name=b ", " qbuf=0 qbuf-free=20474 "));
        list_until(&a, " name=b ", " rbs=1024 rbp=0 ");
        wire_asks(&a, "+OK\r\n", "DEBUG", "REPLYBUFFER", "PEAK-RESET-TIME", "never");
        do {
            buf_clear(&reply);
            wire_command(&b, "GET", "k");
            ck_assert_int_eq(wire_reply(&b, &reply, WIRE_PATIENCE_MS), ERR_OK);
        } while (!list_has(&a, " name=b ", " rbs=16384 rbp=16384 "));
        wire_asks(&a, "+OK\r\n", "DEBUG", "REPLYBUFFER", "PEAK-RESET-TIME", "reset");
        list_until(&a, " name=b ", " qbuf=0 qbuf-free=0 ");
        wire_close(&a);
        wire_close(&b);
        buf_release(&reply);
    }
}
END_TEST

static void half_close(struct wire *w)
{
    wire_flush(w);
    ck_assert_int_eq(shutdown(w->fd, SHUT_WR), 0);
}

/* Who says that he says nothing more gets his answers, also those behind what is postponed; who
 * blocks then is gone at once. */
START_TEST(who_ends_is_answered)
{
    struct wire a, b;

    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_queue(&a, "SET", "ended", "1");
    wire_queue(&a, "GET", "ended");
    wire_queue(&a, "CLIENT", "TRACKING", "ON");
    wire_queue(&a, "CLIENT", "KILL", "ID", "99999999");
    wire_queue(&a, "INCR", "ended");
    wire_queue(&a, "SUBSCRIBE", "x");
    half_close(&a);
    wire_expect(&a, "+OK\r\n");
    wire_expect(&a, "$1\r\n1\r\n");
    wire_expect(&a, "+OK\r\n");
    wire_expect(&a, ":0\r\n");
    wire_expect(&a, ":2\r\n");
    wire_expect(&a, "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
    ck_assert(wire_wait_closed(&a, WIRE_PATIENCE_MS));
    wire_close(&a);
    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_queue(&a, "INCR", "ended");
    wire_queue(&a, "BLPOP", "ended_list", "0");
    half_close(&a);
    wire_expect(&a, ":3\r\n");
    ck_assert(wire_wait_closed(&a, WIRE_PATIENCE_MS));
    wire_close(&a);
    wire_open(&b, cluster_port(cluster, "proxy1"));
    wire_asks(&b, ":1\r\n", "RPUSH", "ended_list", "x");
    wire_asks(&b, ":1\r\n", "LLEN", "ended_list");
    wire_asks(&b, ":2\r\n", "DEL", "ended", "ended_list");
    wire_close(&b);
}
END_TEST

/* CONFIG SET of what is about clients: all of it or nothing, in Redis' words. */
START_TEST(client_settings)
{
    DUEL("A CONFIG SET maxclients 0", "A CONFIG SET timeout x", "A CONFIG SET tcp-keepalive -1",
         "A CONFIG SET client-query-buffer-limit 1", "A CONFIG SET maxmemory-clients 101%",
         "A CONFIG SET client-output-buffer-limit normal", "A CONFIG SET timeout",
         "A CONFIG SET timeout 100 maxmemory-policy nosuch", "A CONFIG SET timeout 5 timeout 6",
         "A CONFIG SET nosuch 1 timeout 100", "A CONFIG SET timeout 100 daemonize yes",
         "A CONFIG GET timeout", "A CONFIG SET timeout 1000 hz 20 tcp-keepalive 100",
         "A CONFIG GET timeout", "A CONFIG GET hz", "A CONFIG GET tcp-keepalive",
         "A CONFIG SET maxmemory-clients 5%", "A CONFIG GET maxmemory-clients",
         "A CONFIG SET client-query-buffer-limit 20mb maxmemory-clients 0",
         "A CONFIG GET client-query-buffer-limit", "A CONFIG GET maxmemory-clients",
         "A CONFIG SET maxclients 500", "A CONFIG GET maxclients", "A MULTI",
         "A CONFIG SET timeout 0 hz 10", "A CONFIG GET timeout", "A CONFIG SET timeout x",
         "A CONFIG SET maxclients 600", "A CONFIG GET maxclients", "A EXEC", "A CONFIG GET timeout",
         "A CONFIG GET hz", "A:HELLO 3", "A CONFIG GET maxclients", "A CONFIG RESETSTAT",
         "A CONFIG SET maxclients 10000");
}
END_TEST

static void config_set(struct wire *w, const char *name, const char *value)
{
    wire_asks(w, "+OK\r\n", "CONFIG", "SET", name, value);
}

/* Whether what redis1 has for the setting holds this text. */
static bool redis_has(const char *setting, const char *text)
{
    redisContext *redis = cluster_connect(cluster, "redis1");
    redisReply *reply = redisCommand(redis, "CONFIG GET %s", setting);

    ck_assert(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2);
    bool has = strstr(reply->element[1]->str, text) != NULL;
    freeReplyObject(reply);
    redisFree(redis);
    return has;
}

static bool is_alone(void *arg)
{
    return cluster_info_number(cluster, "holdfast_clients") == *(long long *)arg;
}

/* No cluster's node, in Redis' words. */
START_TEST(no_cluster)
{
    DUEL("A ASKING", "A ASKING x", "A CLUSTER INFO", "A CLUSTER", "A CLUSTER NOSUCH",
         "A CLUSTER HELP", "A CLUSTER KEYSLOT a", "A CLUSTER SLOTS", "A CLUSTER NODES",
         "A READONLY x", "A READWRITE x", "A READONLY", "A READWRITE", "A MULTI", "A READONLY",
         "A EXEC", "A MULTI", "A ASKING", "A CLUSTER MYID", "A CLUSTER NOSUCH", "A EXEC", "A MULTI",
         "A ASKING", "A CLUSTER MYID", "A EXEC");
}
END_TEST

/* What the proxy asks Redis is not shown, however short a time counts as long. */
START_TEST(slow_commands)
{
    DUEL("A CONFIG SET slowlog-log-slower-than 0", "A SLOWLOG RESET", "A SET k 1", "A GET k",
         "A GET k", "A CONFIG SET slowlog-log-slower-than -1", "A SLOWLOG LEN", "A SLOWLOG GET x",
         "A SLOWLOG GET -2", "A SLOWLOG GET 1 2", "A SLOWLOG LEN x", "A SLOWLOG GET 0", "A MULTI",
         "A SLOWLOG GET 0", "A EXEC", "A SLOWLOG RESET", "A SLOWLOG LEN", "A SLOWLOG GET");
}
END_TEST

static void name_client(struct wire *w, const char *name)
{
    wire_open(w, cluster_port(cluster, "proxy1"));
    wire_command(w, "CLIENT", "SETNAME", name);
    wire_expect(w, "+OK\r\n");
}

static void address_of(const struct wire *w, char address[32])
{
    struct sockaddr_in own;
    socklen_t len = sizeof own;

    ck_assert_int_eq(getsockname(w->fd, (struct sockaddr *)&own, &len), 0);
    (void)snprintf(address, 32, "127.0.0.1:%d", ntohs(own.sin_port));
}

/* The log has this command (in RESP, without its head) as that client's, and nothing else like it.
 */
static void is_whose(const char *log, const char *words, const char *address, const char *name)
{
    char wanted[256];

    (void)snprintf(wanted, sizeof wanted, "%s$%zu\r\n%s\r\n$%zu\r\n%s\r\n", words, strlen(address),
                   address, strlen(name), name);
    const char *at = strstr(log, words);
    ck_assert_msg(at != NULL && strncmp(at, wanted, strlen(wanted)) == 0, "not %s in %s", wanted,
                  log);
    ck_assert_msg(strstr(at + 1, words) == NULL, "twice %s in %s", words, log);
}

struct asker {
    struct wire *w;
    struct buf log;
};

static bool sleep_is_logged(void *arg)
{
    struct asker *asker = arg;

    wire_command(asker->w, "SLOWLOG", "GET");
    ck_assert_int_eq(wire_reply(asker->w, &asker->log, WIRE_PATIENCE_MS), ERR_OK);
    return strstr((const char *)buf_head(&asker->log), "SLEEP") != NULL;
}

/* Whose they were is shown, wherever they went: over the link that all share, in a transaction,
 * over a link of the client's own, also as a large request; and when the client has gone meanwhile.
 */
START_TEST(slow_commands_of_whom)
{
    struct wire a, b, c;
    struct asker asker = {&a, BUF_INIT};
    char anna[32], ben[32], carl[32], *large = mem_calloc(1, 2 << 20);

    memset(large, 'x', (2 << 20) - 1);
    name_client(&a, "anna");
    name_client(&b, "ben");
    address_of(&a, anna);
    address_of(&b, ben);
    config_set(&a, "slowlog-log-slower-than", "0");
    wire_command(&a, "SLOWLOG", "RESET");
    wire_expect(&a, "+OK\r\n");
    wire_command(&a, "SET", "slow", "1");
    wire_expect(&a, "+OK\r\n");
    wire_command(&b, "GET", "slow");
    wire_expect(&b, "$1\r\n1\r\n");
    wire_command(&b, "MULTI");
    wire_expect(&b, "+OK\r\n");
    wire_command(&b, "INCR", "slow");
    wire_expect(&b, "+QUEUED\r\n");
    wire_command(&b, "EXEC");
    wire_expect(&b, "*1\r\n:2\r\n");
    wire_command(&a, "WATCH", "slow");
    wire_expect(&a, "+OK\r\n");
    wire_command(&a, "STRLEN", "slow");
    wire_expect(&a, ":1\r\n");
    wire_command(&a, "UNWATCH");
    wire_expect(&a, "+OK\r\n");
    wire_command(&b, "SETNX", "slow_large", large);
    wire_expect(&b, ":1\r\n");
    wire_command(&a, "CONFIG", "SET", "masterauth", "");
    wire_expect(&a, "+OK\r\n");
    wire_command(&a, "SLOWLOG", "GET", "100");
    ck_assert_int_eq(wire_reply(&a, &asker.log, WIRE_PATIENCE_MS), ERR_OK);
    const char *text = (const char *)buf_head(&asker.log);
    is_whose(text, "$3\r\nSET\r\n$4\r\nslow\r\n$1\r\n1\r\n", anna, "anna");
    is_whose(text, "$3\r\nGET\r\n$4\r\nslow\r\n", ben, "ben");
    is_whose(text, "$4\r\nINCR\r\n$4\r\nslow\r\n", ben, "ben");
    is_whose(text, "$6\r\nSTRLEN\r\n$4\r\nslow\r\n", anna, "anna");
    is_whose(text, "$10\r\nmasterauth\r\n$10\r\n(redacted)\r\n", anna, "anna");
    is_whose(text, "... (2097023 more bytes)\r\n", ben, "ben");
    ck_assert_ptr_null(strstr(text, "holdfast"));

    config_set(&a, "slowlog-log-slower-than", "50000");
    wire_command(&a, "SLOWLOG", "RESET");
    wire_expect(&a, "+OK\r\n");
    name_client(&c, "carl");
    address_of(&c, carl);
    wire_command(&c, "DEBUG", "SLEEP", "0.2");
    wire_close(&c);
    wire_command(&a, "DEL", "slow", "slow_large");
    wire_expect(&a, ":2\r\n");
    cluster_wait("what was slow to be logged", 10000, sleep_is_logged, &asker);
    is_whose((const char *)buf_head(&asker.log), "$5\r\nSLEEP\r\n$3\r\n0.2\r\n", carl, "carl");
    config_set(&a, "slowlog-log-slower-than", "10000");
    wire_close(&a);
    wire_close(&b);
    buf_release(&asker.log);
    free(large);
}
END_TEST

/* As long as it was asked to be, though in Redis it is longer: what the proxy asks stands there. */
START_TEST(slow_commands_kept)
{
    DUEL("A CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3", "A SET k 1", "A GET k",
         "A GET k", "A GET k", "A GET k", "A SLOWLOG LEN", "A CONFIG GET slowlog-max-len",
         "A CONFIG SET slowlog-max-len x", "A CONFIG GET slowlog-max-len", "A MULTI",
         "A CONFIG SET slowlog-max-len 2", "A CONFIG GET slowlog-max-len", "A EXEC", "A GET k",
         "A SLOWLOG LEN", "A CONFIG SET slowlog-max-len 0", "A SLOWLOG LEN",
         "A CONFIG SET slowlog-max-len 128 slowlog-log-slower-than 10000");
    ck_assert(redis_has("slowlog-max-len", "1024"));
}
END_TEST

/* They are held against the proxy's clients, and not against its links to Redis. */
START_TEST(client_limits)
{
    struct wire a, b, c;
    char *large = mem_calloc(1, 3 << 20);

    memset(large, 'x', (3 << 20) - 1);
    wire_open(&a, cluster_port(cluster, "proxy1"));
    config_set(&a, "maxclients", "2");
    wire_open(&b, cluster_port(cluster, "proxy1"));
    wire_asks(&b, "+OK\r\n", "SET", "large", large);
    wire_open(&c, cluster_port(cluster, "proxy1"));
    wire_expect(&c, "-ERR max number of clients reached\r\n");
    ck_assert(wire_wait_closed(&c, WIRE_PATIENCE_MS));
    wire_close(&c);
    config_set(&a, "maxclients", "10000");

    config_set(&a, "client-output-buffer-limit", "normal 1mb 0 0");
    long long alone = cluster_info_number(cluster, "holdfast_clients");
    wire_open(&c, cluster_port(cluster, "proxy1"));
    for (int i = 0; i < 4; i++) {
        wire_queue(&c, "GET", "large");
    }
    wire_flush(&c);
    cluster_wait("who does not read to be closed", WIRE_PATIENCE_MS, is_alone, &alone);
    wire_close(&c);
    config_set(&a, "client-output-buffer-limit", "normal 0 0 0");

    config_set(&a, "client-query-buffer-limit", "1mb");
    wire_open(&c, cluster_port(cluster, "proxy1"));
    (void)wire_command(&c, "SET", "large", large);
    ck_assert(wire_wait_closed(&c, WIRE_PATIENCE_MS));
    wire_close(&c);
    config_set(&a, "client-query-buffer-limit", "1gb");

    config_set(&a, "timeout", "1");
    ck_assert(wire_wait_closed(&b, WIRE_PATIENCE_MS));
    ck_assert(wire_wait_closed(&a, WIRE_PATIENCE_MS));
    wire_close(&a);
    wire_close(&b);
    wire_open(&a, cluster_port(cluster, "proxy1"));
    wire_asks(&a, ":3145727\r\n", "STRLEN", "large");
    config_set(&a, "timeout", "0");
    wire_asks(&a, ":1\r\n", "DEL", "large");
    ck_assert_int_eq(cluster_info_number(cluster, "holdfast_term"), 1);
    wire_close(&a);
    free(large);
}
END_TEST

/* What DEBUG shows of the protocol, and that data outlive a reload. */
START_TEST(debug_commands)
{
    DUEL("A SET k 1", "A RPUSH l a b c", "A SADD s 1 2 3", "A SET t 1 EX 1000", "A DEBUG DIGEST",
         "A DEBUG RELOAD", "A DEBUG DIGEST", "A DEBUG RELOAD NOFLUSH MERGE", "A DEBUG DIGEST",
         "A GET k", "A DEBUG PROTOCOL push", "A DEBUG PROTOCOL attrib", "A DEBUG PROTOCOL map",
         "A DEBUG PROTOCOL nosuch", "A:HELLO 3", "A DEBUG PROTOCOL attrib", "A DEBUG PROTOCOL push",
         "A<", "A GET k", "A DEBUG PROTOCOL bignum", "A DEBUG PROTOCOL double",
         "A DEBUG PROTOCOL null", "A DEBUG PROTOCOL verbatim", "A DEBUG PROTOCOL set",
         "A DEBUG PROTOCOL true", "A GET k");
}
END_TEST

/* The proxy is no replica of those that somebody asks for. Inside MULTI as well. Redis itself is
 * not told: without the proxy it would refuse writes. */
START_TEST(replicas_to_write)
{
    DUEL("A SET k 1", "A CONFIG SET min-replicas-to-write 1", "A SET k 2", "B GET k",
         "A EVAL_RO return\tredis.call('get','k') 0", "A EVAL return\tredis.call('get','k') 0",
         "A EVAL return(redis.call('set','k',3)) 0",
         "B EVAL #!lua\nreturn(redis.call('set','k',3)) 0", "A CONFIG GET min-replicas-to-write",
         "A CONFIG GET min-slaves-to-write", "B MULTI", "B SET k 3", "B EXEC");
    ck_assert(redis_has("min-replicas-to-write", "0"));
    DUEL("A CONFIG SET min-replicas-to-write 1", "A MULTI", "A CONFIG SET min-slaves-to-write 0",
         "A CONFIG GET min-replicas-to-write", "A EXEC", "B SET k 4",
         "A CONFIG GET min-replicas-to-write", "A CONFIG SET min-replicas-to-write -1",
         "A CONFIG SET min-replicas-to-write 2 maxmemory x", "B SET k 5", "A GET k");
}
END_TEST

/* What lies in Redis' RDB is not loaded over what is there, and what Redis does of its own accord
 * can be stopped. (The function keeps a plain Redis from ending at the first key.) */
START_TEST(debug_reloads)
{
    DUEL("A SET k 1", function, "A DEBUG RELOAD", "A DEBUG RELOAD NOSAVE NOFLUSH MERGE",
         "A DEBUG RELOAD NOFLUSH", "A GET k", "A FUNCTION LIST", "A DEBUG RELOAD NOSAVE", "A GET k",
         "A MULTI", "A DEBUG RELOAD NOFLUSH", "A DEBUG RELOAD NOSAVE", "A EXEC", "A FUNCTION FLUSH",
         "A DEBUG PAUSE-CRON 1", "A SET k 2", "B GET k", "A PEXPIRE k 1", "A PTTL nosuch",
         "B SET l 1", "B DEBUG PAUSE-CRON 0", "B GET l");
}
END_TEST

/* The names of the keys are cut behind the first digit of their numbers. */
#define TEN_BYTES   "0123456789"
#define FORTY_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES
#define LONG_PREFIX FORTY_BYTES FORTY_BYTES FORTY_BYTES "01234"

/* Keys that DEBUG makes are those that Redis makes, whoever asks, where and inside of what. */
START_TEST(debug_populates)
{
    DUEL("A FLUSHALL", "H ACL SETUSER alice reset on >pw ~* +@all -flushall", "A SET key:1 old",
         "A SET gone:0 1 PX 1", "A DEBUG SLEEP 0.01", "A DEBUG POPULATE 30", "A GET key:1",
         "A DEBUG POPULATE 50 gone 3", "A SELECT 3", "A DEBUG POPULATE 20 sized 20",
         "A GET sized:7", "A DEBUG POPULATE 5 p 0", "A OBJECT ENCODING p:1",
         "A DEBUG POPULATE 0 none 4", "A DEBUG POPULATE -1", "A DEBUG POPULATE x",
         "A DEBUG POPULATE 3 k x", "A DEBUG POPULATE 3 k -1", "A DEBUG POPULATE",
         "A DEBUG POPULATE 1 k 2 3", "A DEBUG POPULATE 12 " LONG_PREFIX, "B MULTI",
         "B DEBUG POPULATE 3 multi 9", "B GET multi:2", "B EXEC", "B MULTI",
         "B DEBUG POPULATE 3 multi x", "B DBSIZE", "B DISCARD", "B WATCH watched:0", "A SELECT 0",
         "A DEBUG POPULATE 1 watched", "B MULTI", "B SET w 1", "B EXEC", "C AUTH alice pw",
         "C DEBUG POPULATE 3 alice 5", "C GET alice:2", "C~CLIENT REPLY SKIP",
         "C~DEBUG POPULATE 3 silent 5", "C GET silent:2", "D:HELLO 3", "D DEBUG POPULATE 3 three",
         "D SUBSCRIBE x", "A SUBSCRIBE x", "A DEBUG POPULATE 1", "B CONFIG SET maxmemory 1",
         "B DEBUG POPULATE 3 full 9", "B GET full:1", "B CONFIG SET maxmemory 0", "B DEBUG DIGEST");
}
END_TEST

/* A reload without saving keeps what was written since the file. */
START_TEST(nosave_loses_nothing)
{
    struct wire w;

    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "+OK\r\n", "SET", "old", "1");
    wire_asks(&w, "+OK\r\n", "DEBUG", "RELOAD");
    wire_asks(&w, "+OK\r\n", "SET", "new", "1");
    wire_asks(&w, "+OK\r\n", "debug", "reload", "nosave");
    wire_asks(&w, "*2\r\n$1\r\n1\r\n$1\r\n1\r\n", "MGET", "old", "new");
    wire_close(&w);
}
END_TEST

static void expect_calls(struct wire *w, const char *name, int calls)
{
    char begin[96];

    wire_command(w, "LATENCY", "HISTOGRAM", name);
    (void)snprintf(begin, sizeof begin, "*2\r\n$%zu\r\n%s\r\n*4\r\n$5\r\ncalls\r\n:%d\r\n",
                   strlen(name), name, calls);
    wire_expect_begin(w, begin);
}

/* What the proxy answers itself is counted with what Redis does. */
START_TEST(commands_are_counted)
{
    struct buf info = BUF_INIT;
    struct wire w;

    wire_open(&w, cluster_port(cluster, "proxy1"));
    wire_asks(&w, "+OK\r\n", "CONFIG", "RESETSTAT");
    wire_asks(&w, "+OK\r\n", "CLIENT", "SETNAME", "x");
    wire_asks(&w, "+OK\r\n", "CLIENT", "SETNAME", "y");
    wire_asks(&w, "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
              "CLIENT", "SETNAME", "y y");
    wire_asks(&w, "+OK\r\n", "SET", "k", "v");
    expect_calls(&w, "client|setname", 3);
    expect_calls(&w, "set", 1);
    wire_command(&w, "INFO", "commandstats");
    ck_assert_int_eq(wire_reply(&w, &info, WIRE_PATIENCE_MS), ERR_OK);
    const char *line = strstr((const char *)buf_head(&info), "cmdstat_client|setname:calls=3,");
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_nonnull(strstr(line, ",rejected_calls=0,failed_calls=1\r\n"));
    wire_asks(&w, "+OK\r\n", "CONFIG", "RESETSTAT");
    wire_asks(&w, "*0\r\n", "LATENCY", "HISTOGRAM", "client");
    buf_release(&info);
    wire_close(&w);
}
END_TEST

/* A SKIP is for RESET as for any other; an EXEC that a subscriber may not say ends a WATCH; and a
 * DEBUG POPULATE of his makes nothing, and leaves him a subscriber. */
START_TEST(what_is_not_heard_or_not_said)
{
    DUEL("A~CLIENT REPLY SKIP", "A~RESET", "A PING", "A~CLIENT REPLY OFF", "A~PING", "A RESET",
         "A SELECT 1", "A:HELLO 3", "A SUBSCRIBE c", "A~CLIENT REPLY SKIP", "A~RESET",
         "A SELECT 0");
    DUEL("A WATCH w", "A SET w 1", "A PSUBSCRIBE c*", "A EXEC", "A PUNSUBSCRIBE", "A MULTI",
         "A EXEC", "A WATCH w", "A SET w 1", "A MULTI", "A EXEC");
    DUEL("A SUBSCRIBE c", "A DEBUG POPULATE 1", "A MGET key:0", "A UNSUBSCRIBE", "A MGET key:0");
}
END_TEST

/* A word that CLIENT CACHING does not know leaves what was said before. */
START_TEST(caching_outlasts_errors)
{
    DUEL("A:HELLO 3", "A CLIENT TRACKING ON OPTIN", "A CLIENT CACHING YES",
         "A CLIENT CACHING maybe", "A GET ct", "A SET ct 1", "A<", "A GET ct", "A SET ct 2",
         "A DEL ct", "A PING");
}
END_TEST

/* What stands behind a command that blocks waits, whoever is to answer it. */
START_TEST(what_stands_behind_what_blocks)
{
    DUEL("B~BLPOP l 0", "=1", "B~CLIENT PAUSE 100000 WRITE", "B~CLIENT SETNAME x", "A SET x 1",
         "A RPUSH l 1", "B<", "B<", "B<", "A~SET y 1", "A|", "B CLIENT UNPAUSE", "A<");
    DUEL("B~BLPOP l 0", "=1", "B~SELECT 3", "B~NOSUCH", "B~LLEN l", "C~BLPOP l 0", "=2",
         "A RPUSH l 1 2 3", "B<", "C<", "B<", "B<", "B<", "A DEL l");
    DUEL("B~BLPOP l 0", "=1", "B~QUIT", "A RPUSH l 1", "B<", "B<", "B?");
}
END_TEST

/* Subscribers lose their channels, and nothing else matters for that; what a subscriber has no
 * right to is refused for that reason; and a database stays chosen. */
START_TEST(rights_are_lost)
{
    DUEL("A ACL SETUSER u1 on >p1 &* +@all", "B AUTH u1 p1", "B PSUBSCRIBE ch*", "B SUBSCRIBE ",
         "A ACL SETUSER u1 -@all", "B PSUBSCRIBE d", "A ACL SETUSER u1 reset", "B?");
    DUEL("A ACL SETUSER u1 on >p1 &* +@all", "B AUTH u1 p1", "B:HELLO 3", "B SUBSCRIBE ch1 ch2",
         "A ACL SETUSER u1 -@all (+@all\t~t*)", "B XPENDING x g",
         "A ACL SETUSER u1 resetchannels (+@all\t&ch[12])", "B GET t",
         "A ACL SETUSER u1 clearselectors &ch1", "B?");
    DUEL("A ACL SETUSER u1 reset on >p1 &* +@all", "B AUTH u1 p1", "B SUBSCRIBE ch1",
         "A ACL SETUSER u1 reset &ch*", "B PING", "B GET x", "B SET x 1", "A ACL DELUSER u1", "B?");
    DUEL("A ACL SETUSER u1 on >p1 ~* +@all", "B AUTH u1 p1", "B MULTI", "B SET q 1",
         "A ACL SETUSER u1 -multi -exec", "B EXEC", "A EXISTS q", "B SET q 1", "A DEL q");
    DUEL("A ACL SETUSER u1 on >p1 ~* +@all", "B SELECT 2", "B AUTH u1 p1", "B SELECT 1",
         "A ACL SETUSER u1 reset", "B RPUSH a e", "A ACL SETUSER u1 ~* +rpush", "B RPUSH a e",
         "A EXISTS a", "A SELECT 1", "A DEL a", "A ACL DELUSER u1");
}
END_TEST

static bool are_ours(void *arg)
{
    (void)arg;
    return redis_has("client-output-buffer-limit", "slave 0 0 0");
}

/* What Redis was set to before the proxy came is put back whole, when it leaves. */
START_TEST(settings_are_put_back)
{
    static const char limits[] = "normal 1099511627776 1099511627776 1000000000 "
                                 "slave 1099511627776 1099511627776 1000000000 "
                                 "pubsub 1099511627776 1099511627776 1000000000";
    char reply[64];

    (void)cluster_stop(cluster, "proxy1");
    cluster_ask(cluster, "redis1", reply, sizeof reply,
                (const char *[]){"CONFIG", "SET", "client-output-buffer-limit", limits, NULL});
    cluster_spawn(cluster, "proxy1");
    cluster_wait("the proxy's own limits", WIRE_PATIENCE_MS, are_ours, NULL);
    cluster_wait_leader(cluster);
    (void)cluster_stop(cluster, "proxy1");
    ck_assert(redis_has("client-output-buffer-limit", limits));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("as plain");

    SYSTEM_CASE(suite, "as plain", system_serve, 120, busy_scripts, transactions_out_of_memory,
                sessions_in_transactions, connections_in_transactions, databases_after_transactions,
                others_in_transactions, info_in_transactions, what_clients_are_said_to_do,
                what_room_clients_have, who_ends_is_answered, client_settings, no_cluster,
                slow_commands, slow_commands_of_whom, slow_commands_kept, client_limits,
                debug_commands, loadaof_loses_nothing, debug_reloads, debug_populates,
                replicas_to_write, nosave_loses_nothing, commands_are_counted,
                what_is_not_heard_or_not_said, rights_are_lost, caching_outlasts_errors,
                what_stands_behind_what_blocks);
    SYSTEM_CASE(suite, "the proxy leaves", system_serve, 120, settings_are_put_back);
    return unit_main(suite);
}
