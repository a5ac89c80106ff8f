/* ACL users: logged in at Redis on a link of their own; what does not go there is asked about. */
#include "proxy/clients/acl.h"

#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define WRONGPASS "-WRONGPASS invalid username-password pair or user is disabled.\r\n"

/* Client 0 becomes joe, on that link. */
static void log_in_on(int link)
{
    world_say(0, "AUTH joe pw");
    world_link_up(link);
    world_link_expect_bare(link, "AUTH joe pw");
    world_link_redis_raw(link, "+OK\r\n");
    world_expect(0, "+OK\r\n");
}

static void log_in(void)
{
    log_in_on(0);
}

/* Client 0, who is joe, says this: Redis is asked whether joe may, and then the client hears that.
 */
static void asks_gate(const char *words, const char *verdict, const char *reply)
{
    char question[128];

    (void)snprintf(question, sizeof question, "ACL DRYRUN joe %s", words);
    world_say(0, words);
    world_expect_sent_bare(question);
    world_redis(verdict);
    world_expect(0, reply);
}

#define NO_GET  "$54\r\nThis user has no permissions to run the 'get' command.\r\n"
#define NO_EXEC "$55\r\nThis user has no permissions to run the 'exec' command.\r\n"

/* The same, but joe may not: it is sent to Redis on joe's link (sent: what goes there), to be
 * refused there, so that it stands in Redis' ACL LOG. */
static void asks_in_vain(int link, const char *words, const char *verdict, const char *sent,
                         const char *replies)
{
    char question[128];

    (void)snprintf(question, sizeof question, "ACL DRYRUN joe %s", words);
    world_say(0, words);
    world_expect_sent_bare(question);
    world_redis(verdict);
    world_link_expect_bare(link, sent);
    world_link_redis_raw(link, replies);
}

/* And that is what the client hears. */
static void asks_and_is_refused(const char *words, const char *verdict, const char *sent,
                                const char *replies, const char *reply)
{
    asks_in_vain(0, words, verdict, sent, replies);
    world_expect(0, reply);
}

/* Client 1 is there as well, and client 0 has subscribed to channel c, over link 0. */
static void one_subscribes(void)
{
    tracker_stream_at(world.tracker, 7);
    tracker_commit(world.tracker, 7);
    world_join(1);
    world_say(0, "SUBSCRIBE c");
    world_link_up(0);
    world_link_expect_sent(0, "HELLO 3|SUBSCRIBE c|PING");
    world_link_redis(0, "%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+PONG\r\n");
    (void)world_hear(0);
}

/* Redis says whether the password is right; everything goes over that link then, without fences. */
START_TEST(test_login)
{
    world_say(0, "AUTH joe bad");
    world_link_up(0);
    world_link_expect_bare(0, "AUTH joe bad");
    world_link_redis_raw(0, WRONGPASS);
    world_expect(0, WRONGPASS);
    ck_assert_ptr_null(world.clients[0]->user);
    ck_assert_ptr_null(world.clients[0]->link);
    ck_assert_uint_eq(private_count(world.privates), 1); /* for the next who needs one */
    world_link_asks(0, 0, "WATCH a", "+OK\r\n");
    world_link_asks(0, 0, "UNWATCH", "+OK\r\n");
    world_link_asks_bare(0, 0, "AUTH joe pw", "+OK\r\n");
    ck_assert_str_eq(world.clients[0]->user, "joe");
    world_link_asks_bare(0, 0, "GET a", "$-1\r\n");
    world_expect_nothing_sent();
    /* back to the link's own user: the link is not for anybody else */
    world_say(0, "AUTH default x");
    world_expect(0, "+OK\r\n");
    world_link_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
    world_asks(0, "GET a", "$-1\r\n");
}
END_TEST

/* HELLO logs in as well, by its own word, and goes on then. */
START_TEST(test_hello)
{
    world_say(0, "HELLO 3 AUTH joe pw SETNAME me");
    world_link_up(0);
    world_link_expect_bare(0, "HELLO 2 AUTH joe pw");
    world_link_redis_raw(0, "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    ck_assert_int_eq(*world_hear(0), '%');
    ck_assert_str_eq(world.clients[0]->name, "me");
    world_say(0, "hello 2 AUTH joe bad");
    world_link_up(1);
    world_link_expect_bare(1, "HELLO 3|CLIENT SETNAME me|hello 3 AUTH joe bad");
    world_link_redis_raw(1, "%0\r\n+OK\r\n" WRONGPASS);
    world_expect(0, WRONGPASS);
    ck_assert_uint_eq(world.clients[0]->resp, 3);
    /* it is who it was */
    ck_assert_str_eq(world.clients[0]->user, "joe");
    world_say(0, "GET a");
    world_link_expect_bare(0, "HELLO 3|GET a");
    world_link_redis_raw(0, "%0\r\n_\r\n");
    world_expect(0, "_\r\n");
    /* and becomes another one on the other link; its own is closed */
    world_say(0, "AUTH bob pw");
    world_link_expect_bare(1, "CLIENT SETNAME me|AUTH bob pw");
    world_link_redis_raw(1, "+OK\r\n+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 1);
}
END_TEST

/* What ACL GETUSER says, as far as it matters. */
#define CHANNELS_OF(type, fields, len, patterns)                                                   \
    type fields "\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$8\r\nchannels\r\n$" len "\r\n" patterns     \
                "\r\n"
#define CHANNELS(len, patterns) CHANNELS_OF("*", "4", len, patterns)
#define SELECTOR(len, patterns)                                                                    \
    "$9\r\nselectors\r\n*1\r\n*4\r\n$8\r\ncommands\r\n$5\r\n-@all\r\n$8\r\nchannels\r\n$" len      \
    "\r\n" patterns "\r\n"

/* Behind what changes a user's rights, Redis is asked about the channels of those who are that user
 * and have subscribed; who has lost the right to one is closed. Any selector may give it. */
START_TEST(test_rights)
{
    one_subscribes();
    world_say(0, "SUBSCRIBE d");
    world_link_expect_sent(0, "SUBSCRIBE d|PING");
    world_link_redis(0, ">3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n+PONG\r\n");
    (void)world_hear(0);
    world_say(1, "ACL SETUSER other on");
    world_expect_sent_bare("ACL SETUSER other on");
    world_redis("+OK\r\n");
    world_expect(1, "+OK\r\n");
    world_say(1, "ACL SETUSER default resetchannels");
    world_expect_sent_bare("ACL SETUSER default resetchannels|ACL GETUSER default");
    world_redis("+OK\r\n" CHANNELS("10", "&x &[cd] &"));
    world_expect(1, "+OK\r\n");
    world_expect(0, "");
    world_say(1, "ACL SETUSER default more");
    world_expect_sent_bare("ACL SETUSER default more|ACL GETUSER default");
    world_redis("+OK\r\n" CHANNELS_OF("*", "6", "2", "&c") SELECTOR("2", "&d"));
    world_expect(1, "+OK\r\n");
    world_expect(0, "");
    world_say(1, "ACL LOAD");
    world_expect_sent_bare("ACL LOAD|ACL GETUSER default");
    world_redis("+OK\r\n" CHANNELS("5", "&c &x"));
    world_expect(1, "+OK\r\n");
    world_expect_closed(0);
}
END_TEST

/* Also if that is in a transaction, and was carried out. */
START_TEST(test_rights_in_transaction)
{
    one_subscribes();
    world_say_raw(1, "MULTI\r\nACL LOAD\r\nACL SETUSER default resetchannels\r\nEXEC\r\n");
    world_expect_sent_bare("MULTI|ACL LOAD|ACL SETUSER default resetchannels|EXEC");
    world_redis("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR no file\r\n+OK\r\n");
    world_expect(1, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n-ERR no file\r\n+OK\r\n");
    world_expect_sent_bare("ACL GETUSER default");
    world_redis(CHANNELS("0", ""));
    world_expect_closed(0);
}
END_TEST

/* Guessing takes one link (logins_max), whoever guesses: the next one waits for its turn, others
 * are not kept from theirs, and who gives up leaves the line. */
START_TEST(test_guessing)
{
    world_say(0, "AUTH joe guess");
    world_link_up(0);
    world_link_expect_bare(0, "AUTH joe guess");
    for (int i = 1; i <= 3; i++) {
        world_join(i);
        world_say(i, "AUTH joe pw");
        world_expect(i, "");
    }
    ck_assert_uint_eq(private_count(world.privates), 1);
    world_join(2);
    world_link_redis_raw(0, WRONGPASS);
    world_expect(0, WRONGPASS);
    world_link_expect_bare(0, "AUTH joe pw");
    world_say(0, "AUTH joe again");
    world_link_redis_raw(0, "+OK\r\n");
    world_expect(1, "+OK\r\n");
    world_link_up(1); /* for the one that waited longest */
    world_link_expect_bare(1, "AUTH joe pw");
    client_close(world.clients[3], "killed while Redis is asked, which ends that link");
    world_join(3);
    world_link_expect_closed(1);
    world_link_up(1);
    world_link_expect_bare(1, "AUTH joe again");
    world_link_redis_raw(1, WRONGPASS);
    world_expect(0, WRONGPASS);
    ck_assert_uint_eq(world.all.logins, 0);
    ck_assert_ptr_null(world.all.logins_first);
}
END_TEST

/* Whose turn has come and who is refused for another reason makes way for the next one. */
START_TEST(test_turn_is_passed_on)
{
    world_say(0, "AUTH joe guess");
    world_link_up(0);
    world_link_expect_bare(0, "AUTH joe guess");
    for (int i = 1; i <= 2; i++) {
        world_join(i);
        world_say(i, "AUTH joe pw");
        world_expect(i, "");
    }
    private_stop(world.privates, "a test");
    world_expect_closed(0);
    world_expect(1, "-ERR max number of private connections reached, see limits.private_max\r\n");
    world_expect(2, "-ERR max number of private connections reached, see limits.private_max\r\n");
    ck_assert_uint_eq(world.all.logins, 0);
}
END_TEST

/* What the proxy itself would do is put to Redis first. */
START_TEST(test_gate)
{
    log_in();
    asks_gate("SELECT 3", "+OK\r\n", "+OK\r\n");
    ck_assert_uint_eq(world.clients[0]->db, 3);
    world_link_expect_bare(0, "SELECT 3|HELLO"); /* while there is a right to it */
    world_link_redis_raw(0, "+OK\r\n*0\r\n");
    world_say(0, "CLIENT LIST");
    world_expect_sent_bare("SELECT 3|ACL DRYRUN joe CLIENT LIST");
    world_redis("+OK\r\n$61\r\nThis user has no permissions to run the 'client|list' command\r\n");
    world_link_expect_bare(0, "CLIENT LIST");
    world_link_redis_raw(0, "-NOPERM no\r\n");
    world_expect(0, "-NOPERM no\r\n");
    ck_assert_str_eq(world.clients[0]->last_command, "client|list");
    asks_and_is_refused("WATCH b",
                        "$61\r\nThis user has no permissions to access the 'b' key, and so on\r\n",
                        "WATCH b", "-NOPERM keys\r\n", "-NOPERM keys\r\n");
    /* what Redis never gets is not sent to be refused either */
    asks_gate("SHUTDOWN", "$58\r\nThis user has no permissions to run the 'shutdown' command\r\n",
              "-NOPERM this user has no permissions to run the 'shutdown' command\r\n");
    world_say(0, "QUIT"); /* needs no permission */
    world_expect(0, "+OK\r\n");
}
END_TEST

/* CLIENT REPLY SKIP is about the client's request, not about what Redis is asked before: neither a
 * login, nor what is put to it. A denial is the reply that is skipped. */
START_TEST(test_skip)
{
    world_say(0, "CLIENT REPLY SKIP");
    world_say(0, "AUTH joe pw");
    world_link_up(0);
    world_link_expect_bare(0, "AUTH joe pw");
    world_link_redis_raw(0, "+OK\r\n");
    world_expect(0, "");
    for (int how = 0; how < 3; how++) { /* granted; refused by Redis; by us, which never pass it */
        world_say(0, "CLIENT REPLY SKIP");
        world_expect_sent_bare("ACL DRYRUN joe CLIENT REPLY SKIP");
        world_redis("+OK\r\n");
        world_say(0, how == 2 ? "SHUTDOWN" : "CLIENT ID");
        world_expect_sent_bare(how == 2 ? "ACL DRYRUN joe SHUTDOWN" : "ACL DRYRUN joe CLIENT ID");
        world_redis(how == 0 ? "+OK\r\n"
                             : "$51\r\nThis user has no permissions to run the 'x' command\r\n");
        if (how == 1) {
            world_link_expect_bare(0, "CLIENT ID");
            world_link_redis_raw(0, "-NOPERM no\r\n");
        }
        world_expect(0, "");
        asks_gate("CLIENT ID", "+OK\r\n", ":1\r\n");
    }
}
END_TEST

/* Inside MULTI each command is put to Redis; one that is refused spoils the transaction. */
START_TEST(test_transaction)
{
    log_in();
    asks_gate("MULTI", "+OK\r\n", "+OK\r\n");
    asks_and_is_refused("GET a", NO_GET, "MULTI|GET a|HOLDFAST|EXEC",
                        "+OK\r\n-NOPERM no\r\n-ERR x\r\n-EXECABORT y\r\n", "-NOPERM no\r\n");
    asks_gate("EXEC", "+OK\r\n",
              "-EXECABORT Transaction discarded because of previous errors.\r\n");
    asks_gate("MULTI", "+OK\r\n", "+OK\r\n"); /* an EXEC that is refused ends it */
    world_say(0, "NOSUCH");
    (void)world_hear(0);
    asks_and_is_refused("EXEC", NO_EXEC, "MULTI|EXEC", "+OK\r\n-EXECABORT no\r\n",
                        "-EXECABORT no\r\n");
    ck_assert_ptr_null(world.clients[0]->transaction);
}
END_TEST

/* The right to MULTI is lost before EXEC: nothing of it may be carried out outside of one. */
START_TEST(test_transaction_without_multi)
{
    log_in();
    asks_gate("MULTI", "+OK\r\n", "+OK\r\n");
    asks_gate("SET a 1", "+OK\r\n", "+QUEUED\r\n");
    world_say(0, "EXEC");
    world_expect_sent_bare("ACL DRYRUN joe MULTI");
    world_redis("$55\r\nThis user has no permissions to run the 'multi' command\r\n");
    world_expect(0, "-EXECABORT Transaction discarded because of: NOPERM this user has no "
                    "permissions to run the 'exec' command\r\n");
    ck_assert_ptr_null(world.clients[0]->transaction);
    world_link_expect_bare(0, "");
}
END_TEST

/* What is held back by a pause is put to Redis, once, so that what joe may not do is refused at
 * once: alone, inside MULTI, and what blocks. When the pause is over rights are judged anew. */
START_TEST(test_paused)
{
    world_join(1);
    log_in();
    world_pause(1);
    asks_and_is_refused("SET a 1", NO_GET, "SET a 1", "-NOPERM no\r\n", "-NOPERM no\r\n");
    asks_gate("BLPOP l 0", "$55\r\nThis user has no permissions to run the 'blpop' command\r\n",
              "-NOPERM this user has no permissions to run the 'blpop' command\r\n");
    asks_gate("MULTI", "+OK\r\n", "+OK\r\n");
    asks_and_is_refused("SET a 1", NO_GET, "MULTI|SET a 1|HOLDFAST|EXEC",
                        "+OK\r\n-NOPERM no\r\n-ERR x\r\n-EXECABORT y\r\n", "-NOPERM no\r\n");
    asks_gate("DISCARD", "+OK\r\n", "+OK\r\n");
    asks_gate("MULTI", "+OK\r\n", "+OK\r\n");
    asks_gate("SET a 2", "+OK\r\n", "");
    ck_assert(client_is_blocked(world.clients[0]));
    clients_take_up(&world.all);
    world_turn();
    world_expect_nothing_sent();
    world_unpause(1);
    world_expect_sent_bare("ACL DRYRUN joe SET a 2");
    world_redis("+OK\r\n");
    world_expect(0, "+QUEUED\r\n");
    asks_gate("DISCARD", "+OK\r\n", "+OK\r\n");
    world_pause(1);
    asks_gate("SET a 3", "+OK\r\n", "");
    ck_assert_uint_eq(world.clients[0]->gate, CLIENT_GATE_NONE);
    world_unpause(1);
    world_link_expect_bare(0, "SET a 3");
    world_link_redis_raw(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
}
END_TEST

/* What Redis does not refuse after all, the rights being others by now: nobody knows what has
 * become of that link. */
START_TEST(test_refused_not)
{
    static const char *const replies[] = {"*0\r\n", "+OK\r\n+QUEUED\r\n-ERR x\r\n-EXECABORT y\r\n",
                                          "+OK\r\n-NOPERM no\r\n-ERR x\r\n*0\r\n"};

    for (int i = 0; i < 3; i++) {
        world_join(0);
        log_in_on(i % 2);
        if (i == 0) {
            asks_in_vain(0, "CLIENT LIST", NO_GET, "CLIENT LIST", replies[i]);
        } else {
            asks_gate("MULTI", "+OK\r\n", "+OK\r\n");
            asks_in_vain(i % 2, "GET a", NO_GET, "MULTI|GET a|HOLDFAST|EXEC", replies[i]);
        }
        world_expect_closed(0);
    }
}
END_TEST

/* An error of what was carried out after all tells of data, and is nobody's; one of who carries out
 * nothing for now is passed on. A MULTI that has not even begun is the end of the connection. */
START_TEST(test_refused_by_another_error)
{
    log_in();
    asks_and_is_refused("WATCH a", NO_GET, "WATCH a", "-LOADING x\r\n", "-LOADING x\r\n");
    asks_in_vain(0, "XREAD STREAMS a 0", NO_GET, "XREAD STREAMS a 0", "-WRONGTYPE x\r\n");
    world_expect_closed(0);
    world_join(0);
    log_in_on(1);
    asks_gate("MULTI", "+OK\r\n", "+OK\r\n");
    asks_in_vain(1, "GET a", NO_GET, "MULTI|GET a|HOLDFAST|EXEC",
                 "-MASTERDOWN x\r\n-NOPERM no\r\n-ERR x\r\n-ERR y\r\n");
    ck_assert_str_eq(world_hear(0), "-MASTERDOWN x\r\n");
    world_expect_closed(0);
}
END_TEST

/* A refusal that is too long to be kept is still a line. */
START_TEST(test_long_refusal)
{
    char replies[600], expected[300], name[401];

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(replies, sizeof replies,
                   "+OK\r\n-NOPERM User %s may not\r\n-ERR x\r\n-EXECABORT y\r\n", name);
    (void)snprintf(expected, sizeof expected, "-NOPERM User %.*s\r\n", 255 - 13, name);
    log_in();
    asks_gate("MULTI", "+OK\r\n", "+OK\r\n");
    asks_and_is_refused("GET a", NO_GET, "MULTI|GET a|HOLDFAST|EXEC", replies, expected);
    asks_gate("EXEC", "+OK\r\n",
              "-EXECABORT Transaction discarded because of previous errors.\r\n");
}
END_TEST

/* What Redis would not answer at once, had the rights become others, is not said to be refused: the
 * client would wait for ever. A SUBSCRIBE has a HELLO behind it, which is answered anyway. */
START_TEST(test_refused_late)
{
    static const char *const late[][2] = {{"BLPOP l 0", "blpop"},
                                          {"XREAD BLOCK 0 STREAMS s 0", "xread"},
                                          {"CLIENT REPLY OFF", "client|reply"}};

    log_in();
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        char verdict[128], said[100], expected[128];
        (void)snprintf(said, sizeof said, "This user has no permissions to run the '%s' command",
                       late[i][1]);
        (void)snprintf(verdict, sizeof verdict, "$%zu\r\n%s\r\n", strlen(said), said);
        (void)snprintf(expected, sizeof expected,
                       "-NOPERM this user has no permissions to run the '%s' command\r\n",
                       late[i][1]);
        asks_gate(late[i][0], verdict, expected);
    }
    asks_and_is_refused("SUBSCRIBE c", NO_GET, "SUBSCRIBE c|HELLO", "-NOPERM no\r\n*1\r\n+x\r\n",
                        "-NOPERM no\r\n");
    asks_in_vain(0, "SUBSCRIBE c", NO_GET, "SUBSCRIBE c|HELLO",
                 "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n-ERR x\r\n");
    world_expect_closed(0);
}
END_TEST

/* In RESP3 there is nothing but that and a push. */
START_TEST(test_refused_late_resp3)
{
    world_say(0, "HELLO 3 AUTH joe pw");
    world_link_up(0);
    world_link_expect_bare(0, "HELLO 2 AUTH joe pw");
    world_link_redis_raw(0, "*0\r\n");
    ck_assert_int_eq(*world_hear(0), '%');
    world_say(0, "SUBSCRIBE c");
    world_expect_sent_bare("HELLO 3|ACL DRYRUN joe SUBSCRIBE c");
    world_redis("%0\r\n" NO_GET);
    world_link_expect_bare(0, "HELLO 3|SUBSCRIBE c|HELLO");
    world_link_redis_raw(0, "%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n%0\r\n");
    world_turn();
    ck_assert_uint_eq(world.all.count, 0);
}
END_TEST

/* Who is killed while Redis is asked leaves nothing behind. */
START_TEST(test_leaves)
{
    world_say(0, "AUTH joe pw");
    world_link_up(0);
    client_close(world.clients[0], "killed");
    world_join(0);
    world_link_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
    log_in();
    world_say(0, "SELECT 3");
    world_expect_sent_bare("ACL DRYRUN joe SELECT 3");
    client_close(world.clients[0], "killed");
    world_join(0);
    world_link_expect_closed(0);
    world_redis("+OK\r\n");
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

static bool know_only_log(void *ctx, const struct resp_arg *argv, size_t argc, struct buf *out)
{
    (void)ctx;
    if (argc < 2 || !resp_arg_is(&argv[1], "log")) {
        return false;
    }
    buf_append_str(out, "+known\r\n");
    return true;
}

/* HOLDFAST, of which Redis knows no rights, takes the right to say REPLICAOF. */
START_TEST(test_own_commands)
{
    log_in();
    world.router.admin = know_only_log;
    world_say(0, "HOLDFAST LOG");
    world_expect_sent_bare("ACL DRYRUN joe REPLICAOF NO ONE");
    world_redis("$59\r\nThis user has no permissions to run the 'replicaof' command\r\n");
    world_expect(0, "-NOPERM this user has no permissions to run the 'replicaof' command\r\n");
    world_say(0, "HOLDFAST LOG");
    world_expect_sent_bare("ACL DRYRUN joe REPLICAOF NO ONE");
    world_redis("+OK\r\n");
    world_expect(0, "+known\r\n");
    world_say(0, "SELECT 3"); /* that word was for the request before only */
    world_expect_sent_bare("ACL DRYRUN joe SELECT 3");
    world_redis("+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_say(0, "HOLDFAST LINK cluster 1 name 0123456789abcdef"); /* is for proxies alone */
    world_expect_sent_bare("SELECT 3|ACL DRYRUN joe REPLICAOF NO ONE");
    world_redis("+OK\r\n+OK\r\n");
    ck_assert_int_eq(*world_hear(0), '-');
    ck_assert_str_eq(world.clients[0]->nonce, "");
}
END_TEST

/* A script keeps Redis busy: what would have been asked is answered with that, once. */
START_TEST(test_busy)
{
    log_in();
    world.hold = true;
    world_say(0, "SELECT 3");
    world_expect_nothing_sent();
    strcpy(world.router.busy, "BUSY x");
    struct request *r = engine_take_unsent(world.engine, NULL);
    ck_assert(r != NULL && r->next_in_batch == NULL);
    r->stage = REQUEST_ANSWERED;
    request_set_reply(r, "-BUSY x\r\n", 9);
    acl_answered(r);
    client_answered(r);
    client_release(r);
    world_expect(0, "-BUSY x\r\n");
    world_say(0, "SELECT 3");
    world_expect_nothing_sent();
    world_expect(0, "-BUSY x\r\n");
    world.router.busy[0] = '\0';
    ck_assert_int_eq(world.clients[0]->gate, CLIENT_GATE_NONE);
}
END_TEST

/* What is watched or tracked stays, as with Redis, whoever the client becomes: it logs in on the
 * link that it has, and on no other. */
START_TEST(test_keeps_tracking)
{
    world_say(0, "CLIENT TRACKING ON BCAST");
    world_link_up(0);
    world_link_expect_sent(0, "CLIENT TRACKING ON BCAST");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_asks_bare(0, 0, "AUTH joe bad", WRONGPASS);
    ck_assert_ptr_null(world.clients[0]->user);
    world_link_asks_bare(0, 0, "AUTH joe pw", "+OK\r\n");
    ck_assert_str_eq(world.clients[0]->user, "joe");
    ck_assert(world.clients[0]->tracking);
    asks_gate("CLIENT GETREDIR", "+OK\r\n", ":0\r\n");
    /* and back: as the link's own user, with its password, whatever the client's was */
    world_say(0, "HELLO 3 AUTH default x");
    world_link_expect_bare(0, "AUTH default ");
    world_link_redis_raw(0, "+OK\r\n");
    world_link_expect_bare(0, "HELLO 3|PING");
    world_link_redis_raw(0, "%0\r\n+PONG\r\n");
    ck_assert_int_eq(*world_hear(0), '%');
    ck_assert_ptr_null(world.clients[0]->user);
    ck_assert(world.clients[0]->tracking);
    ck_assert_uint_eq(private_count(world.privates), 1);
    world_say(0, "RESET");
    world_expect(0, "+RESET\r\n");
    world_link_expect_closed(0);
}
END_TEST

START_TEST(test_keeps_watching)
{
    world_say(0, "WATCH a");
    world_link_up(0);
    world_link_expect_sent(0, "WATCH a");
    world_link_redis(0, "+OK\r\n");
    world_expect(0, "+OK\r\n");
    world_link_asks_bare(0, 0, "AUTH joe pw", "+OK\r\n");
    ck_assert(world.clients[0]->watches);
    ck_assert_uint_eq(private_count(world.privates), 1);
}
END_TEST

/* Such a link has no fences, and yet goes to the Redis whose stream is read, and to no other. */
START_TEST(test_stranger)
{
    world_say(0, "AUTH joe pw");
    world_link_up_as(0, "+OK\r\n:70\r\n$67\r\nrole:master\r\nmaster_replid:"
                        "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\r\n");
    world_link_expect_closed(0);
    world_expect_closed(0);
    ck_assert_uint_eq(private_count(world.privates), 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("acl", world_setup, world_teardown, test_login, test_hello, test_rights,
                    test_rights_in_transaction, test_guessing, test_turn_is_passed_on, test_gate,
                    test_skip, test_transaction, test_transaction_without_multi, test_paused,
                    test_refused_not, test_refused_by_another_error, test_long_refusal,
                    test_refused_late, test_refused_late_resp3, test_leaves, test_own_commands,
                    test_busy, test_keeps_tracking, test_keeps_watching, test_stranger);
}
