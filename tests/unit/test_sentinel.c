/* The Sentinel's core: what it says of a cluster, and what it tells when that changes. What a real
 * Sentinel says to the same words is compared in tests/system/test_sentinel_port.c; here the
 * cluster is made of values, so that every state can be had. */
#include "proxy/sentinel/sentinel.h"

#include "common/clock.h"
#include "common/mem.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

enum { OUT_MAX_BYTES = 4096 };

static struct sentinel *sentinel;
static struct sentinel_client asker, listener;
static struct leader_info leader;
static struct leader_peer peers[3];
static struct sentinel_view view;
static const char *failover_error;
static unsigned failovers;

static const char *do_failover(void *ctx)
{
    (void)ctx;
    failovers++;
    return failover_error;
}

static const struct sentinel_actions actions = {.failover = do_failover};

/* ---- the world ---- */

static void look(void)
{
    sentinel_observe(sentinel, &view);
}

static void pass_ms(uint64_t ms)
{
    view.now_ns += ms * CLOCK_NS_PER_MS;
    look();
}

/* proxyN leads (1 to 3), in this term; 0: nobody does. */
static void lead(int n, uint64_t term)
{
    leader.known = n != 0;
    leader.self = n == 1;
    if (n != 0) {
        leader.term.n = term;
        leader.address = peers[n - 1].address;
    }
    look();
}

static const char *data_password = "";

static void setup_with(const char *password)
{
    struct sentinel_config config = {
        .master_name = "mymaster",
        .password = password,
        .data_password = data_password,
        .address = {"10.0.0.1", 7001},
        .port = 9001,
        .down_after_ms = 1000,
        .out_max_bytes = OUT_MAX_BYTES,
    };

    failover_error = NULL;
    failovers = 0;
    leader = (struct leader_info){.role = LEADER_FOLLOWER};
    for (int i = 0; i < 3; i++) {
        peers[i] = (struct leader_peer){.self = i == 0, .offset = 100, .synced = true};
        (void)snprintf(peers[i].address.host, sizeof peers[i].address.host, "10.0.0.%d", i + 1);
        peers[i].address.port = 7001 + i;
        peers[i].sentinel_port = 9001 + i;
    }
    view = (struct sentinel_view){.now_ns = 1000 * CLOCK_NS_PER_S,
                                  .leader = &leader,
                                  .peers = peers,
                                  .peer_count = 3,
                                  .voters = 3,
                                  .voters_up = 3,
                                  .version = "7.0.15"};
    for (int i = 0; i < 3; i++) {
        peers[i].seen_ns = view.now_ns;
    }
    sentinel = sentinel_create(&config, &actions, NULL);
    look();
    asker = (struct sentinel_client){.peer = "127.0.0.1:1000", .own = "127.0.0.1:9001"};
    listener = (struct sentinel_client){.peer = "127.0.0.1:1001", .own = "127.0.0.1:9001"};
    sentinel_client_add(sentinel, &asker);
    sentinel_client_add(sentinel, &listener);
}

static void setup(void)
{
    setup_with("");
}

static void teardown(void)
{
    sentinel_client_remove(sentinel, &asker);
    sentinel_client_remove(sentinel, &listener);
    sentinel_destroy(sentinel);
}

/* ---- asking ---- */

static char replied[16384];

/* Sends words split at blanks; the reply, as it goes to the socket, in a buffer of our own. */
static const char *ask_from(struct sentinel_client *c, const char *line)
{
    static struct resp_arg argv[SENTINEL_SUBSCRIPTIONS_MAX + 3];
    size_t argc = 0;

    for (const char *p = line; *p != '\0'; p += strspn(p, " ")) {
        size_t len = strcspn(p, " ");
        argv[argc++] = (struct resp_arg){(const uint8_t *)p, len};
        p += len;
    }
    sentinel_request(sentinel, c, argv, argc);
    ck_assert_uint_lt(c->out.len, sizeof replied);
    if (c->out.len > 0) {
        memcpy(replied, buf_head(&c->out), c->out.len);
    }
    replied[c->out.len] = '\0';
    buf_clear(&c->out);
    return replied;
}

static const char *ask(const char *line)
{
    return ask_from(&asker, line);
}

/* The value behind a field name in the last reply; the fields are bulk strings. */
static const char *field(const char *name)
{
    static char value[64];
    char key[64];

    (void)snprintf(key, sizeof key, "\r\n%s\r\n$", name);
    const char *at = strstr(replied, key);
    if (at == NULL) {
        return "(none)";
    }
    at = strstr(at + strlen(key), "\r\n") + 2;
    size_t len = strcspn(at, "\r");
    ck_assert_uint_lt(len, sizeof value);
    memcpy(value, at, len);
    value[len] = '\0';
    return value;
}

/* The messages that came to the listener, one a line: "channel text". Only for PSUBSCRIBE. */
static const char *heard(void)
{
    static char lines[4096];
    size_t used = 0;
    char *at = (char *)buf_head(&listener.out), *end = at + listener.out.len;

    lines[0] = '\0';
    while (at != NULL && at < end) {
        char *words[5];
        ck_assert(memcmp(at, "*4\r\n", 4) == 0 || memcmp(at, ">4\r\n", 4) == 0);
        at += 4;
        for (int i = 0; i < 4; i++) {
            size_t len = strtoul(at + 1, &at, 10);
            words[i] = at + 2;
            at = words[i] + len + 2;
            words[i][len] = '\0';
        }
        ck_assert_str_eq(words[0], "pmessage");
        used += (size_t)snprintf(lines + used, sizeof lines - used, "%s %s\n", words[2], words[3]);
        ck_assert_uint_lt(used, sizeof lines);
    }
    buf_clear(&listener.out);
    return lines;
}

static void listen_to(const char *pattern)
{
    char line[64];

    (void)snprintf(line, sizeof line, "PSUBSCRIBE %s", pattern);
    (void)ask_from(&listener, line);
}

/* ---- who leads ---- */

/* The leader's clients' address is the master's, whoever asks. */
START_TEST(the_leader_is_the_master)
{
    lead(2, 5);
    ck_assert_str_eq(ask("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster"),
                     "*2\r\n$8\r\n10.0.0.2\r\n$4\r\n7002\r\n");
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("ip"), "10.0.0.2");
    ck_assert_str_eq(field("port"), "7002");
    ck_assert_str_eq(field("flags"), "master");
    ck_assert_str_eq(field("config-epoch"), "5");
    ck_assert_str_eq(field("num-slaves"), "2");
    ck_assert_str_eq(field("num-other-sentinels"), "2");
    ck_assert_str_eq(field("quorum"), "2");
    ck_assert_str_eq(field("s-down-time"), "(none)");
}
END_TEST

/* Replicas are the proxies that do not lead, ourselves among them; Sentinels are the others. */
START_TEST(replicas_and_sentinels)
{
    lead(2, 5);
    peers[2].synced = false;
    look();
    const char *reply = ask("SENTINEL REPLICAS mymaster");
    ck_assert_int_eq(strncmp(reply, "*2\r\n*42\r\n", 9), 0);
    ck_assert_ptr_nonnull(strstr(reply, "10.0.0.1:7001"));
    ck_assert_ptr_nonnull(strstr(reply, "10.0.0.3:7003"));
    ck_assert_ptr_null(strstr(reply, "10.0.0.2:7002"));
    ck_assert_str_eq(field("master-host"), "10.0.0.2");
    ck_assert_ptr_nonnull(strstr(reply, "\r\nok\r\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\r\nerr\r\n"));

    reply = ask("SENTINEL SENTINELS mymaster");
    ck_assert_int_eq(strncmp(reply, "*2\r\n*28\r\n", 9), 0);
    ck_assert_ptr_nonnull(strstr(reply, "\r\n9002\r\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\r\n9003\r\n"));
    ck_assert_ptr_null(strstr(reply, "\r\n9001\r\n"));
}
END_TEST

/* What a peer calls us is what we call ourselves: nobody exchanges ids. */
START_TEST(ids_agree)
{
    struct sentinel_config config = {.master_name = "mymaster",
                                     .password = "",
                                     .data_password = "",
                                     .address = peers[1].address,
                                     .port = 9002,
                                     .down_after_ms = 1000,
                                     .out_max_bytes = OUT_MAX_BYTES};
    char mine[64];

    (void)snprintf(mine, sizeof mine, "%s", ask("SENTINEL MYID"));
    ck_assert_int_eq(strncmp(mine, "$40\r\n", 5), 0);
    struct sentinel *other = sentinel_create(&config, &actions, NULL), *saved = sentinel;
    struct sentinel_client client = {.peer = "", .own = ""};
    sentinel_observe(other, &view);
    sentinel_client_add(other, &client);
    sentinel = other;
    const char *reply = ask_from(&client, "SENTINEL SENTINELS mymaster");
    sentinel = saved;
    ck_assert_ptr_nonnull(strstr(reply, mine));
    sentinel_client_remove(other, &client);
    sentinel_destroy(other);
}
END_TEST

/* Until somebody has led, and whenever nobody does for down_after_ms, the master is down; its
 * address is the last that was known, or our own. */
START_TEST(nobody_leads)
{
    pass_ms(999);
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("flags"), "master");
    ck_assert_str_eq(field("port"), "7001");
    pass_ms(1);
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("flags"), "s_down,o_down,master,disconnected");
    lead(3, 1);
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("flags"), "master");
    lead(0, 0);
    pass_ms(2000);
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("port"), "7003");
    ck_assert_str_eq(field("flags"), "s_down,o_down,master,disconnected");
    ck_assert_str_eq(field("s-down-time"), "2001");
    ck_assert_str_eq(field("o-down-time"), "2001");
    ck_assert_str_eq(ask("SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.3 7003 0 *"),
                     "*3\r\n:1\r\n$1\r\n*\r\n:0\r\n");
    ck_assert_str_eq(ask("SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.2 7002 0 *"),
                     "*3\r\n:0\r\n$1\r\n*\r\n:0\r\n");
    ck_assert_ptr_nonnull(strstr(ask("INFO sentinel"), "status=odown,address=10.0.0.3:7003,"));
}
END_TEST

/* A quorum of log nodes is what a failover needs. */
START_TEST(quorum)
{
    ck_assert_str_eq(
        ask("SENTINEL CKQUORUM mymaster"),
        "+OK 3 usable Sentinels. Quorum and failover authorization can be reached\r\n");
    view.voters_up = 2;
    look();
    ck_assert_str_eq(
        ask("SENTINEL CKQUORUM mymaster"),
        "+OK 2 usable Sentinels. Quorum and failover authorization can be reached\r\n");
    view.voters_up = 1;
    look();
    ck_assert_int_eq(
        strncmp(ask("SENTINEL CKQUORUM mymaster"), "-NOQUORUM 1 usable Sentinels. ", 30), 0);
}
END_TEST

/* ---- what is told ---- */

/* A failover: what Jedis, go-redis, ioredis, node-redis and Lettuce wait for, in a real Sentinel's
 * order. */
START_TEST(failover_is_told)
{
    lead(1, 5);
    listen_to("*");
    pass_ms(7000);
    lead(2, 6);
    ck_assert_str_eq(heard(),
                     "+new-epoch 6\n"
                     "+elected-leader master mymaster 10.0.0.1 7001\n"
                     "+promoted-slave slave 10.0.0.2:7002 10.0.0.2 7002 @ mymaster "
                     "10.0.0.1 7001\n"
                     "+failover-end master mymaster 10.0.0.1 7001\n"
                     "+switch-master mymaster 10.0.0.1 7001 10.0.0.2 7002\n"
                     "+slave slave 10.0.0.1:7001 10.0.0.1 7001 @ mymaster 10.0.0.2 7002\n"
                     "+slave slave 10.0.0.3:7003 10.0.0.3 7003 @ mymaster 10.0.0.2 7002\n");
    pass_ms(5000);
    ck_assert_str_eq(heard(), "");
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("role-reported-time"), "5000");
    ask("SENTINEL REPLICAS mymaster"); /* we come first, and led before */
    ck_assert_str_eq(field("role-reported-time"), "5000");
}
END_TEST

/* The leader dies, and another leads later. */
START_TEST(death_is_told)
{
    lead(2, 5);
    listen_to("*");
    peers[1] = peers[2]; /* proxy2 is gone */
    view.peer_count = 2;
    lead(0, 0);
    ck_assert_str_eq(heard(), "");
    pass_ms(1000);
    ck_assert_str_eq(heard(), "+sdown master mymaster 10.0.0.2 7002\n"
                              "+odown master mymaster 10.0.0.2 7002 #quorum 3/2\n");
    pass_ms(1000);
    ck_assert_str_eq(heard(), "");
    lead(1, 6);
    const char *told = heard();
    ck_assert_ptr_nonnull(strstr(told, "+switch-master mymaster 10.0.0.2 7002 10.0.0.1 7001\n"));
    ck_assert_ptr_nonnull(
        strstr(told, "+sdown slave 10.0.0.2:7002 10.0.0.2 7002 @ mymaster 10.0.0.1 7001\n"));
    ask("SENTINEL REPLICAS mymaster");
    ck_assert_ptr_nonnull(strstr(replied, "s_down,slave,disconnected"));
}
END_TEST

/* The same leader comes back: after a moment nothing is told, after longer that it is up again, and
 * in a new term that it was started anew. */
START_TEST(same_leader_again)
{
    lead(2, 5);
    listen_to("*");
    lead(0, 0);
    pass_ms(500);
    lead(2, 5);
    ck_assert_str_eq(heard(), "");
    lead(0, 0);
    pass_ms(1500);
    (void)heard();
    lead(2, 5);
    ck_assert_str_eq(heard(), "-sdown master mymaster 10.0.0.2 7002\n"
                              "-odown master mymaster 10.0.0.2 7002\n");
    lead(2, 6);
    ck_assert_str_eq(heard(), "+new-epoch 6\n+reboot master mymaster 10.0.0.2 7002\n");
}
END_TEST

/* Followers come, go and come back; who is gone stays listed until SENTINEL RESET. */
START_TEST(followers_come_and_go)
{
    lead(1, 5);
    listen_to("*");
    view.peer_count = 2;
    look();
    ck_assert_str_eq(heard(),
                     "+sdown slave 10.0.0.3:7003 10.0.0.3 7003 @ mymaster 10.0.0.1 7001\n");
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("num-slaves"), "2");
    view.peer_count = 3;
    look();
    ck_assert_str_eq(heard(),
                     "-sdown slave 10.0.0.3:7003 10.0.0.3 7003 @ mymaster 10.0.0.1 7001\n");
    view.peer_count = 2;
    look();
    (void)heard();
    ck_assert_str_eq(ask("SENTINEL RESET other*"), ":0\r\n");
    ck_assert_str_eq(ask("SENTINEL RESET my*"), ":1\r\n");
    ck_assert_str_eq(heard(), "+reset-master master mymaster 10.0.0.1 7001\n");
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("num-slaves"), "1");
    ck_assert_str_eq(field("num-other-sentinels"), "1");
    view.peer_count = 3;
    look();
    ck_assert_ptr_nonnull(strstr(heard(), "+slave slave 10.0.0.3:7003 10.0.0.3 7003 @ mymaster"));
}
END_TEST

/* More proxies than there are places for: those that are gone make way, no one else does. */
START_TEST(bounded_memory)
{
    lead(1, 5);
    for (int port = 8000; port < 8100; port++) {
        peers[2].address.port = port;
        pass_ms(1);
    }
    ask("SENTINEL MASTER mymaster");
    ck_assert_str_eq(field("num-slaves"), "15"); /* LEADER_PEERS_MAX - 1 */
    ck_assert_ptr_nonnull(strstr(ask("SENTINEL REPLICAS mymaster"), "10.0.0.3:8099"));
    ck_assert_ptr_nonnull(strstr(replied, "10.0.0.2:7002"));
}
END_TEST

/* One request does not fill the memory either. */
START_TEST(much_at_once)
{
    struct resp_arg argv[512] = {{(const uint8_t *)"COMMAND", 7}, {(const uint8_t *)"INFO", 4}};

    for (size_t i = 2; i < 512; i++) {
        argv[i] = (struct resp_arg){(const uint8_t *)"sentinel", 8};
    }
    sentinel_request(sentinel, &listener, argv, 512);
    ck_assert(listener.overflowed);
    ck_assert_uint_lt(listener.out.len, OUT_MAX_BYTES + 64 * 1024);
}
END_TEST

/* Who does not read what he subscribed to is to be closed, before he fills the memory. */
START_TEST(slow_listener)
{
    lead(1, 5);
    listen_to("*");
    for (uint64_t term = 6; term < 100; term++) {
        lead(1 + (int)(term % 2), term);
    }
    ck_assert(listener.overflowed);
    ck_assert_uint_lt(listener.out.len, (size_t)OUT_MAX_BYTES + 512);
    buf_clear(&listener.out);
}
END_TEST

/* One message for each subscription that fits, channels before patterns; none to others. */
START_TEST(subscriptions)
{
    lead(1, 5);
    ck_assert_str_eq(ask_from(&listener, "SUBSCRIBE +switch-master"),
                     "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    ck_assert_str_eq(ask_from(&listener, "PSUBSCRIBE *switch*"),
                     "*3\r\n$10\r\npsubscribe\r\n$8\r\n*switch*\r\n:2\r\n");
    lead(2, 6);
    ck_assert_uint_eq(asker.out.len, 0);
    buf_append(&listener.out, "", 1);
    ck_assert_str_eq((char *)buf_head(&listener.out),
                     "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$36\r\n"
                     "mymaster 10.0.0.1 7001 10.0.0.2 7002\r\n"
                     "*4\r\n$8\r\npmessage\r\n$8\r\n*switch*\r\n$14\r\n+switch-master\r\n$36\r\n"
                     "mymaster 10.0.0.1 7001 10.0.0.2 7002\r\n");
    buf_clear(&listener.out);
    ck_assert_str_eq(ask_from(&listener, "UNSUBSCRIBE"),
                     "*3\r\n$11\r\nunsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
    ck_assert_str_eq(ask_from(&listener, "PUNSUBSCRIBE *switch*"),
                     "*3\r\n$12\r\npunsubscribe\r\n$8\r\n*switch*\r\n:0\r\n");
    lead(1, 7);
    ck_assert_uint_eq(listener.out.len, 0);
}
END_TEST

/* A connection can't subscribe without end. */
START_TEST(subscriptions_are_bounded)
{
    char line[32];

    for (int i = 0; i < SENTINEL_SUBSCRIPTIONS_MAX; i++) {
        (void)snprintf(line, sizeof line, "SUBSCRIBE channel%d", i);
        ck_assert_int_eq(ask_from(&listener, line)[0], '*');
    }
    ck_assert_str_eq(ask_from(&listener, "SUBSCRIBE more"),
                     "-ERR too many subscriptions of one connection\r\n");
    ck_assert_int_eq(ask_from(&listener, "SUBSCRIBE channel0")[0], '*');
}
END_TEST

/* ---- the rest ---- */

/* FAILOVER asks for a hand-over of this master, and says what came of it. */
START_TEST(failover_is_asked_for)
{
    ck_assert_str_eq(ask("SENTINEL FAILOVER nope"), "-ERR No such master with that name\r\n");
    ck_assert_uint_eq(failovers, 0);
    ck_assert_str_eq(ask("SENTINEL FAILOVER mymaster"), "+OK\r\n");
    failover_error = "INPROG Failover already in progress";
    ck_assert_str_eq(ask("SENTINEL FAILOVER mymaster"), "-INPROG Failover already in progress\r\n");
    ck_assert_uint_eq(failovers, 2);
}
END_TEST

/* With a password, nothing is said before it was given, and a subscriber is told as little. */
START_TEST(password)
{
    teardown();
    setup_with("secret");
    ck_assert_str_eq(ask("SENTINEL MASTERS"), "-NOAUTH Authentication required.\r\n");
    ck_assert_str_eq(ask("PSUBSCRIBE *"), "-NOAUTH Authentication required.\r\n");
    ck_assert_int_eq(strncmp(ask("HELLO 3"), "-NOAUTH HELLO must be called", 28), 0);
    ck_assert_int_eq(strncmp(ask("AUTH secre"), "-WRONGPASS", 10), 0);
    ck_assert_int_eq(strncmp(ask("AUTH secrets"), "-WRONGPASS", 10), 0);
    ck_assert_int_eq(strncmp(ask("AUTH other secret"), "-WRONGPASS", 10), 0);
    ck_assert_int_eq(strncmp(ask("SENTINEL MYID"), "-NOAUTH", 7), 0);
    ck_assert_str_eq(ask("AUTH secret"), "+OK\r\n");
    ck_assert_int_eq(ask("SENTINEL MASTERS")[0], '*');
    ck_assert_int_eq(ask_from(&listener, "HELLO 3 AUTH default secret SETNAME x")[0], '%');
    ck_assert_str_eq(ask_from(&listener, "CLIENT GETNAME"), "$1\r\nx\r\n");
}
END_TEST

/* Without a password of its own, the port tells everybody where the leader is; but who is to change
 * that must know the password of the clients' port, if there is one. */
START_TEST(failover_needs_the_other_password)
{
    static const char refused[] = "-NOAUTH this needs AUTH";

    teardown();
    data_password = "secret";
    setup_with("");
    ck_assert_int_eq(ask("SENTINEL MASTERS")[0], '*');
    ck_assert_int_eq(strncmp(ask("SENTINEL FAILOVER mymaster"), refused, strlen(refused)), 0);
    ck_assert_int_eq(strncmp(ask("SENTINEL RESET *"), refused, strlen(refused)), 0);
    ck_assert_int_eq(strncmp(ask("AUTH wrong"), "-ERR AUTH <password> called", 27), 0);
    ck_assert_str_eq(ask("AUTH default wrong"), "+OK\r\n"); /* clients that think there is one */
    ck_assert_int_eq(strncmp(ask("SENTINEL FAILOVER mymaster"), refused, strlen(refused)), 0);
    ck_assert_uint_eq(failovers, 0);
    ck_assert_str_eq(ask("AUTH secret"), "+OK\r\n");
    ck_assert_str_eq(ask("SENTINEL FAILOVER mymaster"), "+OK\r\n");
    ck_assert_int_eq(ask_from(&listener, "HELLO 3 AUTH default secret")[0], '%');
    ck_assert_str_eq(ask_from(&listener, "SENTINEL FAILOVER mymaster"), "+OK\r\n");
    ck_assert_uint_eq(failovers, 2);
    data_password = "";
}
END_TEST

/* In RESP3 maps are maps and messages are pushes, and a subscriber may go on asking. */
START_TEST(resp3)
{
    lead(1, 5);
    ck_assert_int_eq(strncmp(ask_from(&listener, "HELLO 3"), "%6\r\n", 4), 0);
    listen_to("*");
    ck_assert_int_eq(
        strncmp(ask_from(&listener, "SENTINEL MASTERS"), "*1\r\n%20\r\n$4\r\nname\r\n", 18), 0);
    ck_assert_int_eq(strncmp(ask_from(&listener, "SENTINEL REPLICAS mymaster"), "*2\r\n%21\r\n", 9),
                     0);
    ck_assert_str_eq(ask_from(&listener, "SENTINEL GET-MASTER-ADDR-BY-NAME nope"), "_\r\n");
    ck_assert_str_eq(ask("SENTINEL GET-MASTER-ADDR-BY-NAME nope"), "*-1\r\n");
    lead(2, 6);
    ck_assert_int_eq(buf_head(&listener.out)[0], '>');
    ck_assert_ptr_nonnull(strstr(heard(), "+switch-master mymaster 10.0.0.1 7001"));
}
END_TEST

/* What the connection itself is asked. */
START_TEST(connection)
{
    ck_assert_str_eq(ask("PING"), "+PONG\r\n");
    ck_assert_str_eq(ask("ping x"), "$1\r\nx\r\n");
    ck_assert_str_eq(ask("ROLE"), "*2\r\n$8\r\nsentinel\r\n*1\r\n$8\r\nmymaster\r\n");
    ck_assert_str_eq(ask("CLIENT ID"), ":1\r\n");
    ck_assert_str_eq(ask("CLIENT SETNAME bob"), "+OK\r\n");
    ck_assert_str_eq(ask("CLIENT SETINFO lib-name x"), "+OK\r\n");
    ck_assert_ptr_nonnull(strstr(ask("CLIENT LIST"), "name=bob "));
    ck_assert_ptr_nonnull(strstr(replied, "addr=127.0.0.1:1001 "));
    ck_assert_ptr_null(strstr(ask("CLIENT INFO"), "addr=127.0.0.1:1001 "));
    ck_assert_str_eq(ask("GET a"),
                     "-ERR unknown command 'GET', with args beginning with: 'a' \r\n");
    ck_assert_ptr_nonnull(strstr(ask("INFO"), "redis_mode:sentinel\r\n"));
    ck_assert_ptr_nonnull(strstr(replied, "redis_version:7.0.15\r\n"));
    ck_assert_str_eq(ask("INFO nothing"), "$0\r\n\r\n");
    ck_assert(!asker.close_when_sent);
    ck_assert_str_eq(ask("QUIT"), "+OK\r\n");
    ck_assert(asker.close_when_sent);
}
END_TEST

int main(void)
{
    return UNIT_RUN("sentinel", setup, teardown, the_leader_is_the_master, replicas_and_sentinels,
                    ids_agree, nobody_leads, quorum, failover_is_told, death_is_told,
                    same_leader_again, followers_come_and_go, bounded_memory, slow_listener,
                    much_at_once, subscriptions, subscriptions_are_bounded, failover_is_asked_for,
                    password, failover_needs_the_other_password, resp3, connection);
}
