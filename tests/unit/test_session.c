/* What the proxy answers for a connection's own state. Each text is what redis-server 7.0.15 says
 * to the same words. */
#include "proxy/clients/session.h"

#include "proxy/clients/credentials.h"
#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HELLO_AS(head, proto, id)                                                                  \
    head "\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$"                   \
         "5\r\nproto\r\n:" proto "\r\n$2\r\nid\r\n:" id                                            \
         "\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"                   \
         "$7\r\nmodules\r\n*0\r\n"
#define HELLO_2   HELLO_AS("*14", "2", "1")
#define HELLO_3   HELLO_AS("%7", "3", "1")
#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
#define NOAUTH    "-NOAUTH Authentication required.\r\n"
#define BAD_NAME  "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"

#define EXPECT_ALL(exchanges) world_expect_all(exchanges, sizeof exchanges / sizeof *exchanges)

/* HELLO in all its forms; its options take effect one by one, as in Redis. */
START_TEST(test_hello)
{
    static const struct exchange exchanges[] = {
        {"HELLO", HELLO_2},
        {"HELLO 3", HELLO_3},
        {"CLIENT GETNAME", "_\r\n"},
        {"HELLO", HELLO_3},
        {"HELLO 4", "-NOPROTO unsupported protocol version\r\n"},
        {"HELLO 1", "-NOPROTO unsupported protocol version\r\n"},
        {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
        {"HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"},
        {"HELLO 2 AUTH default x", HELLO_2},
        {"HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'\r\n"},
        {"HELLO 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n"},
        {"CLIENT GETNAME", "$-1\r\n"},
        {"HELLO 3 SETNAME one FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"},
        {"CLIENT GETNAME", "$3\r\none\r\n"},
        {"HELLO 3 SETNAME two AUTH default x", HELLO_3},
        {"CLIENT GETNAME", "$3\r\ntwo\r\n"},
    };
    EXPECT_ALL(exchanges);
}
END_TEST

/* The engine greets by its own name. */
START_TEST(test_hello_of_the_engine)
{
    (void)snprintf(world.router.hello_server, sizeof world.router.hello_server, "valkey");
    (void)snprintf(world.router.hello_version, sizeof world.router.hello_version, "8.0.1");
    (void)snprintf(world.router.hello_mode, sizeof world.router.hello_mode, "x");
    world_say(0, "HELLO");
    world_expect(0, "*14\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$7\r\nversion\r\n$5\r\n8.0.1\r\n$5\r\n"
                    "proto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$1\r\nx\r\n$4\r\nrole\r\n$6\r\n"
                    "master\r\n$7\r\nmodules\r\n*0\r\n");
}
END_TEST

/* AUTH where no password is set. */
START_TEST(test_auth_without_password)
{
    static const struct exchange exchanges[] = {
        {"AUTH x", "-ERR AUTH <password> called without any password configured for the default "
                   "user. Are you sure your configuration is correct?\r\n"},
        {"AUTH default x", "+OK\r\n"},
        {"AUTH a b c", "-ERR syntax error\r\n"},
        {"AUTH", "-ERR wrong number of arguments for 'auth' command\r\n"},
    };
    EXPECT_ALL(exchanges);
}
END_TEST

/* With a password: what may be said before AUTH, what it takes, and that RESET takes it away. */
START_TEST(test_auth)
{
    static const struct exchange exchanges[] = {
        {"PING", NOAUTH},
        {"SELECT 1", NOAUTH},
        {"CLIENT ID", NOAUTH},
        {"INFO holdfast", NOAUTH},
        {"SHUTDOWN", NOAUTH},
        {"WATCH a", NOAUTH},
        {"MULTI", NOAUTH},
        {"EXEC",
         "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n"},
        {"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"},
        {"GET", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated, otherwise "
                    "the HELLO AUTH <user> <pass> option can be used to authenticate the client "
                    "and select the RESP protocol version at the same time\r\n"},
        {"AUTH bad", WRONGPASS},
        {"AUTH p", WRONGPASS},
        {"AUTH pwpw", WRONGPASS},
        {"HELLO 3 AUTH default bad", WRONGPASS},
        {"CLIENT ID", NOAUTH},
        {"AUTH pw", "+OK\r\n"},
        {"CLIENT ID", ":2\r\n"},
        {"AUTH bad", WRONGPASS},
        {"CLIENT ID", ":2\r\n"},
        {"RESET", "+RESET\r\n"},
        {"CLIENT ID", NOAUTH},
        {"HELLO 3 AUTH default pw", HELLO_AS("%7", "3", "2")},
        {"SELECT 1", "+OK\r\n"},
    };

    world.router.config.password = "pw";
    world.all.auth_required = true;
    world_join(0);
    EXPECT_ALL(exchanges);
}
END_TEST

/* A user of the link's own: clients come in as that one, by name or with the password alone. */
START_TEST(test_auth_user)
{
    static const struct exchange exchanges[] = {
        {"AUTH joe bad", WRONGPASS}, {"SELECT 1", NOAUTH},   {"AUTH joe pw", "+OK\r\n"},
        {"RESET", "+RESET\r\n"},     {"AUTH pw", "+OK\r\n"}, {"SELECT 1", "+OK\r\n"},
    };

    world.router.config.password = "pw";
    world.router.config.user = "joe";
    world.all.auth_required = true;
    world_join(0);
    EXPECT_ALL(exchanges);
}
END_TEST

/* A user of the link's own that comes to need no password has to be named nevertheless. */
START_TEST(test_auth_user_without_password)
{
    static const struct exchange exchanges[] = {
        {"SELECT 1", NOAUTH},    {"AUTH joe x", "+OK\r\n"}, {"SELECT 1", "+OK\r\n"},
        {"RESET", "+RESET\r\n"}, {"SELECT 1", NOAUTH},      {"AUTH pw", "+OK\r\n"},
    };

    const struct credentials *credentials = world_credentials("pw");

    world.router.config.user = "joe";
    ck_assert(session_needs_auth(&world.router));
    world.all.auth_required = true;
    world_say(0, "ACL SETUSER joe nopass");
    world_expect_sent_bare("ACL SETUSER joe nopass");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    ck_assert_str_eq(credentials->password, "");
    ck_assert(world.all.auth_required);
    world_join(0);
    EXPECT_ALL(exchanges);
    world.router.config.user = "default";
    ck_assert(!session_needs_auth(&world.router));
}
END_TEST

/* What was set is known also if who set it does not wait for the answer, in a transaction or not;
 * unless Redis has refused it. */
START_TEST(test_password_of_one_who_leaves)
{
    static const struct {
        const char *said, *sent, *answer, *password;
    } cases[] = {
        {"CONFIG SET requirepass one timeout 7\r\n", "CONFIG SET requirepass one", "+OK\r\n",
         "one"},
        {"CONFIG SET requirepass bad\r\n", "CONFIG SET requirepass bad", "-ERR no\r\n", "one"},
        {"ACL SETUSER default >two\r\n", "ACL SETUSER default >two", "+OK\r\n", "two"},
        {"ACL SETUSER default >bad\r\n", "ACL SETUSER default >bad", "-ERR no\r\n", "two"},
        {"MULTI\r\nGET a\r\nCLIENT ID\r\nACL SETUSER default >three\r\nACL LOAD\r\nEXEC\r\n",
         "MULTI|GET a|PING|ACL SETUSER default >three|ACL LOAD|EXEC",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n"
         "*4\r\n$1\r\nx\r\n+PONG\r\n+OK\r\n-ERR no\r\n",
         "three"},
        {"MULTI\r\nGET a\r\nACL SETUSER default >bad\r\nEXEC\r\n",
         "MULTI|GET a|ACL SETUSER default >bad|EXEC",
         "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$1\r\nx\r\n-ERR no\r\n", "three"},
        {"MULTI\r\nACL SETUSER default >bad\r\nEXEC\r\n", "MULTI|ACL SETUSER default >bad|EXEC",
         "+OK\r\n-ERR no\r\n-EXECABORT no\r\n", "three"},
    };

    const struct credentials *credentials = world_credentials("");

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool taken = strcmp(credentials->password, cases[i].password) != 0;
        world.all.auth_required = world.router.memory_tight = false;
        world_join(1);
        world_say_raw(1, cases[i].said);
        bool fenced = strstr(cases[i].said, "GET a") != NULL;
        (fenced ? world_expect_sent : world_expect_sent_bare)(cases[i].sent);
        client_close(world.clients[1], "it leaves");
        world_turn();
        world_turn();
        world_redis(cases[i].answer);
        ck_assert_str_eq(credentials->password, cases[i].password);
        ck_assert_int_eq(world.all.auth_required, taken);
    }
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 7);
}
END_TEST

/* SELECT's errors, and that they change nothing. */
START_TEST(test_select)
{
    static const struct exchange exchanges[] = {
        {"SELECT 15", "+OK\r\n"},
        {"SELECT x", "-ERR value is not an integer or out of range\r\n"},
        {"SELECT 01", "-ERR value is not an integer or out of range\r\n"},
        {"SELECT 99999999999999999999", "-ERR value is not an integer or out of range\r\n"},
        {"SELECT 4294967296",
         "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"},
        {"SELECT 16", "-ERR DB index is out of range\r\n"},
        {"SELECT -1", "-ERR DB index is out of range\r\n"},
        {"SELECT 1 2", "-ERR wrong number of arguments for 'select' command\r\n"},
    };

    EXPECT_ALL(exchanges);
    ck_assert_uint_eq(world.clients[0]->db, 15);
}
END_TEST

/* WAIT's and WAITAOF's errors, and what is answered at once. */
START_TEST(test_wait)
{
    static const struct exchange exchanges[] = {
        {"WAIT 0 0", ":3\r\n"},
        {"WAIT -1 0", ":3\r\n"},
        {"WAIT x 0", "-ERR value is not an integer or out of range\r\n"},
        {"WAIT 0 x", "-ERR timeout is not an integer or out of range\r\n"},
        {"WAIT 0 99999999999999999999", "-ERR timeout is not an integer or out of range\r\n"},
        {"WAIT 0 -1", "-ERR timeout is negative\r\n"},
        {"WAIT 0", "-ERR wrong number of arguments for 'wait' command\r\n"},
        {"WAIT 3 0", ":3\r\n"}, /* it has written nothing */
        {"WAITAOF 1 2 0", "*2\r\n:1\r\n:3\r\n"},
        {"WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1\r\n"},
        {"WAITAOF x 0 0", "-ERR value is not an integer or out of range\r\n"},
        {"WAITAOF 1 -1 0", "-ERR value is out of range, must be positive\r\n"},
        {"WAITAOF 1 0 -1", "-ERR timeout is negative\r\n"},
        {"WAITAOF 1 0", "-ERR unknown command 'WAITAOF', with args beginning with: '1' '0' \r\n"},
    };
    EXPECT_ALL(exchanges);
}
END_TEST

/* The log nodes are counted that have what this client has written. It is a blocked client until
 * there are enough, and what it asks behind that waits. */
START_TEST(test_wait_blocks)
{
    world_join(1);
    world_say_raw(0, "SET a 1\r\nWAIT 2 0\r\nWAIT 3 0\r\nGET a\r\n");
    world_expect_sent("SET a 1");
    world_redis("+OK\r\n"); /* bounded by 7 */
    world_expect(0, "+OK\r\n:2\r\n");
    world_expect_nothing_sent();
    ck_assert(client_is_blocked(world.clients[0]));
    world_say(1, "CLIENT LIST ID 1");
    ck_assert_ptr_nonnull(strstr(world_hear(1), " flags=b "));
    world_say(1, "WAIT 3 0"); /* who wrote nothing waits for nothing */
    world_expect(1, ":3\r\n");
    world.log.flushed[2] = 6;
    world_expect(0, "");
    world.log.flushed[2] = 7;
    world_expect(0, ":3\r\n");
    world_expect_sent("GET a");
    world_redis("$1\r\n1\r\n");
    world_expect(0, "$1\r\n1\r\n");
}
END_TEST

/* A time-out answers with what there is; WAITAOF's first number is the commit. */
START_TEST(test_wait_times_out)
{
    world.log.committed = 6;
    world_say_raw(0, "SET a 1\r\nWAITAOF 1 0 30\r\n");
    world_expect_sent("SET a 1");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n*2\r\n:0\r\n:2\r\n");
    world_say(0, "WAIT 99 30");
    world_expect(0, ":2\r\n");
    world_say(0, "WAITAOF 1 0 0");
    world_expect(0, "");
    world.log.committed = 7;
    world_expect(0, "*2\r\n:1\r\n:2\r\n");
}
END_TEST

/* CLIENT UNBLOCK and KILL of one that waits, and its leaving. */
START_TEST(test_wait_ends)
{
    world_join(1);
    world_say_raw(0, "SET a 1\r\nWAIT 3 0\r\n");
    world_expect_sent("SET a 1");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(1, "CLIENT UNBLOCK 1");
    world_expect(1, ":1\r\n");
    world_expect(0, ":2\r\n");
    world_say(0, "WAIT 3 0");
    world_expect(0, "");
    world_say(1, "CLIENT UNBLOCK 1 ERROR");
    world_expect(1, ":1\r\n");
    world_expect(0, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    world_say(0, "WAIT 3 0");
    world_expect(0, "");
    ck_assert_uint_eq(world.router.waits.count, 1);
    world_say(1, "CLIENT KILL ID 1");
    world_expect(1, ":1\r\n");
    world_expect_closed(0);
    ck_assert_uint_eq(world.router.waits.count, 0);
    ck_assert_uint_eq(world.pool.live_count, 0);
}
END_TEST

/* HOLDFAST SYNC: of this connection, until RESET; each request says what its client wanted then. */
START_TEST(test_sync)
{
    static const struct exchange exchanges[] = {
        {"HOLDFAST SYNC", "+ON\r\n"},
        {"HOLDFAST SYNC OFF", "+OK\r\n"},
        {"HOLDFAST SYNC", "+OFF\r\n"},
        {"HOLDFAST SYNC maybe", "-ERR HOLDFAST SYNC takes ON, OFF or nothing\r\n"},
        {"HOLDFAST SYNC", "+OFF\r\n"},
        {"RESET", "+RESET\r\n"},
        {"HOLDFAST SYNC", "+ON\r\n"},
        {"HOLDFAST SYNC off", "+OK\r\n"},
    };

    EXPECT_ALL(exchanges);
    world_say_raw(0, "SET a 1\r\nHOLDFAST SYNC ON\r\nSET a 2\r\n");
    world_expect_sent("SET a 1|SET a 2");
    ck_assert_uint_ne(world.clients[0]->first->flags & REQUEST_ASYNC, 0);
    ck_assert_uint_eq(world.clients[0]->last->flags & REQUEST_ASYNC, 0);
    world_redis("+OK\r\n+OK\r\n");
    world_expect(0, "+OK\r\n+OK\r\n+OK\r\n");
    world.all.async_default = true;
    world_join(0);
    world_say(0, "HOLDFAST SYNC");
    world_expect(0, "+OFF\r\n");
}
END_TEST

/* While the log is late, writes of those who do not wait for it are refused, theirs alone. */
START_TEST(test_sync_refused)
{
#define LATE                                                                                       \
    "NOREPLICAS The log is behind by more than limits.async_max_age_ms; this was not "             \
    "executed.\r\n"
    world_join(1);
    world_say(0, "HOLDFAST SYNC OFF");
    world_expect(0, "+OK\r\n");
    world.router.log_late = true;
    world_say(0, "SET a 1");
    world_expect(0, "-" LATE);
    world_say_raw(0, "MULTI\r\nGET a\r\nSET a 1\r\nEXEC\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n-" LATE
                    "-EXECABORT Transaction discarded because of previous errors.\r\n");
    world_expect_nothing_sent();
    world_asks(0, "GET a", "$-1\r\n");
    world_asks(1, "SET a 1", "+OK\r\n");
}
END_TEST

/* Names: none, set, refused, taken away. */
START_TEST(test_names)
{
    static const struct exchange exchanges[] = {
        {"CLIENT GETNAME", "$-1\r\n"},      {"CLIENT SETNAME ab", "+OK\r\n"},
        {"CLIENT GETNAME", "$2\r\nab\r\n"}, {"CLIENT SETNAME a\nb", BAD_NAME},
        {"CLIENT SETNAME a\x80", BAD_NAME}, {"CLIENT GETNAME", "$2\r\nab\r\n"},
        {"HELLO 3 SETNAME a\tb", BAD_NAME}, {"CLIENT GETNAME", "$2\r\nab\r\n"},
    };

    EXPECT_ALL(exchanges);
    world_say_raw(0, "CLIENT SETNAME 'a b'\r\nCLIENT SETNAME ''\r\nCLIENT GETNAME\r\n");
    world_expect(0, BAD_NAME "+OK\r\n$-1\r\n");
}
END_TEST

/* The other subcommands that take words. */
START_TEST(test_client_words)
{
    static const struct exchange exchanges[] = {
        {"CLIENT NO-EVICT on", "+OK\r\n"},
        {"CLIENT NO-EVICT OFF", "+OK\r\n"},
        {"CLIENT NO-EVICT x", "-ERR syntax error\r\n"},
        {"CLIENT NO-EVICT", "-ERR wrong number of arguments for 'client|no-evict' command\r\n"},
        {"CLIENT GETREDIR", ":-1\r\n"},
        {"CLIENT SETINFO LIB-NAME x", "-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n"},
        {"CLIENT REPLY foo", "-ERR syntax error\r\n"},
        {"CLIENT REPLY ON", "+OK\r\n"},
        {"CLIENT REPLY", "-ERR wrong number of arguments for 'client|reply' command\r\n"},
        {"CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command\r\n"},
    };
    EXPECT_ALL(exchanges);
}
END_TEST

/* CLIENT REPLY: SKIP swallows one reply, OFF all until ON, and SKIP changes nothing about OFF. */
START_TEST(test_reply)
{
    world_say_raw(0, "CLIENT REPLY SKIP\r\nCLIENT ID\r\nCLIENT GETREDIR\r\n");
    world_expect(0, ":-1\r\n");
    world_say_raw(0, "CLIENT REPLY OFF\r\nCLIENT ID\r\nFOO\r\nCLIENT REPLY SKIP\r\nCLIENT ID\r\n");
    world_say_raw(0, "CLIENT REPLY ON\r\nCLIENT ID\r\n");
    world_expect(0, "+OK\r\n:1\r\n");
    world_say_raw(0, "CLIENT REPLY OFF\r\nGET a\r\n");
    world_expect_sent("GET a");
    world_redis("$1\r\n1\r\n");
    world_say_raw(0, "RESET\r\n");
    world_expect(0, "+RESET\r\n");
}
END_TEST

/* What the proxy does itself is counted, also if nothing comes of it, whatever was asked before. */
START_TEST(test_counted)
{
    world_say_raw(0, "GET a\r\nCLIENT REPLY OFF\r\n");
    world_expect_sent("GET a");
    ck_assert_uint_eq(world.all.tally.count, 1);
    ck_assert_str_eq(world.all.tally.entries[0].name, "client|reply");
    ck_assert_uint_eq(world.all.tally.entries[0].calls, 1);
    world_redis("-ERR x\r\n");
    world_expect(0, "-ERR x\r\n");
    world_say_raw(0, "CLIENT REPLY SKIP\r\n");
    world_say_raw(0, "CLIENT REPLY ON\r\n");
    world_expect(0, "+OK\r\n");
    ck_assert_uint_eq(world.all.tally.entries[0].calls, 3);
    ck_assert_uint_eq(world.all.tally.entries[0].failed, 0);
}
END_TEST

/* Client i's own address, as it stands in CLIENT LIST. */
static const char *address(int i)
{
    static char text[64];
    struct sockaddr_in own;
    socklen_t len = sizeof own;

    ck_assert_int_eq(getsockname(world.fds[i], (struct sockaddr *)&own, &len), 0);
    (void)snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(own.sin_port));
    return text;
}

static void kill_by(const char *words, const char *value, const char *reply)
{
    char request[128];

    (void)snprintf(request, sizeof request, "CLIENT KILL %s%s", words, value);
    world_say(0, request);
    world_expect(0, reply);
}

/* CLIENT KILL by id and by address, both forms; with a filter a client spares itself. */
START_TEST(test_kill)
{
    static const struct exchange exchanges[] = {
        {"CLIENT KILL ID 99999", ":0\r\n"},
        {"CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n"},
        {"CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"},
        {"CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"},
        {"CLIENT KILL ADDR 1.2.3.4:5", ":0\r\n"},
        {"CLIENT KILL FOO 1", "-ERR syntax error\r\n"},
        {"CLIENT KILL ADDR", "-ERR No such client\r\n"},
        {"CLIENT KILL ID 1 ADDR", "-ERR syntax error\r\n"},
        {"CLIENT KILL ID 1", ":0\r\n"}, /* itself */
    };

    EXPECT_ALL(exchanges);
    for (int i = 1; i < 4; i++) {
        world_join(i);
    }
    kill_by("ID ", "2", ":1\r\n");
    world_expect_closed(1);
    kill_by("ADDR ", address(2), ":1\r\n");
    world_expect_closed(2);
    kill_by("", address(3), "+OK\r\n");
    world_expect_closed(3);
    kill_by("ADDR ", address(0), ":0\r\n");
    ck_assert_uint_eq(world.all.count, 1);
    kill_by("", address(0), "+OK\r\n");
    world_expect_closed(0);
    ck_assert_uint_eq(world.all.count, 0);
}
END_TEST

/* A client that is killed while it waits for Redis takes its request along: nobody gets the reply.
 */
START_TEST(test_kill_waiting)
{
    world_join(1);
    world_say(1, "GET a");
    world_expect_sent("GET a");
    kill_by("ID ", "2", ":1\r\n");
    world_expect_closed(1);
    world_redis("$1\r\n1\r\n");
    world_expect(0, "");
    ck_assert_uint_eq(world.pool.live_count, 0);
}
END_TEST

/* CLIENT LIST and INFO name the proxy's clients, in Redis' format, RESP3 as verbatim text. */
START_TEST(test_list)
{
    char expected[64];

    world_join(1);
    world_say(0, "CLIENT SETNAME me");
    world_expect(0, "+OK\r\n");
    world_say(1, "MULTI");
    world_expect(1, "+OK\r\n");
    world_say(0, "CLIENT LIST");
    const char *list = world_hear(0);
    ck_assert_int_eq(list[0], '$');
    (void)snprintf(expected, sizeof expected, "id=1 addr=%s ", address(0));
    ck_assert_ptr_nonnull(strstr(list, expected));
    (void)snprintf(expected, sizeof expected, "id=2 addr=%s ", address(1));
    ck_assert_ptr_nonnull(strstr(list, expected));
    ck_assert_ptr_nonnull(strstr(list, " name=me age=0 idle=0 flags=N db=0 "));
    ck_assert_ptr_nonnull(strstr(list, " flags=x db=0 sub=0 psub=0 ssub=0 multi=0 "));
    ck_assert_ptr_nonnull(strstr(list, " cmd=client|list user=default redir=-1 resp=2\n"));
    ck_assert_ptr_nonnull(strstr(list, " cmd=multi "));
    world.clients[0]->resp = 3;
    world_say(0, "CLIENT INFO");
    const char *info = world_hear(0);
    ck_assert_int_eq(info[0], '=');
    ck_assert_ptr_nonnull(strstr(info, "\r\ntxt:id=1 "));
    ck_assert_ptr_null(strstr(info, "id=2 "));
    ck_assert_ptr_nonnull(strstr(info, " resp=3\n\r\n"));
}
END_TEST

/* RESET gives back everything that a connection can set. */
START_TEST(test_reset)
{
    static const struct exchange exchanges[] = {
        {"HELLO 3 SETNAME x", HELLO_3},
        {"SELECT 3", "+OK\r\n"},
        {"MULTI", "+OK\r\n"},
        {"RESET", "+RESET\r\n"},
        {"CLIENT GETNAME", "$-1\r\n"},
        {"EXEC", "-ERR EXEC without MULTI\r\n"},
        {"HELLO", HELLO_2},
    };

    EXPECT_ALL(exchanges);
    ck_assert_uint_eq(world.clients[0]->db, 0);
}
END_TEST

/* QUIT: OK, behind what was asked before, and the end; inside MULTI as well. */
START_TEST(test_quit)
{
    world_say_raw(0, "GET a\r\nQUIT\r\nGET b\r\n");
    world_expect_sent("GET a");
    world_expect(0, "");
    world_redis("$1\r\n1\r\n");
    world_expect(0, "$1\r\n1\r\n+OK\r\n");
    world_expect_closed(0);
    world_join(0);
    world_say_raw(0, "MULTI\r\nSET a b\r\nQUIT\r\n");
    world_expect(0, "+OK\r\n+QUEUED\r\n+OK\r\n");
    world_expect_closed(0);
}
END_TEST

/* Whom invalidations are redirected to is told by the client's id, not by that of its link at
 * Redis; also where the question stands right behind the answer to it in a pipeline. */
START_TEST(test_tracking_redirect)
{
    static const char of_redis[] = "+OK\r\n*4\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$8\r\n"
                                   "redirect\r\n:70\r\n";

    world_join(1);
    world_say_raw(0, "CLIENT TRACKING ON REDIRECT 2\r\nCLIENT TRACKINGINFO\r\n");
    world_link_up(0);
    world_link_expect_sent(0, "HELLO 3|PING");
    world_link_redis(0, "%0\r\n+PONG\r\n");
    session_link_settled(&world.all);
    world_turn();
    world_link_up(1);
    world_link_expect_sent(1, "CLIENT TRACKING ON REDIRECT 70|CLIENT TRACKINGINFO");
    world_link_redis(1, of_redis);
    world_expect(0, "+OK\r\n*4\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$8\r\nredirect\r\n:2\r\n");
}
END_TEST

/* What CONFIG SET sets here when Redis has set the rest leaves alone what others have set since. */
START_TEST(test_config_late)
{
    world_join(1);
    world_say(0, "CONFIG SET timeout 7 maxmemory 1 maxclients 60");
    world_expect_sent_bare("CONFIG SET maxmemory 1");
    world_say(1, "CONFIG SET tcp-keepalive 9 maxclients 50");
    world_expect(1, "+OK\r\n");
    ck_assert(!world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].set);
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 7);
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_KEEPALIVE_S].value, 9);
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_MAXCLIENTS].value, 60);
    world_say(0, "CONFIG SET timeout 8 maxmemory x");
    world_expect_sent_bare("CONFIG SET maxmemory x");
    world_redis("-ERR no\r\n");
    world_expect(0, "-ERR no\r\n");
    ck_assert_uint_eq(world.all.config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 7);
}
END_TEST

static int rewritten, rewrite_error;

static int rewrite(void *ctx)
{
    (void)ctx;
    rewritten++;
    return rewrite_error;
}

/* What is ours is kept when Redis has kept its own, also inside MULTI, and if its client has gone;
 * that it can't be is told. */
START_TEST(test_config_rewrite)
{
    static const char error[] = "-ERR Rewriting config file: No such file or directory\r\n";
    char inside[128];

    rewritten = rewrite_error = 0;
    world.router.config_rewritten = rewrite;
    world_say(0, "CONFIG REWRITE");
    world_expect_sent_bare("CONFIG REWRITE");
    world_redis("-ERR The server is running without a config file\r\n");
    world_expect(0, "-ERR The server is running without a config file\r\n");
    ck_assert_int_eq(rewritten, 0);
    for (rewrite_error = 0; rewrite_error <= ENOENT; rewrite_error += ENOENT) {
        const char *answer = rewrite_error == 0 ? "+OK\r\n" : error;
        rewritten = 0;
        world_say(0, "CONFIG REWRITE");
        world_expect_sent_bare("CONFIG REWRITE");
        world_redis("+OK\r\n");
        world_expect(0, answer);
        world_say_raw(0, "MULTI\r\nCONFIG REWRITE\r\n");
        world_expect(0, "+OK\r\n+QUEUED\r\n");
        world_say(0, "EXEC");
        world_expect_sent_bare("MULTI|CONFIG REWRITE|EXEC");
        world_redis("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
        (void)snprintf(inside, sizeof inside, "*1\r\n%s", answer);
        world_expect(0, inside);
        ck_assert_int_eq(rewritten, 2);
    }
    rewrite_error = rewritten = 0;
    world_join(1);
    world_say(1, "CONFIG REWRITE");
    world_expect_sent_bare("CONFIG REWRITE");
    world_join(1);
    world_redis("+OK\r\n");
    ck_assert_int_eq(rewritten, 1);
}
END_TEST

int main(void)
{
    return UNIT_RUN("session", world_setup, world_teardown, test_hello, test_hello_of_the_engine,
                    test_auth_without_password, test_auth, test_auth_user,
                    test_auth_user_without_password, test_password_of_one_who_leaves, test_select,
                    test_wait, test_wait_blocks, test_wait_times_out, test_wait_ends, test_sync,
                    test_sync_refused, test_names, test_client_words, test_reply, test_counted,
                    test_kill, test_kill_waiting, test_list, test_reset, test_quit,
                    test_tracking_redirect, test_config_late, test_config_rewrite);
}
