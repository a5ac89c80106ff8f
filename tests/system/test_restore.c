/* Restoring into what is there: a new log, which is served like any other, and a Redis that is left
 * clean whatever becomes of the attempt. */
#include "tests/system/ctl_run.h"

#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

const struct cluster_options system_options = {
    .redis_args = ctl_redis_args,
    .plain = true,
    .lease_ms = CLUSTER_LONG_LEASE_MS,
    .proxy_json = "\"snapshot\": {\"nice\": 0, \"schedule\": false}"};

/* ---- a new log ---- */

static void serve_with_more(void)
{
    system_create();
    cluster_add_log(cluster, "log4");
    cluster_add_log(cluster, "log5");
    cluster_add_log(cluster, "log6");
    cluster_add_redis(cluster, "redis9", ctl_redis_args);
    cluster_add_redis(cluster, "redis8", (const char *const[]){"--databases", "4", NULL});
    cluster_start(cluster);
}

/* A proxy's configuration with the new log nodes; its port. */
static int write_new_config(const char *path, const char *data_dir)
{
    char config[600], text[2000] = "", hex[33] = "";
    int port = cluster_free_port();

    snprintf(config, sizeof config, "%s/config.json", cluster_dir(cluster, "proxy1"));
    FILE *f = fopen(config, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, f), 0);
    fclose(f);
    const char *id = strstr(text, "\"cluster_id\": \"");
    ck_assert_int_eq(sscanf(id, "\"cluster_id\": \"%32[0-9a-f]", hex), 1);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fprintf(f,
            "{\"name\": \"new\", \"cluster_id\": \"%s\", \"lease_ms\": %d, \"port\": %d, "
            "\"data_dir\": \"%s\",\n"
            " \"redis\": {\"port\": %d}, \"log\": {\"nodes\": [\"127.0.0.1:%d\", "
            "\"127.0.0.1:%d\", \"127.0.0.1:%d\"]}}\n",
            hex, CLUSTER_LONG_LEASE_MS, port, data_dir, cluster_port(cluster, "redis9"),
            cluster_port(cluster, "log4"), cluster_port(cluster, "log5"),
            cluster_port(cluster, "log6"));
    fclose(f);
    return port;
}

static bool new_proxy_serves(void *arg)
{
    redisContext *c = redisConnect("127.0.0.1", *(int *)arg);
    redisReply *reply = c->err == 0 ? redisCommand(c, "SET written later") : NULL;
    bool good = reply != NULL && reply->type == REDIS_REPLY_STATUS;

    freeReplyObject(reply);
    redisFree(c);
    return good;
}

static void expect_new(int port, const char *key, const char *value)
{
    redisContext *c = redisConnect("127.0.0.1", port);
    redisReply *reply = redisCommand(c, "GET %s", key);

    ck_assert_ptr_nonnull(reply);
    if (value == NULL) {
        ck_assert_int_eq(reply->type, REDIS_REPLY_NIL);
    } else {
        ck_assert_int_eq(reply->type, REDIS_REPLY_STRING);
        ck_assert_str_eq(reply->str, value);
    }
    freeReplyObject(reply);
    redisFree(c);
}

/* A moment of a log that goes on becomes the start of another, which a proxy and a Redis serve: the
 * dataset of that moment, and what is written to it. Refused where there is one already; killed on
 * the way and run again it comes to its end. */
START_TEST(restore_to_a_new_log)
{
    char config[700], moment[64], then[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX], list[100],
        program[500];
    int port;

    snprintf(config, sizeof config, "%s/new.json", cluster_dir(cluster, "redis9"));
    port = write_new_config(config, cluster_dir(cluster, "redis9"));
    write_many(0, 300);
    redisContext *redis = cluster_connect(cluster, "proxy1");
    cluster_command(redis, "SET what then");
    uint64_t then_ms = quiet_moment();
    committed();
    cluster_digest_of(cluster, "redis1", then);
    cluster_command(redis, "FLUSHALL");
    cluster_command(redis, "SET what now");
    committed();
    snprintf(moment, sizeof moment, "@%" PRIu64 ".%03" PRIu64, then_ms / 1000, then_ms % 1000);

    EXPECT_CTL(2, "restore", "--at", moment, "--to-log", config, "--to", "x.rdb");
    EXPECT_CTL(2, "restore", "--at", moment, "--to-log", "nowhere");
    snprintf(list, sizeof list, "127.0.0.1:%d", cluster_port(cluster, "log4"));
    EXPECT_CTL(2, "restore", "--at", moment, "--to-log", list);
    expect_said("cluster-id");
    for (long us = 20000; us < 400000; us += 60000) { /* through the whole of it, mostly */
        pid_t pid = CTL_START("restore", "--at", moment, "--to-log", config);
        ctl_kill_after(pid, us);
        if (ctl_wait(pid) == 0) {
            break;
        }
    }
    if (CTL("restore", "--at", moment, "--to-log", config) != 0) {
        expect_said("has a log already"); /* one was killed when all was done */
    } else {
        expect_said("to        a new log, from offset ");
    }
    EXPECT_CTL(1, "restore", "--at", moment, "--to-log", config, "--force");
    expect_said("has a log already; nothing was changed");

    cluster_program("holdfast-proxy", program, sizeof program);
    pid_t proxy = fork();
    ck_assert_int_ge(proxy, 0);
    if (proxy == 0) {
        execl(program, program, "--config", config, NULL);
        _exit(127);
    }
    cluster_wait("the new log to be served", WAIT_MS, new_proxy_serves, &port);
    expect_new(port, "what", "then");
    expect_new(port, "written", "later");
    cluster_ask(cluster, "redis9", output, 100, (const char *[]){"DEL", "written", NULL});
    cluster_digest_of(cluster, "redis9", after);
    ck_assert_str_eq(after, then);
    kill(proxy, SIGTERM);
    ck_assert_int_eq(waitpid(proxy, NULL, 0), proxy);
    cluster_ask(cluster, "proxy1", output, 100, (const char *[]){"GET", "what", NULL});
    ck_assert_str_eq(output, "now");
    redisFree(redis);
}
END_TEST

/* ---- a Redis that runs ---- */

static void ask_plain(char *reply, const char *const argv[])
{
    cluster_ask(cluster, "plain1", reply, 200, argv);
}

/* A master of its own settings, and empty or whole. */
static void expect_let_go(const char *digest)
{
    char reply[200], now[CLUSTER_DIGEST_MAX];

    ask_plain(reply, (const char *[]){"ROLE", NULL});
    ck_assert_str_eq(reply, "master");
    redisContext *redis = cluster_connect(cluster, "plain1");
    redisReply *r = redisCommand(redis, "CONFIG GET masterauth");
    ck_assert_str_eq(r->element[1]->str, "mine");
    freeReplyObject(r);
    r = redisCommand(redis, "ACL USERS");
    ck_assert_uint_eq(r->elements, 1);
    freeReplyObject(r);
    redisFree(redis);
    ask_plain(reply, (const char *[]){"DBSIZE", NULL});
    if (strcmp(reply, "0") != 0) {
        cluster_digest_of(cluster, "plain1", now);
        ck_assert_str_eq(now, digest);
    }
}

static bool plain_loads(void *arg)
{
    redisContext *redis = cluster_connect(cluster, "plain1");
    redisReply *r = redisCommand(redis, "INFO persistence");
    (void)arg;
    bool loads = r != NULL && strstr(r->str, "\nloading:1") != NULL;
    freeReplyObject(r);
    redisFree(redis);
    return loads;
}

/* How often a restore is broken off, at later and later moments, until one was met in its middle.
 */
enum { TRIES_MAX = 100 };

/* Interrupted at any moment, a restore leaves the Redis a master, with its settings, and empty as
 * it was. */
START_TEST(restore_is_interrupted)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    char digest[CLUSTER_DIGEST_MAX], target[64], reply[200];
    unsigned midway = 0;

    write_values("values", 3000);
    committed();
    cluster_digest_of(cluster, "redis1", digest);
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "masterauth", "mine", NULL});
    for (unsigned i = 0; i < 12 || (midway == 0 && i < TRIES_MAX); i++) {
        int signal = signals[i % 3];
        pid_t pid = CTL_START("restore", "--at", "now", "--to", target);
        (void)poll(NULL, 0, (int)(20 + 25 * i));
        kill(pid, signal);
        int status = ctl_wait(pid);
        /* Stopped; or before it had begun, or behind its end. */
        ck_assert_msg(status == 1 || status == 0 || status == 128 + signal, "status %d", status);
        midway += status == 1;
        expect_let_go(digest);
        ask_plain(reply, (const char *[]){"DBSIZE", NULL});
        ck_assert(status == 0 || strcmp(reply, "0") == 0);
        ask_plain(reply, (const char *[]){"FLUSHALL", NULL});
    }
    ck_assert_uint_gt(midway, 0);

    /* While Redis loads, it takes no command that would make it a master: that is waited for. */
    EXPECT_CTL(0, "snapshot", "now");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "key-load-delay", "500",
                                      "loading-process-events-interval-bytes", "4096", NULL});
    pid_t pid = CTL_START("restore", "--at", "now", "--to", target);
    cluster_wait("Redis to load", WAIT_MS, plain_loads, NULL);
    kill(pid, SIGTERM);
    ck_assert_int_eq(ctl_wait(pid), 1);
    expect_let_go(digest);
    ask_plain(reply, (const char *[]){"DBSIZE", NULL});
    ck_assert_str_eq(reply, "0");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "key-load-delay", "0", NULL});
}
END_TEST

/* What a Redis of a restore that was killed offers to whoever it takes for its master. */
static void expect_offers_nothing(void)
{
    redisContext *redis = cluster_connect(cluster, "plain1");
    redisReply *r = redisCommand(redis, "CONFIG GET masterauth");

    ck_assert_int_eq(strncmp(r->element[1]->str, "holdfast-restore:", 17), 0);
    ck_assert_msg(strstr(r->element[1]->str, "6d696e65") == NULL, "%s", r->element[1]->str);
    ck_assert_msg(strstr(r->element[1]->str, "mine") == NULL, "%s", r->element[1]->str);
    freeReplyObject(r);
    redisFree(redis);
}

/* Killed at any moment, it leaves a replica of nobody, which tells nobody what its masterauth was;
 * the next one puts that right and needs no --force. */
START_TEST(restore_is_killed)
{
    char digest[CLUSTER_DIGEST_MAX], target[64], reply[200];
    unsigned repaired = 0;

    cluster_digest_of(cluster, "redis1", digest);
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    for (unsigned i = 0; i < 10 || (repaired == 0 && i < TRIES_MAX); i++) {
        pid_t pid = CTL_START("restore", "--at", "now", "--to", target);
        (void)poll(NULL, 0, (int)(20 + 30 * i));
        kill(pid, SIGKILL);
        ctl_wait(pid);
        ask_plain(reply, (const char *[]){"ROLE", NULL});
        bool left = strcmp(reply, "master") != 0;
        if (left) {
            expect_offers_nothing();
        }
        int status = CTL("restore", "--at", "now", "--to", target);
        if (left) {
            expect_said("an earlier restore was killed; what it has left is removed");
            repaired++;
        }
        if (status != 0) { /* it was killed behind its end */
            ck_assert(!left);
            expect_said("is not empty");
        }
        expect_let_go(digest);
        ask_plain(reply, (const char *[]){"DBSIZE", NULL});
        ck_assert_str_ne(reply, "0");
        ask_plain(reply, (const char *[]){"FLUSHALL", NULL});
    }
    ck_assert_uint_gt(repaired, 0);
}
END_TEST

/* Of several restores into one Redis at most one goes on, and what keeps the Redis' settings for it
 * stays: one that is about to begin is known by its connection. */
START_TEST(restores_keep_apart)
{
    char digest[CLUSTER_DIGEST_MAX], target[64], reply[200];

    cluster_digest_of(cluster, "redis1", digest);
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "masterauth", "mine", NULL});
    redisContext *other = cluster_connect(cluster, "plain1");
    cluster_command(other, "CLIENT SETNAME holdfast-restore");
    cluster_command(other, "ACL SETUSER holdfast-restore reset off "
                           "~holdfast-restore:0123:empty:::");
    ck_assert_int_eq(CTL("restore", "--at", "now", "--to", target), 1);
    expect_said("another restore is under way; nothing was changed");
    expect_said("addr of name=holdfast-restore; if its machine died, CLIENT KILL ID ends it");
    redisReply *r = redisCommand(other, "ACL USERS");
    ck_assert_uint_eq(r->elements, 2);
    freeReplyObject(r);
    redisFree(other);

    for (unsigned i = 0; i < 8; i++) {
        pid_t pids[2] = {CTL_START("restore", "--at", "now", "--to", target),
                         CTL_START("restore", "--at", "now", "--to", target)};
        int first = ctl_wait(pids[0]), second = ctl_wait(pids[1]);
        ck_assert_msg(first + second > 0 && first <= 1 && second <= 1, "%d, %d", first, second);
        expect_let_go(digest);
        ask_plain(reply, (const char *[]){"DBSIZE", NULL});
        ck_assert((strcmp(reply, "0") == 0) == (first + second == 2));
        ask_plain(reply, (const char *[]){"FLUSHALL", NULL});
    }
}
END_TEST

/* Ends the oldest connection that has the name of restores, as if Redis had ended it for being
 * idle. */
static void end_first_connection(void)
{
    redisContext *redis = cluster_connect(cluster, "plain1");
    redisReply *r = redisCommand(redis, "CLIENT LIST");
    const char *name = strstr(r->str, " name=holdfast-restore "), *line = name;

    ck_assert_msg(name != NULL, "%s", r->str);
    while (line > r->str && line[-1] != '\n') {
        line--;
    }
    cluster_command(redis, "CLIENT KILL ID %llu", strtoull(line + strlen("id="), NULL, 10));
    freeReplyObject(r);
    redisFree(redis);
}

/* A restore is known to others as long as it is at work, also when Redis has ended the connection
 * that it began with. */
START_TEST(restore_is_known_while_it_works)
{
    char target[64], reply[200];

    write_values("values", 3000);
    committed();
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    EXPECT_CTL(0, "snapshot", "now");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "key-load-delay", "2000",
                                      "loading-process-events-interval-bytes", "4096", NULL});
    pid_t pid = CTL_START("restore", "--at", "now", "--to", target);
    cluster_wait("Redis to load", WAIT_MS, plain_loads, NULL);
    end_first_connection();
    ck_assert_int_eq(CTL("restore", "--at", "now", "--to", target), 1);
    expect_said("another restore is under way; nothing was changed");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "key-load-delay", "0", NULL});
    ck_assert_int_eq(ctl_wait(pid), 0);
    ask_plain(reply, (const char *[]){"FLUSHALL", NULL});
}
END_TEST

static bool plain_is_linked(void *arg)
{
    redisContext *redis = cluster_connect(cluster, "plain1");
    redisReply *r = redisCommand(redis, "INFO replication");
    (void)arg;
    bool linked = r != NULL && strstr(r->str, "\nmaster_link_status:up") != NULL;
    freeReplyObject(r);
    redisFree(redis);
    return linked;
}

/* Whether a restore is connected whose last command was that. */
static bool restore_asked(void *command)
{
    redisContext *redis = cluster_connect(cluster, "plain1");
    redisReply *r = redisCommand(redis, "CLIENT LIST");
    bool asked = false;

    for (char *next, *line = strtok_r(r->str, "\n", &next); line != NULL;
         line = strtok_r(NULL, "\n", &next)) {
        asked = asked ||
                (strstr(line, " name=holdfast-restore ") != NULL && strstr(line, command) != NULL);
    }
    freeReplyObject(r);
    redisFree(redis);
    return asked;
}

/* A restore that comes while another one ends, and waits for that, goes by what it leaves. */
START_TEST(another_restore_ends_meanwhile)
{
    static char info[] = " cmd=info ", list[] = " cmd=client|list ";
    char digest[CLUSTER_DIGEST_MAX], target[64], reply[200];

    write_values("values", 10);
    committed();
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    cluster_ask(cluster, "redis9", reply, sizeof reply,
                (const char *[]){"CONFIG", "SET", "requirepass", "holdfast-restore:0123", NULL});
    redisContext *redis = cluster_connect(cluster, "plain1");
    cluster_command(redis, "CONFIG SET masterauth holdfast-restore:0123");
    cluster_command(redis, "ACL SETUSER holdfast-restore reset off "
                           "~holdfast-restore:0123:empty:6d696e65::796573");
    cluster_command(redis, "REPLICAOF 127.0.0.1 %d", cluster_port(cluster, "redis9"));
    cluster_wait("the link", WAIT_MS, plain_is_linked, NULL);

    pid_t pid = CTL_START("restore", "--at", "now", "--to", target);
    cluster_wait("a restore to see the replica", WAIT_MS, restore_asked, info);
    redisContext *other = cluster_connect(cluster, "plain1");
    cluster_command(other, "CLIENT SETNAME holdfast-restore");
    cluster_wait("a restore to wait for the other one", WAIT_MS, restore_asked, list);
    cluster_command(redis, "REPLICAOF NO ONE");
    cluster_command(redis, "FLUSHALL");
    cluster_command(redis, "CONFIG SET masterauth mine");
    cluster_command(redis, "ACL DELUSER holdfast-restore");
    redisFree(other);
    ck_assert_int_eq(ctl_wait(pid), 0);
    redisFree(redis);
    cluster_digest_of(cluster, "redis1", digest);
    expect_let_go(digest);
    ask_plain(reply, (const char *[]){"DBSIZE", NULL});
    ck_assert_str_ne(reply, "0");
}
END_TEST

/* A Redis that has fewer databases would end itself, or put things into another one. */
START_TEST(restore_into_fewer_databases)
{
    char target[64], reply[200];
    redisContext *redis = cluster_connect(cluster, "proxy1");

    cluster_command(redis, "SELECT 7");
    cluster_command(redis, "SET in seven");
    committed();
    redisFree(redis);
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "redis8"));
    EXPECT_CTL(1, "restore", "--at", "now", "--to", target);
    expect_said("has 4 databases, and what is restored may be in any of 16");
    cluster_ask(cluster, "redis8", reply, sizeof reply, (const char *[]){"DBSIZE", NULL});
    ck_assert_str_eq(reply, "0");
}
END_TEST

/* What somebody else has made or set there stays: a user of the name that restore needs, and a
 * masterauth that is set while it is filled. */
START_TEST(restore_leaves_others_alone)
{
    char target[64], reply[200];

    write_values("values", 3000);
    committed();
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "masterauth", "mine", NULL});
    ask_plain(reply,
              (const char *[]){"ACL", "SETUSER", "holdfast-restore", "on", "~theirs:*", NULL});
    ck_assert_int_eq(CTL("restore", "--at", "now", "--to", target), 1);
    expect_said("that no restore has made");
    ask_plain(reply, (const char *[]){"ACL", "DELUSER", "holdfast-restore", NULL});
    ck_assert_str_eq(reply, "1");

    EXPECT_CTL(0, "snapshot", "now");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "key-load-delay", "500",
                                      "loading-process-events-interval-bytes", "4096", NULL});
    pid_t pid = CTL_START("restore", "--at", "now", "--to", target);
    cluster_wait("Redis to load", WAIT_MS, plain_loads, NULL);
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "masterauth", "theirs", NULL});
    kill(pid, SIGTERM);
    ck_assert_int_eq(ctl_wait(pid), 1);
    redisContext *redis = cluster_connect(cluster, "plain1");
    redisReply *r = redisCommand(redis, "CONFIG GET masterauth");
    ck_assert_str_eq(r->element[1]->str, "theirs");
    freeReplyObject(r);
    redisFree(redis);
}
END_TEST

/* Killed at any moment, a restore to a file leaves none under its name that is not whole, and
 * nothing that keeps the next one away. */
START_TEST(restore_to_a_file_is_killed)
{
    char path[700], part[720];
    uint8_t end[9];
    unsigned killed = 0;

    snprintf(path, sizeof path, "%s/killed.rdb", cluster_dir(cluster, "plain1"));
    snprintf(part, sizeof part, "%s.part", path);
    write_values("values", 1000);
    committed();
    for (long us = 20000; us < 20000000; us += us / 3) {
        pid_t pid = CTL_START("restore", "--at", "now", "--to", path);
        ctl_kill_after(pid, us);
        int status = ctl_wait(pid);
        killed += status == 128 + SIGKILL;
        if (access(path, F_OK) == 0) {
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            /* An RDB ends with an 0xff and its checksum. */
            ck_assert_int_eq(pread(fd, end, sizeof end, (off_t)(file_size(path) - sizeof end)),
                             sizeof end);
            close(fd);
            ck_assert_uint_eq(end[0], 0xff);
            ck_assert_int_eq(unlink(path), 0);
        }
        if (status == 0) {
            break;
        }
    }
    ck_assert_uint_gt(killed, 0);
    EXPECT_CTL(0, "restore", "--at", "now", "--to", path);
    ck_assert_int_ne(access(part, F_OK), 0);
}
END_TEST

/* Of two restores to the same file one is refused. */
START_TEST(files_keep_apart)
{
    char path[700], part[720];

    snprintf(path, sizeof path, "%s/apart.rdb", cluster_dir(cluster, "plain1"));
    snprintf(part, sizeof part, "%s.part", path);
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    ck_assert_int_eq(write(fd, "theirs", 6), 6);
    EXPECT_CTL(1, "restore", "--at", "now", "--to", path);
    expect_said("apart.rdb.part: another restore writes it; nothing was changed");
    ck_assert_uint_eq(file_size(part), 6);
    close(fd);
    EXPECT_CTL(0, "restore", "--at", "now", "--to", path);
    ck_assert_int_ne(access(part, F_OK), 0);
    ck_assert_uint_gt(file_size(path), 6);
}
END_TEST

/* A Redis that would throw away what is restored into it, at once or on the way, is left as it was;
 * one that takes no more writes is told. */
START_TEST(restore_heeds_maxmemory)
{
    char target[64], reply[200];

    write_values("values", 500);
    committed();
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "maxmemory", "5mb", "maxmemory-policy",
                                      "allkeys-lru", "replica-ignore-maxmemory", "no", NULL});
    EXPECT_CTL(1, "restore", "--at", "now", "--to", target);
    expect_said("CONFIG SET replica-ignore-maxmemory yes; nothing was changed");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "replica-ignore-maxmemory", "yes", NULL});
    EXPECT_CTL(1, "restore", "--at", "now", "--to", target);
    expect_said("it throws keys away as soon as it is a master (CONFIG SET maxmemory");
    expect_said("is empty again");
    ask_plain(reply, (const char *[]){"DBSIZE", NULL});
    ck_assert_str_eq(reply, "0");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "maxmemory-policy", "noeviction", NULL});
    EXPECT_CTL(0, "restore", "--at", "now", "--to", target);
    expect_said("it takes no writes");
    ask_plain(reply, (const char *[]){"CONFIG", "SET", "maxmemory", "0", NULL});
    ask_plain(reply, (const char *[]){"FLUSHALL", NULL});
}
END_TEST

static bool only_we_are_there(void *ours)
{
    redisReply *r = redisCommand(ours, "CLIENT LIST");
    char *end = r != NULL && r->type == REDIS_REPLY_STRING ? strchr(r->str, '\n') : NULL;
    bool alone = end != NULL && end[1] == '\0';

    freeReplyObject(r);
    return alone;
}

/* Lets a process have so many files more than it has. */
static void allow_files(pid_t pid, unsigned more)
{
    struct rlimit limit;
    char path[64];
    int fd = 0;

    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    for (; more > 0; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        struct stat st;
        more -= lstat(path, &st) != 0;
    }
    limit.rlim_cur = (rlim_t)fd;
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* A Redis that can't connect to the restore is not waited for for long, and is a master again. Here
 * it has no file left for that, beyond those of the restore's two connections. */
START_TEST(redis_does_not_come)
{
    char target[64];
    struct rlimit before;
    redisContext *plain = cluster_connect(cluster, "plain1");
    pid_t pid = cluster_pid(cluster, "plain1");

    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &before), 0);
    cluster_wait("others to be gone", WAIT_MS, only_we_are_there, plain);
    allow_files(pid, 2);
    int status = CTL("restore", "--at", "now", "--to", target);
    ck_assert_int_eq(prlimit(pid, RLIMIT_NOFILE, &before, NULL), 0);
    ck_assert_msg(status == 1, "status %d: %s", status, output);
    expect_said("it can't be restored: Redis does not come to 127.0.0.1 port ");
    expect_said("is empty again");
    redisReply *r = redisCommand(plain, "ROLE");
    ck_assert_str_eq(r->element[0]->str, "master");
    freeReplyObject(r);
    redisFree(plain);
}
END_TEST

/* A Redis whose users are its own. */
START_TEST(restore_as_a_user)
{
    char target[64], path[700], reply[200];
    redisContext *plain = cluster_connect(cluster, "plain1");

    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    snprintf(path, sizeof path, "%s/password", cluster_dir(cluster, "plain1"));
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f, "secret\n"), 0);
    fclose(f);
    cluster_command(plain, "ACL SETUSER op on >secret ~* &* +@all");
    cluster_command(plain, "ACL SETUSER default off");
    EXPECT_CTL(1, "restore", "--at", "now", "--to", target);
    expect_said("NOAUTH Authentication required. (--to-password-file FILE)");
    EXPECT_CTL(1, "restore", "--at", "now", "--to", target, "--to-password-file", path);
    expect_said("called without any password configured for the default user");
    EXPECT_CTL(0, "restore", "--at", "now", "--to", target, "--to-user", "op", "--to-password-file",
               path);
    cluster_command(plain, "ACL SETUSER default on");
    cluster_command(plain, "ACL DELUSER op");
    redisFree(plain);
    ask_plain(reply, (const char *[]){"DBSIZE", NULL});
    ck_assert_str_ne(reply, "0");
    ask_plain(reply, (const char *[]){"FLUSHALL", NULL});
}
END_TEST

/* ---- behind the retention ---- */

static bool log_has_begun_later(void *arg)
{
    (void)arg;
    return CTL("tail", "--from", "0", "--until", "0") == 1;
}

static bool old_snapshot_is_gone(void *arg)
{
    (void)arg;
    return CTL("--json", "snapshot", "list") == 0 && strstr(output, "\"offset\":\t0,") == NULL;
}

/* The offset that is named as the first one. */
static unsigned long long named_offset(const char *in_front)
{
    unsigned long long offset = 0;
    const char *at = strstr(output, in_front);

    ck_assert_msg(at != NULL, "%s is not in: %s", in_front, output);
    ck_assert_msg(sscanf(at + strlen(in_front), "%llu", &offset) == 1, "%s", output);
    return offset;
}

/* The most memory that a process has had. */
static size_t memory_of(pid_t pid)
{
    char path[64], line[200];
    size_t kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "VmHWM: %zu", &kib);
    }
    fclose(f);
    return kib << 10;
}

static bool pipe_is_full(void *fd)
{
    int size = 0;

    ck_assert_int_eq(ioctl(*(int *)fd, FIONREAD, &size), 0);
    return size > 40000;
}

/* Once the log was trimmed, a moment before that is refused, by time and by offset, and the
 * earliest one is named, which can be restored. A tail that was left behind says where the log
 * begins. */
START_TEST(before_the_retention)
{
    char moment[64], path[700], digest[CLUSTER_DIGEST_MAX], after[CLUSTER_DIGEST_MAX], said[2000];
    char target[64];

    write_many(0, 100);
    committed();
    uint64_t before_ms = quiet_moment();
    snprintf(said, sizeof said, "%s/tail.out", cluster_dir(cluster, "plain1"));
    int out = open(said, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(out, 0);
    int pipes[2];
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    for (int round = 0; round < 3; round++) {
        char name[24];
        snprintf(name, sizeof name, "values%d", round);
        write_values(name, 2000);
    }
    committed();
    /* It writes into a pipe that nobody reads. */
    pid_t slow = CTL_START_INTO(pipes[1], out, "tail", "--json", "--from", "0");
    close(pipes[1]);
    cluster_wait("the tail to stand still", WAIT_MS, pipe_is_full, &pipes[0]);
    cluster_digest_of(cluster, "redis1", digest);
    EXPECT_CTL(0, "snapshot", "now");
    cluster_wait("the older snapshot to be deleted", WAIT_MS, old_snapshot_is_gone, NULL);
    cluster_wait("the log to be trimmed", WAIT_MS, log_has_begun_later, NULL);

    snprintf(path, sizeof path, "%s/early.rdb", cluster_dir(cluster, "plain1"));
    snprintf(moment, sizeof moment, "@%" PRIu64 ".%03" PRIu64, before_ms / 1000, before_ms % 1000);
    EXPECT_CTL(1, "restore", "--at", moment, "--to", path);
    expect_said("--at is before what is kept: the earliest moment is 20");
    unsigned long long earliest = named_offset(", offset ");
    ck_assert_uint_gt(earliest, 0);
    EXPECT_CTL(1, "restore", "--at", text_of(earliest - 1), "--to", path);
    ck_assert_uint_eq(named_offset(", offset "), earliest);
    ck_assert_int_ne(access(path, F_OK), 0);
    snprintf(target, sizeof target, "127.0.0.1:%d", cluster_port(cluster, "plain1"));
    EXPECT_CTL(0, "restore", "--at", text_of(earliest), "--to", target, "--force");
    cluster_digest_of(cluster, "plain1", after);
    ck_assert_str_eq(after, digest);

    EXPECT_CTL(1, "tail", "--json", "--from", moment, "--until", "now");
    unsigned long long begin = named_offset("the earliest moment is offset ");
    ck_assert_uint_gt(begin, 0);
    EXPECT_CTL(0, "tail", "--json", "--from", text_of(begin), "--until", text_of(earliest));

    size_t held = memory_of(slow); /* with 120 MB that it has not written yet */
    ck_assert_msg(held > 0 && held < 48 << 20, "%zu bytes", held);

    /* Its reader begins to read: what it was holding, and then why there is nothing more. */
    static char piece[1 << 16];
    ssize_t n, all = 0;
    while ((n = read(pipes[0], piece, sizeof piece)) > 0) {
        all += n;
    }
    close(pipes[0]);
    ck_assert_int_gt(all, 0);
    ck_assert_int_eq(ctl_wait(slow), 1);
    n = pread(out, output, OUTPUT_MAX - 1, 0);
    output[n > 0 ? n : 0] = '\0';
    close(out);
    ck_assert_uint_eq(named_offset("the log begins at offset "), begin);
}
END_TEST

/* A tail whose reader goes away ends, also while nothing is written. */
START_TEST(tail_ends_with_its_reader)
{
    int pipes[2];
    char piece[100];

    write_many(0, 1);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = CTL_START_INTO(pipes[1], -1, "tail", "--from", text_of(committed() - 1));
    close(pipes[1]);
    ck_assert_int_gt(read(pipes[0], piece, sizeof piece), 0);
    close(pipes[0]);
    int status = ctl_wait(pid);
    ck_assert_msg(status == 1 || status == 128 + SIGPIPE, "status %d", status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restore");

    SYSTEM_CASE(suite, "new log", serve_with_more, 300, restore_to_a_new_log,
                another_restore_ends_meanwhile, restore_into_fewer_databases);
    SYSTEM_CASE(suite, "interrupted", system_serve, 300, restore_is_interrupted, restore_is_killed,
                restores_keep_apart, restore_is_known_while_it_works, restore_leaves_others_alone,
                restore_to_a_file_is_killed);
    SYSTEM_CASE(suite, "target", system_serve, 300, files_keep_apart, restore_heeds_maxmemory,
                restore_as_a_user, redis_does_not_come);
    SYSTEM_CASE(suite, "trimmed", system_serve, 300, before_the_retention,
                tail_ends_with_its_reader);
    return unit_main(suite);
}
